"""A ChatPlatform on a real API server and a real Synapse: the operator itself, with the rights that we ship."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from homeroom.api import GROUP
from homeroom.api.conditions import violations
from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.synapse import Account, Synapse
from homeroom.store import Store

from .operator_fixtures import SYSTEM, annotate, at_work, declare, look

pytestmark = pytest.mark.integration


class Place:
    """One namespace with a chat platform, and the operator that looks after it."""

    def __init__(self, plane: ControlPlane, namespace: str, directory: Path) -> None:
        self.plane, self.namespace, self.directory = plane, namespace, directory

    async def kubectl(self, *args: str, stdin: str = "") -> str:
        return await asyncio.to_thread(self.plane.kubectl, *args, f"--namespace={self.namespace}", stdin=stdin)

    async def apply(self, *objects: dict[str, Any]) -> None:
        await asyncio.to_thread(declare, self.plane, self.namespace, *objects)

    def resource(self, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        meta = {"name": name, "namespace": self.namespace}
        return {"apiVersion": f"{GROUP}/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}

    def platform(self, server: Synapse, **spec: Any) -> dict[str, Any]:
        matrix = {"homeserver": server.url, "serverName": server.server_name, "secretRef": {"name": "matrix"}}
        identity = {"type": "UserIds", "userIdType": "Matrix"}
        return self.resource("ChatPlatform", "matrix", {"matrix": matrix, "identity": identity, **spec})

    def secret(self, token: str) -> dict[str, Any]:
        labels = {"homeroom.dev/use": "credentials"}
        meta = {"name": "matrix", "namespace": self.namespace, "labels": labels}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"accessToken": token}}

    async def ask(self) -> None:
        """Ask for a run now: no event tells of a Secret."""
        token = str(uuid.uuid4())
        await asyncio.to_thread(
            annotate, self.plane, "chatplatform", "matrix", namespace=self.namespace, reconcile_at=token
        )

    async def says(self, reason: str, **status: object) -> str:
        """Wait until Ready has this reason, and the status these fields; its message."""
        deadline = time.monotonic() + 60
        while True:
            found = await asyncio.to_thread(look, self.plane, "chatplatform", "matrix", namespace=self.namespace)
            now = found["status"]
            conditions = {item["type"]: item for item in now.get("conditions", [])}
            ready = conditions.get("Ready", {"reason": "", "status": "", "message": ""})
            is_asked = found["metadata"].get("annotations", {}).get("homeroom.dev/reconcile-at")
            is_handled = now.get("lastHandledReconcileAt") == is_asked
            if is_handled and ready["reason"] == reason and status.items() <= now.items():
                assert violations(found, final=True) == []
                return str(ready["message"])
            assert time.monotonic() < deadline, f"{ready['reason']}: {ready['message']} {now}"
            await asyncio.sleep(0.1)

    def running(self) -> AbstractAsyncContextManager[Store]:
        """The operator at work in this process."""
        return at_work(f"sqlite:///{self.directory / 'homeroom.db'}", self.directory)


@pytest.fixture
def place(
    controlplane: ControlPlane, base: Path, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Place:
    monkeypatch.setenv("KUBECONFIG", str(base))
    return Place(controlplane, namespace, tmp_path)


async def test_a_platform_says_whether_it_can_be_used(place: Place, synapse: Synapse, limited: Account) -> None:
    stranger = synapse.account(f"teacher-{place.namespace}")
    async with place.running():
        # In the order in which nobody would apply them; without the tenant's RoleBinding no Secret is read.
        await place.apply(place.platform(synapse))
        await place.says("Forbidden")
        await place.kubectl(
            "create", "rolebinding", "homeroom", "--clusterrole=homeroom-tenant", f"--serviceaccount={SYSTEM}:homeroom"
        )
        await place.ask()
        await place.says("SecretNotFound")

        await place.apply(place.secret("wrong"))
        await place.ask()
        assert "wrong" not in await place.says("CredentialsInvalid")
        await place.apply(place.secret(stranger.token))
        await place.ask()
        assert "no server administrator" in await place.says("CredentialsInvalid")

        await place.apply(place.secret(f"{limited.token}\n"))  # as `echo` makes it
        await place.ask()
        version = "Synapse 1."
        assert (await place.says("Succeeded", policies=0)).startswith(version)
        await place.apply(
            place.resource(
                "ChatPolicy",
                "schools",
                {
                    "districtRef": {"name": "lakeside"},
                    "platformRef": {"name": "matrix"},
                    "chats": [{"type": "StaffRoom"}],
                },
            )
        )
        await place.says("Succeeded", policies=1)
        # The policy has told that its district is missing; until then there is something to write.
        reason = "{.status.conditions[?(@.type=='Ready')].reason}"
        await place.kubectl(
            "wait", f"--for=jsonpath={reason}=DependencyNotReady", "chatpolicy/schools", "--timeout=60s"
        )

        before = place.plane.etcd_revision()
        await place.ask()
        await place.says("Succeeded", policies=1)
        written = [key for key in place.plane.written_since(before) if f"/{place.namespace}/" in key]
        assert set(written) <= {f"/registry/{GROUP}/chatplatforms/{place.namespace}/matrix"}, "but for the request"

        await place.apply(place.platform(synapse, suspend=True))
        await place.says("Suspended")
        await place.apply(place.platform(synapse, suspend=False))
        await place.says("Succeeded")

"""Licence keys on a real API server, with the rights that `manifests/` ships, and a real SMTP server."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.mailserver import Server, mail_server

from homeroom.api import GROUP
from homeroom.api.conditions import violations
from homeroom.cli import main
from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.stage import message
from homeroom.mail import Mailer, MailServer, Post, Security
from homeroom.seats import keys
from homeroom.store import LicenceName, Store

from .operator_fixtures import ROOT, annotate, at_work, declare, look

pytestmark = pytest.mark.integration

OFFICE = "office@rowan.example"


class Town:
    """A namespace with a pool and one licence whose key is mailed, and the operator that looks after them."""

    def __init__(self, plane: ControlPlane, namespace: str, directory: Path, server: Server) -> None:
        self.plane, self.namespace, self.directory = plane, namespace, directory
        self.database = f"sqlite:///{directory / 'homeroom.db'}"
        there = MailServer(host="127.0.0.1", port=server.port, security=Security.NONE, sender="homeroom@town.example")
        self.mail = there

    async def kubectl(self, *args: str, stdin: str = "") -> str:
        return await asyncio.to_thread(self.plane.kubectl, *args, f"--namespace={self.namespace}", stdin=stdin)

    async def apply(self, *objects: dict[str, Any]) -> None:
        await asyncio.to_thread(declare, self.plane, self.namespace, *objects)

    async def annotate(self, kind: str, name: str, **words: str) -> None:
        await asyncio.to_thread(annotate, self.plane, kind, name, namespace=self.namespace, **words)

    def pool(self) -> dict[str, Any]:
        units = [{"code": "0001", "name": "Rowan Hill"}]
        spec = {"seats": 1000, "timeZone": "Europe/Stockholm", "unitRegistry": {"type": "Inline", "units": units}}
        return self._object("LicensePool", "seats", spec)

    def district(self) -> dict[str, Any]:
        source = {"oneRosterCSV": {"url": "file:none.zip"}}
        return self._object("District", "lakeside", {"timeZone": "Europe/Amsterdam", "source": source})

    def licence(self) -> dict[str, Any]:
        spec = {
            "poolRef": {"name": "seats"},
            "schoolUnit": "0001",
            "seats": 100,
            "access": "Key",
            "deliverKeyTo": {"contactSecretRef": {"name": "contacts"}, "language": "Dutch"},
            "districtRef": {"name": "lakeside"},
        }
        return self._object("SchoolLicense", "rowan", spec)

    def contacts(self) -> dict[str, Any]:
        meta = {"name": "contacts", "namespace": self.namespace, "labels": {"homeroom.dev/use": "credentials"}}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"addresses": OFFICE}}

    def _object(self, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": f"{GROUP}/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}

    def secrets(self) -> dict[str, dict[str, Any]]:
        """All of the namespace, by name."""
        found = self.plane.read(f"/api/v1/namespaces/{self.namespace}/secrets")["items"]
        return {secret["metadata"]["name"]: secret for secret in found}

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the licence's status fits; the licence."""
        deadline = time.monotonic() + 60
        while True:
            found = await asyncio.to_thread(look, self.plane, "schoollicense", "rowan", namespace=self.namespace)
            if condition(found.get("status", {})):
                return found
            assert time.monotonic() < deadline, f"{message(found)} {found.get('status')}"
            await asyncio.sleep(0.1)

    async def key(self) -> str:
        """What is in the licence's Secret."""
        secret = (await asyncio.to_thread(self.secrets))["homeroom-key-rowan"]
        return base64.b64decode(secret["data"]["key"]).decode()

    def running(self) -> AbstractAsyncContextManager[Store]:
        """The operator at work in this process."""
        post = Post(mailer=Mailer(self.mail), connect_url="https://homeroom.example/connect")
        return at_work(self.database, self.directory, post=post)


def says(kind: str, reason: str) -> Callable[[dict[str, Any]], bool]:
    return lambda status: (kind, reason) in [(item["type"], item["reason"]) for item in status.get("conditions", ())]


def take_in(plane: ControlPlane, namespace: str, directory: Path, *components: str) -> None:
    """As a tenant's kustomization does it."""
    places = [os.path.relpath(ROOT / "manifests" / "components" / name, directory) for name in components]
    (directory / "kustomization.yaml").write_text(yaml.safe_dump({"namespace": namespace, "components": places}))
    plane.kubectl("apply", "--server-side", f"--kustomize={directory}")


@pytest.fixture
def kubeconfig(base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KUBECONFIG", str(base))
    return base


@pytest.fixture
def server() -> Iterator[Server]:
    with mail_server() as running:
        yield running


@pytest.fixture
def town(
    controlplane: ControlPlane,
    kubeconfig: Path,  # noqa: ARG001 - what it has installed, and the log-in
    namespace: str,
    tmp_path: Path,
    server: Server,
) -> Iterator[Town]:
    began = controlplane.etcd_revision()
    yield Town(controlplane, namespace, tmp_path, server)
    for obj in controlplane.stored_since(began, f"/registry/{GROUP}/"):
        status = obj.get("status", {})
        if obj["metadata"]["namespace"] != namespace or not status.get("conditions"):
            continue
        ready = [item["status"] for item in status["conditions"] if item["type"] == "Ready"]
        if status["observedGeneration"] == obj["metadata"]["generation"]:
            assert violations(obj, final=ready != ["Unknown"]) == []


async def test_a_key_is_made_mailed_rotated_and_dies_with_its_licence(
    town: Town, controlplane: ControlPlane, server: Server, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    take_in(controlplane, town.namespace, town.directory, "tenant")
    place = LicenceName(town.namespace, "rowan")
    async with town.running() as store:
        await town.apply(town.district(), town.pool(), town.contacts(), town.licence())
        await town.until(says("KeyReady", "Forbidden"))  # the tenant has not taken keys in yet
        take_in(controlplane, town.namespace, town.directory, "tenant", "licence-keys")
        await town.annotate("licensepool", "seats", reconcile_at="now")
        found = await town.until(says("KeyDelivered", "KeySent"))
        first = await town.key()
        assert store.licences.by_key(keys.digest(keys.normalised(first))) == place
        (text,) = server.texts(OFFICE)
        assert first in text
        assert "https://homeroom.example/connect" in text
        assert found["status"]["key"]["sent"] == 1
        secret = (await asyncio.to_thread(town.secrets))["homeroom-key-rowan"]
        assert [owner["uid"] for owner in secret["metadata"]["ownerReferences"]] == [found["metadata"]["uid"]]

        before = controlplane.etcd_revision()
        await town.annotate("licensepool", "seats", reconcile_at="again")

        def is_handled() -> bool:
            pool = look(controlplane, "licensepool", "seats", namespace=town.namespace)
            return bool(pool["status"].get("lastHandledReconcileAt") == "again")

        await asyncio.to_thread(wait_until, is_handled)
        written = {key for key in controlplane.written_since(before) if f"/{town.namespace}/" in key}
        # The District has no records and says so from time to time.
        written -= {f"/registry/{GROUP}/districts/{town.namespace}/lakeside"}
        assert written == {f"/registry/{GROUP}/licensepools/{town.namespace}/seats"}, "but for the request"

        await town.annotate("schoollicense", "rowan", rotate_key_at="today")
        await town.until(lambda status: status.get("lastHandledRotateKeyAt") == "today")
        second = await town.key()
        assert second != first
        assert store.licences.by_key(keys.digest(keys.normalised(first))) is None
        await asyncio.to_thread(wait_until, lambda: len(server.texts(OFFICE)) == 2)
        await town.until(says("KeyDelivered", "KeySent"))
    async with town.running() as store:
        await town.until(says("KeyDelivered", "KeySent"))
        assert await town.key() == second
        await town.kubectl("delete", "schoollicense", "rowan", "--timeout=30s")
        assert store.licences.by_key(keys.digest(keys.normalised(second))) is None
    assert len(server.mails) == 2
    told = "".join(json.dumps(obj) for obj in controlplane.stored_since(0, f"/registry/{GROUP}/"))
    assert not any(word in told for word in (first, second, OFFICE))
    if controlplane.programs.kube_controller_manager is not None:
        # The garbage collector looks for new kinds every 30 s, and then for owners that are gone.
        deadline = time.monotonic() + 120
        while "homeroom-key-rowan" in await asyncio.to_thread(town.secrets):
            assert time.monotonic() < deadline, "the Secret outlives its licence"
            await asyncio.sleep(0.5)


async def test_the_command_reads_with_the_callers_rights_and_mails_by_hand(
    town: Town,
    controlplane: ControlPlane,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    take_in(controlplane, town.namespace, town.directory, "tenant", "licence-keys")
    async with town.running():
        await town.apply(town.district(), town.pool(), town.contacts(), town.licence())
        await town.until(says("KeyDelivered", "KeySent"))
        key = await town.key()
    url = town.directory / "url"
    url.write_text(f"smtp+plain://127.0.0.1:{server.port}")
    here = ("-n", town.namespace)
    mail = ("--smtp-url-file", str(url), "--mail-from", "homeroom@town.example")
    store = ("--store", town.database, "--data", str(town.directory))
    capsys.readouterr()  # what the operator logged
    assert await asyncio.to_thread(main, ["key", "show", "rowan", *here]) == 0
    assert capsys.readouterr().out == f"{key}\n"

    def send(to: str) -> int:
        return main(["key", "send", "rowan", "--to", to, "--language", "Russian", *here, *mail, *store])

    assert await asyncio.to_thread(send, "new@rowan.example") == 0
    assert key in server.texts("new@rowan.example")[0]
    server.refuses["gone@rowan.example"] = "550 5.1.1 gone@rowan.example unknown"
    assert await asyncio.to_thread(send, "gone@rowan.example") == 1
    said = capsys.readouterr()
    assert "gone@" not in said.err + said.out
    opened = Store.open(town.database, town.directory)
    try:
        assert opened.licences.deliveries([town.namespace]).select("sent", "refused").rows() == [(2, 0)]
    finally:
        opened.close()
    bystander = controlplane.kubeconfig_for(town.namespace, "default")
    monkeypatch.setenv("KUBECONFIG", str(bystander))
    assert await asyncio.to_thread(main, ["key", "show", "rowan", *here]) == 1
    assert key not in capsys.readouterr().out
    await town.kubectl("patch", "schoollicense", "rowan", "--type=merge", '--patch={"metadata":{"finalizers":null}}')


def test_the_component_for_mail_gives_the_operator_its_server(controlplane: ControlPlane, tmp_path: Path) -> None:
    places = {
        "resources": [os.path.relpath(ROOT / "manifests" / "base", tmp_path)],
        "components": [os.path.relpath(ROOT / "manifests" / "components" / "mail", tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(places))
    made = list(yaml.safe_load_all(controlplane.kubectl("kustomize", str(tmp_path))))
    (deployment,) = [obj for obj in made if obj["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    (config,) = [obj for obj in made if obj["kind"] == "ConfigMap"]
    assert pod["containers"][0]["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]
    assert config["data"]["HOMEROOM_SMTP_URL_FILE"] == "/etc/homeroom/mail/url"
    assert {"name": "mail", "secret": {"secretName": "homeroom-mail"}} in pod["volumes"]
    assert {item["kind"] for item in made if item["metadata"]["name"] == "homeroom-mail"} == {"NetworkPolicy"}

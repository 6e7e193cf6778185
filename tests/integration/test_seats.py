"""Pools and licences on a real API server: the operator itself, with the rights that `manifests/` ships.

What is asserted is what anybody can read from the API server, and what was written to it.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml

from homeroom.api import FINALIZER, GROUP
from homeroom.api.conditions import violations
from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.server import ServerError
from homeroom.demo.stage import RECORDS, Records, message
from homeroom.store import Store

from .operator_fixtures import ROOT, annotate, at_work, declare, look
from .stage_fixtures import remove_ours

pytestmark = pytest.mark.integration


class Town:
    """One namespace with a district's records, a pool, licences, and the operator that looks after them."""

    def __init__(self, plane: ControlPlane, namespace: str, directory: Path) -> None:
        self.plane, self.namespace, self.directory = plane, namespace, directory
        self.records = Records(RECORDS)
        export = directory / "files" / namespace / "export.zip"
        export.parent.mkdir(parents=True)
        export.write_bytes(self.records.zipped())
        self.began = plane.etcd_revision()

    def students(self, school: str, *, but_of: str = "") -> int:
        """How many learn in a school, and not in the other one: a student has one seat. The barred have none."""
        barred = {row["sourcedId"] for row in self.records.rows("users", enabledUser="false")}
        of, other = (
            {row["userSourcedId"] for row in self.records.rows("enrollments", schoolSourcedId=one, role="student")}
            for one in (school, but_of)
        )
        return len(of - other - barred)

    async def kubectl(self, *args: str, stdin: str = "") -> str:
        return await asyncio.to_thread(self.plane.kubectl, *args, stdin=stdin)

    async def apply(self, *objects: dict[str, Any]) -> None:
        await asyncio.to_thread(declare, self.plane, self.namespace, *objects)

    def district(self) -> dict[str, Any]:
        source = {"oneRosterCSV": {"url": "file:export.zip"}}
        return self._object("District", "lakeside", {"timeZone": "Europe/Amsterdam", "source": source})

    def pool(self, **spec: Any) -> dict[str, Any]:
        units = [{"code": "0001", "name": "Rowan Hill"}, {"code": "0002", "name": "Sable Creek"}]
        wanted = {
            "seats": 1000,
            "timeZone": "Europe/Stockholm",
            "unitRegistry": {"type": "Inline", "units": units},
        }
        return self._object("LicensePool", "seats", {**wanted, **spec})

    def licence(self, name: str, seats: int, **spec: Any) -> dict[str, Any]:
        wanted = {
            "poolRef": {"name": "seats"},
            "schoolUnit": "0001",
            "seats": seats,
            "access": "Automatic",
            "districtRef": {"name": "lakeside"},
            "school": "s-001",
        }
        return self._object("SchoolLicense", name, {**wanted, **spec})

    def _object(self, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": "homeroom.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}

    async def read(self, name: str, kind: str = "schoollicense") -> dict[str, Any]:
        return await asyncio.to_thread(look, self.plane, kind, name, namespace=self.namespace)

    async def until(self, condition: Callable[[dict[str, Any]], bool], name: str, kind: str = "schoollicense") -> Any:
        """Wait until the status of the object, as it is declared now, fits; the status."""
        deadline = time.monotonic() + 60
        while True:
            found = await self.read(name, kind)
            status = found.get("status", {})
            if status.get("observedGeneration") == found["metadata"]["generation"] and condition(status):
                return status
            assert time.monotonic() < deadline, f"{kind}/{name}: {message(found)} {status}"
            await asyncio.sleep(0.1)

    async def is_granted(self, name: str, reason: str, granted: int, used: int) -> dict[str, Any]:
        """Wait until a licence says so; its status."""

        def fits(status: dict[str, Any]) -> bool:
            said = next((item["reason"] for item in status["conditions"] if item["type"] == "SeatsGranted"), "")
            return (said, status.get("granted"), status.get("used")) == (reason, granted, used)

        status: dict[str, Any] = await self.until(fits, name)
        return status

    async def rest(self) -> list[str]:
        """Ask for a run of the pool, wait for it; the keys of the namespace that were written meanwhile."""
        before = self.plane.etcd_revision()
        token = uuid.uuid4().hex
        await asyncio.to_thread(
            annotate, self.plane, "licensepool", "seats", namespace=self.namespace, reconcile_at=token
        )
        await self.until(lambda status: status.get("lastHandledReconcileAt") == token, "seats", "licensepool")
        return [key for key in self.plane.written_since(before) if f"/{self.namespace}/" in key]

    def broken(self) -> list[str]:
        """What the statuses break that were written here."""
        found = []
        for obj in self.plane.stored_since(self.began, f"/registry/{GROUP}/"):
            if obj["metadata"]["namespace"] == self.namespace and obj.get("status", {}).get("conditions"):
                ready = [item["status"] for item in obj["status"]["conditions"] if item["type"] == "Ready"]
                if obj["status"]["observedGeneration"] == obj["metadata"]["generation"]:
                    found += violations(obj, final=ready != ["Unknown"])
        return found

    def running(self) -> AbstractAsyncContextManager[Store]:
        """The operator at work in this process."""
        return at_work(f"sqlite:///{self.directory / 'homeroom.db'}", self.directory)


@pytest.fixture
def town(
    controlplane: ControlPlane, base: Path, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Town]:
    monkeypatch.setenv("KUBECONFIG", str(base))
    place = Town(controlplane, namespace, tmp_path)
    yield place
    assert place.broken() == []


async def test_seats_are_granted_wait_and_return(town: Town) -> None:
    students = town.students("s-001")
    here = f"--namespace={town.namespace}"
    async with town.running():
        # In the order in which nobody would apply them.
        await town.apply(town.licence("rowan", 700))
        await town.is_granted("rowan", "PoolNotFound", 0, 0)
        await town.apply(town.pool())
        await town.is_granted("rowan", "Granted", 700, 0)
        await town.apply(town.district())
        await town.is_granted("rowan", "Granted", 700, students)

        sable = {"schoolUnit": "0002", "school": "s-002"}
        await town.apply(town.licence("sable", 400, **sable), town.licence("typo", 9999, **sable))
        await town.is_granted("typo", "ExceedsPool", 0, 0)
        waits = await town.is_granted("sable", "WaitingForSeats", 0, 0)
        assert "waits until 100 more fall free" in message({"status": waits})

        await town.apply(town.licence("rowan", 40))
        kept = await town.is_granted("rowan", "BelowUsage", students, students)
        assert f"{students} in use" in message({"status": kept})
        await town.is_granted("sable", "Granted", 400, town.students("s-002", but_of="s-001"))

        await town.apply(town.licence("rowan", 700))
        await town.is_granted("rowan", "WaitingForSeats", students, students)
        assert (await town.rest()) == [f"/registry/{GROUP}/licensepools/{town.namespace}/seats"], "but for the request"

        assert FINALIZER in (await town.read("sable"))["metadata"]["finalizers"]
        await town.kubectl("delete", "schoollicense", "sable", here, "--timeout=30s")
        await town.is_granted("rowan", "Granted", 700, students)
        pool = await town.until(lambda status: status["granted"] == 700, "seats", "licensepool")
        assert (pool["used"], pool["licenses"], pool["waitingLicenses"]) == (students, 2, 1)

        shown = (await town.kubectl("get", "slic", "rowan", here)).split("\n")
        assert " ".join(shown[0].split()) == "NAME READY UNIT POOL REQUESTED GRANTED USED DEMAND STATUS AGE"
        assert shown[1].split()[:8] == ["rowan", "True", "0001", "seats", "700", "700", str(students), str(students)]

        await town.kubectl("delete", "licensepool", "seats", here)
        await town.is_granted("rowan", "PoolNotFound", 700, students)
        await town.kubectl("delete", "schoollicense", "rowan", here, "--timeout=30s")


async def test_many_licences_that_go_at_once_wait_for_an_approval(town: Town) -> None:
    """R18, R19: a folder in Git was emptied while nobody looked; what is held stays, with its finalizer and seats."""
    here = f"--namespace={town.namespace}"
    names = [f"licence-{number}" for number in range(4)]
    async with town.running():
        await town.apply(town.district(), town.pool(), *(town.licence(name, 10) for name in names))
        # Seats are granted before the records are read; only who gives seats has something to take away.
        await town.until(lambda status: status.get("used") == 40, "seats", "licensepool")
        for name in names:
            await town.until(lambda status: status.get("used") == 10, name)
    assert all([FINALIZER in (await town.read(name))["metadata"]["finalizers"] for name in names])
    await town.kubectl("delete", "schoollicense", *names[:3], here, "--wait=false")
    async with town.running():
        status = await town.until(lambda status: bool(status.get("holds")), "seats", "licensepool")
        (hold,) = status["holds"]
        assert (hold["guard"], hold["remove"], status["granted"]) == ("Licences", 3, 40)
        assert message({"status": status}).startswith(f"HeldForApproval: held for approval: {hold['id']}: 3 licences")
        for name in names[:3]:
            waits = await town.until(lambda status: hold["id"] in message({"status": status}), name)
            assert message({"status": waits}).startswith("HeldForApproval: ")
        assert await town.rest() == [f"/registry/{GROUP}/licensepools/{town.namespace}/seats"], "but for the request"
        reference = {"kind": "LicensePool", "name": "seats"}
        spec = {"targetRef": reference, "hold": hold["id"], "reason": "three schools left"}
        await town.apply(town._object("Approval", "left", spec))
        await town.kubectl(
            "wait", "--for=delete", *(f"schoollicense/{name}" for name in names[:3]), here, "--timeout=30s"
        )
        status = await town.until(lambda status: status.get("granted") == 10, "seats", "licensepool")
        assert status.get("holds", []) == []
        released = await town.until(lambda status: status.get("released") == 3, "left", "approval")
        assert message({"status": released}).startswith("Released: ")


async def test_a_restart_writes_nothing(town: Town) -> None:
    names = [f"licence-{number}" for number in range(20)]
    async with town.running():
        await town.apply(town.district(), town.pool(), *(town.licence(name, 10) for name in names))
        await town.until(lambda status: status.get("granted") == 200, "seats", "licensepool")
        for name in names:
            await town.until(lambda status: status.get("granted") == 10, name)
        await town.until(lambda status: status.get("used") == town.students("s-001"), "seats", "licensepool")
    before = town.plane.etcd_revision()
    async with town.running():
        assert await town.rest() == [f"/registry/{GROUP}/licensepools/{town.namespace}/seats"], "but for the request"
    written = [key for key in town.plane.written_since(before) if f"/{town.namespace}/" in key]
    assert written == [f"/registry/{GROUP}/licensepools/{town.namespace}/seats"]


async def test_a_namespace_needs_the_pools_word(town: Town, controlplane: ControlPlane) -> None:
    other = f"{town.namespace}-other"
    controlplane.ask("POST", "/api/v1/namespaces", {"metadata": {"name": other}})
    foreign = town.licence("foreign", 5, poolRef={"name": "seats", "namespace": town.namespace})
    foreign["metadata"]["namespace"] = other

    def said() -> str:
        found = look(controlplane, "schoollicense", "foreign", namespace=other)
        return next((c["reason"] for c in found["status"].get("conditions", ()) if c["type"] == "SeatsGranted"), "")

    async def says(reason: str) -> None:
        deadline = time.monotonic() + 60
        while await asyncio.to_thread(said) != reason:
            assert time.monotonic() < deadline, said()
            await asyncio.sleep(0.1)

    try:
        async with town.running():
            await town.apply(town.pool(), foreign)
            await says("NotAllowedByPool")
            await town.apply(town.pool(allowedNamespaces={"matchLabels": {"kubernetes.io/metadata.name": other}}))
            await says("Granted")
    finally:
        remove_ours(controlplane, other)


async def test_a_namespace_goes_with_its_pool_and_its_licences(town: Town, controlplane: ControlPlane) -> None:
    if controlplane.programs.kube_controller_manager is None:
        pytest.skip("KUBEBUILDER_ASSETS has no kube-controller-manager, so no namespace ever goes")
    async with town.running():
        await town.apply(
            town.district(), town.pool(), town.licence("rowan", 400), town.licence("unused", 5, school="s-9")
        )
        await town.is_granted("rowan", "Granted", 400, town.students("s-001"))
        await town.kubectl("delete", "namespace", town.namespace, "--timeout=90s")


@pytest.fixture
def denying(controlplane: ControlPlane, base: Path, tmp_path: Path) -> Iterator[None]:  # noqa: ARG001 - the base
    """The component, taken in as an overlay does it; taken away again."""
    places = {
        "resources": [os.path.relpath(ROOT / "manifests" / "base", tmp_path)],
        "components": [os.path.relpath(ROOT / "manifests" / "components" / "deny-below-use", tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(places))
    controlplane.kubectl("apply", "--server-side", "--force-conflicts", f"--kustomize={tmp_path}")
    yield
    controlplane.kubectl("apply", "--server-side", "--force-conflicts", f"--kustomize={ROOT / 'manifests' / 'base'}")


def used(plane: ControlPlane, town: Town, number: int) -> None:
    """A licence of which so many seats are in use, as the operator would say it."""
    objects = json.dumps(town.licence("rowan", 400))
    plane.kubectl("create", "--filename=-", stdin=objects)
    patch = json.dumps({"status": {"observedGeneration": 1, "used": number}})
    here = f"--namespace={town.namespace}"
    plane.kubectl("patch", "slic", "rowan", here, "--subresource=status", "--type=merge", f"--patch={patch}")


def resize(plane: ControlPlane, town: Town, seats: int, *options: str) -> str:
    patch = f'--patch={{"spec":{{"seats":{seats}}}}}'
    here = f"--namespace={town.namespace}"
    return plane.kubectl("patch", "slic", "rowan", here, "--type=merge", patch, *options)


def test_kubectl_warns_of_fewer_seats_than_are_in_use(
    town: Town, controlplane: ControlPlane, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    """R17, at the first of its three places that can see it."""
    used(controlplane, town, 53)

    def warned() -> bool:  # the API server takes a policy up some moments after it was made
        try:
            resize(controlplane, town, 40, "--warnings-as-errors", "--dry-run=server")
        except ServerError as error:
            return "53 seats are in use and only 40 requested" in str(error)
        return False

    def only_warned() -> bool:  # and drops the one of the test below some moments after that has gone
        try:
            return "patched" in resize(controlplane, town, 40)
        except ServerError:
            return False

    wait_until(warned)
    assert "patched" in resize(controlplane, town, 53, "--warnings-as-errors")
    wait_until(only_warned)
    controlplane.kubectl(
        "annotate", "slic", "rowan", f"--namespace={town.namespace}", "a.example/b=c", "--warnings-as-errors"
    )


@pytest.mark.usefixtures("denying")
def test_where_that_is_wanted_it_is_refused(
    town: Town, controlplane: ControlPlane, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    used(controlplane, town, 53)

    def refused() -> bool:
        try:
            resize(controlplane, town, 40, "--dry-run=server")
        except ServerError as error:
            return "53 seats are in use and only 40 requested" in str(error)
        return False

    wait_until(refused)
    assert "patched" in resize(controlplane, town, 60)

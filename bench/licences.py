"""(e) A pool with 5,000 licences: until all are told what they have, after a restart, and after one edit.

Homeroom's operator, as a process with the rights that `manifests/` ships, and beside it `bench.peer`: handlers of kopf
that share out a pool in the plainest way, and tell of each licence what it was granted and of the pool how much that
is. All licences are created while they run, then one is edited, then they are stopped and started again. They take
turns, each with a control plane of its own: side by side, whoever is through first would leave its half of the machine
to the other, and draw the ratio towards one. Writes are counted by etcd, which keeps every version.

`python -m bench.licences` prints a section for `bench/README.md`. Neighbour: `bench.run`, which writes it there.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import psutil
from bench.measure import REPOSITORY, machine, megabytes, peak_memory, table, tell

from homeroom.api import GROUP
from homeroom.demo.controlplane import ControlPlane, binaries
from homeroom.demo.kolibri import Kolibri, installed
from homeroom.demo.server import default_cache
from homeroom.demo.stage import RECORDS, SYSTEM, Records, Stage, wait_for

LICENCES: Final = 5_000
ROUNDS: Final = 1
MOST_TIME: Final = 0.75
MOST_MEMORY: Final = 0.5
_SEATS: Final = 10
_AT_ONCE: Final = 16
_QUIET_SECONDS: Final = 5.0
_DEADLINE_SECONDS: Final = 900.0
_SCHOOL: Final = "s-empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One turn of one operator. Times are seconds, memory bytes; `writes`, `edited`, `restarted` count versions.

    `alone`: its memory before the first licence.
    """

    ready: float
    cpu: float
    alone: int
    peak: int
    writes: Counter[str]
    edited: Counter[str]
    restarted: Counter[str]
    load: float


class Operator:
    """What is measured. Started in an environment that is ready for it."""

    def __init__(self, stage: Stage, *, is_peer: bool) -> None:
        self.stage = stage
        self.is_peer = is_peer
        self._peer: subprocess.Popen[bytes] | None = None

    def start(self) -> int:
        """Start it; its process id."""
        if not self.is_peer:
            self.stage.start()
            assert self.stage.operator is not None
            return self.stage.operator.pid
        with self.stage.log.open("ab") as log:
            self._peer = subprocess.Popen(
                [sys.executable, "-m", "bench.peer", self.stage.namespace],
                env={**os.environ, "KUBECONFIG": str(self.stage.kubeconfig())},
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self._peer.pid

    def stop(self) -> None:
        """End it in peace."""
        if self._peer is None:
            self.stage.stop()
            return
        self._peer.terminate()
        self._peer.wait(60)
        self._peer = None

    def kill(self) -> None:
        """End it at once, where it still runs."""
        self.stage.kill()
        if self._peer is not None:
            self._peer.kill()
            self._peer.wait()


def section(licences: int, rounds: int) -> str:
    """Measure; the section for the README."""
    ours, theirs = list[Measured](), list[Measured]()
    with tempfile.TemporaryDirectory(prefix="homeroom-bench-") as directory:
        for number in range(rounds):
            ours.append(_turn(Path(directory) / f"{number}-homeroom", licences, is_peer=False))
            theirs.append(_turn(Path(directory) / f"{number}-peer", licences, is_peer=True))
    return _told(ours, theirs, licences, rounds)


def _turn(place: Path, licences: int, *, is_peer: bool) -> Measured:
    """Measure one of the two."""
    with ControlPlane(binaries(default_cache()), place / "controlplane") as plane, ExitStack() as stack:
        operator = _installed(plane, place, is_peer=is_peer)
        stack.callback(operator.kill)
        found = _measure(operator, plane, licences)
    who = "peer" if is_peer else "Homeroom"
    tell(f"{who}: {found.ready:.1f} s, CPU {found.cpu:.1f} s, {megabytes(found.peak)}, load {found.load:.1f}")
    return found


def _installed(plane: ControlPlane, place: Path, *, is_peer: bool) -> Operator:
    """The operator, with CRDs, rights, and a district whose only school with licences has no students."""
    stage = Stage(
        kubectl=plane.kubectl,
        # The peer does not come with rights of its own.
        kubeconfig=lambda: plane.admin_kubeconfig if is_peer else plane.kubeconfig_for(SYSTEM, "homeroom"),
        kolibri=Kolibri(installed(default_cache()), place / "kolibri"),  # never started: there is no app
        directory=place,
        namespace="bench",
        options=("--no-lease",),
    )
    stage.install()
    stage.kubectl("create", "namespace", stage.namespace)
    records = Records(RECORDS)
    records.add("orgs", sourcedId=_SCHOOL, name="Empty School", type="school", parentSourcedId="d-1")
    stage.publish(records)
    return Operator(stage, is_peer=is_peer)


def _measure(operator: Operator, plane: ControlPlane, licences: int) -> Measured:
    stage = operator.stage
    sync = {"mode": "Interval", "interval": "1h"}
    source = {"oneRosterCSV": {"url": "file:export.zip"}}
    registry = {"type": "Inline", "units": [{"code": "0001", "name": "Empty School"}]}
    pool = {"seats": licences * _SEATS, "timeZone": "UTC", "unitRegistry": registry}
    _apply(stage, "District", "bench", {"timeZone": "UTC", "source": source, "sync": sync})
    _apply(stage, "LicensePool", "seats", pool)
    pid = operator.start()
    process = psutil.Process(pid)
    if operator.is_peer:
        wait_for("the peer at work", lambda: _is_at_work(stage), seconds=60)
    else:
        stage.wait_ready("district", "bench")
        stage.wait_ready("licensepool", "seats")

    alone = process.memory_info().rss
    revision, cpu, begun = plane.etcd_revision(), _cpu(process), time.monotonic()
    asyncio.run(_create(plane, stage.namespace, licences))
    tell(f"{licences:,} licences created in {time.monotonic() - begun:.1f} s")
    looks = _Looks(plane, stage.namespace)
    wait_for("all told", lambda: looks.all_told(licences), seconds=_DEADLINE_SECONDS)
    ready, load = time.monotonic() - begun, os.getloadavg()[0]
    _rest(plane)
    spent, writes = _cpu(process) - cpu, _writes(plane, revision)
    writes.subtract({"schoollicenses": licences})  # their creation

    revision = plane.etcd_revision()
    edit = ("schoollicense", "licence-00000", "-n", stage.namespace, "--type=merge")
    stage.kubectl("patch", *edit, '--patch={"spec":{"seats":5}}')
    given = licences * _SEATS - 5
    wait_for("the edit told", lambda: looks.pool().get("granted") == given, seconds=_DEADLINE_SECONDS)
    _rest(plane)
    edited = _writes(plane, revision)
    edited.subtract({"schoollicenses": 1})  # the edit itself
    peak = peak_memory(pid)

    operator.stop()
    revision = plane.etcd_revision()
    last = stage.last_run("LicensePool", "seats")
    operator.start()
    if not operator.is_peer:
        wait_for("the pool has run", lambda: stage.last_run("LicensePool", "seats") > last, seconds=_DEADLINE_SECONDS)
    _rest(plane, seconds=_QUIET_SECONDS * 3)
    restarted = _writes(plane, revision)
    for obj in plane.stored_since(revision, f"/registry/{GROUP}/"):
        said = [(one["type"], one["reason"]) for one in obj.get("status", {}).get("conditions", ())]
        tell(f"written after the restart: {obj['kind']} {obj['metadata']['name']}: {said}")
    return Measured(
        ready=ready,
        cpu=spent,
        alone=alone,
        peak=peak,
        writes=writes,
        edited=edited,
        restarted=restarted,
        load=load,
    )


def _apply(stage: Stage, kind: str, name: str, spec: dict[str, Any]) -> None:
    meta = {"name": name, "namespace": stage.namespace}
    obj = {"apiVersion": f"{GROUP}/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}
    stage.kubectl("create", "-f", "-", stdin=json.dumps(obj))


async def _create(plane: ControlPlane, namespace: str, licences: int) -> None:
    """Create all licences, some at a time."""
    url = f"{plane.url}{_path(namespace)}/schoollicenses"
    spec = {
        "poolRef": {"name": "seats"},
        "schoolUnit": "0001",
        "school": _SCHOOL,
        "seats": _SEATS,
        "access": "Automatic",
        "districtRef": {"name": "bench"},
    }
    names = iter([f"licence-{number:05}" for number in range(licences)])

    async def some(session: aiohttp.ClientSession) -> None:
        for name in names:
            body = {
                "apiVersion": f"{GROUP}/v1alpha1",
                "kind": "SchoolLicense",
                "metadata": {"name": name},
                "spec": spec,
            }
            async with session.post(url, json=body) as response:
                response.raise_for_status()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=_as_admin(plane))) as session:
        await asyncio.gather(*(some(session) for _ in range(_AT_ONCE)))


def _as_admin(plane: ControlPlane) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=plane.ca)
    context.load_cert_chain(plane.directory / "admin.pem")
    return context


def _path(namespace: str) -> str:
    return f"/apis/{GROUP}/v1alpha1/namespaces/{namespace}"


class _Looks:
    """Looks at what the licences and their pool say, over one connection.

    A kubectl for each look takes more CPU than the operator that is measured.
    """

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._connection = http.client.HTTPSConnection(plane.url.removeprefix("https://"), context=_as_admin(plane))
        self._path = _path(namespace)

    def pool(self) -> dict[str, Any]:
        """The pool's status."""
        status: dict[str, Any] = self._read("licensepools/seats").get("status", {})
        return status

    def all_told(self, licences: int) -> bool:
        """Whether the pool says so, and every licence; the pool is asked first, that is little work for the server."""
        status = self.pool()
        if (status.get("licenses"), status.get("granted")) != (licences, licences * _SEATS):
            return False
        return all(item.get("status", {}).get("granted") == _SEATS for item in self._read("schoollicenses")["items"])

    def _read(self, what: str) -> dict[str, Any]:
        self._connection.request("GET", f"{self._path}/{what}")
        with self._connection.getresponse() as answer:
            found: dict[str, Any] = json.load(answer)
        return found


def _is_at_work(stage: Stage) -> bool:
    """Whether kopf has handled the pool: it says so in an annotation."""
    return any("last-handled" in name for name in stage.get("licensepool", "seats")["metadata"].get("annotations", {}))


def _rest(plane: ControlPlane, *, seconds: float = _QUIET_SECONDS) -> None:
    def is_quiet() -> bool:
        revision = plane.etcd_revision()
        time.sleep(seconds)
        return not plane.written_since(revision)

    wait_for("rest", is_quiet, seconds=_DEADLINE_SECONDS)


def _writes(plane: ControlPlane, revision: int) -> Counter[str]:
    """How many versions of our objects were written since, by kind."""
    found = plane.stored_since(revision, f"/registry/{GROUP}/")
    return Counter(f"{obj['kind'].lower()}s" for obj in found)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _told(ours: Sequence[Measured], theirs: Sequence[Measured], licences: int, rounds: int) -> str:
    def ratio(value: Callable[[Measured], float]) -> str:
        return f"{statistics.median(value(our) / value(their) for our, their in zip(ours, theirs, strict=True)):.2f}"

    def row(what: str, words: Callable[[Measured], str], share: str = "") -> list[str]:
        return [what, " / ".join(map(words, ours)), " / ".join(map(words, theirs)), share]

    def per_licence(one: Measured) -> str:
        return f"{one.writes['schoollicenses'] / licences:.2f}"

    rows = [
        row(
            f"{licences:,} licences told, from the first creation on",
            lambda one: f"{one.ready:.1f} s",
            f"**{ratio(lambda one: one.ready)}**",
        ),
        row("CPU of the operator until rest", lambda one: f"{one.cpu:.1f} s", ratio(lambda one: one.cpu)),
        row("memory, peak", lambda one: megabytes(one.peak), f"**{ratio(lambda one: one.peak)}**"),
        row("of that before the first licence", lambda one: megabytes(one.alone), ratio(lambda one: one.alone)),
        row(
            "of that for the licences",
            lambda one: megabytes(one.peak - one.alone),
            ratio(lambda one: one.peak - one.alone),
        ),
        row("writes per licence until rest", per_licence),
        row("writes to the pool until rest", lambda one: str(one.writes["licensepools"])),
        row("writes after the edit of one licence: licences", lambda one: str(one.edited["schoollicenses"])),
        row("writes after the edit of one licence: pool", lambda one: str(one.edited["licensepools"])),
        row("writes after a restart", lambda one: f"**{one.restarted.total()}**"),
    ]
    goal = (
        f"Goals: one write per licence until Ready, in at most {MOST_TIME} of the peer's time and {MOST_MEMORY} of its "
        "memory; after one edit at most two writes per changed object; after a restart none."
    )
    loads = [one.load for one in (*ours, *theirs)]
    remarks = (
        f"Rounds: {rounds}; ratios are medians; {machine('kopf', 'aiohttp')}; one-minute load when all were told: "
        f"{min(loads):.1f} to {max(loads):.1f}."
    )
    return "\n\n".join([goal, table(["measure", "Homeroom", "kopf peer", "ratio"], rows), remarks])


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.licences", description=__doc__)
    parser.add_argument("--licences", type=int, default=LICENCES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args()
    print(section(chosen.licences, chosen.rounds))


if __name__ == "__main__":
    _main()

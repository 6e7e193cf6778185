"""Stages for the tests: a namespace, a Kolibri and an operator of their own, on the control plane of the worker.

Loaded by conftest.py. `stage` is an empty one. `synced` is one that holds the example district. A first sync takes
longer than most tests, so there is one for all tests of a run: what operator and Kolibri hold after it is copied
(`first_sync`), and each worker has a stage that began with that copy. Before it is given away again it is looked at,
and where the test before has left it different, it is put back to the copy.

Every status that is written in their namespaces has to meet the rules for conditions, whatever a test is about.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from unittest import mock

import pytest

from homeroom.api import API_VERSION, GROUP, KINDS
from homeroom.api.conditions import violations
from homeroom.cli import main
from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.kolibri import Kolibri, installed
from homeroom.demo.server import ServerError, default_cache, made_once
from homeroom.demo.stage import OWNER, RECORDS, SYSTEM, Launch, Records, Stage, condition, wait_for
from homeroom.errors import HomeroomError

from .forked import forking

Homeroom = Callable[..., subprocess.CompletedProcess[str]]
"""Runs a command of `homeroom`."""

_KOLIBRI: Final = "kolibri"
"""The folder of a stage in which its Kolibri is."""

State = dict[str, dict[str, set[tuple[str, str]]]]
"""Facility name -> class name -> (full name, role)."""


def held(stage: Stage) -> State:
    """What Kolibri holds, in words that do not depend on its ids. Fails on duplicates."""
    tables = stage.kolibri.tables()
    facilities = {row["id"]: row["name"] for row in tables["collection"] if row["kind"] == "facility"}
    classes = {
        row["id"]: (facilities[row["parent_id"]], row["name"])
        for row in tables["collection"]
        if row["kind"] == "classroom"
    }
    people = {row["id"]: row["full_name"] for row in tables["facilityuser"]}
    assert len(set(facilities.values())) == len(facilities), "a school was made twice"
    assert len(set(classes.values())) == len(classes), "a class was made twice"
    state: State = {name: {} for name in facilities.values()}
    for facility, name in classes.values():
        state[facility][name] = set()
    for row in tables["membership"]:
        facility, name = classes[row["collection_id"]]
        state[facility][name].add((people[row["user_id"]], "learner"))
    for row in tables["role"]:
        if row["collection_id"] in classes:
            facility, name = classes[row["collection_id"]]
            state[facility][name].add((people[row["user_id"]], row["kind"]))
        elif row["kind"] == "admin":
            state[facilities[row["collection_id"]]].setdefault("", set()).add((people[row["user_id"]], "admin"))
    return state


def accounts(stage: Stage) -> list[tuple[str, str]]:
    """(school, source id) of all accounts that carry one: a person twice in a school would show up here twice."""
    rows = stage.kolibri.tables()["facilityuser"]
    return sorted((row["facility_id"], row["id_number"]) for row in rows if row["id_number"])


def declared(stage: Stage) -> set[str]:
    """What there is in the namespace, of our kinds. Words of people about what was held are used up, and do nothing."""
    plurals = {kind.plural for kind in KINDS.values()} - {"approvals"}
    return {f"{plural}/{found['metadata']['name']}" for plural in plurals for found in stage.list(plural)}


@dataclass(frozen=True, slots=True)
class Synced:
    """A stage, what it held after its first sync, and a copy of its directory from then."""

    plane: ControlPlane
    stage: Stage
    copy: Path
    state: State
    accounts: list[tuple[str, str]]
    declared: set[str]

    @classmethod
    def of(cls, plane: ControlPlane, stage: Stage, copy: Path) -> Synced:
        """A stage that is as after its first sync now."""
        return cls(plane, stage, copy, held(stage), accounts(stage), declared(stage))

    def put_away(self) -> None:
        """End the operator, and take out of the cluster what was declared: neither gets in the way of other stages."""
        self.stage.kill()
        remove_ours(self.plane, self.stage.namespace)

    def bring_back(self) -> None:
        """After `put_away`: hold again what was kept, and declare all anew, as after the loss of a cluster."""
        self.stage.kolibri.kill()
        shutil.rmtree(self.stage.directory)
        shutil.copytree(self.copy, self.stage.directory)
        self.stage.kolibri.start()
        run_again(self.stage)

    def is_as_it_was(self) -> bool:
        """Put back what is declared and published, and look whether all is as after the first sync."""
        if self.stage.operator is None:
            return False
        try:
            self.stage.declare()
            self.stage.publish(Records(RECORDS))
            self.stage.run("district", "lakeside")
            app = self.stage.run("learningapp", "kolibri")
        except HomeroomError:  # the test before has left a ruin
            return False
        return condition(app["status"], "Ready") == "True" and self._holds_the_same()

    def is_again_as_it_was(self) -> bool:
        """Put back everything, from the copy, and look whether all is as after the first sync."""
        try:
            self.put_away()
            self.bring_back()
        except HomeroomError:
            return False
        return self._holds_the_same()

    def _holds_the_same(self) -> bool:
        now = (held(self.stage), accounts(self.stage), declared(self.stage))
        return now == (self.state, self.accounts, self.declared)


def sync_first(stage: Stage) -> None:
    """Put the example district into an empty stage."""
    stage.publish(Records(RECORDS))
    stage.declare()
    stage.start()
    stage.approve(stage.wait_held("learningapp", "kolibri"), of="kolibri")
    wait_synced(stage)


def wait_synced(stage: Stage) -> None:
    """Until nothing is left to do."""
    stage.wait_ready("learningapp", "kolibri")
    rows = ["Synced" for _ in Records(RECORDS).rows("orgs", type="school")]
    wait_for("a row per school", lambda: [row["status"].get("summary") for row in stage.list("schools")] == rows)


def run_again(stage: Stage) -> None:
    """Declare the example district where operator and Kolibri hold it already."""

    def last_runs() -> list[str]:
        return [stage.last_run(*root) for root in (("District", "lakeside"), ("LearningApp", "kolibri"))]

    stage.declare()
    before = last_runs()
    stage.start()
    wait_for("a run of both", lambda: all(last > then for last, then in zip(last_runs(), before, strict=True)))
    wait_synced(stage)


def keep(stage: Stage, copy: Path) -> None:
    """Copy what operator and Kolibri hold, while nothing is written."""
    assert stage.operator is not None
    stage.operator.send_signal(signal.SIGSTOP)
    with stage.kolibri.standing_still():
        shutil.copytree(stage.directory, copy)
    stage.operator.send_signal(signal.SIGCONT)


def remove_ours(plane: ControlPlane, namespace: str) -> None:
    """Delete all that is declared in the namespace, and what the operator has made of it; no operator runs any more."""
    for kind in KINDS.values():
        place = f"/apis/{API_VERSION}/namespaces/{namespace}/{kind.plural}"
        with contextlib.suppress(ServerError):  # this cluster has no such kind
            for left in plane.ask("DELETE", place)["items"]:
                if "finalizers" in left["metadata"]:
                    itself = f"{place}/{left['metadata']['name']}"
                    plane.ask("PATCH", itself, {"metadata": {"finalizers": None}})


@contextlib.contextmanager
def staged(plane: ControlPlane, directory: Path, *, copy: Path | None = None) -> Iterator[Stage]:
    """A stage for the time of the block, an empty one or one that begins with what was kept as `copy`; needs `base`.

    At its end all statuses that were written are judged.
    """
    before = plane.etcd_revision()
    name = copy.name if copy else f"stage-{uuid.uuid4().hex[:8]}"
    installation = installed(default_cache())
    if copy:
        shutil.copytree(copy, directory / name)
        shutil.rmtree(directory / name / _KOLIBRI)  # it begins with the files of the copy, see below
        installation = replace(installation, home=copy / _KOLIBRI / "home")
    with Kolibri(installation, directory / name / _KOLIBRI, quick=True) as server:
        stage = _stage(plane, server, directory / name)
        try:
            yield stage
        finally:
            stage.kill()
            remove_ours(plane, name)
    assert broken(plane, stage, since=before) == []


def _stage(plane: ControlPlane, kolibri: Kolibri, directory: Path) -> Stage:
    return Stage(
        kubectl=plane.kubectl,
        plane=plane,
        kubeconfig=lambda: plane.kubeconfig_for(SYSTEM, "homeroom"),
        kolibri=kolibri,
        directory=directory,
        namespace=directory.name,
        options=("--no-lease",),  # a killed leader's Lease would have to run out first
    )


def broken(plane: ControlPlane, stage: Stage, *, since: int) -> list[str]:
    """What the statuses break that were written after the revision `since`: `kind/name: rule`."""
    statuses: dict[str, Any] = {}
    found: list[str] = []
    for obj in plane.stored_since(since, f"/registry/{GROUP}/"):
        metadata, status = obj["metadata"], obj.get("status", {})
        if metadata["namespace"] != stage.namespace or not status.get("conditions"):
            continue  # nobody has looked yet
        if statuses.get(metadata["uid"]) == status:
            continue  # this version is somebody's edit of the spec
        statuses[metadata["uid"]] = status
        final = condition(status, "Ready") != "Unknown"
        found += [f"{obj['kind']}/{metadata['name']}: {rule}" for rule in violations(obj, final=final)]
    return found


@pytest.fixture
def stage(controlplane: ControlPlane, base: Path, tmp_path: Path) -> Iterator[Stage]:  # noqa: ARG001 - CRDs, rights
    """A stage of this test's own."""
    with staged(controlplane, tmp_path) as stage:
        yield stage


@pytest.fixture(scope="package")
def forked() -> Iterator[Launch]:
    """For tests that are not about the command itself: each operator is its own process, but nothing is loaded anew."""
    with forking() as launch:
        yield launch


class SyncedStages(contextlib.ExitStack):
    """Gives a stage that holds the example district: the same one as before, if there is any way back to that.

    `shared` is a directory of all workers, where the first one that needs it leaves the copy; `own` is of this one. A
    stage begins with the operator as everybody starts it; later ones are started by `launch`.
    """

    def __init__(self, plane: ControlPlane, *, shared: Path, own: Path, launch: Launch) -> None:
        super().__init__()
        self.plane, self._shared, self._own, self._launch = plane, shared, own, launch
        self._kept: Synced | None = None

    def copy(self) -> Path:
        """What a stage holds after its first sync; the folder is called like its namespace."""
        copy, stage = self._copied()
        if stage is not None:
            self._kept = Synced.of(self.plane, stage, copy)
            self._kept.put_away()
        return copy

    def give(self) -> Stage:
        """As after its first sync, with everything at rest."""
        if self._kept is None:
            copy, stage = self._copied()
            if stage is None:
                stage = self.enter_context(staged(self.plane, self._own, copy=copy))
                run_again(stage)
            self._kept = Synced.of(self.plane, stage, copy)
        elif not (self._kept.is_as_it_was() or self._kept.is_again_as_it_was()):
            self._kept = None
            self.close()
            stage = self._synced_first()
            copy = stage.directory.with_suffix(".copy")
            keep(stage, copy)
            self._kept = Synced.of(self.plane, stage, copy)
        self._kept.stage.launch = self._launch
        return self._kept.stage

    def put_away(self) -> None:
        """Until it is given again."""
        if self._kept is not None:
            self._kept.put_away()

    def _copied(self) -> tuple[Path, Stage | None]:
        """The copy of all workers, and the stage of which it was made just now, if it was."""
        made: list[Stage] = []

        def make(place: Path) -> Path:
            made.append(self._synced_first())
            keep(made[0], place / "done" / made[0].namespace)
            return place / "done"

        (copy,) = made_once(self._shared, "first-sync", recipe=[], make=make).iterdir()
        return copy, made[0] if made else None

    def _synced_first(self) -> Stage:
        stage = self.enter_context(staged(self.plane, self._own))
        sync_first(stage)
        return stage


@pytest.fixture(scope="package")
def all_synced_stages(
    controlplane: ControlPlane,
    base: Path,  # noqa: ARG001 - CRDs, rights
    tmp_path_factory: pytest.TempPathFactory,
    worker_id: str,
    forked: Launch,
) -> Iterator[SyncedStages]:
    """What `synced` gives; a first sync is needed once per run."""
    mine = tmp_path_factory.getbasetemp()
    shared = mine if worker_id == "master" else mine.parent
    with SyncedStages(controlplane, shared=shared, own=tmp_path_factory.mktemp("synced"), launch=forked) as stages:
        yield stages


@pytest.fixture
def first_sync(all_synced_stages: SyncedStages, tmp_path: Path) -> Stage:
    """What a stage held after a first sync that nobody disturbed. Nothing of it runs: look at it, and no more."""
    copy = all_synced_stages.copy()
    mine = shutil.copytree(copy, tmp_path / copy.name)  # who opens a database may write to it
    return _stage(all_synced_stages.plane, Kolibri(installed(default_cache()), mine / _KOLIBRI), mine)


@pytest.fixture(scope="module")
def synced_stages(all_synced_stages: SyncedStages) -> Iterator[Callable[[], Stage]]:
    """Gives a stage as long as tests of a module run: its operator would have a look at the objects of others."""
    yield all_synced_stages.give
    all_synced_stages.put_away()


@pytest.fixture
def synced(synced_stages: Callable[[], Stage], controlplane: ControlPlane) -> Iterator[Stage]:
    """A stage that holds the example district and runs. A test that leaves it as it was saves the next a first sync."""
    before = controlplane.etcd_revision()
    stage = synced_stages()
    yield stage
    assert broken(controlplane, stage, since=before) == []


def process_at(stage: Stage, plane: ControlPlane) -> Homeroom:
    """What runs `homeroom` as a person would where the store is; variables that are None are not set."""

    def run(*arguments: str, stdin: str = "", **variables: str | None) -> subprocess.CompletedProcess[str]:
        settings = {**_settings(stage, plane), **variables}
        return subprocess.run(
            [sys.executable, "-m", "homeroom.cli", *arguments],
            env={**os.environ, **{name: value for name, value in settings.items() if value is not None}},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def homeroom_at(stage: Stage, plane: ControlPlane) -> Homeroom:
    """The same in the process of the test, where all is loaded: for commands that are not what the test is about."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        with (
            mock.patch.dict(os.environ, _settings(stage, plane)),
            contextlib.redirect_stdout(io.StringIO()) as said,
            contextlib.redirect_stderr(io.StringIO()) as errors,
        ):
            code = main(arguments)
        return subprocess.CompletedProcess(arguments, code, said.getvalue(), errors.getvalue())

    return run


def _settings(stage: Stage, plane: ControlPlane) -> dict[str, str]:
    return {
        "KUBECONFIG": str(plane.admin_kubeconfig),
        "HOMEROOM_NAMESPACE": stage.namespace,
        "HOMEROOM_STORE": f"sqlite:///{stage.database}",
        "HOMEROOM_DATA": str(stage.directory / "data"),
        "HOMEROOM_FILE_ROOT": str(stage.directory / "files"),
        "HOMEROOM_OWNER_ID": OWNER,
        "HOME": str(stage.directory),
    }


def document(done: subprocess.CompletedProcess[str]) -> Any:
    """The JSON that a command printed."""
    assert done.stderr == ""
    return json.loads(done.stdout)

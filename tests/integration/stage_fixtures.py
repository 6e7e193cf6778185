"""Stages for the tests: a namespace, a Kolibri and an operator of their own, on the control plane of the worker.

Loaded by conftest.py. `stage` is an empty one. `synced` is one that holds the example district: a first sync takes
longer than most tests, so tests get the same one as long as each leaves it as it was, which is looked at before it is
given away again.

Every status that is written in their namespaces has to meet the rules for conditions, whatever a test is about.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from homeroom.api import GROUP, KINDS
from homeroom.api.conditions import violations
from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.kolibri import Kolibri, installed
from homeroom.demo.server import default_cache
from homeroom.demo.stage import OWNER, RECORDS, SYSTEM, Records, Stage, condition, wait_for
from homeroom.errors import HomeroomError

Homeroom = Callable[..., subprocess.CompletedProcess[str]]
"""Runs a command of `homeroom` as a process, with variables of its environment as keywords."""

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


@dataclass(frozen=True, slots=True)
class Synced:
    """A stage, and what it held after its first sync."""

    stage: Stage
    state: State
    accounts: list[tuple[str, str]]

    @classmethod
    def from_empty(cls, stage: Stage) -> Synced:
        """Put the example district into a stage."""
        records = Records(RECORDS)
        stage.publish(records)
        stage.declare()
        stage.start()
        stage.approve(stage.wait_held("learningapp", "kolibri"), of="kolibri")
        stage.wait_ready("learningapp", "kolibri")
        rows = ["Synced" for _ in records.rows("orgs", type="school")]
        wait_for("a row per school", lambda: [row["status"].get("summary") for row in stage.list("schools")] == rows)
        return cls(stage, held(stage), accounts(stage))

    def is_as_it_was(self) -> bool:
        """Put back what is declared and published, and look whether all is as after the first sync."""
        try:
            self.stage.declare()
            self.stage.publish(Records(RECORDS))
            self.stage.run("district", "lakeside")
            app = self.stage.run("learningapp", "kolibri")
        except HomeroomError:  # the test before has left a ruin
            return False
        is_ready = condition(app["status"], "Ready") == "True"
        return is_ready and held(self.stage) == self.state and accounts(self.stage) == self.accounts


@contextlib.contextmanager
def staged(plane: ControlPlane, directory: Path) -> Iterator[Stage]:
    """A stage for the time of the block; at its end all statuses that were written are judged."""
    before = plane.etcd_revision()
    name = f"stage-{uuid.uuid4().hex[:8]}"
    with Kolibri(installed(default_cache()), directory / name / "kolibri") as server:
        stage = Stage(
            kubectl=plane.kubectl,
            kubeconfig=lambda: plane.kubeconfig_for(SYSTEM, "homeroom"),
            kolibri=server,
            directory=directory / name,
            namespace=name,
            options=("--no-lease",),  # a killed leader's Lease would have to run out first
        )
        stage.install()
        try:
            yield stage
        finally:
            stage.kill()
            ours = ",".join(kind.plural for kind in KINDS.values())
            plane.kubectl("delete", ours, "--all", "-n", name, "--wait=false")
            plane.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
    assert broken(plane, stage, since=before) == []


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
def stage(controlplane: ControlPlane, tmp_path: Path) -> Iterator[Stage]:
    """A stage of this test's own."""
    with staged(controlplane, tmp_path) as stage:
        yield stage


@pytest.fixture(scope="module")
def synced_stages(
    controlplane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Stage]]:
    """Gives a stage that holds the example district: the same one as before, unless a test has left it different.

    Of a module, not of the session: its operator would have a look at the objects of all other tests.
    """
    kept: Synced | None = None
    with contextlib.ExitStack() as stack:

        def give() -> Stage:
            nonlocal kept
            if kept is None or not kept.is_as_it_was():
                kept = None
                stack.close()
                kept = Synced.from_empty(stack.enter_context(staged(controlplane, tmp_path_factory.mktemp("synced"))))
            return kept.stage

        yield give


@pytest.fixture
def synced(synced_stages: Callable[[], Stage], controlplane: ControlPlane) -> Iterator[Stage]:
    """A stage that holds the example district and runs. A test that leaves it as it was saves the next a first sync."""
    before = controlplane.etcd_revision()
    stage = synced_stages()
    yield stage
    assert broken(controlplane, stage, since=before) == []


def homeroom_at(stage: Stage, plane: ControlPlane) -> Homeroom:
    """What runs `homeroom` as a person would where the store is; variables that are None are not set."""

    def run(*arguments: str, stdin: str = "", **variables: str | None) -> subprocess.CompletedProcess[str]:
        settings = {
            "KUBECONFIG": str(plane.admin_kubeconfig),
            "HOMEROOM_NAMESPACE": stage.namespace,
            "HOMEROOM_STORE": f"sqlite:///{stage.database}",
            "HOMEROOM_DATA": str(stage.directory / "data"),
            "HOMEROOM_FILE_ROOT": str(stage.directory / "files"),
            "HOMEROOM_OWNER_ID": OWNER,
            "HOME": str(stage.directory),
            **variables,
        }
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


def document(done: subprocess.CompletedProcess[str]) -> Any:
    """The JSON that a command printed."""
    assert done.stderr == ""
    return json.loads(done.stdout)

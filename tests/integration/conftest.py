"""Real servers for the tests: each is started once per test run (with xdist, once per worker) on free ports."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from homeroom.api import KINDS
from homeroom.api.conditions import violations
from homeroom.demo.controlplane import ControlPlane, binaries, default_cache
from homeroom.demo.kolibri import Kolibri, installed
from homeroom.demo.stage import SYSTEM, Stage, condition

from .kolibri_fixtures import kolibri, place  # noqa: F401 (fixtures; tests are no package with a name)


@pytest.fixture(scope="session")
def controlplane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The real control plane. A test that stops its API server starts it again."""
    with ControlPlane(binaries(default_cache()), tmp_path_factory.mktemp("controlplane")) as plane:
        yield plane


@pytest.fixture(scope="session")
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """A function that waits until a condition holds, and fails the test after 30 s."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true within 30 s"
            time.sleep(0.05)

    return wait


@pytest.fixture
def namespace(controlplane: ControlPlane, wait_until: Callable[[Callable[[], bool]], None]) -> Iterator[str]:
    """A new namespace of its own, in which all is quiet; it is deleted afterwards, and nobody waits for that."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    controlplane.kubectl("create", "namespace", name)
    if controlplane.programs.kube_controller_manager is not None:
        # Controllers put these into every namespace. A test that counts writes must not see that.
        furniture = ["serviceaccount/default", "configmap/kube-root-ca.crt"]
        look = ["get", *furniture, f"--namespace={name}", "--ignore-not-found", "--output=name"]
        wait_until(lambda: controlplane.kubectl(*look).split() == furniture)
    yield name
    controlplane.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


MakeStage = Callable[[], Stage]


@pytest.fixture
def make_stage(controlplane: ControlPlane, tmp_path: Path) -> Iterator[MakeStage]:
    """Makes stages: a namespace, a Kolibri and an operator of their own, on the shared control plane.

    Every status that is written in their namespaces has to meet the rules for conditions, whatever the test is about.
    """
    with contextlib.ExitStack() as stack:

        def make() -> Stage:
            name = f"stage-{uuid.uuid4().hex[:8]}"
            directory = tmp_path / name
            directory.mkdir()
            stage = Stage(
                kubectl=controlplane.kubectl,
                kubeconfig=lambda: controlplane.kubeconfig_for(SYSTEM, "homeroom"),
                kolibri=stack.enter_context(Kolibri(installed(default_cache()), directory / "kolibri")),
                directory=directory,
                namespace=name,
                options=("--no-lease",),  # a killed leader's Lease would have to run out first
            )
            stage.install()
            stack.enter_context(_watched(controlplane, stage))
            return stage

        yield make


@pytest.fixture
def stage(make_stage: MakeStage) -> Stage:
    """One stage."""
    return make_stage()


@contextlib.contextmanager
def _watched(controlplane: ControlPlane, stage: Stage) -> Iterator[None]:
    """Follow every version of every object of the stage; at its end, judge each status that was written."""
    program, config = str(controlplane.programs.kubectl), f"--kubeconfig={controlplane.admin_kubeconfig}"
    with contextlib.ExitStack() as stack:
        outputs = []
        for kind in KINDS.values():
            output = stage.directory / f"watch-{kind.plural}.json"
            follow = [program, config, "get", kind.plural, "-n", stage.namespace, "-w", "-o", "json"]
            file = stack.enter_context(output.open("wb"))
            watch = stack.enter_context(subprocess.Popen(follow, stdout=file, stderr=subprocess.STDOUT))
            stack.callback(watch.terminate)
            outputs.append(output)
        try:
            yield
        finally:
            stage.kill()
            for kind in KINDS.values():
                clear = ("delete", kind.plural, "--all", "-n", stage.namespace, "--wait=false")
                controlplane.kubectl(*clear)
            controlplane.kubectl("delete", "namespace", stage.namespace, "--wait=false", "--ignore-not-found")
    broken = [words for output in outputs for words in _violations(output.read_text())]
    assert broken == []


def _violations(output: str) -> list[str]:
    """What the written statuses broke: `kind/name: rule`."""
    decoder, at = json.JSONDecoder(), 0
    statuses: dict[str, Any] = {}
    found: list[str] = []
    while at < len(output) and output[at:].lstrip().startswith("{"):
        at += len(output[at:]) - len(output[at:].lstrip())
        obj, at = decoder.raw_decode(output, at)
        status, uid = obj.get("status", {}), obj["metadata"]["uid"]
        if not status.get("conditions") or statuses.get(uid) == status:
            continue  # nobody has looked yet, or this version is somebody's edit of the spec
        statuses[uid] = status
        final = condition(status, "Ready") != "Unknown"
        found += [f"{obj['kind']}/{obj['metadata']['name']}: {rule}" for rule in violations(obj, final=final)]
    return found

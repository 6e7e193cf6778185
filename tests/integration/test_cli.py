"""The command line as a process, against a real API server and a real Kolibri, where no operator runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.stage import EXAMPLE, RECORDS, Stage

from .stage_fixtures import Homeroom, document, process_at, staged

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stage(
    controlplane: ControlPlane,
    base: Path,  # noqa: ARG001 - CRDs, rights
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    """An empty one for all tests here: nothing that they do is in the way of the others."""
    with staged(controlplane, tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.fixture
def homeroom(stage: Stage, controlplane: ControlPlane) -> Homeroom:
    return process_at(stage, controlplane)


def test_a_working_tree_is_planned_before_anything_is_applied(
    stage: Stage, homeroom: Homeroom, controlplane: ControlPlane, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.yaml"
    fields = {"username": stage.kolibri.username, "password": stage.kolibri.password, "markKey": "k" * 16}
    secret.write_text(json.dumps(fields))
    tree = "\n---\n".join(path.read_text() for path in EXAMPLE.glob("*.yaml"))
    tree = tree.replace("https://kolibri.lakeside.example", stage.kolibri.url)
    before, revision = stage.kolibri.tables(), controlplane.etcd_revision()

    done = homeroom(
        *("plan", "kolibri", "-f", "-", "--records", str(RECORDS), "--secret", f"kolibri={secret}", "-o", "json"),
        stdin=tree,
        KUBECONFIG="",
        HOMEROOM_NAMESPACE=None,
        HOMEROOM_STORE=None,
        HOMEROOM_DATA=None,
    )

    plan = document(done)
    assert (done.returncode, plan["result"], plan["removalsKnown"]) == (3, "Held", False)  # nobody has seen it yet
    assert {row["cause"] for row in plan["summary"]} == {"FirstSync"}
    assert sum(row["create"] for row in plan["summary"]) == plan["counts"]["changes"] > 200
    assert "changes" not in plan
    assert stage.kolibri.tables() == before
    # Namespaces of earlier tests may still be going away.
    written = controlplane.written_since(revision)
    assert [key for key in written if f"/{stage.namespace}/" in key or "/lakeside/" in key] == []


def test_errors_are_words_on_stderr(stage: Stage, homeroom: Homeroom, controlplane: ControlPlane) -> None:
    stage.declare()
    expected = {
        ("plan", "moodle", "--records", str(RECORDS)): "no LearningApp 'moodle' in namespace",
        ("plan", "--context", "mars", "--records", str(RECORDS)): "no context 'mars'",
        ("plan",): "there is no store at",
        ("shared", "--records", str(RECORDS), "--rule", "nobody"): "no SharingRule 'nobody'",
        ("plan", "-n", "elsewhere", "--records", str(RECORDS)): "another namespace (-n)?",
    }
    for arguments, words in expected.items():
        done = homeroom(*arguments, HOMEROOM_STORE=None, HOMEROOM_DATA=None)
        assert (done.returncode, done.stdout) == (1, ""), arguments
        assert done.stderr.startswith("error: "), arguments
        assert words in done.stderr, arguments
        assert "Traceback" not in done.stderr
    bystander = controlplane.kubeconfig_for(stage.namespace, "default")
    done = homeroom(
        "plan", "--records", str(RECORDS), KUBECONFIG=str(bystander), HOMEROOM_STORE=None, HOMEROOM_DATA=None
    )
    assert done.returncode == 1
    assert "is forbidden" in done.stderr


def test_a_failing_hop_is_named(stage: Stage, homeroom: Homeroom) -> None:
    stage.declare()
    stage.kubectl("delete", "secret", "kolibri", "-n", stage.namespace)
    done = homeroom("check", "learningapp/kolibri")
    assert done.returncode == 1
    assert "does not exist" in done.stdout
    stage.apply_secret()
    stage.kolibri.stop()
    hops = json.loads(homeroom("check", "learningapp/kolibri", "-o", "json").stdout)
    assert [hop["ok"] for hop in hops][-1] is False
    assert hops[-1]["words"]
    stage.kolibri.start()

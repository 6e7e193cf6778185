"""The command line against a real API server, a real Kolibri and the store of a running operator."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.stage import EXAMPLE, OWNER, RECORDS, Records, Stage

pytestmark = pytest.mark.integration

Homeroom = Callable[..., subprocess.CompletedProcess[str]]


def homeroom_at(stage: Stage, plane: ControlPlane) -> Homeroom:
    """Runs `homeroom` as a person would where the store is; variables that are None are not set."""

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


@pytest.fixture
def homeroom(stage: Stage, controlplane: ControlPlane) -> Homeroom:
    return homeroom_at(stage, controlplane)


def document(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.stderr == ""
    return json.loads(done.stdout)


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
    assert (done.returncode, plan["result"], plan["removalsKnown"]) == (2, "Changes", False)
    assert {row["cause"] for row in plan["summary"]} == {"FirstSync"}
    assert sum(row["create"] for row in plan["summary"]) == plan["counts"]["changes"] > 200
    assert "changes" not in plan
    assert unlike_sessions(stage.kolibri.tables()) == unlike_sessions(before)
    # Namespaces of earlier tests may still be going away.
    written = controlplane.written_since(revision)
    assert [key for key in written if f"/{stage.namespace}/" in key or "/lakeside/" in key] == []


def unlike_sessions(tables: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Logging in leaves a trace of its own; all else must be as it was."""
    return {name: rows for name, rows in tables.items() if "session" not in name and "log" not in name}


def test_what_is_shown_of_a_running_installation(synced: Stage, controlplane: ControlPlane, tmp_path: Path) -> None:
    records, homeroom = Records(RECORDS), homeroom_at(synced, controlplane)
    _explains_itself(synced, homeroom, family_names(records))
    _plans_drift(synced, homeroom, records)
    _plans_what_the_guard_stops(homeroom, records, tmp_path)


def family_names(records: Records) -> set[str]:
    return {row["familyName"] for row in records.rows("users") if len(row["familyName"]) > 5}


def _explains_itself(stage: Stage, homeroom: Homeroom, names: set[str]) -> None:
    done = homeroom("plan")
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing to do" in done.stdout

    done = homeroom("check")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "district/lakeside" in done.stdout
    assert "the account is a superuser" in done.stdout

    runs = document(homeroom("status", "-o", "json"))
    assert [(run["kind"], run["name"], run["reason"]) for run in runs] == [
        ("District", "lakeside", "Succeeded"),
        ("LearningApp", "kolibri", "Succeeded"),
    ]
    assert all(run["read_at"] and run["next_at"] for run in runs)
    assert "learningapp/kolibri" in homeroom("status").stdout

    status = stage.get("learningapp", "kolibri")["status"]
    shared = document(homeroom("shared", "kolibri", "-o", "json"))
    assert shared["distinct"] == status["distinct"]
    assert {rule["name"]: rule["students"] for rule in shared["rules"]} == {
        rule["name"]: rule["students"] for rule in status["rules"]
    }
    plain = homeroom("shared", "kolibri").stdout
    assert not [name for name in names if name in plain]
    told = homeroom("shared", "kolibri", "--people").stdout
    assert [name for name in names if name in told]

    pupil = shared_pupil(homeroom)
    answer = document(homeroom("why", "kolibri", pupil, "-o", "json"))
    assert {reason["rule"] for reason in answer["reasons"]} & {"homerooms", "mathematics"}
    assert {entry["key"] for entry in answer["journal"]} == {pupil}
    words = homeroom("why", "kolibri", pupil).stdout
    assert "Learner in section" in words
    assert "FirstSync" in words

    history = list(csv.DictReader(io.StringIO(homeroom("history", "--person", pupil, "-o", "csv").stdout)))
    assert {(row["op"], row["kind"], row["cause"]) for row in history} >= {("Create", "Person", "FirstSync")}
    assert document(homeroom("history", "--cause", "LeftSource", "-o", "json")) == []


def _plans_drift(stage: Stage, homeroom: Homeroom, records: Records) -> None:
    """Somebody takes a pupil out of a class: the plan says so, and does nothing about it."""
    school = records.rows("orgs", type="school")[0]["name"]
    human = stage.kolibri.human()
    facility = human.facility(school)
    room = next(room for room in human.call("GET", "classroom/", parent=facility) if taken_out(human, room, school))
    before = stage.kolibri.tables()
    done = homeroom("plan", "--details")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Drift" in done.stdout
    assert "+ Create Membership" in done.stdout
    assert not [name for name in family_names(records) if name in done.stdout]
    assert document(homeroom("plan", "-o", "json"))["counts"]["drift"] == 1, room["name"]
    after = stage.kolibri.tables()
    assert unlike_sessions(after) == unlike_sessions(before)


def _plans_what_the_guard_stops(homeroom: Homeroom, records: Records, tmp_path: Path) -> None:
    """The next export lacks a class."""
    gone = next(row for row in records.rows("classes", classType="homeroom") if row["grades"] != "KG")
    records.remove("classes", sourcedId=gone["sourcedId"])
    records.remove("enrollments", classSourcedId=gone["sourcedId"])
    export = tmp_path / "next.zip"
    export.write_bytes(records.zipped())
    done = homeroom("plan", "--records", str(export))
    assert done.returncode == 3, done.stdout + done.stderr
    assert f"the guard: {gone['schoolSourcedId']} would lose" in done.stdout
    assert "stopped by the guard" in done.stdout


def shared_pupil(homeroom: Homeroom) -> str:
    people = document(homeroom("shared", "kolibri", "--people", "-o", "json"))["people"]
    return next(str(person["id"]) for person in people if person["role"] == "student")


def taken_out(human: Any, room: dict[str, str], school: str) -> bool:
    """Take the first learner out of a class; False where it has none."""
    members = {row["user"] for row in human.call("GET", "membership/", collection=room["id"])}
    people = human.call("GET", "facilityuser/", member_of=human.facility(school))
    found = sorted(row["username"] for row in people if row["id"] in members)
    if found:
        human.remove_member(found[0], facility=school, class_name=room["name"])
    return bool(found)


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

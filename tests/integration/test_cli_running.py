"""The command line beside a running operator: its cluster, its store, its Kolibri; as a process: test_cli."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.stage import RECORDS, Records, Stage

from .stage_fixtures import Homeroom, document, homeroom_at

pytestmark = pytest.mark.integration


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
    assert after == before


def _plans_what_the_guard_stops(homeroom: Homeroom, records: Records, tmp_path: Path) -> None:
    """The next export lacks a class."""
    gone = next(row for row in records.rows("classes", classType="homeroom") if row["grades"] != "KG")
    records.remove("classes", sourcedId=gone["sourcedId"])
    records.remove("enrollments", classSourcedId=gone["sourcedId"])
    export = tmp_path / "next.zip"
    export.write_bytes(records.zipped())
    done = homeroom("plan", "--records", str(export))
    assert done.returncode == 3, done.stdout + done.stderr
    assert "held at district/lakeside, and served as it was" in done.stdout
    assert f"class '{gone['sourcedId']}' would lose" in done.stdout
    assert "LeftSource" not in done.stdout, "no app hears of it"


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

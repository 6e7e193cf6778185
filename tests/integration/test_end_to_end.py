"""The main job as a whole: declared YAML and an export become schools, classes and people in a real Kolibri.

The operator is a process of its own with the rights that `manifests/` ships; people's edits go through Kolibri's own
pages' calls. What is asserted is what Kolibri and the API server hold afterwards.
"""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.stage import RECORDS, Records, Stage, condition, message, wait_for

pytestmark = pytest.mark.integration

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


def synced(stage: Stage) -> Records:
    """The example district, in Kolibri."""
    records = Records(RECORDS)
    stage.publish(records)
    stage.declare()
    stage.start()
    stage.wait_ready("learningapp", "kolibri")
    return records


def test_a_declared_district_appears_and_then_nothing_is_written(stage: Stage, controlplane: ControlPlane) -> None:
    records = synced(stage)
    state = held(stage)
    schools = {row["name"] for row in records.rows("orgs", type="school")}
    assert schools <= set(state)
    homerooms = records.rows("classes", classType="homeroom")
    for row in homerooms:
        school = records.rows("orgs", sourcedId=row["schoolSourcedId"])[0]["name"]
        if row["grades"] == "KG":
            assert row["title"] not in state[school], "an excluded class is shared"
        else:
            learners = {name for name, role in state[school][row["title"]] if role == "learner"}
            enrolled = records.rows("enrollments", classSourcedId=row["sourcedId"], role="student")
            assert len(learners) == len({e["userSourcedId"] for e in enrolled if running(e)})
    assert len(accounts(stage)) == len(set(accounts(stage)))
    wait_for("a row per school", lambda: all(s["status"].get("summary") == "Synced" for s in stage.list("schools")))

    tables = stage.kolibri.tables()
    for _ in range(2):  # a restart runs every root anew
        assert stage.stop() == 0
        revision, last = controlplane.etcd_revision(), stage.last_run("LearningApp", "kolibri")
        stage.start()
        wait_for("the app has run again", lambda: stage.last_run("LearningApp", "kolibri") > last)  # noqa: B023 - evaluated in this turn
        assert [key for key in controlplane.written_since(revision) if f"/{stage.namespace}/" in key] == []
        assert stage.kolibri.tables() == tables


def running(enrollment: dict[str, str]) -> bool:
    """Begun, and not over: the end is exclusive."""
    today = datetime.now(ZoneInfo("Europe/Amsterdam")).date().isoformat()
    return enrollment["beginDate"] <= today and (not enrollment["endDate"] or today < enrollment["endDate"])


def test_drift_is_put_back_and_what_people_made_stays(stage: Stage) -> None:
    records = synced(stage)
    before = held(stage)
    school = records.rows("orgs", type="school")[0]["name"]
    classes = [name for name, members in before[school].items() if name and members]
    human = stage.kolibri.human()

    def usernames(class_name: str) -> list[str]:
        members = human.call("GET", "membership/", collection=human.classroom(class_name, facility=school))
        people = human.call("GET", "facilityuser/", member_of=human.facility(school))
        return sorted(row["username"] for row in people if row["id"] in {member["user"] for member in members})

    human.remove_member(usernames(classes[0])[0], facility=school, class_name=classes[0])
    stranger = usernames(classes[1])[0]
    if stranger not in usernames(classes[0]):
        human.add_member(stranger, facility=school, class_name=classes[0])
    human.create_user("guest", facility=school)
    human.add_member("guest", facility=school, class_name=classes[0])
    human.create_class("After school", facility=school)
    human.add_member("guest", facility=school, class_name="After school")
    human.rename_class(classes[1], "Our lovely class", facility=school)
    assert held(stage) != before

    app = stage.run("learningapp", "kolibri")
    assert condition(app["status"], "Ready") == "True", message(app)
    after = held(stage)
    assert after[school].pop("After school") == {("guest", "learner")}
    after[school][classes[1]] = after[school].pop("Our lovely class")
    assert after == before


def test_no_name_of_a_person_leaves_kolibri_and_the_store(stage: Stage, controlplane: ControlPlane) -> None:
    records = synced(stage)
    names = records.names()
    assert len(names) > 100
    school_words = " ".join(row["name"] for row in records.rows("orgs")) + " ".join(
        row["title"] for row in [*records.files["classes"], *records.files["courses"]]
    )
    human = stage.kolibri.human()
    school = records.rows("orgs", type="school")[0]["name"]
    human.create_user("guest", facility=school)  # and something that goes wrong
    stage.publish(records.zipped()[:5000])
    stage.run("district", "lakeside")
    objects = controlplane.kubectl(
        "get", "districts,learningapps,sharingrules,schools,events", "-n", stage.namespace, "-o", "yaml"
    )
    everything = objects + stage.log.read_text()
    found = [name for name in names if name in everything and name not in school_words]
    assert found == []


BREAKAGES: dict[str, Callable[[Records], bytes]] = {
    "truncated": lambda records: records.zipped()[: len(records.zipped()) // 2],
    "missing file": lambda records: without(records, "enrollments"),
    "empty file": lambda records: emptied(records, "enrollments"),
    "not a zip": lambda _: b"<html>log in first</html>",
}


def without(records: Records, name: str) -> bytes:
    broken = Records(RECORDS)
    broken.files = {file: rows for file, rows in records.files.items() if file != name}
    return broken.zipped()


def emptied(records: Records, name: str) -> bytes:
    """The file with its header and nothing else."""
    content = io.BytesIO(without(records, name))
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr(f"{name}.csv", ",".join(records.files[name][0]) + "\r\n")
    return content.getvalue()


def test_a_broken_export_removes_nothing_and_heals(stage: Stage) -> None:
    records = synced(stage)
    tables = stage.kolibri.tables()
    for name, broken in BREAKAGES.items():
        stage.publish(broken(records))
        district = stage.run("district", "lakeside")
        assert condition(district["status"], "Ready") == "False", name
        assert message(district), name
        stage.run("learningapp", "kolibri")
        assert stage.kolibri.tables() == tables, name
    stage.publish(records)
    stage.run("district", "lakeside")
    stage.wait_ready("district", "lakeside")
    stage.run("learningapp", "kolibri")
    assert stage.kolibri.tables() == tables


def test_a_school_that_would_lose_a_tenth_loses_nothing(stage: Stage) -> None:
    records = synced(stage)
    state = held(stage)
    school = records.rows("orgs", type="school")[0]
    gone = next(
        row
        for row in records.rows("classes", schoolSourcedId=school["sourcedId"], classType="homeroom")
        if row["grades"] != "KG"
    )
    records.remove("classes", sourcedId=gone["sourcedId"])
    records.remove("enrollments", classSourcedId=gone["sourcedId"])
    stage.publish(records)
    stage.run("district", "lakeside")
    wait_for(
        "the guard speaks",
        lambda: condition(stage.get("learningapp", "kolibri")["status"], "Stalled") == "True",
    )
    app = stage.get("learningapp", "kolibri")
    assert message(app).startswith("TooManyRemovals: ")
    assert held(stage) == state


def rows(stage: Stage) -> int:
    """How much there is in Kolibri: grows with every step of a first sync."""
    return sum(len(table) for table in stage.kolibri.tables().values())


def test_killed_at_random_points_of_the_first_sync_it_ends_the_same(make_stage: Callable[[], Stage]) -> None:
    undisturbed = make_stage()
    synced(undisturbed)
    wanted, people, total = held(undisturbed), len(accounts(undisturbed)), rows(undisturbed)
    undisturbed.kill()

    stage = make_stage()
    stage.publish(Records(RECORDS))
    stage.declare()
    begun = rows(stage)
    chance = random.Random(20)
    for point in sorted(chance.randrange(begun + 1, total) for _ in range(20)):
        stage.start()
        wait_for(f"{point} rows", lambda: rows(stage) >= point)  # noqa: B023 - evaluated in this turn
        stage.kill()
    stage.start()
    stage.wait_ready("learningapp", "kolibri")
    assert held(stage) == wanted
    assert (len(accounts(stage)), rows(stage)) == (people, total)


def test_a_session_that_expires_in_the_middle_of_runs_removes_nothing(stage: Stage) -> None:
    synced(stage)
    tables = stage.kolibri.tables()
    for _ in range(5):
        last = stage.last_run("LearningApp", "kolibri")
        stage.ask("learningapp", "kolibri")
        while stage.last_run("LearningApp", "kolibri") == last:
            stage.kolibri.expire_sessions()  # reads then answer 200 with an empty list
        assert stage.kolibri.tables() == tables
    app = stage.run("learningapp", "kolibri")  # not the next try by itself: that one waits longer with each failure
    assert condition(app["status"], "Ready") == "True", message(app)
    assert stage.kolibri.tables() == tables


def test_rules_whose_kind_goes_away_while_running_remove_nothing(stage: Stage, controlplane: ControlPlane) -> None:
    synced(stage)
    tables = stage.kolibri.tables()
    controlplane.kubectl("delete", "crd", "sharingrules.homeroom.dev")
    told(stage, "KindNotServed")
    assert stage.kolibri.tables() == tables
    stage.install()
    stage.declare()
    stage.wait_ready("learningapp", "kolibri")
    assert stage.kolibri.tables() == tables


def test_rights_that_are_taken_away_while_running_remove_nothing(stage: Stage, controlplane: ControlPlane) -> None:
    synced(stage)
    tables = stage.kolibri.tables()
    role = json.loads(controlplane.kubectl("get", "clusterrole", "homeroom", "-o", "json"))
    for rule in role["rules"]:
        rule["resources"] = [name for name in rule["resources"] if name != "sharingrules"] or ["nothing"]
    controlplane.kubectl("replace", "-f", "-", stdin=json.dumps(role))
    told(stage, "KindNotServed")
    assert stage.kolibri.tables() == tables
    stage.install()
    stage.wait_ready("learningapp", "kolibri")
    assert stage.kolibri.tables() == tables


def told(stage: Stage, reason: str) -> None:
    """Wait until a run of the app has ended with this reason."""

    def said() -> bool:
        stage.ask("learningapp", "kolibri")
        return message(stage.get("learningapp", "kolibri")).startswith(f"{reason}: ")

    wait_for(f"{reason} on the app", said)

"""What looks wrong waits for a commit: guards, holds and Approvals as an administrator meets them in a real Kolibri."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from typing import Any

import pytest
import yaml

from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.stage import RECORDS, Records, Stage, condition, message, wait_for
from homeroom.roster.state import Known
from homeroom.store import Store

from .stage_fixtures import State, held, homeroom_at

pytestmark = pytest.mark.integration


def taken(before: State, after: State) -> int:
    """How many places in classes are gone."""
    return sum(
        len(members - after[school].get(name, set()))
        for school, classes in before.items()
        for name, members in classes.items()
    )


def published(stage: Stage, records: Records) -> tuple[dict[str, Any], dict[str, Any]]:
    """District and app after a run on these records."""
    stage.publish(records)
    stage.run("district", "lakeside")
    return seen(stage)


def seen(stage: Stage) -> tuple[dict[str, Any], dict[str, Any]]:
    """District and app, when the app has seen what the district serves now."""

    def compared() -> bool:
        status = stage.get("learningapp", "kolibri")["status"]
        served = stage.get("district", "lakeside")["status"]["snapshot"]["served"]
        return bool(status["snapshotDigest"] == served and condition(status, "Ready") != "Unknown")

    wait_for("the app has seen these records", compared, every=0.3)
    return stage.get("district", "lakeside"), stage.get("learningapp", "kolibri")


def pupils(classes: dict[str, set[tuple[str, str]]]) -> set[str]:
    """Full names of the learners in the classes of a school."""
    return {name for members in classes.values() for name, role in members if role == "learner"}


def deny(stage: Stage, person: str | None) -> None:
    """Declare that somebody must be out; None: nobody."""
    stage.patch("district", "lakeside", {"deny": [{"person": person}] if person else None})


def join(records: Records, school: str) -> tuple[str, str]:
    """A student more in a homeroom of a school: (name of the class, full name)."""
    homeroom = next(
        row for row in records.rows("classes", schoolSourcedId=school, classType="homeroom") if row["grades"] != "KG"
    )
    like = next(row for row in records.rows("enrollments", classSourcedId=homeroom["sourcedId"], role="student"))
    (user,) = records.rows("users", sourcedId=like["userSourcedId"])
    records.files["users"].append(
        {
            **user,
            "sourcedId": "u-new",
            "username": "new",
            "identifier": "",
            "email": "",
            "givenName": "Novel",
            "familyName": "Pupil",
        }
    )
    role = records.rows("roles", userSourcedId=like["userSourcedId"])[0]
    records.files["roles"].append({**role, "sourcedId": "r-new", "userSourcedId": "u-new"})
    records.files["enrollments"].append({**like, "sourcedId": "e-new", "userSourcedId": "u-new"})
    return homeroom["title"], "Novel Pupil"


def test_a_lost_school_is_held_and_an_approval_releases_it_once(synced: Stage, controlplane: ControlPlane) -> None:
    records, before = Records(RECORDS), held(synced)
    schools = {row["sourcedId"]: row["name"] for row in records.rows("orgs", type="school")}
    here, *_, lost = schools
    records.lose_school(lost)
    class_name, pupil = join(records, here)

    district, app = published(synced, records)
    assert message(district).startswith("HeldForApproval: ")
    assert message(district, "Stalled") == message(district)
    assert condition(district["status"], "Held") == "True"
    (hold,) = district["status"]["holds"]
    assert (hold["guard"], hold["scope"], hold["place"]) == ("Deletes", "School", lost)
    assert hold["id"] in message(district)
    assert f"{hold['people']} people" in message(district)
    assert condition(app["status"], "Ready") == "True", message(app)
    now = held(synced)
    assert (pupil, "learner") in now[schools[here]][class_name], "an addition of the same export is missing"
    assert taken(before, now) == 0
    assert len(synced.list("schools")) == len(schools)

    synced.approve([hold], of="lakeside", kind="District")
    synced.wait_ready("district", "lakeside")
    seen(synced)
    synced.wait_ready("learningapp", "kolibri")  # which asks for nothing
    after = held(synced)
    administrators = after[schools[lost]].pop("")  # theirs stay by default
    assert administrators == before[schools[lost]][""]
    assert not any(after[schools[lost]].values()), "somebody is still in a class of the school"
    others = {name: classes for name, classes in after.items() if name != schools[lost]}
    assert others == {name: classes for name, classes in now.items() if name != schools[lost]}
    approval = synced.get("approval", hold["id"])
    assert message(approval).startswith("Released: ")
    assert approval["status"]["released"] == hold["remove"]
    assert approval["status"].get("pending", 0) == approval["status"].get("struck", 0) == 0
    told = homeroom_at(synced, controlplane)("history", "--app", "kolibri", "--cause", "LeftSource", "--output", "json")
    assert {row["hold"] for row in json.loads(told.stdout) if row["school"] == lost} == {hold["id"]}

    # A year later the school is back, and vanishes again: the old commit does not fit.
    district, app = published(synced, Records(RECORDS))
    assert condition(district["status"], "Ready") == "True", message(district)
    assert condition(app["status"], "Ready") == "True", message(app)
    assert taken(before, held(synced)) == 0
    district, app = published(synced, records)
    (new,) = district["status"]["holds"]
    assert new["id"] != hold["id"]
    synced.replay(hold["id"], of="lakeside", kind="District")
    assert message(synced.get("approval", "replay")).startswith("HoldUsed: ")
    assert taken(before, held(synced)) == 0
    healed(synced, before)


def healed(stage: Stage, before: State) -> None:
    """Whole records, and all is as it was."""
    for found in published(stage, Records(RECORDS)):
        assert condition(found["status"], "Ready") == "True", message(found)
        assert condition(found["status"], "Held") is None
        assert found["status"].get("holds", []) == []
    assert taken(before, held(stage)) == 0


def test_who_is_denied_goes_at_once_while_everybody_else_is_held(synced: Stage) -> None:
    records, before = Records(RECORDS), held(synced)
    school = records.rows("orgs", type="school")[-1]
    there = pupils(before[school["name"]])
    child = min(there)
    (user,) = (row for row in records.files["users"] if f"{row['givenName']} {row['familyName']}" == child)
    records.lose_school(school["sourcedId"])
    published(synced, records)
    deny(synced, user["sourcedId"])
    wait_for("the denied one is out", lambda: child not in pupils(held(synced)[school["name"]]), every=0.3)
    assert pupils(held(synced)[school["name"]]) == there - {child}
    deny(synced, None)
    healed(synced, before)


def test_a_lost_class_is_held(synced: Stage) -> None:
    records, before = Records(RECORDS), held(synced)
    sizes = {
        row["sourcedId"]: len(records.rows("enrollments", classSourcedId=row["sourcedId"]))
        for row in records.rows("classes", classType="homeroom")
        if row["grades"] != "KG"
    }
    lost = max(sizes, key=lambda one: sizes[one])
    records.remove("classes", sourcedId=lost)
    records.remove("enrollments", classSourcedId=lost)
    district, _ = published(synced, records)
    (hold,) = district["status"]["holds"]
    assert (hold["guard"], hold["remove"] >= sizes[lost]) in {("ClassShrink", True), ("Deletes", True)}
    assert held(synced) == before
    healed(synced, before)


def identify(stage: Stage, identity: object) -> None:
    """Declare who is who."""
    stage.patch("district", "lakeside", {"identity": identity})


def test_a_replaced_records_system_closes_no_account_and_makes_none_anew(
    synced: Stage, controlplane: ControlPlane
) -> None:
    records, before = Records(RECORDS), held(synced)
    for file, columns in {
        "users": ["sourcedId"],
        "roles": ["userSourcedId"],
        "enrollments": ["userSourcedId"],
    }.items():
        for row in records.files[file]:
            row.update({column: f"new-{row[column]}" for column in columns})
    people = synced.kolibri.tables()["facilityuser"]
    district, app = published(synced, records)
    (hold,) = district["status"]["holds"]
    assert (hold["guard"], hold["scope"]) == ("Identity", "District")
    assert condition(district["status"], "IdentityClear") == "False"
    assert condition(app["status"], "Ready") == "True", message(app)
    assert synced.kolibri.tables()["facilityuser"] == people
    assert held(synced) == before

    # The proposals, reviewed and committed: everybody is who they were, and nothing is left to do.
    homeroom = homeroom_at(synced, controlplane)
    proposed = homeroom("identities", "lakeside", "--propose")
    assert proposed.returncode == 0, proposed.stderr
    identify(synced, yaml.safe_load(proposed.stdout)["spec"]["identity"])
    synced.wait_ready("district", "lakeside")
    district, app = seen(synced)
    assert condition(district["status"], "IdentityClear") == "True"
    assert district["status"].get("holds", []) == []
    synced.run("learningapp", "kolibri")
    plan = homeroom("plan", "kolibri", "--output", "json")
    assert plan.returncode == 0, plan.stderr
    assert json.loads(plan.stdout)["result"] == "NothingToDo"
    assert synced.kolibri.tables()["facilityuser"] == people
    assert held(synced) == before

    synced.publish(Records(RECORDS))
    identify(synced, None)
    healed(synced, before)


def test_an_edit_that_exposes_whom_an_exclude_covered_is_held(synced: Stage) -> None:
    before = held(synced)
    excludes = [rule for rule in synced.list("sharingrules") if rule["spec"].get("effect") == "Exclude"]
    assert excludes
    for rule in excludes:
        synced.kubectl("delete", "sharingrule", rule["metadata"]["name"], "-n", synced.namespace)
    holds = synced.wait_held("learningapp", "kolibri")
    assert {hold["guard"] for hold in holds} == {"Exposure"}
    assert held(synced) == before
    synced.declare()
    wait_for("the hold is gone", lambda: not synced.get("learningapp", "kolibri")["status"].get("holds"), every=0.3)
    synced.wait_ready("learningapp", "kolibri")
    assert held(synced) == before


def ledger(stage: Stage) -> Known:
    """What the operator knows to be its own in Kolibri."""
    with closing(Store.open(f"sqlite:///{stage.database}", stage.directory / "data", read_only=True)) as store:
        return store.known(namespace=stage.namespace, app="kolibri")


@pytest.mark.parametrize("backed_up", [False, True])
def test_a_lost_store_removes_nothing_and_asks_about_all_that_comes(
    synced: Stage, controlplane: ControlPlane, *, backed_up: bool
) -> None:
    stage, before = synced, held(synced)
    homeroom = homeroom_at(stage, controlplane)
    file = stage.directory / "backup.zip"
    homeroom("backup", str(file))
    history = json.loads(homeroom("history", "--output", "json", "--limit", "100000").stdout)
    stage.stop()
    for path in [*stage.directory.glob("homeroom.db*"), stage.directory / "data"]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if backed_up:
        homeroom("restore", str(file))
    records = Records(RECORDS)
    gone = next(row for row in records.files["enrollments"] if row["role"] == "student")
    records.remove("enrollments", userSourcedId=gone["userSourcedId"])
    school = records.rows("orgs", type="school")[0]
    class_name, pupil = join(records, school["sourcedId"])
    stage.publish(records)
    stage.start()
    wait_for(
        "the app says it",
        lambda: message(stage.get("learningapp", "kolibri")).startswith("BaselineLost: "),
        every=0.3,
    )
    assert held(stage) == before
    holds = stage.wait_held("learningapp", "kolibri")
    assert {(hold["guard"], hold["place"]) for hold in holds} == {("FirstSync", school["sourcedId"])}
    stage.approve(holds, of="kolibri")
    stage.wait_ready("learningapp", "kolibri")
    after = held(stage)
    assert (pupil, "learner") in after[school["name"]][class_name]
    assert taken(before, after) <= 2  # whoever left is known to have had a reason, and goes as on any other day

    # The ledger is whole again, from the marks; the journal only where there was a back-up.
    stage.ask("learningapp", "kolibri")
    schools = {row["sourcedId"] for row in records.rows("orgs", type="school")}
    wait_for("all schools are known again", lambda: set(ledger(stage).schools) == schools, every=0.3)
    known = ledger(stage)
    people = {
        user["id_number"]: user["username"] for user in stage.kolibri.tables()["facilityuser"] if user["id_number"]
    }
    assert dict(known.usernames.select("key", "username").rows()) == people
    told = json.loads(homeroom("history", "--output", "json", "--limit", "100000").stdout)
    assert (told[-len(history) :] == history) == backed_up

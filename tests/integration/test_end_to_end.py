"""A district that is in a real Kolibri stays there as declared, whatever people, exports and clusters do.

The operator is a process of its own with the rights that `manifests/` ships; people's edits go through Kolibri's own
pages' calls. What is asserted is what Kolibri and the API server hold afterwards. How it gets there: test_first_sync.
"""

from __future__ import annotations

import io
import json
import signal
import uuid
import zipfile
from collections.abc import Callable

import pytest

from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.stage import RECORDS, Records, Stage, condition, message, wait_for

from .stage_fixtures import held

pytestmark = pytest.mark.integration


def test_drift_is_put_back_and_what_people_made_stays(synced: Stage) -> None:
    records = Records(RECORDS)
    before = held(synced)
    school = records.rows("orgs", type="school")[0]["name"]
    classes = [name for name, members in before[school].items() if name and members]
    human = synced.kolibri.human()

    def usernames(class_name: str) -> list[str]:
        members = human.call("GET", "membership/", collection=human.classroom(class_name, facility=school))
        people = human.call("GET", "facilityuser/", member_of=human.facility(school))
        return sorted(row["username"] for row in people if row["id"] in {member["user"] for member in members})

    human.remove_member(usernames(classes[0])[0], facility=school, class_name=classes[0])
    stranger = usernames(classes[1])[0]
    if stranger not in usernames(classes[0]):
        human.add_member(stranger, facility=school, class_name=classes[0])
    guest = new_guest(synced, school)
    human.add_member(guest, facility=school, class_name=classes[0])
    after_school = human.create_class("After school", facility=school)
    human.add_member(guest, facility=school, class_name="After school")
    human.rename_class(classes[1], "Our lovely class", facility=school)
    assert held(synced) != before

    app = synced.run("learningapp", "kolibri")
    assert condition(app["status"], "Ready") == "True", message(app)
    after = held(synced)
    assert after[school].pop("After school") == {(guest, "learner")}
    after[school][classes[1]] = after[school].pop("Our lovely class")
    assert after == before

    human.call("DELETE", f"classroom/{after_school}/")
    human.rename_class("Our lovely class", classes[1], facility=school)
    app = synced.run("learningapp", "kolibri")
    assert condition(app["status"], "Ready") == "True", message(app)
    assert held(synced) == before, "what people take back stays, too"


def new_guest(stage: Stage, school: str) -> str:
    """The user name of somebody whom people have just let into a school."""
    name = f"guest_{uuid.uuid4().hex[:8]}"
    stage.kolibri.human().create_user(name, facility=school)
    return name


def test_no_name_of_a_person_leaves_kolibri_and_the_store(synced: Stage, controlplane: ControlPlane) -> None:
    records = Records(RECORDS)
    names = records.names()
    assert len(names) > 100
    school_words = " ".join(row["name"] for row in records.rows("orgs")) + " ".join(
        row["title"] for row in [*records.files["classes"], *records.files["courses"]]
    )
    new_guest(synced, records.rows("orgs", type="school")[0]["name"])
    synced.publish(records.zipped()[:5000])  # and something that goes wrong
    synced.run("district", "lakeside")
    objects = controlplane.kubectl(
        "get", "districts,learningapps,sharingrules,schools,events", "-n", synced.namespace, "-o", "yaml"
    )
    metrics = synced.metrics()
    assert "homeroom_" in metrics
    everything = objects + metrics + synced.log.read_text()
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


def test_a_broken_export_removes_nothing_and_heals(synced: Stage) -> None:
    records = Records(RECORDS)
    tables = synced.kolibri.tables()
    for name, broken in BREAKAGES.items():
        synced.publish(broken(records))
        district = synced.run("district", "lakeside")
        assert condition(district["status"], "Ready") == "False", name
        assert message(district), name
        synced.run("learningapp", "kolibri")
        assert synced.kolibri.tables() == tables, name
    synced.publish(records)
    synced.run("district", "lakeside")
    synced.wait_ready("district", "lakeside")
    synced.run("learningapp", "kolibri")
    assert synced.kolibri.tables() == tables


def test_a_session_that_expires_in_the_middle_of_runs_removes_nothing(synced: Stage) -> None:
    tables = synced.kolibri.tables()
    for _ in range(5):
        last = synced.last_run("LearningApp", "kolibri")
        synced.ask("learningapp", "kolibri")
        while synced.last_run("LearningApp", "kolibri") == last:
            synced.kolibri.expire_sessions()  # reads then answer 200 with an empty list
        assert synced.kolibri.tables() == tables
    app = synced.run("learningapp", "kolibri")  # not the next try by itself: that one waits longer with each failure
    assert condition(app["status"], "Ready") == "True", message(app)
    assert synced.kolibri.tables() == tables


def test_rules_whose_kind_goes_away_while_running_remove_nothing(synced: Stage, controlplane: ControlPlane) -> None:
    tables = synced.kolibri.tables()
    controlplane.kubectl("delete", "crd", "sharingrules.homeroom.dev")
    told(synced, "KindNotServed")
    assert synced.kolibri.tables() == tables
    # kubectl makes one rule after the other. What a run does with half of them is not what this test is about.
    assert synced.operator is not None
    synced.operator.send_signal(signal.SIGSTOP)
    synced.install()
    synced.declare()
    synced.operator.send_signal(signal.SIGCONT)
    synced.wait_ready("learningapp", "kolibri")
    assert synced.kolibri.tables() == tables


def test_rights_that_are_taken_away_while_running_remove_nothing(synced: Stage, controlplane: ControlPlane) -> None:
    tables = synced.kolibri.tables()
    role = json.loads(controlplane.kubectl("get", "clusterrole", "homeroom", "-o", "json"))
    for rule in role["rules"]:
        rule["resources"] = [name for name in rule["resources"] if name != "sharingrules"] or ["nothing"]
    controlplane.kubectl("replace", "-f", "-", stdin=json.dumps(role))
    told(synced, "KindNotServed")
    assert synced.kolibri.tables() == tables
    synced.install()
    synced.wait_ready("learningapp", "kolibri")
    assert synced.kolibri.tables() == tables


def told(stage: Stage, reason: str) -> None:
    """Wait until a run of the app has ended with this reason."""

    def said() -> bool:
        stage.ask("learningapp", "kolibri")
        return message(stage.get("learningapp", "kolibri")).startswith(f"{reason}: ")

    wait_for(f"{reason} on the app", said, every=0.5)

"""The main job as a whole: declared YAML and an export become schools, classes and people in a real Kolibri.

The operator is a process of its own with the rights that `manifests/` ships. What is asserted is what Kolibri and the
API server hold afterwards. How it stays that way: test_end_to_end.
"""

from __future__ import annotations

import random
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.stage import RECORDS, Launch, Records, Stage, wait_for

from .stage_fixtures import accounts, held, sync_first

pytestmark = pytest.mark.integration


def test_a_declared_district_appears_and_then_nothing_is_written(stage: Stage, controlplane: ControlPlane) -> None:
    sync_first(stage)
    assert stage.stop() == 0
    records, state, everybody = Records(RECORDS), held(stage), accounts(stage)
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
            barred = {user["sourcedId"] for user in records.rows("users", enabledUser="false")}
            assert len(learners) == len({e["userSourcedId"] for e in enrolled if running(e)} - barred)
    assert len(everybody) == len(set(everybody))

    tables = stage.kolibri.tables()
    for _ in range(2):  # a start runs every root anew
        revision, last = controlplane.etcd_revision(), stage.last_run("LearningApp", "kolibri")
        stage.start()
        wait_for("the app has run again", lambda: stage.last_run("LearningApp", "kolibri") > last)  # noqa: B023 - evaluated in this turn
        assert [key for key in controlplane.written_since(revision) if f"/{stage.namespace}/" in key] == []
        assert stage.kolibri.tables() == tables
        assert stage.stop() == 0


def running(enrollment: dict[str, str]) -> bool:
    """Begun, and not over: the end is exclusive."""
    today = datetime.now(ZoneInfo("Europe/Amsterdam")).date().isoformat()
    return enrollment["beginDate"] <= today and (not enrollment["endDate"] or today < enrollment["endDate"])


def rows(stage: Stage) -> int:
    """How much there is in Kolibri: grows with every step of a first sync."""
    return sum(len(table) for table in stage.kolibri.tables().values())


def starts(stage: Stage) -> int:
    """How many operators have come so far that they run their roots."""
    return stage.log.read_text().count('"event": "started"')


def test_killed_at_random_points_of_the_first_sync_it_ends_the_same(
    first_sync: Stage, stage: Stage, forked: Launch
) -> None:
    total = rows(first_sync)
    stage.publish(Records(RECORDS))
    stage.declare()
    begun = rows(stage)
    stage.start()
    first = stage.wait_held("learningapp", "kolibri")
    assert rows(stage) == begun, "something was made before anybody had seen it"
    stage.kill()
    stage.approve(first, of="kolibri")
    stage.launch, chance = forked, random.Random(20)
    for kill, point in enumerate(sorted(chance.randrange(begun + 1, total) for _ in range(20)), start=2):
        stage.start()
        # Where the last one got further than that already, this one has at least begun to work.
        wait_for(f"{point} rows", lambda: rows(stage) >= point and starts(stage) == kill)  # noqa: B023 - as above
        stage.kill()
    stage.start()
    stage.wait_ready("learningapp", "kolibri")
    assert held(stage) == held(first_sync)
    assert (len(accounts(stage)), rows(stage)) == (len(accounts(first_sync)), total)

"""Whole runs of the example app: edited rules (safety row 4), somebody denied (7), a lost store (19), no rules (20).

What was applied is what the target was asked to do: see `runs`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.reconcile.runs import APP, NOW, Running, asked
from tests.unit.stores import open_store

from homeroom.api import LearningApp, Reason, parse
from homeroom.demo.stage import RECORDS, Records
from homeroom.reconcile.learningapp import SETTLE
from homeroom.reconcile.outcome import gaps
from homeroom.reconcile.run import Ending
from homeroom.targets import Capabilities


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    store = open_store(tmp_path)
    yield Running(store)
    store.close()


async def test_rules_count_once_they_have_stood_still_for_a_minute(running: Running) -> None:
    early, made = await running.run()
    assert (early.reason, early.ending, early.again) == (Reason.RULES_SETTLING, Ending.UNFINISHED, SETTLE)
    assert made == set()
    _, made = await running.run(after=SETTLE - timedelta(seconds=1))
    assert made == set()
    _, made = await running.run(after=timedelta(seconds=1))
    assert made


async def test_renaming_an_exclude_shares_nobody_whom_it_covers(running: Running) -> None:
    before = await running.synced()
    excludes = running.remove_exclude()  # a new name is a deletion and a creation
    late, made = await running.run(after=SETTLE * 10)
    assert (late.reason, made) == (Reason.RULES_SETTLING, set())
    running.cluster.objects += [
        {**obj, "metadata": {**obj["metadata"], "name": f"new-{obj['metadata']['name']}"}} for obj in excludes
    ]
    settling, made = await running.run(after=SETTLE - timedelta(seconds=1))
    assert (settling.reason, made) == (Reason.RULES_SETTLING, set())
    report, made = await running.run(after=SETTLE)
    assert made <= before
    assert made
    assert asked(report) == {"Administrators"}


async def test_without_its_exclude_nobody_is_shared_until_somebody_has_seen_it(running: Running) -> None:
    before = await running.synced()
    running.remove_exclude()
    await running.run()
    for _ in range(2):
        report, made = await running.run(after=SETTLE)
        assert made <= before
        assert made
        assert asked(report) == {"Administrators", "Exposure"}
        assert (report.reason, report.ending) == (Reason.HELD_FOR_APPROVAL, Ending.STALLED)


async def test_an_incomplete_reading_does_not_let_the_exposed_slip_in_afterwards(running: Running) -> None:
    before = await running.synced()
    approved = running.rules()
    running.remove_exclude()
    await running.run()
    for complete in (False, True):
        report, made = await running.run(after=SETTLE, complete=complete)
        assert made <= before
        assert running.rules() == approved  # so that the next run still tells what the edit has brought
    assert asked(report) == {"Administrators", "Exposure"}


async def test_whom_an_exclude_covered_while_somebody_was_asked_about_another_is_asked_about_too(
    running: Running,
) -> None:
    before = await running.synced()
    (kindergarten,) = running.remove_exclude()
    await running.run()
    await running.run(after=SETTLE)
    match = [{"key": "grade", "operator": "In", "values": ["01"]}]
    running.cluster.objects.append(
        {
            **kindergarten,
            "metadata": {**kindergarten["metadata"], "name": "no-first-grade"},
            "spec": {**kindergarten["spec"], "match": match},
        }
    )
    await running.run()
    _, during = await running.run(after=SETTLE)
    assert during < before
    running.remove_exclude()
    await running.run()
    report, made = await running.run(after=SETTLE)
    assert made <= during
    assert "Exposure" in asked(report)


async def test_without_any_rule_the_target_is_not_even_looked_at(running: Running) -> None:
    await running.synced()
    before = running.opened
    running.cluster.objects = [obj for obj in running.cluster.objects if obj["kind"] != "SharingRule"]
    for _ in range(2):
        report, made = await running.run(after=SETTLE)
        assert (report.reason, report.ending) == (Reason.NO_SHARING_RULES, Ending.STALLED)
        assert (running.opened, made) == (before, set())


async def test_who_joins_a_class_that_waits_to_be_exposed_waits_too(running: Running, tmp_path: Path) -> None:
    records = Records(RECORDS)
    covered = next(row for row in records.rows("classes", grades="KG"))
    late, *_ = records.rows("enrollments", classSourcedId=covered["sourcedId"], role="student")
    records.remove("enrollments", userSourcedId=late["userSourcedId"])
    (tmp_path / "before.zip").write_bytes(records.zipped())
    running.publish(tmp_path / "before.zip")
    before = await running.synced()
    running.remove_exclude()
    await running.run()
    await running.run(after=SETTLE)
    running.publish()
    report, made = await running.run(after=SETTLE)
    assert "Exposure" in asked(report)
    assert made <= before
    assert late["userSourcedId"] not in {key for _, _, key, _ in made}


async def test_an_empty_store_beside_marked_schools_asks_about_all_that_comes(running: Running) -> None:
    running.schools = ("s-001", "s-002")
    await running.run()
    report, made = await running.run(after=SETTLE)
    assert report.reason == Reason.BASELINE_LOST
    assert made == set()
    assert asked(report) == {"Administrators", "FirstSync"}


async def test_what_people_had_made_waits_for_a_word_whatever_first_sync_says(running: Running) -> None:
    running.by_hand, running.spec["adoption"] = ("s-001",), "MatchIdentifier"
    await running.run()
    report, made = await running.run(after=SETTLE)
    assert asked(report) == {"Administrators", "Adoption"}
    assert report.reason == Reason.HELD_FOR_APPROVAL
    assert (report.status.plan.adopt, {hold.adopt for hold in report.status.holds}) == (1, {0, 1})
    assert {school for _, school, _, _ in made} == {"s-002", "s-003"}
    (hold,) = (hold for hold in report.status.holds if hold.guard == "Adoption")
    running.cluster.objects.append(approval(hold.id))
    _, made = await running.run()
    assert {school for _, school, _, _ in made} == {"s-001", "s-002", "s-003"}
    assert ("School", "s-001", "s-001", None) in made


async def test_a_school_that_is_adopted_still_waits_for_its_first_sync_with_all_that_comes_later(
    running: Running, tmp_path: Path
) -> None:
    records = Records(RECORDS)
    homeroom = next(row for row in records.rows("classes", schoolSourcedId="s-001") if row["grades"] != "KG")
    late = records.rows("enrollments", classSourcedId=homeroom["sourcedId"], role="student")[0]["userSourcedId"]
    records.remove("enrollments", userSourcedId=late)
    (tmp_path / "before.zip").write_bytes(records.zipped())
    running.publish(tmp_path / "before.zip")
    running.by_hand, running.spec = ("s-001",), {"firstSync": "Review", "adoption": "MatchIdentifier"}
    await running.run()
    report, made = await running.run(after=SETTLE)
    assert (asked(report), made) == ({"Administrators", "Adoption", "FirstSync"}, set())
    (hold,) = (hold for hold in report.status.holds if hold.guard == "Adoption")
    running.cluster.objects.append(approval(hold.id))
    assert (await running.run())[1] == {("School", "s-001", "s-001", None)}
    running.schools, running.by_hand = ("s-001",), ()
    running.publish()
    report, made = await running.run()
    assert (asked(report), made) == ({"Administrators", "FirstSync"}, set())


async def test_without_adoption_no_target_is_told_what_could_be_taken_over(running: Running) -> None:
    running.by_hand = ("s-001",)
    report, _ = (await running.run(), await running.run(after=SETTLE))[1]
    assert asked(report) == {"Administrators"}
    assert report.status.plan.adopt == 0


def test_where_the_target_cannot_take_over_anything_the_app_says_so(running: Running) -> None:
    obj = running.cluster.get(APP)
    target: Any = SimpleNamespace(capabilities=Capabilities())
    for adoption, told in (("None", []), ("MatchIdentifier", ["the target cannot take over what people had made"])):
        app = parse({**obj, "spec": {**obj["spec"], "adoption": adoption}})
        assert isinstance(app, LearningApp)
        assert [words.partition(":")[0] for words in gaps(app, target)] == told


def approval(hold: str) -> dict[str, Any]:
    """Somebody commits that this hold is right."""
    return {
        "apiVersion": "homeroom.dev/v1alpha1",
        "kind": "Approval",
        "metadata": {"name": "seen", "namespace": APP.namespace, "creationTimestamp": NOW.isoformat(), "generation": 1},
        "spec": {"targetRef": {"kind": APP.kind, "name": APP.name}, "hold": hold, "reason": "seen"},
    }


async def test_who_is_denied_is_not_made_again(running: Running) -> None:
    before = await running.synced()
    denied = next(key for kind, _, key, _ in sorted(before, key=str) if kind == "Membership")
    district = running.cluster.get(APP._replace(kind="District", name="lakeside"))
    running.cluster.objects = [
        {**obj, "spec": {**obj["spec"], "deny": [{"person": denied}]}} if obj is district else obj
        for obj in running.cluster.objects
    ]
    _, made = await running.run()
    assert made == {thing for thing in before if thing[2] != denied}

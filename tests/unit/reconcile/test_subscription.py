"""What a LearningApp's status says of its subscription, and when."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.reconcile.runs import Declared, Forgetful, accept, app_root, app_run
from tests.unit.roster.rosters import TODAY, Class, Enrolled, Held, Org, Record, User, roster_of
from tests.unit.stores import open_store

from homeroom.api import (
    ConditionStatus,
    District,
    LearningApp,
    LearningAppStatus,
    PeopleOfSchools,
    Subscription,
    conditions,
    parse,
)
from homeroom.api.district import HomeroomDefinition
from homeroom.api.sharingrule import Share
from homeroom.reconcile.district import school_name
from homeroom.reconcile.ports import Key
from homeroom.reconcile.run import Ending, Report
from homeroom.reconcile.subscription import with_subscription, without_subscription
from homeroom.roster.shared import Rule, share
from homeroom.store import RunRow

NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
NOVEMBER = datetime(2026, 11, 22, 12, tzinfo=UTC)
RECORDS: list[Record] = [
    *(Org(f"s-{number}") for number in (1, 2, 3)),
    Class("k-1", grades=("01",)),
    *(User(f"u-{number}") for number in range(4)),
    *(Enrolled("k-1", f"u-{number}") for number in range(4)),
    *(Held("u-1", org=f"s-{number}") for number in (1, 2)),
    *(Held("u-2", org=f"s-{number}") for number in (1, 2, 3)),
]
ROSTER = roster_of(*RECORDS)
SHARED = share(
    ROSTER,
    [Rule(name=what, share=what, share_everything=True) for what in (Share.SECTIONS, Share.STUDENTS)],
    homeroom=HomeroomDefinition(),
    today=TODAY,
)
EMPTY = {"s-1": {"synced": {"students": 0, "teachers": 0, "sections": 0, "administrators": 0}}}
FULL = {"s-1": {"synced": {"students": 4, "teachers": 0, "sections": 1, "administrators": 0}}}


def resource(kind: str, spec: dict[str, Any]) -> Any:
    meta = {"name": "lakeside", "namespace": "lakeside", "generation": 3}
    return parse({"apiVersion": "homeroom.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec})


def app(subscription: Subscription | None) -> LearningApp:
    target = {"kolibri": {"url": "https://kolibri.example", "secretRef": {"name": "kolibri"}}}
    spec: dict[str, Any] = {"districtRef": {"name": "lakeside"}, "target": target}
    if subscription is not None:
        spec["subscription"] = subscription.document()
    found = resource("LearningApp", spec)
    assert isinstance(found, LearningApp)
    return found


def district(*, zone: str = "Europe/Amsterdam", contact: str | None = None) -> District:
    spec: dict[str, Any] = {"timeZone": zone, "source": {"oneRosterCSV": {"url": "file:export.zip"}}}
    found = resource("District", {**spec, "contact": contact} if contact else spec)
    assert isinstance(found, District)
    return found


def status_of(
    subscription: Subscription | None,
    before: LearningAppStatus | None = None,
    *,
    schools: dict[str, Any] = FULL,
    of: District | None = None,
    now: datetime = NOW,
) -> LearningAppStatus:
    return with_subscription(
        before or LearningAppStatus(),
        app=app(subscription),
        district=of or district(),
        roster=ROSTER,
        shared=SHARED,
        schools=schools,
        now=now,
    )


def words(status: LearningAppStatus) -> str:
    found = conditions.find(status.conditions, "Subscribed")
    assert found is not None
    return found.message


def test_the_condition_follows_the_numbers() -> None:
    within = status_of(Subscription(students=4))
    (condition,) = within.conditions
    assert (condition.type, condition.status, condition.reason) == (
        "Subscribed",
        ConditionStatus.TRUE,
        "WithinSubscription",
    )
    assert condition.observed_generation == 3
    assert within.subscription is not None
    assert within.subscription.students is not None
    beyond = status_of(Subscription(students=4, schools=("s-1", "s-2")), within, now=LATER)
    (condition,) = beyond.conditions
    assert (condition.status, condition.reason) == (ConditionStatus.FALSE, "NotSubscribed")
    assert condition.last_transition_time == LATER


def test_nothing_moves_in_a_run_that_changed_nothing() -> None:
    subscription = Subscription(students=4, schools=("s-9",), grades=("KG",), go_live=date(2026, 10, 5))
    first = status_of(subscription, schools=EMPTY)
    for days in (0, 1, 30):
        assert status_of(subscription, first, schools=EMPTY, now=NOW + timedelta(days=days)) == first


def test_without_a_subscription_only_the_two_sums_are_explained() -> None:
    before = status_of(Subscription(students=4))
    status = status_of(None, before)
    assert (status.subscription, status.conditions) == (None, ())
    assert status.in_two_schools == PeopleOfSchools(students=1)
    assert status.in_more_schools == PeopleOfSchools(students=1)
    assert without_subscription(before).conditions == ()


def test_conditions_of_others_stay() -> None:
    before = conditions.done(LearningAppStatus(), generation=3, message="fine", now=NOW)
    status = status_of(Subscription(students=4), before)
    assert [condition.type for condition in status.conditions] == ["Ready", "Subscribed"]
    assert status_of(None, status).conditions == before.conditions


def test_who_is_to_ask_is_named_where_a_school_is_not_set_up() -> None:
    asked = district(contact="https://intranet.example/records")
    missing = Subscription(schools=("s-1", "s-2", "s-3", "s-4"))
    assert words(status_of(missing, of=asked)).endswith("s-4; ask https://intranet.example/records")
    assert words(status_of(missing)).endswith("s-4")
    complete = Subscription(schools=("s-1", "s-2", "s-3"))
    assert "intranet" not in words(status_of(complete, of=asked))


@pytest.mark.parametrize(
    ("go_live", "zone", "schools", "late"),
    [
        (date(2026, 10, 15), "UTC", EMPTY, False),
        (date(2026, 10, 15), "Pacific/Kiritimati", EMPTY, True),  # there it is the 2nd of October
        (date(2026, 10, 14), "UTC", EMPTY, True),
        (date(2026, 10, 14), "UTC", {}, True),
        (date(2026, 10, 14), "UTC", FULL, False),
        (date(2026, 9, 1), "UTC", EMPTY, True),
        (date(2026, 9, 1), "UTC", FULL, False),
    ],
)
def test_two_weeks_before_it_is_used_something_should_be_there(
    go_live: date, zone: str, schools: dict[str, Any], *, late: bool
) -> None:
    subscription = Subscription(students=4, go_live=go_live)
    status = status_of(subscription, schools=schools, of=district(zone=zone))
    told = f"; it is to be in use from {go_live} on, and nothing is there yet"
    assert words(status) == "4 of 4 students" + (told if late else "")
    assert status.conditions[0].status is ConditionStatus.TRUE


# ---------------------------------------------------------------------------------------------------------------------
# In a run


async def reported(tmp_path: Path, cluster: Declared, *, last: RunRow | None = None, **spec: object) -> Report[Any]:
    """What a run of the example app says that only observes; `spec`: changed fields."""
    clock: Any = SimpleNamespace(now=lambda: NOVEMBER, monotonic=lambda: 0.0)
    store = open_store(tmp_path)
    try:
        accept(store)
        root = app_root(store, Forgetful, clock=clock, settle=timedelta())
        return await root.reconcile(app_run(cluster, clock=clock, last=last, spec={"policy": "Observe", **spec}))
    finally:
        store.close()


async def test_a_run_says_what_was_bought_and_tells_the_schools(tmp_path: Path) -> None:
    bought = {"students": 100, "schools": ["s-001", "s-009"], "goLive": "2026-12-01"}
    report = await reported(tmp_path, Declared(), subscription=bought)
    assert report.ending is Ending.DONE
    assert words(report.status) == (
        "208 of 100 students (108 more, beyond the buffer of 25); schools shared and not bought: s-002, s-003; "
        "schools bought and not shared: s-009; ask https://intranet.lakeside.example/records; "
        "it is to be in use from 2026-12-01 on, and nothing is there yet"
    )
    assert report.status.subscription.schools.not_bought == ("s-002", "s-003")
    states = {school: row["state"] for school, row in report.schools.items()}  # type: ignore[index]  # rows are plain JSON
    assert states == {"s-001": "Pending", "s-002": "Pending", "s-003": "Pending", "s-009": "NotSetUp"}
    assert report.schools["s-002"]["ready"] == {"students": 80, "teachers": 6, "sections": 12, "administrators": 2}  # type: ignore[index]  # as above
    assert Key("School", "lakeside", school_name("lakeside", "s-009")) in report.wakes


async def test_without_rules_nothing_is_compared_and_the_schools_are_told(tmp_path: Path) -> None:
    before = await reported(tmp_path, Declared())
    last = RunRow(started_at=NOW, ended_at=NOW, reason="Succeeded", message="", schools=before.schools)
    cluster = Declared()
    cluster.objects = [obj for obj in cluster.objects if obj["kind"] != "SharingRule"]
    report = await reported(tmp_path, cluster, last=last)
    assert (report.status.subscription, report.status.conditions, report.schools) == (None, (), {})
    assert set(report.wakes) == set(before.wakes) != set()

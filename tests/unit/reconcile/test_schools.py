"""Rows of schools: how each stands in an app, how School objects sum that up, and what wakes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from tests.unit.roster.rosters import TODAY, Class, Enrolled, Held, Org, Record, User, roster_of
from tests.unit.stores import open_store

from homeroom.api import Removal, School, SchoolStatus, Subscription, parse
from homeroom.api.district import HomeroomDefinition
from homeroom.api.sharingrule import Share
from homeroom.plan import Kind, Plan
from homeroom.reconcile.outcome import school_rows
from homeroom.reconcile.ports import Key, Object
from homeroom.reconcile.routes import routes
from homeroom.reconcile.run import Run
from homeroom.reconcile.school import SchoolRoot
from homeroom.roster.desired import desired
from homeroom.roster.diff import diff
from homeroom.roster.seated import seated as only_seated
from homeroom.roster.shared import Rule, share
from homeroom.roster.state import ACTUAL_SCHEMAS, Actual
from homeroom.store import RunRow, Store

NOW = datetime(2026, 10, 1, 12, tzinfo=UTC)

# ---------------------------------------------------------------------------------------------------------------------
# How a school stands in one app

RECORDS: list[Record] = [
    Org("s-1"),
    Org("s-2"),
    Class("k-1"),
    Class("k-2", school="s-2"),
    *(User(key) for key in ("u-1", "u-2", "u-3", "t-1", "a-1", "a-2")),
    *(Enrolled("k-1", key) for key in ("u-1", "u-2")),
    Enrolled("k-1", "t-1", "teacher"),
    Enrolled("k-2", "u-3"),
    Held("a-1", "principal"),
    Held("a-2", "siteAdministrator"),
    Held("u-2", "aide"),  # works there, and learns there
]
ROSTER = roster_of(*RECORDS)
DAY: Any = {"homeroom": HomeroomDefinition(), "today": TODAY}
SHARED = share(
    ROSTER,
    [Rule(name=what, share=what, share_everything=True) for what in (Share.SECTIONS, Share.STAFF)],
    **DAY,
)
WANTED = desired(ROSTER, SHARED)
NOTHING = Actual(**{name: pl.DataFrame(schema=schema) for name, schema in ACTUAL_SCHEMAS.items()})  # type: ignore[arg-type]  # all five are frames
FIRST = diff(WANTED, NOTHING, baseline=None, removal=Removal())
NORTH = {"students": 2, "teachers": 1, "sections": 1, "administrators": 2}
SOUTH = {"students": 1, "teachers": 0, "sections": 1, "administrators": 0}
NOBODY = dict.fromkeys(NORTH, 0)


def rows(
    *lacking: str,
    kinds: Sequence[Kind] = tuple(Kind),
    bought: Sequence[str] = (),
    held: Sequence[str] = (),
    unsure: Sequence[str] = (),
    seated: Sequence[str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Where those things with these keys are still to be made; for those students only who are `seated`, if given."""
    found = pl.col("key").is_in(list(lacking)) & pl.col("kind").cast(pl.String).is_in([kind.value for kind in kinds])
    decision: Any = SimpleNamespace(
        shared=SHARED,
        unseated=WANTED,
        desired=WANTED
        if seated is None
        else only_seated(WANTED, pl.Series(seated, dtype=pl.String), WANTED.people["key"]),
        actual=SimpleNamespace(unsure=frozenset(unsure)),
        reviewed=SimpleNamespace(open=[SimpleNamespace(rows=pl.DataFrame({"school": held}, {"school": pl.String}))]),
    )
    left = Plan(FIRST.changes.filter(found)).changes
    return school_rows(decision, None, left, bought=Subscription(schools=tuple(bought)) if bought else None)


def test_a_school_with_everything_is_synced() -> None:
    assert rows() == {
        "s-1": {"state": "Synced", "ready": NORTH, "synced": NORTH},
        "s-2": {"state": "Synced", "ready": SOUTH, "synced": SOUTH},
    }


def test_before_the_first_sync_there_is_nobody() -> None:
    found = rows(*FIRST.changes["key"])
    assert {school: (row["state"], row["synced"]) for school, row in found.items()} == {
        "s-1": ("Pending", NOBODY),
        "s-2": ("Pending", NOBODY),
    }


@pytest.mark.parametrize(
    ("lacking", "kinds", "less"),
    [
        ("u-1", [Kind.PERSON], "students"),
        ("u-2", [Kind.PERSON], "students"),  # not a teacher, though staff
        ("t-1", [Kind.PERSON], "teachers"),
        ("a-1", [Kind.RIGHT], "administrators"),
        ("a-1", [Kind.PERSON, Kind.RIGHT], "administrators"),  # and not a teacher
        ("k-1", [Kind.CLASS], "sections"),
    ],
)
def test_what_is_missing_is_counted_as_what_it_is(lacking: str, kinds: list[Kind], less: str) -> None:
    found = rows(lacking, kinds=kinds)
    assert found["s-1"] == {"state": "Pending", "ready": NORTH, "synced": NORTH | {less: NORTH[less] - 1}}
    assert found["s-2"]["state"] == "Synced"


def test_a_membership_that_is_missing_is_nobody_missing() -> None:
    found = rows("u-1", kinds=[Kind.MEMBERSHIP])
    assert found["s-1"] == {"state": "Pending", "ready": NORTH, "synced": NORTH}


def test_without_administrators_there_are_none() -> None:
    shared = share(ROSTER, [Rule(name="sections", share=Share.SECTIONS, share_everything=True)], **DAY)
    decision: Any = SimpleNamespace(
        shared=shared,
        unseated=(wanted := desired(ROSTER, shared)),
        desired=wanted,
        actual=SimpleNamespace(unsure=frozenset()),
        reviewed=SimpleNamespace(open=[]),
    )
    found = school_rows(decision, None, FIRST.changes.clear(), bought=None)
    assert {school: row["synced"]["administrators"] for school, row in found.items()} == {"s-1": 0, "s-2": 0}


def test_who_has_no_seat_is_ready_and_not_synced_and_nothing_is_pending() -> None:
    assert rows(seated=[]) == {
        "s-1": {"state": "Synced", "ready": NORTH, "synced": {**NORTH, "students": 1}},  # u-2 works there, too
        "s-2": {"state": "Synced", "ready": SOUTH, "synced": {**SOUTH, "students": 0}},
    }


def test_the_worst_counts() -> None:
    assert rows("u-1", held=["s-1"])["s-1"]["state"] == "Held"
    assert rows("u-1", held=["s-1"], unsure=["s-1"])["s-1"]["state"] == "Error"
    assert rows(held=["s-9"], bought=["s-9"])["s-9"]["state"] == "NotSetUp"
    assert rows(unsure=["s-9"], bought=["s-9"])["s-9"]["state"] == "Error"


def test_a_school_that_was_bought_and_is_not_shared_is_not_set_up() -> None:
    found = rows(bought=["s-1", "s-9"])
    assert found["s-9"] == {"state": "NotSetUp", "ready": NOBODY, "synced": NOBODY}
    assert {school: row["state"] for school, row in found.items()} == {
        "s-1": "Synced",
        "s-2": "Synced",
        "s-9": "NotSetUp",
    }


# ---------------------------------------------------------------------------------------------------------------------
# How a School sums that up


class Objects:
    """The objects of a cluster."""

    def __init__(self, *objects: Object) -> None:
        self.objects = {Key(obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"]): obj for obj in objects}

    def get(self, key: Key) -> Object | None:
        return self.objects.get(key)

    def list(self, kind: str, namespace: str) -> Sequence[Object]:
        return [obj for key, obj in sorted(self.objects.items()) if key[:2] == (kind, namespace)]


def make(kind: str, name: str, **spec: object) -> Object:
    meta = {"name": name, "namespace": "lakeside", "generation": 1}
    return {"apiVersion": "homeroom.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}


DISTRICT = make("District", "lakeside", contact="https://intranet.example/records")
SCHOOL = make("School", "lakeside-s-1", districtRef={"name": "lakeside"}, sourcedId="s-1")
POLICY = make("ChatPolicy", "chats", districtRef={"name": "lakeside"}, platformRef={"name": "matrix"})
ELSEWHERE = make("ChatPolicy", "hillside", districtRef={"name": "hillside"}, platformRef={"name": "matrix"})
APPS = [make("LearningApp", name, districtRef={"name": "lakeside"}) for name in ("kolibri", "moodle")]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path)
    yield opened
    opened.close()


def ran(store: Store, app: str, state: str, **counts: int) -> None:
    """A run of an app that left a row about s-1."""
    row: Mapping[str, object] = {"s-1": {"state": state, "ready": counts, "synced": counts}}
    done = RunRow(started_at=NOW, ended_at=NOW, reason="Succeeded", message="", schools=row)
    store.save_run(done, kind="LearningApp", namespace="lakeside", name=app, epoch=1)


def chatted(store: Store, policy: str, state: str, **counts: int) -> None:
    """A run of a policy that left a row about s-1."""
    row: Mapping[str, object] = {"s-1": {"state": state, **counts}}
    done = RunRow(started_at=NOW, ended_at=NOW, reason="Succeeded", message="", schools=row)
    store.save_run(done, kind="ChatPolicy", namespace="lakeside", name=policy, epoch=1)


async def summed_up(store: Store, *objects: Object) -> tuple[str, SchoolStatus]:
    """Message and status of school s-1."""
    cluster: Any = Objects(SCHOOL, *objects)
    resource = parse(SCHOOL)
    assert isinstance(resource, School)
    run: Run[School] = Run(
        key=Key("School", "lakeside", "lakeside-s-1"),
        obj=SCHOOL,
        resource=resource,
        cluster=cluster,
        clock=SimpleNamespace(now=lambda: NOW, monotonic=lambda: 0.0),
        started=NOW,
        full=False,
        fresh=False,
        last=None,
    )
    report = await SchoolRoot(store=store).reconcile(run)
    return report.message, report.status


async def test_a_school_shows_all_apps_and_the_worst_of_them(store: Store) -> None:
    ran(store, "kolibri", "Synced", students=2, teachers=1, sections=1, administrators=2)
    ran(store, "moodle", "Held")
    ran(store, "elsewhere", "Error")  # of another district
    message, status = await summed_up(store, DISTRICT, *APPS)
    assert message == "kolibri: Synced, moodle: Held"
    assert status.summary == "Held"
    assert [(app.name, app.state) for app in status.apps] == [("kolibri", "Synced"), ("moodle", "Held")]
    assert status.apps[0].synced.administrators == 2
    assert status.apps[1].ready.administrators == 0  # a row of an older release has no such count


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        (("Synced", "Pending"), "Pending"),
        (("Held", "Pending"), "Held"),
        (("Held", "NotSetUp"), "NotSetUp"),
        (("Error", "NotSetUp"), "Error"),
    ],
)
async def test_states_go_from_good_to_bad(store: Store, states: tuple[str, str], worst: str) -> None:
    for app, state in zip(("kolibri", "moodle"), states, strict=True):
        ran(store, app, state)
    assert (await summed_up(store, DISTRICT, *APPS))[1].summary == worst


async def test_a_school_that_is_not_set_up_names_whom_to_ask(store: Store) -> None:
    message, status = await summed_up(store, DISTRICT, *APPS)
    assert (message, status.summary) == ("shared with no app; ask https://intranet.example/records", "NotSetUp")
    ran(store, "kolibri", "Synced")
    ran(store, "moodle", "NotSetUp")
    message, status = await summed_up(store, DISTRICT, *APPS)
    assert message == "kolibri: Synced, moodle: NotSetUp; ask https://intranet.example/records"
    message, _ = await summed_up(store, make("District", "lakeside"), *APPS)
    assert message == "kolibri: Synced, moodle: NotSetUp"
    assert (await summed_up(store))[0] == "shared with no app"


async def test_a_school_shows_its_chats_and_they_count_like_apps(store: Store) -> None:
    ran(store, "kolibri", "Pending")
    ran(store, "moodle", "Synced")
    chatted(store, "chats", "Held", wanted=13, there=1, joined=20, unlinked=7)
    chatted(store, "hillside", "Error")  # of another district
    message, status = await summed_up(store, DISTRICT, *APPS, POLICY, ELSEWHERE)
    assert message == "kolibri: Pending, moodle: Synced, chats of chats: Held"
    assert status.summary == "Held"
    assert [one.model_dump() for one in status.chats] == [
        {"name": "chats", "state": "Held", "wanted": 13, "there": 1, "joined": 20, "unlinked": 7}
    ]
    ran(store, "kolibri", "Error")
    assert (await summed_up(store, DISTRICT, *APPS, POLICY))[1].summary == "Error"


async def test_a_school_with_chats_lacks_an_app_only_where_there_are_apps(store: Store) -> None:
    chatted(store, "chats", "Synced")
    message, status = await summed_up(store, DISTRICT, POLICY)
    assert (message, status.summary) == ("chats of chats: Synced", "Synced")
    message, status = await summed_up(store, DISTRICT, POLICY, *APPS)
    assert message == "shared with no app, chats of chats: Synced; ask https://intranet.example/records"
    assert status.summary == "NotSetUp"


# ---------------------------------------------------------------------------------------------------------------------
# What wakes it


def woken(old: Object | None, new: Object | None) -> set[tuple[str, str]]:
    other = make("School", "hillside-s-1", districtRef={"name": "hillside"}, sourcedId="s-1")
    cluster: Any = Objects(SCHOOL, other, DISTRICT, *APPS)
    return {(key.kind, key.name) for key in routes(cluster, old, new)}


def test_a_district_wakes_its_apps_and_its_schools_which_name_its_contact() -> None:
    everything = {("District", "lakeside"), ("LearningApp", "kolibri"), ("LearningApp", "moodle")}
    assert woken(DISTRICT, make("District", "lakeside", contact="other")) == everything | {("School", "lakeside-s-1")}


def test_an_app_or_policy_that_is_gone_wakes_the_schools_that_still_show_it() -> None:
    assert woken(APPS[0], None) == {("LearningApp", "kolibri"), ("School", "lakeside-s-1")}
    assert woken(APPS[0], APPS[0]) == {("LearningApp", "kolibri")}
    assert ("School", "lakeside-s-1") in woken(POLICY, None)
    assert not any(kind == "School" for kind, _ in woken(POLICY, POLICY))

"""Classes and schools in a real Kolibri: names that people change, that meet and that go round; the archive."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from tests.unit.roster.rosters import Class, Enrolled, Held, Org, Session, User, roster_of

from homeroom.api.district import HomeroomDefinition
from homeroom.api.sharingrule import Share
from homeroom.plan import Result
from homeroom.roster.desired import desired as desired_of
from homeroom.roster.shared import Rule, share
from homeroom.roster.state import Desired
from homeroom.roster.years import NO_PINS, pinned

from .kolibri_fixtures import Place, desired

pytestmark = pytest.mark.integration

PEOPLE = {"p-1": "Ann Li", "t-1": "Tom Day"}


def names(place: Place) -> list[str]:
    human = place.server.human()
    return sorted(row["name"] for row in human.call("GET", "classroom/", parent=human.facility(place.id)))


async def test_a_rename_by_hand_stays_and_one_by_the_records_wins(place: Place) -> None:
    wanted = desired(school=place.id, people=PEOPLE, classes={"c-1": "7 A"}, learners={"c-1": ["p-1"]})
    await place.sync(wanted)
    place.server.human().rename_class("7 A", "The Foxes", facility=place.id)
    view = await place.read(wanted)
    assert view.classes == {"c-1": ("The Foxes", False)}
    assert view.members.keys() == {("c-1", "p-1", "Learner")}
    assert await place.sync(wanted) == []
    await place.sync(desired(school=place.id, people=PEOPLE, classes={"c-1": "8 A"}, learners={"c-1": ["p-1"]}))
    assert names(place) == ["8 A"]


async def test_names_that_meet(place: Place) -> None:
    await place.sync(desired(school=place.id, people={}))
    place.server.human().create_class("Math", facility=place.id)
    wanted = desired(school=place.id, people={}, classes={f"c-{n}": "Math" for n in range(3)} | {"c-3": "math"})
    assert {outcome.result for outcome in await place.sync(wanted)} == {Result.APPLIED}
    found = names(place)
    assert len(set(found)) == 5
    assert {name.casefold()[:4] for name in found} == {"math"}
    assert await place.sync(wanted) == []


async def test_names_that_go_round(place: Place) -> None:
    classes = {f"c-{n}": f"Room {n}" for n in range(4)}
    await place.sync(desired(school=place.id, people={}, classes=classes))
    assert (await place.read()).classes == {key: (name, False) for key, name in classes.items()}
    turned = {"c-0": "Room 1", "c-1": "Room 2", "c-2": "Room 0", "c-3": "Room 3"}
    wanted = desired(school=place.id, people={}, classes=turned)
    assert {outcome.result for outcome in await place.sync(wanted)} == {Result.APPLIED}
    assert (await place.read(wanted)).classes == {key: (name, False) for key, name in turned.items()}


async def test_a_class_is_archived_with_nobody_in_it_and_comes_back(place: Place) -> None:
    here = desired(
        school=place.id, people=PEOPLE, classes={"c-1": "7 A"}, learners={"c-1": ["p-1"]}, coaches={"c-1": ["t-1"]}
    )
    await place.sync(here)
    human = place.server.human()
    room = human.classroom("7 A", facility=place.id)
    gone = desired(school=place.id, people=PEOPLE, staff=["t-1"])
    await place.sync(gone)
    view = await place.read(gone)
    assert view.classes == {"c-1": ("7 A", True)}
    assert view.members.keys() == set()
    assert names(place) == ["[archived] 7 A"]
    assert await place.sync(gone) == []
    human.create_class("7 A", facility=place.id)
    await place.sync(here)
    view = await place.read(here)
    assert view.actual.classes.filter(key="c-1")["external_id"].to_list() == [room]
    assert not view.classes["c-1"][1]
    assert view.members.keys() == {("c-1", "p-1", "Learner"), ("c-1", "t-1", "Coach")}
    assert await place.sync(here) == []


def in_year(place: Place, end: int, pupil: str, pins: pl.DataFrame) -> tuple[Desired, pl.DataFrame]:
    """What is wanted of section c-1 in October of the school year that ends in `end`; with the pins from then on."""
    years = [Session(f"y-{n}", begin=date(n - 1, 8, 1), end=date(n, 7, 1), year=n) for n in (2027, 2028)]
    people = [User(one, given=one, family="Li") for one in ("p-1", "p-2", "t-1")]
    roles = [Held("p-1", org=place.id), Held("p-2", org=place.id), Held("t-1", "teacher", org=place.id)]
    section = Class("c-1", title="7 A", school=place.id, terms=(f"y-{end}",))
    enrolled = (Enrolled("c-1", pupil), Enrolled("c-1", "t-1", "teacher"))
    reading, today = (
        roster_of(Org(place.id, name=place.id), *years, *people, *roles, section, *enrolled),
        date(end - 1, 10, 1),
    )
    found = pinned(reading, pins, today=today)
    rules = [Rule(name=kind, share=kind, share_everything=True) for kind in (Share.SECTIONS, Share.STUDENTS)]
    return desired_of(found.roster, share(found.roster, rules, homeroom=HomeroomDefinition(), today=today)), found.pins


async def test_the_same_section_next_year_is_another_classroom_and_the_old_one_is_kept(place: Place) -> None:
    wanted, pins = in_year(place, 2027, "p-1", NO_PINS)
    await place.sync(wanted)
    before = await place.read(wanted)
    human = place.server.human()
    room = human.classroom("7 A", facility=place.id)
    group = human.call("POST", "learnergroup/", {"name": "Fractions", "parent": room})["id"]

    wanted, pins = in_year(place, 2028, "p-2", pins)
    assert {outcome.result for outcome in await place.sync(wanted)} == {Result.APPLIED}
    view = await place.read(wanted)
    assert view.classes.keys() == {"c-1", "c-1@2028"}
    assert {key: archived for key, (_, archived) in view.classes.items()} == {"c-1": True, "c-1@2028": False}
    assert view.members.keys() == {("c-1@2028", "p-2", "Learner"), ("c-1@2028", "t-1", "Coach")}
    assert view.ids == before.ids
    rooms = dict(view.actual.classes.select("key", "external_id").iter_rows())
    assert rooms["c-1"] == room != rooms["c-1@2028"]
    assert [row["id"] for row in human.call("GET", "learnergroup/", parent=room)] == [group]
    assert human.call("GET", "learnergroup/", parent=rooms["c-1@2028"]) == []
    assert await place.sync(wanted) == []


async def test_a_class_that_was_deleted_by_hand_is_made_again(place: Place) -> None:
    wanted = desired(school=place.id, people=PEOPLE, classes={"c-1": "7 A"}, learners={"c-1": ["p-1"]})
    await place.sync(wanted)
    human = place.server.human()
    human.call("DELETE", f"classroom/{human.classroom('7 A', facility=place.id)}/")
    await place.sync(wanted)
    assert (await place.read(wanted)).members.keys() == {("c-1", "p-1", "Learner")}
    assert await place.sync(wanted) == []


async def test_a_school_keeps_its_settings_and_says_nothing_before_the_log_in(place: Place) -> None:
    await place.sync(desired(school=place.id, people=PEOPLE, classes={"c-1": "7 A"}, learners={"c-1": ["p-1"]}))
    (row,) = [row for row in place.server.human().call("GET", "facility/") if row["name"] == place.id]
    dataset = row["dataset"]
    assert dataset["preset"] == "formal"
    assert dataset["learner_can_login_with_no_password"]
    assert not any(dataset[f"learner_can_{what}"] for what in ("sign_up", "edit_password", "delete_account"))
    told = str(dataset["extra_fields"])
    assert not any(secret in told for secret in (place.id, place.owner, "c-1", "7 A", "p-1", "Ann"))
    human = place.server.human()
    human.call(
        "PATCH", f"facilitydataset/{dataset['id']}/", {"extra_fields": {**dataset["extra_fields"], "pin_code": "1234"}}
    )
    await place.sync(desired(school=place.id, people=PEOPLE, classes={"c-1": "7 A", "c-2": "7 B"}, name="New name"))
    (row,) = [row for row in human.call("GET", "facility/") if row["name"] == "New name"]
    assert row["dataset"]["extra_fields"]["pin_code"] == "1234"
    assert len(row["dataset"]["extra_fields"]["homeroom.dev/classes"]) == 2

"""What a target should hold, by name and key."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from tests.unit.roster.rosters import (
    TODAY,
    Class,
    Enrolled,
    Held,
    Names,
    Org,
    Record,
    User,
    records,
    roster_of,
    rule_sets,
    unhurried,
)

from homeroom.api.district import HomeroomDefinition
from homeroom.api.sharingrule import Share
from homeroom.roster.desired import desired
from homeroom.roster.shared import Rule, share
from homeroom.roster.state import DESIRED_SCHEMAS, Desired

HOMEROOM = HomeroomDefinition()


def wanted(found: list[Record], chosen: list[Rule]) -> Desired:
    roster = roster_of(*found)
    return desired(roster, share(roster, chosen, homeroom=HOMEROOM, today=TODAY))


def everything(*kinds: Share) -> list[Rule]:
    return [Rule(name=kind, share=kind, share_everything=True) for kind in kinds]


def test_people_classes_and_schools_have_their_names() -> None:
    found: list[Record] = [
        Org("s-1", name="Hill"),
        Class("k-1", title=" 7a "),
        User("t-1", given="Ada", family="Hill", username="ada"),
        User("u-1", given="Bo", family=None),
        Enrolled("k-1", "t-1", "teacher"),
        Enrolled("k-1", "u-1"),
        Held("t-1", "principal"),
    ]
    state = wanted(found, everything(Share.SECTIONS, Share.STAFF))
    assert state.schools.rows() == [("s-1", "Hill")]
    assert state.classes.rows() == [(0, "k-1", "7a")]
    assert state.people.rows() == [
        (0, "t-1", "Ada Hill", "ada", True),
        (0, "u-1", "Bo", None, False),
    ]
    assert state.memberships.rows() == [(0, 0, "Coach"), (0, 1, "Learner")]
    assert state.rights.rows() == [(0,)]


def test_a_missing_name_is_the_id() -> None:
    found: list[Record] = [
        Org("s-1", name=None),
        Class("k-1", title=""),
        User("u-1", given=" ", family=None),
        Enrolled("k-1", "u-1"),
    ]
    state = wanted(found, everything(Share.SECTIONS))
    assert (state.schools["name"][0], state.classes["name"][0], state.people["name"][0]) == ("s-1", "k-1", "u-1")


def test_any_work_at_the_school_makes_somebody_staff_there() -> None:
    roles = ("student", "teacher", "aide", "guardian", "other")
    found: list[Record] = [Org("s-1"), Org("s-2"), *(User(f"u-{role}") for role in roles)]
    found += [Held(f"u-{role}") for role in roles] + [Held(f"u-{role}", role, "s-2") for role in roles]
    staff = {
        (school, key): staff
        for school, key, staff in wanted(found, everything(Share.STUDENTS))
        .people.select("school", "key", "staff")
        .rows()
    }
    assert staff[0, "u-teacher"] is False  # a student there; teaches elsewhere
    assert {key: at for (school, key), at in staff.items() if school == 1} == {"u-student": False}


@unhurried
@given(records(), rule_sets())
def test_all_references_resolve_and_keys_are_sorted_and_unique(found: list[Record], chosen: list[Rule]) -> None:
    state = wanted(found, chosen)
    for name, schema in DESIRED_SCHEMAS.items():
        assert getattr(state, name).schema == schema
    assert state.schools["key"].to_list() == sorted(set(state.schools["key"]))
    for frame in (state.people, state.classes):
        keys = frame.select("school", "key").rows()
        assert keys == sorted(set(keys))
        assert all(school < state.schools.height for school, _ in keys)
        assert not frame["name"].null_count()
    pairs = state.memberships.select("class", "person").rows()
    assert pairs == sorted(set(pairs))
    assert all(state.classes["school"][c] == state.people["school"][p] for c, p in pairs)
    assert set(state.memberships["role"]) <= {"Learner", "Coach"}
    assert all(state.people["staff"][p] for p in state.rights["person"])


@unhurried
@given(found=records(), chosen=rule_sets())
def test_who_is_about_whom_and_accounts_elsewhere_lead_into_no_app(found: list[Record], chosen: list[Rule]) -> None:
    bare: list[Record] = [
        replace(one, user_ids=None) if isinstance(one, User) else one for one in found if not isinstance(one, Names)
    ]
    told: list[Record] = [replace(one, user_ids=("Matrix:@x:y",)) if isinstance(one, User) else one for one in found]
    one, other = wanted(told, chosen), wanted(bare, chosen)
    assert all(getattr(one, name).equals(getattr(other, name)) for name in DESIRED_SCHEMAS)

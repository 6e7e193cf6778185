"""Taking over what people had made: who is who, one to one, and what a plan makes of it (DESIGN.md invariant 5)."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.roster.rosters import unhurried
from tests.unit.roster.states import COACH, LEARNER, Target, World, desired, told, world
from tests.unit.roster.test_diff_properties import thoroughly, worlds

from homeroom.api import Removal
from homeroom.plan import LEAVING, Cause, Plan
from homeroom.roster.adoption import FOUND_SCHEMA, TOKENS_SCHEMA, adoptable, matched, under_other_names
from homeroom.roster.diff import Baseline, diff, expected, identity, sizes
from homeroom.roster.state import ADOPTABLE_SCHEMAS, Actual
from homeroom.roster.tables import SCHEMAS, Roster

Edges = list[tuple[str, str | None]]
tokens = st.sampled_from(["number 1", "number 2", "number 3", "user ann", "user bob", None])
sides = st.lists(st.tuples(st.sampled_from("abcde"), tokens), max_size=12)


@unhurried
@given(sides, sides)
def test_nobody_is_taken_for_two_and_nothing_is_taken_that_does_not_fit(wanted: Edges, found: Edges) -> None:
    answer = matched(
        pl.DataFrame([("s1", *row) for row in wanted], schema=TOKENS_SCHEMA, orient="row"),
        pl.DataFrame([("s1", f"x{id_}", token) for id_, token in found], schema=FOUND_SCHEMA, orient="row"),
    )
    pairs = answer.pairs.select("key", "external_id").rows()
    doubts = set(answer.doubts["key"])
    common = {(key, f"x{id_}") for key, one in wanted for id_, other in found if one is not None and one == other}
    keys, ids = Counter(key for key, _ in common), Counter(id_ for _, id_ in common)
    assert set(pairs) == {(key, id_) for key, id_ in common if keys[key] == ids[id_] == 1}
    assert doubts == {key for key, _ in common} - {key for key, _ in pairs}
    assert len({key for key, _ in pairs}) == len({id_ for _, id_ in pairs}) == len(pairs)


def test_the_same_number_in_another_school_is_somebody_else() -> None:
    wanted = pl.DataFrame([("s1", "p1", "number 1"), ("s2", "p2", "number 1")], schema=TOKENS_SCHEMA, orient="row")
    found = pl.DataFrame([("s2", "x", "number 1")], schema=FOUND_SCHEMA, orient="row")
    assert matched(wanted, found).pairs.rows() == [("s2", "p2", "x")]


def test_what_is_wanted_is_told_with_what_it_can_be_found_by() -> None:
    users = [("ann", "7", " "), ("tom", "", "tom.day"), ("eve", None, None)]
    columns = {"id": "key", "identifier": "identifier", "username": "username"}
    known = pl.DataFrame(users, schema=list(columns), orient="row")
    empty = {name: pl.DataFrame(schema=schema) for name, schema in SCHEMAS.items()}
    empty["users"] = pl.concat([empty["users"], known], how="diagonal_relaxed")
    want = desired(world("7a: ann tom*; -: eve", rights=["eve"]))
    want = replace(want, people=want.people.with_columns(username=pl.Series([" ", None, "tom.day"])))
    told = adoptable(Roster(**empty), want)
    assert told.people.rows() == [
        ("s1", "ann", "7", None, False, False),
        ("s1", "eve", None, None, True, True),
        ("s1", "tom", None, "tom.day", True, False),
    ]
    assert told.schools.rows() == [("s1", "School s1")]
    assert told.classes.rows() == [("s1", "7a", "Class 7a")]
    assert {name: getattr(told, name).schema for name in ADOPTABLE_SCHEMAS} == ADOPTABLE_SCHEMAS


# ---------------------------------------------------------------------------------------------------------------------
# What a plan makes of it


class ByHand:
    """School s1, filled by hand: class 7a with ann, bob and a guest; cid has an account and is in no class."""

    def __init__(self) -> None:
        self.target = Target(schools={"s1": "School s1"})
        self.section = self.target.own_class("Class 7a")
        self.ann, self.bob, self.cid, self.guest = (
            int(self.target.own_account(f"Name {name}")[1:]) for name in ("ann", "bob", "cid", "guest")
        )
        self.target.members = {(self.section, one, LEARNER) for one in (self.ann, self.bob, self.guest)}
        self.adopting: Mapping[int, str] = {self.section: "7a", self.ann: "ann", self.bob: "bob", self.cid: "cid"}
        self.before: Baseline | None = None

    def actual(self, *doubts: tuple[str, str, str]) -> Actual:
        left = dict(self.adopting)
        for things in (self.target.people, self.target.classes):
            ours = {(one.school, one.key) for one in things.values()}
            left = {
                number: key
                for number, key in left.items()
                if number not in things or (things[number].school, key) not in ours
            }
        return self.target.actual(adopting=left, doubts=doubts)

    def plan(self, want: World, *doubts: tuple[str, str, str]) -> Plan:
        return diff(desired(want), self.actual(*doubts), baseline=self.before, removal=Removal())

    def run(self, want: World, *, first: int | None = None, lost: bool = False) -> Plan:
        """Carry out the plan, or its first changes; `lost`: it died before it could remember them."""
        plan = self.plan(want)
        remembered = expected(desired(want), self.actual(), plan, before=self.before)
        rest = self.target.apply(plan, first)
        self.before = remembered if lost else remembered.settled(plan, identity(rest))
        return plan


@pytest.fixture
def by_hand() -> ByHand:
    return ByHand()


WANT = world("7a: ann cid eve; -: bob")
ADOPTED = [
    "Adopt Membership 7a/ann Learner: Adoption",
    "Adopt Person ann: Adoption",
    "Adopt Person bob: Adoption",
    "Adopt Person cid: Adoption",
    "Create Person eve: FirstSync",
    "Adopt Class 7a: Adoption",
    "Create Membership 7a/cid Learner: FirstSync",
    "Create Membership 7a/eve Learner: FirstSync",
    "Remove Membership 7a/?5 Learner: Adoption",
    "Remove Membership 7a/bob Learner: Adoption",
]


def test_adoptions_and_who_leaves_with_them_are_one_thing_apart_from_what_is_made(by_hand: ByHand) -> None:
    before = copy.deepcopy(by_hand.target.people[by_hand.guest])
    assert told(by_hand.run(WANT)) == ADOPTED
    assert by_hand.plan(WANT).empty
    people = by_hand.target.people
    assert {people[number].key for number in (by_hand.ann, by_hand.bob, by_hand.cid)} == {"ann", "bob", "cid"}
    assert people[by_hand.guest] == before, "an account that fits nobody is touched"
    assert len(people) == 5, "somebody has two accounts"
    assert {account for _, account, _ in by_hand.target.members} == {by_hand.ann, by_hand.cid, 6}


@pytest.mark.parametrize("first", range(len(ADOPTED)))
@pytest.mark.parametrize("lost", [True, False])
def test_a_run_that_dies_anywhere_goes_on_and_calls_nobody_an_intruder(
    by_hand: ByHand, first: int, *, lost: bool
) -> None:
    by_hand.run(WANT, first=first, lost=lost)
    comes_along = ADOPTED[:1] if 0 < first <= ADOPTED.index("Adopt Class 7a: Adoption") else []
    assert told(by_hand.run(WANT)) == [*comes_along, *ADOPTED[first:]]
    assert by_hand.plan(WANT).empty


def test_what_waits_for_an_approval_stays_the_same_plan(by_hand: ByHand) -> None:
    for _ in range(3):
        assert told(by_hand.run(WANT, first=0)) == ADOPTED


def test_when_adoption_is_taken_back_before_its_time_everybody_is_just_new(by_hand: ByHand) -> None:
    by_hand.run(WANT, first=0)
    by_hand.adopting = {}
    plan = by_hand.plan(WANT)
    assert {row.partition(" ")[0] for row in told(plan)} == {"Create"}
    assert not plan.changes.filter(pl.col("cause").cast(pl.String) == Cause.ADOPTION.value).height


def test_whoever_comes_into_an_adopted_class_by_hand_later_is_an_intruder(by_hand: ByHand) -> None:
    by_hand.run(WANT)
    by_hand.target.members.add((by_hand.section, by_hand.guest, LEARNER))
    assert told(by_hand.plan(WANT)) == ["Remove Membership 7a/?5 Learner: Intruder"]


def test_what_is_in_doubt_is_neither_adopted_nor_made_and_all_of_theirs_stands_still(by_hand: ByHand) -> None:
    by_hand.adopting = {}
    person = ("Person", "s1", "ann")
    assert told(by_hand.plan(world("7a: ann cid"), person)) == [
        "Create Person cid: FirstSync",
        "Create Class 7a: FirstSync",
        "Create Membership 7a/cid Learner: FirstSync",
    ]
    assert told(by_hand.plan(world("7a: ann"), ("Class", "s1", "7a"))) == ["Create Person ann: FirstSync"]
    assert by_hand.plan(world("7a: ann"), ("School", "s1", "s1")).empty


def test_what_was_in_doubt_is_new_once_it_is_not(by_hand: ByHand) -> None:
    by_hand.adopting = {}
    want, doubts = world("7a: ann"), (("Person", "s1", "ann"), ("Class", "s1", "7a"))
    plan = by_hand.plan(want, *doubts)
    assert plan.empty
    by_hand.before = expected(desired(want), by_hand.actual(*doubts), plan, before=None)
    causes = by_hand.plan(want).changes["cause"].cast(pl.String)
    assert causes.len() == 3
    assert Cause.DRIFT.value not in causes


@st.composite
def filled(draw: st.DrawFn) -> tuple[World, ByHand]:
    """What is wanted, and a product that people had filled with some of it, and with things of their own."""
    want, by_hand = draw(worlds()), ByHand()
    target = by_hand.target = Target(schools=dict(want.schools))
    adopting: dict[int, str] = {}
    for (school, key), name in sorted(want.people.items()):
        if draw(st.booleans()):
            number = int(target.own_account(draw(st.sampled_from([name, "Other"])), school)[1:])
            adopting[number] = key
            target.rights |= {number} if (school, key) in want.rights and draw(st.booleans()) else set()
    for (school, key), name in sorted(want.classes.items()):
        if draw(st.booleans()):
            adopting[target.own_class(name, school)] = key
    for school in sorted(want.schools):
        target.own_account("Guest", school)
        target.own_class("Chess", school)
    places = [
        (section, person, role)
        for section, one in sorted(target.classes.items())
        for person, account in sorted(target.people.items())
        for role in (LEARNER, COACH)
        if one.school == account.school
    ]
    target.members = draw(st.sets(st.sampled_from(places), max_size=8)) if places else set()
    by_hand.adopting = adopting
    return want, by_hand


@thoroughly
@given(filled(), st.integers(0, 20), st.booleans())
def test_everybody_has_one_account_and_nothing_else_is_touched_wherever_it_breaks_off(
    case: tuple[World, ByHand],
    first: int,
    lost: bool,  # noqa: FBT001  # hypothesis passes it by position
) -> None:
    want, by_hand = case
    target = by_hand.target
    own = {number for number in (*target.people, *target.classes) if number not in by_hand.adopting}
    before = copy.deepcopy(target)
    by_hand.run(want, first=first, lost=lost)
    rest = by_hand.run(want)
    assert not [row for row in told(rest) if row.endswith(("Drift", "Intruder"))]
    assert by_hand.plan(want).empty
    held = Counter((one.school, one.key) for one in target.people.values() if one.key is not None)
    assert held == Counter(want.people.keys())
    assert {target.people[number].key for number in by_hand.adopting if number in target.people} == {
        key for number, key in by_hand.adopting.items() if number in target.people
    }
    assert target.shown().members == want.members
    assert target.shown().rights == want.rights
    for number in own:
        assert target.people.get(number) == before.people.get(number)
        assert target.classes.get(number) == before.classes.get(number)
    assert {row for row in target.members if row[0] in own} == {row for row in before.members if row[0] in own}


def test_whose_account_has_another_name_is_told(by_hand: ByHand) -> None:
    by_hand.target.people[by_hand.ann] = replace(by_hand.target.people[by_hand.ann], name="ANN  name")
    by_hand.target.people[by_hand.bob] = replace(by_hand.target.people[by_hand.bob], name="Somebody else")
    assert under_other_names(desired(WANT), by_hand.actual()).rows() == [("s1", "bob")]
    by_hand.run(WANT)
    assert by_hand.target.people[by_hand.bob].name == "Name bob", "the name belongs to the records"
    assert under_other_names(desired(WANT), by_hand.actual()).is_empty()


def test_a_right_that_was_there_is_adopted_with_its_account(by_hand: ByHand) -> None:
    by_hand.target.rights = {by_hand.ann, by_hand.guest}
    by_hand.adopting = {by_hand.ann: "ann"}
    want = world("-: ann", rights=["ann"])
    assert told(by_hand.run(want)) == ["Adopt Right ann Administrator: Adoption", "Adopt Person ann: Adoption"]
    assert by_hand.target.rights == {by_hand.ann, by_hand.guest}, "somebody's own administrator is not ours"


def test_who_was_made_a_coach_by_hand_and_learns_gets_the_role_of_the_records(by_hand: ByHand) -> None:
    by_hand.target.members = {(by_hand.section, by_hand.ann, COACH)}
    assert [row for row in told(by_hand.run(world("7a: ann"))) if "Membership" in row] == [
        "Create Membership 7a/ann Learner: FirstSync",
        "Remove Membership 7a/ann Coach: Adoption",
    ]


def test_an_incomplete_reading_takes_nobody_out_of_an_adopted_class(by_hand: ByHand) -> None:
    actual = by_hand.target.actual(adopting=by_hand.adopting, complete=False)
    plan = diff(desired(WANT), actual, baseline=None, removal=Removal())
    assert plan.changes.filter(pl.col("op").cast(pl.String).is_in(LEAVING)).is_empty()


def test_what_is_adopted_counts_among_what_is_there(by_hand: ByHand) -> None:
    counted = sizes(by_hand.actual()).rows()
    assert ("Membership", "s1", "7a", 3) in counted
    assert ("Person", "s1", None, 3) in counted

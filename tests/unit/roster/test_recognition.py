"""From a reading to Homeroom's ids: who stands still, what is one question, what are many, what else follows links."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.api import Identity
from homeroom.plan import CHANGE_SCHEMA, HELD_SCHEMA, Hold, Judged, Limits, Plan, State, Unseen, Word, changes, review
from homeroom.roster.accept import REFERENCES, in_order
from homeroom.roster.digest import digest
from homeroom.roster.recognition import (
    ASKED_SCHEMA,
    Recognised,
    called,
    is_too_much,
    judge_questions,
    recognise,
    unanswered,
)
from homeroom.roster.tables import Roster

from .rosters import Record, User, unhurried
from .test_identity import BEN, anna, districts, links, person, renamed, roster

NOW = datetime(2026, 10, 1, tzinfo=UTC)
NONE = pl.DataFrame(schema=CHANGE_SCHEMA)
LINKED = ("roles", "enrollments")


def declared(*pairs: tuple[str, str], key: str = "SourcedId") -> Identity:
    spec = {"studentKey": key, "links": [{"from": before, "to": now} for before, now in pairs]}
    return Identity.model_validate(spec)


def look(before: Roster, reading: Roster, identity: Identity | None = None) -> Recognised:
    found = recognise(before, reading, identity=identity or Identity(), listed=None)
    assert found.asked.schema == ASKED_SCHEMA
    return found


def crowd(number: int, *, changed: int = 0) -> list[list[Record]]:
    """So many people; so many of them have another id, and are known by their identifier."""
    return [
        person(
            User(f"{'p' if n < changed else 'u'}-{n:03}", given=f"G{n}", family=f"F{n}", identifier=str(n)),
        )
        for n in range(number)
    ]


def places(found: Recognised, *, limits: Limits | None = None) -> set[tuple[str, str]]:
    held = judge_questions(found, limits or Limits(), released=NONE, sticky=NONE)
    assert held.schema == HELD_SCHEMA
    assert held.height == found.asked.height
    return set(held.select("scope", "place").rows())


# ---------------------------------------------------------------------------------------------------------------------
# Rows


def test_each_person_in_a_question_has_a_row_that_says_what_would_happen() -> None:
    before = roster(person(anna("u-1", identifier="7"), "k-1"), person(anna("u-3", given="Cy", family="X"), "k-2"))
    reading = roster(person(anna("p-1", identifier="7"), "k-1"), person(BEN, "k-3"))
    found = look(before, reading)
    assert found.asked.select("op", "key", "role", "cause", "person").rows() == [
        ("Remove", "u-1", "Changed p-1", "SameIdentifier", "u-1"),
        ("Create", "p-1", "Changed u-1", "SameIdentifier", "u-1"),
        ("Update", "u-3", "Recycled", "OtherName", "u-3"),
    ]
    assert set(found.asked.select("kind", "school", "class_key").rows()) == {("Person", "s-1", None)}
    assert places(found) == {("Person", "u-1"), ("Person", "u-3")}


def test_the_same_records_ask_nothing_and_are_not_touched() -> None:
    reading = roster(person(anna(), "k-1"))
    found = look(reading, reading)
    assert found.roster is reading
    assert found.asked.is_empty()


def test_whoever_is_in_no_school_can_be_asked_about() -> None:
    before, reading = roster([anna()]), roster([BEN])
    assert look(before, reading).asked["school"].to_list() == [""]
    assert places(look(before, reading)) == {("Person", "u-3")}


# ---------------------------------------------------------------------------------------------------------------------
# One question, many questions


@pytest.mark.parametrize(
    ("changed", "expected"),
    [(1, "Person"), (20, "Person"), (21, "School"), (25, "School"), (26, "District"), (100, "District")],
)
def test_more_questions_than_somebody_can_answer_one_by_one_are_one_hold(changed: int, expected: str) -> None:
    found = look(roster(*crowd(100)), roster(*crowd(100, changed=changed)))
    assert found.people == 100
    assert {scope for scope, _ in places(found)} == {expected}
    assert len(places(found)) == (changed if expected == "Person" else 1)
    assert is_too_much(found, found.asked, Limits()) == (expected == "District")


def test_few_changed_ids_in_a_small_district_hold_nobody_else() -> None:
    found = look(roster(*crowd(4)), roster(*crowd(4, changed=4)))
    assert not is_too_much(found, found.asked, Limits())
    assert is_too_much(found, found.asked, Limits(ignore_below=4))


def test_families_do_not_dilute_the_percentage() -> None:
    family = [person(User(f"g-{n}"), role="parent") for n in range(100)]
    found = look(roster(*crowd(20), *family), roster(*crowd(20, changed=6), *family))
    assert found.people == 20
    assert is_too_much(found, found.asked, Limits())


def test_a_new_district_has_nobody_to_lose() -> None:
    twins = [person(User(f"u-{n}-{twin}", given=f"G{n}", identifier=str(n))) for n in range(30) for twin in "ab"]
    found = look(Roster.empty(), roster(*twins))
    assert found.asked.height == 60
    assert not is_too_much(found, found.asked, Limits())
    assert places(found) == {("School", "s-1")}


def test_what_is_held_already_stays_in_its_hold() -> None:
    before = roster(*crowd(100))
    few, more = (look(before, roster(*crowd(100, changed=changed))) for changed in (3, 60))
    sticky = judge_questions(few, Limits(), released=NONE, sticky=NONE)
    held = judge_questions(more, Limits(), released=NONE, sticky=sticky)
    assert held.height == 2 * 57
    assert set(held["scope"]) == {"District"}


# ---------------------------------------------------------------------------------------------------------------------
# The life of a question


class Nights:
    """One district, run after run: what is served is kept by hand."""

    def __init__(self) -> None:
        self.holds: Sequence[Hold] = ()
        self.words: list[Word] = []
        self.now = NOW
        self.salt = 0

    def run(self, found: Recognised) -> set[str]:
        """Who stands still."""
        self.now += timedelta(days=1)

        def judge(_: Sequence[Hold], released: pl.DataFrame, sticky: pl.DataFrame) -> Judged:
            held = judge_questions(found, Limits(), released=released, sticky=sticky)
            passing = found.asked.join(released, on=list(CHANGE_SCHEMA), how="semi", nulls_equal=True)
            return Judged(plan=Plan(passing), held=held, waiting=0)

        reviewed = review(
            Plan(found.asked), self.holds, self.words, judge, made=NONE, unseen=Unseen(), now=self.now, salt=self._salt
        )
        self.holds = reviewed.holds
        return set(unanswered(found, changes(reviewed.plan.changes))["key"])

    def approve(self, hold: Hold) -> None:
        self.words.append(Word(name=f"yes-{len(self.words)}", hold=hold.id, at=self.now))

    @property
    def open(self) -> list[Hold]:
        return [hold for hold in self.holds if hold.state is State.OPEN]

    def _salt(self) -> bytes:
        self.salt += 1
        return self.salt.to_bytes(16)


BEFORE = roster(person(anna("u-1", identifier="7"), "k-1"), person(User("u-9"), "k-2"))
AFTER = roster(person(anna("p-1", identifier="7"), "k-1"), person(User("u-9"), "k-2"))


def test_a_question_waits_until_somebody_says_that_the_records_are_right() -> None:
    nights = Nights()
    for _ in range(3):
        assert nights.run(look(BEFORE, AFTER)) == {"u-1", "p-1"}
        (hold,) = nights.open
        assert (hold.scope, hold.place, hold.rows.height) == ("Person", "u-1", 2)
    nights.approve(hold)
    assert nights.run(look(BEFORE, AFTER)) == set()
    assert nights.open == []
    assert nights.run(look(AFTER, AFTER)) == set()
    assert nights.run(look(AFTER, BEFORE)) == {"u-1", "p-1"}  # the other way round, and a word that is used up
    assert nights.run(look(BEFORE, AFTER)) == {"u-1", "p-1"}


def test_a_link_or_a_correction_answers_and_the_hold_goes_away() -> None:
    for answer in (look(BEFORE, AFTER, declared(("u-1", "p-1"))), look(BEFORE, BEFORE)):
        nights = Nights()
        nights.run(look(BEFORE, AFTER))
        assert nights.run(answer) == set()
        assert [hold.state for hold in nights.holds] == [State.GONE]
        assert answer.roster.users["id"].to_list() == ["u-1", "u-9"]


def test_one_answer_answers_one_question() -> None:
    """Two who are gone look like one who has come: whoever is in an open question stands still."""
    gone = [person(anna(f"u-{n}", identifier="7"), "k-1") for n in (1, 2)]
    found = look(roster(*gone), AFTER)
    nights = Nights()
    assert nights.run(found) == {"u-1", "u-2", "p-1"}
    first, second = nights.open
    nights.approve(first)
    assert nights.run(found) == {str(second.place), "p-1"}


# ---------------------------------------------------------------------------------------------------------------------
# Homeroom's ids


def test_links_that_name_no_record_are_counted() -> None:
    found = look(BEFORE, AFTER, declared(("u-1", "p-1"), ("u-5", "p-5")))
    assert found.unknown == 1


def in_canonical_order(found: Roster) -> Roster:
    ends = {name: in_order(frame, list(REFERENCES[name])) for name, frame in found.tables() if name in LINKED}
    return replace(found, **ends)


@unhurried
@given(districts(), st.randoms(use_true_random=False))
def test_renamed_records_are_the_roster_that_they_were_to_the_last_bit(
    people: list[list[Record]], dice: random.Random
) -> None:
    """So nobody is woken by an order of rows, and no second file is kept."""
    before = in_canonical_order(roster(*people))
    known = before.users["id"].to_list()
    new = dice.sample([*known, *(f"p-{n}" for n in range(len(known)))], len(known))
    names = {old: to for old, to in zip(known, new, strict=True) if old != to}
    reading = in_canonical_order(roster(*renamed(people, names)))
    found = recognise(before, reading, identity=Identity(), listed=links(*names.items()))
    assert digest(found.roster.tables()) == digest(before.tables())
    assert found.asked.is_empty()
    passwords = pl.DataFrame({"user": reading.users["id"], "password": reading.users["id"]})
    theirs = called(passwords, "user", links=found.links, users=reading.users)
    assert dict(theirs.iter_rows()) == {old: names.get(old, old) for old in known}


def test_links_by_the_student_key_come_after_the_declared_ones() -> None:
    before = roster(person(anna("u-1", identifier="7")), person(replace(BEN, identifier="8")))
    reading = roster(person(anna("p-1", identifier="7")), person(replace(BEN, id="p-3", identifier="8")))
    found = look(before, reading, declared(("x-1", "p-1"), key="Identifier"))
    passwords = pl.DataFrame({"user": ["p-1", "p-3"], "password": ["a", "b"]})
    theirs = called(passwords, "user", links=found.links, users=reading.users)
    assert theirs.rows() == [("u-1", "a"), ("u-3", "b")]
    assert found.roster.users["id"].to_list() == ["u-1", "u-3"]
    assert found.asked.is_empty()


def test_of_several_records_the_first_says_the_password() -> None:
    users = roster(
        person(anna("p-1", enabled=False)), person(anna("p-2")), person(anna("u-1", enabled=False)), person(anna("u-5"))
    ).users
    passwords = pl.DataFrame({"user": ["p-1", "p-2", "u-1", "u-5"], "password": ["a", "b", "c", "d"]})
    theirs = called(passwords, "user", links=links(("u-1", "p-1"), ("u-1", "p-2")), users=users)
    assert theirs.rows() == [("u-1", "b"), ("u-5", "d")]
    assert called(passwords, "user", links=links(), users=users) is passwords

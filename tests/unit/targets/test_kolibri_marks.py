"""Marks: only the very object that they were made for is ours, and only to the one owner."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.targets.kolibri.marks import (
    PERSON,
    ClassEntry,
    Marks,
    PersonMark,
    State,
    creating,
    id_number,
)

KEY = "0123456789abcdef"
MINE = Marks(key=KEY, owner="mine")
marked = st.builds(
    PersonMark,
    key=st.text(min_size=1),
    state=st.sampled_from([State.ACTIVE, State.SUSPENDED]),
    staff=st.booleans(),
    name=st.none() | st.text(),
)


def user(mark: PersonMark, *, id_: str = "a" * 32, username: str = "ann", facility: str = "f") -> dict[str, Any]:
    subject = creating(facility=facility, username=username) if mark.state is State.CREATING else id_
    extra = {PERSON: MINE.person(mark, subject=subject)}
    return {"id": id_, "username": username, "facility": facility, "extra_demographics": extra}


@given(mark=marked)
def test_a_mark_is_read_as_it_was_written(mark: PersonMark) -> None:
    assert MINE.read_person(user(mark)) == mark


@given(mark=marked)
def test_a_mark_is_void_elsewhere_and_for_others(mark: PersonMark) -> None:
    row = user(mark)
    assert MINE.read_person({**row, "id": "b" * 32}) is None
    assert Marks(key=KEY, owner="other").read_person(row) is None
    assert Marks(key="f" * 16, owner="mine").read_person(row) is None


@given(mark=marked, other=marked)
def test_no_part_of_a_mark_can_be_changed(mark: PersonMark, other: PersonMark) -> None:
    row = user(mark)
    for field, value in MINE.person(other, subject=row["id"]).items():
        changed = {**row["extra_demographics"][PERSON], field: value}
        if changed != row["extra_demographics"][PERSON]:
            assert MINE.read_person({**row, "extra_demographics": {PERSON: changed}}) is None


@pytest.mark.parametrize(
    "extra",
    [None, {}, [], "x", {PERSON: None}, {PERSON: []}, {PERSON: {"state": "active"}}, {PERSON: {"state": 7, "mac": 7}}],
)
def test_what_is_no_mark_is_none(extra: object) -> None:
    assert MINE.read_person({"id": "a" * 32, "username": "a", "facility": "f", "extra_demographics": extra}) is None


def test_an_account_that_is_being_made_is_known_by_its_user_name() -> None:
    mark = PersonMark(key="p-1", state=State.CREATING, staff=True)
    assert MINE.read_person(user(mark)) == mark
    assert MINE.read_person({**user(mark), "id": "b" * 32}) == mark
    assert MINE.read_person({**user(mark), "username": "bob"}) is None
    assert MINE.read_person({**user(mark), "facility": "g"}) is None
    finished = PersonMark(key="p-1", state=State.ACTIVE, staff=True)
    stolen = {PERSON: {**MINE.person(finished, subject=creating(facility="f", username="ann"))}}
    assert MINE.read_person({**user(mark), "extra_demographics": stolen}) is None, "it is not finished by saying so"


def test_a_school_is_owned_on_one_facility_only() -> None:
    value = MINE.owner(school="s", facility="f")
    assert MINE.owns(value, school="s", facility="f")
    assert not MINE.owns(value, school="s", facility="g")
    assert not MINE.owns(value, school="t", facility="f")
    assert not MINE.owns(None, school="s", facility="f")
    other = Marks(key=KEY, owner="other")
    assert not other.owns(value, school="s", facility="f")
    assert other.school("s") == MINE.school("s"), "so that the other finds out"
    assert other.temporary_school("s") != MINE.temporary_school("s")


@pytest.mark.parametrize("archived", [False, True])
def test_a_class_is_registered_under_one_id_only(*, archived: bool) -> None:
    entry = ClassEntry(MINE.class_token(school="s", key="c"), archived=archived)
    value = MINE.class_entry(entry, class_id="1")
    assert MINE.read_class(value, class_id="1") == entry
    assert MINE.read_class(value, class_id="2") is None
    assert MINE.read_class({**value, "archived": not archived}, class_id="1") is None
    assert Marks(key=KEY, owner="other").read_class(value, class_id="1") is None
    assert MINE.read_class("nonsense", class_id="1") is None


@given(first=st.text(), second=st.text())
def test_id_numbers_fit_and_tell_people_apart(first: str, second: str) -> None:
    assert len(id_number(first)) <= 64
    assert id_number(first) == id_number(first).strip()
    assert (id_number(first) == id_number(second)) == (first == second)
    assert id_number("p-1") == "p-1"

"""Of a shared roster, what is for those only who hold a seat."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples
from tests.unit.roster.states import desired, world

from homeroom.roster.seated import seated, students_in, teachers_in
from homeroom.roster.state import Desired

WHOLE = desired(world("7a: ann bob tom*; 7b: bob cleo kim* tom*; 7c: tom"))
STUDENTS = ("ann", "bob", "cleo")
TEACHERS = ("kim", "tom")


def named(state: Desired) -> tuple[set[str], set[tuple[str, str, str]], set[str]]:
    """People, places in classes and rights of a state, by their keys."""
    people, classes = state.people["key"], state.classes["key"]
    places = {(classes[section], people[person], role) for section, person, role in state.memberships.rows()}
    return set(people), places, {people[row] for row in state.rights["person"]}


@examples(50)
@given(holders=st.sets(st.sampled_from([*STUDENTS, "tom", "nobody"])))
def test_who_teaches_stays_and_of_the_students_those_with_a_seat(holders: set[str]) -> None:
    people, places, rights = named(WHOLE)
    out = set(STUDENTS) - holders
    found = seated(WHOLE, pl.Series(sorted(holders), dtype=pl.String), WHOLE.people["key"])
    assert named(found) == (people - out, {place for place in places if place[1] not in out}, rights)
    assert (found.schools.equals(WHOLE.schools), found.classes.equals(WHOLE.classes)) == (True, True)
    assert {name: frame.schema for name, frame in frames(found).items()} == {
        name: frame.schema for name, frame in frames(WHOLE).items()
    }
    assert set(students_in(found)) == set(STUDENTS) & holders


@examples(50)
@given(connected=st.sets(st.sampled_from([*TEACHERS, "ann", "nobody"])), administers=st.booleans())
def test_who_is_connected_by_no_licence_keeps_the_account_and_has_no_classes(
    *, connected: set[str], administers: bool
) -> None:
    tom = WHOLE.people["key"].index_of("tom")
    rights = pl.DataFrame({"person": [tom] if administers else []}, {"person": pl.UInt32})
    whole = replace(WHOLE, rights=rights)
    people, places, held = named(whole)
    out = set(TEACHERS) - connected - ({"tom"} if administers else set())
    found = seated(whole, whole.people["key"], pl.Series(sorted(connected), dtype=pl.String))
    taught = {place for place in places if not (place[1] in out and place[2] == "Coach")}
    assert named(found) == (people, taught, held)
    assert set(teachers_in(found)) == set(TEACHERS) - out


def frames(state: Desired) -> dict[str, pl.DataFrame]:
    return {name: getattr(state, name) for name in ("schools", "people", "classes", "memberships", "rights")}

"""Counting a roster: each person once per kind."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples

from homeroom.roster.tables import FAMILY, SCHEMAS, Roster, SchoolRole

_ROLES = st.lists(st.tuples(st.integers(0, 5), st.none() | st.sampled_from(SchoolRole)), max_size=20)


@examples(50)
@given(_ROLES)
def test_people_are_counted_once_per_kind(held: list[tuple[int, SchoolRole | None]]) -> None:
    users = pl.DataFrame({"id": [str(number) for number in range(6)]})
    roles = pl.DataFrame(held, schema={"user": pl.UInt32, "role": SCHEMAS["roles"]["role"]}, orient="row")
    counts = replace(Roster.empty(), users=users, roles=roles).counts()
    pupils_and_teachers = {SchoolRole.STUDENT, SchoolRole.TEACHER}
    assert counts["students"] == len({user for user, role in held if role is SchoolRole.STUDENT})
    assert counts["teachers"] == len({user for user, role in held if role is SchoolRole.TEACHER})
    assert counts["staff"] == len({user for user, role in held if role not in {*pupils_and_teachers, *FAMILY}})

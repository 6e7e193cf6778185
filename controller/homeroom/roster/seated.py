"""Only who holds a seat, and who teaches by a licence: what an app should hold when `spec.seating` names a pool.

::

    shared --desired--> all that the rules share --+--> `seated` --> what the app should hold --> `homeroom.roster.diff`
    the store: whom the pool seats, and connects --+

Pure. Seats are for students. Teachers need none, but have classes only while a licence of the pool connects them
(R20); without one they keep their account. Who administers a school needs neither there. `homeroom.seats` decides.
"""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from homeroom.plan import Role
from homeroom.roster.state import Desired

_ROW = pl.UInt32


def seated(state: Desired, students: pl.Series, teachers: pl.Series) -> Desired:
    """`state` without the students that are not among `students` (source ids), and without their memberships.

    Of teachers that are not among `teachers`, and administer nothing, only the account is left.
    """
    state, people = _connected(state, teachers), state.people
    keep = people["staff"] | people["key"].is_in(students.implode())
    if keep.all():
        return state
    row = keep.cum_sum().cast(_ROW) - keep.cast(_ROW)  # of whom is kept: how many are before
    members = state.memberships.filter(keep[state.memberships["person"]])
    rights = state.rights.filter(keep[state.rights["person"]])
    return replace(
        state,
        people=people.filter(keep),
        memberships=members.with_columns(row[members["person"]].alias("person")),
        rights=rights.with_columns(row[rights["person"]].alias("person")),
    )


def _connected(state: Desired, teachers: pl.Series) -> Desired:
    """`state` without the classes of teachers that are not among `teachers`, nor administer that school."""
    person = state.memberships["person"]
    free = state.people["key"].is_in(teachers.implode())[person] | person.is_in(state.rights["person"].implode())
    keep = free | (state.memberships["role"] != Role.COACH.value)
    return state if keep.all() else replace(state, memberships=state.memberships.filter(keep))


def administrators_in(state: Desired) -> pl.Series:
    """Source ids of who administers a school of `state`."""
    return state.people["key"][state.rights["person"]].unique().sort()


def teachers_in(state: Desired) -> pl.Series:
    """Source ids of who teaches a class of `state`, each once, sorted."""
    coaches = state.memberships.filter(pl.col("role") == Role.COACH.value)
    return state.people["key"][coaches["person"]].unique().sort()


def students_in(state: Desired) -> pl.Series:
    """Source ids of the students of `state`, each once, sorted."""
    return state.people.filter(~pl.col("staff"))["key"].unique().sort()

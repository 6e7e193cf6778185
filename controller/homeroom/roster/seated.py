"""Only who holds a seat: what an app should hold when `spec.seating` names a pool.

::

    shared --desired--> all that the rules share --+--> `seated` --> what the app should hold --> `homeroom.roster.diff`
    the store: who holds a seat of the pool -------+

Pure. Seats are for students; who teaches or administers needs none. Who holds one is decided by `homeroom.seats`.
"""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from homeroom.roster.state import Desired

_ROW = pl.UInt32


def seated(state: Desired, students: pl.Series) -> Desired:
    """`state` without the students that are not among `students` (source ids), and without their memberships."""
    people = state.people
    keep = people["staff"] | people["key"].is_in(students.implode())
    if keep.all():
        return state
    row = keep.cum_sum().cast(_ROW) - keep.cast(_ROW)  # of whom is kept: how many are before
    members = state.memberships.filter(keep.gather(state.memberships["person"]))
    rights = state.rights.filter(keep.gather(state.rights["person"]))
    return replace(
        state,
        people=people.filter(keep),
        memberships=members.with_columns(row.gather(members["person"]).alias("person")),
        rights=rights.with_columns(row.gather(rights["person"]).alias("person")),
    )


def students_in(state: Desired) -> pl.Series:
    """Source ids of the students of `state`, each once, sorted."""
    return state.people.filter(~pl.col("staff"))["key"].unique().sort()

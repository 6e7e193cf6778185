"""All that records and baselines have of one person, and a baseline without that person. Pure.

Behind `homeroom export-person` and `homeroom forget-person` (the law's access and erasure requests). Rows come as
plain values for JSON, with source ids in place of row numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl
import polars.selectors as cs

from homeroom.plan import PERSONAL, Kind
from homeroom.roster.diff import Baseline
from homeroom.roster.tables import Roster

Rows = list[dict[str, Any]]
"""Rows of a frame, as JSON has them."""

_REFERENCES: Final = {"user": "users", "agent": "users", "org": "orgs", "class": "classes"}
"""Columns of rows about people that hold row numbers, and the tables that they are of."""


def in_records(roster: Roster, person: str) -> dict[str, Rows]:
    """The rows about the person with this source id, by table; empty when there is nobody of that id."""
    row = roster.users["id"].index_of(person)
    if row is None:
        return {}
    found = {"users": roster.users.slice(row, 1)}
    for name, frame in roster.tables():
        ends = [column for column, table in _REFERENCES.items() if table == "users" and column in frame.columns]
        if ends:
            found[name] = frame.filter(pl.any_horizontal(pl.col(end) == row for end in ends))
    return {
        name: _plain(
            frame.with_columns(
                getattr(roster, table)["id"][frame[column]].alias(column)
                for column, table in _REFERENCES.items()
                if column in frame.columns
            )
        )
        for name, frame in found.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What a baseline has of one person: `desired` by table, in words; `kept` and `unapplied` as they are there."""

    desired: dict[str, Rows]
    kept: Rows
    unapplied: Rows

    @property
    def in_use(self) -> list[str]:
        """Source ids of the schools in which the person has an account in use, as far as the last run knew; sorted."""
        kept = {row["school"] for row in self.kept if row["kind"] == Kind.PERSON.value}
        return sorted(kept | {row["school"] for row in self.desired["people"]})

    @property
    def empty(self) -> bool:
        """Nothing at all."""
        return not (self.desired["people"] or self.kept or self.unapplied)


def in_baseline(baseline: Baseline, person: str) -> Remembered:
    """What `baseline` has of the person with this source id, in any school."""
    desired = baseline.desired
    schools = desired.schools["key"]
    people = desired.people.with_row_index("row").filter(pl.col("key") == person)
    rows = people["row"].implode()
    members = desired.memberships.filter(pl.col("person").is_in(rows))
    of_class = desired.classes[members["class"]]
    rights = desired.people[desired.rights.filter(pl.col("person").is_in(rows))["person"]]
    return Remembered(
        desired={
            "people": _plain(people.drop("row").with_columns(schools[people["school"]].alias("school"))),
            "memberships": _plain(
                members.select(schools[of_class["school"]].alias("school"), of_class["key"].alias("class_key"), "role")
            ),
            "rights": _plain(rights.select(schools[rights["school"]].alias("school"))),
        },
        kept=_plain(baseline.kept.filter(_about(person))),
        unapplied=_plain(baseline.unapplied.filter(_about(person))),
    )


def without(baseline: Baseline, person: str) -> Baseline:
    """The same, as if nobody had ever heard of the person."""
    desired = baseline.desired
    stays = desired.people["key"] != person
    to_row = (stays.cum_sum() - 1).cast(pl.UInt32).set(~stays, None)  # null: the person, whose rows go
    people = {
        name: frame.with_columns(to_row[frame["person"]].alias("person")).drop_nulls("person")
        for name, frame in (("memberships", desired.memberships), ("rights", desired.rights))
    }
    return replace(
        baseline,
        desired=replace(desired, people=desired.people.filter(stays), **people),
        kept=baseline.kept.filter(~_about(person)),
        unapplied=baseline.unapplied.filter(~_about(person)),
    )


def _about(person: str) -> pl.Expr:
    return pl.col("kind").is_in(PERSONAL) & (pl.col("key") == person)


def _plain(frame: pl.DataFrame) -> Rows:
    return frame.with_columns(cs.temporal().cast(pl.String)).to_dicts()

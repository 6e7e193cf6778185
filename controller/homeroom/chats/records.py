"""What the records say that matters for chats, and whose account is whose: frames, as the caller hands them over.

`homeroom.roster` is a neighbour on the same floor, so its tables do not come here; `homeroom.reconcile.chatrecords`
makes these of them. All of it is of one day: what has not begun or is over is not in it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

_ROW: Final = pl.UInt32

RECORDS_SCHEMAS: Final[Mapping[str, pl.Schema]] = {
    "schools": pl.Schema({"id": pl.String, "name": pl.String}),
    # student: some record, current or not, calls them a student, or cannot be read: never an administrator
    "people": pl.Schema({"id": pl.String, "student": pl.Boolean}),
    # id: Homeroom's, hence of one school year; year: the one in which that ends, null: unknown; course: its title;
    # homeroom: a class with a class teacher, the others are taught a subject
    "classes": pl.Schema(
        {
            "id": pl.String,
            "school": _ROW,
            "year": pl.Int16,
            "title": pl.String,
            "course": pl.String,
            "homeroom": pl.Boolean,
        }
    ),
    "staff": pl.Schema({"school": _ROW, "person": _ROW, "head": pl.Boolean}),  # pedagogical; head: R33
    "students": pl.Schema({"class": _ROW, "person": _ROW}),
    "teachers": pl.Schema({"class": _ROW, "person": _ROW, "lead": pl.Boolean}),  # lead: the class card says so (R34)
    "guardians": pl.Schema({"student": _ROW, "guardian": _ROW}),
    # classes that the records have, and that are over: with their whole school year (rolled), or else
    "over": pl.Schema({"id": pl.String, "rolled": pl.Boolean}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The records of one day. Columns: `RECORDS_SCHEMAS`; references are row numbers of the frames here."""

    schools: pl.DataFrame
    people: pl.DataFrame
    classes: pl.DataFrame
    staff: pl.DataFrame
    students: pl.DataFrame
    teachers: pl.DataFrame
    guardians: pl.DataFrame
    over: pl.DataFrame


LINKS_SCHEMA: Final = pl.Schema({"person": pl.String, "account": pl.String})
"""Which account (the platform's own id) is whose (source id)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Whose account is whose. `linked`, `unlinked`: columns `LINKS_SCHEMA`, sorted, each pair once.

    `unlinked`: links that a person has taken back. `claimed`: accounts of two people: nobody can tell whose they are,
    so they stand still both ways until somebody says so in Git (safety row 9).
    """

    linked: pl.DataFrame
    unlinked: pl.DataFrame
    claimed: pl.Series

    @classmethod
    def of(
        cls,
        given: pl.DataFrame,
        *,
        before: pl.DataFrame | None = None,
        unlinked: pl.DataFrame | None = None,
        same: Mapping[str, str] | None = None,
    ) -> Links:
        """What is given now with what was known before: a link that is not repeated is no unlink.

        All: columns `LINKS_SCHEMA`. `before`: `linked` of last time. `unlinked`: pairs that were taken back; a pair
        that is given again after that is for the caller to take out of it. `same`: people who are one, by Git (source
        id -> the one that stays).
        """
        none = pl.DataFrame(schema=LINKS_SCHEMA)
        merged = {} if same is None else dict(same)
        back = none if unlinked is None else _one(unlinked, merged)
        linked = _one(pl.concat([given, none if before is None else before]), merged)
        linked = linked.join(back, on=["person", "account"], how="anti").sort("account", "person")
        account = linked["account"]
        return cls(linked=linked, unlinked=back.sort("account", "person"), claimed=account.filter(_again(account)))

    def taken_back(self, people: Collection[str]) -> Links:
        """The same, as if these people (source ids) had taken theirs back, as far as nothing else keeps them in a chat.

        `linked` stays: they are out of where they have no reason to be, at once, and stay where they have one.
        """
        theirs = self.linked.filter(pl.col("person").is_in(list(people)))
        if theirs.is_empty():
            return self
        return replace(self, unlinked=pl.concat([self.unlinked, theirs]).unique().sort("account", "person"))


def in_question(records: Records, links: Links, people: Collection[str]) -> pl.Series:
    """Accounts that stand still because it is not known who somebody is: theirs, and their families' (safety row 6).

    `people`: source ids. Families come and go with a child, so they would follow the wrong one.
    """
    if not people:
        return links.linked["account"].clear()
    rows = records.people["id"].is_in(list(people)).arg_true()
    families = records.guardians.filter(pl.col("student").is_in(rows.implode()))["guardian"]
    whose = pl.concat([records.people["id"].gather(families), pl.Series(list(people), dtype=pl.String)])
    return links.linked.filter(pl.col("person").is_in(whose.implode()))["account"].unique().sort()


def _one(links: pl.DataFrame, same: Mapping[str, str]) -> pl.DataFrame:
    """The links with people who are one as one, each once."""
    rows = links.select(LINKS_SCHEMA.names()).drop_nulls()
    return (rows.with_columns(pl.col("person").replace(same)) if same else rows).unique()


def _again(values: pl.Series) -> pl.Series:
    """Whether a sorted value is the same as the one before, for the second one of each."""
    return (values == values.shift(1)).fill_null(value=False) & (values != values.shift(2)).fill_null(value=True)

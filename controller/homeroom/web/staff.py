"""The teachers of a district by the records that are served now: who somebody is that asks for a link.

Kept in memory until other records are served; some MB for the teachers of a million students. Neighbours: `desk` and
`site` (ask), `homeroom.sources.snapshots` (the records).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from threading import Lock
from typing import Final

import polars as pl

from homeroom.roster.tables import SCHEMAS, SchoolRole
from homeroom.sources import scan
from homeroom.store import Store

_ACCOUNTS: Final = ("email", "username", "identifier")
"""Columns of a user by which somebody is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """One teacher. `email`: where the records say that mail reaches them, if they do."""

    id: str
    email: str | None


class Staff:
    """Answers from the store's snapshots. Thread-safe; calls block."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[tuple[str, str], tuple[str, pl.DataFrame]] = {}
        self._reading = Lock()

    def find(self, account: str, *, namespace: str, district: str, school: str | None, today: date) -> Teacher | None:
        """The one teacher with this e-mail address, user name or identifier, in any case of letters.

        `school`: source id; only whoever has the role of a teacher there `today`; None: at any school. Nobody, where
        the account fits several people: which of them asks is not ours to guess (invariant 6). Raises TransientError
        when the records are damaged.
        """
        wanted = _folded(account)
        people = self._teachers(namespace, district).filter(
            pl.any_horizontal(pl.col(column) == wanted for column in _ACCOUNTS)
        )
        if people["id"].n_unique() != 1:
            return None
        if school is not None:
            people = people.filter(pl.col("school") == school)
        for row in people.filter(_on(today)).head(1).iter_rows(named=True):
            return Teacher(id=row["id"], email=row["address"])
        return None

    def teaches(self, teacher: str, *, namespace: str, district: str, school: str, today: date) -> bool:
        """Whether the teacher with this source id has the role of one at the school `today`."""
        mine = (pl.col("id") == teacher) & (pl.col("school") == school)
        return not self._teachers(namespace, district).filter(mine & _on(today)).is_empty()

    def names(self, teachers: Collection[str], *, namespace: str, district: str) -> dict[str, str]:
        """What they are called, by source id; those who are no teachers any more are left out."""
        found = self._teachers(namespace, district).filter(pl.col("id").is_in(list(teachers)))
        return dict(found.select("id", "name").unique("id").iter_rows())

    def _teachers(self, namespace: str, district: str) -> pl.DataFrame:
        """Columns id, name, address, email, username, identifier (the last three folded), school, begin, end."""
        place = (namespace, district)
        accepted = self._store.accepted(namespace=namespace, district=district)
        if accepted is None:
            return _table(*(pl.LazyFrame(schema=schema) for schema in _EMPTY))
        with self._reading:
            digest, kept = self._kept.get(place, ("", None))
            if kept is None or digest != accepted.serving:
                directory = self._store.snapshots(namespace=namespace, district=district)
                kept = _table(*scan(directory, accepted.serving, "users", "roles", "orgs"))
                self._kept[place] = accepted.serving, kept
            return kept


_EMPTY: Final = tuple(SCHEMAS[name] for name in ("users", "roles", "orgs"))


def _table(users: pl.LazyFrame, roles: pl.LazyFrame, orgs: pl.LazyFrame) -> pl.DataFrame:
    """One row per teacher and role; who is disabled is left out."""
    people = users.with_row_index("user").filter(pl.col("enabled").fill_null(value=True))
    places = orgs.with_row_index("org").select("org", school="id")
    taught = roles.filter(pl.col("role") == SchoolRole.TEACHER.value).select("user", "org", "begin", "end")
    return (
        taught.join(people, on="user")
        .join(places, on="org", how="left")
        .select(
            "id",
            pl.concat_str("given", "family", separator=" ", ignore_nulls=True).alias("name"),
            pl.col("email").alias("address"),
            *(pl.col(column).str.normalize("NFC").str.to_lowercase() for column in _ACCOUNTS),
            "school",
            "begin",
            "end",
        )
        .collect()
    )


def _on(today: date) -> pl.Expr:
    begun = pl.col("begin").is_null() | (pl.col("begin") <= today)
    return begun & (pl.col("end").is_null() | (pl.col("end") > today))


def _folded(account: str) -> str:
    return unicodedata.normalize("NFC", account).strip().lower()

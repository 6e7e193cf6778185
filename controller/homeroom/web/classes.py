"""Who teaches which classes, learns in them, or has a child there, by the records that are served on one day.

Read when somebody asks for the first time that day or since other records are served, and kept: some ten bytes for each
enrolment, so that a question takes no time whatever the size of the district. What counts as teaching, learning and
being about a child is what counts for chats (`homeroom.reconcile.chatrecords`), so nobody meets a lesson here in whose
chat they would not be. Neighbours: `lessons` (asks), `staff` (the teachers of a school), `homeroom.sources.snapshots`
(the records).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from threading import Lock

import polars as pl

from homeroom.api.district import HomeroomDefinition
from homeroom.chats.identity import plain
from homeroom.roster.shared import View
from homeroom.roster.tables import FAMILY, ClassRole, Roster
from homeroom.sources import scan
from homeroom.store import Store


@dataclass(frozen=True, slots=True)
class Class:
    """A class of the records: its title, and the name of its school."""

    title: str
    school: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mine:
    """The classes of one person today, by Homeroom's ids. `all`: also those that they learn in, or a child of theirs.

    Whom some record calls a student teaches nothing here, as no student ever leads a chat.
    """

    all: Mapping[str, Class]
    taught: Collection[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Day:
    """What matters here of the records with the digest `serving` on the day `today`. People and classes are rows."""

    serving: str
    today: date
    people: pl.DataFrame
    """[id, enabled, student, family] per person, sorted by id. `student`: as some record says, current or not, or one
    that cannot be read; `family`: has a role of one today."""
    pairs: pl.DataFrame
    """[user, other]: who names whom as agent, both ways, sorted by `user`."""
    members: pl.DataFrame
    """[user, class, teaches] today, in classes that go on; sorted by `user`."""
    classes: pl.DataFrame
    """[id, title, school (its name)] per class."""

    def of(self, person: str) -> Mine:
        """The classes of somebody (source id); none of whom the records do not have, or bar."""
        row = self.people["id"].search_sorted(person)
        if row == self.people.height or self.people["id"][row] != person or not self.people["enabled"][row]:
            return Mine(all={}, taught=frozenset())
        own = _rows_of(self.members, row)
        taught, found = own.filter("teaches")["class"], [own["class"]]
        if self.people["family"][row]:
            others = _rows_of(self.pairs, row)["other"].to_list()
            children = [other for other in others if self.people["student"][other] and self.people["enabled"][other]]
            found += [_rows_of(self.members, child).filter(~pl.col("teaches"))["class"] for child in children]
        classes = self.classes[pl.concat(found).unique()]
        return Mine(
            all={row["id"]: Class(row["title"] or row["id"], row["school"] or "") for row in classes.to_dicts()},
            taught=frozenset() if self.people["student"][row] else frozenset(self.classes["id"].gather(taught)),
        )


class Classes:
    """Answers from the store's snapshots. Thread-safe; calls block."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[tuple[str, str], _Day] = {}
        self._reading = Lock()

    def of(self, person: str, *, namespace: str, district: str, today: date) -> Mine:
        """The classes of somebody (source id); none of whom the records do not have, or bar.

        Raises TransientError when the records are damaged.
        """
        accepted = self._store.accepted(namespace=namespace, district=district)
        if accepted is None:
            return Mine(all={}, taught=frozenset())
        with self._reading:
            kept = self._kept.get((namespace, district))
            if kept is None or (kept.serving, kept.today) != (accepted.serving, today):
                directory = self._store.snapshots(namespace=namespace, district=district)
                kept = self._kept[namespace, district] = read(directory, accepted.serving, today)
        return kept.of(person)


def read(directory: Path, digest: str, today: date) -> _Day:
    """What a snapshot says of this day."""
    tables = ("users", "roles", "agents", "enrollments")
    users, roles, agents, enrollments = scan(directory, digest, *tables)
    classes = _classes(directory, digest, today)
    people = users.select("id", enabled=pl.col("enabled").fill_null(value=True)).collect()
    # As for chats: some record, current or not, says so, or cannot be read.
    student = (pl.col("role") == "student").fill_null(value=True)
    said = pl.concat([rows.filter(student).select("user") for rows in (roles, enrollments)]).unique().collect()["user"]
    family = roles.filter(pl.col("role").is_in(FAMILY), _on(today)).select("user").unique().collect()["user"]
    members = (
        enrollments.filter(_on(today), pl.col("role").is_in([ClassRole.STUDENT, ClassRole.TEACHER]))
        .select("user", "class", teaches=pl.col("role") == ClassRole.TEACHER)
        .drop_nulls()
        .collect()
    )
    members = members.filter(classes["goes_on"].gather(members["class"])).sort("user")
    both = [agents.select(user=one, other=two) for one, two in (("user", "agent"), ("agent", "user"))]
    return _Day(
        serving=digest,
        today=today,
        people=people.with_columns(student=_mark(people.height, said), family=_mark(people.height, family)),
        pairs=pl.concat(both).drop_nulls().unique().sort("user", "other").collect(),
        members=members,
        classes=classes.drop("goes_on"),
    )


def _classes(directory: Path, digest: str, today: date) -> pl.DataFrame:
    """[id, title, school, goes_on] per class: whether it is of a school, and today between its first and last term."""
    classes, sessions, orgs = (rows.collect() for rows in scan(directory, digest, "classes", "sessions", "orgs"))
    part = replace(Roster.empty(), classes=classes, sessions=sessions)
    return classes.select(
        "id",
        plain(pl.col("title")),
        orgs.select(plain(pl.col("name"))).to_series().gather(classes["school"]).alias("school"),
        View(roster=part, homeroom=HomeroomDefinition(), today=today).running.alias("goes_on"),
    )


def _rows_of(frame: pl.DataFrame, user: int) -> pl.DataFrame:
    """Those of one person, in a frame that is sorted by `user`."""
    start, end = (frame["user"].search_sorted(user, side=side) for side in ("left", "right"))
    return frame[start:end]


def _mark(size: int, rows: pl.Series) -> pl.Series:
    """Boolean per row of a table: it is among these."""
    return pl.repeat(value=False, n=size, dtype=pl.Boolean, eager=True).scatter(rows.drop_nulls().unique(), values=True)


def _on(today: date) -> pl.Expr:
    begun = (pl.col("begin") <= today).fill_null(value=True)
    return begun & (pl.col("end") > today).fill_null(value=True)

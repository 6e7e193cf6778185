r"""What the declared extension columns say, put into the roster as enrollments and roles.

::

    roster as OneRoster's own columns say it --+
    texts of extension columns ----------------+--with_positions--> roles --with_class_teachers--> enrollments
    the last roster ---------------------------+

The class card wins: where it names somebody, a teacher who is not on it is no class teacher, whatever the enrollment
says (R34). A position, or a mark as acting head (R33), stands beside a role as staff, and lasts as long as that. What
cannot be read, or is of a record that was set aside, counts as last time: nobody gains or loses rights by it. Nothing
of the columns but this is kept. Neighbours: `oneroster` reads and calls this, `homeroom.api.district.Extensions` is
what a District declares, docs/extensions.md says it in words for people.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from homeroom.api.district import Extensions
from homeroom.roster.accept import REFERENCES, put_in_order
from homeroom.roster.findings import Findings, Rule
from homeroom.roster.tables import FAMILY, SCHEMAS, ClassRole, Roster, SchoolRole
from homeroom.sources import layout
from homeroom.sources.layout import SHEETS
from homeroom.sources.package import refuse
from homeroom.sources.rows import listed, truth

_N: Final = pl.UInt32
_USERS: Final = SHEETS["users"].file
_CLASSES: Final = SHEETS["classes"].file
_PERIOD: Final = ("begin", "end")
_ROLE: Final = pl.Enum(SchoolRole)
_POSTS: Final = pl.Schema({"row": _N(), "id": pl.String(), "user": _N(), "role": _ROLE, "field": pl.String()})
"""Which row says of whom that they have which role in their school, and in which column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What the extension columns of one file say.

    `rows`: columns row, id (of the record) and the declared ones, of the records that count as they were read, as far
    as any of these is filled in and the line is not as it was last time. `unread`: rows of the roster's table that are
    there for another reason: what they said last time counts. `silent`: no row of the file has anything in them.
    """

    rows: pl.DataFrame
    unread: pl.Series
    silent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended:
    """A roster with another table. `moved`: for each row that it had, where it is now; null: it says something else."""

    roster: Roster
    moved: pl.Series
    findings: Findings


def with_positions(roster: Roster, previous: Roster, texts: Texts, declared: Extensions) -> tuple[Extended, pl.Series]:
    """The roster with the `roles` that follow from positions and marks in `users.csv`, and the rows that say these."""
    rows = texts.rows.join(_numbers(roster.users, "user"), on="id")
    said, findings, unsure = [pl.DataFrame(schema=_POSTS)], [], [texts.unread]
    if declared.acting_head:
        column = declared.acting_head
        rows = rows.with_columns(_head=truth(column, layout.TRUE_AND_FALSE, exact=False))
        odd = rows.filter(pl.col(column).is_not_null() & pl.col("_head").is_null())
        findings.append(Findings.of(Rule.ACTING_HEAD, odd, file=_USERS, field=column))
        unsure.append(odd["user"])
        said.append(_said(rows.filter("_head"), SchoolRole.PRINCIPAL, column))
    for positions in declared.positions:
        column = positions.column
        words = {one.position.lower(): one.role.value for one in positions.roles}
        each = rows.select("row", "id", "user", word=listed(column)).explode("word", empty_as_null=False)
        each = each.with_columns(role=pl.col("word").str.to_lowercase().replace_strict(words, default=None))
        each = each.drop_nulls("role")
        if each.is_empty():
            findings.append(Findings.one(Rule.EXTENSION_IDLE, file=_USERS, field=column))
        said.append(_said(each, pl.col("role"), column))
    posts = pl.concat(said)
    placed = _workplaces(roster, posts["user"])
    lost = posts.join(placed, on="user", how="anti").unique(["row", "field"])
    findings += [Findings.of(Rule.POSITION, some, file=_USERS, field=str(field)) for (field,), some in _by_field(lost)]
    made = posts.select("user", "role").unique().join(placed, on="user")
    made = _as_roles(made.with_columns(primary=pl.lit(value=False))).unique()
    made = made.join(roster.roles, on=["user", "role", "org", *_PERIOD], how="anti", nulls_equal=True)
    now = pl.concat([roster.roles, made])
    unsure.append(lost["user"])
    kept = _roles_before(roster, previous, pl.concat(unsure), declared)
    now = pl.concat([now, kept.join(now, on=["user", "role", "org"], how="anti")])
    frame, places = put_in_order(now, REFERENCES["roles"])
    now_there = replace(roster, roles=frame)
    moved = places[: roster.roles.height]
    return Extended(roster=now_there, moved=moved, findings=Findings.join(findings)), posts["row"].unique()


def with_class_teachers(roster: Roster, previous: Roster, texts: Texts, column: str) -> Extended:
    """The roster with `enrollments` of the class teachers that the `column` of `classes.csv`, the class card, names.

    Raises ExportIncompleteError when no card names anybody, and somebody was class teacher who works there still.
    """
    findings = []
    able = _marked(roster.users.height, _workplaces_of_all(roster)["user"])
    if texts.silent:
        every = pl.repeat(value=True, n=roster.classes.height, eager=True)
        if able.gather(_class_teachers_before(roster, previous, every)["user"]).any():
            raise refuse(Rule.CARDS_EMPTY, file=_CLASSES, field=column)
        findings.append(Findings.one(Rule.EXTENSION_IDLE, file=_CLASSES, field=column))
    cards = texts.rows.join(_numbers(roster.classes, "class"), on="id").select(
        "row", "id", "class", name=listed(column)
    )
    cards = cards.explode("name", empty_as_null=False)
    cards = cards.join(_numbers(roster.users, "user").rename({"id": "name"}), on="name", how="left")
    cards = cards.with_columns(holds=able.gather(cards["user"]).fill_null(value=False))
    lost = cards.filter(~pl.col("holds")).unique("row")
    findings.append(Findings.of(Rule.CLASS_TEACHER, lost, file=_CLASSES, field=column))
    size = roster.classes.height
    unsure = _marked(size, texts.unread, lost["class"])
    decided = unsure | _marked(size, cards["class"])
    named = cards.filter("holds").select("class", "user").unique()
    named = named.with_columns(begin=pl.lit(None, pl.Date), end=pl.lit(None, pl.Date))  # as long as the class
    rows = roster.enrollments
    taught = (rows["role"] == ClassRole.TEACHER).fill_null(value=False)
    taught &= decided.gather(rows["class"]).fill_null(value=False)
    before = _class_teachers_before(roster, previous, unsure).join(named, on=["class", "user"], how="anti")
    teaches = before.join(rows.filter(taught), on=["class", "user"], how="semi")
    works = before.filter(able.gather(before["user"]))
    leads = pl.concat([named, pl.concat([teaches, works]).unique()])
    others = rows.filter(taught).join(leads, on=["class", "user"], how="anti").with_columns(primary=pl.lit(value=False))
    made = leads.with_columns(role=pl.lit(ClassRole.TEACHER), primary=pl.lit(value=True))
    schema = SCHEMAS["enrollments"]
    now = pl.concat([rows.filter(~taught), others, made.select(schema.names()).cast(schema)])
    frame, places = put_in_order(now, REFERENCES["enrollments"])
    stayed = (~taught).cum_sum().cast(pl.Int64) - 1
    return Extended(
        roster=replace(roster, enrollments=frame),
        moved=places.gather(stayed.set(taught, None)),
        findings=Findings.join(findings),
    )


def _numbers(table: pl.DataFrame, name: str) -> pl.DataFrame:
    """Source ids and row numbers (column `name`)."""
    return table.select("id").with_row_index(name)


def _marked(size: int, *rows: pl.Series) -> pl.Series:
    """Boolean per row of a table: it is among these."""
    return pl.repeat(value=False, n=size, dtype=pl.Boolean, eager=True).scatter(pl.concat([*rows]), values=True)


def _said(rows: pl.DataFrame, role: SchoolRole | pl.Expr, column: str) -> pl.DataFrame:
    """Columns `_POSTS`."""
    word = pl.lit(role.value) if isinstance(role, SchoolRole) else role
    return rows.select("row", "id", "user", role=word, field=pl.lit(column)).cast(_POSTS)


def _by_field(rows: pl.DataFrame) -> list[tuple[tuple[object, ...], pl.DataFrame]]:
    return [*rows.group_by("field", maintain_order=True)]


def _as_roles(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(SCHEMAS["roles"].names()).cast(SCHEMAS["roles"])


def _workplaces_of_all(roster: Roster) -> pl.DataFrame:
    """The roles of people who work somewhere, and whom no record calls a student, now or once."""
    learners = [
        rows["user"].filter((rows["role"] == "student").fill_null(value=True)).drop_nulls()
        for rows in (roster.roles, roster.enrollments)
    ]
    works = ~pl.col("role").is_in([SchoolRole.STUDENT, *FAMILY]) & pl.col("org").is_not_null()
    held = roster.roles.filter(works.fill_null(value=False) & pl.col("user").is_not_null())
    return held.filter(~_marked(roster.users.height, *learners).gather(held["user"]))


def _workplaces(roster: Roster, users: pl.Series) -> pl.DataFrame:
    """[user, org, begin, end] of these people, where the school is certain: the only one, or the primary one."""
    held = _workplaces_of_all(roster).filter(pl.col("user").is_in(users.implode()))
    first = pl.col("primary").fill_null(value=False)
    held = held.filter(first | ~first.any().over("user"))
    return held.filter(pl.col("org").n_unique().over("user") == 1).select("user", "org", *_PERIOD).unique()


def _roles_before(roster: Roster, previous: Roster, users: pl.Series, declared: Extensions) -> pl.DataFrame:
    """The roles of these people in the last roster that positions and marks may have made, where they work still."""
    may = {SchoolRole.PRINCIPAL.value} if declared.acting_head else set()
    may |= {one.role.value for positions in declared.positions for one in positions.roles}
    before = previous.roles.filter(pl.col("role").cast(pl.String).is_in(sorted(may)))
    before = _as_now(before, "user", previous.users, roster.users)
    before = before.filter(pl.col("user").is_in(users.implode()))
    before = _as_now(before, "org", previous.orgs, roster.orgs)
    return _as_roles(before.join(_workplaces_of_all(roster), on=["user", "org"], how="semi"))


def _class_teachers_before(roster: Roster, previous: Roster, classes: pl.Series) -> pl.DataFrame:
    """[class, user, begin, end]: who was class teacher of these `classes` (Boolean per class), and has a record yet."""
    before = previous.enrollments.filter(pl.col("role") == ClassRole.TEACHER, pl.col("primary"))
    before = _as_now(before, "class", previous.classes, roster.classes)
    before = before.filter(classes.gather(before["class"]))
    before = _as_now(before, "user", previous.users, roster.users)
    return before.select("class", "user", *_PERIOD).unique()


def _as_now(rows: pl.DataFrame, column: str, before: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """The rows with references to a table as it was as references to it as it is, where that has the record."""
    ids = before["id"].gather(rows[column])
    found = ids.alias("id").to_frame().join(_numbers(now, "_n"), on="id", how="left", maintain_order="left")["_n"]
    return rows.with_columns(found.cast(_N).alias(column)).drop_nulls(column)

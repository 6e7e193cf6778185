r"""From a reading to a roster in Homeroom's ids, and to the people who stand still until somebody says who they are.

::

    raw reading --recognise--> roster in Homeroom's ids ----------------------------------------+
                          \-> open questions as rows --judge_questions, review--> holds         +--> source door
                                              \-> what no Approval released -----> `frozen` ----+

A question is held like a change (`homeroom.plan.hold`): stored, shrinking, approved by a commit. Its rows say what the
records would do to each person it names; an approval says that the records are right as they are. A link or a
correction of the records answers it too: then nothing asks it any more, and the hold goes away.

Pure. Neighbours: `identity` (what is asked, and links), `door` (serves the old rows of people who stand still),
`homeroom.reconcile.district` (runs this).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from homeroom.api import Identity
from homeroom.plan import CHANGE, CHANGE_SCHEMA, HELD_SCHEMA, Guard, Kind, Limits, Op, Scope
from homeroom.roster.accept import REFERENCES, in_order
from homeroom.roster.identity import links_by_key, links_of, questions, relink
from homeroom.roster.tables import FAMILY, Roster

ASKED_SCHEMA: Final = pl.Schema({**CHANGE_SCHEMA, "cause": pl.String(), "person": pl.String()})
"""Open questions, one row for each person that a question names. `key`: the person. `op`: what the records would do,
Remove, Create or Update. `role`: the `Question`, and the id of whom else it names. `cause`: its `Evidence`. `person`:
whom the question is about. `school`: of that person, empty where the records name none. All text."""

_FEW: Final = 20
"""So many questions of one school are held one by one; more that come at once are one hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """A reading in Homeroom's ids.

    `links` (columns `homeroom.roster.identity.LINKS`): what each record that is called otherwise is called, for
    whatever else goes by the ids of records. `unknown`: declared links whose `to` is no record. `asked`: columns
    `ASKED_SCHEMA`. `people`: how many served people could be asked about, for the percentage.
    """

    roster: Roster
    links: pl.DataFrame
    unknown: int
    asked: pl.DataFrame
    people: int


def recognise(before: Roster, reading: Roster, *, identity: Identity, listed: pl.DataFrame | None) -> Recognised:
    """Call everybody by Homeroom's ids, and ask.

    `before`: the roster that is served, empty for a new district. `listed`: the links of the file of `linksFrom`.
    Raises InvalidSpecError when a record is called two ways.
    """
    declared = links_of(identity, listed)
    relinked = relink(reading, declared)
    by_key = links_by_key(before, relinked.roster, key=identity.student_key)
    fresh = _canonical(relink(relinked.roster, by_key).roster, reading)
    found = questions(before, fresh, key=identity.student_key, links=declared, torn=relinked.torn)
    return Recognised(
        roster=fresh,
        links=_composed(declared, by_key),
        unknown=relinked.unknown,
        asked=_asked(found, before, fresh),
        people=_people(before) if found.height else 0,
    )


def _canonical(fresh: Roster, reading: Roster) -> Roster:
    """In the order that the same records always have: who was renamed has other row numbers."""
    if fresh is reading:
        return fresh
    links = {name: in_order(frame, list(REFERENCES[name])) for name, frame in fresh.tables() if "id" not in frame}
    return replace(fresh, **links)


def _composed(declared: pl.DataFrame, by_key: pl.DataFrame) -> pl.DataFrame:
    """Links that say at once what first `declared` and then `by_key` make of an id."""
    first = declared.with_columns(pl.col("from").replace(by_key["to"], by_key["from"]))
    return pl.concat([first, by_key.join(declared, on="to", how="anti")]).sort("to")


def _asked(found: pl.DataFrame, before: Roster, fresh: Roster) -> pl.DataFrame:
    """Questions (columns `QUESTIONS`) as rows of `ASKED_SCHEMA`, sorted."""
    if found.is_empty():  # as on most nights: then nobody has to be looked up
        return pl.DataFrame(schema=ASKED_SCHEMA)
    sides = [
        found.select("question", "school", "reason", "person", key=pl.col(key), other=pl.col(other))
        for key, other in (("person", "other"), ("other", "person"))
    ]
    rows = pl.concat(sides).drop_nulls("key")
    was, now = (pl.col("key").is_in(roster.users["id"].implode()) for roster in (before, fresh))
    return rows.select(
        pl.when(~now).then(pl.lit(Op.REMOVE.value)).when(~was).then(pl.lit(Op.CREATE.value))
        .otherwise(pl.lit(Op.UPDATE.value)).alias("op"),
        pl.lit(Kind.PERSON.value).alias("kind"),
        pl.col("school").fill_null(""),
        "key",
        pl.lit(None, dtype=pl.String).alias("class_key"),
        pl.concat_str(pl.col("question").cast(pl.String), "other", separator=" ", ignore_nulls=True).alias("role"),
        pl.col("reason").cast(pl.String).alias("cause"),
        "person",
    ).sort("school", "person", "role", "key")  # fmt: skip  # the three cases read as one


def _people(roster: Roster) -> int:
    """Everybody who is not only family: nobody else is asked about."""
    return int(roster.roles.filter(~pl.col("role").is_in(FAMILY).fill_null(value=False))["user"].n_unique())


# ---------------------------------------------------------------------------------------------------------------------
# Holds


def judge_questions(asked: Recognised, limits: Limits, *, released: pl.DataFrame, sticky: pl.DataFrame) -> pl.DataFrame:
    """What is to be held anew: columns `HELD_SCHEMA`.

    `released`, `sticky`: rows (at least `CHANGE`) that were approved, and that are held already. Each question is held
    by itself; many that come at once in a school, or too many for the district (`is_too_much`), are one hold.
    """
    open_ = unanswered(asked, released)
    new = open_.join(sticky, on=list(CHANGE), how="anti", nulls_equal=True)
    whole = pl.lit(is_too_much(asked, open_, limits))
    many = pl.col("person").n_unique().over("school") > _FEW
    return new.select(
        *CHANGE,
        "cause",
        guard=pl.lit(Guard.IDENTITY.value),
        scope=pl.when(whole).then(pl.lit(Scope.DISTRICT.value)).when(many).then(pl.lit(Scope.SCHOOL.value))
        .otherwise(pl.lit(Scope.PERSON.value)),
        place=pl.when(whole).then(pl.lit("")).when(many).then("school").otherwise("person"),
    ).cast(HELD_SCHEMA)  # fmt: skip  # the three cases read as one


def unanswered(asked: Recognised, released: pl.DataFrame) -> pl.DataFrame:
    """The rows of `asked` that no Approval has released; everybody in them (`key`) stands still."""
    return asked.asked.join(released, on=list(CHANGE), how="anti", nulls_equal=True)


def is_too_much(asked: Recognised, rows: pl.DataFrame, limits: Limits) -> bool:
    """Whether so many of those who are served are asked about in `rows` (of `asked`) that the whole reading waits."""
    changed = rows.filter(pl.col("op") != Op.CREATE.value)["key"].n_unique()
    return changed >= limits.ignore_below and changed * 100 > asked.people * limits.identity_changes


def answers(released: pl.DataFrame) -> pl.DataFrame:
    """[key, hold] of everybody whom questions named that an Approval released: `released` has `CHANGE` and `hold`."""
    asked = released.filter(pl.col("kind") == Kind.PERSON.value, pl.col("role").is_not_null())
    other = asked["role"].str.extract(r"^\S+ (.*)$", 1)
    return pl.concat([asked.select("key", "hold"), asked.select(other.alias("key"), "hold").drop_nulls("key")]).unique()


# ---------------------------------------------------------------------------------------------------------------------
# What else goes by the ids of records


def called(frame: pl.DataFrame, column: str, *, links: pl.DataFrame, users: pl.DataFrame) -> pl.DataFrame:
    """`frame`, in which `column` has ids of records, in Homeroom's ids: one row per human, of their first record.

    `users`: those of the reading. The first record is the one whose values `relink` takes.
    """
    if links.is_empty():
        return frame
    barred = ~pl.col("enabled").fill_null(value=True)
    rows = frame.with_columns(_record=pl.col(column), **{column: pl.col(column).replace(links["to"], links["from"])})
    rows = rows.join(users.select("enabled", _record="id"), on="_record", how="left")
    rows = rows.sort(column, barred, pl.col("_record") != pl.col(column), "_record")
    return rows.unique(column, keep="first", maintain_order=True).select(frame.columns)

"""When what has no reason any more ends, and who is there without one.

Memberships and rights end at once, accounts and classes after a time of grace: an error of one night costs nobody a
password. The last teachers of a class that goes on stay for a week. Pure; `homeroom.roster.diff` makes the plan that is
dated here and keeps the rows that are counted here (columns `homeroom.roster.diff.KEPT_SCHEMA`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from homeroom.api import Duration
from homeroom.plan import COMING, IDENTITY, MOMENT, PERSONAL, Cause, Kind, Op, Plan, Role
from homeroom.roster.state import Desired

PROTECTED: Final = timedelta(days=7)
"""How long the last teacher of a class stays in it: no class stands alone over night, and nobody coaches for ever."""
LONG: Final = timedelta(days=14)
"""Who is kept for longer without a reason is worth a word."""

_AT_ONCE: Final = [Cause.DENIED.value, Cause.INTRUDER.value]
_NO_DEPARTURE: Final = [
    *_AT_ONCE,
    Cause.LICENCE_REVOKED.value,
    Cause.SHARING_CHANGED.value,
    Cause.SPEC_CHANGED.value,
    Cause.ADOPTION.value,
]


def dated(
    rows: pl.DataFrame,
    kept: pl.DataFrame,
    alone: pl.DataFrame,
    *,
    grace: Duration,
    grace_before: Duration | None,
    now: datetime,
) -> pl.DataFrame:
    """Rows of a plan with the columns `due`, `passed` and `hold` (`homeroom.plan.PLAN_SCHEMA`).

    `kept` [since, passed, hold, cause]: what is known of each row. `alone`: columns `IDENTITY`, from `last_teachers`.
    `grace_before`: that of the last applied plan; what is due only because it was longer follows from the edit.
    """
    moment = pl.lit(now, MOMENT)
    closing = pl.col("op").is_in([Op.SUSPEND.value, Op.ARCHIVE.value]) & ~pl.col("cause").is_in(_AT_ONCE)
    protected = rows.select(IDENTITY).join(
        alone.with_columns(alone=pl.lit(value=True)),
        on=list(IDENTITY),
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )["alone"]
    found = rows.with_columns(
        kept["since"].fill_null(moment).alias("since"),
        kept["passed"],
        kept["hold"],
        kept["cause"].alias("cause_before"),
        protected.fill_null(value=False).alias("alone"),
    )
    found = found.with_columns(
        pl.when(closing)
        .then(pl.col("since").dt.offset_by(str(grace)))
        .when(pl.col("alone") & ~pl.col("cause").is_in(_NO_DEPARTURE))
        .then(pl.col("since") + PROTECTED)
        .alias("due")
    )
    if grace_before is not None:
        before = pl.col("since").dt.offset_by(str(grace_before))
        hastened = closing & pl.col("passed").is_not_null() & (pl.col("due") <= moment) & (before > moment)
        spec = pl.lit(Cause.SPEC_CHANGED.value)
        found = found.with_columns(pl.when(hastened).then(spec).otherwise("cause").alias("cause"))
    # An account is not closed while its owner is a class's last teacher.
    teaching = (
        found.filter(pl.col("alone") & pl.col("due").is_not_null())
        .group_by("school", "key")
        .agg(until=pl.col("due").max())
    )
    person = pl.col("kind") == Kind.PERSON.value
    found = found.join(teaching, on=["school", "key"], how="left", maintain_order="left").with_columns(
        pl.when(person & closing).then(pl.max_horizontal("due", "until")).otherwise("due").alias("due")
    )
    # What was let through for one reason was not for another.
    same = pl.col("cause") == pl.col("cause_before")
    return found.with_columns(
        pl.when(pl.col("due") > moment).then("due").alias("due"),
        pl.when(same).then("passed").alias("passed"),
        pl.when(same).then("hold").alias("hold"),
    ).drop("since", "cause_before", "alone", "until")


def last_teachers(rows: pl.DataFrame, desired: Desired) -> pl.DataFrame:
    """`IDENTITY` of the removals in `rows` of a plan after which a class with students has no teacher.

    Who only changes the part in that class is no leaver.
    """
    coach = pl.col("role") == Role.COACH.value
    gone = rows.filter((pl.col("kind") == Kind.MEMBERSHIP.value) & (pl.col("op") == Op.REMOVE.value) & coach)
    if gone.is_empty():
        return gone.select(IDENTITY)
    place = ["school", "class_key"]
    untaught = _untaught(desired).join(gone, on=place, how="semi")
    members = desired.memberships.join(untaught, on="class")
    stays = members.select(*place, desired.people["key"][members["person"]].alias("key"))
    return gone.join(untaught, on=place, how="semi").join(stays, on=[*place, "key"], how="anti").select(IDENTITY)


def until_followed(passing: Plan, planned: Plan, desired: Desired, kept: pl.DataFrame, *, now: datetime) -> Plan:
    """`passing` (of `planned`, what the guards let through), with a day for teachers whose successor they hold.

    A class whose teachers all wait for somebody's word keeps those who leave until one may come, and no longer than the
    last teachers of a class. `kept`: columns `homeroom.roster.diff.KEPT_SCHEMA`.
    """
    place = ["school", "class_key"]
    role, op = pl.col("role") == Role.COACH.value, pl.col("op").cast(pl.String)
    teaching = role & (pl.col("kind") == Kind.MEMBERSHIP.value)
    goes = teaching & (op == Op.REMOVE.value) & pl.col("due").is_null() & ~pl.col("cause").is_in(_NO_DEPARTURE)
    if passing.changes.filter(goes).is_empty():
        return passing
    who = [*place, "key"]
    comes = teaching & op.is_in(COMING)
    held = planned.changes.filter(comes).join(passing.changes.filter(comes), on=who, how="anti").select(who)
    if held.is_empty():
        return passing
    coaches = desired.memberships.filter(role)
    classes = desired.classes[coaches["class"]]
    staff = pl.DataFrame(
        {
            "school": desired.schools["key"][classes["school"]],
            "class_key": classes["key"],
            "key": desired.people["key"][coaches["person"]],
        }
    )
    alone = held.select(place).unique().join(staff.join(held, on=who, how="anti"), on=place, how="anti")
    rows = passing.changes.with_columns(goes.alias("goes"))
    since = rows.select(pl.col(name).cast(pl.String) for name in IDENTITY).join(
        kept.select(*IDENTITY, "since"), on=list(IDENTITY), how="left", nulls_equal=True, maintain_order="left"
    )["since"]
    waits = rows.select(place).join(
        alone.with_columns(alone=pl.lit(value=True)), on=place, how="left", nulls_equal=False, maintain_order="left"
    )["alone"]
    until = since.fill_null(now) + PROTECTED
    stays = rows["goes"] & waits.fill_null(value=False) & (until > now)
    return Plan(passing.changes.with_columns(pl.when(stays).then(until).otherwise("due").alias("due")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How many people have something without a reason.

    `people`: for no end that is in sight; `long`: those of them for more than `LONG`. `leaving`: whose account is
    closed when its time of grace is over. `protected`: last teachers who stay for a while.
    """

    people: int
    long: int
    leaving: int
    protected: int


def counted(kept: pl.DataFrame, waiting: pl.DataFrame, *, now: datetime) -> Kept:
    """`kept`: columns `KEPT_SCHEMA`. `waiting`: rows of a plan that are let through and wait for their day."""
    people = kept_people(kept, waiting)

    def number(kind: Kind) -> int:
        return int(waiting.filter(pl.col("kind") == kind.value)["key"].n_unique())

    return Kept(
        people=people["key"].n_unique(),
        long=people.filter(pl.col("since") < now - LONG)["key"].n_unique(),
        leaving=number(Kind.PERSON),
        protected=number(Kind.MEMBERSHIP),
    )


def kept_people(kept: pl.DataFrame, waiting: pl.DataFrame) -> pl.DataFrame:
    """[school, key, since] of who is kept without an end in sight, the oldest first.

    `since`: when the reason ended of what they have longest.
    """
    keys = waiting.select(pl.col(name).cast(pl.String) for name in IDENTITY)
    rows = kept.filter(pl.col("kind").is_in(PERSONAL)).join(keys, on=list(IDENTITY), how="anti", nulls_equal=True)
    return rows.group_by("school", "key").agg(pl.col("since").min()).sort("since", "school", "key")


def unstaffed(desired: Desired, kept: pl.DataFrame) -> pl.DataFrame:
    """[school, class_key] of classes with students and no teacher, nor one who stays for a while; sorted."""
    teachers = kept.filter((pl.col("kind") == Kind.MEMBERSHIP.value) & (pl.col("role") == Role.COACH.value))
    place = ["school", "class_key"]
    return _untaught(desired).join(teachers, on=place, how="anti").select(place).sort(place)


def _untaught(desired: Desired) -> pl.DataFrame:
    """[class (row), school, class_key] of classes that shall have students and no teacher."""
    coaches = desired.memberships.filter(pl.col("role") == Role.COACH.value)["class"].unique()
    rows = desired.memberships.filter(pl.col("role") == Role.LEARNER.value)["class"].unique()
    rows = rows.filter(~rows.is_in(coaches.implode()))
    classes = desired.classes[rows]
    return pl.DataFrame(
        {"class": rows, "school": desired.schools["key"][classes["school"]], "class_key": classes["key"]}
    )

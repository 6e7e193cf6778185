"""No endless war: what people change by hand again and again is put right again more and more slowly. Pure.

The first `FREE` repairs of one thing within `MEMORY` come at once. Each further one waits since the last, `FIRST_REST`
and then twice as long each time; so one thing is repaired `MOST` times an hour at most, however fast the other side
is. A thing is one change of one chat: this account back in, this chat's name and settings.

Never slowed down is what protects children: a stranger goes out every time, rights that nobody gave are taken every
time, and a chat whose doors were opened (who may invite, join, read back, appoint) is shut every time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from homeroom.api.chatpolicy import Allowed
from homeroom.chats.state import Actual, Desired
from homeroom.chats.words import Setting
from homeroom.plan import CHANGE, CHANGE_SCHEMA, COMING, LEAVING, MOMENT, Cause, Kind, Plan

FREE: Final = 3
"""Once is a mistake, twice somebody who tries again, three times a habit or a program."""
FIRST_REST: Final = timedelta(minutes=1)
"""Longer than a person tries the same thing in one go."""
MEMORY: Final = timedelta(hours=1)
"""Whoever leaves a thing alone for that long has it repaired at once again. Above the usual interval of runs, so that
a repair per run, of a policy that does not listen, never counts as war."""
MOST: Final = 8
"""The ninth would come 1 + 2 + 4 + 8 + 16 + 32 minutes after the third, which is more than an hour."""

REPAIRED: Final = pl.Schema({**CHANGE_SCHEMA, "at": MOMENT})
"""What was put right, and when. All text but `at`."""

_DOORS: Final = (Setting.INVITE, Setting.APPOINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calmed:
    """`plan` may be made now; `resting` changes of it wait, the first of them `until` then (None: none waits)."""

    plan: Plan
    resting: int
    until: datetime | None

    @property
    def words(self) -> str:
        """For a message; empty when nothing rests."""
        if not self.resting:
            return ""
        things = "1 thing is" if self.resting == 1 else f"{self.resting} things are"
        return f"{things} changed by hand again and again, and put right more slowly: find out who does that"


def nothing_repaired() -> pl.DataFrame:
    """Of a policy that has just begun: columns `REPAIRED`."""
    return pl.DataFrame(schema=REPAIRED)


def calmed(plan: Plan, repaired: pl.DataFrame, *, doors: pl.Series, now: datetime) -> Calmed:
    """Take out of a plan what shall rest. `repaired`: columns `REPAIRED`; `doors`: of `open_doors`."""
    rows = _changes(plan)
    so_often = (
        repaired.filter(pl.col("at") > now - MEMORY)
        .group_by(CHANGE)
        .agg(times=pl.len(), last=pl.col("at").max())
        .filter(pl.col("times") >= FREE)
    )
    if so_often.is_empty():
        return Calmed(plan=plan, resting=0, until=None)
    rest = FIRST_REST * 2 ** (pl.col("times").cast(pl.Int64) - FREE)
    until = rows.join(
        so_often.select(*CHANGE, until=pl.col("last") + rest),
        on=list(CHANGE),
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )["until"]
    waits = (
        (until > now).fill_null(value=False)
        & (rows["cause"] == Cause.DRIFT.value)
        & ~rows["op"].is_in(list(LEAVING))
        & ~rows["key"].is_in(doors.implode())
    )
    # Rights are for who is in the chat.
    out = rows.filter(waits, pl.col("kind") == Kind.MEMBERSHIP.value).select("class_key", "key", out=pl.lit(value=True))
    is_out = rows.join(out, on=["class_key", "key"], how="left", maintain_order="left")["out"]
    waits |= is_out.fill_null(value=False) & (rows["kind"] == Kind.RIGHT.value) & rows["op"].is_in(list(COMING))
    first = until.filter(waits).min()
    return Calmed(
        plan=Plan(plan.changes.filter(~waits)),
        resting=int(waits.sum()),
        until=first if isinstance(first, datetime) else None,
    )


def with_repairs(repaired: pl.DataFrame, made: Plan, *, now: datetime) -> pl.DataFrame:
    """`repaired` with what of `made` puts right what somebody did by hand, without what is forgotten by now."""
    rows = _changes(made).filter(pl.col("cause") == Cause.DRIFT.value)
    new = rows.select(*CHANGE, pl.lit(now, MOMENT).alias("at"))
    return pl.concat([repaired.filter(pl.col("at") > now - MEMORY), new])


def open_doors(desired: Desired, actual: Actual) -> pl.Series:
    """Keys of chats that let in, or let appoint, others than they should."""
    names = [door.value for door in _DOORS]
    both = desired.chats.select("key", *names).join(
        actual.chats.select("key", *names), on="key", suffix="_now", maintain_order="left"
    )
    width = {allowed.value: number for number, allowed in enumerate(Allowed)}

    def number(column: str) -> pl.Expr:
        return pl.col(column).cast(pl.String).replace_strict(width, return_dtype=pl.UInt8)

    wider = pl.any_horizontal((number(f"{name}_now") > number(name)).fill_null(value=False) for name in names)
    return both.filter(wider)["key"]


def _changes(plan: Plan) -> pl.DataFrame:
    return plan.changes.select(pl.col(name).cast(pl.String) for name in (*CHANGE, "cause"))

"""All that is remembered of one person and their accounts in the chats of a policy, and the same without them. Pure.

Behind `homeroom export-person` and `homeroom forget-person`, as `homeroom.roster.person` is for learning apps. Rows
come as plain values for JSON, with keys of chats in place of row numbers.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl
import polars.selectors as cs

from homeroom.chats.baseline import Baseline
from homeroom.plan import PERSONAL

_CHAT: Final = ("key", "type", "school", "section", "year")

Rows = list[dict[str, Any]]
"""Rows of a frame, as JSON has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What a policy's baseline has of one person.

    `members`: where an account is wanted; `pending`: where the person lacks one; `kept`, `unapplied` and `away`: as
    they are in the baseline; `learned`: homerooms, remembered until next year's are known.
    """

    members: Rows
    pending: Rows
    kept: Rows
    unapplied: Rows
    away: Rows
    learned: Rows

    @property
    def in_use(self) -> list[str]:
        """Source ids of the schools in whose chats an account is, as far as the last run knew; sorted."""
        return sorted({row["school"] for row in (*self.members, *self.kept)})

    @property
    def empty(self) -> bool:
        """Nothing at all."""
        return not (self.members or self.pending or self.kept or self.unapplied or self.away or self.learned)


def in_chats(baseline: Baseline, learners: pl.DataFrame, *, person: str, accounts: Collection[str]) -> Remembered:
    """What is remembered of `person` (a source id) and `accounts`. `learners`: `homeroom.chats.rollover.LEARNERS`."""
    desired = baseline.desired
    rows = desired.accounts["account"].is_in(list(accounts)).arg_true().implode()
    members = desired.members.filter(pl.col("account").is_in(rows))
    pending = desired.pending.filter(pl.col("person") == person)

    def placed(found: pl.DataFrame, *more: str) -> pl.DataFrame:
        return pl.concat([desired.chats[found["chat"]].select(_CHAT), found.select(more)], how="horizontal")

    members = members.with_columns(desired.accounts["account"].gather(members["account"]).alias("account"))
    return Remembered(
        members=_plain(placed(members, "account", "administrator")),
        pending=_plain(placed(pending, "administrator", "state")),
        kept=_plain(baseline.kept.filter(_about(accounts))),
        unapplied=_plain(baseline.unapplied.filter(_about(accounts))),
        away=_plain(baseline.away.filter(pl.col("key").is_in(list(accounts)))),
        learned=_plain(learners.filter(pl.col("person") == person).select("class", "school")),
    )


def without(
    baseline: Baseline, learners: pl.DataFrame, *, person: str, accounts: Collection[str]
) -> tuple[Baseline, pl.DataFrame]:
    """Both, as if nobody had ever heard of the person."""
    desired = baseline.desired
    stays = ~desired.accounts["account"].is_in(list(accounts))
    to_row = (stays.cum_sum() - 1).cast(pl.UInt32).set(~stays, None)  # null: an account of theirs, whose rows go
    members = desired.members.with_columns(to_row.gather(desired.members["account"]).alias("account"))
    left = replace(
        baseline,
        desired=replace(
            desired,
            accounts=desired.accounts.filter(stays),
            members=members.drop_nulls("account"),
            pending=desired.pending.filter(pl.col("person") != person),
        ),
        kept=baseline.kept.filter(~_about(accounts)),
        unapplied=baseline.unapplied.filter(~_about(accounts)),
        away=baseline.away.filter(~pl.col("key").is_in(list(accounts))),
    )
    return left, learners.filter(pl.col("person") != person)


def _about(accounts: Collection[str]) -> pl.Expr:
    return pl.col("kind").is_in(PERSONAL) & pl.col("key").is_in(list(accounts))


def _plain(frame: pl.DataFrame) -> Rows:
    return frame.with_columns(cs.temporal().cast(pl.String)).to_dicts()

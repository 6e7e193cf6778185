"""The simplest guard: a school that would lose too much of itself in one run loses nothing.

Until holds and approvals arrive this is the only stop: the scope's removals stay out of the plan and the resource says
so. Intruders are never counted and never stopped (invariant 7): whoever never had a reason goes out at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from homeroom.plan.change import Cause, Kind, Op
from homeroom.plan.plan import Plan

MAX_REMOVED_PERCENT: Final = 10
"""Share of a school's memberships, or of its people, that one run may take away: Clever's own line for deletions."""

_TAKING: Final = [Op.REMOVE.value, Op.ARCHIVE.value, Op.SUSPEND.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """`plan` may be applied. `stopped` may not: the removals of schools over the line, as in the plan they came from.

    `breaches`: [school, kind, removed, size], one row per line that was crossed.
    """

    plan: Plan
    stopped: Plan
    breaches: pl.DataFrame


def guard(plan: Plan, sizes: pl.DataFrame) -> Guarded:
    """Judge the removals of each school against what the target holds there now.

    `sizes`: [school: String, kind: String, size]; how many memberships and how many people a school has in the target.
    """
    taking = pl.col("op").cast(pl.String).is_in(_TAKING) & (pl.col("cause").cast(pl.String) != Cause.INTRUDER.value)
    counted = (
        plan.changes.filter(taking & pl.col("kind").cast(pl.String).is_in([Kind.MEMBERSHIP.value, Kind.PERSON.value]))
        .group_by("school", pl.col("kind").cast(pl.String))
        .agg(pl.len().alias("removed"))
    )
    breaches = (
        counted.join(sizes, on=["school", "kind"], how="left")
        .filter(pl.col("removed") * 100 > pl.col("size").fill_null(0) * MAX_REMOVED_PERCENT)
        .sort("school", "kind")
    )
    if breaches.is_empty():
        return Guarded(plan=plan, stopped=Plan(plan.changes.clear()), breaches=breaches)
    stopped = taking & pl.col("school").is_in(breaches["school"].implode())
    return Guarded(
        plan=Plan(plan.changes.filter(~stopped)), stopped=Plan(plan.changes.filter(stopped)), breaches=breaches
    )

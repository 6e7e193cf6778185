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

    `breaches`: [school, kind, removed, size], one row per line that was crossed, `size` without intruders.
    """

    plan: Plan
    stopped: Plan
    breaches: pl.DataFrame


def guard(plan: Plan, sizes: pl.DataFrame) -> Guarded:
    """Judge the removals of each school against what the target holds there now.

    `sizes`: [school: String, kind: String, size]; how many memberships (in managed classes, intruders' among them) and
    how many people of ours a school has in the target. What is not listed has size 0.
    """
    intruder = pl.col("cause").cast(pl.String) == Cause.INTRUDER.value
    taking = pl.col("op").cast(pl.String).is_in(_TAKING) & ~intruder
    kind = pl.col("kind").cast(pl.String)
    # Intruders are no part of the base either: 200 strangers in a class must not make room for losing 20 members.
    counted = (
        plan.changes.filter(kind.is_in([Kind.MEMBERSHIP.value, Kind.PERSON.value]))
        .group_by("school", kind)
        .agg(taking.sum().cast(pl.Int64).alias("removed"), intruder.sum().cast(pl.Int64).alias("intruders"))
    )
    breaches = (
        counted.join(sizes, on=["school", "kind"], how="left")
        .with_columns(pl.col("size").cast(pl.Int64).fill_null(0) - pl.col("intruders"))
        .filter((pl.col("removed") > 0) & (pl.col("removed") * 100 > pl.col("size") * MAX_REMOVED_PERCENT))
        .select("school", "kind", "removed", "size")
        .sort("school", "kind")
    )
    stopped = taking & pl.col("school").is_in(breaches["school"].implode())
    return Guarded(
        plan=Plan(plan.changes.filter(~stopped)), stopped=Plan(plan.changes.filter(stopped)), breaches=breaches
    )

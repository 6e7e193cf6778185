r"""Licences that go: a few are revoked at once, many at a time wait for a person's word.

::

    licences that go and that somebody uses --> `judge` --> those that may --> revoked, and written down
    what went in the last days ----------------+        \-> those that are held, with `homeroom.plan.hold`

Deletion cannot be undone in Kubernetes, so what is held goes on as it was: key, connections, seats and classes. Counted
are those that go now and the unapproved ones of the last `WINDOW_DAYS`, against how many there were when these days
began, without what a person let go since: neither small steps nor new licences in between dissolve the guard, nor does
a large approved loss. Licences that nobody uses take nothing with
them, and count nowhere. Pure. Neighbour: `homeroom.reconcile.licensepool`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from homeroom.plan import (
    CHANGE,
    CHANGE_SCHEMA,
    HELD_SCHEMA,
    MOMENT,
    WINDOW_DAYS,
    Cause,
    Guard,
    Judged,
    Op,
    Plan,
    Scope,
)

FEW: Final = 2
"""So many may always go."""
PERCENT: Final = 10
"""And so many of a hundred, if that is more."""
KIND: Final = "SchoolLicense"
ORPHAN: Final = "Orphan"
"""What the journal says of a held licence that goes: nothing is taken from who has something by it."""
"""What stands in a hold as the kind of what goes; the key is the licence: namespace and name."""
REVOKED_SCHEMA: Final = pl.Schema({"licence": pl.String(), "at": MOMENT, "made": MOMENT, "hold": pl.String()})
"""Licences that were revoked in the last days. `made`: when they were, if known; `hold`: approved with that one."""
NONE_REVOKED: Final = pl.DataFrame(schema=REVOKED_SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is counted: `gone`, licences revoked in the window unapproved; `size`, those in use when it began.

    Without those revoked with an approval since: what remains is what a loss is measured by.
    """

    size: int
    gone: int

    @classmethod
    def of(cls, used: Mapping[str, datetime | None], revoked: pl.DataFrame, *, now: datetime) -> Standing:
        """`used`: licences in use now, those that go among them, and when each was made. `revoked`: REVOKED_SCHEMA."""
        since = now - timedelta(days=WINDOW_DAYS)
        unasked = revoked.filter(pl.col("at") > since, pl.col("hold").is_null())
        there = unasked.filter(pl.col("made").is_null() | (pl.col("made") <= since)).height
        there += sum(made is None or made <= since for made in used.values())
        return cls(size=there, gone=unasked.height)


def asked(licences: Collection[str]) -> pl.DataFrame:
    """That these licences go, as rows of a plan: CHANGE_SCHEMA, sorted."""
    fixed = {"op": Op.REMOVE.value, "kind": KIND, "school": ""}
    rows = pl.DataFrame({"key": sorted(licences)}, {"key": pl.String})
    absent = [pl.lit(fixed.get(name), pl.String).alias(name) for name in CHANGE if name != "key"]
    return rows.with_columns(absent).select(CHANGE_SCHEMA.names())


def judge(plan: pl.DataFrame, standing: Standing, *, released: pl.DataFrame, sticky: pl.DataFrame) -> Judged:
    """What of `plan` (as `asked` makes it) may go; `released` and `sticky` as in `homeroom.plan.guard.judge`."""
    on = list(CHANGE)
    approved = plan.join(released.unique(on, keep="first"), on=on, how="inner", nulls_equal=True)
    rest = plan.join(approved, on=on, how="anti", nulls_equal=True).join(sticky, on=on, how="anti", nulls_equal=True)
    total = rest.height + standing.gone
    stopped = rest if total > FEW and total * 100 > standing.size * PERCENT else rest.clear()
    passing = rest.join(stopped, on=on, how="anti", nulls_equal=True).with_columns(hold=pl.lit(None, pl.String))
    why = {"cause": Cause.LICENCE_REVOKED, "guard": Guard.LICENCES, "scope": Scope.POOL, "place": ""}
    held = stopped.with_columns(pl.lit(str(word), pl.String).alias(name) for name, word in why.items())
    return Judged(
        plan=Plan(pl.concat([approved.select(*CHANGE, "hold"), passing])),
        held=held.select(HELD_SCHEMA.names()),
        waiting=0,
    )


def written_down(
    revoked: pl.DataFrame, passing: pl.DataFrame, *, made: Mapping[str, datetime | None], now: datetime
) -> pl.DataFrame:
    """`revoked` with the rows `passing` ([*CHANGE, hold]); what is older than the window goes with the next one."""
    if passing.is_empty():
        return revoked
    rows = [(licence, now, made.get(licence), hold) for licence, hold in passing.select("key", "hold").iter_rows()]
    recent = revoked.filter(pl.col("at") > now - timedelta(days=WINDOW_DAYS))
    return pl.concat([recent, pl.DataFrame(rows, REVOKED_SCHEMA, orient="row")]).sort("at", "licence")

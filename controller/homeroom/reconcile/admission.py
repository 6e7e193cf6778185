"""From a fresh reading of the records to the roster that is served, without a single write: the source door.

::

    served until now --+--> compare --> guards --> holds, Approvals --> held --+
    fresh reading -----+------------------------------------------------------+--> served from now on

What is held stays in the served roster as it was; additions pass (DESIGN.md section 6). What ends with its term is
outside the percentages. What an approval lets pass is remembered for two weeks, so that no app asks for it again
(safety row 12). Neighbours: `homeroom.roster.door` (comparing, serving), `homeroom.plan` (guards and holds), `district`
(who stores the outcome), `decide` (the same for the door of an app, and what follows there).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Self

import polars as pl

from homeroom.api import District
from homeroom.plan import (
    CHANGE,
    CHANGE_SCHEMA,
    HELD_SCHEMA,
    MOMENT,
    PERSONAL,
    RECENT_SCHEMA,
    VALID,
    WINDOW_DAYS,
    Guard,
    Hold,
    Judged,
    Noted,
    Op,
    Plan,
    Reviewed,
    Standing,
    State,
    Unseen,
    Word,
    changes,
    judge,
    review,
    rolled_over,
    settled,
)
from homeroom.reconcile.decide import Salt, limits_of
from homeroom.roster.digest import digest
from homeroom.roster.door import NO_CLASSES, compare, present, serve, sizes
from homeroom.roster.tables import Roster
from homeroom.sources import Snapshot
from homeroom.store import Passed, Store

NOBODY: Final = pl.Series(dtype=pl.String)
_NO_CHANGES: Final = pl.DataFrame(schema=CHANGE_SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorMemory:
    """What the store and the commits say about a district's door.

    `holds`: all of the district. `rolled_over`: one of its apps has this school year's roll-over approved. `pins`:
    columns `homeroom.roster.years.PINS`; None: an older release did not write them down. `noted`: when its source was
    last read.
    """

    holds: Sequence[Hold]
    words: Sequence[Word]
    passed: Passed
    rolled_over: bool
    pins: pl.DataFrame | None = None
    noted: Noted = field(default_factory=Noted)

    @classmethod
    def of(
        cls, store: Store, *, namespace: str, district: str, apps: Sequence[str], words: Sequence[Word], now: datetime
    ) -> Self:
        """What the store knows; `apps`: of this district. Blocks."""
        approved = [
            store.holds(namespace=namespace, kind="LearningApp", name=app, guard=Guard.ROLL_OVER) for app in apps
        ]
        last = store.run(namespace=namespace, kind="District", name=district)
        return cls(
            holds=store.holds(namespace=namespace, kind="District", name=district),
            words=words,
            passed=store.passed(namespace=namespace, district=district),
            rolled_over=any(rolled_over(holds, now=now) for holds in approved),
            pins=store.pins(namespace=namespace, district=district),
            noted=Noted(read=last.read_at if last is not None else None),
        )

    def waits_for_us(self, *, now: datetime) -> bool:
        """A commit names an open hold, or one is too old: then the same reading has to be judged again."""
        named = {word.hold for word in self.words}
        opened = [hold for hold in self.holds if hold.state is State.OPEN]
        return any(hold.id in named or now >= hold.expires for hold in opened)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What is to be served from now on, and to be stored with it; `holds` as they stand then."""

    served: Roster
    holds: tuple[Hold, ...]
    passed: Passed

    @property
    def open(self) -> tuple[Hold, ...]:
        """Holds that a person has to look at, the oldest first."""
        return tuple(hold for hold in self.holds if hold.state is State.OPEN)


def admit(
    before: Roster | None,
    fresh: Roster,
    *,
    district: District,
    memory: DoorMemory,
    now: datetime,
    salt: Salt,
    frozen: pl.Series = NOBODY,
    ended: pl.Series = NO_CLASSES,
) -> Admission:
    """Judge what `fresh` takes away from what is served `before` (None: nothing ever was, so nothing can be lost).

    `frozen`: source ids of people about whom there is a question: they stand still both ways, and count nowhere.
    `ended`: ids of classes that ended with their school year (`homeroom.roster.years.Pinned`).
    """
    if before is None:
        served = serve(Roster.empty(), fresh, held=_NO_CHANGES, frozen=frozen)
        return Admission(served=served, holds=tuple(memory.holds), passed=memory.passed)
    now = now.astimezone(UTC)
    plan = _without(frozen, compare(before, fresh, district.spec.day(now), ended=ended))
    recent = memory.passed.recent.filter(pl.col("at") > now - timedelta(days=WINDOW_DAYS))

    def judged(holds: Sequence[Hold], released: pl.DataFrame, sticky: pl.DataFrame) -> Judged:
        if plan.empty:  # as on most nights: nothing has to be counted
            return Judged(plan=plan, held=pl.DataFrame(schema=HELD_SCHEMA), waiting=0)
        standing = Standing(
            sizes=sizes(before),
            recent=recent.select(RECENT_SCHEMA.names()),
            reviewed=None,
            known=(),
            kinds=(),
            rights=False,
            rolled_over=memory.rolled_over or rolled_over(holds, now=now),
        )
        return judge(plan, standing, limits_of(district.spec.guard), released=released, sticky=sticky)

    reviewed = review(plan, memory.holds, memory.words, judged, made=_NO_CHANGES, unseen=Unseen(), now=now, salt=salt)
    passing = changes(reviewed.plan.changes)
    held = changes(plan.changes).join(passing, on=list(CHANGE), how="anti", nulls_equal=True)
    served = serve(before, fresh, held=held, frozen=frozen)
    return Admission(
        served=served,
        holds=settled(reviewed.holds, passing),
        passed=_passed(replace(memory.passed, recent=recent), plan, reviewed, served, now=now),
    )


def _without(frozen: pl.Series, plan: Plan) -> Plan:
    """The plan without those who stand still."""
    if frozen.is_empty():
        return plan
    theirs = pl.col("kind").is_in(PERSONAL) & pl.col("key").is_in(frozen.implode())
    return Plan(plan.changes.filter(~theirs))


def _passed(old: Passed, plan: Plan, reviewed: Reviewed, served: Roster, *, now: datetime) -> Passed:
    """What the door has let pass, with what it lets pass now.

    What came back is struck: an approval lets a thing go once. A rewrite comes back when it is to be made again.
    """
    moment = pl.lit(now).cast(MOMENT).alias("at")
    rows = reviewed.plan.changes
    counted = (
        rows.group_by("kind", "school", "class_key", "op", "cause", approved=pl.col("hold").is_not_null())
        .agg(changes=pl.len().cast(pl.Int64))
        .select(RECENT_SCHEMA.names())
        .sort("kind", "school", "class_key", "op", "cause", "approved")
    )
    pending = old.released.filter(pl.col("at") > now - VALID)
    if not pending.is_empty():
        taken = pending["op"] == Op.REMOVE.value
        again = pl.concat(
            [
                pending.filter(taken).filter(present(pending.filter(taken), served)),
                pending.filter(~taken).join(changes(plan.changes), on=list(CHANGE), how="semi", nulls_equal=True),
            ]
        )
        pending = pending.join(again, on=[*CHANGE, "hold"], how="anti", nulls_equal=True)
    released = rows.filter(pl.col("hold").is_not_null()).select(*CHANGE, "hold", moment)
    return Passed(recent=pl.concat([old.recent, counted.with_columns(moment)]), released=pl.concat([pending, released]))


def as_snapshot(served: Roster, reading: Snapshot) -> Snapshot:
    """The served roster as a snapshot, with findings and credentials of the reading; that itself when it is served."""
    if served is reading.roster:
        return reading
    counts = {**reading.counts, **served.counts()}
    return replace(reading, digest=digest(served.tables()), roster=served, counts=counts)

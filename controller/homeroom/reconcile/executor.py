"""The only place that changes anything in a target or on a chat server.

Per batch: an intent row, the external write, an outcome row. Between batches it looks whether it should go on. A crash
anywhere is repaired by the next run, which reads the target first: every change is idempotent there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol

import polars as pl
import structlog

from homeroom.errors import TerminalError, TransientError
from homeroom.plan import IDENTITY, Cause, Change, Kind, Op, Outcome, Plan, Result, changes
from homeroom.reconcile.ports import Clock, Metrics
from homeroom.store import Store

log = structlog.get_logger()

BATCH_SIZES: Final = {Kind.SCHOOL: 1, Kind.PERSON: 100, Kind.CLASS: 50, Kind.MEMBERSHIP: 500, Kind.RIGHT: 100}
"""Changes per batch: some seconds of work each, so that a stop never waits long and a crash never leaves much open."""

CHAT_SIZES: Final = {Kind.CHAT: 20, Kind.MEMBERSHIP: 150, Kind.RIGHT: 100}
"""The same on a chat server, where every change is a call or several."""

LONGEST_RUN: Final = timedelta(minutes=10)
"""After this a run ends and plans again: what it knows about the target has become old."""


class Hands(Protocol):
    """Whatever carries out batches: a learning app (`homeroom.targets.Target`), a chat server."""

    async def apply(self, batch: Sequence[Change], /) -> Sequence[Outcome]:
        """One outcome per change, in order. Raises TransientError, TerminalError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of a plan.

    `undone`: the rows of the plan that were not applied, columns `IDENTITY`. `stopped`: why it ended before its end, in
    words, or None. `broken`: the error that ended it, if one did. `failed_schools`: where something was refused.
    `parked`: accounts that can come in nowhere now, which is no failure of the run.
    """

    applied: int
    failed: int
    undone: pl.DataFrame
    stopped: str | None
    broken: TransientError | None
    errors: tuple[str, ...]
    failed_schools: frozenset[str]
    parked: frozenset[str] = frozenset()

    def made(self, plan: Plan) -> pl.DataFrame:
        """What of the plan was applied: columns `homeroom.plan.CHANGE_SCHEMA`."""
        return changes(plan.changes).join(self.undone, on=list(IDENTITY), how="anti", nulls_equal=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """Applies plans of one root in one run; the fields are what the journal says of every change.

    `app`: as in `homeroom.store.journal_name`. `sizes`: changes per batch.
    """

    store: Store
    clock: Clock
    namespace: str
    app: str
    run: str
    generation: int
    revision: str
    epoch: int
    count: Callable[[Kind, Op, Result, int], None]
    sizes: Mapping[Kind, int] = field(default_factory=lambda: BATCH_SIZES)

    async def apply(
        self,
        plan: Plan,
        target: Hands,
        *,
        interrupted: Callable[[], str | None],
        progress: Callable[[str], Awaitable[None]],
    ) -> Applied:
        """Apply `plan` in its order. One bad change, or one bad school, never stops the others (invariant 13)."""
        total, digest = plan.changes.height, plan.digest()
        until = self.clock.monotonic() + LONGEST_RUN.total_seconds()
        done: list[int] = []
        errors: dict[str, None] = {}
        lost: set[str] = set()
        failed_schools: set[str] = set()
        late: set[str] = set()  # who did not get what was to come
        parked: set[str] = set()
        failed = 0
        stopped: str | None = None
        broken: TransientError | None = None
        for whole in plan.batches(self.sizes):
            # Whoever moves keeps the old place until there is a new one.
            batch = [one for one in whole if one.cause is not Cause.MOVED or one.key not in late]
            batch = [one for one in batch if one.op is not Op.CREATE or one.key not in parked]
            if not batch or batch[0].school in lost:
                late |= {one.key for one in whole}
                continue
            stopped = interrupted() or ("ten minutes are over" if self.clock.monotonic() > until else None)
            if stopped is not None:
                break
            await progress(f"applying: {len(done)} of {total} changes done")
            try:
                outcomes = await self._one(batch, target, digest)
            except TransientError as error:
                broken, stopped = error, error.message
                break
            except TerminalError as error:
                # The target refuses everything in this school: leave it alone for this run, go on with the others.
                log.warning("school refused", namespace=self.namespace, app=self.app, reason=error.reason)
                errors.setdefault(error.message)
                lost.add(batch[0].school)
                late |= {one.key for one in batch}
                failed += len(batch)
                continue
            done += [outcome.seq for outcome in outcomes if outcome.result is Result.APPLIED]
            for change, outcome in zip(batch, outcomes, strict=True):
                if outcome.result is Result.PARKED:
                    parked.add(change.key)
                    late.add(change.key)
                elif outcome.result is not Result.APPLIED:
                    failed += 1
                    failed_schools.add(change.school)
                    late.add(change.key)
                    errors.setdefault(outcome.error or "unknown")
        rest = plan.changes.with_row_index("seq").filter(~pl.col("seq").is_in(done))
        return Applied(
            applied=len(done),
            failed=failed,
            undone=rest.select(pl.col(column).cast(pl.String) for column in IDENTITY),
            stopped=stopped,
            broken=broken,
            errors=tuple(errors),
            failed_schools=frozenset(failed_schools | lost),
            parked=frozenset(parked),
        )

    async def _one(self, batch: Sequence[Change], target: Hands, plan: str) -> Sequence[Outcome]:
        """Intent, write, outcome. A crash in between shows as a batch without a conclusion."""
        identifier = await asyncio.to_thread(
            self.store.intend,
            batch,
            namespace=self.namespace,
            app=self.app,
            run=self.run,
            generation=self.generation,
            revision=self.revision,
            plan=plan,
            at=self.clock.now(),
            epoch=self.epoch,
        )
        outcomes = await target.apply(batch)
        await asyncio.to_thread(
            self.store.conclude,
            identifier,
            batch,
            outcomes,
            namespace=self.namespace,
            app=self.app,
            at=self.clock.now(),
            epoch=self.epoch,
        )
        for result in Result:
            n = sum(outcome.result is result for outcome in outcomes)
            if n:
                self.count(batch[0].kind, batch[0].op, result, n)
        return outcomes


def count_planned(metrics: Metrics, plan: Plan) -> None:
    """Count what is to be made."""
    for (kind, _op), number in plan.count().items():
        metrics.operations(kind.value.lower(), planned=number)


def counting(metrics: Metrics) -> Callable[[Kind, Op, Result, int], None]:
    """Counts what was made, or not."""

    def count(kind: Kind, _op: Op, result: Result, number: int) -> None:
        done = number if result is Result.APPLIED else 0
        failed = 0 if result is Result.PARKED else number - done
        metrics.operations(kind.value.lower(), applied=done, failed=failed)

    return count

"""The shell around every run of a root: everything that all roots do alike, so that a root holds only its own work.

::

    key -> all kinds listed? -> object there? -> valid? -> deleted? -> suspended? -> root.reconcile(run) -> Report
                                                                                            |
                      one status write, one row in the store, Verdict for the queue  <------+-- errors: conditions

Neighbours: `ports` (the outside), `district`, `learningapp`, `school` (the roots), `homeroom.api.conditions` (states).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final, Generic, Protocol, TypeVar

import structlog

from homeroom.api import FINALIZER, Reason, Resource, RootStatus, conditions, parse
from homeroom.errors import HomeroomError, InvalidSpecError, TerminalError, TransientError
from homeroom.reconcile.ports import Clock, Cluster, Key, Object, Verdict
from homeroom.store import LostLeadershipError, RunRow, Store

log = structlog.get_logger()

R = TypeVar("R", bound=Resource)
S = TypeVar("S", bound=RootStatus)

PATIENCE: Final = timedelta(minutes=10)
"""After an error that trying again does not mend, the next look. Not for ever: a Secret may have been mended, and no
event tells us. Also how long a deletion waits for a target that cannot be reached before it leaves everything there."""

PROGRESS_INTERVAL: Final = timedelta(seconds=10)
"""At most one status write in this time says how far a run is."""


class Ending(StrEnum):
    """How a run ended that raised no error."""

    DONE = "Done"
    STALLED = "Stalled"  # a person is needed; routine runs go on
    RETRY = "Retry"  # some of it failed; come back soon
    UNFINISHED = "Unfinished"  # there is more to do; come back at once, or after `again`


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Generic[S]):
    """What a run found out. `status` has the root's own fields; the shell adds conditions and what was handled.

    `again`: time until the next routine run. `told_at`: when a target told of the use of its accounts. `supplements`:
    of a District, when each was read (`RunRow`); None: as before. `wakes`: roots that read what this run leaves in the
    store; they are enqueued when it is there.
    """

    status: S
    message: str
    reason: Reason = Reason.SUCCEEDED
    ending: Ending = Ending.DONE
    again: timedelta | None = None
    read_at: datetime | None = None
    told_at: datetime | None = None
    summary: Mapping[str, int] = field(default_factory=dict)
    schools: Mapping[str, object] = field(default_factory=dict)
    supplements: Mapping[str, Mapping[str, str]] | None = None
    wakes: Sequence[Key] = ()


@dataclass(slots=True, kw_only=True)
class Run(Generic[R]):
    """One run of one root. `full`: trust no cache of source or target. `last`: how the run before went."""

    key: Key
    obj: Object
    resource: R
    cluster: Cluster
    clock: Clock
    started: datetime
    full: bool
    fresh: bool  # a new generation or a request: somebody waits for this run
    last: RunRow | None
    _shown: datetime | None = None

    async def progress(self, message: str) -> None:
        """Show that work is under way; writes at most every `PROGRESS_INTERVAL`."""
        now = self.clock.now()
        if self._shown is not None and now - self._shown < PROGRESS_INTERVAL:
            return
        self._shown = now
        status = conditions.working(
            _status_of(self.obj, self.resource), generation=self.resource.metadata.generation, message=message, now=now
        )
        await self.cluster.write_status(self._newest(), status.document())

    def interrupted(self) -> str | None:
        """Why the run should end after the batch at hand: None, or words for the log."""
        if self.cluster.stopping():
            return "the operator is stopping"
        now = self.cluster.get(self.key)
        if now is None or now["metadata"].get("uid") != self.obj["metadata"].get("uid"):
            return "the resource is gone"
        if now["metadata"].get("deletionTimestamp") != self.obj["metadata"].get("deletionTimestamp"):
            return "the resource is being deleted"
        if now["metadata"].get("generation") != self.obj["metadata"].get("generation"):
            return "the resource has changed"
        return None

    def _newest(self) -> Object:
        """The object as it is now, if it is still the same one: status writes go on top of the latest version."""
        now = self.cluster.get(self.key)
        return now if now is not None and now["metadata"].get("uid") == self.obj["metadata"].get("uid") else self.obj


class Root(Protocol[R, S]):
    """A kind that is reconciled by itself."""

    rests: ClassVar[bool]
    """Whether nothing at all is to be done for a suspended resource."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Kinds that a run reads: it does not start before all of them are listed (invariant 2)."""

    async def reconcile(self, run: Run[R]) -> Report[S]:
        """Gather, decide, apply. Raises errors of `homeroom.errors`; everything else is a bug."""

    async def absent(self, key: Key, cluster: Cluster) -> None:
        """There is no such object: tell the children that name it."""

    def needs_cleanup(self, resource: R) -> bool:
        """Whether deletion has work to do outside."""

    async def cleanup(self, run: Run[R]) -> None:
        """Do that work; raises when it could not be done."""


class Shell(Generic[R, S]):
    """Runs one kind of root; an instance is the `Handler` of its kind."""

    def __init__(self, root: Root[R, S], *, cluster: Cluster, store: Store, clock: Clock) -> None:
        self._root = root
        self._cluster = cluster
        self._store = store
        self._clock = clock

    async def __call__(self, key: Key) -> Verdict:
        """Run the root with this key once."""
        unlisted = self._cluster.unlisted((key.kind, *self._root.reads))
        obj = self._cluster.get(key)
        if unlisted and (obj is None or self._cluster.being_listed(unlisted)):
            return Verdict(again=PATIENCE.total_seconds())  # what a status says stands until a run can know better
        if obj is None:
            await self._root.absent(key, self._cluster)
            return Verdict()
        now = self._clock.now()
        try:
            resource = parse(obj)
        except InvalidSpecError as error:
            return await self._invalid(key, obj, error, now)
        last = await asyncio.to_thread(self._store.run, kind=key.kind, namespace=key.namespace, name=key.name)
        meta, status = resource.metadata, _status_of(obj, resource)
        full = meta.full_reconcile_at is not None and meta.full_reconcile_at != status.last_handled_full_reconcile_at
        asked = meta.reconcile_at is not None and meta.reconcile_at != status.last_handled_reconcile_at
        run: Run[R] = Run(
            key=key,
            obj=obj,
            resource=resource,  # type: ignore[arg-type]  # the registry makes handlers by kind, so this is an R
            cluster=self._cluster,
            clock=self._clock,
            started=now,
            full=full,
            fresh=full or asked or status.observed_generation != meta.generation,
            last=last,
        )
        if unlisted:
            words = ", ".join(sorted(unlisted))
            return await self._finish(
                run,
                TransientError(
                    f"cannot read {words}: not served, not permitted or not completely listed yet; nothing is done",
                    reason=Reason.KIND_NOT_SERVED,
                ),
            )
        if meta.deletion_timestamp is not None:
            return await self._delete(run, meta.deletion_timestamp)
        if self._root.rests and getattr(
            run.resource.spec, "suspend", False
        ):  # School has none: nobody writes it but us
            return await self._finish(run, None)
        needs = self._root.needs_cleanup(run.resource)
        if needs != (FINALIZER in meta.finalizers):
            await self._cluster.set_finalizer(obj, present=needs)
            run.obj = run._newest()  # noqa: SLF001 - the shell and its run are one
        # Not once more by each try of what has been told to fail: nothing moves in a status that says the same again.
        if asked or (run.fresh and not conditions.is_told(status, generation=meta.generation)):
            await run.progress("a run is under way")
        return await self._finish(run, await self._attempt(run))

    async def _attempt(self, run: Run[R]) -> Report[S] | HomeroomError:
        try:
            return await self._root.reconcile(run)
        except LostLeadershipError:
            raise
        except HomeroomError as error:
            return error

    async def _invalid(self, key: Key, obj: Object, error: InvalidSpecError, now: datetime) -> Verdict:
        """An object that admission would refuse today (an older CRD, ratcheting): say so, touch nothing else."""
        status = conditions.failed(
            _raw_status(obj),
            generation=obj["metadata"].get("generation", 0),
            reason=Reason.INVALID_SPEC,
            message=error.message,
            now=now,
        )
        await self._cluster.write_status(obj, status.document())
        log.info("invalid resource", key=str(key), reason=error.reason)
        return Verdict()

    async def _delete(self, run: Run[R], since: datetime) -> Verdict:
        """Clean up outside, if there is anything to do, and let the object go; never stand in the way for ever."""
        if FINALIZER not in run.resource.metadata.finalizers:
            return Verdict()
        try:
            await self._root.cleanup(run)
        except HomeroomError as error:
            if run.clock.now() - since < PATIENCE:
                status = conditions.deleting(
                    _status_of(run.obj, run.resource),
                    generation=run.resource.metadata.generation,
                    message=f"clean-up failed and is tried again: {error.message}",
                    now=run.clock.now(),
                )
                await run.cluster.write_status(run.obj, status.document())
                return Verdict(failed=True, retry_after=_retry_after(error))
            run.cluster.event(
                run.obj,
                warning=True,
                reason="Orphaned",
                message=f"clean-up was not possible for ten minutes, everything is left as it is: {error.message}",
            )
        await run.cluster.set_finalizer(run.obj, present=False)
        return Verdict()

    async def _finish(self, run: Run[R], result: Report[S] | HomeroomError | None) -> Verdict:
        """Turn what came of the run into one status write, one row in the store and a verdict. None: suspended."""
        now = run.clock.now()
        meta, old = run.resource.metadata, _status_of(run.obj, run.resource)
        generation = meta.generation
        new: RootStatus
        if result is None:
            verdict = Verdict()
            new = conditions.suspended(old, generation=generation, now=now)
            reason, message = Reason.SUSPENDED, "suspended"
        elif isinstance(result, Report):
            reason, message = result.reason, result.message
            again = result.again.total_seconds() if result.again is not None else None
            unfinished = result.ending is Ending.UNFINISHED
            verdict = Verdict(again=(again or 0) if unfinished else again, failed=result.ending is Ending.RETRY)
            new = _in_state(result, generation=generation, now=now)
        else:
            reason, message = Reason.of(result.reason), result.message
            if isinstance(result, TerminalError):
                verdict = Verdict(again=PATIENCE.total_seconds())
                new = conditions.failed(old, generation=generation, reason=reason, message=message, now=now)
            else:
                verdict = Verdict(failed=True, retry_after=_retry_after(result))
                new = conditions.failed_retrying(old, generation=generation, reason=reason, message=message, now=now)
            log.warning("run failed", key=str(run.key), reason=reason.value, message=message)
        # A run that failed was not full: what it asked for is done by the next one.
        full = meta.full_reconcile_at if isinstance(result, Report) else None
        new = new.model_copy(
            update={
                "last_handled_reconcile_at": meta.reconcile_at or old.last_handled_reconcile_at,
                "last_handled_full_reconcile_at": full or old.last_handled_full_reconcile_at,
            }
        )
        await self._write(run, old, new, now)
        if reason in _NOTABLE:
            run.cluster.event(run.obj, warning=True, reason=reason.value, message=message)
        await self._record(run, result, reason=reason, message=message, verdict=verdict, now=now)
        for key in result.wakes if isinstance(result, Report) else ():
            run.cluster.enqueue(key)
        return verdict

    async def _write(self, run: Run[R], old: RootStatus, new: RootStatus, now: datetime) -> None:
        """Write the status if it says anything new; a run on an older generation leaves the word to the next one."""
        newest = run._newest()  # noqa: SLF001 - the shell and its run are one
        if newest["metadata"].get("generation") != run.resource.metadata.generation:
            return
        if "last_change_time" in type(new).model_fields:
            same = new.model_copy(update={"last_change_time": None}) == old.model_copy(
                update={"last_change_time": None}
            )
            moment = getattr(old, "last_change_time", None) if same else now
            new = new.model_copy(update={"last_change_time": moment})
        await run.cluster.write_status(newest, new.document())

    async def _record(
        self,
        run: Run[R],
        result: Report[S] | HomeroomError | None,
        *,
        reason: Reason,
        message: str,
        verdict: Verdict,
        now: datetime,
    ) -> None:
        last = run.last
        report = result if isinstance(result, Report) else None
        row = RunRow(
            started_at=run.started,
            ended_at=now,
            next_at=now + timedelta(seconds=verdict.again) if verdict.again is not None else None,
            read_at=report.read_at if report and report.read_at else (last.read_at if last else None),
            told_at=report.told_at if report else None,
            reason=reason.value,
            message=message,
            summary=report.summary if report else (last.summary if last else {}),
            schools=report.schools if report else (last.schools if last else {}),
            supplements=report.supplements
            if report and report.supplements is not None
            else (last.supplements if last else {}),
        )
        await asyncio.to_thread(
            self._store.save_run,
            row,
            kind=run.key.kind,
            namespace=run.key.namespace,
            name=run.key.name,
            epoch=self._cluster.epoch,
        )


def _in_state(report: Report[S], *, generation: int, now: datetime) -> RootStatus:
    """The reported status with the conditions that its ending means."""
    status, reason, message = report.status, report.reason, report.message
    match report.ending:
        case Ending.DONE:
            return conditions.done(status, generation=generation, reason=reason, message=message, now=now)
        case Ending.STALLED:
            return conditions.failed(status, generation=generation, reason=reason, message=message, now=now)
        case Ending.RETRY:
            return conditions.failed_retrying(status, generation=generation, reason=reason, message=message, now=now)
        case Ending.UNFINISHED:
            return conditions.working(status, generation=generation, reason=reason, message=message, now=now)


_NOTABLE: Final = frozenset(
    {
        Reason.SOURCE_INCOMPLETE,
        Reason.SOURCE_INVALID,
        Reason.DELTA_NOT_SUPPORTED,
        Reason.OWNED_ELSEWHERE,
        Reason.HELD_FOR_APPROVAL,
        Reason.BASELINE_LOST,
        Reason.BASELINE_BROKEN,
        Reason.CREDENTIALS_INVALID,
        Reason.KIND_NOT_SERVED,
        Reason.OVER_ALLOCATED,
        Reason.POOL_EXPIRED,
    }
)
"""Reasons that also make an event: somebody should look."""


def _retry_after(error: HomeroomError) -> float | None:
    return error.retry_after if isinstance(error, TransientError) else None


def _status_of(obj: Object, resource: Resource) -> RootStatus:
    """The status as read, with the conditions of all owners."""
    status = resource.status
    assert isinstance(status, RootStatus), f"{obj['kind']} is no root"
    return status


def _raw_status(obj: Object) -> RootStatus:
    """What can be kept of the status of an object whose spec does not parse: its generation and conditions."""
    status = obj.get("status") or {}
    return RootStatus.model_validate(
        {
            "observedGeneration": status.get("observedGeneration", -1),
            "conditions": status.get("conditions", []),
        }
    )

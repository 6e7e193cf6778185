"""The work queue: which root runs next.

`Schedule` decides and is pure: times and chance come in, so that its promises can be tested as properties. `WorkQueue`
turns its decisions into tasks on our event loop. Keys come from `runtime`, which asks the routes; handlers answer with
a `Verdict`, which says when the key comes back.

What it promises: a key waits once, however often it was added, and runs once at a time; added while running, it runs
again afterwards, once it has rested for as long as it ran, a second at most; an earlier wish beats a later one; tenants
(namespaces) take turns, and none has more than half of the workers.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import structlog

from homeroom.errors import TransientError
from homeroom.reconcile.ports import Clock, Handler, Key, Verdict
from homeroom.store import LostLeadershipError

_log = structlog.get_logger(__name__)

MOST_REST: Final = 1.0
"""Seconds that a key rests which was added while it ran. Where thousands of licences pour into a pool each run looks at
all of them: half as many runs do the same work, and nobody waits noticeably longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long a failed key waits: `base` seconds, doubled per failure up to `cap`, less up to half by chance."""

    base: float
    cap: float

    def seconds(self, *, failures: int, chance: float) -> float:
        """The wait after so many failures in a row; `chance` is from 0 up to 1."""
        return float(min(self.cap, self.base * 2 ** min(failures - 1, 32)) * (1 - chance / 2))


@dataclass(slots=True)
class _Entry:
    """What is known about a key that waits, is ready or runs; a key without one is at rest."""

    due: float | None = None
    ready: bool = False
    running: bool = False
    failures: int = 0


class Schedule:
    """Which key runs next. `chance` gives numbers from 0 up to 1; times are seconds of a clock that never jumps."""

    def __init__(self, *, tenant_limit: int, backoff: Backoff, chance: Callable[[], float]) -> None:
        self._tenant_limit = tenant_limit
        self._backoff = backoff
        self._chance = chance
        self._entries: dict[Key, _Entry] = {}
        self._timers: list[tuple[float, int, Key]] = []
        self._order = itertools.count()
        self._ready: dict[str, deque[Key]] = {}
        """The ready keys of each tenant that has some; the order of the tenants is their order of turn."""
        self._running: Counter[str] = Counter()

    def add(self, key: Key, *, now: float, after: float = 0) -> None:
        """Ask for a run in `after` seconds; an earlier wish that is already there stays."""
        entry = self._entries.setdefault(key, _Entry())
        due = now + after
        if entry.ready or (entry.due is not None and entry.due <= due):
            return
        entry.due = due
        if not entry.running:
            self._start_timer(key, due)

    def take(self, *, now: float) -> Key | None:
        """The key to run now, or None when none is due or every tenant with due keys runs as many as it may."""
        self._promote(now)
        for tenant, keys in self._ready.items():
            if self._running[tenant] >= self._tenant_limit:
                continue
            key = keys.popleft()
            del self._ready[tenant]
            if keys:
                self._ready[tenant] = keys  # its next turn comes after everybody else's
            entry = self._entries[key]
            entry.ready, entry.running = False, True
            self._running[tenant] += 1
            return key
        return None

    def done(self, key: Key, verdict: Verdict, *, now: float, took: float = 0) -> None:
        """The run of a key that was taken has ended, after so many seconds."""
        entry = self._entries[key]
        entry.running = False
        self._running[key.namespace] -= 1
        if entry.due is not None:
            entry.due = max(entry.due, now + min(took, MOST_REST))
        wait = verdict.again
        if wait is not None:
            wait *= 0.9 + 0.2 * self._chance()
        if verdict.failed:
            entry.failures += 1
            wait = self._backoff.seconds(failures=entry.failures, chance=self._chance())
            if verdict.retry_after is not None:
                wait = max(wait, verdict.retry_after * (1 + 0.1 * self._chance()))
        else:
            entry.failures = 0
        if wait is not None and (entry.due is None or now + wait < entry.due):
            entry.due = now + wait
        if entry.due is None:
            del self._entries[key]
        else:
            self._start_timer(key, entry.due)

    def next_due(self) -> float | None:
        """When the next waiting key becomes due; None when none waits."""
        while self._timers and not self._is_valid(*self._timers[0]):
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def depth(self, *, now: float) -> dict[str, int]:
        """How many keys are `ready`, `running` and `waiting`."""
        self._promote(now)
        ready = sum(map(len, self._ready.values()))
        running = self._running.total()
        waiting = sum(not entry.ready and not entry.running for entry in self._entries.values())
        return {"ready": ready, "running": running, "waiting": waiting}

    def _promote(self, now: float) -> None:
        """Make what is due ready."""
        while (due := self.next_due()) is not None and due <= now:
            _, _, key = heapq.heappop(self._timers)
            entry = self._entries[key]
            entry.ready, entry.due = True, None
            self._ready.setdefault(key.namespace, deque()).append(key)

    def _start_timer(self, key: Key, due: float) -> None:
        heapq.heappush(self._timers, (due, next(self._order), key))

    def _is_valid(self, due: float, _order: int, key: Key) -> bool:
        """Whether a timer still stands: an earlier wish, or a run in between, leaves older ones behind."""
        entry = self._entries.get(key)
        return entry is not None and entry.due == due and not entry.running


class Observer(Protocol):
    """Who wants to know how runs ended; see `metrics`."""

    def reconciled(self, key: Key, *, outcome: str, seconds: float, at: datetime) -> None:
        """A run took so long and ended then as `succeeded`, `failed` or `crashed`."""


class WorkQueue:
    """Runs what `Schedule` says, at most `workers` keys at a time, from `run` until `drain`."""

    def __init__(self, schedule: Schedule, *, handler: Handler, workers: int, clock: Clock, observer: Observer) -> None:
        self._schedule = schedule
        self._handler = handler
        self._workers = workers
        self._clock = clock
        self._observer = observer
        self._wake = asyncio.Event()
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, key: Key, *, after: float = 0) -> None:
        """Ask for a run in `after` seconds."""
        self._schedule.add(key, now=self._clock.monotonic(), after=after)
        self._wake.set()

    def depth(self) -> dict[str, int]:
        """How many keys are `ready`, `running` and `waiting`."""
        return self._schedule.depth(now=self._clock.monotonic())

    async def run(self) -> None:
        """Hand out keys until `drain`."""
        while not self._closed:
            self._wake.clear()
            while len(self._tasks) < self._workers and (key := self._schedule.take(now=self._clock.monotonic())):
                task = asyncio.create_task(self._run_one(key), name=str(key))
                self._tasks.add(task)
                task.add_done_callback(self._ended)
            due = self._schedule.next_due() if len(self._tasks) < self._workers else None
            timeout = None if due is None else max(0.0, due - self._clock.monotonic())
            try:
                await asyncio.wait_for(self._wake.wait(), timeout)
            except TimeoutError:
                continue

    async def drain(self, *, seconds: float) -> bool:
        """Hand out no more keys, and wait for those that run; whether all ended in time (the others are cancelled)."""
        self._closed = True
        self._wake.set()
        if not self._tasks:
            return True
        _, late = await asyncio.wait(self._tasks, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return not late

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()

    async def _run_one(self, key: Key) -> None:
        started = self._clock.monotonic()
        verdict, outcome = Verdict(failed=True), "crashed"
        with structlog.contextvars.bound_contextvars(key=str(key)):
            try:
                verdict = await self._handler(key)
                outcome = "failed" if verdict.failed else "succeeded"
            except TransientError as error:  # what a run could not even say, because the API server was away
                verdict, outcome = Verdict(failed=True, retry_after=error.retry_after), "failed"
                _log.warning("a run broke off and is tried again", reason=error.reason, message=error.message)
            except LostLeadershipError as error:  # the process is about to end
                outcome = "failed"
                _log.warning("stopped writing", reason=error.reason)
            except Exception:  # noqa: BLE001 - a bug in one handler must not end the others' runs; it is logged, and backs off
                _log.exception("a run crashed; this is a bug in Homeroom, please report it")
            finally:
                now = self._clock.monotonic()
                self._schedule.done(key, verdict, now=now, took=now - started)
                self._observer.reconciled(key, outcome=outcome, seconds=now - started, at=self._clock.now())

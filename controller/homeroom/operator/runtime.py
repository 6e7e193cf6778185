"""Everything of the operator put together, started and stopped in order.

`main` is the entry point of the process. It starts: logs, probes, API, Lease, the reconcilers (`build`), watches,
complete lists, queue. And stops in the order in which nothing is lost: no new runs, those under way finish their
batch, journal and status, then Events, reconcilers, Lease, watches. What cannot be stopped in peace (a lost Lease, a
dead watch, a crash) ends the process with exit code 1, at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import random
import signal
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from homeroom.api import KINDS
from homeroom.errors import HomeroomError
from homeroom.operator import health, logs
from homeroom.operator.api import Api, log_in
from homeroom.operator.cache import Cache
from homeroom.operator.cluster import KubeCluster
from homeroom.operator.events import Events
from homeroom.operator.kinds import Kinds
from homeroom.operator.lease import Lease, LeaseTimes, epoch_at
from homeroom.operator.metrics import Metrics
from homeroom.operator.queue import Backoff, Schedule, WorkQueue
from homeroom.operator.watch import SERVER_SECONDS, Watch
from homeroom.reconcile.ports import Clock, Cluster, Handler, Key, Object, Routes, Verdict, key_of
from homeroom.reconcile.ports import Metrics as MetricsPort

_log = structlog.get_logger(__name__)

_SPREAD_SECONDS = 0.02
"""At start each root takes so much of `startup_spread`."""
_CLOSING_SECONDS = 30.0
"""How often to look whether a namespace that is being deleted is there anew."""
_FLUSH_SECONDS = 3.0
_WATCH_STOP_SECONDS = 10.0
_HASTE_SECONDS = 1.0
"""How long the watch may take to stop when the process has to end at once; nothing is lost if it does not."""
_HEARTBEAT_SECONDS = 30.0
_SILENCE_SECONDS = 180.0
"""By how much a watch may be late with its next request: kopf waits for answers, and after refusals."""
_LOOK_SECONDS = 180.0
"""How long one look at all kinds may take while the API server hardly answers."""
_M_MMAP_THRESHOLD = -3  # malloc.h of glibc
_LARGE_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the operator runs. Times are seconds."""

    owner_id: str
    """Who we are in the targets' ownership marks; required, and the same for ever, also in a new cluster."""

    namespace: str = "homeroom-system"
    """Where the Lease lies: the operator's own namespace."""

    lease: str | None = "homeroom"
    """Name of the Lease; None runs without one (one process only, as in the demo)."""

    lease_times: LeaseTimes = field(default_factory=LeaseTimes)
    """Durations of the Lease; the defaults of Kubernetes' own controllers."""

    argocd_namespace: str = "argocd"
    """Where Argo CD's own Applications lie: they may tell the Git revision of a change, see `gitops`."""

    host: str = "0.0.0.0"  # noqa: S104 - the kubelet and Prometheus come from outside the pod
    """Address on which probes and metrics are served."""

    port: int = 8080
    """Port for probes and metrics; 0 takes a free one, and the log tells which."""

    workers: int = 8
    """Runs at the same time. Most of a run is waiting for others; a tenant gets at most half of them."""

    backoff: Backoff = field(default_factory=lambda: Backoff(base=2.0, cap=300.0))
    """Wait after a failed run: doubled from `base` to `cap`. Five minutes are what a repaired target waits at most."""

    startup_spread: float = 15.0
    """At start all roots run; they begin within so many seconds (fewer when they are few), not all at once."""

    probe_interval: float = 10.0
    """How often each kind is checked to be served and complete. Also how long a missing permission may go unseen."""

    settle: float = 30.0
    """How long the start waits for the first complete lists; then roots run whose kinds are listed."""

    request_timeout: float = 15.0
    """For one request to the API server."""

    drain: float = 30.0
    """How long runs under way may take to finish their batch at shutdown. Keep it, plus 20 s for all the rest, below
    the pod's `terminationGracePeriodSeconds`."""

    log_level: str = "info"
    """From which level on to log: debug, info, warning, error."""


class Listening(Protocol):
    """What hears of changes outside that no watch tells; see `homeroom.reconcile.listening`."""

    async def run(self) -> None:
        """Listen until `stop`; what is under way then is brought to an end."""

    def stop(self) -> None:
        """Listen no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconcilers:
    """What the loop consists of, made by `Build`."""

    handlers: Mapping[str, Handler]
    """For each root kind, what runs it."""

    problems: Callable[[], Awaitable[Sequence[str]]]
    """What keeps the reconcilers from working (the store cannot be reached), for `/readyz`."""

    listening: Listening | None = None
    """Runs beside the queue."""


Build = Callable[[Cluster, Clock, MetricsPort], AbstractAsyncContextManager[Reconcilers]]
"""Makes the reconcilers for the time of a leadership, and closes what they hold."""


class SystemClock:
    """The real time."""

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()


class ShutdownError(HomeroomError):
    """The process had to stop without finishing what it did."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="Shutdown")


def main(settings: Settings, *, build: Build, routes: Routes) -> int:
    """Run the operator until SIGTERM or SIGINT; gives exit code 0. After any error, ends the process with code 1."""
    logs.configure(level=settings.log_level)
    give_large_memory_back()
    runner = asyncio.Runner()
    try:
        runner.run(run(settings, build=build, routes=routes))
    except Exception as error:  # noqa: BLE001 - the end of the line: it is logged, and the process ends
        if isinstance(error, HomeroomError):
            _log.error("the operator ends", error=error.message)
        else:
            _log.exception("the operator ends because of an error")
        # Without waiting for threads and tasks: they may be busy with what we no longer may do.
        sys.stderr.flush()
        os._exit(1)
    runner.close()
    return 0


def give_large_memory_back() -> None:
    """Have glibc give back all large pieces of memory when they are free, at once.

    It takes them from the system one by one, but only from a size on that it raises by itself, up to 32 MB, when it
    sees large ones come and go. Smaller ones it keeps: after a district of 100,000 students 110 MB, until the process
    ends. Told a size it stays with it; this is the one that it starts with. Elsewhere than on glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


async def run(settings: Settings, *, build: Build, routes: Routes, clock: Clock | None = None) -> None:
    """Run the operator until SIGTERM or SIGINT. Raises LeaseLostError, WatchDiedError or ShutdownError."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    try:
        await Operator(settings, build=build, routes=routes, clock=clock or SystemClock(), stop=stop).run()
    finally:
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(sign)


@dataclass(frozen=True, slots=True)
class _Leading:
    """What exists only while we lead."""

    cache: Cache
    kinds: Kinds
    watch: Watch
    queue: WorkQueue
    events: Events
    cluster: KubeCluster
    reconcilers: Reconcilers


class Operator:
    """One process. It ends when `stop` is set, or by an error."""

    def __init__(self, settings: Settings, *, build: Build, routes: Routes, clock: Clock, stop: asyncio.Event) -> None:
        self.port: int | None = None
        """Where probes and metrics are served, once they are."""
        self._settings = settings
        self._build = build
        self._routes = routes
        self._clock = clock
        self._stop = stop
        self._metrics = Metrics()
        self._identity = f"{socket.gethostname()[:80]}_{uuid.uuid4().hex}"
        self._vital: dict[str, asyncio.Task[None]] = {}
        """Tasks of which none may end before we want it to."""
        self._stopping = False
        self._lease: Lease | None = None
        self._leading: _Leading | None = None
        self._early: set[Key] | None = set()
        """Roots to run as soon as the queue has started; None once it has."""

    async def run(self) -> None:
        """Lead and work, until told to stop. Raises LeaseLostError, WatchDiedError, ShutdownError."""
        async with contextlib.AsyncExitStack() as stack:
            self.port = await stack.enter_async_context(
                health.served(
                    host=self._settings.host,
                    port=self._settings.port,
                    live=self._live_problems,
                    ready=self._ready_problems,
                    metrics=self._collect,
                )
            )
            _log.info("probes and metrics are served", port=self.port, owner=self._settings.owner_id)
            api = await stack.enter_async_context(
                Api(
                    log_in_again=log_in,
                    request_timeout=self._settings.request_timeout,
                    clock=self._clock,
                    observer=self._metrics,
                )
            )
            stack.push_async_callback(self._end_tasks)
            if not await self._guarded(self._lead(api), or_stop=True):
                return
            try:
                await self._work(api)
            except BaseException:
                await self._stop_watch(seconds=_HASTE_SECONDS)
                raise
            await self._stop_watch(seconds=_WATCH_STOP_SECONDS)
            _log.info("the operator has stopped")

    async def _lead(self, api: Api) -> None:
        """Wait until we lead."""
        if self._settings.lease is None:
            return
        lease = Lease(
            api=api,
            clock=self._clock,
            namespace=self._settings.namespace,
            name=self._settings.lease,
            identity=self._identity,
            times=self._settings.lease_times,
        )
        await lease.acquire()
        self._lease = lease
        self._spawn("lease", lease.keep())

    async def _work(self, api: Api) -> None:
        """Reconcile, until told to stop."""
        async with self._led(api) as leading:
            settled = await self._guarded(self._settle(leading.kinds), or_stop=True)
            if settled:
                self._start_queue(leading.queue)
                if leading.reconcilers.listening is not None:
                    self._spawn("listening", leading.reconcilers.listening.run())
                await self._guarded(asyncio.Event().wait(), or_stop=True)
            _log.info("stopping; runs under way finish what they have begun")
            self._stopping = True
            queue, listening = self._vital.pop("queue", None), self._vital.pop("listening", None)
            if leading.reconcilers.listening is not None:
                leading.reconcilers.listening.stop()
            drained: list[bool] = []

            async def drain() -> None:
                until = self._clock.monotonic() + self._settings.drain
                drained.append(await leading.queue.drain(seconds=self._settings.drain))
                if listening is not None:
                    await asyncio.wait({listening}, timeout=max(0, until - self._clock.monotonic()))
                    drained.append(listening.done())
                    listening.cancel()

            await self._guarded(drain())
            if not all(drained):
                raise ShutdownError(f"runs did not finish within {self._settings.drain:.0f} s and were cut off")
            for ended in (queue, listening):
                if ended is not None:
                    await ended
            with contextlib.suppress(TimeoutError):  # Events are for information only
                async with asyncio.timeout(_FLUSH_SECONDS):
                    await leading.events.flush()
        if self._lease is not None:
            await self._cancel("lease")
            await self._lease.release()

    @asynccontextmanager
    async def _led(self, api: Api) -> AsyncIterator[_Leading]:
        """All that works while we lead: made, started, and cut off at the end if anything still runs."""
        cache = Cache(self._changed)

        def restart_watch() -> None:
            watch.restart()

        kinds = Kinds(
            api=api,
            cache=cache,
            clock=self._clock,
            interval=self._settings.probe_interval,
            on_turn=self._turned,
            on_watch_missing=restart_watch,
        )
        watch = Watch(sink=kinds, log_in_again=log_in, clock=self._clock, observer=self._metrics)
        events = Events(api=api, clock=self._clock, instance=self._identity, observer=self._metrics)
        queue = WorkQueue(
            Schedule(
                tenant_limit=max(1, self._settings.workers // 2), backoff=self._settings.backoff, chance=random.random
            ),
            handler=self._reconcile,
            workers=self._settings.workers,
            clock=self._clock,
            observer=self._metrics,
        )
        cluster = KubeCluster(
            api=api,
            cache=cache,
            kinds=kinds,
            events=events,
            enqueue=queue.add,
            stopping=lambda: self._stopping,
            epoch=epoch_at(self._clock.now()) if self._lease is None else self._lease.epoch,
            argocd_namespace=self._settings.argocd_namespace,
        )
        async with self._build(cluster, self._clock, self._metrics) as reconcilers:
            leading = self._leading = _Leading(cache, kinds, watch, queue, events, cluster, reconcilers)
            watch.start()
            self._spawn("watch", watch.died())
            self._spawn("kinds", kinds.run())
            self._spawn("events", events.run())
            try:
                yield leading
            finally:
                self._stopping = True
                if "listening" in self._vital:
                    await self._cancel("listening")
                await queue.drain(seconds=0)

    async def _settle(self, kinds: Kinds) -> None:
        try:
            async with asyncio.timeout(self._settings.settle):
                await kinds.settled()
        except TimeoutError:
            _log.warning("starting although not all kinds are listed", problems=kinds.problems())

    def _start_queue(self, queue: WorkQueue) -> None:
        """Begin to run roots: those that the first lists brought up are spread over some seconds."""
        early, self._early = self._early or set(), None
        spread = min(self._settings.startup_spread, _SPREAD_SECONDS * len(early))
        for key in early:
            queue.add(key, after=random.random() * spread)  # noqa: S311 - spreads load, nothing secret
        self._spawn("queue", queue.run())
        _log.info("started", roots=len(early))

    def _changed(self, old: Object | None, new: Object | None) -> None:
        """An object came, changed or went: its roots have to run."""
        if new is None and old is not None:
            self._metrics.forget(key_of(old))
        self._enqueue(old, new, spread=0)

    def _turned(self, _kind: str) -> None:
        """A kind became listed, or ceased to be: any root may read it, so all have to look."""
        if self._leading is None:
            return
        for obj in self._objects():
            self._enqueue(None, obj, spread=self._settings.startup_spread)

    def _enqueue(self, old: Object | None, new: Object | None, *, spread: float) -> None:
        if self._leading is None:
            return
        for key in self._routes(self._leading.cluster, old, new):
            if self._early is not None:
                self._early.add(key)
            else:
                self._leading.queue.add(key, after=random.random() * spread)  # noqa: S311 - as above

    async def _reconcile(self, key: Key) -> Verdict:
        """Run one root, unless its namespace is going away around it."""
        if self._leading is None:
            raise AssertionError("roots run only while we lead")
        obj = self._leading.cache.get(key)
        is_cleanup = obj is None or "deletionTimestamp" in obj["metadata"]
        if self._leading.kinds.is_closing(key.namespace) and not is_cleanup and not self._is_waited_for(key):
            return Verdict(again=_CLOSING_SECONDS)
        return await self._leading.reconcilers.handlers[key.kind](key)

    def _is_waited_for(self, key: Key) -> bool:
        """Whether a child in a root's namespace is being deleted, and only a run of the root lets it go."""
        if self._leading is None:
            return False
        children = (obj for kind in KINDS for obj in self._leading.cache.list(kind, key.namespace))
        leaving = (obj for obj in children if {"deletionTimestamp", "finalizers"} <= obj["metadata"].keys())
        return any(key in self._routes(self._leading.cluster, None, obj) for obj in leaving)

    def _objects(self) -> Sequence[Object]:
        return [] if self._leading is None else [obj for kind in KINDS for obj in self._leading.cache.every(kind)]

    def _live_problems(self) -> Sequence[str]:
        """What only a new process mends."""
        problems = []
        age = None if self._lease is None else self._lease.renewal_age()
        if age is not None and age > self._settings.lease_times.duration:
            problems.append(f"lease: not renewed for {age:.0f} s")
        if self._leading is None or self._stopping:
            return problems
        watch, kinds = self._leading.watch, self._leading.kinds
        if not watch.is_alive():
            problems.append("watch: its thread has ended")
        if watch.heartbeat_age() > _HEARTBEAT_SECONDS:
            problems.append(f"watch: its event loop has not turned for {watch.heartbeat_age():.0f} s")
        for kind in kinds.served():
            silence = watch.silence(kind)
            if silence is not None and silence > SERVER_SECONDS + _SILENCE_SECONDS:
                problems.append(f"watch: no request for {kind} for {silence:.0f} s")
        if kinds.age() > self._settings.probe_interval + _LOOK_SECONDS:
            problems.append(f"kinds: not looked at for {kinds.age():.0f} s")
        return problems

    async def _ready_problems(self) -> Sequence[str]:
        """What keeps us from working. Somebody who stands by is ready: it could take over at once."""
        if self._leading is None:
            return []
        if self._early is not None:
            return ["starting: the first lists are not complete"]
        problems = [f"kind {kind}: {problem}" for kind, problem in self._leading.kinds.problems().items()]
        return [*problems, *await self._leading.reconcilers.problems()]

    def _collect(self) -> bytes:
        unlisted = KINDS if self._leading is None else self._leading.kinds.problems()
        return self._metrics.collect(
            objects=self._objects(),
            listed={kind: kind not in unlisted for kind in KINDS},
            queue={} if self._leading is None else self._leading.queue.depth(),
            leading=self._leading is not None,
        )

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._vital[name] = asyncio.create_task(work, name=name)

    async def _stop_watch(self, *, seconds: float) -> None:
        if self._leading is not None:
            await self._cancel("watch")
            await self._leading.watch.stop(seconds=seconds)

    async def _cancel(self, name: str) -> None:
        task = self._vital.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _end_tasks(self) -> None:
        for name in list(self._vital):
            await self._cancel(name)

    async def _guarded(self, work: Coroutine[Any, Any, object], *, or_stop: bool = False) -> bool:
        """Wait for `work`, and give whether it was done; not when `or_stop` and `stop` is set before.

        When a vital task ends meanwhile, its error is raised at once.
        """
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            waiting = {task, stop} if or_stop else {task}
            await asyncio.wait({*waiting, *self._vital.values()}, return_when=asyncio.FIRST_COMPLETED)
            for name, vital in self._vital.items():
                if vital.done():
                    vital.result()
                    raise ShutdownError(f"the task `{name}` has ended; this is a bug in Homeroom, please report it")
            if not task.done():
                return False
            task.result()
            return True
        finally:
            for waiter in (task, stop):
                waiter.cancel()
            await asyncio.gather(task, stop, return_exceptions=True)

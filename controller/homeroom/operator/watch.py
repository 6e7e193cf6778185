"""kopf, which watches for us, in a thread and an event loop of its own.

Its own, because kopf cancels every task of its loop when it stops. Its handlers only hand over what they are given:
`deliver` and `answered` are called on our loop. Everything that kopf would do beyond watching is off: no peering, no
finalizer, no annotation, no events of its own, no daemons, no signals.

Our HTTP session tells us how the API server answers kopf, by which `kinds` knows which watches are open. kopf's
requests are repeated without end, since kopf would otherwise end with all its watches because of one kind that is
forbidden, or that vanishes between two requests. What still ends it starts it anew; what ends it again and again ends
the thread, and that ends the process. It is not trusted to end: see `_end`.
"""

from __future__ import annotations

import asyncio
import threading
import types
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from http import HTTPStatus
from typing import Protocol

import aiohttp
import kopf
import structlog

from homeroom.api import GROUP, KINDS, VERSION
from homeroom.operator.api import CLOSING_SECONDS, session
from homeroom.reconcile.ports import Clock, Object

_log = structlog.get_logger(__name__)

SERVER_SECONDS = 300
"""How long one watch request lasts; then kopf opens the next. So a watch gives a sign of life at least as often."""
_INACTIVITY_SECONDS = 70.0
_REQUEST_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_CHUNK = 100
_HEARTBEAT_SECONDS = 1.0
_RESTART_SECONDS = 1.0
_RELOGIN_SECONDS = 10.0
_TOGETHER_SECONDS = 0.02
"""How long the thread gathers what it has to tell. Each time it does, the two threads wake each other."""
_END_SECONDS = 1.0
"""How long the tasks that kopf leaves behind have for their end, each time they are told."""
_MOST_ENDS = 10
_MOST_FAILURES = 5
_FAILURES_SECONDS = 600.0
"""So many failures of kopf in so many seconds end the thread."""

_PREFIX = f"/apis/{GROUP}/{VERSION}/"
_KIND_OF = types.MappingProxyType({model.plural: kind for kind, model in KINDS.items()})


class WatchDiedError(Exception):
    """kopf's thread has ended and nobody asked for that; a bug of ours or kopf's, so not part of the tree."""


class _Backoffs:
    """Waits between kopf's attempts at one request: growing, then the same for ever."""

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1, 2, 3, 5)
        while True:
            yield 8


class _NoDifferences(kopf.DiffBaseStorage):
    """Remembers nothing of objects: kopf would copy each of them at every event, to compare it for nobody."""

    def build(
        self,
        *,
        body: kopf.Body,  # noqa: ARG002 - kopf's
        extra_fields: Iterable[kopf.FieldSpec] | None = None,  # noqa: ARG002 - kopf's
    ) -> kopf.BodyEssence:
        """What would be compared."""
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002 - kopf's
        """What would have been stored."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Nothing to store."""


class Sink(Protocol):
    """Who takes what the watches tell; see `kinds`."""

    def observe(self, obj: Object) -> None:
        """A version of an object."""

    def deleted(self, obj: Object) -> None:
        """The end of an object."""

    def watch_answered(self, kind: str, *, watching: bool, ok: bool) -> None:
        """The API server has answered the watch of a kind, or its list."""

    def watches_ended(self) -> None:
        """Kopf has stopped, and may start anew."""


class Observer(Protocol):
    """Who counts; see `metrics`."""

    def watch_event(self, kind: str) -> None:
        """Kopf has told one change of an object of that kind."""


class Watch:
    """The thread. Made, started and stopped on our loop."""

    def __init__(
        self, *, sink: Sink, log_in_again: Callable[[], kopf.ConnectionInfo], clock: Clock, observer: Observer
    ) -> None:
        self._sink = sink
        self._log_in_again = log_in_again
        self._clock = clock
        self._observer = observer
        self._home = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._home.create_future()
        self._thread = threading.Thread(target=self._main, name="watch", daemon=True)
        self._kopf_loop: asyncio.AbstractEventLoop | None = None
        self._stop_kopf: asyncio.Event | None = None
        self._stopping = threading.Event()
        self._restarting = threading.Event()
        self._beat = clock.monotonic()
        self._untold: list[Callable[[], None]] = []
        self._active: dict[str, float] = {}

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    async def died(self) -> None:
        """Wait until the thread ends; raises WatchDiedError unless that was asked for."""
        await asyncio.shield(self._ended)

    async def stop(self, *, seconds: float) -> None:
        """Stop watching, and wait for that so long at most."""
        self._stopping.set()
        self._interrupt()
        await asyncio.wait({self._ended}, timeout=seconds)

    def restart(self) -> None:
        """Have kopf look anew at what there is to watch."""
        self._restarting.set()
        self._interrupt()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def heartbeat_age(self) -> float:
        """Seconds since kopf's event loop was last seen turning."""
        return self._clock.monotonic() - self._beat

    def silence(self, kind: str) -> float | None:
        """Seconds since kopf last opened, or tried to open, a watch of the kind; None when it never did."""
        at = self._active.get(kind)
        return None if at is None else self._clock.monotonic() - at

    def _hand_over(self, obj: Object, *, gone: bool) -> None:
        self._observer.watch_event(obj["kind"])
        (self._sink.deleted if gone else self._sink.observe)(obj)

    def _interrupt(self) -> None:
        if self._kopf_loop is not None and self._stop_kopf is not None and not self._kopf_loop.is_closed():
            self._kopf_loop.call_soon_threadsafe(self._stop_kopf.set)

    # From here on: in the thread.

    def _main(self) -> None:
        error: BaseException | None = None
        try:
            asyncio.run(self._watch())
        except BaseException as caught:  # noqa: BLE001 - it is not swallowed: our loop raises it in `died`
            error = caught
        self._home.call_soon_threadsafe(self._finish, error)

    def _finish(self, error: BaseException | None) -> None:
        if self._ended.done():
            return
        if error is None and self._stopping.is_set():
            self._ended.set_result(None)
        else:
            died = WatchDiedError("the thread that watches the API server has ended; the process has to be restarted")
            died.__cause__ = error
            self._ended.set_exception(died)
            self._ended.exception()  # nobody may be left to ask, and asyncio would complain about that

    async def _watch(self) -> None:
        """Run kopf until we shall stop, anew after each failure, but not for ever."""
        self._kopf_loop = asyncio.get_running_loop()
        heart = asyncio.create_task(self._keep_beating())  # before kopf starts, so kopf leaves it alone
        failures: deque[float] = deque(maxlen=_MOST_FAILURES)
        try:
            while not self._stopping.is_set():
                self._stop_kopf = asyncio.Event()
                self._restarting.clear()
                try:
                    await self._run_kopf(self._stop_kopf)
                except Exception as error:  # noqa: BLE001 - kopf has no tree of its own for what ends it
                    _log.warning("kopf has ended and is started anew", error=repr(error))
                if self._stopping.is_set() or self._restarting.is_set():
                    self._tell(self._sink.watches_ended)
                    continue
                now = self._clock.monotonic()
                failures.append(now)
                if len(failures) == _MOST_FAILURES and now - failures[0] < _FAILURES_SECONDS:
                    raise WatchDiedError(f"kopf has ended {_MOST_FAILURES} times in {_FAILURES_SECONDS:.0f} s")
                self._tell(self._sink.watches_ended)
                await asyncio.sleep(_RESTART_SECONDS)
            await asyncio.sleep(CLOSING_SECONDS)
        finally:
            heart.cancel()
            self._tell_all()

    async def _keep_beating(self) -> None:
        while True:
            self._beat = self._clock.monotonic()
            await asyncio.sleep(_HEARTBEAT_SECONDS)

    async def _run_kopf(self, stop: asyncio.Event) -> None:
        registry = kopf.OperatorRegistry()
        last: list[tuple[kopf.ConnectionInfo, float]] = []
        sessions: list[aiohttp.ClientSession] = []
        ending = asyncio.Event()

        @kopf.on.login(registry=registry)
        async def log_in(**_: object) -> kopf.AiohttpSession:
            info = await asyncio.to_thread(self._log_in_again)
            if last and last[0][0] == info and self._clock.monotonic() - last[0][1] < _RELOGIN_SECONDS:
                await asyncio.sleep(_RELOGIN_SECONDS)  # refused, and nothing better at hand: do not spin
            last[:] = [(info, self._clock.monotonic())]
            http = session(info, trace=self._trace())
            http.headers.update(info.as_http_headers())
            sessions.append(http)
            return kopf.AiohttpSession(aiohttp_session=http, server=info.server)

        @kopf.on.cleanup(registry=registry)
        async def note_the_end(**_: object) -> None:
            ending.set()

        for plural in _KIND_OF:

            @kopf.on.event(GROUP, VERSION, plural, registry=registry)
            async def hand_over(event: kopf.RawEvent, **_: object) -> None:
                self._tell(self._hand_over, event["object"], gone=event["type"] == "DELETED")

        life = asyncio.ensure_future(
            kopf.operator(
                registry=registry,
                settings=_settings(),
                # Else kopf asks who runs it, and a uid without a name ends it.
                identity="homeroom",  # type: ignore[arg-type]  # a NewType that kopf keeps to itself
                standalone=True,
                clusterwide=True,
                stop_flag=stop,
            )
        )
        end = asyncio.ensure_future(ending.wait())
        ours = asyncio.all_tasks()
        try:
            await asyncio.wait({life, end}, return_when=asyncio.FIRST_COMPLETED)
            end.cancel()
            await _end(life, ours)
        finally:
            for http in sessions:  # kopf closes them, but not when it is cut off
                await http.close()

    def _trace(self) -> aiohttp.TraceConfig:
        """Tells us of each request about our kinds when it begins, and when the API server answers it."""
        trace = aiohttp.TraceConfig()

        async def begun(
            _session: aiohttp.ClientSession,
            _context: types.SimpleNamespace,
            params: aiohttp.TraceRequestStartParams,
        ) -> None:
            if kind := _kind_at(params.url.path):
                self._active[kind] = self._clock.monotonic()

        async def answered(
            _session: aiohttp.ClientSession,
            _context: types.SimpleNamespace,
            params: aiohttp.TraceRequestEndParams,
        ) -> None:
            if kind := _kind_at(params.url.path):
                status = params.response.status
                self._tell(self._sink.watch_answered, kind, watching="watch" in params.url.query, ok=status < 400)
                if status == HTTPStatus.NOT_FOUND:  # kopf would end; so it tries again until it hears of the CRD
                    params.response.close()
                    raise aiohttp.ClientConnectionError(f"kind {kind} is not served")

        trace.on_request_start.append(begun)
        trace.on_request_end.append(answered)
        return trace

    def _tell(self, callback: Callable[..., None], *args: object, **kwargs: object) -> None:
        """Call back on our loop, soon, together with what else there is to tell by then, in order."""
        self._untold.append(partial(callback, *args, **kwargs))
        if len(self._untold) == 1:
            asyncio.get_running_loop().call_later(_TOGETHER_SECONDS, self._tell_all)

    def _tell_all(self) -> None:
        """Call back now; not when our loop is over already."""
        news, self._untold = self._untold, []
        if news and not self._home.is_closed():
            self._home.call_soon_threadsafe(self._take, news)

    def _take(self, news: Sequence[Callable[[], None]]) -> None:
        """On our loop: each by itself, so that none is lost by the failure of another."""
        for each in news:
            self._home.call_soon(each)


async def _end(life: asyncio.Future[None], ours: Collection[asyncio.Task[None]]) -> None:
    """See to the end of kopf, which has begun it; raises what `life` does, or WatchDiedError.

    kopf cancels the tasks of its watches once, and waits for them without end. One that is opening a watch just then
    can take that for a pause (kopf 1.45, `api.stream`), go on, and ask for ever for credentials that nobody gives any
    more. So whatever is left is cancelled until it is gone.
    """
    for _ in range(_MOST_ENDS):
        await asyncio.wait({life}, timeout=_END_SECONDS)
        if life.done():
            return life.result()
        for task in asyncio.all_tasks().difference(ours):
            task.cancel()
    raise WatchDiedError(f"kopf did not end within {_MOST_ENDS * _END_SECONDS:.0f} s")


def _kind_at(path: str) -> str | None:
    return _KIND_OF.get(path.removeprefix(_PREFIX)) if path.startswith(_PREFIX) else None


def _settings() -> kopf.OperatorSettings:
    """Kopf's settings, with what kopf must never do for us switched off."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.process.ultimate_exiting_timeout = None  # it would kill the process
    # Never written, as no handler needs them; but kopf removes a finalizer that bears this name from every object,
    # and reads the annotations with this prefix, so they must not be anybody else's.
    settings.persistence.finalizer = f"{GROUP}/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP, v1=False)
    settings.persistence.diffbase_storage = _NoDifferences()
    settings.watching.server_timeout = SERVER_SECONDS
    settings.watching.client_timeout = SERVER_SECONDS + _INACTIVITY_SECONDS
    settings.watching.connect_timeout = _CONNECT_SECONDS
    settings.watching.inactivity_timeout = _INACTIVITY_SECONDS
    settings.watching.chunk_size = _CHUNK
    settings.networking.request_timeout = _REQUEST_SECONDS
    settings.networking.connect_timeout = _CONNECT_SECONDS
    settings.networking.error_backoffs = _Backoffs()
    settings.execution.default_backoff = _RELOGIN_SECONDS  # after a log-in that failed
    # A worker per object waits so long for the next event of its object. Not less: kopf logs an error when it has to
    # stop watching a kind in the moment in which it starts a worker.
    settings.queueing.idle_timeout = 1.0
    return settings

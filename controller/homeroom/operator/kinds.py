"""Which kinds we know completely: the proof behind "absent means absent" for the Kubernetes API.

kopf's watches deliver changes, but they do not tell that a kind is not served, forbidden, or being taken away, nor
what vanished while a watch was interrupted. So this module looks for itself, every few seconds and whenever a watch
was refused: the kind's CRD, one object of its list, and, where something does not add up, the complete list.

A kind counts as listed while its CRD is there, established and not being deleted, a watch of kopf's is open on it, and
a complete list was taken over since that became so.

A deletion is believed late: deleting a CRD deletes all its objects one by one while the kind is still served, and each
of these looks like the deletion of a single rule. The CRD carries its deletionTimestamp before the first of them goes,
so an object counts as gone only after the CRD, asked afterwards, turns out to be alive. The same holds for the
namespace. While a kind is not listed, or a namespace is closing, what is cached of it stays as it is, also for runs
that began before; a closed namespace goes as a whole.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from homeroom.api import GROUP, KINDS
from homeroom.errors import HomeroomError, TerminalError, TransientError
from homeroom.operator.api import Api, ForbiddenError, Json, NotFoundError, path_of
from homeroom.operator.cache import Cache
from homeroom.reconcile.ports import Clock, Object

_log = structlog.get_logger(__name__)

_ANNOUNCE_SECONDS = 3.0
"""How long a kind has to stay (un)listed until the roots are told: an API server that starts flickers for a moment."""
_HASTE_SECONDS = 1.0
"""How often to look while something is in the air."""
_WATCH_SECONDS = 15.0
"""How long a kind that is served may be without a watch until kopf is started anew: it reads a CRD's last event, but
the API server may offer the kind only a moment after that, and then kopf never hears of it."""

_LISTING_SECONDS = 300.0
"""How long a kind may take to be listed until the roots have to say that they cannot run: thousands of objects, from an
API server that has just started, take minutes."""

_NOT_READ = "its first list is not complete"
_NOT_WATCHED = "its watch is not open yet"


def is_established(crd: Json) -> bool:
    """Whether the CRD is served; one that was made a moment ago has `conditions: null` (Go's empty list)."""
    conditions = (crd.get("status") or {}).get("conditions") or ()
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


@dataclass(slots=True)
class _State:
    """What is known about one kind."""

    since: float
    """Since when it counts as listed, or does not."""
    problem: str | None = _NOT_READ
    """Why it does not count as listed; None when it does."""
    announced: bool = False
    """Whether the roots believe it to be listed."""
    missed: bool = False
    """Whether somebody was turned away since, because it is not listed."""
    crd_uid: str | None = None
    watch_open: bool = False
    unwatched_since: float | None = None
    """Since when the kind is served, but not watched."""
    suspect: bool = False
    """A list is wanted although the kind counts as listed: something may have vanished unseen."""
    mismatches: int = 0
    deletions: list[Object] = field(default_factory=list)
    """Objects whose end the watch has told, and which still count as there."""


class Kinds:
    """Looks after the completeness of `cache`. Everything here runs on our event loop."""

    def __init__(
        self,
        *,
        api: Api,
        cache: Cache,
        clock: Clock,
        interval: float,
        on_turn: Callable[[str], None],
        on_watch_missing: Callable[[], None],
    ) -> None:
        """`on_turn` is told a kind that became listed, or ceased to be; `on_watch_missing`, that kopf overlooks one."""
        self._api = api
        self._cache = cache
        self._clock = clock
        self._interval = interval
        self._on_turn = on_turn
        self._on_watch_missing = on_watch_missing
        self._states = {kind: _State(since=clock.monotonic()) for kind in KINDS}
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._looked_at = clock.monotonic()
        self._closing: set[str] = set()

    def unlisted(self, kinds: Iterable[str]) -> Sequence[str]:
        """Those of `kinds` about whose absence nothing may be concluded; `on_turn` tells when that is over."""
        found = [kind for kind in kinds if kind not in self._states or self._states[kind].problem is not None]
        for kind in self._states.keys() & found:
            self._states[kind].missed = True
        return found

    def being_listed(self, kinds: Iterable[str]) -> bool:
        """Whether all that is missing of these is a list or a watch that is on its way, and not for too long."""
        states = [self._states.get(kind) for kind in kinds]
        began = self._clock.monotonic() - _LISTING_SECONDS
        return all(
            state is not None
            and (state.problem is None or (state.problem in {_NOT_READ, _NOT_WATCHED} and state.since >= began))
            for state in states
        )

    def problems(self) -> dict[str, str]:
        """Kind -> why it does not count as listed."""
        return {kind: state.problem for kind, state in self._states.items() if state.problem is not None}

    def served(self) -> Sequence[str]:
        """The kinds that the API server has, listed or not."""
        return [kind for kind, state in self._states.items() if state.crd_uid is not None]

    def is_closing(self, namespace: str) -> bool:
        """Whether the namespace was seen being deleted: what is absent in it was not taken away by anybody's intent."""
        return namespace in self._closing

    def age(self) -> float:
        """Seconds since the last look was finished."""
        return self._clock.monotonic() - self._looked_at

    async def settled(self) -> None:
        """Wait until each kind is listed, or is known not to be available."""
        await self._settled.wait()

    def observe(self, obj: Object) -> None:
        """The watch tells a version of an object."""
        self._cache.observe(obj)

    def deleted(self, obj: Object) -> None:
        """The watch tells the end of an object."""
        self._states[obj["kind"]].deletions.append(obj)
        self._wake.set()

    def watch_answered(self, kind: str, *, watching: bool, ok: bool) -> None:
        """The API server has answered kopf's watch of a kind, or its list."""
        state = self._states[kind]
        if not ok:
            state.watch_open = False
            state.suspect = True
        elif watching:
            state.watch_open = True
        else:
            state.suspect = True  # kopf lists anew after an interruption, and does not tell what is missing in it
        self._wake.set()

    def watches_ended(self) -> None:
        """All of kopf's watches have ended."""
        for state in self._states.values():
            state.watch_open = False
            state.suspect = True

    async def run(self) -> None:
        """Look again and again."""
        while True:
            self._wake.clear()
            await asyncio.gather(*(self._look(kind) for kind in self._states), self._look_at_closing())
            self._looked_at = self._clock.monotonic()
            self._announce()
            self._ask_for_watches()
            if all(state.problem not in {_NOT_READ, _NOT_WATCHED} for state in self._states.values()):
                self._settled.set()
            hasty = any(
                state.announced is not (state.problem is None)
                or state.deletions
                or (state.suspect and state.problem is None)
                for state in self._states.values()
            )
            try:
                await asyncio.wait_for(self._wake.wait(), _HASTE_SECONDS if hasty else self._interval)
            except TimeoutError:
                continue

    def _announce(self) -> None:
        now = self._clock.monotonic()
        for kind, state in self._states.items():
            is_listed = state.problem is None
            # Good news is safe at once; bad news is safe too, as whoever runs asks `unlisted`.
            turned = state.announced is not is_listed and (is_listed or now - state.since >= _ANNOUNCE_SECONDS)
            if turned or (is_listed and state.missed):  # a gap of a moment is told to those only who fell into it
                state.announced, state.missed = is_listed, state.missed and not is_listed
                self._on_turn(kind)

    def _ask_for_watches(self) -> None:
        now = self._clock.monotonic()
        for state in self._states.values():
            if state.problem != _NOT_WATCHED:
                state.unwatched_since = None
            elif state.unwatched_since is None:
                state.unwatched_since = now
            elif now - state.unwatched_since >= _WATCH_SECONDS:
                state.unwatched_since = now
                self._on_watch_missing()

    def _set(self, kind: str, problem: str | None) -> None:
        state = self._states[kind]
        if state.problem == problem:
            return
        if (state.problem is None) is not (problem is None):
            state.since = self._clock.monotonic()
        state.problem = problem
        if problem is None:
            _log.info("kind is listed", kind=kind)
        elif problem == _NOT_WATCHED:
            _log.info("kind is not watched yet", kind=kind)
        else:
            _log.warning("kind is not available", kind=kind, problem=problem)

    async def _look(self, kind: str) -> None:
        """One look at one kind."""
        state = self._states[kind]
        deletions, state.deletions = state.deletions, []
        try:
            problem = await self._problem(kind)
            if problem is None:
                await self._look_at_namespaces({obj["metadata"]["namespace"] for obj in deletions})
        except TransientError:  # no answer: what was known stays true, and watches resume where they were
            state.deletions = deletions + state.deletions
            return
        if problem is not None:
            self._set(kind, problem)
            return
        for obj in deletions:
            if obj["metadata"]["namespace"] not in self._closing:
                self._cache.forget(obj)
        if state.suspect or state.problem is not None:
            await self._list(kind)

    async def _problem(self, kind: str) -> str | None:
        """What stands in the way of listing the kind; raises TransientError when nobody answers."""
        state = self._states[kind]
        name = f"{KINDS[kind].plural}.{GROUP}"
        try:
            crd = await self._api.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
        except NotFoundError:
            state.crd_uid = None
            return f"CustomResourceDefinition {name} does not exist"
        except ForbiddenError as error:
            state.crd_uid = None
            return error.message
        uid = crd["metadata"]["uid"]
        if uid != state.crd_uid:
            state.crd_uid = uid
            state.suspect = True
        if crd["metadata"].get("deletionTimestamp"):
            return f"CustomResourceDefinition {name} is being deleted"
        if not is_established(crd):
            return f"CustomResourceDefinition {name} is not established"
        try:
            page = await self._api.get(path_of(kind), limit="1")
        except (ForbiddenError, NotFoundError) as error:
            return error.message
        if not state.watch_open:
            return _NOT_WATCHED
        self._compare_count(kind, page)
        return None

    def _compare_count(self, kind: str, page: Json) -> None:
        """Ask for a complete list when ours was of another length two looks in a row."""
        state = self._states[kind]
        count = len(page["items"]) + page["metadata"].get("remainingItemCount", 0)
        is_equal = count == len(self._cache.every(kind)) or bool(self._closing)
        state.mismatches = 0 if is_equal else state.mismatches + 1
        if state.mismatches >= 2:
            state.suspect, state.mismatches = True, 0

    async def _list(self, kind: str) -> None:
        """Take over the complete list; the kind counts as listed once that lacks nothing that we have."""
        state = self._states[kind]
        state.suspect = False  # first, as the watch may raise it while we read
        try:
            objects, at = await self._api.list_all(kind)
        except HomeroomError as error:
            state.suspect = True
            if isinstance(error, TerminalError):
                self._set(kind, error.message)
            return
        absent = [
            obj
            for obj in self._cache.complete(kind, objects, at=at)
            if obj["metadata"]["namespace"] not in self._closing
        ]
        if absent:
            state.deletions += absent
            self._wake.set()
        else:
            self._set(kind, None)

    async def _look_at_namespaces(self, namespaces: Iterable[str]) -> None:
        """Note which of these are closing, and let go what closed ones had; raises UnavailableError."""
        for namespace in sorted(namespaces):
            try:
                found = await self._api.get(f"/api/v1/namespaces/{namespace}")
            except NotFoundError:
                self._closing.discard(namespace)
                for kind in self._states:
                    for obj in self._cache.list(kind, namespace):
                        self._cache.forget(obj)
                continue
            except ForbiddenError as error:
                _log.warning("cannot tell whether a namespace is being deleted", error=error.message)
                continue
            if "deletionTimestamp" in found["metadata"]:
                self._closing.add(namespace)
            elif namespace in self._closing:  # gone and made anew in between
                self._closing.discard(namespace)
                for state in self._states.values():
                    state.suspect = True

    async def _look_at_closing(self) -> None:
        with contextlib.suppress(TransientError):  # no answer: they stay closing
            await self._look_at_namespaces(self._closing)

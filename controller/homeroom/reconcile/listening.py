"""Listens to chat servers that tell of changes, for policies and Chats with `sync.mode: Continuous`.

::

    ChatPlatform --listens--> what others did --+--> chats of a policy --> its repair, at once (`chatpolicy`)
                                                +--> nobody knows what --> a whole run of each policy (the queue)

One task per ChatPlatform that such a policy names; which these are is looked up every second in what the watches know,
so that nothing has to be told when resources come, change, are suspended or go. Where a server's answers had reached
is kept in memory, also over a failure: what happened meanwhile is told afterwards. A connection lasts `SESSION`, as
the Secret is read anew with each one. The operator's runtime runs this beside its queue, and stops it with it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta
from typing import Final, Protocol

import structlog

from homeroom.api import ChatPlatform, ChatSyncMode, parse
from homeroom.errors import HomeroomError, InvalidSpecError, TerminalError, TransientError
from homeroom.platforms import Changes
from homeroom.reconcile.chatplatform import users_of
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.ports import Clock, Cluster, Key, Object, key_of
from homeroom.reconcile.run import PATIENCE

log = structlog.get_logger()

SESSION: Final = timedelta(minutes=10)
"""How long one connection lasts, hence how long a changed Secret may go unseen."""
LOOK_SECONDS: Final = 1.0
"""How often to look which servers are to be listened to."""
PAUSE_SECONDS: Final = 0.2
"""Between two answers: what people do in a burst is one repair, and a server that never waits is no busy loop."""
_FIRST_WAIT: Final = 1.0
_LONGEST_WAIT: Final = 60.0
"""Seconds after a failure, doubled from the first to the longest: a server that is back is heard within a minute."""


class Repairs(Protocol):
    """Puts right what others changed in some chats of a policy; see `ChatPolicyRoot.repair`."""

    async def repair(self, cluster: Cluster, policy: Key, chats: Collection[str]) -> None:
        """Read these chats (keys), and put right what needs nobody's word. Raises HomeroomError."""


class Listening:
    """Runs from `run` until `stop`. `wait` (for seconds) and `look` (`LOOK_SECONDS`) are for tests."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        clock: Clock,
        outside: Outside,
        repairs: Repairs,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
        look: float = LOOK_SECONDS,
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._outside = outside
        self._repairs = repairs
        self._wait = wait
        self._look_seconds = look
        self._stopping = asyncio.Event()
        self._tasks: dict[Key, tuple[object, asyncio.Task[None]]] = {}
        self._reached: dict[Key, str] = {}
        self._failures: Counter[Key] = Counter()
        self._working: set[asyncio.Task[None]] = set()

    @property
    def listens_to(self) -> Collection[Key]:
        """The platforms."""
        return self._tasks.keys()

    async def run(self) -> None:
        """Listen to all servers that are to be listened to, until `stop`; a repair under way finishes its batch."""
        try:
            while not self._stopping.is_set():
                await self._look()
                try:
                    await asyncio.wait_for(self._stopping.wait(), self._look_seconds)
                except TimeoutError:
                    continue
        except asyncio.CancelledError:  # there is no time any more
            for work in self._working:
                work.cancel()
            raise
        finally:
            await self._end(list(self._tasks))
            await asyncio.gather(*self._working, return_exceptions=True)

    def stop(self) -> None:
        """Listen no more."""
        self._stopping.set()

    async def _look(self) -> None:
        """Begin and end tasks; a platform that was edited is listened to anew."""
        wanted = {key_of(platform): platform["metadata"].get("generation") for platform in self._platforms()}
        await self._end([key for key, (as_of, _) in self._tasks.items() if key not in wanted or wanted[key] != as_of])
        for key, generation in wanted.items():
            if key not in self._tasks:
                self._tasks[key] = generation, asyncio.create_task(self._listen(key), name=f"listening to {key}")
        self._reached = {key: place for key, place in self._reached.items() if key in wanted}

    async def _end(self, keys: Sequence[Key]) -> None:
        ending = [self._tasks.pop(key)[1] for key in keys]
        for key, task in zip(keys, ending, strict=True):
            self._failures.pop(key, None)
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    def _platforms(self) -> list[Object]:
        found = {
            Key("ChatPlatform", policy["metadata"]["namespace"], _named(policy, "platformRef"))
            for kind in ("ChatPolicy", "Chat")
            for policy in self._cluster.every(kind)
            if _listens(policy)
        }
        platforms = (self._cluster.get(key) for key in sorted(found))
        return [platform for platform in platforms if platform is not None and _works(platform)]

    # -- one platform -------------------------------------------------------------------------------------------

    async def _listen(self, key: Key) -> None:
        """Listen to one server for ever. Trouble is told once, and its end."""
        while True:
            try:
                await self._session(key)
                continue
            except TerminalError as error:
                told, seconds = error.message, PATIENCE.total_seconds()
            except HomeroomError as error:
                asked = error.retry_after if isinstance(error, TransientError) else None
                grown = _FIRST_WAIT * 2 ** min(self._failures[key], 16)
                told, seconds = error.message, max(asked or 0, min(_LONGEST_WAIT, grown))
            except Exception:
                log.exception("listening crashed; this is a bug in Homeroom, please report it", key=str(key))
                told, seconds = "a bug", _LONGEST_WAIT
            if not self._failures[key]:
                log.warning("changes in chats are not heard until this is mended", key=str(key), message=told)
                self._cluster.enqueue(key)  # its status shall say so, too
            self._failures[key] += 1
            await self._wait(seconds)

    async def _session(self, key: Key) -> None:
        """Listen for `SESSION`."""
        raw = self._cluster.get(key)
        if raw is None:  # the next look ends this
            await self._wait(LOOK_SECONDS)
            return
        platform = parse(raw)
        if not isinstance(platform, ChatPlatform):
            raise InvalidSpecError(f"{key} is no ChatPlatform")
        async with await self._outside.platform(platform, self._cluster.secret, district="") as server:
            if not server.capabilities.events:
                raise InvalidSpecError("this platform tells of no changes: policies on it work by their interval")
            begun = self._clock.monotonic()
            while self._clock.monotonic() - begun < SESSION.total_seconds():
                changes = await server.changes(self._reached.get(key))
                if self._failures.pop(key, 0):
                    log.info("changes in chats are heard again", key=str(key))
                self._reached[key] = changes.until
                work = asyncio.create_task(self._act(key, changes))
                self._working.add(work)
                work.add_done_callback(self._working.discard)
                await asyncio.shield(work)  # an end of listening does not cut a batch in two
                await self._wait(PAUSE_SECONDS)

    async def _act(self, key: Key, changes: Changes) -> None:
        """See to what others did. What cannot be seen to at once is a whole run's."""
        for policy in users_of(self._cluster, key):
            if not _listens(policy):
                continue
            owner = self._outside.owner_of_chats(
                namespace=key.namespace,
                district=_named(policy, "districtRef"),
                chat=policy["metadata"]["name"] if policy["kind"] == "Chat" else None,
            )
            chats = {chat for whose, chat in changes.chats if whose == owner}
            if changes.everything:
                self._cluster.enqueue(key_of(policy))
            elif chats:
                try:
                    await self._repairs.repair(self._cluster, key_of(policy), chats)
                except HomeroomError as error:
                    log.warning("a repair failed; a run follows", key=str(key_of(policy)), message=error.message)
                    self._cluster.enqueue(key_of(policy))


def _named(policy: Object, reference: str) -> str:
    """What a policy names, also one that its CRD would refuse today."""
    return str((policy["spec"].get(reference) or {}).get("name", ""))


def _works(obj: Object) -> bool:
    return not obj["metadata"].get("deletionTimestamp") and not obj["spec"].get("suspend", False)


def _listens(policy: Object) -> bool:
    mode = (policy["spec"].get("sync") or {}).get("mode")
    return _works(policy) and mode == ChatSyncMode.CONTINUOUS.value

"""Calls of remote lessons: their chats are made, and everybody there is told, within seconds after somebody pressed.

::

    the page --> store: call --every other second--> its class --> `chatopening` --> the chat alone is made
                                                                                  +-> everybody in it is told
                                                                                  +-> a whole run: who leads it, status

A chat that is there is only told. One that waits for an Approval is tried again after each run of its policy. Killed
anywhere, the next look does the rest: alias and transaction see to it that nothing is there twice. Runs under a key of
its own in the queue, and takes turns with the runs of policies, as the server is one. Neighbours: `linking` (the same
for links), `chatpolicy` (whole runs), `homeroom.store.lessons`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from homeroom.api import ChatPlatform, ChatPolicy, ChatType, CreateOn, Reason, parse
from homeroom.chats.calls import CallState, call_message, call_url
from homeroom.errors import HomeroomError, InvalidSpecError, RefusedError, TransientError
from homeroom.platforms import Platform
from homeroom.reconcile.chatopening import Opening, opening, wanted_for
from homeroom.reconcile.chatplatform import policies_of
from homeroom.reconcile.chatpolicy import ChatPolicyRoot, Gathered
from homeroom.reconcile.chatrepair import ChatHands, executor_for, in_silence
from homeroom.reconcile.chatrules import DeclaredChats
from homeroom.reconcile.executor import count_planned
from homeroom.reconcile.ports import Cluster, Key, Verdict
from homeroom.reconcile.run import Run
from homeroom.store import Call, LostLeadershipError

KIND: Final = "Calls"
"""Of the key in the queue; no kind of the API. Namespace and name are the ChatPlatform's."""
_LOOK: Final = 2.0

log = structlog.get_logger()


class Calls:
    """The handler of `KIND`. `policies`: what whole runs are made with."""

    def __init__(self, *, cluster: Cluster, policies: ChatPolicyRoot) -> None:
        self._cluster, self._policies = cluster, policies
        self._store, self._clock = policies.store, policies.clock
        self._tried: dict[Key, dict[tuple[str, str], object]] = {}
        """By platform, and district and lesson of a call: after which runs of policies it was tried last."""
        self._taught: dict[Key, Mapping[str, frozenset[str]]] = {}
        """By platform and district: the classes of which lessons were known at the last look."""

    async def __call__(self, key: Key) -> Verdict:
        """One look at what waits for this platform."""
        if self._cluster.unlisted(("ChatPlatform", "ChatPolicy", "District", "Approval")):
            return Verdict(again=_LOOK)
        return await self._look(Key(ChatPlatform.__name__, key.namespace, key.name))

    async def _look(self, place: Key) -> Verdict:
        raw = self._cluster.get(place)
        if raw is None or raw["metadata"].get("deletionTimestamp"):
            return Verdict()
        if raw["spec"].get("suspend"):
            return Verdict(again=_LOOK)
        policies = self._working(place)
        await self._wake(place, policies)
        waiting = self._store.lessons.waiting
        calls = await asyncio.to_thread(waiting, namespace=place.namespace, platform=place.name, now=self._clock.now())
        tried = self._tried.get(place, {})
        self._tried[place] = {of: tried[of] for call in calls if (of := (call.district, call.lesson)) in tried}
        verdict = Verdict(again=_LOOK)
        for district in sorted({call.district for call in calls}):
            of_district = [policy for policy in policies if policy.spec.district_ref.name == district]
            try:
                await self._district(place, of_district, [call for call in calls if call.district == district])
            except LostLeadershipError:
                raise
            except HomeroomError as error:
                log.warning("calls wait", key=str(place), district=district, reason=error.reason, message=error.message)
                verdict = Verdict(failed=True, retry_after=getattr(error, "retry_after", None))
        return verdict

    def _working(self, place: Key) -> list[ChatPolicy]:
        """The policies of a platform that make chats of subjects, the older first."""
        found = []
        for raw in policies_of(self._cluster, place):
            try:
                policy = parse(raw)
            except InvalidSpecError:
                continue
            assert isinstance(policy, ChatPolicy)
            works = not policy.spec.suspend and policy.metadata.deletion_timestamp is None
            if works and any(chat.type is ChatType.SUBJECT for chat in policy.spec.chats):
                found.append(policy)
        return sorted(found, key=lambda policy: policy.age)

    async def _wake(self, place: Key, policies: Sequence[ChatPolicy]) -> None:
        """Have those policies run for which a lesson is enough, once there is one of another class."""
        asking = [one for one in policies if any(chat.create_on is CreateOn.FIRST_LESSON for chat in one.spec.chats)]
        before, now = self._taught.get(place, {}), dict[str, frozenset[str]]()
        for district in sorted({policy.spec.district_ref.name for policy in asking}):
            of = {"namespace": place.namespace, "district": district}
            now[district] = frozenset(await asyncio.to_thread(self._store.lessons.taught, **of))
        self._taught[place] = now
        for policy in asking:
            district = policy.spec.district_ref.name
            if now[district] - before.get(district, now[district]):
                self._cluster.enqueue(Key(ChatPolicy.__name__, place.namespace, policy.metadata.name))

    async def _district(self, place: Key, policies: Sequence[ChatPolicy], calls: Sequence[Call]) -> None:
        """See to the calls of one district; those that wait for somebody only once after each run of a policy."""
        runs, tried = await asyncio.to_thread(self._runs, policies), self._tried[place]
        left = [call for call in calls if tried.get((call.district, call.lesson)) != runs]
        for policy in policies:
            if left:
                seen_to = await self._policy(place, policy, left)
                left = [call for call in left if call.lesson not in seen_to]
        for call in left:
            await self._note(place, call, CallState.NOWHERE)
        tried |= {(call.district, call.lesson): runs for call in calls}

    def _runs(self, policies: Sequence[ChatPolicy]) -> object:
        """What is another value after each run, and each edit, of these policies. Blocks."""
        found = []
        for policy in policies:
            meta = policy.metadata
            row = self._store.run(kind=ChatPolicy.__name__, namespace=meta.namespace, name=meta.name)
            found.append((meta.name, meta.generation, row.ended_at if row is not None else None))
        return found

    async def _policy(self, place: Key, policy: ChatPolicy, calls: Sequence[Call]) -> set[str]:
        """See to those calls that are this policy's; their lessons."""
        key = Key(ChatPolicy.__name__, place.namespace, policy.metadata.name)
        async with self._policies.repairs.turn(place):
            raw, server = self._cluster.get(key), self._cluster.get(place)
            if raw is None or server is None:
                return set()
            resource, platform = parse(raw), parse(server)
            assert isinstance(resource, ChatPolicy)
            assert isinstance(platform, ChatPlatform)
            run: Run[DeclaredChats] = Run(
                key=key,
                obj=raw,
                resource=resource,
                cluster=self._cluster,
                clock=self._clock,
                started=self._clock.now(),
                full=False,
                fresh=False,
                last=None,
            )
            gathered = await self._policies.gather(run, platform)
            wanted = await asyncio.to_thread(wanted_for, gathered.inputs, {call.class_id for call in calls})
            keys: dict[str, str] = dict(wanted.chats.select("section", "key").iter_rows())
            mine = {call: keys[call.class_id] for call in calls if call.class_id in keys}
            if mine:
                opened = await self._policies.outside.platform(
                    platform,
                    self._cluster.secret,
                    district=resource.spec.district_ref.name,
                    language=resource.spec.language,
                )
                async with opened:
                    there = await opened.read(sorted(mine.values()))
                    found = await asyncio.to_thread(opening, gathered.inputs, wanted, there, opened.capabilities)
                    if not found.plan.empty:
                        await self._make(run, gathered, found, ChatHands(platform=opened, wanted=wanted))
                        there = await opened.read(sorted(mine.values()))
                    rooms: dict[str, str] = dict(there.chats.select("key", "external_id").iter_rows())
                    for call, chat in mine.items():
                        told = False
                        if chat in rooms and chat not in found.waiting:
                            told = await self._tell(run, place, opened, call, chat=chat, room=rooms[chat])
                        if not told:
                            if call.state is CallState.WAITING:
                                self._cluster.enqueue(key)  # a whole run finds out what has to be asked
                            await self._note(place, call, CallState.HELD, hold=found.holds.get(chat))
        return {call.lesson for call in mine}

    async def _make(self, run: Run[DeclaredChats], gathered: Gathered, found: Opening, hands: ChatHands) -> None:
        """Make the chats, with who is in them. Raises TransientError when that could not be tried to its end."""
        metrics = self._policies.metrics
        count_planned(metrics, found.plan)
        executor = executor_for(run, store=self._store, metrics=metrics, revision=gathered.revision)
        applied = await executor.apply(found.plan, hands, interrupted=run.interrupted, progress=in_silence)
        run.cluster.enqueue(run.key)  # it asks about who leads these chats, remembers them, and tells of them
        if applied.broken is not None:
            raise applied.broken
        if applied.stopped is not None:
            raise TransientError(
                f"chats of calls were not made to their end: {applied.stopped}",
                reason=Reason.PROGRESSING_WITH_RETRY.value,
            )

    async def _tell(
        self, run: Run[DeclaredChats], place: Key, server: Platform, call: Call, *, chat: str, room: str
    ) -> bool:
        """Tell everybody in a chat that is there; whether that can be. Noted afterwards, as it is told only once."""
        assert isinstance(run.resource, ChatPolicy)  # a Chat has no lessons
        spec, url = run.resource.spec, None
        if spec.calls is not None:
            url = call_url(spec.calls.url_template, call.word)
            if server.capabilities.calls:
                text = call_message(spec.language, title=call.title, url=url)
                try:
                    await server.announce(chat, text, url=url, word=call.word)
                except RefusedError as error:  # as of every chat that is not as it was: the next run looks at it
                    log.warning("a call was not told", key=str(run.key), reason=error.reason, message=error.message)
                    return False
        await self._note(place, call, CallState.TOLD, chat=server.address(room), url=url)
        self._policies.metrics.call_told(seconds=(self._clock.now() - call.pressed_at).total_seconds())
        return True

    async def _note(
        self,
        place: Key,
        call: Call,
        state: CallState,
        *,
        chat: str | None = None,
        url: str | None = None,
        hold: str | None = None,
    ) -> None:
        await asyncio.to_thread(
            self._store.lessons.note,
            call,
            state,
            platform=place.name,
            now=self._clock.now(),
            epoch=self._cluster.epoch,
            chat=chat,
            url=url,
            hold=hold,
        )

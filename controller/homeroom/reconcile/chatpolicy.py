"""ChatPolicy and Chat: the chats that follow from the served records, compared with a chat server, put right.

::

    snapshot --> chatrecords --> records --+
    records, people --> links -------------+--> chatdecision --> guards --> executor --> status
    chat server --read live----------------+         |
    store --> baseline --------------------+         +--> holds <-- commits: Approvals

Policies of one ChatPlatform run one after the other: the server is one, and so are its limits. A Chat, one extra chat
that is declared by hand, is one of them here: only what it wants is made in another way, and as it owns one room by
itself, that room alone is read. Neighbours: `chatdecision` (the way to the plan), `chatrules` (words of the resource),
`executor` (the only hands), `chatoutcome` (what to say), `district` (the snapshot).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

import polars as pl

from homeroom.api import (
    Chat,
    ChatPlatform,
    ChatPolicy,
    ChatPolicyStatus,
    ChatSyncMode,
    CreateOn,
    Deletion,
    District,
    InvalidSpecError,
    Reason,
    parse,
)
from homeroom.chats.baseline import Baseline
from homeroom.chats.desired import Opened
from homeroom.chats.extra import extra_key, strange, students_among
from homeroom.chats.flapping import Calmed
from homeroom.chats.linking import LinkedBy
from homeroom.chats.policy import ChatRules
from homeroom.chats.records import Links, in_question
from homeroom.chats.repair import Decided
from homeroom.chats.standing import after, standing
from homeroom.chats.state import Actual, Desired
from homeroom.chats.words import State as Standing
from homeroom.errors import DependencyNotReadyError, TransientError
from homeroom.plan import (
    CHANGE_SCHEMA,
    PERSONAL,
    VALID,
    WINDOW_DAYS,
    Cause,
    Guard,
    Hold,
    Kind,
    Op,
    Plan,
    Scope,
    State,
    doubted_since,
    rolled_over,
)
from homeroom.platforms import Platform
from homeroom.reconcile import approvals
from homeroom.reconcile.avatar import show_avatar, unshown, with_avatar
from homeroom.reconcile.chatdecision import (
    ChatDecision,
    ChatInputs,
    ChatMemory,
    OtherPolicy,
    coming_of,
    decide_chats,
)
from homeroom.reconcile.chatoutcome import chat_outcome, chat_rows, with_state
from homeroom.reconcile.chatrecords import chat_records, links_from_template, links_from_user_ids
from homeroom.reconcile.chatrepair import ChatHands, ChatRepair, Remembered, executor_for, in_silence, place_of
from homeroom.reconcile.chatrules import DeclaredChats, limits_of, rules_of
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.decide import SALT, Salt
from homeroom.reconcile.district import next_reading
from homeroom.reconcile.executor import Applied, count_planned
from homeroom.reconcile.joining import Arrivals, arrivals, settle, with_arrivals
from homeroom.reconcile.origin import revision_of
from homeroom.reconcile.outcome import left_to_do, repaired
from homeroom.reconcile.ports import Clock, Cluster, Key, Metrics, Object
from homeroom.reconcile.run import Ending, Report, Run
from homeroom.reconcile.school import changed_schools
from homeroom.roster.door import RELEASED
from homeroom.roster.tables import Roster
from homeroom.roster.years import PINS
from homeroom.sources import load
from homeroom.store import Store, StoredChats, journal_name, policy_name

_ARCHIVED: Final = {
    name: pl.lit(word.value)
    for name, word in {"kind": Kind.CHAT, "op": Op.ARCHIVE, "cause": Cause.SPEC_CHANGED}.items()
}
"""Columns of a plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Everything that a run reads before it decides. `digest`: of the snapshot. `arrivals`: of an extra chat."""

    district: District
    inputs: ChatInputs
    digest: str
    revision: str
    arrivals: Arrivals | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatPolicyRoot:
    """The work of one run of a ChatPolicy, or of a Chat.

    `repairs`: what goes on between two runs. `salt`: randomness for the ids of holds.
    """

    store: Store
    outside: Outside
    metrics: Metrics
    clock: Clock
    repairs: ChatRepair
    salt: Salt = SALT
    rests: ClassVar[bool] = True

    @property
    def reads(self) -> tuple[str, ...]:
        """A missing kind must never look like a policy that is gone, or an Approval that was not given."""
        return ("District", "ChatPlatform", "Approval")

    def needs_cleanup(self, resource: DeclaredChats) -> bool:
        """Chats outlive their policy, with all who are in them (DESIGN.md invariant 11); a Chat may say otherwise."""
        return isinstance(resource, Chat) and resource.spec.deletion is Deletion.ARCHIVE

    async def cleanup(self, run: Run[DeclaredChats]) -> None:
        """`deletion: Archive` of a Chat: nobody can write in its room any more, and nobody is put out."""
        spec, namespace = run.resource.spec, run.key.namespace
        place = Key("ChatPlatform", namespace, spec.platform_ref.name)
        of = {"district": spec.district_ref.name, "chat": run.key.name}
        async with self.repairs.turn(place):
            self.repairs.forget(run.key)
            platform = _platform(run.cluster, place)
            if platform.spec.suspend:
                raise DependencyNotReadyError(f"ChatPlatform '{place.name}' is suspended")
            server = await self.outside.platform(
                platform, run.cluster.secret, district=of["district"], chat=of["chat"], language=spec.language
            )
            async with server:
                there = await server.read([extra_key(self.outside.owner_of_chats(namespace=namespace, **of))])
                open_ = there.chats.filter(~pl.col("archived"))
                plan = Plan.of(open_.select("school", "key", "external_id", **_ARCHIVED))
                revision = await self._revision(run)
                applied = await executor_for(run, store=self.store, metrics=self.metrics, revision=revision).apply(
                    plan,
                    ChatHands(platform=server, wanted=Desired.empty()),
                    interrupted=lambda: "stopping" if run.cluster.stopping() else None,
                    progress=in_silence,
                )
        if applied.broken is not None:
            raise applied.broken
        if not applied.undone.is_empty():
            raise TransientError("the room could not be closed", reason=Reason.SOME_CHANGES_FAILED.value)

    async def absent(self, key: Key, cluster: Cluster) -> None:
        """There is no such policy: Approvals that name it learn that, and nobody comes by its link any more."""
        self.repairs.forget(key)
        if key.kind == Chat.__name__:
            place = {"namespace": key.namespace, "chat": key.name}
            await asyncio.to_thread(self.store.joins.close, **place, epoch=cluster.epoch)
        await approvals.refuse(cluster, key, now=self.clock.now())

    async def reconcile(self, run: Run[DeclaredChats]) -> Report[ChatPolicyStatus]:
        """One run: gather, decide, apply, report."""
        policy = run.resource
        place = Key("ChatPlatform", run.key.namespace, policy.spec.platform_ref.name)
        async with self.repairs.turn(place):
            platform = _platform(run.cluster, place)
            if platform.spec.suspend:
                return Report(
                    status=policy.status,
                    message=f"ChatPlatform '{place.name}' is suspended: nothing is read or written there",
                    reason=Reason.SUSPENDED,
                    ending=Ending.STALLED,
                    schools=run.last.schools if run.last is not None else {},
                )
            return await self._in_turn(run, platform)

    async def _in_turn(self, run: Run[DeclaredChats], platform: ChatPlatform) -> Report[ChatPolicyStatus]:
        gathered = await self.gather(run, platform)
        inputs = gathered.inputs
        server = await self.outside.platform(
            platform,
            run.cluster.secret,
            district=gathered.district.metadata.name,
            chat=run.key.name if run.key.kind == Chat.__name__ else None,
            language=run.resource.spec.language,
            named=self.repairs.named(place_of(run.resource)),
        )
        async with server:
            there = await _read(server, inputs.rules, full=run.full)
            if isinstance(run.resource, Chat):
                came = await arrivals(self.store, run.resource, epoch=run.cluster.epoch)
                came, inputs, there = with_arrivals(came, inputs, there)
                gathered = replace(gathered, inputs=inputs, arrivals=came)
            decision = await asyncio.to_thread(decide_chats, inputs, there, server.capabilities, salt=self.salt)
            calm = self.repairs.calm(run.key, decision.allowed, wanted=decision.desired, actual=decision.actual)
            decision = replace(decision, allowed=calm.plan)
            count_planned(self.metrics, decision.allowed)
            await approvals.keep(
                decision.reviewed.holds,
                run.key,
                before=inputs.memory.holds,
                store=self.store,
                epoch=run.cluster.epoch,
            )
            applied = await self._apply(run, gathered, decision, server)
            rows = decision.unrecorded(inputs.memory.rooms)
            app = journal_name(run.key.kind, run.key.name)
            await asyncio.to_thread(self.store.own, rows, namespace=run.key.namespace, app=app, epoch=run.cluster.epoch)
            made = applied.made(decision.allowed) if applied is not None else pl.DataFrame(schema=CHANGE_SCHEMA)
            now_there = after(decision.actual, made)
            shown = None
            if isinstance(run.resource, Chat):
                key = next(iter(now_there.chats["key"]), None)
                shown = await show_avatar(run.resource, run.cluster, server, key=key)
        await approvals.settle(run.cluster, run.key, decision.reviewed, made, store=self.store, now=run.clock.now())
        if number := repaired(decision, applied):
            words = f"{number} changes made by hand in the chats were put back"
            run.cluster.event(run.obj, warning=False, reason="DriftRepaired", message=words)
        if shown is not None and shown.now:
            run.cluster.event(run.obj, warning=False, reason="AvatarSet", message="the declared picture was set")
        parked = frozenset(inputs.memory.parked) | (applied.parked if applied is not None else frozenset())
        left = left_to_do(decision, applied)
        if gathered.arrivals is not None:
            await settle(self.store, gathered.arrivals, inputs, decision, left, epoch=run.cluster.epoch)
        left = left.filter(~coming_of(parked))
        reason, message, ending = chat_outcome(
            decision,
            applied,
            left,
            contact=gathered.district.spec.contact,
            claimed=_claimed(inputs, decision),
            parked=len(parked),
            **_remarks(inputs),
        )
        policy, counted = run.resource, standing(decision.desired, now_there, parked=parked)
        status = with_state(
            policy,
            decision,
            now_there,
            counted,
            left,
            stale=inputs.stale,
            digest=gathered.digest,
            now=run.clock.now(),
            contact=gathered.district.spec.contact,
        )
        if gathered.arrivals is not None:
            status = status.model_copy(update={"link": gathered.arrivals.link})
        status = with_avatar(status, shown, generation=policy.metadata.generation, now=run.clock.now())
        # An extra chat is of no school, and stands in no School.
        schools = {} if inputs.rules.extra is not None else chat_rows(decision, applied, now_there, counted, left)
        assert status.chats is not None
        assert status.members is not None
        links = await asyncio.to_thread(self.store.links.counts, place_of(policy))
        self.metrics.chats(
            run.key,
            chats=status.chats.model_dump(),
            members=status.members.model_dump(),
            links={state.value.lower(): number for state, number in links.items()},
        )
        return Report(
            status=status,
            message="; ".join(filter(None, [message, calm.words])),
            reason=reason,
            ending=ending,
            again=min(
                [policy.spec.sync.interval.timedelta, *_waiting(decision), *_resting(calm, decision), *unshown(shown)]
            ),
            read_at=run.clock.now() if decision.actual.complete else None,
            summary={**status.chats.model_dump(), **status.members.model_dump()},
            schools=schools,
            wakes=changed_schools(run, schools),
        )

    # -- gather -------------------------------------------------------------------------------------------------

    async def gather(self, run: Run[DeclaredChats], platform: ChatPlatform) -> Gathered:
        """Read all but the server. Raises HomeroomError."""
        policy, namespace = run.resource, run.key.namespace
        name = policy.spec.district_ref.name
        raw = run.cluster.get(Key("District", namespace, name))
        if raw is None:
            raise DependencyNotReadyError(f"District '{name}' is missing")
        district = parse(raw)
        assert isinstance(district, District)
        accepted = await asyncio.to_thread(self.store.accepted, namespace=namespace, district=name)
        if accepted is None:
            raise DependencyNotReadyError(
                f"District '{name}' has no accepted snapshot yet", reason=Reason.WAITING_FOR_ROSTER.value
            )
        directory = self.store.snapshots(namespace=namespace, district=name)
        roster = (await asyncio.to_thread(load, directory, accepted.serving)).roster
        chat = policy.metadata.name if isinstance(policy, Chat) else None
        scope = self.outside.owner_of_chats(namespace=namespace, district=name, chat=chat)
        rules = rules_of(policy, scope=scope, protected=platform.spec.protect)
        inputs = await asyncio.to_thread(
            self._inputs,
            run,
            platform,
            district,
            roster,
            rules,
            others=() if isinstance(policy, Chat) else _others(run.cluster, policy, platform, scope=scope),
            read_at=accepted.accepted_at,
        )
        revision = await self._revision(run, raw)
        return Gathered(district=district, inputs=inputs, digest=accepted.serving, revision=revision)

    def _inputs(
        self,
        run: Run[DeclaredChats],
        platform: ChatPlatform,
        district: District,
        roster: Roster,
        rules: ChatRules,
        *,
        others: Sequence[tuple[str, ChatRules | None, bool]],
        read_at: datetime,
    ) -> ChatInputs:
        """What a decision rests on. Blocks. `others`: name, rules and whether it is older. `read_at`: as accepted."""
        policy, namespace, now = run.resource, run.key.namespace, run.clock.now()
        name, chats = district.metadata.name, self.store.chats
        memory = self._memory(run, district, now=now)
        pins = self.store.pins(namespace=namespace, district=name)
        pins = pl.DataFrame(schema=PINS) if pins is None else pins
        homeroom = district.spec.homeroom
        records = chat_records(roster, pins=pins, homeroom=homeroom, today=district.spec.day(now))
        sure = doubted_since(memory.noted, memory.holds, now=now)
        links = self._links(run, platform, district, roster)
        asked = self.store.holds(namespace=namespace, kind="District", name=name, guard=Guard.IDENTITY)
        last = self.store.run(namespace=namespace, kind="District", name=name)
        read_at = last.read_at if last is not None and last.read_at is not None else read_at
        return ChatInputs(
            rules=rules,
            records=records,
            links=links,
            memory=memory,
            others=[
                OtherPolicy(
                    rules=words,
                    older=older,
                    known=chats.known(namespace=namespace, policy=other),
                )
                for other, words, older in others
            ],
            limits=limits_of(policy.spec.guard),
            reviews=policy.spec.first_sync.value == "Review",
            now=now,
            denied=district.spec.denied(),
            still=in_question(records, links, _people(asked)).to_list(),
            sure=None
            if sure is None
            else (sure, chat_records(roster, pins=pins, homeroom=homeroom, today=district.spec.day(sure))),
            stale=now > next_reading(district, next_reading(district, read_at)),
            opened=self._opened(namespace, name),
        )

    def _opened(self, namespace: str, district: str) -> Opened:
        """Classes with a call or a lesson. Blocks."""
        lessons, place = self.store.lessons, {"namespace": namespace, "district": district}
        called = lessons.called(**place)
        return {CreateOn.FIRST_CALL: called, CreateOn.FIRST_LESSON: sorted({*called, *lessons.taught(**place)})}

    def _links(self, run: Run[DeclaredChats], platform: ChatPlatform, district: District, roster: Roster) -> Links:
        """Whose account is whose: what is said now, and what was once and nobody took back. Blocks."""
        place = place_of(run.resource)
        given, by = _given(roster, platform)
        self.store.links.note(given, place=place, by=by, at=run.clock.now(), epoch=run.cluster.epoch)
        return Links.of(
            # What the records claim of an account that is another person's is a question, and it stands still for both.
            pl.concat([self.store.links.linked(place), given]),
            unlinked=self.store.links.unlinked(place),
            same={link.to: link.from_ for link in district.spec.identity.links},
        )

    def _memory(self, run: Run[DeclaredChats], district: District, *, now: datetime) -> ChatMemory:
        """What the store knows about a policy. Blocks.

        What was made under an approved hold counts as made, even if we died before we could note that in the hold.
        """
        store, kind, namespace, name = self.store, run.key.kind, run.key.namespace, run.key.name
        place = {"namespace": namespace, "policy": policy_name(kind, name)}
        app, since = journal_name(kind, name), now - timedelta(days=WINDOW_DAYS)
        holds = store.holds(namespace=namespace, kind=kind, name=name)
        approved = [hold.id for hold in holds if hold.state is State.APPROVED]
        of_district = store.holds(
            namespace=namespace, kind="District", name=district.metadata.name, guard=Guard.ROLL_OVER
        )
        return ChatMemory(
            stored=store.chats.baseline(**place),
            rooms=store.chats.rooms(**place),
            recent=store.recent(namespace=namespace, app=app, since=since, closed_since=since),
            holds=holds,
            made=store.released(namespace=namespace, app=app, holds=approved),
            words=approvals.words_of(run.cluster, run.key),
            noted=store.noted(kind=kind, namespace=namespace, name=name),
            released=store.passed(namespace=namespace, district=district.metadata.name)
            .released.filter(pl.col("at") > (now - VALID).astimezone(UTC))
            .select(RELEASED.names()),
            parked=store.chats.parked(**place, now=now),
            rolled_over=rolled_over(of_district, now=now),
        )

    # -- apply --------------------------------------------------------------------------------------------------

    async def _apply(
        self, run: Run[DeclaredChats], gathered: Gathered, decision: ChatDecision, server: Platform
    ) -> Applied | None:
        """Carry out what is allowed; None: there was nothing to do.

        The baseline is written before the first change and again after the last one: whatever happens in between, who
        was wanted once had a reason, so nobody who was let in is later taken for an intruder (DESIGN.md invariant 7).
        """
        latest = await asyncio.to_thread(decision.stored)
        # Whoever comes now would be a stranger by what the last run left, should this one not come to its end.
        self.repairs.remember(run.key, None)
        await self._save(run, latest, before=gathered.inputs.memory.stored)
        if decision.allowed.empty:
            self._remember(run, gathered, decision, latest.baseline)
            return None
        executor = executor_for(run, store=self.store, metrics=self.metrics, revision=gathered.revision)
        hands = ChatHands(platform=server, wanted=decision.desired)
        applied = await executor.apply(decision.allowed, hands, interrupted=run.interrupted, progress=run.progress)
        settled = await asyncio.to_thread(latest.baseline.settled, decision.allowed, applied.undone)
        await self._save(run, replace(latest, baseline=settled), before=latest)
        self.repairs.note(run.key, decision.allowed, applied)
        self._remember(run, gathered, decision, settled)
        return applied

    async def _revision(self, run: Run[DeclaredChats], *others: Object) -> str:
        """The Git revision of what the run goes by."""
        return await revision_of(
            run.obj, others, ask=run.cluster.revision, store=self.store, now=run.clock.now(), epoch=run.cluster.epoch
        )

    def _remember(
        self, run: Run[DeclaredChats], gathered: Gathered, decision: ChatDecision, baseline: Baseline
    ) -> None:
        """What repairs between this run and the next go by."""
        if run.resource.spec.sync.mode is not ChatSyncMode.CONTINUOUS:
            self.repairs.remember(run.key, None)
            return
        inputs = gathered.inputs
        decided = Decided(
            baseline=baseline, rules=inputs.rules, links=inputs.links, denied=inputs.denied, still=inputs.still
        )
        left = Remembered(
            decided=decided,
            generation=run.resource.metadata.generation,
            unsure=decision.actual.unsure,
            revision=gathered.revision,
        )
        self.repairs.remember(run.key, left)

    async def _save(self, run: Run[DeclaredChats], latest: StoredChats, *, before: StoredChats | None) -> None:
        """Store it, unless it is what is stored."""
        if before is not None and await asyncio.to_thread(latest.equals, before):
            return
        place = {"namespace": run.key.namespace, "policy": policy_name(run.key.kind, run.key.name)}
        await asyncio.to_thread(self.store.chats.save_baseline, latest, **place, epoch=run.cluster.epoch)


def _platform(cluster: Cluster, place: Key) -> ChatPlatform:
    raw = cluster.get(place)
    if raw is None:
        raise DependencyNotReadyError(f"ChatPlatform '{place.name}' is missing")
    platform = parse(raw)
    assert isinstance(platform, ChatPlatform)
    return platform


async def _read(server: Platform, rules: ChatRules, *, full: bool) -> Actual:
    """What is there. Of an extra chat its room alone, unless that is not found, or `full`: nothing is trusted."""
    if rules.extra is not None and not full:
        alone = await server.read([extra_key(rules.scope)])
        if not alone.chats.is_empty():
            return replace(alone, complete=True)
    return await server.read()


def _given(roster: Roster, platform: ChatPlatform) -> tuple[pl.DataFrame, LinkedBy]:
    """Accounts as the records say them: columns `homeroom.chats.records.LINKS_SCHEMA`; and how that is known."""
    identity, matrix = platform.spec.identity, platform.spec.matrix
    if identity.template is not None:
        given, by = links_from_template(roster, template=identity.template), LinkedBy.TEMPLATE
    else:
        given, by = links_from_user_ids(roster, type_=identity.user_id_type or ""), LinkedBy.RECORDS
    server = re.escape(matrix.server_name) if matrix is not None else ""
    # What no account can be, and an account of another server, is nobody's here: it would come into no chat.
    fits = pl.col("account").str.contains(rf"^@[a-z0-9._=/+-]{{1,200}}:{server}$")
    return given.filter(fits), by


def _others(
    cluster: Cluster, policy: ChatPolicy, platform: ChatPlatform, *, scope: str
) -> list[tuple[str, ChatRules | None, bool]]:
    """Name, rules (None: nobody can tell) and whether it is older, of the other policies of the same chats."""
    found: list[tuple[str, ChatRules | None, bool]] = []
    for raw in cluster.list("ChatPolicy", policy.metadata.namespace):
        meta, spec = raw["metadata"], raw["spec"]
        same = (spec.get("districtRef"), spec.get("platformRef")) == (
            policy.spec.district_ref.model_dump(by_alias=True),
            policy.spec.platform_ref.model_dump(by_alias=True),
        )
        if not same or meta["name"] == policy.metadata.name or meta.get("deletionTimestamp"):
            continue
        try:
            other = parse(raw)
            assert isinstance(other, ChatPolicy)
            rules = rules_of(other, scope=scope, protected=platform.spec.protect)
        except InvalidSpecError:  # it does nothing itself; what it knows of stays its own
            found.append((meta["name"], None, False))
            continue
        found.append((meta["name"], rules, other.age < policy.age))
    return found


def _people(holds: Sequence[Hold]) -> list[str]:
    """Source ids of people of whom it is asked who they are."""
    found = set[str]()
    for hold in holds:
        if hold.state is State.OPEN:
            found |= {hold.place} if hold.scope is Scope.PERSON else set()
            found |= set(hold.rows.filter(pl.col("kind").is_in(PERSONAL))["key"])
    return sorted(found)


def _claimed(inputs: ChatInputs, decision: ChatDecision) -> int:
    """Accounts that two people claim; for an extra chat, people who are to be in it and have none else."""
    if inputs.rules.extra is None:
        return inputs.links.claimed.len()
    return decision.desired.pending.filter(pl.col("state") == Standing.PARKED.value).height


def _remarks(inputs: ChatInputs) -> dict[str, Sequence[str]]:
    """What an extra chat names that cannot be; see `chat_outcome`."""
    extra, records = inputs.rules.extra, inputs.records
    if extra is None:
        return {}
    return {"students": students_among(records, extra.administrators), "strange": strange(records, extra)}


def _waiting(decision: ChatDecision) -> list[timedelta]:
    """How long it is until what waits for its day is due."""
    return [due - decision.now for due in decision.reviewed.plan.waiting.changes["due"].unique()]


def _resting(calm: Calmed, decision: ChatDecision) -> list[timedelta]:
    """How long it is until the first of what rests is put right."""
    return [] if calm.until is None else [calm.until - decision.now]

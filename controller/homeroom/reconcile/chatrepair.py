"""Chats that somebody changed by hand are put right between two runs of their policy, and never in an endless war.

A whole run leaves here what it decided (`remember`); `repair` works from that, reads the changed chats alone, and makes
what needs nobody's word (`homeroom.chats.repair`). Both slow down over what is changed again and again
(`homeroom.chats.flapping`). All of it is in memory: after a restart a whole run comes first. Neighbours: `listening`
(who says what changed), `chatpolicy` (the whole run), `executor` (the only hands).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import polars as pl

from homeroom.api import Chat, ChatPlatform, Reason, parse
from homeroom.chats.flapping import Calmed, calmed, nothing_repaired, open_doors, with_repairs
from homeroom.chats.linking import Place
from homeroom.chats.repair import Decided
from homeroom.chats.state import Actual, Desired
from homeroom.plan import IDENTITY, Change, Outcome, Plan
from homeroom.platforms import Named, Platform
from homeroom.reconcile.chatrules import DeclaredChats
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.executor import CHAT_SIZES, Applied, Executor, count_planned, counting
from homeroom.reconcile.ports import Clock, Cluster, Key, Metrics
from homeroom.reconcile.run import Run
from homeroom.store import Store, journal_name


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatHands:
    """A chat server, with the chats that are wanted there: what the executor works with."""

    platform: Platform
    wanted: Desired

    async def apply(self, batch: Sequence[Change], /) -> Sequence[Outcome]:
        """Carry out one batch."""
        return await self.platform.apply(batch, self.wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """What a whole run leaves. `generation`: of the policy; `unsure`: keys of chats that stand still."""

    decided: Decided
    generation: int
    unsure: frozenset[str]
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRepair:
    """Repairs of all policies of this process."""

    store: Store
    outside: Outside
    metrics: Metrics
    clock: Clock
    _remembered: dict[Key, Remembered] = field(default_factory=dict)
    _repaired: dict[Key, pl.DataFrame] = field(default_factory=dict)  # columns `flapping.REPAIRED`
    _turns: dict[Key, asyncio.Lock] = field(default_factory=dict)

    def turn(self, platform: Key) -> asyncio.Lock:
        """Who holds it works on that server, alone: it is one, and so are its limits."""
        return self._turns.setdefault(platform, asyncio.Lock())

    def remember(self, policy: Key, left: Remembered | None) -> None:
        """A whole run of a policy has ended; None: it has begun to change things, or nobody listens for the policy."""
        if left is None:
            self._remembered.pop(policy, None)
        else:
            self._remembered[policy] = left

    def forget(self, policy: Key) -> None:
        """There is no such policy any more."""
        self._remembered.pop(policy, None)
        self._repaired.pop(policy, None)

    def calm(self, policy: Key, plan: Plan, *, wanted: Desired, actual: Actual) -> Calmed:
        """Take out of a plan what shall rest, as it was put right again and again."""
        before = self._repaired.get(policy)
        if before is None:
            return Calmed(plan=plan, resting=0, until=None)
        return calmed(plan, before, doors=open_doors(wanted, actual), now=self.clock.now())

    def note(self, policy: Key, plan: Plan, applied: Applied) -> None:
        """What of a plan was made."""
        texts = [pl.col(name).cast(pl.String) for name in IDENTITY]
        rows = plan.changes.with_columns(texts).join(applied.undone, on=list(IDENTITY), how="anti", nulls_equal=True)
        before = self._repaired.get(policy, nothing_repaired())
        self._repaired[policy] = with_repairs(before, Plan(rows), now=self.clock.now())

    def named(self, place: Place) -> Named:
        """Since when the records (or a template) say whose an account is, and not its owner on the pages."""
        return lambda account: asyncio.to_thread(self.store.links.named, place, account)

    async def repair(self, cluster: Cluster, policy: Key, chats: Collection[str]) -> None:
        """Read these chats (keys), and put right what needs nobody's word. Raises HomeroomError.

        Nothing is done for a policy that was edited since its last whole run, or had none: one is on its way.
        """
        raw = cluster.get(policy)
        if raw is None:
            return
        place = Key("ChatPlatform", policy.namespace, (raw["spec"].get("platformRef") or {}).get("name", ""))
        async with self.turn(place):
            left, raw, server = self._remembered.get(policy), cluster.get(policy), cluster.get(place)
            if left is None or raw is None or server is None or raw["metadata"].get("generation") != left.generation:
                return
            resource, platform = parse(raw), parse(server)
            assert isinstance(resource, DeclaredChats)
            assert isinstance(platform, ChatPlatform)
            wanted = left.decided.baseline.desired.chats["key"]
            keys = wanted.filter(wanted.is_in(list(chats)) & ~wanted.is_in(list(left.unsure))).to_list()
            if not keys or platform.spec.suspend or resource.spec.suspend:
                return
            run: Run[DeclaredChats] = Run(
                key=policy,
                obj=raw,
                resource=resource,
                cluster=cluster,
                clock=self.clock,
                started=self.clock.now(),
                full=False,
                fresh=False,
                last=None,
            )
            opened = await self.outside.platform(
                platform,
                cluster.secret,
                district=resource.spec.district_ref.name,
                chat=policy.name if policy.kind == Chat.__name__ else None,
                language=resource.spec.language,
                named=self.named(place_of(resource)),
            )
            async with opened:
                await self._put_right(run, left, opened, keys)

    async def _put_right(
        self, run: Run[DeclaredChats], left: Remembered, server: Platform, keys: Sequence[str]
    ) -> None:
        actual = await server.read(keys)
        now = self.clock.now()
        plan = await asyncio.to_thread(left.decided.repairs, actual, able=server.capabilities, now=now)
        wanted = left.decided.wanted(actual)
        calm = self.calm(run.key, plan, wanted=wanted, actual=actual)
        if calm.until is not None:
            run.cluster.event(run.obj, warning=True, reason=Reason.FLAPPING.value, message=calm.words)
            run.cluster.enqueue(run.key, after=(calm.until - now).total_seconds())
        due = calm.plan.due
        if due.empty:
            return
        count_planned(self.metrics, due)
        executor = executor_for(
            run, store=self.store, metrics=self.metrics, generation=left.generation, revision=left.revision
        )
        applied = await executor.apply(
            due, ChatHands(platform=server, wanted=wanted), interrupted=run.interrupted, progress=in_silence
        )
        self.note(run.key, due, applied)
        if applied.applied:
            words = f"{applied.applied} changes made by hand in the chats were put back"
            run.cluster.event(run.obj, warning=False, reason=Reason.DRIFT_REPAIRED.value, message=words)
        if applied.broken is not None:
            raise applied.broken


def executor_for(
    run: Run[DeclaredChats], *, store: Store, metrics: Metrics, revision: str, generation: int | None = None
) -> Executor:
    """What carries out plans of chats. `revision`, `generation`: of what a plan follows from, if not of what is now."""
    return Executor(
        store=store,
        clock=run.clock,
        namespace=run.key.namespace,
        app=journal_name(run.key.kind, run.key.name),
        run=uuid.uuid4().hex,
        generation=run.resource.metadata.generation if generation is None else generation,
        revision=revision,
        epoch=run.cluster.epoch,
        count=counting(metrics),
        sizes=CHAT_SIZES,
    )


async def in_silence(_: str) -> None:
    """A repair is over before anybody could read how far it is, and the status is the whole runs'."""


def place_of(policy: DeclaredChats) -> Place:
    """Where the people of a policy are linked."""
    spec = policy.spec
    return Place(policy.metadata.namespace, spec.platform_ref.name, spec.district_ref.name)

"""LearningApp: what the rules share of the district's snapshot, compared with what the app holds, put right.

::

    snapshot --rules--> shared --> desired --+
    target --read live--> actual ------------+--> plan --> policy --> guards --> executor --> status, School rows
    store --> baseline (what had a reason) --+                          |
    commits --> Approvals ----------------------------------------------+--> holds

Neighbours: `decide` (the way to the plan), `executor` (the only hands), `outcome` (what to say), `district` (the
snapshot), `school` (its rows).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar, Final

import polars as pl
import structlog

from homeroom.api import (
    MAX_RULES_IN_STATUS,
    MAX_SCHOOLS_IN_STATUS,
    ClassRemoval,
    Condition,
    Counts,
    DeletionPolicy,
    District,
    Duration,
    KeptStatus,
    LearningApp,
    LearningAppStatus,
    PersonRemoval,
    Reason,
    Removal,
    RuleCounts,
    SchoolCounts,
    SharingFindings,
    SharingRule,
    SharingRuleStatus,
    conditions,
    parse,
)
from homeroom.errors import DependencyNotReadyError, HomeroomError, InvalidSpecError
from homeroom.plan import (
    VALID,
    WINDOW_DAYS,
    Cause,
    Guard,
    State,
    Word,
    changes,
    rolled_over,
)
from homeroom.reconcile import approvals
from homeroom.reconcile.activity import logins_of
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.decide import (
    SALT,
    Decision,
    Memory,
    Salt,
    canonical,
    decide,
    pool_from,
    recognisable,
)
from homeroom.reconcile.executor import Applied, Executor, count_planned, counting
from homeroom.reconcile.origin import revision_of
from homeroom.reconcile.outcome import gaps, left_to_do, outcome_of, plan_status, repaired, school_rows
from homeroom.reconcile.ports import Clock, Cluster, Key, Metrics, Object
from homeroom.reconcile.run import Ending, Report, Run
from homeroom.reconcile.school import changed_schools
from homeroom.reconcile.subscription import with_subscription, without_subscription
from homeroom.roster.diff import Baseline, diff, expected, is_current, passed_rows
from homeroom.roster.door import RELEASED
from homeroom.roster.leaving import Kept, counted, unstaffed
from homeroom.roster.owned import unrecorded
from homeroom.roster.shared import Rule, Shared, barring, rules_of, share
from homeroom.roster.state import DESIRED_SCHEMAS, Desired
from homeroom.seats.usage import LOGINS_SCHEMA
from homeroom.sources import Snapshot, load
from homeroom.store import Store, StoredBaseline
from homeroom.targets import Target

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inputs:
    """Everything that a run reads before it looks at the target."""

    district: District
    rules: tuple[Rule, ...]
    models: tuple[SharingRule, ...]
    snapshot: Snapshot
    digest: str
    memory: Memory
    revision: str
    declared: str  # what Git says of who is shared


SETTLE: Final = timedelta(minutes=1)
"""How long sharing rules must have stood still until they count: whoever renames an Exclude deletes it for a moment,
and what it covers must not be shared in between (safety row 4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningAppRoot:
    """The work of one run of a LearningApp. `settle`: as `SETTLE`. `salt`: randomness for the ids of holds."""

    store: Store
    outside: Outside
    metrics: Metrics
    clock: Clock
    settle: timedelta = SETTLE
    salt: Salt = SALT
    rests: ClassVar[bool] = True
    _seen: dict[Key, tuple[str, float]] = field(default_factory=dict)  # rules of an app, and since when we know them

    @property
    def reads(self) -> tuple[str, ...]:
        """A missing kind must never look like "no rules" (safety row 20)."""
        return ("District", "SharingRule", "School", "Approval", "LicensePool")

    def needs_cleanup(self, resource: LearningApp) -> bool:
        """Only `deletionPolicy: Archive` has anything to do outside."""
        return resource.spec.deletion_policy is DeletionPolicy.ARCHIVE

    async def absent(self, key: Key, cluster: Cluster) -> None:
        """Rules that name this app learn that it is not there."""
        message = f"LearningApp '{key.name}' is missing"
        for raw in _rules_of_app(cluster, key):
            await _refuse_rule(self.clock.now(), cluster, raw, reason=Reason.DEPENDENCY_NOT_READY, message=message)
        await approvals.refuse(cluster, key, now=self.clock.now())
        nothing = pl.DataFrame(schema=LOGINS_SCHEMA)
        place = {"namespace": key.namespace, "app": key.name}
        await asyncio.to_thread(self.store.use.save_activity, nothing, **place, epoch=cluster.epoch)

    async def reconcile(self, run: Run[LearningApp]) -> Report[LearningAppStatus]:
        """One run: gather, decide, apply, report."""
        app = run.resource
        models = await self._rules(run)
        if not any(model.spec.effect.value == "Include" for model in models):
            nothing = {
                "rules": (),
                "schools": (),
                "per_school_sum": Counts(),
                "distinct": Counts(),
                "in_two_schools": None,
                "in_more_schools": None,
                "findings": (),
                "plan": None,
                "kept": None,
            }
            return Report(
                status=_without_seats(without_subscription(app.status.model_copy(update=nothing))),
                message="no SharingRule shares anything with this app: nothing is shared and nothing is removed",
                reason=Reason.NO_SHARING_RULES,
                ending=Ending.STALLED,
                wakes=changed_schools(run, {}),
            )
        inputs = await self._gather(run, models)
        wait = self._still_settling(run.key, inputs)
        if wait is not None:
            return Report(
                status=app.status,
                message="the sharing rules have changed; they count once they have stood still for a while",
                reason=Reason.RULES_SETTLING,
                ending=Ending.UNFINISHED,
                again=wait,
            )
        now, roster, homeroom = run.clock.now(), inputs.snapshot.roster, inputs.district.spec.homeroom
        today = inputs.district.spec.day(now)
        shared = await asyncio.to_thread(share, roster, inputs.rules, homeroom=homeroom, today=today)
        await self._report_rules(run, models, shared)  # before the target: it may not be reachable
        passwords = dict(inputs.snapshot.credentials.iter_rows())
        target = await self.outside.target(app, run.cluster.secret, password=passwords.get)
        async with target:
            decision = await decide(
                app,
                district=inputs.district,
                rules=inputs.rules,
                roster=roster,
                shared=shared,
                target=target,
                memory=inputs.memory,
                now=now,
                salt=self.salt,
            )
            count_planned(self.metrics, decision.allowed)
            await approvals.keep(
                decision.reviewed.holds,
                run.key,
                before=inputs.memory.holds,
                store=self.store,
                epoch=run.cluster.epoch,
            )
            applied, baseline = await self._apply(run, inputs, decision, target)
            await self._own(run, inputs, decision)  # not before the baseline: without one all is in review
            told_at, pools = await self._tell_use(run, inputs, decision, target)
            lacking = gaps(app, target)
        done = changes(decision.waiting)  # let through, and remembered in the baseline
        if applied is not None:
            done = pl.concat([done, applied.made(decision.allowed)])
        await approvals.settle(run.cluster, run.key, decision.reviewed, done, store=self.store, now=run.clock.now())
        kept = counted(baseline.kept, decision.waiting, now=decision.now)
        untaught = await asyncio.to_thread(unstaffed, decision.desired, baseline.kept)
        report = self._report(run, inputs, decision, applied, lacking=lacking, kept=kept, untaught=untaught.height)
        return replace(report, told_at=told_at, wakes=(*report.wakes, *pools))

    # -- gather -------------------------------------------------------------------------------------------------

    async def _rules(self, run: Run[LearningApp]) -> tuple[SharingRule, ...]:
        """The app's rules. One that is invalid stops the run: without it we would share too much, or too little."""
        models = []
        for raw in _rules_of_app(run.cluster, run.key):
            if raw["metadata"].get("deletionTimestamp"):
                continue
            try:
                model = parse(raw)
            except InvalidSpecError as error:
                await _refuse_rule(run.clock.now(), run.cluster, raw, reason=Reason.INVALID_SPEC, message=error.message)
                raise InvalidSpecError(
                    f"SharingRule '{raw['metadata']['name']}' is invalid: {error.message}"
                ) from error
            assert isinstance(model, SharingRule)
            models.append(model)
        return tuple(models)

    async def _gather(self, run: Run[LearningApp], models: tuple[SharingRule, ...]) -> _Inputs:
        namespace, name = run.key.namespace, run.key.name
        reference = run.resource.spec.district_ref.name
        raw = run.cluster.get(Key("District", namespace, reference))
        if raw is None:
            raise DependencyNotReadyError(f"District '{reference}' is missing")
        district = parse(raw)
        assert isinstance(district, District)
        accepted = await asyncio.to_thread(self.store.accepted, namespace=namespace, district=reference)
        if accepted is None:
            raise DependencyNotReadyError(f"District '{reference}' has no accepted snapshot yet")
        directory: Path = self.store.snapshots(namespace=namespace, district=reference)
        snapshot = await asyncio.to_thread(load, directory, accepted.serving)
        return _Inputs(
            district=district,
            rules=rules_of(models),
            models=models,
            snapshot=replace(snapshot, roster=barring(snapshot.roster, district.spec.denied())),
            digest=accepted.serving,
            declared=canonical(rules_of(models), run.resource.pool),
            memory=await asyncio.to_thread(
                remembered,
                self.store,
                namespace=namespace,
                app=name,
                district=reference,
                words=approvals.words_of(run.cluster, run.key),
                grace=run.resource.spec.removal.grace,
                now=run.clock.now(),
                pool=run.resource.pool,
                exists=lambda pool: run.cluster.get(Key("LicensePool", *pool.split("/"))) is not None,
                digest=accepted.serving,
            ),
            revision=await self._revision(run, raw, *_rules_of_app(run.cluster, run.key)),
        )

    def _still_settling(self, key: Key, inputs: _Inputs) -> timedelta | None:
        """How long to wait until rules that nothing was done by yet have stood still; None: they have."""
        declared, stored, now = inputs.declared, inputs.memory.stored, self.clock.monotonic()
        if stored is not None and stored.rules == declared:
            self._seen.pop(key, None)
            return None
        seen, since = self._seen.get(key, (None, now))
        if seen != declared:
            self._seen[key] = (declared, now)
            since = now
        left = self.settle - timedelta(seconds=now - since)
        return left if left > timedelta() else None

    # -- apply --------------------------------------------------------------------------------------------------

    async def _apply(
        self, run: Run[LearningApp], inputs: _Inputs, decision: Decision, target: Target
    ) -> tuple[Applied | None, Baseline]:
        """Carry out what is allowed (None: there was nothing to do); with the baseline as it is stored after that.

        The baseline is written before the first change and again after the last one: whatever happens in between, what
        was wanted once had a reason, so nobody who was let in is later taken for an intruder (invariant 7).
        """
        stored, plan = inputs.memory.stored, decision.allowed
        if (
            stored is not None
            and decision.plan.empty
            and not stored.baseline.first
            and (stored.rules, stored.sharing, stored.removal)
            == (decision.rules, decision.shared.digest, decision.removal)
            and await asyncio.to_thread(is_current, stored.baseline, decision.actual)
        ):
            return None, stored.baseline
        baseline = await asyncio.to_thread(
            expected,
            decision.desired,
            decision.actual,
            decision.plan,
            before=stored.baseline if stored else None,
            passed=decision.passed,
            now=decision.now,
        )
        await self._save(run, decision, baseline, before=stored)  # the same again while something is held
        if plan.empty:
            return None, baseline
        applied = await self._executor(run, inputs.revision).apply(
            plan, target, interrupted=run.interrupted, progress=run.progress
        )
        baseline = await asyncio.to_thread(baseline.settled, plan, applied.undone)
        await self._save(run, decision, baseline)
        return applied, baseline

    async def _own(self, run: Run[LearningApp], inputs: _Inputs, decision: Decision) -> None:
        """The ledger learns what the target's marks say is ours, should it not know that any more."""
        rows = await asyncio.to_thread(unrecorded, decision.actual, inputs.memory.known, decision.plan)
        place = {"namespace": run.key.namespace, "app": run.key.name}
        await asyncio.to_thread(self.store.own, rows, **place, epoch=run.cluster.epoch)

    async def _tell_use(
        self, run: Run[LearningApp], inputs: _Inputs, decision: Decision, target: Target
    ) -> tuple[datetime | None, Sequence[Key]]:
        """Keep what the target tells of the use of its accounts, for the pool whose seats the app goes by.

        When it told, and the pool if that is news for it. Rosters work without it: whatever goes wrong, it is as if the
        target told nothing, and the pool says so.
        """
        app, district = run.resource, inputs.district
        place = {"namespace": run.key.namespace, "app": run.key.name}
        epoch = run.cluster.epoch
        if app.pool is None:
            nothing = pl.DataFrame(schema=LOGINS_SCHEMA)
            await asyncio.to_thread(self.store.use.save_activity, nothing, **place, epoch=epoch)
            return None, ()
        pool = Key("LicensePool", *app.pool.split("/"))
        has_told = run.last is not None and run.last.told_at is not None
        try:
            told = await target.activity(decision.actual)
        except HomeroomError as error:
            log.info("target tells of no use", key=str(run.key), reason=error.reason)
            return None, (pool,) if has_told else ()
        logins = await asyncio.to_thread(
            logins_of,
            told,
            decision.actual,
            inputs.memory.known,
            district=f"{run.key.namespace}/{district.metadata.name}",
            zone=district.spec.time_zone,
        )
        changed = await asyncio.to_thread(self.store.use.save_activity, logins, **place, epoch=epoch)
        return run.clock.now(), (pool,) if changed or not has_told else ()

    async def _save(
        self, run: Run[LearningApp], decision: Decision, baseline: Baseline, *, before: StoredBaseline | None = None
    ) -> None:
        latest = StoredBaseline(
            baseline=baseline, rules=decision.rules, sharing=decision.shared.digest, removal=decision.removal
        )
        if before is not None and await asyncio.to_thread(latest.equals, before):
            return
        await asyncio.to_thread(
            self.store.save_baseline,
            latest,
            namespace=run.key.namespace,
            app=run.key.name,
            epoch=run.cluster.epoch,
        )

    async def _revision(self, run: Run[LearningApp], *others: Object) -> str:
        cluster, now = run.cluster, run.clock.now()
        return await revision_of(run.obj, others, ask=cluster.revision, store=self.store, now=now, epoch=cluster.epoch)

    def _executor(self, run: Run[LearningApp], revision: str) -> Executor:
        return Executor(
            store=self.store,
            clock=run.clock,
            namespace=run.key.namespace,
            app=run.key.name,
            run=uuid.uuid4().hex,
            generation=run.resource.metadata.generation,
            revision=revision,
            epoch=run.cluster.epoch,
            count=counting(self.metrics),
        )

    async def cleanup(self, run: Run[LearningApp]) -> None:
        """`deletionPolicy: Archive`: end the memberships in our classes, archive them; accounts and work stay."""
        namespace, name = run.key.namespace, run.key.name
        stored = await asyncio.to_thread(self.store.baseline, namespace=namespace, app=name)
        if stored is None:
            return
        known = await asyncio.to_thread(self.store.known, namespace=namespace, app=name)
        target = await self.outside.target(run.resource, run.cluster.secret, password=lambda _: None)
        nothing = Desired(**{part: pl.DataFrame(schema=columns) for part, columns in DESIRED_SCHEMAS.items()})
        removal = Removal(
            students=PersonRemoval.KEEP_ACCOUNT,
            teachers=PersonRemoval.KEEP_ACCOUNT,
            administrators=PersonRemoval.KEEP_ACCOUNT,
            classes=ClassRemoval.ARCHIVE,
        )
        async with target:
            actual = await target.read(recognisable(known, stored.baseline.desired))
            plan = diff(
                nothing,
                actual,
                baseline=stored.baseline,
                removal=removal,
                intermediate=stored.baseline.desired,
                edit=Cause.SPEC_CHANGED,
            )
            applied = await self._executor(run, await self._revision(run)).apply(
                plan, target, interrupted=lambda: "stopping" if run.cluster.stopping() else None, progress=_silent
            )
        if applied.broken is not None:
            raise applied.broken
        if not applied.undone.is_empty():
            raise HomeroomError(f"{applied.undone.height} changes are left", reason=Reason.SOME_CHANGES_FAILED)

    # -- report -------------------------------------------------------------------------------------------------

    async def _report_rules(self, run: Run[LearningApp], models: Sequence[SharingRule], shared: Shared) -> None:
        """Each rule says what it selects."""
        for model in models:
            raw = run.cluster.get(Key("SharingRule", run.key.namespace, model.metadata.name))
            if raw is None:
                continue
            counts = shared.rules[model.metadata.name]
            status = conditions.done(
                model.status.model_copy(update={"matched": counts}),
                generation=model.metadata.generation,
                message=f"selects {counts.sections} sections, {counts.students} students, {counts.teachers} teachers, "
                f"{counts.staff} staff",
                now=run.clock.now(),
            )
            await run.cluster.write_status(raw, status.document())

    def _report(
        self,
        run: Run[LearningApp],
        inputs: _Inputs,
        decision: Decision,
        applied: Applied | None,
        *,
        lacking: list[str],
        kept: Kept,
        untaught: int,
    ) -> Report[LearningAppStatus]:
        app, shared, left = run.resource, decision.shared, left_to_do(decision, applied)
        schools = tuple(SchoolCounts.model_validate(row) for row in shared.per_school.iter_rows(named=True))
        status = app.status.model_copy(
            update={
                "snapshot_digest": inputs.digest,
                "sharing_digest": shared.digest,
                "rules": tuple(
                    RuleCounts(name=name, **counts.model_dump())
                    for name, counts in list(shared.rules.items())[:MAX_RULES_IN_STATUS]
                ),
                "schools": schools if len(schools) <= MAX_SCHOOLS_IN_STATUS else (),
                "per_school_sum": shared.per_school_sum,
                "distinct": shared.distinct,
                "findings": tuple(
                    SharingFindings(id=rule, count=number)
                    for rule, number in shared.findings.group_by("rule").len().sort("rule").iter_rows()
                ),
                "plan": plan_status(left, decision.blocked, doubtful=decision.actual.adopting.doubts.height),
                "kept": KeptStatus(
                    people=kept.people, older_than_14_days=kept.long, leaving=kept.leaving, protected=kept.protected
                ),
                "holds": approvals.hold_statuses(decision.reviewed.open),
            }
        )
        waiting = decision.reviewed.open
        status = conditions.held(
            status,
            message=approvals.held_message(waiting, contact=inputs.district.spec.contact) if waiting else None,
            generation=app.metadata.generation,
            now=run.clock.now(),
        )
        status = conditions.with_condition(
            status,
            type_=conditions.ConditionType.CAPABLE,
            value=not lacking,
            reason=Reason.CAPABILITY_MISSING if lacking else Reason.CAPABILITIES_MET,
            message="; ".join(lacking) or "the target can do everything that is declared",
            generation=app.metadata.generation,
            now=run.clock.now(),
        )
        status = conditions.with_condition(
            status,
            type_=conditions.ConditionType.STAFFED,
            value=not untaught,
            reason=Reason.UNSTAFFED if untaught else Reason.STAFFED,
            message=f"{untaught} classes have students and no teacher"
            if untaught
            else "every class with students has a teacher",
            generation=app.metadata.generation,
            now=run.clock.now(),
        )
        status = _with_seats(status, app, inputs.memory, decision, now=run.clock.now())
        rows = school_rows(decision, applied, left, bought=app.spec.subscription)
        status = with_subscription(
            status,
            app=app,
            district=inputs.district,
            roster=inputs.snapshot.roster,
            shared=shared,
            schools=rows,
            now=run.clock.now(),
        )
        if number := repaired(decision, applied):
            words = f"{number} changes made by hand in the target were put back"
            run.cluster.event(run.obj, warning=False, reason="DriftRepaired", message=words)
        reason, message, ending = outcome_of(decision, applied, left, inputs.district, kept=kept)
        return Report(
            status=status,
            message=message,
            reason=reason,
            ending=ending,
            again=min([app.spec.interval.timedelta, *(due - decision.now for due in decision.waiting["due"])]),
            read_at=run.clock.now() if decision.actual.complete else None,
            summary=shared.distinct.model_dump(),
            schools=rows,
            wakes=changed_schools(run, rows),
        )


def _with_seats(
    status: LearningAppStatus, app: LearningApp, memory: Memory, decision: Decision, *, now: datetime
) -> LearningAppStatus:
    """`status` with who is left out for want of a seat, and the condition `SeatsKnown`. Ready never depends on it."""
    if app.pool is None:
        return _without_seats(status)
    known = app.pool in memory.seats
    words = f"{decision.without_seat} students who are shared hold no seat of pool '{app.pool}', and are left out"
    if decision.unconnected:
        words += f"; {decision.unconnected} teachers are connected to none of its licences, and have no classes"
    return conditions.with_condition(
        status.model_copy(update={"unseated": decision.without_seat}),
        type_=conditions.ConditionType.SEATS_KNOWN,
        value=known,
        reason=Reason.SEATS_KNOWN if known else Reason.SEATS_UNKNOWN,
        message=words
        if known
        else f"pool '{app.pool}' does not say who holds a seat by these records: nobody new comes until it does",
        generation=app.metadata.generation,
        now=now,
    )


def _without_seats(status: LearningAppStatus) -> LearningAppStatus:
    kept = conditions.without(status.conditions, conditions.ConditionType.SEATS_KNOWN)
    return status.model_copy(update={"unseated": None, "conditions": kept})


def remembered(
    store: Store,
    *,
    namespace: str,
    app: str,
    district: str,
    words: Sequence[Word],
    grace: Duration,
    now: datetime,
    digest: str,
    pool: str | None = None,
    exists: Callable[[str], bool] = lambda _: True,
) -> Memory:
    """What the store knows about an app, and what approvals let pass at the door of its district. Blocks.

    What was made under an approved hold counts as made, and so does what was let through until its `grace` is over,
    even if we died before we could note that in the hold. `pool`: whose seats matter, beside that of the last
    applied plan; known is who holds one by the records with this `digest`, as long as the pool `exists`.
    """
    stored = store.baseline(namespace=namespace, app=app)
    since = now - timedelta(days=WINDOW_DAYS)
    holds = store.holds(namespace=namespace, kind="LearningApp", name=app)
    approved = [hold.id for hold in holds if hold.state is State.APPROVED]
    made = store.released(namespace=namespace, app=app, holds=approved)
    if stored is not None:
        made = pl.concat([made, changes(passed_rows(stored.baseline).filter(pl.col("hold").is_in(approved)))])
    seats, reclaimed = {}, pl.Series([], dtype=pl.String)
    for one in filter(None, {pool, pool_from(stored.rules) if stored is not None else None}):
        found = store.seated(one, district=f"{namespace}/{district}")
        if found.digest == digest and exists(one):
            seats[one] = found
            reclaimed = found.reclaimed if one == pool else reclaimed
    return Memory(
        stored=stored,
        seats=seats,
        reclaimed=reclaimed.to_list(),
        known=store.known(namespace=namespace, app=app),
        recent=store.recent(namespace=namespace, app=app, since=since, closed_since=grace.after(since)),
        holds=holds,
        made=made,
        words=words,
        noted=store.noted(kind="LearningApp", namespace=namespace, name=app),
        released=store.passed(namespace=namespace, district=district)
        .released.filter(pl.col("at") > (now - VALID).astimezone(UTC))
        .select(RELEASED.names()),
        rolled_over=rolled_over(
            store.holds(namespace=namespace, kind="District", name=district, guard=Guard.ROLL_OVER), now=now
        ),
    )


async def _silent(_message: str) -> None:
    """Deleting shows its own condition; how far it is matters to nobody."""


def _rules_of_app(cluster: Cluster, app: Key) -> list[Object]:
    return [
        raw
        for raw in cluster.list("SharingRule", app.namespace)
        if raw["spec"].get("appRef", {}).get("name") == app.name
    ]


async def _refuse_rule(run_at: datetime, cluster: Cluster, raw: Object, *, reason: Reason, message: str) -> None:
    """Say in the rule's own status that it does not work as it stands."""
    status = conditions.failed(
        SharingRuleStatus(conditions=_conditions_of(raw)),
        generation=raw["metadata"].get("generation", 0),
        reason=reason,
        message=message,
        now=run_at,
    )
    await cluster.write_status(raw, status.document())


def _conditions_of(raw: Object) -> tuple[Condition, ...]:
    return tuple(Condition.model_validate(item) for item in (raw.get("status") or {}).get("conditions", []))

"""LicensePool: its seats shared out to all its licences at once, and students seated by them.

::

    SchoolLicenses of all namespaces --+--> those that go --> guard --> holds, Approvals --> revoked, or still there
    Districts --> served records ------+                                                        |
    register of school units ----------+--> `licences.decide` --> finalizers --> store --> statuses
    store --> grants, who holds a seat +                                                     |
                                                 one status per licence, the pool's by the shell

All under the pool's key, so no two runs share out the same seats. A licence by which somebody holds a seat or has
classes, or that has a key, carries our finalizer before that is stored: its deletion is seen, and what it gave is taken
back before it goes. Many at a time wait for a person's word, and are as they were until then. Neighbours: `licences`
(decides, and finds the words), `homeroom.seats.revocation` (the guard), `district` (wakes pools when records change),
`learningapp` (has in an app who holds a seat or is connected, and is woken when that changes).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any, ClassVar, Final
from zoneinfo import ZoneInfo

import polars as pl
import structlog

from homeroom.api import (
    FINALIZER,
    Access,
    District,
    InvalidSpecError,
    LicensePool,
    LicensePoolSpec,
    LicensePoolStatus,
    Reason,
    RegistryType,
    SchoolLicense,
    SchoolLicenseStatus,
    UnitStatus,
    parse,
)
from homeroom.errors import HomeroomError
from homeroom.plan import Hold, Judged, Noted, Plan, State, Unseen, Word, changes, doubted_since, review, settled
from homeroom.reconcile import approvals
from homeroom.reconcile.activity import FRESH, Activity
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.decide import SALT, Salt
from homeroom.reconcile.keys import AT_ONCE, KeySecrets, KeyState
from homeroom.reconcile.licences import (
    Facts,
    Licence,
    Outcome,
    Records,
    apps_of_pool,
    day_of,
    decide,
    in_use,
    missing_since,
    pool_of,
    records_of,
    said_of_licences,
    said_of_pool,
    told_to_teachers,
)
from homeroom.reconcile.ports import Clock, Cluster, Key, Metrics, Object, key_of
from homeroom.reconcile.run import Report, Run
from homeroom.seats import revocation
from homeroom.seats.access import NO_TEACHERS
from homeroom.seats.settlement import licence_id
from homeroom.seats.units import UNIT_SCHEMA
from homeroom.sources import load
from homeroom.store import LicenceName, RunRow, Seating, Store
from homeroom.wire import gathered

log = structlog.get_logger()

AGAIN: Final = timedelta(hours=1)
"""Nobody tells us of a namespace that gets other labels, so each pool looks by itself; and when its day ends."""
_CONNECTED: Final = timedelta(minutes=5)
"""The web service cannot tell us of a teacher whom a key has just connected, so pools with keys look more often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LicensePoolRoot:
    """The work of one run of a LicensePool."""

    store: Store
    outside: Outside
    metrics: Metrics
    clock: Clock
    keys: KeySecrets
    salt: Salt = SALT
    rests: ClassVar[bool] = False

    @property
    def reads(self) -> tuple[str, ...]:
        """A missing kind must never look like licences that were removed."""
        return ("SchoolLicense", "District", "LearningApp", "Approval")

    def needs_cleanup(self, resource: LicensePool) -> bool:
        """Licences that outlive their pool keep what they have."""
        del resource
        return False

    async def cleanup(self, run: Run[LicensePool]) -> None:
        """Nothing to do."""

    async def absent(self, key: Key, cluster: Cluster) -> None:
        """There is no such pool: its licences keep what they have, and learn why they get nothing.

        Without any licence nothing of it is remembered, unless an Approval says that there is to be one again.
        """
        licences, words = _licences(cluster, key), approvals.words_of(cluster, key)
        before = await asyncio.to_thread(self.store.seating, namespace=key.namespace, pool=key.name)
        now = self.clock.now()
        today = now.astimezone(UTC).date()
        if not licences and before.equals(Seating()):
            await approvals.refuse(cluster, key, now=now)
            return
        going = await self._guard(
            key,
            cluster,
            licences,
            before,
            words,
            today=today,
            grace=None,
            abandoned=not licences and not words,
            now=now,
        )
        facts = Facts(
            pool=None,
            licences=await asyncio.to_thread(_parsed, licences, going.held),
            gone=going.gone,
            before=before,
            today=today,
            grace=None,
            missing=going.missing,
            revoked=going.revoked,
            connections=await self._connections(before, ()),
        )
        await self._apply(key, cluster, facts, going, licences, now=now)

    async def reconcile(self, run: Run[LicensePool]) -> Report[LicensePoolStatus]:
        """One run: gather, decide, apply, report."""
        spec, now = run.resource.spec, run.clock.now()
        licences = _licences(run.cluster, run.key)
        before = await asyncio.to_thread(self.store.seating, namespace=run.key.namespace, pool=run.key.name)
        today, grace = spec.day(now), None if _in_doubt(run.last, now) else spec.grace.timedelta
        words = approvals.words_of(run.cluster, run.key)
        going = await self._guard(run.key, run.cluster, licences, before, words, today=today, grace=grace, now=now)
        parsed = await asyncio.to_thread(_parsed, licences, going.held)
        admitted = await _admitted(run.cluster, spec, run.key, {each.namespace for each in parsed})
        # Of a namespace that is not admitted nothing is looked at: it could be made to take as long as it likes.
        looked = [each for each in parsed if each.namespace in admitted]
        connections = await self._connections(before, looked)
        units, problem, records = await self._records(run, looked, before, connections=connections)
        facts = Facts(
            pool=spec,
            licences=parsed,
            gone=going.gone,
            before=before,
            today=today,
            grace=grace,
            missing=going.missing,
            revoked=going.revoked,
            connections=connections,
            admitted=admitted,
            units=units,
            register_problem=problem,
            records=records,
            activity=await asyncio.to_thread(_activity, self.store, run.cluster, run.key, before, now),
        )
        facts, outcome, holds = await self._apply(run.key, run.cluster, facts, going, licences, now=now)
        waiting = [hold for hold in holds if hold.state is State.OPEN]
        status, reason, message, ending = said_of_pool(run.resource, facts, outcome, waiting, now=now)
        if facts.grace is not None:  # else nobody knows which day it is
            day = day_of(facts, outcome, status)
            place = {"namespace": run.key.namespace, "pool": run.key.name}
            await asyncio.to_thread(self.store.use.save_day, day, **place, epoch=run.cluster.epoch)
        self.metrics.seats(
            run.key, capacity=status.capacity, granted=status.granted, used=status.used, demand=status.demand
        )
        return Report(
            status=status,
            message=message,
            reason=reason,
            ending=ending,
            again=min(_CONNECTED if _by_key(facts) else AGAIN, _rest_of_day(spec, now)),
            summary=status.model_dump(include={"capacity", "granted", "used", "demand", "waiting_students"}),
            wakes=() if outcome.after.gives_as(before) else tuple(apps_of_pool(run.cluster, run.key)),
        )

    # -- what goes ----------------------------------------------------------------------------------------------

    async def _guard(
        self,
        key: Key,
        cluster: Cluster,
        licences: Sequence[Object],
        before: Seating,
        words: Sequence[Word],
        *,
        today: date,
        grace: timedelta | None,
        abandoned: bool = False,
        now: datetime,
    ) -> _Going:
        """Which licences are revoked now: deleted ones, and those that stay away; and which have to wait for a word.

        What is held is stored here. `abandoned`: there is neither pool nor licence, so all that are known go.
        """
        objects = {licence_id(*key_of(obj)[1:]): obj for obj in licences}
        missing = missing_since(before, objects, today=today, in_doubt=grace is None)
        stored = await asyncio.to_thread(self.store.holds, namespace=key.namespace, kind=key.kind, name=key.name)
        waiting = {licence for hold in stored if hold.active for licence in hold.rows["key"]}
        goes = {name for name, obj in objects.items() if obj["metadata"].get("deletionTimestamp")}
        goes |= {name for name, day in missing.items() if abandoned or (grace is not None and day + grace <= today)}
        goes |= missing.keys() & waiting
        keyed = await asyncio.to_thread(self._keyed, {*objects, *missing})
        used = in_use(before) | keyed
        made = {name: _made(objects[name]) if name in objects else None for name in used}
        asked = revocation.asked(goes & used)
        standing = revocation.Standing.of(made, before.revoked, now=now)
        approved = [hold.id for hold in stored if hold.state is State.APPROVED]

        def judged(_: Sequence[Hold], released: pl.DataFrame, sticky: pl.DataFrame) -> Judged:
            return revocation.judge(asked, standing, released=released, sticky=sticky)

        reviewed = review(
            Plan(asked),
            stored,
            words,
            judged,
            made=revocation.asked(before.revoked.filter(pl.col("hold").is_in(approved))["licence"].to_list()),
            unseen=Unseen(),
            now=now,
            salt=self.salt,
        )
        holds = [hold if hold.context else replace(hold, context=_used_by(hold, before)) for hold in reviewed.holds]
        await self._save_holds(key, cluster, holds, before=stored)
        passing = reviewed.plan.changes
        held = {name: hold.id for hold in reviewed.open for name in hold.rows["key"]}
        gone = goes - held.keys()
        return _Going(
            gone=frozenset(gone),
            held=held,
            missing={name: day for name, day in missing.items() if name not in gone},
            revoked=revocation.written_down(before.revoked, passing, made=made, now=now),
            passing=changes(passing),
            holds=holds,
            keyed=keyed,
        )

    def _keyed(self, licences: Collection[str]) -> frozenset[str]:
        """Those of these that have a key that is alive. Blocks."""
        live = self.store.licences.keys(sorted({name.split("/", 1)[0] for name in licences}))
        return frozenset(licence_id(*row) for row in live.select("namespace", "licence").iter_rows()) & {*licences}

    async def _save_holds(self, key: Key, cluster: Cluster, holds: Sequence[Hold], *, before: Sequence[Hold]) -> None:
        place = {"namespace": key.namespace, "kind": key.kind, "name": key.name}
        await asyncio.to_thread(self.store.save_holds, holds, before=before, **place, epoch=cluster.epoch)

    # -- gather -------------------------------------------------------------------------------------------------

    async def _connections(self, before: Seating, licences: Sequence[Licence]) -> pl.DataFrame:
        """Who is connected by a key: CONNECTIONS_SCHEMA, where there are licences, or were any."""
        namespaces = {name.split("/", 1)[0] for name in before.grants["licence"]}
        namespaces |= {each.namespace for each in licences}
        return await asyncio.to_thread(self.store.licences.connections, sorted(namespaces))

    async def _records(
        self, run: Run[LicensePool], licences: Sequence[Licence], before: Seating, *, connections: pl.DataFrame
    ) -> tuple[pl.DataFrame | None, str, dict[str, Records]]:
        """The register (None: not known, and why), and what each district has for the pool; one after the other.

        Of a district that has no licence any more it stays known that nobody there holds a seat.
        """
        registry = run.resource.spec.unit_registry
        source = ""
        if registry.type is RegistryType.SOURCE and registry.district_ref is not None:
            source = licence_id(run.key.namespace, registry.district_ref.name)
        known = (source, *before.seats["district"].unique(), *before.records)
        of_district: dict[str, list[Licence]] = {name: [] for name in known if name}
        for each in licences:
            if each.district is not None:
                of_district.setdefault(each.district, []).append(each)
        found = {}
        for name, of_it in sorted(of_district.items()):
            key = Key("District", *name.split("/", 1))
            found[name] = await asyncio.to_thread(
                _look,
                self.store,
                key,
                run.cluster.get(key),
                of_it,
                connections,
                needed=bool(of_it) or name == source,
                now=run.clock.now(),
            )
        if source:
            records = found[source]
            return (None if records.problem else records.schools), records.problem, found
        if registry.type is RegistryType.SKOLVERKET:
            return *await self._register(run, licences), found
        rows = [(unit.code, unit.name, (unit.status or UnitStatus.ACTIVE).value, None) for unit in registry.units or ()]
        return pl.DataFrame(rows, UNIT_SCHEMA, orient="row"), "", found

    async def _register(self, run: Run[LicensePool], licences: Sequence[Licence]) -> tuple[pl.DataFrame | None, str]:
        """What Skolverket's register says (None: there is no list), and why it is not what it says now."""
        wanted = {each.model.spec.school_unit for each in licences if each.model is not None}
        directory = self.store.registers(namespace=run.key.namespace)
        try:
            register = await self.outside.register(run.resource, run.cluster.secret, directory=directory)
            if run.resource.spec.suspend:  # nothing outside is read
                listed = await register.kept()
            else:
                listed = await register.read(now=run.clock.now(), wanted=wanted, fresh=run.full)
        except HomeroomError as error:
            return None, error.message
        if listed is None:
            return None, "the pool is suspended, and the register of school units was never read"
        return listed.units, listed.told or ""

    # -- apply --------------------------------------------------------------------------------------------------

    async def _apply(
        self, key: Key, cluster: Cluster, facts: Facts, going: _Going, licences: Sequence[Object], *, now: datetime
    ) -> tuple[Facts, Outcome, Sequence[Hold]]:
        """Decide; mark whom deletion takes something from; store; let go of who is deleted; tell them all.

        The facts, without licences that were deleted meanwhile, what came of them, and the holds as they are then.
        """
        objects = {licence_id(*key_of(obj)[1:]): obj for obj in licences}
        while True:
            outcome = await asyncio.to_thread(decide, facts)
            by_key = [] if facts.pool is None else _by_key(facts)
            if over := [LicenceName(*name.split("/", 1)) for name in sorted(going.keyed.intersection(facts.gone))]:
                await asyncio.to_thread(self.store.licences.revoke, over, at=now, epoch=cluster.epoch)
            holding = outcome.holding | going.keyed.difference(facts.gone)
            holding |= {licence_id(each.metadata.namespace, each.metadata.name) for each in by_key}
            unmarked = {
                name: objects[name]
                for name in sorted(holding & objects.keys() - going.held.keys())
                if not _carries(objects[name])
            }
            await gathered(partial(cluster.set_finalizer, present=True), unmarked.values(), at_once=AT_ONCE)
            went = {name for name, obj in unmarked.items() if not _carries(cluster.get(key_of(obj)))}
            if not went:
                break
            # Deleted before it was marked: nobody tells us again, and its students would keep seats of no licence.
            left = [each for each in facts.licences if each.id not in went]
            facts = replace(facts, licences=left, gone={*facts.gone, *went})
        orphaned = await self._orphaned(key, cluster, going.held, objects, now=now)
        holding = (holding | going.held.keys()) - orphaned
        if not outcome.after.equals(facts.before):
            await self._save(key, cluster, outcome.after)
        marked = [obj for name, obj in objects.items() if _carries(obj) and name not in holding]
        await gathered(partial(cluster.set_finalizer, present=False), marked, at_once=AT_ONCE)
        keys = await self.keys.settle(cluster, by_key, now=now)
        news, said_by_key = await asyncio.to_thread(_said, facts, outcome, objects, pool=key, keys=keys, now=now)
        if facts.pool is not None:
            told = told_to_teachers(by_key, said_by_key, facts.records.values())
            if going.held:  # as it was
                known = await asyncio.to_thread(self.store.web.licences)
                licence = pl.concat_str("namespace", pl.lit("/"), "licence")
                told = pl.concat([told, known.filter(licence.is_in(list(going.held)))])
            place = {"namespace": key.namespace, "pool": key.name}
            await asyncio.to_thread(self.store.web.tell, told, **place, epoch=cluster.epoch)
        revoked = _emptied(cluster, [objects[name] for name in facts.gone & objects.keys()])
        there = [(obj, status) for obj, status in news if licence_id(*key_of(obj)[1:]) not in orphaned]
        await _tell(cluster, [*revoked, *there])
        for name, state in keys.items():
            if state.fresh:
                cluster.enqueue(Key("SchoolLicense", *name.split("/", 1)))  # to be mailed
        holds = settled(going.holds, going.passing)
        await self._save_holds(key, cluster, holds, before=going.holds)
        await approvals.answer(cluster, key, holds, now=now)
        return facts, outcome, holds

    async def _orphaned(
        self, key: Key, cluster: Cluster, held: Mapping[str, str], objects: Mapping[str, Object], *, now: datetime
    ) -> frozenset[str]:
        """Ids of those licences that are `held` in namespaces that are being deleted, which nothing may stop.

        They go, and keep what they had as licences that vanished without a word.
        """
        found = frozenset[str]()
        there = {name: objects[name] for name in held if name in objects}
        for namespace in sorted({obj["metadata"]["namespace"] for obj in there.values() if _carries(obj)}):
            if not await cluster.is_terminating(namespace):
                continue
            names = {name for name, obj in there.items() if obj["metadata"]["namespace"] == namespace}
            words = f"namespace '{namespace}' is being deleted: {len(names)} licences go that are held for approval; "
            words += "who has a seat or classes by them keeps these"
            log.warning("licences go with their namespace", key=str(key), namespace=namespace, licences=len(names))
            if (pool := cluster.get(key)) is not None:
                cluster.event(pool, warning=True, reason="Orphaned", message=words)
            await asyncio.to_thread(
                self.store.licences.note_orphans,
                {name: held[name] for name in names if _carries(there[name])},
                namespace=key.namespace,
                pool=key.name,
                at=now,
                epoch=cluster.epoch,
            )
            found |= names
        return found

    async def _save(self, key: Key, cluster: Cluster, seating: Seating) -> None:
        await asyncio.to_thread(
            self.store.save_seating, seating, namespace=key.namespace, pool=key.name, epoch=cluster.epoch
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Going:
    """What becomes of licences that go. `gone`: ids of those that are revoked now; `held`: others, by which hold.

    `missing`: as in `Facts`. `revoked`: REVOKED_SCHEMA, what is to be kept of it. `passing`: CHANGE_SCHEMA, what the
    guard let through. `holds`: as they are stored now. `keyed`: ids of all licences that have had a key until now.
    """

    gone: frozenset[str]
    held: Mapping[str, str]
    missing: Mapping[str, date]
    revoked: pl.DataFrame
    passing: pl.DataFrame
    holds: Sequence[Hold]
    keyed: frozenset[str]


def _used_by(hold: Hold, before: Seating) -> str:
    """Who uses the licences of a hold, in words and counts."""
    licences = hold.rows["key"].implode()
    students = before.seats.filter(pl.col("licence").is_in(licences)).height
    teachers = NO_TEACHERS if before.teachers is None else before.teachers.filter("connected")
    connected = teachers.filter(pl.col("licence").is_in(licences)).select("district", "teacher").n_unique()
    return f"by them {students:,} students hold a seat, and {connected:,} teachers are connected"


def _made(obj: Object) -> datetime | None:
    made = obj["metadata"].get("creationTimestamp")
    return None if made is None else datetime.fromisoformat(made)


async def _tell(cluster: Cluster, news: Sequence[tuple[Object, Mapping[str, Any]]]) -> None:
    """Write the statuses of licences; first of those who have fewer seats than before.

    So at no moment the licences show more seats than the pool has, whoever adds them up. Therefore that is told also of
    one that somebody is editing.
    """

    async def write(one: tuple[Object, Mapping[str, Any]], *, always: Collection[str]) -> None:
        await cluster.write_status(*one, always=always)

    fewer = [status["granted"] < (obj.get("status") or {}).get("granted", 0) for obj, status in news]
    for first, always in ((True, ("granted", "used")), (False, ())):
        part = [one for one, is_fewer in zip(news, fewer, strict=True) if is_fewer is first]
        await gathered(partial(write, always=always), part, at_once=AT_ONCE)


def _emptied(cluster: Cluster, gone: Iterable[Object]) -> Iterator[tuple[Object, Mapping[str, Any]]]:
    """What is news of licences that are revoked, and still there: finalizers of others keep them, as Argo CD's does."""
    for obj in gone:
        live = cluster.get(key_of(obj)) or {}
        status = live.get("status") or {}
        if status.get("granted") and {*live["metadata"].get("finalizers", ())} - {FINALIZER}:
            yield live, {**status, "granted": 0, "used": 0}


def _said(
    facts: Facts,
    outcome: Outcome,
    objects: Mapping[str, Object],
    *,
    pool: Key,
    keys: Mapping[str, KeyState],
    now: datetime,
) -> tuple[list[tuple[Object, Mapping[str, Any]]], dict[str, SchoolLicenseStatus]]:
    """What is news of licences, as their status shall be; and all that those with a key say, by id.

    Takes a second for thousands of them, and keeps of those without news nothing.
    """
    news: list[tuple[Object, Mapping[str, Any]]] = []
    keyed = {}
    for each, status in said_of_licences(facts, outcome, pool=pool, now=now, keys=keys):
        if each.id in keys:
            keyed[each.id] = status
        document = status.document()
        if document != objects[each.id].get("status"):
            news.append((objects[each.id], document))
    return news, keyed


def _by_key(facts: Facts) -> list[SchoolLicense]:
    """Licences whose teachers need a key, where the pool may have licences of their namespace."""
    return [
        each.model
        for each in facts.licences
        if each.model is not None and each.model.spec.access is Access.KEY and each.namespace in facts.admitted
    ]


def _licences(cluster: Cluster, pool: Key) -> list[Object]:
    """All SchoolLicenses of a pool, those that are being deleted too."""
    return [obj for obj in cluster.every("SchoolLicense") if pool_of(obj) == pool]


def _parsed(objects: Iterable[Object], held: Mapping[str, str]) -> list[Licence]:
    """Those that are not being deleted, by namespace and name, and those whose deletion is `held`: by which hold."""
    found = []
    for obj in sorted(objects, key=key_of):
        _, namespace, name = key_of(obj)
        if obj["metadata"].get("deletionTimestamp"):
            if hold := held.get(licence_id(namespace, name)):
                words = f"held for approval: its removal waits for hold {hold} of the pool; all is as it was until then"
                reason = Reason.HELD_FOR_APPROVAL
                found.append(Licence(namespace=namespace, name=name, raw=obj, reason=reason, error=words))
            continue
        try:
            model = parse(obj)
        except InvalidSpecError as error:  # stored under an older CRD
            found.append(Licence(namespace=namespace, name=name, raw=obj, error=error.message))
            continue
        assert isinstance(model, SchoolLicense)
        found.append(Licence(namespace=namespace, name=name, model=model))
    return found


def _carries(obj: Object | None) -> bool:
    return obj is not None and FINALIZER in obj["metadata"].get("finalizers", ())


def _look(
    store: Store,
    key: Key,
    obj: Object | None,
    licences: Sequence[Licence],
    connections: pl.DataFrame,
    *,
    needed: bool,
    now: datetime,
) -> Records:
    """What a district has for `licences`. Not `needed`: only who is denied matters. Blocks."""
    named = f"District '{key.name}'"
    if obj is None:
        return Records(problem=f"{named} is missing")
    try:
        district = parse(obj)
    except InvalidSpecError:
        return Records(problem=f"{named} is invalid")
    assert isinstance(district, District)
    place = {"namespace": key.namespace, "district": key.name}
    accepted = store.accepted(**place)
    if not needed:
        return Records(denied=district.spec.denied(), digest=accepted.serving if accepted is not None else "")
    if accepted is None:
        return Records(problem=f"{named} has no accepted snapshot yet", denied=district.spec.denied())
    try:
        roster = load(store.snapshots(**place), accepted.serving).roster
    except HomeroomError as error:
        return Records(problem=f"{named}: {error.message}", denied=district.spec.denied())
    return records_of(
        roster,
        district,
        licences,
        digest=accepted.serving,
        today=district.spec.day(now),
        connections=connections,
    )


def _activity(store: Store, cluster: Cluster, pool: Key, before: Seating, now: datetime) -> Activity:
    """What the apps of a pool told of the use of accounts; only those of districts whose students hold a seat. Blocks.

    It is not enough when one of them did not tell in its last run, or too long ago, or there is none for a district.
    """
    districts = {*before.seats["district"].unique()}
    apps: dict[Key, str] = {}
    for key in apps_of_pool(cluster, pool):
        obj = cluster.get(key) or {}
        reference = (obj.get("spec") or {}).get("districtRef") or {}
        district = licence_id(key.namespace, reference.get("name", ""))
        if district in districts:
            apps[key] = district
    if not apps:
        return Activity()
    if missing := sorted(districts - {*apps.values()}):
        return Activity(problem=f"no LearningApp goes by the seats of this pool for District '{missing[0]}'")
    for key in sorted(apps):
        last = store.run(kind=key.kind, namespace=key.namespace, name=key.name)
        if last is None or last.told_at is None or abs(now - last.told_at) > FRESH:
            named = f"LearningApp '{key.namespace}/{key.name}'"
            return Activity(problem=f"{named} did not tell of late when its accounts were used")
    told = [store.use.activity(namespace=key.namespace, app=key.name) for key in sorted(apps)]
    return Activity(logins=pl.concat(told), problem="")


async def _admitted(cluster: Cluster, spec: LicensePoolSpec, pool: Key, namespaces: Collection[str]) -> frozenset[str]:
    """Those of `namespaces` that may have licences of the pool: its own, and those whose labels it selects."""
    selector = spec.allowed_namespaces
    others = sorted({*namespaces} - {pool.namespace}) if selector is not None else []
    found = [name for name in others if selector is not None and selector.fits(await cluster.labels_of(name))]
    return frozenset({pool.namespace, *found})


def _in_doubt(last: RunRow | None, now: datetime) -> bool:
    """Whether the clock jumped since the last run: then every time of grace begins anew."""
    noted = Noted(read=last.ended_at, written=last.ended_at) if last is not None else Noted()
    return doubted_since(noted, (), now=now) is not None


def _rest_of_day(spec: LicensePoolSpec, now: datetime) -> timedelta:
    """Until the pool's next day begins: what is valid until today is not any more."""
    zone = ZoneInfo(spec.time_zone)
    midnight = datetime.combine(spec.day(now) + timedelta(days=1), time(), zone)
    return max(midnight - now, timedelta(seconds=1))

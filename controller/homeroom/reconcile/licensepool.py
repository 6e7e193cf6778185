"""LicensePool: its seats shared out to all its licences at once, and students seated by them.

::

    SchoolLicenses of all namespaces --+
    Districts --> served records ------+--> `licences.decide` --> finalizers --> store --> statuses
    register of school units ----------+                                                     |
    store --> grants, who holds a seat +         one status per licence, the pool's by the shell

All under the pool's key, so no two runs share out the same seats. A licence by which somebody holds a seat carries our
finalizer before that is stored: its deletion is seen, and what it gave is taken back before it goes. Neighbours:
`licences` (decides, and finds the words), `district` (wakes pools when records change), `learningapp` (has in an app
who holds a seat, and is woken when that changes).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, ClassVar, Final
from zoneinfo import ZoneInfo

import polars as pl

from homeroom.api import (
    FINALIZER,
    Access,
    District,
    InvalidSpecError,
    LicensePool,
    LicensePoolSpec,
    LicensePoolStatus,
    RegistryType,
    SchoolLicense,
    SchoolLicenseStatus,
    UnitStatus,
    parse,
)
from homeroom.errors import HomeroomError
from homeroom.plan import Noted, doubted_since
from homeroom.reconcile.activity import FRESH, Activity
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.keys import KeySecrets, KeyState, at_once
from homeroom.reconcile.licences import (
    Facts,
    Licence,
    Outcome,
    Records,
    apps_of_pool,
    day_of,
    decide,
    pool_of,
    records_of,
    said_of_licences,
    said_of_pool,
    told_to_teachers,
)
from homeroom.reconcile.ports import Clock, Cluster, Key, Metrics, Object, key_of
from homeroom.reconcile.run import Report, Run
from homeroom.seats.settlement import licence_id
from homeroom.seats.units import UNIT_SCHEMA
from homeroom.sources import load
from homeroom.store import LicenceName, RunRow, Seating, Store

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
    rests: ClassVar[bool] = False

    @property
    def reads(self) -> tuple[str, ...]:
        """A missing kind must never look like licences that were removed."""
        return ("SchoolLicense", "District", "LearningApp")

    def needs_cleanup(self, resource: LicensePool) -> bool:
        """Licences that outlive their pool keep what they have."""
        del resource
        return False

    async def cleanup(self, run: Run[LicensePool]) -> None:
        """Nothing to do."""

    async def absent(self, key: Key, cluster: Cluster) -> None:
        """There is no such pool: its licences keep what they have, and learn why they get nothing."""
        licences = _licences(cluster, key)
        before = await asyncio.to_thread(self.store.seating, namespace=key.namespace, pool=key.name)
        now = self.clock.now()
        if not licences:  # nor anything of it
            if not before.equals(Seating()):
                gone = [LicenceName(*name.split("/", 1)) for name in before.grants["licence"]]
                await asyncio.to_thread(self.store.licences.revoke, gone, at=now, epoch=cluster.epoch)
                await self._save(key, cluster, Seating())
            return
        facts = Facts(
            pool=None,
            licences=await asyncio.to_thread(_parsed, licences),
            gone=_gone(licences),
            before=before,
            today=now.astimezone(UTC).date(),
            grace=None,
        )
        await self._apply(key, cluster, facts, licences, now=now)

    async def reconcile(self, run: Run[LicensePool]) -> Report[LicensePoolStatus]:
        """One run: gather, decide, apply, report."""
        spec, now = run.resource.spec, run.clock.now()
        licences = _licences(run.cluster, run.key)
        parsed = await asyncio.to_thread(_parsed, licences)
        before = await asyncio.to_thread(self.store.seating, namespace=run.key.namespace, pool=run.key.name)
        admitted = await _admitted(run.cluster, spec, run.key, {each.namespace for each in parsed})
        # Of a namespace that is not admitted nothing is looked at: it could be made to take as long as it likes.
        looked = [each for each in parsed if each.namespace in admitted]
        connections = await asyncio.to_thread(
            self.store.licences.connections, sorted({each.namespace for each in looked})
        )
        units, problem, records = await self._records(run, looked, before, connections=connections)
        facts = Facts(
            pool=spec,
            licences=parsed,
            gone=_gone(licences),
            before=before,
            today=spec.day(now),
            grace=None if _in_doubt(run.last, now) else spec.grace.timedelta,
            admitted=admitted,
            units=units,
            register_problem=problem,
            records=records,
            activity=await asyncio.to_thread(_activity, self.store, run.cluster, run.key, before, now),
        )
        facts, outcome = await self._apply(run.key, run.cluster, facts, licences, now=now)
        status, reason, message, ending = said_of_pool(run.resource, facts, outcome, now=now)
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

    # -- gather -------------------------------------------------------------------------------------------------

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
        self, key: Key, cluster: Cluster, facts: Facts, licences: Sequence[Object], *, now: datetime
    ) -> tuple[Facts, Outcome]:
        """Decide; mark whom deletion takes something from; store; let go of who is deleted; tell them all.

        The facts, without licences that were deleted meanwhile, and what came of them.
        """
        objects = {licence_id(*key_of(obj)[1:]): obj for obj in licences}
        while True:
            outcome = await asyncio.to_thread(decide, facts)
            by_key = [] if facts.pool is None else _by_key(facts)
            keyed = await self._revoke(facts, outcome, now=now, epoch=cluster.epoch)
            holding = (
                outcome.holding | keyed | {licence_id(each.metadata.namespace, each.metadata.name) for each in by_key}
            )
            unmarked = {name: objects[name] for name in sorted(holding & objects.keys()) if not _carries(objects[name])}
            await at_once(cluster.set_finalizer(obj, present=True) for obj in unmarked.values())
            went = {name for name, obj in unmarked.items() if not _carries(cluster.get(key_of(obj)))}
            if not went:
                break
            # Deleted before it was marked: nobody tells us again, and its students would keep seats of no licence.
            left = [each for each in facts.licences if each.id not in went]
            facts = replace(facts, licences=left, gone={*facts.gone, *went})
        if not outcome.after.equals(facts.before):
            await self._save(key, cluster, outcome.after)
        await at_once(
            cluster.set_finalizer(obj, present=False)
            for name, obj in objects.items()
            if _carries(obj) and name not in holding
        )
        keys = await self.keys.settle(cluster, by_key, now=now)
        news, said_by_key = await asyncio.to_thread(_said, facts, outcome, objects, pool=key, keys=keys, now=now)
        if facts.pool is not None:
            told = told_to_teachers(by_key, said_by_key, facts.records.values())
            place = {"namespace": key.namespace, "pool": key.name}
            await asyncio.to_thread(self.store.web.tell, told, **place, epoch=cluster.epoch)
        await _tell(cluster, [*_emptied(cluster, [objects[name] for name in facts.gone & objects.keys()]), *news])
        for name, state in keys.items():
            if state.fresh:
                cluster.enqueue(Key("SchoolLicense", *name.split("/", 1)))  # to be mailed
        return facts, outcome

    async def _save(self, key: Key, cluster: Cluster, seating: Seating) -> None:
        await asyncio.to_thread(
            self.store.save_seating, seating, namespace=key.namespace, pool=key.name, epoch=cluster.epoch
        )

    async def _revoke(self, facts: Facts, outcome: Outcome, *, now: datetime, epoch: int) -> frozenset[str]:
        """Revoke the keys of who is deleted, or has been missing for too long; ids of all others that have one."""
        granted = {*facts.before.grants["licence"]}
        names = {each.id for each in facts.licences} | granted | {*facts.gone}
        namespaces = sorted({name.split("/", 1)[0] for name in names})
        live = await asyncio.to_thread(self.store.licences.keys, namespaces)
        keyed = {licence_id(*row) for row in live.select("namespace", "licence").iter_rows()} & names
        over = keyed & ({*facts.gone} | (granted - {*outcome.after.grants["licence"]}))
        if over:
            licences = [LicenceName(*name.split("/", 1)) for name in sorted(over)]
            await asyncio.to_thread(self.store.licences.revoke, licences, at=now, epoch=epoch)
        return frozenset(keyed - over)


async def _tell(cluster: Cluster, news: Sequence[tuple[Object, Mapping[str, Any]]]) -> None:
    """Write the statuses of licences; first of those who have fewer seats than before.

    So at no moment the licences show more seats than the pool has, whoever adds them up. Therefore that is told also of
    one that somebody is editing.
    """
    fewer = [status["granted"] < (obj.get("status") or {}).get("granted", 0) for obj, status in news]
    for first, always in ((True, ("granted", "used")), (False, ())):
        await at_once(
            cluster.write_status(obj, status, always=always)
            for (obj, status), is_fewer in zip(news, fewer, strict=True)
            if is_fewer is first
        )


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


def _parsed(objects: Iterable[Object]) -> list[Licence]:
    """Those that are not being deleted, by namespace and name."""
    found = []
    for obj in sorted(objects, key=key_of):
        _, namespace, name = key_of(obj)
        if obj["metadata"].get("deletionTimestamp"):
            continue
        try:
            model = parse(obj)
        except InvalidSpecError as error:  # stored under an older CRD
            found.append(Licence(namespace=namespace, name=name, invalid=obj, error=error.message))
            continue
        assert isinstance(model, SchoolLicense)
        found.append(Licence(namespace=namespace, name=name, model=model))
    return found


def _gone(objects: Iterable[Object]) -> frozenset[str]:
    return frozenset(licence_id(*key_of(obj)[1:]) for obj in objects if obj["metadata"].get("deletionTimestamp"))


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

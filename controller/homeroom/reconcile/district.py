r"""District: read the source when it is due, hold what it loses, serve the rest, keep School objects, wake the apps.

::

    source --read if due--> reading --+
    supplements, links ---------------+--> `identification` --> `admission` --> served from now on --> store
    store --> served until now -------+                                                 \-> School objects, apps
    commits --> Approvals ------------+

Nothing is removed anywhere because of a reading that failed or did not prove complete: what was served goes on being
served. Neighbours: `homeroom.sources` (reading), `identification` (who is who), `admission` (what is held),
`learningapp` (who uses what is served), `school` (its rows).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final
from zoneinfo import ZoneInfo

import polars as pl
from cronsim import CronSim

from homeroom.api import (
    API_VERSION,
    District,
    DistrictStatus,
    FindingCounts,
    Reason,
    RecordCounts,
    School,
    SnapshotStatus,
    SyncMode,
    conditions,
)
from homeroom.plan import Hold, State
from homeroom.reconcile import approvals
from homeroom.reconcile.admission import Admission, DoorMemory, as_snapshot
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.decide import SALT, Salt
from homeroom.reconcile.identification import Identified, admitted, identify
from homeroom.reconcile.licences import pools_of_district
from homeroom.reconcile.ports import Clock, Cluster, Key, Metrics, Object
from homeroom.reconcile.run import Ending, Report, Run
from homeroom.reconcile.supplements import (
    Gathered,
    Times,
    gather,
    merged,
    next_due,
    say_lessons,
    says_anything,
    with_supplements,
)
from homeroom.roster.findings import Severity
from homeroom.roster.tables import Roster
from homeroom.sources import NO_LINES, Snapshot, load, load_lines, write
from homeroom.store import Accepted, Door, Store

_NAME_LENGTH: Final = 63  # of an object, as a label value may be
_TEXT_LENGTH: Final = 255  # of `spec.displayName`


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """The records as the source has them. `accepted`: what is to be stored of it; `before`: what is served until now.

    `links`: what the file of `linksFrom` says, if there is one (columns `homeroom.roster.identity.LINKS`). `read_at`:
    when the source was asked; None: it was not, this is the reading that the store has. `gathered`: its supplements, if
    these were looked at.
    """

    snapshot: Snapshot
    accepted: Accepted
    before: Roster | None
    links: pl.DataFrame | None
    read_at: datetime | None
    gathered: Gathered | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DistrictRoot:
    """The work of one run of a District. `salt`: randomness for the ids of holds."""

    store: Store
    outside: Outside
    metrics: Metrics
    clock: Clock
    salt: Salt = SALT
    rests: ClassVar[bool] = True

    @property
    def reads(self) -> tuple[str, ...]:
        """School objects are ours to keep, apps have to be woken, Approvals release what is held."""
        return ("School", "LearningApp", "Approval")

    def needs_cleanup(self, resource: District) -> bool:
        """Nothing outside is ours: the School objects go with their ownerReference."""
        del resource
        return False

    async def cleanup(self, run: Run[District]) -> None:
        """Nothing to do."""

    async def absent(self, key: Key, cluster: Cluster) -> None:
        """Apps and Approvals that name this district learn that it is not there."""
        _wake_readers(cluster, key)
        await approvals.refuse(cluster, key, now=self.clock.now())

    async def reconcile(self, run: Run[District]) -> Report[DistrictStatus]:
        """One run: gather, decide (the door), apply, report."""
        district = run.resource
        place = {"namespace": run.key.namespace, "district": run.key.name}
        accepted = await asyncio.to_thread(self.store.accepted, **place)
        memory = await asyncio.to_thread(
            DoorMemory.of,
            self.store,
            **place,
            apps=_readers(run.cluster, run.key, "LearningApp"),
            words=approvals.words_of(run.cluster, run.key),
            now=run.clock.now(),
        )
        reading = await self._reading(run, accepted, memory)
        if reading is None:
            assert accepted is not None
            await self._keep_missing_schools(run, accepted)
            await approvals.answer(run.cluster, run.key, memory.holds, now=run.clock.now())
            return self._report(run, district.status, memory.holds, read_at=run.last.read_at if run.last else None)
        identified = await asyncio.to_thread(
            identify,
            reading.before,
            reading.snapshot,
            district=district,
            listed=reading.links,
            memory=memory,
            now=run.clock.now(),
            salt=self.salt,
        )
        # Everything after this, and everybody else, sees people under Homeroom's ids; the next reading is compared with
        # the raw one.
        admission = await asyncio.to_thread(
            admitted, reading.before, identified, district=district, now=run.clock.now(), salt=self.salt
        )
        pins = identified.memory.pins
        assert pins is not None
        if reading.gathered is not None:
            await asyncio.to_thread(
                say_lessons, run, reading.gathered, admission.served, pins, store=self.store, metrics=self.metrics
            )
        served, latest = await self._serve(
            run,
            replace(reading, snapshot=identified.reading),
            admission,
            accepted=accepted,
            memory=memory,
            pins=pins,
        )
        if reading.read_at is not None:
            self.metrics.records_read(run.key, at=reading.read_at)
        status = _with_identity(_with_snapshot(district, served, latest, run), identified, run)
        times = None
        if reading.gathered is not None:
            status = with_supplements(status, district, reading.gathered, now=run.clock.now())
            times = reading.gathered.times
        await _keep_schools(run, served.roster)
        if accepted is None or accepted.serving != latest.serving:
            _wake_readers(run.cluster, run.key)
        await approvals.answer(run.cluster, run.key, admission.holds, now=run.clock.now())
        return self._report(run, status, admission.holds, read_at=reading.read_at, supplements=times)

    # -- gather -------------------------------------------------------------------------------------------------

    async def _reading(self, run: Run[District], accepted: Accepted | None, memory: DoorMemory) -> _Reading | None:
        """What is to be judged: a new reading when it is due, the last one when a hold waits for us, else nothing."""
        how = _digest(run.resource.spec.source.document())
        directory = self.store.snapshots(namespace=run.key.namespace, district=run.key.name)
        due = self._is_due(run, accepted, how)
        if due or self._supplements_are_due(run):
            return await self._read(run, accepted, how=how, directory=directory, ask=due)
        assert accepted is not None
        if not memory.waits_for_us(now=run.clock.now()):
            return None
        links = await self.outside.links(run.resource, run.cluster.secret)
        snapshot, before = await self._stored(directory, accepted)
        return _Reading(
            snapshot=snapshot,
            accepted=accepted,
            before=before,
            links=links,
            read_at=run.last.read_at if run.last else None,
        )

    async def _stored(self, directory: Path, accepted: Accepted) -> tuple[Snapshot, Roster]:
        """The last reading, and what is served of it."""
        snapshot = await asyncio.to_thread(load, directory, accepted.digest)
        if accepted.serving == accepted.digest:
            return snapshot, snapshot.roster
        return snapshot, (await asyncio.to_thread(load, directory, accepted.serving)).roster

    async def _keep_missing_schools(self, run: Run[District], accepted: Accepted) -> None:
        """Somebody may have deleted a row that only we write; the records need not be read again for that."""
        snapshot = run.resource.status.snapshot
        assert snapshot is not None
        present = [
            school
            for school in run.cluster.list("School", run.key.namespace)
            if school["spec"].get("districtRef", {}).get("name") == run.key.name
        ]
        if len(present) != snapshot.counts.schools:
            directory = self.store.snapshots(namespace=run.key.namespace, district=run.key.name)
            await _keep_schools(run, (await asyncio.to_thread(load, directory, accepted.serving)).roster)

    async def _read(
        self, run: Run[District], accepted: Accepted | None, *, how: str, directory: Path, ask: bool
    ) -> _Reading:
        """A new reading, or the accepted one when source and supplements say that nothing changed.

        `ask`: the source is asked, else only those supplements are that are due.
        """
        trusted = accepted if accepted is not None and accepted.spec_digest == how and not run.full else None
        source = await self.outside.source(run.resource, run.cluster.secret)
        links = await self.outside.links(run.resource, run.cluster.secret)  # may be wrong: before what takes long
        place = {"namespace": run.key.namespace, "district": run.key.name}
        stored = await asyncio.to_thread(self.store.supplements, **place)
        previous, before = await self._stored(directory, accepted) if accepted is not None else (None, None)
        own = previous
        if accepted is not None and accepted.own != accepted.digest:
            own = await asyncio.to_thread(load, directory, accepted.own)
        validator = accepted.validator if accepted is not None else None
        incoming = await asyncio.to_thread(_incoming, directory)
        try:
            fresh = None
            if ask:
                fetched = await source.fetch(previous=trusted.validator if trusted else None, into=incoming)
                if not fetched.unchanged or trusted is None or own is None:
                    lines = await asyncio.to_thread(load_lines, directory, accepted.own) if accepted else NO_LINES
                    fresh = await asyncio.to_thread(
                        source.read, fetched.path, previous=own.roster if own is not None else None, lines=lines
                    )
                    await asyncio.to_thread(write, fresh, directory)
                    validator = fetched.validator
            gathered = None
            if stored or says_anything(run.resource):
                gathered = await gather(run, stored, self.outside, incoming=incoming)
        finally:
            await asyncio.to_thread(shutil.rmtree, incoming, ignore_errors=True)
        now, whole = fresh or own, fresh or previous
        assert now is not None
        assert whole is not None
        if gathered is not None and (fresh is not None or gathered.changed or run.fresh):
            whole, gathered = merging = await asyncio.to_thread(merged, now, gathered, run.resource)
            await asyncio.to_thread(_write_beside, merging[0], now, directory)
        same = accepted is not None and accepted.digest == whole.digest
        latest = Accepted(
            digest=whole.digest,
            accepted_at=accepted.accepted_at if accepted is not None and same else run.clock.now(),
            validator=validator,
            spec_digest=how,
            source=now.digest if now.digest != whole.digest else None,
        )
        if fresh is None and same and trusted is not None:
            latest = replace(trusted, source=latest.source)
        read_at = run.clock.now() if ask or run.last is None else run.last.read_at
        return _Reading(snapshot=whole, accepted=latest, before=before, links=links, read_at=read_at, gathered=gathered)

    # -- apply --------------------------------------------------------------------------------------------------

    async def _serve(
        self,
        run: Run[District],
        reading: _Reading,
        admission: Admission,
        *,
        accepted: Accepted | None,
        memory: DoorMemory,
        pins: pl.DataFrame | None,
    ) -> tuple[Snapshot, Accepted]:
        """Store what is served from now on, and with it, at once, what is held; a run without news stores nothing."""
        place = {"namespace": run.key.namespace, "district": run.key.name}
        served = await asyncio.to_thread(as_snapshot, admission.served, reading.snapshot)
        other = served.digest if served.digest != reading.accepted.digest else None
        if other is not None:
            await asyncio.to_thread(write, served, self.store.snapshots(**place))
        latest = replace(reading.accepted, served=other)
        # What has changed is a new object.
        holds_changed = [*map(id, admission.holds)] != [*map(id, memory.holds)]
        supplements = reading.gathered.to_store if reading.gathered is not None else None
        if latest != accepted or holds_changed or pins is not memory.pins or supplements is not None:
            await asyncio.to_thread(
                self.store.accept,
                latest,
                Door(passed=admission.passed, holds=admission.holds, before=memory.holds, pins=pins),
                supplements,
                epoch=run.cluster.epoch,
                **place,
            )
        return served, latest

    def _is_due(self, run: Run[District], accepted: Accepted | None, how: str) -> bool:
        """Whether to read now. A mere restart of the operator, in the middle of an export, reads nothing."""
        status = run.resource.status
        known = accepted is not None and accepted.spec_digest == how
        snapshot = status.snapshot
        shown = (
            known
            and accepted is not None
            and snapshot is not None
            and (snapshot.digest, snapshot.served) == (accepted.digest, accepted.serving)
        )
        if run.fresh or not shown or run.last is None or run.last.read_at is None:
            return True
        if run.last.reason not in _GOOD:
            return True
        return run.clock.now() >= next_reading(run.resource, run.last.read_at)

    @staticmethod
    def _supplements_are_due(run: Run[District]) -> bool:
        due = next_due(run.resource, run.last.supplements if run.last is not None else {})
        return due is not None and run.clock.now() >= due

    def _report(
        self,
        run: Run[District],
        status: DistrictStatus,
        holds: Sequence[Hold],
        *,
        read_at: datetime | None,
        supplements: Times | None = None,
    ) -> Report[DistrictStatus]:
        snapshot = status.snapshot
        assert snapshot is not None
        counts, now = snapshot.counts, run.clock.now()
        message = f"{counts.schools} schools, {counts.students} students, {counts.classes} classes"
        if snapshot.quarantined:
            message += f"; {snapshot.quarantined} records are quarantined"
        waiting = [hold for hold in holds if hold.state is State.OPEN]
        told = approvals.held_message(waiting, contact=run.resource.spec.contact) if waiting else None
        status = conditions.held(
            status.model_copy(update={"holds": approvals.hold_statuses(waiting)}),
            message=told,
            generation=run.resource.metadata.generation,
            now=now,
        )
        times = supplements if supplements is not None else run.last.supplements if run.last is not None else {}
        due = next_due(run.resource, times)
        again = min(moment for moment in (next_reading(run.resource, read_at or now), due) if moment is not None)
        return Report(
            status=status,
            message=told or message,
            reason=Reason.HELD_FOR_APPROVAL if waiting else Reason.SUCCEEDED,
            ending=Ending.STALLED if waiting else Ending.DONE,
            again=max(again - now, timedelta(seconds=1)),
            read_at=read_at,
            supplements=supplements,
            summary=counts.model_dump(),
        )


def _incoming(directory: Path) -> Path:
    """An empty directory on the same disk as the snapshots, for what is being read."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Path(tempfile.mkdtemp(dir=directory.parent, prefix=".incoming-"))


def _write_beside(whole: Snapshot, own: Snapshot, directory: Path) -> None:
    """Store what source and supplements say together, beside what the source says by itself."""
    if whole.digest == own.digest and own.lines is NO_LINES:  # they share a folder: what is known of lines stays there
        whole = replace(whole, lines=load_lines(directory, own.digest))
    write(whole, directory)


_GOOD: Final = frozenset({Reason.SUCCEEDED.value, Reason.SUSPENDED.value, Reason.HELD_FOR_APPROVAL.value})


def _digest(document: object) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def next_reading(district: District, last: datetime) -> datetime:
    """The first time after `last` at which the source is to be read."""
    sync = district.spec.sync
    if sync.mode is SyncMode.INTERVAL:
        assert sync.interval is not None
        return sync.interval.after(last)
    assert sync.schedule is not None
    return next(CronSim(sync.schedule, last.astimezone(ZoneInfo(district.spec.time_zone))))


def _with_snapshot(district: District, snapshot: Snapshot, accepted: Accepted, run: Run[District]) -> DistrictStatus:
    counts = snapshot.counts
    findings = snapshot.findings
    severities = findings.counts()
    quarantined = severities[Severity.RECORD]
    status = district.status.model_copy(
        update={
            "snapshot": SnapshotStatus(
                digest=accepted.digest,
                accepted_time=accepted.accepted_at,
                served=accepted.serving,
                counts=RecordCounts(**{name: counts.get(name, 0) for name in RecordCounts.model_fields}),
                quarantined=quarantined,
                findings=FindingCounts(
                    run=severities[Severity.RUN], record=quarantined, value=severities[Severity.VALUE]
                ),
            )
        }
    )
    contact = f"; {district.spec.contact}" if district.spec.contact else ""
    return conditions.with_condition(
        status,
        type_=conditions.ConditionType.RECORDS_VALID,
        value=quarantined == 0,
        reason=Reason.RECORDS_QUARANTINED if quarantined else Reason.SUCCEEDED,
        message=f"{quarantined} records are invalid and count as their last accepted version{contact}"
        if quarantined
        else "no record is quarantined",
        generation=district.metadata.generation,
        now=run.clock.now(),
    )


def _with_identity(status: DistrictStatus, identified: Identified, run: Run[District]) -> DistrictStatus:
    still = identified.frozen.len()
    message = (
        f"people who stand still until it is certain who they are: {still}" if still else "it is certain who is who"
    )
    if identified.is_held:
        message += "; these are too many, and nothing of the new records is served"
    if identified.unknown:
        message += f"; links that name no record: {identified.unknown}"
    return conditions.with_condition(
        status,
        type_=conditions.ConditionType.IDENTITY_CLEAR,
        value=not still,
        reason=Reason.IDENTITY_IN_QUESTION if still else Reason.SUCCEEDED,
        message=message,
        generation=run.resource.metadata.generation,
        now=run.clock.now(),
    )


def _wake_readers(cluster: Cluster, district: Key) -> None:
    for kind in ("LearningApp", "ChatPolicy", "Chat"):
        for name in _readers(cluster, district, kind):
            cluster.enqueue(Key(kind, district.namespace, name))
    for pool in pools_of_district(cluster, district):
        cluster.enqueue(pool)


def _readers(cluster: Cluster, district: Key, kind: str) -> list[str]:
    """Names of the LearningApps, ChatPolicies or Chats of a district."""
    return [
        reader["metadata"]["name"]
        for reader in cluster.list(kind, district.namespace)
        if reader["spec"].get("districtRef", {}).get("name") == district.name
    ]


def school_name(district: str, sourced_id: str) -> str:
    """The name of a school's object: readable, valid, unique, and the same for ever."""
    slug = re.sub(r"[^a-z0-9]+", "-", sourced_id.lower()).strip("-")
    hashed = hashlib.sha256(f"{district}\0{sourced_id}".encode()).hexdigest()[:8]
    head = f"{district}-{slug}".strip("-")[: _NAME_LENGTH - len(hashed) - 1].rstrip("-")
    return f"{head}-{hashed}"


async def _keep_schools(run: Run[District], roster: Roster) -> None:
    """One School object per school of the roster: made, corrected, and gone with its school."""
    meta = run.resource.metadata
    wanted = {
        name: _school_object(run, name, sourced_id, title)
        for sourced_id, title in roster.orgs.filter(pl.col("type") == "school").select("id", "name").iter_rows()
        for name in (school_name(meta.name, sourced_id),)
    }
    present = {
        school["metadata"]["name"]: school
        for school in run.cluster.list("School", meta.namespace)
        if school["spec"].get("districtRef", {}).get("name") == meta.name
    }
    for name, school in wanted.items():
        if name not in present:
            await run.cluster.create(school)
        elif present[name]["spec"] != school["spec"]:
            await run.cluster.replace({**present[name], "spec": school["spec"]})
    for name, school in present.items():
        if name not in wanted:
            await run.cluster.delete(school)


def _school_object(run: Run[District], name: str, sourced_id: str, title: str | None) -> Object:
    meta = run.resource.metadata
    spec: dict[str, Any] = {"districtRef": {"name": meta.name}, "sourcedId": sourced_id}
    if title:
        spec["displayName"] = title[:_TEXT_LENGTH]
    owner = {"apiVersion": API_VERSION, "kind": "District", "name": meta.name, "uid": meta.uid, "controller": True}
    return {
        "apiVersion": API_VERSION,
        "kind": School.__name__,
        "metadata": {"name": name, "namespace": meta.namespace, "ownerReferences": [owner]},
        "spec": spec,
    }

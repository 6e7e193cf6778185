"""District: read the source when it is due, accept the snapshot, keep one School object per school, wake the apps.

Nothing is removed anywhere because of a reading that failed or did not prove complete: the last accepted snapshot goes
on serving. Neighbours: `homeroom.sources` (reading), `learningapp` (who uses the snapshot), `school` (its rows).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
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
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.ports import Cluster, Key, Metrics, Object
from homeroom.reconcile.run import Report, Run
from homeroom.roster.findings import Severity
from homeroom.roster.tables import Roster
from homeroom.sources import Snapshot, load, write
from homeroom.store import Accepted, Store

_NAME_LENGTH: Final = 63  # of an object, as a label value may be
_TEXT_LENGTH: Final = 255  # of `spec.displayName`


@dataclass(frozen=True, slots=True, kw_only=True)
class DistrictRoot:
    """The work of one run of a District."""

    store: Store
    outside: Outside
    metrics: Metrics

    @property
    def reads(self) -> tuple[str, ...]:
        """School objects are ours to keep, apps have to be woken."""
        return ("School", "LearningApp")

    def needs_cleanup(self, resource: District) -> bool:
        """Nothing outside is ours: the School objects go with their ownerReference."""
        del resource
        return False

    async def cleanup(self, run: Run[District]) -> None:
        """Nothing to do."""

    async def absent(self, key: Key, cluster: Cluster) -> None:
        """Apps that name this district learn that it is not there."""
        _wake_apps(cluster, key)

    async def reconcile(self, run: Run[District]) -> Report[DistrictStatus]:
        """One run: read if due, accept, keep School objects."""
        district = run.resource
        place = {"namespace": run.key.namespace, "district": run.key.name}
        accepted = await asyncio.to_thread(self.store.accepted, **place)
        how = _digest(district.spec.source.document())
        if not self._is_due(run, accepted, how):
            assert accepted is not None
            await self._keep_missing_schools(run, accepted)
            return self._report(run, district.status, read_at=run.last.read_at if run.last else None)
        directory = self.store.snapshots(**place)
        snapshot, latest = await self._read(run, accepted, how=how, directory=directory)
        if accepted is None or latest != accepted:
            await asyncio.to_thread(self.store.accept, latest, epoch=run.cluster.epoch, **place)
        self.metrics.records_read(run.key, at=run.clock.now())
        status = _with_snapshot(district, snapshot, latest, run)
        await _keep_schools(run, snapshot.roster)
        if accepted is None or accepted.digest != latest.digest:
            _wake_apps(run.cluster, run.key)
        return self._report(run, status, read_at=run.clock.now())

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
            await _keep_schools(run, (await asyncio.to_thread(load, directory, accepted.digest)).roster)

    async def _read(
        self, run: Run[District], accepted: Accepted | None, *, how: str, directory: Path
    ) -> tuple[Snapshot, Accepted]:
        """The snapshot that serves from now on: a new one, or the accepted one when the source says it is unchanged."""
        trusted = accepted if accepted is not None and accepted.spec_digest == how and not run.full else None
        source = await self.outside.source(run.resource, run.cluster.secret)
        previous = await asyncio.to_thread(load, directory, accepted.digest) if accepted is not None else None
        incoming = await asyncio.to_thread(_incoming, directory)
        try:
            fetched = await source.fetch(previous=trusted.validator if trusted else None, into=incoming)
            if fetched.unchanged and trusted is not None and previous is not None:
                return previous, trusted
            snapshot = await asyncio.to_thread(
                source.read, fetched.path, previous=previous.roster if previous is not None else None
            )
            await asyncio.to_thread(write, snapshot, directory)
        finally:
            await asyncio.to_thread(shutil.rmtree, incoming, ignore_errors=True)
        same = accepted is not None and accepted.digest == snapshot.digest
        return snapshot, Accepted(
            digest=snapshot.digest,
            accepted_at=accepted.accepted_at if accepted is not None and same else run.clock.now(),
            validator=fetched.validator,
            spec_digest=how,
        )

    def _is_due(self, run: Run[District], accepted: Accepted | None, how: str) -> bool:
        """Whether to read now. A mere restart of the operator, in the middle of an export, reads nothing."""
        status = run.resource.status
        known = accepted is not None and accepted.spec_digest == how
        shown = known and status.snapshot is not None and status.snapshot.digest == accepted.digest  # type: ignore[union-attr]  # known says so
        if run.fresh or not shown or run.last is None or run.last.read_at is None:
            return True
        if run.last.reason not in _GOOD:
            return True
        return run.clock.now() >= _next_reading(run.resource, run.last.read_at)

    def _report(
        self, run: Run[District], status: DistrictStatus, *, read_at: datetime | None
    ) -> Report[DistrictStatus]:
        snapshot = status.snapshot
        assert snapshot is not None
        counts, now = snapshot.counts, run.clock.now()
        message = f"{counts.schools} schools, {counts.students} students, {counts.classes} classes"
        if snapshot.quarantined:
            message += f"; {snapshot.quarantined} records are quarantined"
        return Report(
            status=status,
            message=message,
            again=max(_next_reading(run.resource, read_at or now) - now, timedelta(seconds=1)),
            read_at=read_at,
            summary=counts.model_dump(),
        )


def _incoming(directory: Path) -> Path:
    """An empty directory on the same disk as the snapshots, for what is being read."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Path(tempfile.mkdtemp(dir=directory.parent, prefix=".incoming-"))


_GOOD: Final = frozenset({Reason.SUCCEEDED.value, Reason.SUSPENDED.value})


def _digest(document: object) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _next_reading(district: District, last: datetime) -> datetime:
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


def _wake_apps(cluster: Cluster, district: Key) -> None:
    for app in cluster.list("LearningApp", district.namespace):
        if app["spec"].get("districtRef", {}).get("name") == district.name:
            cluster.enqueue(Key("LearningApp", district.namespace, app["metadata"]["name"]))


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

"""Supplements of a District: when each is read, which version of it counts, and what is said about that.

::

    spec, times of the last run --> which are due --fetch, read--> new version --+
    store: versions that count ----------------------- if that fails -----------+--> `merged` --> snapshot of all
    what is served of that --> `say_lessons` --> the store's lessons

Nothing here stops the District, and nothing goes because a supplement cannot be read. Neighbours:
`homeroom.sources.supplement` (what of it comes into the roster), `homeroom.store.supplements` (what is kept),
`district` (who calls this).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from homeroom.api import District, DistrictStatus, FindingCounts, Reason, conditions
from homeroom.api.district import Supplement as Declared
from homeroom.api.district import SupplementCounts, SupplementStatus
from homeroom.chats.calls import HORIZON, LessonBy
from homeroom.errors import HomeroomError
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.ports import Metrics
from homeroom.reconcile.run import Run
from homeroom.roster.findings import Findings, Severity
from homeroom.roster.tables import Roster
from homeroom.sources import Snapshot
from homeroom.sources.supplement import (
    LESSONS,
    Counted,
    Supplement,
    Version,
    lessons_in,
    read_supplement,
    supplemented,
)
from homeroom.store import GIVEN_SCHEMA, LostLeadershipError, Store, StoredSupplement

Times = Mapping[str, Mapping[str, str]]
"""Of each supplement when it was last `tried` and `read`, as ISO times, and its `trouble`, if there was any."""

_TRIED: Final = "tried"
_READ: Final = "read"
_TROUBLE: Final = "trouble"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """The supplements of a run. `before`: as they are stored; `now`: those that count, in the order of the spec.

    `counted`: what became of them; None: nothing has changed, and nothing was put together anew.
    """

    before: Sequence[StoredSupplement]
    now: tuple[StoredSupplement, ...]
    times: Times
    counted: tuple[Counted, ...] | None = None

    @property
    def changed(self) -> bool:
        """Whether another version counts than is stored, or another list of them."""
        known = {one.name: one.digest for one in self.before}
        return known != {one.name: one.digest for one in self.now}

    @property
    def to_store(self) -> tuple[StoredSupplement, ...] | None:
        """What is to be stored; None: as it is."""
        known = {one.name: one for one in self.before}
        same = known.keys() == {one.name for one in self.now} and all(one.is_like(known[one.name]) for one in self.now)
        return None if same else self.now


def says_anything(district: District) -> bool:
    """Whether the spec, or the status still, speaks of supplements."""
    condition = conditions.find(district.status.conditions, conditions.ConditionType.SUPPLEMENTS_FRESH)
    return bool(district.spec.supplements or district.status.supplements or condition)


def next_due(district: District, times: Times) -> datetime | None:
    """When the first of the supplements is to be read; None: there is none."""
    moments = [_due(one, times) for one in district.spec.supplements]
    return min(moments) if moments else None


def _due(declared: Declared, times: Times) -> datetime:
    tried = times.get(declared.name, {}).get(_TRIED)
    return declared.interval.after(datetime.fromisoformat(tried)) if tried else datetime.min.replace(tzinfo=UTC)


async def gather(
    run: Run[District], stored: Sequence[StoredSupplement], outside: Outside, *, incoming: Path
) -> Gathered:
    """Read the supplements that are due; the others, and those that cannot be read, count as they are stored.

    `incoming`: a directory for what is being read.
    """
    known = {one.name: one for one in stored}
    last: Times = run.last.supplements if run.last is not None else {}
    now, times = [], {}
    for declared in run.resource.spec.supplements:
        name = declared.name
        entry, about = known.get(name), last.get(name, {})
        if run.fresh or run.clock.now() >= _due(declared, last):
            moment = run.clock.now().isoformat()
            try:
                entry = await _read(run, declared, entry, outside, incoming=incoming)
                about = {_TRIED: moment, _READ: moment}
            except LostLeadershipError:
                raise
            except HomeroomError as error:
                about = {**about, _TRIED: moment, _TROUBLE: error.message}
        times[name] = about
        if entry is not None:
            now.append(entry)
    return Gathered(before=stored, now=tuple(now), times=times)


async def _read(
    run: Run[District], declared: Declared, entry: StoredSupplement | None, outside: Outside, *, incoming: Path
) -> StoredSupplement:
    """The newest version of a supplement."""
    how = hashlib.sha256(json.dumps(declared.one_roster_csv.document(), sort_keys=True).encode()).hexdigest()
    # A package at another address owes nothing to the one before.
    same = entry if entry is not None and entry.spec_digest == how else None
    place = incoming / f"beside-{declared.name}"
    await asyncio.to_thread(place.mkdir)
    package = await outside.supplement(declared, run.resource, run.cluster.secret)
    fetched = await package.fetch(previous=same.validator if same and not run.full else None, into=place)
    if fetched.unchanged and same is not None:
        return same
    before = _version(same) if same is not None else None
    version = await asyncio.to_thread(read_supplement, fetched.path, previous=before, scratch=place)
    old = entry is not None and entry.digest == version.digest
    return StoredSupplement(
        name=declared.name,
        spec_digest=how,
        validator=fetched.validator,
        digest=version.digest,
        accepted_at=entry.accepted_at if entry is not None and old else run.clock.now(),
        rows=version.rows,
        findings=version.findings.frame,
        last=entry.last if entry is not None else version.rows.clear(),
    )


def _version(stored: StoredSupplement) -> Version:
    return Version(digest=stored.digest, rows=stored.rows, findings=Findings(stored.findings))


def merged(own: Snapshot, gathered: Gathered, district: District) -> tuple[Snapshot, Gathered]:
    """The snapshot of the source and of what its supplements add. Blocks."""
    allow = {one.name: frozenset(one.allow) for one in district.spec.supplements}
    parts = [
        Supplement(name=one.name, allow=allow[one.name], version=_version(one), last=one.last) for one in gathered.now
    ]
    snapshot, counted = supplemented(own, parts)
    now = tuple(replace(one, last=each.last) for one, each in zip(gathered.now, counted, strict=True))
    return snapshot, replace(gathered, now=now, counted=counted)


def with_stored(own: Snapshot, stored: Sequence[StoredSupplement], district: District) -> Snapshot:
    """The same with the versions that count already, for who asks what another reading would do. Blocks."""
    known = {one.name: one for one in stored}
    now = tuple(known[one.name] for one in district.spec.supplements if one.name in known)
    return merged(own, Gathered(before=stored, now=now, times={}), district)[0] if now else own


def say_lessons(
    run: Run[District], gathered: Gathered, served: Roster, pins: pl.DataFrame, *, store: Store, metrics: Metrics
) -> None:
    """Tell the store the lessons of each supplement: of classes that are `served`, in the year ahead. Blocks.

    `pins`: columns `homeroom.roster.years.PINS`. To be done before the supplements are stored: of one that is gone from
    the spec nothing else tells, after a crash between the two, that its lessons have to go.
    """
    now, before = run.clock.now(), {one.name for one in gathered.before}
    last = {one.name: one.last for one in gathered.now}
    classes = pins.filter("current").select("section", "class").join(served.classes, left_on="class", right_on="id")
    for name in sorted(before | last.keys()):
        said = lessons_in(last[name]) if name in last else pl.DataFrame(schema=LESSONS)
        said = said.filter(pl.col("begins") < now + HORIZON)
        news = store.lessons.replace(
            said.join(classes.select("section", "class"), on="section").select(*GIVEN_SCHEMA, "published"),
            namespace=run.key.namespace,
            district=run.key.name,
            by=LessonBy.RECORDS,
            feed=name,
            now=now,
            epoch=run.cluster.epoch,
        )
        if name in before:  # what a first version says may have been known elsewhere for long
            lags = news.select(lag=now - pl.col("published"))["lag"].drop_nulls()
            for lag in lags.filter(lags >= timedelta()):
                metrics.lesson_shown(seconds=lag.total_seconds())


def with_supplements(
    status: DistrictStatus, district: District, gathered: Gathered, *, now: datetime
) -> DistrictStatus:
    """The status with what is known of the supplements; without any, nothing is said of them."""
    told = status.supplements
    if gathered.counted is not None:
        told = tuple(_told(one, each) for one, each in zip(gathered.now, gathered.counted, strict=True))
    if not district.spec.supplements:
        left = conditions.without(status.conditions, conditions.ConditionType.SUPPLEMENTS_FRESH)
        return status.model_copy(update={"supplements": (), "conditions": left})
    troubles = [(name, about) for name, about in gathered.times.items() if _TROUBLE in about]
    words = [
        f"{name}: {about[_TROUBLE]}; "
        + (f"what was read at {about[_READ][:16]}Z counts" if _READ in about else "nothing of it is there yet")
        for name, about in troubles
    ]
    contact = f"; {district.spec.contact}" if district.spec.contact else ""
    return conditions.with_condition(
        status.model_copy(update={"supplements": told}),
        type_=conditions.ConditionType.SUPPLEMENTS_FRESH,
        value=not troubles,
        reason=Reason.SUPPLEMENT_STALE if troubles else Reason.SUCCEEDED,
        message="; ".join(words) + contact if troubles else "each supplement could be read",
        generation=district.metadata.generation,
        now=now,
    )


def _told(stored: StoredSupplement, counted: Counted) -> SupplementStatus:
    found = counted.findings.counts()
    return SupplementStatus(
        name=stored.name,
        digest=stored.digest,
        accepted_time=stored.accepted_at,
        counts=SupplementCounts(**counted.counts),
        findings=FindingCounts(run=found[Severity.RUN], record=found[Severity.RECORD], value=found[Severity.VALUE]),
    )

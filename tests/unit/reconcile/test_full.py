"""`homeroom.dev/full-reconcile-at`: a run that trusts no cache, and says in the status that it was one (S11)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.reconcile.runs import APP, NOW, Declared

from homeroom.api.common import FULL_RECONCILE_AT, RECONCILE_AT
from homeroom.demo.stage import RECORDS, Records
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.district import DistrictRoot
from homeroom.reconcile.ports import Object
from homeroom.reconcile.run import Shell
from homeroom.sources import Fetched
from homeroom.sources.oneroster_csv import OneRosterCSV
from homeroom.store import Store

DISTRICT = APP._replace(kind="District", name="lakeside")


class Stale(OneRosterCSV):
    """A source behind a cache that never noticed a change: whoever asks whether there is one is told no."""

    async def fetch(self, *, previous: str | None, into: Path) -> Fetched:
        fetched = await super().fetch(previous=None, into=into)
        return replace(fetched, validator="the same as ever", unchanged=previous is not None)


class Cluster(Declared):
    """Keeps the statuses that are written."""

    def unlisted(self, _kinds: object) -> list[str]:
        return []

    def list(self, kind: str, namespace: str) -> Any:
        return [] if kind == "School" else super().list(kind, namespace)

    async def write_status(self, *said: Any) -> None:
        obj, status = said
        self._put(obj["metadata"]["name"], {"status": status})

    async def create(self, _obj: Object) -> None:
        pass

    def enqueue(self, _key: object) -> None:
        pass

    def annotate(self, name: str, value: str) -> None:
        (obj,) = (one for one in self.objects if one["kind"] == "District")
        notes = {**obj["metadata"].get("annotations", {}), name: value}
        self._put(DISTRICT.name, {"metadata": {**obj["metadata"], "annotations": notes}})

    def _put(self, name: str, changed: Mapping[str, Any]) -> None:
        self.objects = [
            {**obj, **changed} if (obj["kind"], obj["metadata"]["name"]) == ("District", name) else obj
            for obj in self.objects
        ]


class Reading:
    """The District's runs, as the shell around them does them."""

    def __init__(self, store: Store, directory: Path) -> None:
        self.store, self.cluster = store, Cluster()
        self.file = directory / "export.zip"

        async def source(*_: object) -> Stale:
            return Stale(url="file:///export.zip", file_root=directory)

        outside: Any = SimpleNamespace(source=source, links=Outside(owner_id="here").links)
        metrics: Any = SimpleNamespace(records_read=lambda *_, **__: None)
        clock: Any = SimpleNamespace(now=lambda: NOW, monotonic=lambda: 0.0)
        cluster: Any = self.cluster
        root = DistrictRoot(store=store, outside=outside, metrics=metrics, clock=clock)
        self.shell = Shell(root, cluster=cluster, store=store, clock=clock)

    async def students(self, records: Records) -> int:
        """What the status says after a run on these records."""
        self.file.write_bytes(records.zipped())
        verdict = await self.shell(DISTRICT)
        assert not verdict.failed, self.status
        counted: int = self.status["snapshot"]["counts"]["students"]
        return counted

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.get(DISTRICT)["status"]
        return found


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[Reading]:
    store = Store.open(f"sqlite:///{tmp_path / 'homeroom.db'}", tmp_path / "data")
    yield Reading(store, tmp_path)
    store.close()


def without_a_student() -> Records:
    """The example after one student has left."""
    records = Records(RECORDS)
    gone = records.rows("roles", role="student")[0]["userSourcedId"]
    for file, column in (("roles", "userSourcedId"), ("enrollments", "userSourcedId"), ("users", "sourcedId")):
        records.remove(file, **{column: gone})
    return records


async def test_a_full_run_asks_no_cache_and_the_status_says_that_it_was_one(reading: Reading) -> None:
    before, now = Records(RECORDS), without_a_student()
    was = await reading.students(before)
    reading.cluster.annotate(RECONCILE_AT, "1")
    assert await reading.students(now) == was
    assert reading.status["lastHandledReconcileAt"] == "1"
    assert "lastHandledFullReconcileAt" not in reading.status
    reading.cluster.annotate(FULL_RECONCILE_AT, "2")
    assert await reading.students(now) == was - 1
    assert reading.status["lastHandledFullReconcileAt"] == "2"
    assert await reading.students(before) == was - 1  # the request is handled, once


async def test_a_full_run_that_fails_is_made_up_for(reading: Reading) -> None:
    before, now = Records(RECORDS), without_a_student()
    was = await reading.students(before)
    reading.cluster.annotate(FULL_RECONCILE_AT, "1")
    reading.file.unlink()
    assert (await reading.shell(DISTRICT)).failed
    assert "lastHandledFullReconcileAt" not in reading.status
    assert await reading.students(now) == was - 1
    assert reading.status["lastHandledFullReconcileAt"] == "1"

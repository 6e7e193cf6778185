"""Runs of the example app alone: the district has read its records, and the app's root runs on one store.

`Running` is one root, run after run; what it applied is what its target was asked to make, and the clock stands still
unless a test moves it. Nothing here is mocked but cluster, clock and target. Whole nights of all roots: `nights`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, Self

import polars as pl

from homeroom.api import KINDS, LearningApp, parse
from homeroom.api.yaml import load_all
from homeroom.cli.files import read_export
from homeroom.demo.stage import EXAMPLE, RECORDS
from homeroom.plan import Change, Outcome, Result
from homeroom.reconcile.learningapp import SETTLE, LearningAppRoot
from homeroom.reconcile.ports import Key, Object
from homeroom.reconcile.run import Report, Run
from homeroom.roster.state import ACTUAL_SCHEMAS, Actual, Adopting, Known
from homeroom.sources import Snapshot, write
from homeroom.store import Accepted, RunRow, Store
from homeroom.targets import Capabilities

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
APP = Key("LearningApp", "lakeside", "kolibri")


class Forgetful:
    """A target that takes everything and is empty again in the next run."""

    capabilities = Capabilities()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def read(self, _known: Known) -> Actual:
        frames = {name: pl.DataFrame(schema=schema) for name, schema in ACTUAL_SCHEMAS.items()}
        return Actual(**frames)  # type: ignore[arg-type]  # all five are frames

    async def apply(self, batch: Sequence[Change]) -> Sequence[Outcome]:
        return [Outcome(seq=change.seq, result=Result.APPLIED) for change in batch]


class Declared:
    """The example district in a cluster, carried there by somebody who is at `commit`."""

    epoch = 1
    commit = "first"

    def __init__(self) -> None:
        texts = [(path.name, path.read_text()) for path in sorted(EXAMPLE.glob("*.yaml"))]
        found: list[Any] = [document.data for file, text in texts for document in load_all(text, file=file)]
        self.objects = [
            {**obj, "metadata": {**obj["metadata"], "uid": obj["metadata"]["name"], "generation": 1}}
            for obj in found
            if obj["kind"] in KINDS
        ]

    def edit(self, kind: str) -> None:
        """Somebody commits something that changes the first of a kind."""
        next(obj for obj in self.objects if obj["kind"] == kind)["metadata"]["generation"] += 1

    def get(self, key: Key) -> Any:
        return next((obj for obj in self.list(key.kind, key.namespace) if obj["metadata"]["name"] == key.name), None)

    def list(self, kind: str, _namespace: str) -> Any:
        return [obj for obj in self.objects if obj["kind"] == kind]

    async def secret(self, **_: str) -> dict[str, str]:
        return {}

    async def write_status(self, *_: object) -> None:
        pass

    def event(self, *_: object, **__: object) -> None:
        pass

    def stopping(self) -> bool:
        return False

    async def revision(self, objects: Iterable[Object]) -> str:
        assert list(objects)
        return self.commit


@cache
def _example() -> Snapshot:
    """The example's records, read once for all tests of a worker."""
    return read_export(RECORDS, previous=None)


def accept(store: Store, export: Path = RECORDS) -> None:
    """The district has read an export, and serves it."""
    place = {"namespace": APP.namespace, "district": "lakeside"}
    snapshot = _example() if export == RECORDS else read_export(export, previous=None)
    write(snapshot, store.snapshots(**place))
    accepted = Accepted(digest=snapshot.digest, accepted_at=NOW, validator=None, spec_digest="")
    store.accept(accepted, **place, epoch=1)


def app_root(store: Store, target: Callable[[], Any], *, clock: Any, settle: timedelta) -> LearningAppRoot:
    """The root of the app; `target` gives what a run opens."""

    async def opened(*_: object, **__: object) -> Any:
        return target()

    outside: Any = SimpleNamespace(target=opened)
    metrics: Any = SimpleNamespace(operations=lambda *_, **__: None)
    return LearningAppRoot(store=store, outside=outside, metrics=metrics, clock=clock, settle=settle)


def app_run(
    cluster: Any,
    *,
    clock: Any,
    last: RunRow | None = None,
    status: Mapping[str, Any] | None = None,
    spec: Mapping[str, object] = MappingProxyType({}),
) -> Run[LearningApp]:
    """A run of the app that begins now; `spec`: fields that differ from what the cluster has; `status`: its last."""
    obj = cluster.get(APP)
    resource = parse({**obj, "spec": {**obj["spec"], **spec}, **({"status": status} if status else {})})
    assert isinstance(resource, LearningApp)
    return Run(
        key=APP,
        obj=obj,
        resource=resource,
        cluster=cluster,
        clock=clock,
        started=clock.now(),
        full=False,
        fresh=False,
        last=last,
    )


Thing = tuple[str, str, str, str | None]  # kind, school, key, class


class Noting(Forgetful):
    """A target that takes everything, tells what it was asked to make, and has only these schools in the next run."""

    def __init__(self, *schools: str, by_hand: Sequence[str] = (), complete: bool = True) -> None:
        self.made: set[Thing] = set()
        self._schools, self._by_hand = schools, by_hand
        self._complete = complete

    async def read(self, known: Known) -> Actual:
        by_hand = self._by_hand if known.adoptable is not None else ()
        rows = [(school, f"id of {school}", school) for school in (*self._schools, *by_hand)]
        new = range(len(self._schools), len(rows))
        return replace(
            await super().read(known),
            schools=pl.DataFrame(rows, ACTUAL_SCHEMAS["schools"], orient="row"),
            adopting=Adopting(schools=pl.Series(new, dtype=pl.UInt32)),
            complete=self._complete,
        )

    async def apply(self, batch: Sequence[Change]) -> Sequence[Outcome]:
        self.made |= {(change.kind.value, change.school, change.key, change.class_key) for change in batch}
        return await super().apply(batch)


class Running:
    """The app's root, run after run on one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.schools: tuple[str, ...] = ()
        self.by_hand: tuple[str, ...] = ()  # schools that people had made
        self.spec: dict[str, str] = {"firstSync": "Automatic"}
        self.opened = 0  # how many runs looked at the target
        self.cluster = Declared()
        self.minutes = 0.0
        clock: Any = SimpleNamespace(
            now=lambda: NOW + timedelta(minutes=self.minutes), monotonic=lambda: self.minutes * 60
        )
        self.clock = clock
        self.target = Noting()
        self.publish()
        self.root = app_root(store, self.open_target, clock=clock, settle=SETTLE)

    def open_target(self) -> Any:
        """What a run looks at."""
        self.opened += 1
        return self.target

    async def run(self, *, after: timedelta = timedelta(), complete: bool = True) -> tuple[Report[Any], set[Thing]]:
        """One run, and what it made."""
        self.minutes += after / timedelta(minutes=1)
        self.target = self.there(complete=complete)
        return await self.root.reconcile(self.started()), self.target.made

    def started(self) -> Run[LearningApp]:
        """A run that begins now; first syncs are not reviewed."""
        return app_run(self.cluster, clock=self.clock, spec=self.spec)

    def there(self, *, complete: bool) -> Noting:
        """The target, as a run finds it."""
        return Noting(*self.schools, by_hand=self.by_hand, complete=complete)

    async def synced(self) -> set[Thing]:
        """The first rules have stood still and were applied: what that made."""
        await self.run()
        _, made = await self.run(after=SETTLE)
        assert made
        return made

    def publish(self, export: Path = RECORDS) -> None:
        """The records are these from now on."""
        accept(self.store, export)

    def rules(self) -> str:
        """The last rules whose effect nobody has to look at any more."""
        stored = self.store.baseline(namespace=APP.namespace, app=APP.name)
        assert stored is not None
        return stored.rules

    def remove_exclude(self) -> list[Object]:
        """Somebody deletes all Excludes: they are returned."""
        gone: list[Object] = [obj for obj in self.cluster.objects if obj["spec"].get("effect") == "Exclude"]
        assert gone
        self.cluster.objects = [obj for obj in self.cluster.objects if obj not in gone]
        return gone


def asked(report: Report[Any]) -> set[str]:
    """The guards that wait for a person."""
    return {hold.guard for hold in report.status.holds}

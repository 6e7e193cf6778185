"""Whole runs of the example app: each change in the journal bears the commit that the resources were of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import polars as pl
import pytest

from homeroom.api import KINDS, LearningApp, parse
from homeroom.api.yaml import load_all
from homeroom.cli.files import read_export
from homeroom.plan import Change, Outcome, Result
from homeroom.reconcile.learningapp import LearningAppRoot
from homeroom.reconcile.ports import Key, Object
from homeroom.reconcile.run import Run
from homeroom.roster.state import ACTUAL_SCHEMAS, Actual, Known
from homeroom.sources import write
from homeroom.store import Accepted, JournalQuery, Store
from homeroom.targets import Capabilities

EXAMPLES = Path(__file__).parents[3] / "examples"
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
        texts = [(path.name, path.read_text()) for path in sorted((EXAMPLES / "lakeside").glob("*.yaml"))]
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


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{tmp_path / 'homeroom.db'}", tmp_path)
    place = {"namespace": "lakeside", "district": "lakeside"}
    snapshot = read_export(EXAMPLES / "lakeside-records", previous=None)
    write(snapshot, store.snapshots(**place))
    accepted = Accepted(digest=snapshot.digest, accepted_at=NOW, validator=None, spec_digest="")
    store.accept(accepted, **place, epoch=1)
    yield store
    store.close()


async def run(store: Store, cluster: Any) -> list[str]:
    """The revisions of what one more run did."""

    async def target(*_: object, **__: object) -> Forgetful:
        return Forgetful()

    outside: Any = SimpleNamespace(target=target)
    clock: Any = SimpleNamespace(now=lambda: NOW, monotonic=lambda: 0.0)
    metrics: Any = SimpleNamespace(operations=lambda *_, **__: None)
    obj = cluster.get(APP)
    obj = {**obj, "spec": {**obj["spec"], "firstSync": "Automatic"}}
    resource = parse(obj)
    assert isinstance(resource, LearningApp)
    of_app: Run[LearningApp] = Run(
        key=APP,
        obj=obj,
        resource=resource,
        cluster=cluster,
        clock=clock,
        started=NOW,
        full=False,
        fresh=False,
        last=None,
    )
    before = set(store.counted(namespace="lakeside", runs=99)["run"])
    root = LearningAppRoot(store=store, outside=outside, metrics=metrics, clock=clock, settle=timedelta())
    await root.reconcile(of_app)
    journal = store.history(JournalQuery(namespace="lakeside", limit=None))
    return journal.filter(~pl.col("run").is_in(before))["revision"].unique().to_list()


async def test_a_change_bears_the_commit_that_made_the_resources_what_they_are(store: Store) -> None:
    cluster = Declared()
    assert await run(store, cluster) == ["first"]
    cluster.commit = "of something else"
    assert await run(store, cluster) == ["first"]
    for kind in ("SharingRule", "LearningApp", "District"):
        cluster.commit = f"changes the {kind}"
        cluster.edit(kind)
        assert await run(store, cluster) == [cluster.commit]

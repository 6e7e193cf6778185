"""Whole runs of the example app: each change in the journal bears the commit that the resources were of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from tests.unit.reconcile.runs import NOW, Declared, Forgetful, accept, app_root, app_run
from tests.unit.stores import open_store

from homeroom.store import JournalQuery, Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    accept(store)
    yield store
    store.close()


async def run(store: Store, cluster: Declared) -> list[str]:
    """The revisions of what one more run did."""
    clock: Any = SimpleNamespace(now=lambda: NOW, monotonic=lambda: 0.0)
    before = set(store.counted(namespace="lakeside", runs=99)["run"])
    root = app_root(store, Forgetful, clock=clock, settle=timedelta())
    await root.reconcile(app_run(cluster, clock=clock, spec={"firstSync": "Automatic"}))
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

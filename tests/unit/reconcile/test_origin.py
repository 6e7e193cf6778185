"""The revision of a change is the one that was there when the resources were first seen as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.stores import open_store

from homeroom.errors import TransientError
from homeroom.reconcile.origin import revision_of
from homeroom.reconcile.ports import UNKNOWN_REVISION, Object
from homeroom.store import Store

NOW = datetime(2026, 9, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def resource(kind: str, name: str, generation: int = 1, *, uid: str = "1") -> Object:
    metadata = {"name": name, "namespace": "n", "uid": f"{name}-{uid}", "generation": generation}
    return {"kind": kind, "metadata": metadata}


APP = resource("LearningApp", "a")
RULE = resource("SharingRule", "r")


class Git:
    """A carrier that is at a commit now; `asked` about which resources since it got there."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away = False
        self.asked: list[str] = []

    async def at(self, commit: str, app: Object, *others: Object) -> str:
        """What a run says while the carrier is at `commit`."""
        self.asked = []

        async def ask(objects: Iterable[Object]) -> str:
            if self.away:
                raise TransientError("no answer", reason="ApiUnavailable")
            self.asked += [obj["metadata"]["name"] for obj in objects]
            return commit

        return await revision_of(app, others, ask=ask, store=self._store, now=NOW, epoch=1)


async def test_a_later_commit_that_changes_nothing_here_does_not_count(store: Store) -> None:
    git = Git(store)
    assert await git.at("first", APP, RULE) == "first"
    assert await git.at("second", APP, RULE) == "first"
    assert git.asked == []
    assert await Git(store).at("third", APP, RULE) == "first", "a new process remembers"


async def test_an_edit_a_new_rule_and_one_less_are_of_the_commit_that_made_them(store: Store) -> None:
    git = Git(store)
    await git.at("first", APP, RULE)
    edited = resource("SharingRule", "r", 2)
    assert (await git.at("edited", APP, edited), git.asked) == ("edited", ["r"])
    more = resource("SharingRule", "s")
    assert (await git.at("more", APP, edited, more), git.asked) == ("more", ["s"])
    assert (await git.at("less", APP, edited), git.asked) == ("less", ["a"])
    again = resource("SharingRule", "r", 2, uid="2")
    assert (await git.at("made anew", APP, again), git.asked) == ("made anew", ["r"])


async def test_who_cannot_be_asked_now_is_asked_by_the_next_run(store: Store) -> None:
    git = Git(store)
    git.away = True
    assert await git.at("first", APP) == UNKNOWN_REVISION
    git.away = False
    assert await git.at("first", APP) == "first"


async def test_apps_of_one_name_in_two_tenants_have_nothing_in_common(store: Store) -> None:
    other = {**APP, "metadata": {**APP["metadata"], "namespace": "m"}}
    git = Git(store)
    assert [await git.at("one", APP), await git.at("two", other), await git.at("three", APP)] == ["one", "two", "one"]

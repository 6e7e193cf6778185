"""What the shell around every run stops before the work begins.

No root runs before every kind that it reads is served and listed: "no rules" is never a guess (safety row 20).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.reconcile.runs import APP, NOW, Declared
from tests.unit.stores import open_store

from homeroom.reconcile.learningapp import LearningAppRoot
from homeroom.reconcile.ports import Verdict
from homeroom.reconcile.run import Shell
from homeroom.store import Store


class Half(Declared):
    """The example district in a cluster that has not listed the `missing` kinds, or no longer serves them."""

    def __init__(self, *missing: str, being_listed: bool = False) -> None:
        super().__init__()
        self.missing = missing
        self.in_a_moment = being_listed
        self.objects = [obj for obj in self.objects if obj["kind"] not in missing]
        self.said: dict[str, Mapping[str, Any]] = {}
        self.writes: list[tuple[str, Mapping[str, Any]]] = []

    def unlisted(self, kinds: Iterable[str]) -> list[str]:
        return [kind for kind in kinds if kind in self.missing]

    def being_listed(self, kinds: Iterable[str]) -> bool:
        return self.in_a_moment and {*kinds} <= {*self.missing}

    async def write_status(self, *said: Any) -> None:
        obj, status = said
        self.said[obj["metadata"]["name"]] = status
        self.writes.append((obj["metadata"]["name"], status))


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


async def run(store: Store, half: Half) -> tuple[Verdict, str]:
    """What comes of a run of the app, and the reason that its status gives; "" where nothing was written."""
    cluster: Any = half
    clock: Any = SimpleNamespace(now=lambda: NOW, monotonic=lambda: 0.0)
    nothing: Any = None  # a run that asks for the outside or for metrics has gone too far
    root = LearningAppRoot(store=store, outside=nothing, metrics=nothing, clock=clock)
    verdict = await Shell(root, cluster=cluster, store=store, clock=clock)(APP)
    if not half.said:
        return verdict, ""
    (ready,) = (one for one in half.said[APP.name]["conditions"] if one["type"] == "Ready")
    return verdict, ready["reason"]


@pytest.mark.parametrize("kind", ["District", "SharingRule", "School", "Approval", "LearningApp"])
async def test_a_kind_that_is_not_listed_stops_the_run(kind: str, opened: Store) -> None:
    half = Half(kind)
    if kind == APP.kind:  # the cache may know an object of a kind whose list is not complete
        half.objects = Declared().objects
    verdict, reason = await run(opened, half)
    assert (verdict.failed, reason) == (True, "KindNotServed")
    assert set(half.said) == {APP.name}, "others were told something"


async def test_after_a_start_a_kind_that_is_still_being_listed_is_no_news(opened: Store) -> None:
    verdict, reason = await run(opened, Half("School", being_listed=True))
    assert reason == "", "a restart was told to everybody who watches"
    assert verdict == Verdict(again=600), "it is enqueued when the list is there, and looks by itself all the same"
    assert opened.run(kind=APP.kind, namespace=APP.namespace, name=APP.name) is None


async def test_a_run_that_fails_again_and_again_says_the_same(opened: Store) -> None:
    half = Half()
    verdict, reason = await run(opened, half)
    assert (verdict.failed, reason) == (True, "DependencyNotReady")
    assert [name for name, _ in half.writes] == [APP.name] * 2, "under way, and how it ended"
    said = half.said[APP.name]
    half.objects = [{**obj, "status": said} if obj["metadata"]["name"] == APP.name else obj for obj in half.objects]
    half.writes.clear()
    await run(opened, half)
    assert half.writes == [(APP.name, said)], "nothing to write: the cluster has that already"


async def test_that_there_is_no_rule_is_said_once_rules_are_listed(opened: Store) -> None:
    half = Half()
    half.objects = [obj for obj in half.objects if obj["kind"] != "SharingRule"]
    verdict, reason = await run(opened, half)
    assert (verdict.failed, reason) == (False, "NoSharingRules")


async def test_a_suspended_app_is_left_alone_whatever_there_is_to_do(opened: Store) -> None:
    half = Half()
    half.objects = [{**obj, "spec": {**obj["spec"], "suspend": True}} for obj in half.objects]
    verdict, reason = await run(opened, half)
    assert (verdict, reason) == (Verdict(), "Suspended")
    assert set(half.said) == {APP.name}, "others were told something"

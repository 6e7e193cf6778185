"""The cache ends up with the truth, in whatever order watches, lists and answers arrive."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from homeroom.operator.cache import Cache, lean, version
from homeroom.reconcile.ports import Key, Object


def thing(name: str, *, uid: str, at: int, **metadata: Any) -> dict[str, Any]:
    return {
        "kind": "School",
        "metadata": {
            "name": name,
            "namespace": "n",
            "uid": uid,
            "resourceVersion": str(at),
            "generation": 1,
            **metadata,
        },
        "spec": {},
    }


@dataclass
class History:
    """What really happened: per uid its versions in order, and whether the last of them is its end."""

    streams: dict[str, list[Object]]
    ended: set[str]
    last: int

    def at(self, moment: int) -> list[Object]:
        """A complete list, made at that revision."""
        found = []
        for uid, versions in self.streams.items():
            past = [obj for obj in versions if version(obj) <= moment]
            if past and not (uid in self.ended and past[-1] is versions[-1]):
                found.append(past[-1])
        return found


@st.composite
def histories(draw: st.DrawFn) -> History:
    streams: dict[str, list[Object]] = {}
    ended: set[str] = set()
    current: dict[str, str] = {}
    moment = 0
    for name in draw(st.lists(st.sampled_from("ab"), max_size=15)):
        moment += 1
        uid = current.get(name)
        if uid is None:
            uid = current[name] = f"{name}-{moment}"
        streams.setdefault(uid, []).append(thing(name, uid=uid, at=moment, labels={"at": str(moment)}))
        if len(streams[uid]) > 1 and draw(st.booleans()):
            ended.add(uid)
            del current[name]
    return History(streams, ended, moment)


@given(histories(), st.data())
def test_the_truth_wins_in_any_order(history: History, data: st.DataObject) -> None:
    known: dict[Key, Object] = {}

    def changed(old: Object | None, new: Object | None) -> None:
        obj = new or old
        assert obj is not None
        key = Key("School", "n", obj["metadata"]["name"])
        assert known.get(key) == old, "a change is told from what was told before"
        if new is None:
            del known[key]
        else:
            known[key] = new

    cache = Cache(changed)
    waiting = {uid: list(versions) for uid, versions in history.streams.items()}
    while waiting:
        uid = data.draw(st.sampled_from(sorted(waiting)))
        obj = waiting[uid].pop(0)
        if waiting[uid]:
            cache.observe(obj)
        else:
            del waiting[uid]
            if uid in history.ended:
                cache.forget(obj)
            else:
                cache.observe(obj)
        match data.draw(st.sampled_from(["nothing", "answer", "list"])):
            case "answer":  # of a write of ours: some version of that object, late
                cache.observe(data.draw(st.sampled_from(history.streams[uid][:-1] or [history.streams[uid][0]])))
            case "list":
                moment = data.draw(st.integers(0, history.last))
                for gone in cache.complete("School", history.at(moment), at=moment):
                    cache.forget(gone)
            case _:
                pass
    for gone in cache.complete("School", history.at(history.last), at=history.last):
        cache.forget(gone)
    truth = {obj["metadata"]["name"]: obj for obj in history.at(history.last)}
    assert {obj["metadata"]["name"]: obj for obj in cache.list("School", "n")} == truth
    assert {key.name: obj for key, obj in known.items()} == truth


class TestChanges:
    def told(self, *versions: dict[str, Any]) -> int:
        """How often a change is told after the first version."""
        calls: list[object] = []
        cache = Cache(lambda old, new: calls.append((old, new)))
        for obj in versions:
            cache.observe(obj)
        return len(calls) - 1

    def test_a_status_does_not_matter(self) -> None:
        assert self.told(thing("a", uid="1", at=1), {**thing("a", uid="1", at=2), "status": {"summary": "Synced"}}) == 0

    def test_annotations_of_others_do_not_matter_and_ours_do(self) -> None:
        first = thing("a", uid="1", at=1)
        assert self.told(first, thing("a", uid="1", at=2, annotations={"argocd.argoproj.io/x": "1"})) == 0
        assert self.told(first, thing("a", uid="1", at=2, annotations={"homeroom.dev/reconcile-at": "1"})) == 1

    def test_generation_labels_finalizers_deletion_and_identity_matter(self) -> None:
        first = thing("a", uid="1", at=1)
        for change in ({"generation": 2}, {"labels": {"a": "b"}}, {"finalizers": ["x"]}, {"deletionTimestamp": "now"}):
            assert self.told(first, thing("a", uid="1", at=2, **change)) == 1
        assert self.told(first, thing("a", uid="2", at=2)) == 1

    def test_an_older_version_changes_nothing(self) -> None:
        cache = Cache(lambda *_: None)
        new = thing("a", uid="1", at=10, labels={"new": "yes"})
        cache.observe(new)
        cache.observe(thing("a", uid="1", at=9))
        assert cache.get(Key("School", "n", "a")) == new

    def test_the_end_of_a_predecessor_leaves_the_successor(self) -> None:
        cache = Cache(lambda *_: None)
        cache.observe(thing("a", uid="2", at=5))
        cache.forget(thing("a", uid="1", at=4))
        assert [obj["metadata"]["uid"] for obj in cache.list("School", "n")] == ["2"]

    def test_a_list_tells_what_it_lacks_but_not_what_is_newer(self) -> None:
        cache = Cache(lambda *_: None)
        cache.observe(thing("old", uid="1", at=5))
        cache.observe(thing("new", uid="2", at=11))
        assert [obj["metadata"]["name"] for obj in cache.complete("School", [], at=10)] == ["old"]
        assert [obj["metadata"]["name"] for obj in cache.list("School", "n")] == ["new", "old"]

    def test_what_objects_have_in_common_is_kept_once(self) -> None:
        cache = Cache(lambda *_: None)
        for name in "ab":
            text = json.dumps(thing(name, uid=name, at=1, labels={"homeroom.dev/use": "some text"}))
            cache.observe(json.loads(text))
        first, second = (obj["metadata"]["labels"] for obj in cache.list("School", "n"))
        assert first is not second
        assert next(iter(first)) is next(iter(second))
        assert first["homeroom.dev/use"] is second["homeroom.dev/use"]

    def test_lists_are_sorted_and_lean(self) -> None:
        cache = Cache(lambda *_: None)
        for name in "bca":
            cache.observe(thing(name, uid=name, at=1, managedFields=[{"manager": "kubectl"}]))
        found = cache.list("School", "n")
        assert [obj["metadata"]["name"] for obj in found] == ["a", "b", "c"]
        assert not any("managedFields" in obj["metadata"] for obj in found)
        assert lean(found[0]) == found[0]
        assert cache.list("School", "elsewhere") == []

"""What the cluster contains, as far as we know: fed by watches, full lists and our own writes. Pure.

All three may arrive in any order, so the newest resourceVersion of an object wins: they are the revisions of etcd,
hence numbers that grow, and comparable by Kubernetes' own promise since 1.35. What was deleted is remembered by its
uid for a while, as an answer to a write of ours may come after the watch has told the end of the object.

A change is told to `on_change` only when it can matter to a reconciler: generation, deletion, finalizers, labels or
our annotations differ. A write of a status changes none of them, so our own starts no run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from sys import intern
from typing import Any

from homeroom.api import GROUP
from homeroom.reconcile.ports import Key, Object, key_of

_TOMBSTONES = 10_000
"""How many deleted uids are remembered; only those of the last seconds matter."""

OnChange = Callable[[Object | None, Object | None], None]


def version(obj: Object) -> int:
    """The resourceVersion as a number."""
    return int(obj["metadata"]["resourceVersion"])


def signature(obj: Object) -> tuple[object, ...]:
    """What has to differ for a change to matter."""
    metadata = obj["metadata"]
    annotations = metadata.get("annotations") or {}
    return (
        metadata["uid"],
        metadata.get("generation"),
        metadata.get("deletionTimestamp"),
        metadata.get("finalizers") or [],
        metadata.get("labels") or {},
        {name: value for name, value in annotations.items() if name.startswith(f"{GROUP}/")},
    )


def lean(obj: Object) -> Object:
    """`obj` without `managedFields`: often half of it, and a write without them leaves them as they are."""
    metadata: dict[str, Any] = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    return {**obj, "metadata": metadata}


def _shared(value: Any) -> Any:
    """The same JSON with equal texts kept once: names of fields, reasons and namespaces are half of every object."""
    if isinstance(value, dict):
        return {intern(name): _shared(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shared(item) for item in value]
    return intern(value) if isinstance(value, str) else value


class Cache:
    """The newest known version of every object of our kinds."""

    def __init__(self, on_change: OnChange) -> None:
        self._on_change = on_change
        self._objects: dict[str, dict[str, dict[str, Object]]] = {}
        """kind -> namespace -> name -> object; no empty dictionary stays."""
        self._gone: dict[str, None] = {}

    def get(self, key: Key) -> Object | None:
        """The object, or None when there is none as far as we know."""
        return self._objects.get(key.kind, {}).get(key.namespace, {}).get(key.name)

    def list(self, kind: str, namespace: str) -> Sequence[Object]:
        """All objects of a kind in a namespace, sorted by name."""
        return [obj for _, obj in sorted(self._objects.get(kind, {}).get(namespace, {}).items())]

    def every(self, kind: str) -> Sequence[Object]:
        """All objects of a kind."""
        return [obj for objects in self._objects.get(kind, {}).values() for obj in objects.values()]

    def observe(self, obj: Object, *, quiet: bool = False) -> None:
        """Take over one version of an object, unless a newer one or the object's end is known.

        `quiet`: a write of our own whose effect nobody has to be told.
        """
        uid = obj["metadata"]["uid"]
        if uid in self._gone:
            return
        key = key_of(obj)
        old = self.get(key)
        if old is not None:
            if version(obj) <= version(old):
                return
            if old["metadata"]["uid"] != uid:
                self._bury(old["metadata"]["uid"])
        obj = _shared(lean(obj))
        self._objects.setdefault(key.kind, {}).setdefault(key.namespace, {})[key.name] = obj
        if not quiet and (old is None or signature(old) != signature(obj)):
            self._on_change(old, obj)

    def forget(self, obj: Object) -> None:
        """That very object (by uid) is gone."""
        uid = obj["metadata"]["uid"]
        self._bury(uid)
        key = key_of(obj)
        old = self.get(key)
        if old is None or old["metadata"]["uid"] != uid:
            return
        names = self._objects[key.kind][key.namespace]
        del names[key.name]
        if not names:
            del self._objects[key.kind][key.namespace]
        self._on_change(old, None)

    def complete(self, kind: str, objects: Sequence[Object], *, at: int) -> Sequence[Object]:
        """Take over a complete list of a kind, made at resourceVersion `at`; gives what it lacks and is not newer.

        That stays until it is forgotten: whether an absence counts is not for us to say.
        """
        for obj in objects:
            self.observe(obj)
        uids = {obj["metadata"]["uid"] for obj in objects}
        return [obj for obj in self.every(kind) if obj["metadata"]["uid"] not in uids and version(obj) <= at]

    def _bury(self, uid: str) -> None:
        self._gone[uid] = None
        if len(self._gone) > _TOMBSTONES:
            del self._gone[next(iter(self._gone))]

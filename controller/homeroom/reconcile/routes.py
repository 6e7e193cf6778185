"""Which roots an event concerns: children wake their root, roots wake those that depend on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from homeroom.reconcile.ports import Cluster, Key, Object, key_of


def routes(cluster: Cluster, old: Object | None, new: Object | None) -> Iterable[Key]:
    """The roots that a change from `old` (None: made) to `new` (None: gone) concerns; a moved reference wakes both."""
    return {key: None for obj in (old, new) if obj is not None for key in _roots(cluster, obj)}


def _roots(cluster: Cluster, obj: Object) -> Iterator[Key]:
    kind, namespace, spec = obj["kind"], obj["metadata"]["namespace"], obj.get("spec") or {}
    if kind == "SharingRule":
        yield Key("LearningApp", namespace, (spec.get("appRef") or {}).get("name", ""))
        return
    if kind == "Approval":
        reference = spec.get("targetRef") or {}
        yield Key(reference.get("kind", ""), namespace, reference.get("name", ""))
        return
    yield key_of(obj)
    if kind == "District":
        for app in cluster.list("LearningApp", namespace):
            if (app["spec"].get("districtRef") or {}).get("name") == obj["metadata"]["name"]:
                yield key_of(app)
    elif kind == "School":
        # Somebody edited or deleted a row that only we write: its district makes it again.
        yield Key("District", namespace, (spec.get("districtRef") or {}).get("name", ""))

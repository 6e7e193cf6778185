"""Which roots an event concerns: children wake their root, roots wake those that depend on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from homeroom.reconcile.chatcalls import KIND as CALLS
from homeroom.reconcile.chatplatform import users_of
from homeroom.reconcile.licences import apps_of_pool, pool_of, pools_of_district
from homeroom.reconcile.linking import KIND as LINKING
from homeroom.reconcile.ports import Cluster, Key, Object, key_of


def routes(cluster: Cluster, old: Object | None, new: Object | None) -> Iterable[Key]:
    """The roots that a change from `old` (None: made) to `new` (None: gone) concerns; a moved reference wakes both."""
    found = {key: None for obj in (old, new) if obj is not None for key in _roots(cluster, obj)}
    if old is not None and new is None and old["kind"] in {"LearningApp", "ChatPolicy"}:
        # The rows show it no more. No run of its own can tell them: it is gone.
        district = ((old.get("spec") or {}).get("districtRef") or {}).get("name", "")
        found |= dict.fromkeys(_of_district(cluster, "School", old["metadata"]["namespace"], district))
    return found


def _roots(cluster: Cluster, obj: Object) -> Iterator[Key]:
    kind, namespace, spec = obj["kind"], obj["metadata"]["namespace"], obj.get("spec") or {}
    if kind == "SharingRule":
        yield Key("LearningApp", namespace, (spec.get("appRef") or {}).get("name", ""))
        return
    if kind == "Approval":
        reference = spec.get("targetRef") or {}
        yield Key(reference.get("kind", ""), namespace, reference.get("name", ""))
        return
    if kind == "SchoolLicense":
        yield pool_of(obj)
        if spec.get("deliverKeyTo"):
            yield key_of(obj)
        return
    yield key_of(obj)
    if kind == "ChatPolicy":
        platform = Key("ChatPlatform", namespace, (spec.get("platformRef") or {}).get("name", ""))
        yield platform
        # What one sees to is not another's; an extra chat is nobody's else.
        yield from (key_of(user) for user in users_of(cluster, platform) if user["kind"] == kind)
    elif kind == "District":
        yield from pools_of_district(cluster, key_of(obj))
        yield from _of_district(cluster, "LearningApp", namespace, obj["metadata"]["name"])
        yield from _of_district(cluster, "ChatPolicy", namespace, obj["metadata"]["name"])
        yield from _of_district(cluster, "Chat", namespace, obj["metadata"]["name"])
        yield from _of_district(cluster, "School", namespace, obj["metadata"]["name"])  # they name its contact
    elif kind == "ChatPlatform":
        yield from map(key_of, users_of(cluster, key_of(obj)))
        yield Key(LINKING, namespace, obj["metadata"]["name"])
        yield Key(CALLS, namespace, obj["metadata"]["name"])
    elif kind == "LicensePool":
        yield from apps_of_pool(cluster, key_of(obj))
    elif kind == "School":
        # Somebody edited or deleted a row that only we write: its district makes it again.
        yield Key("District", namespace, (spec.get("districtRef") or {}).get("name", ""))


def _of_district(cluster: Cluster, kind: str, namespace: str, district: str) -> Iterator[Key]:
    for obj in cluster.list(kind, namespace):
        if (obj["spec"].get("districtRef") or {}).get("name") == district:
            yield key_of(obj)

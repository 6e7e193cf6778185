"""The Kubernetes API as a run sees it: the port `Cluster` over `api`, `cache`, `kinds`, `events` and the queue.

Reads come from the cache. Every write puts the answer of the API server back into it, so that the next read sees it,
whether the watch has told it yet or not.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from homeroom.api import CREDENTIALS_LABEL, CREDENTIALS_VALUE, FINALIZER, PICTURES_VALUE, Reason
from homeroom.api.conditions import ConditionType
from homeroom.errors import TransientError
from homeroom.operator.api import Api, ConflictError, ForbiddenError, Json, NotFoundError, path_of
from homeroom.operator.cache import Cache, lean, version
from homeroom.operator.events import Events
from homeroom.operator.gitops import Revisions
from homeroom.operator.kinds import Kinds
from homeroom.reconcile.ports import Key, Object, key_of

_CONFLICTS = 5
"""How often a write is tried on a newer version before the whole run is tried again."""
_OURS = frozenset(ConditionType)


class Enqueue(Protocol):
    """How a run of a root is asked for."""

    def __call__(self, key: Key, *, after: float = 0) -> None:
        """Ask for a run in `after` seconds."""


class KubeCluster:
    """Implements `homeroom.reconcile.ports.Cluster`.

    `stopping` says whether the process shall end. `epoch` is the number under which we lead. `argocd_namespace`: see
    `gitops`.
    """

    def __init__(
        self,
        *,
        api: Api,
        cache: Cache,
        kinds: Kinds,
        events: Events,
        enqueue: Enqueue,
        stopping: Callable[[], bool],
        epoch: int,
        argocd_namespace: str,
    ) -> None:
        self._api = api
        self._cache = cache
        self._kinds = kinds
        self._events = events
        self._enqueue = enqueue
        self._stopping = stopping
        self._epoch = epoch
        self._revisions = Revisions(api, argocd_namespace=argocd_namespace)

    def unlisted(self, kinds: Iterable[str]) -> Sequence[str]:
        """Those of `kinds` that are not served, forbidden, or whose first list is not complete."""
        return self._kinds.unlisted(kinds)

    def being_listed(self, kinds: Iterable[str]) -> bool:
        """Whether all of `kinds` are served, and listed in a moment."""
        return self._kinds.being_listed(kinds)

    def get(self, key: Key) -> Object | None:
        """The newest version known, our own writes included."""
        return self._cache.get(key)

    def list(self, kind: str, namespace: str) -> Sequence[Object]:
        """All objects of a kind in a namespace, sorted by name, our own writes included."""
        return self._cache.list(kind, namespace)

    def every(self, kind: str) -> Sequence[Object]:
        """All objects of a kind in all namespaces, our own writes included."""
        return self._cache.every(kind)

    async def labels_of(self, namespace: str) -> Mapping[str, str]:
        """Ask live for the labels of a namespace; none where there is no such namespace. Raises TransientError."""
        try:
            found = await self._api.get(f"/api/v1/namespaces/{namespace}")
        except NotFoundError:
            return {}
        labels: Mapping[str, str] = found["metadata"].get("labels") or {}
        return labels

    async def is_terminating(self, namespace: str) -> bool:
        """Ask live whether a namespace is being deleted, or is gone. Raises TransientError."""
        try:
            found = await self._api.get(f"/api/v1/namespaces/{namespace}")
        except NotFoundError:
            return True
        return found["metadata"].get("deletionTimestamp") is not None

    async def secret(self, *, namespace: str, name: str) -> Mapping[str, str]:
        """Read a Secret live, decoded; only one that is labelled for it. Raises TransientError, see the port."""
        return await read_secret(self._api, namespace=namespace, name=name)

    async def picture(self, *, namespace: str, name: str, key: str) -> bytes:
        """Read a file of a ConfigMap live; only of one that is labelled for it. Raises TransientError, see the port."""
        return await read_picture(self._api, namespace=namespace, name=name, key=key)

    async def key_secret(self, *, namespace: str, name: str) -> Object | None:
        """Read a Secret live that may be one with a licence's key. Raises TransientError, see the port."""
        try:
            return await self._api.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
        except NotFoundError:
            return None

    async def write_key_secret(self, secret: Object) -> None:
        """Create it, or replace it as read. Raises TransientError, see the port."""
        metadata = secret["metadata"]
        path, method = f"/api/v1/namespaces/{metadata['namespace']}/secrets", "POST"
        if metadata.get("resourceVersion"):
            path, method = f"{path}/{metadata['name']}", "PUT"
        await self._api.request(method, path, body=secret)

    async def revision(self, objects: Iterable[Object]) -> str:
        """Ask live which Git revision these objects came with. Raises UnavailableError, see the port."""
        return await self._revisions.of(objects)

    async def write_status(self, obj: Object, status: Mapping[str, Any], *, always: Collection[str] = ()) -> None:
        """Replace the status of the object as read; no request when it is equal.

        When somebody else wrote meanwhile, theirs is read and ours put on top. Only the fields of `always` when they
        changed the spec: what we found out is about a generation that is past, and the change has asked for a run of
        its own.
        """
        live = self._newest(obj)
        for _ in range(_CONFLICTS):
            if live is None:
                return
            if live["metadata"]["generation"] == obj["metadata"]["generation"]:
                conditions = _with_foreign(status, live)
                wanted = {**status, "conditions": conditions} if conditions else status
            else:
                wanted = {**live.get("status", {}), **{name: status[name] for name in always}}
            if live.get("status", {}) == wanted:
                return
            key = key_of(obj)
            path = path_of(key.kind, key.namespace, key.name, "status")
            try:
                written = await self._api.request("PUT", path, body={**live, "status": wanted})
            except ConflictError:
                live = await self._read(obj)
            except NotFoundError:
                return
            else:
                self._cache.observe(written)
                return
        raise ConflictError(f"the status of {key_of(obj)} is written by others all the time: find out who that is")

    async def create(self, obj: Object) -> None:
        """Create; an object that exists already is no error."""
        key = key_of(obj)
        try:
            created = await self._api.request("POST", path_of(key.kind, key.namespace), body=obj)
        except ConflictError:
            return
        self._written(created)

    async def replace(self, obj: Object) -> None:
        """Replace spec and metadata of an object as read; no request when nothing differs.

        Raises ConflictError when somebody else wrote it since it was read: the run has to be made again.
        """
        live = self._newest(obj)
        if live is not None and _without_status(live) == _without_status(lean(obj)):
            return
        key = key_of(obj)
        self._written(await self._api.request("PUT", path_of(key.kind, key.namespace, key.name), body=obj))

    async def delete(self, obj: Object) -> None:
        """Delete this very object (by uid); gone already, or replaced by another of its name, is no error."""
        key = key_of(obj)
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": obj["metadata"]["uid"]}}
        try:
            answer = await self._api.request("DELETE", path_of(key.kind, key.namespace, key.name), body=options)
        except (ConflictError, NotFoundError):
            self._cache.forget(obj)
            return
        if answer.get("kind") == key.kind and answer["metadata"].get("finalizers"):
            self._cache.observe(answer)
        else:
            self._cache.forget(obj)

    async def set_finalizer(self, obj: Object, *, present: bool) -> None:
        """Add or take away our finalizer. It cannot be added to an object that is being deleted, nor need it be."""
        live = self._newest(obj)
        for _ in range(_CONFLICTS):
            if live is None:
                return
            metadata = live["metadata"]
            finalizers = [name for name in metadata.get("finalizers", ()) if name != FINALIZER]
            had = len(finalizers) < len(metadata.get("finalizers", ()))
            if had is present or (present and "deletionTimestamp" in metadata):
                return
            if present:
                finalizers.append(FINALIZER)
            key = key_of(obj)
            body = {**live, "metadata": {**metadata, "finalizers": finalizers}}
            try:
                written = await self._api.request("PUT", path_of(key.kind, key.namespace, key.name), body=body)
            except ConflictError:
                live = await self._read(obj)
            except NotFoundError:
                return
            else:
                if "deletionTimestamp" in metadata and not finalizers:
                    self._cache.forget(written)  # the last finalizer was what kept it
                else:
                    self._cache.observe(written, quiet=True)
                return
        raise ConflictError(f"{key_of(obj)} is written by others all the time: find out who that is")

    def event(self, obj: Object, *, warning: bool, reason: str, message: str) -> None:
        """Post an event in the background, deduplicated and rate-limited."""
        self._events.post(obj, warning=warning, reason=reason, message=message)

    def enqueue(self, key: Key, *, after: float = 0) -> None:
        """Ask for a run of a root, now or in `after` seconds."""
        self._enqueue(key, after=after)

    def stopping(self) -> bool:
        """Whether the process shall end, or leadership is lost."""
        return self._stopping()

    @property
    def epoch(self) -> int:
        """The number under which we lead; see `lease`."""
        return self._epoch

    def _written(self, obj: Object) -> None:
        """A write of ours starts a run of that object, but not of those around it: they are who wrote."""
        self._cache.observe(obj, quiet=True)
        self._enqueue(key_of(obj))

    def _newest(self, obj: Object) -> Object | None:
        """What the cache has of this very object, if that is newer than `obj`."""
        cached = self._cache.get(key_of(obj))
        if cached is None or cached["metadata"]["uid"] != obj["metadata"]["uid"] or version(cached) < version(obj):
            return lean(obj)
        return cached

    async def _read(self, obj: Object) -> Object | None:
        """This very object as it is now, or None when it is gone."""
        key = key_of(obj)
        try:
            found: Json = await self._api.get(path_of(key.kind, key.namespace, key.name))
        except NotFoundError:
            return None
        self._cache.observe(found)
        return lean(found) if found["metadata"]["uid"] == obj["metadata"]["uid"] else None


async def read_secret(api: Api, *, namespace: str, name: str) -> Mapping[str, str]:
    """A Secret, decoded; only one that is labelled for us. Raises TransientError, see `Cluster.secret`."""
    where = f"Secret {namespace}/{name}"
    try:
        found = await api.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    except NotFoundError as error:
        raise TransientError(f"{where} does not exist: create it", reason=Reason.SECRET_NOT_FOUND) from error
    if (found["metadata"].get("labels") or {}).get(CREDENTIALS_LABEL) != CREDENTIALS_VALUE:
        raise TransientError(
            f"{where} must carry the label `{CREDENTIALS_LABEL}: {CREDENTIALS_VALUE}` before Homeroom reads it",
            reason=Reason.SECRET_NOT_LABELLED,
        )
    texts = {}
    for key, value in (found.get("data") or {}).items():
        try:
            texts[key] = base64.b64decode(value).decode()
        except UnicodeDecodeError as error:
            raise TransientError(
                f"{where} holds something else than text under `{key}`: store it as UTF-8",
                reason=Reason.SECRET_NOT_FOUND,
            ) from error
    return texts


async def read_picture(api: Api, *, namespace: str, name: str, key: str) -> bytes:
    """A file of a ConfigMap; only of one that is labelled for it. Raises TransientError, see `Cluster.picture`."""
    where = f"ConfigMap {namespace}/{name}"
    try:
        found = await api.get(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
    except NotFoundError as error:
        raise TransientError(f"{where} does not exist: create it", reason=Reason.AVATAR_NOT_FOUND) from error
    except ForbiddenError as error:
        raise TransientError(
            f"{where} must not be read: take `manifests/components/pictures` into its namespace",
            reason=Reason.FORBIDDEN,
        ) from error
    if (found["metadata"].get("labels") or {}).get(CREDENTIALS_LABEL) != PICTURES_VALUE:
        raise TransientError(
            f"{where} must carry the label `{CREDENTIALS_LABEL}: {PICTURES_VALUE}` before Homeroom reads it",
            reason=Reason.AVATAR_NOT_FOUND,
        )
    content = (found.get("binaryData") or {}).get(key)
    if content is None:
        raise TransientError(
            f"{where} has no file `{key}` below `binaryData`: put the picture there",
            reason=Reason.AVATAR_NOT_FOUND,
        )
    return base64.b64decode(content)


def _with_foreign(status: Mapping[str, Any], live: Object) -> Sequence[Mapping[str, Any]]:
    """The conditions of `status`, with those that are not ours as they are on the live object."""
    foreign = {item["type"]: item for item in live.get("status", {}).get("conditions", ()) if item["type"] not in _OURS}
    conditions = []
    for item in status.get("conditions", ()):
        if item["type"] in _OURS:
            conditions.append(item)
        elif item["type"] in foreign:
            conditions.append(foreign.pop(item["type"]))
    return [*conditions, *foreign.values()]


def _without_status(obj: Object) -> Mapping[str, Any]:
    return {name: value for name, value in obj.items() if name != "status"}

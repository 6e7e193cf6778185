"""Of which Git revision resources are, as whoever carries them from Git into the cluster tells. Neighbour: `cluster`.

=========  ========================================================  ================================================
carrier    marks what it carries by                                  tells the revision in its `status` as
=========  ========================================================  ================================================
Flux       labels `kustomize.toolkit.fluxcd.io/name`, `/namespace`   `lastAttemptedRevision`, `lastAppliedRevision`
Argo CD    annotation `argocd.argoproj.io/tracking-id`, else label   `operationState` (`syncResult`, `operation.sync`),
           `app.kubernetes.io/instance`                              `sync`
nobody     -                                                         our own annotation `homeroom.dev/revision`
=========  ========================================================  ================================================

We ask when a change has just arrived. By then Flux has not written `lastAppliedRevision`, which still names the commit
before: that waits until all is applied, pruned and healthy. `lastAttemptedRevision` is written before the first object
is applied. It is the same with Argo CD: the operation is written first, and `sync` is what it compared last, which with
a manual sync may be newer than what it applied.

The right to read carriers is optional (`manifests/components/gitops-revision`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import structlog

from homeroom.api import GROUP, REVISION
from homeroom.operator.api import Api, ForbiddenError, NotFoundError
from homeroom.reconcile.ports import UNKNOWN_REVISION, Object

_log = structlog.get_logger(__name__)

_FLUX: Final = "kustomize.toolkit.fluxcd.io"
_TRACKING: Final = "argocd.argoproj.io/tracking-id"
_INSTANCE: Final = "app.kubernetes.io/instance"
_APPLICATION: Final = re.compile(r"(?:(?P<namespace>[a-z0-9-]+)_)?(?P<name>[a-z0-9][a-z0-9.-]*)")
"""How Argo CD names an Application in a mark: its namespace stands before it where that is not Argo CD's own."""
_LONGEST: Final = 256
"""Characters; as much as the journal keeps of a revision."""

_Told = Callable[[Mapping[str, Any]], str | None]
"""Finds the revision in a carrier."""


class Revisions:
    """Asks the carriers. `argocd_namespace`: where Applications lie whose marks name no namespace."""

    def __init__(self, api: Api, *, argocd_namespace: str) -> None:
        self._api = api
        self._argocd_namespace = argocd_namespace
        self._closed: set[str] = set()
        """Groups of carriers that could not be read, each logged once."""

    async def of(self, objects: Iterable[Object]) -> str:
        """The revision of these objects; several are joined, and `UNKNOWN_REVISION` stands where nobody tells one.

        A carrier that is not there, is of a kind that is not served, or must not be read, is passed over. Raises
        UnavailableError when the API server does not answer.
        """
        carriers: dict[str, Mapping[str, Any]] = {}
        found: set[str] = set()
        for obj in objects:
            for path, told in self._marks(obj):
                if path not in carriers:
                    carriers[path] = await self._read(path)
                if revision := told(carriers[path]):
                    break
            else:
                revision = (obj["metadata"].get("annotations") or {}).get(REVISION)
            if revision:
                found.add(revision)
        return ", ".join(sorted(found))[:_LONGEST] or UNKNOWN_REVISION

    def _marks(self, obj: Object) -> Iterator[tuple[str, _Told]]:
        """The paths of those whose marks `obj` bears, and how each tells its revision."""
        metadata = obj["metadata"]
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        name, namespace = labels.get(f"{_FLUX}/name"), labels.get(f"{_FLUX}/namespace")
        if name and namespace:
            yield f"/apis/{_FLUX}/v1/namespaces/{namespace}/kustomizations/{name}", _of_flux
        application, _, marked = annotations.get(_TRACKING, "").partition(":")
        # As Argo CD has it: the mark of another object was copied with the rest of it, and says nothing.
        if marked == f"{GROUP}/{obj['kind']}:{metadata['namespace']}/{metadata['name']}":
            if path := self._application(application):
                yield path, _of_argocd
        elif path := self._application(labels.get(_INSTANCE, "")):
            # People and charts set this label, too: the Application of that name may have nothing to do with it.
            yield path, lambda found: _of_argocd(found) if _lists(found, obj) else None

    def _application(self, mark: str) -> str | None:
        found = _APPLICATION.fullmatch(mark)
        if found is None:
            return None
        namespace = found["namespace"] or self._argocd_namespace
        return f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/applications/{found['name']}"

    async def _read(self, path: str) -> Mapping[str, Any]:
        try:
            return await self._api.get(path)
        except (ForbiddenError, NotFoundError) as error:
            group = path.split("/")[2]
            if group not in self._closed:
                self._closed.add(group)
                _log.debug("the revision cannot be asked for where a mark points to", error=error.message)
            return {}


def _of_flux(kustomization: Mapping[str, Any]) -> str | None:
    status = kustomization.get("status") or {}
    return status.get("lastAttemptedRevision") or status.get("lastAppliedRevision")


def _of_argocd(application: Mapping[str, Any]) -> str | None:
    status = application.get("status") or {}
    state = status.get("operationState") or {}
    operation = state.get("operation") or {}
    for told in (state.get("syncResult"), operation.get("sync"), status.get("sync")):
        # `revisions` where an Application has several sources
        revision = (told or {}).get("revision") or ", ".join((told or {}).get("revisions") or ())
        if revision:
            return str(revision)
    return None


def _lists(application: Mapping[str, Any], obj: Object) -> bool:
    """Whether an Application has this very object among what it manages."""
    metadata = obj["metadata"]
    wanted = (GROUP, obj["kind"], metadata["namespace"], metadata["name"])
    resources = (application.get("status") or {}).get("resources") or ()
    return any(
        tuple(resource.get(part) for part in ("group", "kind", "namespace", "name")) == wanted for resource in resources
    )

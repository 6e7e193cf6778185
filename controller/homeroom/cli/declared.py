"""What is declared: resources of one namespace, from the cluster or from files, and the Secrets that they name.

Both ways give plain objects, which are parsed when they are needed: something broken that a command is not about does
not stand in its way. Neighbours: `cluster`, and `homeroom.api.yaml`, which reads files as kubectl does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from homeroom.api import API_VERSION, KINDS, Approval, District, LearningApp, Resource, SharingRule, parse
from homeroom.api.yaml import load_all
from homeroom.cli import cluster
from homeroom.cli.files import texts
from homeroom.errors import HomeroomError, InvalidSpecError, TransientError
from homeroom.operator.api import Api
from homeroom.operator.cluster import read_secret
from homeroom.plan import Word
from homeroom.reconcile.connect import Secrets
from homeroom.reconcile.ports import Object

R = TypeVar("R", bound=Resource)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """The resources of one namespace; `place` says in words where they come from."""

    namespace: str
    place: str
    objects: Sequence[Object]
    secrets: Secrets

    def every(self, model: type[R]) -> list[R]:
        """All resources of a kind, by name. Raises InvalidSpecError for the first that is wrong."""
        found = [obj for obj in self.objects if obj["kind"] == model.__name__]
        return [_parsed(obj, model) for obj in sorted(found, key=lambda obj: str(obj["metadata"]["name"]))]

    def one(self, model: type[R], name: str | None) -> R:
        """The resource with this name; without a name the only one of its kind."""
        kind = model.__name__
        names = sorted(obj["metadata"]["name"] for obj in self.objects if obj["kind"] == kind)
        if name is None and len(names) == 1:
            name = names[0]
        for obj in self.objects:
            if obj["kind"] == kind and obj["metadata"]["name"] == name:
                return _parsed(obj, model)
        there = f"there is {', '.join(names)}" if names else f"there is no {kind} at all; another namespace (-n)?"
        wanted = f"no {kind} '{name}'" if name else f"which {kind}? name one"
        raise InvalidSpecError(f"{wanted} in namespace {self.namespace} of {self.place}: {there}")

    def rules(self, app: LearningApp) -> list[SharingRule]:
        """The rules of an app, as a run takes them: without those that are being deleted."""
        of_app = [
            obj
            for obj in self.objects
            if obj["kind"] == SharingRule.__name__
            and (obj["spec"].get("appRef") or {}).get("name") == app.metadata.name
            and not obj["metadata"].get("deletionTimestamp")
        ]
        return [_parsed(obj, SharingRule) for obj in of_app]

    def words(self, root: LearningApp | District) -> list[Word]:
        """What the Approvals of a resource say. One in a file counts from now on, as if it were applied."""
        return [
            Word(name=one.metadata.name, hold=one.spec.hold, at=one.metadata.creation_timestamp or datetime.now(UTC))
            for one in self.every(Approval)
            if (one.spec.target_ref.kind.value, one.spec.target_ref.name) == (root.kind, root.metadata.name)
        ]

    def district(self, app: LearningApp) -> District:
        """The district of an app."""
        return self.one(District, app.spec.district_ref.name)


def _parsed(obj: Object, model: type[R]) -> R:
    try:
        resource = parse(obj)
    except InvalidSpecError as error:
        raise InvalidSpecError(f"{obj['kind']} '{obj['metadata']['name']}' is invalid: {error.message}") from error
    assert isinstance(resource, model)
    return resource


@asynccontextmanager
async def declared(
    *,
    files: Sequence[Path] | None,
    namespace: str | None,
    context: str | None,
    secret_files: Sequence[str] | None = None,
) -> AsyncIterator[Declared]:
    """What `files` declare, or, without any, the cluster; Secrets come from `secret_files`, else from the cluster."""
    given = dict(_secret_file(text) for text in secret_files or ())
    async with AsyncExitStack() as stack:
        opened: list[Api] = []

        async def api() -> Api:
            if not opened:  # only when it is needed: files and their Secrets may be all there is
                opened.append(await stack.enter_async_context(cluster.connected(context)))
            return opened[0]

        async def secrets(*, namespace: str, name: str) -> Mapping[str, str]:
            if name in given:
                return given[name]
            try:
                return await read_secret(await api(), namespace=namespace, name=name)
            except HomeroomError as error:
                words = f"{error.message}\nor give it with --secret {name}=FILE"
                raise TransientError(words, reason=error.reason) from error

        if files:
            objects = list(_from_files(files, namespace))
            spaces = sorted({obj["metadata"]["namespace"] for obj in objects})
            if len(spaces) > 1:
                raise InvalidSpecError(
                    f"the files declare several namespaces ({', '.join(spaces)}): choose one with -n"
                )
            place = ", ".join(map(str, files))
            namespace = spaces[0] if spaces else namespace or "default"
        else:
            namespace = namespace or cluster.log_in(context).default_namespace or "default"
            listed = [await cluster.every(await api(), kind, namespace) for kind in KINDS]
            objects, place = [obj for each in listed for obj in each], "the cluster"
        yield Declared(namespace=namespace, place=place, objects=objects, secrets=secrets)


def _from_files(paths: Iterable[Path], namespace: str | None) -> Iterable[Object]:
    """The objects of our group; one without a namespace is taken for that which was asked for."""
    for file, text in texts(paths).items():
        for document in load_all(text, file=file):
            data = document.data
            if data.get("apiVersion") != API_VERSION or data.get("kind") not in KINDS:
                continue
            metadata = data.get("metadata")
            if not isinstance(metadata, Mapping) or not metadata.get("name") or not isinstance(data.get("spec"), dict):
                raise InvalidSpecError(f"{file}:{document.line()}: lacks a name or a spec; see `homeroom validate`")
            space = metadata.get("namespace") or namespace or "default"
            if namespace is None or space == namespace:
                yield {**data, "metadata": {**metadata, "namespace": space}}


def _secret_file(text: str) -> tuple[str, Mapping[str, str]]:
    """`NAME=FILE`: the fields of a Secret, as plain fields or as a manifest with `stringData`."""
    name, _, file = text.partition("=")
    if not name or not file:
        raise InvalidSpecError(f"--secret must be NAME=FILE, not '{text}'")
    documents = load_all(Path(file).read_text(encoding="utf-8"), file=file)
    data = documents[0].data if documents else {}
    fields = data.get("stringData") if data.get("kind") == "Secret" else data
    if not isinstance(fields, Mapping) or not all(isinstance(value, str) for value in fields.values()):
        raise InvalidSpecError(f"{file} must hold fields with text, or a Secret with `stringData`")
    return name, {str(key): str(value) for key, value in fields.items()}

"""What the API server would say about files, without one: `homeroom validate`.

Each document of our group is held against the schema of its CRD (with fields that the schema does not know refused, as
`kubectl --validate=strict` does), then against the rules between fields, which the models know. Last come the
references and conflicts between the documents, which no API server checks. Documents of other groups are let pass.

Not checked: what a field was before (immutability), and what only the cluster knows.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import jsonschema

from homeroom.api import API_VERSION, GROUP, KINDS, ChatPolicy, InvalidFieldsError, InvalidSpecError, field_path, parse
from homeroom.api.common import Path
from homeroom.api.crds import Schema, schema
from homeroom.api.yaml import Document, UnreadableError, load_all

_REFERENCES: Final[Mapping[str, Mapping[Path, str]]] = {
    "LearningApp": {("districtRef",): "District", ("seating", "poolRef"): "LicensePool"},
    "SharingRule": {("appRef",): "LearningApp"},
    "School": {("districtRef",): "District"},
    "LicensePool": {("unitRegistry", "districtRef"): "District"},
    "SchoolLicense": {("poolRef",): "LicensePool", ("districtRef",): "District"},
    "ChatPolicy": {("districtRef",): "District", ("platformRef",): "ChatPlatform"},
    "Chat": {("districtRef",): "District", ("platformRef",): "ChatPlatform"},
}
"""Kind -> the fields of its spec that refer to another kind."""

_STRINGS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}
_METADATA: Final[Schema] = {
    "type": "object",
    "properties": {
        "name": {
            "type": "string",
            "description": "small letters, digits, '-' and '.'",
            "maxLength": 253,
            "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        },
        "namespace": {"type": "string"},
        "labels": _STRINGS,
        "annotations": _STRINGS,
        "finalizers": {"type": "array", "items": {"type": "string"}},
        "ownerReferences": {"type": "array"},
        # What a person may copy from `kubectl get -o yaml`; the API server sets it anew.
        "creationTimestamp": {},
        "generation": {},
        "managedFields": {},
        "resourceVersion": {},
        "selfLink": {},
        "uid": {},
    },
    "required": ["name"],
}
"""What the API server itself demands of metadata; a CRD does not repeat it."""


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Problem:
    """One thing to mend: where, what, and what to do about it."""

    file: str
    line: int
    field: str
    text: str
    todo: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}: {self.field}".rstrip(": ")
        return f"{where}: {self.text}" + (f" ({self.todo})" if self.todo else "")


def validate_texts(texts: Mapping[str, str]) -> list[Problem]:
    """Everything that is wrong in these files (name -> text), sorted by place."""
    documents: list[Document] = []
    problems: list[Problem] = []
    for file, text in texts.items():
        try:
            documents += load_all(text, file=file)
        except UnreadableError as error:
            problems.append(
                Problem(
                    file=file, line=error.line, field="", text=error.text, todo="nothing else in this file was checked"
                )
            )
    return sorted([*problems, *validate(documents)])


def validate(documents: Sequence[Document]) -> list[Problem]:
    """Everything that is wrong in these documents, sorted by place; those of other groups than ours are let pass."""
    ours = [document for document in documents if str(document.data.get("apiVersion")).split("/")[0] == GROUP]
    problems = [problem for document in ours for problem in _document(document)]
    return sorted({*problems, *_references(ours), *_twice(ours), *_rivals(ours)})


def _document(document: Document) -> Iterator[Problem]:
    data, kind = document.data, document.data.get("kind")
    if not isinstance(kind, str) or kind not in KINDS or data.get("apiVersion") != API_VERSION:
        yield _problem(
            document,
            ("kind",),
            f"'{kind}' of '{data.get('apiVersion')}' is not a kind of Homeroom",
            todo=f"use one of {', '.join(KINDS)} with `apiVersion: {API_VERSION}`",
        )
        return
    instance: Any = data  # the stubs of jsonschema want a type of their own for JSON
    errors = [problem for error in _validator(kind).iter_errors(instance) for problem in _explain(document, error)]
    yield from errors
    if errors:
        return  # as the API server: the rules between fields come when each field is right by itself
    try:
        parse(_without_nulls(data))
    except InvalidFieldsError as error:
        for path, text in error.fields.items():
            yield _problem(document, path, text, todo="")


def _problem(document: Document, path: Path, text: str, *, todo: str) -> Problem:
    return Problem(file=document.file, line=document.line(path), field=field_path(path), text=text, todo=todo)


@cache
def _validator(kind: str) -> jsonschema.Draft202012Validator:
    whole = schema(KINDS[kind])
    whole["properties"] = {**_mapping(whole["properties"]), "metadata": _METADATA}
    whole["required"] = ["metadata", "spec"]
    return jsonschema.Draft202012Validator(_strict(whole))


def _strict(structural: Mapping[str, object]) -> Schema:
    """The schema with all unknown fields refused, and null allowed where the API server puts a default for it."""
    result = dict(structural)
    if "properties" in result:
        result["properties"] = {name: _strict(_mapping(of)) for name, of in _mapping(result["properties"]).items()}
        result["additionalProperties"] = False
    if "items" in result:
        result["items"] = _strict(_mapping(result["items"]))
    if "pattern" in result:  # Go's `$` is the end of the text; Python's lets a line end pass before it
        result["pattern"] = re.sub(r"\$$", r"\\Z", str(result["pattern"]))
    if "default" in result:
        result["type"] = [result["type"], "null"]
        if "enum" in result:
            result["enum"] = [*_sequence(result["enum"]), None]
    return result


def _explain(document: Document, error: jsonschema.ValidationError) -> Iterator[Problem]:
    """One finding of the schema in words; values are not repeated, one of them may be a password in an address."""
    path: Path = tuple(error.absolute_path)
    known = _mapping(error.schema)
    todo = str(known.get("description", ""))
    wanted = error.validator_value
    if error.validator == "required":
        for name in _sequence(wanted):
            if name not in _mapping(error.instance):
                about = _mapping(_mapping(known.get("properties")).get(str(name)))
                yield _problem(document, (*path, str(name)), "is missing", todo=str(about.get("description", "")))
        return
    if error.validator == "additionalProperties":
        names = [str(name) for name in _mapping(known.get("properties"))]
        for name in _mapping(error.instance):
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean `{near[0]}`?" if near else f"there is {', '.join(f'`{name}`' for name in names)}"
                yield _problem(document, (*path, name), "is not a field here", todo=hint)
        return
    if error.validator == "type":
        types = [name for name in ([wanted] if isinstance(wanted, str) else _sequence(wanted)) if name != "null"]
        text = f"must be of type {types[0]}, not {_type(error.instance)}"
        if types == ["string"] and isinstance(error.instance, bool | int | float):
            todo = "put it in quotes"
        yield _problem(document, path, text, todo=todo)
        return
    texts = {
        "enum": "must be one of " + ", ".join(f"'{value}'" for value in _sequence(wanted) if value is not None),
        "pattern": "does not have the form that it must have",
        "minLength": f"must have {wanted} or more characters",
        "maxLength": f"must have at most {wanted} characters",
        "minItems": f"must have {wanted} or more items",
        "maxItems": f"must have at most {wanted} items",
        "maxProperties": f"must have at most {wanted} items",
        "minimum": f"must be at least {wanted}",
        "maximum": f"must be at most {wanted}",
    }
    yield _problem(document, path, texts[str(error.validator)], todo=todo)


def _type(value: object) -> str:
    names: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return "null" if value is None else names.get(type(value), "object")


def _without_nulls(value: object) -> dict[str, object]:
    """The document as the API server has it after defaulting: a null that has a default is as if it were not there."""
    return {
        key: _without_nulls(item) if isinstance(item, dict) else item
        for key, item in _mapping(value).items()
        if item is not None
    }


def _references(documents: Iterable[Document]) -> Iterator[Problem]:
    """References to what these files do not have. A file without a namespace may be meant for any."""
    documents = list(documents)
    names = {(str(document.data.get("kind")), *_name(document)) for document in documents}
    for document in documents:
        for path, kind in _REFERENCES.get(str(document.data.get("kind")), {}).items():
            reference = _mapping(document.data.get("spec"))
            for field in path:
                reference = _mapping(reference.get(str(field)))
            name = reference.get("name")
            if not isinstance(name, str):
                continue
            namespace = str(reference.get("namespace") or _name(document)[0])
            spaces = {space for of, space, called in names if of == kind and called == name}
            if spaces and (namespace in spaces or not namespace or "" in spaces):
                continue
            yield _problem(
                document,
                ("spec", *path, "name"),
                f"there is no {kind} '{name}'" + (f" in namespace '{namespace}'" if spaces else " in these files"),
                todo="add it, or correct the name",
            )


def _twice(documents: Iterable[Document]) -> Iterator[Problem]:
    """The same object in two places: the one applied last would win."""
    first: dict[tuple[str, str, str], Document] = {}
    for document in documents:
        key = (str(document.data.get("kind")), *_name(document))
        other = first.setdefault(key, document)
        if other is not document:
            yield _problem(
                document,
                ("metadata", "name"),
                f"the {key[0]} '{key[2]}' stands also in {other.file}:{other.line()}",
                todo="keep one of them",
            )


def _rivals(documents: Iterable[Document]) -> Iterator[Problem]:
    """Policies about one type of chats in one school: only one of them would see to it."""
    before: list[tuple[Document, ChatPolicy]] = []
    for document in documents:
        if document.data.get("kind") != ChatPolicy.__name__:
            continue
        try:
            policy = parse(_without_nulls(document.data))
        except InvalidSpecError:
            continue  # said already
        assert isinstance(policy, ChatPolicy)
        for other, rival in before:
            namespaces = {_name(document)[0], _name(other)[0]}
            if (len(namespaces - {""}) < 2) and policy.spec.overlaps(rival.spec):
                yield _problem(
                    document,
                    ("spec", "match"),
                    f"schools have the same type of chats by the ChatPolicy '{rival.metadata.name}', too",
                    todo="narrow `match` or `chats` of one of the two",
                )
        before.append((document, policy))


def _name(document: Document) -> tuple[str, str]:
    """(namespace, name)."""
    metadata = _mapping(document.data.get("metadata"))
    return str(metadata.get("namespace") or ""), str(metadata.get("name"))


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()

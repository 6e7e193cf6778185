"""The generated CRDs: committed as they are generated, structural, bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field

from homeroom.api import KINDS, LearningApp, LearningAppSpec, Model
from homeroom.api.crds import definition, render

CRDS = Path(__file__).parents[3] / "crds"

Schema = Mapping[str, Any]


def test_the_committed_files_are_what_the_models_say() -> None:
    committed = {path.name: path.read_text() for path in CRDS.glob("homeroom.dev_*.yaml")}
    assert committed == render(), "run `homeroom crds crds` and commit the result"


def test_kustomize_finds_all_files() -> None:
    assert set(yaml.safe_load((CRDS / "kustomization.yaml").read_text())["resources"]) == set(render())


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_is_structural_and_described(kind: str) -> None:
    allowed = {
        "description", "type", "format", "required", "properties", "items", "enum", "default", "pattern", "minLength",
        "maxLength", "minItems", "maxItems", "minimum", "maximum", "x-kubernetes-validations",
        "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "additionalProperties", "maxProperties",
    }  # fmt: skip
    for path, schema in _walk(_root(kind)):
        assert set(schema) <= allowed, path
        assert schema["type"] in {"object", "array", "string", "integer", "boolean"}, path
        if path.startswith((".spec", ".status")) and not path.endswith("[]"):
            assert schema["description"], path


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_bounded(kind: str) -> None:
    needs = {"string": {"maxLength"}, "array": {"maxItems"}, "integer": {"minimum", "maximum"}}
    needs["object"] = {"maxProperties"}  # of maps: what has fields has no more than these
    for path, schema in _walk(_root(kind)):
        free = not path.startswith((".spec", ".status")) or "enum" in schema or schema.get("format") == "date-time"
        free = free or "properties" in schema
        assert free or needs.get(schema["type"], set()) <= set(schema), path


@pytest.mark.parametrize("kind", KINDS)
def test_lists_have_no_defaults_inside(kind: str) -> None:
    inside = [path for path, schema in _walk(_root(kind)) if "[]" in path and "default" in schema]
    assert inside == []


def test_a_default_inside_a_list_stays_out_of_the_schema() -> None:
    class Item(Model):
        """An item."""

        size: int = 3
        """Its size."""

    class Spec(LearningAppSpec):
        items: Annotated[tuple[Item, ...], Field(max_length=2)] = ()
        """Items."""
        item: Item = Item()
        """One item."""

    class Widget(LearningApp):
        """A kind."""

        spec: Spec

    schema: Schema = definition(Widget)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]  # type: ignore[index]  # a document is built of plain objects
    assert "default" not in schema["properties"]["items"]["items"]["properties"]["size"]
    assert schema["properties"]["item"]["properties"]["size"]["default"] == 3


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_that_nobody_has_seen_is_in_progress_for_kstatus(kind: str) -> None:
    status = _root(kind)["properties"]["status"]
    assert status["default"] == {"observedGeneration": -1}
    assert status["properties"]["observedGeneration"]["minimum"] == -1


@pytest.mark.parametrize("kind", KINDS)
def test_conditions_are_a_map_by_type(kind: str) -> None:
    conditions = _root(kind)["properties"]["status"]["properties"]["conditions"]
    assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])
    assert conditions["items"]["required"] == ["type", "status", "lastTransitionTime", "reason", "message"]


def test_the_short_names_are_ours_alone() -> None:
    names = [name for model in KINDS.values() for name in (*model.short_names, model.plural, model.__name__.lower())]
    assert len(names) == len(set(names))


def _root(kind: str) -> Schema:
    schema: Schema = definition(KINDS[kind])["spec"]["versions"][0]["schema"]["openAPIV3Schema"]  # type: ignore[index]  # a document is built of plain objects
    return schema


def _walk(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from _walk(inner, f"{path}.{name}")
    if "items" in schema:
        yield from _walk(schema["items"], f"{path}[]")

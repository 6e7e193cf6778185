"""The pages in docs/resources say what the models say: tables are compared word for word, samples are read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from homeroom.api import KINDS, Reason, parse
from homeroom.api.conditions import ConditionType
from homeroom.api.crds import definition
from homeroom.api.validate import validate_texts
from homeroom.api.yaml import load_all

ROOT = Path(__file__).parents[3]
PAGES = {kind: (ROOT / "docs" / "resources" / f"{kind.lower()}.md").read_text() for kind in KINDS}

Schema = Mapping[str, Any]


def test_every_kind_has_a_page() -> None:
    assert {path.stem for path in (ROOT / "docs" / "resources").glob("*.md")} == {kind.lower() for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", ["spec", "status"])
def test_the_page_has_every_field(kind: str, part: str) -> None:
    schema = definition(KINDS[kind])["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part]  # type: ignore[index]  # a document is built of plain objects
    rows = _fields(schema) if part == "spec" else _fields(schema, skip="conditions")
    if part == "spec":
        head = ["| field | type | default | what it is |", "|---|---|---|---|"]
        table = head + [f"| `{path}` | {type_} | {default} | {text} |" for path, type_, default, text in rows]
    else:
        head = ["| field | type | what it is |", "|---|---|---|"]
        table = head + [f"| `{path}` | {type_} | {text} |" for path, type_, _, text in rows]
    assert "\n".join(table) in PAGES[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_has_the_columns(kind: str) -> None:
    version = definition(KINDS[kind])["spec"]["versions"][0]  # type: ignore[index]  # as above
    rows = [
        f"| {column['name'].upper()} | {column.get('description', 'Age of the resource')} | "
        f"{'`-o wide`' if column.get('priority') else 'always'} |"
        for column in version["additionalPrinterColumns"]
    ]
    assert "\n".join(["| column | what it shows | when |", "|---|---|---|", *rows]) in PAGES[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_has_the_short_name(kind: str) -> None:
    assert f"`kubectl get {KINDS[kind].plural}`, short `{KINDS[kind].short_names[0]}`" in PAGES[kind]


def test_every_reason_is_documented_in_the_words_of_the_catalogue() -> None:
    pages = [*PAGES.values(), (ROOT / "docs" / "seats.md").read_text()]
    found = {row[0].strip("`"): tuple(row[1:]) for page in pages for row in _table(page, "Reasons")}
    assert found == {reason.value: (reason.means, reason.todo) for reason in Reason}


def test_every_condition_type_is_documented_with_its_polarity() -> None:
    everywhere = {ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED}
    negative = {ConditionType.RECONCILING, ConditionType.STALLED, ConditionType.HELD}
    found = {kind: {row[0].strip("`"): row[1] for row in _table(page, "Conditions")} for kind, page in PAGES.items()}
    assert set().union(*found.values()) == set(ConditionType)
    for kind in KINDS:
        assert everywhere <= set(found[kind])
        assert found[kind] == {type_: "negative" if type_ in negative else "positive" for type_ in found[kind]}


def test_all_samples_together_are_valid() -> None:
    assert validate_texts({kind: "---\n".join(_samples(page)) for kind, page in PAGES.items()}) == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_sample_is_the_kind_of_the_page(kind: str) -> None:
    document = load_all(next(_samples(PAGES[kind])), file=kind)[0]
    assert parse(document.data).kind == kind


def _samples(page: str) -> Iterator[str]:
    for match in re.finditer(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        yield match[1]


def _table(page: str, heading: str) -> Iterator[list[str]]:
    """The rows of the first table below a heading."""
    lines = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].splitlines()
    for line in [line for line in lines if line.startswith("|")][2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def _fields(schema: Schema, path: str = "", skip: str = "") -> Iterator[tuple[str, str, str, str]]:
    """(path, type, default, description) of each field, depth first."""
    for name, field in schema.get("properties", {}).items():
        if name == skip:
            continue
        where = f"{path}.{name}" if path else name
        items = field.get("items", {})
        default = "required" if name in schema.get("required", ()) else _value(field.get("default"))
        yield where, _type(field), default, field["description"]
        yield from _fields(field, where)
        yield from _fields(items, f"{where}[]")


def _type(field: Schema) -> str:
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field["type"] == "array":
        return f"list, at most {field['maxItems']}"
    if field.get("format") == "date-time":
        return "time"
    if field["type"] == "string" and "maxLength" in field:
        return f"string, at most {field['maxLength']}"
    return str(field["type"])


def _value(default: object) -> str:
    if default is None or default == {}:
        return ""
    if isinstance(default, dict):
        return ", ".join(f"`{key}: {value}`" for key, value in default.items())
    if isinstance(default, list):
        return ", ".join(f"`{value}`" for value in default)
    return f"`{str(default).lower()}`" if isinstance(default, bool) else f"`{default}`"

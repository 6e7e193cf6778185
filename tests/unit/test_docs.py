"""docs/holds.md, docs/safety.md and docs/requirements.md name what there is: guards, tests, pages."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from homeroom.api import ChatGuards, DistrictGuards, Guards, Reason, parse
from homeroom.plan import Guard

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
HOLDS, SAFETY, REQUIREMENTS, CHATS, WEB, LINKING = (
    (DOCS / f"{name}.md").read_text()
    for name in ("holds", "safety", "requirements", "chats-requirements", "web", "linking")
)


@cache
def named_in(file: str) -> set[str]:
    """Names of the test functions of a file below tests/, found without running it."""
    path = ROOT / "tests" / file
    nodes = ast.parse(path.read_text()).body if path.is_file() else []
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for owner in (node for node in nodes if isinstance(node, ast.ClassDef)):
        functions += [node for node in owner.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {node.name for node in functions if node.name.startswith("test_")}


def rows(page: str) -> list[list[str]]:
    """Cells of all rows of all tables of a page, without the lines between head and body."""
    lines = [line for line in page.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize(
    "page", [SAFETY, REQUIREMENTS, CHATS, WEB, LINKING], ids=["safety", "requirements", "chats", "web", "linking"]
)
def test_every_test_that_is_named_is_there(page: str) -> None:
    named = re.findall(r"`([^`]*)::([^`]*)`", page)
    assert named
    assert [f"{file}::{name}" for file, name in named if name not in named_in(file)] == []


@pytest.mark.parametrize(
    ("page", "wanted", "later"),
    [
        (SAFETY, [str(n) for n in range(1, 21)], "Not yet"),
        (
            REQUIREMENTS,
            [
                *(f"S{n}" for n in range(1, 16)),
                *(str(n) for n in range(1, 26)),
                *(str(n) for n in range(1, 11)),
                *(f"R{n}" for n in range(1, 27)),
            ],
            "Later",
        ),
        (
            CHATS,
            [f"{letter}{n}" for letter, last in (("R", 39), ("B", 25), ("E", 10)) for n in range(1, last + 1)],
            "Later",
        ),
    ],
    ids=["safety", "requirements", "chats"],
)
def test_every_row_has_a_test_or_says_what_is_missing(page: str, wanted: list[str], later: str) -> None:
    found = [row for row in rows(page) if row[-1] != "tests"]
    assert [row[0] for row in found] == wanted
    assert [row[0] for row in found if "::" not in row[-1] and not re.search(rf"{later}[:.] ?\w", row[-1])] == []


def test_the_page_has_every_guard_and_every_field_of_theirs() -> None:
    (head, *guards), _ = _tables(HOLDS)
    assert head == ["guard", "what it judges", "held", "field of `spec.guard`", "what to check"]
    assert [row[0].strip("`") for row in guards] == list(Guard)
    fields = {field.alias for kind in (Guards, DistrictGuards, ChatGuards) for field in kind.model_fields.values()}
    assert fields == set(re.findall(r"`(max\w+|ignoreBelow)`", HOLDS))


def test_the_page_has_every_word_of_an_approval() -> None:
    _, (_, *words) = _tables(HOLDS)
    resource = (DOCS / "resources" / "approval.md").read_text().partition("\n## Reasons\n")[2].partition("\n## ")[0]
    all_words = {row[0] for row in rows(resource)} - {"reason", f"`{Reason.DEPENDENCY_NOT_READY}`"}
    assert {row[0] for row in words} == all_words


def test_the_default_lines_are_those_of_the_resource() -> None:
    held = {row[0].strip("`"): row[2] for row in _tables(HOLDS)[0]}
    defaults = Guards()
    assert defaults.max_deletes.replace("%", " %") in held["Deletes"]
    assert (defaults.max_class_shrink, "half" in held["ClassShrink"]) == ("50%", True)
    for guard in ("Moves", "Updates"):
        assert defaults.max_updates.replace("%", " %") in held[guard]
    assert defaults.max_additions.replace("%", " %") in held["Exposure"]
    assert f"`ignoreBelow` changes ({defaults.ignore_below})" in HOLDS


def test_the_sample_is_an_approval() -> None:
    (sample,) = re.findall(r"^```yaml\n(.*?)^```$", HOLDS, re.MULTILINE | re.DOTALL)
    raw = yaml.safe_load(sample)
    assert parse({**raw, "metadata": {**raw["metadata"], "namespace": "lakeside"}}).kind == "Approval"


@pytest.mark.parametrize("page", [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"], ids=lambda path: path.name)
def test_pages_that_are_linked_are_there(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def _tables(page: str) -> list[list[list[str]]]:
    """The tables of a page: their rows, the head first."""
    return [rows(block) for block in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)]

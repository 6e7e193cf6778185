"""The catalogue of reasons is closed: whatever reaches a condition or an event of a resource is in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeroom.api import Reason

PACKAGE = Path(__file__).parents[3] / "controller" / "homeroom"


def test_a_reason_is_the_word_itself() -> None:
    assert [str(reason) for reason in Reason] == [reason.value for reason in Reason]


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_says_what_it_means(reason: Reason) -> None:
    assert re.fullmatch(r"([A-Z][a-z]+)+", reason.value)
    assert reason.name == re.sub(r"(?<=[a-z])(?=[A-Z])", "_", reason.value).upper()
    assert reason.means
    assert not reason.means.endswith(".")


@pytest.mark.parametrize("floor", ["errors.py", "plan", "roster", "seats", "sources", "targets", "reconcile"])
def test_no_other_word_reaches_a_condition(floor: str) -> None:
    """Operator, store, command line and demo have errors that end a process and no condition; those are free."""
    files = [PACKAGE / floor] if floor.endswith(".py") else sorted((PACKAGE / floor).rglob("*.py"))
    words = {word: str(file.name) for file in files for word in _reasons(ast.parse(file.read_text()))}
    assert {word: file for word, file in words.items() if word not in {reason.value for reason in Reason}} == {}


def _reasons(tree: ast.AST) -> Iterator[str]:
    """The words given as `reason`: in calls, and as defaults of parameters."""
    for node in ast.walk(tree):
        values: list[ast.expr | None] = []
        if isinstance(node, ast.keyword) and node.arg == "reason":
            values = [node.value]
        if isinstance(node, ast.arguments):
            values = [
                value for arg, value in zip(node.kwonlyargs, node.kw_defaults, strict=True) if arg.arg == "reason"
            ]
        yield from (str(value.value) for value in values if isinstance(value, ast.Constant))

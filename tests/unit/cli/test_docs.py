"""docs/cli.md names every command, and what it shows of the example district is what the commands say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from textwrap import dedent

import pytest

from homeroom.cli import COMMANDS

from .conftest import EXAMPLES, Homeroom

ROOT = EXAMPLES.parent
PAGE = (ROOT / "docs" / "cli.md").read_text()
SAMPLES = [
    (shlex.split(command), dedent(answer).strip())
    for command, answer in re.findall(r"^    \$ homeroom (.*)\n((?:    .*\n|\n(?=    ))+)", PAGE, re.MULTILINE)
]
ON_THE_EXAMPLE = {command[0]: (command, answer) for command, answer in SAMPLES if "2026-11-22" in command}


def test_every_command_has_its_section_and_a_row() -> None:
    assert re.findall(r"^## (.*)$", PAGE, re.MULTILINE) == list(COMMANDS)
    assert re.findall(r"^\| \[`(.*?)`\]\(#\1\)", PAGE, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("name", ["validate", "shared", "why", "plan"])
@pytest.mark.usefixtures("shelf")
def test_samples_are_true(name: str, homeroom: Homeroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    command, answer = ON_THE_EXAMPLE[name]
    said = homeroom(*command)
    assert said.err == ""
    assert _without_digest(said.out.strip()) == _without_digest(answer)


def _without_digest(text: str) -> str:
    """A digest says nothing to a reader, and changes with the way it is computed."""
    return re.sub(r"records [0-9a-f]{12}", "records DIGEST", text)


def test_pages_that_are_linked_are_there() -> None:
    assert [link for link in re.findall(r"\]\(([a-z]+\.md)\)", PAGE) if not Path(ROOT, "docs", link).is_file()] == []

"""`history` and `status`: what the store remembers, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from .conftest import NOW, Homeroom


def keys(said: str) -> list[str]:
    return [row["key"] for row in json.loads(said)]


def test_history_is_newest_first_and_narrows(homeroom: Homeroom, data: Path) -> None:
    del data
    show = ("history", "-n", "lakeside", "-o", "json")
    assert keys(homeroom(*show).out) == ["x-2", "u-1"]
    narrowed = {
        ("--person", "u-1"): ["u-1"],
        ("--cause", "Intruder"): ["x-2"],
        ("--class", "c-1"): ["x-2", "u-1"],
        ("--class", "c-2"): [],
        ("--school", "s-002"): [],
        ("--run", "run-1"): ["u-1"],
        ("--app", "moodle"): [],
        ("--since", "7d"): ["x-2"],
        ("--since", (NOW - timedelta(days=10)).date().isoformat()): ["x-2", "u-1"],
        ("--until", "7d"): ["u-1"],
        ("--until", (NOW - timedelta(days=9)).date().isoformat()): ["u-1"],
        ("--until", (NOW - timedelta(days=9)).date().isoformat() + "T00:00"): [],
        ("--revision", "bc12"): ["x-2", "u-1"],
        ("--revision", "bc13"): [],
        ("--limit", "1"): ["x-2"],
    }
    assert {options: keys(homeroom(*show, *options).out) for options in narrowed} == narrowed


def test_history_as_table_and_for_spreadsheets(homeroom: Homeroom, data: Path) -> None:
    del data
    lines = homeroom("history", "-n", "lakeside", "--app", "kolibri").out.splitlines()
    assert " ".join(lines[0].split()) == "WHEN APP WHAT KIND SCHOOL CLASS OF ROLE CAUSE RESULT REVISION"
    assert " ".join(lines[1].split()[1:]) == ("kolibri Remove Membership s-001 c-1 x-2 Learner Intruder Applied abc123")
    rows = list(csv.DictReader(io.StringIO(homeroom("history", "-n", "lakeside", "-o", "csv").out)))
    assert [(row["key"], row["run"]) for row in rows] == [("x-2", "run-2"), ("u-1", "run-1")]
    assert "nothing was changed" in homeroom("history", "-n", "empty").out


def test_history_counts_per_run_first_where_nothing_narrows_it(homeroom: Homeroom, data: Path) -> None:
    del data
    runs, changes = homeroom("history", "-n", "lakeside").out.split("\n\n")
    lines = [" ".join(line.split()) for line in runs.splitlines()]
    assert lines[0] == "WHEN RUN APP + = ^ ~ - FAILED REVISION"
    assert [line.partition(" ")[2] for line in lines[1:]] == [
        "run-2 kolibri 0 0 0 0 1 0 abc123",
        "run-1 kolibri 1 0 0 0 0 0 abc123",
    ]
    assert [line.split()[6] for line in changes.splitlines()[1:]] == ["x-2", "u-1"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-n", "lakeside", "--since", "soon"), "--since: must be a number and a unit"),
        (("-n", "lakeside", "--since", "3mo"), "--since: '3mo' has no fixed length"),
        (("-n", "lakeside", "--until", "2026-13-01"), "--until: month must be in 1..12"),
        ((), "of which namespace? Name it with -n"),
        (("-n", "lakeside", "--store", "oracle://x:secret@y"), "the store cannot be opened"),
        (("-n", "lakeside", "--data", "/nowhere"), "there is no store at /nowhere/homeroom.db"),
    ],
)
def test_what_goes_wrong_is_said(homeroom: Homeroom, data: Path, arguments: tuple[str, ...], words: str) -> None:
    del data
    said = homeroom("history", *arguments)
    assert (said.code, said.out) == (1, "")
    assert words in said.err
    assert "secret" not in said.err


@pytest.mark.parametrize("command", [("status",), ("history", "-n", "lakeside")])
def test_a_store_of_another_release_is_left_alone(homeroom: Homeroom, data: Path, command: tuple[str, ...]) -> None:
    with sqlite3.connect(data / "homeroom.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '0000'")
    database.close()
    before = (data / "homeroom.db").read_bytes()
    said = homeroom(*command)
    assert (said.code, said.out) == (1, "")
    assert "the store is of an older release" in said.err
    assert "upgrade the operator" in said.err
    assert (data / "homeroom.db").read_bytes() == before


def test_status_tells_moving_times(homeroom: Homeroom, data: Path) -> None:
    del data
    lines = homeroom("status").out.splitlines()
    assert lines[0].startswith("NAMESPACE")
    assert [line.split("   ")[1].strip() for line in lines[1:]] == ["district/lakeside", "learningapp/kolibri"]
    for words in ("2h5m ago", "in 1d1h", "3d1h ago", "Succeeded", "21 classes"):
        assert words in lines[1]
    assert len(homeroom("status", "--schools").out.splitlines()) == 4
    runs = json.loads(homeroom("status", "-o", "json").out)
    assert runs[0]["summary"] == {"classes": 21}
    assert runs[0]["read_at"].endswith("Z")
    assert homeroom("status", "-n", "elsewhere").out == "nothing has run yet\n"

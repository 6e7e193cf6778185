"""Invalid is not absent: whatever happens to one cell, nobody is removed, and nobody is shared anew."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples, often

from homeroom.errors import HomeroomError
from homeroom.roster.findings import Severity
from homeroom.roster.tables import Roster

if TYPE_CHECKING:
    Export = Any
    Reader = Any

READ = ("academicSessions.csv", "orgs.csv", "courses.csv", "classes.csv", "users.csv", "roles.csv", "enrollments.csv")
UNREAD = ("middleName", "sms", "phone", "userMasterIdentifier", "primaryOrgSourcedId")
GARBAGE = (
    "",
    "???",
    "no such thing",
    '"',
    'a"b',
    "a,b",
    "x\ny",
    "\t",
    "2026-13-45",
    "TRUE",
    "ext:x",
    "z" * 300,
    "é",
    "0",
)


def links(roster: Roster, table: str) -> set[tuple[str, str, str]]:
    """Person, class or organisation, and role, in source ids."""
    frame = dict(roster.tables())[table]
    other, column = (roster.classes, "class") if table == "enrollments" else (roster.orgs, "org")
    return set(
        frame.select(
            roster.users["id"].gather(frame["user"]).alias("user"),
            other["id"].gather(frame[column]).alias("other"),
            pl.col("role").cast(pl.String),
        ).iter_rows()
    )


def agents(roster: Roster) -> set[tuple[str, str]]:
    """Who names whom, in source ids."""
    ids = roster.users["id"]
    return set(zip(ids.gather(roster.agents["user"]), ids.gather(roster.agents["agent"]), strict=True))


def ids(roster: Roster) -> Iterator[tuple[str, str]]:
    for table, frame in roster.tables():
        if "id" in frame.columns:
            yield from ((table, identity) for identity in frame["id"])


def assert_nothing_is_lost(before: Roster, after: Roster) -> None:
    assert set(ids(before)) <= set(ids(after))
    for table in ("roles", "enrollments"):
        assert links(before, table) <= links(after, table)


def is_an_edit(column: str, value: str) -> bool:
    """No date, no primary teacher and an extension are words of the school, like any other valid value."""
    return column in {"primary", "roleType"} or (column.endswith("Date") and not value) or value == "ext:x"


def assert_nobody_is_moved(before: Roster, after: Roster, column: str, value: str) -> None:
    """Nobody is gone or came anew because of `value` in one cell of `column`."""
    if value == "ext:x" and column == "role":
        return  # now that is the role
    assert_nothing_is_lost(before, after)
    if column != "agentSourcedIds":
        assert agents(before) <= agents(after)
        assert column == "sourcedId" or agents(after) <= agents(before)
    if not is_an_edit(column, value):
        assert links(after, "enrollments") <= links(before, "enrollments")
        assert links(after, "roles") <= links(before, "roles")


@pytest.mark.parametrize("file", READ)
def test_no_spoilt_cell_removes_anybody_or_gives_anybody_a_new_place(file: str, export: Export, read: Reader) -> None:
    """Every cell is spoilt, every column in many ways, in each run in other ones."""
    before = read(export).roster
    head, *rows = export.table(file)
    turns = random.sample(range(len(GARBAGE)), min(often(1), len(GARBAGE)))
    for turn, (row, _), (at, column) in product(turns, enumerate(rows, start=2), enumerate(head)):
        if turn != turns[0] and column in UNREAD:
            continue
        value = GARBAGE[(at + 5 * row + turn) % len(GARBAGE)]
        changed = type(export)().set(file, row, column, value)
        try:
            after = read(changed, previous=before).roster
            assert_nobody_is_moved(before, after, column, value)
        except HomeroomError:
            continue
        except Exception as error:
            error.add_note(f"with {value!r} in row {row}, column {column}")
            raise


@pytest.mark.parametrize("file", READ)
@pytest.mark.parametrize("part", ["line", "half"])
def test_no_lost_or_halved_line_crashes(file: str, part: str, export: Export, read: Reader) -> None:
    """A line that is gone is gone (the guards judge that); half a line is not."""
    before = read(export).roster
    lines = export.text(file).splitlines(keepends=True)
    for at in range(len(lines)):
        changed = type(export)()
        half = [lines[at][:12] + "\n"] if part == "half" else []
        changed.files[file] = "".join([*lines[:at], *half, *lines[at + 1 :]])
        try:
            after = read(changed, previous=before).roster
        except HomeroomError:
            continue
        if part == "half":
            assert_nothing_is_lost(before, after)


@pytest.fixture
def before(export: Export, read: Reader) -> Roster:
    """What was accepted of the undamaged export; read once for all examples of a property."""
    roster: Roster = read(export).roster
    return roster


@examples(50, one_fixture=True)
@given(data=st.data())
def test_no_damaged_bytes_crash(data: st.DataObject, export: Export, read: Reader, before: Roster) -> None:
    file = data.draw(st.sampled_from([*READ, "manifest.csv"]))
    content = bytearray(export.bytes_of(file))
    changed = type(export)()
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    changed.files[file] = bytes(content)
    try:
        read(changed, previous=before)
    except HomeroomError as error:
        assert error.message  # noqa: PT017 - a refusal in words is what is wanted here


def test_a_bad_class_keeps_its_students_and_its_course(export: Export, read: Reader) -> None:
    before = read(export).roster
    export.set("classes.csv", 2, "title", "")
    table = export.table("courses.csv")
    export.put("courses.csv", [row for row in table if row[0] != "co-1"])
    export.set("classes.csv", 3, "courseSourcedId", "co-2")
    after = read(export, previous=before).roster
    assert after.classes.filter(pl.col("id") == "c-1")["title"].to_list() == ["1a"]
    assert "co-1" in after.courses["id"]
    assert_nothing_is_lost(before, after)


def test_what_was_never_accepted_is_not_added(export: Export, read: Reader) -> None:
    export.set("classes.csv", 2, "classType", "?")
    snapshot = read(export)
    assert "c-1" not in snapshot.roster.classes["id"]
    assert not [link for link in links(snapshot.roster, "enrollments") if link[1] == "c-1"]
    assert snapshot.counts["quarantined"] == 4  # the class and its three enrollments


def test_a_person_known_to_be_set_aside_freezes_nobody_else(export: Export, read: Reader) -> None:
    before = read(export).roster
    export.files["users.csv"] = export.text("users.csv") + "u-9,,,,nn,,Zephirine,Quorvaldsen,,,,,,,01,,,,,,s-1,\n"
    export.files["enrollments.csv"] = export.text("enrollments.csv") + "e-99,,,c-3,s-1,u-9,student,,,\n"
    table = export.table("enrollments.csv")
    export.put("enrollments.csv", [row for row in table if row[0] != "e-8"])
    after = read(export, previous=before).roster
    assert ("u-5", "c-3", "student") not in links(after, "enrollments")


def test_ordinary_removals_pass(export: Export, read: Reader) -> None:
    before = read(export).roster
    for file, column, gone in [("enrollments.csv", 5, "u-5"), ("roles.csv", 3, "u-5"), ("users.csv", 0, "u-5")]:
        export.put(file, [row for row in export.table(file) if row[column] != gone])
    snapshot = read(export, previous=before)
    assert set(snapshot.roster.users["id"]) == {"u-1", "u-2", "u-3", "u-4"}
    assert snapshot.findings.counts()[Severity.RECORD] == 0


def test_one_unidentified_row_freezes_the_removals_of_its_file(export: Export, read: Reader) -> None:
    before = read(export).roster
    for file, column in [("enrollments.csv", 5), ("roles.csv", 3), ("users.csv", 0)]:
        export.put(file, [row for row in export.table(file) if row[column] != "u-5"])
    export.set("users.csv", 2, "sourcedId", "")
    after = read(export, previous=before).roster
    assert {"u-1", "u-5"} <= set(after.users["id"])


@pytest.mark.parametrize("column", ["grades", "subjects", "classCode"])
def test_a_missing_column_keeps_what_is_known(column: str, export: Export, read: Reader) -> None:
    before = read(export).roster
    after = read(export.drop_column("classes.csv", column), previous=before).roster
    assert after.classes.equals(before.classes)


@pytest.mark.parametrize("column", ["beginDate", "endDate", "primary"])
def test_a_missing_column_of_enrollments_keeps_what_is_known(column: str, export: Export, read: Reader) -> None:
    before = read(export).roster
    after = read(export.drop_column("enrollments.csv", column), previous=before).roster
    assert after.enrollments.equals(before.enrollments)


def test_an_unknown_grade_keeps_the_last_one_and_is_unknown_without(export: Export, read: Reader) -> None:
    before = read(export).roster
    export.set("classes.csv", 2, "grades", "first").set("users.csv", 3, "grades", "first")
    after = read(export, previous=before).roster
    assert after.classes.equals(before.classes)
    assert read(export).roster.classes.filter(pl.col("id") == "c-1")["grades"].to_list() == [None]


def test_1_1_a_bad_record_keeps_its_roles(export_1_1: Export, read: Reader) -> None:
    before = read(export_1_1).roster
    for column in ("role", "orgSourcedIds", "username", "sourcedId"):
        changed = type(export_1_1)(files=dict(export_1_1.files)).set("users.csv", 2, column, "?")
        after = read(changed, previous=before).roster
        if column != "username":
            assert_nothing_is_lost(before, after)

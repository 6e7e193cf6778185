"""Whose classes are whose, on the pages: the same as in chats, read for one person out of many."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
from hypothesis import given
from tests.unit.roster.rosters import TODAY, Record, User, records, roster_of, unhurried

from homeroom.api.district import HomeroomDefinition
from homeroom.reconcile.chatrecords import chat_records
from homeroom.roster.digest import digest
from homeroom.roster.findings import Findings
from homeroom.roster.tables import Roster
from homeroom.roster.years import NO_PINS
from homeroom.sources import CREDENTIALS, Snapshot, write
from homeroom.web.classes import read


def by_chats(roster: Roster) -> dict[str, tuple[set[str], set[str]]]:
    """For each person the classes whose subject chat they would be in, and those that they would lead."""
    found = chat_records(roster, pins=NO_PINS, homeroom=HomeroomDefinition(), today=TODAY)
    families = found.students.join(found.guardians, left_on="person", right_on="student").select(
        "class", person="guardian"
    )
    teachers = found.teachers.select("class", "person")
    members = pl.concat([found.students.select("class", "person"), families, teachers])
    classes, people, student = found.classes["id"], found.people["id"], found.people["student"]
    told: dict[str, tuple[set[str], set[str]]] = {person: (set(), set()) for person in people}
    for rows, which in ((members, 0), (teachers, 1)):
        for class_, person in rows.iter_rows():
            if which == 0 or not student[person]:
                told[people[person]][which].add(classes[class_])
    return told


@given(rows=records())
@unhurried
def test_classes_are_those_of_the_chats(rows: list[Record]) -> None:
    roster = roster_of(*rows)
    snapshot = Snapshot(
        digest=digest(roster.tables()),
        roster=roster,
        findings=Findings.none(),
        counts={},
        credentials=pl.DataFrame(schema=CREDENTIALS),
    )
    expected = by_chats(roster)
    with tempfile.TemporaryDirectory() as name:
        write(snapshot, Path(name))
        day = read(Path(name), snapshot.digest, TODAY)
    for person in (row.id for row in rows if isinstance(row, User)):
        mine = day.of(person)
        assert (set(mine.all), set(mine.taught)) == expected[person], person
    for person in ("", "nobody", "zzz"):
        assert not day.of(person).all

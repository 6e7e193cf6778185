"""The records of one school say of it what those of the whole district say."""

from __future__ import annotations

from datetime import date

import polars as pl
from hypothesis import given
from tests.unit.examples import examples
from tests.unit.roster.rosters import Record, records, roster_of

from homeroom.api.district import HomeroomDefinition
from homeroom.chats.records import Records
from homeroom.reconcile.chatrecords import chat_records
from homeroom.roster.oneschool import of_school
from homeroom.roster.tables import Roster
from homeroom.roster.years import NO_PINS

TODAY = date(2026, 10, 1)


def said(roster: Roster, school: str) -> dict[str, set[tuple[object, ...]]]:
    """Who works, learns and teaches in a school, and who is about its students; all by id."""
    found: Records = chat_records(roster, pins=NO_PINS, homeroom=HomeroomDefinition(), today=TODAY)
    people, schools = found.people["id"], found.schools["id"]
    classes = found.classes.select("id", school=schools.gather(found.classes["school"]))

    def of_class(rows: pl.DataFrame, *more: str) -> pl.DataFrame:
        here = classes[rows["class"]].with_columns(
            people.gather(rows["person"]).alias("person"), *(rows[m] for m in more)
        )
        return here.filter(pl.col("school") == school)

    students = of_class(found.students)
    staff = found.staff.select(
        schools.gather(found.staff["school"]).alias("school"), people.gather(found.staff["person"]), "head"
    )
    families = pl.DataFrame(
        {"student": people.gather(found.guardians["student"]), "adult": people.gather(found.guardians["guardian"])}
    )
    return {
        "students": set(students.rows()),
        "teachers": set(of_class(found.teachers, "lead").rows()),
        "staff": set(staff.filter(pl.col("school") == school).rows()),
        "families": set(families.filter(pl.col("student").is_in(students["person"].implode())).rows()),
    }


@examples(50)
@given(records())
def test_one_school_is_as_the_whole_district_has_it(district: list[Record]) -> None:
    roster = roster_of(*district)
    tables = {name: frame.lazy() for name, frame in roster.tables()}
    for school in roster.orgs.filter(pl.col("type") == "school")["id"]:
        part = of_school(tables, school)
        assert said(part, school) == said(roster, school)
        for name, frame in part.tables():
            assert frame.schema == getattr(roster, name).schema


def test_a_school_that_there_is_not_has_nobody() -> None:
    tables = {name: frame.lazy() for name, frame in Roster.empty().tables()}
    assert all(frame.is_empty() for _, frame in of_school(tables, "s-1").tables())

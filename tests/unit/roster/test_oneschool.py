"""The records of one school say of it what those of the whole district say."""

from __future__ import annotations

from datetime import date

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples
from tests.unit.roster.rosters import Record, records, roster_of

from homeroom.api.chat import SchoolRole
from homeroom.api.chatpolicy import Part
from homeroom.api.district import HomeroomDefinition
from homeroom.chats.extra import extra_reasons
from homeroom.chats.policy import ExtraChat
from homeroom.chats.records import Records
from homeroom.reconcile.chatrecords import chat_records
from homeroom.roster.oneschool import of_schools
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
        part = of_schools(tables, [school])
        assert said(part, school) == said(roster, school)
        for name, frame in part.tables():
            assert frame.schema == getattr(roster, name).schema


@given(records(), st.data())
def test_what_an_extra_chat_is_about_is_as_the_whole_district_has_it(
    district: list[Record], data: st.DataObject
) -> None:
    roster = roster_of(*district)
    tables = {name: frame.lazy() for name, frame in roster.tables()}
    schools, classes, people = (
        frozenset(data.draw(st.lists(st.sampled_from([*ids, "none"]), max_size=3)))
        for ids in (roster.orgs["id"], roster.classes["id"], roster.users["id"])
    )
    extra = ExtraChat(
        name="x",
        people=people,
        classes=classes,
        parts=frozenset(Part),
        roles=frozenset((role, school) for role in SchoolRole for school in schools),
    )

    def told(whole: Roster) -> tuple[set[tuple[object, ...]], set[object]]:
        found: Records = chat_records(whole, pins=NO_PINS, homeroom=HomeroomDefinition(), today=TODAY)
        rows = extra_reasons(found, extra)
        students = set(found.people.filter("student")["id"])
        return {*zip(found.people["id"].gather(rows["person"]), rows["why"], strict=True)}, students & people

    part = of_schools(tables, schools, classes=classes, people=people)
    assert told(part) == told(roster)
    for name, frame in part.tables():
        assert frame.schema == getattr(roster, name).schema


def test_a_school_that_there_is_not_has_nobody() -> None:
    tables = {name: frame.lazy() for name, frame in Roster.empty().tables()}
    assert all(frame.is_empty() for _, frame in of_schools(tables, ["s-1"]).tables())

"""Whole nights around the turn of a school year, with sections that keep their source ids (safety row 15, S13).

Nobody of the new year may come into a class of the old one, and no edit of terms within a year may make a new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.unit.reconcile.nights import APP, DISTRICT, Nights

from homeroom.store import JournalQuery, schema

JULY, AUGUST = datetime(2027, 7, 31, 1, tzinfo=UTC), datetime(2027, 8, 2, 1, tzinfo=UTC)


@pytest.fixture
def nights(first_sync: Nights, tmp_path: Path) -> Iterator[Nights]:
    here = Nights.after(first_sync, tmp_path)
    yield here
    here.store.close()


def next_terms(nights: Nights) -> None:
    """The records move on by a year, and have no terms of the last one any more."""
    for row in nights.records.files["academicSessions"]:
        for column in ("sourcedId", "parentSourcedId"):
            row[column] = row[column].replace("2027", "2028")
        row["schoolYear"] = "2028"
        for column in ("startDate", "endDate"):
            year, rest = row[column].split("-", 1)
            row[column] = f"{int(year) + 1}-{rest}"
    for row in nights.records.files["classes"]:
        row["termSourcedIds"] = row["termSourcedIds"].replace("2027", "2028")
    for row in nights.records.files["enrollments"]:
        row["beginDate"] = row["endDate"] = ""


def move_up(nights: Nights) -> None:
    """The students of every section are those of another one of its school now; the teachers stay."""
    sections: dict[str, list[str]] = {}
    for row in nights.records.files["classes"]:
        sections.setdefault(row["schoolSourcedId"], []).append(row["sourcedId"])
    following = {one: ids[(n + 1) % len(ids)] for ids in sections.values() for n, one in enumerate(ids)}
    for row in nights.records.rows("enrollments", role="student"):
        row["classSourcedId"] = following[row["classSourcedId"]]


def pupils(nights: Nights) -> set[tuple[str, str]]:
    """(class, person) of all students' places in the product."""
    return {
        (str(nights.product.classes[section].key), str(nights.product.people[one].key))
        for section, one, role in nights.product.members
        if role == "Learner"
    }


def classes(nights: Nights, *, archived: bool = False) -> set[str]:
    """Ids of classes in the product that are in use, or archived."""
    return {str(one.key) for one in nights.product.classes.values() if one.archived is archived}


def holds(nights: Nights) -> set[tuple[str, str]]:
    return {(key.kind, hold["guard"]) for key in (DISTRICT, APP) for hold in nights.holds(key)}


async def august(nights: Nights, *, seen: set[tuple[str, str]]) -> None:
    """Prove that nobody is where only last year's children may be; approve, once; a time of grace ends."""
    assert {place for place in pupils(nights) if "@" not in place[0]} <= seen
    await nights.approve(*nights.holds(DISTRICT), of=DISTRICT)
    await nights.night(days=8)
    assert holds(nights) == set()
    assert nights.said(APP).startswith("Succeeded: ")


@pytest.mark.parametrize("late", [True, False])
async def test_in_august_the_same_ids_are_new_classes_and_one_word_ends_the_old(nights: Nights, *, late: bool) -> None:
    """`late`: the export has the old year until somebody has approved its end; else all comes in one night."""
    old, before = classes(nights), pupils(nights)
    nights.now = JULY
    await nights.night(days=0)
    if late:
        await nights.night(days=2)
        assert holds(nights) == {("LearningApp", "RollOver")}
        await nights.approve(*nights.holds(APP), of=APP)
    next_terms(nights)
    move_up(nights)
    await nights.night(days=2)
    assert {guard for kind, guard in holds(nights) if kind == "District"} == (set() if late else {"RollOver"})
    assert {f"{one}@2028" for one in old} == classes(nights) - old
    await august(nights, seen=before)
    assert (classes(nights), classes(nights, archived=True)) == ({f"{one}@2028" for one in old}, old)
    expected = {(row["classSourcedId"], row["userSourcedId"]) for row in nights.records.rows("enrollments")}
    assert {(section.removesuffix("@2028"), one) for section, one in pupils(nights)} <= expected
    assert len(pupils(nights)) == len(before)

    product, writes = str(nights.product), nights.cluster.writes
    await nights.night()
    assert (str(nights.product), nights.cluster.writes) == (product, writes)
    found = nights.store.history(JournalQuery(namespace="lakeside", class_key=min(old), limit=None))
    assert {min(old), f"{min(old)}@2028"} == {*found["class_key"].drop_nulls()}


async def test_edits_of_terms_in_january_are_the_same_classes(nights: Nights) -> None:
    product, members = str(nights.product), nights.members()
    nights.now = datetime(2027, 1, 20, 1, tzinfo=UTC)
    await nights.night(days=0)
    for number, row in enumerate(nights.records.files["classes"]):
        row["termSourcedIds"] = ("sy-2027-s2", "sy-2027-t3,sy-2027-t4", "sy-2027")[number % 3]
    await nights.night()
    assert holds(nights) == set() or holds(nights) == {("District", "Updates")}
    await august(nights, seen={(section, str(one)) for _, section, one in members})
    assert (str(nights.product), nights.members()) == (product, members)


async def test_a_section_without_terms_is_the_class_that_it_was_and_next_year_the_next_one(nights: Nights) -> None:
    """A OneRoster export has to name terms: a section without counts as last accepted, and is none before."""
    old, before = classes(nights), pupils(nights)
    like = nights.records.rows("classes", sourcedId=min(old))[0]
    nights.records.files["classes"].append({**like, "sourcedId": "c-late", "termSourcedIds": ""})
    like["termSourcedIds"] = ""
    await nights.night()
    assert (classes(nights), pupils(nights)) == (old, before)
    nights.records.rows("classes", sourcedId="c-late")[0]["termSourcedIds"] = like["termSourcedIds"] = "sy-2027"
    await nights.night()
    assert (classes(nights), pupils(nights)) == (old | {"c-late"}, before)

    nights.now = JULY
    await nights.night(days=0)
    next_terms(nights)
    move_up(nights)
    like["termSourcedIds"] = ""
    await nights.night(days=2)
    await nights.approve(*nights.holds(APP), of=APP)  # that class is over in the records
    await august(nights, seen=before)
    assert like["sourcedId"] not in classes(nights) | {section for section, _ in pupils(nights)}
    like["termSourcedIds"] = "sy-2028"
    await nights.night()
    await august(nights, seen=set())
    assert classes(nights) == {f"{one}@2028" for one in (*old, "c-late")}


def for_all_times(nights: Nights) -> None:
    """The records know one session, which never ends."""
    row = nights.records.files["academicSessions"][0]
    nights.records.files["academicSessions"] = [{**row, "startDate": "2000-01-01", "endDate": "2099-01-01"}]
    for section in nights.records.files["classes"]:
        section["termSourcedIds"] = row["sourcedId"]


async def test_where_terms_say_nothing_the_day_makes_next_years_classes(nights: Nights) -> None:
    old, before = classes(nights), pupils(nights)
    for_all_times(nights)
    await nights.night()
    await august(nights, seen=before)
    assert (classes(nights), pupils(nights)) == (old, before)
    nights.now = JULY
    await nights.night(days=0)
    await nights.night(days=0.5)
    assert (classes(nights), pupils(nights), holds(nights)) == (old, before, set())
    move_up(nights)
    await nights.night(days=2)
    assert holds(nights) == {("District", "RollOver")}
    await august(nights, seen=before)
    assert (classes(nights), classes(nights, archived=True)) == ({f"{one}@2028" for one in old}, old)


async def test_a_clock_that_jumps_makes_no_classes_and_one_that_is_mended_takes_none(nights: Nights) -> None:
    for_all_times(nights)
    await nights.night()
    await nights.approve(*nights.holds(DISTRICT), of=DISTRICT)
    product, now = str(nights.product), nights.now
    await nights.night(days=365)
    assert (str(nights.product), nights.holds(DISTRICT)) == (product, [])
    old, before = classes(nights), pupils(nights)
    await nights.night()  # nobody has looked: what is new comes beside what is there
    assert (pupils(nights) >= before, ("District", "RollOver") in holds(nights)) == (True, True)
    nights.now = now
    await nights.night()
    for _ in range(2):
        for key in (DISTRICT, APP):
            await nights.approve(*nights.holds(key), of=key)
        await nights.night(days=8)
    assert (classes(nights), pupils(nights), holds(nights)) == (old, before, set())


async def test_a_store_of_an_older_release_knows_whose_classes_they_are(nights: Nights) -> None:
    old, before = classes(nights), pupils(nights)
    with nights.store._engine.begin() as connection:
        connection.execute(sa.delete(schema.section))
    nights.now = AUGUST
    next_terms(nights)
    move_up(nights)
    await nights.night(days=0)
    await august(nights, seen=before)
    assert classes(nights) == {f"{one}@2028" for one in old}


async def test_terms_of_the_next_year_in_march_are_asked_about_like_any_loss(nights: Nights) -> None:
    before = pupils(nights)
    nights.now = datetime(2027, 3, 10, 1, tzinfo=UTC)
    await nights.night(days=0)
    next_terms(nights)
    await nights.night()
    assert ("District", "RollOver") not in holds(nights)
    assert nights.holds(DISTRICT)
    assert pupils(nights) == before

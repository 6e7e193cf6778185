"""What columns beyond OneRoster lead to in chats: class cards, acting heads, positions (R33, R34)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.reconcile.chatnights import ChatNights, account
from tests.unit.reconcile.nights import DISTRICT

STUDENTS, PARENTS, STAFF = "7b students", "7b parents", "Staff room - Sable Creek Middle School"
SCHOOL = "s-002"
CARD, HEAD, POSITION = "metadata.classTeacher", "metadata.actingHead", "metadata.position"


@pytest.fixture
def filled(first_fill: ChatNights, tmp_path: Path) -> Iterator[ChatNights]:
    here = ChatNights.after(first_fill, tmp_path)
    yield here
    here.store.close()


def declare(here: ChatNights, **extensions: object) -> None:
    source = here.cluster.objects[DISTRICT]["spec"]["source"]
    here.declare(DISTRICT, source={**source, "oneRosterCSV": {**source["oneRosterCSV"], "extensions": extensions}})


def fill(here: ChatNights, file: str, column: str, **values: str) -> None:
    """The export has this column from now on, with values by source id."""
    for row in here.records.files[file]:
        row[column] = values.get(row["sourcedId"], "")


def section(here: ChatNights) -> str:
    """The source id of 7b."""
    (row,) = here.records.rows("classes", title="7b")
    return row["sourcedId"]


def colleague(here: ChatNights) -> str:
    """A teacher of the school who does not teach 7b."""
    teachers = {row["userSourcedId"] for row in here.records.rows("enrollments", classSourcedId=section(here))}
    staff = [row["userSourcedId"] for row in here.records.rows("roles", orgSourcedId=SCHOOL, role="teacher")]
    return next(one for one in staff if one not in teachers and account(one) in here.server.room(STAFF).people)


def leads(here: ChatNights, chat: str) -> set[str]:
    return set(here.server.room(chat).leads)


async def test_another_name_on_the_class_card_waits_for_a_word(filled: ChatNights) -> None:
    who, before = colleague(filled), leads(filled, STUDENTS)
    (was,) = (
        account(row["userSourcedId"])
        for row in filled.records.rows("enrollments", classSourcedId=section(filled), role="teacher", primary="true")
    )
    assert was in before
    assert account(who) not in before
    fill(filled, "classes", CARD, **{section(filled): who})
    declare(filled, classTeacher=CARD)
    await filled.night()
    assert filled.open_holds() == {"Administrators"}
    for chat in (STUDENTS, PARENTS):
        assert account(who) in filled.server.room(chat).people
        assert leads(filled, chat) == before, "nobody gains rights unasked, and the last who leads stays"
    await filled.approve_all()
    await filled.night()
    for chat in (STUDENTS, PARENTS):
        assert account(who) in leads(filled, chat)
        assert was not in leads(filled, chat)
        assert was not in filled.server.room(chat).people, "the card wins"


async def test_a_mistake_on_the_class_card_changes_no_chat(filled: ChatNights) -> None:
    who = colleague(filled)
    fill(filled, "classes", CARD, **{section(filled): who})
    declare(filled, classTeacher=CARD)
    await filled.night()
    await filled.approve_all()
    await filled.night()
    there, led = filled.there(), {chat: leads(filled, chat) for chat in (STUDENTS, PARENTS)}
    student = filled.records.rows("enrollments", classSourcedId=section(filled), role="student")[0]["userSourcedId"]
    for wrong in ("nobody-here", student):
        fill(filled, "classes", CARD, **{section(filled): wrong})
        await filled.night()
        assert filled.cluster.objects[DISTRICT]["status"]["snapshot"]["findings"]["value"]
        assert filled.open_holds() == set()
        assert filled.there() == there
        assert {chat: leads(filled, chat) for chat in led} == led
    # With the column emptied, or without it, nothing is read, and the District says so.
    fill(filled, "classes", CARD)
    await filled.night()
    assert "no class card names anybody" in filled.said(DISTRICT)
    assert filled.there() == there
    for row in filled.records.files["classes"]:
        del row[CARD]
    await filled.night()
    assert filled.said(DISTRICT).startswith("SourceInvalid: classes.csv, column metadata.classTeacher: ")
    assert filled.there() == there
    assert {chat: leads(filled, chat) for chat in led} == led


async def test_a_position_leads_into_the_staff_room(filled: ChatNights) -> None:
    """Of somebody whose role in the records is one of the system's own."""
    who = "u-new"
    filled.records.add("users", sourcedId=who, enabledUser="true", username=who, givenName="Ulla", familyName="Ek")
    filled.records.add(
        "roles", sourcedId="r-new", userSourcedId=who, roleType="primary", role="ext:employee", orgSourcedId=SCHOOL
    )
    fill(filled, "users", POSITION, **{who: "Psychologist"})
    await filled.night()
    assert account(who) not in filled.server.room(STAFF).people
    roles = [{"position": "Psychologist", "role": "counselor"}]
    declare(filled, positions=[{"column": POSITION, "roles": roles}])
    await filled.night()
    assert filled.open_holds() == set()
    assert account(who) in filled.server.room(STAFF).people
    assert account(who) not in leads(filled, STAFF)


@pytest.mark.parametrize("column", [HEAD, POSITION])
async def test_a_head_by_a_column_leads_the_staff_room_after_a_word(column: str, filled: ChatNights) -> None:
    who, before = colleague(filled), leads(filled, STAFF)
    if column == HEAD:
        fill(filled, "users", column, **{who: "true"})
        declare(filled, actingHead=column)
    else:
        fill(filled, "users", column, **{who: "Head of level 1"})
        roles = [{"position": "head of level 1", "role": "principal"}]
        declare(filled, positions=[{"column": column, "roles": roles}])
    await filled.night()
    assert filled.open_holds() == {"Administrators"}
    assert leads(filled, STAFF) == before
    await filled.approve_all()
    assert leads(filled, STAFF) == before | {account(who)}
    fill(filled, "users", column, **{who: "false"})
    await filled.night()
    assert leads(filled, STAFF) == before
    assert account(who) in filled.server.room(STAFF).people

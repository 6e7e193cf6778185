"""What supplements lead to in chats: positions, and whose account is whose (R33, R34, R3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.reconcile.chatnights import POLICY, ChatNights, account
from tests.unit.reconcile.nights import DISTRICT

STUDENTS, STAFF = "7b students", "Staff room - Sable Creek Middle School"
SCHOOL = "s-002"


@pytest.fixture
def filled(first_fill: ChatNights, tmp_path: Path) -> Iterator[ChatNights]:
    here = ChatNights.after(first_fill, tmp_path)
    yield here
    here.store.close()


def say(here: ChatNights, *allow: str, **files: str) -> None:
    """A supplement with these files is there from now on."""
    folder = here.export.parent / "beside"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    entry = {"name": "beside", "oneRosterCSV": {"url": "file:beside"}, "interval": "15m", "allow": [*allow]}
    here.declare(DISTRICT, supplements=[entry])


async def test_an_acting_head_by_supplement_leads_the_staff_room_after_a_word(filled: ChatNights) -> None:
    staff = filled.server.room(STAFF)
    who = next(
        row["userSourcedId"]
        for row in filled.records.rows("roles", orgSourcedId=SCHOOL, role="teacher")
        if account(row["userSourcedId"]) in staff.people
    )
    before = set(staff.leads)
    assert account(who) not in before
    head = "sourcedId,userSourcedId,roleType,role,orgSourcedId,beginDate,endDate\n"
    line = f"x-1,{who},secondary,principal,{SCHOOL},{filled.now.date()},2027-01-31\n"
    say(filled, "Admins", roles=head + line)
    await filled.run(DISTRICT, POLICY)
    assert filled.open_holds() == {"Administrators"}
    assert set(staff.leads) == before
    await filled.approve_all()
    assert set(filled.server.room(STAFF).leads) == before | {account(who)}


async def test_a_class_teacher_by_supplement_needs_the_word_admins(filled: ChatNights) -> None:
    (section,) = (row["sourcedId"] for row in filled.records.rows("classes", title="7b"))
    teachers = {
        row["userSourcedId"] for row in filled.records.rows("enrollments", classSourcedId=section, role="teacher")
    }
    who = next(
        row["userSourcedId"]
        for row in filled.records.rows("roles", orgSourcedId=SCHOOL, role="teacher")
        if row["userSourcedId"] not in teachers
    )
    lines = (
        "sourcedId,classSourcedId,schoolSourcedId,userSourcedId,role,primary\n"
        f"x-1,{section},{SCHOOL},{who},teacher,true\n"
    )
    before = set(filled.server.room(STUDENTS).leads)
    say(filled, "Enrollments", enrollments=lines)
    await filled.run(DISTRICT, POLICY)
    assert filled.open_holds() == set()
    assert set(filled.server.room(STUDENTS).leads) == before
    say(filled, "Enrollments", "Admins", enrollments=lines)
    await filled.run(DISTRICT, POLICY)
    assert filled.open_holds() == {"Administrators"}
    await filled.approve_all()
    assert account(who) in filled.server.room(STUDENTS).leads

"""What supplements lead to in chats: positions, whose account is whose, lessons (R33, R34, R3, R14, R25)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.reconcile.chatnights import POLICY, ChatNights, account
from tests.unit.reconcile.nights import DISTRICT, Killed
from tests.unit.reconcile.test_calls import HERE, classes, look, with_subjects

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
    if here.cluster.objects[DISTRICT]["spec"].get("supplements") != [entry]:
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


def lesson(here: ChatNights, key: str, section: str, *, days: float = 1, published: datetime | None = None) -> str:
    begins, ends = (here.now + timedelta(days=days, hours=hours) for hours in (0, 1))
    stamp = published.isoformat() if published else ""
    return f"{key},{stamp},{section},{begins.isoformat()},{ends.isoformat()},Fractions\n"


def say_lessons(here: ChatNights, *lines: str, allow: str = "Lessons") -> None:
    say(here, allow, lessons="sourcedId,dateLastModified,classSourcedId,startTime,endTime,title\n" + "".join(lines))


def known(here: ChatNights) -> set[str]:
    """Classes of which a lesson is known."""
    return set(here.store.lessons.taught(**HERE))


async def later(here: ChatNights) -> None:
    here.now += timedelta(minutes=15)
    await here.run(DISTRICT)


async def test_a_lesson_by_supplement_makes_the_chat_of_its_class(filled: ChatNights) -> None:
    await with_subjects(filled, createOn="FirstLesson")
    filled.declare(DISTRICT, sync={"mode": "Interval", "interval": "12h"})
    before = set(filled.server.rooms)
    first, second, third = classes(filled)[:3]
    await look(filled)
    say_lessons(filled, lesson(filled, "l-1", first, published=filled.now - timedelta(days=9)), "l-2,,nope,x,y,z\n")
    await filled.run(DISTRICT)
    assert known(filled) == {first}
    assert filled.shown == []  # how long ago this was known elsewhere says nothing of us
    await look(filled)
    assert filled.cluster.asked == [POLICY]
    await filled.run(POLICY)
    assert len(set(filled.server.rooms) - before) == 1

    # A new version, a few minutes after the lesson was published; the source is not asked for that.
    filled.export.unlink()
    said = [lesson(filled, "l-1", first), lesson(filled, "l-3", second, published=filled.now + timedelta(minutes=11))]
    say_lessons(filled, *said, lesson(filled, "l-4", third, days=400))
    filled.cluster.asked = []
    await later(filled)
    assert filled.shown == [240.0]
    assert known(filled) == {first, second}, "a year is far enough ahead"
    await look(filled)
    assert POLICY in filled.cluster.asked


async def test_lessons_stay_while_nothing_can_be_read_and_go_with_their_supplement(filled: ChatNights) -> None:
    first, second = classes(filled)[:2]
    say_lessons(filled, lesson(filled, "l-1", first), lesson(filled, "l-2", second))
    await filled.run(DISTRICT)
    assert known(filled) == {first, second}
    (filled.export.parent / "beside" / "lessons.csv").write_text("<html>")
    await later(filled)
    assert filled.said(DISTRICT, "SupplementsFresh").startswith("SupplementStale: ")
    assert known(filled) == {first, second}
    say_lessons(filled, lesson(filled, "l-1", first), lesson(filled, "l-2", second, days=-1))
    await later(filled)
    assert known(filled) == {first}
    say_lessons(filled, lesson(filled, "l-1", first), allow="Links")
    await filled.run(DISTRICT)
    assert known(filled) == set()
    say_lessons(filled, lesson(filled, "l-1", first))
    await filled.run(DISTRICT)
    assert known(filled) == {first}
    filled.declare(DISTRICT, supplements=[])
    await filled.run(DISTRICT)
    assert known(filled) == set()
    assert filled.store.supplements(**HERE) == []


async def test_a_run_that_dies_before_it_stores_anything_takes_lessons_out_all_the_same(
    filled: ChatNights, monkeypatch: pytest.MonkeyPatch
) -> None:
    say_lessons(filled, lesson(filled, "l-1", classes(filled)[0]))
    await filled.run(DISTRICT)
    stored = filled.store.supplements(**HERE)
    filled.declare(DISTRICT, supplements=[])
    with monkeypatch.context() as patched:

        def die(*_: object, **__: object) -> None:
            raise Killed

        patched.setattr(filled.store, "accept", die)
        with pytest.raises(Killed):
            await filled.run(DISTRICT)
    assert [one.name for one in filled.store.supplements(**HERE)] == [one.name for one in stored]
    await filled.run(DISTRICT)
    assert filled.store.supplements(**HERE) == []
    assert known(filled) == set()


async def test_a_lesson_stays_while_the_loss_of_its_class_is_held(filled: ChatNights) -> None:
    section = classes(filled)[0]
    say_lessons(filled, lesson(filled, "l-1", section, days=3))
    await filled.run(DISTRICT)
    for table, column in (("enrollments", "classSourcedId"), ("classes", "sourcedId")):
        filled.records.files[table] = [row for row in filled.records.files[table] if row[column] != section]
    await filled.night()
    holds = filled.holds(DISTRICT)
    assert {hold["guard"] for hold in holds} == {"ClassShrink"}
    assert known(filled) == {section}
    for hold in holds:
        await filled.approve(hold, of=DISTRICT)
    await filled.night()
    assert known(filled) == set()


async def test_a_run_without_news_of_lessons_writes_nothing(filled: ChatNights) -> None:
    say_lessons(filled, lesson(filled, "l-1", classes(filled)[0]))
    await filled.run(DISTRICT)
    writes, status = filled.cluster.writes, dict(filled.cluster.objects[DISTRICT]["status"])
    lessons = filled.store.lessons.of_classes(
        classes(filled), **HERE, since=filled.now, until=filled.now + timedelta(days=9)
    )
    await later(filled)
    assert (filled.cluster.writes, filled.cluster.objects[DISTRICT]["status"]) == (writes, status)
    assert filled.store.lessons.of_classes(
        classes(filled), **HERE, since=filled.now, until=filled.now + timedelta(days=9)
    ).equals(lessons)

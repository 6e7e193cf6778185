"""A press makes the chat of the subject, once, and everybody there is told: whole runs, with what may go wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from tests.unit.reconcile.chatnights import PLATFORM, POLICY, THREE, ChatNights, account
from tests.unit.reconcile.nights import DISTRICT, Killed
from tests.unit.reconcile.test_chat_years import august

from homeroom.chats import Desired, State
from homeroom.chats.calls import CallState
from homeroom.chats.linking import Place
from homeroom.errors import RefusedError, TransientError
from homeroom.plan import Change, Outcome, Result
from homeroom.reconcile.chatcalls import KIND
from homeroom.reconcile.ports import Key, Verdict
from homeroom.store import Call

CALLS = Key(KIND, "lakeside", "matrix")
HERE = {"namespace": "lakeside", "district": "lakeside"}
PLACE = Place("lakeside", "matrix", "lakeside")
SUBJECT: dict[str, Any] = {"type": "Subject"}
TEMPLATE = {"urlTemplate": "https://meet.example/{call}"}
OTHER = Key("ChatPolicy", "lakeside", "others")
STUDENTS = "7b students"


async def with_subjects(here: ChatNights, **subject: Any) -> None:
    """The policy has chats of subjects, too."""
    here.declare(POLICY, chats=[*THREE, {**SUBJECT, **subject}], calls=TEMPLATE)
    await here.run(POLICY)


@pytest.fixture
async def filled(first_fill: ChatNights, tmp_path: Path) -> Any:
    here = ChatNights.after(first_fill, tmp_path)
    await with_subjects(here)
    yield here
    here.store.close()


@pytest.fixture
def plain(first_fill: ChatNights, tmp_path: Path) -> Iterator[ChatNights]:
    here = ChatNights.after(first_fill, tmp_path)
    yield here
    here.store.close()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[ChatNights]:
    here = ChatNights.beginning(tmp_path)
    here.declare(POLICY, chats=[*THREE, SUBJECT], calls=TEMPLATE)
    yield here
    here.store.close()


def classes(here: ChatNights, school: str = "s-002") -> list[str]:
    """Source ids of classes in which a subject is taught, with students and a teacher."""
    taught = {row["classSourcedId"] for row in here.records.rows("enrollments", role="teacher")}
    learned = {row["classSourcedId"] for row in here.records.rows("enrollments", role="student")}
    rows = here.records.rows("classes", schoolSourcedId=school)
    return sorted(
        row["sourcedId"] for row in rows if row["classType"] != "homeroom" and row["sourcedId"] in taught & learned
    )


def people(here: ChatNights, section: str, role: str) -> set[str]:
    return {row["userSourcedId"] for row in here.records.rows("enrollments", classSourcedId=section, role=role)}


def lesson(here: ChatNights, section: str, *, title: str = "Fractions") -> str:
    """Somebody adds a lesson that begins now."""
    begins, ends = here.now, here.now + timedelta(hours=1)
    return here.store.lessons.add(
        **HERE, class_id=section, begins=begins, ends=ends, title=title, person="t-10", now=here.now
    )


def press(here: ChatNights, of: str, *, word: str = "") -> Call:
    found = here.store.lessons.press(of, **HERE, person="t-10", word=word or f"word-of-{of}", now=here.now)
    assert found is not None
    return found


def standing(here: ChatNights, call: Call) -> Call:
    found = here.store.lessons.call(call.lesson, PLACE)
    assert found is not None
    return found


def new(here: ChatNights, before: set[str]) -> list[str]:
    """Keys of rooms that were made since."""
    return sorted(set(here.server.rooms) - before)


async def look(here: ChatNights) -> Verdict:
    """Two seconds later the operator looks; nothing that this wakes runs yet."""
    here.now += timedelta(seconds=2)
    here.cluster.asked = []
    return await here._handlers[KIND](CALLS)


# ---------------------------------------------------------------------------------------------------------------------
# The chat


async def test_a_press_makes_the_one_chat_with_all_who_are_in_it_and_tells_them(filled: ChatNights) -> None:
    before, reads = set(filled.server.rooms), filled.chats.reads
    section = classes(filled)[0]
    call = press(filled, lesson(filled, section))
    await look(filled)
    (key,) = new(filled, before)
    assert filled.chats.reads == reads, "all chats were read"
    room = filled.server.rooms[key]
    inside = {one for one, state in room.people.items() if state is State.JOINED}
    assert {account(one) for one in people(filled, section, "teacher")} <= inside
    assert {account(one) for one in people(filled, section, "student")} & inside
    assert any(one.startswith("@g-") for one in inside)
    url = f"https://meet.example/{call.word}"
    assert filled.chats.announced == [(room.name, f"Fractions\nThe call has begun: {url}", url)]
    told = standing(filled, call)
    assert (told.state, told.chat, told.url) == (CallState.TOLD, f"chat:!{key}", url)
    assert filled.lags == [2.0]
    assert filled.cluster.asked == [POLICY]

    # Who leads it waits for a word, as ever; nobody is taken for a stranger meanwhile.
    assert filled.server.led()[room.name] == set()
    await filled.run(POLICY, CALLS)
    assert set(filled.server.rooms) == before | {key}
    assert {one for one, state in room.people.items() if state is State.JOINED} == inside
    assert filled.open_holds() == {"Administrators"}
    await filled.approve_all()
    teachers = {account(one) for one in people(filled, section, "teacher")}
    assert filled.server.led()[room.name] == teachers
    assert filled.said(POLICY).startswith("Succeeded: ")
    assert len(filled.chats.announced) == 1


async def test_once_told_nothing_is_read_or_written_any_more(filled: ChatNights) -> None:
    press(filled, lesson(filled, classes(filled)[0]))
    await filled.run(CALLS)
    await filled.approve_all()
    writes, only, reads = filled.server.writes, len(filled.chats.only), filled.chats.reads
    filled.restarted()
    for _ in range(3):
        await look(filled)
        assert filled.cluster.asked == []
    assert (filled.server.writes, len(filled.chats.only), filled.chats.reads) == (writes, only, reads)
    assert len(filled.chats.announced) == 1


async def test_two_lessons_of_a_class_have_one_chat_and_two_calls(filled: ChatNights) -> None:
    before, section = set(filled.server.rooms), classes(filled)[0]
    for title in ("Fractions", "Decimals"):
        press(filled, lesson(filled, section, title=title))
    await filled.run(CALLS)
    third = press(filled, lesson(filled, section, title="Roots"))
    await filled.run(CALLS)
    assert len(new(filled, before)) == 1
    assert sorted(text.partition("\n")[0] for _, text, _ in filled.chats.announced) == [
        "Decimals",
        "Fractions",
        "Roots",
    ]
    assert standing(filled, third).state is CallState.TOLD


async def test_killed_anywhere_it_ends_the_same_and_nobody_is_told_twice(filled: ChatNights) -> None:
    before, dice = set(filled.server.rooms), random.Random(4)
    calls = [press(filled, lesson(filled, section)) for section in classes(filled)[:3]]
    deaths = 0
    for _ in range(60):
        filled.restarted()
        filled.chats.until = dice.randrange(9)
        try:
            await filled.run(*dice.sample([CALLS, POLICY], 2))
        except Killed:
            deaths += 1
    filled.chats.until = None
    filled.restarted()
    await filled.run(CALLS, POLICY)
    assert deaths > 5
    assert len(new(filled, before)) == 3
    assert len(filled.chats.announced) == 3
    assert {standing(filled, call).state for call in calls} == {CallState.TOLD}
    for section, key in ((section, key) for section in classes(filled)[:3] for key in new(filled, before)):
        if filled.server.rooms[key].name.startswith(section):
            assert {account(one) for one in people(filled, section, "student")} <= set(filled.server.rooms[key].people)
    await filled.approve_all()
    assert filled.said(POLICY).startswith("Succeeded: ")


async def test_who_cannot_come_in_keeps_nobody_from_the_call(filled: ChatNights) -> None:
    before, section = set(filled.server.rooms), classes(filled)[0]
    out, *_ = sorted(people(filled, section, "teacher"))
    filled.chats.unknown = {account(out)}
    call = press(filled, lesson(filled, section))
    await filled.run(CALLS)
    (key,) = new(filled, before)
    assert standing(filled, call).state is CallState.TOLD
    assert account(out) not in filled.server.rooms[key].people
    assert len(filled.server.rooms[key].people) > 5


async def test_a_server_that_is_away_tells_of_the_call_when_it_is_back(
    filled: ChatNights, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = press(filled, lesson(filled, classes(filled)[0]))
    away = TransientError("it does not answer", reason="TargetUnavailable", retry_after=7)
    with monkeypatch.context() as patch:
        patch.setattr(filled.chats, "announce", AsyncMock(side_effect=away))
        assert await look(filled) == Verdict(failed=True, retry_after=7)
    assert standing(filled, call).state is CallState.WAITING
    assert (await look(filled)).again is not None
    assert standing(filled, call).state is CallState.TOLD
    assert len(filled.chats.announced) == 1


async def test_a_chat_in_which_nothing_can_be_said_keeps_no_other_call_waiting(
    filled: ChatNights, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (press(filled, lesson(filled, section)) for section in classes(filled)[:2])
    announce = filled.chats.announce

    async def refused(key: str, text: str, *, url: str, word: str) -> None:
        if word == one.word:
            raise RefusedError("the room is not ours any more", reason="OwnedElsewhere")
        await announce(key, text, url=url, word=word)

    with monkeypatch.context() as patch:
        patch.setattr(filled.chats, "announce", refused)
        assert (await look(filled)).again is not None
        assert standing(filled, one).state is CallState.HELD
        assert standing(filled, other).state is CallState.TOLD
    await filled.run(POLICY)
    await look(filled)
    assert standing(filled, one).state is CallState.TOLD


async def test_a_chat_that_is_refused_keeps_no_other_call_waiting(
    filled: ChatNights, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (press(filled, lesson(filled, section)) for section in classes(filled)[:2])
    apply, before = filled.chats.apply, set(filled.server.rooms)

    async def refused(batch: Sequence[Change], wanted: Desired) -> Sequence[Outcome]:
        bad = {chat["key"] for chat in wanted.chats.to_dicts() if chat["section"] == classes(filled)[0]}
        some = [change for change in batch if bad & {change.key, change.class_key}]
        failed = [Outcome(seq=change.seq, result=Result.FAILED, error="it is taken") for change in some]
        made = await apply([change for change in batch if change not in some], wanted) if len(some) < len(batch) else []
        return sorted([*failed, *made], key=lambda outcome: outcome.seq)

    with monkeypatch.context() as patch:
        patch.setattr(filled.chats, "apply", refused)
        assert (await look(filled)).again is not None
        assert standing(filled, one).state is CallState.HELD
        assert standing(filled, other).state is CallState.TOLD
        assert len(new(filled, before)) == 1
    await filled.run(POLICY)
    await look(filled)
    assert standing(filled, one).state is CallState.TOLD
    assert len(new(filled, before)) == 2


async def test_without_an_address_the_chat_is_made_and_nothing_is_said(filled: ChatNights) -> None:
    filled.declare(POLICY, calls=None)
    await filled.run(POLICY)
    before = set(filled.server.rooms)
    call = press(filled, lesson(filled, classes(filled)[0]))
    await filled.run(CALLS)
    (key,) = new(filled, before)
    assert (standing(filled, call).chat, standing(filled, call).url) == (f"chat:!{key}", None)
    assert filled.chats.announced == []


# ---------------------------------------------------------------------------------------------------------------------
# What stands in the way


async def test_the_first_chats_of_a_school_are_seen_before_any_call_makes_one(empty: ChatNights) -> None:
    await empty.run(DISTRICT, POLICY)
    await empty.approve(*(hold for hold in empty.holds(POLICY) if hold["place"] == "s-001"), of=POLICY)
    call = press(empty, lesson(empty, classes(empty)[0]))
    before = set(empty.server.rooms)
    await look(empty)
    assert empty.cluster.asked == [POLICY]
    await empty.run(POLICY)
    await look(empty)
    (hold,) = [hold["id"] for hold in empty.holds(POLICY) if hold["place"] == "s-002" and hold["guard"] == "FirstSync"]
    held = standing(empty, call)
    assert (held.state, held.hold) == (CallState.HELD, hold)
    assert set(empty.server.rooms) == before

    for _ in range(3):  # and while it waits, the records are not read again and again
        empty.cluster.asked, only = [], len(empty.chats.only)
        await look(empty)
        assert (empty.cluster.asked, len(empty.chats.only)) == ([], only)
    await empty.approve_all()
    await empty.run(CALLS)
    assert standing(empty, call).state is CallState.TOLD
    assert len(empty.chats.announced) == 1


async def test_what_an_edit_adds_is_no_calls_to_make(plain: ChatNights) -> None:
    """Between the edit and its first run; and as long as somebody is asked about it."""
    plain.declare(POLICY, chats=[*THREE, {**SUBJECT, "createOn": "Enrollment"}], calls=TEMPLATE)
    before = set(plain.server.rooms)
    call = press(plain, lesson(plain, classes(plain)[0]))
    await look(plain)
    assert (standing(plain, call).state, standing(plain, call).hold) == (CallState.HELD, None)
    assert plain.cluster.asked == [POLICY]
    await plain.run(POLICY)
    assert "Exposure" in plain.open_holds()
    await look(plain)
    (hold,) = [hold["id"] for hold in plain.holds(POLICY) if hold["guard"] == "Exposure"]
    assert standing(plain, call).hold == hold
    assert set(plain.server.rooms) == before


async def test_a_class_that_no_policy_has_chats_of_is_told_of_nowhere(filled: ChatNights) -> None:
    before = set(filled.server.rooms)
    call = press(filled, lesson(filled, "nobody-knows-it"))
    await filled.run(CALLS)
    assert standing(filled, call).state is CallState.NOWHERE
    homeroom = filled.records.rows("classes", title="7b")[0]["sourcedId"]
    other = press(filled, lesson(filled, homeroom))
    await filled.run(CALLS)
    assert standing(filled, other).state is CallState.NOWHERE
    assert set(filled.server.rooms) == before
    filled.declare(POLICY, suspend=True)
    third = press(filled, lesson(filled, classes(filled)[0]))
    await filled.run(CALLS)
    assert standing(filled, third).state is CallState.NOWHERE


async def test_a_platform_that_is_suspended_is_told_nothing(filled: ChatNights) -> None:
    call = press(filled, lesson(filled, classes(filled)[0]))
    filled.declare(PLATFORM, suspend=True)
    await filled.run(CALLS)
    assert standing(filled, call).state is CallState.WAITING
    filled.declare(PLATFORM, suspend=False)
    await filled.run(CALLS)
    assert standing(filled, call).state is CallState.TOLD


async def test_of_two_policies_the_older_one_tells(filled: ChatNights) -> None:
    spec = {"districtRef": {"name": "lakeside"}, "platformRef": {"name": "matrix"}, "firstSync": "Automatic"}
    filled.put(OTHER, made="2027-01-01T00:00:00Z", chats=[SUBJECT], **spec)
    before = set(filled.server.rooms)
    press(filled, lesson(filled, classes(filled)[0]))
    await filled.run(CALLS)
    assert len(new(filled, before)) == 1
    assert len(filled.chats.announced) == 1


# ---------------------------------------------------------------------------------------------------------------------
# Lessons, classes and years


async def test_a_first_lesson_is_enough_where_the_policy_says_so(plain: ChatNights) -> None:
    await with_subjects(plain, createOn="FirstLesson")
    before, section = set(plain.server.rooms), classes(plain)[0]
    await look(plain)
    assert plain.cluster.asked == []
    lesson(plain, section)
    await look(plain)
    assert plain.cluster.asked == [POLICY]
    await plain.run(POLICY)
    assert len(new(plain, before)) == 1
    await look(plain)
    assert plain.cluster.asked == []
    assert plain.chats.announced == []


async def test_a_chat_stays_when_its_lessons_are_forgotten_or_calls_open_chats_only_later(plain: ChatNights) -> None:
    await with_subjects(plain, createOn="FirstLesson")
    before = set(plain.server.rooms)
    of = lesson(plain, classes(plain)[0])
    await plain.run(POLICY)
    plain.store.lessons.remove(of, **HERE, person="t-10")
    plain.declare(POLICY, chats=[*THREE, SUBJECT], deletion="Archive")
    await plain.run(POLICY)
    (key,) = new(plain, before)
    assert not plain.server.rooms[key].archived
    del plain.server.rooms[key]  # somebody took it off the server
    await plain.run(POLICY)
    assert new(plain, before) == [key]


async def test_a_chat_that_calls_opened_ends_with_its_class_and_next_years_is_another(filled: ChatNights) -> None:
    filled.declare(POLICY, deletion="Archive")
    await filled.run(POLICY)
    before, section = set(filled.server.rooms), classes(filled)[0]
    press(filled, lesson(filled, section))
    await filled.run(CALLS)
    await filled.approve_all()
    (key,) = new(filled, before)
    await august(filled, moved=False)
    await filled.approve_all()
    assert filled.server.rooms[key].archived
    there = {room.name for room in filled.server.rooms.values() if not room.archived}
    assert not any(row["title"] in " ".join(there) for row in filled.records.rows("classes", sourcedId=section)), there

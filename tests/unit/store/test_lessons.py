"""A lesson has one call, however many press; what is over stays as it was; what is said again is not there twice."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import polars as pl
import pytest
import sqlalchemy as sa

from homeroom.chats.calls import CallState, LessonBy
from homeroom.chats.linking import Place
from homeroom.store import GIVEN_SCHEMA, LESSONS_SCHEMA, LostLeadershipError, Store
from homeroom.store.lessons import KEPT, LATE, Call
from homeroom.store.schema import metadata

NOW = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
HERE = {"namespace": "n", "district": "d"}
MATRIX, VK = Place("n", "matrix", "d"), Place("n", "vk", "d")


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    store = Store.open(url, tmp_path)
    yield store
    store.close()


def lessons(*rows: tuple[str, str, int], title: str = "Algebra") -> pl.DataFrame:
    """Lessons by key and class, so many hours from now, each of one hour."""
    said = [(key, where, NOW + HOUR * hours, NOW + HOUR * (hours + 1), title) for key, where, hours in rows]
    return pl.DataFrame(said, schema=GIVEN_SCHEMA, orient="row")


def said(store: Store, given: pl.DataFrame, *, now: datetime = NOW, feed: str = "january") -> list[str]:
    """The keys of what is new or changed."""
    found = store.lessons.replace(given, **HERE, by=LessonBy.RECORDS, feed=feed, now=now, epoch=1)
    assert found.columns == given.columns
    return sorted(found["key"])


def imported(store: Store, given: pl.DataFrame, *, person: str) -> None:
    """What somebody's calendar says."""
    store.lessons.replace(given, **HERE, by=LessonBy.CALENDAR, feed="cal", now=NOW, person=person, epoch=None)


def known(store: Store, *classes: str, now: datetime = NOW - KEPT) -> list[tuple[str, int]]:
    """Class and hours from `NOW` of the lessons that are kept."""
    found = store.lessons.of_classes(classes or ("c1", "c2"), **HERE, since=now, until=NOW + KEPT)
    assert found.schema == LESSONS_SCHEMA
    return [(row["class"], int((row["begins"] - NOW) / HOUR)) for row in found.to_dicts()]


def added(store: Store, *, where: str = "c1", person: str = "t1", hours: int = 0, title: str = "Algebra") -> str:
    begins = NOW + HOUR * hours
    return store.lessons.add(
        **HERE, class_id=where, begins=begins, ends=begins + HOUR, title=title, person=person, now=NOW
    )


def pressed(store: Store, lesson: str, *, word: str = "word", now: datetime = NOW) -> Call:
    found = store.lessons.press(lesson, **HERE, person="t1", word=word, now=now)
    assert found is not None
    return found


def waiting(store: Store, platform: str = "matrix", *, now: datetime = NOW) -> list[tuple[str, CallState]]:
    return [(call.lesson, call.state) for call in store.lessons.waiting(namespace="n", platform=platform, now=now)]


def test_two_hundred_who_press_at_once_start_one_call(store: Store) -> None:
    lesson, number = added(store), 200
    begin = Barrier(number)

    def press(who: int) -> Call | None:
        begin.wait()
        return store.lessons.press(lesson, **HERE, person=f"t{who}", word=f"word-{who}", now=NOW)

    with ThreadPoolExecutor(number) as people:
        found = set(people.map(press, range(number)))
    (call,) = found
    assert call is not None
    assert (call.lesson, call.class_id, call.title, call.until) == (lesson, "c1", "Algebra", NOW + HOUR + LATE)
    assert call == store.lessons.call(lesson, MATRIX)
    assert waiting(store) == [(lesson, CallState.WAITING)]


def test_nobody_starts_the_call_of_a_lesson_that_is_not_there(store: Store) -> None:
    lesson = added(store)
    assert store.lessons.press("nothing", **HERE, person="t1", word="w", now=NOW) is None
    assert store.lessons.press(lesson, namespace="n", district="e", person="t1", word="w", now=NOW) is None
    assert store.lessons.call(lesson, MATRIX) is None
    assert store.lessons.called(**HERE) == []


def test_what_is_said_again_is_there_once_and_what_is_said_no_more_goes(store: Store) -> None:
    assert said(store, lessons(("a", "c1", 1), ("b", "c2", 2))) == ["a", "b"]
    before = store.lessons.of_classes(["c1", "c2"], **HERE, since=NOW, until=NOW + KEPT)
    assert said(store, lessons(("b", "c2", 2), ("a", "c1", 1)), now=NOW + HOUR / 2) == []
    assert store.lessons.of_classes(["c1", "c2"], **HERE, since=NOW, until=NOW + KEPT).equals(before)
    assert said(store, lessons(("a", "c1", 3), ("c", "c2", 4))) == ["a", "c"]
    assert known(store) == [("c1", 3), ("c2", 4)]
    ids = store.lessons.of_classes(["c1"], **HERE, since=NOW, until=NOW + KEPT)["id"]
    assert ids.to_list() == before.filter(pl.col("class") == "c1")["id"].to_list()  # the page has the same address


def test_what_is_over_is_neither_added_nor_changed_nor_taken_out(store: Store) -> None:
    said(store, lessons(("a", "c1", 0), ("b", "c1", 5)))
    later = NOW + HOUR * 2
    assert said(store, lessons(("old", "c2", 1), ("b", "c1", 5)), now=later) == []
    assert said(store, lessons(("a", "c2", 0)), now=later) == []
    assert known(store) == [("c1", 0)]
    assert said(store, lessons(("a", "c2", 6)), now=later) == ["a"]  # put off: it is not over any more
    assert known(store) == [("c2", 6)]


def test_feeds_do_not_touch_each_others_lessons_nor_what_a_teacher_added(store: Store) -> None:
    mine = added(store, hours=9)
    said(store, lessons(("a", "c1", 1)))
    said(store, lessons(("a", "c1", 2)), feed="february")
    for person in ("t1", "t2"):
        imported(store, lessons(("a", "c2", 3)), person=person)
    assert known(store) == [("c1", 1), ("c1", 2), ("c2", 3), ("c2", 3), ("c1", 9)]
    said(store, lessons())
    imported(store, lessons(), person="t1")
    assert known(store) == [("c1", 2), ("c2", 3), ("c1", 9)]
    assert not store.lessons.remove(mine, **HERE, person="t2")
    assert store.lessons.remove(mine, **HERE, person="t1")
    assert not store.lessons.remove(mine, **HERE, person="t1")
    assert known(store) == [("c1", 2), ("c2", 3)]


def test_only_lessons_of_the_time_and_the_classes_asked_for_are_told(store: Store) -> None:
    said(store, lessons(("a", "c1", 0), ("b", "c1", 1), ("c", "c1", 2), ("d", "c3", 1)))
    found = store.lessons.of_classes(["c1"], **HERE, since=NOW + HOUR, until=NOW + HOUR * 2)
    assert found["begins"].to_list() == [NOW + HOUR]
    assert store.lessons.of_classes([], **HERE, since=NOW, until=NOW + KEPT).is_empty()
    assert store.lessons.of_classes(["c1"], namespace="n", district="e", since=NOW, until=NOW + KEPT).is_empty()
    assert store.lessons.taught(**HERE) == ["c1", "c3"]


def test_each_platform_tells_a_call_once(store: Store) -> None:
    call = pressed(store, added(store))
    store.lessons.note(call, CallState.HELD, platform="matrix", hold="9f3c1a-7k2m", now=NOW, epoch=1)
    held = store.lessons.call(call.lesson, MATRIX)
    assert held is not None
    assert (held.state, held.hold) == (CallState.HELD, "9f3c1a-7k2m")
    assert waiting(store) == [(call.lesson, CallState.HELD)]
    store.lessons.note(held, CallState.TOLD, platform="matrix", chat="chat", url="url", now=NOW, epoch=1)
    told = store.lessons.call(call.lesson, MATRIX)
    assert told is not None
    assert (told.state, told.chat, told.url, told.hold) == (CallState.TOLD, "chat", "url", None)
    store.lessons.note(told, CallState.NOWHERE, platform="matrix", now=NOW, epoch=1)
    assert store.lessons.call(call.lesson, MATRIX) == told
    assert waiting(store) == []
    assert waiting(store, "vk") == [(call.lesson, CallState.WAITING)]
    assert store.lessons.call(call.lesson, VK) == call


def test_a_call_outlasts_its_lesson_for_the_class(store: Store) -> None:
    lesson = added(store)
    pressed(store, lesson)
    store.lessons.remove(lesson, **HERE, person="t1")
    assert store.lessons.called(**HERE) == ["c1"]
    assert store.lessons.taught(**HERE) == []
    assert store.lessons.press(lesson, **HERE, person="t2", word="other", now=NOW) == store.lessons.call(lesson, MATRIX)


def test_calls_are_told_to_nobody_once_their_lesson_is_long_over_and_go_later(store: Store) -> None:
    call = pressed(store, added(store))
    store.lessons.note(call, CallState.NOWHERE, platform="matrix", now=NOW, epoch=1)
    assert waiting(store, now=call.until - HOUR / 60) == [(call.lesson, CallState.NOWHERE)]
    assert waiting(store, now=call.until) == []
    later = call.until + KEPT
    assert said(store, lessons(("a", "c2", 2000)), now=later) == ["a"]
    assert store.lessons.call(call.lesson, MATRIX) is None
    assert store.lessons.lesson(call.lesson, **HERE).is_empty()
    engine = sa.create_engine(store._engine.url)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(sa.func.count()).select_from(metadata.tables["call_told"])).scalar()
    engine.dispose()
    assert rows == 0


def test_who_leads_no_more_notes_nothing(store: Store) -> None:
    call = pressed(store, added(store))
    store.lessons.replace(lessons(("a", "c1", 1)), **HERE, by=LessonBy.RECORDS, feed="f", now=NOW, epoch=2)
    with pytest.raises(LostLeadershipError):
        store.lessons.note(call, CallState.HELD, platform="matrix", now=NOW, epoch=1)
    with pytest.raises(LostLeadershipError):
        said(store, lessons(("b", "c1", 2)))
    assert store.lessons.call(call.lesson, MATRIX) == call


def test_a_back_up_has_lessons_and_calls(store: Store, database: object, tmp_path: Path) -> None:
    assert callable(database)
    call = pressed(store, added(store))
    store.lessons.note(call, CallState.TOLD, platform="matrix", chat="chat", now=NOW, epoch=1)
    path = tmp_path / "backup.zip"
    with path.open("wb") as file:
        store.backup(file, at=NOW)
    with path.open("rb") as file:
        Store.restored(database("other"), tmp_path / "other", file)
    other = Store.open(database("other"), tmp_path / "other")
    assert other.lessons.call(call.lesson, MATRIX) == store.lessons.call(call.lesson, MATRIX)
    assert other.lessons.lesson(call.lesson, **HERE).equals(store.lessons.lesson(call.lesson, **HERE))
    other.close()

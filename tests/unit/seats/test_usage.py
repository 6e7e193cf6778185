"""Who uses the seats, and which may be reclaimed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples

from homeroom.api.common import Duration
from homeroom.seats.assignment import SEATS_SCHEMA, STUDENT
from homeroom.seats.usage import (
    LOGINS_SCHEMA,
    NOTICED_SCHEMA,
    TAUGHT_SCHEMA,
    Idle,
    active_since,
    idle,
    unused_since,
    usage_of_licences,
    usage_of_teachers,
)

TODAY = date(2026, 10, 1)
SINCE = date(2026, 7, 1)
LONG_AGO = date(2026, 1, 1)
DAY = timedelta(days=1)
NOTICE = timedelta(days=14)

unhurried = examples(50)


def seats(**held: str) -> pl.DataFrame:
    """Students and the licence by which each has held a seat for long."""
    rows = [("d", student, licence, LONG_AGO, None) for student, licence in held.items()]
    return pl.DataFrame(rows, SEATS_SCHEMA, orient="row")


def logins(**last: date) -> pl.DataFrame:
    """Accounts with their last login, which is their last use, too."""
    return pl.DataFrame([("d", person, day, day, True) for person, day in last.items()], LOGINS_SCHEMA, orient="row")


def never(*people: str, sure: bool = True) -> pl.DataFrame:
    """People with an account that was never used; not `sure`: and with one that could not be looked at."""
    return pl.DataFrame([("d", person, None, None, sure) for person in people], LOGINS_SCHEMA, orient="row")


def noticed(**first: date) -> pl.DataFrame:
    return pl.DataFrame([("d", student, day) for student, day in first.items()], NOTICED_SCHEMA, orient="row")


def found(held: pl.DataFrame, last: pl.DataFrame, before: pl.DataFrame, *, today: date = TODAY, most: int = 9) -> Idle:
    return idle(held, last, before, since=SINCE, today=today, notice=NOTICE, most=most)


@pytest.mark.parametrize(
    ("today", "after", "since"),
    [
        (date(2026, 10, 1), "3mo", date(2026, 7, 1)),
        (date(2026, 5, 31), "3mo", date(2026, 2, 28)),
        (date(2027, 1, 15), "3mo", date(2026, 10, 15)),
        (date(2026, 10, 1), "30d", date(2026, 9, 1)),
    ],
)
def test_r24_active_is_who_has_logged_in_during_the_last_months(today: date, after: str, since: date) -> None:
    assert active_since(today, Duration.parse(after)) == since


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(1, 60))
@unhurried
def test_so_many_months_after_that_day_is_not_after_today(today: date, months: int) -> None:
    after = Duration.parse(f"{months}mo")
    first = active_since(today, after)
    midnight = datetime(first.year, first.month, first.day, tzinfo=UTC)
    assert after.after(midnight).date() <= today < after.after(midnight + 4 * DAY).date()


def test_r3_r25_seats_used_and_how_many_of_the_students_are_active() -> None:
    held = seats(x="a", y="a", z="a", n="b")
    last = logins(x=SINCE, y=SINCE - DAY, n=TODAY, stranger=TODAY)
    assert usage_of_licences(held, last, since=SINCE).rows() == [("a", 3, 1, 1), ("b", 1, 1, 0)]
    assert usage_of_licences(seats(), last, since=SINCE).rows() == []


def test_the_last_of_several_accounts_counts() -> None:
    last = pl.concat([logins(x=LONG_AGO), logins(x=TODAY)])
    assert usage_of_licences(seats(x="a"), last, since=SINCE).rows() == [("a", 1, 1, 0)]


def test_work_without_a_new_login_is_use_and_never_is_not_unknown() -> None:
    known = logins(x=LONG_AGO).with_columns(used=TODAY)
    known = pl.concat([known, never("y")])
    held = seats(x="a", y="a", z="a")
    assert usage_of_licences(held, known, since=SINCE).rows() == [("a", 3, 1, 1)]
    assert found(held, known, noticed()).noticed["student"].to_list() == ["y"]


def test_who_is_not_known_about_is_neither_idle_nor_due_and_is_told_no_news() -> None:
    held = seats(x="a", y="a", z="a")
    before = noticed(x=LONG_AGO)
    assert found(held, logins(), before).noticed.equals(before)
    assert found(held, logins(), before).due.is_empty()
    partly = pl.concat([logins(x=LONG_AGO), never("x", sure=False), logins(y=TODAY), never("y", sure=False)])
    one = found(held, partly, before)
    assert (one.noticed.rows(), one.due.rows()) == (before.rows(), [])
    assert usage_of_licences(held, partly, since=SINCE).rows() == [("a", 3, 1, 2)]
    used = pl.concat([logins(x=TODAY), never("x", sure=False)])
    assert found(held, used, before).noticed.is_empty(), "use is use, whatever else could not be looked at"


def test_who_has_used_an_account_since_is_served_as_anybody_else() -> None:
    who = pl.DataFrame([("d", name) for name in "xyz"], dict.fromkeys(STUDENT, pl.String), orient="row")
    last = pl.concat([logins(x=SINCE, y=LONG_AGO)])
    assert unused_since(who, last, since=SINCE)["student"].sort().to_list() == ["y", "z"]


def test_r22_r23_last_login_of_a_teacher_and_the_share_of_active_students() -> None:
    taught = pl.DataFrame(
        [
            *(("a", "d", "t", student) for student in ("x", "y", "z", "waits")),
            ("a", "d", "u", "x"),
            ("a", "d", "v", None),
        ],
        TAUGHT_SCHEMA,
        orient="row",
    )
    last = pl.concat([logins(t=TODAY, x=TODAY, y=LONG_AGO, waits=TODAY), never("v")])
    assert usage_of_teachers(taught, seats(x="a", y="a", z="a"), last, since=SINCE).rows() == [
        ("a", "d", "t", True, TODAY, 3, 1, 1),
        ("a", "d", "u", False, None, 1, 1, 0),
        ("a", "d", "v", True, None, 0, 0, 0),
    ]


def test_who_never_logged_in_is_idle_once_the_seat_was_held_for_as_long() -> None:
    held = seats(x="a", y="a", z="a").with_columns(since=pl.Series([SINCE, SINCE - DAY, LONG_AGO]))
    last = pl.concat([logins(z=SINCE), never("x", "y")])
    assert found(held, last, noticed()).noticed.rows() == [("d", "y", TODAY)]


def test_a_seat_is_due_after_the_notice() -> None:
    held, last = seats(x="a", y="a"), never("x", "y")
    before = noticed(x=TODAY - NOTICE, y=TODAY - NOTICE + DAY)
    assert found(held, last, before).due.rows() == [("d", "x")]
    assert found(held, last, noticed()).due.rows() == []
    assert found(held, last, before).noticed.rows() == before.rows()


def test_a_login_ends_the_notice() -> None:
    used = found(seats(x="a"), logins(x=TODAY), noticed(x=LONG_AGO))
    assert (used.noticed.rows(), used.due.rows()) == ([], [])


def test_who_is_missed_anyway_is_not_idle() -> None:
    held = seats(x="a").with_columns(left=pl.lit(TODAY))
    assert found(held, never("x"), noticed(x=LONG_AGO)).noticed.rows() == []


def test_the_cap_takes_the_longest_unused() -> None:
    held = seats(x="a", y="a", z="a")
    before = noticed(x=LONG_AGO, y=LONG_AGO, z=LONG_AGO)
    last = pl.concat([logins(x=LONG_AGO + 2 * DAY, z=LONG_AGO + DAY), never("y")])
    assert found(held, last, before, most=2).due.rows() == [("d", "y"), ("d", "z")]
    assert found(held, last, before, most=0).due.rows() == []


_days = st.integers(0, 300).map(lambda days: TODAY - timedelta(days=days))
_by_student = st.dictionaries(st.sampled_from("stuvwxyz"), _days)


@given(_by_student, _by_student, _by_student, st.integers(0, 4))
@unhurried
def test_due_is_who_had_the_whole_notice_and_never_who_logged_in(
    held_since: dict[str, date], last: dict[str, date], before: dict[str, date], most: int
) -> None:
    held = seats(**dict.fromkeys(held_since, "a")).with_columns(since=pl.Series(held_since.values(), dtype=pl.Date))
    one = found(held, logins(**last), noticed(**before), most=most)
    unused = {student for student, day in held_since.items() if student in last and max(day, last[student]) < SINCE}
    told = {student: day for _, student, day in one.noticed.iter_rows()}
    unknown = held_since.keys() & before.keys() - last.keys()
    assert told == {student: before.get(student, TODAY) for student in unused | unknown}
    due = [student for _, student in one.due.iter_rows()]
    assert set(due) <= unused
    assert len(due) == min(most, sum(told[student] + NOTICE <= TODAY for student in unused))
    assert all(told[student] + NOTICE <= TODAY for student in due)
    later = found(held, logins(**last), one.noticed, most=most)
    assert later.noticed.equals(one.noticed)
    assert later.due.equals(one.due)

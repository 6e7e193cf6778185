"""When the seats run out: a line through the last weeks, continued."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples

from homeroom.seats.forecast import LEAST_DAYS, LOOKS_BACK, Forecast, Outlook, forecast, school_year

TODAY = date(2026, 11, 20)
ENDS = date(2027, 7, 31)
DAY = timedelta(days=1)

unhurried = examples(100)
_uses = st.lists(st.integers(0, 1000), min_size=21, max_size=56)
_none = date.max


def days(*used: int, until: date = TODAY) -> pl.DataFrame:
    """Use of the days that end with the last one."""
    first = until - (len(used) - 1) * DAY
    rows = [(first + number * DAY, count) for number, count in enumerate(used)]
    return pl.DataFrame(rows, {"day": pl.Date, "used": pl.Int64}, orient="row")


def found(*used: int, capacity: int = 1000) -> Forecast:
    return forecast(days(*used), capacity=capacity, today=TODAY)


@pytest.mark.parametrize(
    ("today", "year"),
    [
        (date(2026, 8, 1), (date(2026, 8, 1), date(2027, 7, 31))),
        (date(2027, 7, 31), (date(2026, 8, 1), date(2027, 7, 31))),
        (date(2027, 8, 1), (date(2027, 8, 1), date(2028, 7, 31))),
    ],
)
def test_a_school_year_begins_in_august(today: date, year: tuple[date, date]) -> None:
    assert school_year(today) == year


def test_even_growth_is_continued_to_the_day() -> None:
    one = found(*range(860, 901))
    assert (one.outlook, one.expected, one.earliest, one.latest) == (Outlook.EXPECTED, *[TODAY + 100 * DAY] * 3)
    assert (one.level, one.pace) == (900, 7)
    assert one.told == "about 2027-02-28; use grows by about 7.0 seats a week"


def test_uneven_growth_has_an_earliest_and_a_latest_day() -> None:
    used = [500 + number * 2 + (60 if number > 20 else 0) for number in range(41)]
    one = found(*used, capacity=800)
    assert one.expected is not None
    assert one.earliest is not None
    assert one.latest is not None
    assert one.earliest < one.expected < one.latest
    assert one.told.startswith(f"about {one.expected} (between {one.earliest} and {one.latest}); use grows by ")
    late = found(*used, capacity=1180)
    assert (late.expected is not None, late.latest) == (True, None)
    assert "perhaps not before the school year ends on 2027-07-31" in late.told


def test_one_wrong_day_moves_little() -> None:
    used = [*range(860, 901)]
    used[20] = 0
    one = found(*used)
    assert one.expected is not None
    assert abs(one.expected - (TODAY + 100 * DAY)) <= 3 * DAY


def test_without_growth_not_this_year() -> None:
    still, shrinking = found(*[900] * 40), found(*range(940, 900, -1))
    assert still.outlook is shrinking.outlook is Outlook.NOT_THIS_YEAR
    assert still.told == "not before the school year ends on 2027-07-31; use stays about as it is"
    assert shrinking.told.endswith("; use shrinks by about 7.0 seats a week")


def test_growth_that_is_too_slow_is_not_this_year() -> None:
    assert found(*range(40), capacity=9000).outlook is Outlook.NOT_THIS_YEAR


def test_full_is_full() -> None:
    assert found(*[1000] * 30).told == "all seats are in use today"
    assert found(*[0] * 30, capacity=0).outlook is Outlook.FULL


@pytest.mark.parametrize("used", [[], [5], [*range(LEAST_DAYS - 1)], [*range(20)]])
def test_too_few_days_say_nothing(used: list[int]) -> None:
    one = found(*used)
    assert (one.outlook, one.days, one.expected) == (Outlook.TOO_EARLY, len(used), None)
    assert one.told.startswith(f"not enough days yet: {len(used)} are known")


def test_days_long_ago_and_days_to_come_do_not_count() -> None:
    frame = days(*range(860, 901))
    old = days(5, until=TODAY - LOOKS_BACK)
    later = days(9999, until=TODAY + DAY)
    more = pl.concat([frame, old, later])
    assert forecast(more, capacity=1000, today=TODAY) == forecast(frame, capacity=1000, today=TODAY)


def when(day: date | None) -> date:
    """The day; a last one for never."""
    return day or _none


@given(_uses, st.integers(0, 1500), st.data())
@unhurried
def test_the_order_of_the_days_does_not_matter(used: list[int], capacity: int, data: st.DataObject) -> None:
    frame = days(*used)
    mixed = frame[data.draw(st.permutations(range(frame.height)))]
    assert forecast(mixed, capacity=capacity, today=TODAY) == forecast(frame, capacity=capacity, today=TODAY)


@given(_uses, st.integers(0, 1500), st.integers(0, 500))
@unhurried
def test_more_seats_or_less_use_never_make_it_sooner(used: list[int], capacity: int, more: int) -> None:
    one = found(*used, capacity=capacity)
    larger, emptier = found(*used, capacity=capacity + more), found(*(day - more for day in used), capacity=capacity)
    for other in (larger, emptier):
        assert (other.outlook is Outlook.FULL) <= (one.outlook is Outlook.FULL)
        if one.outlook is not Outlook.FULL:
            for name in ("expected", "earliest", "latest"):
                assert when(getattr(other, name)) >= when(getattr(one, name))


@given(_uses, st.integers(0, 1500))
@unhurried
def test_days_are_in_order_within_the_year_and_yet_to_come(used: list[int], capacity: int) -> None:
    one = found(*used, capacity=capacity)
    assert one.slow <= one.pace <= one.fast
    assert when(one.earliest) <= when(one.expected) <= when(one.latest)
    for day in (one.earliest, one.expected, one.latest):
        assert day is None or TODAY < day <= ENDS == one.ends
    assert (one.outlook is Outlook.EXPECTED) == (one.expected is not None)
    assert one.told

"""When all seats will be in use, from how many were on each day. Pure; in words for people: docs/usage.md.

::

    days of use --the last eight weeks--> pace: the median of all changes between two days --continued--> day of "full"

The line is Theil's and Sen's: of all pairs of days that are at least a week apart, the change per day; half of them are
below the pace, half above. A school that arrives on one day, or a night without records, moves it little. The quarter
of the pairs that grew slowest, and the one that grew fastest, make the latest and the earliest day. Neighbour:
`homeroom.store.use`, which keeps the days.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from math import ceil
from typing import Final

import polars as pl

LOOKS_BACK: Final = timedelta(days=56)
"""What is older says little: a school year begins in jumps."""
LEAST_DAYS: Final = 14
"""Fewer days of use say nothing."""
LEAST_SPAN: Final = timedelta(days=20)
"""Nor do days that lie within three weeks: it may be the holidays."""
_APART: Final = 7
"""Days between two that are compared: on a weekend nobody comes."""
_BEGINS: Final = 8
"""The month in which a school year begins, as in `homeroom.roster.years`."""


class Outlook(StrEnum):
    """What can be said."""

    TOO_EARLY = "TooEarly"  # not enough days are known yet
    FULL = "Full"  # all are in use today
    NOT_THIS_YEAR = "NotThisYear"  # not before the school year ends, as it goes now
    EXPECTED = "Expected"  # on a day of this school year


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When all seats will be in use. `ends`: the last day that was looked at, that of the school year.

    `level`: seats in use today by the line. `pace`: seats more per week; `slow`, `fast`: a quarter of all weeks was
    slower, or faster. `expected`, `earliest`, `latest`: days, None: not before `ends`. Where it is `TooEarly` nothing
    of this is known, and `days` says how many days are.
    """

    outlook: Outlook
    days: int
    ends: date
    level: float = 0.0
    pace: float = 0.0
    slow: float = 0.0
    fast: float = 0.0
    expected: date | None = None
    earliest: date | None = None
    latest: date | None = None

    @property
    def told(self) -> str:
        """Words for people."""
        match self.outlook:
            case Outlook.TOO_EARLY:
                return f"not enough days yet: {self.days} are known, {LEAST_DAYS} over three weeks are needed"
            case Outlook.FULL:
                return "all seats are in use today"
            case _:
                return f"{self._when}; {self._trend}"

    @property
    def brief(self) -> str:
        """The same for a cell of a table."""
        match self.outlook:
            case Outlook.TOO_EARLY:
                return "too early to say"
            case Outlook.FULL:
                return "today"
            case _:
                return "not this year" if self.expected is None else f"about {self.expected}"

    @property
    def _when(self) -> str:
        year = f"not before the school year ends on {self.ends}"
        if self.expected is None:
            return (
                f"{year}, unless it grows as in the fastest weeks: then about {self.earliest}"
                if self.earliest
                else year
            )
        if self.latest is None:
            return f"about {self.expected} (not before {self.earliest}, and perhaps {year})"
        if self.earliest == self.latest:
            return f"about {self.expected}"
        return f"about {self.expected} (between {self.earliest} and {self.latest})"

    @property
    def _trend(self) -> str:
        if round(self.pace, 1) == 0:
            return "use stays about as it is"
        return f"use {'grows' if self.pace > 0 else 'shrinks'} by about {abs(self.pace):.1f} seats a week"


def school_year(today: date) -> tuple[date, date]:
    """First and last day of the school year in which a day lies."""
    began = date(today.year - (today.month < _BEGINS), _BEGINS, 1)
    return began, date(began.year + 1, _BEGINS, 1) - timedelta(days=1)


def forecast(days: pl.DataFrame, *, capacity: int, today: date) -> Forecast:
    """When all seats will be in use. `days` [day, used, ...]: in any order, no day twice; those to come do not count.

    `capacity`: how many seats there are today. More of them, or fewer in use on each day, never make it sooner.
    """
    _, ends = school_year(today)
    recent = days.filter(pl.col("day") <= today, pl.col("day") > today - LOOKS_BACK).select("day", "used").sort("day")
    span = (recent["day"].item(-1) - recent["day"].item(0)) if recent.height else timedelta()
    if recent.height < LEAST_DAYS or span < LEAST_SPAN:
        return Forecast(outlook=Outlook.TOO_EARLY, days=recent.height, ends=ends)
    points = recent.select(x=-(pl.lit(today) - pl.col("day")).dt.total_days(), y="used")
    change = (pl.col("y_right") - pl.col("y")) / (pl.col("x_right") - pl.col("x"))
    pairs = points.join_where(points, pl.col("x_right") - pl.col("x") >= _APART).select(change.alias("change"))
    slow, pace, fast = (float(pairs["change"].quantile(at, "linear") or 0.0) for at in (0.25, 0.5, 0.75))
    level = float(points.select((pl.col("y") - pace * pl.col("x")).median()).item())
    now = int(recent["used"].item(-1))
    found = Forecast(
        outlook=Outlook.FULL,
        days=recent.height,
        ends=ends,
        level=level,
        pace=7 * pace,
        slow=7 * slow,
        fast=7 * fast,
    )
    if now >= capacity:
        return found
    left = capacity - max(level, now)  # today's use may be above the line; nobody has left for that
    expected, earliest, latest = (_day(today, left, one, (ends - today).days) for one in (pace, fast, slow))
    return replace(
        found,
        outlook=Outlook.NOT_THIS_YEAR if expected is None else Outlook.EXPECTED,
        expected=expected,
        earliest=earliest,
        latest=latest,
    )


def _day(today: date, left: float, per_day: float, horizon: int) -> date | None:
    """When `left` seats are taken, so many a day; None: not within the days of the `horizon`."""
    if left > per_day * horizon or per_day <= 0:
        return None
    return today + timedelta(days=max(1, ceil(left / per_day)))

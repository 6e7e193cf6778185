"""A calendar file (iCalendar, RFC 5545) -> the lessons that it says. Pure.

::

    bytes --> only the lines that lessons need --> `icalendar` --> entries --> one lesson for each time that they happen

The file is a stranger's. What is not needed is taken out before the library sees it: blocks of time zones above all, as
it would work through their rules and remember them for everybody. Rules of repetition are walked through day by day,
from the first day that matters on, and for so many days in all: no rule takes longer, however it was made to.
Neighbours: `lessons` (the pages).
"""

from __future__ import annotations

import calendar
import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Final

import icalendar
import polars as pl

from homeroom.chats.calls import HORIZON, LONGEST
from homeroom.chats.identity import plain
from homeroom.errors import InvalidSpecError
from homeroom.plan import MOMENT

SIZE: Final = 512 * 1024
"""Bytes of a file."""
ENTRIES: Final = 1000
"""Entries of a file."""
LESSONS: Final = 1000
"""Lessons that one file may say."""
TITLE: Final = 100
"""Characters of a title; what is more is cut off."""

SAID_SCHEMA: Final = pl.Schema(
    {"feed": pl.String(), "key": pl.String(), "begins": MOMENT, "ends": MOMENT, "title": pl.String()}
)
"""Lessons of a file. `feed`: the calendar by what it calls itself, or the entry, where it does not. `key`: the same
again when the file comes again, also for a lesson that was moved. `title`: may be empty."""

_STEPS: Final = 200_000
"""Days that are looked at for all rules of a file: some tenths of a second."""
_LONG: Final = 20_000
"""Characters of a line, also one that lists the days on which there is no lesson."""
_OF_AN_ENTRY: Final = frozenset(
    {
        "DTSTART",
        "DTEND",
        "DURATION",
        "RRULE",
        "RDATE",
        "EXDATE",
        "RECURRENCE-ID",
        "UID",
        "SUMMARY",
        "STATUS",
        "SEQUENCE",
    }
)
_OF_A_CALENDAR: Final = ("UID", "X-WR-RELCALID", "X-WR-CALNAME", "NAME")
"""By what a calendar calls itself, the best one first."""
_LINE: Final = re.compile(r"([A-Za-z0-9-]+)[;:]")
_DAYS: Final = {name: number for number, name in enumerate(("MO", "TU", "WE", "TH", "FR", "SA", "SU"))}
_DAY: Final = re.compile(r"([+-]?[1-5])?(MO|TU|WE|TH|FR|SA|SU)")
_PARTS: Final = {
    "DAILY": {"BYDAY"},
    "WEEKLY": {"BYDAY"},
    "MONTHLY": {"BYDAY", "BYMONTHDAY"},
}
"""Rules that are read, and what they may say beside how often and how long. Lessons have no others."""
_ALWAYS: Final = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST"}


class Fault(StrEnum):
    """Why a file was refused as a whole."""

    SIZE = "Size"
    NO_CALENDAR = "NoCalendar"
    ENTRIES = "Entries"
    LESSONS = "Lessons"
    NOTHING = "Nothing"


class Left(StrEnum):
    """Why an entry was left out: all of a day; no end, or one too late; a rule, or a time zone, that is not read."""

    DAY = "Day"
    LENGTH = "Length"
    RULE = "Rule"
    ZONE = "Zone"


class CalendarError(InvalidSpecError):
    """The file is not taken. The message has nothing of it."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"the calendar file is not taken: {fault.value}")
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a file says. `feeds`: all that it speaks of, also those that have no lesson any more.

    `lessons`: columns SAID_SCHEMA, the next first. `left`: entries that are not among them.
    """

    feeds: Sequence[str]
    lessons: pl.DataFrame
    left: Mapping[Left, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """An entry that can be a lesson. `start`: of the first one, in the entry's own time zone.

    `more`, `less`: when else it happens, and when it does not. `instead_of`: the one lesson of the series of which this
    tells something else, by when that would have begun. Moments that are only compared are in UTC.
    """

    start: datetime
    length: timedelta
    title: str
    cancelled: bool
    rule: _Rule | None
    more: Sequence[datetime]
    less: frozenset[datetime]
    less_days: frozenset[date]
    instead_of: datetime | None

    def starts(self, walk: _Walk) -> Iterator[datetime]:
        """When it begins, each time that may matter, in its own time zone; some may come twice."""
        if self.rule is None:
            yield self.start
        else:
            yield from self.rule.starts(self.start, walk)
        yield from self.more


@dataclass(slots=True)
class _Series:
    """The entries that call themselves the same: `usual`, and what is said of single ones of its lessons."""

    usual: _Entry | None = None
    instead: dict[datetime, _Entry] = field(default_factory=dict)
    unread: bool = False

    def times(self, walk: _Walk) -> Iterator[tuple[datetime, datetime, _Entry]]:
        """When each was meant to begin, and when it begins (both in UTC), by which entry."""
        found: dict[datetime, tuple[datetime, _Entry]] = {}
        if self.usual is not None:
            for start in self.usual.starts(walk):
                instant = start.astimezone(UTC)
                if instant not in self.usual.less and start.date() not in self.usual.less_days:
                    found[instant] = instant, self.usual
        found |= {instant: (entry.start.astimezone(UTC), entry) for instant, entry in self.instead.items()}
        for instant, (begins, entry) in found.items():
            yield instant, begins, entry


@dataclass(slots=True, kw_only=True)
class _Walk:
    """What matters is between `first` and `last`; `steps`: days that may still be looked at."""

    first: datetime
    last: datetime
    steps: int = _STEPS

    def days(self, start: date, *, whole: bool) -> Iterator[date]:
        """Days on which something may begin; with `whole` from `start` on. Raises CalendarError after too many."""
        margin = timedelta(days=2)  # time zones, and what lasts over midnight
        day = start if whole else max(start, (self.first - margin).date())
        while day <= (self.last + margin).date():
            self.steps -= 1
            if not self.steps:
                raise CalendarError(Fault.LESSONS)
            yield day
            day += timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """How an entry repeats. `until`: a day, or a moment. `days`: weekday, and which of the month (0: each)."""

    every: str
    interval: int
    count: int | None
    until: date | None
    week: int
    days: frozenset[tuple[int, int]]
    month_days: frozenset[int]

    def starts(self, start: datetime, walk: _Walk) -> Iterator[datetime]:
        """When it begins, by the clock of `start`; the first one counts whether the rule has it or not."""
        number = 0
        for day in walk.days(start.date(), whole=self.count is not None):
            if day != start.date() and not self._has(day, start.date()):
                continue
            number += 1
            moment = start.replace(year=day.year, month=day.month, day=day.day)
            if (self.count is not None and number > self.count) or self._over(moment):
                return
            yield moment

    def _over(self, moment: datetime) -> bool:
        if self.until is None:
            return False
        if not isinstance(self.until, datetime):
            return moment.date() > self.until
        return moment > (self.until if self.until.tzinfo is not None else self.until.replace(tzinfo=moment.tzinfo))

    def _has(self, day: date, start: date) -> bool:
        weekdays = {weekday for weekday, _ in self.days}
        if self.every == "DAILY":
            return (day - start).days % self.interval == 0 and (not self.days or day.weekday() in weekdays)
        if self.every == "WEEKLY":
            weeks = (self._week_of(day) - self._week_of(start)).days // 7
            return weeks % self.interval == 0 and day.weekday() in (weekdays or {start.weekday()})
        if ((day.year - start.year) * 12 + day.month - start.month) % self.interval:
            return False
        if not self.days and not self.month_days:
            return day.day == start.day
        left = calendar.monthrange(day.year, day.month)[1] - day.day
        which = {0, (day.day - 1) // 7 + 1, -(left // 7 + 1)}
        on_weekday = any(weekday == day.weekday() and nth in which for weekday, nth in self.days)
        on_day = not self.month_days.isdisjoint({day.day, -left - 1})
        return (on_weekday or not self.days) and (on_day or not self.month_days)

    def _week_of(self, day: date) -> date:
        return day - timedelta(days=(day.weekday() - self.week) % 7)


def lessons_in(content: bytes, *, zone: tzinfo, now: datetime) -> Said:
    """What a calendar file says of lessons between `now` and HORIZON later.

    `zone`: of times that name none. Raises CalendarError when there is nothing to be taken, or far too much.
    """
    if len(content) > SIZE:
        raise CalendarError(Fault.SIZE)
    name, cancels, text = _sieved(content)
    found, left = _series(text, zone=zone, cancels=cancels)
    # What cannot be read says nothing, also not that something is gone.
    found = {uid: series for uid, series in found.items() if not series.unread and (series.usual or series.instead)}
    feeds = {uid: _digest(name or uid, "calendar" if name else "entry") for uid in found}
    rows, cancelled, walk = [], False, _Walk(first=now, last=now + HORIZON)
    for uid, series in found.items():
        for instant, begins, entry in series.times(walk):
            cancelled |= entry.cancelled
            ends = begins + entry.length
            if not entry.cancelled and walk.first < ends and begins < walk.last:
                rows.append((feeds[uid], f"{uid} {instant.isoformat()}", begins, ends, entry.title))
            if len(rows) > LESSONS:
                raise CalendarError(Fault.LESSONS)
    if not rows and not cancelled:
        # A file without lessons does not say that those are gone that one before it said.
        raise CalendarError(Fault.NOTHING)
    lessons = pl.DataFrame(rows, schema=SAID_SCHEMA, orient="row").with_columns(plain(pl.col("title")).str.head(TITLE))
    return Said(feeds=sorted(set(feeds.values())), lessons=lessons.sort("begins", "key"), left=left)


def _series(text: str, *, zone: tzinfo, cancels: bool) -> tuple[dict[str, _Series], Counter[Left]]:
    """The entries by what they call themselves, and how many are left out."""
    found: dict[str, _Series] = {}
    left: Counter[Left] = Counter()
    for event in _events(text):
        entry = _entry(event, zone=zone, cancels=cancels)
        series = found.setdefault(_uid(event), _Series())
        if isinstance(entry, Left):
            left[entry] += 1
            # Without it the times of the others would be wrong.
            series.unread |= entry is Left.RULE
        elif entry.instead_of is None:
            series.usual = entry
        else:
            series.instead[entry.instead_of] = entry
    return found, left


def _sieved(content: bytes) -> tuple[str, bool, str]:
    """What the calendar calls itself, whether it takes back what it says, and its entries: lines that are needed."""
    try:
        text = re.sub(r"\r?\n[ \t]", "", content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise CalendarError(Fault.NO_CALENDAR) from error
    said: dict[str, str] = {}
    kept, within = ["BEGIN:VCALENDAR"], list[str]()
    for line in text.splitlines():  # wherever anybody may see the end of a line
        named = _LINE.match(line)
        if named is None:
            continue
        word, value = named[1].upper(), line.partition(":")[2].strip()
        if word == "BEGIN":
            within.append(value.upper())
        if within == ["VCALENDAR"]:
            said.setdefault(word, value)
        elif within == ["VCALENDAR", "VEVENT"]:
            kept.extend([f"{word}:VEVENT"] if word in {"BEGIN", "END"} else [line] if word in _OF_AN_ENTRY else [])
        if word == "END" and within:
            within.pop()
    entries = kept.count("BEGIN:VEVENT")
    if not entries or max(map(len, kept)) > _LONG:
        raise CalendarError(Fault.NO_CALENDAR)
    if entries > ENTRIES:
        raise CalendarError(Fault.ENTRIES)
    name = next((said[word] for word in _OF_A_CALENDAR if said.get(word)), "")
    # The last line matters, too: a text of one line the library would take for the name of a file.
    return name, said.get("METHOD", "").upper() == "CANCEL", "\r\n".join([*kept, "END:VCALENDAR", ""])


def _events(text: str) -> list[icalendar.Event]:
    """The entries; of two that are the same one, the newer comes later."""
    try:
        read = icalendar.Calendar.from_ical(text)
        events = [event for event in read.walk("VEVENT") if isinstance(event, icalendar.Event)]
        return sorted(events, key=lambda event: event.sequence)
    except Exception as error:  # whatever a library makes of a file that was made to harm
        raise CalendarError(Fault.NO_CALENDAR) from error


def _uid(event: icalendar.Event) -> str:
    """The entry by what it calls itself; one that has no name is another one when anything of it changes."""
    return _digest(*(str(event.get(name, "")) for name in (("UID",) if event.get("UID") else sorted(_OF_AN_ENTRY))))


def _entry(event: icalendar.Event, *, zone: tzinfo, cancels: bool) -> _Entry | Left:
    """The entry as a lesson, or why it is none."""
    try:
        start, end = event.start, event.end
    except Exception:  # noqa: BLE001 - as in `_events`
        return Left.LENGTH
    if not isinstance(start, datetime) or not isinstance(end, datetime):
        return Left.DAY
    if start.tzinfo is None and "TZID" in event["DTSTART"].params:
        return Left.ZONE
    try:
        start, end = _at(start, zone), _at(end, zone)
        length = end.astimezone(UTC) - start.astimezone(UTC)
        if not timedelta() < length <= LONGEST:
            return Left.LENGTH
        given = event.get("RRULE")
        less = list(_moments(event, "EXDATE"))
        instead = event.get("RECURRENCE-ID")
        if instead is not None and "RANGE" in instead.params:
            return Left.RULE
        return _Entry(
            start=start,
            length=length,
            title=str(event.get("SUMMARY", "")),
            cancelled=cancels or str(event.get("STATUS", "")).upper() == "CANCELLED",
            rule=None if given is None else _rule(given),
            more=[_at(_moment(one), zone).astimezone(UTC) for one in _moments(event, "RDATE")],
            less=frozenset(_at(one, zone).astimezone(UTC) for one in less if isinstance(one, datetime)),
            less_days=frozenset(one for one in less if isinstance(one, date) and not isinstance(one, datetime)),
            instead_of=None if instead is None else _at(_moment(instead.dt), zone).astimezone(UTC),
        )
    except Exception:  # noqa: BLE001 - as in `_events`
        return Left.RULE


def _moments(event: icalendar.Event, name: str) -> Iterator[object]:
    given = event.get(name, [])
    for some in given if isinstance(given, list) else [given]:
        for one in some.dts:
            yield one.dt


def _moment(value: object) -> datetime:
    """Raises TypeError for what is no moment, such as a day or a period."""
    if not isinstance(value, datetime):
        raise TypeError
    return value


def _at(moment: datetime, zone: tzinfo) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)


def _rule(given: object) -> _Rule:
    """Raises TypeError for what is no rule, ValueError or LookupError for one that lessons do not have."""
    if not isinstance(given, icalendar.vRecur):
        raise TypeError
    said = {str(name).upper(): value for name, value in given.items()}
    (every,) = (str(value) for value in said["FREQ"])
    if every not in _PARTS or not said.keys() <= _ALWAYS | _PARTS[every]:
        raise ValueError
    days = [_DAY.fullmatch(str(day)) for day in said.get("BYDAY", [])]
    pairs = frozenset((_DAYS[day[2]], int(day[1] or 0)) for day in days if day is not None)
    month_days = frozenset(int(day) for day in said.get("BYMONTHDAY", []))
    interval, count = (int(said.get(name, [default])[0]) for name, default in (("INTERVAL", 1), ("COUNT", 0)))
    if None in days or interval < 1 or count < 0 or (every != "MONTHLY" and any(nth for _, nth in pairs)):
        raise ValueError
    return _Rule(
        every=every,
        interval=interval,
        count=count or None,
        until=said.get("UNTIL", [None])[0],
        week=_DAYS[str(said.get("WKST", ["MO"])[0])],
        days=pairs,
        month_days=month_days,
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

"""What a calendar file says of lessons: as calendars mean it, by the clocks that they name, and never for long."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from unittest import mock
from zoneinfo import ZoneInfo

import icalendar
import pytest
from dateutil import rrule
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.unit.roster.rosters import unhurried

from homeroom.chats.calls import HORIZON
from homeroom.web import calendars
from homeroom.web.calendars import CalendarError, Fault, Left, lessons_in

NOW = datetime(2026, 10, 1, 8, 0, tzinfo=UTC)
STOCKHOLM = ZoneInfo("Europe/Stockholm")


def entry(*lines: str, uid: str = "1", begins: str = "20261005T090000", length: str = "PT45M") -> str:
    return "\n".join(
        ["BEGIN:VEVENT", f"UID:{uid}", f"DTSTART:{begins}", f"DURATION:{length}", *lines, "END:VEVENT", ""]
    )


def said(*entries: str, head: str = "") -> calendars.Said:
    text = f"BEGIN:VCALENDAR\nVERSION:2.0\n{head}{''.join(entries)}END:VCALENDAR\n"
    return lessons_in(text.encode(), zone=STOCKHOLM, now=NOW)


def starts(*entries: str, head: str = "") -> list[str]:
    """When lessons begin, by the clock of Stockholm."""
    begins = said(*entries, head=head).lessons["begins"]
    return [moment.astimezone(STOCKHOLM).strftime("%m-%d %H:%M") for moment in begins]


def test_a_series_goes_by_its_clock_whatever_summer_does() -> None:
    assert starts(entry("RRULE:FREQ=WEEKLY;UNTIL=20261109T080000Z", begins="20261019T090000")) == [
        "10-19 09:00",
        "10-26 09:00",  # winter time
        "11-02 09:00",
        "11-09 09:00",
    ]
    there = entry("RRULE:FREQ=WEEKLY;COUNT=3").replace("DTSTART:20261005", "DTSTART;TZID=America/New_York:20261019")
    assert starts(there) == ["10-19 15:00", "10-26 14:00", "11-02 15:00"]  # a week of its own between the two


@pytest.mark.parametrize(
    ("begins", "hour"),
    [
        ("DTSTART:20261005T090000", "09:00"),
        ("DTSTART:20261005T090000Z", "11:00"),
        ("DTSTART;TZID=Europe/London:20261005T090000", "10:00"),
        ('DTSTART;TZID="W. Europe Standard Time":20261005T090000', "09:00"),
    ],
)
def test_a_time_is_of_the_zone_that_it_names_or_else_of_the_district(begins: str, hour: str) -> None:
    assert starts(entry().replace("DTSTART:20261005T090000", begins)) == [f"10-05 {hour}"]


def test_a_file_cannot_say_what_a_time_zone_is() -> None:
    zone = "BEGIN:VTIMEZONE\nTZID:{}\nBEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0900\nTZOFFSETTO:+0900\n"
    zone += "RRULE:FREQ=SECONDLY\nEND:STANDARD\nEND:VTIMEZONE\n"
    for name in ("Europe/London", "Ours"):
        lesson = entry().replace("DTSTART", f"DTSTART;TZID={name}")
        if name == "Ours":
            found = said(entry(uid="2"), lesson, head=zone.format(name))
            assert (found.lessons.height, found.left) == (1, {Left.ZONE: 1})
        else:
            assert starts(lesson, head=zone.format(name)) == ["10-05 10:00"]


def test_what_is_said_of_single_lessons_of_a_series_counts() -> None:
    series = entry("RRULE:FREQ=DAILY;COUNT=6", "EXDATE:20261006T090000", "RDATE:20261020T120000Z", "SUMMARY:usual")
    moved = entry("RECURRENCE-ID:20261007T090000", "SUMMARY:moved", begins="20261007T130000")
    gone = entry("RECURRENCE-ID:20261008T090000", "STATUS:CANCELLED", begins="20261008T090000")
    found = said(series, gone, moved).lessons
    assert starts(moved, series, gone) == ["10-05 09:00", "10-07 13:00", "10-09 09:00", "10-10 09:00", "10-20 14:00"]
    assert found["title"].to_list() == ["usual", "moved", "usual", "usual", "usual"]
    # A lesson that is moved is the same lesson.
    assert set(found["key"]) <= set(said(series.replace("EXDATE:20261006T090000\n", "")).lessons["key"])
    assert starts(entry("RRULE:FREQ=DAILY;COUNT=2", "EXDATE;VALUE=DATE:20261006")) == ["10-05 09:00"]


def test_of_two_versions_the_newer_one_counts() -> None:
    old, new = entry("SEQUENCE:1"), entry("SEQUENCE:2", begins="20261006T090000")
    assert starts(old, new) == starts(new, old) == ["10-06 09:00"]


def test_a_series_whose_changes_cannot_be_read_is_left_out_as_a_whole() -> None:
    series = entry("RRULE:FREQ=DAILY;COUNT=3")
    later = entry("RECURRENCE-ID;RANGE=THISANDFUTURE:20261006T090000", begins="20261006T150000")
    found = said(series, later, entry(uid="2"))
    assert (found.lessons.height, found.left) == (1, {Left.RULE: 1})
    assert found.feeds == said(entry(uid="2")).feeds  # nor does it take away what was said before


def test_only_what_lies_between_now_and_the_horizon_is_taken() -> None:
    running = entry(uid="2", begins="20261001T073000Z")
    assert starts(entry(begins="20261001T071000Z"), running, entry(uid="3", begins="20271002T080000Z")) == [
        "10-01 09:30"
    ]
    every = said(entry("RRULE:FREQ=WEEKLY", begins="20190107T090000")).lessons["begins"]
    assert NOW < every[0] < NOW + timedelta(days=7)
    assert NOW + HORIZON - timedelta(days=7) < every[-1] < NOW + HORIZON


def test_a_calendar_is_known_by_what_it_calls_itself_and_else_each_entry() -> None:
    both = (entry(), entry(uid="2"))
    for head in ("X-WR-CALNAME:5a\n", "UID:5a\n", "NAME:5a\n"):
        assert len(said(*both, head=head).feeds) == 1
    assert said(entry(), head="X-WR-CALNAME:5a\n").feeds != said(entry(), head="X-WR-CALNAME:5b\n").feeds
    alone = said(*both).feeds
    assert len(alone) == 2
    assert set(said(entry(begins="20261011T090000")).feeds) < set(alone)


def test_titles_are_plain_text_of_bounded_length() -> None:
    (title,) = said(entry("SUMMARY:Maths\\, part\\n1\u202e " + "x" * 300)).lessons["title"]
    assert title.startswith("Maths, part 1 x")
    assert len(title) == 100


@pytest.mark.parametrize(
    ("lesson", "left"),
    [
        ("UID:2\nDTSTART;VALUE=DATE:20261005", Left.DAY),
        ("UID:2\nDTSTART:20261005T090000", Left.LENGTH),
        ("UID:2\nDTSTART:20261005T090000\nDTEND:20261005T080000", Left.LENGTH),
        ("UID:2\nDTSTART:20261005T090000\nDURATION:PT13H", Left.LENGTH),
        ("UID:2\nDTEND:20261005T090000", Left.LENGTH),
        ("UID:2\nDTSTART:yesterday\nDURATION:PT1H", Left.LENGTH),
        *(
            (f"UID:2\nDTSTART:20261005T090000\nDURATION:PT1H\n{more}", Left.RULE)
            for more in (
                "RRULE:FREQ=SECONDLY",
                "RRULE:FREQ=MINUTELY;INTERVAL=1",
                "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
                "RRULE:FREQ=DAILY;BYHOUR=1,2,3",
                "RRULE:FREQ=WEEKLY;BYDAY=1MO",
                "RRULE:FREQ=WEEKLY;INTERVAL=0",
                "RRULE:FREQ=WEEKLY;INTERVAL=x",
                "RRULE:FREQ=WEEKLY;COUNT=-1",
                "RRULE:FREQ=WEEKLY\nRRULE:FREQ=DAILY",
                "RRULE:nonsense",
                "RDATE;VALUE=PERIOD:20261005T090000Z/PT1H",
                "RECURRENCE-ID;VALUE=DATE:20261005",
            )
        ),
    ],
)
def test_entries_that_are_no_lessons_are_left_out_and_counted(lesson: str, left: Left) -> None:
    found = said(entry(), f"BEGIN:VEVENT\n{lesson}\nEND:VEVENT\n")
    assert (found.lessons.height, found.left) == (1, {left: 1})


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", Fault.NO_CALENDAR),
        (b"/etc/passwd", Fault.NO_CALENDAR),
        (b"\xff\xfe", Fault.NO_CALENDAR),
        (b"BEGIN:VEVENT\nEND:VEVENT\n", Fault.NO_CALENDAR),
        (b"BEGIN:VCALENDAR\nBEGIN:VTODO\nBEGIN:VEVENT\n", Fault.NO_CALENDAR),
        (b"BEGIN:VCALENDAR\n" + b"BEGIN:VEVENT\n" * 30_000, Fault.NO_CALENDAR),
        (b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:" + b"x" * 20_000, Fault.NO_CALENDAR),
        (b"BEGIN:VCALENDAR\n" + entry().encode() * 1001 + b"END:VCALENDAR\n", Fault.ENTRIES),
        (b"x" * (512 * 1024 + 1), Fault.SIZE),
        (b"BEGIN:VCALENDAR\n" + entry(begins="20200101T090000").encode() + b"END:VCALENDAR\n", Fault.NOTHING),
        (
            b"BEGIN:VCALENDAR\n"
            + b"".join(entry("RRULE:FREQ=DAILY", uid=str(number)).encode() for number in range(3))
            + b"END:VCALENDAR\n",
            Fault.LESSONS,
        ),
    ],
)
def test_what_is_no_calendar_or_too_much_is_refused(content: bytes, fault: Fault) -> None:
    with pytest.raises(CalendarError) as refused:
        lessons_in(content, zone=STOCKHOLM, now=NOW)
    assert refused.value.fault is fault


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;COUNT=2000000000",  # for centuries before anything matters
        "FREQ=DAILY;INTERVAL=7;BYDAY=TU;COUNT=5",  # never
        "FREQ=MONTHLY;BYMONTHDAY=31;INTERVAL=12;COUNT=3",
    ],
)
def test_no_rule_is_worked_at_for_long(rule: str) -> None:
    """All rules of a file together are walked through for so many days, and then it is refused."""
    many = [entry(f"RRULE:{rule}", uid=str(number), begins="14000203T090000") for number in range(50)]
    with pytest.raises(CalendarError) as refused:
        said(*many)
    assert refused.value.fault is Fault.LESSONS


def test_the_library_never_sees_what_is_not_needed() -> None:
    seen = []
    real = icalendar.Calendar.from_ical

    def spy(text: str) -> object:
        seen.append(text)
        return real(text)

    hidden = (
        "BEGIN:VALARM\nTRIGGER:-PT1H\nEND:VALARM\nATTACH:file:///etc/passwd\nX-OWN:1\nORGANIZER:mailto:a@b.example\n"
    )
    hidden += "SUMMARY:x\x0bBEGIN:VTIMEZONE\u2028ATTACH:x\x85END:VTIMEZONE\n"
    with mock.patch.object(icalendar.Calendar, "from_ical", spy):
        said(entry(hidden.rstrip()), head="BEGIN:VTIMEZONE\nTZID:x\nEND:VTIMEZONE\n")
    (text,) = seen
    assert not [word for word in ("VALARM", "TRIGGER", "ATTACH", "X-OWN", "ORGANIZER", "VTIMEZONE") if word in text]


BITS = (
    *(
        "\r\n",
        "\r\n ",
        ":",
        ";",
        "=",
        ",",
        '"',
        "\\",
        "\x00",
        "BEGIN:",
        "END:",
        "VEVENT",
        "TZID=",
        "VALUE=DATE",
        "9999",
        "0001",
    ),
    *(
        "VALUE=PERIOD",
        "RRULE:",
        "FREQ=MONTHLY",
        "INTERVAL=",
        "BYDAY=",
        "UNTIL=",
        "RECURRENCE-ID",
        "RDATE:",
        "-PT1H",
        "P1D",
    ),
    *("20261005T090000", "20261005T090000Z/PT1H", "99999999999999999999", "Europe", "/etc/passwd"),
)


@given(
    bits=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 20), st.sampled_from(BITS)), min_size=1, max_size=12)
)
@unhurried
def test_whatever_is_in_a_file_it_is_read_or_refused(bits: list[tuple[int, int, str]]) -> None:
    text = f"BEGIN:VCALENDAR\n{entry('RRULE:FREQ=WEEKLY;BYDAY=MO;COUNT=5', 'EXDATE:20261012T090000', 'SUMMARY:x')}"
    text += f"{entry('RECURRENCE-ID:20261019T090000', begins='20261019T100000')}{entry(uid='2')}END:VCALENDAR\n"
    for place, gone, bit in bits:
        text = text[:place] + bit + text[place + gone :]
    try:
        found = lessons_in(text.encode(), zone=STOCKHOLM, now=NOW).lessons
    except CalendarError:
        return
    assert all(row["ends"] > NOW and row["begins"] < NOW + HORIZON for row in found.to_dicts())


WEEKDAYS = st.lists(st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"]), min_size=1, max_size=4, unique=True)


def lists(values: st.SearchStrategy[list[str]], name: str) -> st.SearchStrategy[str]:
    return st.just("") | values.map(lambda found: f";{name}={','.join(found)}")


@st.composite
def rules(draw: st.DrawFn) -> str:
    every = draw(st.sampled_from(["DAILY", "WEEKLY", "MONTHLY"]))
    rule = f"FREQ={every};INTERVAL={draw(st.integers(1, 4))};WKST={draw(st.sampled_from(['MO', 'SU']))}"
    nth = draw(st.sampled_from(["", "1", "2", "-1", "5"])) if every == "MONTHLY" else ""
    rule += draw(lists(WEEKDAYS.map(lambda days: [nth + day for day in days]), "BYDAY"))
    if every == "MONTHLY":
        numbers = st.lists(st.sampled_from(["1", "15", "28", "31", "-1"]), min_size=1, max_size=2, unique=True)
        rule += draw(lists(numbers, "BYMONTHDAY"))
    ends = st.dates(date(2026, 9, 1), date(2027, 12, 1)).map(lambda day: f";UNTIL={day:%Y%m%d}T120000Z")
    return rule + draw(st.just("") | st.integers(1, 60).map(lambda count: f";COUNT={count}") | ends)


@given(rule=rules(), start=st.datetimes(datetime(2026, 6, 1), datetime(2026, 12, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds it
@unhurried
def test_rules_mean_what_they_mean_to_others(rule: str, start: datetime) -> None:
    """As dateutil, which knows all rules, and does not always come back."""
    start = start.replace(microsecond=0)
    theirs = rrule.rrulestr(rule, dtstart=start).between(start, start + HORIZON, inc=True)
    assume(theirs and theirs[0] == start)  # whether a begin outside its own rule counts nobody agrees on
    text = entry(f"RRULE:{rule}", begins=f"{start:%Y%m%dT%H%M%SZ}")
    found = lessons_in(f"BEGIN:VCALENDAR\n{text}END:VCALENDAR\n".encode(), zone=STOCKHOLM, now=start)
    assert found.lessons["begins"].to_list() == [moment for moment in theirs if moment < start + HORIZON]

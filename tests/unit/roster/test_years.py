"""Which class a section is in each school year: pinned when first seen, and another one only when the year is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.roster.tables import Roster
from homeroom.roster.years import NO_PINS, PINS, Pinned, pinned, superseded

from .rosters import Class, Enrolled, Org, Record, Session, User, roster_of, unhurried

AUTUMN, JANUARY, MAY = date(2026, 10, 1), date(2027, 1, 20), date(2027, 5, 3)
SUMMER, NEXT = date(2027, 7, 20), date(2027, 10, 1)


def year(end: int, *, begin: str = "08-15", over: str = "06-20") -> list[Session]:
    """A school year as records have it, with two terms that say so only by what they are a part of."""
    first, last = date.fromisoformat(f"{end - 1}-{begin}"), date.fromisoformat(f"{end}-{over}")
    middle = date(end, 1, 16)
    return [
        Session(f"{end}", begin=first, end=last, year=end),
        Session(f"{end}-1", begin=first, end=middle, parent=f"{end}"),
        Session(f"{end}-2", begin=middle, end=last, parent=f"{end}"),
    ]


YEARS = [*year(2027), *year(2028), *year(2029)]


def look(
    *terms: str | None, day: date = AUTUMN, pins: pl.DataFrame = NO_PINS, sessions: Iterable[Session] = YEARS
) -> Pinned:
    """One section, `c`, with these terms (None: unknown), read on this day."""
    listed = None if terms == (None,) else tuple(terms)
    section = Class("c", terms=listed)
    found = pinned(roster_of(Org("s-1"), *sessions, section, User("u"), Enrolled("c", "u")), pins, today=day)
    assert found.pins.schema == PINS
    return found


def told(found: Pinned) -> str:
    (section,) = found.roster.classes["id"]
    return str(section)


def history(*nights: tuple[date, tuple[str | None, ...]], sessions: Iterable[Session] = YEARS) -> list[str]:
    """What the section is on each of these nights."""
    pins, answers = NO_PINS, []
    for day, terms in nights:
        found = look(*terms, day=day, pins=pins, sessions=sessions)
        pins = found.pins
        answers.append(told(found))
    return answers


@pytest.mark.parametrize(
    "edits",
    [
        [("2027-1",), ("2027-2",), ("2027",), ("2027-1", "2027-2")],
        [(), ("2027-1",), ()],
        [(None,), ("2027",), (None,)],
        [("2027",), ("2027", "2028"), ("2027",)],
        [("2027",), ("2026",), ("2027",)],  # one of these is a slip
    ],
)
def test_within_a_school_year_it_is_the_class_that_it_was(edits: list[tuple[str | None, ...]]) -> None:
    sessions = [*year(2026), *YEARS]
    days = [AUTUMN, AUTUMN + timedelta(days=1), JANUARY, MAY]
    assert history(*zip(days, edits, strict=False), sessions=sessions) == ["c"] * len(edits)


def test_the_next_school_year_is_the_next_class_whatever_is_done_to_its_terms_then() -> None:
    nights = [(AUTUMN, ("2027",)), (NEXT, ("2028-1",)), (NEXT, ()), (NEXT + timedelta(days=150), ("2028-2",))]
    assert history(*nights) == ["c", "c@2028", "c@2028", "c@2028"]


def test_each_year_has_its_own_and_one_to_which_the_records_return_is_the_same_again() -> None:
    nights = [("2027",), ("2028",), ("2027-2",), ("2028",), ("2029",)]
    answers = history(*((SUMMER, terms) for terms in nights))
    assert answers == ["c", "c@2028", "c", "c@2028", "c@2029"]


def test_what_is_listed_in_two_years_goes_on_until_it_is_in_the_later_one_only() -> None:
    nights = [(AUTUMN, ("2027", "2028")), (NEXT, ("2027", "2028")), (NEXT, ("2028",))]
    assert history(*nights) == ["c", "c", "c@2028"]


def test_a_section_that_is_first_seen_with_terms_of_two_years_is_in_the_one_that_has_come() -> None:
    for day, pin in ((AUTUMN, 2027), (SUMMER, 2028), (NEXT, 2028)):
        assert look("2027", "2028", day=day).pins["year"].to_list() == [pin]


def test_a_section_that_was_away_is_known_when_it_comes_back() -> None:
    pins = look("2027").pins
    nobody = pinned(roster_of(Org("s-1"), *YEARS), pins, today=MAY)
    assert nobody.pins is pins
    assert told(look("2027", pins=nobody.pins)) == "c"
    assert told(look("2028", pins=nobody.pins)) == "c@2028"


@pytest.mark.parametrize(
    ("sessions", "last", "first"),
    [
        (YEARS, date(2027, 8, 14), date(2027, 8, 15)),
        (year(2027), date(2027, 8, 14), date(2027, 8, 15)),  # the records do not know the next year yet
        ([*year(2027, over="08-31"), *year(2028)], date(2027, 8, 30), date(2027, 8, 31)),  # one is not over yet
        ([], date(2027, 7, 31), date(2027, 8, 1)),
        (
            [Session("all", begin=date(2000, 1, 1), end=date(2099, 1, 1), year=2027)],
            date(2027, 7, 31),
            date(2027, 8, 1),
        ),
    ],
)
def test_without_terms_it_is_the_next_class_once_the_next_year_has_begun(
    sessions: list[Session], last: date, first: date
) -> None:
    terms = ("all",) if any(one.id == "all" for one in sessions) else ()
    nights = [(AUTUMN, terms), (last, terms), (first, terms), (first + timedelta(days=300), terms)]
    assert history(*nights, sessions=sessions) == ["c", "c", "c@2028", "c@2028"]


def test_what_comes_between_two_years_without_terms_is_of_the_next() -> None:
    assert history((SUMMER, ()), (SUMMER, ("2028",)), (NEXT, ())) == ["c", "c", "c"]


def test_a_clock_that_was_mended_gives_the_class_back() -> None:
    assert history((AUTUMN, ()), (NEXT, ()), (AUTUMN, ()), (NEXT, ())) == ["c", "c@2028", "c", "c@2028"]


def test_an_end_is_a_school_years_only_when_that_is_over() -> None:
    pins = look("2027").pins
    assert look("2028", day=MAY, pins=pins).ended.to_list() == []
    assert look("2028", day=SUMMER, pins=pins).ended.to_list() == ["c"]
    assert look("2027", day=SUMMER, pins=look("2028", day=SUMMER, pins=pins).pins).ended.to_list() == []


def crowd(*ids: str, terms: tuple[str, ...] = ("2027",)) -> Roster:
    """Sections with one pupil each, whose id is that of the section."""
    rows: list[Record] = [Org("s-1"), *YEARS]
    for one in ids:
        rows += [Class(one, terms=terms), User(one), Enrolled(one, one)]
    return roster_of(*rows)


def test_references_follow_and_the_order_is_that_of_the_new_ids() -> None:
    ids = ("c-1", "c-10", "c-2", "c-2/x")
    pins = pinned(crowd(*ids), NO_PINS, today=AUTUMN).pins
    found = pinned(crowd(*ids, terms=("2028",)), pins, today=NEXT).roster
    assert found.classes["id"].is_sorted()
    assert set(found.classes["id"]) == {f"{one}@2028" for one in ids}
    members = found.enrollments.select(found.classes["id"].gather(found.enrollments["class"]), "user")
    pupils = found.users["id"].gather(members["user"]).to_list()
    assert members["id"].to_list() == [f"{one}@2028" for one in pupils]
    assert found.enrollments["class"].is_sorted()


def test_no_two_sections_are_one_class() -> None:
    pins = pinned(crowd("c", "c@2028"), NO_PINS, today=AUTUMN).pins
    found = pinned(crowd("c", "c@2028", "c@2028@2028", terms=("2028",)), pins, today=NEXT)
    assert found.roster.classes["id"].n_unique() == 3
    late = pinned(crowd("d", terms=("2028",)), pinned(crowd("d"), NO_PINS, today=AUTUMN).pins, today=NEXT)
    assert set(pinned(crowd("d", "d@2028", terms=("2028",)), late.pins, today=NEXT).roster.classes["id"]) == {
        "d@2028",
        "d@2028@",
    }


def test_what_an_app_sees_of_it() -> None:
    gone = pl.Series(["a", "b", "c@2027", "d@2028", "e", None])
    there = roster_of(Org("s-1"), *(Class(one) for one in ("a@2028", "c@2028", "d", "e", "e@2028", "x")))
    assert superseded(gone, there).to_list() == ["a", "c@2027"]


# -- any history ------------------------------------------------------------------------------------------------------

within = st.lists(st.sampled_from([(), (None,), ("-1",), ("-2",), ("",), ("-1", "-2")]), min_size=1, max_size=4)
named = [("-1",), ("",), ("-2", "-1")]


@unhurried
@given(edits=st.tuples(within, within, within), firsts=st.tuples(*[st.sampled_from(named)] * 3))
def test_edits_within_a_year_change_nothing_and_each_new_year_is_one_new_class(
    edits: tuple[list[tuple[str | None, ...]], ...], firsts: tuple[tuple[str, ...], ...]
) -> None:
    nights, expected = [], []
    for end, first, later in zip((2027, 2028, 2029), firsts, edits, strict=True):
        for number, terms in enumerate([first, *later]):
            listed = tuple(None if one is None else f"{end}{one}" for one in terms)
            nights.append((date(end - 1, 9, 1) + timedelta(days=40 * number), listed))
            expected.append("c" if end == 2027 else f"c@{end}")
    assert history(*nights) == expected


@unhurried
@given(
    st.lists(
        st.tuples(
            st.dates(date(2026, 9, 1), date(2029, 6, 1)),
            st.dictionaries(
                st.sampled_from(["c", "c@2028", "c-1"]),
                st.lists(st.sampled_from([one.id for one in YEARS]), max_size=3).map(tuple),
            ),
        ),
        max_size=8,
    )
)
def test_pins_only_grow_and_no_class_is_ever_that_of_two(
    nights: list[tuple[date, dict[str, tuple[str, ...]]]],
) -> None:
    pins = NO_PINS
    for day, sections in nights:
        reading = roster_of(Org("s-1"), *YEARS, *(Class(key, terms=terms) for key, terms in sections.items()))
        found = pinned(reading, pins, today=day)
        assert pins.select("section", "year", "class").join(found.pins, on=["section", "year", "class"]).height == (
            pins.height
        )
        pins = found.pins
        assert pins["class"].n_unique() == pins.select("section", "year").n_unique() == pins.height
        assert (pins.group_by("section").agg(pl.col("current").sum())["current"] == 1).all()
        now = dict(pins.filter("current").select("section", "class").iter_rows())
        assert {now[key] for key in sections} == set(found.roster.classes["id"])
        again = pinned(reading, pins, today=day)
        assert again.pins is pins
        assert again.roster.classes.equals(found.roster.classes)

"""Who holds a seat: the same in slow plain Python beside it, what is always so, and examples."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import NamedTuple

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.unit.examples import examples

from homeroom.seats.assignment import (
    COUNTS_SCHEMA,
    DEMAND_SCHEMA,
    LICENCES_SCHEMA,
    SEATS_SCHEMA,
    STUDENT,
    Assignment,
    assign,
    pairs_of,
    students_of,
    teachers_of,
)

TODAY = date(2026, 10, 1)
WEEK = timedelta(days=7)
EARLIER = TODAY - timedelta(days=30)

unhurried = examples(50)


class Licence(NamedTuple):
    grant: int
    open: bool = True


class Seat(NamedTuple):
    licence: str
    since: date = EARLIER
    left: date | None = None


Student = tuple[str, str]  # district and source id


@dataclass(frozen=True, kw_only=True)
class Case:
    """One call of `assign`."""

    licences: Mapping[str, Licence]
    demand: frozenset[tuple[Student, str]] = frozenset()
    seats: Mapping[Student, Seat] = field(default_factory=dict)
    today: date = TODAY
    grace: timedelta | None = WEEK
    unsure: Collection[str] = ()
    idle: Collection[Student] = ()

    def done(self) -> Assignment:
        return assign(
            pl.DataFrame([(name, *one) for name, one in self.licences.items()], LICENCES_SCHEMA, orient="row"),
            pl.DataFrame([(*who, name) for who, name in self.demand], DEMAND_SCHEMA, orient="row"),
            pl.DataFrame([(*who, *seat) for who, seat in self.seats.items()], SEATS_SCHEMA, orient="row"),
            today=self.today,
            grace=self.grace,
            unsure=self.unsure,
            idle=pl.DataFrame(list(self.idle), dict.fromkeys(STUDENT, pl.String), orient="row"),
        )

    def seated(self) -> dict[Student, Seat]:
        rows = self.done().seats.rows()
        found = {(district, student): Seat(*seat) for district, student, *seat in rows}
        assert len(found) == len(rows)
        return found

    def open(self, licence: str) -> bool:
        return licence in self.licences and self.licences[licence].open

    def grant(self, licence: str) -> int:
        return self.licences[licence].grant if licence in self.licences else 0

    def wanted(self, who: Student) -> list[str]:
        return sorted(licence for one, licence in self.demand if one == who)


def slowly(case: Case) -> dict[Student, Seat]:
    """One student after the other asks one licence after the other, until nobody asks any more."""
    ranks: dict[tuple[Student, str], int] = {}
    lists: dict[Student, list[str]] = {}
    kept: dict[Student, Seat] = {}
    for who in {one for one, _ in case.demand} | set(case.seats):
        sure = who[0] not in case.unsure
        offers = [licence for licence in case.wanted(who) if case.open(licence)] if sure else []
        seat = case.seats.get(who)
        if seat is not None:
            if sure and case.open(seat.licence):
                missed = seat.left or case.today
                seat = seat._replace(left=None if seat.licence in offers else missed)
            kept[who] = seat
            over = (
                sure
                and case.open(seat.licence)
                and seat.licence not in offers
                and case.grace is not None
                and (seat.left or case.today) + case.grace <= case.today
            )
            stays = seat.licence in offers
            if stays and who in case.idle:
                offers = sorted(offers, key=lambda licence: licence != seat.licence)
                ranks |= {(who, licence): 3 for licence in offers}
            else:
                offers = [seat.licence] if stays else [*offers, *([] if over else [seat.licence])]
                ranks |= {(who, licence): 1 for licence in offers} | {(who, seat.licence): 0}
        else:
            ranks |= {(who, licence): 4 if who in case.idle else 2 for licence in offers}
        lists[who] = offers
    members: dict[str, list[Student]] = {}
    asking = sorted(lists)
    while asking:
        who = asking.pop(0)
        if not lists[who]:
            continue
        licence = lists[who].pop(0)
        rivals = sorted([*members.get(licence, []), who], key=lambda one: (ranks[one, licence], one))
        members[licence] = [
            one for place, one in enumerate(rivals) if place < case.grant(licence) or ranks[one, licence] == 0
        ]
        asking += [one for one in rivals if one not in members[licence]]
    result = {}
    for licence, people in members.items():
        for who in people:
            same = who in kept and kept[who].licence == licence
            since = kept[who].since if who in kept else case.today
            result[who] = kept[who] if same else Seat(licence, since)
    return result


_students = st.tuples(st.sampled_from(["d", "e"]), st.sampled_from("stuvwxyz"))
_licences = st.sampled_from("abcd")
_days = st.integers(0, 9).map(lambda days: TODAY - timedelta(days=days))
cases = st.builds(
    Case,
    licences=st.dictionaries(
        _licences, st.builds(Licence, st.integers(0, 4), st.sampled_from([True, True, True, False]))
    ),
    demand=st.frozensets(st.tuples(_students, _licences), max_size=24),
    seats=st.dictionaries(_students, st.builds(Seat, _licences, _days, st.one_of(st.none(), _days)), max_size=10),
    grace=st.sampled_from([None, timedelta(0), WEEK]),
    unsure=st.sampled_from([(), (), (), ("e",)]),
)


def within(case: Case) -> bool:
    """Whether what is held is within the grants, as the arbiter keeps it."""
    held = [seat.licence for seat in case.seats.values()]
    return all(held.count(licence) <= case.grant(licence) for licence in held)


@given(cases, st.sets(_students, max_size=6))
@unhurried
def test_columns_say_the_same_as_one_after_the_other(case: Case, idle: set[Student]) -> None:
    case = replace(case, idle=idle)
    assert case.seated() == slowly(case)


@given(cases, st.data())
@unhurried
def test_in_any_order_the_result_is_the_same(case: Case, data: st.DataObject) -> None:
    def mixed(frame: pl.DataFrame) -> pl.DataFrame:
        return frame[data.draw(st.permutations(range(frame.height)))] if frame.height else frame

    found = case.done()
    demand = pl.DataFrame([(*who, name) for who, name in case.demand], DEMAND_SCHEMA, orient="row")
    seats = pl.DataFrame([(*who, *seat) for who, seat in case.seats.items()], SEATS_SCHEMA, orient="row")
    licences = pl.DataFrame([(name, *one) for name, one in case.licences.items()], LICENCES_SCHEMA, orient="row")
    other = assign(mixed(licences), mixed(demand), mixed(seats), today=TODAY, grace=case.grace, unsure=case.unsure)
    for name in ("seats", "waiting", "counts"):
        assert_frame_equal(getattr(found, name), getattr(other, name))


@given(cases)
@unhurried
def test_the_result_given_back_changes_nothing(case: Case) -> None:
    first = case.done()
    later = replace(case, seats=case.seated()).done()
    for name in ("seats", "waiting", "counts"):
        assert_frame_equal(getattr(first, name), getattr(later, name))


@given(cases)
@unhurried
def test_used_is_within_the_grant_but_for_who_held_a_seat_before(case: Case) -> None:
    """Safety row 17: however many want one."""
    found = case.seated()
    for licence in {seat.licence for seat in found.values()}:
        now = {who for who, seat in found.items() if seat.licence == licence}
        before = {who for who, seat in case.seats.items() if seat.licence == licence}
        assert len(now) <= case.grant(licence) or now <= before
        if within(case):
            assert len(now) <= case.grant(licence)


@given(cases)
@unhurried
def test_who_holds_a_seat_and_is_wanted_or_missed_for_less_than_the_grace_holds_one_still(case: Case) -> None:
    found = case.seated()
    for who, seat in case.seats.items():
        missed_long = case.grace is not None and (seat.left or TODAY) + case.grace <= TODAY
        if who[0] in case.unsure or not case.open(seat.licence) or seat.licence in case.wanted(who) or not missed_long:
            assert who in found
            assert found[who].since == seat.since


@given(cases)
@unhurried
def test_what_is_unknown_keeps_its_holders_and_takes_nobody(case: Case) -> None:
    found = case.seated()
    for who, seat in found.items():
        if who[0] in case.unsure or not case.open(seat.licence):
            assert case.seats[who] == seat
    for who, seat in case.seats.items():
        if who[0] in case.unsure:
            assert found[who] == seat


@given(cases)
@unhurried
def test_nobody_waits_beside_a_free_seat(case: Case) -> None:
    found = case.seated()
    used = [seat.licence for seat in found.values()]
    for *who, licence in case.done().waiting.iter_rows():
        if case.open(licence) and who[0] not in case.unsure:
            assert used.count(licence) >= case.grant(licence)


@given(cases, _licences, st.integers(1, 3))
@unhurried
def test_a_larger_grant_unseats_nobody(case: Case, licence: str, more: int) -> None:
    before = case.licences.get(licence, Licence(0))
    larger = {**case.licences, licence: before._replace(grant=before.grant + more)}
    case = replace(case, licences={**case.licences, licence: before})
    assert case.seated().keys() <= replace(case, licences=larger).seated().keys()


@given(cases)
@unhurried
def test_counts_are_of_the_seats_the_demand_and_who_waits(case: Case) -> None:
    found = case.done()
    seated = case.seated()
    waiting = {(who, licence) for who, licence in case.demand if who not in seated}
    assert {((district, student), licence) for district, student, licence in found.waiting.iter_rows()} == waiting
    assert found.waiting.height == len(waiting)
    assert found.counts.schema == COUNTS_SCHEMA
    held = {seat.licence for seat in seated.values()}
    assert found.counts["licence"].to_list() == sorted({*case.licences, *held, *(one for _, one in case.demand)})
    for licence, used, demand, waits in found.counts.iter_rows():
        assert used == sum(seat.licence == licence for seat in seated.values())
        assert demand == sum(one == licence for _, one in case.demand)
        assert waits == sum(one == licence for _, one in waiting)


# ---------------------------------------------------------------------------------------------------------------------
# Examples: students of one district by their letter


def case(
    licences: dict[str, int], demand: str, seats: str = "", *, today: date = TODAY, left: date | None = None
) -> Case:
    """`demand` and `seats` like "x:a y:b": student x by licence a, student y by b. `left`: of all seats."""

    def pairs(text: str) -> list[tuple[Student, str]]:
        return [(("d", student), licence) for student, licence in (word.split(":") for word in text.split())]

    return Case(
        licences={name: Licence(grant) for name, grant in licences.items()},
        demand=frozenset(pairs(demand)),
        seats={who: Seat(licence, left=left) for who, licence in pairs(seats)},
        today=today,
    )


def seated(one: Case) -> str:
    return " ".join(f"{student}:{seat.licence}" for (_, student), seat in sorted(one.seated().items()))


def test_students_take_seats_until_the_licence_is_full() -> None:
    one = case({"a": 2}, "x:a y:a z:a")
    assert seated(one) == "x:a y:a"
    assert one.done().waiting.rows() == [("d", "z", "a")]
    assert one.done().counts.rows() == [("a", 2, 3, 1)]
    assert one.seated()["d", "x"] == Seat("a", TODAY)


def test_one_seat_however_many_schools() -> None:
    assert seated(case({"a": 9, "b": 9}, "x:a x:b")) == "x:a"
    assert seated(case({"a": 0, "b": 9}, "x:a x:b")) == "x:b"
    assert seated(case({"a": 9, "b": 9}, "x:a x:b", "x:b")) == "x:b"


def test_students_of_two_districts_are_two_people() -> None:
    """Safety row 14."""
    one = Case(licences={"a": Licence(2)}, demand=frozenset({(("d", "u-17"), "a"), (("e", "u-17"), "a")}))
    assert one.seated().keys() == {("d", "u-17"), ("e", "u-17")}


def test_who_holds_a_seat_comes_before_who_comes() -> None:
    assert seated(case({"a": 1}, "x:a y:a", "y:a")) == "y:a"


def test_an_absence_of_a_night_costs_no_seat() -> None:
    """Safety row 18: seven are gone for a night, and others wait."""
    absent = case({"a": 2}, "x:a y:a", "w:a v:a")
    assert seated(absent) == "v:a w:a"
    assert {seat.left for seat in absent.seated().values()} == {TODAY}
    back = replace(absent, demand=absent.demand | {(("d", "v"), "a"), (("d", "w"), "a")}, seats=absent.seated())
    assert {seat.left for seat in back.seated().values()} == {None}


@pytest.mark.parametrize(("days", "now"), [(0, "v:a"), (6, "v:a"), (7, "x:a"), (-400, "v:a"), (400, "x:a")])
def test_a_leavers_seat_is_kept_for_the_grace(days: int, now: str) -> None:
    one = case({"a": 1}, "x:a", "v:a", left=EARLIER)
    assert seated(replace(one, today=EARLIER + timedelta(days=days))) == now
    assert seated(replace(one, today=EARLIER + timedelta(days=days), grace=None)) == "v:a"


def test_two_full_schools_swap_students() -> None:
    """Safety row 18: with no slack at all; and around three."""
    assert seated(case({"a": 1, "b": 1}, "x:b y:a", "x:a y:b")) == "x:b y:a"
    assert seated(case({"a": 1, "b": 1, "c": 1}, "x:b y:c z:a", "x:a y:b z:c")) == "x:b y:c z:a"


def test_who_moves_carries_the_seat() -> None:
    """Before newcomers, with the day on which it was taken; and keeps the old one where there is no room."""
    moved = case({"a": 1, "b": 1}, "n:b x:b", "x:a")
    assert moved.seated() == {("d", "x"): Seat("b", EARLIER)}
    full = case({"a": 1, "b": 1}, "x:b y:b n:a", "x:a y:b")
    assert full.seated() == {("d", "x"): Seat("a", EARLIER, TODAY), ("d", "y"): Seat("b", EARLIER)}
    assert seated(replace(full, seats=full.seated(), today=TODAY + WEEK)) == "n:a y:b"


def test_who_cannot_move_takes_back_what_somebody_else_hoped_for() -> None:
    """No room for x in b, so x stays in a; so y cannot go from c to a, so n gets nothing in c."""
    assert seated(case({"a": 1, "b": 1, "c": 1}, "x:b y:a n:c z:b", "x:a y:c z:b")) == "x:a y:c z:b"


def test_a_pool_that_is_gone_unseats_nobody_and_seats_nobody() -> None:
    """Safety row 16: no licence is known any more, and nobody seems to want anything."""
    one = case({}, "", "x:a y:b", left=EARLIER)
    assert one.seated() == one.seats
    assert seated(replace(one, demand=frozenset({(("d", "n"), "a")}))) == "x:a y:b"


def test_a_licence_that_goes_hands_its_students_to_one_that_wants_them() -> None:
    one = case({"a": 2, "b": 1}, "x:a x:b y:a y:b", "x:a y:a")
    closed = replace(one, licences={"a": Licence(2, open=False), "b": Licence(1)})
    assert seated(one) == "x:a y:a"
    assert seated(closed) == "x:b y:a"


def test_a_grant_below_what_is_held_takes_nobody_and_sends_nobody_away() -> None:
    assert seated(case({"a": 1}, "x:a y:a n:a", "x:a y:a")) == "x:a y:a"
    assert seated(case({"a": 1}, "x:a n:a", "x:a y:a", left=EARLIER)) == "x:a"


def test_an_idle_seat_goes_to_somebody_who_waits_and_to_nobody_else() -> None:
    one = replace(case({"a": 2}, "x:a y:a", "x:a y:a"), idle=[("d", "x"), ("d", "y")])
    assert one.seated() == one.seats
    assert seated(replace(one, demand=one.demand | {(("d", "z"), "a")})) == "x:a z:a"
    both = replace(one, demand=one.demand | {(("d", "x"), "b"), (("d", "z"), "a")})
    assert seated(replace(both, licences={"a": Licence(1), "b": Licence(1)})) == "x:b z:a"


def test_who_lost_a_seat_for_not_using_it_takes_none_from_who_is_as_idle() -> None:
    both = replace(case({"a": 1}, "x:a y:a z:a", "y:a"), idle=[("d", "x"), ("d", "y")])
    assert set(both.seated()) == {("d", "z")}
    after = replace(case({"a": 1}, "x:a y:a", "y:a"), idle=[("d", "x"), ("d", "y")])
    assert set(after.seated()) == {("d", "y")}
    assert set(replace(after, seats={}).seated()) == {("d", "x")}, "a free seat is theirs, where nobody else wants it"


@given(cases, st.sets(_students, max_size=6))
@unhurried
def test_a_seat_is_reclaimed_only_where_the_licence_is_full_without_it(case: Case, idle: set[Student]) -> None:
    before, after = case.seated(), replace(case, idle=idle).seated()
    for who in before.keys() - after.keys():
        assert who in idle
        # Who had no seat yet, and comes after the others now, waits for one where it had wanted to go.
        licence = case.seats[who].licence if who in case.seats else before[who].licence
        assert sum(seat.licence == licence for seat in after.values()) >= case.grant(licence)


# ---------------------------------------------------------------------------------------------------------------------
# Demand. Sections 0 and 1 are of school 10, section 2 of school 11.

_SCHOOL = pl.Series([10, 10, 11], dtype=pl.UInt32)


def enrolled(*rows: tuple[int, int, bool]) -> pl.DataFrame:
    return pl.DataFrame(rows, {"class": pl.UInt32, "user": pl.UInt32, "coach": pl.Boolean}, orient="row")


def connected(*rows: tuple[int, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, {"licence": pl.UInt32, "user": pl.UInt32}, orient="row")


_TAUGHT = enrolled(
    (0, 50, True), (0, 1, False), (0, 2, False), (1, 51, True), (1, 2, False), (2, 50, True), (2, 3, False)
)


@pytest.mark.parametrize(
    ("licences", "teachers", "students"),
    [
        ([None], [(0, 50)], [(0, 1), (0, 2), (0, 3)]),
        ([10], [(0, 50)], [(0, 1), (0, 2)]),
        ([10], [(0, 50), (0, 51)], [(0, 1), (0, 2)]),
        ([10, 10], [(0, 50), (1, 51)], [(0, 1), (0, 2), (1, 2)]),
        ([11], [(0, 51)], []),
        ([10], [], []),
    ],
    ids=["everywhere", "own school", "once for two teachers", "two licences", "other school", "nobody"],
)
def test_demand_is_the_distinct_students_of_connected_teachers(
    licences: list[int | None], teachers: list[tuple[int, int]], students: list[tuple[int, int]]
) -> None:
    found = students_of(_TAUGHT, connected(*teachers), school=_SCHOOL, licences=pl.Series(licences, dtype=pl.UInt32))
    assert found.rows() == students
    pairs = pairs_of(_TAUGHT, connected(*teachers), school=_SCHOOL, licences=pl.Series(licences, dtype=pl.UInt32))
    assert pairs.select("licence", "user").drop_nulls().unique().sort("licence", "user").rows() == students
    assert pairs.select("licence", "teacher").unique().sort("licence", "teacher").rows() == teachers


def test_a_student_goes_with_each_own_teacher_and_a_teacher_without_students_is_there() -> None:
    places = pl.Series([10], dtype=pl.UInt32)
    rows = pl.concat([_TAUGHT, enrolled((0, 51, True), (0, 51, False))])
    pairs = pairs_of(rows, connected((0, 50), (0, 51), (0, 52)), school=_SCHOOL, licences=places)
    assert pairs.rows() == [(0, 50, 1), (0, 50, 2), (0, 51, 1), (0, 51, 2), (0, 52, None)]


def test_a_colleague_who_leaves_takes_only_the_own_students_along() -> None:
    places = pl.Series([10], dtype=pl.UInt32)
    both = students_of(_TAUGHT, connected((0, 50), (0, 51)), school=_SCHOOL, licences=places)
    one = students_of(_TAUGHT, connected((0, 51)), school=_SCHOOL, licences=places)
    assert (both["user"].to_list(), one["user"].to_list()) == ([1, 2], [2])


def test_who_teaches_and_learns_in_one_class_takes_no_seat_for_it() -> None:
    rows = enrolled((0, 50, True), (0, 50, False), (1, 51, True), (1, 50, False))
    places = pl.Series([None], dtype=pl.UInt32)
    assert students_of(rows, connected((0, 50)), school=_SCHOOL, licences=places).rows() == []
    assert students_of(rows, connected((0, 51)), school=_SCHOOL, licences=places).rows() == [(0, 50)]


def test_automatic_access_connects_every_teacher_of_a_section_of_the_school() -> None:
    places = pl.Series([10, None, 11], dtype=pl.UInt32)
    assert teachers_of(_TAUGHT, school=_SCHOOL, licences=places).rows() == [(0, 50), (0, 51), (2, 50)]

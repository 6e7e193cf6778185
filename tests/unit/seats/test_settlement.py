"""Grants and seats together: what holds for the two at once, whatever was before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples

from homeroom.seats.arbiter import Claim, Pool
from homeroom.seats.assignment import DEMAND_SCHEMA, SEATS_SCHEMA
from homeroom.seats.settlement import Settlement, licence_id, settle

TODAY = date(2026, 10, 1)
BEGAN = datetime(2026, 8, 1, tzinfo=UTC)
WEEK = timedelta(days=7)

_students = st.sampled_from("stuvwxyz")
_names = st.sampled_from("abcd")
_days = st.integers(0, 9).map(lambda days: TODAY - timedelta(days=days))


@st.composite
def claims(draw: st.DrawFn) -> list[Claim]:
    return [
        Claim(
            namespace="n",
            name=name,
            unit=name,
            requested=draw(st.integers(0, 9)),
            created=BEGAN + timedelta(days=draw(st.integers(0, 3))),
            previous=draw(st.integers(0, 5)),
            allowed=draw(st.sampled_from([True, True, True, False])),
        )
        for name in draw(st.sets(_names, min_size=1))
    ]


demands = st.frozensets(st.tuples(st.sampled_from(["d/d", "e/e"]), _students, _names.map("n/{}".format)), max_size=24)
holders = st.dictionaries(
    st.tuples(st.sampled_from(["d/d", "e/e"]), _students),
    st.tuples(_names.map("n/{}".format), _days, st.one_of(st.none(), _days)),
    max_size=10,
)
pools = st.builds(Pool, seats=st.integers(0, 14))


def settled(
    pool: Pool, claims: list[Claim], demand: frozenset[tuple[str, str, str]], seats: pl.DataFrame, grace: timedelta
) -> Settlement:
    wanted = pl.DataFrame(list(demand), DEMAND_SCHEMA, orient="row")
    return settle(pool, claims, wanted, seats, today=TODAY, grace=grace)


@given(pools, claims(), demands, holders, st.sampled_from([timedelta(0), WEEK]))
@examples(50)
def test_grants_and_seats_go_with_each_other_and_change_nothing_the_next_time(
    pool: Pool,
    claims: list[Claim],
    demand: frozenset[tuple[str, str, str]],
    holders: dict[tuple[str, str], tuple[str, date, date | None]],
    grace: timedelta,
) -> None:
    # As the caller does: who holds a seat by a licence that is not there has a claim of its own.
    missing = {row[0].partition("/")[2] for row in holders.values()} - {claim.name for claim in claims}
    claims += [
        Claim(namespace="n", name=name, unit="", requested=0, created=BEGAN, revoking=True) for name in sorted(missing)
    ]
    seats = pl.DataFrame([(*who, *seat) for who, seat in holders.items()], SEATS_SCHEMA, orient="row")
    found = settled(pool, claims, demand, seats, grace)
    used = dict(found.assignment.seats.group_by("licence").len().iter_rows())
    for claim in found.claims:
        grant = found.grant(claim)
        assert claim.used == used.get(licence_id(*claim.key), 0) <= grant.seats <= max(claim.used, claim.requested)
        assert claim.previous == grant.seats
    assert found.shares.granted <= max(pool.capacity, found.shares.used)
    again = settled(pool, list(found.claims), demand, found.assignment.seats, grace)
    assert again.shares == found.shares
    assert again.assignment.seats.equals(found.assignment.seats)
    shuffled = settled(pool, claims[::-1], demand, seats[::-1], grace)
    assert (shuffled.shares, shuffled.assignment.seats.rows()) == (found.shares, found.assignment.seats.rows())


def test_seats_that_end_are_given_on_in_the_same_run() -> None:
    """A licence above what it requests shrinks as a seat of it ends, and the next in the queue gets what falls free."""
    first = Claim(namespace="n", name="a", unit="a", requested=1, created=BEGAN, previous=2)
    second = replace(first, name="b", requested=1, previous=0, created=BEGAN + WEEK)
    left = TODAY - WEEK
    seats = pl.DataFrame([("d/d", "s", "n/a", left, None), ("d/d", "t", "n/a", left, left)], SEATS_SCHEMA, orient="row")
    found = settled(Pool(seats=2), [first, second], frozenset({("d/d", "s", "n/a"), ("d/d", "u", "n/b")}), seats, WEEK)
    assert found.assignment.seats.select("student", "licence").rows() == [("s", "n/a"), ("u", "n/b")]
    assert [found.grant(claim).seats for claim in found.claims] == [1, 1]

"""How a pool is shared out: what is always so, and the examples of domain/licences.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples

from homeroom.api import Queue, Reason
from homeroom.seats.arbiter import Claim, Grant, Pool, Shares, Unit, arbitrate, told

TODAY = date(2026, 10, 1)
BEGAN = datetime(2026, 8, 1, tzinfo=UTC)
STRICT = Queue.STRICT_FIFO

unhurried = examples(100)


def claim(name: str, requested: int, *, unit: str = "", day: int = 0, previous: int = 0, used: int = 0) -> Claim:
    """A claim made on a day after the pool began, of a unit of its own unless one is named."""
    return Claim(
        namespace="school",
        name=name,
        unit=unit or name,
        requested=requested,
        created=BEGAN + timedelta(days=day),
        previous=previous,
        used=used,
    )


def shared(pool: Pool | None, *claims: Claim, today: date = TODAY) -> Shares:
    return arbitrate(pool, claims, today=today)


def result(pool: Pool | None, *claims: Claim, today: date = TODAY) -> dict[str, tuple[int, Reason]]:
    grants = shared(pool, *claims, today=today).grants
    return {name: (grant.seats, grant.reason) for (_, name), grant in grants.items()}


def again(claims: Sequence[Claim], found: Shares) -> list[Claim]:
    """The same claims one run later."""
    return [replace(one, previous=found.grants[one.key].seats) for one in claims]


_few = st.integers(0, 12)
pools = st.builds(
    Pool,
    seats=st.integers(0, 40),
    overage_percent=st.sampled_from([0, 5, 25]),
    overage_seats=st.integers(0, 3),
    valid_until=st.sampled_from([None, TODAY, TODAY - timedelta(days=1)]),
    queue=st.sampled_from(Queue),
    suspended=st.integers(0, 9).map(lambda number: number == 0),
    one_per_unit=st.booleans(),
)
known = st.one_of(st.none(), pools)
_rarely = st.integers(0, 9).map(lambda number: number == 0)
_claims = st.builds(
    Claim,
    namespace=st.sampled_from("ab"),
    name=st.sampled_from("pqrstuvwxyz"),
    unit=st.sampled_from(["1", "2", "3", "4", "5", "6"]),
    requested=st.one_of(_few, st.sampled_from([20, 45, 9999])),
    created=st.integers(0, 3).map(lambda day: BEGAN + timedelta(days=day)),
    priority=st.sampled_from([0, 0, 0, 5]),
    previous=_few,
    used=_few,
    allowed=_rarely.map(lambda rare: not rare),
    revoking=_rarely,
    unit_state=st.sampled_from([*[Unit.KNOWN] * 6, Unit.UNKNOWN, Unit.CLOSED]),
)
many = st.lists(_claims, max_size=9, unique_by=lambda one: one.key)


@given(known, many, st.data())
@unhurried
def test_in_any_order_the_result_is_the_same(pool: Pool | None, claims: list[Claim], data: st.DataObject) -> None:
    mixed = data.draw(st.permutations(claims))
    assert shared(pool, *mixed) == shared(pool, *claims)
    assert list(shared(pool, *mixed).grants) == list(shared(pool, *claims).grants)


@given(known, many)
@unhurried
def test_the_result_given_back_changes_nothing(pool: Pool | None, claims: list[Claim]) -> None:
    first = shared(pool, *claims)
    assert shared(pool, *again(claims, first)) == first


@given(pools, many)
@unhurried
def test_grants_stay_within_the_pool_but_for_what_is_in_use(pool: Pool, claims: list[Claim]) -> None:
    found = shared(pool, *claims)
    assert found.granted == sum(grant.seats for grant in found.grants.values())
    assert found.granted <= max(pool.capacity, found.used)
    assert found.free == pool.capacity - found.granted
    assert found.over_allocated == (found.used > pool.capacity)


@given(known, many)
@unhurried
def test_a_grant_is_never_below_use_and_never_above_what_is_wanted(pool: Pool | None, claims: list[Claim]) -> None:
    grants = shared(pool, *claims).grants
    for one in claims:
        assert one.used <= grants[one.key].seats <= max(one.requested, one.used)


@given(pools, many)
@unhurried
def test_nobody_gets_a_part_of_what_is_missing(pool: Pool, claims: list[Claim]) -> None:
    grants = shared(pool, *claims).grants
    for one in claims:
        kept = max(one.used, min(one.requested, one.previous))
        assert grants[one.key].seats <= kept or grants[one.key] == Grant(one.requested, Reason.GRANTED)


@given(pools, many)
@unhurried
def test_while_there_is_room_everybody_keeps_what_they_had(pool: Pool, claims: list[Claim]) -> None:
    kept = {one.key: max(one.used, min(one.requested, one.previous)) for one in claims}
    grants = shared(pool, *claims).grants
    if sum(kept.values()) <= pool.capacity:
        assert all(grants[key].seats >= seats for key, seats in kept.items())
    else:
        assert all(grants[key].seats <= seats for key, seats in kept.items())  # and nothing new is given


@given(pools, many, _claims, st.integers(0, 50))
@unhurried
def test_neither_a_new_claim_nor_a_larger_pool_takes_anything_away(
    pool: Pool, claims: list[Claim], new: Claim, more: int
) -> None:
    found = shared(pool, *claims)
    settled = again(claims, found)
    new = replace(new, namespace="new", used=0, previous=0)
    later = shared(replace(pool, seats=pool.seats + more), *settled, new)
    assert all(later.grants[key].seats >= grant.seats for key, grant in found.grants.items())


@given(pools, many)
@unhurried
def test_a_pool_that_takes_back_takes_from_the_last_and_no_more_than_it_must(pool: Pool, claims: list[Claim]) -> None:
    kept = {one.key: max(one.used, min(one.requested, one.previous)) for one in claims}
    if sum(kept.values()) <= pool.capacity:
        return
    found = shared(pool, *claims)
    used = {one.key: one.used for one in claims}
    assert found.granted == max(pool.capacity, found.used)
    untouched = takewhile(lambda key: found.grants[key].seats == kept[key], found.grants)
    behind = list(found.grants)[len(list(untouched)) + 1 :]  # the one in between may have kept a part
    assert all(found.grants[key].seats == used[key] for key in behind)


@given(known, many)
@unhurried
def test_every_claim_has_one_reason_and_granted_means_as_requested(pool: Pool | None, claims: list[Claim]) -> None:
    found = shared(pool, *claims)
    assert found.grants.keys() == {one.key for one in claims}
    for one in claims:
        grant = found.grants[one.key]
        match grant.reason:
            case Reason.GRANTED:
                assert grant.seats == one.requested
            case Reason.BELOW_USAGE:
                assert grant.seats == one.used > one.requested
            case Reason.EXCEEDS_POOL:
                assert pool is not None
                assert one.requested > pool.capacity
            case Reason.WAITING_FOR_SEATS:
                assert grant.seats < one.requested
        assert (grant.lacks > 0) == (grant.reason is Reason.WAITING_FOR_SEATS)
        assert grant.open == (grant.reason in {*_IN_THE_QUEUE})


_IN_THE_QUEUE = (Reason.GRANTED, Reason.BELOW_USAGE, Reason.EXCEEDS_POOL, Reason.WAITING_FOR_SEATS)


@given(pools, many)
@unhurried
def test_what_a_waiting_claim_lacks_is_what_frees_it(pool: Pool, claims: list[Claim]) -> None:
    """Somebody else gives back so many seats: then it is served, and in a strict queue not before."""
    found = shared(pool, *claims)
    settled = again(claims, found)
    bound = 10_000_000
    for key in [key for key, grant in found.grants.items() if grant.reason is Reason.WAITING_FOR_SEATS]:
        lacks = found.grants[key].lacks
        # Another licence has `bound` of a pool that is so much larger, and shrinks; who exceeds the pool still does.
        larger = replace(pool, seats=pool.capacity + bound, overage_percent=0, overage_seats=0)
        never = [replace(one, requested=2 * bound) if one.requested > pool.capacity else one for one in settled]
        other = replace(claim("other", bound), namespace="other", priority=9, previous=bound)
        served = shared(larger, *never, replace(other, requested=bound - lacks))
        assert served.grants[key].reason is Reason.GRANTED
        first = next(one for one, grant in found.grants.items() if grant.lacks)
        if pool.queue is STRICT or key == first:
            less = shared(larger, *never, replace(other, requested=bound - lacks + 1))
            assert less.grants[key].reason is Reason.WAITING_FOR_SEATS


@given(pools, many, st.data())
@unhurried
def test_a_claim_that_can_never_fit_changes_nothing_for_others(
    pool: Pool, claims: list[Claim], data: st.DataObject
) -> None:
    typo = replace(data.draw(_claims), namespace="typo", requested=9999, used=0, previous=0)
    with_it, without = shared(pool, *claims, typo), shared(pool, *claims)
    assert {key: grant for key, grant in with_it.grants.items() if key != typo.key} == without.grants
    assert with_it.grants[typo.key].seats == 0


@given(pools, many)
@unhurried
def test_more_use_never_lowers_the_own_grant(pool: Pool, claims: list[Claim]) -> None:
    found = shared(pool, *claims)
    for number, one in enumerate(claims):
        more = [*claims[:number], replace(one, used=found.grants[one.key].seats), *claims[number + 1 :]]
        assert shared(pool, *more).grants[one.key].seats >= found.grants[one.key].seats


# ---------------------------------------------------------------------------------------------------------------------
# Examples


def test_r1_a_pool_is_as_large_as_the_licence() -> None:
    assert result(Pool(seats=1000), claim("a", 1000)) == {"a": (1000, Reason.GRANTED)}
    assert result(Pool(seats=1000), claim("a", 1001)) == {"a": (0, Reason.EXCEEDS_POOL)}


@pytest.mark.parametrize(
    ("percent", "seats", "capacity"), [(0, 0, 999), (5, 0, 1048), (5, 25, 1048), (2, 25, 1024), (0, 25, 1024)]
)
def test_overage_is_the_larger_of_the_two_and_never_a_part_of_a_seat(percent: int, seats: int, capacity: int) -> None:
    assert Pool(seats=999, overage_percent=percent, overage_seats=seats).capacity == capacity


def test_r4_r16_a_licence_grows_and_shrinks_and_gives_back_at_once() -> None:
    small, large = claim("a", 40, previous=60), claim("b", 60, day=1, previous=40)
    assert result(Pool(seats=100), small, large) == {"a": (40, Reason.GRANTED), "b": (60, Reason.GRANTED)}


def test_r17_a_licence_is_never_shrunk_below_use_and_follows_it_down() -> None:
    one = claim("a", 40, previous=60, used=53)
    assert result(Pool(seats=100), one) == {"a": (53, Reason.BELOW_USAGE)}
    (grant,) = shared(Pool(seats=100), one).grants.values()
    assert told(one, grant, capacity=100) == "40 seats requested, 53 in use; keeps 53 until use drops"
    assert result(Pool(seats=100), replace(one, previous=53, used=45)) == {"a": (45, Reason.BELOW_USAGE)}
    assert result(Pool(seats=100), replace(one, previous=45, used=40)) == {"a": (40, Reason.GRANTED)}


def test_r8_a_unit_that_the_register_does_not_know_gets_nothing() -> None:
    unknown = replace(claim("a", 40, previous=10, used=5), unit_state=Unit.UNKNOWN)
    assert result(Pool(seats=100), unknown) == {"a": (10, Reason.SCHOOL_UNIT_UNKNOWN)}


def test_a_closed_unit_keeps_what_it_has() -> None:
    closed = replace(claim("a", 40, previous=30, used=5), unit_state=Unit.CLOSED)
    assert result(Pool(seats=100), closed) == {"a": (30, Reason.SCHOOL_UNIT_CLOSED)}


def test_r18_r20_seats_come_back_once_the_licence_is_gone() -> None:
    leaving, waits = replace(claim("a", 60, previous=60, used=20), revoking=True), claim("b", 50, day=1)
    pool = Pool(seats=100)
    assert result(pool, leaving, waits) == {"a": (60, Reason.REVOKING), "b": (0, Reason.WAITING_FOR_SEATS)}
    assert result(pool, waits) == {"b": (50, Reason.GRANTED)}


def test_one_too_many_waits_and_is_told_what_frees_it() -> None:
    claims = [claim(name, 250, day=day, previous=250) for day, name in enumerate("abcd")]
    late = claim("e", 100, day=9)
    found = shared(Pool(seats=1050), *claims, late)
    assert found.grants["school", "e"] == Grant(0, Reason.WAITING_FOR_SEATS, 50)
    assert told(late, found.grants["school", "e"], capacity=1050) == (
        "100 seats requested, 0 granted; waits until 50 more fall free: "
        "shrink or remove other licences of the pool, or buy more"
    )
    less = replace(claims[0], requested=200)
    assert shared(Pool(seats=1050), less, *claims[1:], late).grants["school", "e"] == Grant(100, Reason.GRANTED)


def test_what_is_wanted_in_front_is_lacking_too() -> None:
    found = shared(Pool(seats=100), claim("a", 70, previous=70), claim("b", 40, day=1), claim("c", 50, day=2))
    assert [grant.lacks for grant in found.grants.values()] == [0, 10, 60]


def test_a_typo_of_9999_seats_blocks_nobody() -> None:
    typo, other = claim("a", 9999), claim("b", 50, day=1)
    for queue in Queue:
        pool = Pool(seats=1000, queue=queue)
        assert result(pool, typo, other) == {"a": (0, Reason.EXCEEDS_POOL), "b": (50, Reason.GRANTED)}
        (grant, _) = shared(pool, typo, other).grants.values()
        assert "the whole pool has 1,000" in told(typo, grant, capacity=1000)


@pytest.mark.parametrize(("queue", "small"), [(Queue.BEST_EFFORT_FIFO, 30), (STRICT, 0)])
def test_small_ones_pass_the_first_that_does_not_fit_unless_the_queue_is_strict(queue: Queue, small: int) -> None:
    claims = [claim("a", 60, previous=60), claim("b", 50, day=1), claim("c", 30, day=2)]
    found = result(Pool(seats=100, queue=queue), *claims)
    assert found["b"] == (0, Reason.WAITING_FOR_SEATS)
    assert found["c"][0] == small


def test_the_order_is_priority_then_age_then_name() -> None:
    claims = [claim("c", 1), claim("b", 1), claim("a", 1, day=1), replace(claim("d", 1, day=2), priority=1)]
    assert [name for _, name in shared(Pool(seats=0), *claims).grants] == ["d", "b", "c", "a"]


def test_priority_takes_no_seats_from_who_has_them() -> None:
    has, wants = claim("a", 100, previous=100, used=3), replace(claim("b", 50, day=1), priority=9)
    found = result(Pool(seats=100), has, wants)
    assert found == {"a": (100, Reason.GRANTED), "b": (0, Reason.WAITING_FOR_SEATS)}


def test_a_pool_that_shrank_takes_back_from_the_last_what_is_not_in_use() -> None:
    claims = [claim("a", 50, previous=50, used=10), claim("b", 50, day=1, previous=50, used=10)]
    assert result(Pool(seats=80), *claims) == {"a": (50, Reason.GRANTED), "b": (30, Reason.WAITING_FOR_SEATS)}
    found = shared(Pool(seats=15), *claims)
    assert [grant.seats for grant in found.grants.values()] == [10, 10]
    assert (found.free, found.over_allocated) == (-5, True)


@pytest.mark.parametrize(
    ("pool", "reason"),
    [
        (None, Reason.POOL_NOT_FOUND),
        (Pool(seats=100, valid_until=TODAY - timedelta(days=1)), Reason.POOL_EXPIRED),
        (Pool(seats=100, suspended=True), Reason.POOL_SUSPENDED),
    ],
    ids=["gone", "expired", "suspended"],
)
def test_a_pool_that_is_gone_expired_or_suspended_keeps_grants_and_gives_none(
    pool: Pool | None, reason: Reason
) -> None:
    has, wants = claim("a", 60, previous=40, used=30), claim("b", 5, day=1)
    assert result(pool, has, wants) == {"a": (40, reason), "b": (0, reason)}
    assert all(not grant.open for grant in shared(pool, has, wants).grants.values())


def test_a_pool_is_valid_on_its_last_day() -> None:
    assert result(Pool(seats=9, valid_until=TODAY), claim("a", 9)) == {"a": (9, Reason.GRANTED)}


def test_a_namespace_that_the_pool_does_not_admit_gets_nothing() -> None:
    stranger = replace(claim("a", 60, previous=10, used=3), allowed=False)
    assert result(Pool(seats=100), stranger) == {"a": (10, Reason.NOT_ALLOWED_BY_POOL)}


def test_a_unit_may_have_several_licences_unless_the_pool_says_one() -> None:
    claims = [claim("a", 10, unit="1"), claim("b", 20, unit="1", day=1, previous=20, used=8)]
    assert result(Pool(seats=100), *claims) == {"a": (10, Reason.GRANTED), "b": (20, Reason.GRANTED)}
    one = Pool(seats=100, one_per_unit=True)
    assert result(one, *claims) == {"a": (10, Reason.GRANTED), "b": (20, Reason.DUPLICATE_CLAIM)}


@pytest.mark.parametrize(
    "refused", [{"revoking": True}, {"allowed": False}, {"unit_state": Unit.UNKNOWN}, {"requested": 9999}]
)
def test_who_can_get_nothing_stands_for_no_unit(refused: dict[str, object]) -> None:
    first = replace(claim("a", 10, unit="1"), **refused)  # type: ignore[arg-type]  # one field by its name
    assert result(Pool(seats=100, one_per_unit=True), first, claim("b", 20, unit="1", day=1))["b"][0] == 20


def test_the_first_reason_of_the_list_is_told() -> None:
    all_wrong = replace(
        claim("z", 9999, unit="1", day=9), revoking=True, allowed=False, unit_state=Unit.UNKNOWN, used=10_000
    )
    pool = Pool(seats=100, valid_until=TODAY - timedelta(days=1), suspended=True, one_per_unit=True)
    mended: list[tuple[Pool, dict[str, object]]] = [
        (pool, {}),
        (pool, {"revoking": False}),
        (pool, {"allowed": True}),
        (pool, {"unit": "2"}),
        (pool, {"unit_state": Unit.CLOSED}),
        (pool, {"unit_state": Unit.KNOWN}),
        (replace(pool, valid_until=None), {}),
        (replace(pool, suspended=False, valid_until=None), {}),
        (replace(pool, suspended=False, valid_until=None), {"used": 0}),
        (replace(pool, suspended=False, valid_until=None, seats=10_000), {"previous": 0}),
        (replace(pool, suspended=False, valid_until=None, seats=10_003), {}),
    ]
    reasons = []
    for place, change in mended:
        all_wrong = replace(all_wrong, **change)  # type: ignore[arg-type]  # as above
        found = result(place, claim("a", 4, unit="1", previous=4), all_wrong)
        reasons.append(found["z"][1])
    assert reasons == [
        Reason.REVOKING,
        Reason.NOT_ALLOWED_BY_POOL,
        Reason.DUPLICATE_CLAIM,
        Reason.SCHOOL_UNIT_UNKNOWN,
        Reason.SCHOOL_UNIT_CLOSED,
        Reason.POOL_EXPIRED,
        Reason.POOL_SUSPENDED,
        Reason.BELOW_USAGE,
        Reason.EXCEEDS_POOL,
        Reason.WAITING_FOR_SEATS,
        Reason.GRANTED,
    ]


def test_demand_does_not_count_as_use() -> None:
    """Safety row 17: a thousand students who want ten seats take ten."""
    assert result(Pool(seats=1000), claim("a", 10, used=10, previous=10), claim("b", 990, day=1)) == {
        "a": (10, Reason.GRANTED),
        "b": (990, Reason.GRANTED),
    }


@given(known, many)
@unhurried
def test_the_words_are_no_longer_than_a_line_and_name_nobody(pool: Pool | None, claims: list[Claim]) -> None:
    found = shared(pool, *claims)
    for one in claims:
        text = told(one, found.grants[one.key], capacity=pool.capacity if pool else 0)
        assert 0 < len(text) < 250
        assert not text.endswith(".")
        assert "None" not in text

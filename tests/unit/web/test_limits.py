"""Token buckets: a burst, then one by one, and nobody's bucket is another's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from homeroom.web import limits
from homeroom.web.limits import Limit, network


@given(
    burst=st.integers(1, 5),
    seconds=st.integers(1, 30),
    waits=st.lists(st.integers(0, 40), max_size=60),
)
def test_no_stretch_of_time_has_more_than_a_burst_and_its_share(burst: int, seconds: int, waits: list[int]) -> None:
    now = 1000.0
    limit = Limit(burst=burst, seconds=seconds, monotonic=lambda: now)
    taken = []
    for wait in waits:
        now += wait
        if limit.take("a"):
            taken.append(now)
    for first, begin in enumerate(taken):
        for count, end in enumerate(taken[first:], start=1):
            assert count <= burst + (end - begin) // seconds


def test_who_waits_long_enough_may_try_again() -> None:
    now = 0.0
    limit = Limit(burst=2, seconds=10, monotonic=lambda: now)
    assert [limit.take("a") for _ in range(3)] == [True, True, False]
    assert limit.take("b")
    now = 10.0
    assert [limit.take("a") for _ in range(2)] == [True, False]


def test_memory_is_bounded() -> None:
    limit = Limit(burst=1, seconds=10, monotonic=lambda: 0.0)
    for number in range(limits._BUCKETS + 100):
        limit.take(str(number))
    assert len(limit._free) == limits._BUCKETS
    assert not limit.take(str(limits._BUCKETS))


def test_of_ipv6_the_whole_network_counts() -> None:
    assert network("2001:db8::1") == network("2001:db8:0:0:ffff::9") == ("2001:db8::/64", "2001:db8::/48")
    assert network("2001:db8:0:1::1") == ("2001:db8:0:1::/64", "2001:db8::/48")
    assert network("::ffff:203.0.113.9") == network("203.0.113.9") == ("203.0.113.9/32", "203.0.113.0/24")
    assert network("unix") == network("") == ("", "")

"""Whom licences connect: teachers, by key or by the records, and what is remembered of who is connected no more."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples

from homeroom.seats.access import (
    CONNECTED_SCHEMA,
    NO_TEACHERS,
    TEACHERS_SCHEMA,
    connected_in,
    settle_access,
    withdrawn_in,
)

TEACHERS, LICENCES = ("ann", "bob", "cleo"), ("a", "b", "c")
pairs = st.frozensets(st.tuples(st.sampled_from(TEACHERS), st.sampled_from(LICENCES)))


def settled(
    before: pl.DataFrame,
    records: Collection[tuple[str, str]] = (),
    keys: Collection[tuple[str, str]] = (),
    *,
    still: Collection[str] = (),
    gone: Collection[str] = (),
) -> pl.DataFrame:
    """`records` and `keys`: (teacher, licence); `still` and `gone`: licences, all others are open."""
    open_ = {*LICENCES} - {*still} - {*gone}
    found = [("d", *pair, False) for pair in records] + [("d", *pair, True) for pair in keys]
    return settle_access(
        before,
        pl.DataFrame(sorted(found), CONNECTED_SCHEMA, orient="row"),
        keyed=pl.DataFrame([("d", *pair) for pair in sorted(keys)], list(TEACHERS_SCHEMA.items())[:3], orient="row"),
        open_=open_,
        still=still,
    )


def now(teachers: pl.DataFrame) -> tuple[set[str], set[str]]:
    """Who is connected, and who is withdrawn."""
    return set(connected_in(teachers, "d")), set(withdrawn_in(teachers, "d"))


def test_who_is_connected_by_any_licence_is_connected() -> None:
    both = settled(NO_TEACHERS, [("ann", "a")], [("ann", "b"), ("bob", "b")])
    assert now(both) == ({"ann", "bob"}, set())
    without_b = settled(both, [("ann", "a")], gone="b")
    assert now(without_b) == ({"ann"}, {"bob"})
    assert now(settled(without_b, gone="ab")) == (set(), {"ann", "bob"})


def test_an_ended_connection_withdraws_and_one_that_the_records_end_does_not() -> None:
    before = settled(NO_TEACHERS, [("ann", "a")], [("bob", "b")])
    assert now(settled(before)) == (set(), {"bob"})
    left = settled(before, keys=[("bob", "b")])
    assert now(left) == ({"bob"}, set())
    assert now(settled(left, keys=[("bob", "b")], gone="a")) == ({"bob"}, {"ann"}), (
        "what she had by it, she has no more"
    )


def test_whoever_is_connected_again_is_not_withdrawn() -> None:
    before = settled(settled(NO_TEACHERS, [("ann", "a")]), gone="a")
    assert now(before) == (set(), {"ann"})
    assert now(settled(before, [("ann", "b")], gone="a")) == ({"ann"}, set())


def test_what_is_not_known_connects_whom_it_did_and_nobody_else() -> None:
    before = settled(NO_TEACHERS, [("ann", "a")], [("bob", "a"), ("cleo", "a")])
    after = settled(before, [("bob", "b")], [("bob", "a")], still="a")
    assert now(after) == ({"ann", "bob"}, {"cleo"}), "who left by hand is known to have left"
    assert now(settled(before, [("ann", "b")], [("x", "a")], still="abc"))[0] == {"ann"}


@examples(50)
@given(before=pairs, first=pairs, records=pairs, keys=pairs, still=st.sets(st.sampled_from(LICENCES)))
def test_settling_twice_changes_nothing_and_nobody_is_both(
    before: frozenset[tuple[str, str]],
    first: frozenset[tuple[str, str]],
    records: frozenset[tuple[str, str]],
    keys: frozenset[tuple[str, str]],
    still: set[str],
) -> None:
    start = settled(NO_TEACHERS, before, first)
    once = settled(start, records, keys, still=still)
    assert settled(once, records, keys, still=still).equals(once)
    connected, withdrawn = now(once)
    assert not connected & withdrawn
    assert {teacher for teacher, licence in records | keys if licence not in still} <= connected
    assert connected <= now(start)[0] | {teacher for teacher, licence in records | keys if licence not in still}
    assert not once.select(pl.exclude("connected", "revoked", "by_key")).is_duplicated().any()

"""Licences that go: whatever the sequence, no more of them go unasked in a week than two or a tenth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from homeroom.plan import CHANGE_SCHEMA, HELD_SCHEMA
from homeroom.seats.revocation import FEW, NONE_REVOKED, PERCENT, Standing, asked, judge, written_down

BEGIN = datetime(2026, 9, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
NONE_RELEASED = pl.DataFrame(schema={**CHANGE_SCHEMA, "hold": pl.String()})
NONE_HELD = pl.DataFrame(schema=HELD_SCHEMA)


# A day after 30 were made one goes with an approval; on the seventh day the tenth is one of 29, not of 30.
@example(old=0, steps=[(0, 0, 30, False), (24, 1, 0, True), (144, 3, 0, False), (24, 0, 0, False)])
@given(
    old=st.integers(0, 40),
    steps=st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 12), st.integers(0, 30), st.booleans()), min_size=1, max_size=12
    ),
)
def test_no_sequence_of_deletions_and_new_licences_gets_more_through_in_a_week(
    old: int, steps: list[tuple[int, int, int, bool]]
) -> None:
    """Hours between the steps, licences that are deleted, licences that are made, and whether a person approves."""
    there = {f"n/old-{number:03}": BEGIN - timedelta(days=30) for number in range(old)}
    now, revoked, unasked = BEGIN, NONE_REVOKED, list[tuple[datetime, str]]()
    history = [(BEGIN - timedelta(days=30), frozenset(there))]
    for step, (hours, gone, made, approved) in enumerate(steps):
        now += timedelta(hours=hours)
        there |= {f"n/new-{step:02}-{number:03}": now for number in range(made)}
        going = asked(sorted(there)[:gone])
        standing = Standing.of(there, revoked, now=now)
        released = going.with_columns(hold=pl.lit("h")) if approved else NONE_RELEASED
        judged = judge(going, standing, released=released, sticky=NONE_HELD)
        passing = judged.plan.changes
        assert passing.height + judged.held.height == going.height
        assert passing.height in {0, going.height}, "one question for all of them"
        revoked = written_down(revoked, passing, made=there, now=now)
        unasked += [(now, name) for name in passing["key"] if not approved]
        there = {name: at for name, at in there.items() if name not in set(passing["key"])}
        history.append((now, frozenset(there)))
    for moment, _ in history:
        before = [names for at, names in history if at <= moment - WEEK]
        size = len(before[-1]) if before else len(history[0][1])
        within = [name for at, name in unasked if moment - WEEK < at <= moment]
        assert len(within) <= max(FEW, size * PERCENT // 100)


def test_the_line_is_two_or_a_tenth_whichever_is_more() -> None:
    def passes(going: int, size: int, gone: int = 0) -> bool:
        plan = asked([f"n/{number}" for number in range(going)])
        judged = judge(plan, Standing(size=size, gone=gone), released=NONE_RELEASED, sticky=NONE_HELD)
        return judged.held.is_empty()

    assert [passes(2, 2), passes(3, 29), passes(3, 30), passes(4, 39), passes(4, 40)] == [
        True,
        False,
        True,
        False,
        True,
    ]
    assert [passes(1, 20, gone=1), passes(1, 20, gone=2), passes(2, 20, gone=1)] == [True, False, False]


def test_what_is_left_of_an_approved_loss_is_what_the_next_one_is_measured_by() -> None:
    there = {f"n/{number:03}": BEGIN - timedelta(days=30) for number in range(100)}
    gone = asked(sorted(there)[:80]).with_columns(hold=pl.lit("h"))
    revoked = written_down(NONE_REVOKED, gone, made=there, now=BEGIN)
    left = {name: at for name, at in there.items() if name not in set(gone["key"])}
    assert Standing.of(left, revoked, now=BEGIN + timedelta(days=1)) == Standing(size=20, gone=0)


def test_what_was_asked_about_passes_or_waits_and_is_counted_no_more() -> None:
    plan = asked(["n/a", "n/b", "n/c", "n/d", "n/e"])
    rows = {name: plan.filter(key=name) for name in plan["key"]}
    released = rows["n/a"].with_columns(hold=pl.lit("h"))
    held = judge(plan, Standing(size=5, gone=0), released=NONE_RELEASED, sticky=NONE_HELD).held
    sticky = held.filter(pl.col("key").is_in(["n/b", "n/c"]))
    judged = judge(plan, Standing(size=5, gone=0), released=released, sticky=sticky)
    assert judged.plan.changes.select("key", "hold").rows() == [("n/a", "h"), ("n/d", None), ("n/e", None)]
    assert judged.held.is_empty()

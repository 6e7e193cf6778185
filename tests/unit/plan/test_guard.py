"""Which changes pass, which are held, which wait: the guards of DESIGN.md section 6, and invariants 4, 7, 8 and 11."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples
from tests.unit.plan.rows import Row, Rows, adding, expand, plan, taking

from homeroom.plan import (
    CHANGE,
    HELD_SCHEMA,
    IDENTITY,
    RECENT_SCHEMA,
    SIZES_SCHEMA,
    Cause,
    Guard,
    Judged,
    Kind,
    Limits,
    Op,
    Plan,
    Role,
    Standing,
    changes,
    counted_as_gone,
    judge,
)

NOTHING = Standing(
    sizes=pl.DataFrame(schema=SIZES_SCHEMA),
    recent=pl.DataFrame(schema=RECENT_SCHEMA),
    reviewed=None,
    known=["s1", "s2", "s3"],
    kinds=[False, True],
)


def standing(*sizes: tuple[Kind, str, int], classes: dict[str, int] | None = None) -> Standing:
    """Sizes per school, and of classes, written as `school/class`."""
    rows: list[tuple[str, str, str | None, int]] = [(kind.value, where, None, n) for kind, where, n in sizes]
    for name, n in (classes or {}).items():
        school, section = name.split("/")
        rows.append((Kind.MEMBERSHIP.value, school, section, n))
    return replace(NOTHING, sizes=pl.DataFrame(rows, schema=SIZES_SCHEMA, orient="row"))


def recent(*rows: tuple[Kind, str, str | None, Op, Cause, bool, int]) -> pl.DataFrame:
    plain = [(k.value, s, c, o.value, why.value, ok, n) for k, s, c, o, why, ok, n in rows]
    return pl.DataFrame(plain, schema=RECENT_SCHEMA, orient="row")


def judged(rows: Rows, stands: Standing, *, released: Rows = (), sticky: Rows = ()) -> Judged:
    kept = changes(plan(sticky).changes).with_columns(
        pl.lit("").alias(name) for name in HELD_SCHEMA if name not in CHANGE
    )
    return judge(
        plan(rows),
        stands,
        Limits(),
        released=changes(plan(released).changes).with_columns(hold=pl.lit("h")),
        sticky=kept.select(HELD_SCHEMA.names()),
    )


def passed(result: Judged) -> set[tuple[str, ...]]:
    return set(changes(result.plan.changes).rows())


def rows_of(rows: Rows) -> set[tuple[str, ...]]:
    return set(changes(plan(rows).changes).rows())


def stops(result: Judged) -> dict[tuple[str, str, str], int]:
    counted = result.held.group_by("guard", "scope", "place").len().rows()
    return {(guard, scope, place): n for guard, scope, place, n in counted}


# -- what was there before --------------------------------------------------------------------------------------------


def adopting(kind: Kind, key: str, *, school: str = "s1") -> Row:
    role = Role.ADMINISTRATOR.value if kind is Kind.RIGHT else None
    return (school, kind.value, Op.ADOPT.value, Cause.ADOPTION.value, key, None, role)


@pytest.mark.parametrize("reviewed", [None, ["s1"], []])
def test_an_adoption_is_always_seen_first_once_per_school_with_who_leaves_by_it(reviewed: list[str] | None) -> None:
    leaving = taking(Kind.MEMBERSHIP, 1, cause=Cause.ADOPTION, of="7a")
    taken = [adopting(Kind.SCHOOL, "s1"), adopting(Kind.PERSON, "p1"), adopting(Kind.CLASS, "7a"), *leaving]
    after = ("s1", "Membership", "Create", "SourceAdded", "p1", "7a", "Learner")
    new = ("s2", "Person", "Create", "SourceAdded", "p2", None, None)
    stands = replace(NOTHING, reviewed=None if reviewed is None else [*reviewed, "s2"])
    result = judged([*taken, after, new], stands)
    first = {("FirstSync", "School", "s1"): 1} if reviewed == [] else {}
    assert stops(result) == {("Adoption", "School", "s1"): 4, **first}
    assert passed(result) == rows_of([new])
    approved = judged([*taken, after, new], stands, released=taken)
    assert passed(approved) == rows_of([*taken, new] if reviewed == [] else [*taken, after, new])


def test_an_account_that_has_administrator_rights_is_listed_among_the_administrators() -> None:
    head = [adopting(Kind.PERSON, "head"), adopting(Kind.RIGHT, "head")]
    pupil = [adopting(Kind.PERSON, "pupil")]
    result = judged([*head, *pupil], NOTHING)
    assert stops(result) == {("Administrators", "School", "s1"): 2, ("Adoption", "School", "s1"): 1}
    assert passed(judged([*head, *pupil], NOTHING, released=pupil)) == rows_of(pupil)


# -- how much is too much ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.MEMBERSHIP, Kind.PERSON, Kind.CLASS])
def test_a_tenth_of_a_school_passes_and_more_does_not(kind: Kind) -> None:
    tenth, more, new = taking(kind, 10), taking(kind, 11), adding(Kind.PERSON, 5)
    stands = standing((kind, "s1", 100), classes={"s1/c0": 100})
    assert passed(judged(tenth, stands)) == rows_of(tenth)
    result = judged([*more, *new], stands)
    assert passed(result) == rows_of(new)
    assert stops(result) == {("Deletes", "School", "s1"): 11}


NOW = datetime(2026, 9, 8, tzinfo=UTC)


def waiting(rows: Rows, *, days: int, hold: str | None = None) -> pl.DataFrame:
    """Rows of a plan that were let through so many days ago."""
    return plan(rows).changes.with_columns(passed=pl.lit(NOW - timedelta(days)), hold=pl.lit(hold, pl.String))


def gone_before(stands: Standing, rows: pl.DataFrame) -> Standing:
    """What the guards stand on when the rows wait for their day."""
    sizes, recent = counted_as_gone(rows, stands.sizes, stands.recent, since=NOW - timedelta(7))
    return replace(stands, sizes=sizes, recent=recent)


@pytest.mark.parametrize(("days", "hold", "passes"), [(1, None, 4), (8, None, 9), (1, "h", 9)])
def test_what_waits_for_its_day_counts_as_gone_since_it_was_let_through(
    days: int, hold: str | None, passes: int
) -> None:
    stands = standing((Kind.PERSON, "s1", 100))
    early = taking(Kind.PERSON, 6)
    stands = gone_before(stands, waiting(early, days=days, hold=hold))
    assert stands.sizes["size"].to_list() == [94]
    for number in (passes, passes + 1):
        late = [expand("s1", Kind.PERSON, Op.SUSPEND, Cause.LEFT_SOURCE, 500 + n) for n in range(number)]
        assert bool(stops(judged(late, stands))) is (number > passes)


def test_what_was_let_through_before_is_never_judged_again() -> None:
    rows = taking(Kind.PERSON, 80)
    stands = gone_before(standing((Kind.PERSON, "s1", 100)), waiting(rows, days=8))
    late = [expand("s1", Kind.PERSON, Op.SUSPEND, Cause.LEFT_SOURCE, 500)]
    due = Plan.of(pl.concat([waiting(rows, days=8), plan(late).changes]))
    nothing = pl.DataFrame(schema=dict.fromkeys([*CHANGE, "hold"], pl.String()))
    result = judge(due, stands, Limits(), released=nothing, sticky=pl.DataFrame(schema=HELD_SCHEMA))
    assert passed(result) == rows_of([*rows, *late])
    assert not stops(result)


def test_one_bad_school_stops_no_other() -> None:
    lost = [*taking(Kind.PERSON, 200, school="s1"), *taking(Kind.MEMBERSHIP, 400, school="s1")]
    fine = taking(Kind.PERSON, 3, school="s2")
    sizes = standing(
        (Kind.PERSON, "s1", 200), (Kind.MEMBERSHIP, "s1", 400), (Kind.PERSON, "s2", 100), (Kind.PERSON, "s3", 100)
    )
    result = judged([*lost, *fine], sizes)
    assert passed(result) == rows_of(fine)
    assert stops(result) == {("Deletes", "School", "s1"): 600}


def test_many_small_losses_are_a_big_one() -> None:
    sizes = standing(*((Kind.PERSON, f"t{n}", 40) for n in range(20)))
    little = [row for n in range(20) for row in taking(Kind.PERSON, 4, school=f"t{n}")]
    assert stops(judged(little, sizes)) == {}
    much = [*little, *taking(Kind.CLASS, 1, school="t0")]
    tight = replace(sizes, recent=recent((Kind.PERSON, "t3", None, Op.SUSPEND, Cause.LEFT_SOURCE, False, 40)))
    assert stops(judged(much, tight))[("Deletes", "School", "t3")] == 4
    assert sum(stops(judged([*little, *taking(Kind.PERSON, 4, school="t20")], sizes)).values()) == 4


def test_a_class_that_shrinks_by_more_than_half_keeps_everybody_and_stays_open() -> None:
    classes = {"s1/7a": 25, "s1/7b": 25}
    sizes = standing((Kind.MEMBERSHIP, "s1", 600), (Kind.PERSON, "s1", 400), (Kind.CLASS, "s1", 24), classes=classes)
    half = taking(Kind.MEMBERSHIP, 12, of="7a")
    assert passed(judged(half, sizes)) == rows_of(half)
    gone = [*taking(Kind.MEMBERSHIP, 25, of="7a"), ("s1", "Class", "Archive", "LeftSource", "7a", None, None)]
    other = taking(Kind.MEMBERSHIP, 3, of="7b")
    result = judged([*gone, *other], sizes)
    assert passed(result) == rows_of(other)
    assert stops(result) == {("ClassShrink", "Class", "7a"): 26}


def test_an_account_is_not_closed_while_a_place_of_its_is_held() -> None:
    sizes = standing((Kind.MEMBERSHIP, "s1", 600), (Kind.PERSON, "s1", 400), classes={"s1/7a": 25})
    gone = [*taking(Kind.MEMBERSHIP, 25, of="7a"), *taking(Kind.PERSON, 25)]
    result = judged(gone, sizes)
    assert passed(result) == set()
    assert stops(result) == {("ClassShrink", "Class", "7a"): 50}


@pytest.mark.parametrize(("size", "is_held"), [(1, True), (4, True), (5, False)])
def test_small_numbers_pass_unless_they_are_the_last_ones(size: int, *, is_held: bool) -> None:
    rows = taking(Kind.MEMBERSHIP, min(size, 4), of="7a")
    sizes = standing((Kind.MEMBERSHIP, "s1", 600), classes={"s1/7a": size})
    assert bool(stops(judged(rows, sizes))) is is_held


def test_where_nothing_is_counted_nothing_is_removed() -> None:
    assert stops(judged(taking(Kind.MEMBERSHIP, 1), NOTHING)) == {("Deletes", "School", "s1"): 1}


# -- the window of seven days (safety row 3) --------------------------------------------------------------------------


def test_small_steps_do_not_add_up_to_a_big_one() -> None:
    before = recent((Kind.PERSON, "s1", None, Op.SUSPEND, Cause.LEFT_SOURCE, False, 9))
    stands = replace(standing((Kind.PERSON, "s1", 91)), recent=before)
    assert stops(judged(taking(Kind.PERSON, 1), stands)) == {}
    assert stops(judged(taking(Kind.PERSON, 2), stands)) == {("Deletes", "School", "s1"): 2}


def test_what_was_approved_does_not_count_as_gone() -> None:
    before = recent((Kind.PERSON, "s1", None, Op.SUSPEND, Cause.LEFT_SOURCE, True, 138))
    stands = replace(standing((Kind.PERSON, "s1", 262)), recent=before)
    assert stops(judged(taking(Kind.PERSON, 1), stands)) == {}


def test_what_is_left_of_an_approved_loss_is_what_the_next_one_is_measured_by() -> None:
    before = recent((Kind.PERSON, "s1", None, Op.SUSPEND, Cause.LEFT_SOURCE, True, 800))
    stands = replace(standing((Kind.PERSON, "s1", 200)), recent=before)
    assert stops(judged(taking(Kind.PERSON, 20), stands)) == {}
    assert stops(judged(taking(Kind.PERSON, 21), stands)) == {("Deletes", "School", "s1"): 21}


def test_an_approved_turnover_leaves_room_as_before() -> None:
    """The roll-over of August: all go and others come, and a school of the same size is left."""
    gone = (Kind.PERSON, "s1", None, Op.SUSPEND, Cause.LEFT_SOURCE, True, 200)
    come = (Kind.PERSON, "s1", None, Op.CREATE, Cause.SOURCE_ADDED, False, 200)
    stands = replace(standing((Kind.PERSON, "s1", 200)), recent=recent(gone, come))
    assert stops(judged(taking(Kind.PERSON, 20), stands)) == {}
    assert stops(judged(taking(Kind.PERSON, 21), stands)) == {("Deletes", "School", "s1"): 21}


def test_additions_in_between_do_not_dissolve_a_guard() -> None:
    before = recent((Kind.PERSON, "s1", None, Op.CREATE, Cause.SOURCE_ADDED, False, 100))
    stands = replace(standing((Kind.PERSON, "s1", 200)), recent=before)
    assert stops(judged(taking(Kind.PERSON, 11), stands)) == {("Deletes", "School", "s1"): 11}


# -- what is never judged ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strangers", [1, 25, 200])
def test_intruders_always_go_and_never_make_room(strangers: int) -> None:
    out = taking(Kind.MEMBERSHIP, strangers, cause=Cause.INTRUDER, of="7a")
    stands = standing((Kind.MEMBERSHIP, "s1", 25 + strangers), classes={"s1/7a": 25 + strangers})
    result = judged([*out, *taking(Kind.MEMBERSHIP, 13, of="7a")], stands)
    assert passed(result) == rows_of(out)
    assert sum(stops(result).values()) == 13
    assert passed(judged(out, stands)) == rows_of(out)
    assert passed(judged(out, NOTHING)) == rows_of(out)


def test_who_is_denied_goes_at_once_whatever_is_held() -> None:
    denied = [expand("s1", Kind.PERSON, Op.SUSPEND, Cause.DENIED, 900)]
    lost = taking(Kind.PERSON, 50)
    stands = standing((Kind.PERSON, "s1", 100))
    result = judged([*denied, *lost], stands, sticky=lost)
    assert passed(result) == rows_of(denied)
    one = taking(Kind.PERSON, 1, cause=Cause.DENIED)
    result = judged([*one, *lost[1:]], stands, sticky=lost)
    assert passed(result) == rows_of(one)


def test_the_end_of_a_term_is_outside_the_percentages() -> None:
    over = taking(Kind.MEMBERSHIP, 90, cause=Cause.TERM_ENDED, of="7a")
    stands = standing((Kind.MEMBERSHIP, "s1", 100), classes={"s1/7a": 90})
    assert passed(judged(over, stands)) == rows_of(over)


def test_the_end_of_a_school_year_is_reviewed_once() -> None:
    over = [row for s in ("s1", "s2") for row in taking(Kind.MEMBERSHIP, 90, cause=Cause.ROLLED_OVER, school=s)]
    assert stops(judged(over, NOTHING)) == {("RollOver", "District", ""): 180}
    assert passed(judged(over, replace(NOTHING, rolled_over=True))) == rows_of(over)


# -- moves ------------------------------------------------------------------------------------------------------------


def moving(n: int, *, to: str = "7b") -> tuple[list[Row], list[Row]]:
    keys = [f"p{i}" for i in range(n)]
    learner = Role.LEARNER.value
    return (
        [("s1", "Membership", "Create", "SourceAdded", key, to, learner) for key in keys],
        [("s1", "Membership", "Remove", "Moved", key, "7a", learner) for key in keys],
    )


def test_moves_are_counted_apart() -> None:
    come, go = moving(60)
    stands = standing((Kind.MEMBERSHIP, "s1", 100), classes={"s1/7a": 60, "s1/7b": 40})
    assert passed(judged([*come, *go], stands)) == rows_of([*come, *go])
    come, go = moving(80)
    assert stops(judged([*come, *go], stands)) == {("Moves", "School", "s1"): 80}


def test_who_moves_keeps_the_old_place_until_there_is_a_new_one() -> None:
    come, go = moving(3)
    stands = standing((Kind.MEMBERSHIP, "s1", 100), classes={"s1/7a": 60})
    result = judged([*come, *go], stands, sticky=come[:1])
    assert passed(result) == rows_of([*come[1:], *go[1:]])
    assert result.waiting == 1


def test_who_may_have_another_id_is_asked_about_both_ways() -> None:
    """One human, or two: neither is an account closed, nor an empty one made beside it, before somebody has looked."""
    gone, come = (
        taking(Kind.PERSON, 1, cause=Cause.ID_CHANGED),
        [expand("s1", Kind.PERSON, Op.CREATE, Cause.ID_CHANGED, 7)],
    )
    child = [expand("s1", Kind.MEMBERSHIP, Op.CREATE, Cause.SOURCE_ADDED, 7, of="7b")]
    result = judged([*gone, *come, *child], standing((Kind.PERSON, "s1", 400)))
    assert stops(result) == {("Identity", "School", "s1"): 2}
    assert (passed(result), result.waiting) == (set(), 1)


# -- edits in Git (invariant 11, safety row 4) ------------------------------------------------------------------------


def test_what_an_edit_removes_is_one_question_apart_from_who_left() -> None:
    edited = [row for s in ("s1", "s2") for row in taking(Kind.MEMBERSHIP, 3, cause=Cause.SHARING_CHANGED, school=s)]
    left = [expand("s1", Kind.PERSON, Op.SUSPEND, Cause.LEFT_SOURCE, 900)]
    stands = standing(
        (Kind.MEMBERSHIP, "s1", 900),
        (Kind.MEMBERSHIP, "s2", 900),
        (Kind.PERSON, "s1", 900),
        classes={"s1/c0": 30, "s2/c0": 30},
    )
    result = judged([*edited, *left], stands)
    assert passed(result) == rows_of(left)
    assert stops(result) == {("ScopeEdit", "District", ""): 6}
    assert passed(judged(edited[:4], stands)) == rows_of(edited[:4])  # below the floor


def test_an_edit_that_shares_a_little_more_passes() -> None:
    more = adding(Kind.PERSON, 25, cause=Cause.SHARING_CHANGED)
    assert passed(judged(more, standing((Kind.PERSON, "s1", 100)))) == rows_of(more)
    much = adding(Kind.PERSON, 26, cause=Cause.SHARING_CHANGED)
    assert stops(judged(much, standing((Kind.PERSON, "s1", 100)))) == {("Exposure", "District", ""): 26}


def test_a_new_school_a_new_kind_of_person_and_whom_an_exclude_covered_are_always_asked_about() -> None:
    stands = standing((Kind.PERSON, "s1", 100))
    one = adding(Kind.PERSON, 1, cause=Cause.SHARING_CHANGED)
    assert stops(judged(one, stands)) == {}
    exposed = {("Exposure", "District", ""): 1}
    assert stops(judged(one, replace(stands, known=["s2"]))) == exposed
    assert stops(judged(one, replace(stands, kinds=[True]))) == exposed
    covered = changes(plan(one).changes).select(IDENTITY)
    assert stops(judged(one, replace(stands, covered=covered))) == exposed


def test_what_comes_to_an_edit_that_waits_waits_too() -> None:
    held, late = (
        adding(Kind.PERSON, 30, cause=Cause.SHARING_CHANGED),
        adding(Kind.PERSON, 31, cause=Cause.SHARING_CHANGED),
    )
    stands = replace(standing((Kind.PERSON, "s1", 100)), exposing=True)
    result = judged(late, stands, sticky=held)
    assert (passed(result), stops(result), result.waiting) == (set(), {}, 1)


# -- rights (invariant 8) and the first sync --------------------------------------------------------------------------


@pytest.mark.parametrize("cause", [Cause.SOURCE_ADDED, Cause.FIRST_SYNC, Cause.SHARING_CHANGED, Cause.DRIFT])
def test_every_gain_of_administrator_rights_waits_for_a_word(cause: Cause) -> None:
    rights = [("s1", "Right", "Create", cause.value, "a1", None, Role.ADMINISTRATOR.value)]
    account = adding(Kind.PERSON, 1)
    result = judged([*rights, *account], NOTHING)
    assert passed(result) == rows_of(account)
    assert stops(result) == {("Administrators", "School", "s1"): 1}


def test_the_first_sync_is_reviewed_per_school_and_the_administrators_apart() -> None:
    new = [
        row
        for school in ("s1", "s2")
        for row in (
            (school, "School", "Create", "FirstSync", school, None, None),
            *adding(Kind.PERSON, 40, cause=Cause.FIRST_SYNC, school=school),
            (school, "Right", "Create", "FirstSync", "a1", None, Role.ADMINISTRATOR.value),
        )
    ]
    stands = replace(NOTHING, reviewed=["s3"], known=[])
    assert stops(judged(new, stands)) == {
        ("FirstSync", "School", "s1"): 41,
        ("FirstSync", "School", "s2"): 41,
        ("Administrators", "School", "s1"): 1,
        ("Administrators", "School", "s2"): 1,
    }
    late = judged(
        [*new, *adding(Kind.PERSON, 41, school="s1")[40:]], replace(stands, starting=["s1", "s2"]), sticky=new
    )
    assert (passed(late), stops(late), late.waiting) == (set(), {}, 1)
    after = judged([*new, *adding(Kind.PERSON, 41, school="s1")], replace(stands, reviewed=["s1"], starting=["s2"]))
    assert {row[2] for row in passed(after)} == {"s1"}


def test_nothing_comes_below_what_is_held() -> None:
    parent = [("s1", "Class", "Create", "SharingChanged", "7z", None, None)]
    child = [("s1", "Membership", "Create", "SourceAdded", "p1", "7z", Role.LEARNER.value)]
    result = judged([*parent, *child], NOTHING, sticky=parent)
    assert (passed(result), result.waiting) == (set(), 1)


# -- approvals --------------------------------------------------------------------------------------------------------


def test_what_is_approved_passes_marked_and_the_rest_is_judged_by_itself() -> None:
    lost = taking(Kind.PERSON, 41)
    result = judged(lost, standing((Kind.PERSON, "s1", 100)), released=lost[:40])
    assert passed(result) == rows_of(lost)
    assert result.plan.changes["hold"].to_list().count("h") == 40


def test_what_is_held_stays_so_when_the_line_moves() -> None:
    held = taking(Kind.PERSON, 7)
    result = judged(held, standing((Kind.PERSON, "s1", 1000)), sticky=held)
    assert (passed(result), stops(result)) == (set(), {})


@examples(50)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["s1", "s2"]),
            st.sampled_from([(Kind.PERSON, Op.SUSPEND), (Kind.MEMBERSHIP, Op.REMOVE), (Kind.PERSON, Op.CREATE)]),
            st.sampled_from(
                [Cause.LEFT_SOURCE, Cause.INTRUDER, Cause.SHARING_CHANGED, Cause.ROLLED_OVER, Cause.DENIED]
            ),
            st.integers(0, 30),
        ),
        max_size=60,
    ),
    size=st.integers(0, 60),
)
def test_every_row_passes_is_held_or_waits(rows: list[tuple[str, tuple[Kind, Op], Cause, int]], size: int) -> None:
    plain = list({(s, what, n): expand(s, *what, cause, n) for s, what, cause, n in rows}.values())
    stands = standing(
        *((kind, s, size) for kind in Kind for s in ("s1", "s2")), classes={f"{s}/c0": size for s in ("s1", "s2")}
    )
    result = judged(plain, stands)
    held = set(result.held.select(CHANGE).rows())
    assert passed(result) | held <= rows_of(plain)
    assert not passed(result) & held
    assert len(passed(result)) + len(held) + result.waiting == len(rows_of(plain))
    assert isinstance(result.plan, Plan)
    for guard in result.held["guard"].unique():
        assert guard in set(Guard)


# -- time -------------------------------------------------------------------------------------------------------------


@examples(50)
@given(
    n=st.integers(0, 12),
    ended=st.integers(0, 12),
    cause=st.sampled_from([Cause.TERM_ENDED, Cause.ROLLED_OVER, Cause.LEFT_SOURCE, Cause.MOVED]),
    word=st.booleans(),
    rolled_over=st.booleans(),
)
def test_while_the_clock_is_in_doubt_nothing_goes_for_the_day_alone(
    *, n: int, ended: int, cause: Cause, word: bool, rolled_over: bool
) -> None:
    rows = [*taking(Kind.MEMBERSHIP, n, cause=cause), *adding(Kind.CLASS, 1)]
    by_time = taking(Kind.MEMBERSHIP, ended)
    stands = replace(
        standing((Kind.MEMBERSHIP, "s1", 1000)),
        by_time=plan(by_time).changes.select(pl.col(IDENTITY).cast(pl.String)),
        rolled_over=rolled_over,
    )
    result = judged(rows, stands, released=by_time if word else ())
    assert passed(result) >= rows_of(adding(Kind.CLASS, 1))
    going = passed(result) & rows_of(by_time)
    assert going == (rows_of(by_time) & rows_of(rows) if word else set())
    held = min(n, ended) if not word else 0
    assert stops(result).get(("Clock", "District", ""), 0) == held


def test_who_is_denied_and_who_never_had_a_reason_goes_whatever_the_clock_says() -> None:
    rows = [
        *taking(Kind.MEMBERSHIP, 2, cause=Cause.DENIED),
        *taking(Kind.MEMBERSHIP, 2, cause=Cause.INTRUDER, of="c1"),
    ]
    by_time = plan(rows).changes.select(pl.col(IDENTITY).cast(pl.String))
    assert passed(judged(rows, replace(NOTHING, by_time=by_time))) == rows_of(rows)


def test_a_school_loses_nothing_while_its_first_sync_is_not_reviewed() -> None:
    rows = [
        *taking(Kind.MEMBERSHIP, 2),
        *taking(Kind.MEMBERSHIP, 2, cause=Cause.DENIED, of="c1"),
        *taking(Kind.MEMBERSHIP, 2, school="s2"),
    ]
    sizes = [(Kind.MEMBERSHIP, school, 100) for school in ("s1", "s2")]
    stands = replace(standing(*sizes, classes={"s1/c0": 100, "s2/c0": 100}), starting=["s1"])
    result = judged(rows, stands)
    assert passed(result) == rows_of(rows[2:])
    assert (result.waiting, result.held.height) == (2, 0)
    assert passed(judged(rows, stands, released=rows[:2])) == rows_of(rows)

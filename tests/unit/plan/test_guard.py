"""A school that would lose more than a tenth of itself loses nothing."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.plan import Cause, Kind, Op, Plan, guard

SIZES_SCHEMA = {"school": pl.String, "kind": pl.String, "size": pl.UInt32}
TAKING = {Kind.MEMBERSHIP: Op.REMOVE, Kind.PERSON: Op.SUSPEND, Kind.RIGHT: Op.REMOVE, Kind.CLASS: Op.ARCHIVE}
COLUMNS = ["school", "kind", "op", "cause", "key"]

Row = tuple[str, str, str, str, str]


def taking(kind: Kind, n: int, *, school: str = "s1", cause: Cause = Cause.LEFT_SOURCE) -> list[Row]:
    return [(school, kind.value, TAKING[kind].value, cause.value, f"{cause}-{i:03}") for i in range(n)]


def adding(kind: Kind, n: int, *, school: str = "s1") -> list[Row]:
    return [(school, kind.value, Op.CREATE.value, Cause.SOURCE_ADDED.value, f"new-{i:03}") for i in range(n)]


def plan(*rows: list[Row]) -> Plan:
    return Plan.of(pl.DataFrame([r for part in rows for r in part], schema=COLUMNS, orient="row"))


def sizes(*rows: tuple[str, Kind, int]) -> pl.DataFrame:
    return pl.DataFrame([(s, k.value, n) for s, k, n in rows], schema=SIZES_SCHEMA, orient="row")


@pytest.mark.parametrize("kind", [Kind.MEMBERSHIP, Kind.PERSON])
def test_a_tenth_passes_and_more_does_not(kind: Kind) -> None:
    tenth, more = plan(taking(kind, 10)), plan(taking(kind, 11), adding(kind, 5))
    assert guard(tenth, sizes(("s1", kind, 100))).plan.digest() == tenth.digest()
    guarded = guard(more, sizes(("s1", kind, 100)))
    assert guarded.plan.digest() == plan(adding(kind, 5)).digest()
    assert guarded.stopped.digest() == plan(taking(kind, 11)).digest()
    assert guarded.breaches.rows() == [("s1", kind.value, 11, 100)]


def test_nothing_to_judge() -> None:
    nothing = guard(plan(), sizes())
    assert nothing.plan.empty
    assert nothing.stopped.empty
    assert nothing.breaches.columns == ["school", "kind", "removed", "size"]


def test_a_school_over_the_line_keeps_rights_and_classes_too_and_the_others_are_let_alone() -> None:
    going = [part for kind in TAKING for part in taking(kind, 5)]
    other = taking(Kind.MEMBERSHIP, 5, school="s2")
    guarded = guard(
        plan(going, other, adding(Kind.PERSON, 3)),
        sizes(("s1", Kind.MEMBERSHIP, 20), ("s1", Kind.PERSON, 500), ("s2", Kind.MEMBERSHIP, 50)),
    )
    assert guarded.stopped.digest() == plan(going).digest()
    assert guarded.plan.digest() == plan(other, adding(Kind.PERSON, 3)).digest()


def test_where_nothing_is_counted_nothing_is_removed() -> None:
    going = plan(taking(Kind.MEMBERSHIP, 1))
    assert guard(going, sizes()).stopped.digest() == going.digest()
    assert guard(plan(adding(Kind.MEMBERSHIP, 1)), sizes()).breaches.is_empty()


@pytest.mark.parametrize("strangers", [1, 25, 200])
def test_intruders_always_go_and_never_make_room(strangers: int) -> None:
    out = taking(Kind.MEMBERSHIP, strangers, cause=Cause.INTRUDER)
    guarded = guard(plan(out, taking(Kind.MEMBERSHIP, 3)), sizes(("s1", Kind.MEMBERSHIP, 25 + strangers)))
    assert guarded.plan.digest() == plan(out).digest()
    assert guarded.breaches.rows() == [("s1", "Membership", 3, 25)]
    assert guard(plan(out), sizes(("s1", Kind.MEMBERSHIP, 25 + strangers))).breaches.is_empty()
    assert guard(plan(out), sizes()).plan.digest() == plan(out).digest()


@st.composite
def situations(draw: st.DrawFn) -> tuple[Plan, pl.DataFrame]:
    rows: list[Row] = []
    counts: list[tuple[str, Kind, int]] = []
    for school in ("s1", "s2", "s3"):
        for kind in (Kind.MEMBERSHIP, Kind.PERSON):
            leaving, strangers, staying = (draw(st.integers(0, 40)) for _ in range(3))
            rows += taking(kind, leaving, school=school) + adding(kind, draw(st.integers(0, 5)), school=school)
            if kind is Kind.MEMBERSHIP:
                rows += taking(kind, strangers, school=school, cause=Cause.INTRUDER)
                staying += strangers
            counts.append((school, kind, leaving + staying))
        rows += taking(Kind.CLASS, draw(st.integers(0, 2)), school=school)
    return plan(rows), sizes(*counts)


@given(situations())
def test_no_school_loses_more_than_a_tenth_but_for_intruders(situation: tuple[Plan, pl.DataFrame]) -> None:
    whole, size = situation
    guarded = guard(whole, size)
    assert Plan.of(pl.concat([guarded.plan.changes, guarded.stopped.changes])).digest() == whole.digest()
    stopped = set(guarded.stopped.changes["school"])
    assert stopped <= set(guarded.breaches["school"])
    lookup = {(s, k): n for s, k, n in size.rows()}
    rows = guarded.plan.changes.with_columns(pl.col("op", "kind", "cause").cast(pl.String))
    for (school, kind), n in lookup.items():
        here = rows.filter(
            (pl.col("school") == school) & (pl.col("kind") == kind) & pl.col("op").is_in(list(TAKING.values()))
        )
        strangers = here.filter(pl.col("cause") == Cause.INTRUDER.value).height
        assert (here.height - strangers) * 10 <= n - strangers
    passed = rows.filter(pl.col("cause") == Cause.INTRUDER.value).height
    assert passed == whole.changes.filter(pl.col("cause").cast(pl.String) == Cause.INTRUDER.value).height

"""The ledger learns from the target's marks what it does not know, and nothing that nobody may know any more."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from homeroom.plan import Kind, Op, Plan
from homeroom.roster.owned import LEDGER_SCHEMA, unrecorded
from homeroom.roster.state import ACTUAL_SCHEMAS, Actual, Adopting, Known, Withdrawn

NO_CLASSES = pl.DataFrame(schema={"school": pl.String, "key": pl.String})
NO_NAMES = pl.DataFrame(schema={"school": pl.String, "key": pl.String, "username": pl.String})
NOTHING = Known(schools=[], classes=NO_CLASSES, usernames=NO_NAMES)
NO_PLAN = Plan.of(pl.DataFrame(schema=dict.fromkeys(("school", "kind", "op", "cause", "key"), pl.String())))


def frame(table: str, *rows: tuple[object, ...]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=ACTUAL_SCHEMAS[table], orient="row")


THERE = Actual(
    schools=frame("schools", ("s1", "S1", "One"), (None, "S2", "not ours")),
    people=frame(
        "people",
        (0, "ann", "A", "Ann", "ann.a", False),
        (0, "bob", "B", "Bob", "bob.b", True),
        (0, None, "C", "own", "own", False),
        (1, "dan", "D", "elsewhere", "dan", False),
    ),
    classes=frame("classes", (0, "7a", "K7", "7a", False), (0, "6z", "K6", "6z", True), (0, None, "K0", "own", False)),
    memberships=frame("memberships"),
    rights=frame("rights"),
)


def things(actual: Actual, known: Known = NOTHING, plan: Plan = NO_PLAN) -> set[str]:
    rows = unrecorded(actual, known, plan)
    assert rows.schema == LEDGER_SCHEMA
    return set(rows["key"])


def coming(kind: Kind) -> Plan:
    row = ("s1", kind.value, Op.CREATE.value, "FirstSync", "new")
    return Plan.of(pl.DataFrame([row], schema=["school", "kind", "op", "cause", "key"], orient="row"))


def test_what_is_only_to_be_adopted_is_not_ours() -> None:
    people, classes = (pl.Series([row], dtype=pl.UInt32) for row in (0, 1))
    assert things(replace(THERE, adopting=Adopting(people=people, classes=classes))) == things(THERE) - {"ann", "6z"}
    school = Adopting(schools=pl.Series([0], dtype=pl.UInt32))
    assert things(replace(THERE, adopting=school)) == things(THERE) - {"s1"}


def test_everything_of_ours_comes_back_suspended_and_archived_ones_too() -> None:
    assert set(unrecorded(THERE, NOTHING, NO_PLAN).rows()) == {
        ("School", "s1", "s1", "S1", None),
        ("Person", "s1", "ann", "A", "ann.a"),
        ("Person", "s1", "bob", "B", "bob.b"),
        ("Class", "s1", "7a", "K7", None),
        ("Class", "s1", "6z", "K6", None),
    }


def test_what_is_known_is_not_written_again() -> None:
    known = Known(
        schools=["s1"],
        classes=pl.DataFrame({"school": ["s1", "s1"], "key": ["7a", "6z"]}),
        usernames=pl.DataFrame({"school": ["s1"], "key": ["ann"], "username": ["ann.once"]}),
    )
    assert things(THERE, known) == {"bob"}


@pytest.mark.parametrize(("plan", "is_known"), [(coming(Kind.PERSON), False), (coming(Kind.RIGHT), True)])
def test_a_school_is_known_once_nothing_is_to_come_that_somebody_has_to_review(plan: Plan, *, is_known: bool) -> None:
    assert ("s1" in things(THERE, plan=plan)) == is_known


def test_an_incomplete_reading_tells_nothing_and_an_unsure_school_is_not_known() -> None:
    assert things(replace(THERE, complete=False)) == set()
    assert "s1" not in things(replace(THERE, unsure=frozenset({"s1"})))


def test_whose_account_is_in_question_is_not_written_down() -> None:
    assert "ann" not in things(replace(THERE, conflicts=frozenset({("s1", "ann")})))
    twice = pl.concat([THERE.people, frame("people", (0, "ann", "A2", "Ann", "ann.b", False))])
    assert "ann" not in things(replace(THERE, people=twice))


def test_who_was_forgotten_stays_forgotten() -> None:
    withdrawn = Withdrawn(key=b"k")
    withdrawn = replace(withdrawn, hashes=frozenset({withdrawn.hash("bob.b", school="s1")}))
    assert things(THERE, replace(NOTHING, withdrawn=withdrawn)) == {"s1", "ann", "7a", "6z"}

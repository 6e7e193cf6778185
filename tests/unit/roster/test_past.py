"""The journal, replayed: the same as somebody who reads it row by row would say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.roster.rosters import unhurried

from homeroom.plan import IDENTITY, Cause, Kind, Op, Result, Role
from homeroom.roster.past import access

BEGIN = datetime(2026, 9, 1, 2, tzinfo=UTC).replace(tzinfo=None)  # as the store has it
COLUMNS = (
    "run",
    "revision",
    "app",
    "op",
    "kind",
    "school",
    "key",
    "class_key",
    "role",
    "cause",
    "hold",
    "result",
    "error",
)
SCHEMA = {"at": pl.Datetime("us"), "generation": pl.Int64(), **dict.fromkeys(COLUMNS, pl.String())}

Row = dict[str, Any]


def row(op: Op, kind: Kind, key: str = "p", **more: Any) -> Row:
    return {"op": op.value, "kind": kind.value, "key": key, "school": "s", **more}


def account(op: Op, key: str = "p", **more: Any) -> Row:
    return row(op, Kind.PERSON, key, **more)


def member(op: Op, class_key: str = "c", role: Role = Role.LEARNER, **more: Any) -> Row:
    return row(op, Kind.MEMBERSHIP, class_key=class_key, role=role.value, **more)


def right(op: Op, **more: Any) -> Row:
    return row(op, Kind.RIGHT, role=Role.ADMINISTRATOR.value, **more)


def journal(*rows: Row) -> pl.DataFrame:
    """Rows an hour apart; each is of a run, a generation and a commit of its own."""
    full = [
        {
            **dict.fromkeys(SCHEMA),
            "at": BEGIN + timedelta(hours=number),
            "run": f"run-{number}",
            "generation": number,
            "revision": f"main@{number}",
            "app": "a",
            "cause": Cause.SOURCE_ADDED.value,
            "result": Result.APPLIED.value,
            **one,
        }
        for number, one in enumerate(rows)
    ]
    return pl.DataFrame(full, schema=SCHEMA)


def had(*rows: Row) -> list[tuple[str, str | None, str | None, int]]:
    """Kind, class, role and the number of the row that gave it."""
    return access(journal(*rows)).select("kind", "class_key", "role", "generation").rows()


def test_what_was_given_is_there_since_the_change_that_gave_it() -> None:
    found = access(journal(account(Op.CREATE), member(Op.CREATE, cause="FirstSync"), right(Op.CREATE)))
    assert found.columns == [*IDENTITY, "at", "cause", "run", "generation", "revision", "hold"]
    assert found.rows()[1] == (
        *("Membership", "s", "p", "c", "Learner"),
        *(BEGIN + timedelta(hours=1), "FirstSync", "run-1", 1, "main@1", None),
    )
    assert found["kind"].to_list() == ["Person", "Membership", "Right"]
    assert access(journal()).is_empty()


def test_what_was_taken_and_given_again_is_there_since_then() -> None:
    assert had(member(Op.CREATE), member(Op.REMOVE)) == []
    assert had(member(Op.CREATE), member(Op.REMOVE), member(Op.CREATE), member(Op.CREATE)) == [
        ("Membership", "c", "Learner", 2)
    ]
    assert had(right(Op.CREATE), right(Op.REMOVE), right(Op.CREATE)) == [("Right", None, "Administrator", 2)]


def test_a_role_ends_by_itself() -> None:
    both = member(Op.CREATE), member(Op.CREATE, role=Role.COACH), member(Op.REMOVE)
    assert had(*both) == [("Membership", "c", "Coach", 1)]


def test_what_failed_did_not_happen() -> None:
    failed, skipped = {"result": Result.FAILED.value}, {"result": Result.SKIPPED.value}
    assert had(account(Op.CREATE, **failed)) == []
    assert had(account(Op.CREATE), account(Op.SUSPEND, **skipped)) == [("Person", None, None, 0)]


def test_a_new_name_is_no_new_account_and_proves_one() -> None:
    assert had(account(Op.CREATE), account(Op.UPDATE)) == [("Person", None, None, 0)]
    assert had(account(Op.UPDATE)) == [("Person", None, None, 0)]


def test_a_suspended_account_has_nothing_and_a_restored_one_only_what_it_gets_anew() -> None:
    before = account(Op.CREATE), member(Op.CREATE), right(Op.CREATE), account(Op.SUSPEND)
    assert had(*before) == []
    assert had(*before, account(Op.RESTORE), member(Op.CREATE, "d")) == [
        ("Person", None, None, 4),
        ("Membership", "d", "Learner", 5),
    ]
    elsewhere = account(Op.SUSPEND, school="t")
    assert len(had(account(Op.CREATE), member(Op.CREATE), elsewhere)) == 2


def test_an_archived_class_has_nobody() -> None:
    archived = row(Op.ARCHIVE, Kind.CLASS, "c")
    assert had(account(Op.CREATE), member(Op.CREATE), member(Op.CREATE, "d"), archived) == [
        ("Person", None, None, 0),
        ("Membership", "d", "Learner", 2),
    ]
    assert had(member(Op.CREATE), archived, row(Op.RESTORE, Kind.CLASS, "c")) == []
    assert len(had(member(Op.CREATE), row(Op.ARCHIVE, Kind.CLASS, "c", school="t"))) == 1


PEOPLE = st.sampled_from(["p", "q"])
SCHOOLS = st.sampled_from(["s", "t"])
GOOD = st.sampled_from([Result.APPLIED.value, Result.APPLIED.value, Result.FAILED.value])
ROWS = st.one_of(
    st.builds(
        account, st.sampled_from([Op.CREATE, Op.SUSPEND, Op.RESTORE, Op.UPDATE]), PEOPLE, school=SCHOOLS, result=GOOD
    ),
    st.builds(
        member,
        st.sampled_from([Op.CREATE, Op.REMOVE]),
        st.sampled_from(["c", "d"]),
        st.sampled_from([Role.LEARNER, Role.COACH]),
        key=PEOPLE,
        school=SCHOOLS,
        result=GOOD,
    ),
    st.builds(right, st.sampled_from([Op.CREATE, Op.REMOVE]), key=PEOPLE, school=SCHOOLS, result=GOOD),
    st.builds(
        row,
        st.sampled_from([Op.ARCHIVE, Op.RESTORE]),
        st.just(Kind.CLASS),
        st.sampled_from(["c", "d"]),
        school=SCHOOLS,
        result=GOOD,
    ),
)


@unhurried
@given(st.lists(ROWS, max_size=25))
def test_it_is_what_a_reader_says_who_goes_from_row_to_row(rows: list[Row]) -> None:
    there: dict[tuple[Any, ...], int] = {}
    for number, one in enumerate(rows):
        if one.get("result", "Applied") != "Applied":
            continue
        what = tuple(one.get(name) for name in IDENTITY)
        kind, school, key = what[:3]
        if one["op"] == "Archive":
            there = {k: v for k, v in there.items() if (k[1], k[3]) != (school, key)}
        elif one["op"] == "Suspend":
            there = {k: v for k, v in there.items() if k[1:3] != (school, key)}
        elif one["op"] == "Remove":
            there.pop(what, None)
        elif kind != "Class":
            there.setdefault(what, number)
    found = access(journal(*rows))
    assert {tuple(entry[:5]): entry[8] for entry in found.rows()} == there

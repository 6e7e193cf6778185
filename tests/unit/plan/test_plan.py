"""The plan as data: order, bytes, policies, batches."""

from __future__ import annotations

import random

import polars as pl

from homeroom.plan import PLAN_SCHEMA, Cause, Change, Kind, Op, Plan, Policy, Role

SIZES = dict.fromkeys(Kind, 2)

Row = dict[str, str | bool | None]


def row(op: Op, kind: Kind, key: str = "k", *, school: str = "s1", external_id: str | None = None) -> Row:
    return {
        "op": op.value,
        "kind": kind.value,
        "school": school,
        "key": key,
        "class_key": "c" if kind is Kind.MEMBERSHIP else None,
        "external_id": external_id,
        "cause": Cause.DRIFT.value,
    }


def plan(*rows: Row) -> Plan:
    return Plan.of(pl.DataFrame(list(rows), schema_overrides={"external_id": pl.String, "class_key": pl.String}))


EVERY = [
    row(Op.CREATE, Kind.SCHOOL),
    row(Op.UPDATE, Kind.SCHOOL),
    row(Op.RESTORE, Kind.PERSON),
    row(Op.CREATE, Kind.PERSON),
    row(Op.UPDATE, Kind.PERSON),
    row(Op.RESTORE, Kind.CLASS),
    row(Op.CREATE, Kind.CLASS),
    row(Op.UPDATE, Kind.CLASS),
    row(Op.CREATE, Kind.MEMBERSHIP),
    row(Op.CREATE, Kind.RIGHT),
    row(Op.REMOVE, Kind.RIGHT),
    row(Op.REMOVE, Kind.MEMBERSHIP),
    row(Op.ARCHIVE, Kind.CLASS),
    row(Op.SUSPEND, Kind.PERSON),
]


def test_parents_come_first_and_removals_last_whatever_order_the_rows_are_in() -> None:
    rows = EVERY.copy()
    random.Random(7).shuffle(rows)
    ordered = plan(*rows).changes
    assert [(r["op"], r["kind"]) for r in ordered.iter_rows(named=True)] == [(r["op"], r["kind"]) for r in EVERY]
    assert ordered.schema == PLAN_SCHEMA


def test_equal_plans_and_only_these_have_equal_digests() -> None:
    rows = [row(Op.UPDATE, Kind.CLASS, external_id=number) for number in ("2", "1", "3")] + EVERY
    digests = set()
    for seed in range(10):
        random.Random(seed).shuffle(rows)
        digests.add(plan(*rows).digest())
    assert len(digests) == 1
    assert plan(*rows[1:]).digest() not in digests
    again = Plan(pl.concat([plan(*rows).changes.head(5), plan(*rows).changes.slice(5)], rechunk=False))
    assert {again.digest()} == digests  # how a frame is cut in memory is not part of the plan


def test_an_empty_plan() -> None:
    empty = Plan.of(pl.DataFrame())
    assert empty.empty
    assert empty.changes.schema == PLAN_SCHEMA
    assert empty.count() == {}
    assert list(empty.batches(SIZES)) == []
    assert empty.digest() == Plan.of(pl.DataFrame(schema={"op": pl.String})).digest()


def test_policies_narrow() -> None:
    whole = plan(*EVERY)
    assert whole.under(Policy.SYNC) == whole
    assert whole.under(Policy.OBSERVE).empty
    ops = set(whole.under(Policy.UPSERT_ONLY).changes["op"].cast(pl.String))
    assert ops == {Op.CREATE, Op.UPDATE, Op.RESTORE}
    assert whole.under(Policy.UPSERT_ONLY).changes.height == 10


def test_batches_are_of_one_kind_operation_and_school_and_number_all_rows() -> None:
    rows = [row(Op.CREATE, Kind.PERSON, key, school=school) for school in ("s1", "s2") for key in "abc"]
    whole = plan(*rows, *EVERY)
    batches = list(whole.batches(SIZES))
    assert [change.seq for batch in batches for change in batch] == list(range(whole.changes.height))
    assert all(len({(c.kind, c.op, c.school) for c in batch}) == 1 and len(batch) <= 2 for batch in batches)
    assert [[c.key for c in batch] for batch in batches if batch[0].school == "s2"] == [["a", "b"], ["c"]]


def test_a_change_carries_all_columns() -> None:
    values: Row = {
        **row(Op.REMOVE, Kind.MEMBERSHIP, "ann", external_id="m1"),
        "role": Role.COACH.value,
        "name": "Name",
        "username": "user",
        "staff": True,
    }
    (batch,) = plan(values).batches(SIZES)
    assert batch == [
        Change(
            seq=0,
            op=Op.REMOVE,
            kind=Kind.MEMBERSHIP,
            school="s1",
            key="ann",
            class_key="c",
            role=Role.COACH,
            name="Name",
            username="user",
            staff=True,
            external_id="m1",
            cause=Cause.DRIFT,
        )
    ]


def test_counts() -> None:
    assert plan(*EVERY, row(Op.CREATE, Kind.PERSON, "b")).count()[Kind.PERSON, Op.CREATE] == 2

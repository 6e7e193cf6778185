"""Plans for tests, written as plain rows: (school, kind, op, cause, key, class_key, role)."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from homeroom.plan import Cause, Kind, Op, Plan, Role

Row = tuple[str, str, str, str, str, str | None, str | None]

Rows = Sequence[Row]

COLUMNS = dict.fromkeys(("school", "kind", "op", "cause", "key", "class_key", "role"), pl.String())
TAKING = {Kind.MEMBERSHIP: Op.REMOVE, Kind.PERSON: Op.SUSPEND, Kind.RIGHT: Op.REMOVE, Kind.CLASS: Op.ARCHIVE}


def plan(rows: Rows) -> Plan:
    return Plan.of(pl.DataFrame(sorted(set(rows), key=str), schema=COLUMNS, orient="row"))


def expand(school: str, kind: Kind, op: Op, cause: Cause, n: int, *, of: str = "c0") -> Row:
    is_member = kind is Kind.MEMBERSHIP
    role = Role.LEARNER if is_member else Role.ADMINISTRATOR if kind is Kind.RIGHT else None
    return (school, kind.value, op.value, cause.value, f"p{n:03}", of if is_member else None, role and role.value)


def taking(kind: Kind, n: int, *, school: str = "s1", cause: Cause = Cause.LEFT_SOURCE, of: str = "c0") -> list[Row]:
    return [expand(school, kind, TAKING[kind], cause, i, of=of) for i in range(n)]


def adding(kind: Kind, n: int, *, school: str = "s1", cause: Cause = Cause.SOURCE_ADDED, of: str = "c0") -> list[Row]:
    return [expand(school, kind, Op.CREATE, cause, i, of=of) for i in range(n)]

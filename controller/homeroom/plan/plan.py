"""A whole plan: one frame in the order in which it is applied, with a digest.

Made by `homeroom.roster.diff`; shown by the command line; cut into `Change` batches and applied by
`homeroom.reconcile.executor`. Everything here is pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import polars as pl

from homeroom.plan.change import LEAVING, Cause, Change, Kind, Op, Role

MOMENT: Final = pl.Datetime("us", "UTC")

_COLUMNS: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "op": pl.Enum(Op),
    "kind": pl.Enum(Kind),
    "school": pl.String,
    "key": pl.String,
    "class_key": pl.String,
    "role": pl.Enum(Role),
    "name": pl.String,
    "username": pl.String,
    "staff": pl.Boolean,
    "external_id": pl.String,
    "cause": pl.Enum(Cause),
    "hold": pl.String,
    "due": MOMENT,
    "passed": MOMENT,
}
PLAN_SCHEMA: Final = pl.Schema(_COLUMNS)
"""`due`: not to be made before; null: at once. `passed`: when the guards let through what has been waiting for its day
since then; `hold`: which hold, released, that was in."""

IDENTITY: Final = ("kind", "school", "key", "class_key", "role")
"""What makes two rows of a plan the same thing."""
IDENTITY_SCHEMA: Final = pl.Schema(dict.fromkeys(IDENTITY, pl.String()))
"""Things, without what is done to them. All text."""

# Parents before children, additions before removals (a mover is never without a class), rights go before the
# memberships that carried them, classes before people (a target may refuse to archive a person who is in a class). What
# is adopted with an account or class is noted before it: afterwards it is there and wanted, and in no plan any more.
_ORDER: Final = (
    (Kind.SCHOOL, Op.ADOPT),
    (Kind.SCHOOL, Op.CREATE),
    (Kind.SCHOOL, Op.UPDATE),
    (Kind.MEMBERSHIP, Op.ADOPT),
    (Kind.RIGHT, Op.ADOPT),
    (Kind.PERSON, Op.ADOPT),
    (Kind.PERSON, Op.RESTORE),
    (Kind.PERSON, Op.CREATE),
    (Kind.PERSON, Op.UPDATE),
    (Kind.CLASS, Op.ADOPT),
    (Kind.CLASS, Op.RESTORE),
    (Kind.CLASS, Op.CREATE),
    (Kind.CLASS, Op.UPDATE),
    (Kind.CHAT, Op.RESTORE),
    (Kind.CHAT, Op.CREATE),
    (Kind.CHAT, Op.UPDATE),
    (Kind.MEMBERSHIP, Op.CREATE),
    (Kind.RIGHT, Op.CREATE),
    (Kind.RIGHT, Op.REMOVE),
    (Kind.MEMBERSHIP, Op.REMOVE),
    (Kind.CLASS, Op.ARCHIVE),
    (Kind.CHAT, Op.ARCHIVE),
    (Kind.PERSON, Op.SUSPEND),
)


class Policy(StrEnum):
    """Which part of a plan may be applied (external-dns has the same words)."""

    SYNC = "Sync"
    UPSERT_ONLY = "UpsertOnly"
    OBSERVE = "Observe"


@dataclass(frozen=True, slots=True)
class Plan:
    """`changes` has the columns of `PLAN_SCHEMA`, in canonical order; the same input gives the same bytes.

    The source door judges a plan as well, in words of the records: see `homeroom.roster.door.compare`.
    """

    changes: pl.DataFrame

    @classmethod
    def of(cls, changes: pl.DataFrame) -> Plan:
        """Bring rows with (a subset of) the columns of `PLAN_SCHEMA`, in any order, into canonical order."""
        if changes.is_empty():
            return cls(pl.DataFrame(schema=PLAN_SCHEMA))
        absent = [pl.lit(None, dtype=t).alias(c) for c, t in PLAN_SCHEMA.items() if c not in changes.columns]
        rows = changes.with_columns(absent).select(pl.col(c).cast(t) for c, t in PLAN_SCHEMA.items())
        rank = {f"{kind}/{op}": i for i, (kind, op) in enumerate(_ORDER)}
        step = pl.concat_str(pl.col("kind").cast(pl.String), pl.col("op").cast(pl.String), separator="/")
        return cls(
            rows.sort(
                step.replace_strict(rank, return_dtype=pl.UInt8),
                "school",
                "class_key",
                "key",
                pl.col("role").cast(pl.String),
                "external_id",  # ties: two objects of the target that carry one mark
            )
        )

    @property
    def empty(self) -> bool:
        """Nothing is to be done."""
        return self.changes.is_empty()

    def digest(self) -> str:
        """SHA-256 over canonical JSON lines: equal plans, and only these, have equal digests, whenever they are due."""
        digest = hashlib.sha256()
        for part in self.changes.drop("due", "passed").iter_slices(100_000):
            digest.update(part.write_ndjson().encode())
        return digest.hexdigest()

    @property
    def waiting(self) -> Plan:
        """The part whose day has not come."""
        return Plan(self.changes.filter(pl.col("due").is_not_null()))

    @property
    def due(self) -> Plan:
        """The part that can be made now."""
        return Plan(self.changes.filter(pl.col("due").is_null()))

    def count(self) -> dict[tuple[Kind, Op], int]:
        """Changes per kind and operation, without zeros."""
        rows = self.changes.group_by("kind", "op").len().sort("kind", "op").iter_rows()
        return {(Kind(kind), Op(op)): n for kind, op, n in rows}

    def under(self, policy: Policy) -> Plan:
        """The part that `policy` lets through; what it keeps back stays visible in the unrestricted plan."""
        if policy is Policy.SYNC:
            return self
        if policy is Policy.OBSERVE:
            return Plan(self.changes.clear())
        denied = pl.col("cause").cast(pl.String) == Cause.DENIED.value  # a court order is above any policy that writes
        return Plan(self.changes.filter(~pl.col("op").cast(pl.String).is_in(LEAVING) | denied))

    def batches(self, sizes: Mapping[Kind, int]) -> Iterator[list[Change]]:
        """Cut into batches, each of one kind, one operation and one school, in order; `sizes`: changes at most."""
        start = 0
        runs = self.changes.select(pl.struct("kind", "op", "school").rle().alias("run")).unnest("run").unnest("value")
        for length, kind in runs.select("len", "kind").iter_rows():
            size = sizes[Kind(kind)]
            for at in range(start, start + length, size):
                part = self.changes.slice(at, min(size, start + length - at))
                yield [
                    Change(
                        seq=at + i,
                        op=Op(row["op"]),
                        kind=Kind(row["kind"]),
                        school=row["school"],
                        key=row["key"],
                        class_key=row["class_key"],
                        role=Role(row["role"]) if row["role"] else None,
                        name=row["name"],
                        username=row["username"],
                        staff=bool(row["staff"]),
                        external_id=row["external_id"],
                        cause=Cause(row["cause"]),
                        hold=row["hold"],
                    )
                    for i, row in enumerate(part.iter_rows(named=True))
                ]
            start += length

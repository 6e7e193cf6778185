"""What access people had at some moment in the past, and since when and why: the journal, replayed. Pure.

Of today `homeroom.roster.explain` tells more, from the records and the rules. The past has neither any more: here is
what was applied, not what was wanted. What people did in the app by hand is not known. Neighbours: `homeroom.store`,
which keeps the journal, and `homeroom why --at`.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from homeroom.plan import IDENTITY, PERSONAL, Kind, Op, Result

_GIVES: Final = [Op.CREATE.value, Op.ADOPT.value, Op.RESTORE.value, Op.UPDATE.value]
_ENDS: Final = [Op.REMOVE.value, Op.SUSPEND.value]
_WITH_ACCOUNT: Final = [Kind.MEMBERSHIP.value, Kind.RIGHT.value]


def access(journal: pl.DataFrame) -> pl.DataFrame:
    """What was given and not taken again: one row per account, membership and right, as it stood after the last row.

    `journal`: columns as `Store.history` has them, oldest first, of one app; to be right about memberships it has to
    have the rows of the classes, too. The answer has the columns `IDENTITY`, and of the change that gave it: at, cause,
    run, generation, revision, hold (by whose approval, if it needed one). Sorted by school, person, kind (account
    first) and class.

    A suspended account has nothing else, and an archived class nobody, whether or not each membership was journaled. An
    update proves that somebody had an account, be the beginning in the journal or not.
    """
    rows = journal.filter(pl.col("result") == Result.APPLIED.value).with_row_index("number")
    kind, op = pl.col("kind"), pl.col("op")
    personal = rows.filter(kind.is_in(PERSONAL))
    ends = personal.filter(op.is_in(_ENDS)).group_by(IDENTITY).agg(pl.col("number").max().alias("ended"))
    suspended = (
        personal.filter((kind == Kind.PERSON.value) & (op == Op.SUSPEND.value))
        .group_by("school", "key")
        .agg(pl.col("number").max().alias("suspended"))
    )
    archived = (
        rows.filter((kind == Kind.CLASS.value) & (op == Op.ARCHIVE.value))
        .group_by("school", pl.col("key").alias("class_key"))
        .agg(pl.col("number").max().alias("archived"))
    )
    last = pl.max_horizontal(
        "ended",
        pl.when(kind.is_in(_WITH_ACCOUNT)).then("suspended"),
        "archived",  # null for what has no class
    )
    return (
        personal.filter(op.is_in(_GIVES))
        .join(ends, on=list(IDENTITY), how="left", nulls_equal=True)
        .join(suspended, on=["school", "key"], how="left")
        .join(archived, on=["school", "class_key"], how="left")
        .filter(last.is_null() | (pl.col("number") > last))
        .sort("number")
        .unique(IDENTITY, keep="first", maintain_order=True)
        .sort("school", "key", kind.replace_strict(PERSONAL, [0, 1, 2]), "class_key", "role")
        .select(*IDENTITY, "at", "cause", "run", "generation", "revision", "hold")
    )

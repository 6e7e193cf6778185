"""A roster with the few records that stand beside it: what a supplement adds, put among what the source says.

Pure and columnar. The source's rows keep all that they say; only their row numbers move, and whose account somebody's
is may be one item longer. Neighbours: `homeroom.sources.supplement` decides what may come in, and calls this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from homeroom.roster.accept import REFERENCES, in_order, mapped
from homeroom.roster.tables import Roster

ACCOUNTS: Final = pl.Schema({"user": pl.String(), "user_ids": pl.List(pl.String)})
"""Columns of accounts to be known beside those that the roster has: source id of the person, items of `user_ids`."""

_N: Final = pl.UInt32


def with_records(roster: Roster, extra: Mapping[str, pl.DataFrame], accounts: pl.DataFrame) -> Roster:
    """`roster` and the rows `extra` (by table, columns `INPUT`: references are source ids) and `accounts` (`ACCOUNTS`).

    No id of `extra` is in the roster, all its references hold there or in `extra`, and so do those of `accounts`.
    """
    tables: dict[str, pl.DataFrame] = {}
    moved: dict[str, pl.Series] = {}  # of tables to which rows came: row in the roster -> row now
    for table, before in roster.tables():
        references = REFERENCES[table]
        shifted = [mapped(before[end], moved[target]) for end, target in references.items() if target in moved]
        now = before.with_columns(shifted)
        fresh = extra.get(table, before.clear())
        if fresh.height:
            now, places = _with_rows(now, fresh, table, {end: tables[to]["id"] for end, to in references.items()})
            moved |= places
        tables[table] = _with_accounts(now, accounts) if table == "users" and accounts.height else now
    return Roster(**tables)


def _with_rows(
    now: pl.DataFrame, fresh: pl.DataFrame, table: str, ids: Mapping[str, pl.Series]
) -> tuple[pl.DataFrame, dict[str, pl.Series]]:
    """Both in canonical order; with `ids` of what each column refers to. And where rows of `now` are then, by table."""
    for column, known in ids.items():
        fresh = _numbered(fresh, column, known)
    both = pl.concat([now, fresh.select(now.columns).cast(now.schema)])
    if "id" not in now.columns:
        both = in_order(both, REFERENCES[table])
        return both.unique(maintain_order=True) if table == "agents" else both, {}
    both = both.with_row_index("_was").sort("id")
    places = _range(both.height).scatter(both["_was"], _range(both.height))
    return both.drop("_was"), {table: places[: now.height]}


def _range(height: int) -> pl.Series:
    return pl.int_range(height, dtype=_N, eager=True)


def _numbered(frame: pl.DataFrame, column: str, ids: pl.Series) -> pl.DataFrame:
    """The frame with row numbers for the source ids (or lists of them) in a column."""
    rows = pl.DataFrame({column: ids, "_n": _range(ids.len())})
    if isinstance(frame.schema[column], pl.List):
        several = frame.select(column).with_row_index("_at").explode(column, empty_as_null=True)
        found = several.join(rows, on=column, how="left", maintain_order="left")
        lists = found.group_by("_at", maintain_order=True).agg(pl.col("_n").drop_nulls())
        return frame.with_columns(lists["_n"].alias(column))
    found = frame.select(column).join(rows, on=column, how="left", maintain_order="left")
    return frame.with_columns(found["_n"].alias(column))


def _with_accounts(users: pl.DataFrame, accounts: pl.DataFrame) -> pl.DataFrame:
    """The people with more of `user_ids`, each once, sorted."""
    joined = users.join(accounts.rename({"user_ids": "_more"}), left_on="id", right_on="user", how="left")
    both = pl.concat_list(pl.col("user_ids").fill_null([]), "_more").list.unique().list.sort()
    return (
        joined.sort("id")
        .with_columns(pl.when(pl.col("_more").is_not_null()).then(both).otherwise("user_ids").alias("user_ids"))
        .drop("_more")
    )

"""The chats of each school and class as a table of links (R36): a row for the staff room, and one per class. Pure.

Extra chats are rows of a table of their own, as they are of no school.

Behind `homeroom links` and the page for heads of schools. Neighbours: `homeroom.store.chats` (what runs left).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from homeroom.api.chatpolicy import ChatType
from homeroom.chats.state import Desired
from homeroom.chats.words import State
from homeroom.plan import Hold, Kind, Op
from homeroom.plan import State as HoldState

COLUMNS: Final = {
    "staff": ChatType.STAFF_ROOM,
    "parents": ChatType.CLASS_PARENTS,
    "students": ChatType.CLASS_STUDENTS,
}
"""Columns of links, and whose they are. Subject chats are not in the table."""
_TEXT: Final = pl.String()
CELL: Final = pl.Struct({"link": _TEXT, "reason": _TEXT})
TABLE: Final = pl.Schema(
    {**dict.fromkeys(("school", "school_name", "class", "collective"), _TEXT), **dict.fromkeys(COLUMNS, CELL)}
)
"""A row for the staff room of a school (`class` null), and one per class; `school`, `class`: source ids.

A cell is null where no such chat is declared; else it has a link, or the reason why there is none.
"""

EXTRA: Final = pl.Schema(
    {"name": _TEXT, "room": CELL, "join": _TEXT, **dict.fromkeys(("linked", "unlinked"), pl.UInt32())}
)
"""A row per extra chat. `room`: as a cell above; `join`: the link by which people come in, null: there is none.

`linked`, `unlinked`: people with a reason to be in it, when it was last looked at.
"""

ORDER: Final = (
    "school_name",
    "school",
    pl.col("class").is_not_null(),
    pl.col("collective").str.extract(r"(\d+)").cast(pl.UInt64, strict=False),  # 5a comes before 10a
    "collective",
    "class",
)
"""What rows are sorted by."""


def link_table(
    chats: pl.DataFrame,
    *,
    links: pl.DataFrame,
    held: pl.DataFrame,
    schools: pl.DataFrame,
    classes: pl.DataFrame,
    stopped: bool,
) -> pl.DataFrame:
    """Columns `TABLE`, without an order. `chats`: columns of `homeroom.chats.DESIRED_SCHEMAS["chats"]`.

    `links`: [key, link] of the rooms that there are; `held`: [key, hold]; `stopped`: nothing is made now. `schools`
    [school, school_name] and `classes` [class, title]: what the records call things.
    """
    wanted = chats.select(pl.col("key", "school"), pl.col("section").alias("class"), "type")
    reason = pl.coalesce(
        pl.lit("suspended" if stopped else None, pl.String), pl.format("held: {}", "hold"), pl.lit("not made yet")
    )
    found = (
        wanted.join(links, on="key", how="left")
        .join(held, on="key", how="left")
        .with_columns(pl.when(pl.col("link").is_null()).then(reason).alias("reason"))
        .select("school", "class", "type", cell=pl.struct("link", "reason"))
    )
    of = ["school", "class"]
    table = found.filter(pl.col("type").cast(pl.String).is_in(list(COLUMNS.values()))).select(of).unique()
    for column, type_ in COLUMNS.items():
        cells = found.filter(pl.col("type") == type_.value).select(*of, pl.col("cell").alias(column))
        table = table.join(cells, on=of, how="left", nulls_equal=True)
    return (
        table.join(schools, on="school", how="left")
        .join(classes, on="class", how="left")
        .with_columns(
            school_name=pl.coalesce("school_name", "school"),
            collective=pl.when(pl.col("class").is_null())
            .then(pl.lit("Staff room"))
            .otherwise(pl.coalesce("title", "class")),
        )
        .select(TABLE.names())
    )


def extra_row(
    name: str, state: Desired | None, *, room: str | None, held: pl.DataFrame, stopped: bool, join: str | None
) -> dict[str, object]:
    """A row of `EXTRA`. `state`: what the last run wanted, None: none did. `room`, `join`: as they are to be shown.

    `held`: [key, hold] of this chat; `stopped`: nothing is made now.
    """
    reason = "suspended" if stopped else next((f"held: {hold}" for hold in held["hold"]), "not made yet")
    state = Desired.empty() if state is None else state
    return {
        "name": name,
        "room": {"link": room, "reason": None if room else reason},
        "join": join,
        "linked": state.members.height,
        "unlinked": state.pending.filter(pl.col("state") == State.UNLINKED.value).height,
    }


def waiting(holds: Sequence[Hold]) -> pl.DataFrame:
    """[key, hold]: chats that are to be made, and wait for an Approval. `holds`: of a policy."""
    parts = [
        hold.rows.filter(pl.col("kind") == Kind.CHAT.value, pl.col("op") == Op.CREATE.value).select(
            "key", pl.lit(hold.id).alias("hold")
        )
        for hold in holds
        if hold.state is HoldState.OPEN
    ]
    return pl.concat([pl.DataFrame(schema={"key": _TEXT, "hold": _TEXT}), *parts]).unique("key")


def cells(table: pl.DataFrame) -> pl.DataFrame:
    """For people and spreadsheets: a link, or in brackets why there is none; empty where none is declared."""
    return table.with_columns(shown(name) for name in COLUMNS).rename(
        {"school": "school id", "school_name": "school", "class": "class id"}
    )


def shown(name: str) -> pl.Expr:
    """A column of `CELL` in words."""
    return pl.coalesce(pl.col(name).struct["link"], pl.format("({})", pl.col(name).struct["reason"])).alias(name)

"""Where everybody with a reason to be in a chat stands on the way into it: counts per chat, for people to read.

Nobody is named: who is not linked yet is shown to a chat's administrators only (R13), from `Desired.pending`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

import polars as pl

from homeroom.chats.baseline import code, numbered
from homeroom.chats.state import ACTUAL_SCHEMAS, Actual, Desired
from homeroom.chats.words import State
from homeroom.plan import IDENTITY, Kind, Op

_COLUMNS: Final[dict[str, pl.DataType | type[pl.DataType]]] = {
    "key": pl.String,
    "school": pl.String,
    "state": pl.Enum(State),
    "people": pl.UInt32,
}
STANDING: Final = pl.Schema(_COLUMNS)
"""How many are in which state, per chat; without zeros. Linked people count as accounts, the others as people."""


def standing(desired: Desired, actual: Actual, *, parked: Collection[str] = ()) -> pl.DataFrame:
    """Columns `STANDING`, sorted. A chat that is not there has everybody waiting.

    `parked`: accounts that can come in nowhere now.
    """
    chat = numbered(actual.chats["key"], desired.chats["key"]).gather(actual.members["chat"])
    account = numbered(actual.members["account"], desired.accounts["account"])
    numbers = pl.DataFrame({"chat": chat, "account": account})
    there = numbers.select(code=code(pl.col("chat"), pl.col("account"))).with_columns(actual.members["state"])
    is_parked = desired.accounts["account"].is_in(list(parked)).gather(desired.members["account"])
    waits = pl.when(is_parked).then(pl.lit(State.PARKED.value)).otherwise(pl.lit(State.LINKED.value))
    wanted = desired.members.select("chat", waits.alias("waits"), code=code(pl.col("chat"), pl.col("account")))
    found = wanted.join(there.drop_nulls().unique("code"), on="code", how="left")
    linked = found.select("chat", pl.col("state").cast(pl.String).fill_null(pl.col("waits")))
    pending = desired.pending.select("chat", pl.col("state").cast(pl.String))
    counts = pl.concat([linked, pending]).group_by("chat", "state").agg(people=pl.len())
    of = desired.chats.select("key", "school").with_row_index("chat")
    rows = counts.join(of, on="chat").select(pl.col(name).cast(dtype) for name, dtype in STANDING.items())
    return rows.sort("key", "state")


def after(actual: Actual, made: pl.DataFrame) -> Actual:
    """Who is where once the rows `made` of a plan were carried out, without another look; of no use for a plan."""
    if made.is_empty():
        return actual
    rows = made.select(pl.col(name).cast(pl.String) for name in ("op", *IDENTITY))
    op, kind = pl.col("op"), pl.col("kind")
    new = rows.filter(kind == Kind.CHAT.value, op == Op.CREATE.value).select(
        "key", "school", complete=True, archived=False
    )
    chats = pl.concat([actual.chats, new], how="diagonal")
    at = chats.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("chat"), class_key="key").unique("class_key")
    members = rows.filter(kind == Kind.MEMBERSHIP.value).join(at, on="class_key").select("op", "chat", account="key")
    come = members.filter(op == Op.CREATE.value).select(
        "chat", "account", administrator=False, state=pl.lit(State.JOINED.value)
    )
    left = actual.members.join(members, on=["chat", "account"], how="anti", maintain_order="left")
    found = [part.cast(ACTUAL_SCHEMAS["members"]) for part in (left, come)]
    return replace(actual, chats=chats, members=pl.concat(found))

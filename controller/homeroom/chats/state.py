"""Which chats there should be, with whom, and which there are: two values that can be compared.

`homeroom.chats.desired` makes the first from the records, the links and the policy; a platform's `read()` the second;
`homeroom.chats.diff` compares them. References are row numbers (UInt32), so that three million memberships stay small.
Members are accounts, not people: two reasons of one account are one membership (DESIGN.md invariant 7). A member is an
administrator or is none; a plan says it as a `Membership` and, beside it, a `Right` in the same chat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from homeroom.api.chatpolicy import Allowed, ChatType
from homeroom.chats.words import Setting, Settings, State

_ROW: Final = pl.UInt32
_Columns = dict[str, pl.DataType | type[pl.DataType]]
_SETTINGS: Final[_Columns] = {setting.value: pl.Enum(Allowed) for setting in Setting}


def _schemas(tables: dict[str, _Columns]) -> Mapping[str, pl.Schema]:
    return {name: pl.Schema(columns) for name, columns in tables.items()}


DESIRED_SCHEMAS: Final = _schemas(
    {
        # key: `homeroom.chats.identity`, unique; type: null: an extra chat; school: source id, empty: of no school;
        # section: Homeroom's id of the class, null: of none; year: the one in which the school year ends, null: of no
        # year; space: key of the space to be in, empty: in none
        "chats": {
            "key": pl.String,
            "type": pl.Enum(ChatType),
            "school": pl.String,
            "section": pl.String,
            "year": pl.Int16,
            "name": pl.String,
            "space": pl.String,
            "space_name": pl.String,
            **_SETTINGS,
        },
        "accounts": {"account": pl.String},  # the platform's own ids, sorted, unique
        # once per chat and account; reasons: bits of `Reason`
        "members": {"chat": _ROW, "account": _ROW, "administrator": pl.Boolean, "reasons": pl.UInt8},
        # people (source ids) with a reason and without an account that can come in; state: Unlinked or Parked
        "pending": {"chat": _ROW, "person": pl.String, "administrator": pl.Boolean, "state": pl.Enum(State)},
    }
)

ACTUAL_SCHEMAS: Final = _schemas(
    {
        # Chats that carry the mark of one policy, and no others. key, school: from the mark; external_id: of the room
        # that is in use now; a setting is null where the platform cannot tell. complete: the member list is proven so
        "chats": {
            "key": pl.String,
            "school": pl.String,
            "external_id": pl.String,
            "name": pl.String,
            "archived": pl.Boolean,
            "complete": pl.Boolean,
            **_SETTINGS,
        },
        # state: Joined, Invited, Linked (we have let them in, and it went half of the way), LeftByChoice, Parked; null:
        # not in the chat, and listed only because rights are left
        "members": {"chat": _ROW, "account": pl.String, "administrator": pl.Boolean, "state": pl.Enum(State)},
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """One wanted chat, as the hands that make or repair it see it. Fields: columns of `DESIRED_SCHEMAS["chats"]`."""

    key: str
    type: ChatType | None
    school: str
    section: str | None
    year: int | None
    name: str
    space: str
    space_name: str
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """The chats that there should be. Columns: `DESIRED_SCHEMAS`; `chats` is sorted by key."""

    chats: pl.DataFrame
    accounts: pl.DataFrame
    members: pl.DataFrame
    pending: pl.DataFrame

    def chat(self, key: str) -> Chat:
        """One of them. Raises KeyError."""
        row = self.chats["key"].search_sorted(key)
        if row == self.chats.height or self.chats["key"][row] != key:
            raise KeyError(key)
        values = self.chats.row(row, named=True)
        settings = Settings(**{name: Allowed(values.pop(name)) for name in _SETTINGS})
        type_ = ChatType(values["type"]) if values["type"] is not None else None
        return Chat(**{**values, "type": type_}, settings=settings)

    def equals(self, other: Desired) -> bool:
        """The same rows in the same order."""
        return all(getattr(self, name).equals(getattr(other, name)) for name in DESIRED_SCHEMAS)

    def only(self, keys: pl.Series) -> Desired:
        """The chats with these keys, and who is in them."""
        chosen = self.chats.select(chat=pl.int_range(pl.len(), dtype=_ROW), wanted=pl.col("key").is_in(keys.implode()))
        chats = chosen.filter("wanted").select("chat").with_row_index("chat_now")
        members = self.members.join(chats, on="chat", maintain_order="left")
        accounts = members.select("account").unique().sort("account").with_row_index("account_now")
        members = members.join(accounts, on="account", maintain_order="left")
        pending = self.pending.join(chats, on="chat", maintain_order="left")
        return Desired(
            chats=self.chats.filter(chosen["wanted"]),
            accounts=self.accounts[accounts["account"]],
            members=members.with_columns(chat="chat_now", account="account_now").select(self.members.columns),
            pending=pending.with_columns(chat="chat_now").select(self.pending.columns),
        )

    @classmethod
    def empty(cls) -> Desired:
        """No chats."""
        return cls(**{name: pl.DataFrame(schema=schema) for name, schema in DESIRED_SCHEMAS.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Actual:
    """The chats of one policy (`ChatRules.scope`) on a platform right now, read live. Columns: `ACTUAL_SCHEMAS`.

    `complete` is False when it is not proven that these are all: then nothing is made that may be there already.
    `operator`: our own account there, which is never in a plan. `unsure`: keys of chats that more than one room claims:
    they stand still.
    """

    chats: pl.DataFrame
    members: pl.DataFrame
    operator: str
    complete: bool = True
    unsure: frozenset[str] = field(default_factory=frozenset)

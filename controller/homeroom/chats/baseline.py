"""What had a reason to be in a chat when a plan was last applied: the third witness, beside wanted and there.

Two states cannot tell a guest whom somebody brought in by hand from a parent whom the records dropped last night. The
first one goes at once, the second one is a removal like any other, which a guard may hold. `expected` makes the
baseline that is stored before the first change of a run, `Baseline.settled` that after its last. Same shape and same
rules as for learning apps (`homeroom.roster.diff`), with accounts in place of people.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import polars as pl

from homeroom.chats.state import Actual, Desired
from homeroom.chats.words import State
from homeroom.plan import IDENTITY, LEAVING, MOMENT, Kind, Plan, Role

UNAPPLIED: Final = pl.Schema(dict.fromkeys((*IDENTITY, "cause"), pl.String()))
"""`cause`: the one it was planned with."""
KEPT: Final = pl.Schema({**UNAPPLIED, "since": MOMENT})
"""`cause`: null where it was not planned; `since`: when the last reason ended."""
AWAY: Final = pl.Schema({"class_key": pl.String(), "key": pl.String(), "left": pl.Boolean()})
"""Chat and account of who is wanted and stays out. `left`: by choice; else the account cannot come in now."""

_ROW: Final = pl.UInt32
_PRESENT: Final = [State.JOINED.value, State.INVITED.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """`desired`: what was wanted when a plan was last applied. `kept` (columns `KEPT`): what had a reason before that.

    `kept` may still be there (held, failed, retained, not seen). `unapplied` (columns `UNAPPLIED`): what was to come or
    to change, and has not. `known`: keys of all chats of which we know who had a reason, sorted. `first`: nothing has
    ever been applied in full. `away` (columns `AWAY`): whom nothing brings in; people are told so, no plan goes by it.
    """

    desired: Desired
    kept: pl.DataFrame
    unapplied: pl.DataFrame
    known: pl.Series
    first: bool = False
    away: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=AWAY))

    @classmethod
    def empty(cls) -> Baseline:
        """Of a policy that never ran, or whose store was lost."""
        return cls(
            desired=Desired.empty(),
            kept=pl.DataFrame(schema=KEPT),
            unapplied=pl.DataFrame(schema=UNAPPLIED),
            known=pl.Series([], dtype=pl.String),
            first=True,
        )

    def equals(self, other: Baseline) -> bool:
        """The same rows in the same order: then there is nothing to store."""
        return (
            self.first is other.first
            and self.known.equals(other.known)
            and self.kept.equals(other.kept)
            and self.unapplied.equals(other.unapplied)
            and self.away.equals(other.away)
            and self.desired.equals(other.desired)
        )

    def only(self, keys: pl.Series) -> Baseline:
        """What it says of the chats with these keys."""
        here = _place().is_in(keys.implode())
        return Baseline(
            desired=self.desired.only(keys),
            kept=self.kept.filter(here),
            unapplied=self.unapplied.filter(here),
            known=self.known.filter(self.known.is_in(keys.implode())),
            first=self.first,
            away=self.away.filter(pl.col("class_key").is_in(keys.implode())),
        )

    def settled(self, plan: Plan, undone: pl.DataFrame) -> Baseline:
        """The same once `plan` has been applied, but for `undone` (columns `IDENTITY`)."""
        done = lacking(identity(plan.changes), undone)
        unapplied = lacking(self.unapplied, done)
        return replace(
            self, kept=lacking(self.kept, done), unapplied=unapplied, first=self.first and not unapplied.is_empty()
        )


def expected(desired: Desired, actual: Actual, plan: Plan, *, before: Baseline | None, now: datetime) -> Baseline:
    """The baseline to store before the first change; `plan` is the whole of `diff`, and nothing of it is done yet.

    A chat that is ours, and of which nothing is known, is a find of a lost store: whoever is in it counts as having had
    a reason. That can be said of a proven list only, so until there is one nobody is taken out of it.
    """
    old = before or Baseline.empty()
    listed = actual.chats.filter("complete")["key"].unique()
    new = listed.filter(~listed.is_in(old.known.implode()))
    gone = [old.kept]
    if not desired.equals(old.desired):
        gone.append(_as_kept(lacking(rows_of(old.desired), rows_of(desired))))
    if not new.is_empty():
        gone.append(_as_kept(lacking(rows_there(actual).filter(_place().is_in(new.implode())), rows_of(desired))))
    kept = pl.concat(gone).unique(IDENTITY, keep="first", maintain_order=True)
    if not kept.is_empty():
        kept = kept.filter(~in_desired(kept, desired))
        # What is no longer there is over, where we can believe our eyes.
        seen = _place().is_in(listed.implode())
        if actual.complete:
            seen |= ~_place().is_in(actual.chats["key"].implode())
        vanished = lacking(identity(kept.filter(seen)), rows_there(actual))
        kept = lacking(kept, vanished)
    changes = plan.changes.select(pl.col(name).cast(pl.String) for name in (*IDENTITY, "op", "cause"))
    leaving = pl.col("op").is_in(LEAVING)
    kept = kept.with_columns(
        looked_up(kept, changes.filter(leaving), "cause").fill_null(kept["cause"]), pl.col("since").fill_null(now)
    )
    unlisted = ~_place().is_in(listed.implode())
    waiting = old.unapplied.filter(unlisted)
    unapplied = pl.concat(
        [changes.filter(~leaving).select(UNAPPLIED.names()), waiting.filter(in_desired(waiting, desired))]
    )
    unapplied = unapplied.unique(IDENTITY, keep="first", maintain_order=True)
    # A chat that is made in this run has nobody in it yet.
    made = (
        desired.chats["key"]
        if actual.complete
        else desired.chats["key"].filter(desired.chats["key"].is_in(old.known.implode()))
    )
    made = made.filter(~made.is_in(actual.chats["key"].implode()))
    return Baseline(
        desired=desired,
        kept=kept.sort(IDENTITY, nulls_last=True),
        unapplied=unapplied.sort(IDENTITY, nulls_last=True),
        known=pl.concat([old.known, listed, made]).unique().sort(),
        first=old.first and not unapplied.is_empty(),
        away=_away(desired, actual, changes),
    )


def _away(desired: Desired, actual: Actual, changes: pl.DataFrame) -> pl.DataFrame:
    """Columns `AWAY`, sorted. `changes`: rows of a plan. Of a chat that is not read completely nobody can tell."""
    chat = numbered(actual.chats["key"], desired.chats["key"])[actual.members["chat"]]
    account = numbered(actual.members["account"], desired.accounts["account"])
    there = pl.DataFrame({"chat": chat, "account": account}).select(code=code(pl.col("chat"), pl.col("account")))
    state = actual.members["state"]
    present, left = (
        there["code"].filter(state.is_in(states).fill_null(value=False)).drop_nulls()
        for states in (_PRESENT, [State.LEFT_BY_CHOICE.value])
    )
    seen = desired.chats["key"].is_in(actual.chats.filter("complete")["key"].implode())
    wanted = desired.members.select("chat", "account", code=code(pl.col("chat"), pl.col("account")))
    out = wanted.filter(seen[wanted["chat"]] & ~wanted["code"].is_in(present.implode()))
    found = pl.DataFrame(
        {
            "class_key": desired.chats["key"][out["chat"]],
            "key": desired.accounts["account"][out["account"]],
            "left": out["code"].is_in(left.implode()),
        }
    )
    coming = changes.filter(pl.col("kind") == Kind.MEMBERSHIP.value)
    return found.join(coming, on=["class_key", "key"], how="anti").sort("class_key", "key")


# ---------------------------------------------------------------------------------------------------------------------
# States as rows of text, for the few that differ


def identity(changes: pl.DataFrame) -> pl.DataFrame:
    """The columns `IDENTITY` of rows of a plan, as text."""
    return changes.select(pl.col(column).cast(pl.String) for column in IDENTITY)


def lacking(rows: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Those of `rows` that `other` does not have; both with the columns `IDENTITY`."""
    if rows.is_empty() or other.is_empty():
        return rows
    return rows.join(other, on=list(IDENTITY), how="anti", nulls_equal=True, maintain_order="left")


def looked_up(keys: pl.DataFrame, found: pl.DataFrame, column: str) -> pl.Series:
    """`column` of the row of `found` with the same identity, or null."""
    if keys.is_empty() or found.is_empty():
        return pl.Series(column, [None], dtype=found.schema[column]).new_from_index(0, keys.height)
    few = found.join(keys, on=list(IDENTITY), how="semi", nulls_equal=True).unique(
        IDENTITY, keep="first", maintain_order=True
    )
    return keys.select(IDENTITY).join(
        few.select(*IDENTITY, column), on=list(IDENTITY), how="left", nulls_equal=True, maintain_order="left"
    )[column]


def rows_of(state: Desired) -> pl.DataFrame:
    """All of a state: columns `IDENTITY`, without an order."""
    chats = state.chats.select(key="key", school="school", kind=pl.lit(Kind.CHAT.value))
    of = state.chats[state.members["chat"]]
    members = pl.DataFrame(
        {
            "school": of["school"],
            "class_key": of["key"],
            "key": state.accounts["account"][state.members["account"]],
        }
    )
    return _all(chats, members, state.members["administrator"])


def rows_there(actual: Actual) -> pl.DataFrame:
    """All that is there but our own account: columns `IDENTITY`, without an order."""
    chats = actual.chats.filter(~pl.col("archived")).select(key="key", school="school", kind=pl.lit(Kind.CHAT.value))
    rows = actual.members.filter(pl.col("account") != actual.operator)
    of = actual.chats[rows["chat"]]
    members = pl.DataFrame({"school": of["school"], "class_key": of["key"], "key": rows["account"]})
    present = rows["state"].is_in(_PRESENT).fill_null(value=False)
    return pl.concat(
        [
            _all(chats, members.filter(present), rows["administrator"].filter(present)),
            _rights(members.filter(rows["administrator"] & ~present)),
        ]
    )


def _all(chats: pl.DataFrame, members: pl.DataFrame, leads: pl.Series) -> pl.DataFrame:
    parts = [chats, members.with_columns(kind=pl.lit(Kind.MEMBERSHIP.value))]
    return pl.concat([*map(_texts, parts), _rights(members.filter(leads))])


def _rights(members: pl.DataFrame) -> pl.DataFrame:
    return _texts(members.with_columns(kind=pl.lit(Kind.RIGHT.value), role=pl.lit(Role.ADMINISTRATOR.value)))


def _texts(rows: pl.DataFrame) -> pl.DataFrame:
    absent = [pl.lit(None, dtype=pl.String).alias(name) for name in IDENTITY if name not in rows.columns]
    return rows.with_columns(absent).select(IDENTITY)


def _as_kept(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(*IDENTITY, pl.lit(None, pl.String).alias("cause"), pl.lit(None, MOMENT).alias("since"))


def _place() -> pl.Expr:
    """The key of the chat that a row is, or is about."""
    return pl.coalesce("class_key", "key")


def in_desired(rows: pl.DataFrame, state: Desired) -> pl.Series:
    """Which of `rows` (columns `IDENTITY`) a state has. Boolean per row."""
    if rows.is_empty():
        return pl.Series("there", [], dtype=pl.Boolean)
    chat = numbered(rows.select(_place()).to_series(), state.chats["key"])
    account = numbered(rows["key"], state.accounts["account"])
    members = state.members.select(
        code=code(pl.col("chat"), pl.col("account")), there=pl.lit(value=True), leads="administrator"
    )
    wanted = pl.DataFrame({"chat": chat, "account": account}).select(code=code(pl.col("chat"), pl.col("account")))
    members = members.join(wanted, on="code", how="semi")
    found = wanted.join(members, on="code", how="left", maintain_order="left")
    return rows.select(
        pl.when(pl.col("kind") == Kind.CHAT.value)
        .then(chat.is_not_null())
        .when(pl.col("kind") == Kind.RIGHT.value)
        .then(found["leads"])
        .otherwise(found["there"])
        .fill_null(value=False)
        .alias("there")
    ).to_series()


def code(chat: pl.Expr, account: pl.Expr) -> pl.Expr:
    """A membership as one number; null where one of the two is."""
    return chat.cast(pl.UInt64) * 2**32 + account


def numbered(values: pl.Series, among: pl.Series) -> pl.Series:
    """For each value the row in `among`, which has none twice, or null."""
    if values.equals(among):
        return pl.int_range(among.len(), dtype=_ROW, eager=True)
    rows = among.alias("value").to_frame().with_row_index("row")
    return values.alias("value").to_frame().join(rows, on="value", how="left", maintain_order="left")["row"]

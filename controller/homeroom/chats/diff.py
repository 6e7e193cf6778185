"""What has to change in the chats, and why: wanted against there, with the baseline as the third witness.

Pure and columnar: chats are matched by key and accounts by id once, memberships are compared as integers; only what
differs becomes text. A plan of chats is a plan like any other (`homeroom.plan`): a chat is a `Chat`, who is in it a
`Membership`, who administers it a `Right` beside that; its guards are those of classes, per chat, school and district.
The rules:

* Whoever is in a chat of ours and never had a reason is out at once, held by nothing and counted nowhere; so is
  whoever made themselves an administrator. Who was put out by hand comes back (R32).
* A list of members that is not proven complete removes nobody and brings back nobody: only newcomers come (B1).
* Names and settings belong to the policy. Photo, topic and pinned messages belong to people: nothing here knows them.
* An account that two people claim, or whose person is in question, stands still both ways (DESIGN.md invariant 6).
* The last administrators of a chat that goes on stay for a week, unless they are denied, unlinked or intruders (B6).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from homeroom.api.chatpolicy import Deletion, Leave
from homeroom.chats.baseline import (
    Baseline,
    code,
    identity,
    in_desired,
    looked_up,
    numbered,
)
from homeroom.chats.identity import plain
from homeroom.chats.policy import ChatRules
from homeroom.chats.records import Links
from homeroom.chats.state import Actual, Desired
from homeroom.chats.words import Capabilities, State
from homeroom.plan import COMING, IDENTITY, LEAVING, SIZES_SCHEMA, Cause, Kind, Op, Plan, Role

LAST_ADMINISTRATOR: Final = timedelta(days=7)
"""How long the last administrators stay: as long as the last teachers of a class (safety row 8)."""

_PRESENT: Final = [State.JOINED.value, State.INVITED.value]
_AT_ONCE: Final = [Cause.DENIED.value, Cause.INTRUDER.value, Cause.UNLINKED.value]


def diff(
    desired: Desired,
    actual: Actual,
    *,
    rules: ChatRules,
    links: Links,
    able: Capabilities,
    now: datetime,
    baseline: Baseline | None = None,
    before_edit: Desired | None = None,
    over: pl.DataFrame | None = None,
    denied: Collection[str] = (),
    still: Collection[str] = (),
) -> Plan:
    """Compare, and say why. What the platform cannot do is in the plan all the same: `homeroom.chats.able` has that.

    `before_edit`: what the policy of the last applied plan makes of the same records; given when it was edited since.
    `over`: as in `Records`. `denied`: source ids of people who must be out. `still`: accounts that stand still
    (`homeroom.chats.records.in_question`), beside those that two people claim.
    """
    known = baseline or Baseline.empty()
    out = links.linked.filter(pl.col("person").is_in(list(denied)))["account"]
    standing = pl.concat([links.claimed, pl.Series(list(still), dtype=pl.String)])
    view = _View.of(desired, actual, standing=standing, denied=out)
    chats = _chats(view, rules, able, known)
    coming = view.coming(rules, known)
    going = view.going(rules, known)
    rows = pl.concat([*chats, *coming, *going], how="diagonal_relaxed")
    if rows.is_empty():
        return Plan.of(rows.select("kind", "op", "school", "key"))
    rows = rows.with_columns(
        pl.lit(None, pl.String).alias(name) for name in ("class_key", "role", "external_id") if name not in rows.columns
    )
    if baseline is None:
        is_denied = pl.col("op").is_in(LEAVING)
        cause = pl.when(is_denied).then(pl.lit(Cause.DENIED.value)).otherwise(pl.lit(Cause.FIRST_SYNC.value))
        return Plan.of(rows.with_columns(cause.alias("cause")))
    rows = _with_causes(rows, view, baseline=known, before_edit=before_edit, over=over, links=links, denied=out)
    if rules.deletion is Deletion.RETAIN:
        ended = ~pl.coalesce("class_key", "key").is_in(desired.chats["key"].implode())
        rows = rows.filter(~(pl.col("op").is_in(LEAVING) & ended & ~pl.col("cause").is_in(_AT_ONCE)))
    return Plan.of(_last_administrators(rows, view, known, now=now))


def sizes(actual: Actual, rules: ChatRules) -> pl.DataFrame:
    """How much of ours a platform holds: columns `SIZES_SCHEMA`, for `homeroom.plan.guard`.

    Members per chat and per school, intruders' among them, but neither our own account nor protected ones.
    """
    counted = actual.members.filter(
        pl.col("state").is_in(_PRESENT), ~pl.col("account").is_in([actual.operator, *rules.protected])
    )
    of = actual.chats.with_row_index("chat").select("chat", "school", class_key="key")
    members = counted.group_by("chat").agg(size=pl.len(), leads=pl.col("administrator").sum()).join(of, on="chat")
    chats = actual.chats.filter(~pl.col("archived"))
    per_school = [
        (Kind.MEMBERSHIP, members.group_by("school").agg(pl.col("size").sum())),
        (Kind.RIGHT, members.group_by("school").agg(size=pl.col("leads").sum())),
        (Kind.CHAT, chats.group_by("school").agg(size=pl.len())),
    ]
    parts = [members.with_columns(kind=pl.lit(Kind.MEMBERSHIP.value))]
    parts += [rows.with_columns(kind=pl.lit(kind.value)) for kind, rows in per_school]
    found = pl.concat(parts, how="diagonal_relaxed").drop_nulls("school")
    return found.select(pl.col(name).cast(dtype) for name, dtype in SIZES_SCHEMA.items())


# ---------------------------------------------------------------------------------------------------------------------
# Comparing


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """Both states, with members as numbers of the wanted one.

    `wanted`: members of `desired` with `code`, a number for chat and account.
    `there`: members of `actual` but our own account, with `code` (null: not wanted for certain) and `present`: in the
    chat, or asked in.
    `unsure`: keys of chats that stand still. `standing`: accounts that do; `denied`: accounts that are out whatever
    else holds.
    """

    desired: Desired
    actual: Actual
    wanted: pl.DataFrame
    there: pl.DataFrame
    unsure: pl.Series
    standing: pl.Series
    denied: pl.Series

    @classmethod
    def of(cls, desired: Desired, actual: Actual, *, standing: pl.Series, denied: pl.Series) -> _View:
        keys = actual.chats["key"]
        unsure = pl.concat([pl.Series(list(actual.unsure), dtype=pl.String), keys.filter(keys.is_duplicated())])
        row_of_chat = numbered(keys, desired.chats["key"])
        wanted = row_of_chat[actual.members["chat"]]
        account = numbered(actual.members["account"], desired.accounts["account"])
        codes = pl.DataFrame({"wanted": wanted, "number": account}).select(
            code=code(pl.col("wanted"), pl.col("number"))
        )
        there = actual.members.with_columns(
            codes.to_series(), pl.col("state").is_in(_PRESENT).fill_null(value=False).alias("present")
        )
        return cls(
            desired=desired,
            actual=actual,
            wanted=desired.members.with_columns(code=code(pl.col("chat"), pl.col("account"))),
            there=there.filter(pl.col("account") != actual.operator),
            unsure=unsure.unique(),
            standing=standing.unique(),
            denied=denied.unique(),
        )

    def coming(self, rules: ChatRules, known: Baseline) -> list[pl.DataFrame]:
        """Memberships and rights that are wanted and not there: rows of a plan."""
        wanted = self.wanted
        present = self.there.filter("present")["code"].drop_nulls()
        leading = self.there.filter("administrator")["code"].drop_nulls()
        lacking = wanted.filter(~_among(wanted["code"], present))
        rights = wanted.filter("administrator")
        rights = rights.filter(~_among(rights["code"], leading))
        if lacking.is_empty() and rights.is_empty():
            return []
        away = [State.PARKED.value, *([State.LEFT_BY_CHOICE.value] if rules.leave is Leave.RESPECT else [])]
        stays_out = self.there.filter(pl.col("state").is_in(away))["code"].drop_nulls()
        lacking = self._moving(lacking.filter(~_among(lacking["code"], stays_out)))
        come = pl.concat([present, lacking["code"]])
        rights = self._moving(rights.filter(_among(rights["code"], come)))
        parts = [
            self._wanted_rows(lacking, Kind.MEMBERSHIP),
            self._wanted_rows(rights, Kind.RIGHT).with_columns(role=pl.lit(Role.ADMINISTRATOR.value)),
        ]
        if self.actual.chats["complete"].all():
            return parts
        unproven = self.actual.chats.filter(~pl.col("complete"))["key"].implode()
        newcomers = []
        for rows in parts:
            doubtful = pl.col("class_key").is_in(unproven)
            some = rows.filter(doubtful)
            new = some.filter(~in_desired(_full(some), known.desired))
            newcomers.append(pl.concat([rows.filter(~doubtful), new]))
        return newcomers

    def _moving(self, wanted: pl.DataFrame) -> pl.DataFrame:
        """Those of some wanted members who do not stand still, in chats that are there or can be made."""
        chats = self.desired.chats["key"]
        open_ = ~chats.is_in(self.unsure.implode())
        if not self.actual.complete:
            open_ &= chats.is_in(self.actual.chats["key"].implode())
        free = ~self.desired.accounts["account"].is_in(self.standing.implode())
        return wanted.filter(open_[wanted["chat"]] & free[wanted["account"]])

    def _wanted_rows(self, members: pl.DataFrame, kind: Kind) -> pl.DataFrame:
        of = self.desired.chats.select("school", "key")[members["chat"]]
        return pl.DataFrame(
            {
                "school": of["school"],
                "class_key": of["key"],
                "key": self.desired.accounts["account"][members["account"]],
            }
        ).with_columns(kind=pl.lit(kind.value), op=pl.lit(Op.CREATE.value))

    def going(self, rules: ChatRules, known: Baseline) -> list[pl.DataFrame]:
        """Memberships and rights that are there and not wanted: rows of a plan."""
        halfway = (pl.col("state") == State.LINKED.value).fill_null(value=False)
        wanted, present = self.wanted, self.there.filter(pl.col("present") | halfway)
        extra = present.filter(~_among(present["code"], wanted["code"]))
        leading = self.there.filter("administrator")
        rights = leading.filter(~_among(leading["code"], wanted.filter("administrator")["code"]))
        chats = self.actual.chats
        sure = (chats["complete"] & ~chats["key"].is_in(self.unsure.implode())).rename("sure")
        seen = chats["key"].is_in(known.known.implode())
        account = pl.col("account")
        spared = account.is_in(self.standing.implode()) | account.is_in(list(rules.protected))
        parts = []
        for rows, kind, role in ((extra, Kind.MEMBERSHIP, None), (rights, Kind.RIGHT, Role.ADMINISTRATOR.value)):
            goes = account.is_in(self.denied.implode()) | (~spared & seen[rows["chat"]])
            some = rows.filter(sure[rows["chat"]] & goes)
            of = chats.select("school", "key")[some["chat"]]
            parts.append(
                pl.DataFrame({"school": of["school"], "class_key": of["key"], "key": some["account"]}).with_columns(
                    kind=pl.lit(kind.value), op=pl.lit(Op.REMOVE.value), role=pl.lit(role, pl.String)
                )
            )
        return parts


def _among(values: pl.Series, others: pl.Series) -> pl.Series:
    """Which values are among the others; null is not."""
    if values.null_count() == 0 and values.sort().equals(others.sort()):  # as on most nights, and twice as fast to see
        return pl.repeat(value=True, n=values.len(), dtype=pl.Boolean, eager=True)
    return values.is_in(others.implode()).fill_null(value=False)


def _full(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` with all columns `IDENTITY`."""
    absent = [pl.lit(None, pl.String).alias(name) for name in IDENTITY if name not in rows.columns]
    return rows.with_columns(absent)


def _chats(view: _View, rules: ChatRules, able: Capabilities, known: Baseline) -> list[pl.DataFrame]:
    """Rows of a plan for the chats themselves."""
    desired, actual = view.desired.chats, view.actual.chats
    settings = [one.value for one in able.enforced()]
    both = (
        desired.select("key", "school", "name", *settings)
        .join(actual.select("key", "external_id", "archived", *settings, name_now="name"), on="key", suffix="_now")
        .filter(~pl.col("key").is_in(view.unsure.implode()))
    )
    differs = pl.lit(value=False)
    if able.rename:
        differs |= (plain(pl.col("name_now")) != pl.col("name")).fill_null(value=True)
    for name in settings:
        differs |= (pl.col(name) != pl.col(f"{name}_now")).fill_null(value=False)
    parts = [
        _chat_rows(both.filter("archived"), Op.RESTORE),
        _chat_rows(both.filter(differs), Op.UPDATE),
    ]
    if view.actual.complete:
        new = desired.join(actual, on="key", how="anti").filter(~pl.col("key").is_in(view.unsure.implode()))
        parts.append(_chat_rows(new, Op.CREATE))
        if rules.deletion is Deletion.ARCHIVE:
            gone = actual.join(desired, on="key", how="anti").filter(
                ~pl.col("archived"),
                pl.col("key").is_in(known.known.implode()),
                ~pl.col("key").is_in(view.unsure.implode()),
            )
            parts.append(_chat_rows(gone.with_columns(name=pl.lit(None, pl.String)), Op.ARCHIVE))
    return parts


def _chat_rows(chats: pl.DataFrame, op: Op) -> pl.DataFrame:
    external = pl.col("external_id") if "external_id" in chats.columns else pl.lit(None, pl.String)
    return chats.select(
        "school", "key", "name", kind=pl.lit(Kind.CHAT.value), op=pl.lit(op.value), external_id=external
    )


# ---------------------------------------------------------------------------------------------------------------------
# Why


def _with_causes(
    rows: pl.DataFrame,
    view: _View,
    *,
    baseline: Baseline,
    before_edit: Desired | None,
    over: pl.DataFrame | None,
    links: Links,
    denied: pl.Series,
) -> pl.DataFrame:
    """Rows of a plan with the column `cause` (DESIGN.md invariant 12)."""
    desired, before = view.desired, baseline.desired
    keys = identity(rows)
    account, place = pl.col("key"), pl.coalesce("class_key", "key")
    never = pl.repeat(value=False, n=rows.height, dtype=pl.Boolean, eager=True)
    edits = Op.UPDATE.value in rows["op"]
    chats_before = pl.concat(
        [desired.chats.select("key", "type", "section"), before.chats.select("key", "type", "section")]
    )
    chats_before = chats_before.unique("key", keep="first")
    of = keys.select(key=place).join(chats_before, on="key", how="left", maintain_order="left")
    known = rows.with_columns(
        in_desired(keys, before).alias("before"),
        looked_up(keys, baseline.kept.with_columns(kept=pl.lit(value=True)), "kept")
        .fill_null(value=False)
        .alias("kept"),
        looked_up(keys, baseline.kept, "cause").alias("kept_cause"),
        looked_up(keys, baseline.unapplied, "cause").alias("unapplied_cause"),
        (in_desired(keys, before_edit) if before_edit is not None else never).alias("by_old_rules"),
        of["type"].cast(pl.String).alias("type"),
        _ends(of["section"], over).alias("over"),
        _was_pending(keys, before, links).alias("was_pending"),
        (_changed_by(keys, desired, before, before_edit) if edits else pl.lit(None, pl.String)).alias("changed_by"),
        (~place.is_in(baseline.known.implode())).alias("new"),
    )
    arriving = known.filter(pl.col("op").is_in(COMING), pl.col("kind") == Kind.MEMBERSHIP.value).select("key", "type")
    moves = known.select("key", "type").join(
        arriving.unique().with_columns(moves=pl.lit(value=True)), on=["key", "type"], how="left", maintain_order="left"
    )["moves"]
    op, kind = pl.col("op"), pl.col("kind")
    leaving = op.is_in(LEAVING)
    personal = kind != Kind.CHAT.value
    cause = (
        pl.when(leaving & personal & account.is_in(denied.implode()))
        .then(pl.lit(Cause.DENIED.value))
        .when(leaving & personal & ~(pl.col("before") | pl.col("kept")))
        .then(pl.lit(Cause.INTRUDER.value))
        .when(leaving & personal & account.is_in(links.unlinked["account"].implode()))
        .then(pl.lit(Cause.UNLINKED.value))
        .when(leaving & (pl.col("kept_cause") != Cause.MOVED.value))
        .then("kept_cause")
        .when(leaving & pl.col("by_old_rules"))
        .then(pl.lit(Cause.SPEC_CHANGED.value))
        .when(leaving & pl.col("over").is_not_null())
        .then("over")
        .when(leaving & (kind == Kind.MEMBERSHIP.value) & moves.fill_null(value=False))
        .then(pl.lit(Cause.MOVED.value))
        .when(leaving)
        .then(pl.lit(Cause.LEFT_SOURCE.value))
        .when(op == Op.UPDATE.value)
        .then(pl.coalesce("changed_by", "unapplied_cause", pl.lit(Cause.DRIFT.value)))
        .when(pl.col("unapplied_cause").is_not_null())
        .then("unapplied_cause")
        .when(pl.lit(baseline.first) & pl.col("new"))
        .then(pl.lit(Cause.FIRST_SYNC.value))
        .when("before")
        .then(pl.lit(Cause.DRIFT.value))
        .when(pl.lit(before_edit is not None) & ~pl.col("by_old_rules"))
        .then(pl.lit(Cause.SPEC_CHANGED.value))
        .when("was_pending")
        .then(pl.lit(Cause.LINKED.value))
        .otherwise(pl.lit(Cause.SOURCE_ADDED.value))
    )
    return known.with_columns(cause.alias("cause")).select(*rows.columns, "cause")


def _ends(sections: pl.Series, over: pl.DataFrame | None) -> pl.Series:
    """The cause of what ends with these classes, or null. What the records lack altogether is no such end."""
    if over is None or over.is_empty():
        return pl.repeat(None, sections.len(), dtype=pl.String, eager=True)
    cause = pl.when("rolled").then(pl.lit(Cause.ROLLED_OVER.value)).otherwise(pl.lit(Cause.TERM_ENDED.value))
    ends = over.unique("id").select(section="id", cause=cause)
    return sections.alias("section").to_frame().join(ends, on="section", how="left", maintain_order="left")["cause"]


def _was_pending(keys: pl.DataFrame, before: Desired, links: Links) -> pl.Series:
    """Whether some person whose account this is had a reason before, and only no account."""
    if before.pending.is_empty():
        return pl.repeat(value=False, n=keys.height, dtype=pl.Boolean, eager=True)
    waited = before.pending.select(class_key=before.chats["key"][before.pending["chat"]], person="person")
    waited = waited.join(links.linked, on="person").select("class_key", key="account").unique()
    found = keys.select("class_key", "key").join(
        waited.with_columns(waited=pl.lit(value=True)), on=["class_key", "key"], how="left", maintain_order="left"
    )
    return found["waited"].fill_null(value=False)


def _changed_by(keys: pl.DataFrame, desired: Desired, before: Desired, before_edit: Desired | None) -> pl.Series:
    """Why the wanted name or settings of a chat are not what they were; null where they are."""
    what = desired.chats.columns[desired.chats.columns.index("space_name") + 1 :]

    def differs(other: Desired, names: Sequence[str]) -> pl.Series:
        """Per chat that is wanted now; null where the other state had it not."""
        pairs = desired.chats.select("key", *names).join(
            other.chats.select("key", *names), on="key", how="left", suffix="_then", maintain_order="left"
        )
        return pairs.select(pl.any_horizontal(pl.col(name) != pl.col(f"{name}_then") for name in names)).to_series()

    edited = differs(before, what)
    if before_edit is not None:
        edited |= differs(before_edit, ["name"])
    cause = (
        pl.when(edited)
        .then(pl.lit(Cause.SPEC_CHANGED.value))
        .when(differs(before, ["name"]))
        .then(pl.lit(Cause.SOURCE_CHANGED.value))
    )
    causes = desired.chats.select("key", changed_by=cause)
    return keys.select("key").join(causes, on="key", how="left", maintain_order="left")["changed_by"]


# ---------------------------------------------------------------------------------------------------------------------
# The last administrators


def _last_administrators(rows: pl.DataFrame, view: _View, baseline: Baseline, *, now: datetime) -> pl.DataFrame:
    """`rows` in which who would leave a chat that goes on without an administrator is `due` only after a week."""
    going = rows.filter(
        (pl.col("kind") == Kind.RIGHT.value)
        & pl.col("op").is_in(LEAVING)
        & ~pl.col("cause").is_in(_AT_ONCE)
        & pl.col("class_key").is_in(view.desired.chats["key"].implode())
    ).select("class_key", "key")
    if going.is_empty():
        return rows
    leads = view.there.filter("administrator", "present")
    leads = leads.select(class_key=view.actual.chats["key"][leads["chat"]], key="account")
    left = rows.filter((pl.col("kind") == Kind.RIGHT.value) & pl.col("op").is_in(LEAVING))
    led = leads.join(left, on=["class_key", "key"], how="anti")["class_key"].unique()
    last = going.filter(~pl.col("class_key").is_in(led.implode())).with_columns(last=pl.lit(value=True))
    # Of a plan before, the baseline knows since when; of this one, from now on.
    since = looked_up(identity(rows), baseline.kept, "since").fill_null(now)
    is_last = rows.select("class_key", "key").join(last, on=["class_key", "key"], how="left", maintain_order="left")[
        "last"
    ]
    due = since + LAST_ADMINISTRATOR
    waits = is_last.fill_null(value=False) & rows["op"].is_in(LEAVING) & (due > now)
    return rows.with_columns(pl.select(pl.when(waits).then(due)).to_series().alias("due"))

"""What of a plan a policy and a platform let through, and what becomes of the rest: fallbacks, never a silent skip.

==================  =========================================================  =====================================
the platform lacks  hence                                                      it falls back to
==================  =========================================================  =====================================
create              no chat is made, and nobody is added to one that is not    a person makes it
forceAdd            nobody is added; people are pending in state Linked        the invite link, where it has one
remove              nobody is taken out                                        a person does it, with the counts
setRole             no rights are given or taken                               a person does it, with the counts
rename, settings    what cannot be written is not compared (`diff`)            it is reported as it is
archive             a chat that ends loses its members and stays               -
==================  =========================================================  =====================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import polars as pl

from homeroom.api.chatpolicy import Membership
from homeroom.chats.words import Capabilities
from homeroom.plan import COMING, LEAVING, Cause, Kind, Op, Plan


class Fallback(StrEnum):
    """What has to happen in place of a change that the platform cannot make. A closed list, for conditions."""

    CREATE_BY_HAND = "CreateByHand"
    INVITE_BY_LINK = "InviteByLink"  # send them the link of the chat
    INVITE_BY_HAND = "InviteByHand"
    REMOVE_BY_HAND = "RemoveByHand"
    APPOINT_BY_HAND = "AppointByHand"
    LEAVE_EMPTY = "LeaveEmpty"  # the chat stays, without members


@dataclass(frozen=True, slots=True, kw_only=True)
class Feasible:
    """`plan` can be carried out by the platform; `others` counts the changes that cannot, by what happens instead."""

    plan: Plan
    others: Mapping[Fallback, int]


def feasible(plan: Plan, able: Capabilities) -> Feasible:
    """Cut a plan down to what a platform can do. What it cannot do is planned again in the next run, and counted."""
    if plan.empty:
        return Feasible(plan=plan, others={})
    op, kind = pl.col("op").cast(pl.String), pl.col("kind").cast(pl.String)
    member, right, chat = (kind == one.value for one in (Kind.MEMBERSHIP, Kind.RIGHT, Kind.CHAT))
    made = plan.changes.filter(chat & (op == Op.CREATE.value))["key"]
    without_chat = pl.lit(not able.create) & op.is_in(COMING) & pl.coalesce("class_key", "key").is_in(made.implode())
    by = Fallback.INVITE_BY_LINK if able.invite_link else Fallback.INVITE_BY_HAND
    # Who is not brought in has no rights yet either: they are planned when the person is there.
    pair = ["class_key", "key"]
    added = plan.changes.filter(member & (op == Op.CREATE.value) & (not able.force_add)).select(*pair, coming=True)
    awaited = plan.changes.select(pair).join(added, on=pair, how="left", maintain_order="left")["coming"]
    later = pl.lit(awaited.fill_null(value=False)) & op.is_in(COMING)
    instead = (
        pl.when(without_chat)
        .then(pl.lit(Fallback.CREATE_BY_HAND.value))
        .when(later)
        .then(pl.lit(by.value))
        .when(pl.lit(not able.remove) & member & op.is_in(LEAVING))
        .then(pl.lit(Fallback.REMOVE_BY_HAND.value))
        .when(pl.lit(not able.set_role) & right)
        .then(pl.lit(Fallback.APPOINT_BY_HAND.value))
        .when(pl.lit(not able.archive) & chat & (op == Op.ARCHIVE.value))
        .then(pl.lit(Fallback.LEAVE_EMPTY.value))
    )
    found = plan.changes.select(instead.alias("instead")).to_series()
    counts = found.drop_nulls().value_counts().sort("instead")
    return Feasible(
        plan=Plan(plan.changes.filter(found.is_null())), others={Fallback(name): n for name, n in counts.iter_rows()}
    )


_ALWAYS: Final = [Cause.DENIED.value, Cause.UNLINKED.value]


def under(plan: Plan, membership: Membership) -> Plan:
    """The part that `membership` lets through: with `AddOnly` nobody goes who is not denied or unlinked.

    Rights are taken all the same: whoever may do everything in a chat of children is no guest.
    """
    if membership is Membership.MANAGED:
        return plan
    stays = pl.col("op").cast(pl.String).is_in(LEAVING) & (pl.col("kind").cast(pl.String) != Kind.RIGHT.value)
    return Plan(plan.changes.filter(~stays | pl.col("cause").cast(pl.String).is_in(_ALWAYS)))

"""What is to be done at once for calls: the chats of their classes, each by itself, as far as nobody has to be asked.

A whole run reads all chats of a district, which takes too long for somebody who waits with a class. Here a chat of a
subject is made that the policy wants since somebody pressed, with all who are in it by records and links. Nothing else
is: who leads it waits for the next run and its guards, as does whatever differs in chats that there were. Of these
chats the policy remembers nothing yet; until a run has seen them nobody is taken for a stranger there. Pure.
Neighbours: `chatcalls` (reads, makes, and tells), `chatdecision` (the same for a whole run).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import polars as pl

from homeroom.api import ChatType, CreateOn, RollOver
from homeroom.chats.able import feasible
from homeroom.chats.baseline import Baseline
from homeroom.chats.desired import PARTS, desired, parts
from homeroom.chats.diff import diff
from homeroom.chats.state import Actual, Desired
from homeroom.chats.words import Capabilities
from homeroom.plan import Guard, Kind, Op, Plan, State, first_synced
from homeroom.reconcile.chatdecision import ChatInputs, coming_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What to do for some calls. `plan`: what to make; `waiting`: keys of chats that are not made before a whole run.

    `holds`: the id of the hold that a chat (key) waits for, where there is one.
    """

    plan: Plan
    waiting: frozenset[str]
    holds: Mapping[str, str]


def wanted_for(inputs: ChatInputs, classes: Collection[str]) -> Desired:
    """The chats of the subjects of these classes (Homeroom's ids), as far as this policy sees to them."""
    rules, stored = inputs.rules, inputs.memory.stored
    subjects = tuple(
        replace(rule, create_on=CreateOn.FIRST_CALL) for rule in rules.chats if rule.type is ChatType.SUBJECT
    )
    older = [other.rules for other in inputs.others if other.rules is not None and other.older]
    return desired(
        inputs.records,
        inputs.links,
        replace(rules, chats=subjects),
        opened={CreateOn.FIRST_CALL: classes},
        lineage=stored.lineage if stored is not None and rules.roll_over is RollOver.FOLLOW_CLASS else None,
        denied=inputs.denied,
        taken=pl.concat([pl.DataFrame(schema=PARTS), *(parts(inputs.records, one) for one in older)]),
    )


def opening(inputs: ChatInputs, wanted: Desired, there: Actual, able: Capabilities) -> Opening:
    """What to make of the chats of `wanted`. `there`: what a look at these alone has found of them."""
    memory, chats = inputs.memory, wanted.chats.select("key", "school")
    stored = memory.stored
    before = stored.baseline.only(chats["key"]) if stored is not None else Baseline.empty()
    asking = [hold for hold in memory.holds if hold.state is State.OPEN]
    starting = {hold.place: hold.id for hold in asking if hold.guard is Guard.FIRST_SYNC}
    seen = {*memory.schools, *first_synced(memory.holds)} - starting.keys()
    # An edit that no run has looked at, or that somebody is asked about, may be what adds this chat.
    settled = stored is not None and stored.rules == inputs.declared
    may = pl.lit(settled) & (pl.lit(not inputs.reviews) | pl.col("school").is_in(sorted(seen)))
    # A room that was made once, and that its alias does not lead to any more, is for a whole reading to find.
    key = pl.col("key")
    astray = key.is_in(memory.rooms["key"].implode()) & ~key.is_in(there.chats["key"].implode())
    free = chats.filter(may & ~astray)["key"]
    plan = diff(
        wanted,
        replace(there, complete=True),  # whether these chats are there is known, and of no others is anything wanted
        rules=inputs.rules,
        links=inputs.links,
        able=able,
        now=inputs.now,
        baseline=before,
        denied=inputs.denied,
        still=inputs.still,
    )
    op, kind = pl.col("op").cast(pl.String), pl.col("kind").cast(pl.String)
    place = pl.coalesce(pl.col("class_key").cast(pl.String), key.cast(pl.String))
    begins = (op == Op.CREATE.value) & kind.is_in([Kind.CHAT.value, Kind.MEMBERSHIP.value])
    # What a run remembers runs keep right. What was begun here and not ended, none remembers yet.
    remembered = place.is_in(before.known.implode()) & place.is_in(there.chats["key"].implode())
    rows = plan.changes.filter(begins & place.is_in(free.implode()) & ~remembered & ~coming_of(memory.parked))
    possible = feasible(Plan(rows), able).plan.due
    coming = possible.changes.filter(kind == Kind.CHAT.value)["key"].cast(pl.String)
    standing = there.chats.filter(~pl.col("archived"))["key"]
    waiting = frozenset(chats["key"]) - {*standing, *coming}
    # The first sync of a school is one question, whatever chats it is about.
    holds = {one: starting[school] for one, school in chats.iter_rows() if one in waiting and school in starting}
    for hold in asking:
        rows = hold.rows.filter(pl.col("kind") != Kind.RIGHT.value)  # who is to lead a chat keeps none from being there
        about = rows.select(pl.coalesce("class_key", "key").alias("chat"))["chat"].unique()
        holds |= dict.fromkeys(about.filter(about.is_in(list(waiting))), hold.id)
    return Opening(plan=possible, waiting=waiting, holds=holds)

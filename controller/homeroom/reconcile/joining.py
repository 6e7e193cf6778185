"""Who came into an extra chat by its link, and who went again: before a decision, and after what was made of it.

The pages only write down that somebody wants to come, or to go (`homeroom.store.joins`); `linking` hears of that within
seconds and wakes the Chat. Neighbours: `chatpolicy` (the run), `homeroom.chats.extra` (for whom a link is).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from homeroom.api import Chat, Join
from homeroom.chats.extra import admitted, came
from homeroom.chats.linking import JoinState, Place
from homeroom.chats.state import Actual
from homeroom.plan import Kind
from homeroom.reconcile.chatdecision import ChatDecision, ChatInputs
from homeroom.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """What is known of those who came by the link, as a run found it: states by source id.

    `over`: whose time a look at the chat has ended. `link`: the last characters of the link, if there is one.
    """

    place: Place
    chat: str
    before: Mapping[str, JoinState]
    over: Mapping[str, JoinState] = field(default_factory=dict)
    link: str | None = None


async def arrivals(store: Store, chat: Chat, *, epoch: int) -> Arrivals:
    """Keep the link as it is declared, and look who came by it."""
    meta, spec = chat.metadata, chat.spec
    place = Place(meta.namespace, spec.platform_ref.name, spec.district_ref.name)

    def look() -> Arrivals:
        joins, link = store.joins, None
        if spec.join is Join.LINK:
            edition = spec.link.edition if spec.link is not None else 1
            link = joins.open(place, meta.name, title=spec.name, edition=edition, epoch=epoch).masked
        else:
            joins.close(namespace=meta.namespace, chat=meta.name, epoch=epoch)
        states = {person: JoinState(state) for person, state in joins.joins(place, meta.name).iter_rows()}
        return Arrivals(place=place, chat=meta.name, before=states, link=link)

    return await asyncio.to_thread(look)


def with_arrivals(found: Arrivals, inputs: ChatInputs, there: Actual) -> tuple[Arrivals, ChatInputs, Actual]:
    """What a decision has to know of them. Who took it back is out at once, as with a link that is taken back."""
    joined, over, there = came(found.before, inputs.links, there, leave=inputs.rules.leave)
    left = {person for person, state in found.before.items() if state is JoinState.LEFT}
    inputs = replace(inputs, joined=joined, links=inputs.links.taken_back({*left, *over}))
    return replace(found, over=over), inputs, there


async def settle(
    store: Store, found: Arrivals, inputs: ChatInputs, decision: ChatDecision, left: pl.DataFrame, *, epoch: int
) -> None:
    """Write down what became of them. `left`: changes of the plan that were not made."""
    extra = inputs.rules.extra
    asked = [person for person, state in found.before.items() if state is JoinState.ASKED]
    assert extra is not None
    welcome = set(admitted(inputs.records, extra, asked)) - set(inputs.denied)
    outside = left.filter(pl.col("kind").cast(pl.String) == Kind.MEMBERSHIP.value)["key"].cast(pl.String)
    inside = decision.desired.accounts["account"]
    inside = inside.filter(~inside.is_in(outside.implode()))
    let_in = set(inputs.links.linked.filter(pl.col("account").is_in(inside.implode()))["person"])
    changed = {person: (JoinState.IN, state) for person, state in found.over.items()}
    for person in asked:
        if person not in welcome:
            changed[person] = (JoinState.ASKED, JoinState.REFUSED)
        elif person in let_in:
            changed[person] = (JoinState.ASKED, JoinState.IN)
    await asyncio.to_thread(store.joins.settle, found.place, found.chat, changed, epoch=epoch)

"""The picture that a Chat is declared with: fetched, shown once, and told of. What is wrong with it stops nothing else.

It comes last in a run, when everybody is where they belong. Whether it was shown already is known to the platform, so
nothing is remembered here. Neighbours: `chatpolicy` (the run), `homeroom.chats.picture` (what can be one).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from homeroom.api import Chat, ChatPolicyStatus, Reason, conditions
from homeroom.chats.picture import picture_of
from homeroom.errors import HomeroomError
from homeroom.platforms import Platform
from homeroom.reconcile.ports import Cluster

_AGAIN: Final = timedelta(minutes=10)
"""Nobody tells us when a ConfigMap is mended: it may well have been applied a moment after its Chat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What became of the picture. `fault`: why it could not be shown. `now`: it was set by this run."""

    fault: HomeroomError | None = None
    now: bool = False


async def show_avatar(chat: Chat, cluster: Cluster, server: Platform, *, key: str | None) -> Shown | None:
    """Show the picture in the chat with this key, None: there is no room yet. None: there is nothing to tell."""
    if chat.spec.avatar is None:
        return None
    file = chat.spec.avatar.config_map_key_ref
    try:
        picture = picture_of(await cluster.picture(namespace=chat.metadata.namespace, name=file.name, key=file.key))
        return None if key is None else Shown(now=await server.show(key, picture))
    except HomeroomError as error:
        return Shown(fault=error)


def unshown(shown: Shown | None) -> list[timedelta]:
    """How long it is until a picture that could not be shown is looked for again."""
    return [_AGAIN] if shown is not None and shown.fault is not None else []


def with_avatar(status: ChatPolicyStatus, shown: Shown | None, *, generation: int, now: datetime) -> ChatPolicyStatus:
    """The status with the condition AvatarSet, where there is something to tell."""
    if shown is None:
        kept = conditions.without(status.conditions, conditions.ConditionType.AVATAR_SET)
        return status.model_copy(update={"conditions": kept})
    return conditions.with_condition(
        status,
        type_=conditions.ConditionType.AVATAR_SET,
        value=shown.fault is None,
        reason=Reason.AVATAR_SET if shown.fault is None else Reason.of(shown.fault.reason),
        message="the declared picture was set" if shown.fault is None else shown.fault.message,
        generation=generation,
        now=now,
    )

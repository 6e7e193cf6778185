"""Which chats a district should have, who is in them, and what has to change: pure, no Kubernetes, no network.

`words` has the closed lists, `policy` what somebody wants, `records` what comes in; `desired` makes the chats that
there should be of them (`names`, `identity`, `rollover`), in the frames of `state`, as a platform reads them too.
`diff` compares the two with what had a reason before (`baseline`); `able` says what a platform can do of that, and
`standing` where everybody is on the way into a chat.
Neighbour on the same floor: `homeroom.roster`; nothing is imported from there, frames are what passes between the two.
In words for people: docs/chats.md.
"""

from homeroom.api.chatpolicy import Allowed, ChatType, Preset
from homeroom.chats.identity import chat_key, plain, skeleton, space_key
from homeroom.chats.picture import Picture
from homeroom.chats.state import ACTUAL_SCHEMAS, DESIRED_SCHEMAS, Actual, Chat, Desired
from homeroom.chats.words import (
    PRESETS,
    Capabilities,
    Enforcement,
    Reason,
    Setting,
    Settings,
    State,
)

__all__ = [
    "ACTUAL_SCHEMAS",
    "DESIRED_SCHEMAS",
    "PRESETS",
    "Actual",
    "Allowed",
    "Capabilities",
    "Chat",
    "ChatType",
    "Desired",
    "Enforcement",
    "Picture",
    "Preset",
    "Reason",
    "Setting",
    "Settings",
    "State",
    "chat_key",
    "plain",
    "skeleton",
    "space_key",
]

"""The closed words of chats: the eight settings with their presets, states of people, what a platform can do.

Shaped by the least that a chat server can do, not by the most: VK cannot add people and writes no setting, Matrix can
do nearly all. Words that resources speak too stand in `homeroom.api.chatpolicy`. Neighbours: `policy` puts the words
together, `state` has them in frames, `able` falls back where a platform lacks something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntFlag, StrEnum
from typing import Final, Self

from homeroom.api.chatpolicy import Allowed, Preset


class Reason(IntFlag):
    """Why an account is in a chat. It may have several, as bits of one number; it is out with the last of them."""

    STUDENT = 1
    GUARDIAN = 2
    TEACHER = 4  # of the class, or of the subject
    STAFF = 8
    HEAD = 16  # leads the school
    NAMED = 32  # by a Chat
    JOINED = 64  # came by the link of a Chat


class State(StrEnum):
    """Where somebody with a reason to be in a chat stands on the way into it."""

    UNLINKED = "Unlinked"  # no account of theirs is known (R10)
    LINKED = "Linked"  # it is, and they are not in the chat yet
    INVITED = "Invited"  # asked in, and counts as there: nobody is asked twice
    JOINED = "Joined"
    LEFT_BY_CHOICE = "LeftByChoice"  # went by themselves; nobody put them out
    PARKED = "Parked"  # an account that cannot come in now (banned, locked), or that two people claim


class Setting(StrEnum):
    """The eight settings (R20): what people may be allowed to do. Values are the names of the columns of frames."""

    INVITE = "invite"
    EDIT_INFO = "edit_info"
    PIN = "pin"
    MENTION_ALL = "mention_all"
    SEE_LINK = "see_link"
    CALL = "call"
    APPOINT = "appoint"
    APPEARANCE = "appearance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Who may do what in one chat; the default is the preset `Closed`: nobody but Homeroom."""

    invite: Allowed = Allowed.OWNER
    edit_info: Allowed = Allowed.OWNER
    pin: Allowed = Allowed.OWNER
    mention_all: Allowed = Allowed.OWNER
    see_link: Allowed = Allowed.OWNER
    call: Allowed = Allowed.OWNER
    appoint: Allowed = Allowed.OWNER
    appearance: Allowed = Allowed.OWNER

    def items(self) -> dict[Setting, Allowed]:
        """All eight, in the order of `Setting`."""
        return {setting: getattr(self, setting.value) for setting in Setting}

    def with_members_from_records(self) -> Self:
        """The same as far as it leaves to Homeroom who is in the chat and who administers it (R16, R32)."""
        return replace(self, invite=Allowed.OWNER, appoint=Allowed.OWNER)


PRESETS: Final[Mapping[Preset, Settings]] = {
    Preset.CLOSED: Settings(),
    Preset.ORDINARY: Settings(
        edit_info=Allowed.ADMINISTRATORS,
        pin=Allowed.ADMINISTRATORS,
        mention_all=Allowed.ADMINISTRATORS,
        see_link=Allowed.EVERYONE,
        call=Allowed.EVERYONE,
        appearance=Allowed.EVERYONE,
    ),
}
"""`Ordinary` is our own reading (R19 only names it): people may do what touches neither members nor administrators."""


class Enforcement(StrEnum):
    """What a platform makes of one setting. It is reported as it is; nothing is pretended."""

    ENFORCED = "Enforced"  # written and repaired
    READ_ONLY = "ReadOnly"  # seen, and no call writes it
    UNSUPPORTED = "Unsupported"  # the platform knows no such thing


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a platform can do with the credentials that it has. What falls back to what: `homeroom.chats.able`."""

    create: bool
    force_add: bool  # bring a linked person in without their doing anything
    invite_link: bool  # a link on which people come in by themselves
    remove: bool
    set_role: bool
    rename: bool
    archive: bool
    delete: bool
    calls: bool  # everybody in a chat can be told of a call
    events: bool  # tells of changes as they happen
    settings: Mapping[Setting, Enforcement] = field(default_factory=dict)  # what is not named is `Unsupported`

    def enforced(self) -> tuple[Setting, ...]:
        """The settings that can be written, in the order of `Setting`."""
        return tuple(one for one in Setting if self.settings.get(one) is Enforcement.ENFORCED)

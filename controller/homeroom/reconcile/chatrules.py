"""What a ChatPolicy or a Chat says, as the rules that `homeroom.chats` works with and the limits that guards work with.

The bridge between two floors that do not know each other: resources, and the pure working out of who belongs where.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeAlias

from homeroom.api import (
    Admitted,
    Chat,
    ChatGuards,
    ChatOfType,
    ChatPolicy,
    ChatSettings,
    ChatSpec,
    ChatType,
    CreateOn,
    Join,
    Part,
    Preset,
)
from homeroom.chats import PRESETS, Setting, Settings
from homeroom.chats.policy import LIMITS, ChatRule, ChatRules, ExtraChat
from homeroom.plan import Limits

DeclaredChats: TypeAlias = ChatPolicy | Chat
"""Kinds that say which chats there are; one root works for both."""


def rules_of(policy: DeclaredChats, *, scope: str, protected: Iterable[str] = ()) -> ChatRules:
    """The rules of a policy, or of an extra chat. `scope`: who owns its chats (`ChatRules`).

    `protected`: accounts of the platform's spec. Raises InvalidSpecError.
    """
    if isinstance(policy, Chat):
        return _rules_of_chat(policy, scope=scope, protected=protected)
    spec = policy.spec
    schools, other_schools = spec.schools()
    settings = _settings(spec.settings)
    return ChatRules(
        scope=scope,
        chats=tuple(_rule(chat, settings) for chat in spec.chats),
        schools=schools,
        other_schools=other_schools,
        language=spec.language,
        membership=spec.membership,
        leave=spec.leave,
        roll_over=spec.roll_over,
        deletion=spec.deletion,
        protected=frozenset([*spec.protect, *protected]),
    )


def _rules_of_chat(chat: Chat, *, scope: str, protected: Iterable[str]) -> ChatRules:
    """Ids are Homeroom's: one that the records give to somebody else is not theirs here (safety row 6)."""
    spec, members = chat.spec, chat.spec.members
    extra = ExtraChat(
        name=spec.name,
        people=frozenset(members.people),
        classes=frozenset(members.classes),
        parts=frozenset(members.parts or (Part.STUDENTS, Part.TEACHERS)),
        roles=frozenset((one.role, one.school) for one in members.roles),
        administrators=frozenset(spec.admins),
        admits=_admits(spec),
        settings=_settings(spec.settings),
    )
    return ChatRules(
        scope=scope,
        extra=extra,
        language=spec.language,
        membership=spec.membership,
        leave=spec.leave,
        protected=frozenset([*spec.protect, *protected]),
    )


def _admits(spec: ChatSpec) -> frozenset[Admitted]:
    """For whom the link is. Nobody can say into whose hands it comes: without a word it is for who works here alone."""
    if spec.join is not Join.LINK:
        return frozenset()
    return frozenset(spec.link.admits if spec.link is not None else (Admitted.STAFF,))


def limits_of(guards: ChatGuards) -> Limits:
    """The numbers of a policy's guards. One number is for removals, from a chat as from a school or the district."""
    removals, additions = (int(text.removesuffix("%")) for text in (guards.max_removals, guards.max_additions))
    return replace(
        LIMITS, deletes=removals, class_shrink=removals, additions=additions, ignore_below=guards.ignore_below
    )


def _rule(chat: ChatOfType, settings: Settings) -> ChatRule:
    otherwise = CreateOn.FIRST_CALL if chat.type is ChatType.SUBJECT else CreateOn.ENROLLMENT
    return ChatRule(
        type=chat.type,
        name=chat.name,
        settings=settings,
        members=frozenset(Part if chat.members is None else chat.members),
        create_on=chat.create_on or otherwise,
    )


def _settings(declared: ChatSettings) -> Settings:
    if declared.preset is not Preset.CUSTOM:
        return PRESETS[declared.preset]
    return Settings(**{setting.value: getattr(declared, setting.value) for setting in Setting})

"""What a ChatPolicy says, as the rules that `homeroom.chats` works with and the limits that guards work with.

The bridge between two floors that do not know each other: resources, and the pure working out of who belongs where.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from homeroom.api import ChatGuards, ChatOfType, ChatPolicy, ChatSettings, ChatType, CreateOn, Part, Preset
from homeroom.chats import PRESETS, Setting, Settings
from homeroom.chats.policy import LIMITS, ChatRule, ChatRules
from homeroom.plan import Limits


def rules_of(policy: ChatPolicy, *, scope: str, protected: Iterable[str] = ()) -> ChatRules:
    """The rules of a policy. `scope`: who owns its chats (`ChatRules`). `protected`: accounts of the platform's spec.

    Raises InvalidSpecError.
    """
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

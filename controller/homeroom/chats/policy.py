"""What somebody wants of the chats of a district's schools, free of Kubernetes: frozen, checked when made.

Neighbours: `homeroom.api.chatpolicy` (the closed lists), `desired` (reads all of it but `leave`, `membership` and
`deletion`, which are about what is there: `diff`, `able`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from homeroom.api.chat import Admitted, SchoolRole
from homeroom.api.chatpolicy import ChatType, CreateOn, Deletion, Leave, Membership, Part, RollOver
from homeroom.api.schoollicense import Language
from homeroom.chats import names
from homeroom.chats.words import Settings
from homeroom.errors import InvalidSpecError
from homeroom.plan import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRule:
    """One type of chats. `name`: a template, None: by the language. Raises InvalidSpecError."""

    type: ChatType
    name: str | None = None
    settings: Settings = field(default_factory=Settings)
    members: frozenset[Part] = frozenset(Part)
    create_on: CreateOn = CreateOn.ENROLLMENT

    def __post_init__(self) -> None:
        """Refuse what would fight the records, and names that say nothing."""
        if self.name is not None:
            names.check(self.name, of=self.type)
        _see_closed(self.settings, of=f"the chat type {self.type}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraChat:
    """One extra chat, declared by hand. Ids of people, classes and schools are those of the records.

    `parts`: who of the classes; `roles`: everybody with a role in a school; `admits`: for whom its link is, if it
    has one. Raises InvalidSpecError.
    """

    name: str
    people: frozenset[str] = frozenset()
    classes: frozenset[str] = frozenset()
    parts: frozenset[Part] = frozenset()
    roles: frozenset[tuple[SchoolRole, str]] = frozenset()
    administrators: frozenset[str] = frozenset()
    admits: frozenset[Admitted] = frozenset()
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        """Refuse what would fight the resource."""
        _see_closed(self.settings, of="the chat")


def _see_closed(settings: Settings, *, of: str) -> None:
    if settings != settings.with_members_from_records():
        raise InvalidSpecError(
            f"settings of {of}: `invite` and `appoint` must be Owner; members and administrators of these chats come "
            "from records and resources, and who is brought in by hand is taken out"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRules:
    """One policy, or one extra chat (`extra`; then `chats` is empty). Raises InvalidSpecError.

    `scope`: who owns its chats, in words that no other owner has. `schools`: source ids, None: all but `other_schools`.
    `protected`: accounts (bots, support) that are never taken out, nor are their rights.
    """

    scope: str
    chats: tuple[ChatRule, ...] = ()
    extra: ExtraChat | None = None
    schools: frozenset[str] | None = None
    other_schools: frozenset[str] = frozenset()
    language: Language = Language.ENGLISH
    membership: Membership = Membership.MANAGED
    leave: Leave = Leave.REJOIN
    roll_over: RollOver = RollOver.NEW_CHAT_EACH_YEAR
    deletion: Deletion = Deletion.RETAIN
    protected: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """A type twice would be two wishes for one chat."""
        types = [rule.type for rule in self.chats]
        if len(set(types)) < len(types):
            raise InvalidSpecError("`chats`: a type of chats stands there twice; say once what you want of it")

    def name_of(self, rule: ChatRule) -> str:
        """The template of the names of the chats of a rule."""
        return rule.name if rule.name is not None else names.DEFAULTS[self.language][rule.type]


LIMITS: Final = Limits(deletes=25, class_shrink=25, additions=25, ignore_below=5)
"""The guards of chats: a quarter, as Peribolos has it; Clever's tenth is for whole schools of accounts."""

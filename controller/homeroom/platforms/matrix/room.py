"""What the state of a room means, and what the state of a room of ours shall be. Pure.

A room's mark is a state event, `dev.homeroom.chat`, that our account has sent; a room where somebody else has sent one
is nobody's. Nobody in a room of ours may write such an event, so the mark needs no secret, and it outlives our store.

Levels: our account is above all others, an administrator has 50, everybody else 0. In rooms of version 12 the creator
has no level because none could be higher; in older ones our account has 100, and so nobody else may: who has 100 can
never be thrown out again.

====================  ======================================================================================
setting               what it is in a room; the most open of these is what the setting counts as
====================  ======================================================================================
`invite`              levels of inviting, throwing out and banning; join rule, guests, and reading back
`edit_info`           m.room.name, m.room.topic, m.room.avatar
`pin`                 m.room.pinned_events
`mention_all`         notifications.room
`call`                the events of calls and widgets
`appoint`             m.room.power_levels, and everything else that is nobody's but ours
`see_link`            none: an alias opens nothing, as nobody comes in without our inviting them
`appearance`          none: every program looks as its user likes
====================  ======================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from homeroom.chats import Allowed, Enforcement, Setting, Settings, State

CHAT_MARK: Final = "dev.homeroom.chat"
SPACE_MARK: Final = "dev.homeroom.space"
ADMINISTRATOR: Final = 50
_OURS: Final = 100
_LEVELS: Final = {Allowed.OWNER: _OURS, Allowed.ADMINISTRATORS: ADMINISTRATOR, Allowed.EVERYONE: 0}

POWER: Final = "m.room.power_levels"
AVATAR: Final = "m.room.avatar"
_OPEN: Final[Mapping[Setting, Sequence[str]]] = {
    Setting.EDIT_INFO: ("m.room.name", "m.room.topic", AVATAR),
    Setting.PIN: ("m.room.pinned_events",),
    Setting.CALL: (
        "m.call",
        "m.call.invite",
        "m.call.member",
        "m.widget",
        "im.vector.modular.widgets",
        "org.matrix.msc3401.call",
        "org.matrix.msc3401.call.member",
    ),
    Setting.APPOINT: (POWER,),
}
"""Events whose level follows a setting."""
_KEPT: Final = (
    "m.room.canonical_alias",
    "m.room.encryption",
    "m.room.guest_access",
    "m.room.history_visibility",
    "m.room.join_rules",
    "m.room.server_acl",
    "m.room.tombstone",
    "m.space.parent",
    CHAT_MARK,
)
"""Events that nobody but us may send."""

FURNITURE: Final[Mapping[str, Mapping[str, Any]]] = {
    "m.room.join_rules": {"join_rule": "invite"},
    "m.room.guest_access": {"guest_access": "forbidden"},
    "m.room.history_visibility": {"history_visibility": "joined"},
}
"""State that every room of ours has: nobody comes in by themselves, and nobody reads what was before them."""

ENFORCEMENT: Final = {
    setting: Enforcement.UNSUPPORTED if setting in {Setting.SEE_LINK, Setting.APPEARANCE} else Enforcement.ENFORCED
    for setting in Setting
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Whose a room is and what it is for. `owner`: who we are in the world; `space`: key of the space it belongs to.

    `picture`: digest of the last picture that we set there, if there ever was one.
    """

    owner: str
    key: str
    school: str
    space: str
    archived: bool = False
    picture: str | None = None

    def content(self) -> dict[str, Any]:
        """The mark as the content of an event."""
        return {
            "owner": self.owner,
            "key": self.key,
            "school": self.school,
            "space": self.space,
            "archived": self.archived,
            **({"picture": self.picture} if self.picture is not None else {}),
        }

    def with_archived(self, *, archived: bool) -> Self:
        """The same, in use or not."""
        return replace(self, archived=archived)


class Room:
    """One room, by the state events that Synapse lists of it. `operator`: our account. What is odd counts as absent."""

    def __init__(self, room_id: str, events: Iterable[object], *, operator: str) -> None:
        self.id = room_id
        self._operator = operator
        self._state: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._members: dict[str, Mapping[str, Any]] = {}
        for event in events:
            if isinstance(event, dict) and isinstance(event.get("content"), dict):
                kind, key = str(event.get("type")), str(event.get("state_key"))
                if kind == "m.room.member":
                    self._members[key] = event
                else:
                    self._state[kind, key] = event

    def content(self, kind: str, key: str = "") -> Mapping[str, Any]:
        """What was said last about something; empty when nothing was."""
        content: Mapping[str, Any] = self._state.get((kind, key), {}).get("content", {})
        return content

    @property
    def whole(self) -> bool:
        """Whether this can be the state of a room that we are in."""
        created, levels = ("m.room.create", "") in self._state, (POWER, "") in self._state
        return created and levels and self.membership(self._operator) == "join"

    @property
    def ours(self) -> bool:
        """Whether our account has made it."""
        return self._state.get(("m.room.create", ""), {}).get("sender") == self._operator

    @property
    def marked(self) -> bool:
        """Whether our account has left any mark in it."""
        return any(self._marked_by_us(kind) for kind in (CHAT_MARK, SPACE_MARK))

    def _marked_by_us(self, kind: str) -> bool:
        return self._state.get((kind, ""), {}).get("sender") == self._operator

    def mark(self) -> Mark | None:
        """The mark of a chat, when our account has set it."""
        content = self.content(CHAT_MARK)
        words = [content.get(name) for name in ("owner", "key", "school", "space")]
        if not self._marked_by_us(CHAT_MARK) or not all(isinstance(word, str) for word in words):
            return None
        owner, key, school, space = map(str, words)
        picture = content.get("picture")
        return Mark(
            owner=owner,
            key=key,
            school=school,
            space=space,
            archived=content.get("archived") is True,
            picture=picture if isinstance(picture, str) else None,
        )

    def space_key(self, *, owner: str) -> str | None:
        """The key of the space that this room is, when it is one of this owner's."""
        content = self.content(SPACE_MARK)
        key = content.get("key")
        is_one = self._marked_by_us(SPACE_MARK) and content.get("owner") == owner and isinstance(key, str)
        return key if is_one else None

    @property
    def children(self) -> set[str]:
        """The rooms that it holds, when it is a space."""
        return {key for (kind, key), event in self._state.items() if kind == "m.space.child" and event["content"]}

    @property
    def version(self) -> str:
        """The version of its rules; rooms that do not tell have the first."""
        return str(self.content("m.room.create").get("room_version", "1"))

    @property
    def name(self) -> str:
        """The name that people read; empty when it has none."""
        name = self.content("m.room.name").get("name")
        return name if isinstance(name, str) else ""

    @property
    def replacement(self) -> str | None:
        """The room that has taken its place."""
        room = self.content("m.room.tombstone").get("replacement_room")
        return str(room) if ("m.room.tombstone", "") in self._state else None

    @property
    def predecessor(self) -> str | None:
        """The room whose place it has taken."""
        before = self.content("m.room.create").get("predecessor")
        return str(before.get("room_id")) if isinstance(before, dict) else None

    def membership(self, account: str) -> str:
        """`join`, `invite`, `ban`, `knock`, or `leave`, also for who was never there."""
        return str(self._members.get(account, {}).get("content", {}).get("membership", "leave"))

    def present(self, account: str) -> bool:
        """Whether somebody is in the room or asked to come in."""
        return self.membership(account) in {"join", "invite", "knock"}

    # Levels

    @property
    def levels(self) -> Mapping[str, Any]:
        """The levels as they are."""
        return self.content(POWER)

    @property
    def users(self) -> dict[str, int]:
        """Levels of accounts that have one of their own; ours is not among them."""
        users = _mapping(self.levels.get("users"))
        return {account: _level(level, 0) for account, level in users.items() if account != self._operator}

    def above_all(self, account: str) -> bool:
        """Whether an account has made the room along with ours, and so has unlimited rights for ever."""
        others = self.content("m.room.create").get("additional_creators")
        return self.version not in _OLD and isinstance(others, list) and account in others

    def administers(self, account: str) -> bool:
        """Whether an account has an administrator's rights, or would have them when it comes back."""
        level = max(self.users.get(account, 0), _level(self.levels.get("users_default"), 0))
        return level >= ADMINISTRATOR or self.above_all(account)

    def setting(self, setting: Setting) -> Allowed | None:
        """Who may do it, by what the room allows; None: a room has no such thing."""
        levels, events = self.levels, _mapping(self.levels.get("events"))
        state_default = _level(levels.get("state_default"), 50)
        needed: list[int]
        match setting:
            case Setting.INVITE:
                furnished = all(self.content(kind) == content for kind, content in FURNITURE.items())
                needed = [_level(levels.get("invite"), 0), *(_level(levels.get(name), 50) for name in ("kick", "ban"))]
                needed += [] if furnished else [0]
            case Setting.MENTION_ALL:
                needed = [_level(_mapping(levels.get("notifications")).get("room"), 50)]
            case Setting.EDIT_INFO | Setting.PIN | Setting.CALL:
                needed = [_level(events.get(kind), _default(kind, levels)) for kind in _OPEN[setting]]
            case Setting.APPOINT:
                needed = [state_default, *(_level(events.get(kind), state_default) for kind in (POWER, *_KEPT))]
            case Setting.SEE_LINK | Setting.APPEARANCE:
                return None
        lowest = min(needed)
        if lowest <= _level(levels.get("users_default"), 0):
            return Allowed.EVERYONE
        return Allowed.ADMINISTRATORS if lowest <= ADMINISTRATOR else Allowed.OWNER

    @property
    def archived(self) -> bool:
        """Whether it is marked so, and nobody can write any more."""
        mark = self.mark()
        return mark is not None and mark.archived and _level(self.levels.get("events_default"), 0) >= _OURS

    def members(self) -> dict[str, State | None]:
        """Everybody but us who is in the room, invited, out by their own choice, banned, or has rights left there."""
        found: dict[str, State | None] = {}
        for account, event in self._members.items():
            membership, by = self.membership(account), event.get("sender")
            state = _STATES.get(membership)
            if membership == "leave" and by == account:
                state = State.LEFT_BY_CHOICE
            elif membership == "invite" and by == self._operator:
                state = State.LINKED  # our way in begins like that, and the server died before the end of it
            if account != self._operator and (state is not None or self.administers(account)):
                found[account] = state
        return found | {account: None for account in self.users if account not in found and self.administers(account)}


_OLD: Final = frozenset(map(str, range(1, 12)))
"""Versions in which the creator has a level like everybody else."""
_STATES: Final = {"join": State.JOINED, "invite": State.INVITED, "ban": State.PARKED}


def _default(kind: str, levels: Mapping[str, Any]) -> int:
    """The level of an event that has none of its own: of what changes the room, or of a message."""
    is_message = kind == "m.call.invite"
    return _level(levels.get("events_default"), 0) if is_message else _level(levels.get("state_default"), 50)


def levels(
    settings: Settings, *, operator: str, version: str, users: Mapping[str, int], archived: bool
) -> dict[str, Any]:
    """The complete levels of a room of ours: Synapse forgets what is not in them.

    `users`: accounts that have a level of their own, without ours. Where `archived`, nobody may do anything.
    """
    allowed = {setting: _OURS if archived else _LEVELS[one] for setting, one in settings.items().items()}
    opened = {kind: allowed[setting] for setting, kinds in _OPEN.items() for kind in kinds}
    ours = {operator: _OURS} if version in _OLD else {}
    return {
        "users": {**users, **ours},
        "users_default": 0,
        "events": {**opened, **dict.fromkeys(_KEPT, _OURS)},
        "events_default": _OURS if archived else 0,
        "state_default": _OURS,
        "invite": allowed[Setting.INVITE],
        "kick": _OURS,
        "ban": _OURS,
        "redact": ADMINISTRATOR,
        "notifications": {"room": allowed[Setting.MENTION_ALL]},
    }


def with_users(levels: Mapping[str, Any], changed: Mapping[str, int | None]) -> dict[str, Any]:
    """The same levels, with these of accounts; None: none of its own any more."""
    users = {**_mapping(levels.get("users")), **changed}
    return {**levels, "users": {account: level for account, level in users.items() if level is not None}}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _level(value: object, default: int) -> int:
    """A level as old rooms may have it, also as words; `default` where it is none."""
    try:
        return default if value is None or isinstance(value, bool) else int(str(value))
    except ValueError:
        return default

"""What others do to our rooms, as `/sync` of Matrix tells it. Pure: what to ask, and what an answer means.

Asked for is only what Homeroom would put right: who is in a room, its levels, name, join rule, guests, what newcomers
read, a successor, the mark. No messages, no presence, no receipts, no state of members that nobody changed. The
beginning is a place in the server's stream without any room, so it costs the same for a thousand rooms as for none.

What our own account does is not told of, nor that somebody joins whom it has invited just then (that is how people
come in), nor a new name or picture of a person. Except levels that we never give: somebody else has used our account,
as Synapse itself does when an administrator of the server makes themselves one of a room.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from homeroom.errors import TransientError
from homeroom.platforms.matrix.api import CLIENT
from homeroom.platforms.matrix.room import ADMINISTRATOR, CHAT_MARK, FURNITURE, POWER, Room

WAIT_SECONDS: Final = 30
"""How long the server waits for something to tell; well below the time after which we and proxies give up a call."""

_MEMBER: Final = "m.room.member"
_BEGIN: Final = "m.room.create"
_TYPES: Final = (_BEGIN, _MEMBER, POWER, "m.room.name", *FURNITURE, "m.room.tombstone", CHAT_MARK)
_LIMIT: Final = 50
"""Events that are told of one room at once. Of a room with more some are missing, and it counts as changed.

A room that our account has just made counts as `limited`, too, although nothing is missing: its first event is there.
"""

_NOTHING: Final = {"not_types": ["*"]}


def _path(*, room: Mapping[str, object], wait: int, **more: str) -> str:
    shut = {"account_data": _NOTHING, "ephemeral": _NOTHING, "state": {**_NOTHING, "lazy_load_members": True}}
    wanted = {"presence": _NOTHING, "account_data": _NOTHING, "room": {**shut, **room}}
    words = {"filter": json.dumps(wanted, separators=(",", ":")), "timeout": wait * 1000, "set_presence": "offline"}
    return f"{CLIENT}/sync?{urlencode({**words, **more})}"


START: Final = _path(room={"rooms": [], "timeline": _NOTHING}, wait=0)
"""Where the server's stream is now."""


def path(after: str) -> str:
    """What has happened since an answer, or happens soon."""
    return _path(room={"timeline": {"types": _TYPES, "limit": _LIMIT}}, wait=WAIT_SECONDS, since=after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One answer. `rooms`: ids of those that others changed; `lost`: they have put our account out of one."""

    until: str
    rooms: frozenset[str]
    lost: bool


def until(answer: object) -> str:
    """How far an answer reaches. Raises TransientError."""
    place = answer.get("next_batch") if isinstance(answer, dict) else None
    if not isinstance(place, str):
        raise TransientError("something other than synapse answers: check the proxy", reason="TargetUnavailable")
    return place


def told(answer: object, *, operator: str) -> Told:
    """What an answer means to us, who are `operator`. Raises TransientError."""
    place = until(answer)
    rooms = _mapping(_mapping(answer).get("rooms"))
    changed = {
        room
        for room, news in _mapping(rooms.get("join")).items()
        if _is_cut(news) or any(_by_others(event, operator=operator) for event in _events(news))
    }
    lost = any(
        _by_others(event, operator=operator) and event.get("state_key") == operator
        for news in _mapping(rooms.get("leave")).values()
        for event in _events(news)
    )
    return Told(until=place, rooms=frozenset(changed), lost=lost)


def _is_cut(news: object) -> bool:
    limited = _mapping(_mapping(news).get("timeline")).get("limited") is True
    return limited and not any(event.get("type") == _BEGIN for event in _events(news))


def _events(news: object) -> list[Mapping[str, Any]]:
    events = _mapping(_mapping(news).get("timeline")).get("events")
    return [event for event in events if isinstance(event, dict)] if isinstance(events, list) else []


def _by_others(event: Mapping[str, Any], *, operator: str) -> bool:
    """Whether an event is a change that we have not made, nor asked for."""
    unsigned, kind = _mapping(event.get("unsigned")), event.get("type")
    if kind == _MEMBER:
        now = _mapping(event.get("content")).get("membership")
        before = _mapping(unsigned.get("prev_content")).get("membership")
        invited_by_us = before == "invite" and unsigned.get("prev_sender") == operator
        if now == before or (now == "join" and invited_by_us):
            return False
    if kind == POWER and event.get("sender") == operator:
        return any(level > ADMINISTRATOR for level in Room("", [event], operator=operator).users.values())
    return event.get("sender") != operator


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}

"""Which rooms are chats of ours, and what is in them, as the frames of `homeroom.chats.state`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import polars as pl

from homeroom.chats import ACTUAL_SCHEMAS, Actual, Setting
from homeroom.platforms.matrix.room import Mark, Room


@dataclass(slots=True)
class Found:
    """What a reading found, and what has been made since.

    `rooms`: the room in use, by key of the chat; `marks`: likewise, of a room that took another's place the other's
    mark; `spaces`: rooms that are spaces, by key of the space; `held`: rooms that some space of ours holds.
    """

    rooms: dict[str, str] = field(default_factory=dict)
    marks: dict[str, Mark] = field(default_factory=dict)
    spaces: dict[str, str] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)


def found(rooms: Iterable[Room], *, owner: str, operator: str, complete: bool) -> tuple[Found, Actual]:
    """Sort out all rooms that our account is in. What is not this owner's is left alone, whoever else's it is."""
    known = {room.id: room for room in rooms}
    answer = Found()
    claims: dict[str, dict[str, Room]] = {}
    for room in known.values():
        mark, space = room.mark(), room.space_key(owner=owner)
        if space is not None:
            answer.spaces[space] = room.id
            answer.held |= room.children
        if mark is not None and mark.owner == owner:
            current = _followed(room, known)
            if current is not None:
                claims.setdefault(mark.key, {})[current.id] = current
                answer.marks[mark.key] = mark
    chats = {key: next(iter(claims[key].values())) for key in sorted(claims) if len(claims[key]) == 1}
    answer.rooms = {key: room.id for key, room in chats.items()}
    unsure = frozenset(key for key, claimed in claims.items() if len(claimed) > 1)
    return answer, _actual(chats, answer.marks, operator=operator, complete=complete, unsure=unsure)


def _followed(room: Room, known: Mapping[str, Room]) -> Room | None:
    """The room that is in use now; None when it is out of our reach, or no successor that our account has made."""
    seen = {room.id}
    while (after := room.replacement) is not None:
        successor = known.get(after)
        if successor is None or after in seen or successor.predecessor != room.id or not successor.ours:
            return None
        seen.add(after)
        room = successor
    return room


def _actual(
    chats: Mapping[str, Room], marks: Mapping[str, Mark], *, operator: str, complete: bool, unsure: frozenset[str]
) -> Actual:
    rows: list[dict[str, object]] = []
    members: dict[str, list[object]] = {name: [] for name in ACTUAL_SCHEMAS["members"]}
    for number, (key, room) in enumerate(chats.items()):
        rows.append(
            {
                "key": key,
                "school": marks[key].school,
                "external_id": room.id,
                "name": room.name,
                "archived": room.archived,
                "complete": room.whole,
                **{setting.value: room.setting(setting) for setting in Setting},
            }
        )
        listed = sorted(room.members().items())
        members["chat"] += [number] * len(listed)
        members["account"] += [account for account, _ in listed]
        members["administrator"] += [room.administers(account) for account, _ in listed]
        members["state"] += [state for _, state in listed]
    return Actual(
        chats=pl.DataFrame(rows, schema=ACTUAL_SCHEMAS["chats"]),
        members=pl.DataFrame(members, schema=ACTUAL_SCHEMAS["members"]),
        operator=operator,
        complete=complete,
        unsure=unsure,
    )

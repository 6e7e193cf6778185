"""Rooms of ours: made under an alias that is the chat's key, so that the server itself refuses a second one.

Mark, settings and alias come with the call that makes a room, and the topic says once why nobody can invite anybody. A
room is written to only after its state has been read again: it must still be the one in use, and carry our mark. One
that has none, and that our account has made under the alias or by an upgrade, is one that was not finished.

A space holds the chats of a school and year for those who look after the server. People are not in it: everybody in a
space sees everybody else in it, so that one of a school would show all parents all children.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from homeroom.chats import Chat, Desired, Picture, Settings
from homeroom.errors import RefusedError
from homeroom.platforms.matrix.api import ADMIN, CLIENT, Api, RefusedCallError, path
from homeroom.platforms.matrix.reading import Found
from homeroom.platforms.matrix.room import (
    AVATAR,
    CHAT_MARK,
    FURNITURE,
    POWER,
    SPACE_MARK,
    Mark,
    Room,
    levels,
)


class NotOursError(RefusedError):
    """A room is not ours to write to, or not the one in use. Says why, without names."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="OwnedElsewhere")


@dataclass(frozen=True, slots=True, kw_only=True)
class Us:
    """Who we are: `operator` is our account, on the server `server`; `owner` is who we are in the world.

    `version`: of rooms that we make. `notice`: what people are told.
    """

    operator: str
    server: str
    owner: str
    version: str
    notice: str


@dataclass(frozen=True, slots=True)
class Rooms:
    """Makes rooms, and changes what is about a room as a whole. `found` grows with what is made."""

    api: Api
    us: Us
    found: Found
    _making_a_space: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def state(self, room: str) -> Room:
        """A room as it is now. Raises NotOursError when it is closed to our account."""
        try:
            events = await self.api.call("GET", path(f"{CLIENT}/rooms", room, "state"))
        except RefusedCallError as error:
            raise NotOursError(f"our account is not in the room of this chat any more ({error.status})") from error
        return Room(room, events if isinstance(events, list) else (), operator=self.us.operator)

    async def claimed(self, key: str) -> Room:
        """The room of a chat, read again, with our mark. Raises NotOursError."""
        if key not in self.found.rooms:
            raise NotOursError("the room of this chat is not there")
        room = await self.state(self.found.rooms[key])
        if room.replacement is not None:
            raise NotOursError("the room of this chat was replaced: the next run follows it, if our account did that")
        mark = room.mark()
        if mark is None and room.ours and not room.marked:
            await self.put(room, CHAT_MARK, self.found.marks[key].content())
        elif mark is None or (mark.owner, mark.key) != (self.us.owner, key):
            raise NotOursError("the room that has this chat's alias does not carry our mark: somebody else made it")
        space = self.found.spaces.get(self.found.marks[key].space)
        if space is not None and room.id not in self.found.held:
            await self._hold(space, room.id)
        return room

    async def put(self, room: Room, kind: str, content: Mapping[str, Any], key: str = "") -> None:
        """Write one thing about a room, unless it is so already."""
        if room.content(kind, key) != content:
            await self.api.call("PUT", path(f"{CLIENT}/rooms", room.id, "state", kind, key), content)

    # Chats

    async def create(self, key: str, wanted: Desired) -> str:
        """Make the room of a chat, or find and finish the one that was made when we broke off; its id."""
        chat = wanted.chat(key)
        if key not in self.found.rooms:
            mark = Mark(owner=self.us.owner, key=key, school=chat.school, space=chat.space)
            space = await self._space(chat)
            parent = {"type": "m.space.parent", "state_key": space, "content": {**self._via, "canonical": True}}
            marked = {"type": CHAT_MARK, "content": mark.content()}
            state = (marked, parent) if space else (marked,)
            room, made = await self._made(
                key, name=chat.name, settings=chat.settings, state=state, more={"topic": self.us.notice}
            )
            self.found.rooms[key], self.found.marks[key] = room, mark
            if made:
                if space:
                    await self._hold(space, room)
                return room
        return await self.update(key, wanted)

    async def update(self, key: str, wanted: Desired) -> str:
        """Everything about a room that is the policy's, as it should be; an archived one is in use again."""
        chat, room = wanted.chat(key), await self.claimed(key)
        space = await self._space(chat)
        for kind, content in FURNITURE.items():
            await self.put(room, kind, content)
        await self._level(room, chat.settings, archived=False)
        await self.put(room, "m.room.name", {"name": chat.name})
        if space:
            await self.put(room, "m.space.parent", {**self._via, "canonical": True}, space)
        mark = replace(self._mark(room, key), school=chat.school, space=chat.space, archived=False)
        await self.put(room, CHAT_MARK, mark.content())
        self.found.marks[key] = mark
        return room.id

    async def show(self, key: str, picture: Picture) -> bool:
        """Set a picture that was not the last one, then note that in the mark: a crash in between sets it once more."""
        room = await self.claimed(key)
        mark = self._mark(room, key)
        if mark.picture == picture.digest:
            return False
        uri = await self.api.upload(picture.content, picture.type)
        info = {"mimetype": picture.type, "size": len(picture.content)}
        await self.put(room, AVATAR, {"url": uri, "info": info})
        self.found.marks[key] = replace(mark, picture=picture.digest)
        await self.put(room, CHAT_MARK, self.found.marks[key].content())
        return True

    def _mark(self, room: Room, key: str) -> Mark:
        """The mark of a room that was just `claimed`; of one that took another's place, the other's."""
        return room.mark() or self.found.marks[key]

    async def archive(self, key: str) -> str:
        """Nobody can write any more; whoever is in the room can read on."""
        room = await self.claimed(key)
        await self._level(room, Settings(), archived=True)
        await self.put(room, CHAT_MARK, self.found.marks[key].with_archived(archived=True).content())
        return room.id

    async def _level(self, room: Room, settings: Settings, *, archived: bool) -> None:
        us = self.us.operator
        whole = levels(settings, operator=us, version=room.version, users=room.users, archived=archived)
        await self.put(room, POWER, whole)

    async def _made(
        self,
        key: str,
        *,
        name: str,
        settings: Settings,
        state: Sequence[Mapping[str, Any]],
        more: Mapping[str, Any],
    ) -> tuple[str, bool]:
        """The id of the room that has this alias, and whether it is a new one, complete from its first moment."""
        us, version = self.us.operator, self.us.version
        kept = levels(settings, operator=us, version=version, users={}, archived=False)
        furniture = [{"type": kind, "content": content} for kind, content in FURNITURE.items()]
        body = {
            "preset": "private_chat",  # the trusted one would make those invited equals of ours for ever
            "visibility": "private",
            "room_version": version,
            "room_alias_name": key,
            "name": name,
            "creation_content": {"m.federate": False},
            "power_level_content_override": kept,
            "initial_state": [*furniture, *state],
            **more,
        }
        try:
            return await self._created(body), True
        except RefusedCallError:  # by 400 or by 409, as others may be at it at this moment; or for another reason
            room = await self.resolved(key)
            if room is None:
                raise
            if await self._exists(room):
                return room, False
        # The server died while it made the room: there is an alias, and nothing behind it.
        await self.api.call("DELETE", self._alias(key))
        return await self._created(body), True

    async def _created(self, body: Mapping[str, Any]) -> str:
        return str((await self.api.call("POST", f"{CLIENT}/createRoom", body))["room_id"])

    def _alias(self, key: str) -> str:
        return path(f"{CLIENT}/directory/room", f"#{key}:{self.us.server}")

    async def resolved(self, key: str) -> str | None:
        """The room that the alias leads to."""
        try:
            return str((await self.api.call("GET", self._alias(key)))["room_id"])
        except RefusedCallError:
            return None

    async def _exists(self, room: str) -> bool:
        """Whether there is such a room on the server, whoever is in it."""
        try:
            await self.api.call("GET", path(f"{ADMIN}/v1/rooms", room))
        except RefusedCallError as error:
            return error.status != 404
        return True

    # Spaces

    @property
    def _via(self) -> dict[str, Any]:
        return {"via": [self.us.server]}

    async def _space(self, chat: Chat) -> str:
        """The id of the space of a chat; made, or finished, when it is not there yet. Empty: it is in none."""
        if not chat.space:
            return ""
        async with self._making_a_space:
            if chat.space not in self.found.spaces:
                content = {"owner": self.us.owner, "key": chat.space}
                room, made = await self._made(
                    chat.space,
                    name=chat.space_name,
                    settings=Settings(),
                    state=({"type": SPACE_MARK, "content": content},),
                    more={"creation_content": {"m.federate": False, "type": "m.space"}},
                )
                if not made:
                    space = await self.state(room)
                    if space.ours and not space.marked:
                        await self.put(space, SPACE_MARK, content)
                    elif space.space_key(owner=self.us.owner) != chat.space:
                        raise NotOursError("the space of this chat does not carry our mark: somebody else made it")
                self.found.spaces[chat.space] = room
            return self.found.spaces[chat.space]

    async def _hold(self, space: str, room: str) -> None:
        """Put a room into a space."""
        await self.api.call("PUT", path(f"{CLIENT}/rooms", space, "state", "m.space.child", room), self._via)
        self.found.held.add(room)

"""Whole nights of the example district with chats: an export, the runs of all roots, and a chat server in memory.

The server refuses whatever a real one would (`tests.unit.chats.worlds.Server`). Faults that a real one does not show by
itself are told to it: half a list, a server that dies, a change that is refused. The real one: integration/test_chats.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from tests.unit.chats.worlds import CAN, Server
from tests.unit.reconcile.nights import DISTRICT, Killed, Nights

from homeroom.chats import Actual, Desired, Picture
from homeroom.errors import HomeroomError
from homeroom.plan import Change, Outcome, Result
from homeroom.platforms import Changes
from homeroom.reconcile.ports import Key

PLATFORM, POLICY = Key("ChatPlatform", "lakeside", "matrix"), Key("ChatPolicy", "lakeside", "chats")
THREE = [{"type": "StaffRoom"}, {"type": "ClassStudents"}, {"type": "ClassParents"}]


@dataclass(kw_only=True)
class Opened:
    """The server as a run sees it.

    `until`: it takes so many changes more, then the operator dies. `refused`: accounts that it lets in nowhere.
    `unknown`: accounts that it has not; `asked`: how often it was asked to let one of these in.
    """

    server: Server = field(default_factory=Server)
    until: int | None = None
    refused: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    asked: int = 0
    reads: int = 0
    only: list[set[str]] = field(default_factory=list)
    """Keys of chats that were read without the others, each time."""
    told: asyncio.Queue[Changes | Exception] = field(default_factory=asyncio.Queue)
    """What it tells of changes, one answer after the other."""
    announced: list[tuple[str, str, str]] = field(default_factory=list)
    """Name of the chat, text and address of each call that people were told of; the same word counts once."""
    words: set[str] = field(default_factory=set)
    no_pictures: HomeroomError | None = None
    """What it says to who shows one."""
    after: list[str | None] = field(default_factory=list)
    """From when on it was asked for them, each time."""

    capabilities = CAN

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def version(self) -> str:
        return "a server in memory"

    async def read(self, only: Collection[str] | None = None) -> Actual:
        if only is None:
            self.reads += 1
        else:
            self.only.append(set(only))
        return self.server.read(only)

    async def changes(self, after: str | None) -> Changes:
        self.after.append(after)
        answer = await self.told.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def address(self, external_id: str) -> str:
        return f"chat:{external_id}"

    async def show(self, key: str, picture: Picture) -> bool:
        if self.no_pictures is not None:
            raise self.no_pictures
        room = self.server.rooms[key]
        if room.picture_mark == picture.digest:
            return False
        self._change()
        self.server.writes += 1
        room.picture, room.picture_mark = picture.content, picture.digest
        return True

    async def announce(self, key: str, text: str, *, url: str, word: str) -> None:
        self._change()
        if word not in self.words:
            self.words.add(word)
            self.announced.append((self.server.rooms[key].name, text, url))
        self._change()  # or it dies when all is done

    async def apply(self, batch: Sequence[Change], wanted: Desired) -> Sequence[Outcome]:
        assert len({(change.kind, change.op, change.school) for change in batch}) == 1
        return [self._one(change, wanted) for change in batch]

    def _change(self) -> None:
        if self.until is not None:
            if not self.until:
                raise Killed
            self.until -= 1

    def _one(self, change: Change, wanted: Desired) -> Outcome:
        self._change()
        if change.key in self.unknown:
            self.asked += 1
            return Outcome(seq=change.seq, result=Result.PARKED, error="there is no such account")
        if change.key in self.refused:
            return Outcome(seq=change.seq, result=Result.FAILED, error="the server refused that (403)")
        self.server.make(change, wanted)
        return Outcome(seq=change.seq, result=Result.APPLIED, external_id=f"!{change.class_key or change.key}")


class ChatNights(Nights):
    """The world, with a ChatPlatform and a ChatPolicy for its three schools. Everybody's account is `@<source id>`."""

    def __init__(self, directory: Path) -> None:
        self.chats = Opened()
        super().__init__(directory)
        identity = {"type": "Template", "template": "@{sourcedId}:school.example"}
        matrix = {"homeserver": "https://m.example", "serverName": "school.example", "secretRef": {"name": "m"}}
        self.put(PLATFORM, matrix=matrix, identity=identity)
        self.put(POLICY, districtRef={"name": "lakeside"}, platformRef={"name": "matrix"}, chats=THREE)

    @property
    def server(self) -> Server:
        return self.chats.server

    async def platform(self, *_: object, **__: object) -> Any:
        return self.chats

    def put(self, key: Key, *, made: str = "2026-11-01T00:00:00Z", **spec: Any) -> None:
        """Somebody declares a resource."""
        meta = {"namespace": key.namespace, "name": key.name, "creationTimestamp": made}
        self.cluster.put({"apiVersion": "homeroom.dev/v1alpha1", "kind": key.kind, "metadata": meta, "spec": spec})

    async def night(self, *, days: float = 1, publish: bool = True) -> None:
        """Time passes, the export is made, the district and then the policy have their routine runs."""
        await self.later(days=days, publish=publish)
        await self.run(DISTRICT, POLICY)

    async def later(self, *, days: float, publish: bool = True) -> None:
        """Time passes, and nothing runs."""
        self.now += timedelta(days=days)
        if publish:
            self.publish()

    async def approve_all(self, policy: Key = POLICY) -> None:
        """Somebody approves all that is held."""
        await self.approve(*self.holds(policy), of=policy)

    @classmethod
    async def filled(cls, directory: Path) -> Self:
        """All chats are there, seen and approved."""
        here = cls.beginning(directory)
        await here.run(DISTRICT, POLICY)
        await here.approve_all()
        assert here.said(POLICY).startswith("Succeeded: "), here.said(POLICY)
        return here

    @classmethod
    def beginning(cls, directory: Path) -> Self:
        """All is declared and published, and nothing has run."""
        here = cls(directory)
        for key in [key for key in here.cluster.objects if key.kind in {"LearningApp", "SharingRule"}]:
            del here.cluster.objects[key]  # of no interest here
        here.publish()
        return here

    @classmethod
    def after(cls, before: Nights, directory: Path) -> Self:
        """As the one that this takes the place of, with the server as it was."""
        here = super().after(before, directory)
        assert isinstance(before, ChatNights)
        here.chats.server = copy.deepcopy(before.server)
        return here

    def open_holds(self, policy: Key = POLICY) -> set[str]:
        """Guards that wait for a person."""
        return {hold["guard"] for hold in self.holds(policy)}

    def there(self) -> dict[str, set[str]]:
        """Name of a chat -> source ids of who is in it."""
        return {name: {source_id(one) for one in people} for name, people in self.server.there().items()}


def account(person: str) -> str:
    """Of somebody with this source id."""
    return f"@{person}:school.example"


def source_id(account_: str) -> str:
    """Whose account it is."""
    return account_[1:].partition(":")[0]

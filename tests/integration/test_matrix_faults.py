"""The Matrix driver when things break off, when the server dies, and when it does not want to answer."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import uuid
from contextlib import closing
from datetime import UTC, datetime
from urllib.parse import quote

import aiohttp
import polars as pl
import pytest
from yarl import URL

from homeroom.chats import Actual
from homeroom.chats.diff import diff
from homeroom.chats.policy import ChatRules
from homeroom.chats.records import LINKS_SCHEMA, Links
from homeroom.demo.synapse import Synapse
from homeroom.errors import IncompleteReadError, TransientError
from homeroom.plan import Result

from .cut import Cut
from .synapse_fixtures import Chats, View, desired

pytestmark = pytest.mark.integration


class Dying:
    """The server is killed in the middle of what it is asked after some requests."""

    def __init__(self, server: Synapse, *, after: int) -> None:
        self.server = server
        self.left = after

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        self.left -= 1
        if self.left == 0:
            timer = threading.Timer(0.02, self.server.kill)  # some calls are through by then, some are not
            timer.start()
            try:
                (await handler(request)).release()
            finally:
                timer.join()  # not awaited: who is cancelled here would start the server anew while it is being killed
            raise aiohttp.ClientConnectionError
        return await handler(request)


class Answering:
    """Answers instead of the server, to requests whose address has these words in it, by sending them astray."""

    def __init__(self, words: str, *, at: str) -> None:
        self.words = words
        self.at = at

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if self.words in str(request.url):
            request.url = request.url.join(URL(self.at))
        return await handler(request)


def fresh(synapse: Synapse, version: str) -> Chats:
    """Chats under an operator who has none yet, and for whom no limits count."""
    mark = uuid.uuid4().hex[:8]
    return Chats(synapse, synapse.administrator(f"op-{mark}"), mark, version)


def times_invited(chats: Chats, room: str) -> dict[str, int]:
    """How often everybody was invited in a room."""
    events = chats.operator.do("GET", f"rooms/{room}/messages?dir=b&limit=1000")["chunk"]
    invited = [event["state_key"] for event in events if event["content"].get("membership") == "invite"]
    return {account: invited.count(account) for account in set(invited)}


async def test_a_crash_at_any_point_loses_and_doubles_nothing(synapse: Synapse, version: str) -> None:
    for after in range(int(version) % 2, 100, 4):  # steps of 1 pass, too, and take four times as long
        chats = fresh(synapse, version)
        ann, bob, tom = chats.people("ann", "bob", "tom")
        one, two = chats.key("1a"), chats.key("1b")
        wanted = desired({one: [ann, tom], two: [bob, tom]}, administrators={one: [tom], two: [tom]})
        line = Cut(after=after, unheard=after // 4 % 2 == 0)
        try:
            await chats.sync(wanted, line)
        except TransientError:
            await chats.sync(wanted)
        view = await chats.read()
        assert view.members == {one: {ann: "Joined", tom: "Joined"}, two: {bob: "Joined", tom: "Joined"}}
        assert view.administrators == {one: {tom}, two: {tom}}
        rooms = chats.operator.do("GET", "joined_rooms")["joined_rooms"]
        assert len(rooms) == 3
        assert times_invited(chats, view.rooms[one]) == {ann: 1, tom: 1}
        (space,) = set(rooms) - set(view.rooms.values())
        for room in view.rooms.values():
            assert chats.operator.call("GET", f"rooms/{space}/state/m.space.child/{room}").ok
        assert await chats.sync(wanted) == []
        if line.left >= 0:
            return
    pytest.fail("the line was cut every time: more steps than that are not needed")


async def test_a_server_that_dies_during_the_first_fill_holds_every_room_once_in_the_end(
    synapse: Synapse, version: str
) -> None:
    chats = fresh(synapse, version)
    people = chats.people(*(f"p{number}" for number in range(5)))
    wanted = desired({chats.key(str(number)): people for number in range(3)})
    errors: list[TransientError] = []
    while len(errors) < 20:
        try:
            await chats.sync(wanted, Dying(synapse, after=12 + 4 * len(errors)))  # each gets further
            break
        except TransientError as error:
            errors.append(error)
            await asyncio.to_thread(synapse.restart)
    assert 3 <= len(errors) < 20
    assert not any("@" in str(error) for error in errors)
    view = await chats.read()
    assert view.members == dict.fromkeys(wanted.chats["key"], dict.fromkeys(people, "Joined"))
    assert len(chats.operator.do("GET", "joined_rooms")["joined_rooms"]) == 4
    assert await chats.sync(wanted) == []


async def test_two_who_make_a_chat_at_once_make_one_room(chats: Chats) -> None:
    (ann,) = chats.people("ann")
    key = chats.key("1a")
    wanted = desired({key: [ann]})
    outcomes = await asyncio.gather(*(chats.sync(wanted) for _ in range(4)))
    # Who came while the room was being made may have seen it half made, and left it for the next run.
    assert {outcome.result for several in outcomes for outcome in several} <= {Result.APPLIED, Result.SKIPPED}
    await chats.sync(wanted)
    assert len(chats.operator.do("GET", "joined_rooms")["joined_rooms"]) == 2
    assert (await chats.read()).members == {key: {ann: "Joined"}}


async def test_a_room_without_its_mark_is_finished_and_not_made_again(chats: Chats) -> None:
    (ann,) = chats.people("ann")
    key = chats.key("1a")
    wanted = desired({key: [ann]})
    half = {"preset": "private_chat", "room_version": chats.version, "room_alias_name": key}
    room = chats.operator.do("POST", "createRoom", half)["room_id"]
    space = chats.operator.do("POST", "createRoom", {**half, "room_alias_name": wanted.chats["space"][0]})["room_id"]
    assert {outcome.result for outcome in await chats.sync(wanted)} == {Result.APPLIED}
    view = await chats.read()
    assert (view.rooms, view.members) == ({key: room}, {key: {ann: "Joined"}})
    assert set(view.settings(key).values()) == {"Owner", None}
    assert set(chats.operator.do("GET", "joined_rooms")["joined_rooms"]) == {room, space}
    assert await chats.sync(wanted) == []


async def test_an_alias_with_nothing_behind_it_does_not_keep_a_chat_from_being_made(
    chats: Chats, synapse: Synapse
) -> None:
    key = chats.key("1a")
    alias = f"#{key}:{synapse.server_name}"
    synapse.stop()
    with closing(sqlite3.connect(synapse.database)) as database, database:
        words = (alias, "!nothing:school.test", chats.operator.user_id)
        database.execute("INSERT INTO room_aliases (room_alias, room_id, creator) VALUES (?, ?, ?)", words)
        database.execute("INSERT INTO room_alias_servers (room_alias, server) VALUES (?, ?)", (alias, "school.test"))
    synapse.start()
    (outcome,) = await chats.sync(desired({key: []}))
    assert outcome.result is Result.APPLIED
    assert (await chats.read()).rooms == {key: outcome.external_id}


async def test_a_room_that_cannot_be_read_leaves_the_reading_incomplete(chats: Chats) -> None:
    one, two = chats.key("1a"), chats.key("1b")
    await chats.sync(desired({one: [], two: []}))
    view = await chats.read()
    astray = Answering(f"{quote(view.rooms[one], safe='')}/state", at="/_matrix/client/v3/rooms/!nothing/state")
    view = await chats.read(astray)
    assert (set(view.rooms), view.actual.complete) == ({two}, False)


async def test_a_list_of_rooms_that_is_none_ends_the_reading(chats: Chats) -> None:
    with pytest.raises(IncompleteReadError):
        await chats.read(Answering("joined_rooms", at="/_matrix/client/v3/nothing"))
    with pytest.raises(IncompleteReadError):
        await chats.read(Answering("joined_rooms", at="/_matrix/client/versions"))


async def test_one_person_whom_the_server_refuses_keeps_nobody_out(chats: Chats) -> None:
    ann, bob = chats.people("ann", "bob")
    key = chats.key("1a")
    await chats.sync(desired({key: []}))
    astray = Answering(f"users/{quote(ann, safe='')}", at="/_matrix/nothing")
    outcomes = await chats.sync(desired({key: [ann, bob]}), astray)
    assert sorted(outcome.result for outcome in outcomes) == [Result.APPLIED, Result.PARKED]
    assert (await chats.read()).members == {key: {bob: "Joined"}}


async def test_a_server_that_is_down_is_said_to_be(chats: Chats, synapse: Synapse) -> None:
    synapse.stop()
    try:
        with pytest.raises(TransientError, match="does not answer"):
            await chats.read()
        hops = await chats.platform().check()
        assert [(hop.name, hop.ok) for hop in hops] == [("name resolution", True), ("server", False)]
    finally:
        synapse.start()


async def test_after_a_run_the_core_finds_nothing_to_do(chats: Chats) -> None:
    ann, tom = chats.people("ann", "tom")
    key = chats.key("1a")
    wanted = desired({key: [ann, tom]}, administrators={key: [tom]})

    def planned(actual: Actual) -> pl.DataFrame:
        return diff(
            wanted,
            actual,
            rules=ChatRules(scope=chats.owner, chats=()),
            links=Links.of(pl.DataFrame(schema=LINKS_SCHEMA)),
            able=chats.platform().capabilities,
            now=datetime(2026, 9, 1, tzinfo=UTC),
        ).changes

    async with chats.platform() as platform:
        first = planned(await platform.read())
        assert first.height == 4
        await chats.sync(wanted)
        actual = await platform.read()
        assert planned(actual).is_empty()
    assert View(actual).members == {key: {ann: "Joined", tom: "Joined"}}

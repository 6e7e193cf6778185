"""What others do to rooms of ours is told within a moment, and what we do is not; only what changed is read again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import quote

import aiohttp
import pytest

from homeroom.chats import Settings
from homeroom.demo.synapse import Account, Synapse
from homeroom.errors import TerminalError, TransientError
from homeroom.platforms import Changes
from homeroom.platforms.matrix import MatrixPlatform, listening

from .synapse_fixtures import Chats, View, desired

pytestmark = pytest.mark.integration

ADMIN = "/_synapse/admin"
POWER = "m.room.power_levels"


async def now(platform: MatrixPlatform) -> str:
    """Until when everything is known."""
    changes = await platform.changes(None)
    assert changes.everything
    return changes.until


async def told(platform: MatrixPlatform, after: str, *, until: Callable[[Changes], bool]) -> list[Changes]:
    """All answers up to one that is as awaited; a test's time runs out when there is none."""
    answers: list[Changes] = []
    while True:
        answers.append(await platform.changes(answers[-1].until if answers else after))
        if until(answers[-1]):
            return answers


def the(chats: Chats, *keys: str) -> frozenset[tuple[str, str]]:
    return frozenset((chats.owner, key) for key in keys)


Edit = Callable[[Chats, Account, str, list[str]], None]
"""What somebody with rights does in a room with two members, the second of whom was not there before."""

EDITS: dict[str, Edit] = {
    "lets somebody in": lambda _, hand, room, people: hand.do("POST", f"rooms/{room}/invite", {"user_id": people[1]}),
    "puts somebody out": lambda _, hand, room, people: hand.do("POST", f"rooms/{room}/kick", {"user_id": people[0]}),
    "leaves": lambda _, hand, room, __: hand.do("POST", f"rooms/{room}/leave", {}),
    "bans": lambda _, hand, room, people: hand.do("POST", f"rooms/{room}/ban", {"user_id": people[0]}),
    "renames": lambda _, hand, room, __: hand.do("PUT", f"rooms/{room}/state/m.room.name/", {"name": "another"}),
    "gives rights": lambda _, hand, room, people: hand.do(
        "PUT", f"rooms/{room}/state/{POWER}/", {"users": {hand.user_id: 99, people[0]: 50}}
    ),
    "opens a door": lambda _, hand, room, __: hand.do(
        "PUT", f"rooms/{room}/state/m.room.join_rules/", {"join_rule": "public"}
    ),
    "lets guests in": lambda _, hand, room, __: hand.do(
        "PUT", f"rooms/{room}/state/m.room.guest_access/", {"guest_access": "can_join"}
    ),
    "lets newcomers read back": lambda _, hand, room, __: hand.do(
        "PUT", f"rooms/{room}/state/m.room.history_visibility/", {"history_visibility": "shared"}
    ),
    "closes the room": lambda _, hand, room, __: hand.do(
        "PUT", f"rooms/{room}/state/m.room.tombstone/", {"body": "over", "replacement_room": "!none"}
    ),
}


async def test_what_others_change_is_told(chats: Chats) -> None:
    hand = chats.account("hand")
    people = chats.people("ann", "bob")
    keys = {name: chats.key(f"r{number}") for number, name in enumerate(EDITS)}
    wanted = desired({key: [people[0], hand.user_id] for key in keys.values()})
    await chats.sync(wanted)
    rooms = (await chats.read()).rooms
    everything = {"users": {hand.user_id: 99}, "events": {}, "state_default": 0}
    mine = {chats.operator.user_id: 100} if chats.version == "11" else {}
    for key in keys.values():
        everything["users"] = {**mine, hand.user_id: 99}
        chats.operator.do("PUT", f"rooms/{rooms[key]}/state/{POWER}/", everything)
    async with chats.platform() as platform:
        after = await now(platform)
        for name, edit in EDITS.items():
            if name == "gives rights" and mine:
                power = {**everything, "users": {**mine, hand.user_id: 99, people[0]: 50}}
                hand.do("PUT", f"rooms/{rooms[keys[name]]}/state/{POWER}/", power)
            else:
                edit(chats, hand, rooms[keys[name]], people)
            answers = await told(platform, after, until=lambda changes: bool(changes.chats))
            assert answers[-1].chats == the(chats, keys[name]), name
            assert not answers[-1].everything
            after = answers[-1].until


async def test_what_we_do_ourselves_and_what_concerns_nobody_is_not_told(chats: Chats) -> None:
    ann, tom, hand = chats.account("ann"), chats.account("tom"), chats.account("hand")
    one, two, end = chats.key("1a"), chats.key("1b"), chats.key("end")
    both = [ann.user_id, tom.user_id]
    await chats.sync(desired({one: both, end: [hand.user_id]}, administrators={one: both}))
    room = (await chats.read()).rooms[one]
    async with chats.platform() as platform:
        after = await now(platform)
        wanted = desired(
            {one: [tom.user_id], two: both, end: [hand.user_id]},
            administrators={two: both},
            names={one: "another"},
            settings=Settings(),
        )
        assert await chats.sync(wanted)
        tom.do("PUT", f"profile/{tom.user_id}/displayname", {"displayname": "Tommy"})
        tom.do("PUT", f"rooms/{room}/send/m.room.message/1", {"msgtype": "m.text", "body": "hello"})
        tom.do("POST", f"rooms/{room}/receipt/m.read/{quote(chats.events()[room])}", {})
        theirs = tom.do("POST", "createRoom", {"invite": [chats.operator.user_id]})["room_id"]
        chats.operator.do("POST", f"join/{theirs}", {})
        tom.do("PUT", f"rooms/{theirs}/state/m.room.name/", {"name": "not ours"})
        hand.do("POST", f"rooms/{(await chats.read()).rooms[end]}/leave", {})
        answers = await told(platform, after, until=lambda changes: (chats.owner, end) in changes.chats)
    assert {chat for changes in answers for chat in changes.chats} == the(chats, end)
    assert not any(changes.everything for changes in answers)


async def test_an_administrator_of_the_server_who_takes_a_room_through_our_account_is_told(
    synapse: Synapse, chats: Chats
) -> None:
    boss = synapse.administrator(f"boss-{chats.mark}")
    key = chats.key("1a")
    await chats.sync(desired({key: []}))
    room = (await chats.read()).rooms[key]
    async with chats.platform() as platform:
        after = await now(platform)
        boss.do("POST", f"{ADMIN}/v1/rooms/{room}/make_room_admin", {"user_id": boss.user_id})
        (*_, last) = await told(platform, after, until=lambda changes: bool(changes.chats))
    assert last.chats == the(chats, key)


async def test_a_room_that_puts_our_account_out_has_everything_read(chats: Chats) -> None:
    hand = chats.account("hand")
    room = chats.operator.do("POST", "createRoom", {"room_version": "11", "invite": [hand.user_id]})["room_id"]
    hand.do("POST", f"join/{room}", {})
    power = chats.operator.do("GET", f"rooms/{room}/state/{POWER}/")
    power["users"] = {chats.operator.user_id: 50, hand.user_id: 100}
    chats.operator.do("PUT", f"rooms/{room}/state/{POWER}/", power)
    async with chats.platform() as platform:
        after = await now(platform)
        hand.do("POST", f"rooms/{room}/kick", {"user_id": chats.operator.user_id})
        (*_, last) = await told(platform, after, until=lambda changes: changes.everything)
    assert last.chats == frozenset()


async def test_a_server_that_was_away_tells_what_others_did_before_and_after(synapse: Synapse, chats: Chats) -> None:
    ann, bob = chats.account("ann"), chats.account("bob")
    key = chats.key("1a")
    await chats.sync(desired({key: [ann.user_id, bob.user_id]}))
    room = (await chats.read()).rooms[key]
    asked = asyncio.Event()

    async def noting(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if "since" in request.url.query:
            asked.set()
        return await handler(request)

    async with chats.platform(noting) as platform:
        after = await now(platform)
        waiting = asyncio.create_task(platform.changes(after))
        await asked.wait()
        await asyncio.to_thread(synapse.kill)
        with pytest.raises(TransientError) as caught:
            await waiting
        assert "@" not in caught.value.message
        await asyncio.to_thread(synapse.start)
        ann.do("POST", f"rooms/{room}/leave", {})
        await asyncio.to_thread(synapse.restart)
        (*_, last) = await told(platform, after, until=lambda changes: bool(changes.chats))
        assert last.chats == the(chats, key)
        bob.do("POST", f"rooms/{room}/leave", {})
        (*_, last) = await told(platform, last.until, until=lambda changes: bool(changes.chats))
        assert last.chats == the(chats, key)


async def test_a_place_that_the_server_does_not_know_has_everything_read(chats: Chats) -> None:
    async with chats.platform() as platform:
        changes = await platform.changes("long-ago")
        assert changes.everything
        assert changes.until.startswith("s")


async def test_a_token_that_is_revoked_is_an_end(chats: Chats) -> None:
    async with chats.platform() as platform:
        after = await now(platform)
        chats.operator.do("POST", "logout", {})
        with pytest.raises(TerminalError) as caught:
            await platform.changes(after)
    assert caught.value.reason == "CredentialsInvalid"


# Reading some


async def test_only_what_is_asked_for_is_read_and_put_right(chats: Chats) -> None:
    ann, bob, guest = chats.people("ann", "bob", "guest")
    one, two = chats.key("1a"), chats.key("1b")
    wanted = desired({one: [ann, bob], two: [ann]}, names={one: "1 A", two: "1 B"})
    await chats.sync(wanted)
    whole = await chats.read()
    room = whole.rooms[one]
    chats.operator.do("POST", f"{ADMIN}/v1/join/{room}", {"user_id": guest})
    chats.operator.do("POST", f"rooms/{room}/kick", {"user_id": bob})
    chats.operator.do("PUT", f"rooms/{room}/state/m.room.name/", {"name": "ours"})
    async with chats.platform() as platform:
        actual = await platform.read([one])
        view = View(actual)
        assert (actual.complete, view.rooms) == (False, {one: room})
        assert actual.chats["complete"].to_list() == [True]
        assert view.members == {one: {ann: "Joined", guest: "Joined"}}
        batches = [
            [change for change in batch if (change.class_key or change.key) == one]
            for batch in chats.plan(wanted, actual)
        ]
        for batch in batches:
            await platform.apply(batch, wanted)
    after = await chats.read()
    assert (after.members, after.names) == (whole.members, whole.names)
    assert (await chats.read()).rooms == whole.rooms
    assert await chats.sync(wanted) == []


async def test_a_few_calls_are_enough_however_many_rooms_there_are(chats: Chats) -> None:
    keys = [chats.key(f"r{number}") for number in range(4)]
    await chats.sync(desired({key: [] for key in keys}))
    calls: list[str] = []

    async def counting(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        calls.append(request.url.path)
        return await handler(request)

    async with chats.platform(counting) as platform:
        del calls[:]
        assert View(await platform.read(keys[:1])).rooms.keys() == {keys[0]}
    assert len(calls) == 4, calls  # alias and state of the room, and of its space


async def test_what_is_not_there_or_not_ours_is_not_read(chats: Chats) -> None:
    key, theirs = chats.key("1a"), chats.key("theirs")
    hand = chats.account("hand")
    await chats.sync(desired({key: []}))
    hand.do("POST", "createRoom", {"room_alias_name": theirs, "invite": [chats.operator.user_id]})
    async with chats.platform() as platform:
        assert View(await platform.read([key, theirs, "hr-nobody"])).rooms.keys() == {key}
        assert View(await platform.read([])).rooms == {}
    async with chats.platform(owner="somebody else") as platform:
        assert View(await platform.read([key])).rooms == {}


async def test_an_upgraded_room_is_followed_by_its_alias(chats: Chats) -> None:
    (ann,) = chats.people("ann")
    key = chats.key("1a")
    wanted = desired({key: [ann]})
    await chats.sync(wanted)
    old = (await chats.read()).rooms[key]
    new = chats.operator.do("POST", f"rooms/{old}/upgrade", {"new_version": "12"})["replacement_room"]
    async with chats.platform() as platform:
        actual = await platform.read([key])
        assert View(actual).rooms == {key: new}
        for batch in chats.plan(wanted, actual):
            await platform.apply(batch, wanted)
    async with chats.platform() as platform:
        view = View(await platform.read([key]))
    assert (view.rooms, view.members) == ({key: new}, {key: {ann: "Joined"}})
    assert (await chats.read()).rooms == {key: new}


# What Synapse answers


def test_the_beginning_names_no_room_and_messages_wake_nobody(chats: Chats) -> None:
    ann = chats.account("ann")
    room = ann.do("POST", "createRoom", {"invite": [chats.operator.user_id]})["room_id"]
    chats.operator.do("POST", f"join/{room}", {})
    start = chats.operator.do("GET", f"/{listening.START}")
    assert "rooms" not in start
    for number in range(60):
        chats.operator.do("PUT", f"rooms/{room}/send/m.room.message/{number}", {"msgtype": "m.text", "body": "hello"})
    wait = listening.path(start["next_batch"]).replace("timeout=30000", "timeout=0")
    assert "rooms" not in chats.operator.do("GET", f"/{wait}")


def test_who_joins_by_force_is_told_with_the_invitation_before(chats: Chats) -> None:
    (ann,) = chats.people("ann")
    room = chats.operator.do("POST", "createRoom", {})["room_id"]
    start = chats.operator.do("GET", f"/{listening.START}")["next_batch"]
    chats.operator.do("POST", f"{ADMIN}/v1/join/{room}", {"user_id": ann})
    answer = chats.operator.do("GET", f"/{listening.path(start)}")
    events = answer["rooms"]["join"][room]["timeline"]["events"]
    assert [(event["sender"], event["content"]["membership"]) for event in events] == [
        (chats.operator.user_id, "invite"),
        (ann, "join"),
    ]
    assert events[1]["unsigned"]["prev_sender"] == chats.operator.user_id
    assert events[1]["unsigned"]["prev_content"]["membership"] == "invite"
    assert listening.told(answer, operator=chats.operator.user_id).rooms == frozenset()


def test_more_than_is_told_at_once_is_a_gap(chats: Chats) -> None:
    room = chats.operator.do("POST", "createRoom", {})["room_id"]
    start = chats.operator.do("GET", f"/{listening.START}")["next_batch"]
    for number in range(60):
        chats.operator.do("PUT", f"rooms/{room}/state/m.room.name/", {"name": str(number)})
    answer = chats.operator.do("GET", f"/{listening.path(start)}")
    assert answer["rooms"]["join"][room]["timeline"]["limited"] is True
    assert listening.told(answer, operator=chats.operator.user_id).rooms == {room}

"""The Matrix driver against a real Synapse: rooms with the right people in them, and what people do to them by hand."""

from __future__ import annotations

import struct
import zlib
from urllib.parse import quote

import aiohttp
import pytest

from homeroom.chats import Allowed, Desired, Settings
from homeroom.chats.picture import picture_of
from homeroom.demo.synapse import Account, Synapse
from homeroom.errors import InvalidSpecError, RefusedError, TerminalError, TransientError
from homeroom.plan import Change, Kind, Op, Result
from homeroom.platforms import Platform
from homeroom.platforms.matrix import MatrixPlatform
from homeroom.platforms.matrix.platform import NOTICE

from .synapse_fixtures import Chats, View, desired

pytestmark = pytest.mark.integration

ADMIN = "/_synapse/admin"


def a_driver_is_a_platform(driver: MatrixPlatform) -> Platform:
    return driver


async def test_chats_are_made_and_filled_and_stay_as_they_are(chats: Chats) -> None:
    ann, bob, tom = chats.people("ann", "bob", "tom")
    one, two = chats.key("1a"), chats.key("1b")
    wanted = desired(
        {one: [ann, tom], two: [bob, tom]},
        administrators={one: [tom], two: [tom]},
        names={one: "1 Я students", two: "1 Б students"},
    )
    outcomes = await chats.sync(wanted)
    assert {outcome.result for outcome in outcomes} == {Result.APPLIED}
    view = await chats.read()
    assert view.names == {one: "1 Я students", two: "1 Б students"}
    assert view.members == {one: {ann: "Joined", tom: "Joined"}, two: {bob: "Joined", tom: "Joined"}}
    assert view.administrators == {one: {tom}, two: {tom}}
    assert view.actual.complete
    assert view.actual.operator == chats.operator.user_id
    assert [outcome.external_id for outcome in outcomes[:2]] == [view.rooms[one], view.rooms[two]]
    before = chats.events()
    assert await chats.sync(wanted) == []
    assert chats.events() == before


async def test_a_room_is_closed_from_its_first_moment(chats: Chats) -> None:
    ann, stranger = chats.account("ann"), chats.account("stranger")
    key = chats.key("1a")
    await chats.sync(desired({key: [ann.user_id]}))
    room = (await chats.read()).rooms[key]
    told = chats.operator.do("GET", f"{ADMIN}/v1/rooms/{room}")
    assert (told["version"], told["federatable"], told["public"]) == (chats.version, False, False)
    assert (told["join_rules"], told["guest_access"], told["history_visibility"]) == ("invite", "forbidden", "joined")
    assert told["canonical_alias"] == f"#{key}:{chats.server.server_name}"
    assert ann.do("GET", f"rooms/{room}/state/m.room.topic/")["topic"] == NOTICE
    assert ann.call("POST", f"rooms/{room}/invite", {"user_id": stranger.user_id}).status == 403
    assert ann.call("PUT", f"rooms/{room}/state/m.room.name/", {"name": "ours"}).status == 403
    assert ann.call("PUT", f"rooms/{room}/state/dev.homeroom.chat/", {"owner": "me"}).status == 403
    assert stranger.call("POST", f"join/{room}", {}).status == 403
    assert ann.call("PUT", f"rooms/{room}/send/m.room.message/1", {"msgtype": "m.text", "body": "hello"}).ok


async def test_whoever_comes_later_does_not_read_what_was_before(chats: Chats) -> None:
    ann, bob = chats.account("ann"), chats.account("bob")
    key = chats.key("1a")
    await chats.sync(desired({key: [ann.user_id]}))
    room = (await chats.read()).rooms[key]
    ann.do("PUT", f"rooms/{room}/send/m.room.message/1", {"msgtype": "m.text", "body": "secret"})
    await chats.sync(desired({key: [ann.user_id, bob.user_id]}))
    told = bob.do("GET", f"rooms/{room}/messages?dir=b&limit=50")["chunk"]
    assert not [event for event in told if event["type"] == "m.room.message"]


async def test_accounts_that_cannot_come_in_keep_nobody_out(chats: Chats) -> None:
    ann, gone, locked, suspended = chats.people("ann", "gone", "locked", "suspended")
    chats.operator.do("PUT", f"{ADMIN}/v2/users/{gone}", {"deactivated": True})
    chats.operator.do("PUT", f"{ADMIN}/v2/users/{locked}", {"locked": True})
    chats.operator.do("PUT", f"{ADMIN}/v1/suspend/{suspended}", {"suspend": True})
    nobody, remote = f"@nobody-{chats.mark}:{chats.server.server_name}", "@ann:elsewhere.test"
    key = chats.key("1a")
    outcomes = await chats.sync(desired({key: [ann, gone, locked, suspended, nobody, remote]}))
    errors = sorted(outcome.error for outcome in outcomes if outcome.error)
    assert errors == [
        "the account is deactivated",
        "the account is locked",
        "the account is on another server, and chats do not leave this one",
        "the account is suspended",
        "there is no such account",
    ]
    assert {outcome.result for outcome in outcomes if outcome.error} == {Result.PARKED}
    assert (await chats.read()).members == {key: {ann: "Joined"}}


async def test_who_is_suspended_at_the_last_moment_is_not_left_half_way(chats: Chats) -> None:
    (ann,) = chats.people("ann")
    key = chats.key("1a")

    async def suspend_late(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if str(request.url).endswith("join/" + quote(room, safe="")):
            chats.operator.do("PUT", f"{ADMIN}/v1/suspend/{ann}", {"suspend": True})
        return await handler(request)

    await chats.sync(desired({key: []}))
    room = (await chats.read()).rooms[key]
    (outcome,) = await chats.sync(desired({key: [ann]}), suspend_late)
    assert outcome.error == "synapse refused it: M_USER_SUSPENDED (403)"
    assert (await chats.read()).members == {key: {}}


async def test_whoever_was_let_in_by_hand_goes_and_whoever_was_put_out_comes_back(chats: Chats) -> None:
    ann, bob = chats.people("ann", "bob")
    guest, invited = chats.account("guest"), chats.account("invited")
    key = chats.key("1a")
    wanted = desired({key: [ann, bob]})
    await chats.sync(wanted)
    room = (await chats.read()).rooms[key]
    chats.operator.do("POST", f"{ADMIN}/v1/join/{room}", {"user_id": guest.user_id})
    chats.operator.do("POST", f"rooms/{room}/invite", {"user_id": invited.user_id})
    chats.operator.do("POST", f"rooms/{room}/kick", {"user_id": bob})
    view = await chats.read()
    assert view.members == {key: {ann: "Joined", guest.user_id: "Joined", invited.user_id: "Linked"}}
    outcomes = await chats.sync(wanted)
    assert [outcome.result for outcome in outcomes] == [Result.APPLIED] * 3
    assert (await chats.read()).members == {key: {ann: "Joined", bob: "Joined"}}
    assert invited.call("POST", f"join/{room}", {}).status == 403
    events = chats.operator.do("GET", f"rooms/{room}/members?membership=leave")["chunk"]
    assert {event["content"].get("reason") for event in events} == {NOTICE}


async def test_who_left_by_choice_who_was_banned_and_who_was_put_out_are_told_apart(chats: Chats) -> None:
    left, banned, out = chats.account("left"), chats.account("banned"), chats.account("out")
    key = chats.key("1a")
    wanted = desired({key: [left.user_id, banned.user_id, out.user_id]})
    await chats.sync(wanted)
    room = (await chats.read()).rooms[key]
    left.do("POST", f"rooms/{room}/leave", {})
    chats.operator.do("POST", f"rooms/{room}/ban", {"user_id": banned.user_id})
    chats.operator.do("POST", f"rooms/{room}/kick", {"user_id": out.user_id})
    assert (await chats.read()).members == {key: {left.user_id: "LeftByChoice", banned.user_id: "Parked"}}
    outcomes = await chats.sync(wanted)
    assert [outcome.error for outcome in outcomes if outcome.error] == ["the account is banned from the room"]
    view = await chats.read()
    assert view.members == {key: {left.user_id: "Joined", banned.user_id: "Parked", out.user_id: "Joined"}}


async def test_who_is_gone_already_counts_as_put_out_and_who_stays_does_not(chats: Chats) -> None:
    left, equal = chats.account("left"), chats.account("equal")
    key = chats.key("1a")
    await chats.sync(desired({key: [left.user_id, equal.user_id]}))
    room = (await chats.read()).rooms[key]
    power = chats.operator.do("GET", f"rooms/{room}/state/m.room.power_levels/")
    power["users"][equal.user_id] = 100
    chats.operator.do("PUT", f"rooms/{room}/state/m.room.power_levels/", power)
    async with chats.platform() as platform:
        batches = chats.plan(desired({key: []}), await platform.read())
        left.do("POST", f"rooms/{room}/leave", {})
        outcomes = [outcome for batch in batches for outcome in await platform.apply(batch, desired({key: []}))]
    if chats.version == "11":  # nobody but its owner can lower such a level, nor throw such a person out
        refused = "synapse refused it: M_FORBIDDEN (403)"
        assert [outcome.error for outcome in outcomes] == [refused, refused, None]
        assert (await chats.read()).members[key][equal.user_id] == "Joined"
    else:
        assert [outcome.error for outcome in outcomes] == [None, None, None]
        assert (await chats.read()).members[key] == {left.user_id: "LeftByChoice"}


async def test_one_who_cannot_be_demoted_does_not_keep_the_others_in_power(chats: Chats) -> None:
    equal, tom, tim = chats.people("equal", "tom", "tim")
    key = chats.key("1a")
    everybody = desired({key: [equal, tom, tim]}, administrators={key: [tom, tim]})
    await chats.sync(everybody)
    room = (await chats.read()).rooms[key]
    power = chats.operator.do("GET", f"rooms/{room}/state/m.room.power_levels/")
    assert (power["users"][tom], power["users"][tim]) == (50, 50)
    power["users"][equal] = 100
    chats.operator.do("PUT", f"rooms/{room}/state/m.room.power_levels/", power)
    outcomes = await chats.sync(desired({key: [equal, tom, tim]}))
    assert [outcome.result for outcome in outcomes].count(Result.FAILED) == (1 if chats.version == "11" else 0)
    assert (await chats.read()).administrators == {key: {equal} if chats.version == "11" else set()}


async def test_rights_are_for_people_in_the_room_and_leave_none_behind(chats: Chats) -> None:
    tom, tim = chats.people("tom", "tim")
    key = chats.key("1a")
    wanted = desired({key: [tom, tim]}, administrators={key: [tom, tim]})
    await chats.sync(wanted)
    room = (await chats.read()).rooms[key]
    chats.operator.do("POST", f"rooms/{room}/kick", {"user_id": tom})
    view = await chats.read()
    assert view.members[key] == {tim: "Joined", tom: None}
    assert view.administrators == {key: {tom, tim}}
    absent = Change(seq=0, op=Op.CREATE, kind=Kind.RIGHT, school="s-1", key=f"@nobody:{chats.mark}", class_key=key)
    async with chats.platform() as platform:
        await platform.read()
        (outcome,) = await platform.apply([absent], wanted)
    assert (outcome.result, outcome.error) == (Result.SKIPPED, "the account is not in the room")
    await chats.sync(desired({key: [tim]}, administrators={key: [tim]}))
    assert (await chats.read()).administrators == {key: {tim}}
    assert tom not in chats.operator.do("GET", f"rooms/{room}/state/m.room.power_levels/")["users"]


OPEN = dict.fromkeys(("invite", "edit_info", "pin", "mention_all", "call", "appoint"), "Everyone")


async def test_settings_that_were_changed_by_hand_are_seen_and_put_back_with_the_rights_of_people(chats: Chats) -> None:
    (tom,) = chats.people("tom")
    key = chats.key("1a")
    settings = Settings(pin=Allowed.ADMINISTRATORS, call=Allowed.EVERYONE)
    wanted = desired({key: [tom]}, administrators={key: [tom]}, settings=settings)
    await chats.sync(wanted)
    view = await chats.read()
    closed = dict.fromkeys(OPEN, "Owner") | {"see_link": None, "appearance": None}
    assert view.settings(key) == closed | {"pin": "Administrators", "call": "Everyone"}
    at = f"rooms/{view.rooms[key]}/state"
    mine = {chats.operator.user_id: 100} if chats.version == "11" else {}
    chats.operator.do("PUT", f"{at}/m.room.power_levels/", {"users": {**mine, tom: 50}, "users_default": 50})
    chats.operator.do("PUT", f"{at}/m.room.name/", {"name": "another"})
    assert (await chats.read()).settings(key) == OPEN | {"see_link": None, "appearance": None}
    (outcome,) = await chats.sync(wanted)
    assert outcome.result is Result.APPLIED
    after = await chats.read()
    assert after.settings(key) == view.settings(key)
    assert (after.names, after.administrators) == (view.names, {key: {tom}})


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("m.room.join_rules", {"join_rule": "public"}),
        ("m.room.guest_access", {"guest_access": "can_join"}),
        ("m.room.history_visibility", {"history_visibility": "shared"}),
    ],
)
async def test_a_door_that_was_opened_by_hand_is_shut(chats: Chats, kind: str, content: dict[str, str]) -> None:
    key = chats.key("1a")
    wanted = desired({key: []})
    await chats.sync(wanted)
    room = (await chats.read()).rooms[key]
    before = chats.operator.do("GET", f"rooms/{room}/state/{kind}/")
    chats.operator.do("PUT", f"rooms/{room}/state/{kind}/", content)
    assert (await chats.read()).settings(key)["invite"] == "Everyone"
    await chats.sync(wanted)
    assert chats.operator.do("GET", f"rooms/{room}/state/{kind}/") == before


async def test_what_people_may_change_stays_as_they_made_it(chats: Chats) -> None:
    tom = chats.account("tom")
    key = chats.key("1a")
    settings = Settings(edit_info=Allowed.ADMINISTRATORS, pin=Allowed.EVERYONE)
    wanted = desired({key: [tom.user_id]}, administrators={key: [tom.user_id]}, settings=settings)
    await chats.sync(wanted)
    room = (await chats.read()).rooms[key]
    tom.do("PUT", f"rooms/{room}/state/m.room.topic/", {"topic": "homework"})
    tom.do("PUT", f"rooms/{room}/state/m.room.pinned_events/", {"pinned": ["$one"]})
    before = chats.events()
    assert await chats.sync(wanted) == []
    assert chats.events() == before


async def test_an_archived_chat_can_be_read_and_comes_back(chats: Chats) -> None:
    ann = chats.account("ann")
    key = chats.key("1a")
    wanted = desired({key: [ann.user_id]})
    await chats.sync(wanted)
    room = (await chats.read()).rooms[key]
    archive = Change(seq=0, op=Op.ARCHIVE, kind=Kind.CHAT, school="s-1", key=key)
    async with chats.platform() as platform:
        await platform.read()
        (outcome,) = await platform.apply([archive], desired({}))
    assert outcome.result is Result.APPLIED
    view = await chats.read()
    assert (view.archived, view.members) == ({key}, {key: {ann.user_id: "Joined"}})
    message = {"msgtype": "m.text", "body": "hello"}
    assert ann.call("PUT", f"rooms/{room}/send/m.room.message/1", message).status == 403
    assert ann.call("GET", f"rooms/{room}/messages?dir=b").ok
    await chats.sync(wanted)
    assert (await chats.read()).archived == set()
    assert ann.call("PUT", f"rooms/{room}/send/m.room.message/2", message).ok


async def test_a_space_holds_the_chats_of_a_school_and_year_and_no_people(chats: Chats) -> None:
    (ann,) = chats.people("ann")
    one, two = chats.key("1a"), chats.key("1b")
    wanted = desired({one: [ann], two: [ann]})
    await chats.sync(wanted)
    rooms = (await chats.read()).rooms
    space = chats.operator.do("GET", f"directory/room/%23{wanted.chats['space'][0]}:{chats.server.server_name}")
    at = f"rooms/{space['room_id']}"
    assert chats.operator.do("GET", f"{at}/state/m.room.name/") == {"name": "Lakeside 2027"}
    for room in rooms.values():
        assert chats.operator.do("GET", f"{at}/state/m.space.child/{room}") == {"via": [chats.server.server_name]}
        assert chats.operator.call("GET", f"rooms/{room}/state/m.space.parent/{space['room_id']}").ok
    assert set(chats.operator.do("GET", f"{at}/joined_members")["joined"]) == {chats.operator.user_id}
    assert len(chats.operator.do("GET", "joined_rooms")["joined_rooms"]) == 3


# Whose a room is


async def test_what_is_somebody_elses_is_neither_seen_nor_touched(chats: Chats) -> None:
    ann = chats.account("ann")
    key, taken = chats.key("1a"), chats.key("1b")
    await chats.sync(desired({key: [ann.user_id]}))
    theirs = ann.do(
        "POST",
        "createRoom",
        {
            "preset": "public_chat",
            "room_version": chats.version,
            "room_alias_name": taken,
            "initial_state": [
                {
                    "type": "dev.homeroom.chat",
                    "content": {"owner": chats.owner, "key": taken, "school": "s-1", "space": "x"},
                }
            ],
        },
    )["room_id"]
    chats.operator.do("POST", f"join/{theirs}", {})
    before = chats.events()
    assert set((await chats.read()).rooms) == {key}
    outcomes = await chats.sync(desired({key: [ann.user_id], taken: [ann.user_id]}))
    words = "the room that has this chat's alias does not carry our mark: somebody else made it"
    assert [outcome.result for outcome in outcomes] == [Result.SKIPPED] * 2
    assert outcomes[0].error == words
    assert chats.events()[theirs] == before[theirs]
    async with chats.platform(owner="another owner") as platform:
        assert View(await platform.read()).rooms == {}
        create = Change(seq=0, op=Op.CREATE, kind=Kind.CHAT, school="s-1", key=key)
        (outcome,) = await platform.apply([create], desired({key: []}))
    assert outcome.result is Result.SKIPPED


async def test_a_room_that_lost_its_mark_since_we_read_is_left_alone(chats: Chats) -> None:
    ann = chats.account("ann")
    key = chats.key("1a")
    await chats.sync(desired({key: []}))
    wanted = desired({key: [ann.user_id]})
    async with chats.platform() as platform:
        (batch,) = chats.plan(wanted, await platform.read())
        room = View(await platform.read()).rooms[key]
        chats.operator.do("PUT", f"rooms/{room}/state/dev.homeroom.chat/", {"owner": "another owner", "key": key})
        (outcome,) = await platform.apply(batch, wanted)
    assert outcome.result is Result.SKIPPED
    assert (await chats.read()).rooms == {}


async def test_an_upgraded_room_is_followed_with_its_mark_its_people_and_its_settings(chats: Chats) -> None:
    tom, ann = chats.account("tom"), chats.account("ann")
    key = chats.key("1a")
    wanted = desired({key: [tom.user_id, ann.user_id]}, administrators={key: [tom.user_id]})
    await chats.sync(wanted)
    old = (await chats.read()).rooms[key]
    async with chats.platform() as platform:
        read = chats.plan(desired({key: []}), await platform.read())
        new = chats.operator.do("POST", f"rooms/{old}/upgrade", {"new_version": "12"})["replacement_room"]
        stale = [outcome for batch in read for outcome in await platform.apply(batch, wanted)]
    assert {outcome.result for outcome in stale} == {Result.SKIPPED}
    view = await chats.read()
    assert (view.rooms, view.actual.unsure) == ({key: new}, frozenset())
    await chats.sync(wanted)
    view = await chats.read()
    assert view.rooms == {key: new}
    assert view.members == {key: {tom.user_id: "Joined", ann.user_id: "Joined"}}
    assert view.administrators == {key: {tom.user_id}}
    assert set(view.settings(key).values()) == {"Owner", None}
    assert chats.operator.do("GET", f"rooms/{new}/state/dev.homeroom.chat/")["key"] == key
    assert await chats.sync(wanted) == []
    again = chats.operator.do("POST", f"rooms/{new}/upgrade", {"new_version": "12"})["replacement_room"]
    assert (await chats.read()).rooms == {key: again}


async def test_a_successor_out_of_reach_is_not_made_anew(chats: Chats) -> None:
    (ann,) = chats.people("ann")
    key = chats.key("1a")
    await chats.sync(desired({key: []}))
    room = (await chats.read()).rooms[key]
    chats.operator.do("PUT", f"rooms/{room}/state/m.room.tombstone/", {"body": "gone", "replacement_room": "!other"})
    view = await chats.read()
    assert view.rooms == {}
    outcomes = await chats.sync(desired({key: [ann]}))
    assert {outcome.result for outcome in outcomes} == {Result.SKIPPED}
    assert len(chats.operator.do("GET", "joined_rooms")["joined_rooms"]) == 2


async def test_two_rooms_of_one_chat_stand_still(chats: Chats) -> None:
    key = chats.key("1a")
    await chats.sync(desired({key: []}))
    room = (await chats.read()).rooms[key]
    mark = chats.operator.do("GET", f"rooms/{room}/state/dev.homeroom.chat/")
    chats.operator.do("POST", "createRoom", {"initial_state": [{"type": "dev.homeroom.chat", "content": mark}]})
    view = await chats.read()
    assert (view.rooms, view.actual.unsure) == ({}, frozenset({key}))


# Who we are


async def test_limits_are_lifted_once_for_our_account(synapse: Synapse, limited: Account, mark: str) -> None:
    chats = Chats(synapse, limited, mark, "12")
    at = f"{ADMIN}/v1/users/{limited.user_id}/override_ratelimit"
    await chats.read()
    assert limited.do("GET", at) == {}
    hops = {hop.name: hop.words for hop in await chats.platform().check()}
    assert hops["limits"] == "rate limits count for the account: they are lifted for it before the first change"
    outcomes = await chats.sync(desired({chats.key(str(number)): [] for number in range(15)}))
    assert {outcome.result for outcome in outcomes} == {Result.APPLIED}
    assert limited.do("GET", at) == {"messages_per_second": 0, "burst_count": 0}
    hops = {hop.name: hop.words for hop in await chats.platform().check()}
    assert hops["limits"] == "no rate limits count for the account"


async def test_one_token_serves_all_runs(chats: Chats) -> None:
    at = f"{ADMIN}/v2/users/{chats.operator.user_id}/devices"
    before = chats.operator.do("GET", at)["total"]
    for _ in range(3):
        await chats.sync(desired({chats.key("1a"): []}))
    assert chats.operator.do("GET", at)["total"] == before


async def test_a_check_tells_every_step(chats: Chats) -> None:
    hops = await chats.platform().check()
    assert [(hop.name, hop.ok) for hop in hops] == [
        (name, True)
        for name in ("name resolution", "server", "access token", "permissions", "strangers", "rooms", "limits")
    ]
    assert hops[4].words == "strangers cannot register accounts"
    person = chats.account("ann")
    hops = await chats.platform(token=person.token).check()
    assert (hops[-1].name, hops[-1].ok) == ("permissions", False)
    hops = await chats.platform(token="wrong").check()
    assert (hops[-1].name, hops[-1].ok) == ("access token", False)


async def test_an_account_without_rights_or_from_elsewhere_is_refused(chats: Chats) -> None:
    with pytest.raises(TerminalError, match="access token") as caught:
        await chats.platform(token="wrong").__aenter__()
    assert caught.value.reason == "CredentialsInvalid"
    with pytest.raises(TerminalError, match="no server administrator") as caught:
        await chats.platform(token=chats.account("ann").token).__aenter__()
    assert caught.value.reason == "CredentialsInvalid"
    with pytest.raises(InvalidSpecError, match=r"not on school\.example"):
        await chats.platform(server_name="school.example").__aenter__()


async def test_a_picture_is_set_once_and_is_the_peoples_then(chats: Chats) -> None:
    tom, key = chats.account("tom"), chats.key("1a")

    def wanted(name: str = "1a") -> Desired:
        settings = Settings(edit_info=Allowed.ADMINISTRATORS)
        return desired({key: [tom.user_id]}, administrators={key: [tom.user_id]}, names={key: name}, settings=settings)

    async def show(content: bytes) -> bool:
        async with chats.platform() as platform:
            await platform.read([key])
            return await platform.show(key, picture_of(content))

    async with chats.platform() as platform:
        await platform.read([key])
        with pytest.raises(RefusedError, match="is not there"):
            await platform.show(key, picture_of(png(0)))
    await chats.sync(wanted())
    room = (await chats.read()).rooms[key]
    avatar = f"rooms/{room}/state/m.room.avatar/"
    assert await show(png(0))
    shown = tom.do("GET", avatar)
    assert shown["info"] == {"mimetype": "image/png", "size": len(png(0))}
    got = tom.do("GET", f"/_matrix/client/v1/media/download/{shown['url'].removeprefix('mxc://')}")
    assert got == png(0).decode(errors="replace")

    before = chats.events()
    assert not await show(png(0))
    assert await chats.sync(wanted()) == []
    assert chats.events() == before
    tom.do("PUT", avatar, {})  # taken away
    assert not await show(png(0))
    await chats.sync(wanted("1a now"))  # everything about the room is written, its mark, too
    assert not await show(png(0))
    assert tom.do("GET", avatar) == {}
    assert await show(png(1))
    assert tom.do("GET", avatar)["url"] != shown["url"]
    assert chats.operator.do("GET", f"{ADMIN}/v1/users/{chats.operator.user_id}/media")["total"] == 2


async def test_a_crash_between_picture_and_mark_sets_it_once_more(chats: Chats) -> None:
    ann, key = chats.account("ann"), chats.key("1a")
    await chats.sync(desired({key: [ann.user_id]}))
    room = (await chats.read()).rooms[key]

    async def dies(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if request.method == "PUT" and "dev.homeroom.chat" in str(request.url):
            raise aiohttp.ClientConnectionError
        return await handler(request)

    async with chats.platform(dies) as platform:
        await platform.read([key])
        with pytest.raises(TransientError):
            await platform.show(key, picture_of(png(0)))
    first = ann.do("GET", f"rooms/{room}/state/m.room.avatar/")["url"]
    async with chats.platform() as platform:
        await platform.read([key])
        assert await platform.show(key, picture_of(png(0)))
        assert not await platform.show(key, picture_of(png(0)))
    assert ann.do("GET", f"rooms/{room}/state/m.room.avatar/")["url"] != first


def png(shade: int) -> bytes:
    """A picture of one grey pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes([0, shade]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")

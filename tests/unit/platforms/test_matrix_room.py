"""What the state of a Matrix room means: pure, with whatever odd things may stand in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from homeroom.chats import Allowed, Enforcement, Setting, Settings, State
from homeroom.platforms.matrix.reading import found
from homeroom.platforms.matrix.room import CHAT_MARK, ENFORCEMENT, FURNITURE, Mark, Room, levels, with_users

US = "@operator:school.test"
ANN = "@ann:school.test"
MARK = Mark(owner="owner", key="hr-1", school="s-1", space="hr-space")


def event(kind: str, content: object, *, key: str = "", sender: str = US) -> dict[str, Any]:
    return {"type": kind, "state_key": key, "content": content, "sender": sender}


def member(account: str, membership: str, *, by: str | None = None) -> dict[str, Any]:
    return event("m.room.member", {"membership": membership}, key=account, sender=by or account)


def room(*events: object, settings: Settings | None = None, version: str = "12", name: str = "!a") -> Room:
    power = levels(settings or Settings(), operator=US, version=version, users={}, archived=False)
    ours = [
        event("m.room.create", {"room_version": version}),
        event("m.room.power_levels", power),
        *(event(kind, content) for kind, content in FURNITURE.items()),
        member(US, "join"),
    ]
    return Room(name, [*ours, *events], operator=US)


allowed = st.sampled_from(Allowed)
all_settings = st.builds(Settings, **{setting.value: allowed for setting in Setting})
versions = st.sampled_from(["11", "12"])


@given(settings=all_settings, version=versions)
def test_what_is_written_is_what_is_read(settings: Settings, version: str) -> None:
    read = {setting: room(settings=settings, version=version).setting(setting) for setting in Setting}
    wanted = {
        setting: one if ENFORCEMENT[setting] is Enforcement.ENFORCED else None
        for setting, one in settings.items().items()
    }
    assert read == wanted


def test_a_mark_says_which_picture_was_set_last_and_none_where_there_was_none() -> None:
    assert "picture" not in MARK.content()
    shown = replace(MARK, picture="a" * 64)
    for mark in (MARK, shown, shown.with_archived(archived=True)):
        assert room(event(CHAT_MARK, mark.content())).mark() == mark
    assert room(event(CHAT_MARK, {**MARK.content(), "picture": 5})).mark() == MARK


numbers = st.one_of(st.integers(-5, 200), st.text(max_size=4), st.none(), st.booleans(), st.lists(st.integers()))
odd_levels = st.dictionaries(
    st.sampled_from(["invite", "kick", "ban", "state_default", "users_default", "events_default", "users", "events"]),
    st.one_of(numbers, st.dictionaries(st.sampled_from([ANN, US, "m.room.name", "m.room.power_levels"]), numbers)),
)


@given(content=odd_levels, more=st.lists(st.one_of(numbers, st.dictionaries(st.text(max_size=3), numbers))))
def test_odd_state_is_understood_and_nobody_but_us_is_ever_hidden(content: dict[str, Any], more: list[object]) -> None:
    one = room(event("m.room.power_levels", content), member(ANN, "join"), *more)
    assert all(one.setting(setting) in {*Allowed, None} for setting in Setting)
    assert ANN in one.members()
    assert US not in one.members()


@given(users=st.dictionaries(st.sampled_from([ANN, "@tom:school.test"]), st.integers(0, 60)), version=versions)
def test_our_account_is_above_all_and_listed_only_where_it_has_to_be(users: dict[str, int], version: str) -> None:
    written = levels(Settings(), operator=US, version=version, users=users, archived=False)
    assert written["users"] == {**users, **({US: 100} if version == "11" else {})}
    assert Room("!a", [event("m.room.power_levels", written)], operator=US).users == users


def test_levels_of_people_change_without_touching_others() -> None:
    before = {"users": {ANN: 50, US: 100}, "invite": 100, "unknown": {"kept": 1}}
    assert with_users(before, {ANN: None, "@tom:school.test": 50}) == {
        "users": {US: 100, "@tom:school.test": 50},
        "invite": 100,
        "unknown": {"kept": 1},
    }


def test_a_mark_counts_only_from_our_account() -> None:
    mark = event(CHAT_MARK, MARK.content())
    assert room(mark).mark() == MARK
    assert room({**mark, "sender": ANN}).mark() is None
    assert room(event(CHAT_MARK, {"owner": "owner"})).mark() is None
    assert room(event(CHAT_MARK, {**MARK.content(), "key": 7})).mark() is None


def test_where_people_stand() -> None:
    one = room(
        member("@joined:s", "join"),
        member("@asked:s", "invite", by=ANN),
        member("@halfway:s", "invite", by=US),
        member("@left:s", "leave"),
        member("@out:s", "leave", by=US),
        member("@banned:s", "ban", by=US),
        member("@knocking:s", "knock"),
    )
    assert one.members() == {
        "@joined:s": State.JOINED,
        "@asked:s": State.INVITED,
        "@halfway:s": State.LINKED,
        "@left:s": State.LEFT_BY_CHOICE,
        "@banned:s": State.PARKED,
    }


def test_who_made_a_room_along_with_us_administers_it_for_ever() -> None:
    created = event("m.room.create", {"room_version": "12", "additional_creators": [ANN]})
    assert room(created).above_all(ANN)
    assert room(created).administers(ANN)
    old = event("m.room.create", {"room_version": "11", "additional_creators": [ANN]})
    assert not room(old, version="11").administers(ANN)


def test_rooms_that_replace_each_other_in_a_circle_are_nobodys() -> None:
    def link(at: str, to: str) -> Room:
        created = event("m.room.create", {"room_version": "12", "predecessor": {"room_id": to}})
        tombstone = event("m.room.tombstone", {"replacement_room": to})
        return room(created, tombstone, event(CHAT_MARK, MARK.content()), name=at)

    known, actual = found([link("!a", "!b"), link("!b", "!a")], owner="owner", operator=US, complete=True)
    assert known.rooms == {}
    assert actual.chats.is_empty()


def test_a_room_whose_state_lacks_the_essential_is_not_whole() -> None:
    assert room().whole
    assert not Room("!a", [event("m.room.create", {}), event("m.room.power_levels", {})], operator=US).whole
    assert not Room("!a", [member(US, "join")], operator=US).whole
    assert not Room("!a", ["nonsense", 7, None, {"content": 1}], operator=US).whole

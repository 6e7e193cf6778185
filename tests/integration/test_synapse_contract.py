"""What Synapse answers, one test for each thing that the driver counts on or has to get along with.

Nothing of Homeroom's driver is in here: when one of these fails after `tests/synapse/requirements.txt` was renewed, the
server behaves differently, and `homeroom.platforms.matrix` has to be looked at before anybody uses it there.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from homeroom.demo.synapse import Account, Answer, Synapse

pytestmark = pytest.mark.integration

WaitUntil = Callable[[Callable[[], bool]], None]
ADMIN = "/_synapse/admin"


@dataclass
class Hands:
    """The operator's calls, as words. `people` makes accounts that nobody is logged in to."""

    server: Synapse
    operator: Account
    mark: str
    version: str

    def mxid(self, name: str) -> str:
        return f"@{name}-{self.mark}:{self.server.server_name}"

    def people(self, *names: str) -> list[str]:
        return [self.server.make(f"{name}-{self.mark}") for name in names]

    def account(self, name: str) -> Account:
        return self.server.account(f"{name}-{self.mark}")

    def create(self, *, version: str | None = None, **body: object) -> Answer:
        whole = {"preset": "private_chat", "room_version": version or self.version, **body}
        return self.operator.call("POST", "createRoom", whole)

    def room(self, *, version: str | None = None, **body: object) -> str:
        answer = self.create(version=version, **body)
        assert answer.ok, answer
        return str(answer.body["room_id"])

    def join(self, room: str, user: str) -> Answer:
        return self.operator.call("POST", f"{ADMIN}/v1/join/{room}", {"user_id": user})

    def kick(self, room: str, user: str) -> Answer:
        return self.operator.call("POST", f"rooms/{room}/kick", {"user_id": user})

    def state(self, room: str, kind: str, key: str = "") -> Any:
        return self.operator.do("GET", f"rooms/{room}/state/{kind}/{key}")

    def put(self, room: str, kind: str, body: object, key: str = "") -> Answer:
        return self.operator.call("PUT", f"rooms/{room}/state/{kind}/{key}", body)

    def level(self, room: str, user: str, level: int) -> Answer:
        content = self.state(room, "m.room.power_levels")
        return self.put(room, "m.room.power_levels", {**content, "users": {**content["users"], user: level}})

    def memberships(self, room: str, *, seen_by: Account | None = None) -> dict[str, str]:
        events = (seen_by or self.operator).do("GET", f"rooms/{room}/members")["chunk"]
        return {event["state_key"]: event["content"]["membership"] for event in events}

    def joined(self, room: str) -> set[str]:
        return set(self.operator.do("GET", f"{ADMIN}/v1/rooms/{room}/members")["members"])

    def resolve(self, alias: str) -> str:
        answer = self.operator.do("GET", f"directory/room/%23{alias}:{self.server.server_name}")
        return str(answer["room_id"])


@pytest.fixture
def hands(synapse: Synapse, operator: Account, mark: str, version: str) -> Hands:
    return Hands(synapse, operator, mark, version)


def said(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.errcode


REFUSED = (403, "M_FORBIDDEN")


# Accounts that people make themselves

TOKENS = f"{ADMIN}/v1/registration_tokens"


def new_token(hands: Hands, **more: object) -> Answer:
    ends = int((datetime.now(UTC) + timedelta(minutes=30)).timestamp() * 1000)
    body = {"token": f"token-{hands.mark}", "uses_allowed": 1, "expiry_time": ends, **more}
    return hands.operator.call("POST", f"{TOKENS}/new", body)


def test_a_token_makes_one_account_and_is_asked_for(hands: Hands) -> None:
    server, token = hands.server, f"token-{hands.mark}"
    assert server.register(f"a-{hands.mark}", token=token).errcode == "M_UNAUTHORIZED"
    assert new_token(hands).ok
    assert said(new_token(hands)) == (400, "M_INVALID_PARAM")  # there is one of that name
    made = server.register(f"a-{hands.mark}", token=token)
    assert made.ok
    assert made.body["user_id"] == hands.mxid("a")
    assert server.register(f"b-{hands.mark}", token=token).errcode == "M_UNAUTHORIZED"


def test_a_token_ends_in_time_and_when_it_is_taken_back(hands: Hands) -> None:
    token = f"token-{hands.mark}"
    assert said(new_token(hands, expiry_time=1000)) == (400, "M_INVALID_PARAM")
    assert new_token(hands).ok
    assert hands.operator.call("DELETE", f"{TOKENS}/{token}").ok
    assert hands.operator.call("DELETE", f"{TOKENS}/{token}").status == 404
    assert hands.server.register(f"a-{hands.mark}", token=token).errcode == "M_UNAUTHORIZED"


# Joining by force


def test_who_is_joined_already_is_refused_where_invitations_are_needed(hands: Hands) -> None:
    (ann,) = hands.people("ann")
    room = hands.room()
    assert hands.join(room, ann).ok
    assert said(hands.join(room, ann)) == REFUSED
    assert hands.memberships(room)[ann] == "join"
    public = hands.room(preset="public_chat")
    assert hands.join(public, ann).ok
    assert hands.join(public, ann).ok


def test_joining_by_force_invites_first_and_asks_nobody(hands: Hands) -> None:
    (ann,) = hands.people("ann")
    room = hands.room()
    assert hands.join(room, ann).ok
    latest = hands.operator.do("GET", f"rooms/{room}/messages?dir=b&limit=2")["chunk"]
    events = [(event["sender"], event["content"]["membership"]) for event in latest if event.get("state_key") == ann]
    assert events == [(ann, "join"), (hands.operator.user_id, "invite")]


def test_a_banned_person_cannot_be_joined(hands: Hands) -> None:
    (ann,) = hands.people("ann")
    room = hands.room()
    hands.operator.do("POST", f"rooms/{room}/ban", {"user_id": ann})
    assert said(hands.join(room, ann)) == (403, "M_BAD_STATE")


def test_an_operator_outside_the_room_cannot_join_anybody(hands: Hands) -> None:
    (ann,) = hands.people("ann")
    stranger = hands.account("stranger")
    room = stranger.do("POST", "createRoom", {"preset": "private_chat", "room_version": hands.version})["room_id"]
    assert said(hands.join(room, ann)) == REFUSED


def test_nobody_can_be_joined_who_does_not_exist_or_lives_elsewhere(hands: Hands) -> None:
    room = hands.room()
    assert said(hands.join(room, hands.mxid("nobody"))) == (404, "M_NOT_FOUND")
    assert said(hands.join(room, "@ann:elsewhere.test")) == (400, "M_UNKNOWN")


def test_a_deactivated_account_joins_as_a_ghost(hands: Hands) -> None:
    (ann,) = hands.people("ann")
    hands.operator.do("PUT", f"{ADMIN}/v2/users/{ann}", {"deactivated": True})
    room = hands.room()
    assert hands.join(room, ann).ok
    assert hands.memberships(room)[ann] == "join"


def test_a_locked_account_joins_and_a_suspended_one_does_not(hands: Hands) -> None:
    locked, suspended = hands.people("locked", "suspended")
    hands.operator.do("PUT", f"{ADMIN}/v2/users/{locked}", {"locked": True})
    hands.operator.do("PUT", f"{ADMIN}/v1/suspend/{suspended}", {"suspend": True})
    room = hands.room()
    assert hands.join(room, locked).ok
    assert said(hands.join(room, suspended)) == (403, "M_USER_SUSPENDED")
    assert hands.memberships(room)[suspended] == "invite"  # half of the way was gone


def test_deactivating_empties_a_persons_rooms_and_reactivating_does_not_fill_them(
    hands: Hands, wait_until: WaitUntil
) -> None:
    (ann,) = hands.people("ann")
    room = hands.room()
    assert hands.join(room, ann).ok
    hands.operator.do("PUT", f"{ADMIN}/v2/users/{ann}", {"deactivated": True})
    wait_until(lambda: hands.memberships(room)[ann] == "leave")
    hands.operator.do("PUT", f"{ADMIN}/v2/users/{ann}", {"deactivated": False, "password": "A1b2C3d4E5"})
    assert hands.memberships(room)[ann] == "leave"


def test_joining_by_force_overrides_that_somebody_left(hands: Hands) -> None:
    ann = hands.account("ann")
    room = hands.room()
    assert hands.join(room, ann.user_id).ok
    ann.do("POST", f"rooms/{room}/leave", {})
    assert hands.memberships(room)[ann.user_id] == "leave"
    assert hands.join(room, ann.user_id).ok
    assert hands.memberships(room)[ann.user_id] == "join"


def test_a_tombstone_does_not_stop_anybody_from_joining(hands: Hands) -> None:
    (ann,) = hands.people("ann")
    room = hands.room()
    hands.operator.do("POST", f"rooms/{room}/upgrade", {"new_version": hands.version})
    assert hands.join(room, ann).ok


def test_who_left_and_who_was_thrown_out_are_told_apart_by_who_did_it(hands: Hands) -> None:
    left, out = hands.account("left"), hands.account("out")
    room = hands.room()
    for person in (left, out):
        assert hands.join(room, person.user_id).ok
    left.do("POST", f"rooms/{room}/leave", {})
    assert hands.kick(room, out.user_id).ok
    events = hands.operator.do("GET", f"rooms/{room}/members")["chunk"]
    senders = {event["state_key"]: event["sender"] for event in events if event["content"]["membership"] == "leave"}
    assert senders == {left.user_id: left.user_id, out.user_id: hands.operator.user_id}


# Throwing out


def test_whoever_is_not_there_cannot_be_thrown_out(hands: Hands) -> None:
    (ann,) = hands.people("ann")
    room = hands.room()
    assert said(hands.kick(room, ann)) == REFUSED
    assert said(hands.kick(room, hands.mxid("nobody"))) == REFUSED


def test_throwing_out_an_invited_person_revokes_the_invitation(hands: Hands) -> None:
    (ann,) = hands.people("ann")
    room = hands.room(invite=[ann])
    assert hands.memberships(room)[ann] == "invite"
    assert hands.kick(room, ann).ok
    assert hands.memberships(room)[ann] == "leave"


def test_equals_are_out_of_reach_unless_one_of_them_made_the_room(hands: Hands) -> None:
    ann = hands.account("ann")
    room = hands.room()
    assert hands.join(room, ann.user_id).ok
    assert hands.level(room, ann.user_id, 100).ok
    against_the_creator = ann.call("POST", f"rooms/{room}/kick", {"user_id": hands.operator.user_id})
    assert said(against_the_creator) == REFUSED
    if hands.version == "11":
        assert said(hands.level(room, ann.user_id, 50)) == REFUSED
        assert said(hands.kick(room, ann.user_id)) == REFUSED
    else:
        assert hands.level(room, ann.user_id, 50).ok
        assert hands.level(room, ann.user_id, 100).ok
        assert hands.kick(room, ann.user_id).ok


# Making rooms


def test_a_creator_is_listed_in_power_levels_in_version_11_only(hands: Hands) -> None:
    answer = hands.create(power_level_content_override={"users": {hands.operator.user_id: 100}})
    assert answer.ok is (hands.version == "11")
    if not answer.ok:
        assert answer.status == 400


def test_a_trusted_private_chat_makes_those_invited_equals_for_ever(hands: Hands) -> None:
    (ann,) = hands.people("ann")
    room = hands.room(preset="trusted_private_chat", invite=[ann])
    if hands.version == "11":
        assert hands.state(room, "m.room.power_levels")["users"][ann] == 100
    else:
        created = hands.operator.do("GET", f"{ADMIN}/v1/rooms/{room}/state?type=m.room.create")["state"]
        assert created[0]["content"]["additional_creators"] == [ann]


def test_a_private_chat_lets_everybody_invite_guests_join_and_newcomers_read_back(hands: Hands) -> None:
    room = hands.room()
    levels = hands.state(room, "m.room.power_levels")
    assert levels["invite"] == 0
    assert levels["events"]["m.room.name"] == 50
    assert levels["events"]["m.room.tombstone"] == (100 if hands.version == "11" else 150)
    assert levels["users"] == ({hands.operator.user_id: 100} if hands.version == "11" else {})
    assert hands.state(room, "m.room.guest_access")["guest_access"] == "can_join"
    assert hands.state(room, "m.room.history_visibility")["history_visibility"] == "shared"


def test_without_a_word_a_room_is_of_version_12(hands: Hands) -> None:
    answer = hands.operator.do("POST", "createRoom", {"preset": "private_chat"})
    created = hands.operator.do("GET", f"{ADMIN}/v1/rooms/{answer['room_id']}/state?type=m.room.create")["state"]
    assert created[0]["content"]["room_version"] == "12"
    assert ":" not in answer["room_id"]


def test_a_taken_alias_makes_no_second_room(hands: Hands) -> None:
    alias = f"hr-{hands.mark}"
    room = hands.room(room_alias_name=alias)
    assert said(hands.create(room_alias_name=alias)) == (400, "M_ROOM_IN_USE")
    assert hands.resolve(alias) == room
    assert hands.operator.do("GET", "joined_rooms")["joined_rooms"] == [room]


def test_of_two_who_make_a_room_under_one_alias_at_once_one_wins(hands: Hands) -> None:
    alias = f"hr-{hands.mark}"
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: hands.create(room_alias_name=alias), range(8)))
    (won,) = [answer for answer in answers if answer.ok]
    losers = {said(answer) for answer in answers if not answer.ok}
    assert losers <= {(400, "M_ROOM_IN_USE"), (409, "M_UNKNOWN")}
    assert hands.resolve(alias) == won.body["room_id"]
    assert hands.operator.do("GET", "joined_rooms")["joined_rooms"] == [won.body["room_id"]]


def test_a_room_can_be_made_with_people_who_do_not_exist(hands: Hands) -> None:
    nobody = hands.mxid("nobody")
    room = hands.room(invite=[nobody])
    assert hands.memberships(room)[nobody] == "invite"


def test_a_long_name_is_taken(hands: Hands) -> None:
    room = hands.room(name="n" * 300)
    assert hands.state(room, "m.room.name")["name"] == "n" * 300


def test_aliases_that_look_alike_are_two(hands: Hands) -> None:
    latin, cyrillic = f"1-a-{hands.mark}", f"1-\N{CYRILLIC SMALL LETTER A}-{hands.mark}"
    assert hands.create(room_alias_name=latin).ok
    assert hands.create(room_alias_name=cyrillic).ok
    assert hands.create(room_alias_name=f"1 a {hands.mark}").status == 400


@pytest.mark.parametrize("localpart", ["\N{CYRILLIC SMALL LETTER A}nn", "Ann", "a nn"])
def test_names_of_accounts_are_plain(synapse: Synapse, operator: Account, mark: str, localpart: str) -> None:
    user = quote(f"@{localpart}-{mark}:{synapse.server_name}")
    assert said(operator.call("PUT", f"{ADMIN}/v2/users/{user}", {})) == (400, "M_INVALID_USERNAME")


# Settings


def test_a_part_of_the_power_levels_replaces_all_of_them(hands: Hands) -> None:
    (ann,) = hands.people("ann")
    mine = {hands.operator.user_id: 100} if hands.version == "11" else {}
    room = hands.room(power_level_content_override={"invite": 100})
    part = {"users": {**mine, ann: 50}}
    assert hands.put(room, "m.room.power_levels", part).ok
    assert hands.state(room, "m.room.power_levels") == part


def test_power_levels_are_numbers(hands: Hands) -> None:
    (ann,) = hands.people("ann")
    room = hands.room()
    content = hands.state(room, "m.room.power_levels")
    users = {**content["users"], ann: "50"}
    assert said(hands.put(room, "m.room.power_levels", {**content, "users": users})) == (400, "M_BAD_JSON")


def test_somebody_can_have_a_role_before_coming(hands: Hands) -> None:
    (ann,) = hands.people("ann")
    room = hands.room()
    assert hands.level(room, ann, 50).ok
    assert hands.join(room, ann).ok
    assert hands.state(room, "m.room.power_levels")["users"][ann] == 50


def test_writing_what_is_there_makes_no_event(hands: Hands) -> None:
    room = hands.room(name="one")
    made = {hands.put(room, "m.room.name", {"name": "two"}).body["event_id"] for _ in range(20)}
    assert len(made) == 1


def test_an_upgrade_moves_the_alias_and_leaves_people_and_marks_behind(hands: Hands) -> None:
    (ann,) = hands.people("ann")
    alias = f"hr-{hands.mark}"
    mark = {"type": "dev.homeroom.test", "state_key": "", "content": {"owner": "me"}}
    room = hands.room(version="11", room_alias_name=alias, initial_state=[mark])
    assert hands.join(room, ann).ok
    answer = hands.operator.do("POST", f"rooms/{room}/upgrade", {"new_version": "12"})
    new = answer["replacement_room"]
    assert hands.state(room, "m.room.tombstone")["replacement_room"] == new
    assert hands.resolve(alias) == new
    assert ":" not in new
    assert ann not in hands.memberships(new)
    assert not hands.operator.call("GET", f"rooms/{new}/state/dev.homeroom.test/").ok


def test_who_loses_the_space_stays_in_its_rooms(hands: Hands) -> None:
    ann = hands.account("ann")
    space = hands.room(creation_content={"type": "m.space"})
    allow = [{"type": "m.room_membership", "room_id": space}]
    rule = {"type": "m.room.join_rules", "content": {"join_rule": "restricted", "allow": allow}}
    room = hands.room(initial_state=[rule])
    assert not ann.call("POST", f"join/{room}", {}).ok
    assert hands.join(space, ann.user_id).ok
    assert ann.call("POST", f"join/{room}", {}).ok
    assert hands.kick(space, ann.user_id).ok
    assert hands.memberships(room)[ann.user_id] == "join"


# Reading


def test_one_list_has_all_memberships_and_needs_access_the_other_only_who_is_joined(hands: Hands) -> None:
    joined, invited, gone = hands.people("joined", "invited", "gone")
    room = hands.room(invite=[invited])
    for person in (joined, gone):
        assert hands.join(room, person).ok
    assert hands.kick(room, gone).ok
    me = hands.operator.user_id
    assert hands.memberships(room) == {me: "join", joined: "join", invited: "invite", gone: "leave"}
    assert hands.joined(room) == {me, joined}
    stranger = hands.account("stranger")
    theirs = stranger.do("POST", "createRoom", {"preset": "private_chat", "room_version": hands.version})["room_id"]
    assert said(hands.operator.call("GET", f"rooms/{theirs}/members")) == REFUSED
    assert hands.joined(theirs) == {stranger.user_id}


def test_a_wrong_token_is_told_from_a_missing_right(hands: Hands) -> None:
    wrong = Account(url=hands.server.url, user_id=hands.operator.user_id, token="syt_wrong")
    assert said(wrong.call("GET", "account/whoami")) == (401, "M_UNKNOWN_TOKEN")
    ann = hands.account("ann")
    assert said(ann.call("GET", f"{ADMIN}/v2/users")) == REFUSED


# Getting back in, and getting rid of


def test_an_operator_who_left_a_room_of_version_12_cannot_make_himself_administrator_again(hands: Hands) -> None:
    (ann,) = hands.people("ann")
    room = hands.room()
    assert hands.join(room, ann).ok
    hands.operator.do("POST", f"rooms/{room}/leave", {})
    me = {"user_id": hands.operator.user_id}
    assert hands.operator.call("POST", f"{ADMIN}/v1/rooms/{room}/make_room_admin", me).status == 400


def test_an_operator_who_is_out_gets_back_through_an_administrator_of_the_room(hands: Hands) -> None:
    ann = hands.account("ann")
    mine = {hands.operator.user_id: 100} if hands.version == "11" else {}
    room = hands.room(power_level_content_override={"users": {**mine, ann.user_id: 100}})
    assert hands.join(room, ann.user_id).ok
    hands.operator.do("POST", f"rooms/{room}/leave", {})
    me = hands.operator.user_id
    answer = hands.operator.call("POST", f"{ADMIN}/v1/rooms/{room}/make_room_admin", {"user_id": me})
    if hands.version == "11":
        assert answer.ok
        assert hands.memberships(room, seen_by=ann)[me] == "invite"
    else:  # it fails on writing the creator into the power levels
        assert answer.status == 400
        ann.do("POST", f"rooms/{room}/invite", {"user_id": me})
    assert hands.operator.call("POST", f"join/{room}", {}).ok


def test_a_room_is_deleted_while_nobody_waits(hands: Hands, wait_until: WaitUntil) -> None:
    (ann,) = hands.people("ann")
    alias = f"hr-{hands.mark}"
    room = hands.room(room_alias_name=alias)
    assert hands.join(room, ann).ok
    job = hands.operator.do("DELETE", f"{ADMIN}/v2/rooms/{room}", {"purge": True})["delete_id"]
    at = f"{ADMIN}/v2/rooms/delete_status/{job}"
    wait_until(lambda: hands.operator.do("GET", at)["status"] == "complete")
    assert said(hands.operator.call("GET", f"{ADMIN}/v1/rooms/{room}")) == (404, "M_NOT_FOUND")
    assert hands.operator.call("GET", f"directory/room/%23{alias}:{hands.server.server_name}").status == 404


# Limits


def test_rooms_are_rationed_until_the_limits_of_the_account_are_lifted(synapse: Synapse, limited: Account) -> None:
    answers = [limited.call("POST", "createRoom", {"room_version": "12"}) for _ in range(12)]
    refused = [answer for answer in answers if not answer.ok]
    assert {said(answer) for answer in refused} == {(429, "M_LIMIT_EXCEEDED")}
    assert refused[0].body["retry_after_ms"] > 50_000
    at = f"{ADMIN}/v1/users/{limited.user_id}/override_ratelimit"
    assert limited.do("GET", at) == {}
    lifted = {"messages_per_second": 0, "burst_count": 0}
    assert limited.do("POST", at, lifted) == lifted
    assert limited.do("GET", at) == lifted
    rooms = [limited.do("POST", "createRoom", {"room_version": "12"})["room_id"] for _ in range(12)]
    people = [synapse.make(f"many-{limited.user_id[1:].partition(':')[0]}-{number}") for number in range(25)]
    for person in people:
        assert limited.call("POST", f"rooms/{rooms[0]}/invite", {"user_id": person}).ok
        assert limited.call("POST", f"rooms/{rooms[0]}/kick", {"user_id": person}).ok
    for room in rooms:
        assert limited.call("POST", f"rooms/{room}/invite", {"user_id": people[0]}).ok


def test_joining_by_force_is_never_rationed(synapse: Synapse, limited: Account, mark: str) -> None:
    room = limited.do("POST", "createRoom", {"preset": "private_chat", "room_version": "12"})["room_id"]
    for number in range(30):
        person = synapse.make(f"many-{mark}-{number}")
        assert limited.call("POST", f"{ADMIN}/v1/join/{room}", {"user_id": person}).ok

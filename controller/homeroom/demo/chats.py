"""The chapter of chats: every class gets its chats on a real Synapse, and the right people are in them.

The first chats wait for somebody's word; then a class teacher finds three: staff room, students, parents. A guest whom
somebody let in is put out; an export that empties a class changes nothing; who takes the link to an account back is out
of the chats. Neighbours: `story` (tells the rest), `synapse` (the server, and the hands of people), `web` and
`browser` (the pages).
"""

from __future__ import annotations

import copy
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from homeroom.demo.browser import Browser
from homeroom.demo.stage import Records, Stage, message, wait_for
from homeroom.demo.synapse import Account, Synapse
from homeroom.demo.telling import proves, say, show, step
from homeroom.demo.web import Web

SERVER_NAME: Final = "lakeside.example"
"""What the accounts in the records end with."""
PLATFORM: Final = "matrix"
POLICY: Final = "classes"
SCHOOL: Final = "s-001"
"""Whose chats the story is about; none of its subjects has one."""
_NUMBER: Final = re.compile(r"enter this number there: ([A-Z0-9-]+)")
_ACCOUNT: Final = re.compile(r"\{Matrix:@([^:}]+):[^}]+\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A chat as somebody who is in it sees it. `members`: names of accounts."""

    id: str
    name: str
    topic: str
    members: frozenset[str]


def tell_of_chats(
    stage: Stage, records: Records, console: Console, *, synapse: Synapse, web: Web, browser: Browser
) -> None:
    """Tell it on a stage where the example district is accepted, and the pages are up."""
    teacher = synapse.account(class_teacher(records))
    _tell_of_filling(stage, records, console, synapse=synapse)
    _look(stage.directory, teacher, browser)
    _tell_of_a_guest(stage, console, synapse=synapse, teacher=teacher)
    _tell_of_an_emptied_class(stage, records, console, teacher=teacher)
    _tell_of_unlinking(console, parent=synapse.account(_parent(records)), web=web, browser=browser)


def _tell_of_filling(stage: Stage, records: Records, console: Console, *, synapse: Synapse) -> None:
    with step(
        console,
        "Chats for every class: kubectl apply -k examples/lakeside-chats",
        shows=f"on a Synapse where people have accounts: {len(_accounts(records))} of them are in the records",
    ):
        for localpart in _accounts(records):
            synapse.make(localpart)
        stage.declare_chats(homeserver=synapse.url, token=synapse.operator.token, school=SCHOOL)
        stage.wait_ready("chatplatform", PLATFORM)
        holds = stage.wait_held("chatpolicy", POLICY)
        proves("there is no chat before somebody has looked", not rooms_of(synapse.operator))
    say(console, f"  {message(stage.get('chatpolicy', POLICY))}")

    with step(console, "Somebody looks, and approves by a commit"):
        stage.approve(holds, of=POLICY, kind="ChatPolicy")
        stage.wait_ready("chatpolicy", POLICY)
    show(console, stage.kubectl("get", "chatplatforms,chatpolicies", "-n", stage.namespace))


def _look(directory: Path, teacher: Account, browser: Browser) -> None:
    """What the class teacher's program shows, as a page of ours."""
    rooms = rooms_of(teacher)
    proves("a class teacher has three chats: colleagues, students, parents", len(rooms) == 3)
    page = directory / "chats.html"
    page.write_text(_page(rooms))
    browser.open(page.as_uri())
    browser.picture("chats")


def _tell_of_a_guest(stage: Stage, console: Console, *, synapse: Synapse, teacher: Account) -> None:
    guest, (room, *_) = synapse.account("guest"), rooms_of(teacher)
    with step(console, "Somebody lets a guest into a class's chat, by hand", shows="out at once"):
        synapse.operator.do("POST", f"rooms/{room.id}/invite", {"user_id": guest.user_id})
        guest.do("POST", f"rooms/{room.id}/join", {})
        stage.run("chatpolicy", POLICY)
        wait_for("the guest is out", lambda: not rooms_of(guest))
        proves("everybody else is still there", rooms_of(teacher)[0] == room)


def _tell_of_an_emptied_class(stage: Stage, records: Records, console: Console, *, teacher: Account) -> None:
    before = rooms_of(teacher)
    with step(console, "An export that empties a class", shows="held: nobody loses a chat"):
        bad = copy.deepcopy(records)
        bad.remove("enrollments", classSourcedId=_homeroom(records), role="student")
        stage.publish(bad)
        stage.run("district", "lakeside")
        stage.wait_held("district", "lakeside")
        stage.run("chatpolicy", POLICY)
        proves("nobody lost a chat", rooms_of(teacher) == before)
    say(console, f"  {message(stage.get('district', 'lakeside'))}")

    with step(console, "The export is whole again"):
        stage.publish(records)
        stage.run("district", "lakeside")
        stage.wait_ready("district", "lakeside")
        stage.run("chatpolicy", POLICY)
        proves("nothing had to be changed", rooms_of(teacher) == before)


def _tell_of_unlinking(console: Console, *, parent: Account, web: Web, browser: Browser) -> None:
    with step(console, "A parent takes the link to the account back", shows="out of the chats within seconds"):
        (before,) = (room.id for room in rooms_of(parent))
        browser.open(f"{web.url}/chats/sign-in?lang=en")
        browser.enter("account", parent.user_id)
        browser.press("Send me a number in the chat")
        wait_for("a number in the chat", lambda: bool(_numbers(parent)))
        browser.picture("chat-number")

        def is_proven() -> bool:
            # A number counts from a moment after it is there, when the operator has written down that it was sent.
            browser.enter("number", _numbers(parent)[0])
            browser.press("Continue")
            return "Take the link back" in browser.words()

        wait_for("the number counts", is_proven)
        browser.picture("chat-account")
        browser.press("Take the link back")
        browser.press("Yes, take it back")
        wait_for("the parent is out", lambda: before not in {room.id for room in rooms_of(parent)})


def _numbers(account: Account) -> Sequence[str]:
    """The numbers that were sent to an account, as its program shows them."""
    rooms = account.do("GET", "joined_rooms")["joined_rooms"]
    latest = [account.do("GET", f"rooms/{room}/messages?dir=b&limit=5")["chunk"] for room in rooms]
    texts = [event["content"].get("body", "") for events in latest for event in events]
    return [found[1] for text in texts if (found := _NUMBER.search(text))]


def rooms_of(account: Account) -> Sequence[Room]:
    """The chats that somebody is in, by name; spaces, which only hold them, left out."""
    found = []
    for room in account.do("GET", "joined_rooms")["joined_rooms"]:
        state = {
            (event["type"], event["state_key"]): event["content"] for event in account.do("GET", f"rooms/{room}/state")
        }
        if state[("m.room.create", "")].get("type") == "m.space":
            continue
        found.append(
            Room(
                id=room,
                name=state.get(("m.room.name", ""), {}).get("name", ""),
                topic=state.get(("m.room.topic", ""), {}).get("topic", ""),
                members=frozenset(
                    key
                    for (kind, key), content in state.items()
                    if kind == "m.room.member" and content["membership"] == "join"
                ),
            )
        )
    return sorted(found, key=lambda room: room.name)


def _accounts(records: Records) -> dict[str, str]:
    """Local names of the Matrix accounts of the records, and whose (source id) they are."""
    return {found[1]: row["sourcedId"] for row in records.files["users"] if (found := _ACCOUNT.search(row["userIds"]))}


def _homeroom(records: Records) -> str:
    """A homeroom of the school, with students."""
    return records.rows("classes", schoolSourcedId=SCHOOL, classType="homeroom")[0]["sourcedId"]


def class_teacher(records: Records) -> str:
    """The account of the one whom the records call the teacher of that homeroom."""
    (taught,) = records.rows("enrollments", classSourcedId=_homeroom(records), role="teacher", primary="true")
    return next(account for account, person in _accounts(records).items() if person == taught["userSourcedId"])


def _parent(records: Records) -> str:
    """The account of somebody who is about one child of that homeroom, and about no other child."""
    accounts = {person: account for account, person in _accounts(records).items()}
    children = records.rows("enrollments", classSourcedId=_homeroom(records), role="student")
    families = [row["agentSourcedIds"].split(",") for row in records.files["users"]]
    for child in children:
        for agent in records.rows("users", sourcedId=child["userSourcedId"])[0]["agentSourcedIds"].split(","):
            if agent in accounts and sum(agent in family for family in families) == 1:
                return accounts[agent]
    raise LookupError("the sample has no such parent")


def _page(rooms: Sequence[Room]) -> str:
    rows = "".join(
        f"<li><h2>{html.escape(room.name)}</h2><p>{len(room.members)} people</p><p>{html.escape(room.topic)}</p></li>"
        for room in rooms
    )
    return _PAGE.replace("<!-- rows -->", rows)


_PAGE: Final = """\
<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Chats</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; margin: 0; background: #f4f5f7; color: #1d2129 }
  main { max-width: 34rem; margin: 0 auto; padding: 1rem }
  ul { list-style: none; margin: 0; padding: 0 }
  li { background: #fff; border: 1px solid #dfe2e8; border-radius: .75rem; padding: .75rem 1rem; margin: .5rem 0 }
  h1 { font-size: 1.25rem } h2 { font-size: 1rem; margin: 0 } p { margin: 0; color: #5b6270; font-size: .875rem }
</style>
<main><h1>Chats</h1><ul><!-- rows --></ul></main></html>
"""

"""Two hundred presses at once make one chat, one message and one widget: operator, API server and Synapse are real."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Barrier
from urllib.parse import quote

import pytest

from homeroom.chats.calls import CallState
from homeroom.chats.linking import Place
from homeroom.demo.stage import wait_for
from homeroom.errors import RefusedError
from homeroom.platforms.matrix.calls import PLACE, WIDGET
from homeroom.store import Call, Store

from .synapse_fixtures import Chats, desired
from .test_chats import School, school

__all__ = ["school"]
pytestmark = pytest.mark.integration

NUMBER = 200
MATHS = "c-37"  # Mathematics 5a
_MINUTES = 300.0


def texts(chats: Chats, room: str) -> list[str]:
    """What our account has said in a room, the oldest first."""
    chunk = chats.operator.do("GET", f"rooms/{quote(room)}/messages?dir=b&limit=100")["chunk"]
    said = [event["content"]["body"] for event in chunk if event["type"] == "m.room.message"]
    return said[::-1]


def widgets(chats: Chats, room: str) -> dict[str, str]:
    """The addresses that a room shows beside what is said."""
    state = chats.operator.do("GET", f"rooms/{quote(room)}/state")
    return {event["state_key"]: event["content"].get("url", "") for event in state if event["type"] == WIDGET}


async def test_everybody_in_a_chat_is_told_of_a_call_once(chats: Chats) -> None:
    ann, key = chats.account("ann"), chats.key("maths")
    await chats.sync(desired({key: [ann.user_id]}))
    (room,) = (await chats.read()).rooms.values()

    async def told(word: str, text: str = "begun") -> None:
        async with chats.platform() as platform:
            await platform.read([key])
            await platform.announce(key, text, url=f"https://meet.example/{word}", word=word)

    for word in ("one", "one", "two", "one", "two"):
        await told(word, f"begun: {word}")
    assert texts(chats, room) == ["begun: one", "begun: two"]
    assert widgets(chats, room) == {PLACE: "https://meet.example/two"}
    found = ann.do("GET", "sync?timeout=0")["rooms"]["join"][room]
    heard = [event["content"] for event in found["timeline"]["events"] if event["type"] == "m.room.message"]
    assert [event["body"] for event in heard] == ["begun: one", "begun: two"]
    assert not any(found["unread_notifications"].get("highlight_count", 0) for _ in heard)

    before = chats.events()
    await told("two")
    assert chats.events() == before
    view = await chats.read()
    assert [batch for batch in chats.plan(desired({key: [ann.user_id]}), view.actual) if batch] == []
    async with chats.platform() as platform:
        await platform.read([chats.key("nothing")])
        with pytest.raises(RefusedError):
            await platform.announce(chats.key("nothing"), "begun", url="https://meet.example/x", word="x")
        assert platform.address(room) == f"https://matrix.to/#/{quote(room, safe='!')}?via={chats.server.server_name}"


@dataclass
class Crowd:
    """Everybody who may press, and does, in the store of a school's operator."""

    school: School
    store: Store

    @property
    def here(self) -> dict[str, str]:
        return {"namespace": self.school.stage.namespace, "district": "lakeside"}

    def presses(self, title: str) -> str:
        """A lesson is added, and all start its call at the same moment; the one word of that call."""
        now, begin = datetime.now(UTC), Barrier(NUMBER)
        lesson = self.store.lessons.add(
            **self.here, class_id=MATHS, begins=now, ends=now + timedelta(hours=1), title=title, person="t-6", now=now
        )

        def press(who: int) -> Call | None:
            begin.wait()
            word = f"{lesson}-{who}"
            return self.store.lessons.press(lesson, **self.here, person=f"t-{who}", word=word, now=datetime.now(UTC))

        with ThreadPoolExecutor(NUMBER) as crowd:
            words = Counter(call.word for call in crowd.map(press, range(NUMBER)) if call is not None)
        assert list(words.values()) == [NUMBER], "they were told of different calls"
        wait_for("everybody was told", lambda: self.call(lesson).state is CallState.TOLD, seconds=_MINUTES)
        (word,) = words
        call = self.call(lesson)
        assert call.url == f"https://meet.example/{word}"
        assert call.chat is not None
        assert quote(self.room, safe="!") in call.chat
        return word

    def call(self, lesson: str) -> Call:
        found = self.store.lessons.call(lesson, Place(self.school.stage.namespace, "matrix", "lakeside"))
        assert found is not None
        return found

    @property
    def room(self) -> str:
        """The only one that there is."""
        (room,) = self.school.view().rooms.values()
        return room


@pytest.fixture
def crowd(school: School) -> Iterator[Crowd]:
    """In front of a school whose policy has chats of subjects, and of which there is none yet."""
    stage = school.stage
    subject = {"type": "Subject", "members": ["Teachers", "Students"]}
    template = {"urlTemplate": "https://meet.example/{call}"}
    stage.patch("chatpolicy", "chats", {"chats": [subject], "firstSync": "Automatic", "calls": template})
    stage.start()
    stage.wait_ready("chatpolicy", "chats", seconds=_MINUTES)
    assert school.view().rooms == {}, "there is a chat before anybody has called"
    store = Store.open(f"sqlite:///{stage.database}", stage.directory / "data", as_it_is=True)
    yield Crowd(school, store)
    store.close()


def test_two_hundred_presses_at_once_make_one_chat(crowd: Crowd) -> None:
    school, stage, chats = crowd.school, crowd.school.stage, crowd.school.chats
    word = crowd.presses("Fractions")
    view = school.view()
    ((key, room),) = view.rooms.items()
    assert view.names[key] == "Mathematics 5a Mathematics 5"
    rows = school.records.rows("enrollments", classSourcedId=MATHS, role="student")
    learners = {school.account(row["userSourcedId"]) for row in rows}
    there = {account for account, state in view.members[key].items() if state == "Joined"}
    assert len(there & learners) > len(learners) / 2
    assert texts(chats, room) == [f"Fractions\nThe call has begun: https://meet.example/{word}"]
    assert widgets(chats, room) == {PLACE: f"https://meet.example/{word}"}

    # Who leads the chat is asked about. Nothing else is done a second time, also not by an operator that starts anew.
    school.approve()
    stage.wait_ready("chatpolicy", "chats", seconds=_MINUTES)
    assert school.view().administrators[key]
    assert {one for one, state in school.view().members[key].items() if state == "Joined"} == there
    stage.kill()
    stage.start()
    again = crowd.presses("Decimals")
    assert crowd.room == room
    assert [text.partition("\n")[0] for text in texts(chats, room)] == ["Fractions", "Decimals"]
    assert widgets(chats, room) == {PLACE: f"https://meet.example/{again}"}

    lags = stage.metrics()
    assert "homeroom_call_lag_seconds_count 1.0" in lags
    (lag,) = re.findall(r"^homeroom_call_lag_seconds_sum ([0-9.]+)$", lags, re.MULTILINE)
    assert 0 < float(lag) < _MINUTES

"""Teachers connect, and start a call, as people do: in a real browser, and in what stands in for one in the demo."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from homeroom.chats.calls import CallState
from homeroom.chats.linking import NUMBER_LENGTH, LinkedBy
from homeroom.chats.records import LINKS_SCHEMA
from homeroom.demo.browser import Browser, PlainBrowser, chromium, chromium_here
from homeroom.demo.server import ServerError, reserved_port
from homeroom.seats import keys
from homeroom.store import Store
from homeroom.web.server import Settings, served

from .conftest import KEY, NOW, SCHOOLS, Clock, Postbox, serve_records
from .test_chats import tell_places
from .test_lessons import CLASSES, HERE, OF, PEOPLE, account, tell

Opened = Callable[[Path], AbstractContextManager[Browser]]


def plain(_pictures: Path) -> AbstractContextManager[Browser]:
    return nullcontext(PlainBrowser())


def real(pictures: Path) -> AbstractContextManager[Browser]:
    program = chromium_here()
    assert program is not None
    return chromium(program, pictures)


def shown(pictures: Path) -> set[str]:
    return {path.name for path in pictures.iterdir()}


none = pytest.mark.skipif(chromium_here() is None, reason="this machine has no Chromium on its PATH")


@pytest.mark.parametrize("opened", [plain, pytest.param(real, marks=none)])
async def test_a_teacher_connects(opened: Opened, store: Store, tmp_path: Path) -> None:
    mail, pictures = Postbox(), tmp_path / "pictures"

    def asks(browser: Browser) -> None:
        browser.open(f"{public}/connect?lang=en")
        browser.enter("key", keys.shown(KEY).lower())
        browser.enter("account", "Ann@north.example")
        browser.press("Send me a link")
        assert "Look into your mailbox" in browser.words()

    def connects(browser: Browser) -> None:
        ((_, _, text),) = mail.mails
        browser.open(next(word for word in text.split() if word.startswith(public)))
        browser.picture("link")
        browser.press("Connect")
        assert "Ann Berg (you)" in browser.words()
        with pytest.raises(ServerError, match="Remove"):
            browser.press("Remove")  # of nobody else

    with reserved_port(sharing=socket.SO_REUSEADDR) as port:
        public = f"http://127.0.0.1:{port}"
        settings = Settings(public_url=public, host="127.0.0.1", port=port, stop_seconds=1)
        async with served(settings, store=store, mailer=mail, clock=Clock()) as (_, desk):
            opening = opened(pictures)
            browser = await asyncio.to_thread(opening.__enter__)
            try:
                await asyncio.to_thread(asks, browser)
                await desk.settled()
                await asyncio.to_thread(connects, browser)
            finally:
                await asyncio.to_thread(opening.__exit__, None, None, None)
    connected = store.licences.connections(["n"]).select("licence", "teacher").rows()
    assert connected == [("north", "t-1")]
    shown = sorted(path.name for path in pictures.glob("*"))
    assert shown == ([] if opened is plain else ["link-phone.png", "link.png"])


@pytest.mark.parametrize("opened", [plain, pytest.param(real, marks=none)])
async def test_a_teacher_starts_a_call(opened: Opened, store: Store, tmp_path: Path) -> None:
    number = keys.new_key(lambda n: n // 2, length=NUMBER_LENGTH)
    pictures = Path(os.environ.get("HOMEROOM_PICTURES", tmp_path / "pictures"))  # `make pictures`
    serve_records(store, *SCHOOLS, *PEOPLE, *CLASSES)
    link = pl.DataFrame([("t-1", account("t-1"))], LINKS_SCHEMA, orient="row")
    store.links.note(link, place=HERE, by=LinkedBy.RECORDS, at=NOW, epoch=1)
    tell(store)
    tell_places(store, "North district")

    def teaches(browser: Browser) -> None:
        browser.open(f"{public}/chats/sign-in?lang=en")
        browser.enter("account", "t-1")
        browser.press("Send me a number in the chat")
        (asked,) = store.links.asked(namespace="n", platform="matrix", now=NOW)
        store.links.answered(asked, keys.digest(number), epoch=1)
        browser.enter("number", number)
        browser.press("Continue")
        browser.open(f"{public}/lessons/new?lang=en")
        for field, text in (("title", "Fractions"), ("day", "2026-10-01"), ("begins", "10:10"), ("ends", "10:55")):
            browser.enter(field, text)
        browser.picture("lesson-new")
        browser.press("Add")
        assert "Fractions" in browser.words()
        browser.picture("lessons")
        (lesson,) = store.lessons.of_classes(["k-1"], **OF, since=NOW, until=NOW + timedelta(days=1))["id"]
        browser.open(f"{public}/lessons/{lesson}?lang=en")
        browser.picture("lesson-start")
        browser.press("Start the call")
        assert "The call is being made." in browser.words()
        call = store.lessons.call(lesson, HERE)
        assert call is not None
        url, chat = f"https://meet.example/{call.word}", "https://matrix.to/#/!a:b?via=b"
        store.lessons.note(call, CallState.TOLD, platform="matrix", now=NOW, epoch=1, chat=chat, url=url)
        while "The call has begun." not in browser.words():
            if isinstance(browser, PlainBrowser):  # a real one looks again by itself
                browser.open(f"{public}/lessons/{lesson}?lang=en")
        assert "Go to the call" in browser.words()
        browser.picture("lesson")

    with reserved_port(sharing=socket.SO_REUSEADDR) as port:
        public = f"http://127.0.0.1:{port}"
        settings = Settings(public_url=public, host="127.0.0.1", port=port, stop_seconds=1)
        async with served(settings, store=store, mailer=Postbox(), clock=Clock()):
            opening = opened(pictures)
            browser = await asyncio.to_thread(opening.__enter__)
            try:
                await asyncio.to_thread(teaches, browser)
            finally:
                await asyncio.to_thread(opening.__exit__, None, None, None)
    assert opened is plain or shown(pictures) >= {f"{name}.png" for name in ("lessons", "lesson-phone", "lesson-start")}

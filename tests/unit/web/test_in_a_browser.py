"""A teacher connects as people do: in a real browser, and in what stands in for one in the demo."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from homeroom.demo.browser import Browser, PlainBrowser, chromium, chromium_here
from homeroom.demo.server import ServerError, reserved_port
from homeroom.seats import keys
from homeroom.store import Store
from homeroom.web.server import Settings, served

from .conftest import KEY, Clock, Postbox

Opened = Callable[[Path], AbstractContextManager[Browser]]


def plain(_pictures: Path) -> AbstractContextManager[Browser]:
    return nullcontext(PlainBrowser())


def real(pictures: Path) -> AbstractContextManager[Browser]:
    program = chromium_here()
    assert program is not None
    return chromium(program, pictures)


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

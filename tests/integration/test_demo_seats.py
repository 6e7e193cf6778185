"""The demo's chapter of seats holds, step by step: operator, web service, mail server and Kolibri together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from homeroom.demo.browser import PlainBrowser
from homeroom.demo.seats import OFFICE, teacher, tell_of_seats
from homeroom.demo.stage import RECORDS, Records, Stage
from homeroom.demo.web import Web, key_in

pytestmark = pytest.mark.integration


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with Web(tmp_path) as web:
        yield web


def test_the_chapter_of_seats_holds(synced: Stage, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, records = synced, Records(RECORDS)
    monkeypatch.setattr(stage, "options", (*stage.options, *web.options))
    stage.kill()
    stage.start()
    tell_of_seats(stage, records, Console(), web=web, browser=PlainBrowser())
    objects = stage.kubectl(
        "get", "learningapps,licensepools,schoollicenses,events", "-n", stage.namespace, "-o", "yaml"
    )
    told = objects + stage.log.read_text() + web.log.read_text()
    # What opens something, and whom it was mailed to. (The names of all people: test_end_to_end.)
    keys = [key_in(letter) for letter in web.mailbox.mails(OFFICE)]
    assert len(set(keys)) == 2
    assert [
        word for word in (*keys, OFFICE, teacher(records), "/link/") if word in told.replace("/link/{word", "")
    ] == []

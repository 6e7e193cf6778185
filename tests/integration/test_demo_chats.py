"""The demo's chapter of chats holds, step by step: operator, Synapse and people's programs together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from homeroom.demo.browser import PlainBrowser
from homeroom.demo.chats import SERVER_NAME, tell_of_chats
from homeroom.demo.server import default_cache
from homeroom.demo.stage import RECORDS, Records, Stage
from homeroom.demo.synapse import Synapse, installed
from homeroom.demo.web import Web

pytestmark = pytest.mark.integration


@pytest.fixture
def chat_server(tmp_path: Path) -> Iterator[Synapse]:
    """A Synapse whose accounts are those of the records."""
    with Synapse(installed(default_cache()), tmp_path / "synapse", server_name=SERVER_NAME) as server:
        yield server


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with Web(tmp_path) as web:
        yield web


def test_the_chapter_of_chats_holds(synced: Stage, web: Web, chat_server: Synapse) -> None:
    stage = synced
    web.start(store=stage.database, data=stage.directory / "data")
    tell_of_chats(stage, Records(RECORDS), Console(), synapse=chat_server, web=web, browser=PlainBrowser())
    objects = stage.kubectl("get", "chatplatforms,chatpolicies,events", "-n", stage.namespace, "-o", "yaml")
    told = objects + stage.log.read_text() + web.log.read_text()
    assert chat_server.operator.token not in told
    assert f":{SERVER_NAME}" not in told.replace(f"@support:{SERVER_NAME}", ""), "nobody's account is told"

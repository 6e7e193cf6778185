"""A teacher connects with a key, signs in, leaves, and removes a colleague who stopped (R15)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from tests.unit.mailserver import mail_server

from homeroom.mail import Mailer, MailServer
from homeroom.seats.keys import shown
from homeroom.store import Store, schema

from .conftest import KEY, NOW, SCHOOLS, SOUTH_KEY, Town, link_in, serve_records, tell, town_of, without


def ended(store: Store) -> list[tuple[str, str, str | None, datetime]]:
    """Connections that ended: whose, why, by whom, when."""
    table = schema.connection
    query = sa.select(table.c.teacher, table.c.ended, table.c.ended_by, table.c.ended_at)
    with store._engine.connect() as connection:
        rows = connection.execute(query.where(table.c.ended_at.is_not(None))).all()
    return [(teacher, why, by, at.replace(tzinfo=UTC)) for teacher, why, by, at in rows]


async def test_from_the_key_to_the_licence(town: Town) -> None:
    answer = await town.asked("ann@north.example", shown(KEY).lower())
    assert (answer.status, answer.location) == (303, "/sent")
    assert (await town.browser.get("/sent")).title == "Look into your mailbox"
    ((to, subject, text),) = town.mail.mails
    assert (to, subject) == ("Ann@north.example", "Your link to connect to a school licence")
    page = await town.browser.get(link_in(text))
    assert page.title == "Connect to North School?"
    assert town.connected == []
    pressed = await town.browser.post("/link", page.form("/link?lang=en"))
    assert (pressed.status, pressed.location) == (303, "/licences")
    assert town.connected == [("north", "t-1")]
    mine = await town.browser.get(pressed.location)
    assert "<dd>30</dd>" in mine.text
    assert "<dd>12</dd>" in mine.text
    assert "<bdi>Ann Berg</bdi> (you)" in mine.text


async def test_the_mail_goes_over_smtp(store: Store) -> None:
    with mail_server() as server:
        mailer = Mailer(MailServer.parse(f"smtp+plain://127.0.0.1:{server.port}", sender="licences@north.example"))
        async with town_of(store, mailer) as town:
            await town.asked("1001", lang="?lang=sv")
            ((sender, to, mail),) = server.mails
            assert (sender, to) == ("licences@north.example", "Ann@north.example")
            assert mail["Subject"] == "Din länk för att ansluta till en skollicens"
            assert mail["Content-Language"] == "sv"
            page = await town.browser.get(link_in(mail.get_content()))
            assert page.title == "Ansluta till North School?"


@pytest.mark.parametrize("account", ["ANN@NORTH.EXAMPLE", " anna ", "1001"])
async def test_people_are_known_by_what_the_records_have(town: Town, account: str) -> None:
    await town.asked(account)
    assert [to for to, _, _ in town.mail.mails] == ["Ann@north.example"]


async def test_who_is_connected_signs_in_without_the_key(town: Town) -> None:
    await town.asked("anna", None)
    assert town.mail.mails == []
    await town.signed_in("anna")
    await town.browser.post("/sign-out")
    assert (await town.browser.get("/licences")).location == "/sign-in"
    page = await town.signed_in("anna", None)
    assert page.title == "Your school licences"
    assert town.connected == [("north", "t-1")]


async def test_connecting_twice_is_once(town: Town) -> None:
    await town.signed_in("anna")
    await town.signed_in("anna")
    assert town.connected == [("north", "t-1")]


@pytest.mark.parametrize(("used", "waiting", "full"), [(29, 0, False), (30, 0, True), (12, 3, True)])
async def test_a_full_licence_says_what_happens(town: Town, used: int, waiting: int, *, full: bool) -> None:
    tell(town.store, used=used, waiting=waiting)
    page = await town.browser.get(await town.link("anna"))
    assert ("All seats are in use" in page.text) is full
    assert page.form("/link?lang=en")


async def test_leaving_is_asked_again(town: Town) -> None:
    page = await town.signed_in("anna")
    asked = await town.browser.post("/licences/leave", page.form("/licences/leave"))
    assert asked.title == "Leave North School?"
    assert town.connected == [("north", "t-1")]
    done = await town.browser.post("/licences/leave", asked.form("/licences/leave"))
    assert done.location == "/licences"
    assert town.connected == []
    assert ended(town.store) == [("t-1", "Left", None, NOW)]
    assert "You are not connected" in (await town.browser.get("/licences")).text


async def test_a_colleague_is_removed_and_it_is_noted_who_did_it(town: Town) -> None:
    await town.signed_in("bo@north.example")
    town.browser.cookies.clear()
    page = await town.signed_in("anna")
    asked = await town.browser.post("/licences/remove", page.form("/licences/remove", teacher="t-2"))
    assert asked.title == "Remove Bo Carlsson from North School?"
    assert len(town.connected) == 2
    town.clock.forward(minutes=5)
    await town.browser.post("/licences/remove", asked.form("/licences/remove"))
    assert town.connected == [("north", "t-1")]
    assert ended(town.store) == [("t-2", "Removed", "t-1", town.clock.now())]


async def test_of_two_licences_each_shows_its_own(town: Town) -> None:
    await town.signed_in("cay@south.example", SOUTH_KEY)
    town.browser.cookies.clear()
    page = await town.signed_in("anna")
    assert "North School" in page.text
    assert "South School" not in page.text
    assert "Cay" not in page.text


async def test_a_colleague_who_is_no_teacher_any_more_is_shown_by_id(town: Town) -> None:
    await town.signed_in("bo@north.example")
    page = await town.signed_in("anna")
    serve_records(town.store, *SCHOOLS, *without("t-2"))
    page = await town.browser.get("/licences")
    assert "No longer among the school&#39;s teachers (t-2)" in page.text

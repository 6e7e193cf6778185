"""What people do on the pages, the next run acts upon, and tells the page: seats for students, a chat for a lesson."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from tests.unit.reconcile import test_calls as calls
from tests.unit.reconcile.chatnights import ChatNights
from tests.unit.reconcile.chatnights import account as chat_account
from tests.unit.reconcile.test_keys import held, licence, pupils, teacher
from tests.unit.reconcile.test_licensepool import POOL, World

from homeroom.chats.linking import Proof
from homeroom.reconcile.linking import KIND as LINKING
from homeroom.reconcile.ports import Key
from homeroom.store import Visit
from homeroom.web.desk import word

from .conftest import Town, town_of


def account(world: World, person: str) -> str:
    (row,) = (row for row in world.records.rows("users") if row["sourcedId"] == person)
    assert row["email"]
    return row["email"]


async def seen(town: Town) -> list[int]:
    """Seats granted and used, and students who wait, as the page shows them."""
    text = (await town.browser.get("/licences")).text
    return [int(part.partition("<")[0]) for part in text.split("<dd>")[1:]]


async def test_a_teacher_connects_and_the_next_run_seats_their_students(tmp_path: Path) -> None:
    world = await World.with_pool(tmp_path)
    key, person = licence(world), teacher(world)
    await world.run(POOL)
    assert world.granted(key) == ("Granted", 400, 0)
    number = pupils(world, person)
    async with town_of(world.store) as town:
        town.clock.moment = world.now
        page = await town.signed_in(account(world, person), held(world))
        assert "Rowan Hill" in page.text
        assert await seen(town) == [400, 0, 0]
        await world.again()
        assert world.granted(key) == ("Granted", 400, number)
        assert await seen(town) == [400, number, 0]
        assert await world.again() == 0

        # Deleting the licence ends all of it: for who is connected, and for whoever has the key.
        await world.delete(key)
        assert "You are not connected to any school licence." in (await town.browser.get("/licences")).text
        await town.asked(account(world, person), held(world))
        await town.asked(account(world, person), None)
        assert len(town.mail.mails) == 1


async def test_200_presses_make_one_chat_and_the_pages_lead_to_the_call(tmp_path: Path) -> None:
    here = await ChatNights.filled(tmp_path)
    await calls.with_subjects(here)
    await here._handlers[LINKING](Key(LINKING, "lakeside", "matrix"))
    section, before = calls.classes(here)[0], set(here.server.rooms)
    lesson = calls.lesson(here, section)
    async with town_of(here.store) as town:
        town.clock.moment, browser = here.now, town.browser

        def enters(role: str) -> None:
            made, digest = word()
            person = min(calls.people(here, section, role))
            ends = here.now + timedelta(minutes=30)
            visit = Visit(
                place=calls.PLACE, language="English", expires_at=ends, account=chat_account(person), proof=Proof.PROVEN
            )
            here.store.links.begin(visit, digest=digest, now=here.now)
            browser.cookies = {"__Host-homeroom-chats": made}

        enters("student")
        assert "The call has not begun." in (await browser.get(f"/lessons/{lesson}")).text
        enters("teacher")
        fields = (await browser.get(f"/lessons/{lesson}")).form("/lessons/start")
        await asyncio.gather(*(browser.post("/lessons/start", fields) for _ in range(200)))
        await calls.look(here)
        assert len(calls.new(here, before)) == 1
        ((_, _, url),) = here.chats.announced
        for role in ("teacher", "student"):
            enters(role)
            assert f'href="{url}"' in (await browser.get(f"/lessons/{lesson}")).text
    here.store.close()

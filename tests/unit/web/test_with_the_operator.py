"""The key that a run made connects a teacher on the page; the next run seats their students, and tells the page."""

from __future__ import annotations

from pathlib import Path

from tests.unit.reconcile.test_keys import held, licence, pupils, teacher
from tests.unit.reconcile.test_licensepool import POOL, World

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

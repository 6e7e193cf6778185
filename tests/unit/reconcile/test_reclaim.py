"""Seats that nobody uses, in whole runs of an app and its pool: counted, told, and given to who waits."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.unit.reconcile.nights import APP
from tests.unit.reconcile.test_licensepool import PLACE, POOL, World

from homeroom.reconcile.ports import Key
from homeroom.store import JournalQuery

WAIT = 5
ROWAN = Key("SchoolLicense", "lakeside", "rowan")


class Used(World):
    """One school has a licence for all its students but five; the app tells when its accounts were used."""

    async def pass_days(self, days: int, *, step: int = 10) -> None:
        """Time passes, with a run every few days, so that nobody takes the clock for wrong."""
        while days > 0:
            self.now += timedelta(days=min(step, days))
            days -= step
            await self.run(APP, POOL)

    def log_in(self, *people: str) -> None:
        assert self.opened.logins is not None
        self.opened.logins |= dict.fromkeys(people, self.now)

    def holders(self) -> set[str]:
        return set(self.seating().seats["student"])

    def known(self) -> list[str]:
        """Students with a seat and an account: of whom something is known."""
        return sorted(self.holders() & {str(one.key) for one in self.product.people.values() if not one.suspended})

    def causes(self, person: str) -> list[str]:
        found = self.store.history(JournalQuery(namespace="lakeside", person=person))
        return [str(cause) for cause in found["cause"]][::-1]

    def counts(self, key: Key) -> tuple[Any, Any]:
        status = self.status(key)
        return status.get("activeStudents"), status.get("idleSeats")


async def used(directory: Path, **pool: Any) -> Used:
    world = Used(directory)
    await world.open_pool(inactiveAfter="30d", reclaimNotice="7d", **pool)
    world.licence("rowan", world.students("s-001") - WAIT)
    guard = {"maxDeletes": "100%", "maxClassShrink": "100%", "maxAdditions": "100%"}
    app = {"removal": {"grace": "0s"}, "firstSync": "Automatic", "guard": guard}
    world.declare(APP, seating={"poolRef": {"name": POOL.name}}, **app)
    world.opened.logins = {}
    await world.run(POOL, APP)
    await world.approve(*world.holds(APP), of=APP)  # administrators
    await world.run(APP)  # which reads the accounts that it has made
    assert len(world.known()) > 2 * WAIT
    return world


@pytest.fixture(scope="module")
def in_use(tmp_path_factory: pytest.TempPathFactory) -> Used:
    """Made once; nobody changes it."""
    return Used.begun(used(tmp_path_factory.mktemp("in-use"), reclaim="Reclaim", reclaimAtMost="100%"))


@pytest.fixture
def world(in_use: Used, tmp_path: Path) -> Used:
    return Used.after(in_use, tmp_path)


async def test_a_log_in_shows_within_one_run(world: Used) -> None:
    assert (world.counts(POOL), world.counts(ROWAN)) == ((0, 0), (0, 0))
    assert world.said(POOL, "ActivityFresh").startswith("ActivityFresh: ")
    one, two, *_ = world.known()
    world.log_in(one, two)
    await world.run(APP)
    assert (world.counts(POOL), world.counts(ROWAN)) == ((2, 0), (2, 0))
    writes = world.cluster.writes
    await world.run(APP, POOL)
    assert world.cluster.writes == writes


async def test_an_idle_seat_goes_to_who_waits_once_the_notice_is_over(world: Used) -> None:
    before, known = world.holders(), world.known()
    await world.pass_days(31)
    assert world.counts(ROWAN) == (0, len(known))
    assert world.holders() == before
    await world.pass_days(6)
    assert world.holders() == before
    await world.pass_days(1)
    gone, come = before - world.holders(), world.holders() - before
    assert (len(gone), len(come)) == (WAIT, WAIT)
    assert gone <= set(known)
    for person in gone:
        assert world.causes(person)[-1] == "SeatReclaimed"
    assert set(world.seating().reclaimed["student"]) == gone
    assert world.counts(ROWAN) == (0, len(known) - WAIT)
    assert world.status(ROWAN)["waitingStudents"] == WAIT
    await world.run(APP)  # which reads the accounts of those who came
    holders, writes = world.seating(), world.cluster.writes
    await world.run(APP, POOL)
    assert (world.seating().equals(holders), world.cluster.writes) == (True, writes)


async def test_who_lost_a_seat_gets_none_of_who_is_as_idle_and_a_free_one_after_a_new_start(world: Used) -> None:
    before = world.holders()
    await world.pass_days(31)
    await world.pass_days(7)
    gone, after = before - world.holders(), world.holders()
    await world.pass_days(1)
    assert world.holders() == after, "those who are as idle keep theirs"
    world.declare(ROWAN, seats=world.students("s-001"))
    await world.run(POOL, APP)
    assert gone <= world.holders()
    assert world.seating().reclaimed.is_empty()
    assert {world.causes(person)[-1] for person in gone} == {"SeatsChanged"}


async def test_where_nobody_waits_nothing_is_taken(world: Used) -> None:
    world.declare(ROWAN, seats=world.students("s-001"))
    await world.run(POOL)
    before = world.holders()
    await world.pass_days(60)
    assert world.holders() == before
    assert world.counts(POOL)[1] > 0


async def test_use_ends_the_notice(world: Used) -> None:
    await world.pass_days(31)
    known = world.known()
    world.log_in(*known)
    await world.pass_days(7)
    assert world.counts(POOL) == (len(known), 0)
    assert world.seating().noticed.is_empty()
    assert world.seating().reclaimed.is_empty()


async def test_no_more_than_a_share_is_reclaimed_on_one_day(tmp_path: Path) -> None:
    world = await used(tmp_path, reclaim="Reclaim", reclaimAtMost="1%", seats=101)
    assert world.granted(ROWAN)[0] == "Granted"
    await world.pass_days(31)
    await world.pass_days(7)
    assert world.seating().reclaimed.height == 2, "1 % of 101, rounded up"
    for _ in range(2):
        world.now += timedelta(hours=1)
        await world.run(APP, POOL)
    assert world.seating().reclaimed.height == 2
    await world.pass_days(1)
    assert world.seating().reclaimed.height == 4


async def test_a_report_takes_nothing(tmp_path: Path) -> None:
    world = await used(tmp_path)
    before = world.holders()
    await world.pass_days(60)
    assert world.counts(ROWAN) == (0, len(world.known()))
    assert world.holders() == before


@pytest.mark.parametrize("stale", ["plugin gone", "app suspended", "told too long ago", "no app"])
async def test_nothing_is_reclaimed_where_use_is_not_known(world: Used, stale: str) -> None:
    await world.pass_days(31)
    before, told, counts = world.holders(), world.seating().noticed, world.counts(POOL)
    assert told.height == counts[1] > 0
    if stale == "plugin gone":
        world.opened.logins = None
        await world.pass_days(20)
    elif stale == "app suspended":
        world.declare(APP, suspend=True)
        await world.pass_days(20)
    elif stale == "told too long ago":
        for _ in range(5):
            world.now += timedelta(days=4)
            await world.run(POOL)
    else:
        world.declare(APP, suspend=True, seating=None)
        await world.pass_days(20)
    assert world.reason(POOL, "ActivityFresh") == "ActivityStale"
    assert (world.holders(), world.counts(POOL)) == (before, counts)
    assert world.seating().noticed.equals(told)
    assert world.reason(POOL) == "Succeeded"


async def test_a_pool_without_an_app_says_so(tmp_path: Path) -> None:
    world = await World.with_pool(tmp_path)
    world.licence("rowan", 10)
    await world.run(POOL)
    assert world.said(POOL, "ActivityFresh").startswith("ActivityStale: no LearningApp goes by the seats of this pool")
    assert "activeStudents" not in world.status(POOL)
    assert await world.again() == 0


async def test_a_plugin_that_is_gone_stops_no_roster_and_is_told_in_the_same_run(world: Used) -> None:
    world.opened.logins = None
    await world.run(APP)
    assert world.reason(APP) == "Succeeded"
    words = "LearningApp 'lakeside/kolibri' did not tell of late when its accounts were used: nothing is reclaimed"
    assert world.said(POOL, "ActivityFresh") == f"ActivityStale: {words}"
    world.opened.logins = {}
    await world.run(APP)
    assert world.reason(POOL, "ActivityFresh") == "ActivityFresh"


async def test_a_clock_that_jumps_takes_no_seat_and_every_notice_begins_anew(world: Used) -> None:
    await world.pass_days(31)
    before = world.holders()
    world.now += timedelta(days=300)
    await world.run(APP, POOL)
    assert world.holders() == before
    assert set(world.seating().noticed["noticed"]) == {world.now.date()}
    await world.pass_days(6)
    assert world.holders() == before
    world.now -= timedelta(days=306)
    await world.run(APP, POOL)
    assert world.holders() == before
    assert set(world.seating().noticed["noticed"]) <= {world.now.date()}


async def test_nobody_unknown_loses_a_seat(world: Used) -> None:
    """A school that cannot be read: nobody with an account there does, also who has another one elsewhere."""
    await world.pass_days(31)
    before, told = world.holders(), world.seating().noticed
    here = {str(one.key) for one in world.product.people.values() if one.school == "s-001"}
    world.opened.unsure = ("s-001",)
    await world.pass_days(30)
    assert before & here <= world.holders()
    assert told.filter(pl.col("student").is_in(here)).height == len(before & here)
    assert set(told["student"]) & here <= set(world.seating().noticed["student"])
    assert "they tell nothing" in world.said(POOL, "ActivityFresh")


async def test_an_app_that_is_gone_leaves_nothing_of_whom_it_told(world: Used) -> None:
    assert not world.store.use.activity(namespace=APP.namespace, app=APP.name).is_empty()
    del world.cluster.objects[APP]
    await world.run(APP)
    assert world.store.use.activity(namespace=APP.namespace, app=APP.name).is_empty()


async def test_each_day_is_remembered_once(world: Used) -> None:
    def days() -> tuple[pl.DataFrame, pl.DataFrame]:
        return world.store.use.days(**PLACE, since=date.min, until=date.max)

    first = world.now.date()
    await world.pass_days(2, step=1)
    world.log_in(world.known()[0])
    await world.run(APP)
    pool, licences = days()
    granted = world.students("s-001") - WAIT
    assert pool["day"].to_list() == [first + timedelta(days=number) for number in range(3)]
    assert pool.row(-1)[1:] == (1000, granted, granted, granted + WAIT, 1)
    assert licences.row(-1)[1:] == ("lakeside/rowan", granted, granted, granted + WAIT, 1)
    world.opened.logins = None
    await world.run(APP)
    assert days()[0]["active"].to_list() == [0, 0, None], "of a day on which it was not known at the end, it is not"
    world.now += timedelta(days=300)
    await world.run(POOL)
    assert days()[0].height == 3, "while the clock is in doubt nobody knows which day it is"

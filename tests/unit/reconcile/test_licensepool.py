"""Whole runs of a pool of the example district: who is granted what, who holds a seat, and what each resource says.

How many students a school has is read from the records, so that the example may grow.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import polars as pl
import pytest
from tests.unit.reconcile.nights import DISTRICT, Nights

from homeroom.api import FINALIZER, KINDS, parse
from homeroom.api.conditions import violations
from homeroom.reconcile.ports import Key, Object, key_of
from homeroom.reconcile.routes import routes
from homeroom.store import Seating

POOL = Key("LicensePool", "lakeside", "seats")
PLACE = {"namespace": POOL.namespace, "pool": POOL.name}
UNITS = [{"code": "0001", "name": "Rowan Hill"}, {"code": "0002", "name": "Sable Creek"}]
CLOSED = {"code": "0003", "name": "Sparrow Park", "status": "Closed"}


class World(Nights):
    """A pool, its licences, and the example district with its records read."""

    @classmethod
    async def with_pool(cls, directory: Path, before: Nights | None = None, **pool: Any) -> Self:
        """`before`: the world in which the records were read already, if there is one."""
        here = cls(directory) if before is None else cls.after(before, directory)
        await here.open_pool(**pool)
        return here

    async def open_pool(self, **pool: Any) -> None:
        """Somebody buys seats, where the records were read."""
        if is_first := not self.export.exists():
            self.publish()
        spec = {
            "seats": 1000,
            "timeZone": "Europe/Stockholm",
            "unitRegistry": {"type": "Inline", "units": [*UNITS, CLOSED]},
            "contact": "https://intranet.example",
        }
        self._put(POOL, {**spec, **pool})
        await self.run(*([DISTRICT] if is_first else []), POOL)

    def _put(self, key: Key, spec: Mapping[str, Any]) -> None:
        self.now += timedelta(seconds=1)
        meta = {"name": key.name, "namespace": key.namespace, "creationTimestamp": self.now.isoformat()}
        self.cluster.put(
            {"apiVersion": "homeroom.dev/v1alpha1", "kind": key.kind, "metadata": meta, "spec": dict(spec)}
        )

    def licence(
        self, name: str, seats: int, *, school: str | None = "s-001", namespace: str = "lakeside", **spec: Any
    ) -> Key:
        """Somebody commits a licence; `school` None: it names none, so its unit tells."""
        key = Key("SchoolLicense", namespace, name)
        wanted = {
            "poolRef": {"name": POOL.name, "namespace": POOL.namespace},
            "schoolUnit": "0001" if school == "s-001" else "0002",
            "seats": seats,
            "access": "Automatic",
            "districtRef": {"name": "lakeside"},
            **({"school": school} if school is not None else {}),
        }
        self._put(key, {**wanted, **spec})
        return key

    def students(self, school: str) -> int:
        """How many learn in some class of a school."""
        return len({row["userSourcedId"] for row in self.enrolled(school)})

    def enrolled(self, school: str) -> list[dict[str, str]]:
        return self.records.rows("enrollments", schoolSourcedId=school, role="student")

    async def delete(self, key: Key) -> None:
        """Somebody deletes a resource; without a finalizer it is gone at once."""
        obj = self.cluster.objects[key]
        cluster: Any = self.cluster
        if obj["metadata"].get("finalizers"):
            meta = {**obj["metadata"], "deletionTimestamp": self.now.isoformat()}
            self.cluster.objects[key] = {**obj, "metadata": meta}
            await self.run(*routes(cluster, obj, self.cluster.objects[key]))
        else:
            del self.cluster.objects[key]
            await self.run(*routes(cluster, obj, None))

    def status(self, key: Key) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.cluster.objects[key]["status"]
        return found

    def reason(self, key: Key, kind: str = "Ready") -> str:
        return self.said(key, kind).partition(":")[0]

    def granted(self, key: Key) -> tuple[str, int, int]:
        """Why, how many, and how many of them are used."""
        status = self.status(key)
        return self.reason(key, "SeatsGranted"), status["granted"], status["used"]

    def seating(self) -> Seating:
        return self.store.seating(**PLACE)

    async def again(self) -> int:
        """Another run of the pool; how often it wrote."""
        before = self.cluster.writes
        self.now += timedelta(minutes=5)
        await self.run(POOL)
        return self.cluster.writes - before


@pytest.fixture
async def world(first_reading: Nights, tmp_path: Path) -> World:
    return await World.with_pool(tmp_path, first_reading)


async def test_what_is_requested_is_granted_and_students_are_seated(world: World) -> None:
    key = world.licence("rowan", 400)
    await world.run(POOL)
    students = world.students("s-001")
    assert world.granted(key) == ("Granted", 400, students)
    status = world.status(key)
    assert (status["demand"], status["waitingStudents"], status["unitName"]) == (students, 0, "Rowan Hill")
    assert world.said(key) == "Granted: 400 seats granted"
    assert (world.reason(key, "SchoolUnitResolved"), world.reason(key, "Seated")) == ("UnitResolved", "Seated")
    pool = world.status(POOL)
    assert {name: pool[name] for name in ("capacity", "granted", "used", "demand", "licenses")} == {
        "capacity": 1000,
        "granted": 400,
        "used": students,
        "demand": students,
        "licenses": 1,
    }
    assert world.said(POOL) == f"Succeeded: 400 of 1,000 seats granted, {students:,} used"


async def test_students_beyond_the_grant_wait_and_do_not_count_as_use(world: World) -> None:
    """Safety row 17."""
    key = world.licence("rowan", 10)
    await world.run(POOL)
    students = world.students("s-001")
    assert world.granted(key) == ("Granted", 10, 10)
    assert (world.status(key)["demand"], world.status(key)["waitingStudents"]) == (students, students - 10)
    assert world.reason(key, "Seated") == "Full"
    assert world.said(key) == f"Granted: 10 seats granted; {students - 10:,} students wait for a seat"
    seated = world.store.seated("lakeside/seats", district="lakeside/lakeside")
    learn = sorted({row["userSourcedId"] for row in world.enrolled("s-001")})
    assert seated.students.to_list() == learn[:10]
    accepted = world.store.accepted(namespace="lakeside", district="lakeside")
    assert accepted is not None
    assert seated.digest == accepted.serving


async def test_a_second_run_writes_nothing(world: World) -> None:
    for name in ("a", "b", "c"):
        world.licence(name, 400)
    await world.run(POOL)
    before = world.seating()
    assert await world.again() == 0
    assert world.seating().equals(before)


async def test_one_write_per_licence_and_one_more_for_each_that_is_used(world: World) -> None:
    before = world.cluster.writes
    for number in range(20):
        world.licence(f"empty-{number}", 1, school="s-999", schoolUnit="0001")
    world.licence("rowan", 400)
    await world.run(POOL)
    assert world.cluster.writes - before == 21 + 1 + 1  # a status each, one finalizer, and the pool's own


async def test_a_licence_waits_and_is_served_when_another_is_gone(world: World) -> None:
    first = world.licence("first", 700)
    second = world.licence("second", 400, school="s-002")
    await world.run(POOL)
    assert world.granted(second) == ("WaitingForSeats", 0, 0)
    assert "waits until 100 more fall free" in world.said(second)
    assert world.said(second).endswith("; ask https://intranet.example")
    assert FINALIZER in world.cluster.objects[first]["metadata"]["finalizers"]
    await world.delete(first)
    assert first not in world.cluster.objects
    assert world.granted(second)[:2] == ("Granted", 400)
    assert set(world.seating().seats["licence"]) == {"lakeside/second"}


async def test_a_licence_that_nobody_uses_has_no_finalizer_and_gives_its_seats_back(world: World) -> None:
    first = world.licence("first", 700, school="s-999")
    second = world.licence("second", 400)
    await world.run(POOL)
    assert not world.cluster.objects[first]["metadata"].get("finalizers")
    assert world.reason(first) == "SchoolNotFound"
    await world.delete(first)
    assert world.granted(second)[:2] == ("Granted", 400)


async def test_a_typing_error_of_9999_is_in_nobodys_way(tmp_path: Path) -> None:
    world = await World.with_pool(tmp_path, queue="StrictFIFO")
    typo = world.licence("typo", 9999)
    other = world.licence("other", 1000, school="s-002")
    await world.run(POOL)
    assert world.granted(typo) == ("ExceedsPool", 0, 0)
    assert world.granted(other)[:2] == ("Granted", 1000)


async def test_fewer_seats_than_are_in_use_keeps_those_and_follows_use_down(world: World) -> None:
    """R17: a resize never evicts a student."""
    key = world.licence("rowan", 400)
    await world.run(POOL)
    students = world.students("s-001")
    world.declare(key, seats=40)
    await world.run(POOL)
    assert world.granted(key) == ("BelowUsage", students, students)
    assert f"40 seats requested, {students} in use; keeps {students} until use drops" in world.said(key)
    gone = sorted({row["userSourcedId"] for row in world.enrolled("s-001")})[:3]
    for user in gone:
        world.records.remove("enrollments", userSourcedId=user)
    await world.night()
    assert world.granted(key) == ("BelowUsage", students, students), "a leaver keeps the seat for the grace"
    assert world.status(key)["demand"] == students - 3
    world.now += timedelta(days=7)
    await world.run(POOL)
    assert world.granted(key) == ("BelowUsage", students - 3, students - 3)
    assert await world.again() == 0


async def test_an_absence_of_a_night_costs_no_seat(world: World) -> None:
    """Safety row 18."""
    key = world.licence("rowan", world.students("s-001"))
    await world.run(POOL)
    before = world.seating().seats
    absent = world.enrolled("s-001")
    user = absent[0]["userSourcedId"]
    kept = world.records.files["enrollments"]
    world.records.files["enrollments"] = [row for row in kept if row["userSourcedId"] != user]
    await world.night()
    assert world.seating().seats["student"].to_list() == before["student"].to_list()
    world.records.files["enrollments"] = kept
    await world.night()
    assert world.seating().seats.equals(before)
    assert world.granted(key)[0] == "Granted"


async def test_whoever_is_denied_loses_the_seat_at_once(world: World) -> None:
    world.licence("rowan", 400)
    await world.run(POOL)
    user = world.enrolled("s-001")[0]["userSourcedId"]
    assert user in world.seating().seats["student"].to_list()
    world.declare(DISTRICT, deny=[{"person": user}])
    await world.run(POOL)
    assert user not in world.seating().seats["student"].to_list()


async def test_a_pool_that_is_gone_takes_nothing_and_gives_nothing(world: World) -> None:
    """Safety row 16."""
    key = world.licence("rowan", 400)
    await world.run(POOL)
    before, students = world.seating(), world.students("s-001")
    pool = world.cluster.objects[POOL]
    await world.delete(POOL)
    late = world.licence("late", 5, school="s-002")
    await world.run(POOL)
    assert world.granted(key) == ("PoolNotFound", 400, students)
    assert world.granted(late) == ("PoolNotFound", 0, 0)
    assert world.said(key).startswith("PoolNotFound: LicensePool 'lakeside/seats' is missing")
    assert world.seating().seats.equals(before.seats)
    assert await world.again() == 0
    world.cluster.objects[POOL] = pool
    await world.run(POOL)
    assert world.granted(key) == ("Granted", 400, students)
    assert world.seating().seats.filter(licence="lakeside/rowan").equals(before.seats)


async def test_a_licence_of_a_pool_that_is_gone_can_be_removed(world: World) -> None:
    key = world.licence("rowan", 400)
    await world.run(POOL)
    await world.delete(POOL)
    await world.delete(key)
    assert key not in world.cluster.objects
    assert world.seating().equals(Seating()), "nothing is left of it"


async def test_when_neither_pool_nor_licence_is_declared_nothing_is_remembered(world: World) -> None:
    unused = world.licence("unused", 5, school="s-999")
    await world.run(POOL)
    await world.delete(POOL)
    assert world.seating().grants.height == 1
    await world.delete(unused)
    assert world.seating().equals(Seating())


async def test_a_school_that_the_records_lack_takes_nobodys_seat(world: World) -> None:
    key = world.licence("rowan", 10)
    await world.run(POOL)
    before = world.seating().seats
    world.declare(key, school="s-01")
    for _ in range(2):
        world.now += timedelta(days=8)
        await world.run(POOL)
    assert world.reason(key) == "SchoolNotFound"
    assert world.seating().seats.equals(before)


@pytest.mark.parametrize("code", ["00001", "s-001"], ids=["identifier", "source id"])
@pytest.mark.parametrize("registry", ["Inline", "Source"])
async def test_the_code_of_a_unit_is_the_identifier_or_the_source_id_of_its_school(
    tmp_path: Path, code: str, registry: str
) -> None:
    register: dict[str, Any] = {"type": "Source", "districtRef": {"name": "lakeside"}}
    if registry == "Inline":
        register = {"type": "Inline", "units": [{"code": code, "name": "Rowan Hill Elementary School"}]}
    world = await World.with_pool(tmp_path, unitRegistry=register)
    key = world.licence("rowan", 400, school=None, schoolUnit=code)
    await world.run(POOL)
    assert world.granted(key) == ("Granted", 400, world.students("s-001"))
    assert world.status(key)["unitName"] == "Rowan Hill Elementary School"


async def test_an_identifier_of_several_schools_means_none_of_them(tmp_path: Path) -> None:
    world = await World.with_pool(tmp_path, unitRegistry={"type": "Source", "districtRef": {"name": "lakeside"}})
    unit = {"schoolUnit": "00001"}
    guessed, named = world.licence("guessed", 400, school=None, **unit), world.licence("named", 400, **unit)
    for row in world.records.rows("orgs", type="school"):
        row["identifier"] = "00001"
    await world.night()
    await world.run(POOL)
    assert world.said(guessed, "Seated").startswith(
        "SchoolNotFound: several schools of the records have the identifier '00001': set `spec.school`"
    )
    assert world.granted(guessed) == ("Granted", 400, 0)
    assert world.granted(named) == ("Granted", 400, world.students("s-001"))


async def test_an_identifier_goes_before_a_source_id(tmp_path: Path) -> None:
    world = await World.with_pool(tmp_path, unitRegistry={"type": "Source", "districtRef": {"name": "lakeside"}})
    (other,) = world.records.rows("orgs", sourcedId="s-002")
    other["identifier"] = "s-001"
    await world.night()
    key = world.licence("rowan", 400, school=None, schoolUnit="s-001")
    by_key = world.licence("sable", 400, school=None, schoolUnit="s-001", access="Key")
    await world.run(POOL)
    assert world.status(key)["unitName"] == other["name"]
    holders = world.store.seated("lakeside/seats", district="lakeside/lakeside").students
    assert {*holders} <= {row["userSourcedId"] for row in world.enrolled("s-002")}
    told = world.store.web.licences().row(by_predicate=pl.col("licence") == by_key.name, named=True)
    assert told["school"] == "s-002"  # where the web service looks for teachers


async def test_nobody_counts_of_a_namespace_that_is_not_admitted(world: World) -> None:
    world.cluster.put({**world.cluster.objects[DISTRICT], "metadata": {"name": "lakeside", "namespace": "hillside"}})
    world.export = world.export.parents[1] / "hillside" / "export.zip"
    world.publish()
    await world.run(Key("District", "hillside", "lakeside"))
    key = world.licence("foreign", 10, namespace="hillside")
    await world.run(POOL)
    assert world.status(POOL)["demand"] == world.status(key)["demand"] == 0
    assert world.reason(key, "Seated") == "NotAllowedByPool"
    world.declare(POOL, allowedNamespaces={})
    await world.run(POOL)
    assert world.granted(key) == ("Granted", 10, 10)
    world.declare(POOL, allowedNamespaces=None)
    before = world.seating().seats
    await world.run(POOL)
    assert world.granted(key) == ("NotAllowedByPool", 10, 10)
    assert world.seating().seats.equals(before)


async def test_an_expired_pool_and_a_suspended_one_keep_their_students(world: World) -> None:
    key = world.licence("rowan", 10)
    await world.run(POOL)
    before = world.seating().seats
    for words, reason, ready in (
        ({"suspend": True}, "PoolSuspended", "Suspended"),
        ({"suspend": False, "validUntil": "2026-11-01"}, "PoolExpired", "PoolExpired"),
    ):
        world.declare(POOL, **words)
        world.declare(key, seats=20)
        await world.run(POOL)
        assert world.granted(key) == (reason, 10, 10)
        assert world.reason(POOL) == ready
        assert world.seating().seats.equals(before)
    world.declare(POOL, validUntil="2027-11-01")
    await world.run(POOL)
    assert world.granted(key) == ("Granted", 20, 20)


async def test_a_suspended_pool_lets_go_of_a_licence_that_is_deleted(world: World) -> None:
    key = world.licence("rowan", 10)
    await world.run(POOL)
    world.declare(POOL, suspend=True)
    await world.delete(key)
    assert key not in world.cluster.objects
    assert world.status(POOL)["used"] == 0


async def test_a_pool_is_valid_until_the_end_of_its_last_day_where_it_is(world: World) -> None:
    key = world.licence("rowan", 10)
    world.declare(POOL, validUntil="2026-11-02")
    world.now = datetime(2026, 11, 2, 22, 30, tzinfo=UTC)  # half past eleven in Stockholm
    await world.run(POOL)
    assert world.granted(key)[0] == "Granted"
    assert world.store.run(kind=POOL.kind, namespace=POOL.namespace, name=POOL.name).next_at == datetime(  # type: ignore[union-attr]  # it ran
        2026, 11, 2, 23, tzinfo=UTC
    )
    world.now += timedelta(minutes=30)
    await world.run(POOL)
    assert world.granted(key) == ("PoolExpired", 10, 10)


async def test_more_in_use_than_the_pool_has_is_said_and_nobody_loses_a_seat(world: World) -> None:
    key = world.licence("rowan", 400)
    await world.run(POOL)
    students = world.students("s-001")
    world.declare(POOL, seats=5)
    await world.run(POOL)
    assert world.reason(POOL) == "OverAllocated"
    assert world.granted(key) == ("ExceedsPool", students, students)
    assert world.seating().seats.height == students


async def test_other_namespaces_need_the_pools_word(world: World) -> None:
    other = world.licence("other", 10, namespace="hillside")
    await world.run(POOL)
    assert world.granted(other) == ("NotAllowedByPool", 0, 0)
    world.declare(POOL, allowedNamespaces={"matchLabels": {"municipality": "1285"}})
    await world.run(POOL)
    assert world.granted(other)[0] == "NotAllowedByPool"
    world.cluster.labels["hillside"] = {"municipality": "1285"}
    await world.run(POOL)
    assert world.granted(other) == ("Granted", 10, 0)
    assert world.said(other) == "DependencyNotReady: District 'lakeside' is missing; who holds a seat keeps it"


async def test_a_unit_that_the_register_lacks_gets_nothing_until_somebody_says_that_it_is_right(world: World) -> None:
    """R8: never accepted in silence."""
    key = world.licence("new", 10, schoolUnit="9999")
    await world.run(POOL)
    assert world.granted(key) == ("SchoolUnitUnknown", 0, 0)
    assert world.reason(key, "SchoolUnitResolved") == "SchoolUnitUnknown"
    assert world.said(key, "SchoolUnitResolved").endswith("; ask https://intranet.example")
    world.declare(key, unitOverride={"name": "New School", "reason": "opens tomorrow"})
    await world.run(POOL)
    assert world.granted(key) == ("Granted", 10, 10)
    assert world.reason(key, "SchoolUnitResolved") == "UnitOverridden"
    assert world.status(key)["unitName"] == "New School"


async def test_a_unit_that_is_closed_keeps_what_it_has(world: World) -> None:
    key = world.licence("closed", 10, schoolUnit="0002")
    await world.run(POOL)
    units = [UNITS[0], {**UNITS[1], "status": "Closed"}]
    world.declare(POOL, unitRegistry={"type": "Inline", "units": units})
    world.declare(key, seats=20)
    await world.run(POOL)
    assert world.granted(key) == ("SchoolUnitClosed", 10, 10)
    assert world.status(key)["unitName"] == "Sable Creek"


async def test_the_schools_of_a_district_may_be_the_register(tmp_path: Path) -> None:
    registry = {"type": "Source", "districtRef": {"name": "lakeside"}}
    world = await World.with_pool(tmp_path, unitRegistry=registry)
    key = world.licence("rowan", 10, schoolUnit="s-001", school="s-001")
    other = world.licence("other", 10, schoolUnit="s-999")
    await world.run(POOL)
    assert world.granted(key) == ("Granted", 10, 10)
    assert world.status(key)["unitName"] == "Rowan Hill Elementary School"
    assert world.granted(other)[0] == "SchoolUnitUnknown"


async def test_a_register_that_is_not_known_takes_nothing_away(tmp_path: Path) -> None:
    registry = {"type": "Source", "districtRef": {"name": "lakeside"}}
    world = await World.with_pool(tmp_path, unitRegistry=registry)
    key = world.licence("rowan", 10, schoolUnit="s-001")
    await world.run(POOL)
    district = world.cluster.objects[DISTRICT]
    before = world.seating().seats
    del world.cluster.objects[DISTRICT]
    await world.run(POOL)
    assert world.granted(key) == ("SchoolUnitUnknown", 10, 10)
    assert "District 'lakeside' is missing" in world.said(key)
    assert world.status(key)["demand"] == world.students("s-001"), "what was known stays"
    assert world.seating().seats.equals(before)
    world.cluster.objects[DISTRICT] = district
    await world.run(POOL)
    assert world.granted(key) == ("Granted", 10, 10)
    assert world.seating().seats.equals(before)


async def test_a_licence_that_vanishes_without_a_word_keeps_its_seats_for_the_grace(world: World) -> None:
    """A cluster that is built anew has the pool before its licences."""
    key = world.licence("rowan", 400)
    await world.run(POOL)
    before, obj = world.seating().seats, world.cluster.objects.pop(key)
    other = world.licence("other", 1000, school="s-002")
    await world.run(POOL)
    assert world.granted(other) == ("WaitingForSeats", 0, 0)
    assert world.seating().seats.equals(before)
    world.cluster.objects[key] = obj
    await world.run(POOL)
    assert world.granted(key)[:2] == ("Granted", 400)
    assert world.seating().seats.equals(before)
    del world.cluster.objects[key]
    await world.run(POOL)
    world.now += timedelta(days=7)
    await world.run(POOL)
    assert world.granted(other)[:2] == ("Granted", 1000)


async def test_a_clock_that_jumps_ends_no_seat_and_every_grace_begins_anew(world: World) -> None:
    world.licence("rowan", 400)
    await world.run(POOL)
    user = world.enrolled("s-001")[0]["userSourcedId"]
    world.records.remove("enrollments", userSourcedId=user)
    await world.night()
    seats = world.seating().seats
    assert seats.filter(pl.col("left").is_not_null())["student"].to_list() == [user]
    world.now += timedelta(days=20)
    await world.run(POOL)
    assert world.seating().seats.filter(student=user)["left"].to_list() == [world.now.date()]
    assert seats.height == world.seating().seats.height
    world.now += timedelta(days=8)
    await world.run(POOL)
    assert user not in world.seating().seats["student"].to_list()


async def test_one_district_that_is_broken_stands_still_and_the_rest_goes_on(world: World) -> None:
    key = world.licence("rowan", 10)
    await world.run(POOL)
    accepted = world.store.accepted(namespace="lakeside", district="lakeside")
    assert accepted is not None
    directory = world.store.snapshots(namespace="lakeside", district="lakeside") / accepted.serving
    directory.rename(directory.with_suffix(".away"))
    lower = world.licence("nowhere", 5, districtRef={"name": "other"})
    await world.run(POOL)
    assert world.granted(key) == ("Granted", 10, 10)
    assert world.reason(key) == "DependencyNotReady"
    assert world.granted(lower) == ("Granted", 5, 0)


async def test_a_licence_that_is_invalid_keeps_what_it_has(world: World) -> None:
    key = world.licence("rowan", 10)
    await world.run(POOL)
    world.declare(key, access="Everybody")
    await world.run(POOL)
    assert world.reason(key) == "InvalidSpec"
    assert (world.status(key)["granted"], world.status(key)["used"]) == (10, 10)
    assert world.status(POOL)["granted"] == 10
    assert await world.again() == 0


async def test_every_status_is_one_that_others_can_read(world: World) -> None:
    world.licence("granted", 10)
    world.licence("waiting", 995)
    world.licence("unknown", 10, schoolUnit="9999")
    world.licence("closed", 10, schoolUnit="0003")
    world.licence("foreign", 10, namespace="hillside")
    await world.run(POOL)
    for key, obj in world.cluster.objects.items():
        if key.kind in {"LicensePool", "SchoolLicense"}:
            assert violations(obj, final=True) == []
            assert parse(obj).status.document() == obj["status"]


async def test_new_records_reach_the_pool(world: World) -> None:
    key = world.licence("rowan", 400)
    await world.run(POOL)
    students = world.students("s-001")
    row = world.enrolled("s-001")[0]
    world.records.add("users", sourcedId="u-n", enabledUser="true", givenName="Nadja", familyName="Neu", username="n.n")
    role = world.records.rows("roles", userSourcedId=row["userSourcedId"])[0]
    world.records.add("roles", **{**role, "sourcedId": "r-n", "userSourcedId": "u-n"})
    world.records.add("enrollments", **{**row, "sourcedId": "e-n", "userSourcedId": "u-n"})
    world.now += timedelta(days=1)
    world.publish()
    await world.run(DISTRICT)
    assert world.granted(key) == ("Granted", 400, students + 1)


def test_a_licence_wakes_its_pool_and_a_district_those_that_look_at_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    key = world.licence("rowan", 10)
    world._put(Key("LicensePool", "lakeside", "other"), {"unitRegistry": {"districtRef": {"name": "lakeside"}}})
    cluster: Any = world.cluster
    assert list(routes(cluster, None, world.cluster.objects[key])) == [POOL]
    woken = set(routes(cluster, None, world.cluster.objects[DISTRICT]))
    assert {POOL, Key("LicensePool", "lakeside", "other")} <= woken
    assert set(KINDS) >= {"LicensePool", "SchoolLicense"}


async def test_the_same_day_in_any_order_gives_the_same(tmp_path: Path) -> None:
    found = []
    for number, names in enumerate((("a", "b", "c"), ("c", "a", "b"))):
        (tmp_path / str(number)).mkdir()
        world = await World.with_pool(tmp_path / str(number), seats=300)
        for name in names:
            world.licence(name, 120)
        for key in [key for key in world.cluster.objects if key.kind == "SchoolLicense"]:
            meta = {**world.cluster.objects[key]["metadata"], "creationTimestamp": "2026-11-01T00:00:00Z"}
            world.cluster.objects[key] = {**world.cluster.objects[key], "metadata": meta}
        await world.run(POOL)
        found.append(world.seating())
    assert found[0].seats.drop("since").equals(found[1].seats.drop("since"))
    assert found[0].grants.equals(found[1].grants)
    assert date.min < found[0].seats["since"].to_list()[0]


class Told:
    """Watches a world's cluster: what somebody could read at any moment, and edits that come at the worst one."""

    def __init__(self, world: World) -> None:
        self.cluster, self.most = world.cluster, 0
        self.before: dict[Key, Callable[[], None]] = {}
        """What others do right before something of an object is written."""
        self._write, self._mark = self.cluster.write_status, self.cluster.set_finalizer
        self.cluster.write_status = self.write_status  # type: ignore[method-assign]  # it looks on at this one
        self.cluster.set_finalizer = self.set_finalizer  # type: ignore[method-assign]  # and at this one

    async def write_status(self, obj: Object, status: Mapping[str, Any], *, always: Collection[str] = ()) -> None:
        self.before.pop(key_of(obj), lambda: None)()
        await self._write(obj, status, always=always)
        told = (obj.get("status", {}).get("granted", 0) for obj in self.cluster.every("SchoolLicense"))
        self.most = max(self.most, sum(told))

    async def set_finalizer(self, obj: Object, *, present: bool) -> None:
        self.before.pop(key_of(obj), lambda: None)()
        live = self.cluster.objects.get(key_of(obj))
        if live is not None and not (present and "deletionTimestamp" in live["metadata"]):  # neither is an error
            await self._mark(obj, present=present)


async def test_seats_are_told_to_be_gone_before_somebody_else_is_told_to_have_them(world: World) -> None:
    large, small = world.licence("z-large", 700, school="s-999"), world.licence("a-small", 400, school="s-999")
    await world.run(POOL)
    assert (world.granted(large)[1], world.granted(small)[1]) == (700, 0)
    told = Told(world)
    world.declare(large, seats=500)
    await world.run(POOL)
    assert (world.granted(large)[1], world.granted(small)[1]) == (500, 400)
    assert told.most <= 1000


async def test_seats_that_are_gone_are_told_also_while_somebody_edits_the_licence(world: World) -> None:
    """Else they would be shown twice, until somebody looks at the edit."""
    large, small = world.licence("large", 700, school="s-999"), world.licence("small", 400, school="s-999")
    await world.run(POOL)
    told = Told(world)
    world.declare(large, seats=500)
    told.before[large] = lambda: world.declare(large, seats=650)
    await world.run(POOL)
    assert (world.status(large)["granted"], world.status(small)["granted"]) == (500, 400)
    assert world.status(large)["observedGeneration"] == 1, "something was said of the edit"
    assert told.most <= 1000
    await world.run(POOL)
    assert world.granted(large)[:2] == ("WaitingForSeats", 500)


@pytest.mark.parametrize("waits", [False, True])
async def test_a_licence_that_goes_while_it_is_decided_holds_nobodys_seat(world: World, *, waits: bool) -> None:
    """It has no finalizer yet, so nobody would be told again that it is gone. `waits`: for a finalizer of others."""
    key = world.licence("rowan", 400)
    told = Told(world)

    def delete() -> None:
        if waits:
            meta = {**world.cluster.objects[key]["metadata"], "deletionTimestamp": world.now.isoformat()}
            world.cluster.objects[key] = {**world.cluster.objects[key], "metadata": meta}
        else:
            del world.cluster.objects[key]

    told.before[key] = delete
    await world.run(POOL)
    assert world.seating().seats.is_empty()
    assert world.status(POOL)["used"] == 0


async def test_a_revoked_licence_that_others_keep_shows_no_seats(world: World) -> None:
    """Argo CD deletes in the foreground: its finalizer stays longer than ours."""
    key, other = world.licence("a", 700, school="s-999"), world.licence("b", 400, school="s-999")
    await world.run(POOL)
    told = Told(world)
    meta = {"deletionTimestamp": world.now.isoformat(), "finalizers": ["foregroundDeletion"]}
    obj = world.cluster.objects[key]
    world.cluster.objects[key] = {**obj, "metadata": {**obj["metadata"], **meta}}
    await world.run(POOL)
    assert (world.status(key)["granted"], world.status(other)["granted"]) == (0, 400)
    assert told.most <= 1000
    assert await world.again() == 0

"""An app with `spec.seating`: exactly the students who hold a seat, and nobody loses a place for want of an answer."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import polars as pl
import pytest
from tests.unit.reconcile.nights import APP, DISTRICT, Nights
from tests.unit.reconcile.test_licensepool import POOL as REAL_POOL
from tests.unit.reconcile.test_licensepool import World as Licensed

from homeroom.reconcile.ports import Key
from homeroom.seats.access import TEACHERS_SCHEMA
from homeroom.seats.assignment import SEATS_SCHEMA
from homeroom.store import JournalQuery, Seating

POOL = Key("LicensePool", "licences", "seats")
SEATING = {"poolRef": {"name": POOL.name, "namespace": POOL.namespace}}


class World(Nights):
    """The nights, and a pool elsewhere whose seats a test gives by hand."""

    def there(self) -> set[str | None]:
        """Students who have an account in use, in any school."""
        students = {row["userSourcedId"] for row in self.records.rows("roles", role="student")}
        return {one.key for one in self.product.people.values() if not one.suspended and one.key in students}

    def shared(self) -> set[str]:
        """Students whom the rules share."""
        return {str(person) for _, _, person in self.members()} & {
            row["userSourcedId"] for row in self.records.rows("roles", role="student")
        }

    async def seat(self, students: Collection[str], *, digest: str | None = None) -> None:
        """The pool has given seats to exactly these, by the records that are served (or others)."""
        accepted = self.store.accepted(namespace="lakeside", district="lakeside")
        assert accepted is not None
        rows = [("lakeside/lakeside", student, "lakeside/west", self.now.date(), None) for student in sorted(students)]
        teachers = sorted({row["userSourcedId"] for row in self.records.rows("roles", role="teacher")})
        of_licence = [("lakeside/lakeside", teacher, "lakeside/west", False, True, False) for teacher in teachers]
        seating = Seating(
            seats=pl.DataFrame(rows, schema=SEATS_SCHEMA, orient="row"),
            records={"lakeside/lakeside": digest or accepted.serving},
            teachers=pl.DataFrame(of_licence, schema=TEACHERS_SCHEMA, orient="row"),
        )
        self.store.save_seating(seating, namespace=POOL.namespace, pool=POOL.name, epoch=1)
        await self.run(APP)

    def open_pool(self) -> None:
        meta = {"name": POOL.name, "namespace": POOL.namespace}
        self.cluster.put({"apiVersion": "homeroom.dev/v1alpha1", "kind": "LicensePool", "metadata": meta, "spec": {}})

    def causes(self, person: str) -> list[str]:
        """Of all that was done for a person, the latest last."""
        found = self.store.history(JournalQuery(namespace="lakeside", person=person))
        return [str(cause) for cause in found["cause"]][::-1]

    async def approve_all(self) -> None:
        while self.holds(APP):
            await self.approve(*self.holds(APP), of=APP)


@pytest.fixture
async def world(first_sync: Nights, tmp_path: Path) -> World:
    """Everything the rules share is there; then the app is made for those only who hold a seat: all do."""
    world = World.after(first_sync, tmp_path)
    world.declare(APP, removal={"grace": "0s"}, seating=SEATING, guard={"maxDeletes": "100%"})
    world.open_pool()
    await world.seat(world.shared())
    assert world.said(APP).startswith("Succeeded: "), world.said(APP)
    return world


async def test_all_hold_a_seat(world: World) -> None:
    assert world.said(APP, "SeatsKnown") == (
        "SeatsKnown: 0 students who are shared hold no seat of pool 'licences/seats', and are left out"
    )
    writes = world.cluster.writes
    await world.run(APP)
    assert world.cluster.writes == writes


async def test_who_loses_the_seat_goes_and_comes_back_to_the_same_account_with_it(world: World) -> None:
    everybody, before = world.shared(), world.members()
    child = min(everybody)
    await world.seat(everybody - {child})
    assert world.there() == everybody - {child}
    assert {person for _, _, person in world.members()} == {person for _, _, person in before} - {child}
    assert set(world.causes(child)[-2:]) == {"SeatsChanged"}
    assert world.cluster.objects[APP]["status"]["unseated"] == 1
    assert world.said(APP).endswith(" in sync; students left out, as they hold no seat: 1")
    accounts = len(world.product.people)
    await world.seat(everybody)
    assert (world.there(), world.members(), len(world.product.people)) == (everybody, before, accounts)
    assert set(world.causes(child)[-2:]) == {"SeatsChanged"}


@pytest.mark.parametrize("unknown", ["other records", "no pool"])
async def test_where_nobody_can_say_who_holds_a_seat_all_stay_and_nobody_comes(world: World, unknown: str) -> None:
    everybody = world.shared()
    one, other = sorted(everybody)[:2]
    await world.seat(everybody - {other})
    if unknown == "no pool":
        del world.cluster.objects[POOL]
    await world.seat({other}, digest="0" * 64 if unknown == "other records" else None)
    assert world.there() == everybody - {other}
    assert world.said(APP, "SeatsKnown").startswith("SeatsUnknown: ")
    world.declare(DISTRICT, deny=[{"person": one, "scope": "All"}])
    await world.run(DISTRICT, APP)
    assert world.there() == everybody - {one, other}


async def test_to_take_the_seating_away_exposes_and_is_held(world: World) -> None:
    everybody = world.shared()
    few = set(sorted(everybody)[:10])
    await world.seat(few)
    assert world.there() == everybody  # whole classes would be empty: that has to be seen first
    await world.approve_all()
    assert world.there() == few
    world.declare(APP, seating=None)
    await world.run(APP)
    assert world.there() == few
    assert {hold["guard"] for hold in world.holds(APP)} == {"Exposure"}
    await world.approve_all()
    assert world.there() == everybody


async def test_to_ask_for_seats_is_an_edit_that_is_held_if_it_takes_many_away(
    first_sync: Nights, tmp_path: Path
) -> None:
    world = World.after(first_sync, tmp_path)
    everybody = world.shared()
    world.open_pool()
    await world.seat(set(sorted(everybody)[:10]))
    world.declare(APP, seating=SEATING)
    await world.run(APP)
    assert world.there() == everybody
    assert {hold["guard"] for hold in world.holds(APP)} == {"ScopeEdit"}


async def test_before_the_first_answer_no_student_comes_and_no_teacher_has_classes(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.declare(APP, seating=SEATING)
    world.open_pool()
    await world.night()
    await world.approve_all()
    assert world.there() == set()
    assert world.product.people
    assert world.members() == set()


# ---------------------------------------------------------------------------------------------------------------------
# With a pool that gives the seats itself


async def with_licence(directory: Path) -> Licensed:
    """One school has licences for all its students but five, the others have none; the app is for who holds a seat."""
    world = await Licensed.with_pool(directory)
    world.licence("rowan", world.students("s-001") - 5)
    world.declare(APP, removal={"grace": "0s"}, seating={"poolRef": {"name": REAL_POOL.name}}, firstSync="Automatic")
    await world.run(REAL_POOL, APP)
    await world.approve(*world.holds(APP), of=APP)  # administrators
    return world


@pytest.fixture(scope="module")
def already_licensed(tmp_path_factory: pytest.TempPathFactory) -> Licensed:
    """Made once; nobody changes it."""
    return Licensed.begun(with_licence(tmp_path_factory.mktemp("licensed")))


@pytest.fixture
def licensed(already_licensed: Licensed, tmp_path: Path) -> Licensed:
    return Licensed.after(already_licensed, tmp_path)


def present(world: Licensed) -> set[str | None]:
    students = {row["userSourcedId"] for row in world.records.rows("roles", role="student")}
    return {one.key for one in world.product.people.values() if not one.suspended and one.key in students}


def seated(world: Licensed) -> set[str]:
    return set(world.seating().seats["student"])


async def test_exactly_the_seated_are_there_and_a_seat_that_falls_free_brings_the_next(licensed: Licensed) -> None:
    assert len(seated(licensed)) == licensed.students("s-001") - 5
    assert present(licensed) == seated(licensed) & present(licensed)
    assert present(licensed), "nobody whom the rules share holds a seat"
    assert licensed.said(APP, "SeatsKnown").startswith("SeatsKnown: ")
    leaver = min(present(licensed), key=str)
    for file, column in (("roles", "userSourcedId"), ("enrollments", "userSourcedId"), ("users", "sourcedId")):
        licensed.records.remove(file, **{column: str(leaver)})
    before = present(licensed)
    await licensed.night()
    assert present(licensed) == before - {leaver}  # the seat is kept for a week, in case of an error of a night
    await licensed.night(days=8)
    await licensed.run(REAL_POOL)
    assert len(seated(licensed)) == licensed.students("s-001") + 1 - 5
    assert present(licensed) <= seated(licensed)
    assert leaver not in seated(licensed)


async def test_a_new_reading_is_gone_by_once_the_pool_has_looked_at_it(licensed: Licensed) -> None:
    before = present(licensed)
    licensed.records.rows("users", sourcedId=min(str(one) for one in before))[0]["givenName"] = "Renamed"
    await licensed.night()  # the app has its run before the pool has
    assert licensed.said(APP, "SeatsKnown").startswith("SeatsKnown: ")
    assert present(licensed) == before


async def test_a_licence_that_is_deleted_takes_its_students_with_it_once_that_was_seen(licensed: Licensed) -> None:
    await licensed.delete(Key("SchoolLicense", "lakeside", "rowan"))
    assert seated(licensed) == set()
    await licensed.run(APP)
    while licensed.holds(APP):
        await licensed.approve(*licensed.holds(APP), of=APP)
    assert present(licensed) == set()
    teachers = {row["userSourcedId"] for row in licensed.records.rows("roles", role="teacher")}
    assert {person for _, _, person in licensed.members()} <= teachers


async def test_a_pool_that_is_deleted_takes_nobody_with_it(licensed: Licensed) -> None:
    before = present(licensed)
    await licensed.delete(REAL_POOL)
    await licensed.night()
    assert present(licensed) == before
    assert licensed.said(APP, "SeatsKnown").startswith("SeatsUnknown: ")

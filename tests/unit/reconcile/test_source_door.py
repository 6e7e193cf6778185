"""The source door over whole nights: what an export loses is served on until a commit says that it is right.

Each test is about the District, and about what the app did, or did not do, because of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.unit.reconcile.nights import APP, DISTRICT, Killed, Nights

from homeroom.roster.tables import FAMILY
from homeroom.store import JournalQuery, Store
from homeroom.store.schema import metadata


@pytest.fixture
def nights(first_sync: Nights, tmp_path: Path) -> Iterator[Nights]:
    here = Nights.after(first_sync, tmp_path)
    yield here
    here.store.close()


async def test_a_lost_school_is_held_at_the_source_and_no_app_hears_of_it(nights: Nights) -> None:
    before = nights.members()
    nights.records.lose_school(nights.lost)
    await nights.night()
    (hold,) = nights.holds(DISTRICT)
    assert (hold["guard"], hold["scope"], hold["place"]) == ("Deletes", "School", nights.lost)
    assert nights.said(DISTRICT).startswith("HeldForApproval: ")
    assert nights.said(DISTRICT) == nights.said(DISTRICT, "Stalled") == nights.said(DISTRICT, "Held")
    assert hold["id"] in nights.said(DISTRICT)
    assert nights.members() == before
    assert nights.holds(APP) == []
    assert nights.said(APP).startswith("Succeeded: ")
    assert len(nights.cluster.list("School", "lakeside")) == 3


def join(nights: Nights, school: str, key: str = "u-new") -> tuple[str, str, str]:
    """A student more in a homeroom of a school: the new place."""
    records = nights.records
    homeroom = next(
        row for row in records.rows("classes", schoolSourcedId=school, classType="homeroom") if row["grades"] != "KG"
    )
    like = records.rows("enrollments", classSourcedId=homeroom["sourcedId"], role="student")[0]
    (user,) = records.rows("users", sourcedId=like["userSourcedId"])
    fresh = {"sourcedId": key, "username": key, "identifier": "", "email": "", "givenName": key, "familyName": "Pupil"}
    records.files["users"].append({**user, **fresh})
    role = records.rows("roles", userSourcedId=like["userSourcedId"])[0]
    records.files["roles"].append({**role, "sourcedId": f"r-{key}", "userSourcedId": key})
    records.files["enrollments"].append({**like, "sourcedId": f"e-{key}", "userSourcedId": key})
    return school, homeroom["sourcedId"], key


def leave(nights: Nights, *people: str) -> None:
    """They are in the export no more."""
    for one in people:
        nights.records.remove("users", sourcedId=one)
        for file in ("roles", "enrollments"):
            nights.records.remove(file, userSourcedId=one)


def pupils(nights: Nights, school: str) -> list[str]:
    """Source ids of a school's students who are in the product."""
    here = {row["userSourcedId"] for row in nights.records.rows("roles", orgSourcedId=school, role="student")}
    return sorted({str(person) for _, _, person in nights.members(school)} & here)


async def test_one_bad_school_stops_no_other_and_no_addition(nights: Nights) -> None:
    before, child = nights.members(), pupils(nights, nights.school)[0]
    leave(nights, child)
    new = join(nights, nights.school)
    nights.records.lose_school(nights.lost)
    await nights.night()
    (hold,) = nights.holds(DISTRICT)
    assert hold["place"] == nights.lost
    assert nights.members() == {place for place in before if place[2] != child} | {new}
    assert nights.holds(APP) == []
    await nights.night(days=8)  # the time of grace
    assert child not in nights.accounts(nights.school)


async def test_an_approval_at_the_source_is_the_only_one_and_works_once(nights: Nights) -> None:
    before = nights.members()
    whole = {file: [*rows] for file, rows in nights.records.files.items()}
    nights.records.lose_school(nights.lost)
    await nights.night()
    (hold,) = nights.holds(DISTRICT)
    nights.declare(DISTRICT, sync={"mode": "Schedule", "schedule": "0 2 1 1 *"})
    await nights.night(days=0)
    nights.export.unlink()  # an Approval needs no new reading
    await nights.approve(hold, of=DISTRICT)
    assert nights.said(DISTRICT).startswith("Succeeded: ")
    assert nights.holds(DISTRICT) == nights.holds(APP) == []
    assert nights.said(APP).startswith("Succeeded: ")
    assert nights.members() == {place for place in before if place[0] != nights.lost}
    nights.now += timedelta(days=8)  # the time of grace
    await nights.run(APP)
    assert not {one for one in nights.accounts(nights.lost) if str(one).startswith("u-")}
    assert nights.holds(APP) == []
    approval = nights.cluster.objects[DISTRICT._replace(kind="Approval", name=hold["id"])]
    told = approval["status"]
    assert (told["conditions"][0]["reason"], told["released"]) == ("Released", hold["remove"])
    assert told.get("pending", 0) == told.get("struck", 0) == 0
    journal = nights.store.history(JournalQuery(namespace="lakeside", school=nights.lost, cause="LeftSource"))
    assert set(journal["hold"]) == {hold["id"]}

    nights.declare(DISTRICT, sync={"mode": "Interval", "interval": "15m"})
    lost, nights.records.files = nights.records.files, whole
    await nights.night()
    await nights.approve(*nights.holds(APP), of=APP)
    assert nights.members() == before
    nights.records.files = lost
    await nights.night(days=2)
    (again,) = nights.holds(DISTRICT)
    assert again["id"] != hold["id"]
    await nights.approve(hold, of=DISTRICT, name="replay")
    replay = nights.cluster.objects[DISTRICT._replace(kind="Approval", name="replay")]["status"]
    assert replay["conditions"][0]["reason"] == "HoldUsed"
    assert nights.members() == before
    assert nights.holds(APP) == []


async def test_what_came_back_before_the_app_ran_is_not_released_there(nights: Nights) -> None:
    before = nights.members()
    nights.declare(APP, suspend=True)
    whole = {file: [*rows] for file, rows in nights.records.files.items()}
    nights.records.lose_school(nights.lost)
    await nights.night()
    await nights.approve(*nights.holds(DISTRICT), of=DISTRICT)
    nights.records.files = whole
    await nights.night()
    assert nights.store.passed(namespace="lakeside", district="lakeside").released.is_empty()
    nights.declare(APP, suspend=False)
    await nights.night()
    assert nights.members() == before
    assert nights.said(APP).startswith("Succeeded: ")


@pytest.mark.parametrize("made", [0, 1, 40])
async def test_an_app_that_dies_on_the_way_goes_on_without_asking(nights: Nights, made: int) -> None:
    nights.records.lose_school(nights.lost)
    await nights.night()
    (hold,) = nights.holds(DISTRICT)
    nights.opened.until = made
    with pytest.raises(Killed):
        await nights.approve(hold, of=DISTRICT)
    assert nights.members(nights.lost)
    nights.opened.until = None
    await nights.night(days=2)
    assert nights.members(nights.lost) == set()
    assert nights.holds(DISTRICT) == nights.holds(APP) == []


async def test_only_what_the_approval_was_about_passes(nights: Nights) -> None:
    """More vanishes after the hold was published: that is judged by itself."""
    here = [row["sourcedId"] for row in nights.records.rows("classes", schoolSourcedId=nights.school)]
    sizes = {one: {p for _, c, p in nights.members(nights.school) if c == one} for one in here}
    first, second = sorted(sizes, key=lambda one: -len(sizes[one]))[:2]
    nights.declare(DISTRICT, guard={"maxDeletes": "100%"})
    nights.declare(APP, guard={"maxDeletes": "100%"})
    await nights.night()
    before = nights.members()
    members = {one: len(nights.records.rows("enrollments", classSourcedId=one)) for one in (first, second)}
    for one in (first, second):
        await nights.night(days=0.5)
        nights.records.remove("classes", sourcedId=one)
        nights.records.remove("enrollments", classSourcedId=one)
        await nights.night(days=0.5)
    held = {hold["place"]: hold["remove"] for hold in nights.holds(DISTRICT)}
    assert held == {one: members[one] + 1 for one in (first, second)}  # the class is held with its members
    assert nights.members() == before
    await nights.approve(*(hold for hold in nights.holds(DISTRICT) if hold["place"] == first), of=DISTRICT)
    assert {place for place in before if place[1] == first}
    assert nights.members() == {place for place in before if place[1] != first}
    assert [hold["place"] for hold in nights.holds(DISTRICT)] == [second]
    assert nights.holds(APP) == []


@pytest.mark.parametrize("read", [True, False])
async def test_what_an_approval_let_pass_counts_for_two_weeks(nights: Nights, *, read: bool) -> None:
    """An app that stood still for longer asks by itself, whether or not the records are still `read`."""
    before = nights.members()
    nights.declare(APP, suspend=True)
    nights.records.lose_school(nights.lost)
    await nights.night(days=9)
    await nights.approve(*nights.holds(DISTRICT), of=DISTRICT)
    assert nights.holds(DISTRICT) == []
    nights.declare(DISTRICT, suspend=not read)
    await nights.night(days=14)
    nights.declare(APP, suspend=False)
    await nights.night()
    assert {(hold["guard"], hold["place"]) for hold in nights.holds(APP)} == {("Deletes", nights.lost)}
    assert nights.members() == before


async def test_who_gains_rights_is_a_question_of_the_app_only(nights: Nights) -> None:
    """One principal follows another, in one export: the records lose nothing, and nobody is an administrator unseen."""
    (old, *_) = nights.records.rows("roles", orgSourcedId=nights.school, role="principal")
    (user,) = nights.records.rows("users", sourcedId=old["userSourcedId"])
    other = {"sourcedId": "a-new", "username": "a-new", "email": "", "identifier": ""}
    nights.records.files["users"].append({**user, **other, "givenName": "Other", "familyName": "Successor"})
    nights.records.files["roles"].append({**old, "sourcedId": "r-new", "userSourcedId": "a-new"})
    leave(nights, old["userSourcedId"])
    await nights.night()
    assert nights.holds(DISTRICT) == []
    assert {hold["guard"] for hold in nights.holds(APP)} == {"Administrators"}


async def test_small_steps_are_one_loss(nights: Nights) -> None:
    """Each night fewer than the floor, and newcomers in between: in the week it is over the line."""
    nights.declare(APP, guard={"maxDeletes": "100%"})  # it has fewer people there, and would ask earlier
    await nights.night(days=8)
    there = pupils(nights, nights.school)
    everybody = len({row["userSourcedId"] for row in nights.records.rows("roles", orgSourcedId=nights.school)})
    for night in range(6):
        join(nights, nights.school, f"u-new-{night}")
        leave(nights, *there[3 * night : 3 * night + 3])
        await nights.night()
    gone = set(there) - pupils_in(nights, nights.school)
    assert 0 < len(gone) <= everybody // 10
    assert {(hold["guard"], hold["place"]) for hold in nights.holds(DISTRICT)} == {("Deletes", nights.school)}
    assert sum(hold["people"] for hold in nights.holds(DISTRICT)) == 18 - len(gone)


def pupils_in(nights: Nights, school: str) -> set[str]:
    """Everybody with a place in a class of a school in the product."""
    return {str(person) for _, _, person in nights.members(school)}


async def test_too_many_rewrites_keep_the_old_rows_of_that_school(nights: Nights) -> None:
    here = nights.records.rows("roles", orgSourcedId=nights.lost)
    theirs = {row["userSourcedId"] for row in here if row["role"] not in FAMILY}
    others = {row["userSourcedId"] for row in nights.records.files["roles"]} - theirs
    one = min(others)
    for row in nights.records.files["users"]:
        if row["sourcedId"] in theirs or row["sourcedId"] == one:
            row["familyName"] += " Renamed"
    names = {account.key: account.name for account in nights.product.people.values() if account.school == nights.lost}
    await nights.night()
    (hold,) = nights.holds(DISTRICT)
    assert (hold["guard"], hold["place"], hold["update"]) == ("Updates", nights.lost, len(theirs))
    now = {account.key: account.name for account in nights.product.people.values() if account.school == nights.lost}
    assert now == names
    renamed = {account.key for account in nights.product.people.values() if account.name.endswith("Renamed")}
    assert renamed <= {one}
    await nights.approve(hold, of=DISTRICT)
    assert nights.holds(DISTRICT) == nights.holds(APP) == []
    now = {account.key: account.name for account in nights.product.people.values() if account.school == nights.lost}
    assert all(name.endswith("Renamed") for key, name in now.items() if key in theirs)


async def test_the_same_export_again_writes_nothing(nights: Nights) -> None:
    nights.records.lose_school(nights.lost)
    await nights.night()
    rows, writes = contents(nights.store), nights.cluster.writes
    for days in (0.1, 1.0):
        await nights.night(days=days)
        assert contents(nights.store) == rows
        assert nights.cluster.writes == writes


def contents(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """All rows but those of runs, and how to ask the source, which is a file that was written anew."""
    tables = [table for table in metadata.sorted_tables if table.name != "run"]
    with store._engine.connect() as connection:
        return {
            table.name: [
                tuple(row) for row in connection.execute(sa.select(*(c for c in table.c if c.name != "validator")))
            ]
            for table in tables
        }


async def test_before_the_acceptance_is_stored_nothing_is(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    before, rows = nights.members(), contents(nights.store)
    nights.records.lose_school(nights.lost)
    new = join(nights, nights.school)
    with monkeypatch.context() as broken:
        broken.setattr(Store, "accept", die)
        with pytest.raises(Killed):
            await nights.night()
    assert contents(nights.store) == rows
    await nights.night(days=0)
    (hold,) = nights.holds(DISTRICT)
    assert nights.members() == before | {new}
    with monkeypatch.context() as broken:
        broken.setattr(Store, "accept", die)
        with pytest.raises(Killed):
            await nights.approve(hold, of=DISTRICT)
    assert nights.members() == before | {new}
    await nights.night(days=0)
    assert nights.holds(DISTRICT) == nights.holds(APP) == []
    assert nights.members() == {place for place in before | {new} if place[0] != nights.lost}
    approval = nights.cluster.objects[DISTRICT._replace(kind="Approval", name=hold["id"])]["status"]
    assert (approval["released"], approval.get("struck", 0)) == (hold["remove"], 0)


def die(*_: object, **__: object) -> None:
    raise Killed


async def test_a_hold_goes_away_when_the_export_is_whole_again(nights: Nights) -> None:
    before = nights.members()
    whole = {file: [*rows] for file, rows in nights.records.files.items()}
    nights.records.lose_school(nights.lost)
    await nights.night()
    assert nights.holds(DISTRICT)
    nights.records.files = whole
    await nights.night()
    assert nights.holds(DISTRICT) == []
    assert nights.said(DISTRICT).startswith("Succeeded: ")
    assert nights.said(DISTRICT, "Held") == ""
    assert nights.members() == before


async def test_nobody_approves_for_two_weeks_and_the_old_id_is_worth_nothing(nights: Nights) -> None:
    before = nights.members()
    nights.records.lose_school(nights.lost)
    await nights.night()
    (old,) = nights.holds(DISTRICT)
    await nights.night(days=14)
    (new,) = nights.holds(DISTRICT)
    assert new["id"] != old["id"]
    assert new["since"] == old["since"]
    await nights.approve(old, of=DISTRICT)
    assert nights.members() == before
    await nights.approve(new, of=DISTRICT)
    assert nights.members(nights.lost) == set()


def next_year(nights: Nights) -> None:
    """The records move on: new terms, every class under a new id, a sixth of the students gone."""
    records = nights.records
    for row in records.files["academicSessions"]:
        row["sourcedId"] = row["sourcedId"].replace("2027", "2028")
        row["parentSourcedId"] = row["parentSourcedId"].replace("2027", "2028")
        row["schoolYear"] = "2028"
        for column in ("startDate", "endDate"):
            year, rest = row[column].split("-", 1)
            row[column] = f"{int(year) + 1}-{rest}"
    for row in records.files["classes"]:
        row["sourcedId"] = f"{row['sourcedId']}-28"
        row["termSourcedIds"] = row["termSourcedIds"].replace("2027", "2028")
    for row in records.files["enrollments"]:
        row["sourcedId"], row["classSourcedId"] = f"{row['sourcedId']}-28", f"{row['classSourcedId']}-28"
    leave(nights, *sorted(row["sourcedId"] for row in records.rows("users") if row["sourcedId"].startswith("u-"))[::6])


@pytest.mark.parametrize("late", [True, False])
async def test_a_normal_august_trips_nothing_and_is_approved_once(nights: Nights, *, late: bool) -> None:
    """`late`: the export has the old year until somebody has approved its end; else all comes in one night."""
    nights.now = datetime(2027, 7, 31, 1, tzinfo=UTC)
    await nights.night(days=0)
    if late:
        await nights.night(days=2)
        assert nights.holds(DISTRICT) == []
        assert {hold["guard"] for hold in nights.holds(APP)} == {"RollOver"}
        await nights.approve(*nights.holds(APP), of=APP)
        next_year(nights)
        await nights.night(days=9)
    else:
        next_year(nights)
        await nights.night(days=2)
        assert {hold["guard"] for hold in nights.holds(DISTRICT)} == {"RollOver"}
        await nights.approve(*nights.holds(DISTRICT), of=DISTRICT)
    assert nights.holds(DISTRICT) == nights.holds(APP) == []
    assert {section for _, section, _ in nights.members()} <= {
        row["sourcedId"] for row in nights.records.files["classes"]
    }
    assert nights.members()
    await nights.night()
    assert nights.said(APP).startswith("Succeeded: ")


async def test_a_school_that_is_lost_in_august_is_lost(nights: Nights) -> None:
    nights.now = datetime(2027, 8, 2, 1, tzinfo=UTC)
    nights.records.lose_school(nights.lost)
    await nights.night(days=0)
    assert ("Deletes", nights.lost) in {(hold["guard"], hold.get("place")) for hold in nights.holds(DISTRICT)}
    assert "RollOver" not in {hold["guard"] for hold in nights.holds(DISTRICT)}

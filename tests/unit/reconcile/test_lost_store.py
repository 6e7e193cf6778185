"""Whole runs of the example app after its store was lost, or made anew of a back-up (DESIGN.md section 8)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.reconcile.runs import APP, NOW, asked
from tests.unit.reconcile.test_time import Clocked, Full
from tests.unit.stores import open_store

from homeroom.api import Reason
from homeroom.demo.stage import RECORDS, Records
from homeroom.errors import TransientError
from homeroom.plan import Kind
from homeroom.reconcile.learningapp import SETTLE
from homeroom.store import JournalQuery, Store

HOUR = timedelta(hours=1)
OF_APP = {"namespace": APP.namespace, "app": APP.name}


def pupils(records: Records) -> list[str]:
    """Of one homeroom; the first was not there yet when the app was last in step, the second left later."""
    section = records.rows("classes", schoolSourcedId="s-001", classType="homeroom", grades="02")[0]["sourcedId"]
    return [row["userSourcedId"] for row in records.rows("enrollments", classSourcedId=section, role="student")]


@pytest.fixture
async def before(tmp_path: Path) -> Clocked:
    """The app in step with records that lack the newest child."""
    records = Records(RECORDS)
    records.remove("enrollments", userSourcedId=pupils(records)[0])
    (tmp_path / "before.zip").write_bytes(records.zipped())
    running = Clocked(open_store(tmp_path))
    running.publish(tmp_path / "before.zip")
    report, taken = await running.look(after=HOUR)
    assert (report.reason, taken) == (Reason.SUCCEEDED, 0)
    return running


@pytest.fixture(params=["lost", "restored"])
def after(before: Clocked, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Clocked]:
    """The same target and today's records, which somebody has left, with another store."""
    url = f"sqlite:///{tmp_path / 'new.db'}"
    if request.param == "restored":
        file = io.BytesIO()
        before.store.backup(file, at=NOW)
        Store.restored(url, tmp_path / "new", file)
    store = Store.open(url, tmp_path / "new")
    running = Clocked(store)
    records = Records(RECORDS)
    records.remove("enrollments", userSourcedId=pupils(records)[1])
    (tmp_path / "after.zip").write_bytes(records.zipped())
    running.publish(tmp_path / "after.zip")
    running.wanted, running.minutes = before.wanted, before.minutes
    yield running
    store.close()
    before.store.close()


async def test_the_ledger_comes_back_from_the_marks(after: Clocked) -> None:
    await after.look(after=HOUR)
    report, taken = await after.look(after=SETTLE)
    assert (report.reason, taken, asked(report)) == (Reason.BASELINE_LOST, 0, {"FirstSync"})
    assert after.wanted is not None
    known, wanted = after.store.known(**OF_APP), after.wanted
    assert known.usernames.height == wanted.people.height
    assert set(known.classes["key"]) == set(wanted.classes["key"])
    (waiting,) = (hold.place for hold in report.status.holds)
    assert set(known.schools) == set(wanted.schools["key"]) - {waiting}
    child = str(known.usernames["key"][0])
    assert after.store.accounts(**OF_APP, person=child)["external_id"].to_list() == [f"{child}"]


async def test_without_its_files_beside_the_database_nothing_is_done(before: Clocked, tmp_path: Path) -> None:
    """Another volume, or an emptied one, and a database that is a server's."""
    (tmp_path / "baselines").rename(tmp_path / "elsewhere")
    records = Records(RECORDS)
    records.remove("enrollments", userSourcedId=pupils(records)[1])
    (tmp_path / "after.zip").write_bytes(records.zipped())
    before.publish(tmp_path / "after.zip")
    with pytest.raises(TransientError, match="restore both") as caught:
        await before.look(after=HOUR)
    assert caught.value.reason == Reason.BASELINE_BROKEN
    (tmp_path / "elsewhere").rename(tmp_path / "baselines")
    await before.look(after=HOUR)
    report, _ = await before.look(after=SETTLE)
    assert report.reason == Reason.SUCCEEDED
    before.store.close()


async def test_nothing_is_removed_and_what_comes_waits_until_somebody_has_looked(after: Clocked) -> None:
    await after.look(after=HOUR)
    report, _ = await after.look(after=SETTLE)
    for _ in range(2):
        again, taken = await after.look(after=HOUR)
        assert (again.reason, taken, after.target.made) == (Reason.HELD_FOR_APPROVAL, 0, set())
        assert again.status.holds == report.status.holds
    after.approve(report)
    report, taken = await after.look(after=HOUR)
    assert report.reason == Reason.SUCCEEDED
    assert taken > 0
    assert Kind.PERSON.value in {kind for kind, *_ in after.target.made}


async def test_after_a_restore_the_history_is_there(before: Clocked, tmp_path: Path) -> None:
    file = io.BytesIO()
    before.store.backup(file, at=NOW)
    url = f"sqlite:///{tmp_path / 'new.db'}"
    Store.restored(url, tmp_path / "new", file)
    store = Store.open(url, tmp_path / "new")
    everything = JournalQuery(namespace=APP.namespace, limit=None)
    assert not store.history(everything).is_empty()
    assert store.history(everything).equals(before.store.history(everything))
    store.close()
    before.store.close()


async def test_classes_of_the_records_are_known_again_and_schools_that_are_not_shared_are_not_asked_about(
    after: Clocked,
) -> None:
    await after.look(after=HOUR)
    await after.look(after=SETTLE)
    assert after.wanted is not None
    assert isinstance(after.target, Full)
    assert after.target.asked is not None
    sections = {row["sourcedId"] for row in Records(RECORDS).files["classes"]}
    assert set(after.target.asked.classes["key"]) == sections
    assert set(after.target.asked.schools) == set(after.wanted.schools["key"])

"""Whole runs of the example app while the clock jumps, and while nobody runs it for long (invariant 15, safety row 19).

The target holds all that was ever wanted; the clock stands still unless a test moves it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.reconcile.runs import APP, NOW, Noting, Running, asked
from tests.unit.stores import open_store

from homeroom.api import Reason
from homeroom.demo.stage import RECORDS, Records
from homeroom.plan import HELD_SCHEMA, LEAVING, Change, Guard, Hold, Noted, Outcome, Scope, State, doubted_since
from homeroom.plan.clock import LONGEST_PAUSE, TOLERANCE
from homeroom.reconcile.run import Report
from homeroom.roster.state import ACTUAL_SCHEMAS, DESIRED_SCHEMAS, Actual, Desired, Known
from homeroom.store import RunRow

HOUR, DAY, YEAR = timedelta(hours=1), timedelta(days=1), timedelta(days=365)
ENDS = 6  # enrolments of one class that end in the week after `NOW`


class Full(Noting):
    """A target that holds `desired`, and counts what it is asked to take away."""

    def __init__(self, desired: Desired, *, complete: bool) -> None:
        super().__init__(complete=complete)
        self.taken = 0
        self.asked: Known | None = None
        self._desired = desired

    async def read(self, known: Known) -> Actual:
        self.asked = known
        there = {pl.String(): pl.col("key"), pl.Boolean(): pl.lit(value=False)}  # external ids are the keys
        frames = {}
        for name, schema in ACTUAL_SCHEMAS.items():
            new = {column: dtype for column, dtype in schema.items() if column not in DESIRED_SCHEMAS[name]}
            values = [(there[dtype] if "key" in schema else pl.lit(None, dtype)).alias(c) for c, dtype in new.items()]
            frames[name] = getattr(self._desired, name).with_columns(values).select(schema.names())
        return replace(await super().read(known), **frames)

    async def apply(self, batch: Sequence[Change]) -> Sequence[Outcome]:
        self.taken += sum(change.op.value in LEAVING for change in batch)
        return await super().apply(batch)


class Clocked(Running):
    """Each run leaves its row in the store, as the shell around it does."""

    wanted: Desired | None = None

    def there(self, *, complete: bool) -> Noting:
        return super().there(complete=complete) if self.wanted is None else Full(self.wanted, complete=complete)

    async def look(self, *, after: timedelta, complete: bool = True) -> tuple[Report[Any], int]:
        """One run, and how much it took away."""
        if self.wanted is None:
            at_once: dict[str, Any] = {"removal": {"grace": "0s"}}
            self.cluster.objects = [
                {**obj, "spec": {**obj["spec"], **at_once}} if obj["kind"] == "LearningApp" else obj
                for obj in self.cluster.objects
            ]
            await self.synced()
            stored = self.store.baseline(namespace=APP.namespace, app=APP.name)
            assert stored is not None
            self.wanted = stored.baseline.desired
            self._note(NOW)
        report, _ = await self.run(after=after, complete=complete)
        self._note(report.read_at)
        assert isinstance(self.target, Full)
        return report, self.target.taken

    def _note(self, read_at: datetime | None) -> None:
        place = {"kind": APP.kind, "namespace": APP.namespace, "name": APP.name}
        last, now = self.store.run(**place), self.clock.now()
        read = read_at or (last.read_at if last else None)
        self.store.save_run(RunRow(started_at=now, ended_at=now, reason="", message="", read_at=read), **place, epoch=1)

    def approve(self, report: Report[Any]) -> None:
        """A commit approves all that is held."""
        self.cluster.objects += [
            {
                "apiVersion": "homeroom.dev/v1alpha1",
                "kind": "Approval",
                "metadata": {
                    "name": f"of-{hold.id}",
                    "namespace": APP.namespace,
                    "uid": hold.id,
                    "generation": 1,
                    "creationTimestamp": self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
                },
                "spec": {"targetRef": {"kind": APP.kind, "name": APP.name}, "hold": hold.id, "reason": "we were away"},
            }
            for hold in report.status.holds
        ]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Clocked]:
    store = open_store(tmp_path)
    running = Clocked(store)
    records = Records(RECORDS)
    section = next(row["sourcedId"] for row in records.rows("classes", grades="01", classType="homeroom"))
    for row in records.rows("enrollments", classSourcedId=section, role="student")[:ENDS]:
        row["endDate"] = (NOW + 7 * DAY).strftime("%Y-%m-%d")
    (tmp_path / "records.zip").write_bytes(records.zipped())
    running.publish(tmp_path / "records.zip")
    yield running
    store.close()


async def test_what_has_ended_goes_when_its_day_has_come(running: Clocked) -> None:
    assert (await running.look(after=HOUR))[1] == 0
    report, taken = await running.look(after=LONGEST_PAUSE - HOUR)
    assert asked(report) == set()
    assert taken == 2 * ENDS  # the places, and the accounts


@pytest.mark.parametrize("jump", [LONGEST_PAUSE + HOUR, YEAR, -YEAR])
async def test_a_clock_that_jumps_takes_nothing_away_before_somebody_has_looked(
    running: Clocked, jump: timedelta
) -> None:
    await running.look(after=HOUR)
    report, taken = await running.look(after=jump)
    assert taken == 0
    assert asked(report) == {"Clock"}
    assert report.reason == Reason.HELD_FOR_APPROVAL
    before, now = ((NOW + timedelta(minutes=1) + moved).strftime("%Y-%m-%d %H:%M") for moved in (HOUR, HOUR + jump))
    assert f"the clock went from {before} to {now} (UTC)" in report.message
    held = {hold.guard: hold.remove for hold in report.status.holds}["Clock"]
    for _ in range(2):
        again, taken = await running.look(after=HOUR)
        assert (taken, again.status.holds, again.message) == (0, report.status.holds, report.message)
    running.approve(report)
    report, taken = await running.look(after=HOUR)
    assert (taken, "Clock" in asked(report)) == (held, False)


async def test_a_clock_that_was_mended_leaves_nothing_to_approve(running: Clocked) -> None:
    await running.look(after=HOUR)
    report, _ = await running.look(after=YEAR)
    assert "Clock" in asked(report)
    report, taken = await running.look(after=HOUR - YEAR)
    assert (asked(report), taken) == (set(), 0)


async def test_a_jump_counts_until_the_target_was_read_completely(running: Clocked) -> None:
    await running.look(after=HOUR)
    for _ in range(3):
        report, taken = await running.look(after=YEAR / 3, complete=False)
        assert (asked(report), taken) == (set(), 0)
    report, taken = await running.look(after=HOUR)
    assert ("Clock" in asked(report), taken) == (True, 0)


async def test_what_the_records_take_away_is_no_matter_of_time(running: Clocked, tmp_path: Path) -> None:
    await running.look(after=HOUR)
    records = Records(RECORDS)
    gone = records.rows(
        "enrollments", role="student", classSourcedId=records.rows("classes", grades="02")[0]["sourcedId"]
    )
    records.files["enrollments"] = [row for row in records.files["enrollments"] if row not in gone[:2]]
    (tmp_path / "later.zip").write_bytes(records.zipped())
    running.publish(tmp_path / "later.zip")
    report, taken = await running.look(after=LONGEST_PAUSE + HOUR)
    assert (asked(report), taken) == (set(), 4)  # two places, and the accounts


# -- when a clock is doubted ------------------------------------------------------------------------------------------


def clock_hold(context: datetime, state: State) -> Hold:
    return Hold(
        id="h",
        guard=Guard.CLOCK,
        scope=Scope.DISTRICT,
        place="",
        since=NOW,
        published=NOW,
        rows=pl.DataFrame(schema=HELD_SCHEMA),
        total=1,
        state=state,
        approval="a" if state is not State.OPEN else None,
        context=context.isoformat(),
    )


def test_an_open_question_stays_open_and_an_answer_ends_it() -> None:
    noted = Noted(read=NOW, written=NOW)
    assert doubted_since(noted, [clock_hold(NOW - YEAR, State.OPEN)], now=NOW) == NOW - YEAR
    assert doubted_since(noted, [clock_hold(NOW - YEAR, State.USED)], now=NOW) is None


def test_somebody_can_say_that_what_was_written_later_was_wrong() -> None:
    noted = Noted(read=NOW, written=NOW + YEAR)
    assert doubted_since(noted, [], now=NOW) == NOW + YEAR
    assert doubted_since(noted, [clock_hold(NOW + YEAR, State.USED)], now=NOW) is None
    assert doubted_since(noted, [clock_hold(NOW + DAY, State.USED)], now=NOW) == NOW + YEAR


moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (zone: above)


@given(now=moments, read=st.none() | moments, written=st.none() | moments)
def test_a_clock_is_doubted_exactly_when_it_went_back_or_far_ahead(
    now: datetime, read: datetime | None, written: datetime | None
) -> None:
    since = doubted_since(Noted(read=read, written=written), [], now=now)
    back = written is not None and now < written - TOLERANCE
    ahead = read is not None and now - read > LONGEST_PAUSE
    assert (since is not None) == (back or ahead)
    assert since in {None, read, written}

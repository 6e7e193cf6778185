"""The work queue keeps its promises, whatever is asked of it in whatever order."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from datetime import UTC, datetime

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from homeroom.api import Reason
from homeroom.errors import HomeroomError, TransientError
from homeroom.operator.queue import MOST_REST, Backoff, Schedule, WorkQueue
from homeroom.operator.runtime import SystemClock
from homeroom.reconcile.ports import Key, Verdict
from homeroom.store import LostLeadershipError

KEYS = [Key("LearningApp", tenant, name) for tenant in ("north", "south", "west") for name in ("a", "b", "c", "d")]
LIMIT = 2
BACKOFF = Backoff(base=2, cap=60)

seconds = st.floats(min_value=0, max_value=100)
verdicts = st.builds(
    Verdict,
    again=st.none() | seconds,
    failed=st.booleans(),
    retry_after=st.none() | st.floats(min_value=0, max_value=500),
)


def schedule(chance: float = 0.5, limit: int = LIMIT) -> Schedule:
    return Schedule(tenant_limit=limit, backoff=BACKOFF, chance=lambda: chance)


class AnyOrder(RuleBasedStateMachine):
    """A schedule beside the simplest description of what it has to do."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule = schedule()
        self.now = 0.0
        self.due: dict[Key, float] = {}
        self.running: set[Key] = set()
        self.failures: Counter[Key] = Counter()

    def wish(self, key: Key, due: float) -> None:
        self.due[key] = min(due, self.due.get(key, due))

    @rule(key=st.sampled_from(KEYS), after=seconds)
    def add(self, key: Key, after: float) -> None:
        self.schedule.add(key, now=self.now, after=after)
        self.wish(key, self.now + after)

    @rule(by=seconds)
    def time_passes(self, by: float) -> None:
        self.now += by

    @rule()
    def take(self) -> None:
        key = self.schedule.take(now=self.now)
        busy = Counter(running.namespace for running in self.running)
        if key is None:
            for waiting, due in self.due.items():
                assert due > self.now or waiting in self.running or busy[waiting.namespace] >= LIMIT
            return
        assert key not in self.running
        assert self.due.pop(key) <= self.now
        assert busy[key.namespace] < LIMIT
        self.running.add(key)

    @precondition(lambda self: self.running)
    @rule(verdict=verdicts, took=st.floats(min_value=0, max_value=3), data=st.data())
    def done(self, verdict: Verdict, took: float, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        self.schedule.done(key, verdict, now=self.now, took=took)
        self.running.discard(key)
        if key in self.due:
            self.due[key] = max(self.due[key], self.now + min(took, MOST_REST))
        if verdict.failed:
            self.failures[key] += 1
            wait = min(60, 2 * 2 ** (self.failures[key] - 1)) * 0.75
            self.wish(key, self.now + max(wait, (verdict.retry_after or 0) * 1.05))
        else:
            # A key at rest starts anew; one with a wish goes on counting from nothing as well.
            self.failures[key] = 0
            if verdict.again is not None:
                self.wish(key, self.now + verdict.again)

    @invariant()
    def counts_agree(self) -> None:
        depth = self.schedule.depth(now=self.now)
        assert depth["running"] == len(self.running)
        assert depth["ready"] + depth["waiting"] == len(self.due.keys() - self.running)

    @invariant()
    def it_wakes_in_time(self) -> None:
        later = [due for key, due in self.due.items() if key not in self.running and due > self.now]
        due = self.schedule.next_due()
        if later:
            assert due == pytest.approx(min(later))


TestAnyOrder = AnyOrder.TestCase


class TestFairness:
    @given(st.integers(min_value=1, max_value=200), st.integers(min_value=1, max_value=5))
    def test_a_noisy_tenant_lets_each_other_tenant_take_its_turn(self, noise: int, others: int) -> None:
        queue = schedule(limit=1000)
        for number in range(noise):
            queue.add(Key("LearningApp", "noisy", str(number)), now=0)
        quiet = {Key("LearningApp", f"quiet-{number}", "app") for number in range(others)}
        for key in quiet:
            queue.add(key, now=0)
        taken = [queue.take(now=0) for _ in range(others + 1)]
        assert quiet <= set(taken)

    def test_a_tenant_with_long_runs_leaves_workers_to_others(self) -> None:
        queue = schedule()
        for number in range(10):
            queue.add(Key("LearningApp", "noisy", str(number)), now=0)
        assert [queue.take(now=0) is not None for _ in range(3)] == [True, True, False]
        other = Key("LearningApp", "other", "app")
        queue.add(other, now=1)
        assert queue.take(now=1) == other

    def test_within_a_tenant_who_waits_longest_is_first(self) -> None:
        queue = schedule(limit=10)
        for after, key in zip((3, 1, 2), KEYS[:3], strict=True):
            queue.add(key, now=0, after=after)
        assert [queue.take(now=5) for _ in range(3)] == [KEYS[1], KEYS[2], KEYS[0]]


class TestWaits:
    @given(st.integers(min_value=1, max_value=10_000), st.floats(min_value=0, max_value=1, exclude_max=True))
    def test_failures_wait_longer_up_to_the_cap(self, failures: int, chance: float) -> None:
        wait = BACKOFF.seconds(failures=failures, chance=chance)
        full = min(60.0, 2.0 * 2 ** min(failures - 1, 100))
        assert full / 2 <= wait <= full

    @given(st.floats(min_value=0, max_value=1, exclude_max=True))
    def test_routine_runs_come_back_within_a_tenth(self, chance: float) -> None:
        queue = schedule(chance)
        queue.add(KEYS[0], now=0)
        assert queue.take(now=0) == KEYS[0]
        queue.done(KEYS[0], Verdict(again=100), now=0)
        due = queue.next_due()
        assert due is not None
        assert 90 <= due <= 110.0001  # to the last digit it may be more

    @given(st.floats(min_value=0, max_value=1, exclude_max=True), st.floats(min_value=0, max_value=1000))
    def test_what_the_other_side_asked_for_is_waited_at_least(self, chance: float, retry_after: float) -> None:
        queue = schedule(chance)
        queue.add(KEYS[0], now=0)
        queue.take(now=0)
        queue.done(KEYS[0], Verdict(failed=True, retry_after=retry_after), now=0)
        due = queue.next_due()
        assert due is not None
        assert due >= retry_after

    def test_a_change_does_not_wait_for_the_back_off(self) -> None:
        queue = schedule()
        queue.add(KEYS[0], now=0)
        queue.take(now=0)
        queue.done(KEYS[0], Verdict(failed=True), now=0)
        assert queue.take(now=0.1) is None
        queue.add(KEYS[0], now=0.1)
        assert queue.take(now=0.1) == KEYS[0]

    def test_what_is_at_rest_is_forgotten(self) -> None:
        queue = schedule()
        for _ in range(3):
            queue.add(KEYS[0], now=0)
            queue.take(now=0)
            queue.done(KEYS[0], Verdict(), now=0)
        assert queue._entries == {}
        assert queue.next_due() is None


class Seen:
    def __init__(self) -> None:
        self.outcomes: list[tuple[Key, str]] = []

    def reconciled(self, key: Key, *, outcome: str, seconds: float, at: datetime) -> None:
        assert seconds >= 0
        assert at <= datetime.now(UTC)
        self.outcomes.append((key, outcome))


class TestWorkers:
    async def test_a_crash_is_logged_backs_off_and_ends_nobody_else(self, caplog: pytest.LogCaptureFixture) -> None:
        seen, finished = Seen(), asyncio.Event()

        async def handler(key: Key) -> Verdict:
            if key.name == "a" and len(seen.outcomes) < 2:
                raise ZeroDivisionError
            if key.name == "a":
                finished.set()
            return Verdict()

        quick = Schedule(tenant_limit=1, backoff=Backoff(base=0.01, cap=0.01), chance=lambda: 0.0)
        queue = WorkQueue(quick, handler=handler, workers=2, clock=SystemClock(), observer=seen)
        for key in KEYS[:2]:
            queue.add(key)
        running = asyncio.create_task(queue.run())
        with caplog.at_level(logging.ERROR):
            await asyncio.wait_for(finished.wait(), 10)
        assert await queue.drain(seconds=10)
        await running
        assert Counter(seen.outcomes)[KEYS[0], "succeeded"] == 1
        assert Counter(seen.outcomes)[KEYS[0], "crashed"] >= 1
        assert Counter(seen.outcomes)[KEYS[1], "succeeded"] == 1
        assert queue.depth() == {"ready": 0, "running": 0, "waiting": 0}

    @pytest.mark.parametrize(
        "error",
        [
            TransientError("the API server is away", reason=Reason.API_UNAVAILABLE, retry_after=0.02),
            LostLeadershipError("another operator leads", reason="LostLeadership"),
        ],
    )
    async def test_what_is_no_bug_is_tried_again_and_called_none(self, error: HomeroomError) -> None:
        seen, finished = Seen(), asyncio.Event()

        async def handler(_key: Key) -> Verdict:
            if not seen.outcomes:
                raise error
            finished.set()
            return Verdict()

        quick = Schedule(tenant_limit=1, backoff=Backoff(base=0.01, cap=0.01), chance=lambda: 0.0)
        queue = WorkQueue(quick, handler=handler, workers=1, clock=SystemClock(), observer=seen)
        with structlog.testing.capture_logs() as logs:
            queue.add(KEYS[0])
            running = asyncio.create_task(queue.run())
            await asyncio.wait_for(finished.wait(), 10)
            assert await queue.drain(seconds=10)
        await running
        assert seen.outcomes == [(KEYS[0], "failed"), (KEYS[0], "succeeded")]
        assert [(log["log_level"], log["reason"]) for log in logs] == [("warning", error.reason)]

    async def test_no_more_than_the_workers_run_at_once(self) -> None:
        at_once, most, total = 0, 0, 0
        full, finished = asyncio.Event(), asyncio.Event()

        async def handler(_key: Key) -> Verdict:
            nonlocal at_once, most, total
            at_once, total = at_once + 1, total + 1
            most = max(most, at_once)
            if at_once == 3:
                full.set()
            await full.wait()
            await asyncio.sleep(0)  # the others get their chance to be too many
            at_once -= 1
            if total == len(KEYS):
                finished.set()
            return Verdict()

        queue = WorkQueue(schedule(limit=9), handler=handler, workers=3, clock=SystemClock(), observer=Seen())
        for key in KEYS:
            queue.add(key)
        running = asyncio.create_task(queue.run())
        await asyncio.wait_for(finished.wait(), 10)
        assert most == 3
        assert await queue.drain(seconds=1)
        await running

    async def test_a_drain_starts_nothing_and_cuts_off_what_is_late(self) -> None:
        begun: list[Key] = []
        first = asyncio.Event()

        async def handler(key: Key) -> Verdict:
            begun.append(key)
            first.set()
            await asyncio.Event().wait()
            return Verdict()

        queue = WorkQueue(schedule(), handler=handler, workers=1, clock=SystemClock(), observer=Seen())
        for key in KEYS:
            queue.add(key)
        running = asyncio.create_task(queue.run())
        await asyncio.wait_for(first.wait(), 10)
        assert not await queue.drain(seconds=0.01)
        await running
        assert len(begun) == 1

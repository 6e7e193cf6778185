"""Events are few, whatever a reconciler says."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from homeroom.operator.api import Api, ForbiddenError, NotFoundError
from homeroom.operator.events import Events
from homeroom.operator.metrics import Metrics

APP = {
    "apiVersion": "homeroom.dev/v1alpha1",
    "kind": "LearningApp",
    "metadata": {"name": "kolibri", "namespace": "n", "uid": "1"},
}


class Moment:
    seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(1_800_000_000 + self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


class Posted(Api):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__(log_in_again=_nobody, request_timeout=1, clock=Moment(), observer=Metrics())
        self.sent: list[tuple[str, str, dict[str, Any]]] = []
        self.error: Exception | None = None

    async def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        self.sent.append((method, path, options["body"]))
        if self.error is not None:
            raise self.error
        return {}


def _nobody() -> Any:
    raise AssertionError("no log-in is needed")


class Desk:
    """Events, with hands on time and on what was posted."""

    def __init__(self) -> None:
        self.api, self.clock, self.metrics = Posted(), Moment(), Metrics()
        self.events = Events(api=self.api, clock=self.clock, instance="me", observer=self.metrics)

    def say(self, message: str, *, reason: str = "TargetUnavailable") -> None:
        self.events.post(APP, warning=True, reason=reason, message=message)

    async def sent(self) -> list[tuple[str, str, dict[str, Any]]]:
        running = asyncio.create_task(self.events.run())
        await self.events.flush()
        running.cancel()
        sent, self.api.sent = self.api.sent, []
        return sent

    def dropped(self) -> float | None:
        return self.metrics._registry.get_sample_value("homeroom_events_dropped_total")


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_the_same_words_are_one_event_whose_series_is_written_now_and_then(desk: Desk) -> None:
    for _ in range(10):
        desk.say("no answer")
    ((method, path, event),) = await desk.sent()
    assert method == "POST"
    assert event["note"] == "no answer"
    assert event["eventTime"] == "2027-01-15T08:00:00.000000Z"
    desk.clock.seconds = 301
    desk.say("no answer")
    desk.say("no answer")
    sent = await desk.sent()
    series = {"count": 11, "lastObservedTime": "2027-01-15T08:05:01.000000Z"}
    assert sent == [("PATCH", f"{path}/{event['metadata']['name']}", {"series": series})]


async def test_after_its_time_is_up_an_event_is_posted_anew(desk: Desk) -> None:
    desk.say("no answer")
    desk.clock.seconds = 3001
    desk.say("no answer")
    assert [method for method, _, _ in await desk.sent()] == ["POST", "POST"]


async def test_an_object_with_too_much_to_say_is_cut_short(desk: Desk) -> None:
    for number in range(50):
        desk.say(f"problem {number}")
    assert len(await desk.sent()) == 20
    assert desk.dropped() == 30
    desk.clock.seconds = 120
    for number in range(50, 60):
        desk.say(f"problem {number}")
    assert len(await desk.sent()) == 2


async def test_notes_are_short_and_without_addresses(desk: Desk) -> None:
    desk.say("ask ada@school.example " + "x" * 2000)
    ((_, _, event),) = await desk.sent()
    assert len(event["note"]) == 1024
    assert event["note"].startswith("ask ***@*** xxx")


@pytest.mark.parametrize(("error", "dropped"), [(ForbiddenError("no"), 1), (NotFoundError("gone"), 0)])
async def test_a_failure_to_post_is_nobodys_problem(desk: Desk, error: Exception, dropped: int) -> None:
    desk.api.error = error
    desk.say("no answer")
    assert len(await desk.sent()) == 1
    desk.api.error = None
    desk.say("another")
    assert len(await desk.sent()) == 1
    assert desk.dropped() == dropped

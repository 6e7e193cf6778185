"""Nobody leads longer than the others wait."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from homeroom.operator.api import Api, ConflictError, UnavailableError
from homeroom.operator.lease import Lease, LeaseLostError, LeaseTimes, epoch_at
from homeroom.operator.metrics import Metrics
from homeroom.operator.runtime import SystemClock

TIMES = LeaseTimes(duration=1.5, renew_deadline=0.5, retry=0.05, request_timeout=0.1)


class Flaky(Api):
    """An API server that keeps one object, until it is `away`, when it answers nothing for a long time."""

    def __init__(self) -> None:
        super().__init__(log_in_again=_nobody, request_timeout=1, clock=SystemClock(), observer=Metrics())
        self.stored: dict[str, Any] | None = None
        self.away = False

    async def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        if self.away:
            await asyncio.sleep(options["request_timeout"])
            raise UnavailableError(f"no answer for {path}")
        if method != "GET":
            body, version = options["body"], self.version
            if body["metadata"].get("resourceVersion") not in (None, version):
                raise ConflictError(f"{path}: the object has been modified")
            self.stored = {**body, "metadata": {"resourceVersion": f"{int(version) + 1}"}}
        assert self.stored is not None
        return self.stored

    @property
    def version(self) -> str:
        return str(self.stored["metadata"]["resourceVersion"]) if self.stored else "0"


def _nobody() -> Any:
    raise AssertionError("no log-in is needed")


def lease(api: Api) -> Lease:
    return Lease(api=api, clock=SystemClock(), namespace="n", name="homeroom", identity="me", times=TIMES)


async def test_a_holder_that_cannot_renew_ends_before_anybody_may_take_over() -> None:
    api = Flaky()
    api.stored = {"metadata": {"resourceVersion": "1"}, "spec": {"leaseTransitions": 2**31 - 9}}
    held = lease(api)
    await held.acquire()
    assert held.epoch == 2**31 - 8
    api.away = True
    began = time.monotonic()
    with pytest.raises(LeaseLostError, match=r"could not be renewed for 0\.5 s"):
        await held.keep()
    assert time.monotonic() - began < TIMES.duration
    with pytest.raises(LeaseLostError):
        _ = held.epoch
    assert held.renewal_age() is None


async def test_a_holder_that_bridges_an_absence_stays() -> None:
    api = Flaky()
    api.stored = {"metadata": {"resourceVersion": "1"}, "spec": {}}
    held = lease(api)
    await held.acquire()
    keeping = asyncio.create_task(held.keep())
    api.away = True
    await asyncio.sleep(0.1)
    api.away = False
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(keeping, 1)
    age = held.renewal_age()
    assert age is not None
    assert age < TIMES.renew_deadline


@pytest.mark.parametrize(("holder", "left"), [("me", ""), ("somebody else", "somebody else")])
async def test_a_lease_is_released_although_the_answer_to_a_renewal_was_lost(holder: str, left: str) -> None:
    """As when the renewal was under way and cancelled: others would wait until the Lease runs out."""
    api = Flaky()
    api.stored = {"metadata": {"resourceVersion": "1"}, "spec": {}}
    held = lease(api)
    await held.acquire()
    api.stored = {"metadata": {"resourceVersion": "9"}, "spec": {**api.stored["spec"], "holderIdentity": holder}}
    await held.release()
    assert api.stored["spec"]["holderIdentity"] == left


@pytest.mark.parametrize(("deadline", "request_timeout"), [(11.0, 4.0), (15.0, 0.1), (10.0, 5.0)])
def test_times_that_could_let_two_lead_are_refused(deadline: float, request_timeout: float) -> None:
    with pytest.raises(ValueError, match="two processes could lead at once"):
        LeaseTimes(duration=15, renew_deadline=deadline, request_timeout=request_timeout)


def test_the_epoch_grows_with_time_and_fits_the_field() -> None:
    moments = [datetime(year, 1, 1, tzinfo=UTC) for year in (2026, 2027, 2087)]
    epochs = [epoch_at(moment) for moment in moments]
    assert epochs == sorted(set(epochs))
    assert 0 < epochs[0] < epochs[-1] < 2**31

"""Who leads: at most one process at a time works on a set of resources.

A `coordination.k8s.io` Lease, held the way Kubernetes' own controllers do it: a holder renews it, and who sees no
renewal for the lease's duration (by its own clock, since clocks differ between nodes) takes it. A holder that could
not renew in time ends before anybody may take over, as `renew_deadline` plus one request stay below `duration`.

Its `leaseTransitions` is the epoch that every transaction of the store checks, so it must never go back: not when
somebody deletes the Lease, nor when an operator without a Lease has used the same store. So each new leader takes one
more than it finds, or the seconds since 2020 if that is more (`epoch_at`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from homeroom.errors import HomeroomError, TransientError
from homeroom.operator.api import Api, ConflictError, Json, NotFoundError
from homeroom.reconcile.ports import Clock

_log = structlog.get_logger(__name__)


_EPOCH_BEGIN = datetime(2020, 1, 1, tzinfo=UTC)  # later than 1970, as the field of the Lease has 32 bits


def epoch_at(moment: datetime) -> int:
    """The least epoch of a leadership that begins at that moment."""
    return int((moment - _EPOCH_BEGIN).total_seconds())


class LeaseLostError(HomeroomError):
    """Somebody else leads, or may lead: the process has to end at once."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="LeaseLost")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """Seconds. The defaults are those of Kubernetes' own controllers."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0
    request_timeout: float = 4.0

    def __post_init__(self) -> None:
        if self.renew_deadline + self.request_timeout >= self.duration:
            raise ValueError(
                f"renew deadline ({self.renew_deadline} s) plus request time-out ({self.request_timeout} s) must be "
                f"below the lease duration ({self.duration} s), or two processes could lead at once"
            )


class Lease:
    """One contender for one Lease. `identity` must be new for every start of a process."""

    def __init__(self, *, api: Api, clock: Clock, namespace: str, name: str, identity: str, times: LeaseTimes) -> None:
        self._api = api
        self._clock = clock
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._path = f"{self._collection}/{name}"
        self._name = name
        self._identity = identity
        self._times = times
        self._seen: tuple[str, float] | None = None
        """The resourceVersion seen last, and when it was seen first."""
        self._held: Json | None = None
        self._renewed_at = clock.monotonic()

    @property
    def epoch(self) -> int:
        """The number under which we lead; grows with every change of leader."""
        if self._held is None:
            raise LeaseLostError("the Lease is not held")
        return int(self._held["spec"]["leaseTransitions"])

    def renewal_age(self) -> float | None:
        """Seconds since the last renewal; None while somebody else leads."""
        return None if self._held is None else self._clock.monotonic() - self._renewed_at

    async def acquire(self) -> None:
        """Wait until we lead."""
        holder = None
        while True:
            try:
                found = await self._try()
            except TransientError as error:
                _log.warning("the Lease cannot be read or written", error=error.message)
            else:
                if found is None:
                    _log.info("leading", epoch=self.epoch)
                    return
                if found != holder:
                    holder = found
                    _log.info("somebody else leads; standing by", holder=holder)
            await asyncio.sleep(self._times.retry)

    async def keep(self) -> None:
        """Renew until cancelled; raises LeaseLostError when we may no longer lead."""
        while True:
            await asyncio.sleep(self._times.retry)
            left = self._renewed_at + self._times.renew_deadline - self._clock.monotonic()
            try:
                async with asyncio.timeout(left):
                    await self._renew()
            except TimeoutError as error:
                raise self._lost(f"it could not be renewed for {self._times.renew_deadline:g} s") from error
            except (ConflictError, NotFoundError) as error:
                raise self._lost("somebody else has changed it") from error
            except TransientError as error:
                _log.warning("the Lease could not be renewed", error=error.message)

    async def release(self) -> None:
        """Let others lead at once; for a process that ends in peace."""
        if self._held is None:
            return
        held, self._held = self._held, None
        try:
            await self._change(held, holderIdentity="", leaseDurationSeconds=1, renewTime=self._now())
        except TransientError as error:
            _log.warning("the Lease could not be released; others wait until it runs out", error=error.message)

    def _lost(self, why: str) -> LeaseLostError:
        self._held = None
        return LeaseLostError(f"the Lease {self._path} is lost: {why}")

    async def _try(self) -> str | None:
        """Take the Lease if it is free; else who holds it. Raises TransientError."""
        try:
            found = await self._send("GET", self._path, None)
        except NotFoundError:
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name},
                "spec": self._spec(after=0),
            }
            return await self._take("POST", self._collection, body)
        now, version = self._clock.monotonic(), found["metadata"]["resourceVersion"]
        if self._seen is None or self._seen[0] != version:
            self._seen = version, now
        spec = found.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder and now - self._seen[1] < spec.get("leaseDurationSeconds", self._times.duration):
            return str(holder)
        return await self._take("PUT", self._path, {**found, "spec": self._spec(after=spec.get("leaseTransitions", 0))})

    async def _take(self, method: str, path: str, body: Json) -> str | None:
        began = self._clock.monotonic()
        try:
            self._held = await self._send(method, path, body)
        except ConflictError:
            return "another contender"
        self._renewed_at = began
        return None

    async def _renew(self) -> None:
        if self._held is None:
            raise self._lost("it is not held")
        began = self._clock.monotonic()
        self._held = await self._change(self._held, renewTime=self._now())
        self._renewed_at = began

    async def _change(self, held: Json, **spec: object) -> Json:
        """Write some fields of our Lease, `held` as we know it; the Lease as it is then."""
        try:
            return await self._send("PUT", self._path, {**held, "spec": {**held["spec"], **spec}})
        except ConflictError:
            # Our own last renewal may have arrived although its answer did not, as when it was cancelled by the end of
            # the process; or somebody labelled the Lease.
            found = await self._send("GET", self._path, None)
            if found["spec"].get("holderIdentity") != self._identity:
                raise
            return await self._send("PUT", self._path, {**found, "spec": {**found["spec"], **spec}})

    def _spec(self, *, after: int) -> dict[str, Any]:
        now = self._now()
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": round(self._times.duration),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": max(after + 1, epoch_at(self._clock.now())),
        }

    def _now(self) -> str:
        moment: datetime = self._clock.now()
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    async def _send(self, method: str, path: str, body: Json | None) -> Json:
        return await self._api.request(method, path, body=body, attempts=1, request_timeout=self._times.request_timeout)

"""Kubernetes Events about our objects: what `kubectl describe` and `kubectl events` show.

Posted in the background and only ever for information, so a failure to post is logged and forgotten. The same words
about the same object are one Event: a repetition counts up its `series`, and is written at most every few minutes.
An object that has too much to say is cut short.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

import structlog

from homeroom.errors import HomeroomError
from homeroom.operator.api import Api, NotFoundError
from homeroom.operator.logs import masked
from homeroom.reconcile.ports import Clock, Object

K = TypeVar("K")
V = TypeVar("V")

_log = structlog.get_logger(__name__)

_COMPONENT = "homeroom.dev/operator"
_NOTE_LENGTH = 1024
_SERIES_SECONDS = 300.0
"""How often the series of one Event is written at most."""
_FORGET_SECONDS = 3000.0
"""How long an Event is counted on: a little less than the hour for which API servers keep it."""
_BURST = 20
_REFILL_SECONDS = 60.0
"""Each object may post so many Events at once, and then one more each minute."""
_WAITING = 1000
_REMEMBERED = 10_000


class Observer(Protocol):
    """Who wants to know about Events; see `metrics`."""

    def event_dropped(self) -> None:
        """One Event was not posted: too many, or refused."""


@dataclass(slots=True)
class _Series:
    """One Event that was posted, and how often its words were repeated."""

    name: str
    first: float
    written: float
    count: int = 1


@dataclass(slots=True)
class _Budget:
    tokens: float
    at: float


class Events:
    """Posts Events, until cancelled. `instance` names this process in them."""

    def __init__(self, *, api: Api, clock: Clock, instance: str, observer: Observer) -> None:
        self._api = api
        self._clock = clock
        self._instance = instance[:128]
        self._observer = observer
        self._series: dict[tuple[str, str, str], _Series] = {}
        self._budgets: dict[str, _Budget] = {}
        self._waiting: asyncio.Queue[tuple[str, str, dict[str, Any]]] = asyncio.Queue(_WAITING)

    def post(self, obj: Object, *, warning: bool, reason: str, message: str) -> None:
        """Ask for an Event about `obj`; returns at once."""
        now, at = self._clock.monotonic(), _micro_time(self._clock.now())
        metadata = obj["metadata"]
        note = masked(message)
        note = note if len(note) <= _NOTE_LENGTH else note[: _NOTE_LENGTH - 3] + "..."
        known = self._series.get((metadata["uid"], reason, note))
        path = f"/apis/events.k8s.io/v1/namespaces/{metadata['namespace']}/events"
        if known is not None and now - known.first < _FORGET_SECONDS:
            known.count += 1
            if now - known.written >= _SERIES_SECONDS:
                known.written = now
                series = {"count": known.count, "lastObservedTime": at}
                self._put("PATCH", f"{path}/{known.name}", {"series": series})
            return
        if not self._spend(metadata["uid"], now):
            self._observer.event_dropped()
            return
        name = f"{metadata['name'][:200]}.{uuid.uuid4().hex[:16]}"
        _remember(self._series, (metadata["uid"], reason, note), _Series(name=name, first=now, written=now))
        event = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "eventTime": at,
            "type": "Warning" if warning else "Normal",
            "reason": reason[:128],
            "action": "Reconcile",
            "note": note,
            "reportingController": _COMPONENT,
            "reportingInstance": self._instance,
            "regarding": {
                "apiVersion": obj["apiVersion"],
                "kind": obj["kind"],
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        }
        self._put("POST", path, event)

    async def run(self) -> None:
        """Post what is asked for."""
        while True:
            method, path, body = await self._waiting.get()
            kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
            try:
                await self._api.request(method, path, body=body, content_type=kind)
            except NotFoundError:
                pass  # its time was up, or its namespace is gone; nobody can read it either way
            except HomeroomError as error:
                self._observer.event_dropped()
                _log.warning("an event could not be posted", error=error.message)
            finally:
                self._waiting.task_done()

    async def flush(self) -> None:
        """Wait until all that was asked for is posted; needs `run` to be running."""
        await self._waiting.join()

    def _put(self, method: str, path: str, body: dict[str, Any]) -> None:
        try:
            self._waiting.put_nowait((method, path, body))
        except asyncio.QueueFull:
            self._observer.event_dropped()

    def _spend(self, uid: str, now: float) -> bool:
        """Take one token of the object's bucket, if it has one."""
        budget = self._budgets.get(uid) or _Budget(tokens=_BURST, at=now)
        budget.tokens = min(_BURST, budget.tokens + (now - budget.at) / _REFILL_SECONDS)
        budget.at = now
        _remember(self._budgets, uid, budget)
        if budget.tokens < 1:
            return False
        budget.tokens -= 1
        return True


def _remember(memory: dict[K, V], key: K, value: V) -> None:
    """Keep a value under a key as the newest, and drop the oldest when there are too many."""
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > _REMEMBERED:
        del memory[next(iter(memory))]


def _micro_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

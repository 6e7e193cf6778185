"""What Prometheus can ask for. One object with plain methods and a registry of its own; nothing is global.

Labels are kinds, outcomes and names of resources, never people. Gauges that can be read off the state (conditions,
queue, kinds) are read when somebody asks, by `collect`. The table in `docs/operator.md` lists all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

import prometheus_client as prometheus

from homeroom.reconcile.ports import Key, Object

_SEATS = ("capacity", "granted", "used", "demand")
_LAGS = (1, 2, 3, 5, 8, 13, 30, 60, 180, 600, 1800)
_LESSON_LAGS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400)
_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 180, 600)


class Metrics:
    """Counts what happens. Also implements `homeroom.reconcile.ports.Metrics`."""

    def __init__(self) -> None:
        self._registry = registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=registry)
        prometheus.GCCollector(registry=registry)
        self._conditions = prometheus.Gauge(
            "homeroom_condition", "Resources by condition.", ("kind", "type", "status"), registry=registry
        )
        self._listed = prometheus.Gauge(
            "homeroom_kind_listed", "Whether a kind is served and completely listed.", ("kind",), registry=registry
        )
        self._queue = prometheus.Gauge(
            "homeroom_queue_depth", "Roots that are ready, running or waiting.", ("state",), registry=registry
        )
        self._leading = prometheus.Gauge("homeroom_leading", "Whether this process leads.", registry=registry)
        self._reconcile = prometheus.Histogram(
            "homeroom_reconcile_seconds",
            "How long runs of a root took.",
            ("kind", "outcome"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._last_success = prometheus.Gauge(
            "homeroom_last_success_timestamp_seconds",
            "When a run of a root last succeeded.",
            ("kind", "namespace", "name"),
            registry=registry,
        )
        self._records = prometheus.Gauge(
            "homeroom_records_timestamp_seconds",
            "When the records in use of a District were read.",
            ("namespace", "name"),
            registry=registry,
        )
        self._seats = prometheus.Gauge(
            "homeroom_seats", "Seats of a LicensePool.", ("namespace", "name", "state"), registry=registry
        )
        self._call_lag = prometheus.Histogram(
            "homeroom_call_lag_seconds",
            "From starting a call until everybody in its chat was told.",
            buckets=_LAGS,
            registry=registry,
        )
        self._chats, self._members, self._links = (
            prometheus.Gauge(name, words, ("kind", "namespace", "name", "state"), registry=registry)
            for name, words in (
                ("homeroom_chats", "Chats of a ChatPolicy or a Chat."),
                ("homeroom_chat_members", "People in the chats of a ChatPolicy or a Chat, or on the way there."),
                ("homeroom_chat_links", "Accounts of the people of its District on its platform."),
            )
        )
        self._lesson_lag = prometheus.Histogram(
            "homeroom_lesson_lag_seconds",
            "From publishing a lesson of a supplement until it was shown.",
            buckets=_LESSON_LAGS,
            registry=registry,
        )
        self._operations = prometheus.Counter(
            "homeroom_operations", "Changes in targets.", ("kind", "outcome"), registry=registry
        )
        self._backend_calls = prometheus.Histogram(
            "homeroom_backend_call_seconds",
            "Calls to sources and targets.",
            ("backend", "outcome"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._api_requests = prometheus.Counter(
            "homeroom_api_requests", "Requests to the Kubernetes API.", ("method", "code"), registry=registry
        )
        self._watch_events = prometheus.Counter(
            "homeroom_watch_events", "Changes told by watches.", ("kind",), registry=registry
        )
        self._events_dropped = prometheus.Counter(
            "homeroom_events_dropped", "Kubernetes Events that were not posted.", registry=registry
        )

    def operations(self, kind: str, *, planned: int = 0, applied: int = 0, failed: int = 0) -> None:
        """Count planned, applied and failed changes of one kind of thing."""
        for outcome, count in (("planned", planned), ("applied", applied), ("failed", failed)):
            self._operations.labels(kind, outcome).inc(count)

    def backend_call(self, backend: str, *, outcome: str, seconds: float) -> None:
        """Count one call to a source or target."""
        self._backend_calls.labels(backend, outcome).observe(seconds)

    def records_read(self, district: Key, *, at: datetime) -> None:
        """Note when the records of a District that are in use were read."""
        self._records.labels(district.namespace, district.name).set(at.timestamp())

    def call_told(self, *, seconds: float) -> None:
        """Note how long after somebody had started a call everybody in its chat was told."""
        self._call_lag.observe(seconds)

    def lesson_shown(self, *, seconds: float) -> None:
        """Note how long after a supplement's lesson was published it is known to the pages."""
        self._lesson_lag.observe(seconds)

    def seats(self, pool: Key, *, capacity: int, granted: int, used: int, demand: int) -> None:
        """Note how the seats of a LicensePool are shared out."""
        for state, number in zip(_SEATS, (capacity, granted, used, demand), strict=True):
            self._seats.labels(pool.namespace, pool.name, state).set(number)

    def chats(
        self, policy: Key, *, chats: Mapping[str, int], members: Mapping[str, int], links: Mapping[str, int]
    ) -> None:
        """Note how the chats of a ChatPolicy or Chat stand: how many, members and links by state."""
        for gauge, counts in ((self._chats, chats), (self._members, members), (self._links, links)):
            for state, number in counts.items():
                gauge.labels(*policy, state).set(number)

    def reconciled(self, key: Key, *, outcome: str, seconds: float, at: datetime) -> None:
        """One run of a root ended as `succeeded`, `failed` or `crashed`."""
        self._reconcile.labels(key.kind, outcome).observe(seconds)
        if outcome == "succeeded":
            self._last_success.labels(*key).set(at.timestamp())

    def forget(self, key: Key) -> None:
        """A resource is gone: stop telling about it."""
        self._last_success.remove(*key)
        if key.kind == "District":
            self._records.remove(key.namespace, key.name)
        if key.kind == "LicensePool":
            for state in _SEATS:
                self._seats.remove(key.namespace, key.name, state)
        if key.kind in {"ChatPolicy", "Chat"}:
            for gauge in (self._chats, self._members, self._links):
                gauge.remove_by_labels(key._asdict())

    def api_request(self, method: str, *, code: str) -> None:
        """One request to the API server was answered with `code`, or not at all (`error`)."""
        self._api_requests.labels(method, code).inc()

    def watch_event(self, kind: str) -> None:
        """A watch told one change."""
        self._watch_events.labels(kind).inc()

    def event_dropped(self) -> None:
        """A Kubernetes Event was not posted."""
        self._events_dropped.inc()

    def collect(
        self,
        *,
        objects: Iterable[Object],
        listed: Mapping[str, bool],
        queue: Mapping[str, int],
        leading: bool,
    ) -> bytes:
        """All metrics in Prometheus' text format; the gauges from the state as it is now."""
        conditions: Counter[tuple[str, str, str]] = Counter()
        for obj in objects:
            for item in (obj.get("status") or {}).get("conditions", ()):
                conditions[obj["kind"], item["type"], item["status"]] += 1
        self._conditions.clear()
        for labels, count in conditions.items():
            self._conditions.labels(*labels).set(count)
        for kind, is_listed in listed.items():
            self._listed.labels(kind).set(is_listed)
        for state, depth in queue.items():
            self._queue.labels(state).set(depth)
        self._leading.set(leading)
        return prometheus.generate_latest(self._registry)

"""What the loop needs from the outside, as small protocols; `homeroom.operator` implements them, and so do tests.

The Kubernetes API appears here as plain JSON objects. Nothing here is about kopf, HTTP or a database.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

Object = Mapping[str, Any]
"""A Kubernetes object as JSON; never changed in place."""

UNKNOWN_REVISION: Final = "unknown"
"""The Git revision of what nobody tells one of."""


class Key(NamedTuple):
    """One resource of ours by name. The queue's key, so a root is run once at a time whatever its uid."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"


def key_of(obj: Object) -> Key:
    """The key of an object of ours."""
    return Key(obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a run of a root ended, for the queue.

    `again`: seconds until the next routine run (None: only an event wakes it). `failed`: count one more failure and
    come back after exponential back-off with jitter, at least `retry_after` seconds; otherwise the count starts anew.
    """

    again: float | None = None
    failed: bool = False
    retry_after: float | None = None


Handler = Callable[[Key], Awaitable[Verdict]]
"""Runs one root. Raises only on a bug: the queue logs it, counts a failure and backs off."""

Routes = Callable[["Cluster", Object | None, Object | None], Iterable[Key]]
"""The roots that a change from one object (None: new) to another (None: gone) of a watched kind concerns."""


class Clock(Protocol):
    """Time, injected."""

    def now(self) -> datetime:
        """The wall clock, in UTC, with its zone."""

    def monotonic(self) -> float:
        """Seconds that never jump."""


class Cluster(Protocol):
    """The Kubernetes API as a run sees it: reads come from the watches' cache, secrets and writes go there live."""

    def unlisted(self, kinds: Iterable[str]) -> Sequence[str]:
        """Those of `kinds` that are not served, forbidden, or whose first list is not complete: a root must not run."""

    def being_listed(self, kinds: Iterable[str]) -> bool:
        """Whether `kinds` are unlisted only because their lists are on the way, as after a start: no news for anybody.

        Each root is enqueued when they are there.
        """

    def get(self, key: Key) -> Object | None:
        """The newest version known, our own writes included."""

    def list(self, kind: str, namespace: str) -> Sequence[Object]:
        """All objects of a kind in a namespace, sorted by name, our own writes included."""

    def every(self, kind: str) -> Sequence[Object]:
        """All objects of a kind in all namespaces, in no order, our own writes included."""

    async def labels_of(self, namespace: str) -> Mapping[str, str]:
        """Ask live for the labels of a namespace; none where there is no such namespace. Raises TransientError."""

    async def is_terminating(self, namespace: str) -> bool:
        """Ask live whether a namespace is being deleted, or is gone. Raises TransientError."""

    async def secret(self, *, namespace: str, name: str) -> Mapping[str, str]:
        """Read a Secret live, decoded. Only one labelled `homeroom.dev/use: credentials` (invariant 14).

        Raises TransientError with reason SecretNotFound, SecretNotLabelled or Forbidden (mended by a person, without an
        event that we would see).
        """

    async def picture(self, *, namespace: str, name: str, key: str) -> bytes:
        """Read a file of a ConfigMap live. Only of one labelled `homeroom.dev/use: pictures`.

        Raises TransientError with reason AvatarNotFound or Forbidden (mended by a person, without an event that we
        would see).
        """

    async def key_secret(self, *, namespace: str, name: str) -> Object | None:
        """Read a Secret live that may be one with a licence's key; None: there is none. Raises TransientError."""

    async def write_key_secret(self, secret: Object) -> None:
        """Create it, or replace it as read (its resourceVersion travels along).

        Raises TransientError, also when somebody else wrote it meanwhile.
        """

    async def revision(self, objects: Iterable[Object]) -> str:
        """Ask live which Git revision these objects came with; several are joined, `UNKNOWN_REVISION`: nobody knows.

        Where whoever carries them must not be read, their own annotation counts. Raises TransientError when the API
        server does not answer.
        """

    async def write_status(self, obj: Object, status: Mapping[str, Any], *, always: Collection[str] = ()) -> None:
        """Replace the status of the object as read (PUT, resourceVersion travels along); no request when it is equal.

        Keeps conditions of other owners. Reads again and tries again on 409; an object that is gone is no error. Of one
        whose spec somebody has edited since, only the fields of `always` are replaced.
        """

    async def create(self, obj: Object) -> None:
        """Create; an object that exists already is no error."""

    async def replace(self, obj: Object) -> None:
        """Replace spec and metadata of an object as read; no request when nothing differs."""

    async def delete(self, obj: Object) -> None:
        """Delete this very object (uid precondition); gone already is no error."""

    async def set_finalizer(self, obj: Object, *, present: bool) -> None:
        """Add or take away `homeroom.dev/cleanup`, by optimistic concurrency."""

    def event(self, obj: Object, *, warning: bool, reason: str, message: str) -> None:
        """Post an event in the background, deduplicated and rate-limited."""

    def enqueue(self, key: Key, *, after: float = 0) -> None:
        """Ask for a run of a root, now or in `after` seconds."""

    def stopping(self) -> bool:
        """The process shall end, or leadership is lost: finish the batch, record, return."""

    @property
    def epoch(self) -> int:
        """The Lease's transition count under which we lead; every store transaction checks it."""


class Metrics(Protocol):
    """What the loop counts, for Prometheus. Labels never name a person."""

    def operations(self, kind: str, *, planned: int = 0, applied: int = 0, failed: int = 0) -> None:
        """Count planned, applied and failed changes; `kind` is the kind of thing changed (`user`, `membership`...)."""

    def backend_call(self, backend: str, *, outcome: str, seconds: float) -> None:
        """Count one call to a source or target (`kolibri`, `onerostercsv`...); `outcome` is `ok` or a reason."""

    def records_read(self, district: Key, *, at: datetime) -> None:
        """Note the age of a District's records: when those in use were read."""

    def call_told(self, *, seconds: float) -> None:
        """Note how long after somebody had started a call everybody in its chat was told."""

    def chats(
        self, policy: Key, *, chats: Mapping[str, int], members: Mapping[str, int], links: Mapping[str, int]
    ) -> None:
        """Note how the chats of a ChatPolicy or Chat stand: how many, members and links by state."""

    def lesson_shown(self, *, seconds: float) -> None:
        """Note how long after a supplement's lesson was published it is known to the pages."""

    def seats(self, pool: Key, *, capacity: int, granted: int, used: int, demand: int) -> None:
        """Note how the seats of a LicensePool are shared out."""

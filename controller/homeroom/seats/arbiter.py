"""How a pool's seats are shared out to its licences: all claims at once -> a grant and one reason per claim.

::

    keep   every claim keeps what it had and still requests, and never less than what is in use
    cut    a pool that shrank takes back what is not in use, from the last in the queue first
    fill   what is free goes to who requests more, in the order of the queue, all that is missing or nothing

The order of the queue: higher priority, then older, then namespace and name; never a uid, which a rebuilt cluster makes
anew. No claim takes seats from another one, whatever its priority. The result of a call, given to the next one as
`previous`, changes nothing. Rules: domain/licences.md 6; in words for people: docs/seats.md. Neighbour: `assignment`
seats students within the grants, and says what is used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final, NamedTuple, Self

from homeroom.api import LicensePoolSpec, Queue, Reason


class Unit(StrEnum):
    """What the register says about a school unit. One that was never looked up is not known."""

    KNOWN = "Known"
    UNKNOWN = "Unknown"
    CLOSED = "Closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What was bought. Until and with `valid_until` (None: without end); `one_per_unit`: see `DuplicateClaim`."""

    seats: int
    overage_percent: int = 0
    overage_seats: int = 0
    valid_until: date | None = None
    queue: Queue = Queue.BEST_EFFORT_FIFO
    suspended: bool = False
    one_per_unit: bool = False

    @classmethod
    def of(cls, spec: LicensePoolSpec) -> Self:
        """The pool as it is declared."""
        overage = spec.overage
        return cls(
            seats=spec.seats,
            overage_percent=(overage.percent or 0) if overage else 0,
            overage_seats=(overage.seats or 0) if overage else 0,
            valid_until=spec.valid_until,
            queue=spec.queue,
            suspended=spec.suspend,
        )

    @property
    def capacity(self) -> int:
        """All seats that may be granted: with the larger overage, its percentage rounded down."""
        return self.seats + max(self.seats * self.overage_percent // 100, self.overage_seats)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One licence that requests seats of the pool.

    `previous`: what it was granted by **this** pool; `used`: students who hold its seats (where that is not known, as
    many as were granted). Both come from the store, so that a rebuilt cluster changes nothing. `allowed`: the pool
    admits its namespace. `revoking`: it is being deleted; drop the claim once nobody has access by it any more.
    """

    namespace: str
    name: str
    unit: str
    requested: int
    created: datetime
    priority: int = 0
    previous: int = 0
    used: int = 0
    allowed: bool = True
    revoking: bool = False
    unit_state: Unit = Unit.KNOWN

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name


class Grant(NamedTuple):
    """What a claim gets. All reasons but `Granted` mean that it is not as requested.

    `lacks`: how many seats have to fall free until a waiting claim is served, those for whom it waits in the queue
    served first; 0 for all others. Where smaller claims may pass, it can be sooner.
    """

    seats: int
    reason: Reason
    lacks: int = 0

    @property
    def open(self) -> bool:
        """Whether free seats of the grant may be given to students; else holders keep theirs, and nobody comes."""
        return self.reason not in _REFUSALS


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What came out. `grants` by namespace and name, in the order of the queue.

    `granted`, `used`: seats, over all claims. `free`: what is left of the capacity, below 0 when more is in use than
    the pool has (a count violation: nothing is given until it is over); None when there is no such pool.
    """

    grants: Mapping[tuple[str, str], Grant]
    granted: int
    used: int
    free: int | None

    @property
    def over_allocated(self) -> bool:
        """Whether more seats are in use than the pool has. Nobody loses one for it."""
        return self.free is not None and self.free < 0


_REFUSALS: Final = frozenset(
    {
        Reason.REVOKING,
        Reason.POOL_NOT_FOUND,
        Reason.NOT_ALLOWED_BY_POOL,
        Reason.DUPLICATE_CLAIM,
        Reason.SCHOOL_UNIT_UNKNOWN,
        Reason.SCHOOL_UNIT_CLOSED,
        Reason.POOL_EXPIRED,
        Reason.POOL_SUSPENDED,
    }
)
"""Such a claim keeps what it has and gets nothing, and does not stand in the queue."""


def arbitrate(pool: Pool | None, claims: Collection[Claim], *, today: date) -> Shares:
    """Share the pool out to all its claims. None: there is no such pool. `today`: in the pool's time zone.

    Every grant is at least `used` and at most the larger of `used` and `requested`; together they are at most the
    capacity, or what is in use if that is more.
    """
    queue = sorted(claims, key=_place)
    kept = [max(claim.used, min(claim.requested, claim.previous)) for claim in queue]
    used = sum(claim.used for claim in queue)
    capacity = sum(kept) if pool is None else pool.capacity  # without a pool there is room for what is kept
    if sum(kept) > capacity:
        kept = list(_cut(queue, kept, capacity - used))
    refused = _refusals(pool, queue, today)
    strict = pool is not None and pool.queue is Queue.STRICT_FIFO
    granted, reasons, lacks = _fill(queue, kept, refused, capacity=capacity, strict=strict)
    return Shares(
        grants=dict(zip((claim.key for claim in queue), map(Grant, granted, reasons, lacks), strict=True)),
        granted=sum(granted),
        used=used,
        free=None if pool is None else capacity - sum(granted),
    )


def told(claim: Claim, grant: Grant, *, capacity: int) -> str:
    """The words of the condition: what is so, what changes it. Names no other licence: it may be a stranger's."""
    has = f"{claim.requested:,} seats requested, {grant.seats:,} granted"
    match grant.reason:
        case Reason.GRANTED:
            return f"{grant.seats:,} seats granted"
        case Reason.WAITING_FOR_SEATS:
            return f"{has}; waits until {grant.lacks:,} more fall free: {grant.reason.todo}"
        case Reason.EXCEEDS_POOL:
            return f"{has}; the whole pool has {capacity:,}: {grant.reason.todo}"
        case Reason.BELOW_USAGE:
            return f"{claim.requested:,} seats requested, {claim.used:,} in use; keeps {grant.seats:,} until use drops"
        case _:
            todo = f": {grant.reason.todo}" if grant.reason.todo else ""
            return f"{has}; {grant.reason.means.partition(':')[0]}{todo}"


def _place(claim: Claim) -> tuple[int, datetime, str, str]:
    """The order of the queue; namespace and name only decide between claims that are of one moment."""
    return -claim.priority, claim.created, claim.namespace, claim.name


def _cut(queue: Sequence[Claim], kept: Sequence[int], spare: int) -> Iterator[int]:
    """What each claim still keeps when only `spare` seats are left beside those in use."""
    for claim, seats in zip(queue, kept, strict=True):
        stays = max(min(seats - claim.used, spare), 0)
        spare -= stays
        yield claim.used + stays


def _refusals(pool: Pool | None, queue: Sequence[Claim], today: date) -> list[Reason | None]:
    """Per claim the first reason why it may get nothing, in the order of the closed list."""
    standing = _standing(pool, queue) if pool is not None and pool.one_per_unit else {}
    rest = _refusal_of(pool, today)
    unknown, closed = Unit.UNKNOWN, Unit.CLOSED  # to look up a member of an enumeration takes longer than all the rest
    found = []
    for claim in queue:
        reason = rest
        if claim.revoking:
            reason = Reason.REVOKING
        elif pool is None:
            pass
        elif not claim.allowed:
            reason = Reason.NOT_ALLOWED_BY_POOL
        elif standing and standing.get(claim.unit, claim) is not claim:
            reason = Reason.DUPLICATE_CLAIM
        elif claim.unit_state is unknown:
            reason = Reason.SCHOOL_UNIT_UNKNOWN
        elif claim.unit_state is closed:
            reason = Reason.SCHOOL_UNIT_CLOSED
        found.append(reason)
    return found


def _refusal_of(pool: Pool | None, today: date) -> Reason | None:
    """Why the pool gives nothing to anybody."""
    if pool is None:
        return Reason.POOL_NOT_FOUND
    if pool.valid_until is not None and today > pool.valid_until:
        return Reason.POOL_EXPIRED
    return Reason.POOL_SUSPENDED if pool.suspended else None


def _standing(pool: Pool, queue: Sequence[Claim]) -> dict[str, Claim]:
    """The claim that stands for each unit: the first in the queue that could be granted at all.

    What a claim holds does not count here: else who stands would depend on the cut, and the next run would see it
    otherwise. The other one keeps what it holds.
    """
    standing: dict[str, Claim] = {}
    capacity, unknown = pool.capacity, Unit.UNKNOWN
    for claim in queue:
        refused = claim.revoking or not claim.allowed or claim.unit_state is unknown
        if not refused and claim.requested <= capacity:
            standing.setdefault(claim.unit, claim)
    return standing


def _fill(
    queue: Sequence[Claim], kept: Sequence[int], refused: Sequence[Reason | None], *, capacity: int, strict: bool
) -> tuple[list[int], list[Reason], list[int]]:
    """Give what is free, in order: what each claim has then, its reason, and what it lacks."""
    free, waiting = capacity - sum(kept), 0
    granted, reasons, lacks = list(kept), [Reason.GRANTED] * len(queue), [0] * len(queue)
    for place, (claim, seats, refusal) in enumerate(zip(queue, kept, refused, strict=True)):
        missing = claim.requested - seats
        if refusal is not None:
            reasons[place] = refusal
        elif missing < 0:
            reasons[place] = Reason.BELOW_USAGE
        elif claim.requested > capacity:
            reasons[place] = Reason.EXCEEDS_POOL
        elif missing and (missing > free or (strict and waiting)):
            waiting += missing
            reasons[place], lacks[place] = Reason.WAITING_FOR_SEATS, waiting
        else:
            free -= missing
            granted[place] = claim.requested
    return granted, reasons, [lack - free if lack else 0 for lack in lacks]

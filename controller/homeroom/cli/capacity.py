"""Whether a pool has room for what a licence requests, by what the files declare and the operator knows.

Neighbours: `licence`, which asks, `tree`, and `homeroom.seats.arbiter`, which decides here as it does in the operator.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl

from homeroom.api import LicensePool, Reason, SchoolLicense, parse
from homeroom.cli import cluster, terminal
from homeroom.cli.seats import Object, is_a, place, reference, same
from homeroom.cli.tree import Tree
from homeroom.errors import DependencyNotReadyError, HomeroomError, InvalidSpecError, RefusedError
from homeroom.seats.arbiter import Claim, Grant, Pool, arbitrate, told
from homeroom.store import Store

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LICENCE: Final = SchoolLicense.__name__
_POOL: Final = LicensePool.__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the operator knows. Seats in `use`, `granted` ones and `teachers` connected by key: licence -> how many.

    `granted`: of all licences of the pool, also where neither the tree nor the caller's namespaces have them.
    `objects`: pools and licences of the cluster. `told`: somebody did.
    """

    use: Mapping[str, int] = field(default_factory=dict)
    granted: Mapping[str, int] = field(default_factory=dict)
    teachers: Mapping[str, int] = field(default_factory=dict)
    objects: Sequence[Object] = ()
    told: bool = False

    def of(self, what: Mapping[str, int], namespace: str, name: str) -> int:
        """The number of one licence; without a namespace the largest of all licences of its name."""
        if namespace:
            return what.get(f"{namespace}/{name}", 0)
        return max((n for one, n in what.items() if split_name(one)[1] == name), default=0)

    def knows(self, namespace: str, name: str) -> bool:
        """Whether the licence was granted something there, under this name."""
        return self.of(self.granted, namespace, name) > 0 or self.of(self.use, namespace, name) > 0


def split_name(licence: str) -> tuple[str, str]:
    """Namespace (empty: not said) and name of `NAMESPACE/NAME` or `NAME`."""
    namespace, _, name = licence.rpartition("/")
    return namespace, name


def known_of(
    store: Store | None, namespace: str, pool: tuple[str, str], *, context: str | None, offline: bool
) -> Known:
    """How seats are used and granted, by the store if it is here, else by the cluster."""
    if store is not None:
        grants = store.seating(namespace=pool[0] or namespace, pool=pool[1]).grants.select("licence", "granted")
        connected = store.licences.connections([namespace]).group_by(pl.concat_str("namespace", pl.lit("/"), "licence"))
        return Known(
            use=store.seats_in_use(),
            granted=dict(grants.iter_rows()),
            teachers=dict(connected.len().iter_rows()),
            told=True,
        )
    try:
        if offline:
            raise DependencyNotReadyError("the cluster was not asked (--offline)")
        with terminal.working("asking the cluster"):
            objects = asyncio.run(_listed({namespace, pool[0]}, context))
    except HomeroomError as error:
        terminal.warning(f"how seats are used is not known here, the files alone count: {error.message}")
        return Known()
    status = {
        "/".join(place(each)): told
        for each in objects
        if is_a(each, _LICENCE) and same(reference(each), pool) and isinstance(told := each.get("status"), Mapping)
    }

    def numbers(name: str) -> dict[str, int]:
        return {one: told[name] for one, told in status.items() if isinstance(told.get(name), int)}

    return Known(
        use=numbers("used"),
        granted={**numbers("granted"), **_elsewhere(objects, pool)},
        teachers=numbers("connectedTeachers"),
        objects=objects,
        told=True,
    )


def _elsewhere(objects: Sequence[Object], pool: tuple[str, str]) -> dict[str, int]:
    """What the pool granted to licences that are not among these objects, as one of a name that none can have."""

    def granted(data: Object) -> int:
        status = data.get("status")
        number = status.get("granted") if isinstance(status, Mapping) else None
        return number if isinstance(number, int) else 0

    total = sum(granted(each) for each in objects if is_a(each, _POOL) and same(place(each), pool))
    here = sum(granted(each) for each in objects if is_a(each, _LICENCE) and same(reference(each), pool))
    return {"*/*": total - here} if total > here else {}


async def _listed(namespaces: set[str], context: str | None) -> list[Object]:
    spaces = {space for space in namespaces if space} or {cluster.current_namespace(context)}
    async with cluster.connected(context) as api:
        found = [await cluster.every(api, kind, space) for space in sorted(spaces) for kind in (_POOL, _LICENCE)]
    return [obj for each in found for obj in each]


def declared_pool(work: Tree, named: tuple[str, str], known: Known) -> LicensePool:
    """The pool as the tree declares it, else as it is in the cluster."""
    if any(same(place(each.document.data), named) for each in work.every(_POOL)):
        work.refuse_patched(_POOL, named[1])
        found = work.one(_POOL, *named).document.data
    else:
        there = [each for each in known.objects if is_a(each, _POOL) and same(place(each), named)]
        if not there:
            unread = [each.message for each in work.broken if _POOL in Path(each.file).read_text(encoding="utf-8")]
            why = ", nor has the cluster" if known.objects else ""
            raise InvalidSpecError("\n".join([f"{work.root} has no LicensePool '{named[1]}'{why}", *unread]))
        found = there[0]
    metadata = found.get("metadata")
    space = place(found)[0] or named[0] or "default"
    assert isinstance(metadata, Mapping)
    pool = parse({**found, "metadata": {**metadata, "namespace": space}})
    assert isinstance(pool, LicensePool)
    return pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody wants a licence to have; `namespace` empty: its file does not say."""

    namespace: str
    name: str
    unit: str
    seats: int
    priority: int = 0


def _claims(work: Tree, named: tuple[str, str], known: Known, *, now: datetime) -> list[Claim]:
    """All licences of the pool but those whose seats are no number, as the tree has them, else as the cluster has.

    Who was granted something and is in neither counts with that: it may be another repository's. Whoever was granted
    something stands in front of who is only declared yet.
    """
    declared = [each.document.data for each in work.every(_LICENCE)]
    places = {place(each) for each in declared}
    rest = [each for each in known.objects if place(each) not in places and ("", place(each)[1]) not in places]
    found = []
    for data in [*declared, *rest]:
        spec = data.get("spec")
        if not is_a(data, _LICENCE) or not isinstance(spec, Mapping) or not same(reference(data), named):
            continue
        seats, priority = spec.get("seats"), spec.get("priority")
        if not isinstance(seats, int):
            continue
        namespace, name = place(data)
        granted, used = (known.of(what, namespace, name) for what in (known.granted, known.use))
        found.append(
            Claim(
                namespace=namespace,
                name=name,
                unit=str(spec.get("schoolUnit")),
                requested=seats,
                created=_LONG_AGO if granted or used else now,
                priority=priority if isinstance(priority, int) else 0,
                previous=granted,
                used=used,
            )
        )
    claims = {claim.key: claim for claim in found}
    for licence, granted in known.granted.items():
        namespace, name = split_name(licence)
        if not {(namespace, name), ("", name)} & claims.keys():
            claims[namespace, name] = Claim(
                namespace=namespace, name=name, unit="", requested=granted, created=_LONG_AGO, previous=granted
            )
    return list(claims.values())


def fit(work: Tree, wish: Wish, named: tuple[str, str], pool: LicensePool, known: Known, *, force: bool) -> str:
    """Whether the pool has room for it, in words.

    Raises RefusedError for fewer than are in use (R17), and for more where nothing would be granted.
    """
    bought, now = Pool.of(pool.spec), datetime.now(UTC)
    today = pool.spec.day(now)
    before = _claims(work, named, known, now=now)
    if not known.granted:  # as if all that is declared now were applied
        shares = arbitrate(bought, before, today=today)
        before = [replace(claim, previous=shares.grants[claim.key].seats) for claim in before]
    mine = Claim(
        namespace=wish.namespace, name=wish.name, unit=wish.unit, requested=0, created=now, priority=wish.priority
    )
    mine = next((claim for claim in before if same(claim.key, mine.key)), mine)
    admits = pool.spec.allowed_namespaces is not None or same((wish.namespace, ""), (pool.metadata.namespace, ""))
    claim = replace(mine, requested=wish.seats, allowed=admits)
    shares = arbitrate(bought, [claim, *(one for one in before if one.key != mine.key)], today=today)
    grant = shares.grants[claim.key]
    words = _told(claim, grant, capacity=bought.capacity, free=max(shares.free or 0, 0))
    if force:
        return words
    if wish.seats < claim.used:
        raise RefusedError(
            f"{claim.used:,} seats are in use, and nobody loses one by a resize: request at least {claim.used:,} "
            f"(--force writes it; then the licence keeps the {claim.used:,} in use, and shrinks as they fall free)",
            reason=Reason.BELOW_USAGE,
        )
    if wish.seats > mine.requested and grant.reason not in {Reason.GRANTED, Reason.WAITING_FOR_SEATS}:
        raise RefusedError(f"{words} (--force writes it all the same)", reason=grant.reason)
    return words


def _told(claim: Claim, grant: Grant, *, capacity: int, free: int) -> str:
    match grant.reason:
        case Reason.GRANTED:
            return f"it fits: {free:,} of {capacity:,} stay free"
        case Reason.WAITING_FOR_SEATS:
            keeps = f", and keeps {grant.seats:,} till then" if grant.seats else ""
            return f"it will wait{keeps}: {free:,} of {capacity:,} are free, and {grant.lacks:,} more have to fall free"
        case _:
            return told(claim, grant, capacity=capacity)

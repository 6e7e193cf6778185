"""What is wrong with the seats of declared licences: more than the pool has, or fewer than are in use (R17).

Neighbours: `validate` and `plan`, which refuse it, `licence`, which does not write it; the API server warns of the
latter (`manifests/base/admission.yaml`), and whatever comes through all the same is kept by the operator.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from homeroom.api import API_VERSION, InvalidSpecError, LicensePool, SchoolLicense, parse
from homeroom.seats.arbiter import Pool

Object = Mapping[str, object]
Pools = Sequence[tuple[tuple[str, str], Pool]]
"""Pools by namespace (empty: the file does not say) and name."""


def below_use(data: Object, used: Mapping[str, int]) -> str | None:
    """What is wrong with an object as it is declared, in words; None: it is no such licence, or it requests enough.

    `used`: `Store.seats_in_use`. An object without a namespace is compared with all licences of its name.
    """
    requested = _requested(data)
    if requested is None:
        return None
    space, name = place(data)
    meant = [f"{space}/{name}"] if space else [one for one in used if one.partition("/")[2] == name]
    held = max((used.get(one, 0) for one in meant), default=0)
    if requested >= held:
        return None
    return f"{requested:,} seats are requested and {held:,} are in use"


def exceeds(data: Object, pools: Pools) -> str | None:
    """What is wrong with a licence that requests more than its whole pool, if it is among `pools`, has; in words."""
    requested, found = _requested(data), _pool_of(data, pools)
    if requested is None or found is None or requested <= found[1].capacity:
        return None
    return f"{requested:,} seats are requested and the whole pool has {found[1].capacity:,}"


def overbooked(objects: Iterable[Object], pools: Pools) -> Iterator[str]:
    """The pools, in words, whose licences request more seats together than there are: some of them will wait."""
    together = dict.fromkeys((at for at, _ in pools), 0)
    for data in objects:
        requested, found = _requested(data), _pool_of(data, pools)
        if requested is not None and found is not None and requested <= found[1].capacity:
            together[found[0]] += requested
    for at, pool in pools:
        if together[at] > pool.capacity:
            yield (
                f"the licences of LicensePool '{at[1]}' request {together[at]:,} seats and it has {pool.capacity:,}: "
                "some of them will wait"
            )


def place(data: Object) -> tuple[str, str]:
    """Namespace (empty: the file does not say) and name of an object."""
    metadata = data.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")


def reference(data: Object) -> tuple[str, str]:
    """Namespace (empty: the file does not say) and name of the pool that a licence names."""
    spec = data.get("spec")
    named = spec.get("poolRef") if isinstance(spec, Mapping) else None
    named = named if isinstance(named, Mapping) else {}
    return str(named.get("namespace") or place(data)[0]), str(named.get("name") or "")


def is_a(data: Object, kind: str) -> bool:
    """Whether an object is of this kind of ours."""
    return (data.get("apiVersion"), data.get("kind")) == (API_VERSION, kind)


def same(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether two places may be one: a file without a namespace may be meant for any, as for references."""
    return one[1] == other[1] and (one[0] == other[0] or not one[0] or not other[0])


def pools_in(objects: Iterable[Object]) -> Pools:
    """The pools among these objects that are valid."""
    found = []
    for data in objects:
        if is_a(data, LicensePool.__name__):
            with suppress(InvalidSpecError):
                pool = parse(data)
                assert isinstance(pool, LicensePool)
                found.append((place(data), Pool.of(pool.spec)))
    return found


def _pool_of(data: Object, pools: Pools) -> tuple[tuple[str, str], Pool] | None:
    """The pool of a licence and where it is; None: it is not among these, or several are called so."""
    named = reference(data)
    found = [(at, pool) for at, pool in pools if same(at, named)]
    return found[0] if len(found) == 1 else None


def _requested(data: Object) -> int | None:
    """The seats that a licence requests; None: it is none, or does not say."""
    spec = data.get("spec")
    requested = spec.get("seats") if isinstance(spec, Mapping) else None
    return requested if is_a(data, SchoolLicense.__name__) and isinstance(requested, int) else None

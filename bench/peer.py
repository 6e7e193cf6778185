"""The peer of `licences`: a pool and its licences by plain handlers of kopf, as its documentation shows them."""
# ruff: noqa: D103 - as somebody would write it in an afternoon

import asyncio
import sys
from typing import Any

import kopf

PLACE = ("homeroom.dev", "v1alpha1")
LOCK = asyncio.Lock()
POOLS: dict[tuple[str, str], int] = {}
CLAIMS: dict[tuple[str, str], dict[str, int]] = {}  # of each pool, what every licence was granted
GIVEN: dict[tuple[str, str], int] = {}  # of each pool, all that together


@kopf.on.login()
def log_in(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_kubeconfig(**kwargs)


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: object) -> None:
    settings.posting.enabled = False
    settings.persistence.finalizer = "homeroom.dev/peer"


@kopf.on.resume(*PLACE, "licensepools")
@kopf.on.create(*PLACE, "licensepools")
@kopf.on.update(*PLACE, "licensepools", field="spec.seats")
async def pool(namespace: str | None, name: str | None, spec: kopf.Spec, **_: object) -> None:
    POOLS[str(namespace), str(name)] = spec["seats"]


@kopf.on.resume(*PLACE, "schoollicenses")
@kopf.on.create(*PLACE, "schoollicenses")
@kopf.on.update(*PLACE, "schoollicenses", field="spec.seats")
async def licence(
    namespace: str | None, name: str | None, spec: kopf.Spec, status: kopf.Status, patch: kopf.Patch, **_: object
) -> None:
    key = (str(namespace), spec["poolRef"]["name"])
    if key not in POOLS:
        raise kopf.TemporaryError("the pool is not known yet", delay=1)
    async with LOCK:
        claims, given = CLAIMS.setdefault(key, {}), GIVEN.get(key, 0)
        had = claims.get(str(name), 0)
        fits = given - had + spec["seats"] <= POOLS[key]
        granted = spec["seats"] if fits else status.get("granted", 0)
        claims[str(name)], GIVEN[key] = granted, given - had + granted
    if status.get("granted") != granted:
        patch.status["granted"] = granted


@kopf.on.delete(*PLACE, "schoollicenses", optional=True)
async def revoked(namespace: str | None, name: str | None, spec: kopf.Spec, **_: object) -> None:
    key = (str(namespace), spec["poolRef"]["name"])
    async with LOCK:
        GIVEN[key] = GIVEN.get(key, 0) - CLAIMS.get(key, {}).pop(str(name), 0)


@kopf.timer(*PLACE, "licensepools", interval=1)
async def totals(namespace: str | None, name: str | None, status: kopf.Status, patch: kopf.Patch, **_: object) -> None:
    key = (str(namespace), str(name))
    now = {"granted": GIVEN.get(key, 0), "licenses": len(CLAIMS.get(key, {}))}
    if {field: status.get(field) for field in now} != now:
        patch.status.update(now)


if __name__ == "__main__":
    asyncio.run(kopf.operator(namespaces=[sys.argv[1]], standalone=True))

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
WRITTEN: dict[tuple[str, str], tuple[int, int]] = {}


@kopf.on.login()
def log_in(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_kubeconfig(**kwargs)


def free(pool: tuple[str, str]) -> int:
    return POOLS.get(pool, 0) - sum(CLAIMS.get(pool, {}).values())


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
        claims = CLAIMS.setdefault(key, {})
        had = claims.pop(str(name), status.get("granted", 0))
        claims[str(name)] = spec["seats"] if spec["seats"] <= free(key) else had
        granted = claims[str(name)]
    if status.get("granted") != granted:
        patch.status["granted"] = granted


@kopf.on.delete(*PLACE, "schoollicenses", optional=True)
async def revoked(namespace: str | None, name: str | None, spec: kopf.Spec, **_: object) -> None:
    async with LOCK:
        CLAIMS.get((str(namespace), spec["poolRef"]["name"]), {}).pop(str(name), None)


@kopf.timer(*PLACE, "licensepools", interval=1)
async def totals(namespace: str | None, name: str | None, status: kopf.Status, patch: kopf.Patch, **_: object) -> None:
    claims = CLAIMS.get((str(namespace), str(name)), {})
    if (status.get("granted"), status.get("licenses")) != (sum(claims.values()), len(claims)):
        patch.status.update({"granted": sum(claims.values()), "licenses": len(claims)})


if __name__ == "__main__":
    asyncio.run(kopf.operator(namespaces=[sys.argv[1]], standalone=True))

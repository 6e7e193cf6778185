"""By which commit an app's resources came to be as they are (invariant 12): asked once, when that is first seen.

Asked later, whoever carries the resources would tell a newer commit, which changed other things. Neighbours: the port
`Cluster.revision`, the table `origin` of the store, `learningapp`, whose changes all bear the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

import structlog

from homeroom.errors import TransientError
from homeroom.reconcile.ports import UNKNOWN_REVISION, Object
from homeroom.store import Origin, Store, journal_name

log = structlog.get_logger()


async def revision_of(
    app: Object,
    others: Iterable[Object],
    *,
    ask: Callable[[Iterable[Object]], Awaitable[str]],
    store: Store,
    now: datetime,
    epoch: int,
) -> str:
    """The Git revision of the newest change of a LearningApp or ChatPolicy, or of what it goes by.

    `others`: the resources that decide with it what there should be. Those that are new, or of a new generation, are
    asked about (`ask`: `Cluster.revision`); where one was only taken away, the app is. Never an error:
    `UNKNOWN_REVISION` where it cannot be asked now, and then the next run asks again.
    """
    resources = {_version(obj): obj for obj in (app, *others)}
    place = {
        "namespace": app["metadata"]["namespace"],
        "app": journal_name(app["kind"], app["metadata"]["name"]),
    }
    before = await asyncio.to_thread(store.origin, **place)
    known = before.resources if before else frozenset()
    if before is not None and known == resources.keys():
        return before.revision
    new = [obj for version, obj in resources.items() if version not in known]
    try:
        revision = await ask(new or [app])
    except TransientError as error:
        log.info("the revision of an app could not be asked for", **place, reason=error.reason)
        return UNKNOWN_REVISION
    origin = Origin(resources=frozenset(resources), revision=revision)
    await asyncio.to_thread(store.save_origin, origin, **place, at=now, epoch=epoch)
    return revision


def _version(obj: Object) -> str:
    """Changes with the generation; by uid, as who is made anew begins with generation 1 again."""
    metadata = obj["metadata"]
    return f"{obj['kind']}/{metadata['name']}/{metadata['uid']}/{metadata['generation']}"

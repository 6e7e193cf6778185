"""People's records, from the operator's store or an export. Neighbours: `stores`, `declared` (resources about them)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import polars as pl

from homeroom.api import Chat, ChatPolicy, District, Effect, LearningApp
from homeroom.cli import options
from homeroom.cli.declared import Declared, declared
from homeroom.cli.files import read_export
from homeroom.errors import DependencyNotReadyError
from homeroom.plan import Hold
from homeroom.reconcile.admission import DoorMemory, as_snapshot
from homeroom.reconcile.decide import SALT
from homeroom.reconcile.identification import admitted, identify
from homeroom.reconcile.supplements import with_stored
from homeroom.roster.shared import Rule, barring, rules_of
from homeroom.roster.state import Known
from homeroom.sources import Snapshot, load
from homeroom.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """An app with its district, its rules and the records; `store` is None when there is none here.

    `held`: open holds of the district, were the records an export that is given here.
    """

    app: LearningApp
    district: District
    rules: tuple[Rule, ...]
    snapshot: Snapshot
    store: Store | None
    held: tuple[Hold, ...] = ()

    @property
    def shares(self) -> bool:
        """Some rule includes something; else nothing is shared and nothing is removed."""
        return any(rule.effect is Effect.INCLUDE for rule in self.rules)


def gather(
    resources: Declared,
    app_name: str | None,
    *,
    store: Store | None,
    export: Path | None,
    today: datetime | None = None,
) -> Inputs:
    """Everything that a decision about an app needs but the app itself; `today`: of which day. Blocks."""
    app = resources.one(LearningApp, app_name)
    district = resources.district(app)
    held: tuple[Hold, ...] = ()
    if export is not None:
        snapshot, held = _exported(resources, district, store=store, export=export, today=today)
    else:
        served = stored(resources, district, store=store)
        if served is None:
            raise DependencyNotReadyError(
                f"District '{district.metadata.name}' has no accepted snapshot yet: see its status, or give --records"
            )
        _, snapshot = served
    snapshot = replace(snapshot, roster=barring(snapshot.roster, district.spec.denied()))
    return Inputs(
        app=app, district=district, rules=rules_of(resources.rules(app)), snapshot=snapshot, store=store, held=held
    )


def stored(resources: Declared, district: District, *, store: Store | None) -> tuple[Snapshot, Snapshot] | None:
    """The last reading, and what everybody sees of it; None: nothing was read yet, or nobody knows. Blocks."""
    place = {"namespace": resources.namespace, "district": district.metadata.name}
    accepted = store.accepted(**place) if store is not None else None
    if store is None or accepted is None:
        return None
    last = load(store.snapshots(**place), accepted.digest)
    return last, last if accepted.serving == accepted.digest else load(store.snapshots(**place), accepted.serving)


def exported(resources: Declared, district: District, *, store: Store | None, export: Path) -> Snapshot:
    """What a run would read if this were the export: after the last reading, with what supplements add. Blocks."""
    place = {"namespace": resources.namespace, "district": district.metadata.name}
    extensions = district.spec.source.extensions
    accepted = store.accepted(**place) if store is not None else None
    if store is None or accepted is None:
        return read_export(export, previous=None, extensions=extensions)
    fresh = read_export(export, previous=load(store.snapshots(**place), accepted.own).roster, extensions=extensions)
    return with_stored(fresh, store.supplements(**place), district)


def _exported(
    resources: Declared, district: District, *, store: Store | None, export: Path, today: datetime | None
) -> tuple[Snapshot, tuple[Hold, ...]]:
    """What would be served after a run on this export, and what would be held then."""
    served = stored(resources, district, store=store)
    if store is None or served is None:
        return read_export(export, previous=None, extensions=district.spec.source.extensions), ()
    _, before = served
    place = {"namespace": resources.namespace, "district": district.metadata.name}
    fresh = exported(resources, district, store=store, export=export)
    now = options.moment(today, zone=district.spec.time_zone)
    apps = [
        one.metadata.name
        for one in resources.every(LearningApp)
        if one.spec.district_ref.name == district.metadata.name
    ]
    memory = DoorMemory.of(store, **place, apps=apps, words=resources.words(district), now=now)
    # The file of `linksFrom` is the operator's to fetch: whoever it names is held here.
    identified = identify(before.roster, fresh, district=district, listed=None, memory=memory, now=now, salt=SALT)
    admission = admitted(before.roster, identified, district=district, now=now, salt=SALT)
    return as_snapshot(admission.served, identified.reading), admission.open


async def looked_up(
    app: str | None,
    *,
    files: Sequence[Path] | None,
    namespace: str | None,
    context: str | None,
    store: Store | None,
    export: Path | None,
) -> Inputs:
    """As `gather`, with the resources from files or from the cluster."""
    async with declared(files=files, namespace=namespace, context=context) as resources:
        return await asyncio.to_thread(gather, resources, app, store=store, export=export)


async def of_app(
    name: str, *, files: Sequence[Path] | None, namespace: str | None, context: str | None
) -> tuple[LearningApp, District]:
    """An app and its district, from files or from the cluster, without any records."""
    async with declared(files=files, namespace=namespace, context=context) as resources:
        app = resources.one(LearningApp, name)
        return app, resources.district(app)


async def district_of(
    kind: str, name: str, *, files: Sequence[Path] | None, namespace: str | None, context: str | None
) -> District:
    """The district of an app, a policy of chats or an extra chat, from files or from the cluster."""
    async with declared(files=files, namespace=namespace, context=context) as resources:
        models: dict[str, type[LearningApp | ChatPolicy | Chat]] = {
            ChatPolicy.__name__: ChatPolicy,
            Chat.__name__: Chat,
        }
        return resources.one(District, resources.one(models.get(kind, LearningApp), name).spec.district_ref.name)


def nothing_known() -> Known:
    """What is known of an app's contents without a store."""
    text = pl.String()
    return Known(
        schools=[],
        classes=pl.DataFrame(schema={"school": text, "key": text}),
        usernames=pl.DataFrame(schema={"school": text, "key": text, "username": text}),
    )

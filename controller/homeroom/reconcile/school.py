"""School: one row per school under `kubectl get schools`, rolled up from what runs of apps and policies left.

Written by Homeroom only. The objects themselves are kept by `district`; `learningapp` and `chatpolicy` enqueue those
whose row changed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from homeroom.api import (
    LearningApp,
    PeopleCounts,
    School,
    SchoolAppStatus,
    SchoolChatsStatus,
    SchoolState,
    SchoolStatus,
)
from homeroom.reconcile.chatrules import DeclaredChats
from homeroom.reconcile.district import school_name
from homeroom.reconcile.ports import Cluster, Key
from homeroom.reconcile.run import Report, Run
from homeroom.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolRoot:
    """The work of one run of a School: read, sum up, say."""

    store: Store
    rests: ClassVar[bool] = True

    @property
    def reads(self) -> tuple[str, ...]:
        """Which apps and policies belong to the school's district, and whom to ask there."""
        return ("LearningApp", "ChatPolicy", "District")

    def needs_cleanup(self, resource: School) -> bool:
        """A row has nothing outside."""
        del resource
        return False

    async def cleanup(self, run: Run[School]) -> None:
        """Nothing to do."""

    async def absent(self, key: Key, cluster: Cluster) -> None:
        """Nobody refers to a row."""

    async def reconcile(self, run: Run[School]) -> Report[SchoolStatus]:
        """One run."""
        spec = run.resource.spec
        runs = await asyncio.to_thread(self.store.runs, namespace=run.key.namespace)
        rows = _rows(run, runs, "LearningApp")
        apps = tuple(
            SchoolAppStatus(
                name=name,
                state=SchoolState(row["state"]),
                ready=PeopleCounts(**row["ready"]),
                synced=PeopleCounts(**row["synced"]),
            )
            for name, row in rows.items()
            if row is not None
        )
        policies = _rows(run, runs, "ChatPolicy")
        chats = tuple(SchoolChatsStatus(name=name, **row) for name, row in policies.items() if row is not None)
        states = [app.state for app in apps] + [one.state for one in chats]
        words = [f"{app.name}: {app.state}" for app in apps] + [f"chats of {one.name}: {one.state}" for one in chats]
        if not apps and (rows or not chats):  # a district with chats and no app at all is as it should be
            states.append(SchoolState.NOT_SET_UP)
            words.insert(0, "shared with no app")
        summary = max(states, key=list(SchoolState).index)
        status = run.resource.status.model_copy(update={"summary": summary, "apps": apps, "chats": chats})
        message = ", ".join(words)
        district = run.cluster.get(Key("District", run.key.namespace, spec.district_ref.name))
        contact = district["spec"].get("contact") if district is not None else None
        if contact and SchoolState.NOT_SET_UP in states:
            message += f"; ask {contact}"
        return Report(status=status, message=message)


def _rows(run: Run[School], runs: pl.DataFrame, kind: str) -> dict[str, Mapping[str, Any] | None]:
    """What each root of this kind in the school's district says of the school, by name; None: nothing."""
    spec = run.resource.spec
    names = sorted(
        obj["metadata"]["name"]
        for obj in run.cluster.list(kind, run.key.namespace)
        if obj["spec"].get("districtRef", {}).get("name") == spec.district_ref.name
    )
    found = dict(runs.filter(pl.col("kind") == kind).select("name", "schools").iter_rows())
    return {name: json.loads(found.get(name, "{}")).get(spec.sourced_id) for name in names}


def changed_schools(run: Run[LearningApp] | Run[DeclaredChats], rows: Mapping[str, object]) -> list[Key]:
    """School objects whose row has changed since the last run. `rows`: by source id of the school."""
    before: Mapping[str, object] = run.last.schools if run.last else {}
    district = run.resource.spec.district_ref.name
    return [
        Key("School", run.key.namespace, school_name(district, school))
        for school in sorted({*rows, *before})
        if rows.get(school) != before.get(school)
    ]

"""School: one row per school under `kubectl get schools`, rolled up from what the apps' runs left in the store.

Written by Homeroom only. The objects themselves are kept by `district`; `learningapp` enqueues those whose row changed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from homeroom.api import PeopleCounts, School, SchoolAppStatus, SchoolState, SchoolStatus
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
        """Which apps belong to the school's district, and whom to ask there."""
        return ("LearningApp", "District")

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
        apps = {
            app["metadata"]["name"]
            for app in run.cluster.list("LearningApp", run.key.namespace)
            if app["spec"].get("districtRef", {}).get("name") == spec.district_ref.name
        }
        runs = await asyncio.to_thread(self.store.runs, namespace=run.key.namespace)
        rows = runs.filter((pl.col("kind") == "LearningApp") & pl.col("name").is_in(sorted(apps)))
        stands = []
        for name, schools in rows.select("name", "schools").sort("name").iter_rows():
            row: Mapping[str, Any] | None = json.loads(schools).get(spec.sourced_id)
            if row is not None:
                stands.append(
                    SchoolAppStatus(
                        name=name,
                        state=SchoolState(row["state"]),
                        ready=PeopleCounts(**row["ready"]),
                        synced=PeopleCounts(**row["synced"]),
                    )
                )
        states = {stand.state for stand in stands} or {SchoolState.NOT_SET_UP}
        summary = max(states, key=list(SchoolState).index)
        status = run.resource.status.model_copy(update={"summary": summary, "apps": tuple(stands)})
        message = ", ".join(f"{stand.name}: {stand.state}" for stand in stands) or "shared with no app"
        district = run.cluster.get(Key("District", run.key.namespace, spec.district_ref.name))
        contact = district["spec"].get("contact") if district is not None else None
        if contact and SchoolState.NOT_SET_UP in states:
            message += f"; ask {contact}"
        return Report(status=status, message=message)

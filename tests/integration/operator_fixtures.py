"""The operator at work in the process of a test, on a real API server, with the rights that `manifests/` ships."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from homeroom.api import API_VERSION, GROUP, KINDS
from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.stage import path_of
from homeroom.mail import Post
from homeroom.operator.runtime import Operator, Reconcilers, Settings, SystemClock
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.ports import Clock, Cluster, Metrics
from homeroom.reconcile.roots import handlers
from homeroom.reconcile.routes import routes
from homeroom.store import Store

ROOT = Path(__file__).parents[2]
SYSTEM = "homeroom-system"
_SETTINGS = Settings(owner_id="test", lease=None, host="127.0.0.1", port=0, probe_interval=0.5, startup_spread=0.1)


@pytest.fixture(scope="package")
def base(controlplane: ControlPlane) -> Path:
    """CRDs, rights and the admission policy as shipped; the log-in of the operator's ServiceAccount.

    A test that takes any of that away puts it back.
    """
    controlplane.kubectl("apply", "--server-side", "--force-conflicts", f"--kustomize={ROOT / 'manifests' / 'base'}")
    controlplane.kubectl("wait", "--for=condition=Established", *(f"crd/{m.plural}.{GROUP}" for m in KINDS.values()))
    return controlplane.kubeconfig_for(SYSTEM, "homeroom")


def look(plane: ControlPlane, kind: str, name: str, *, namespace: str) -> dict[str, Any]:
    """One of our objects, for who looks again and again: without a kubectl."""
    found: dict[str, Any] = plane.read(_path(kind, name, namespace))
    return found


def declare(plane: ControlPlane, namespace: str, *objects: Mapping[str, Any]) -> None:
    """As `kubectl apply --server-side` does it, without one: that takes a tenth of a second of CPU."""
    for obj in objects:
        plane.apply(path_of(obj, namespace=namespace), obj)


def annotate(plane: ControlPlane, kind: str, name: str, *, namespace: str, **words: str) -> None:
    """Give one of our objects these annotations of ours, without a kubectl; `_` stands for a dash."""
    annotations = {f"{GROUP}/{key.replace('_', '-')}": word for key, word in words.items()}
    plane.ask("PATCH", _path(kind, name, namespace), {"metadata": {"annotations": annotations}})


def _path(kind: str, name: str, namespace: str) -> str:
    return path_of({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}}, namespace=namespace)


@asynccontextmanager
async def at_work(database: str, directory: Path, *, post: Post | None = None) -> AsyncIterator[Store]:
    """The operator with this store; `directory` has its snapshots, and the files of districts in `files`.

    It is who `KUBECONFIG` says. Stopped in peace at the end.
    """
    store = Store.open(database, directory)
    outside = Outside(owner_id="test", file_root=directory / "files")

    async def fine() -> Sequence[str]:
        return []

    @asynccontextmanager
    async def build(cluster: Cluster, clock: Clock, metrics: Metrics) -> AsyncIterator[Reconcilers]:
        ready = handlers(cluster, clock, metrics, store=store, outside=outside, post=post)
        yield Reconcilers(handlers=ready, problems=fine)

    stop = asyncio.Event()
    task = asyncio.create_task(Operator(_SETTINGS, build=build, routes=routes, clock=SystemClock(), stop=stop).run())
    try:
        yield store
    finally:
        stop.set()
        await task
        store.close()

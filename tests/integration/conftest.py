"""Real servers for the tests: each is started once per test run (with xdist, once per worker) on free ports."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from homeroom.demo.controlplane import ControlPlane, binaries, default_cache


@pytest.fixture(scope="session")
def controlplane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The real control plane. A test that stops its API server starts it again."""
    with ControlPlane(binaries(default_cache()), tmp_path_factory.mktemp("controlplane")) as plane:
        yield plane


@pytest.fixture
def namespace(controlplane: ControlPlane) -> Iterator[str]:
    """A new namespace of its own; it is deleted afterwards, and nobody waits for that."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    controlplane.kubectl("create", "namespace", name)
    yield name
    controlplane.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")

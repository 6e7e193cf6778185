"""Real servers for the tests: each is started once per test run (with xdist, once per worker) on free ports.

Their scope is this package: they end before the tests without servers begin.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from homeroom.demo.controlplane import ControlPlane, binaries
from homeroom.demo.server import default_cache

from .kolibri_fixtures import kolibri, place  # noqa: F401 (fixtures)
from .operator_fixtures import base  # noqa: F401 (as above)
from .stage_fixtures import (  # noqa: F401 (as above)
    all_synced_stages,
    first_sync,
    forked,
    remove_ours,
    stage,
    synced,
    synced_stages,
)
from .synapse_fixtures import chats, everybody, limited, mark, operator, synapse, version  # noqa: F401 (as above)


@pytest.fixture(scope="package")
def controlplane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The real control plane. A test that stops its API server starts it again."""
    with ControlPlane(binaries(default_cache()), tmp_path_factory.mktemp("controlplane")) as plane:
        yield plane


@pytest.fixture(scope="package")
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """A function that waits until a condition holds, and fails the test after 30 s."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true within 30 s"
            time.sleep(0.05)

    return wait


@pytest.fixture
def namespace(controlplane: ControlPlane, wait_until: Callable[[Callable[[], bool]], None]) -> Iterator[str]:
    """A new namespace of its own, in which all is quiet. What is left of our kinds is deleted afterwards.

    The namespace itself stays: to look into it for everything that could be there takes the cluster a fifth of a second
    of CPU, as much as many a test.
    """
    name = f"test-{uuid.uuid4().hex[:12]}"
    controlplane.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    itself = f"/api/v1/namespaces/{name}"
    if controlplane.programs.kube_controller_manager is not None:
        # Controllers put these into every namespace. A test that counts writes must not see that.
        furniture = (f"{itself}/serviceaccounts", f"{itself}/configmaps")
        wait_until(lambda: all(controlplane.read(path)["items"] for path in furniture))
    yield name
    remove_ours(controlplane, name)

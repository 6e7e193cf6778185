"""A real Synapse for the tests. Loaded by conftest.py.

The server is shared by the tests of a worker, so every test has an operator, people and rooms of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from homeroom.demo.server import default_cache
from homeroom.demo.synapse import Account, Synapse, installed


@pytest.fixture(scope="session")
def synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    """The real Synapse. A test that stops it starts it again."""
    with Synapse(installed(default_cache()), tmp_path_factory.mktemp("synapse")) as server:
        yield server


@pytest.fixture
def mark() -> str:
    """What names of this test's own end with."""
    return uuid.uuid4().hex[:8]


@pytest.fixture(params=["11", "12"])
def version(request: pytest.FixtureRequest) -> str:
    """The version of the rooms in this test."""
    return str(request.param)


@pytest.fixture
def limited(synapse: Synapse, mark: str) -> Account:
    """An administrator of this test's own, for whom Synapse's limits count."""
    return synapse.administrator(f"op-{mark}")


@pytest.fixture
def operator(limited: Account) -> Account:
    """An administrator of this test's own, for whom no limits count."""
    unlimited = {"messages_per_second": 0, "burst_count": 0}
    limited.do("POST", f"/_synapse/admin/v1/users/{limited.user_id}/override_ratelimit", unlimited)
    return limited

"""What many tests of whole runs begin with, made once per worker."""

from __future__ import annotations

import pytest
from tests.unit.reconcile.chatnights import ChatNights
from tests.unit.reconcile.nights import Nights


@pytest.fixture(scope="session")
def first_reading(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """A world in which the records were read. Nobody changes it: see `Nights.after`."""
    return Nights.begun(Nights.reading(tmp_path_factory.mktemp("first-reading")))


@pytest.fixture(scope="session")
def first_sync(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """A world in which everything is in the product, seen and approved. Nobody changes it: see `Nights.after`."""
    return Nights.begun(Nights.synced(tmp_path_factory.mktemp("first-sync")))


@pytest.fixture(scope="session")
def first_fill(tmp_path_factory: pytest.TempPathFactory) -> ChatNights:
    """A world in which all chats are filled, seen and approved. Nobody changes it: see `ChatNights.after`."""
    return ChatNights.begun(ChatNights.filled(tmp_path_factory.mktemp("first-fill")))

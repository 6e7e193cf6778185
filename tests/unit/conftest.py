"""One core for each process that tests: a few rows are computed by two threads that wait for each other.

On two cores each wakes the other across them, thousands of times a second, and that took as long as all the rest.
"""

from __future__ import annotations

import os
import sys

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Before polars looks at how many cores there are."""
    if sys.platform != "linux":
        return
    cores = sorted(os.sched_getaffinity(0))
    worker: dict[str, str] | None = getattr(config, "workerinput", None)
    if worker is not None:
        os.sched_setaffinity(0, {cores[int(worker["workerid"].removeprefix("gw")) % len(cores)]})
    elif not config.getoption("numprocesses", None):
        os.sched_setaffinity(0, {cores[os.getpid() % len(cores)]})

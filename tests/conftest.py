"""What all tests share: how hypothesis behaves, and which tests go to one worker of xdist."""

from __future__ import annotations

import gc
import logging
import os
import sqlite3
import sys
from collections.abc import Generator, Iterator
from itertools import chain
from typing import Any, Final

import pytest
import sqlalchemy as sa
import structlog
from hypothesis import settings
from tests.unit.examples import examples
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

settings.register_profile("homeroom", examples(100))
settings.load_profile("homeroom")

_GROUPS: Final = {
    "a control plane": (
        "test_controlplane",
        "test_crds",
        "test_image",
        "test_manifests",
        "test_operator_runtime",
        "test_revision",
        "test_seats",
    ),
    "a Synapse": (
        "test_linking",
        "test_matrix_faults",
        "test_matrix_listening",
        "test_matrix_rooms",
        "test_synapse_contract",
    ),
    "a Kolibri": (
        "test_kolibri_activity",
        "test_kolibri_classes",
        "test_kolibri_faults",
        "test_kolibri_people",
        "test_kolibri_roster",
    ),
    "chats of a school": ("test_calls", "test_chatplatform", "test_chats", "test_extra_chat"),
    "a synced district that is disturbed": ("test_demo_chats", "test_demo_seats", "test_holds", "test_revocation"),
    "an undisturbed first sync": ("test_first_sync",),
    "a day of many licences": ("test_keys", "test_storm"),
    "a synced district": ("test_cli", "test_cli_running", "test_end_to_end"),
    "servers of their own": ("test_adoption", "test_source_https"),
}
"""Modules whose tests share what takes long to make, or are long alone; each group takes a minute or two."""

_UNIT_GROUPS: Final = {
    "histories": ("plan/test_hold", "reconcile/test_admission"),
    "chats": ("reconcile/test_chat_runs", "reconcile/test_chat_years", "reconcile/test_listening"),
    "idle seats": ("reconcile/test_reclaim",),
    "seats of students": ("reconcile/test_seating",),
    "seats of teachers": ("reconcile/test_teachers",),
    "one first sync": ("reconcile/test_identification", "reconcile/test_source_door", "reconcile/test_years"),
}
"""The same among tests without servers."""

_GROUP_OF: Final = {
    f"tests/{kind}/{module}.py": group
    for kind, groups in (("integration", _GROUPS), ("unit", _UNIT_GROUPS))
    for group, modules in groups.items()
    for module in modules
}


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A test that sets up logging leaves no handler behind, whose stream is closed by then."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    for handler in root.handlers[:]:
        if handler not in before and type(handler) is logging.StreamHandler:  # pytest has handlers of its own
            root.removeHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()


@sa.event.listens_for(sa.pool.Pool, "checkout")
def _no_sync(connection: object, record: sa.pool.ConnectionPoolEntry, _proxy: object) -> None:
    """No power loss takes anything that has to outlive the tests. A store asks for more whenever it connects."""
    if isinstance(connection, sqlite3.Connection) and not record.info.get("no sync"):
        connection.execute("PRAGMA synchronous=OFF")
        record.info["no sync"] = True


class _Compiled(dict[Any, sa.Compiled]):
    """What a statement is in SQL, for all engines of one kind of database: else each test's store compiles them anew.

    SQLAlchemy's keys begin with the dialect, of which each engine has one of its own.
    """

    def get(self, key: Any) -> sa.Compiled | None:  # type: ignore[override]  # SQLAlchemy has no other default
        return super().get((key[0].name, *key[1:]))

    def __setitem__(self, key: Any, compiled: sa.Compiled) -> None:
        super().__setitem__((key[0].name, *key[1:]), compiled)


_COMPILED: Final = _Compiled()


@sa.event.listens_for(sa.Engine, "engine_connect")
def _compiled_once(connection: sa.Connection) -> None:
    connection.execution_options(compiled_cache=_COMPILED)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """One core for each process that tests, and for all that it starts; before polars looks how many there are.

    What two threads or two processes do by turns wakes another core each time, and that takes as long as the work. So
    it is with polars and a few rows, with an operator and its API server.
    """
    if sys.platform != "linux":
        return
    cores = sorted(os.sched_getaffinity(0))
    worker: dict[str, str] | None = getattr(config, "workerinput", None)
    if worker is not None:
        os.sched_setaffinity(0, {cores[_number(worker["workerid"]) % len(cores)]})
        _polars_on_one_core()
    elif not config.getoption("numprocesses", None) and not any("integration" in each for each in config.args):
        os.sched_setaffinity(0, {cores[os.getpid() % len(cores)]})
        _polars_on_one_core()


def _polars_on_one_core() -> None:
    """With a few rows, most of the time of a step of polars is what it does around it; some of that is for nothing.

    Columns handed to the pool, of one thread, which works them out one by one; the flags of a step, which are put
    together anew each time; and whether a cloud is told of the step. A tenth of the time of unit tests.
    """
    import polars as pl  # noqa: PLC0415 - the core comes first
    from polars.lazyframe.engine import _LocalEngine  # noqa: PLC0415 - as above
    from polars.lazyframe.opt_flags import QueryOptFlags  # noqa: PLC0415 - as above

    flags, patch = QueryOptFlags._eager(), pytest.MonkeyPatch()
    patch.setattr(pl.DataFrame, "select", pl.DataFrame.select_seq)
    patch.setattr(pl.DataFrame, "with_columns", pl.DataFrame.with_columns_seq)
    patch.setattr(QueryOptFlags, "_eager", staticmethod(flags.__copy__))
    patch.setattr(_LocalEngine, "_with_monitoring", lambda _, same: same)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Nothing that is loaded here is garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was loaded stays: to look for garbage in it, again and again, would take some percent of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _number(worker: str) -> int:
    """Of a worker by its name, from 0."""
    return int(worker.removeprefix("gw"))


class _Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist publishes no types
    """Groups go first, in the order above, each to one worker; then come all other tests, one by one.

    So servers are started once or twice, not by every worker, and no worker is left alone with a long test at the end.
    The last third of the workers begins with the other tests: those with servers wait half of their time.
    xdist has marks for groups (`loadgroup`), which do nothing with this release of pytest.
    """

    def _split_scope(self, nodeid: str) -> str:
        return _GROUP_OF.get(nodeid.partition("::")[0], nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        groups = [group for group in (*_GROUPS, *_UNIT_GROUPS) if group in self.workqueue]
        others = (unit for unit in self.workqueue if unit not in groups)
        is_aside = 3 * _number(node.gateway.id) >= 2 * self.numnodes
        first = next(chain(others, groups) if is_aside else chain(groups, others))
        self.workqueue.move_to_end(first, last=False)
        super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    """Asked by xdist; None leaves another `--dist` as it is."""
    return _Scheduling(config, log) if config.getoption("dist") == "load" else None

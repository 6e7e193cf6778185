"""How tests run a command; a store with something in it; a target in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl
import pytest
from tests.unit.stores import open_store

from homeroom.cli import main
from homeroom.errors import TerminalError
from homeroom.hop import Hop
from homeroom.plan import Cause, Change, Kind, Op, Outcome, Result, Role
from homeroom.reconcile.connect import Outside
from homeroom.roster.state import ACTUAL_SCHEMAS, Actual
from homeroom.store import RunRow
from homeroom.targets import ACTIVITY_SCHEMA, Capabilities, Known

EXAMPLES = Path(__file__).parents[3] / "examples"
RECORDS = EXAMPLES / "lakeside-records"
TREE = EXAMPLES / "lakeside"
NOW = datetime.now(UTC)  # ages are shown against the real clock


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Homeroom = Callable[..., Said]


@pytest.fixture
def homeroom(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Homeroom:
    """Runs a command, far from any cluster and store."""
    for name in ("KUBECONFIG", "HOMEROOM_NAMESPACE", "HOMEROOM_STORE", "HOMEROOM_OWNER_ID", "HOMEROOM_FILE_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HOMEROOM_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TERMINAL_WIDTH", "200")

    def run(*arguments: object) -> Said:
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Said(code, said.out, said.err)

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The operator's files after two runs: u-1 came into class c-1, and a stranger was sent out of it."""
    now = datetime.now(UTC)  # ages are shown against the real clock: each is half a unit away from the next word
    directory = tmp_path / "data"
    directory.mkdir()
    store = open_store(directory)
    for kind, name, reason in (
        ("District", "lakeside", "Succeeded"),
        ("LearningApp", "kolibri", "TargetUnavailable"),
        ("School", "lakeside-s-001-0a0a0a0a", "Succeeded"),
    ):
        row = RunRow(
            started_at=now - timedelta(hours=2, minutes=6),
            ended_at=now - timedelta(hours=2, minutes=5, seconds=10),
            next_at=now + timedelta(days=1, hours=1, minutes=30),
            read_at=now - timedelta(days=3, hours=1, minutes=30),
            reason=reason,
            message="21 classes\nand more",
            summary={"classes": 21},
        )
        store.save_run(row, kind=kind, namespace="lakeside", name=name, epoch=1)
    person, stranger = (
        Change(
            seq=number,
            op=op,
            kind=Kind.MEMBERSHIP,
            school="s-001",
            key=key,
            class_key="c-1",
            role=Role.LEARNER,
            cause=cause,
        )
        for number, (op, key, cause) in enumerate(
            ((Op.CREATE, "u-1", Cause.SOURCE_ADDED), (Op.REMOVE, "x-2", Cause.INTRUDER))
        )
    )
    place = {"namespace": "lakeside", "app": "kolibri"}
    for run, change, at in (
        ("run-1", person, now - timedelta(days=9)),
        ("run-2", stranger, now - timedelta(hours=1)),
    ):
        about = {"run": run, "generation": 1, "revision": "abc123", "plan": "d" * 64, "at": at, "epoch": 1}
        batch = store.intend([change], **place, **about)  # type: ignore[arg-type]  # keywords by name
        outcome = Outcome(seq=change.seq, result=Result.APPLIED)
        store.conclude(batch, [change], [outcome], **place, at=at, epoch=1)
    store.close()
    return directory


class Shelf:
    """A target that can be read and nothing else."""

    capabilities = Capabilities()

    def __init__(self) -> None:
        frames = {name: pl.DataFrame(schema=schema) for name, schema in ACTUAL_SCHEMAS.items()}
        self.actual = Actual(**frames)  # type: ignore[arg-type]  # all five are frames
        self.told: pl.DataFrame | None = pl.DataFrame(schema=ACTIVITY_SCHEMA)
        """When accounts were last used; None: it has no plugin that tells it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def read(self, known: Known) -> Actual:
        assert known.schools
        return self.actual

    async def activity(self, actual: Actual) -> pl.DataFrame:
        assert actual is self.actual, "of what was read in this very session"
        if self.told is None:
            raise TerminalError("install a plugin", reason="CapabilityMissing")
        return self.told

    async def apply(self, batch: Sequence[Change]) -> Sequence[Outcome]:
        raise AssertionError(f"a plan writes nothing, and was asked for {len(batch)} changes")

    async def check(self) -> Sequence[Hop]:
        return [Hop(name="name resolution", ok=True, words="found"), Hop(name="log-in", ok=False, words="shut\nknock")]


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Stands behind every LearningApp."""
    shelf = Shelf()

    async def target(*_: object, **__: object) -> Shelf:
        return shelf

    monkeypatch.setattr(Outside, "target", target)
    return shelf

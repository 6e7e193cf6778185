"""The store keeps what it was given, also across a crash, and refuses an operator that no longer leads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from homeroom.plan import Cause, Change, Kind, Op, Outcome, Result, Role
from homeroom.roster.diff import Baseline
from homeroom.roster.state import DESIRED_SCHEMAS, Desired
from homeroom.store import Accepted, JournalQuery, LostLeadershipError, RunRow, Store, StoredBaseline
from homeroom.store.schema import metadata

NOW = datetime(2026, 9, 1, 2, 0, tzinfo=UTC)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/homeroom.db"


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    store = Store.open(url, tmp_path / "files")
    yield store
    store.close()


def accepted(digest: str) -> Accepted:
    return Accepted(digest=digest, accepted_at=NOW, validator='"etag"', spec_digest="0" * 64)


def test_migrations_lead_to_the_declared_tables(store: Store, url: str) -> None:
    store.ping()
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_opening_again_finds_everything(url: str, tmp_path: Path) -> None:
    first = Store.open(url, tmp_path / "files")
    first.accept(accepted("a" * 64), namespace="n", district="d", epoch=1)
    first.close()
    second = Store.open(url, tmp_path / "files")
    assert second.accepted(namespace="n", district="d") == accepted("a" * 64)
    assert second.accepted(namespace="other", district="d") is None
    second.close()


def test_an_older_epoch_may_not_write(store: Store) -> None:
    store.accept(accepted("a" * 64), namespace="n", district="d", epoch=5)
    with pytest.raises(LostLeadershipError):
        store.accept(accepted("b" * 64), namespace="n", district="d", epoch=4)
    found = store.accepted(namespace="n", district="d")
    assert found is not None
    assert found.digest == "a" * 64


def test_accepting_keeps_the_new_snapshot_and_the_one_before(store: Store) -> None:
    directory = store.snapshots(namespace="n", district="d")
    for name in ("first", "second", "third"):
        (directory / name).mkdir(parents=True)
        store.accept(accepted(name), namespace="n", district="d", epoch=1)
    assert sorted(entry.name for entry in directory.iterdir()) == ["second", "third"]


def baseline() -> StoredBaseline:
    desired = Desired(**{name: pl.DataFrame(schema=columns) for name, columns in DESIRED_SCHEMAS.items()})
    kept = pl.DataFrame({"kind": ["Membership"], "school": ["s"], "key": ["p"], "class_key": ["c"], "role": ["Coach"]})
    return StoredBaseline(
        baseline=Baseline(desired=desired, kept=kept, unapplied=kept.clear(), first=True),
        rules="[]",
        sharing="s",
    )


def test_a_baseline_comes_back_as_it_was(store: Store) -> None:
    assert store.baseline(namespace="n", app="a") is None
    stored = baseline()
    store.save_baseline(stored, namespace="n", app="a", epoch=1)
    found = store.baseline(namespace="n", app="a")
    assert found is not None
    assert (found.rules, found.sharing, found.baseline.first) == ("[]", "s", True)
    assert found.baseline.kept.equals(stored.baseline.kept)
    assert found.baseline.desired.memberships.schema == DESIRED_SCHEMAS["memberships"]


def change(seq: int, kind: Kind, key: str, **more: str) -> Change:
    return Change(seq=seq, op=Op.CREATE, kind=kind, school="s", key=key, cause=Cause.SOURCE_ADDED, **more)  # type: ignore[arg-type]  # only texts are passed


def test_a_batch_is_journaled_and_what_was_made_is_in_the_ledger(store: Store) -> None:
    changes = [
        change(0, Kind.PERSON, "u-1"),
        change(1, Kind.PERSON, "u-2"),
        Change(seq=2, op=Op.CREATE, kind=Kind.MEMBERSHIP, school="s", key="u-1", class_key="c-1", role=Role.LEARNER),
    ]
    outcomes = [
        Outcome(seq=0, result=Result.APPLIED, external_id="x1", username="anna"),
        Outcome(seq=1, result=Result.FAILED, error="USERNAME_ALREADY_EXISTS"),
        Outcome(seq=2, result=Result.APPLIED),
    ]
    batch = store.intend(
        changes, namespace="n", app="a", run="r", generation=3, revision="main@1", plan="p", at=NOW, epoch=1
    )
    store.conclude(batch, changes, outcomes, namespace="n", app="a", at=NOW, epoch=1)

    known = store.known(namespace="n", app="a")
    assert known.usernames.rows() == [("s", "u-1", "anna")]
    history = store.history(JournalQuery(namespace="n", person="u-1"))
    assert history.select("kind", "result", "revision").rows() == [
        ("Membership", "Applied", "main@1"),
        ("Person", "Applied", "main@1"),
    ]
    assert store.history(JournalQuery(namespace="other")).is_empty()


def test_a_user_name_stays_reserved_when_the_account_changes(store: Store) -> None:
    renamed = Change(seq=0, op=Op.UPDATE, kind=Kind.PERSON, school="s", key="u-1")
    for outcome in (
        Outcome(seq=0, result=Result.APPLIED, external_id="x1", username="anna"),
        Outcome(seq=0, result=Result.APPLIED, external_id="x1"),
    ):
        batch = store.intend(
            [renamed], namespace="n", app="a", run="r", generation=1, revision="-", plan="p", at=NOW, epoch=1
        )
        store.conclude(batch, [renamed], [outcome], namespace="n", app="a", at=NOW, epoch=1)
    assert store.known(namespace="n", app="a").usernames.rows() == [("s", "u-1", "anna")]


def test_runs_are_overwritten(store: Store) -> None:
    for reason in ("Failed", "Succeeded"):
        row = RunRow(started_at=NOW, ended_at=NOW, next_at=None, reason=reason, message="", summary={"students": 3})
        store.save_run(row, kind="District", namespace="n", name="d", epoch=1)
    runs = store.runs()
    assert runs.select("kind", "reason", "summary").rows() == [("District", "Succeeded", '{"students": 3}')]

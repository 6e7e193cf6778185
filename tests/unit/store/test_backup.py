"""A back-up has all that nobody could read anew, as it was at one moment, and comes back wholly or not at all."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples
from tests.unit.store.conftest import Database

from homeroom.plan import HELD_SCHEMA, Cause, Change, Guard, Hold, Kind, Op, Outcome, Result, Scope, State, first_synced
from homeroom.store import BackupError, JournalQuery, Store
from homeroom.store.backup import DERIVED, RECORDS
from homeroom.store.schema import metadata

NOW = datetime(2026, 9, 1, 2, 0, tzinfo=UTC)
APP = {"namespace": "n", "app": "a"}


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    store = Store.open(url, tmp_path / "files")
    do(store, Kind.SCHOOL, "s-1")
    do(store, Kind.PERSON, "u-1", username="ann")
    yield store
    store.close()


@pytest.fixture
def new(database: Database) -> str:
    """Of the database to restore into."""
    return database("new")


def do(store: Store, kind: Kind, key: str, *, username: str | None = None, at: datetime = NOW) -> None:
    """One change, made and written down."""
    change = Change(seq=0, op=Op.CREATE, kind=kind, school="s-1", key=key, cause=Cause.FIRST_SYNC)
    outcome = Outcome(seq=0, result=Result.APPLIED, external_id=f"id of {key}", username=username)
    batch = store.intend([change], **APP, run="r", generation=1, revision="abc", plan="p", at=at, epoch=1)
    store.conclude(batch, [change], [outcome], **APP, at=at, epoch=1)


def hold(identifier: str, state: State, *, guard: Guard = Guard.DELETES, approval: str | None = None) -> Hold:
    row = ("Remove", "Membership", "s-1", "u-1", "c-1", "Learner", "LeftSource", guard.value, "School", "s-1")
    left = state in {State.OPEN, State.APPROVED}
    return Hold(
        id=identifier,
        guard=guard,
        scope=Scope.SCHOOL,
        place="s-1",
        since=NOW,
        published=NOW,
        rows=pl.DataFrame([row] if left else [], schema=HELD_SCHEMA, orient="row"),
        total=1,
        state=state,
        approval=approval,
        approved_at=NOW if approval else None,
    )


def save(store: Store, *holds: Hold) -> None:
    store.save_holds(holds, before=(), namespace="n", kind="LearningApp", name="a", epoch=1)


def backed_up(store: Store) -> io.BytesIO:
    file = io.BytesIO()
    store.backup(file, at=NOW)
    return file


def restored(file: io.BytesIO, url: str, tmp_path: Path) -> Store:
    Store.restored(url, tmp_path / "new", file)
    return Store.open(url, tmp_path / "new")


def content(url: str) -> dict[str, list[Any]]:
    """All rows of all tables."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = {name: connection.execute(sa.select(table)).all() for name, table in metadata.tables.items()}
    engine.dispose()
    return {name: list(rows) for name, rows in found.items()}


def test_of_every_table_it_is_said_whether_it_is_backed_up() -> None:
    assert {table.name for table in (*RECORDS, *DERIVED)} == set(metadata.tables)
    assert not {*RECORDS} & {*DERIVED}


names = st.text(min_size=1, max_size=8)


@examples(30)
@given(changes=st.lists(st.tuples(st.sampled_from([Kind.PERSON, Kind.CLASS]), names, st.none() | names), max_size=12))
def test_what_was_backed_up_is_what_is_restored(changes: list[tuple[Kind, str, str | None]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder)
        store = Store.open(f"sqlite:///{path}/homeroom.db", path)
        for number, (kind, key, username) in enumerate(changes):
            do(store, kind, key, username=username, at=NOW + timedelta(seconds=number))
        again = restored(backed_up(store), f"sqlite:///{path}/new.db", path)
        everything = JournalQuery(namespace="n", limit=None)
        assert again.history(everything).equals(store.history(everything))
        assert again.known(**APP).usernames.equals(store.known(**APP).usernames)
        do(again, Kind.CLASS, "one more", at=NOW + timedelta(days=1))
        assert again.history(everything).height == len(changes) + 1
        store.close()
        again.close()


def test_it_has_what_no_reading_would_bring_back_and_nothing_of_what_one_would(
    store: Store, new: str, tmp_path: Path
) -> None:
    save(store, hold("used", State.USED, approval="ok"))
    forgotten = store.forget(
        "u-1",
        namespace="n",
        district="d",
        digest=None,
        snapshots=(),
        managed=(),
        abandoned=["a"],
        reason="r",
        at=NOW,
    )
    assert forgotten.accounts == 1
    again = restored(backed_up(store), new, tmp_path)
    assert again.known(**APP).withdrawn.has("ann", school="s-1")
    assert again.erasures(namespace="n").equals(store.erasures(namespace="n"))
    assert again.find_hold("used", namespace="n") is not None
    assert again.known(**APP).schools == []  # so that each school's first sync is reviewed again
    assert (again.baseline(**APP), again.accepted(namespace="n", district="d")) == (None, None)
    again.close()


def test_used_holds_stay_used_and_open_ones_are_asked_anew(store: Store, new: str, tmp_path: Path) -> None:
    save(
        store,
        hold("used", State.USED, approval="ok"),
        hold("open", State.OPEN),
        hold("half", State.APPROVED, approval="yes"),
        hold("first", State.USED, guard=Guard.FIRST_SYNC, approval="go"),
    )
    again = restored(backed_up(store), new, tmp_path)
    holds = again.holds(namespace="n", kind="LearningApp", name="a")
    assert {one.id: (one.state, one.approval, one.struck, one.rows.height) for one in holds} == {
        "used": (State.USED, "ok", 0, 0),
        "open": (State.GONE, None, 1, 0),
        "half": (State.USED, "yes", 1, 0),
        "first": (State.USED, "go", 0, 0),
    }
    assert first_synced(store.holds(namespace="n", kind="LearningApp", name="a")) == {"s-1"}
    assert first_synced(holds) == set()
    again.close()


def test_it_shows_one_moment_while_the_operator_works(store: Store, url: str, new: str, tmp_path: Path) -> None:
    class Slow(io.BytesIO):
        def write(self, data: Any) -> int:
            do(store, Kind.PERSON, f"late-{self.tell()}")
            return super().write(data)

    save(store, hold("used", State.USED, approval="ok"))
    looking = Store.open(url, tmp_path / "files", read_only=True)
    file = Slow()
    manifest = looking.backup(file, at=NOW)
    looking.close()
    assert store.history(JournalQuery(namespace="n", limit=None)).height > 2
    assert (manifest.rows["journal"], manifest.rows["batch"]) == (2, 2)
    again = restored(io.BytesIO(file.getvalue()), new, tmp_path)
    assert set(again.history(JournalQuery(namespace="n"))["key"]) == {"s-1", "u-1"}
    again.close()


@pytest.mark.parametrize("table", ["hold", "journal", "run", "accepted"])
def test_a_store_in_use_is_not_restored_into(store: Store, url: str, tmp_path: Path, table: str) -> None:
    file = backed_up(store)
    store.close()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for name in metadata.tables.keys() - {"leader", "alembic_version", table}:
            connection.execute(sa.delete(metadata.tables[name]))
        if table != "journal":
            values = {
                column.name: NOW.replace(tzinfo=None)
                if isinstance(column.type, sa.DateTime)
                else 1
                if isinstance(column.type, sa.Integer | sa.Boolean)
                else b"x"
                if isinstance(column.type, sa.LargeBinary)
                else "x"
                for column in metadata.tables[table].columns
            }
            connection.execute(sa.insert(metadata.tables[table]), [values])
    engine.dispose()
    before = content(url)
    with pytest.raises(BackupError, match=f"table '{table}' has rows"):
        Store.restored(url, tmp_path / "files", file)
    assert content(url) == before


def rewritten(file: io.BytesIO, change: Any) -> io.BytesIO:
    """The same back-up after `change` of its entries."""
    with zipfile.ZipFile(file) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    change(entries)
    new = io.BytesIO()
    with zipfile.ZipFile(new, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return new


def told(entries: dict[str, bytes], **said: Any) -> None:
    entries["manifest.json"] = json.dumps({**json.loads(entries["manifest.json"]), **said}).encode()


DAMAGE = {
    "no manifest": (lambda e: e.pop("manifest.json"), "no back-up of Homeroom"),
    "no JSON": (lambda e: e.update({"manifest.json": b"{"}), "no back-up of Homeroom"),
    "another revision": (lambda e: told(e, revision="0001"), "revision 0001, this `homeroom` is of"),
    "another format": (lambda e: told(e, format=2), "restore it with that release"),
    "a part is gone": (lambda e: e.pop("journal/000000.parquet"), "no back-up of Homeroom, or it is damaged"),
    "a part was changed": (lambda e: e.update({"journal/000000.parquet": b"PAR1"}), "is not what was written"),
    "a part is not told of": (lambda e: told(e, parts={}), "rows are missing"),
    "fields are missing": (lambda e: told(e, parts=None), "the manifest of this back-up is damaged"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_or_foreign_back_up_is_refused_before_anything_is_written(
    store: Store, new: str, tmp_path: Path, damage: str
) -> None:
    change, words = DAMAGE[damage]
    Store.open(new, tmp_path / "new").close()
    empty = content(new)
    with pytest.raises(BackupError, match=words):
        Store.restored(new, tmp_path / "new", rewritten(backed_up(store), change))
    assert content(new) == empty


@pytest.mark.parametrize("cut", [0, 100, -1])
def test_half_a_file_is_refused(store: Store, new: str, tmp_path: Path, cut: int) -> None:
    file = backed_up(store)
    with pytest.raises(BackupError, match="damaged"):
        Store.restored(new, tmp_path / "new", io.BytesIO(file.getvalue()[:cut]))


def test_what_the_database_refuses_half_way_leaves_nothing(store: Store, new: str, tmp_path: Path) -> None:
    def twice(entries: dict[str, bytes]) -> None:
        """The accounts come twice, and the manifest says so."""
        said = json.loads(entries["manifest.json"])
        entries["ledger/000001.parquet"] = entries["ledger/000000.parquet"]
        parts = {**said["parts"], "ledger/000001.parquet": said["parts"]["ledger/000000.parquet"]}
        told(entries, parts=parts, rows={**said["rows"], "ledger": 2 * said["rows"]["ledger"]})

    Store.open(new, tmp_path / "new").close()
    empty = content(new)
    with pytest.raises(sa.exc.IntegrityError):
        Store.restored(new, tmp_path / "new", rewritten(backed_up(store), twice))
    assert content(new) == empty

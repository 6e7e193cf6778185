"""The store keeps what it was given, also across a crash, and refuses an operator that no longer leads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from tests.unit.store.conftest import Database

from homeroom.plan import HELD_SCHEMA, Cause, Change, Guard, Hold, Kind, Op, Outcome, Result, Role, Scope
from homeroom.roster.diff import Baseline
from homeroom.roster.state import DESIRED_SCHEMAS, Desired
from homeroom.roster.years import PINS
from homeroom.seats.access import TEACHERS_SCHEMA
from homeroom.seats.assignment import SEATS_SCHEMA
from homeroom.seats.revocation import REVOKED_SCHEMA
from homeroom.seats.usage import NOTICED_SCHEMA, RECLAIMED_SCHEMA
from homeroom.store import (
    GRANTS_SCHEMA,
    Accepted,
    Door,
    JournalQuery,
    LostLeadershipError,
    Passed,
    RevisionError,
    RunRow,
    Seating,
    Store,
    StoredBaseline,
    StoredSupplement,
    revision,
)
from homeroom.store.schema import leader, metadata

NOW = datetime(2026, 9, 1, 2, 0, tzinfo=UTC)


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    store = Store.open(url, tmp_path / "files")
    yield store
    store.close()


def accepted(digest: str) -> Accepted:
    return Accepted(digest=digest, accepted_at=NOW, validator='"etag"', spec_digest="0" * 64)


def test_migrations_lead_to_the_declared_tables(empty: str, database: Database, tmp_path: Path) -> None:
    engine = sa.create_engine(empty)
    with engine.begin() as connection:
        revision.migrate(connection)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        migrated = layout(connection)
        assert revision.found(connection) == revision.CURRENT
    engine.dispose()
    new = database("new")
    Store.open(new, tmp_path).close()
    engine = sa.create_engine(new)
    with engine.connect() as connection:
        assert layout(connection) == migrated
        assert revision.found(connection) == revision.CURRENT
    engine.dispose()


def layout(connection: sa.Connection) -> tuple[object, ...]:
    """Tables with their columns, keys and indexes; and what they begin with."""
    look = sa.inspect(connection)
    tables = {
        name: (
            [{**column, "type": str(column["type"])} for column in look.get_columns(name)],
            look.get_pk_constraint(name),
            # As text: what a partial index is about is an object that equals itself only.
            sorted(
                str(
                    {key: str(value) for key, value in index.items() if key != "dialect_options"}
                    | {key: str(value) for key, value in index.get("dialect_options", {}).items()}
                )
                for index in look.get_indexes(name)
            ),
        )
        for name in sorted(look.get_table_names())
    }
    return tables, connection.execute(sa.select(leader)).all()


def test_the_current_revision_is_the_last_migration_and_revisions_grow() -> None:
    scripts = [script.revision for script in ScriptDirectory(str(revision.MIGRATIONS)).walk_revisions()]
    assert scripts[0] == revision.CURRENT
    assert scripts == sorted(scripts, reverse=True)


def stamp(url: str, number: str) -> None:
    """As if another release had made the tables."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :number"), {"number": number})
    engine.dispose()


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.rglob("*.db")}


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (
            "0000",
            f"is of an older release (revision 0000, this `homeroom` is of {revision.CURRENT}): upgrade the operator",
        ),
        ("9999", f"is of a newer release (revision 9999, this `homeroom` is of {revision.CURRENT}): upgrade this "),
    ],
)
def test_looking_does_not_touch_the_tables_of_another_release(
    store: Store, url: str, tmp_path: Path, number: str, advice: str
) -> None:
    store.close()
    stamp(url, number)
    before = content(tmp_path)
    with pytest.raises(RevisionError) as refused:
        Store.open(url, tmp_path / "files", read_only=True)
    assert advice in refused.value.message
    assert content(tmp_path) == before


def test_the_operator_does_not_work_on_tables_of_a_newer_release(store: Store, url: str, tmp_path: Path) -> None:
    store.close()
    stamp(url, "9999")
    before = content(tmp_path)
    with pytest.raises(RevisionError, match="is of a newer release"):
        Store.open(url, tmp_path / "files")
    assert content(tmp_path) == before


def test_looking_reads_while_the_operator_works_and_cannot_write(store: Store, url: str, tmp_path: Path) -> None:
    store.accept(accepted("a" * 64), namespace="n", district="d", epoch=1)
    looking = Store.open(url, tmp_path / "files", read_only=True)
    assert looking.accepted(namespace="n", district="d") == accepted("a" * 64)
    with pytest.raises(sa.exc.DBAPIError, match=r"read-?only"):
        looking.accept(accepted("b" * 64), namespace="n", district="d", epoch=1)
    looking.close()
    assert store.accepted(namespace="n", district="d") == accepted("a" * 64)


def test_looking_makes_nothing(empty: str, tmp_path: Path) -> None:
    if empty.startswith("sqlite"):
        with pytest.raises(sa.exc.OperationalError):
            Store.open(empty, tmp_path / "files", read_only=True)
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "homeroom.db").touch()
    with pytest.raises(RevisionError, match="no operator has used this store yet"):
        Store.open(empty, tmp_path / "files", read_only=True)
    assert not any(content(tmp_path).values())
    engine = sa.create_engine(empty)
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()


def test_a_store_that_was_not_made_whole_is_made_whole(store: Store, url: str, tmp_path: Path) -> None:
    """As when the process was killed while the tables were being made."""
    store.close()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in ("DROP TABLE alembic_version", "DROP TABLE run", "DELETE FROM leader"):
            connection.execute(sa.text(statement))
    engine.dispose()
    again = Store.open(url, tmp_path / "files")
    assert again.runs().is_empty()
    again.accept(accepted("a" * 64), namespace="n", district="d", epoch=1)
    again.close()


def test_opening_again_finds_everything(empty: str, tmp_path: Path) -> None:
    first = Store.open(empty, tmp_path / "files")
    first.accept(accepted("a" * 64), namespace="n", district="d", epoch=1)
    first.close()
    second = Store.open(empty, tmp_path / "files")
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


def test_what_is_served_is_kept_beside_the_reading(store: Store) -> None:
    directory = store.snapshots(namespace="n", district="d")
    for digest, served in (("first", None), ("second", "kept"), ("third", None)):
        for name in {digest, served or digest}:
            (directory / name).mkdir(parents=True)
        latest = replace(accepted(digest), served=served)
        store.accept(latest, namespace="n", district="d", epoch=1)
        assert store.accepted(namespace="n", district="d") == latest
        assert latest.serving == (served or digest)
    assert sorted(entry.name for entry in directory.iterdir()) == ["kept", "second", "third"]


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


def test_a_pool_is_replaced_whole_and_leaves_no_trace_when_it_gave_nothing(store: Store) -> None:
    place = {"namespace": "n", "pool": "p"}
    assert store.seating(**place).equals(Seating())
    seats = pl.DataFrame([("n/d", "u", "n/l", date(2026, 9, 1), None)], SEATS_SCHEMA, orient="row")
    teachers = [
        ("n/d", "here", "n/l", True, True, False),
        ("n/d", "here", "n/m", False, True, False),
        ("n/d", "left", "n/l", False, False, False),
        ("n/d", "out", "n/o", True, False, True),
        ("n/e", "other", "n/l", True, True, False),
    ]
    given = Seating(
        grants=pl.DataFrame([("n/l", 5, None)], GRANTS_SCHEMA, orient="row"),
        seats=seats,
        records={"n/d": "a"},
        noticed=pl.DataFrame([("n/d", "u", date(2026, 9, 1))], NOTICED_SCHEMA, orient="row"),
        reclaimed=pl.DataFrame([("n/d", "v", date(2026, 9, 1))], RECLAIMED_SCHEMA, orient="row"),
        teachers=pl.DataFrame(teachers, TEACHERS_SCHEMA, orient="row"),
        revoked=pl.DataFrame([("n/o", NOW, None, "h")], REVOKED_SCHEMA, orient="row"),
    )
    store.save_seating(given, **place, epoch=1)
    assert store.seating(**place).equals(given)
    found = store.seated("n/p", district="n/d")
    assert (found.students.to_list(), found.digest, found.reclaimed.to_list()) == (["u"], "a", ["v"])
    assert (found.teachers.to_list(), found.withdrawn.to_list()) == (["here"], ["out"])
    other = store.seated("n/p", district="n/e")
    assert (other.students.to_list(), other.teachers.to_list(), other.digest) == ([], ["other"], None)
    known = store.taught_by("here", namespace="n", district="d")
    assert known.rows() == [("n/p", "n/l", True, True, False), ("n/p", "n/m", False, True, False)]
    save = replace(given, teachers=None)  # as an older release left it
    store.save_seating(save, **place, epoch=1)
    assert store.seating(**place).equals(save)
    assert store.seated("n/p", district="n/d").digest is None
    assert store.seats_in_use() == {"n/l": 1}
    store.save_seating(Seating(), **place, epoch=1)
    assert store.seating(**place).equals(Seating())
    assert store.seats_in_use() == {}


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


def test_the_classes_of_sections_are_kept_until_others_are_said(store: Store) -> None:
    here, there = ({"namespace": "n", "district": district} for district in ("a", "b"))
    accepted = Accepted(digest="1", accepted_at=NOW, validator=None, spec_digest="s")
    pins = pl.DataFrame([("c", 2027, "c", False), ("c", 2028, "c@2028", True)], schema=PINS, orient="row")
    assert store.pins(**here) is None
    store.accept(accepted, Door(passed=Passed(), holds=(), before=(), pins=pins), **here, epoch=1)
    store.accept(accepted, Door(passed=Passed(), holds=(), before=()), **here, epoch=1)
    found = store.pins(**here)
    assert found is not None
    assert found.equals(pins)
    assert found.schema == PINS
    assert store.pins(**there) is None


def test_tenants_with_an_app_of_one_name_know_nothing_of_each_other(store: Store) -> None:
    """Their "u-1" are two people (safety row 14)."""
    made = [change(0, Kind.SCHOOL, "s"), replace(change(1, Kind.PERSON, "u-1"), hold="9f3c1a-7k2m")]
    outcomes = [
        Outcome(seq=0, result=Result.APPLIED, external_id="x"),
        Outcome(seq=1, result=Result.APPLIED, external_id="y", username="anna"),
    ]
    batch = store.intend(made, namespace="n", app="a", run="r", generation=1, revision="-", plan="p", at=NOW, epoch=1)
    store.conclude(batch, made, outcomes, namespace="n", app="a", at=NOW, epoch=1)
    for namespace, app, there in (("n", "a", True), ("other", "a", False), ("n", "other", False)):
        known = store.known(namespace=namespace, app=app)
        assert [known.schools, known.usernames.rows()] == [["s"] * there, [("s", "u-1", "anna")] * there]
        assert store.recent(namespace=namespace, app=app, since=NOW, closed_since=NOW).is_empty() is not there
        assert store.released(namespace=namespace, app=app, holds=["9f3c1a-7k2m"]).is_empty() is not there
        assert store.history(JournalQuery(namespace=namespace, app=app)).is_empty() is not there


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


def test_a_hold_is_found_by_its_id_within_its_namespace(store: Store) -> None:
    def held(number: int) -> Hold:
        return Hold(
            id=f"9f3c1a-000{number}",
            guard=Guard.DELETES,
            scope=Scope.DISTRICT,
            place="",
            since=NOW,
            published=NOW,
            rows=pl.DataFrame(schema=HELD_SCHEMA),
            total=number,
        )

    for number, (namespace, kind) in enumerate((("n", "District"), ("n", "LearningApp"), ("m", "LearningApp"))):
        store.save_holds([held(number)], before=[], namespace=namespace, kind=kind, name="a", epoch=1)
    for number, kind in enumerate(("District", "LearningApp")):
        found = store.find_hold(f"9f3c1a-000{number}", namespace="n")
        assert found is not None
        assert (found[0], found[1], found[2].total) == (kind, "a", number)
    assert store.find_hold("9f3c1a-0002", namespace="n") is None


def test_supplements_are_replaced_with_what_is_accepted(store: Store) -> None:
    place = {"namespace": "lakeside", "district": "lakeside"}
    rows = pl.DataFrame({"table": ["links"], "row": [2], "userSourcedId": ["u-1"]})

    def beside(name: str, *, digest: str = "1") -> StoredSupplement:
        frames = {"rows": rows, "findings": rows.clear(), "last": rows}
        return StoredSupplement(name=name, spec_digest="s", validator='"v"', digest=digest, accepted_at=NOW, **frames)

    accepted = Accepted(digest="2", accepted_at=NOW, validator=None, spec_digest="s", source="1")
    store.accept(accepted, None, [beside("b"), beside("a")], **place, epoch=1)
    assert store.accepted(**place) == accepted
    assert accepted.own == "1"
    found = store.supplements(**place)
    assert [one.name for one in found] == ["a", "b"]
    assert found[0].is_like(beside("a"))
    assert not found[0].is_like(beside("a", digest="2"))
    assert found[0].accepted_at == NOW
    assert found[0].names("u-1")
    assert not found[0].names("u-2")
    store.accept(replace(accepted, source=None), **place, epoch=1)
    assert len(store.supplements(**place)) == 2
    store.accept(accepted, None, [beside("b")], **place, epoch=1)
    assert [one.name for one in store.supplements(**place)] == ["b"]
    assert store.supplements(namespace="lakeside", district="other") == []


def test_the_source_alone_is_kept_beside_what_is_served(store: Store) -> None:
    place = {"namespace": "lakeside", "district": "lakeside"}
    directory = store.snapshots(**place)
    for name in ("1", "2", "3", "4"):
        (directory / name).mkdir(parents=True)
    accepted = Accepted(digest="2", accepted_at=NOW, validator=None, spec_digest="s", source="1", served="3")
    store.accept(accepted, **place, epoch=1)
    assert {entry.name for entry in directory.iterdir()} == {"1", "2", "3"}

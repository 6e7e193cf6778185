"""Who has left can be forgotten: nothing that is stored names the person any more, and nothing else is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from tests.unit.roster.states import desired, world

from homeroom.plan import HELD_SCHEMA, Cause, Change, Guard, Hold, Kind, Op, Outcome, Result, Role, Scope, State
from homeroom.roster.diff import KEPT_SCHEMA, UNAPPLIED_SCHEMA, Baseline
from homeroom.roster.person import in_baseline
from homeroom.seats.access import TEACHERS_SCHEMA
from homeroom.seats.assignment import SEATS_SCHEMA
from homeroom.seats.usage import LOGINS_SCHEMA, NOTICED_SCHEMA, RECLAIMED_SCHEMA
from homeroom.store import (
    GRANTS_SCHEMA,
    Accepted,
    Door,
    Forgotten,
    JournalQuery,
    Passed,
    Seating,
    StillThereError,
    Store,
    StoredBaseline,
    folders,
)
from homeroom.store import store as store_module
from homeroom.store.schema import metadata

NOW = datetime(2026, 9, 1, 2, 0, tzinfo=UTC)
ACCEPTED = "a" * 64


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    store = Store.open(url, tmp_path)
    store.accept(
        Accepted(digest=ACCEPTED, accepted_at=NOW, validator=None, spec_digest="0"),
        namespace="n",
        district="d",
        epoch=7,
    )
    yield store
    store.close()


def done(store: Store, change: Change, outcome: Outcome, *, app: str = "x", namespace: str = "n") -> None:
    """One change in a batch of its own."""
    batch = store.intend(
        [change], namespace=namespace, app=app, run="r", generation=1, revision="-", plan="p", at=NOW, epoch=7
    )
    store.conclude(batch, [change], [outcome], namespace=namespace, app=app, at=NOW, epoch=7)


def left_before(store: Store, person: str, *, app: str = "x", namespace: str = "n", school: str = "s1") -> None:
    """Somebody got an account and a class, and both were taken again."""
    account = {"kind": Kind.PERSON, "key": person}
    place = {"kind": Kind.MEMBERSHIP, "key": person, "class_key": "c-1", "role": Role.LEARNER}
    rows: list[dict[str, Any]] = [
        {"op": Op.CREATE, **account},
        {"op": Op.CREATE, **place},
        {"op": Op.REMOVE, **place},
        {"op": Op.SUSPEND, **account},
    ]
    for row in rows:
        change = Change(seq=0, school=school, cause=Cause.SOURCE_ADDED, **row)
        name = f"Name.{person}" if change.kind is Kind.PERSON else None
        outcome = Outcome(seq=0, result=Result.APPLIED, external_id=f"external-{person}", username=name)
        done(store, change, outcome, app=app, namespace=namespace)


def remembered(text: str, kept: dict[str, str] | None = None) -> StoredBaseline:
    """A baseline that wants the people of `text`, and keeps one row."""
    rows = [{**dict.fromkeys(KEPT_SCHEMA), "school": "s1", **kept}] if kept else []
    baseline = Baseline(
        desired=desired(world(text)),
        kept=pl.DataFrame(rows, schema=KEPT_SCHEMA),
        unapplied=pl.DataFrame(schema=UNAPPLIED_SCHEMA),
    )
    return StoredBaseline(baseline=baseline, rules="[]", sharing="s")


def save(store: Store, baseline: StoredBaseline, app: str = "x") -> None:
    store.save_baseline(baseline, namespace="n", app=app, epoch=7)


def forget(store: Store, person: str = "gone", **more: Any) -> Forgotten:
    how: dict[str, Any] = {"digest": ACCEPTED, "snapshots": [], "managed": ["x"], "abandoned": [], **more}
    return store.forget(person, namespace="n", district="d", reason="asked for it", at=NOW, **how)


def everything(url: str, directory: Path) -> str:
    """All that is written down anywhere, in the database and in the files; what was overwritten there, too."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        texts = [str(connection.execute(sa.select(table)).all()) for table in metadata.tables.values()]
        if url.startswith("sqlite"):
            connection.execute(sa.text("PRAGMA wal_checkpoint(TRUNCATE)"))
    engine.dispose()
    texts += [path.read_bytes().decode("latin-1") for path in directory.rglob("*") if path.is_file()]
    for part in ("baselines", "chats"):
        texts += [str(pl.read_parquet(path).rows()) for path in (directory / part).rglob("*.parquet")]
    return "".join(texts)


def test_nothing_that_is_stored_names_the_person_any_more(store: Store, url: str, tmp_path: Path) -> None:
    left_before(store, "gone-for-good")
    left_before(store, "gone-for-good", school="s2")
    save(store, remembered("7a: ann", {"kind": "Membership", "key": "gone-for-good", "class_key": "7a"}))
    snapshot = store.snapshots(namespace="n", district="d") / ("b" * 64)
    snapshot.mkdir(parents=True)
    (snapshot / "users.parquet").write_bytes(b"gone-for-good")
    assert "gone-for-good" in everything(url, tmp_path)
    done = forget(store, "gone-for-good", snapshots=["b" * 64])
    assert done == Forgotten(changes=8, accounts=2, baselines=1, snapshots=1)
    assert store.erasures(namespace="n").rows() == [(NOW.replace(tzinfo=None), "d", "asked for it", 8, 2)]
    assert not snapshot.exists()
    store.close()
    text = everything(url, tmp_path)
    assert "forgotten-" in text
    for trace in ("gone-for-good", "Name.gone", "name.gone"):
        assert trace not in text


def test_what_an_approval_let_pass_at_the_source_forgets_the_person_only(store: Store) -> None:
    left_before(store, "gone")
    save(store, remembered("7a: ann"))
    like = {"op": "Remove", "school": "s1", "class_key": None, "role": None, "hold": "h", "at": NOW}
    rows = [
        {**like, "kind": kind, "key": key} for kind, key in (("Person", "gone"), ("Person", "ann"), ("Class", "gone"))
    ]
    passed = Passed()
    passed = replace(passed, released=pl.DataFrame(rows, schema=passed.released.schema))
    accepted = Accepted(digest=ACCEPTED, accepted_at=NOW, validator=None, spec_digest="0")
    store.accept(accepted, Door(passed=passed, holds=(), before=()), namespace="n", district="d", epoch=7)
    forget(store)
    left = store.passed(namespace="n", district="d").released
    assert left.select("kind", "key").rows() == [("Person", "ann"), ("Class", "gone")]


def test_a_class_that_has_the_id_of_the_person_keeps_it(store: Store) -> None:
    left_before(store, "gone")
    section = Change(seq=0, op=Op.CREATE, kind=Kind.CLASS, school="s1", key="gone", cause=Cause.SOURCE_ADDED)
    done(store, section, Outcome(seq=0, result=Result.APPLIED, external_id="7"))
    save(store, remembered("7a: ann"))
    forget(store)
    assert store.history(JournalQuery(namespace="n", class_key="gone")).height == 1
    assert store.known(namespace="n", app="x").classes.rows() == [("s1", "gone")]


def test_counts_stay_true(store: Store) -> None:
    for person in ("gone", "left", "ann"):
        left_before(store, person)
    save(store, remembered("7a: ann"))
    before = store.history(JournalQuery(namespace="n"))
    forget(store, "gone")
    forget(store, "left")
    after = store.history(JournalQuery(namespace="n"))
    assert after.drop("key").equals(before.drop("key"))
    people = after["key"]
    assert people.n_unique() == 3
    assert people.filter(people.str.starts_with("forgotten-")).n_unique() == 2
    assert store.history(JournalQuery(namespace="n", person="ann")).height == 4


def test_a_user_name_stays_reserved_for_nobody(store: Store) -> None:
    left_before(store, "gone")
    left_before(store, "ann")
    save(store, remembered("7a: ann"))
    forget(store)
    known = store.known(namespace="n", app="x")
    assert known.usernames.rows() == [("s1", "ann", "Name.ann")]
    assert known.withdrawn.has("name.GONE", school="s1")
    assert not known.withdrawn.has("name.gone", school="s2")
    assert not known.withdrawn.has("name.ann", school="s1")
    assert not store.known(namespace="n", app="y").withdrawn.has("name.gone", school="s1")
    left_before(store, "gone")  # came back, and has left again
    forget(store)
    assert store.known(namespace="n", app="x").withdrawn == known.withdrawn


@pytest.mark.parametrize(
    ("baseline", "words"),
    [
        (remembered("7a: gone"), "'gone' has an account in use in x (school s1): first records and rules"),
        (remembered("7a: ann", {"kind": "Person", "key": "gone"}), "has an account in use in x (school s1)"),
        (None, "'gone' has an account in x, of which the store does not know what is in use there: wait"),
    ],
)
def test_who_has_an_account_in_use_is_not_forgotten(store: Store, baseline: StoredBaseline | None, words: str) -> None:
    left_before(store, "gone")
    if baseline is not None:
        save(store, baseline)
    with pytest.raises(StillThereError) as refused:
        forget(store)
    assert words in refused.value.message
    assert store.history(JournalQuery(namespace="n", person="gone")).height == 4
    assert store.erasures(namespace="n").is_empty()


def test_what_an_app_has_in_use_that_nobody_declares_any_more_does_not_matter(store: Store) -> None:
    left_before(store, "gone")
    save(store, remembered("7a: gone ann tom*"))
    assert forget(store, managed=[], abandoned=["x"]).baselines == 1
    stored = store.baseline(namespace="n", app="x")
    assert stored is not None
    assert (stored.rules, stored.sharing) == ("[]", "s")
    assert in_baseline(stored.baseline, "gone").empty
    assert in_baseline(stored.baseline, "ann").desired == in_baseline(remembered("7a: ann").baseline, "ann").desired


def test_other_apps_and_tenants_are_other_people(store: Store) -> None:
    for app, namespace in (("x", "n"), ("y", "n"), ("x", "m")):
        left_before(store, "gone", app=app, namespace=namespace)
    save(store, remembered("7a: ann"))
    forget(store)
    assert store.history(JournalQuery(namespace="n", app="y", person="gone")).height == 4
    assert store.history(JournalQuery(namespace="m", person="gone")).height == 4
    assert store.accounts(namespace="n", app="y", person="gone").rows() == [("s1", "external-gone", "Name.gone")]
    assert store.accounts(namespace="n", app="x", person="gone").is_empty()


def test_a_seat_goes_and_those_of_others_stay(store: Store) -> None:
    """A pool may be in another namespace than the student, and another district's "gone" is somebody else."""
    day = date(2026, 9, 1)
    people = [("n/d", "gone"), ("n/d", "stays"), ("n/e", "gone")]
    seats = pl.DataFrame([(*who, "n/l", day, None) for who in people], SEATS_SCHEMA, orient="row")
    grants = pl.DataFrame([("n/l", 5, None)], GRANTS_SCHEMA, orient="row")
    noticed, reclaimed = (
        pl.DataFrame([(*who, day) for who in people], schema, orient="row")
        for schema in (NOTICED_SCHEMA, RECLAIMED_SCHEMA)
    )
    connected = [(*who, "n/l", True, True, False) for who in people]
    teachers = pl.DataFrame(connected, TEACHERS_SCHEMA, orient="row")
    before = Seating(
        grants=grants,
        seats=seats,
        records={"n/d": "0"},
        noticed=noticed,
        reclaimed=reclaimed,
        teachers=teachers,
    )
    store.save_seating(before, namespace="m", pool="p", epoch=7)
    logins = pl.DataFrame([(*who, day, day, True) for who in people], LOGINS_SCHEMA, orient="row")
    store.use.save_activity(logins, namespace="n", app="x", epoch=7)
    assert store.seats_of("gone", namespace="n", district="d").rows() == [("m/p", "n/l", day, None, day, day)]
    assert forget(store) == Forgotten(changes=0, accounts=0, baselines=0, snapshots=0)
    after = store.seating(namespace="m", pool="p")
    assert after.seats.select("district", "student").rows() == people[1:]
    assert after.noticed.select("district", "student").rows() == people[1:]
    assert after.reclaimed.select("district", "student").rows() == people[1:]
    assert after.teachers is not None
    assert after.teachers.select("district", "teacher").rows() == people[1:]
    kept = replace(after, seats=seats, noticed=noticed, reclaimed=reclaimed, teachers=teachers)
    assert kept.equals(before)
    left = store.use.activity(namespace="n", app="x")
    assert left.select("district", "person").rows() == people[1:]


def test_of_who_has_no_seat_the_use_is_forgotten_all_the_same(store: Store) -> None:
    logins = pl.DataFrame([("n/d", "gone", None, None, True)], LOGINS_SCHEMA, orient="row")
    store.use.save_activity(logins, namespace="n", app="x", epoch=7)
    forget(store)
    assert store.use.activity(namespace="n", app="x").is_empty()


def test_nobody_is_not_forgotten_nor_anybody_of_records_that_have_changed(store: Store) -> None:
    left_before(store, "gone")
    save(store, remembered("7a: ann"))
    with pytest.raises(StillThereError, match="nothing is known of a person 'nobody'"):
        forget(store, "nobody")
    with pytest.raises(StillThereError, match="read anew just now: try again"):
        forget(store, digest="b" * 64)
    assert store.erasures(namespace="n").is_empty()
    assert store.history(JournalQuery(namespace="n", person="gone")).height == 4


def test_the_leader_goes_on_leading(store: Store, url: str, tmp_path: Path) -> None:
    left_before(store, "gone")
    save(store, remembered("7a: ann"))
    other = Store.open(url, tmp_path, as_it_is=True)
    forget(other)
    other.close()
    save(store, remembered("7a: ann bob"))
    assert store.known(namespace="n", app="x").withdrawn.has("name.gone", school="s1")
    assert store.apps(namespace="n") == ["x"]
    assert store.districts(namespace="n") == ["d"]


class Between(Store):
    """The operator's store, in which something happens between files and row of a baseline."""

    happens: Callable[[], object] = staticmethod(lambda: None)

    @contextmanager
    def _writing(self, epoch: int) -> Iterator[sa.Connection]:
        self.happens()
        with super()._writing(epoch) as connection:
            yield connection


@pytest.fixture
def operator(store: Store, url: str, tmp_path: Path) -> Iterator[Between]:
    """A run is about to save what it wants; before that, `gone` had left something behind."""
    left_before(store, "gone")
    save(store, remembered("7a: ann", {"kind": "Membership", "key": "gone", "class_key": "7a"}))
    operator = Between.open(url, tmp_path)
    yield operator
    operator.close()


def test_a_run_that_has_written_its_files_keeps_them(store: Store, operator: Between) -> None:
    operator.happens = lambda: forget(store)
    save(operator, remembered("7a: ann bob"))
    found = store.baseline(namespace="n", app="x")
    assert found is not None
    assert found.baseline.desired.people["key"].to_list() == ["ann", "bob"]


def test_a_run_that_tidies_up_leaves_what_was_written_since(
    store: Store, operator: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = remembered("7a: ann bob", {"kind": "Membership", "key": "gone", "class_key": "7a"})
    remove = folders.remove

    def first_forget(folders: Iterable[Path]) -> None:
        monkeypatch.setattr(store_module, "remove", remove)
        assert forget(store).baselines == 1
        remove(folders)

    monkeypatch.setattr(store_module, "remove", first_forget)
    save(operator, left)
    found = store.baseline(namespace="n", app="x")
    assert found is not None
    assert found.baseline.desired.people["key"].to_list() == ["ann", "bob"]
    assert found.baseline.kept.is_empty()


def held(store: Store, state: State, *, kind: str = "LearningApp", name: str = "x") -> None:
    """A hold with a change about `gone`, another about `ann`, and a class that has the id of the person."""
    rows = pl.DataFrame(
        [
            {**dict.fromkeys(HELD_SCHEMA, ""), "kind": kind_of.value, "key": key}
            for kind_of, key in ((Kind.PERSON, "gone"), (Kind.PERSON, "ann"), (Kind.CLASS, "gone"))
        ],
        schema=HELD_SCHEMA,
    )
    hold = Hold(
        id="9f3c1a-7k2m",
        guard=Guard.DELETES,
        scope=Scope.SCHOOL,
        place="s1",
        since=NOW,
        published=NOW,
        rows=rows,
        total=3,
        state=state,
    )
    store.save_holds([hold], before=[], namespace="n", kind=kind, name=name, epoch=7)


@pytest.mark.parametrize(("kind", "name"), [("LearningApp", "x"), ("District", "d")])
def test_in_a_hold_that_is_over_only_the_person_is_made_anonymous(store: Store, kind: str, name: str) -> None:
    left_before(store, "gone")
    save(store, remembered("7a: ann"))
    held(store, State.EXPIRED, kind=kind, name=name)
    held(store, State.EXPIRED, kind=kind, name="another")
    forget(store)
    (hold,) = store.holds(namespace="n", kind=kind, name=name)
    token = store.history(JournalQuery(namespace="n"))["key"][0]
    assert hold.rows["key"].to_list() == [token, "ann", "gone"]
    assert (hold.rows.schema, hold.total) == (HELD_SCHEMA, 3)
    (other,) = store.holds(namespace="n", kind=kind, name="another")
    assert other.rows["key"].to_list() == ["gone", "ann", "gone"]


def test_a_question_about_the_person_is_about_nobody_any_more(store: Store) -> None:
    left_before(store, "gone")
    save(store, remembered("7a: ann"))
    asked = [("gone", "Changed ann"), ("ann", "Changed gone"), ("ann", "Recycled")]
    rows = pl.DataFrame(
        [{**dict.fromkeys(HELD_SCHEMA, ""), "kind": "Person", "key": key, "role": role} for key, role in asked],
        schema=HELD_SCHEMA,
    )
    hold = Hold(
        id="9f3c1a-7k2m",
        guard=Guard.IDENTITY,
        scope=Scope.PERSON,
        place="gone",
        since=NOW,
        published=NOW,
        rows=rows,
        total=3,
        state=State.EXPIRED,
    )
    store.save_holds([hold], before=[], namespace="n", kind="District", name="d", epoch=7)
    forget(store)
    (after,) = store.holds(namespace="n", kind="District", name="d")
    token = store.history(JournalQuery(namespace="n"))["key"][0]
    assert after.place == token
    assert after.rows.select("key", "role").rows() == [
        (token, "Changed ann"),
        ("ann", f"Changed {token}"),
        ("ann", "Recycled"),
    ]


@pytest.mark.parametrize("state", [State.OPEN, State.APPROVED])
def test_who_is_in_a_hold_that_counts_is_not_forgotten(store: Store, state: State) -> None:
    left_before(store, "gone")
    save(store, remembered("7a: ann"))
    held(store, state)
    with pytest.raises(StillThereError, match="'gone' is in hold 9f3c1a-7k2m of LearningApp 'x': first it has to be"):
        forget(store)
    assert store.history(JournalQuery(namespace="n", person="gone")).height == 4

"""What the journal answers: narrowed, counted per run, and about one person at some moment in the past."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from homeroom.plan import Cause, Change, Kind, Op, Outcome, Result, Role
from homeroom.store import JournalQuery, LostLeadershipError, Origin, Store

NOW = datetime(2026, 9, 1, 2, 0, tzinfo=UTC)


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    store = Store.open(url, tmp_path)
    yield store
    store.close()


def change(op: Op, kind: Kind, key: str, class_key: str | None = None) -> Change:
    role = Role.LEARNER if kind is Kind.MEMBERSHIP else None
    return Change(
        seq=0, op=op, kind=kind, school="s", key=key, class_key=class_key, role=role, cause=Cause.SOURCE_ADDED
    )


def journaled(
    store: Store, *changes: Change, run: str, day: int, revision: str = "main@sha1:0", app: str = "a", ok: bool = True
) -> None:
    """Changes of one kind and operation in one batch, on a day of September."""
    at = NOW + timedelta(days=day - 1)
    place = {"namespace": "n", "app": app}
    batch = store.intend(changes, **place, run=run, generation=day, revision=revision, plan="p", at=at, epoch=1)
    result = Result.APPLIED if ok else Result.FAILED
    store.conclude(batch, changes, [Outcome(seq=0, result=result)] * len(changes), **place, at=at, epoch=1)


@pytest.fixture
def filled(store: Store) -> Store:
    """u-1 and u-2 come into a class on the 1st, which is archived on the 3rd; another app has its own u-1."""
    people = [change(Op.CREATE, Kind.PERSON, key) for key in ("u-1", "u-2")]
    members = [change(Op.CREATE, Kind.MEMBERSHIP, key, "c") for key in ("u-1", "u-2")]
    journaled(store, *people, run="first", day=1, revision="main@sha1:aaa")
    journaled(store, *members, run="first", day=1, revision="main@sha1:aaa")
    journaled(store, change(Op.UPDATE, Kind.PERSON, "u-1"), run="second", day=2, ok=False)
    journaled(store, change(Op.ARCHIVE, Kind.CLASS, "c"), run="third", day=3, revision="main@sha1:b_b")
    journaled(store, change(Op.CREATE, Kind.PERSON, "u-1"), run="other", day=4, app="b")
    return store


def test_changes_are_found_by_any_part_of_a_revision(filled: Store) -> None:
    def runs(revision: str) -> list[str]:
        return filled.history(JournalQuery(namespace="n", revision=revision))["run"].unique().sort().to_list()

    assert runs("aaa") == ["first"]
    assert runs("main@sha1:b_b") == ["third"]
    assert runs("b_") == ["third"]
    assert runs("a_a") == [], "what a database takes for any character is a character here"


def test_changes_are_found_by_the_time(filled: Store) -> None:
    def runs(since: int, until: int) -> list[str]:
        begin, end = (NOW + timedelta(days=day - 1) for day in (since, until))
        found = filled.history(JournalQuery(namespace="n", since=begin, until=end))
        return found["run"].unique(maintain_order=True).to_list()

    assert runs(2, 4) == ["third", "second"]
    assert runs(2, 2) == []


def test_changes_of_a_class_are_found_with_those_of_the_next_school_years(filled: Store) -> None:
    """By the source id of its section; a `_` in an id is no place for any character."""
    sections = ("c@2028", "c@2029", "c-2@2028", "cc@2028", "d_c@2028", "d.c@2028")
    for section in sections:
        kept = [change(Op.CREATE, Kind.CLASS, section), change(Op.CREATE, Kind.MEMBERSHIP, "u-1", section)]
        for one in kept:
            journaled(filled, one, run="late", day=5)

    def found(section: str) -> set[str]:
        rows = filled.history(JournalQuery(namespace="n", class_key=section))
        return {row["key"] if row["kind"] == "Class" else row["class_key"] for row in rows.iter_rows(named=True)}

    assert found("c") == {"c", "c@2028", "c@2029"}
    assert found("c@2028") == {"c@2028"}
    assert found("d_c") == {"d_c@2028"}


def test_runs_are_counted_newest_first(filled: Store) -> None:
    counted = filled.counted(namespace="n", runs=9)
    assert counted.drop("at", "generation").rows() == [
        ("other", "b", "main@sha1:0", 1, 0, 0, 0, 0, 0),
        ("third", "a", "main@sha1:b_b", 0, 0, 0, 0, 1, 0),
        ("second", "a", "main@sha1:0", 0, 0, 0, 0, 0, 1),
        ("first", "a", "main@sha1:aaa", 4, 0, 0, 0, 0, 0),
    ]
    assert counted["at"].to_list()[3] == NOW.replace(tzinfo=None)
    assert filled.counted(namespace="n", runs=2)["run"].to_list() == ["other", "third"]
    assert filled.counted(namespace="elsewhere", runs=9).is_empty()


def test_the_past_of_a_person_has_what_happened_to_the_classes(filled: Store) -> None:
    def past(day: int, person: str = "u-1") -> list[tuple[str, str, str]]:
        found = filled.past(namespace="n", app="a", person=person, until=NOW + timedelta(days=day - 1))
        return found.select("kind", "key", "result").rows()

    own = [("Person", "u-1", "Applied"), ("Membership", "u-1", "Applied")]
    assert past(1) == []
    assert past(2) == own
    assert past(9) == [*own, ("Person", "u-1", "Failed"), ("Class", "c", "Applied")]
    assert past(9, "c") == [], "a class is nobody"
    journaled(filled, change(Op.CREATE, Kind.MEMBERSHIP, "c", "c"), run="alike", day=4)
    assert past(9, "c") == [("Class", "c", "Applied"), ("Membership", "c", "Applied")]


def test_the_journal_of_an_app_has_a_beginning(filled: Store) -> None:
    assert filled.journal_begins(namespace="n", app="a") == NOW
    assert filled.journal_begins(namespace="n", app="b") == NOW + timedelta(days=3)
    assert filled.journal_begins(namespace="m", app="a") is None


def test_the_origin_of_an_app_is_the_last_that_was_seen(store: Store) -> None:
    assert store.origin(namespace="n", app="a") is None
    for revision in ("one", "two"):
        origin = Origin(resources=frozenset({"x", "y"}), revision=revision)
        store.save_origin(origin, namespace="n", app="a", at=NOW, epoch=1)
    assert store.origin(namespace="n", app="a") == Origin(resources=frozenset({"x", "y"}), revision="two")
    assert store.origin(namespace="n", app="b") is None


def test_licences_that_went_with_their_namespace_stand_in_the_journal_of_their_pool(store: Store) -> None:
    held = {"n/b": "hold-1", "m/a": "hold-1"}
    store.licences.note_orphans(held, namespace="n", pool="seats", at=NOW, epoch=1)
    told = store.history(JournalQuery(namespace="n", app="LicensePool/seats", cause="NamespaceDeleted"))
    columns = ("op", "kind", "key", "hold", "result")
    assert told.select(columns).rows() == [
        ("Orphan", "SchoolLicense", "n/b", "hold-1", "Applied"),
        ("Orphan", "SchoolLicense", "m/a", "hold-1", "Applied"),
    ]
    with pytest.raises(LostLeadershipError):
        store.licences.note_orphans(held, namespace="n", pool="seats", at=NOW, epoch=0)

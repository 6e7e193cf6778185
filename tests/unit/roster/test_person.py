"""What is known of one person is found, all of it, and can be taken out of a baseline without touching anybody else."""

from __future__ import annotations

from dataclasses import fields

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.roster.rosters import Class, Enrolled, Held, Names, Org, User, roster_of, unhurried
from tests.unit.roster.states import both, desired, world

from homeroom.plan import Cause, Kind, Role
from homeroom.roster.diff import KEPT_SCHEMA, UNAPPLIED_SCHEMA, Baseline
from homeroom.roster.person import in_baseline, in_records, without
from homeroom.roster.state import Desired

ROSTER = roster_of(
    Org("s-1"),
    Org("s-2"),
    Class("k-1"),
    Class("k-2"),
    User("u-1", given="Ada", family="Hill"),
    User("u-2"),
    Held("u-1", "teacher", "s-2"),
    Held("u-2", "student", "s-1"),
    Enrolled("k-2", "u-1"),
    Enrolled("k-2", "u-2"),
    Names("u-2", "u-1"),
)


def test_rows_of_the_records_name_what_they_refer_to() -> None:
    found = in_records(ROSTER, "u-1")
    assert set(found) == {"users", "agents", "roles", "enrollments"}
    assert found["agents"] == in_records(ROSTER, "u-2")["agents"] == [{"user": "u-2", "agent": "u-1"}]
    (user,) = found["users"]
    assert (user["id"], user["given"], user["family"]) == ("u-1", "Ada", "Hill")
    assert ("u-1", "teacher", "s-2") in [(role["user"], role["role"], role["org"]) for role in found["roles"]]
    (enrolled,) = found["enrollments"]
    assert (enrolled["user"], enrolled["class"]) == ("u-1", "k-2")
    assert in_records(ROSTER, "nobody") == {}


def words(kind: Kind, key: str, **more: str) -> dict[str, str | None]:
    row: dict[str, str | None] = dict.fromkeys(KEPT_SCHEMA)
    return {**row, "kind": kind.value, "school": "s1", "key": key, "cause": Cause.LEFT_SOURCE.value, **more}


KEPT = pl.DataFrame(
    [
        words(Kind.PERSON, "gone", was=Role.LEARNER.value),
        words(Kind.MEMBERSHIP, "gone", class_key="7a", role=Role.LEARNER.value),
        words(Kind.CLASS, "ann"),  # a class may have the id of a person
    ],
    schema=KEPT_SCHEMA,
)
UNAPPLIED = pl.DataFrame([words(Kind.PERSON, "ann"), words(Kind.CLASS, "7a")], schema=UNAPPLIED_SCHEMA)
WORLD = both(world("7a: ann bob tom*; 7b: bob", rights=["tom"]), world("9c: ann", school="s2"))
BASELINE = Baseline(desired=desired(WORLD), kept=KEPT, unapplied=UNAPPLIED)


def test_a_baseline_tells_what_a_person_has_and_where() -> None:
    ann = in_baseline(BASELINE, "ann")
    assert [(row["school"], row["key"], row["name"]) for row in ann.desired["people"]] == [
        ("s1", "ann", "Name ann"),
        ("s2", "ann", "Name ann"),
    ]
    assert ann.desired["memberships"] == [
        {"school": "s1", "class_key": "7a", "role": "Learner"},
        {"school": "s2", "class_key": "9c", "role": "Learner"},
    ]
    assert (ann.kept, [row["kind"] for row in ann.unapplied]) == ([], ["Person"])
    assert in_baseline(BASELINE, "tom").desired["rights"] == [{"school": "s1"}]
    assert [row["kind"] for row in in_baseline(BASELINE, "gone").kept] == ["Person", "Membership"]


@pytest.mark.parametrize(
    ("person", "schools", "empty"),
    [("ann", ["s1", "s2"], False), ("gone", ["s1"], False), ("7a", [], True), ("nobody", [], True)],
)
def test_an_account_is_in_use_while_it_is_wanted_or_kept(person: str, schools: list[str], *, empty: bool) -> None:
    found = in_baseline(BASELINE, person)
    assert (found.in_use, found.empty) == (schools, empty)


def told(state: Desired) -> tuple[set[object], ...]:
    """A state in words, without row numbers."""
    schools, people, classes = state.schools["key"], state.people, state.classes
    place = people.select(schools.gather(people["school"]).alias("school"), "key", "name", "username", "staff")
    section = classes.select(schools.gather(classes["school"]).alias("school"), "key", "name")
    return (
        set(state.schools.rows()),
        set(place.rows()),
        set(section.rows()),
        {(section.row(c), place.row(p), role) for c, p, role in state.memberships.rows()},
        {place.row(p) for (p,) in state.rights.rows()},
    )


@unhurried
@given(st.sampled_from(["ann", "bob", "tom", "gone", "nobody"]), st.integers(0, 50))
def test_taking_somebody_out_leaves_everybody_else_as_they_were(person: str, seed: int) -> None:
    whole = Baseline(desired=desired(WORLD, seed), kept=KEPT, unapplied=UNAPPLIED, first=True)
    left = without(whole, person)
    assert in_baseline(left, person).empty
    assert left.first
    before, after = told(whole.desired), told(left.desired)
    for one, other in zip(before, after, strict=True):
        assert other == {row for row in one if person not in str(row)}
    for name in ("ann", "bob", "tom", "gone"):
        if name != person:
            assert in_baseline(left, name) == in_baseline(whole, name)
    for part in fields(Desired):
        assert getattr(left.desired, part.name).schema == getattr(whole.desired, part.name).schema
    assert left.kept.filter(pl.col("kind") == "Class").equals(KEPT.filter(pl.col("kind") == "Class"))

"""What of a Kolibri that people, or another owner, had filled may be taken over, and what may never be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from tests.unit.targets.test_kolibri_reading import KNOWN, MARKS, OTHER, facility, user

from homeroom.roster.state import ADOPTABLE_SCHEMAS, Actual, Adoptable, Withdrawn
from homeroom.targets.kolibri.marks import CLASSES, PERSON, ClassEntry, Marks, PersonMark, State
from homeroom.targets.kolibri.reading import Listed, Site, actual, adoptable_sites, sites

PUPIL = ("s-1", "p-1", "0001", "ann.lee@school.example", False, False)
TEACHER = ("s-1", "t-1", None, "tom.day", True, False)
HEAD = ("s-1", "h-1", None, "helen", True, True)
Person = tuple[str, str, str | None, str | None, bool, bool]


def wanted(*people: Person, schools: dict[str, str] | None = None, classes: dict[str, str] | None = None) -> Adoptable:
    rows: dict[str, list[tuple[object, ...]]] = {
        "schools": list((schools or {"s-1": "A"}).items()),
        "people": list(people),
        "classes": [("s-1", key, name) for key, name in (classes or {}).items()],
    }
    frames = {name: pl.DataFrame(rows[name], schema, orient="row") for name, schema in ADOPTABLE_SCHEMAS.items()}
    return Adoptable(**frames)


def account(id_: str, *, number: str = "", name: str | None = None, **fields: Any) -> dict[str, Any]:
    """One that people made."""
    return {**user(id_, number=number), "username": name or f"user_{id_}", "roles": [], "is_superuser": False, **fields}


def role(kind: str) -> list[dict[str, str]]:
    return [{"id": "r", "collection": "f", "kind": kind}]


def read(
    place: dict[str, Any],
    adoptable: Adoptable | None,
    *,
    users: list[dict[str, Any]] | None = None,
    classes: list[dict[str, Any]] | None = None,
    former: Marks | None = None,
    withdrawn: Withdrawn | None = None,
) -> tuple[Actual, Site]:
    site = sites([place], marks=MARKS, schools=KNOWN.schools)[0]["s-1"]
    state = actual(
        facilities=[place],
        listed=[Listed(site=site, users=users or [], deleted=[], classes=classes or [])],
        memberships=[],
        roles=[],
        known=replace(KNOWN, adoptable=adoptable, withdrawn=withdrawn or Withdrawn()),
        marks=MARKS,
        former=former,
    )
    return state, site


def taken(state: Actual) -> dict[str, str]:
    """Source id -> Kolibri's id of the accounts and classes that are to be adopted."""
    rows = [
        *state.people[state.adopting.people].select("key", "external_id").iter_rows(),
        *state.classes[state.adopting.classes].select("key", "external_id").iter_rows(),
    ]
    return dict(rows)


def doubts(state: Actual) -> set[str]:
    return set(state.adopting.doubts["key"])


@pytest.mark.parametrize(
    "fields",
    [
        {"number": "p-1"},
        {"number": " P-1"},
        {"number": "0001"},
        {"name": "ann_lee"},
        {"name": "Ann_Lee"},
        {"number": "0001", "name": "ann_lee"},
    ],
)
def test_an_account_is_found_by_number_or_user_name(fields: dict[str, str]) -> None:
    state, site = read(facility("f"), wanted(PUPIL), users=[account("1", **fields), account("2", number="00010")])
    assert (taken(state), doubts(state)) == ({"p-1": "1"}, set())
    assert state.people.select("key", "external_id").rows() == [("p-1", "1"), (None, "2")]
    assert site.people == {}, "it is not ours yet"


def test_a_name_alone_finds_nobody() -> None:
    nameless = ("s-1", "p-1", None, None, False, False)
    state, _ = read(facility("f"), wanted(nameless), users=[account("1", name="name_1", full_name="Ann Lee")])
    assert (taken(state), doubts(state)) == ({}, set())


def test_nothing_is_taken_where_nobody_asked_for_it() -> None:
    state, _ = read(facility("f"), None, users=[account("1", number="p-1")], former=OTHER)
    assert state.adopting.people.is_empty()
    assert state.people["key"].to_list() == [None]


def test_two_accounts_for_one_record_and_two_records_for_one_account_are_in_doubt() -> None:
    two, _ = read(facility("f"), wanted(PUPIL), users=[account("1", number="p-1"), account("2", name="ann_lee")])
    assert (taken(two), doubts(two)) == ({}, {"p-1"})
    twin = ("s-1", "p-2", "0001", None, False, False)
    one, _ = read(facility("f"), wanted(PUPIL, twin), users=[account("1", number="0001")])
    assert (taken(one), doubts(one)) == ({}, {"p-1", "p-2"})


@pytest.mark.parametrize(
    ("person", "fields"),
    [
        (HEAD, {"name": "helen", "is_superuser": True}),
        (PUPIL, {"number": "p-1", "roles": role("coach")}),
        (PUPIL, {"number": "p-1", "roles": role("admin")}),
        (TEACHER, {"name": "tom_day", "roles": role("admin")}),
        (TEACHER, {"number": "t-1"}),  # anybody can write that into the own account
        (HEAD, {"name": "helen"}),
    ],
)
def test_an_account_whose_rights_do_not_fit_is_not_taken_and_none_is_made(
    person: Person, fields: dict[str, Any]
) -> None:
    state, _ = read(facility("f"), wanted(person), users=[account("1", **fields)])
    assert (taken(state), doubts(state)) == ({}, {person[1]})


@pytest.mark.parametrize(
    ("person", "fields"),
    [
        (HEAD, {"name": "helen", "roles": role("admin")}),
        (HEAD, {"name": "helen", "roles": role("coach")}),  # more of them wait for a word of their own
        (TEACHER, {"name": "tom_day", "roles": role("coach")}),
        (TEACHER, {"name": "tom_day", "roles": role("classroom assignable coach")}),
        (PUPIL, {"number": "p-1", "roles": role("classroom assignable coach")}),  # gives no right
    ],
)
def test_rights_that_the_records_give_are_no_hindrance(person: Person, fields: dict[str, Any]) -> None:
    state, _ = read(facility("f"), wanted(person), users=[account("1", **fields)])
    assert (taken(state), doubts(state)) == ({person[1]: "1"}, set())


def test_the_account_of_somebody_forgotten_is_not_taken() -> None:
    gone = Withdrawn(hashes=frozenset({Withdrawn().hash("ann_lee", school="s-1")}))
    state, _ = read(facility("f"), wanted(PUPIL), users=[account("1", name="ann_lee")], withdrawn=gone)
    assert (taken(state), doubts(state)) == ({}, {"p-1"})


def test_who_has_an_account_of_ours_gets_no_other() -> None:
    state, _ = read(facility("f"), wanted(PUPIL), users=[user("1", "p-1"), account("2", name="ann_lee")])
    assert (taken(state), doubts(state)) == ({}, set())
    assert set(state.people.select("key", "external_id").rows()) == {("p-1", "1"), (None, "2")}


def test_an_account_under_somebody_elses_name_stays_a_question() -> None:
    state, _ = read(facility("f"), wanted(PUPIL), users=[account("1", name="ann", number="p-1")])
    assert state.conflicts == {("s-1", "p-9")}
    assert (taken(state), doubts(state)) == ({}, set())


def test_a_class_is_found_by_its_exact_name() -> None:
    rows = [{"id": "1", "name": "Art"}, {"id": "2", "name": "art"}, {"id": "3", "name": "Music"}]
    state, site = read(facility("f"), wanted(classes={"c-1": "Art", "c-2": "Chess"}), classes=rows)
    assert (taken(state), doubts(state)) == ({"c-1": "1"}, set())
    assert site.classes == {}
    state, _ = read(facility("f"), wanted(classes={"c-1": "Art", "c-2": "Art"}), classes=rows)
    assert (taken(state), doubts(state)) == ({}, {"c-1", "c-2"})


def test_a_class_that_we_began_or_had_is_not_somebody_elses() -> None:
    begun = MARKS.temporary_class(school="s-1", key="c-1")
    rows = [{"id": "1", "name": "Art"}, {"id": "2", "name": begun}]
    assert taken(read(facility("f"), wanted(classes={"c-1": "Art"}), classes=rows)[0]) == {}
    place = facility("f")
    lost = ClassEntry(MARKS.class_token(school="s-1", key="c-long-gone"))
    place["dataset"]["extra_fields"][CLASSES] = {"1": MARKS.class_entry(lost, class_id="1")}
    assert taken(read(place, wanted(classes={"c-1": "Art"}), classes=rows[:1])[0]) == {}


# ---------------------------------------------------------------------------------------------------------------------
# A former owner


def test_what_a_former_owner_marked_is_taken_by_its_mark_whatever_it_is_called() -> None:
    mark = PersonMark(key="p-1", state=State.SUSPENDED, staff=False)
    theirs = account("1", name="nobody", extra_demographics={PERSON: OTHER.person(mark, subject="1")})
    entry = ClassEntry(OTHER.class_token(school="s-1", key="c-1"), archived=True)
    place = facility("f")
    place["dataset"]["extra_fields"][CLASSES] = {"c": OTHER.class_entry(entry, class_id="c")}
    rows = [{"id": "c", "name": "[archived] Old"}]
    everything = wanted(PUPIL, classes={"c-1": "Art"})
    state, _ = read(place, everything, users=[theirs, account("2", number="p-1")], classes=rows, former=OTHER)
    assert (taken(state), doubts(state)) == ({"p-1": "1", "c-1": "c"}, set())
    unasked, _ = read(place, everything, users=[theirs], classes=rows)
    assert taken(unasked) == {}
    assert unasked.conflicts == {("s-1", "p-1")}, "a mark that names somebody is a question"


def test_facilities_are_found_by_their_exact_name_or_handed_over_by_a_former_owner() -> None:
    places = [
        facility("1", school=None, name="A"),
        facility("2", school=None, name="B"),
        facility("3", school=None, name="B"),
        facility("4", school="s-4", marks=OTHER, name="D"),
        facility("5", school=None, name="D"),
        facility("6", school="s-6", marks=OTHER, name="F"),
    ]
    schools = wanted(schools={"s-1": "A", "s-2": "B", "s-3": "c", "s-4": "D", "s-5": "A "}).schools[:4]
    found, elsewhere = sites(places, marks=MARKS, schools=schools["school"])
    assert (found, elsewhere) == ({}, {"s-4"})
    fitting, doubtful = adoptable_sites(
        places, marks=MARKS, former=None, schools=schools, found=found, elsewhere=elsewhere
    )
    assert {key: site.id for key, site in fitting.items()} == {"s-1": "1"}
    assert doubtful == {"s-2"}
    fitting, _ = adoptable_sites(places, marks=MARKS, former=OTHER, schools=schools, found=found, elsewhere=elsewhere)
    assert {key: site.id for key, site in fitting.items()} == {"s-1": "1", "s-4": "4"}
    assert not any(site.is_ours for site in fitting.values())


def test_a_school_that_we_are_making_is_finished_and_no_other_taken() -> None:
    places = [facility("1", school=None, name=MARKS.temporary_school("s-1")), facility("2", school=None, name="A")]
    fitting, doubtful = adoptable_sites(
        places, marks=MARKS, former=None, schools=wanted().schools, found=(), elsewhere=()
    )
    assert (fitting, doubtful) == ({}, set())

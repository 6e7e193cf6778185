"""Who is who: what is asked, who stands still, what links do, what is proposed for a replaced records system."""

from __future__ import annotations

import dataclasses
import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.api import Identity, IdentityLink, StudentKey
from homeroom.errors import InvalidSpecError
from homeroom.roster.identity import (
    LINKS,
    PROPOSALS,
    QUESTIONS,
    Confidence,
    Evidence,
    Question,
    frozen,
    links_by_key,
    links_of,
    propose,
    questions,
    relink,
)
from homeroom.roster.tables import Roster

from .rosters import Class, Course, Enrolled, Held, Names, Org, Record, User, roster_of, unhurried

CLASSES: list[Class] = [
    *(Class(f"k-{n}", title=f"Class {n}") for n in range(6)),
    Class("k-9", school="s-2", title="Class 9"),
]
SCHOOLS = [Org("s-1", name="Hill School"), Org("s-2", name="Lake School")]
EVERYDAY: list[Record] = [*SCHOOLS, *CLASSES]


def person(user: User, *classes: str, school: str = "s-1", role: str = "student") -> list[Record]:
    """A record with a role in a school and enrolments."""
    enrolled = [Enrolled(class_, user.id, role="teacher" if role == "teacher" else "student") for class_ in classes]
    return [user, Held(user.id, role=role, org=school), *enrolled]


def anna(id_: str = "u-3", **values: Any) -> User:
    return User(id_, **{"given": "Anna", "family": "Smith", "grades": ("03",), **values})


def roster(*people: list[Record]) -> Roster:
    return roster_of(*EVERYDAY, *(record for records in people for record in records))


def asked(
    before: Roster, fresh: Roster, key: StudentKey = StudentKey.SOURCED_ID, links: pl.DataFrame | None = None
) -> list[tuple[str, ...]]:
    """(question, person, other, reason), without nulls."""
    found = questions(before, fresh, key=key, links=links)
    assert found.schema == QUESTIONS
    rows = found.select("question", "person", "other", "reason").rows()
    return [tuple(value for value in row if value is not None) for row in rows]


def links(*pairs: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(list(pairs), schema=LINKS, orient="row")


BEN = User("u-3", given="Ben", family="Jones", grades=("05",))


# ---------------------------------------------------------------------------------------------------------------------
# Recycled


def test_an_id_with_another_name_in_other_classes_is_recycled() -> None:
    before = roster(person(anna(), "k-1", "k-2"), person(User("u-4")))
    found = questions(before, roster(person(BEN, "k-3"), person(User("u-4"))), key=StudentKey.SOURCED_ID)
    assert found.to_dicts() == [
        {"question": "Recycled", "person": "u-3", "other": None, "school": "s-1", "reason": "OtherName"}
    ]
    assert frozen(found).to_list() == ["u-3"]


@pytest.mark.parametrize(
    ("given", "family"),
    [
        ("Anna", "Jones"),  # married
        ("Ben", "Smith"),
        ("ANNA", "Jones"),
        ("Ánna", "Jones"),
        ("An-na", "Jones"),
        ("Smith", "Anna"),  # the two columns were confused, and are right now
        (None, None),  # unknown proves nothing
        ("", " "),
    ],
)
def test_a_name_of_which_something_is_left_is_none(given: str | None, family: str | None) -> None:
    before = roster(person(anna(), "k-1"))
    assert asked(before, roster(person(anna(given=given, family=family), "k-3"))) == []


@pytest.mark.parametrize(
    ("classes", "grade", "is_recycled"),
    [
        (("k-1", "k-2"), "03", False),  # the same child under another name
        (("k-1", "k-2"), "04", False),
        (("k-1", "k-4"), "03", False),
        (("k-1", "k-2"), "07", True),
        (("k-1", "k-2"), "02", True),
        (("k-1", "k-4", "k-5"), "03", True),  # one assembly for all proves nothing
        ((), "03", True),
    ],
)
def test_classes_and_grade_may_follow_on(classes: tuple[str, ...], grade: str, *, is_recycled: bool) -> None:
    before = roster(person(anna(), "k-1", "k-2"))
    fresh = roster(person(replace(BEN, grades=(grade,)), *classes))
    assert asked(before, fresh) == ([("Recycled", "u-3", "OtherName")] if is_recycled else [])


def test_people_without_classes_are_known_by_name_alone() -> None:
    before = roster(person(anna(grades=("Other",)), role="principal"))
    assert asked(before, roster(person(replace(BEN, grades=("Other",)), role="principal"))) == [
        ("Recycled", "u-3", "OtherName")
    ]


def test_one_recycled_id_among_many_is_found_and_nobody_else() -> None:
    many = [person(User(f"u-{n}", given=f"G{n}", family=f"F{n}"), f"k-{n % 6}") for n in range(1200)]
    other = person(User("u-700", given="Someone", family="Else"), "k-5")
    assert asked(roster(*many), roster(*many[:700], other, *many[701:])) == [("Recycled", "u-700", "OtherName")]


# ---------------------------------------------------------------------------------------------------------------------
# Changed and Merged


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ({"identifier": "007"}, {"identifier": "007", "family": "Jones", "given": "Ben"}, "SameIdentifier"),
        ({"username": "anna.s"}, {"username": "Anna.S", "family": "Jones", "given": "Ben"}, "SameUsername"),
        ({"email": "a@x.example"}, {"email": "A@x.example", "family": "Jones"}, "SameEmail"),
        ({"email": "a@x.example"}, {"email": "a@x.example", "given": "Ben"}, None),  # a family shares its address
        ({}, {"grades": ("09",)}, "SameNameAndClasses"),
        ({"given": "Ánna "}, {"grades": ("09",)}, "SameNameAndClasses"),
        ({}, {"given": "Ben"}, None),
        ({"identifier": ""}, {"identifier": "", "given": "Ben"}, None),  # empty is no value
    ],
)
def test_an_id_is_gone_and_a_new_one_looks_like_the_same_human(
    old: dict[str, Any], new: dict[str, Any], reason: str | None
) -> None:
    before, fresh = roster(person(anna(**old), "k-1")), roster(person(anna("p-1", **new), "k-1"))
    assert asked(before, fresh) == ([("Changed", "u-3", "p-1", reason)] if reason else [])


@pytest.mark.parametrize(
    ("school", "grade", "is_changed"),
    [("s-1", "03", True), ("s-1", "04", True), ("s-1", "05", False), ("s-2", "03", False), ("s-1", None, True)],
)
def test_without_classes_the_school_and_the_grade_tell(school: str, grade: str | None, *, is_changed: bool) -> None:
    before = roster(person(anna(), "k-1"))
    fresh = roster(person(anna("p-1", grades=None if grade is None else (grade,)), "k-2", school=school))
    assert asked(before, fresh) == ([("Changed", "u-3", "p-1", "SameNameSchoolAndGrade")] if is_changed else [])


def test_a_school_is_known_by_its_name_when_its_id_changes() -> None:
    before = roster(person(anna()))
    fresh = roster_of(Org("o-77", name="HILL  school"), *person(anna("p-1"), school="o-77"))
    assert asked(before, fresh) == [("Changed", "u-3", "p-1", "SameNameSchoolAndGrade")]


def test_a_value_that_a_thousand_have_makes_a_thousand_questions_and_not_a_million() -> None:
    old = [person(User(f"u-{n}", given=f"G{n}", family=f"F{n}", username="pupil")) for n in range(1000)]
    new = [person(User(f"p-{n}", given=f"G{n}", family=f"F{n}", username="pupil")) for n in range(1000)]
    found = questions(roster(*old), roster(*new), key=StudentKey.SOURCED_ID)
    changed = found.filter(pl.col("question") == "Changed")
    assert changed.height <= 3000
    assert frozen(found).len() == 2000


@pytest.mark.parametrize(
    ("gone", "stays_before", "stays_now", "reason"),
    [
        ({"identifier": "7"}, {"identifier": "8"}, {"identifier": "7"}, "SameIdentifier"),
        ({"email": "a@x.example"}, {"email": "a@x.example"}, {"email": "a@x.example"}, "SameEmail"),
        ({}, {}, {}, "SameNameAndClasses"),
        ({"family": "Jones"}, {}, {}, None),
    ],
)
def test_two_ids_became_one(
    gone: dict[str, Any], stays_before: dict[str, Any], stays_now: dict[str, Any], reason: str | None
) -> None:
    before = roster(person(anna("u-1", **gone), "k-1", "k-2"), person(anna("u-2", **stays_before), "k-2"))
    fresh = roster(person(anna("u-2", **stays_now), "k-1", "k-2"))
    assert asked(before, fresh) == ([("Merged", "u-1", "u-2", reason)] if reason else [])


def test_a_namesake_who_leaves_is_no_question() -> None:
    namesakes = [person(anna("u-1"), "k-1", "k-2"), person(anna("u-2"), "k-2", "k-3")]
    assert asked(roster(*namesakes), roster(namesakes[1])) == []


def test_somebody_who_leaves_and_somebody_who_comes_are_no_question() -> None:
    stays = person(User("u-1", given="Eve", family="Long"), "k-1")
    assert asked(roster(stays, person(anna(), "k-1")), roster(stays, person(replace(BEN, id="u-9"), "k-1"))) == []


# ---------------------------------------------------------------------------------------------------------------------
# Duplicated and Shared


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ({"identifier": "7"}, {"identifier": "7"}, ("Duplicated", "SameIdentifier")),
        ({"email": "a@x.example"}, {"email": "A@X.example", "family": "Jones"}, ("Duplicated", "SameEmail")),
        ({"email": "a@x.example"}, {"email": "a@x.example", "given": "Ben"}, None),  # a family shares its address
        (
            {"email": "a@x.example"},
            {"email": "a@x.example", "given": "Ben", "family": "Jones"},
            ("Shared", "SameEmail"),
        ),
        ({"username": "as"}, {"username": "AS", "given": "Ben", "family": "Jones"}, ("Shared", "SameUsername")),
        (
            {"identifier": "7"},
            {"identifier": "7", "given": "Ben", "family": "Jones"},
            None,
        ),  # staff and student numbers
        ({}, {}, None),  # namesakes
        ({"username": ""}, {"username": ""}, None),
    ],
)
def test_two_records_with_one_account(
    one: dict[str, Any], two: dict[str, Any], expected: tuple[str, str] | None
) -> None:
    first, second = person(anna("u-1", **one), "k-1"), person(anna("u-2", **two), "k-2")
    rows = [] if expected is None else [(expected[0], "u-1", "u-2", expected[1])]
    assert asked(Roster.empty(), roster(first, second)) == rows
    assert asked(roster(first), roster(first, second)) == rows
    swapped = [] if expected is None else [(expected[0], "u-2", "u-1", expected[1])]  # who was there first comes first
    assert asked(roster(second), roster(first, second)) == swapped
    assert asked(roster(first, second), roster(first, second, person(User("u-9")))) == []  # it was accepted once


def test_with_the_key_identifier_an_identifier_is_one_human() -> None:
    two = roster(person(anna("u-1", identifier="7")), person(replace(BEN, identifier="7")))
    assert asked(Roster.empty(), two, StudentKey.IDENTIFIER) == [("Shared", "u-1", "u-3", "SameIdentifier")]


@pytest.mark.parametrize(
    ("classes", "grade", "is_duplicated"),
    [
        (("k-1", "k-2"), "03", True),
        (("k-1",), "03", True),
        (("k-1", "k-2"), None, True),
        (("k-1", "k-2"), "04", False),
        (("k-1", "k-3", "k-4"), "03", False),
        (("k-3",), "03", False),
    ],
)
def test_namesakes_with_the_same_classes_look_like_one(
    classes: tuple[str, ...], grade: str | None, *, is_duplicated: bool
) -> None:
    first = person(anna("u-1"), "k-1", "k-2")
    second = person(anna("u-2", grades=None if grade is None else (grade,)), *classes)
    rows = [("Duplicated", "u-1", "u-2", "SameNameAndClasses")] if is_duplicated else []
    assert asked(Roster.empty(), roster(first, second)) == rows
    assert asked(roster(first), roster(first, second)) == rows


def test_everybody_with_one_account_stands_still_and_only_who_is_new_is_asked_about() -> None:
    old = [person(User(f"u-{n}", given=f"G{n}", username="one")) for n in range(3)]
    new = [person(User(f"p-{n}", given=f"H{n}", username="ONE")) for n in range(3)]
    assert asked(roster(*old), roster(*old, *new)) == [("Shared", "u-0", f"p-{n}", "SameUsername") for n in range(3)]


def test_a_second_record_is_found_among_other_namesakes() -> None:
    namesake, first = person(anna("u-1"), "k-1", "k-3", "k-4"), person(anna("u-2"), "k-1")
    again = person(anna("u-3"), "k-1")
    expected = [("Duplicated", "u-2", "u-3", "SameNameAndClasses")]
    assert asked(roster(namesake, first), roster(namesake, first, again)) == expected
    crowd = [person(anna(f"u-{n:02}"), "k-1") for n in range(30)]
    assert len(asked(Roster.empty(), roster(*crowd))) == 29


def test_families_are_not_asked_about() -> None:
    mother = person(User("g-1", given="Mia", family="Smith", username="as"), role="parent")
    again = person(User("g-2", given="Mia", family="Smith", username="as"), role="guardian")
    child = person(anna(username="as"), "k-1")
    assert asked(Roster.empty(), roster(mother, again, child)) == []
    teaches = [*mother, Held("g-1", role="teacher")]
    shared = [("Shared", "g-1", "u-3", "SameUsername")]
    assert asked(Roster.empty(), roster(teaches, child)) == shared
    began = [replace(record, username=None) if isinstance(record, User) else record for record in mother]
    assert asked(roster(began), roster(teaches, child)) == shared


# ---------------------------------------------------------------------------------------------------------------------
# The student key


def test_an_id_that_changes_while_the_key_stays_is_a_link() -> None:
    before = roster(person(anna(identifier="7", username="as"), "k-1"))
    fresh = roster(person(anna("p-1", identifier="7", username="AS"), "k-1"))
    for key in (StudentKey.IDENTIFIER, StudentKey.USERNAME):
        assert links_by_key(before, fresh, key=key).rows() == [("u-3", "p-1")]
        assert asked(before, fresh, key) == []
    assert links_by_key(before, fresh, key=StudentKey.SOURCED_ID).is_empty()
    assert asked(before, fresh) == [("Changed", "u-3", "p-1", "SameIdentifier")]


def test_a_key_that_two_records_have_links_nobody() -> None:
    before = roster(person(anna(identifier="7")))
    fresh = roster(person(anna("p-1", identifier="7")), person(anna("p-2", identifier="7")))
    assert links_by_key(before, fresh, key=StudentKey.IDENTIFIER).is_empty()
    assert {row[0] for row in asked(before, fresh, StudentKey.IDENTIFIER)} == {"Changed", "Duplicated"}


def test_a_key_that_comes_with_another_name_is_still_a_question() -> None:
    before = roster(person(anna(identifier="7"), "k-1"))
    fresh = roster(person(replace(BEN, id="p-1", identifier="7"), "k-5"))
    assert asked(before, fresh, StudentKey.IDENTIFIER) == [("Recycled", "u-3", "OtherName")]


def test_a_key_must_never_change() -> None:
    before, fresh = roster(person(anna(identifier="7"), "k-1")), roster(person(anna(identifier="8"), "k-1"))
    assert asked(before, fresh) == []
    assert asked(before, fresh, StudentKey.IDENTIFIER) == [("Changed", "u-3", "KeyChanged")]


# ---------------------------------------------------------------------------------------------------------------------
# Links


def ids(found: Roster) -> dict[str, dict[str, Any]]:
    """User id -> classes and roles by id."""
    users, classes, orgs = found.users["id"], found.classes["id"], found.orgs["id"]
    assert users.is_sorted()
    held: dict[str, dict[str, Any]] = {user: {"classes": [], "roles": []} for user in users}
    for class_, user in found.enrollments.select("class", "user").rows():
        held[users[user]]["classes"].append(classes[class_])
    for user, role, org in found.roles.select("user", "role", "org").rows():
        held[users[user]]["roles"].append((role, orgs[org]))
    return {user: {name: sorted(values) for name, values in held[user].items()} for user in users}


def test_a_linked_human_keeps_everything() -> None:
    before = roster(person(anna(), "k-1", "k-2"), person(User("u-9"), "k-1"))
    fresh = roster(person(anna("p-1"), "k-1", "k-2"), person(User("u-9"), "k-1"))
    relinked = relink(fresh, links(("u-3", "p-1")))
    assert (relinked.unknown, relinked.united) == (0, 0)
    assert ids(relinked.roster) == ids(before)
    assert asked(before, relinked.roster) == []


def test_links_that_name_nobody_are_counted() -> None:
    fresh = roster(person(anna()))
    relinked = relink(fresh, links(("a", "b"), ("c", "d")))
    assert relinked.roster is fresh
    assert (relinked.unknown, relinked.united) == (2, 0)
    assert relink(fresh, links(("a", "b"), ("c", "u-3"))).unknown == 1


def test_two_records_of_one_human_become_one_person() -> None:
    fresh = roster(
        person(
            anna("p-1", enabled=False, email="old@x.example", grades=None, user_ids=("Fed:1", "Fed:2")), "k-1", "k-2"
        ),
        person(anna("p-2", username="as", grades=("Other",), user_ids=("Fed:2",)), "k-2", "k-3"),
        person(anna("u-3", given=None, grades=("03",)), "k-3", school="s-2", role="teacher"),
    )
    relinked = relink(fresh, links(("u-3", "p-1"), ("u-3", "p-2")))
    assert (relinked.unknown, relinked.united, relinked.torn.to_list()) == (0, 2, [])
    assert ids(relinked.roster) == {
        "u-3": {
            "classes": ["k-1", "k-2", "k-3", "k-3"],  # once as student, once as teacher
            "roles": [("student", "s-1"), ("teacher", "s-2")],
        }
    }
    values = relinked.roster.users.row(0, named=True)
    assert values == {
        "id": "u-3",
        "enabled": True,
        "given": "Anna",
        "family": "Smith",
        "grades": ["03"],
        "username": "as",
        "identifier": None,
        "email": "old@x.example",
        "user_ids": ["Fed:1", "Fed:2"],
    }


def test_families_are_called_by_our_ids_and_nobody_is_their_own() -> None:
    pairs = [("p-1", "g-1"), ("p-2", "g-1"), ("p-1", "p-2"), ("g-1", "p-2")]
    some = [User(key) for key in ("g-1", "p-1", "p-2", "z")]
    relinked = relink(roster_of(*some, *(Names(*pair) for pair in pairs)), links(("u-3", "p-1"), ("u-3", "p-2")))
    found = relinked.roster
    assert found.users["id"].to_list() == ["g-1", "u-3", "z"]
    ends = [found.users["id"].gather(found.agents[end]) for end in ("user", "agent")]
    assert sorted(zip(*ends, strict=True)) == [("g-1", "u-3"), ("u-3", "g-1")]


def test_a_person_is_barred_if_all_records_are() -> None:
    fresh = roster(person(anna("p-1", enabled=False)), person(anna("p-2", enabled=False, grades=None)))
    assert relink(fresh, links(("u-3", "p-1"), ("u-3", "p-2"))).roster.users["enabled"].to_list() == [False]


def test_ids_that_the_records_swapped_are_swapped_back() -> None:
    before = roster(person(anna("u-1"), "k-1"), person(replace(BEN, id="u-2"), "k-5"))
    fresh = roster(person(replace(BEN, id="u-1"), "k-5"), person(anna("u-2"), "k-1"))
    assert {row[0] for row in asked(before, fresh)} == {"Recycled"}
    swap = links(("u-1", "u-2"), ("u-2", "u-1"))
    assert ids(relink(fresh, swap).roster) == ids(before)
    assert asked(before, relink(fresh, swap).roster, links=swap) == []
    # The same links on records that did not swap: found out, and nobody moves.
    assert [row[:2] for row in asked(before, relink(before, swap).roster, links=swap)] == [
        ("Recycled", "u-1"),
        ("Recycled", "u-2"),
    ]


def test_an_old_id_that_is_given_to_another_child_does_not_bring_the_two_together() -> None:
    """u-17 became p-1 years ago; now the records call a newcomer u-17."""
    link = links(("u-17", "p-1"))
    child, newcomer = person(anna("p-1"), "k-1", "k-2"), person(replace(BEN, id="u-17", grades=("03",)), "k-3", "k-4")
    before = relink(roster(child), link).roster
    relinked = relink(roster(child, newcomer), link)
    assert relinked.torn.to_list() == ["u-17"]

    def open_questions(served: Roster) -> list[str]:
        found = questions(served, relinked.roster, key=StudentKey.SOURCED_ID, links=link, torn=relinked.torn)
        return [str(row[:2]) for row in found.rows()]

    assert open_questions(before) == ["('Recycled', 'u-17')"]
    assert open_questions(relinked.roster) == []  # somebody let it in
    named = links(("u-17", "p-1"), ("u-17-2027", "u-17"))
    apart = relink(roster(child, newcomer), named)
    assert apart.torn.is_empty()
    assert ids(apart.roster)["u-17"]["classes"] == ["k-1", "k-2"]
    assert ids(apart.roster)["u-17-2027"]["classes"] == ["k-3", "k-4"]
    assert asked(before, apart.roster, links=named) == []


def test_a_renamed_record_is_not_changed() -> None:
    fresh = roster(person(anna("p-1", grades=()), "k-1"), person(anna("p-2", grades=("04", "Other", "03")), "k-1"))
    users = relink(fresh, links(("u-1", "p-1"), ("u-2", "p-2"))).roster.users
    assert users["grades"].to_list() == [[], ["04", "Other", "03"]]


def test_a_recycled_id_gets_a_name_of_its_own_for_the_other_human() -> None:
    before = roster(person(anna(username="as"), "k-1"))
    other = links(("u-3.2027", "u-3"))
    fresh = relink(roster(person(replace(BEN, username="as"), "k-5")), other).roster
    assert list(ids(fresh)) == ["u-3.2027"]
    assert asked(before, fresh) == [("Changed", "u-3", "u-3.2027", "SameUsername")]
    assert asked(before, fresh, links=other) == []  # the link has said it


def test_a_merged_id_is_answered_by_a_link() -> None:
    before = roster(person(anna("u-1", identifier="7"), "k-1"), person(anna("u-2"), "k-2"))
    fresh = roster(person(anna("u-2", identifier="7"), "k-1", "k-2"))
    for answer in (links(("u-1", "u-2")), links(("u-2", "u-1"))):
        relinked = relink(fresh, answer).roster
        assert asked(before, relinked, links=answer) == []


def test_links_come_from_the_spec_and_from_the_file() -> None:
    identity = Identity(links=(IdentityLink(from_="u-1", to="p-1"), IdentityLink(from_="u-1", to="p-2")))
    assert links_of(identity).rows() == [("u-1", "p-1"), ("u-1", "p-2")]
    listed = links(("u-2", "p-3"), ("u-1", "p-1"))
    assert links_of(identity, listed).rows() == [("u-1", "p-1"), ("u-1", "p-2"), ("u-2", "p-3")]
    with pytest.raises(InvalidSpecError, match="the record 'p-1' is linked from 'u-1' and from 'u-9'"):
        links_of(identity, links(("u-9", "p-1")))
    assert links_of(Identity()).is_empty()


# ---------------------------------------------------------------------------------------------------------------------
# Properties


@st.composite
def districts(draw: st.DrawFn) -> list[list[Record]]:
    """People who are all somebody of their own, some of them namesakes, in one to three classes."""
    count = draw(st.integers(1, 12))
    names = st.sampled_from(("Anna", "Ben", "Cleo"))
    people = []
    for n in range(count):
        user = User(
            f"u-{n}",
            given=draw(names),
            family=draw(st.sampled_from(("Smith", "Jones"))),
            grades=draw(st.sampled_from((("01",), ("02",), ("Other",), None))),
            identifier=str(n),
            email=draw(st.sampled_from((None, "family@x.example"))),
        )
        classes = draw(st.lists(st.sampled_from([class_.id for class_ in CLASSES]), unique=True, max_size=3))
        people.append(person(user, *classes, role=draw(st.sampled_from(("student", "teacher")))))
    return people


def renamed(people: list[list[Record]], names: dict[str, str]) -> list[list[Record]]:
    def one(record: Record) -> Record:
        if isinstance(record, User):
            return replace(record, id=names.get(record.id, record.id))
        assert isinstance(record, Held | Enrolled)
        return replace(record, user=names.get(record.user, record.user))

    return [[one(record) for record in records] for records in people]


@unhurried
@given(districts(), st.randoms(use_true_random=False))
def test_after_relinking_nothing_is_asked(people: list[list[Record]], dice: random.Random) -> None:
    """Any renaming, ids that others had before among it."""
    before = roster(*people)
    known = before.users["id"].to_list()
    new = dice.sample([*known, *(f"p-{n}" for n in range(len(known)))], len(known))
    names = {old: to for old, to in zip(known, new, strict=True) if old != to}
    relinked = relink(roster(*renamed(people, names)), links(*names.items()))
    assert (relinked.unknown, relinked.united) == (0, 0)
    assert ids(relinked.roster) == ids(before)
    assert relinked.roster.users.equals(before.users)
    assert asked(before, relinked.roster) == []


@unhurried
@given(districts(), districts(), st.randoms(use_true_random=False), st.sampled_from(StudentKey))
def test_the_order_of_records_changes_nothing(
    people: list[list[Record]], others: list[list[Record]], dice: random.Random, key: StudentKey
) -> None:
    others = renamed(others, {f"u-{n}": f"u-{n + 4}" for n in range(12)})
    before, fresh = roster(*people), roster(*others)
    expected = questions(before, fresh, key=key)
    proposals = propose(before, fresh)
    some = links(*((f"p-{n}", f"u-{n}") for n in range(5, 9)))
    dice.shuffle(people)
    dice.shuffle(others)
    again = roster(*people), roster(*others)
    assert questions(*again, key=key).equals(expected)
    assert propose(*again).equals(proposals)
    assert relink(again[1], some).roster.users.equals(relink(fresh, some).roster.users)
    if not expected.is_empty():
        assert expected["person"].null_count() == 0
        stand_still = frozen(expected)
        assert stand_still.is_sorted()
        assert stand_still.n_unique() == stand_still.len()
        assert set(stand_still) <= {*before.users["id"], *fresh.users["id"]}


@unhurried
@given(districts())
def test_what_stays_as_it_is_is_no_question(people: list[list[Record]]) -> None:
    """Even what was a question once: it was decided when it was let in."""
    once = roster(*people)
    assert questions(once, roster(*people), key=StudentKey.IDENTIFIER).is_empty()
    assert propose(once, roster(*people)).is_empty()


# ---------------------------------------------------------------------------------------------------------------------
# A replaced records system


def made_up(dice: random.Random, *, with_email: bool, size: int = 400) -> tuple[list[Record], list[list[Record]]]:
    """Schools, classes and people, one in twenty a namesake of another."""
    schools = [Org(f"s-{n}", name=f"{place} School") for n, place in enumerate(("Hill", "Lake", "Mill"))]
    courses = [Course(f"c-{n}") for n in range(4)]
    classes = [
        Class(f"k-{school}-{grade}-{n}", school=f"s-{school}", title=f"{n} of {grade}", course=f"c-{n}")
        for school in range(3)
        for grade in range(1, 5)
        for n in range(4)
    ]
    people: list[list[Record]] = []
    names: list[tuple[str, str]] = []
    for n in range(size):
        name = dice.choice(names) if names and dice.random() < 0.05 else (f"Given{n % 40}", f"Family{n}")
        names.append(name)
        school, grade = dice.randrange(3), dice.randrange(1, 5)
        user = User(
            f"u-{n:03}",
            given=name[0],
            family=name[1],
            grades=(f"{grade:02}",),
            identifier=f"{n}",
            username=f"old{n}",
            email=f"{n}@old.example" if with_email else None,
        )
        taken = dice.sample([f"k-{school}-{grade}-{number}" for number in range(4)], dice.randint(1, 3))
        people.append(person(user, *taken, school=f"s-{school}"))
    return [*schools, *courses, *classes], people


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kept", [(), ("identifier",), ("email",)])
def test_all_unambiguous_people_are_proposed_right_and_nobody_wrong(seed: int, kept: tuple[str, ...]) -> None:
    dice = random.Random(seed)
    places, people = made_up(dice, with_email="email" in kept)
    before = roster_of(*places, *(record for records in people for record in records))

    new_ids = dice.sample(range(10_000), len(people))
    names = {f"u-{n:03}": f"p-{new_ids[n]}" for n in range(len(people))}
    staying = [records for n, records in enumerate(people) if n % 10]  # a tenth has left
    fresh_people: list[Record] = []
    for user, *rest in renamed(staying, names):
        assert isinstance(user, User)
        email = user.email and user.email.replace("@old.", "@new.")
        identifier = user.identifier if "identifier" in kept else None
        fresh_people += [replace(user, identifier=identifier, username=None, email=email), *rest]
    fresh = roster_of(*_with_new_ids([*places, *fresh_people]))

    found = propose(before, fresh)
    assert found.schema == PROPOSALS
    proposed = found.drop_nulls("to")
    assert proposed["from"].is_unique().all()
    assert proposed["to"].is_unique().all()
    right = {(old, names[old]) for old in proposed["from"]}
    assert set(proposed.select("from", "to").rows()) == right

    def looks(records: list[Record]) -> tuple[Any, ...]:
        user, held, *_ = records
        assert isinstance(user, User)
        assert isinstance(held, Held)
        return (user.given, user.family, held.org, user.grades)

    alike = Counter(looks(records) for records in people)
    clear = {names[user.id] for user, *rest in staying if alike[looks([user, *rest])] == 1}  # type: ignore[union-attr]  # the first is the user
    assert clear <= set(proposed["to"])
    if kept:
        assert proposed.height == len(staying)
    unsure = found.filter(pl.col("confidence") == "Ambiguous")
    assert unsure["to"].null_count() == unsure.height
    assert proposed["confidence"].is_in(["Certain" if "identifier" in kept else "Likely"]).all()

    relinked = relink(fresh, proposed.select("from", "to"))
    assert (relinked.unknown, relinked.united) == (0, 0)
    linked = proposed.select("from", "to")
    stands = frozen(questions(before, relinked.roster, key=StudentKey.SOURCED_ID, links=linked))
    assert not set(stands) & set(proposed["from"]) - set(unsure["from"])


def _with_new_ids(records: list[Record]) -> list[Record]:
    """Schools, courses and classes with other ids."""
    fields = {"id": (Org, Class, Course), "school": (Class,), "course": (Class,), "org": (Held,), "class_": (Enrolled,)}
    new = []
    for record in records:
        changes = {
            field: f"new-{getattr(record, field)}" for field, kinds in fields.items() if isinstance(record, kinds)
        }
        new.append(dataclasses.replace(record, **changes))  # type: ignore[arg-type]  # all of them are text
    return new


def test_namesakes_are_told_apart_by_classes_or_listed() -> None:
    def district(prefix: str, *, classes: bool) -> Roster:
        first, second = (anna(f"{prefix}-{n}") for n in (1, 2))
        return roster(
            person(first, *(["k-1", "k-2"] if classes else [])), person(second, *(["k-3"] if classes else []))
        )

    apart = propose(district("u", classes=True), district("p", classes=True))
    assert apart.select("from", "to", "confidence").rows() == [("u-1", "p-1", "Likely"), ("u-2", "p-2", "Likely")]
    assert apart["reasons"].to_list() == [["SameName", "SameClasses", "SameSchool", "SameGrade"]] * 2
    assert propose(district("u", classes=False), district("p", classes=False)).rows() == [
        ("u-1", None, "Ambiguous", None),
        ("u-2", None, "Ambiguous", None),
    ]


def test_grades_are_expected_to_move_as_those_of_the_others() -> None:
    def district(prefix: str, step: int) -> Roster:
        sure = [person(User(f"{prefix}-{n}", family=f"F{n}", grades=(f"{n + step:02}",))) for n in range(3, 8)]
        return roster(*sure, *(person(anna(f"{prefix}-1{n}", grades=(f"0{n + step}",))) for n in (1, 2)))

    for step in (0, 1):
        found = propose(district("u", 0), district("p", step))
        assert [(row[0], row[1]) for row in found.rows()] == [
            (f"u-{n}", f"p-{n}") for n in ("11", "12", "3", "4", "5", "6", "7")
        ]


def test_too_many_namesakes_are_not_compared() -> None:
    old, new = (roster(*(person(anna(f"{prefix}-{n:03}")) for n in range(150))) for prefix in "up")
    found = propose(old, new)
    assert found["confidence"].to_list() == ["Ambiguous"] * 150
    assert propose(roster(person(anna("u-000"))), new)["confidence"].to_list() == ["Ambiguous"]


def test_numbers_that_were_given_out_anew_say_nothing() -> None:
    """The new system counts from 1 as the old one did, and many families have one name."""

    def district(prefix: str, first: int) -> Roster:
        return roster(
            *(
                person(User(f"{prefix}-{n}", given=f"G{n}", family="Smith", identifier=str((n + first) % 20)))
                for n in range(20)
            )
        )

    found = propose(district("u", 0), district("p", 7))
    assert {(row[0].removeprefix("u-"), row[1].removeprefix("p-")) for row in found.rows()} == {
        (str(n), str(n)) for n in range(20)
    }
    assert found["confidence"].unique().to_list() == ["Likely"]


def test_an_unknown_name_is_never_certain() -> None:
    before = roster(
        person(anna(identifier="7")), *(person(User(f"u-{n}9", family="F", identifier=f"9{n}")) for n in "12")
    )
    fresh = roster(
        person(anna("p-1", identifier="7", given=None, family=None)),
        *(person(User(f"p-{n}9", family="F", identifier=f"9{n}")) for n in "12"),
    )
    found = {row[0]: row[2] for row in propose(before, fresh).rows()}
    assert found == {"u-3": "Likely", "u-19": "Certain", "u-29": "Certain"}


def test_a_name_alone_is_no_proposal() -> None:
    before = roster(person(anna(), "k-1"))
    for other in (
        person(anna("p-1", grades=("09",)), "k-9", school="s-2"),
        person(anna("p-1"), "k-9", school="s-2"),
        person(anna("p-1", grades=("09",)), "k-2"),
    ):
        assert propose(before, roster(other)).is_empty()


def test_an_id_of_another_human_is_free_for_a_proposal() -> None:
    before = roster(person(anna("u-1")), person(replace(BEN, id="u-2")))
    fresh = roster(person(replace(BEN, id="u-1")), person(anna("u-2")))
    assert propose(before, fresh).select("from", "to").rows() == [("u-1", "u-2"), ("u-2", "u-1")]


def test_families_are_proposed_although_they_are_not_asked_about() -> None:
    old, new = (roster(person(anna(f"{prefix}-1"), role="parent")) for prefix in "up")
    assert asked(old, new) == []
    assert propose(old, new).select("from", "to").rows() == [("u-1", "p-1")]


def test_no_name_stands_in_what_comes_out() -> None:
    before = roster(person(anna(email="anna@x.example", username="as", identifier="7"), "k-1"))
    fresh = roster(person(anna("p-1", email="anna@x.example", username="as", identifier="7"), "k-1"))
    text = f"{questions(before, fresh, key=StudentKey.SOURCED_ID).rows()} {propose(before, fresh).rows()}"
    assert "u-3" in text
    assert not re.search(r"anna|smith|example|'as'", text, re.IGNORECASE)


def test_the_page_has_every_word() -> None:
    page = (Path(__file__).parents[3] / "docs" / "identity.md").read_text()
    rows = {match[1]: match[2] for match in re.finditer(r"^\| `(\w+)` \| ([^|]*) \|", page, re.MULTILINE)}
    words = {word.value: word.text for word in (*Question, *Evidence)}
    assert {word: rows[word] for word in words} == words
    assert set(rows) == {*words, *Confidence}

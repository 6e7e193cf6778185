"""Whose everything is, from what Kolibri lists; the questions that a real server does not ask often."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from homeroom.roster.state import Actual, Withdrawn
from homeroom.targets import Known
from homeroom.targets.kolibri.marks import CLASSES, OWNER, PERSON, SCHOOL, ClassEntry, Marks, PersonMark, State
from homeroom.targets.kolibri.reading import Listed, Site, actual, fit, membership_id, role_id, sites

MARKS = Marks(key="0123456789abcdef", owner="mine")
OTHER = Marks(key="0123456789abcdef", owner="other")
KNOWN = Known(
    schools=["s-1", "s-2"],
    classes=pl.DataFrame({"school": ["s-1"], "key": ["c-1"]}),
    usernames=pl.DataFrame({"school": ["s-1"], "key": ["p-9"], "username": ["ann"]}),
    withdrawn=Withdrawn(hashes=frozenset({Withdrawn().hash("Bob", school="s-1")})),
)


def facility(
    id_: str, *, marks: Marks = MARKS, school: str | None = "s-1", name: str = "A", users: int = 0, classes: int = 0
) -> dict[str, Any]:
    extra = {} if school is None else {OWNER: marks.owner(school=school, facility=id_), SCHOOL: marks.school(school)}
    return {
        "id": id_,
        "name": name,
        "num_users": users,
        "num_classrooms": classes,
        "dataset": {"id": f"d{id_}", "extra_fields": extra},
    }


def user(id_: str, key: str | None = None, *, number: str | None = None, state: State = State.ACTIVE) -> dict[str, Any]:
    mark = None if key is None else PersonMark(key=key, state=state, staff=False)
    return {
        "id": id_,
        "username": f"user_{id_}",
        "full_name": f"Name {id_}",
        "facility": "f",
        "id_number": key or "" if number is None else number,
        "extra_demographics": {PERSON: MARKS.person(mark, subject=id_)} if mark else None,
    }


def read(
    place: dict[str, Any],
    *,
    users: list[dict[str, Any]] | None = None,
    deleted: list[dict[str, Any]] | None = None,
    classes: list[dict[str, Any]] | None = None,
    memberships: list[dict[str, Any]] | None = None,
    roles: list[dict[str, Any]] | None = None,
) -> tuple[Actual, Site]:
    found, _ = sites([place], marks=MARKS, schools=KNOWN.schools)
    listed = Listed(site=found["s-1"], users=users or [], deleted=deleted or [], classes=classes or [])
    state = actual(
        facilities=[place],
        listed=[listed],
        memberships=memberships or [],
        roles=roles or [],
        known=KNOWN,
        marks=MARKS,
    )
    return state, found["s-1"]


def test_a_list_that_is_shorter_than_kolibris_own_count_makes_the_school_unsure() -> None:
    assert read(facility("f", users=2), users=[user("1"), user("2")])[0].unsure == frozenset()
    assert read(facility("f", users=2), users=[user("1")])[0].unsure == {"s-1"}
    assert read(facility("f", classes=1))[0].unsure == {"s-1"}


def test_facilities_are_told_apart() -> None:
    places = [
        facility("f"),
        facility("g", marks=OTHER),  # another owner's try at the same school is no harm to ours
        facility("h", marks=OTHER, school="s-2"),
        facility("i", school=None),
        facility("j", school="s-unknown"),
    ]
    found, elsewhere = sites(places, marks=MARKS, schools=["s-1", "s-2", "s-3"])
    assert {key: site.id for key, site in found.items()} == {"s-1": "f"}
    assert elsewhere == {"s-2"}
    made = facility("f", name=MARKS.temporary_school("s-1"))
    assert sites([made, facility("g", marks=OTHER)], marks=MARKS, schools=["s-1"]) == ({}, set())
    assert sites([facility("a", marks=OTHER), made], marks=MARKS, schools=["s-1"]) == ({}, set())


def test_two_accounts_with_true_marks_for_one_person_stand_still() -> None:
    state, site = read(facility("f", users=2), users=[user("1", "p-1"), user("2", "p-1")])
    assert state.conflicts == {("s-1", "p-1")}
    assert state.people["key"].to_list() == ["p-1", "p-1"]
    assert site.people == {}


def test_a_deleted_account_beside_a_live_one_counts_for_nothing() -> None:
    state, site = read(facility("f", users=1), users=[user("1", "p-1")], deleted=[user("2", "p-1")])
    assert state.people.select("key", "external_id", "suspended").rows() == [("p-1", "1", False)]
    assert state.conflicts == frozenset()
    assert site.deleted == {}
    assert "user_2" in site.taken


def test_an_account_under_a_name_that_we_gave_away_is_a_question() -> None:
    stranger = {**user("1"), "username": "Ann"}
    state, _ = read(facility("f", users=1), users=[stranger])
    assert state.conflicts == {("s-1", "p-9")}
    state, _ = read(facility("f", users=2), users=[stranger, user("2", "p-9")])
    assert state.conflicts == frozenset(), "the person has a true account: the other one is a stranger's"
    assert state.people.select("key", "external_id").rows() == [("p-9", "2"), (None, "1")]


def test_rows_of_deleted_people_and_of_classes_that_are_not_ours_fall_out() -> None:
    entry = ClassEntry(MARKS.class_token(school="s-1", key="c-1"))
    place = facility("f", users=2, classes=2)
    place["dataset"]["extra_fields"][CLASSES] = {"c": MARKS.class_entry(entry, class_id="c")}
    state, _ = read(
        place,
        users=[user("1", "p-1"), user("2")],
        deleted=[user("3", "p-3")],
        classes=[{"id": "c", "name": "Art"}, {"id": "x", "name": "Theirs"}],
        memberships=[{"id": f"{c}{u}", "collection": c, "user": u} for c in "cx" for u in "123"],
        roles=[
            {"id": "r1", "collection": "c", "user": "2", "kind": "coach"},
            {"id": "r2", "collection": "f", "user": "1", "kind": "admin"},
            {"id": "r3", "collection": "f", "user": "3", "kind": "admin"},
            {"id": "r4", "collection": "f", "user": "2", "kind": "classroom assignable coach"},
            {"id": "r5", "collection": "g", "user": "1", "kind": "admin"},
        ],
    )
    assert set(state.memberships["external_id"]) == {"c1", "c2", "r1"}
    assert state.rights["external_id"].to_list() == ["r2"]
    assert set(state.people.select("key", "suspended").rows()) == {("p-1", False), (None, False), ("p-3", True)}


def test_ids_are_computed_as_kolibri_does() -> None:
    # made by a real server
    row = {
        "dataset": "5a6055230517919f11dcc89c76b25f7c",
        "user": "3ab112b2cf85cc14dbc6a1d33082e817",
        "collection": "02748a219205ef6594fea7c7570cd226",
    }
    assert membership_id(**row) == "b8546648354b8689fcf7cbcc82ccf1c0"
    assert role_id(**row, kind="coach") == "de837c9d8f9c32d696273517fd93b677"


@given(name=st.text(), limit=st.integers(min_value=10, max_value=120))
def test_a_name_that_fits_once_fits_always(name: str, limit: int) -> None:
    once = fit(name, limit)
    assert len(once) <= limit
    assert fit(once, limit) == once == once.strip()
    assert "\0" not in once


def test_a_user_name_is_given_to_nobody_else_not_even_one_of_somebody_forgotten() -> None:
    _, site = read(facility("f", users=1), users=[user("1")])
    assert not site.free("user_1", key="p-1"), "somebody has it"
    assert site.free("ann", key="p-9"), "it is hers"
    assert not site.free("ann", key="p-1")
    assert not site.free("bob", key="p-1")
    assert not site.free("bob", key="p-9")
    assert site.free("cid", key="p-1")

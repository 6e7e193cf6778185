"""The source door: what a reading takes away, how much that is, and what is served while some of it is held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.roster.rosters import (
    YESTERDAY,
    Class,
    Course,
    Enrolled,
    Held,
    Org,
    Record,
    Session,
    User,
    records,
    roster_of,
    unhurried,
)

from homeroom.roster.accept import REFERENCES, in_order
from homeroom.roster.door import DEPARTURES, SIZES, departures, serve, sizes
from homeroom.roster.tables import SCHEMAS, Roster

Row = tuple[str | None, ...]
"""One row of `departures`: op, kind, school, key, class_key, role."""

LINKS = ("roles", "enrollments")
UPDATED = {
    "orgs": ("parent", "type"),
    "classes": ("school", "terms", "grades", "subjects"),
    "users": ("given", "family"),
}
KINDS = {"orgs": "School", "classes": "Class", "users": "Person"}


def canonical(*some: Record) -> Roster:
    """A roster as a source makes it: roles and enrollments join what is there, and stand in order."""
    users = {record.id for record in some if isinstance(record, User)}
    ends = {record.id for record in some if isinstance(record, Org | Class)}
    kept = [
        record
        for record in some
        if not isinstance(record, Held | Enrolled)
        or (record.user in users and (record.org if isinstance(record, Held) else record.class_) in ends)
    ]
    roster = roster_of(*kept)
    return replace(roster, **{table: in_order(getattr(roster, table), list(REFERENCES[table])) for table in LINKS})


def frame(rows: Iterable[Row]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=DEPARTURES, orient="row")


def taken(before: Roster, fresh: Roster) -> set[Row]:
    found = departures(before, fresh)
    assert found.schema == DEPARTURES
    assert found.is_unique().all()
    return set(found.rows())


def served(before: Roster, fresh: Roster, *, held: Iterable[Row] = (), frozen: Sequence[str] = ()) -> Roster:
    return serve(before, fresh, held=frame(held), frozen=pl.Series(frozen, dtype=pl.String))


def plain(roster: Roster) -> dict[str, list[dict[str, Any]]]:
    """All rows, with source ids for references."""
    tables = dict(roster.tables())
    rows = {}
    for table, columns in REFERENCES.items():
        rows[table] = tables[table].to_dicts()
        for column, target in columns.items():
            ids = tables[target]["id"].to_list()
            for row in rows[table]:
                value = row[column]
                row[column] = (
                    [ids[one] for one in value if one is not None]
                    if isinstance(value, list)
                    else None
                    if value is None
                    else ids[value]
                )
    return rows


def contents(rows: dict[str, list[dict[str, Any]]]) -> dict[str, Counter[str]]:
    return {table: Counter(repr(sorted(row.items())) for row in some) for table, some in rows.items()}


def by_id(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in rows}


# ---------------------------------------------------------------------------------------------------------------------
# The same in plain Python, one row after another


def places(rows: dict[str, list[dict[str, Any]]], user: str) -> set[str | None]:
    school = {row["id"]: row["school"] for row in rows["classes"]}
    found = {row["org"] for row in rows["roles"] if row["user"] == user}
    found |= {school[row["class"]] for row in rows["enrollments"] if row["user"] == user}
    return found - {None} or {None}


def named(table: str, row: dict[str, Any]) -> tuple[str, str, str | None]:
    return (row["user"], row["role"], row["org"] if table == "roles" else row["class"])


def said(row: dict[str, Any], column: str) -> object:
    value = row[column]
    return sorted({one for one in value if one is not None}) if isinstance(value, list) else value


def expected_departures(before: Roster, fresh: Roster) -> set[Row]:
    was, now = plain(before), plain(fresh)
    school = {row["id"]: row["school"] for row in was["classes"]}
    found: set[Row] = set()
    for table, kind in KINDS.items():
        there = by_id(now[table])
        for key, row in by_id(was[table]).items():
            if key not in there:
                op = "Remove"
            elif any(said(row, column) != said(there[key], column) for column in UPDATED[table]):
                op = "Update"
            else:
                continue
            if table == "users":
                found |= {(op, kind, place, key, None, None) for place in places(was, key)}
            elif table == "classes":
                found.add((op, kind, school[key], key, None, None))
            elif op == "Update" or row["type"] == "school":
                found.add((op, kind, key, key, None, None))
    gone = {
        table: {named(table, row) for row in was[table]} - {named(table, row) for row in now[table]} for table in LINKS
    }
    found |= {("Remove", "Membership", school[key], user, key, role) for user, role, key in gone["enrollments"] if key}
    found |= {
        ("Remove", "Right", org, user, None, role)
        for user, role, org in gone["roles"]
        if role not in {"student", "teacher"}
    }
    return found


def expected_rows(
    before: Roster, fresh: Roster, held: set[Row], frozen: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """What `serve` should give, rows in any order."""
    was, now = plain(before), plain(fresh)
    new = {table: by_id(now[table]) for table in REFERENCES if table not in LINKS}
    old = {table: by_id(was[table]) for table in new}
    for table, kind in KINDS.items():
        for op, some, _, key, _, _ in held:
            if (op, some) == ("Update", kind) and not (table == "users" and key in frozen):
                new[table][key] |= {column: old[table][key][column] for column in UPDATED[table]}
    links = {table: [row for row in now[table] if row["user"] not in frozen] for table in LINKS}
    for row in was["roles"]:
        itself = ("Remove", "Right", row["org"], row["user"], None, row["role"])
        person = ("Remove", "Person", row["org"], row["user"], None, None)
        if row["user"] in frozen or itself in held or person in held:
            links["roles"].append(row)
    for row in was["enrollments"]:
        school = old["classes"][row["class"]]["school"]
        if row["user"] in frozen or ("Remove", "Membership", school, row["user"], row["class"], row["role"]) in held:
            links["enrollments"].append(row)
    for key in frozen:
        new["users"].pop(key, None)
        if key in old["users"]:
            new["users"][key] = old["users"][key]
    for table, kind in KINDS.items():
        for op, some, _, key, _, _ in held:
            if (op, some) == ("Remove", kind):
                new[table].setdefault(key, old[table][key])
    tables: dict[str, list[dict[str, Any]]] = {**links}
    for table in reversed(REFERENCES):
        rows = links[table] if table in LINKS else list(new[table].values())
        for row in rows:  # grows while parents are added
            for column, target in REFERENCES[table].items():
                for key in row[column] if isinstance(row[column], list) else [row[column]]:
                    if key is not None and key not in new[target]:
                        new[target][key] = old[target][key]
                        if target == table:
                            rows.append(old[target][key])
        tables[table] = rows
    return tables


# ---------------------------------------------------------------------------------------------------------------------
# Properties


def tree(draw: st.DrawFn, orgs: list[Org]) -> list[Record]:
    """The same organisations with other parents, none above itself."""
    order = draw(st.permutations(orgs))
    return [
        replace(org, parent=draw(st.sampled_from([None, *(above.id for above in order[:n])])))
        for n, org in enumerate(order)
    ]


@st.composite
def changed(draw: st.DrawFn, record: Record) -> Record:
    """Another version of a record, or the same."""
    match record:
        case Org():
            return replace(record, type=draw(st.sampled_from(("school", "school", "district"))), name="Renamed")
        case Class():
            return draw(
                st.sampled_from(
                    (
                        replace(record, school="s-2"),
                        replace(record, terms=("t-now", "t-year")),
                        replace(record, grades=(*(record.grades or ()), "01")),
                        replace(record, subjects=None),
                        replace(record, title="Renamed", grades=record.grades and record.grades[::-1]),
                    )
                )
            )
        case User():
            return replace(record, given=draw(st.sampled_from(("Given", "Renamed"))), username="renamed")
        case Enrolled() | Held():
            return draw(st.sampled_from((replace(record, end=YESTERDAY), replace(record, role="teacher"))))
    return record


@dataclass(frozen=True, kw_only=True)
class Reading:
    before: Roster
    fresh: Roster
    held: frozenset[Row]
    frozen: tuple[str, ...]


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    """A district, what the next reading makes of it, what of that is held and about whom there is a question."""
    old = draw(records())
    orgs, rest = [one for one in old if isinstance(one, Org)], [one for one in old if not isinstance(one, Org)]
    new: list[Record] = []
    what = st.sampled_from(("keep", "keep", "keep", "keep", "drop", "change"))
    for one in [*tree(draw, orgs), *rest]:
        fate = draw(what)
        new += [] if fate == "drop" else [draw(changed(one))] if fate == "change" else [one]
    if draw(st.booleans()):  # rows before, between and after those that were there
        added: list[Record] = [Org("r-0", "district"), Org("s-10", parent="r-0"), Session("t-b"), Course("c-10")]
        added += [Class("k-10", "s-10", terms=("t-b", "t-now"), course="c-10"), User("a-1"), User("u-10")]
        new += [*added, Enrolled("k-10", "a-1"), Enrolled("k-1", "u-10"), Held("a-1", "principal", "s-10")]
    before, fresh = canonical(*tree(draw, orgs), *rest), canonical(*new)
    all_of_it = departures(before, fresh).rows()
    return Reading(
        before=before,
        fresh=fresh,
        held=draw(st.frozensets(st.sampled_from(all_of_it))) if all_of_it else frozenset(),
        frozen=tuple(draw(st.sets(st.sampled_from(("u-0", "u-1", "u-10", "a-1", "nobody")), max_size=3))),
    )


def is_sound(tree: dict[str, dict[str, Any]]) -> bool:
    """No organisation is above itself."""
    for key in tree:
        at, steps = tree[key]["parent"], 0
        while at is not None and steps <= len(tree):
            at, steps = tree[at]["parent"], steps + 1
        if at is not None:
            return False
    return True


@unhurried
@given(readings())
def test_departures_are_what_a_comparison_row_by_row_finds(reading: Reading) -> None:
    assert taken(reading.before, reading.fresh) == expected_departures(reading.before, reading.fresh)


@unhurried
@given(readings())
def test_sizes_count_what_would_depart_if_all_did(reading: Reading) -> None:
    everything = taken(reading.before, Roster.empty())
    counted = Counter((kind, school, None) for _, kind, school, _, _, _ in everything)
    counted += Counter((kind, school, key) for _, kind, school, _, key, _ in everything if key)
    found = sizes(reading.before)
    assert found.schema == SIZES
    assert found.height == len(counted)
    assert {(kind, school, key): size for kind, school, key, size in found.iter_rows()} == counted


@unhurried
@given(readings())
def test_nothing_held_serves_the_fresh_roster_itself(reading: Reading) -> None:
    assert served(reading.before, reading.fresh) is reading.fresh


@unhurried
@given(readings())
def test_with_all_held_nothing_departs(reading: Reading) -> None:
    result = served(reading.before, reading.fresh, held=taken(reading.before, reading.fresh))
    assert taken(reading.before, result) == set()


@unhurried
@given(readings())
def test_what_is_not_held_departs_but_for_what_held_rows_refer_to(reading: Reading) -> None:
    all_of_it = taken(reading.before, reading.fresh)
    left = taken(reading.before, served(reading.before, reading.fresh, held=reading.held))
    assert left <= all_of_it - reading.held
    kept = all_of_it - reading.held - left
    # Nothing refers to a membership; a name that stays, stays in all schools of the person.
    assert {kind for op, kind, *_ in kept if op == "Remove"} <= {"School", "Class", "Person", "Right"}
    named_before = {key for op, kind, _, key, *_ in reading.held if (op, kind) == ("Update", "Person")}
    assert {key for op, kind, _, key, *_ in kept if (op, kind) == ("Update", "Person")} <= named_before
    assert not {key for op, kind, _, key, *_ in kept if (op, kind) == ("Update", "Class")}


@unhurried
@given(readings())
def test_additions_pass(reading: Reading) -> None:
    was, now = contents(plain(reading.before)), contents(plain(reading.fresh))
    result = contents(plain(served(reading.before, reading.fresh, held=reading.held)))
    ids = {table: {row["id"] for row in rows} for table, rows in plain(reading.before).items() if table not in LINKS}
    for table, rows in plain(reading.fresh).items():
        for row in rows:
            text = repr(sorted(row.items()))
            if table in LINKS or row["id"] not in ids[table]:
                assert result[table][text] >= max(now[table][text] - was[table][text], 1)


@unhurried
@given(readings())
def test_the_served_roster_is_the_fresh_one_and_what_is_kept_and_no_more(reading: Reading) -> None:
    result = plain(served(reading.before, reading.fresh, held=reading.held, frozen=reading.frozen))
    wanted = expected_rows(reading.before, reading.fresh, set(reading.held), reading.frozen)
    if is_sound(by_id(wanted["orgs"])):  # else more parents are kept
        assert contents(result) == contents(wanted)


@unhurried
@given(readings())
def test_the_served_roster_is_whole_and_in_canonical_order(reading: Reading) -> None:
    result = served(reading.before, reading.fresh, held=reading.held, frozen=reading.frozen)
    tables = dict(result.tables())
    for table, rows in tables.items():
        assert rows.schema == SCHEMAS[table]
        for column, target in REFERENCES[table].items():
            refers = rows[column].explode(empty_as_null=False) if column == "terms" else rows[column]
            assert refers.drop_nulls().is_between(0, tables[target].height, closed="left").all()
            assert table not in LINKS or refers.null_count() == 0
        if table in LINKS:
            assert rows.equals(in_order(rows.reverse(), list(REFERENCES[table])))
        else:
            assert rows["id"].to_list() == sorted(set(rows["id"]))
    assert is_sound(by_id(plain(result)["orgs"]))


@unhurried
@given(readings())
def test_people_in_question_stand_still(reading: Reading) -> None:
    was = plain(reading.before)
    result = plain(served(reading.before, reading.fresh, held=reading.held, frozen=reading.frozen))
    for table, column in (("users", "id"), ("roles", "user"), ("enrollments", "user")):
        theirs = [
            contents({table: [row for row in rows[table] if row[column] in reading.frozen]}) for rows in (was, result)
        ]
        assert theirs[0] == theirs[1]


# ---------------------------------------------------------------------------------------------------------------------
# Examples

YEAR = Session("y", begin=date(2026, 8, 1), end=date(2027, 8, 1))
DISTRICT = Org("d", type="district")


def school(key: str, *, students: int = 3) -> list[Record]:
    """A school with a principal, a class, a teacher and students."""
    people = [f"{key}-u{n}" for n in range(students)]
    staff: list[Record] = [User(f"{key}-head"), Held(f"{key}-head", "principal", key)]
    staff += [User(f"{key}-t"), Held(f"{key}-t", "teacher", key), Enrolled(f"{key}-k", f"{key}-t", "teacher")]
    learners: list[Record] = [User(one) for one in people]
    learners += [Held(one, "student", key) for one in people]
    learners += [Enrolled(f"{key}-k", one) for one in people]
    return [Org(key, parent="d"), Class(f"{key}-k", key, course="c", terms=("y",)), *staff, *learners]


COMMON: list[Record] = [DISTRICT, YEAR, Course("c")]


def test_a_school_of_three_that_is_lost_is_served_as_it_was_beside_the_additions() -> None:
    before = canonical(*COMMON, *school("s-1"), *school("s-2"), *school("s-3"))
    joins = [User("joins"), Enrolled("s-1-k", "joins")]
    fresh = canonical(*COMMON, *school("s-1"), *school("s-3"), *joins)
    lost = taken(before, fresh)
    assert {row[2] for row in lost} == {"s-2"}
    assert Counter(row[1] for row in lost) == {"School": 1, "Class": 1, "Person": 5, "Membership": 4, "Right": 1}
    held = served(before, fresh, held=lost)
    whole = canonical(*COMMON, *school("s-1"), *school("s-2"), *school("s-3"), *joins)
    assert contents(plain(held)) == contents(plain(whole))
    assert all(one.equals(other) for (_, one), (_, other) in zip(held.tables(), whole.tables(), strict=True))


def test_a_class_that_is_lost_comes_back_with_its_members_its_course_and_its_term() -> None:
    before = canonical(*COMMON, *school("s-1", students=25))
    gone = {Class, Enrolled, Course, Session}
    fresh = canonical(*(one for one in [*COMMON, *school("s-1", students=25)] if type(one) not in gone))
    lost = taken(before, fresh)
    assert Counter((row[0], row[1]) for row in lost) == {("Remove", "Class"): 1, ("Remove", "Membership"): 26}
    assert contents(plain(served(before, fresh, held=lost))) == contents(plain(before))


def test_one_held_membership_brings_what_it_needs_and_nothing_else() -> None:
    before = canonical(*COMMON, *school("s-1"), *school("s-2"))
    fresh = canonical(*COMMON, *school("s-1"))
    held = served(before, fresh, held=[("Remove", "Membership", "s-2", "s-2-u1", "s-2-k", "student")])
    new = plain(held)
    assert {row["id"] for row in new["users"]} - {row["id"] for row in plain(fresh)["users"]} == {"s-2-u1"}
    assert {row["id"] for row in new["orgs"]} == {"d", "s-1", "s-2"}
    assert [row["user"] for row in new["enrollments"] if row["class"] == "s-2-k"] == ["s-2-u1"]
    assert held.roles.height == fresh.roles.height


def test_a_person_who_moves_to_another_school_leaves_only_the_membership() -> None:
    rest = [*COMMON, *school("s-1"), *school("s-2"), User("mover")]
    before = canonical(*rest, Held("mover", "student", "s-1"), Enrolled("s-1-k", "mover"))
    fresh = canonical(*rest, Held("mover", "student", "s-2"), Enrolled("s-2-k", "mover"))
    lost = taken(before, fresh)
    assert lost == {("Remove", "Membership", "s-1", "mover", "s-1-k", "student")}
    both = plain(served(before, fresh, held=lost))
    assert {row["class"] for row in both["enrollments"] if row["user"] == "mover"} == {"s-1-k", "s-2-k"}


def test_a_person_of_two_schools_counts_in_both_and_is_held_in_one_with_the_roles_there() -> None:
    rest = [*COMMON, *school("s-1"), *school("s-2")]
    roles = [Held("both", "teacher", "s-1"), Held("both", "aide", "s-1"), Held("both", "teacher", "s-2")]
    before = canonical(*rest, User("both"), *roles)
    fresh = canonical(*rest)
    assert taken(before, fresh) == {
        ("Remove", "Person", "s-1", "both", None, None),
        ("Remove", "Person", "s-2", "both", None, None),
        ("Remove", "Right", "s-1", "both", None, "aide"),
    }
    held = plain(served(before, fresh, held=[("Remove", "Person", "s-1", "both", None, None)]))
    theirs = {(row["role"], row["org"]) for row in held["roles"] if row["user"] == "both"}
    assert theirs == {("teacher", "s-1"), ("aide", "s-1")}


def test_an_enrollment_that_only_got_other_dates_has_not_gone() -> None:
    rest = [*COMMON, *school("s-1"), User("u")]
    before = canonical(*rest, Enrolled("s-1-k", "u"), Enrolled("s-1-k", "u", begin=YESTERDAY))
    assert taken(before, canonical(*rest, Enrolled("s-1-k", "u", end=YESTERDAY))) == set()
    assert sizes(before).filter(kind="Membership", class_key="s-1-k")["size"].to_list() == [5]


def test_all_versions_of_a_held_enrollment_come_back() -> None:
    rest = [*COMMON, *school("s-1"), User("u")]
    before = canonical(*rest, Enrolled("s-1-k", "u"), Enrolled("s-1-k", "u", begin=YESTERDAY))
    fresh = canonical(*rest)
    assert contents(plain(served(before, fresh, held=taken(before, fresh)))) == contents(plain(before))


def test_a_held_update_keeps_the_old_values_of_what_was_rewritten_and_takes_the_rest() -> None:
    before = canonical(*COMMON, *school("s-1"), Org("s-2", parent="d"), User("u", given="Old"))
    rewritten = Class("s-1-k", "s-2", course="c", title="New", terms=(), grades=("02",))
    rest = [one for one in school("s-1") if not isinstance(one, Class)]
    fresh = canonical(*COMMON, *rest, rewritten, Org("s-2"), User("u", given="New", username="new"))
    changes = taken(before, fresh)
    assert changes == {
        ("Update", "Class", "s-1", "s-1-k", None, None),
        ("Update", "School", "s-2", "s-2", None, None),
        ("Update", "Person", None, "u", None, None),
    }
    held = plain(served(before, fresh, held=changes))
    section, user = by_id(held["classes"])["s-1-k"], by_id(held["users"])["u"]
    assert (section["school"], section["terms"], section["grades"]) == ("s-1", ["y"], ["Other"])
    assert section["title"] == "New"
    assert (user["given"], user["username"]) == ("Old", "new")
    assert by_id(held["orgs"])["s-2"]["parent"] == "d"


def test_old_and_new_parents_never_make_a_ring() -> None:
    before = canonical(Org("a", parent="b"), Org("b", parent="c"), Org("c"))
    fresh = canonical(Org("a"), Org("c", parent="a"))
    held = plain(served(before, fresh, held=[("Update", "School", "a", "a", None, None)]))
    assert {row["id"]: row["parent"] for row in held["orgs"]} == {"a": "b", "b": "c", "c": None}


def test_a_person_in_question_keeps_a_class_that_went_and_gets_none_that_came() -> None:
    rest = [*COMMON, *school("s-1"), *school("s-2")]
    before = canonical(*rest, Class("old", "s-1"), User("u"), Enrolled("old", "u"), Held("u", "student", "s-1"))
    new = User("u", given="Somebody", family="Else")
    fresh = canonical(*rest, Class("new", "s-2"), new, Enrolled("new", "u"), Held("u", "principal", "s-2"), User("n"))
    result = plain(served(before, fresh, frozen=["u", "n"]))
    assert [row["class"] for row in result["enrollments"] if row["user"] == "u"] == ["old"]
    assert [(row["role"], row["org"]) for row in result["roles"] if row["user"] == "u"] == [("student", "s-1")]
    assert by_id(result["users"])["u"]["given"] == "Given"
    assert "n" not in by_id(result["users"])
    assert {"old", "new"} <= by_id(result["classes"]).keys()


@pytest.mark.parametrize("table", [*LINKS])
def test_order_is_by_both_ends_first_however_many_share_them(table: str) -> None:
    roster = canonical(
        *COMMON,
        *school("s-1"),
        *school("s-2"),
        *(Held("s-1-t", role, org) for role in ("aide", "proctor", "aide") for org in ("s-1", "s-2")),
        *(Enrolled("s-1-k", "s-1-u1", role) for role in ("teacher", "student", "proctor")),
    )
    rows = getattr(roster, table)
    ends = rows.select(*REFERENCES[table]).rows()
    assert ends == sorted(ends)
    assert in_order(rows.sample(fraction=1, shuffle=True, seed=1), list(REFERENCES[table])).equals(rows)


def test_a_held_row_that_is_no_departure_says_nothing() -> None:
    roster = canonical(*COMMON, *school("s-1"))
    everything = taken(roster, Roster.empty())
    result = served(roster, roster, held=everything)
    assert contents(plain(result)) == contents(plain(roster))

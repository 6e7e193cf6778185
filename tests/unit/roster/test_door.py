"""The source door: what a reading takes away, how much that is, and what is served while some of it is held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples
from tests.unit.roster.rosters import (
    TODAY,
    YESTERDAY,
    Class,
    Course,
    Enrolled,
    Held,
    Names,
    Org,
    Record,
    Session,
    User,
    records,
    roster_of,
)

from homeroom.plan import SIZES_SCHEMA, Plan
from homeroom.roster.accept import REFERENCES, in_order
from homeroom.roster.door import DEPARTURES, RELEASED, compare, departures, following, present, serve, sizes
from homeroom.roster.tables import FAMILY, SCHEMAS, Roster

Row = tuple[str, str, str | None, str, str | None, str | None]
"""One row of `departures`: op, kind, school, key, class_key, role."""
Tables = dict[str, list[dict[str, Any]]]
"""A roster as rows, with source ids for references."""

LINKS = ("roles", "enrollments")
REWRITES = {
    "orgs": ("parent", "type"),
    "classes": ("school", "terms", "grades", "subjects"),
    "users": ("given", "family"),
}
PERSONAL = {"users": ("id",), "agents": ("user", "agent"), "roles": ("user",), "enrollments": ("user",)}
KINDS = {"orgs": "School", "classes": "Class", "users": "Person"}

thoroughly = examples(15)


def canonical(*some: Record) -> Roster:
    """A roster as a source makes it: roles and enrollments join what is there, and stand in order."""
    users = {record.id for record in some if isinstance(record, User)}
    ends = {record.id for record in some if isinstance(record, Org | Class)}
    kept = [
        record
        for record in some
        if not isinstance(record, Names | Held | Enrolled)
        or (isinstance(record, Names) and {record.user, record.agent} <= users)
        or (isinstance(record, Held) and record.user in users and record.org in ends)
        or (isinstance(record, Enrolled) and record.user in users and record.class_ in ends)
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


def served(before: Roster, fresh: Roster, *, held: Iterable[Row] = (), frozen: Iterable[str] = ()) -> Roster:
    return serve(before, fresh, held=frame(held), frozen=pl.Series(sorted(frozen), dtype=pl.String))


def plain(roster: Roster) -> Tables:
    tables = dict(roster.tables())
    rows = {table: tables[table].to_dicts() for table in REFERENCES}
    for table, columns in REFERENCES.items():
        for column, target in columns.items():
            ids = dict(enumerate(tables[target]["id"]))
            for row in rows[table]:
                value = row[column]
                row[column] = (
                    [ids[one] for one in value if one is not None] if isinstance(value, list) else ids.get(value)
                )
    return rows


def contents(tables: Tables) -> dict[str, Counter[str]]:
    return {table: Counter(repr(sorted(row.items())) for row in rows) for table, rows in tables.items()}


def by_id(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in rows}


# ---------------------------------------------------------------------------------------------------------------------
# The same in plain Python, one row after another


def expected_departures(before: Roster, fresh: Roster) -> set[Row]:
    was, now = plain(before), plain(fresh)
    found: set[Row] = set()
    for table, kind in KINDS.items():
        there = by_id(now[table])
        for key, row in by_id(was[table]).items():
            if key not in there:
                found |= {("Remove", kind, school, key, None, None) for school in places(was, table, row)}
            elif any(said(row[column]) != said(there[key][column]) for column in REWRITES[table]):
                found |= {("Update", kind, school, key, None, None) for school in places(was, table, row)}
    schools = {row["id"] for row in was["orgs"] if row["type"] == "school"}
    found = {row for row in found if row[:2] != ("Remove", "School") or row[3] in schools}
    gone = {row for table in LINKS for row in link_rows(was, table)} - {
        (*row[:2], school, *row[3:])  # wherever that class is now
        for table in LINKS
        for row in link_rows(now, table)
        for school in ([row[2]] if table == "roles" else [at["school"] for at in was["classes"] if at["id"] == row[4]])
    }
    return found | {row for row in gone if row[1] == "Membership" or row[5] not in {"student", "teacher", *FAMILY}}


def link_rows(tables: Tables, table: str) -> list[Row]:
    """Each role or enrollment as it would be if it were gone."""
    school = {row["id"]: row["school"] for row in tables["classes"]}
    if table == "roles":
        return [("Remove", "Right", row["org"], row["user"], None, row["role"]) for row in tables[table]]
    return [
        ("Remove", "Membership", school[row["class"]], row["user"], row["class"], row["role"]) for row in tables[table]
    ]


def places(tables: Tables, table: str, row: dict[str, Any]) -> set[str | None]:
    if table != "users":
        return {row["id"] if table == "orgs" else row["school"]}
    links = [link for table in LINKS for link in link_rows(tables, table) if link[5] not in FAMILY]
    theirs = {link[2] for link in links if link[3] == row["id"]}
    return theirs - {None} or {None}


def said(value: object) -> object:
    return set(value) - {None} if isinstance(value, list) else value


def expected_rows(reading: Reading) -> Tables:
    """What `serve` should give, rows in any order."""
    was, now = plain(reading.before), plain(reading.fresh)
    result: Tables = {}
    for table in LINKS:
        old = [row for row, link in zip(was[table], link_rows(was, table), strict=True) if stays(reading, link)]
        result[table] = [row for row in now[table] if row["user"] not in reading.frozen] + old
    with_families(result, reading)
    records = {table: by_id(now[table]) for table in KINDS}
    for op, kind, _, key, _, _ in reading.held:
        for table in (table for table in KINDS if KINDS[table] == kind):
            old_row = by_id(was[table])[key]
            if op == "Remove":
                records[table][key] = old_row
            else:
                records[table][key] |= {column: old_row[column] for column in REWRITES[table]}
    old_people = by_id(was["users"])
    records["users"] = {key: row for key, row in records["users"].items() if key not in reading.frozen}
    records["users"] |= {key: old_people[key] for key in reading.frozen if key in old_people}
    for table in REFERENCES:
        result.setdefault(table, list(records[table].values()) if table in records else list(now[table]))
    for table in reversed(REFERENCES):
        for row in result[table]:  # which grows while parents are added
            for column, target in REFERENCES[table].items():
                add_missing(result[target], was[target], row[column])
    return result


def with_families(result: Tables, reading: Reading) -> None:
    """Who comes back, or stands still, with those who name them or are named, who come back as family only."""
    was, now = plain(reading.before), plain(reading.fresh)
    gone = by_id(was["users"]).keys() - by_id(now["users"]).keys()
    people = {key for op, kind, _, key, _, _ in reading.held if (op, kind) == ("Remove", "Person")} | reading.frozen
    people |= {row["user"] for table in LINKS for row in result[table]} & gone
    kept = [row for row in was["agents"] if people & set(row.values())]
    result["agents"] = [row for row in now["agents"] if not reading.frozen & set(row.values())] + kept
    named = ({end for row in kept for end in row.values()} & gone) - people
    result["roles"] += [row for row in was["roles"] if row["user"] in named and row["role"] in FAMILY]


def stays(reading: Reading, link: Row) -> bool:
    _, kind, school, user, _, _ = link
    with_person = kind == "Right" and ("Remove", "Person", school, user, None, None) in reading.held
    return user in reading.frozen or link in reading.held or with_person


def add_missing(rows: list[dict[str, Any]], old: list[dict[str, Any]], named: str | list[str] | None) -> None:
    for key in named if isinstance(named, list) else [named]:
        if key is not None and key not in by_id(rows):
            rows.append(by_id(old)[key])


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
    departures: frozenset[Row]
    held: frozenset[Row]
    frozen: frozenset[str]


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    """A district, what the next reading makes of it, what of that is held, and about whom there is a question."""
    old = draw(records())
    orgs, rest = [one for one in old if isinstance(one, Org)], [one for one in old if not isinstance(one, Org)]
    new: list[Record] = []
    fates = st.sampled_from(("keep", "keep", "keep", "keep", "drop", "change"))
    for one in [*tree(draw, orgs), *rest]:
        fate = draw(fates)
        new += [] if fate == "drop" else [draw(changed(one))] if fate == "change" else [one]
    if draw(st.booleans()):  # rows before, between and after those that were there
        added: list[Record] = [Org("r-0", "district"), Org("s-10", parent="r-0"), Session("t-b"), Course("c-10")]
        added += [Class("k-10", "s-10", terms=("t-b", "t-now"), course="c-10"), User("a-1"), User("u-10")]
        new += [*added, Enrolled("k-10", "a-1"), Enrolled("k-1", "u-10"), Held("a-1", "principal", "s-10")]
    before, fresh = canonical(*tree(draw, orgs), *rest), canonical(*new)
    found = departures(before, fresh).rows()
    return Reading(
        before=before,
        fresh=fresh,
        departures=frozenset(found),
        held=draw(st.frozensets(st.sampled_from(found))) if found else frozenset(),
        frozen=draw(st.frozensets(st.sampled_from(("u-0", "u-1", "u-10", "a-1", "nobody")), max_size=3)),
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


@thoroughly
@given(readings())
def test_departures_are_what_a_comparison_row_by_row_finds(reading: Reading) -> None:
    assert taken(reading.before, reading.fresh) == expected_departures(reading.before, reading.fresh)


@thoroughly
@given(records())
def test_sizes_count_what_would_depart_if_all_did(some: list[Record]) -> None:
    before = canonical(*some)
    everything = taken(before, Roster.empty())
    counted = Counter((kind, school, section) for _, kind, school, _, section, _ in everything)
    counted += Counter((kind, school, None) for _, kind, school, _, section, _ in everything if section)
    found = sizes(before)
    assert found.schema == SIZES_SCHEMA
    assert found.height == len(counted)
    assert {(kind, school, section): size for kind, school, section, size in found.iter_rows()} == counted


@thoroughly
@given(readings())
def test_what_is_held_stays_and_the_rest_departs(reading: Reading) -> None:
    before, fresh, everything = reading.before, reading.fresh, reading.departures
    assert served(before, fresh) is fresh
    assert taken(before, served(before, fresh, held=everything)) == set()
    left = taken(before, served(before, fresh, held=reading.held))
    assert left <= everything - reading.held
    # What a held row refers to stays with it, but nothing refers to a membership; a name stays in all schools at once.
    kept = {(op, kind) for op, kind, *_ in everything - reading.held - left}
    assert not kept & {("Remove", "Membership"), ("Update", "Class")}
    assert ("Update", "Person") not in kept or ("Update", "Person") in {row[:2] for row in reading.held}


@thoroughly
@given(readings())
def test_served_is_all_that_is_fresh_and_what_is_held_and_what_that_refers_to(reading: Reading) -> None:
    result = served(reading.before, reading.fresh, held=reading.held, frozen=reading.frozen)
    wanted = expected_rows(reading)
    if is_sound(by_id(wanted["orgs"])):  # else more parents stay
        assert contents(plain(result)) == contents(wanted)


@thoroughly
@given(readings())
def test_the_served_roster_is_whole_and_in_canonical_order(reading: Reading) -> None:
    result = served(reading.before, reading.fresh, held=reading.held, frozen=reading.frozen)
    tables = dict(result.tables())
    for table, rows in tables.items():
        assert rows.schema == SCHEMAS[table]
        for column, target in REFERENCES[table].items():
            refers = rows[column].explode(empty_as_null=False) if column == "terms" else rows[column]
            assert (refers.drop_nulls() < tables[target].height).all()
            assert table not in {*LINKS, "agents"} or refers.null_count() == 0
        if table in {*LINKS, "agents"}:
            assert rows.equals(in_order(rows.reverse(), list(REFERENCES[table])))
        else:
            assert rows["id"].to_list() == sorted(set(rows["id"]))
    assert is_sound(by_id(plain(result)["orgs"]))


@thoroughly
@given(readings())
def test_people_in_question_stand_still(reading: Reading) -> None:
    result = served(reading.before, reading.fresh, held=reading.held, frozen=reading.frozen)
    was, now = (
        contents(
            {
                table: [row for row in rows[table] if reading.frozen & {row[column] for column in columns}]
                for table, columns in PERSONAL.items()
            }
        )
        for rows in (plain(reading.before), plain(result))
    )
    assert was == now


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
    joins: list[Record] = [User("joins"), Enrolled("s-1-k", "joins")]
    fresh = canonical(*COMMON, *school("s-1"), *school("s-3"), *joins)
    lost = taken(before, fresh)
    assert {row[2] for row in lost} == {"s-2"}
    assert Counter(row[1] for row in lost) == {"School": 1, "Class": 1, "Person": 5, "Membership": 4, "Right": 1}
    held = served(before, fresh, held=lost)
    whole = canonical(*COMMON, *school("s-1"), *school("s-2"), *school("s-3"), *joins)
    assert contents(plain(held)) == contents(plain(whole))
    assert all(one.equals(other) for (_, one), (_, other) in zip(held.tables(), whole.tables(), strict=True))


def test_a_class_that_is_lost_comes_back_with_its_members_its_course_and_its_term() -> None:
    whole: list[Record] = [*COMMON, *school("s-1", students=25)]
    before = canonical(*whole)
    gone = {Class, Enrolled, Course, Session}
    fresh = canonical(*(one for one in whole if type(one) not in gone))
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


def test_all_that_is_above_a_held_class_comes_back() -> None:
    above = [Org("county", type="local"), Org("d", type="district", parent="county"), Org("s", parent="d")]
    terms = [Session("y"), Session("half", parent="y"), Session("quarter", parent="half")]
    before = canonical(*above, *terms, Course("c"), Class("k", "s", course="c", terms=("quarter",)))
    fresh = canonical(Org("s"), Class("l", "s"))
    held = served(before, fresh, held=[("Remove", "Class", "s", "k", None, None)])
    assert held.orgs["id"].to_list() == ["s"]
    fresh = canonical(Org("t"), Class("l", "t"))
    held = served(before, fresh, held=[("Remove", "Class", "s", "k", None, None)])
    assert held.orgs["id"].to_list() == ["county", "d", "s", "t"]
    assert held.sessions["id"].to_list() == ["half", "quarter", "y"]
    assert held.courses["id"].to_list() == ["c"]


def test_a_new_parent_of_what_had_none_is_an_update() -> None:
    before, fresh = canonical(Org("s-1")), canonical(Org("new", type="district"), Org("s-1", parent="new"))
    assert taken(before, fresh) == {("Update", "School", "s-1", "s-1", None, None)}


def test_a_role_that_nobody_could_read_may_be_a_right() -> None:
    rest = [*COMMON, *school("s-1")]
    before, fresh = canonical(*rest, Held("s-1-t", None, "s-1")), canonical(*rest)
    lost = taken(before, fresh)
    assert lost == {("Remove", "Right", "s-1", "s-1-t", None, None)}
    assert served(before, fresh, held=lost).roles.equals(before.roles)


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


def test_a_family_goes_with_its_student_and_is_no_loss() -> None:
    rest = [*COMMON, *school("s-1")]
    before = canonical(*rest, User("mother"), Held("mother", "parent", "s-1"))
    assert taken(before, canonical(*rest)) == {("Remove", "Person", None, "mother", None, None)}
    assert sizes(before).equals(sizes(canonical(*rest, User("mother"))))
    assert compare(before, canonical(*rest), TODAY).empty


def test_a_student_who_is_held_keeps_the_family_that_left_with_them() -> None:
    rest = [*COMMON, *school("s-1")]
    mother: list[Record] = [User("mother"), Held("mother", "parent", "s-1"), Held("mother", "aide", "s-1")]
    before = canonical(*rest, *mother, User("u"), Held("u", "student", "s-1"), Names("u", "mother"))
    result = plain(served(before, canonical(*rest), held=[("Remove", "Person", "s-1", "u", None, None)]))
    assert result["agents"] == [{"user": "u", "agent": "mother"}]
    assert [row["role"] for row in result["roles"] if row["user"] == "mother"] == ["parent"]
    assert plain(served(before, canonical(*rest), frozen=["u"]))["agents"] == result["agents"]


# ---------------------------------------------------------------------------------------------------------------------
# Why, and what follows

Cause = tuple[str, str, str, str]
"""op, kind, key, cause."""


def causes(before: Iterable[Record], fresh: Iterable[Record], today: date = TODAY) -> set[Cause]:
    changes = compare(canonical(*before), canonical(*fresh), today).changes
    return {(row["op"], row["kind"], row["key"], row["cause"]) for row in changes.iter_rows(named=True)}


def test_who_changes_class_has_moved_and_who_leaves_has_left() -> None:
    rest: list[Record] = [*COMMON, *school("s-1", students=2), Class("other", "s-1", course="c", terms=("y",))]
    stays = [one for one in rest if one != Enrolled("s-1-k", "s-1-u0")]
    gone = [one for one in stays if getattr(one, "user", getattr(one, "id", "")) != "s-1-u1"]
    assert causes(rest, [*gone, Enrolled("other", "s-1-u0")]) == {
        ("Create", "Membership", "s-1-u0", "SourceAdded"),
        ("Remove", "Membership", "s-1-u0", "Moved"),
        ("Remove", "Membership", "s-1-u1", "LeftSource"),
        ("Remove", "Person", "s-1-u1", "LeftSource"),
    }


def test_what_was_over_has_ended_unless_its_school_is_gone_too() -> None:
    old = [*COMMON, *school("s-1", students=1)]
    shut = [one for one in old if not isinstance(one, Class | Enrolled) and getattr(one, "id", "") != "s-1-u0"]
    shut = [one for one in shut if not isinstance(one, Held) or one.user != "s-1-u0"]
    day = date(2027, 8, 1)
    ended = {row for row in causes(old, shut, day) if row[1] != "School"}
    assert ended == {
        ("Remove", "Class", "s-1-k", "TermEnded"),
        ("Remove", "Membership", "s-1-u0", "TermEnded"),
        ("Remove", "Membership", "s-1-t", "TermEnded"),
        ("Remove", "Person", "s-1-u0", "TermEnded"),
    }
    assert {row[3] for row in causes(old, shut, date(2027, 7, 31))} == {"LeftSource"}
    assert {row[3] for row in causes(old, COMMON, day)} == {"LeftSource"}


def test_a_class_that_is_used_again_next_year_is_no_rewrite() -> None:
    old: list[Record] = [*COMMON, Org("s-1", parent="d"), Class("k", "s-1", course="c", terms=("y",))]
    year = Session("next", begin=date(2027, 8, 1), end=date(2028, 8, 1))
    new = [*COMMON, year, Org("s-1", parent="d"), Class("k", "s-1", course="c", terms=("next",))]
    assert causes(old, new, date(2027, 8, 1)) == {("Update", "Class", "k", "TermEnded")}
    assert causes(old, new, date(2027, 7, 31)) == {("Update", "Class", "k", "SourceChanged")}


def of_plan(*rows: tuple[str, str, str, str | None, str | None, str]) -> pl.DataFrame:
    """Rows of an app's plan in school s-1: op, kind, key, class, role, cause."""
    names = ("op", "kind", "key", "class_key", "role", "cause")
    schema = dict.fromkeys(names, pl.String())
    return Plan.of(pl.DataFrame(rows, schema=schema, orient="row").with_columns(school=pl.lit("s-1"))).changes


LEFT = (
    ("Remove", "Membership", "u", "k", "Learner", "LeftSource"),
    ("Remove", "Membership", "u", "l", "Learner", "LeftSource"),
    ("Remove", "Membership", "v", "k", "Coach", "LeftSource"),
    ("Remove", "Right", "v", None, "Administrator", "LeftSource"),
    ("Suspend", "Person", "u", None, None, "LeftSource"),
    ("Suspend", "Person", "v", None, None, "Moved"),
    ("Archive", "Class", "k", None, None, "LeftSource"),
    ("Update", "Person", "w", None, None, "SourceChanged"),
)


@pytest.mark.parametrize(
    ("released", "expected"),
    [
        (("Remove", "School", "s-1", "s-1", None, None), {0, 1, 2, 3, 4, 5, 6}),
        (("Remove", "Class", "s-1", "k", None, None), {0, 2, 4, 5, 6}),
        (("Update", "Class", "s-1", "k", None, None), {0, 2, 4, 5, 6}),
        (("Remove", "Person", "s-1", "u", None, None), {0, 1, 4}),
        (("Remove", "Membership", "s-1", "u", "k", "student"), {0, 4}),
        (("Remove", "Membership", "s-1", "u", "k", "teacher"), {4}),
        (("Remove", "Membership", "s-1", "v", "k", "teacher"), {2, 5}),
        (("Remove", "Membership", "s-1", "v", "k", "proctor"), {5}),
        (("Remove", "Right", "s-1", "v", None, "principal"), {3, 5}),
        (("Remove", "Right", "d", "v", None, "districtAdministrator"), {3}),
        (("Remove", "Right", "d", "v", None, "principal"), set()),
        (("Update", "Person", "s-1", "w", None, None), {7}),
        (("Update", "Person", "s-1", "u", None, None), set()),
        (("Remove", "Person", "s-2", "u", None, None), set()),
    ],
)
def test_what_follows_in_an_app_from_what_was_released(released: Row, expected: set[int]) -> None:
    approved = frame([released]).with_columns(hold=pl.lit("9f3c1a-7k2m"))
    found = following(of_plan(*LEFT), approved)
    assert found.schema == RELEASED
    assert set(found["hold"]) <= {"9f3c1a-7k2m"}
    wanted = {(op, kind, "s-1", key, section, role) for op, kind, key, section, role, _ in (LEFT[n] for n in expected)}
    assert set(found.drop("hold").rows()) == wanted


@pytest.mark.parametrize("cause", ["SharingChanged", "SpecChanged", "IdChanged", "Drift", "Intruder", "Denied"])
def test_nothing_follows_that_the_records_did_not_do(cause: str) -> None:
    approved = frame([("Remove", "School", "s-1", "s-1", None, None)]).with_columns(hold=pl.lit("9f3c1a-7k2m"))
    assert following(of_plan(*((*row[:5], cause) for row in LEFT)), approved).is_empty()


@thoroughly
@given(readings())
def test_what_departs_is_not_present_and_what_stays_is(reading: Reading) -> None:
    gone = frame(sorted((row for row in reading.departures if row[0] == "Remove" and row[2]), key=repr))
    assert present(gone, reading.before).all()
    assert not present(gone, reading.fresh).any()


def test_a_held_row_that_is_no_departure_says_nothing() -> None:
    roster = canonical(*COMMON, *school("s-1"))
    everything = taken(roster, Roster.empty())
    result = served(roster, roster, held=everything)
    assert contents(plain(result)) == contents(plain(roster))

"""What the records of a district say that matters for chats."""

from __future__ import annotations

from datetime import date

import polars as pl
from hypothesis import given
from tests.unit.roster.rosters import (
    TODAY,
    TOMORROW,
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
    unhurried,
)

from homeroom.api import ChatType, HomeroomDefinition
from homeroom.chats.desired import desired
from homeroom.chats.policy import ChatRule, ChatRules
from homeroom.chats.records import LINKS_SCHEMA, Links, Records
from homeroom.reconcile.chatrecords import chat_records, links_from_template, links_from_user_ids
from homeroom.roster.tables import FAMILY
from homeroom.roster.years import NO_PINS, pinned

RULES = ChatRules(scope="x", chats=tuple(ChatRule(type=one) for one in ChatType))


def read(*rows: Record, pins: pl.DataFrame = NO_PINS) -> Records:
    return chat_records(roster_of(*rows), pins=pins, homeroom=HomeroomDefinition(), today=TODAY)


def chats(found: Records) -> dict[str, dict[str, bool]]:
    """Names of chats -> accounts (here: ids of people) -> whether they lead it."""
    everybody = found.people.select(person="id", account="id").cast(LINKS_SCHEMA)
    state = desired(found, Links.of(everybody), RULES)
    chat, account = state.members["chat"], state.members["account"]
    of: dict[str, dict[str, bool]] = {name: {} for name in state.chats["name"]}
    rows = zip(
        state.chats["name"].gather(chat),
        state.accounts["account"].gather(account),
        state.members["administrator"],
        strict=True,
    )
    for name, who, leads in rows:
        of[name][who] = leads
    return of


SCHOOL: tuple[Record, ...] = (
    Org("d", type="district", name="District"),
    Org("s-1", parent="d", name="Elm"),
    Session("y", begin=date(2026, 8, 1), end=date(2027, 7, 1), year=2027),
    Course("maths"),
    Class("7a", type="homeroom", title="7a", terms=("y",)),
    Class("m7", type="scheduled", title="m7", terms=("y",), course="maths"),
)
CHILDREN: tuple[Record, ...] = (
    *(User(f"u-{n}") for n in (1, 2)),
    Enrolled("7a", "u-1"),
    Enrolled("7a", "u-2"),
    Enrolled("m7", "u-1"),
)


def test_the_chats_of_a_school_follow_from_its_records() -> None:
    found = chats(
        read(
            *SCHOOL,
            *CHILDREN,
            *(User(name) for name in ("tom", "kim", "eve", "ida", "bus", "boss", "mum", "dad", "off")),
            Enrolled("7a", "tom", role="teacher", primary=True),
            Enrolled("7a", "kim", role="teacher", primary=False),
            Enrolled("m7", "kim", role="teacher"),
            Held("eve", "principal"),
            Held("ida", "aide"),
            Held("bus", "proctor"),
            Held("boss", "districtAdministrator", org="d"),
            Held("mum", "guardian"),
            Held("dad", "parent"),
            User("gone", enabled=False),
            Held("gone", "principal"),
            Enrolled("7a", "gone", role="teacher", primary=True),
            Names("u-1", "mum"),
            Names("u-2", "mum"),
            Names("dad", "u-2"),
            Names("u-1", "eve"),
        )
    )
    assert found == {
        "Staff room - Elm": {"tom": False, "kim": False, "eve": True, "ida": False},
        "7a students": {"u-1": False, "u-2": False, "tom": True},
        "7a parents": {"mum": False, "dad": False, "tom": True},
        "m7 Course": {"u-1": False, "mum": False, "kim": True},
    }


def test_an_acting_head_is_a_role_with_dates() -> None:
    acting = Held("tom", "principal", begin=YESTERDAY, end=TOMORROW)
    over = Held("kim", "principal", begin=YESTERDAY, end=TODAY)
    found = chats(read(*SCHOOL, User("tom"), User("kim"), acting, over, Held("kim", "teacher")))
    assert found["Staff room - Elm"] == {"tom": True, "kim": False}


def test_no_role_beside_a_student_record_leads_anything() -> None:
    """Safety row 5: whatever else they are, and however long ago they were a student."""
    once = Held("tom", "student", end=YESTERDAY)
    found = chats(
        read(*SCHOOL, User("tom"), once, Held("tom", "principal"), Enrolled("7a", "tom", role="teacher", primary=True))
    )
    assert found["Staff room - Elm"] == {"tom": False}
    assert found["7a students"] == {"tom": False}
    assert chats(read(*SCHOOL, User("tom"), Held("tom", None), Held("tom", "principal")))["Staff room - Elm"] == {
        "tom": False
    }


def test_a_section_in_its_next_year_is_another_chat_and_the_old_one_is_over() -> None:
    before = roster_of(*SCHOOL, *CHILDREN)
    first = pinned(before, NO_PINS, today=TODAY)
    later: tuple[Record, ...] = (
        Session("y2", begin=date(2027, 8, 1), end=date(2028, 7, 1), year=2028),
        *(one for one in SCHOOL if not isinstance(one, Class)),
        Class("7a", type="homeroom", title="7a", terms=("y2",)),
        User("new"),
        Enrolled("7a", "new"),
    )
    day = date(2027, 9, 1)
    second = pinned(roster_of(*later), first.pins, today=day)
    found = chat_records(second.roster, pins=second.pins, homeroom=HomeroomDefinition(), today=day)
    assert found.classes.select("id", "year").rows() == [("7a@2028", 2028)]
    assert found.over.rows() == [("7a", True)]


def test_a_class_whose_term_is_over_is_over_with_its_year_or_without() -> None:
    found = read(
        *SCHOOL,
        Session("half", begin=date(2026, 8, 1), end=YESTERDAY, year=2027),
        Session("old", begin=date(2025, 8, 1), end=date(2026, 7, 1), year=2026),
        Session("next", begin=TOMORROW, end=date(2027, 7, 1), year=2027),
        Class("6a", terms=("half",)),
        Class("5a", terms=("old",)),
        Class("4a", terms=("next",)),
    )
    assert found.over.rows() == [("5a", True), ("6a", False)]
    assert set(found.classes["id"]) == {"7a", "m7"}


@unhurried
@given(rows=records())
def test_odd_records_give_chats_without_anybody_who_is_barred_or_a_student_who_leads(rows: list[Record]) -> None:
    roster = roster_of(*rows)
    found = read(*rows)
    of = chats(found)
    barred = set(roster.users.filter(pl.col("enabled").eq(other=False))["id"])
    assert not barred & {who for chat in of.values() for who in chat}
    learners = set(found.people.filter("student")["id"])
    assert not learners & {who for chat in of.values() for who, leads in chat.items() if leads}


@unhurried
@given(rows=records())
def test_guardians_are_pairs_of_a_student_and_somebody_of_the_family_whoever_names_whom(rows: list[Record]) -> None:
    found = read(*rows)
    turned = [Names(one.agent, one.user) if isinstance(one, Names) else one for one in rows]
    assert read(*turned).guardians.equals(found.guardians)
    family = {one.user for one in rows if isinstance(one, Held) and one.role in FAMILY}
    named = {pair for one in rows if isinstance(one, Names) for pair in ((one.user, one.agent), (one.agent, one.user))}
    ids, learners = found.people["id"], set(found.people.filter("student")["id"])
    for student, guardian in found.guardians.rows():
        assert (ids[student], ids[guardian]) in named
        assert ids[student] in learners
        assert ids[guardian] in family


PEOPLE = roster_of(
    User(
        "u-1", username="ann", identifier="17", user_ids=("LDAP:ann", "Matrix:@ann:school.example", "matrix:@a2:x:8008")
    ),
    User("u-2", username="bob", user_ids=()),
    User("u-3", identifier="9", user_ids=("Matrix:@ann:school.example",)),
)


def test_accounts_are_the_ids_of_one_type() -> None:
    found = links_from_user_ids(PEOPLE, type_=" Matrix")
    assert found.rows() == [
        ("u-1", "@a2:x:8008"),
        ("u-1", "@ann:school.example"),
        ("u-3", "@ann:school.example"),
    ]
    assert found.schema == LINKS_SCHEMA
    assert links_from_user_ids(PEOPLE, type_="Fed").rows() == []


def test_accounts_follow_from_a_template_where_the_record_has_the_value() -> None:
    found = links_from_template(PEOPLE, template="@{username}:school.example")
    assert found.rows() == [("u-1", "@ann:school.example"), ("u-2", "@bob:school.example")]
    assert found.schema == LINKS_SCHEMA
    assert links_from_template(PEOPLE, template="@x{identifier}-{sourcedId}:s").rows() == [
        ("u-1", "@x17-u-1:s"),
        ("u-3", "@x9-u-3:s"),
    ]

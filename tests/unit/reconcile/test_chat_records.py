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
    Org,
    Record,
    Session,
    User,
    records,
    roster_of,
    unhurried,
)

from homeroom.api import ChatType, CreateOn, HomeroomDefinition
from homeroom.chats.desired import desired
from homeroom.chats.policy import ChatRule, ChatRules
from homeroom.chats.records import LINKS_SCHEMA, Links, Records
from homeroom.reconcile.chatrecords import GUARDIANS, chat_records
from homeroom.roster.years import NO_PINS, pinned

RULES = ChatRules(scope="x", chats=tuple(ChatRule(type=one, create_on=CreateOn.ENROLLMENT) for one in ChatType))


def read(*rows: Record, guardians: tuple[tuple[str, str], ...] = (), pins: pl.DataFrame = NO_PINS) -> Records:
    return chat_records(
        roster_of(*rows),
        guardians=pl.DataFrame(guardians, schema=GUARDIANS, orient="row"),
        pins=pins,
        homeroom=HomeroomDefinition(),
        today=TODAY,
    )


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
            User("gone", enabled=False),
            Held("gone", "principal"),
            Enrolled("7a", "gone", role="teacher", primary=True),
            guardians=(("u-1", "mum"), ("u-2", "mum"), ("u-2", "dad"), ("u-9", "mum"), ("u-1", "nobody")),
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
    found = chat_records(
        second.roster,
        guardians=pl.DataFrame(schema=GUARDIANS),
        pins=second.pins,
        homeroom=HomeroomDefinition(),
        today=day,
    )
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

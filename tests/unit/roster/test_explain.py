"""Why somebody is shared, and whom a rule shares: the same story as the shared roster tells."""

from __future__ import annotations

from hypothesis import given
from tests.unit.examples import examples
from tests.unit.roster.rosters import (
    TODAY,
    Class,
    Enrolled,
    Held,
    Org,
    Record,
    User,
    records,
    roster_of,
    rule_sets,
    rules,
    unhurried,
)

from homeroom.api.district import HomeroomDefinition
from homeroom.api.sharingrule import Effect, MatchKey, Operator, Share
from homeroom.plan import Role
from homeroom.roster.explain import DISABLED, Reason, who, why
from homeroom.roster.shared import Match, Rule, share
from homeroom.roster.tables import Roster

HOMEROOM = HomeroomDefinition()


def reasons(roster: Roster, chosen: list[Rule], person: str) -> list[Reason]:
    return why(roster, chosen, person=person, homeroom=HOMEROOM, today=TODAY)


@examples(15)  # seven people each
@given(records(), rule_sets())
def test_the_reasons_that_nothing_withholds_are_the_access_there_is(found: list[Record], chosen: list[Rule]) -> None:
    roster = roster_of(*found)
    value = share(roster, chosen, homeroom=HOMEROOM, today=TODAY)
    schools = roster.orgs["id"].gather(value.schools["org"])
    people = list(
        zip(schools.gather(value.people["school"]), roster.users["id"].gather(value.people["user"]), strict=True)
    )
    classes = roster.classes["id"].gather(value.classes["class"])
    members = {(people[p][1], classes[c], role) for c, p, role in value.memberships.rows()}
    rights = {(*people[p], Role.ADMINISTRATOR) for p in value.rights["person"]}
    told_people, told_members, told_rights = set(), set(), set()
    for person in roster.users["id"]:
        for reason in reasons(roster, chosen, person):
            if reason.withheld_by:
                continue
            told_people.add((reason.school, person))
            if reason.gives is Role.ADMINISTRATOR:
                told_rights.add((reason.school, person, reason.gives))
            elif reason.gives is not None:
                told_members.add((person, reason.section, reason.gives))
    assert told_members == members
    assert told_people == set(people)
    assert told_rights == rights


@unhurried
@given(records(), rules(effects=[Effect.INCLUDE]))
def test_who_a_rule_shares_is_counted_alike(found: list[Record], rule: Rule) -> None:
    roster = roster_of(*found)
    listed = who(roster, rule, homeroom=HOMEROOM, today=TODAY)
    counts = share(roster, [rule], homeroom=HOMEROOM, today=TODAY).rules[rule.name]
    role = listed["role"]
    if rule.share is Share.STAFF:
        assert listed["id"].n_unique() == counts.staff
    else:
        assert listed.filter(role == "student")["id"].n_unique() == counts.students
        assert listed.filter(role == "teacher")["id"].n_unique() == counts.teachers
    assert listed.columns == ["id", "name", "role", "school"]


FOUND: tuple[Record, ...] = (
    Org("d", type="district"),
    Org("s-1", parent="d"),
    Class("k-1", subjects=("math",)),
    Class("k-2", subjects=("art",)),
    User("u-1", grades=("01",)),
    User("p-1", given="Ada", family="Hill"),
    Held("p-1", "districtAdministrator", "d"),
    Enrolled("k-1", "u-1"),
    Enrolled("k-2", "u-1"),
)
MATH = Rule(name="math", share=Share.SECTIONS, match=(Match(MatchKey.SUBJECT, Operator.IN, ("math",)),))
ARTISTS = Rule(name="artists", share=Share.STUDENTS, match=(Match(MatchKey.SUBJECT, Operator.IN, ("art",)),))
OFFICE = Rule(name="office", share=Share.STAFF, share_everything=True)


def without(name: str, share: Share, key: MatchKey, value: str) -> Rule:
    return Rule(name=name, effect=Effect.EXCLUDE, share=share, match=(Match(key, Operator.IN, (value,)),))


def test_why_names_rule_section_record_and_what_withholds_it() -> None:
    roster = roster_of(*FOUND)
    excludes = [
        without("no-first-grade", Share.STUDENTS, MatchKey.GRADE, "01"),
        without("no-math", Share.SECTIONS, MatchKey.SUBJECT, "math"),
    ]
    assert reasons(roster, [MATH, ARTISTS], "u-1") == [
        Reason(
            rule="artists",
            share=Share.STUDENTS,
            school="s-1",
            section="k-2",
            record="student",
            gives=None,
            withheld_by=(),
        ),
        Reason(
            rule="math",
            share=Share.SECTIONS,
            school="s-1",
            section="k-1",
            record="student",
            gives=Role.LEARNER,
            withheld_by=(),
        ),
    ]
    assert [reason.withheld_by for reason in reasons(roster, [MATH, ARTISTS, *excludes], "u-1")] == [
        ("no-first-grade",),
        ("no-first-grade", "no-math"),
    ]


def test_why_says_that_the_records_bar_somebody() -> None:
    roster = roster_of(
        *(User("u-1", enabled=False) if record == User("u-1", grades=("01",)) else record for record in FOUND)
    )
    assert [reason.withheld_by for reason in reasons(roster, [MATH, ARTISTS], "u-1")] == [(DISABLED,), (DISABLED,)]


def test_why_says_what_somebody_would_have_whom_the_records_bar() -> None:
    barred = User("p-1", given="Ada", family="Hill", enabled=False)
    roster = roster_of(*(barred if record == User("p-1", given="Ada", family="Hill") else record for record in FOUND))
    (reason,) = reasons(roster, [OFFICE, MATH], "p-1")
    assert (reason.gives, reason.withheld_by) == (Role.ADMINISTRATOR, (DISABLED,))


def test_why_tells_where_staff_get_their_rights() -> None:
    roster = roster_of(*FOUND)
    assert reasons(roster, [OFFICE], "p-1") == []
    assert reasons(roster, [OFFICE, MATH], "p-1") == [
        Reason(
            rule="office",
            share=Share.STAFF,
            school="s-1",
            section=None,
            record="districtAdministrator",
            gives=Role.ADMINISTRATOR,
            withheld_by=(),
        )
    ]


def test_why_has_no_reason_for_somebody_unknown() -> None:
    assert reasons(roster_of(*FOUND), [MATH], "nobody") == []


def test_who_lists_people_of_one_rule() -> None:
    roster = roster_of(*FOUND)
    listed = who(roster, OFFICE, homeroom=HOMEROOM, today=TODAY)
    assert listed.rows() == [("p-1", "Ada Hill", "districtAdministrator", "d")]

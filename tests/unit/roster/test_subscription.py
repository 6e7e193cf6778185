"""What was bought beside what is shared: numbers, schools, grades, and why two sums differ."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
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
    unhurried,
)

from homeroom.api import MAX_IDS_IN_STATUS, Counts, Reason, Subscription, SubscriptionStatus
from homeroom.api.district import HomeroomDefinition
from homeroom.api.learningapp import SubscribedParts, SubscribedPeople
from homeroom.api.sharingrule import MatchKey, Operator, Share
from homeroom.roster.shared import Match, Rule, Shared, share
from homeroom.roster.subscription import compare, in_several_schools, told
from homeroom.roster.tables import Roster
from homeroom.sources import layout

SECTIONS = Rule(name="sections", share=Share.SECTIONS, share_everything=True)
STUDENTS = Rule(name="students", share=Share.STUDENTS, share_everything=True)
GRADES = ("IT", "PR", "PK", "TK", "KG", *(f"{number:02}" for number in range(1, 14)), "PS", "UG", "Other")
_difference = st.integers(-200, 200)  # around the buffer of what is bought here


def shared_of(found: list[Record], *rules: Rule) -> tuple[Roster, Shared]:
    roster = roster_of(*found)
    return roster, share(roster, rules, homeroom=HomeroomDefinition(), today=TODAY)


def compared(subscription: Subscription, found: list[Record], *rules: Rule) -> SubscriptionStatus:
    return compare(subscription, *shared_of(found, *rules))


def section(key: str, *grades: str, school: str = "s-1", student: str | None = None) -> list[Record]:
    """A class with one student of its own."""
    student = student or f"u-{key}"
    return [Class(key, school=school, grades=grades), User(student), Enrolled(key, student)]


@examples(50)
@given(st.integers(1, 3000), st.integers(1, 3000), _difference, _difference)
@example(1200, 1219, 60, 61)
@example(500, 499, 25, 26)
def test_numbers_add_up_and_the_buffer_is_25_or_5_percent(
    students: int, teachers: int, more_students: int, more_teachers: int
) -> None:
    shared_students, shared_teachers = max(students + more_students, 0), max(teachers + more_teachers, 0)
    roster, nothing = shared_of([Org("s-1")])
    shared = replace(nothing, distinct=Counts(students=shared_students, teachers=shared_teachers))
    found = compare(Subscription(students=students, teachers=teachers), roster, shared)
    reason, _ = told(found)
    exceeded = []
    for people, bought, number in (
        (found.students, students, shared_students),
        (found.teachers, teachers, shared_teachers),
    ):
        assert people is not None
        assert (people.bought, people.shared) == (bought, number)
        assert people.shared - people.bought == people.over - people.under
        assert not (people.over and people.under)
        exceeded.append(people.exceeded)
        assert people.exceeded == (number > bought + max(Fraction(25), Fraction(bought, 20)))
    assert (reason is Reason.SUBSCRIPTION_EXCEEDED) == any(exceeded)


def test_only_what_is_named_is_compared() -> None:
    found = section("k-1", "01")
    nothing = compared(Subscription(), [Org("s-1"), *found], SECTIONS)
    assert nothing == SubscriptionStatus()
    assert told(nothing) == (Reason.WITHIN_SUBSCRIPTION, "what is shared was bought")
    students = compared(Subscription(students=1), [Org("s-1"), *found], SECTIONS)
    assert students == SubscriptionStatus(students=SubscribedPeople(bought=1, shared=1, buffer=25))
    assert told(students) == (Reason.WITHIN_SUBSCRIPTION, "1 of 1 students")


def test_who_is_in_two_schools_is_bought_once() -> None:
    found = [
        Org("s-1"),
        Org("s-2"),
        *section("k-1", "01", student="u-1"),
        Class("k-2", school="s-2"),
        Enrolled("k-2", "u-1"),
    ]
    people = compared(Subscription(students=1), found, SECTIONS).students
    assert people is not None
    assert (people.shared, people.over) == (1, 0)


def test_schools_are_told_apart() -> None:
    found = [Org("s-1"), Org("s-2"), Org("s-3"), *section("k-1", "01"), *section("k-2", "01", school="s-2")]
    status = compared(Subscription(schools=("s-2", "s-3", "s-gone")), found, SECTIONS)
    assert status.schools == SubscribedParts(
        bought=3, shared=2, over=1, under=2, not_bought=("s-1",), not_shared=("s-3", "s-gone")
    )
    assert told(status) == (
        Reason.NOT_SUBSCRIBED,
        "schools shared and not bought: s-1; schools bought and not shared: s-3, s-gone",
    )


def test_grades_are_those_of_sections_and_of_students_in_none() -> None:
    found = [
        Org("s-1"),
        Org("s-2"),
        *section("k-1", "01", "02"),
        *section("k-2", "Other"),
        *section("k-3", "09", school="s-2"),  # not shared
        User("u-alone", grades=("07",)),
        Held("u-alone"),
        User("u-k-4", grades=("12",)),  # in a section, whose grade counts
        Class("k-4", grades=("03",)),
        Enrolled("k-4", "u-k-4"),
        User("u-other", grades=("08",)),  # not shared
    ]
    here = (Match(MatchKey.SCHOOL, Operator.IN, ("s-1",)),)
    rules = [Rule(name=what, share=what, match=here) for what in (Share.SECTIONS, Share.STUDENTS)]
    status = compared(Subscription(grades=("01", "02", "KG")), found, *rules)
    assert status.grades == SubscribedParts(
        bought=3, shared=5, over=3, under=1, not_bought=("03", "07", "Other"), not_shared=("KG",)
    )
    assert status.unknown_grades == 0
    assert told(status)[0] is Reason.NOT_SUBSCRIBED


def test_an_unknown_grade_is_no_grade_and_is_counted() -> None:
    found = [Org("s-1"), *section("k-1", "01"), User("u-2", grades=None), Held("u-2"), Class("k-2", grades=None)]
    found += [User("u-3"), Enrolled("k-2", "u-3")]
    status = compared(Subscription(grades=("01",)), found, SECTIONS, STUDENTS)
    assert status.grades == SubscribedParts(bought=1, shared=1)
    assert status.unknown_grades == 2
    assert told(status) == (Reason.WITHIN_SUBSCRIPTION, "grades that cannot be read: 2")


@unhurried
@given(records(), rule_sets())
def test_grades_are_those_of_a_slow_look(found: list[Record], rules: list[Rule]) -> None:
    roster, shared = shared_of(found, *rules)
    classes = [roster.classes["grades"][row] for row in shared.classes["class"]]
    members = {shared.people["user"][person] for person in shared.memberships["person"]}
    students = set(shared.people.filter("student")["user"]) - members
    lists = [None if grades is None else list(grades) for grades in classes]
    lists += [None if roster.users["grades"][user] is None else list(roster.users["grades"][user]) for user in students]
    status = compare(Subscription(grades=("01",)), roster, shared)
    wanted = {grade for grades in lists for grade in grades or () if grade is not None}
    assert status.grades is not None
    assert set(status.grades.not_bought) == wanted - {"01"}
    assert status.grades.shared == len(wanted)
    assert status.unknown_grades == sum(grades is None or None in grades for grades in lists)


def test_the_difference_between_the_two_sums_is_explained() -> None:
    found: list[Record] = [Org(f"s-{n}") for n in range(1, 5)]
    found += [User("u-1"), User("u-2"), User("t-1"), User("u-3")]
    found += [Held("u-1", org=f"s-{n}") for n in range(1, 5)]
    found += [Held("u-2", org=f"s-{n}") for n in (1, 2)]
    found += [Held("t-1", "teacher", "s-1"), Held("t-1", "teacher", "s-2"), Held("t-1", "student", "s-3")]
    found += [Held("u-3", org="s-4")]
    rules = [Rule(name=what, share=what, share_everything=True) for what in (Share.STUDENTS, Share.TEACHERS)]
    _, shared = shared_of(found, *rules)
    assert in_several_schools(shared).to_dicts() == [
        {"schools": 2, "students": 1, "teachers": 1, "staff": 0},
        {"schools": 4, "students": 1, "teachers": 0, "staff": 0},
    ]


@unhurried
@given(records(), rule_sets())
def test_nothing_of_the_difference_is_left_unexplained(found: list[Record], rules: list[Rule]) -> None:
    _, shared = shared_of(found, *rules)
    explained: Counter[str] = Counter()
    for row in in_several_schools(shared).iter_rows(named=True):
        schools = row.pop("schools")
        assert schools > 1
        explained.update({count: (schools - 1) * number for count, number in row.items()})
    for count in ("students", "teachers", "staff"):
        assert explained[count] == getattr(shared.per_school_sum, count) - getattr(shared.distinct, count)


def people(bought: int, shared: int) -> SubscribedPeople:
    over, under = max(shared - bought, 0), max(bought - shared, 0)
    return SubscribedPeople(bought=bought, shared=shared, over=over, under=under, buffer=max(25, bought // 20))


@pytest.mark.parametrize(
    ("shared", "reason", "excess"),
    [
        (1100, Reason.WITHIN_SUBSCRIPTION, ""),
        (1260, Reason.WITHIN_SUBSCRIPTION, " (60 more, within the buffer of 60)"),
        (1261, Reason.SUBSCRIPTION_EXCEEDED, " (61 more, beyond the buffer of 60)"),
    ],
)
def test_words(shared: int, reason: Reason, excess: str) -> None:
    found = SubscriptionStatus(students=people(1200, shared), teachers=people(80, 70))
    assert told(found) == (reason, f"{shared} of 1200 students{excess}; 70 of 80 teachers")


def test_too_many_people_weigh_more_than_a_school_too_many() -> None:
    schools = SubscribedParts(bought=1, shared=2, over=1, not_bought=("s-2",))
    assert told(SubscriptionStatus(students=people(10, 90), schools=schools)) == (
        Reason.SUBSCRIPTION_EXCEEDED,
        "90 of 10 students (80 more, beyond the buffer of 25); schools shared and not bought: s-2",
    )


def test_long_lists_are_cut_and_counted() -> None:
    schools = [f"s-{number:04}" for number in range(MAX_IDS_IN_STATUS + 30)]
    found: list[Record] = [Org(school) for school in schools]
    for school in schools:
        found += section(f"k-{school}", "01", school=school)
    status = compared(Subscription(schools=("s-none",)), found, SECTIONS)
    assert status.schools is not None
    assert status.schools.over == len(schools)
    assert list(status.schools.not_bought) == schools[:MAX_IDS_IN_STATUS]
    named = ", ".join(schools[:10])
    assert f"schools shared and not bought: {named} and {len(schools) - 10} more;" in told(status)[1]


def test_every_grade_that_a_source_can_give_can_be_bought() -> None:
    assert set(GRADES) == {*layout.GRADES.values(), layout.NO_GRADE}
    assert Subscription(grades=GRADES).grades == GRADES

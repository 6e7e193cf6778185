"""Which records rules share: examples of every documented sentence, and the same in slow plain Python beside them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples
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
    rule_sets,
    rules,
    unhurried,
)

from homeroom.api.common import Counts, ObjectMeta, Reference
from homeroom.api.district import HomeroomDefinition
from homeroom.api.sharingrule import (
    Effect,
    MatchKey,
    MatchTerm,
    Operator,
    Share,
    SharingRule,
    SharingRuleSpec,
    Template,
)
from homeroom.errors import InvalidSpecError
from homeroom.roster.shared import (
    KEYS,
    ON_SECTIONS,
    STAFF,
    Match,
    Rule,
    Shared,
    SharingFinding,
    barring,
    rules_of,
    share,
)
from homeroom.roster.tables import Roster, SchoolRole

HOMEROOM = HomeroomDefinition()
ADVISORY = HomeroomDefinition(class_types=("homeroom",), subjects=("Art",))
EVERY = {what: Rule(name="every", share=what, share_everything=True) for what in (*Share, *Template)}


@given(records(), rule_sets())
@unhurried
def test_whom_the_district_denies_nobody_shares(found: list[Record], chosen: list[Rule]) -> None:
    roster = roster_of(*found)
    denied = roster.users["id"].to_list()[::2]
    everybody, rest = (share(one, chosen, homeroom=HOMEROOM, today=TODAY) for one in (roster, barring(roster, denied)))
    people, left = (set(roster.users["id"].gather(one.people["user"])) for one in (everybody, rest))
    assert left <= people - set(denied)
    assert barring(roster, []) is roster


def rule(
    what: Share | Template, key: MatchKey, operator: Operator, *values: str, exclude: bool = False, name: str = "r"
) -> Rule:
    effect = Effect.EXCLUDE if exclude else Effect.INCLUDE
    return Rule(name=name, effect=effect, share=what, match=(Match(key, operator, values),))


def shared(
    found: Sequence[Record] | Roster, *chosen: Rule, homeroom: HomeroomDefinition = HOMEROOM, today: date = TODAY
) -> Result:
    roster = found if isinstance(found, Roster) else roster_of(*found)
    return Result.of(roster, share(roster, chosen, homeroom=homeroom, today=today))


@dataclass(kw_only=True)
class Result:
    """A shared roster by ids."""

    no_rules: bool = False
    schools: set[str] = field(default_factory=set)
    students: set[tuple[str, str]] = field(default_factory=set)  # (school, person)
    teachers: set[tuple[str, str]] = field(default_factory=set)
    staff: set[tuple[str, str]] = field(default_factory=set)
    personnel: set[tuple[str, str]] = field(default_factory=set)
    classes: set[tuple[str, str]] = field(default_factory=set)
    memberships: set[tuple[str, str, str, str]] = field(default_factory=set)  # (school, class, person, role)
    rights: set[tuple[str, str]] = field(default_factory=set)
    courses: set[str] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)
    findings: set[tuple[str, str]] = field(default_factory=set)
    rules: dict[str, Counts] = field(default_factory=dict)

    @property
    def people(self) -> set[tuple[str, str]]:
        return self.students | self.teachers | self.staff

    @classmethod
    def of(cls, roster: Roster, value: Shared) -> Result:
        """By ids. Fails when a reference does not resolve, a row is there twice, or a frame is not sorted."""
        for frame in (value.schools, value.people, value.classes, value.memberships, value.courses, value.sessions):
            keys = [column for column in frame.columns if column not in {"role", "student", "teacher", "staff"}]
            keys = [column for column in keys if column != "personnel"]
            assert frame.select(keys).rows() == sorted(set(frame.select(keys).rows()))
            assert not any(frame.null_count().row(0))

        def ids(table: pl.DataFrame, rows: pl.Series) -> list[str]:
            return table["id"].to_list() if rows.is_empty() and not table.height else [table["id"][r] for r in rows]

        schools = ids(roster.orgs, value.schools["org"])
        persons = [
            (schools[school], user)
            for school, user in zip(value.people["school"], ids(roster.users, value.people["user"]), strict=True)
        ]
        classes = [
            (schools[school], key)
            for school, key in zip(value.classes["school"], ids(roster.classes, value.classes["class"]), strict=True)
        ]
        flags = {
            flag: {person for person, on in zip(persons, value.people[flag], strict=True) if on}
            for flag in ("student", "teacher", "staff", "personnel")
        }
        memberships = {(*classes[c], persons[p][1], role) for c, p, role in value.memberships.rows()}
        assert all(classes[c][0] == persons[p][0] for c, p, _ in value.memberships.rows())
        assert set(persons) == flags["student"] | flags["teacher"] | flags["staff"]
        result = cls(
            no_rules=value.no_rules,
            schools=set(schools),
            students=flags["student"],
            teachers=flags["teacher"],
            staff=flags["staff"],
            personnel=flags["personnel"],
            classes=set(classes),
            memberships=memberships,
            rights={persons[p] for p in value.rights["person"]},
            courses=set(ids(roster.courses, value.courses["course"])),
            sessions=set(ids(roster.sessions, value.sessions["session"])),
            findings={(rule, key) for rule, key in value.findings.rows()},
            rules=dict(value.rules),
        )
        assert value.per_school.rows() == [
            (s, *(sum(1 for at, _ in kind if at == s) for kind in result._counted())) for s in sorted(schools)
        ]
        sums = [len(kind) for kind in result._counted()]
        each = [len({key for _, key in kind}) for kind in result._counted()]
        assert value.per_school_sum == Counts(**dict(zip(value.per_school.columns[1:], sums, strict=True)))
        assert value.distinct == Counts(**dict(zip(value.per_school.columns[1:], each, strict=True)))
        return result

    def _counted(self) -> tuple[set[tuple[str, str]], ...]:
        return self.classes, self.students, self.teachers, self.staff


# ---------------------------------------------------------------------------------------------------------------------
# The same in plain Python


class Unit(NamedTuple):
    """Somebody whom a rule on people picks."""

    user: str
    org: str | None
    placed: bool
    role: str | None


class Naive:
    """The words of docs/sharing.md, one record at a time."""

    def __init__(self, found: Iterable[Record], homeroom: HomeroomDefinition, today: date) -> None:
        found = list(found)
        self.homeroom, self.today = homeroom, today
        self.orgs = {r.id: r for r in found if isinstance(r, Org)}
        self.sessions = {r.id: r for r in found if isinstance(r, Session)}
        self.courses = {r.id: r for r in found if isinstance(r, Course)}
        self.classes = {r.id: r for r in found if isinstance(r, Class)}
        self.users = {r.id: r for r in found if isinstance(r, User)}
        self.all_held = [r for r in found if isinstance(r, Held) and r.user in self.users]
        self.all_enrolled = [r for r in found if isinstance(r, Enrolled) and r.user in self.users]
        self.held = [r for r in self.all_held if self.current(r)]
        self.enrolled = [
            r
            for r in self.all_enrolled
            if self.current(r) and r.class_ in self.classes and r.role in {"student", "teacher"} and self.runs(r.class_)
        ]

    def current(self, r: Held | Enrolled) -> bool:
        return self.begun(r.begin) and self.lasts(r.end)

    def begun(self, begin: date | None) -> bool:
        return begin is None or begin <= self.today

    def lasts(self, end: date | None) -> bool:
        return end is None or end > self.today

    def runs(self, key: str) -> bool:
        c = self.classes[key]
        if c.school not in self.orgs:
            return False
        terms = [self.sessions.get(t or "", Session("")) for t in c.terms or ()]
        return not terms or (any(self.begun(t.begin) for t in terms) and any(self.lasts(t.end) for t in terms))

    def place(self, org: str | None) -> tuple[str | None, bool]:
        """The nearest school at or above, and whether there is one."""
        at = org
        while at in self.orgs:
            if self.orgs[at].type == "school":
                return at, True
            at = self.orgs[at].parent
        return (org if org in self.orgs else None), False

    def below(self, org: str | None, school: str) -> bool:
        at: str | None = school
        while at in self.orgs:
            if at == org:
                return True
            at = self.orgs[at].parent
        return False

    # attributes: one tuple of texts per value; None = unknown

    def subjects(self, key: str) -> tuple[str | None, ...] | None:
        c = self.classes[key]
        if c.subjects == () and c.course in self.courses:
            return self.courses[c.course].subjects
        return c.subjects

    def section(self, key: str, attribute: MatchKey) -> list[tuple[str | None, ...]] | None:
        c = self.classes[key]
        match attribute:
            case MatchKey.SUBJECT:
                return self.texts(self.subjects(key))
            case MatchKey.GRADE:
                return self.texts(c.grades)
            case MatchKey.SCHOOL:
                return [(c.school,)]
            case MatchKey.COURSE:
                course = self.courses.get(c.course or "")
                return [(course.id, course.code)] if course else None
            case MatchKey.SECTION_NAME:
                return [(c.title,)]
            case MatchKey.TERM:
                if c.terms is None:
                    return None
                terms = [self.sessions.get(t or "") for t in c.terms]
                return [(t.id, t.title) if t else (None,) for t in terms]
            case MatchKey.CLASS_TYPE:
                return [(c.type,)]
            case MatchKey.TEACHER:
                return [(e.user,) for e in self.enrolled if e.class_ == key and e.role == "teacher"]
            case _:
                raise AssertionError

    @staticmethod
    def texts(values: tuple[str | None, ...] | None) -> list[tuple[str | None, ...]] | None:
        return None if values is None else [(value,) for value in values]

    @staticmethod
    def fits(term: Match, values: list[tuple[str | None, ...]] | None, effect: Effect) -> bool:
        def hit(text: str) -> bool:
            match term.operator:
                case Operator.IN | Operator.NOT_IN:
                    return text in term.values
                case Operator.CONTAINS:
                    return any(value in text for value in term.values)
                case Operator.STARTS_WITH:
                    return any(text.startswith(value) for value in term.values)
                case Operator.EXISTS:
                    return True

        found = [[text for text in value if text is not None] for value in values or []]
        answer: bool | None = any(hit(text) for value in found for text in value)
        if not answer and (values is None or not all(found)):
            answer = None
        if answer is not None and term.operator is Operator.NOT_IN:
            answer = not answer
        return effect is Effect.EXCLUDE if answer is None else answer

    def homerooms(self, effect: Effect) -> tuple[set[str], set[tuple[str, str, str]]]:
        """Sections, and findings as (rule, id, school)."""
        known: dict[str, bool | None] = {}
        for key, c in self.classes.items():
            parts: list[bool | None] = []
            for texts, wanted in (((c.type,), self.homeroom.class_types), (self.subjects(key), self.homeroom.subjects)):
                lower = {value.lower() for value in wanted}
                hit = any(text is not None and text.lower() in lower for text in texts or ())
                unknown = wanted and (texts is None or None in texts)
                parts.append(True if hit else None if unknown else False)
            known[key] = True if True in parts else None if None in parts else False
        result = {key for key, yes in known.items() if (effect is Effect.EXCLUDE if yes is None else yes)}
        findings: set[tuple[str, str, str]] = set()
        for school in self.orgs:
            kinds = [yes for key, yes in known.items() if self.classes[key].school == school]
            if any(kinds):
                continue
            if None in kinds:
                findings.add((SharingFinding.HOMEROOM_UNKNOWN, school, school))
                continue
            here = [e for e in self.enrolled if self.classes[e.class_].school == school]
            coaches = defaultdict(set)
            for e in here:
                if e.role == "teacher":
                    coaches[e.class_].add(e.user)
            teachers = {user for found in coaches.values() for user in found}
            teachers |= {h.user for h in self.held if h.role == "teacher" and self.place(h.org) == (school, True)}
            for teacher in teachers:
                own = sorted(
                    key
                    for key, found in coaches.items()
                    if teacher in found
                    and any(e.class_ == key and e.role == "student" for e in here)
                    and (
                        len(found) == 1
                        or any(
                            e.class_ == key and e.user == teacher and e.role == "teacher" and e.primary for e in here
                        )
                    )
                )
                result |= set(own if effect is Effect.EXCLUDE else own[:1])
                if len(own) != 1:
                    name = (
                        SharingFinding.TEACHER_WITH_SEVERAL_SECTIONS if own else SharingFinding.TEACHER_WITHOUT_SECTION
                    )
                    findings.add((name, teacher, school))
        return result, findings

    def sections(self, r: Rule, terms: Iterable[Match]) -> set[str]:
        found = {key for key in self.classes if self.runs(key)}
        if r.share is Template.HOMEROOM_SECTIONS:
            found &= self.homerooms(r.effect)[0]
        terms = list(terms)
        return {key for key in found if all(self.fits(t, self.section(key, t.key), r.effect) for t in terms)}

    def people(self, r: Rule) -> set[Unit]:
        exclude = r.effect is Effect.EXCLUDE
        if r.share is Share.STAFF:
            own = {MatchKey.ROLE, MatchKey.SCHOOL}
            units = {
                Unit(h.user, *self.place(h.org), h.role)
                for h in self.held
                if h.role in STAFF or (h.role is None and exclude)
            }
        else:
            wanted = "student" if r.share is Share.STUDENTS else "teacher"
            own = {MatchKey.SCHOOL, MatchKey.GRADE if r.share is Share.STUDENTS else MatchKey.TEACHER}
            outer = [t for t in r.match if t.key not in own]
            sections = self.sections(r, outer)
            units = {
                Unit(e.user, self.classes[e.class_].school, placed=True, role=wanted)
                for e in self.enrolled
                if e.class_ in sections and e.role == wanted
            }
            if not outer:
                units |= {
                    Unit(h.user, *self.place(h.org), h.role)
                    for h in self.held
                    if h.role == wanted or (h.role is None and exclude)
                }

        def attribute(unit: Unit, key: MatchKey) -> list[tuple[str | None, ...]] | None:
            match key:
                case MatchKey.SCHOOL:
                    return [(unit.org,)]
                case MatchKey.GRADE:
                    return self.texts(self.users[unit.user].grades)
                case MatchKey.TEACHER:
                    return [(unit.user,)]
                case _:
                    return [(unit.role,)]

        return {u for u in units if all(self.fits(t, attribute(u, t.key), r.effect) for t in r.match if t.key in own)}

    def share(self, chosen: Sequence[Rule]) -> Result:
        result = Result(no_rules=all(r.effect is Effect.EXCLUDE for r in chosen))
        sections: set[str] = set()
        without: set[str] = set()
        withheld = {key for key, user in self.users.items() if user.enabled is False}
        picked: list[tuple[Share | Template, Unit]] = []
        for r in chosen:
            found = self.sections(r, r.match) if r.share in ON_SECTIONS else set()
            people = set() if r.share in ON_SECTIONS else self.people(r)
            result.rules[r.name] = self.counts(r, found, people)
            if r.effect is Effect.EXCLUDE:
                without |= found
                withheld |= {u.user for u in people}
                continue
            sections |= found
            picked += [(r.share, u) for u in people]
            if r.share is Template.HOMEROOM_SECTIONS:
                terms = [t for t in r.match if t.key is MatchKey.SCHOOL]
                result.findings |= {
                    (name, key)
                    for name, key, school in self.homerooms(r.effect)[1]
                    if all(self.fits(t, [(school,)], r.effect) for t in terms)
                }
        for key in sections - without:
            self.add_section(result, key, withheld)
        picked = [(what, u) for what, u in picked if u.user not in withheld]
        part = {Share.STUDENTS: result.students, Share.TEACHERS: result.teachers, Share.STAFF: result.staff}
        for what, u in picked:
            if u.placed:
                part[Share(what)].add((u.org or "", u.user))
        result.schools |= {school for school, _ in result.people}
        self.add_rights(result, [u for what, u in picked if what is Share.STAFF])
        everybody = {user for _, user in result.people}
        result.findings |= {
            (SharingFinding.PERSON_WITHOUT_SCHOOL, u.user) for _, u in picked if u.user not in everybody
        }
        places = {(h.user, *self.place(h.org)) for h in self.held if h.role != "student"}
        result.personnel = {(school, user) for school, user in result.people if (user, school, True) in places}
        result.personnel |= result.teachers | result.staff
        return result

    def add_section(self, result: Result, key: str, withheld: set[str]) -> None:
        c = self.classes[key]
        school = c.school or ""
        result.classes.add((school, key))
        result.schools.add(school)
        result.courses |= {c.course} & set(self.courses) if c.course else set()
        for t in c.terms or ():
            at: str | None = t
            while at in self.sessions:
                result.sessions.add(at)
                at = self.sessions[at].parent
        members: dict[str, set[str]] = defaultdict(set)
        for e in self.enrolled:
            if e.class_ == key and e.user not in withheld:
                members[e.user].add(e.role or "")
        for user, roles in members.items():
            coach = "teacher" in roles
            result.memberships.add((school, key, user, "Coach" if coach else "Learner"))
            (result.teachers if coach else result.students).add((school, user))

    def add_rights(self, result: Result, staff: Sequence[Unit]) -> None:
        students = {h.user for h in self.all_held if h.role in {"student", None}}
        students |= {e.user for e in self.all_enrolled if e.role in {"student", None}}
        for u in staff:
            schools = set()
            if u.role in {"principal", "siteAdministrator"} and u.placed:
                schools = {u.org or ""}
            if u.role in {"districtAdministrator", "systemAdministrator"}:
                schools = {school for school in result.schools if self.below(u.org, school)}
            if schools and u.user in students:
                result.findings.add((SharingFinding.STUDENT_WITH_STAFF_ROLE, u.user))
            else:
                result.rights |= {(school, u.user) for school in schools}
        result.staff |= result.rights

    def counts(self, r: Rule, sections: set[str], people: set[Unit]) -> Counts:
        n = len({u.user for u in people})
        match r.share:
            case Share.STUDENTS:
                return Counts(students=n)
            case Share.TEACHERS:
                return Counts(teachers=n)
            case Share.STAFF:
                return Counts(staff=n)
            case _:
                of = {
                    role: {e.user for e in self.enrolled if e.class_ in sections and e.role == role}
                    for role in ("student", "teacher")
                }
                return Counts(sections=len(sections), students=len(of["student"]), teachers=len(of["teacher"]))


@examples(50)
@given(records(), rule_sets(), st.sampled_from((HOMEROOM, ADVISORY)))
def test_the_columns_say_what_plain_python_says(
    found: list[Record], chosen: list[Rule], homeroom: HomeroomDefinition
) -> None:
    assert shared(found, *chosen, homeroom=homeroom) == Naive(found, homeroom, TODAY).share(chosen)


# ---------------------------------------------------------------------------------------------------------------------
# What holds for every roster and all rules


@unhurried
@given(records(), rule_sets(), st.randoms(use_true_random=False))
def test_the_order_of_rules_and_rows_changes_nothing(
    found: list[Record], chosen: list[Rule], dice: random.Random
) -> None:
    before = share(roster_of(*found), chosen, homeroom=HOMEROOM, today=TODAY)
    dice.shuffle(found)
    dice.shuffle(chosen)
    after = share(roster_of(*found), chosen, homeroom=HOMEROOM, today=TODAY)
    assert after.digest == before.digest
    assert after.memberships.equals(before.memberships)
    assert after.findings.equals(before.findings)
    assert list(after.rules.items()) == list(before.rules.items())


@unhurried
@given(records(), rule_sets(), rules(name="exclude", effects=[Effect.EXCLUDE]))
def test_what_an_exclude_matches_is_nowhere(found: list[Record], chosen: list[Rule], exclude: Rule) -> None:
    naive = Naive(found, HOMEROOM, TODAY)
    result = shared(found, *chosen, exclude)
    if exclude.share in ON_SECTIONS:
        assert not {key for _, key in result.classes} & naive.sections(exclude, exclude.match)
    else:
        withheld = {unit.user for unit in naive.people(exclude)}
        assert not {key for _, key in result.people | result.rights} & withheld
        assert not {key for _, _, key, _ in result.memberships} & withheld


@unhurried
@given(records(), rule_sets())
def test_whom_the_records_bar_is_nowhere(found: list[Record], chosen: list[Rule]) -> None:
    barred = {record.id for record in found if isinstance(record, User) and record.enabled is False}
    result = shared(found, *chosen)
    assert not {key for _, key in result.people | result.rights} & barred
    assert not {key for _, _, key, _ in result.memberships} & barred


def test_an_unreadable_enabled_user_bars_nobody() -> None:
    for enabled, people in ((True, 1), (None, 1), (False, 0)):
        found = (SCHOOL, User("u-1", enabled=enabled), Held("u-1"))
        assert len(shared(found, EVERY[Share.STUDENTS]).people) == people


@unhurried
@given(records(), rule_sets(), rules(name="include", effects=[Effect.INCLUDE]))
def test_an_include_takes_nothing_away(found: list[Record], chosen: list[Rule], include: Rule) -> None:
    before, after = shared(found, *chosen), shared(found, *chosen, include)
    assert before.people <= after.people
    assert before.classes <= after.classes
    assert before.rights <= after.rights
    assert {m[:3] for m in before.memberships} <= {m[:3] for m in after.memberships}


@unhurried
@given(records(), rule_sets())
def test_nobody_with_a_student_record_becomes_administrator(found: list[Record], chosen: list[Rule]) -> None:
    staff = [rule for rule in chosen if rule.effect is Effect.EXCLUDE]
    result = shared(found, *staff, EVERY[Share.STAFF], rule(Share.SECTIONS, MatchKey.SCHOOL, Operator.EXISTS))
    students = {r.user for r in found if isinstance(r, Held | Enrolled) and r.role == "student"}
    assert not {key for _, key in result.rights} & students


# ---------------------------------------------------------------------------------------------------------------------
# Examples

SCHOOL = Org("s-1")
LESSON: tuple[Record, ...] = (SCHOOL, Class("k-1"), User("t-1"), User("u-1"), Enrolled("k-1", "t-1", "teacher"))
LESSON += (Enrolled("k-1", "u-1"),)


def test_without_rules_nothing_is_shared_and_the_caller_is_told() -> None:
    assert shared(LESSON).no_rules
    assert not shared(LESSON).schools
    exclude = rule(Share.STUDENTS, MatchKey.SCHOOL, Operator.EXISTS, exclude=True)
    assert shared(LESSON, exclude).no_rules
    assert not shared(LESSON, EVERY[Share.SECTIONS], exclude).no_rules


def test_a_shared_section_brings_its_teachers_students_school_course_and_terms() -> None:
    found: tuple[Record, ...] = (
        SCHOOL,
        Org("s-2"),
        Session("year"),
        Session("autumn", parent="year"),
        Session("other"),
        Course("c-1"),
        Course("c-2"),
        Class("k-1", course="c-1", terms=("autumn",)),
        Class("k-2", school="s-2", course="c-2", title="Maths"),
        *(User(key) for key in ("t-1", "u-1", "u-2", "p-1", "a-1")),
        Enrolled("k-1", "t-1", "teacher"),
        Enrolled("k-1", "u-1"),
        Enrolled("k-1", "p-1", "proctor"),
        Enrolled("k-1", "a-1", "administrator"),
        Enrolled("k-2", "u-1"),
        Enrolled("k-2", "u-2"),
    )
    result = shared(found, rule(Share.SECTIONS, MatchKey.SECTION_NAME, Operator.IN, "Class"))
    assert result == Result(
        schools={"s-1"},
        students={("s-1", "u-1")},
        teachers={("s-1", "t-1")},
        personnel={("s-1", "t-1")},
        classes={("s-1", "k-1")},
        memberships={("s-1", "k-1", "t-1", "Coach"), ("s-1", "k-1", "u-1", "Learner")},
        courses={"c-1"},
        sessions={"autumn", "year"},
        rules={"r": Counts(sections=1, students=1, teachers=1)},
    )


def test_students_come_with_their_schools_and_are_members_of_shared_sections_only() -> None:
    found: tuple[Record, ...] = (
        *LESSON,
        Org("s-2"),
        Held("u-1"),
        Held("u-1", org="s-2"),
        User("u-2"),
        Held("u-2", org="s-2"),
    )
    everybody = shared(found, EVERY[Share.STUDENTS])
    assert everybody.students == {("s-1", "u-1"), ("s-2", "u-1"), ("s-2", "u-2")}
    assert not everybody.classes
    assert not everybody.teachers
    of_one_school = shared(found, rule(Share.STUDENTS, MatchKey.SCHOOL, Operator.IN, "s-1"))
    assert of_one_school.students == {("s-1", "u-1")}
    with_section = shared(found, EVERY[Share.STUDENTS], rule(Share.SECTIONS, MatchKey.SCHOOL, Operator.EXISTS))
    assert ("s-1", "k-1", "u-1", "Learner") in with_section.memberships


def test_who_is_in_two_schools_counts_twice_per_school_and_once_in_the_district() -> None:
    found = (SCHOOL, Org("s-2"), User("u-1"), Held("u-1"), Held("u-1", org="s-2"))
    result = share(roster_of(*found), [EVERY[Share.STUDENTS]], homeroom=HOMEROOM, today=TODAY)
    assert result.per_school_sum == Counts(students=2)
    assert result.distinct == Counts(students=1)


def test_an_excluded_student_is_gone_everywhere_an_excluded_section_leaves_its_people() -> None:
    found: tuple[Record, ...] = (
        *LESSON,
        Org("s-2"),
        Class("k-2", school="s-2"),
        Enrolled("k-2", "u-1"),
        Enrolled("k-2", "t-1", "teacher"),
    )
    person = rule(Share.STUDENTS, MatchKey.SCHOOL, Operator.IN, "s-2", exclude=True)
    assert shared(found, EVERY[Share.SECTIONS], person).people == {("s-1", "t-1"), ("s-2", "t-1")}
    section = rule(Share.SECTIONS, MatchKey.SCHOOL, Operator.IN, "s-2", exclude=True)
    assert shared(found, EVERY[Share.SECTIONS], section).people == {("s-1", "t-1"), ("s-1", "u-1")}


def test_who_teaches_and_learns_in_one_class_is_its_coach() -> None:
    result = shared((*LESSON, Enrolled("k-1", "t-1", "student")), EVERY[Share.SECTIONS])
    assert result.memberships == {("s-1", "k-1", "t-1", "Coach"), ("s-1", "k-1", "u-1", "Learner")}


@pytest.mark.parametrize(
    ("begin", "end", "counts"),
    [
        (None, None, True),
        (TODAY, None, True),
        (TOMORROW, None, False),
        (None, TOMORROW, True),
        (None, TODAY, False),
        (YESTERDAY, TODAY, False),
        (TODAY, TOMORROW, True),
    ],
)
def test_dates_begin_inclusive_and_end_exclusive(begin: date | None, end: date | None, *, counts: bool) -> None:
    enrolled = shared((*LESSON, User("u-2"), Enrolled("k-1", "u-2", begin=begin, end=end)), EVERY[Share.SECTIONS])
    assert (("s-1", "u-2") in enrolled.students) is counts
    held = shared((SCHOOL, User("u-2"), Held("u-2", begin=begin, end=end)), EVERY[Share.STUDENTS])
    assert (("s-1", "u-2") in held.students) is counts
    term = Session("term", begin=begin, end=end)
    running = shared((SCHOOL, term, Class("k-2", terms=("term",))), EVERY[Share.SECTIONS])
    assert (("s-1", "k-2") in running.classes) is counts


@pytest.mark.parametrize(
    ("terms", "runs"),
    [
        ((), True),
        (None, True),
        (("over",), False),
        (("next",), False),
        (("over", "next"), True),  # days between two terms of one class
        (("over", "unheard of"), True),  # what is unknown ends nothing
    ],
)
def test_a_class_runs_from_its_first_begin_to_its_last_end(terms: tuple[str, ...] | None, *, runs: bool) -> None:
    sessions = (Session("over", end=YESTERDAY), Session("next", begin=TOMORROW))
    result = shared((SCHOOL, *sessions, Class("k-1", terms=terms)), EVERY[Share.SECTIONS])
    assert bool(result.classes) is runs


def test_a_section_without_a_grade_can_be_selected_as_other() -> None:
    found = (SCHOOL, Class("k-1", grades=("Other",)), Class("k-2", grades=("01",)))
    assert shared(found, rule(Share.SECTIONS, MatchKey.GRADE, Operator.IN, "Other")).classes == {("s-1", "k-1")}


@pytest.mark.parametrize("operator", Operator)
@pytest.mark.parametrize("key", [MatchKey.SUBJECT, MatchKey.GRADE, MatchKey.COURSE, MatchKey.TERM])
def test_the_unknown_fits_every_exclude_and_no_include(key: MatchKey, operator: Operator) -> None:
    found = (SCHOOL, Class("k-1", subjects=None, grades=None, course=None, terms=None))
    values = () if operator is Operator.EXISTS else ("x",)
    assert not shared(found, rule(Share.SECTIONS, key, operator, *values)).classes
    exclude = rule(Share.SECTIONS, key, operator, *values, exclude=True)
    assert not shared(found, EVERY[Share.SECTIONS], exclude).classes


@pytest.mark.parametrize(
    ("key", "operator", "values", "chosen"),
    [
        (MatchKey.SUBJECT, Operator.IN, ("math",), {"k-1", "k-2"}),
        (MatchKey.SUBJECT, Operator.IN, ("Math",), set()),
        (MatchKey.SUBJECT, Operator.IN, ("latin",), {"k-3"}),  # its course's, as it names none itself
        (MatchKey.SUBJECT, Operator.NOT_IN, ("math",), {"k-3", "k-4"}),
        (MatchKey.SUBJECT, Operator.CONTAINS, ("rt",), {"k-2"}),
        (MatchKey.SUBJECT, Operator.STARTS_WITH, ("ma", "la"), {"k-1", "k-2", "k-3"}),
        (MatchKey.SUBJECT, Operator.EXISTS, (), {"k-1", "k-2", "k-3"}),
        (MatchKey.GRADE, Operator.IN, ("01", "02"), {"k-1", "k-2"}),
        (MatchKey.SCHOOL, Operator.NOT_IN, ("s-1",), {"k-4"}),
        (MatchKey.COURSE, Operator.IN, ("c-1",), {"k-3"}),
        (MatchKey.COURSE, Operator.IN, ("LAT",), {"k-3"}),
        (MatchKey.SECTION_NAME, Operator.CONTAINS, ("[1",), {"k-2"}),  # text, not a pattern
        (MatchKey.TERM, Operator.IN, ("t-1",), {"k-1"}),
        (MatchKey.TERM, Operator.IN, ("Autumn",), {"k-1"}),
        (MatchKey.TERM, Operator.NOT_IN, ("Autumn",), {"k-2", "k-3", "k-4"}),
        (MatchKey.CLASS_TYPE, Operator.IN, ("homeroom",), {"k-4"}),
        (MatchKey.TEACHER, Operator.IN, ("p-1",), {"k-1"}),
        (MatchKey.TEACHER, Operator.EXISTS, (), {"k-1"}),
    ],
)
def test_sections_by_key(key: MatchKey, operator: Operator, values: tuple[str, ...], chosen: set[str]) -> None:
    found: tuple[Record, ...] = (
        SCHOOL,
        Org("s-2"),
        Session("t-1", title="Autumn"),
        Course("c-1", code="LAT", subjects=("latin",)),
        Course("c-2"),
        Class("k-1", subjects=("math",), grades=("01",), terms=("t-1",), course="c-2"),
        Class("k-2", subjects=("math", "art"), grades=("02", "03"), title="7a [1]", course="c-2"),
        Class("k-3", course="c-1"),
        Class("k-4", school="s-2", type="homeroom", course="c-2"),
        User("p-1"),
        Enrolled("k-1", "p-1", "teacher"),
        Enrolled("k-2", "p-1", "teacher", end=TODAY),
    )
    result = shared(found, rule(Share.SECTIONS, key, operator, *values))
    assert {key for _, key in result.classes} == chosen


def test_students_and_teachers_by_their_sections() -> None:
    found: tuple[Record, ...] = (
        SCHOOL,
        Class("k-1", subjects=("math",), grades=("01",)),
        Class("k-2", subjects=("art",), grades=("02",)),
        *(User(key, grades=("09",)) for key in ("u-1", "u-2", "t-1")),
        Held("u-1"),
        Held("u-2"),
        Held("t-1", "teacher"),
        Enrolled("k-1", "u-1"),
        Enrolled("k-2", "u-2"),
        Enrolled("k-2", "t-1", "teacher"),
    )
    assert shared(found, rule(Share.STUDENTS, MatchKey.SUBJECT, Operator.IN, "math")).people == {("s-1", "u-1")}
    assert not shared(found, rule(Share.STUDENTS, MatchKey.GRADE, Operator.IN, "01")).people
    assert len(shared(found, rule(Share.STUDENTS, MatchKey.GRADE, Operator.IN, "09")).people) == 2
    assert shared(found, rule(Share.TEACHERS, MatchKey.GRADE, Operator.IN, "02")).people == {("s-1", "t-1")}
    assert shared(found, rule(Share.TEACHERS, MatchKey.TEACHER, Operator.IN, "t-1")).people == {("s-1", "t-1")}
    one_section = Rule(
        name="r",
        share=Share.STUDENTS,
        match=(Match(MatchKey.SUBJECT, Operator.IN, ("math",)), Match(MatchKey.SECTION_NAME, Operator.IN, ("Other",))),
    )
    assert not shared(found, one_section).people


STAFF_ROOM: tuple[Record, ...] = (
    Org("d", type="district"),
    Org("s-1", parent="d"),
    Org("s-2", parent="d"),
    Org("s-3"),  # of another district, as far as the records say
    Org("s-1-arts", type="department", parent="s-1"),
    *(Class(f"k-{n}", school=f"s-{n}") for n in (1, 2, 3)),
    *(User(f"p-{n}") for n in range(9)),
    Held("p-0", "principal"),
    Held("p-1", "siteAdministrator", "s-1-arts"),
    Held("p-2", "districtAdministrator", "d"),
    Held("p-3", "systemAdministrator", "s-2"),
    Held("p-4", "aide"),
    Held("p-5", "teacher"),
    Held("p-6", "guardian"),
    Held("p-7", "other"),
    Held("p-8", "siteAdministrator", "d"),
)


def test_a_closed_list_of_roles_leads_to_administrator_rights() -> None:
    result = shared(STAFF_ROOM, EVERY[Share.STAFF], rule(Share.SECTIONS, MatchKey.SCHOOL, Operator.EXISTS))
    assert result.rights == {("s-1", "p-0"), ("s-1", "p-1"), ("s-1", "p-2"), ("s-2", "p-2"), ("s-2", "p-3")}
    assert result.staff == result.rights | {("s-1", "p-4")}
    assert result.findings == {(SharingFinding.PERSON_WITHOUT_SCHOOL, "p-8")}
    assert {SchoolRole.STUDENT, SchoolRole.TEACHER, SchoolRole.GUARDIAN, SchoolRole.OTHER}.isdisjoint(STAFF)


def test_district_staff_administer_shared_schools_only() -> None:
    result = shared(STAFF_ROOM, rule(Share.STAFF, MatchKey.ROLE, Operator.IN, "districtAdministrator"))
    assert not result.schools
    assert result.findings == {(SharingFinding.PERSON_WITHOUT_SCHOOL, "p-2")}


@pytest.mark.parametrize(
    "record",
    [
        Held("p-0", "student", end=YESTERDAY),
        Held("p-0", "student", org="s-3"),
        Held("p-0", None),
        Enrolled("k-2", "p-0", "student", begin=TOMORROW),
    ],
)
def test_a_student_record_keeps_from_rights(record: Record) -> None:
    result = shared((*STAFF_ROOM, record), rule(Share.STAFF, MatchKey.ROLE, Operator.IN, "principal"))
    assert not result.rights
    assert result.staff == {("s-1", "p-0")}
    assert result.findings == {(SharingFinding.STUDENT_WITH_STAFF_ROLE, "p-0")}


HOMEROOMS: tuple[Record, ...] = (
    SCHOOL,
    *(Class(f"k-{n}") for n in (1, 2, 3, 4)),
    *(User(key) for key in ("t-1", "t-2", "t-3", "u-1")),
    Held("t-3", "teacher"),
    *(Enrolled(f"k-{n}", "u-1") for n in (1, 2, 3)),  # k-4 has no students
    Enrolled("k-1", "t-1", "teacher", primary=True),
    Enrolled("k-1", "t-3", "teacher"),
    *(Enrolled(f"k-{n}", "t-2", "teacher") for n in (2, 3, 4)),
)


def test_homerooms_are_what_the_district_says() -> None:
    found: tuple[Record, ...] = (*HOMEROOMS, Class("h-1", type="HomeRoom"), Class("h-2", subjects=("art",)))
    assert shared(found, EVERY[Template.HOMEROOM_SECTIONS]).classes == {("s-1", "h-1")}
    by_subject = shared(found, EVERY[Template.HOMEROOM_SECTIONS], homeroom=ADVISORY)
    assert by_subject.classes == {("s-1", "h-1"), ("s-1", "h-2")}


def test_a_school_without_homerooms_shares_one_section_per_teacher() -> None:
    result = shared(HOMEROOMS, EVERY[Template.HOMEROOM_SECTIONS])
    assert result.classes == {("s-1", "k-1"), ("s-1", "k-2")}
    assert result.findings == {
        (SharingFinding.TEACHER_WITHOUT_SECTION, "t-3"),
        (SharingFinding.TEACHER_WITH_SEVERAL_SECTIONS, "t-2"),
    }
    elsewhere = rule(Template.HOMEROOM_SECTIONS, MatchKey.SCHOOL, Operator.NOT_IN, "s-1")
    assert not shared(HOMEROOMS, elsewhere).findings


def test_excluding_homerooms_withholds_all_that_may_be_one() -> None:
    exclude = rule(Template.HOMEROOM_SECTIONS, MatchKey.SCHOOL, Operator.EXISTS, exclude=True)
    assert shared(HOMEROOMS, EVERY[Share.SECTIONS], exclude).classes == {("s-1", "k-4")}


@pytest.mark.parametrize(
    "odd", [Class("h-1", type=None), Class("h-1", type="homeroom", terms=("over",))], ids=["unknown", "over"]
)
def test_a_school_that_may_have_homerooms_shares_nothing_else(odd: Class) -> None:
    found: tuple[Record, ...] = (*HOMEROOMS, Session("over", end=TODAY), odd)
    result = shared(found, EVERY[Template.HOMEROOM_SECTIONS])
    assert not result.classes
    assert result.findings == ({(SharingFinding.HOMEROOM_UNKNOWN, "s-1")} if odd.type is None else set())


# ---------------------------------------------------------------------------------------------------------------------
# Rules


@pytest.mark.parametrize(
    ("what", "key"), [(what, key) for what, keys in KEYS.items() for key in MatchKey if key not in keys]
)
def test_a_key_that_makes_no_sense_is_refused_by_name(what: Share | Template, key: MatchKey) -> None:
    with pytest.raises(InvalidSpecError, match=f"SharingRule 'r': `match` key '{key}' does not apply to {what}"):
        rule(what, key, Operator.EXISTS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"match": ()},
        {"match": (Match(MatchKey.SCHOOL, Operator.IN),)},
        {"match": (Match(MatchKey.SCHOOL, Operator.EXISTS, ("s-1",)),)},
        {"match": (Match(MatchKey.SCHOOL, Operator.EXISTS),), "share_everything": True},
        {"effect": Effect.EXCLUDE, "share_everything": True},
    ],
)
def test_an_impossible_rule_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidSpecError, match="SharingRule 'r'"):
        Rule(name="r", share=Share.SECTIONS, **wrong)  # type: ignore[arg-type]  # fields by name


def test_resources_become_rules_sorted_by_name() -> None:
    def resource(name: str, spec: SharingRuleSpec) -> SharingRule:
        metadata = ObjectMeta(name=name, namespace="lakeside")
        return SharingRule(kind="SharingRule", metadata=metadata, spec=spec)

    app = Reference(name="kolibri")
    term = MatchTerm(key=MatchKey.SUBJECT, operator=Operator.IN, values=("math",))
    made = rules_of(
        [
            resource("b", SharingRuleSpec(app_ref=app, template=Template.HOMEROOM_SECTIONS, share_everything=True)),
            resource("a", SharingRuleSpec(app_ref=app, effect=Effect.EXCLUDE, share=Share.STUDENTS, match=(term,))),
        ]
    )
    assert made == (
        rule(Share.STUDENTS, MatchKey.SUBJECT, Operator.IN, "math", exclude=True, name="a"),
        Rule(name="b", share=Template.HOMEROOM_SECTIONS, share_everything=True),
    )


def test_the_digest_tells_which_records_are_shared_and_not_what_they_say() -> None:
    def digest(*found: Record, chosen: Rule = EVERY[Share.SECTIONS]) -> str:
        return share(roster_of(*found), [chosen], homeroom=HOMEROOM, today=TODAY).digest

    assert digest(*LESSON) == digest(*LESSON, Org("a-0"), User("a-0"))  # other rows, other row numbers
    assert digest(*LESSON) == digest(SCHOOL, Class("k-1", title="New name"), *LESSON[2:])
    assert digest(*LESSON) != digest(*LESSON[:-1])
    assert digest(*LESSON) != digest(*LESSON, chosen=EVERY[Share.STUDENTS])


def test_the_documentation_lists_every_finding_and_every_key() -> None:
    page = (Path(__file__).parents[3] / "docs" / "sharing.md").read_text(encoding="utf-8")
    for finding in SharingFinding:
        assert f"| `{finding}` | {finding.text} | {finding.todo} |" in page
    assert page.count("| `sh-") == len(SharingFinding)
    for key in MatchKey:
        assert f"| `{key}` |" in page
    for role in STAFF:
        assert f"`{role}`" in page

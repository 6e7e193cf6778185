"""Small rosters for tests: records by id, a builder that numbers them, and hypothesis strategies for records and rules.

``roster_of(Org("s-1"), Class("k-1", "s-1"), User("u-1"), Enrolled("k-1", "u-1"))`` is a whole roster; records may come
in any order, and a reference to an id that no record has becomes null.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl
from hypothesis import strategies as st
from tests.unit.examples import examples

from homeroom.api.sharingrule import Effect, MatchKey, Operator, Share, Template
from homeroom.roster.shared import KEYS, Match, Rule
from homeroom.roster.tables import SCHEMAS, Roster

TODAY = date(2026, 10, 1)
YESTERDAY, TOMORROW = TODAY - timedelta(days=1), TODAY + timedelta(days=1)

unhurried = examples(25)
"""For properties: how long an example takes says more about the machine's other work than about the code."""

Texts = tuple[str | None, ...] | None


@dataclass(frozen=True, slots=True)
class Org:
    id: str
    type: str | None = "school"
    parent: str | None = None
    name: str | None = "Org"


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    begin: date | None = None
    end: date | None = None
    parent: str | None = None
    title: str | None = "Term"
    year: int | None = None


@dataclass(frozen=True, slots=True)
class Course:
    id: str
    code: str | None = None
    subjects: Texts = ()


@dataclass(frozen=True, slots=True)
class Class:
    id: str
    school: str | None = "s-1"
    type: str | None = "scheduled"
    title: str | None = "Class"
    grades: Texts = ("Other",)
    subjects: Texts = ()
    course: str | None = None
    terms: Texts = ()


@dataclass(frozen=True, slots=True)
class User:
    id: str
    grades: Texts = ("Other",)
    enabled: bool | None = True
    given: str | None = "Given"
    family: str | None = "Family"
    username: str | None = None
    identifier: str | None = None
    email: str | None = None
    user_ids: Texts = None


@dataclass(frozen=True, slots=True)
class Names:
    """Somebody names somebody as agent."""

    user: str
    agent: str


@dataclass(frozen=True, slots=True)
class Held:
    """A role in an organisation."""

    user: str
    role: str | None = "student"
    org: str | None = "s-1"
    begin: date | None = None
    end: date | None = None


@dataclass(frozen=True, slots=True)
class Enrolled:
    class_: str
    user: str
    role: str | None = "student"
    primary: bool | None = None
    begin: date | None = None
    end: date | None = None


Record = Org | Session | Course | Class | User | Names | Held | Enrolled


def roster_of(*records: Record) -> Roster:
    """Number the records as `homeroom.roster.tables` says."""
    of: dict[type, list[Any]] = {kind: [] for kind in (Org, Session, Course, Class, User, Names, Held, Enrolled)}
    for record in records:
        of[type(record)].append(record)
    for kind in (Org, Session, Course, Class, User):
        of[kind].sort(key=lambda record: record.id)
        assert len({record.id for record in of[kind]}) == len(of[kind]), "an id is there twice"
    rows: dict[type, dict[str, int]] = {
        kind: {record.id: row for row, record in enumerate(of[kind])} for kind in (Org, Session, Course, Class, User)
    }

    def row(kind: type, key: str | None) -> int | None:
        return None if key is None else rows[kind].get(key)

    def frame(name: str, values: Sequence[dict[str, object]]) -> pl.DataFrame:
        columns = {column: [value.get(column) for value in values] for column in SCHEMAS[name].names()}
        return pl.DataFrame(columns, schema=SCHEMAS[name])

    def span(record: Session | Held | Enrolled) -> dict[str, object]:
        return {"begin": record.begin, "end": record.end}

    return Roster(
        orgs=frame(
            "orgs", [{"id": o.id, "name": o.name, "type": o.type, "parent": row(Org, o.parent)} for o in of[Org]]
        ),
        sessions=frame(
            "sessions",
            [
                {
                    "id": s.id,
                    "title": s.title,
                    "type": "term",
                    "parent": row(Session, s.parent),
                    "school_year": s.year,
                    **span(s),
                }
                for s in of[Session]
            ],
        ),
        courses=frame(
            "courses", [{"id": c.id, "title": "Course", "code": c.code, "subjects": c.subjects} for c in of[Course]]
        ),
        classes=frame(
            "classes",
            [
                {
                    "id": c.id,
                    "title": c.title,
                    "type": c.type,
                    "grades": c.grades,
                    "subjects": c.subjects,
                    "course": row(Course, c.course),
                    "school": row(Org, c.school),
                    "terms": None if c.terms is None else [row(Session, term) for term in c.terms],
                }
                for c in of[Class]
            ],
        ),
        users=frame(
            "users",
            [
                {
                    "id": u.id,
                    "enabled": u.enabled,
                    "username": u.username,
                    "given": u.given,
                    "family": u.family,
                    "identifier": u.identifier,
                    "email": u.email,
                    "grades": u.grades,
                    "user_ids": u.user_ids,
                }
                for u in of[User]
            ],
        ),
        agents=frame(
            "agents",
            [
                {"user": user, "agent": agent}
                for user, agent in sorted({(rows[User][n.user], rows[User][n.agent]) for n in of[Names]})
            ],
        ),
        roles=frame(
            "roles",
            [{"user": row(User, h.user), "role": h.role, "org": row(Org, h.org), **span(h)} for h in of[Held]],
        ),
        enrollments=frame(
            "enrollments",
            [
                {
                    "class": row(Class, e.class_),
                    "user": row(User, e.user),
                    "role": e.role,
                    "primary": e.primary,
                    **span(e),
                }
                for e in of[Enrolled]
            ],
        ),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Strategies

_ORGS = ("d", "s-1", "s-2", "s-3")
_SESSIONS = (
    Session("t-over", begin=date(2025, 9, 1), end=TODAY, title="Year"),
    Session("t-now", begin=TODAY, end=TOMORROW, title="Autumn", parent="t-year"),
    Session("t-next", begin=TOMORROW, end=None, title="Spring", parent="t-year"),
    Session("t-open", title=None),
    Session("t-year", begin=date(2026, 9, 1), end=date(2027, 7, 1), title="Year"),
)
_COURSES = (
    Course("c-1", code="M1", subjects=("math",)),
    Course("c-2", code=None, subjects=None),
    Course("c-3", code="c-1", subjects=()),
)
_USERS = tuple(f"u-{n}" for n in range(7))
_CLASSES = tuple(f"k-{n}" for n in range(6))
_VALUES: dict[MatchKey, tuple[str, ...]] = {
    MatchKey.SUBJECT: ("math", "art", "m", "x"),
    MatchKey.GRADE: ("01", "Other", "0", "x"),
    MatchKey.SCHOOL: (*_ORGS, "s"),
    MatchKey.COURSE: ("c-1", "c-2", "M1", "c"),
    MatchKey.SECTION_NAME: ("Class", "Ma", "class", "x"),
    MatchKey.TERM: ("t-now", "Year", "Aut", "x"),
    MatchKey.CLASS_TYPE: ("homeroom", "scheduled", "home"),
    MatchKey.TEACHER: (*_USERS, "u"),
    MatchKey.ROLE: ("principal", "aide", "districtAdministrator", "p"),
}
_ORG_TYPES = st.sampled_from((*["school"] * 6, "district", None))
_begins = st.sampled_from((None, None, None, YESTERDAY, TODAY, TOMORROW))
_ends = st.sampled_from((None, None, None, YESTERDAY, TODAY, TOMORROW, TOMORROW, TOMORROW))


def _texts(*values: str | None) -> st.SearchStrategy[Texts]:
    """Lists of up to two values, and now and then an unknown one."""
    lists = st.lists(st.sampled_from(values), max_size=2).map(tuple)
    return st.integers(0, 9).flatmap(lambda n: st.none() if n == 9 else lists)


@st.composite
def records(draw: st.DrawFn) -> list[Record]:
    """A small district with everything odd in it that validation lets through: gaps, strangers, dates, unknowns."""
    school = st.sampled_from((*_ORGS, *["s-1", "s-2"] * 3, None))
    found: list[Record] = [Org("d", type="district"), *_SESSIONS, *_COURSES]
    found += [Org(key, type=draw(_ORG_TYPES), parent=draw(st.sampled_from(("d", "d", None)))) for key in _ORGS[1:]]
    found += [
        Class(
            key,
            school=draw(school),
            type=draw(st.sampled_from((*["scheduled"] * 6, "Homeroom", "Homeroom", None))),
            title=draw(st.sampled_from(("Class A", "Maths", "Maths", None))),
            grades=draw(_texts("01", "01", "Other", "Other", None)),
            subjects=draw(_texts("math", "math", "art", "art", None)),
            course=draw(st.sampled_from(("c-1", "c-2", "c-3", None))),
            terms=draw(_texts(*["t-now", "t-open", "t-year"] * 2, "t-over", "t-next", None)),
        )
        for key in draw(st.lists(st.sampled_from(_CLASSES), unique=True, min_size=3))
    ]
    enabled = st.sampled_from((*[True] * 8, False, None))
    grades = _texts("01", "01", "Other", "Other", None)
    found += [User(key, enabled=draw(enabled), grades=draw(grades)) for key in _USERS]
    found += draw(
        st.lists(
            st.builds(
                Held,
                st.sampled_from(_USERS),
                st.sampled_from(
                    (
                        *["student", "teacher", "principal", "districtAdministrator"] * 3,
                        "aide",
                        "siteAdministrator",
                        "parent",
                        "guardian",
                        None,
                    )
                ),
                school,
                _begins,
                _ends,
            ),
            min_size=3,
            max_size=12,
        )
    )
    pairs = st.tuples(st.sampled_from(_USERS), st.sampled_from(_USERS)).filter(lambda pair: pair[0] != pair[1])
    found += [Names(*pair) for pair in draw(st.lists(pairs, unique=True, max_size=6))]
    found += draw(
        st.lists(
            st.builds(
                Enrolled,
                st.sampled_from(_CLASSES),
                st.sampled_from(_USERS),
                st.sampled_from((*["student"] * 6, *["teacher"] * 4, "proctor", None)),
                st.sampled_from((True, False, None)),
                _begins,
                _ends,
            ),
            min_size=6,
            max_size=24,
        )
    )
    return found


@st.composite
def rules(draw: st.DrawFn, *, name: str = "r", effects: Sequence[Effect] = tuple(Effect)) -> Rule:
    """One rule that makes sense; an Exclude has at least one condition, so that it leaves something."""
    what: Share | Template = draw(st.sampled_from((*Share, *Template)))
    effect = draw(st.sampled_from(effects))
    terms = []
    for key in draw(st.lists(st.sampled_from(sorted(KEYS[what])), min_size=effect is Effect.EXCLUDE, max_size=2)):
        operator = draw(st.sampled_from(Operator))
        values = () if operator is Operator.EXISTS else draw(_some_of(_VALUES[key]))
        terms.append(Match(key, operator, values))
    everything = effect is Effect.INCLUDE and not terms
    return Rule(name=name, effect=effect, share=what, match=tuple(terms), share_everything=everything)


def _some_of(values: Sequence[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True).map(tuple)


@st.composite
def rule_sets(draw: st.DrawFn) -> list[Rule]:
    """Up to five rules with names of their own."""
    some = [Effect.INCLUDE, Effect.INCLUDE, Effect.EXCLUDE]
    return [draw(rules(name=f"r{n}", effects=some)) for n in range(draw(st.integers(0, 5)))]

"""Sharing rules -> which records of a roster one learning app may see.

Flow: `rules_of` makes `Rule` values from SharingRules; `View` is the roster as it stands on one day; `select` says what
one rule picks by itself; `share` joins all rules of an app (Include or Include, minus every Exclude), closes the result
over references and numbers it. Neighbours: `homeroom.roster.tables` is what it reads, `homeroom.roster.desired` turns
the result into what a target should hold, `homeroom.roster.explain` answers why. In words for people: docs/sharing.md.

Columns throughout, never a loop over records: texts are compared once per distinct record (school, course, term), and
the answers travel along row numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from functools import cached_property, reduce
from operator import and_
from typing import Final, Self

import polars as pl

from homeroom.api.common import Counts
from homeroom.api.district import HomeroomDefinition
from homeroom.api.sharingrule import Effect, MatchKey, Operator, Share, SharingRule, Template
from homeroom.errors import InvalidSpecError
from homeroom.plan import Role
from homeroom.roster.beside import FEW, beside, engine, selected
from homeroom.roster.digest import digest
from homeroom.roster.tables import ClassRole, Roster, SchoolRole, repeated

SCHOOL_ADMINISTRATORS: Final = (SchoolRole.PRINCIPAL, SchoolRole.SITE_ADMINISTRATOR)
"""A Staff rule makes these administrators of their school (S5). A closed list: no other role ever leads there."""
DISTRICT_ADMINISTRATORS: Final = (SchoolRole.DISTRICT_ADMINISTRATOR, SchoolRole.SYSTEM_ADMINISTRATOR)
"""A Staff rule makes these administrators of every shared school at or below their organisation (S5)."""
STAFF: Final = (
    *SCHOOL_ADMINISTRATORS,
    *DISTRICT_ADMINISTRATORS,
    SchoolRole.AIDE,
    SchoolRole.COUNSELOR,
    SchoolRole.PROCTOR,
)
"""Roles that `share: Staff` selects. Not teachers, not families, and no extension, whose meaning nobody knows."""

ON_SECTIONS: Final = frozenset({Share.SECTIONS, Template.HOMEROOM_SECTIONS})
"""What shares sections with everybody in them; the other three share people."""

_SECTION_KEYS: Final = frozenset(MatchKey) - {MatchKey.ROLE}
KEYS: Final[Mapping[Share | Template, frozenset[MatchKey]]] = {
    Template.HOMEROOM_SECTIONS: _SECTION_KEYS,
    Share.SECTIONS: _SECTION_KEYS,
    Share.STUDENTS: _SECTION_KEYS,
    Share.TEACHERS: _SECTION_KEYS,
    Share.STAFF: frozenset({MatchKey.ROLE, MatchKey.SCHOOL}),
}
"""Which keys make sense for what a rule shares."""

# Keys that look at the person, or at the school in which the person is; all others look at the person's sections.
_OWN_KEYS: Final[Mapping[Share | Template, frozenset[MatchKey]]] = {
    Share.STUDENTS: frozenset({MatchKey.SCHOOL, MatchKey.GRADE}),
    Share.TEACHERS: frozenset({MatchKey.SCHOOL, MatchKey.TEACHER}),
    Share.STAFF: KEYS[Share.STAFF],
}

_ROW: Final = pl.UInt32
_NOBODY: Final = pl.DataFrame(schema={"user": _ROW, "role": pl.Enum(SchoolRole), "org": _ROW, "placed": pl.Boolean})
_LEARNER: Final = pl.lit(Role.LEARNER, dtype=pl.Enum(Role))
_COACH: Final = pl.lit(Role.COACH, dtype=pl.Enum(Role))
_PARTS: Final = {"student": "students", "teacher": "teachers", "staff": "staff"}  # what people are, and how counted
_MAX_DEPTH: Final = 32  # of organisations and terms; validation refuses cycles, this only ends one that slipped through


class SharingFinding(StrEnum):
    """What a person should know about the result of the rules: its id, `text` and `todo`. None of these stops anything.

    `docs/sharing.md` shows this catalogue; a test keeps the two equal.
    """

    text: str
    todo: str

    def __new__(cls, value: str, text: str, todo: str) -> Self:
        """Make a member that is its id and knows its texts."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.text = text
        member.todo = todo
        return member

    TEACHER_WITHOUT_SECTION = (
        "sh-teacher-without-section",
        "the school has no homerooms, and this teacher no section with students: nothing of this teacher is shared",
        "mark the teacher's section as homeroom, or share it with a rule on sections",
    )
    TEACHER_WITH_SEVERAL_SECTIONS = (
        "sh-teacher-with-several-sections",
        "the school has no homerooms, and this teacher has several sections: the first by source id is shared",
        "say in the District's `spec.homeroom` what a homeroom is, or share sections with a rule on sections",
    )
    HOMEROOM_UNKNOWN = (
        "sh-homeroom-unknown",
        "no class of this school is known to be a homeroom, and some may be: none is shared",
        "correct class type or subjects of its classes in the source",
    )
    PERSON_WITHOUT_SCHOOL = (
        "sh-person-without-school",
        "a rule picks this person, and no shared school is known to be theirs: nothing is shared",
        "correct the person's roles in the source; district staff appear once a school of theirs is shared",
    )
    STUDENT_WITH_STAFF_ROLE = (
        "sh-student-with-staff-role",
        "a record calls this administrator a student, or its role is unreadable: no rights are given",
        "correct the wrong one of the two records in the source",
    )


_FINDING: Final = pl.Enum(SharingFinding)


@dataclass(frozen=True, slots=True)
class Match:
    """One condition. For `In`, `Contains` and `StartsWith` one of `values` has to fit, for `NotIn` none may."""

    key: MatchKey
    operator: Operator
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One SharingRule, free of Kubernetes. Raises InvalidSpecError when it says something impossible."""

    name: str
    effect: Effect = Effect.INCLUDE
    share: Share | Template
    match: tuple[Match, ...] = ()
    share_everything: bool = False

    def __post_init__(self) -> None:
        """Refuse what the API server may have let through under an older CRD, and what other callers get wrong."""
        for term in self.match:
            if term.key not in KEYS[self.share]:
                keys = ", ".join(sorted(KEYS[self.share]))
                raise InvalidSpecError(
                    f"SharingRule '{self.name}': `match` key '{term.key}' does not apply to {self.share}; use {keys}"
                )
            if (term.operator is Operator.EXISTS) == bool(term.values):
                raise InvalidSpecError(
                    f"SharingRule '{self.name}': `match` on '{term.key}': operator 'Exists' takes no `values`, "
                    "the others need at least one"
                )
        if self.effect is Effect.INCLUDE and not self.match and not self.share_everything:
            raise InvalidSpecError(
                f"SharingRule '{self.name}': without `match` it shares the whole district; "
                "add `match`, or say so with `shareEverything: true`"
            )
        if self.share_everything and (self.match or self.effect is Effect.EXCLUDE):
            raise InvalidSpecError(
                f"SharingRule '{self.name}': `shareEverything: true` must not stand beside `match` or `effect: Exclude`"
            )


def rules_of(models: Iterable[SharingRule]) -> tuple[Rule, ...]:
    """The rules that the resources declare, sorted by name. Raises InvalidSpecError for the first impossible one."""
    rules = []
    for model in models:
        share = model.spec.share or model.spec.template
        if share is None:
            raise InvalidSpecError(
                f"SharingRule '{model.metadata.name}': must have exactly one of `template` and `share`"
            )
        rules.append(
            Rule(
                name=model.metadata.name,
                effect=model.spec.effect,
                share=share,
                match=tuple(Match(term.key, term.operator, term.values) for term in model.spec.match),
                share_everything=model.spec.share_everything,
            )
        )
    return tuple(sorted(rules, key=lambda rule: rule.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What one rule picks by itself, before any Exclude of another rule."""

    sections: pl.Series
    """Boolean per row of `roster.classes`."""
    people: pl.DataFrame
    """[user, role, org, placed]: who is picked as a person, as what (SchoolRole) and where; `placed` False: `org` is no
    school. The same person may come several times. Empty for rules on sections."""
    through: pl.Series | None = None
    """Boolean per row of `roster.classes`: by which sections people were picked, if the rule looks at sections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What one app may see. All columns but the counts are row numbers (UInt32).

    Columns named after a table of the roster (`org`, `user`, `class`, ...) number its rows; `school` and `person`
    number rows of the frames here, so every reference resolves within this value. All frames are sorted and distinct.
    """

    no_rules: bool
    """No rule includes anything: the caller says NoSharingRules, shares nothing and **removes nothing**."""
    schools: pl.DataFrame
    """[org]"""
    people: pl.DataFrame
    """[school, user, student, teacher, staff, personnel]: one row per person and school. `student`: learns in a shared
    section or is picked by a Students rule; `teacher`, `staff`: alike; `personnel`: teacher, staff, or any role there
    that is not student."""
    classes: pl.DataFrame
    """[school, class]"""
    memberships: pl.DataFrame
    """[class (row of `classes` here), person, role]: Learner or Coach; who is both is Coach (invariant 7)."""
    rights: pl.DataFrame
    """[person]: administrators of their school."""
    courses: pl.DataFrame
    """[course]: of shared classes."""
    sessions: pl.DataFrame
    """[session]: terms of shared classes, with the terms that these are part of."""
    rules: Mapping[str, Counts]
    """What each rule selects by itself, before any Exclude; sorted by name."""
    per_school: pl.DataFrame
    """[id, sections, students, teachers, staff]: source id and counts of each school, sorted by id."""
    per_school_sum: Counts
    """`per_school` added up: who is in two schools counts twice (S10)."""
    distinct: Counts
    """The district: who is in two schools counts once."""
    findings: pl.DataFrame
    """[rule (a `SharingFinding`), id (source id of a person or school)], sorted."""
    digest: str
    """SHA-256 over the source ids and relations selected: which records are shared, not what is written in them."""


@dataclass(frozen=True, kw_only=True)  # not slotted: what several rules need is computed once, and only when needed
class View:
    """A roster as it stands on one day: what has not begun or is over does not count."""

    roster: Roster
    homeroom: HomeroomDefinition
    today: date

    @cached_property
    def disabled(self) -> pl.Series:
        """Boolean per user: the records bar the person (`enabledUser`). The unknown bars nobody."""
        return ~self.roster.users["enabled"].fill_null(value=True)

    @cached_property
    def running(self) -> pl.Series:
        """Boolean per class: it belongs to a school, and today lies between its first begin and its last end.

        Days between two of its terms are within. A class without terms, or with an unknown date, is open.
        """
        classes, sessions = self.roster.classes, self.roster.sessions
        terms = _links(classes["terms"])
        open_from = (sessions["begin"] <= self.today)[terms["value"]].fill_null(value=True)
        open_to = (sessions["end"] > self.today)[terms["value"]].fill_null(value=True)
        n = classes.height
        begun, lasts = _mark(n, terms["row"].filter(open_from)), _mark(n, terms["row"].filter(open_to))
        return classes["school"].is_not_null() & (~_mark(n, terms["row"]) | (begun & lasts))

    @cached_property
    def enrolled(self) -> pl.DataFrame:
        """[class, user, coach, primary]: current enrolments of students and teachers in running classes."""
        rows = self.roster.enrollments
        return (
            rows.lazy()
            .filter(
                self._current(),
                pl.col("role").is_in([ClassRole.STUDENT, ClassRole.TEACHER]),
                self.running[rows["class"]],
                pl.col("user").is_not_null(),
            )
            .select("class", "user", (pl.col("role") == ClassRole.TEACHER).alias("coach"), "primary")
            .collect(engine=engine(rows.height))
        )

    @cached_property
    def held(self) -> pl.DataFrame:
        """[user, role, org, placed]: current roles; `org` is the nearest school at or above the one in the records.

        Where there is no such school (a role in the district itself) the organisation stays and `placed` is False.
        """
        rows = self.roster.roles.filter(self._current(), pl.col("user").is_not_null())
        school = self._nearest_school[rows["org"]]
        return rows.select(
            "user", "role", school.fill_null(rows["org"]).alias("org"), school.is_not_null().alias("placed")
        )

    @cached_property
    def learners(self) -> pl.DataFrame:
        """[user, org]: who learns in some running class of which school."""
        return self.places(self.enrolled.filter(~pl.col("coach")))

    @cached_property
    def coaches(self) -> pl.DataFrame:
        """[user, org]: who teaches some running class of which school."""
        return self.places(self.enrolled.filter("coach"))

    @cached_property
    def subjects(self) -> pl.Series:
        """Subjects per class: its own, or, if it names none, its course's."""
        classes = self.roster.classes
        from_course = self.roster.courses["subjects"][classes["course"]]
        none, course = pl.col("subjects").list.len() == 0, pl.col("course").is_not_null()
        return classes.select(pl.when(none & course).then(from_course).otherwise("subjects")).to_series()

    @cached_property
    def above(self) -> pl.DataFrame:
        """[row, at]: every organisation with itself and all above it, nearest first."""
        return _upwards(self.roster.orgs["parent"])

    @cached_property
    def homerooms(self) -> Homerooms:
        """Which classes `template: HomeroomSections` means."""
        return _homerooms(self)

    def places(self, enrolled: pl.DataFrame) -> pl.DataFrame:
        """[user, org]: people of rows of `enrolled` and the schools of those classes, distinct."""
        org = self.roster.classes["school"][enrolled["class"]]
        return _distinct_pairs(enrolled["user"], org, self.roster.users.height)

    def _current(self) -> pl.Expr:
        return (pl.col("begin") <= self.today).fill_null(value=True) & (pl.col("end") > self.today).fill_null(
            value=True
        )

    @cached_property
    def _nearest_school(self) -> pl.Series:
        """Row of the nearest school at or above each organisation, or null."""
        orgs = self.roster.orgs
        schools = self.above.filter((orgs["type"] == "school")[self.above["at"]]).unique(
            "row", keep="first", maintain_order=True
        )
        return repeated(None, orgs.height, dtype=_ROW).scatter(schools["row"], schools["at"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Homerooms:
    """The homerooms of a district, as its definition and, for schools without any, its teachers' own sections say."""

    certain: pl.Series
    """Boolean per class: homerooms, and the one own section of each teacher of a school without homerooms."""
    possible: pl.Series
    """Boolean per class: also those of which it is unknown, and every own section. What an Exclude withholds."""
    findings: pl.DataFrame
    """[rule, id, org]"""


def select(view: View, rule: Rule) -> Selection:
    """What `rule` picks by itself.

    An attribute that is unknown fits every Exclude and no Include (invariant 3), whatever the operator.
    """
    if rule.share in ON_SECTIONS:
        sections = view.running & _fitting_sections(view, rule.match, rule.effect)
        if rule.share is Template.HOMEROOM_SECTIONS:
            sections &= view.homerooms.certain if rule.effect is Effect.INCLUDE else view.homerooms.possible
        return Selection(sections=sections, people=_NOBODY)
    people, through = _candidates(view, rule)
    for term in rule.match:
        if term.key in _OWN_KEYS[rule.share]:
            people = people.filter(_fits(term, _own_hits(view, term, people), rule.effect))
    return Selection(sections=_mark(view.roster.classes.height), people=people, through=through)


def barring(roster: Roster, people: Collection[str]) -> Roster:
    """The same records, which bar these people (source ids) too, as `enabledUser=false` would."""
    if not people:
        return roster
    barred = pl.when(pl.col("id").is_in(list(people))).then(pl.lit(value=False)).otherwise("enabled")
    return replace(roster, users=roster.users.with_columns(barred.alias("enabled")))


def share(roster: Roster, rules: Iterable[Rule], *, homeroom: HomeroomDefinition, today: date) -> Shared:
    """What an app with `rules` may see of `roster` on the district's day `today`.

    The order of rules, and of rows in `roles` and `enrollments`, changes nothing.
    """
    view = View(roster=roster, homeroom=homeroom, today=today)
    selections = [(rule, select(view, rule)) for rule in sorted(rules, key=lambda rule: rule.name)]
    included = [(rule, found) for rule, found in selections if rule.effect is Effect.INCLUDE]
    withheld, sections = view.disabled, _mark(roster.classes.height)
    for _, found in included:
        sections |= found.sections
    for rule, found in selections:
        if rule.effect is Effect.EXCLUDE:
            sections &= ~found.sections
            withheld = withheld | _mark(roster.users.height, found.people["user"])

    def picked(kind: Share) -> pl.DataFrame:
        people = pl.concat([_NOBODY, *(found.people for rule, found in included if rule.share is kind)])
        return people if people.is_empty() else people.filter(~withheld[people["user"]])

    students, teachers, staff = picked(Share.STUDENTS), picked(Share.TEACHERS), picked(Share.STAFF)
    class_rows = sections.arg_true().cast(_ROW)
    classes = pl.DataFrame({"org": roster.classes["school"][class_rows], "class": class_rows}).sort("org", "class")
    members = _members(view, classes["class"], withheld)
    n = roster.users.height
    org, coach = classes["org"][members["class"]], members["coach"]
    present = {
        "student": [_distinct_pairs(members["user"].filter(~coach), org.filter(~coach), n), _placed(students)],
        "teacher": [_distinct_pairs(members["user"].filter(coach), org.filter(coach), n), _placed(teachers)],
        "staff": [_placed(staff)],
    }
    orgs = _distinct_sorted(pl.concat([classes["org"], *(rows["org"] for part in present.values() for rows in part)]))
    administrators, refused = _administrators(view, staff, orgs)
    present["staff"].append(administrators)
    people, rows_of = _people({part: pl.concat(rows) for part, rows in present.items()}, n)
    working = _placed(view.held.filter((pl.col("role") != SchoolRole.STUDENT).fill_null(value=True)))
    people = people.with_columns(
        personnel=people["teacher"] | people["staff"] | _mark(people.height, rows_of.of(working).drop_nulls())
    )

    school = _number_of(orgs, roster.orgs.height)
    above = _upwards(roster.sessions["parent"])
    terms = _mark(roster.sessions.height, _links(roster.classes["terms"][class_rows])["value"].drop_nulls())
    tables = {
        "schools": pl.DataFrame({"org": orgs}),
        "people": people.select(school[people["org"]].alias("school"), pl.exclude("org")),
        "classes": classes.select(school[classes["org"]].alias("school"), "class"),
        "memberships": members.select(
            "class",
            rows_of.of(pl.DataFrame({"org": org, "user": members["user"]})).alias("person"),
            pl.when("coach").then(_COACH).otherwise(_LEARNER).alias("role"),
        ),
        "rights": pl.DataFrame({"person": _distinct_sorted(rows_of.of(administrators))}),
        "courses": pl.DataFrame({"course": _distinct_sorted(roster.classes["course"][class_rows])}),
        "sessions": pl.DataFrame({"session": _distinct_sorted(above["at"].filter(terms[above["row"]]))}),
    }
    with beside(1, few=people.height < FEW) as other:
        fingerprint = other.submit(_digest, roster, tables)  # takes as long as all that follows
        per_school = _per_school(roster, tables)
        selected = _distinct_sorted(pl.concat([students["user"], teachers["user"], staff["user"]]))
        nowhere = selected.filter(~_mark(n, people["user"])[selected])
        return Shared(
            no_rules=not included,
            **tables,
            rules={rule.name: _counts(view, rule, found) for rule, found in selections},
            per_school=per_school,
            per_school_sum=Counts(**{count: int(per_school[count].sum()) for count in per_school.columns[1:]}),
            distinct=Counts(
                sections=classes.height,
                **{count: _true(_mark(n, people["user"].filter(people[part]))) for part, count in _PARTS.items()},
            ),
            findings=_findings(view, included, nowhere=nowhere, refused=refused),
            digest=fingerprint.result(),
        )


# ---------------------------------------------------------------------------------------------------------------------
# One condition


def _hits(texts: pl.DataFrame, term: Match) -> pl.Series:
    """Per row: does one of its texts (an id, a code) fit? Null where no text is known. `NotIn` answers as `In`."""
    each = []
    for name in texts.columns:
        column = pl.col(name)
        match term.operator:
            case Operator.IN | Operator.NOT_IN:
                each.append(column.is_in(term.values))
            case Operator.CONTAINS:
                each.append(column.str.contains_any(term.values))
            case Operator.STARTS_WITH:
                each.append(pl.any_horizontal(column.str.starts_with(value) for value in term.values))
            case Operator.EXISTS:
                each.append(column.is_not_null())
    known = pl.any_horizontal(pl.col(texts.columns).is_not_null())
    fits = pl.any_horizontal(one.fill_null(value=False) for one in each)
    return texts.select(pl.when(known).then(fits)).to_series()


def _any_hit(links: pl.DataFrame, hits: pl.Series, *, unknown: pl.Series) -> pl.Series:
    """Per unit (as many as `unknown` has): is one of its linked values a hit? Null where that cannot be told."""
    answer = unknown.replace_strict({False: False, True: None}, return_dtype=pl.Boolean)
    answer = answer.scatter(links["row"].filter(hits.is_null()), values=None)
    return answer.scatter(links["row"].filter(hits), values=True)


def _any_text(lists: pl.Series, term: Match) -> pl.Series:
    """Per list of texts: does one of them fit? An empty list is known to have none; a null one is unknown."""
    links = _links(lists)
    return _any_hit(links, _hits(links.select("value"), term), unknown=lists.is_null())


def _fits(term: Match, hits: pl.Series, effect: Effect) -> pl.Series:
    """Boolean: the condition holds; the unknown fits every Exclude and no Include."""
    fits = ~hits if term.operator is Operator.NOT_IN else hits
    return fits.fill_null(value=effect is Effect.EXCLUDE)


def _section_hits(view: View, term: Match) -> pl.Series:
    """Boolean or null per class."""
    roster = view.roster
    classes = roster.classes
    match term.key:
        case MatchKey.SUBJECT:
            return _any_text(view.subjects, term)
        case MatchKey.GRADE:
            return _any_text(classes["grades"], term)
        case MatchKey.SCHOOL:
            return _hits(roster.orgs.select("id"), term)[classes["school"]]
        case MatchKey.COURSE:
            return _hits(roster.courses.select("id", "code"), term)[classes["course"]]
        case MatchKey.SECTION_NAME:
            return _hits(classes.select("title"), term)
        case MatchKey.TERM:
            links = _links(classes["terms"])
            hits = _hits(roster.sessions.select("id", "title"), term)[links["value"]]
            return _any_hit(links, hits, unknown=classes["terms"].is_null())
        case MatchKey.CLASS_TYPE:
            return _hits(classes.select("type"), term)
        case MatchKey.TEACHER:
            coaches = view.enrolled.filter("coach")
            hits = _hits(roster.users.select("id"), term)[coaches["user"]]
            return _any_hit(coaches.select(row="class"), hits, unknown=_mark(classes.height))
        case MatchKey.ROLE:
            raise AssertionError("Rule lets `role` through for Staff only, whose terms never look at sections")


def _own_hits(view: View, term: Match, people: pl.DataFrame) -> pl.Series:
    """Boolean or null per row of `people` ([user, org, role])."""
    roster = view.roster
    match term.key:
        case MatchKey.SCHOOL:
            return _hits(roster.orgs.select("id"), term)[people["org"]]
        case MatchKey.GRADE:
            return _any_text(roster.users["grades"], term)[people["user"]]
        case MatchKey.TEACHER:
            return _hits(roster.users.select("id"), term)[people["user"]]
        case MatchKey.ROLE:
            return _hits(people.select(pl.col("role").cast(pl.String)), term)
        case _:
            raise AssertionError(f"'{term.key}' looks at sections, not at people")


# ---------------------------------------------------------------------------------------------------------------------
# One rule


def _fitting_sections(view: View, terms: Iterable[Match], effect: Effect) -> pl.Series:
    """Boolean per class: it runs, and all terms hold."""
    return reduce(and_, (_fits(term, _section_hits(view, term), effect) for term in terms), view.running)


def _candidates(view: View, rule: Rule) -> tuple[pl.DataFrame, pl.Series | None]:
    """`Selection.people` and `.through` before the terms on the people themselves."""
    exclude = rule.effect is Effect.EXCLUDE
    if rule.share is Share.STAFF:
        return view.held.filter(pl.col("role").is_in(STAFF).fill_null(value=exclude)), None
    role = SchoolRole.STUDENT if rule.share is Share.STUDENTS else SchoolRole.TEACHER
    as_role = {"role": pl.lit(role, dtype=_NOBODY.schema["role"]), "placed": pl.lit(value=True)}
    terms = [term for term in rule.match if term.key not in _OWN_KEYS[rule.share]]
    if terms:
        sections = _fitting_sections(view, terms, rule.effect)
        rows = view.enrolled.filter(sections[view.enrolled["class"]])
        places = view.places(rows.filter(pl.col("coach") == (role is SchoolRole.TEACHER)))
        return places.with_columns(**as_role).select(_NOBODY.columns), sections
    places = view.learners if rule.share is Share.STUDENTS else view.coaches
    held = view.held.filter((pl.col("role") == role).fill_null(value=exclude))
    return pl.concat([held, places.with_columns(**as_role).select(_NOBODY.columns)]), None


def _homerooms(view: View) -> Homerooms:
    """Where no class of a school is a homeroom, each teacher has one own section that stands for it.

    Own is a section whose primary or only teacher the person is, and which has students. Classes that are over count
    when a school is asked for homerooms, so that nothing else is shared in the days between two school years.
    """
    roster, definition = view.roster, view.homeroom
    classes, n_orgs = roster.classes, roster.orgs.height
    homeroom = _mark(classes.height)
    if definition.class_types:
        types = classes.select(pl.col("type").str.to_lowercase())
        homeroom |= _hits(types, Match(MatchKey.CLASS_TYPE, Operator.IN, _lower(definition.class_types)))
    if definition.subjects:
        subjects = view.subjects.list.eval(pl.element().str.to_lowercase())
        homeroom |= _any_text(subjects, Match(MatchKey.SUBJECT, Operator.IN, _lower(definition.subjects)))
    has = _mark(n_orgs, classes["school"].filter(homeroom).drop_nulls())
    may = _mark(n_orgs, classes["school"].filter(homeroom.is_null()).drop_nulls())
    without = ~has & ~may

    org = classes["school"][view.enrolled["class"]]
    rows = view.enrolled.with_columns(org.alias("org")).filter(without[org])
    with_students = _mark(classes.height, rows["class"].filter(~rows["coach"]))
    own = (
        rows.filter("coach")
        .group_by("class", "user", "org")
        .agg(pl.col("primary").any())
        .filter(pl.col("primary") | (pl.len().over("class") == 1))
    )
    own = own.filter(with_students[own["class"]])
    chosen = own.group_by("org", "user").agg(pl.col("class").min(), several=pl.len() > 1)
    teachers = pl.concat(
        [view.held.filter("placed", pl.col("role") == SchoolRole.TEACHER).select("user", "org"), view.coaches]
    )
    sectionless = teachers.filter(without[teachers["org"]]).join(own, on=["user", "org"], how="anti")
    several = chosen.filter("several")
    unknown = (~has & may).arg_true().cast(_ROW)
    ids = roster.users["id"]
    return Homerooms(
        certain=homeroom.fill_null(value=False) | _mark(classes.height, chosen["class"]),
        possible=homeroom.fill_null(value=True) | _mark(classes.height, own["class"]),
        findings=pl.concat(
            [
                _found(SharingFinding.TEACHER_WITHOUT_SECTION, ids[sectionless["user"]], sectionless["org"]),
                _found(SharingFinding.TEACHER_WITH_SEVERAL_SECTIONS, ids[several["user"]], several["org"]),
                _found(SharingFinding.HOMEROOM_UNKNOWN, roster.orgs["id"][unknown], unknown),
            ]
        ),
    )


def _lower(texts: Iterable[str]) -> tuple[str, ...]:
    """Lower-case by the same rules as the records' texts are."""
    return tuple(pl.Series(tuple(texts), dtype=pl.String).str.to_lowercase())


def _counts(view: View, rule: Rule, found: Selection) -> Counts:
    """What one rule selects by itself; sections with their current students and teachers."""
    people = found.people["user"].n_unique()
    match rule.share:
        case Share.STUDENTS:
            return Counts(students=people)
        case Share.TEACHERS:
            return Counts(teachers=people)
        case Share.STAFF:
            return Counts(staff=people)
        case _:
            rows, n = view.enrolled, view.roster.users.height
            within, coach = found.sections[rows["class"]], rows["coach"]
            return Counts(
                sections=_true(found.sections),
                students=_true(_mark(n, rows["user"].filter(within & ~coach))),
                teachers=_true(_mark(n, rows["user"].filter(within & coach))),
            )


# ---------------------------------------------------------------------------------------------------------------------
# All rules


def _members(view: View, classes: pl.Series, withheld: pl.Series) -> pl.DataFrame:
    """[class (row of `classes`), user, coach]: current members, each once per class, sorted.

    Sorted as one number per row, in which coach is the last bit: the last of several rows is the strongest role.
    """
    rows = view.enrolled
    number = _number_of(classes, view.roster.classes.height)[rows["class"]]
    key = (
        rows.lazy()
        .select(number.alias("class"), "user", "coach", withheld=withheld[rows["user"]])
        .filter(pl.col("class").is_not_null() & ~pl.col("withheld"))
        .select(key=pl.col("class").cast(pl.UInt64) * 2**33 + pl.col("user").cast(pl.UInt64) * 2 + pl.col("coach"))
        .collect(engine=engine(rows.height))
        .to_series()
        .sort()
    )
    pair = key // 2
    last = (pair != pair.shift(-1)).fill_null(value=True)
    columns = {
        "class": (pl.col("key") // 2**33).cast(_ROW),
        "user": (pl.col("key") // 2 % 2**32).cast(_ROW),
        "coach": pl.col("key") % 2 == 1,
    }
    return selected(key.filter(last).to_frame(), **columns)


def _placed(people: pl.DataFrame) -> pl.DataFrame:
    """[user, org] of those rows of `people` whose `org` is a school."""
    return pl.DataFrame({name: people[name].filter(people["placed"]) for name in ("user", "org")})


def _people(parts: Mapping[str, pl.DataFrame], n: int) -> tuple[pl.DataFrame, _Rows]:
    """[org, user] of everybody in `parts` ([user, org] each), sorted and distinct, with a flag per part; their rows."""
    everybody = pl.concat(parts.values())
    pairs = _distinct_pairs(everybody["user"], everybody["org"], n)
    # One number per row is sorted in a sixth of the time of two.
    key = pairs.select(key=pl.col("org").cast(pl.UInt64) * 2**32 + pl.col("user")).to_series().sort()
    column = pl.col("key")
    people = selected(key.to_frame(), org=(column // 2**32).cast(_ROW), user=(column % 2**32).cast(_ROW))
    found = _Rows(people, n)
    marks = (_mark(people.height, found.of(rows)).alias(part) for part, rows in parts.items())
    return people.with_columns(*marks), found


def _administrators(view: View, staff: pl.DataFrame, schools: pl.Series) -> tuple[pl.DataFrame, pl.Series]:
    """[user, org] of the administrators of `schools` among `staff`, and the users who may never be one.

    Never somebody whom any record, current or not, calls a student or whose role is unknown (invariant 8).
    """
    roster = view.roster
    if staff.is_empty():
        return staff.select("user", "org"), staff["user"]
    above = view.above.filter(_mark(roster.orgs.height, schools)[view.above["row"]])
    rights = pl.concat(
        [
            staff.filter("placed", pl.col("role").is_in(SCHOOL_ADMINISTRATORS)).select("user", "org"),
            staff.filter(pl.col("role").is_in(DISTRICT_ADMINISTRATORS))
            .join(above, left_on="org", right_on="at")
            .select("user", org="row"),
        ]
    ).unique()
    wanted = _mark(roster.users.height, rights["user"])
    student = _mark(roster.users.height)
    for rows in (roster.roles, roster.enrollments):
        theirs = wanted[rows["user"]]
        users, roles = rows["user"].filter(theirs), rows["role"].filter(theirs)
        is_student = (roles == "student").fill_null(value=True)
        student |= _mark(roster.users.height, users.filter(is_student))
    refused = student[rights["user"]]
    return rights.filter(~refused), rights["user"].filter(refused).unique()


def _findings(
    view: View, included: Sequence[tuple[Rule, Selection]], *, nowhere: pl.Series, refused: pl.Series
) -> pl.DataFrame:
    """[rule, id]; about homerooms only for schools that some rule on homerooms reaches."""
    roster = view.roster
    reached = _mark(roster.orgs.height)
    for rule, _ in included:
        if rule.share is Template.HOMEROOM_SECTIONS:
            terms = (term for term in rule.match if term.key is MatchKey.SCHOOL)
            ids = roster.orgs.select("id")
            reached |= reduce(and_, (_fits(term, _hits(ids, term), rule.effect) for term in terms), ~_mark(ids.height))
    parts = [
        _found(SharingFinding.PERSON_WITHOUT_SCHOOL, roster.users["id"][nowhere]),
        _found(SharingFinding.STUDENT_WITH_STAFF_ROLE, roster.users["id"][refused]),
    ]
    if reached.any():
        about = view.homerooms.findings
        parts.append(about.filter(reached[about["org"]]))
    return pl.concat(parts).select("rule", "id").unique().sort("rule", "id")


def _per_school(roster: Roster, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """[id, sections, students, teachers, staff] of every shared school."""
    schools, people = tables["schools"], tables["people"]
    sections = tables["classes"].group_by("school").agg(sections=pl.len())
    persons = people.group_by("school").agg(pl.col(part).sum().alias(count) for part, count in _PARTS.items())
    return (
        roster.orgs["id"][schools["org"]]
        .to_frame("id")
        .with_row_index("school")
        .join(sections, on="school", how="left")
        .join(persons, on="school", how="left")
        .sort("school")
        .select("id", pl.col("sections", *_PARTS.values()).fill_null(0))
    )


def _digest(roster: Roster, tables: Mapping[str, pl.DataFrame]) -> str:
    """Over all tables with source ids for rows of the roster: equal selections have equal digests."""
    of = {"org": roster.orgs, "user": roster.users, "class": roster.classes}
    of |= {"course": roster.courses, "session": roster.sessions}
    named = {}
    for name, table in tables.items():
        rows = [] if name == "memberships" else of.keys() & set(table.columns)  # its `class` is a row of `classes` here
        named[name] = (
            table.with_columns(of[column]["id"][table[column]].alias(column) for column in rows) if rows else table
        )
    return digest(named.items())


# ---------------------------------------------------------------------------------------------------------------------
# Row numbers


def _mark(n: int, rows: pl.Series | None = None) -> pl.Series:
    """`n` booleans, true at `rows`."""
    marks = repeated(value=False, n=n, dtype=pl.Boolean)
    return marks if rows is None else marks.scatter(rows, values=True)


def _number_of(rows: pl.Series, n: int) -> pl.Series:
    """Per row below `n`: its (last) position in `rows`, or null."""
    positions = pl.int_range(rows.len(), dtype=_ROW, eager=True)
    return repeated(None, n, dtype=_ROW).scatter(rows, positions)


def _links(lists: pl.Series) -> pl.DataFrame:
    """[row, value]: one row per element of each list."""
    return lists.alias("value").to_frame().with_row_index("row").explode("value", keep_nulls=False)


def _upwards(parent: pl.Series) -> pl.DataFrame:
    """[row, at]: every row of a tree with itself and all above it, nearest first."""
    row = at = pl.int_range(parent.len(), dtype=_ROW, eager=True)
    rows, above = [row], [at]
    while (at := parent[at]).null_count() < at.len() and len(rows) < _MAX_DEPTH:
        there = at.is_not_null()
        row, at = row.filter(there), at.filter(there)
        rows.append(row)
        above.append(at)
    return pl.DataFrame({"row": pl.concat(rows), "at": pl.concat(above)})


def _distinct_pairs(user: pl.Series, org: pl.Series, n: int) -> pl.DataFrame:
    """[user, org], distinct. Nearly everybody is in one school, so only the others have to be compared."""
    if user.is_empty():
        return pl.DataFrame({"user": user, "org": org})
    home = repeated(None, n, dtype=_ROW).scatter(user, org)
    somewhere = home.is_not_null()
    everybody = pl.int_range(n, dtype=_ROW, eager=True)
    pairs = pl.DataFrame({"user": everybody.filter(somewhere), "org": home.filter(somewhere)})
    elsewhere = home[user] != org
    if not elsewhere.any():
        return pairs
    return pl.concat([pairs, pl.DataFrame({"user": user.filter(elsewhere), "org": org.filter(elsewhere)}).unique()])


class _Rows:
    """Finds people ([org, user], distinct) by school and user. `n` users exist.

    Nearly everybody is in one school: only who is in several has to be searched for by school.
    """

    def __init__(self, people: pl.DataFrame, n: int) -> None:
        user, row = people["user"], pl.int_range(people.height, dtype=_ROW, eager=True)
        self._org, self._last = people["org"], _number_of(user, n)
        again = row != self._last[user]
        self._others = pl.DataFrame(
            {"org": self._org.filter(again), "user": user.filter(again), "person": row.filter(again)}
        )

    def of(self, wanted: pl.DataFrame) -> pl.Series:
        """Per row of `wanted` ([org, user]) the row of the same two, or null."""
        rows = self._last[wanted["user"]]
        differs = self._org[rows] != wanted["org"]
        if not differs.any():
            return rows
        elsewhere = differs.arg_true()
        found = wanted[elsewhere].join(self._others, on=["org", "user"], how="left", maintain_order="left")
        return rows.scatter(elsewhere, found["person"])


def _distinct_sorted(rows: pl.Series) -> pl.Series:
    found = rows.unique().sort()  # nulls first
    return found[found.null_count() :]


def _true(marks: pl.Series) -> int:
    return int(marks.sum())


def _found(rule: SharingFinding, ids: pl.Series, orgs: pl.Series | None = None) -> pl.DataFrame:
    rules = repeated(rule, ids.len(), dtype=_FINDING)
    return pl.DataFrame({"rule": rules, "id": ids, "org": repeated(None, ids.len(), _ROW) if orgs is None else orgs})

"""SharingRule: which part of the roster a LearningApp may see.

A child of LearningApp (``learningapp.py``); ``homeroom.roster`` evaluates it. Terms in a rule are ANDed, rules of one
app are ORed, an Exclude wins over everything.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from homeroom.api.common import Column, Counts, Model, Reference, Resource, Rule, Status, Text


class Effect(StrEnum):
    """Whether the rule shares or withholds; an `Exclude` wins over every `Include`."""

    INCLUDE = "Include"
    EXCLUDE = "Exclude"


class Template(StrEnum):
    """Ready-made selections.

    `HomeroomSections`: the homerooms, as the District defines them; where a school has none, one roster-bearing section
    per teacher.
    """

    HOMEROOM_SECTIONS = "HomeroomSections"


class Share(StrEnum):
    """What kind of record the rule selects; sections bring their teachers and students with them."""

    SECTIONS = "Sections"
    STUDENTS = "Students"
    TEACHERS = "Teachers"
    STAFF = "Staff"


class MatchKey(StrEnum):
    """The attribute that a term looks at.

    `school`, `teacher`: source ids. `course`: source id or course code. `term`: source id or title.
    """

    SUBJECT = "subject"
    GRADE = "grade"
    SCHOOL = "school"
    COURSE = "course"
    SECTION_NAME = "sectionName"
    TERM = "term"
    CLASS_TYPE = "classType"
    TEACHER = "teacher"
    ROLE = "role"


class Operator(StrEnum):
    """How a term compares; all comparisons of text regard case."""

    IN = "In"
    NOT_IN = "NotIn"
    CONTAINS = "Contains"
    STARTS_WITH = "StartsWith"
    EXISTS = "Exists"


class MatchTerm(Model):
    """One condition on a record."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.operator == 'Exists' ? !has(self.values) || size(self.values) == 0 "
            ": has(self.values) && size(self.values) > 0",
            "operator 'Exists' takes no `values`, the others need at least one",
        ),
    )

    key: MatchKey
    """The attribute to look at."""
    operator: Operator
    """How to compare it."""
    values: Annotated[tuple[Text, ...], Field(max_length=256)] = ()
    """What to compare it with; one of them has to fit (for `NotIn`: none may)."""


class SharingRuleSpec(Model):
    """Which part of the roster a LearningApp may see."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "[has(self.template), has(self.share)].filter(x, x).size() == 1",
            "must have exactly one of `template` and `share`",
        ),
        Rule(
            "self.effect == 'Exclude' || self.shareEverything || (has(self.match) && size(self.match) > 0)",
            "an Include without `match` shares the whole district: say so with `shareEverything: true`, or add `match`",
        ),
        Rule(
            "!self.shareEverything || (self.effect == 'Include' && (!has(self.match) || size(self.match) == 0))",
            "`shareEverything: true` must not stand beside `match` or `effect: Exclude`",
        ),
        Rule(
            "!has(self.match) || self.match.all(m, (m.key == 'role') ? has(self.share) && self.share == 'Staff' "
            ": !has(self.share) || self.share != 'Staff' || m.key == 'school')",
            "key 'role' is for `share: Staff` only, and `share: Staff` matches on 'role' and 'school' only",
        ),
        Rule("self.appRef == oldSelf.appRef", "`appRef` must not change; make a new SharingRule instead"),
    )

    app_ref: Reference
    """The LearningApp that this rule belongs to; cannot change."""
    effect: Effect = Effect.INCLUDE
    """`Include` shares, `Exclude` withholds and wins over every Include."""
    template: Template | None = None
    """A ready-made selection; exactly one of `template` and `share`."""
    share: Share | None = None
    """The kind of record to select; exactly one of `template` and `share`."""
    match: Annotated[tuple[MatchTerm, ...], Field(max_length=16)] = ()
    """Conditions, all of which have to hold."""
    share_everything: bool = False
    """Has to be true for an Include without `match`, so that nobody shares a whole district by forgetting a line."""


class SharingRuleStatus(Status):
    """What the rule selects."""

    matched: Counts | None = None
    """What this rule selects by itself, before any Exclude of another."""


class SharingRule(Resource):
    """Which part of the roster a LearningApp may see. Without any rule nothing is shared."""

    plural: ClassVar[str] = "sharingrules"
    short_names: ClassVar[tuple[str, ...]] = ("srule",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("App", ".spec.appRef.name", "string", "The app that this rule belongs to"),
        Column("Effect", ".spec.effect", "string", "Include or Exclude"),
        Column("Students", ".status.matched.students", "integer", "Students that the rule selects"),
        Column("Teachers", ".status.matched.teachers", "integer", "Teachers that the rule selects", priority=1),
        Column("Sections", ".status.matched.sections", "integer", "Classes that the rule selects", priority=1),
        Column("Staff", ".status.matched.staff", "integer", "Staff that the rule selects", priority=1),
    )

    kind: Literal["SharingRule"] = "SharingRule"
    spec: SharingRuleSpec
    status: SharingRuleStatus = SharingRuleStatus()

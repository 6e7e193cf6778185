"""Why somebody is shared, and whom one rule shares: the answers behind `homeroom why` and `homeroom shared`.

Both ask the same `select` as `homeroom.roster.shared.share`, so they cannot tell another story than the runs do. Pure;
who may see the answers is decided by whoever may read the records.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, NamedTuple

import polars as pl

from homeroom.api.district import HomeroomDefinition
from homeroom.api.sharingrule import Effect, Share, Template
from homeroom.plan import Role
from homeroom.roster.desired import FULL_NAME
from homeroom.roster.shared import (
    DISTRICT_ADMINISTRATORS,
    ON_SECTIONS,
    SCHOOL_ADMINISTRATORS,
    Rule,
    Selection,
    Shared,
    View,
    select,
    share,
)
from homeroom.roster.tables import ClassRole, Roster

DISABLED: Final = "enabledUser=false"
"""Withholds whom the records bar; no rule can have this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One way in which one rule gives one person access in one school."""

    rule: str
    share: Share | Template
    school: str
    """Source id."""
    section: str | None
    """Source id of the section by which it happens; None: by a role in the school, or by any section there."""
    record: str
    """The role of the record behind it: of an enrolment in `section`, or held in the school."""
    gives: Role | None
    """`Learner` or `Coach` of `section`, `Administrator` of `school`; None: an account there and no more."""
    withheld_by: tuple[str, ...]
    """Names of the rules that exclude the person or the section, or `DISABLED`: with any of them, nothing is given."""


def why(
    roster: Roster, rules: Iterable[Rule], *, person: str, homeroom: HomeroomDefinition, today: date
) -> list[Reason]:
    """Every reason for which the person with this source id has access, or would have, were it not withheld; sorted.

    Empty when no rule reaches the person, or the records have nobody with this id.
    """
    row = roster.users["id"].index_of(person)
    if row is None:
        return []
    rules = sorted(rules, key=lambda rule: rule.name)
    includes = [rule for rule in rules if rule.effect is Effect.INCLUDE]
    view = View(roster=roster, homeroom=homeroom, today=today)
    excludes = {rule.name: select(view, rule) for rule in rules if rule.effect is Effect.EXCLUDE}
    of_person = [name for name, found in excludes.items() if found.people["user"].index_of(row) is not None]
    of_person += [DISABLED] if view.disabled[row] else []
    rights: list[int] = []
    if any(rule.share is Share.STAFF for rule in includes):
        everybody = replace(roster, users=roster.users.with_columns(enabled=pl.lit(value=True)))
        rights = _administered(share(everybody, includes, homeroom=homeroom, today=today), row)
    reasons = []
    for rule in includes:
        found = select(view, rule)
        ways = (
            _by_role(view, found, row, rights)
            if rule.share not in ON_SECTIONS and found.through is None
            else _by_section(view, rule, found, row)
        )
        for way in ways:
            of_section = []
            if way.section is not None and rule.share in ON_SECTIONS:
                of_section = [name for name, other in excludes.items() if other.sections[way.section]]
            reasons.append(
                Reason(
                    rule=rule.name,
                    share=rule.share,
                    school=roster.orgs["id"][way.org],
                    section=None if way.section is None else roster.classes["id"][way.section],
                    record=way.record,
                    gives=way.gives,
                    withheld_by=tuple(sorted({*of_person, *of_section})),
                )
            )
    return sorted(reasons, key=lambda reason: (reason.rule, reason.school, reason.section or "", reason.record))


def who(roster: Roster, rule: Rule, *, homeroom: HomeroomDefinition, today: date) -> pl.DataFrame:
    """Whom `rule` shares by itself, before any Exclude: [id, name, role, school], sorted by school, role and id.

    `role`: student or teacher, for staff the role held; `school`: source id of the school, for staff of the district
    that of their organisation.
    """
    view = View(roster=roster, homeroom=homeroom, today=today)
    found = select(view, rule)
    if rule.share in ON_SECTIONS:
        rows = view.enrolled.filter(found.sections[view.enrolled["class"]])
        parts = [
            view.places(rows.filter(pl.col("coach") == coach)).with_columns(role=pl.lit(_record(coach=coach)))
            for coach in (False, True)
        ]
        people = pl.concat(parts)
    else:
        people = found.people.select("user", "org", pl.col("role").cast(pl.String))
    users = roster.users.select("id", "given", "family")[people["user"]]
    return (
        users.select("id", FULL_NAME.alias("name"))
        .with_columns(people["role"], roster.orgs["id"][people["org"]].alias("school"))
        .unique()
        .sort("school", "role", "id")
    )


class _Way(NamedTuple):
    """A `Reason` in row numbers."""

    org: int
    section: int | None
    record: str
    gives: Role | None


def _by_section(view: View, rule: Rule, found: Selection, row: int) -> Iterator[_Way]:
    """The sections that share the person, or by which a rule on people picks the person."""
    mine = view.enrolled.filter(pl.col("user") == row)
    if found.through is None:
        mine = mine.filter(found.sections[mine["class"]]).group_by("class").agg(pl.col("coach").any())
        for section, coach in mine.iter_rows():
            org = view.roster.classes["school"][section]
            yield _Way(org, section, _record(coach=coach), Role.COACH if coach else Role.LEARNER)
        return
    coach = rule.share is Share.TEACHERS
    places = found.people.filter(pl.col("user") == row)["org"].to_list()
    for section in mine.filter(found.through[mine["class"]] & (mine["coach"] == coach))["class"].unique():
        org = view.roster.classes["school"][section]
        if org in places:
            yield _Way(org, section, _record(coach=coach), None)


def _by_role(view: View, found: Selection, row: int, rights: list[int]) -> Iterator[_Way]:
    """The schools in which the rule picks the person; `rights` are those whose administrator the person may be."""
    mine = found.people.filter(pl.col("user") == row).unique()
    for org, role, placed in mine.select("org", "role", "placed").iter_rows():
        schools = []
        if role in SCHOOL_ADMINISTRATORS:
            schools = [org] if org in rights else []
        elif role in DISTRICT_ADMINISTRATORS and org is not None:  # null: the records do not say of what
            below = view.above.filter(pl.col("at") == org)["row"].to_list()
            schools = [school for school in rights if school in below]
        yield from (_Way(school, None, role, Role.ADMINISTRATOR) for school in schools)
        if placed and org not in schools:
            yield _Way(org, None, role, None)


def _record(*, coach: bool) -> str:
    return str(ClassRole.TEACHER if coach else ClassRole.STUDENT)


def _administered(shared: Shared, row: int) -> list[int]:
    """Rows of the organisations whose administrator this person is."""
    people = shared.people[shared.rights["person"]].filter(pl.col("user") == row)
    return shared.schools["org"][people["school"]].to_list()

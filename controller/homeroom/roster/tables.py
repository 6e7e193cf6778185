"""What a roster is: eight tables whose references are row numbers, not text.

Sources make it (`homeroom.sources`), `homeroom.roster.shared` selects from it. A reference column (`school`, `user`)
holds the position (0-based, UInt32) of the row in the table it refers to; the table's `id` column has the source id.
A null reference means that the records name nothing there. Ten million rows of this take some 300 MB.

Vocabulary: OneRoster 1.2 (class = section). Dates: begin inclusive, end **exclusive**; null = open.
Grades: OneRoster codes (`KG`, `01` ... `12`, `Other`); an empty list in the records has become `["Other"]` (S3); null
means *unknown* (the value could not be read and no earlier one is known): it matches every Exclude and no Include
(invariant 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cache
from typing import Final

import polars as pl


class SchoolRole(StrEnum):
    """Roles that a person holds in an organisation (OneRoster 1.2 roles.role); `Other` stands for every extension."""

    AIDE = "aide"
    COUNSELOR = "counselor"
    DISTRICT_ADMINISTRATOR = "districtAdministrator"
    GUARDIAN = "guardian"
    PARENT = "parent"
    PRINCIPAL = "principal"
    PROCTOR = "proctor"
    RELATIVE = "relative"
    SITE_ADMINISTRATOR = "siteAdministrator"
    STUDENT = "student"
    SYSTEM_ADMINISTRATOR = "systemAdministrator"
    TEACHER = "teacher"
    OTHER = "other"  # ext: values; 1.1's `administrator` is read as siteAdministrator


FAMILY: Final = (SchoolRole.GUARDIAN, SchoolRole.PARENT, SchoolRole.RELATIVE)
"""Roles of those who are about a student, and get no access of their own."""


class ClassRole(StrEnum):
    """Roles that a person holds in a class (OneRoster 1.2 enrollments.role); `Other` stands for every extension."""

    STUDENT = "student"
    TEACHER = "teacher"
    ADMINISTRATOR = "administrator"
    PROCTOR = "proctor"
    OTHER = "other"


_Columns = dict[str, pl.DataType | type[pl.DataType]]


def schemas(tables: dict[str, _Columns]) -> dict[str, pl.Schema]:
    """Column types of several tables."""
    return {name: pl.Schema(columns) for name, columns in tables.items()}


_TEXTS: Final = pl.List(pl.String)
_ROW: Final = pl.UInt32

SCHEMAS: Final[dict[str, pl.Schema]] = schemas(
    {
        # type: school, district, department, local, state, national or an extension
        # identifier: another number of the organisation, as that of a national register of schools
        "orgs": {"id": pl.String, "name": pl.String, "type": pl.String, "parent": _ROW, "identifier": pl.String},
        # type: gradingPeriod, semester, schoolYear, term or an extension; school_year: the year in which it ends
        "sessions": {
            "id": pl.String,
            "title": pl.String,
            "type": pl.String,
            "begin": pl.Date,
            "end": pl.Date,
            "parent": _ROW,
            "school_year": pl.Int16,
        },
        "courses": {
            "id": pl.String,
            "title": pl.String,
            "code": pl.String,
            "grades": _TEXTS,
            "subjects": _TEXTS,
            "org": _ROW,
        },
        # type: homeroom, scheduled or an extension; terms: rows of `sessions`
        "classes": {
            "id": pl.String,
            "title": pl.String,
            "code": pl.String,
            "type": pl.String,
            "grades": _TEXTS,
            "subjects": _TEXTS,
            "course": _ROW,
            "school": _ROW,
            "terms": pl.List(_ROW),
        },
        # given/family: the preferred name where the records have one; no phone, no birth date, no password is kept here
        # user_ids: what other systems call the person, each `type:id`, sorted (the first colon ends the type)
        "users": {
            "id": pl.String,
            "enabled": pl.Boolean,
            "username": pl.String,
            "given": pl.String,
            "family": pl.String,
            "identifier": pl.String,
            "email": pl.String,
            "grades": _TEXTS,
            "user_ids": _TEXTS,
        },
        # who names whom as agent, mostly a student their guardians, or a guardian the students; roles tell which
        "agents": {"user": _ROW, "agent": _ROW},
        "roles": {
            "user": _ROW,
            "role": pl.Enum(SchoolRole),
            "primary": pl.Boolean,
            "org": _ROW,
            "begin": pl.Date,
            "end": pl.Date,
        },
        "enrollments": {
            "class": _ROW,
            "user": _ROW,
            "role": pl.Enum(ClassRole),
            "primary": pl.Boolean,
            "begin": pl.Date,
            "end": pl.Date,
        },
    }
)
"""Columns of each table of a `Roster`. Tables with an `id` are sorted by it and have no id twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """One complete reading of a district's records. Columns: `SCHEMAS`."""

    orgs: pl.DataFrame
    sessions: pl.DataFrame
    courses: pl.DataFrame
    classes: pl.DataFrame
    users: pl.DataFrame
    agents: pl.DataFrame
    roles: pl.DataFrame
    enrollments: pl.DataFrame

    def tables(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Name and frame of each table, in the order of `SCHEMAS`."""
        for field in fields(self):
            yield field.name, getattr(self, field.name)

    def counts(self) -> dict[str, int]:
        """How many of each: schools, terms, courses, classes, students, teachers, staff, enrollments.

        People are counted once per kind. Staff: with a role that is neither student, teacher nor family.
        """
        role, nobody = self.roles["role"], repeated(value=False, n=self.users.height, dtype=pl.Boolean)

        def people(rows: pl.Series) -> int:
            # One mark per person takes far less time than a group by role.
            users = self.roles["user"].filter(rows)
            users = users.drop_nulls() if users.has_nulls() else users
            return int(nobody.clone().scatter(users, values=True).sum())

        others = role.is_in([SchoolRole.STUDENT, SchoolRole.TEACHER, *FAMILY])
        return {
            "schools": int((self.orgs["type"] == "school").sum()),
            "terms": self.sessions.height,
            "courses": self.courses.height,
            "classes": self.classes.height,
            "students": people(role == SchoolRole.STUDENT),
            "teachers": people(role == SchoolRole.TEACHER),
            "staff": people(~others.fill_null(value=False)),
            "enrollments": self.enrollments.height,
        }

    @classmethod
    @cache
    def empty(cls) -> Roster:
        """No records at all: what a district starts from."""
        return cls(**{name: pl.DataFrame(schema=schema) for name, schema in SCHEMAS.items()})


def repeated(value: object, n: int, dtype: pl.DataType | type[pl.DataType]) -> pl.Series:
    """`n` times one value: what `pl.repeat` gives, which takes ten times as long for a few."""
    return pl.Series([value], dtype=dtype).new_from_index(0, n)

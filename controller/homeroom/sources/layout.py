"""What OneRoster 1.1, 1.2 and 1.2.1 say about files, columns and words, as data.

From the 1EdTech CSV bindings. Columns are told by name, never by position: both layouts of users.csv occur under the
same version. Grades are no closed list in OneRoster; the words here are those of the common vocabulary and of Clever.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STATE: Final = ("status", "dateLastModified")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One file: `required` columns, and `optional` ones that are read; `ignored` ones are known and not read.

    `declared`: extension columns that a District wants read, and requires with that.
    """

    file: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()

    @property
    def known(self) -> frozenset[str]:
        """All columns that OneRoster, or the District, knows for this file."""
        return frozenset((*STATE, *self.required, *self.optional, *self.ignored, *self.declared))

    @property
    def read(self) -> tuple[str, ...]:
        """Columns that are read where the header has them."""
        return (*STATE, *self.required, *self.optional, *self.declared)


_USER: Final = _words("sourcedId enabledUser username givenName familyName")
_USER_OPTIONAL: Final = _words("identifier email grades password userIds agentSourcedIds")
_USER_IGNORED: Final = _words("middleName sms phone")

SHEETS: Final[dict[str, Sheet]] = {
    "orgs": Sheet(
        file="orgs.csv",
        required=_words("sourcedId name type"),
        optional=_words("parentSourcedId identifier"),
    ),
    "sessions": Sheet(
        file="academicSessions.csv",
        required=_words("sourcedId title type startDate endDate schoolYear"),
        optional=_words("parentSourcedId"),
    ),
    "courses": Sheet(
        file="courses.csv",
        required=_words("sourcedId title orgSourcedId"),
        optional=_words("courseCode grades subjects"),
        ignored=_words("schoolYearSourcedId subjectCodes"),
    ),
    "classes": Sheet(
        file="classes.csv",
        required=_words("sourcedId title courseSourcedId classType schoolSourcedId termSourcedIds"),
        optional=_words("classCode grades subjects"),
        ignored=_words("location subjectCodes periods"),
    ),
    "users": Sheet(
        file="users.csv",
        required=_USER,
        optional=(*_USER_OPTIONAL, "preferredGivenName", "preferredFamilyName"),
        ignored=(
            *_USER_IGNORED,
            *_words("userMasterIdentifier resourceSourcedIds preferredMiddleName primaryOrgSourcedId pronouns"),
            *_words("orgSourcedIds role"),  # left over from 1.1 by some
        ),
    ),
    "roles": Sheet(
        file="roles.csv",
        required=_words("sourcedId userSourcedId roleType role orgSourcedId"),
        optional=_words("beginDate endDate"),
        ignored=_words("userProfileSourcedId"),
    ),
    "enrollments": Sheet(
        file="enrollments.csv",
        required=_words("sourcedId classSourcedId schoolSourcedId userSourcedId role"),
        optional=_words("primary beginDate endDate"),
    ),
}
"""Version 1.2, by the name of the table in the roster, referred-to tables first."""

USERS_1_1: Final = Sheet(
    file="users.csv",
    required=(*_USER, "orgSourcedIds", "role"),
    optional=_USER_OPTIONAL,
    ignored=(*_USER_IGNORED, "userMasterIdentifier", "preferredGivenName", "preferredFamilyName"),
)
"""Version 1.1 has one role per record here, and no roles.csv."""

SILENT: Final = frozenset({*STATE, "password", "subjectCodes"})
"""Columns whose absence costs nothing."""

FILES: Final = _words(
    """academicSessions categories classes classResources courses courseResources demographics enrollments lineItems
    lineItemLearningObjectiveIds lineItemScoreScales orgs resources results resultLearningObjectiveIds resultScoreScales
    roles scoreScales userProfiles userResources users"""
)
"""Every file of OneRoster besides the manifest; most are only checked for being there."""

SESSION_TYPES: Final = _words("gradingPeriod semester schoolYear term")
ORG_TYPES: Final = _words("department school district local state national")
CLASS_TYPES: Final = _words("homeroom scheduled")
EXTENSION: Final = "ext:"

TRUE_AND_FALSE: Final = _words("true false 1 0 yes no y n t f")
"""Words for true (even positions) and false (odd ones). Only the first two are OneRoster's."""
PRIMARY_OR_NOT: Final = _words("primary secondary")

_CODES: Final = (*_words("IT PR PK TK KG"), *(f"{grade:02}" for grade in range(1, 14)), *_words("PS UG Other"))
GRADES: Final[dict[str, str]] = {
    **{code.lower(): code for code in _CODES},
    **{str(int(code)): code for code in _CODES if code.isdigit()},
    "k": "KG",
    "infanttoddler": "IT",
    "preschool": "PR",
    "prekindergarten": "PK",
    "transitionalkindergarten": "TK",
    "kindergarten": "KG",
    "postgraduate": "PS",
    "ungraded": "UG",
}
"""Grade codes by the lower-case words that mean them for certain."""
NO_GRADE: Final = "Other"

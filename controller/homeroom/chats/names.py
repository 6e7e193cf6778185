"""Names of chats and spaces: templates with variables, and what they are where nobody says anything; what people read.

Columns in, columns out: one expression renders the names of all chats of a rule. `identity.plain` cleans them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

import polars as pl

from homeroom.api.chatpolicy import DISTINCT, VARIABLES, ChatType
from homeroom.api.schoollicense import Language
from homeroom.chats.identity import plain
from homeroom.errors import InvalidSpecError

LONGEST: Final = 200  # characters; the shortest limit of a known platform (MAX)

DEFAULTS: Final[Mapping[Language, Mapping[ChatType, str]]] = {
    language: dict(zip(ChatType, (*names, "{class} {course}"), strict=True))
    for language, names in {
        Language.ENGLISH: ("Staff room - {school}", "{class} students", "{class} parents"),
        Language.SWEDISH: ("Personalrum - {school}", "{class} elever", "{class} vårdnadshavare"),
        Language.DUTCH: ("Lerarenkamer - {school}", "{class} leerlingen", "{class} ouders"),
        Language.RUSSIAN: ("Учительская - {school}", "{class} ученики", "{class} родители"),
    }.items()
}

NOTICES: Final[Mapping[Language, str]] = {
    Language.ENGLISH: "Who is in this chat, and what it is called, comes from the school's records.",
    Language.SWEDISH: "Vilka som är med i den här chatten, och vad den heter, kommer från skolans register.",
    Language.DUTCH: "Wie er in deze chat zitten, en hoe hij heet, volgt uit de administratie van de school.",
    Language.RUSSIAN: "Участники и название этого чата определяются данными школы.",
}
"""What people are told: the topic of a new chat, theirs to change if they may, and why somebody was put out."""

_VARIABLE: Final = re.compile(r"\{([a-z]+)\}")


def check(template: str, *, of: ChatType) -> None:
    """Raise InvalidSpecError where a template names what there is not, or is not one."""
    names = set(_VARIABLE.findall(template))
    if strange := sorted(names - VARIABLES[of]) or sorted(set("{}") & set(_VARIABLE.sub("", template))):
        known = ", ".join(f"{{{name}}}" for name in sorted(VARIABLES[of]))
        raise InvalidSpecError(f"`name` of the chat type {of}: '{strange[0]}' means nothing here; known are {known}")
    if not names & DISTINCT:
        raise InvalidSpecError(
            f"`name` of the chat type {of}: all chats would have one name; add {{school}} or {{class}}"
        )


def rendered(template: str, *, otherwise: pl.Expr) -> pl.Expr:
    """The names by a template, from columns called as its variables; unknown ones are left out.

    Where nothing is left that shows, the name is `otherwise`.
    """
    name = plain(pl.concat_str(list(_parts(template)))).str.head(LONGEST)
    return pl.when(name.str.contains(r"[\p{L}\p{N}]")).then(name).otherwise(otherwise)


def _parts(template: str) -> Iterator[pl.Expr]:
    for at, part in enumerate(_VARIABLE.split(template)):
        yield pl.col(part).fill_null("") if at % 2 else pl.lit(part)


def school_year(year: pl.Expr) -> pl.Expr:
    """A school year, known by the year in which it ends, as people write it: 2026/27."""
    return pl.concat_str(year - 1, pl.lit("/"), (year % 100).cast(pl.String).str.zfill(2))

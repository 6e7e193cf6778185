"""What Skolverket's school-unit register answers, in its versions 2 and 1, as tables and values of ours: pure.

The two differ in shape and language and in nothing else, so an answer tells by itself of which version it is. Only what
is named here is taken: an answer has the headmaster's name and other personal data, too. What a row says that cannot be
used sets that row aside, never the answer. Source of the shapes: the register's own description,
https://api.skolverket.se/skolenhetsregistret/swagger-ui/index.html. Neighbour: `skolverket`, which asks.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, NamedTuple

import polars as pl

from homeroom.api import UnitStatus
from homeroom.errors import TransientError
from homeroom.seats.units import UNIT_SCHEMA, SchoolUnit

UNIT_CODE: Final = re.compile(r"[0-9]{8}")
"""A unit's code, to be matched in full: text, as it may begin with zeros."""
_MUNICIPALITY_CODE: Final = re.compile(r"[0-9]{4}")
_STATUSES: Final = {
    "aktiv": UnitStatus.ACTIVE,
    "vilande": UnitStatus.DORMANT,
    "planerad": UnitStatus.PLANNED,
    "upphort": UnitStatus.CLOSED,
}
"""By the register's word without case and dots: version 2 has AKTIV and UPPHORT, version 1 Aktiv and Upphört."""
_LONGEST: Final = 255  # characters of a name that are kept


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Listed:
    """What one answer lists. `units`: columns `UNIT_SCHEMA`, by code; version 2 does not tell the municipality.

    `extracted`: the day of the register that it shows, if it says so. `unclear`: codes of rows that cannot be used, as
    their status is none of the four; a row without a code is nothing.
    """

    units: pl.DataFrame
    extracted: date | None
    unclear: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitDetail:
    """What the register says of one unit. `organizer`: who runs it, with the organisation number of ten digits.

    `school_types`: the register's words (`GR`, `Grundskola`) -> grades, as it writes them; none where it names none.
    """

    unit: SchoolUnit
    organizer: str | None
    organization_number: str | None
    school_types: Mapping[str, Sequence[str]]


class _Row(NamedTuple):
    """One row of a list, whatever the version."""

    code: object
    name: object
    status: object
    municipality: object


def read_list(content: bytes) -> Listed:
    """The answer to `GET /v2/school-units` or `GET /v1/skolenhet`. Raises TransientError (SourceInvalid)."""
    match _document(content):
        case {"data": {"attributes": [*given]}, **rest}:
            keys = _Row("schoolUnitCode", "name", "status", "municipalityCode")
            extracted = _at(rest, "meta", "extractDate")
        case {"Skolenheter": [*given], **rest}:
            keys = _Row("Skolenhetskod", "Skolenhetsnamn", "Status", "Kommunkod")
            extracted = rest.get("Uttagsdatum")
        case _:
            raise _invalid("is no list of school units")
    rows = [_Row(*(row.get(key) for key in keys)) for row in given if isinstance(row, dict)]
    usable: dict[str, SchoolUnit] = {}
    unclear = set()
    for row in rows:
        if (code := _matching(UNIT_CODE, row.code)) is None:
            continue
        if (unit := _unit(row, code)) is None:
            unclear.add(code)
        else:
            usable.setdefault(code, unit)
    if given and not usable:
        raise _invalid("has no row with a code of eight digits and a status that is known")
    columns = [[getattr(unit, name) for unit in usable.values()] for name in UNIT_SCHEMA]
    units = pl.DataFrame(dict(zip(UNIT_SCHEMA, columns, strict=True)), UNIT_SCHEMA, strict=False)
    return Listed(
        units=units.sort("code"),
        extracted=_day(extracted),
        unclear=frozenset(unclear - usable.keys()),
    )


def read_unit(content: bytes) -> UnitDetail:
    """The answer to `GET /v2/school-units/CODE` or `GET /v1/skolenhet/CODE`. Raises TransientError (SourceInvalid)."""
    match _document(content):
        case {"data": {"schoolUnitCode": code, "attributes": {**about}}, **rest}:
            name = about.get("displayName") or about.get("schoolName")
            row = _Row(code, name, about.get("status"), about.get("municipalityCode"))
            # One object; the type of it is "organizer" or "organization", depending on whom one asks.
            organizer, number = (
                _at(rest, "included", "attributes", "displayName"),
                _at(rest, "included", "organizationNumber"),
            )
            types = _types(about)
        case {"SkolenhetInfo": {**about}}:
            row = _Row(
                about.get("Skolenhetskod"), about.get("Namn"), about.get("Status"), _at(about, "Kommun", "Kommunkod")
            )
            organizer, number = _at(about, "Huvudman", "Namn"), _at(about, "Huvudman", "PeOrgNr")
            types = _types_of_version_1(about.get("Skolformer"))
        case _:
            raise _invalid("is no school unit")
    found = _matching(UNIT_CODE, row.code)
    unit = _unit(row, found) if found is not None else None
    if unit is None:
        raise _invalid("has no code of eight digits, or a status that is none of the four")
    return UnitDetail(
        unit=unit,
        organizer=_words(organizer) or None,
        organization_number=_organization_number(number),
        school_types=dict(types),
    )


def removed(code: str) -> UnitDetail:
    """A unit of which the register says nothing but that it is gone."""
    unit = SchoolUnit(code=code, name=code, status=UnitStatus.CLOSED, municipality=None)
    return UnitDetail(unit=unit, organizer=None, organization_number=None, school_types={})


def _document(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:  # JSON's and Unicode's own are ValueErrors
        raise _invalid("is no JSON") from error


def _invalid(words: str) -> TransientError:
    return TransientError(
        f"the answer {words}; check the address, or wait until it is repaired", reason="SourceInvalid"
    )


def _unit(row: _Row, code: str) -> SchoolUnit | None:
    """None when the status is none of the four: then nobody knows whether it is open."""
    status = _STATUSES.get(_plain(row.status)) if isinstance(row.status, str) else None
    if status is None:
        return None
    municipality = _matching(_MUNICIPALITY_CODE, row.municipality)
    return SchoolUnit(code=code, name=_words(row.name) or code, status=status, municipality=municipality)


def _plain(word: str) -> str:
    decomposed = unicodedata.normalize("NFKD", word.strip().casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def _matching(pattern: re.Pattern[str], value: object) -> str | None:
    """The text, if it is one of this form. A number is none: its zeros are lost."""
    found = pattern.fullmatch(value.strip()) if isinstance(value, str) else None
    return found[0] if found else None


def _words(value: object) -> str:
    """Text on one line, of bounded length: it goes into columns and conditions."""
    if not isinstance(value, str):
        return ""
    printable = "".join(letter if letter.isprintable() else " " for letter in value)
    return " ".join(printable.split())[:_LONGEST]


def _at(document: object, *path: str) -> object:
    """What lies at the end of a path of keys, None where it breaks off."""
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _day(value: object) -> date | None:
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None


def _organization_number(value: object) -> str | None:
    """Ten digits; also met as NNNNNN-NNNN, and with a leading 16."""
    digits = re.sub(r"[^0-9]", "", value) if isinstance(value, str) else ""
    digits = digits[2:] if len(digits) == 12 and digits.startswith("16") else digits
    return digits if len(digits) == 10 else None


def _types(about: object) -> Iterator[tuple[str, Sequence[str]]]:
    """Version 2 has a list of types, and beside it what each is like, under its name in lower case."""
    types = _at(about, "schoolTypes")
    for word in types if isinstance(types, list) else ():
        if isinstance(word, str):
            grades = _at(about, "schoolTypeProperties", word.lower(), "grades")
            yield (
                word,
                [str(grade) for grade in grades if isinstance(grade, str | int)] if isinstance(grades, list) else [],
            )


def _types_of_version_1(types: object) -> Iterator[tuple[str, Sequence[str]]]:
    """Version 1 has an object for each type, and in it one key per grade."""
    for given in types if isinstance(types, list) else ():
        name = _words(_at(given, "Benamning") or _at(given, "type"))
        if isinstance(given, dict) and name:
            yield name, [key[2:] for key, value in given.items() if re.fullmatch(r"Ak[0-9]+", key) and _is_true(value)]


def _is_true(value: object) -> bool:
    return str(value).casefold() in {"true", "1", "ja"}

"""School units: which are there, which are closed, how they are found, and how two wire formats become one table."""

from __future__ import annotations

import polars as pl
import pytest

from homeroom.api import Reason, UnitStatus
from homeroom.seats.units import UNIT_SCHEMA, SchoolUnit, resolve, resolve_all, search

UNITS = pl.DataFrame(
    [
        ("01098360", "Sparvkullens skola", "Active", "1285"),
        ("10983605", "Utterbäckens skola", "Dormant", "1285"),
        ("20983605", "Nya skolan", "Planned", "1290"),
        ("30983605", "Gamla skolan", "Closed", None),
    ],
    UNIT_SCHEMA,
    orient="row",
)


@pytest.mark.parametrize("code", ["01098360", "10983605", "20983605"])
def test_a_unit_that_is_not_closed_is_resolved(code: str) -> None:
    unit = resolve(code, UNITS)
    row = UNITS.row(by_predicate=pl.col("code") == code, named=True)
    assert unit == SchoolUnit(**{**row, "status": UnitStatus(row["status"])})


def test_a_closed_unit_is_refused() -> None:
    assert resolve("30983605", UNITS) is Reason.SCHOOL_UNIT_CLOSED


@pytest.mark.parametrize("code", ["1098360", "1098360 ", "10983606", ""])
def test_a_unit_that_is_not_there_is_refused(code: str) -> None:
    assert resolve(code, UNITS) is Reason.SCHOOL_UNIT_UNKNOWN
    assert resolve(code, UNIT_SCHEMA.to_frame()) is Reason.SCHOOL_UNIT_UNKNOWN


def test_all_licences_of_a_pool_are_resolved_in_their_order() -> None:
    codes = ["30983605", "10983605", "99999999", "01098360", "10983605"]
    assert resolve_all(codes, UNITS) == [resolve(code, UNITS) for code in codes]
    assert resolve_all([], UNITS) == []


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("utterbacken", ["10983605"]),
        ("UTTERBÄCK", ["10983605"]),
        ("utterba\u0308ck", ["10983605"]),
        ("skola", ["30983605", "20983605", "01098360", "10983605"]),
        ("skola  ny", ["20983605"]),
        ("983605", ["30983605", "20983605", "10983605"]),
        ("0109", ["01098360"]),
        ("skola 0109", ["01098360"]),
        ("", ["30983605", "20983605", "01098360", "10983605"]),
        ("sparv.*", []),
        ("skolan ny utter", []),
    ],
)
def test_units_are_found_by_code_and_name(text: str, codes: list[str]) -> None:
    assert search(UNITS, text)["code"].to_list() == codes


@pytest.mark.parametrize(("name", "text"), [("Østre skole", "ostre"), ("Weiße Schule", "weisse"), ("École", "ecole")])
def test_letters_count_without_their_marks(name: str, text: str) -> None:
    units = UNITS.with_columns(name=pl.lit(name))
    assert search(units, text).height == UNITS.height
    assert search(units, name.upper()).height == UNITS.height

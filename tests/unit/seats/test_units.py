"""School units: which are there, which are closed, how they are found, and how two wire formats become one table."""

from __future__ import annotations

import polars as pl
import pytest

from homeroom.api import Reason
from homeroom.seats.units import UNIT_SCHEMA, SchoolUnit, UnitStatus, resolve, resolve_all

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

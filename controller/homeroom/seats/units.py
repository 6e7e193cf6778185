"""School units: what a register says of them, as one table, and what that means for a licence.

A register is Skolverket's, a list in the pool, or the schools of a district; whoever reads one makes a table of
`UNIT_SCHEMA` of it. Nothing here knows where it came from. Neighbour: `arbiter`, to which `resolve` gives the reason of
a licence whose unit is not there or is closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from homeroom.api import Reason, UnitStatus

__all__ = ["UNIT_SCHEMA", "SchoolUnit", "UnitStatus", "resolve", "resolve_all"]

UNIT_SCHEMA: Final = pl.Schema({"code": pl.String, "name": pl.String, "status": pl.String, "municipality": pl.String})
"""Columns of a table of units, one row per `code`.

`code`: as the register writes it, text (leading zeros count). `status`: a `UnitStatus`. `municipality`: its code of
four digits, null where the register does not tell.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolUnit:
    """One row of a table of units."""

    code: str
    name: str
    status: UnitStatus
    municipality: str | None


def resolve(code: str, units: pl.DataFrame) -> SchoolUnit | Reason:
    """The unit with this code (columns `UNIT_SCHEMA`), or why a licence for it gets nothing.

    `SchoolUnitUnknown`: there is none (R8); `SchoolUnitClosed`: it is closed.
    """
    return resolve_all((code,), units)[0]


def resolve_all(codes: Sequence[str], units: pl.DataFrame) -> list[SchoolUnit | Reason]:
    """As `resolve`, for all licences of a pool in one pass over the table; in the order of the codes."""
    found = {row[0]: _resolved(*row) for row in units.filter(pl.col("code").is_in(codes)).iter_rows()}
    return [found.get(code, Reason.SCHOOL_UNIT_UNKNOWN) for code in codes]


def _resolved(code: str, name: str, status: str, municipality: str | None) -> SchoolUnit | Reason:
    if status == UnitStatus.CLOSED:
        return Reason.SCHOOL_UNIT_CLOSED
    return SchoolUnit(code=code, name=name, status=UnitStatus(status), municipality=municipality)

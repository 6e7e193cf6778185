"""School units: what a register says of them, as one table, and what that means for a licence.

A register is Skolverket's, a list in the pool, or the schools of a district; whoever reads one makes a table of
`UNIT_SCHEMA` of it. Nothing here knows where it came from. Neighbour: `arbiter`, to which `resolve` gives the reason of
a licence whose unit is not there or is closed. `homeroom.sources.skolverket` reads Skolverket's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from homeroom.api import Reason, UnitStatus

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnitList:
    """What a register says, as far as it is known. `units`: columns `UNIT_SCHEMA`.

    `as_of`: the day of the register that it shows; None: it is as declared and does not age. `trouble`: why it could
    not be read anew, in words for a person; then it is the last one that could.
    """

    units: pl.DataFrame
    as_of: date | None = None
    trouble: str | None = None

    @property
    def told(self) -> str | None:
        """Words for a condition when it is an old list; they do not change from day to day, though it ages."""
        return None if self.trouble is None else f"{self.trouble}; its list of {self.as_of} is used"


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


def search(units: pl.DataFrame, text: str) -> pl.DataFrame:
    """The units whose code or name has every word of the text, without regard to case and accents; by name, code.

    An empty text finds all.
    """
    words = pl.select(_folded(pl.lit(text))).item().split()
    where = _folded(pl.concat_str("code", pl.lit(" "), "name"))
    found = units.filter(
        pl.all_horizontal(pl.lit(value=True), *(where.str.contains(word, literal=True) for word in words))
    )
    return found.sort(_folded(pl.col("name")), "code")


def _folded(text: pl.Expr) -> pl.Expr:
    """Lower case, and letters without their marks: å, ä and ö count as a, a and o."""
    plain = text.str.normalize("NFKD").str.replace_all(r"\p{M}", "").str.to_lowercase()
    return plain.str.replace_many(["æ", "ø", "ß"], ["ae", "o", "ss"])

"""Tables that spreadsheets open. Neighbours: `homeroom.cli.handout`, `homeroom.web.membership`."""

from __future__ import annotations

from typing import Final

import polars as pl

_FORMULA: Final = r"(^|[;\t\r\n])([=+\-@\t\r])"
"""Where a formula begins: also behind a semicolon or tab, where spreadsheets of half of Europe begin a cell."""


def safe(cells: pl.DataFrame) -> pl.DataFrame:
    """A table in which no cell begins as a formula does: spreadsheets would carry it out."""
    return cells.with_columns(pl.col(pl.String).str.replace_all(_FORMULA, "$1'$2"))

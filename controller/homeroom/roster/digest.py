"""The content of frames as one digest: the same rows in the same order give the same one, whatever made them.

`equal` says the same of two frames, without one.

Neighbours: `homeroom.sources.snapshots` names snapshots by it, `homeroom.roster.shared` tells selections apart by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from io import BytesIO
from typing import Final

import polars as pl

from homeroom.roster.beside import FEW, beside

_ROWS: Final = 200_000  # at a time: the same memory serves again, which takes half the time of one large piece


def digest(tables: Iterable[tuple[str, pl.DataFrame]]) -> str:
    """The sha256 over named frames: Arrow columns in which every value has one representation.

    Dates and enums as numbers, lists as their lengths and all their values, nulls as a value that does not occur.
    Another release of polars may write another frame around the columns, and then gives other digests.
    """
    named = [*tables]
    few = sum(frame.height for _, frame in named) < FEW
    with beside(None, few=few) as pool:
        lines = pool.map(_lines, [named] if few else [[table] for table in named])
        return sha256("".join(lines).encode()).hexdigest()


def equal(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    """Whether two frames of the same columns have the same rows in the same order.

    As `DataFrame.equals`, which takes three times as long where there are lists.
    """
    return one.height == other.height and all(map(_equal, one.get_columns(), other.get_columns()))


def _equal(one: pl.Series, other: pl.Series) -> bool:
    if not isinstance(one.dtype, pl.List):
        return one.equals(other, null_equal=True)
    values, others = (lists.explode(empty_as_null=False, keep_nulls=False) for lists in (one, other))
    return one.list.len().equals(other.list.len(), null_equal=True) and _equal(values, others)


def _lines(tables: Sequence[tuple[str, pl.DataFrame]]) -> str:
    """Name, height and digest of each table. To write them at once takes half the time where they have a few rows."""
    totals = [sha256() for _ in tables]
    for start in range(0, max(frame.height for _, frame in tables), _ROWS):
        parts = [frame[start : start + _ROWS] for _, frame in tables]
        pieces = [(total, piece) for total, part in zip(totals, parts, strict=True) for piece in _pieces(part)]
        contents = [BytesIO() for _ in pieces]
        written = [
            piece.lazy().sink_ipc(content, compat_level=pl.CompatLevel.oldest(), lazy=True)
            for (_, piece), content in zip(pieces, contents, strict=True)
        ]
        pl.collect_all(written, engine="streaming")
        for (total, _), content in zip(pieces, contents, strict=True):
            total.update(content.getbuffer())
    return "".join(
        f"{name} {frame.height} {total.hexdigest()}\n" for (name, frame), total in zip(tables, totals, strict=True)
    )


def _pieces(part: pl.DataFrame) -> Iterator[pl.DataFrame]:
    if part.is_empty():
        return
    yield _bare(part)
    for column, kind in part.schema.items():
        if isinstance(kind, pl.List):
            yield _bare(part.select(pl.col(column).explode(empty_as_null=False, keep_nulls=False)))


def _bare(part: pl.DataFrame) -> pl.DataFrame:
    """The same in columns of which each value has one representation, and no mask."""
    plain = part.select(_plain(values) for values in part.get_columns())
    # Filled values may keep a mask that says that none of them is null. To pick all of them anew drops it; where there
    # are many, cutting something off does that for half as much.
    if plain.height < FEW:
        return plain[pl.int_range(plain.height, eager=True)]
    return pl.concat([plain, plain[:1]]).rechunk()[: plain.height]


def _plain(series: pl.Series) -> pl.Expr:
    values, kind = pl.col(series.name), series.dtype
    if kind in {pl.String, pl.UInt32} and not series.has_nulls():
        return values
    if isinstance(kind, pl.List):
        return values.list.len().fill_null(2**32 - 1)
    if kind == pl.String:
        return values.fill_null("\x00")
    if kind == pl.UInt32:
        return values.fill_null(2**32 - 1)
    if kind in {pl.Date, pl.Int16}:
        return values.to_physical().cast(pl.Int32).fill_null(-(2**31))
    return values.to_physical().cast(pl.UInt8).fill_null(2**8 - 1)  # booleans and enums

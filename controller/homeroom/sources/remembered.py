"""What became of each line of a large file, so that a line that stands there as it did is not taken apart again.

Flow: `text` compares the lines of a file with those of the last reading and opens the others, `oneroster` takes the
values of the same ones from the last roster and judges all together, `snapshots` keeps what this reading made of them.

What a line says, and what is wrong with it, follows from its own text and from the header, but for three things, which
are judged anew each time: whether its references hold, whether its id is there twice, and in which school its class is.
A line about which something was said is not remembered, nor is one with a password, of which no trace is kept. Lines
are compared by 64-bit hashes, as references are; the seed tells releases apart, since another may judge differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Final

import polars as pl

from homeroom.roster.findings import Rule

LINES: Final = pl.Schema({"line": pl.UInt64, "id": pl.UInt64, "at": pl.UInt32})
"""Columns of a table of `Lines`: hash of the text, hash of the source id, row in the table of the roster.

Rows are in the order of the file; the first is the header, which is in no roster (`id` and `at` null).
"""
REMEMBERED: Final = frozenset({"users", "roles", "enrollments"})
"""The tables with most lines; the others refer to much, and take little time."""
FIRST_ONLY: Final = (Rule.SPELLING, Rule.STAMPED, Rule.ROW_EMPTY)
"""Rules that name the first row only: where one was broken, nobody knows by which lines, so none is remembered."""
_SEED: Final = int.from_bytes(sha256(f"{version('homeroom')} {pl.__version__}".encode()).digest()[:8])
_STRETCH: Final = 64  # lines, on average
_MOST_OTHERS: Final = 0.5  # of all lines: with more of them, one pass over the whole file costs less


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Which lines of the files made which rows of the roster with this `digest`. `tables`: `LINES` by table."""

    digest: str
    tables: Mapping[str, pl.DataFrame]

    def of(self, table: str) -> pl.DataFrame:
        """The lines of one table; none where nothing is known."""
        return self.tables.get(table, pl.DataFrame(schema=LINES))


NO_LINES: Final = Lines(digest="", tables={})


def hashes(path: Path) -> pl.Series:
    """The hash of each line of a file, the header first. Raises ComputeError where the text is not UTF-8."""
    lines = pl.scan_lines(path).select(pl.first().hash(_SEED).alias("line"))
    return lines.collect(engine="streaming").to_series().rechunk()


def same(now: pl.Series, before: pl.DataFrame) -> pl.DataFrame | None:
    """The lines of a file, given by `hashes`, that stood there before: columns row (1 is the header), id and at.

    None when the header is another one, or too few lines are the same for that to be of use.
    """
    was = before["line"]
    if not (was.len() and now.len()) or now[0] != was[0]:
        return None
    least = now.len() * (1 - _MOST_OTHERS)
    row = pl.int_range(1, now.len() + 1, dtype=pl.UInt32, eager=True).alias("row")
    if not now.equals(was):
        is_same, was_same = _in_both(now, was)
        now, row, before = now.filter(is_same), row.filter(is_same), before.filter(was_same)
        if not now.equals(before["line"]):  # in another order
            before = now.to_frame("line").join(before, on="line", how="left", maintain_order="left")
    found = before.select(row, "id", "at").filter(pl.col("at").is_not_null())
    return found if found.height > least else None


def _in_both(one: pl.Series, other: pl.Series) -> tuple[pl.Series, pl.Series]:
    """For each value of either whether it stands once in both (Boolean).

    Most stand in long stretches that are the same, which are found by their sums; only the rest is compared.
    """
    stretches = [_stretches(values) for values in (one, other)]
    sums = [found.group_by("sum").agg(pl.len()).filter(pl.col("len") == 1) for _, found in stretches]
    shared = sums[0].join(sums[1], on="sum", how="semi")["sum"].implode()
    same = [found["sum"].is_in(shared).gather(of_value) for of_value, found in stretches]
    rest = [values.filter(~found) for values, found in zip((one, other), same, strict=True)]
    others = _not_in_both(*rest).implode()
    return ~one.is_in(others), ~other.is_in(others)


def _stretches(values: pl.Series) -> tuple[pl.Series, pl.DataFrame]:
    """Cut values into stretches, whose ends are where the values say: of each value its stretch, of each the sum."""
    ends = values % _STRETCH == 0
    number = ends.shift(1, fill_value=False).cast(pl.UInt32).cum_sum()
    # Of 64 bits the upper 40: the sum of all lines of a file stays an integer.
    sums = (values // 2**24).cum_sum().gather(pl.concat([ends[:-1], pl.Series([True])]).arg_true())
    return number, pl.DataFrame({"sum": sums.diff(null_behavior="ignore").fill_null(sums[0])})


def _not_in_both(one: pl.Series, other: pl.Series) -> pl.Series:
    """The values that are not exactly once in each."""
    both = pl.DataFrame({"line": one.sort()}).merge_sorted(pl.DataFrame({"line": other.sort()}), key="line")["line"]
    first, last = both.ne_missing(both.shift(1)), both.ne_missing(both.shift(-1))
    return pl.concat([both.filter(first == last), *(_repeated(some.sort()) for some in (one, other))]).unique()


def _repeated(ordered: pl.Series) -> pl.Series:
    return ordered.filter((ordered == ordered.shift(1)).fill_null(value=False))


def write_others(path: Path, now: pl.Series, known: pl.Series, to: Path) -> pl.Series | None:
    """Copy the header and the lines without the numbers `known`; return the numbers of these lines.

    `now`: `hashes` of the file, by which the lines are found. None when a known one has the hash of another.
    """
    others = pl.repeat(value=True, n=now.len(), eager=True).scatter(known - 1, values=False)
    wanted = now.filter(others)
    if wanted.len() > 1:
        text = pl.scan_lines(path).filter(pl.first().hash(_SEED).is_in(wanted.implode())).collect(engine="streaming")
    else:
        text = pl.scan_lines(path, n_rows=1).collect()
    if text.height != wanted.len():
        return None
    to.write_text("".join(f"{line}\n" for line in text.to_series()), encoding="utf-8", newline="")
    return (others.arg_true()[1:] + 1).cast(pl.UInt32)


def remember(now: pl.Series, rows: pl.DataFrame, ids: pl.DataFrame, *, but: pl.Series) -> pl.DataFrame:
    """What is known of the lines of a file, columns `LINES`.

    `now`: their `hashes`; `rows`: columns row and at; `ids`: columns row and id, a superset; `but`: rows to leave out.
    """
    nothing = {name: pl.repeat(None, now.len(), dtype=LINES[name], eager=True) for name in ("id", "at")}
    at = nothing["at"].scatter(rows["row"] - 1, rows["at"]).scatter(but.drop_nulls() - 1, None)
    lines = pl.DataFrame({"line": now, "id": nothing["id"].scatter(ids["row"] - 1, ids["id"]), "at": at})
    return lines.filter(pl.col("at").is_not_null() | (pl.int_range(pl.len()) == 0))

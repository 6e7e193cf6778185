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

LINES: Final = pl.Schema({"line": pl.UInt64, "id": pl.UInt32, "at": pl.UInt32})
"""Columns of a table of `Lines`: hash of the text, `id_hash` of the source id, row in the table of the roster.

One row per line of the file, the header first. All is null of a line that is not remembered, `id` and `at` of the
header, which is in no roster.
"""
REMEMBERED: Final = frozenset({"users", "roles", "enrollments"})
"""The tables with most lines; the others refer to much, and take little time."""
FIRST_ONLY: Final = (Rule.SPELLING, Rule.STAMPED, Rule.ROW_EMPTY)
"""Rules that name the first row only: where one was broken, nobody knows by which lines, so none is remembered."""
_SEED: Final = int.from_bytes(sha256(f"{version('homeroom')} {pl.__version__}".encode()).digest()[:8])
_PLACE: Final = pl.Int32
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


def id_hash(hashes: pl.Expr) -> pl.Expr:
    """What is kept of the hash of a source id: half of it, since one that is found by chance costs little."""
    return (hashes % 2**32).cast(LINES["id"])


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
    row = pl.int_range(1, now.len() + 1, dtype=pl.UInt32, eager=True).alias("row")
    found = before.select("id", "at")
    if not unchanged(now, before):
        places = _places(now, was)
        found = found.select(pl.all().gather(places))
    found = found.select(row, "id", "at").filter(pl.col("at").is_not_null())
    return found if found.height > now.len() * (1 - _MOST_OTHERS) else None


def unchanged(now: pl.Series, before: pl.DataFrame) -> bool:
    """Whether all lines that are known stand where they stood, and no line is more or less."""
    return now.len() == before.height and not (now != before["line"]).any()


def _places(now: pl.Series, was: pl.Series) -> pl.Series:
    """For each of `now` its place in `was` (Int32), null where it has none; no place comes twice.

    Nearly all lines stand between the same neighbours as before. One in `_STRETCH`, by its hash, is looked up, and says
    by how much the lines before and behind it have moved; only what is not found there is joined.
    """
    lines = [pl.DataFrame({"line": one, "at": pl.int_range(one.len(), dtype=_PLACE, eager=True)}) for one in (now, was)]
    posts = _once_in_both(*(one.filter(pl.col("line") % _STRETCH == 0) for one in lines))
    moved = pl.repeat(None, now.len(), dtype=_PLACE, eager=True)
    moved = moved.scatter(posts["at"], posts["at_was"] - posts["at"]).alias("moved")
    guesses = lines[0].select("at", behind=moved.forward_fill(), before=moved.backward_fill())
    places = pl.repeat(None, now.len(), dtype=_PLACE, eager=True)
    for guess in ("behind", "before"):
        place = guesses["at"] + guesses[guess]
        place = place.set(~place.is_between(0, was.len() - 1), None)
        found = (was.gather(place) == now).fill_null(value=False)
        places = places.zip_with(~found, place)
    taken = pl.repeat(None, was.len(), dtype=_PLACE, eager=True)
    found = places.is_not_null()
    taken = taken.scatter(places.filter(found), lines[0]["at"].filter(found))
    mine = (taken.gather(places) == lines[0]["at"]).fill_null(value=False)  # a repeated line may be found twice
    rest = _once_in_both(lines[0].filter(~mine), lines[1].filter(taken.is_null() & was.is_not_null()))
    return places.set(~mine, None).scatter(rest["at"], rest["at_was"])


def _once_in_both(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """What stands once in each of them: columns line, at and at_was."""
    return one.unique("line", keep="none").join(other.unique("line", keep="none"), on="line", suffix="_was")


def write_others(path: Path, lines: int, known: pl.Series, to: Path) -> pl.Series:
    """Copy the header and the lines without the numbers `known`; return the numbers of these lines, in this order."""
    others = pl.repeat(value=True, n=lines, eager=True).scatter(known - 1, values=False)
    wanted = (others.arg_true() + 1).cast(pl.UInt32)
    text = pl.scan_lines(path, n_rows=1)
    if wanted.len() > 1:
        text = pl.scan_lines(path, row_index_name="row", row_index_offset=1)
        text = text.filter(pl.col("row").is_in(wanted.implode())).sort("row").drop("row")
    text.collect(engine="streaming").write_csv(to, include_header=False, quote_style="never")
    return wanted[1:]


def remember(now: pl.Series, rows: pl.DataFrame, ids: pl.DataFrame, *, but: pl.Series) -> pl.DataFrame:
    """What is known of the lines of a file, columns `LINES`.

    `now`: their `hashes`; `rows`: columns row and at; `ids`: columns row and id, a superset; `but`: rows to leave out.
    """
    nothing = {name: pl.repeat(None, now.len(), dtype=LINES[name], eager=True) for name in ("id", "at")}
    at = nothing["at"].scatter(rows["row"] - 1, rows["at"]).scatter(but.drop_nulls() - 1, None)
    lines = pl.DataFrame({"line": now, "id": nothing["id"].scatter(ids["row"] - 1, ids["id"]), "at": at})
    known = pl.col("at").is_not_null()
    header = pl.int_range(pl.len()) == 0
    return lines.select(pl.when(known | header).then("line"), pl.when(known).then("id"), "at")

"""What became of each line of a large file, so that a line that stands there as it did is not taken apart again.

Flow: `text` compares the lines of a file with those of the last reading and opens the others, `oneroster` takes the
values of the same ones from the last roster and judges all together, `snapshots` keeps what this reading made of them.

What a line says, and what is wrong with it, follows from its own text and from the header, but for three things, which
are judged anew each time: whether its references hold, whether its id is there twice, and in which school its class is.
A line about which something was said is not remembered, nor is one with a password, of which no trace is kept. Lines
are compared by 64-bit hashes, as references are; the seed tells releases apart, since another may judge differently,
and declarations of extension columns, under which a line may mean something else. Short files are taken apart as a
whole each time, which takes less than to compare their lines.
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
from homeroom.roster.tables import SCHEMAS, repeated

LINES: Final = pl.Schema({"line": pl.UInt64, "id": pl.UInt32, "at": pl.UInt32})
"""Columns of a table of `Lines`: hash of the text, `id_hash` of the source id, row in the table of the roster.

One row per line of the file, the header first. All is null of a line that is not remembered, `id` and `at` of the
header, which is in no roster.
"""
REMEMBERED: Final = frozenset({"users", "roles", "enrollments"})
"""The tables with most lines; the others refer to much, and take little time."""
FIRST_ONLY: Final = (Rule.SPELLING, Rule.STAMPED, Rule.ROW_EMPTY)
"""Rules that name the first row only: where one was broken, nobody knows by which lines, so none is remembered."""
_RELEASE: Final = repr((version("homeroom"), pl.__version__, SCHEMAS))
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
        return self.tables.get(table, _NOTHING)


_NOTHING: Final = pl.DataFrame(schema=LINES)
NO_LINES: Final = Lines(digest="", tables={})


def seed_of(declared: str) -> int:
    """The seed for hashes of lines that are read with these `extensions`, as text."""
    return int.from_bytes(sha256(f"{_RELEASE}{declared}".encode()).digest()[:8])


SEED: Final = seed_of("")
"""The seed where no extension columns are declared."""


def id_hash(hashes: pl.Expr) -> pl.Expr:
    """What is kept of the hash of a source id: half of it, since one that is found by chance costs little."""
    return (hashes % 2**32).cast(LINES["id"])


def lines_of(path: Path, *, seed: int = SEED) -> pl.DataFrame:
    """Of each line of a file, the header first: its hash (line) and its length in bytes. Raises ComputeError."""
    line = pl.first()
    lines = pl.scan_lines(path).select(line.hash(seed).alias("line"), length=line.str.len_bytes())
    return lines.collect(engine="streaming").rechunk()


def same(now: pl.Series, before: pl.DataFrame) -> pl.DataFrame | None:
    """The lines of a file, given by their hashes, that stood there before: columns row (1 is the header), id and at.

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
    here, there = (pl.int_range(some.len(), dtype=_PLACE, eager=True) for some in (now, was))
    lines, known = pl.DataFrame({"line": now, "at": here}), pl.DataFrame({"line": was, "at": there})
    posts = _once_in_both(*(some.filter(pl.col("line") % _STRETCH == 0) for some in (lines, known)))
    moved = repeated(None, now.len(), dtype=_PLACE)
    moved = moved.scatter(posts["at"], posts["at_was"] - posts["at"])
    places = _confirmed(here + moved.forward_fill(), now, was)
    lost = places.is_null().arg_true()
    places = places.scatter(lost, _confirmed((here + moved.backward_fill()).gather(lost), now.gather(lost), was))
    found = places.is_not_null()
    owner = repeated(None, was.len(), dtype=_PLACE).scatter(places.filter(found), here.filter(found))
    mine = (owner.gather(places) == here).fill_null(value=False)  # a repeated line may be found twice
    rest = _once_in_both(lines.filter(~mine), known.filter(owner.is_null() & was.is_not_null()))
    return places.set(~mine, None).scatter(rest["at"], rest["at_was"])


def _confirmed(places: pl.Series, now: pl.Series, was: pl.Series) -> pl.Series:
    """Those of `places` in `was` where the same stands as in `now`, else null."""
    places = places.set(~places.is_between(0, was.len() - 1), None)
    return places.set((was.gather(places) != now).fill_null(value=True), None)


def _once_in_both(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """What stands once in each of them: columns line, at and at_was."""
    return one.unique("line", keep="none").join(other.unique("line", keep="none"), on="line", suffix="_was")


def write_others(path: Path, lines: pl.DataFrame, known: pl.Series, to: Path, *, seed: int = SEED) -> pl.Series | None:
    """Copy the header and the lines without the numbers `known`; return the numbers of these lines.

    `lines`: `lines_of` the file with this `seed`; by their lengths only the others are read. None where lines do not
    end alike, and what was copied is something else.
    """
    others = repeated(value=True, n=lines.height, dtype=pl.Boolean).scatter(known - 1, values=False)
    first, last = others & ~others.shift(1, fill_value=False), others & ~others.shift(-1, fill_value=False)
    with path.open("rb", buffering=0) as text, to.open("wb") as copy:
        text.seek(lines["length"][0])
        end = len(b"\r\n") if text.read(1) == b"\r" else len(b"\n")
        ends = (lines["length"].cast(pl.Int64) + end).cum_sum()
        begins = ends.shift(1, fill_value=0)
        for begin, stop in zip(begins.filter(first), ends.filter(last), strict=True):
            text.seek(begin)
            copy.write(text.read(stop - begin))
    if not lines_of(to, seed=seed)["line"].equals(lines["line"].filter(others)):
        return None
    return (others.arg_true()[1:] + 1).cast(pl.UInt32)


def remember(now: pl.Series, rows: pl.DataFrame, ids: pl.DataFrame, *, but: pl.Series) -> pl.DataFrame:
    """What is known of the lines of a file, columns `LINES`.

    `now`: their hashes; `rows`: columns row and at; `ids`: columns row and id, a superset; `but`: rows to leave out.
    """
    nothing = {name: repeated(None, now.len(), dtype=LINES[name]) for name in ("id", "at")}
    at = nothing["at"].scatter(rows["row"] - 1, rows["at"])
    at = at.scatter(but.drop_nulls() - 1, None) if but.len() else at
    lines = pl.DataFrame({"line": now, "id": nothing["id"].scatter(ids["row"] - 1, ids["id"]), "at": at})
    known = pl.col("at").is_not_null()
    header = pl.int_range(pl.len()) == 0
    return lines.select(pl.when(known | header).then("line"), pl.when(known).then("id"), "at")

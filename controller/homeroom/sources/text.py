"""From a text file to rows that can be trusted: header, separator, encoding, and a proof that each row is whole.

A regular file (each line is one row with as many fields as the header) is proven so by one pass over its bytes or,
where it has quotation marks, of a regular expression, and then scanned as it lies. Only an irregular one goes through
Python's csv reader, which understands line breaks in values, and is written anew: whole rows with their line numbers,
while malformed ones are reported. So the streaming reader never has to guess, and a swallowed row is never taken for a
removed one.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

import polars as pl
from polars.exceptions import ComputeError

from homeroom.roster.findings import Findings, Rule
from homeroom.sources import remembered
from homeroom.sources.package import refuse

_SEPARATORS: Final = ",;\t"
_LONGEST_HEADER: Final = 64 << 10
_CHUNK: Final = 1 << 20
_LONGEST_LINE: Final = 16 << 20  # bytes or characters: one that is longer would be held in memory several times
_LONE_CR: Final = re.compile(rb"\r[^\n]")
_ROW: Final = "row"
_NONE: Final = pl.DataFrame(schema={_ROW: pl.UInt32, "id": pl.UInt32, "at": pl.UInt32})


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A file ready to be scanned: `whole` has the column row (line in the file, UInt32) and the known columns as text.

    Empty values are null. `same`: the lines known from the last reading (columns row, id and at, see
    `remembered.same`); `scan`: the rows of `whole` that are not among these. `columns`: the known ones that the header
    has. `rows`: how many there are. `malformed`: True when rows could not be read, so that nobody can tell what is
    missing. `hashes`: of the lines, where these are to be remembered and each of them is one row.
    """

    scan: pl.LazyFrame
    whole: pl.LazyFrame
    same: pl.DataFrame
    columns: frozenset[str]
    rows: int
    malformed: bool
    hashes: pl.Series | None
    findings: Findings


def read_table(
    path: Path,
    *,
    file: str,
    columns: frozenset[str],
    scratch: Path,
    before: pl.DataFrame | None = None,
    seed: int = remembered.SEED,
) -> Table:
    """Prove and open one file. `columns`: the names that may be read of it.

    `before`: what is known of its lines (`remembered.LINES`, maybe nothing); None: they are not to be remembered.
    `seed`: that of the hashes of lines.
    Raises ExportInvalidError or ExportIncompleteError for what spoils the file as a whole.
    """
    header, separator = _header(path, file=file)
    known = {name.lower(): name for name in columns}
    names = [known.get(cell.strip().lower()) for cell in header]
    findings = _check_header(header, names, separator=separator, file=file)
    read = {name: pl.col(str(number)) for number, name in enumerate(names) if name is not None}
    form = _Form(width=len(header), separator=separator, file=file)
    lines = _lines(path, seed) if before is not None else None
    same = remembered.same(lines["line"], before) if before is not None and lines is not None else None
    part = None
    if lines is not None and same is not None and "sourcedId" in read:
        part = _others(path, lines, same, scratch / f"part-{file}", form=form, identity=read["sourcedId"], seed=seed)
    malformed = False
    if lines is not None and part is not None:
        rows, (same, scan), whole = lines.height - 1, part, _scan(path, form, quoted=True)
    else:
        same = _NONE
        regular, quoted = _regular_lines(path, width=form.width, separator=separator, file=file)
        if regular is not None:
            rows, scan = regular - 1, _scan(path, form, quoted=quoted)
        else:
            lines = None
            mended = scratch / f"mended-{file}"
            rows, unreadable, broken = _mend(path, mended, width=form.width, separator=separator, file=file)
            findings += [
                Findings.of(Rule.ROW_MALFORMED, unreadable, file=file),
                Findings.of(Rule.LINE_BREAK, broken, file=file),
            ]
            malformed = unreadable.height > 0
            scan = pl.scan_csv(mended, has_header=False, schema={_ROW: pl.UInt32, **form.schema}, null_values="")
        whole = scan
    if rows == 0 and not malformed:
        raise refuse(Rule.NO_ROWS, file=file)
    return Table(
        scan=scan.select(_ROW, **read),
        whole=whole.select(_ROW, **read),
        same=same,
        columns=frozenset(read),
        rows=rows,
        malformed=malformed,
        hashes=lines["line"] if lines is not None else None,
        findings=Findings.join(findings),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """How the rows of a file are written."""

    width: int
    separator: str
    file: str

    @property
    def schema(self) -> dict[str, type[pl.DataType]]:
        """The columns of a row, by their numbers."""
        return {str(number): pl.String for number in range(self.width)}


def _scan(path: Path, form: _Form, *, quoted: bool) -> pl.LazyFrame:
    """The rows of a file in which each line is one."""
    return pl.scan_csv(
        path,
        has_header=False,
        skip_lines=1,
        separator=form.separator,
        schema=form.schema,
        # To look for quotation marks takes a sixth of the time. With them, a quoted empty value is else a text.
        quote_char='"' if quoted else None,
        null_values="" if quoted else None,
        missing_columns="insert",  # or a blank line below the header is an error
        row_index_name=_ROW,
        row_index_offset=2,
    )


def _lines(path: Path, seed: int) -> pl.DataFrame | None:
    """`remembered.lines_of`; None where the text is not UTF-8, which is found again where it is told."""
    try:
        return remembered.lines_of(path, seed=seed)
    except ComputeError:
        return None


def _others(
    path: Path, lines: pl.DataFrame, same: pl.DataFrame, to: Path, *, form: _Form, identity: pl.Expr, seed: int
) -> tuple[pl.DataFrame, pl.LazyFrame] | None:
    """The `same` lines, and the rows of all others. None if not each of these is one row; copied to `to` on the way.

    That each line is one row was proven of the same ones when they were read, so now it is of the whole file. A line
    whose id another one has does not count as the same: who judges ids has to see all lines with one.
    """
    if same.height == lines.height - 1:  # all but the header
        return same, pl.LazyFrame(schema={_ROW: pl.UInt32, **form.schema})
    numbers = remembered.write_others(path, lines, same["row"], to, seed=seed)
    if numbers is None:
        return None
    regular, quoted = _regular_lines(to, width=form.width, separator=form.separator, file=form.file)
    if regular is None:
        return None
    rows = _scan(to, form, quoted=quoted).collect(engine="streaming")
    shared = same["id"].is_in(rows.select(remembered.id_hash(identity.hash())).to_series().implode())
    if shared.any():
        return _others(path, lines, same.filter(~shared), to, form=form, identity=identity, seed=seed)
    return same, rows.with_columns(numbers.gather(rows[_ROW] - 2).alias(_ROW)).lazy()


def header_of(path: Path, *, file: str) -> set[str]:
    """The column names of a file, in lower case."""
    return {cell.strip().lower() for cell in _header(path, file=file)[0]}


def _header(path: Path, *, file: str) -> tuple[list[str], str]:
    """The cells of the first line, and the separator that makes most of them."""
    with path.open("rb") as stream:
        start = stream.read(_LONGEST_HEADER)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in start:
        raise refuse(Rule.ENCODING, file=file, row=1)
    line = re.split(rb"[\r\n]", start, maxsplit=1)[0]
    if not line.strip():
        raise refuse(Rule.NO_ROWS, file=file)
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refuse(Rule.ENCODING, file=file, row=1) from error
    separator = max(_SEPARATORS, key=text.count)
    return next(csv.reader([text], delimiter=separator)), separator


def _check_header(header: list[str], names: list[str | None], *, separator: str, file: str) -> list[Findings]:
    seen: set[str] = set()
    for cell, name in zip(header, names, strict=True):
        folded = cell.strip().lower()
        if folded in seen and folded:
            # An unknown name is not repeated here: where the header is missing it is somebody's data.
            raise refuse(Rule.COLUMN_TWICE, file=file, field=name)
        seen.add(folded)
    findings = []
    if separator != "," or any(name is not None and name != cell for cell, name in zip(header, names, strict=True)):
        findings.append(Findings.one(Rule.HEADER_SPELLING, file=file, row=1))
    if any(
        name is None and not cell.strip().lower().startswith("metadata.")
        for cell, name in zip(header, names, strict=True)
    ):
        findings.append(Findings.one(Rule.COLUMN_UNKNOWN, file=file, row=1))
    return findings


def _regular_lines(path: Path, *, width: int, separator: str, file: str) -> tuple[int | None, bool]:
    """The number of lines when each of them is one row of `width` fields, else None; and whether any may be quoted.

    No copy is made of the file.
    """
    try:
        lines = _plain_lines(path, width=width, separator=separator)
        if lines is not None:
            return lines, False
        if any(len(chunk) > _LONGEST_LINE for chunk in _whole_lines(path)):
            return None, True
        return _quoted_lines(path, width=width, separator=separator), True
    except (UnicodeDecodeError, ComputeError) as error:
        raise refuse(Rule.ENCODING, file=file, row=_first_bad_line(path)) from error


def _plain_lines(path: Path, *, width: int, separator: str) -> int | None:
    """The same for files without quotation marks, in a quarter of the time; None for all others.

    There, separators and line ends alone make rows: without all other bytes, each line has to look like the first.
    """
    others = bytes({*range(256)} - {*f'{separator}"\r\n\0'.encode()})
    piece = min(_CHUNK, path.stat().st_size + 1)  # most files of a small school are far smaller
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, lines = b"", b""  # what is left of one line, and of many
    at = 0  # how much of a line has gone by at the end of a piece
    number = unended = 0
    last = b""
    with path.open("rb", buffering=0) as stream:
        while chunk := stream.read(piece):
            if not chunk.isascii() or decoder.getstate()[0]:
                decoder.decode(chunk)
            bare = chunk.translate(None, others)
            if not line:
                line = separator.encode() * (width - 1) + (b"\r\n" if bare[width - 1 : width] == b"\r" else b"\n")
                lines = line * (piece // len(line) + 2)
            unended = 0 if b"\n" in bare else unended + len(chunk)
            if not lines.startswith(bare, at) or unended > _LONGEST_LINE - 2 * _CHUNK:
                return None
            if b"\r" in line and _LONE_CR.search(last + chunk):
                return None
            at = (at + len(bare)) % len(line)
            number += bare.count(b"\n")
            last = chunk[-1:]
    decoder.decode(b"", final=True)
    if last == b"\n":
        return number
    # The last line may lack its end, or half of it.
    return number + 1 if at == width - 1 + (last == b"\r") else None


def _whole_lines(path: Path) -> Iterator[bytes]:
    """The bytes of a file in chunks that end where a line does, or are longer than a line may be."""
    rest: list[bytes] = []
    with path.open("rb", buffering=0) as stream:
        while chunk := stream.read(_CHUNK):
            end = chunk.rfind(b"\n") + 1
            if not end and len(rest) * _CHUNK > _LONGEST_LINE:
                end = len(chunk)
            if end:
                yield b"".join([*rest, chunk[:end]])
                rest = []
            rest.append(chunk[end:])
    if last := b"".join(rest):
        yield last


def _quoted_lines(path: Path, *, width: int, separator: str) -> int | None:
    """The same for all files, by a streaming regular expression."""
    field = rf'(?:[^"{separator}\r\x00]*|"(?:[^"\r\x00]|"")*")'
    row = rf"^(?:{field}(?:{separator}{field}){{{width - 1}}})?$"  # a blank line is a row without values
    lines, odd = (
        pl.scan_lines(path)
        .select(regular=pl.first().str.contains(row))
        .select(pl.len(), odd=(~pl.col("regular")).sum())
        .collect(engine="streaming")
        .row(0)
    )
    return None if odd else lines


def _first_bad_line(path: Path) -> int | None:
    """The line in which the text stops being UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                return line + chunk[: max(error.start, 0)].count(b"\n")
            line += chunk.count(b"\n")
    return None


@dataclass(slots=True)
class _Lines:
    """The lines of a file; remembers whether the last one was ended. Raises ExportInvalidError for one without end."""

    stream: TextIO
    file: str
    ended: bool = True

    def __iter__(self) -> Iterator[str]:
        number = 0
        while line := self.stream.readline(_LONGEST_LINE):
            number += 1
            self.ended = line.endswith(("\n", "\r"))
            if not self.ended and len(line) == _LONGEST_LINE:
                raise refuse(Rule.TOO_LARGE, file=self.file, row=number)
            yield line


def _mend(path: Path, to: Path, *, width: int, separator: str, file: str) -> tuple[int, pl.DataFrame, pl.DataFrame]:
    """Write whole rows with their line numbers to `to`; return their number, malformed rows, rows with line breaks."""
    malformed: list[int] = []
    broken: list[int] = []
    rows = 0
    cut = False
    with path.open(encoding="utf-8-sig", newline="") as stream, to.open("w", encoding="utf-8", newline="") as mended:
        lines = _Lines(stream, file)
        writer = csv.writer(mended, lineterminator="\n")
        for line, last, cells in _records(lines, separator=separator, file=file):
            if line == 1 or cells == []:  # the header; blank lines mean nothing
                continue
            if cells is not None and len(cells) == width and line == last:
                writer.writerow([line, *cells])
            elif cells is None or len(cells) != width or any(_holds_a_row(cell, separator, width) for cell in cells):
                malformed.append(line)
                cut = cells is not None and len(cells) < width and not lines.ended
                continue
            else:
                broken.append(line)
                writer.writerow([line, *(re.sub(r"[\r\n]+", " ", cell) for cell in cells)])
            rows += 1
    if cut:
        raise refuse(Rule.ROW_CUT, file=file, row=malformed[-1])
    return rows, _numbers(malformed), _numbers(broken)


def _numbers(rows: list[int]) -> pl.DataFrame:
    return pl.DataFrame({_ROW: rows}, schema={_ROW: pl.UInt32})


def _holds_a_row(cell: str, separator: str, width: int) -> bool:
    """A stray pair of quotation marks swallows what lies between: whole rows, which must not count as removed."""
    return "\n" in cell and cell.count(separator) >= width - 1


def _records(lines: _Lines, *, separator: str, file: str) -> Iterator[tuple[int, int, list[str] | None]]:
    """First and last line and the fields of each record; None where its quotation marks make no sense."""
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # Beyond csv's limit of 128 KiB nothing is a field: there, too, a quotation mark was never closed.
            if "unexpected end" in str(error) or "larger than" in str(error):
                raise refuse(Rule.QUOTE_OPEN, file=file, row=line) from error
            cells = None
        yield line, reader.line_num, cells

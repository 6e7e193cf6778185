"""Snapshots as files: one Parquet file per table in a folder named by the digest, written once and never changed.

The digest is that of the tables (`homeroom.roster.digest`), whose rows are in canonical order: the same records give
the same one, whatever the files looked like. A folder appears by a single rename when it is complete. Findings and
counts lie beside the tables, and what became of each line; passwords of staff have a file of their own, which only the
operator's user may read.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import file_digest
from pathlib import Path
from tempfile import mkdtemp
from typing import Final, Literal, TypeVar

import polars as pl
from polars.exceptions import PolarsError

from homeroom.errors import TransientError
from homeroom.roster.beside import beside
from homeroom.roster.findings import SCHEMA, Findings
from homeroom.roster.tables import SCHEMAS, Roster
from homeroom.sources.base import CREDENTIALS, Snapshot
from homeroom.sources.remembered import LINES, NO_LINES, REMEMBERED, Lines

F = TypeVar("F", pl.DataFrame, pl.LazyFrame)

_Packed = Literal["lz4", "uncompressed"]

_FINDINGS: Final = "findings"
_CREDENTIALS: Final = "credentials"
_COUNTS: Final = "counts.json"
_CHECKSUMS: Final = "checksums.json"
_LATER: Final = frozenset({"agents"})  # tables that the first releases did not write
_LINES: Final = {table: f"lines-{table}" for table in sorted(REMEMBERED)}
_LINES_CHECKSUMS: Final = "lines.json"
_LARGE: Final = 1_000_000  # bytes of packed tables: of fewer, starting threads takes a third of the time


def _checksums(place: Path, names: Iterable[str]) -> dict[str, str]:
    """The sha256 of files with tables; of large ones at once, as each keeps one core busy. Raises OSError, too."""
    names = [*names]
    paths = [_path(place, name) for name in names]

    def one(path: Path) -> str:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()

    with beside(None, few=sum(path.stat().st_size for path in paths) < _LARGE) as pool:
        return dict(zip(names, pool.map(one, paths), strict=True))


def _path(place: Path, name: str) -> Path:
    return place / f"{name}.parquet"


def _written(frames: Mapping[str, pl.DataFrame], place: Path, compression: _Packed) -> list[pl.LazyFrame]:
    """Files with tables, to be collected at once: to write small ones one by one takes half as long again."""
    return [
        frame.lazy().sink_parquet(_path(place, name), compression=compression, lazy=True)
        for name, frame in frames.items()
    ]


def _read(place: Path, names: Iterable[str]) -> list[pl.DataFrame]:
    """Tables as they were written, read at once: of small ones each alone takes twice as long."""
    return pl.collect_all([pl.scan_parquet(_path(place, name)) for name in names])


def write(snapshot: Snapshot, directory: Path) -> Path:
    """Store a snapshot below `directory` and return its folder. One that is there already stays as it is.

    Findings, lines and credentials belong to a reading, not to the records: they are replaced when the same roster is
    read again.
    """
    place = directory / snapshot.digest
    directory.mkdir(parents=True, exist_ok=True)
    unfinished = Path(mkdtemp(dir=directory, prefix=".unfinished-"))  # mode 0700
    try:
        # Lines of another digest made another roster.
        known = snapshot.lines if snapshot.lines.digest == snapshot.digest else NO_LINES
        tables = {**dict(snapshot.roster.tables()), _FINDINGS: snapshot.findings.frame}
        lines = {name: known.of(table) for table, name in _LINES.items()}
        files = [
            *_written(tables, unfinished, "lz4"),  # zstd takes longer to read
            *_written(lines, unfinished, "uncompressed"),  # hashes do not shrink
        ]
        pl.collect_all(files, engine="streaming")
        (unfinished / _CHECKSUMS).write_text(json.dumps(_checksums(unfinished, SCHEMAS)), encoding="utf-8")
        _write_reading(snapshot, unfinished)
        if place.is_dir():
            for file in unfinished.iterdir():
                if file.stem not in {*SCHEMAS, Path(_CHECKSUMS).stem}:
                    file.replace(place / file.name)
        else:
            unfinished.replace(place)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return place


def _write_reading(snapshot: Snapshot, place: Path) -> None:
    (place / _COUNTS).write_text(json.dumps(snapshot.counts, sort_keys=True), encoding="utf-8")
    (place / _LINES_CHECKSUMS).write_text(json.dumps(_checksums(place, _LINES.values())), encoding="utf-8")
    secret = os.open(_path(place, _CREDENTIALS), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(secret, "wb") as file:
        snapshot.credentials.write_parquet(file)


def load(directory: Path, digest: str) -> Snapshot:
    """The snapshot with this digest.

    Raises TransientError (SnapshotBroken) when it is missing or damaged.
    """
    place = directory / digest
    try:
        noted = json.loads((place / _CHECKSUMS).read_text(encoding="utf-8"))
        there = [name for name in SCHEMAS if name in noted or name not in _LATER]
        if _checksums(place, there) != noted:
            raise _broken(digest)
        *tables, found, passwords = _read(place, [*there, _FINDINGS, _CREDENTIALS])
        roster = replace(
            Roster.empty(), **{name: _typed(table, name) for name, table in zip(there, tables, strict=True)}
        )
        findings, credentials = Findings(found.cast(SCHEMA)), passwords.cast(CREDENTIALS)
        counts = json.loads((place / _COUNTS).read_text(encoding="utf-8"))
    except (OSError, PolarsError, ValueError) as error:
        raise _broken(digest) from error
    return Snapshot(digest=digest, roster=roster, findings=findings, counts=counts, credentials=credentials)


def scan(directory: Path, digest: str, *tables: str) -> tuple[pl.LazyFrame, ...]:
    """Some tables of the snapshot with this digest, for whoever needs a small part of them; to be collected at once.

    Raises TransientError (SnapshotBroken) when one of them is missing or damaged.
    """
    place = directory / digest
    try:
        noted = json.loads((place / _CHECKSUMS).read_text(encoding="utf-8"))
        there = [name for name in tables if name in noted or name not in _LATER]
        if any(noted[name] != found for name, found in _checksums(place, there).items()):
            raise _broken(digest)
        return tuple(
            _typed(pl.scan_parquet(_path(place, name)), name) if name in there else pl.LazyFrame(schema=SCHEMAS[name])
            for name in tables
        )
    except (OSError, PolarsError, ValueError, KeyError) as error:
        raise _broken(digest) from error


def _typed(frame: F, table: str) -> F:
    """A table as it was written, by an earlier release perhaps: what that one did not read is null."""
    schema = frame.collect_schema()
    if schema == SCHEMAS[table]:  # as on most nights
        return frame
    lacking = SCHEMAS[table].keys() - set(schema.names())
    return frame.with_columns(pl.lit(None).alias(name) for name in lacking).select(*SCHEMAS[table]).cast(SCHEMAS[table])


def load_lines(directory: Path, digest: str) -> Lines:
    """Which lines made the snapshot with this digest. They only save time: where files are missing or damaged, none."""
    place = directory / digest
    try:
        if _checksums(place, _LINES.values()) != json.loads((place / _LINES_CHECKSUMS).read_text(encoding="utf-8")):
            return NO_LINES
        tables = dict(zip(_LINES, _read(place, _LINES.values()), strict=True))
    except (OSError, PolarsError, ValueError):
        return NO_LINES
    return Lines(digest=digest, tables={table: frame for table, frame in tables.items() if frame.schema == LINES})


def _broken(digest: str) -> TransientError:
    return TransientError(
        f"snapshot {digest[:12]} is missing or damaged; the source has to be read again", reason="SnapshotBroken"
    )

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
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import file_digest
from pathlib import Path
from tempfile import mkdtemp
from typing import Final, TypeVar

import polars as pl
from polars.exceptions import PolarsError

from homeroom.errors import TransientError
from homeroom.roster.findings import SCHEMA, Findings
from homeroom.roster.tables import SCHEMAS, Roster
from homeroom.sources.base import CREDENTIALS, Snapshot
from homeroom.sources.remembered import LINES, NO_LINES, REMEMBERED, Lines

F = TypeVar("F", pl.DataFrame, pl.LazyFrame)
T = TypeVar("T")

_FINDINGS: Final = "findings"
_CREDENTIALS: Final = "credentials"
_COUNTS: Final = "counts.json"
_CHECKSUMS: Final = "checksums.json"
_LATER: Final = frozenset({"agents"})  # tables that the first releases did not write
_LINES: Final = {table: f"lines-{table}" for table in sorted(REMEMBERED)}
_LINES_CHECKSUMS: Final = "lines.json"
_LARGE: Final = 1_000_000  # bytes of packed tables: of fewer, starting threads takes a third of the time


def _checksums(place: Path, names: Iterable[str]) -> dict[str, str]:
    """The sha256 of files with tables."""

    def one(name: str) -> tuple[str, str]:
        with (place / f"{name}.parquet").open("rb") as file:
            return name, file_digest(file, "sha256").hexdigest()

    return dict(_each(one, names, place))


def _each(one: Callable[[str], T], names: Iterable[str], place: Path) -> list[T]:
    """`one` of some tables; of large ones at once, as each keeps one core busy. Raises OSError, too."""
    names = [*names]
    if sum((place / f"{name}.parquet").stat().st_size for name in names) < _LARGE:
        return [one(name) for name in names]
    with ThreadPoolExecutor() as pool:
        return [*pool.map(one, names)]


def write(snapshot: Snapshot, directory: Path) -> Path:
    """Store a snapshot below `directory` and return its folder. One that is there already stays as it is.

    Findings, lines and credentials belong to a reading, not to the records: they are replaced when the same roster is
    read again.
    """
    place = directory / snapshot.digest
    directory.mkdir(parents=True, exist_ok=True)
    unfinished = Path(mkdtemp(dir=directory, prefix=".unfinished-"))  # mode 0700
    try:
        for name, frame in snapshot.roster.tables():
            frame.write_parquet(unfinished / f"{name}.parquet", compression="lz4")  # zstd takes longer to read
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
    snapshot.findings.frame.write_parquet(place / f"{_FINDINGS}.parquet")
    (place / _COUNTS).write_text(json.dumps(snapshot.counts, sort_keys=True), encoding="utf-8")
    known = snapshot.lines if snapshot.lines.digest == snapshot.digest else NO_LINES  # else they made another roster
    for table, name in _LINES.items():
        known.of(table).write_parquet(place / f"{name}.parquet", compression="uncompressed")  # hashes do not shrink
    (place / _LINES_CHECKSUMS).write_text(json.dumps(_checksums(place, _LINES.values())), encoding="utf-8")
    secret = os.open(place / f"{_CREDENTIALS}.parquet", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
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
        tables = _each(lambda name: _typed(pl.read_parquet(place / f"{name}.parquet"), name), there, place)
        roster = replace(Roster.empty(), **dict(zip(there, tables, strict=True)))
        findings = Findings(pl.read_parquet(place / f"{_FINDINGS}.parquet").cast(SCHEMA))
        credentials = pl.read_parquet(place / f"{_CREDENTIALS}.parquet").cast(CREDENTIALS)
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
            _typed(pl.scan_parquet(place / f"{name}.parquet"), name)
            if name in there
            else pl.LazyFrame(schema=SCHEMAS[name])
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
        frames = _each(lambda name: pl.read_parquet(place / f"{name}.parquet"), _LINES.values(), place)
        tables = dict(zip(_LINES, frames, strict=True))
    except (OSError, PolarsError, ValueError):
        return NO_LINES
    return Lines(digest=digest, tables={table: frame for table, frame in tables.items() if frame.schema == LINES})


def _broken(digest: str) -> TransientError:
    return TransientError(
        f"snapshot {digest[:12]} is missing or damaged; the source has to be read again", reason="SnapshotBroken"
    )

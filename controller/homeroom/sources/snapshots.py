"""Snapshots as files: one Parquet file per table in a folder named by the digest, written once and never changed.

A folder appears by a single rename when it is complete. Findings and counts lie beside the tables; passwords of staff
have a file of their own, which only the operator's user may read.
"""

from __future__ import annotations

import json
import os
import shutil
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import polars as pl
from polars.exceptions import PolarsError

from homeroom.errors import TransientError
from homeroom.roster.findings import SCHEMA, Findings
from homeroom.roster.tables import SCHEMAS, Roster
from homeroom.sources.base import CREDENTIALS, Snapshot

_FINDINGS: Final = "findings"
_CREDENTIALS: Final = "credentials"
_COUNTS: Final = "counts.json"
_CHECKSUMS: Final = "checksums.json"


def digest(roster: Roster) -> str:
    """The sha256 over a roster's content: each table as Arrow columns in which every value has one representation.

    Dates and enums as numbers, lists joined by a character that no text has, nulls as a value that does not occur; rows
    in canonical order, which `homeroom.roster.accept` gives. So the same records give the same digest, whatever the
    files looked like. Another release of polars may write another frame around the columns: then the same roster gets
    another digest once, and a plan that is empty.
    """
    total = sha256()
    for name, frame in roster.tables():
        columns = (_plain(column, kind) for column, kind in SCHEMAS[name].items())
        content = frame.select(columns).rechunk().write_ipc(None, compat_level=pl.CompatLevel.oldest())
        total.update(f"{name} {frame.height}\n".encode())
        total.update(content.getbuffer())
    return total.hexdigest()


def _plain(column: str, kind: pl.DataType) -> pl.Expr:
    values = pl.col(column)
    if isinstance(kind, pl.List):
        return values.cast(pl.List(pl.String)).list.join("\x1f").fill_null("\x00")
    if kind == pl.String:
        return values.fill_null("\x00")
    if kind == pl.UInt32:
        return values.fill_null(2**32 - 1)
    if kind in {pl.Date, pl.Int16}:
        return values.to_physical().cast(pl.Int32).fill_null(-(2**31))
    return values.to_physical().cast(pl.UInt8).fill_null(2**8 - 1)  # booleans and enums


def _checksums(place: Path) -> dict[str, str]:
    """The sha256 of each table's file."""
    return {name: sha256((place / f"{name}.parquet").read_bytes()).hexdigest() for name in SCHEMAS}


def write(snapshot: Snapshot, directory: Path) -> Path:
    """Store a snapshot below `directory` and return its folder. One that is there already stays as it is.

    Findings and credentials belong to a reading, not to the records: they are replaced when the same roster is read
    again.
    """
    place = directory / snapshot.digest
    directory.mkdir(parents=True, exist_ok=True)
    unfinished = Path(mkdtemp(dir=directory, prefix=".unfinished-"))  # mode 0700
    try:
        for name, frame in snapshot.roster.tables():
            frame.write_parquet(unfinished / f"{name}.parquet")
        (unfinished / _CHECKSUMS).write_text(json.dumps(_checksums(unfinished)), encoding="utf-8")
        _write_reading(snapshot, unfinished)
        if place.is_dir():
            for file in (f"{_FINDINGS}.parquet", f"{_CREDENTIALS}.parquet", _COUNTS):
                (unfinished / file).replace(place / file)
        else:
            unfinished.replace(place)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return place


def _write_reading(snapshot: Snapshot, place: Path) -> None:
    snapshot.findings.frame.write_parquet(place / f"{_FINDINGS}.parquet")
    (place / _COUNTS).write_text(json.dumps(snapshot.counts, sort_keys=True), encoding="utf-8")
    secret = os.open(place / f"{_CREDENTIALS}.parquet", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(secret, "wb") as file:
        snapshot.credentials.write_parquet(file)


def load(directory: Path, digest_: str) -> Snapshot:
    """The snapshot with this digest.

    Raises TransientError (SnapshotBroken) when it is missing or damaged.
    """
    place = directory / digest_
    try:
        if _checksums(place) != json.loads((place / _CHECKSUMS).read_text(encoding="utf-8")):
            raise _broken(digest_)
        roster = Roster(
            **{name: pl.read_parquet(place / f"{name}.parquet").cast(schema) for name, schema in SCHEMAS.items()}
        )
        findings = Findings(pl.read_parquet(place / f"{_FINDINGS}.parquet").cast(SCHEMA))
        credentials = pl.read_parquet(place / f"{_CREDENTIALS}.parquet").cast(CREDENTIALS)
        counts = json.loads((place / _COUNTS).read_text(encoding="utf-8"))
    except (OSError, PolarsError, ValueError) as error:
        raise _broken(digest_) from error
    return Snapshot(digest=digest_, roster=roster, findings=findings, counts=counts, credentials=credentials)


def _broken(digest_: str) -> TransientError:
    return TransientError(
        f"snapshot {digest_[:12]} is missing or damaged; the source has to be read again", reason="SnapshotBroken"
    )

"""The records of a store as one file, and a store made of them again. Neighbour: `store`, with its transactions.

::

    manifest.json            of which release and revision, when, how many rows, SHA-256 of each part
    <table>/<number>.parquet the rows of a table, in the order in which they were written

What is in no back-up is read again, from the source and from the marks in the targets. A baseline is left out on
purpose, not only because it has names: an old one would take whoever came in after it for an intruder, and put them out
at once. Without one an app is in first-sync review and nothing is removed there (`BaselineLost`).
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import IO, Any, Final

import polars as pl
import sqlalchemy as sa
from pydantic import BaseModel, ValidationError

from homeroom.errors import TerminalError
from homeroom.plan import Guard, Kind, State
from homeroom.plan.hold import LOST
from homeroom.store import revision, schema

RECORDS: Final = (
    schema.hold,
    schema.pool,
    schema.pool_day,
    schema.section,
    schema.licence_key,
    schema.connection,
    schema.delivery,
    schema.link,
    schema.lesson,
    schema.call,
    schema.call_told,
    schema.chat_link,
    schema.chat_join,
    schema.batch,
    schema.journal,
    schema.ledger,
    schema.origin,
    schema.withdrawn,
    schema.erasure,
    schema.secret,
)
"""What a back-up has, in this order. The ledger is derived, but for the user names of accounts that are gone."""
DERIVED: Final = (
    schema.leader,
    schema.accepted,
    schema.supplement,
    schema.door,
    schema.baseline,
    schema.chat_baseline,
    schema.run,
    schema.activity,
    schema.licence,
    schema.ticket,
    schema.link_code,
    schema.link_proof,
    schema.link_place,
    schema.district_told,
    schema.link_policy,
    schema.link_token,
)
"""What it has not: read again, said anew by whoever runs next, or, as a ticket, asked for again."""

_FORMAT: Final = 1
_MANIFEST: Final = "manifest.json"
_PART: Final = 50_000  # rows: some MB, whatever the size of the store
_ACTIVE: Final = (State.OPEN.value, State.APPROVED.value)


class BackupError(TerminalError):
    """The file is no back-up that can be restored, or the store not one to restore into; nothing was written."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="BackupInvalid")


class Manifest(BaseModel):
    """What a back-up says of itself. `homeroom`: the release that wrote it. `parts`: SHA-256 by name, in order."""

    format: int
    homeroom: str
    revision: str
    at: datetime
    rows: dict[str, int]
    parts: dict[str, str]


def write(connection: sa.Connection, file: IO[bytes], *, at: datetime) -> Manifest:
    """Write what `connection` sees, which has to be one moment's state, into `file`."""
    rows, parts = dict[str, int](), dict[str, str]()
    with zipfile.ZipFile(file, "w") as archive:
        for table in RECORDS:
            rows[table.name] = 0
            for number, frame in enumerate(_frames(connection, table)):
                buffer = io.BytesIO()
                frame.write_parquet(buffer)
                name, content = f"{table.name}/{number:06}.parquet", buffer.getvalue()
                archive.writestr(_entry(name), content)
                parts[name] = hashlib.sha256(content).hexdigest()
                rows[table.name] += frame.height
        manifest = Manifest(
            format=_FORMAT,
            homeroom=version("homeroom"),
            revision=revision.CURRENT,
            at=at.astimezone(UTC),
            rows=rows,
            parts=parts,
        )
        archive.writestr(_entry(_MANIFEST), manifest.model_dump_json(indent=2))
    return manifest


def restore(connection: sa.Connection, file: IO[bytes]) -> Manifest:
    """Fill the tables, which have to be of this release and empty; the whole file is checked before the first row.

    What was open is not taken up again: much may have changed since. Raises BackupError.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            manifest = _checked(archive)
            for table in (*RECORDS, *(table for table in DERIVED if table is not schema.leader)):
                if connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is not None:
                    raise BackupError(
                        f"this store is in use (table '{table.name}' has rows): stop the operator, and restore into an "
                        "empty one"
                    )
            tables = {table.name: table for table in RECORDS}
            for name in manifest.parts:
                rows = pl.read_parquet(io.BytesIO(archive.read(name))).to_dicts()
                connection.execute(sa.insert(tables[name.partition("/")[0]]), rows)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, RuntimeError, pl.exceptions.PolarsError) as error:
        raise BackupError("this file is no back-up of Homeroom, or it is damaged: take another one") from error
    _close_holds(connection)
    return manifest


def _checked(archive: zipfile.ZipFile) -> Manifest:
    """The manifest of a back-up that is whole and of this release."""
    try:
        document: Any = json.loads(archive.read(_MANIFEST))
        written_by, found = document["homeroom"], document["revision"]
        fits = document["format"] == _FORMAT and found == revision.CURRENT
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError("this file is no back-up of Homeroom: it lacks a manifest") from error
    if not fits:
        raise BackupError(
            f"the back-up was written by homeroom {written_by} (revision {found}, this `homeroom` is of "
            f"{revision.CURRENT}): restore it with that release, then upgrade"
        )
    try:
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        raise BackupError("the manifest of this back-up is damaged: take another one") from error
    rows = dict.fromkeys((table.name for table in RECORDS), 0)
    for name, digest in manifest.parts.items():
        content = archive.read(name)
        table = name.partition("/")[0]
        if hashlib.sha256(content).hexdigest() != digest or table not in rows:
            raise BackupError(f"the back-up is damaged ('{name}' is not what was written): take another one")
        rows[table] += pl.scan_parquet(io.BytesIO(content)).select(pl.len()).collect().item()
    if rows != manifest.rows:
        raise BackupError("the back-up is damaged (rows are missing): take another one")
    return manifest


def _close_holds(connection: sa.Connection) -> None:
    """End all that waited or was being applied, and have each school's first sync reviewed again.

    An old Approval must not release what came, went and came again since.
    """
    table = schema.hold
    for row in connection.execute(sa.select(table).where(table.c.state.in_(_ACTIVE))).all():
        left = pl.read_parquet(io.BytesIO(row.rows))
        empty = io.BytesIO()
        left.clear().write_parquet(empty)
        state = State.GONE if row.approval is None else State.USED
        of_hold = [table.c[name] == getattr(row, name) for name in ("namespace", "kind", "name", "id")]
        values = {"rows": empty.getvalue(), "state": state.value, "struck": row.struck + left.height}
        connection.execute(sa.update(table).where(*of_hold).values(values))
    connection.execute(sa.update(table).where(table.c.guard == Guard.FIRST_SYNC.value).values(context=LOST))


def _frames(connection: sa.Connection, table: sa.Table) -> Iterator[pl.DataFrame]:
    """The rows of a table, some at a time. Numbers that the database gives out are not kept: their order is."""
    columns = [column for column in table.columns if column.autoincrement is not True]
    types = {column.name: _dtype(column.type) for column in columns}
    query = sa.select(*columns).order_by(*table.primary_key)
    if table is schema.ledger:  # a school's row says that its first sync was seen: that has to be seen again
        query = query.where(table.c.kind != Kind.SCHOOL.value)
    with connection.execution_options(yield_per=_PART).execute(query) as result:
        for rows in result.partitions():
            yield pl.DataFrame([tuple(row) for row in rows], schema=types, orient="row")


_DTYPES: Final[Mapping[type[sa.types.TypeEngine[Any]], pl.DataType]] = {
    sa.Date: pl.Date(),
    sa.DateTime: pl.Datetime("us"),
    sa.Boolean: pl.Boolean(),
    sa.Integer: pl.Int64(),
    sa.LargeBinary: pl.Binary(),
    sa.String: pl.String(),
}


def _dtype(column: sa.types.TypeEngine[Any]) -> pl.DataType:
    return next(dtype for type_, dtype in _DTYPES.items() if isinstance(column, type_))


def _entry(name: str) -> zipfile.ZipInfo:
    """An entry of a zip that bears no date, and that nobody else may read once it is unpacked."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o600 << 16
    return entry

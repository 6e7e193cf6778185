"""The file of `spec.identity.linksFrom`: a CSV with the columns `from` and `to`, known by its digest.

`location` gets it the way an export is got; `read_links` itself is pure. The result goes into
`homeroom.roster.identity.links_of`, beside the links of the spec. Other columns are for people
(`homeroom identities --propose --csv` writes some) and not read.
"""

from __future__ import annotations

import asyncio
import csv
import io
import shutil
import tempfile
from collections.abc import Iterator
from hashlib import sha256 as digest_of
from pathlib import Path
from typing import Final

import polars as pl

from homeroom.api import InvalidSpecError
from homeroom.errors import HomeroomError, TransientError
from homeroom.roster.identity import LINKS
from homeroom.sources.location import Location

_LONGEST: Final = 255  # characters of a source id
_FIELD: Final = "spec.identity.linksFrom"
LARGEST: Final = 64 << 20
"""Bytes of a file of links: a million humans have room."""


async def fetch_links(location: Location, *, sha256: str) -> pl.DataFrame:
    """The links of the file at `location`, as `read_links`; nothing is left on disk. Its errors name the field."""
    scratch = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="homeroom-links-"))
    try:
        fetched = await location.fetch(previous=None, into=scratch)
        return await asyncio.to_thread(_read, fetched.path, sha256)
    except InvalidSpecError:
        raise
    except HomeroomError as error:  # the way there speaks of an export
        error.message = f"{_FIELD}: {error.message}"
        raise
    finally:
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)


def _read(path: Path, sha256: str) -> pl.DataFrame:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise TransientError(
            f"the file cannot be read ({error.strerror}); check that it is there and is no folder",
            reason="SourceUnavailable",
        ) from error
    if len(content) > LARGEST:
        raise InvalidSpecError(f"{_FIELD}: the file is larger than {LARGEST} bytes, the most that is read")
    return read_links(content, sha256=sha256)


def read_links(content: bytes, *, sha256: str) -> pl.DataFrame:
    """The links in a file with this digest (hex): columns `LINKS`, in the order of the file.

    Rows whose `to` is empty are proposals that nobody has decided, and stay out. Raises InvalidSpecError, which names
    line and field, when the file is not the one that was reviewed or says something impossible.
    """
    found = digest_of(content).hexdigest()
    if found != sha256:
        raise InvalidSpecError(
            f"{_FIELD}: the file has the SHA-256 {found}, and `sha256` says {sha256}: review the file, and commit the "
            "digest of what you reviewed"
        )
    links: dict[str, tuple[int, str]] = {}  # to -> line, from
    for line, values in _rows(content):
        before, after = values["from"], values["to"]
        if not after:
            continue
        for name, value in values.items():
            if not 1 <= len(value) <= _LONGEST:
                raise _wrong(line, name, f"must have 1 to {_LONGEST} characters")
        if before == after:
            raise _wrong(line, "to", "must differ from `from`")
        first, _ = links.setdefault(after, (line, before))
        if first != line:
            raise _wrong(line, "to", f"stands in line {first} already: a record is one human")
    pairs = [(before, after) for after, (_, before) in links.items()]
    return pl.DataFrame(pairs, schema=LINKS, orient="row")


def _rows(content: bytes) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and values of each row, by column of `LINKS`."""
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header = next(reader, [])
        for name in LINKS:
            if header.count(name) != 1:
                raise _wrong(1, name, "must be a column of the header, once")
        places = {name: header.index(name) for name in LINKS}
        for row in reader:
            if row and len(row) != len(header):
                raise _wrong(reader.line_num, "", f"has {len(row)} fields, and the header {len(header)}")
            if row:
                yield reader.line_num, {name: row[place].strip() for name, place in places.items()}
    except UnicodeDecodeError as error:
        raise InvalidSpecError(f"{_FIELD}: the file is not UTF-8 text: save it as UTF-8") from error
    except csv.Error as error:
        raise InvalidSpecError(
            f"{_FIELD}: the file is no CSV ({error}): save it with commas and double quotes"
        ) from error


def _wrong(line: int, field: str, text: str) -> InvalidSpecError:
    where = f"line {line}" + (f", field '{field}'" if field else "")
    return InvalidSpecError(f"{_FIELD}: {where} {text}")

"""Stores on SQLite for tests that are about something else: their tables are copied, not made anew for each."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from homeroom.store import Store

FILE = "homeroom.db"


def open_store(directory: Path) -> Store:
    """The store in a directory, as the operator opens it; a new one where there is none yet."""
    database = directory / FILE
    if not database.exists():
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        database.write_bytes(new_file())
    return Store.open(f"sqlite:///{database}", directory)


@cache
def new_file() -> bytes:
    """The file of a store that nobody has used yet."""
    with TemporaryDirectory() as directory:
        Store.open(f"sqlite:///{directory}/{FILE}", Path(directory)).close()
        return (Path(directory) / FILE).read_bytes()

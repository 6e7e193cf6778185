"""Folders of frames that replace one another: the new one first, then the row that names it, then the old one goes.

Neighbours: `store`, `chats`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from homeroom.errors import TransientError

T = TypeVar("T")


def newest(row: Callable[[], sa.Row[Any] | None], read: Callable[[sa.Row[Any]], T]) -> T | None:
    """What `read` finds in the folder that a row names as `files`; None: there is no row.

    A folder that was replaced just now is read where it is then. Raises TransientError (BaselineBroken) for one that is
    missing: a volume was lost, and the database was not. What was there is not known then, so nothing may be done.
    """
    missing = None
    while (now := row()) is not None:
        try:
            return read(now)
        except FileNotFoundError as error:
            if missing == now.files:
                raise TransientError(
                    "the files of what was applied last are missing, and the database is there: mount the data "
                    "directory that belongs to it, or restore both from one back-up (docs/install.md)",
                    reason="BaselineBroken",
                ) from error
            missing = now.files
    return None


def others(directory: Path, *, keep: set[str]) -> list[Path]:
    """All folders in `directory` but the named ones."""
    if not directory.is_dir():
        return []
    return [entry for entry in directory.iterdir() if entry.name not in keep and entry.is_dir()]


def remove(folders: Iterable[Path]) -> None:
    """Remove them; one that is being read right now stays readable on POSIX, one that is gone is no error."""
    for folder in folders:
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)

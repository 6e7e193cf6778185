"""Folders of frames that replace one another: the new one first, then the row that names it, then the old one goes.

Neighbours: `store`, `chats`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


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

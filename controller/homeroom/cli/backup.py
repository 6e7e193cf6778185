"""`homeroom backup`: the records of the store as one file. Neighbour: `restore`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from homeroom.cli import options, stores, terminal


def command(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Where to; one that is there is replaced. `-`: stdout.", dir_okay=False),
    ],
    *,
    store: options.Store = None,
    data: options.Data = options.DATA,
) -> None:
    """Write what cannot be read anew into one file, while the operator runs.

    History, holds, user names that were given out, and that people were forgotten, as they all are at one moment. Not
    the records of the schools and not what is in the apps: both are read again. It is about people (ids and user
    names): keep it like the records themselves, and no longer than needed. Only you can read the FILE.
    """
    whole = str(file) != "-"
    with tempfile.NamedTemporaryFile(dir=file.parent if whole else None, prefix=".homeroom-", delete=False) as new:
        path = Path(new.name)  # nobody else may read it (0600)
        try:
            with stores.opened(store, data) as opened, terminal.working("reading the store"):
                assert opened is not None
                manifest = opened.backup(new, at=datetime.now(UTC))
            new.flush()
            os.fsync(new.fileno())
            if whole:
                path.replace(file)
            else:
                new.seek(0)
                shutil.copyfileobj(new, sys.stdout.buffer)
        except SQLAlchemyError as error:
            raise stores.StoreUnavailableError(f"the store cannot be read ({type(error).__name__})") from error
        finally:
            path.unlink(missing_ok=True)
    if whole:
        terminal.say(f"{file}: {sum(manifest.rows.values()):,} rows of {len(manifest.rows)} tables")

"""`homeroom restore`: a new store of a back-up. Neighbour: `backup`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homeroom.cli import options, stores, terminal


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="From `homeroom backup`.", exists=True, dir_okay=False)],
    *,
    store: options.Store = None,
    data: options.Data = options.DATA,
) -> None:
    """Make a new store of a back-up. Stop the operator first.

    The store has to be empty, or not there; all of the FILE is checked before, and taken in wholly or not at all. Used
    holds stay used, and what was open is asked anew. Then start the operator: it reads the records, finds its work in
    the apps by its marks, removes nothing (`BaselineLost`), and waits for a first-sync review of each school.
    """
    with file.open("rb") as content, terminal.working(f"restoring {file}"):
        manifest = stores.restore(store, data, content)
    terminal.say(
        f"restored: {sum(manifest.rows.values()):,} rows of {manifest.at:%Y-%m-%d %H:%M} UTC; who was forgotten after "
        "that has to be forgotten again"
    )

"""Options that several commands share, so that they are called and explained alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

DATA: Final = Path("/var/lib/homeroom")
"""Where the shipped manifests put the operator's files."""

Store = Annotated[
    str | None,
    typer.Option(
        envvar="HOMEROOM_STORE",
        metavar="URL",
        help="The operator's database, as SQLAlchemy writes it; by default sqlite, in `homeroom.db` below --data.",
    ),
]
Data = Annotated[
    Path, typer.Option(envvar="HOMEROOM_DATA", help="The operator's files: snapshots and baselines.", file_okay=False)
]

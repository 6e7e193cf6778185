"""`homeroom crds`: the CustomResourceDefinitions, made from the models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homeroom.api.crds import render
from homeroom.cli import terminal


def command(
    *,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir", help="Write one file per kind into this folder instead of printing them.", file_okay=False
        ),
    ] = None,
) -> None:
    """Print or write the CustomResourceDefinitions of this release.

    To install them: homeroom crds | kubectl apply --server-side -f -
    """
    files = render()
    if directory is None:
        terminal.say("---\n".join(files.values()).rstrip("\n"))
        return
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
    terminal.say(f"wrote {len(files)} files to {directory}")

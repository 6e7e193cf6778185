"""All that commands print: words and tables on stdout, errors and progress on stderr.

Colour and progress appear only on a terminal, and no colour where NO_COLOR is set. Tables are plain columns without
frames or wrapping, as kubectl's are, so that they can be piped and copied.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_ORDERS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What terminals obey instead of showing it, and what turns the text around: names of the records may have it."""


def say(text: str = "", *, style: str = "") -> None:
    """Print one or more lines."""
    text = _ORDERS.sub("", text)
    if sys.stdout.isatty():
        _console(sys.stdout).print(text, style=style, soft_wrap=True)
    else:  # a large plan is a hundred thousand lines, which the console would take its time for
        sys.stdout.write(f"{text}\n")


def error(text: str) -> None:
    """Print what went wrong, and in further lines what to do."""
    console = _console(sys.stderr)
    console.print("error: ", style="bold red", end="")
    console.print(_ORDERS.sub("", text), soft_wrap=True)


def warning(text: str) -> None:
    """Print what somebody should know, though it went well."""
    console = _console(sys.stderr)
    console.print("warning: ", style="bold yellow", end="")
    console.print(_ORDERS.sub("", text), soft_wrap=True)


def document(value: object) -> None:
    """Print JSON for programs."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, styles: Sequence[str] = ()) -> None:
    """Print aligned columns; numbers go to the right. `styles`: of each row, may be shorter."""
    rows = list(rows)
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    numeric = [all(isinstance(row[column], int) for row in rows) for column in range(len(header))]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    for number, row in enumerate([header, *cells]):
        words = (
            cell.rjust(width) if right and rows else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        style = "bold" if number == 0 else styles[number - 1] if number <= len(styles) else ""
        say("   ".join(words).rstrip(), style=style)


@contextmanager
def working(on: str) -> Iterator[None]:
    """Show on stderr that something takes its time, if somebody looks."""
    console = _console(sys.stderr)
    if not console.is_terminal:
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - slow, and rare

    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True
    ) as bar:
        bar.add_task(on, total=None)
        yield


def _console(stream: TextIO) -> Console:
    """Made anew each time: tests and shells change where the streams go."""
    from rich.console import Console  # noqa: PLC0415 - 6 MB, which the operator never needs

    return Console(file=stream, highlight=False, emoji=False, markup=False)

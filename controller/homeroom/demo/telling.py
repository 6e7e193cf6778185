"""How the demo tells its story: steps that say how long they took, and sentences that have to be true.

Used by `story` and `seats`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape

from homeroom.errors import TerminalError


@contextlib.contextmanager
def step(console: Console, title: str, *, shows: str = "") -> Iterator[None]:
    """One step of the story; its title before it, how long it took after it."""
    begun = time.monotonic()
    console.print(f"\n[bold]> {escape(title)}[/]")
    if shows:
        console.print(f"  {escape(shows)}", style="dim")
    yield
    console.print(f"  [green]done[/] in {time.monotonic() - begun:.1f} s")


def say(console: Console, text: str) -> None:
    """Print as it is: neither wrapped nor read as markup."""
    console.print(text, markup=False, soft_wrap=True)


def show(console: Console, table: str) -> None:
    """Print what kubectl shows; on a terminal each row on one line, however long its status is."""
    width = console.width if console.is_terminal else None
    say(console, "\n".join(line[:width] for line in table.rstrip().splitlines()))


def proves(what: str, truth: bool) -> None:  # noqa: FBT001 - reads like the sentence it checks
    """Go on if this is true. Raises TerminalError with the sentence."""
    if not truth:
        raise TerminalError(f"it is not true that {what}", reason="DemoFailed")

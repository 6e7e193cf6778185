"""`homeroom demo`: the whole story on a terminal; told by `homeroom.demo.story`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from homeroom.errors import TerminalError


class ClusterChoice(StrEnum):
    """Which cluster the demo uses."""

    OWN = "own"
    CURRENT = "current"


def command(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End after the story, instead of staying up for a look around.")
    ] = False,
    cluster: Annotated[
        ClusterChoice,
        typer.Option(help="`own` builds and starts a control plane here; `current` uses that of your kubeconfig."),
    ] = ClusterChoice.OWN,
    pictures: Annotated[
        Path | None, typer.Option(help="Put pictures of the web pages there; needs a Chromium.", file_okay=False)
    ] = None,
) -> int:
    """Run the whole story on this machine.

    A real API server, a real Kolibri and the operator turn committed YAML and a made-up export into schools, classes
    and people, and repair what is changed by hand. Exit code 0, or 1 with the step that failed. Needs a checkout of
    Homeroom (`make demo` prepares everything).
    """
    try:
        from homeroom.demo import story  # noqa: PLC0415 - needs packages of the extra `demo`, which may be missing
    except ModuleNotFoundError as error:
        raise TerminalError(
            f"the demo needs the package {error.name}: install `homeroom[demo]`, or use `make demo` in a checkout",
            reason="DemoIncomplete",
        ) from error
    return story.run(once=once, current_cluster=cluster is ClusterChoice.CURRENT, pictures=pictures)

"""Options that several commands share, so that they are called and explained alike."""

from __future__ import annotations

from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

import typer

DATA: Final = Path("/var/lib/homeroom")
"""Where the shipped manifests put the operator's files."""

Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace", "-n", envvar="HOMEROOM_NAMESPACE", help="By default that of your kubeconfig's context."
    ),
]
Context = Annotated[str | None, typer.Option(help="Context of your kubeconfig; by default its current one.")]
Files = Annotated[
    list[Path] | None,
    typer.Option(
        "--filename",
        "-f",
        help="Take the resources from this file or folder instead of the cluster; `-` reads stdin. May be repeated.",
    ),
]
SecretFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--secret",
        metavar="NAME=FILE",
        help="Take this Secret from a YAML file (fields, or a Secret) instead of the cluster. May be repeated.",
    ),
]
Records = Annotated[
    Path | None,
    typer.Option(
        "--records",
        help="Take the school records from this OneRoster export (folder or zip) instead of the accepted snapshot.",
        exists=True,
    ),
]
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
OwnerId = Annotated[
    str,
    typer.Option(
        envvar="HOMEROOM_OWNER_ID",
        help="The operator's --owner-id: by it we recognise in the app what is ours.",
    ),
]
Today = Annotated[
    datetime | None,
    typer.Option(
        "--today",
        formats=["%Y-%m-%d"],
        metavar="DATE",
        help="As if today were another day, to see what begins or ends.",
    ),
]
FileRoot = Annotated[
    Path | None,
    typer.Option(
        envvar="HOMEROOM_FILE_ROOT",
        help="`file:` sources lie below this folder, in one of the namespace's name. Without it they are refused.",
        file_okay=False,
    ),
]
AllowLoopback = Annotated[
    bool,
    typer.Option(
        "--allow-loopback",
        envvar="HOMEROOM_ALLOW_LOOPBACK",
        help="Let sources be on this very machine. For the demo and for tests.",
    ),
]
Output = Annotated[Literal["text", "json"], typer.Option("--output", "-o", help="For people, or for programs.")]


def moment(today: datetime | None, *, zone: str) -> datetime:
    """The moment to reckon with: noon of the day that was asked for, else now; where the district is."""
    here = ZoneInfo(zone)
    return datetime.combine(today.date(), time(12), here) if today is not None else datetime.now(here)


def day(today: datetime | None, *, zone: str) -> date:
    """The day to reckon with: as asked for, else today where the district is."""
    return moment(today, zone=zone).date()


def address(text: str) -> tuple[str, int]:
    """Host and port of an option `--listen`. Raises BadParameter."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise typer.BadParameter(
            "must be an address and a port, such as 0.0.0.0:8080 or [::]:8080", param_hint="--listen"
        )
    return host.strip("[]"), int(port)

"""`homeroom units`: the school units of Skolverket's register, to find the code that a licence has to name.

Neighbours: `homeroom.sources.skolverket`, which asks the register as the operator does, and `homeroom.seats.units`,
which searches.
"""

from __future__ import annotations

import asyncio
import csv
import re
import ssl
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from platformdirs import user_cache_path

from homeroom.api import RegisterVersion, UnitStatus
from homeroom.cli import options, terminal
from homeroom.errors import InvalidSpecError
from homeroom.seats.units import UNIT_SCHEMA, search
from homeroom.sources.download import Addresses
from homeroom.sources.skolverket import REGISTER, Skolverket
from homeroom.sources.skolverket_answers import UNIT_CODE, UnitDetail


def command(
    text: Annotated[
        str | None,
        typer.Argument(metavar="[SEARCH]", help="Words of the name, or digits of the code; by default all units."),
    ] = None,
    *,
    municipality: Annotated[
        str | None, typer.Option("--municipality", "-m", help="Only of this municipality: its four digits.")
    ] = None,
    url: Annotated[str, typer.Option(help="Where the register is, or a mirror of it.")] = REGISTER,
    version: Annotated[
        int | None,
        typer.Option("--api", min=1, max=2, help="Version of its interface; by default 2, or 1 where 2 is gone."),
    ] = None,
    proxy: Annotated[str | None, typer.Option(metavar="URL", help="Go through this proxy.")] = None,
    ca_bundle: Annotated[
        Path | None, typer.Option(help="Trust these authorities, too: a file in PEM form.", exists=True)
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask the register, even if it was asked today.")] = False,
    allow_loopback: options.AllowLoopback = False,
    output: Annotated[
        Literal["text", "json", "csv"], typer.Option("--output", "-o", help="For people, programs or spreadsheets.")
    ] = "text",
) -> int:
    """Find school units in Skolverket's register: the code that a licence names.

    Case and accents do not matter, and every word has to be there. A whole code (eight digits) also tells who runs
    the unit and whom it teaches. The list is asked for once a day; what a school owner edits shows the next day.

    Exit codes: 0 found, 1 nothing found, or no answer.

    Example: homeroom units -m 1285 sparv
    """
    if municipality is not None and not re.fullmatch(r"[0-9]{4}", municipality):
        raise InvalidSpecError("--municipality must be a code of four digits, like 1285")
    tls = ssl.create_default_context()
    if ca_bundle is not None:
        tls.load_verify_locations(cafile=ca_bundle)
    register = Skolverket(
        directory=user_cache_path("homeroom") / "registers",
        municipality=municipality,
        version=RegisterVersion(f"V{version}") if version is not None else None,
        url=url,
        proxy=proxy,
        tls=tls,
        addresses=Addresses(allow_local=allow_loopback),
    )
    with terminal.working("asking the register"):
        found = asyncio.run(_find(register, text or "", fresh=fresh))
    if output == "json":
        terminal.document(found)
    elif output == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(UNIT_SCHEMA)
        writer.writerows([unit[name] for name in UNIT_SCHEMA] for unit in found)
    elif found:
        _show(found)
    if not found:
        terminal.error(_nothing(text or "", municipality))
    return 0 if found else 1


async def _find(register: Skolverket, text: str, *, fresh: bool) -> list[dict[str, Any]]:
    """The units that fit, by the columns of `UNIT_SCHEMA`; of one that was asked for by its code, all that is told."""
    if UNIT_CODE.fullmatch(text):
        detail = await register.unit(text)
        return [] if detail is None else [_told(detail)]
    listed = await register.read(now=datetime.now(UTC), fresh=fresh)
    if listed.told is not None:
        terminal.warning(listed.told)
    return search(listed.units, text).to_dicts()


def _told(detail: UnitDetail) -> dict[str, Any]:
    unit = {name: getattr(detail.unit, name) for name in UNIT_SCHEMA}
    return {
        **unit,
        "organizer": detail.organizer,
        "organizationNumber": detail.organization_number,
        "schoolTypes": {name: list(grades) for name, grades in detail.school_types.items()},
    }


def _show(found: Sequence[dict[str, Any]]) -> None:
    terminal.table(
        [name.upper() for name in UNIT_SCHEMA],
        [[unit[name] for name in UNIT_SCHEMA] for unit in found],
        styles=["yellow" if unit["status"] == UnitStatus.CLOSED else "" for unit in found],
    )
    for unit in found:
        if "organizer" in unit:
            types = [" ".join([name, *grades]) for name, grades in unit["schoolTypes"].items()]
            number = f" ({unit['organizationNumber']})" if unit["organizationNumber"] else ""
            terminal.say(f"\nrun by:  {unit['organizer'] or 'not told'}{number}")
            terminal.say(f"teaches: {', '.join(types) or 'not told'}")


def _nothing(text: str, municipality: str | None) -> str:
    where = f" of municipality {municipality}" if municipality else ""
    what = f" '{text}'" if text else ""
    return (
        f"the register has no school unit{what}{where}: try less of the name. Only its owner can add a unit that is "
        "missing there, and it shows the next day"
    )

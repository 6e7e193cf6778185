"""The school unit of a new licence: in the register of its pool, or refused (R6 to R8).

Neighbours: `licence`, `units` (Skolverket's register by itself), `homeroom.seats.units`, which searches.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl
import typer
from platformdirs import user_cache_path

from homeroom.api import (
    LicensePool,
    Reason,
    RegistryType,
    UnitStatus,
)
from homeroom.cli import terminal
from homeroom.cli.files import read_export
from homeroom.errors import DependencyNotReadyError, HomeroomError, InvalidSpecError
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.licences import schools_by_code
from homeroom.roster.tables import Roster
from homeroom.seats.units import UNIT_SCHEMA, resolve, search
from homeroom.sources import load
from homeroom.store import Store

_SHOWN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenUnit:
    """A school unit to write; `name` None: nobody tells. `unlisted`: the register lacks it, and it is right."""

    code: str
    name: str | None
    unlisted: bool = False

    @property
    def named(self) -> str:
        """In words."""
        return f"unit {self.code} ({self.name})" if self.name else f"unit {self.code}"


def units_of(
    pool: LicensePool,
    store: Store | None,
    *,
    export: Path | None,
    allow_loopback: bool,
    code: str | None,
    force: bool,
) -> pl.DataFrame | None:
    """The pool's register: UNIT_SCHEMA; None: it cannot be looked at, and that is to be passed over."""
    try:
        return _register(pool, store, export=export, allow_loopback=allow_loopback, code=code)
    except HomeroomError as error:
        if not force or code is None:
            raise
        terminal.warning(f"the unit was not checked: {error.message}")
        return None


def _register(
    pool: LicensePool, store: Store | None, *, export: Path | None, allow_loopback: bool, code: str | None
) -> pl.DataFrame:
    registry = pool.spec.unit_registry
    if registry.type is RegistryType.SKOLVERKET:
        return asyncio.run(_skolverket(pool, allow_loopback=allow_loopback, code=code))
    if registry.type is RegistryType.INLINE:
        rows = [(unit.code, unit.name, (unit.status or UnitStatus.ACTIVE).value, None) for unit in registry.units or ()]
        return pl.DataFrame(rows, UNIT_SCHEMA, orient="row")
    assert registry.district_ref is not None
    schools = schools_by_code(_roster(pool.metadata.namespace, registry.district_ref.name, store, export))
    schools = schools.filter(pl.len().over("code", "by_id") == 1)  # an identifier of several means none of them
    if code is None:  # to choose from: each school once
        schools = schools.unique("id", keep="first", maintain_order=True)
    return schools.unique("code", keep="first", maintain_order=True).select(
        "code",
        pl.col("name").fill_null(pl.col("id")),
        status=pl.lit(UnitStatus.ACTIVE.value),
        municipality=pl.lit(None, pl.String),
    )


async def _skolverket(pool: LicensePool, *, allow_loopback: bool, code: str | None) -> pl.DataFrame:
    async def secrets(*, namespace: str, name: str) -> Mapping[str, str]:
        words = f"the way to the register needs the Secret '{namespace}/{name}', which this command does not read"
        raise InvalidSpecError(words)

    outside = Outside(owner_id="", allow_loopback=allow_loopback)
    register = await outside.register(pool, secrets, directory=user_cache_path("homeroom") / "registers")
    with terminal.working("asking the register"):
        listed = await register.read(now=datetime.now(UTC), wanted=[code] if code else [])
    if listed.told is not None:
        terminal.warning(listed.told)
    return listed.units


def _roster(namespace: str, district: str, store: Store | None, export: Path | None) -> Roster:
    """The records whose schools are the units."""
    if export is not None:
        return read_export(export, previous=None).roster
    accepted = store.accepted(namespace=namespace, district=district) if store is not None else None
    if store is None or accepted is None:
        raise DependencyNotReadyError(
            f"the units of this pool are the schools of District '{district}', whose records are not known here: give "
            "them with --records, or run this where the operator's store is"
        )
    return load(store.snapshots(namespace=namespace, district=district), accepted.serving).roster


def chosen(
    units: pl.DataFrame | None,
    code: str | None,
    text: str | None,
    pool: LicensePool,
    *,
    unlisted: str | None,
    force: bool,
) -> ChosenUnit:
    """The unit, which the register has (R6, R8). Raises InvalidSpecError with what there is, and whom to ask."""
    ask = f"; ask {pool.spec.contact}" if pool.spec.contact else ""
    if code is None:
        assert units is not None
        code = _found(units.filter(pl.col("status") != UnitStatus.CLOSED.value), text or "", ask=ask)
    if units is None:
        return ChosenUnit(code=code, name=unlisted, unlisted=unlisted is not None)
    unit = resolve(code, units)
    if not isinstance(unit, Reason):
        return ChosenUnit(code=code, name=unit.name)
    if unit is Reason.SCHOOL_UNIT_UNKNOWN and unlisted is not None:
        return ChosenUnit(code=code, name=unlisted, unlisted=True)
    if unit is Reason.SCHOOL_UNIT_CLOSED:
        words = f"the register says that unit '{code}' is closed"
    else:
        words = (
            f"the register has no unit '{code}': --search finds it{ask}; --unlisted and --reason say that it is right"
        )
    if not force:
        raise InvalidSpecError(words)
    terminal.warning(f"{words}; {unit.means.rpartition(': ')[2]}")
    return ChosenUnit(code=code, name=None)


def _found(units: pl.DataFrame, text: str, *, ask: str) -> str:
    """The code of the one unit with these words; of several, somebody at the terminal chooses."""
    found = search(units, text).select("code", "name")
    if found.is_empty():
        raise InvalidSpecError(f"the register has no unit '{text}': try less of the name{ask}")
    if found.height == 1:
        return str(found.item(0, "code"))
    rows = found.head(_SHOWN).rows()
    if not sys.stdin.isatty():
        there = "\n".join(f"{code}   {name}" for code, name in rows)
        more = f"\n... and {found.height - _SHOWN} more" if found.height > _SHOWN else ""
        raise InvalidSpecError(f"{found.height} units have '{text}': choose one with --unit\n{there}{more}")
    terminal.table(["", "CODE", "NAME"], [(number, *row) for number, row in enumerate(rows, start=1)])
    number = typer.prompt(f"which (1 to {len(rows)})", type=int)
    if not 1 <= number <= len(rows):
        raise InvalidSpecError(f"there is no number {number}: choose with --unit")
    return str(rows[number - 1][0])

"""What people hand to commands: YAML files and exports."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from homeroom.cli import terminal
from homeroom.errors import InvalidSpecError
from homeroom.roster.tables import Roster
from homeroom.sources import Snapshot
from homeroom.sources.oneroster_csv import OneRosterCSV


def texts(paths: Iterable[Path]) -> dict[str, str]:
    """File name -> text of all YAML below these files and folders, hidden ones apart; `-` is stdin."""
    found: dict[str, str] = {}
    for path in paths:
        if str(path) == "-":
            found["stdin"] = sys.stdin.read()
            continue
        files = (
            sorted(
                file
                for file in path.rglob("*")
                if file.suffix in {".yaml", ".yml"}
                and not any(part.startswith(".") for part in file.relative_to(path).parts)
            )
            if path.is_dir()
            else [path]
        )
        if not files:
            raise InvalidSpecError(f"{path} holds no .yaml file: name the folder that has the resources")
        for file in files:
            try:
                found[str(file)] = file.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise InvalidSpecError(f"{file} is not UTF-8 text: save it as UTF-8") from error
    return found


def read_export(path: Path, *, previous: Roster | None) -> Snapshot:
    """Read an export on this machine, as a run would. Raises ExportInvalidError or ExportIncompleteError."""
    place = path.resolve()
    with terminal.working(f"reading {path}"):
        return OneRosterCSV(url=place.as_uri(), file_root=place.parent).read(place, previous=previous)

"""What people hand to commands: YAML files and exports."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from homeroom.api import Extensions
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
        for file in yaml_files(path) if path.is_dir() else [path]:
            try:
                found[str(file)] = file.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise InvalidSpecError(f"{file} is not UTF-8 text: save it as UTF-8") from error
    return found


def yaml_files(folder: Path) -> list[Path]:
    """All YAML files below a folder, hidden ones apart, sorted. Raises InvalidSpecError where there is none."""
    found = sorted(
        file
        for file in folder.rglob("*")
        if file.suffix in {".yaml", ".yml"} and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )
    if not found:
        raise InvalidSpecError(f"{folder} holds no .yaml file: name the folder that has the resources")
    return found


def read_export(path: Path, *, previous: Roster | None, extensions: Extensions | None = None) -> Snapshot:
    """Read an export on this machine, as a run would. Raises ExportInvalidError or ExportIncompleteError."""
    place = path.resolve()
    source = OneRosterCSV(url=place.as_uri(), file_root=place.parent, extensions=extensions)
    with terminal.working(f"reading {path}"):
        return source.read(place, previous=previous)

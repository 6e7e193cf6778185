"""The files of an export: found in a folder or a zip archive, checked, and laid out as plain files to be scanned.

Nothing here knows a column. What an archive may do (`Limits`) is checked against what is really unpacked, not only
against what its directory claims. `homeroom.sources.text` looks into the files next.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from homeroom.roster.findings import Findings, Rule
from homeroom.sources.base import refusal

_CHUNK: Final = 1 << 20
_ENCRYPTED: Final = 0x1
_HIDDEN: Final = ("__macosx", ".", "thumbs.db", "desktop.ini")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an export may be at most. Canvas stops at a packing ratio of 100 and at 50 GB."""

    download: int = 4 << 30  # bytes that travel
    unpacked: int = 32 << 30  # bytes of all files together
    ratio: int = 100  # unpacked to packed, judged from `ratio_floor` bytes on: small files pack well
    ratio_floor: int = 64 << 20
    members: int = 200  # files in an archive or folder; OneRoster has 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """The files of an export as plain files, by lower-case name without `.csv`; `findings` on how they were found."""

    files: Mapping[str, Path]
    findings: Findings


def refuse(rule: Rule, *, file: str | None = None, row: int | None = None, field: str | None = None) -> Exception:
    """The error that ends a run because of one finding."""
    return refusal(Findings.one(rule, file=file, row=row, field=field))


@contextmanager
def opened(path: Path, *, wanted: Mapping[str, str], limits: Limits, scratch: Path) -> Iterator[Package]:
    """Lay out the export at `path`; an archive is unpacked into `scratch`.

    `wanted`: official names (without `.csv`) by their lower-case form; only these are unpacked, and `manifest`.
    Raises ExportInvalidError or ExportIncompleteError; the latter also when a folder changed until the context ends.
    """
    if path.is_dir():
        before = fingerprint(path)
        yield _folder(path, wanted=wanted, limits=limits)
        if fingerprint(path) != before:
            raise refuse(Rule.CHANGED_MEANWHILE)
    elif zipfile.is_zipfile(path):
        yield _unpack(path, scratch, wanted=wanted, limits=limits)
    elif _is_cut_archive(path):
        raise refuse(Rule.ARCHIVE_BROKEN)
    else:
        raise refuse(Rule.NOT_AN_EXPORT)


def fingerprint(path: Path) -> str:
    """Changes whenever a file of the folder (or the file) was written, as far as the file system tells."""
    files = [path] if path.is_file() else sorted(entry for entry in path.rglob("*") if entry.is_file())
    stats = [(entry.relative_to(path).as_posix(), entry.stat()) for entry in files]
    return ";".join(f"{name}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ino}" for name, stat in stats)


def holds_only_manifest(path: Path) -> bool:
    """Whether the export is a manifest and nothing else, which means that nothing changed. False when in doubt."""
    if path.is_dir():
        names = [entry.name for entry in _visible(path)]
    else:
        try:
            with zipfile.ZipFile(path) as archive:
                names = [PurePosixPath(info.filename).name for info in archive.infolist() if not info.is_dir()]
        except (zipfile.BadZipFile, OSError):
            return False
    return [name.lower() for name in names] == ["manifest.csv"]


def _is_cut_archive(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _names(members: Mapping[str, PurePosixPath], *, wanted: Mapping[str, str]) -> tuple[dict[str, str], list[Findings]]:
    """Which member holds which file, and what is odd about that."""
    chosen: dict[str, str] = {}
    findings = []
    known = {"manifest": "manifest", **wanted}
    for member, place in members.items():
        name = place.name.lower().removesuffix(".csv")
        if not place.name.lower().endswith(".csv") or name not in known:
            continue
        if name in chosen:
            raise refuse(Rule.FILE_TWICE, file=f"{known[name]}.csv")
        chosen[name] = member
        if place.name != f"{known[name]}.csv":
            findings.append(Findings.one(Rule.HEADER_SPELLING, file=f"{known[name]}.csv"))
    if not chosen:
        raise refuse(Rule.NOTHING_THERE)
    if any(len(members[member].parts) > 1 for member in chosen.values()):
        findings.append(Findings.one(Rule.IN_FOLDER))
    return chosen, findings


def _folder(path: Path, *, wanted: Mapping[str, str], limits: Limits) -> Package:
    root = path.resolve()
    members = {}
    for number, entry in enumerate(_visible(path)):
        if number >= limits.members:
            raise refuse(Rule.TOO_LARGE)
        if not entry.resolve().is_relative_to(root):
            raise refuse(Rule.ARCHIVE_PATH)
        members[entry.relative_to(path).as_posix()] = PurePosixPath(entry.relative_to(path).as_posix())
    chosen, findings = _names(members, wanted=wanted)
    files = {name: path / member for name, member in chosen.items()}
    if sum(file.stat().st_size for file in files.values()) > limits.unpacked:
        raise refuse(Rule.TOO_LARGE)
    return Package(files=files, findings=Findings.join(findings))


def _visible(path: Path) -> Iterator[Path]:
    """Files of a folder and of the folders right in it: one level is tolerated, as in an archive."""
    for entry in sorted(path.iterdir()):
        if entry.name.lower().startswith(_HIDDEN):
            continue
        if entry.is_dir():
            yield from sorted(inner for inner in entry.iterdir() if inner.is_file())
        else:
            yield entry


def _unpack(path: Path, place: Path, *, wanted: Mapping[str, str], limits: Limits) -> Package:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            chosen, findings = _choose(infos, wanted=wanted, limits=limits)
            budget = limits.unpacked
            files = {}
            for name, info in chosen.items():
                files[name] = place / f"{name}.csv"
                budget -= _unpack_one(archive, info, files[name], budget=budget, limits=limits)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # a full disk is not the archive's fault
        raise refuse(Rule.ARCHIVE_BROKEN) from error
    return Package(files=files, findings=Findings.join(findings))


def _choose(
    infos: list[zipfile.ZipInfo], *, wanted: Mapping[str, str], limits: Limits
) -> tuple[dict[str, zipfile.ZipInfo], list[Findings]]:
    if len(infos) > limits.members:
        raise refuse(Rule.TOO_LARGE)
    members = {}
    for number, info in enumerate(infos):
        place = PurePosixPath(info.filename.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or ":" in info.filename:
            raise refuse(Rule.ARCHIVE_PATH)
        if len(place.parts) <= 2 and not place.parts[0].lower().startswith(_HIDDEN):
            members[str(number)] = place  # by number: an archive may hold one name twice
    chosen, findings = _names(members, wanted=wanted)
    picked = {name: infos[int(number)] for name, number in chosen.items()}
    for name, info in picked.items():
        file = f"{wanted.get(name, name)}.csv"
        if info.flag_bits & _ENCRYPTED:
            raise refuse(Rule.ARCHIVE_LOCKED, file=file)
        if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise refuse(Rule.ARCHIVE_METHOD, file=file)
    return picked, findings


def _unpack_one(archive: zipfile.ZipFile, info: zipfile.ZipInfo, to: Path, *, budget: int, limits: Limits) -> int:
    """Unpack one file and return its size. Its checksum is verified by `zipfile` when the end is reached."""
    most = min(budget, max(limits.ratio_floor, info.compress_size * limits.ratio))
    size = 0
    with archive.open(info) as packed, to.open("wb") as plain:
        while chunk := packed.read(_CHUNK):
            size += len(chunk)
            if size > most:
                raise refuse(Rule.TOO_LARGE)
            plain.write(chunk)
    if size != info.file_size:
        raise refuse(Rule.ARCHIVE_BROKEN)
    return size

"""OneRoster CSV as a source: a folder or zip archive below the file root, or a zip archive at an https address."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from homeroom.api.district import Extensions
from homeroom.hop import Hop
from homeroom.roster.tables import Roster
from homeroom.sources.base import Fetched, Snapshot
from homeroom.sources.download import Addresses, SessionFactory, new_session
from homeroom.sources.location import Location
from homeroom.sources.oneroster import read_export
from homeroom.sources.package import Limits, holds_only_manifest
from homeroom.sources.remembered import NO_LINES, Lines


class OneRosterCSV:
    """One export, at `url`; the other words are those of `Location`.

    `scratch`: where archives are unpacked; None: the system's temporary folder. `extensions`: columns beyond OneRoster
    that are read; None: none are.

    Raises InvalidSpecError or RefusedError for an impossible address.
    """

    def __init__(
        self,
        *,
        url: str,
        file_root: Path | None,
        credentials: Mapping[str, str] | None = None,
        proxy: str | None = None,
        ca_bundle: str | None = None,
        session_factory: SessionFactory = new_session,
        addresses: Addresses | None = None,
        limits: Limits | None = None,
        scratch: Path | None = None,
        extensions: Extensions | None = None,
    ) -> None:
        self._extensions = extensions or Extensions()
        self._limits = limits or Limits()
        self._scratch = scratch
        self._location = Location(
            url=url,
            file_root=file_root,
            largest=self._limits.download,
            credentials=credentials,
            proxy=proxy,
            ca_bundle=ca_bundle,
            session_factory=session_factory,
            addresses=addresses,
        )

    async def fetch(self, *, previous: str | None, into: Path) -> Fetched:
        """Get the export, or learn that it did not change since `previous`.

        A file is used where it lies; a download lands in `into`. An export that holds nothing but a manifest says that
        nothing changed. Raises TransientError when there is no answer, RefusedError when it may not be read.
        """
        fetched = await self._location.fetch(previous=previous, into=into)
        if previous is None or fetched.unchanged:
            return fetched
        unchanged = await asyncio.to_thread(holds_only_manifest, fetched.path)
        return Fetched(path=fetched.path, validator=fetched.validator, unchanged=unchanged)

    def read(self, path: Path, *, previous: Roster | None, lines: Lines = NO_LINES) -> Snapshot:
        """Read and validate; invalid records count as in `previous`, which `lines` made. Blocking: call it in a thread.

        Raises ExportInvalidError or ExportIncompleteError: then nothing changes, and the findings say why.
        """
        return read_export(
            path,
            previous=previous,
            lines=lines,
            limits=self._limits,
            scratch=self._scratch,
            extensions=self._extensions,
        )

    async def check(self) -> Sequence[Hop]:
        """Try each hop to the export, and stop at the first that fails."""
        return await self._location.check()

"""OneRoster CSV as a source: a folder or zip archive below the file root, or a zip archive at an https address."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from homeroom.errors import InvalidSpecError, RefusedError, TransientError
from homeroom.hop import Hop
from homeroom.roster.tables import Roster
from homeroom.sources.base import Fetched, Snapshot
from homeroom.sources.download import Addresses, Download, SessionFactory, new_session
from homeroom.sources.oneroster import read_export
from homeroom.sources.package import Limits, fingerprint, holds_only_manifest


class OneRosterCSV:
    """One export, at `url`.

    `file_root`: the folder below which `file:` addresses lie (the tenant's own); None: there are none.
    `credentials`: username and password (basic), or token (bearer). `ca_bundle`: PEM text. `scratch`: where archives
    are unpacked; None: the system's temporary folder.

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
    ) -> None:
        self._limits = limits or Limits()
        self._scratch = scratch
        parts = urlsplit(url)
        self._file = _below(file_root, parts.path) if parts.scheme == "file" else None
        self._download = (
            None
            if self._file is not None
            else Download(
                url=url,
                credentials=credentials or {},
                proxy=proxy,
                tls=_trust(ca_bundle),
                session_factory=session_factory,
                addresses=addresses or Addresses(),
                largest=self._limits.download,
            )
        )

    async def fetch(self, *, previous: str | None, into: Path) -> Fetched:
        """Get the export, or learn that it did not change since `previous`.

        A file is used where it lies; a download lands in `into`. An export that holds nothing but a manifest says that
        nothing changed. Raises TransientError when there is no answer, RefusedError when it may not be read.
        """
        if self._download is not None:
            fetched = await self._download.fetch(previous=previous, into=into)
        else:
            fetched = await asyncio.to_thread(self._look, previous)
        if previous is None or fetched.unchanged:
            return fetched
        unchanged = await asyncio.to_thread(holds_only_manifest, fetched.path)
        return Fetched(path=fetched.path, validator=fetched.validator, unchanged=unchanged)

    def read(self, path: Path, *, previous: Roster | None) -> Snapshot:
        """Read and validate; invalid records count as in `previous`. Blocking: call it in a thread.

        Raises ExportInvalidError or ExportIncompleteError: then nothing changes, and the findings say why.
        """
        return read_export(path, previous=previous, limits=self._limits, scratch=self._scratch)

    async def check(self) -> Sequence[Hop]:
        """Try each hop to the export, and stop at the first that fails."""
        if self._download is not None:
            return await self._download.check()
        try:
            await asyncio.to_thread(self._look, None)
        except TransientError as error:
            return [Hop(name="file", ok=False, words=error.message)]
        return [Hop(name="file", ok=True, words="the export is there and can be read")]

    def _look(self, previous: str | None) -> Fetched:
        assert self._file is not None
        try:
            validator = fingerprint(self._file)
            next(self._file.iterdir(), None) if self._file.is_dir() else self._file.open("rb").close()
        except OSError as error:
            raise TransientError(
                f"the export cannot be read below the file root ({error.strerror}); check that it is there and"
                " that the operator's user may read it",
                reason="SourceUnavailable",
            ) from error
        return Fetched(path=self._file, validator=validator, unchanged=validator == previous)


def _below(root: Path | None, path: str) -> Path:
    """The file at a `file:` address, which has to lie below the root even when symbolic links are followed."""
    if root is None:
        raise RefusedError(
            "file: addresses are not enabled; start the operator with --file-root", reason="SourceRefused"
        )
    given = unquote(path)
    inside = Path(given).is_relative_to(root)  # the whole path may be written, too
    place = (Path(given) if inside else root / given.lstrip("/")).resolve()
    if not place.is_relative_to(root.resolve()):
        raise RefusedError(
            "the address leads out of the tenant's folder below --file-root; use a path inside of it",
            reason="SourceRefused",
        )
    return place


def _trust(ca_bundle: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata=ca_bundle)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidSpecError("caBundle holds no certificate in PEM form; paste the whole certificate") from error

"""Where a file of a tenant lies: below the file root, or at an https address; and how to get it.

Knows nothing of what is in the file. Used by `oneroster_csv` and `links`; `download` goes the way over https.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from homeroom.errors import InvalidSpecError, RefusedError, TransientError
from homeroom.hop import Hop
from homeroom.sources.base import Fetched
from homeroom.sources.download import Addresses, Download, SessionFactory, new_session
from homeroom.sources.package import fingerprint


class Location:
    """The file or folder at `url`.

    `file_root`: the folder below which `file:` addresses lie (the tenant's own); None: there are none. `credentials`:
    username and password (basic), or token (bearer). `ca_bundle`: PEM text. `largest`: bytes that are downloaded.

    Raises InvalidSpecError or RefusedError for an impossible address.
    """

    def __init__(
        self,
        *,
        url: str,
        file_root: Path | None,
        largest: int,
        credentials: Mapping[str, str] | None = None,
        proxy: str | None = None,
        ca_bundle: str | None = None,
        session_factory: SessionFactory = new_session,
        addresses: Addresses | None = None,
    ) -> None:
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
                largest=largest,
            )
        )

    async def fetch(self, *, previous: str | None, into: Path) -> Fetched:
        """Get it, or learn that it did not change since `previous`.

        A file is used where it lies; a download lands in `into`. Raises TransientError when there is no answer,
        RefusedError when it may not be read.
        """
        if self._download is not None:
            return await self._download.fetch(previous=previous, into=into)
        return await asyncio.to_thread(self._look, previous)

    async def check(self) -> Sequence[Hop]:
        """Try each hop to it, and stop at the first that fails."""
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

"""Fetching an export over https: conditional, streamed to disk, proven to be complete, and only from allowed addresses.

A tenant chooses the address, so it must not lead to the node, the cluster's API or a cloud's metadata service. Names
are resolved here, judged, and connected to as judged (`_Judging` is the connector's resolver), at every redirect anew;
so an answer that changes between two look-ups gains nothing. Through a proxy, names are judged as far as we can
resolve them, and the proxy's own address is judged like any other.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from homeroom.errors import (
    HomeroomError,
    IncompleteReadError,
    InvalidSpecError,
    RefusedError,
    TerminalError,
    TransientError,
)
from homeroom.hop import Hop
from homeroom.sources.base import Fetched

_CHUNK: Final = 1 << 20
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 5
_TIMEOUT: Final = aiohttp.ClientTimeout(total=3600, sock_connect=30, sock_read=60)
"""An hour for a whole export, a minute of silence, 30 seconds for a connection."""
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_IP = ipaddress.IPv4Address | ipaddress.IPv6Address

SessionFactory = Callable[[aiohttp.BaseConnector, aiohttp.ClientTimeout], aiohttp.ClientSession]


def new_session(connector: aiohttp.BaseConnector, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
    """A session that takes nothing from the environment: proxies are declared, not inherited."""
    return aiohttp.ClientSession(
        connector=connector,
        timeout=timeout,
        trust_env=False,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Which addresses may be read. `api_server`: those of the Kubernetes API; `allow_local`: a flag of the operator.

    `allow_local` opens loopback, link-local and API-server addresses, and http besides https.
    """

    api_server: frozenset[str] = frozenset()
    allow_local: bool = False

    def admit(self, address: str) -> bool:
        """Whether this numeric address may be connected to."""
        ip: _IP = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(ip, ipaddress.IPv6Address):
            if ip.ipv4_mapped is not None:
                ip = ip.ipv4_mapped
            elif ip in _NAT64:
                ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if self.allow_local:
            return True
        if ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast:
            return False
        return ip not in {ipaddress.ip_address(own) for own in self.api_server}


class _Judging(AbstractResolver):
    """Resolves names, and gives only addresses that may be connected to."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        admitted = [entry for entry in found if self._addresses.admit(entry["host"])]
        if not admitted:
            raise _refused()
        return admitted

    async def close(self) -> None:
        await self._resolver.close()


def _refused() -> RefusedError:
    return RefusedError(
        "the address of the source is the node's own, link-local or the Kubernetes API's, and may not be read; use the"
        " address of the student system",
        reason="SourceRefused",
    )


class NothingThereError(TransientError):
    """The address answers that nothing is there (404), or not any more (410)."""

    def __init__(self, status: int) -> None:
        super().__init__(
            f"the source answers with status {status}; check the address, or wait until it is repaired",
            reason="SourceUnavailable",
        )
        self.gone = status == 410


def _unavailable(words: str, *, retry_after: float | None = None) -> TransientError:
    return TransientError(words, reason="SourceUnavailable", retry_after=retry_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Validator:
    """What is remembered of a download."""

    etag: str | None
    modified: str | None
    sha256: str

    def dump(self) -> str:
        return json.dumps({"etag": self.etag, "modified": self.modified, "sha256": self.sha256}, sort_keys=True)

    @classmethod
    def load(cls, text: str | None) -> _Validator | None:
        """None when there is none, or when it is one of another kind of source."""
        try:
            fields = json.loads(text or "")
            return cls(etag=fields["etag"], modified=fields["modified"], sha256=fields["sha256"])
        except (ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One export at an https address."""

    url: str
    credentials: Mapping[str, str] = field(repr=False)
    proxy: str | None = field(repr=False)
    tls: ssl.SSLContext
    session_factory: SessionFactory
    addresses: Addresses
    largest: int

    async def fetch(self, *, previous: str | None, into: Path) -> Fetched:
        """Download to `into` unless it did not change. Raises HomeroomError; then nothing is left behind."""
        known = _Validator.load(previous)
        path = into / "export.zip"
        unfinished = into / ".export.zip.unfinished"
        headers = {"Accept-Encoding": "identity"}
        if known is not None and known.etag:
            headers["If-None-Match"] = known.etag
        if known is not None and known.modified:
            headers["If-Modified-Since"] = known.modified
        try:
            async with self._answer(headers) as answer:
                if answer.status == 304 and known is not None:
                    return Fetched(path=path, validator=previous, unchanged=True)
                digest = await self._save(answer, unfinished)
                validator = _Validator(
                    etag=answer.headers.get("ETag"), modified=answer.headers.get("Last-Modified"), sha256=digest
                )
            await asyncio.to_thread(unfinished.replace, path)
        except OSError as error:
            raise _unavailable(
                f"the download cannot be written to disk ({error.strerror}); check the operator's volume"
            ) from error
        finally:
            unfinished.unlink(missing_ok=True)
        return Fetched(
            path=path, validator=validator.dump(), unchanged=known is not None and known.sha256 == validator.sha256
        )

    async def check(self) -> Sequence[Hop]:
        """Try name, connection and answer."""
        try:
            async with self._answer({"Accept-Encoding": "identity"}) as answer:
                size = answer.headers.get("Content-Length")
        except HomeroomError as error:
            return [Hop(name="https", ok=False, words=error.message)]
        words = "the address answers, the certificate is trusted, the credentials are accepted"
        return [Hop(name="https", ok=True, words=words if size is None else f"{words}; the export has {size} bytes")]

    @asynccontextmanager
    async def _answer(self, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer that redirects lead to: 200 or 304. Credentials go to the declared host only."""
        connector = aiohttp.TCPConnector(ssl=self.tls, resolver=_Judging(self.addresses), use_dns_cache=False)
        async with self.session_factory(connector, _TIMEOUT) as session:
            url = URL(self.url)
            home = url.origin() if url.is_absolute() and url.host else None
            for _ in range(_MOST_REDIRECTS + 1):
                await self._judge(url)
                sent = {**headers, **(self._authorization() if url.origin() == home else {})}
                try:
                    async with session.get(url, headers=sent, proxy=self.proxy, allow_redirects=False) as answer:
                        if answer.status not in _REDIRECTS or "Location" not in answer.headers:
                            _judge_status(answer)
                            yield answer
                            return
                        url = _further(url, answer.headers["Location"])
                except HomeroomError:
                    raise
                except aiohttp.ClientConnectorCertificateError as error:
                    raise _unavailable(
                        "the certificate of the source is not trusted; give its authority as caBundle"
                    ) from error
                except aiohttp.ClientProxyConnectionError as error:
                    raise _unavailable("the proxy cannot be reached; check the declared `proxy`") from error
                except aiohttp.ClientHttpProxyError as error:
                    raise _unavailable(f"the proxy answers {error.status}; check the declared `proxy`") from error
                except aiohttp.ClientConnectorDNSError as error:
                    raise _unavailable("the name of the source cannot be resolved; check the address") from error
                except aiohttp.ClientPayloadError as error:
                    raise _cut() from error
                except (aiohttp.ClientError, TimeoutError) as error:
                    kind = type(error).__name__  # its text may hold the address with a token in it
                    raise _unavailable(
                        f"the source cannot be read ({kind}); `homeroom check` tries each hop"
                    ) from error
            raise _unavailable(f"the source redirects more than {_MOST_REDIRECTS} times; check the address")

    async def _judge(self, url: URL) -> None:
        """Refuse what must not be read before anything is sent. The resolver judges names again when it connects."""
        schemes = {"https", "http"} if self.addresses.allow_local else {"https"}
        if url.scheme not in schemes or not url.host:
            raise InvalidSpecError("the address of the source has to begin with https:// or file:")
        if url.user or url.password:
            raise InvalidSpecError("the address of the source holds a password; put it into the Secret of secretRef")
        proxy = URL(self.proxy).host if self.proxy is not None else None
        for host in (url.host, proxy):
            if host is not None and not self._is_admitted_number(host):
                raise _refused()
        if proxy is not None and not await self._is_admitted_name(url.host):
            raise _refused()

    def _is_admitted_number(self, host: str) -> bool:
        """Numeric addresses are not resolved, hence judged here; names are judged by the connector's resolver."""
        try:
            return self.addresses.admit(host)
        except ValueError:
            return True

    async def _is_admitted_name(self, host: str) -> bool:
        """Behind a proxy the proxy resolves names. What we can resolve ourselves is judged all the same."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            return True  # only the proxy knows this name
        return all(self.addresses.admit(str(entry[4][0])) for entry in found)

    def _authorization(self) -> dict[str, str]:
        if "token" in self.credentials:
            return {"Authorization": f"Bearer {self.credentials['token'].strip()}"}
        if "username" in self.credentials:
            login = aiohttp.encode_basic_auth(self.credentials["username"], self.credentials.get("password", ""))
            return {"Authorization": login}
        return {}

    async def _save(self, answer: aiohttp.ClientResponse, to: Path) -> str:
        """Write the body to a file and return its sha256; proves that it has the announced length."""
        announced = answer.content_length
        if announced is not None and announced > self.largest:
            raise self._too_large()
        digest = sha256()
        size = 0
        with await asyncio.to_thread(to.open, "wb") as file:
            async for chunk in answer.content.iter_chunked(_CHUNK):
                size += len(chunk)
                if size > self.largest:
                    raise self._too_large()
                digest.update(chunk)  # a megabyte takes a millisecond
                await asyncio.to_thread(file.write, chunk)
            await asyncio.to_thread(file.flush)
            await asyncio.to_thread(os.fsync, file.fileno())
        if announced is not None and size != announced:
            raise _cut()
        return digest.hexdigest()

    def _too_large(self) -> TerminalError:
        return TerminalError(
            f"the export is larger than {self.largest} bytes, the most that is downloaded; check what it contains",
            reason="SourceInvalid",
        )


def _further(url: URL, location: str) -> URL:
    """Where a redirect leads. Raises TransientError."""
    try:
        return url.join(URL(location))
    except ValueError as error:
        raise _unavailable("the source redirects to something that is no address; check the address") from error


def _cut() -> IncompleteReadError:
    return IncompleteReadError(
        "the download ended before the export did; nothing changes, and it is tried again", reason="SourceIncomplete"
    )


def _judge_status(answer: aiohttp.ClientResponse) -> None:
    """Only 200 and 304 are answers."""
    if answer.status in {200, 304}:
        return
    if answer.status in {401, 403}:
        raise TerminalError(
            f"the source does not accept the credentials (status {answer.status}); correct the Secret of secretRef",
            reason="CredentialsInvalid",
        )
    if answer.status in {404, 410}:
        raise NothingThereError(answer.status)
    raise _unavailable(
        f"the source answers with status {answer.status}; check the address, or wait until it is repaired",
        retry_after=_retry_after(answer.headers.get("Retry-After")),
    )


def _retry_after(text: str | None) -> float | None:
    """Seconds, when the other side gave them; a date is left to the ordinary back-off."""
    return float(text) if text is not None and text.isdecimal() else None

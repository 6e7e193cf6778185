"""Calls to a Synapse server, by Matrix' client API and Synapse's admin API, whose failures are told apart.

One access token serves all runs: nobody logs in here, as each log-in leaves a device behind. What Synapse says in words
is never passed on, as it names accounts; its error codes are.
"""

from __future__ import annotations

import json as json_module
import ssl
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from yarl import URL

from homeroom.errors import RefusedError, TerminalError, TransientError
from homeroom.wire import answered, whole

TIMEOUT: Final = aiohttp.ClientTimeout(total=120, sock_connect=10, sock_read=90)
"""Making a room takes 0.2 s, the state of a room with a thousand people less than a second."""

CLIENT: Final = "_matrix/client/v3"
ADMIN: Final = "_synapse/admin"
MEDIA: Final = "_matrix/media/v3"

_LARGEST: Final = 64 << 20
"""Bytes of an answer, unpacked; the state of a room with ten thousand people is some 5 MB."""

_TOKEN_STEP: Final = "m.login.registration_token"  # noqa: S105 - the name of a step, not a secret
_BUSY: Final = frozenset({408, 429, 502, 503, 504})


class RefusedCallError(RefusedError):
    """Synapse said no to one call. `code` is Matrix' word for it (`M_FORBIDDEN`), empty where there was none.

    Never decide by it what has become of a person: one code stands for many reasons. Read again.
    """

    def __init__(self, *, status: int, code: str) -> None:
        super().__init__(f"synapse refused it: {code or 'no error code'} ({status})", reason="TargetRefused")
        self.status = status
        self.code = code


def path(*parts: str) -> str:
    """An address of a fixed first part and names, which are escaped: room ids, aliases and accounts hold anything."""
    return "/".join([parts[0], *(quote(part, safe="") for part in parts[1:])])


class Api:
    """Calls to one server, under one token. Opened by making it, inside a running loop; `close` it at the end."""

    def __init__(
        self,
        *,
        url: str,
        token: str,
        connector: aiohttp.BaseConnector | None,
        middlewares: Sequence[aiohttp.ClientMiddlewareType],
        proxy: str | None,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.base = URL(url.rstrip("/") + "/")
        self._proxy = proxy
        self._tls = tls
        self._known = {"Authorization": f"Bearer {token}"}
        self._session = aiohttp.ClientSession(
            connector=connector,
            middlewares=middlewares,
            timeout=TIMEOUT,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Accept": "application/json"},
        )

    @property
    def first_hop(self) -> tuple[str, int]:
        """Host and port that we connect to: the proxy's where there is one."""
        url = URL(self._proxy) if self._proxy else self.base
        return url.host or "", url.port or 0

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def upload(self, content: bytes, type_: str) -> str:
        """Put a file of this media type into the media repository; the address that rooms use. Raises as `call`."""
        answer = await self.call("POST", f"{MEDIA}/upload", content, more={"Content-Type": type_})
        uri = answer.get("content_uri") if isinstance(answer, dict) else None
        if not isinstance(uri, str) or not uri.startswith("mxc://"):
            raise RefusedError("synapse took a file and did not say where it is", reason="TargetRefused")
        return uri

    async def call(
        self, method: str, at: str, body: object = None, *, more: Mapping[str, str] = MappingProxyType({})
    ) -> Any:
        """One call, at a `path`; its JSON. `body`: bytes are sent as they are, with `more` headers, all else as JSON.

        Raises RefusedCallError when Synapse says no to exactly this, TerminalError when it does not know our token, and
        TransientError when it is unreachable or busy, at once: nobody waits in here for a minute that it asks for.
        """
        url = URL(f"{self.base}{at}", encoded=True)
        async with self._answer(method, url, body, headers={**self._known, **more}) as answer:
            text = await _read(answer)
            if answer.status in _BUSY:
                raise TransientError(
                    f"synapse answered {answer.status}: it is overloaded, restarting, or our account has limits "
                    "(`homeroom check`)",
                    reason="TargetUnavailable",
                    retry_after=_wait(answer, text),
                )
            if 300 <= answer.status < 400:  # following it could lead anywhere, with the token
                raise TransientError(
                    "synapse sends us to another address: put the one that it really has into the spec",
                    reason="TargetUnavailable",
                )
            if answer.status == 401:
                raise TerminalError(
                    f"synapse does not accept the access token ({_code(text)}): put a valid one into the Secret",
                    reason="CredentialsInvalid",
                )
            if answer.status >= 400:
                raise RefusedCallError(status=answer.status, code=_code(text))
            try:
                return json_module.loads(text)
            except (ValueError, RecursionError) as error:
                raise TransientError(
                    "something other than synapse answers at its address: check the address and the proxy",
                    reason="TargetUnavailable",
                ) from error

    async def anybody_registers(self) -> bool:
        """Whether a stranger can make an account on the server, by the steps that it asks of one. Makes none."""
        url = URL(f"{self.base}{CLIENT}/register", encoded=True)
        async with self._answer("POST", url, {}, headers={}) as answer:  # as a stranger: without our token
            ways = _fields(await _read(answer)).get("flows")
        if answer.status != 401 or not isinstance(ways, list):
            return False
        return any(isinstance(way, dict) and _TOKEN_STEP not in way.get("stages", ()) for way in ways)

    def _answer(
        self, method: str, url: URL, body: object, *, headers: Mapping[str, str]
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return answered(
            self._session, method, url, who="synapse", proxy=self._proxy, tls=self._tls, body=body, headers=headers
        )


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    return await whole(answer, who="synapse", most=_LARGEST)


def _fields(text: bytes) -> Mapping[str, Any]:
    try:
        body = json_module.loads(text)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _code(text: bytes) -> str:
    """The error code of an answer; never its text."""
    code = _fields(text).get("errcode")
    return code if isinstance(code, str) and code.isascii() and len(code) <= 64 else ""


def _wait(answer: aiohttp.ClientResponse, text: bytes) -> float | None:
    """Seconds that the server asks us to wait."""
    milliseconds = _fields(text).get("retry_after_ms")
    if isinstance(milliseconds, int):
        return min(milliseconds, 10**9) / 1000
    header = answer.headers.get("Retry-After", "")
    return float(header) if header.isdecimal() else None

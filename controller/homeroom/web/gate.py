"""What every request has to pass, and every answer to carry. Neighbours: `site` (the pages), `server` (connections).

::

    request --> not too large? --> from a form of ours? --> all of it in time? --> page --> headers that keep others out
"""

from __future__ import annotations

import asyncio
import re
import traceback
from time import monotonic
from typing import Final
from urllib.parse import parse_qsl

import structlog
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS: Final = 8192
"""Bytes of a request before its body; browsers need one or two thousand."""
_BODY: Final = 4096
"""Bytes of a form; ours need some hundred."""
_BODY_SECONDS: Final = 10.0
_FIELDS: Final = 10
_BOUNDARY: Final = re.compile(r"""boundary="?([A-Za-z0-9'()+_,./:=?-]{1,70})"? *(?:;|$)""")
_NAMED: Final = re.compile(rb'^content-disposition: *form-data; *name="([a-z]{1,20})"', re.IGNORECASE | re.MULTILINE)

HEADERS: Final = {
    # No script, no picture, no frame; style sheets and forms of our own only.
    "content-security-policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    # Others are told nothing, and so nobody sees a link with its word. Not `no-referrer`: with it browsers would send
    # `Origin: null` with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}

log = structlog.get_logger(__name__)


class Gate:
    """Wraps the pages. `origin`: scheme and host of our pages, as browsers write them."""

    def __init__(self, app: ASGIApp, *, origin: str) -> None:
        self._app = app
        self._headers = HEADERS | (
            {"strict-transport-security": "max-age=31536000"} if origin.startswith("https:") else {}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = monotonic(), 500

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        size = len(scope["raw_path"]) + len(scope["query_string"])
        size += sum(len(name) + len(value) for name, value in scope["headers"])
        try:
            if size > _HEADERS:
                await PlainTextResponse("too large\n", 431)(scope, receive, guarded)
                return
            await self._app(scope, receive, guarded)
        except Exception as error:  # noqa: BLE001 - the page for it has been sent; here it is told
            # Where it happened, not its words: they may repeat what somebody entered, or a row of the store.
            frames = traceback.extract_tb(error.__traceback__)
            places = [f"{frame.name}:{frame.lineno}" for frame in frames[-5:]]
            log.error("a request failed", error=type(error).__name__, places=places)  # noqa: TRY400 - see above
        finally:
            # The route, never the path, which may have a link's word; and no address of anybody.
            route = getattr(scope.get("route"), "path", "")
            if route not in {"/livez", "/readyz"}:
                milliseconds = round((monotonic() - began) * 1000)
                log.info("request", method=scope["method"], route=route, status=status, milliseconds=milliseconds)


async def form(request: Request) -> dict[str, str]:
    """The fields of a form. Raises HTTPException when it is too large, too slow, broken off, or none."""
    if _type(request) != "application/x-www-form-urlencoded":
        raise HTTPException(415)
    return _fields(await _body(request, _BODY))


async def upload(request: Request, *, file: str, limit: int) -> tuple[dict[str, str], bytes]:
    """The fields of a form, and what is in its one file, of at most `limit` bytes. Raises as `form` does.

    Nothing is written to a disk, and no name of a file is looked at.
    """
    boundary = _BOUNDARY.search(request.headers.get("content-type", ""))
    if _type(request) != "multipart/form-data" or boundary is None:
        raise HTTPException(415)
    content, fields = b"", {}
    parts = (b"\r\n" + await _body(request, limit + _BODY)).split(b"\r\n--" + boundary[1].encode())
    if len(parts) > _FIELDS + 2:
        raise HTTPException(400)
    for part in parts[1:-1]:
        head, _, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        named = _NAMED.search(head)
        if named is None:
            raise HTTPException(400)
        if named[1] == file.encode():
            content = value
            continue
        try:
            fields[named[1].decode()] = value.decode()
        except UnicodeDecodeError as error:
            raise HTTPException(400) from error
    return fields, content


def _type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip()


async def _body(request: Request, limit: int) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise HTTPException(413)
    except TimeoutError as error:
        raise HTTPException(408) from error
    except ClientDisconnect as error:  # nobody reads the answer; it is no failure of ours
        raise HTTPException(400) from error
    return bytes(body)


def _fields(body: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict"))
    except ValueError as error:
        raise HTTPException(400) from error

"""What all talk with servers of others has in common: one request, the whole of its answer, many at once.

Neighbours: the `api` modules of targets and platforms, which know what an answer means; `hop` (what `check` tells).
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Final, TypeVar

import aiohttp
from yarl import URL

from homeroom.errors import TransientError

T = TypeVar("T")
R = TypeVar("R")

UNAVAILABLE: Final = "TargetUnavailable"


@contextlib.asynccontextmanager
async def answered(
    session: aiohttp.ClientSession,
    method: str,
    url: URL,
    *,
    who: str,
    proxy: str | None,
    tls: ssl.SSLContext | None,
    body: object = None,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer of a server, `who` in messages, to one request; no redirect is followed.

    `body`: bytes are sent as they are, all else as JSON. Raises TransientError when there is no answer.
    """
    try:
        async with session.request(
            method,
            url,
            data=body if isinstance(body, bytes) else None,
            json=None if isinstance(body, bytes) else body,
            params=params,
            headers=headers,
            proxy=proxy,
            ssl=tls or True,
            allow_redirects=False,
        ) as answer:
            yield answer
    except aiohttp.ClientConnectorCertificateError as error:
        raise TransientError(
            f"the certificate of {url.host} is not trusted: put its authority into `caBundle`", reason=UNAVAILABLE
        ) from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise TransientError(
            f"{who} at {url.host} does not answer ({type(error).__name__})", reason=UNAVAILABLE
        ) from error


async def whole(answer: aiohttp.ClientResponse, *, who: str, most: int) -> bytes:
    """The body of an answer, of at most `most` bytes: one without end must not take the memory of all tenants.

    Raises TransientError for a longer one.
    """
    body = bytearray()
    async for part in answer.content.iter_any():
        body += part
        if len(body) > most:
            raise TransientError(
                f"{who} answers with more than {most >> 20} MiB: check what is at its address", reason=UNAVAILABLE
            )
    return bytes(body)


async def gathered(do: Callable[[T], Awaitable[R]], work: Iterable[T], *, at_once: int) -> list[R]:
    """Results in the order of `work`, `at_once` at a time.

    The first error ends all: no other is begun, and none is under way when it comes out, as itself. So nothing that one
    of them writes can come after what is written next.
    """
    numbered = enumerate(work)
    results: dict[int, R] = {}

    async def some() -> None:
        for number, item in numbered:
            results[number] = await do(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(some())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return [results[number] for number in sorted(results)]

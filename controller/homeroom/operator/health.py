"""The probes and the metrics over HTTP: `/livez`, `/readyz`, `/metrics`.

`/livez` fails on what only a new process mends: a dead or deaf watch, a stuck loop, a Lease that is not renewed. That
our own loop turns is shown by the answer itself. It does not fail when the API server or a target is away, since
a restart would not bring them back. Both probes name what is wrong, one line each.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web

_READY_SECONDS = 5.0

Problems = Callable[[], Sequence[str]]
"""What is wrong, in words; nothing when all is well."""


@asynccontextmanager
async def served(
    *,
    host: str,
    port: int,
    live: Problems,
    ready: Callable[[], Awaitable[Sequence[str]]],
    metrics: Callable[[], bytes],
) -> AsyncIterator[int]:
    """Serve probes and metrics while the block lasts; gives the port, which is a free one for `port` 0."""

    async def livez(_request: web.Request) -> web.Response:
        return _answer(live())

    async def readyz(_request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                return _answer(await ready())
        except TimeoutError:
            return _answer([f"the check did not end within {_READY_SECONDS:.0f} s"])

    async def metricsz(_request: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", metricsz)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _answer(problems: Sequence[str]) -> web.Response:
    text = "".join(f"{problem}\n" for problem in problems) or "ok\n"
    return web.Response(text=text, status=503 if problems else 200)

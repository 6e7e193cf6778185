"""The process: connections, and how long they may last. Neighbours: `site` (pages), `homeroom.cli.web` (options)."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from homeroom.reconcile.ports import Clock
from homeroom.store import Store
from homeroom.web.desk import Desk, Mailer
from homeroom.web.site import Site
from homeroom.web.staff import Staff

_HEADERS: Final = 16 * 1024
"""Bytes of a request that are waited for before its body; `gate` refuses it sooner."""
_CONNECTIONS: Final = 256
"""At the same time; for one more the oldest goes. Turned away is who waits, not who comes: our own probes, too."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the service is reached. `public_url`: scheme and host that browsers use, and links in mails begin with.

    `trusted_proxies`: addresses or networks whose X-Forwarded-For is believed. `connection_seconds`: so long a
    connection lasts at most, whatever it does: nobody keeps one by sending slowly.
    """

    public_url: str
    host: str = "0.0.0.0"  # noqa: S104 - in a pod, behind a Service
    port: int = 8081
    trusted_proxies: Sequence[str] = ()
    connection_seconds: float = 60.0
    stop_seconds: int = 10


@asynccontextmanager
async def served(settings: Settings, *, store: Store, mailer: Mailer, clock: Clock) -> AsyncIterator[tuple[int, Desk]]:
    """Serve while the block lasts; gives the port, which is a free one for `port` 0, and the desk."""
    staff = Staff(store)
    desk = Desk(store=store, staff=staff, mailer=mailer, clock=clock, public_url=settings.public_url)
    site = Site(store=store, staff=staff, desk=desk, clock=clock, public_url=settings.public_url)
    lasting: dict[asyncio.Transport, None] = {}  # the oldest first

    class Bounded(H11Protocol):
        """A connection that ends in time."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its parent
            super().connection_made(transport)
            self.end = asyncio.get_running_loop().call_later(settings.connection_seconds, transport.abort)
            lasting[transport] = None
            if len(lasting) > _CONNECTIONS:
                oldest = next(iter(lasting))
                del lasting[oldest]
                oldest.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            self.end.cancel()
            lasting.pop(self.transport, None)
            super().connection_lost(exc)

    server = _Server(
        uvicorn.Config(
            site.app,
            http=Bounded,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            h11_max_incomplete_event_size=_HEADERS,
            timeout_graceful_shutdown=settings.stop_seconds,
        )
    )
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.create_server((settings.host, settings.port), family=family) as listening:
        async with asyncio.TaskGroup() as tasks, desk.open():
            tasks.create_task(server.serve(sockets=[listening]))
            try:
                yield listening.getsockname()[1], desk
            finally:
                server.should_exit = True


async def run(settings: Settings, *, store: Store, mailer: Mailer, clock: Clock) -> None:
    """Serve until the process is told to stop. Raises OSError when it cannot listen."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with served(settings, store=store, mailer=mailer, clock=clock) as (port, _):
        log.info("serving", port=port)
        await stop.wait()


class _Server(uvicorn.Server):
    """Leaves signals to `run`: its own way would end the process by the signal, with the store open."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Nothing."""
        yield

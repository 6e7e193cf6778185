"""A real SMTP server on a free port, which keeps what it takes, and refuses what it is told to."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "homeroom", "correct horse"


@dataclass  # without slots: on Python 3.11.2 aiosmtpd trips over `__weakref__` of a class that has them
class Server:
    """What it has taken, by (envelope sender, envelope recipient), and what it does to addresses."""

    port: int = 0
    loop: asyncio.AbstractEventLoop | None = None
    mails: list[tuple[str, str, EmailMessage]] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)
    """Address -> answer, such as `550 5.1.1 <nobody@x.example> unknown`."""

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        for address in envelope.rcpt_tos:
            self.mails.append((envelope.mail_from or "", address, mail))
        return "250 Message accepted for delivery"

    def texts(self, address: str) -> list[str]:
        """The texts of all mails to an address."""
        return [mail.get_content() for _, to, mail in self.mails if to == address]


def _authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: object) -> AuthResult:
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=known, handled=False)


@contextmanager
def mail_server(*, tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run one, in a thread of its own. With `starttls` it takes nothing before TLS and a log-in with USER, PASSWORD."""
    server, started, done = Server(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        loop = asyncio.get_running_loop()

        def protocol() -> SMTP:
            return SMTP(
                server,
                tls_context=starttls,
                require_starttls=starttls is not None,
                auth_required=starttls is not None,
                authenticator=_authenticate,
                loop=loop,
            )

        listening = await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls)
        server.port, server.loop = listening.sockets[0].getsockname()[1], loop
        started.set()
        await done.wait()
        listening.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert started.wait(60)
    try:
        yield server
    finally:
        assert server.loop is not None
        server.loop.call_soon_threadsafe(done.set)
        thread.join()

"""Plain text by e-mail, over one SMTP server that the operator and the web service are told of.

What a server answers may quote the address, so nothing of it but its codes goes into messages (invariant: no personal
data in any of them). No text from outside reaches a header without having been cleaned or refused here. Neighbours: the
callers in `homeroom.reconcile`, `homeroom.cli` and `homeroom.web`, and the words in `homeroom.seats.letters`.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, make_msgid
from enum import StrEnum
from pathlib import Path
from typing import Final, Self

import aiosmtplib
from yarl import URL

from homeroom.errors import InvalidSpecError, TerminalError, TransientError
from homeroom.hop import Hop

_TIMEOUT_SECONDS: Final = 30.0
_AT_ONCE: Final = 2
"""Connections at a time: mail servers turn away who comes with many."""
_ADDRESS: Final = re.compile(
    r"(?=.{3,254}\Z)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)
_ENHANCED: Final = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?= |\Z)")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class AddressRefusedError(TerminalError):
    """Mail to this address is not taken, by the mail server, or because it is none. The message does not name it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="AddressRefused")


class MailUnavailableError(TransientError):
    """The mail server is not reached, does not trust us, or takes no mail at the moment."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="MailUnavailable")


class Security(StrEnum):
    """How the way to the mail server is protected; the values are schemes of its URL."""

    TLS = "smtps"
    STARTTLS = "smtp"
    NONE = "smtp+plain"


_PORTS: Final = {Security.TLS: 465, Security.STARTTLS: 587, Security.NONE: 25}


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """The mail server, and in whose name it is used. `sender`: the address that mails are from."""

    host: str
    port: int
    security: Security
    sender: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str, *, sender: str) -> Self:
        """From a URL like `smtp://user:password@mail.example:587`.

        `smtp:` demands STARTTLS (port 587), `smtps:` is TLS from the start (465), `smtp+plain:` is neither (25) and
        takes no password: for a relay that nobody else can listen to. Raises InvalidSpecError; the URL is not repeated.
        """
        try:
            parsed = URL(url.strip())
            security, port = Security(parsed.scheme), parsed.explicit_port
        except ValueError as error:
            raise InvalidSpecError(
                "the mail server's URL must be like 'smtp://user:password@mail.example:587' or 'smtps://...'"
            ) from error
        if not parsed.host or parsed.path.strip("/") or parsed.query_string:
            raise InvalidSpecError("the mail server's URL must have a host name, and nothing behind it but a port")
        if security is Security.NONE and parsed.password:
            raise InvalidSpecError("a password must not go to the mail server without TLS: use 'smtp://' or 'smtps://'")
        if not is_address(sender):
            raise InvalidSpecError("the sender of mails must be an address like 'homeroom@district.example'")
        return cls(
            host=parsed.host,
            port=port or _PORTS[security],
            security=security,
            sender=sender,
            username=parsed.user or None,
            password=parsed.password,
        )

    @classmethod
    def from_file(cls, path: Path, *, sender: str) -> Self:
        """From a file that has the URL, such as a key of a mounted Secret. Raises InvalidSpecError."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidSpecError(f"the file with the mail server's URL cannot be read: {path}") from error
        return cls.parse(text, sender=sender)


def is_address(text: str) -> bool:
    """Whether mail can go there at all: one address as everybody writes it, in ASCII, without a name or quotes."""
    return _ADDRESS.fullmatch(text) is not None


class Mailer:
    """Sends mails; safe for many tasks of one event loop. `trust`: instead of the authorities of the system."""

    def __init__(self, server: MailServer, *, trust: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._trust = trust
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def send(self, to: str, subject: str, text: str, *, language: str = "en") -> None:
        """Hand one mail to the server. `language`: of the text (ISO 639). Twice is two mails.

        Raises AddressRefusedError, and MailUnavailableError for all else that goes wrong.
        """
        if not is_address(to):
            raise AddressRefusedError("this is no address that mail can go to")
        message = self._message(to, subject, text, language=language)
        async with self._connected() as client:
            await client.send_message(message, sender=self._server.sender, recipients=[to])

    async def check(self) -> Sequence[Hop]:
        """Connect and log in, and mail nothing."""
        server = self._server
        try:
            async with self._connected():
                words = f"{server.host}:{server.port} answers" + (", and takes our log-in" if server.username else "")
        except MailUnavailableError as error:
            return [Hop(name="mail server", ok=False, words=error.message)]
        return [Hop(name="mail server", ok=True, words=words)]

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiosmtplib.SMTP]:
        """A connection that is logged in; what goes wrong while it is used is told by our own errors."""
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.security is Security.TLS,
            start_tls=server.security is Security.STARTTLS,
            tls_context=self._trust,
            # Otherwise it would look up this machine's name, and wait for that.
            local_hostname=server.sender.partition("@")[2],
            timeout=_TIMEOUT_SECONDS,
        )
        try:
            async with self._slots, asyncio.timeout(_TIMEOUT_SECONDS), client:
                yield client
        except aiosmtplib.SMTPRecipientsRefused as error:
            refusal = error.recipients[0]
            codes = _codes(refusal)
            if refusal.code >= 500:
                raise AddressRefusedError(f"the mail server takes no mail to this address ({codes})") from None
            raise MailUnavailableError(f"the mail server takes no mail at the moment ({codes})") from None
        except aiosmtplib.SMTPAuthenticationError as error:
            raise MailUnavailableError(
                f"the mail server does not accept our log-in ({_codes(error)}): check user and password in its URL"
            ) from None
        except aiosmtplib.SMTPResponseException as error:
            raise MailUnavailableError(f"the mail server takes no mail from us ({_codes(error)})") from None
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            # Their texts may have what was sent; the kind of error is what helps.
            raise MailUnavailableError(
                f"no mail can be sent by {server.host}:{server.port} ({type(error).__name__}): check that it is there, "
                f"and speaks {server.security}"
            ) from None

    def _message(self, to: str, subject: str, text: str, *, language: str) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        message["From"] = self._server.sender
        message["To"] = to
        message["Subject"] = _CONTROL.sub(" ", subject).strip()
        message["Date"] = formatdate(usegmt=True)
        message["Message-ID"] = make_msgid(domain=self._server.sender.partition("@")[2])
        message["Auto-Submitted"] = "auto-generated"  # who is on holiday does not answer
        message.set_content(text, cte="quoted-printable")  # every server takes that
        message["Content-Language"] = language
        return message


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """How keys are mailed. `connect_url`: of the page where teachers enter a key, if there is one."""

    mailer: Mailer
    connect_url: str | None = None


def _codes(error: aiosmtplib.SMTPResponseException) -> str:
    """Status codes of an answer, without its words."""
    enhanced = _ENHANCED.match(error.message)
    return f"{error.code} {enhanced[0]}" if enhanced else str(error.code)

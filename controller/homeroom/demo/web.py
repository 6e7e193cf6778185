"""`homeroom web` on this machine, with a mail server that keeps what it is given: what teachers and offices meet.

The mail server and the port of the pages are there from the start, as the operator is told of both; the pages are
started by themselves, as they need the operator's store. Neighbours: `stage` (the operator), `browser` (who looks at
the pages), `seats` (the story). Everything here blocks.
"""

from __future__ import annotations

import contextlib
import email
import email.policy
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from email.message import EmailMessage
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from homeroom.demo.server import process_group, reserved_port, serve
from homeroom.demo.stage import wait_for

_SENDER: Final = "homeroom@lakeside.example"


class Mailbox:
    """Takes every mail, and keeps it as a file of `directory`; up while the `with` block lasts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            self.port = held.enter_context(reserved_port(sharing=socket.SO_REUSEADDR))
            controller = Controller(self, hostname="127.0.0.1", port=self.port)
            controller.start()
            held.callback(controller.stop)
            self._held = held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep a mail; called by the mail server."""
        assert isinstance(envelope.content, bytes)
        whole = self.directory / f"{len(list(self.directory.glob('*.eml'))) + 1:03}.part"
        mail = _parsed(envelope.content)
        mail.set_content(mail.get_content(), cte="8bit")  # people copy links out of the file
        whole.write_bytes(mail.as_bytes())
        whole.rename(whole.with_suffix(".eml"))
        return "250 Message accepted for delivery"

    def mails(self, to: str) -> list[EmailMessage]:
        """What came for an address, oldest first."""
        found = [_parsed(path.read_bytes()) for path in sorted(self.directory.glob("*.eml"))]
        return [mail for mail in found if mail["To"] == to]

    def next(self, to: str, *, after: int) -> EmailMessage:
        """Wait for the mail to an address that comes after so many."""
        wait_for("a mail to a contact", lambda: len(self.mails(to)) > after)
        return self.mails(to)[after]


class Web:
    """The pages, at `url`; `options` tell the operator of them and of the mail server. `start` starts them."""

    def __init__(self, directory: Path) -> None:
        self.mailbox = Mailbox(directory / "mail")
        self.url = ""
        self.options: tuple[str, ...] = ()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as held:
            held.enter_context(self.mailbox)
            self._port = held.enter_context(reserved_port(sharing=socket.SO_REUSEADDR))
            held.callback(self._bury)
            self._group = held.enter_context(process_group())
            server = self._directory / "mail-server"
            server.write_text(f"smtp+plain://127.0.0.1:{self.mailbox.port}\n")
            self._held = held.pop_all()
        self.url = f"http://127.0.0.1:{self._port}"
        self._mail = ("--smtp-url-file", str(server), "--mail-from", _SENDER)
        self.options = (*self._mail, "--connect-url", f"{self.url}/connect")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    @property
    def log(self) -> Path:
        """What the pages' process logs."""
        return self._directory / "web.log"

    def start(self, *, store: Path, data: Path) -> None:
        """Start the pages over an operator's store, and wait until they answer."""
        self._process = serve(
            "homeroom web",
            *(sys.executable, "-m", "homeroom.cli", "web", "--public-url", self.url),
            *("--listen", f"127.0.0.1:{self._port}", "--store", f"sqlite:///{store}", "--data", data, *self._mail),
            log=self.log,
            group=self._group,
            is_up=self._answers,
        )

    def _bury(self) -> None:
        if self._process is not None:  # killed with its group
            self._process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=10):  # noqa: S310 (a page of this machine)
                return True
        except (urllib.error.URLError, ConnectionError):
            return False


def key_in(letter: EmailMessage) -> str:
    """The licence key that a letter brings."""
    return _only(r"^ +([A-Z0-9]{4}(?:-[A-Z0-9]{4}){3})\s*$", letter)


def link_in(letter: EmailMessage) -> str:
    """The link that a letter brings."""
    return _only(r"^ *(http://\S+)\s*$", letter)


def _parsed(content: bytes) -> EmailMessage:
    return email.message_from_bytes(content, policy=email.policy.default)


def _only(pattern: str, letter: EmailMessage) -> str:
    (found,) = re.findall(pattern, str(letter.get_content()), re.MULTILINE)
    return str(found)

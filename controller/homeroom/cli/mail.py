"""Options of commands that send mail, and what they come to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homeroom.mail import Mailer, MailServer, Post

SmtpUrlFile = Annotated[
    Path | None,
    typer.Option(
        envvar="HOMEROOM_SMTP_URL_FILE",
        help="File with the URL of the mail server: smtp://user:password@mail.example:587 (STARTTLS), or smtps://...",
        dir_okay=False,
    ),
]
MailFrom = Annotated[
    str | None, typer.Option(envvar="HOMEROOM_MAIL_FROM", metavar="ADDRESS", help="The address that mails are from.")
]
ConnectUrl = Annotated[
    str | None,
    typer.Option(
        envvar="HOMEROOM_CONNECT_URL",
        metavar="URL",
        help="The page where teachers enter a licence key, for the mails that bring one.",
    ),
]


def post(url_file: Path | None, sender: str | None, connect_url: str | None) -> Post | None:
    """How to mail; None without a mail server. Raises InvalidSpecError."""
    if url_file is None:
        return None
    if sender is None:
        raise typer.BadParameter("goes with --mail-from", param_hint="--smtp-url-file")
    return Post(mailer=Mailer(MailServer.from_file(url_file, sender=sender)), connect_url=connect_url)

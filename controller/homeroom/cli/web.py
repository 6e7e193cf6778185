"""`homeroom web`: the process of the web service. Puts store and mail server into `homeroom.web`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from ipaddress import ip_network
from time import monotonic
from typing import Annotated, Literal

import typer
from yarl import URL

from homeroom.cli import mail, options, stores
from homeroom.operator.logs import configure
from homeroom.web.server import Settings, run


def command(
    *,
    public_url: Annotated[
        str,
        typer.Option(
            envvar="HOMEROOM_PUBLIC_URL",
            metavar="URL",
            help="How browsers reach these pages, such as https://licences.example; links in mails begin with it.",
        ),
    ],
    smtp_url_file: mail.SmtpUrlFile = None,
    mail_from: mail.MailFrom = None,
    store: options.Store = None,
    data: options.Data = options.DATA,
    listen: Annotated[
        str, typer.Option(envvar="HOMEROOM_WEB_LISTEN", metavar="HOST:PORT", help="Where pages and probes are served.")
    ] = "0.0.0.0:8081",
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            envvar="HOMEROOM_TRUSTED_PROXIES",
            metavar="NETWORK",
            help="Address or network of a proxy whose X-Forwarded-For is believed, with no browsers in it. Without it "
            "all who come by one proxy count as one. May be repeated.",
        ),
    ] = None,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        typer.Option(
            envvar="HOMEROOM_LOG_LEVEL", help="From which level on to log. JSON, or plain lines on a terminal."
        ),
    ] = "info",
) -> None:
    """Run the pages for teachers and classes: school licences, accounts of chats, remote lessons and calls.

    Needs the operator's store, and nothing of the cluster. Put a proxy that speaks https before it. SIGTERM stops it.
    """
    configure(level=log_level)
    host, port = options.address(listen)
    settings = Settings(
        public_url=_origin(public_url),
        host=host,
        port=port,
        trusted_proxies=[_network(text) for text in trusted_proxy or ()],
    )
    post = mail.post(smtp_url_file, mail_from, None)
    if post is None:
        raise typer.BadParameter("is needed: links are mailed", param_hint="--smtp-url-file")
    opened = stores.open_store(store, data, write=True)
    try:
        asyncio.run(run(settings, store=opened, mailer=post.mailer, clock=_Clock()))
    finally:
        opened.close()


class _Clock:
    """The real time."""

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return monotonic()


def _origin(text: str) -> str:
    """Scheme and host as browsers write them in `Origin`. Over http there is no protection: for this machine only."""
    try:
        url = URL(text)
        plain = url.scheme == "https" or (url.scheme == "http" and url.host in {"localhost", "127.0.0.1", "::1"})
        if plain and url == url.origin().with_path("/") and not url.user:
            return str(url.origin())
    except ValueError:
        pass
    raise typer.BadParameter("must be like https://licences.example, without a path", param_hint="--public-url")


def _network(text: str) -> str:
    try:
        network = ip_network(text.strip())
    except ValueError as error:
        raise typer.BadParameter(
            "must be an address or a network, such as 10.42.0.0/16", param_hint="--trusted-proxy"
        ) from error
    if network.prefixlen == 0:
        raise typer.BadParameter("is everybody: then nobody is limited", param_hint="--trusted-proxy")
    return str(network)

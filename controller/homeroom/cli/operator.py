"""`homeroom operator`: the process of the pod. Puts store, outside world and roots into the operator's runtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

import typer
from sqlalchemy.exc import SQLAlchemyError

from homeroom.cli import mail, options, stores
from homeroom.mail import Post
from homeroom.operator.runtime import Build, Reconcilers, Settings, main
from homeroom.reconcile.chatrepair import ChatRepair
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.learningapp import SETTLE
from homeroom.reconcile.listening import Listening
from homeroom.reconcile.ports import Clock, Cluster, Metrics
from homeroom.reconcile.roots import handlers
from homeroom.reconcile.routes import routes
from homeroom.store import Store


def command(
    *,
    owner_id: Annotated[
        str,
        typer.Option(
            envvar="HOMEROOM_OWNER_ID",
            help="Who we are in the marks that we leave in learning apps. Never change it: under another name Homeroom "
            "takes its own work for somebody else's.",
        ),
    ],
    store: options.Store = None,
    data: options.Data = options.DATA,
    file_root: options.FileRoot = None,
    lease_namespace: Annotated[
        str, typer.Option(envvar="HOMEROOM_LEASE_NAMESPACE", help="Namespace of the Lease: the operator's own.")
    ] = "homeroom-system",
    lease_name: Annotated[
        str, typer.Option(envvar="HOMEROOM_LEASE_NAME", help="Name of the Lease by which one process at a time leads.")
    ] = "homeroom",
    no_lease: Annotated[
        bool,
        typer.Option(
            "--no-lease",
            envvar="HOMEROOM_NO_LEASE",
            help="Lead without a Lease. Only where no second process can be started, as on a developer's machine.",
        ),
    ] = False,
    argocd_namespace: Annotated[
        str,
        typer.Option(
            envvar="HOMEROOM_ARGOCD_NAMESPACE",
            help="Where Argo CD's Applications lie; those that we may read tell the Git revision of a change.",
        ),
    ] = "argocd",
    listen: Annotated[
        str, typer.Option(envvar="HOMEROOM_LISTEN", metavar="HOST:PORT", help="Where probes and metrics are served.")
    ] = "0.0.0.0:8080",
    workers: Annotated[
        int,
        typer.Option(
            envvar="HOMEROOM_WORKERS", min=1, max=256, help="Runs at the same time; a tenant gets at most half of them."
        ),
    ] = 8,
    settle: Annotated[
        float,
        typer.Option(
            envvar="HOMEROOM_SETTLE",
            min=0,
            max=3600,
            help="Seconds for which sharing rules must have stood still to count: who renames an Exclude deletes it "
            "for a moment.",
        ),
    ] = SETTLE.total_seconds(),
    smtp_url_file: mail.SmtpUrlFile = None,
    mail_from: mail.MailFrom = None,
    connect_url: mail.ConnectUrl = None,
    allow_loopback: options.AllowLoopback = False,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        typer.Option(
            envvar="HOMEROOM_LOG_LEVEL", help="From which level on to log. JSON, or plain lines on a terminal."
        ),
    ] = "info",
) -> int:
    """Run the operator: what the pod in the cluster does.

    Logs in as the pod's ServiceAccount, or by $KUBECONFIG. SIGTERM stops it in peace; exit code 1 means that it had to
    stop at once (a lost Lease, say) and wants to be started again.
    """
    host, port = options.address(listen)
    settings = Settings(
        owner_id=owner_id,
        namespace=lease_namespace,
        lease=None if no_lease else lease_name,
        argocd_namespace=argocd_namespace,
        host=host,
        port=port,
        workers=workers,
        log_level=log_level,
    )
    outside = Outside(owner_id=owner_id, file_root=file_root, allow_loopback=allow_loopback)
    post = mail.post(smtp_url_file, mail_from, connect_url)
    build = _build(store, data, outside, settle=timedelta(seconds=settle), post=post)
    return main(settings, build=build, routes=routes)


def _build(url: str | None, data: Path, outside: Outside, *, settle: timedelta, post: Post | None) -> Build:
    """Opens the store when we lead: whoever only stands by must not touch it."""

    @asynccontextmanager
    async def build(cluster: Cluster, clock: Clock, metrics: Metrics) -> AsyncIterator[Reconcilers]:
        store = await asyncio.to_thread(stores.open_store, url, data, new=True)
        try:
            repairs = ChatRepair(store=store, outside=outside, metrics=metrics, clock=clock)
            yield Reconcilers(
                handlers=handlers(
                    cluster, clock, metrics, store=store, outside=outside, settle=settle, post=post, repairs=repairs
                ),
                problems=lambda: _problems(store),
                listening=Listening(cluster=cluster, clock=clock, outside=outside, repairs=repairs),
            )
        finally:
            store.close()

    return build


async def _problems(store: Store) -> Sequence[str]:
    try:
        await asyncio.to_thread(store.ping)
    except SQLAlchemyError as error:
        return [f"store: the database does not answer ({type(error).__name__})"]
    return []

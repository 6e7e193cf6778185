"""`homeroom check`: each hop to sources, targets, platforms, registers and the mail server, tried out and told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from homeroom.api import ChatPlatform, District, LearningApp, LicensePool, RegistryType
from homeroom.cli import mail, options, terminal
from homeroom.cli.declared import Declared, declared
from homeroom.errors import HomeroomError, InvalidSpecError
from homeroom.hop import Hop
from homeroom.reconcile.connect import Outside

Checked = District | LearningApp | LicensePool | ChatPlatform


def command(
    resources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[district/NAME | learningapp/NAME | licensepool/NAME | chatplatform/NAME]...",
            help="What to check; by default everything, and the mail server where one is told.",
        ),
    ] = None,
    *,
    files: options.Files = None,
    namespace: options.Namespace = None,
    context: options.Context = None,
    secret: options.SecretFiles = None,
    file_root: options.FileRoot = None,
    allow_loopback: options.AllowLoopback = False,
    smtp_url_file: mail.SmtpUrlFile = None,
    mail_from: mail.MailFrom = None,
    output: options.Output = "text",
) -> int:
    """Try each hop to sources, targets, chat servers, registers and the mail server, and say how it went.

    Name, proxy, TLS, credentials, permissions: in the order of the way, as far as it goes. Nothing is written. The way
    begins where the command runs; for the operator's way run it in its pod.

    Exit codes: 0 all is well, 1 a hop fails.
    """
    post = mail.post(smtp_url_file, mail_from, None)

    async def look() -> list[tuple[str, Hop]]:
        outside = Outside(owner_id="check", file_root=file_root, allow_loopback=allow_loopback)
        async with declared(files=files, namespace=namespace, context=context, secret_files=secret) as found:
            hops = [tried async for tried in _hops(found, _chosen(found, resources or []), outside)]
        if post is not None and not resources:
            hops += [("mail", hop) for hop in await post.mailer.check()]
        return hops

    with terminal.working("trying each hop"):
        hops = asyncio.run(look())
    if output == "json":
        terminal.document([{"resource": resource, **asdict(hop)} for resource, hop in hops])
    else:
        terminal.table(
            ("RESOURCE", "HOP", "", "WORDS"),
            [
                (resource, hop.name, "ok" if hop.ok else "FAILS", hop.words.replace("\n", "; "))
                for resource, hop in hops
            ],
            styles=["" if hop.ok else "red" for _, hop in hops],
        )
    return 0 if all(hop.ok for _, hop in hops) else 1


def _chosen(found: Declared, wanted: Sequence[str]) -> list[Checked]:
    """The resources that are to be checked."""
    if not wanted:
        asked = [pool for pool in found.every(LicensePool) if _asks_register(pool)]
        everything: list[Checked] = [
            *found.every(District),
            *found.every(LearningApp),
            *asked,
            *found.every(ChatPlatform),
        ]
        if not everything:
            raise InvalidSpecError(f"namespace {found.namespace} has nothing to check: another namespace (-n)?")
        return everything
    chosen: list[Checked] = []
    for text in wanted:
        kind, _, name = text.partition("/")
        match kind.lower():
            case "district" | "districts":
                chosen.append(found.one(District, name))
            case "learningapp" | "learningapps" | "lapp":
                chosen.append(found.one(LearningApp, name))
            case "licensepool" | "licensepools" | "lpool":
                chosen.append(found.one(LicensePool, name))
            case "chatplatform" | "chatplatforms" | "cplat":
                chosen.append(found.one(ChatPlatform, name))
            case _:
                raise InvalidSpecError(
                    f"'{text}' cannot be checked: name district/NAME, learningapp/NAME, licensepool/NAME or "
                    "chatplatform/NAME"
                )
    return chosen


def _asks_register(pool: LicensePool) -> bool:
    return pool.spec.unit_registry.type is RegistryType.SKOLVERKET


async def _hops(found: Declared, chosen: Sequence[Checked], outside: Outside) -> AsyncIterator[tuple[str, Hop]]:
    """Resource and hop, in the order of the way."""
    for resource in chosen:
        name = f"{resource.kind.lower()}/{resource.metadata.name}"
        try:
            match resource:
                case District():
                    hops = await (await outside.source(resource, found.secrets)).check()
                    for one in resource.spec.supplements:
                        tried = await (await outside.supplement(one, resource, found.secrets)).check()
                        hops = [*hops, *(replace(hop, name=f"{one.name}: {hop.name}") for hop in tried)]
                case LearningApp():
                    target = await outside.target(resource, found.secrets, password=lambda _: None)
                    hops = await target.check()
                case LicensePool() if _asks_register(resource):
                    nowhere = Path(os.devnull)  # nothing of this is kept
                    hops = await (await outside.register(resource, found.secrets, directory=nowhere)).check()
                case LicensePool():
                    hops = [Hop(name="register", ok=True, words="its school units are declared: nobody is asked")]
                case ChatPlatform():
                    hops = await (await outside.platform(resource, found.secrets, district="")).check()
        except HomeroomError as error:  # what is declared, or its Secret, does not even let us try
            hops = [Hop(name="declaration", ok=False, words=error.message)]
        for hop in hops:
            yield name, hop

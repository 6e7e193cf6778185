"""`homeroom unlink`: an account is not a person's any more, as the office says. Neighbour: `homeroom.store.links`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from homeroom.cli import options, stores, terminal
from homeroom.cli.letters import place_of


def command(
    person: Annotated[str, typer.Argument(help="Source id of the person.")],
    *,
    district: Annotated[str | None, typer.Option(help="Name of the District, where there are several.")] = None,
    platform: Annotated[str | None, typer.Option(help="Name of the ChatPlatform, where there are several.")] = None,
    namespace: options.Namespace = None,
    store: options.Store = None,
    data: options.Data = options.DATA,
) -> None:
    """Take back the links of a person to chat accounts.

    The accounts leave the chats within seconds, and what the records say of them counts no more until the person links
    again. For an account that was linked to the wrong person, which keeps it from the right one. Runs where the
    operator's store is.
    """
    opened = stores.open_store(store, data, write=True)
    try:
        place, _ = place_of(opened, namespace=namespace, district=district, platform=platform)
        ended = opened.links.unlink(place, person, now=datetime.now(UTC))
    finally:
        opened.close()
    terminal.say(f"{ended} links were taken back")

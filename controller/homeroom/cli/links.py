"""`homeroom links`: the chats of each school and class as a table of links (R36, B17), and extra chats below it.

Flow: `declared` has the policies, the store which chats their last runs wanted, which rooms there are, and what is
held; the records say what classes are called. No chat server is asked. Neighbours: `homeroom.chats.table`,
`records`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Final, Literal

import polars as pl
import segno
import typer

from homeroom.api import Chat, ChatPlatform, ChatPolicy, District, InvalidSpecError, Reason
from homeroom.chats.extra import is_about
from homeroom.chats.identity import plain
from homeroom.chats.table import EXTRA, ORDER, TABLE, cells, extra_row, link_table, shown, waiting
from homeroom.cli import options, records, stores, terminal
from homeroom.cli.declared import Declared, declared
from homeroom.platforms.matrix import link, masked
from homeroom.reconcile.chatrules import rules_of
from homeroom.roster.tables import Roster
from homeroom.spreadsheet import safe
from homeroom.store import JoinLink, Store, policy_name

_TABLE: Final = pl.Schema({"policy": pl.String(), **TABLE})
"""With the policy that sees to the chats of a row."""


_EXTRA: Final = pl.Schema({"chat": pl.String(), **EXTRA})
"""With the name of the resource."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Links:
    """`table`: columns `_TABLE`, sorted; `extra`: `_EXTRA`. `notes`: what a reader must know to read it right."""

    table: pl.DataFrame
    extra: pl.DataFrame
    notes: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """What the records call things: `schools` [school, school_name], `classes` [class, title]; `at` [class, school]."""

    schools: pl.DataFrame
    classes: pl.DataFrame
    at: pl.DataFrame


def command(
    *,
    policy: Annotated[str | None, typer.Option(help="Only of this ChatPolicy.")] = None,
    school: Annotated[str | None, typer.Option(metavar="ID", help="Only of this school (source id).")] = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Whole links; else the last characters only.")] = False,
    pages: Annotated[
        str | None,
        typer.Option(
            "--pages-url",
            envvar="HOMEROOM_PUBLIC_URL",
            metavar="URL",
            help="How browsers reach the pages of `homeroom web`, to say where people link their account.",
        ),
    ] = None,
    qr: Annotated[
        str | None,
        typer.Option(metavar="CHAT", help="Print the link of this Chat as a QR code (SVG) instead; needs --pages-url."),
    ] = None,
    files: options.Files = None,
    namespace: options.Namespace = None,
    context: options.Context = None,
    store: options.Store = None,
    data: options.Data = options.DATA,
    output: Annotated[
        Literal["text", "json", "csv"], typer.Option("--output", "-o", help="For people, programs or spreadsheets.")
    ] = "text",
) -> None:
    """List the chats of each school and class, with their links. Asks no chat server.

    A row for the staff room and one per class, as the last run of each policy left them, and below them extra chats;
    with `--school` those that name the school, or a class of it (none in CSV). Where a chat is missing the cell says
    why. A link lets nobody in: people come into a chat once it is known which account is theirs, and into an extra chat
    that has a link under JOIN by pressing a button there.

    Example: homeroom links -n lakeside --school s-001 --reveal -o csv > links.csv
    """

    async def look() -> _Links | None:
        async with declared(files=files, namespace=namespace, context=context) as resources:
            with stores.opened(store, data) as opened:
                assert opened is not None
                if qr is not None:
                    sys.stdout.write(_qr_code(opened, resources.one(Chat, qr), pages=pages))
                    return None
                return await asyncio.to_thread(
                    _look, resources, policy, opened, school=school, pages=pages, reveal=reveal
                )

    found = asyncio.run(look())
    if found is None:
        return
    page = f"{pages.rstrip('/')}/chats" if pages else None
    if output == "json":
        rows = found.table.rename({"school_name": "schoolName"}).to_dicts()
        terminal.document({"page": page, "notes": found.notes, "rows": rows, "extra": found.extra.to_dicts()})
    elif output == "csv":
        sys.stdout.write(safe(cells(found.table)).write_csv())
    else:
        _show(found, page=page, reveal=reveal)


# ---------------------------------------------------------------------------------------------------------------------
# Gather


def _look(
    resources: Declared, policy: str | None, store: Store, *, school: str | None, pages: str | None, reveal: bool
) -> _Links:
    """Blocks."""
    policies = resources.every(ChatPolicy) if policy is None else [resources.one(ChatPolicy, policy)]
    chats = resources.every(Chat) if policy is None else []
    if not policies and not chats:
        resources.one(ChatPolicy, None)  # says where there is none
    tables, notes = [pl.DataFrame(schema=_TABLE)], list[str]()
    names = cache(lambda district: _names(resources, resources.one(District, district), store))
    for one in policies:
        platform = resources.one(ChatPlatform, one.spec.platform_ref.name)
        tables.append(_of_policy(store, one, platform, names(one.spec.district_ref.name), reveal=reveal))
        notes.extend(_notes(store, one))
    table = pl.concat(tables)
    if school is not None:
        table = table.filter(pl.col("school") == school)
        chats = [chat for chat in chats if _is_about(chat, school, names(chat.spec.district_ref.name))]
        if table.is_empty() and not chats:
            raise InvalidSpecError(f"no policy has wanted a chat in a school '{school}' yet: give its source id")
    for chat in chats:
        notes.extend(_notes(store, chat))
    rows = [_of_chat(resources, store, chat, pages=pages, reveal=reveal) for chat in chats]
    extra = pl.DataFrame(rows, schema=_EXTRA).sort("chat")
    return _Links(table=table.sort("policy", *ORDER), extra=extra, notes=notes)


def _names(resources: Declared, district: District, store: Store) -> _Names:
    """Nothing has a name before there are records."""
    served = records.stored(resources, district, store=store)
    roster = served[1].roster if served is not None else Roster.empty()
    return _Names(
        schools=roster.orgs.select(school="id", school_name=plain(pl.col("name"))),
        classes=roster.classes.select(pl.col("id").alias("class"), title=plain(pl.col("title"))),
        at=pl.DataFrame({"class": roster.classes["id"], "school": roster.orgs["id"].gather(roster.classes["school"])}),
    )


def _is_about(chat: Chat, school: str, names: _Names) -> bool:
    extra = rules_of(chat, scope="").extra
    assert extra is not None
    return is_about(extra, school, names.at.filter(pl.col("school") == school)["class"])


def _of_policy(
    store: Store, policy: ChatPolicy, platform: ChatPlatform, names: _Names, *, reveal: bool
) -> pl.DataFrame:
    """Columns `_TABLE`, without an order."""
    place = {"namespace": policy.metadata.namespace, "policy": policy.metadata.name}
    stored = store.chats.baseline(**place)
    if stored is None:
        return pl.DataFrame(schema=_TABLE)
    rooms = store.chats.rooms(**place)
    matrix = platform.spec.matrix
    assert matrix is not None  # there is no other platform
    links = [link(room, server=matrix.server_name) if reveal else masked(room) for room in rooms["external_id"]]
    table = link_table(
        stored.baseline.desired.chats,
        links=rooms.select("key", pl.Series("link", links, pl.String)),
        held=waiting(store.holds(kind=policy.kind, namespace=place["namespace"], name=place["policy"])),
        schools=names.schools,
        classes=names.classes,
        stopped=policy.spec.suspend or platform.spec.suspend,
    )
    return table.select(pl.lit(policy.metadata.name).alias("policy"), *TABLE)


def _of_chat(resources: Declared, store: Store, chat: Chat, *, pages: str | None, reveal: bool) -> dict[str, object]:
    """A row of `_EXTRA`."""
    platform = resources.one(ChatPlatform, chat.spec.platform_ref.name)
    assert platform.spec.matrix is not None  # there is no other platform
    place = {"namespace": chat.metadata.namespace, "policy": policy_name(chat.kind, chat.metadata.name)}
    room: str | None = None
    for found in store.chats.rooms(**place)["external_id"]:
        room = link(found, server=platform.spec.matrix.server_name) if reveal else masked(found)
    stored = store.chats.baseline(**place)
    way = store.joins.link(namespace=chat.metadata.namespace, chat=chat.metadata.name)
    row = extra_row(
        chat.spec.name,
        stored.baseline.desired if stored is not None else None,
        room=room,
        held=waiting(store.holds(kind=chat.kind, namespace=chat.metadata.namespace, name=chat.metadata.name)),
        stopped=chat.spec.suspend or platform.spec.suspend,
        join=None if way is None else _join_link(way, pages=pages) if reveal else way.masked,
    )
    return {"chat": chat.metadata.name, **row}


def _join_link(way: JoinLink, *, pages: str | None) -> str:
    """The address by which people come into an extra chat; only its path, where nobody says how browsers reach it."""
    return f"{(pages or '').rstrip('/')}{way.path}"


def _qr_code(store: Store, chat: Chat, *, pages: str | None) -> str:
    """The link of an extra chat as a QR code, SVG. Raises InvalidSpecError."""
    if pages is None:
        raise InvalidSpecError(
            "a QR code needs a whole address: say with --pages-url how browsers reach `homeroom web`"
        )
    way = store.joins.link(namespace=chat.metadata.namespace, chat=chat.metadata.name)
    if way is None:
        raise InvalidSpecError(
            f"Chat '{chat.metadata.name}' has no link: declare `join: Link`, and wait for its next run"
        )
    return segno.make_qr(_join_link(way, pages=pages), error="m").svg_inline(border=4, scale=8)


def _notes(store: Store, policy: ChatPolicy | Chat) -> Iterator[str]:
    name = policy.metadata.name
    last = store.run(kind=policy.kind, namespace=policy.metadata.namespace, name=name)
    if last is None:
        yield f"{policy.kind} '{name}' has not run yet"
    elif last.reason != Reason.SUCCEEDED.value:
        yield f"{policy.kind} '{name}': {last.reason}: {last.message}"


# ---------------------------------------------------------------------------------------------------------------------
# Show


def _show(found: _Links, *, page: str | None, reveal: bool) -> None:
    for note in found.notes:
        terminal.say(note, style="yellow")
    table = cells(found.table)
    if table.is_empty() and found.extra.is_empty():
        terminal.say("there are no chats yet")
        return
    if not table.is_empty():
        names = [name for name in table.columns if name != "policy" or table["policy"].n_unique() > 1]
        terminal.table([name.upper() for name in names], table.select(names).rows())
    if not found.extra.is_empty():
        if not table.is_empty():
            terminal.say()
        extra = found.extra.with_columns(shown("room"))
        terminal.table([name.upper() for name in extra.columns], extra.rows())
    terminal.say()
    if not reveal:
        terminal.say("only the last characters of each room are shown; --reveal shows whole links")
    where = f"at {page}" if page else "on the pages of `homeroom web`"
    terminal.say(f"a link lets nobody in: people come into their chats once they have linked their account {where}")

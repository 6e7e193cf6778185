"""`homeroom links`: the chats of each school and class as a table of links (R36, B17), and extra chats below it.

Flow: `declared` has the policies, the store which chats their last runs wanted, which rooms there are, and what is
held; the records say what classes are called. No chat server is asked. Neighbours: `handout`, `records`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import polars as pl
import segno
import typer

from homeroom.api import Chat, ChatPlatform, ChatPolicy, ChatType, District, InvalidSpecError, Reason
from homeroom.chats.identity import plain
from homeroom.cli import handout, options, records, terminal
from homeroom.cli.declared import Declared, declared
from homeroom.plan import Kind, Op, State
from homeroom.platforms.matrix import link, masked
from homeroom.roster.tables import Roster
from homeroom.store import Store, policy_name

_COLUMNS: Final = {
    "staff": ChatType.STAFF_ROOM,
    "parents": ChatType.CLASS_PARENTS,
    "students": ChatType.CLASS_STUDENTS,
}
"""Columns of links, and whose they are. Subject chats are not in the table."""
_TEXT: Final = pl.String()
_CELL: Final = pl.Struct({"link": _TEXT, "reason": _TEXT})
_PLACE: Final = ("policy", "school", "school_name", "class", "collective")
_TABLE: Final = pl.Schema({**dict.fromkeys(_PLACE, _TEXT), **dict.fromkeys(_COLUMNS, _CELL)})
"""A row for the staff room of a school (`class` null), and one per class; `school`, `class`: source ids.

A cell is null where no such chat is declared; else it has a link, or the reason why there is none.
"""


_EXTRA: Final = pl.Schema({"chat": _TEXT, "name": _TEXT, "room": _CELL, "join": _TEXT})
"""A row per extra chat. `chat`: name of the resource; `join`: the link by which people come in, null: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Links:
    """`table`: columns `_TABLE`, sorted; `extra`: `_EXTRA`. `notes`: what a reader must know to read it right."""

    table: pl.DataFrame
    extra: pl.DataFrame
    notes: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """What the records call things: `schools` [school, school_name], `classes` [class, title]."""

    schools: pl.DataFrame
    classes: pl.DataFrame


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

    A row for the staff room and one per class, as the last run of each policy left them, and below them extra chats
    (not in CSV). Where a chat is missing the cell says why. A link lets nobody in: people come into a chat once it is
    known which account is theirs, and into an extra chat that has a link under JOIN by pressing a button there.

    Example: homeroom links -n lakeside --school s-001 --reveal -o csv > links.csv
    """

    async def look() -> _Links | None:
        async with declared(files=files, namespace=namespace, context=context) as resources:
            with records.opened(store, data) as opened:
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
        sys.stdout.write(handout.safe(_cells(found.table)).write_csv())
    else:
        _show(found, page=page, reveal=reveal)


# ---------------------------------------------------------------------------------------------------------------------
# Gather


def _look(
    resources: Declared, policy: str | None, store: Store, *, school: str | None, pages: str | None, reveal: bool
) -> _Links:
    """Blocks."""
    policies = resources.every(ChatPolicy) if policy is None else [resources.one(ChatPolicy, policy)]
    chats = resources.every(Chat) if policy is None and school is None else []
    if not policies and not chats:
        resources.one(ChatPolicy, None)  # says where there is none
    tables, notes = [pl.DataFrame(schema=_TABLE)], list[str]()
    names: dict[str, _Names] = {}
    for one in policies:
        district = one.spec.district_ref.name
        if district not in names:
            names[district] = _names(resources, resources.one(District, district), store)
        platform = resources.one(ChatPlatform, one.spec.platform_ref.name)
        tables.append(_of_policy(store, one, platform, names[district], reveal=reveal))
        notes.extend(_notes(store, one))
    table = pl.concat(tables)
    if school is not None:
        table = table.filter(pl.col("school") == school)
        if table.is_empty():
            raise InvalidSpecError(f"no policy has wanted a chat in a school '{school}' yet: give its source id")
    number = pl.col("collective").str.extract(r"(\d+)").cast(pl.UInt64, strict=False)  # 5a comes before 10a
    order = ["policy", "school_name", "school", pl.col("class").is_not_null(), number, "collective", "class"]
    for chat in chats:
        notes.extend(_notes(store, chat))
    rows = [_of_chat(resources, store, chat, pages=pages, reveal=reveal) for chat in chats]
    extra = pl.DataFrame(rows, schema=_EXTRA, orient="row").sort("chat")
    return _Links(table=table.sort(order), extra=extra, notes=notes)


def _names(resources: Declared, district: District, store: Store) -> _Names:
    """Nothing has a name before there are records."""
    served = records.stored(resources, district, store=store)
    roster = served[1].roster if served is not None else Roster.empty()
    return _Names(
        schools=roster.orgs.select(school="id", school_name=plain(pl.col("name"))),
        classes=roster.classes.select(pl.col("id").alias("class"), title=plain(pl.col("title"))),
    )


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
    shown = [link(room, server=matrix.server_name) if reveal else masked(room) for room in rooms["external_id"]]
    stopped = policy.spec.suspend or platform.spec.suspend
    wanted = stored.baseline.desired.chats.select(pl.col("key", "school"), pl.col("section").alias("class"), "type")
    chats = (
        wanted.join(rooms.select("key", pl.Series("link", shown, pl.String)), on="key", how="left")
        .join(_held(store, policy), on="key", how="left")
        .with_columns(
            pl.coalesce(
                pl.lit("suspended" if stopped else None, pl.String),
                pl.format("held: {}", "hold"),
                pl.lit("not made yet"),
            ).alias("reason")
        )
        .with_columns(pl.when(pl.col("link").is_null()).then("reason").alias("reason"))
        .select("school", "class", "type", cell=pl.struct("link", "reason"))
    )
    of = ["school", "class"]
    table = chats.filter(pl.col("type").cast(pl.String).is_in(list(_COLUMNS.values()))).select(of).unique()
    for column, type_ in _COLUMNS.items():
        cells = chats.filter(pl.col("type") == type_.value).select(*of, pl.col("cell").alias(column))
        table = table.join(cells, on=of, how="left", nulls_equal=True)
    return (
        table.join(names.schools, on="school", how="left")
        .join(names.classes, on="class", how="left")
        .with_columns(
            policy=pl.lit(policy.metadata.name),
            school_name=pl.coalesce("school_name", "school"),
            collective=pl.when(pl.col("class").is_null())
            .then(pl.lit("Staff room"))
            .otherwise(pl.coalesce("title", "class")),
        )
        .select(_TABLE.names())
    )


def _of_chat(
    resources: Declared, store: Store, chat: Chat, *, pages: str | None, reveal: bool
) -> tuple[str, str, dict[str, str | None], str | None]:
    """A row of `_EXTRA`."""
    platform = resources.one(ChatPlatform, chat.spec.platform_ref.name)
    assert platform.spec.matrix is not None  # there is no other platform
    name = policy_name(chat.kind, chat.metadata.name)
    room: str | None = None
    for found in store.chats.rooms(namespace=chat.metadata.namespace, policy=name)["external_id"]:
        room = link(found, server=platform.spec.matrix.server_name) if reveal else masked(found)
    held = next(iter(_held(store, chat)["hold"]), None)
    stopped = chat.spec.suspend or platform.spec.suspend
    reason = "suspended" if stopped else f"held: {held}" if held else "not made yet"
    way = store.joins.link(namespace=chat.metadata.namespace, chat=chat.metadata.name)
    join = None if way is None else _join_link(way.word, pages=pages) if reveal else f"…{way.word[-4:]}"
    return chat.metadata.name, chat.spec.name, {"link": room, "reason": None if room else reason}, join


def _join_link(word: str, *, pages: str | None) -> str:
    """The address by which people come into an extra chat; only its path, where nobody says how browsers reach it."""
    return f"{(pages or '').rstrip('/')}/chats/join/{word}"


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
    return segno.make_qr(_join_link(way.word, pages=pages), error="m").svg_inline(border=4, scale=8)


def _held(store: Store, policy: ChatPolicy | Chat) -> pl.DataFrame:
    """[key, hold]: chats that are to be made, and wait for an Approval."""
    of_policy = store.holds(kind=policy.kind, namespace=policy.metadata.namespace, name=policy.metadata.name)
    parts = [
        hold.rows.filter(pl.col("kind") == Kind.CHAT.value, pl.col("op") == Op.CREATE.value).select(
            "key", pl.lit(hold.id).alias("hold")
        )
        for hold in of_policy
        if hold.state is State.OPEN
    ]
    return pl.concat([pl.DataFrame(schema={"key": _TEXT, "hold": _TEXT}), *parts]).unique("key")


def _notes(store: Store, policy: ChatPolicy | Chat) -> Iterator[str]:
    name = policy.metadata.name
    last = store.run(kind=policy.kind, namespace=policy.metadata.namespace, name=name)
    if last is None:
        yield f"{policy.kind} '{name}' has not run yet"
    elif last.reason != Reason.SUCCEEDED.value:
        yield f"{policy.kind} '{name}': {last.reason}: {last.message}"


# ---------------------------------------------------------------------------------------------------------------------
# Show


def _cells(table: pl.DataFrame) -> pl.DataFrame:
    """For people and spreadsheets: a link, or in brackets why there is none; empty where none is declared."""
    return table.with_columns(_shown(name) for name in _COLUMNS).rename(
        {"school": "school id", "school_name": "school", "class": "class id"}
    )


def _shown(name: str) -> pl.Expr:
    return pl.coalesce(pl.col(name).struct["link"], pl.format("({})", pl.col(name).struct["reason"])).alias(name)


def _show(found: _Links, *, page: str | None, reveal: bool) -> None:
    for note in found.notes:
        terminal.say(note, style="yellow")
    cells = _cells(found.table)
    if cells.is_empty() and found.extra.is_empty():
        terminal.say("there are no chats yet")
        return
    if not cells.is_empty():
        names = [name for name in cells.columns if name != "policy" or cells["policy"].n_unique() > 1]
        terminal.table([name.upper() for name in names], cells.select(names).rows())
    if not found.extra.is_empty():
        if not cells.is_empty():
            terminal.say()
        extra = found.extra.with_columns(_shown("room"))
        terminal.table([name.upper() for name in extra.columns], extra.rows())
    terminal.say()
    if not reveal:
        terminal.say("only the last characters of each room are shown; --reveal shows whole links")
    where = f"at {page}" if page else "on the pages of `homeroom web`"
    terminal.say(f"a link lets nobody in: people come into their chats once they have linked their account {where}")

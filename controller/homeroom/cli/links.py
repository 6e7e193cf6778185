"""`homeroom links`: the chats of each school and class as a table of links (R36, B17).

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
import typer

from homeroom.api import ChatPlatform, ChatPolicy, ChatType, District, InvalidSpecError, Reason
from homeroom.chats.identity import plain
from homeroom.cli import handout, options, records, terminal
from homeroom.cli.declared import Declared, declared
from homeroom.plan import Kind, Op, State
from homeroom.platforms.matrix import link, masked
from homeroom.roster.tables import Roster
from homeroom.store import Store

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Links:
    """`table`: columns `_TABLE`, sorted. `notes`: what a reader must know to read it right."""

    table: pl.DataFrame
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

    A row for the staff room and one per class, as the last run of each policy left them. Where a chat is missing the
    cell says why. A link lets nobody in: people come into a chat once it is known which account is theirs.

    Example: homeroom links -n lakeside --school s-001 --reveal -o csv > links.csv
    """

    async def look() -> _Links:
        async with declared(files=files, namespace=namespace, context=context) as resources:
            with records.opened(store, data) as opened:
                assert opened is not None
                return await asyncio.to_thread(_look, resources, policy, opened, school=school, reveal=reveal)

    found = asyncio.run(look())
    page = f"{pages.rstrip('/')}/chats" if pages else None
    if output == "json":
        rows = found.table.rename({"school_name": "schoolName"}).to_dicts()
        terminal.document({"page": page, "notes": found.notes, "rows": rows})
    elif output == "csv":
        sys.stdout.write(handout.safe(_cells(found.table)).write_csv())
    else:
        _show(found, page=page, reveal=reveal)


# ---------------------------------------------------------------------------------------------------------------------
# Gather


def _look(resources: Declared, policy: str | None, store: Store, *, school: str | None, reveal: bool) -> _Links:
    """Blocks."""
    policies = resources.every(ChatPolicy) if policy is None else [resources.one(ChatPolicy, policy)]
    if not policies:
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
    return _Links(table=table.sort(order), notes=notes)


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


def _held(store: Store, policy: ChatPolicy) -> pl.DataFrame:
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


def _notes(store: Store, policy: ChatPolicy) -> Iterator[str]:
    name = policy.metadata.name
    last = store.run(kind=policy.kind, namespace=policy.metadata.namespace, name=name)
    if last is None:
        yield f"ChatPolicy '{name}' has not run yet"
    elif last.reason != Reason.SUCCEEDED.value:
        yield f"ChatPolicy '{name}': {last.reason}: {last.message}"


# ---------------------------------------------------------------------------------------------------------------------
# Show


def _cells(table: pl.DataFrame) -> pl.DataFrame:
    """For people and spreadsheets: a link, or in brackets why there is none; empty where none is declared."""
    words = [
        pl.coalesce(pl.col(name).struct["link"], pl.format("({})", pl.col(name).struct["reason"])).alias(name)
        for name in _COLUMNS
    ]
    return table.with_columns(words).rename({"school": "school id", "school_name": "school", "class": "class id"})


def _show(found: _Links, *, page: str | None, reveal: bool) -> None:
    for note in found.notes:
        terminal.say(note, style="yellow")
    cells = _cells(found.table)
    if cells.is_empty():
        terminal.say("there are no chats yet")
        return
    names = [name for name in cells.columns if name != "policy" or cells["policy"].n_unique() > 1]
    terminal.table([name.upper() for name in names], cells.select(names).rows())
    terminal.say()
    if not reveal:
        terminal.say("only the last characters of each room are shown; --reveal shows whole links")
    where = f"at {page}" if page else "on the pages of `homeroom web`"
    terminal.say(f"a link lets nobody in: people come into their chats once they have linked their account {where}")

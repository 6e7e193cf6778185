"""Who came by the link of an extra chat, and the links themselves. Neighbours: `links` (whose account is whose).

::

    a run --`open`, `close`--> link --> pages --`ask`, `leave`--> joins --`take_news`, `joins`--> a run --> `settle`

A join is a reason to be in the chat until it is taken back. The random word of a link is kept as it is, as `homeroom
links` has to tell it: alone it opens nothing, for whoever uses it has proven a linked account. Two write here, as in
`links`.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl
import sqlalchemy as sa

from homeroom.chats.linking import JoinState, Place
from homeroom.store import schema
from homeroom.store.transactions import Leading, take_news, unled

JOINS: Final = pl.Schema({"person": pl.String, "state": pl.String})
"""`person`: source id; `state`: of `JoinState`."""

_CAME: Final = (JoinState.ASKED.value, JoinState.IN.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinLink:
    """The link of one extra chat. `chat`: name of the Chat; `title`: what people call it; `word`: what stands in it."""

    place: Place
    chat: str
    title: str
    word: str

    @property
    def path(self) -> str:
        """Where it leads to on our pages."""
        return f"/chats/join/{self.word}"

    @property
    def masked(self) -> str:
        """By what people tell it from others."""
        return f"…{self.word[-4:]}"


class Joins:
    """The part of a store that is about links to extra chats."""

    def __init__(self, engine: sa.Engine, leading: Leading) -> None:
        self._engine = engine
        self._leading = leading

    # -- links ---------------------------------------------------------------------------------------------------

    def open(self, place: Place, chat: str, *, title: str, edition: int, epoch: int) -> JoinLink:
        """The link of a chat, made when there is none; another `edition` has another word, and the old one is dead."""
        table = schema.chat_link
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(table).where(*_of(table, place, chat))).one_or_none()
        if row is not None and (row.title, row.edition) == (title, edition):
            return JoinLink(place=place, chat=chat, title=title, word=row.word)
        word = row.word if row is not None and row.edition == edition else secrets.token_urlsafe(32)
        values = {**place._asdict(), "chat": chat, "title": title, "edition": edition, "word": word}
        with self._leading(epoch) as connection:
            # Also one of another district: a Chat that was made anew under this name.
            mine = (table.c.namespace == place.namespace, table.c.chat == chat)
            connection.execute(sa.delete(table).where(*mine))
            connection.execute(sa.insert(table).values(**values))
        return JoinLink(place=place, chat=chat, title=title, word=word)

    def close(self, *, namespace: str, chat: str, epoch: int) -> None:
        """Nobody comes by a link of this chat any more; a later one has another word. Who came by it stays known."""
        table = schema.chat_link
        mine = (table.c.namespace == namespace, table.c.chat == chat)
        with self._engine.connect() as connection:
            if connection.execute(sa.select(table.c.word).where(*mine)).first() is None:
                return
        with self._leading(epoch) as connection:
            connection.execute(sa.delete(table).where(*mine))

    def by_word(self, word: str) -> JoinLink | None:
        """The link with this word."""
        table = schema.chat_link
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(table).where(table.c.word == word)).one_or_none()
        return None if row is None else _link(row)

    def link(self, *, namespace: str, chat: str) -> JoinLink | None:
        """The link of a chat that has one."""
        table = schema.chat_link
        mine = (table.c.namespace == namespace, table.c.chat == chat)
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(table).where(*mine)).one_or_none()
        return None if row is None else _link(row)

    # -- joins, for runs -----------------------------------------------------------------------------------------

    def joins(self, place: Place, chat: str) -> pl.DataFrame:
        """Everybody who ever came by the link: columns `JOINS`, sorted."""
        table = schema.chat_join
        query = sa.select(table.c.person, table.c.state).where(*_of(table, place, chat)).order_by(table.c.person)
        with self._engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(query)]
        return pl.DataFrame(rows, schema=JOINS, orient="row")

    def settle(self, place: Place, chat: str, found: Mapping[str, tuple[JoinState, JoinState]], *, epoch: int) -> None:
        """What a run found out, by person: the state that it saw, and the one that holds now.

        Whoever has pressed a button meanwhile is left to the next run.
        """
        table = schema.chat_join
        if not found:
            return
        with self._leading(epoch) as connection:
            for person, (before, after) in found.items():
                same = (*_of(table, place, chat), table.c.person == person, table.c.state == before.value)
                connection.execute(sa.update(table).where(*same).values(state=after.value))

    def take_news(self, *, namespace: str, platform: str, epoch: int) -> list[str]:
        """Names of Chats to which people came, or from which they went, since this was asked last; sorted."""
        table = schema.chat_join
        here = (table.c.namespace == namespace, table.c.platform == platform)
        return take_news(self._engine, self._leading, table.c.chat, *here, epoch=epoch)

    # -- joins, by people ----------------------------------------------------------------------------------------

    def state(self, link: JoinLink, person: str) -> JoinState | None:
        """What became of a person's wish to come; None: they never had it."""
        table = schema.chat_join
        query = sa.select(table.c.state).where(*_of(table, link.place, link.chat), table.c.person == person)
        with self._engine.connect() as connection:
            state = connection.execute(query).scalar_one_or_none()
        return None if state is None else JoinState(state)

    def ask(self, link: JoinLink, person: str, *, now: datetime) -> bool:
        """A person wants to come by a link; False: the link is good no more."""
        table, links = schema.chat_join, schema.chat_link
        mine = (*_of(table, link.place, link.chat), table.c.person == person)
        with unled(self._engine) as connection:
            if connection.execute(sa.select(links.c.chat).where(links.c.word == link.word)).first() is None:
                return False
            if connection.execute(sa.select(table.c.person).where(*mine, table.c.state.in_(_CAME))).first() is None:
                connection.execute(sa.delete(table).where(*mine))
                row = {**link.place._asdict(), "chat": link.chat, "person": person}
                row |= {"state": JoinState.ASKED.value, "at": schema.naive(now), "news": True}
                connection.execute(sa.insert(table).values(**row))
        return True

    def leave(self, link: JoinLink, person: str, *, now: datetime) -> bool:
        """A person takes it back; whether there was anything to take back."""
        table = schema.chat_join
        mine = (*_of(table, link.place, link.chat), table.c.person == person, table.c.state.in_(_CAME))
        values = {"state": JoinState.LEFT.value, "at": schema.naive(now), "news": True}
        with unled(self._engine) as connection:
            return connection.execute(sa.update(table).where(*mine).values(**values)).rowcount > 0

    def joins_of(self, person: str, *, namespace: str, district: str) -> list[dict[str, str]]:
        """What is held of one person's joins, as text, sorted."""
        table, columns = schema.chat_join, ("platform", "chat", "state", "at")
        mine = (table.c.namespace == namespace, table.c.district == district, table.c.person == person)
        query = sa.select(*(table.c[name] for name in columns)).where(*mine).order_by(table.c.platform, table.c.chat)
        with self._engine.connect() as connection:
            return [{key: str(value) for key, value in row.items()} for row in connection.execute(query).mappings()]


def forget_joins(connection: sa.Connection, *, namespace: str, district: str, person: str) -> bool:
    """Take out that a person came by any link; whether they did."""
    table = schema.chat_join
    mine = (table.c.namespace == namespace, table.c.district == district, table.c.person == person)
    return connection.execute(sa.delete(table).where(*mine)).rowcount > 0


def _link(row: sa.Row[tuple[object, ...]]) -> JoinLink:
    place = Place(row.namespace, row.platform, row.district)
    return JoinLink(place=place, chat=row.chat, title=row.title, word=row.word)


def _of(table: sa.Table, place: Place, chat: str) -> Collection[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in {**place._asdict(), "chat": chat}.items()]

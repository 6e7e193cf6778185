"""How the parts of a store write: under the Lease's epoch, or as somebody who does not lead. Neighbour: `store`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias

import sqlalchemy as sa

from homeroom.store import schema

Leading: TypeAlias = Callable[[int], AbstractContextManager[sa.Connection]]
"""A transaction of who leads with this epoch; raises LostLeadershipError for an older one."""


@contextmanager
def unled(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction of somebody who does not lead: pages, commands.

    It begins with a write, so it waits for other writers, and what is read in it stays true until it ends.
    """
    leader = schema.leader
    with engine.begin() as connection:
        connection.execute(sa.update(leader).where(leader.c.id == 1).values(epoch=leader.c.epoch))
        yield connection


def take_news(
    engine: sa.Engine, leading: Leading, column: sa.Column[str], *of: sa.ColumnElement[bool], epoch: int
) -> list[str]:
    """What `column` says in the rows with `news` since this was asked last, sorted; writes only if there are any."""
    table = column.table
    new = (table.c.news, *of)
    with engine.connect() as connection:
        if connection.execute(sa.select(column).where(*new).limit(1)).first() is None:
            return []
    with leading(epoch) as connection:
        told = connection.execute(sa.update(table).where(*new).values(news=False).returning(column))
        return sorted(set(told.scalars()))

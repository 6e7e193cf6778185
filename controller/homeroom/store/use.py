"""How seats are used: when people last used an app, and how each pool was used on each day. Neighbour: `store`.

The days of people are personal data, kept as long as their app tells them; it tells them anew after a loss. The days of
pools are counts, are told by nobody else, and stay when their pool goes: it may come back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl
import sqlalchemy as sa

from homeroom.seats.usage import LOGINS_SCHEMA
from homeroom.store import schema
from homeroom.store.frames import packed, unpacked
from homeroom.store.transactions import Leading

_KEPT: Final = 1100
"""Days of a pool that are kept: three school years. The newest ones, whatever the clock says."""

_COUNTS: Final = ("capacity", "granted", "used", "demand", "active")
DAYS_SCHEMA: Final = pl.Schema({"day": pl.Date, **dict.fromkeys(_COUNTS, pl.Int64)})
"""How a pool was used at the end of a day, as far as it was looked at. `capacity`: seats that may be granted.

`demand`: students who want a seat. `active`: students who hold a seat and are active, null where that was not known.
"""
LICENCE_DAYS_SCHEMA: Final = pl.Schema({"day": pl.Date, "licence": pl.String, **dict.fromkeys(_COUNTS[1:], pl.Int64)})
"""The same of each licence (namespace and name)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A pool on one day: one row of DAYS_SCHEMA, and LICENCE_DAYS_SCHEMA of it without the day, sorted by licence."""

    day: date
    capacity: int
    granted: int
    used: int
    demand: int
    active: int | None
    licences: pl.DataFrame


class Use:
    """The tables `activity` and `pool_day`. `writing`: a transaction of whoever leads, by its epoch."""

    def __init__(self, engine: sa.Engine, writing: Leading) -> None:
        self._engine = engine
        self._writing = writing

    def activity(self, *, namespace: str, app: str) -> pl.DataFrame:
        """When people last used an app: LOGINS_SCHEMA; nothing, where it never told."""
        table = schema.activity
        query = sa.select(table.c.logins).where(table.c.namespace == namespace, table.c.app == app)
        with self._engine.connect() as connection:
            blob = connection.execute(query).scalar_one_or_none()
        return pl.DataFrame(schema=LOGINS_SCHEMA) if blob is None else unpacked([blob])[0]

    def save_activity(self, logins: pl.DataFrame, *, namespace: str, app: str, epoch: int) -> bool:
        """Replace it; whether it is another. Who has never told of anybody leaves no trace, and no write."""
        if logins.equals(self.activity(namespace=namespace, app=app)):
            return False
        table = schema.activity
        with self._writing(epoch) as connection:
            connection.execute(sa.delete(table).where(table.c.namespace == namespace, table.c.app == app))
            if not logins.is_empty():
                row = {"namespace": namespace, "app": app, "logins": packed(logins)}
                connection.execute(sa.insert(table).values(row))
        return True

    def activity_of(self, person: str, *, namespace: str, district: str) -> pl.DataFrame:
        """When one person last used each app of the namespace: [app, login, used, sure], sorted."""
        table = schema.activity
        query = sa.select(table.c.app, table.c.logins).where(table.c.namespace == namespace).order_by(table.c.app)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        told = unpacked(row.logins for row in rows)
        found = [frame.with_columns(app=pl.lit(row.app, pl.String)) for row, frame in zip(rows, told, strict=True)]
        nobody = pl.DataFrame(schema={**LOGINS_SCHEMA, "app": pl.String()})
        mine = pl.concat([nobody, *found]).filter(district=f"{namespace}/{district}", person=person)
        return mine.select("app", "login", "used", "sure")

    def save_day(self, day: Day, *, namespace: str, pool: str, epoch: int) -> None:
        """Write how a pool is used today, or nothing where that stands there already."""
        place = {"namespace": namespace, "pool": pool, "day": day.day}
        counts = {name: getattr(day, name) for name in _COUNTS}
        table = schema.pool_day
        of_pool = (table.c.namespace == namespace) & (table.c.pool == pool)
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(table).where(of_pool, table.c.day == day.day)).mappings().one_or_none()
        if (
            row is not None
            and counts == {name: row[name] for name in _COUNTS}
            and unpacked([row["licences"]])[0].equals(day.licences)
        ):
            return
        oldest = sa.select(table.c.day).where(of_pool).order_by(table.c.day.desc()).offset(_KEPT - 1).limit(1)
        with self._writing(epoch) as connection:
            connection.execute(sa.delete(table).where(of_pool, table.c.day == day.day))
            connection.execute(sa.insert(table).values({**place, **counts, "licences": packed(day.licences)}))
            last = connection.execute(oldest).scalar_one_or_none()
            if last is not None:
                connection.execute(sa.delete(table).where(of_pool, table.c.day < last))

    def days(self, *, namespace: str, pool: str, since: date, until: date) -> tuple[pl.DataFrame, pl.DataFrame]:
        """How a pool was used from day to day, both included: DAYS_SCHEMA, LICENCE_DAYS_SCHEMA; sorted by day."""
        table = schema.pool_day
        query = sa.select(table).where(
            table.c.namespace == namespace, table.c.pool == pool, table.c.day >= since, table.c.day <= until
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(table.c.day)).all()
        used = unpacked(row.licences for row in rows)
        licences = [frame.with_columns(day=pl.lit(row.day, pl.Date)) for row, frame in zip(rows, used, strict=True)]
        days = [(row.day, *(getattr(row, name) for name in _COUNTS)) for row in rows]
        none = pl.DataFrame(schema=LICENCE_DAYS_SCHEMA)
        return (
            pl.DataFrame(days, DAYS_SCHEMA, orient="row"),
            pl.concat([none, *(frame.select(none.columns) for frame in licences)]),
        )

"""What the web service needs beside keys and connections. Neighbour: `store`, which opens this.

It has no access to the cluster, so runs of a pool tell it here what it may say of each licence, and those of a chat
platform what it has to know of each District. Its own are tickets:
the links that it mails, and sessions. Of a ticket only the SHA-256 of its random word is here, so whoever reads the
store, or an old copy of it, can open nothing with what is found.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import polars as pl
import sqlalchemy as sa

from homeroom.store import schema
from homeroom.store.transactions import Leading

LICENCE_SCHEMA: Final = pl.Schema(
    {
        **dict.fromkeys(("namespace", "licence", "district", "school", "title"), pl.String()),
        **dict.fromkeys(("granted", "used", "waiting"), pl.Int64()),
    }
)
"""What people without access to the cluster may know of licences.

`district`: its name, in the licence's namespace. `school`: source id of the school in its records. `title`: the name of
the unit. `granted`, `used`: seats. `waiting`: students of connected teachers who have no seat.
"""
_NAMES: Final = ["namespace", "licence"]


DISTRICTS_SCHEMA: Final = pl.Schema({"district": pl.String(), "zone": pl.String(), "denied": pl.List(pl.String())})
"""What pages have to know of Districts. `zone`: time zone (IANA). `denied`: people (source ids) who are out at once."""


class Purpose(StrEnum):
    """What a ticket is good for: to connect or to sign in, once, or for the pages of somebody who is signed in."""

    CONNECT = "Connect"
    SIGN_IN = "SignIn"
    SESSION = "Session"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """The right of one teacher (source id of a district) to do something, until `expires_at`.

    `key`: digest of the licence key that was entered, for the purpose `Connect`.
    """

    purpose: Purpose
    namespace: str
    district: str
    teacher: str
    expires_at: datetime
    key: str | None = None


class Web:
    """The part of a store that is the web service's."""

    def __init__(self, engine: sa.Engine, leading: Leading) -> None:
        self._engine = engine
        self._leading = leading

    # -- told by runs -------------------------------------------------------------------------------------------

    def licences(self) -> pl.DataFrame:
        """What was told of all licences: LICENCE_SCHEMA, by namespace and name."""
        return self._licences(sa.true())

    def tell(self, licences: pl.DataFrame, *, namespace: str, pool: str, epoch: int) -> None:
        """Of the licences of this pool say what is said here (LICENCE_SCHEMA), and of no others; writes what is new."""
        table = schema.licence
        of_pool = (table.c.pool_namespace == namespace) & (table.c.pool == pool)
        before = self._licences(of_pool)
        gone = before.join(licences, on=_NAMES, how="anti")
        fresh = licences.join(before, on=LICENCE_SCHEMA.names(), how="anti")
        outdated = pl.concat([gone, fresh]).select(_NAMES).to_dicts()
        if not outdated:
            return
        one = (table.c.namespace == sa.bindparam("of"), table.c.licence == sa.bindparam("name"))
        with self._leading(epoch) as connection:
            parameters = [{"of": row["namespace"], "name": row["licence"]} for row in outdated]
            connection.execute(sa.delete(table).where(*one), parameters)
            if rows := [{**row, "pool_namespace": namespace, "pool": pool} for row in fresh.to_dicts()]:
                connection.execute(sa.insert(table), rows)

    def _licences(self, where: sa.ColumnElement[bool]) -> pl.DataFrame:
        table = schema.licence
        query = sa.select(*(table.c[name] for name in LICENCE_SCHEMA)).where(where)
        with self._engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(query)]
        return pl.DataFrame(rows, schema=LICENCE_SCHEMA, orient="row").sort(_NAMES)

    def districts(self, *, namespace: str, platform: str) -> pl.DataFrame:
        """What was told of the Districts that have chats on this platform: DISTRICTS_SCHEMA, by name."""
        table = schema.district_told
        here = (table.c.namespace == namespace, table.c.platform == platform)
        query = sa.select(table.c.district, table.c.zone, table.c.denied).where(*here).order_by(table.c.district)
        with self._engine.connect() as connection:
            rows = [(row.district, row.zone, json.loads(row.denied)) for row in connection.execute(query)]
        return pl.DataFrame(rows, schema=DISTRICTS_SCHEMA, orient="row")

    def tell_districts(self, districts: pl.DataFrame, *, namespace: str, platform: str, epoch: int) -> None:
        """These Districts (DISTRICTS_SCHEMA, by name), and no others, have chats on this platform."""
        table = schema.district_told
        if self.districts(namespace=namespace, platform=platform).equals(districts):
            return
        with self._leading(epoch) as connection:
            connection.execute(sa.delete(table).where(table.c.namespace == namespace, table.c.platform == platform))
            of = {"namespace": namespace, "platform": platform}
            rows = [{**of, **row, "denied": json.dumps(row["denied"])} for row in districts.to_dicts()]
            if rows:
                connection.execute(sa.insert(table), rows)

    # -- tickets: nobody else has to do with them, so no leadership is needed -----------------------------------

    def issue(self, ticket: Ticket, *, digest: str, now: datetime) -> None:
        """Keep a ticket under the digest of its word; those that have expired go."""
        table = schema.ticket
        with self._engine.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.expires_at <= schema.naive(now)))
            row = asdict(ticket) | {"purpose": ticket.purpose.value, "expires_at": schema.naive(ticket.expires_at)}
            connection.execute(sa.insert(table).values(**row, digest=digest))

    def ticket(self, digest: str, *, now: datetime) -> Ticket | None:
        """The ticket with this digest, while it is good."""
        with self._engine.connect() as connection:
            return _ticket(connection, digest, now)

    def take(self, digest: str, *, now: datetime) -> Ticket | None:
        """As `ticket`, and nobody gets it ever again."""
        table = schema.ticket
        with self._engine.begin() as connection:
            found = _ticket(connection, digest, now)
            # Of two who come at the same time one deletes it.
            deleted = connection.execute(sa.delete(table).where(table.c.digest == digest)).rowcount
        return found if deleted == 1 else None


def _ticket(connection: sa.Connection, digest: str, now: datetime) -> Ticket | None:
    table = schema.ticket
    query = sa.select(table).where(table.c.digest == digest, table.c.expires_at > schema.naive(now))
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return Ticket(
        purpose=Purpose(row.purpose),
        namespace=row.namespace,
        district=row.district,
        teacher=row.teacher,
        expires_at=row.expires_at.replace(tzinfo=UTC),
        key=row.key,
    )

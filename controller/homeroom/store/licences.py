"""Keys of licences, the teachers they connected, and whom they were mailed to. Neighbour: `store`, which opens this.

Two write here. The operator makes and revokes keys under its Lease (`epoch`), as everywhere. The web service and
`homeroom key send` lead nothing: they connect teachers by a key that is alive at that very moment, and note what they
mailed. A key is a digest here, an address a keyed hash: from neither does anybody find out what it was.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

import polars as pl
import sqlalchemy as sa

from homeroom.plan import MOMENT, Cause, Result
from homeroom.seats.keys import Connected, Delivery, Ended
from homeroom.seats.revocation import KIND, ORPHAN
from homeroom.store import schema
from homeroom.store.chats import journal_name
from homeroom.store.transactions import Leading, unled

KEYS_SCHEMA: Final = pl.Schema(
    {"namespace": pl.String(), "licence": pl.String(), "digest": pl.String(), "made_at": MOMENT}
)
"""Keys that are alive, one per licence."""
CONNECTIONS_SCHEMA: Final = pl.Schema(
    {
        "namespace": pl.String(),
        "licence": pl.String(),
        "district": pl.String(),
        "teacher": pl.String(),
        "connected_at": MOMENT,
        "how": pl.String(),
    }
)
"""Teachers, by source id in a district of the licence's namespace, who are connected to it; `how`: `Connected`."""
DELIVERIES_SCHEMA: Final = pl.Schema(
    {
        "namespace": pl.String(),
        "licence": pl.String(),
        "sent": pl.Int64(),
        "refused": pl.Int64(),
        "waiting": pl.Int64(),
        "changed_at": MOMENT,
    }
)
"""Mails with the key of a licence that is alive: how many addresses got it, how many declared ones did not, and when
that last changed."""

_ADDRESSES: Final = "addresses"
"""Name of the key of the hashes in the table `delivery`."""
_DELIVERED: Final = (Delivery.SENT.value, Delivery.ASSUMED.value)


class LicenceName(NamedTuple):
    """A licence by name."""

    namespace: str
    name: str


class Licences:
    """The part of a store that is about keys."""

    def __init__(self, engine: sa.Engine, leading: Leading) -> None:
        self._engine = engine
        self._leading = leading

    # -- keys ---------------------------------------------------------------------------------------------------

    def keys(self, namespaces: Collection[str]) -> pl.DataFrame:
        """The live keys of the licences in these namespaces: KEYS_SCHEMA, sorted."""
        table = schema.licence_key
        query = sa.select(*(table.c[name] for name in KEYS_SCHEMA)).where(
            table.c.namespace.in_(namespaces), table.c.revoked_at.is_(None)
        )
        return self._frame(query.order_by(table.c.namespace, table.c.licence), KEYS_SCHEMA)

    def make_keys(self, digests: Mapping[LicenceName, str], *, at: datetime, epoch: int) -> None:
        """Give each of these licences a new key, and revoke what it had before; all at once."""
        table = schema.licence_key
        with self._leading(epoch) as connection:
            for licence, digest in digests.items():
                _revoke(connection, licence, at)
                row = {"digest": digest, "namespace": licence.namespace, "licence": licence.name}
                connection.execute(sa.insert(table).values(**row, made_at=schema.naive(at), found=False))

    def unmake_keys(self, digests: Collection[str], *, epoch: int) -> None:
        """Forget keys that could not be put into their Secrets: nobody has ever seen them."""
        table = schema.licence_key
        with self._leading(epoch) as connection:
            connection.execute(sa.delete(table).where(table.c.digest.in_(digests)))

    def find_key(self, digest: str, licence: LicenceName, *, at: datetime, epoch: int) -> bool:
        """Make the key that is in a licence's Secret its one key, and revoke what else it had.

        If it is news here, this store was lost, and nobody knows any more to whom the key was mailed. False, with
        nothing written: it was revoked before, or is another licence's. No key is ever used again.
        """
        table = schema.licence_key
        with self._leading(epoch) as connection:
            row = connection.execute(sa.select(table).where(table.c.digest == digest)).one_or_none()
            if row is not None:
                return row.revoked_at is None and LicenceName(row.namespace, row.licence) == licence
            _revoke(connection, licence, at)
            place = {"digest": digest, "namespace": licence.namespace, "licence": licence.name}
            connection.execute(sa.insert(table).values(**place, made_at=schema.naive(at), found=True))
        return True

    def note_orphans(self, holds: Mapping[str, str], *, namespace: str, pool: str, at: datetime, epoch: int) -> None:
        """Write into the journal of a pool that licences (namespace and name) went though they are held, by which hold.

        One that is seen going again, as its run did not come to its end, stands there again.
        """
        number, when = uuid.uuid4().hex, schema.naive(at)
        place = {"namespace": namespace, "app": journal_name("LicensePool", pool)}
        said = {"op": ORPHAN, "kind": KIND, "school": "", "cause": Cause.NAMESPACE_DELETED.value}
        said["result"] = Result.APPLIED.value
        rows = [
            {"batch": number, "at": when, **place, **said, "key": licence, "hold": hold}
            for licence, hold in sorted(holds.items())
        ]
        batch = {"id": number, "run": number, **place, "generation": 0, "revision": "", "plan": "", "size": len(rows)}
        with self._leading(epoch) as connection:
            connection.execute(sa.insert(schema.batch).values(**batch, intended_at=when, concluded_at=when))
            connection.execute(sa.insert(schema.journal), rows)

    def revoke(self, licences: Iterable[LicenceName], *, at: datetime, epoch: int) -> int:
        """Revoke the keys of these licences, and end all their connections; how many of these there were."""
        connections, ended = schema.connection, 0
        with self._leading(epoch) as connection:
            for licence in licences:
                _revoke(connection, licence, at)
                connected = (
                    connections.c.namespace == licence.namespace,
                    connections.c.licence == licence.name,
                    _ACTIVE,
                )
                values = {"ended_at": schema.naive(at), "ended": Ended.REVOKED.value}
                ended += connection.execute(sa.update(connections).where(*connected).values(**values)).rowcount
        return ended

    def by_key(self, digest: str) -> LicenceName | None:
        """The licence whose live key this is."""
        with self._engine.connect() as connection:
            return _by_key(connection, digest)

    # -- connections --------------------------------------------------------------------------------------------

    def connect(self, digest: str, *, district: str, teacher: str, how: Connected, at: datetime) -> LicenceName | None:
        """Connect a teacher to the licence with this key; twice is once. None: no licence has it any more.

        `district`: by name, in the namespace of the licence; `teacher`: source id.
        """
        table = schema.connection
        with unled(self._engine) as connection:
            licence = _by_key(connection, digest)
            if licence is None:
                return None
            place = {"namespace": licence.namespace, "licence": licence.name, "district": district, "teacher": teacher}
            here = [table.c[name] == value for name, value in place.items()]
            if connection.execute(sa.select(table.c.id).where(*here, _ACTIVE)).first() is None:
                connection.execute(sa.insert(table).values(**place, connected_at=schema.naive(at), how=how.value))
            return licence

    def disconnect(
        self, licence: LicenceName, *, district: str, teacher: str, why: Ended, by: str | None, at: datetime
    ) -> bool:
        """End a teacher's connection; whether there was one. `by`: source id of the colleague who removed them."""
        table = schema.connection
        here = (
            table.c.namespace == licence.namespace,
            table.c.licence == licence.name,
            table.c.district == district,
            table.c.teacher == teacher,
        )
        values = {"ended_at": schema.naive(at), "ended": why.value, "ended_by": by}
        with unled(self._engine) as connection:
            return connection.execute(sa.update(table).where(*here, _ACTIVE).values(**values)).rowcount > 0

    def connections(
        self, namespaces: Collection[str], *, district: str | None = None, teacher: str | None = None
    ) -> pl.DataFrame:
        """Who is connected to licences in these namespaces: CONNECTIONS_SCHEMA, sorted; None does not narrow."""
        table = schema.connection
        query = sa.select(*(table.c[name] for name in CONNECTIONS_SCHEMA))
        query = query.where(table.c.namespace.in_(namespaces), _ACTIVE)
        if district is not None:
            query = query.where(table.c.district == district)
        if teacher is not None:
            query = query.where(table.c.teacher == teacher)
        frame = self._frame(query, CONNECTIONS_SCHEMA)
        return frame.sort("namespace", "licence", "district", "teacher")

    def connections_of(self, teacher: str, *, namespace: str, district: str) -> pl.DataFrame:
        """What is held of one teacher's connections, the oldest first: [licence, connected_at, how, ended_at, ended].

        `licence`: by name; `ended`: why, null while the connection lasts.
        """
        table = schema.connection
        columns = {"licence": pl.String(), "connected_at": MOMENT, "how": pl.String(), "ended_at": MOMENT}
        shown = pl.Schema({**columns, "ended": pl.String()})
        here = (table.c.namespace == namespace, table.c.district == district, table.c.teacher == teacher)
        return self._frame(sa.select(*(table.c[name] for name in shown)).where(*here).order_by(table.c.id), shown)

    # -- deliveries ---------------------------------------------------------------------------------------------

    def assume_delivered(self, addresses: Collection[str], *, licence: LicenceName, digest: str, epoch: int) -> None:
        """For a key that was `found`: it was mailed to all these before the store was lost. Once only, then no more."""
        key, table = schema.licence_key, schema.delivery
        found = (key.c.digest == digest, key.c.found)
        with self._engine.connect() as connection:
            if connection.execute(sa.select(key.c.digest).where(*found)).first() is None:
                return
        place = {"namespace": licence.namespace, "licence": licence.name, "digest": digest}
        with self._leading(epoch) as connection:
            made_at = connection.execute(sa.select(key.c.made_at).where(key.c.digest == digest)).scalar_one()
            for hashed in self._hashes(connection, addresses, make=True).values():
                values = {"address": hashed, "how": _HOW[True], "state": Delivery.ASSUMED.value, "at": made_at}
                connection.execute(sa.insert(table).values(**place, **values))
            connection.execute(sa.update(key).where(*found).values(found=False))

    def undelivered(self, addresses: Collection[str], *, licence: LicenceName, digest: str) -> list[str]:
        """Those of these addresses that the key did not go to yet, sorted."""
        table = schema.delivery
        with self._engine.connect() as connection:
            hashes = self._hashes(connection, addresses)
            query = sa.select(table.c.address).where(*_of_key(licence, digest), table.c.state.in_(_DELIVERED))
            done = set(connection.execute(query).scalars())
        return sorted(address for address, hashed in hashes.items() if hashed not in done)

    def note_delivery(
        self,
        address: str,
        state: Delivery,
        *,
        licence: LicenceName,
        digest: str,
        declared: bool,
        at: datetime,
        epoch: int | None,
    ) -> bool:
        """Write down what became of a mail; whether that is news (what is none is not written, and keeps its time).

        Each mail that went out is a row; one that did not is a row until it does. `declared`: the address is one of the
        licence's contacts, else somebody sent it by hand. `epoch`: None for whoever does not lead.
        """
        table = schema.delivery
        with unled(self._engine) if epoch is None else self._leading(epoch) as connection:
            hashed = self._hashes(connection, (address,), make=True)[address]
            open_ = (*_of_key(licence, digest), table.c.address == hashed, table.c.state.not_in(_DELIVERED))
            values = {"how": _HOW[declared], "state": state.value}
            row = connection.execute(sa.select(table.c.id, table.c.how, table.c.state).where(*open_)).first()
            if row is not None and (row.how, row.state) == (values["how"], values["state"]):
                return False
            if row is not None:
                connection.execute(sa.update(table).where(table.c.id == row.id).values(**values, at=schema.naive(at)))
            else:
                place = {"namespace": licence.namespace, "licence": licence.name, "digest": digest, "address": hashed}
                connection.execute(sa.insert(table).values(**place, **values, at=schema.naive(at)))
        return True

    def drop_undelivered(self, *, licence: LicenceName, digest: str, declared: Collection[str], epoch: int) -> bool:
        """Forget what did not go out to contacts that are not `declared` any more; whether there was any."""
        table = schema.delivery
        stale = (*_of_key(licence, digest), table.c.state.not_in(_DELIVERED), table.c.how == _HOW[True])
        with self._engine.connect() as connection:
            kept = set(self._hashes(connection, declared).values())
            found = connection.execute(sa.select(table.c.id, table.c.address).where(*stale)).all()
        gone = [row.id for row in found if row.address not in kept]
        if gone:
            with self._leading(epoch) as connection:
                connection.execute(sa.delete(table).where(table.c.id.in_(gone)))
        return bool(gone)

    def deliveries(self, namespaces: Collection[str]) -> pl.DataFrame:
        """How it stands with the mails of licences in these namespaces: DELIVERIES_SCHEMA, sorted."""
        table, key = schema.delivery, schema.licence_key

        def number(wanted: sa.ColumnElement[bool]) -> sa.Function[int]:
            return sa.func.count(sa.distinct(sa.case((wanted, table.c.address))))

        declared = table.c.how == _HOW[True]
        query = (
            sa.select(
                table.c.namespace,
                table.c.licence,
                number(table.c.state == Delivery.SENT.value),
                number(declared & (table.c.state == Delivery.REFUSED.value)),
                number(declared & (table.c.state == Delivery.WAITING.value)),
                sa.func.max(sa.case((table.c.state != Delivery.ASSUMED.value, table.c.at))),
            )
            .join(key, key.c.digest == table.c.digest)
            .where(table.c.namespace.in_(namespaces), key.c.revoked_at.is_(None))
            .group_by(table.c.namespace, table.c.licence)
            .order_by(table.c.namespace, table.c.licence)
        )
        return self._frame(query, DELIVERIES_SCHEMA)

    # -----------------------------------------------------------------------------------------------------------

    def _frame(self, query: sa.Select[tuple[object, ...]], columns: pl.Schema) -> pl.DataFrame:
        with self._engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(query)]
        moments = [name for name, dtype in columns.items() if dtype == MOMENT]
        naive = {name: pl.Datetime("us") if name in moments else dtype for name, dtype in columns.items()}
        return pl.DataFrame(rows, schema=naive, orient="row").with_columns(pl.col(moments).dt.replace_time_zone("UTC"))

    @staticmethod
    def _hashes(connection: sa.Connection, addresses: Collection[str], *, make: bool = False) -> dict[str, str]:
        """Address -> its hash. Without the key, which is made with the first row, all hashes are of nobody."""
        table = schema.secret
        key = connection.execute(sa.select(table.c.value).where(table.c.name == _ADDRESSES)).scalar_one_or_none()
        if key is None:
            key = secrets.token_bytes(32).hex()
            if make:
                connection.execute(sa.insert(table).values(name=_ADDRESSES, value=key))
        secret = bytes.fromhex(key)
        return {
            address: hmac.new(secret, address.strip().lower().encode(), hashlib.sha256).hexdigest()
            for address in addresses
        }


_ACTIVE: Final = schema.connection.c.ended_at.is_(None)
_HOW: Final = {True: "Declared", False: "ByHand"}


def _revoke(connection: sa.Connection, licence: LicenceName, at: datetime) -> None:
    """Revoke the key that a licence has."""
    table = schema.licence_key
    alive = (table.c.namespace == licence.namespace, table.c.licence == licence.name, table.c.revoked_at.is_(None))
    connection.execute(sa.update(table).where(*alive).values(revoked_at=schema.naive(at)))


def _by_key(connection: sa.Connection, digest: str) -> LicenceName | None:
    table = schema.licence_key
    query = sa.select(table.c.namespace, table.c.licence).where(table.c.digest == digest, table.c.revoked_at.is_(None))
    row = connection.execute(query).one_or_none()
    return None if row is None else LicenceName(row.namespace, row.licence)


def _of_key(licence: LicenceName, digest: str) -> tuple[sa.ColumnElement[bool], ...]:
    table = schema.delivery
    return (table.c.namespace == licence.namespace, table.c.licence == licence.name, table.c.digest == digest)

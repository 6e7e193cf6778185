"""What stays of people who were forgotten, and what stands in the way. Neighbour: `store`, with its transactions.

A random word takes the place of the source id in journal, ledger and old holds, and another one that of each account
of a chat server, so that counts stay true. User names become keyed hashes, so that none is ever given to somebody else,
and nobody reads whose they were. The key lies in the same database: this is no secret kept from who may read all of it,
but nothing that a person finds again by looking.
"""

from __future__ import annotations

import io
import secrets
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from homeroom.chats.person import Remembered
from homeroom.errors import TerminalError
from homeroom.plan import PERSONAL, Kind, Scope, State
from homeroom.roster.person import Remembered as InApp
from homeroom.roster.state import Withdrawn
from homeroom.store import schema
from homeroom.store.chats import KINDS, policy_name

_WITHDRAWN: Final = "withdrawn"
"""Name of the key of the hashes in the table `withdrawn`."""


_ACTIVE: Final = (State.OPEN.value, State.APPROVED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """Whose rows are about the people of one district: its own, and those of its apps and policies of chats."""

    namespace: str
    district: str
    apps: Sequence[str]
    policies: Sequence[str] = ()


class StillThereError(TerminalError):
    """Somebody cannot be forgotten: is still in use, or was never known."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="StillThere")


def accounts_of(connection: sa.Connection, namespace: str, app: str, person: str) -> pl.DataFrame:
    """The ledger's rows of one person: [school, external_id, username]."""
    table = schema.ledger
    found = connection.execute(
        sa.select(table.c.school, table.c.external_id, table.c.username)
        .where(table.c.namespace == namespace, table.c.app == app)
        .where(table.c.kind == Kind.PERSON.value, table.c.key == person)
        .order_by(table.c.school)
    )
    columns = dict.fromkeys(("school", "external_id", "username"), pl.String())
    return pl.DataFrame([tuple(row) for row in found], schema=columns, orient="row")


def refuse_in_use(person: str, app: str, found: InApp | None, *, known: pl.DataFrame) -> None:
    """Raises StillThereError for an app that has, or may have, something for the person."""
    if found is not None and found.in_use:
        schools = ", ".join(found.in_use)
        raise StillThereError(
            f"'{person}' has an account in use in {app} (school {schools}): first records and rules have to let go of "
            "it, or who administers the app has to delete it, and then a run has to see that"
        )
    if found is None and not known.is_empty():
        raise StillThereError(
            f"'{person}' has an account in {app}, of which the store does not know what is in use there: wait for its "
            "next run"
        )


def refuse_in_chats(person: str, app: str, found: Remembered | None, *, known: bool) -> None:
    """Raises StillThereError for a policy (`journal_of`) in whose chats the person is, or may be.

    `known`: its journal has them.
    """
    kind, _, name = app.partition("/")
    if found is not None and found.in_use:
        schools = f" (school {', '.join(found.in_use)})" if any(found.in_use) else ""
        raise StillThereError(
            f"'{person}' is in chats of {kind} '{name}'{schools}: first records and policy have to let "
            "go, or who administers the chat server has to take the account out, and then a run has to see that"
        )
    if found is None and known:
        raise StillThereError(
            f"'{person}' was in chats of {kind} '{name}', of which the store does not know who is in them now: "
            "wait for its next run"
        )


def in_journal(connection: sa.Connection, namespace: str, app: str, accounts: Sequence[str]) -> bool:
    """Whether the journal of a policy (`homeroom.store.journal_name`) names one of these accounts."""
    table = schema.journal
    named = (table.c.namespace == namespace, table.c.app == app, table.c.key.in_(accounts))
    query = sa.select(table.c.id).where(*named, table.c.kind.in_(PERSONAL)).limit(1)
    return connection.execute(query).first() is not None


def refuse_held(connection: sa.Connection, owners: Owners, person: str, accounts: Sequence[str]) -> None:
    """Raises StillThereError for a hold that has a say in what is applied, and has the person among its changes."""
    found = [_holds(connection, owners, person), *(_holds(connection, owners, one, chats=True) for one in accounts)]
    for row, _ in chain(*found):
        if row.state in _ACTIVE:
            raise StillThereError(
                f"'{person}' is in hold {row.id} of {row.kind} '{row.name}': first it has to be approved, or to go away"
            )


def made_anonymous(connection: sa.Connection, owners: Owners, person: str) -> tuple[int, int]:
    """Put one random word in place of a source id, and hashes in place of user names; how many changes and accounts."""
    namespace, apps = owners.namespace, owners.apps
    token = _token()
    for row, rows in _holds(connection, owners, person):
        _put_into_hold(connection, row, rows, person, token)
    _let_go(connection, owners, person)
    table = schema.hold  # a question about the person has the id as its place
    question = (table.c.namespace == namespace) & (table.c.kind == "District") & (table.c.name == owners.district)
    question &= (table.c.scope == Scope.PERSON.value) & (table.c.place == person)
    connection.execute(sa.update(table).where(question).values(place=token))
    journal, ledger, withdrawn = schema.journal, schema.ledger, schema.withdrawn

    def of_person(table: sa.Table) -> sa.ColumnElement[bool]:
        mine = (table.c.namespace == namespace) & table.c.app.in_(apps) & (table.c.key == person)
        return mine & table.c.kind.in_(PERSONAL)

    changes = connection.execute(sa.update(journal).where(of_person(journal)).values(key=token)).rowcount
    for row in connection.execute(sa.select(ledger).where(of_person(ledger), ledger.c.username.is_not(None))).all():
        names = withdrawn_names(connection, namespace, row.app)
        names = names if names.key else Withdrawn(key=_made_key(connection))
        if not names.has(row.username, school=row.school):  # two people may have had it who were taken over
            hashed = names.hash(row.username, school=row.school)
            connection.execute(sa.insert(withdrawn).values(namespace=namespace, app=row.app, hash=hashed))
    nameless = {"key": token, "external_id": None, "username": None}
    accounts = connection.execute(sa.update(ledger).where(of_person(ledger)).values(nameless)).rowcount
    return changes, accounts


def accounts_anonymous(connection: sa.Connection, owners: Owners, accounts: Sequence[str], apps: Sequence[str]) -> int:
    """The same with accounts of chat servers, each with a word of its own; how many changes.

    `apps`: the policies as the journal has them. What a server answered may name the account, too.
    """
    journal, changes = schema.journal, 0
    here = (journal.c.namespace == owners.namespace, journal.c.app.in_(apps))
    for account in accounts:
        token = _token()
        for row, rows in _holds(connection, owners, account, chats=True):
            _put_into_hold(connection, row, rows, account, token)
        named = (*here, journal.c.error.contains(account, autoescape=True))
        told = sa.func.replace(journal.c.error, account, token)
        connection.execute(sa.update(journal).where(*named).values(error=told))
        mine = (*here, journal.c.key == account, journal.c.kind.in_(PERSONAL))
        changes += connection.execute(sa.update(journal).where(*mine).values(key=token)).rowcount
    return changes


def _token() -> str:
    return f"forgotten-{uuid.uuid4().hex}"


def _put_into_hold(connection: sa.Connection, row: sa.Row[Any], rows: pl.DataFrame, key: str, token: str) -> None:
    """Write a hold anew, with `token` in place of `key`."""
    buffer = io.BytesIO()
    named = pl.lit(_named(rows, key))
    mine = pl.when(named & (pl.col("key") == key)).then(pl.lit(token)).otherwise("key").alias("key")
    other = pl.when(named & _asked_about(key)).then(pl.col("role").str.strip_suffix(key) + token)
    rows.with_columns(mine, other.otherwise("role").alias("role")).write_parquet(buffer)
    of_hold = [getattr(schema.hold.c, name) == getattr(row, name) for name in ("namespace", "kind", "name", "id")]
    connection.execute(sa.update(schema.hold).where(*of_hold).values(rows=buffer.getvalue()))


def _holds(
    connection: sa.Connection, owners: Owners, key: str, *, chats: bool = False
) -> Iterator[tuple[sa.Row[Any], pl.DataFrame]]:
    """The holds that name the person `key`, with their rows; of `chats` those that name the account `key`."""
    table = schema.hold
    whose: sa.ColumnElement[bool] = table.c.kind.in_(KINDS)
    if not chats:
        whose = (table.c.kind == "LearningApp") & table.c.name.in_(owners.apps)
        whose |= (table.c.kind == "District") & (table.c.name == owners.district)
    for row in connection.execute(sa.select(table).where(table.c.namespace == owners.namespace, whose)).all():
        if chats and policy_name(row.kind, row.name) not in owners.policies:
            continue
        rows = pl.read_parquet(io.BytesIO(row.rows))
        if _named(rows, key).any():
            yield row, rows


def _let_go(connection: sa.Connection, owners: Owners, person: str) -> None:
    """Take the person out of what an approval let pass at the source: nothing is left for an app to do."""
    table = schema.door
    of_district = (table.c.namespace == owners.namespace) & (table.c.district == owners.district)
    released = connection.execute(sa.select(table.c.released).where(of_district)).scalar_one_or_none()
    rows = pl.read_parquet(io.BytesIO(released)) if released else None
    if rows is not None and _named(rows, person).any():
        buffer = io.BytesIO()
        rows.filter(~_named(rows, person)).write_parquet(buffer)
        connection.execute(sa.update(table).where(of_district).values(released=buffer.getvalue()))


def unseat(connection: sa.Connection, owners: Owners, person: str) -> bool:
    """Take the person's seats away, what is known of their use, and that a licence connected them; whether any was.

    A pool may be in another namespace than its people.
    """
    district, found = f"{owners.namespace}/{owners.district}", False
    for table, whose in (
        (schema.pool, {"seats": "student", "noticed": "student", "reclaimed": "student", "teachers": "teacher"}),
        (schema.activity, {"logins": "person"}),
    ):
        for row in connection.execute(sa.select(table)).mappings().all():
            left = {}
            for column, person_in in whose.items():
                rows = pl.read_parquet(io.BytesIO(row[column])) if row[column] is not None else pl.DataFrame()
                of_person = rows.filter(district=district, **{person_in: person}) if rows.height else rows
                if of_person.height:
                    buffer = io.BytesIO()
                    rows.join(of_person, on=["district", person_in], how="anti").write_parquet(buffer)
                    left[column] = buffer.getvalue()
            if left:
                found = True
                connection.execute(
                    sa.update(table).where(*(key == row[key.name] for key in table.primary_key)).values(left)
                )
    return found


def unconnect(connection: sa.Connection, owners: Owners, person: str) -> bool:
    """Take out that the person was connected to licences, or removed colleagues; whether there was any of it."""
    tickets = schema.ticket
    of_person = (tickets.c.namespace == owners.namespace, tickets.c.district == owners.district)
    connection.execute(sa.delete(tickets).where(*of_person, tickets.c.teacher == person))
    table = schema.connection
    here = (table.c.namespace == owners.namespace, table.c.district == owners.district)
    own = connection.execute(sa.delete(table).where(*here, table.c.teacher == person)).rowcount
    others = connection.execute(
        sa.update(table).where(*here, table.c.ended_by == person).values(ended_by=None)
    ).rowcount
    return own + others > 0


def _named(rows: pl.DataFrame, person: str) -> pl.Series:
    """Which rows of a hold are about the person, or a question in which the person is the other one."""
    named = pl.col("kind").is_in(PERSONAL) & ((pl.col("key") == person) | _asked_about(person))
    return rows.select(named.alias("named")).to_series()


def _asked_about(person: str) -> pl.Expr:
    """The role of a question is its word, and whom else it names (`homeroom.roster.recognition.ASKED_SCHEMA`)."""
    return pl.col("role").str.ends_with(f" {person}").fill_null(value=False)


def withdrawn_names(connection: sa.Connection, namespace: str, app: str) -> Withdrawn:
    """The user names of people who were forgotten in this app."""
    table, secret = schema.withdrawn, schema.secret
    of_app = (table.c.namespace == namespace, table.c.app == app)
    hashes = connection.execute(sa.select(table.c.hash).where(*of_app)).scalars()
    key = connection.execute(sa.select(secret.c.value).where(secret.c.name == _WITHDRAWN)).scalar_one_or_none()
    return Withdrawn(key=bytes.fromhex(key or ""), hashes=frozenset(hashes))


def _made_key(connection: sa.Connection) -> bytes:
    """The random key of this store, of which there is none yet."""
    key = secrets.token_bytes(32)
    connection.execute(sa.insert(schema.secret).values(name=_WITHDRAWN, value=key.hex()))
    return key

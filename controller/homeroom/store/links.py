"""Whose account of a chat platform is whose, and how people come to say so. Neighbour: `store`, which opens this.

::

    records, templates --> `note` ---+
                                     +--> link --> `linked`, `unlinked` --> `homeroom.chats.Links`
    the pages --> `link`, `unlink` --+        +--> `take_news` --> the runs that it concerns

An account is linked to one person of a district at most, which the database itself sees to: a claim of an account that
another person holds is kept as `Refused`, and changes nothing. What a person took back stays so, whatever the records
repeat, until the person links again. Two write here: the operator under its Lease (`epoch`), and the pages, which lead
nothing. Of a code, a number and a visit only the SHA-256 of the random word is here.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from homeroom.chats.linking import CodeState, LinkedBy, LinkState, Place, Proof, TokenState
from homeroom.chats.records import LINKS_SCHEMA
from homeroom.store import schema
from homeroom.store.transactions import Leading, take_news, unled

TRIES: Final = 5
"""So often a number may be entered; then another one has to be sent."""

ACCOUNTS: Final = 3
"""So many accounts the bearer of one letter may make: one, and two that went wrong."""

PLACES_SCHEMA: Final = pl.Schema(dict.fromkeys((*Place._fields, "server", "title", "register"), pl.String()))
"""Where people can link accounts. `server`: what accounts end with; `title`: how people call the place.

`register`: what an app is told as the server to make a new account; null: none are made on the way.
"""
POLICIES_SCHEMA: Final = pl.Schema(
    {**dict.fromkeys((*Place._fields, "policy"), pl.String()), "suspended": pl.Boolean()}
)
"""The policies that see to the chats of a place, and its extra chats, by `homeroom.store.chats.policy_name`."""

_FORGOTTEN: Final = timedelta(days=1)
_CHUNK: Final = 1000
"""Rows per statement."""
_PAIR: Final = LINKS_SCHEMA.names()


class Answer(StrEnum):
    """What became of somebody's wish to link an account.

    `Taken`: another person holds the account. `Expired`: the code, or the visit, is not good any more.
    """

    LINKED = "Linked"
    TAKEN = "Taken"
    EXPIRED = "Expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Somebody on the pages, until `expires_at`.

    `person`: source id, known by the code whose digest is `code`. `account`: named by the visitor, and theirs once
    `proof` says so. `language`: of the message with the number (`homeroom.api.Language`).
    """

    place: Place
    language: str
    expires_at: datetime
    person: str | None = None
    code: str | None = None
    account: str | None = None
    proof: Proof = Proof.OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A number that is to be sent to an account. `visit`: the digest under which the visit is kept."""

    visit: str
    place: Place
    account: str
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What lets a visitor make one account. `visit`: digest under which the visit is kept. `token`: once `Ready`."""

    visit: str
    state: TokenState
    expires_at: datetime
    token: str | None = None


class Links:
    """The part of a store that is about links."""

    def __init__(self, engine: sa.Engine, leading: Leading) -> None:
        self._engine = engine
        self._leading = leading

    # -- links, for runs ----------------------------------------------------------------------------------------

    def linked(self, place: Place) -> pl.DataFrame:
        """Who is linked: LINKS_SCHEMA, sorted; an account occurs once."""
        return self._pairs(place, LinkState.LINKED)

    def unlinked(self, place: Place) -> pl.DataFrame:
        """What people took back: LINKS_SCHEMA, sorted."""
        return self._pairs(place, LinkState.UNLINKED)

    def counts(self, place: Place) -> Mapping[LinkState, int]:
        """How many there are of each state, for status and metrics."""
        table = schema.link
        query = (
            sa.select(table.c.state, sa.func.count().label("number")).where(*_at(table, place)).group_by(table.c.state)
        )
        with self._engine.connect() as connection:
            found = {LinkState(row.state): row.number for row in connection.execute(query)}
        return {state: found.get(state, 0) for state in LinkState}

    def note(self, given: pl.DataFrame, *, place: Place, by: LinkedBy, at: datetime, epoch: int) -> bool:
        """Remember what the records (or a template) say now, all of it: LINKS_SCHEMA; whether anything is new.

        A pair that is not repeated stays linked. An account that is another person's, or that is given to two people
        here, is refused, until the claim is the only one left.
        """
        given = given.select(_PAIR).drop_nulls().unique(maintain_order=True)
        with self._engine.connect() as connection:
            if all(rows.is_empty() for rows in _news(_rows(connection, place), given, by)):
                return False
        with self._leading(epoch) as connection:
            # Once more: nobody else writes from now on.
            free, refused, stale = _news(_rows(connection, place), given, by)
            _forget(connection, place, pl.concat([stale, free]))
            _insert(connection, place, free, by=by, state=LinkState.LINKED, at=at)
            _insert(connection, place, refused, by=by, state=LinkState.REFUSED, at=at)
        return True

    def take_news(self, *, namespace: str, platform: str, epoch: int) -> list[str]:
        """Districts whose people linked or unlinked since this was asked last, sorted; writes only if any did."""
        table = schema.link
        here = (table.c.namespace == namespace, table.c.platform == platform)
        return take_news(self._engine, self._leading, table.c.district, *here, epoch=epoch)

    def ever(self, person: str, *, namespace: str, district: str) -> list[str]:
        """The accounts that are, or were, a person's, on any platform; sorted. Not those that are somebody else's."""
        with self._engine.connect() as connection:
            return accounts_linked(connection, namespace=namespace, district=district, person=person)

    # -- links, by people ---------------------------------------------------------------------------------------

    def link(self, visit: str, *, now: datetime) -> Answer:
        """Make the link that a visit (its digest) has proven both sides of; the code is used up by it.

        What the person was linked to before is taken back: a person has one account that they chose themselves. Others
        who came with the same code have nothing to look for any more.
        """
        table, codes, visits = schema.link, schema.link_code, schema.link_proof
        with unled(self._engine) as connection:
            found = _visit(connection, visit, now)
            if found is None or found.person is None or found.account is None or found.proof is not Proof.PROVEN:
                return Answer.EXPIRED
            here = _at(table, found.place)
            of_account = (*here, table.c.account == found.account, table.c.state == LinkState.LINKED.value)
            holder = connection.execute(sa.select(table.c.person).where(*of_account)).scalar_one_or_none()
            pair = pl.DataFrame([(found.person, found.account)], schema=LINKS_SCHEMA, orient="row")
            if holder not in {None, found.person}:
                _forget(connection, found.place, pair)
                _insert(connection, found.place, pair, by=LinkedBy.PAGE, state=LinkState.REFUSED, at=now)
                return Answer.TAKEN
            good = (*_at(codes, found.place), codes.c.digest == found.code, codes.c.person == found.person)
            good = (*good, codes.c.expires_at > schema.naive(now))
            used = connection.execute(sa.delete(codes).where(*good)).rowcount
            if used:
                others = (*_at(visits, found.place), visits.c.person == found.person, visits.c.digest != visit)
                connection.execute(sa.delete(visits).where(*others))
            _over(connection, *_at(schema.link_token, found.place), schema.link_token.c.person == found.person)
            if holder == found.person:  # whoever said so before: now its owner does
                owned = {"how": LinkedBy.PAGE.value, "at": schema.naive(now), "news": True}
                others = (*of_account, table.c.how != LinkedBy.PAGE.value)
                if used == 1:
                    connection.execute(sa.update(table).where(*others).values(**owned))
                return Answer.LINKED
            if used != 1:
                return Answer.EXPIRED
            _unlink(connection, found.place, found.person, at=now)
            _forget(connection, found.place, pair)
            _insert(connection, found.place, pair, by=LinkedBy.PAGE, state=LinkState.LINKED, at=now, news=True)
        return Answer.LINKED

    def unlink(self, place: Place, person: str, *, now: datetime, account: str | None = None) -> int:
        """Take back the links of a person, or only that with `account`; how many there were."""
        with unled(self._engine) as connection:
            return _unlink(connection, place, person, at=now, account=account)

    def accounts(self, place: Place, person: str) -> list[str]:
        """The accounts that a person is linked to, sorted."""
        table = schema.link
        mine = (*_at(table, place), table.c.person == person, table.c.state == LinkState.LINKED.value)
        with self._engine.connect() as connection:
            return sorted(connection.execute(sa.select(table.c.account).where(*mine)).scalars())

    def named(self, place: Place, account: str) -> datetime | None:
        """Since when the records, or a template, say whose account this is; None: its owner says so, or nobody does."""
        table = schema.link
        said = (table.c.account == account, table.c.state == LinkState.LINKED.value, table.c.how != LinkedBy.PAGE.value)
        with self._engine.connect() as connection:
            at = connection.execute(sa.select(table.c.at).where(*_at(table, place), *said)).scalar_one_or_none()
        return None if at is None else at.replace(tzinfo=UTC)

    def linked_among(self, place: Place, people: Collection[str]) -> set[str]:
        """Those of a few people (source ids) who are linked to any account."""
        table, ids, found = schema.link, list(people), set[str]()
        with self._engine.connect() as connection:
            for start in range(0, len(ids), _CHUNK):
                theirs = table.c.person.in_(ids[start : start + _CHUNK])
                query = sa.select(table.c.person).where(
                    *_at(table, place), table.c.state == LinkState.LINKED.value, theirs
                )
                found.update(connection.execute(query).scalars())
        return found

    def holder(self, place: Place, account: str) -> str | None:
        """The person (source id) whose account this is."""
        table = schema.link
        held = (*_at(table, place), table.c.account == account, table.c.state == LinkState.LINKED.value)
        with self._engine.connect() as connection:
            return connection.execute(sa.select(table.c.person).where(*held)).scalar_one_or_none()

    def proven(self, visit: Visit) -> str | None:
        """The person who has proven in this visit an account that is theirs now; None: nobody has."""
        if visit.proof is not Proof.PROVEN or visit.account is None:
            return None
        person = self.holder(visit.place, visit.account)
        return person if visit.person in {None, person} else None

    def links_of(self, person: str, *, namespace: str, district: str) -> pl.DataFrame:
        """What is held of one person's links: [platform, account, how, state, at], the oldest first."""
        table = schema.link
        columns = ("platform", "account", "how", "state", "at")
        mine = (table.c.namespace == namespace, table.c.district == district, table.c.person == person)
        query = sa.select(*(table.c[name] for name in columns)).where(*mine).order_by(table.c.at, table.c.id)
        types = {**dict.fromkeys(columns, pl.String()), "at": pl.Datetime("us")}
        with self._engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(query)]
        return pl.DataFrame(rows, schema=types, orient="row").with_columns(pl.col("at").dt.replace_time_zone("UTC"))

    def linked_in(self, *, namespace: str, district: str) -> pl.DataFrame:
        """Who is linked on any platform: LINKS_SCHEMA, sorted."""
        table = schema.link
        here = (table.c.namespace == namespace, table.c.district == district, table.c.state == LinkState.LINKED.value)
        with self._engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(sa.select(table.c.person, table.c.account).where(*here))]
        return pl.DataFrame(rows, schema=LINKS_SCHEMA, orient="row").unique().sort("account", "person")

    def linking_of(self, person: str, *, namespace: str, district: str) -> dict[str, list[dict[str, str]]]:
        """What is held of one person on the way to links, as text: `codes` and `visits`, without their words."""
        told = {
            "codes": (schema.link_code, ("platform", "state", "expires_at")),
            "visits": (schema.link_proof, ("platform", "account", "state", "expires_at")),
            "tokens": (schema.link_token, ("platform", "state", "expires_at")),
        }
        found: dict[str, list[dict[str, str]]] = {}
        with self._engine.connect() as connection:
            for name, (table, columns) in told.items():
                mine = (table.c.namespace == namespace, table.c.district == district, table.c.person == person)
                query = sa.select(*(table.c[column] for column in columns)).where(*mine)
                rows = connection.execute(query.order_by(*table.primary_key)).mappings()
                found[name] = [{key: str(value) for key, value in row.items() if value is not None} for row in rows]
        return found

    # -- places: told by runs, for the pages, which do not see the cluster --------------------------------------

    def places(self) -> pl.DataFrame:
        """Where people can link accounts now: PLACES_SCHEMA, sorted."""
        return self._told(schema.link_place, PLACES_SCHEMA)

    def policies(self) -> pl.DataFrame:
        """Whose chats these accounts come into now, policies' and extra ones: POLICIES_SCHEMA, sorted."""
        return self._told(schema.link_policy, POLICIES_SCHEMA)

    def tell(self, places: pl.DataFrame, *, namespace: str, platform: str, epoch: int) -> None:
        """On this platform people can link accounts in these places (PLACES_SCHEMA), and in no others."""
        self._tell(schema.link_place, places, PLACES_SCHEMA, namespace=namespace, platform=platform, epoch=epoch)

    def tell_policies(self, policies: pl.DataFrame, *, namespace: str, platform: str, epoch: int) -> None:
        """These policies (POLICIES_SCHEMA) see to the chats on this platform, and no others."""
        self._tell(schema.link_policy, policies, POLICIES_SCHEMA, namespace=namespace, platform=platform, epoch=epoch)

    def _told(self, table: sa.Table, columns: pl.Schema) -> pl.DataFrame:
        with self._engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(sa.select(*(table.c[name] for name in columns)))]
        return pl.DataFrame(rows, schema=columns, orient="row").sort([column.name for column in table.primary_key])

    def _tell(
        self, table: sa.Table, rows: pl.DataFrame, columns: pl.Schema, *, namespace: str, platform: str, epoch: int
    ) -> None:
        rows = rows.select(columns.names()).sort([column.name for column in table.primary_key])
        if self._told(table, columns).filter(namespace=namespace, platform=platform).equals(rows):
            return
        with self._leading(epoch) as connection:
            connection.execute(sa.delete(table).where(table.c.namespace == namespace, table.c.platform == platform))
            if not rows.is_empty():
                connection.execute(sa.insert(table), rows.to_dicts())

    # -- codes --------------------------------------------------------------------------------------------------

    def issue(
        self, digests: Mapping[str, str], *, place: Place, state: CodeState, expires_at: datetime, now: datetime
    ) -> None:
        """Give people (source ids) codes by these digests; what they had before is good no more, nor what expired.

        Whoever is on the pages by an older code has to come again.
        """
        table, visits = schema.link_code, schema.link_proof
        rows = [
            {
                **place._asdict(),
                "person": person,
                "digest": digest,
                "expires_at": schema.naive(expires_at),
                "state": state.value,
            }
            for person, digest in digests.items()
        ]
        with unled(self._engine) as connection:
            connection.execute(sa.delete(table).where(table.c.expires_at <= schema.naive(now)))
            for start in range(0, len(rows), _CHUNK):
                some = rows[start : start + _CHUNK]
                people = [row["person"] for row in some]
                tokens = schema.link_token
                _over(connection, *_at(tokens, place), tokens.c.person.in_(people))
                for old in (table, visits):
                    connection.execute(sa.delete(old).where(*_at(old, place), old.c.person.in_(people)))
                connection.execute(sa.insert(table), some)

    def note_letter(self, digest: str, state: CodeState) -> None:
        """Write down what became of the mail with a code."""
        table = schema.link_code
        with unled(self._engine) as connection:
            connection.execute(sa.update(table).where(table.c.digest == digest).values(state=state.value))

    def codes(self, place: Place, *, now: datetime) -> pl.DataFrame:
        """Who has a code that is good: [person, state], sorted."""
        table = schema.link_code
        good = (*_at(table, place), table.c.expires_at > schema.naive(now))
        with self._engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(sa.select(table.c.person, table.c.state).where(*good))]
        return pl.DataFrame(rows, schema={"person": pl.String, "state": pl.String}, orient="row").sort("person")

    def by_code(self, digest: str, *, now: datetime) -> tuple[Place, str] | None:
        """Where, and whose (source id), a code is that is good."""
        table = schema.link_code
        query = sa.select(table).where(table.c.digest == digest, table.c.expires_at > schema.naive(now))
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (_place(row), row.person)

    # -- visits -------------------------------------------------------------------------------------------------

    def begin(self, visit: Visit, *, digest: str, now: datetime) -> None:
        """Keep a visit under the digest of its word; those that are over go."""
        table = schema.link_proof
        row = {
            **visit.place._asdict(),
            "digest": digest,
            "person": visit.person,
            "code": visit.code,
            "account": visit.account,
            "language": visit.language,
            "state": visit.proof.value,
            "tries": 0,
            "expires_at": schema.naive(visit.expires_at),
        }
        with unled(self._engine) as connection:
            connection.execute(sa.delete(table).where(table.c.expires_at <= schema.naive(now)))
            tokens = schema.link_token  # of a platform that is gone: the server has forgotten them long ago
            connection.execute(sa.delete(tokens).where(tokens.c.expires_at <= schema.naive(now - _FORGOTTEN)))
            connection.execute(sa.insert(table).values(**row))

    def visit(self, digest: str, *, now: datetime) -> Visit | None:
        """The visit with this digest, while it lasts."""
        with self._engine.connect() as connection:
            return _visit(connection, digest, now)

    def end(self, digest: str) -> None:
        """The visit is over."""
        with unled(self._engine) as connection:
            connection.execute(sa.delete(schema.link_proof).where(schema.link_proof.c.digest == digest))
            _over(connection, schema.link_token.c.visit == digest)

    def ask(self, digest: str, account: str, *, language: str, now: datetime) -> bool:
        """Have a number sent to an account that the visitor names; what was sent before counts no more."""
        table = schema.link_proof
        values = {"account": account, "language": language, "state": Proof.WAITING.value, "number": None, "tries": 0}
        with unled(self._engine) as connection:
            lasting = (table.c.digest == digest, table.c.expires_at > schema.naive(now))
            return connection.execute(sa.update(table).where(*lasting).values(**values)).rowcount == 1

    def enter(self, digest: str, number: str, *, now: datetime) -> Proof | None:
        """Compare a number (its digest) that a visitor entered with what was sent; how far the visit is then.

        Written is the same whether any was sent, so that the time it takes does not tell whether an account is linked.
        """
        table = schema.link_proof
        lasting = (table.c.digest == digest, table.c.expires_at > schema.naive(now))
        with unled(self._engine) as connection:
            row = connection.execute(sa.select(table).where(*lasting)).one_or_none()
            if row is None:
                return None
            proof = Proof(row.state)
            tries = row.tries + (1 if proof is Proof.SENT else 0)
            if proof is Proof.SENT and hmac.compare_digest(row.number, number):
                proof = Proof.PROVEN
            elif proof is Proof.SENT and tries >= TRIES:
                proof = Proof.FAILED
            kept = row.number if proof is Proof.SENT else None
            values = {"state": proof.value, "tries": tries, "number": kept}
            connection.execute(sa.update(table).where(table.c.digest == digest).values(**values))
        return proof

    # -- accounts that are made on the way: the operator lets the server make one ---------------------------------

    def want_account(self, digest: str, *, now: datetime) -> bool:
        """Have a visitor who has a code let make an account; pressing twice is pressing once. False: often enough."""
        table, codes = schema.link_token, schema.link_code
        with unled(self._engine) as connection:
            found = _visit(connection, digest, now)
            if found is None or found.person is None:
                return False
            before = connection.execute(sa.select(table.c.state).where(table.c.visit == digest)).scalar_one_or_none()
            if before in {TokenState.WAITING.value, TokenState.READY.value}:
                return True
            good = (codes.c.digest == found.code, codes.c.person == found.person, codes.c.accounts < ACCOUNTS)
            counted = sa.update(codes).where(*good).values(accounts=codes.c.accounts + 1)
            if before == TokenState.OVER.value or connection.execute(counted).rowcount != 1:
                return False
            connection.execute(sa.delete(table).where(table.c.visit == digest))
            row = {**found.place._asdict(), "person": found.person, "expires_at": schema.naive(found.expires_at)}
            connection.execute(sa.insert(table).values(visit=digest, state=TokenState.WAITING.value, **row))
        return True

    def token(self, digest: str, *, now: datetime) -> Token | None:
        """What became of a visitor's wish to make an account; None: there is none."""
        table = schema.link_token
        lasting = (
            table.c.visit == digest,
            table.c.expires_at > schema.naive(now),
            table.c.state != TokenState.OVER.value,
        )
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(table).where(*lasting)).one_or_none()
        return None if row is None else _token(row)

    def tokens(self, *, namespace: str, platform: str, now: datetime) -> list[Token]:
        """The tokens that are to be made now on a platform, and as `Over` those that are to be taken back."""
        table = schema.link_token
        ended = (table.c.state == TokenState.OVER.value) | (table.c.expires_at <= schema.naive(now))
        due = (table.c.namespace == namespace, table.c.platform == platform)
        query = sa.select(table).where(*due, ended | (table.c.state == TokenState.WAITING.value))
        with self._engine.connect() as connection:
            found = [_token(row) for row in connection.execute(query.order_by(table.c.visit))]
        return [replace(one, state=TokenState.OVER) if one.expires_at <= now else one for one in found]

    def made(self, token: Token, *, epoch: int) -> bool:
        """The server knows this token now, or (`Failed`) does not take any; False: the visit is over meanwhile."""
        table = schema.link_token
        waiting = (table.c.visit == token.visit, table.c.state == TokenState.WAITING.value)
        with self._leading(epoch) as connection:
            values = {"state": token.state.value, "token": token.token}
            return connection.execute(sa.update(table).where(*waiting).values(**values)).rowcount == 1

    def taken_back(self, token: Token, *, epoch: int) -> None:
        """The server knows it no more."""
        with self._leading(epoch) as connection:
            connection.execute(sa.delete(schema.link_token).where(schema.link_token.c.visit == token.visit))

    # -- numbers, sent by the operator, as the pages have no credentials of any platform -------------------------

    def asked(self, *, namespace: str, platform: str, now: datetime) -> list[Asked]:
        """The numbers that are to be sent now on a platform."""
        table = schema.link_proof
        waiting = (
            table.c.state == Proof.WAITING.value,
            table.c.expires_at > schema.naive(now),
            table.c.account.is_not(None),
        )
        here = (table.c.namespace == namespace, table.c.platform == platform)
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(table).where(*waiting, *here).order_by(table.c.digest)).all()
        return [Asked(visit=row.digest, place=_place(row), account=row.account, language=row.language) for row in rows]

    def answered(self, asked: Asked, number: str | None, *, epoch: int) -> None:
        """The number with this digest was sent; None: it could not be. A visit that names another now ignores it."""
        table = schema.link_proof
        state = Proof.SENT if number is not None else Proof.FAILED
        same = (table.c.digest == asked.visit, table.c.account == asked.account, table.c.state == Proof.WAITING.value)
        with self._leading(epoch) as connection:
            connection.execute(sa.update(table).where(*same).values(state=state.value, number=number))

    # -----------------------------------------------------------------------------------------------------------

    def _pairs(self, place: Place, state: LinkState) -> pl.DataFrame:
        with self._engine.connect() as connection:
            rows = _rows(connection, place, schema.link.c.state == state.value)
        return rows.select(_PAIR).sort("account", "person")


def accounts_linked(connection: sa.Connection, *, namespace: str, district: str, person: str) -> list[str]:
    """The accounts that are, or were, a person's, on any platform; sorted. Not those that are somebody else's now."""
    table = schema.link
    other = table.alias()
    here = [table.c[name] == other.c[name] for name in ("namespace", "platform", "district", "account")]
    others = (*here, other.c.state == LinkState.LINKED.value, other.c.person != person)
    query = sa.select(table.c.account).where(
        table.c.namespace == namespace,
        table.c.district == district,
        table.c.person == person,
        table.c.state.in_([LinkState.LINKED.value, LinkState.UNLINKED.value]),
        ~sa.exists().where(*others),
    )
    return sorted(connection.execute(query.distinct()).scalars())


def forget_links(
    connection: sa.Connection, *, namespace: str, district: str, person: str, accounts: Collection[str]
) -> bool:
    """Take out what is known of a person's accounts, codes and visits; whether there was any link.

    `accounts`: theirs alone, so what others claimed of them, or named on a visit, goes too.
    """
    found = {}
    for table in (schema.link_code, schema.link_proof, schema.link_token, schema.link):
        mine = table.c.person == person
        if "account" in table.c:
            mine |= table.c.account.in_(accounts)
        here = (table.c.namespace == namespace, table.c.district == district)
        found[table.name] = connection.execute(sa.delete(table).where(*here, mine)).rowcount
    return found["link"] > 0


def _rows(connection: sa.Connection, place: Place, *which: sa.ColumnElement[bool]) -> pl.DataFrame:
    """[person, account, how, state] of a place."""
    table, columns = schema.link, ("person", "account", "how", "state")
    query = sa.select(*(table.c[name] for name in columns)).where(*_at(table, place), *which)
    rows = [tuple(row) for row in connection.execute(query)]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def _news(rows: pl.DataFrame, given: pl.DataFrame, by: LinkedBy) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Pairs to be linked, to be refused, and whose refusal is over as nobody claims them any more."""
    held = rows.filter(state=LinkState.LINKED.value)
    claims = given.join(rows.select(*_PAIR, "state"), on=_PAIR, how="left", maintain_order="left")
    refused = pl.col("state") == LinkState.REFUSED.value
    taken = pl.col("account").is_in(held["account"].implode()) | pl.col("account").is_duplicated()
    # Duplicated among all that is given: also one of two claims that is linked already.
    claims = claims.with_columns(taken=taken).filter(pl.col("state").is_null() | refused)
    stale = rows.filter(refused, how=by.value).join(given, on=_PAIR, how="anti")
    fresh = claims.filter("taken", pl.col("state").is_null())
    return claims.filter(~pl.col("taken")).select(_PAIR), fresh.select(_PAIR), stale.select(_PAIR)


def _unlink(connection: sa.Connection, place: Place, person: str, *, at: datetime, account: str | None = None) -> int:
    table = schema.link
    mine = [*_at(table, place), table.c.person == person, table.c.state == LinkState.LINKED.value]
    if account is not None:
        mine.append(table.c.account == account)
    values = {"state": LinkState.UNLINKED.value, "at": schema.naive(at), "news": True}
    return connection.execute(sa.update(table).where(*mine).values(**values)).rowcount


def _forget(connection: sa.Connection, place: Place, pairs: pl.DataFrame) -> None:
    """Delete the rows of these pairs."""
    table = schema.link
    one = (table.c.person == sa.bindparam("of_person"), table.c.account == sa.bindparam("of_account"))
    if rows := pairs.select(of_person="person", of_account="account").to_dicts():
        connection.execute(sa.delete(table).where(*_at(table, place), *one), rows)


def _insert(
    connection: sa.Connection,
    place: Place,
    pairs: pl.DataFrame,
    *,
    by: LinkedBy,
    state: LinkState,
    at: datetime,
    news: bool = False,
) -> None:
    values = {**place._asdict(), "how": by.value, "state": state.value, "at": schema.naive(at), "news": news}
    for some in pairs.iter_slices(_CHUNK):
        connection.execute(sa.insert(schema.link), [{**values, **row} for row in some.to_dicts()])


def _visit(connection: sa.Connection, digest: str, now: datetime) -> Visit | None:
    table = schema.link_proof
    query = sa.select(table).where(table.c.digest == digest, table.c.expires_at > schema.naive(now))
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return Visit(
        place=_place(row),
        language=row.language,
        expires_at=row.expires_at.replace(tzinfo=UTC),
        person=row.person,
        code=row.code,
        account=row.account,
        proof=Proof(row.state),
    )


def _token(row: sa.Row[Any]) -> Token:
    expires_at = row.expires_at.replace(tzinfo=UTC)
    return Token(visit=row.visit, state=TokenState(row.state), expires_at=expires_at, token=row.token)


def _over(connection: sa.Connection, *which: sa.ColumnElement[bool]) -> None:
    """No account is made with these any more."""
    connection.execute(sa.update(schema.link_token).where(*which).values(state=TokenState.OVER.value))


def _place(row: sa.Row[tuple[object, ...]]) -> Place:
    return Place(row.namespace, row.platform, row.district)


def _at(table: sa.Table, place: Place) -> Collection[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in place._asdict().items()]

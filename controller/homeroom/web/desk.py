"""Who asks for a link gets one by mail, if what was entered fits. Out of sight of the asker.

::

    `site` --> queue --> is there such a key? --> is that one teacher of its school? --> ticket --> mail
       |                    (no: nothing happens, and nobody is told)
       +--> the same answer at once, whatever was entered

The asker's answer does not wait for any of this, so neither its words nor its time tell what exists. Neighbours:
`staff` (who somebody is), `homeroom.store` (keys, connections, tickets), `limits`, `words` (the mails).
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from homeroom.api import Language
from homeroom.mail import is_address
from homeroom.reconcile.ports import Clock
from homeroom.seats.keys import digest
from homeroom.seats.letters import CODES
from homeroom.store import Purpose, Store, Ticket
from homeroom.web.limits import Limit
from homeroom.web.staff import Staff, Teacher
from homeroom.web.words import say

LINK_LIFETIME: Final = timedelta(minutes=60)
_WAITING: Final = 200
"""Requests that may wait; whoever comes then is told to come again."""
_WORKERS: Final = 4
"""A mail server that does not answer holds up so many at a time."""

log = structlog.get_logger(__name__)


class Mailer(Protocol):
    """Sends mail: `homeroom.mail.Mailer`."""

    async def send(self, to: str, subject: str, text: str, *, language: str = "en") -> None:
        """Hand a mail over to the mail server; raises what stands in the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody entered. `key`: normalised; None: to sign in. `language`: of the mail."""

    key: str | None
    account: str
    language: Language


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where to look for somebody: a district, one `school` of it (None: all)."""

    namespace: str
    district: str
    school: str | None = None


def word() -> tuple[str, str]:
    """A random word that nobody guesses, and the digest by which the store knows it."""
    made = secrets.token_urlsafe(32)
    return made, digest_of(made)


def digest_of(made: str) -> str:
    """The digest of such a word."""
    return hashlib.sha256(made.encode()).hexdigest()


class Desk:
    """Takes wishes, and fulfils them one after the other."""

    def __init__(self, *, store: Store, staff: Staff, mailer: Mailer, clock: Clock, public_url: str) -> None:
        self._store, self._staff, self._mailer, self._clock = store, staff, mailer, clock
        self._public_url = public_url
        self._wishes: asyncio.Queue[Wish] = asyncio.Queue(_WAITING)
        # A whole staff room may use one key on one morning; nobody's mailbox is to be flooded.
        self._per_key = Limit(burst=60, seconds=60, monotonic=clock.monotonic)
        self._per_teacher = Limit(burst=3, seconds=1200, monotonic=clock.monotonic)

    def ask(self, wish: Wish) -> bool:
        """Put it into the queue; False: too many are waiting."""
        try:
            self._wishes.put_nowait(wish)
        except asyncio.QueueFull:
            return False
        return True

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Wishes are fulfilled while the block lasts; what still waits at its end is dropped, and asked for again."""
        async with asyncio.TaskGroup() as tasks:
            workers = [tasks.create_task(self._work()) for _ in range(_WORKERS)]
            try:
                yield
            finally:
                for worker in workers:
                    worker.cancel()

    async def settled(self) -> None:
        """Wait until nothing waits any more."""
        await self._wishes.join()

    async def _work(self) -> None:
        while True:
            wish = await self._wishes.get()
            try:
                await self._fulfil(wish)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next one must be served
                # Without its words, which may hold an address.
                log.warning("no link was sent", error=type(error).__name__)
            finally:
                self._wishes.task_done()

    async def _fulfil(self, wish: Wish) -> None:
        key = digest(wish.key) if wish.key is not None else None
        if key is not None and not self._per_key.take(key):
            log.warning("no link was sent", error="many links for one key")
            return
        for place, teacher in await asyncio.to_thread(self._found, wish, key):
            if teacher.email is None or not is_address(teacher.email):
                log.warning("no link was sent", error="a teacher has no e-mail address in the records")
                continue
            if not self._per_teacher.take(f"{place.namespace}/{place.district}/{teacher.id}"):
                log.warning("no link was sent", error="many links for one teacher")
                continue
            made, its_digest = word()
            ticket = Ticket(
                purpose=Purpose.SIGN_IN if key is None else Purpose.CONNECT,
                namespace=place.namespace,
                district=place.district,
                teacher=teacher.id,
                key=key,
                expires_at=self._clock.now() + LINK_LIFETIME,
            )
            await asyncio.to_thread(self._store.web.issue, ticket, digest=its_digest, now=self._clock.now())
            kind = "sign-in" if key is None else "connect"
            # The language is in the link: a mail programme's browser need not be the one that asked.
            link = f"{self._public_url}/link/{made}?lang={CODES[wish.language]}"
            text = say(wish.language, f"mail.{kind}.text", link=link, minutes=minutes(LINK_LIFETIME))
            subject = say(wish.language, f"mail.{kind}.subject")
            await self._mailer.send(teacher.email, subject, text, language=CODES[wish.language])
            log.info("a link was sent", purpose=ticket.purpose.value)

    def _found(self, wish: Wish, key: str | None) -> list[tuple[_Place, Teacher]]:
        """Whom the wish is about, in each place; nobody where it does not fit. Blocks."""
        now = self._clock.now()
        places = self._places_of_key(key) if key is not None else self._all_places()
        found = [(place, self._teacher(wish.account, place, now)) for place in places]
        return [
            (place, teacher)
            for place, teacher in found
            if teacher is not None and (key is not None or self._connected(place, teacher))
        ]

    def _places_of_key(self, key: str) -> Iterator[_Place]:
        licence = self._store.licences.by_key(key)
        if licence is None:
            return
        for row in self._store.web.licences().iter_rows(named=True):
            if (row["namespace"], row["licence"]) == licence:
                yield _Place(namespace=row["namespace"], district=row["district"], school=row["school"])

    def _all_places(self) -> Iterable[_Place]:
        districts = self._store.web.licences().select("namespace", "district").unique().sort("namespace", "district")
        return [_Place(namespace=namespace, district=district) for namespace, district in districts.iter_rows()]

    def _teacher(self, account: str, place: _Place, now: datetime) -> Teacher | None:
        return self._staff.find(
            account, namespace=place.namespace, district=place.district, school=place.school, today=now.date()
        )

    def _connected(self, place: _Place, teacher: Teacher) -> bool:
        here = self._store.licences.connections([place.namespace], district=place.district, teacher=teacher.id)
        return not here.is_empty()


def minutes(lifetime: timedelta) -> int:
    """Whole minutes of it."""
    return int(lifetime.total_seconds() // 60)

"""Mails the key of a licence to its declared contacts: once per key and address, whoever refuses or waits.

The queue runs this by itself, apart from the pool's runs, so that a slow mail server keeps nobody from a seat. What
came of it is left in the store, for the pool's next run to put into the licence's status: that has one writer. An
address is seen here and in its Secret, nowhere else. Neighbours: `keys` (makes the key), `homeroom.mail` (sends),
`homeroom.seats.letters` (the words).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import timedelta
from typing import Final

import structlog

from homeroom.api import Access, KeyDelivery, Reason, SchoolLicense, parse
from homeroom.errors import HomeroomError, InvalidSpecError, TransientError
from homeroom.mail import AddressRefusedError, MailUnavailableError, Post
from homeroom.reconcile.keys import SECRET_TYPE, key_in, secret_name
from homeroom.reconcile.licences import pool_of
from homeroom.reconcile.ports import Clock, Cluster, Key, Object, Verdict, key_of
from homeroom.reconcile.run import PATIENCE
from homeroom.seats import keys
from homeroom.seats.keys import Delivery
from homeroom.seats.letters import key_letter
from homeroom.store import LicenceName, LostLeadershipError, RunRow, Store

log = structlog.get_logger()

ADDRESSES: Final = "addresses"
"""Where in the Secret of contacts the addresses are: one per line, lines that begin with `#` are remarks."""
MAX_ADDRESSES: Final = 100
_AGAIN: Final = timedelta(hours=6)
"""Nobody tells us of a new contact, nor that a mail server takes an address now."""
_BUSY: Final = timedelta(seconds=15)
_AT_ONCE: Final = 2
"""Licences whose keys are mailed at the same time: the queue's workers are for others, too."""


def addresses_in(text: str) -> list[str]:
    """The addresses of a Secret of contacts, each once, in their order. Raises InvalidSpecError."""
    lines = (line.strip() for line in text.splitlines())
    found = dict.fromkeys(line for line in lines if line and not line.startswith("#"))
    if len(found) > MAX_ADDRESSES:
        raise InvalidSpecError(
            f"the Secret of contacts has {len(found)} addresses: a key is mailed to {MAX_ADDRESSES} at most, who may "
            "pass it on"
        )
    return list(found)


class KeyMail:
    """The handler of SchoolLicenses, which only mails; what else is to be done is the pool's."""

    def __init__(self, *, store: Store, cluster: Cluster, clock: Clock, post: Post | None) -> None:
        self._store = store
        self._cluster = cluster
        self._clock = clock
        self._post = post
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def __call__(self, key: Key) -> Verdict:
        """Mail the key of a licence to whom it did not go yet."""
        obj = self._cluster.get(key)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return Verdict()
        try:
            licence = parse(obj)
        except InvalidSpecError:
            return Verdict()
        assert isinstance(licence, SchoolLicense)
        wish = licence.spec.deliver_key_to
        if wish is None or licence.spec.access is not Access.KEY:
            return Verdict()
        if self._free.locked():
            return Verdict(again=_BUSY.total_seconds())
        return await self._run(licence, wish, obj)

    async def _run(self, licence: SchoolLicense, wish: KeyDelivery, obj: Object) -> Verdict:
        key = key_of(obj)
        async with self._free:
            began, place = self._clock.now(), LicenceName(key.namespace, key.name)
            before = await asyncio.to_thread(self._told, place)
            try:
                news, reason, words = await self._deliver(licence, wish, place)
            except LostLeadershipError:
                raise
            except HomeroomError as error:
                news, reason, words = False, error.reason, error.message
            row = RunRow(started_at=began, ended_at=self._clock.now(), reason=reason, message=words)
            await asyncio.to_thread(
                self._store.save_run,
                row,
                kind=key.kind,
                namespace=key.namespace,
                name=key.name,
                epoch=self._cluster.epoch,
            )
        if news or before != (reason, words):
            self._cluster.enqueue(pool_of(obj))
        if reason == Reason.MAIL_UNAVAILABLE.value:
            return Verdict(failed=True)
        settled = reason in {Reason.KEY_SENT.value, Reason.ADDRESS_REFUSED.value}
        return Verdict(again=(_AGAIN if settled else PATIENCE).total_seconds())

    def _told(self, licence: LicenceName) -> tuple[str, str] | None:
        row = self._store.run(kind="SchoolLicense", namespace=licence.namespace, name=licence.name)
        return None if row is None else (row.reason, row.message)

    async def _deliver(self, licence: SchoolLicense, wish: KeyDelivery, place: LicenceName) -> tuple[bool, str, str]:
        """Whether there is news, and reason and words. Raises what stands in the way of all addresses."""
        if self._post is None:
            raise TransientError(Reason.MAIL_NOT_CONFIGURED.means, reason=Reason.MAIL_NOT_CONFIGURED.value)
        secret = await self._cluster.key_secret(namespace=place.namespace, name=secret_name(place.name))
        key = key_in(secret) if secret is not None and secret.get("type") == SECRET_TYPE else None
        digest = keys.digest(key) if key is not None else ""
        if key is None or await asyncio.to_thread(self._store.licences.by_key, digest) != place:
            raise TransientError("the licence has no key yet", reason=Reason.DEPENDENCY_NOT_READY.value)
        contacts = await self._cluster.secret(namespace=place.namespace, name=wish.contact_secret_ref.name)
        if ADDRESSES not in contacts:
            raise TransientError(
                f"the Secret '{wish.contact_secret_ref.name}' lacks the key `{ADDRESSES}`",
                reason=Reason.SECRET_NOT_FOUND.value,
            )
        declared = addresses_in(contacts[ADDRESSES])
        letter = key_letter(
            wish.language,
            unit=licence.status.unit_name or licence.spec.school_unit,
            key=key,
            url=self._post.connect_url,
        )
        to = await asyncio.to_thread(self._pending, place, digest, declared)
        news, refused, waiting = False, list[str](), list[str]()
        for address in to:
            if self._cluster.stopping():
                break
            try:
                await self._post.mailer.send(address, letter.subject, letter.text, language=letter.language)
                state = Delivery.SENT
            except AddressRefusedError as error:
                state = Delivery.REFUSED
                refused.append(error.message)
            except MailUnavailableError as error:
                state = Delivery.WAITING
                waiting.append(error.message)
            # Right after each mail: who dies here sends one of them twice, not all.
            news |= await asyncio.to_thread(
                self._store.licences.note_delivery,
                address,
                state,
                licence=place,
                digest=digest,
                declared=True,
                at=self._clock.now(),
                epoch=self._cluster.epoch,
            )
        if waiting:
            words = f"addresses that the key is not mailed to yet: {len(waiting)}; {min(waiting)}"
            return news, Reason.MAIL_UNAVAILABLE.value, words
        if refused:
            words = f"addresses that it cannot be mailed to: {len(refused)}; {min(refused)}"
            return news, Reason.ADDRESS_REFUSED.value, words
        return news, Reason.KEY_SENT.value, Reason.KEY_SENT.means

    def _pending(self, place: LicenceName, digest: str, declared: Collection[str]) -> list[str]:
        """To whom the key has to be mailed. Blocks."""
        licences, epoch = self._store.licences, self._cluster.epoch
        licences.assume_delivered(declared, licence=place, digest=digest, epoch=epoch)
        licences.drop_undelivered(licence=place, digest=digest, declared=declared, epoch=epoch)
        return licences.undelivered(declared, licence=place, digest=digest)

"""Keys of licences with `access: Key`: each made once, kept in a Secret that the licence owns, dead when it is revoked.

::

    licence --> its Secret has a key that the store knows, or may take over? --> kept
                rotation asked for, no Secret, a key that was revoked -------> a new one: store first, then Secret

The store comes first, so a key that is in a Secret and unknown to the store says that the store was lost: such a key
stays. The Secret remembers which request for rotation its key answers. It is read by name, and nobody tells us of
changes in it, so each one is looked at now and then. Neighbours: `licensepool` (calls this, revokes), `delivery` (mails
keys), `homeroom.store.licences`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from homeroom.api import (
    API_VERSION,
    CREDENTIALS_LABEL,
    ROTATE_KEY_AT,
    KeyStatus,
    Reason,
    SchoolLicense,
    SchoolLicenseStatus,
    conditions,
)
from homeroom.api.conditions import ConditionType
from homeroom.errors import HomeroomError, RefusedError
from homeroom.reconcile.ports import Cluster, Object
from homeroom.seats import keys
from homeroom.seats.settlement import licence_id
from homeroom.store import LicenceName, LostLeadershipError, Store
from homeroom.wire import gathered

SECRET_TYPE: Final = "homeroom.dev/licence-key"  # noqa: S105 - a type, no password
"""Type of the Secrets with keys, which nobody can change once they are made: any other Secret is not touched."""
KEY: Final = "key"
"""Where in the Secret the key is."""
_LABEL_VALUE: Final = "licence-key"
_LOOK: Final = timedelta(hours=6)
"""How long a Secret is believed to be as it was."""
AT_ONCE: Final = 32
"""Requests to the API server: one after the other thousands of them take a minute. More than this take more memory,
half a megabyte for each connection, and no less time."""


def secret_name(licence: str) -> str:
    """Name of the Secret with the key of a licence of this name."""
    if len(licence) <= 200:
        return f"homeroom-key-{licence}"
    return f"homeroom-key-{licence[:200].rstrip('.-')}-{hashlib.sha256(licence.encode()).hexdigest()[:8]}"


def key_in(secret: Object) -> str | None:
    """The key in a Secret, normalised; None where there is none that can be read."""
    try:
        return keys.normalised(base64.b64decode((secret.get("data") or {}).get(KEY, "")).decode())
    except (ValueError, keys.MistypedKeyError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyState:
    """How it stands with the key of one licence.

    `made_at` None: it has none. `problem`: why the key is not in its Secret, or may not be. `rotated`: the request for
    rotation that was handled. `connected`: teachers. `mail`: what the last attempt to mail it said; `sent`, `refused`
    and `waiting` count addresses, `changed_at` is when they changed last. `fresh`: the key is of this run.
    """

    secret: str
    made_at: datetime | None
    problem: tuple[Reason, str] | None = None
    rotated: str | None = None
    connected: int = 0
    mail: tuple[Reason, str] | None = None
    sent: int = 0
    refused: int = 0
    waiting: int = 0
    changed_at: datetime | None = None
    fresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What was found in the Secret of a licence. `stays`: digest of the key that it has and may keep."""

    licence: SchoolLicense
    secret: Object | None = None
    stays: str | None = None
    problem: HomeroomError | None = None


class KeySecrets:
    """Makes and keeps keys. Remembers, for this process only, which Secrets it has looked at."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._looked: dict[str, tuple[str, datetime]] = {}
        """uid of the licence -> digest of its key, and when its Secret was seen to have it."""

    async def settle(
        self, cluster: Cluster, licences: Sequence[SchoolLicense], *, now: datetime
    ) -> dict[str, KeyState]:
        """See to it that each of these licences has its key; how that went, by id.

        All have to carry our finalizer: who is deleted has to be seen.
        """
        if not licences:
            return {}
        namespaces = sorted({licence.metadata.namespace for licence in licences})
        known = await asyncio.to_thread(self._live, namespaces)
        doubtful = [each for each in licences if not self._certain(each, known.get(_id(each)), now)]
        looks = await gathered(
            lambda each: self._look(cluster, each, known.get(_id(each)), now), doubtful, at_once=AT_ONCE
        )
        problems = {_id(look.licence): look.problem for look in looks if look.problem is not None}
        new = [look for look in looks if look.stays is None and look.problem is None]
        problems |= await self._make(cluster, new, now=now)
        for look in looks:
            if look.stays is not None:
                self._looked[look.licence.metadata.uid] = (look.stays, now)
        fresh = {_id(look.licence) for look in new} - problems.keys()
        found = await asyncio.to_thread(self._states, licences, namespaces, problems)
        return {
            name: replace(state, fresh=True, mail=None) if name in fresh else state for name, state in found.items()
        }

    def _live(self, namespaces: Sequence[str]) -> dict[str, str]:
        return {
            licence_id(namespace, name): digest
            for namespace, name, digest, _ in self._store.licences.keys(namespaces).iter_rows()
        }

    def _certain(self, licence: SchoolLicense, digest: str | None, now: datetime) -> bool:
        asked = licence.metadata.rotate_key_at
        if asked is not None and asked != licence.status.last_handled_rotate_key_at:
            return False
        seen, at = self._looked.get(licence.metadata.uid, (None, now))
        return digest is not None and seen == digest and timedelta(0) <= now - at < _LOOK

    async def _look(self, cluster: Cluster, licence: SchoolLicense, digest: str | None, now: datetime) -> _Look:
        meta = licence.metadata
        name = secret_name(meta.name)
        try:
            secret = await cluster.key_secret(namespace=meta.namespace, name=name)
            if secret is None:
                return _Look(licence=licence)
            if secret.get("type") != SECRET_TYPE:
                raise RefusedError(
                    f"Secret '{name}' is not Homeroom's, but has the name of the licence's key: rename or remove it",
                    reason=Reason.SECRET_TAKEN,
                )
            key = key_in(secret)
            handled = (secret["metadata"].get("annotations") or {}).get(ROTATE_KEY_AT)
            if key is None or meta.rotate_key_at not in {None, handled}:
                return _Look(licence=licence, secret=secret)
            own = meta.uid in [owner["uid"] for owner in secret["metadata"].get("ownerReferences") or ()]
            held = keys.digest(key)
            if held != digest:
                # Of this very licence, and never revoked: the store was lost. Of one that had its name before: no.
                place = LicenceName(meta.namespace, meta.name)
                if not own or not await asyncio.to_thread(
                    self._store.licences.find_key, held, place, at=now, epoch=cluster.epoch
                ):
                    return _Look(licence=licence, secret=secret)
            elif not own:  # somebody restored both, and the licence has another uid now
                await cluster.write_key_secret(_secret(licence, key, before=secret))
        except LostLeadershipError:
            raise  # no problem of this licence: the process ends
        except HomeroomError as error:
            return _Look(licence=licence, problem=error)
        return _Look(licence=licence, secret=secret, stays=held)

    async def _make(self, cluster: Cluster, looks: Sequence[_Look], *, now: datetime) -> dict[str, HomeroomError]:
        """New keys; what went wrong, by licence."""
        if not looks:
            return {}
        made = {_id(look.licence): keys.new_key(secrets.randbelow) for look in looks}
        names = {name: LicenceName(*name.split("/", 1)) for name in made}
        digests = {names[name]: keys.digest(key) for name, key in made.items()}
        await asyncio.to_thread(self._store.licences.make_keys, digests, at=now, epoch=cluster.epoch)

        async def write(look: _Look) -> HomeroomError | None:
            try:
                await cluster.write_key_secret(_secret(look.licence, made[_id(look.licence)], before=look.secret))
            except HomeroomError as error:
                return error
            return None

        errors = await gathered(write, looks, at_once=AT_ONCE)
        problems = {_id(look.licence): error for look, error in zip(looks, errors, strict=True) if error is not None}
        for look in looks:
            if _id(look.licence) not in problems:
                self._looked[look.licence.metadata.uid] = (digests[names[_id(look.licence)]], now)
        # Who got no answer may have been heard: that key is looked at in the next run.
        unseen = [
            digests[names[name]] for name, error in problems.items() if error.reason != Reason.API_UNAVAILABLE.value
        ]
        if unseen:
            await asyncio.to_thread(self._store.licences.unmake_keys, unseen, epoch=cluster.epoch)
        return problems

    def _states(
        self, licences: Sequence[SchoolLicense], namespaces: Sequence[str], problems: Mapping[str, HomeroomError]
    ) -> dict[str, KeyState]:
        """Blocks."""
        store = self._store
        made = {licence_id(*row[:2]): row[3] for row in store.licences.keys(namespaces).iter_rows()}
        mails = {licence_id(*row[:2]): row[2:] for row in store.licences.deliveries(namespaces).iter_rows()}
        counts = store.licences.connections(namespaces).group_by("namespace", "licence").len()
        connected = {licence_id(*row[:2]): row[2] for row in counts.iter_rows()}
        told = mails_told(store, namespaces)
        found = {}
        for licence in licences:
            name, error = _id(licence), problems.get(_id(licence))
            sent, refused, waiting, changed_at = mails.get(name, (0, 0, 0, None))
            handled = licence.status.last_handled_rotate_key_at
            found[name] = KeyState(
                secret=secret_name(licence.metadata.name),
                made_at=made.get(name),
                problem=None if error is None else (Reason.of(error.reason), error.message),
                rotated=handled if error is not None else licence.metadata.rotate_key_at or handled,
                connected=connected.get(name, 0),
                mail=told.get(name) if licence.spec.deliver_key_to is not None else None,
                sent=sent,
                refused=refused,
                waiting=waiting,
                changed_at=changed_at,
            )
        return found


def mails_told(store: Store, namespaces: Sequence[str]) -> dict[str, tuple[Reason, str]]:
    """What the last attempt to mail each key said (`delivery`), by licence."""
    rows = store.runs().filter(pl.col("kind") == "SchoolLicense", pl.col("namespace").is_in(namespaces))
    return {
        licence_id(namespace, name): (Reason.of(reason), message)
        for namespace, name, reason, message in rows.select("namespace", "name", "reason", "message").iter_rows()
    }


def with_key(
    licence: SchoolLicense, status: SchoolLicenseStatus, state: KeyState, *, now: datetime
) -> SchoolLicenseStatus:
    """`status` with what is to be said of the key; before the state."""
    key = None
    if state.made_at is not None:
        key = KeyStatus(
            secret=state.secret,
            made_time=state.made_at,
            sent=state.sent,
            refused=state.refused,
            waiting=state.waiting,
            last_delivery_time=state.changed_at,
        )
    status = status.model_copy(
        update={"key": key, "last_handled_rotate_key_at": state.rotated, "connected_teachers": state.connected}
    )
    reason, words = state.problem or (Reason.KEY_READY, Reason.KEY_READY.means)
    generation = licence.metadata.generation
    status = conditions.with_condition(
        status,
        type_=ConditionType.KEY_READY,
        value=state.problem is None,
        reason=reason,
        message=words,
        generation=generation,
        now=now,
    )
    if state.mail is None:
        return status.model_copy(
            update={"conditions": conditions.without(status.conditions, ConditionType.KEY_DELIVERED)}
        )
    reason, words = state.mail
    return conditions.with_condition(
        status,
        type_=ConditionType.KEY_DELIVERED,
        value=reason is Reason.KEY_SENT,
        reason=reason,
        message=words,
        generation=generation,
        now=now,
    )


def without_key(status: SchoolLicenseStatus) -> SchoolLicenseStatus:
    """`status` of a licence whose teachers need no key."""
    left = conditions.without(status.conditions, ConditionType.KEY_READY, ConditionType.KEY_DELIVERED)
    return status.model_copy(update={"key": None, "connected_teachers": None, "conditions": left})


def _id(licence: SchoolLicense) -> str:
    return licence_id(licence.metadata.namespace, licence.metadata.name)


def _secret(licence: SchoolLicense, key: str, *, before: Object | None) -> Object:
    """The Secret with a licence's key, on top of what there was."""
    meta = licence.metadata
    old: Mapping[str, Any] = before["metadata"] if before is not None else {}
    asked = {ROTATE_KEY_AT: meta.rotate_key_at} if meta.rotate_key_at else {}
    owner = {"apiVersion": API_VERSION, "kind": "SchoolLicense", "name": meta.name, "uid": meta.uid}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": SECRET_TYPE,
        "metadata": {
            **old,
            "name": secret_name(meta.name),
            "namespace": meta.namespace,
            "labels": {**(old.get("labels") or {}), CREDENTIALS_LABEL: _LABEL_VALUE},
            "annotations": {**(old.get("annotations") or {}), **asked},
            "ownerReferences": [owner],
        },
        "data": {KEY: base64.b64encode(keys.shown(key).encode()).decode()},
    }

"""Which facilities, accounts and classes of Kolibri may be taken over, by what each of them bears. Pure.

Two ways lead there. What a former owner had marked (`LearningApp.spec.adoptFrom`) says itself whose it is, as long as
both share the key of the marks. What people had made is found by what Kolibri keeps of it: accounts by `id_number` (a
source id or the other number of the records, however it is capitalised) or by user name as Kolibri can write it;
classes and facilities by their exact name.

Never taken over, whoever it fits: superusers of the device; accounts with more rights than the records give; learners'
accounts for staff; accounts under a name that is withdrawn. Whoever it fits stands in doubt then, so that no second
account is made.
Neighbours: `reading` (who calls it), `homeroom.roster.adoption` (one to one).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from homeroom.roster.adoption import FOUND_SCHEMA, TOKENS_SCHEMA, matched
from homeroom.targets.kolibri import marks as m
from homeroom.targets.kolibri.usernames import MAXIMUM, ascii_of

Token = tuple[str, str | None]
"""A source id, or an id of Kolibri, and one text by which it can be found."""

_ADMINISTRATOR: Final = "admin"
_COACH: Final = "coach"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fits:
    """Kolibri ids by source id, one to one; and source ids in doubt."""

    ids: dict[str, str] = field(default_factory=dict)
    doubts: set[str] = field(default_factory=set)


def fits(handed: Sequence[tuple[str, str]], wanted: Iterable[Token], free: Iterable[Token]) -> Fits:
    """Who is who. `handed`: [source id, id] of what a former owner's marks name; the others by the tokens of both."""
    wanted = list(wanted)
    sure = _one_to_one({(key, key) for key, _ in wanted}, ((id_, key) for key, id_ in handed))
    settled = sure.ids.keys() | sure.doubts
    rest = _one_to_one((token for token in wanted if token[0] not in settled), free)
    return Fits(ids=sure.ids | rest.ids, doubts=sure.doubts | rest.doubts)


def _one_to_one(wanted: Iterable[Token], found: Iterable[Token]) -> Fits:
    here = matched(
        pl.DataFrame([("", *row) for row in wanted], schema=TOKENS_SCHEMA, orient="row"),
        pl.DataFrame([("", *row) for row in found], schema=FOUND_SCHEMA, orient="row"),
    )
    return Fits(ids=dict(here.pairs.select("key", "external_id").iter_rows()), doubts=set(here.doubts["key"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account that is nobody's. `roles`: the kinds of its roles; `barred`: whoever it fits, it is not taken."""

    id: str
    id_number: str
    username: str
    roles: frozenset[str]
    barred: bool

    @classmethod
    def of(cls, user: m.Row, *, withdrawn: bool) -> Account:
        """As Kolibri lists it."""
        return cls(
            id=user["id"],
            id_number=user["id_number"],
            username=user["username"],
            roles=roles(user),
            barred=withdrawn or user["is_superuser"] is not False,
        )

    def may_be(self, *, staff: bool, administrator: bool) -> bool:
        """Whether it may become the account of somebody who is that.

        Only an administrator of Kolibri gives roles, and anybody may write any number into the own account: so a
        learner's account is never taken for one of staff, nor one with more rights than the records give for anybody's.
        """
        if self.barred or (_ADMINISTRATOR in self.roles and not administrator):
            return False
        return bool(self.roles) if staff else _COACH not in self.roles


def roles(user: m.Row) -> frozenset[str]:
    """Kinds of the roles of an account as Kolibri lists it."""
    return frozenset(role["kind"] for role in user["roles"])


def people(handed: Sequence[tuple[str, Account]], wanted: pl.DataFrame, free: Sequence[Account]) -> Fits:
    """Accounts of one school. `wanted`: rows of `Adoptable.people` that have no account."""
    if not (handed or free):
        return Fits()
    rows = wanted.select("key", "identifier", "username", "staff", "administrator").rows()
    found = fits(
        [(key, account.id) for key, account in handed],
        [
            (key, token)
            for key, identifier, username, _, _ in rows
            for token in (_number(key), _number(m.id_number(key)), _number(identifier), _login(username))
        ],
        [(one.id, token) for one in free for token in (_number(one.id_number), _login(one.username))],
    )
    accounts = {one.id: one for one in (*free, *(account for _, account in handed))}
    refused = {
        key
        for key, _, _, staff, administrator in rows
        if key in found.ids and not accounts[found.ids[key]].may_be(staff=staff, administrator=administrator)
    }
    kept = {key: id_ for key, id_ in found.ids.items() if key not in refused}
    return Fits(ids=kept, doubts=found.doubts | refused)


def _number(text: str | None) -> str | None:
    bare = (text or "").strip().casefold()
    return f"number {bare}" if bare else None


def _login(username: str | None) -> str | None:
    """A user name as Kolibri can write it: the first of `usernames.candidates`, where the records have a name."""
    bare = ascii_of((username or "").partition("@")[0])[:MAXIMUM].strip("_")
    return f"user {bare}" if bare else None

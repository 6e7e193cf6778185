"""What we write into Kolibri so that we know our own again, when all that we remember is a key. Pure.

Everybody can read a facility's `extra_fields` before logging in, so only keyed hashes go there. A learner can change
everything of the own account, by Kolibri's API also the user name, so a person's mark is a signature over what
nobody can change: the id that Kolibri gave to the account. A mark that is copied into another account is void there.

::

    FacilityDataset.extra_fields   homeroom.dev/owner    who manages this very facility
                                   homeroom.dev/school   which school it is; the same for all owners who share the key
                                   homeroom.dev/classes  {class id: {key: which class, mac: signature, archived?}}
    FacilityUser.extra_demographics  homeroom.dev        {id, state, staff, name?, mac}
    FacilityUser.id_number         the source id (`id_number`), for people and for other products

An account is made by one call and marked by the next, as its id is known only then. That halves the speed of a first
sync (some 30 people a second instead of 60), and is worth it: a signature over the user name would do with one call,
but a learner can give that name up to somebody else, with the mark and all that comes with it. The first call carries
such a signature all the same (state `creating`): after a crash in between the account is recognised, and finished; it
counts as nobody's until then.

A facility or a class is made under a `temporary` name that only the holder of the key can foresee, registered, and
named last. So whatever bears such a name is ours and not finished.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

OWNER: Final = "homeroom.dev/owner"
SCHOOL: Final = "homeroom.dev/school"
CLASSES: Final = "homeroom.dev/classes"
PERSON: Final = "homeroom.dev"

_ID_NUMBER_MAXIMUM: Final = 64

Row = Mapping[str, Any]
"""An object as Kolibri lists it."""


class State(StrEnum):
    """How far an account of ours is."""

    CREATING = "creating"
    ACTIVE = "active"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonMark:
    """What an account's mark says, once its signature is checked.

    `staff`: the account has a password of its own and a role that keeps the door shut (see `target`). `name`: what the
    records call the person, where Kolibri cannot hold that in full.
    """

    key: str
    state: State
    staff: bool
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ClassEntry:
    """What a registry says about a class: `token` stands for the class' source id (`Marks.class_token`)."""

    token: str
    archived: bool = False


def id_number(key: str) -> str:
    """The source id as Kolibri can hold it: as it is, or a digest where it is too long or would be trimmed."""
    if 0 < len(key) <= _ID_NUMBER_MAXIMUM and key == key.strip() and "\0" not in key:
        return key
    return "sha256-" + hashlib.sha256(key.encode()).hexdigest()[: _ID_NUMBER_MAXIMUM - 7]


class Marks:
    """Makes and checks the marks of one owner. `key` is the secret of the app, `owner` its identity in the world."""

    def __init__(self, *, key: str, owner: str) -> None:
        self._key = key.encode()
        self._owner = owner

    def _hash(self, *parts: str) -> str:
        """128 bits of a keyed hash; JSON keeps the parts apart."""
        return hmac.digest(self._key, json.dumps(parts).encode(), "sha256").hex()[:32]

    def school(self, key: str) -> str:
        """The mark of a school; other owners who share the key make the same one, and so find out about each other."""
        return self._hash("school", key)

    def owner(self, *, school: str, facility: str) -> str:
        """The owner's mark on that very facility; void on any other, as everybody can read and copy it."""
        return self._hash("owner", self._owner, school, facility)

    def owns(self, value: object, *, school: str, facility: str) -> bool:
        """Whether this is our mark on that facility."""
        return _equal(value, self.owner(school=school, facility=facility))

    def temporary_school(self, key: str) -> str:
        """The name of a facility that is being made."""
        return "homeroom-" + self._hash("temporary school", self._owner, key)

    def temporary_class(self, *, school: str, key: str) -> str:
        """The name of a class that is being made."""
        return "homeroom-" + self._hash("temporary class", self._owner, school, key)

    def class_token(self, *, school: str, key: str) -> str:
        """What stands for a class in the registry."""
        return self._hash("class", self._owner, school, key)

    def class_entry(self, entry: ClassEntry, *, class_id: str) -> dict[str, Any]:
        """The registry's entry for the class with this Kolibri id; void under any other id."""
        archived = {"archived": True} if entry.archived else {}
        return {"key": entry.token, **archived, "mac": self._class_mac(entry, class_id)}

    def read_class(self, value: object, *, class_id: str) -> ClassEntry | None:
        """The entry, when it is ours and unchanged."""
        if not isinstance(value, Mapping):
            return None
        entry = ClassEntry(token=str(value.get("key")), archived=value.get("archived") is True)
        return entry if _equal(value.get("mac"), self._class_mac(entry, class_id)) else None

    def _class_mac(self, entry: ClassEntry, class_id: str) -> str:
        return self._hash("class entry", self._owner, entry.token, str(entry.archived), class_id)

    def person(self, mark: PersonMark, *, subject: str) -> dict[str, Any]:
        """The mark as JSON. `subject`: the account's Kolibri id, or `creating(...)` while that is unknown."""
        name = {} if mark.name is None else {"name": mark.name}
        fields = {"id": mark.key, "state": mark.state.value, "staff": mark.staff, **name}
        return {**fields, "mac": self._person_mac(mark, subject)}

    def read_person(self, user: Mapping[str, Any]) -> PersonMark | None:
        """The mark of an account as Kolibri lists it, when it is ours and unchanged; whatever its `id_number` says."""
        value = _mark_of(user)
        try:
            state = State(str(value.get("state")))
        except ValueError:
            return None
        name = value.get("name")
        mark = PersonMark(
            key=str(value.get("id")),
            state=state,
            staff=value.get("staff") is True,
            name=None if name is None else str(name),
        )
        unknown_yet = state is State.CREATING
        subject = creating(facility=user["facility"], username=user["username"]) if unknown_yet else str(user["id"])
        return mark if _equal(value.get("mac"), self._person_mac(mark, subject)) else None

    def _person_mac(self, mark: PersonMark, subject: str) -> str:
        name = [] if mark.name is None else [mark.name]
        return self._hash("person", self._owner, mark.key, mark.state.value, str(mark.staff), subject, *name)


def creating(*, facility: str, username: str) -> str:
    """The subject of the signature of an account that has no id yet."""
    return f"{facility}/{username}"


def claimed(user: Mapping[str, Any]) -> str | None:
    """The source id that an account's mark names, whether or not it is true."""
    key = _mark_of(user).get("id")
    return key if isinstance(key, str) else None


def _mark_of(user: Mapping[str, Any]) -> Mapping[str, Any]:
    extra = user.get("extra_demographics")
    value = extra.get(PERSON) if isinstance(extra, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _equal(told: object, computed: str) -> bool:
    return isinstance(told, str) and hmac.compare_digest(told.encode(), computed.encode())

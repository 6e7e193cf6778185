"""What a learning app should hold, and what it does hold: two values of the same shape, so that they can be compared.

`homeroom.roster.desired` makes the first from a shared roster, a target's `read()` the second, `homeroom.roster.diff`
compares them. As in `tables`, references are row numbers (UInt32), so that eight million memberships stay small.
A person appears once per school: products keep accounts per school (Kolibri does), and the others map two rows to one.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from homeroom.plan import Role
from homeroom.roster.tables import schemas

_ROW: Final = pl.UInt32

DESIRED_SCHEMAS: Final[dict[str, pl.Schema]] = schemas(
    {
        "schools": {"key": pl.String, "name": pl.String},
        # staff: has a coach membership, a right or a non-student role in that school
        "people": {
            "school": _ROW,
            "key": pl.String,
            "name": pl.String,
            "username": pl.String,
            "staff": pl.Boolean,
        },
        "classes": {"school": _ROW, "key": pl.String, "name": pl.String},
        "memberships": {"class": _ROW, "person": _ROW, "role": pl.Enum(Role)},  # Learner or Coach
        "rights": {"person": _ROW},  # administrator of the person's school
    }
)

ACTUAL_SCHEMAS: Final[dict[str, pl.Schema]] = schemas(
    {
        # key null = not ours: never touched, and nothing in it; external_id is the target's own id.
        # What is to be adopted has the key that it will have; `Actual.adopting` says which rows these are.
        "schools": {"key": pl.String, "external_id": pl.String, "name": pl.String},
        # key null = made by people; suspended: ours, and put out of use by us
        "people": {
            "school": _ROW,
            "key": pl.String,
            "external_id": pl.String,
            "name": pl.String,
            "username": pl.String,
            "suspended": pl.Boolean,
        },
        "classes": {
            "school": _ROW,
            "key": pl.String,
            "external_id": pl.String,
            "name": pl.String,
            "archived": pl.Boolean,
        },
        # memberships of all people in owned classes, and rights in owned schools; external_id may be null
        "memberships": {"class": _ROW, "person": _ROW, "role": pl.Enum(Role), "external_id": pl.String},
        "rights": {"person": _ROW, "external_id": pl.String},
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What the target should hold. Columns: `DESIRED_SCHEMAS`; keys are source ids, unique per school."""

    schools: pl.DataFrame
    people: pl.DataFrame
    classes: pl.DataFrame
    memberships: pl.DataFrame
    rights: pl.DataFrame


DOUBTS_SCHEMA: Final = pl.Schema({"kind": pl.String, "school": pl.String, "key": pl.String})
"""Wanted schools, people and classes of which nobody can tell which of several things in the target they are."""


def _rows() -> pl.Series:
    return pl.Series([], dtype=_ROW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopting:
    """What of an `Actual` is not ours yet and shall be: its rows there. Made by targets (`homeroom.roster.adoption`).

    `doubts`: columns `DOUBTS_SCHEMA`. These are neither adopted nor made, and stand still.
    """

    schools: pl.Series = field(default_factory=_rows)
    people: pl.Series = field(default_factory=_rows)
    classes: pl.Series = field(default_factory=_rows)
    doubts: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=DOUBTS_SCHEMA))


@dataclass(frozen=True, slots=True, kw_only=True)
class Actual:
    """What the target holds right now. Columns: `ACTUAL_SCHEMAS`.

    `complete` is False when the reading did not prove itself complete: then nothing may be removed (invariant 2).
    `unsure` are source ids of schools whose part could not be read (one bad school must not stop the others): nothing
    in them is planned. `conflicts` are (school, person id) claimed twice, or whose mark and visible id disagree: these
    stand still both ways, so their accounts appear in `people` with the claimed key (twice, if need be), not with null.
    """

    schools: pl.DataFrame
    people: pl.DataFrame
    classes: pl.DataFrame
    memberships: pl.DataFrame
    rights: pl.DataFrame
    complete: bool = True
    unsure: frozenset[str] = frozenset()
    conflicts: frozenset[tuple[str, str]] = frozenset()
    adopting: Adopting = field(default_factory=Adopting)

    @property
    def owned_schools(self) -> pl.Series:
        """Source ids of the schools that are ours already."""
        rows = pl.int_range(self.schools.height, dtype=_ROW, eager=True)
        return self.schools["key"].filter(~rows.is_in(self.adopting.schools.implode())).drop_nulls()


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """User names that are reserved although nobody may know any more whose they were: their keyed hashes."""

    key: bytes = b""
    hashes: frozenset[str] = frozenset()

    def has(self, username: str, *, school: str) -> bool:
        """Whether this name was given out in this school (source id)."""
        return bool(self.hashes) and self.hash(username, school=school) in self.hashes

    def hash(self, username: str, *, school: str) -> str:
        """What stands for a name, however it is capitalised: 64 hexadecimal digits."""
        return hmac.digest(self.key, json.dumps([school, username.casefold()]).encode(), "sha256").hex()


ADOPTABLE_SCHEMAS: Final[dict[str, pl.Schema]] = schemas(
    {
        "schools": {"school": pl.String, "name": pl.String},
        # identifier: another number of the records for that person; empty texts are null
        "people": {
            "school": pl.String,
            "key": pl.String,
            "identifier": pl.String,
            "username": pl.String,
            "staff": pl.Boolean,
            "administrator": pl.Boolean,
        },
        "classes": {"school": pl.String, "key": pl.String, "name": pl.String},
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoptable:
    """Everything that is wanted, with that by which it can be found in a target. Columns: `ADOPTABLE_SCHEMAS`."""

    schools: pl.DataFrame
    people: pl.DataFrame
    classes: pl.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Source ids that the target needs to recognise its own marks, where marks are keyed hashes of them.

    `schools`: source ids. `classes`: frame [school, key] of text. Both: what is desired now, and all in the ledger.
    `usernames`: frame [school, key, username]: names given out before, reserved for ever (never for somebody else).
    `withdrawn`: those of people who were forgotten since, reserved for nobody. `adoptable`: what may be taken over of
    what people made in the target; None: nothing.
    """

    schools: Sequence[str]
    classes: pl.DataFrame
    usernames: pl.DataFrame
    withdrawn: Withdrawn = Withdrawn()
    adoptable: Adoptable | None = None

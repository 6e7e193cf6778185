"""A shared roster -> what a target should hold: the selection of `homeroom.roster.shared`, with words in it.

Flow: the reconciler calls `share`, then `desired`, and compares the result with what the target holds
(`homeroom.roster.diff`). Every decision was made before; nothing is filtered here.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from homeroom.roster.beside import selected
from homeroom.roster.shared import Shared
from homeroom.roster.state import Desired
from homeroom.roster.tables import Roster

FULL_NAME: Final = pl.concat_str("given", "family", separator=" ", ignore_nulls=True)
"""A person's name, from the columns of `roster.users`."""


def desired(roster: Roster, shared: Shared) -> Desired:
    """What the target should hold. Keys are source ids; a name that the records leave empty is the id.

    Row numbers are those of `shared`: schools sorted by id, people and classes by school and id, memberships by class
    and person.
    """
    schools = roster.orgs.select("id", "name")[shared.schools["org"]]
    classes = roster.classes.select("id", "title")[shared.classes["class"]]
    # Names are put together in the order of the records and then picked, or the time grew faster than their number.
    named = selected(roster.users, username=pl.col("username"), key=pl.col("id"), name=_or_id(FULL_NAME))
    users = named[shared.people["user"]]
    return Desired(
        schools=schools.select(key="id", name=_or_id(pl.col("name"))),
        people=users.select(
            shared.people["school"],
            "key",
            "name",
            "username",
            staff=shared.people["personnel"],
        ),
        classes=classes.select(shared.classes["school"], key="id", name=_or_id(pl.col("title"))),
        memberships=shared.memberships,
        rights=shared.rights,
    )


def _or_id(name: pl.Expr) -> pl.Expr:
    """The name without spaces around it, or the source id, since targets refuse objects without a name."""
    bare = name.str.strip_chars()
    return pl.when(bare != "").then(bare).otherwise("id")

r"""Which of the things that people had made in a product are those that the records want: one to one, or not at all.

::

    roster, desired --> `adoptable` (what is wanted, and by what it can be found) --> the target's `read`
    target: what is nobody's, with the same --> `matched` --> pairs --> Actual.adopting --> `homeroom.roster.diff`
                                                         \--> doubts, which stand still

Pure and columnar. Nobody is found by a name: two children may have the same. Classes and schools have nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from homeroom.roster.state import Actual, Adoptable, Desired
from homeroom.roster.tables import Roster

TOKENS_SCHEMA: Final = pl.Schema({"school": pl.String, "key": pl.String, "token": pl.String})
"""By which texts something that is wanted can be found; several rows each. A null token finds nothing."""
FOUND_SCHEMA: Final = pl.Schema({"school": pl.String, "external_id": pl.String, "token": pl.String})
"""The same of what is in the target and nobody's."""


def adoptable(roster: Roster, desired: Desired) -> Adoptable:
    """All that is wanted, with the numbers and user names that the records have for people."""
    schools, people = desired.schools["key"], desired.people
    rights = pl.int_range(people.height, dtype=pl.UInt32, eager=True).is_in(desired.rights["person"].implode())
    told = roster.users.select("id", _filled("identifier"))
    return Adoptable(
        schools=desired.schools.select(school="key", name="name"),
        people=people.select(
            schools[people["school"]].alias("school"),
            "key",
            _filled("username"),
            "staff",
            rights.alias("administrator"),
        )
        .join(told, left_on="key", right_on="id", how="left", maintain_order="left")
        .select("school", "key", "identifier", "username", "staff", "administrator"),
        classes=desired.classes.select(schools[desired.classes["school"]].alias("school"), "key", "name"),
    )


def _filled(column: str) -> pl.Expr:
    bare = pl.col(column).str.strip_chars()
    return pl.when(bare != "").then(bare).alias(column)


def under_other_names(desired: Desired, actual: Actual) -> pl.DataFrame:
    """[school, key] of people whose account, once adopted, gets a name that it does not have now; sorted.

    Perhaps a maiden name or a short form, perhaps somebody else with a number that was typed wrong: to be looked at.
    """
    name = (
        pl.col("name")
        .str.normalize("NFC")
        .str.to_lowercase()
        .str.split(" ")
        .list.eval(pl.element().filter(pl.element() != ""))
        .list.sort()
        .list.join(" ")
    )

    def named(people: pl.DataFrame, schools: pl.DataFrame) -> pl.DataFrame:
        return people.select(schools["key"][people["school"]].alias("school"), "key", name)

    there = named(actual.people[actual.adopting.people], actual.schools)
    return (
        there.join(named(desired.people, desired.schools), on=["school", "key"], suffix="_wanted")
        .filter(pl.col("name") != pl.col("name_wanted"))
        .select("school", "key")
        .sort("school", "key")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """`pairs`: [school, key, external_id], each key and each id once. `doubts`: [school, key], sorted."""

    pairs: pl.DataFrame
    doubts: pl.DataFrame


def matched(wanted: pl.DataFrame, found: pl.DataFrame) -> Matched:
    """Who is who: `wanted` (`TOKENS_SCHEMA`) and `found` (`FOUND_SCHEMA`) share a token within a school.

    What is found by several, or finds several, is in doubt: taking the better one would be a guess about a child.
    """
    edges = (
        wanted.drop_nulls("token")
        .join(found.drop_nulls("token"), on=["school", "token"])
        .select("school", "key", "external_id")
        .unique()
    )
    edges = edges.with_columns(
        pl.len().over("school", "key").alias("accounts"), pl.len().over("external_id").alias("claims")
    )
    alone = (pl.col("accounts") == 1) & (pl.col("claims") == 1)
    columns = ["school", "key", "external_id"]
    return Matched(
        pairs=edges.filter(alone).select(columns).sort(columns),
        doubts=edges.filter(~alone).select("school", "key").unique().sort("school", "key"),
    )

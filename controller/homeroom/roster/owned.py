"""What of ours a target holds and the ledger does not know: after the store was lost, or a crash in a batch. Pure.

The ledger is derived (DESIGN.md section 8): from the marks in the target. Neighbours: `homeroom.store`, which keeps it,
`homeroom.reconcile.learningapp`, which fills it.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from homeroom.plan import COMING, Kind, Plan
from homeroom.roster.state import Actual, Known

LEDGER_SCHEMA: Final = pl.Schema(dict.fromkeys(("kind", "school", "key", "external_id", "username"), pl.String()))
"""What is ours: source ids of school and thing, the target's own id, and an account's user name. All text."""


def unrecorded(actual: Actual, known: Known, plan: Plan) -> pl.DataFrame:
    """Columns `LEDGER_SCHEMA`, sorted; `known`: the ledger, `plan`: all that differs.

    People (suspended ones, too: their user names stay reserved) and classes at once. A school only once nothing but
    rights is still to come to it, since the ledger's schools are those whose first sync was seen. Nothing that is to be
    adopted yet, nobody whose account is in question, and no user name of somebody who was forgotten: nobody may know
    any more whose that was.
    """
    if not actual.complete:
        return pl.DataFrame(schema=LEDGER_SCHEMA)
    place = ["school", "key"]
    keys = actual.schools["key"]

    def ours(frame: pl.DataFrame, adopting: pl.Series) -> pl.DataFrame:
        there = frame.with_columns(keys[frame["school"]].alias("school"))
        return there.filter(~pl.int_range(pl.len(), dtype=pl.UInt32).is_in(adopting.implode())).drop_nulls(place)

    people = ours(actual.people, actual.adopting.people).join(known.usernames, on=place, how="anti")
    in_question = pl.DataFrame(sorted(actual.conflicts), schema=dict.fromkeys(place, pl.String()), orient="row")
    people = people.join(in_question, on=place, how="anti")
    if known.withdrawn.hashes:
        names = people.select("username", "school").iter_rows()  # few, but right after a loss
        people = people.filter(
            pl.Series(
                [not (name and known.withdrawn.has(name, school=school)) for name, school in names], dtype=pl.Boolean
            )
        )
    classes = ours(actual.classes, actual.adopting.classes).join(known.classes, on=place, how="anti")
    coming = plan.changes.filter(
        pl.col("op").cast(pl.String).is_in(COMING), pl.col("kind").cast(pl.String) != Kind.RIGHT.value
    )["school"]
    schools = actual.schools.with_columns(school="key").filter(
        pl.col("key").is_in(actual.owned_schools.implode()),
        ~pl.col("key").is_in([*known.schools, *actual.unsure]),
        ~pl.col("key").is_in(coming.cast(pl.String).unique().implode()),
    )
    parts = [
        frame.select(
            pl.lit(kind.value).alias("kind"),
            *place,
            "external_id",
            (pl.col("username") if kind is Kind.PERSON else pl.lit(None, pl.String)).alias("username"),
        )
        for kind, frame in ((Kind.SCHOOL, schools), (Kind.PERSON, people), (Kind.CLASS, classes))
    ]
    return pl.concat(parts).unique(["kind", *place], keep="none").sort("kind", *place)

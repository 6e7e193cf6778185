"""Which teachers are connected to licences of a pool, and who is so no more: by it they have classes in an app (R20).

::

    what was known before -------------------------+
    whom licences connect by key and by records ---+--> `settle_access` --> connected teachers, and who no longer is
    licences that stand still ---------------------+

Whose connection ended is remembered by its licence, as the two ends differ: what a revoked licence takes away goes at
once, for the pool's guard was asked; who is no teacher of the school any more is a matter of the records, hence of the
app's own guards and of `removal`. What is not known stands still: it connects whom it did, and nobody else.

Pure and columnar. Neighbours: `assignment` (the same for students), `homeroom.reconcile.licences` (who asks),
`homeroom.roster.seated` (what an app makes of it).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import polars as pl

TEACHER: Final = ("district", "teacher")
"""Who a teacher is: the district (namespace and name) and the source id."""
CONNECTED_SCHEMA: Final = pl.Schema(
    {"district": pl.String, "teacher": pl.String, "licence": pl.String, "by_key": pl.Boolean}
)
"""Teachers and the licences that connect them, by a key or by the records; distinct."""
TEACHERS_SCHEMA: Final = pl.Schema([*CONNECTED_SCHEMA.items(), ("connected", pl.Boolean), ("revoked", pl.Boolean)])
"""The same with those who were connected before. `connected`: now; only who is so by no licence has rows without it.
`revoked`: the licence was revoked, or somebody ended the connection."""
NO_TEACHERS: Final = pl.DataFrame(schema=TEACHERS_SCHEMA)

_PAIR: Final = [*TEACHER, "licence"]


def settle_access(
    before: pl.DataFrame, found: pl.DataFrame, *, keyed: pl.DataFrame, open_: Collection[str], still: Collection[str]
) -> pl.DataFrame:
    """TEACHERS_SCHEMA, sorted; what is given `before` and comes out again with nothing changed is the same.

    `found`: CONNECTED_SCHEMA, whom the licences `open_` connect by what is known now. `keyed` [district, teacher,
    licence]: all connections by keys, of whatever licence. `still`: licences of which it is not known whom they
    connect; one that is neither was revoked.
    """
    by_hand = before.join(keyed, on=_PAIR, how="anti").filter("by_key").select(_PAIR)  # ended, whatever else is known
    kept = before.filter(pl.col("connected") & pl.col("licence").is_in(list(still))).join(by_hand, on=_PAIR, how="anti")
    live = pl.concat([found.filter(pl.col("licence").is_in(list(open_))), kept.select(CONNECTED_SCHEMA.names())])
    live = live.unique(_PAIR, keep="first", maintain_order=True)
    over = ~pl.col("licence").is_in([*open_, *still])
    ended = before.join(live, on=list(TEACHER), how="anti").with_columns(connected=pl.lit(value=False))
    marked = ended.join(by_hand.with_columns(by_hand=pl.lit(value=True)), on=_PAIR, how="left").with_columns(
        revoked=pl.col("revoked") | over | pl.col("by_hand").fill_null(value=False)
    )
    rows = [live.with_columns(connected=pl.lit(value=True), revoked=pl.lit(value=False)), marked]
    return pl.concat(part.select(TEACHERS_SCHEMA.names()) for part in rows).sort(_PAIR)


def connected_in(teachers: pl.DataFrame, district: str) -> pl.Series:
    """Source ids of the teachers of a district (namespace and name) who are connected now, each once, sorted."""
    return teachers.filter(pl.col("connected") & (pl.col("district") == district))["teacher"].unique().sort()


def withdrawn_in(teachers: pl.DataFrame, district: str) -> pl.Series:
    """Those of a district who are connected by nothing any more since a licence was revoked, or a connection ended."""
    gone = teachers.filter(~pl.col("connected") & pl.col("revoked") & (pl.col("district") == district))
    return gone["teacher"].unique().sort()

"""Which class goes on in which, when the next school year begins: by who is in it, never by what it is called.

A class of next year is another class, with another chat, unless the policy says `FollowClass`. Then it takes over the
chat of the class of which most of its students come, if most students of that one are in it: two classes that swap
their names, a new first class with last year's name or the source id of last year's, take over nothing (E8, safety
row 15). What is decided once stays, until a class that was gone comes back.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from homeroom.chats.desired import LINEAGE

_AGAIN: Final = "@again"

LEARNERS: Final = pl.Schema({"class": pl.String, "school": pl.String, "person": pl.String})
"""Who learns in which homeroom: Homeroom's id of the class, source ids of school and student."""


def followed(lineage: pl.DataFrame, *, before: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """`lineage` (columns `LINEAGE`) with the classes that are new; sorted. `before`, `now`: columns `LEARNERS`.

    A class is new that is neither in `lineage` nor among those `before`. It follows one that is no longer there.
    """
    new = now.join(before, on="class", how="anti").join(lineage, on="class", how="anti").unique()
    ended = before.join(now, on="class", how="anti").unique()
    sizes_new, sizes_old = new.group_by("class").len("of_new"), ended.group_by("class").len("of_old")
    shared = pl.col("len") * 2
    pairs = (
        new.join(ended, on=["school", "person"], suffix="_old")
        .group_by("class", "class_old")
        .len()
        .join(sizes_new, on="class")
        .join(sizes_old, left_on="class_old", right_on="class")
        .filter(shared > pl.col("of_new"), shared > pl.col("of_old"))
        # Who learns in two classes may make two majorities: then nobody can say which it is.
        .filter(~pl.col("class").is_duplicated() & ~pl.col("class_old").is_duplicated())
    )
    first = pairs.join(lineage, left_on="class_old", right_on="class", how="left")
    found = first.select("class", first=pl.col("first").fill_null(pl.col("class_old")))
    longer = pl.concat([lineage, found.cast(LINEAGE)])
    # Who comes back when another class has their chat begins one of their own.
    back = now.select("class").unique().join(before, on="class", how="anti").join(found, on="class", how="anti")
    back = back.join(lineage, on="class", how="left").with_columns(pl.col("first").fill_null(pl.col("class")))
    lost = back.join(longer, on="first", suffix="_now").filter(pl.col("class") != pl.col("class_now"))
    anew = lost.select("class", pl.col("first") + _AGAIN).unique()
    return pl.concat([longer.join(anew, on="class", how="anti"), anew]).sort("class")


def remembered(lineage: pl.DataFrame, *, before: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """Columns `LEARNERS`, sorted: those of `now`, and of classes that are gone and that none of these follows.

    In the holidays the old class is over and the new one has not begun; in autumn it still has to be known who was in
    it. Of a class that is followed nothing is kept: should it come back, it begins a chat of its own.
    """
    first = lineage.rename({"first": "root"})

    def rooted(classes: pl.DataFrame) -> pl.DataFrame:
        found = classes.select("class").unique().join(first, on="class", how="left")
        return found.with_columns(pl.col("root").fill_null(pl.col("class")))

    gone = before.join(now, on="class", how="anti")
    waiting = rooted(gone).join(rooted(now), on="root", how="anti")
    return pl.concat([now, gone.join(waiting, on="class", how="semi")]).unique().sort(LEARNERS.names())

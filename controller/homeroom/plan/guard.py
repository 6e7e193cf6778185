r"""Which changes of a plan may be made now, and which need a person's word first (DESIGN.md section 6).

::

    Plan --> lanes (what kind of danger) --> breaches per class, school, district --> held rows
                                                                                 \-> what depends on them waits
    everything else --> the plan that may be applied

What has to wait for its day (an account that is closed after a time of grace) is judged on the day it is planned first,
with all that goes with it, and never again: from then on it counts as gone, though it is there (`counted_as_gone`).

Pure and columnar. `homeroom.plan.hold` keeps what is held here until it is approved or no longer planned; `released`
and `sticky` are its memory. Intruders, repairs and additions of the records are never judged (invariant 7).

=================  ==========================================================================================
guard              what it judges, and against what
=================  ==========================================================================================
`Deletes`          removals: per school and per kind of thing, then what is left of them in the whole district
`ClassShrink`      removals of members, per class or chat
`Moves`            removals of members who get another class in the same plan, per school
`Updates`          renames that the records ask for, per school and kind
`ScopeEdit`        removals that follow from an edit in Git: above the floor always
`Exposure`         additions that follow from an edit in Git: new schools, new kinds of people and whom an Exclude
                   had covered always, others by percentage
`Administrators`   every gain of administrator rights, and every adoption of an account that has them, per school
`Adoption`         what is taken over from people or another owner, and who leaves a class with that, per school
`Identity`         who leaves and who arrives in one school under one name, per school; at the source, see
                   `homeroom.roster.recognition`, each question about who is who by itself
`Clock`            what only the day takes away, while the clock is in doubt (`homeroom.plan.clock`)
`RollOver`         what ends with its school year, once for the whole district
`FirstSync`        everything that comes to a school for the first time
`Licences`         licences of a pool that go: `homeroom.seats.revocation`
=================  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

import polars as pl

from homeroom.plan.change import COMING, LEAVING, PLACES, Cause, Kind, Op
from homeroom.plan.plan import IDENTITY, IDENTITY_SCHEMA, Plan


class Guard(StrEnum):
    """Which guard stopped a change; see the table above. A closed list: it stands in conditions."""

    DELETES = "Deletes"
    CLASS_SHRINK = "ClassShrink"
    MOVES = "Moves"
    UPDATES = "Updates"
    SCOPE_EDIT = "ScopeEdit"
    EXPOSURE = "Exposure"
    ADMINISTRATORS = "Administrators"
    ADOPTION = "Adoption"
    IDENTITY = "Identity"
    CLOCK = "Clock"
    ROLL_OVER = "RollOver"
    FIRST_SYNC = "FirstSync"
    LICENCES = "Licences"


class Scope(StrEnum):
    """How far a hold reaches."""

    DISTRICT = "District"
    SCHOOL = "School"
    CLASS = "Class"  # or one chat
    PERSON = "Person"  # a question about who somebody is
    POOL = "Pool"  # of licences


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Percentages of a scope that may change without a person, and the number of changes below which none asks.

    Clever's own lines for deletes and updates; a class shrinks by half at most as at code.org (`rostering.md` 6.1).
    """

    deletes: int = 10
    updates: int = 75
    class_shrink: int = 50
    additions: int = 25
    identity_changes: int = 25
    ignore_below: int = 5


CHANGE: Final = ("op", *IDENTITY)
"""What makes two rows of two plans the same change."""
CHANGE_SCHEMA: Final = pl.Schema(dict.fromkeys(CHANGE, pl.String()))
"""Changes without their whys. All text."""
HELD_SCHEMA: Final = pl.Schema({**CHANGE_SCHEMA, **dict.fromkeys(("cause", "guard", "scope", "place"), pl.String())})
"""A change that is stopped, by which `guard`; `scope` and `place` (source id of the school, class or person; empty
for a district) say how far that reaches. All text."""
SIZES_SCHEMA: Final = pl.Schema({"kind": pl.String, "school": pl.String, "class_key": pl.String, "size": pl.Int64})
"""How many of a kind a school has now; for memberships per class as well (`class_key` set), intruders' among them."""
RECENT_SCHEMA: Final = pl.Schema(
    {
        "kind": pl.String,
        "school": pl.String,
        "class_key": pl.String,
        "op": pl.String,
        "cause": pl.String,
        "approved": pl.Boolean,
        "changes": pl.Int64,
    }
)
"""What was applied in the last `WINDOW_DAYS`, counted; `class_key` only of memberships."""
WINDOW_DAYS: Final = 7

EDITS: Final = [Cause.SHARING_CHANGED.value, Cause.SPEC_CHANGED.value]
"""Causes that lie in Git."""
_AT_ONCE: Final = [
    Cause.INTRUDER.value,
    Cause.DENIED.value,
    Cause.UNLINKED.value,
    Cause.LICENCE_REVOKED.value,
]
"""Nobody is asked: who has no reason, whom a court puts out, who has taken a link back, what was asked at the pool."""
_ENDING: Final = pl.col("op").is_in(LEAVING) & pl.col("kind").is_in([*PLACES, Kind.PERSON.value])
"""A class, a chat or an account comes to its end."""
_LEVELS: Final = {
    Scope.CLASS: ["kind", "school", "class_key"],
    Scope.SCHOOL: ["kind", "school"],
    Scope.DISTRICT: ["kind"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the guards compare a plan with.

    `sizes`, `recent`: columns `SIZES_SCHEMA`, `RECENT_SCHEMA`. `reviewed`: schools to which something may come without
    a first-sync review; None where nobody wants to review. `known`: schools that were ever shared with the app.
    `kinds`: of people (`staff` or not) that it had before. `covered`: rows (`IDENTITY`) that an Exclude kept away
    before the last edit. `by_time`: rows (`IDENTITY`) that leave for no reason but the day, while the clock is in
    doubt; None: it is not. `rights`: gains of rights wait for a word (False at the source: who gains any, says the
    app). `rolled_over`: this school year's roll-over was approved. `exposing`: what the last edit adds waits for a word
    already. `starting`: schools whose first sync does.
    """

    sizes: pl.DataFrame
    recent: pl.DataFrame
    reviewed: Collection[str] | None
    known: Collection[str]
    kinds: Collection[bool]
    covered: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=IDENTITY_SCHEMA))
    by_time: pl.DataFrame | None = None
    rights: bool = True
    rolled_over: bool = False
    exposing: bool = False
    starting: Collection[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """`plan` may be applied, its approved rows marked with their hold. `held`: columns `HELD_SCHEMA`.

    `waiting`: how many more rows cannot be applied because something that they need is held.
    """

    plan: Plan
    held: pl.DataFrame
    waiting: int


def judge(plan: Plan, standing: Standing, limits: Limits, *, released: pl.DataFrame, sticky: pl.DataFrame) -> Judged:
    """Judge every row once. Of the plan, only `CHANGE`, cause and staff are looked at.

    `released`: [*CHANGE, hold], changes that a person approved: they pass, as do rows that `passed` before. `sticky`:
    columns `HELD_SCHEMA`, changes that are held already: they stay so, and do not count again.
    """
    if plan.empty:  # as on most nights
        return Judged(plan=plan, held=pl.DataFrame(schema=HELD_SCHEMA), waiting=0)
    rows = _laned(plan, standing, released=released, sticky=sticky)
    lanes = rows.partition_by("lane", as_dict=True).items()
    breached = [_breach(Guard(lane), judged, rows, standing, limits) for (lane,), judged in lanes if lane is not None]
    held = pl.concat([_NONE, *breached])
    rows = _tied(rows.join(held, on="n", how="left", maintain_order="left"))
    later = [Guard.FIRST_SYNC.value, *([Guard.EXPOSURE.value] if standing.exposing else [])]
    rows = rows.with_columns(
        stopped=pl.col("guard").is_not_null() | pl.col("sticky"),
        late=pl.col("guard").is_null() & pl.col("lane").is_in(later).fill_null(value=False),
    )
    waits = pl.concat([_waiting(rows), _unreviewed(rows, standing)]).unique()
    passing = rows.filter(~pl.col("stopped") & ~pl.col("n").is_in(waits.implode())).select("n", "hold")
    return Judged(
        plan=Plan(plan.changes[passing["n"]].with_columns(passing["hold"])),
        held=rows.filter(pl.col("guard").is_not_null()).select(HELD_SCHEMA.names()),
        waiting=waits.len(),
    )


def counted_as_gone(
    passed: pl.DataFrame, sizes: pl.DataFrame, recent: pl.DataFrame, *, since: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`sizes` and `recent` (columns `SIZES_SCHEMA`, `RECENT_SCHEMA`) as if the rows `passed` of a plan had been made.

    They count in the window that begins at `since` from the moment when the guards let them through.
    """
    if passed.is_empty():
        return sizes, recent
    texts = [pl.col(name).cast(pl.String) for name in ("kind", "school", "class_key", "op", "cause")]
    rows = passed.select(*texts, pl.col("hold").is_not_null().alias("approved"), "passed")
    per_class = rows.filter(pl.col("class_key").is_not_null())
    gone = (
        pl.concat([rows.with_columns(class_key=pl.lit(None, pl.String)), per_class])
        .group_by("kind", "school", "class_key")
        .agg(pl.len().alias("gone"))
    )
    left = sizes.join(gone, on=["kind", "school", "class_key"], how="left", nulls_equal=True).with_columns(
        pl.col("size") - pl.col("gone").fill_null(0)
    )
    made = (
        rows.filter(pl.col("passed") >= since)
        .group_by("kind", "school", "class_key", "op", "cause", "approved")
        .agg(pl.len().cast(pl.Int64).alias("changes"))
    )
    return left.select(SIZES_SCHEMA.names()), pl.concat([recent, made.select(RECENT_SCHEMA.names())])


# ---------------------------------------------------------------------------------------------------------------------
# What kind of danger


def _laned(plan: Plan, standing: Standing, *, released: pl.DataFrame, sticky: pl.DataFrame) -> pl.DataFrame:
    """The plan's rows with `n` (their position), `hold`, `sticky` and `lane` (the guard that judges them, or null)."""
    texts = [pl.col(name).cast(pl.String) for name in (*CHANGE, "cause")]
    position = pl.int_range(pl.len(), dtype=pl.UInt32).alias("n")
    rows = plan.changes.select(position, *texts, "staff", "passed", before="hold")
    op, kind, cause = pl.col("op"), pl.col("kind"), pl.col("cause")
    by_time = pl.lit(value=False)
    if standing.by_time is not None:
        by_time = _is_among(rows, standing.by_time, IDENTITY)
    passed = pl.col("passed").is_not_null() & ~by_time
    rows = rows.with_columns(
        pl.coalesce(_found(rows, released, "hold"), pl.when(passed).then("before")).alias("hold"),
        sticky=_is_among(rows, sticky, CHANGE) & ~cause.is_in(_AT_ONCE),
    )
    leaving, coming = op.is_in(LEAVING), op.is_in(COMING)
    right = coming & (kind == Kind.RIGHT.value) & standing.rights
    reviewed = pl.lit(value=True) if standing.reviewed is None else pl.col("school").is_in(list(standing.reviewed))
    lane = (
        pl.when(pl.col("hold").is_not_null() | passed | pl.col("sticky") | cause.is_in(_AT_ONCE))
        .then(None)
        .when(right | _with_rights(rows))
        .then(pl.lit(Guard.ADMINISTRATORS.value))
        .when(cause == Cause.ADOPTION.value)
        .then(pl.lit(Guard.ADOPTION.value))
        .when(coming & ~reviewed)
        .then(pl.lit(Guard.FIRST_SYNC.value))
        .when(cause == Cause.ID_CHANGED.value)
        .then(pl.lit(Guard.IDENTITY.value))
        .when(leaving & by_time)
        .then(pl.lit(Guard.CLOCK.value))
        .when(leaving & (cause == Cause.ROLLED_OVER.value) & (not standing.rolled_over))
        .then(pl.lit(Guard.ROLL_OVER.value))
        .when(leaving & cause.is_in([Cause.ROLLED_OVER.value, Cause.TERM_ENDED.value]))
        .then(None)
        .when(leaving & cause.is_in(EDITS))
        .then(pl.lit(Guard.SCOPE_EDIT.value))
        .when(leaving & (cause == Cause.MOVED.value))
        .then(pl.lit(Guard.MOVES.value))
        .when(leaving)
        .then(pl.lit(Guard.DELETES.value))
        .when((op == Op.UPDATE.value) & (cause == Cause.SOURCE_CHANGED.value))
        .then(pl.lit(Guard.UPDATES.value))
        .when(coming & cause.is_in(EDITS))
        .then(pl.lit(Guard.EXPOSURE.value))
    )
    return rows.with_columns(lane.alias("lane"))


def _with_rights(rows: pl.DataFrame) -> pl.Expr:
    """Which rows adopt an account that has administrator rights."""
    adopting = rows.filter(pl.col("op") == Op.ADOPT.value)
    if adopting.is_empty():
        return pl.lit(value=False)
    rights = adopting.filter(pl.col("kind") == Kind.RIGHT.value)
    people = adopting.filter(pl.col("kind") == Kind.PERSON.value).join(rights, on=["school", "key"], how="semi")
    return pl.col("n").is_in(people["n"].implode())


def _found(rows: pl.DataFrame, there: pl.DataFrame, column: str) -> pl.Expr:
    """`column` of the first row of `there` that is the same change as the row in `rows`, or null."""
    if there.is_empty():
        return pl.lit(None, dtype=there.schema[column])
    there = there.unique(CHANGE, keep="first").select(*CHANGE, column)
    known = rows.select(CHANGE).join(there, on=CHANGE, how="left", nulls_equal=True, maintain_order="left")
    return pl.lit(known[column])


def _is_among(rows: pl.DataFrame, there: pl.DataFrame, on: Sequence[str]) -> pl.Expr:
    """Whether a row of `there` has the same values in the columns `on`."""
    if there.is_empty():
        return pl.lit(value=False)
    known = rows.select("n", *on).join(there, on=on, how="semi", nulls_equal=True)
    return pl.col("n").is_in(known["n"].implode())


# ---------------------------------------------------------------------------------------------------------------------
# How much is too much

_NONE: Final = pl.DataFrame(schema={"n": pl.UInt32, "guard": pl.String, "scope": pl.String, "place": pl.String})
"""Nothing is stopped. Of what is: its position in the plan, by which guard, and how far that reaches."""


def _stopped(rows: pl.DataFrame, guard: Guard, scope: Scope) -> pl.DataFrame:
    """`rows` as stopped by a guard: columns of `_NONE`."""
    place = {Scope.DISTRICT: pl.lit(""), Scope.SCHOOL: pl.col("school"), Scope.CLASS: pl.col("class_key")}[scope]
    return rows.select(
        "n", pl.lit(guard.value).alias("guard"), pl.lit(scope.value).alias("scope"), place.alias("place")
    )


def _breach(guard: Guard, judged: pl.DataFrame, rows: pl.DataFrame, standing: Standing, limits: Limits) -> pl.DataFrame:
    """What a guard stops of those `rows` that are in its lane (`judged`, at least one): columns of `_NONE`."""
    match guard:
        case Guard.DELETES:
            return _by_level(judged, rows, standing, limits)
        case Guard.SCOPE_EDIT:
            return _edits(judged, rows, standing, limits)
        case Guard.EXPOSURE:
            return _exposure(judged, standing, limits)
        case Guard.MOVES | Guard.UPDATES:
            return _in_school(guard, judged, standing, percent=limits.updates, floor=limits.ignore_below)
        case Guard.FIRST_SYNC:  # where that was published already, what else comes waits for it
            return _stopped(judged.filter(~pl.col("school").is_in(list(standing.starting))), guard, Scope.SCHOOL)
        case Guard.CLOCK | Guard.ROLL_OVER:
            return _stopped(judged, guard, Scope.DISTRICT)
        case _:
            return _stopped(judged, guard, Scope.SCHOOL)


def _too_many(
    guard: Guard,
    judged: pl.DataFrame,
    rows: pl.DataFrame,
    standing: Standing,
    scope: Scope,
    *,
    percent: int,
    floor: int,
) -> pl.DataFrame:
    """The places of a scope (its columns of `_LEVELS`) where the removals that `guard` judges are too many, or all.

    `judged`: these removals, some of `rows`.

    What counts is what is planned and what went without approval in the last days, against what was there before these
    days: neither small steps nor additions in between dissolve a guard (safety row 3). Nor does a large loss that a
    person approved: where less than that is left of it, with what went unapproved, it is against so much. Intruders
    count nowhere.
    """
    by = _LEVELS[scope]
    per_class = scope is Scope.CLASS
    if per_class:
        judged = judged.filter(pl.col("kind") == Kind.MEMBERSHIP.value)
    if judged.is_empty():
        return judged.select(by)
    leaving, coming = pl.col("op").is_in(LEAVING), pl.col("op").is_in(COMING)
    intruder = pl.col("cause") == Cause.INTRUDER.value
    counted = pl.col("cause").is_in(EDITS if guard is Guard.SCOPE_EDIT else [Cause.LEFT_SOURCE.value])
    sizes = standing.sizes.filter(pl.col("class_key").is_not_null() == per_class).group_by(by).agg(pl.col("size").sum())
    past = standing.recent.group_by(by).agg(
        pl.col("changes").filter(leaving & counted & ~pl.col("approved")).sum().alias("gone"),
        pl.min_horizontal(
            pl.col("changes").filter(leaving & ~intruder).sum() - pl.col("changes").filter(coming).sum(),
            pl.col("changes").filter(leaving & ~intruder & ~pl.col("approved")).sum(),
        ).alias("shrunk"),
    )
    planned = rows.group_by(by).agg(
        (leaving & ~intruder & pl.col("passed").is_null()).sum().cast(pl.Int64).alias("leaving"),
        # what is adopted is among the sizes already
        (coming & (pl.col("op") != Op.ADOPT.value) & pl.col("lane").is_null() & ~pl.col("sticky"))
        .sum()
        .cast(pl.Int64)
        .alias("coming"),
        (leaving & intruder).sum().cast(pl.Int64).alias("intruders"),
    )
    now = pl.col("size") - pl.col("intruders")
    total = pl.col("planned") + pl.col("gone")
    return (
        judged.group_by(by)
        .agg(pl.len().cast(pl.Int64).alias("planned"))
        .join(planned, on=by, how="left", nulls_equal=True)
        .join(sizes, on=by, how="left", nulls_equal=True)
        .join(past, on=by, how="left", nulls_equal=True)
        .with_columns(pl.col("size", "gone", "shrunk").fill_null(0))
        .filter(
            ((total * 100 > (now + pl.col("shrunk")) * percent) & (total >= floor))
            | (pl.col("leaving") >= now + pl.col("coming"))
        )
        .select(by)
    )


def _by_level(judged: pl.DataFrame, rows: pl.DataFrame, standing: Standing, limits: Limits) -> pl.DataFrame:
    """A school that loses too much loses nothing; of the others no class, and then not the district as a whole.

    One bad school stops no other (invariant 13), so what a school or class holds does not count in the district.
    """
    found = []
    for scope, guard, percent in (
        (Scope.SCHOOL, Guard.DELETES, limits.deletes),
        (Scope.CLASS, Guard.CLASS_SHRINK, limits.class_shrink),
        (Scope.DISTRICT, Guard.DELETES, limits.deletes),
    ):
        places = _too_many(Guard.DELETES, judged, rows, standing, scope, percent=percent, floor=limits.ignore_below)
        if places.is_empty():
            continue
        by = [column for column in _LEVELS[scope] if column != "kind"]
        stopped = judged.join(places, on=by, how="semi") if by else judged
        found.append(_stopped(stopped, guard, scope))
        judged = judged.filter(~pl.col("n").is_in(stopped["n"].implode()))
    return pl.concat([_NONE, *found])


def _in_school(guard: Guard, judged: pl.DataFrame, standing: Standing, *, percent: int, floor: int) -> pl.DataFrame:
    """Changes that take nothing away on the whole: too many of one kind in one school."""
    by = _LEVELS[Scope.SCHOOL]
    sizes = standing.sizes.filter(pl.col("class_key").is_null())
    places = (
        judged.group_by(by)
        .agg(pl.len().cast(pl.Int64).alias("planned"))
        .join(sizes, on=by, how="left")
        .filter((pl.col("planned") * 100 > pl.col("size").fill_null(0) * percent) & (pl.col("planned") >= floor))
    )
    return _stopped(judged.join(places, on=by, how="semi"), guard, Scope.SCHOOL)


def _edits(judged: pl.DataFrame, rows: pl.DataFrame, standing: Standing, limits: Limits) -> pl.DataFrame:
    """One edit, one question: all that it removes, unless that is below the floor and leaves something everywhere."""
    is_too_much = any(
        not _too_many(Guard.SCOPE_EDIT, judged, rows, standing, scope, percent=0, floor=limits.ignore_below).is_empty()
        for scope in _LEVELS
    )
    return _stopped(judged if is_too_much else judged.clear(), Guard.SCOPE_EDIT, Scope.DISTRICT)


def _exposure(judged: pl.DataFrame, standing: Standing, limits: Limits) -> pl.DataFrame:
    """One edit, one question: all that it adds, if any of it was never meant to be seen before (safety row 4)."""
    if standing.exposing:
        return _stopped(judged.clear(), Guard.EXPOSURE, Scope.DISTRICT)
    person = pl.col("kind") == Kind.PERSON.value
    is_new = ~pl.col("school").is_in(list(standing.known)) | (
        person & ~pl.col("staff").fill_null(value=False).is_in(list(standing.kinds))
    )
    is_strange = (
        not judged.filter(is_new).is_empty()
        or not judged.join(standing.covered, on=list(IDENTITY), how="semi", nulls_equal=True).is_empty()
    )
    many = _in_school(Guard.EXPOSURE, judged, standing, percent=limits.additions, floor=limits.ignore_below)
    stopped = judged if is_strange or not many.is_empty() else judged.clear()
    return _stopped(stopped, Guard.EXPOSURE, Scope.DISTRICT)


# ---------------------------------------------------------------------------------------------------------------------
# What hangs together


def _tied(rows: pl.DataFrame) -> pl.DataFrame:
    """A class is not archived, nor an account closed, while a membership in it is held: both would end it anyway."""
    held = rows.filter(pl.col("guard").is_not_null() & (pl.col("kind") == Kind.MEMBERSHIP.value))
    if held.is_empty():
        return rows
    where = ["guard", "scope", "place"]
    ties = pl.concat(
        [
            *(
                held.select(pl.lit(place).alias("kind"), "school", pl.col("class_key").alias("key"), *where)
                for place in PLACES
            ),
            held.select(pl.lit(Kind.PERSON.value).alias("kind"), "school", "key", *where),
        ]
    ).unique(["kind", "school", "key"], keep="first", maintain_order=True)
    found = rows.select("kind", "school", "key").join(
        ties, on=["kind", "school", "key"], how="left", maintain_order="left"
    )
    free = (
        _ENDING
        & pl.col("guard").is_null()
        & pl.col("hold").is_null()
        & ~pl.col("sticky")
        & ~pl.col("cause").is_in(_AT_ONCE)
    )
    return rows.with_columns(pl.when(free).then(found[name]).otherwise(name).alias(name) for name in where)


def _unreviewed(rows: pl.DataFrame, standing: Standing) -> pl.Series:
    """Positions of what leaves a school that nobody has reviewed: it is ours, but the store that knew why was lost."""
    if not standing.starting:
        return rows["n"].clear()
    leaving = pl.col("op").is_in(LEAVING) & pl.col("school").is_in(list(standing.starting)) & ~pl.col("stopped")
    return rows.filter(leaving & pl.col("hold").is_null() & ~pl.col("cause").is_in(_AT_ONCE))["n"]


def _waiting(rows: pl.DataFrame) -> pl.Series:
    """Positions (`n`) of rows that are not stopped themselves, but need, or complete, something that is."""
    stopped, late = rows.filter("stopped"), rows.filter("late")
    if stopped.is_empty() and late.is_empty():
        return rows["n"].clear()
    free = rows.filter(~pl.col("stopped") & ~pl.col("late"))
    parents = pl.concat([stopped.filter(pl.col("op").is_in(COMING)), late])
    return pl.concat([late["n"], _without_parents(free, parents), _lived_in(free, stopped)]).unique()


def _without_parents(free: pl.DataFrame, parents: pl.DataFrame) -> pl.Series:
    """Positions of what needs one of `parents`, which do not come yet, and of what whoever moves would lose."""
    if parents.is_empty():
        return free["n"].clear()
    schools = parents.filter(pl.col("kind") == Kind.SCHOOL.value).select("school")
    people = parents.filter(pl.col("kind") == Kind.PERSON.value).select("school", "key")
    classes = parents.filter(pl.col("kind").is_in(PLACES)).select("school", class_key="key")
    added = free.filter(pl.col("op").is_in(COMING))
    orphans = pl.concat(
        [
            added.join(schools, on="school", how="semi"),
            added.join(people, on=["school", "key"], how="semi"),
            added.join(classes, on=["school", "class_key"], how="semi"),
        ]
    )["n"]
    # Whoever moves keeps the old place until there is a new one.
    blocked = pl.concat([parents, added.filter(pl.col("n").is_in(orphans.implode()))])
    arriving = added.filter(~pl.col("n").is_in(orphans.implode()))
    waits_for = ["kind", "key", "role"]
    stuck = blocked.join(arriving, on=waits_for, how="anti", nulls_equal=True)
    movers = free.filter(pl.col("lane") == Guard.MOVES.value).join(stuck, on=waits_for, how="semi", nulls_equal=True)
    return pl.concat([orphans, movers["n"]])


def _lived_in(free: pl.DataFrame, stopped: pl.DataFrame) -> pl.Series:
    """Positions of accounts and classes that stay, whoever approved their end: a membership in them is held."""
    kept = stopped.filter(pl.col("op").is_in(LEAVING) & (pl.col("kind") == Kind.MEMBERSHIP.value))
    if kept.is_empty():
        return free["n"].clear()
    ending = free.filter(_ENDING & ~pl.col("cause").is_in(_AT_ONCE))
    return pl.concat(
        [
            ending.filter(pl.col("kind") == Kind.PERSON.value).join(kept, on=["school", "key"], how="semi"),
            ending.filter(pl.col("kind").is_in(PLACES)).join(
                kept, left_on=["school", "key"], right_on=["school", "class_key"], how="semi"
            ),
        ]
    )["n"]

"""When people last used an app, and what follows for the seats of its pool. Pure: no cluster, no store, no clock.

::

    target's accounts --`logins_of`--> days of people --store--> Activity --+
    who holds a seat, who was told to be idle, who lost a seat for it ------+--> `unused` --> who may lose a seat now
    who holds a seat after that ----------------------------------------------> `remembered` --> the next run

Neighbours: `learningapp` (asks the target), `licensepool` (gathers what all apps of a pool told), `licences` (decides),
`homeroom.seats.usage` (counts).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

import polars as pl

from homeroom.api import LicensePoolSpec, Reclaim
from homeroom.roster.state import Actual, Known
from homeroom.seats.assignment import NOBODY, STUDENT
from homeroom.seats.usage import (
    LOGINS_SCHEMA,
    NOTICED_SCHEMA,
    RECLAIMED_SCHEMA,
    active_since,
    idle,
    unused_since,
    usage_of_licences,
)
from homeroom.store import Seating

FRESH: Final = timedelta(days=2)
"""How old what an app told may be: it is asked in each run, at least every night, and one night may fail."""


def logins_of(told: pl.DataFrame, actual: Actual, known: Known, *, district: str, zone: str) -> pl.DataFrame:
    """What a target told (`homeroom.targets.ACTIVITY_SCHEMA`) of what was read: LOGINS_SCHEMA, a person once, sorted.

    `district`: namespace and name. Days are by its calendar (`zone`). Who also has an account that could not be looked
    at, or that several claim, is not `sure`.
    """
    accounts = known.usernames.select("school", "key")
    hidden = accounts.filter(pl.col("school").is_in(list(actual.unsure))) if actual.complete else accounts
    disputed = pl.DataFrame(list(actual.conflicts), schema=accounts.schema, orient="row")
    hidden = pl.concat([hidden, disputed]).join(told, on=["school", "key"], how="anti")
    login, interaction = (
        pl.col(f"last_{what}").dt.convert_time_zone(zone).dt.date() for what in ("login", "interaction")
    )
    never = pl.lit(None, pl.Date)
    rows = [
        told.select(person="key", login=login, used=pl.max_horizontal(login, interaction), sure=pl.lit(value=True)),
        hidden.select(person="key", login=never, used=never, sure=pl.lit(value=False)),
    ]
    people = pl.concat(rows).group_by("person").agg(pl.col("login", "used").max(), pl.col("sure").all())
    return people.with_columns(district=pl.lit(district)).match_to_schema(LOGINS_SCHEMA).sort("person")


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What all apps of a pool told last. `logins`: LOGINS_SCHEMA. `problem`: why that is not enough to go by."""

    logins: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LOGINS_SCHEMA))
    problem: str = "no LearningApp goes by the seats of this pool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """What follows from use, before seats are given. `noticed`: NOTICED_SCHEMA, sorted.

    `due`: STUDENT columns, who may lose the seat to somebody who waits. `yielding`: they, and whoever lost one so and
    has been inactive ever since; as `homeroom.seats.assignment.assign` takes it.
    """

    noticed: pl.DataFrame
    due: pl.DataFrame = field(default_factory=NOBODY.clone)
    yielding: pl.DataFrame = field(default_factory=NOBODY.clone)


def unused(
    before: Seating,
    seats: pl.DataFrame,
    activity: Activity,
    *,
    pool: LicensePoolSpec | None,
    today: date,
    doubtful: bool,
) -> Unused:
    """Who does not use one of the `seats` (SEATS_SCHEMA), and who of them may lose it today.

    Without a `pool`, and where use is not known, all is as it was, and nobody loses anything. Where the clock is in
    doubt (`doubtful`), every notice begins anew as well.
    """
    if doubtful:
        return Unused(noticed=before.noticed.with_columns(noticed=pl.lit(today, pl.Date)))
    if pool is None or activity.problem:
        return Unused(noticed=before.noticed)
    since, reclaims = active_since(today, pool.inactive_after), pool.reclaim is Reclaim.RECLAIM
    most = -(-pool.seats * int(pool.reclaim_at_most.removesuffix("%")) // 100)
    found = idle(
        seats,
        activity.logins,
        before.noticed,
        since=since,
        today=today,
        notice=pool.reclaim_notice.timedelta,
        most=max(0, most - before.reclaimed.filter(pl.col("reclaimed") >= today).height) if reclaims else 0,
    )
    former = unused_since(before.reclaimed, activity.logins, since=since) if reclaims else NOBODY
    return Unused(noticed=found.noticed, due=found.due, yielding=pl.concat([found.due, former]))


def remembered(
    found: Unused,
    reclaimed: pl.DataFrame,
    *,
    seats: pl.DataFrame,
    demand: pl.DataFrame,
    unsure: Collection[str],
    today: date,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Who is told to be idle, and who has lost a seat for it: NOTICED_SCHEMA, RECLAIMED_SCHEMA, sorted.

    `reclaimed`: the latter as it was; whoever has a seat again, or wants none any more, is no longer in it. `seats`:
    as they are given now; `demand`: who wants one, as far as districts are not `unsure`.
    """
    lost = found.due.with_columns(reclaimed=pl.lit(today, pl.Date))
    rows = pl.concat([reclaimed.join(lost, on=STUDENT, how="anti"), lost]).join(seats, on=STUDENT, how="anti")
    unknown = rows.filter(pl.col("district").is_in(list(unsure)))
    known = rows.filter(~pl.col("district").is_in(list(unsure))).join(demand, on=STUDENT, how="semi")
    noticed = found.noticed.join(seats, on=STUDENT, how="semi").sort(STUDENT)
    return noticed.match_to_schema(NOTICED_SCHEMA), pl.concat([unknown, known]).match_to_schema(RECLAIMED_SCHEMA).sort(
        STUDENT
    )


def use_of(
    seats: pl.DataFrame, noticed: pl.DataFrame, activity: Activity, *, pool: LicensePoolSpec, today: date
) -> pl.DataFrame:
    """[licence, used, active, unknown, idle], sorted: per licence with holders, how its seats are used."""
    since = active_since(today, pool.inactive_after)
    of_licence = seats.join(noticed, on=STUDENT, how="semi").group_by("licence").agg(idle=pl.len())
    found = usage_of_licences(seats, activity.logins, since=since)
    return found.join(of_licence, on="licence", how="left").with_columns(pl.col("idle").fill_null(0)).sort("licence")

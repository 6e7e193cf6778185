"""Who uses the seats: active students per licence and per teacher, and which seats are idle and may be reclaimed.

Active is who has used an account since a day (`active_since`). When accounts were used, the target says. Whom it does
not know is unknown, which is neither active nor inactive. For `idle` no known use is none; but a seat is idle only when
it was held since before that day, so that nobody is idle on the first one.

::

    seats, activity --> `idle` --> noticed, and after the notice due --> `homeroom.seats.assignment.assign(idle=...)`

An idle seat is only ever given to somebody who waits for it: `assign` leaves it where nobody does. Without fresh
activity, or after the clock jumped, nothing is idle: callers do not ask then, and keep `noticed` as it is. In words for
people: docs/seats.md.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import polars as pl

from homeroom.api.common import Duration, DurationUnit
from homeroom.seats.assignment import STUDENT

LOGINS_SCHEMA: Final = pl.Schema({"district": pl.String, "person": pl.String, "login": pl.Date, "used": pl.Date})
"""Accounts, students' and teachers', of any target; a person may come several times. `login`: the last one. `used`: the
later of that and the last interaction. Null is never. Who is not here is not known about."""
TAUGHT_SCHEMA: Final = pl.Schema(
    {"licence": pl.String, "district": pl.String, "teacher": pl.String, "student": pl.String}
)
"""Connected teachers and their students, each pair once."""
NOTICED_SCHEMA: Final = pl.Schema({"district": pl.String, "student": pl.String, "noticed": pl.Date})
"""Students whose seat is idle, and the first day on which that was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Seats that nobody uses. `noticed`: NOTICED_SCHEMA, all of them, sorted. `due`: STUDENT columns, who may lose one.

    The longest unused are due first.
    """

    noticed: pl.DataFrame
    due: pl.DataFrame


def active_since(today: date, inactive_after: Duration) -> date:
    """The first day of which a login counts as activity (R24). Three months before 31 May is the last of February."""
    if inactive_after.unit is not DurationUnit.MONTHS:
        return today - inactive_after.timedelta
    years, month = divmod(today.month - 1 - inactive_after.amount, 12)
    year = today.year + years
    return date(year, month + 1, min(today.day, calendar.monthrange(year, month + 1)[1]))


def usage_of_licences(seats: pl.DataFrame, logins: pl.DataFrame, *, since: date) -> pl.DataFrame:
    """[licence, used, active, unknown], sorted: seats held, and by how many active students (R3, R25).

    `unknown`: held by students who are not known about. `seats`: as of `homeroom.seats.assignment.assign`. `logins`:
    LOGINS_SCHEMA. `since`: see `active_since`.
    """
    return (
        seats.join(_last(logins, "student"), on=STUDENT, how="left")
        .group_by("licence")
        .agg(used=pl.len(), active=(pl.col("used") >= since).sum(), unknown=pl.col("known").is_null().sum())
        .sort("licence")
    )


def usage_of_teachers(taught: pl.DataFrame, seats: pl.DataFrame, logins: pl.DataFrame, *, since: date) -> pl.DataFrame:
    """[licence, district, teacher, known, login, students, active, unknown], sorted: one row per connected teacher.

    `login`: the last one (R22), null is never if the teacher is `known`. `students`, `active`, `unknown`: own students
    who hold a seat, those of them who are active (R23), and who are not known about; a student counts for every
    teacher, so sums are no count of students.
    `taught`: TAUGHT_SCHEMA; a null `student` is none. The others: as in `usage_of_licences`. Personal data: never into
    the Kubernetes API.
    """
    held = seats.select(*STUDENT, seated=pl.lit(value=True)).join(_last(logins, "student"), on=STUDENT, how="left")
    return (
        taught.join(held, on=STUDENT, how="left")
        .group_by("licence", "district", "teacher")
        .agg(
            students=pl.col("seated").count(),
            active=(pl.col("used") >= since).sum(),
            unknown=(pl.col("seated") & pl.col("known").is_null()).sum(),
        )
        .join(_last(logins, "teacher"), on=["district", "teacher"], how="left")
        .with_columns(pl.col("known").is_not_null())
        .select("licence", "district", "teacher", "known", "login", "students", "active", "unknown")
        .sort("licence", "district", "teacher")
    )


def idle(
    seats: pl.DataFrame,
    logins: pl.DataFrame,
    noticed: pl.DataFrame,
    *,
    since: date,
    today: date,
    notice: timedelta,
    most: int,
) -> Idle:
    """Seats held and not used since before `since`; those noticed for `notice` are due, at most `most` of them.

    `noticed`: NOTICED_SCHEMA of last time; who comes back is struck from it, and has the whole notice again next time.
    A seat that nobody wants any more (`left`) is not idle: it ends by itself.
    """
    unused = (
        seats.filter(pl.col("left").is_null())
        .join(_last(logins, "student"), on=STUDENT, how="left")
        .select(*STUDENT, last=pl.max_horizontal("since", "used"))
        .filter(pl.col("last") < since)
        .join(noticed, on=STUDENT, how="left")
        .with_columns(pl.col("noticed").fill_null(today))
    )
    due = unused.filter(pl.col("noticed") + notice <= today).sort("last", *STUDENT).head(most)
    return Idle(noticed=unused.select(NOTICED_SCHEMA.names()).sort(STUDENT), due=due.select(STUDENT).sort(STUDENT))


def _last(logins: pl.DataFrame, person: str) -> pl.DataFrame:
    """[district, `person`, login, used, known]: the latest of each; `known` is true."""
    return logins.group_by("district", pl.col("person").alias(person)).agg(
        pl.col("login", "used").max(), known=pl.lit(value=True)
    )

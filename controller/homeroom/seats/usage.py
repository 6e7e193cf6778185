"""Who uses the seats: active students per licence and per teacher, and which seats are idle and may be reclaimed.

Active is who has used an account since a day (`active_since`). When accounts were used, the target says. Whom it does
not know is unknown, which is neither active nor inactive nor idle. A seat is idle only when it was held since before
that day, so that nobody is idle on the first one.

::

    seats, activity --> `idle` --> noticed, and after the notice due --> `homeroom.seats.assignment.assign(idle=...)`

An idle seat is only ever given to somebody who waits for it: `assign` leaves it where nobody does. Without fresh
activity, or after the clock jumped, nothing is idle: callers do not ask then. In words for people: docs/seats.md.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import polars as pl

from homeroom.api.common import Duration, DurationUnit
from homeroom.seats.assignment import STUDENT

LOGINS_SCHEMA: Final = pl.Schema(
    {"district": pl.String, "person": pl.String, "login": pl.Date, "used": pl.Date, "sure": pl.Boolean}
)
"""Students and teachers, of any target; a person may come several times. `login`: the last one. `used`: the later of
that and the last interaction. Null is never. `sure`: all accounts of the person there could be looked at; otherwise use
is known, and that there was none is not. Who is not here is not known about."""
TAUGHT_SCHEMA: Final = pl.Schema(
    {"licence": pl.String, "district": pl.String, "teacher": pl.String, "student": pl.String}
)
"""Connected teachers and their students, each pair once."""
NOTICED_SCHEMA: Final = pl.Schema({"district": pl.String, "student": pl.String, "noticed": pl.Date})
"""Students whose seat is idle, and the first day on which that was told."""


RECLAIMED_SCHEMA: Final = pl.Schema({"district": pl.String, "student": pl.String, "reclaimed": pl.Date})
"""Students who have no seat because they did not use theirs, and the day on which somebody else got it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Seats that nobody uses. `noticed`: NOTICED_SCHEMA, sorted. `due`: STUDENT columns, sorted: who may lose one.

    The longest unused are due first. Who was `noticed` and is not known about now stays so, and is not due.
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
        seats.join(_last(logins, "student", since=since), on=STUDENT, how="left")
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
    students, teachers = (_last(logins, person, since=since) for person in ("student", "teacher"))
    held = seats.select(*STUDENT, seated=pl.lit(value=True)).join(students, on=STUDENT, how="left")
    return (
        taught.join(held, on=STUDENT, how="left")
        .group_by("licence", "district", "teacher")
        .agg(
            students=pl.col("seated").count(),
            active=(pl.col("used") >= since).sum(),
            unknown=(pl.col("seated") & pl.col("known").is_null()).sum(),
        )
        .join(teachers, on=["district", "teacher"], how="left")
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
    A seat that nobody wants any more (`left`) is not idle: it ends by itself. Nor is that of somebody unknown.
    """
    held = (
        seats.filter(pl.col("left").is_null())
        .join(_last(logins, "student", since=since), on=STUDENT, how="left")
        .join(noticed, on=STUDENT, how="left")
        .select(*STUDENT, "noticed", "known", last=pl.max_horizontal("since", "used"))
    )
    unused = held.filter(pl.col("known") & (pl.col("last") < since)).with_columns(pl.col("noticed").fill_null(today))
    unknown = held.filter(pl.col("known").is_null() & pl.col("noticed").is_not_null())
    due = unused.filter(pl.col("noticed") + notice <= today).sort("last", *STUDENT).head(most)
    told = pl.concat([frame.select(NOTICED_SCHEMA.names()) for frame in (unused, unknown)])
    return Idle(noticed=told.sort(STUDENT), due=due.select(STUDENT).sort(STUDENT))


def unused_since(who: pl.DataFrame, logins: pl.DataFrame, *, since: date) -> pl.DataFrame:
    """Those of `who` (STUDENT columns) who have not been active since, as far as is known."""
    active = _last(logins, "student", since=since).filter(pl.col("used") >= since)
    return who.join(active, on=STUDENT, how="anti").select(STUDENT)


def _last(logins: pl.DataFrame, person: str, *, since: date) -> pl.DataFrame:
    """[district, `person`, login, used, known]: the latest of each who is known about; `known` is true."""
    people = logins.group_by("district", pl.col("person").alias(person)).agg(
        pl.col("login", "used").max(), pl.col("sure").all(), known=pl.lit(value=True)
    )
    return people.filter(pl.col("sure") | (pl.col("used") >= since)).drop("sure")

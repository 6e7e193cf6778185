"""Which students hold a seat: who wants one by which licence, who holds one, what was granted -> who holds one now.

::

    enrolments + connected teachers --> `students_of` --> demand --+
    seats held so far ---------------------------------------------+--> `assign` --> seats, waiting, counts per licence
    grants (`homeroom.seats.arbiter`) -----------------------------+

One seat per student and pool, however many licences want one for them. Everybody is placed at once, on what is wanted
now, as pupils are placed in schools (deferred acceptance): each student asks one licence after the other; a licence
takes who already holds its seats, then who holds a seat elsewhere in the pool, then newcomers, each by source id, and
refuses who is beyond its grant. So two full schools can swap students, nobody waits beside a free seat, and the result
given back changes nothing.

Nobody who holds a seat and uses it loses it to somebody else. A seat ends when nobody has wanted it for `grace`. What
is not known stands still: licences that are not `open` and districts that are `unsure` keep their holders and take
nobody. Revoking is therefore never a licence that is missing here: the caller takes the seats of a revoked licence, or
of somebody who is denied, out of `seats` itself.

Columns throughout: a million students, no loop over people. In words for people: docs/seats.md.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import polars as pl

_ROW: Final = pl.UInt32

STUDENT: Final = ("district", "student")
"""Who a student is: the district (namespace and name) and the source id. "u-17" of two districts are two people."""
LICENCES_SCHEMA: Final = pl.Schema({"licence": pl.String, "grant": pl.Int64, "open": pl.Boolean})
"""Licences of the pool, each once; `open`: free seats may be given (`Grant.open`)."""
DEMAND_SCHEMA: Final = pl.Schema({"district": pl.String, "student": pl.String, "licence": pl.String})
"""Students and the licences by which they would have a seat."""
SEATS_SCHEMA: Final = pl.Schema([*DEMAND_SCHEMA.items(), ("since", pl.Date), ("left", pl.Date)])
"""Students who hold a seat, each once, and by which licence. `since`: first day with a seat of the pool, also when it
moved. `left`: first day on which that licence did not want it any more, else null."""
COUNTS_SCHEMA: Final = pl.Schema({"licence": pl.String, "used": pl.UInt32, "demand": pl.UInt32, "waiting": pl.UInt32})
"""Per licence: seats held, students who want one by it, and those of them who have none in the whole pool."""

_HOLDER, _MOVER, _NEWCOMER, _IDLE, _FORMER = range(5)  # the order in which a licence takes students
NOBODY: Final = pl.DataFrame(schema=dict.fromkeys(STUDENT, pl.String))
"""No student."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Who holds a seat and who waits for one.

    `seats`: SEATS_SCHEMA, sorted by student. `waiting`: DEMAND_SCHEMA of students without any seat, sorted by student
    and licence. `counts`: COUNTS_SCHEMA, sorted; of every licence that was given, is held or is wanted.
    """

    seats: pl.DataFrame
    waiting: pl.DataFrame
    counts: pl.DataFrame


def teachers_of(enrolled: pl.DataFrame, *, school: pl.Series, licences: pl.Series) -> pl.DataFrame:
    """[licence, user]: whom `access: Automatic` connects, every teacher of a section of the licence's school.

    `enrolled` [class, user, coach]: who is in running classes. `school`: per class, the row of its school. `licences`:
    per licence with such access the row of its school; null for all others.
    """
    wanted = licences.alias("school").to_frame().with_row_index("licence").drop_nulls()
    coaches = enrolled.filter("coach")
    places = pl.DataFrame({"school": school[coaches["class"]], "user": coaches["user"]}).unique()
    return places.join(wanted, on="school").select("licence", "user").sort("licence", "user")


def students_of(
    enrolled: pl.DataFrame, connected: pl.DataFrame, *, school: pl.Series, licences: pl.Series
) -> pl.DataFrame:
    """[licence, user], distinct and sorted: students who learn in a section that a connected teacher teaches.

    `enrolled` [class, user, coach]: who is in running classes. `connected` [licence, user]: teachers, `licence` is a
    row of `licences`. `school`: per class, the row of its school. `licences`: per licence the row of its school, whose
    sections alone count: a teacher of two schools brings no students of the other one. Null: all their sections.
    """
    taught = _taught(enrolled, connected, school=school, licences=licences).select("class", "licence").unique()
    found = _learners(enrolled).lazy().join(taught.lazy(), on="class").select("licence", "user").unique()
    return found.sort("licence", "user").collect()


def pairs_of(
    enrolled: pl.DataFrame, connected: pl.DataFrame, *, school: pl.Series, licences: pl.Series
) -> pl.DataFrame:
    """[licence, teacher, user], distinct and sorted: connected teachers and their own students; as `students_of`.

    A connected teacher without students has one row, whose `user` is null.
    """
    taught = _taught(enrolled, connected, school=school, licences=licences).rename({"user": "teacher"})
    found = _learners(enrolled).lazy().join(taught.lazy(), on="class").select("licence", "teacher", "user").unique()
    everybody = connected.lazy().select("licence", teacher="user")
    return everybody.join(found, on=["licence", "teacher"], how="left").sort("licence", "teacher", "user").collect()


def _taught(enrolled: pl.DataFrame, connected: pl.DataFrame, *, school: pl.Series, licences: pl.Series) -> pl.DataFrame:
    """[class, user, licence]: sections that connected teachers teach, of the licence's school where that is known."""
    taught = enrolled.filter("coach").select("class", "user").join(connected, on="user")
    place = licences[taught["licence"]]
    return taught.filter(place.is_null() | (place == school[taught["class"]]))


def _learners(enrolled: pl.DataFrame) -> pl.DataFrame:
    """[class, user]: who learns in a section and does not teach in it."""
    coaches, learners = enrolled.filter("coach"), enrolled.filter(~pl.col("coach"))
    # Who teaches and learns in one class is its teacher; only who teaches anything has to be looked at.
    teaches = learners["user"].is_in(coaches["user"].unique().implode())
    return pl.concat(
        [
            learners.filter(~teaches).select("class", "user"),
            learners.filter(teaches).join(coaches, on=["class", "user"], how="anti").select("class", "user"),
        ]
    )


def assign(
    licences: pl.DataFrame,
    demand: pl.DataFrame,
    seats: pl.DataFrame,
    *,
    today: date,
    grace: timedelta | None,
    unsure: Collection[str] = (),
    idle: pl.DataFrame = NOBODY,
) -> Assignment:
    """Give the seats of one pool to students.

    `licences`: LICENCES_SCHEMA; one that is missing there is not open. `demand`: DEMAND_SCHEMA. `seats`: SEATS_SCHEMA,
    what was held so far. `grace`: how long a seat is kept that nobody wants; None: for ever, as after a clock that
    jumped. `unsure`: districts whose demand is not known now. `idle`: STUDENT columns; whose seat may be reclaimed
    (`homeroom.seats.usage`): they keep it as long as nobody else wants it. Those of them who hold none come last, so
    that who lost one in this way takes it from nobody who is as idle.
    """
    places = _places(licences, demand, seats)
    people = pl.concat([demand.select(STUDENT), seats.select(STUDENT)]).unique().sort(STUDENT)
    wants = _numbered(demand, people, places).unique().sort("person", "place")
    held = _numbered(seats, people, places)

    sure = ~people["district"].is_in(list(unsure))
    home = _scattered(people.height, held["person"], held["place"])
    own = (wants["place"] == home[wants["person"]]).fill_null(value=False)
    offered = sure[wants["person"]] & places["open"][wants["place"]]
    wanted_here = _marks(people.height, wants["person"].filter(own))
    wanted_elsewhere = _marks(people.height, wants["person"].filter(offered & ~own))

    person, unused = held["person"], _numbers(idle, people)
    held = held.with_columns(
        sure=sure[person],
        open=places["open"][held["place"]],
        here=wanted_here[person],
        elsewhere=wanted_elsewhere[person],
        idle=_marks(people.height, unused)[person],
    )
    stays = pl.col("open") & pl.col("here")
    judged = pl.col("sure") & pl.col("open")  # elsewhere nobody can tell who left, so no day is counted
    first_missed = pl.col("left").fill_null(today)
    over = pl.lit(value=False) if grace is None else first_missed + grace <= today
    held = held.select(
        "person",
        "place",
        "since",
        left=pl.when(judged & stays).then(None).when(judged).then(first_missed).otherwise("left"),
        yields=pl.col("sure") & stays & pl.col("idle"),
        moves=pl.col("sure") & ~stays & pl.col("elsewhere"),
        keeps=~judged | stays | ~over,
    )
    # Most holders are settled before anybody is asked; only movers, idle ones and newcomers have to compete.
    asking = held["moves"] | held["yields"]
    fixed = held.filter("keeps", ~asking)
    settled = _marks(people.height, held["person"].filter(~asking))  # also whose seat has ended: nobody wants it

    rank = pl.repeat(_NEWCOMER, people.height, dtype=pl.UInt8, eager=True)
    rank = rank.scatter(unused, _FORMER)
    rank = rank.scatter(held["person"].filter(held["moves"]), _MOVER)
    rank = rank.scatter(held["person"].filter(held["yields"]), _IDLE)
    who = wants["person"]
    moving = held.filter("moves", "keeps")
    asks = pl.concat(
        [
            wants.select("person", "place", rank=rank[who], turn=own.not_().cast(pl.UInt8)).filter(
                offered & ~settled[who]
            ),
            # The way back, which is never refused.
            moving.select("person", "place", rank=pl.lit(_HOLDER, dtype=pl.UInt8), turn=pl.lit(2, dtype=pl.UInt8)),
        ]
    ).sort("person", "turn", "place")
    room = places["grant"] - _counted(places.height, fixed["place"])
    given = asks[_taken(asks, room)]

    since = _scattered(people.height, held["person"], held["since"])
    left = _scattered(people.height, moving["person"], moving["left"])
    given = given.select(
        "person",
        "place",
        since=since[given["person"]].fill_null(today),
        left=pl.when(pl.col("rank") == _HOLDER).then(left[given["person"]]),
    )
    found = pl.concat([fixed.select(given.columns), given]).sort("person")
    waiting = wants.filter(~_marks(people.height, found["person"])[who])
    counts = {"used": found, "demand": wants, "waiting": waiting}
    return Assignment(
        seats=_named(found, people, places).select(SEATS_SCHEMA.names()),
        waiting=_named(waiting, people, places).select(DEMAND_SCHEMA.names()),
        counts=places.select("licence")
        .with_columns(_counted(places.height, rows["place"]).alias(name) for name, rows in counts.items())
        .filter(pl.col("licence").is_in(licences["licence"].implode()) | (pl.col("used") + pl.col("demand") > 0)),
    )


def _taken(asks: pl.DataFrame, room: pl.Series) -> pl.Series:
    """Rows of `asks` ([person, place, rank], a person's in the order of asking) that are granted, one per person.

    `room`: per place, how many beside those who are settled there. A holder is always taken back. In each round the
    refused ask the next one, and only where somebody new asks it is chosen anew.
    """
    n = asks.height
    row = pl.int_range(n, dtype=_ROW, eager=True)
    person, place, holder = asks["person"], asks["place"], asks["rank"] == _HOLDER
    first = (person != person.shift(1)).fill_null(value=True)
    order = _scattered(n, asks.with_columns(row.alias("row")).sort("place", "rank", "person")["row"], row)
    taken, asking = row.clear(), row.filter(first)
    while asking.len():
        touched = _marks(room.len(), place[asking])[place[taken]]
        rivals = pl.concat([taken.filter(touched), asking])
        rivals = rivals[order[rivals].arg_sort()]
        at = place[rivals]
        begins = (at != at.shift(1)).fill_null(value=True)
        position = pl.int_range(rivals.len(), dtype=pl.Int64, eager=True)
        before = (
            position - position.zip_with(begins, position.clear().extend_constant(None, rivals.len())).forward_fill()
        )
        fits = (before < room[at]) | holder[rivals]
        taken = pl.concat([taken.filter(~touched), rivals.filter(fits)])
        following = rivals.filter(~fits) + 1
        following = following.filter(following < n)
        asking = following.filter(~first[following])
    return taken


def _places(licences: pl.DataFrame, demand: pl.DataFrame, seats: pl.DataFrame) -> pl.DataFrame:
    """[licence, grant, open] of all that are named anywhere, sorted."""
    named = pl.concat([frame.select("licence") for frame in (licences, demand, seats)]).unique()
    return (
        named.join(licences, on="licence", how="left")
        .sort("licence")
        .with_columns(pl.col("grant").fill_null(0), pl.col("open").fill_null(value=False))
    )


def _numbered(rows: pl.DataFrame, people: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """`rows` with `person` and `place`, row numbers of `people` and `places`, instead of what names them."""
    return (
        rows.lazy()
        .join(people.lazy().with_row_index("person"), on=STUDENT)
        .join(places.lazy().select("licence").with_row_index("place"), on="licence")
        .select("person", "place", pl.exclude("person", "place", "licence", *STUDENT))
        .collect()
    )


def _numbers(rows: pl.DataFrame, people: pl.DataFrame) -> pl.Series:
    """Row numbers of `people` for those of `rows` who are among them."""
    return people.with_row_index("person").join(rows, on=STUDENT, how="semi")["person"]


def _named(rows: pl.DataFrame, people: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """The other way round."""
    return rows.select(
        *(people[column][rows["person"]].alias(column) for column in STUDENT),
        places["licence"][rows["place"]],
        pl.exclude("person", "place"),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Row numbers


def _marks(n: int, rows: pl.Series) -> pl.Series:
    """`n` booleans, true at `rows`."""
    return pl.Series([False]).new_from_index(0, n).scatter(rows, values=True)


def _scattered(n: int, rows: pl.Series, values: pl.Series) -> pl.Series:
    """`n` values, those at `rows` as given, else null."""
    return pl.Series([None], dtype=values.dtype).new_from_index(0, n).scatter(rows, values)


def _counted(n: int, rows: pl.Series) -> pl.Series:
    """How often each number below `n` is in `rows`."""
    found = rows.value_counts(name="times")
    return pl.Series([0], dtype=pl.UInt32).new_from_index(0, n).scatter(found[rows.name], found["times"])

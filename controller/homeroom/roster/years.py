r"""Which class a section is: the section in its school year, pinned when first seen (S13, safety row 15).

::

    reading --school years of its terms--+
    pins of before ----------------------+--> `pinned` --> the reading with classes in Homeroom's ids, pins from now on
    the district's day ------------------+

Records systems use the source id of a section again next August, with other students. They must not come into last
year's class, with its work. So a section is another class as soon as its terms lie wholly in a later school year; all
other edits of its terms leave it the class that it is. The first class of a section has its source id, a later one the
year behind that: `c1`, then `c1@2028`.

A section without terms is pinned by the day on which it is first seen, and becomes the next class when the next school
year has begun. Pins stay for ever: the id of a class is that of no other one, ever.

Pure and columnar. Neighbours: `recognition` (the same for people), `homeroom.reconcile.identification` (calls both),
`door` and `diff` (for which an end like this is a school year's).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final, Self

import polars as pl

from homeroom.roster.accept import REFERENCES, in_order
from homeroom.roster.tables import Roster, repeated

PINS: Final = pl.Schema({"section": pl.String, "year": pl.Int16, "class": pl.String, "current": pl.Boolean})
"""Which class a section (source id) is in a school year (the one in which it ends). `class`: Homeroom's id. `current`:
what the section was last. Sorted by section and year; no pair and no class twice."""
NO_PINS: Final = pl.DataFrame(schema=PINS)

MARK: Final = "@"
"""Between the section and the year in the id of a later class; OneRoster allows it in a source id."""
_LATER: Final = r"^(.*)@(\d{4})@*$"

_BEGINS: Final = 8
"""The month in which a school year begins, where the records have none."""
_LONGEST: Final = timedelta(days=400)
"""What lasts longer is no school year or part of one: a session for all times says nothing."""
_DEPTH: Final = 4
"""Grading periods are in terms, these in semesters, these in school years."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """A reading with classes in Homeroom's ids.

    `pins`: columns `PINS`, with what is new; the same object where nothing is. `ended`: ids of classes whose section is
    a later class now, and whose school year is over.
    """

    roster: Roster
    pins: pl.DataFrame
    ended: pl.Series


def known(pins: pl.DataFrame | None, served: Roster, *, today: date) -> pl.DataFrame:
    """`pins` as they were stored; where none were, by an older release, what is `served` has its first classes."""
    return pinned(served, NO_PINS, today=today).pins if pins is None else pins


def pinned(reading: Roster, pins: pl.DataFrame, *, today: date) -> Pinned:
    """Find the class of each section, or pin it. `pins`: columns `PINS`; `today`: the district's day.

    ====================================  ==========================================================================
    school years of the section's terms   the section is
    ====================================  ==========================================================================
    never seen before                     the class of the latest of them that has come, without terms of this year
    its year among them                   the class that it is
    all later                             the class of the next of them
    none                                  the class that it is; once a later year has begun, the class of that; never
                                          one of a year that is yet to come, into which only a wrong clock led
    earlier, or on both sides             a class that it was in one of them, else the class that it is
    ====================================  ==========================================================================
    """
    calendar = _Calendar.of(reading.sessions)
    coming, running = calendar.coming(today), calendar.running(today)
    was, year, ids = pl.col("was"), pl.col("year"), reading.classes["id"]
    current = pins.filter("current").select("section", "class", was="year")
    rows = ids.alias("section").to_frame().join(current, on="section", how="left", maintain_order="left")
    listed = _listed(reading)
    listed = listed.with_columns(was=rows["was"][listed["row"]])
    stays = _marked(listed.filter(year == was)["row"], ids.len())
    silent = ~_marked(listed["row"], ids.len())
    settled = stays | (silent & rows["was"].is_between(running, coming).fill_null(value=False))
    if settled.all():  # as on nearly all nights
        latest, found = pins, rows
    else:
        moving = rows.with_row_index("row").filter(~settled).select("row", "section", "was")
        years = _years_of(moving, listed.drop("was"), pins, coming=coming, running=running)
        latest = _latest(pins, years, among=ids)
        found = rows.select("section").join(latest.filter("current"), on="section", how="left", maintain_order="left")
    return Pinned(
        roster=_called(reading, found["class"]),
        pins=pins if latest.equals(pins) else latest,
        ended=_ended(latest, ids, coming=coming),
    )


def _years_of(
    moving: pl.DataFrame, listed: pl.DataFrame, pins: pl.DataFrame, *, coming: int, running: int
) -> pl.DataFrame:
    """[section, year] of sections that are not settled, by the table of `pinned`.

    `moving`: [row, section, was]; `listed`: [row, year].
    """
    was, year = pl.col("was"), pl.col("year")
    told = moving.join(listed, on="row").join(pins, on=["section", "year"], how="left")
    said = told.group_by("section").agg(
        earliest=year.min(),
        next=year.filter(year <= coming).max(),
        back=year.filter(pl.col("class").is_not_null() & (year < was)).max(),
    )
    come = pins.filter(year <= coming).group_by("section").agg(come=year.max())
    for known_of in (said, come):
        moving = moving.join(known_of, on="section", how="left", maintain_order="left")
    return moving.select(
        "section",
        year=pl.when(was.is_null())
        .then(pl.coalesce("next", "earliest", pl.lit(coming)))
        .when(pl.col("earliest").is_null())
        .then(pl.max_horizontal(pl.coalesce(pl.when(was > coming).then("come"), was), pl.lit(running)))
        .when(pl.col("earliest") > was)
        .then(pl.coalesce("next", "earliest"))
        .otherwise(pl.coalesce("back", "was"))
        .cast(PINS["year"]),
    )


def _latest(pins: pl.DataFrame, years: pl.DataFrame, *, among: pl.Series) -> pl.DataFrame:
    """`pins` once each section of `years` ([section, year]) is the class of its year; `among`: all sections there."""
    new = years.join(pins, on=["section", "year"], how="anti")
    is_first = ~new["section"].is_in(pins["section"].implode())
    later = pl.concat_str("section", pl.lit(MARK), "year")
    new = new.with_columns(pl.when(is_first).then("section").otherwise(later).alias("class"))
    # The records may have a section whose own id looks like that of another one's later class.
    taken = pl.col("class").is_in(pins["class"].implode())
    taken |= (pl.col("class") != pl.col("section")) & pl.col("class").is_in(among.implode())
    while new.select(taken.any()).item():
        new = new.with_columns(pl.when(taken).then(pl.col("class") + MARK).otherwise("class").alias("class"))
    now = pins.select("section").join(years, on="section", how="left", maintain_order="left")["year"]
    old = pins.with_columns(current=pl.when(now.is_null()).then("current").otherwise(pl.col("year") == now))
    new = new.with_columns(current=pl.lit(value=True)).select(PINS.names())
    return pl.concat([old, new]).sort("section", "year")


def _ended(pins: pl.DataFrame, sections: pl.Series, *, coming: int) -> pl.Series:
    """Ids of classes of these sections, which are later ones now, of years before `coming`."""
    past = pins.filter(~pl.col("current"), pl.col("year") < coming)
    if past.is_empty():
        return past["class"]
    now = pins.filter("current", pl.col("section").is_in(sections.implode())).select("section", now="year")
    return past.join(now, on="section").filter(pl.col("year") < pl.col("now"))["class"]


def _marked(rows: pl.Series, size: int) -> pl.Series:
    """Boolean of length `size`, true at `rows`."""
    return repeated(value=False, n=size, dtype=pl.Boolean).scatter(rows, values=True)


def superseded(classes: pl.Series, roster: Roster) -> pl.Series:
    """Which of these ids of classes `roster` lacks, while it has a later class of the same section."""
    gone = classes.drop_nulls().unique().sort()
    gone = gone.filter(~gone.is_in(roster.classes["id"].implode()))
    if gone.is_empty():
        return gone
    later = _parts(roster.classes["id"].filter(roster.classes["id"].str.contains(MARK, literal=True)))
    lost = _parts(gone)
    pairs = lost.join(later, on="section", suffix="_now").filter(pl.col("year") < pl.col("year_now"))
    return pairs["class"].unique().sort()


def _parts(classes: pl.Series) -> pl.DataFrame:
    """[class, section, year]: the parts of ids; the year is 0 where an id has none."""
    name = pl.col("class")
    return (
        classes.alias("class")
        .to_frame()
        .with_columns(
            section=name.str.extract(_LATER, 1).fill_null(name),
            year=name.str.extract(_LATER, 2).cast(pl.Int16).fill_null(0),
        )
    )


def _called(reading: Roster, ids: pl.Series) -> Roster:
    """The reading with these ids of classes, in canonical order."""
    classes = reading.classes
    if ids.equals(classes["id"]):
        return reading
    classes, enrollments = classes.with_columns(ids.alias("id")), reading.enrollments
    if not ids.is_sorted():
        order = ids.arg_sort()
        numbers = pl.int_range(order.len(), dtype=pl.UInt32, eager=True)
        rows = numbers[order.arg_sort()]
        classes = classes[order]
        enrollments = in_order(
            enrollments.with_columns(rows[enrollments["class"]].alias("class")), list(REFERENCES["enrollments"])
        )
    return replace(reading, classes=classes, enrollments=enrollments)


# ---------------------------------------------------------------------------------------------------------------------
# School years


def _years(sessions: pl.DataFrame) -> pl.Series:
    """The school year of each session (Int16), null: it says nothing of one.

    Its own; else that of what it is a part of; else that in which it begins, by `_BEGINS`.
    """
    endless = sessions.select((pl.col("end") - pl.col("begin") > _LONGEST).fill_null(value=False)).to_series()
    years = sessions.select(pl.when(~endless).then("school_year")).to_series()
    for _ in range(_DEPTH):
        if not years.has_nulls():
            return years
        years = years.fill_null(years[sessions["parent"]])
    begins = sessions.select(pl.when(~endless).then(_year_of(pl.col("begin")))).to_series()
    return years.fill_null(begins.cast(years.dtype))


def _year_of(day: pl.Expr) -> pl.Expr:
    return day.dt.year() + (day.dt.month() >= _BEGINS).cast(pl.Int32)


def _listed(reading: Roster) -> pl.DataFrame:
    """[row, year]: the school years of the terms of each class, distinct."""
    terms = (
        reading.classes.select("terms").with_row_index("row").explode("terms", empty_as_null=False, keep_nulls=False)
    )
    years = _years(reading.sessions)[terms["terms"]]
    return terms.select("row", years.alias("year")).drop_nulls().unique()


@dataclass(frozen=True, slots=True)
class _Calendar:
    """The school years of the records, ascending: year, first begin, last end (exclusive).

    Those before and after them are like the first and the last.
    """

    spans: tuple[tuple[int, date, date], ...]

    @classmethod
    def of(cls, sessions: pl.DataFrame) -> Self:
        """Where the records have none, one that begins with August of the year before."""
        dated = sessions.select("begin", "end", year=_years(sessions)).drop_nulls()
        spans = dated.group_by("year").agg(pl.col("begin").min(), pl.col("end").max()).sort("year")
        return cls(tuple(spans.iter_rows()) or ((2000, date(1999, _BEGINS, 1), date(2000, _BEGINS, 1)),))

    def coming(self, day: date) -> int:
        """The first year that is not over on this day."""
        year, _, end = next((span for span in self.spans if span[2] > day), self.spans[-1])
        while end <= day:
            year, end = year + 1, _moved(end, years=1)
        if year == self.spans[0][0]:
            while (before := _moved(end, years=-1)) > day:
                year, end = year - 1, before
        return year

    def running(self, day: date) -> int:
        """The year in which this day is; between two of them, the one before."""
        coming = self.coming(day)
        year, begin, _ = next((span for span in self.spans if span[0] >= coming), self.spans[-1])
        return coming if _moved(begin, years=coming - year) <= day else coming - 1


def _moved(day: date, *, years: int) -> date:
    """The same day so many years later; at the end of February the 28th."""
    return day.replace(year=day.year + years, day=min(day.day, 28) if day.month == 2 else day.day)

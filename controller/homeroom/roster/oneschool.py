"""One school out of a district's records: for whoever is shown something of a school, and nothing of the others. Pure.

Small, whatever the district: people who learn, teach or have a role there, and whom they name as agents or are named
by. Neighbours: `tables`; `homeroom.web.membership` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from homeroom.roster.tables import Roster, repeated


def of_school(tables: Mapping[str, pl.LazyFrame], school: str) -> Roster:
    """The records of the school with this source id. `tables`: all of `homeroom.roster.tables.SCHEMAS`.

    Organisations, terms and courses are those of the whole district, people have all the roles that they have anywhere,
    and the enrolments are those in classes of the school.
    """
    orgs = tables["orgs"].collect()
    below = (orgs["id"] == school).arg_true()
    while (more := (orgs["parent"].is_in(below.implode()) & ~_at(orgs.height, below)).arg_true()).len():
        below = pl.concat([below, more])
    here = orgs["id"].index_of(school)
    classes = _rows(tables["classes"], pl.col("school") == pl.lit(here, pl.UInt32))
    enrollments = tables["enrollments"].filter(pl.col("class").is_in(classes["at"].implode()))
    enrolled = enrollments.drop_nulls("user").collect()
    placed = tables["roles"].filter(pl.col("org").is_in(below.implode())).select("user").collect()["user"]
    first = pl.concat([enrolled["user"], placed]).drop_nulls().unique().implode()
    named = tables["agents"].filter(pl.col("user").is_in(first) | pl.col("agent").is_in(first)).collect()
    people = pl.concat([first.explode(), named["user"], named["agent"]]).drop_nulls().unique().sort()

    def number(column: str, among: pl.Series, frame: pl.DataFrame) -> pl.Series:
        return among.search_sorted(frame[column]).cast(pl.UInt32).alias(column)

    roles = tables["roles"].filter(pl.col("user").is_in(people.implode())).collect()
    return Roster(
        orgs=orgs,
        sessions=tables["sessions"].collect(),
        courses=tables["courses"].collect(),
        classes=classes.drop("at"),
        users=_rows(tables["users"], pl.col("at").is_in(people.implode())).drop("at"),
        agents=named.with_columns(number("user", people, named), number("agent", people, named)),
        roles=roles.with_columns(number("user", people, roles)),
        enrollments=enrolled.with_columns(number("class", classes["at"], enrolled), number("user", people, enrolled)),
    )


def _rows(table: pl.LazyFrame, wanted: pl.Expr) -> pl.DataFrame:
    """The wanted rows, with `at`: where they stand in the table."""
    return table.with_row_index("at").filter(wanted).collect()


def _at(height: int, rows: pl.Series) -> pl.Series:
    return repeated(value=False, n=height, dtype=pl.Boolean).scatter(rows, values=True)

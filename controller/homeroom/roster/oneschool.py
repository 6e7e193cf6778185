"""One school out of a district's records: for whoever is shown something of a school, and nothing of the others. Pure.

Small, whatever the district: people who learn, teach or have a role there, and whom they name as agents or are named
by. What an extra chat is about, which may be of several schools, is cut out likewise. Neighbours: `tables`;
`homeroom.web.membership` reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import polars as pl

from homeroom.roster.tables import Roster, repeated


def of_schools(
    tables: Mapping[str, pl.LazyFrame],
    schools: Collection[str],
    *,
    classes: Collection[str] = (),
    people: Collection[str] = (),
) -> Roster:
    """The records of these schools, of some further classes and of some further people (all by source id).

    `tables`: all of `homeroom.roster.tables.SCHEMAS`. Organisations, terms and courses are those of the whole district,
    people have all the roles that they have anywhere, and the enrolments are those in these classes, and of `people`.
    """
    orgs = tables["orgs"].collect()
    here = orgs["id"].is_in(list(schools)).arg_true()
    below = here
    while (more := (orgs["parent"].is_in(below.implode()) & ~_at(orgs.height, below)).arg_true()).len():
        below = pl.concat([below, more])
    whole = pl.col("school").is_in(here.implode()).fill_null(value=False) | pl.col("id").is_in(list(classes))
    asked = _rows(tables["classes"], whole)["at"]
    named = _rows(tables["users"], pl.col("id").is_in(list(people)))["at"]
    enrollments = tables["enrollments"].filter(
        pl.col("class").is_in(asked.implode()) | pl.col("user").is_in(named.implode())
    )
    enrolled = enrollments.drop_nulls("user").collect()
    placed = tables["roles"].filter(pl.col("org").is_in(below.implode())).select("user").collect()["user"]
    first = pl.concat([enrolled["user"], placed, named]).drop_nulls().unique().implode()
    agents = tables["agents"].filter(pl.col("user").is_in(first) | pl.col("agent").is_in(first)).collect()
    everybody = pl.concat([first.explode(), agents["user"], agents["agent"]]).drop_nulls().unique().sort()
    at = pl.concat([asked, enrolled["class"]]).drop_nulls().unique().sort()

    def number(column: str, among: pl.Series, frame: pl.DataFrame) -> pl.Series:
        rows = among.search_sorted(frame[column]).cast(pl.UInt32)
        return frame.select(pl.when(pl.col(column).is_not_null()).then(rows).alias(column)).to_series()

    roles = tables["roles"].filter(pl.col("user").is_in(everybody.implode())).collect()
    return Roster(
        orgs=orgs,
        sessions=tables["sessions"].collect(),
        courses=tables["courses"].collect(),
        classes=_rows(tables["classes"], pl.col("at").is_in(at.implode())).drop("at"),
        users=_rows(tables["users"], pl.col("at").is_in(everybody.implode())).drop("at"),
        agents=agents.with_columns(number("user", everybody, agents), number("agent", everybody, agents)),
        roles=roles.with_columns(number("user", everybody, roles)),
        enrollments=enrolled.with_columns(number("class", at, enrolled), number("user", everybody, enrolled)),
    )


def _rows(table: pl.LazyFrame, wanted: pl.Expr) -> pl.DataFrame:
    """The wanted rows, with `at`: where they stand in the table."""
    return table.with_row_index("at").filter(wanted).collect()


def _at(height: int, rows: pl.Series) -> pl.Series:
    return repeated(value=False, n=height, dtype=pl.Boolean).scatter(rows, values=True)

"""What a roster says that matters for chats: the bridge between two floors that do not know each other.

`homeroom.roster` has the tables and knows what a homeroom is and who learns where on one day; `homeroom.chats` wants
`Records`, and whose account is whose. Pure, as both are. How records systems fill what is read here: docs/chats.md.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Final

import polars as pl

from homeroom.api.district import HomeroomDefinition
from homeroom.chats.records import LINKS_SCHEMA, RECORDS_SCHEMAS, Records
from homeroom.roster.shared import SCHOOL_ADMINISTRATORS, View
from homeroom.roster.tables import FAMILY, Roster, SchoolRole
from homeroom.roster.years import superseded

PEDAGOGICAL: Final = (*SCHOOL_ADMINISTRATORS, SchoolRole.TEACHER, SchoolRole.AIDE, SchoolRole.COUNSELOR)
"""Roles in a school that lead into its staff room (R27), beside teaching a class there. A closed list: no extension,
whose meaning nobody knows, nobody who only sits in on examinations, and nobody of the district's administration."""

_FIELDS: Final = {"username": "username", "identifier": "identifier", "sourcedId": "id"}
_VARIABLE: Final = re.compile(rf"\{{({'|'.join(_FIELDS)})\}}")
_ROW: Final = pl.UInt32


def chat_records(roster: Roster, *, pins: pl.DataFrame, homeroom: HomeroomDefinition, today: date) -> Records:
    """The records of a district on its day `today`, for chats.

    `pins`: which class is of which school year (`homeroom.roster.years`). Who is barred in the records (`enabledUser`)
    is in none of it. Guardians are who names a student as agent, or is named by one, and has a role of `FAMILY` today.
    """
    view = View(roster=roster, homeroom=homeroom, today=today)
    barred = view.disabled
    enrolled = view.enrolled.filter(~barred.gather(view.enrolled["user"]))
    orgs = roster.orgs.with_row_index("org").filter(pl.col("type") == "school")
    school = _numbers(orgs["org"], size=roster.orgs.height)
    rows = view.running.arg_true().cast(_ROW)
    number = _numbers(rows, size=roster.classes.height)
    classes = roster.classes[rows]
    years = pins.select("class", "year").unique("class")
    titles = roster.courses["title"].gather(classes["course"])
    held = _held(view)
    held = held.with_columns(school=school.gather(held["org"])).filter(~barred.gather(held["person"]))
    students = _students(roster)
    members = enrolled.with_columns(number.gather(enrolled["class"]).alias("class")).drop_nulls("class")
    frames = {
        "schools": orgs.select("id", "name"),
        "people": pl.DataFrame({"id": roster.users["id"], "student": students}),
        "classes": classes.select(
            "id",
            school.gather(classes["school"]).alias("school"),
            classes.select("id").join(years, left_on="id", right_on="class", how="left", maintain_order="left")["year"],
            "title",
            titles.alias("course"),
            view.homerooms.certain.gather(rows).alias("homeroom"),
        ),
        "staff": held.drop_nulls("school")
        .group_by("school", "person")
        .agg(pl.col("head").any())
        .sort("school", "person"),
        "students": members.filter(~pl.col("coach")).select("class", person="user").unique(),
        "teachers": members.filter("coach").group_by("class", person="user").agg(lead=pl.col("primary").any()),
        "guardians": _guardians(view, students),
        "over": _over(view, pins),
    }
    return Records(
        **{
            name: frames[name].select(pl.col(column).cast(kind) for column, kind in schema.items())
            for name, schema in RECORDS_SCHEMAS.items()
        }
    )


def _held(view: View) -> pl.DataFrame:
    """[org, person, head] of everybody who works with children in a school, with repetitions."""
    role = pl.col("role")
    by_role = view.held.filter("placed", role.is_in(PEDAGOGICAL)).select(
        "org", person="user", head=role.is_in(SCHOOL_ADMINISTRATORS)
    )
    return pl.concat([by_role, view.coaches.select("org", person="user", head=pl.lit(value=False))])


def _guardians(view: View, students: pl.Series) -> pl.DataFrame:
    """[student, guardian], sorted, each pair once, whoever of the two names the other."""
    agents = view.roster.agents
    family = view.held.filter(pl.col("role").is_in(FAMILY))["user"].drop_nulls().unique()
    adults = pl.repeat(value=False, n=students.len(), dtype=pl.Boolean, eager=True).scatter(family, values=True)
    adults &= ~view.disabled
    both = pl.concat([agents.select(student="user", guardian="agent"), agents.select(student="agent", guardian="user")])
    both = both.filter(students.gather(both["student"]) & adults.gather(both["guardian"]))
    return both.unique().sort("student", "guardian")


def _students(roster: Roster) -> pl.Series:
    """Boolean per user: some record, current or not, calls them a student, or has a role that is unknown."""
    users = pl.int_range(roster.users.height, dtype=_ROW, eager=True)
    found = [
        rows["user"].filter((rows["role"] == "student").fill_null(value=True))
        for rows in (roster.roles, roster.enrollments)
    ]
    learners = pl.concat(found).drop_nulls().unique()
    return pl.repeat(value=False, n=users.len(), dtype=pl.Boolean, eager=True).scatter(learners, values=True)


def _over(view: View, pins: pl.DataFrame) -> pl.DataFrame:
    """[id, rolled]: classes that are over. One that has not begun is not, nor is one whose end is unknown."""
    roster, today = view.roster, view.today
    sessions = roster.sessions.select(
        over=(pl.col("end") <= today).fill_null(value=False),
        rolled=(pl.col("end").max().over("school_year") <= today).fill_null(value=False)
        & pl.col("school_year").is_not_null(),
    )
    terms = roster.classes.select("id", "terms").explode("terms", empty_as_null=True).drop_nulls("terms")
    ended = (
        pl.concat([terms.select("id"), sessions[terms["terms"]]], how="horizontal")
        .group_by("id")
        .agg(pl.col("over").all(), pl.col("rolled").all())
        .filter("over")
    )
    # A section that is the class of a later year now has left its earlier one behind, whatever dates it bears.
    past = superseded(pins["class"], roster).alias("id").to_frame().with_columns(rolled=pl.lit(value=True))
    return pl.concat([past, ended.select("id", "rolled")]).unique("id", keep="first", maintain_order=True).sort("id")


def links_from_user_ids(roster: Roster, *, type_: str) -> pl.DataFrame:
    """Accounts that the records name: ids of this type in `userIds`. Columns `LINKS_SCHEMA`, each pair once, sorted.

    Types are compared in any letter case. What an account may look like is for the platform to judge.
    """
    said = roster.users.select("id", "user_ids").explode("user_ids", empty_as_null=False, keep_nulls=False)
    parts = pl.col("user_ids").str.splitn(":", 2).struct
    mine = said.filter(parts[0].str.to_lowercase() == type_.strip().lower())
    return _links(mine.select(person="id", account=parts[1]))


def links_from_template(roster: Roster, *, template: str) -> pl.DataFrame:
    """Accounts that follow from a field of each record. Columns `LINKS_SCHEMA`, each pair once, sorted.

    `template`: text with `{username}`, `{identifier}` or `{sourcedId}`; who has no such value has no account.
    """
    texts = _VARIABLE.split(template)  # text, variable, text, ..., text
    account = pl.concat_str(pl.col(_FIELDS[part]) if at % 2 else pl.lit(part) for at, part in enumerate(texts))
    return _links(roster.users.select(person="id", account=account))


def _links(found: pl.DataFrame) -> pl.DataFrame:
    return found.drop_nulls().unique().sort("person", "account").cast(LINKS_SCHEMA)


def _numbers(rows: pl.Series, *, size: int) -> pl.Series:
    """For each of `size` rows its position among `rows`, or null."""
    positions = pl.int_range(rows.len(), dtype=_ROW, eager=True)
    return pl.repeat(None, size, dtype=_ROW, eager=True).scatter(rows, positions)

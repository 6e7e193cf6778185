"""One extra chat, declared by hand: the chat that there should be, and everybody with a reason to be in it. Pure.

`desired` makes the rest of it, as of all other chats: accounts, and that no student leads. Who is in it is named, or
is in a class or has a role in a school that is, or came by its link. Neighbours: `policy` (the rule), `records` (who
people are).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

import polars as pl

from homeroom.api.chat import Admitted, SchoolRole
from homeroom.api.chatpolicy import Leave, Part
from homeroom.chats.identity import chat_key, plain
from homeroom.chats.linking import JoinState
from homeroom.chats.policy import ExtraChat
from homeroom.chats.records import Links, Records
from homeroom.chats.state import ACTUAL_SCHEMAS, DESIRED_SCHEMAS, Actual
from homeroom.chats.words import Reason, State

NOWHERE: Final = ""
"""In place of a school: the chat is of none."""

REASONS: Final = pl.Schema({"person": pl.UInt32, "why": pl.UInt8, "leads": pl.Boolean})
"""`person`: row of the records' people; `why`: of `Reason`."""


def extra_key(scope: str) -> str:
    """The key of the chat of an owner who has one."""
    return chat_key(scope=scope, type="Extra", school=NOWHERE, section=None)


def extra_chat(extra: ExtraChat, *, scope: str) -> pl.DataFrame:
    """The chat: one row, columns of `DESIRED_SCHEMAS["chats"]`. It is of no type, school or year, and in no space."""
    name = pl.select(plain(pl.lit(extra.name))).item()
    row = {"key": extra_key(scope), "school": NOWHERE, "name": name or extra.name, "space": "", "space_name": ""}
    settings = {one.value: who.value for one, who in extra.settings.items().items()}
    return pl.DataFrame([{**row, **settings}], schema=DESIRED_SCHEMAS["chats"])


def extra_reasons(records: Records, extra: ExtraChat, *, joined: Collection[str] = ()) -> pl.DataFrame:
    """Every reason of every person: columns `REASONS`. `joined`: source ids of those who came by the link."""
    ids = records.people["id"]
    named = {False: extra.people, True: extra.administrators}
    parts = [_rows(ids.is_in(list(people)).arg_true(), Reason.NAMED, leads=leads) for leads, people in named.items()]
    classes = records.classes["id"].is_in(list(extra.classes))
    parts += [_of_classes(records, classes, part) for part in extra.parts]
    school_of = records.classes["school"]
    for role, school in extra.roles:
        schools = records.schools["id"] == school
        if role in {SchoolRole.HEADS, SchoolRole.STAFF}:
            staff = records.staff.filter(schools.gather(records.staff["school"]))
            heads = staff.filter("head")
            parts.append(_rows(heads["person"], Reason.HEAD) if role is SchoolRole.HEADS else _staff(staff))
        else:
            parts.append(_of_classes(records, schools.gather(school_of), Part(role.value)))
    parts.append(_rows(ids.is_in(admitted(records, extra, joined)).arg_true(), Reason.JOINED))
    return pl.concat([pl.DataFrame(schema=REASONS), *parts])


def admitted(records: Records, extra: ExtraChat, people: Collection[str]) -> Sequence[str]:
    """Those of some people (source ids) for whom the link is, sorted.

    Whom a record calls a student is a student whatever else they are, and is one only while in a class.
    """
    who = {
        Admitted.STAFF: [records.staff["person"], records.teachers["person"]],
        Admitted.PARENTS: [records.guardians["guardian"]],
        Admitted.STUDENTS: [records.students["person"]],
    }
    found = set[str]()
    for one in extra.admits:
        rows = pl.concat(who[one]).unique()
        some = records.people[rows].filter(pl.col("student") == (one is Admitted.STUDENTS))
        found |= {*some["id"]} & {*people}
    return sorted(found)


def came(
    joins: Mapping[str, JoinState], links: Links, there: Actual, *, leave: Leave
) -> tuple[Collection[str], Mapping[str, JoinState], Actual]:
    """Who came by the link and has not gone again: source ids; what a look at the chat changes of `joins`; and `there`.

    Whoever leaves the chat has taken it back, unless `leave` brings them back. Whoever left, and has come by the link
    anew since then, counts in `there` as somebody who was never in it, so that `leave` does not keep them out.
    """
    left = there.members.filter(pl.col("state") == State.LEFT_BY_CHOICE.value)["account"]
    gone = set(links.linked.filter(pl.col("account").is_in(left.implode()))["person"])
    gone = gone if leave is Leave.RESPECT else set()
    over = {one: JoinState.LEFT for one, state in joins.items() if state is JoinState.IN and one in gone}
    asked = [one for one, state in joins.items() if state is JoinState.ASKED]
    accounts = links.linked.filter(pl.col("person").is_in(asked))["account"]
    back = pl.col("account").is_in(accounts.implode()) & (pl.col("state") == State.LEFT_BY_CHOICE.value)
    members = there.members.filter(~back.fill_null(value=False) | pl.col("administrator"))
    members = members.with_columns(pl.when(back).then(None).otherwise("state").alias("state"))
    joined = [one for one, state in joins.items() if state in {JoinState.ASKED, JoinState.IN} and one not in over]
    return joined, over, replace(there, members=members.cast(ACTUAL_SCHEMAS["members"]))


def is_about(extra: ExtraChat, school: str, classes: pl.Series) -> bool:
    """Whether the chat's words name a school (source id), or one of its `classes` (ids)."""
    return any(named == school for _, named in extra.roles) or not extra.classes.isdisjoint(classes)


def strange(records: Records, extra: ExtraChat) -> Sequence[str]:
    """What is named and is not in the records, sorted: ids of people, of classes, and of schools."""
    classes = [records.classes["id"], records.over["id"]]
    named: list[tuple[Collection[str], list[pl.Series]]] = [
        ({*extra.people, *extra.administrators}, [records.people["id"]]),
        (extra.classes, classes),
        ({school for _, school in extra.roles}, [records.schools["id"]]),
    ]
    found = set[str]()
    for ids, known in named:
        wanted = pl.Series(sorted(ids), dtype=pl.String)
        found |= set(wanted.filter(~wanted.is_in(pl.concat(known).implode())))
    return sorted(found)


def students_among(records: Records, people: Collection[str]) -> Sequence[str]:
    """Those of some people (source ids) whom a record calls a student, sorted."""
    return records.people.filter("student", pl.col("id").is_in(list(people)))["id"].sort().to_list()


def _of_classes(records: Records, classes: pl.Series, part: Part) -> pl.DataFrame:
    """Columns `REASONS` of a part of the classes for which `classes` is true."""
    if part is Part.TEACHERS:
        rows = records.teachers
        return _rows(rows.filter(classes.gather(rows["class"]).fill_null(value=False))["person"], Reason.TEACHER)
    rows = records.students
    students = rows.filter(classes.gather(rows["class"]).fill_null(value=False))["person"]
    if part is Part.STUDENTS:
        return _rows(students, Reason.STUDENT)
    families = records.guardians.filter(pl.col("student").is_in(students.implode()))
    return _rows(families["guardian"], Reason.GUARDIAN)


def _staff(rows: pl.DataFrame) -> pl.DataFrame:
    return _rows(rows["person"], Reason.STAFF)


def _rows(people: pl.Series, why: Reason, *, leads: bool = False) -> pl.DataFrame:
    frame = people.alias("person").to_frame().with_columns(why=pl.lit(why.value), leads=pl.lit(leads))
    return frame.cast(REASONS)

"""Remote lessons, and their calls. Neighbour: `store`, which opens this.

::

    records, supplements --> `replace` --+                        +--> `waiting` --> the operator --> `note`
    teachers' pages --> `add`, `replace`-+--> lesson --> `press` -+--> `called` --> the chats that are wanted

A lesson is of a class by Homeroom's id, hence of one school year. Who may press is not asked here: the pages do that,
of the records. However many press at the same moment, a lesson has one call. What is told of it is told on each
platform by itself. Lessons and calls go `KEPT` after their end, when the next ones come. Two write here: the operator
under its Lease (`epoch`), and the pages, which lead nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl
import sqlalchemy as sa

from homeroom.chats.calls import CallState, LessonBy
from homeroom.chats.linking import Place
from homeroom.plan import MOMENT
from homeroom.store import schema
from homeroom.store.transactions import Leading, unled

KEPT: Final = timedelta(days=30)
"""So long lessons and calls are kept after their end."""
LATE: Final = timedelta(hours=1)
"""A call that could not be told so long after the end of its lesson is told to nobody any more."""

GIVEN_SCHEMA: Final = pl.Schema(
    {"key": pl.String(), "class": pl.String(), "begins": MOMENT, "ends": MOMENT, "title": pl.String()}
)
"""Lessons as one who knows them says them. `key`: theirs, the same again when the lesson is said again. `class`:
Homeroom's id of the class (as in the served records), not the section's."""

LESSONS_SCHEMA: Final = pl.Schema(
    {
        **dict.fromkeys(("id", "class"), pl.String()),
        **dict.fromkeys(("begins", "ends"), MOMENT),
        **dict.fromkeys(("title", "how", "feed", "person"), pl.String()),
        "noted_at": MOMENT,
    }
)
"""Lessons as they are kept. `id`: in the address of its page. `how`: `LessonBy`. `feed`: the supplement or calendar.
`person`: who added it (source id), null: the records, or somebody who was forgotten."""

_CHUNK: Final = 1000
_SAID: Final = ["class", "begins", "ends", "title"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call that somebody has pressed for, as it stands on one platform.

    `lesson`: its id. `class_id`: Homeroom's. `word`: unguessable, part of the call's address. `title`: the lesson's;
    empty when that is gone. `until`: when it is told to nobody any more. `chat`: the address of the chat, `url`: of
    the call; both once it is `Told`, and `url` only where the policy has a template. `hold`: the id of what an Approval
    is awaited for, while it is `Held`.
    """

    namespace: str
    district: str
    lesson: str
    class_id: str
    word: str
    title: str
    pressed_at: datetime
    until: datetime
    state: CallState = CallState.WAITING
    chat: str | None = None
    url: str | None = None
    hold: str | None = None


class Lessons:
    """The part of a store that is about lessons and calls."""

    def __init__(self, engine: sa.Engine, leading: Leading) -> None:
        self._engine = engine
        self._leading = leading

    # -- lessons ------------------------------------------------------------------------------------------------

    def replace(
        self,
        given: pl.DataFrame,
        *,
        namespace: str,
        district: str,
        by: LessonBy,
        feed: str,
        now: datetime,
        person: str | None = None,
        epoch: int | None = None,
    ) -> pl.DataFrame:
        """These are all lessons that a feed (of a person) says now: columns `GIVEN_SCHEMA` and any others.

        What is over by `now` is past: it is neither added nor changed nor taken out. Returns those rows of `given` that
        are new or changed, and writes nothing where nothing is. `epoch`: of who leads; None: the pages.
        """
        table = schema.lesson
        mine = [
            table.c.namespace == namespace,
            table.c.district == district,
            table.c.how == by.value,
            table.c.feed == feed,
            table.c.person == person,
            table.c.ends > schema.naive(now),
        ]
        said = given.unique("key", keep="first", maintain_order=True).filter(pl.col("ends") > now)
        ids = [_id(namespace, district, by.value, feed, person or "", key) for key in said["key"]]
        said = said.with_columns(pl.Series("id", ids, pl.String), *(pl.col(name).cast(MOMENT) for name in _TIMES))
        with self._engine.connect() as connection:
            if all(part.is_empty() for part in _news(_lessons(connection, mine), said)):
                return given.clear()
        with self._leading(epoch) if epoch is not None else unled(self._engine) as connection:
            # Once more: nobody else writes from now on.
            gone, fresh = _news(_lessons(connection, mine), said)
            _expire(connection, now)
            outdated = pl.concat([gone["id"], fresh["id"]]).to_list()
            here = (table.c.namespace == namespace, table.c.district == district)
            for start in range(0, len(outdated), _CHUNK):
                connection.execute(sa.delete(table).where(*here, table.c.id.in_(outdated[start : start + _CHUNK])))
            values = {"namespace": namespace, "district": district, "how": by.value, "feed": feed, "person": person}
            rows = fresh.select("id", *_SAID).with_columns(pl.col(_TIMES).dt.replace_time_zone(None))
            for some in rows.iter_slices(_CHUNK):
                noted = {**values, "noted_at": schema.naive(now)}
                connection.execute(sa.insert(table), [{**noted, **row} for row in some.to_dicts()])
        return fresh.select(given.columns)

    def add(
        self,
        *,
        namespace: str,
        district: str,
        class_id: str,
        begins: datetime,
        ends: datetime,
        title: str,
        person: str,
        now: datetime,
    ) -> str:
        """Somebody (source id) adds one lesson on the page; its id."""
        lesson = secrets.token_hex(16)
        values = {
            "namespace": namespace,
            "district": district,
            "id": lesson,
            "class": class_id,
            "begins": schema.naive(begins),
            "ends": schema.naive(ends),
            "title": title,
            "how": LessonBy.PAGE.value,
            "feed": "",
            "person": person,
            "noted_at": schema.naive(now),
        }
        with unled(self._engine) as connection:
            _expire(connection, now)
            connection.execute(sa.insert(schema.lesson).values(values))
        return lesson

    def remove(self, lesson: str, *, namespace: str, district: str, person: str) -> bool:
        """Take out a lesson that this person added, or imported; whether there was such."""
        table = schema.lesson
        mine = (table.c.namespace == namespace, table.c.district == district, table.c.id == lesson)
        with unled(self._engine) as connection:
            return connection.execute(sa.delete(table).where(*mine, table.c.person == person)).rowcount == 1

    def of_classes(
        self, classes: Collection[str], *, namespace: str, district: str, since: datetime, until: datetime
    ) -> pl.DataFrame:
        """Lessons of these classes that end after `since` and begin before `until`: LESSONS_SCHEMA, the next first."""
        table = schema.lesson
        where = [
            table.c.namespace == namespace,
            table.c.district == district,
            table.c["class"].in_(sorted(classes)),
            table.c.ends > schema.naive(since),
            table.c.begins < schema.naive(until),
        ]
        with self._engine.connect() as connection:
            return _lessons(connection, where)

    def lesson(self, lesson: str, *, namespace: str, district: str) -> pl.DataFrame:
        """One lesson by its id: LESSONS_SCHEMA, with one row or none."""
        table = schema.lesson
        where = [table.c.namespace == namespace, table.c.district == district, table.c.id == lesson]
        with self._engine.connect() as connection:
            return _lessons(connection, where)

    def taught(self, *, namespace: str, district: str) -> list[str]:
        """Classes (Homeroom's ids) of which a remote lesson is known, sorted."""
        return self._classes(schema.lesson, namespace, district)

    # -- calls --------------------------------------------------------------------------------------------------

    def press(
        self, lesson: str, *, namespace: str, district: str, person: str, word: str, now: datetime
    ) -> Call | None:
        """Somebody (source id) starts the call of a lesson: the one call that it has, whoever was first.

        `word`, of 64 characters at most, counts for the first one only. None: there is no such lesson (any more).
        Rights are not asked here.
        """
        table, lessons = schema.call, schema.lesson
        where = (lessons.c.namespace == namespace, lessons.c.district == district, lessons.c.id == lesson)
        begun = self.call(lesson, Place(namespace, "", district))
        if begun is not None:
            return begun
        with unled(self._engine) as connection:
            # Whoever comes at the same moment waits for us here, and then finds what we wrote.
            known = _calls(connection, "", (table.c.lesson == lesson, *_in(table, namespace, district)))
            if known:
                return known[0]
            row = connection.execute(
                sa.select(lessons.c["class"].label("of"), lessons.c.ends).where(*where)
            ).one_or_none()
            if row is None:
                return None
            _expire(connection, now)
            values = {
                "namespace": namespace,
                "district": district,
                "lesson": lesson,
                "class": row.of,
                "pressed_at": schema.naive(now),
                "person": person,
                "word": word,
                "until": row.ends + LATE,
            }
            connection.execute(sa.insert(table).values(values))
            return _calls(connection, "", (table.c.lesson == lesson, *_in(table, namespace, district)))[0]

    def call(self, lesson: str, place: Place) -> Call | None:
        """The call of a lesson, as it stands on the platform of `place`; None: nobody has pressed."""
        where = (schema.call.c.lesson == lesson, *_in(schema.call, place.namespace, place.district))
        with self._engine.connect() as connection:
            found = _calls(connection, place.platform, where)
        return found[0] if found else None

    def called(self, *, namespace: str, district: str) -> list[str]:
        """Classes (Homeroom's ids) for which somebody has pressed, sorted."""
        return self._classes(schema.call, namespace, district)

    def waiting(self, *, namespace: str, platform: str, now: datetime) -> list[Call]:
        """Calls of all districts that are not told on this platform yet, and may still be; the oldest first."""
        table, state = schema.call, schema.call_told.c.state
        open_ = sa.or_(state.is_(None), state != CallState.TOLD.value)
        with self._engine.connect() as connection:
            return _calls(
                connection, platform, (table.c.namespace == namespace, table.c.until > schema.naive(now), open_)
            )

    def note(
        self,
        call: Call,
        state: CallState,
        *,
        platform: str,
        now: datetime,
        epoch: int,
        chat: str | None = None,
        url: str | None = None,
        hold: str | None = None,
    ) -> None:
        """How far a call is on a platform now; writes only what is new. What was told stays told."""
        if (call.state, call.chat, call.url, call.hold) == (state, chat, url, hold) or call.state is CallState.TOLD:
            return
        table = schema.call_told
        of = {"namespace": call.namespace, "district": call.district, "lesson": call.lesson, "platform": platform}
        values = {"state": state.value, "chat": chat, "url": url, "hold": hold, "at": schema.naive(now)}
        with self._leading(epoch) as connection:
            connection.execute(sa.delete(table).where(*(table.c[name] == value for name, value in of.items())))
            connection.execute(sa.insert(table).values(**of, **values))

    # -- one person ---------------------------------------------------------------------------------------------

    def of_person(self, person: str, *, namespace: str, district: str) -> dict[str, list[dict[str, str]]]:
        """What is held of one person, as text: `lessons` that they added, and `calls` that they started."""
        told = {
            "lessons": (schema.lesson, ("class", "begins", "ends", "title", "how")),
            "calls": (schema.call, ("class", "pressed_at")),
        }
        found: dict[str, list[dict[str, str]]] = {}
        with self._engine.connect() as connection:
            for name, (table, columns) in told.items():
                query = sa.select(*(table.c[column] for column in columns)).where(
                    *_in(table, namespace, district), table.c.person == person
                )
                rows = connection.execute(query.order_by(table.c[columns[1]])).mappings()
                found[name] = [{key: str(value) for key, value in row.items()} for row in rows]
        return found

    # -----------------------------------------------------------------------------------------------------------

    def _classes(self, table: sa.Table, namespace: str, district: str) -> list[str]:
        query = sa.select(table.c["class"]).where(*_in(table, namespace, district)).distinct()
        with self._engine.connect() as connection:
            return sorted(connection.execute(query).scalars())


def forget_lessons(connection: sa.Connection, *, namespace: str, district: str, person: str) -> bool:
    """Lessons and calls stay for their class, and nobody knows any more who added or started them; whether any was."""
    found = 0
    for table in (schema.lesson, schema.call):
        mine = (*_in(table, namespace, district), table.c.person == person)
        found += connection.execute(sa.update(table).where(*mine).values(person=None)).rowcount
    return found > 0


def _news(before: pl.DataFrame, said: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Lessons that are said no more, and those that are new or changed."""
    return before.join(said, on="id", how="anti"), said.join(before, on=["id", *_SAID], how="anti", nulls_equal=True)


def _expire(connection: sa.Connection, now: datetime) -> None:
    """Lessons and calls that ended long ago go."""
    lesson, call, told = schema.lesson, schema.call, schema.call_told
    connection.execute(sa.delete(lesson).where(lesson.c.ends <= schema.naive(now - KEPT)))
    connection.execute(sa.delete(call).where(call.c.until <= schema.naive(now - KEPT)))
    same = [told.c[name] == call.c[name] for name in ("namespace", "district", "lesson")]
    connection.execute(sa.delete(told).where(~sa.exists().where(*same)))


def _lessons(connection: sa.Connection, where: Collection[sa.ColumnElement[bool]]) -> pl.DataFrame:
    table = schema.lesson
    query = sa.select(*(table.c[name] for name in LESSONS_SCHEMA)).where(*where).order_by(table.c.begins, table.c.id)
    types = {name: pl.Datetime("us") if kind == MOMENT else kind for name, kind in LESSONS_SCHEMA.items()}
    rows = [tuple(row) for row in connection.execute(query)]
    return pl.DataFrame(rows, schema=types, orient="row").with_columns(
        pl.col(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(MOMENT)
    )


def _calls(connection: sa.Connection, platform: str, where: Collection[sa.ColumnElement[bool]]) -> list[Call]:
    call, told, lesson = schema.call, schema.call_told, schema.lesson
    here = [told.c[name] == call.c[name] for name in ("namespace", "district", "lesson")]
    same = [lesson.c.namespace == call.c.namespace, lesson.c.district == call.c.district, lesson.c.id == call.c.lesson]
    query = (
        sa.select(
            call, call.c["class"].label("class_id"), lesson.c.title, told.c.state, told.c.chat, told.c.url, told.c.hold
        )
        .outerjoin(told, sa.and_(*here, told.c.platform == platform))
        .outerjoin(lesson, sa.and_(*same))
        .where(*where)
        .order_by(call.c.pressed_at, call.c.lesson)
    )
    return [_call(row) for row in connection.execute(query)]


def _call(row: sa.Row[Any]) -> Call:
    return Call(
        namespace=row.namespace,
        district=row.district,
        lesson=row.lesson,
        class_id=row.class_id,
        word=row.word,
        title=row.title or "",
        pressed_at=row.pressed_at.replace(tzinfo=UTC),
        until=row.until.replace(tzinfo=UTC),
        state=CallState(row.state) if row.state is not None else CallState.WAITING,
        chat=row.chat,
        url=row.url,
        hold=row.hold,
    )


def _id(*parts: str) -> str:
    """The id of a lesson that somebody else has a key for: the same again, and of the key nothing can be read."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _in(table: sa.Table, namespace: str, district: str) -> Collection[sa.ColumnElement[bool]]:
    return [table.c.namespace == namespace, table.c.district == district]


_TIMES: Final = ["begins", "ends"]

"""The pages of remote lessons and their calls, for people who have proven a linked chat account (`chats`).

::

    /lessons             what is taught at a distance in one's classes, or one's children's, in the next two weeks
    /lessons/new         a teacher adds one          /lessons/import   ... or a calendar file of them
    /lessons/remove      ... and takes it out again, or all that came with its calendar; asked again
    /lessons/LESSON      its call: the teacher starts it, the others see when it is there
    /lessons/start       the press

Who may see or do what is asked of the records of now, with every request. A lesson of somebody else's class is answered
like one that is not there. The press is one row of the store, however many there are; what comes of it is the
operator's. Neighbours: `classes` (who teaches what), `calendars` (files), `pages`, `homeroom.store.lessons`.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Any, Final
from zoneinfo import ZoneInfo

import polars as pl
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from homeroom.chats.calls import HORIZON, LONGEST, CallState, LessonBy
from homeroom.chats.identity import plain
from homeroom.chats.linking import Place
from homeroom.reconcile.ports import Clock
from homeroom.store import GIVEN_SCHEMA, Call, Store
from homeroom.web.calendars import LESSONS, SIZE, TITLE, CalendarError, Said, lessons_in
from homeroom.web.classes import Classes, Mine
from homeroom.web.limits import Limit
from homeroom.web.pages import Pages, language_of
from homeroom.web.visits import Visits, check_own
from homeroom.web.words import say

AHEAD: Final = timedelta(days=14)
"""So far ahead the list goes, today included."""
EARLY: Final = timedelta(minutes=15)
"""So long before its lesson begins a call may be started; until the lesson ends."""
MOST: Final = 3000
"""Lessons to come that one person may have added."""
_SHOWN: Final = 200
_ID: Final = re.compile("[0-9a-f]{32}")  # of a lesson
_SOON: Final = timedelta(hours=1)
"""From so long before a lesson on its page looks again by itself."""
_LOOK: Final = {None: 15, CallState.WAITING: 3, CallState.HELD: 15, CallState.NOWHERE: 60}
"""Seconds after which the page of a lesson is asked for again, by how far its call is."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Person:
    """Who is here: `id` in the records, with their classes `today`. `secret`: what forms carry."""

    place: Place
    id: str
    zone: ZoneInfo
    today: date
    mine: Mine
    secret: str

    @property
    def here(self) -> dict[str, str]:
        """The district, as the store asks for it."""
        return {"namespace": self.place.namespace, "district": self.place.district}

    @property
    def limited(self) -> str:
        """What counts as one person, for limits."""
        return f"{self.place.namespace}/{self.place.district}/{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lesson:
    """A lesson as a page shows it: moments by the district's clock. `own`: added by who is here, who can remove it."""

    id: str
    class_id: str
    title: str
    class_title: str
    begins: datetime
    ends: datetime
    own: bool
    by: LessonBy
    feed: str

    def open(self, now: datetime) -> bool:
        """Whether its call may be started."""
        return self.begins - EARLY <= now < self.ends


class Lessons:
    """These pages; `routes` are what `site` serves of them."""

    def __init__(self, *, store: Store, pages: Pages, clock: Clock) -> None:
        self._store, self._pages, self._clock = store, pages, clock
        self._classes = Classes(store)
        self._visits = Visits(store=store, pages=pages, clock=clock)
        self._per_person = Limit(burst=20, seconds=20, monotonic=clock.monotonic)
        self._reading = asyncio.Lock()

    @property
    def routes(self) -> Sequence[Route]:
        """All of them."""
        return [
            Route("/lessons", self._list),
            Route("/lessons/new", self._new_form),
            Route("/lessons/new", self._new, methods=["POST"]),
            Route("/lessons/import", self._import_form),
            Route("/lessons/import", self._import, methods=["POST"]),
            Route("/lessons/remove", self._remove, methods=["POST"]),
            Route("/lessons/start", self._start, methods=["POST"]),
            Route("/lessons/{lesson:str}", self._lesson_page),
        ]

    # -- what there is -------------------------------------------------------------------------------------------

    async def _list(self, request: Request) -> Response:
        person = await asyncio.to_thread(self._person, request)
        if person is None:
            return self._sign_in(request)
        lessons = await asyncio.to_thread(self._lessons, person)
        now = self._clock.now()
        days = [
            (self._day(request, day), [(lesson, lesson.open(now)) for lesson in some])
            for day, some in groupby(lessons[:_SHOWN], key=lambda lesson: lesson.begins.date())
        ]
        return self._page(request, person, "lessons.html", days=days, more=len(lessons) > _SHOWN)

    def _lessons(self, person: _Person) -> list[_Lesson]:
        """Those of today and the days that follow. Blocks."""
        since = datetime.combine(person.today, time(), person.zone)
        until = datetime.combine(person.today + AHEAD, time(), person.zone)
        rows = self._store.lessons.of_classes(person.mine.all, **person.here, since=since, until=until)
        return [_lesson(row, person) for row in rows.iter_rows(named=True)]

    # -- a teacher adds one --------------------------------------------------------------------------------------

    async def _new_form(self, request: Request) -> Response:
        person = await asyncio.to_thread(self._person, request)
        if person is None:
            return self._sign_in(request)
        return self._form(request, person, "lesson-new.html", typed={"day": person.today.isoformat()})

    async def _new(self, request: Request) -> Response:
        fields = await self._pages.posted(request)
        person = await self._checked(request, fields)
        if person is None:
            return self._sign_in(request)
        begins, ends = _moments(fields, person.zone)
        title, now = _plain(fields.get("title", "")), self._clock.now()
        fault = ""
        if fields.get("class") not in person.mine.taught:
            fault = "Class"
        elif begins is None or ends is None or not now - LONGEST < begins < now + HORIZON:
            fault = "Day"
        elif not now < ends or not timedelta() < ends - begins <= LONGEST:
            fault = "End"
        elif not 0 < len(title) <= TITLE:
            fault = "Title"
        elif await asyncio.to_thread(self._added, person) >= MOST:
            fault = "Many"
        if fault or begins is None or ends is None:
            return self._form(request, person, "lesson-new.html", 422, fault=fault, typed=fields)
        await asyncio.to_thread(
            self._store.lessons.add,
            **person.here,
            class_id=fields["class"],
            begins=begins,
            ends=ends,
            title=title,
            person=person.id,
            now=now,
        )
        log.info("a lesson was added")
        return self._pages.to(request, "/lessons")

    def _added(self, person: _Person) -> int:
        """How many lessons to come somebody has added. Blocks."""
        now = self._clock.now()
        rows = self._store.lessons.of_classes(person.mine.taught, **person.here, since=now, until=now + 2 * HORIZON)
        return rows.filter(person=person.id).height

    # -- a calendar file -----------------------------------------------------------------------------------------

    async def _import_form(self, request: Request) -> Response:
        person = await asyncio.to_thread(self._person, request)
        if person is None:
            return self._sign_in(request)
        return self._form(request, person, "lesson-import.html", typed={})

    async def _import(self, request: Request) -> Response:
        # The file of somebody who has no use for it is not waited for.
        person = await asyncio.to_thread(self._person, request)
        if person is None:
            return self._sign_in(request)
        if not person.mine.taught:
            return self._form(request, person, "lesson-import.html", 422, fault="Class", typed={})
        fields, content = await self._pages.uploaded(request, file="file", limit=SIZE)
        person = await self._checked(request, fields)
        if person is None:
            return self._sign_in(request)
        fault, now = "", self._clock.now()
        if fields.get("class") not in person.mine.taught:
            fault = "Class"
        elif await asyncio.to_thread(self._added, person) + LESSONS > MOST:
            fault = "Many"
        else:
            try:
                async with self._reading:
                    said = await asyncio.to_thread(lessons_in, content, zone=person.zone, now=now)
            except CalendarError as error:
                fault = error.fault.value
        if fault:
            return self._form(request, person, "lesson-import.html", 422, fault=fault, typed=fields)
        changed = await asyncio.to_thread(self._take, said, person, fields["class"], now)
        log.info("a calendar was imported", lessons=said.lessons.height, changed=changed)
        return self._page(
            request,
            person,
            "lesson-imported.html",
            lessons=said.lessons.height,
            changed=changed,
            left={left.value: number for left, number in said.left.items()},
        )

    def _take(self, said: Said, person: _Person, class_id: str, now: datetime) -> int:
        """What a calendar says takes the place of what it said before; how many lessons are new or changed. Blocks."""
        title = _plain(person.mine.all[class_id].title)[:TITLE]
        named = pl.when(pl.col("title") == "").then(pl.lit(title)).otherwise("title").alias("title")
        given = said.lessons.with_columns(named, pl.lit(class_id).alias("class"))
        changed = 0
        for feed in said.feeds:
            changed += self._store.lessons.replace(
                given.filter(feed=feed).select(GIVEN_SCHEMA.names()),
                namespace=person.place.namespace,
                district=person.place.district,
                by=LessonBy.CALENDAR,
                feed=hashlib.sha256(f"{class_id}\n{feed}".encode()).hexdigest()[:32],
                person=person.id,
                now=now,
            ).height
        return changed

    # -- and takes it out ----------------------------------------------------------------------------------------

    async def _remove(self, request: Request) -> Response:
        fields = await self._pages.posted(request)
        person = await self._checked(request, fields)
        if person is None:
            return self._sign_in(request)
        lesson = await asyncio.to_thread(self._lesson, person, fields.get("lesson", ""))
        if lesson is None or not lesson.own:
            return self._pages.to(request, "/lessons")
        sure = fields.get("sure", "")
        if sure == "all" and lesson.by is LessonBy.CALENDAR:
            await asyncio.to_thread(
                self._store.lessons.replace,
                pl.DataFrame(schema=GIVEN_SCHEMA),
                namespace=person.place.namespace,
                district=person.place.district,
                by=lesson.by,
                feed=lesson.feed,
                person=person.id,
                now=self._clock.now(),
            )
        elif sure == "one":
            await asyncio.to_thread(self._store.lessons.remove, lesson.id, **person.here, person=person.id)
        else:
            return self._page(
                request, person, "lesson-sure.html", lesson=lesson, day=self._day(request, lesson.begins.date())
            )
        log.info("a lesson was removed", calendar=sure == "all")
        return self._pages.to(request, "/lessons")

    # -- the call ------------------------------------------------------------------------------------------------

    async def _lesson_page(self, request: Request) -> Response:
        person = await asyncio.to_thread(self._person, request)
        if person is None:
            return self._sign_in(request)
        lesson = await asyncio.to_thread(self._lesson, person, request.path_params["lesson"])
        if lesson is None:
            return self._gone(request)
        call = await asyncio.to_thread(self._store.lessons.call, lesson.id, person.place)
        now = self._clock.now()
        state = call.state if call is not None else None
        over = now >= (lesson.ends if call is None else call.until)
        waits = not over and state is not CallState.TOLD and now >= lesson.begins - _SOON
        return self._page(
            request,
            person,
            "lesson.html",
            headers={"refresh": str(_LOOK[state])} if waits else {},
            lesson=lesson,
            day=self._day(request, lesson.begins.date()),
            teaches=lesson.class_id in person.mine.taught,
            open=lesson.open(now),
            opens=lesson.begins - EARLY,
            over=over,
            state=state.value if state is not None else "",
            links=_links(call) if not over else {},
            hold=call.hold if call is not None else None,
        )

    async def _start(self, request: Request) -> Response:
        """However many press at the same moment, and however often: there is one call."""
        fields = await self._pages.posted(request)
        person = await self._checked(request, fields)
        if person is None:
            return self._sign_in(request)
        lesson = await asyncio.to_thread(self._lesson, person, fields.get("lesson", ""))
        if lesson is None:
            return self._gone(request)
        if lesson.class_id not in person.mine.taught:
            raise HTTPException(403)
        now = self._clock.now()
        if lesson.open(now):
            word = secrets.token_hex(16)
            press = self._store.lessons.press
            call = await asyncio.to_thread(press, lesson.id, **person.here, person=person.id, word=word, now=now)
            log.info("a call was started", first=call is not None and call.word == word)
        return self._pages.to(request, f"/lessons/{lesson.id}")

    # -----------------------------------------------------------------------------------------------------------

    def _person(self, request: Request) -> _Person | None:
        """Who has proven an account that is linked to them now, and is not denied. Blocks."""
        visitor = self._visits.of(request)
        person = self._store.links.proven(visitor.visit) if visitor is not None else None
        if visitor is None or person is None:
            return None
        place = visitor.visit.place
        told = self._store.web.districts(namespace=place.namespace, platform=place.platform)
        told = told.filter(district=place.district)
        if told.is_empty() or person in told["denied"][0]:
            return None
        zone = ZoneInfo(told["zone"][0])
        today = self._clock.now().astimezone(zone).date()
        return _Person(
            place=place,
            id=person,
            zone=zone,
            today=today,
            mine=self._classes.of(person, namespace=place.namespace, district=place.district, today=today),
            secret=visitor.secret,
        )

    async def _checked(self, request: Request, fields: Mapping[str, str]) -> _Person | None:
        """The person whose form this is; raises HTTPException for another's, or too many."""
        person = await asyncio.to_thread(self._person, request)
        if person is not None:
            check_own(fields, person.secret)
            if not self._per_person.take(person.limited):
                raise HTTPException(429)
        return person

    def _lesson(self, person: _Person, lesson: str) -> _Lesson | None:
        """A lesson of a class of theirs. Blocks."""
        if not _ID.fullmatch(lesson):  # PostgreSQL takes no text with a zero in it
            return None
        rows = self._store.lessons.lesson(lesson, **person.here)
        found = [_lesson(row, person) for row in rows.iter_rows(named=True) if row["class"] in person.mine.all]
        return found[0] if found else None

    def _sign_in(self, request: Request) -> Response:
        return self._pages.to(request, "/chats/sign-in")

    def _gone(self, request: Request) -> Response:
        return self._pages.page(request, "message.html", 404, key="lessons.gone", more="")

    def _page(
        self,
        request: Request,
        person: _Person,
        template: str,
        status: int = 200,
        /,
        headers: Mapping[str, str] | None = None,
        **values: object,
    ) -> Response:
        offset = self._clock.now().astimezone(person.zone).strftime("%z")
        return self._pages.page(
            request,
            template,
            status,
            headers=headers,
            **values,
            secret=person.secret,
            zone=person.zone.key,
            offset=f"UTC{offset[:3]}:{offset[3:]}",
            teacher=bool(person.mine.taught),
        )

    def _form(
        self,
        request: Request,
        person: _Person,
        template: str,
        status: int = 200,
        /,
        *,
        typed: Mapping[str, str],
        fault: str = "",
    ) -> Response:
        """A form for one of the classes that somebody teaches."""
        listed = [(class_id, person.mine.all[class_id]) for class_id in person.mine.taught]
        listed.sort(key=lambda one: (one[1].school, one[1].title, one[0]))
        kept = {name: typed.get(name, "")[:200] for name in ("class", "title", "day", "begins", "ends")}
        last = person.today + HORIZON
        return self._page(
            request, person, template, status, classes=listed, typed=kept, fault=fault, size=SIZE // 1024, last=last
        )

    @staticmethod
    def _day(request: Request, day: date) -> str:
        """A day as people say it."""
        weekdays, months = (say(language_of(request), key).split() for key in ("weekdays", "months"))
        return f"{weekdays[day.weekday()]} {day.day} {months[day.month - 1]}"


def _lesson(row: Mapping[str, Any], person: _Person) -> _Lesson:
    return _Lesson(
        id=row["id"],
        class_id=row["class"],
        title=_plain(row["title"])[:TITLE],
        class_title=person.mine.all[row["class"]].title,
        begins=row["begins"].astimezone(person.zone),
        ends=row["ends"].astimezone(person.zone),
        own=row["person"] == person.id,
        by=LessonBy(row["how"]),
        feed=row["feed"],
    )


def _links(call: Call | None) -> dict[str, str]:
    """Where the chat and the call are; nothing that would be more than a link."""
    told = {"call": call.url, "chat": call.chat} if call is not None and call.state is CallState.TOLD else {}
    return {name: link for name, link in told.items() if link is not None and link.startswith("https://")}


def _moments(fields: Mapping[str, str], zone: ZoneInfo) -> tuple[datetime | None, datetime | None]:
    """Begin and end of a form, in UTC; None: they are none."""
    try:
        day = date.fromisoformat(fields.get("day", ""))
        begins, ends = (time.fromisoformat(fields.get(name, "")) for name in ("begins", "ends"))
        if begins.tzinfo is not None or ends.tzinfo is not None:
            return None, None
        begin, end = (datetime.combine(day, one, zone).astimezone(UTC) for one in (begins, ends))
    except (ValueError, OverflowError):
        return None, None
    return begin, end


def _plain(text: str) -> str:
    """Without what does not show, or turns the text around it."""
    return str(pl.select(plain(pl.lit(text[:1000]))).item())

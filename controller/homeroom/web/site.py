"""The pages. No GET changes anything: programmes that look at mails open the links in them.

::

    /connect  /sign-in     what somebody enters; the answer is the same whatever it was
    /link/WORD             the link of the mail: a page with a button, which connects or signs in
    /licences              of somebody who is signed in: seats, colleagues, leave, remove (asked again)
    /chats                 linking an account of a chat server: `chats`
    /lessons               remote lessons and their calls: `lessons`
    /chats/join/WORD       the link of an extra chat: `join`

Neighbours: `gate` (what all requests pass), `pages` (what all pages have), `desk` (who gets a link), `staff` (names),
`words` (texts), `templates`.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib.resources import files
from typing import Any, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from homeroom.reconcile.ports import Clock
from homeroom.seats.keys import Connected, Ended, MistypedKeyError, normalised
from homeroom.store import LicenceName, Purpose, Store, Ticket
from homeroom.web.chats import Chats
from homeroom.web.desk import LINK_LIFETIME, Desk, Wish, digest_of, minutes, word
from homeroom.web.gate import Gate
from homeroom.web.join import Join
from homeroom.web.lessons import Lessons
from homeroom.web.pages import Pages, language_of
from homeroom.web.staff import Staff
from homeroom.web.visits import check_own, secret_of
from homeroom.web.words import say

SESSION_LIFETIME: Final = timedelta(minutes=60)
"""From signing in on; who comes back later asks for another link."""
_ACCOUNT: Final = 254
"""Characters of an account: the longest e-mail address there is."""
_READY_SECONDS: Final = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """What a page tells of a licence. `colleagues`: who is connected, source id -> name (None: no teacher any more)."""

    name: LicenceName
    district: str
    school: str
    title: str
    granted: int
    used: int
    waiting: int
    colleagues: Mapping[str, str | None]

    @property
    def id(self) -> str:
        """Its name as forms carry it."""
        return "/".join(self.name)

    @property
    def full(self) -> bool:
        """Whoever comes now waits."""
        return self.waiting > 0 or self.used >= self.granted


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Who is signed in. `proof`: what forms carry, so that no other site can send one in this person's name."""

    ticket: Ticket
    proof: str


class Site:
    """All pages; `app` serves them."""

    def __init__(self, *, store: Store, staff: Staff, desk: Desk, clock: Clock, public_url: str) -> None:
        self._store, self._staff, self._desk, self._clock = store, staff, desk, clock
        self._pages = Pages(clock=clock, public_url=public_url)
        self._cookie = self._pages.cookie("homeroom")
        self._style = (files("homeroom.web") / "templates" / "style.css").read_bytes()
        join = Join(store=store, pages=self._pages, clock=clock)
        chats = Chats(store=store, pages=self._pages, clock=clock, back=join.back)
        lessons = Lessons(store=store, pages=self._pages, clock=clock)
        pages = Starlette(
            routes=[
                Route("/", self._start),
                Route("/connect", self._ask_form),
                Route("/connect", self._ask, methods=["POST"]),
                Route("/sign-in", self._ask_form),
                Route("/sign-in", self._ask, methods=["POST"]),
                Route("/sent", self._sent),
                Route("/link/{word:str}", self._link),
                Route("/link", self._use_link, methods=["POST"]),
                Route("/licences", self._licences),
                Route("/licences/leave", self._leave, methods=["POST"]),
                Route("/licences/remove", self._remove, methods=["POST"]),
                Route("/sign-out", self._sign_out, methods=["POST"]),
                *chats.routes,
                *lessons.routes,
                *join.routes,
                Route("/style.css", self._stylesheet),
                Route("/livez", self._live),
                Route("/readyz", self._ready),
            ],
            exception_handlers={HTTPException: self._failed, 500: self._broken},
        )
        # It would send people on to whatever host the request named.
        pages.router.redirect_slashes = False
        self._gate = Gate(pages, origin=public_url)

    @property
    def app(self) -> ASGIApp:
        """The whole service."""
        return self._gate

    # -- asking for a link --------------------------------------------------------------------------------------

    async def _start(self, request: Request) -> Response:
        return self._pages.to(request, "/connect")

    async def _ask_form(self, request: Request) -> Response:
        return self._pages.page(request, "ask.html", kind=_kind(request), fault="", key="", account="")

    async def _ask(self, request: Request) -> Response:
        """What is wrong with a key by itself is told, as anybody can see that; whether there is such a key is not."""
        fields = await self._pages.posted(request)
        kind, typed, account = _kind(request), fields.get("key", ""), fields.get("account", "").strip()
        self._pages.limit(request)
        key, fault = None, ""
        if kind == "connect":
            try:
                key = normalised(typed)
            except MistypedKeyError as error:
                fault = error.fault.value
        if not fault and (not 0 < len(account) <= _ACCOUNT or not account.isprintable()):
            fault = "Account"
        if fault:
            return self._pages.page(request, "ask.html", 422, kind=kind, fault=fault, key=typed, account=account)
        if not self._desk.ask(Wish(key=key, account=account, language=language_of(request))):
            raise HTTPException(429)
        return self._pages.to(request, "/sent")

    async def _sent(self, request: Request) -> Response:
        return self._pages.page(request, "message.html", key="sent", more="sent.help", minutes=minutes(LINK_LIFETIME))

    # -- the link of the mail -----------------------------------------------------------------------------------

    async def _link(self, request: Request) -> Response:
        made = request.path_params["word"]
        ticket = await asyncio.to_thread(self._linked, made)
        licence = await asyncio.to_thread(self._joinable, ticket) if ticket and ticket.key else None
        if ticket is None or (ticket.key and licence is None):
            return self._dead(request)
        return self._pages.page(request, "link.html", word=made, licence=licence)

    async def _use_link(self, request: Request) -> Response:
        fields = await self._pages.posted(request)
        self._pages.limit(request)
        session = await asyncio.to_thread(self._used, fields.get("word", ""))
        if session is None:
            return self._dead(request)
        answer = self._pages.to(request, "/licences")
        self._pages.set_cookie(answer, self._cookie, session, int(SESSION_LIFETIME.total_seconds()))
        return answer

    def _linked(self, made: str) -> Ticket | None:
        """The ticket of a mailed link. Blocks."""
        ticket = self._store.web.ticket(digest_of(made), now=self._clock.now())
        return ticket if ticket is not None and ticket.purpose is not Purpose.SESSION else None

    def _joinable(self, ticket: Ticket) -> Licence | None:
        """The licence that the ticket's teacher may connect to, by all that is known now. Blocks."""
        name = self._store.licences.by_key(ticket.key or "")
        if name is None:
            return None
        told = self._store.web.licences().filter(namespace=name.namespace, licence=name.name, district=ticket.district)
        found = [self._told(row) for row in told.iter_rows(named=True)]
        return next((licence for licence in found if self._teaches(ticket, licence)), None)

    def _used(self, made: str) -> str | None:
        """Do what the link is for, once; the word of a session, or None where it is good for nothing. Blocks."""
        ticket, now = self._linked(made), self._clock.now()
        if ticket is None or self._store.web.take(digest_of(made), now=now) is None:
            return None
        if ticket.key is not None:
            if self._joinable(ticket) is None:
                return None
            how = Connected.KEY
            if not self._store.licences.connect(
                ticket.key, district=ticket.district, teacher=ticket.teacher, how=how, at=now
            ):
                return None
            log.info("a teacher connected")
        session, its_digest = word()
        signed_in = Ticket(
            purpose=Purpose.SESSION,
            namespace=ticket.namespace,
            district=ticket.district,
            teacher=ticket.teacher,
            expires_at=now + SESSION_LIFETIME,
        )
        self._store.web.issue(signed_in, digest=its_digest, now=now)
        return session

    # -- signed in ----------------------------------------------------------------------------------------------

    async def _licences(self, request: Request) -> Response:
        session = await asyncio.to_thread(self._session, request)
        if session is None:
            return self._pages.to(request, "/sign-in")
        licences = await asyncio.to_thread(self._licences_of, session.ticket)
        return self._pages.page(
            request, "licences.html", licences=licences, me=session.ticket.teacher, proof=session.proof
        )

    async def _leave(self, request: Request) -> Response:
        return await self._end(request, colleague=False)

    async def _remove(self, request: Request) -> Response:
        return await self._end(request, colleague=True)

    async def _end(self, request: Request, *, colleague: bool) -> Response:
        """End the connection of somebody who leaves, or of a colleague; asks again before it does."""
        fields = await self._pages.posted(request)
        session = await asyncio.to_thread(self._session, request)
        if session is None:
            return self._pages.to(request, "/sign-in")
        me = session.ticket.teacher
        check_own(fields, session.proof)
        # Only of licences that one is connected to oneself, and only who is connected to them, too.
        licences = await asyncio.to_thread(self._licences_of, session.ticket)
        licence = next((each for each in licences if each.id == fields.get("licence")), None)
        teacher = fields.get("teacher", "") if colleague else me
        if licence is None or teacher not in licence.colleagues or (colleague and teacher == me):
            return self._pages.to(request, "/licences")
        if fields.get("sure") != "yes":
            name = licence.colleagues[teacher] or say(language_of(request), "unknown", id=teacher)
            kind = "remove" if colleague else "leave"
            return self._pages.page(
                request, "sure.html", kind=kind, licence=licence, teacher=teacher, name=name, proof=session.proof
            )
        why, by = (Ended.REMOVED, me) if colleague else (Ended.LEFT, None)
        disconnect = partial(self._store.licences.disconnect, licence.name, district=licence.district)
        await asyncio.to_thread(disconnect, teacher=teacher, why=why, by=by, at=self._clock.now())
        log.info("a connection ended", why=why.value)
        return self._pages.to(request, "/licences")

    async def _sign_out(self, request: Request) -> Response:
        await self._pages.posted(request)
        made = request.cookies.get(self._cookie, "")
        await asyncio.to_thread(self._store.web.take, digest_of(made), now=self._clock.now())
        answer = self._pages.to(request, "/sign-in")
        self._pages.set_cookie(answer, self._cookie, "", 0)
        return answer

    def _session(self, request: Request) -> Session | None:
        made = request.cookies.get(self._cookie, "")
        ticket = self._store.web.ticket(digest_of(made), now=self._clock.now())
        if ticket is None or ticket.purpose is not Purpose.SESSION:
            return None
        return Session(ticket=ticket, proof=secret_of(made))

    def _licences_of(self, ticket: Ticket) -> Sequence[Licence]:
        """The licences that a teacher is connected to, and teaches at the school of. Blocks."""
        connections = self._store.licences.connections([ticket.namespace], district=ticket.district)
        mine = connections.filter(teacher=ticket.teacher)
        told = self._store.web.licences().join(mine, on=["namespace", "licence", "district"], how="semi")
        names = self._staff.names(connections["teacher"], namespace=ticket.namespace, district=ticket.district)
        found = []
        for row in told.iter_rows(named=True):
            here = connections.filter(licence=row["licence"])["teacher"].to_list()
            licence = self._told(
                row, {teacher: _plain(names[teacher]) if teacher in names else None for teacher in here}
            )
            if self._teaches(ticket, licence):
                found.append(licence)
        return found

    def _teaches(self, ticket: Ticket, licence: Licence) -> bool:
        return self._staff.teaches(
            ticket.teacher,
            namespace=ticket.namespace,
            district=ticket.district,
            school=licence.school,
            today=self._clock.now().date(),
        )

    @staticmethod
    def _told(row: Mapping[str, Any], colleagues: Mapping[str, str | None] | None = None) -> Licence:
        return Licence(
            name=LicenceName(row["namespace"], row["licence"]),
            district=row["district"],
            school=row["school"],
            title=_plain(row["title"]),
            granted=row["granted"],
            used=row["used"],
            waiting=row["waiting"],
            colleagues=colleagues or {},
        )

    # -- everything else ----------------------------------------------------------------------------------------

    async def _stylesheet(self, _request: Request) -> Response:
        return Response(self._style, media_type="text/css", headers={"cache-control": "public, max-age=3600"})

    async def _live(self, _request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _ready(self, _request: Request) -> Response:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await asyncio.to_thread(self._store.ping)
        except (TimeoutError, SQLAlchemyError) as error:
            return PlainTextResponse(f"store: the database does not answer ({type(error).__name__})\n", 503)
        return PlainTextResponse("ok\n")

    def _dead(self, request: Request) -> Response:
        return self._pages.page(request, "message.html", 410, key="dead", more="", minutes=minutes(LINK_LIFETIME))

    async def _failed(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        key = {404: "missing", 405: "missing", 429: "busy"}.get(error.status_code, "refused")
        return self._pages.page(request, "message.html", error.status_code, headers=error.headers, key=key, more="")

    async def _broken(self, request: Request, _error: Exception) -> Response:
        return self._pages.page(request, "message.html", 500, key="broken", more="")


def _kind(request: Request) -> str:
    return request.url.path.removeprefix("/")


def _plain(text: str) -> str:
    """A name of the records without what turns, hides or breaks the text around it."""
    seen = (
        " " if sign.isspace() else sign for sign in text[:200] if sign.isspace() or unicodedata.category(sign)[0] != "C"
    )
    return " ".join("".join(seen).split())

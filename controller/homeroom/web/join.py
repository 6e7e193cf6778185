"""The page to which the link of an extra chat leads: whoever has proven a linked account comes in, or goes again.

::

    /chats/join/WORD   who has proven nothing is sent to prove an account, and comes back here --+
                       the chat's name, with a button                                            |
    /chats/join        the press: a wish in the store, which the operator fulfils         <------+
    /chats/leave       ... taken back

The word alone opens nothing and tells nothing, not even the chat's name. For whom the link is, the operator finds in
the records. Neighbours: `chats` (how an account is proven), `pages`, `homeroom.store.joins`,
`homeroom.reconcile.joining`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from homeroom.chats.linking import JoinState
from homeroom.reconcile.ports import Clock
from homeroom.store import JoinLink, Store
from homeroom.web.limits import Limit
from homeroom.web.pages import Pages
from homeroom.web.visits import VISIT_LIFETIME, Visits, check_own

_WORD: Final = re.compile(r"[A-Za-z0-9_-]{43}")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Person:
    """Who is here (source id), with a proven account of the link's district. `secret`: what forms carry."""

    id: str
    key: str
    secret: str


class Join:
    """This page; `routes` are what `site` serves of it."""

    def __init__(self, *, store: Store, pages: Pages, clock: Clock) -> None:
        self._store, self._pages, self._clock = store, pages, clock
        self._visits, self._wish = Visits(store=store, pages=pages, clock=clock), pages.cookie("homeroom-join")
        self._per_visit = Limit(burst=10, seconds=30, monotonic=clock.monotonic)

    @property
    def routes(self) -> Sequence[Route]:
        """All of them."""
        return [
            Route("/chats/join/{word:str}", self._page),
            Route("/chats/join", self._join, methods=["POST"]),
            Route("/chats/leave", self._leave, methods=["POST"]),
        ]

    def back(self, request: Request) -> str | None:
        """The path of the link for whose sake somebody has just proven an account."""
        word = request.cookies.get(self._wish, "")
        return f"/chats/join/{word}" if _WORD.fullmatch(word) else None

    async def _page(self, request: Request) -> Response:
        word = request.path_params["word"]
        link = await asyncio.to_thread(self._link, word)
        if link is None:
            return self._dead(request)
        person = await asyncio.to_thread(self._person, request, link)
        if person is None:
            answer = self._pages.page(request, "chats-join.html", person=None)
            # As long as a visit lasts: so long somebody may take to prove an account.
            self._pages.set_cookie(answer, self._wish, word, int(VISIT_LIFETIME.total_seconds()))
            return answer
        state = await asyncio.to_thread(self._store.joins.state, link, person.id)
        answer = self._pages.page(
            request,
            "chats-join.html",
            person=person,
            name=link.title,
            word=word,
            state=state.value if state is not None else "",
            may_leave=state in {JoinState.ASKED, JoinState.IN},
        )
        self._pages.set_cookie(answer, self._wish, "", 0)
        return answer

    async def _join(self, request: Request) -> Response:
        link, person = await self._checked(request)
        if link is None:
            return self._dead(request)
        if person is not None:
            if not await asyncio.to_thread(self._store.joins.ask, link, person.id, now=self._clock.now()):
                return self._dead(request)
            log.info("somebody wants to come into an extra chat by its link", chat=link.chat)
        return self._pages.to(request, f"/chats/join/{link.word}")

    async def _leave(self, request: Request) -> Response:
        link, person = await self._checked(request)
        if link is None:
            return self._dead(request)
        if person is not None and await asyncio.to_thread(
            self._store.joins.leave, link, person.id, now=self._clock.now()
        ):
            log.info("somebody leaves an extra chat", chat=link.chat)
        return self._pages.to(request, f"/chats/join/{link.word}")

    # ------------------------------------------------------------------------------------------------------------

    async def _checked(self, request: Request) -> tuple[JoinLink | None, _Person | None]:
        """The link and the person of a form; raises HTTPException for another's, or too many."""
        fields = await self._pages.posted(request)
        self._pages.limit(request)
        link = await asyncio.to_thread(self._link, fields.get("word", ""))
        person = await asyncio.to_thread(self._person, request, link) if link is not None else None
        if person is not None:
            check_own(fields, person.secret)
            if not self._per_visit.take(person.key):
                raise HTTPException(429)
        return link, person

    def _link(self, word: str) -> JoinLink | None:
        """Blocks."""
        return self._store.joins.by_word(word) if _WORD.fullmatch(word) else None

    def _person(self, request: Request, link: JoinLink) -> _Person | None:
        """Who has proven an account that is linked in the link's district, on its platform. Blocks."""
        visitor = self._visits.of(request)
        if visitor is None or visitor.visit.place != link.place:
            return None
        person = self._store.links.proven(visitor.visit)
        return None if person is None else _Person(id=person, key=visitor.key, secret=visitor.secret)

    def _dead(self, request: Request) -> Response:
        return self._pages.page(request, "message.html", 410, key="chats.join.dead", more="")

"""The pages on which people link their account of a chat server with who they are in the school's records.

::

    /chats          the personal code of a letter --+     (/chats/new: who has none)
                                                    +--> /chats/account --> /chats/number --> linked --> /chats/mine
    /chats/sign-in  an account that is linked ------------------------------^    (take it back, asked again)
                                                                                     |
                                          heads of schools: /chats/table <-----------+

A code proves who somebody is, the number that the operator sends into the chat proves the account. Whoever has both is
linked; whoever has one of them may take a link back. Of a person nobody sees more than initials, but that who leads a
chat sees the names of its people who are not linked yet; and whether an account is linked to anybody is told to nobody
but its owner. Chats are shown to whoever has proven the account in this visit: a letter alone shows none. Neighbours:
`pages`, `site`, `membership`, `homeroom.store.links`, `homeroom.reconcile.linking` (sends the numbers).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import quote

import polars as pl
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from homeroom.api.chatpolicy import ChatType
from homeroom.chats.linking import NUMBER_LENGTH, Place, Proof, account_in
from homeroom.chats.table import COLUMNS, TABLE, cells
from homeroom.reconcile.ports import Clock
from homeroom.seats.keys import MistypedKeyError, digest, normalised
from homeroom.sources import scan
from homeroom.spreadsheet import safe
from homeroom.store import Answer, Store, Visit
from homeroom.web.desk import minutes, word
from homeroom.web.limits import Limit
from homeroom.web.membership import Membership, Mine
from homeroom.web.pages import Pages, language_of
from homeroom.web.visits import VISIT_LIFETIME, Visitor, Visits, check_own

_MESSAGES: Final = 3
"""Numbers that are sent to one account, and one more every 20 minutes: nobody is to be pestered through us.

Counted apart for those with a code and those without, and of these for each network: a stranger must not use up what
the owner of the account needs.
"""
_SIGNING_IN: Final = 12
"""Numbers that are sent to one account without any code, whoever asks for them, and one more every 5 minutes."""
_ACCOUNTS: Final = 6
"""Numbers that are sent for one person, and one more every 10 minutes, however often they enter their code."""

log = structlog.get_logger(__name__)


class Chats:
    """These pages; `routes` are what `site` serves of them.

    `back`: the path of one of our pages for whose sake somebody has just proven an account.
    """

    def __init__(
        self, *, store: Store, pages: Pages, clock: Clock, back: Callable[[Request], str | None] = lambda _: None
    ) -> None:
        self._store, self._pages, self._clock, self._back = store, pages, clock, back
        self._visits = Visits(store=store, pages=pages, clock=clock)
        self._membership = Membership(store, clock)
        # A class of thirty enters its codes at once, by one address; what follows is limited for each visit instead.
        self._per_visit = Limit(burst=20, seconds=30, monotonic=clock.monotonic)
        # What a page of chats is made of takes a while to read, above all for who leads one.
        self._looks = Limit(burst=30, seconds=2, monotonic=clock.monotonic)
        self._per_account = Limit(burst=_MESSAGES, seconds=1200, monotonic=clock.monotonic)
        self._per_sender = Limit(burst=_MESSAGES, seconds=1200, monotonic=clock.monotonic)
        self._per_sign_in = Limit(burst=_SIGNING_IN, seconds=300, monotonic=clock.monotonic)
        self._per_person = Limit(burst=_ACCOUNTS, seconds=600, monotonic=clock.monotonic)

    @property
    def routes(self) -> Sequence[Route]:
        """All of them."""
        return [
            Route("/chats", self._start),
            Route("/chats", self._code, methods=["POST"]),
            Route("/chats/account", self._account_form),
            Route("/chats/account", self._account, methods=["POST"]),
            Route("/chats/new", self._new),
            Route("/chats/new", self._want_new, methods=["POST"]),
            Route("/chats/number", self._number_form),
            Route("/chats/number", self._number, methods=["POST"]),
            Route("/chats/sign-in", self._sign_in_form),
            Route("/chats/sign-in", self._sign_in, methods=["POST"]),
            Route("/chats/mine", self._mine),
            Route("/chats/table", self._table),
            Route("/chats/table.csv", self._csv),
            Route("/chats/unlink", self._unlink, methods=["POST"]),
            Route("/chats/sign-out", self._sign_out, methods=["POST"]),
        ]

    # -- who somebody is: the code of a letter -------------------------------------------------------------------

    async def _start(self, request: Request) -> Response:
        """A letter's QR code leads here with its code filled in; only pressing the button does anything."""
        return self._code_page(request, 200, request.query_params.get("code", ""))

    def _code_page(self, request: Request, status: int, typed: str, fault: str = "") -> Response:
        typed = typed[:60]
        kept = f"code={quote(typed, safe='')}&" if typed else ""  # in another language, too
        return self._pages.page(request, "chats-code.html", status, fault=fault, typed=typed, kept=kept)

    async def _code(self, request: Request) -> Response:
        fields = await self._pages.posted(request)
        self._pages.limit(request)
        typed = fields.get("code", "")
        try:
            code = normalised(typed)
        except MistypedKeyError as error:
            return self._code_page(request, 422, typed, error.fault.value)
        made = await asyncio.to_thread(self._begun, digest(code), language_of(request).value)
        if made is None:
            return self._dead(request)
        return self._entered(request, made, "/chats/account")

    def _begun(self, code: str, language: str) -> str | None:
        """The word of a visit by somebody with this code (its digest); None: nobody has it. Blocks."""
        now = self._clock.now()
        found = self._store.links.by_code(code, now=now)
        if found is None or self._initials(*found) is None:
            return None
        place, person = found
        made, its_digest = word()
        visit = Visit(place=place, language=language, expires_at=now + VISIT_LIFETIME, person=person, code=code)
        self._store.links.begin(visit, digest=its_digest, now=now)
        return made

    # -- whose account it is: a number in the chat ---------------------------------------------------------------

    async def _account_form(self, request: Request) -> Response:
        return await self._ask(request, 200)

    async def _ask(self, request: Request, status: int, *, fault: str = "", account: str = "") -> Response:
        visitor = await asyncio.to_thread(self._visits.of, request)
        if visitor is None or visitor.visit.person is None:
            return self._pages.to(request, "/chats")
        place, person = visitor.visit.place, visitor.visit.person
        initials = await asyncio.to_thread(self._initials, place, person)
        told = await asyncio.to_thread(self._place, place)
        if initials is None or told is None:
            return self._dead(request)
        linked = await asyncio.to_thread(self._store.links.accounts, place, person)
        return self._pages.page(
            request,
            "chats-account.html",
            status,
            initials=initials,
            title=told["title"],
            server=told["server"],
            linked=linked,
            creates=told.get("register") is not None and not linked,
            secret=visitor.secret,
            fault=fault,
            account=account,
        )

    async def _account(self, request: Request) -> Response:
        fields = await self._pages.posted(request)
        visitor = await self._checked(request, fields)
        if visitor is None or visitor.visit.person is None:
            return self._pages.to(request, "/chats")
        told = await asyncio.to_thread(self._place, visitor.visit.place)
        typed = fields.get("account", "")
        account = account_in(typed, server=told["server"]) if told is not None else None
        if account is None:
            return await self._ask(request, 422, fault="Chat", account=typed[:255])
        place, person = visitor.visit.place, visitor.visit.person
        if not (self._per_person.take(f"{place} {person}") and self._per_account.take(f"{place} {account}")):
            raise HTTPException(429)
        language, now = language_of(request).value, self._clock.now()
        await asyncio.to_thread(self._store.links.ask, visitor.key, account, language=language, now=now)
        log.info("a number is asked for", signing_in=False)
        return self._pages.to(request, "/chats/number")

    async def _want_new(self, request: Request) -> Response:
        """Who has a code, and no account yet, is let make one; on the server, and with a password that we never see."""
        fields = await self._pages.posted(request)
        visitor = await self._checked(request, fields)
        if visitor is None or visitor.visit.person is None:
            return self._pages.to(request, "/chats")
        place, person = visitor.visit.place, visitor.visit.person
        told = await asyncio.to_thread(self._place, place)
        initials = await asyncio.to_thread(self._initials, place, person)
        if told is None or initials is None:
            return self._dead(request)
        linked = await asyncio.to_thread(self._store.links.accounts, place, person)
        if told.get("register") is None or linked:
            return self._pages.to(request, "/chats/account")
        if not await asyncio.to_thread(self._store.links.want_account, visitor.key, now=self._clock.now()):
            return self._pages.page(request, "message.html", 429, key="chats.enough", more="")
        log.info("an account is to be made")
        return self._pages.to(request, "/chats/new")

    async def _new(self, request: Request) -> Response:
        visitor = await asyncio.to_thread(self._visits.of, request)
        if visitor is None or visitor.visit.person is None:
            return self._pages.to(request, "/chats")
        told = await asyncio.to_thread(self._place, visitor.visit.place)
        token = await asyncio.to_thread(self._store.links.token, visitor.key, now=self._clock.now())
        if told is None or told.get("register") is None or token is None:
            return self._pages.to(request, "/chats/account")
        left = minutes(token.expires_at - self._clock.now())
        return self._pages.page(request, "chats-new.html", token=token, address=told["register"], minutes=left)

    async def _sign_in_form(self, request: Request) -> Response:
        return await self._sign_in_page(request, 200)

    async def _sign_in_page(self, request: Request, status: int, *, fault: str = "", account: str = "") -> Response:
        places = await asyncio.to_thread(self._store.links.places)
        listed = [
            ("/".join(row[name] for name in Place._fields), row["title"], row["server"])
            for row in places.iter_rows(named=True)
        ]
        return self._pages.page(request, "chats-sign-in.html", status, places=listed, fault=fault, account=account)

    async def _sign_in(self, request: Request) -> Response:
        """The answer is the same whether the account is linked or not; only then a number is sent."""
        fields = await self._pages.posted(request)
        self._pages.limit(request)
        chosen = Place(*fields.get("place", "").split("/", 2)) if fields.get("place", "").count("/") == 2 else None
        told = await asyncio.to_thread(self._place, chosen) if chosen is not None else None
        typed = fields.get("account", "")
        account = account_in(typed, server=told["server"]) if told is not None else None
        if chosen is None or account is None:
            return await self._sign_in_page(request, 422, fault="Chat", account=typed[:255])
        # Counted before it is known whether the account is linked, so that the limits tell nothing either.
        _, sender = self._pages.sender(request)
        may = self._per_sender.take(f"{chosen} {account} {sender}") and self._per_sign_in.take(f"{chosen} {account}")
        made = await asyncio.to_thread(self._signing_in, chosen, account, language_of(request).value, may=may)
        return self._entered(request, made, "/chats/number")

    def _signing_in(self, place: Place, account: str, language: str, *, may: bool) -> str:
        """The word of a visit by somebody who says to have this account. `may`: a number may be sent. Blocks."""
        now = self._clock.now()
        known = self._store.links.holder(place, account) is not None
        made, its_digest = word()
        visit = Visit(
            place=place,
            language=language,
            expires_at=now + VISIT_LIFETIME,
            account=account,
            proof=Proof.WAITING if known and may else Proof.OPEN,
        )
        self._store.links.begin(visit, digest=its_digest, now=now)
        return made

    async def _number_form(self, request: Request) -> Response:
        return await self._number_page(request, 200)

    async def _number_page(self, request: Request, status: int, *, fault: str = "") -> Response:
        visitor = await asyncio.to_thread(self._visits.of, request)
        if visitor is None or visitor.visit.account is None:
            return self._pages.to(request, "/chats")
        # Only to whoever has a code: to others it would tell that the account is linked.
        if not fault and visitor.visit.person is not None and visitor.visit.proof is Proof.FAILED:
            fault = "Unsent"
        return self._pages.page(
            request,
            "chats-number.html",
            status,
            account=visitor.visit.account,
            again="/chats/account" if visitor.visit.person is not None else "/chats/sign-in",
            minutes=minutes(VISIT_LIFETIME),
            secret=visitor.secret,
            fault=fault,
        )

    async def _number(self, request: Request) -> Response:
        fields = await self._pages.posted(request)
        visitor = await self._checked(request, fields)
        if visitor is None:
            return self._pages.to(request, "/chats")
        try:
            number = normalised(fields.get("number", ""), length=NUMBER_LENGTH)
        except MistypedKeyError:
            return await self._number_page(request, 422, fault="Number")
        now = self._clock.now()
        proof = await asyncio.to_thread(self._store.links.enter, visitor.key, digest(number), now=now)
        if proof is not Proof.PROVEN:
            return await self._number_page(request, 422, fault="Number")
        where = self._back(request) or "/chats/mine"
        if visitor.visit.person is None:
            return self._pages.to(request, where)
        answer = await asyncio.to_thread(self._linked, visitor)
        log.info("an account was claimed", answer=answer.value)
        if answer is Answer.EXPIRED:
            return self._dead(request)
        if answer is Answer.TAKEN:
            return self._pages.page(request, "message.html", 409, key="chats.taken", more="")
        return self._pages.to(request, where)

    def _linked(self, visitor: Visitor) -> Answer:
        """Link, if the records still have the person. Blocks."""
        visit = visitor.visit
        if visit.person is None or self._initials(visit.place, visit.person) is None:
            return Answer.EXPIRED
        return self._store.links.link(visitor.key, now=self._clock.now())

    # -- linked --------------------------------------------------------------------------------------------------

    async def _mine(self, request: Request) -> Response:
        visitor = await asyncio.to_thread(self._visits.of, request)
        if visitor is None:
            return self._pages.to(request, "/chats")
        if not self._looks.take(visitor.key):
            raise HTTPException(429)
        accounts = await asyncio.to_thread(self._mine_of, visitor.visit)
        chats = await asyncio.to_thread(self._chats_of, visitor.visit)
        return self._pages.page(
            request,
            "chats-mine.html",
            accounts=accounts,
            chats=chats,
            heads=bool(_headed(chats or ())),
            leads=bool(_led(chats or ())),
            secret=visitor.secret,
        )

    async def _table(self, request: Request) -> Response:
        """Of whoever leads a staff room, that school's, and of extra chats those; whole links for who asks for them."""
        reveal = request.query_params.get("links") == "whole"
        found = await asyncio.to_thread(self._table_of, request, reveal=reveal)
        if found is None:
            return self._pages.to(request, "/chats/mine")
        kept = "links=whole&" if reveal else ""
        table, extra = found
        schools = table.partition_by("school", maintain_order=True)
        told = [(rows["school_name"][0], rows.to_dicts()) for rows in schools]
        return self._pages.page(
            request,
            "chats-table.html",
            schools=told,
            extra=extra.to_dicts(),
            origin=self._pages.origin,
            reveal=reveal,
            kept=kept,
        )

    async def _csv(self, request: Request) -> Response:
        reveal = request.query_params.get("links") == "whole"
        found = await asyncio.to_thread(self._table_of, request, reveal=reveal)
        if found is None or found[0].is_empty():
            return self._pages.to(request, "/chats/mine")
        table, _ = found  # as with `homeroom links`, extra chats are in no file
        headers = {"content-disposition": 'attachment; filename="chats.csv"'}
        # With a mark of its encoding, or spreadsheets take ä for something else.
        text = safe(_cells(table)).write_csv(include_bom=True)
        return Response(text, media_type="text/csv; charset=utf-8", headers=headers)

    def _table_of(self, request: Request, *, reveal: bool) -> tuple[pl.DataFrame, pl.DataFrame] | None:
        """As `Membership.table` and `extras`; None: nobody who leads a staff room or an extra chat.

        Raises HTTPException for who looks too often. Blocks.
        """
        visitor = self._visits.of(request)
        if visitor is not None and not self._looks.take(visitor.key):
            raise HTTPException(429)
        chats = self._chats_of(visitor.visit) if visitor is not None else None
        schools, led = _headed(chats or ()), _led(chats or ())
        if visitor is None or not (schools or led):
            return None
        place = visitor.visit.place
        table = self._membership.table(place, schools, reveal=reveal)
        return table, self._membership.extras(place, schools, led=led, reveal=reveal)

    def _chats_of(self, visit: Visit) -> Sequence[Mine] | None:
        """The chats of whoever has proven in this visit an account that is theirs; None: nobody has. Blocks."""
        person = self._store.links.proven(visit)
        return self._membership.chats(visit.place, person) if person is not None else None

    async def _unlink(self, request: Request) -> Response:
        fields = await self._pages.posted(request)
        visitor = await self._checked(request, fields)
        if visitor is None:
            return self._pages.to(request, "/chats")
        accounts = await asyncio.to_thread(self._mine_of, visitor.visit)
        account = fields.get("account", "")
        if account not in accounts:
            return self._pages.to(request, "/chats/mine")
        if fields.get("sure") != "yes":
            return self._pages.page(request, "chats-sure.html", account=account, secret=visitor.secret)
        ended = await asyncio.to_thread(self._taken_back, visitor.visit, account)
        log.info("links were taken back", links=ended)
        return self._pages.to(request, "/chats/mine")

    def _taken_back(self, visit: Visit, account: str) -> int:
        """Blocks."""
        person = visit.person or self._store.links.holder(visit.place, account)
        if person is None:
            return 0
        return self._store.links.unlink(visit.place, person, now=self._clock.now(), account=account)

    def _mine_of(self, visit: Visit) -> list[str]:
        """The linked accounts that a visitor may see and take back: all by the code, else the proven one. Blocks."""
        if visit.person is not None:
            return self._store.links.accounts(visit.place, visit.person)
        if visit.proof is not Proof.PROVEN or visit.account is None:
            return []
        return [visit.account] if self._store.links.holder(visit.place, visit.account) is not None else []

    async def _sign_out(self, request: Request) -> Response:
        fields = await self._pages.posted(request)
        visitor = await self._checked(request, fields)
        if visitor is not None:
            await asyncio.to_thread(self._store.links.end, visitor.key)
        answer = self._pages.to(request, "/chats")
        self._visits.remember(answer, "")
        return answer

    # ------------------------------------------------------------------------------------------------------------

    def _entered(self, request: Request, made: str, path: str) -> Response:
        answer = self._pages.to(request, path)
        self._visits.remember(answer, made)
        return answer

    def _dead(self, request: Request) -> Response:
        return self._pages.page(request, "message.html", 410, key="chats.dead", more="")

    async def _checked(self, request: Request, fields: dict[str, str]) -> Visitor | None:
        """The visitor whose form this is; raises HTTPException for another's, or too many."""
        visitor = await asyncio.to_thread(self._visits.of, request)
        if visitor is not None:
            check_own(fields, visitor.secret)
            if not self._per_visit.take(visitor.key):
                raise HTTPException(429)
        return visitor

    def _place(self, place: Place) -> dict[str, str] | None:
        """What the last run of the platform told of a place; None: nobody links there now. Blocks."""
        found = self._store.links.places().filter(**place._asdict())
        return found.row(0, named=True) if found.height else None

    def _initials(self, place: Place, person: str) -> str | None:
        """What of a name confirms to its bearer that the code is theirs; None: not in the records now. Blocks."""
        accepted = self._store.accepted(namespace=place.namespace, district=place.district)
        if accepted is None:
            return None
        directory = self._store.snapshots(namespace=place.namespace, district=place.district)
        (users,) = scan(directory, accepted.serving, "users")
        found = users.filter(pl.col("id") == person, pl.col("enabled").fill_null(value=True))
        for given, family in found.select("given", "family").collect().iter_rows():
            letters = [next((sign for sign in name or "" if sign.isalpha()), "") for name in (given, family)]
            return " ".join(f"{letter.upper()}." for letter in letters if letter) or "-"
        return None


def _headed(chats: Sequence[Mine]) -> Sequence[str]:
    """Source ids of the schools whose staff room somebody leads, sorted."""
    return sorted({chat.school for chat in chats if chat.type is ChatType.STAFF_ROOM and chat.missing is not None})


def _led(chats: Sequence[Mine]) -> Sequence[str]:
    """The extra chats that somebody leads (`Mine.policy`)."""
    return [chat.policy for chat in chats if chat.type is None and chat.missing is not None]


def _cells(table: pl.DataFrame) -> pl.DataFrame:
    """For spreadsheets: links, or in brackets why there is none, and counts."""
    counts = [
        pl.col(f"{column}_count").struct[part].alias(f"{column} {part}")
        for column in COLUMNS
        for part in ("linked", "unlinked")
    ]
    links = cells(table.select(TABLE.names()))
    return pl.concat([links, table.select(counts)], how="horizontal")

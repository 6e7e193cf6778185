"""What all pages have: languages, the frame around them, forms that are ours, limits. Neighbours: `site`, `chats`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

import jinja2
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from homeroom.api import Language
from homeroom.reconcile.ports import Clock
from homeroom.seats.keys import ALPHABET
from homeroom.seats.letters import CODES
from homeroom.web.gate import form, upload
from homeroom.web.limits import Limit, network
from homeroom.web.words import LANGUAGES, NAMES, preferred, say

_TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("homeroom.web"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Pages:
    """Reads forms, and answers with pages. `public_url`: scheme and host of our pages, as browsers write them."""

    def __init__(self, *, clock: Clock, public_url: str) -> None:
        self.origin = public_url
        self._secure = public_url.startswith("https:")
        # A school has one address for all its teachers.
        self._per_address = Limit(burst=30, seconds=20, monotonic=clock.monotonic)
        # Whoever has thousands of addresses must not use up what is allowed to all together.
        self._per_network = Limit(burst=100, seconds=2, monotonic=clock.monotonic)
        self._overall = Limit(burst=200, seconds=0.5, monotonic=clock.monotonic)

    async def posted(self, request: Request) -> dict[str, str]:
        """The fields of a form of ours. Raises HTTPException for any other: browsers say from where they send one."""
        self._ours(request)
        return await form(request)

    async def uploaded(self, request: Request, *, file: str, limit: int) -> tuple[dict[str, str], bytes]:
        """As `posted`, with the content of the one file that this form has, of at most `limit` bytes."""
        self._ours(request)
        return await upload(request, file=file, limit=limit)

    def _ours(self, request: Request) -> None:
        if request.headers.getlist("origin") != [self.origin]:
            raise HTTPException(403)

    def limit(self, request: Request) -> None:
        """Raises HTTPException when this address, its network, or all together, try too often."""
        address, whole = self.sender(request)
        if not (self._per_address.take(address) and self._per_network.take(whole) and self._overall.take()):
            raise HTTPException(429)

    @staticmethod
    def sender(request: Request) -> tuple[str, str]:
        """The address that a request comes from, and the network of that, as they count for limits."""
        return network(request.client.host if request.client else "")

    def cookie(self, name: str) -> str:
        """The cookie's name. The prefix lets no other host of the domain set it; browsers take it over https only."""
        return f"__Host-{name}" if self._secure else name

    def set_cookie(self, answer: Response, name: str, value: str, seconds: int) -> None:
        """Leave a word with the browser, which sends it to nobody but us, and with requests of our own pages only."""
        answer.set_cookie(name, value, max_age=seconds, path="/", secure=self._secure, httponly=True, samesite="strict")

    @staticmethod
    def to(request: Request, path: str) -> Response:
        """Go on to a page of ours; `path` is always one of our own words."""
        chosen = _chosen(request)
        return RedirectResponse(path + (f"?lang={CODES[chosen]}" if chosen else ""), status_code=303)

    @staticmethod
    def page(
        request: Request,
        template: str,
        status: int = 200,
        /,
        headers: Mapping[str, str] | None = None,
        **values: object,
    ) -> Response:
        """A page, in the reader's language."""
        language, chosen = language_of(request), _chosen(request)
        suffix = f"?lang={CODES[chosen]}" if chosen else ""
        html = _TEMPLATES.get_template(template).render(
            **values,
            t=partial(say, language),
            to=lambda path: path + suffix,
            # A page that answers a form cannot be asked for again in another language.
            askable=request.method in {"GET", "HEAD"},
            language=CODES[language],
            languages=NAMES,
            alphabet=ALPHABET,
        )
        more = {"content-language": CODES[language], "vary": "accept-language"}
        return HTMLResponse(html, status, headers={**(headers or {}), **more})


def language_of(request: Request) -> Language:
    """The language that was chosen on the page, else the one that the browser likes best."""
    return _chosen(request) or preferred(request.headers.get("accept-language", ""))


def _chosen(request: Request) -> Language | None:
    return LANGUAGES.get(request.query_params.get("lang", ""))

"""Whose request this is: the word in a browser's cookie, and what shows that a form is that browser's own.

Neighbours: `chats` (where visits begin), `join`, `lessons`, `site` (sessions of teachers), `homeroom.store.links`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from homeroom.reconcile.ports import Clock
from homeroom.store import Store, Visit
from homeroom.web.desk import digest_of
from homeroom.web.pages import Pages

VISIT_LIFETIME: Final = timedelta(minutes=30)


def secret_of(made: str) -> str:
    """What the forms of whoever has this word in a cookie carry: nobody else can send one in their name."""
    return hashlib.sha256(f"proof of {made}".encode()).hexdigest()


def check_own(fields: Mapping[str, str], secret: str) -> None:
    """Raises HTTPException unless a form carries this secret."""
    if not hmac.compare_digest(fields.get("proof", "").encode(), secret.encode()):
        raise HTTPException(403)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who is on the pages of chats. `key`: digest of the word in the cookie. `secret`: what their forms carry."""

    key: str
    secret: str
    visit: Visit


class Visits:
    """Knows visitors of the pages of chats by their cookie."""

    def __init__(self, *, store: Store, pages: Pages, clock: Clock) -> None:
        self._store, self._pages, self._clock = store, pages, clock
        self._cookie = pages.cookie("homeroom-chats")

    def of(self, request: Request) -> Visitor | None:
        """Who sends a request; None: nobody that we know, or not any more. Blocks."""
        made = request.cookies.get(self._cookie, "")
        key = digest_of(made)
        visit = self._store.links.visit(key, now=self._clock.now())
        return None if visit is None else Visitor(key=key, secret=secret_of(made), visit=visit)

    def remember(self, answer: Response, made: str) -> None:
        """Leave the word of a visit with the browser; an empty one takes it away."""
        seconds = int(VISIT_LIFETIME.total_seconds()) if made else 0
        self._pages.set_cookie(answer, self._cookie, made, seconds)

"""The web service really listening, over a store with two schools, and a browser that does what browsers do."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from pathlib import Path

import aiohttp
import polars as pl
import pytest
from tests.unit.roster.rosters import Held, Org, Record, User, roster_of
from tests.unit.stores import open_store

from homeroom.roster.digest import digest
from homeroom.roster.findings import Findings
from homeroom.seats import keys
from homeroom.sources import CREDENTIALS, Snapshot, write
from homeroom.store import LICENCE_SCHEMA, Accepted, LicenceName, Store
from homeroom.web.desk import Desk, Mailer
from homeroom.web.server import Settings, served

PUBLIC = "https://licences.example"
KEY = keys.new_key(lambda n: n // 3)
SOUTH_KEY = keys.new_key(lambda n: n // 5)
NOW = datetime(2026, 10, 1, 8, 0, tzinfo=UTC)

SCHOOLS = (Org("s-1", name="North"), Org("s-2", name="South"))
PEOPLE: tuple[Record, ...] = (
    User("t-1", given="Ann", family="Berg", username="anna", identifier="1001", email="Ann@north.example"),
    User("t-2", given="Bo", family="Carlsson", email="bo@north.example"),
    User("t-3", given="Cay", family="Dahl", email="cay@south.example"),
    User("t-4", given="Dag", family="Ek", username="dag"),
    User("t-5", given="Eva", family="Falk", email="office@north.example"),
    User("t-6", given="Finn", family="Gren", email="office@north.example"),
    User("t-7", given="Gun", family="Hall", email="gun@north.example", enabled=False),
    User("t-8", given="Hans", family="Ivarsson", email="hans@north.example"),
    User("t-9", given="Ida", family="Jern", username="ida", email="ida@north.example\r\nBcc: all@north.example"),
    User("u-1", given="Pupil", family="Kvist", email="pupil@north.example"),
    *(Held(f"t-{number}", "teacher", "s-1") for number in (1, 2, 4, 5, 6, 7, 9)),
    Held("t-3", "teacher", "s-2"),
    Held("t-8", "teacher", "s-1", end=NOW.date()),
    Held("u-1", "student", "s-1"),
)


def without(person: str) -> list[Record]:
    """The people but one."""
    return [one for one in PEOPLE if person not in {getattr(one, "id", None), getattr(one, "user", None)}]


def serve_records(store: Store, *records: Record, epoch: int = 1) -> None:
    """Make these the records of the district that everybody sees."""
    roster = roster_of(*records)
    snapshot = Snapshot(
        digest=digest(roster.tables()),
        roster=roster,
        findings=Findings.none(),
        counts={},
        credentials=pl.DataFrame(schema=CREDENTIALS),
    )
    place = {"namespace": "n", "district": "d"}
    write(snapshot, store.snapshots(**place))
    accepted = Accepted(digest=snapshot.digest, accepted_at=NOW, validator=None, spec_digest="")
    store.accept(accepted, **place, epoch=epoch)


def tell(store: Store, *, title: str = "North School", granted: int = 30, used: int = 12, waiting: int = 0) -> None:
    """What the last run of the pool said: a licence of either school."""
    rows = [
        ("n", "north", "d", "s-1", title, granted, used, waiting),
        ("n", "south", "d", "s-2", "South School", 10, 0, 0),
    ]
    store.web.tell(pl.DataFrame(rows, LICENCE_SCHEMA, orient="row"), namespace="n", pool="p", epoch=1)


@pytest.fixture(scope="session")
def two_schools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a store with two schools, each with a licence. Nobody changes it."""
    directory = tmp_path_factory.mktemp("two-schools")
    store = open_store(directory)
    serve_records(store, *SCHOOLS, *PEOPLE)
    made = {"north": KEY, "south": SOUTH_KEY}
    digests = {LicenceName("n", licence): keys.digest(key) for licence, key in made.items()}
    store.licences.make_keys(digests, at=NOW, epoch=1)
    tell(store)
    store.close()
    return directory


@pytest.fixture
def store(two_schools: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copytree(two_schools, tmp_path, dirs_exist_ok=True)
    store = open_store(tmp_path)
    yield store
    store.close()


@dataclass(slots=True)
class Clock:
    """Stands still until it is moved."""

    moment: datetime = NOW

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    def forward(self, **by: float) -> None:
        self.moment += timedelta(**by)


@dataclass(slots=True)
class Postbox:
    """Keeps mails instead of sending them; `stuck`: takes for ever."""

    mails: list[tuple[str, str, str]] = field(default_factory=list)
    stuck: bool = False

    async def send(self, to: str, subject: str, text: str, *, language: str = "en") -> None:
        del language
        if self.stuck:
            await asyncio.Event().wait()
        self.mails.append((to, subject, text))


class _Form(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append((values["action"], {}))
        elif tag == "input":
            self.forms[-1][1][values["name"]] = values.get("value", "")


@dataclass(frozen=True, slots=True)
class Page:
    status: int
    text: str
    headers: dict[str, str]

    @property
    def title(self) -> str:
        found = re.search(r"<h1>(.*?)</h1>", self.text)
        return found[1] if found else ""

    @property
    def location(self) -> str:
        return self.headers.get("location", "")

    def form(self, action: str, **wanted: str) -> dict[str, str]:
        """The fields of the form that goes there, and has these values."""
        parser = _Form()
        parser.feed(self.text)
        fitting = [fields for goes, fields in parser.forms if goes == action and wanted.items() <= fields.items()]
        assert len(fitting) == 1, parser.forms
        return fitting[0]


@dataclass(slots=True)
class Browser:
    """Keeps cookies, tells with each form where it comes from, and shows redirects."""

    session: aiohttp.ClientSession
    base: str
    cookies: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, **headers: str) -> Page:
        return await self.ask("GET", path, headers=headers)

    async def post(self, path: str, fields: dict[str, str] | None = None, **headers: str) -> Page:
        return await self.ask("POST", path, data=fields or {}, headers={"Origin": PUBLIC, **headers})

    async def ask(
        self,
        method: str,
        path: str,
        *,
        data: dict[str, str] | bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Page:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {**({"Cookie": cookie} if cookie else {}), **(headers or {})}
        if data == {}:
            data, sent = b"", {"Content-Type": "application/x-www-form-urlencoded", **sent}
        async with self.session.request(
            method, self.base + path, data=data, headers=sent, allow_redirects=False
        ) as answer:
            for line in answer.headers.getall("Set-Cookie", []):
                for name, morsel in SimpleCookie(line).items():
                    self.cookies[name] = morsel.value
            headers_ = {name.lower(): value for name, value in answer.headers.items()}
            return Page(answer.status, await answer.text(), headers_)


@dataclass(slots=True)
class Town:
    """The whole service, with what is around it."""

    store: Store
    clock: Clock
    mail: Postbox
    desk: Desk
    browser: Browser
    port: int

    async def asked(self, account: str, key: str | None = KEY, *, lang: str = "") -> Page:
        """The answer to what somebody entered, when all that follows from it has been done."""
        fields = {"account": account, **({} if key is None else {"key": key})}
        page = await self.browser.post(("/sign-in" if key is None else "/connect") + lang, fields)
        await self.desk.settled()
        return page

    async def link(self, account: str, key: str | None = KEY) -> str:
        """The path of the link that somebody was mailed."""
        before = len(self.mail.mails)
        await self.asked(account, key)
        ((_, _, text),) = self.mail.mails[before:]
        return link_in(text)

    async def signed_in(self, account: str, key: str | None = KEY) -> Page:
        """Somebody connects, or signs in, all the way; the page that they come to."""
        path = await self.link(account, key)
        pressed = await self.browser.post("/link", (await self.browser.get(path)).form("/link?lang=en"))
        assert pressed.status == 303, pressed
        return await self.browser.get(pressed.location)

    @property
    def connected(self) -> list[tuple[str, str]]:
        """Who is connected: licence and teacher."""
        return self.store.licences.connections(["n"]).select("licence", "teacher").rows()


def link_in(text: str) -> str:
    found = re.findall(rf"{PUBLIC}(/link/\S+)", text)
    assert len(found) == 1
    return str(found[0])


@asynccontextmanager
async def town_of(
    store: Store, mailer: Mailer | None = None, *, trusted: tuple[str, ...] = (), seconds: float = 60.0
) -> AsyncIterator[Town]:
    clock, mail = Clock(), Postbox()
    settings = Settings(
        public_url=PUBLIC, host="127.0.0.1", port=0, trusted_proxies=trusted, connection_seconds=seconds, stop_seconds=1
    )
    async with (
        served(settings, store=store, mailer=mailer or mail, clock=clock) as (port, desk),
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        browser = Browser(session, f"http://127.0.0.1:{port}")
        yield Town(store=store, clock=clock, mail=mail, desk=desk, browser=browser, port=port)


@pytest.fixture
async def town(store: Store) -> AsyncIterator[Town]:
    async with town_of(store) as town:
        yield town

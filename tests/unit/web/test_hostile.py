"""What somebody might try who means harm, or to find out something: each of it fails, or tells nothing."""

from __future__ import annotations

import asyncio
import io
import json
import re
from contextlib import suppress

import pytest

from homeroom.operator.logs import configure
from homeroom.seats import keys
from homeroom.store import LicenceName, Purpose, Store, Ticket
from homeroom.web.desk import digest_of

from .conftest import (
    KEY,
    NOW,
    PUBLIC,
    SCHOOLS,
    SOUTH_KEY,
    Browser,
    Page,
    Postbox,
    Town,
    serve_records,
    tell,
    town_of,
    without,
)

UNKNOWN_KEY = keys.new_key(lambda n: n // 7)


def told(page: Page) -> tuple[int, str, dict[str, str]]:
    """All of an answer that could tell something."""
    return page.status, page.text, {name: value for name, value in page.headers.items() if name != "date"}


# -- finding out what exists ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "key"),
    [
        ("anna", UNKNOWN_KEY),  # no such key
        ("nobody@north.example", KEY),  # no such person
        ("pupil@north.example", KEY),  # no teacher
        ("cay@south.example", KEY),  # of another school
        ("dag", KEY),  # no address in the records
        ("office@north.example", KEY),  # two people share it
        ("gun@north.example", KEY),  # disabled
        ("hans@north.example", KEY),  # the role ended yesterday
        ("ida", KEY),  # an address that would add a header
        ("anna", None),  # not connected to anything
    ],
)
async def test_what_does_not_fit_is_answered_like_what_fits(town: Town, account: str, key: str | None) -> None:
    expected = told(await town.asked("bo@north.example"))
    town.mail.mails.clear()
    assert told(await town.asked(account, key)) == expected
    assert town.mail.mails == []
    assert town.connected == []


async def test_a_revoked_key_is_answered_like_a_live_one(town: Town) -> None:
    expected = told(await town.asked("bo@north.example"))
    town.mail.mails.clear()
    town.store.licences.revoke([LicenceName("n", "north")], at=NOW, epoch=1)
    assert told(await town.asked("anna")) == expected
    assert town.mail.mails == []


async def test_the_answer_waits_for_nothing_that_depends_on_what_was_entered(store: Store) -> None:
    stuck = Postbox(stuck=True)
    async with town_of(store, stuck) as town, asyncio.timeout(30):
        pages = [
            await town.browser.post("/connect", {"key": key, "account": account})
            for key, account in ((KEY, "anna"), (KEY, "anna"), (KEY, "bo@north.example"), (UNKNOWN_KEY, "anna"))
        ]
        assert {page.status for page in pages} == {303}


async def test_the_page_behind_a_dead_link_says_not_why(town: Town) -> None:
    used = await town.link("anna")
    await town.browser.post("/link", (await town.browser.get(used)).form("/link?lang=en"))
    town.browser.cookies.clear()
    never = await town.browser.get("/link/" + "x" * 43 + "?lang=en")
    assert never.status == 410
    assert re.sub("/link/[^?]+", "", (await town.browser.get(used)).text) == re.sub("/link/[^?]+", "", never.text)


# -- taking over ------------------------------------------------------------------------------------------------------


async def test_opening_the_link_changes_nothing(town: Town) -> None:
    """Programmes that look at mails open links, some of them with HEAD."""
    path = await town.link("anna")
    for method in ("HEAD", "GET", "GET"):
        page = await town.browser.ask(method, path)
        assert page.status == 200
    assert town.connected == []
    assert town.browser.cookies == {}
    assert (await town.browser.post("/link", page.form("/link?lang=en"))).status == 303


async def test_a_link_works_once(town: Town) -> None:
    path = await town.link("anna")
    form = (await town.browser.get(path)).form("/link?lang=en")
    first, *others = sorted(
        [page.status for page in await asyncio.gather(*(town.browser.post("/link", form) for _ in range(5)))]
    )
    assert first == 303
    assert set(others) == {410}
    town.store.licences.disconnect(
        LicenceName("n", "north"), district="d", teacher="t-1", why=keys.Ended.LEFT, by=None, at=NOW
    )
    assert (await town.browser.post("/link", form)).status == 410
    assert town.connected == []


@pytest.mark.parametrize("key", [KEY, None])
async def test_a_link_ends_after_an_hour(town: Town, key: str | None) -> None:
    await town.signed_in("anna")
    path = await town.link("anna", key)
    form = (await town.browser.get(path)).form("/link?lang=en")
    town.clock.forward(minutes=60)
    assert (await town.browser.get(path)).status == 410
    assert (await town.browser.post("/link", form)).status == 410


async def test_a_link_dies_with_its_key(town: Town) -> None:
    path = await town.link("anna")
    form = (await town.browser.get(path)).form("/link?lang=en")
    other = keys.digest(keys.new_key(lambda n: n // 2))
    town.store.licences.make_keys({LicenceName("n", "north"): other}, at=NOW, epoch=1)
    assert (await town.browser.get(path)).status == 410
    assert (await town.browser.post("/link", form)).status == 410
    assert town.connected == []


async def test_a_link_dies_when_its_teacher_leaves_the_school(town: Town) -> None:
    path = await town.link("anna")
    form = (await town.browser.get(path)).form("/link?lang=en")
    serve_records(town.store, *SCHOOLS, *without("t-1"))
    assert (await town.browser.get(path)).status == 410
    assert (await town.browser.post("/link", form)).status == 410
    assert town.connected == []


async def test_a_session_is_no_link_and_a_link_is_no_session(town: Town) -> None:
    await town.signed_in("anna")
    session = dict(town.browser.cookies)
    (word,) = session.values()
    assert (await town.browser.get(f"/link/{word}")).status == 410
    assert (await town.browser.post("/link", {"word": word})).status == 410
    assert (await town.browser.get("/licences")).status == 200
    link = (await town.link("anna", None)).removeprefix("/link/").partition("?")[0]
    town.browser.cookies = dict.fromkeys(session, link)
    assert (await town.browser.get("/licences")).location == "/sign-in"


async def test_a_session_ends_by_itself_and_by_signing_out(town: Town) -> None:
    await town.signed_in("anna")
    stolen = dict(town.browser.cookies)
    await town.browser.post("/sign-out")
    town.browser.cookies = stolen
    assert (await town.browser.get("/licences")).location == "/sign-in"
    await town.signed_in("anna", None)
    town.clock.forward(minutes=60)
    assert (await town.browser.get("/licences")).location == "/sign-in"


async def test_the_cookie_stays_where_it_belongs(town: Town) -> None:
    path = await town.link("anna")
    pressed = await town.browser.post("/link", (await town.browser.get(path)).form("/link?lang=en"))
    cookie = pressed.headers["set-cookie"]
    assert cookie.startswith("__Host-homeroom=")
    for word in ("HttpOnly", "Path=/", "SameSite=strict", "Secure"):
        assert word in cookie
    assert "Domain" not in cookie


async def test_who_has_left_the_school_sees_nothing_any_more(town: Town) -> None:
    await town.signed_in("bo@north.example")
    page = await town.signed_in("anna")
    serve_records(town.store, *SCHOOLS, *without("t-1"))
    assert "Bo Carlsson" not in (await town.browser.get("/licences")).text
    form = {**page.form("/licences/remove", teacher="t-2"), "sure": "yes"}
    await town.browser.post("/licences/remove", form)
    assert ("north", "t-2") in town.connected


@pytest.mark.parametrize(
    "tampered",
    [
        {"licence": "n/south", "teacher": "t-3"},  # of a licence that one is not connected to
        {"licence": "n/north", "teacher": "t-3"},  # who is not connected to one's own
        {"licence": "m/north"},
        {"licence": ""},
        {"teacher": "t-1"},  # oneself: that is to leave
    ],
)
async def test_only_colleagues_of_ones_own_licence_can_be_removed(town: Town, tampered: dict[str, str]) -> None:
    await town.signed_in("cay@south.example", SOUTH_KEY)
    await town.signed_in("bo@north.example")
    page = await town.signed_in("anna")
    form = {**page.form("/licences/remove", teacher="t-2"), **tampered, "sure": "yes"}
    before = town.connected
    assert (await town.browser.post("/licences/remove", form)).location == "/licences"
    assert town.connected == before
    assert len(before) == 3


# -- forms of other sites ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", PUBLIC + ".evil.example", PUBLIC + ":8443"])
async def test_forms_of_other_sites_are_refused(town: Town, origin: str | None) -> None:
    await town.signed_in("bo@north.example")
    page = await town.signed_in("anna")
    link = (await town.browser.get(await town.link("anna", None))).form("/link?lang=en")
    town.mail.mails.clear()
    headers = {} if origin is None else {"Origin": origin}
    remove = {**page.form("/licences/remove", teacher="t-2"), "sure": "yes"}
    leave = {**page.form("/licences/leave"), "sure": "yes"}
    for path, fields in {
        "/connect": {"key": KEY, "account": "anna"},
        "/sign-in": {"account": "anna"},
        "/link": link,
        "/licences/remove": remove,
        "/licences/leave": leave,
        "/sign-out": {"x": "y"},
    }.items():
        answer = await town.browser.ask("POST", path, data=fields, headers=headers)
        assert answer.status == 403, path
    await town.desk.settled()
    assert town.mail.mails == []
    assert len(town.connected) == 2
    assert (await town.browser.get("/licences")).status == 200
    assert (await town.browser.post("/link", link)).status == 303


@pytest.mark.parametrize("proof", [None, "", "0" * 64, "\u00e9"])
async def test_what_a_session_does_needs_a_form_that_it_was_given(town: Town, proof: str | None) -> None:
    page = await town.signed_in("anna")
    form = {**page.form("/licences/leave"), "sure": "yes"}
    form = {name: value for name, value in form.items() if name != "proof"} | (
        {} if proof is None else {"proof": proof}
    )
    assert (await town.browser.post("/licences/leave", form)).status == 403
    assert town.connected == [("north", "t-1")]


# -- sending people elsewhere -----------------------------------------------------------------------------------------


async def test_links_lead_to_us_whatever_host_was_asked(town: Town) -> None:
    forged = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher"}
    answer = await town.browser.post("/connect", {"key": KEY, "account": "anna"}, **forged)
    await town.desk.settled()
    ((_, _, text),) = town.mail.mails
    assert re.findall(r"\S+://\S+?/", text) == [PUBLIC + "/"]
    assert answer.location == "/sent"


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "//evil.example/",
        "/connect/",
        "/\\evil.example",
        "/?next=//evil.example",
        "/connect?lang=//evil.example",
    ],
)
async def test_no_answer_leads_elsewhere(town: Town, path: str) -> None:
    for host in ({}, {"Host": "evil.example"}):
        page = await town.browser.get(path, **host)
        assert page.location in {"", "/connect"}
        assert "evil" not in page.text


# -- what is put into headers, mails and pages ------------------------------------------------------------------------


@pytest.mark.parametrize("account", ["anna\r\nBcc: all@x.example", "anna\nx", "anna\x00", "\u202eanna", "", "a" * 255])
async def test_odd_accounts_are_turned_away_at_once(town: Town, account: str) -> None:
    page = await town.asked(account)
    assert page.status == 422
    assert "Enter your e-mail address or user name." in page.text
    assert town.mail.mails == []


async def test_no_header_is_made_of_what_was_entered(town: Town) -> None:
    page = await town.browser.get("/?lang=sv%0d%0aSet-Cookie:%20a=b")
    assert page.location == "/connect"
    assert "set-cookie" not in page.headers


async def test_what_was_entered_comes_back_as_text(town: Town) -> None:
    page = await town.asked('"><script>alert(1)</script>', "<b>")
    assert page.status == 422
    assert "<script" not in page.text
    assert page.form("/connect") == {"key": "<b>", "account": '"><script>alert(1)</script>'}


async def test_names_of_the_records_stay_text(town: Town) -> None:
    tell(town.store, title="<img src=x onerror=alert(1)>\u202e\x07{0}\n" + "N" * 5000)
    page = await town.browser.get(await town.link("anna"))
    assert page.title.startswith("Connect to &lt;img src=x onerror=alert(1)&gt;{0} NNN")
    assert len(page.title) < 300
    # A mail has no words of the records or of the asker in it at all.
    ((_, subject, text),) = town.mail.mails
    assert "img" not in subject + text


# -- trying often -----------------------------------------------------------------------------------------------------


async def tries(browser: Browser, number: int, **headers: str) -> list[int]:
    return [(await browser.post("/sign-in", {"account": "x"}, **headers)).status for _ in range(number)]


async def test_an_address_may_try_thirty_times_and_then_wait(town: Town) -> None:
    statuses = await tries(town.browser, 32)
    assert statuses == [303] * 30 + [429] * 2
    town.clock.forward(seconds=40)
    assert await tries(town.browser, 3) == [303, 303, 429]


async def test_who_says_to_be_somebody_else_counts_all_the_same(town: Town) -> None:
    statuses = [(await tries(town.browser, 1, **{"X-Forwarded-For": f"203.0.113.{number}"}))[0] for number in range(31)]
    assert statuses[-1] == 429


async def test_behind_our_own_proxy_each_address_counts_for_itself(store: Store) -> None:
    async with town_of(store, trusted=("127.0.0.0/8",)) as town:
        # The proxy puts its word last; what stands before it came from outside.
        forged = [{"X-Forwarded-For": f"198.51.100.{number}, 203.0.113.1"} for number in range(31)]
        assert [(await tries(town.browser, 1, **headers))[0] for headers in forged][-1] == 429
        assert await tries(town.browser, 1, **{"X-Forwarded-For": "203.0.113.2"}) == [303]


async def test_all_together_are_limited_too(store: Store) -> None:
    async with town_of(store, trusted=("127.0.0.0/8",)) as town:
        statuses = [
            (await tries(town.browser, 1, **{"X-Forwarded-For": f"203.0.{number}.1"}))[0] for number in range(201)
        ]
        assert statuses == [303] * 200 + [429]


@pytest.mark.parametrize("address", ["2001:db8:1:{:x}::1", "203.0.113.{}"])
async def test_who_has_a_whole_network_leaves_something_to_others(store: Store, address: str) -> None:
    async with town_of(store, trusted=("127.0.0.0/8",)) as town:
        statuses = [
            (await tries(town.browser, 1, **{"X-Forwarded-For": address.format(number)}))[0] for number in range(102)
        ]
        assert statuses == [303] * 100 + [429] * 2
        assert await tries(town.browser, 1, **{"X-Forwarded-For": "198.51.100.1"}) == [303]


async def test_links_cannot_be_guessed_faster_either(town: Town) -> None:
    statuses = [(await town.browser.post("/link", {"word": "x"})).status for _ in range(31)]
    assert statuses == [410] * 30 + [429]


async def test_nobodys_mailbox_is_flooded_and_the_asker_is_not_told(town: Town) -> None:
    pages = [told(await town.asked("anna")) for _ in range(5)]
    assert pages[1:] == pages[:-1]
    assert len(town.mail.mails) == 3
    town.clock.forward(minutes=20)
    await town.asked("anna")
    assert len(town.mail.mails) == 4


async def test_a_key_that_went_astray_sends_no_endless_mails(store: Store) -> None:
    async with town_of(store, trusted=("127.0.0.0/8",)) as town:
        for number in range(61):
            fields = {"key": KEY, "account": "nobody"}
            await town.browser.post("/connect", fields, **{"X-Forwarded-For": f"203.0.113.{number}"})
        await town.desk.settled()
        await town.browser.post("/connect", {"key": KEY, "account": "anna"}, **{"X-Forwarded-For": "198.51.100.1"})
        await town.desk.settled()
        assert town.mail.mails == []
        town.clock.forward(minutes=2)
        await town.asked("anna")
        assert len(town.mail.mails) == 1


# -- wearing us out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"account=" + b"x" * 4096, "application/x-www-form-urlencoded", 413),
        (b"&".join(b"a%d=b" % number for number in range(11)), "application/x-www-form-urlencoded", 400),
        (b"account=%ff", "application/x-www-form-urlencoded", 400),
        (b"{}", "application/json", 415),
        (b"x", "multipart/form-data; boundary=x", 415),
    ],
)
async def test_forms_are_small_and_plain(town: Town, body: bytes, kind: str, status: int) -> None:
    headers = {"Origin": PUBLIC, "Content-Type": kind}
    assert (await town.browser.ask("POST", "/sign-in", data=body, headers=headers)).status == status


@pytest.mark.parametrize(("path", "header"), [("/connect", "x" * 9_000), ("/connect?lang=" + "x" * 9_000, "x")])
async def test_headers_are_not_endless(town: Town, path: str, header: str) -> None:
    assert (await town.browser.get(path, Long=header)).status == 431


HALF = {
    "nothing": b"",
    "some headers": b"GET /connect HTTP/1.1\r\nHost: x\r\n",
    "half of a form": b"POST /sign-in HTTP/1.1\r\nHost: x\r\nOrigin: " + PUBLIC.encode() + b"\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 99\r\n\r\naccount=",
}


@pytest.mark.parametrize("half", HALF.values(), ids=HALF)
async def test_nobody_keeps_a_connection_by_being_slow(store: Store, half: bytes) -> None:
    async with town_of(store, seconds=0.5) as town, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", town.port)
        writer.write(half)
        with suppress(ConnectionError):
            assert await reader.read() == b""  # the other side has ended it
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_slow_forms_keep_nobody_out(town: Town) -> None:
    """More connections than there are places for; a probe that failed for that would end the process."""
    slow = []
    for _ in range(300):
        _, writer = await asyncio.open_connection("127.0.0.1", town.port)
        writer.write(HALF["half of a form"])
        slow.append(writer)
    try:
        async with asyncio.timeout(30):
            assert [(await town.browser.get(path)).status for path in ("/livez", "/readyz", "/connect")] == [200] * 3
            assert (await town.asked("anna")).status == 303
    finally:
        for writer in slow:
            writer.close()


async def test_a_form_that_is_broken_off_is_no_failure_of_ours(town: Town) -> None:
    class Lines(io.StringIO):
        told = asyncio.Event()

        def write(self, text: str) -> int:
            self.told.set()
            return super().write(text)

    lines = Lines()
    configure(level="info", console=False, stream=lines)
    _, writer = await asyncio.open_connection("127.0.0.1", town.port)
    writer.write(HALF["half of a form"])
    await writer.drain()
    writer.close()
    async with asyncio.timeout(30):
        await lines.told.wait()
    (line,) = map(json.loads, lines.getvalue().splitlines())
    assert (line["event"], line["status"]) == ("request", 400)


ODD = (
    b"GET http://evil.example/connect HTTP/1.1",
    b"CONNECT evil.example:443 HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"TRACE /connect HTTP/1.1",
    b"PUT /chats HTTP/1.1",
    b"DELETE /licences/leave HTTP/1.1",
    b"PROPFIND / HTTP/1.1",
    b"GET /connect?\xff HTTP/1.1",
    b"GET /%ff%fe HTTP/1.1",
    b"GET /../../etc/passwd HTTP/1.1",
    b"GET /style.css/..%2f..%2fsite.py HTTP/1.1",
    b"GET /link/%00%0d%0aX:%20y HTTP/1.1",
    b"GET /link/%ed%a0%80 HTTP/1.1",
    b"GET /chats?code=%ff%00%0d%0a&lang=%f0 HTTP/1.1",
    b"GET /connect HTTP/1.1\r\nHost: x/sign-in?",
    b"GET /connect HTTP/1.1\r\nHost: [",
    b"GET /connect HTTP/1.1\r\nUpgrade: websocket",
    b"GET /connect HTTP/1.1\r\nAccept-Language: en;q=nan,sv;q=inf,ru;q=-1,nl;q=1e999,;;=,\xff",
    b'GET /licences HTTP/1.1\r\nCookie: __Host-homeroom="\\377\\000"; =; a',
    b"GET /chats/mine HTTP/1.1\r\nCookie: __Host-homeroom-chats=\xff\xfe",
    b"POST /chats HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
    b"POST /chats HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6",
    b"POST /chats HTTP/1.1\r\nContent-Length: -1",
    b"GET /connect HTTP/9.9",
    b"GET /connect",
    b"\x16\x03\x01\x02\x00\x01",
)


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
async def test_odd_requests_break_nothing(town: Town, odd: bytes) -> None:
    lines = io.StringIO()
    configure(level="info", console=False, stream=lines)
    reader, writer = await asyncio.open_connection("127.0.0.1", town.port)
    host = b"" if b"Host:" in odd else b"\r\nHost: x"
    writer.write(odd + host + b"\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    status = int(answer.split()[1])
    assert status in {200, 303, 400, 403, 404, 405, 410}
    assert b"x: y" not in answer.lower()
    assert '"level": "error"' not in lines.getvalue()
    assert "passwd" not in lines.getvalue()


# -- what others see --------------------------------------------------------------------------------------------------


async def test_every_answer_keeps_others_out(town: Town) -> None:
    await town.signed_in("anna")
    link = await town.link("anna", None)
    paths = ["/connect", "/sign-in", "/sent", link, "/link/x", "/licences", "/nowhere", "/", "/style.css", "/livez"]
    for path in [*paths, "/chats", "/chats/sign-in", "/chats/mine"]:
        page = await town.browser.get(path)
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "same-origin"
        assert page.headers["strict-transport-security"] == "max-age=31536000"
        assert path == "/style.css" or page.headers["cache-control"] == "no-store"
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|https?://", page.text), path
        assert "server" not in page.headers


async def test_a_failure_tells_nobody_its_words(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Ticket:
        raise RuntimeError("anna was here")

    monkeypatch.setattr(town.store.web, "ticket", broken)
    lines = io.StringIO()
    configure(level="debug", console=False, stream=lines)
    page = await town.browser.get("/link/secret-word")
    assert (page.status, page.title) == (500, "Something went wrong")
    assert "anna" not in page.text + lines.getvalue()
    assert "RuntimeError" in lines.getvalue()


async def test_logs_tell_nobody_who_did_what(town: Town) -> None:
    lines = io.StringIO()
    configure(level="debug", console=False, stream=lines)
    path = await town.link("ann@north.example", keys.shown(KEY))
    await town.browser.post("/link", (await town.browser.get(path)).form("/link?lang=en"))
    page = await town.browser.get("/licences")
    await town.browser.post("/licences/leave", {**page.form("/licences/leave"), "sure": "yes"})
    told_ = lines.getvalue()
    records = [json.loads(line) for line in told_.splitlines()]
    assert {"request", "a link was sent", "a teacher connected", "a connection ended"} <= {
        one["event"] for one in records
    }
    word = path.removeprefix("/link/").partition("?")[0]
    secrets = [word, digest_of(word), KEY, keys.shown(KEY), keys.digest(KEY), *town.browser.cookies.values()]
    people = ["ann", "Berg", "t-1", "127.0.0.1"]
    assert [text for text in secrets + people if text.lower() in told_.lower()] == []


async def test_the_store_has_nothing_that_opens_anything(town: Town) -> None:
    await town.signed_in("anna")
    link = (await town.link("anna", None)).removeprefix("/link/").partition("?")[0]
    (session,) = town.browser.cookies.values()
    with town.store._engine.connect() as connection:
        dump = "\n".join(connection.connection.driver_connection.iterdump())  # type: ignore[union-attr]  # sqlite's
    assert digest_of(link) in dump
    assert Purpose.SESSION in dump
    assert [word for word in (link, session, KEY, "north.example") if word in dump] == []

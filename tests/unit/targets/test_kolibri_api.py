"""Kolibri's web API: every way in which a server can answer is told apart. Against a made-up server on this machine."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from homeroom.errors import HomeroomError, IncompleteReadError, TerminalError, TransientError
from homeroom.targets.kolibri import api as api_module
from homeroom.targets.kolibri.api import Api, RefusedCallError

ME = {"user_id": "a" * 32, "kind": ["superuser"], "facility_id": "f" * 32}
NOBODY = {"user_id": None, "kind": ["anonymous"], "facility_id": "f" * 32}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(
    handler: Handler, *, certificate: ssl.SSLContext | None = None, trust: ssl.SSLContext | None = None, rate: float = 0
) -> AsyncIterator[Api]:
    """A client of a server that answers everything with `handler`."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    server = TestServer(app)
    await server.start_server(ssl=certificate)
    api = client(str(server.make_url("/")), trust=trust, rate=rate)
    try:
        yield api
    finally:
        await api.close()
        await server.close()


def client(
    url: str, *, proxy: str | None = None, trust: ssl.SSLContext | None = None, rate: float | None = None
) -> Api:
    return Api(
        url=url,
        username="operator",
        password="secret",
        facility=None,
        connector=None,
        middlewares=(),
        proxy=proxy,
        tls=trust,
        rate=rate,
    )


def answering(status: int, body: object = "", *, headers: dict[str, str] | None = None) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        if isinstance(body, str):
            return web.Response(status=status, text=body, headers=headers)
        return web.json_response(body, status=status, headers=headers)

    return handler


@pytest.mark.parametrize(
    ("handler", "kind", "reason"),
    [
        (answering(503), TransientError, "TargetUnavailable"),
        (answering(500, "<html>"), TransientError, "TargetUnavailable"),
        (answering(302, headers={"Location": "http://elsewhere.example"}), TransientError, "TargetUnavailable"),
        (answering(200, "<html>a proxy's log-in page</html>"), TransientError, "TargetUnavailable"),
        (answering(200, {"detail": "not a list"}), IncompleteReadError, "TargetIncomplete"),
        (answering(200, ["no objects"]), IncompleteReadError, "TargetIncomplete"),
        (answering(200), IncompleteReadError, "TargetIncomplete"),
        (answering(400, [{"id": "INVALID_CHOICE"}]), IncompleteReadError, "TargetIncomplete"),
        (answering(404), IncompleteReadError, "TargetIncomplete"),
    ],
)
async def test_a_list_that_is_none(handler: Handler, kind: type[HomeroomError], reason: str) -> None:
    async with serving(handler) as api:
        with pytest.raises(kind) as caught:
            await api.fetch("facilityuser/", member_of="x")
    assert caught.value.reason == reason


async def test_an_answer_that_is_too_long_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "_LARGEST", 1 << 20)
    for size, fits in ((1 << 20, True), ((1 << 20) + 1, False)):
        async with serving(answering(200, "[]".ljust(size))) as api:
            if fits:
                assert await api.fetch("facility/") == []
                continue
            with pytest.raises(TransientError, match="more than 1 MiB"):
                await api.fetch("facility/")


async def test_it_is_told_how_long_to_wait() -> None:
    async with serving(answering(429, headers={"Retry-After": "17"})) as api:
        with pytest.raises(TransientError) as caught:
            await api.fetch("facility/")
    assert caught.value.retry_after == 17


async def test_a_refusal_tells_the_code_and_never_what_was_sent() -> None:
    error = [{"id": "MAX_LENGTH", "metadata": {"field": "full_name", "message": "Ann Li is too long"}}]
    async with serving(answering(400, error)) as api:
        with pytest.raises(RefusedCallError) as caught:
            await api.write("POST", "facilityuser/", {"full_name": "Ann Li"})
    assert caught.value.message == "kolibri refused it: MAX_LENGTH (400)"
    for body in ("<html>Ann Li</html>", {"detail": "Ann Li"}, [{"id": 7}], [], [{"id": "Änn Li"}]):
        async with serving(answering(500, body)) as api:
            with pytest.raises(RefusedCallError) as caught:
                await api.write("POST", "facilityuser/", {})
        assert caught.value.message == "kolibri refused it: no error id (500)"


async def test_a_403_leads_to_one_log_in_and_only_when_the_session_is_gone() -> None:
    calls: list[str] = []
    alive = False

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal alive
        calls.append(f"{request.method} {request.path.removeprefix('/api/auth/')}")
        if request.path.endswith("/current/"):
            return web.json_response(ME if alive else NOBODY)
        if request.path.endswith("/session/"):
            alive = True
            return web.json_response(ME)
        return web.json_response({}, status=201 if alive and "good" in request.path else 403)

    async with serving(handler) as api:
        await api.write("POST", "good/", {})
        assert calls == ["POST good/", "PUT session/current/", "POST session/", "POST good/"]
        calls.clear()
        with pytest.raises(RefusedCallError):
            await api.write("POST", "bad/", {})
        assert calls == ["POST bad/", "PUT session/current/"]


@pytest.mark.parametrize("answer", [NOBODY, {**ME, "kind": ["learner"]}, {**ME, "kind": None}, ["nonsense"]])
async def test_who_is_no_administrator_does_not_get_in(answer: object) -> None:
    async with serving(answering(200, answer)) as api:
        with pytest.raises(TerminalError) as caught:
            await api.login()
    assert caught.value.reason == "CredentialsInvalid"


async def test_a_wrong_password_is_said_without_the_password() -> None:
    async with serving(answering(401, [{"id": "INVALID_CREDENTIALS"}])) as api:
        with pytest.raises(TerminalError) as caught:
            await api.login()
    assert caught.value.reason == "CredentialsInvalid"
    assert "secret" not in caught.value.message.replace("Secret", "")


async def test_certificates_are_checked() -> None:
    authority = trustme.CA()
    certificate = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(certificate)
    async with serving(answering(200, []), certificate=certificate) as api:
        with pytest.raises(TransientError, match="caBundle"):
            await api.fetch("facility/")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with serving(answering(200, []), certificate=certificate, trust=trust) as api:
        assert await api.fetch("facility/") == []


async def test_a_proxy_is_asked() -> None:
    asked: list[tuple[str, str | None]] = []

    async def proxy(request: web.Request) -> web.StreamResponse:
        asked.append((str(request.url), request.headers.get("Proxy-Authorization")))
        return web.json_response([])

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", proxy)
    server = TestServer(app)
    await server.start_server()
    api = client("http://kolibri.invalid", proxy=f"http://ann:pw@127.0.0.1:{server.port}")
    try:
        assert api.first_hop == ("127.0.0.1", server.port)
        assert await api.fetch("facility/") == []
    finally:
        await api.close()
        await server.close()
    assert asked == [("http://kolibri.invalid/api/auth/facility/", "Basic YW5uOnB3")]


async def test_writes_keep_to_the_rate() -> None:
    async with serving(answering(201, {}), rate=50) as api:
        begun = time.monotonic()
        for _ in range(6):
            await api.write("POST", "x/", {})
        assert time.monotonic() - begun >= 5 / 50


async def test_many_ids_go_in_several_calls_that_any_server_takes() -> None:
    asked: list[int] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        ids = request.query["by_ids"].split(",")
        asked.append(len(ids))
        return web.json_response([{"id": id_} for id_ in ids])

    ids = [f"{n:032x}" for n in range(501)]
    async with serving(handler) as api:
        assert [row["id"] for row in await api.rows("membership/", "by_ids", ids)] == ids
        assert await api.rows("membership/", "by_ids", []) == []
    assert asked == [200, 200, 101]

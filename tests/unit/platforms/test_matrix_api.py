"""Calls to Synapse: every way in which a server can answer is told apart. Against a made-up server on this machine."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from homeroom.errors import HomeroomError, RefusedError, TerminalError, TransientError
from homeroom.platforms.matrix import api as api_module
from homeroom.platforms.matrix.api import Api, RefusedCallError, path

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(
    handler: Handler, *, certificate: ssl.SSLContext | None = None, trust: ssl.SSLContext | None = None
) -> AsyncIterator[Api]:
    """A client of a server that answers everything with `handler`."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    server = TestServer(app)
    await server.start_server(ssl=certificate)
    api = client(str(server.make_url("/")), trust=trust)
    try:
        yield api
    finally:
        await api.close()
        await server.close()


def client(url: str, *, proxy: str | None = None, trust: ssl.SSLContext | None = None) -> Api:
    return Api(url=url, token="syt_secret", connector=None, middlewares=(), proxy=proxy, tls=trust)


def answering(status: int, body: object = "", *, headers: dict[str, str] | None = None) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        if isinstance(body, str):
            return web.Response(status=status, text=body, headers=headers)
        return web.json_response(body, status=status, headers=headers)

    return handler


NAMED = {"errcode": "M_FORBIDDEN", "error": "@ann:school.test is already in the room."}


@pytest.mark.parametrize(
    ("handler", "kind", "reason"),
    [
        (answering(502), TransientError, "TargetUnavailable"),
        (answering(503, {"errcode": "M_UNKNOWN"}), TransientError, "TargetUnavailable"),
        (answering(302, headers={"Location": "http://elsewhere.example"}), TransientError, "TargetUnavailable"),
        (answering(200, "<html>a proxy's log-in page</html>"), TransientError, "TargetUnavailable"),
        (answering(200, '{"joined_rooms": ["!a:school.test", '), TransientError, "TargetUnavailable"),
        (answering(200, "[" * 200_000), TransientError, "TargetUnavailable"),
        (answering(403, "[" * 200_000), RefusedCallError, "TargetRefused"),
        (answering(401, {"errcode": "M_UNKNOWN_TOKEN"}), TerminalError, "CredentialsInvalid"),
        (answering(403, NAMED), RefusedCallError, "TargetRefused"),
        (answering(500, {"errcode": "M_UNKNOWN"}), RefusedCallError, "TargetRefused"),
        (answering(404, "<html>"), RefusedCallError, "TargetRefused"),
    ],
)
async def test_every_refusal_is_told_apart_and_names_nobody(
    handler: Handler, kind: type[HomeroomError], reason: str
) -> None:
    async with serving(handler) as api:
        with pytest.raises(kind) as caught:
            await api.call("GET", "_matrix/client/v3/joined_rooms")
    assert caught.value.reason == reason
    assert "ann" not in caught.value.message
    assert "syt_secret" not in caught.value.message


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        ({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 61_599}, None, 61.599),
        ("", {"Retry-After": "30"}, 30.0),
        ("", {"Retry-After": "9" * 400}, 3600.0),  # for ever: not by us
        ({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 10**400}, None, 3600.0),
        ("", {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ("", None, None),
    ],
)
async def test_a_limit_says_how_long_to_wait_and_nobody_waits_here(
    body: object, headers: dict[str, str] | None, seconds: float | None
) -> None:
    async with serving(answering(429, body, headers=headers)) as api:
        begun = time.monotonic()
        with pytest.raises(TransientError) as caught:
            await api.call("POST", "_matrix/client/v3/createRoom", {})
        assert time.monotonic() - begun < 10
    assert caught.value.retry_after == seconds


async def test_a_file_is_uploaded_as_it_is() -> None:
    got: list[tuple[str, str, str | None, bytes]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        known = request.headers["Authorization"] == "Bearer syt_secret"
        assert known
        got.append((request.method, request.path, request.headers.get("Content-Type"), await request.read()))
        return web.json_response({"content_uri": "mxc://school.test/abc"})

    async with serving(handler) as api:
        assert await api.upload(b"\x89PNG\x00", "image/png") == "mxc://school.test/abc"
    assert got == [("POST", "/_matrix/media/v3/upload", "image/png", b"\x89PNG\x00")]


@pytest.mark.parametrize("body", [{}, {"content_uri": "https://elsewhere.example/"}, {"content_uri": 1}, []])
async def test_an_upload_that_leads_nowhere_is_refused(body: object) -> None:
    async with serving(answering(200, body)) as api:
        with pytest.raises(RefusedError, match="did not say where it is"):
            await api.upload(b"1", "image/png")


async def test_an_answer_without_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "_LARGEST", 1 << 20)

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        answer.enable_compression()  # small on the way, large here
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await answer.write(b" " * 65536)
        return answer

    async with serving(endless) as api:
        with pytest.raises(TransientError, match="more than 1 MiB"):
            await api.call("GET", "_matrix/client/v3/joined_rooms")


def ways(*steps: list[str]) -> dict[str, object]:
    return {"session": "x", "params": {}, "flows": [{"stages": one} for one in steps]}


@pytest.mark.parametrize(
    ("handler", "anybody"),
    [
        (answering(403, {"errcode": "M_FORBIDDEN"}), False),
        (answering(401, ways(["m.login.dummy"])), True),
        (answering(401, ways(["m.login.registration_token", "m.login.dummy"])), False),
        (answering(401, ways(["m.login.registration_token"], ["m.login.email.identity"])), True),
        (answering(200, "<html>"), False),
    ],
)
async def test_a_server_that_strangers_can_register_with_is_told_from_others(handler: Handler, anybody: bool) -> None:  # noqa: FBT001 - a case
    async def as_synapse_does(request: web.Request) -> web.StreamResponse:
        """It asks nothing of whoever comes with a token."""
        return web.Response(status=400) if "Authorization" in request.headers else await handler(request)

    async with serving(as_synapse_does) as api:
        assert await api.anybody_registers() is anybody


async def test_names_of_any_kind_arrive_as_they_are() -> None:
    seen: list[tuple[str, str]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append((request.path, request.headers["Authorization"]))
        return web.json_response({"raw": request.raw_path})

    async with serving(handler) as api:
        answer = await api.call(
            "GET", path("_matrix/client/v3/rooms", "!a/b?c:school.test", "state", "m.room.name", "")
        )
    assert seen == [("/_matrix/client/v3/rooms/!a/b?c:school.test/state/m.room.name/", "Bearer syt_secret")]
    assert answer == {"raw": "/_matrix/client/v3/rooms/%21a%2Fb%3Fc%3Aschool.test/state/m.room.name/"}


async def test_a_server_that_is_not_there_or_cannot_be_trusted() -> None:
    api = client("http://127.0.0.1:9")
    with pytest.raises(TransientError, match=r"127\.0\.0\.1 does not answer"):
        await api.call("GET", "_matrix/client/versions")
    await api.close()
    authority = trustme.CA()
    certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(certificate)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with serving(answering(200, {}), certificate=certificate, trust=trust) as api:
        assert await api.call("GET", "_matrix/client/versions") == {}
    async with serving(answering(200, {}), certificate=certificate) as api:
        with pytest.raises(TransientError, match="caBundle"):
            await api.call("GET", "_matrix/client/versions")


async def test_the_way_may_lead_through_a_proxy() -> None:
    seen: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.raw_path)
        return web.json_response({})

    async with serving(handler) as proxy:
        api = client("http://matrix.invalid", proxy=str(proxy.base))
        assert api.first_hop == ("127.0.0.1", proxy.base.port)
        assert await api.call("GET", "_matrix/client/versions") == {}
        await api.close()
    assert seen == ["http://matrix.invalid/_matrix/client/versions"]

"""Fetching over https from a real server: conditional, complete, and never from where it must not."""

from __future__ import annotations

import asyncio
import socket
import ssl
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from homeroom.errors import (
    HomeroomError,
    IncompleteReadError,
    InvalidSpecError,
    RefusedError,
    TerminalError,
    TransientError,
)
from homeroom.sources import ExportInvalidError
from homeroom.sources.download import Addresses
from homeroom.sources.oneroster_csv import OneRosterCSV
from homeroom.sources.package import Limits

pytestmark = pytest.mark.integration

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Server:
    """An https server on loopback that answers as the test says, and remembers what it was asked."""

    url: str
    ca: str
    answer: Answer
    seen: list[dict[str, str]] = field(default_factory=list)

    def source(self, **options: object) -> OneRosterCSV:
        settings: dict[str, object] = {
            "url": f"{self.url}/export.zip",
            "file_root": None,
            "ca_bundle": self.ca,
            "addresses": Addresses(allow_local=True),
            **options,
        }
        return OneRosterCSV(**settings)  # type: ignore[arg-type]  # tests choose among all of them


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)

    async def unset(_: web.Request) -> web.StreamResponse:
        return web.Response(status=500)

    state = Server(url="", ca=authority.cert_pem.bytes().decode(), answer=unset)

    async def handle(request: web.Request) -> web.StreamResponse:
        state.seen.append(dict(request.headers))
        return await state.answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    state.url = f"https://localhost:{runner.addresses[0][1]}"
    yield state
    await runner.cleanup()


def zipped(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("orgs.csv", "sourcedId\n" + "x\n" * 1000)
    return path.read_bytes()


def remains(path: Path) -> list[Path]:
    return list(path.iterdir())


def fixed(body: bytes, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers=headers)

    return answer


def status(code: int, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=code, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


async def test_a_download_is_conditional(server: Server, tmp_path: Path) -> None:
    body = zipped(tmp_path / "made.zip")
    server.answer = fixed(body, ETag='"one"')
    first = await server.source().fetch(previous=None, into=tmp_path)
    assert first.path.read_bytes() == body
    assert not first.unchanged
    server.answer = status(304)
    assert (await server.source().fetch(previous=first.validator, into=tmp_path)).unchanged
    assert server.seen[-1]["If-None-Match"] == '"one"'


async def test_equal_bytes_are_unchanged_whatever_the_server_says(server: Server, tmp_path: Path) -> None:
    body = zipped(tmp_path / "made.zip")
    server.answer = fixed(body, ETag='"one"')
    first = await server.source().fetch(previous=None, into=tmp_path)
    server.answer = fixed(body, ETag='"two"')
    again = await server.source().fetch(previous=first.validator, into=tmp_path)
    assert again.unchanged
    server.answer = fixed(body + b"more")
    assert not (await server.source().fetch(previous=again.validator, into=tmp_path)).unchanged


async def test_a_truncated_download_is_incomplete_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "100000"})
        await answer.prepare(request)
        await answer.write(b"PK" * 100)
        assert request.transport is not None
        request.transport.close()
        return answer

    server.answer = cut
    with pytest.raises(IncompleteReadError):
        await server.source().fetch(previous=None, into=tmp_path)
    assert remains(tmp_path) == []


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [({"username": "lake", "password": "side"}, "Basic bGFrZTpzaWRl"), ({"token": "t0k"}, "Bearer t0k"), ({}, None)],
)
async def test_credentials_are_sent(
    credentials: dict[str, str], expected: str | None, server: Server, tmp_path: Path
) -> None:
    server.answer = fixed(b"x")
    await server.source(credentials=credentials).fetch(previous=None, into=tmp_path)
    assert server.seen[-1].get("Authorization") == expected


async def test_credentials_do_not_follow_to_another_host(server: Server, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/export.zip":
            raise web.HTTPFound(server.url.replace("localhost", "127.0.0.1") + "/elsewhere")
        return web.Response(body=b"x")

    server.answer = answer
    await server.source(credentials={"token": "t0k"}).fetch(previous=None, into=tmp_path)
    assert [seen.get("Authorization") for seen in server.seen] == ["Bearer t0k", None]


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (401, TerminalError, "CredentialsInvalid"),
        (403, TerminalError, "CredentialsInvalid"),
        (404, TransientError, "SourceUnavailable"),
        (500, TransientError, "SourceUnavailable"),
    ],
)
async def test_errors_of_the_server(
    code: int, kind: type[HomeroomError], reason: str, server: Server, tmp_path: Path
) -> None:
    server.answer = status(code)
    with pytest.raises(kind) as caught:
        await server.source().fetch(previous=None, into=tmp_path)
    assert caught.value.reason == reason
    assert [hop.ok for hop in await server.source().check()] == [False]


async def test_retry_after_is_passed_on(server: Server, tmp_path: Path) -> None:
    server.answer = status(503, Retry_After="120")
    with pytest.raises(TransientError) as caught:
        await server.source().fetch(previous=None, into=tmp_path)
    assert caught.value.retry_after == 120


@pytest.mark.parametrize("announced", [True, False])
async def test_too_large_a_download_is_stopped(announced: bool, server: Server, tmp_path: Path) -> None:  # noqa: FBT001
    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "99999"} if announced else {})
        await answer.prepare(request)
        await answer.write(b"x" * 99999)
        return answer

    server.answer = endless
    with pytest.raises(TerminalError, match="larger than"):
        await server.source(limits=Limits(download=1000)).fetch(previous=None, into=tmp_path)
    assert remains(tmp_path) == []


async def test_an_untrusted_certificate_is_told(server: Server, tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="caBundle"):
        await server.source(ca_bundle=trustme.CA().cert_pem.bytes().decode()).fetch(previous=None, into=tmp_path)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.0.0.1",
        "0x7f000001",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "0xa9fea9fe",
        "0.0.0.0",
    ],
)
async def test_local_addresses_are_refused(host: str, server: Server, tmp_path: Path) -> None:
    port = server.url.rsplit(":", 1)[1]
    source = server.source(url=f"https://{host}:{port}/export.zip", addresses=Addresses())
    with pytest.raises(RefusedError) as caught:
        await source.fetch(previous=None, into=tmp_path)
    assert caught.value.reason == "SourceRefused"
    assert server.seen == []


@pytest.mark.parametrize("target", ["https://127.0.0.1:1/x", "https://localhost:1/x", "https://169.254.169.254/latest"])
async def test_redirects_are_judged_too(target: str, server: Server, tmp_path: Path) -> None:
    """The server's own address counts as an ordinary one here, all other local ones do not."""

    class OnlyThisServer(Addresses):
        __slots__ = ()

        def admit(self, address: str) -> bool:
            return not server.seen or super().admit(address)

    server.answer = status(302, Location=target)
    with pytest.raises(RefusedError):
        await server.source(addresses=OnlyThisServer()).fetch(previous=None, into=tmp_path)
    assert len(server.seen) == 1


async def test_the_api_server_is_refused(tmp_path: Path, server: Server) -> None:
    source = server.source(url="https://10.96.0.1/x", addresses=Addresses(api_server=frozenset({"10.96.0.1"})))
    with pytest.raises(RefusedError):
        await source.fetch(previous=None, into=tmp_path)


@pytest.mark.parametrize(
    "url", ["http://sis.example/x", "ftp://sis.example/x", "https://u:p@sis.example/x", "https:///x"]
)
async def test_impossible_addresses_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        await OneRosterCSV(url=url, file_root=None).fetch(previous=None, into=tmp_path)
    assert "u:p" not in caught.value.message


async def test_endless_redirects_end(server: Server, tmp_path: Path) -> None:
    server.answer = status(302, Location="/again")
    with pytest.raises(TransientError, match="redirects"):
        await server.source().fetch(previous=None, into=tmp_path)


@pytest.mark.parametrize("location", ["https://[", "https://sis.example:99999999/x", "https://sis.example:x/"])
async def test_a_redirect_to_no_address_is_told(location: str, server: Server, tmp_path: Path) -> None:
    server.answer = status(302, Location=location)
    with pytest.raises(TransientError, match="redirects to something that is no address"):
        await server.source().fetch(previous=None, into=tmp_path)


async def test_a_proxy_is_used(server: Server, tmp_path: Path) -> None:
    """A tunnel like that of a real proxy: CONNECT, then bytes both ways."""
    asked: list[str] = []
    inner = int(server.url.rsplit(":", 1)[1])

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[0])
        back, forth = await asyncio.open_connection("127.0.0.1", inner)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, forth), pump(back, writer), return_exceptions=True)

    proxy = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    server.answer = fixed(b"through")
    port = proxy.sockets[0].getsockname()[1]
    fetched = await server.source(proxy=f"http://127.0.0.1:{port}").fetch(previous=None, into=tmp_path)
    assert fetched.path.read_bytes() == b"through"
    assert asked == [f"CONNECT localhost:{inner} HTTP/1.1"]
    proxy.close()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = unused.getsockname()[1]
        with pytest.raises(TransientError, match="proxy"):
            await server.source(proxy=f"http://127.0.0.1:{dead}").fetch(previous=None, into=tmp_path)


async def test_a_log_in_page_is_no_export(server: Server, tmp_path: Path) -> None:
    server.answer = fixed(b"<!doctype html><title>Log in</title>")
    source = server.source()
    fetched = await source.fetch(previous=None, into=tmp_path)
    with pytest.raises(ExportInvalidError, match="log-in page"):
        await asyncio.to_thread(source.read, fetched.path, previous=None)


async def test_the_check_tells_what_it_saw(server: Server) -> None:
    server.answer = fixed(b"x" * 77)
    hops = await server.source().check()
    assert [hop.ok for hop in hops] == [True]
    assert "77 bytes" in hops[-1].words

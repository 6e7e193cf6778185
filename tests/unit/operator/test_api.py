"""The client turns whatever an API server answers into our errors, and keeps its log-in fresh."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import kopf
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from homeroom.operator.api import (
    Api,
    ConflictError,
    ForbiddenError,
    LoginError,
    NotFoundError,
    RejectedError,
    UnavailableError,
    log_in,
    path_of,
)
from homeroom.operator.metrics import Metrics
from homeroom.operator.runtime import SystemClock

Answer = Callable[[web.Request], web.Response]


class JumpingClock(SystemClock):
    pushed = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.pushed


@asynccontextmanager
async def talking_to(
    answer: Answer, *, tokens: list[str] | None = None, clock: JumpingClock | None = None
) -> AsyncIterator[Api]:
    """A client of a server that answers so; each log-in takes the next token."""

    async def handle(request: web.Request) -> web.Response:
        return answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    left = list(tokens or ["t"])
    async with TestServer(app) as server:

        def log_in_again() -> kopf.ConnectionInfo:
            token = left.pop(0) if len(left) > 1 else left[0]
            return kopf.ConnectionInfo(server=str(server.make_url("")), token=token)

        async with Api(
            log_in_again=log_in_again, request_timeout=5, clock=clock or JumpingClock(), observer=Metrics()
        ) as api:
            yield api


def status(code: int, message: str, **headers: str) -> web.Response:
    return web.json_response({"kind": "Status", "message": message}, status=code, headers=headers)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, RejectedError),
        (403, ForbiddenError),
        (401, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (415, RejectedError),
        (422, RejectedError),
        (429, UnavailableError),
        (500, UnavailableError),
        (503, UnavailableError),
    ],
)
async def test_each_code_is_its_error_in_the_servers_words(code: int, error: type[Exception]) -> None:
    async with talking_to(lambda _: status(code, "schools is wrong")) as api:
        with pytest.raises(error, match="GET /x: schools is wrong"):
            await api.request("GET", "/x", attempts=1)


async def test_what_is_no_status_is_not_repeated_in_messages() -> None:
    async with talking_to(lambda _: web.Response(status=500, text="a page with somebody's name")) as api:
        with pytest.raises(UnavailableError, match=r"GET /x: status 500$"):
            await api.request("GET", "/x", attempts=1)


async def test_a_short_absence_is_bridged() -> None:
    asked: list[str] = []

    def answer(request: web.Request) -> web.Response:
        asked.append(request.method)
        return status(503, "soon") if len(asked) < 3 else web.json_response({"ok": True})

    async with talking_to(answer) as api:
        assert await api.request("PUT", "/x", body={"a": 1}) == {"ok": True}
    assert asked == ["PUT"] * 3


async def test_a_long_absence_is_left_to_the_caller_with_what_the_server_asked_for() -> None:
    async with talking_to(lambda _: status(429, "busy", **{"Retry-After": "30"})) as api:
        with pytest.raises(UnavailableError) as caught:
            await api.get("/x")
    assert caught.value.retry_after == 30


async def test_no_server_is_unavailable() -> None:
    info = kopf.ConnectionInfo(server="http://127.0.0.1:1")
    async with Api(log_in_again=lambda: info, request_timeout=5, clock=SystemClock(), observer=Metrics()) as api:
        with pytest.raises(UnavailableError, match="cannot be reached for GET /x"):
            await api.request("GET", "/x", attempts=1)


async def test_a_refused_token_is_read_again_once() -> None:
    def answer(request: web.Request) -> web.Response:
        fresh = request.headers["Authorization"] == "Bearer new"
        return web.json_response({}) if fresh else status(401, "Unauthorized")

    async with talking_to(answer, tokens=["old", "new"]) as api:
        assert await api.get("/x") == {}
    async with talking_to(answer, tokens=["old", "older"]) as api:
        with pytest.raises(ForbiddenError):
            await api.get("/x")


async def test_a_token_is_read_again_every_minute() -> None:
    clock = JumpingClock()
    async with talking_to(
        lambda request: web.json_response({"token": request.headers["Authorization"]}), tokens=["a", "b"], clock=clock
    ) as api:
        assert await api.get("/x") == {"token": "Bearer a"}
        clock.pushed = 61
        assert await api.get("/x") == {"token": "Bearer b"}


async def test_a_list_is_read_page_by_page_to_its_end() -> None:
    pages: dict[str | None, dict[str, Any]] = {
        None: {"items": [item(1), item(2)], "metadata": {"continue": "next", "resourceVersion": "7"}},
        "next": {"items": [item(3)], "metadata": {"continue": "", "resourceVersion": "7"}},
    }
    async with talking_to(lambda request: web.json_response(pages[request.query.get("continue")])) as api:
        found, at = await api.list_all("School")
    assert ([obj["metadata"] for obj in found], at) == ([{"uid": "1"}, {"uid": "2"}, {"uid": "3"}], 7)


def item(number: int) -> dict[str, Any]:
    return {"metadata": {"uid": str(number), "managedFields": [{"manager": "kubectl"}]}}


async def test_a_list_that_breaks_off_is_none() -> None:
    def answer(request: web.Request) -> web.Response:
        if "continue" in request.query:
            return status(403, "no longer allowed")
        return web.json_response({"items": [item(1)], "metadata": {"continue": "next", "resourceVersion": "7"}})

    async with talking_to(answer) as api:
        with pytest.raises(ForbiddenError):
            await api.list_all("School")


def test_paths() -> None:
    assert path_of("School") == "/apis/homeroom.dev/v1alpha1/schools"
    assert path_of("School", "n", "a", "status") == "/apis/homeroom.dev/v1alpha1/namespaces/n/schools/a/status"


class TestLogIn:
    def test_from_a_kubeconfig(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "config"
        document = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": "https://k.example"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        path.write_text(json.dumps(document))
        monkeypatch.setenv("KUBECONFIG", str(path))
        info = log_in()
        assert (info.server, info.token) == ("https://k.example", "t")

    @pytest.mark.parametrize("content", [None, "{}", '{"current-context": "gone"}', "[]", "{"])
    def test_a_broken_kubeconfig_says_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
    ) -> None:
        path = tmp_path / "config"
        if content is not None:
            path.write_text(content)
        monkeypatch.setenv("KUBECONFIG", str(path))
        with pytest.raises(LoginError, match=r"\$KUBECONFIG"):
            log_in()

    def test_nothing_to_log_in_with(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("KUBECONFIG", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        with pytest.raises(LoginError, match="there is no API server to log in to"):
            log_in()

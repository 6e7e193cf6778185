"""What a CustomResourceDefinition says about itself, in all its forms; which kinds are on their way to be listed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import pytest

from homeroom.api import KINDS
from homeroom.operator.api import ForbiddenError, NotFoundError
from homeroom.operator.cache import Cache
from homeroom.operator.kinds import Kinds, is_established


def test_an_established_crd_counts() -> None:
    conditions = [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "True"}]
    assert is_established({"status": {"conditions": conditions}})


@pytest.mark.parametrize(
    "status",
    [
        {"conditions": [{"type": "NamesAccepted", "status": "True"}, {"type": "Established", "status": "False"}]},
        {"conditions": [{"type": "NamesAccepted", "status": "True"}]},
        {"conditions": [], "storedVersions": ["v1alpha1"]},
        {"conditions": None, "storedVersions": ["v1alpha1"]},  # read in the moment after its creation
        {},
        None,
    ],
)
def test_any_other_does_not(status: Any) -> None:
    assert not is_established({"status": status})


class Server:
    """An API server that serves all kinds without any object, but for those that are `missing` or `forbidden`.

    The lists of those that are `slow` come once `answered` is set.
    """

    def __init__(
        self, *, missing: Collection[str] = (), forbidden: Collection[str] = (), slow: Collection[str] = ()
    ) -> None:
        self.missing = {KINDS[kind].plural for kind in missing}
        self.forbidden = {KINDS[kind].plural for kind in forbidden}
        self.slow = slow
        self.answered = asyncio.Event()
        self.seconds = 1_000_000.0

    def monotonic(self) -> float:
        return self.seconds

    async def get(self, path: str, **_: str) -> dict[str, Any]:
        last = path.rsplit("/", 1)[1]
        if last.partition(".")[0] in self.missing:
            raise NotFoundError(path)
        if last in self.forbidden:
            raise ForbiddenError(path)
        established = {"conditions": [{"type": "Established", "status": "True"}]}
        return {"metadata": {"uid": last}, "status": established, "items": []}

    async def list_all(self, kind: str) -> tuple[list[Any], int]:
        if kind in self.slow:
            await self.answered.wait()
        return [], 1


@asynccontextmanager
async def looking(server: Any) -> AsyncIterator[Kinds]:
    """Kinds that look at `server`, and whose watches are open."""
    kinds = Kinds(
        api=server,
        cache=Cache(lambda *_: None),
        clock=server,
        interval=0.01,
        on_turn=lambda _: None,
        on_watch_missing=lambda: None,
    )
    for kind in KINDS:
        kinds.watch_answered(kind, watching=True, ok=True)
    task = asyncio.create_task(kinds.run())
    yield kinds
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until_listed(kinds: Kinds, *but: str) -> None:
    while [*kinds.problems()] != [*but]:  # noqa: ASYNC110 - of each single kind nobody is told
        await asyncio.sleep(0)


async def test_a_kind_whose_list_is_long_is_being_listed_but_not_for_ever() -> None:
    server = Server(slow=["SchoolLicense"])
    async with looking(server) as kinds:
        assert kinds.being_listed(KINDS), "nothing is known yet, so nothing is wrong"
        await until_listed(kinds, "SchoolLicense")
        assert kinds.being_listed(["SchoolLicense"])
        server.seconds += 301
        assert not kinds.being_listed(["SchoolLicense"])
        server.answered.set()
        await until_listed(kinds)
        assert not kinds.unlisted(KINDS)


async def test_what_is_not_served_or_not_permitted_is_not_being_listed() -> None:
    async with looking(Server(missing=["School"], forbidden=["Approval"])) as kinds:
        await until_listed(kinds, *(kind for kind in KINDS if kind in {"School", "Approval"}))
        assert not kinds.being_listed(["School"])
        assert not kinds.being_listed(["Approval"])
        assert not kinds.being_listed(["School", "District"])
        assert not kinds.being_listed(["NoSuchKind"])

"""What our plugin in Kolibri tells, made into rows of people: which answers count, and whose they are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from aiohttp import web
from tests.unit.targets.test_kolibri_api import ME, Handler, answering, serving

from homeroom.errors import IncompleteReadError, TerminalError
from homeroom.roster.state import ACTUAL_SCHEMAS, Actual, Adopting
from homeroom.targets import ACTIVITY_SCHEMA
from homeroom.targets.kolibri import activity

NOON = "2026-11-22T12:00:00Z"
GOOD: dict[str, Any] = {"accounts": ["a", "b"], "last_login": [NOON, None], "last_interaction": [None, NOON]}


def actual(
    *people: tuple[int, str | None, str],
    unsure: frozenset[str] = frozenset(),
    conflicts: frozenset[tuple[str, str]] = frozenset(),
    adopting: Adopting | None = None,
) -> Actual:
    """Schools s-1, one that is nobody's, and s-2; `people` are their row, the source id and the account."""
    schools = [("s-1", "f1", "One"), (None, "f0", "Nobody's"), ("s-2", "f2", "Two")]
    rows = [(school, key, account, "Name", "name", False) for school, key, account in people]
    return Actual(
        schools=pl.DataFrame(schools, schema=ACTUAL_SCHEMAS["schools"], orient="row"),
        people=pl.DataFrame(rows, schema=ACTUAL_SCHEMAS["people"], orient="row"),
        classes=pl.DataFrame(schema=ACTUAL_SCHEMAS["classes"]),
        memberships=pl.DataFrame(schema=ACTUAL_SCHEMAS["memberships"]),
        rights=pl.DataFrame(schema=ACTUAL_SCHEMAS["rights"]),
        unsure=unsure,
        conflicts=conflicts,
        adopting=adopting or Adopting(),
    )


def plugin(**answers: object) -> Handler:
    """A Kolibri with our plugin, that has an answer for some facilities."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/api/auth/session/current/":
            return web.json_response(ME)
        assert request.path == f"/{activity.PATH}"
        return web.json_response(answers[request.query["facility"]])

    return handler


def told(*accounts: str) -> dict[str, Any]:
    return {"accounts": accounts, "last_login": [NOON] * len(accounts), "last_interaction": [None] * len(accounts)}


def test_the_columns_of_an_answer() -> None:
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert activity.parsed(GOOD).rows() == [("a", noon, None), ("b", None, noon)]
    nobody = activity.parsed({"accounts": [], "last_login": [], "last_interaction": []})
    assert nobody.is_empty()
    assert nobody.schema == pl.Schema({name: ACTIVITY_SCHEMA[name] for name in nobody.columns})
    assert activity.parsed({**GOOD, "more": "of a later release"}).height == 2


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {name: GOOD[name] for name in ("accounts", "last_login")},
        {**GOOD, "last_login": None},
        {**GOOD, "last_login": [NOON]},
        {**GOOD, "last_login": [NOON, "yesterday"]},
        {**GOOD, "last_login": [NOON, "2026-11-22T12:00:00+01:00"]},
        {**GOOD, "last_login": [NOON, 1795348800]},
        {**GOOD, "accounts": ["a", "a"]},
        {**GOOD, "accounts": ["a", None]},
    ],
)
def test_an_answer_in_other_words_counts_for_nothing(answer: object) -> None:
    with pytest.raises(IncompleteReadError, match="install this one"):
        activity.parsed(answer)


async def test_rows_are_of_our_people_only() -> None:
    there = actual((0, "p-1", "a"), (0, None, "b"), (2, "p-1", "c"), (2, "p-2", "d"), (2, "p-3", "e"))
    async with serving(plugin(f1=told("a", "b"), f2=told("x", "d", "c"))) as api:
        frame = await activity.read(api, there)
    assert frame.schema == ACTIVITY_SCHEMA
    rows = [("s-1", "p-1", "a"), ("s-2", "p-1", "c"), ("s-2", "p-2", "d")]
    assert frame.select("school", "key", "account").rows() == rows, "p-3 is not known about"


async def test_whoever_stands_still_or_is_not_ours_yet_is_not_known_about() -> None:
    there = actual(
        (0, "p-1", "a"),
        (0, "p-2", "b"),
        (0, "p-2", "c"),
        (0, "p-3", "d"),
        (2, "p-2", "e"),
        conflicts=frozenset({("s-1", "p-2")}),
        adopting=Adopting(people=pl.Series([3], dtype=pl.UInt32)),
    )
    async with serving(plugin(f1=told("a", "b", "c", "d"), f2=told("e"))) as api:
        assert (await activity.read(api, there))["account"].to_list() == ["a", "e"]


async def test_a_school_that_is_still_to_be_adopted_is_not_asked_about() -> None:
    there = actual((0, "p-1", "a"), (2, "p-2", "d"), adopting=Adopting(schools=pl.Series([2], dtype=pl.UInt32)))
    async with serving(plugin(f1=told("a"))) as api:
        assert (await activity.read(api, there))["key"].to_list() == ["p-1"]


async def test_a_school_that_is_unsure_is_not_asked_about() -> None:
    there = actual((0, "p-1", "a"), (2, "p-2", "d"), unsure=frozenset({"s-2"}))
    async with serving(plugin(f1=told("a"))) as api:
        assert (await activity.read(api, there))["key"].to_list() == ["p-1"]


async def test_without_schools_there_is_nothing_to_ask() -> None:
    there = actual(unsure=frozenset({"s-1", "s-2"}))
    async with serving(plugin()) as api:
        frame = await activity.read(api, there)
    assert (frame.schema, frame.height) == (ACTIVITY_SCHEMA, 0)


@pytest.mark.parametrize(
    ("refusal", "kind", "reason"),
    [
        (answering(404, "<html>Not Found</html>"), TerminalError, "CapabilityMissing"),
        (answering(404, [{"id": "NOT_FOUND"}]), IncompleteReadError, "TargetIncomplete"),
        (answering(403, [{"id": "PERMISSION_DENIED"}]), IncompleteReadError, "TargetIncomplete"),
        (answering(400, [{"id": "DOES_NOT_EXIST"}]), IncompleteReadError, "TargetIncomplete"),
        (answering(200, {"something": "else"}), IncompleteReadError, "TargetIncomplete"),
    ],
)
async def test_a_refusal(refusal: Handler, kind: type[TerminalError | IncompleteReadError], reason: str) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.json_response(ME) if request.path.endswith("/current/") else await refusal(request)

    async with serving(handler) as api:
        with pytest.raises(kind) as caught:
            await activity.read(api, actual((0, "p-1", "a")))
        assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("answer", "there"),
    [
        (answering(400, [{"id": "REQUIRED"}]), True),
        (answering(404, "<html>Not Found</html>"), False),
    ],
)
async def test_whether_the_plugin_is_there(answer: Handler, *, there: bool) -> None:
    async with serving(answer) as api:
        assert await activity.installed(api) is there

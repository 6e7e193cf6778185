"""What an Approval's status says of its hold, and which commits count (docs/holds.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from homeroom.plan import HELD_SCHEMA, Guard, Hold, Scope, State
from homeroom.plan.hold import VALID
from homeroom.reconcile.approvals import answer, in_words, refuse, words_of
from homeroom.reconcile.ports import Key, Object

NOW = datetime(2026, 9, 7, 2, tzinfo=UTC)
APP = Key("LearningApp", "lakeside", "kolibri")


def rows(number: int) -> pl.DataFrame:
    return pl.DataFrame(
        [
            ("Suspend", "Person", "s-3", f"u-{n}", None, None, "LeftSource", "Deletes", "School", "s-3")
            for n in range(number)
        ],
        schema=HELD_SCHEMA,
        orient="row",
    )


OPEN = Hold(
    id="9f3c1a-7k2m",
    guard=Guard.DELETES,
    scope=Scope.SCHOOL,
    place="s-3",
    since=NOW,
    published=NOW,
    rows=rows(10),
    total=10,
)
APPROVED = replace(OPEN, state=State.APPROVED, approval="yes", approved_at=NOW, rows=rows(3), struck=2)


class Commits:
    """Approvals in a cluster, and what they were told."""

    def __init__(self, *names: str, of: str = "kolibri", deleted: bool = False) -> None:
        self.objects = [self._approval(name, of=of, deleted=deleted) for name in names]
        self.said: dict[str, Mapping[str, Any]] = {}

    def _approval(self, name: str, *, of: str, deleted: bool) -> Object:
        gone = {"deletionTimestamp": "2026-09-08T02:00:00Z"} if deleted else {}
        return {
            "apiVersion": "homeroom.dev/v1alpha1",
            "kind": "Approval",
            "metadata": {
                "name": name,
                "namespace": "lakeside",
                "generation": 1,
                "creationTimestamp": "2026-09-08T02:00:00Z",
                **gone,
            },
            "spec": {"targetRef": {"kind": "LearningApp", "name": of}, "hold": OPEN.id, "reason": "school 3 closed"},
        }

    def list(self, _kind: str, _namespace: str) -> list[Object]:
        return self.objects

    async def write_status(self, obj: Object, status: Mapping[str, Any]) -> None:
        self.said[obj["metadata"]["name"]] = status


def ready(status: Mapping[str, Any]) -> str:
    (condition,) = (one for one in status["conditions"] if one["type"] == "Ready")
    return f"{condition['status']} {condition['reason']}: {condition['message']}"


@pytest.mark.parametrize(
    ("hold", "words"),
    [
        (None, "False HoldUnknown: there is no hold '9f3c1a-7k2m'"),
        (replace(OPEN, id="000000-0000"), "False HoldUnknown: there is no hold '9f3c1a-7k2m'"),
        (OPEN, "False HoldExpired: the hold could be approved until 2026-09-21 02:00 UTC"),
        (
            replace(OPEN, state=State.EXPIRED, rows=rows(0), successor="9f3c1a-0000"),
            "False HoldExpired: the hold was not approved in time; it is '9f3c1a-0000' now",
        ),
        (replace(OPEN, state=State.GONE, rows=rows(0)), "False HoldGone: nothing of the hold is planned any more"),
        (
            APPROVED,
            (
                "Unknown Progressing: 5 of 10 changes released and made; "
                "2 were no longer planned and are not released by this; 3 to go"
            ),
        ),
        (
            replace(APPROVED, state=State.USED, rows=rows(0), struck=0),
            "True Released: 10 of 10 changes released and made",
        ),
        (
            replace(APPROVED, state=State.USED, rows=rows(0), approval="another"),
            "False HoldUsed: Approval 'another' has released this hold",
        ),
    ],
)
async def test_an_approval_says_what_came_of_it(hold: Hold | None, words: str) -> None:
    commits: Any = Commits("yes")
    await answer(commits, APP, [hold] if hold else [], now=NOW)
    assert ready(commits.said["yes"]) == words


async def test_counts_stand_beside_the_words() -> None:
    commits: Any = Commits("yes")
    await answer(commits, APP, [APPROVED], now=NOW)
    status = commits.said["yes"]
    assert (status["released"], status["pending"], status["struck"]) == (5, 3, 2)


async def test_approvals_of_other_apps_are_left_alone() -> None:
    others: Any = Commits("yes", of="moodle")
    assert words_of(others, APP) == []
    await answer(others, APP, [OPEN], now=NOW)
    assert others.said == {}
    mine: Any = Commits("yes")
    await refuse(mine, APP, now=NOW)
    assert "LearningApp 'kolibri' is missing" in ready(mine.said["yes"])


def test_a_commit_counts_from_the_time_the_api_server_took_it_and_not_once_it_is_withdrawn() -> None:
    commits: Any = Commits("yes")
    (word,) = words_of(commits, APP)
    assert (word.name, word.hold, word.at) == ("yes", OPEN.id, NOW + timedelta(days=1))
    assert word.at < OPEN.published + VALID
    withdrawn: Any = Commits("yes", deleted=True)
    assert words_of(withdrawn, APP) == []


@pytest.mark.parametrize("guard", Guard)
def test_every_guard_says_in_counts_what_it_stopped(guard: Guard) -> None:
    words = in_words(replace(OPEN, guard=guard))
    assert "10" in words
    assert "u-" not in words

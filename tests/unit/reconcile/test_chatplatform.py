"""Runs of a ChatPlatform: it counts its policies, wakes them when it comes back, and writes nothing without need.

With a platform beside the tests; against a real server: tests/integration/test_chatplatform.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from tests.unit.reconcile.nights import Cluster
from tests.unit.stores import open_store

from homeroom.api.conditions import violations
from homeroom.errors import HomeroomError, TerminalError, TransientError
from homeroom.reconcile.chatplatform import ChatPlatformRoot
from homeroom.reconcile.ports import Key, Verdict
from homeroom.reconcile.routes import routes
from homeroom.reconcile.run import Shell

PLATFORM = Key("ChatPlatform", "lakeside", "matrix")


class Server:
    """A chat server, as far as a ChatPlatform looks at it. `failure`: what it answers with."""

    def __init__(self) -> None:
        self.name = "Synapse 1.163.2"
        self.failure: HomeroomError | None = None

    async def __aenter__(self) -> Self:
        if self.failure is not None:
            raise self.failure
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""

    async def version(self) -> str:
        return self.name


class World:
    """A platform, its policies, and the run."""

    def __init__(self, directory: Path) -> None:
        self.cluster, self.server = Cluster(), Server()
        self.store = open_store(directory)

        async def platform(*_: object, **__: object) -> Server:
            return self.server

        outside: Any = SimpleNamespace(platform=platform)
        clock: Any = SimpleNamespace(now=lambda: datetime(2026, 9, 1, tzinfo=UTC), monotonic=lambda: 0.0)
        cluster: Any = self.cluster
        self.shell: Any = Shell(ChatPlatformRoot(outside=outside), cluster=cluster, store=self.store, clock=clock)
        self.put(
            PLATFORM,
            matrix={"homeserver": "https://m.example", "serverName": "x.example", "secretRef": {"name": "matrix"}},
            identity={"type": "UserIds", "userIdType": "Matrix"},
        )

    def put(self, key: Key, **spec: Any) -> None:
        meta = {"name": key.name, "namespace": key.namespace}
        self.cluster.put({"apiVersion": "homeroom.dev/v1alpha1", "kind": key.kind, "metadata": meta, "spec": spec})

    def policy(self, name: str, *, namespace: str = "lakeside", platform: str = "matrix") -> Key:
        key = Key("ChatPolicy", namespace, name)
        chats = [{"type": "StaffRoom"}]
        self.put(key, districtRef={"name": "lakeside"}, platformRef={"name": platform}, chats=chats)
        return key

    async def run(self) -> Verdict:
        verdict: Verdict = await self.shell(PLATFORM)
        status = self.cluster.objects[PLATFORM]["status"]
        assert violations(self.cluster.objects[PLATFORM], final=True) == []
        self.status = status
        self.ready = next(item for item in status["conditions"] if item["type"] == "Ready")
        return verdict


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


async def test_policies_of_the_namespace_that_name_it_are_counted(world: World) -> None:
    world.policy("schools")
    world.policy("others", platform="another")
    world.policy("schools", namespace="elsewhere")
    verdict = await world.run()
    assert (world.ready["status"], world.status["policies"]) == ("True", 1)
    assert world.status["serverVersion"] == "Synapse 1.163.2"
    assert verdict.again == 600


async def test_a_run_that_finds_nothing_new_writes_nothing(world: World) -> None:
    await world.run()
    writes, asked = world.cluster.writes, list(world.cluster.asked)
    await world.run()
    assert (world.cluster.writes, world.cluster.asked) == (writes, asked)


@pytest.mark.parametrize(
    ("failure", "reason", "status"),
    [
        (TransientError("synapse does not answer", reason="TargetUnavailable", retry_after=7), "TargetUnavailable", 7),
        (TerminalError("synapse does not know the token", reason="CredentialsInvalid"), "CredentialsInvalid", None),
    ],
)
async def test_policies_are_woken_when_their_platform_comes_back(
    world: World, failure: HomeroomError, reason: str, status: float | None
) -> None:
    policy = world.policy("schools")
    await world.run()
    world.cluster.asked.clear()
    world.server.failure = failure
    verdict = await world.run()
    assert (world.ready["status"], world.ready["reason"], verdict.retry_after) == ("False", reason, status)
    assert world.status["policies"] == 1  # what was known stays
    assert world.cluster.asked == []
    world.server.failure = None
    await world.run()
    assert world.cluster.asked == [policy]


def test_a_policy_wakes_the_platform_that_it_names_and_the_one_that_it_named(world: World) -> None:
    before = world.cluster.objects[world.policy("schools")]
    after = {**before, "spec": {**before["spec"], "platformRef": {"name": "another"}}}
    cluster: Any = world.cluster
    woken = set(routes(cluster, before, after))
    assert {key for key in woken if key.kind == "ChatPlatform"} == {
        PLATFORM,
        Key("ChatPlatform", "lakeside", "another"),
    }
    assert PLATFORM in set(routes(cluster, None, world.cluster.objects[PLATFORM]))

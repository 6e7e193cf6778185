"""What waits in the store for a chat platform is done: numbers go out, policies wake, places are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.unit.stores import open_store

from homeroom.chats.linking import NUMBER_LENGTH, CodeState, LinkedBy, Place, Proof, TokenState
from homeroom.chats.records import LINKS_SCHEMA
from homeroom.errors import HomeroomError, RefusedError, TransientError
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.linking import KIND, Linking
from homeroom.reconcile.ports import Key
from homeroom.reconcile.routes import routes
from homeroom.seats import keys
from homeroom.store import LostLeadershipError, Store, Visit

from .nights import Cluster

NOW = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
SPACE = "lakeside"
KEY = Key(KIND, SPACE, "matrix")
PLACE = Place(SPACE, "matrix", "lakeside")
ANN = "@ann:school.example"
PLATFORM: dict[str, Any] = {
    "apiVersion": "homeroom.dev/v1alpha1",
    "kind": "ChatPlatform",
    "metadata": {"name": "matrix", "namespace": SPACE},
    "spec": {
        "matrix": {
            "homeserver": "https://matrix.example",
            "serverName": "school.example",
            "secretRef": {"name": "matrix"},
        },
        "identity": {"type": "UserIds", "userIdType": "Matrix"},
    },
}


def policy(name: str, district: str = "lakeside", platform: str = "matrix") -> dict[str, Any]:
    return {
        "kind": "ChatPolicy",
        "metadata": {"name": name, "namespace": SPACE},
        "spec": {"platformRef": {"name": platform}, "districtRef": {"name": district}},
    }


@dataclass
class Server:
    """A chat server: who was told what, and what stands in the way."""

    told: list[tuple[str, str]] = field(default_factory=list)
    refusal: HomeroomError | None = None
    opened: int = 0
    tokens: dict[str, datetime] = field(default_factory=dict)

    async def admit(self, token: str, *, until: datetime) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.tokens[token] = until

    async def dismiss(self, token: str) -> None:
        self.tokens.pop(token, None)

    async def tell(self, account: str, text: str, *, title: str) -> None:
        assert title in text
        if self.refusal is not None:
            raise self.refusal
        self.told.append((account, text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Way(Outside):
    """Leads to that server."""

    server: Server

    async def platform(self, *_: object, **_names: object) -> AbstractAsyncContextManager[Server]:  # type: ignore[override]  # a stand-in that only tells
        @asynccontextmanager
        async def opened() -> Any:
            self.server.opened += 1
            yield self.server

        return opened()


class Clock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


@dataclass
class World:
    store: Store
    cluster: Cluster
    server: Server
    linking: Linking

    async def look(self) -> float | None:
        verdict = await self.linking(KEY)
        return None if verdict.failed else verdict.again

    def ask(self, account: str = ANN, *, name: str = "v", language: str = "English") -> None:
        visit = Visit(place=PLACE, language=language, expires_at=NOW + timedelta(minutes=30), person="p-1")
        self.store.links.begin(visit, digest=name, now=NOW)
        self.store.links.ask(name, account, language=language, now=NOW)

    def proof(self, name: str = "v") -> Proof:
        found = self.store.links.visit(name, now=NOW)
        assert found is not None
        return found.proof

    @property
    def places(self) -> list[tuple[str, ...]]:
        return self.store.links.places().select("platform", "district", "server", "title").rows()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    store = open_store(tmp_path)
    cluster, server = Cluster(), Server()
    cluster.objects = {key: obj for key, obj in cluster.objects.items() if key.kind == "District"}
    for obj in (PLATFORM, policy("a"), policy("b", "elsewhere"), policy("c", platform="other")):
        cluster.put(obj)
    outside = Way(owner_id="test", server=server)
    yield World(store, cluster, server, Linking(store=store, cluster=cluster, clock=Clock(), outside=outside))
    store.close()


async def test_a_number_goes_to_the_account_once_and_only_its_digest_stays(world: World) -> None:
    world.ask(language="Dutch")
    assert await world.look() == 2.0
    ((account, text),) = world.server.told
    assert account == ANN
    assert "vul daar dan dit nummer in" in text
    assert "Lakeside" in text
    number = next(part for part in text.replace(".", " ").split() if part.count("-") == 1 and part.isupper())
    await world.look()
    assert len(world.server.told) == 1
    entered = world.store.links.enter("v", keys.digest(keys.normalised(number, length=NUMBER_LENGTH)), now=NOW)
    assert entered is Proof.PROVEN


async def test_an_account_that_cannot_be_told_keeps_nobody_else_waiting(world: World) -> None:
    world.ask(name="a")
    world.server.refusal = RefusedError("there is no such account", reason="TargetRefused")
    assert await world.look() == 2.0
    assert world.proof("a") is Proof.FAILED
    world.server.refusal = None
    world.ask(name="b")
    await world.look()
    assert (world.proof("a"), world.proof("b")) == (Proof.FAILED, Proof.SENT)


NEW = {**PLATFORM, "spec": {**PLATFORM["spec"], "accounts": {"create": "RegistrationToken"}}}


def wants(world: World, name: str = "v") -> None:
    """Somebody with a letter wants to make an account."""
    code = {"p-1": f"code of {name}"}
    expires = NOW + timedelta(days=1)
    world.store.links.issue(code, place=PLACE, state=CodeState.PRINTED, expires_at=expires, now=NOW)
    expires = NOW + timedelta(minutes=30)
    visit = Visit(place=PLACE, language="English", expires_at=expires, person="p-1", code=code["p-1"])
    world.store.links.begin(visit, digest=name, now=NOW)
    assert world.store.links.want_account(name, now=NOW)


async def test_somebody_is_let_make_an_account_until_the_visit_ends(world: World) -> None:
    world.cluster.put(NEW)
    wants(world)
    await world.look()
    found = world.store.links.token("v", now=NOW)
    assert found is not None
    assert world.server.tokens == {found.token: NOW + timedelta(minutes=30)}
    world.store.links.end("v")
    await world.look()
    assert world.server.tokens == {}
    opened = world.server.opened
    await world.look()
    assert world.server.opened == opened


async def test_nobody_makes_an_account_where_that_is_not_declared_or_refused(world: World) -> None:
    for name, resource, refusal in (
        ("a", PLATFORM, None),
        ("b", NEW, RefusedError("synapse refused it", reason="TargetRefused")),
    ):
        world.cluster.put(resource)
        world.server.refusal = refusal
        wants(world, name)
        await world.look()
        found = world.store.links.token(name, now=NOW)
        assert found is not None
        assert found.state is TokenState.FAILED
    assert world.server.tokens == {}


async def test_a_wish_for_an_account_waits_for_a_server_that_is_down(world: World) -> None:
    world.cluster.put(NEW)
    wants(world)
    world.server.refusal = TransientError("down", reason="TargetUnavailable")
    assert await world.look() is None
    world.server.refusal = None
    await world.look()
    assert len(world.server.tokens) == 1


async def test_places_say_where_accounts_are_made(world: World) -> None:
    def told() -> list[str | None]:
        return world.store.links.places()["register"].to_list()

    await world.look()
    assert told() == [None]
    world.cluster.put(NEW)
    await world.look()
    assert told() == ["school.example"]
    accounts = {"create": "RegistrationToken", "address": "https://chat.example"}
    world.cluster.put({**PLATFORM, "spec": {**PLATFORM["spec"], "accounts": accounts}})
    await world.look()
    assert told() == ["https://chat.example"]


async def test_a_server_that_is_down_is_asked_again_later(world: World) -> None:
    world.ask()
    world.server.refusal = TransientError("down", reason="TargetUnavailable", retry_after=7)
    verdict = await world.linking(KEY)
    assert (verdict.failed, verdict.retry_after) == (True, 7)
    assert world.proof() is Proof.WAITING
    world.server.refusal = None
    await world.look()
    assert world.proof() is Proof.SENT


async def test_who_links_or_takes_it_back_wakes_the_policies_of_the_district(world: World) -> None:
    await world.look()
    assert world.cluster.asked == []
    pair = pl.DataFrame([("p-1", ANN)], schema=LINKS_SCHEMA, orient="row")
    world.store.links.note(pair, place=PLACE, by=LinkedBy.RECORDS, at=NOW, epoch=1)
    await world.look()
    assert world.cluster.asked == []  # the run that noted it knows
    world.store.links.unlink(PLACE, "p-1", now=NOW)
    await world.look()
    assert world.cluster.asked == [Key("ChatPolicy", SPACE, "a")]
    await world.look()
    assert len(world.cluster.asked) == 1


async def test_places_are_those_of_the_policies_while_the_platform_is_there(world: World) -> None:
    await world.look()
    ((platform, district, server, title),) = world.places
    assert (platform, district, server) == ("matrix", "lakeside", "school.example")
    assert title
    world.cluster.objects.pop(Key("ChatPolicy", SPACE, "a"))
    await world.look()
    assert world.places == []
    world.cluster.put(policy("a"))
    await world.look()
    assert len(world.places) == 1
    world.cluster.objects.pop(Key("ChatPlatform", SPACE, "matrix"))
    assert await world.look() is None
    assert world.places == []


async def test_pages_are_told_the_clock_of_the_district_and_who_is_denied(world: World) -> None:
    def told() -> list[tuple[object, ...]]:
        return world.store.web.districts(namespace=SPACE, platform="matrix").rows()

    await world.look()
    ((name, zone, denied),) = told()
    assert (name, denied) == ("lakeside", [])
    district = world.cluster.objects[Key("District", SPACE, "lakeside")]
    assert zone == district["spec"]["timeZone"]
    more = {"timeZone": "Asia/Tokyo", "deny": [{"person": "t-1"}]}
    world.cluster.put({**district, "spec": {**district["spec"], **more}})
    await world.look()
    assert told() == [("lakeside", "Asia/Tokyo", ["t-1"])]
    world.cluster.put({**district, "spec": {**district["spec"], "timeZone": "Nowhere"}})
    await world.look()
    assert told() == []  # nobody knows who is denied
    world.cluster.put(district)
    await world.look()
    assert len(told()) == 1
    world.cluster.objects.pop(Key("ChatPlatform", SPACE, "matrix"))
    await world.look()
    assert told() == []


async def test_policies_are_told_with_whether_they_rest(world: World) -> None:
    def told() -> list[tuple[str, str, bool]]:
        return world.store.links.policies().select("district", "policy", "suspended").rows()

    await world.look()
    assert told() == [("elsewhere", "b", False), ("lakeside", "a", False)]
    world.cluster.put({**policy("c"), "kind": "Chat"})
    await world.look()
    assert told() == [("elsewhere", "b", False), ("lakeside", "Chat/c", False), ("lakeside", "a", False)]
    world.cluster.objects.pop(Key("Chat", SPACE, "c"))
    world.cluster.put({**policy("a"), "spec": {**policy("a")["spec"], "suspend": True}})
    world.cluster.objects.pop(Key("ChatPolicy", SPACE, "b"))
    await world.look()
    assert told() == [("lakeside", "a", True)]
    world.cluster.objects.pop(Key("ChatPlatform", SPACE, "matrix"))
    await world.look()
    assert told() == []


async def test_a_suspended_platform_tells_nobody(world: World) -> None:
    world.cluster.put({**PLATFORM, "spec": {**PLATFORM["spec"], "suspend": True}})
    world.ask()
    assert await world.look() == 2.0
    assert world.server.opened == 0


async def test_an_operator_that_leads_no_more_stops(world: World) -> None:
    world.ask()
    world.cluster.epoch = 5
    await world.look()
    world.ask(name="w")
    world.cluster.epoch = 4
    with pytest.raises(LostLeadershipError):
        await world.look()


def test_a_platform_wakes_its_links(world: World) -> None:
    assert KEY in set(routes(world.cluster, None, world.cluster.objects[Key("ChatPlatform", SPACE, "matrix")]))

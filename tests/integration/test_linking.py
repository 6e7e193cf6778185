"""An account of a real Synapse proves itself: the number comes in the chat, and with the code it makes the link."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from tests.integration.synapse_fixtures import Chats, desired
from tests.unit.reconcile.nights import Cluster
from tests.unit.web.conftest import NOW, Page, town_of
from tests.unit.web.conftest import store as web_store
from tests.unit.web.conftest import two_schools as web_two_schools

from homeroom.chats.linking import CodeState, Place
from homeroom.demo.synapse import Account
from homeroom.errors import InvalidSpecError, RefusedError
from homeroom.plan import Result
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.linking import KIND, Linking
from homeroom.reconcile.ports import Key
from homeroom.seats import keys
from homeroom.store import Store

pytestmark = pytest.mark.integration

store, two_schools = web_store, web_two_schools
PLACE = Place("n", "matrix", "d")


def read(account: Account) -> dict[str, list[str]]:
    """What an account finds in its app: room -> texts."""
    rooms = account.do("GET", "sync?timeout=0").get("rooms", {}).get("join", {})
    return {
        room: [event["content"]["body"] for event in found["timeline"]["events"] if event["type"] == "m.room.message"]
        for room, found in rooms.items()
    }


async def test_a_message_is_there_at_once_for_that_account_alone_and_we_do_not_stay(chats: Chats) -> None:
    ann, bo = chats.account("ann"), chats.account("bo")
    before = set(chats.operator.do("GET", "joined_rooms")["joined_rooms"])
    async with chats.platform() as platform:
        await platform.tell(ann.user_id, "first", title="North")
        await platform.tell(ann.user_id, "second", title="North")
    assert sorted(read(ann).values()) == [["first"], ["second"]]
    assert read(bo) == {}
    assert set(chats.operator.do("GET", "joined_rooms")["joined_rooms"]) == before
    for room in read(ann):
        joined = ann.do("GET", f"rooms/{quote(room)}/joined_members")["joined"]
        assert list(joined) == [ann.user_id]
        assert not ann.call("POST", f"rooms/{quote(room)}/invite", {"user_id": bo.user_id}).ok


async def test_who_cannot_be_told_is_refused(chats: Chats) -> None:
    (gone,) = chats.people("gone")
    chats.operator.do("POST", f"/_synapse/admin/v1/deactivate/{gone}", {"erase": False})
    server = chats.server.server_name
    async with chats.platform() as platform:
        for account in (gone, f"@nobody-{chats.mark}:{server}", "@ann:elsewhere.example", chats.operator.user_id):
            with pytest.raises(RefusedError) as refused:
                await platform.tell(account, "text", title="North")
            assert account not in str(refused.value)


def declared(chats: Chats, **spec: Any) -> Cluster:
    """A cluster that stands still: a platform on the real server, a policy and a district."""
    cluster = Cluster()
    cluster.objects = {}
    matrix = {"homeserver": chats.server.url, "serverName": chats.server.server_name, "secretRef": {"name": "matrix"}}
    spec |= {"matrix": matrix, "identity": {"type": "UserIds", "userIdType": "Matrix"}}
    for kind, name, said in (
        ("ChatPlatform", "matrix", spec),
        ("ChatPolicy", "all", {"platformRef": {"name": "matrix"}, "districtRef": {"name": "d"}}),
        ("District", "d", {"displayName": "North"}),
    ):
        meta = {"namespace": "n", "name": name}
        cluster.put({"apiVersion": "homeroom.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": said})
    cluster.credentials["n", "matrix"] = {"accessToken": chats.operator.token}
    return cluster


def letter(store: Store) -> str:
    """The code in somebody's letter."""
    code = keys.new_key(lambda n: n // 4)
    expires = datetime(2099, 1, 1, tzinfo=UTC)
    digests = {"u-1": keys.digest(code)}
    store.links.issue(digests, place=PLACE, state=CodeState.PRINTED, expires_at=expires, now=NOW)
    return code


async def test_who_has_no_account_makes_one_with_a_token_that_counts_once_and_is_taken_back(
    chats: Chats, store: Store
) -> None:
    cluster, code, name = declared(chats, accounts={"create": "RegistrationToken"}), letter(store), f"new-{chats.mark}"
    async with town_of(store) as town:
        town.clock.moment = datetime.now(UTC)
        outside = Outside(owner_id=chats.owner, allow_loopback=True)
        linking = Linking(store=store, cluster=cluster, clock=town.clock, outside=outside)
        browser = town.browser
        await linking(Key(KIND, "n", "matrix"))

        async def sent(page: str, to: str, **fields: str) -> Page:
            return await browser.post(to, {**(await browser.get(page)).form(to), **fields})

        await sent("/chats", "/chats", code=code)
        assert (await sent("/chats/account", "/chats/new")).location == "/chats/new"
        assert not (await linking(Key(KIND, "n", "matrix"))).failed
        page = await browser.get("/chats/new")
        (token,) = re.findall(r"(?:[A-Z0-9]{4}-){3}[A-Z0-9]{4}", page.text)
        assert chats.server.register(name, token=token).ok
        assert not chats.server.register(f"{name}-2", token=token).ok
        assert (await sent("/chats/account", "/chats/account", account=name)).location == "/chats/number"
        assert not (await linking(Key(KIND, "n", "matrix"))).failed
        assert "No number" not in (await browser.get("/chats/number")).text  # it went to the new account
        at = f"/_synapse/admin/v1/registration_tokens/{token}"
        assert chats.operator.call("GET", at).ok
        await sent("/chats/mine", "/chats/sign-out")
        assert not (await linking(Key(KIND, "n", "matrix"))).failed
        assert chats.operator.call("GET", at).status == 404


async def test_an_account_that_was_made_after_the_records_had_named_it_is_let_in_nowhere(chats: Chats) -> None:
    """Where people choose names themselves, one of them could choose a teacher's whose account is not there yet."""
    before = datetime.now(UTC) - timedelta(minutes=5)
    ann, bo, eve = chats.people("ann", "bo", "eve")
    named = {ann: before, bo: before + timedelta(minutes=10)}  # and eve says it herself

    async def since(account: str) -> datetime | None:
        return named.get(account)

    wanted = desired({chats.key("7a"): [ann, bo, eve]})
    async with chats.platform(named=since) as platform:
        outcomes = [
            outcome
            for batch in chats.plan(wanted, await platform.read())
            for outcome in await platform.apply(batch, wanted)
        ]
    (parked,) = [outcome for outcome in outcomes if outcome.result is not Result.APPLIED]
    assert parked.result is Result.PARKED
    assert "after the records had named it" in str(parked.error)
    members = (await chats.read()).members[chats.key("7a")]
    assert {bo, eve} <= members.keys()
    assert ann not in members


async def test_a_server_tells_whether_it_lets_people_make_accounts(chats: Chats) -> None:
    async with chats.platform() as platform:
        assert (await platform.version()).startswith("Synapse ")
    hops = await chats.platform(registers=True).check()
    assert [(hop.name, hop.ok) for hop in hops][-1] == ("registration", True)

    async def closed(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        answer = await handler(request)
        if request.url.path.endswith("/validity"):
            answer.status = 403  # as Synapse says it without `enable_registration`
        return answer

    async with chats.platform(closed, registers=True) as platform:
        with pytest.raises(InvalidSpecError, match="enable_registration"):
            await platform.version()
    async with chats.platform(closed) as platform:
        assert (await platform.version()).startswith("Synapse ")


async def test_from_the_letter_to_the_link(chats: Chats, store: Store) -> None:
    """The pages, the operator's hand and the server are the real ones; only the cluster stands still."""
    ann, code, cluster = chats.account("ann"), letter(store), declared(chats)
    async with town_of(store) as town:
        outside = Outside(owner_id=chats.owner, allow_loopback=True)
        linking = Linking(store=store, cluster=cluster, clock=town.clock, outside=outside)
        browser = town.browser
        await linking(Key(KIND, "n", "matrix"))

        async def sent(path: str, **fields: str) -> Page:
            page = await browser.get(path)
            return await browser.post(path, {**page.form(path), **fields})

        assert (await sent("/chats", code=code)).location == "/chats/account"
        assert (await sent("/chats/account", account=ann.user_id)).location == "/chats/number"
        assert not (await linking(Key(KIND, "n", "matrix"))).failed
        ((text,),) = read(ann).values()
        (number,) = [word.strip(".") for word in text.split() if word.strip(".").count("-") == 1 and word.isupper()]
        assert (await sent("/chats/number", number=number)).location == "/chats/mine"
        assert store.links.linked(PLACE).rows() == [("u-1", ann.user_id)]
        await linking(Key(KIND, "n", "matrix"))
        assert cluster.asked == [Key("ChatPolicy", "n", "all")]

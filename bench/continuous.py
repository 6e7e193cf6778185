"""(g) How long a change made by hand lasts in a chat of a policy with `sync.mode: Continuous`, on a real Synapse.

The whole way of the operator but the Kubernetes API: it listens to Synapse, reads the changed room, plans, and repairs
with store and journal. Somebody whom the policy protects, and who may do everything in these rooms, makes random edits,
one after the other; meanwhile other rooms change as they should: people come and go by our account, write and rename
themselves. Timed is from Synapse's answer to the edit to the state as it was, looked at every 20 ms over HTTP.

`python -m bench.continuous` prints a section for `bench/README.md`. Neighbour: `bench.run`, which writes it there.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl
from bench.measure import machine, table, tell

from homeroom.api import ChatPlatform, parse
from homeroom.chats import DESIRED_SCHEMAS, ChatType, Desired, Settings
from homeroom.chats.baseline import Baseline
from homeroom.chats.policy import ChatRule, ChatRules
from homeroom.chats.records import LINKS_SCHEMA, Links
from homeroom.chats.repair import Decided
from homeroom.demo.server import default_cache
from homeroom.demo.synapse import Account, Synapse, installed
from homeroom.operator.metrics import Metrics
from homeroom.operator.runtime import SystemClock
from homeroom.plan import Change, Kind, Op, Result
from homeroom.platforms import Platform
from homeroom.reconcile.chatrepair import ChatRepair, Remembered
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.listening import Listening
from homeroom.reconcile.ports import Key, Object
from homeroom.store import Store

MEMBERS: Final = 8
ROOMS: Final = 40
"""In which edits are made."""
OTHERS: Final = 20
"""That change as they should."""
GOAL: Final = "a median below 1 s and a 95th percentile below 5 s"
_LOOK_SECONDS: Final = 0.02
_GIVEN_UP_SECONDS: Final = 60.0
_POWER: Final = "m.room.power_levels"
_PLATFORM, _POLICY = Key("ChatPlatform", "bench", "matrix"), Key("ChatPolicy", "bench", "chats")
_DISTRICT: Final = "district"
_OWNER_ID: Final = "benchmark"


@dataclass
class Cluster:
    """The Kubernetes API, as far as a repair asks it."""

    objects: Mapping[Key, Object]
    token: str
    asked: Counter[Key] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    epoch: int = 1

    def get(self, key: Key) -> Object | None:
        """One of the two."""
        return self.objects.get(key)

    def every(self, kind: str) -> Sequence[Object]:
        """Those of a kind."""
        return [obj for key, obj in self.objects.items() if key.kind == kind]

    def list(self, kind: str, namespace: str) -> Sequence[Object]:
        """The same."""
        return [obj for obj in self.every(kind) if obj["metadata"]["namespace"] == namespace]

    async def secret(self, *, namespace: str, name: str) -> Mapping[str, str]:
        """The access token."""
        del namespace, name
        return {"accessToken": self.token}

    def enqueue(self, key: Key, *, after: float = 0) -> None:
        """Nobody runs whole runs here."""
        del after
        self.asked[key] += 1

    def event(self, obj: Object, *, warning: bool, reason: str, message: str) -> None:
        """Counted."""
        del obj, warning, message
        self.told[reason] += 1

    def stopping(self) -> bool:
        """Never."""
        return False


def resources(server: Synapse, support: str) -> Mapping[Key, Object]:
    """The platform and the policy."""

    def made(key: Key, spec: Mapping[str, Any]) -> Object:
        meta = {"namespace": key.namespace, "name": key.name, "uid": key.name, "generation": 1}
        meta["creationTimestamp"] = "2026-11-01T00:00:00Z"
        return {"apiVersion": "homeroom.dev/v1alpha1", "kind": key.kind, "metadata": meta, "spec": spec}

    matrix = {"homeserver": server.url, "serverName": server.server_name, "secretRef": {"name": "matrix"}}
    identity = {"type": "UserIds", "userIdType": "Matrix"}
    return {
        _PLATFORM: made(_PLATFORM, {"matrix": matrix, "identity": identity, "protect": [support]}),
        _POLICY: made(
            _POLICY,
            {
                "districtRef": {"name": _DISTRICT},
                "platformRef": {"name": _PLATFORM.name},
                "chats": [{"type": ChatType.CLASS_STUDENTS.value}],
                "sync": {"mode": "Continuous"},
            },
        ),
    }


def wanted(rooms: Mapping[str, Sequence[str]]) -> Desired:
    """Chats with these keys, and who is in them."""
    keys, accounts = sorted(rooms), sorted({account for members in rooms.values() for account in members})
    settings = {setting.value: allowed.value for setting, allowed in Settings().items().items()}
    row = {"type": ChatType.CLASS_STUDENTS.value, "school": "s-1", "space": "hr-space", "space_name": "School"}
    number = {account: n for n, account in enumerate(accounts)}
    members = [
        {"chat": n, "account": number[account], "administrator": False, "reasons": 1}
        for n, key in enumerate(keys)
        for account in rooms[key]
    ]
    return Desired(
        chats=pl.DataFrame([{**row, "key": key, "name": key, **settings} for key in keys], DESIRED_SCHEMAS["chats"]),
        accounts=pl.DataFrame({"account": accounts}, DESIRED_SCHEMAS["accounts"]),
        members=pl.DataFrame(members, DESIRED_SCHEMAS["members"]),
        pending=pl.DataFrame(schema=DESIRED_SCHEMAS["pending"]),
    )


async def fill(platform: Platform, desired: Desired) -> Mapping[str, str]:
    """Make and fill all chats; ids of rooms by key."""
    await platform.read()
    keys, accounts = desired.chats["key"], desired.accounts["account"]
    pairs = [(keys[chat], accounts[one]) for chat, one in desired.members.select("chat", "account").iter_rows()]
    for batch in (
        [Change(seq=n, op=Op.CREATE, kind=Kind.CHAT, school="s-1", key=key) for n, key in enumerate(keys)],
        [
            Change(seq=n, op=Op.CREATE, kind=Kind.MEMBERSHIP, school="s-1", key=account, class_key=key)
            for n, (key, account) in enumerate(pairs)
        ],
    ):
        outcomes = await platform.apply(batch, desired)
        assert all(outcome.result is Result.APPLIED for outcome in outcomes), outcomes[0].error
    chats = (await platform.read()).chats
    return dict(chats.select("key", "external_id").iter_rows())


@dataclass(frozen=True)
class Hand:
    """Who edits, and the rooms in which that happens."""

    server: Synapse
    support: Account
    rooms: Mapping[str, str]
    members: Mapping[str, Sequence[str]]
    looks: list[float] = field(default_factory=list)
    """Seconds of each look at a room: how busy server and machine are."""

    def state(self, key: str, kind: str, name: str = "") -> Any:
        """What the room says; None: nothing."""
        begun = time.perf_counter()
        answer = self.support.call("GET", f"rooms/{self.rooms[key]}/state/{kind}/{name}")
        self.looks.append(time.perf_counter() - begun)
        return answer.body if answer.ok else None

    def put(self, key: str, kind: str, content: object) -> None:
        """Change what it says."""
        self.support.do("PUT", f"rooms/{self.rooms[key]}/state/{kind}/", content)

    def add(self, key: str) -> Callable[[], bool]:
        """Somebody is asked in who has no business there."""
        guest = self.server.make(f"guest-{time.monotonic_ns()}")  # Synapse lets nobody be asked in too often
        self.support.do("POST", f"rooms/{self.rooms[key]}/invite", {"user_id": guest})
        return lambda: self.state(key, "m.room.member", guest)["membership"] == "leave"

    def kick(self, key: str) -> Callable[[], bool]:
        """A member is put out."""
        member = random.choice(self.members[key])
        self.support.do("POST", f"rooms/{self.rooms[key]}/kick", {"user_id": member})
        return lambda: self.state(key, "m.room.member", member)["membership"] == "join"

    def power(self, key: str) -> Callable[[], bool]:
        """A member gets an administrator's rights."""
        before = self.state(key, _POWER)
        member = random.choice(self.members[key])
        self.put(key, _POWER, {**before, "users": {**before["users"], member: 50}})
        return lambda: member not in self.state(key, _POWER)["users"]

    def name(self, key: str) -> Callable[[], bool]:
        """The chat gets another name."""
        self.put(key, "m.room.name", {"name": f"ours {random.random()}"})
        return lambda: bool(self.state(key, "m.room.name")["name"] == key)

    def setting(self, key: str) -> Callable[[], bool]:
        """Everybody may pin messages and ask others in."""
        before = self.state(key, _POWER)
        self.put(key, _POWER, {**before, "invite": 0, "events": {**before["events"], "m.room.pinned_events": 0}})
        return lambda: bool(self.state(key, _POWER)["invite"] == before["invite"])

    def edits(self, number: int) -> list[tuple[str, str]]:
        """Random ones, by kind and key; of one thing in one room no more than are repaired at once."""
        keys = list(self.rooms)
        kinds = {
            kind: random.sample(keys * 3 if kind not in {"name", "setting"} else keys, k=min(len(keys), number // 5))
            for kind in ("add", "kick", "power", "name", "setting")
        }
        chosen = [(kind, key) for kind, some in kinds.items() for key in some]
        random.shuffle(chosen)
        return chosen


def repaired(edit: Callable[[str], Callable[[], bool]], key: str) -> float:
    """Make an edit, and wait until it is gone; seconds."""
    is_gone = edit(key)
    begun = time.perf_counter()
    while not is_gone():
        assert time.perf_counter() - begun < _GIVEN_UP_SECONDS, f"not repaired: {edit}"
        time.sleep(_LOOK_SECONDS)
    return time.perf_counter() - begun


async def legitimately(operator: Account, people: Sequence[Account], rooms: Sequence[str], changes: list[str]) -> None:
    """Rooms change as they should, for ever."""
    while True:
        room, person = random.choice(rooms), random.choice(people)
        number = len(changes)
        for account, method, path, body in (
            (operator, "POST", f"/_synapse/admin/v1/join/{room}", {"user_id": person.user_id}),
            (person, "PUT", f"rooms/{room}/send/m.room.message/{number}", {"msgtype": "m.text", "body": "hello"}),
            (person, "PUT", f"profile/{person.user_id}/displayname", {"displayname": f"Person {number}"}),
            (operator, "POST", f"rooms/{room}/kick", {"user_id": person.user_id}),
        ):
            await asyncio.to_thread(account.call, method, path, body)
            changes.append(path)
        await asyncio.sleep(0.2)


async def measure(
    server: Synapse, directory: Path, *, edits: int, rooms: int
) -> tuple[dict[str, list[float]], list[float], int]:
    """Seconds by kind of edit, of each look at a room, and how many other changes there were meanwhile."""
    operator, support = server.administrator("homeroom"), server.account("support")
    # Who is logged in by somebody else is limited as that one is.
    at = f"/_synapse/admin/v1/users/{server.operator.user_id}/override_ratelimit"
    operator.do("POST", at, {"messages_per_second": 0, "burst_count": 0})
    people = [server.make(f"person-{number}") for number in range(4 * MEMBERS)]
    crowd = {f"hr-{number}": random.sample(people, k=MEMBERS) for number in range(rooms)}
    others = {f"hr-other-{number}": people[:2] for number in range(OTHERS)}
    cluster: Any = Cluster(resources(server, support.user_id), operator.token)
    outside, clock, metrics = Outside(owner_id=_OWNER_ID), SystemClock(), Metrics()
    desired = wanted({**crowd, **others})
    platform = parse(cluster.get(_PLATFORM))
    assert isinstance(platform, ChatPlatform)
    async with await outside.platform(platform, cluster.secret, district=_DISTRICT) as opened:
        ids = await fill(opened, desired)
    for key in crowd:
        operator.do("POST", f"/_synapse/admin/v1/join/{ids[key]}", {"user_id": support.user_id})
        power = operator.do("GET", f"rooms/{ids[key]}/state/{_POWER}/")
        operator.do("PUT", f"rooms/{ids[key]}/state/{_POWER}/", {**power, "users": {support.user_id: 100}})
    store = Store.open(f"sqlite:///{directory / 'homeroom.db'}", directory)
    repairs = ChatRepair(store=store, outside=outside, metrics=metrics, clock=clock)
    scope = outside.owner_of_chats(namespace="bench", district=_DISTRICT)
    rules = ChatRules(
        scope=scope, chats=(ChatRule(type=ChatType.CLASS_STUDENTS),), protected=frozenset({support.user_id})
    )
    empty = Baseline.empty()
    baseline = Baseline(
        desired=desired, kept=empty.kept, unapplied=empty.unapplied, known=desired.chats["key"], first=False
    )
    decided = Decided(baseline=baseline, rules=rules, links=Links.of(pl.DataFrame(schema=LINKS_SCHEMA)))
    repairs.remember(_POLICY, Remembered(decided=decided, generation=1, unsure=frozenset(), revision="main"))
    listening = Listening(cluster=cluster, clock=clock, outside=outside, repairs=repairs)
    hand = Hand(server, support, {key: ids[key] for key in crowd}, crowd)
    changes: list[str] = []
    spare = [server.account(f"spare-{number}") for number in range(4)]
    ears = asyncio.create_task(listening.run())
    while not cluster.asked:  # noqa: ASYNC110 - until it has begun to listen
        await asyncio.sleep(0.05)
    noise = asyncio.create_task(legitimately(operator, spare, [ids[key] for key in others], changes))
    seconds: dict[str, list[float]] = {}
    for number, (kind, key) in enumerate(hand.edits(edits)):
        seconds.setdefault(kind, []).append(await asyncio.to_thread(repaired, getattr(hand, kind), key))
        if number % 50 == 49:
            tell(f"{number + 1} edits")
    noise.cancel()
    with suppress(asyncio.CancelledError):
        await noise
    listening.stop()
    await ears
    store.close()
    assert not cluster.told["Flapping"], "an edit was made too often to be repaired at once"
    return seconds, hand.looks, len(changes)


def row(what: str, seconds: Sequence[float]) -> list[str]:
    """Number, median, 95th percentile and the longest."""
    high = statistics.quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
    middle = statistics.median(seconds)
    return [what, f"{len(seconds)}", f"**{middle:.2f} s**", f"**{high:.2f} s**", f"{max(seconds):.2f} s"]


_WORDS: Final = {
    "add": "somebody is let in",
    "kick": "a member is put out",
    "power": "a member gets rights",
    "name": "the name is changed",
    "setting": "a setting is changed",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=200, help="edits by hand")
    parser.add_argument("--rooms", type=int, default=ROOMS, help="rooms in which they are made")
    parser.add_argument("--seed", type=int, default=6, help="of what is edited where")
    chosen = parser.parse_args()
    random.seed(chosen.seed)
    begun = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as directory, Synapse(installed(default_cache()), Path(directory)) as server:
        seconds, looks, changes = asyncio.run(
            measure(server, Path(directory) / "store", edits=chosen.edits, rooms=chosen.rooms)
        )
    every = [one for some in seconds.values() for one in some]
    rows = [
        *(row(_WORDS[kind], some) for kind, some in seconds.items()),
        row("all", every),
        row("one look at a room meanwhile", looks),
    ]
    head = ["by hand", "times", "median", "95th percentile", "longest"]
    print(
        f"Goal: {GOAL}. {chosen.rooms} rooms, each with {MEMBERS} members; "
        f"{OTHERS} other rooms had {changes} changes of their own within "
        f"{(datetime.now(UTC) - begun).total_seconds():.0f} s. SQLite on a RAM disk.\n\n{table(head, rows)}\n\n"
        f"{machine('aiohttp', 'polars')}."
    )


if __name__ == "__main__":
    main()

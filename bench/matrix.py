"""(f) Rooms on a real Synapse: made, filled and read by the Matrix driver, beside the same HTTP calls without it.

`raw` is plain aiohttp that sends what the driver sends, in the same order and number in flight, under an account of its
own on the same server. The two take turns, some rooms each, so that a busy machine and a growing database slow both
alike. Read are all rooms of the driver at once, by both.

`python -m bench.matrix` prints a section for `bench/README.md`. Neighbour: `bench.run`, which writes it there.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import aiohttp
import polars as pl
import psutil
from bench.measure import machine, table, tell

from homeroom.chats import DESIRED_SCHEMAS, ChatType, Desired, Settings
from homeroom.demo.server import default_cache
from homeroom.demo.synapse import Account, Synapse, installed
from homeroom.plan import Change, Kind, Op, Result
from homeroom.platforms.matrix import MatrixPlatform
from homeroom.platforms.matrix.platform import NOTICE
from homeroom.platforms.matrix.room import CHAT_MARK, FURNITURE, Mark, levels
from homeroom.wire import gathered

MEMBERS: Final = 15
TURNS: Final = 5
"""How often driver and raw calls take turns in the fill."""
SCANS: Final = 5
LEAST_RATE: Final = 0.9  # of the raw rate
_BATCH: Final = 150  # memberships in one batch
_VERSION: Final = "12"
_OWNER: Final = "benchmark"


class Seconds(NamedTuple):
    """On the clock, and of processor time, the server's and the client's together."""

    wall: float
    cpu: float


def now() -> Seconds:
    """Since whenever."""
    here = psutil.Process()
    spent = [one.cpu_times() for one in (here, *here.children())]
    return Seconds(time.perf_counter(), sum(one.user + one.system for one in spent))


def since(begun: Seconds) -> Seconds:
    """From then to now."""
    ended = now()
    return Seconds(ended.wall - begun.wall, ended.cpu - begun.cpu)


def wanted(keys: list[str]) -> Desired:
    """Rooms of these keys."""
    settings = {setting.value: allowed.value for setting, allowed in Settings().items().items()}
    row = {"type": ChatType.CLASS_STUDENTS.value, "school": "s-1", "space": "hr-space", "space_name": "School"}
    rows = [{**row, "key": key, "name": key, **settings} for key in sorted(keys)]
    empty = {name: pl.DataFrame(schema=DESIRED_SCHEMAS[name]) for name in ("accounts", "members", "pending")}
    return Desired(chats=pl.DataFrame(rows, schema=DESIRED_SCHEMAS["chats"]), **empty)


async def by_driver(server: Synapse, operator: Account, rooms: dict[str, list[str]]) -> Seconds:
    """Make and fill rooms."""
    async with MatrixPlatform(
        url=server.url, server_name=server.server_name, token=operator.token, owner=_OWNER
    ) as platform:
        await platform.read()
        desired, begun = wanted(list(rooms)), now()
        made = [Change(seq=seq, op=Op.CREATE, kind=Kind.CHAT, school="s-1", key=key) for seq, key in enumerate(rooms)]
        pairs = ((key, account) for key, accounts in rooms.items() for account in accounts)
        added = [
            Change(seq=seq, op=Op.CREATE, kind=Kind.MEMBERSHIP, school="s-1", key=account, class_key=key)
            for seq, (key, account) in enumerate(pairs)
        ]
        for changes in (made, *(added[at : at + _BATCH] for at in range(0, len(added), _BATCH))):
            outcomes = await platform.apply(changes, desired)
            assert all(outcome.result is Result.APPLIED for outcome in outcomes)
        return since(begun)


class Raw:
    """The same calls, without looking at anything."""

    def __init__(self, session: aiohttp.ClientSession, operator: Account) -> None:
        self._session = session
        self._operator = operator

    async def call(self, method: str, at: str, body: object = None) -> Any:
        """One call that has to work; its JSON."""
        async with self._session.request(method, at, json=body) as answer:
            assert answer.status == 200
            return await answer.json()

    async def make(self, key: str, space: str) -> str:
        """A room as the driver makes it, in a space."""
        power = levels(Settings(), operator=self._operator.user_id, version=_VERSION, users={}, archived=False)
        mark = Mark(owner=_OWNER, key=key, school="s-1", space="hr-space").content()
        via = {"via": ["school.test"]}
        state = [
            *({"type": kind, "content": content} for kind, content in FURNITURE.items()),
            {"type": CHAT_MARK, "content": mark},
            {"type": "m.space.parent", "state_key": space, "content": {**via, "canonical": True}},
        ]
        body = {
            "preset": "private_chat",
            "visibility": "private",
            "room_version": _VERSION,
            "room_alias_name": key,
            "name": key,
            "topic": NOTICE,
            "creation_content": {"m.federate": False},
            "power_level_content_override": power,
            "initial_state": state,
        }
        room = str((await self.call("POST", "/_matrix/client/v3/createRoom", body))["room_id"])
        await self.call("PUT", f"/_matrix/client/v3/rooms/{space}/state/m.space.child/{room}", via)
        return room

    async def rooms(self, names: list[str], space: str, who: list[list[str]]) -> None:
        """Rooms with people in them, as many at a time as the driver makes and fills."""
        made = await gathered(lambda name: self.make(name, space), names, at_once=4)
        filled = list(zip(made, who, strict=True))
        for at in range(0, len(filled), _BATCH // MEMBERS):
            await gathered(lambda pair: self.fill(*pair), filled[at : at + _BATCH // MEMBERS], at_once=4)

    async def fill(self, room: str, accounts: list[str]) -> None:
        """People join a room one after another, each after a look at the account, all after a look at the room."""
        await self.state(room)
        for account in accounts:
            await self.call("GET", f"/_synapse/admin/v2/users/{quote(account)}")
            await self.call("POST", f"/_synapse/admin/v1/join/{room}", {"user_id": account})

    async def state(self, room: str) -> Any:
        """All about a room."""
        return await self.call("GET", f"/_matrix/client/v3/rooms/{room}/state")


async def by_hand(server: Synapse, operator: Account, do: Callable[[Raw], Awaitable[None]]) -> Seconds:
    """Raw calls."""
    headers = {"Authorization": f"Bearer {operator.token}"}
    async with aiohttp.ClientSession(server.url, headers=headers) as session:
        begun = now()
        await do(Raw(session, operator))
        return since(begun)


def fills(server: Synapse, ours: Account, theirs: Account, rooms: int) -> list[tuple[Seconds, Seconds]]:
    """Seconds of the driver and of raw calls, by turn."""
    people = [server.make(f"person-{number}") for number in range(10 * MEMBERS)]
    space = theirs.do("POST", "createRoom", {"room_version": _VERSION})["room_id"]
    seconds: list[tuple[Seconds, Seconds]] = []
    for turn in range(TURNS):
        numbers = range(turn, rooms, TURNS)
        who = [[people[(number + step * 7) % len(people)] for step in range(MEMBERS)] for number in numbers]
        driven = {f"hr-{number}": accounts for number, accounts in zip(numbers, who, strict=True)}
        names = [f"raw-{number}" for number in numbers]
        fill = partial(Raw.rooms, names=names, space=space, who=who)
        if turn % 2:
            driver = asyncio.run(by_driver(server, ours, driven))
            raw = asyncio.run(by_hand(server, theirs, fill))
        else:
            raw = asyncio.run(by_hand(server, theirs, fill))
            driver = asyncio.run(by_driver(server, ours, driven))
        seconds.append((driver, raw))
        tell(f"fill {turn + 1} of {TURNS}: {driver.wall:.1f} s, raw {raw.wall:.1f} s")
    return seconds


def scans(server: Synapse, ours: Account, rooms: int) -> list[tuple[Seconds, Seconds]]:
    """Seconds of the driver and of raw calls for reading all rooms; more are made until there are so many."""
    listed = ours.do("GET", "joined_rooms")["joined_rooms"]

    async def more(raw: Raw) -> None:
        space = str((await raw.call("POST", "/_matrix/client/v3/createRoom", {"room_version": _VERSION}))["room_id"])
        await gathered(lambda number: raw.make(f"more-{number}", space), range(rooms - len(listed) - 1), at_once=4)

    asyncio.run(by_hand(server, ours, more))
    listed = ours.do("GET", "joined_rooms")["joined_rooms"]

    async def read() -> Seconds:
        async with MatrixPlatform(
            url=server.url, server_name=server.server_name, token=ours.token, owner=_OWNER
        ) as platform:
            begun = now()
            actual = await platform.read()
            assert actual.complete
            return since(begun)

    async def raw(raw: Raw) -> None:
        await raw.call("GET", "/_matrix/client/v3/joined_rooms")
        await gathered(raw.state, listed, at_once=8)

    return [(asyncio.run(read()), asyncio.run(by_hand(server, ours, raw))) for _ in range(SCANS)]


def row(what: str, seconds: list[tuple[Seconds, Seconds]]) -> list[str]:
    """The driver's share of the raw rate, in the middle of all turns: on the clock, and of processor time."""
    rates = [[theirs[which] / ours[which] for ours, theirs in seconds] for which in range(2)]
    walls = [sum(one[which].wall for one in seconds) / len(seconds) for which in range(2)]
    return [
        what,
        *(f"**{statistics.median(some):.0%}**" for some in rates),
        *(f"{wall:.2f} s" for wall in walls),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=100, help="rooms that are made and filled")
    parser.add_argument("--scanned", type=int, default=1_000, help="rooms that are read")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        Synapse(installed(default_cache()), Path(directory)) as server,
    ):
        ours, theirs = server.administrator("ours"), server.administrator("theirs")
        for one in (ours, theirs):
            at = f"/_synapse/admin/v1/users/{one.user_id}/override_ratelimit"
            one.do("POST", at, {"messages_per_second": 0, "burst_count": 0})
        filled = fills(server, ours, theirs, chosen.rooms)
        scanned = scans(server, ours, chosen.scanned)
    goal = f"Goal: at least {LEAST_RATE:.0%} of the raw rate. SQLite on a RAM disk, rooms of version {_VERSION}."
    rows = [
        row(f"make {chosen.rooms} rooms, {chosen.rooms * MEMBERS} memberships, in {TURNS} turns", filled),
        row(f"read {chosen.scanned} rooms", scanned),
    ]
    head = ["", "rate / raw", "by CPU", "driver, a turn", "raw, a turn"]
    print(f"{goal}\n\n{table(head, rows)}\n\n{machine('aiohttp', 'polars')}.")


if __name__ == "__main__":
    main()

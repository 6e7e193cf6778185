"""A real Synapse for the tests, chats to put there, and the driver wired to both. Loaded by conftest.py.

The server is shared by the tests of a worker, so every test has an operator, people and rooms of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import aiohttp
import polars as pl
import pytest

from homeroom.chats import DESIRED_SCHEMAS, Actual, ChatType, Desired, Setting, Settings, space_key
from homeroom.demo.server import default_cache
from homeroom.demo.stage import RECORDS, Records
from homeroom.demo.synapse import Account, Synapse, installed
from homeroom.plan import Change, Kind, Op, Outcome
from homeroom.platforms import Named
from homeroom.platforms.matrix import MatrixPlatform


@pytest.fixture(scope="package")
def synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    """The real Synapse. A test that stops it starts it again."""
    with Synapse(installed(default_cache()), tmp_path_factory.mktemp("synapse")) as server:
        yield server


@pytest.fixture(scope="package")
def everybody(synapse: Synapse) -> str:
    """Everybody in the sample who has to do with its first school has an account; what comes after the source ids."""
    records, ending = Records(RECORDS), "rowan"
    people = {row["userSourcedId"] for row in records.rows("roles", orgSourcedId="s-001")}
    people |= {row["userSourcedId"] for row in records.rows("roles", role="guardian")}
    for person in sorted(people):
        synapse.make(f"{person}.{ending}")
    return ending


@pytest.fixture
def mark() -> str:
    """What names of this test's own end with."""
    return uuid.uuid4().hex[:8]


@pytest.fixture(params=["11", "12"])
def version(request: pytest.FixtureRequest) -> str:
    """The version of the rooms in this test."""
    return str(request.param)


@pytest.fixture
def limited(synapse: Synapse, mark: str) -> Account:
    """An administrator of this test's own, for whom Synapse's limits count."""
    return synapse.administrator(f"op-{mark}")


@pytest.fixture
def operator(limited: Account) -> Account:
    """An administrator of this test's own, for whom no limits count."""
    unlimited = {"messages_per_second": 0, "burst_count": 0}
    limited.do("POST", f"/_synapse/admin/v1/users/{limited.user_id}/override_ratelimit", unlimited)
    return limited


def desired(
    chats: Mapping[str, Sequence[str]],
    *,
    administrators: Mapping[str, Sequence[str]] | None = None,
    names: Mapping[str, str] | None = None,
    settings: Settings | None = None,
    school: str = "s-1",
) -> Desired:
    """Chats of one school: who is in each, by its key; `administrators` are among them."""
    keys, leads = sorted(chats), administrators or {}
    accounts = sorted({account for members in chats.values() for account in members})
    words = {setting.value: allowed.value for setting, allowed in (settings or Settings()).items().items()}
    of = {"type": ChatType.CLASS_STUDENTS.value, "school": school, "section": None, "year": 2027}
    space = {"space": space_key(scope=keys[0] if keys else "", school=school, year=2027), "space_name": "Lakeside 2027"}
    rows = [{"key": key, "name": (names or {}).get(key, key), **of, **space, **words} for key in keys]
    members = [
        {
            "chat": keys.index(key),
            "account": accounts.index(account),
            "administrator": account in leads.get(key, ()),
            "reasons": 1,
        }
        for key in keys
        for account in chats[key]
    ]
    return Desired(
        chats=pl.DataFrame(rows, schema=DESIRED_SCHEMAS["chats"]),
        accounts=pl.DataFrame({"account": accounts}, schema=DESIRED_SCHEMAS["accounts"]),
        members=pl.DataFrame(members, schema=DESIRED_SCHEMAS["members"]),
        pending=pl.DataFrame(schema=DESIRED_SCHEMAS["pending"]),
    )


@dataclass
class View:
    """An Actual, as words."""

    actual: Actual

    @property
    def rooms(self) -> dict[str, str]:
        """Room ids by key."""
        return dict(self.actual.chats.select("key", "external_id").iter_rows())

    @property
    def names(self) -> dict[str, str]:
        """What chats are called, by key."""
        return dict(self.actual.chats.select("key", "name").iter_rows())

    @property
    def archived(self) -> set[str]:
        """Keys."""
        return set(self.actual.chats.filter("archived")["key"])

    def settings(self, key: str) -> dict[str, str | None]:
        """The eight settings of a chat."""
        (row,) = self.actual.chats.filter(pl.col("key") == key).select(*Setting).rows(named=True)
        return row

    @property
    def members(self) -> dict[str, dict[str, str | None]]:
        """States by account, by key of the chat."""
        found: dict[str, dict[str, str | None]] = {key: {} for key in self.actual.chats["key"]}
        for chat, account, state in self.actual.members.select("chat", "account", "state").iter_rows():
            found[self.actual.chats["key"][chat]][account] = state
        return found

    @property
    def administrators(self) -> dict[str, set[str]]:
        """Accounts by key of the chat."""
        found: dict[str, set[str]] = {key: set() for key in self.actual.chats["key"]}
        for chat, account in self.actual.members.filter("administrator").select("chat", "account").iter_rows():
            found[self.actual.chats["key"][chat]].add(account)
        return found


@dataclass
class Chats:
    """Chats of a test's own on the shared Synapse, under an operator and an owner of its own."""

    server: Synapse
    operator: Account
    mark: str
    version: str

    @property
    def owner(self) -> str:
        """Who we are in the world."""
        return f"owner-{self.mark}"

    def key(self, name: str) -> str:
        """A key of a chat of this test."""
        return f"hr-{name}-{self.mark}"

    def people(self, *names: str) -> list[str]:
        """Accounts that nobody is logged in to."""
        return [self.server.make(f"{name}-{self.mark}") for name in names]

    def account(self, name: str) -> Account:
        """Somebody who is logged in."""
        return self.server.account(f"{name}-{self.mark}")

    def platform(
        self,
        *middlewares: aiohttp.ClientMiddlewareType,
        registers: bool = False,
        named: Named | None = None,
        **options: str,
    ) -> MatrixPlatform:
        """A driver, as it is made for one run."""
        return MatrixPlatform(
            url=options.get("url", self.server.url),
            server_name=options.get("server_name", self.server.server_name),
            token=options.get("token", self.operator.token),
            owner=options.get("owner", self.owner),
            room_version=self.version,
            registers=registers,
            named=named,
            middlewares=middlewares,
        )

    def plan(self, wanted: Desired, actual: Actual) -> list[list[Change]]:
        """What differs, in batches: a planner that removes all that is not wanted, and asks no guard."""
        rows: list[tuple[Kind, Op, str, str | None]] = []
        now, view = {row["key"]: row for row in actual.chats.iter_rows(named=True)}, View(actual)
        enforced = [setting.value for setting in self.platform().capabilities.enforced()]
        for chat in wanted.chats.iter_rows(named=True):
            there = now.get(chat["key"])
            if there is None:
                rows.append((Kind.CHAT, Op.CREATE, chat["key"], None))
            elif there["archived"]:
                rows.append((Kind.CHAT, Op.RESTORE, chat["key"], None))
            elif any(there[name] != chat[name] for name in ("name", *enforced)):
                rows.append((Kind.CHAT, Op.UPDATE, chat["key"], None))
        keys, accounts = wanted.chats["key"], wanted.accounts["account"]
        members = {(keys[chat], accounts[one]): lead for chat, one, lead, _ in wanted.members.iter_rows()}
        states = {(key, account): state for key, found in view.members.items() for account, state in found.items()}
        present = {pair for pair, state in states.items() if state in {"Joined", "Invited"}}
        halfway = {pair for pair, state in states.items() if state == "Linked"}
        leads = {(key, account) for key, lead in view.administrators.items() for account in lead}
        wanted_leads = {pair for pair, lead in members.items() if lead}
        for kind, op, pairs in (
            (Kind.MEMBERSHIP, Op.CREATE, members.keys() - present),
            (Kind.RIGHT, Op.CREATE, wanted_leads - leads),
            (Kind.RIGHT, Op.REMOVE, leads - wanted_leads),
            (Kind.MEMBERSHIP, Op.REMOVE, (present | halfway) - members.keys()),
        ):
            rows += [(kind, op, account, key) for key, account in sorted(pairs)]
        rows += [(Kind.CHAT, Op.ARCHIVE, key, None) for key in now if key not in set(keys) and not now[key]["archived"]]
        changes = [
            Change(seq=seq, op=op, kind=kind, school="s-1", key=key, class_key=place)
            for seq, (kind, op, key, place) in enumerate(rows)
        ]
        return [list(batch) for _, batch in groupby(changes, lambda change: (change.kind, change.op))]

    async def sync(self, wanted: Desired, *middlewares: aiohttp.ClientMiddlewareType) -> list[Outcome]:
        """One run: read, plan, apply; the outcomes."""
        async with self.platform(*middlewares) as platform:
            outcomes: list[Outcome] = []
            for batch in self.plan(wanted, await platform.read()):
                outcomes += await platform.apply(batch, wanted)
            return outcomes

    async def read(self, *middlewares: aiohttp.ClientMiddlewareType) -> View:
        """What is there now."""
        async with self.platform(*middlewares) as platform:
            return View(await platform.read())

    def events(self) -> dict[str, str]:
        """The latest event of every room that the operator is in: equal answers mean that nobody wrote in between."""
        rooms = self.operator.do("GET", "joined_rooms")["joined_rooms"]
        return {
            room: self.operator.do("GET", f"rooms/{room}/messages?dir=b&limit=1")["chunk"][0]["event_id"]
            for room in rooms
        }


@pytest.fixture
def chats(synapse: Synapse, operator: Account, mark: str, version: str) -> Chats:
    """Chats of this test's own."""
    return Chats(synapse, operator, mark, version)

"""A real Kolibri for the tests, a small district to put into it, and the driver wired to both.

Loaded by conftest.py. The server is shared by the tests of a worker, so every test has schools of its own: `place`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import aiohttp
import polars as pl
import pytest

from homeroom.demo.kolibri import Kolibri, installed
from homeroom.demo.server import default_cache
from homeroom.plan import Cause, Kind, Op, Outcome, Plan, Role
from homeroom.reconcile.executor import BATCH_SIZES
from homeroom.roster.state import ACTUAL_SCHEMAS, DESIRED_SCHEMAS, Actual, Desired
from homeroom.targets import Known
from homeroom.targets.kolibri import KolibriTarget

MARK_KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="package")
def kolibri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kolibri]:
    """The real Kolibri. Its schools are told apart by name; a test that stops it starts it again."""
    with Kolibri(installed(default_cache()), tmp_path_factory.mktemp("kolibri"), quick=True) as server:
        yield server


def desired(
    *,
    school: str,
    people: dict[str, str],
    classes: dict[str, str] | None = None,
    learners: dict[str, Sequence[str]] | None = None,
    coaches: dict[str, Sequence[str]] | None = None,
    administrators: Sequence[str] = (),
    staff: Sequence[str] = (),
    usernames: dict[str, str] | None = None,
    name: str | None = None,
) -> Desired:
    """One school: `people` and `classes` are names by source id, `learners` and `coaches` people by class."""
    classes, learners, coaches = classes or {}, learners or {}, coaches or {}
    keys, class_keys = list(people), list(classes)
    teaching = {person for members in coaches.values() for person in members} | {*administrators, *staff}
    members: list[tuple[object, ...]] = [
        (class_keys.index(one), keys.index(person), role)
        for role, wanted in (("Learner", learners), ("Coach", coaches))
        for one, members in wanted.items()
        for person in members
    ]
    frames: dict[str, list[tuple[object, ...]]] = {
        "schools": [(school, name or school)],
        "people": [(0, key, people[key], (usernames or {}).get(key), key in teaching) for key in keys],
        "classes": [(0, key, classes[key]) for key in class_keys],
        "memberships": members,
        "rights": [(keys.index(person),) for person in administrators],
    }
    return Desired(
        **{table: pl.DataFrame(rows, schema=DESIRED_SCHEMAS[table], orient="row") for table, rows in frames.items()}
    )


@dataclass
class Place:
    """One school in the shared Kolibri, with the memory that the store has of it. `id` is unique to the test."""

    server: Kolibri
    id: str
    owner: str
    passwords: dict[str, str] = field(default_factory=dict)
    schools: set[str] = field(default_factory=set)
    classes: set[tuple[str, str]] = field(default_factory=set)
    usernames: dict[tuple[str, str], str] = field(default_factory=dict)
    before: Desired | None = None

    def target(self, *middlewares: aiohttp.ClientMiddlewareType, **options: str) -> KolibriTarget:
        """A driver, as it is made for one run."""
        credentials = {"username": self.server.username, "password": self.server.password, "markKey": MARK_KEY}
        return KolibriTarget(
            url=self.server.url,
            credentials={**credentials, **options},
            owner=self.owner,
            password=self.passwords.get,
            middlewares=middlewares,
        )

    def known(self, wanted: Desired | None = None) -> Known:
        """What the store remembers, and what is desired."""
        if wanted is not None:
            self.schools |= set(wanted.schools["key"])
            self.classes |= {(self.id, key) for key in wanted.classes["key"]}
        return Known(
            schools=sorted(self.schools),
            classes=pl.DataFrame(sorted(self.classes), schema=["school", "key"], orient="row"),
            usernames=pl.DataFrame(
                [(*key, name) for key, name in sorted(self.usernames.items())],
                schema={"school": pl.String, "key": pl.String, "username": pl.String},
                orient="row",
            ),
        )

    def plan(self, wanted: Desired, actual: Actual) -> Plan:
        """What differs: the planner of this test, which removes everything that is not wanted, and asks no guard.

        Names of schools and classes change only when they are wanted to be others than before, like the real one.
        """
        names, old = _names(wanted), _names(self.before) if self.before else {}
        now = View(actual, self.id)
        rows: list[tuple[Kind, Op, dict[str, object]]] = []
        there = self.id in actual.schools["key"]
        if not there:
            rows.append((Kind.SCHOOL, Op.CREATE, {"key": self.id, "name": names[Kind.SCHOOL, self.id]}))
        rows += [
            (kind, Op.UPDATE, {"key": key, "name": name})
            for (kind, key), name in names.items()
            if old.get((kind, key), name) != name and (kind is Kind.SCHOOL or key in now.classes)
        ]
        for key, name, username, staff in wanted.people.select("key", "name", "username", "staff").iter_rows():
            fields = {"key": key, "name": name, "username": username, "staff": staff, "external_id": now.ids.get(key)}
            if key not in now.people:
                rows.append((Kind.PERSON, Op.CREATE, fields))
            elif now.people[key][2]:
                rows.append((Kind.PERSON, Op.RESTORE, fields))
            elif now.people[key][0] != name:
                rows.append((Kind.PERSON, Op.UPDATE, fields))
        rows += [
            (Kind.PERSON, Op.SUSPEND, {"key": key})
            for key, (_, _, suspended) in now.people.items()
            if key is not None and not suspended and key not in wanted.people["key"]
        ]
        for key, name in wanted.classes.select("key", "name").iter_rows():
            if key not in now.classes:
                rows.append((Kind.CLASS, Op.CREATE, {"key": key, "name": name}))
            elif now.classes[key][1]:
                rows.append((Kind.CLASS, Op.RESTORE, {"key": key, "name": name}))
        rows += [
            (Kind.CLASS, Op.ARCHIVE, {"key": key})
            for key, (_, archived) in now.classes.items()
            if key is not None and not archived and key not in wanted.classes["key"]
        ]
        members = View.members_of(wanted)
        for one, person, role in members ^ now.members.keys():
            op = Op.CREATE if (one, person, role) in members else Op.REMOVE
            fields = {
                "key": person,
                "class_key": one,
                "role": role,
                "external_id": now.members.get((one, person, role)),
            }
            rows.append((Kind.MEMBERSHIP, op, fields))
        rights = {wanted.people["key"][person] for person in wanted.rights["person"]}
        rows += [
            (Kind.RIGHT, Op.CREATE if person in rights else Op.REMOVE, {"key": person, "role": Role.ADMINISTRATOR})
            for person in rights ^ {person for person in now.administrators if person is not None}
        ]
        standing = {key for school, key in actual.conflicts if school == self.id}
        frame = pl.DataFrame(
            [
                {"kind": kind.value, "op": op.value, "school": self.id, "cause": Cause.SOURCE_ADDED.value, **fields}
                for kind, op, fields in rows
                if self.id not in actual.unsure and not (kind is not Kind.CLASS and fields["key"] in standing)
            ],
            schema_overrides={"external_id": pl.String, "staff": pl.Boolean},
            infer_schema_length=None,
        )
        return Plan.of(frame)

    async def sync(self, wanted: Desired, *middlewares: aiohttp.ClientMiddlewareType) -> list[Outcome]:
        """One run: read, plan, apply, remember; the outcomes."""
        async with self.target(*middlewares) as target:
            outcomes = await self.carry_out(self.plan(wanted, await target.read(self.known(wanted))), target)
        self.before = wanted
        return outcomes

    async def carry_out(self, plan: Plan, target: KolibriTarget) -> list[Outcome]:
        """Apply a plan, and keep the user names that were given out, as the ledger does."""
        outcomes: list[Outcome] = []
        for batch in plan.batches(BATCH_SIZES):
            done = await target.apply(batch)
            assert [change.seq for change in batch] == [outcome.seq for outcome in done]
            for change, outcome in zip(batch, done, strict=True):
                if change.kind is Kind.PERSON and outcome.username is not None:
                    self.usernames[change.school, change.key] = outcome.username
            outcomes += done
        return outcomes

    async def read(self, wanted: Desired | None = None) -> View:
        """What is there now."""
        async with self.target() as target:
            return View(await target.read(self.known(wanted)), self.id)


def _names(wanted: Desired) -> dict[tuple[Kind, str], str]:
    """Names of schools and classes."""
    return {
        (kind, key): name
        for kind, frame in ((Kind.SCHOOL, wanted.schools), (Kind.CLASS, wanted.classes))
        for key, name in frame.select("key", "name").iter_rows()
    }


@dataclass
class View:
    """An Actual, as words. Only the school `id`."""

    actual: Actual
    id: str

    def _frame(self, table: str) -> pl.DataFrame:
        frame: pl.DataFrame = getattr(self.actual, table)
        assert dict(frame.schema) == dict(ACTUAL_SCHEMAS[table])
        if "school" not in frame.columns:
            return frame.with_row_index("row")
        return frame.with_row_index("row").filter(
            self.actual.schools["key"].gather(frame["school"]).eq_missing(pl.lit(self.id))
        )

    @property
    def people(self) -> dict[str | None, tuple[str, str, bool]]:
        """Name, user name and whether suspended, by source id."""
        frame = self._frame("people")
        return {row[0]: row[1:] for row in frame.select("key", "name", "username", "suspended").iter_rows()}

    @property
    def ids(self) -> dict[str | None, str]:
        """Kolibri's ids by source id."""
        return dict(self._frame("people").select("key", "external_id").iter_rows())

    @property
    def classes(self) -> dict[str | None, tuple[str, bool]]:
        """Name and whether archived, by source id."""
        frame = self._frame("classes")
        return {row[0]: row[1:] for row in frame.select("key", "name", "archived").iter_rows()}

    @property
    def members(self) -> dict[tuple[str, str, str], str]:
        """Class, person and role, with Kolibri's id; people who are not ours by their user name."""
        classes, people = self.actual.classes["key"], self.actual.people.select(pl.coalesce("key", "username"))["key"]
        rows = self.actual.memberships.iter_rows()
        return {(classes[one], people[person], role): external_id for one, person, role, external_id in rows}

    @staticmethod
    def members_of(wanted: Desired) -> set[tuple[str, str, str]]:
        """Class, person and role."""
        classes, people = wanted.classes["key"], wanted.people["key"]
        return {(classes[one], people[person], role) for one, person, role in wanted.memberships.iter_rows()}

    @property
    def administrators(self) -> set[str | None]:
        """Source ids."""
        return {self.actual.people["key"][person] for person in self.actual.rights["person"]}


@pytest.fixture
def place(kolibri: Kolibri) -> Place:
    """A school of this test's own."""
    name = uuid.uuid4().hex[:8]
    return Place(server=kolibri, id=f"s-{name}", owner=f"owner-{name}")

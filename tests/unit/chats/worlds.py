"""A small school in words, a chat server in memory, and nights: plan, apply, remember.

``World(homerooms={"7a": "ann bob tom*"}, parents={"mum": "ann"}, staff="tom eve!")``: `*` teaches and is on the class
card, `+` teaches and is not, `!` leads the school. Everybody has the account `@id` unless `links` says otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import polars as pl

from homeroom.chats import (
    ACTUAL_SCHEMAS,
    Actual,
    Capabilities,
    ChatType,
    Desired,
    Enforcement,
    Setting,
    Settings,
    State,
)
from homeroom.chats.able import under
from homeroom.chats.baseline import Baseline, expected
from homeroom.chats.desired import Opened, desired
from homeroom.chats.diff import diff, sizes
from homeroom.chats.policy import LIMITS, ChatRule, ChatRules
from homeroom.chats.records import LINKS_SCHEMA, RECORDS_SCHEMAS, Links, Records, in_question
from homeroom.plan import (
    CHANGE_SCHEMA,
    HELD_SCHEMA,
    IDENTITY_SCHEMA,
    RECENT_SCHEMA,
    Change,
    Judged,
    Kind,
    Op,
    Plan,
    Standing,
    judge,
)

NOW = datetime(2026, 10, 1, tzinfo=UTC)
ROBOT = "@homeroom"
CAN = Capabilities(
    create=True,
    force_add=True,
    invite_link=True,
    remove=True,
    set_role=True,
    rename=True,
    archive=True,
    delete=True,
    calls=True,
    events=True,
    settings=dict.fromkeys(Setting, Enforcement.ENFORCED),
)
THREE = tuple(ChatRule(type=one) for one in ChatType if one is not ChatType.SUBJECT)
RULES = ChatRules(scope="lakeside", chats=THREE)
_MARKS = "*+!"


@dataclass(frozen=True, kw_only=True)
class World:
    homerooms: Mapping[str, str] = field(default_factory=dict)
    subjects: Mapping[str, str] = field(default_factory=dict)
    parents: Mapping[str, str] = field(default_factory=dict)  # -> children
    staff: str = ""
    students_too: str = ""  # whom some record calls a student
    school: str = "s1"
    titles: Mapping[str, str] = field(default_factory=dict)
    years: Mapping[str, int] = field(default_factory=dict)
    over: Mapping[str, bool] = field(default_factory=dict)  # -> with the whole year

    def records(self, *, backwards: bool = False) -> Records:
        """The same in frames; `backwards`: with the rows of every frame in another order."""
        classes = {**self.homerooms, **self.subjects}
        words = [word for text in (*classes.values(), *self.parents.values(), self.staff) for word in text.split()]
        people = sorted({*(word.rstrip(_MARKS) for word in words), *self.parents}, reverse=backwards)
        ids = sorted(classes, reverse=backwards)
        row, of_class = {one: i for i, one in enumerate(people)}, {one: i for i, one in enumerate(ids)}
        learners = {word for text in classes.values() for word in text.split() if word[-1] not in _MARKS} | set(
            self.students_too.split()
        )
        frames: dict[str, list[tuple[object, ...]]] = {
            "schools": [(self.school, f"School {self.school}")],
            "people": [(one, one in learners) for one in people],
            "classes": [
                (one, 0, self.years.get(one, 2027), self.titles.get(one, one), "Maths", one in self.homerooms)
                for one in ids
            ],
            "staff": [(0, row[word.rstrip(_MARKS)], "!" in word) for word in self.staff.split()],
            "students": [
                (of_class[one], row[word]) for one in ids for word in classes[one].split() if word[-1] not in _MARKS
            ],
            "teachers": [
                (of_class[one], row[word.rstrip(_MARKS)], word[-1] == "*")
                for one in ids
                for word in classes[one].split()
                if word[-1] in _MARKS
            ],
            "guardians": [(row[child], row[one]) for one, text in self.parents.items() for child in text.split()],
            "over": list(self.over.items()),
        }
        return Records(
            **{
                name: pl.DataFrame(
                    frames[name][:: -1 if backwards and name not in {"people", "classes"} else 1],
                    schema=schema,
                    orient="row",
                )
                for name, schema in RECORDS_SCHEMAS.items()
            }
        )


def pairs(links: Iterable[tuple[str, str]]) -> pl.DataFrame:
    return pl.DataFrame(sorted(set(links)), schema=LINKS_SCHEMA, orient="row")


def linked(world: World, *, without: str = "") -> Links:
    people = set(world.records().people["id"]) - set(without.split())
    return Links.of(pairs((one, f"@{one}") for one in people))


def wanted(
    world: World, links: Links | None = None, rules: ChatRules = RULES, *, opened: Opened = MappingProxyType({})
) -> Desired:
    return desired(world.records(), links or linked(world), rules, opened=opened)


def members(state: Desired) -> dict[str, dict[str, bool]]:
    """Name of a chat -> account -> whether it administers it."""
    rows = state.members.select(
        state.chats["name"].gather(state.members["chat"]),
        state.accounts["account"].gather(state.members["account"]),
        "administrator",
    )
    found: dict[str, dict[str, bool]] = {name: {} for name in state.chats["name"]}
    for name, account, leads in rows.iter_rows():
        found[name][account] = leads
    return found


@dataclass(kw_only=True)
class Room:
    """A chat on the server."""

    school: str
    name: str
    settings: Settings = field(default_factory=Settings)
    archived: bool = False
    complete: bool = True
    people: dict[str, State] = field(default_factory=lambda: {ROBOT: State.JOINED})
    leads: set[str] = field(default_factory=lambda: {ROBOT})
    successor: str | None = None  # id of the room that took its place
    picture: bytes | None = None
    picture_mark: str | None = None  # digest of the last one that was shown


@dataclass(kw_only=True)
class Server:
    """A chat server in memory; `rooms` by key."""

    rooms: dict[str, Room] = field(default_factory=dict)
    complete: bool = True
    writes: int = 0

    def read(self, only: Collection[str] | None = None) -> Actual:
        keys = sorted(self.rooms if only is None else self.rooms.keys() & set(only))
        chats = [
            (
                key,
                one.school,
                one.successor or f"!{key}",
                one.name,
                one.archived,
                one.complete,
                *one.settings.items().values(),
            )
            for key, one in ((key, self.rooms[key]) for key in keys)
        ]
        people = [
            (n, account, account in room.leads, room.people.get(account))
            for n, room in enumerate(self.rooms[key] for key in keys)
            for account in sorted({*room.people, *room.leads})
        ]
        return Actual(
            chats=pl.DataFrame(chats, schema=ACTUAL_SCHEMAS["chats"], orient="row"),
            members=pl.DataFrame(people, schema=ACTUAL_SCHEMAS["members"], orient="row"),
            operator=ROBOT,
            complete=self.complete and only is None,
        )

    def apply(self, plan: Plan, state: Desired) -> None:
        """Carry out what is due. Whatever makes no sense is an error, as it would be on a real server."""
        for batch in plan.due.batches(dict.fromkeys(Kind, 3)):
            for one in batch:
                self.make(one, state)

    def make(self, one: Change, state: Desired) -> None:
        """Carry out one change."""
        self.writes += 1
        if one.kind is Kind.CHAT:
            self._chat(one.op, one.key, state)
            return
        room = self.rooms[str(one.class_key)]
        assert one.key != ROBOT
        match one.kind, one.op:
            case Kind.MEMBERSHIP, Op.CREATE:
                assert room.people.get(one.key) not in {State.JOINED, State.INVITED}
                room.people[one.key] = State.JOINED
            case Kind.MEMBERSHIP, Op.REMOVE:
                del room.people[one.key]
            case Kind.RIGHT, Op.CREATE:
                room.leads.add(one.key)
            case Kind.RIGHT, Op.REMOVE:
                room.leads.remove(one.key)
            case _:
                raise AssertionError(f"no chat server can {one.op} a {one.kind}")

    def _chat(self, op: Op, key: str, state: Desired) -> None:
        if op is Op.ARCHIVE:
            self.rooms[key].archived = True
            return
        chat = state.chat(key)
        if op is Op.CREATE:
            assert key not in self.rooms
            self.rooms[key] = Room(school=chat.school, name=chat.name)
        room = self.rooms[key]
        room.name, room.settings, room.archived = chat.name, chat.settings, False

    def there(self) -> dict[str, set[str]]:
        """Name of a chat -> who is in it, but for Homeroom."""
        return {
            room.name: {one for one, state in room.people.items() if state in {State.JOINED, State.INVITED}} - {ROBOT}
            for room in self.rooms.values()
        }

    def led(self) -> dict[str, set[str]]:
        return {room.name: room.leads - {ROBOT} for room in self.rooms.values()}

    def room(self, name: str) -> Room:
        return next(room for room in self.rooms.values() if room.name == name)


NO_HOLDS = {
    "released": pl.DataFrame(schema={**CHANGE_SCHEMA, "hold": pl.String()}),
    "sticky": pl.DataFrame(schema=HELD_SCHEMA),
}


@dataclass(kw_only=True)
class Nights:
    """Night after night on one server. `held`, `plan`: of the last one."""

    rules: ChatRules = RULES
    server: Server = field(default_factory=Server)
    baseline: Baseline | None = None
    now: datetime = NOW
    state: Desired = field(default_factory=Desired.empty)
    plan: Plan = field(default_factory=lambda: Plan.of(pl.DataFrame(schema=IDENTITY_SCHEMA)))
    held: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=HELD_SCHEMA))

    def night(
        self,
        world: World,
        links: Links | None = None,
        *,
        denied: Collection[str] = (),
        still: Collection[str] = (),
        opened: Opened = MappingProxyType({}),
        edited: ChatRules | None = None,
        guarded: bool = False,
        rights: bool = False,
        dies: bool = False,
        days: int = 1,
    ) -> Plan:
        """One run; nothing is held unless `guarded`, gains of rights pass without `rights`; `dies` before acting."""
        records, links = world.records(), links or linked(world)
        before_edit = None
        if edited is not None:
            before_edit = desired(records, links, self.rules, opened=opened, denied=denied)
            self.rules = edited
        self.state = desired(records, links, self.rules, opened=opened, denied=denied)
        actual = self.server.read()
        self.plan = diff(
            self.state,
            actual,
            rules=self.rules,
            links=links,
            able=CAN,
            now=self.now,
            baseline=self.baseline,
            before_edit=before_edit,
            over=records.over,
            denied=denied,
            still=in_question(records, links, still),
        )
        self.baseline = expected(self.state, actual, self.plan, before=self.baseline, now=self.now)
        passing = under(self.plan, self.rules.membership)
        judged = self.judged(actual, passing, rights=rights) if guarded or rights else None
        self.held = judged.held if judged else self.held.clear()
        made = (judged.plan if judged else passing).due
        self.now += timedelta(days=days)
        if dies:
            return self.plan
        self.server.apply(made, self.state)
        self.baseline = self.baseline.settled(made, pl.DataFrame(schema=IDENTITY_SCHEMA))
        return self.plan

    def judged(
        self,
        actual: Actual,
        plan: Plan,
        *,
        rights: bool = False,
        released: pl.DataFrame = NO_HOLDS["released"],
        sticky: pl.DataFrame = NO_HOLDS["sticky"],
    ) -> Judged:
        standing = Standing(
            sizes=sizes(actual, self.rules),
            recent=pl.DataFrame(schema=RECENT_SCHEMA),
            reviewed=None,
            known={"s1"},
            kinds={True, False},
            rights=rights,
        )
        return judge(plan, standing, LIMITS, released=released, sticky=sticky)

    def causes(self) -> dict[str, int]:
        """Causes of the last plan, counted."""
        return {str(cause): n for cause, n in self.plan.changes["cause"].cast(pl.String).value_counts().iter_rows()}


def having(rules: ChatRules = RULES, **changes: object) -> ChatRules:
    return replace(rules, **changes)  # type: ignore[arg-type] # tests name the fields that there are

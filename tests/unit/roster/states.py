"""Small desired and actual states in words, and a target in memory that carries plans out.

A `World` is text only: schools, people `(school, id)`, classes `(school, id)`, memberships `(school, class, person,
role)`, rights `(school, person)`. `desired` makes the frames of a `Desired` of it, `Target` is a world with accounts.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import polars as pl

from homeroom.plan import Change, Kind, Op, Plan, Role
from homeroom.roster.diff import KEPT_SCHEMA, UNAPPLIED_SCHEMA, Baseline
from homeroom.roster.state import ACTUAL_SCHEMAS, DESIRED_SCHEMAS, DOUBTS_SCHEMA, Actual, Adopting, Desired

Place = tuple[str, str]  # school and id
Member = tuple[str, str, str, str]  # school, class, person, role
T = TypeVar("T")
SIZES = dict.fromkeys(Kind, 3)

LEARNER, COACH = Role.LEARNER.value, Role.COACH.value


@dataclass(frozen=True, kw_only=True)
class World:
    """What the records say, in words. Schools of people and classes are added by themselves."""

    schools: dict[str, str] = field(default_factory=dict)
    people: dict[Place, str] = field(default_factory=dict)  # -> name
    classes: dict[Place, str] = field(default_factory=dict)  # -> name
    members: frozenset[Member] = frozenset()
    rights: frozenset[Place] = frozenset()
    staff: frozenset[Place] = frozenset()


def world(
    text: str = "", *, rights: Iterable[str] = (), staff: Iterable[str] = (), school: str = "s1", names: str = ""
) -> World:
    """Read `7a: ann bob tom*; 7b: cid`: classes with members, of whom `*` are coaches; `-: eve` is in no class.

    `names`: ids of people and classes that have been renamed in the records.
    """
    people: dict[Place, str] = {}
    classes: dict[Place, str] = {}
    members: set[Member] = set()
    teaching = {(school, key) for key in staff}
    new = names.split()
    for part in filter(str.strip, text.split(";")):
        section, _, crowd = part.strip().partition(":")
        if section != "-":
            classes[school, section] = f"Class {section}" + " new" * (section in new)
        for word in crowd.split():
            key, role = word.rstrip("*"), COACH if word.endswith("*") else LEARNER
            people[school, key] = f"Name {key}" + " new" * (key in new)
            if section != "-":
                members.add((school, section, key, role))
            if role == COACH:
                teaching.add((school, key))
    return World(
        schools={school: f"School {school}" + " new" * (school in new)},
        people=people,
        classes=classes,
        members=frozenset(members),
        rights=frozenset((school, key) for key in rights),
        staff=frozenset(teaching) | {(school, key) for key in rights},
    )


def both(*worlds: World) -> World:
    """Several schools in one district."""
    return World(
        schools={k: v for w in worlds for k, v in w.schools.items()},
        people={k: v for w in worlds for k, v in w.people.items()},
        classes={k: v for w in worlds for k, v in w.classes.items()},
        members=frozenset().union(*(w.members for w in worlds)),
        rights=frozenset().union(*(w.rights for w in worlds)),
        staff=frozenset().union(*(w.staff for w in worlds)),
    )


def _frame(rows: Iterable[Sequence[object]], schema: pl.Schema) -> pl.DataFrame:
    return pl.DataFrame([tuple(row) for row in rows], schema=schema, orient="row")


def _shuffled(rows: Iterable[T], seed: int | None) -> list[T]:
    result = sorted(rows, key=repr)
    if seed is not None:
        random.Random(seed).shuffle(result)
    return result


def desired(w: World, seed: int | None = None) -> Desired:
    """The frames of a world, in an order that `seed` decides."""
    schools, people, classes = _shuffled(w.schools, seed), _shuffled(w.people, seed), _shuffled(w.classes, seed)
    rows: dict[str, list[tuple[object, ...]]] = {
        "schools": [(key, w.schools[key]) for key in schools],
        "people": [(schools.index(p[0]), p[1], w.people[p], f"user-{p[1]}", p in w.staff) for p in people],
        "classes": [(schools.index(c[0]), c[1], w.classes[c]) for c in classes],
        "memberships": [
            (classes.index((s, c)), people.index((s, p)), role) for s, c, p, role in _shuffled(w.members, seed)
        ],
        "rights": [(people.index(p),) for p in _shuffled(w.rights, seed)],
    }
    return Desired(**{name: _frame(rows[name], schema) for name, schema in DESIRED_SCHEMAS.items()})


@dataclass(frozen=True)
class Account:
    school: str
    key: str | None  # None: made by people
    name: str
    suspended: bool = False


@dataclass(frozen=True)
class Section:
    school: str
    key: str | None
    name: str
    archived: bool = False


@dataclass(kw_only=True)
class Target:
    """A product in memory. Numbers are its own ids; people edit it by its methods, plans through `apply`."""

    schools: dict[str, str] = field(default_factory=dict)
    people: dict[int, Account] = field(default_factory=dict)
    classes: dict[int, Section] = field(default_factory=dict)
    members: set[tuple[int, int, str]] = field(default_factory=set)  # class, account, role
    rights: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, w: World) -> Target:
        """A target that holds exactly what the records say."""
        target = cls(schools=dict(w.schools))
        for (school, key), name in sorted(w.people.items()):
            target.people[target._id()] = Account(school, key, name)
        for (school, key), name in sorted(w.classes.items()):
            target.classes[target._id()] = Section(school, key, name)
        target.members = {(target.section(c, s), target.account(p, s), role) for s, c, p, role in w.members}
        target.rights = {target.account(key, school) for school, key in w.rights}
        return target

    def _id(self) -> int:
        return max((*self.people, *self.classes), default=0) + 1

    def account(self, key: str, school: str = "s1") -> int:
        if key.startswith("?"):
            return int(key[1:])
        return next(i for i, a in self.people.items() if (a.school, a.key) == (school, key))

    def section(self, key: str, school: str = "s1") -> int:
        return next(i for i, c in self.classes.items() if (c.school, c.key) == (school, key))

    def join(self, section: str, person: str, role: str = LEARNER, school: str = "s1") -> None:
        self.members.add((self.section(section, school), self.account(person, school), role))

    def leave(self, section: str, person: str, role: str = LEARNER, school: str = "s1") -> None:
        self.members.remove((self.section(section, school), self.account(person, school), role))

    def rename_person(self, key: str, name: str, school: str = "s1") -> None:
        number = self.account(key, school)
        self.people[number] = replace(self.people[number], name=name)

    def rename_class(self, key: str, name: str, school: str = "s1") -> None:
        number = self.section(key, school)
        self.classes[number] = replace(self.classes[number], name=name)

    def own_account(self, name: str, school: str = "s1") -> str:
        """Somebody makes an account by hand; returns `?id`."""
        number = self._id()
        self.people[number] = Account(school, None, name)
        return f"?{number}"

    def own_class(self, name: str, school: str = "s1") -> int:
        number = self._id()
        self.classes[number] = Section(school, None, name)
        return number

    def shown(self) -> World:
        """What is in use and ours, in words."""
        ours = {i: (a.school, a.key) for i, a in self.people.items() if a.key is not None and not a.suspended}
        used = {i: (c.school, c.key) for i, c in self.classes.items() if c.key is not None and not c.archived}
        return World(
            schools=dict(self.schools),
            people={place: self.people[i].name for i, place in ours.items()},
            classes={place: self.classes[i].name for i, place in used.items()},
            members=frozenset((*used[c], ours[p][1], r) for c, p, r in self.members if c in used and p in ours),
            rights=frozenset(ours[p] for p in self.rights if p in ours),
        )

    def actual(
        self,
        seed: int | None = None,
        *,
        complete: bool = True,
        unsure: Iterable[str] = (),
        conflicts: Iterable[Place] = (),
        adopting: Mapping[int, str] | None = None,
        doubts: Iterable[tuple[str, str, str]] = (),
    ) -> Actual:
        """What a complete reading of it finds; nothing is read of schools that are unsure.

        `adopting`: the source ids that accounts and classes of people's own are to get; `doubts`: as in `Adopting`.
        """
        unread, new = set(unsure), adopting or {}
        schools = _shuffled((s for s in self.schools if s not in unread), seed)
        people = _shuffled((i for i, a in self.people.items() if a.school in schools), seed)
        classes = _shuffled((i for i, c in self.classes.items() if c.school in schools), seed)
        managed = {i for i in classes if self.classes[i].key or i in new}
        members = _shuffled((m for m in self.members if m[0] in managed), seed)
        rows: dict[str, list[Sequence[object]]] = {
            "schools": [(key, f"x-{key}", self.schools[key]) for key in schools],
            "people": [
                (schools.index(a.school), new.get(i, a.key), str(i), a.name, f"user-{a.key or i}", a.suspended)
                for i, a in ((i, self.people[i]) for i in people)
            ],
            "classes": [
                (schools.index(c.school), new.get(i, c.key), str(i), c.name, c.archived)
                for i, c in ((i, self.classes[i]) for i in classes)
            ],
            "memberships": [(classes.index(c), people.index(p), role, f"{c}/{p}/{role}") for c, p, role in members],
            "rights": [(people.index(p), f"r{p}") for p in _shuffled(self.rights & set(people), seed)],
        }
        return Actual(
            schools=_frame(rows["schools"], ACTUAL_SCHEMAS["schools"]),
            people=_frame(rows["people"], ACTUAL_SCHEMAS["people"]),
            classes=_frame(rows["classes"], ACTUAL_SCHEMAS["classes"]),
            memberships=_frame(rows["memberships"], ACTUAL_SCHEMAS["memberships"]),
            rights=_frame(rows["rights"], ACTUAL_SCHEMAS["rights"]),
            complete=complete,
            unsure=frozenset(unread),
            conflicts=frozenset(conflicts),
            adopting=Adopting(
                people=pl.Series([people.index(i) for i in people if i in new], dtype=pl.UInt32),
                classes=pl.Series([classes.index(i) for i in classes if i in new], dtype=pl.UInt32),
                doubts=pl.DataFrame(sorted(doubts), schema=DOUBTS_SCHEMA, orient="row"),
            ),
        )

    def apply(self, plan: Plan, first: int | None = None) -> pl.DataFrame:
        """Carry out the `first` changes (all) in the plan's order; returns the others."""
        changes = [change for batch in plan.batches(SIZES) for change in batch]
        for change in changes[:first]:
            self.make(change)
        return plan.changes[len(changes[:first]) :]

    def make(self, change: Change) -> None:
        if change.op is Op.ADOPT and change.kind in (Kind.MEMBERSHIP, Kind.RIGHT):
            there = {f"{c}/{p}/{role}" for c, p, role in self.members} | {f"r{p}" for p in self.rights}
            assert change.external_id in there, "only what is there comes along"
            return
        match change.kind:
            case Kind.SCHOOL:
                assert change.name is not None
                self.schools[change.key] = change.name
            case Kind.PERSON:
                self._person(change)
            case Kind.CLASS:
                self._class(change)
            case Kind.MEMBERSHIP:
                assert change.class_key is not None
                assert change.role is not None
                row = (
                    self.section(change.class_key, change.school),
                    self.account(change.key, change.school),
                    change.role.value,
                )
                if change.op is Op.CREATE:
                    assert not self.people[row[1]].suspended
                    assert not self.classes[row[0]].archived
                    assert row not in self.members
                    self.members.add(row)
                else:
                    self.members.remove(row)
            case Kind.RIGHT:
                number = self.account(change.key, change.school)
                assert (number in self.rights) == (change.op is Op.REMOVE)
                (self.rights.add if change.op is Op.CREATE else self.rights.remove)(number)

    def _person(self, change: Change) -> None:
        if change.op is Op.CREATE:
            assert change.school in self.schools
            assert change.name is not None
            assert (change.school, change.key) not in {(a.school, a.key) for a in self.people.values()}
            self.people[self._id()] = Account(change.school, change.key, change.name)
            return
        assert change.external_id is not None
        number = int(change.external_id)
        account = self.people[number]
        if change.op is Op.ADOPT:
            assert account.key is None, "it is somebody's already"
            account = replace(account, key=change.key)
        assert account.key == change.key
        name = change.name if change.name is not None else account.name
        self.people[number] = replace(account, name=name, suspended=change.op is Op.SUSPEND)

    def _class(self, change: Change) -> None:
        if change.op is Op.CREATE:
            assert change.school in self.schools
            assert change.name is not None
            self.classes[self._id()] = Section(change.school, change.key, change.name)
            return
        assert change.external_id is not None
        number = int(change.external_id)
        section = self.classes[number]
        if change.op is Op.ADOPT:
            assert section.key is None, "it is one of ours already"
            section = replace(section, key=change.key)
        assert section.key == change.key
        if change.op is Op.ARCHIVE:  # a product empties the class: whoever is in it has to be in the plan
            assert not {row for row in self.members if row[0] == number}
        name = change.name if change.name is not None else section.name
        self.classes[number] = replace(section, name=name, archived=change.op is Op.ARCHIVE)


def baseline(w: World, *, first: bool = False) -> Baseline:
    """What was wanted last, and has been applied in full."""
    nothing = pl.DataFrame(schema=KEPT_SCHEMA)
    return Baseline(desired=desired(w), kept=nothing, unapplied=pl.DataFrame(schema=UNAPPLIED_SCHEMA), first=first)


def told(plan: Plan) -> list[str]:
    """A plan in words: `+Membership 7a/ann Learner: SourceAdded`, school first where it is not s1."""
    rows = []
    for row in plan.changes.iter_rows(named=True):
        place = "/".join(filter(None, (None if row["school"] == "s1" else row["school"], row["class_key"], row["key"])))
        role = f" {row['role']}" if row["role"] else ""
        rows.append(f"{row['op']} {row['kind']} {place}{role}: {row['cause']}")
    return rows

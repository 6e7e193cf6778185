"""From what Kolibri lists to what is there: whose each facility, account and class is. Pure.

Only what bears a valid mark is ours (`marks`). `Site` is what a run has to remember of one school to change it: the
modules that make changes keep it up to date.

Whose an account is, in this order:

1. valid mark, finished: it is that person's. Two such accounts for one person, or an id number that is not the
   person's any more (a learner can edit it): a conflict, and nothing of that person moves.
2. valid mark, `creating`: nobody's yet; creating the person finishes it.
3. deleted by hand, with a valid mark: the person's, and suspended. `Restore` gives the very account back.
4. no valid mark, but it bears the user name that we gave to somebody, a mark that names somebody, or the id number of
   somebody whom we had given an account: a conflict, if that person has no account of 1 or 3. So a learner who wipes
   the own mark gets no second account, and whoever writes a stranger's number into the own account only harms himself.
5. anything else was made by people and is never touched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from homeroom.plan import Role
from homeroom.roster.state import ACTUAL_SCHEMAS, Actual, Withdrawn
from homeroom.targets import Known
from homeroom.targets.kolibri import marks as m

Row = Mapping[str, Any]
"""An object as Kolibri lists it."""

ARCHIVED: Final = "[archived] "
COACH: Final = "coach"
ADMINISTRATOR: Final = "admin"
LOCK: Final = "classroom assignable coach"
"""The facility role without any right that keeps an account from being entered without a password; see `door`."""

NO_PASSWORD: Final = "NOT_SPECIFIED"  # noqa: S105 (Kolibri's word for an account without one)

NAME: Final = 100
"""The longest name of a facility or a class."""

FULL_NAME: Final = 120
"""The longest name of a person."""

_CONTROL: Final = dict.fromkeys([*range(32), 127], " ")


@dataclass(slots=True, kw_only=True)
class Site:
    """One school of ours as a run knows it.

    `people`, `classes`: Kolibri ids by source id, finished ones only. `deleted`: accounts that somebody deleted by
    hand, `unfinished`: such as a crash left, both by source id. `taken`: user names in use, also by deleted accounts,
    in small letters; `reserved`: who was given which name before, the same way; `withdrawn`: names of people who were
    forgotten. `all_classes`: ids, whosever they are.
    """

    key: str
    id: str
    dataset: str
    extra: dict[str, Any] = field(default_factory=dict)
    passwordless: bool = False
    people: dict[str, str] = field(default_factory=dict)
    deleted: dict[str, Row] = field(default_factory=dict)
    unfinished: dict[str, Row] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    live_names: set[str] = field(default_factory=set)
    reserved: dict[str, str] = field(default_factory=dict)
    withdrawn: Withdrawn = field(default_factory=Withdrawn)
    classes: dict[str, str] = field(default_factory=dict)
    all_classes: set[str] = field(default_factory=set)

    def free(self, username: str, *, key: str) -> bool:
        """Whether a new account of the person `key` may have this user name: nobody has it, nobody else ever had."""
        mine = self.reserved.get(username, key) == key and not self.withdrawn.has(username, school=self.key)
        return mine and username not in self.taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What Kolibri lists for one facility of ours."""

    site: Site
    users: Sequence[Row]
    deleted: Sequence[Row]
    classes: Sequence[Row]


def fit(name: str, limit: int) -> str:
    """`name` as Kolibri keeps it: trimmed, no control characters, at most `limit` characters."""
    plain = name.translate(_CONTROL).strip()
    return plain if len(plain) <= limit else plain[: limit - 1].rstrip() + "…"


def membership_id(*, dataset: str, user: str, collection: str) -> str:
    """The id that Kolibri computes for a membership."""
    return _morango_id(dataset, user, collection, "membership")


def role_id(*, dataset: str, user: str, collection: str, kind: str) -> str:
    """The id that Kolibri computes for a role."""
    return _morango_id(dataset, user, f"{collection}:{kind}", "role")


def _morango_id(dataset: str, user: str, source: str, model: str) -> str:
    return hashlib.sha256(f"{dataset}:user-ro:{user}::{source}::{model}".encode()).hexdigest()[:32]


def _extra(facility: Row) -> Mapping[str, Any]:
    extra = facility["dataset"]["extra_fields"]
    return extra if isinstance(extra, Mapping) else {}


def sites(facilities: Iterable[Row], *, marks: m.Marks, schools: Iterable[str]) -> tuple[dict[str, Site], set[str]]:
    """Our facilities, by the school's source id, and the schools whose mark only other owners' facilities bear.

    A facility that is still being made (temporary name) is left out: creating the school finishes it.
    """
    keys = {marks.school(key): key for key in schools}
    found: dict[str, Site] = {}
    elsewhere: set[str] = set()
    for facility in sorted(facilities, key=lambda row: str(row["id"])):
        extra = _extra(facility)
        key = keys.get(str(extra.get(m.SCHOOL)))
        if key is None:
            continue
        if not marks.owns(extra.get(m.OWNER), school=key, facility=facility["id"]):
            elsewhere.add(key)
        elif facility["name"] != marks.temporary_school(key):
            found.setdefault(key, Site(key=key, id=facility["id"], dataset=facility["dataset"]["id"]))
        else:
            elsewhere.discard(key)
            keys.pop(marks.school(key))  # ours, and not finished: nobody else's
    return found, elsewhere - found.keys()


def actual(
    *,
    facilities: Sequence[Row],
    listed: Sequence[Listed],
    memberships: Sequence[Row],
    roles: Sequence[Row],
    known: Known,
    marks: m.Marks,
) -> Actual:
    """What is there, and fill the `Site` of each school on the way.

    A school whose lists are shorter than Kolibri's own counts is `unsure`: somebody is changing it, or not all came.
    """
    ordered = sorted(facilities, key=lambda row: str(row["id"]))
    ours = {one.site.id: one for one in listed}
    schools: list[tuple[str | None, str, str]] = []
    people: list[tuple[int, str | None, str, str, str, bool]] = []
    classes: list[tuple[int, str | None, str, str, bool]] = []
    unsure: set[str] = set()
    conflicts: set[tuple[str, str]] = set()
    live: dict[str, int] = {}  # row in `people` of each account that is not deleted
    owned_classes: dict[str, int] = {}  # row in `classes`
    facility_rows: set[str] = set()

    reserved = _reserved(known)
    tokens = _tokens(known, marks)
    for number, facility in enumerate(ordered):
        one = ours.get(facility["id"])
        schools.append((one.site.key if one else None, facility["id"], facility["name"]))
        if one is None:
            continue
        site = one.site
        facility_rows.add(site.id)
        if (facility["num_users"], facility["num_classrooms"]) != (len(one.users), len(one.classes)):
            unsure.add(site.key)
        site.extra = dict(_extra(facility))
        site.reserved = reserved.get(site.key, {})
        site.withdrawn = known.withdrawn
        here = {user["id"] for user in one.users}
        for user, key, suspended in _people(one, marks, conflicts):
            if user["id"] in here:
                live[user["id"]] = len(people)
            people.append((number, key, user["id"], _name(user, marks), user["username"], suspended))
        for row, key, archived in _classes(one, marks, tokens.get(site.key, {})):
            if key is not None:
                owned_classes[row["id"]] = len(classes)
            name = row["name"].removeprefix(ARCHIVED) if archived else row["name"]
            classes.append((number, key, row["id"], name, archived))

    # Rows of deleted accounts stay in Kolibri's lists, and count for nothing there: they fall out here.
    coaches = [row for row in roles if row["kind"] == COACH]
    belonging = [
        (owned_classes[row["collection"]], live[row["user"]], role.value, row["id"])
        for rows, role in ((memberships, Role.LEARNER), (coaches, Role.COACH))
        for row in rows
        if row["collection"] in owned_classes and row["user"] in live
    ]
    rights = [
        (live[row["user"]], row["id"])
        for row in roles
        if row["kind"] == ADMINISTRATOR and row["collection"] in facility_rows and row["user"] in live
    ]

    def frame(table: str, rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
        return pl.DataFrame(rows, schema=ACTUAL_SCHEMAS[table], orient="row")

    return Actual(
        schools=frame("schools", schools),
        people=frame("people", people),
        classes=frame("classes", classes),
        memberships=frame("memberships", belonging),
        rights=frame("rights", rights),
        unsure=frozenset(unsure),
        conflicts=frozenset(conflicts),
    )


def _reserved(known: Known) -> dict[str, dict[str, str]]:
    """Who was given which user name, per school."""
    names: dict[str, dict[str, str]] = {}
    for school, key, username in known.usernames.select("school", "key", "username").iter_rows():
        names.setdefault(school, {})[username.casefold()] = key
    return names


def _tokens(known: Known, marks: m.Marks) -> dict[str, dict[str, str]]:
    """Source ids of classes by what stands for them in the registry, per school."""
    tokens: dict[str, dict[str, str]] = {}
    for school, key in known.classes.select("school", "key").iter_rows():
        tokens.setdefault(school, {})[marks.class_token(school=school, key=key)] = key
    return tokens


@dataclass(frozen=True, slots=True)
class _Marked:
    """Accounts by what their marks say. `owned` and `deleted` by source id; a person may wrongly have several."""

    owned: dict[str, list[Row]]
    deleted: dict[str, list[Row]]
    suspended: set[str]  # ids of accounts
    unfinished: list[tuple[str, Row]]
    strays: list[Row]


def _marked(one: Listed, marks: m.Marks) -> _Marked:
    answer = _Marked({}, {}, set(), [], [])
    for user in one.users:
        mark = marks.read_person(user)
        if mark is None:
            answer.strays.append(user)
        elif mark.state is m.State.CREATING:
            answer.unfinished.append((mark.key, user))
        else:
            answer.owned.setdefault(mark.key, []).append(user)
            if mark.state is m.State.SUSPENDED:
                answer.suspended.add(user["id"])
    for user in one.deleted:
        mark = marks.read_person(user)
        if mark is not None and mark.state is not m.State.CREATING and mark.key not in answer.owned:
            answer.deleted.setdefault(mark.key, []).append(user)
            answer.suspended.add(user["id"])
    return answer


def _people(one: Listed, marks: m.Marks, conflicts: set[tuple[str, str]]) -> list[tuple[Row, str | None, bool]]:
    """Accounts with whose they are (see the module's words) and whether they are suspended; fills the site."""
    site, marked = one.site, _marked(one, marks)
    site.live_names = {user["username"].casefold() for user in one.users}
    site.taken = site.live_names | {user["username"].casefold() for user in one.deleted}
    answer: list[tuple[Row, str | None, bool]] = []
    for key, user in marked.unfinished:
        site.unfinished.setdefault(key, user)
        answer.append((user, None, False))
    for key, accounts in (marked.owned | marked.deleted).items():
        if len(accounts) == 1 and accounts[0]["id_number"] == m.id_number(key):
            site.people[key] = accounts[0]["id"]
            if key in marked.deleted:
                site.deleted[key] = accounts[0]
        else:
            conflicts.add((site.key, key))
        answer += [(user, key, user["id"] in marked.suspended) for user in accounts]
    numbers = {m.id_number(key): key for key in site.reserved.values()}
    for user in marked.strays:
        claims = (site.reserved.get(user["username"].casefold()), m.claimed(user), numbers.get(user["id_number"]))
        claim = next((key for key in claims if key is not None), None)
        if claim in marked.owned or claim in marked.deleted:
            claim = None
        if claim is not None:
            conflicts.add((site.key, claim))
        answer.append((user, claim, False))
    return answer


def _name(user: Row, marks: m.Marks) -> str:
    """The person's name; the records' own where Kolibri holds a shortened form of it."""
    mark = marks.read_person(user)
    full: str = user["full_name"]
    return mark.name if mark and mark.name is not None and full == fit(mark.name, FULL_NAME) else full


def _classes(one: Listed, marks: m.Marks, tokens: Mapping[str, str]) -> list[tuple[Row, str | None, bool]]:
    """Classes with whose they are (None: not ours, unknown, or not finished) and whether archived; fills the site."""
    site = one.site
    site.all_classes = {row["id"] for row in one.classes}
    registry = site.extra.get(m.CLASSES)
    answer: list[tuple[Row, str | None, bool]] = []
    for row in sorted(one.classes, key=lambda row: str(row["id"])):
        value = registry.get(row["id"]) if isinstance(registry, Mapping) else None
        entry = marks.read_class(value, class_id=row["id"])
        key = tokens.get(entry.token) if entry else None
        if entry is None or key is None or key in site.classes:
            answer.append((row, None, False))
        elif row["name"] == marks.temporary_class(school=site.key, key=key):
            answer.append((row, None, False))  # creating it finishes it
        else:
            site.classes[key] = row["id"]
            answer.append((row, key, entry.archived))
    return answer

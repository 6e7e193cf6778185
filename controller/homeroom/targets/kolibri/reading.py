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
5. anything else was made by people and is never touched, unless it is to be adopted (`adopting`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from homeroom.plan import Kind, Role
from homeroom.roster.state import ACTUAL_SCHEMAS, DOUBTS_SCHEMA, Actual, Adopting, Withdrawn
from homeroom.targets import Known
from homeroom.targets.kolibri import adopting
from homeroom.targets.kolibri import marks as m

Row = m.Row

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
    forgotten. `all_classes`: ids, whosever they are. `is_ours`: False of a facility that is to be adopted. `adopting`:
    accounts that are to be, by source id.
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
    is_ours: bool = True
    adopting: dict[str, Row] = field(default_factory=dict)

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


def adoptable_sites(
    facilities: Iterable[Row],
    *,
    marks: m.Marks,
    former: m.Marks | None,
    schools: pl.DataFrame,
    found: Collection[str],
    elsewhere: Collection[str],
) -> tuple[dict[str, Site], set[str]]:
    """Facilities that are to become ours, by the school's source id, and the schools in doubt.

    `schools`: `Adoptable.schools`; `found`, `elsewhere`: as `sites` says. A school that is still being made is
    finished, not replaced; one that another owner has can only be handed over.
    """
    rows = {str(row["id"]): row for row in sorted(facilities, key=lambda row: str(row["id"]))}
    begun = {row["name"] for row in rows.values()}
    names = {
        key: None if key in elsewhere else fit(name or "", NAME)
        for key, name in schools.iter_rows()
        if key not in found and marks.temporary_school(key) not in begun
    }
    handed: list[tuple[str, str]] = []
    unmarked: list[tuple[str, str]] = []
    by_mark = {marks.school(key): key for key in names}
    for id_, row in rows.items():
        extra = _extra(row)
        key = by_mark.get(str(extra.get(m.SCHOOL)))
        if key is not None and former and former.owns(extra.get(m.OWNER), school=key, facility=id_):
            handed.append((key, id_))
        elif not {m.SCHOOL, m.OWNER} & extra.keys():
            unmarked.append((id_, row["name"]))
    fitting = adopting.fits(handed, names.items(), unmarked)
    answer = {
        key: Site(key=key, id=id_, dataset=rows[id_]["dataset"]["id"], is_ours=False)
        for key, id_ in fitting.ids.items()
    }
    return answer, fitting.doubts


def actual(
    *,
    facilities: Sequence[Row],
    listed: Sequence[Listed],
    memberships: Sequence[Row],
    roles: Sequence[Row],
    known: Known,
    marks: m.Marks,
    former: m.Marks | None = None,
    doubtful_schools: Iterable[str] = (),
) -> Actual:
    """What is there, and fill the `Site` of each school on the way.

    A school whose lists are shorter than Kolibri's own counts is `unsure`: somebody is changing it, or not all came.
    `former`: the marks of a former owner. `doubtful_schools`: as `adoptable_sites` says.
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
    adoption = _Adoption.of(known, former=former, doubtful_schools=doubtful_schools)
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
        for user, key, suspended in _people(one, marks, conflicts, adoption):
            if user["id"] in here:
                live[user["id"]] = len(people)
            people.append((number, key, user["id"], _name(user, marks), user["username"], suspended))
        for row, key, archived in _classes(one, marks, tokens.get(site.key, {}), adoption):
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

    tables = {
        name: frame(name, rows) for name, rows in (("schools", schools), ("people", people), ("classes", classes))
    }
    return Actual(
        schools=tables["schools"],
        people=tables["people"],
        classes=tables["classes"],
        memberships=frame("memberships", belonging),
        rights=frame("rights", rights),
        unsure=frozenset(unsure),
        conflicts=frozenset(conflicts),
        adopting=adoption.rows(tables, sites=(one.site for one in listed)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Adoption:
    """What may be adopted, and, once all was looked at, what is to be.

    `former`: the marks of a former owner. `people`, `classes`: parts of `Adoptable` by school. `ids`: of accounts and
    classes that are to become ours. `doubts`: rows of `DOUBTS_SCHEMA`.
    """

    former: m.Marks | None
    people: Mapping[str, pl.DataFrame]
    classes: Mapping[str, pl.DataFrame]
    ids: set[str] = field(default_factory=set)
    doubts: list[tuple[str, str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, known: Known, *, former: m.Marks | None, doubtful_schools: Iterable[str]) -> _Adoption:
        """Where nothing may be adopted, nothing is."""
        wanted = known.adoptable

        def by_school(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
            return {str(school): rows for (school,), rows in frame.partition_by("school", as_dict=True).items()}

        return cls(
            former=former if wanted else None,
            people=by_school(wanted.people) if wanted else {},
            classes=by_school(wanted.classes) if wanted else {},
            doubts=[(Kind.SCHOOL.value, key, key) for key in sorted(doubtful_schools)],
        )

    def note(self, kind: Kind, school: str, fitting: adopting.Fits) -> dict[str, str]:
        """Remember what was found; source ids by Kolibri id."""
        self.ids.update(fitting.ids.values())
        self.doubts.extend((kind.value, school, key) for key in sorted(fitting.doubts))
        return {id_: key for key, id_ in fitting.ids.items()}

    def rows(self, tables: Mapping[str, pl.DataFrame], *, sites: Iterable[Site]) -> Adopting:
        """As rows of the tables."""
        ids = [*self.ids, *(site.id for site in sites if not site.is_ours)]
        new = {name: table["external_id"].is_in(ids).arg_true().cast(pl.UInt32) for name, table in tables.items()}
        return Adopting(**new, doubts=pl.DataFrame(self.doubts, schema=DOUBTS_SCHEMA, orient="row"))


def _adopted_people(
    site: Site,
    adoption: _Adoption,
    *,
    handed: Sequence[tuple[str, Row]],
    free: Sequence[Row],
    conflicts: Iterable[tuple[str, str]],
) -> dict[str, str]:
    """Who of those that have no account gets which one: a former owner's, by source id, or one that people made."""
    wanted = adoption.people.get(site.key)
    if wanted is None:
        return {}

    def account(user: Row) -> adopting.Account:
        return adopting.Account.of(user, withdrawn=site.withdrawn.has(user["username"], school=site.key))

    settled = [*site.people, *site.unfinished, *(key for school, key in conflicts if school == site.key)]
    fitting = adopting.people(
        [(key, account(user)) for key, user in handed],
        wanted.filter(~pl.col("key").is_in(settled)),
        [account(user) for user in free],
    )
    by_id = {user["id"]: user for user in (*free, *(user for _, user in handed))}
    site.adopting = {key: by_id[id_] for key, id_ in fitting.ids.items()}
    return adoption.note(Kind.PERSON, site.key, fitting)


def _adopted_classes(one: Listed, adoption: _Adoption, marks: m.Marks, *, unnamed: Sequence[Row]) -> dict[str, str]:
    """Which of the classes without our mark becomes which one that is not there."""
    site, former, begun = one.site, adoption.former, {row["name"] for row in one.classes}
    wanted = adoption.classes.get(site.key)
    if wanted is None:
        return {}
    lacking = {
        key: fit(name or "", NAME)
        for key, name in wanted.select("key", "name").iter_rows()
        if key not in site.classes and marks.temporary_class(school=site.key, key=key) not in begun
    }
    registry = site.extra.get(m.CLASSES)
    entries = registry if isinstance(registry, Mapping) else {}
    tokens = {former.class_token(school=site.key, key=key): key for key in lacking} if former else {}
    handed: list[tuple[str, str]] = []
    free: list[tuple[str, str]] = []
    for row in unnamed:
        entry = former.read_class(entries.get(row["id"]), class_id=row["id"]) if former else None
        if entry is not None:
            handed += [(tokens[entry.token], row["id"])] if entry.token in tokens else []
        elif row["id"] not in entries:
            free.append((row["id"], row["name"]))
    return adoption.note(Kind.CLASS, site.key, adopting.fits(handed, lacking.items(), free))


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
    handed: list[tuple[str, Row]]  # a former owner's
    strays: list[Row]


def _marked(one: Listed, marks: m.Marks, former: m.Marks | None) -> _Marked:
    answer = _Marked({}, {}, set(), [], [], [])
    for user in one.users:
        mark = marks.read_person(user)
        if mark is None:
            old = former.read_person(user) if former else None
            if old is not None:
                answer.handed.append((old.key, user))
            else:
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


def _people(
    one: Listed, marks: m.Marks, conflicts: set[tuple[str, str]], adoption: _Adoption
) -> list[tuple[Row, str | None, bool]]:
    """Accounts with whose they are, or will be (see the module's words), and whether suspended; fills the site."""
    site, marked = one.site, _marked(one, marks, adoption.former)
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
    free: list[Row] = []
    for user in marked.strays:
        claims = (site.reserved.get(user["username"].casefold()), m.claimed(user), numbers.get(user["id_number"]))
        claim = next((key for key in claims if key is not None), None)
        if claim is None:
            free.append(user)
            continue
        if claim in marked.owned or claim in marked.deleted:
            claim = None
        if claim is not None:
            conflicts.add((site.key, claim))
        answer.append((user, claim, False))
    keys = _adopted_people(site, adoption, handed=marked.handed, free=free, conflicts=conflicts)
    nobodys = [*free, *(user for _, user in marked.handed)]
    return [*answer, *((user, keys.get(user["id"]), False) for user in nobodys)]


def _name(user: Row, marks: m.Marks) -> str:
    """The person's name; the records' own where Kolibri holds a shortened form of it."""
    mark = marks.read_person(user)
    full: str = user["full_name"]
    return mark.name if mark and mark.name is not None and full == fit(mark.name, FULL_NAME) else full


def _classes(
    one: Listed, marks: m.Marks, tokens: Mapping[str, str], adoption: _Adoption
) -> list[tuple[Row, str | None, bool]]:
    """Classes with whose they are, or will be, and whether archived; fills the site.

    None: not ours, unknown, or not finished.
    """
    site = one.site
    site.all_classes = {row["id"] for row in one.classes}
    registry = site.extra.get(m.CLASSES)
    answer: list[tuple[Row, str | None, bool]] = []
    unnamed: list[Row] = []
    for row in sorted(one.classes, key=lambda row: str(row["id"])):
        value = registry.get(row["id"]) if isinstance(registry, Mapping) else None
        entry = marks.read_class(value, class_id=row["id"])
        key = tokens.get(entry.token) if entry else None
        if entry is None:
            unnamed.append(row)
        elif key is None or key in site.classes:
            answer.append((row, None, False))
        elif row["name"] == marks.temporary_class(school=site.key, key=key):
            answer.append((row, None, False))  # creating it finishes it
        else:
            site.classes[key] = row["id"]
            answer.append((row, key, entry.archived))
    keys = _adopted_classes(one, adoption, marks, unnamed=unnamed)
    return [*answer, *((row, keys.get(row["id"]), False) for row in unnamed)]

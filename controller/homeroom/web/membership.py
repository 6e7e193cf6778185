"""Which chats somebody is in, whom of a chat's people its leaders miss, and the table of links for who leads.

::

    baselines, rooms: what runs left --------------+
                                                   +--> one's chats --> who leads them, by the records of now
    served records of one school, or of whom an ---+                         |
    extra chat is about                                         names of who is not linked yet

No chat server is asked, and nothing that it says of rights counts: whoever leads a chat does so by the last run and by
the records of now (R13, R33 to R35), an extra chat by its words in that run (R19). Neighbours: `chats` (the pages),
`homeroom.chats.table`, `homeroom.store.chats`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from threading import Lock
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl

from homeroom.api.chat import Chat
from homeroom.api.chatpolicy import Allowed, ChatType, CreateOn
from homeroom.api.district import HomeroomDefinition
from homeroom.chats.desired import desired
from homeroom.chats.extra import NOWHERE, is_about
from homeroom.chats.identity import plain
from homeroom.chats.linking import Place
from homeroom.chats.policy import ExtraChat
from homeroom.chats.records import LINKS_SCHEMA, Links
from homeroom.chats.state import Desired
from homeroom.chats.table import COLUMNS, EXTRA, ORDER, TABLE, extra_row, link_table, waiting
from homeroom.chats.words import State
from homeroom.plan import Kind
from homeroom.platforms.matrix import link, masked
from homeroom.reconcile.chatdecision import rules_from
from homeroom.reconcile.chatrecords import chat_records
from homeroom.reconcile.ports import Clock
from homeroom.roster.oneschool import of_schools
from homeroom.roster.tables import SCHEMAS, Roster
from homeroom.roster.years import NO_PINS
from homeroom.sources import scan
from homeroom.store import Store, StoredChats, chat_of

_SCHOOLS: Final = 16
"""So many schools, or extra chats, are kept in memory, some 100 kB each; who leads a chat looks at one."""
_COUNT: Final = pl.Struct({"linked": pl.UInt32(), "unlinked": pl.UInt32()})


class Standing(StrEnum):
    """Where somebody stands with a chat of theirs. In the order of what counts for who has several accounts."""

    HERE = "Here"
    LEFT = "Left"
    COMING = "Coming"


_STANDINGS: Final = pl.Enum(Standing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mine:
    """One chat of somebody. `link`: where it opens for who is in it.

    `type` None: an extra chat, of no school. `policy`: who sees to it, as the store calls that. `missing`: names of its
    people who are not linked yet, sorted, for whoever leads it; None: that is for others.
    """

    name: str
    type: ChatType | None
    school: str
    policy: str
    standing: Standing
    link: str | None
    missing: Sequence[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leader:
    """Somebody who may lead chats. `today`: the District's day; `denied`: whom it denies."""

    person: str
    accounts: Sequence[str]
    today: date
    denied: Collection[str]


class Membership:
    """Answers from the store. Thread-safe; calls block."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._kept: OrderedDict[tuple[Place, str, frozenset[str], frozenset[str], frozenset[str]], Roster] = (
            OrderedDict()
        )
        self._reading = Lock()

    def chats(self, place: Place, person: str) -> Sequence[Mine]:
        """The chats of a person (source id) who has proven an account; the staff room first, extra chats last.

        Raises TransientError.

        None of whom the District denies, nor while nobody has told whom it does.
        """
        told = self._store.web.districts(namespace=place.namespace, platform=place.platform)
        told = told.filter(district=place.district)
        if told.is_empty() or person in told["denied"][0]:
            return []
        today, denied = self._clock.now().astimezone(ZoneInfo(told["zone"][0])).date(), told["denied"][0].to_list()
        accounts, server = self._store.links.accounts(place, person), self._server(place)
        found = []
        extras = self._store.chats.extras_about(namespace=place.namespace, accounts=accounts, person=person)
        for policy, _ in self._policies(place):
            if chat_of(policy) is not None and policy not in extras:
                continue
            stored = self._store.chats.around(
                namespace=place.namespace, policy=policy, accounts=accounts, person=person
            )
            if stored is None:
                continue
            keys = stored.baseline.desired.chats["key"]
            rooms = self._store.chats.rooms(namespace=place.namespace, policy=policy, keys=keys)
            rows = _standings(stored, rooms, accounts=accounts, person=person)
            me = _Leader(person=person, accounts=accounts, today=today, denied=denied)
            missing = self._missing(place, me, stored, rows.filter("leads"))
            for row in rows.iter_rows(named=True):
                here = row["standing"] == Standing.HERE
                found.append(
                    Mine(
                        name=row["name"],
                        type=ChatType(row["type"]) if row["type"] is not None else None,
                        school=row["school"],
                        policy=policy,
                        standing=Standing(row["standing"]),
                        link=link(row["external_id"], server=server) if here else None,
                        missing=missing.get(row["key"]),
                    )
                )
        order = [*ChatType, None]
        return sorted(found, key=lambda chat: (order.index(chat.type), chat.name))

    def table(self, place: Place, schools: Collection[str], *, reveal: bool) -> pl.DataFrame:
        """The chats of some schools (source ids): columns `TABLE`, sorted, and for each column of links its counts.

        These are named `<column>_count`, with `linked` and `unlinked`: people with a reason to be in that chat.
        """
        server = self._server(place)
        parts = [pl.DataFrame(schema=_COUNTED)]
        for policy, stopped in self._policies(place):
            if chat_of(policy) is not None:
                continue
            stored = self._store.chats.around(namespace=place.namespace, policy=policy, schools=schools)
            if stored is None:
                continue
            state = stored.baseline.desired
            rooms = self._store.chats.rooms(namespace=place.namespace, policy=policy, keys=state.chats["key"])
            shown = [link(room, server=server) if reveal else masked(room) for room in rooms["external_id"]]
            table = link_table(
                state.chats,
                links=rooms.select("key", pl.Series("link", shown, pl.String)),
                held=waiting(self._store.holds(namespace=place.namespace, kind="ChatPolicy", name=policy)),
                **self._names(place, schools),
                stopped=stopped,
            )
            parts.append(_counted(table, state))
        # Where two policies see to the chats of one class each has its columns.
        of = ["school", "school_name", "class", "collective"]
        cells = [name for name in _COUNTED if name not in of]
        table = pl.concat(parts).group_by(of).agg(pl.col(name).drop_nulls().first() for name in cells)
        return table.select(pl.col(name).cast(type_) for name, type_ in _COUNTED.items()).sort(ORDER)

    def extras(self, place: Place, schools: Collection[str], *, led: Collection[str], reveal: bool) -> pl.DataFrame:
        """The extra chats that are about some schools (source ids), and those `led` (`Mine.policy`): columns `EXTRA`.

        Sorted by name. `join`: a path of ours; null also where nobody but the owner may see the link (`seeLink`).
        """
        server, rows = self._server(place), []
        rules = self._store.chats.extras(namespace=place.namespace)
        of = {school: roster.classes["id"] for school in schools if (roster := self._school(place, school)) is not None}
        for policy, stopped in self._policies(place):
            chat, in_store = chat_of(policy), {"namespace": place.namespace, "policy": policy}
            extra = rules_from(rules[policy]).extra if chat is not None and policy in rules else None
            if extra is None or not (policy in led or any(is_about(extra, *school) for school in of.items())):
                continue
            stored = self._store.chats.around(**in_store, schools=[NOWHERE])
            if chat is None or stored is None:
                continue
            rooms = self._store.chats.rooms(**in_store)["external_id"]
            way = self._store.joins.link(namespace=place.namespace, chat=chat)
            way = None if extra.settings.see_link is Allowed.OWNER else way
            row = extra_row(
                stored.baseline.desired.chats["name"][0],
                stored.baseline.desired,
                room=next((link(room, server=server) if reveal else masked(room) for room in rooms), None),
                held=waiting(self._store.holds(namespace=place.namespace, kind=Chat.__name__, name=chat)),
                stopped=stopped,
                join=None if way is None else way.path if reveal else way.masked,
            )
            rows.append(row)
        return pl.DataFrame(rows, EXTRA).sort("name")

    # ---------------------------------------------------------------------------------------------------------------

    def _server(self, place: Place) -> str:
        found = self._store.links.places().filter(**place._asdict())["server"]
        return str(found[0]) if found.len() else ""

    def _policies(self, place: Place) -> Iterator[tuple[str, bool]]:
        """As the store calls them, extra chats, too, and whether nothing is done under them now."""
        yield from self._store.links.policies().filter(**place._asdict()).select("policy", "suspended").iter_rows()

    def _school(self, place: Place, school: str) -> Roster | None:
        """The records of a school as they are served now."""
        return self._part(place, schools=frozenset([school]))

    def _about(self, place: Place, extra: ExtraChat) -> Roster | None:
        """The records of all whom an extra chat is about, as they are served now."""
        return self._part(
            place,
            schools=frozenset(school for _, school in extra.roles),
            classes=extra.classes,
            people=extra.people | extra.administrators,
        )

    def _part(
        self,
        place: Place,
        *,
        schools: frozenset[str],
        classes: frozenset[str] = frozenset(),
        people: frozenset[str] = frozenset(),
    ) -> Roster | None:
        accepted = self._store.accepted(namespace=place.namespace, district=place.district)
        if accepted is None:
            return None
        key = (place, accepted.serving, schools, classes, people)
        with self._reading:
            if key not in self._kept:
                directory = self._store.snapshots(namespace=place.namespace, district=place.district)
                tables = dict(zip(SCHEMAS, scan(directory, accepted.serving, *SCHEMAS), strict=True))
                self._kept[key] = of_schools(tables, schools, classes=classes, people=people)
            self._kept.move_to_end(key)
            if len(self._kept) > _SCHOOLS:
                self._kept.popitem(last=False)
            return self._kept[key]

    def _names(self, place: Place, schools: Collection[str]) -> Mapping[str, pl.DataFrame]:
        """What the records call things: `schools` [school, school_name], `classes` [class, title]."""
        rosters = [Roster.empty(), *filter(None, (self._school(place, school) for school in schools))]
        orgs, classes = (pl.concat([getattr(one, name) for one in rosters]) for name in ("orgs", "classes"))
        return {
            "schools": orgs.select(school="id", school_name=plain(pl.col("name"))).unique("school"),
            "classes": classes.select(pl.col("id").alias("class"), title=plain(pl.col("title"))),
        }

    def _missing(self, place: Place, me: _Leader, stored: StoredChats, rows: pl.DataFrame) -> dict[str, Sequence[str]]:
        """Keys of those chats of `rows` that a person leads by the records of now, with the names of who is missing.

        Who is not linked has to be so by the last run, by the records of now and by the links of now.
        """
        found: dict[str, Sequence[str]] = {}
        extra = rules_from(stored.rules).extra
        for school in rows["school"].unique():
            roster = self._school(place, school) if extra is None else self._about(place, extra)
            if roster is None:
                continue
            now = _now(roster, stored, me)
            leads = _members(now).filter(pl.col("account").is_in(me.accounts), "administrator")["key"]
            chats = rows.filter(pl.col("school") == school, pl.col("key").is_in(leads.implode()))["key"]
            pair = ["key", "person"]
            lacking = _pending(stored.baseline.desired).join(_pending(now), on=pair, how="semi")
            lacking = lacking.filter(pl.col("key").is_in(chats.implode()))
            linked = self._store.links.linked_among(place, lacking["person"].unique().to_list())
            name = plain(pl.concat_str("given", "family", separator=" ", ignore_nulls=True))
            names = roster.users.select(person="id", name=pl.when(name != "").then(name).otherwise("id"))
            told = lacking.filter(~pl.col("person").is_in(list(linked))).join(names, on="person").sort("name", "person")
            by_chat = dict(told.group_by("key", maintain_order=True).agg("name").iter_rows())
            found |= {key: by_chat.get(key, []) for key in chats}
        return found


def _now(roster: Roster, stored: StoredChats, me: _Leader) -> Desired:
    """Who would be in the chats of a school, or in an extra chat, by its records of now.

    Nobody else's links are looked up. Who came by the link of an extra chat is not among them: nobody misses those who
    are not expected.
    """
    records = chat_records(roster, pins=NO_PINS, homeroom=HomeroomDefinition(), today=me.today)
    chats = stored.baseline.desired.chats
    # What counts as a homeroom is said in the cluster, which is not seen here: those that were one in the last run.
    sections = chats.filter(pl.col("type").is_in([ChatType.CLASS_STUDENTS, ChatType.CLASS_PARENTS]))["section"]
    classes = records.classes.with_columns(homeroom=pl.col("id").is_in(sections.implode()))
    pairs = pl.DataFrame([(me.person, account) for account in me.accounts], LINKS_SCHEMA, orient="row")
    return desired(
        replace(records, classes=classes),
        Links.of(pairs),
        rules_from(stored.rules),
        opened=dict.fromkeys(CreateOn, frozenset(chats["section"].drop_nulls())),  # they are there
        lineage=stored.lineage,
        denied=me.denied,
    )


_COUNTED: Final = pl.Schema({**TABLE, **{f"{column}_count": _COUNT for column in COLUMNS}})
"""Columns of `Membership.table`."""


def _standings(stored: StoredChats, rooms: pl.DataFrame, *, accounts: Sequence[str], person: str) -> pl.DataFrame:
    """[key, name, type, school, leads, standing, external_id] of the chats of a person."""
    baseline, pair = stored.baseline, ["key", "account"]
    mine = _members(baseline.desired).filter(pl.col("account").is_in(accounts))
    late = baseline.unapplied.select("kind", key="class_key", account="key")
    due = late.filter(pl.col("kind") == Kind.MEMBERSHIP.value).select(*pair, due=pl.lit(value=True)).unique(pair)
    # Who is to lead and waits for somebody's word leads nothing yet (safety row 5).
    waits_to_lead = late.filter(pl.col("kind") == Kind.RIGHT.value).select(*pair, wish=pl.lit(value=True)).unique(pair)
    away = baseline.away.select("left", key="class_key", account="key")
    coming = pl.col("external_id").is_null() | pl.col("due").is_not_null() | ~pl.col("left").fill_null(value=True)
    standing = (
        pl.when(coming)
        .then(pl.lit(Standing.COMING.value))
        .when(pl.col("left"))
        .then(pl.lit(Standing.LEFT.value))
        .otherwise(pl.lit(Standing.HERE.value))
        .cast(_STANDINGS)
    )
    rows = mine.join(rooms.select("key", "external_id"), on="key", how="left")
    for known in (due, waits_to_lead, away):
        rows = rows.join(known, on=pair, how="left")
    waits = _pending(baseline.desired).filter(pl.col("person") == person)
    found = pl.concat(
        [
            rows.select("key", standing.alias("standing"), leads=pl.col("administrator") & pl.col("wish").is_null()),
            waits.select("key", pl.lit(Standing.COMING.value, _STANDINGS).alias("standing"), leads=pl.lit(value=False)),
        ]
    )
    by_chat = found.group_by("key").agg(pl.col("standing").sort().first(), pl.col("leads").any())
    chats = baseline.desired.chats.select("key", "name", "type", "school")
    return chats.join(by_chat, on="key").join(rooms.select("key", "external_id"), on="key", how="left")


def _members(state: Desired) -> pl.DataFrame:
    """[key, account, administrator]."""
    rows = state.members
    return rows.select(
        state.chats["key"].gather(rows["chat"]).alias("key"),
        state.accounts["account"].gather(rows["account"]).alias("account"),
        "administrator",
    )


def _pending(state: Desired) -> pl.DataFrame:
    """[key, person] of who is not linked."""
    rows = state.pending.filter(pl.col("state") == State.UNLINKED.value)
    return rows.select(state.chats["key"].gather(rows["chat"]).alias("key"), "person")


def _counted(table: pl.DataFrame, state: Desired) -> pl.DataFrame:
    """The table with the counts of each chat."""
    of = ["school", "class"]
    chats = state.chats.select("key", "school", pl.col("section").alias("class"), "type")
    linked, unlinked = (rows.group_by("key").len(name) for name, rows in _both(state).items())
    counts = chats.join(linked, on="key", how="left").join(unlinked, on="key", how="left")
    counts = counts.with_columns(pl.col("linked", "unlinked").fill_null(0))
    for column, type_ in COLUMNS.items():
        rows = counts.filter(pl.col("type") == type_.value).select(
            *of, pl.struct("linked", "unlinked").alias(f"{column}_count")
        )
        table = table.join(rows, on=of, how="left", nulls_equal=True)
    return table.select(pl.col(name).cast(kind) for name, kind in _COUNTED.items())


def _both(state: Desired) -> dict[str, pl.DataFrame]:
    return {"linked": _members(state), "unlinked": _pending(state)}

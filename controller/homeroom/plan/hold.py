"""What a guard stopped, kept until a person approves it or nobody plans it any more (DESIGN.md section 6).

::

    stored holds --shrunk--> approved by commits --> released, sticky --judge--> new holds
         ^                                                                          |
         +------------------------------ store <------------------------------------+

A hold is a set of changes, fixed when it is published; it only ever shrinks. An Approval releases what is still planned
of the set, in this run and, after a crash, in the next ones; what vanished from the plan once is struck. What comes
anew is judged by itself. A used hold stays used: its id carries a random part, so that no old commit fits a new hold.

Pure: clock, randomness and storage come in. Neighbours: `guard` (who stops), `homeroom.store` (where holds lie),
`homeroom.reconcile.decide` (who calls it).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import polars as pl

from homeroom.plan.guard import CHANGE, HELD_SCHEMA, Guard, Judged, Scope
from homeroom.plan.plan import Plan

VALID: Final = timedelta(days=14)
"""How long a published hold can be approved; then the same changes get a new id, and an old commit does nothing."""
ROLL_OVER_VALID: Final = timedelta(days=180)
"""How long the approval of a roll-over lets other ends of the same school year pass: longer than any summer."""
LOST: Final = "lost"
"""`Hold.context` of a first sync that was approved before the store was lost: it has to be seen again."""


class State(StrEnum):
    """What has become of a hold."""

    OPEN = "Open"  # waits for a person
    APPROVED = "Approved"  # what is still planned of it is being applied
    USED = "Used"  # approved, and nothing of it is left
    GONE = "Gone"  # nothing of it is planned any more, and nobody approved it
    EXPIRED = "Expired"  # not approved in time; what was left of it has a new id


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """One set of changes that a guard stopped. `rows`: columns `HELD_SCHEMA`, what is left of it; `total`: what it was.

    `since`: when these changes were first held. `published`: when this id was. `approval`: name of the Approval that
    released it, at `approved_at`. `struck`: how many vanished from the plan before they could be released.
    """

    id: str
    guard: Guard
    scope: Scope
    place: str
    since: datetime
    published: datetime
    rows: pl.DataFrame
    total: int
    state: State = State.OPEN
    approval: str | None = None
    approved_at: datetime | None = None
    struck: int = 0
    successor: str | None = None  # the id that what was left of an expired hold has now
    context: str = ""
    """For its guard. `Exposure`: what was declared then; `Clock`: the last moment that was sure; `Licences`: who uses
    them, in words."""

    @property
    def active(self) -> bool:
        """Whether it still has a say in what is applied."""
        return self.state in (State.OPEN, State.APPROVED)

    @property
    def expires(self) -> datetime:
        """Until when an Approval can name this id."""
        return self.published + VALID


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """An Approval as a commit gave it: its `name`, the `hold` that it names, and when the API server took it."""

    name: str
    hold: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """What a plan cannot tell anything about: whole reads that were not `complete`, schools, people (school, key)."""

    complete: bool = True
    schools: Collection[str] = ()
    people: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={"school": pl.String, "key": pl.String}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """`plan` may be applied; `holds` are to be stored before that; `waiting` rows need something that is held.

    `stopping`: guards that stop something now, also where the reading was not complete and so no hold tells of it.
    """

    plan: Plan
    holds: tuple[Hold, ...]
    waiting: int
    stopping: frozenset[Guard]

    @property
    def open(self) -> tuple[Hold, ...]:
        """Holds that a person has to look at, the oldest first."""
        return tuple(hold for hold in self.holds if hold.state is State.OPEN)


Judge = Callable[[Sequence["Hold"], pl.DataFrame, pl.DataFrame], Judged]
"""(holds as they stand now, released, sticky) -> what passes: `homeroom.plan.guard.judge` with what it stands on."""


def review(
    plan: Plan,
    holds: Sequence[Hold],
    words: Collection[Word],
    judge: Judge,
    *,
    made: pl.DataFrame,
    unseen: Unseen,
    contexts: Mapping[Guard, str] = MappingProxyType({}),
    now: datetime,
    salt: Callable[[], bytes],
) -> Reviewed:
    """One run of one root; `holds`: all of this root, oldest first, used ones too; `salt`: 16 fresh random bytes.

    `contexts`: `Hold.context` of what is published now, by guard.

    `made`: `CHANGE_SCHEMA`, what was made under its approved holds, whether or not we lived to note it in them.

    New holds are published only where the reading was complete: without that they would hold what may be an error of
    reading; the changes do not pass either.
    """
    known = [_approved(hold, words, now=now) for hold in _shrunk(settled(holds, made), plan, unseen)]
    known = [later for hold in known for later in _renewed(hold, now=now, salt=salt)]
    released = _rows(hold for hold in known if hold.state is State.APPROVED)
    judged = judge(
        known,
        released.select(*CHANGE, hold="id"),
        _rows(hold for hold in known if hold.state is State.OPEN),
    )
    new = _published(judged.held, contexts=contexts, now=now, salt=salt) if unseen.complete else []
    open_ = [hold.guard for hold in known if hold.state is State.OPEN]
    return Reviewed(
        plan=judged.plan,
        holds=(*known, *new),
        waiting=judged.waiting,
        stopping=frozenset({*open_, *map(Guard, judged.held["guard"].unique())}),
    )


def settled(holds: Sequence[Hold], done: pl.DataFrame) -> tuple[Hold, ...]:
    """The same once the rows `done` (`CHANGE_SCHEMA`) are applied: a released one that is done is not struck later."""
    if done.is_empty():
        return tuple(holds)
    rows = _rows(hold for hold in holds if hold.state is State.APPROVED)
    return _without(holds, rows.join(done, on=list(CHANGE), how="semi", nulls_equal=True), struck=False)


def overtaken(holds: Sequence[Hold], released: pl.DataFrame) -> tuple[Hold, ...]:
    """The same without what another door's approval has `released` ([*CHANGE, ...]): nobody has to be asked twice."""
    rows = _rows(hold for hold in holds if hold.state is State.OPEN)
    return _without(holds, rows.join(released, on=list(CHANGE), how="semi", nulls_equal=True), struck=True)


def rolled_over(holds: Iterable[Hold], *, now: datetime) -> bool:
    """Whether this school year's roll-over was approved."""
    return any(
        hold.guard is Guard.ROLL_OVER and hold.approved_at is not None and now - hold.approved_at < ROLL_OVER_VALID
        for hold in holds
    )


def is_exposing(holds: Iterable[Hold], *, context: str) -> bool:
    """Whether what an edit adds waits for a word already; `context`: what is declared now."""
    return any(hold.guard is Guard.EXPOSURE and hold.state is State.OPEN and hold.context == context for hold in holds)


def first_synced(holds: Iterable[Hold]) -> set[str]:
    """Schools whose first sync was approved, by a store that was not lost since."""
    return {
        hold.place
        for hold in holds
        if hold.guard is Guard.FIRST_SYNC and hold.approval is not None and hold.context != LOST
    }


def changes(rows: pl.DataFrame) -> pl.DataFrame:
    """The columns `CHANGE_SCHEMA` of rows of a plan, as text."""
    return rows.select(pl.col(name).cast(pl.String) for name in CHANGE)


_NO_ROWS: Final = pl.DataFrame(schema={**HELD_SCHEMA, "id": pl.String()})


def _rows(holds: Iterable[Hold]) -> pl.DataFrame:
    """All rows of some holds, with the `id` of theirs."""
    return pl.concat([_NO_ROWS, *(hold.rows.with_columns(id=pl.lit(hold.id)) for hold in holds)])


def _shrunk(holds: Sequence[Hold], plan: Plan, unseen: Unseen) -> Sequence[Hold]:
    """The holds with what is still planned of them; what cannot be seen now may still be."""
    rows = _rows(hold for hold in holds if hold.active)
    if rows.is_empty() or not unseen.complete:
        return holds
    gone = (
        rows.join(changes(plan.changes), on=list(CHANGE), how="anti", nulls_equal=True)
        .filter(~pl.col("school").is_in(list(unseen.schools)))
        .join(unseen.people, on=["school", "key"], how="anti")
    )
    return _without(holds, gone, struck=True)


def _without(holds: Iterable[Hold], gone: pl.DataFrame, *, struck: bool) -> tuple[Hold, ...]:
    """The holds without the rows `gone` ([*CHANGE, id]), which are struck, or else done.

    Cut apart here, after one join for all: a first sync has a hold for each school, and a plan of millions of rows.
    """
    if gone.is_empty():
        return tuple(holds)
    parts = gone.partition_by("id", as_dict=True)

    def left(hold: Hold) -> Hold:
        part = parts.get((hold.id,))
        if part is None:
            return hold
        rows = hold.rows.join(part, on=list(CHANGE), how="anti", nulls_equal=True)
        return _ended(replace(hold, rows=rows, struck=hold.struck + part.height * struck))

    return tuple(left(hold) for hold in holds)


def _ended(hold: Hold) -> Hold:
    if not hold.rows.is_empty():
        return hold
    return replace(hold, state=State.USED if hold.approval is not None else State.GONE)


def _approved(hold: Hold, words: Collection[Word], *, now: datetime) -> Hold:
    """The hold, released when a commit names it in time; the first one counts."""
    if hold.state is not State.OPEN:
        return hold
    fitting = [word for word in words if word.hold == hold.id and word.at < hold.expires]
    if not fitting:
        return hold
    word = min(fitting, key=lambda one: (one.at, one.name))
    return replace(hold, state=State.APPROVED, approval=word.name, approved_at=now)


def _renewed(hold: Hold, *, now: datetime, salt: Callable[[], bytes]) -> list[Hold]:
    """The hold, or, when nobody approved it in time, its end and its successor with the same changes."""
    if hold.state is not State.OPEN or now < hold.expires:
        return [hold]
    successor = replace(hold, id=_identifier(hold.rows, salt()), published=now, total=hold.rows.height, struck=0)
    return [replace(hold, state=State.EXPIRED, rows=hold.rows.clear(), successor=successor.id), successor]


def _published(
    held: pl.DataFrame, *, contexts: Mapping[Guard, str], now: datetime, salt: Callable[[], bytes]
) -> list[Hold]:
    if held.is_empty():
        return []
    by = ["guard", "scope", "place"]
    return [
        Hold(
            id=_identifier(rows, salt()),
            guard=Guard(str(guard)),
            scope=Scope(str(scope)),
            place=str(place),
            since=now,
            published=now,
            rows=rows,
            total=rows.height,
            context=contexts.get(Guard(str(guard)), ""),
        )
        for (guard, scope, place), rows in held.sort(*by, *CHANGE).group_by(by, maintain_order=True)
    ]


def _identifier(rows: pl.DataFrame, salt: bytes) -> str:
    """`<digest>-<nonce>`: of the set, keyed, so that nobody can try out which child is meant; and of chance."""
    digest = hashlib.blake2b(rows.select(CHANGE).write_ndjson().encode(), key=salt, digest_size=3).hexdigest()
    nonce = int.from_bytes(hashlib.sha256(salt).digest()[:4])
    return f"{digest}-{''.join(_ALPHABET[nonce >> shift & 31] for shift in (15, 10, 5, 0))}"


_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no letter that looks like a number

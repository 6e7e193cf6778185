"""One stored hold: found by its id, and told in facts, counts and single changes, without names.

Behind `homeroom plan --hold`. Neighbours: `holdreport` (the same as a file for a school, with names), `approve` (the
commit that releases it), docs/holds.md (what holds are).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import polars as pl

from homeroom.api import Chat, ChatPolicy, Reason
from homeroom.chats import Desired
from homeroom.cli import terminal
from homeroom.errors import RefusedError
from homeroom.plan import PERSONAL, PLACES, Guard, Hold, Op, Scope, State
from homeroom.reconcile.approvals import people_in
from homeroom.seats.revocation import KIND
from homeroom.store import Store, policy_name

COUNTED: Final = ("school", "class", "kind", "op", "cause")
"""What changes are counted by. The first two are source ids, null where a change is in no class."""

TO_CHECK: Final = {
    Guard.DELETES: "Have these people and classes really left? An export that lacks a part of the records looks just "
    "the same: then have the export mended, and approve nothing.",
    Guard.CLASS_SHRINK: "Have so many really left this class at once? If the class is only missing from the export, "
    "have the export mended, and approve nothing.",
    Guard.MOVES: "Has the school put its classes together anew? Only then do so many people change classes at once.",
    Guard.UPDATES: "Is each still the same person or class as before? Where the records system gave ids out anew, a "
    "child would get the account and the work of another.",
    Guard.SCOPE_EDIT: "Somebody edited in Git what is shared; nobody left a school. Are these people and classes meant "
    "to lose the app?",
    Guard.EXPOSURE: "Somebody edited in Git what is shared. May the app get to know these people and classes?",
    Guard.ADMINISTRATORS: "May each of these people see and change everything that the app has of this school?",
    Guard.ADOPTION: "Is each account, class and school really the one that the records mean? They keep their work and "
    "passwords, and who is in these classes and not in the records leaves them.",
    Guard.IDENTITY: "Are these the same people with new ids, or with two records? Then link them in the District, or "
    "have the records corrected, and approve nothing: an approval says that the records are right as they are, and "
    "whoever has a new id gets a new, empty account.",
    Guard.CLOCK: "Is the clock of the operator's machine right, and was the operator away for so long? If the clock is "
    "wrong, have it mended, and approve nothing.",
    Guard.ROLL_OVER: "Is the school year over, so that its classes may be put away in the app?",
    Guard.LICENCES: "Are so many schools meant to lose the app? Their keys die, their teachers lose their classes in "
    "it, and their students their seats. If a folder in Git was emptied by mistake, put the files back, and see "
    "docs/seats.md how the licences come back with all that they had; until somebody approves, nobody loses anything.",
    Guard.FIRST_SYNC: "This school comes to the app for the first time. Does it want that now, and are these its "
    "classes and people?",
}
"""What to ask before the approval, by guard: read by people who know their school, and not this program."""

TO_CHECK_IN_CHATS: Final = {
    **TO_CHECK,
    Guard.CLASS_SHRINK: "Have so many really left this chat's class at once, or their parents with them? If the class "
    "is only missing from the export, have the export mended, and approve nothing.",
    Guard.UPDATES: "Are these the names and settings that the chats of this school are meant to have?",
    Guard.SCOPE_EDIT: "Somebody edited the policy of chats in Git; nobody left a school. Are these people meant to go "
    "out of these chats?",
    Guard.EXPOSURE: "Somebody edited the policy of chats in Git. May these people come into these chats, and read what "
    "is written there from then on?",
    Guard.ADMINISTRATORS: "May each of these people administer this chat?",
    Guard.IDENTITY: "Is each account really of the person whom the records mean? Who comes into a chat reads it.",
    Guard.ROLL_OVER: "Is the school year over, so that the chats of its classes may be put away?",
    Guard.FIRST_SYNC: "This school gets its chats for the first time. Does it want that now, and are these its classes "
    "and people?",
}
"""The same of a ChatPolicy or a Chat."""

_STATES: Final = {
    State.OPEN: "waits for a person's word",
    State.APPROVED: "what is left of it is being done",
    State.USED: "approved, and done",
    State.GONE: "nothing of it is planned any more",
    State.EXPIRED: "was not approved in time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A hold, and the resource that has it.

    `chats`: [key, chat, class], what keys of chats stand for: type (of an extra one the name of its Chat) and id of the
    class, as far as the store knows; null is a staff room. None: it is not about chats.
    """

    namespace: str
    kind: str
    name: str
    hold: Hold
    chats: pl.DataFrame | None = None

    @property
    def resource(self) -> str:
        """As commands write resources."""
        return f"{self.kind.lower()}/{self.name}"

    @property
    def counted_by(self) -> tuple[str, ...]:
        """Columns of `listed` by which changes are counted."""
        return COUNTED if self.chats is None else ("school", "class", "chat", *COUNTED[2:])

    @property
    def to_check(self) -> str:
        """What to ask before the approval."""
        if self.kind == Chat.__name__ and self.hold.guard is Guard.FIRST_SYNC:
            return "May there be this chat, with these people in it?"
        return (TO_CHECK if self.chats is None else TO_CHECK_IN_CHATS)[self.hold.guard]


def find(store: Store, hold: str, *, namespace: str) -> Found:
    """The hold with this id, of whatever resource. Raises RefusedError (HoldUnknown)."""
    found = store.find_hold(hold, namespace=namespace)
    if found is None:
        raise RefusedError(
            f"there is no hold '{hold}' in namespace {namespace}: `status.holds` of its resource has the ids; "
            "another namespace (-n)?",
            reason=Reason.HOLD_UNKNOWN,
        )
    kind, name, held = found
    chats = None
    if kind in {ChatPolicy.__name__, Chat.__name__}:
        remembered = store.chats.baseline(namespace=namespace, policy=policy_name(kind, name))
        known = (Desired.empty() if remembered is None else remembered.baseline.desired).chats
        type_ = pl.col("type").cast(pl.String).fill_null(name)  # an extra chat is of none
        chats = known.select("key", type_.alias("chat"), pl.col("section").alias("class"))
    return Found(namespace=namespace, kind=kind, name=name, hold=held, chats=chats)


def show(found: Found, *, details: bool, output: Literal["text", "json"]) -> None:
    """Print it; of people, source ids at most."""
    changes, now = listed(found), datetime.now(UTC)
    if output == "json":
        terminal.document(_document(found, changes, details=details, now=now))
        return
    for name, words in facts(found, now=now).items():
        terminal.say(f"{name}: {words}", style="bold" if name == "hold" else "")
    if changes.is_empty():
        return
    terminal.say()
    rows = counted(changes, *found.counted_by)
    terminal.table([name.upper() for name in rows.columns], rows.rows())
    if details:
        terminal.say()
        for row in changes.iter_rows(named=True):
            what = (row.get(name) for name in ("op", "kind", "school", "class", "chat", "licence", "person", "role"))
            terminal.say(f"{Op(row['op']).symbol} {' '.join(filter(None, what))}  ({row['cause']})")


def facts(found: Found, *, now: datetime) -> dict[str, str]:
    """What it is, line by line; of an open one the last is what to check."""
    return dict(_facts(found, now))


def _facts(found: Found, now: datetime) -> Iterator[tuple[str, str]]:
    hold = found.hold
    people = people_in(hold)
    left = f"{hold.rows.height:,} of {hold.total:,} still held or to be done"
    yield "hold", hold.id
    yield "resource", f"{found.resource} in namespace {found.namespace}"
    yield "guard", hold.guard.value
    yield "scope", _scope(found)
    yield "since", _moment(hold.since)
    yield "to be approved before", _moment(hold.expires)
    yield "state", f"{hold.state.value}: {_in_words(hold, now)}"
    if hold.approval is not None and hold.approved_at is not None:
        yield "approval", f"{hold.approval}, seen {_moment(hold.approved_at)}"
    yield "changes", f"{left}, {hold.struck:,} no longer planned"
    yield "people", f"{people:,}"
    if hold.state is State.OPEN:
        yield "to check", found.to_check


def _in_words(hold: Hold, now: datetime) -> str:
    if hold.state is State.EXPIRED:
        return f"{_STATES[hold.state]}; what was left of it is hold {hold.successor} now"
    return "was not approved in time; the next run gives it a new id" if is_late(hold, now=now) else _STATES[hold.state]


def _scope(found: Found) -> str:
    """How far it reaches, and where; of a chat the type, and its class where it has one."""
    scope, place = found.hold.scope, found.hold.place
    if found.kind == Chat.__name__:
        return "the whole chat"
    if found.chats is not None and scope is Scope.CLASS:
        for chat, section in found.chats.filter(key=place).select("chat", "class").iter_rows():
            return f"{scope.value} {section}, {chat}" if section else chat
    return f"{scope.value} {place}".rstrip()


def is_late(hold: Hold, *, now: datetime) -> bool:
    """Nobody approved it in time, and no run has said so yet."""
    return hold.state is State.OPEN and now >= hold.expires


def listed(found: Found) -> pl.DataFrame:
    """Each change that is left, by source ids: [*found.counted_by, licence, person, role], sorted.

    Of chats `chat` is the type, or the key where the store does not know what it stands for, and `person` an account.
    """
    section = pl.when(pl.col("kind").is_in(PLACES)).then("key").otherwise("class_key")
    person = pl.when(pl.col("kind").is_in(PERSONAL)).then("key")
    names = {"school": pl.when(pl.col("school") != "").then("school"), "class": section}
    licence = pl.when(pl.col("kind") == KIND).then("key")
    rows = found.hold.rows.select(
        *(names.get(name, pl.col(name)).alias(name) for name in COUNTED),
        licence.alias("licence"),
        person.alias("person"),
        "role",
    )
    if found.chats is not None:
        rows = rows.rename({"class": "key"}).join(found.chats, on="key", how="left")
        rows = rows.with_columns(pl.col("chat").fill_null(pl.col("key"))).drop("key")
    columns = (*found.counted_by, "licence", "person", "role")
    return rows.select(columns).sort(columns, nulls_last=True)


def counted(changes: pl.DataFrame, *by: str) -> pl.DataFrame:
    """[*by, changes]: how many rows there are of each, sorted."""
    return changes.group_by(by).agg(changes=pl.len()).sort(by, nulls_last=True)


def _document(found: Found, changes: pl.DataFrame, *, details: bool, now: datetime) -> dict[str, Any]:
    """The hold for programs."""
    hold = found.hold
    document = {
        "namespace": found.namespace,
        "kind": found.kind,
        "name": found.name,
        "id": hold.id,
        "guard": hold.guard.value,
        "scope": hold.scope.value,
        "place": hold.place or None,
        "since": _stamp(hold.since),
        "expires": _stamp(hold.expires),
        "state": hold.state.value,
        "late": is_late(hold, now=now),
        "approval": hold.approval,
        "approvedAt": _stamp(hold.approved_at) if hold.approved_at else None,
        "successor": hold.successor,
        "toCheck": found.to_check,
        "counts": {
            "total": hold.total,
            "left": hold.rows.height,
            "struck": hold.struck,
            "people": people_in(hold),
        },
        "summary": counted(changes, *found.counted_by).to_dicts(),
    }
    return {**document, "changes": changes.to_dicts()} if details else document


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

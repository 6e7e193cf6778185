"""Approvals and holds as resources show them: commits in, statuses out.

Neighbours: `homeroom.plan.hold` (what they mean), `district`, `learningapp` and `licensepool` (whose holds they are).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import polars as pl

from homeroom.api import (
    MAX_HOLDS_IN_STATUS,
    Approval,
    ApprovalStatus,
    HoldStatus,
    InvalidSpecError,
    Reason,
    conditions,
    parse,
)
from homeroom.plan import COMING, LEAVING, PERSONAL, Guard, Hold, Op, Reviewed, Scope, State, Word, settled
from homeroom.reconcile.ports import Cluster, Key, Object
from homeroom.roster.identity import Question
from homeroom.store import Store


def words_of(cluster: Cluster, root: Key) -> list[Word]:
    """What commits say about the holds of a root; an Approval that is being deleted says nothing."""
    return [
        Word(name=raw["metadata"]["name"], hold=approval.spec.hold, at=approval.metadata.creation_timestamp)
        for raw, approval in _of(cluster, root)
        if approval.metadata.creation_timestamp is not None and approval.metadata.deletion_timestamp is None
    ]


async def answer(cluster: Cluster, root: Key, holds: Sequence[Hold], *, now: datetime) -> None:
    """Write into each Approval of a root what came of it."""
    known = {hold.id: hold for hold in holds}
    for raw, approval in _of(cluster, root):
        status = _status(approval, known.get(approval.spec.hold), now=now)
        await cluster.write_status(raw, status.document())


async def settle(
    cluster: Cluster, root: Key, reviewed: Reviewed, done: pl.DataFrame, *, store: Store, now: datetime
) -> None:
    """At the end of a run: note what was made of released holds, and answer the Approvals.

    `done`: columns `homeroom.plan.CHANGE_SCHEMA`, what was applied, or counts as that.
    """
    holds = settled(reviewed.holds, done)
    await keep(holds, root, before=reviewed.holds, store=store, epoch=cluster.epoch)
    await answer(cluster, root, holds, now=now)


async def keep(holds: Sequence[Hold], root: Key, *, before: Sequence[Hold], store: Store, epoch: int) -> None:
    """Store the holds of a root that are not as they were `before`."""
    place = {"namespace": root.namespace, "kind": root.kind, "name": root.name}
    await asyncio.to_thread(store.save_holds, holds, before=before, **place, epoch=epoch)


async def refuse(cluster: Cluster, root: Key, *, now: datetime) -> None:
    """There is no such root: tell the Approvals that name it."""
    for raw, approval in _of(cluster, root):
        status = conditions.failed(
            approval.status,
            generation=approval.metadata.generation,
            reason=Reason.DEPENDENCY_NOT_READY,
            message=f"{root.kind} '{root.name}' is missing",
            now=now,
        )
        await cluster.write_status(raw, status.document())


def _of(cluster: Cluster, root: Key) -> list[tuple[Object, Approval]]:
    found = []
    for raw in cluster.list("Approval", root.namespace):
        reference = raw["spec"].get("targetRef") or {}
        if (reference.get("kind"), reference.get("name")) != (root.kind, root.name):
            continue
        try:
            approval = parse(raw)
        except InvalidSpecError:  # stored under an older CRD: it releases nothing
            continue
        assert isinstance(approval, Approval)
        found.append((raw, approval))
    return found


def _status(approval: Approval, hold: Hold | None, *, now: datetime) -> ApprovalStatus:
    generation, name = approval.metadata.generation, approval.metadata.name

    def refused(reason: Reason, message: str) -> ApprovalStatus:
        return conditions.failed(approval.status, generation=generation, reason=reason, message=message, now=now)

    if hold is None:
        return refused(Reason.HOLD_UNKNOWN, f"there is no hold '{approval.spec.hold}'")
    if hold.state is State.EXPIRED:
        return refused(Reason.HOLD_EXPIRED, f"the hold was not approved in time; it is '{hold.successor}' now")
    if hold.approval is not None and hold.approval != name:
        return refused(Reason.HOLD_USED, f"Approval '{hold.approval}' has released this hold")
    if hold.state is State.GONE:
        return refused(Reason.HOLD_GONE, "nothing of the hold is planned any more")
    if hold.state is State.OPEN:
        return refused(Reason.HOLD_EXPIRED, f"the hold could be approved until {_day(hold.expires)}")
    pending = hold.rows.height
    released = hold.total - hold.struck - pending
    status = approval.status.model_copy(update={"released": released, "pending": pending, "struck": hold.struck})
    message = f"{released} of {hold.total} changes released and made"
    if hold.struck:
        message += f"; {hold.struck} were no longer planned and are not released by this"
    if pending:
        message += f"; {pending} to go"
        return conditions.working(status, generation=generation, message=message, now=now)
    return conditions.done(status, generation=generation, reason=Reason.RELEASED, message=message, now=now)


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


# ---------------------------------------------------------------------------------------------------------------------
# What a root says of its holds


def hold_statuses(holds: Iterable[Hold]) -> tuple[HoldStatus, ...]:
    """The open ones, for `status.holds`."""
    return tuple(
        HoldStatus(
            id=hold.id,
            guard=hold.guard.value,
            scope=hold.scope.value,
            place=hold.place or None,
            create=hold.rows.filter(pl.col("op").is_in(COMING) & (pl.col("op") != Op.ADOPT.value)).height,
            adopt=hold.rows.filter(pl.col("op") == Op.ADOPT.value).height,
            update=hold.rows.filter(pl.col("op") == Op.UPDATE.value).height,
            remove=hold.rows.filter(pl.col("op").is_in(LEAVING)).height,
            people=people_in(hold),
            since=hold.since,
            expires=hold.expires,
        )
        for hold in list(holds)[:MAX_HOLDS_IN_STATUS]
    )


def people_in(hold: Hold) -> int:
    """How many people a hold is about."""
    return int(hold.rows.filter(pl.col("kind").is_in(PERSONAL))["key"].n_unique())


def in_words(hold: Hold, *, chats: Mapping[str, str] | None = None) -> str:
    """What a hold is about, in counts. `chats`: of chats, their keys in words; None: it is of an app."""
    if hold.scope is Scope.PERSON:
        asked = {word.split(" ")[0] for word in hold.rows["role"]}
        return f"who is person '{hold.place}'? " + "; ".join(text for word, text in _ASKED.items() if word in asked)
    changes, people = _counted(hold.rows.height, "change"), _counted(people_in(hold), "person", "people")
    place = f"{hold.scope.value.lower()} '{hold.place}'" if hold.place else "the district"
    is_extra = chats is not None and hold.scope is Scope.SCHOOL and not hold.place
    if is_extra:
        place = "the chat"
    if chats is not None and hold.scope is Scope.CLASS:
        place = chats.get(hold.place, f"chat '{hold.place}'")
    clock = f"{hold.context[:16]} to {hold.since.astimezone(UTC).isoformat()[:16]}".replace("T", " ")
    licences = _counted(hold.rows.height, "licence")
    words = {"changes": changes, "people": people, "clock": clock, "licences": licences, "used": hold.context}
    told = _WORDS if chats is None else _WORDS_OF_ONE_CHAT if is_extra else _WORDS_OF_CHATS
    return told[hold.guard].format(place=place, **words)


def _counted(number: int, one: str, several: str | None = None) -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"


def held_message(holds: Sequence[Hold], *, contact: str | None, chats: Mapping[str, str] | None = None) -> str:
    """What waits for a person; the oldest holds first. `chats`: as for `in_words`."""
    told = "; ".join(f"{hold.id}: {in_words(hold, chats=chats)}" for hold in holds[:3])
    more = f"; and {len(holds) - 3} more holds" if len(holds) > 3 else ""
    whole = any(hold.guard is Guard.IDENTITY and hold.scope is Scope.DISTRICT for hold in holds)
    rest = "" if whole else "; everything else is done"  # who is who is asked before anything is done
    return f"held for approval: {told}{more}{rest}{'; ' + contact if contact else ''}"


_ASKED: Final = {question.value: question.text for question in Question}
_WORDS: Final = {
    Guard.DELETES: "{place} would lose {people} ({changes})",
    Guard.CLASS_SHRINK: "{place} would lose {people}",
    Guard.MOVES: "in {place} {people} would change classes",
    Guard.UPDATES: "in {place} {changes} of what is known of people and classes",
    Guard.SCOPE_EDIT: "an edit in Git would take away {people} ({changes})",
    Guard.EXPOSURE: "an edit in Git would share {people} more ({changes})",
    Guard.ADMINISTRATORS: "in {place} {people} would become administrators",
    Guard.ADOPTION: "in {place} {people} would be taken over from whoever made them ({changes})",
    Guard.IDENTITY: "in {place} it is not certain who is who, perhaps ids have changed: {people}",
    Guard.CLOCK: "the clock went from {clock} (UTC), which alone would take away {people} ({changes})",
    Guard.ROLL_OVER: "the school year is over for {people} ({changes})",
    Guard.FIRST_SYNC: "{place} is shared for the first time: {people} ({changes})",
    Guard.LICENCES: "{licences} would be revoked ({used})",
}
_WORDS_OF_CHATS: Final = {
    **_WORDS,
    Guard.UPDATES: "in {place} {changes} of names and settings of chats",
    Guard.SCOPE_EDIT: "an edit in Git would take {people} out of chats ({changes})",
    Guard.EXPOSURE: "an edit in Git would let {people} into chats ({changes})",
    Guard.ADMINISTRATORS: "in {place} {people} would become administrators of chats",
    Guard.FIRST_SYNC: "{place} gets its chats for the first time: {people} ({changes})",
}
_WORDS_OF_ONE_CHAT: Final = {
    **_WORDS_OF_CHATS,
    Guard.ADMINISTRATORS: "{people} would become administrators of {place}",
    Guard.FIRST_SYNC: "{place} is to be made, with {people} ({changes})",
}

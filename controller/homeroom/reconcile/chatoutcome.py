"""What came of the run of a ChatPolicy or a Chat, in the words of its status and conditions. Pure.

Neighbours: `chatpolicy` (the run), `chatdecision` (what it found), `outcome` (the same for learning apps).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import polars as pl

from homeroom.api import ChatCounts, ChatPolicy, ChatPolicyStatus, MemberCounts, Reason, SchoolState, conditions
from homeroom.api.chatpolicy import ChatType
from homeroom.chats.able import Fallback
from homeroom.chats.state import Actual, Desired
from homeroom.chats.words import State
from homeroom.plan import Scope
from homeroom.reconcile import approvals
from homeroom.reconcile.chatdecision import ChatDecision, unseen
from homeroom.reconcile.chatrules import DeclaredChats
from homeroom.reconcile.executor import Applied
from homeroom.reconcile.outcome import plan_status, unfinished_of
from homeroom.reconcile.run import Ending


def chat_outcome(
    decision: ChatDecision,
    applied: Applied | None,
    left: pl.DataFrame,
    *,
    contact: str | None,
    claimed: int,
    parked: int,
    students: Sequence[str] = (),
    strange: Sequence[str] = (),
) -> tuple[Reason, str, Ending]:
    """Reason, message and how it ended; the weightiest comes first. `claimed`: accounts that two people claim.

    `parked`: accounts that can come in nowhere, which the server has not, or has put out of use. Of an extra chat,
    source ids: `students` who were to lead it, and what is `strange` to the records.
    """
    if (unfinished := unfinished_of(applied, left)) is not None:
        return unfinished
    actual = decision.actual
    if not actual.complete:
        words = "the server did not tell about all chats: none is made that may be there already"
        return Reason.TARGET_INCOMPLETE, words, Ending.RETRY
    if half := len(actual.unsure) + int((~actual.chats["complete"]).sum()):
        words = f"{half} chats could not be read completely; nobody is removed from them"
        return Reason.TARGET_INCOMPLETE, words, Ending.RETRY
    waiting = decision.reviewed.open
    held = approvals.held_message(waiting, contact=contact, chats=_told(decision)) if waiting else ""
    if decision.lost:
        words = "the store is empty, but chats carry our marks: nobody is removed"
        if waiting:
            return Reason.BASELINE_LOST, f"{words}; {held}", Ending.STALLED
        return Reason.BASELINE_LOST, words, Ending.DONE
    if waiting:
        return Reason.HELD_FOR_APPROVAL, held, Ending.STALLED
    whom = f"; {contact}" if contact else ""
    if claimed:
        words = f"{claimed} accounts are claimed by two people each: they stand still until Git says who is who{whom}"
        return Reason.IDENTITY_CONFLICT, words, Ending.STALLED
    if decision.taken.height:
        schools = decision.taken["school"].n_unique()
        words = f"an older ChatPolicy sees to chats of the same types in {schools} schools; the rest is done{whom}"
        return Reason.CONFLICT, words, Ending.STALLED
    if students:
        words = f"{_few(students)}: a student by the records, and no student leads a chat; take them out of `admins`"
        return Reason.STUDENT_ADMINISTRATOR, words, Ending.STALLED
    return Reason.SUCCEEDED, _done(decision, left, parked=parked, strange=strange), Ending.DONE


def _done(decision: ChatDecision, left: pl.DataFrame, *, parked: int, strange: Sequence[str]) -> str:
    chats = decision.desired.chats.height
    words = f"{chats} chat{'' if chats == 1 else 's'}, {decision.desired.members.height} members"
    words += " in sync" if left.is_empty() else f"; {left.height} changes are not made under this policy"
    if parked:
        words += f"; {parked} accounts are not there, or out of use, and are tried again later"
    if strange:
        words += f"; not in the records: {_few(strange)}"
    return words


def _few(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
    return ", ".join(f"'{one}'" for one in ids[:5]) + more


def with_state(
    policy: DeclaredChats,
    decision: ChatDecision,
    there: Actual,
    counted: pl.DataFrame,
    left: pl.DataFrame,
    *,
    stale: bool,
    digest: str,
    contact: str | None,
    now: datetime,
) -> ChatPolicyStatus:
    """The status with counts, holds and the conditions beside Ready.

    `there`: what is there after the run; `counted`: columns `homeroom.chats.standing.STANDING`; `left`: columns
    `homeroom.plan.CHANGE_SCHEMA`.
    """
    generation, waiting = policy.metadata.generation, decision.reviewed.open
    counts = dict(counted.group_by("state").agg(pl.col("people").sum()).iter_rows())
    wanted = decision.desired.chats["key"]
    status = policy.status.model_copy(
        update={
            "snapshot_digest": digest,
            "chats": ChatCounts(wanted=wanted.len(), there=int(wanted.is_in(there.chats["key"].implode()).sum())),
            "members": MemberCounts(**{name: counts.get(state.value, 0) for state, name in _COUNTED.items()}),
            "plan": plan_status(left, decision.blocked, doubtful=0),
            "holds": approvals.hold_statuses(waiting),
        }
    )
    status = conditions.held(
        status,
        message=approvals.held_message(waiting, contact=contact, chats=_told(decision)) if waiting else None,
        generation=generation,
        now=now,
    )
    status = _with_linked(status, policy, decision.desired, now=now)
    lacking = gaps(decision.instead)
    status = conditions.with_condition(
        status,
        type_=conditions.ConditionType.CAPABLE,
        value=not lacking,
        reason=Reason.CAPABILITY_MISSING if lacking else Reason.CAPABILITIES_MET,
        message=lacking or "the platform can do everything that is declared",
        generation=generation,
        now=now,
    )
    return conditions.with_condition(
        status,
        type_=conditions.ConditionType.ROSTER_FRESH,
        value=not stale,
        reason=Reason.ROSTER_STALE if stale else Reason.ROSTER_FRESH,
        message="the records are older than the District wants them: nobody is removed by them"
        if stale
        else "the records are as new as the District wants them",
        generation=generation,
        now=now,
    )


def _with_linked(
    status: ChatPolicyStatus, policy: DeclaredChats, desired: Desired, *, now: datetime
) -> ChatPolicyStatus:
    """The status with the condition Linked, where there are limits (R37)."""
    if not isinstance(policy, ChatPolicy) or policy.spec.limits is None:
        kept = conditions.without(status.conditions, conditions.ConditionType.LINKED)
        return status.model_copy(update={"conditions": kept})
    limits = policy.spec.limits.linked
    warn, critical = (int((text or "0%").removesuffix("%")) for text in (limits.warn, limits.critical))
    waits = desired.pending.filter(pl.col("state") == State.UNLINKED.value)
    linked, unlinked = (
        rows.select(pl.col(who), desired.chats["type"][rows["chat"]].alias("type"))
        .group_by("type")
        .agg(pl.col(who).n_unique().alias(name))
        for name, rows, who in (("linked", desired.members, "account"), ("unlinked", waits, "person"))
    )
    shares = linked.join(unlinked, on="type", how="full", coalesce=True).fill_null(0).sort("type")
    shares = shares.with_columns(people=pl.col("linked") + pl.col("unlinked"))
    few = shares.filter(pl.col("linked") * 100 < pl.col("people") * warn)
    worst = few.filter(pl.col("linked") * 100 < pl.col("people") * critical)
    told = [f"{row['type']} {row['linked']} of {row['people']}" for row in few.to_dicts()]
    reason = Reason.ENOUGH_LINKED if not told else Reason.FEW_LINKED if worst.is_empty() else Reason.TOO_FEW_LINKED
    return conditions.with_condition(
        status,
        type_=conditions.ConditionType.LINKED,
        value=not told,
        reason=reason,
        message=f"fewer than {limits.warn} are linked: {', '.join(told)}"
        if told
        else f"at least {limits.warn} are linked",
        generation=policy.metadata.generation,
        now=now,
    )


def chat_rows(
    decision: ChatDecision, applied: Applied | None, there: Actual, counted: pl.DataFrame, left: pl.DataFrame
) -> dict[str, dict[str, Any]]:
    """How the chats stand in each school that is to have some, for its School object: fields of `SchoolChatsStatus`.

    By source id of the school, without the name. `there`, `counted`, `left`: as in `with_state`.
    """
    failing = {*unseen(decision.desired, decision.actual), *(applied.failed_schools if applied is not None else ())}
    held = {school for hold in decision.reviewed.open for school in hold.rows["school"].unique()}
    waiting = {*left["school"].unique()}
    is_there = pl.col("key").is_in(there.chats["key"].implode())
    chats = decision.desired.chats.group_by("school").agg(wanted=pl.len(), there=is_there.sum())
    members = counted.group_by("school").agg(
        pl.col("people").filter(pl.col("state") == state.value).sum().alias(name)
        for state, name in ((State.JOINED, "joined"), (State.UNLINKED, "unlinked"))
    )
    rows = chats.join(members, on="school", how="left").with_columns(pl.col("joined", "unlinked").fill_null(0))
    return {
        school: {
            "state": (
                SchoolState.ERROR
                if school in failing or not decision.actual.complete
                else SchoolState.HELD
                if school in held
                else SchoolState.PENDING
                if school in waiting
                else SchoolState.SYNCED
            ).value,
            **counts,
        }
        for counts in rows.sort("school").to_dicts()
        for school in (counts.pop("school"),)
    }


def _told(decision: ChatDecision) -> dict[str, str]:
    """Held chats in words: by class or school, as their keys say nothing to people."""
    held = [hold.place for hold in decision.reviewed.open if hold.scope is Scope.CLASS]
    states = [decision.desired, *([decision.before.desired] if decision.before is not None else [])]
    rows = pl.concat([state.chats.select("key", "type", "school", "section") for state in states])
    rows = rows.filter(pl.col("key").is_in(held)).unique("key", keep="first")
    return {row["key"]: _CHAT[row["type"]].format(**row) for row in rows.to_dicts()}


def gaps(instead: Mapping[Fallback, int]) -> str:
    """What the platform cannot do, with what has to happen instead; empty: it can do all."""
    return "; ".join(f"{_INSTEAD[one]}: {number}" for one, number in sorted(instead.items()))


_CHAT: Final = {
    ChatType.STAFF_ROOM: "the staff room of school '{school}'",
    ChatType.CLASS_STUDENTS: "the students' chat of class '{section}'",
    ChatType.CLASS_PARENTS: "the parents' chat of class '{section}'",
    ChatType.SUBJECT: "the chat of subject class '{section}'",
    None: "the chat",
}

_COUNTED: Final = {
    State.JOINED: "joined",
    State.INVITED: "invited",
    State.LINKED: "linked",
    State.UNLINKED: "unlinked",
    State.LEFT_BY_CHOICE: "left_by_choice",
    State.PARKED: "parked",
}

_INSTEAD: Final = {
    Fallback.CREATE_BY_HAND: "changes that wait for chats which a person has to make",
    Fallback.INVITE_BY_LINK: "changes that wait for people who have to come by the link of the chat",
    Fallback.INVITE_BY_HAND: "changes that wait for people whom a person has to bring in",
    Fallback.REMOVE_BY_HAND: "people whom a person has to take out",
    Fallback.APPOINT_BY_HAND: "rights that a person has to give or take",
    Fallback.LEAVE_EMPTY: "chats that cannot be closed and stay without members",
}

"""The states of a resource, as conditions. Pure: the clock comes in as ``now``.

Each state of the table below is one function. It takes the status as it is, and gives the status with its conditions
and `observedGeneration` moved into that state; the same input gives an equal status, so that a run without news writes
nothing. Conditions of other types (ours or other owners') stay as they are; ours are set with ``with_condition``.

===================  =======  ===========================================  ==================  ==============
state                Ready    beside it                                    observedGeneration  kstatus
===================  =======  ===========================================  ==================  ==============
(not seen yet)       absent   none                                         -1                  InProgress
``working``          Unknown  Reconciling=True                             stays               InProgress
``done``             True     none                                         = generation        Current
``failed_retrying``  False    Reconciling=True, ProgressingWithRetry       stays               InProgress
``failed``           False    Stalled=True                                 = generation        Failed
``suspended``        False    Stalled=True, Suspended                      = generation        Failed
``deleting``         False    Reconciling=True                             stays               Terminating
===================  =======  ===========================================  ==================  ==============

kstatus (which Flux and others use) counts Ready=False as "in progress" for ever: only Stalled says that nobody is
trying any more. ``violations`` holds the rules that every written status has to meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from homeroom.api.common import Condition, ConditionStatus, Status
from homeroom.api.reasons import Reason

S = TypeVar("S", bound=Status)

MESSAGE_MAX_LENGTH = 32768


class ConditionType(StrEnum):
    """Every type of condition that Homeroom writes. A positive one is good when True, a negative one when absent."""

    READY = "Ready"
    """Positive, all kinds: everything is as declared."""
    RECONCILING = "Reconciling"
    """Negative, all kinds: a run is under way, or will be tried again."""
    STALLED = "Stalled"
    """Negative, all kinds: it will not get further by itself."""
    HELD = "Held"
    """Negative, District, LearningApp, LicensePool, ChatPolicy and Chat: changes wait for an Approval."""
    RECORDS_VALID = "RecordsValid"
    """Positive, District: no record is quarantined."""
    SUPPLEMENTS_FRESH = "SupplementsFresh"
    """Positive, District with supplements: each could be read when it was last due, else its last version counts."""
    IDENTITY_CLEAR = "IdentityClear"
    """Positive, District: it is certain who everybody in the records is."""
    CAPABLE = "Capable"
    """Positive, LearningApp, ChatPolicy and Chat: the target or platform can do all that is declared."""
    ROSTER_FRESH = "RosterFresh"
    """Positive, ChatPolicy and Chat: the records are not older than they should be, else nobody is removed."""
    LINKED = "Linked"
    """Positive, ChatPolicy with `limits`: of those who belong into chats enough are linked."""
    AVATAR_SET = "AvatarSet"
    """Positive, Chat with `avatar`: the declared picture was set; absent while there is no room for it."""
    STAFFED = "Staffed"
    """Positive, LearningApp: every class with students has a teacher."""
    SUBSCRIBED = "Subscribed"
    """Positive, LearningApp with a subscription: what is shared was bought."""
    SEATS_KNOWN = "SeatsKnown"
    """Positive, LearningApp with `seating`: it is known who holds a seat of the pool."""
    SEATS_GRANTED = "SeatsGranted"
    """Positive, SchoolLicense: the pool has granted what is requested."""
    SCHOOL_UNIT_RESOLVED = "SchoolUnitResolved"
    """Positive, SchoolLicense: the register knows the school unit, or the licence says that it is right."""
    SEATED = "Seated"
    """Positive, SchoolLicense: every student who wants a seat by it has one."""
    UNITS_FRESH = "UnitsFresh"
    """Positive, LicensePool with Skolverket's register: the register answers, else its last list is used."""
    ACTIVITY_FRESH = "ActivityFresh"
    """Positive, LicensePool: it is known when accounts were last used, else nothing is reclaimed."""
    KEY_READY = "KeyReady"
    """Positive, SchoolLicense with `access: Key`: its key is in its Secret."""
    KEY_DELIVERED = "KeyDelivered"
    """Positive, SchoolLicense with `deliverKeyTo`: the key was mailed to every address."""


NEGATIVE = (ConditionType.STALLED, ConditionType.RECONCILING)
"""Negative polarity, the weightier first: present only while True."""

_ORDER: dict[str, int] = {ConditionType.STALLED: 0, ConditionType.RECONCILING: 1, ConditionType.READY: 2}


def find(conditions: Sequence[Condition], type_: str) -> Condition | None:
    """The condition of that type, or None."""
    return next((condition for condition in conditions if condition.type == type_), None)


def is_told(status: Status, *, generation: int) -> bool:
    """Whether Ready says how a run of this generation ended, be it badly."""
    ready = find(status.conditions, ConditionType.READY)
    return ready is not None and ready.observed_generation == generation and ready.reason != Reason.PROGRESSING


def set_condition(
    conditions: Sequence[Condition],
    *,
    type_: str,
    status: ConditionStatus,
    reason: Reason,
    message: str,
    generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    """`conditions` with this one set.

    lastTransitionTime moves only when the status flips (the rule of Kubernetes' own helper). Stalled, Reconciling and
    Ready come first, as in Flux; the others keep their order, a new one is last.
    """
    old = find(conditions, type_)
    if len(message) > MESSAGE_MAX_LENGTH:
        message = message[: MESSAGE_MAX_LENGTH - 3] + "..."
    said = (status, generation, reason.value, message)
    if old is not None and said == (old.status, old.observed_generation, old.reason, old.message):
        return _sorted(tuple(conditions))  # to make the same one anew takes ten times as long
    new = Condition(
        type=type_,
        status=status,
        observed_generation=generation,
        last_transition_time=old.last_transition_time if old is not None and old.status is status else now,
        reason=reason.value,
        message=message,
    )
    if old is None:
        return _sorted((*conditions, new))
    return _sorted(tuple(new if condition.type == type_ else condition for condition in conditions))


def without(conditions: Sequence[Condition], *types: str) -> tuple[Condition, ...]:
    """`conditions` without those types: how a negative condition ends."""
    return tuple(condition for condition in conditions if condition.type not in types)


def _sorted(conditions: tuple[Condition, ...]) -> tuple[Condition, ...]:
    return tuple(sorted(conditions, key=lambda condition: _ORDER.get(condition.type, len(_ORDER))))


def with_condition(
    status: S,
    *,
    type_: ConditionType,
    value: bool,
    reason: Reason,
    message: str,
    generation: int,
    now: datetime,
) -> S:
    """`status` with one more (positive) condition of ours beside Ready; set it in each run, before the state."""
    conditions = set_condition(
        status.conditions,
        type_=type_,
        status=ConditionStatus.TRUE if value else ConditionStatus.FALSE,
        reason=reason,
        message=message,
        generation=generation,
        now=now,
    )
    return status.model_copy(update={"conditions": conditions})


def held(status: S, *, message: str | None, generation: int, now: datetime) -> S:
    """`status` with `Held=True` when there is something to say about holds, else without; set it before the state."""
    if message is None:
        return status.model_copy(update={"conditions": without(status.conditions, ConditionType.HELD)})
    return with_condition(
        status,
        type_=ConditionType.HELD,
        value=True,
        reason=Reason.HELD_FOR_APPROVAL,
        message=message,
        generation=generation,
        now=now,
    )


def done(status: S, *, generation: int, message: str, now: datetime, reason: Reason = Reason.SUCCEEDED) -> S:
    """Everything is as declared."""
    return _state(
        status,
        ready=ConditionStatus.TRUE,
        reason=reason,
        message=message,
        negative=None,
        generation=generation,
        finished=True,
        now=now,
    )


def working(status: S, *, generation: int, message: str, now: datetime, reason: Reason = Reason.PROGRESSING) -> S:
    """A run that has something to do is under way. A routine run does not show this."""
    return _state(
        status,
        ready=ConditionStatus.UNKNOWN,
        reason=reason,
        message=message,
        negative=(ConditionType.RECONCILING, reason),
        generation=generation,
        finished=False,
        now=now,
    )


def failed_retrying(status: S, *, generation: int, reason: Reason, message: str, now: datetime) -> S:
    """The run failed, and will be tried again by itself."""
    return _state(
        status,
        ready=ConditionStatus.FALSE,
        reason=reason,
        message=message,
        negative=(ConditionType.RECONCILING, Reason.PROGRESSING_WITH_RETRY),
        generation=generation,
        finished=False,
        now=now,
    )


def failed(status: S, *, generation: int, reason: Reason, message: str, now: datetime) -> S:
    """The run failed for good: a person, a commit or another resource has to change something first."""
    return _state(
        status,
        ready=ConditionStatus.FALSE,
        reason=reason,
        message=message,
        negative=(ConditionType.STALLED, reason),
        generation=generation,
        finished=True,
        now=now,
    )


def suspended(status: S, *, generation: int, now: datetime) -> S:
    """`spec.suspend` is true. A finished state, so that GitOps tools take the commit that ends it."""
    return failed(
        status,
        generation=generation,
        reason=Reason.SUSPENDED,
        message="suspended by `spec.suspend`; nothing outside is read or written",
        now=now,
    )


def deleting(status: S, *, generation: int, message: str, now: datetime) -> S:
    """The resource is going away, and its clean-up outside the cluster is under way."""
    return _state(
        status,
        ready=ConditionStatus.FALSE,
        reason=Reason.DELETING,
        message=message,
        negative=(ConditionType.RECONCILING, Reason.DELETING),
        generation=generation,
        finished=False,
        now=now,
    )


def _state(
    status: S,
    *,
    ready: ConditionStatus,
    reason: Reason,
    message: str,
    negative: tuple[ConditionType, Reason] | None,
    generation: int,
    finished: bool,
    now: datetime,
) -> S:
    """Ready and at most one negative condition; a `finished` state has observed the generation."""
    gone = [type_ for type_ in NEGATIVE if negative is None or type_ is not negative[0]]
    conditions = set_condition(
        without(status.conditions, *gone),
        type_=ConditionType.READY,
        status=ready,
        reason=reason,
        message=message,
        generation=generation,
        now=now,
    )
    if negative is not None:
        conditions = set_condition(
            conditions,
            type_=negative[0],
            status=ConditionStatus.TRUE,
            reason=negative[1],
            message=message,
            generation=generation,
            now=now,
        )
    return status.model_copy(
        update={
            "conditions": conditions,
            "observed_generation": generation if finished else status.observed_generation,
        }
    )


def violations(obj: Mapping[str, object], *, final: bool) -> list[str]:
    """Which rules for conditions the object (plain JSON, with metadata.generation) breaks; empty when it is right.

    The FAIL and WARN rules of Flux's condition checker, by their numbers there (there is no FAIL10, and WARN2 is about
    negative types other than our two). `final`: after a finished run; otherwise one may be under way.
    """
    metadata, status = _mapping(obj.get("metadata")), _mapping(obj.get("status"))
    generation, observed = _integer(metadata.get("generation")), _integer(status.get("observedGeneration"))
    raw = status.get("conditions")
    conditions = {str(item["type"]): item for item in raw if isinstance(item, Mapping)} if isinstance(raw, list) else {}
    value = {type_: str(condition.get("status")) for type_, condition in conditions.items()}
    ready = value.get("Ready")
    stale = [type_ for type_, item in conditions.items() if _integer(item.get("observedGeneration")) < generation]
    other = [type_ for type_, item in conditions.items() if _integer(item.get("observedGeneration")) != observed]
    negatives = [type_ for type_ in NEGATIVE if type_ in conditions]

    broken = {
        "FAIL2: Ready is absent": ready is None,
        "FAIL4: Stalled=True without Ready=False": value.get("Stalled") == "True" and ready != "False",
        "FAIL5: Reconciling and Stalled are both present": len(negatives) == len(NEGATIVE),
        "FAIL6: observedGeneration is ahead of generation": observed > generation,
        "WARN3: Reconciling=False instead of absent": value.get("Reconciling") == "False",
        "WARN4: Stalled=False instead of absent": value.get("Stalled") == "False",
        "WARN5: a condition without observedGeneration": any(
            _integer(item.get("observedGeneration")) < 1 for item in conditions.values()
        ),
    }
    if final:
        broken |= {
            "FAIL1: a negative condition is True while Ready=True": ready == "True"
            and any(value[type_] == "True" for type_ in negatives),
            "FAIL3: Reconciling=True without Ready=False": value.get("Reconciling") == "True" and ready != "False",
            "FAIL7: Ready=True on an older generation": ready == "True" and observed < generation,
            f"FAIL8: Ready=True while {stale} have an older generation": ready == "True" and bool(stale),
            f"FAIL9: Ready=True while {other} have another observedGeneration": ready == "True" and bool(other),
            "WARN1: a negative condition is present while Ready=True": ready == "True" and bool(negatives),
        }
    else:
        broken["FAIL11: Ready=Unknown without Reconciling=True"] = (
            ready == "Unknown" and value.get("Reconciling") != "True"
        )
    return sorted(text for text, is_broken in broken.items() if is_broken)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _integer(value: object) -> int:
    return value if isinstance(value, int) else -1

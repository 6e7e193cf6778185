"""What a LearningApp's status says of its subscription: the numbers, and the condition `Subscribed`. Pure.

Neighbours: `homeroom.roster.subscription` (the comparison), `learningapp` (the run). Ready never depends on this.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from homeroom.api import District, LearningApp, LearningAppStatus, PeopleOfSchools, Reason, conditions
from homeroom.api.conditions import ConditionType
from homeroom.roster.shared import Shared
from homeroom.roster.subscription import compare, in_several_schools, told
from homeroom.roster.tables import Roster

LEAD_TIME: Final = timedelta(days=14)
"""So long before people begin to use an app something should be in it (S15)."""


def with_subscription(
    status: LearningAppStatus,
    *,
    app: LearningApp,
    district: District,
    roster: Roster,
    shared: Shared,
    schools: Mapping[str, Mapping[str, Any]],
    now: datetime,
) -> LearningAppStatus:
    """`status` with what was bought beside what is shared. `schools`: the rows that `school_rows` made."""
    several = in_several_schools(shared)
    two = pl.col("schools") == 2
    status = status.model_copy(
        update={"in_two_schools": _people(several.filter(two)), "in_more_schools": _people(several.filter(~two))}
    )
    subscription = app.spec.subscription
    if subscription is None:
        return without_subscription(status)
    found = compare(subscription, roster, shared)
    reason, message = told(found)
    if found.schools is not None and found.schools.under and district.spec.contact:
        message += f"; ask {district.spec.contact}"
    today = district.spec.day(now)
    synced = any(number for row in schools.values() for number in row["synced"].values())
    if subscription.go_live is not None and subscription.go_live - today < LEAD_TIME and not synced:
        message += f"; it is to be in use from {subscription.go_live} on, and nothing is there yet"
    return conditions.with_condition(
        status.model_copy(update={"subscription": found}),
        type_=ConditionType.SUBSCRIBED,
        value=reason is Reason.WITHIN_SUBSCRIPTION,
        reason=reason,
        message=message,
        generation=app.metadata.generation,
        now=now,
    )


def without_subscription(status: LearningAppStatus) -> LearningAppStatus:
    """`status` of an app that has none, or shares nothing that could be compared."""
    kept = conditions.without(status.conditions, ConditionType.SUBSCRIBED)
    return status.model_copy(update={"subscription": None, "conditions": kept})


def _people(several: pl.DataFrame) -> PeopleOfSchools:
    return PeopleOfSchools(**{count: int(several[count].sum()) for count in PeopleOfSchools.model_fields})

"""What shall be changed, as data: knows no school and no Kubernetes.

`change` holds the words (operation, kind, cause) and a single change for the hands that carry it out; `plan` holds the
whole plan as one frame, its order, its digest and the policies that narrow it; `guard` says what of it needs a person's
word first, `hold` keeps that until the word is given, `clock` says whether time is to be believed.
`homeroom.roster.diff` makes plans, `homeroom.reconcile.executor` carries them out.
"""

from homeroom.plan.change import COMING, LEAVING, PERSONAL, PLACES, Cause, Change, Kind, Op, Outcome, Result, Role
from homeroom.plan.clock import Noted, doubted_since
from homeroom.plan.guard import (
    CHANGE,
    CHANGE_SCHEMA,
    EDITS,
    HELD_SCHEMA,
    RECENT_SCHEMA,
    SIZES_SCHEMA,
    WINDOW_DAYS,
    Guard,
    Judged,
    Limits,
    Scope,
    Standing,
    counted_as_gone,
    judge,
)
from homeroom.plan.hold import (
    VALID,
    Hold,
    Reviewed,
    State,
    Unseen,
    Word,
    changes,
    first_synced,
    is_exposing,
    overtaken,
    review,
    rolled_over,
    settled,
)
from homeroom.plan.plan import IDENTITY, IDENTITY_SCHEMA, MOMENT, PLAN_SCHEMA, Plan, Policy

__all__ = [
    "CHANGE",
    "CHANGE_SCHEMA",
    "COMING",
    "EDITS",
    "HELD_SCHEMA",
    "IDENTITY",
    "IDENTITY_SCHEMA",
    "LEAVING",
    "MOMENT",
    "PERSONAL",
    "PLACES",
    "PLAN_SCHEMA",
    "RECENT_SCHEMA",
    "SIZES_SCHEMA",
    "VALID",
    "WINDOW_DAYS",
    "Cause",
    "Change",
    "Guard",
    "Hold",
    "Judged",
    "Kind",
    "Limits",
    "Noted",
    "Op",
    "Outcome",
    "Plan",
    "Policy",
    "Result",
    "Reviewed",
    "Role",
    "Scope",
    "Standing",
    "State",
    "Unseen",
    "Word",
    "changes",
    "counted_as_gone",
    "doubted_since",
    "first_synced",
    "is_exposing",
    "judge",
    "overtaken",
    "review",
    "rolled_over",
    "settled",
]

"""What shall be changed, as data: knows no school and no Kubernetes.

`change` holds the words (operation, kind, cause) and a single change for the hands that carry it out; `plan` holds the
whole plan as one frame, its order, its digest and the policies that narrow it. `homeroom.roster.diff` makes plans,
`homeroom.reconcile.executor` carries them out.
"""

from homeroom.plan.change import Cause, Change, Kind, Op, Outcome, Result, Role
from homeroom.plan.guard import Guarded, guard
from homeroom.plan.plan import PLAN_SCHEMA, Plan, Policy

__all__ = [
    "PLAN_SCHEMA",
    "Cause",
    "Change",
    "Guarded",
    "Kind",
    "Op",
    "Outcome",
    "Plan",
    "Policy",
    "Result",
    "Role",
    "guard",
]

"""Approval: a commit that releases a hold.

Read by the reconciler of the resource that it names, which writes its status. What a hold is: `homeroom.plan.hold`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from homeroom.api.common import Column, Count, HoldId, Model, Name, Resource, Rule, Status


class HoldingKind(StrEnum):
    """Kinds that hold changes back."""

    DISTRICT = "District"
    LEARNING_APP = "LearningApp"
    LICENSE_POOL = "LicensePool"
    CHAT_POLICY = "ChatPolicy"
    CHAT = "Chat"


class HoldingReference(Model):
    """The resource whose hold is meant, in the same namespace."""

    kind: HoldingKind
    """Kind of the resource."""
    name: Name
    """Name of the resource."""


class ApprovalSpec(Model):
    """Which hold is released, and why."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self == oldSelf", "an Approval must not change; make a new one instead"),
    )

    target_ref: HoldingReference
    """The resource whose hold is meant."""
    hold: HoldId
    """Id of the hold, from `status.holds` of that resource."""
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    """Why this is right, for those who ask later; no names of people."""


class ApprovalStatus(Status):
    """What came of it."""

    released: Count = 0
    """Changes that it released and that were made."""
    pending: Count = 0
    """Changes that it released and that are still to be made."""
    struck: Count = 0
    """Changes of the hold that nobody planned any more; this approval does not bring them back."""


class Approval(Resource):
    """A commit that releases exactly the changes of one hold that are still planned; it works once."""

    plural: ClassVar[str] = "approvals"
    short_names: ClassVar[tuple[str, ...]] = ("appr",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Kind", ".spec.targetRef.kind", "string", "Kind of the resource whose hold is meant"),
        Column("Name", ".spec.targetRef.name", "string", "Name of the resource whose hold is meant"),
        Column("Hold", ".spec.hold", "string", "Id of the hold"),
        Column("Released", ".status.released", "integer", "Changes that were released and made"),
        Column("Pending", ".status.pending", "integer", "Released changes that are still to be made", priority=1),
        Column("Struck", ".status.struck", "integer", "Changes that nobody planned any more", priority=1),
    )

    kind: Literal["Approval"] = "Approval"
    spec: ApprovalSpec
    status: ApprovalStatus = ApprovalStatus()

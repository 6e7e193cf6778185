"""The custom resources: the ground floor, which everything else may import and which imports nothing of ours.

Pure: no clock, no network, no Kubernetes machinery. ``parse`` turns a document into the model of its kind; the models
stand in a module per kind, their common pieces in ``common.py``. ``conditions`` moves the states that a status shows,
``reasons`` is the closed catalogue of words for them. ``crds`` generates ``crds/*.yaml`` from the models; ``yaml`` and
``validate`` read files the way kubectl and the API server would.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from pydantic import ValidationError

from homeroom.api.approval import Approval, ApprovalSpec, ApprovalStatus, HoldingKind, HoldingReference
from homeroom.api.chat import (
    Admitted,
    Chat,
    ChatLink,
    ChatMembers,
    ChatSpec,
    ChatStatus,
    Join,
    RoleInSchool,
    SchoolRole,
)
from homeroom.api.chatplatform import (
    AccountIdentity,
    AccountsFrom,
    ChatPlatform,
    ChatPlatformSpec,
    ChatPlatformStatus,
    Matrix,
)
from homeroom.api.chatpolicy import (
    Allowed,
    Calls,
    ChatCounts,
    ChatGuards,
    ChatOfType,
    ChatPolicy,
    ChatPolicySpec,
    ChatPolicyStatus,
    ChatSettings,
    ChatSync,
    ChatSyncMode,
    ChatType,
    CreateOn,
    Deletion,
    Leave,
    MemberCounts,
    Membership,
    Part,
    Preset,
    RollOver,
)
from homeroom.api.common import (
    API_VERSION,
    CATEGORY,
    CREDENTIALS_LABEL,
    CREDENTIALS_VALUE,
    FINALIZER,
    FULL_RECONCILE_AT,
    GROUP,
    MAX_HOLDS_IN_STATUS,
    PICTURES_VALUE,
    RECONCILE_AT,
    REVISION,
    ROTATE_KEY_AT,
    VERSION,
    Column,
    Condition,
    ConditionStatus,
    Counts,
    Duration,
    DurationUnit,
    HoldingStatus,
    HoldStatus,
    Model,
    ObjectMeta,
    Path,
    Proxy,
    Reference,
    Resource,
    RootStatus,
    Rule,
    SecretReference,
    SourceGuards,
    Status,
    field_path,
)
from homeroom.api.district import (
    MAX_LINKS,
    Denied,
    District,
    DistrictGuards,
    DistrictSpec,
    DistrictStatus,
    Extensions,
    FindingCounts,
    HomeroomDefinition,
    Identity,
    IdentityLink,
    LinksFile,
    OneRosterCSV,
    RecordCounts,
    SnapshotStatus,
    Source,
    StudentKey,
    Sync,
    SyncMode,
)
from homeroom.api.learningapp import (
    MAX_IDS_IN_STATUS,
    MAX_RULES_IN_STATUS,
    MAX_SCHOOLS_IN_STATUS,
    Adoption,
    ClassRemoval,
    DeletionPolicy,
    FirstSync,
    Guards,
    KeptStatus,
    Kolibri,
    LearningApp,
    LearningAppSpec,
    LearningAppStatus,
    PeopleOfSchools,
    PersonRemoval,
    PlanStatus,
    Policy,
    Removal,
    RuleCounts,
    SchoolCounts,
    SharingFindings,
    SubscribedParts,
    SubscribedPeople,
    Subscription,
    SubscriptionStatus,
    Target,
)
from homeroom.api.licensepool import (
    InlineUnit,
    LabelSelector,
    LicensePool,
    LicensePoolSpec,
    LicensePoolStatus,
    Overage,
    Queue,
    Reclaim,
    RegisterVersion,
    RegistryType,
    UnitRegistry,
    UnitStatus,
)
from homeroom.api.reasons import Reason
from homeroom.api.school import (
    PeopleCounts,
    School,
    SchoolAppStatus,
    SchoolChatsStatus,
    SchoolSpec,
    SchoolState,
    SchoolStatus,
)
from homeroom.api.schoollicense import (
    Access,
    KeyDelivery,
    KeyStatus,
    Language,
    PoolReference,
    SchoolLicense,
    SchoolLicenseSpec,
    SchoolLicenseStatus,
    UnitOverride,
)
from homeroom.api.sharingrule import (
    Effect,
    MatchKey,
    MatchTerm,
    Operator,
    Share,
    SharingRule,
    SharingRuleSpec,
    SharingRuleStatus,
    Template,
)
from homeroom.errors import InvalidSpecError

__all__ = [
    "API_VERSION",
    "CATEGORY",
    "CREDENTIALS_LABEL",
    "CREDENTIALS_VALUE",
    "FINALIZER",
    "FULL_RECONCILE_AT",
    "GROUP",
    "KINDS",
    "MAX_HOLDS_IN_STATUS",
    "MAX_IDS_IN_STATUS",
    "MAX_LINKS",
    "MAX_RULES_IN_STATUS",
    "MAX_SCHOOLS_IN_STATUS",
    "PICTURES_VALUE",
    "RECONCILE_AT",
    "REVISION",
    "ROTATE_KEY_AT",
    "VERSION",
    "Access",
    "AccountIdentity",
    "AccountsFrom",
    "Admitted",
    "Adoption",
    "Allowed",
    "Approval",
    "ApprovalSpec",
    "ApprovalStatus",
    "Calls",
    "Chat",
    "ChatCounts",
    "ChatGuards",
    "ChatLink",
    "ChatMembers",
    "ChatOfType",
    "ChatPlatform",
    "ChatPlatformSpec",
    "ChatPlatformStatus",
    "ChatPolicy",
    "ChatPolicySpec",
    "ChatPolicyStatus",
    "ChatSettings",
    "ChatSpec",
    "ChatStatus",
    "ChatSync",
    "ChatSyncMode",
    "ChatType",
    "ClassRemoval",
    "Column",
    "Condition",
    "ConditionStatus",
    "Counts",
    "CreateOn",
    "Deletion",
    "DeletionPolicy",
    "Denied",
    "District",
    "DistrictGuards",
    "DistrictSpec",
    "DistrictStatus",
    "Duration",
    "DurationUnit",
    "Effect",
    "Extensions",
    "FindingCounts",
    "FirstSync",
    "Guards",
    "HoldStatus",
    "HoldingKind",
    "HoldingReference",
    "HoldingStatus",
    "HomeroomDefinition",
    "Identity",
    "IdentityLink",
    "InlineUnit",
    "InvalidFieldsError",
    "InvalidSpecError",
    "Join",
    "KeptStatus",
    "KeyDelivery",
    "KeyStatus",
    "Kolibri",
    "LabelSelector",
    "Language",
    "LearningApp",
    "LearningAppSpec",
    "LearningAppStatus",
    "Leave",
    "LicensePool",
    "LicensePoolSpec",
    "LicensePoolStatus",
    "LinksFile",
    "MatchKey",
    "MatchTerm",
    "Matrix",
    "MemberCounts",
    "Membership",
    "Model",
    "ObjectMeta",
    "OneRosterCSV",
    "Operator",
    "Overage",
    "Part",
    "Path",
    "PeopleCounts",
    "PeopleOfSchools",
    "PersonRemoval",
    "PlanStatus",
    "Policy",
    "PoolReference",
    "Preset",
    "Proxy",
    "Queue",
    "Reason",
    "Reclaim",
    "RecordCounts",
    "Reference",
    "RegisterVersion",
    "RegistryType",
    "Removal",
    "Resource",
    "RoleInSchool",
    "RollOver",
    "RootStatus",
    "Rule",
    "RuleCounts",
    "School",
    "SchoolAppStatus",
    "SchoolChatsStatus",
    "SchoolCounts",
    "SchoolLicense",
    "SchoolLicenseSpec",
    "SchoolLicenseStatus",
    "SchoolRole",
    "SchoolSpec",
    "SchoolState",
    "SchoolStatus",
    "SecretReference",
    "Share",
    "SharingFindings",
    "SharingRule",
    "SharingRuleSpec",
    "SharingRuleStatus",
    "SnapshotStatus",
    "Source",
    "SourceGuards",
    "Status",
    "StudentKey",
    "SubscribedParts",
    "SubscribedPeople",
    "Subscription",
    "SubscriptionStatus",
    "Sync",
    "SyncMode",
    "Target",
    "Template",
    "UnitOverride",
    "UnitRegistry",
    "UnitStatus",
    "field_path",
    "parse",
]


class InvalidFieldsError(InvalidSpecError):
    """Some fields of a resource are wrong; `fields` tells for each of them what."""

    def __init__(self, fields: Mapping[Path, str]) -> None:
        super().__init__("; ".join(f"{field_path(path)}: {text}" if path else text for path, text in fields.items()))
        self.fields = fields


KINDS: Final[Mapping[str, type[Resource]]] = MappingProxyType(
    {
        kind.__name__: kind
        for kind in (
            District,
            LearningApp,
            SharingRule,
            School,
            Approval,
            LicensePool,
            SchoolLicense,
            ChatPlatform,
            ChatPolicy,
            Chat,
        )
    }
)
"""Every kind of the group: its model, which knows its ``plural``, ``short_names`` and printer ``columns``."""


def parse(document: Mapping[str, object]) -> Resource:
    """Turn one object, as the API server or a file gives it, into the model of its kind.

    The status is our own output and every run makes it anew: one that cannot be read (written by a newer release, say)
    counts as not written yet. Raises InvalidFieldsError, which names every field that is wrong; an object may be
    invalid in spite of the CRD when it was stored under an older one.
    """
    kind = document.get("kind")
    model = KINDS.get(kind) if isinstance(kind, str) else None
    if model is None or document.get("apiVersion") != API_VERSION:
        raise InvalidSpecError(
            f"`kind` '{kind}' of `apiVersion` '{document.get('apiVersion')}' is not a kind of {API_VERSION}"
        )
    try:
        return model.model_validate(document)
    except ValidationError as error:
        wrong = {path: text for path, text in _wrong(error) if path[:1] != ("status",)}
        if not wrong:
            return model.model_validate({key: value for key, value in document.items() if key != "status"})
        raise InvalidFieldsError(wrong) from None  # pydantic's own text repeats the values, which may be secret


def _wrong(error: ValidationError) -> Iterator[tuple[Path, str]]:
    for problem in error.errors(include_url=False, include_input=False):
        yield problem["loc"], problem["msg"].removeprefix("Value error, ")

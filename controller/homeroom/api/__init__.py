"""The custom resources: the ground floor, which everything else may import and which imports nothing of ours.

Pure: no clock, no network, no Kubernetes machinery. ``parse`` turns a document into the model of its kind; the models
stand in a module per kind, their common pieces in ``common.py``. ``conditions`` moves the states that a status shows,
``reasons`` is the closed catalogue of words for them. ``crds`` generates ``crds/*.yaml`` from the models; ``yaml`` and
``validate`` read files the way kubectl and the API server would.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydantic import ValidationError

from homeroom.api.common import (
    API_VERSION,
    CATEGORY,
    CREDENTIALS_LABEL,
    CREDENTIALS_VALUE,
    FINALIZER,
    FULL_RECONCILE_AT,
    GROUP,
    RECONCILE_AT,
    REVISION,
    VERSION,
    Column,
    Condition,
    ConditionStatus,
    Counts,
    Duration,
    DurationUnit,
    Model,
    ObjectMeta,
    Proxy,
    Reference,
    Resource,
    RootStatus,
    Rule,
    SecretReference,
    Status,
)
from homeroom.api.district import (
    District,
    DistrictSpec,
    DistrictStatus,
    FindingCounts,
    HomeroomDefinition,
    OneRosterCSV,
    RecordCounts,
    SnapshotStatus,
    Source,
    Sync,
    SyncMode,
)
from homeroom.api.learningapp import (
    MAX_RULES_IN_STATUS,
    MAX_SCHOOLS_IN_STATUS,
    ClassRemoval,
    DeletionPolicy,
    Kolibri,
    LearningApp,
    LearningAppSpec,
    LearningAppStatus,
    PersonRemoval,
    PlanStatus,
    Policy,
    Removal,
    RuleCounts,
    SchoolCounts,
    Target,
)
from homeroom.api.reasons import Reason
from homeroom.api.school import PeopleCounts, School, SchoolAppStatus, SchoolSpec, SchoolState, SchoolStatus
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
    "MAX_RULES_IN_STATUS",
    "MAX_SCHOOLS_IN_STATUS",
    "RECONCILE_AT",
    "REVISION",
    "VERSION",
    "ClassRemoval",
    "Column",
    "Condition",
    "ConditionStatus",
    "Counts",
    "DeletionPolicy",
    "District",
    "DistrictSpec",
    "DistrictStatus",
    "Duration",
    "DurationUnit",
    "Effect",
    "FindingCounts",
    "HomeroomDefinition",
    "InvalidSpecError",
    "Kolibri",
    "LearningApp",
    "LearningAppSpec",
    "LearningAppStatus",
    "MatchKey",
    "MatchTerm",
    "Model",
    "ObjectMeta",
    "OneRosterCSV",
    "Operator",
    "PeopleCounts",
    "PersonRemoval",
    "PlanStatus",
    "Policy",
    "Proxy",
    "Reason",
    "RecordCounts",
    "Reference",
    "Removal",
    "Resource",
    "RootStatus",
    "Rule",
    "RuleCounts",
    "School",
    "SchoolAppStatus",
    "SchoolCounts",
    "SchoolSpec",
    "SchoolState",
    "SchoolStatus",
    "SecretReference",
    "Share",
    "SharingRule",
    "SharingRuleSpec",
    "SharingRuleStatus",
    "SnapshotStatus",
    "Source",
    "Status",
    "Sync",
    "SyncMode",
    "Target",
    "Template",
    "parse",
]

KINDS: Final[Mapping[str, type[Resource]]] = MappingProxyType(
    {kind.__name__: kind for kind in (District, LearningApp, SharingRule, School)}
)
"""Every kind of the group: its model, which knows its ``plural``, ``short_names`` and printer ``columns``."""


def parse(document: Mapping[str, object]) -> Resource:
    """Turn one object, as the API server or a file gives it, into the model of its kind.

    The status is our own output and every run makes it anew: one that cannot be read (written by a newer release, say)
    counts as not written yet. Raises InvalidSpecError, which names every field that is wrong; an object may be invalid
    in spite of the CRD when it was stored under an older one.
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
        problems = [problem for problem in error.errors(include_url=False) if problem["loc"][:1] != ("status",)]
        if not problems:
            return model.model_validate({key: value for key, value in document.items() if key != "status"})
    texts = (
        f"{_path(problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}" if problem["loc"] else problem["msg"]
        for problem in problems
    )
    raise InvalidSpecError("; ".join(texts))


def _path(location: tuple[int | str, ...]) -> str:
    """A field path as the API server writes it: ``spec.match[0].values``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path

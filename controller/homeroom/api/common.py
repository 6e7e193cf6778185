"""What all kinds share: the base model, bounds, durations, references, metadata, conditions, status.

Flow: a kind's module (``district.py``...) builds its spec and status from these pieces; ``crds.py`` turns them into a
structural schema, ``parse`` in the package reads a document into them, ``conditions.py`` moves their states.

One truth for every rule: a bound stands in the field, a rule between fields stands in ``cel_rules``. The API server
enforces both from the generated CRD; here pydantic enforces the bounds and ``Model`` evaluates the same CEL text, so
an object that slipped past an older CRD is refused by the very same words.
"""

from __future__ import annotations

import calendar
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

if TYPE_CHECKING:
    import cel

T = TypeVar("T")

GROUP = "homeroom.dev"
VERSION = "v1alpha1"
API_VERSION: Final = "homeroom.dev/v1alpha1"
CATEGORY = "homeroom"

RECONCILE_AT = f"{GROUP}/reconcile-at"
"""Annotation: run now. Any new value counts; echoed in ``status.lastHandledReconcileAt``."""
FULL_RECONCILE_AT = f"{GROUP}/full-reconcile-at"
"""Annotation: run now and trust no cache of source or target; echoed in ``status.lastHandledFullReconcileAt``."""
ROTATE_KEY_AT = f"{GROUP}/rotate-key-at"
"""Annotation of a SchoolLicense: give it another key. Any new value counts; echoed in its status."""
REVISION = f"{GROUP}/revision"
"""Annotation: the Git revision that a change came from, where neither Flux nor Argo CD tells it."""
FINALIZER = f"{GROUP}/cleanup"
"""On objects whose deletion has work to do outside the cluster."""
CREDENTIALS_LABEL = f"{GROUP}/use"
"""A Secret is read only if it carries this label with the value ``CREDENTIALS_VALUE``."""
CREDENTIALS_VALUE = "credentials"
PICTURES_VALUE = "pictures"
"""Likewise of a ConfigMap, which is read for pictures only."""

REQUEST_MAX_LENGTH = 256
"""Characters of a request annotation that count; the API would allow 256 KiB, our status should not."""


Path = tuple[str | int, ...]
"""The way to a field of a document: keys and list indexes."""


def field_path(path: Path) -> str:
    """A path as the API server writes it: ``spec.match[0].values``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule between fields, in CEL, where ``self`` is the object of the model that declares it.

    A rule that names ``oldSelf`` is about a change: only the API server can check it, on update. ``offline=False``
    marks the other rules that our CEL library cannot evaluate; the model then checks the same thing in Python.
    """

    cel: str
    message: str
    offline: bool = True

    @property
    def evaluable(self) -> bool:
        """Whether this rule can be checked outside the API server."""
        return self.offline and "oldSelf" not in self.cel

    def holds(self, document: Mapping[str, object]) -> bool:
        """Whether `document` (plain JSON, defaults filled in) satisfies the rule; what cannot be evaluated does not."""
        try:
            return _program(self.cel).execute({"self": document}) is True
        except (RuntimeError, TypeError, ValueError):
            return False  # as at the API server


@cache
def _program(text: str) -> cel.Program:
    # It would load its own console (prompt_toolkit, Pygments, rich): 0.3 s and 8 MB for something that is never opened.
    sys.modules.setdefault("cel.cli", ModuleType("cel.cli"))
    import cel  # noqa: PLC0415 - only those pay for it who need rules

    return cel.compile(text)


class Model(BaseModel):
    """Immutable, closed, camelCase outside and snake_case inside. The text below a field goes into the CRD."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        regex_engine="rust-regex",
        defer_build=True,  # a process uses some of the models only, most of them as a part of others
    )

    cel_rules: ClassVar[tuple[Rule, ...]] = ()
    """CEL rules of this object; they go into the CRD and are checked here as well."""

    @model_validator(mode="after")
    def _check_rules(self) -> Self:
        rules = [rule for rule in self.cel_rules if rule.evaluable]
        if not rules:
            return self
        document = self.document()
        # All of them at once first: handing the document over takes longer than a rule does.
        if not Rule(" && ".join(f"({rule.cel})" for rule in rules), "").holds(document):
            broken = [rule.message for rule in rules if not rule.holds(document)]
            raise PydanticCustomError("rule", "{message}", {"message": "; ".join(broken)})
        return self

    def document(self) -> dict[str, object]:
        """Plain JSON as the API server stores it: camelCase, nothing that is unset."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class DurationUnit(StrEnum):
    """The units of a duration; a month is a calendar month."""

    SECONDS = "s"
    MINUTES = "m"
    HOURS = "h"
    DAYS = "d"
    MONTHS = "mo"


_SECONDS = {
    DurationUnit.SECONDS: 1,
    DurationUnit.MINUTES: 60,
    DurationUnit.HOURS: 3600,
    DurationUnit.DAYS: 86400,
}


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time as people write it: ``90s 30m 12h 30d 3mo``. One number, one unit, one grammar everywhere.

    None at all is ``0s``.

    Months are calendar months and have no fixed length; ask ``after`` for a moment, or ``timedelta`` where months
    make no sense.
    """

    PATTERN: ClassVar[str] = r"^(0s|[1-9][0-9]{0,3}(s|m|h|d|mo))$"
    MAX_LENGTH: ClassVar[int] = 6

    amount: int
    unit: DurationUnit

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read one duration. Raises ValueError with words for a person."""
        match = re.fullmatch(r"(0(?=s)|[1-9][0-9]{0,3})(s|m|h|d|mo)", text, re.ASCII)
        if match is None:
            raise ValueError(f"must be a number and a unit like '90s', '30m', '12h', '30d' or '3mo', not '{text[:20]}'")
        return cls(amount=int(match[1]), unit=DurationUnit(match[2]))

    def __str__(self) -> str:
        return f"{self.amount}{self.unit}"

    @property
    def timedelta(self) -> timedelta:
        """The fixed length. Raises ValueError for months, which have none."""
        if self.unit is DurationUnit.MONTHS:
            raise ValueError(f"'{self}' has no fixed length, months differ; use `after`")
        return timedelta(seconds=self.amount * _SECONDS[self.unit])

    def after(self, moment: datetime) -> datetime:
        """`moment` plus this duration; 31 January plus one month is the last day of February."""
        if self.unit is not DurationUnit.MONTHS:
            return moment + self.timedelta
        years, month = divmod(moment.month - 1 + self.amount, 12)
        year = moment.year + years
        day = min(moment.day, calendar.monthrange(year, month + 1)[1])
        return moment.replace(year=year, month=month + 1, day=day)

    @classmethod
    def _validate(cls, value: object) -> Duration:
        if isinstance(value, Duration):
            return value
        if not isinstance(value, str):
            raise ValueError("must be a string like '30m'")  # noqa: TRY004 - pydantic reports ValueError, not TypeError
        return cls.parse(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Tell pydantic to read and write the text form."""
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.to_string_ser_schema()
        )


INTERVAL_PATTERN = r"^([1-9][0-9]{1,3}s|[1-9][0-9]{0,3}(m|h|d))$"


def _interval(value: Duration) -> Duration:
    if re.fullmatch(INTERVAL_PATTERN, str(value)) is None:
        raise ValueError(f"must be at least 10 seconds and not in months, not '{value}'")
    return value


Interval = Annotated[Duration, AfterValidator(_interval), Field(json_schema_extra={"pattern": INTERVAL_PATTERN})]
"""How often something is done: a duration of at least 10 seconds, of fixed length."""


def _whole_seconds(value: datetime) -> datetime:
    return value.astimezone(UTC).replace(microsecond=0)


Time = Annotated[
    AwareDatetime,
    AfterValidator(_whole_seconds),
    PlainSerializer(lambda value: value.strftime("%Y-%m-%dT%H:%M:%SZ"), return_type=str, when_used="json"),
]
"""A moment as metav1.Time writes it: UTC, whole seconds."""


def _day(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass  # no such day: said below
    elif isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise ValueError(f"must be a date like '2026-09-01', not '{str(value)[:20]}'")


Date = Annotated[date, BeforeValidator(_day)]
"""A day of the calendar, `2026-09-01`: the only form that the API server takes, of the many that pydantic would."""

Name = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""The name of a Kubernetes object."""

SourceId = Annotated[str, Field(min_length=1, max_length=255)]
"""The id of a record in its source (OneRoster sourcedId)."""

Text = Annotated[str, Field(min_length=1, max_length=255)]
"""One short line of text."""

Count = Annotated[int, Field(ge=0, le=2**53)]
"""How many; within what every JSON reader keeps exactly."""


def each_once(values: tuple[T, ...]) -> tuple[T, ...]:
    """For lists that are sets. Raises ValueError, in the words that the API server lacks."""
    if len(set(values)) < len(values):
        raise ValueError("must not have a value twice")
    return values


Digest = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9:_-]+$")]
"""A content digest."""

Percent = Annotated[str, Field(min_length=2, max_length=4, pattern=r"^(100|[1-9]?[0-9])%$")]
"""A share like `10%`."""

HoldId = Annotated[str, Field(min_length=11, max_length=11, pattern=r"^[0-9a-f]{6}-[0-9a-z]{4}$")]
"""The id of a hold: digest of what it holds, and a part of chance."""

HttpUrl = Annotated[str, Field(min_length=8, max_length=2048, pattern=r"^https?://[^\s/@?#]+([/?][^\s]*)?$")]
"""An http or https address without credentials in it: those belong into a Secret, Git cannot forget them."""

CaBundle = Annotated[
    str, Field(min_length=1, max_length=65536, pattern=r"^\s*-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")
]
"""One or more certificates in PEM, as text."""


class SourceGuards(Model):
    """From where on what the records lose needs a person's word, see `docs/holds.md`."""

    max_deletes: Percent = "10%"
    """Share of a school's people, memberships or classes, and of the district's, that may go within a week."""
    max_updates: Percent = "75%"
    """Share of a school's people or classes that may be rewritten, or who may move to another class, at once."""
    max_class_shrink: Percent = "50%"
    """Share of a class that may go within a week."""
    ignore_below: Annotated[int, Field(ge=1, le=1000)] = 5
    """Fewer changes than this need nobody's word, unless they are the last ones of a class or school."""


class Reference(Model):
    """An object of ours in the same namespace, by name."""

    name: Name
    """Name of the object."""


class SecretReference(Model):
    """A Secret in the same namespace, which has to carry the label `homeroom.dev/use: credentials`."""

    name: Name
    """Name of the Secret."""


class Proxy(Model):
    """An HTTP proxy on the way out."""

    url: HttpUrl
    """Address of the proxy, with port."""
    secret_ref: SecretReference | None = None
    """Secret with `username` and `password` for the proxy, if it asks for them."""
    no_proxy: Annotated[tuple[Text, ...], Field(max_length=64)] = ()
    """Host names, domain suffixes (`.example`) or addresses that are reached directly."""

    def passed_by(self, url: str) -> bool:
        """Whether the way to this URL, which a resource declares, leads past the proxy; redirects go on as it began."""
        host = (urlsplit(url).hostname or "").rstrip(".")
        names = [name.lower() for name in self.no_proxy]
        return host in names or any(name.startswith(".") and host.endswith(name) for name in names)


class ObjectMeta(BaseModel):
    """The part of Kubernetes' metadata that Homeroom reads; all the rest is left alone and not kept."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    labels: Mapping[str, str] = Field(default_factory=dict)
    annotations: Mapping[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()

    @property
    def reconcile_at(self) -> str | None:
        """The request to run now, cut to what the status can echo."""
        return self._request(RECONCILE_AT)

    @property
    def full_reconcile_at(self) -> str | None:
        """The request to run now without caches, cut to what the status can echo."""
        return self._request(FULL_RECONCILE_AT)

    @property
    def rotate_key_at(self) -> str | None:
        """The request for another key, cut to what the status can echo."""
        return self._request(ROTATE_KEY_AT)

    def _request(self, annotation: str) -> str | None:
        value = self.annotations.get(annotation)
        return value[:REQUEST_MAX_LENGTH] if value else None


class ConditionStatus(StrEnum):
    """What a condition says."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """One observation of the state of the object (metav1.Condition)."""

    type: Annotated[
        str,
        Field(
            min_length=1,
            max_length=316,
            pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
            r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        ),
    ]
    """What is observed, in CamelCase."""
    status: ConditionStatus
    """True, False or Unknown."""
    observed_generation: Annotated[int, Field(ge=0, le=2**53)] | None = None
    """The generation that this was observed on."""
    last_transition_time: Time
    """When the status last changed from one value to another."""
    reason: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    """Why, as one word of a closed list."""
    message: Annotated[str, Field(max_length=32768)]
    """Why, in words for a person; never with personal data."""


Request = Annotated[str, Field(min_length=1, max_length=REQUEST_MAX_LENGTH)]


_MOST_CONDITIONS: Final = 4096
_conditions: dict[object, Condition] = {}


def _once(value: object, handler: ValidatorFunctionWrapHandler) -> Condition:
    """A condition, which thousands of licences have since the same run: kept once, as it never changes."""
    said = tuple(value.items()) if isinstance(value, dict) else value
    try:
        return _conditions[said]
    except (KeyError, TypeError):  # not yet, or it is none
        found: Condition = handler(value)
    if len(_conditions) >= _MOST_CONDITIONS:
        _conditions.clear()
    _conditions[said] = found
    return found


class Status(Model):
    """What every kind reports."""

    observed_generation: Annotated[int, Field(ge=-1, le=2**53)] = -1
    """The generation that the operator has finished with; -1 until it has seen the object."""
    conditions: Annotated[
        tuple[Annotated[Condition, WrapValidator(_once)], ...],
        Field(
            max_length=32,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()
    """What is the case now; `Ready` sums it up."""


class RootStatus(Status):
    """What every root (a kind that is reconciled by itself) reports."""

    last_handled_reconcile_at: Request | None = None
    """The value of the annotation `homeroom.dev/reconcile-at` that was handled last."""
    last_handled_full_reconcile_at: Request | None = None
    """The value of the annotation `homeroom.dev/full-reconcile-at` that was handled last."""


MAX_HOLDS_IN_STATUS = 100
"""Above this many holds the status lists the oldest; its message has the number of all."""


class HoldStatus(Model):
    """Changes that a guard stopped, until an Approval names them or nobody plans them any more."""

    id: HoldId
    """What an Approval has to name."""
    guard: Annotated[str, Field(min_length=1, max_length=32)]
    """Which guard stopped them, as in `docs/holds.md`."""
    scope: Annotated[str, Field(min_length=1, max_length=16)]
    """How far they reach: `Person`, `Class`, `School`, `District` or `Pool`."""
    place: SourceId | None = None
    """Source id of the person, class or school; none for a district or pool."""
    create: Count = 0
    """Things to make."""
    adopt: Count = 0
    """Things to take over from people or another owner."""
    update: Count = 0
    """Things to change."""
    remove: Count = 0
    """Things to remove."""
    people: Count = 0
    """How many people it is about."""
    since: Time
    """When these changes were first held."""
    expires: Time
    """Until when this id can be approved; then the same changes get a new one."""


class HoldingStatus(RootStatus):
    """What roots report that hold changes back."""

    holds: Annotated[
        tuple[HoldStatus, ...],
        Field(
            max_length=MAX_HOLDS_IN_STATUS,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]},
        ),
    ] = ()
    """What waits for a person, the oldest first; at most 100."""


class Counts(Model):
    """How many of each are shared or managed."""

    sections: Count = 0
    """Classes."""
    students: Count = 0
    """Students."""
    teachers: Count = 0
    """Teachers."""
    staff: Count = 0
    """Staff: people with another role in a school; principals and the like become administrators."""


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column of `kubectl get`; a `priority` above 0 shows it only with `-o wide`."""

    name: str
    json_path: str
    type: Literal["string", "integer", "date"] = "string"
    description: str = ""
    priority: int = 0


class Resource(Model):
    """One object of our group. Its subclasses are the kinds."""

    plural: ClassVar[str]
    short_names: ClassVar[tuple[str, ...]]
    columns: ClassVar[tuple[Column, ...]]
    """Columns of this kind beside READY, STATUS and AGE."""

    api_version: Literal["homeroom.dev/v1alpha1"] = API_VERSION
    kind: str
    metadata: ObjectMeta
    spec: Model
    status: Status = Status()

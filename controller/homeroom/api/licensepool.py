"""LicensePool: the seats that were bought of a product, to be shared out to schools.

Read by the reconciler of pools, which serves all SchoolLicenses of a pool at once (``schoollicense.py``). How seats are
shared out: `homeroom.seats`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from homeroom.api.common import (
    CaBundle,
    Column,
    Count,
    Date,
    Duration,
    DurationUnit,
    HoldingStatus,
    Model,
    Percent,
    Proxy,
    Reference,
    Resource,
    Rule,
    Text,
    Time,
)
from homeroom.api.district import TimeZone

MAX_SEATS = 10_000_000
Seats = Annotated[int, Field(ge=0, le=MAX_SEATS)]
UnitCode = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._:/-]*[A-Za-z0-9])?$")]
"""The code of a school unit as its register writes it, as text: leading zeros count."""

DAYS_PATTERN = r"^(0s|[1-9][0-9]{0,3}d)$"


def _days(value: Duration) -> Duration:
    if str(value) != "0s" and value.unit != "d":
        raise ValueError(f"must be in days like '7d', or '0s', not '{value}'")
    return value


Days = Annotated[Duration, AfterValidator(_days), Field(json_schema_extra={"pattern": DAYS_PATTERN})]
"""So many days, or none (`0s`)."""


NOTICE_PATTERN = r"^([7-9]|[1-9][0-9]{1,3})d$"


def _notice(value: Duration) -> Duration:
    if value.unit is not DurationUnit.DAYS or value.amount < 7:
        raise ValueError(f"must be at least 7 days, like '30d', not '{value}'")
    return value


Notice = Annotated[Duration, AfterValidator(_notice), Field(json_schema_extra={"pattern": NOTICE_PATTERN})]
"""So many days, a week at least: time in which a wrong clock, or a feed that is wrong, is seen."""

INACTIVE_PATTERN = r"^[1-9][0-9]{0,3}(d|mo)$"


def _inactive(value: Duration) -> Duration:
    if value.unit not in {DurationUnit.DAYS, DurationUnit.MONTHS}:
        raise ValueError(f"must be in days or months, like '30d' or '3mo', not '{value}'")
    return value


InactiveAfter = Annotated[Duration, AfterValidator(_inactive), Field(json_schema_extra={"pattern": INACTIVE_PATTERN})]
"""So many days, or calendar months."""


class Reclaim(StrEnum):
    """What happens to seats that nobody uses.

    `Report`: they are counted; `Reclaim`: after a notice they are given to students who wait.
    """

    REPORT = "Report"
    RECLAIM = "Reclaim"


class Queue(StrEnum):
    """What happens behind a licence that does not fit: smaller ones may pass it, or all wait."""

    BEST_EFFORT_FIFO = "BestEffortFIFO"
    STRICT_FIFO = "StrictFIFO"


class Overage(Model):
    """What may be granted beyond what was bought: the larger of the two."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("has(self.percent) || has(self.seats)", "must have `percent`, `seats` or both"),
    )

    percent: Annotated[int, Field(ge=0, le=100)] | None = None
    """So many percent of `seats`, rounded down."""
    seats: Seats | None = None
    """So many seats."""


class RegistryType(StrEnum):
    """Where the school units come from.

    `Skolverket`: from the register of Sweden's agency for education; `Inline`: from the list in the pool; `Source`:
    they are the schools of a District.
    """

    SKOLVERKET = "Skolverket"
    INLINE = "Inline"
    SOURCE = "Source"


class RegisterVersion(StrEnum):
    """A version of the interface of Skolverket's register."""

    V1 = "V1"
    V2 = "V2"


class UnitStatus(StrEnum):
    """What a register says of a unit. Only one that is closed is refused."""

    ACTIVE = "Active"
    DORMANT = "Dormant"
    PLANNED = "Planned"
    CLOSED = "Closed"


class InlineUnit(Model):
    """One school unit."""

    code: UnitCode
    """Its code; quote it, leading zeros count."""
    name: Text
    """Its name."""
    status: UnitStatus | None = None
    """How it stands; without it `Active`."""


def _each_code_once(units: tuple[InlineUnit, ...]) -> tuple[InlineUnit, ...]:
    if len({unit.code for unit in units}) < len(units):
        raise ValueError("must not have a code twice")
    return units


class UnitRegistry(Model):
    """The register of school units: no other unit gets seats, unless a licence says so."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("(self.type == 'Inline') == has(self.units)", "type 'Inline' needs `units`, the others must not have it"),
        Rule(
            "(self.type == 'Source') == has(self.districtRef)",
            "type 'Source' needs `districtRef`, the others must not have it",
        ),
        Rule(
            "self.type == 'Skolverket' || !(has(self.municipalityCode) || has(self.url) || has(self.version) ||"
            " has(self.proxy) || has(self.caBundle))",
            "`municipalityCode`, `url`, `version`, `proxy` and `caBundle` go with type 'Skolverket' only",
        ),
    )

    type: RegistryType
    """`Skolverket`: its register; `Inline`: the list below `units`; `Source`: the schools of the District, by their
    identifiers or source ids."""
    municipality_code: Annotated[str, Field(min_length=4, max_length=4, pattern=r"^[0-9]{4}$")] | None = None
    """For type `Skolverket`: only units of this municipality, quoted; without it all of the country."""
    url: Annotated[str, Field(min_length=9, max_length=2048, pattern=r"^https://[^\s/@?#]+(/[^\s?#]*)?$")] | None = None
    """For type `Skolverket`: a mirror of the register, the part of its address before `/v2`."""
    version: RegisterVersion | None = None
    """For type `Skolverket`: the only version of its interface to ask; without it 2, and 1 where 2 is gone."""
    proxy: Proxy | None = None
    """For type `Skolverket`: the proxy to go through."""
    ca_bundle: CaBundle | None = None
    """For type `Skolverket`: certificates (PEM) to trust beside the system's."""
    units: (
        Annotated[
            tuple[InlineUnit, ...],
            AfterValidator(_each_code_once),
            Field(
                min_length=1,
                max_length=2000,
                json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["code"]},
            ),
        ]
        | None
    ) = None
    """The units, for type `Inline`."""
    district_ref: Reference | None = None
    """The District whose schools are the units, for type `Source`."""


class SelectorOperator(StrEnum):
    """How a requirement compares a label."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


LabelKey = Annotated[
    str, Field(min_length=1, max_length=316, pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$")
]
LabelValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$")]


class LabelRequirement(Model):
    """One requirement on a label."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
            "operators 'In' and 'NotIn' need at least one of `values`, the others take none",
        ),
    )

    key: LabelKey
    """The label."""
    operator: SelectorOperator
    """How to compare it."""
    values: Annotated[tuple[LabelValue, ...], Field(max_length=64)] = ()
    """What to compare it with."""


class LabelSelector(Model):
    """Which namespaces, by their labels, as everywhere in Kubernetes: all of it has to fit, and `{}` fits all."""

    match_labels: Annotated[Mapping[LabelKey, LabelValue], Field(max_length=64)] | None = None
    """Labels that the namespace has to have."""
    match_expressions: Annotated[tuple[LabelRequirement, ...], Field(max_length=64)] = ()
    """Requirements on its labels."""

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether something with these labels is selected."""
        if any(labels.get(key) != value for key, value in (self.match_labels or {}).items()):
            return False
        return all(_meets(term, labels.get(term.key)) for term in self.match_expressions)


def _meets(term: LabelRequirement, value: str | None) -> bool:
    """As in Kubernetes, what has not got the label meets `NotIn`."""
    match term.operator:
        case SelectorOperator.IN:
            return value in term.values
        case SelectorOperator.NOT_IN:
            return value not in term.values
        case SelectorOperator.EXISTS:
            return value is not None
        case SelectorOperator.DOES_NOT_EXIST:
            return value is None


class LicensePoolSpec(Model):
    """The seats that were bought, and how they are shared out."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.timeZone != 'Local' && timestamp('2000-01-01T00:00:00Z').getHours(self.timeZone) >= 0",
            "`timeZone` must be a time zone of the IANA database like 'Europe/Amsterdam'",
            offline=False,  # our CEL library has no time zones; TimeZone checks it instead
        ),
    )

    seats: Seats
    """How many were bought."""
    overage: Overage | None = None
    """What may be granted beyond that."""
    valid_until: Date | None = None
    """The last day on which it is valid, like `2027-07-31`; then it gives no seats, and takes none away."""
    time_zone: TimeZone
    """The pool's time zone (IANA); decides what "today" is."""
    queue: Queue = Queue.BEST_EFFORT_FIFO
    """Whether smaller licences may pass one that does not fit (`BestEffortFIFO`), or wait behind it (`StrictFIFO`)."""
    unit_registry: UnitRegistry
    """The register of school units."""
    grace: Days = Duration.parse("7d")
    """How long a student keeps a seat that no licence wants for them any more."""
    inactive_after: InactiveAfter = Duration.parse("3mo")
    """A student who has not used the product for so long is not active; in days, or calendar months."""
    reclaim: Reclaim = Reclaim.REPORT
    """Whether idle seats are only counted (`Report`), or given to students who wait for one (`Reclaim`)."""
    reclaim_notice: Notice = Duration.parse("30d")
    """How long a seat must have been counted as idle before it may be given to somebody else; use ends it."""
    reclaim_at_most: Percent = "5%"
    """Share of `seats`, rounded up, that may be given to others in this way on one day."""
    allowed_namespaces: LabelSelector | None = None
    """Which other namespaces may have licences of this pool, `{}` for all; without it only its own."""
    contact: Text | None = None
    """Goes into messages that ask a person to act: a web address or a role mailbox, never a person."""
    suspend: bool = False
    """While this is true no seats are given; those that are held stay, and licences may be removed."""

    def day(self, moment: datetime) -> date:
        """The day that it is for the pool at a moment."""
        return moment.astimezone(ZoneInfo(self.time_zone)).date()


class LicensePoolStatus(HoldingStatus):
    """How the seats are shared out."""

    capacity: Count = 0
    """Seats that may be granted, with the overage."""
    granted: Count = 0
    """Seats granted to licences."""
    used: Count = 0
    """Students who hold a seat."""
    demand: Count = 0
    """Students who want a seat, each counted once."""
    waiting_students: Count = 0
    """Students who want a seat and have none."""
    active_students: Count | None = None
    """Students who hold a seat and are active; as it was when that was known last."""
    idle_seats: Count | None = None
    """Seats whose holders are known not to have used them for `spec.inactiveAfter`; as above."""
    licenses: Count = 0
    """Licences of this pool."""
    waiting_licenses: Count = 0
    """Licences that are not granted what they request."""
    last_change_time: Time | None = None
    """When anything in this status last changed; never moves by itself."""


class LicensePool(Resource):
    """The seats that were bought of a product, shared out to schools by SchoolLicenses."""

    plural: ClassVar[str] = "licensepools"
    short_names: ClassVar[tuple[str, ...]] = ("lpool",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Seats", ".spec.seats", "integer", "Seats that were bought"),
        Column("Granted", ".status.granted", "integer", "Seats granted to licences"),
        Column("Used", ".status.used", "integer", "Students who hold a seat"),
        Column("Demand", ".status.demand", "integer", "Students who want a seat"),
        Column("Active", ".status.activeStudents", "integer", "Students who hold a seat and are active", priority=1),
        Column("Idle", ".status.idleSeats", "integer", "Seats that nobody has used for long", priority=1),
        Column("Capacity", ".status.capacity", "integer", "Seats that may be granted, with the overage", priority=1),
        Column("Licenses", ".status.licenses", "integer", "Licences of this pool", priority=1),
        Column("Waiting", ".status.waitingLicenses", "integer", "Licences that lack seats", priority=1),
        Column("Until", ".spec.validUntil", "string", "The last day on which it is valid", priority=1),
        Column("Suspended", ".spec.suspend", "string", "Whether it is suspended", priority=1),
    )

    kind: Literal["LicensePool"] = "LicensePool"
    spec: LicensePoolSpec
    status: LicensePoolStatus = LicensePoolStatus()

"""District: one source of school records.

Read by the reconciler of districts, which turns ``spec.source`` into a snapshot. Neighbours: ``common.py`` for the
pieces, ``learningapp.py`` for who receives the records.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field

from homeroom.api.common import (
    CaBundle,
    Column,
    Count,
    Digest,
    HoldingStatus,
    Interval,
    Model,
    Percent,
    Proxy,
    Resource,
    Rule,
    SecretReference,
    SourceGuards,
    SourceId,
    Text,
    Time,
    each_once,
)


def _known_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a directory of the zone database, like 'Europe'
        raise ValueError(f"must be a time zone of the IANA database like 'Europe/Amsterdam', not '{value}'") from None
    return value


TimeZone = Annotated[
    str,
    Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+){0,2}$"),
    AfterValidator(_known_zone),
]

_MINUTE, _HOUR, _DAY = "[0-5]?[0-9]", "([01]?[0-9]|2[0-3])", "(0?[1-9]|[12][0-9]|3[01])"
_MONTH = "(0?[1-9]|1[0-2]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)"
_WEEKDAY = "([0-7]|SUN|MON|TUE|WED|THU|FRI|SAT)"


def _cron_field(value: str) -> str:
    item = rf"(\*|{value}(-{value})?)(/[1-9][0-9]?)?"
    return rf"{item}(,{item})*"


CRON_PATTERN = "^" + " ".join(_cron_field(value) for value in (_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY)) + "$"
"""Minute, hour, day of month, month, day of week (0 and 7 are Sunday); lists, ranges, steps; names in capitals."""


def _comes_to_pass(value: str) -> str:
    try:
        CronSim(value, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:  # a pattern cannot compare numbers, nor does it know the calendar
        text = "must not have a range that runs backwards, like '17-8', nor a day that never comes, like '31 2'"
        raise ValueError(f"{text} ({error})") from None
    return value


Cron = Annotated[str, Field(min_length=9, max_length=100, pattern=CRON_PATTERN), AfterValidator(_comes_to_pass)]


SourceUrl = Annotated[
    str, Field(min_length=6, max_length=2048, pattern=r"^(https://[^\s/@?#]+([/?][^\s]*)?|file:[^\s]+)$")
]
"""`https://...` without credentials in it, or `file:path`."""


class OneRosterCSV(Model):
    """A OneRoster CSV export (1.1, 1.2 or 1.2.1), as a zip or a folder."""

    url: SourceUrl
    """Where the export lies: `https://...`, or `file:path` below the operator's `--file-root/<namespace>/`.
    Credentials must not be part of it."""
    secret_ref: SecretReference | None = None
    """Secret with `username` and `password` (basic) or `token` (bearer), if the server asks for them."""


M = TypeVar("M", bound=Model)

ExtensionColumn = Annotated[str, Field(min_length=10, max_length=128, pattern=r"^metadata\.[^\s,;]+$")]
"""A column that OneRoster leaves to the records system; its name begins with `metadata.`."""

PositionName = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\s,]([^,]*[^\s,])?$")]
"""A position as the records call it; a comma separates several of one person."""


class PositionRole(StrEnum):
    """OneRoster roles in a school that a position may stand for: those that lead into its staff room."""

    PRINCIPAL = "principal"
    SITE_ADMINISTRATOR = "siteAdministrator"
    TEACHER = "teacher"
    AIDE = "aide"
    COUNSELOR = "counselor"


def _once(field: str) -> AfterValidator:
    """For lists whose items are told apart by a field, whatever its letter case."""

    def check(items: tuple[M, ...]) -> tuple[M, ...]:
        names = Counter(str(getattr(item, field)).lower() for item in items)
        twice = sorted(name for name, count in names.items() if count > 1)
        if twice:
            raise ValueError(f"must not have a `{field}` twice, like '{twice[0]}' (letter case does not count)")
        return items

    return AfterValidator(check)


class Position(Model):
    """What one position means."""

    position: PositionName
    """As the records call it; compared without regard to case."""
    role: PositionRole
    """The OneRoster role in the person's school that it stands for."""


class Positions(Model):
    """A column that says what somebody is employed as, or may do, and what that means."""

    column: ExtensionColumn
    """Column of `users.csv`: one position, or several with commas between them."""
    roles: Annotated[
        tuple[Position, ...],
        _once("position"),
        Field(
            min_length=1,
            max_length=200,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["position"]},
        ),
    ]
    """The positions that mean a role; all others mean nothing."""


class Extensions(Model):
    """Columns beyond OneRoster that are read, and what they mean; see docs/extensions.md."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.actingHead) || !has(self.positions) || self.positions.all(p, p.column != self.actingHead)",
            "`actingHead` and `positions` must name different columns",
        ),
    )

    class_teacher: ExtensionColumn | None = None
    """Column of `classes.csv`: source ids of who is class teacher. Where it names somebody, nobody else is."""
    acting_head: ExtensionColumn | None = None
    """Column of `users.csv`, `true` or `false`: who leads their school for the time being."""
    positions: Annotated[
        tuple[Positions, ...],
        _once("column"),
        Field(
            max_length=8,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["column"]},
        ),
    ] = ()
    """What people are employed as, and what they may do in the records system."""

    @property
    def of_users(self) -> tuple[str, ...]:
        """The columns of `users.csv`."""
        return (*((self.acting_head,) if self.acting_head else ()), *(one.column for one in self.positions))

    @property
    def of_classes(self) -> tuple[str, ...]:
        """The columns of `classes.csv`."""
        return (self.class_teacher,) if self.class_teacher else ()


class SourceCSV(OneRosterCSV):
    """The OneRoster CSV export that is the source."""

    extensions: Extensions | None = None
    """Columns beyond OneRoster that are read. Of all others nothing is."""


class Source(Model):
    """Where the records come from: exactly one kind of source, and how to reach it."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("[has(self.oneRosterCSV)].filter(x, x).size() == 1", "must name exactly one source: `oneRosterCSV`"),
    )

    one_roster_csv: Annotated[SourceCSV | None, Field(alias="oneRosterCSV")] = None
    """A OneRoster CSV export."""
    proxy: Proxy | None = None
    """The proxy to go through."""
    ca_bundle: CaBundle | None = None
    """Certificates (PEM) to trust beside the system's, for servers with a private authority."""

    @property
    def extensions(self) -> Extensions | None:
        """Columns beyond OneRoster that are read; None: none are."""
        return self.one_roster_csv.extensions if self.one_roster_csv else None


class Allow(StrEnum):
    """What a supplement may add."""

    CLASSES = "Classes"
    """Courses and classes."""
    ENROLLMENTS = "Enrollments"
    """Places in classes, of teachers as well."""
    USERS = "Users"
    """People, and their roles in schools as far as no other word is needed for these."""
    ADMINS = "Admins"
    """Roles that lead to administration, and who is a class teacher."""
    GUARDIANS = "Guardians"
    """Guardians, and about whom they are."""
    LINKS = "Links"
    """Ids of people in other systems."""
    LESSONS = "Lessons"
    """Remote lessons of classes."""


class Supplement(Model):
    """A second, small OneRoster CSV package, which only adds what it is allowed to; see docs/supplements.md."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    """By what messages call it; unique among the supplements."""
    one_roster_csv: Annotated[OneRosterCSV, Field(alias="oneRosterCSV")]
    """Where it lies, as of the source; proxy and `caBundle` are those of the source."""
    interval: Interval
    """Time from one reading of it to the next."""
    allow: Annotated[
        tuple[Allow, ...],
        AfterValidator(each_once),
        Field(min_length=1, max_length=8, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ]
    """What of it counts."""


def _one_of_a_name(supplements: tuple[Supplement, ...]) -> tuple[Supplement, ...]:
    twice = sorted(name for name, count in Counter(each.name for each in supplements).items() if count > 1)
    if twice:
        raise ValueError(f"must not have a `name` twice, like '{twice[0]}'")
    return supplements


class HomeroomDefinition(Model):
    """Which classes count as homerooms: those with one of the class types or with one of the subjects."""

    class_types: Annotated[tuple[Text, ...], Field(max_length=16)] = ("homeroom",)
    """Values of OneRoster's `classType`; compared without regard to case."""
    subjects: Annotated[tuple[Text, ...], Field(max_length=64)] = ()
    """Values of OneRoster's `subjects`, for sources without the class type; compared without regard to case."""


class StudentKey(StrEnum):
    """The field of a person's record that never changes; its value in small letters is the column of the roster."""

    SOURCED_ID = "SourcedId"
    IDENTIFIER = "Identifier"
    USERNAME = "Username"


class IdentityLink(Model):
    """One human whose record has another id now, or a second record."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.from != self.to", "`from` and `to` must differ: a link says that the records use another id"),
    )

    from_: Annotated[SourceId, Field(alias="from")]
    """The id by which Homeroom goes on calling this human."""
    to: SourceId
    """The id that the records say now."""


class LinksFile(Model):
    """A list of links that is too long for the spec."""

    url: SourceUrl
    """Where the CSV file with the columns `from` and `to` lies: `https://...`, or `file:path` below the operator's
    `--file-root/<namespace>/`. Credentials must not be part of it."""
    sha256: Annotated[str, Field(min_length=64, max_length=64, pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the file as it was reviewed, in hex; a file with another one is refused."""
    secret_ref: SecretReference | None = None
    """Secret with `username` and `password` (basic) or `token` (bearer), if the server asks for them. Proxy and
    `caBundle` are those of the source."""


MAX_LINKS: Final = 1000
"""Links in the spec; a longer list has to be a file."""


def _one_human_per_record(links: tuple[IdentityLink, ...]) -> tuple[IdentityLink, ...]:
    twice = sorted(to for to, count in Counter(link.to for link in links).items() if count > 1)
    if twice:
        raise ValueError(f"must not have a `to` twice, like '{twice[0]}': a record is one human")
    return links


class Identity(Model):
    """Who is who when ids change; see docs/identity.md."""

    student_key: StudentKey = StudentKey.SOURCED_ID
    """What never changes for a student across the years: the id of the record (`SourcedId`), the `identifier`, or the
    user name. With one of the last two, an id that changes while it stays needs no link."""
    links: Annotated[
        tuple[IdentityLink, ...],
        AfterValidator(_one_human_per_record),
        Field(
            max_length=MAX_LINKS,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["to"]},
        ),
    ] = ()
    """Humans whose records have other ids now: they keep account, classes and work. All links apply at once."""
    links_from: LinksFile | None = None
    """More links, in a file."""


class SyncMode(StrEnum):
    """When the source is read."""

    SCHEDULE = "Schedule"
    INTERVAL = "Interval"


class Sync(Model):
    """When the source is read."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.mode == 'Schedule' ? has(self.schedule) && !has(self.interval) "
            ": has(self.interval) && !has(self.schedule)",
            "mode 'Schedule' needs `schedule` and no `interval`, mode 'Interval' needs `interval` and no `schedule`",
        ),
    )

    mode: SyncMode
    """`Schedule`: at the times of `schedule`. `Interval`: every `interval`."""
    schedule: Cron | None = None
    """Five fields of cron, in the district's time zone."""
    interval: Interval | None = None
    """Time from one reading to the next."""


class DenyScope(StrEnum):
    """From what somebody is kept away: `All` of the district's apps."""

    ALL = "All"


class Denied(Model):
    """Somebody who must be out at once: a court order, a dismissal."""

    person: SourceId
    """Source id of the person."""
    scope: DenyScope = DenyScope.ALL
    """From what: `All` apps of the district."""


class DistrictGuards(SourceGuards):
    """The same at the source, where ids are as well."""

    max_identity_changes: Percent = "25%"
    """Share of the people about whom it may be in question who they are; of more, nothing of the reading is served."""


class DistrictSpec(Model):
    """One source of school records."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.timeZone != 'Local' && timestamp('2000-01-01T00:00:00Z').getHours(self.timeZone) >= 0",
            "`timeZone` must be a time zone of the IANA database like 'Europe/Amsterdam'",
            offline=False,  # our CEL library has no time zones; TimeZone checks it instead
        ),
    )

    display_name: Text | None = None
    """The district's name, as people know it."""
    time_zone: TimeZone
    """The district's time zone (IANA); decides what "today" is for begin and end dates, and when a schedule runs."""
    contact: Text | None = None
    """Goes into messages that ask a person to act: a web address or a role mailbox, never a person."""
    source: Source
    """Where the records come from."""
    supplements: Annotated[
        tuple[Supplement, ...],
        AfterValidator(_one_of_a_name),
        Field(
            max_length=8,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
    """What the source does not carry, in further packages. The source wins, then the first in the list."""
    homeroom: HomeroomDefinition = HomeroomDefinition()
    """Which classes count as homerooms."""
    identity: Identity = Identity()
    """Who is who when ids change."""
    sync: Sync = Field(default_factory=lambda: Sync(mode=SyncMode.SCHEDULE, schedule="0 2 * * *"))
    """When the source is read; every night at two if nothing else is said."""
    deny: Annotated[
        tuple[Denied, ...],
        Field(
            max_length=1000,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["person"]},
        ),
    ] = ()
    """Who is out of all apps at once, above every guard and hold."""
    guard: DistrictGuards = DistrictGuards()
    """From where on what the records lose needs a person's word; until then it is served as it was."""
    suspend: bool = False
    """Nothing outside is read or written while this is true."""

    def denied(self) -> list[str]:
        """Ids of everybody who is denied, as Homeroom calls them: a link may say that two ids are one human."""
        named = {one.person for one in self.deny}
        return sorted(named | {link.from_ for link in self.identity.links if link.to in named})

    def day(self, moment: datetime) -> date:
        """The day that it is in the district at a moment."""
        return moment.astimezone(ZoneInfo(self.time_zone)).date()


class RecordCounts(Model):
    """Records that are served: those of the accepted reading, and those whose loss is held."""

    schools: Count = 0
    """Schools."""
    terms: Count = 0
    """Academic sessions."""
    courses: Count = 0
    """Courses."""
    classes: Count = 0
    """Classes."""
    students: Count = 0
    """People who are students."""
    teachers: Count = 0
    """People who are teachers."""
    staff: Count = 0
    """People with another role in a school."""
    enrollments: Count = 0
    """Enrolments of students and teachers in classes."""


class FindingCounts(Model):
    """What validation had to say, by how far it reaches."""

    run: Count = 0
    """Findings about the export as a whole."""
    record: Count = 0
    """Findings that quarantine a record."""
    value: Count = 0
    """Findings about one value; the record is kept."""


class SnapshotStatus(Model):
    """The accepted reading of the source."""

    digest: Digest
    """Digest of its content."""
    accepted_time: Time
    """When it was accepted; changes with the digest only."""
    served: Digest | None = None
    """Digest of what is served: another one while part of the reading is held."""
    counts: RecordCounts = RecordCounts()
    """Records that are served."""
    quarantined: Count = 0
    """Records that are invalid and count as their last accepted version."""
    findings: FindingCounts = FindingCounts()
    """Findings of the validation."""


class SupplementCounts(Model):
    """Records of a supplement that count."""

    courses: Count = 0
    """Courses."""
    classes: Count = 0
    """Classes."""
    people: Count = 0
    """People."""
    roles: Count = 0
    """Roles in schools."""
    enrollments: Count = 0
    """Enrolments of students and teachers in classes."""
    guardians: Count = 0
    """Pairs of a guardian and whom they are about."""
    links: Count = 0
    """People of the source with ids in other systems."""
    lessons: Count = 0
    """Remote lessons, those that are over as well."""


class SupplementStatus(Model):
    """The version of a supplement that counts."""

    name: Text
    """By what the spec calls it."""
    digest: Digest
    """Digest of its content."""
    accepted_time: Time
    """When this version was first read; changes with the digest only."""
    counts: SupplementCounts = SupplementCounts()
    """Records of it that count."""
    findings: FindingCounts = FindingCounts()
    """Findings about it."""


class DistrictStatus(HoldingStatus):
    """What is known about the records."""

    snapshot: SnapshotStatus | None = None
    """The accepted reading of the source, with its supplements."""
    supplements: Annotated[
        tuple[SupplementStatus, ...],
        Field(
            max_length=8,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
    """The supplements of which a version counts, in the order of the spec."""
    last_change_time: Time | None = None
    """When anything in this status last changed; never moves by itself."""


class District(Resource):
    """One source of school records: where they come from, when they are read, and what came of it."""

    plural: ClassVar[str] = "districts"
    short_names: ClassVar[tuple[str, ...]] = ("dist",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Schools", ".status.snapshot.counts.schools", "integer", "Schools served"),
        Column("Students", ".status.snapshot.counts.students", "integer", "Students served"),
        Column("Classes", ".status.snapshot.counts.classes", "integer", "Classes served", priority=1),
        Column(
            "Quarantined", ".status.snapshot.quarantined", "integer", "Invalid records kept at their last version", 1
        ),
        Column("Snapshot", ".status.snapshot.digest", "string", "Digest of the accepted snapshot", priority=1),
        Column("Suspended", ".spec.suspend", "string", "Whether reconciling is suspended", priority=1),
    )

    kind: Literal["District"] = "District"
    spec: DistrictSpec
    status: DistrictStatus = DistrictStatus()

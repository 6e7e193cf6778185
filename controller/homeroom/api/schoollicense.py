"""SchoolLicense: seats of a pool for one school unit.

A child of LicensePool (``licensepool.py``), whose reconciler writes its status. Its deletion revokes it: the one kind
whose deletion takes something away.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from homeroom.api.common import (
    Column,
    Count,
    Model,
    Name,
    Reference,
    Request,
    Resource,
    Rule,
    SecretReference,
    SourceId,
    Status,
    Text,
    Time,
)
from homeroom.api.licensepool import Seats, UnitCode


class PoolReference(Model):
    """A LicensePool, which may be in another namespace if it admits this one."""

    name: Name
    """Name of the LicensePool."""
    namespace: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] | None = (
        None
    )
    """Its namespace; without it that of the licence."""

    def seen_from(self, namespace: str) -> str:
        """Namespace and name of the pool that something in `namespace` names."""
        return f"{self.namespace or namespace}/{self.name}"


class Access(StrEnum):
    """How teachers are connected: all who teach a section of the school, or who enter the licence's key."""

    AUTOMATIC = "Automatic"
    KEY = "Key"


class Language(StrEnum):
    """The languages of letters and pages."""

    ENGLISH = "English"
    SWEDISH = "Swedish"
    DUTCH = "Dutch"
    RUSSIAN = "Russian"


class KeyDelivery(Model):
    """To whom the key of a licence is mailed."""

    contact_secret_ref: SecretReference
    """Secret with the addresses under `addresses`, one per line; only that Secret ever has them."""
    language: Language = Language.ENGLISH
    """The language of the mails."""


class UnitOverride(Model):
    """A school unit that the register lacks is right all the same."""

    name: Text
    """The unit's name."""
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    """Why, for those who ask later; no names of people."""


class SchoolLicenseSpec(Model):
    """How many seats of which pool, and for whom."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.poolRef == oldSelf.poolRef", "`poolRef` must not change; make a new SchoolLicense instead"),
        Rule("self.access != 'Automatic' || has(self.districtRef)", "`access: Automatic` needs `districtRef`"),
        Rule("self.access != 'Key' || has(self.districtRef)", "`access: Key` needs `districtRef`"),
        Rule("self.access == 'Key' || !has(self.deliverKeyTo)", "`deliverKeyTo` needs `access: Key`"),
    )

    pool_ref: PoolReference
    """The pool that the seats are of; cannot change, since another pool's seats are other seats."""
    school_unit: UnitCode
    """The code of the school unit in the pool's register; quote it, leading zeros count."""
    unit_override: UnitOverride | None = None
    """Says that a unit which the register lacks is right; without it such a licence gets nothing."""
    seats: Seats
    """How many seats are requested. Never fewer are granted than are in use."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Who is served first when seats fall free: higher ones, then older ones. It takes nothing from anybody."""
    access: Access
    """`Automatic`: every teacher of a section of the school is connected, and their students take seats. `Key`: only
    those are who entered the licence's key."""
    deliver_key_to: KeyDelivery | None = None
    """Mails the key, once to each address; without it somebody passes the key on by hand. For `access: Key`."""
    district_ref: Reference | None = None
    """The District whose records have the school."""
    school: SourceId | None = None
    """Source id of the school in these records; without it the school is that whose `identifier`, else whose source id,
    is the code of the unit."""


class KeyStatus(Model):
    """The key of a licence; never the key itself, nor an address."""

    secret: Name
    """Name of the Secret that has it, under `key`."""
    made_time: Time
    """When it became the licence's key."""
    sent: Count = 0
    """Addresses that it was mailed to."""
    refused: Count = 0
    """Declared addresses that mail servers do not take mail to."""
    waiting: Count = 0
    """Declared addresses that it could not be mailed to yet."""
    last_delivery_time: Time | None = None
    """When any of these counts changed last."""


class SchoolLicenseStatus(Status):
    """What was granted, and what comes of it."""

    unit_name: Text | None = None
    """The unit's name, by the register or by `spec.unitOverride`."""
    granted: Count = 0
    """Seats granted."""
    used: Count = 0
    """Students who hold one of them."""
    demand: Count = 0
    """Students who want a seat by this licence."""
    waiting_students: Count = 0
    """Students of these who have no seat of the pool at all."""
    active_students: Count | None = None
    """Students who hold one of its seats and are active; as it was when that was known last."""
    idle_seats: Count | None = None
    """Its seats whose holders are known not to have used them for the pool's `inactiveAfter`; as above."""
    connected_teachers: Count | None = None
    """Teachers connected by the key, for `access: Key`."""
    key: KeyStatus | None = None
    """The licence's key, for `access: Key`."""
    last_handled_rotate_key_at: Request | None = None
    """The value of the annotation `homeroom.dev/rotate-key-at` that was handled last."""


class SchoolLicense(Resource):
    """Seats of a LicensePool for one school unit. Deleting it revokes it: its students lose their seats."""

    plural: ClassVar[str] = "schoollicenses"
    short_names: ClassVar[tuple[str, ...]] = ("slic",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Unit", ".spec.schoolUnit", "string", "Code of the school unit"),
        Column("Name", ".status.unitName", "string", "Name of the school unit", priority=1),
        Column("Pool", ".spec.poolRef.name", "string", "The pool that the seats are of"),
        Column("Requested", ".spec.seats", "integer", "Seats requested"),
        Column("Granted", ".status.granted", "integer", "Seats granted"),
        Column("Used", ".status.used", "integer", "Students who hold a seat"),
        Column("Demand", ".status.demand", "integer", "Students who want a seat"),
        Column("Active", ".status.activeStudents", "integer", "Students who hold a seat and are active", priority=1),
        Column("Idle", ".status.idleSeats", "integer", "Seats that nobody has used for long", priority=1),
    )

    kind: Literal["SchoolLicense"] = "SchoolLicense"
    spec: SchoolLicenseSpec
    status: SchoolLicenseStatus = SchoolLicenseStatus()

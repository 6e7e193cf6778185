"""SchoolLicense: seats of a pool for one school unit.

A child of LicensePool (``licensepool.py``), whose reconciler writes its status. Its deletion revokes it: the one kind
whose deletion takes something away.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from homeroom.api.common import Column, Count, Model, Name, Reference, Resource, Rule, SourceId, Status, Text
from homeroom.api.licensepool import Seats, UnitCode


class PoolReference(Model):
    """A LicensePool, which may be in another namespace if it admits this one."""

    name: Name
    """Name of the LicensePool."""
    namespace: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] | None = (
        None
    )
    """Its namespace; without it that of the licence."""


class Access(StrEnum):
    """How teachers connect. `Automatic`: every teacher of a section of the school is connected."""

    AUTOMATIC = "Automatic"


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
    """`Automatic`: every teacher of a section of the school is connected, and their students take seats."""
    district_ref: Reference | None = None
    """The District whose records have the school."""
    school: SourceId | None = None
    """Source id of the school in these records; without it, it is the code of the unit."""


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
    )

    kind: Literal["SchoolLicense"] = "SchoolLicense"
    spec: SchoolLicenseSpec
    status: SchoolLicenseStatus = SchoolLicenseStatus()

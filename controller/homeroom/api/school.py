"""School: one row per school under ``kubectl get schools``.

Written by Homeroom only: the reconciler of schools makes one for each school of a District's snapshot, and rolls up how
the apps and the chats stand. People's records never appear here, only counts.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from homeroom.api.common import Column, Count, Model, Name, Reference, Resource, RootStatus, Rule, SourceId, Text, Time


class SchoolState(StrEnum):
    """How a school stands, from good to bad.

    All as it should be; on its way; held for a person; bought and not shared, or shared with no app; failing.
    """

    SYNCED = "Synced"
    PENDING = "Pending"
    HELD = "Held"
    NOT_SET_UP = "NotSetUp"
    ERROR = "Error"


class SchoolSpec(Model):
    """Which school of which district this is."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.districtRef == oldSelf.districtRef && self.sourcedId == oldSelf.sourcedId",
            "`districtRef` and `sourcedId` must not change",
        ),
    )

    district_ref: Reference
    """The District that the school belongs to."""
    sourced_id: SourceId
    """The school's id in the source."""
    display_name: Text | None = None
    """The school's name."""


class PeopleCounts(Model):
    """People and classes of one school."""

    students: Count = 0
    """Students."""
    teachers: Count = 0
    """Teachers."""
    sections: Count = 0
    """Classes."""
    administrators: Count = 0
    """Administrators of the school."""


class SchoolAppStatus(Model):
    """How one app stands in this school."""

    name: Name
    """Name of the LearningApp."""
    state: SchoolState
    """How it stands."""
    ready: PeopleCounts = PeopleCounts()
    """What the rules share of this school."""
    synced: PeopleCounts = PeopleCounts()
    """How much of it the app contains."""


class SchoolChatsStatus(Model):
    """How the chats of one policy stand in this school."""

    name: Name
    """Name of the ChatPolicy."""
    state: SchoolState
    """How they stand; never `NotSetUp`."""
    wanted: Count = 0
    """Chats that there should be."""
    there: Count = 0
    """Chats of these that there are."""
    joined: Count = 0
    """Members who are in their chats; who is in two counts twice."""
    unlinked: Count = 0
    """Members of whom no account is known, counted the same way."""


class SchoolStatus(RootStatus):
    """How all apps and chats stand in this school."""

    summary: SchoolState | None = None
    """The worst state of all apps and chats."""
    apps: Annotated[
        tuple[SchoolAppStatus, ...],
        Field(
            max_length=64,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
    """One entry per LearningApp that receives this school, or of which it was bought."""
    chats: Annotated[
        tuple[SchoolChatsStatus, ...],
        Field(
            max_length=64,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
    """One entry per ChatPolicy that wants chats in this school."""
    last_change_time: Time | None = None
    """When anything in this status last changed; never moves by itself."""


class School(Resource):
    """One school and how every app and its chats stand in it; made, updated and deleted by Homeroom only."""

    plural: ClassVar[str] = "schools"
    short_names: ClassVar[tuple[str, ...]] = ("sch",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("School", ".spec.displayName", "string", "The school's name"),
        Column("Summary", ".status.summary", "string", "The worst state of all apps and chats"),
        Column("App", ".status.apps[0].name", "string", "The first app by name; the next three are of it", priority=1),
        Column("Students", ".status.apps[0].synced.students", "integer", "Students that it contains", priority=1),
        Column("Teachers", ".status.apps[0].synced.teachers", "integer", "Teachers that it contains", priority=1),
        Column(
            "Administrators", ".status.apps[0].synced.administrators", "integer", "Administrators in it", priority=1
        ),
        Column("Chats", ".status.chats[0].there", "integer", "Chats of the first policy by name", priority=1),
        Column("District", ".spec.districtRef.name", "string", "The district of the school", priority=1),
        Column("ID", ".spec.sourcedId", "string", "The school's id in the source", priority=1),
    )

    kind: Literal["School"] = "School"
    spec: SchoolSpec
    status: SchoolStatus = SchoolStatus()

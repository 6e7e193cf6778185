"""Chat: one extra chat, declared by hand (R12, R18, R19): who is in it and who leads it stands in the resource.

Read by the reconciler that also works for ChatPolicies (``chatpolicy.py``), whose words it shares.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from homeroom.api.chatplatform import Accounts
from homeroom.api.chatpolicy import (
    ChatGuards,
    ChatPolicyStatus,
    ChatSettings,
    ChatSync,
    Deletion,
    Leave,
    Membership,
    Part,
)
from homeroom.api.common import Column, Model, Name, Reference, Resource, Rule, SourceId, Text, each_once
from homeroom.api.learningapp import FirstSync
from homeroom.api.schoollicense import Language

SourceIds = Annotated[
    tuple[SourceId, ...],
    AfterValidator(each_once),
    Field(max_length=1000, json_schema_extra={"x-kubernetes-list-type": "set"}),
]


class SchoolRole(StrEnum):
    """People of a school, as its records have them."""

    HEADS = "Heads"
    STAFF = "Staff"
    TEACHERS = "Teachers"
    STUDENTS = "Students"
    PARENTS = "Parents"


class Join(StrEnum):
    """Whether people come in by themselves."""

    CLOSED = "Closed"
    LINK = "Link"


class Admitted(StrEnum):
    """For whom a link is."""

    STAFF = "Staff"
    PARENTS = "Parents"
    STUDENTS = "Students"


class ChatLink(Model):
    """The link by which people come."""

    admits: Annotated[
        tuple[Admitted, ...],
        AfterValidator(each_once),
        Field(min_length=1, max_length=3, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ]
    """For whom of the District it is; whom a record calls a student is a student, whatever else they are."""
    edition: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Another number makes another link, and the old one is dead; who came by it stays."""


class RoleInSchool(Model):
    """Everybody with a role in a school."""

    role: SchoolRole
    """`Heads` lead the school; `Staff` are who is in its staff room; `Teachers`, `Students` and `Parents` are those of
    its classes."""
    school: SourceId
    """Source id of the school."""


class ChatMembers(Model):
    """Who is in the chat. Whoever is named in two ways is in it as long as one of them holds."""

    people: SourceIds = ()
    """Source ids of people."""
    classes: SourceIds = ()
    """Ids of classes, as `homeroom links` shows them: a section that begins another school year has another one."""
    parts: (
        Annotated[
            tuple[Part, ...],
            AfterValidator(each_once),
            Field(min_length=1, max_length=3, json_schema_extra={"x-kubernetes-list-type": "set"}),
        ]
        | None
    ) = None
    """Who of these classes; without it students and teachers, and parents only where it says so."""
    roles: Annotated[tuple[RoleInSchool, ...], Field(max_length=100)] = ()
    """Everybody with these roles in these schools."""


class ConfigMapKeyReference(Model):
    """A file in a ConfigMap in the same namespace, which has to carry the label `homeroom.dev/use: pictures`."""

    name: Name
    """Name of the ConfigMap."""
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """Name of the file, below `binaryData`."""


class Avatar(Model):
    """The picture with which the chat begins."""

    config_map_key_ref: ConfigMapKeyReference
    """Where it is: a PNG or JPEG of 256 KiB at most."""


class ChatSpec(Model):
    """One extra chat."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(!has(self.settings.invite) || self.settings.invite == 'Owner') &&"
            " (!has(self.settings.appoint) || self.settings.appoint == 'Owner')",
            "`settings.invite` and `settings.appoint` must be 'Owner': members and administrators stand in this "
            "resource, and who is brought in by hand is taken out",
        ),
        Rule(
            "!has(self.link) || (has(self.join) && self.join == 'Link')",
            "`link` goes with `join: Link` only",
        ),
        Rule(
            "self.districtRef == oldSelf.districtRef && self.platformRef == oldSelf.platformRef",
            "`districtRef` and `platformRef` must not change; make a new Chat instead",
        ),
    )

    district_ref: Reference
    """The District whose people are meant; cannot change."""
    platform_ref: Reference
    """The ChatPlatform on which the chat is; cannot change, as chats do not move."""
    name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
    """What it is called; another name is another name, and no other chat."""
    avatar: Avatar | None = None
    """Its picture, set once; another file is set once more. What people made of it meanwhile is theirs."""
    members: ChatMembers = ChatMembers()
    """Who is in it, beside those who lead it; it may be empty."""
    admins: SourceIds = ()
    """Source ids of those who lead it, who are in it, too. Nobody whom a record calls a student leads a chat."""
    join: Join = Join.CLOSED
    """`Closed`: nobody comes in by themselves; `Link`: whoever has linked an account may come by a link, and go."""
    link: ChatLink | None = None
    """With `join: Link`: for whom the link is, and which one; without it for staff."""
    settings: ChatSettings = ChatSettings()
    """Who may do what in it."""
    language: Language = Language.ENGLISH
    """Of what people are told in it."""
    membership: Membership = Membership.MANAGED
    """`Managed`: who has no reason to be in it is taken out; `AddOnly`: only who is denied or unlinked is."""
    leave: Leave = Leave.RESPECT
    """Who left by choice is left alone (`Respect`), or brought back (`Rejoin`)."""
    guard: ChatGuards = ChatGuards()
    """From where on changes need a person's word."""
    first_sync: FirstSync = FirstSync.REVIEW
    """`Review`: the chat is made after an Approval; `Automatic`: at once. Who leads it waits for one always."""
    deletion: Deletion = Deletion.RETAIN
    """When this resource is deleted the room stays as it is (`Retain`), or nobody can write in it any more, and who is
    in it can read on (`Archive`)."""
    sync: ChatSync = ChatSync()
    """When the chat is compared with the records."""
    protect: Accounts = ()
    """Accounts of support and bots that stay in it, beside those of the platform. Never a person's."""
    suspend: bool = False
    """Nothing outside is read or written while this is true."""


class ChatStatus(ChatPolicyStatus):
    """How the chat compares with the records."""

    link: Text | None = None
    """The last characters of the link by which people come; `homeroom links --reveal` has all of it."""


class Chat(Resource):
    """One extra chat on a ChatPlatform, with the people, classes and roles that are named here."""

    plural: ClassVar[str] = "chats"
    short_names: ClassVar[tuple[str, ...]] = ("xchat",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Platform", ".spec.platformRef.name", "string", "The platform on which the chat is"),
        Column("Joined", ".status.members.joined", "integer", "Members who are in it"),
        Column("Unlinked", ".status.members.unlinked", "integer", "Members of whom no account is known"),
        Column("Join", ".spec.join", "string", "Whether people come in by themselves", priority=1),
        Column("District", ".spec.districtRef.name", "string", "The district whose people are meant", priority=1),
        Column("Linked", ".status.members.linked", "integer", "Members who are not in it yet", priority=1),
        Column("Left", ".status.members.leftByChoice", "integer", "Members who went by themselves", priority=1),
        Column("Parked", ".status.members.parked", "integer", "Members who cannot come in now", priority=1),
        Column("Sync", ".spec.sync.mode", "string", "When it is compared with the records", priority=1),
        Column("Suspended", ".spec.suspend", "string", "Whether it is suspended", priority=1),
    )

    kind: Literal["Chat"] = "Chat"
    spec: ChatSpec
    status: ChatStatus = ChatStatus()

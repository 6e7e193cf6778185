"""ChatPolicy: which chats the schools of a district have on a ChatPlatform, and what may be done there.

Read by the reconciler of policies. The closed words of chats stand here, as resources and `homeroom.chats`, which
works out who belongs where, both speak them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field

from homeroom.api.chatplatform import Accounts
from homeroom.api.common import (
    Column,
    Count,
    Digest,
    Duration,
    HoldingStatus,
    Interval,
    Model,
    Percent,
    Reference,
    Resource,
    Rule,
    SourceId,
    Time,
    each_once,
)
from homeroom.api.learningapp import FirstSync, PlanStatus
from homeroom.api.schoollicense import Language


class ChatType(StrEnum):
    """The chats that follow from the records. A closed list: a class teacher sees exactly the first three (R8)."""

    STAFF_ROOM = "StaffRoom"  # the pedagogical staff of a school (R27)
    CLASS_STUDENTS = "ClassStudents"  # class teacher and students (R29)
    CLASS_PARENTS = "ClassParents"  # class teacher and those who are about the students (R28)
    SUBJECT = "Subject"  # one subject with its students, perhaps their parents, and its teacher (R14, R15)


class Part(StrEnum):
    """Who is in a subject chat (R16). Its teachers always are: they lead it."""

    STUDENTS = "Students"
    PARENTS = "Parents"
    TEACHERS = "Teachers"


class CreateOn(StrEnum):
    """When the chat of a subject comes to be (R14)."""

    FIRST_CALL = "FirstCall"  # somebody who teaches the class has started the call of a remote lesson
    FIRST_LESSON = "FirstLesson"  # a remote lesson of the class is known
    ENROLLMENT = "Enrollment"  # the class is there


class Allowed(StrEnum):
    """Who may do something in a chat. `Owner` is Homeroom's own account, hence nobody by hand."""

    OWNER = "Owner"
    ADMINISTRATORS = "Administrators"
    EVERYONE = "Everyone"


class Preset(StrEnum):
    """How the settings are declared; `Custom` names all eight."""

    CLOSED = "Closed"
    ORDINARY = "Ordinary"
    CUSTOM = "Custom"


class Membership(StrEnum):
    """Whether people are taken out. `AddOnly` still takes rights, and who is denied or unlinked."""

    MANAGED = "Managed"
    ADD_ONLY = "AddOnly"


class Leave(StrEnum):
    """What becomes of somebody who left by choice."""

    REJOIN = "Rejoin"
    RESPECT = "Respect"


class RollOver(StrEnum):
    """Which chat next year's class has. `homeroom.chats.rollover` says which class follows which."""

    NEW_CHAT_EACH_YEAR = "NewChatEachYear"
    FOLLOW_CLASS = "FollowClass"


class Deletion(StrEnum):
    """What becomes of a chat that ends. Nothing is ever purged."""

    RETAIN = "Retain"  # it stays as it is, with whom it had
    ARCHIVE = "Archive"  # nobody is left in it, and nobody can write


VARIABLES: Final[Mapping[ChatType, frozenset[str]]] = {
    ChatType.STAFF_ROOM: frozenset({"school"}),  # a staff room is of no year
    ChatType.CLASS_STUDENTS: frozenset({"school", "year", "class"}),
    ChatType.CLASS_PARENTS: frozenset({"school", "year", "class"}),
    ChatType.SUBJECT: frozenset({"school", "year", "class", "course"}),
}
"""What the template of a name may name. `{year}` is the school year as people write it: 2026/27."""
DISTINCT: Final = frozenset({"school", "class", "course"})
"""One of these has to be in it: by the year alone all chats would have one name."""


def _name_rule(of: ChatType) -> Rule:
    known = sorted(VARIABLES[of])
    telling = [name for name in known if name in DISTINCT]
    form = rf"^[^{{}}]*(\\{{({'|'.join(known)})\\}}[^{{}}]*)*$"
    needed = rf"\\{{({'|'.join(telling)})\\}}"
    return Rule(
        f"self.type != '{of}' || !has(self.name) || (self.name.matches('{form}') && self.name.matches('{needed}'))",
        f"`name` of type '{of}' may have {_listed(known)} in it, and needs one at least of {_listed(telling)}",
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)


class ChatOfType(Model):
    """The chats of one type: one per school, class or subject."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        *(_name_rule(of) for of in ChatType),
        Rule(
            "self.type == 'Subject' || !has(self.members)",
            "`members` goes with type 'Subject' only; who is in the others is fixed",
        ),
        Rule(
            "self.type == 'Subject' || !has(self.createOn)",
            "`createOn` goes with type 'Subject' only; the others are there with their school or class",
        ),
        Rule(
            "!has(self.members) || 'Teachers' in self.members",
            "`members` must have 'Teachers': they lead the chats of their subjects",
        ),
    )

    type: ChatType
    """`StaffRoom`: one per school; `ClassStudents`, `ClassParents`: one each per homeroom; `Subject`: one per other
    class."""
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """What they are called, with `{school}`, `{class}`, `{course}` and `{year}` as far as the type has them; without
    it as the language has it."""
    members: (
        Annotated[
            tuple[Part, ...],
            AfterValidator(each_once),
            Field(min_length=1, max_length=3, json_schema_extra={"x-kubernetes-list-type": "set"}),
        ]
        | None
    ) = None
    """For type `Subject`: who is in them, `Teachers` among them; without it students, parents and teachers."""
    create_on: CreateOn | None = None
    """For type `Subject`: when the chat of a class is made: with the first call of a remote lesson (`FirstCall`, also
    without this field), as soon as a remote lesson is known (`FirstLesson`), or with the class (`Enrollment`). What is
    there stays."""


def _each_type_once(chats: tuple[ChatOfType, ...]) -> tuple[ChatOfType, ...]:
    if len({chat.type for chat in chats}) < len(chats):
        raise ValueError("must not have a type twice")
    return chats


class SchoolKey(StrEnum):
    """The attribute that a term looks at."""

    SCHOOL = "school"


class SchoolOperator(StrEnum):
    """How a term compares."""

    IN = "In"
    NOT_IN = "NotIn"


class SchoolTerm(Model):
    """One condition on a school."""

    key: SchoolKey
    """The attribute to look at: the source id of the `school`."""
    operator: SchoolOperator
    """How to compare it."""
    values: Annotated[tuple[SourceId, ...], Field(min_length=1, max_length=1000)]
    """What to compare it with; one of them has to fit (for `NotIn`: none may)."""


_EIGHT: Final = ("invite", "editInfo", "pin", "mentionAll", "seeLink", "call", "appoint", "appearance")


class ChatSettings(Model):
    """The eight settings: who may do what in the chats, beside reading and writing."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            # The API server holds the default of `settings`, which is empty, against this before it fills in `preset`.
            f"has(self.preset) && self.preset == 'Custom' ? {' && '.join(f'has(self.{name})' for name in _EIGHT)}"
            f" : !({' || '.join(f'has(self.{name})' for name in _EIGHT)})",
            "preset 'Custom' needs all of " + ", ".join(f"`{name}`" for name in _EIGHT) + "; the others take none",
        ),
    )

    preset: Preset = Preset.CLOSED
    """`Closed`: all is Homeroom's; `Ordinary`: administrators of a chat edit, pin and mention all, everybody sees the
    link, calls and changes the appearance; `Custom`: as the fields below say."""
    invite: Allowed | None = None
    """Who may bring people in; must be `Owner`, as members come from the records."""
    edit_info: Allowed | None = None
    """Who may change the name, photo and topic; a name that is changed is put back."""
    pin: Allowed | None = None
    """Who may pin messages."""
    mention_all: Allowed | None = None
    """Who may mention everybody at once."""
    see_link: Allowed | None = None
    """Who may see the link of the chat."""
    call: Allowed | None = None
    """Who may start a call."""
    appoint: Allowed | None = None
    """Who may make others administrators; must be `Owner`, as they come from the records."""
    appearance: Allowed | None = None
    """Who may change how the chat looks."""


UrlTemplate = Annotated[
    str,
    Field(min_length=15, max_length=500, pattern=r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?/[^\s{}@]*\{call\}[^\s{}@]*$"),
]


class Calls(Model):
    """What people are told of the call of a remote lesson."""

    url_template: UrlTemplate
    """Where calls are: `https`, with `{call}` once behind the name of the server; in its place comes a random word that
    no other call has."""


class ChatGuards(Model):
    """From where on changes need a person's word, see `docs/holds.md`."""

    max_removals: Percent = "25%"
    """Share of a chat, and of all members in a school or district, that may go within a week."""
    max_additions: Percent = "25%"
    """By how much an edit of this policy may let the members of a school grow."""
    ignore_below: Annotated[int, Field(ge=1, le=1000)] = 5
    """Fewer changes than this need nobody's word, unless they are the last ones of a chat or school."""


class LinkedLimits(Model):
    """How many of those who belong into chats should be linked, in percent, for each type of chats."""

    warn: Percent
    """Below this the condition `Linked` is False, with reason `FewLinked`."""
    critical: Percent | None = None
    """Below this its reason is `TooFewLinked`."""


class ChatLimits(Model):
    """What is told as a condition when it falls below a limit. Nothing else follows from it."""

    linked: LinkedLimits
    """People with a linked account, of all who belong into chats of one type; of each type apart."""


class ChatSyncMode(StrEnum):
    """When chats are compared with the records."""

    INTERVAL = "Interval"
    CONTINUOUS = "Continuous"


class ChatSync(Model):
    """When chats are compared with the records."""

    mode: ChatSyncMode = ChatSyncMode.INTERVAL
    """`Interval`: every `interval`, and when records or links change; `Continuous`: also within seconds of what
    somebody changes in a chat."""
    interval: Interval = Duration.parse("30m")
    """Time from one complete comparison to the next, with some jitter."""


class ChatPolicySpec(Model):
    """Which chats the schools of a district have, and what may be done there."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(!has(self.settings.invite) || self.settings.invite == 'Owner') &&"
            " (!has(self.settings.appoint) || self.settings.appoint == 'Owner')",
            "`settings.invite` and `settings.appoint` must be 'Owner': members and administrators come from the "
            "records, and who is brought in by hand is taken out",
        ),
        Rule(
            "self.districtRef == oldSelf.districtRef && self.platformRef == oldSelf.platformRef",
            "`districtRef` and `platformRef` must not change; make a new ChatPolicy instead",
        ),
    )

    district_ref: Reference
    """The District whose records say who is in which chat; cannot change."""
    platform_ref: Reference
    """The ChatPlatform on which the chats are; cannot change, as chats do not move."""
    match: Annotated[tuple[SchoolTerm, ...], Field(max_length=16)] = ()
    """Which schools have these chats; all conditions have to hold, and without one all schools of the district have
    them. No two policies may be about one school and type of chats on one platform: there only the older works."""
    language: Language = Language.ENGLISH
    """Of names that are not declared, and of what people are told in the chats."""
    chats: Annotated[
        tuple[ChatOfType, ...],
        AfterValidator(_each_type_once),
        Field(
            min_length=1,
            max_length=4,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ]
    """Which types of chats there are."""
    settings: ChatSettings = ChatSettings()
    """Who may do what in these chats."""
    membership: Membership = Membership.MANAGED
    """`Managed`: who has no reason to be in a chat is taken out; `AddOnly`: only who is denied or unlinked is."""
    leave: Leave = Leave.REJOIN
    """Who left by choice is brought back (`Rejoin`), or left alone (`Respect`)."""
    roll_over: RollOver = RollOver.NEW_CHAT_EACH_YEAR
    """`NewChatEachYear`: a class gets new chats each school year; `FollowClass`: the chats go on with most of their
    students."""
    calls: Calls | None = None
    """Where the calls of remote lessons are: who is in the chat of the subject is sent there. Without it people call
    with their own program, if `settings.call` lets them."""
    guard: ChatGuards = ChatGuards()
    """From where on changes need a person's word."""
    limits: ChatLimits | None = None
    """What is told as a condition when it falls below a limit; where nothing is said, nothing is."""
    deletion: Deletion = Deletion.RETAIN
    """A chat whose class is over or gone stays as it is (`Retain`), or is emptied and closed (`Archive`)."""
    first_sync: FirstSync = FirstSync.REVIEW
    """`Review`: the first chats of a school wait for an Approval; `Automatic`: they do not."""
    sync: ChatSync = ChatSync()
    """When chats are compared with the records."""
    protect: Accounts = ()
    """Accounts of support and bots that stay in these chats, beside those of the platform. Never a person's."""
    suspend: bool = False
    """Nothing outside is read or written while this is true."""

    def schools(self) -> tuple[frozenset[str] | None, frozenset[str]]:
        """Source ids of the schools that `match` lets in, None for all, and of those that it keeps out of them."""
        wanted: frozenset[str] | None = None
        refused: frozenset[str] = frozenset()
        for term in self.match:
            if term.operator is SchoolOperator.NOT_IN:
                refused |= set(term.values)
            else:
                wanted = frozenset(term.values) if wanted is None else wanted & set(term.values)
        return (wanted, refused) if wanted is None else (wanted - refused, frozenset())

    def overlaps(self, other: ChatPolicySpec) -> bool:
        """Whether both are about one type of chats in one school on one platform, as far as records need not be asked.

        Two that are both about "all but some" overlap: a school may come that neither names.
        """
        if (self.district_ref, self.platform_ref) != (other.district_ref, other.platform_ref):
            return False
        if not {chat.type for chat in self.chats} & {chat.type for chat in other.chats}:
            return False
        (mine, not_mine), (theirs, not_theirs) = self.schools(), other.schools()
        if mine is not None and theirs is not None:
            return bool(mine & theirs)
        named, refused = (mine, not_theirs) if mine is not None else (theirs, not_mine)
        return named is None or bool(named - refused)


class ChatCounts(Model):
    """Chats of this policy."""

    wanted: Count = 0
    """How many there should be."""
    there: Count = 0
    """How many of them there are."""


class MemberCounts(Model):
    """Where everybody with a reason to be in a chat stands; who is in two chats counts twice."""

    joined: Count = 0
    """In the chat."""
    invited: Count = 0
    """Asked in, and not there yet."""
    linked: Count = 0
    """Their account is known, and they are not in the chat yet."""
    unlinked: Count = 0
    """No account of theirs is known."""
    left_by_choice: Count = 0
    """Went by themselves."""
    parked: Count = 0
    """With an account that cannot come in now, or that two people claim."""


class ChatPolicyStatus(HoldingStatus):
    """How the chats compare with the records."""

    snapshot_digest: Digest | None = None
    """The snapshot of the District that was compared last."""
    chats: ChatCounts | None = None
    """Chats."""
    members: MemberCounts | None = None
    """Members, by state."""
    plan: PlanStatus | None = None
    """What the last complete comparison wanted to change."""
    last_change_time: Time | None = None
    """When anything in this status last changed; never moves by itself."""


class ChatPolicy(Resource):
    """Which chats the schools of a district have on a ChatPlatform; who is in them comes from the records."""

    plural: ClassVar[str] = "chatpolicies"
    short_names: ClassVar[tuple[str, ...]] = ("cpol",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("Platform", ".spec.platformRef.name", "string", "The platform on which the chats are"),
        Column("Chats", ".status.chats.there", "integer", "Chats that there are"),
        Column("Joined", ".status.members.joined", "integer", "Members who are in their chats"),
        Column("Unlinked", ".status.members.unlinked", "integer", "Members of whom no account is known"),
        Column("District", ".spec.districtRef.name", "string", "The district whose records count", priority=1),
        Column("Wanted", ".status.chats.wanted", "integer", "Chats that there should be", priority=1),
        Column("Linked", ".status.members.linked", "integer", "Members who are not in their chats yet", priority=1),
        Column("Left", ".status.members.leftByChoice", "integer", "Members who went by themselves", priority=1),
        Column("Parked", ".status.members.parked", "integer", "Members who cannot come in now", priority=1),
        Column("Sync", ".spec.sync.mode", "string", "When chats are compared with the records", priority=1),
        Column("Suspended", ".spec.suspend", "string", "Whether it is suspended", priority=1),
    )

    kind: Literal["ChatPolicy"] = "ChatPolicy"
    spec: ChatPolicySpec
    status: ChatPolicyStatus = ChatPolicyStatus()

    @property
    def age(self) -> tuple[float, str]:
        """The older of two has the smaller one; Kubernetes knows whole seconds, so the name decides as well."""
        made = self.metadata.creation_timestamp
        return (made.timestamp() if made is not None else 0.0, self.metadata.name)

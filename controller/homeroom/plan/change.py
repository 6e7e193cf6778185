"""The words of a plan, and one change as the hands that apply it see it.

A plan is a frame (`homeroom.plan.plan`); only the small batch that is being applied becomes objects. All keys are
source ids; external ids are the target's own. No names are needed to remove anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What is changed. The order of members is the order of creation (parents first)."""

    SCHOOL = "School"
    PERSON = "Person"  # an account of one person in one school: a target may hold one per school
    CLASS = "Class"
    CHAT = "Chat"
    MEMBERSHIP = "Membership"  # of a person in a class, or of an account in a chat
    RIGHT = "Right"  # administrator of a school, or of a chat


PERSONAL: Final = (Kind.PERSON.value, Kind.MEMBERSHIP.value, Kind.RIGHT.value)
"""Kinds whose `key` is the source id of a person, in chats the account."""

PLACES: Final = (Kind.CLASS.value, Kind.CHAT.value)
"""Kinds whose `key` is the `class_key` of those who are in it."""


class Op(StrEnum):
    """What is done to it. `Update` also renames; `Restore` gives a suspended person or archived class back.

    `Adopt` makes ours what people, or another owner, had made: the object stays what it is.
    """

    CREATE = "Create"
    ADOPT = "Adopt"  # `external_id` says what; of memberships and rights that come with it, it is only noted
    RESTORE = "Restore"
    UPDATE = "Update"
    REMOVE = "Remove"  # memberships and rights only
    ARCHIVE = "Archive"  # classes and chats only
    SUSPEND = "Suspend"  # persons only

    @property
    def symbol(self) -> str:
        """One character for the eye; never used in a decision."""
        symbols = {"Create": "+", "Adopt": "=", "Restore": "^", "Update": "~"}
        return symbols.get(self.value, "-")


COMING: Final = (Op.CREATE.value, Op.ADOPT.value, Op.RESTORE.value)
"""Operations after which there is more that is ours."""
LEAVING: Final = (Op.REMOVE.value, Op.ARCHIVE.value, Op.SUSPEND.value)
"""Operations after which somebody has less."""


class Role(StrEnum):
    """The part that a person plays in a class, or in a school (`Administrator`, kind `Right` only)."""

    LEARNER = "Learner"
    COACH = "Coach"
    ADMINISTRATOR = "Administrator"


class Cause(StrEnum):
    """Why a change is planned (DESIGN.md invariant 12). A closed list; the journal keeps it for ever."""

    SOURCE_ADDED = "SourceAdded"  # the records gained it since the last applied plan
    SOURCE_CHANGED = "SourceChanged"  # the records changed a field of it
    LEFT_SOURCE = "LeftSource"  # the records no longer have it
    MOVED = "Moved"  # the same, and the person gets another place of the same kind in the same plan
    ID_CHANGED = "IdChanged"  # somebody leaves and somebody arrives in one school under one name: perhaps one human
    TERM_ENDED = "TermEnded"  # the records have it, and its dates are over
    ROLLED_OVER = "RolledOver"  # the same, and the whole school year is over
    DENIED = "Denied"  # `spec.deny` of the district puts this person out at once
    SHARING_CHANGED = "SharingChanged"  # an edit of the rules in Git brought it in, or put it out
    SPEC_CHANGED = "SpecChanged"  # an edit of the app in Git asks for it
    SEATS_CHANGED = "SeatsChanged"  # whoever was given a seat of the app's pool, or connected to it, or is so no more
    SEAT_RECLAIMED = "SeatReclaimed"  # the student did not use the seat, and it was given to somebody who waited
    LICENCE_REVOKED = "LicenceRevoked"  # no licence of the app's pool connects the teacher since one was revoked
    NAMESPACE_DELETED = "NamespaceDeleted"  # of a licence: it goes, though a hold keeps what it gave
    LINKED = "Linked"  # somebody with a reason to be in a chat has said which account is theirs
    UNLINKED = "Unlinked"  # and has taken that back: out at once
    DRIFT = "Drift"  # somebody changed in the target what we had applied: put back
    INTRUDER = "Intruder"  # somebody is in a managed class or school role and never had a reason: out
    FIRST_SYNC = "FirstSync"  # nothing was ever applied to this app
    ADOPTION = "Adoption"  # `spec.adoption` takes it over, or it is in a class that is taken over and is not wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row of a plan, for `Target.apply`. Which fields are set depends on the kind.

    ==========  ============  ===========  =========  =======================================
    kind        key           class_key    role       fields used on Create, Adopt, Update, Restore
    ==========  ============  ===========  =========  =======================================
    School      school id     -            -          name
    Person      person id     -            -          name, username (wished), staff
    Class       class id      -            -          name
    Membership  person id     class id     L. or C.   -
    Right       person id     -            Admin.     -
    Chat        chat key      -            -          name (settings and the rest: `homeroom.chats.state.Chat`)
    Membership  account       chat key     -          -
    Right       account       chat key     Admin.     -
    ==========  ============  ===========  =========  =======================================
    """

    seq: int  # position in the plan; unique within it
    op: Op
    kind: Kind
    school: str  # source id of the school in which it happens
    key: str
    class_key: str | None = None
    role: Role | None = None
    name: str | None = None
    username: str | None = None
    staff: bool = False
    external_id: str | None = None  # of the object itself, where it exists already
    cause: Cause = Cause.SOURCE_ADDED
    hold: str | None = None  # id of the hold that an approval released it from


class Result(StrEnum):
    """How one change went."""

    APPLIED = "Applied"
    FAILED = "Failed"  # the target said no to this one; the next run plans it again, with back-off
    PARKED = "Parked"  # of chats: the account cannot come in anywhere now; tried again later, and nobody else waits
    SKIPPED = "Skipped"  # something it depends on failed, or ownership did not hold when applying


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the change with the same `seq`."""

    seq: int
    result: Result
    external_id: str | None = None  # set for everything created or found
    username: str | None = None  # the user name that a Person really got; reserved for ever
    error: str | None = None  # plain words with no personal data; the target's own error code where it has one

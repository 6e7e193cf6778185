"""The closed catalogue of reasons: every word that a condition or an event may carry, what it means, what to do.

A reason is API for ever: dashboards and alerts match on it. The page of each kind in ``docs/resources/`` lists those
that it uses. `homeroom.errors` carries them from where something went wrong to the condition.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """One word, with what it `means` and what `todo` is left for a person (empty: nothing)."""

    means: str
    todo: str

    def __new__(cls, value: str, means: str, todo: str = "") -> Self:
        """Make a member that is its word and knows its text."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.means = means
        member.todo = todo
        return member

    @classmethod
    def of(cls, word: str) -> Self:
        """The reason that an error carries as a word."""
        return next(reason for reason in cls if reason.value == word)

    # How a run stands
    SUCCEEDED = "Succeeded", "everything is as declared"
    PROGRESSING = "Progressing", "a run is under way"
    PROGRESSING_WITH_RETRY = "ProgressingWithRetry", "the last run failed and will be tried again"
    SUSPENDED = (
        "Suspended",
        "`spec.suspend` is true: nothing outside is read or written",
        "set `spec.suspend` to false to go on",
    )
    DELETING = "Deleting", "the resource is being deleted and its clean-up is under way"
    ORPHANED = (
        "Orphaned",
        "the clean-up was not possible for ten minutes; the resource is gone, what is outside was left as it is",
        "clean up in the target by hand, if it matters",
    )

    # What is declared
    INVALID_SPEC = "InvalidSpec", "the resource says something impossible", "correct the field that the message names"
    DEPENDENCY_NOT_READY = (
        "DependencyNotReady",
        "a resource that this one needs is missing or not ready; it goes on by itself when that changes",
        "create or repair the resource that the message names",
    )
    NO_SHARING_RULES = (
        "NoSharingRules",
        "no SharingRule names this app: nothing is shared and nothing is removed",
        "create a SharingRule",
    )
    WITHIN_SUBSCRIPTION = "WithinSubscription", "what is shared was bought, or is within the buffer"
    SUBSCRIPTION_EXCEEDED = (
        "SubscriptionExceeded",
        "more students or teachers are shared than were bought, beyond the buffer; nobody is removed because of it",
        "buy more, or narrow the rules; `homeroom shared` shows both side by side",
    )
    NOT_SUBSCRIBED = (
        "NotSubscribed",
        "schools or grades are shared that were not bought; nothing is removed because of it",
        "buy them, or narrow the rules; the message names them",
    )

    WAITING_FOR_ROSTER = (
        "WaitingForRoster",
        "the District has not accepted any records yet: there are no chats before that, and none is changed",
        "see the District",
    )
    CONFLICT = (
        "Conflict",
        "an older ChatPolicy is about the same types of chats in some of the schools: those are left to it",
        "narrow `spec.match` or `spec.chats` of one of the two",
    )

    STUDENT_ADMINISTRATOR = (
        "StudentAdministrator",
        "somebody in `spec.admins` of a Chat is a student by some record: they are in the chat, and do not lead it",
        "take them out of `spec.admins`; the message names them",
    )

    # Approvals
    RELEASED = "Released", "the hold is released, and what was still planned of it is done"
    HOLD_UNKNOWN = (
        "HoldUnknown",
        "the resource has no hold with this id",
        "compare the id with `status.holds` of the resource",
    )
    HOLD_GONE = "HoldGone", "nothing of the hold is planned any more, so there is nothing to release"
    HOLD_EXPIRED = (
        "HoldExpired",
        "the hold was not approved within 14 days, and its changes have a new id",
        "look again, and approve the new id",
    )
    HOLD_USED = "HoldUsed", "another Approval has released this hold; a hold is released once"

    # The cluster
    KIND_NOT_SERVED = (
        "KindNotServed",
        "the API server does not serve or not completely list a kind that the run has to read",
        "install the CRDs of this release",
    )
    FORBIDDEN = (
        "Forbidden",
        "the operator lacks a permission in the cluster",
        "apply the RBAC of `manifests/`, for a tenant also the component for its namespace",
    )
    API_UNAVAILABLE = (
        "ApiUnavailable",
        "the Kubernetes API server cannot be reached or is overloaded; it is tried again",
    )
    API_CONFLICT = "ApiConflict", "somebody else changed the same object at the same moment; it is tried again"
    API_REJECTED = (
        "ApiRejected",
        "the Kubernetes API server refused what Homeroom wrote",
        "compare the versions of CRDs and operator; if they agree, report a bug",
    )
    SECRET_NOT_FOUND = "SecretNotFound", "the Secret does not exist, or a key is missing in it", "create or complete it"
    SECRET_NOT_LABELLED = (
        "SecretNotLabelled",
        "the Secret does not carry the label `homeroom.dev/use: credentials`",
        "label the Secret, if Homeroom may read it",
    )
    CLOCK_JUMPED = (
        "ClockJumped",
        "the clock went back behind the journal, or forward by more than 14 days: nothing is removed because of time",
        "check the clock of the node",
    )

    # The source
    SOURCE_UNAVAILABLE = "SourceUnavailable", "the source cannot be reached or answers with errors", "`homeroom check`"
    SOURCE_REFUSED = (
        "SourceRefused",
        "the address of the source is one that Homeroom must not read",
        "use an address outside the node and the cluster, or a file below `--file-root`",
    )
    SOURCE_INCOMPLETE = (
        "SourceIncomplete",
        "the reading did not prove complete: a missing file, a truncated archive; the last snapshot stays",
        "have the export made again",
    )
    SOURCE_INVALID = (
        "SourceInvalid",
        "the records cannot be used as a whole; the last snapshot stays",
        "see the findings: `homeroom validate`",
    )
    DELTA_NOT_SUPPORTED = (
        "DeltaNotSupported",
        "the export holds changes only (delta); Homeroom reads complete ones (bulk)",
        "switch the export to bulk",
    )
    SNAPSHOT_BROKEN = (
        "SnapshotBroken",
        "the stored snapshot is missing or damaged; the source is read again",
    )
    RECORDS_QUARANTINED = (
        "RecordsQuarantined",
        "some records are invalid and count as their last accepted version",
        "correct them in the source; `homeroom validate` lists them",
    )

    SUPPLEMENT_STALE = (
        "SupplementStale",
        "a supplement could not be read, or not proven complete; its last version counts, if there is one",
        "`homeroom check`, or have the package made again; the message says what is wrong",
    )
    IDENTITY_IN_QUESTION = (
        "IdentityInQuestion",
        "some ids changed, collide or mean another human: these people stand still both ways",
        "link them, correct them in the source, or approve: `docs/identity.md`; `homeroom identities --ids` lists them",
    )

    # The target
    TARGET_UNAVAILABLE = "TargetUnavailable", "the target cannot be reached or answers with errors", "`homeroom check`"
    TARGET_INCOMPLETE = (
        "TargetIncomplete",
        "the target did not prove that it answered in full: nothing is removed because of it",
    )
    TARGET_REFUSED = "TargetRefused", "the target refused a change for good", "see the message"
    SOME_CHANGES_FAILED = (
        "SomeChangesFailed",
        "most changes were made, some were refused by the target; they are tried again",
        "`homeroom plan` names them",
    )
    CREDENTIALS_INVALID = (
        "CredentialsInvalid",
        "the source or target does not accept the credentials, or they lack a right",
        "correct the Secret; `homeroom check` tells which hop",
    )
    OWNED_ELSEWHERE = (
        "OwnedElsewhere",
        "the target carries the mark of another owner: nothing is written",
        "let one owner manage it, or take it over: docs/adoption.md",
    )
    IDENTITY_CONFLICT = (
        "IdentityConflict",
        "a person is claimed by two accounts of the target, or an account's mark and id disagree: they stand still",
        "`homeroom plan` names them; correct the account in the target",
    )
    ADOPTION_UNCLEAR = (
        "AdoptionUnclear",
        "people, classes or schools that may be taken over match several, or may not be taken over: they stand still",
        "`homeroom plan` names them; give them the right number or name in the target",
    )
    HELD_FOR_APPROVAL = (
        "HeldForApproval",
        "guards stopped changes that look wrong, or that somebody has to see first; all others are made",
        "`homeroom plan --hold ID` shows them, `homeroom approve ID` writes the Approval to commit",
    )
    BASELINE_LOST = (
        "BaselineLost",
        "the store is empty, and the target carries our marks: nothing is removed, what comes is a first sync again",
        "restore the store's backup if there is one; else approve the first syncs",
    )
    BASELINE_BROKEN = (
        "BaselineBroken",
        "the files of what was applied last are missing beside the database: nothing is done",
        "mount the data directory that belongs to the database, or restore both from one back-up",
    )
    RULES_SETTLING = (
        "RulesSettling",
        "the sharing rules changed a moment ago: nothing is done before they have stood still for a minute",
    )
    STAFFED = "Staffed", "every class with students has a teacher"
    UNSTAFFED = (
        "Unstaffed",
        "classes have students and no teacher: theirs left, and stayed for 7 days, or there was none",
        "correct the records; `homeroom plan --details` names the classes",
    )
    DRIFT_REPAIRED = "DriftRepaired", "what somebody changed in the target by hand was put right"
    FLAPPING = (
        "Flapping",
        "somebody changes the same things in chats again and again: they are put right more slowly; strangers still go",
        "`homeroom history` shows what; find out who or which program does that",
    )
    CAPABILITY_MISSING = (
        "CapabilityMissing",
        "the target cannot do everything that is declared; the documented fallback is used",
        "see the message",
    )
    ROSTER_FRESH = "RosterFresh", "the records are as new as the District wants them"
    ROSTER_STALE = (
        "RosterStale",
        "the records are older than the District wants them: people are added by them, and nobody is removed",
        "see the District",
    )
    ENOUGH_LINKED = "EnoughLinked", "of those who belong into chats at least the declared share is linked"
    FEW_LINKED = (
        "FewLinked",
        "of those who belong into chats of some type fewer are linked than `limits` wants",
        "hand out letters to those who are missing: `homeroom letters`",
    )
    TOO_FEW_LINKED = (
        "TooFewLinked",
        "of those who belong into chats of some type fewer are linked than the critical limit",
        "hand out letters to those who are missing: `homeroom letters`",
    )
    CAPABILITIES_MET = "CapabilitiesMet", "the target can do everything that is declared"

    AVATAR_SET = "AvatarSet", "the declared picture was set in the chat; what people made of it since is theirs"
    AVATAR_NOT_FOUND = (
        "AvatarNotFound",
        "the ConfigMap of the declared picture is not there, not labelled `homeroom.dev/use: pictures`, or incomplete",
        "create, label or complete it",
    )
    AVATAR_UNUSABLE = (
        "AvatarUnusable",
        "the declared picture is too large, or neither PNG nor JPEG",
        "put another file into the ConfigMap",
    )

    SEATS_KNOWN = "SeatsKnown", "it is known who holds a seat of the pool; nobody else is provisioned"
    SEATS_UNKNOWN = (
        "SeatsUnknown",
        "nobody can say who holds a seat by the records in use: whoever was there stays, and nobody new comes",
        "see the LicensePool; after a new reading it takes a moment",
    )

    # Seats: exactly one of these on every SchoolLicense, the first that fits in this order (docs/seats.md)
    REVOKING = "Revoking", "the licence is being deleted, and it is not yet certain that nobody uses it any more"
    POOL_NOT_FOUND = (
        "PoolNotFound",
        "the pool does not exist: seats that were granted are kept, none are given",
        "create the LicensePool, or correct `spec.poolRef`",
    )
    NOT_ALLOWED_BY_POOL = (
        "NotAllowedByPool",
        "the pool does not admit licences of this namespace: none are given",
        "change `spec.allowedNamespaces` of the pool, or `spec.poolRef`",
    )
    DUPLICATE_CLAIM = (
        "DuplicateClaim",
        "the pool admits one licence per school unit, and another one stands for this unit",
        "remove one of the two",
    )
    SCHOOL_UNIT_UNKNOWN = (
        "SchoolUnitUnknown",
        "the register does not know the school unit: none are given",
        "correct the code; `homeroom units` finds it",
    )
    SCHOOL_UNIT_CLOSED = (
        "SchoolUnitClosed",
        "the register says that the school unit is closed: seats that were granted are kept, none are given",
        "remove the licence, or move it to the unit that took over",
    )
    POOL_EXPIRED = (
        "PoolExpired",
        "the pool is past `spec.validUntil`: seats that were granted are kept, none are given",
        "prolong the pool",
    )
    POOL_SUSPENDED = (
        "PoolSuspended",
        "the pool is suspended: seats that were granted are kept, none are given",
        "set `spec.suspend` of the pool to false",
    )
    BELOW_USAGE = (
        "BelowUsage",
        "fewer seats are requested than are in use: those in use are kept, and the licence shrinks as they fall free",
        "request at least what is in use, or wait",
    )
    EXCEEDS_POOL = (
        "ExceedsPool",
        "more seats are requested than the whole pool has: what was granted is kept, and nobody has to wait for it",
        "request less, or buy more",
    )
    WAITING_FOR_SEATS = (
        "WaitingForSeats",
        "the pool has that many seats, and not enough of them are free; it goes on by itself when they are",
        "shrink or remove other licences of the pool, or buy more",
    )
    GRANTED = "Granted", "all requested seats are granted"
    OVER_ALLOCATED = (
        "OverAllocated",
        "more seats are in use than the pool has: nobody loses one, none are given",
        "buy more, or wait until use drops",
    )

    # The school unit of a licence, and its students
    REGISTER_READ = "RegisterRead", "the register of school units was read"
    REGISTER_STALE = (
        "RegisterStale",
        "the register of school units cannot be read now, or not be believed: the list that it gave last is used",
        "wait, or see the message; it is asked again every hour",
    )
    REGISTER_UNAVAILABLE = (
        "RegisterUnavailable",
        "there is no list of school units: licences get no seats, and lose none",
        "see the message; it is asked again by itself",
    )
    UNIT_RESOLVED = "UnitResolved", "the register knows the school unit"
    UNIT_OVERRIDDEN = (
        "UnitOverridden",
        "the register does not know the school unit, and `spec.unitOverride` says that it is right all the same",
        "have the register corrected, then take the override away",
    )
    SCHOOL_NOT_FOUND = (
        "SchoolNotFound",
        "the records have no such school: who holds a seat keeps it, nobody new gets one",
        "set `spec.school` to the source id of the school",
    )
    SEATED = "Seated", "every student who wants a seat by this licence has one"
    FULL = (
        "Full",
        "all granted seats are in use, and students wait",
        "request more seats",
    )

    # Who uses the seats of a pool
    ACTIVITY_FRESH = "ActivityFresh", "the apps of the pool tell when their accounts were last used"
    ACTIVITY_STALE = (
        "ActivityStale",
        "it is not known now when accounts were last used: nothing is reclaimed, and counts stay as they were",
        "`homeroom check learningapp/NAME` says in its last line what is missing",
    )

    # The key of a licence
    KEY_READY = "KeyReady", "the licence has a key, and it is in its Secret"
    SECRET_TAKEN = (
        "SecretTaken",
        "a Secret of the name that the key's should have is not Homeroom's: it is not touched",
        "rename or remove that Secret",
    )
    KEY_SENT = "KeySent", "the key was mailed to every address that is declared"
    ADDRESS_REFUSED = (
        "AddressRefused",
        "mail servers do not take mail to some of the addresses; it is tried again every six hours",
        "correct them in the Secret; `homeroom key send` tries an address at once",
    )
    MAIL_UNAVAILABLE = (
        "MailUnavailable",
        "the mail server cannot be reached, or takes no mail from us; it is tried again",
        "check the operator's `--smtp-url-file`",
    )
    MAIL_NOT_CONFIGURED = (
        "MailNotConfigured",
        "the operator knows no mail server, so no keys are mailed",
        "start it with `--smtp-url-file` and `--mail-from`, or pass the key on by hand: `homeroom key show`",
    )

"""LearningApp: a product that receives a shared roster.

Read by the reconciler of apps. Not called Application: in a cluster with Argo CD that word is taken. Which part of the
roster it receives stands in its SharingRules (``sharingrule.py``).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from homeroom.api.common import (
    CaBundle,
    Column,
    Count,
    Counts,
    Date,
    Digest,
    Duration,
    HoldingStatus,
    HttpUrl,
    Interval,
    Model,
    Name,
    Percent,
    Proxy,
    Reference,
    Resource,
    Rule,
    SecretReference,
    SourceGuards,
    SourceId,
    Time,
    each_once,
)
from homeroom.api.schoollicense import PoolReference

MAX_SCHOOLS_IN_STATUS = 1000
"""Above this many schools a LearningApp reports totals only: status is for people, and bounded."""
MAX_RULES_IN_STATUS = 1000
MAX_IDS_IN_STATUS = 100
"""Of schools or grades that were not bought, or not shared; `homeroom shared` shows all."""


class Kolibri(Model):
    """A Kolibri server. Each school becomes a facility."""

    url: HttpUrl
    """Address of the server."""
    secret_ref: SecretReference
    """Secret with `username` and `password` of a device administrator (superuser), and `markKey`: a random text of at
    least 16 characters, by which what Homeroom owns is marked; never change it."""


class Target(Model):
    """The product itself: exactly one kind of target, and how to reach it."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule("[has(self.kolibri)].filter(x, x).size() == 1", "must name exactly one target: `kolibri`"),
    )

    kolibri: Kolibri | None = None
    """A Kolibri server."""
    proxy: Proxy | None = None
    """The proxy to go through."""
    ca_bundle: CaBundle | None = None
    """Certificates (PEM) to trust beside the system's, for servers with a private authority."""


class Policy(StrEnum):
    """What a run may do in the target.

    `Sync` adds, updates and removes; `UpsertOnly` never removes; `Observe` only plans and reports.
    """

    SYNC = "Sync"
    UPSERT_ONLY = "UpsertOnly"
    OBSERVE = "Observe"


class DeletionPolicy(StrEnum):
    """What happens in the target when the resource is deleted.

    `Orphan` leaves everything; `Archive` archives the classes and ends the memberships.
    """

    ORPHAN = "Orphan"
    ARCHIVE = "Archive"


class PersonRemoval(StrEnum):
    """What happens to somebody who is no longer shared.

    `Keep`: nothing is removed. `KeepAccount`: memberships and roles go, the account works on. `Suspend`: they go as
    well, and the account is closed as far as the target can without losing any work.
    """

    KEEP = "Keep"
    KEEP_ACCOUNT = "KeepAccount"
    SUSPEND = "Suspend"


class ClassRemoval(StrEnum):
    """What happens to a class that is no longer shared: `Archive` empties and marks it, `Keep` leaves it as it is."""

    ARCHIVE = "Archive"
    KEEP = "Keep"


class Removal(Model):
    """What happens to people and classes that are no longer shared.

    By default accounts of teachers and administrators are only ever added.
    """

    students: PersonRemoval = PersonRemoval.SUSPEND
    """Students."""
    teachers: PersonRemoval = PersonRemoval.KEEP_ACCOUNT
    """Teachers."""
    administrators: PersonRemoval = PersonRemoval.KEEP
    """Administrators."""
    classes: ClassRemoval = ClassRemoval.ARCHIVE
    """Classes."""
    grace: Duration = Duration.parse("7d")
    """How long after somebody left an account is closed, and after a class left it is archived; memberships and rights
    end at once. `0s`: at once."""


class FirstSync(StrEnum):
    """Whether somebody looks at what a school is about to get for the first time.

    `Review` holds it until an Approval; `Automatic` makes it at once. Administrators always need an Approval.
    """

    REVIEW = "Review"
    AUTOMATIC = "Automatic"


class Adoption(StrEnum):
    """Whether people, classes and schools that were in the target before are taken over.

    `None` leaves them alone; `MatchIdentifier` takes over what is found one to one: people by number or user name,
    classes and schools by their exact name. It always waits for an Approval.
    """

    NONE = "None"
    MATCH_IDENTIFIER = "MatchIdentifier"


class Owner(Model):
    """Who managed something before: the `--owner-id` of an installation, and a LearningApp of it."""

    owner_id: Annotated[str, Field(min_length=1, max_length=253)]
    """The `--owner-id` with which it ran."""
    namespace: Name
    """The namespace of the LearningApp."""
    name: Name
    """The name of the LearningApp."""


class Guards(SourceGuards):
    """From where on changes need a person's word, see `docs/holds.md`."""

    max_updates: Percent = "75%"
    """Share of a school's people or classes whose name may change, or who may move to another class, in one run."""
    max_additions: Percent = "25%"
    """By how much an edit of rules in Git may let a school's people, memberships or classes grow."""


_SET = {"x-kubernetes-list-type": "set"}
People = Annotated[int, Field(ge=1, le=10_000_000)]
Grade = Annotated[str, Field(max_length=5, pattern=r"^(IT|PR|PK|TK|KG|0[1-9]|1[0-3]|PS|UG|Other)$")]
"""The codes into which sources turn every grade that they know."""


class Subscription(Model):
    """What was bought of the product; what is left out is not compared.

    It is reported, and changes nothing that a run does.
    """

    students: People | None = None
    """Students, each counted once."""
    teachers: People | None = None
    """Teachers, each counted once."""
    schools: Annotated[
        tuple[SourceId, ...], AfterValidator(each_once), Field(max_length=5000, json_schema_extra=_SET)
    ] = ()
    """Source ids of the schools; an empty list is as if it were left out."""
    grades: Annotated[tuple[Grade, ...], AfterValidator(each_once), Field(max_length=32, json_schema_extra=_SET)] = ()
    """Grades: `IT`, `PR`, `PK`, `TK`, `KG`, `01` to `13`, `PS`, `UG`, and `Other`, that of sections without one. An
    empty list is as if it were left out."""
    go_live: Date | None = None
    """The day on which people begin to use it, like `2026-09-01`; something should be there two weeks before."""


class Seating(Model):
    """Only students who hold a seat are provisioned."""

    pool_ref: PoolReference
    """The pool whose seats count."""


class LearningAppSpec(Model):
    """A product that receives a shared roster."""

    cel_rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "self.districtRef == oldSelf.districtRef", "`districtRef` must not change; make a new LearningApp instead"
        ),
        Rule(
            "!has(self.adoptFrom) || self.adoption == 'MatchIdentifier'",
            "`adoptFrom` needs `adoption: MatchIdentifier`",
        ),
    )

    district_ref: Reference
    """The District whose records are shared; cannot change, since another district's people are other people."""
    target: Target
    """The product itself."""
    interval: Interval = Duration.parse("1h")
    """Time from one check of the target to the next, with some jitter; a new snapshot starts one as well."""
    first_sync: FirstSync = FirstSync.REVIEW
    """`Review`: what a school gets for the first time waits for an Approval; `Automatic`: it does not."""
    adoption: Adoption = Adoption.NONE
    """`None`: what people had made in the target stays theirs; `MatchIdentifier`: what is found one to one becomes
    ours, once somebody has approved that. Taking this back gives nothing back."""
    adopt_from: Owner | None = None
    """A former owner, in another installation, namespace or name, whose schools are taken over with all that it made;
    needs the same `markKey`."""
    guard: Guards = Guards()
    """From where on changes need a person's word."""
    policy: Policy = Policy.SYNC
    """`Sync` adds, updates and removes; `UpsertOnly` never removes; `Observe` only plans and reports."""
    deletion_policy: DeletionPolicy = DeletionPolicy.ORPHAN
    """`Orphan` leaves the target alone when this resource is deleted; `Archive` archives what Homeroom made there."""
    removal: Removal = Removal()
    """What happens to people and classes that are no longer shared."""
    subscription: Subscription | None = None
    """What was bought of the product, to compare with what is shared; it changes nothing that a run does."""
    seating: Seating | None = None
    """Of the students whom the rules share, only those who hold a seat of a LicensePool. As long as nobody can say who
    does, whoever was there stays and nobody new comes."""
    suspend: bool = False
    """Nothing outside is read or written while this is true; deletion still works."""


class RuleCounts(Counts):
    """What one SharingRule shares."""

    name: Name
    """Name of the SharingRule."""


class SchoolCounts(Counts):
    """What is shared of one school."""

    id: SourceId
    """Source id of the school."""


class SharingFindings(Model):
    """How often one thing about the rules was found that somebody may not expect."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    """Id of the finding, as in `docs/sharing.md`."""
    count: Count
    """How many people or schools it is about; `homeroom shared` lists their source ids."""


class SubscribedPeople(Model):
    """People of one kind, bought and shared; each counted once."""

    bought: Count
    """How many were bought."""
    shared: Count
    """How many the rules share."""
    over: Count = 0
    """How many more are shared than were bought."""
    under: Count = 0
    """How many more were bought than are shared."""
    buffer: Count = 0
    """How far `over` may go before it is a problem: 25, or 5 % of what was bought if that is more."""

    @property
    def exceeded(self) -> bool:
        """Whether more are shared than the buffer lets pass."""
        return self.over > self.buffer


Ids = Annotated[tuple[SourceId, ...], Field(max_length=MAX_IDS_IN_STATUS, json_schema_extra=_SET)]


class SubscribedParts(Model):
    """Schools or grades, bought and shared."""

    bought: Count
    """How many were bought."""
    shared: Count
    """How many the rules share anything of."""
    over: Count = 0
    """How many are shared and were not bought."""
    under: Count = 0
    """How many were bought and are not shared."""
    not_bought: Ids = ()
    """The first of those that are shared and were not bought."""
    not_shared: Ids = ()
    """The first of those that were bought and are not shared."""


class SubscriptionStatus(Model):
    """What was bought and what is shared; only what the subscription names."""

    students: SubscribedPeople | None = None
    """Students."""
    teachers: SubscribedPeople | None = None
    """Teachers."""
    schools: SubscribedParts | None = None
    """Schools."""
    grades: SubscribedParts | None = None
    """Grades: of the shared sections, and of the shared students who are in none of them."""
    unknown_grades: Count = 0
    """Sections, and students in none, whose grade in the records cannot be read."""


class PeopleOfSchools(Model):
    """People of several schools, each counted once."""

    students: Count = 0
    """Students."""
    teachers: Count = 0
    """Teachers."""
    staff: Count = 0
    """Staff."""


class KeptStatus(Model):
    """People who have no reason any more to be in the product, and still have something there."""

    people: Count = 0
    """Who still has an account, a class or a right, by `removal` or `policy`, held, or since the product refused."""
    older_than_14_days: Count = 0
    """How many of them have had no reason for it for more than 14 days; `homeroom plan --details` lists all."""
    leaving: Count = 0
    """Whose account is closed by itself when `removal.grace` is over."""
    protected: Count = 0
    """Teachers who left a class that has no other one: they stay in it for 7 days, or until there is one."""


class PlanStatus(Model):
    """What the last complete comparison wanted to change; all zero when the target is as it should be."""

    create: Count = 0
    """Things to make."""
    adopt: Count = 0
    """Things to take over."""
    doubtful: Count = 0
    """Schools, people and classes that nobody can tell from each other in the target: neither taken over nor made."""
    update: Count = 0
    """Things to change."""
    remove: Count = 0
    """Things to remove."""
    drift: Count = 0
    """How many of these undo what somebody did in the target by hand."""
    blocked: Count = 0
    """Changes that may not be made now."""
    digest: Digest | None = None
    """Digest of the plan."""


class LearningAppStatus(HoldingStatus):
    """What is shared, and how the target compares."""

    snapshot_digest: Digest | None = None
    """The snapshot of the District that was compared last."""
    sharing_digest: Digest | None = None
    """Digest of the shared roster."""
    rules: Annotated[
        tuple[RuleCounts, ...],
        Field(
            max_length=MAX_RULES_IN_STATUS,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
    """Counts per rule."""
    schools: Annotated[
        tuple[SchoolCounts, ...],
        Field(
            max_length=MAX_SCHOOLS_IN_STATUS,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]},
        ),
    ] = ()
    """Counts per school; empty above 1000 schools, where only the totals are given."""
    per_school_sum: Counts | None = None
    """The counts per school added up: who is in two schools counts twice."""
    distinct: Counts | None = None
    """The counts of the district: who is in two schools counts once."""
    in_two_schools: PeopleOfSchools | None = None
    """Who is shared in two schools. This and the next are why `perSchoolSum` is more than `distinct`."""
    in_more_schools: PeopleOfSchools | None = None
    """Who is shared in three or more schools."""
    subscription: SubscriptionStatus | None = None
    """What was bought and what is shared; absent without `spec.subscription`."""
    unseated: Count | None = None
    """Students whom the rules share and who are left out, as they hold no seat; absent without `spec.seating`."""
    findings: Annotated[
        tuple[SharingFindings, ...],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]},
        ),
    ] = ()
    """What the rules leave out though somebody may expect it, by finding. None of it stops anything."""
    plan: PlanStatus | None = None
    """What the last complete comparison wanted to change."""
    kept: KeptStatus | None = None
    """People who have no reason any more to be there, and still are."""
    last_change_time: Time | None = None
    """When anything in this status last changed; never moves by itself."""


class LearningApp(Resource):
    """A product that receives a shared roster: which district's, where, and what may be changed there."""

    plural: ClassVar[str] = "learningapps"
    short_names: ClassVar[tuple[str, ...]] = ("lapp",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("District", ".spec.districtRef.name", "string", "The district whose records are shared"),
        Column("Policy", ".spec.policy", "string", "What a run may do"),
        Column("Students", ".status.distinct.students", "integer", "Students shared, each counted once"),
        Column("Teachers", ".status.distinct.teachers", "integer", "Teachers shared, each counted once", priority=1),
        Column("Sections", ".status.distinct.sections", "integer", "Classes shared", priority=1),
        Column("Drift", ".status.plan.drift", "integer", "Changes that undo what was done by hand", priority=1),
        Column("Blocked", ".status.plan.blocked", "integer", "Changes that may not be made now", priority=1),
        Column("Suspended", ".spec.suspend", "string", "Whether reconciling is suspended", priority=1),
    )

    kind: Literal["LearningApp"] = "LearningApp"
    spec: LearningAppSpec
    status: LearningAppStatus = LearningAppStatus()

    @property
    def pool(self) -> str | None:
        """Namespace and name of the LicensePool whose seats count."""
        if self.spec.seating is None:
            return None
        return self.spec.seating.pool_ref.seen_from(self.metadata.namespace)

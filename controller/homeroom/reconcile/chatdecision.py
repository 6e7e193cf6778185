r"""From records, links, rules and the live chat server to a plan of one ChatPolicy, without a single write.

::

    records, links, rules --> desired --+
    chat server --its part--> actual ---+--> diff --> membership --> guards --> what the platform can do
    store --> baseline -----------------+

All policies of a district work on one platform under one owner, so that a chat outlasts the policy that made it: which
rooms are whose is said here (`part_of`). Neighbours: `chatpolicy` (the run), `chatrecords` (the records),
`homeroom.chats` and `homeroom.plan` (all decisions), `decide` (the same for learning apps).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import polars as pl
from pydantic import TypeAdapter

from homeroom.api import RollOver
from homeroom.chats.able import Fallback, feasible, under
from homeroom.chats.baseline import Baseline, expected, identity, in_desired
from homeroom.chats.desired import PARTS, Opened, desired, keys, meant, parts
from homeroom.chats.diff import diff, sizes
from homeroom.chats.policy import ChatRules
from homeroom.chats.records import Links, Records
from homeroom.chats.rollover import LEARNERS, followed, remembered
from homeroom.chats.state import Actual, Desired
from homeroom.chats.words import Capabilities
from homeroom.plan import (
    CHANGE,
    COMING,
    LEAVING,
    PERSONAL,
    Cause,
    Guard,
    Hold,
    Judged,
    Kind,
    Limits,
    Noted,
    Plan,
    Reviewed,
    Standing,
    State,
    Unseen,
    Word,
    changes,
    first_synced,
    is_exposing,
    judge,
    overtaken,
    review,
    rolled_over,
)
from homeroom.reconcile.decide import SALT, Salt
from homeroom.roster.door import RELEASED
from homeroom.roster.owned import LEDGER_SCHEMA
from homeroom.store import StoredChats
from homeroom.store.chats import NO_LEARNERS, NO_LINEAGE

_RULES: Final = TypeAdapter(ChatRules)
_FROM_RECORDS: Final = [
    Cause.LEFT_SOURCE.value,
    Cause.MOVED.value,
    Cause.TERM_ENDED.value,
    Cause.ROLLED_OVER.value,
]
_AT_ONCE: Final = [Cause.DENIED.value, Cause.INTRUDER.value, Cause.UNLINKED.value]
"""What no records have to be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMemory:
    """What the store and the commits say about a policy.

    `rooms`: columns `homeroom.store.ROOMS`, every chat it ever had. `recent`: columns `homeroom.plan.RECENT_SCHEMA`.
    `holds`: all of this policy. `made`: columns `homeroom.plan.CHANGE_SCHEMA`, what was applied under its approved
    holds. `released`: columns `homeroom.roster.door.RELEASED`, what approvals let pass at the source. `parked`:
    accounts that could come in nowhere, and are not tried again yet. `rolled_over`: the approvals let the school year
    end.
    """

    stored: StoredChats | None
    rooms: pl.DataFrame
    recent: pl.DataFrame
    holds: Sequence[Hold]
    made: pl.DataFrame
    words: Sequence[Word]
    noted: Noted = field(default_factory=Noted)
    released: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=RELEASED))
    parked: Collection[str] = ()
    rolled_over: bool = False

    @property
    def schools(self) -> Sequence[str]:
        """Source ids, sorted: where the policy ever had a chat."""
        return self.rooms["school"].unique().sort().to_list()

    @property
    def knows_nothing(self) -> bool:
        """Nothing was ever applied, or the store was lost."""
        return self.stored is None and self.rooms.is_empty()


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherPolicy:
    """Another policy of the same district on the same platform.

    `rules` None: nobody can tell. `older`: where both see to the same chats, they are the other one's. `known`: keys of
    the chats that it knows.
    """

    rules: ChatRules | None
    older: bool
    known: pl.Series


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatInputs:
    """Everything that a decision rests on but what is there.

    `sure`: the last moment that is sure (`homeroom.plan.doubted_since`), with the records as they were to be read then;
    None: the clock is right. `stale`: the records are older than they should be, and nobody is removed by them.
    `denied`: source ids of people who must be out. `still`: accounts that stand still. `joined`: source ids of people
    who came by the link of an extra chat. `reviews`: what a school gets for the first time waits for a word. `opened`:
    classes with a call or lesson.
    """

    rules: ChatRules
    records: Records
    links: Links
    memory: ChatMemory
    others: Sequence[OtherPolicy]
    limits: Limits
    reviews: bool
    now: datetime
    denied: Collection[str] = ()
    still: Collection[str] = ()
    joined: Collection[str] = ()
    sure: tuple[datetime, Records] | None = None
    stale: bool = False
    opened: Opened = field(default_factory=dict)

    @property
    def declared(self) -> str:
        """The rules as canonical text."""
        return canonical(self.rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatDecision:
    """What one look at records and chats says.

    `actual`: this policy's part of what is there. `plan`: everything that differs. `reviewed`: what of it the policy
    allows, after the guards. `instead`: what of that the platform cannot do, by what has to happen in its place.
    `before`: the baseline as it was, but for chats that are another policy's now. `rules`: those whose effect nobody
    has to approve any more, canonical. `taken`: columns `PARTS`, what an older policy sees to. `lost`: we know nothing
    of what the server says is ours. `now`: when this was decided. `waiting`: changes that wait for a parked account.
    """

    desired: Desired
    actual: Actual
    plan: Plan
    reviewed: Reviewed
    allowed: Plan
    instead: Mapping[Fallback, int]
    before: Baseline | None
    rules: str
    lineage: pl.DataFrame
    learners: pl.DataFrame
    taken: pl.DataFrame
    lost: bool
    now: datetime
    waiting: int = 0

    @property
    def blocked(self) -> int:
        """Changes that are wanted and not allowed now; not those that wait for an account."""
        return self.plan.changes.height - self.reviewed.plan.changes.height - self.waiting

    def stored(self) -> StoredChats:
        """What is to be remembered before the first change."""
        baseline = expected(self.desired, self.actual, self.plan, before=self.before, now=self.now)
        return StoredChats(baseline=baseline, rules=self.rules, lineage=self.lineage, learners=self.learners)

    def unrecorded(self, rooms: pl.DataFrame) -> pl.DataFrame:
        """Chats that are there and not as the ledger has them, which are `rooms`: columns `LEDGER_SCHEMA`.

        Not of a new school in which something is to come: it would count as reviewed before anybody has seen what.
        """
        coming = self.plan.changes.filter(pl.col("op").cast(pl.String).is_in(COMING))["school"].cast(pl.String)
        school = pl.col("school")
        rows = self.actual.chats.filter(
            school.is_not_null(),
            school.is_in(rooms["school"].unique().implode()) | ~school.is_in(coming.unique().implode()),
        ).join(rooms, on=rooms.columns, how="anti", maintain_order="left")
        ledger = rows.select(
            "school", "key", "external_id", kind=pl.lit(Kind.CHAT.value), username=pl.lit(None, pl.String)
        )
        return ledger.select(LEDGER_SCHEMA.names())


def decide_chats(inputs: ChatInputs, there: Actual, able: Capabilities, *, salt: Salt = SALT) -> ChatDecision:
    """Work out what is to change. `there`: all chats of the district on the platform."""
    made = pl.concat([there.chats["key"], inputs.memory.rooms["key"]]).unique()
    return _Look(inputs=inputs, able=able, made=made).decide(there, salt)


def canonical(rules: ChatRules) -> str:
    """What Git says of chats, as text that is equal only for equal words; kept with the baseline."""
    words = asdict(rules)
    if rules.extra is None:  # as it was written before there were extra chats
        del words["extra"]
    return json.dumps(words, default=sorted, sort_keys=True)


def rules_from(text: str) -> ChatRules:
    """The rules that `canonical` wrote."""
    return _RULES.validate_json(text)


def part_of(
    there: Actual, rules: ChatRules, *, wanted: pl.Series, known: pl.Series, others: Sequence[pl.Series]
) -> Actual:
    """Those of all chats of a district that are one policy's business.

    What it wants or has known; and, as the store may have been lost, what is in a school that its `rules` are about and
    nobody knows. `others`: keys that other policies want, or know.
    """
    key = pl.col("key")
    free = meant(rules, pl.col("school")) & ~key.is_in(pl.concat([wanted.clear(), *others]).implode())
    mine = key.is_in(wanted.implode()) | key.is_in(known.implode()) | free.fill_null(value=False)
    kept = there.chats.with_row_index("before").filter(mine)
    rows = kept.select("before", pl.int_range(pl.len(), dtype=pl.UInt32).alias("chat"))
    members = there.members.rename({"chat": "before"}).join(rows, on="before", maintain_order="left")
    return replace(
        there,
        chats=kept.drop("before"),
        members=members.select(there.members.columns),
        unsure=there.unsure & {*wanted, *known},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """`made`: keys of chats that were made once."""

    inputs: ChatInputs
    able: Capabilities
    made: pl.Series

    def wanted(
        self, records: Records, rules: ChatRules, *, lineage: pl.DataFrame, taken: pl.DataFrame | None
    ) -> Desired:
        """What some rules make of some records."""
        one = self.inputs
        return desired(
            records,
            one.links,
            rules,
            opened=one.opened,
            there=self.made,
            joined=one.joined,
            lineage=lineage,
            denied=one.denied,
            taken=taken,
        )

    def classes(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Which class has whose chat, and who has to be remembered for the next school year."""
        stored, records = self.inputs.memory.stored, self.inputs.records
        if self.inputs.rules.roll_over is not RollOver.FOLLOW_CLASS:
            return NO_LINEAGE, NO_LEARNERS
        lineage, before = (NO_LINEAGE, NO_LEARNERS) if stored is None else (stored.lineage, stored.learners)
        now = _learners(records)
        lineage = followed(lineage, before=before, now=now)
        return lineage, remembered(lineage, before=before, now=now)

    def decide(self, there: Actual, salt: Salt) -> ChatDecision:
        one, memory = self.inputs, self.inputs.memory
        stored, now = memory.stored, one.now.astimezone(UTC)
        lineage, learners = self.classes()
        all_rules = [each.rules for each in one.others if each.rules is not None]
        older = [each.rules for each in one.others if each.rules is not None and each.older]
        taken = pl.concat([pl.DataFrame(schema=PARTS), *(parts(one.records, rules) for rules in older)])
        wanted = self.wanted(one.records, one.rules, lineage=lineage, taken=taken)
        key = wanted.chats["key"]
        theirs = pl.concat([pl.Series(dtype=pl.String), *(keys(one.records, rules) for rules in all_rules)])
        theirs = theirs.filter(~theirs.is_in(key.implode())).unique()
        before = stored.baseline if stored is not None else None
        if before is not None:  # who is in a chat that is another policy's now is that one's business
            before = replace(before, known=before.known.filter(~before.known.is_in(theirs.implode())))
        actual = part_of(
            there,
            one.rules,
            wanted=key,
            known=before.known if before is not None else key.clear(),
            others=[theirs, *(each.known for each in one.others)],
        )
        declared = one.declared
        edited = rules_from(stored.rules) if stored is not None and stored.rules != declared else None
        whole = diff(
            wanted,
            actual,
            rules=one.rules,
            links=one.links,
            able=self.able,
            now=now,
            baseline=before,
            before_edit=self.wanted(one.records, edited, lineage=lineage, taken=taken) if edited is not None else None,
            over=one.records.over,
            denied=one.denied,
            still=one.still,
        )
        lost = memory.knows_nothing and not actual.chats.is_empty()
        context = hashlib.sha256(declared.encode()).hexdigest()
        seen = self.following(whole, wanted, before)
        permitted = self.permitted(whole)
        by_time = self.by_time(permitted, lineage=lineage, taken=taken)
        reviewed = review(
            whole,
            overtaken(memory.holds, seen),
            memory.words,
            lambda holds, released, sticky: self.judged(
                permitted,
                actual,
                holds,
                pl.concat([released, seen]),
                sticky,
                by_time=by_time,
                lost=lost,
                context=context,
            ),
            made=memory.made,
            unseen=Unseen(complete=actual.complete, schools=unseen(wanted, actual)),
            contexts={Guard.EXPOSURE: context, Guard.CLOCK: _moment(one.sure)},
            now=now,
            salt=salt,
        )
        possible = feasible(reviewed.plan, self.able)
        is_asking = stored is not None and Guard.EXPOSURE in reviewed.stopping
        return ChatDecision(
            desired=wanted,
            actual=actual,
            plan=whole,
            reviewed=reviewed,
            allowed=possible.plan.due,
            instead=possible.others,
            before=before,
            # What an edit exposes is new, whenever it comes, until somebody has seen the edit.
            rules=stored.rules if stored is not None and is_asking else declared,
            lineage=lineage,
            learners=learners,
            taken=taken.join(parts(one.records, one.rules), on=PARTS.names(), how="semi"),
            lost=lost,
            now=now,
            waiting=whole.changes.filter(coming_of(memory.parked)).height,
        )

    def permitted(self, plan: Plan) -> Plan:
        """What the policy, and the age of the records, let through, without accounts that can come in nowhere."""
        found = under(plan, self.inputs.rules.membership)
        if self.inputs.memory.parked:
            found = Plan(found.changes.filter(~coming_of(self.inputs.memory.parked)))
        return _without_departures(found) if self.inputs.stale else found

    def judged(
        self,
        plan: Plan,
        actual: Actual,
        holds: Sequence[Hold],
        released: pl.DataFrame,
        sticky: pl.DataFrame,
        *,
        by_time: pl.DataFrame | None,
        lost: bool,
        context: str,
    ) -> Judged:
        """Ask the guards."""
        one, memory = self.inputs, self.inputs.memory
        starting = {hold.place for hold in holds if hold.guard is Guard.FIRST_SYNC and hold.state is State.OPEN}
        standing = Standing(
            sizes=sizes(actual, one.rules),
            recent=memory.recent,
            reviewed={*memory.schools, *first_synced(holds)} - starting if one.reviews or lost else None,
            known=memory.schools,
            kinds={True, False},
            by_time=by_time,
            rolled_over=memory.rolled_over or rolled_over(holds, now=one.now),
            exposing=is_exposing(holds, context=context),
            starting=starting,
        )
        return judge(plan, standing, one.limits, released=released, sticky=sticky)

    def following(self, plan: Plan, wanted: Desired, before: Baseline | None) -> pl.DataFrame:
        """Which removals follow from what somebody approved at the source: columns `RELEASED`, in words of the plan.

        Nobody is asked twice (safety row 12): a school, a class or a person that left there takes with it who was in a
        chat for that reason, a student also who is about them.
        """
        released, records = self.inputs.memory.released, self.inputs.records
        of_records = pl.col("cause").cast(pl.String).is_in(_FROM_RECORDS)
        rows = plan.changes.filter(pl.col("op").cast(pl.String).is_in(LEAVING), of_records)
        if released.is_empty() or rows.is_empty():
            return released.clear()
        chats = [state.chats.select("key", "section") for state in (wanted, *([before.desired] if before else []))]
        sections = pl.concat(chats).unique("key").rename({"key": "chat"})
        rows = changes(rows).with_columns(chat=pl.coalesce("class_key", "key")).join(sections, on="chat", how="left")
        own = rows.join(self.inputs.links.linked, left_on="key", right_on="account")
        ids = records.people["id"]
        families = pl.DataFrame(
            {"child": ids[records.guardians["student"]], "person": ids[records.guardians["guardian"]]}
        )
        children = own.join(families, on="person").with_columns(person="child").select(own.columns)
        about = pl.concat([own, children])

        def of(kind: Kind, **names: str) -> pl.DataFrame:
            found = released.filter(pl.col("kind") == kind.value, pl.col("op").is_in(LEAVING))
            return found.select(*(pl.col(old).alias(new) for new, old in names.items()), "hold").unique([*names])

        of_staff_rooms = own.filter(pl.col("section").is_null())
        matches = [
            rows.join(of(Kind.SCHOOL, school="key"), on="school"),
            rows.join(of(Kind.CLASS, section="key"), on="section"),
            about.join(of(Kind.PERSON, person="key"), on="person"),
            about.join(of(Kind.MEMBERSHIP, person="key", section="class_key"), on=["person", "section"]),
            *(
                of_staff_rooms.join(of(kind, person="key", school="school"), on=["person", "school"])
                for kind in (Kind.MEMBERSHIP, Kind.RIGHT)
            ),
        ]
        return pl.concat([part.select(RELEASED.names()) for part in matches]).unique(CHANGE, keep="first")

    def by_time(self, plan: Plan, *, lineage: pl.DataFrame, taken: pl.DataFrame) -> pl.DataFrame | None:
        """`IDENTITY` of what leaves only because the clock says so, while that is in doubt; None: it is not."""
        sure = self.inputs.sure
        leaving = plan.changes.filter(pl.col("op").cast(pl.String).is_in(LEAVING))
        if sure is None or leaving.is_empty():
            return None
        rows = identity(leaving)
        return rows.filter(in_desired(rows, self.wanted(sure[1], self.inputs.rules, lineage=lineage, taken=taken)))


def coming_of(accounts: Collection[str]) -> pl.Expr:
    """Rows of a plan by which one of these accounts comes into a chat, or gets rights there."""
    op = pl.col("op").cast(pl.String)
    return pl.col("kind").cast(pl.String).is_in(PERSONAL) & op.is_in(COMING) & pl.col("key").is_in(list(accounts))


def _learners(records: Records) -> pl.DataFrame:
    """Who learns in which homeroom: columns `LEARNERS`."""
    classes = records.classes.select(
        pl.col("id").alias("class"), records.schools["id"][records.classes["school"]].alias("school"), "homeroom"
    )
    rows = records.students
    found = classes[rows["class"]].with_columns(person=records.people["id"][rows["person"]])
    return found.filter("homeroom").select(LEARNERS.names()).unique().sort(LEARNERS.names())


def _without_departures(plan: Plan) -> Plan:
    """The plan without what leaves because the records say so."""
    op, cause = pl.col("op").cast(pl.String), pl.col("cause").cast(pl.String)
    return Plan(plan.changes.filter(~op.is_in(LEAVING) | cause.is_in(_AT_ONCE)))


def _moment(sure: tuple[datetime, Records] | None) -> str:
    return sure[0].astimezone(UTC).isoformat() if sure is not None else ""


def unseen(wanted: Desired, actual: Actual) -> list[str]:
    """Source ids of schools that have a chat whose members cannot be told for certain."""
    half = actual.chats.filter(~pl.col("complete"))["school"]
    doubtful = wanted.chats.filter(pl.col("key").is_in(list(actual.unsure)))["school"]
    return pl.concat([half, doubtful]).drop_nulls().unique().sort().to_list()

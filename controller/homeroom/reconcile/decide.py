"""From records, rules and the live target to a plan, without a single write.

The operator's runs (`learningapp`) and the command line go this same way, so that what `homeroom plan` shows is what
would be done. Neighbours: `homeroom.roster` (all decisions), `homeroom.plan.guard`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import polars as pl

from homeroom.api import (
    Adoption,
    District,
    DistrictGuards,
    Effect,
    FirstSync,
    Guards,
    LearningApp,
    MatchKey,
    Operator,
    Removal,
    Share,
    SourceGuards,
    Template,
)
from homeroom.plan import (
    CHANGE_SCHEMA,
    HELD_SCHEMA,
    IDENTITY,
    IDENTITY_SCHEMA,
    LEAVING,
    RECENT_SCHEMA,
    WINDOW_DAYS,
    Guard,
    Hold,
    Judged,
    Limits,
    Noted,
    Plan,
    Policy,
    Reviewed,
    Standing,
    State,
    Word,
    counted_as_gone,
    doubted_since,
    first_synced,
    is_exposing,
    judge,
    overtaken,
    review,
    rolled_over,
)
from homeroom.roster.adoption import adoptable
from homeroom.roster.desired import desired as desired_of
from homeroom.roster.diff import KEPT_SCHEMA, diff, identity, in_state, sizes, unseen
from homeroom.roster.door import RELEASED, following
from homeroom.roster.leaving import until_followed
from homeroom.roster.seated import administrators_in, seated, students_in, teachers_in
from homeroom.roster.shared import Match, Rule, Shared, share
from homeroom.roster.state import Actual, Desired, Known
from homeroom.roster.tables import Roster
from homeroom.store import Seated, StoredBaseline
from homeroom.targets import Target

Salt = Callable[[], bytes]
"""16 fresh random bytes, for the ids of holds."""

SALT: Salt = partial(secrets.token_bytes, 16)
NOBODY = pl.Series(dtype=pl.String)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What the store and the commits say about an app.

    `recent`: columns `homeroom.plan.RECENT_SCHEMA`, what was applied in the last week. `holds`: all of this app.
    `made`: columns `homeroom.plan.CHANGE_SCHEMA`, what was applied under its approved holds. `noted`: what it says of
    time; nothing where a plan is for another day on purpose. `released`: columns `homeroom.roster.door.RELEASED`, what
    approvals let pass at the source. `rolled_over`: they let the school year end. `seats`: pool (namespace and name) ->
    who holds a seat of it, and whom its licences connect; a pool of which that is not known now is missing.
    `reclaimed`: source ids of students who lost one of the app's pool, as they did not use it.
    """

    stored: StoredBaseline | None
    known: Known
    recent: pl.DataFrame
    holds: Sequence[Hold]
    made: pl.DataFrame
    words: Sequence[Word]
    noted: Noted = field(default_factory=Noted)
    released: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=RELEASED))
    rolled_over: bool = False
    seats: Mapping[str, Seated] = field(default_factory=dict)
    reclaimed: Sequence[str] = ()

    @classmethod
    def nothing(cls, known: Known) -> Memory:
        """Without a store."""
        recent = pl.DataFrame(schema=RECENT_SCHEMA)
        return cls(stored=None, known=known, recent=recent, holds=(), made=pl.DataFrame(schema=CHANGE_SCHEMA), words=())

    def seated(self, state: Desired, pool: str | None) -> Desired:
        """`state` for those who hold a seat of `pool`, or teach by it.

        If nobody can say who does, for those who were there before, or had classes.
        """
        if pool is None:
            return state
        known = self.seats.get(pool)
        if known is not None:
            return seated(state, known.students, known.teachers)
        if self.stored is None:
            return seated(state, NOBODY, NOBODY)
        before = self.stored.baseline.desired
        return seated(state, students_in(before), teachers_in(before))

    def withdrawn(self, state: Desired, pool: str | None) -> pl.Series:
        """Source ids of teachers whom no licence of `pool` connects any more since one was revoked.

        Not those who administer a school of `state`.
        """
        known = self.seats.get(pool) if pool is not None else None
        if known is None:
            return NOBODY
        return known.withdrawn.filter(~known.withdrawn.is_in(administrators_in(state).implode()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one look at records and target says.

    `plan`: everything that differs, but for what is let through already and waits for its day: that is `later`.
    `reviewed`: what of the plan the policy allows, after the guards; part of it has to wait for its day.
    `rules`: those whose effect nobody has to approve any more, canonical. `removal`: what was declared of it, as JSON.
    `now`: when this was decided. `kept`: columns `homeroom.roster.diff.KEPT_SCHEMA`, what was there without a reason
    after the last applied plan. `unseated`: as `desired`, seats or no seats; its people are those of `shared`. `lost`:
    we know nothing of what the target says is ours (DESIGN.md section 8).
    """

    shared: Shared
    desired: Desired
    actual: Actual
    plan: Plan
    later: Plan
    reviewed: Reviewed
    rules: str
    removal: str
    now: datetime
    kept: pl.DataFrame
    lost: bool
    unseated: Desired

    @property
    def without_seat(self) -> int:
        """Students whom the rules share and who hold no seat, each counted once."""
        return students_in(self.unseated).len() - students_in(self.desired).len()

    @property
    def unconnected(self) -> int:
        """Teachers who have no class for want of a licence, each counted once."""
        return teachers_in(self.unseated).len() - teachers_in(self.desired).len()

    @property
    def allowed(self) -> Plan:
        """What may be done now."""
        return self.reviewed.plan.due

    @property
    def passed(self) -> Plan:
        """What the guards have let through, now or before, as long as it is planned for the same cause."""
        before = self.plan.changes.filter(pl.col("passed").is_not_null())
        return Plan(pl.concat([self.reviewed.plan.changes, self.later.changes, before]))

    @property
    def waiting(self) -> pl.DataFrame:
        """Rows that are let through and wait for their day."""
        return pl.concat([self.later.changes, self.reviewed.plan.waiting.changes])

    @property
    def blocked(self) -> int:
        """Changes that are wanted and not allowed now."""
        return self.plan.changes.height - self.reviewed.plan.changes.height


async def decide(
    app: LearningApp,
    *,
    district: District,
    rules: Sequence[Rule],
    roster: Roster,
    shared: Shared,
    target: Target,
    memory: Memory,
    now: datetime,
    salt: Salt = SALT,
) -> Decision:
    """Read the target, which is open, and work out what is to change there; writes nothing.

    `shared`: what `rules` select of `roster` on the district's day.
    """
    unseated = await asyncio.to_thread(desired_of, roster, shared)
    wanted = await asyncio.to_thread(memory.seated, unseated, app.pool)
    told = recognisable(memory.known, wanted, records=roster if memory.stored is None else None)
    if app.spec.adoption is Adoption.MATCH_IDENTIFIER:
        told = replace(told, adoptable=await asyncio.to_thread(adoptable, roster, wanted))
    look = _Look(
        app=app,
        district=district,
        rules=rules,
        roster=roster,
        shared=shared,
        memory=memory,
        unseated=unseated,
        wanted=wanted,
        actual=await target.read(told),
        now=now.astimezone(UTC),
    )
    return await asyncio.to_thread(look.decide, salt)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """Everything that one decision rests on. `unseated`: what the rules share, seats or no seats."""

    app: LearningApp
    district: District
    rules: Sequence[Rule]
    roster: Roster
    shared: Shared
    memory: Memory
    unseated: Desired
    wanted: Desired
    actual: Actual
    now: datetime

    @property
    def lost(self) -> bool:
        """We know nothing of what the target says is ours."""
        return self.memory.stored is None and not self.memory.known.schools and not self.actual.owned_schools.is_empty()

    def made_by(self, rules: Sequence[Rule], pool: str | None, *, at: datetime | None = None) -> Desired:
        """What other words make of the same records."""
        day = self.district.spec.day(at or self.now)
        shared = share(self.roster, rules, homeroom=self.district.spec.homeroom, today=day)
        return self.memory.seated(desired_of(self.roster, shared), pool)

    def compared(self, intermediate: Desired | None, *, at: datetime) -> Plan:
        """Everything that differs, as if it were that moment. `intermediate`: what the words before would want now."""
        stored = self.memory.stored
        return diff(
            self.wanted,
            self.actual,
            baseline=stored.baseline if stored else None,
            removal=self.app.spec.removal,
            roster=self.roster,
            today=self.district.spec.day(self.now),
            now=at,
            intermediate=intermediate,
            removal_before=Removal.model_validate_json(stored.removal)
            if stored is not None and stored.removal
            else None,
            denied=self.district.spec.denied(),
            unseated=self.unseated if self.app.pool is not None else None,
            reclaimed=self.memory.reclaimed,
            withdrawn=self.memory.withdrawn(self.unseated, self.app.pool),
        )

    def covered(self, plan: Plan, before: str | None, intermediate: Desired | None) -> pl.DataFrame:
        """`IDENTITY` of what the plan brings, and an Exclude kept away by the words `before`."""
        rules = rules_from(before) if before is not None else ()
        if before is None or intermediate is None or all(rule.effect is Effect.INCLUDE for rule in rules):
            return pl.DataFrame(schema=IDENTITY_SCHEMA)
        open_wide = self.made_by([rule for rule in rules if rule.effect is Effect.INCLUDE], pool_from(before))
        rows = in_state(identity(plan.changes), open_wide)
        return rows.join(in_state(rows, intermediate), on=list(IDENTITY), how="anti", nulls_equal=True)

    def unanswered(self, before: str) -> str:
        """The words `before`, while somebody is asked about what later ones expose: whenever that comes, it is new.

        With the Excludes that were added meanwhile: whom they keep away is not there any more, and would be new, too.
        """
        rules = rules_from(before)
        added = [rule for rule in self.rules if rule.effect is Effect.EXCLUDE and rule not in rules]
        return canonical([*rules, *added], pool_from(before))

    def by_time(self, plan: Plan, intermediate: Desired | None, *, sure: datetime | None) -> pl.DataFrame | None:
        """`IDENTITY` of what leaves only because the clock says so, which is in doubt since `sure`; None: it is not."""
        leaving = plan.changes.filter(pl.col("op").cast(pl.String).is_in(LEAVING))
        if sure is None or leaving.is_empty():
            return None
        rows = in_state(identity(leaving), self.made_by(self.rules, self.app.pool, at=sure))
        if sure < self.now:  # nor does a grace end only because the clock says so
            unripe, due = identity(self.compared(intermediate, at=sure).waiting.changes), identity(plan.due.changes)
            rows = pl.concat([rows, unripe.join(due, on=list(IDENTITY), how="semi", nulls_equal=True)])
        return rows

    def decide(self, salt: Salt) -> Decision:
        """Compare, and ask the guards."""
        app, memory, now, stored = self.app, self.memory, self.now, self.memory.stored
        declared = canonical(self.rules, app.pool)
        context = hashlib.sha256(declared.encode()).hexdigest()
        before = stored.rules if stored is not None and stored.rules != declared else None
        intermediate = self.made_by(rules_from(before), pool_from(before)) if before is not None else None

        whole = self.compared(intermediate, at=now)
        is_later = pl.col("passed").is_not_null() & pl.col("due").is_not_null()
        plan, later = Plan(whole.changes.filter(~is_later)), Plan(whole.changes.filter(is_later))
        passed = whole.changes.filter(pl.col("passed").is_not_null())
        covered = self.covered(plan, before, intermediate)
        sure = doubted_since(memory.noted, memory.holds, now=now)
        by_time = self.by_time(plan, intermediate, sure=sure)
        seen = following(plan.changes, memory.released)  # at the source, by somebody who approved it
        before_it = intermediate or (stored.baseline.desired if stored is not None else self.wanted)

        def judged(holds: Sequence[Hold], released: pl.DataFrame, sticky: pl.DataFrame) -> Judged:
            permitted = plan.under(Policy(app.spec.policy.value))
            if permitted.empty:  # as on most nights: nothing of the target has to be counted
                return Judged(plan=permitted, held=pl.DataFrame(schema=HELD_SCHEMA), waiting=0)
            sizes_now, recent = counted_as_gone(
                passed, sizes(self.actual), memory.recent, since=now - timedelta(days=WINDOW_DAYS)
            )
            starting = {hold.place for hold in holds if hold.guard is Guard.FIRST_SYNC and hold.state is State.OPEN}
            is_reviewing = app.spec.first_sync is FirstSync.REVIEW or self.lost
            standing = Standing(
                sizes=sizes_now,
                recent=recent,
                # a school may be ours, by adoption, before anybody has seen what it is to get
                reviewed={*memory.known.schools, *first_synced(holds)} - starting if is_reviewing else None,
                known=memory.known.schools,
                kinds=set(before_it.people["staff"].unique().to_list()),
                covered=covered,
                by_time=by_time,
                rolled_over=memory.rolled_over or rolled_over(holds, now=now),
                exposing=is_exposing(holds, context=context),
                starting=starting,
            )
            passing = pl.concat([released, seen])
            found = judge(permitted, standing, limits_of(app.spec.guard), released=passing, sticky=sticky)
            if stored is None:
                return found
            kept = stored.baseline.kept
            return replace(found, plan=until_followed(found.plan, permitted, self.wanted, kept, now=now))

        reviewed = review(
            plan,
            overtaken(memory.holds, seen),
            memory.words,
            judged,
            made=memory.made,
            unseen=unseen(self.actual),
            contexts={Guard.EXPOSURE: context, Guard.CLOCK: sure.astimezone(UTC).isoformat() if sure else ""},
            now=now,
            salt=salt,
        )
        is_asking = stored is not None and Guard.EXPOSURE in reviewed.stopping
        return Decision(
            shared=self.shared,
            desired=self.wanted,
            actual=self.actual,
            plan=plan,
            later=later,
            reviewed=reviewed,
            rules=self.unanswered(stored.rules) if stored is not None and is_asking else declared,
            removal=app.spec.removal.model_dump_json() if self.actual.complete or stored is None else stored.removal,
            now=now,
            kept=stored.baseline.kept
            if stored is not None and stored.baseline.dated
            else pl.DataFrame(schema=KEPT_SCHEMA),
            lost=self.lost,
            unseated=self.unseated,
        )


def limits_of(guards: SourceGuards) -> Limits:
    """The guards' numbers. Additions are judged at the door of an app only, changed ids at the source."""
    limits = Limits(
        deletes=_percent(guards.max_deletes),
        updates=_percent(guards.max_updates),
        class_shrink=_percent(guards.max_class_shrink),
        ignore_below=guards.ignore_below,
    )
    if isinstance(guards, DistrictGuards):
        return replace(limits, identity_changes=_percent(guards.max_identity_changes))
    return replace(limits, additions=_percent(guards.max_additions)) if isinstance(guards, Guards) else limits


def _percent(text: str) -> int:
    return int(text.removesuffix("%"))


def canonical(rules: Sequence[Rule], pool: str | None = None) -> str:
    """What Git says of who is shared, as text that is equal only for equal words; kept with the baseline.

    `pool`: namespace and name of the pool that `spec.seating` names.
    """
    seats = [{"seats": pool}] if pool is not None else []
    return json.dumps([*(asdict(rule) for rule in sorted(rules, key=lambda rule: rule.name)), *seats], sort_keys=True)


def pool_from(text: str) -> str | None:
    """The pool in what `canonical` wrote."""
    return next((one["seats"] for one in json.loads(text) if "seats" in one), None)


def rules_from(text: str) -> tuple[Rule, ...]:
    """The rules that `canonical` wrote."""
    return tuple(
        Rule(
            name=rule["name"],
            effect=Effect(rule["effect"]),
            share=Share(rule["share"]) if rule["share"] in list(Share) else Template(rule["share"]),
            match=tuple(
                Match(MatchKey(term["key"]), Operator(term["operator"]), tuple(term["values"]))
                for term in rule["match"]
            ),
            share_everything=rule["share_everything"],
        )
        for rule in json.loads(text)
        if "seats" not in rule
    )


def recognisable(known: Known, wanted: Desired, *, records: Roster | None = None) -> Known:
    """What the target has to recognise: all that is wanted now, and all that was ever made.

    `records`: where nobody knows which classes were made, it may have been any of these. Schools that are not wanted
    may be another owner's by now, and are not asked about.
    """
    schools = wanted.schools["key"]
    classes = [known.classes, wanted.classes.select(schools[wanted.classes["school"]].alias("school"), "key")]
    if records is not None:
        ids, of_school = records.orgs["id"], records.classes["school"]
        classes.append(records.classes.select(ids[of_school].alias("school"), key="id").drop_nulls("school"))
    return replace(
        known,
        schools=sorted({*known.schools, *schools.to_list()}),
        classes=pl.concat(classes).unique().sort("school", "key"),
    )

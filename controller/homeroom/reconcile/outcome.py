"""What came of a LearningApp's run, in the words of its status, its conditions and the School rows. Pure.

Neighbours: `learningapp` (the run), `decide` (what it found), `school` (who shows the rows).
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import polars as pl

from homeroom.api import (
    Adoption,
    ClassRemoval,
    District,
    LearningApp,
    PeopleCounts,
    PersonRemoval,
    PlanStatus,
    Reason,
    SchoolState,
    Subscription,
)
from homeroom.plan import COMING, IDENTITY, Cause, Kind, Op, Plan, Reviewed
from homeroom.reconcile.approvals import held_message
from homeroom.reconcile.decide import Decision
from homeroom.reconcile.executor import Applied
from homeroom.reconcile.run import Ending
from homeroom.roster.diff import identity
from homeroom.roster.leaving import Kept
from homeroom.roster.shared import Shared
from homeroom.roster.state import Desired
from homeroom.targets import Target

_COUNTED: Final = tuple(PeopleCounts.model_fields)


class Decided(Protocol):
    """What a decision about an app and one about chats have in common."""

    @property
    def plan(self) -> Plan:
        """Everything that differs."""

    @property
    def reviewed(self) -> Reviewed:
        """What of that passes the guards."""

    @property
    def allowed(self) -> Plan:
        """What of that can be made now."""


def left_to_do(decision: Decided, applied: Applied | None) -> pl.DataFrame:
    """Rows of the whole plan that are still to be done: undone, stopped by the guard, or not allowed by the policy.

    Not what waits for its day.
    """
    plan = decision.plan.changes
    done = identity(decision.reviewed.plan.waiting.changes)
    if applied is not None:
        done = pl.concat([done, applied.made(decision.allowed).select(IDENTITY)])
    if done.is_empty():
        return plan
    keys = identity(plan).with_row_index("seq").join(done, on=list(IDENTITY), how="anti", nulls_equal=True)
    return plan[keys["seq"].sort()]


def plan_status(left: pl.DataFrame, blocked: int, *, doubtful: int) -> PlanStatus:
    """What is still to be done after the run; so that it does not move in a run that changed nothing."""
    ops = pl.col("op").cast(pl.String)
    drift = pl.col("cause").cast(pl.String).is_in([Cause.DRIFT.value, Cause.INTRUDER.value])
    adopted = left.filter(ops == Op.ADOPT.value).height
    made = left.filter(ops.is_in(COMING)).height - adopted
    changed = left.filter(ops == Op.UPDATE.value).height
    return PlanStatus(
        create=made,
        adopt=adopted,
        doubtful=doubtful,
        update=changed,
        remove=left.height - made - adopted - changed,
        drift=left.filter(drift).height,
        blocked=blocked,
        digest=None if left.is_empty() else Plan(left).digest(),
    )


def repaired(decision: Decided, applied: Applied | None) -> int:
    """How much of what people had changed by hand was put back: worth an event, as somebody may be wondering."""
    drift = pl.col("cause").cast(pl.String).is_in([Cause.DRIFT.value, Cause.INTRUDER.value])
    return decision.allowed.changes.filter(drift).height if applied is not None else 0


def gaps(app: LearningApp, target: Target) -> list[str]:
    """What is declared and the target cannot do, with what happens instead."""
    found = []
    if not target.capabilities.suspend and PersonRemoval.SUSPEND in (
        app.spec.removal.students,
        app.spec.removal.teachers,
        app.spec.removal.administrators,
    ):
        found.append("the target cannot suspend accounts: memberships and roles are removed, accounts work on")
    if not target.capabilities.adopt and app.spec.adoption is not Adoption.NONE:
        found.append("the target cannot take over what people had made: it is left alone")
    if not target.capabilities.archive_class and app.spec.removal.classes is ClassRemoval.ARCHIVE:
        found.append("the target cannot archive classes: they are emptied")
    return found


def school_rows(
    decision: Decision, applied: Applied | None, left: pl.DataFrame, *, bought: Subscription | None
) -> dict[str, dict[str, Any]]:
    """How each school stands in this app, for its School object: {school id: {state, ready, synced}}.

    Schools that are shared, and those that were `bought` and are not: these are not set up.
    """
    held = {school for hold in decision.reviewed.open for school in hold.rows["school"].unique().to_list()}
    failing = set(decision.actual.unsure) | (set(applied.failed_schools) if applied is not None else set())
    waiting = set(left["school"].unique().to_list())
    ready = {row.pop("school"): row for row in _ready(decision.shared).iter_rows(named=True)}
    missing = {row.pop("school"): row for row in _missing(decision, left).iter_rows(named=True)}
    nobody = dict.fromkeys(_COUNTED, 0)
    rows: dict[str, dict[str, Any]] = {}
    for school in sorted({*ready, *(bought.schools if bought is not None else ())}):
        state = (
            SchoolState.ERROR
            if school in failing
            else SchoolState.NOT_SET_UP
            if school not in ready
            else SchoolState.HELD
            if school in held
            else SchoolState.PENDING
            if school in waiting
            else SchoolState.SYNCED
        )
        wanted, lacking = ready.get(school, nobody), missing.get(school, nobody)
        synced = {name: max(wanted[name] - lacking[name], 0) for name in _COUNTED}
        rows[school] = {"state": state.value, "ready": wanted, "synced": synced}
    return rows


def _ready(shared: Shared) -> pl.DataFrame:
    """[school (source id), students, teachers, sections, administrators]: what the rules share of each school."""
    schools = shared.per_school.with_row_index("row")  # rows of `shared.schools`
    rights = shared.people["school"][shared.rights["person"]].value_counts(name="administrators")
    return schools.join(rights, left_on="row", right_on="school", how="left").select(
        pl.col("id").alias("school"), pl.col(_COUNTED).fill_null(0)
    )


def _missing(decision: Decision, left: pl.DataFrame) -> pl.DataFrame:
    """[school, students, teachers, sections, administrators]: how much of that is still to be made.

    Who is to be made says the plan, and what they are the shared roster. Whoever has no seat is not there either.
    """
    kind = pl.col("kind")
    made = left.filter(
        kind != Kind.MEMBERSHIP.value,  # most of a plan, and nobody's absence
        pl.col("op").is_in(COMING),
    )
    place, shared, wanted = ["school", "key"], decision.unseated, decision.desired
    people = decision.shared.people.select(_places(shared)["school"], shared.people["key"], "student", "teacher")
    without = [people.select(place).join(_places(wanted), on=place, how="anti")] if wanted is not shared else []
    absent = pl.concat([made.filter(kind == Kind.PERSON.value).select(place), *without])
    persons = (
        people.join(absent, on=place, how="semi")
        .group_by("school")
        .agg(students=pl.col("student").sum(), teachers=pl.col("teacher").sum())
    )
    others = made.group_by("school").agg(
        sections=(kind == Kind.CLASS.value).sum(), administrators=(kind == Kind.RIGHT.value).sum()
    )
    found = others.join(persons, on="school", how="full", coalesce=True)
    return found.select("school", pl.col(_COUNTED).fill_null(0))


def _places(state: Desired) -> pl.DataFrame:
    """[school, key] of all people of a state, in their order."""
    return state.people.select(state.schools["key"][state.people["school"]].alias("school"), "key")


def unfinished_of(applied: Applied | None, left: pl.DataFrame) -> tuple[Reason, str, Ending] | None:
    """Reason, message and ending of a run that could not carry out all that it may; None: it could."""
    if applied is None:
        return None
    if applied.broken is not None:
        words = f"{applied.applied} changes made, then: {applied.broken.message}"
        return Reason.of(applied.broken.reason), words, Ending.RETRY
    if applied.failed:
        words = f"{applied.applied} changes made, {applied.failed} refused: {'; '.join(applied.errors[:3])}"
        return Reason.SOME_CHANGES_FAILED, words, Ending.RETRY
    if applied.stopped is not None:
        return Reason.PROGRESSING, f"{applied.applied} changes made, {left.height} to go", Ending.UNFINISHED
    return None


def outcome_of(
    decision: Decision, applied: Applied | None, left: pl.DataFrame, district: District, *, kept: Kept
) -> tuple[Reason, str, Ending]:
    """Reason, message and how it ended; the weightiest comes first."""
    contact = f"; {district.spec.contact}" if district.spec.contact else ""
    if (unfinished := unfinished_of(applied, left)) is not None:
        return unfinished
    if decision.actual.unsure:
        words = f"{len(decision.actual.unsure)} schools could not be read in the target; nothing is changed in them"
        return Reason.TARGET_INCOMPLETE, words, Ending.RETRY
    if decision.lost:
        words = "the store is empty, but the target carries our marks: nothing is removed"
        if decision.reviewed.open:
            words += f"; {held_message(decision.reviewed.open, contact=district.spec.contact)}"
            return Reason.BASELINE_LOST, words, Ending.STALLED
        return Reason.BASELINE_LOST, words, Ending.DONE
    still = _standing_still(decision, contact)
    if decision.reviewed.open:
        words = held_message(decision.reviewed.open, contact=district.spec.contact)
        return Reason.HELD_FOR_APPROVAL, words + (f"; {still[1]}" if still else ""), Ending.STALLED
    if still is not None:
        return *still, Ending.STALLED
    return Reason.SUCCEEDED, _all_is_well(decision, left, kept), Ending.DONE


def _all_is_well(decision: Decision, left: pl.DataFrame, kept: Kept) -> str:
    distinct = decision.shared.distinct
    words = f"{distinct.students} students, {distinct.teachers} teachers, {distinct.sections} sections"
    words += " in sync" if left.is_empty() else f"; {left.height} changes are not made under this policy"
    if decision.without_seat:
        words += f"; students left out, as they hold no seat: {decision.without_seat}"
    if kept.long:
        words += f"; {kept.long} people have been kept for more than 14 days without a reason in the records"
    return words


def _standing_still(decision: Decision, contact: str) -> tuple[Reason, str] | None:
    """What somebody has to put right in the target before anything of it is changed."""
    doubts = decision.actual.adopting.doubts.height
    if decision.actual.conflicts:
        words = (
            f"{len(decision.actual.conflicts)} people are claimed by two accounts, or their account has a wrong mark: "
            f"nothing of theirs is changed until that is resolved{contact}"
        )
        return Reason.IDENTITY_CONFLICT, words
    if doubts:
        words = (
            f"{doubts} people, classes or schools match several things in the target, or one that may not be taken "
            f"over: nothing of them is changed until that is resolved{contact}"
        )
        return Reason.ADOPTION_UNCLEAR, words
    return None

"""What came of a LearningApp's run, in the words of its status, its conditions and the School rows. Pure.

Neighbours: `learningapp` (the run), `decide` (what it found), `school` (who shows the rows).
"""

from __future__ import annotations

from typing import Final

import polars as pl

from homeroom.api import ClassRemoval, District, LearningApp, PersonRemoval, PlanStatus, Reason, SchoolState
from homeroom.plan import IDENTITY, Cause, Kind, Op, Plan
from homeroom.reconcile.approvals import held_message
from homeroom.reconcile.decide import Decision
from homeroom.reconcile.executor import Applied
from homeroom.reconcile.run import Ending
from homeroom.roster.diff import identity
from homeroom.targets import Target


def left_to_do(decision: Decision, applied: Applied | None) -> pl.DataFrame:
    """Rows of the whole plan that are still to be done: undone, stopped by the guard, or not allowed by the policy."""
    plan = decision.plan.changes
    if applied is None:
        return plan
    done = identity(decision.allowed.changes).join(applied.undone, on=list(IDENTITY), how="anti", nulls_equal=True)
    keys = identity(plan).with_row_index("seq").join(done, on=list(IDENTITY), how="anti", nulls_equal=True)
    return plan[keys["seq"].sort()]


def plan_status(left: pl.DataFrame, blocked: int) -> PlanStatus:
    """What is still to be done after the run; so that it does not move in a run that changed nothing."""
    ops = pl.col("op").cast(pl.String)
    drift = pl.col("cause").cast(pl.String).is_in([Cause.DRIFT.value, Cause.INTRUDER.value])
    made = left.filter(ops.is_in([Op.CREATE.value, Op.RESTORE.value])).height
    changed = left.filter(ops == Op.UPDATE.value).height
    return PlanStatus(
        create=made,
        update=changed,
        remove=left.height - made - changed,
        drift=left.filter(drift).height,
        blocked=blocked,
        digest=None if left.is_empty() else Plan(left).digest(),
    )


def gaps(app: LearningApp, target: Target) -> list[str]:
    """What is declared and the target cannot do, with what happens instead."""
    found = []
    if not target.capabilities.suspend and PersonRemoval.SUSPEND in (
        app.spec.removal.students,
        app.spec.removal.teachers,
        app.spec.removal.administrators,
    ):
        found.append("the target cannot suspend accounts: memberships and roles are removed, accounts work on")
    if not target.capabilities.archive_class and app.spec.removal.classes is ClassRemoval.ARCHIVE:
        found.append("the target cannot archive classes: they are emptied")
    return found


def school_rows(decision: Decision, applied: Applied | None, left: pl.DataFrame) -> dict[str, object]:
    """How each school stands in this app, for its School object: {school id: {state, ready, synced}}."""
    held = {school for hold in decision.reviewed.open for school in hold.rows["school"].unique().to_list()}
    failing = set(decision.actual.unsure) | (set(applied.failed_schools) if applied is not None else set())
    open_rows = left.group_by("school").agg(
        (pl.col("kind").cast(pl.String) == Kind.CLASS.value).and_(_MISSING).sum().alias("sections"),
        (pl.col("kind").cast(pl.String) == Kind.PERSON.value)
        .and_(_MISSING, ~pl.col("staff").fill_null(value=False))
        .sum()
        .alias("students"),
        (pl.col("kind").cast(pl.String) == Kind.PERSON.value)
        .and_(_MISSING, pl.col("staff").fill_null(value=False))
        .sum()
        .alias("teachers"),
    )
    missing = {row["school"]: row for row in open_rows.iter_rows(named=True)}
    rows: dict[str, object] = {}
    for school in decision.shared.per_school.iter_rows(named=True):
        ready = {name: school[name] for name in _COUNTED}
        lacking = missing.get(school["id"])
        state = (
            SchoolState.ERROR
            if school["id"] in failing
            else SchoolState.HELD
            if school["id"] in held
            else SchoolState.PENDING
            if lacking is not None
            else SchoolState.SYNCED
        )
        synced = {name: max(ready[name] - (lacking[name] if lacking else 0), 0) for name in _COUNTED}
        rows[school["id"]] = {"state": state.value, "ready": ready, "synced": synced}
    return rows


_COUNTED: Final = ("students", "teachers", "sections")
_MISSING: Final = pl.col("op").cast(pl.String).is_in([Op.CREATE.value, Op.RESTORE.value])


def outcome_of(
    decision: Decision, applied: Applied | None, left: pl.DataFrame, district: District
) -> tuple[Reason, str, Ending]:
    """Reason, message and how it ended; the weightiest comes first."""
    contact = f"; {district.spec.contact}" if district.spec.contact else ""
    if applied is not None and applied.broken is not None:
        words = f"{applied.applied} changes made, then: {applied.broken.message}"
        return _BY_WORD[applied.broken.reason], words, Ending.RETRY
    if applied is not None and applied.failed:
        words = f"{applied.applied} changes made, {applied.failed} refused: {'; '.join(applied.errors[:3])}"
        return Reason.SOME_CHANGES_FAILED, words, Ending.RETRY
    if applied is not None and applied.stopped is not None:
        return Reason.PROGRESSING, f"{applied.applied} changes made, {left.height} to go", Ending.UNFINISHED
    if decision.actual.unsure:
        words = f"{len(decision.actual.unsure)} schools could not be read in the target; nothing is changed in them"
        return Reason.TARGET_INCOMPLETE, words, Ending.RETRY
    if decision.reviewed.open:
        words = held_message(decision.reviewed.open, contact=district.spec.contact)
        return Reason.HELD_FOR_APPROVAL, words, Ending.STALLED
    if decision.actual.conflicts:
        words = (
            f"{len(decision.actual.conflicts)} people are claimed by two accounts, or their account has a wrong mark: "
            f"nothing of theirs is changed until that is resolved{contact}"
        )
        return Reason.IDENTITY_CONFLICT, words, Ending.STALLED
    distinct = decision.shared.distinct
    words = f"{distinct.students} students, {distinct.teachers} teachers, {distinct.sections} sections"
    if not left.is_empty():
        return Reason.SUCCEEDED, f"{words}; {left.height} changes are not made under this policy", Ending.DONE
    return Reason.SUCCEEDED, f"{words} in sync", Ending.DONE


_BY_WORD: Final = {reason.value: reason for reason in Reason}

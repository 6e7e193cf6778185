"""From records, rules and the live target to a plan, without a single write.

The operator's runs (`learningapp`) and the command line go this same way, so that what `homeroom plan` shows is what
would be done. Neighbours: `homeroom.roster` (all decisions), `homeroom.plan.guard`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date

import polars as pl

from homeroom.api import District, Effect, LearningApp, MatchKey, Operator, Share, Template
from homeroom.plan import Guarded, Plan, Policy, guard
from homeroom.roster.desired import desired as desired_of
from homeroom.roster.diff import diff, sizes
from homeroom.roster.shared import Match, Rule, Shared, share
from homeroom.roster.state import Actual, Desired, Known
from homeroom.roster.tables import Roster
from homeroom.store import StoredBaseline
from homeroom.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one look at records and target says.

    `plan`: everything that differs. `guarded`: what of it may be done and what the guard stopped. `allowed`: what the
    policy lets through of that.
    """

    shared: Shared
    desired: Desired
    actual: Actual
    plan: Plan
    guarded: Guarded
    allowed: Plan

    @property
    def blocked(self) -> int:
        """Changes that are wanted and not allowed now."""
        return self.plan.changes.height - self.allowed.changes.height


async def decide(
    app: LearningApp,
    *,
    district: District,
    rules: Sequence[Rule],
    roster: Roster,
    shared: Shared,
    target: Target,
    stored: StoredBaseline | None,
    known: Known,
    today: date,
) -> Decision:
    """Read the target, which is open, and work out what is to change there; writes nothing.

    `shared`: what `rules` select of `roster` on the district's day `today`.
    """
    homeroom = district.spec.homeroom
    wanted = await asyncio.to_thread(desired_of, roster, shared)
    actual = await target.read(recognisable(known, wanted))

    def compare() -> Plan:
        intermediate = None
        if stored is not None and stored.rules != canonical(rules):
            before = share(roster, rules_from(stored.rules), homeroom=homeroom, today=today)
            intermediate = desired_of(roster, before)
        return diff(
            wanted,
            actual,
            baseline=stored.baseline if stored else None,
            removal=app.spec.removal,
            roster=roster,
            today=today,
            intermediate=intermediate,
        )

    plan = await asyncio.to_thread(compare)
    guarded = guard(plan, sizes(actual))
    return Decision(
        shared=shared,
        desired=wanted,
        actual=actual,
        plan=plan,
        guarded=guarded,
        allowed=guarded.plan.under(Policy(app.spec.policy.value)),
    )


def canonical(rules: Sequence[Rule]) -> str:
    """Rules as text that is equal only for equal rules; kept with the baseline."""
    return json.dumps([asdict(rule) for rule in sorted(rules, key=lambda rule: rule.name)], sort_keys=True)


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
    )


def recognisable(known: Known, wanted: Desired) -> Known:
    """What the target has to recognise: all that is wanted now, and all that was ever made."""
    schools = wanted.schools["key"]
    classes = wanted.classes.select(schools.gather(wanted.classes["school"]).alias("school"), "key")
    return Known(
        schools=sorted({*known.schools, *schools.to_list()}),
        classes=pl.concat([known.classes, classes]).unique().sort("school", "key"),
        usernames=known.usernames,
    )

"""What is put right in some chats at once, between two runs, from what the last run had decided. Pure.

Somebody changed these chats by hand. What the run before them wanted stands in its baseline, so neither records nor
policy are read again, and a repair costs as much as the few chats, not as the district. It makes only what no guard
would ask about: strangers go, and who was put out comes back, names and settings are as they were. All else that
differs is left to the next run, which judges it; so is giving rights back, as every gain of rights waits for a word.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl

from homeroom.chats.able import feasible, under
from homeroom.chats.baseline import Baseline
from homeroom.chats.diff import diff
from homeroom.chats.policy import ChatRules
from homeroom.chats.records import Links
from homeroom.chats.state import Actual, Desired
from homeroom.chats.words import Capabilities
from homeroom.plan import COMING, Cause, Kind, Plan

_AT_ONCE: Final = [Cause.DENIED.value, Cause.INTRUDER.value, Cause.UNLINKED.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What a whole run has decided, and what by. `baseline`: as it was settled after the run.

    `denied`: source ids of people who must be out; `still`: accounts that stand still; as in `diff`.
    """

    baseline: Baseline
    rules: ChatRules
    links: Links
    denied: Collection[str] = ()
    still: Collection[str] = ()

    def wanted(self, actual: Actual) -> Desired:
        """What there should be of the chats that were read; for the hands that repair them."""
        return self.baseline.desired.only(actual.chats["key"])

    def repairs(self, actual: Actual, *, able: Capabilities, now: datetime) -> Plan:
        """What to make at once in the chats that were read. None of it needs a guard, and none changes the baseline."""
        before = self.baseline.only(actual.chats["key"])
        plan = diff(
            before.desired,
            actual,
            rules=self.rules,
            links=self.links,
            able=able,
            now=now,
            baseline=before,
            denied=self.denied,
            still=self.still,
        )
        cause, kind = pl.col("cause").cast(pl.String), pl.col("kind").cast(pl.String)
        gains = (kind == Kind.RIGHT.value) & pl.col("op").cast(pl.String).is_in(COMING)
        harmless = cause.is_in(_AT_ONCE) | ((cause == Cause.DRIFT.value) & ~gains)
        return feasible(under(Plan(plan.changes.filter(harmless)), self.rules.membership), able).plan

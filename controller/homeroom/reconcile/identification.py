r"""Between a raw reading and the source door: Homeroom's ids for all, questions are held, people stand still.

::

    raw reading, pins --> classes of their school years --+
    links of the spec and of its file --------------------+--> recognise --> roster in Homeroom's ids --+
    served until now -------------------------------------+       \-> questions --> holds --> frozen ---+--> `admission`

What this holds are questions about people, each with a hold of its own; what the door holds are losses. Both stand in
`status.holds` and are approved alike. Neighbours: `homeroom.roster.years` and `homeroom.roster.recognition` (all
decisions), `homeroom.plan.hold` (the life of a hold), `district` (who calls both).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl

from homeroom.api import District
from homeroom.plan import (
    CHANGE,
    CHANGE_SCHEMA,
    MOMENT,
    Guard,
    Hold,
    Judged,
    Plan,
    Unseen,
    changes,
    doubted_since,
    review,
    settled,
)
from homeroom.reconcile.admission import NOBODY, Admission, DoorMemory, admit, as_snapshot
from homeroom.reconcile.decide import Salt, limits_of
from homeroom.roster.door import RELEASED
from homeroom.roster.recognition import called, is_too_much, judge_questions, recognise, unanswered
from homeroom.roster.tables import Roster
from homeroom.roster.years import known, pinned
from homeroom.sources import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """A reading with everybody, and every class, in it called as Homeroom calls them.

    `reading`: roster and credentials are in Homeroom's ids. `frozen`: source ids of people who stand still. `is_held`:
    there are too many of them, and nothing of the reading is served.
    `unknown`: links that name no record. `holds`: of questions, as they stand now. `memory`: what the door has to know,
    with the pins from now on. `ended`: ids of classes that ended with their school year.
    """

    reading: Snapshot
    frozen: pl.Series
    is_held: bool
    unknown: int
    holds: tuple[Hold, ...]
    memory: DoorMemory
    ended: pl.Series


def identify(
    before: Roster | None,
    reading: Snapshot,
    *,
    district: District,
    listed: pl.DataFrame | None,
    memory: DoorMemory,
    now: datetime,
    salt: Salt,
) -> Identified:
    """Compare a raw `reading` with what is served `before` (None: nothing was), and ask what a person has to decide.

    `listed`: the links of the file of `linksFrom`. Raises InvalidSpecError when a record is linked two ways.
    """
    served = before if before is not None else Roster.empty()
    # While the clock is in doubt no class turns over because of the day (invariant 15).
    today = district.spec.day(doubted_since(memory.noted, (), now=now) or now)
    sections = pinned(reading.roster, known(memory.pins, served, today=today), today=today)
    found = recognise(
        served,
        sections.roster,
        identity=district.spec.identity,
        listed=listed,
    )
    limits = limits_of(district.spec.guard)

    def judged(_: Sequence[Hold], released: pl.DataFrame, sticky: pl.DataFrame) -> Judged:
        held = judge_questions(found, limits, released=released, sticky=sticky)
        answered = released.unique(CHANGE, keep="first")
        passing = found.asked.join(answered, on=list(CHANGE), nulls_equal=True, maintain_order="left")
        return Judged(plan=Plan(passing), held=held, waiting=0)

    questions = [hold for hold in memory.holds if hold.guard is Guard.IDENTITY]
    reviewed = review(
        Plan(found.asked),
        questions,
        memory.words,
        judged,
        made=pl.DataFrame(schema=CHANGE_SCHEMA),
        unseen=Unseen(),
        now=now,
        salt=salt,
    )
    still = unanswered(found, changes(reviewed.plan.changes))
    frozen = still["key"].unique().sort() if still.height else NOBODY
    is_held = is_too_much(found, still, limits)
    done = reviewed.plan.changes.filter(~pl.col("key").is_in(frozen.implode()) & (not is_held))
    credentials = called(reading.credentials, "user", links=found.links, users=reading.roster.users)
    moment = pl.lit(now).cast(MOMENT).alias("at")
    passed = replace(
        memory.passed,
        released=pl.concat([memory.passed.released, done.select(*RELEASED, moment)]),
    )
    return Identified(
        reading=replace(
            as_snapshot(found.roster, reading), credentials=credentials.filter(~pl.col("user").is_in(frozen.implode()))
        ),
        frozen=frozen,
        is_held=is_held,
        unknown=found.unknown,
        holds=settled(reviewed.holds, changes(done)),
        memory=replace(
            memory,
            holds=[hold for hold in memory.holds if hold.guard is not Guard.IDENTITY],
            passed=passed,
            pins=sections.pins,
        ),
        ended=sections.ended,
    )


def admitted(
    before: Roster | None, identified: Identified, *, district: District, now: datetime, salt: Salt
) -> Admission:
    """What is served from now on: through the source door, unless too much is in question; with the holds of both."""
    memory = identified.memory
    if identified.is_held and before is not None:
        admission = Admission(served=before, holds=tuple(memory.holds), passed=memory.passed)
    else:
        admission = admit(
            before,
            identified.reading.roster,
            district=district,
            memory=memory,
            now=now,
            salt=salt,
            frozen=identified.frozen,
            ended=identified.ended,
        )
    holds = sorted([*identified.holds, *admission.holds], key=lambda hold: (hold.published, hold.id))
    return replace(admission, holds=tuple(holds))

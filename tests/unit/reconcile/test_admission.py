"""What holds for every history of readings at the source door: random districts, approvals late, early or never."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples
from tests.unit.roster.rosters import records
from tests.unit.roster.test_door import canonical, contents, plain

from homeroom.api import District, parse
from homeroom.plan import Op, State, Word
from homeroom.reconcile.admission import Admission, DoorMemory, admit
from homeroom.roster.door import departures, present
from homeroom.roster.tables import Roster
from homeroom.store import Passed

BEGIN = datetime(2026, 11, 2, 2, tzinfo=UTC)
SPEC = {"timeZone": "Europe/Amsterdam", "source": {"oneRosterCSV": {"url": "https://sis.example/export.zip"}}}


def district(**guard: object) -> District:
    document = {"apiVersion": "homeroom.dev/v1alpha1", "kind": "District", "metadata": {"name": "d", "namespace": "n"}}
    found = parse({**document, "spec": {**SPEC, "guard": guard}})
    assert isinstance(found, District)
    return found


class History:
    """One district, reading after reading."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.salt = lambda: chance.randbytes(16)
        self.memory = DoorMemory(holds=(), words=(), passed=Passed(), rolled_over=False)
        self.served: Roster | None = None
        self.now = BEGIN
        self.district = district(ignoreBelow=1)

    def read(self, fresh: Roster, *approved: str) -> Admission:
        """A night later, with a commit that approves these holds."""
        self.now += timedelta(days=1)
        words = [*self.memory.words, *(Word(name=hold, hold=hold, at=self.now) for hold in approved)]
        memory = replace(self.memory, words=words)
        found = admit(self.served, fresh, district=self.district, memory=memory, now=self.now, salt=self.salt)
        self.memory = replace(memory, holds=found.holds, passed=found.passed)
        self.served = found.served
        return found


def gone(before: Roster, fresh: Roster) -> pl.DataFrame:
    """What `fresh` lacks, of those who are anywhere."""
    return departures(before, fresh).filter(pl.col("op") == Op.REMOVE.value).drop_nulls("school")


@examples(15)
@given(data=st.data(), seed=st.integers(0, 9))
def test_what_is_held_is_served_until_it_is_approved_and_then_it_all_converges(data: st.DataObject, seed: int) -> None:
    history = History(seed)
    history.read(canonical(*data.draw(records())))
    fresh = canonical()
    for _ in range(3):
        fresh = canonical(*data.draw(records()))
        before, waiting = history.served, [hold.id for hold in history.memory.holds if hold.state is State.OPEN]
        assert before is not None
        approved = data.draw(st.sets(st.sampled_from(waiting))) if waiting else set[str]()
        found = history.read(fresh, *approved)
        assert gone(fresh, found.served).is_empty(), "something that is in the export is not served"
        held = pl.concat([hold.rows for hold in found.open]) if found.open else None
        if held is not None:
            there = held.filter(pl.col("op") == Op.REMOVE.value)
            assert present(there, found.served).all(), "something that is held is not served"
        assert {hold.id for hold in found.open}.isdisjoint(approved)
        let_go = gone(before, found.served)
        released = found.passed.released.filter(pl.col("op") == Op.REMOVE.value)
        assert not present(released, found.served).any(), "something that came back is still released"
        assert let_go.filter(pl.col("kind") == "School").join(released, on=["kind", "key"], how="anti").is_empty(), (
            "a school is gone that nobody approved"
        )
    while waiting := [hold.id for hold in history.memory.holds if hold.state is State.OPEN]:
        history.read(fresh, *waiting)
    assert history.served is not None
    assert gone(history.served, fresh).is_empty()
    served, holds = history.served, history.memory.holds
    again = history.read(fresh)
    assert contents(plain(again.served)) == contents(plain(served))
    assert [*map(id, again.holds)] == [*map(id, holds)]

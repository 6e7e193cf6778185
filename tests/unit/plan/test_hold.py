"""Holds and approvals over time: the worked example of DESIGN.md section 6 day by day, and random histories.

Histories check what invariant 4 and section 6 promise: nothing above a threshold goes without approval, no struck or
new change rides on an old approval, every approved change is made in the end, and everything converges, whatever joins,
leaves, moves, returns, is edited in Git, breaks, crashes, and comes late, early, twice or for the wrong hold.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.plan.rows import Row, plan

from homeroom.plan import (
    CHANGE_SCHEMA,
    HELD_SCHEMA,
    IDENTITY_SCHEMA,
    RECENT_SCHEMA,
    SIZES_SCHEMA,
    WINDOW_DAYS,
    Cause,
    Guard,
    Hold,
    Judged,
    Kind,
    Limits,
    Op,
    Plan,
    Reviewed,
    Standing,
    State,
    Unseen,
    Word,
    changes,
    is_exposing,
    judge,
    review,
    settled,
)
from homeroom.plan.hold import VALID

MONDAY = datetime(2026, 9, 7, 2, 0, tzinfo=UTC)
Person = tuple[str, str]  # school, key


@dataclass(frozen=True)
class Done:
    """One row of the journal."""

    at: datetime
    op: Op
    person: Person
    cause: Cause
    hold: str | None


@dataclass
class District:
    """Records, rules, a target, and what is remembered between runs: people in schools, nothing else.

    `excluded`: whom Git keeps away now. `excluded_before`: the same, as of the last edit that nobody has to look at,
    and whom an edit kept away since.
    """

    records: set[Person]
    target: set[Person]
    excluded: set[Person] = field(default_factory=set)
    excluded_before: set[Person] = field(default_factory=set)
    now: datetime = MONDAY
    holds: tuple[Hold, ...] = ()
    words: list[Word] = field(default_factory=list)
    journal: list[Done] = field(default_factory=list)
    kept: dict[Person, Cause] = field(default_factory=dict)  # why they are to go who are still there
    salts: Iterable[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def shared(self) -> set[Person]:
        return self.records - self.excluded

    def planned(self, *, complete: bool = True) -> list[Row]:
        coming = sorted(self.shared - self.target)
        leaving = sorted(self.target - self.shared) if complete else []
        arriving = {key for _, key in coming}
        self.kept = {person: cause for person, cause in self.kept.items() if person in self.target - self.shared}
        rows: list[Row] = []
        for school, key in leaving:
            edited = (school, key) in self.records
            cause = self.kept.get((school, key), Cause.SHARING_CHANGED if edited else Cause.LEFT_SOURCE)
            if cause is Cause.LEFT_SOURCE and key in arriving and (school, key) not in self.kept:
                cause = Cause.MOVED
            else:
                self.kept[school, key] = cause
            rows.append((school, "Person", "Suspend", cause, key, None, None))
        for school, key in coming:
            cause = Cause.SHARING_CHANGED if (school, key) in self.excluded_before else Cause.SOURCE_ADDED
            rows.append((school, "Person", "Create", cause, key, None, None))
        return rows

    def _judge(
        self,
        rows: Sequence[Row],
        planned: Plan,
        holds: Sequence[Hold],
        released: pl.DataFrame,
        sticky: pl.DataFrame,
    ) -> Judged:
        """`planned`: the `rows` as a plan. `holds`: as they stand after the words of this run."""
        sizes = [(Kind.PERSON.value, s, None, n) for s, n in self.sizes().items()]
        since = self.now - timedelta(days=WINDOW_DAYS)
        recent = [
            (Kind.PERSON.value, done.person[0], None, done.op.value, done.cause.value, done.hold is not None, 1)
            for done in self.journal
            if done.at >= since
        ]
        exposed = [
            (kind, school, key, class_key, role)
            for school, kind, op, cause, key, class_key, role in rows
            if (op, cause) == ("Create", Cause.SHARING_CHANGED)
        ]
        standing = Standing(
            sizes=pl.DataFrame(sizes, schema=SIZES_SCHEMA, orient="row"),
            recent=pl.DataFrame(recent, schema=RECENT_SCHEMA, orient="row"),
            reviewed=None,
            known=sorted(self.sizes()),
            kinds=[False],
            covered=pl.DataFrame(exposed, schema=IDENTITY_SCHEMA, orient="row"),
            exposing=is_exposing(holds, context=self.context),
        )
        return judge(planned, standing, Limits(), released=released, sticky=sticky)

    @property
    def context(self) -> str:
        return str(sorted(self.excluded))

    @property
    def rests(self) -> bool:
        """Nothing is left to do or to look at."""
        return self.target == self.shared and not any(hold.active for hold in self.holds)

    def sizes(self) -> dict[str, int]:
        schools = {school for school, _ in self.target | self.records}
        return {school: sum(s == school for s, _ in self.target) for school in sorted(schools)}

    def run(self, *, complete: bool = True, dies_after: int | None = None) -> Reviewed:
        """One run; it dies after so many changes, before it can note what it did in its holds."""
        made = self._made([hold.id for hold in self.holds if hold.state is State.APPROVED])
        rows = self.planned(complete=complete)
        planned = plan(rows)
        reviewed = review(
            planned,
            self.holds,
            self.words,
            lambda holds, released, sticky: self._judge(rows, planned, holds, released, sticky),
            made=made,
            unseen=Unseen(complete=complete),
            contexts={Guard.EXPOSURE: self.context},
            now=self.now,
            salt=lambda: next(iter(self.salts)).to_bytes(16),
        )
        self.holds = reviewed.holds
        if Guard.EXPOSURE in reviewed.stopping:
            self.excluded_before |= self.excluded
        else:
            self.excluded_before = set(self.excluded)
        todo = reviewed.plan.changes.select("op", "school", "key", "cause", "hold").rows()
        for op, school, key, cause, hold in todo[:dies_after]:
            if op == "Create":
                self.target.add((school, key))
            else:
                self.target.remove((school, key))
            self.journal.append(Done(self.now, Op(op), (school, key), Cause(cause), hold))
        if dies_after is None:
            self.holds = settled(self.holds, changes(reviewed.plan.changes))
        return reviewed

    def _made(self, holds: Collection[str]) -> pl.DataFrame:
        made = [done for done in self.journal if done.hold in holds]
        rows = [(done.op.value, "Person", *done.person, None, None) for done in made]
        return pl.DataFrame(rows, schema=CHANGE_SCHEMA, orient="row")

    def approve(self, hold: str, name: str = "yes") -> None:
        self.words.append(Word(name=name, hold=hold, at=self.now))

    def hold(self, identifier: str) -> Hold:
        return next(hold for hold in self.holds if hold.id == identifier)

    def removed(self, hold: str | None = None) -> int:
        return sum(done.op is Op.SUSPEND and done.hold == hold for done in self.journal)


def people(school: str, numbers: Iterable[int]) -> set[Person]:
    return {(school, f"u{n:03}") for n in numbers}


def test_the_worked_example_day_by_day() -> None:
    everybody = people("s-001", range(400)) | people("s-002", range(400))
    lost, joined = people("s-002", range(140)), people("s-002", range(400, 409))
    district = District(records=(everybody - lost) | joined, target=set(everybody))

    # Monday: school s-002 loses 140 of 400; nine joins apply.
    district.run()
    assert district.target == everybody | joined
    (hold,) = district.holds
    assert (hold.guard, hold.scope, hold.place, hold.total) == ("Deletes", "School", "s-002", 140)

    # Tuesday: two return, one more leaves; a commit approves; the operator dies after 70 of what it may do.
    district.now += timedelta(days=1)
    returned, extra = people("s-002", [0, 1]), ("s-002", "u399")
    district.records = (district.records | returned) - {extra}
    district.approve(hold.id)
    district.run(dies_after=70)
    assert len(district.target) == len(everybody | joined) - 70
    assert district.hold(hold.id).rows.height == 138

    # Wednesday: the rest goes, the extra leaver among it, by itself.
    district.now += timedelta(days=1)
    district.run()
    assert district.target == district.records
    assert (district.removed(hold.id), district.removed(None)) == (138, 1)
    done = district.hold(hold.id)
    assert (done.state, done.struck, done.total - done.struck) == (State.USED, 2, 138)

    # Friday: one who had returned leaves: an ordinary removal, not by the approval.
    district.now += timedelta(days=2)
    district.records -= people("s-002", [0])
    district.run()
    assert district.target == district.records
    assert (district.removed(hold.id), district.removed(None)) == (138, 2)

    # In November the same 140 vanish, who had come back in between: a new id, the old approval does nothing.
    district.records |= lost
    district.run()
    district.now += timedelta(days=60)
    district.records -= lost
    district.run()
    assert district.target >= lost
    (new,) = (one for one in district.holds if one.state is State.OPEN)
    assert new.id != hold.id
    assert new.total == 140


def lossy() -> District:
    """Forty people of whom ten vanished: one hold."""
    everybody = people("s1", range(40))
    district = District(records=everybody - people("s1", range(10)), target=everybody)
    district.run()
    return district


def test_a_hold_that_nobody_plans_any_more_goes_away_by_itself() -> None:
    district = lossy()
    district.records |= people("s1", range(10))
    assert district.run().open == ()
    assert [hold.state for hold in district.holds] == [State.GONE]


def test_an_incomplete_reading_neither_shrinks_a_hold_nor_publishes_one() -> None:
    district = lossy()
    (hold,) = district.holds
    district.run(complete=False)
    assert district.holds == (hold,)
    assert _reviewed(district, Unseen(schools=["s1"])) == (hold,)
    one = Unseen(people=pl.DataFrame({"school": ["s1"], "key": ["u003"]}))
    assert _reviewed(district, one)[0].rows["key"].to_list() == ["u003"]


def _reviewed(district: District, unseen: Unseen) -> Sequence[Hold]:
    """The holds after a run that plans nothing and cannot see everything."""
    made = pl.DataFrame(schema=CHANGE_SCHEMA)
    return review(
        plan([]), district.holds, [], _nothing, made=made, unseen=unseen, now=district.now, salt=lambda: b""
    ).holds


def _nothing(_holds: Sequence[Hold], _released: pl.DataFrame, _sticky: pl.DataFrame) -> Judged:
    return Judged(plan=plan([]), held=pl.DataFrame(schema=HELD_SCHEMA), waiting=0)


def test_a_hold_can_be_approved_for_fourteen_days_and_then_has_a_new_id() -> None:
    district = lossy()
    (old,) = district.holds
    district.now += VALID
    district.run()
    expired, new = district.holds
    assert (expired.id, expired.state, expired.successor) == (old.id, State.EXPIRED, new.id)
    assert (new.state, new.since, new.total) == (State.OPEN, old.since, 10)
    district.approve(old.id)
    district.run()
    assert len(district.target) == 40
    district.approve(new.id)
    district.run()
    assert len(district.target) == 30


def test_a_word_that_came_in_time_counts_even_if_nobody_ran_then() -> None:
    district = lossy()
    (hold,) = district.holds
    district.approve(hold.id)
    district.now += timedelta(days=30)
    district.run()
    assert len(district.target) == 30
    assert district.hold(hold.id).approval == "yes"


def test_a_used_hold_stays_used_and_the_first_word_counts() -> None:
    district = lossy()
    (hold,) = district.holds
    district.approve(hold.id, "second")
    district.words.insert(0, Word(name="first", hold=hold.id, at=district.now - timedelta(hours=1)))
    district.run()
    assert district.hold(hold.id).approval == "first"
    district.now += timedelta(days=30)
    district.records |= people("s1", range(10))
    district.run()
    district.records -= people("s1", range(10))
    district.run()
    assert len(district.target) == 40


def test_ids_do_not_tell_who_is_meant() -> None:
    one, other = lossy(), replace(lossy(), salts=itertools.count(7))
    (hold,) = one.holds
    other.holds = one.holds[:0]
    other.run()
    assert hold.rows.equals(other.holds[0].rows)
    assert hold.id.split("-")[0] != other.holds[0].id.split("-")[0]


# -- random histories -------------------------------------------------------------------------------------------------

SIZE = 30
OTHER = {"s1": "s2", "s2": "s1"}
NUMBERS = st.sets(st.integers(0, SIZE - 1), max_size=SIZE)
STEP = st.tuples(
    st.sampled_from(["leave", "join", "return", "move", "exclude", "include", "nothing"]),
    st.sampled_from(["s1", "s2"]),
    st.one_of(NUMBERS, st.sets(st.integers(0, SIZE - 1), min_size=1, max_size=4)),  # a few pass, until they are many
    st.sampled_from([0, 1, 1, 3, 8, 20]),  # days until then
    st.booleans(),  # the reading is complete
    st.one_of(st.none(), st.integers(0, 12)),  # the run dies after so many changes
    st.lists(st.integers(0, 9), max_size=2),  # holds that are approved, by their number; also used and unknown ones
)
HISTORIES = int(os.environ.get("HOMEROOM_HISTORIES", "600"))
PARTS = 4


@dataclass
class Witness:
    """Knows what may be released, by the words of DESIGN.md and not by the code that is tested."""

    published: dict[str, set[tuple[Op, Person]]] = field(default_factory=dict)
    covered: set[Person] = field(default_factory=set)  # whom Git kept away at the last run
    exposed: set[Person] = field(default_factory=set)  # who was among them, is no more, and has waited since

    def look(self, district: District, *, complete: bool) -> None:
        """Before a run: what is no longer planned is struck from all sets."""
        freed, self.covered = self.covered - district.excluded, set(district.excluded)
        self.exposed = (self.exposed | freed) & (district.shared - district.target)
        if complete:
            planned = {(Op.SUSPEND, person) for person in district.target - district.shared}
            planned |= {(Op.CREATE, person) for person in district.shared - district.target}
            self.published = {hold: left & planned for hold, left in self.published.items()}

    def learn(self, district: District) -> None:
        """After a run: which holds there are now."""
        for hold in district.holds:
            rows = {(Op(op), (school, key)) for op, school, key in hold.rows.select("op", "school", "key").rows()}
            self.published.setdefault(hold.id, rows)


def unapproved_removals_are_few(district: District, before: dict[tuple[datetime, str], int]) -> bool:
    """In no school and no seven days went more than the threshold of what was there at their start (safety row 3).

    Of those whom an edit in Git put out, fewer than the floor (invariant 11); moves take nobody anything away.
    """
    floor = Limits().ignore_below
    for (start, school), size in before.items():
        gone = Counter(
            done.cause
            for done in district.journal
            if (done.op, done.hold, done.person[0]) == (Op.SUSPEND, None, school)
            and start <= done.at < start + timedelta(days=WINDOW_DAYS)
        )
        left, put_out = gone[Cause.LEFT_SOURCE], gone[Cause.SHARING_CHANGED]
        if put_out >= floor or (left >= floor and left * 100 > size * Limits().deletes):
            return False
    return True


def _step(what: str, number: int, *, complete: bool) -> tuple[str, str, set[int], int, bool, None, list[int]]:
    return what, "s1", {number}, 0, complete, None, []


# While somebody is asked about who an Exclude covered, another one is made, works, and goes.
@example(
    steps=[
        _step("exclude", 1, complete=True),
        _step("include", 1, complete=True),
        _step("exclude", 0, complete=True),
        _step("include", 0, complete=True),
    ],
)
@pytest.mark.parametrize("part", range(PARTS))
@settings(max_examples=-(-HISTORIES // PARTS), deadline=None)
@given(steps=st.lists(STEP, min_size=2, max_size=10))
def test_random_histories(part: int, steps: list[tuple[str, str, set[int], int, bool, int | None, list[int]]]) -> None:
    assert part < PARTS  # four at a time, on as many workers
    everybody = people("s1", range(SIZE)) | people("s2", range(SIZE))
    district, witness = District(records=set(everybody), target=set(everybody)), Witness()
    sizes: dict[tuple[datetime, str], int] = {}
    for what, school, numbers, days, complete, dies_after, approvals in steps:
        district.now += timedelta(days=days, minutes=1)
        _happens(district, what, school, people(school, numbers), everybody)
        for number in approvals:
            known = list(district.holds)
            district.approve(known[number].id if number < len(known) else "000000-0000", f"word-{number}")
        _checked_run(district, witness, sizes, complete=complete, dies_after=dies_after)
    for _ in range(4):  # somebody approves what is left: it converges
        district.now += timedelta(minutes=1)
        for hold in district.holds:
            if hold.state is State.OPEN:
                district.approve(hold.id, "last")
        _checked_run(district, witness, sizes, complete=True, dies_after=None)
        if district.rests:  # nothing will be planned any more
            break
    assert district.rests


def _happens(district: District, what: str, school: str, chosen: set[Person], everybody: set[Person]) -> None:
    """Something in the records, or in Git."""
    there = chosen & district.records
    if what == "leave":
        district.records -= chosen
    elif what == "return":
        district.records |= chosen & everybody
    elif what == "join":
        district.records |= {(school, key + "n") for school, key in chosen}
    elif what == "move":
        district.records = (district.records - there) | {(OTHER[school], key) for _, key in there}
    elif what == "exclude":
        district.excluded |= chosen
    elif what == "include":
        district.excluded -= chosen


def _checked_run(
    district: District,
    witness: Witness,
    sizes: dict[tuple[datetime, str], int],
    *,
    complete: bool,
    dies_after: int | None,
) -> None:
    witness.look(district, complete=complete)
    sizes |= {(district.now, school): size for school, size in district.sizes().items()}
    words = {word.hold: word for word in district.words}
    seen = len(district.journal)
    additions = district.shared - district.target - district.excluded_before
    district.run(complete=complete, dies_after=dies_after)
    for done in district.journal[seen:]:
        if done.hold is not None:
            assert done.hold in words, "nobody approved this"
            assert (done.op, done.person) in witness.published[done.hold], "not in the set, or struck from it"
        if done.op is Op.CREATE and done.person in witness.exposed:
            assert done.hold is not None, "whom an Exclude covered comes by a word only"
    if dies_after is None:
        assert additions <= district.target, "other additions pass whatever is held"
    assert unapproved_removals_are_few(district, sizes)
    left = {school for school, _ in district.target}
    said = (done.hold is not None or done.cause is Cause.MOVED for done in district.journal)
    assert left == {"s1", "s2"} or any(said), "nothing is emptied"
    witness.learn(district)

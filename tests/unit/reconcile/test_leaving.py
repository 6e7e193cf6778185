"""Whole runs, day by day, on a product that remembers: who leaves, who stays a while, what an edit takes away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.reconcile.runs import APP, Declared, Forgetful, Running
from tests.unit.roster.states import COACH, LEARNER, Member, Target
from tests.unit.stores import open_store

from homeroom.api import API_VERSION
from homeroom.api.conditions import find
from homeroom.demo.stage import RECORDS, Records
from homeroom.plan import Change, Op, Outcome, Result
from homeroom.reconcile.learningapp import SETTLE
from homeroom.reconcile.run import Report
from homeroom.roster.state import Actual, Known
from homeroom.store import JournalQuery, RunRow, Store

DAY = timedelta(days=1)


class KilledError(Exception):
    """The operator dies."""


class Product(Forgetful):
    """A target that does what it is asked to, and dies after `lives` batches."""

    def __init__(self) -> None:
        self.holds = Target()
        self.lives: int | None = None

    async def read(self, _known: Known) -> Actual:
        return self.holds.actual()

    async def apply(self, batch: Sequence[Change]) -> Sequence[Outcome]:
        if self.lives is not None:
            if not self.lives:
                raise KilledError
            self.lives -= 1
        for change in batch:
            self.holds.make(change)
        return [Outcome(seq=change.seq, result=Result.APPLIED) for change in batch]


class Telling(Declared):
    """A cluster that remembers the statuses of Approvals."""

    def __init__(self) -> None:
        super().__init__()
        self.statuses: dict[str, Any] = {}

    async def write_status(self, *written: object) -> None:
        obj, status = written
        assert isinstance(obj, Mapping)
        self.statuses[obj["metadata"]["name"]] = status


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A class of the example with one teacher and several students."""

    school: str
    section: str
    teacher: str
    students: list[str]


class District(Running):
    """The example district with a product that remembers; days are counted from a month after the first sync."""

    def __init__(self, store: Store, directory: Path) -> None:
        super().__init__(store)
        self.cluster: Telling = Telling()
        self.product = Product()
        self._directory = directory
        self.records = Records(RECORDS)
        self._spec: dict[str, Any] = {}

    def open_target(self) -> Any:
        return self.product

    async def open(self, *, administrators: bool = False) -> None:
        """The first sync; without administrators nothing waits for a person."""
        if not administrators:
            self.cluster.objects = [obj for obj in self.cluster.objects if obj["metadata"]["name"] != "administrators"]
        await self.root.reconcile(self.started())
        self.minutes += SETTLE / timedelta(minutes=1)
        await self.root.reconcile(self.started())
        self.begin = self.clock.now() + 30 * DAY  # of the last week only what the test does

    async def on(self, day: float) -> Report[Any]:
        """A run on that day."""
        self.minutes += (self.begin + day * DAY - self.clock.now()) / timedelta(minutes=1)
        return await self.root.reconcile(self.started())

    def note(self) -> None:
        """Write down that the app was read now, as the shell around a run does."""
        now = self.clock.now()
        row = RunRow(started_at=now, ended_at=now, reason="", message="", read_at=now)
        self.store.save_run(row, kind=APP.kind, namespace=APP.namespace, name=APP.name, epoch=1)

    def export(self, edit: Callable[[Records], object] = lambda _: None) -> None:
        """The records as they are after an edit; nothing of earlier edits stays."""
        self.records = Records(RECORDS)
        edit(self.records)
        path = self._directory / "export.zip"
        path.write_bytes(self.records.zipped())
        self.publish(path)

    def edit(self, **spec: Any) -> None:
        """Somebody commits another spec of the app."""
        app = self.cluster.get(APP)
        self.cluster.objects = [
            {**obj, "spec": {**obj["spec"], **spec}} if obj is app else obj for obj in self.cluster.objects
        ]

    def deny(self, person: str) -> None:
        """Somebody commits that this person must be out."""
        self.cluster.objects = [
            {**obj, "spec": {**obj["spec"], "deny": [{"person": person}]}} if obj["kind"] == "District" else obj
            for obj in self.cluster.objects
        ]

    def approve(self, hold: str) -> None:
        """Somebody commits the Approval of a hold."""
        metadata = {"name": hold, "namespace": APP.namespace, "uid": hold, "generation": 1}
        metadata["creationTimestamp"] = self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        spec = {"targetRef": {"kind": "LearningApp", "name": APP.name}, "hold": hold, "reason": "seen"}
        approval: Any = {"apiVersion": API_VERSION, "kind": "Approval", "metadata": metadata, "spec": spec}
        self.cluster.objects.append(approval)

    @property
    def lesson(self) -> Lesson:
        """The first class of the product with one teacher and at least eight students."""
        shown = self.product.holds.shown().members
        for school, section in sorted({(school, section) for school, section, _, _ in shown}):
            teachers, students = self.members(section, COACH), self.members(section, LEARNER)
            if len(teachers) == 1 and len(students) >= 8:
                return Lesson(school=school, section=section, teacher=teachers[0], students=students)
        raise AssertionError("no such class")

    def members(self, section: str, role: str) -> list[str]:
        """Who plays that part in a class."""
        shown: frozenset[Member] = self.product.holds.shown().members
        return sorted(person for _, of, person, is_ in shown if (of, is_) == (section, role))

    def is_open(self, person: str, school: str) -> bool:
        """Whether somebody has an account in use."""
        return (school, person) in self.product.holds.shown().people

    def done(self, op: Op) -> list[tuple[str, str, str | None]]:
        """(who or which, cause, hold) of all changes of that kind so far, from the journal; sorted."""
        rows = self.store.history(JournalQuery(namespace=APP.namespace, limit=None)).to_dicts()
        return sorted((row["key"], row["cause"], row["hold"]) for row in rows if row["op"] == op.value)


def gone(*people: str) -> Callable[[Records], None]:
    """These people are in the records no more."""

    def edit(records: Records) -> None:
        for person in people:
            records.remove("enrollments", userSourcedId=person)
            records.remove("roles", userSourcedId=person)
            records.remove("users", sourcedId=person)

    return edit


def lost(school: str) -> Callable[[Records], None]:
    """An export without this school."""
    return lambda records: records.lose_school(school)


def silent(report: Report[Any]) -> Any:
    """A status without its conditions, whose times are those of each run here."""
    return report.status.model_copy(update={"conditions": ()})


@pytest.fixture
def district(tmp_path: Path) -> Iterator[District]:
    store = open_store(tmp_path)
    yield District(store, tmp_path)
    store.close()


# -- grace -------------------------------------------------------------------------------------------------------------


async def test_who_leaves_is_out_of_class_at_once_and_the_account_closes_after_the_grace(district: District) -> None:
    await district.open()
    lesson = district.lesson
    leaver = lesson.students[0]
    district.export(gone(leaver))
    first = await district.on(1)
    assert leaver not in district.members(lesson.section, LEARNER)
    assert district.is_open(leaver, lesson.school)
    assert (first.status.kept.leaving, first.status.kept.people) == (1, 0)
    assert first.status.plan.remove == 0
    assert {row["state"] for row in first.schools.values()} == {"Synced"}  # type: ignore[index]  # rows are mappings
    assert first.again == timedelta(hours=1)
    last = await district.on(8 - 1 / 48)
    assert last.again == timedelta(minutes=30), "the next run is when the grace ends"
    assert silent(last) == silent(first)
    after = await district.on(8)
    assert not district.is_open(leaver, lesson.school)
    assert after.status.kept.leaving == 0
    assert district.done(Op.SUSPEND) == [(leaver, "LeftSource", None)]


async def test_a_run_that_only_waits_writes_nothing(district: District, tmp_path: Path) -> None:
    await district.open()
    district.export(gone(district.lesson.students[0]))
    await district.on(1)
    before = files(tmp_path)
    await district.on(2)
    assert files(tmp_path) == before


async def test_a_run_in_which_something_stays_held_writes_no_baseline_anew(district: District, tmp_path: Path) -> None:
    await district.open()
    district.export(lost(max(district.product.holds.shown().schools)))
    assert (await district.on(1)).status.holds
    before = files(tmp_path)
    assert (await district.on(2)).status.holds
    assert files(tmp_path) == before


def files(directory: Path) -> list[Path]:
    """The baselines in a store."""
    found = sorted(directory.glob("baselines/**/*.parquet"))
    assert found
    return found


async def test_who_returns_within_the_grace_has_everything_and_nothing_was_closed(district: District) -> None:
    await district.open()
    before, leaver = district.product.holds.shown(), district.lesson.students[0]
    district.export(gone(leaver))
    await district.on(1)
    district.export()
    await district.on(5)
    assert district.product.holds.shown() == before
    assert not district.done(Op.SUSPEND)
    district.export(gone(leaver))
    await district.on(7)
    await district.on(9)
    assert district.is_open(leaver, district.lesson.school), "the second departure has a grace of its own"
    await district.on(14)
    assert district.done(Op.SUSPEND) == [(leaver, "LeftSource", None)]


async def test_without_grace_and_by_denial_accounts_close_at_once(district: District) -> None:
    await district.open()
    lesson = district.lesson
    leaver, denied = lesson.students[:2]
    district.deny(denied)
    await district.on(1)
    assert not district.is_open(denied, lesson.school)
    district.edit(removal={"grace": "0s"})
    district.export(gone(leaver))
    await district.on(2)
    assert not district.is_open(leaver, lesson.school)


async def test_an_approved_loss_is_not_asked_about_again_when_the_grace_ends(district: District) -> None:
    await district.open()
    before = district.product.holds.shown()
    school = max(before.schools)
    people = {place for place in before.people if place[0] == school}
    district.export(lost(school))
    (hold,) = (await district.on(1)).status.holds
    assert (hold.guard, hold.place) == ("Deletes", school)
    district.approve(hold.id)
    released = await district.on(2)
    assert not released.status.holds
    assert not {row for row in district.product.holds.shown().members if row[0] == school}
    assert district.product.holds.shown().people.keys() >= people
    assert district.cluster.statuses[hold.id]["released"] == hold.remove
    assert find_ready(district, hold.id) == "Released"
    for day in (3, 7):
        assert not (await district.on(day)).status.holds
    assert not district.done(Op.SUSPEND)
    assert not (await district.on(8)).status.holds
    closed = district.done(Op.SUSPEND)
    assert {key for key, _, _ in closed} == {key for _, key in people} - staff(district, school)
    assert {by for _, _, by in closed} == {hold.id}


def find_ready(district: District, approval: str) -> str:
    """The reason of Ready of an Approval."""
    conditions = district.cluster.statuses[approval]["conditions"]
    return str(next(one["reason"] for one in conditions if one["type"] == "Ready"))


def staff(district: District, school: str) -> set[str]:
    """Who of a school keeps the account."""
    return {key for at, key in district.product.holds.shown().people if at == school}


def once(call: Callable[..., None]) -> Callable[..., None]:
    """The same, and then the operator dies."""
    left = [call]

    def made(*arguments: Any, **named: Any) -> None:
        if not left:
            raise KilledError
        left.pop()(*arguments, **named)

    return made


@pytest.mark.parametrize("step", ["apply", "save_holds"])
async def test_killed_while_a_loss_is_released_it_is_made_to_its_end(
    district: District, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first change, or after the last one, when the hold does not know yet what was made."""
    await district.open()
    school = max(district.product.holds.shown().schools)
    district.export(lost(school))
    (hold,) = (await district.on(1)).status.holds
    district.approve(hold.id)
    with monkeypatch.context() as killing:
        if step == "apply":
            killing.setattr(district.product, "lives", 0)
        else:
            killing.setattr(district.store, "save_holds", once(district.store.save_holds))  # that it is released
        with pytest.raises(KilledError):
            await district.on(2)
    assert not (await district.on(3)).status.holds
    told = district.cluster.statuses[hold.id]
    assert (told["released"], told.get("struck", 0), told.get("pending", 0)) == (hold.remove, 0, 0)
    assert not (await district.on(8)).status.holds
    assert {by for _, _, by in district.done(Op.SUSPEND)} == {hold.id}


async def test_a_clock_that_jumps_ends_no_grace(district: District) -> None:
    await district.open()
    await district.on(0)
    lesson = district.lesson
    leaver = lesson.students[0]
    district.export(gone(leaver))
    await district.on(1)
    district.note()
    for day in (20, 20.1):
        (hold,) = (await district.on(day)).status.holds
        district.note()
        assert (hold.guard, hold.remove) == ("Clock", 1)
        assert district.is_open(leaver, lesson.school)
    district.approve(hold.id)
    await district.on(20.2)
    assert district.done(Op.SUSPEND) == [(leaver, "LeftSource", hold.id)]


async def test_who_moved_to_another_school_is_asked_about_once(district: District) -> None:
    await district.open()
    lesson = district.lesson
    movers = pupils(district)[:6]
    places = {(school, section) for school, section, key, _ in district.product.holds.shown().members if key in movers}
    (school,) = {school for school, _ in places}
    other = next(
        section
        for at, section, _, _ in sorted(district.product.holds.shown().members)
        if at != school and section != lesson.section
    )

    def moved(records: Records) -> None:
        (at,) = {row["schoolSourcedId"] for row in records.rows("classes", sourcedId=other)}
        for key in movers:
            for row in records.rows("enrollments", userSourcedId=key):
                row.update({"classSourcedId": other, "schoolSourcedId": at})
            for row in records.rows("roles", userSourcedId=key):
                row.update({"orgSourcedId": at})

    district.export(moved)
    for day in (1, 2, 7):
        assert not (await district.on(day)).status.holds
    assert not district.done(Op.SUSPEND)
    assert not (await district.on(8)).status.holds
    assert {cause for _, cause, _ in district.done(Op.SUSPEND)} == {"Moved"}


# -- the last of a kind ------------------------------------------------------------------------------------------------


async def test_the_only_teacher_leaves_and_the_class_has_one_until_day_8(district: District) -> None:
    await district.open()
    lesson = district.lesson
    district.export(gone(lesson.teacher))
    first = await district.on(1)
    for day in (1, 5, 7.9):
        report = await district.on(day)
        assert district.members(lesson.section, COACH) == [lesson.teacher]
        assert report.status.kept.protected == 1
        assert staffed(report) == "Staffed"
        assert silent(report) == silent(first)
    report = await district.on(8)
    assert district.members(lesson.section, COACH) == []
    assert report.status.kept.protected == 0
    assert staffed(report) == "Unstaffed"
    assert report.reason == "Succeeded", "it is said, and stops nothing"
    assert (lesson.teacher, "LeftSource", None) in district.done(Op.REMOVE)


def staffed(report: Report[Any]) -> str:
    """The reason of the condition Staffed."""
    condition = find(report.status.conditions, "Staffed")
    assert condition is not None
    assert (condition.status == "True") == (condition.reason == "Staffed")
    return condition.reason


async def test_when_a_new_teacher_comes_the_old_one_goes_at_once(district: District) -> None:
    await district.open()
    lesson = district.lesson
    district.export(gone(lesson.teacher))
    await district.on(1)

    def replaced(records: Records) -> None:
        (old,) = records.rows("enrollments", userSourcedId=lesson.teacher, classSourcedId=lesson.section)
        other = next(
            row["userSourcedId"]
            for row in records.rows("enrollments", role="teacher", schoolSourcedId=lesson.school)
            if row["userSourcedId"] != lesson.teacher
        )
        gone(lesson.teacher)(records)
        records.add("enrollments", **{**old, "sourcedId": "e-new", "userSourcedId": other})

    district.export(replaced)
    report = await district.on(3)
    (new,) = district.members(lesson.section, COACH)
    assert new != lesson.teacher
    assert (report.status.kept.protected, staffed(report)) == (0, "Staffed")


def substitute(district: District) -> str:
    """A teacher of a big school whom the product must not have yet: an Exclude covers them."""
    schools = [row["schoolSourcedId"] for row in district.records.rows("enrollments", role="student")]
    school = max(set(schools), key=schools.count)
    *_, found = sorted(
        row["userSourcedId"] for row in district.records.rows("enrollments", role="teacher", schoolSourcedId=school)
    )
    rule = {
        "apiVersion": API_VERSION,
        "kind": "SharingRule",
        "metadata": {"name": "not-yet", "namespace": APP.namespace, "uid": "not-yet", "generation": 1},
        "spec": {
            "appRef": {"name": APP.name},
            "effect": "Exclude",
            "share": "Teachers",
            "match": [{"key": "teacher", "operator": "In", "values": [found]}],
        },
    }
    district.cluster.objects = [*district.cluster.objects, rule]
    return found


async def hand_over(district: District) -> str:
    """The lesson has another teacher in the records from day 1 on, whom a guard holds; who that is."""
    covered = substitute(district)
    await district.open()
    lesson = district.lesson

    def replaced(records: Records) -> None:
        (old,) = records.rows("enrollments", userSourcedId=lesson.teacher, classSourcedId=lesson.section)
        gone(lesson.teacher)(records)
        records.add("enrollments", **{**old, "sourcedId": "e-new", "userSourcedId": covered})

    district.export(replaced)
    district.cluster.objects = [obj for obj in district.cluster.objects if obj["metadata"]["name"] != "not-yet"]
    await district.on(1)
    return covered


async def test_while_the_new_teacher_is_held_the_old_one_stays_for_a_week_and_no_longer(district: District) -> None:
    await hand_over(district)
    lesson = district.lesson
    report = await district.on(1.1)  # the rules stood still
    assert [hold.guard for hold in report.status.holds] == ["Exposure"]
    assert district.members(lesson.section, COACH) == [lesson.teacher]
    assert report.status.kept.protected == 1
    again = await district.on(2)
    assert (silent(again).kept, silent(again).holds) == (report.status.kept, report.status.holds)
    assert district.members(lesson.section, COACH) == [lesson.teacher]
    await district.on(8.2)
    assert district.members(lesson.section, COACH) == []


async def test_once_the_new_teacher_may_come_the_old_one_goes(district: District) -> None:
    covered = await hand_over(district)
    lesson = district.lesson
    report = await district.on(1.1)
    district.approve(report.status.holds[0].id)
    await district.on(2)
    assert district.members(lesson.section, COACH) == [covered]


async def test_no_protection_for_a_teacher_who_is_denied(district: District) -> None:
    await district.open()
    lesson = district.lesson
    district.export(gone(lesson.teacher))
    await district.on(1)
    district.deny(lesson.teacher)
    report = await district.on(2)
    assert district.members(lesson.section, COACH) == []
    assert not district.is_open(lesson.teacher, lesson.school)
    assert staffed(report) == "Unstaffed"


async def test_an_account_outlives_its_owners_last_class(district: District) -> None:
    district.edit(removal={"teachers": "Suspend", "grace": "0s"})
    await district.open()
    lesson = district.lesson
    district.export(gone(lesson.teacher))
    await district.on(1)
    assert district.is_open(lesson.teacher, lesson.school)
    await district.on(8)
    assert not district.is_open(lesson.teacher, lesson.school)


async def test_the_last_administrator_of_a_school_is_held_and_the_role_goes_first(district: District) -> None:
    district.edit(removal={"administrators": "Suspend"})
    await district.open(administrators=True)
    for hold in (await district.on(0)).status.holds:
        district.approve(hold.id)
    await district.on(0.1)
    rights = district.product.holds.shown().rights
    school = min(school for school, _ in rights)
    last = sorted(key for at, key in rights if at == school)
    district.export(gone(*last))
    (hold,) = (await district.on(1)).status.holds
    assert (hold.guard, hold.place) == ("Deletes", school)
    assert district.product.holds.shown().rights == rights
    district.approve(hold.id)
    assert not (await district.on(2)).status.holds
    assert district.product.holds.shown().rights == {right for right in rights if right[0] != school}
    assert all(district.is_open(key, school) for key in last), "the account waits for its grace, the role does not"


# -- kept --------------------------------------------------------------------------------------------------------------


async def test_who_is_kept_without_a_reason_is_counted_with_age(district: District) -> None:
    await district.open()
    lesson = district.lesson
    district.export(gone(lesson.teacher))
    await district.on(1)
    early = await district.on(9)
    assert (early.status.kept.people, early.status.kept.older_than_14_days) == (1, 0)
    assert silent(await district.on(14.9)) == silent(early)
    late = await district.on(15.1)
    assert (late.status.kept.people, late.status.kept.older_than_14_days) == (1, 1)
    assert "1 people have been kept for more than 14 days" in late.message
    assert silent(await district.on(40)) == silent(late)
    holds = district.product.holds
    holds.people.pop(holds.account(lesson.teacher, lesson.school))
    assert (await district.on(41)).status.kept.people == 0, "somebody closed it by hand"


# -- edits -------------------------------------------------------------------------------------------------------------


async def test_what_an_edit_of_the_app_takes_away_is_asked_as_one_question(district: District) -> None:
    district.edit(removal={"students": "Keep"})
    await district.open()
    lesson = district.lesson
    leavers = lesson.students[:6]
    district.export(gone(*leavers))
    report = await district.on(1)
    assert set(leavers) <= set(district.members(lesson.section, LEARNER))
    assert report.status.kept.people == 6
    district.edit(removal={"students": "Suspend"})
    report = await district.on(20)
    (hold,) = report.status.holds
    assert (hold.guard, hold.people) == ("ScopeEdit", 6)
    assert {hold.id for hold in (await district.on(21)).status.holds} == {hold.id}
    district.approve(hold.id)
    await district.on(22)
    assert district.done(Op.SUSPEND) == [(key, "SpecChanged", hold.id) for key in sorted(leavers)]
    assert not set(leavers) & set(district.members(lesson.section, LEARNER))


async def test_a_shorter_grace_is_an_edit_too(district: District) -> None:
    await district.open()
    leavers = pupils(district)[:6]
    for day, number in ((1, 3), (2, 6)):
        district.export(gone(*leavers[:number]))
        assert not (await district.on(day)).status.holds
    district.edit(removal={"grace": "1h"})
    (hold,) = (await district.on(3)).status.holds
    assert (hold.guard, hold.people) == ("ScopeEdit", 6)
    assert not district.done(Op.SUSPEND)
    district.approve(hold.id)
    await district.on(4)
    assert district.done(Op.SUSPEND) == [(key, "SpecChanged", hold.id) for key in sorted(leavers)]


def pupils(district: District) -> list[str]:
    """Students of one class each, in the school that has most of them."""
    members = district.product.holds.shown().members
    places = Counter(key for _, _, key, role in members if role == LEARNER)
    single = {(school, key) for school, _, key, role in members if (role, places[key]) == (LEARNER, 1)}
    sizes = Counter(school for school, _ in single)
    assert sizes
    return sorted(key for school, key in single if school == max(sizes, key=lambda one: sizes[one]))


async def test_clean_up_says_that_an_edit_asked_for_it(district: District) -> None:
    district.edit(deletionPolicy="Archive")
    await district.open()
    await district.root.cleanup(district.started())
    assert {cause for _, cause, _ in (*district.done(Op.ARCHIVE), *district.done(Op.REMOVE))} == {"SpecChanged"}
    assert not district.product.holds.shown().members

"""R20: in an app that goes by seats teachers have classes by a licence only, and none once it is revoked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.reconcile.nights import APP
from tests.unit.reconcile.test_licensepool import POOL
from tests.unit.reconcile.test_revocation import Town as Revoking

from homeroom.plan import Role
from homeroom.reconcile.ports import Key
from homeroom.store import JournalQuery

SEATING = {"poolRef": {"name": POOL.name}}
ROWAN = Key("SchoolLicense", "lakeside", "rowan")
ONE, OTHER = "t-2", "t-3"
"""Teachers of homerooms of the first school, which are what the rules share."""


class Town(Revoking):
    """An app for who holds a seat. `rowan`: the licence of a school, large enough for all its students."""

    @classmethod
    async def of(cls, directory: Path, *, access: str, **app: Any) -> Town:
        town = await cls.with_pool(directory)
        town.licence("rowan", 400, access=access)
        town.declare(APP, seating=SEATING, firstSync="Automatic", **app)
        await town.run(POOL, APP)
        await town.approve(*town.holds(APP), of=APP)  # administrators
        assert town.said(APP).startswith("Succeeded: "), town.said(APP)
        return town

    def coaches(self) -> set[tuple[str, str]]:
        """(school, teacher) of all who teach a class of the product."""
        rows = [(self.product.people[one], role) for _, one, role in self.product.members]
        return {(str(person.school), str(person.key)) for person, role in rows if role == Role.COACH.value}

    def teaching(self) -> set[str]:
        return {teacher for _, teacher in self.coaches()}

    def accounts_of(self, people: set[str]) -> int:
        return sum(one.key in people and not one.suspended for one in self.product.people.values())

    def of_school(self, school: str = "s-001") -> set[str]:
        """Teachers of a section of the school."""
        found = self.records.rows("enrollments", schoolSourcedId=school, role="teacher")
        return {row["userSourcedId"] for row in found}

    def causes(self, person: str) -> list[str]:
        """Of all that was done for a person, the latest last."""
        found = self.store.history(JournalQuery(namespace="lakeside", person=person))
        return [str(cause) for cause in found["cause"]][::-1]


@pytest.fixture(scope="module")
def already(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Town]:
    """Made once, for each way to come in; nobody changes them."""
    return {way: Town.begun(Town.of(tmp_path_factory.mktemp(way), access=way)) for way in ("Automatic", "Key")}


@pytest.fixture
def automatic(already: Mapping[str, Town], tmp_path: Path) -> Town:
    return Town.after(already["Automatic"], tmp_path)


@pytest.fixture
def by_key(already: Mapping[str, Town], tmp_path: Path) -> Town:
    return Town.after(already["Key"], tmp_path)


async def test_only_who_is_connected_has_classes_and_all_have_accounts(automatic: Town) -> None:
    town = automatic
    assert town.teaching()
    assert town.teaching() <= town.of_school()
    others = town.of_school("s-002") - town.of_school()
    assert town.accounts_of(others)
    assert not others & town.teaching()
    assert "teachers are connected to none of its licences, and have no classes" in town.said(APP, "SeatsKnown")
    await town.run(POOL)  # which has heard by now that the app tells of no use
    writes = town.cluster.writes
    await town.run(POOL, APP)
    assert town.cluster.writes == writes


@pytest.mark.parametrize("policy", ["KeepAccount", "Keep", "Suspend"])
async def test_a_licence_that_is_revoked_takes_the_classes_at_once_whatever_policy_says(
    tmp_path: Path, policy: str
) -> None:
    town = await Town.of(tmp_path, access="Automatic", removal={"teachers": policy, "grace": "0s"})
    teaching = town.teaching()
    accounts = town.accounts_of(teaching)
    assert teaching
    await town.delete(ROWAN)
    assert town.teaching() == set()
    assert town.accounts_of(teaching) == accounts
    assert {town.causes(teacher)[-1] for teacher in teaching} == {"LicenceRevoked"}
    history = town.store.history(JournalQuery(namespace="lakeside", cause="LicenceRevoked"))
    assert set(history["kind"]) == {"Membership"}
    assert set(history["role"]) == {"Coach"}
    assert history["hold"].null_count() == history.height


async def test_a_new_licence_gives_the_classes_back_to_the_same_accounts(automatic: Town) -> None:
    town = automatic
    before, accounts = town.coaches(), len(town.product.people)
    await town.delete(ROWAN)
    town.licence("again", 400)
    await town.run(POOL)
    assert town.coaches() == before
    assert len(town.product.people) == accounts
    assert {town.causes(teacher)[-1] for teacher in town.teaching()} == {"SeatsChanged"}


async def test_administrators_are_not_touched(automatic: Town) -> None:
    town = automatic
    rights = {town.product.people[one].key for one in town.product.rights}
    assert rights
    await town.delete(ROWAN)
    assert {town.product.people[one].key for one in town.product.rights} == rights


async def test_who_enters_the_key_has_classes_with_the_pools_next_run_and_not_before(by_key: Town) -> None:
    town = by_key
    assert town.teaching() == set()
    town.connect(ONE, ROWAN)
    await town.run(POOL)
    assert town.teaching() == {ONE}
    assert town.causes(ONE)[-1] == "SeatsChanged"
    town.connect(OTHER, ROWAN)
    await town.run(POOL)
    assert town.teaching() == {ONE, OTHER}


@pytest.mark.parametrize("by", [None, "a-colleague"])
async def test_who_leaves_or_is_removed_loses_the_classes(by_key: Town, by: str | None) -> None:
    town = by_key
    town.connect(ONE, ROWAN)
    town.connect(OTHER, ROWAN)
    await town.run(POOL)
    town.disconnect(ONE, ROWAN, by=by)
    await town.run(POOL)
    assert town.teaching() == {OTHER}
    assert town.causes(ONE)[-1] == "LicenceRevoked"


async def test_who_has_two_licences_keeps_the_classes_until_the_last_one_goes(by_key: Town) -> None:
    town = by_key
    second = town.licence("second", 5, access="Key")
    await town.run(POOL)
    for key in (ROWAN, second):
        town.connect(ONE, key)
    await town.run(POOL)
    before = town.coaches()
    await town.delete(ROWAN)
    assert town.coaches() == before
    await town.delete(second)
    assert town.teaching() == set()
    assert town.causes(ONE)[-1] == "LicenceRevoked"


async def test_who_left_the_records_and_is_kept_goes_with_the_licence(tmp_path: Path) -> None:
    town = await Town.of(tmp_path, access="Automatic", removal={"teachers": "Keep"}, guard={"maxDeletes": "100%"})
    one = min(town.teaching())
    for file, column in (("roles", "userSourcedId"), ("enrollments", "userSourcedId"), ("users", "sourcedId")):
        town.records.remove(file, **{column: one})
    await town.night()
    assert one in town.teaching(), "kept, as policy says"
    await town.delete(ROWAN)
    assert town.teaching() == set()
    assert town.causes(one)[-1] == "LicenceRevoked"


async def test_who_does_not_teach_there_any_more_goes_as_the_records_say(automatic: Town) -> None:
    """The last teacher of a class stays for a week, as everywhere: nothing was revoked."""
    town = automatic
    town.records.remove("enrollments", userSourcedId=ONE)
    await town.night()
    assert ONE in town.teaching()
    assert "LicenceRevoked" not in town.causes(ONE)
    await town.night(days=8)
    assert ONE not in town.teaching()
    assert "LicenceRevoked" not in town.causes(ONE)


async def test_one_edit_of_a_licence_that_disconnects_all_is_no_revocation_and_is_judged(automatic: Town) -> None:
    town = automatic
    before = town.coaches()
    town.declare(ROWAN, access="Key")
    await town.run(POOL)
    assert town.coaches() == before, "the last teachers of classes are protected, and so many are held"
    assert {hold["guard"] for hold in town.holds(APP)} <= {"Deletes", "ClassShrink"}


@pytest.mark.parametrize(
    "words",
    [
        None,
        {"suspend": True},
        {"validUntil": "2026-11-01"},
        {"unitRegistry": {"type": "Inline", "units": [{"code": "9", "name": "another one"}]}},
    ],
    ids=["no pool", "suspended", "expired", "no unit"],
)
async def test_where_nobody_can_say_who_is_connected_all_keep_their_classes_and_nobody_gets_any(
    by_key: Town, words: dict[str, Any] | None
) -> None:
    town = by_key
    town.connect(ONE, ROWAN)
    await town.run(POOL)
    if words is None:
        del town.cluster.objects[POOL]
    else:
        town.declare(POOL, **words)
    town.connect(OTHER, ROWAN)
    town.licence("another", 5)
    await town.run(POOL, APP)
    assert town.teaching() == {ONE}


async def test_a_district_whose_records_cannot_be_read_keeps_its_teachers(by_key: Town) -> None:
    town = by_key
    town.connect(ONE, ROWAN)
    await town.run(POOL)
    accepted = town.store.accepted(namespace="lakeside", district="lakeside")
    assert accepted is not None
    files = town.store.snapshots(namespace="lakeside", district="lakeside") / accepted.serving
    files.rename(files.with_suffix(".away"))
    town.connect(OTHER, ROWAN)
    await town.run(POOL)
    files.with_suffix(".away").rename(files)
    await town.run(APP)
    assert town.teaching() == {ONE}
    await town.run(POOL)
    assert town.teaching() == {ONE, OTHER}


async def test_a_pool_that_has_not_looked_at_new_records_takes_nobodys_classes(by_key: Town) -> None:
    town = by_key
    town.connect(ONE, ROWAN)
    await town.run(POOL)
    seating = town.seating()
    town.store.save_seating(
        type(seating)(records={"lakeside/lakeside": "0" * 64}), namespace="lakeside", pool="seats", epoch=1
    )
    await town.run(APP)
    assert town.teaching() == {ONE}
    assert town.said(APP, "SeatsKnown").startswith("SeatsUnknown: ")


async def test_what_an_older_release_left_takes_nobodys_classes(automatic: Town) -> None:
    """It did not write down whom licences connect: that is unknown until the pool has had a run."""
    town = automatic
    before, seating = town.coaches(), town.seating()
    old = type(seating)(grants=seating.grants, seats=seating.seats, records=seating.records, teachers=None)
    town.store.save_seating(old, namespace="lakeside", pool="seats", epoch=1)
    town.declare(POOL, suspend=True)
    await town.run(APP)
    assert town.coaches() == before
    await town.run(POOL)
    assert town.coaches() == before
    assert town.seating().teachers is not None
    assert town.said(APP, "SeatsKnown").startswith("SeatsKnown: ")


async def test_what_is_held_at_the_pool_is_not_taken_in_the_app_and_once_approved_is_not_asked_about_again(
    tmp_path: Path,
) -> None:
    town = await Town.of(tmp_path, access="Automatic")
    licences = [ROWAN, *town.licences(3, school="s-002")]
    await town.run(POOL)
    await town.later(days=9)
    before = town.coaches()
    assert {school for school, _ in before} >= {"s-001", "s-002"}
    await town.remove(*licences)
    await town.run(APP)
    assert town.coaches() == before
    await town.approve(town.hold(), of=POOL)
    assert town.teaching() == set()
    assert not {hold["guard"] for hold in town.holds(APP)} - {"Deletes", "ClassShrink"}, "students' seats"

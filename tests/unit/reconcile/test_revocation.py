"""Licences that go: a few are revoked at once, many wait for a person's word and lose nothing until then."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.reconcile.nights import DISTRICT, Nights
from tests.unit.reconcile.test_licensepool import POOL, World

from homeroom.api import FINALIZER
from homeroom.api.conditions import violations
from homeroom.reconcile.keys import secret_name
from homeroom.reconcile.ports import Key
from homeroom.reconcile.routes import routes
from homeroom.seats.keys import Connected, Ended
from homeroom.store import JournalQuery, LicenceName, Seating


class Town(World):
    """A pool with several licences, each of them in use: they connect the teachers of one school."""

    def licences(self, number: int, *, first: int = 0, **spec: Any) -> list[Key]:
        return [self.licence(f"l-{index:02}", 5, **spec) for index in range(first, first + number)]

    async def remove(self, *licences: Key) -> None:
        """Somebody deletes all these with one commit, before the operator sees any of it."""
        cluster: Any = self.cluster
        woken: dict[Key, None] = {}
        for key in licences:
            obj = self.cluster.objects[key]
            assert FINALIZER in obj["metadata"]["finalizers"]
            meta = {**obj["metadata"], "deletionTimestamp": self.now.isoformat()}
            self.cluster.objects[key] = {**obj, "metadata": meta}
            woken |= dict.fromkeys(routes(cluster, obj, self.cluster.objects[key]))
        await self.run(*woken)

    def there(self, *licences: Key) -> list[Key]:
        return [key for key in licences if key in self.cluster.objects]

    def hold(self) -> Mapping[str, Any]:
        """The one thing that the pool holds."""
        (hold,) = self.holds(POOL)
        return hold

    def key_of(self, licence: Key) -> str:
        """Digest of a licence's key."""
        found = self.store.licences.keys([licence.namespace]).filter(licence=licence.name)["digest"].to_list()
        return str(found[0]) if found else ""

    def connect(self, teacher: str, licence: Key) -> None:
        """The teacher enters the key."""
        place = {"district": "lakeside", "teacher": teacher}
        assert self.store.licences.connect(self.key_of(licence), **place, how=Connected.KEY, at=self.now)

    def disconnect(self, teacher: str, licence: Key, *, by: str | None = None) -> None:
        """The teacher leaves, or is removed by a colleague."""
        name, why = LicenceName(licence.namespace, licence.name), Ended.LEFT if by is None else Ended.REMOVED
        place = {"district": "lakeside", "teacher": teacher}
        assert self.store.licences.disconnect(name, **place, why=why, by=by, at=self.now)

    async def later(self, **time: float) -> None:
        self.now += timedelta(**time)
        await self.run(POOL)


@pytest.fixture
async def town(first_reading: Nights, tmp_path: Path) -> Town:
    """Five licences, in use for long."""
    town = await Town.with_pool(tmp_path, first_reading)
    town.licences(5)
    await town.run(POOL)
    await town.later(days=9)
    return town


ALL = [Key("SchoolLicense", "lakeside", f"l-{index:02}") for index in range(5)]


async def test_two_may_always_go_and_go_at_once(town: Town) -> None:
    await town.remove(*ALL[:2])
    assert town.there(*ALL) == ALL[2:]
    assert town.holds(POOL) == []
    assert town.reason(POOL) == "Succeeded"
    assert town.status(POOL)["licenses"] == 3


async def test_more_than_that_are_held_and_lose_nothing(first_reading: Nights, tmp_path: Path) -> None:
    town = await Town.with_pool(tmp_path, first_reading)
    licences = town.licences(4, access="Key")
    await town.run(POOL)
    teacher = town.records.rows("enrollments", schoolSourcedId="s-001", role="teacher")[0]["userSourcedId"]
    for key in licences:
        town.connect(teacher, key)
    await town.later(days=9)
    before, made = town.seating(), [town.key_of(key) for key in licences]
    told = town.store.web.licences()
    assert before.seats.height
    await town.remove(*licences[:3])
    assert town.there(*licences) == licences
    assert town.seating().equals(before)
    assert [town.key_of(key) for key in licences] == made
    assert town.store.licences.connections(["lakeside"]).height == 4
    assert town.store.web.licences().equals(told)
    hold = town.hold()
    assert (hold["guard"], hold["scope"], hold["remove"]) == ("Licences", "Pool", 3)
    students = before.seats.filter(before.seats["licence"] != "lakeside/l-03").height
    words = f"3 licences would be revoked (by them {students} students hold a seat, and 1 teachers are connected)"
    assert town.said(POOL).startswith(f"HeldForApproval: held for approval: {hold['id']}: {words}; everything else")
    assert town.reason(POOL, "Stalled") == town.reason(POOL, "Held") == "HeldForApproval"
    assert f"waits for hold {hold['id']} of the pool" in town.said(licences[0])
    assert (town.reason(licences[0]), town.reason(licences[3])) == ("HeldForApproval", "Granted")
    assert town.status(licences[0])["granted"] == 5
    for key in [POOL, *licences]:
        assert violations(town.cluster.objects[key], final=True) == []
    assert await town.again() == 0
    town.restarted()
    assert await town.again() == 0


async def test_a_held_licence_tells_of_the_seats_that_its_pool_took_back(first_reading: Nights, tmp_path: Path) -> None:
    town = await Town.with_pool(tmp_path, first_reading)
    licences = [town.licence(f"l-{index:02}", 200) for index in range(4)]
    await town.run(POOL)
    await town.later(days=9)
    await town.remove(*licences[:3])
    used, students = [town.status(key)["used"] for key in licences], town.students("s-001")
    assert (sum(used), town.hold()["remove"]) == (students, 3)
    town.declare(POOL, seats=students + 100)
    await town.run(POOL)
    told = [town.status(key)["granted"] for key in licences]
    assert told == town.seating().grants.sort("licence")["granted"].to_list()
    assert (sum(told), [town.status(key)["used"] for key in licences]) == (students + 100, used)
    assert [town.reason(key) for key in licences[:3]] == ["HeldForApproval"] * 3
    assert await town.again() == 0


async def test_an_approval_releases_exactly_these_and_who_comes_later_is_judged_alone(town: Town) -> None:
    await town.remove(*ALL[:3])
    await town.remove(ALL[3])
    assert town.there(*ALL) == [*ALL[:3], ALL[4]], "one more passes by itself, and frees nobody else"
    (hold,) = town.holds(POOL)
    assert hold["remove"] == 3
    await town.approve(hold, of=POOL)
    assert town.there(*ALL) == ALL[4:]
    assert (town.holds(POOL), town.reason(POOL)) == ([], "Succeeded")
    approval = Key("Approval", "lakeside", hold["id"])
    assert town.said(approval) == "Released: 3 of 3 changes released and made"
    assert town.status(approval)["released"] == 3
    assert town.reason(POOL, "Held") == ""


async def test_an_approval_works_once_and_a_licence_of_an_old_name_is_a_new_one(
    first_reading: Nights, tmp_path: Path
) -> None:
    town = await Town.with_pool(tmp_path, first_reading)
    licences = town.licences(3, access="Key")
    await town.run(POOL)
    old = [town.key_of(key) for key in licences]
    await town.later(days=9)
    await town.remove(*licences)
    first = town.hold()["id"]
    await town.approve(town.hold(), of=POOL)
    assert town.there(*licences) == []
    assert [town.store.licences.by_key(digest) for digest in old] == [None, None, None]
    town.cluster.secrets.pop(("lakeside", secret_name("l-00")))  # two are not collected yet
    town.licences(3, access="Key")
    for key in licences:
        town.cluster.objects[key]["metadata"]["uid"] = "anew"
    await town.run(POOL)
    new = [town.key_of(key) for key in licences]
    assert not {*new} & {*old, ""}
    await town.later(days=9)
    await town.remove(*licences)
    assert town.there(*licences) == licences
    assert town.hold()["id"] != first
    await town.run(POOL)  # the first Approval is there still
    assert town.there(*licences) == licences


async def test_small_steps_add_up_and_licences_made_in_between_do_not_count(town: Town) -> None:
    await town.remove(ALL[0])
    await town.later(days=2)
    await town.remove(ALL[1])
    town.licences(40, first=10)
    await town.run(POOL)
    await town.later(days=4)
    await town.remove(ALL[2])
    assert town.there(*ALL) == ALL[2:]
    assert town.hold()["remove"] == 1
    await town.later(days=2)  # a hold stays one, whatever falls out of the window
    assert town.there(*ALL) == ALL[2:]
    await town.remove(ALL[3])
    assert town.there(*ALL) == [ALL[2], ALL[4]]


async def test_of_many_a_tenth_may_go(first_reading: Nights, tmp_path: Path) -> None:
    town = await Town.with_pool(tmp_path, first_reading)
    licences = town.licences(40)
    await town.run(POOL)
    await town.later(days=9)
    await town.remove(*licences[:4])
    assert len(town.there(*licences)) == 36
    await town.remove(licences[4])
    assert len(town.there(*licences)) == 36
    assert town.hold()["remove"] == 1


async def test_licences_that_stay_away_are_asked_about_too(town: Town) -> None:
    for key in ALL[:3]:
        del town.cluster.objects[key]
    await town.run(POOL)
    before = town.seating()
    await town.later(days=6)
    assert town.holds(POOL) == []
    await town.later(days=2)
    assert town.hold()["remove"] == 3
    assert town.seating().equals(before)
    await town.approve(town.hold(), of=POOL)
    assert town.holds(POOL) == []
    assert set(town.seating().grants["licence"]) == {"lakeside/l-03", "lakeside/l-04"}


async def test_a_hold_ends_when_licences_come_back_and_they_have_all_they_had(town: Town) -> None:
    """Somebody emptied a folder by mistake, put it back, and took the finalizer off."""
    before = town.seating()
    await town.remove(*ALL[:3])
    hold = town.hold()
    for key in ALL[:3]:
        del town.cluster.objects[key]
    await town.run(POOL)
    assert town.hold()["id"] == hold["id"]
    town.licences(3)
    await town.run(POOL)
    assert (town.holds(POOL), town.reason(POOL)) == ([], "Succeeded")
    after = town.seating()
    assert after.seats.equals(before.seats)
    assert before.teachers is not None
    assert after.teachers is not None
    assert after.teachers.equals(before.teachers)


async def test_a_namespace_that_is_being_deleted_is_not_kept(first_reading: Nights, tmp_path: Path) -> None:
    town = await Town.with_pool(tmp_path, first_reading, allowedNamespaces={})
    town.cluster.put({**town.cluster.objects[DISTRICT], "metadata": {"name": "lakeside", "namespace": "hill"}})
    town.export = town.export.parents[1] / "hill" / "export.zip"
    town.publish()
    await town.run(Key("District", "hill", "lakeside"))
    licences = town.licences(3, namespace="hill")
    await town.run(POOL)
    await town.later(days=9)
    before = town.seating().seats
    assert set(before["district"]) == {"hill/lakeside"}
    town.cluster.terminating.add("hill")
    await town.remove(*licences)
    assert town.there(*licences) == []
    (message,) = (message for reason, message in town.cluster.events if reason == "Orphaned")
    assert message.startswith("namespace 'hill' is being deleted: 3 licences go that are held for approval")
    await town.run(POOL)
    assert town.seating().seats.equals(before)
    hold = town.hold()
    assert hold["remove"] == 3
    told = town.store.history(JournalQuery(namespace=POOL.namespace, app="LicensePool/seats"))
    columns = ("kind", "op", "cause", "result", "hold", "key")
    rest = ("SchoolLicense", "Orphan", "NamespaceDeleted", "Applied", hold["id"])
    assert sorted(told.select(columns).rows()) == [(*rest, f"hill/{key.name}") for key in sorted(licences)]
    await town.later(days=8)
    assert town.seating().seats.equals(before)
    await town.approve(hold, of=POOL)
    assert town.seating().seats.is_empty()


async def test_where_the_pool_is_gone_too_a_word_is_needed_all_the_same(town: Town) -> None:
    pool = town.cluster.objects[POOL]
    await town.delete(POOL)
    await town.remove(*ALL)
    assert town.there(*ALL) == ALL
    (hold,) = town.store.holds(namespace="lakeside", kind="LicensePool", name="seats")
    assert hold.id in town.said(ALL[0])
    town.cluster.objects[POOL] = pool
    await town.run(POOL)
    assert town.hold()["id"] == hold.id
    await town.delete(POOL)
    await town.approve({"id": hold.id}, of=POOL)
    assert town.there(*ALL) == []
    assert town.seating().equals(Seating())
    assert town.reason(Key("Approval", "lakeside", hold.id)) == "Released"


async def test_an_approval_of_a_pool_that_is_not_there_yet_revokes_nothing(town: Town) -> None:
    """A cluster that is built anew may have old Approvals before anything else."""
    before = town.seating()
    for key in [POOL, *ALL]:
        del town.cluster.objects[key]
    await town.approve({"id": "000000-0000"}, of=POOL)
    assert town.seating().seats.equals(before.seats)
    assert town.reason(Key("Approval", "lakeside", "000000-0000")) == "HoldUnknown"


async def test_a_crash_before_the_end_of_an_approved_hold_loses_nothing(town: Town, monkeypatch: Any) -> None:
    await town.remove(*ALL[:3])
    hold = town.hold()

    class Killed(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(town.store, "save_seating", killed)
        with pytest.raises(Killed):
            await town.approve(hold, of=POOL)
    assert town.there(*ALL) == ALL
    town.restarted()
    await town.run(POOL)
    assert town.there(*ALL) == ALL[3:]
    assert town.said(Key("Approval", "lakeside", hold["id"])) == "Released: 3 of 3 changes released and made"


async def test_a_connection_that_a_colleague_ended_stays_ended_while_its_licence_is_held(
    first_reading: Nights, tmp_path: Path
) -> None:
    town = await Town.with_pool(tmp_path, first_reading)
    licences = town.licences(3, access="Key")
    await town.run(POOL)
    for person in ("t-1", "t-2"):
        for key in licences:
            town.connect(person, key)
    await town.later(days=9)
    await town.remove(*licences)
    for key in licences:
        town.disconnect("t-1", key, by="t-2")
    await town.run(POOL)
    found = town.store.seated("lakeside/seats", district="lakeside/lakeside")
    assert (found.teachers.to_list(), found.withdrawn.to_list()) == (["t-2"], ["t-1"])

"""Who is who over whole nights: who is in question stands still both ways, until a link or a commit answers it.

Each test is about the District and about what the app did, or did not do, because of it (safety rows 6 and 9).
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from tests.unit.reconcile.nights import APP, DISTRICT, Nights

from homeroom.roster.identity import propose
from homeroom.sources import load


class World(Nights):
    """Nights with people in them who can be told apart."""

    def pupils(self, school: str = "s-001") -> list[dict[str, str]]:
        """Users who learn in a school, and whom the app has, in the order of the records."""
        there = self.accounts(school)
        learning = {row["userSourcedId"] for row in self.records.rows("enrollments", role="student")}
        return [row for row in self.records.files["users"] if row["sourcedId"] in learning & there]

    def renumber(self, names: dict[str, str]) -> None:
        """The records say other ids; all else is as it was."""
        for file, column in (("users", "sourcedId"), ("roles", "userSourcedId"), ("enrollments", "userSourcedId")):
            for row in self.records.files[file]:
                row[column] = names.get(row[column], row[column])

    def link(self, *pairs: tuple[str, str]) -> None:
        """Somebody commits links."""
        self.declare(DISTRICT, identity={"links": [{"from": before, "to": now} for before, now in pairs]})

    def places(self, person: str) -> set[tuple[str, str, str | None]]:
        return {place for place in self.members() if place[2] == person}

    def account(self, person: str) -> list[tuple[int, str, bool]]:
        """(the product's id, name, whether it is out of use) of a person's accounts."""
        found = [(id_, one) for id_, one in self.product.people.items() if one.key == person]
        return [(id_, one.name, one.suspended) for id_, one in found]

    def asked(self) -> set[tuple[str, str, str | None]]:
        """(guard, scope, place) of the holds of the district."""
        return {(hold["guard"], hold["scope"], hold.get("place")) for hold in self.holds(DISTRICT)}

    async def quiet(self) -> None:
        """One more night changes nothing: nothing is written, the plan is empty."""
        await self.night(days=0.1)
        writes, state = self.cluster.writes, self.state()
        await self.night(days=0.1)
        assert self.cluster.writes == writes
        assert self.state() == state

    def state(self) -> tuple[object, ...]:
        people = {id_: (one.key, one.suspended) for id_, one in self.product.people.items()}
        return (people, sorted(self.members(), key=str))


@pytest.fixture
def world(first_sync: Nights, tmp_path: Path) -> Iterator[World]:
    here = World.after(first_sync, tmp_path)
    yield here
    here.store.close()


def question(person: str) -> set[tuple[str, str, str | None]]:
    return {("Identity", "Person", person)}


async def test_the_example_is_certain_of_everybody(world: World) -> None:
    assert world.said(DISTRICT, "IdentityClear") == "Succeeded: it is certain who is who"
    await world.quiet()


# ---------------------------------------------------------------------------------------------------------------------
# One id, another human


async def recycled(world: World) -> tuple[str, str]:
    """The id of a child is given to another one in another class: (the id, that class)."""
    child, other = world.pupils()[0], world.pupils()[-1]
    ((_, section, _), *_) = world.places(other["sourcedId"])
    assert world.places(child["sourcedId"]).isdisjoint({("s-001", section, child["sourcedId"])})
    child |= {"givenName": "Nova", "familyName": "Comer", "username": "nova", "email": "nova@x.example"}
    for row in world.records.rows("enrollments", userSourcedId=child["sourcedId"]):
        row["classSourcedId"] = section
    return child["sourcedId"], section


async def test_an_id_that_is_given_to_another_child_stands_still_both_ways(world: World) -> None:
    before = world.state()
    child, _ = await recycled(world)
    for _ in range(2):
        await world.night()
        assert world.asked() == question(child)
        assert world.state() == before
        assert "who is person" in world.said(DISTRICT)
        assert "everything else is done" in world.said(DISTRICT)
        assert world.said(DISTRICT, "IdentityClear").endswith("until it is certain who they are: 1")
    await world.quiet()


async def test_a_newcomer_gets_a_name_and_an_account_of_their_own(world: World) -> None:
    world.declare(APP, removal={"grace": "0s"})  # who leaves is seen at once
    old = world.pupils()[0]["sourcedId"]
    places, (account,) = world.places(old), world.account(old)
    child, section = await recycled(world)
    await world.night()
    assert world.places(child) == places
    world.link(("newcomer", child))
    await world.night()
    assert world.holds(DISTRICT) == world.holds(APP) == []
    assert world.places(child) == set()
    assert world.account(child) == [(account[0], account[1], True)]
    assert {place[1] for place in world.places("newcomer")} == {section}
    await world.quiet()


async def test_a_commit_says_that_it_is_the_same_child(world: World) -> None:
    child, section = await recycled(world)
    await world.night()
    (account,) = world.account(child)
    await world.approve(*world.holds(DISTRICT), of=DISTRICT)
    assert world.holds(DISTRICT) == world.holds(APP) == []
    assert {place[1] for place in world.places(child)} == {section}
    assert world.account(child) == [(account[0], "Nova Comer", False)]
    await world.quiet()


# ---------------------------------------------------------------------------------------------------------------------
# One human, another id


async def test_a_changed_id_waits_for_a_link_and_keeps_account_and_classes(world: World) -> None:
    before, child = world.state(), world.pupils()[0]["sourcedId"]
    world.renumber({child: "p-1"})
    for _ in range(2):
        await world.night()
        assert world.asked() == question(child)
        assert world.state() == before
    world.link((child, "p-1"))
    await world.run(DISTRICT, APP)
    assert world.asked() == set()
    assert world.state() == before
    assert world.said(DISTRICT).startswith("Succeeded: ")
    await world.quiet()
    world.link()  # taken out, p-1 is new and the child has left: asked again
    await world.run(DISTRICT, APP)
    assert world.asked() == question(child)
    assert world.state() == before


async def test_one_approval_says_that_they_are_two_at_the_source_and_in_the_app(world: World) -> None:
    world.declare(APP, removal={"grace": "0s"})
    child = world.pupils()[0]["sourcedId"]
    places, name = {place[:2] for place in world.places(child)}, world.account(child)[0][1]
    world.renumber({child: "p-1"})
    await world.night()
    await world.approve(*world.holds(DISTRICT), of=DISTRICT)
    assert world.holds(DISTRICT) == world.holds(APP) == []
    assert [suspended for _, _, suspended in world.account(child)] == [True]
    assert [(called, suspended) for _, called, suspended in world.account("p-1")] == [(name, False)]
    assert {place[:2] for place in world.places("p-1")} == places
    (approval,) = [
        obj
        for key, obj in world.cluster.objects.items()
        if key.kind == "Approval" and obj["spec"]["targetRef"]["kind"] == "District"
    ]
    assert approval["status"]["released"] == 2
    await world.quiet()


async def test_everybody_else_goes_on_beside_a_question(world: World) -> None:
    child, leaver, mover = (row["sourcedId"] for row in world.pupils()[:3])
    world.renumber({child: "p-1"})
    world.records.remove("users", sourcedId=leaver)
    world.records.remove("roles", userSourcedId=leaver)
    world.records.remove("enrollments", userSourcedId=leaver)
    await world.night()
    assert world.asked() == question(child)
    assert world.places(leaver) == set()
    assert world.places(child)
    assert world.places(mover)


async def test_by_its_student_key_an_id_that_changes_needs_no_link(world: World) -> None:
    before, child = world.state(), world.pupils()[0]["sourcedId"]
    world.declare(DISTRICT, identity={"studentKey": "Username"})
    await world.run(DISTRICT)
    world.renumber({child: "p-1"})
    await world.night()
    assert world.asked() == set()
    assert world.state() == before
    await world.quiet()


async def test_who_is_denied_under_either_id_is_out(world: World) -> None:
    child = world.pupils()[0]["sourcedId"]
    world.renumber({child: "p-1"})
    world.link((child, "p-1"))
    await world.night()
    assert world.places(child)
    world.declare(DISTRICT, deny=[{"person": "p-1"}])
    await world.run(DISTRICT, APP)
    assert world.places(child) == set()


# ---------------------------------------------------------------------------------------------------------------------
# One human, two records


def second_record(world: World, child: dict[str, str]) -> str:
    """A clerk makes a second record, with a place in another class: that class."""
    ((_, section, _), *_) = world.places(world.pupils()[-1]["sourcedId"])
    world.records.add("users", **{**child, "sourcedId": "x-1", "username": "x-1"})
    (role, *_) = world.records.rows("roles", userSourcedId=child["sourcedId"])
    world.records.add("roles", **{**role, "sourcedId": "r-x", "userSourcedId": "x-1"})
    enrolled, *_ = world.records.rows("enrollments", classSourcedId=section, role="student")
    world.records.add("enrollments", **{**enrolled, "sourcedId": "e-x", "userSourcedId": "x-1"})
    return section


def forget(world: World, person: str) -> None:
    world.records.remove("users", sourcedId=person)
    world.records.remove("roles", userSourcedId=person)
    world.records.remove("enrollments", userSourcedId=person)


@pytest.mark.parametrize("ends_first", ["x-1", "own"])
async def test_two_records_of_one_human_are_one_account_with_the_classes_of_both(world: World, ends_first: str) -> None:
    """Safety row 9: parked until somebody links them; then a union of reasons, whichever ends first."""
    before, child = world.state(), world.pupils()[0]
    own = {place[1] for place in world.places(child["sourcedId"])}
    (account,) = world.account(child["sourcedId"])
    other = second_record(world, child)
    await world.night()
    assert world.asked() == question(child["sourcedId"])
    assert world.state() == before
    world.link((child["sourcedId"], "x-1"))
    await world.night()
    assert world.holds(DISTRICT) == world.holds(APP) == []
    assert {place[1] for place in world.places(child["sourcedId"])} == {*own, other}
    assert world.account(child["sourcedId"]) == [account]
    assert world.account("x-1") == []
    await world.quiet()
    forget(world, child["sourcedId"] if ends_first == "own" else "x-1")
    await world.night()
    assert world.asked() == set()
    assert {place[1] for place in world.places(child["sourcedId"])} == ({other} if ends_first == "own" else own)
    assert world.account(child["sourcedId"]) == [account]
    await world.quiet()


async def test_two_served_ids_that_become_one_are_merged_by_a_link(world: World) -> None:
    child = world.pupils()[0]
    own = {place[1] for place in world.places(child["sourcedId"])}
    other = second_record(world, child)
    await world.night()
    await world.approve(*world.holds(DISTRICT), of=DISTRICT)  # they are two
    assert len(world.account("x-1")) == 1
    forget(world, child["sourcedId"])
    for _ in range(2):
        await world.night()
        assert world.asked() == question(child["sourcedId"])
        assert {place[1] for place in world.places(child["sourcedId"])} == own
        assert {place[1] for place in world.places("x-1")} == {other}
    world.link((child["sourcedId"], "x-1"))
    await world.night()
    assert world.asked() == set()
    assert [suspended for _, _, suspended in world.account(child["sourcedId"])] == [False]
    assert {place[1] for place in world.places(child["sourcedId"])} == {other}
    assert world.places("x-1") == set()


async def test_namesakes_are_two(world: World) -> None:
    child = world.pupils()[0]
    other = second_record(world, {**child, "email": "somebody.else@x.example", "identifier": "99"})
    await world.night()
    assert world.asked() == set()
    assert {place[1] for place in world.places("x-1")} == {other}


async def test_twins_of_a_first_export_wait_outside(tmp_path: Path) -> None:
    here = World(tmp_path)
    twins = [row for row in here.records.files["users"] if row["sourcedId"] in {"u-60", "u-61"}]
    for row in twins:
        row |= {"email": "one@x.example", "givenName": "Same"}
    here.publish()
    await here.run(DISTRICT, APP)
    assert here.asked() == question("u-60")
    await here.approve(*here.holds(APP), of=APP)
    assert here.places("u-60") == here.places("u-61") == set()
    assert here.members()
    await here.approve(*here.holds(DISTRICT), of=DISTRICT)
    assert here.places("u-60")
    assert here.places("u-61")
    here.store.close()


# ---------------------------------------------------------------------------------------------------------------------
# The file of links


async def test_a_file_that_nobody_reviewed_stops_the_reading_and_removes_nothing(world: World, tmp_path: Path) -> None:
    before, child, leaver = world.state(), *(row["sourcedId"] for row in world.pupils()[:2])
    world.renumber({child: "p-1"})
    forget(world, leaver)
    content = f"from,to\n{child},p-1\n".encode()
    (tmp_path / "files" / "lakeside" / "links.csv").write_bytes(content)
    for digest, url, reason in (
        ("0" * 64, "file:links.csv", "InvalidSpec: "),
        (sha256(content).hexdigest(), "file:nothing.csv", "SourceUnavailable: "),
    ):
        world.declare(DISTRICT, identity={"linksFrom": {"url": url, "sha256": digest}})
        await world.night()
        assert world.said(DISTRICT).startswith(f"{reason}spec.identity.linksFrom: ")
        assert world.state() == before
    world.declare(DISTRICT, identity={"linksFrom": {"url": "file:links.csv", "sha256": sha256(content).hexdigest()}})
    await world.night()
    assert world.said(DISTRICT).startswith("Succeeded: ")
    assert world.places(child)
    assert world.places(leaver) == set()
    await world.quiet()


# ---------------------------------------------------------------------------------------------------------------------
# A records system that was replaced


async def test_a_replaced_records_system_is_one_question_and_links_answer_it(world: World) -> None:
    before = world.state()
    everybody = [row["sourcedId"] for row in world.records.files["users"]]
    world.renumber({person: f"new-{person}" for person in everybody})
    await world.night()
    assert world.asked() == {("Identity", "District", None)}
    assert "nothing of the new records is served" in world.said(DISTRICT, "IdentityClear")
    assert world.state() == before
    await world.quiet()
    place = {"namespace": "lakeside", "district": "lakeside"}
    accepted = world.store.accepted(**place)
    assert accepted is not None
    assert accepted.served is not None
    old, new = (load(world.store.snapshots(**place), digest).roster for digest in (accepted.served, accepted.digest))
    links = propose(old, new).drop_nulls("to").select("from", "to")
    assert links.height == len(everybody)
    world.link(*links.iter_rows())
    await world.run(DISTRICT, APP)
    assert world.holds(DISTRICT) == world.holds(APP) == []
    assert world.said(APP).startswith("Succeeded: ")
    assert world.state() == before
    await world.quiet()


async def test_while_too_many_are_in_question_nothing_of_the_reading_is_served(world: World) -> None:
    pupils = [row["sourcedId"] for row in world.pupils()]
    everybody = {
        row["userSourcedId"] for role in ("student", "teacher") for row in world.records.rows("roles", role=role)
    }
    leaver, *others = pupils
    world.renumber({person: f"new-{person}" for person in everybody - {leaver}})
    forget(world, leaver)
    await world.night()
    assert world.places(leaver)
    assert "everything else is done" not in world.said(DISTRICT)
    world.declare(DISTRICT, guard={"maxIdentityChanges": "100%"})
    await world.run(DISTRICT, APP)
    assert world.places(leaver) == set()
    assert all(world.places(person) for person in others)

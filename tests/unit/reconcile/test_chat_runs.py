"""Whole runs of policies of chats: what people see, what is held, what a crash or a lost store does."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.reconcile.chatnights import PLATFORM, POLICY, THREE, ChatNights, account
from tests.unit.reconcile.nights import DISTRICT, Killed

from homeroom.chats import State
from homeroom.chats.linking import CodeState, Place, Proof
from homeroom.reconcile.ports import Key
from homeroom.reconcile.routes import routes
from homeroom.store import Answer, JournalQuery, Store, Visit

OTHER = Key("ChatPolicy", "lakeside", "others")
PARENTS, STUDENTS, STAFF = "7b parents", "7b students", "Staff room - Sable Creek Middle School"
SECTION = "s-002"  # the school of these
CHILD = "u-110"  # in 7b
ALWAYS = {"type": "Subject", "createOn": "Enrollment"}
LAX = {"maxDeletes": "100%", "maxClassShrink": "100%"}


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[ChatNights]:
    here = ChatNights.beginning(tmp_path)
    yield here
    here.store.close()


@pytest.fixture
def filled(first_fill: ChatNights, tmp_path: Path) -> Iterator[ChatNights]:
    here = ChatNights.after(first_fill, tmp_path)
    yield here
    here.store.close()


def section_of(here: ChatNights, title: str) -> str:
    """Source id of a class."""
    (row,) = here.records.rows("classes", title=title)
    return row["sourcedId"]


def number(here: ChatNights) -> int:
    """How many members there are."""
    return sum(map(len, here.there().values()))


def parents(here: ChatNights) -> list[str]:
    """Source ids of the parents in the chat of 7b."""
    return sorted(here.there()[PARENTS] - {"t-10"})


def leave(here: ChatNights, title: str, number: int) -> None:
    """So many students leave a class."""
    section = section_of(here, title)
    for row in here.records.rows("enrollments", classSourcedId=section, role="student")[:number]:
        here.records.remove("enrollments", sourcedId=row["sourcedId"])


# ---------------------------------------------------------------------------------------------------------------------
# How many there are, and how many are linked


async def unlinked(here: ChatNights, people: list[str]) -> None:
    """Some take their link back, and the policy runs."""
    for person in people:
        assert here.store.links.unlink(Place("lakeside", "matrix", "lakeside"), person, now=here.now) == 1
    await here.run(POLICY)


async def test_members_links_and_chats_are_gauges(filled: ChatNights) -> None:
    await unlinked(filled, [CHILD])
    told, status = filled.gauges[POLICY], filled.cluster.objects[POLICY]["status"]
    assert told["chats"] == status["chats"]
    assert told["members"]["unlinked"] == 1
    assert told["members"]["joined"] == number(filled)
    assert (told["links"]["unlinked"], told["links"]["refused"]) == (1, 0)


async def test_few_who_are_linked_are_a_condition_where_limits_are_declared(filled: ChatNights) -> None:
    spec = dict(filled.cluster.objects[POLICY]["spec"])

    async def said(**limits: str) -> str:
        filled.put(POLICY, **spec, limits={"linked": limits})
        await filled.run(POLICY)
        assert filled.said(POLICY).startswith("Succeeded: ")  # Ready stays True
        return filled.said(POLICY, "Linked")

    assert await said(warn="100%") == "EnoughLinked: at least 100% are linked"
    staff = [row["sourcedId"] for row in filled.records.rows("users") if row["sourcedId"].startswith("t-")]
    await unlinked(filled, staff[:-1])
    few = filled.said(POLICY, "Linked")
    assert few.startswith("FewLinked: fewer than 100% are linked: StaffRoom ")
    assert (
        await said(warn="90%", critical="80%")
        == few.replace("Few", "TooFew").replace("100%", "90%").partition(", Class")[0]
    )
    assert (await said(warn="10%")).startswith("EnoughLinked: ")
    filled.put(POLICY, **spec)
    await filled.run(POLICY)
    types = [one["type"] for one in filled.cluster.objects[POLICY]["status"]["conditions"]]
    assert "Linked" not in types


# ---------------------------------------------------------------------------------------------------------------------
# What the row of a school says


def row(here: ChatNights, school: str = SECTION) -> dict[str, Any]:
    """What the School says of the chats of its one policy."""
    rows = [obj for key, obj in here.cluster.objects.items() if key.kind == "School"]
    (found,) = (one["status"] for one in rows if one["spec"]["sourcedId"] == school)
    (chats,) = found["chats"]
    assert found["summary"] == chats["state"]
    return dict(chats)


async def test_the_row_of_a_school_follows_its_chats(empty: ChatNights) -> None:
    await empty.run(DISTRICT, POLICY)
    before = row(empty)
    assert (before["state"], before["there"], before["joined"]) == ("Held", 0, 0)

    await empty.approve(*(hold for hold in empty.holds(POLICY) if hold["place"] == SECTION), of=POLICY)
    wanted = before["wanted"]
    joined = sum(len(room.people) - 1 for room in empty.server.rooms.values())
    counts = {"wanted": wanted, "there": wanted, "joined": joined, "unlinked": 0}
    assert row(empty) == {"name": "chats", "state": "Synced", **counts}
    assert row(empty, "s-001")["state"] == "Held"

    place = Place("lakeside", "matrix", "lakeside")
    empty.store.links.unlink(place, CHILD, now=empty.now)
    await empty.run(POLICY)
    assert row(empty) == {"name": "chats", "state": "Synced", **counts, "joined": joined - 1, "unlinked": 1}


async def test_the_row_of_a_school_is_an_error_where_a_chat_was_refused_or_cannot_be_read(filled: ChatNights) -> None:
    filled.server.room(STUDENTS).complete = False
    await filled.run(POLICY)
    assert (row(filled)["state"], row(filled, "s-001")["state"]) == ("Error", "Synced")
    filled.server.room(STUDENTS).complete = True
    del filled.server.room(STUDENTS).people[account(CHILD)]
    filled.chats.refused = {account(CHILD)}
    await filled.run(POLICY)
    assert (row(filled)["state"], row(filled, "s-001")["state"]) == ("Error", "Synced")
    filled.server.complete = False
    await filled.run(POLICY)
    assert row(filled, "s-001")["state"] == "Error"


async def test_a_policy_that_is_suspended_or_gone_keeps_or_clears_the_row(filled: ChatNights) -> None:
    before = row(filled)
    filled.declare(PLATFORM, suspend=True)
    await filled.run(POLICY)
    filled.restarted()
    assert row(filled) == before
    gone = filled.cluster.objects.pop(POLICY)
    cluster: Any = filled.cluster
    await filled.run(*(key for key in routes(cluster, gone, None) if key.kind == "School"))
    assert not any(obj["status"].get("chats") for key, obj in filled.cluster.objects.items() if key.kind == "School")


# ---------------------------------------------------------------------------------------------------------------------
# First fill, and nothing to do


async def test_the_first_chats_of_a_school_wait_for_a_word_and_are_filled_then(empty: ChatNights) -> None:
    await empty.run(DISTRICT, POLICY)
    assert empty.open_holds() == {"FirstSync", "Administrators"}
    assert {hold["place"] for hold in empty.holds(POLICY)} == {"s-001", "s-002", "s-003"}
    assert "in school 's-001' 8 people would become administrators of chats" in empty.said(POLICY)
    assert not empty.server.writes

    await empty.approve(*(hold for hold in empty.holds(POLICY) if hold["place"] == SECTION), of=POLICY)
    assert {room.school for room in empty.server.rooms.values()} == {SECTION}
    await empty.approve_all()
    assert empty.said(POLICY) == f"Succeeded: 35 chats, {number(empty)} members in sync"
    assert empty.server.led()[STUDENTS] == empty.server.led()[PARENTS] == {account("t-10")}
    assert CHILD in empty.there()[STUDENTS]
    assert all(one.startswith("g-") or one == "t-10" for one in empty.there()[PARENTS])


async def test_a_run_with_nothing_to_do_writes_nothing(filled: ChatNights) -> None:
    baselines = sorted((filled.directory / "chats").rglob("*"))
    for _ in range(2):
        writes, status = filled.server.writes, filled.cluster.objects[POLICY]["status"]
        journal = filled.store.history(JournalQuery(namespace="lakeside"))
        written, events = filled.cluster.writes, list(filled.cluster.events)
        await filled.run(POLICY)
        assert filled.server.writes == writes
        assert filled.cluster.objects[POLICY]["status"] == status
        assert (filled.cluster.writes, filled.cluster.events) == (written, events)
        assert filled.store.history(JournalQuery(namespace="lakeside")).equals(journal)
        assert sorted((filled.directory / "chats").rglob("*")) == baselines
        filled.restarted()


async def test_killed_anywhere_in_a_first_fill_it_ends_the_same(first_fill: ChatNights, empty: ChatNights) -> None:
    await empty.run(DISTRICT, POLICY)
    holds, chance = empty.holds(POLICY), random.Random(6)
    empty.chats.until = 0
    with pytest.raises(Killed):
        await empty.approve(*holds, of=POLICY)
    for hold in holds:
        empty.cluster.asked = []
        meta = {"name": hold["id"], "namespace": "lakeside", "creationTimestamp": empty.now.isoformat()}
        spec = {"targetRef": {"kind": "ChatPolicy", "name": "chats"}, "hold": hold["id"], "reason": "seen"}
        empty.cluster.put({"apiVersion": "homeroom.dev/v1alpha1", "kind": "Approval", "metadata": meta, "spec": spec})
    for _ in range(20):
        empty.restarted()
        empty.chats.until = chance.randrange(25)
        with pytest.raises(Killed):
            await empty.run(POLICY)
    empty.restarted()
    empty.chats.until = None
    await empty.run(POLICY)
    assert empty.said(POLICY).startswith("Succeeded: ")
    assert empty.server.rooms == first_fill.server.rooms
    assert empty.server.writes == first_fill.server.writes, "something was done twice"


# ---------------------------------------------------------------------------------------------------------------------
# By hand


async def test_what_people_do_by_hand_is_put_back_and_told(filled: ChatNights) -> None:
    before = copy.deepcopy(filled.server.rooms)
    room = filled.server.room(PARENTS)
    room.people["@stranger:school.example"] = State.JOINED
    one, another, *_ = parents(filled)
    room.leads.add(account(one))
    del room.people[account(another)]
    filled.server.room(STUDENTS).name = "7b rules"
    await filled.run(POLICY)
    assert filled.server.rooms == before
    assert filled.said(POLICY).startswith("Succeeded: ")
    assert ("DriftRepaired", "4 changes made by hand in the chats were put back") in filled.cluster.events


async def test_hundreds_of_strangers_are_out_at_once_and_the_class_stays(filled: ChatNights) -> None:
    """Safety row 1."""
    before = filled.server.there()
    for number in range(200):
        filled.server.room(PARENTS).people[f"@stranger-{number}:school.example"] = State.JOINED
    await filled.run(POLICY)
    assert filled.server.there() == before
    assert filled.holds(POLICY) == []


# ---------------------------------------------------------------------------------------------------------------------
# Records


async def test_an_export_that_empties_a_class_is_held_and_asked_about_once(filled: ChatNights) -> None:
    """The District holds it (safety row 12): whoever approves it there is not asked again."""
    before = filled.there()
    leave(filled, "7b", 99)
    leave(filled, "6a", 1)
    await filled.night()
    assert filled.open_holds(DISTRICT)
    assert filled.there()[STUDENTS] == before[STUDENTS]
    assert filled.there()[PARENTS] == before[PARENTS]
    assert len(filled.there()["6a students"]) == len(before["6a students"]) - 1
    await filled.approve(*filled.holds(DISTRICT), of=DISTRICT)
    await filled.run(POLICY)
    assert filled.holds(POLICY) == []
    assert filled.there()[STUDENTS] == filled.there()[PARENTS] == {"t-10"}


async def test_what_a_district_lets_pass_may_still_be_too_much_for_a_chat(filled: ChatNights) -> None:
    await filled.night(days=8)  # what came within a week counts for nothing
    before = filled.there()
    leave(filled, "7b", 7)
    leave(filled, "6a", 1)
    filled.declare(DISTRICT, guard=LAX)
    await filled.night()
    assert "ClassShrink" in filled.open_holds()
    told = f"the students' chat of class '{section_of(filled, '7b')}' would lose 7 people"
    assert told in filled.said(POLICY)
    assert filled.there()[STUDENTS] == before[STUDENTS]
    assert len(filled.there()["6a students"]) == len(before["6a students"]) - 1
    for _ in range(3):  # nor does it fall apart by itself
        await filled.night()
        assert filled.there()[STUDENTS] == before[STUDENTS]
    await filled.approve_all()
    assert len(filled.there()[STUDENTS]) == len(before[STUDENTS]) - 7
    assert filled.holds(POLICY) == []


async def test_small_steps_do_not_dissolve_a_guard(filled: ChatNights) -> None:
    """Safety row 3."""
    await filled.night(days=8)
    before = len(filled.there()[STUDENTS])
    filled.declare(DISTRICT, guard=LAX)
    for _ in range(6):
        leave(filled, "7b", 1)
        await filled.night(days=0.5)
    assert before - len(filled.there()[STUDENTS]) < 5
    assert filled.holds(POLICY)


async def test_who_is_denied_is_out_at_once_whatever_is_held(filled: ChatNights) -> None:
    before = filled.there()
    leave(filled, "7b", 7)
    filled.declare(DISTRICT, guard=LAX)
    await filled.night()
    assert filled.holds(POLICY)
    filled.declare(DISTRICT, deny=[{"person": CHILD, "scope": "All"}])
    await filled.run(DISTRICT, POLICY)
    assert filled.there()[STUDENTS] == before[STUDENTS] - {CHILD}


async def test_old_records_take_nobody_out_but_strangers(filled: ChatNights) -> None:
    await filled.night(days=8)
    before = filled.there()
    leave(filled, "7b", 2)
    await filled.night()  # the District reads it
    assert len(filled.there()[STUDENTS]) == len(before[STUDENTS]) - 2
    before = filled.there()
    filled.declare(DISTRICT, suspend=True)
    leave(filled, "7b", 1)
    await filled.later(days=5)
    filled.server.room(PARENTS).people["@stranger:school.example"] = State.JOINED
    await filled.run(DISTRICT, POLICY)
    assert filled.said(POLICY, "RosterFresh").startswith("RosterStale: ")
    assert filled.there() == before


async def test_a_recycled_id_moves_nobody(filled: ChatNights) -> None:
    """Safety row 6: another child, in another class, gets the id of one who left."""
    before = filled.there()
    (user,) = filled.records.rows("users", sourcedId=CHILD)
    user |= {"givenName": "Nova", "familyName": "Comer", "username": "nova", "email": "nova@x.example"}
    for row in filled.records.rows("enrollments", userSourcedId=CHILD):
        row["classSourcedId"] = section_of(filled, "6a")
    await filled.night()
    assert filled.said(DISTRICT, "IdentityClear").startswith("IdentityInQuestion: ")
    assert filled.there() == before


# ---------------------------------------------------------------------------------------------------------------------
# Links


async def test_whoever_takes_a_link_back_is_out_and_a_link_that_nobody_repeats_stays(filled: ChatNights) -> None:
    before = filled.there()
    place, one = Place("lakeside", "matrix", "lakeside"), parents(filled)[0]
    assert filled.store.links.unlink(place, one, now=filled.now) == 1
    await filled.run(POLICY)
    assert filled.there()[PARENTS] == before[PARENTS] - {one}
    identity = {"type": "UserIds", "userIdType": "Nobody has one of these"}
    filled.declare(PLATFORM, identity=identity)
    await filled.run(POLICY)
    assert filled.there()[PARENTS] == before[PARENTS] - {one}
    assert filled.cluster.objects[POLICY]["status"]["members"]["unlinked"] >= 1


# ---------------------------------------------------------------------------------------------------------------------
# What the server does not tell, or do


async def test_half_a_list_removes_nobody(filled: ChatNights) -> None:
    before = filled.there()
    room = filled.server.room(STUDENTS)
    hidden = {room.people.pop(account(one)): one for one in (CHILD, "u-111")}
    assert hidden
    room.complete = False
    room.people["@stranger:school.example"] = State.JOINED
    await filled.run(POLICY)
    assert filled.said(POLICY).startswith("TargetIncomplete: ")
    assert filled.there()[STUDENTS] == before[STUDENTS] - {CHILD, "u-111"} | {"stranger"}
    room.complete = True
    await filled.run(POLICY)
    assert filled.there() == before


async def test_who_is_refused_stops_nobody_else(first_fill: ChatNights, empty: ChatNights) -> None:
    empty.chats.refused = {account(CHILD)}
    await empty.run(DISTRICT, POLICY)
    await empty.approve_all()
    assert empty.said(POLICY).startswith("SomeChangesFailed: ")
    assert CHILD not in empty.there()[STUDENTS]
    assert number(empty) == number(first_fill) - 1
    empty.chats.refused = set()
    await empty.run(POLICY)
    assert CHILD in empty.there()[STUDENTS]


async def test_an_account_is_tried_again_at_once_when_its_owner_has_linked_it(
    first_fill: ChatNights, empty: ChatNights
) -> None:
    """R4: it was not there, and its owner has made it on the way."""
    empty.chats.unknown, here, links = {account("t-10")}, Place("lakeside", "matrix", "lakeside"), empty.store.links
    await empty.run(DISTRICT, POLICY)
    await empty.approve_all()
    empty.chats.unknown = set()
    await empty.run(POLICY)
    assert empty.there() != first_fill.there()
    empty.now += timedelta(minutes=1)
    expires = empty.now + timedelta(minutes=30)
    links.issue({"t-10": "c"}, place=here, state=CodeState.PRINTED, expires_at=expires, now=empty.now)
    visit = Visit(place=here, language="English", expires_at=expires, person="t-10", code="c")
    links.begin(visit, digest="v", now=empty.now)
    links.ask("v", account("t-10"), language="English", now=empty.now)
    (asked,) = links.asked(namespace="lakeside", platform="matrix", now=empty.now)
    links.answered(asked, "9" * 64, epoch=1)
    assert links.enter("v", "9" * 64, now=empty.now) is Proof.PROVEN
    assert links.link("v", now=empty.now) is Answer.LINKED
    await empty.run(POLICY)
    await empty.approve_all()
    assert empty.there() == first_fill.there()


async def test_an_account_that_is_not_there_is_parked_and_tried_again_later(
    first_fill: ChatNights, empty: ChatNights
) -> None:
    """B12: nobody else waits for it, and no run fails by it."""
    empty.chats.unknown = {account("t-10")}  # of several chats, and an administrator
    await empty.run(DISTRICT, POLICY)
    await empty.approve_all()
    words = "; 1 accounts are not there, or out of use, and are tried again later"
    assert empty.said(POLICY) == f"Succeeded: 35 chats, {number(first_fill)} members in sync{words}"
    chats = [name for name, people in first_fill.there().items() if "t-10" in people]
    assert len(chats) > 1
    assert empty.there() == {name: people - {"t-10"} for name, people in first_fill.there().items()}
    status = empty.cluster.objects[POLICY]["status"]
    assert status["members"]["parked"] == len(chats)
    assert (status["plan"]["create"], status["plan"]["blocked"]) == (0, 0)
    asked = empty.chats.asked

    writes = empty.cluster.writes
    await empty.run(POLICY)
    await empty.run(POLICY)
    assert (empty.chats.asked, empty.cluster.writes) == (asked, writes), "a run with nothing to do did something"
    for hours, more in ((2, 1), (1, 0), (2, 1), (2, 0), (4, 1)):
        empty.now += timedelta(hours=hours)
        await empty.run(POLICY)
        asked += more * len(chats)
        assert empty.chats.asked == asked, hours
        assert empty.cluster.objects[POLICY]["status"]["members"] == status["members"]

    empty.chats.unknown = set()
    await empty.night()
    assert empty.there() == first_fill.there()
    assert empty.server.led() == first_fill.server.led()
    assert empty.said(POLICY) == f"Succeeded: 35 chats, {number(empty)} members in sync"
    assert "DriftRepaired" not in {reason for reason, _ in empty.cluster.events}


async def test_a_lost_store_takes_nobody_out_and_asks(filled: ChatNights, tmp_path: Path) -> None:
    before = filled.there()
    leave(filled, "8a", 99)
    filled.server.room(PARENTS).people["@grandmother:school.example"] = State.JOINED
    filled.server.room(STUDENTS).people.pop(account(CHILD))
    filled.publish()
    filled.store.close()
    filled.store = Store.open(f"sqlite:///{tmp_path / 'new.db'}", tmp_path / "new")
    filled.restarted()
    await filled.run(DISTRICT, POLICY)
    assert filled.said(POLICY).startswith("BaselineLost: ")
    for _ in range(2):
        await filled.run(POLICY)
        there = filled.there()
        assert there["8a students"] == before["8a students"]
        assert there[PARENTS] == before[PARENTS] | {"grandmother"}
        assert there[STUDENTS] == before[STUDENTS] - {CHILD}
        assert "FirstSync" in filled.open_holds()
    await filled.approve(*(hold for hold in filled.holds(POLICY) if hold["guard"] == "FirstSync"), of=POLICY)
    assert filled.there()[STUDENTS] == before[STUDENTS]


async def test_without_its_files_beside_the_database_nobody_goes(filled: ChatNights) -> None:
    """Another volume, or an emptied one, and a database that is a server's."""
    before, chats = filled.there(), filled.directory / "chats"
    leave(filled, "6a", 1)
    chats.rename(filled.directory / "elsewhere")
    filled.restarted()
    await filled.night()
    assert filled.said(POLICY).startswith("BaselineBroken: ")
    assert filled.there() == before
    (filled.directory / "elsewhere").rename(chats)
    await filled.run(POLICY)
    assert filled.said(POLICY).startswith("Succeeded: ")
    assert len(filled.there()["6a students"]) == len(before["6a students"]) - 1


# ---------------------------------------------------------------------------------------------------------------------
# Several policies, and the platform


async def test_a_policy_that_is_renamed_makes_no_chat_anew(filled: ChatNights) -> None:
    writes, spec = filled.server.writes, filled.cluster.objects.pop(POLICY)["spec"]
    filled.put(OTHER, **spec)
    await filled.run(OTHER)
    assert filled.said(OTHER).startswith(("Succeeded: ", "BaselineLost: ")), filled.said(OTHER)
    await filled.run(OTHER)
    assert filled.said(OTHER).startswith("Succeeded: ")
    assert filled.server.writes == writes


async def test_a_school_moves_from_one_policy_to_another_with_its_chats(filled: ChatNights) -> None:
    writes, before = filled.server.writes, filled.there()
    refs: dict[str, Any] = {"districtRef": {"name": "lakeside"}, "platformRef": {"name": "matrix"}}
    term = {"key": "school", "values": [SECTION]}
    filled.declare(POLICY, match=[{**term, "operator": "NotIn"}], deletion="Archive")
    filled.put(OTHER, **refs, match=[{**term, "operator": "In"}], chats=THREE, deletion="Archive")
    for _ in range(3):
        await filled.run(POLICY, OTHER)
        await filled.night()
    await filled.run(POLICY, OTHER)
    assert (filled.server.writes, filled.there()) == (writes, before)
    assert filled.said(POLICY).startswith("Succeeded: ")
    assert filled.said(OTHER).startswith("Succeeded: ")
    leave(filled, "6b", 1)
    await filled.night()
    await filled.run(OTHER)
    assert len(filled.there()["6b students"]) == len(before["6b students"]) - 1


async def test_of_two_policies_on_one_school_the_older_one_works(filled: ChatNights) -> None:
    writes = filled.server.writes
    refs: dict[str, Any] = {"districtRef": {"name": "lakeside"}, "platformRef": {"name": "matrix"}}
    chats = [{"type": "ClassStudents", "name": "Mine: {class}"}]
    filled.put(OTHER, made="2026-11-02T00:00:00Z", **refs, firstSync="Automatic", chats=chats)
    await filled.run(OTHER)
    await filled.run(POLICY)
    assert filled.said(OTHER).startswith("Conflict: ")
    assert filled.said(POLICY).startswith("Succeeded: ")
    assert filled.server.writes == writes


async def test_without_a_platform_or_with_one_that_rests_nothing_is_read(filled: ChatNights) -> None:
    reads = filled.chats.reads
    filled.declare(PLATFORM, suspend=True)
    await filled.run(POLICY)
    assert filled.said(POLICY).startswith("Suspended: ")
    del filled.cluster.objects[PLATFORM]
    await filled.run(POLICY)
    assert filled.said(POLICY) == "DependencyNotReady: ChatPlatform 'matrix' is missing"
    assert filled.chats.reads == reads


async def test_before_there_are_records_there_are_no_chats(empty: ChatNights) -> None:
    await empty.run(POLICY)
    assert empty.said(POLICY).startswith("WaitingForRoster: ")
    assert not empty.chats.reads


# ---------------------------------------------------------------------------------------------------------------------
# Rights, and accounts of two people


async def test_no_student_ever_administers_a_chat(filled: ChatNights) -> None:
    """Safety row 5: neither by a wrong row, by an edit in Git, by hand, nor with a chat that is opened again."""
    students = {account(row["userSourcedId"]) for row in filled.records.rows("enrollments", role="student")}

    def leading() -> set[str]:
        return students & {one for room in filled.server.rooms.values() for one in room.leads}

    (enrolled,) = filled.records.rows("enrollments", userSourcedId=CHILD, classSourcedId=section_of(filled, "7b"))
    teaching = {**enrolled, "sourcedId": "wrong-1", "role": "teacher", "primary": "true"}
    filled.records.files["enrollments"].append(teaching)
    (role, *_) = filled.records.rows("roles", userSourcedId=CHILD)
    filled.records.files["roles"].append({**role, "sourcedId": "wrong-2", "role": "principal", "roleType": "secondary"})
    filled.declare(POLICY, firstSync="Automatic", chats=[*THREE, ALWAYS])
    room = filled.server.room("7a students")
    room.leads |= room.people.keys() & students
    assert leading()
    for _ in range(2):
        await filled.night()
        assert not leading()
        for root in (DISTRICT, POLICY):
            await filled.approve(*filled.holds(root), of=root)
        assert not leading()
    assert CHILD in filled.there()[STUDENTS]

    before = filled.there()
    room.archived = True
    room.leads |= room.people.keys() & students
    await filled.run(POLICY)
    assert not room.archived
    assert not leading()
    assert filled.there() == before


@pytest.mark.parametrize("parent_first", [True, False])
async def test_one_account_of_two_people_stands_still_until_git_says_who_it_is(
    filled: ChatNights,
    parent_first: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Safety row 9: a parent of 7b, who is a teacher of another class, too, in either order of arrival."""
    parent = parents(filled)[0]
    teacher = min(filled.there()["6a students"] & {f"t-{n}" for n in range(99)})
    both = "@both:school.example"
    first, second = (parent, teacher) if parent_first else (teacher, parent)

    def chats() -> set[str]:
        return {name for name, people in filled.server.there().items() if both in people}

    theirs = {one: {name for name, people in filled.there().items() if one in people} for one in (parent, teacher)}
    filled.declare(PLATFORM, identity={"type": "UserIds", "userIdType": "Matrix"})
    for one in (first, second):
        (user,) = filled.records.rows("users", sourcedId=one)
        user["userIds"] = f"{{Matrix:{both}}}"
        await filled.night()
        assert chats() == theirs[first]
    assert filled.said(POLICY).startswith("IdentityConflict: 1 accounts are claimed by two people each")

    filled.declare(DISTRICT, identity={"links": [{"from": teacher, "to": parent}]})
    for _ in range(2):
        await filled.night()
        for root in (DISTRICT, POLICY):
            await filled.approve(*filled.holds(root), of=root)
    assert chats() == theirs[parent] | theirs[teacher]

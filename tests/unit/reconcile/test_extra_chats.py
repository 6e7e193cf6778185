"""Whole runs of extra chats (kind Chat): who is in them, what waits for a word, that nobody else's room is touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.chats.worlds import Room
from tests.unit.reconcile.chatnights import PLATFORM, POLICY, ChatNights, Opened, account
from tests.unit.reconcile.nights import DISTRICT

from homeroom.api import FINALIZER
from homeroom.chats import State
from homeroom.chats.linking import JoinState, Place
from homeroom.errors import HomeroomError, RefusedError, TransientError
from homeroom.reconcile.linking import KIND as LINKING
from homeroom.reconcile.ports import Key, Verdict
from homeroom.reconcile.routes import routes
from homeroom.store import JoinLink, JournalQuery

NEWSPAPER = Key("Chat", "lakeside", "newspaper")
CHILD, OTHER_CHILD = "u-110", "u-111"  # of 7b, whose class teacher is t-10
SCHOOL = "s-002"


class ExtraNights(ChatNights):
    """The world with a Chat and no policies. Each Chat has what the server shows to its owner: `rooms`."""

    def __init__(self, directory: Path) -> None:
        self.rooms: dict[str | None, Opened] = {}
        super().__init__(directory)
        del self.cluster.objects[POLICY]

    def newspaper(self, **spec: Any) -> None:
        place: dict[str, Any] = {"districtRef": {"name": "lakeside"}, "platformRef": {"name": "matrix"}}
        self.put(NEWSPAPER, name="School newspaper", **place, **spec)

    async def platform(self, *_: object, **asked: Any) -> Any:
        return self.rooms.setdefault(asked.get("chat"), Opened())

    @property
    def room(self) -> Room:
        """The one room of the newspaper."""
        (room,) = self.rooms["newspaper"].server.rooms.values()
        return room

    @property
    def people(self) -> set[str]:
        """Source ids of who is in it."""
        (people,) = self.rooms["newspaper"].server.there().values()
        return {one[1:].partition(":")[0] for one in people}

    async def made(self, **spec: Any) -> None:
        """It is declared so, run, and approved."""
        self.declare(NEWSPAPER, **spec)
        await self.run(DISTRICT, NEWSPAPER)
        await self.approve_all(NEWSPAPER)


@pytest.fixture(scope="session")
def read(tmp_path_factory: pytest.TempPathFactory) -> ExtraNights:
    """A world in which the District has read its records. Nobody changes it."""

    async def begin(directory: Path) -> ExtraNights:
        world = ExtraNights.beginning(directory)
        await world.run(DISTRICT)
        return world

    return ExtraNights.begun(begin(tmp_path_factory.mktemp("read")))


@pytest.fixture
def here(read: ExtraNights, tmp_path: Path) -> Iterator[ExtraNights]:
    world = ExtraNights.after(read, tmp_path)
    world.newspaper()
    yield world
    world.store.close()


def section_of(here: ChatNights, title: str) -> str:
    """Source id of a class."""
    (row,) = here.records.rows("classes", title=title)
    return row["sourcedId"]


def learners(here: ChatNights, title: str) -> set[str]:
    """Source ids of the students of a class today."""
    rows = here.records.rows("enrollments", classSourcedId=section_of(here, title), role="student")
    return {row["userSourcedId"] for row in rows}


# ---------------------------------------------------------------------------------------------------------------------
# Who is in it


async def test_a_chat_waits_for_a_word_and_is_filled_then(here: ExtraNights) -> None:
    here.declare(NEWSPAPER, members={"people": [CHILD, "t-10"]}, admins=["t-10"])
    await here.run(DISTRICT, NEWSPAPER)
    assert here.open_holds(NEWSPAPER) == {"FirstSync", "Administrators"}
    assert "the chat is to be made, with 2 people (3 changes)" in here.said(NEWSPAPER)
    assert "1 person would become administrators of the chat" in here.said(NEWSPAPER)
    assert here.rooms["newspaper"].server.rooms == {}

    await here.approve_all(NEWSPAPER)
    assert here.said(NEWSPAPER) == "Succeeded: 1 chat, 2 members in sync"
    assert here.people == {CHILD, "t-10"}
    assert here.room.leads - {"@homeroom"} == {account("t-10")}
    assert here.room.name == "School newspaper"
    assert here.cluster.objects[NEWSPAPER]["status"]["members"]["joined"] == 2


async def test_an_empty_chat_is_a_chat(here: ExtraNights) -> None:
    await here.made()
    assert here.said(NEWSPAPER) == "Succeeded: 1 chat, 0 members in sync"
    assert here.people == set()


async def test_classes_with_their_parts_and_roles_of_a_school(here: ExtraNights) -> None:
    section = section_of(here, "7b")
    await here.made(members={"classes": [section]})
    assert here.people == learners(here, "7b") | {"t-10", "t-11"}

    await here.made(members={"classes": [section], "parts": ["Parents"]})
    assert here.people
    assert all(one.startswith("g-") for one in here.people)

    await here.made(members={"roles": [{"role": "Heads", "school": SCHOOL}]})
    heads = here.people
    await here.made(members={"roles": [{"role": "Staff", "school": SCHOOL}]})
    assert heads < here.people
    assert here.room.leads == {"@homeroom"}, "a role in a school is no reason to lead an extra chat"

    await here.made(members={"roles": [{"role": "Students", "school": SCHOOL}]})
    assert here.people > learners(here, "7b")


async def test_it_is_left_with_the_last_reason(here: ExtraNights) -> None:
    section = section_of(here, "7b")
    await here.made(members={"people": [CHILD], "classes": [section], "parts": ["Students"]})
    (row,) = here.records.rows("enrollments", classSourcedId=section, userSourcedId=CHILD)
    here.records.remove("enrollments", sourcedId=row["sourcedId"])
    await here.later(days=1)
    await here.run(DISTRICT, NEWSPAPER)
    assert CHILD in here.people
    here.declare(NEWSPAPER, members={"classes": [section], "parts": ["Students"]})
    await here.run(NEWSPAPER)
    await here.approve_all(NEWSPAPER)  # an edit that takes somebody out
    assert here.people == learners(here, "7b")
    assert CHILD not in here.people


async def test_a_student_is_refused_as_administrator_in_words(here: ExtraNights) -> None:
    """DESIGN.md invariant 8."""
    await here.made(members={"people": ["t-10"]}, admins=[CHILD, "t-10"])
    assert here.said(NEWSPAPER).startswith(f"StudentAdministrator: '{CHILD}': a student by the records")
    assert here.said(NEWSPAPER, "Stalled").startswith("StudentAdministrator")
    assert here.people == {CHILD, "t-10"}
    assert here.room.leads - {"@homeroom"} == {account("t-10")}
    assert here.holds(NEWSPAPER) == []


async def test_what_the_records_have_not_is_told(here: ExtraNights) -> None:
    roles = [{"role": "Staff", "school": "s-999"}]
    await here.made(members={"people": [CHILD, "u-nobody"], "classes": ["c-none"], "roles": roles})
    assert here.said(NEWSPAPER).endswith("in sync; not in the records: 'c-none', 's-999', 'u-nobody'")
    assert here.people == {CHILD}


async def test_an_id_that_is_given_to_another_human_is_not_theirs_here(here: ExtraNights) -> None:
    """Safety row 6."""
    await here.made(members={"people": ["t-10", "t-11"]}, admins=["t-10"])
    (user,) = here.records.rows("users", sourcedId="t-10")
    user |= {"givenName": "Nova", "familyName": "Comer", "username": "nova", "email": "nova@x.example"}
    for row in here.records.rows("enrollments", userSourcedId="t-10"):
        row["classSourcedId"] = section_of(here, "6a")
    await here.later(days=1)
    await here.run(DISTRICT, NEWSPAPER)
    assert here.said(DISTRICT, "IdentityClear").startswith("IdentityInQuestion: ")
    assert here.people == {"t-10", "t-11"}
    assert here.room.leads - {"@homeroom"} == {account("t-10")}

    here.declare(DISTRICT, identity={"links": [{"from": "t-10-2027", "to": "t-10"}]})
    await here.run(DISTRICT, NEWSPAPER)
    await here.later(days=8)  # the last who leads a chat stays for a week
    await here.run(DISTRICT, NEWSPAPER)
    await here.approve_all(NEWSPAPER)  # and that nobody is left to lead it is for somebody to see
    assert here.people == {"t-11"}
    assert here.room.leads == {"@homeroom"}


# ---------------------------------------------------------------------------------------------------------------------
# What people and commits do to it


async def test_a_run_with_nothing_to_do_writes_nothing_and_reads_one_room(here: ExtraNights) -> None:
    await here.made(members={"people": [CHILD, "t-10"]}, admins=["t-10"])
    server = here.rooms["newspaper"]
    for _ in range(2):
        before = (server.server.writes, here.cluster.writes, server.reads, here.cluster.objects[NEWSPAPER]["status"])
        await here.run(NEWSPAPER)
        after = (server.server.writes, here.cluster.writes, server.reads, here.cluster.objects[NEWSPAPER]["status"])
        assert after == before
        here.restarted()
    assert len(server.only[-1]) == 1


async def test_strangers_go_and_who_was_put_out_comes_back(here: ExtraNights) -> None:
    await here.made(members={"people": [CHILD, "t-10"]})
    here.room.people["@stranger:school.example"] = State.JOINED
    here.room.leads.add(account(CHILD))
    del here.room.people[account("t-10")]
    here.room.name = "Ours now"
    await here.run(NEWSPAPER)
    assert here.people == {CHILD, "t-10"}
    assert here.room.leads == {"@homeroom"}
    assert here.room.name == "School newspaper"
    assert ("DriftRepaired", "4 changes made by hand in the chats were put back") in here.cluster.events


async def test_who_left_by_choice_is_left_alone_unless_it_says_otherwise(here: ExtraNights) -> None:
    await here.made(members={"people": [CHILD, "t-10"]})
    here.room.people[account("t-10")] = State.LEFT_BY_CHOICE
    await here.run(NEWSPAPER)
    assert here.people == {CHILD}
    here.declare(NEWSPAPER, leave="Rejoin")
    await here.run(NEWSPAPER)
    assert here.people == {CHILD, "t-10"}


async def test_another_name_is_no_other_chat(here: ExtraNights) -> None:
    await here.made(members={"people": [CHILD]})
    before = here.room
    here.declare(NEWSPAPER, name="Gazette")
    await here.run(NEWSPAPER)
    assert here.room is before
    assert before.name == "Gazette"


async def test_a_chat_that_is_gone_leaves_its_room_and_its_successor_of_that_name_takes_it_over(
    here: ExtraNights,
) -> None:
    await here.made(members={"people": [CHILD, "t-10"]})
    room, writes = here.room, here.rooms["newspaper"].server.writes
    gone = here.cluster.objects.pop(NEWSPAPER)
    cluster: Any = here.cluster
    await here.run(*routes(cluster, gone, None))
    assert here.rooms["newspaper"].server.writes == writes
    assert here.people == {CHILD, "t-10"}

    here.newspaper(members={"people": [CHILD]})
    await here.run(NEWSPAPER)
    assert here.room is room
    await here.approve_all(NEWSPAPER)
    assert here.people == {CHILD}


def closed(here: ExtraNights) -> bool:
    """Whether nobody can write in its room."""
    return here.room.archived


async def test_a_chat_that_is_to_be_archived_is_closed_with_its_resource_and_opened_by_its_successor(
    here: ExtraNights,
) -> None:
    await here.made(members={"people": [CHILD, "t-10"]}, deletion="Archive")
    obj = here.cluster.objects[NEWSPAPER]
    assert obj["metadata"]["finalizers"] == [FINALIZER]
    deleted = {**obj["metadata"], "deletionTimestamp": here.now.isoformat()}
    here.cluster.objects[NEWSPAPER] = {**obj, "metadata": deleted}
    here.declare(PLATFORM, suspend=True)
    await here.run(NEWSPAPER)
    assert not closed(here)
    here.declare(PLATFORM, suspend=False)
    await here.run(NEWSPAPER)
    assert closed(here)
    assert here.people == {CHILD, "t-10"}
    assert NEWSPAPER not in here.cluster.objects
    entry = here.store.history(JournalQuery(namespace="lakeside")).filter(op="Archive")
    assert entry.select("app", "cause").rows() == [("Chat/newspaper", "SpecChanged")]

    here.newspaper(members={"people": [CHILD, "t-10"]})
    await here.run(NEWSPAPER)
    assert not closed(here)
    assert here.people == {CHILD, "t-10"}
    assert not here.cluster.objects[NEWSPAPER]["metadata"].get("finalizers")


async def test_a_lost_store_removes_nobody(here: ExtraNights) -> None:
    await here.made(members={"people": [CHILD, "t-10"]})
    before = here.room
    (here.directory / "homeroom.db").rename(here.directory / "away.db")
    here.store.close()
    here.store = type(here.store).open(f"sqlite:///{here.directory / 'homeroom.db'}", here.directory)
    here.restarted()
    here.declare(NEWSPAPER, members={"people": [CHILD]})
    await here.run(DISTRICT, NEWSPAPER)
    assert here.room is before
    assert here.people == {CHILD, "t-10"}


async def test_a_class_that_is_added_by_an_edit_waits_for_a_word(here: ExtraNights) -> None:
    """Safety row 4: a wrong class id puts a class into one chat."""
    await here.made(members={"people": [CHILD, "t-10"]})
    here.declare(NEWSPAPER, members={"people": [CHILD, "t-10"], "classes": [section_of(here, "6a")]})
    await here.run(NEWSPAPER)
    assert here.open_holds(NEWSPAPER) == {"Exposure"}
    assert here.people == {CHILD, "t-10"}
    await here.approve_all(NEWSPAPER)
    assert len(here.people & learners(here, "6a")) > 5


async def test_who_is_denied_or_unlinked_is_out_at_once(here: ExtraNights) -> None:
    await here.made(members={"people": [CHILD, OTHER_CHILD, "t-10"]})
    here.store.links.unlink(Place("lakeside", "matrix", "lakeside"), OTHER_CHILD, now=here.now)
    here.declare(DISTRICT, deny=[{"person": CHILD, "scope": "All"}])
    await here.run(DISTRICT, NEWSPAPER)
    assert here.people == {"t-10"}
    assert here.holds(NEWSPAPER) == []


async def test_its_changes_are_told_under_its_name(here: ExtraNights) -> None:
    await here.made(members={"people": [CHILD]})
    journal = here.store.history(JournalQuery(namespace="lakeside"))
    assert set(journal["app"]) == {"Chat/newspaper"}


async def test_it_is_nothing_of_a_policy_and_a_policy_nothing_of_it(here: ExtraNights) -> None:
    types = [{"type": "ClassStudents"}]
    place: dict[str, Any] = {"districtRef": {"name": "lakeside"}, "platformRef": {"name": "matrix"}}
    here.put(POLICY, **place, chats=types, firstSync="Automatic")
    await here.made(members={"people": [CHILD, "t-10"]})
    await here.run(POLICY)
    await here.approve_all()
    policies = here.rooms[None].server
    before, people = dict(policies.rooms), here.people
    await here.run(NEWSPAPER, POLICY)
    assert policies.rooms == before
    assert here.people == people
    assert here.said(POLICY).startswith("Succeeded: ")
    rows = [obj["status"]["chats"] for key, obj in here.cluster.objects.items() if key.kind == "School"]
    assert {one["name"] for row in rows for one in row} == {"chats"}


async def test_it_rests_while_the_platform_does(here: ExtraNights) -> None:
    await here.made(members={"people": [CHILD]})
    here.declare(PLATFORM, suspend=True)
    here.room.people["@stranger:school.example"] = State.JOINED
    await here.run(NEWSPAPER)
    assert here.said(NEWSPAPER).startswith("Suspended: ")
    assert "stranger" in here.people
    here.declare(PLATFORM, suspend=False)
    await here.run(PLATFORM)
    assert here.people == {CHILD}
    assert here.cluster.objects[PLATFORM]["status"]["policies"] == 0


# ---------------------------------------------------------------------------------------------------------------------
# The link

LOOK = Key(LINKING, "lakeside", "matrix")  # what finds within seconds that somebody pressed a button


def link(here: ExtraNights) -> JoinLink:
    """The link of the newspaper."""
    found = here.store.joins.link(namespace="lakeside", chat="newspaper")
    assert found is not None
    return found


async def come(here: ExtraNights, *people: str) -> None:
    """They press the button, and the operator looks."""
    for person in people:
        assert here.store.joins.ask(link(here), person, now=here.now)
    await here.run(LOOK)


def states(here: ExtraNights) -> dict[str, str]:
    return dict(here.store.joins.joins(link(here).place, "newspaper").iter_rows())


async def test_by_the_link_staff_come_into_an_empty_chat_and_go_again(here: ExtraNights) -> None:
    await here.made(join="Link")
    assert here.people == set()
    assert here.cluster.objects[NEWSPAPER]["status"]["link"] == f"…{link(here).word[-4:]}"
    await come(here, "t-10", "t-11")
    assert here.people == {"t-10", "t-11"}
    assert here.holds(NEWSPAPER) == []
    assert here.room.leads == {"@homeroom"}
    assert states(here) == {"t-10": JoinState.IN, "t-11": JoinState.IN}

    here.store.joins.leave(link(here), "t-10", now=here.now)
    await here.run(LOOK)
    assert here.people == {"t-11"}
    await come(here, "t-10")
    assert here.people == {"t-10", "t-11"}


async def test_all_who_came_may_go_again_at_once_whatever_a_guard_thinks(here: ExtraNights) -> None:
    await here.made(join="Link", link={"admits": ["Students"]})
    everybody = sorted(learners(here, "7b"))
    await come(here, *everybody)
    assert here.people == set(everybody)
    for person in everybody:
        assert here.store.joins.leave(link(here), person, now=here.now)
    await here.run(LOOK)
    assert here.people == set()
    assert here.holds(NEWSPAPER) == []


async def test_a_link_is_for_those_alone_for_whom_it_is_declared(here: ExtraNights) -> None:
    guardian = next(row["userSourcedId"] for row in here.records.rows("roles", role="guardian"))
    who = {"Staff": "t-10", "Parents": guardian, "Students": CHILD}
    await here.made(join="Link")
    await come(here, *who.values())
    assert here.people == {"t-10"}
    assert states(here) == {"t-10": JoinState.IN, guardian: JoinState.REFUSED, CHILD: JoinState.REFUSED}
    for kind, person in who.items():
        here.declare(NEWSPAPER, link={"admits": [kind]})
        await here.run(NEWSPAPER)
        await come(here, *who.values())
        await here.approve_all(NEWSPAPER)  # an edit takes out who came by the link of before
        assert here.people == {person}


async def test_who_came_by_the_link_leads_nothing_and_is_denied_like_others(here: ExtraNights) -> None:
    await here.made(join="Link", admins=["t-10"])
    here.declare(DISTRICT, deny=[{"person": "t-11", "scope": "All"}])
    await here.run(DISTRICT, NEWSPAPER)
    await come(here, "t-11", "u-nobody")
    assert here.people == {"t-10"}
    assert states(here) == {"t-11": JoinState.REFUSED, "u-nobody": JoinState.REFUSED}


async def test_leaving_the_chat_takes_it_back_and_the_button_brings_them_in_again(here: ExtraNights) -> None:
    await here.made(join="Link")
    await come(here, "t-10")
    here.room.people[account("t-10")] = State.LEFT_BY_CHOICE
    await here.run(NEWSPAPER)
    assert here.people == set()
    assert states(here) == {"t-10": JoinState.LEFT}
    await come(here, "t-10")
    assert here.people == {"t-10"}
    assert states(here) == {"t-10": JoinState.IN}
    await here.run(NEWSPAPER)
    assert here.people == {"t-10"}


async def test_who_asks_before_the_chat_is_approved_is_let_in_with_it(here: ExtraNights) -> None:
    here.declare(NEWSPAPER, join="Link")
    await here.run(NEWSPAPER)
    await come(here, "t-10")
    assert states(here) == {"t-10": JoinState.ASKED}
    await here.approve_all(NEWSPAPER)
    assert here.people == {"t-10"}
    assert states(here) == {"t-10": JoinState.IN}


async def test_another_edition_is_another_link_and_who_came_stays(here: ExtraNights) -> None:
    await here.made(join="Link")
    await come(here, "t-10")
    old = link(here)
    here.declare(NEWSPAPER, link={"admits": ["Staff"], "edition": 2})
    await here.run(NEWSPAPER)
    assert link(here).word != old.word
    assert here.store.joins.by_word(old.word) is None
    assert not here.store.joins.ask(old, "t-11", now=here.now)
    assert here.people == {"t-10"}
    again = link(here)
    await here.run(NEWSPAPER)
    assert link(here) == again


async def test_a_link_that_is_closed_takes_out_who_came_after_a_word(here: ExtraNights) -> None:
    await here.made(join="Link")
    await come(here, "t-10")
    here.declare(NEWSPAPER, join="Closed")
    await here.run(NEWSPAPER)
    assert here.store.joins.link(namespace="lakeside", chat="newspaper") is None
    assert here.open_holds(NEWSPAPER) == {"ScopeEdit"}
    assert here.people == {"t-10"}
    await here.approve_all(NEWSPAPER)
    assert here.people == set()


async def test_with_the_chat_its_link_is_gone(here: ExtraNights) -> None:
    await here.made(join="Link")
    gone = here.cluster.objects.pop(NEWSPAPER)
    cluster: Any = here.cluster
    await here.run(*routes(cluster, gone, None))
    assert here.store.joins.link(namespace="lakeside", chat="newspaper") is None


async def test_a_look_without_news_writes_nothing(here: ExtraNights) -> None:
    await here.made(join="Link")
    await come(here, "t-10")
    writes = (here.cluster.writes, here.rooms["newspaper"].server.writes)
    await here.run(LOOK, NEWSPAPER)
    assert (here.cluster.writes, here.rooms["newspaper"].server.writes) == writes


# ---------------------------------------------------------------------------------------------------------------------
# The picture

LOGO, OTHER_LOGO = b"\x89PNG\r\n\x1a\n one", b"\xff\xd8\xff two"
FILE = ("lakeside", "pictures", "logo.png")
PICTURED = {"configMapKeyRef": {"name": "pictures", "key": "logo.png"}}


async def test_the_declared_picture_is_shown_once_and_what_people_make_of_it_is_theirs(here: ExtraNights) -> None:
    here.cluster.pictures[FILE] = LOGO
    await here.made(members={"people": [CHILD]}, avatar=PICTURED)
    assert here.room.picture == LOGO
    assert here.said(NEWSPAPER, "AvatarSet") == "AvatarSet: the declared picture was set"
    assert here.cluster.events.count(("AvatarSet", "the declared picture was set")) == 1
    writes = (here.cluster.writes, here.rooms["newspaper"].server.writes)
    await here.run(NEWSPAPER)
    assert (here.cluster.writes, here.rooms["newspaper"].server.writes) == writes

    here.room.picture = OTHER_LOGO  # somebody in the chat
    await here.run(NEWSPAPER)
    assert here.room.picture == OTHER_LOGO
    here.declare(NEWSPAPER, name="Gazette")
    await here.run(NEWSPAPER)
    assert here.room.picture == OTHER_LOGO

    here.cluster.pictures[FILE] = LOGO + b" bis"
    await here.run(NEWSPAPER)
    assert here.room.picture == LOGO + b" bis"
    here.declare(NEWSPAPER, avatar=None)
    await here.run(NEWSPAPER)
    assert here.room.picture == LOGO + b" bis"
    assert here.said(NEWSPAPER, "AvatarSet") == ""


async def test_a_chat_that_was_there_gets_the_picture_that_is_declared_later(here: ExtraNights) -> None:
    await here.made(members={"people": [CHILD]})
    assert not here.room.picture
    assert here.said(NEWSPAPER, "AvatarSet") == ""
    here.cluster.pictures[FILE] = LOGO
    here.declare(NEWSPAPER, avatar=PICTURED)
    await here.run(NEWSPAPER)
    assert here.room.picture == LOGO
    assert here.holds(NEWSPAPER) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "AvatarNotFound: there is no such file"),
        (b"<svg/>", "AvatarUnusable: the picture is no PNG and no JPEG: save it as one"),
        (LOGO.ljust(300_000), "AvatarUnusable: the picture has 292 KiB: make it smaller, 256 KiB at most"),
    ],
)
async def test_a_bad_picture_keeps_nobody_out_of_the_chat_or_in_it(
    here: ExtraNights, content: bytes | None, said: str
) -> None:
    if content is not None:
        here.cluster.pictures[FILE] = content
    here.declare(NEWSPAPER, members={"people": [CHILD, "t-10"]}, avatar=PICTURED)
    await here.run(DISTRICT, NEWSPAPER)
    assert here.said(NEWSPAPER, "AvatarSet") == said, "who is to approve the chat may see it"
    await here.approve_all(NEWSPAPER)
    assert here.people == {CHILD, "t-10"}
    here.room.people["@stranger:school.example"] = State.JOINED
    await here.run(NEWSPAPER)
    assert here.people == {CHILD, "t-10"}
    assert here.said(NEWSPAPER) == "Succeeded: 1 chat, 2 members in sync"
    assert here.said(NEWSPAPER, "AvatarSet") == said
    assert not here.room.picture
    here.cluster.pictures[FILE] = LOGO
    await here.run(NEWSPAPER)
    assert here.room.picture == LOGO
    assert here.said(NEWSPAPER, "AvatarSet").startswith("AvatarSet: ")


@pytest.mark.parametrize(
    "error",
    [
        TransientError("synapse answered 429", reason="TargetUnavailable", retry_after=60),
        RefusedError("synapse refused it: M_TOO_LARGE (413)", reason="TargetRefused"),
    ],
)
async def test_a_server_that_takes_no_pictures_is_told_of_and_stops_nothing(
    here: ExtraNights, error: HomeroomError
) -> None:
    here.cluster.pictures[FILE] = LOGO
    here.rooms["newspaper"] = Opened(no_pictures=error)
    await here.made(members={"people": [CHILD]}, avatar=PICTURED)
    assert here.people == {CHILD}
    assert here.said(NEWSPAPER) == "Succeeded: 1 chat, 1 members in sync"
    assert here.said(NEWSPAPER, "AvatarSet") == f"{error.reason}: {error.message}"
    here.rooms["newspaper"].no_pictures = None
    await here.run(NEWSPAPER)
    assert here.room.picture == LOGO


async def test_who_waits_for_its_picture_comes_back_soon(here: ExtraNights) -> None:
    """Nobody tells us of ConfigMaps."""
    await here.made(avatar=PICTURED, sync={"mode": "Interval", "interval": "12h"})
    assert here.verdicts[NEWSPAPER] == Verdict(again=600)
    here.cluster.pictures[FILE] = LOGO
    await here.run(NEWSPAPER)
    assert here.verdicts[NEWSPAPER] == Verdict(again=12 * 3600)


async def test_members_and_links_of_an_extra_chat_are_gauges(here: ExtraNights) -> None:
    await here.made(members={"people": [CHILD, OTHER_CHILD, "t-10"]})
    here.store.links.unlink(Place("lakeside", "matrix", "lakeside"), CHILD, now=here.now)
    await here.run(NEWSPAPER)
    told, status = here.gauges[NEWSPAPER], here.cluster.objects[NEWSPAPER]["status"]
    assert (told["chats"], told["members"]["joined"], told["members"]["unlinked"]) == (status["chats"], 2, 1)
    assert told["links"]["unlinked"] == 1

"""`homeroom links`: what runs of policies left in the store, as a table; the server is not asked."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import segno
from tests.unit.reconcile.chatnights import PLATFORM, POLICY, THREE, ChatNights
from tests.unit.reconcile.nights import DISTRICT, Killed
from tests.unit.reconcile.test_chat_runs import PARENTS, SECTION, STAFF, STUDENTS, section_of

from homeroom.chats.linking import Place
from homeroom.platforms.matrix import link, masked
from homeroom.reconcile.ports import Key

from .conftest import Homeroom

PAGES = ("--pages-url", "https://licences.example/")


class World:
    """A store with what runs left there, and its resources in a file."""

    def __init__(self, here: ChatNights, homeroom: Homeroom) -> None:
        self.here = here
        self._homeroom = homeroom

    def run(self, *keys: Any) -> None:
        asyncio.run(self.here.run(*keys))

    def links(self, *options: object) -> Any:
        """What the command says of the resources as they are now."""
        file = self.here.directory / "resources.yaml"
        objects = [obj for obj in self.here.cluster.objects.values() if obj["kind"] != "School"]
        file.write_text("\n---\n".join(json.dumps(obj) for obj in objects))
        return self._homeroom("links", "-f", file, "-n", "lakeside", "--data", self.here.directory, *options)

    def rows(self, *options: object) -> list[dict[str, Any]]:
        """Rows of one school."""
        said = self.links("--school", SECTION, "-o", "json", *options)
        assert said.code == 0, said.err
        found: list[dict[str, Any]] = json.loads(said.out)["rows"]
        return found

    def row(self, collective: str, *options: object) -> dict[str, Any]:
        (found,) = (row for row in self.rows(*options) if row["collective"] == collective)
        return found

    def first_sync(self) -> dict[str, Any]:
        """The hold of the school's first chats."""
        holds = self.here.holds(POLICY)
        (found,) = (hold for hold in holds if (hold["place"], hold["guard"]) == (SECTION, "FirstSync"))
        return dict(found)

    def room(self, name: str) -> str:
        """Id of a room on the server."""
        return next(f"!{key}" for key, room in self.here.server.rooms.items() if room.name == name)


@pytest.fixture
def empty(tmp_path: Path, homeroom: Homeroom) -> World:
    """Declared, and nothing has run."""
    return World(ChatNights.beginning(tmp_path), homeroom)


@pytest.fixture(scope="module")
def first_fill(tmp_path_factory: pytest.TempPathFactory) -> ChatNights:
    """All chats are filled, seen and approved. Nobody changes it: see `ChatNights.after`."""
    here = asyncio.run(ChatNights.filled(tmp_path_factory.mktemp("first-fill")))
    here.store.close()
    return here


@pytest.fixture
def filled(first_fill: ChatNights, tmp_path: Path, homeroom: Homeroom) -> World:
    return World(ChatNights.after(first_fill, tmp_path), homeroom)


def test_a_row_for_the_staff_room_and_one_per_class_with_links_that_lead_into_the_rooms(filled: World) -> None:
    staff, *classes = filled.rows("--reveal")
    assert (staff["class"], staff["collective"], staff["parents"], staff["students"]) == (
        None,
        "Staff room",
        None,
        None,
    )
    assert staff["schoolName"] == "Sable Creek Middle School"
    assert staff["staff"] == {"link": link(filled.room(STAFF), server="school.example"), "reason": None}
    assert [row["collective"] for row in classes] == sorted(row["collective"] for row in classes)
    assert len(classes) * 2 + 1 == sum(room.school == SECTION for room in filled.here.server.rooms.values())
    seventh = filled.row("7b", "--reveal")
    assert seventh["class"].startswith(section_of(filled.here, "7b"))
    for column, name in (("parents", PARENTS), ("students", STUDENTS)):
        whole = seventh[column]["link"]
        assert unquote(whole) == f"https://matrix.to/#/{filled.room(name)}?via=school.example"


def test_links_are_masked_unless_somebody_asks_for_them(filled: World) -> None:
    for output in ("text", "json", "csv"):
        said = filled.links("-o", output)
        assert said.code == 0
        assert "matrix.to" not in said.out
        assert not [key for key in filled.here.server.rooms if key in said.out]
    assert filled.row("7b")["parents"] == {"link": f"…{filled.room(PARENTS)[-4:]}", "reason": None}


def test_the_foot_says_that_a_link_lets_nobody_in_and_where_people_link_their_account(filled: World) -> None:
    words = "a link lets nobody in: people come into their chats once they have linked their account"
    assert filled.links().out.splitlines()[-1] == f"{words} on the pages of `homeroom web`"
    assert filled.links(*PAGES).out.splitlines()[-1] == f"{words} at https://licences.example/chats"
    assert json.loads(filled.links(*PAGES, "-o", "json").out)["page"] == "https://licences.example/chats"


def test_a_cell_says_why_there_is_no_chat(empty: World) -> None:
    said = empty.links()
    assert said.out.splitlines() == ["ChatPolicy 'chats' has not run yet", "there are no chats yet"]
    empty.run(DISTRICT, POLICY)
    hold = empty.first_sync()["id"]
    assert empty.row("7b")["parents"] == {"link": None, "reason": f"held: {hold}"}
    assert f"(held: {hold})" in empty.links().out
    assert "ChatPolicy 'chats': HeldForApproval: " in empty.links().out

    for key in (POLICY, PLATFORM):
        empty.here.cluster.objects[key]["spec"]["suspend"] = True
        assert empty.row("7b")["parents"] == {"link": None, "reason": "suspended"}
        empty.here.cluster.objects[key]["spec"]["suspend"] = False


def test_a_chat_that_was_approved_and_is_not_there_is_not_made_yet(empty: World) -> None:
    empty.run(DISTRICT, POLICY)
    empty.here.chats.until = 0
    with pytest.raises(Killed):
        asyncio.run(empty.here.approve(empty.first_sync(), of=POLICY))
    assert empty.row("7b")["parents"] == {"link": None, "reason": "not made yet"}


def test_what_no_policy_declares_is_empty_and_several_policies_are_told_apart(filled: World) -> None:
    filled.here.put(POLICY, districtRef={"name": "lakeside"}, platformRef={"name": "matrix"}, chats=THREE[:2])
    filled.run(POLICY)
    assert filled.row("7b")["parents"] is None
    assert ",,…" in filled.links("-o", "csv").out
    other = POLICY._replace(name="parents")
    filled.here.put(
        other, districtRef={"name": "lakeside"}, platformRef={"name": "matrix"}, chats=THREE[2:], firstSync="Automatic"
    )
    filled.run(other)
    assert {row["policy"] for row in filled.rows()} == {"chats", "parents"}
    assert {row["policy"] for row in filled.rows("--policy", "parents")} == {"parents"}
    (row,) = (row for row in filled.rows("--policy", "parents") if row["collective"] == "7b")
    assert row["parents"] == {"link": masked(filled.room(PARENTS)), "reason": None}, "the room was there already"
    assert "POLICY" in filled.links().out
    assert "POLICY" not in filled.links("--policy", "parents").out


def test_a_room_that_took_the_place_of_another_is_linked_after_the_next_run(filled: World) -> None:
    filled.here.server.room(PARENTS).successor = "!after:school.example"
    filled.run(POLICY)
    assert unquote(filled.row("7b", "--reveal")["parents"]["link"]).startswith(
        "https://matrix.to/#/!after:school.example?"
    )


def test_no_cell_of_a_spreadsheet_is_a_formula(filled: World) -> None:
    (section,) = filled.here.records.rows("classes", title="7b")
    section["title"] = "=HYPERLINK(1)"
    asyncio.run(filled.here.night())
    rows = list(csv.DictReader(io.StringIO(filled.links("-o", "csv").out)))
    assert [row for row in rows if row["collective"] == "'=HYPERLINK(1)"]
    assert not [row for row in rows if row["collective"].startswith("=")]


def test_a_school_or_policy_that_nobody_knows_is_an_error(filled: World) -> None:
    assert "school 's-9'" in filled.links("--school", "s-9").err
    assert "no ChatPolicy 'other'" in filled.links("--policy", "other").err
    del filled.here.cluster.objects[POLICY]
    assert "no ChatPolicy at all" in filled.links().err


def test_links_and_masks_of_ids_of_both_room_versions() -> None:
    assert link("!ab:school.example:8448", server="school.example:8448") == (
        "https://matrix.to/#/!ab%3Aschool.example%3A8448?via=school.example%3A8448"
    )
    assert masked("!abcdefgh:school.example") == "…efgh"
    assert masked("!abcdefgh") == "…efgh"


# ---------------------------------------------------------------------------------------------------------------------
# Extra chats

CHESS = Key("Chat", "lakeside", "chess")


def chess(world: World, **spec: Any) -> None:
    """Somebody declares an extra chat, and it runs."""
    place: dict[str, Any] = {"districtRef": {"name": "lakeside"}, "platformRef": {"name": "matrix"}}
    world.here.put(CHESS, name="Chess club", firstSync="Automatic", **place, **spec)
    world.here.chats.server.rooms = {}  # it sees a room of its own, and none of the policy's
    world.run(CHESS)


def extra(world: World, *options: object) -> dict[str, Any]:
    (found,) = json.loads(world.links("-o", "json", *options).out)["extra"]
    return dict(found)


def test_an_extra_chat_is_below_the_table_with_the_link_by_which_people_come(filled: World) -> None:
    chess(filled, join="Link")
    (room,) = (f"!{key}" for key in filled.here.server.rooms)
    way = filled.here.store.joins.link(namespace="lakeside", chat="chess")
    assert way is not None
    masks = {"link": masked(room), "reason": None}
    counts = {"linked": 0, "unlinked": 0}
    assert extra(filled) == {
        "chat": "chess",
        "name": "Chess club",
        "room": masks,
        "join": f"…{way.word[-4:]}",
        **counts,
    }
    whole = extra(filled, "--reveal", *PAGES)
    assert whole["room"]["link"] == link(room, server="school.example")
    assert whole["join"] == f"https://licences.example/chats/join/{way.word}"
    assert way.word not in filled.links().out
    assert "Chess club" in filled.links().out
    assert "Chess club" not in filled.links("--policy", "chats").out


def test_an_extra_chat_counts_its_people_and_is_listed_with_its_school(filled: World) -> None:
    (section,) = (row["sourcedId"] for row in filled.here.records.rows("classes", title="7b"))
    chess(filled, members={"people": ["t-10", "t-11"]})
    filled.here.store.links.unlink(Place("lakeside", "matrix", "lakeside"), "t-11", now=filled.here.now)
    filled.run(CHESS)
    found = extra(filled)
    assert (found["linked"], found["unlinked"]) == (1, 1)
    assert "Chess club" not in filled.links("--school", "s-002").out
    for members in ({"classes": [section]}, {"roles": [{"role": "Heads", "school": "s-002"}]}):
        filled.here.declare(CHESS, members=members)
        assert "Chess club" in filled.links("--school", "s-002").out
        assert "Chess club" not in filled.links("--school", "s-001").out


def test_an_extra_chat_alone_is_listed_and_says_why_it_is_not_there(empty: World) -> None:
    del empty.here.cluster.objects[POLICY]
    place: dict[str, Any] = {"districtRef": {"name": "lakeside"}, "platformRef": {"name": "matrix"}}
    empty.here.put(CHESS, name="Chess club", **place)
    assert extra(empty)["room"] == {"link": None, "reason": "not made yet"}
    assert "Chat 'chess' has not run yet" in empty.links().out
    empty.run(DISTRICT, CHESS)
    (hold,) = empty.here.holds(CHESS)
    assert extra(empty)["room"] == {"link": None, "reason": f"held: {hold['id']}"}


def test_a_link_as_a_qr_code(filled: World) -> None:
    chess(filled, join="Link")
    way = filled.here.store.joins.link(namespace="lakeside", chat="chess")
    assert way is not None
    said = filled.links("--qr", "chess", *PAGES)
    wanted = segno.make_qr(f"https://licences.example/chats/join/{way.word}", error="m").svg_inline(border=4, scale=8)
    assert (said.code, said.out) == (0, wanted)
    assert "--pages-url" in filled.links("--qr", "chess").err
    filled.here.declare(CHESS, join="Closed")
    filled.run(CHESS)
    assert "has no link" in filled.links("--qr", "chess", *PAGES).err

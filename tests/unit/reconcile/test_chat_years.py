"""Chats around the turn of a school year, and by an edit in Git (safety rows 4 and 15)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.chats.worlds import ROBOT
from tests.unit.reconcile.chatnights import POLICY, THREE, ChatNights
from tests.unit.reconcile.nights import DISTRICT
from tests.unit.reconcile.test_years import JULY, move_up, next_terms


@pytest.fixture
def filled(first_fill: ChatNights, tmp_path: Path) -> Iterator[ChatNights]:
    here = ChatNights.after(first_fill, tmp_path)
    yield here
    here.store.close()


async def august(here: ChatNights, *, moved: bool) -> None:
    """The records move on by a year; whatever waits for a word gets it."""
    here.now = JULY
    await here.night(days=0)
    next_terms(here)
    if moved:
        move_up(here)
    await here.night(days=2)
    for _ in range(3):
        if here.holds(DISTRICT):
            await here.approve(*here.holds(DISTRICT), of=DISTRICT)
        if here.holds(POLICY):
            await here.approve_all()
    await here.night()
    assert here.said(POLICY).startswith("Succeeded: "), here.said(POLICY)


@pytest.mark.parametrize("deletion", ["Retain", "Archive"])
async def test_next_years_class_never_reads_this_years_chats(filled: ChatNights, deletion: str) -> None:
    filled.declare(POLICY, deletion=deletion)
    await filled.run(POLICY)
    old = copy.deepcopy(filled.server.rooms)
    await august(filled, moved=True)
    of_classes = {key for key, room in old.items() if not room.name.startswith("Staff room")}
    for key in of_classes:
        assert set(filled.server.rooms[key].people) <= set(old[key].people), "somebody new reads an old chat"
        assert filled.server.rooms[key].archived is (deletion == "Archive")
        if deletion == "Archive":
            assert set(filled.server.rooms[key].people) <= {ROBOT, *filled.server.rooms[key].leads}
        else:
            assert filled.server.rooms[key].people == old[key].people
    new = {room.name for key, room in filled.server.rooms.items() if key not in old}
    assert len(new) == len(of_classes)


async def test_a_chat_that_follows_its_class_is_the_same_next_year(filled: ChatNights) -> None:
    filled.declare(POLICY, rollOver="FollowClass")
    await filled.run(POLICY)
    before, there = set(filled.server.rooms), filled.there()
    await august(filled, moved=False)
    assert set(filled.server.rooms) == before
    assert filled.there() == there


async def test_what_an_edit_would_add_waits_for_a_word(filled: ChatNights) -> None:
    before = filled.there()
    filled.declare(POLICY, firstSync="Automatic", chats=[*THREE, {"type": "Subject", "createOn": "Enrollment"}])
    for _ in range(2):
        await filled.run(POLICY)
        assert filled.open_holds() == {"Exposure", "Administrators"}
        assert {name: people for name, people in filled.there().items() if people} == before
    filled.declare(POLICY, chats=THREE)
    await filled.run(POLICY)
    assert filled.holds(POLICY) == []
    assert filled.there() == before

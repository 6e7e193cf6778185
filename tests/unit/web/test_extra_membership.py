"""Extra chats on the pages: who is in one sees it, who leads it whom it lacks and its links, and nobody else does.

What is shown is what runs left in the store; the chat server is in memory, and is not asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape
from tests.unit.reconcile.chatnights import PLATFORM, POLICY, THREE, account
from tests.unit.reconcile.nights import DISTRICT
from tests.unit.reconcile.test_extra_chats import CHILD, NEWSPAPER, OTHER_CHILD, SCHOOL, ExtraNights, section_of

from homeroom.chats import State
from homeroom.platforms.matrix import link, masked

from .conftest import town_of
from .test_membership import HERE, SERVER, Pages, denies, listed, names, tell

TEACHER, COLLEAGUE, HEAD = "t-10", "t-11", "a-5"  # both teach 7b; the principal of its school
NAME = "School newspaper"
CHAT = f"Chat/{NEWSPAPER.name}"


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> ExtraNights:
    """A world in which the District has read its records. Nobody changes it: see `ExtraNights.after`."""

    async def begin() -> ExtraNights:
        world = ExtraNights.beginning(tmp_path_factory.mktemp("read"))
        await world.run(DISTRICT)
        world.store.close()
        return world

    return asyncio.run(begin())


@pytest.fixture
async def here(read: ExtraNights, tmp_path: Path) -> AsyncIterator[ExtraNights]:
    world = ExtraNights.after(read, tmp_path)
    world.newspaper()
    tell(world, CHAT)
    yield world
    world.store.close()


@pytest.fixture
async def pages(here: ExtraNights) -> AsyncIterator[Pages]:
    async with town_of(here.store) as town:
        yield Pages(here, town)


async def unlinked(here: ExtraNights, *people: str) -> None:
    """Some take their link back, and the Chat runs."""
    for person in people:
        assert here.store.links.unlink(HERE, person, now=here.now) == 1
    await here.run(NEWSPAPER)


def room(here: ExtraNights) -> str:
    """The id of its room."""
    (key,) = here.rooms["newspaper"].server.rooms
    return f"!{key}"


async def test_who_is_in_an_extra_chat_sees_it_with_its_link_and_where_they_stand(
    here: ExtraNights, pages: Pages
) -> None:
    await here.made(members={"people": [CHILD, COLLEAGUE]}, admins=[TEACHER])
    for person in (CHILD, COLLEAGUE, TEACHER):
        page = await pages.signs_in(person)
        assert "Your chats: 1" in page.text
        assert listed(page) == {NAME: "you are in it"}
        assert "Extra chat · you are in it" in page.text
        assert f'href="{link(room(here), server=SERVER)}"' in page.text
        assert "Not linked yet" not in page.text
    assert listed(await pages.signs_in(OTHER_CHILD)) == {}

    here.room.people[account(COLLEAGUE)] = State.LEFT_BY_CHOICE
    await here.run(NEWSPAPER)
    assert listed(await pages.signs_in(COLLEAGUE)) == {NAME: "you left it"}


async def test_who_leads_it_by_the_declaration_sees_who_is_not_linked_and_nobody_else_does(
    here: ExtraNights, pages: Pages
) -> None:
    members = {"people": [COLLEAGUE], "classes": [section_of(here, "7b")]}
    await here.made(members=members, admins=[TEACHER])
    await unlinked(here, CHILD)
    (child,) = names(here, CHILD)
    page = await pages.signs_in(TEACHER)
    assert page.text.count("Not linked yet: 1") == 1
    assert f"<bdi>{escape(child)}</bdi>" in page.text
    # Neither who teaches the class, nor the head of the school, nor who is in it, nor what the server says of rights.
    here.room.leads.add(account(COLLEAGUE))
    for person in (COLLEAGUE, HEAD, OTHER_CHILD):
        page = await pages.signs_in(person)
        assert escape(child) not in page.text
        assert (await pages.town.browser.get("/chats/table")).location == "/chats/mine"


async def test_people_from_several_schools_are_missed(here: ExtraNights, pages: Pages) -> None:
    elsewhere = next(row["userSourcedId"] for row in here.records.rows("roles", role="teacher", orgSourcedId="s-001"))
    await here.made(members={"people": [elsewhere, CHILD, COLLEAGUE]}, admins=[TEACHER])
    await unlinked(here, elsewhere, CHILD)
    page = await pages.signs_in(TEACHER)
    assert "Not linked yet: 2" in page.text
    for name in names(here, elsewhere, CHILD):
        assert f"<bdi>{escape(name)}</bdi>" in page.text


async def test_who_leads_no_more_by_the_records_of_now_or_waits_to_lead_sees_no_names(
    here: ExtraNights, pages: Pages
) -> None:
    await here.made(members={"people": [CHILD]}, admins=[TEACHER])
    await unlinked(here, CHILD)
    here.declare(NEWSPAPER, admins=[TEACHER, COLLEAGUE])
    await here.run(NEWSPAPER)
    assert here.open_holds(NEWSPAPER) == {"Administrators"}
    assert "Not linked yet" not in (await pages.signs_in(COLLEAGUE)).text
    assert "Not linked yet: 1" in (await pages.signs_in(TEACHER)).text

    row = {**here.records.rows("enrollments")[0], "sourcedId": "e-new", "userSourcedId": TEACHER, "role": "student"}
    here.records.add("enrollments", **row)
    here.declare(PLATFORM, suspend=True)
    await here.later(days=1)
    await here.run(DISTRICT)
    page = await pages.signs_in(TEACHER)
    assert NAME in listed(page)
    assert "Not linked yet" not in page.text
    assert (await pages.town.browser.get("/chats/table")).location == "/chats/mine"


async def test_who_is_not_expected_or_not_in_the_records_any_more_is_not_missed(
    here: ExtraNights, pages: Pages
) -> None:
    await here.made(members={"people": [CHILD, OTHER_CHILD]}, admins=[TEACHER], join="Link")
    way = here.store.joins.link(namespace="lakeside", chat="newspaper")
    assert way is not None
    assert here.store.joins.ask(way, COLLEAGUE, now=here.now)
    await here.run(NEWSPAPER)
    assert COLLEAGUE in here.people
    await unlinked(here, CHILD, OTHER_CHILD, COLLEAGUE)
    denies(here, OTHER_CHILD)
    page = await pages.signs_in(TEACHER)
    assert "Not linked yet: 1" in page.text
    assert f"<bdi>{escape(names(here, CHILD)[0])}</bdi>" in page.text


async def test_who_leads_it_finds_its_links_where_it_says_so(here: ExtraNights, pages: Pages) -> None:
    await here.made(members={"people": [CHILD]}, admins=[TEACHER], join="Link", settings={"preset": "Ordinary"})
    await unlinked(here, CHILD)
    way = here.store.joins.link(namespace="lakeside", chat="newspaper")
    assert way is not None
    page = await pages.signs_in(TEACHER)
    assert "Links of the chats that you lead" in page.text
    browser = pages.town.browser
    page = await browser.get("/chats/table")
    assert masked(room(here)) in page.text
    assert way.masked in page.text
    assert way.word not in page.text
    assert "1 linked, 1 not yet" in page.text
    assert names(here, CHILD)[0] not in page.text
    page = await browser.get("/chats/table?links=whole")
    assert f'href="{link(room(here), server=SERVER)}"' in page.text
    assert f"/chats/join/{way.word}</a>" in page.text
    assert (await browser.get("/chats/table.csv")).location == "/chats/mine"  # it is of schools

    here.declare(NEWSPAPER, settings={"preset": "Closed"})  # nobody but the owner sees the link
    await here.run(NEWSPAPER)
    await pages.signs_in(TEACHER)
    assert way.word not in (await browser.get("/chats/table?links=whole")).text


async def test_the_head_of_a_school_finds_the_extra_chats_that_name_it(here: ExtraNights, pages: Pages) -> None:
    place: dict[str, Any] = {"districtRef": {"name": "lakeside"}, "platformRef": {"name": "matrix"}}
    here.put(POLICY, **place, chats=THREE, firstSync="Automatic")
    await here.run(POLICY)
    await here.approve_all()
    tell(here, CHAT, "chats")
    browser = pages.town.browser
    assert "/chats/table" in (await pages.signs_in(HEAD)).text

    async def seen() -> bool:
        await here.run(NEWSPAPER)
        await here.approve_all(NEWSPAPER)
        page = await browser.get("/chats/table")
        assert "Sable Creek Middle School" in page.text
        assert NAME not in (await browser.get("/chats/table.csv")).text
        return NAME in page.text

    here.declare(NEWSPAPER, members={"people": [CHILD]})
    assert not await seen()
    here.declare(NEWSPAPER, members={"classes": [section_of(here, "7b")]})
    assert await seen()
    here.declare(NEWSPAPER, members={"roles": [{"role": "Heads", "school": SCHOOL}]})
    assert await seen()
    here.declare(NEWSPAPER, members={"roles": [{"role": "Heads", "school": "s-001"}]})
    assert not await seen()


async def test_a_chat_that_waits_says_so(here: ExtraNights, pages: Pages) -> None:
    here.declare(NEWSPAPER, members={"people": [CHILD]}, admins=[TEACHER])
    await here.run(NEWSPAPER)
    page = await pages.signs_in(CHILD)
    assert listed(page) == {NAME: "you are not in it yet"}
    assert "matrix.to" not in page.text


async def test_names_of_extra_chats_stay_text(here: ExtraNights, pages: Pages) -> None:
    await here.made(name="<b>News</b>", members={"people": [CHILD]}, admins=[TEACHER])
    page = await pages.signs_in(TEACHER)
    assert "<b>News" not in page.text
    page = await pages.town.browser.get("/chats/table")
    assert "<b>News" not in page.text
    assert str(escape("<b>News</b>")) in page.text


@pytest.mark.parametrize("code", ["sv", "nl", "ru"])
async def test_the_table_is_there_in_the_languages(here: ExtraNights, pages: Pages, code: str) -> None:
    await here.made(admins=[TEACHER], join="Link", settings={"preset": "Ordinary"})
    await pages.signs_in(TEACHER)
    await pages.are_there_in(code)

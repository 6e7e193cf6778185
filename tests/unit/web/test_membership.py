"""People see their chats, who leads one sees who is not linked yet, and the head of a school its links (R13, R36).

What is shown is what runs of the policies left in the store; the chat server is in memory, and is not asked.
"""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from markupsafe import escape
from tests.unit.reconcile.chatnights import POLICY, THREE, ChatNights, account
from tests.unit.reconcile.nights import DISTRICT
from tests.unit.reconcile.test_chat_runs import PARENTS, SECTION, STAFF, STUDENTS, section_of

from homeroom.chats import State
from homeroom.chats.linking import NUMBER_LENGTH, CodeState, Place
from homeroom.platforms.matrix import link, masked
from homeroom.seats import keys
from homeroom.store import DISTRICTS_SCHEMA, PLACES_SCHEMA, POLICIES_SCHEMA

from .conftest import Page, Town, town_of

HERE = Place("lakeside", "matrix", "lakeside")
TEACHER, HEAD, CHILD = "t-10", "a-5", "u-110"  # the class teacher of 7b, the principal, and somebody in 7b
SERVER = "school.example"


@dataclass(slots=True)
class Pages:
    """The pages over what runs left, and the operator's hand that sends numbers."""

    here: ChatNights
    town: Town

    async def signs_in(self, person: str) -> Page:
        """Somebody proves the account; then their page."""
        browser, links = self.town.browser, self.here.store.links
        self.town.clock.moment = self.here.now
        browser.cookies.clear()
        await browser.post("/chats/sign-in", {"place": "/".join(HERE), "account": account(person)})
        number = keys.new_key(lambda n: n // 2, length=NUMBER_LENGTH)
        for asked in links.asked(namespace="lakeside", platform="matrix", now=self.here.now):
            links.answered(asked, keys.digest(number), epoch=1)
        page = await browser.get("/chats/number")
        await browser.post("/chats/number", {**page.form("/chats/number"), "number": number})
        return await browser.get("/chats/mine")

    async def are_there_in(self, code: str) -> None:
        """Both pages of who is signed in speak a language, and so does all that they lead to."""
        for path in ("/chats/mine?", "/chats/table?", "/chats/table?links=whole&"):
            page = await self.town.browser.get(f"{path}lang={code}")
            assert page.headers["content-language"] == code
            assert page.title
            ways = re.findall(r'href="(/[^"]*)"', page.text)
            assert {way for way in ways if f"lang={code}" not in way} == {"/style.css"}

    async def unlinked(self, *people: str) -> None:
        """Some take their link back, and the policy runs."""
        for person in people:
            assert self.here.store.links.unlink(HERE, person, now=self.here.now) == 1
        await self.here.run(POLICY)

    def room(self, name: str) -> str:
        """Where a chat opens."""
        (key,) = (key for key, room in self.here.server.rooms.items() if room.name == name)
        return link(f"!{key}", server=SERVER)


@pytest.fixture(scope="module")
def first_fill(tmp_path_factory: pytest.TempPathFactory) -> ChatNights:
    """All chats are filled. Nobody changes it: see `ChatNights.after`."""
    here = asyncio.run(ChatNights.filled(tmp_path_factory.mktemp("first-fill")))
    here.store.close()
    return here


def denies(here: ChatNights, *people: str) -> None:
    """What the operator says of the District."""
    told = pl.DataFrame([("lakeside", "Europe/Amsterdam", list(people))], DISTRICTS_SCHEMA, orient="row")
    here.store.web.tell_districts(told, namespace="lakeside", platform="matrix", epoch=1)


def tell(here: ChatNights, *policies: str) -> None:
    """What the operator says of where people link, and of whose chats are there."""
    of = {"namespace": "lakeside", "platform": "matrix", "epoch": 1}
    place = pl.DataFrame([(*HERE, SERVER, "Lakeside", None)], PLACES_SCHEMA, orient="row")
    here.store.links.tell(place, **of)  # type: ignore[arg-type]  # three of its arguments
    denies(here)
    told = pl.DataFrame([(*HERE, policy, False) for policy in policies], POLICIES_SCHEMA, orient="row")
    here.store.links.tell_policies(told, **of)  # type: ignore[arg-type]  # as above


@pytest.fixture
async def pages(first_fill: ChatNights, tmp_path: Path) -> AsyncIterator[Pages]:
    here = ChatNights.after(first_fill, tmp_path)
    tell(here, "chats")
    async with town_of(here.store) as town:
        yield Pages(here, town)
    here.store.close()


def listed(page: Page) -> dict[str, str]:
    """Names of the chats on a page, and where somebody stands with each."""
    rows = re.findall(r"<bdi>([^<]*)</bdi>(?:</a>)?\s*<span class=\"hint\">[^·]* · ([^<]*)</span>", page.text)
    return dict(rows)


def names(here: ChatNights, *people: str) -> list[str]:
    """What the records call them."""
    rows = [row for person in people for row in here.records.rows("users", sourcedId=person)]
    return [f"{row['preferredGivenName'] or row['givenName']} {row['familyName']}" for row in rows]


async def test_everybody_sees_their_chats_and_where_they_open(pages: Pages) -> None:
    page = await pages.signs_in(TEACHER)
    assert "Your chats: 3" in page.text
    assert listed(page) == dict.fromkeys((STAFF, STUDENTS, PARENTS), "you are in it")
    for name in (STAFF, STUDENTS, PARENTS):
        assert f'href="{pages.room(name)}"'.replace("&", "&amp;") in page.text
    assert listed(await pages.signs_in(CHILD)) == {STUDENTS: "you are in it"}


async def test_who_leads_a_chat_sees_who_is_not_linked_and_nobody_else_does(pages: Pages) -> None:
    other = next(iter(sorted(pages.here.there()[STUDENTS] - {TEACHER, CHILD})))
    await pages.unlinked(CHILD, "t-7")
    ((child,), (colleague,)) = names(pages.here, CHILD), names(pages.here, "t-7")
    page = await pages.signs_in(TEACHER)
    assert page.text.count("Not linked yet: 1") == 1
    assert f"<bdi>{escape(child)}</bdi>" in page.text
    assert escape(colleague) not in page.text  # the staff room is the head's
    page = await pages.signs_in(HEAD)
    assert f"<bdi>{escape(colleague)}</bdi>" in page.text
    assert escape(child) not in page.text
    assert "Not linked yet" not in (await pages.signs_in(other)).text


async def test_who_links_is_missed_no_more_before_the_next_run(pages: Pages) -> None:
    await pages.unlinked(CHILD)
    code, store = keys.new_key(lambda n: n // 4), pages.here.store
    pages.town.clock.moment = pages.here.now
    expires = pages.here.now.replace(year=2099)
    store.links.issue(
        {CHILD: keys.digest(code)}, place=HERE, state=CodeState.PRINTED, expires_at=expires, now=pages.here.now
    )
    browser = pages.town.browser
    assert (await browser.post("/chats", {"code": code})).location == "/chats/account"
    page = await browser.get("/chats/account")
    await browser.post("/chats/account", {**page.form("/chats/account"), "account": "new"})
    number = keys.new_key(lambda n: n // 2, length=NUMBER_LENGTH)
    for asked in store.links.asked(namespace="lakeside", platform="matrix", now=pages.here.now):
        store.links.answered(asked, keys.digest(number), epoch=1)
    page = await browser.get("/chats/number")
    await browser.post("/chats/number", {**page.form("/chats/number"), "number": number})
    page = await browser.get("/chats/mine")
    assert listed(page) == {STUDENTS: "you are not in it yet"}
    assert "matrix.to" not in page.text
    assert "Not linked yet" not in (await pages.signs_in(TEACHER)).text


async def test_a_letter_alone_shows_no_chats(pages: Pages) -> None:
    code, browser = keys.new_key(lambda n: n // 4), pages.town.browser
    pages.town.clock.moment = pages.here.now
    expires = pages.here.now.replace(year=2099)
    pages.here.store.links.issue(
        {HEAD: keys.digest(code)}, place=HERE, state=CodeState.PRINTED, expires_at=expires, now=pages.here.now
    )
    await browser.post("/chats", {"code": code})
    page = await browser.get("/chats/mine")
    assert account(HEAD) in page.text
    assert listed(page) == {}
    assert "once you have proven" in page.text
    for path in ("/chats/table", "/chats/table.csv"):
        assert (await browser.get(path)).location == "/chats/mine"


async def test_who_leads_no_more_by_the_records_of_now_sees_no_names(pages: Pages) -> None:
    await pages.unlinked(CHILD)
    section = section_of(pages.here, "7b")
    (row,) = pages.here.records.rows("enrollments", classSourcedId=section, sourcedId="e-10")
    row["userSourcedId"] = "t-7"
    (row,) = pages.here.records.rows("roles", userSourcedId=HEAD)
    row["role"] = "aide"
    pages.here.cluster.objects[POLICY]["spec"]["suspend"] = True
    await pages.here.later(days=1)
    await pages.here.run(DISTRICT)
    page = await pages.signs_in(TEACHER)
    assert STUDENTS in listed(page)
    assert "Not linked yet" not in page.text
    await pages.signs_in(HEAD)
    assert (await pages.town.browser.get("/chats/table")).location == "/chats/mine"


async def test_who_is_denied_sees_nothing_at_once(pages: Pages) -> None:
    await pages.unlinked(CHILD)
    denies(pages.here, HEAD)  # and the policy has not run
    assert "Your chats: 0" in (await pages.signs_in(HEAD)).text
    assert (await pages.town.browser.get("/chats/table")).location == "/chats/mine"
    denies(pages.here, CHILD)
    assert "Not linked yet" not in (await pages.signs_in(TEACHER)).text  # nor is anybody told to link who is denied


async def test_who_left_by_choice_and_is_left_alone_reads_so(pages: Pages) -> None:
    spec = pages.here.cluster.objects[POLICY]["spec"]
    pages.here.put(POLICY, **{**spec, "chats": THREE, "leave": "Respect"})
    (room,) = (room for room in pages.here.server.rooms.values() if room.name == STUDENTS)
    room.people[account(CHILD)] = State.LEFT_BY_CHOICE
    await pages.here.run(POLICY)
    page = await pages.signs_in(CHILD)
    assert listed(page) == {STUDENTS: "you left it"}
    assert "matrix.to" not in page.text


async def test_the_head_of_a_school_sees_all_its_links_when_asked_for(pages: Pages) -> None:
    await pages.unlinked(CHILD)
    assert "/chats/table" in (await pages.signs_in(HEAD)).text
    browser = pages.town.browser
    page = await browser.get("/chats/table")
    assert "matrix.to" not in page.text
    (key,) = (key for key, room in pages.here.server.rooms.items() if room.name == STUDENTS)
    assert masked(f"!{key}") in page.text
    rooms = [room for room in pages.here.server.rooms.values() if room.school == SECTION]
    students = len(pages.here.there()[STUDENTS])
    assert f"{students} linked, 1 not yet" in page.text
    page = await browser.get("/chats/table?links=whole")
    assert page.text.count('href="https://matrix.to/') == len(rooms)
    assert "Sable Creek Middle School" in page.text
    assert not [name for name in names(pages.here, CHILD) if escape(name) in page.text]  # counts, and no names
    assert "Copper Meadow" not in page.text


async def test_the_table_comes_as_a_file(pages: Pages) -> None:
    await pages.signs_in(HEAD)
    page = await pages.town.browser.get("/chats/table.csv")
    assert page.headers["content-type"].startswith("text/csv")
    assert page.headers["content-disposition"].startswith("attachment")
    assert "matrix.to" not in page.text
    page = await pages.town.browser.get("/chats/table.csv?links=whole")
    rows = list(csv.DictReader(io.StringIO(page.text.lstrip("\ufeff"))))
    assert {row["school id"] for row in rows} == {SECTION}
    assert rows[0]["staff"] == pages.room(STAFF)
    (seventh,) = (row for row in rows if row["collective"] == "7b")
    assert seventh["students"] == pages.room(STUDENTS)
    assert (int(seventh["students linked"]), seventh["students unlinked"]) == (
        len(pages.here.there()[STUDENTS]),
        "0",
    )


async def test_the_table_is_for_heads_of_schools(pages: Pages) -> None:
    browser = pages.town.browser
    for path in ("/chats/table", "/chats/table.csv"):
        assert (await browser.get(path)).location == "/chats/mine"
    assert (await browser.get("/chats/mine")).location == "/chats"
    for person in (TEACHER, CHILD):
        assert "/chats/table" not in (await pages.signs_in(person)).text
        for path in ("/chats/table", "/chats/table.csv"):
            assert (await browser.get(path)).location == "/chats/mine"


async def test_who_waits_for_the_right_to_lead_sees_what_all_see(pages: Pages) -> None:
    """A gain of rights is held, as a wrong value in the records would give them to anybody (safety row 5)."""
    await pages.unlinked(CHILD, "t-9")
    ((colleague,),) = (names(pages.here, "t-9"),)
    for row in pages.here.records.rows("roles", userSourcedId="t-7"):
        row["role"] = "principal"
    await pages.here.later(days=1)
    await pages.here.run(DISTRICT)
    await pages.here.run(POLICY)
    page = await pages.signs_in("t-7")
    assert STAFF in listed(page)
    assert escape(colleague) not in page.text
    assert "/chats/table" not in page.text
    for path in ("/chats/table", "/chats/table.csv?links=whole"):
        assert (await pages.town.browser.get(path)).location == "/chats/mine"


async def test_nobody_has_pages_made_for_ever(pages: Pages) -> None:
    await pages.signs_in(HEAD)
    paths = ("/chats/mine", "/chats/table", "/chats/table.csv")
    statuses = [(await pages.town.browser.get(paths[number % 3])).status for number in range(31)]
    assert statuses == [200] * 29 + [429] * 2  # and one while signing in


async def test_names_stay_text(pages: Pages) -> None:
    for row in pages.here.records.rows("users", sourcedId=CHILD):
        row["preferredGivenName"] = "<b>Bo</b>"
    for row in pages.here.records.rows("classes", title="7b"):
        row["title"] = "=7b<i>"
    await pages.here.later(days=1)
    await pages.here.run(DISTRICT)
    await pages.unlinked(CHILD)
    for text in ((await pages.signs_in(TEACHER)).text, (await pages.signs_in(HEAD)).text):
        assert "<b>Bo" not in text
        assert "<i>" not in text
    browser = pages.town.browser
    assert "<i>" not in (await browser.get("/chats/table")).text
    assert ",'=7b<i>," in (await browser.get("/chats/table.csv")).text


async def test_without_a_policy_there_are_no_chats(pages: Pages) -> None:
    tell(pages.here)
    page = await pages.signs_in(TEACHER)
    assert "Your chats: 0" in page.text


@pytest.mark.parametrize("code", ["sv", "nl", "ru"])
async def test_both_pages_are_there_in_the_languages(pages: Pages, code: str) -> None:
    await pages.unlinked(CHILD)
    await pages.signs_in(HEAD)
    await pages.are_there_in(code)

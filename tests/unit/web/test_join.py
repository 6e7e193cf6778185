"""The link of an extra chat: who has proven a linked account comes in and goes; and what somebody might try."""

from __future__ import annotations

import pytest
from tests.unit.web.test_chats import ANN, CODE, HERE, OTHER_CODE, Chat, give, tell_places

from homeroom.chats.linking import JoinState, Place
from homeroom.store import JoinLink

from .conftest import Town

NAME = 'Chess <b> & "more"'


@pytest.fixture
def chat(town: Town) -> Chat:
    tell_places(town.store, "North district")
    give(town.store, "u-1", CODE)
    give(town.store, "t-2", OTHER_CODE)
    return Chat(town.store, town)


def link_of(chat: Chat, *, place: Place = HERE, edition: int = 1) -> JoinLink:
    return chat.store.joins.open(place, "chess", title=NAME, edition=edition, epoch=1)


def path(link: JoinLink) -> str:
    return f"/chats/join/{link.word}"


def states(chat: Chat) -> dict[str, str]:
    return dict(chat.store.joins.joins(HERE, "chess").iter_rows())


async def test_from_the_link_to_the_chat_and_out_again(chat: Chat) -> None:
    link, browser = link_of(chat), chat.town.browser
    page = await browser.get(path(link))
    assert (page.status, page.title) == (200, "Join a chat")
    assert "Chess" not in page.text, "who has proven nothing is told nothing"
    assert 'href="/chats/sign-in"' in page.text
    # Once the account is proven the link is there again.
    answer = await chat.link()
    assert (answer.status, answer.location) == (303, path(link))
    page = await browser.get(path(link))
    assert "Chess &lt;b&gt; &amp; &#34;more&#34;" in page.text
    assert states(chat) == {}
    answer = await browser.post("/chats/join", page.form("/chats/join"))
    assert (answer.status, answer.location) == (303, path(link))
    assert states(chat) == {"u-1": JoinState.ASKED}
    page = await browser.get(path(link))
    assert "The chat is being opened for you" in page.text
    chat.store.joins.settle(HERE, "chess", {"u-1": (JoinState.ASKED, JoinState.IN)}, epoch=1)
    page = await browser.get(path(link))
    assert "You are in this chat." in page.text
    await browser.post("/chats/leave", page.form("/chats/leave"))
    assert states(chat) == {"u-1": JoinState.LEFT}
    assert "You have left this chat." in (await browser.get(path(link))).text
    # Who signs in for another reason is not sent there any more.
    await browser.post("/chats/sign-out", (await browser.get("/chats/mine")).form("/chats/sign-out"))
    await chat.signs_in(ANN)
    chat.send()
    assert (await chat.numbered(chat.sent[ANN][-1])).location == "/chats/mine"


async def test_who_signs_in_with_a_linked_account_comes_back_to_the_link(chat: Chat) -> None:
    await chat.link()
    chat.town.browser.cookies.clear()
    link = link_of(chat)
    await chat.town.browser.get(path(link))
    await chat.signs_in(ANN)
    chat.send()
    assert (await chat.numbered(chat.sent[ANN][-1])).location == path(link)
    assert "Chess" in (await chat.town.browser.get(path(link))).text


async def test_who_is_refused_is_told_so_and_may_ask_again(chat: Chat) -> None:
    link, browser = link_of(chat), chat.town.browser
    await chat.link()
    await browser.post("/chats/join", (await browser.get(path(link))).form("/chats/join"))
    chat.store.joins.settle(HERE, "chess", {"u-1": (JoinState.ASKED, JoinState.REFUSED)}, epoch=1)
    page = await browser.get(path(link))
    assert "records this link is not meant for you." in page.text
    await browser.post("/chats/join", page.form("/chats/join"))
    assert states(chat) == {"u-1": JoinState.ASKED}


async def test_a_code_alone_opens_nothing(chat: Chat) -> None:
    link, browser = link_of(chat), chat.town.browser
    await chat.entered()
    await chat.named()  # and the number has not been entered
    page = await browser.get(path(link))
    assert "Chess" not in page.text
    answer = await browser.post("/chats/join", {"word": link.word, "proof": ""})
    assert (answer.status, answer.location) == (303, path(link))
    assert states(chat) == {}


async def test_an_account_whose_link_was_taken_back_opens_nothing(chat: Chat) -> None:
    link, browser = link_of(chat), chat.town.browser
    await chat.link()
    page = await browser.get(path(link))
    chat.store.links.unlink(HERE, "u-1", now=chat.town.clock.now())
    await browser.post("/chats/join", page.form("/chats/join"))
    assert states(chat) == {}
    assert "Chess" not in (await browser.get(path(link))).text


async def test_the_link_of_another_district_opens_nothing(chat: Chat) -> None:
    link, browser = link_of(chat, place=Place("n", "matrix", "elsewhere")), chat.town.browser
    await chat.link()
    page = await browser.get(path(link))
    assert "Chess" not in page.text
    await browser.post("/chats/join", {"word": link.word, "proof": "x"})
    assert chat.store.joins.joins(Place("n", "matrix", "elsewhere"), "chess").is_empty()


async def test_a_dead_or_invented_link_says_so(chat: Chat) -> None:
    old = link_of(chat)
    await chat.link()
    browser = chat.town.browser
    form = (await browser.get(path(old))).form("/chats/join")
    link_of(chat, edition=2)
    for word in (old.word, "x" * 43, "short", "x" * 3000):
        assert (await browser.get(f"/chats/join/{word}")).status == 410
    for way in ("join", "leave"):
        assert (await browser.post(f"/chats/{way}", form)).status == 410
    assert (await browser.get("/chats/join/..%2F..%2Flicences")).status in {404, 410}
    assert states(chat) == {}


async def test_nobody_presses_for_somebody_else(chat: Chat) -> None:
    link, browser = link_of(chat), chat.town.browser
    await chat.link()
    form = (await browser.get(path(link))).form("/chats/join")
    for proof in ("", "0" * 64):
        assert (await browser.post("/chats/join", {**form, "proof": proof})).status == 403
    elsewhere = {"Origin": "https://evil.example"}
    assert (await browser.ask("POST", "/chats/join", data=form, headers=elsewhere)).status == 403
    assert states(chat) == {}


async def test_a_planted_cookie_leads_nowhere_else(chat: Chat) -> None:
    for planted in ("//evil.example", "../licences", "x" * 43 + "/"):
        chat.town.browser.cookies.clear()
        give(chat.store, "u-1", CODE)
        chat.town.browser.cookies["__Host-homeroom-join"] = planted
        assert (await chat.link()).location == "/chats/mine"


async def test_presses_are_limited(chat: Chat) -> None:
    link, browser = link_of(chat), chat.town.browser
    await chat.link()
    form = (await browser.get(path(link))).form("/chats/join")
    answers = [(await browser.post(f"/chats/{way}", form)).status for _ in range(6) for way in ("join", "leave")]
    assert answers[:10] == [303] * 10
    assert set(answers[10:]) == {429}

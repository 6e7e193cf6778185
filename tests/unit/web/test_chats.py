"""People link their chat account with a code and a number, and take it back; and what somebody might try (Shows 8)."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from homeroom.chats.linking import NUMBER_LENGTH, CodeState, LinkState, Place, TokenState
from homeroom.seats import keys
from homeroom.store import PLACES_SCHEMA, Store
from homeroom.store.schema import metadata
from homeroom.web.desk import digest_of

from .conftest import NOW, SCHOOLS, Page, Town, serve_records, town_of, without

HERE = Place("n", "matrix", "d")
SERVER = "north.example"
CODE = keys.new_key(lambda n: n // 4)
OTHER_CODE = keys.new_key(lambda n: n // 6)
ANN = "@ann:north.example"


def tell_places(store: Store, *titles: str, register: str | None = None) -> None:
    rows = [("n", "matrix", "d", SERVER, title, register) for title in titles]
    store.links.tell(pl.DataFrame(rows, PLACES_SCHEMA, orient="row"), namespace="n", platform="matrix", epoch=1)


def give(store: Store, person: str, code: str, *, days: int = 30) -> None:
    store.links.issue(
        {person: keys.digest(code)},
        place=HERE,
        state=CodeState.PRINTED,
        expires_at=NOW + timedelta(days=days),
        now=NOW,
    )


@dataclass(slots=True)
class Chat:
    """What the operator does, and the accounts that read it. `down`: nothing is sent."""

    store: Store
    town: Town
    sent: dict[str, list[str]] = field(default_factory=dict)

    def send(self, *, possible: bool = True) -> None:
        """Send all numbers that are asked for."""
        for asked in self.store.links.asked(namespace="n", platform="matrix", now=self.town.clock.now()):
            count = sum(map(len, self.sent.values()))
            number = keys.new_key(lambda n: (n // 2 + count) % n, length=NUMBER_LENGTH)  # noqa: B023 - used at once
            if possible:
                self.sent.setdefault(asked.account, []).append(number)
            self.store.links.answered(asked, keys.digest(number) if possible else None, epoch=1)

    async def entered(self, code: str = CODE) -> Page:
        return await self.town.browser.post("/chats", {"code": keys.shown(code).lower()})

    async def named(self, account: str = "Ann", *, lang: str = "") -> Page:
        page = await self.town.browser.get("/chats/account")
        fields = page.form("/chats/account")
        return await self.town.browser.post("/chats/account" + lang, {**fields, "account": account})

    async def numbered(self, number: str) -> Page:
        page = await self.town.browser.get("/chats/number")
        return await self.town.browser.post("/chats/number", {**page.form("/chats/number"), "number": number})

    async def link(self, code: str = CODE, account: str = ANN) -> Page:
        """All the way; the last answer."""
        await self.entered(code)
        await self.named(account)
        self.send()
        return await self.numbered(self.sent[account][-1])

    async def signs_in(self, account: str) -> Page:
        fields = {"place": "n/matrix/d", "account": account}
        return await self.town.browser.post("/chats/sign-in", fields)

    @property
    def linked(self) -> list[tuple[str, str]]:
        return self.store.links.linked(HERE).rows()


@pytest.fixture
def chat(town: Town) -> Chat:
    tell_places(town.store, "North district")
    give(town.store, "u-1", CODE)
    give(town.store, "t-2", OTHER_CODE)
    return Chat(town.store, town)


# -- as it is meant


async def test_from_the_letter_to_the_link_and_back(chat: Chat) -> None:
    browser = chat.town.browser
    page = await browser.get(f"/chats?code={CODE}")
    assert page.form("/chats") == {"code": CODE}  # by the QR code
    assert f'href="?code={CODE}&amp;lang=ru"' in page.text
    answer = await chat.entered()
    assert (answer.status, answer.location) == (303, "/chats/account")
    page = await browser.get("/chats/account")
    assert "The code is for P. K. (North district)" in page.text
    assert "Kvist" not in page.text
    answer = await chat.named("Ann")
    assert (answer.status, answer.location) == (303, "/chats/number")
    assert chat.linked == []
    chat.send()
    ((account, (number,)),) = chat.sent.items()
    assert account == ANN
    answer = await chat.numbered(f" {keys.shown(number).lower()} ")
    assert (answer.status, answer.location) == (303, "/chats/mine")
    assert chat.linked == [("u-1", ANN)]
    page = await browser.get("/chats/mine")
    sure = await browser.post("/chats/unlink", page.form("/chats/unlink", account=ANN))
    assert sure.title == "Take the link back?"
    assert chat.linked == [("u-1", ANN)]
    answer = await browser.post("/chats/unlink", sure.form("/chats/unlink"))
    assert answer.location == "/chats/mine"
    assert chat.linked == []
    assert chat.store.links.take_news(namespace="n", platform="matrix", epoch=1) == ["d"]
    assert "No account is linked." in (await browser.get("/chats/mine")).text


async def test_who_has_the_account_takes_it_back_without_a_code(chat: Chat) -> None:
    await chat.link()
    browser = chat.town.browser
    browser.cookies.clear()
    assert (await chat.signs_in("ann")).location == "/chats/number"
    chat.send()
    assert (await chat.numbered(chat.sent[ANN][-1])).location == "/chats/mine"
    page = await browser.get("/chats/mine")
    sure = await browser.post("/chats/unlink", page.form("/chats/unlink"))
    await browser.post("/chats/unlink", sure.form("/chats/unlink"))
    assert chat.linked == []


async def test_who_lost_the_account_links_another_with_a_new_letter(chat: Chat) -> None:
    await chat.link()
    give(chat.store, "u-1", keys.new_key(lambda n: n // 9))
    await chat.entered(keys.new_key(lambda n: n // 9))
    assert "takes it out of the school" in (await chat.town.browser.get("/chats/account")).text
    await chat.named("new")
    chat.send()
    await chat.numbered(chat.sent["@new:north.example"][-1])
    assert chat.linked == [("u-1", "@new:north.example")]
    assert chat.store.links.unlinked(HERE).rows() == [("u-1", ANN)]


async def test_a_number_that_did_not_come_is_told_and_asked_for_again(chat: Chat) -> None:
    await chat.entered()
    await chat.named()
    chat.send(possible=False)
    assert "No number that counts is in your chat" in (await chat.town.browser.get("/chats/number")).text
    await chat.named()
    chat.send()
    assert (await chat.numbered(chat.sent[ANN][-1])).location == "/chats/mine"


async def test_every_page_is_there_in_the_languages(chat: Chat) -> None:
    titles = {
        "sv": "Gå med i skolans chattar",
        "nl": "Meedoen met de schoolchats",
        "ru": "Подключение к школьным чатам",
    }
    for code, title in titles.items():
        assert (await chat.town.browser.get(f"/chats?lang={code}")).title == title
    await chat.entered()
    await chat.named(lang="?lang=sv")
    (asked,) = chat.store.links.asked(namespace="n", platform="matrix", now=NOW)
    assert asked.language == "Swedish"


@pytest.mark.parametrize(
    ("code", "fault"), [("BCDF", "16 letters"), ("0" * 16, "no code has"), (CODE[:-1] + "2", "mistyped")]
)
async def test_a_mistyped_code_is_told_at_once(chat: Chat, code: str, fault: str) -> None:
    page = await chat.town.browser.post("/chats", {"code": code})
    assert page.status == 422
    assert fault in page.text


async def test_who_has_no_account_makes_one_on_the_way(chat: Chat) -> None:
    browser = chat.town.browser
    await chat.entered()
    assert "/chats/new" not in (await browser.get("/chats/account")).text
    tell_places(chat.store, "North", register="https://chat.north.example")
    page = await browser.get("/chats/account")
    assert (await browser.post("/chats/new", page.form("/chats/new"))).location == "/chats/new"
    page = await browser.get("/chats/new")
    assert 'http-equiv="refresh"' in page.text
    assert "One moment" in page.text
    (token,) = chat.store.links.tokens(namespace="n", platform="matrix", now=NOW)
    chat.store.links.made(replace(token, state=TokenState.READY, token="BCDF-GHJK"), epoch=1)
    page = await browser.get("/chats/new")
    assert "BCDF-GHJK" in page.text
    assert "https://chat.north.example" in page.text
    assert "refresh" not in page.text
    assert "<input" not in page.text  # nothing to enter here, no password above all
    chat.send()
    await chat.named("new")
    chat.send()
    assert (await chat.numbered(chat.sent["@new:north.example"][-1])).location == "/chats/mine"
    assert chat.linked == [("u-1", "@new:north.example")]
    assert (await browser.get("/chats/new")).location == "/chats/account"
    (token,) = chat.store.links.tokens(namespace="n", platform="matrix", now=NOW)
    assert token.state is TokenState.OVER


async def test_an_account_that_cannot_be_made_is_told(chat: Chat) -> None:
    browser = chat.town.browser
    tell_places(chat.store, "North", register=SERVER)
    await chat.entered()
    await browser.post("/chats/new", (await browser.get("/chats/account")).form("/chats/new"))
    (token,) = chat.store.links.tokens(namespace="n", platform="matrix", now=NOW)
    chat.store.links.made(replace(token, state=TokenState.FAILED), epoch=1)
    assert "lets nobody make an account" in (await browser.get("/chats/new")).text


# -- what somebody might try


async def test_accounts_are_made_by_who_has_a_letter_and_no_link_and_three_at_most(chat: Chat) -> None:
    browser = chat.town.browser
    tell_places(chat.store, "North", register=SERVER)
    assert (await browser.get("/chats/new")).location == "/chats"
    assert (await browser.post("/chats/new")).location == "/chats"
    answers = []
    for _ in range(4):
        browser.cookies.clear()
        await chat.entered()
        assert (await browser.post("/chats/new", {"proof": "x"})).status == 403
        page = await browser.get("/chats/account")
        answers.append((await browser.post("/chats/new", page.form("/chats/new"))).status)
    assert answers == [303] * 3 + [429]
    await chat.link()
    assert (await browser.get("/chats/account")).text.count("/chats/new") == 0
    fields = {"proof": (await browser.get("/chats/account")).form("/chats/account")["proof"]}
    assert (await browser.post("/chats/new", fields)).location == "/chats/account"
    browser.cookies.clear()
    await chat.signs_in("ann")
    assert (await browser.get("/chats/new")).location == "/chats"


async def test_a_code_is_used_once(chat: Chat) -> None:
    await chat.link()
    chat.town.browser.cookies.clear()
    assert (await chat.entered()).status == 410


async def test_a_code_that_expired_or_was_replaced_opens_nothing(chat: Chat) -> None:
    give(chat.store, "u-1", OTHER_CODE[::-1])
    assert (await chat.entered()).status == 410
    chat.town.clock.forward(days=30)
    assert (await chat.entered(OTHER_CODE)).status == 410


async def test_the_code_of_somebody_who_left_or_is_barred_opens_nothing(chat: Chat) -> None:
    give(chat.store, "t-7", CODE[::-1])
    assert (await chat.entered(CODE[::-1])).status in {410, 422}
    serve_records(chat.store, *SCHOOLS, *without("u-1"))
    assert (await chat.entered()).status == 410


async def test_who_leaves_between_code_and_number_is_not_linked(chat: Chat) -> None:
    await chat.entered()
    await chat.named()
    chat.send()
    page = await chat.town.browser.get("/chats/number")
    serve_records(chat.store, *SCHOOLS, *without("u-1"))
    answer = await chat.town.browser.post("/chats/number", {**page.form("/chats/number"), "number": chat.sent[ANN][-1]})
    assert answer.status == 410
    assert chat.linked == []


async def test_codes_cannot_be_guessed_at_for_long(chat: Chat) -> None:
    unknown = keys.new_key(lambda n: n // 7)
    answers = [(await chat.town.browser.post("/chats", {"code": unknown})).status for _ in range(40)]
    assert answers == [410] * 30 + [429] * 10


async def test_a_whole_class_may_link_at_once_by_one_address(chat: Chat) -> None:
    people = ["u-1", *(f"t-{number}" for number in (1, 2, 3, 4, 5, 6))] * 4
    for number, person in enumerate(people[:28]):
        code = keys.new_key(random.Random(number).randrange)
        give(chat.store, person, code)
        chat.town.browser.cookies.clear()
        answer = await chat.link(code, f"@a{number}:north.example")
        assert answer.location == "/chats/mine"


async def test_a_visit_may_try_so_often_and_then_wait(chat: Chat) -> None:
    await chat.entered()
    page = await chat.town.browser.get("/chats/account")
    fields = {**page.form("/chats/account"), "account": "@ann:elsewhere"}
    answers = [(await chat.town.browser.post("/chats/account", fields)).status for _ in range(22)]
    assert answers == [422] * 20 + [429] * 2


async def test_a_number_cannot_be_guessed_at(chat: Chat) -> None:
    await chat.entered()
    await chat.named()
    chat.send()
    wrong = keys.new_key(lambda n: n // 11, length=NUMBER_LENGTH)
    for _ in range(5):
        assert (await chat.numbered(wrong)).status == 422
    assert (await chat.numbered(chat.sent[ANN][-1])).status == 422
    assert chat.linked == []


async def test_an_account_is_not_taken_over_and_its_holder_is_not_named(chat: Chat) -> None:
    await chat.link()
    chat.town.browser.cookies.clear()
    answer = await chat.link(OTHER_CODE)
    assert answer.status == 409
    assert answer.title == "This account cannot be linked"
    for trace in ("u-1", "Kvist", "P. K."):
        assert trace not in answer.text
    assert chat.linked == [("u-1", ANN)]
    assert chat.store.links.counts(HERE)[LinkState.REFUSED] == 1


async def test_of_two_people_who_race_for_one_account_one_gets_it(chat: Chat) -> None:
    browser, fields = chat.town.browser, []
    for code in (CODE, OTHER_CODE):
        browser.cookies.clear()
        await chat.entered(code)
        await chat.named()
        chat.send()
        page = await browser.get("/chats/number")
        fields.append(({**page.form("/chats/number"), "number": chat.sent[ANN][-1]}, dict(browser.cookies)))
    browser.cookies.clear()
    answers = await asyncio.gather(
        *(
            browser.post("/chats/number", form, Cookie="; ".join(f"{name}={word}" for name, word in cookies.items()))
            for form, cookies in fields
        )
    )
    assert sorted(answer.status for answer in answers) == [303, 409]
    assert len(chat.linked) == 1


async def test_a_number_proves_the_account_that_it_was_sent_to_only(chat: Chat) -> None:
    await chat.entered()
    await chat.named("mine")
    chat.send()
    await chat.named("ann")  # somebody else's
    assert (await chat.numbered(chat.sent["@mine:north.example"][-1])).status == 422
    chat.send()
    assert (await chat.numbered(chat.sent["@mine:north.example"][-1])).status == 422
    assert chat.linked == []


async def test_whether_an_account_is_linked_is_told_to_nobody(chat: Chat) -> None:
    await chat.link()
    told = []
    for account in ("@ann:north.example", "@bob:north.example"):
        chat.town.browser.cookies.clear()
        answer = await chat.signs_in(account)
        chat.send()
        wrong = keys.new_key(lambda n: n // 11, length=NUMBER_LENGTH)
        pages = [await chat.numbered(wrong) for _ in range(7)]
        mine = await chat.town.browser.get("/chats/mine")
        shown = [page.text.replace(account, "") for page in (*pages, mine)]
        secret = pages[0].form("/chats/number")["proof"]
        told.append((answer.status, answer.location, [text.replace(secret, "") for text in shown]))
    assert told[0] == told[1]
    assert chat.sent.keys() == {ANN}  # and strangers are sent nothing


async def test_the_store_has_the_same_work_whether_an_account_is_linked(chat: Chat) -> None:
    await chat.link()
    done: list[list[str]] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        done[-1].append(statement)

    sa.event.listen(chat.store._engine, "before_cursor_execute", note)
    for account in ("@ann:north.example", "@bob:north.example"):
        chat.town.browser.cookies.clear()
        done.append([])
        await chat.signs_in(account)
        done.append([])  # what the operator does is not for the visitor to see
        chat.send()
        done.append([])
        for _ in range(7):
            await chat.numbered(keys.new_key(lambda n: n // 11, length=NUMBER_LENGTH))
    sa.event.remove(chat.store._engine, "before_cursor_execute", note)
    entered, _, numbered, *others = done
    assert [others[0], others[2]] == [entered, numbered]
    assert len(numbered) > 14


async def test_one_form_that_is_sent_many_times_makes_one_link(chat: Chat) -> None:
    await chat.entered()
    await chat.named()
    chat.send()
    page = await chat.town.browser.get("/chats/number")
    form = {**page.form("/chats/number"), "number": chat.sent[ANN][-1]}
    answers = await asyncio.gather(*(chat.town.browser.post("/chats/number", form) for _ in range(8)))
    assert {(answer.status, answer.location) for answer in answers} == {(303, "/chats/mine")}
    assert chat.linked == [("u-1", ANN)]
    page = await chat.town.browser.get("/chats/mine")
    form = {**page.form("/chats/unlink"), "sure": "yes"}
    await asyncio.gather(*(chat.town.browser.post("/chats/unlink", form) for _ in range(4)))
    assert chat.linked == []
    assert (await chat.numbered(chat.sent[ANN][-1])).status == 410  # the code was used
    assert chat.linked == []


async def test_the_cookie_stays_where_it_belongs(chat: Chat) -> None:
    cookie = (await chat.entered()).headers["set-cookie"]
    assert cookie.startswith("__Host-homeroom-chats=")
    for word in ("HttpOnly", "Path=/", "SameSite=strict", "Secure"):
        assert word in cookie
    assert "Domain" not in cookie


async def test_nobody_is_pestered_through_us(chat: Chat) -> None:
    await chat.entered()
    assert [(await chat.named()).status for _ in range(5)] == [303] * 3 + [429] * 2
    give(chat.store, "t-2", OTHER_CODE)
    chat.town.browser.cookies.clear()
    await chat.entered(OTHER_CODE)
    assert (await chat.named()).status == 429
    chat.town.clock.forward(minutes=20)
    await chat.entered(OTHER_CODE)
    assert (await chat.named()).status == 303


async def test_who_has_no_code_keeps_no_account_from_being_linked(chat: Chat) -> None:
    for _ in range(5):
        assert (await chat.signs_in("ann")).status == 303
    chat.town.browser.cookies.clear()
    assert (await chat.link()).location == "/chats/mine"


async def test_a_stranger_keeps_nobody_from_signing_in_from_elsewhere(store: Store) -> None:
    tell_places(store, "North district")
    give(store, "u-1", CODE)
    async with town_of(store, trusted=("127.0.0.0/8",)) as town:
        chat = Chat(store, town)
        await chat.link()

        async def asked_from(address: str) -> int:
            before = len(chat.sent[ANN])
            fields = {"place": "n/matrix/d", "account": "ann"}
            for _ in range(5):
                assert (await town.browser.post("/chats/sign-in", fields, **{"X-Forwarded-For": address})).status == 303
                chat.send()
            return len(chat.sent[ANN]) - before

        assert await asked_from("203.0.113.1") == 3
        assert await asked_from("203.0.113.2") == 0  # the same network
        assert [await asked_from(f"198.51.{number}.1") for number in range(5)] == [3, 3, 3, 0, 0]
        town.clock.forward(minutes=5)
        assert await asked_from("192.0.2.1") == 1


async def test_one_code_pesters_a_few_and_no_more_by_being_entered_again(chat: Chat) -> None:
    answers = []
    for number in range(8):
        chat.town.browser.cookies.clear()
        await chat.entered()
        answers.append((await chat.named(f"a{number}")).status)
    assert answers == [303] * 6 + [429] * 2
    chat.town.clock.forward(minutes=10)
    await chat.entered()
    assert (await chat.named("ann")).status == 303


async def test_with_the_link_everybody_else_with_that_code_is_out(chat: Chat) -> None:
    browser = chat.town.browser
    await chat.entered()
    other = dict(browser.cookies)  # somebody who has seen the letter
    browser.cookies.clear()
    await chat.link()
    browser.cookies = other
    assert (await browser.get("/chats/mine")).location == "/chats"
    assert chat.linked == [("u-1", ANN)]


async def test_a_new_letter_puts_out_who_came_with_the_old_one(chat: Chat) -> None:
    await chat.link()
    give(chat.store, "u-1", keys.new_key(lambda n: n // 9))
    assert (await chat.town.browser.get("/chats/mine")).location == "/chats"
    assert chat.linked == [("u-1", ANN)]


async def test_nobody_is_put_into_a_visit_that_somebody_else_began(chat: Chat) -> None:
    """Neither by an address, nor by a cookie that was there before."""
    browser = chat.town.browser
    page = await browser.get(f"/chats?code={CODE}")
    assert "set-cookie" not in page.headers
    await chat.entered(OTHER_CODE)
    planted = dict(browser.cookies)
    await chat.entered()
    assert browser.cookies.keys() == planted.keys()
    assert browser.cookies != planted
    browser.cookies = planted
    assert "P. K." not in (await browser.get("/chats/account")).text


async def test_forms_of_other_sites_and_other_visits_are_refused(chat: Chat) -> None:
    await chat.entered()
    browser = chat.town.browser
    fields = (await browser.get("/chats/account")).form("/chats/account")
    for origin in ("https://evil.example", "null"):
        answer = await browser.post("/chats/account", {**fields, "account": "ann"}, Origin=origin)
        assert answer.status == 403
    for path in ("/chats/account", "/chats/number", "/chats/unlink", "/chats/sign-out"):
        assert (await browser.post(path, {"proof": "x", "account": ANN, "number": "x"})).status == 403
    assert chat.store.links.asked(namespace="n", platform="matrix", now=NOW) == []
    assert (await browser.get("/chats/account")).status == 200  # still there


async def test_without_a_visit_there_is_nothing_to_see_or_do(chat: Chat) -> None:
    await chat.link()
    browser = chat.town.browser
    browser.cookies.clear()
    for path in ("/chats/account", "/chats/number", "/chats/mine"):
        assert (await browser.get(path)).location == "/chats"
    for path in ("/chats/account", "/chats/number", "/chats/unlink"):
        assert (await browser.post(path, {"account": ANN, "sure": "yes"})).location == "/chats"
    assert chat.linked == [("u-1", ANN)]


async def test_a_number_that_was_never_entered_opens_nothing(chat: Chat) -> None:
    await chat.link()
    browser = chat.town.browser
    browser.cookies.clear()
    await chat.signs_in("ann")
    chat.send()
    page = await browser.get("/chats/mine")
    assert ANN not in page.text
    fields = {"proof": page.form("/chats/sign-out")["proof"], "account": ANN, "sure": "yes"}
    await browser.post("/chats/unlink", fields)
    assert chat.linked == [("u-1", ANN)]


async def test_only_ones_own_link_can_be_taken_back(chat: Chat) -> None:
    await chat.link()
    chat.town.browser.cookies.clear()
    await chat.link(OTHER_CODE, "@bo:north.example")
    page = await chat.town.browser.get("/chats/mine")
    fields = {**page.form("/chats/unlink"), "account": ANN, "sure": "yes"}
    await chat.town.browser.post("/chats/unlink", fields)
    assert len(chat.linked) == 2


@pytest.mark.parametrize(
    "account",
    [
        "@ann:evil.example",
        "ann\r\nX-Header: y",
        "<script>alert(1)</script>",
        "a" * 300,
        "",
        "@:north.example",
        "ann ",
        "\u0430nn",  # Cyrillic
        "\uff20ann",  # a wide @
        "ann\u202e",
        "ann\u00ad",
        "ann@north.example",
        "@ann:north.example:8448",
        "@ann:north.example.",
        "@ann:north.example@evil.example",
        "@@ann:north.example",
        "#room:north.example",
        "ann\x00",
    ],
)
async def test_odd_accounts_are_turned_away_and_stay_text(chat: Chat, account: str) -> None:
    await chat.entered()
    page = await chat.named(account)
    assert page.status == (303 if account.strip() == "ann" else 422)
    assert "<script>" not in page.text
    assert "x-header" not in page.headers


async def test_names_of_places_stay_text(chat: Chat) -> None:
    tell_places(chat.store, "<b>North</b>\r\nX: y")
    await chat.entered()
    for path in ("/chats/account", "/chats/sign-in"):
        page = await chat.town.browser.get(path)
        assert "<b>North" not in page.text
        assert "x" not in page.headers


async def test_no_answer_leads_elsewhere(chat: Chat) -> None:
    browser = chat.town.browser
    answers = [
        await browser.post("/chats?next=https://evil.example&lang=//evil", {"code": CODE}),
        await browser.get("/chats/mine?next=//evil.example"),
        await browser.ask(
            "GET", "/chats/account", headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
        ),
    ]
    assert all("evil" not in answer.location for answer in answers)


async def test_where_no_policy_links_people_nothing_goes_on(chat: Chat) -> None:
    await chat.entered()
    tell_places(chat.store)
    assert (await chat.town.browser.get("/chats/account")).status == 410
    assert (await chat.signs_in("ann")).status == 422
    assert "Not listed?" in (await chat.town.browser.get("/chats/sign-in")).text


async def test_a_visit_ends(chat: Chat) -> None:
    await chat.entered()
    await chat.named()
    chat.send()
    chat.town.clock.forward(minutes=30)
    assert (await chat.town.browser.get("/chats/number")).location == "/chats"
    assert chat.linked == []


async def test_signing_out_ends_the_visit(chat: Chat) -> None:
    await chat.link()
    browser = chat.town.browser
    page, cookies = await browser.get("/chats/mine"), dict(browser.cookies)
    await browser.post("/chats/sign-out", page.form("/chats/sign-out"))
    browser.cookies.update(cookies)
    assert (await browser.get("/chats/mine")).location == "/chats"


async def test_the_store_has_nothing_that_opens_anything(chat: Chat, tmp_path: Path) -> None:
    await chat.entered()
    await chat.named()
    chat.send()
    secrets = [CODE, keys.shown(CODE), chat.sent[ANN][-1], *chat.town.browser.cookies.values()]
    engine = sa.create_engine(f"sqlite:///{tmp_path}/homeroom.db")
    with engine.connect() as connection:
        text = "".join(str(connection.execute(sa.select(table)).all()) for table in metadata.tables.values())
    engine.dispose()
    assert keys.digest(CODE) in text
    assert digest_of(next(iter(chat.town.browser.cookies.values()))) in text
    assert not [secret for secret in secrets if secret in text]
    for cookie in (keys.digest(CODE), digest_of(next(iter(chat.town.browser.cookies.values())))):
        chat.town.browser.cookies = dict.fromkeys(chat.town.browser.cookies, cookie)
        assert (await chat.town.browser.get("/chats/mine")).location == "/chats"

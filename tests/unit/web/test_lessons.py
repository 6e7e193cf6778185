"""Remote lessons on the pages: seen by who belongs to the class, added by who teaches it, and one call for each."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from tests.unit.roster.rosters import Class, Enrolled, Held, Names, Record, Session, User

from homeroom.chats.calls import CallState
from homeroom.chats.linking import LinkedBy, Place, Proof
from homeroom.chats.records import LINKS_SCHEMA
from homeroom.store import DISTRICTS_SCHEMA, Store, Visit, schema
from homeroom.web.desk import digest_of, word
from homeroom.web.lessons import MOST

from .conftest import NOW, PUBLIC, SCHOOLS, Browser, Page, Town, serve_records
from .test_words import outline

HERE = Place("n", "matrix", "d")
OF = {"namespace": "n", "district": "d"}
COOKIE = "__Host-homeroom-chats"
BEGINS = NOW + timedelta(hours=1)
CLASSES: tuple[Record, ...] = (
    Session("now", NOW.date() - timedelta(days=50), NOW.date() + timedelta(days=200)),
    Session("past", NOW.date() - timedelta(days=400), NOW.date() - timedelta(days=100)),
    Class("k-1", "s-1", title="Maths 5a", terms=("now",)),
    Class("k-2", "s-1", title="History 6b", terms=("now",)),
    Class("k-3", "s-1", title="Maths 4a", terms=("past",)),
    *(Enrolled(name, "t-1", "teacher") for name in ("k-1", "k-3")),
    *(Enrolled("k-1", f"co-{number}", "teacher") for number in range(10)),
    Enrolled("k-2", "t-2", "teacher"),
    Enrolled("k-1", "u-1"),
    Enrolled("k-2", "u-2"),
    Enrolled("k-1", "u-3", "teacher"),  # a wrong word in the records
    Enrolled("k-1", "t-4", "teacher", end=NOW.date()),
    Enrolled("k-1", "t-7", "teacher"),
    Names("u-1", "g-1"),
    Names("u-1", "g-2"),
)
PEOPLE: tuple[Record, ...] = (
    *(User(f"t-{number}") for number in (1, 2, 4)),
    User("t-7", enabled=False),
    *(User(f"co-{number}") for number in range(10)),
    *(User(f"u-{number}") for number in (1, 2, 3)),
    User("g-1"),
    User("g-2"),
    Held("u-3", "student", "s-1", end=NOW.date()),
    Held("g-1", "parent", "s-1"),
    Held("g-2", "parent", "s-1", end=NOW.date()),
)


def account(person: str) -> str:
    return f"@{person}:north.example"


@dataclass(slots=True)
class School:
    """The pages, with everybody linked, and a lesson of Maths 5a an hour from now."""

    town: Town
    lesson: str = ""

    @property
    def store(self) -> Store:
        return self.town.store

    @property
    def browser(self) -> Browser:
        return self.town.browser

    def enters(self, person: str, *, proof: Proof = Proof.PROVEN, code_of: str | None = None) -> None:
        """Somebody has proven their account, half an hour ago at most."""
        made, digest = word()
        visit = Visit(
            place=HERE,
            language="English",
            expires_at=self.town.clock.now() + timedelta(days=1),
            account=account(person),
            person=code_of,
            proof=proof,
        )
        self.store.links.begin(visit, digest=digest, now=self.town.clock.now())
        self.browser.cookies = {COOKIE: made}

    def adds(self, class_id: str = "k-1", title: str = "Fractions", *, begins: datetime = BEGINS) -> str:
        return self.store.lessons.add(
            **OF,
            class_id=class_id,
            begins=begins,
            ends=begins + timedelta(minutes=45),
            title=title,
            person="t-1",
            now=self.town.clock.now(),
        )

    async def sees(self) -> list[str]:
        """Titles and classes in the list."""
        text = (await self.browser.get("/lessons")).text
        return re.findall(r"<bdi>(.*?)</bdi></a>", text)

    async def page(self, lesson: str = "") -> Page:
        return await self.browser.get(f"/lessons/{lesson or self.lesson}")

    async def presses(self) -> Page:
        return await self.browser.post("/lessons/start", (await self.page()).form("/lessons/start"))

    async def posts(self, path: str, **fields: str) -> Page:
        """A form with the right proof, whatever the page would have offered."""
        made = self.browser.cookies.get(COOKIE, "")
        proof = digest_of(f"proof of {made}")
        return await self.browser.post(path, {"proof": proof, **fields})

    async def new(self, **fields: str) -> Page:
        typed = {"class": "k-1", "day": "2026-10-02", "begins": "09:00", "ends": "09:45", "title": "Angles"}
        return await self.posts("/lessons/new", **{**typed, **fields})

    async def imports(self, text: str | bytes, *, of: str = "k-1", **headers: str) -> Page:
        content = text if isinstance(text, bytes) else text.encode()
        proof = digest_of(f"proof of {self.browser.cookies.get(COOKIE, '')}").encode()
        body = b"".join(
            b'--edge\r\nContent-Disposition: form-data; name="' + name + b'"' + more + b"\r\n\r\n" + value + b"\r\n"
            for name, more, value in (
                (b"proof", b"", proof),
                (b"class", b"", of.encode()),
                (b"file", b'; filename="a.ics"\r\nContent-Type: text/calendar', content),
            )
        )
        sent = {"Origin": PUBLIC, "Content-Type": "multipart/form-data; boundary=edge", **headers}
        return await self.browser.ask("POST", "/lessons/import", data=body + b"--edge--\r\n", headers=sent)

    def rows(self, table: sa.Table) -> list[Any]:
        with self.store.lessons._engine.connect() as connection:
            return list(connection.execute(sa.select(table)).all())

    def lessons(self, class_id: str = "k-1") -> pl.DataFrame:
        since, until = NOW - timedelta(days=1), NOW + timedelta(days=800)
        return self.store.lessons.of_classes([class_id], **OF, since=since, until=until)


def tell(store: Store, *, zone: str = "Europe/Stockholm", denied: tuple[str, ...] = ()) -> None:
    told = pl.DataFrame([("d", zone, list(denied))], DISTRICTS_SCHEMA, orient="row")
    store.web.tell_districts(told, namespace="n", platform="matrix", epoch=1)


@pytest.fixture
def school(town: Town) -> School:
    serve_records(town.store, *SCHOOLS, *PEOPLE, *CLASSES)
    people = [person.id for person in PEOPLE if isinstance(person, User)]
    links = pl.DataFrame([(person, account(person)) for person in people], LINKS_SCHEMA, orient="row")
    town.store.links.note(links, place=HERE, by=LinkedBy.RECORDS, at=NOW, epoch=1)
    tell(town.store)
    found = School(town)
    found.lesson = found.adds()
    return found


def calendar(*entries: str, name: str = "") -> str:
    head = f"X-WR-CALNAME:{name}\n" if name else ""
    body = "".join(f"BEGIN:VEVENT\n{entry}\nEND:VEVENT\n" for entry in entries)
    return f"BEGIN:VCALENDAR\nVERSION:2.0\n{head}{body}END:VCALENDAR\n"


def entry(uid: str = "1", begins: str = "20261005T090000", title: str = "Area", *more: str) -> str:
    return "\n".join([f"UID:{uid}", f"DTSTART:{begins}", "DURATION:PT45M", f"SUMMARY:{title}", *more])


# -- who sees what


@pytest.mark.parametrize("person", ["t-1", "co-3", "u-1", "u-3", "g-1"])
async def test_who_belongs_to_a_class_sees_its_lessons(school: School, person: str) -> None:
    school.enters(person)
    assert await school.sees() == ["Fractions"]
    assert (await school.page()).title == "<bdi>Fractions</bdi>"


@pytest.mark.parametrize("person", ["t-2", "u-2", "t-4", "t-7", "g-2"])
async def test_others_do_not_and_cannot_tell_whether_there_is_one(school: School, person: str) -> None:
    school.enters(person)
    assert await school.sees() == []
    theirs, none = await school.page(), await school.page("f" * 32)
    assert (theirs.status, theirs.text) == (none.status, none.text)
    assert theirs.status == 404
    pressed = [await school.posts("/lessons/start", lesson=lesson) for lesson in (school.lesson, "f" * 32)]
    assert pressed[0].text == pressed[1].text
    assert {page.status for page in pressed} == {404}
    assert school.rows(schema.call) == []


@pytest.mark.parametrize("odd", ["%00", "f" * 33, "..%2F", "F" * 32])
async def test_what_is_no_id_of_a_lesson_is_asked_of_no_database(school: School, odd: str) -> None:
    school.enters("u-1")
    assert (await school.page(odd)).status == 404


async def test_the_list_has_today_and_two_weeks_by_the_clock_of_the_district(school: School) -> None:
    day = datetime(2026, 9, 30, 22, 30, tzinfo=UTC)  # half past midnight of 1 October in Stockholm
    for title, begins in (
        ("yesterday", day - timedelta(hours=2)),
        ("early", day),
        ("last", datetime(2026, 10, 14, 21, 0, tzinfo=UTC)),
        ("later", datetime(2026, 10, 14, 22, 0, tzinfo=UTC)),
    ):
        school.adds(title=title, begins=begins)
    school.enters("u-1")
    assert await school.sees() == ["early", "Fractions", "last"]
    text = (await school.browser.get("/lessons")).text
    assert "Thursday 1 October" in text
    assert ">11:00</time>" in text
    assert "Times are those of Europe/Stockholm (UTC+02:00 today)." in text
    tell(school.store, zone="America/New_York")
    text = (await school.page()).text
    assert ">05:00</time>" in text
    assert "UTC-04:00" in text


async def test_a_class_that_is_over_has_no_lessons(school: School) -> None:
    school.adds("k-3", "Old")
    school.enters("t-1")
    assert await school.sees() == ["Fractions"]
    assert "Maths 4a" not in (await school.browser.get("/lessons/new")).text


async def test_from_the_account_to_the_lessons(school: School) -> None:
    school.enters("u-1")
    assert 'href="/lessons"' in (await school.browser.get("/chats/mine")).text


@pytest.mark.parametrize("path", ["/lessons", "/lessons/new", "/lessons/import", "/lessons/LESSON"])
async def test_without_a_proven_link_of_now_there_is_nothing(school: School, path: str) -> None:
    path = path.replace("LESSON", school.lesson)

    async def refused() -> bool:
        return (await school.browser.get(path)).location == "/chats/sign-in"

    assert await refused()
    for proof in (Proof.OPEN, Proof.WAITING, Proof.SENT, Proof.FAILED):
        school.enters("t-1", proof=proof)
        assert await refused()
    school.enters("t-1", code_of="t-2")  # another's letter
    assert await refused()
    school.enters("t-1")
    assert (await school.browser.get(path)).status == 200
    tell(school.store, denied=("t-1",))
    assert await refused()
    tell(school.store)
    school.store.web.tell_districts(
        pl.DataFrame(schema=DISTRICTS_SCHEMA), namespace="n", platform="matrix", epoch=1
    )  # nobody knows who is denied
    assert await refused()
    tell(school.store)
    school.store.links.unlink(HERE, "t-1", now=NOW)
    assert await refused()


async def test_pages_are_well_formed_in_each_language(school: School) -> None:
    school.town.clock.forward(minutes=50)
    for code, title in {
        "en": "Remote lessons",
        "sv": "Distanslektioner",
        "nl": "Online lessen",
        "ru": "Дистанционные уроки",
    }.items():
        school.enters("t-1")
        lang = f"?lang={code}"
        listed = await school.browser.get("/lessons" + lang)
        assert listed.title == title
        lesson = await school.browser.get(f"/lessons/{school.lesson}{lang}")
        pages = [
            listed,
            lesson,
            await school.browser.get("/lessons/x" + lang),
            await school.browser.get("/lessons/new" + lang),
            await school.browser.get("/lessons/import" + lang),
            await school.posts("/lessons/new" + lang, title=""),
            await school.posts("/lessons/remove" + lang, lesson=school.lesson),
        ]
        for page in pages:
            found = outline(page)
            assert found.language == code
            assert found.headings[0] == "h1"
            assert found.headings.count("h1") == found.main == 1
            assert found.labelled - {"class"} == set(found.inputs)
            assert set(found.described) <= set(found.ids)
            assert len(set(found.ids)) == len(found.ids)
            ways = re.findall(r'(?:action|href)="(/[^"]*)"', page.text)
            assert {way for way in ways if not way.endswith(lang)} == {"/style.css"}


# -- a teacher adds and removes


async def test_a_teacher_adds_a_lesson_and_takes_it_out_again(school: School) -> None:
    school.enters("t-1")
    page = await school.browser.get("/lessons/new")
    assert '<option value="k-1">Maths 5a, North</option>' in page.text
    fields = {"class": "k-1", "title": " Angles ", "day": "2026-10-05", "begins": "09:00", "ends": "10:30"}
    answer = await school.browser.post("/lessons/new", {**page.form("/lessons/new"), **fields})
    assert (answer.status, answer.location) == (303, "/lessons")
    added = school.lessons().filter(title="Angles")
    assert added.select("begins", "ends", "person", "how").rows() == [
        (datetime(2026, 10, 5, 7, 0, tzinfo=UTC), datetime(2026, 10, 5, 8, 30, tzinfo=UTC), "t-1", "Page")
    ]
    listed = await school.browser.get("/lessons")
    wanted = listed.form("/lessons/remove", lesson=added["id"].item())
    sure = await school.browser.post("/lessons/remove", wanted)
    assert sure.title == "Remove this lesson?"
    assert "all that came with this calendar" not in sure.text
    assert await school.sees() == ["Fractions", "Angles"]
    answer = await school.browser.post("/lessons/remove", {**sure.form("/lessons/remove"), "sure": "one"})
    assert answer.location == "/lessons"
    assert await school.sees() == ["Fractions"]


@pytest.mark.parametrize(
    ("fault", "fields"),
    [
        ("that you teach", {"class": "k-2"}),
        ("that you teach", {"class": "k-3"}),
        ("that you teach", {"class": ""}),
        ("within a year", {"day": "tomorrow"}),
        ("within a year", {"day": "2027-10-03"}),
        ("within a year", {"day": "2026-09-30"}),
        ("within a year", {"day": "9999-12-31"}),
        ("within a year", {"day": "0001-01-01"}),
        ("within a year", {"begins": "25:00"}),
        ("within a year", {"begins": "09:00+05:00"}),
        ("after the begin", {"ends": "08:59"}),
        ("after the begin", {"ends": "09:00"}),
        ("after the begin", {"ends": "21:01"}),
        ("after the begin", {"day": "2026-10-01", "begins": "08:00", "ends": "09:59"}),
        ("100 characters", {"title": " \u200b\u202e "}),
        ("100 characters", {"title": "x" * 101}),
    ],
)
async def test_what_is_no_lesson_of_theirs_is_not_added(school: School, fault: str, fields: dict[str, str]) -> None:
    school.enters("t-1")
    page = await school.new(**fields)
    assert page.status == 422
    assert fault in page.text
    assert len(school.rows(schema.lesson)) == 1


@pytest.mark.parametrize("person", ["u-1", "g-1", "u-3", "t-2", "t-4", "t-7"])
async def test_who_does_not_teach_the_class_adds_nothing(school: School, person: str) -> None:
    school.enters(person)
    assert "/lessons/new" not in (await school.browser.get("/lessons")).text or person == "t-2"
    assert (await school.new()).status == 422
    assert (await school.imports(calendar(entry()))).status == 422
    assert len(school.rows(schema.lesson)) == 1


@pytest.mark.parametrize("person", ["u-1", "co-1", "t-2"])
async def test_a_lesson_is_removed_by_who_added_it_only(school: School, person: str) -> None:
    school.enters(person)
    assert "/lessons/remove" not in (await school.browser.get("/lessons")).text
    for sure in ("", "one", "all"):
        await school.posts("/lessons/remove", lesson=school.lesson, sure=sure)
    assert len(school.rows(schema.lesson)) == 1


async def test_nobody_fills_the_store(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    school.enters("t-1")
    answers = [(await school.new(title=f"{number}")).status for number in range(22)]
    assert answers == [303] * 20 + [429] * 2
    assert MOST < 10_000
    school.town.clock.forward(hours=1)
    monkeypatch.setattr("homeroom.web.lessons.MOST", 21)
    assert "too many lessons" in (await school.new()).text
    assert "too many lessons" in (await school.imports(calendar(entry()))).text


# -- the call


async def test_the_teacher_starts_the_call_and_the_others_see_it_by_themselves(school: School) -> None:
    school.enters("u-1")
    waits = await school.page()
    assert "The call has not begun." in waits.text
    assert "refresh" in waits.headers
    assert "<button" not in waits.text
    school.enters("t-1")
    assert "from 10:45 on" in (await school.page()).text
    school.town.clock.forward(minutes=45)
    answer = await school.presses()
    assert answer.location == f"/lessons/{school.lesson}"
    for person in ("t-1", "u-1"):
        school.enters(person)
        page = await school.page()
        assert "The call is being made." in page.text
        assert page.headers["refresh"] == "3"
        assert "<button" not in page.text

    def note(state: CallState, **values: str) -> None:
        call = school.store.lessons.call(school.lesson, HERE)
        assert call is not None
        school.store.lessons.note(call, state, platform="matrix", now=NOW, epoch=1, **values)

    note(CallState.HELD, hold="h-12")
    page = await school.page()
    assert "waits for somebody of the district" in page.text
    assert "h-12" not in page.text  # a student has nothing to do with it
    school.enters("t-1")
    assert "h-12" in (await school.page()).text
    note(CallState.NOWHERE)
    assert "has no chat for calls" in (await school.page()).text
    note(CallState.TOLD, chat="https://matrix.to/#/!a:b?via=b", url='https://meet.example/a"b&c')
    for person in ("t-1", "u-1", "g-1"):
        school.enters(person)
        page = await school.page()
        links = re.findall(r'<a class="button" href="(.*?)" rel="noopener noreferrer">', page.text)
        assert links == ["https://meet.example/a&#34;b&amp;c", "https://matrix.to/#/!a:b?via=b"]
        assert "refresh" not in page.headers
    school.town.clock.forward(hours=2)
    over = await school.page()
    assert "This lesson is over." in over.text
    assert "meet.example" not in over.text


async def test_links_of_the_call_are_links_and_nothing_else(school: School) -> None:
    school.town.clock.forward(minutes=50)
    school.enters("t-1")
    await school.presses()
    call = school.store.lessons.call(school.lesson, HERE)
    assert call is not None
    school.store.lessons.note(
        call, CallState.TOLD, platform="matrix", now=NOW, epoch=1, chat="javascript:alert(1)", url="http://meet.example"
    )
    text = (await school.page()).text
    assert "javascript" not in text
    assert "meet.example" not in text


async def test_where_a_policy_has_no_address_for_calls_the_chat_is_what_there_is(school: School) -> None:
    school.town.clock.forward(minutes=50)
    school.enters("t-1")
    await school.presses()
    call = school.store.lessons.call(school.lesson, HERE)
    assert call is not None
    chat = "https://matrix.to/#/!a:b?via=b"
    school.store.lessons.note(call, CallState.TOLD, platform="matrix", now=NOW, epoch=1, chat=chat)
    text = (await school.page()).text
    assert "The chat of this class is open." in text
    assert "Go to the call" not in text


async def test_200_presses_at_once_make_one_call(school: School) -> None:
    """Ten teachers of the class, and twenty presses of each."""
    school.town.clock.forward(minutes=50)
    forms = []
    for number in range(10):
        school.enters(f"co-{number}")
        page = await school.page()
        forms.append((page.form("/lessons/start"), f"{COOKIE}={school.browser.cookies[COOKIE]}"))
    school.browser.cookies = {}
    presses = [school.browser.post("/lessons/start", fields, Cookie=cookie) for fields, cookie in forms * 20]
    answers = await asyncio.gather(*presses)
    assert {(answer.status, answer.location) for answer in answers} == {(303, f"/lessons/{school.lesson}")}
    (call,) = school.rows(schema.call)
    assert re.fullmatch("[0-9a-f]{32}", call.word)
    assert call.person.startswith("co-")


async def test_one_impatient_teacher_makes_one_call_too(school: School) -> None:
    school.town.clock.forward(minutes=50)
    school.enters("t-1")
    fields = (await school.page()).form("/lessons/start")
    answers = await asyncio.gather(*(school.browser.post("/lessons/start", fields) for _ in range(200)))
    assert sorted(answer.status for answer in answers) == [303] * 20 + [429] * 180
    assert len(school.rows(schema.call)) == 1


@pytest.mark.parametrize(("person", "status"), [("u-1", 403), ("g-1", 403), ("u-3", 403), ("t-2", 404), ("t-4", 404)])
async def test_only_who_teaches_the_class_today_starts_its_call(school: School, person: str, status: int) -> None:
    school.town.clock.forward(minutes=50)
    school.enters(person)
    assert (await school.posts("/lessons/start", lesson=school.lesson)).status == status
    assert school.rows(schema.call) == []


@pytest.mark.parametrize(("minutes", "calls"), [(44, 0), (45, 1), (104, 1), (105, 0), (1000, 0)])
async def test_a_call_starts_from_a_quarter_before_its_lesson_until_its_end(
    school: School, minutes: int, calls: int
) -> None:
    school.town.clock.forward(minutes=minutes)
    school.enters("t-1")
    assert ("/lessons/start" in (await school.page()).text) == bool(calls)
    assert (await school.posts("/lessons/start", lesson=school.lesson)).status == 303
    assert len(school.rows(schema.call)) == calls


async def test_the_records_of_now_count_and_not_those_of_the_page(school: School) -> None:
    school.town.clock.forward(minutes=50)
    school.enters("t-1")
    fields = (await school.page()).form("/lessons/start")
    left = [one for one in CLASSES if one != Enrolled("k-1", "t-1", "teacher")]
    serve_records(school.store, *SCHOOLS, *PEOPLE, *left)
    assert (await school.browser.post("/lessons/start", fields)).status == 404
    serve_records(school.store, *SCHOOLS, *PEOPLE, *CLASSES)
    school.store.links.unlink(HERE, "t-1", now=NOW)
    assert (await school.browser.post("/lessons/start", fields)).location == "/chats/sign-in"
    school.store.links.note(
        pl.DataFrame([("u-2", account("t-1"))], LINKS_SCHEMA, orient="row"),
        place=HERE,
        by=LinkedBy.RECORDS,
        at=NOW,
        epoch=1,
    )  # it is somebody else's now
    assert (await school.browser.post("/lessons/start", fields)).status == 404
    assert school.rows(schema.call) == []


async def test_a_lesson_that_was_removed_has_no_call(school: School) -> None:
    school.town.clock.forward(minutes=50)
    school.enters("t-1")
    fields = (await school.page()).form("/lessons/start")
    assert school.store.lessons.remove(school.lesson, **OF, person="t-1")
    assert (await school.browser.post("/lessons/start", fields)).status == 404
    assert school.rows(schema.call) == []


async def test_forms_of_other_sites_and_other_visits_are_refused(school: School) -> None:
    school.town.clock.forward(minutes=50)
    school.enters("co-1")
    stolen = digest_of(f"proof of {school.browser.cookies[COOKIE]}")
    school.enters("t-1")
    for path in ("/lessons/start", "/lessons/remove", "/lessons/new"):
        fields = {"lesson": school.lesson, "sure": "one", "class": "k-1"}
        for proof in ("", "x", stolen):
            assert (await school.browser.post(path, {**fields, "proof": proof})).status == 403
        for origin in ("https://evil.example", "null"):
            made = school.browser.cookies[COOKIE]
            sent = {**fields, "proof": digest_of(f"proof of {made}")}
            assert (await school.browser.post(path, sent, Origin=origin)).status == 403
    assert (await school.imports(calendar(entry()), Origin="https://evil.example")).status == 403
    assert school.rows(schema.call) == []
    assert len(school.rows(schema.lesson)) == 1


async def test_no_get_changes_anything(school: School) -> None:
    school.town.clock.forward(minutes=50)
    school.enters("t-1")
    for path in ("/lessons/start", "/lessons/remove"):
        assert (await school.browser.get(f"{path}?lesson={school.lesson}&sure=one")).status == 404
    assert school.rows(schema.call) == []
    assert len(school.rows(schema.lesson)) == 1


async def test_titles_stay_text_and_short(school: School) -> None:
    title = "<script>alert(1)</script>\u202e\x00\r\nX-Header: y" + "z" * 300
    lesson = school.adds(title=title)
    serve_records(
        school.store, *SCHOOLS, *PEOPLE, *CLASSES, Class("k-9", "s-1", title="<b>"), Enrolled("k-9", "t-1", "teacher")
    )
    school.enters("t-1")
    for page in (
        await school.browser.get("/lessons"),
        await school.page(lesson),
        await school.posts("/lessons/remove", lesson=lesson),
        await school.browser.get("/lessons/new"),
    ):
        assert "<script>" not in page.text
        assert "<b>" not in page.text
        assert "\u202e" not in page.text
        assert "z" * 101 not in page.text
        assert "x-header" not in page.headers
    assert "<script>" not in (await school.new(title=title)).text


async def test_no_answer_leads_elsewhere(school: School) -> None:
    school.enters("t-1")
    for page in (
        await school.browser.get("/lessons//evil.example"),
        await school.browser.get("/lessons/%2F%2Fevil.example"),
        await school.posts("/lessons/start?lang=//evil.example", lesson="//evil.example"),
        await school.posts("/lessons/remove", lesson="https://evil.example"),
        await school.new(next="https://evil.example"),
    ):
        assert "evil" not in page.location


# -- a calendar file


async def test_a_calendar_is_imported_and_what_it_said_before_replaced(school: School) -> None:
    school.enters("t-1")
    weekly = entry("1", "20261005T090000", "Area", "RRULE:FREQ=WEEKLY;COUNT=3")
    page = await school.imports(calendar(weekly, entry("2", "20261006T090000"), name="5a"))
    assert "Lessons that it says: 4. New or changed: 4." in page.text
    page = await school.imports(calendar(weekly, entry("2", "20261006T090000"), name="5a"))
    assert "Lessons that it says: 4. New or changed: 0." in page.text
    kept = set(school.lessons().filter(how="Calendar")["id"])
    page = await school.imports(calendar(weekly.replace("COUNT=3", "COUNT=2"), name="5a"))
    assert "Lessons that it says: 2. New or changed: 0." in page.text
    rows = school.lessons().filter(how="Calendar")
    assert rows["begins"].to_list() == [datetime(2026, 10, day, 7, 0, tzinfo=UTC) for day in (5, 12)]
    assert set(rows["id"]) <= kept  # addresses stay
    await school.imports(calendar(entry("9", "20261007T090000")))  # has no name: an entry for itself
    await school.imports(calendar(entry("9", "20261008T090000")))
    days = [moment.day for moment in school.lessons().filter(how="Calendar")["begins"]]
    assert days == [5, 8, 12]
    cancelled = calendar(entry("9", "20261008T090000", "Area", "STATUS:CANCELLED"))
    assert "Lessons that it says: 0." in (await school.imports(cancelled)).text
    assert [moment.day for moment in school.lessons().filter(how="Calendar")["begins"]] == [5, 12]


async def test_a_wrong_calendar_is_taken_out_at_once(school: School) -> None:
    school.enters("t-1")
    await school.imports(calendar(entry("1", "20261005T090000", "", "RRULE:FREQ=DAILY;COUNT=5"), name="mine"))
    await school.imports(calendar(entry("2", "20261006T090000", "Other")))
    rows = school.lessons().filter(title="Maths 5a")  # an entry without a title
    assert rows.height == 5
    sure = await school.posts("/lessons/remove", lesson=rows["id"][2])
    assert "all that came with this calendar" in sure.text
    await school.browser.post("/lessons/remove", {**sure.form("/lessons/remove"), "sure": "all"})
    assert school.lessons()["title"].to_list() == ["Fractions", "Other"]


async def test_one_teachers_calendar_is_not_anothers(school: School) -> None:
    for person in ("t-1", "co-1"):
        school.enters(person)
        await school.imports(calendar(entry(), name="5a"))
    assert school.lessons().filter(how="Calendar")["person"].to_list() == ["co-1", "t-1"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no calendar file"),
        ("/etc/passwd", "no calendar file"),
        (b"\xff\xfe\x00", "no calendar file"),
        (calendar(), "no calendar file"),
        (calendar(*(entry(str(number)) for number in range(1001))), "1000 entries"),
        (
            calendar(*(entry(str(number), "20261005T090000", "x", "RRULE:FREQ=DAILY") for number in range(9))),
            "1000 lessons",
        ),
        (calendar(entry("1", "20200101T090000")), "No lesson within a year"),
        (calendar(entry("1", "20261005T090000", "x", "RRULE:FREQ=SECONDLY")), "No lesson within a year"),
        (b"BEGIN:VCALENDAR\n" + b"x" * (512 * 1024 - 15), "too large"),
    ],
)
async def test_files_that_are_none_or_too_much_are_refused_in_plain_words(
    school: School, text: str | bytes, words: str
) -> None:
    school.enters("t-1")
    page = await school.imports(text)
    assert page.status == 422
    assert words in page.text
    assert len(school.rows(schema.lesson)) == 1


async def test_what_is_left_out_is_told(school: School) -> None:
    school.enters("t-1")
    page = await school.imports(
        calendar(
            entry(),
            "UID:2\nDTSTART;VALUE=DATE:20261005\nSUMMARY:Holiday",
            "UID:3\nDTSTART:20261005T090000",
            entry("4", "20261005T090000", "x", "RRULE:FREQ=HOURLY"),
            entry("5").replace("DTSTART:", "DTSTART;TZID=Nowhere/Land:"),
        )
    )
    assert "Lessons that it says: 1." in page.text
    for words in ("whole days: 1", "without an end, or longer than 12 hours: 1", "not read here", "nobody knows: 1"):
        assert words in page.text


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/x-www-form-urlencoded", b"class=k-1", 415),
        ("multipart/form-data", b"", 415),
        ("multipart/form-data; boundary=" + "x" * 71, b"", 415),
        ("multipart/form-data; boundary=e", b"--e\r\n\r\n\r\n--e--", 400),
        (
            "multipart/form-data; boundary=e",
            b'--e\r\nContent-Disposition: form-data; name="proof"\r\n\r\n\xff\r\n--e--',
            400,
        ),
        ("multipart/form-data; boundary=e", b"--e\r\n" * 100, 400),
        ("multipart/form-data; boundary=e", b"", 403),
        ("multipart/form-data; boundary=e", b"x" * (517 * 1024), 413),
    ],
)
async def test_uploads_are_plain_and_bounded(school: School, kind: str, body: bytes, status: int) -> None:
    school.enters("t-1")
    sent = {"Origin": PUBLIC, "Content-Type": kind}
    assert (await school.browser.ask("POST", "/lessons/import", data=body, headers=sent)).status == status
    school.browser.cookies = {}
    answer = await school.browser.ask("POST", "/lessons/import", data=body, headers=sent)
    assert answer.location == "/chats/sign-in"  # and nothing of it was read

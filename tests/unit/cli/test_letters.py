"""Letters with personal codes: one for each who is not linked, on a page that needs nothing else, or by mail."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from tests.unit.mailserver import Server, mail_server
from tests.unit.roster.rosters import Class, Enrolled, Held, Names, Org, Record, User, roster_of
from tests.unit.stores import open_store

from homeroom.api import Language
from homeroom.chats.letters import Letter, page
from homeroom.chats.linking import LinkedBy, Place
from homeroom.chats.records import LINKS_SCHEMA
from homeroom.roster.digest import digest
from homeroom.roster.findings import Findings
from homeroom.seats import keys
from homeroom.sources import CREDENTIALS, Snapshot, write
from homeroom.store import PLACES_SCHEMA, Accepted, Store

from .conftest import Homeroom, Said

PLACE = Place("n", "matrix", "d")
NOW = datetime.now(UTC)
RECORDS: tuple[Record, ...] = (
    Org("s-1", name="North"),
    Org("s-2", name="South"),
    Class("c-1", title="1a"),
    Class("c-2", title="2b"),
    Class("c-3", school="s-2", title="3c"),
    User("u-1", given="Una", family="<b>Ek</b>", email="una@x.example"),
    User("u-2", given="Ulf", family="Dahl"),
    User("u-3", given="Una", family="Elsewhere"),
    User("t-1", given="Tor", family="Teach", email="tor@x.example"),
    User("g-1", given="Guy", family="Ek", email="guy@x.example\r\nBcc: all@x.example"),
    User("g-2", given="Gun", family="Dahl", email="gun@x.example"),
    User("x-1", given="Not", family="Family", email="not@x.example"),
    User("b-1", given="Bar", family="Red", enabled=False, email="bar@x.example"),
    *(Held(student) for student in ("u-1", "u-2", "u-3")),
    *(Held(adult, "guardian") for adult in ("g-1", "g-2")),
    Held("t-1", "teacher"),
    Held("x-1", "teacher"),
    Names("u-1", "g-1"),
    Names("g-2", "u-2"),  # either may name the other
    Names("u-1", "x-1"),
    *(Enrolled("c-1", student) for student in ("u-1", "u-2", "b-1")),
    Enrolled("c-2", "u-1"),
    Enrolled("c-3", "u-3"),
    Enrolled("c-1", "t-1", "teacher"),
    Enrolled("c-1", "u-3", end=NOW.date()),
)


@dataclass
class Office:
    """Runs the command where the store is."""

    homeroom: Homeroom
    store: Store
    directory: Path

    def __call__(self, *arguments: object, command: str = "letters") -> Said:
        more = ("--pages-url", "https://pages.example") if command == "letters" else ()
        return self.homeroom(command, *arguments, *more, "--data", self.directory)

    def printed(self, *arguments: object) -> str:
        file = self.directory / "letters.html"
        said = self("-o", file, *arguments)
        assert (said.code, said.err) == (0, "")
        assert file.stat().st_mode & 0o777 == 0o600
        return file.read_text()

    def whose(self, code: str) -> str | None:
        found = self.store.links.by_code(keys.digest(keys.normalised(code)), now=datetime.now(UTC))
        return None if found is None else found[1]

    def link(self, person: str, account: str) -> None:
        pair = pl.DataFrame([(person, account)], schema=LINKS_SCHEMA, orient="row")
        self.store.links.note(pair, place=PLACE, by=LinkedBy.RECORDS, at=NOW, epoch=1)

    def tell(self, *districts: str) -> None:
        rows = [("n", "matrix", district, "x.example", "North & Co", None) for district in districts]
        self.store.links.tell(
            pl.DataFrame(rows, PLACES_SCHEMA, orient="row"), namespace="n", platform="matrix", epoch=1
        )


@pytest.fixture
def office(homeroom: Homeroom, tmp_path: Path) -> Iterator[Office]:
    directory = tmp_path / "data"
    store = open_store(directory)
    roster = roster_of(*RECORDS)
    snapshot = Snapshot(
        digest=digest(roster.tables()),
        roster=roster,
        findings=Findings.none(),
        counts={},
        credentials=pl.DataFrame(schema=CREDENTIALS),
    )
    write(snapshot, store.snapshots(namespace="n", district="d"))
    accepted = Accepted(digest=snapshot.digest, accepted_at=NOW, validator=None, spec_digest="")
    store.accept(accepted, namespace="n", district="d", epoch=1)
    office = Office(homeroom, store, directory)
    office.tell("d")
    yield office
    store.close()


def codes(text: str) -> list[str]:
    return re.findall(r"\b(?:[B-Z2-9]{4}-){3}[B-Z2-9]{4}\b", text)


def test_a_class_gets_a_letter_for_each_and_for_the_families(office: Office) -> None:
    text = office.printed("--class", "c-1")
    assert re.findall(r"<h1>(.*?)</h1>", text) == [
        "Una &lt;b&gt;Ek&lt;/b&gt;", "Ulf Dahl", "Tor Teach", "Gun Dahl", "Guy Ek"
    ]  # fmt: skip
    assert [office.whose(code) for code in codes(text)] == ["u-1", "u-2", "t-1", "g-2", "g-1"]
    assert "North &amp; Co" in text
    assert text.count("<svg") == 5


def test_a_school_gets_one_letter_for_each_person_by_class(office: Office) -> None:
    text = office.printed("--school", "s-1", "--language", "Swedish")
    assert [office.whose(code) for code in codes(text)] == ["u-1", "u-2", "t-1", "g-2", "g-1", "x-1"]
    assert 'lang="sv"' in text
    assert "bara för dig" in text
    assert re.findall(r"<span>([^<]*)</span></p>", text) == ["1a"] * 5 + ["North"]


def test_the_page_needs_nothing_from_elsewhere(office: Office) -> None:
    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.names: set[str] = set()
            self.links: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.names.add(tag)
            self.links += [value or "" for name, value in attrs if name in {"src", "href", "action"}]

    reader = Reader()
    reader.feed(office.printed("--class", "c-1"))
    assert reader.names.isdisjoint({"script", "img", "link", "iframe", "object", "b"})
    assert reader.links == []


def test_a_new_letter_takes_the_place_of_the_one_before(office: Office) -> None:
    old, new = codes(office.printed("--class", "c-3")), codes(office.printed("--class", "c-3"))
    assert [office.whose(code) for code in (*old, *new)] == [None, "u-3"]


def test_the_page_can_go_to_stdout_alone(office: Office) -> None:
    said = office("--class", "c-3", "-o", "-")
    assert said.out.startswith("<!DOCTYPE html>")
    assert said.out.endswith("</html>\n")
    assert [office.whose(code) for code in codes(said.out)] == ["u-3"]


def test_who_is_linked_gets_none(office: Office) -> None:
    office.link("u-3", "@u-3:x.example")
    said = office("--class", "c-3", "-o", office.directory / "letters.html")
    assert said.out.startswith("0 letters in ")
    assert said.out.endswith("; 1 people are linked already\n")


def test_codes_end_in_time(office: Office) -> None:
    (code,) = codes(office.printed("--class", "c-3", "--valid", "5"))
    in_days = {days: NOW.replace(microsecond=0) for days in (4, 6)}
    found = {
        days: office.store.links.by_code(
            keys.digest(keys.normalised(code)), now=moment.fromtimestamp(moment.timestamp() + days * 86400, UTC)
        )
        for days, moment in in_days.items()
    }
    assert found == {4: (PLACE, "u-3"), 6: None}


def test_codes_are_mailed_once_to_who_has_an_address(office: Office, tmp_path: Path) -> None:
    with mail_server() as server:
        said = mailed(office, server, tmp_path)
        assert said.code == 0, said
        assert "2 people have no address in the records" in said.out
        assert sorted(to for _, to, _ in server.mails) == ["gun@x.example", "tor@x.example", "una@x.example"]
        for _, to, mail in server.mails:
            text = mail.get_content()
            (code,) = codes(text)
            assert (office.whose(code) or "").startswith(to[0])
            assert "https://pages.example/chats" in text
            assert all(name not in text for name in ("Una", "Ek", "Tor", "Gun", "Dahl"))
        mailed(office, server, tmp_path)
        assert len(server.mails) == 3
        mailed(office, server, tmp_path, "--again")
        assert len(server.mails) == 6


def test_an_address_that_is_refused_stops_nobody_and_is_tried_again(office: Office, tmp_path: Path) -> None:
    with mail_server() as server:
        server.refuses["gun@x.example"] = "550 5.1.1 unknown"
        assert "2 codes were mailed, 1 addresses refused" in mailed(office, server, tmp_path).out
        assert office.store.links.codes(PLACE, now=NOW).rows() == [
            ("g-2", "Refused"), ("t-1", "Mailed"), ("u-1", "Mailed")
        ]  # fmt: skip
        server.refuses.clear()
        assert "1 codes were mailed, 0 addresses refused" in mailed(office, server, tmp_path).out


def test_after_a_mail_server_that_failed_the_same_command_goes_on(office: Office, tmp_path: Path) -> None:
    with mail_server() as server:
        server.refuses["una@x.example"] = "451 4.3.0 later"
        said = mailed(office, server, tmp_path)
        assert said.code == 1
        assert "una@" not in said.err
        server.refuses.clear()
        mailed(office, server, tmp_path)
    assert set(office.store.links.codes(PLACE, now=NOW)["state"]) == {"Mailed"}
    assert sorted(to for _, to, _ in server.mails) == ["gun@x.example", "tor@x.example", "una@x.example"]


def mailed(office: Office, server: Server, tmp_path: Path, *more: str) -> Said:
    file = tmp_path / "smtp"
    file.write_text(f"smtp+plain://127.0.0.1:{server.port}")
    return office("--class", "c-1", "--mail", "--smtp-url-file", file, "--mail-from", "office@x.example", *more)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--class", "c-9", "-o", "x"), "the records have no 'c-9'"),
        (("--school", "s-9", "-o", "x"), "the records have no 's-9'"),
        (("-o", "x"), "name classes or a school"),
        (("--class", "c-1", "--school", "s-1", "-o", "x"), "name classes or a school"),
        (("--class", "c-1"), "is needed, unless --mail"),
        (("--class", "c-1", "--mail"), "there is no mail server"),
        (("--class", "c-1", "-o", "x", "--district", "other"), "nobody can link accounts here yet"),
    ],
)
def test_what_cannot_be_is_told(
    office: Office, arguments: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    said = office(*arguments)
    assert said.code != 0
    assert words in said.err
    assert not Path("x").exists()


def test_of_several_places_one_has_to_be_chosen(office: Office) -> None:
    office.tell("d", "e")
    said = office("--class", "c-1", "-o", office.directory / "x.html")
    assert said.err.count("n/matrix/d, n/matrix/e; choose with") == 1
    assert office("--class", "c-1", "-o", office.directory / "x.html", "--district", "d").code == 0


def test_the_office_takes_a_link_back(office: Office) -> None:
    office.link("u-1", "@u-1:x.example")
    assert office("u-1", command="unlink").out == "1 links were taken back\n"
    assert office.store.links.linked(PLACE).is_empty()
    assert office.store.links.take_news(namespace="n", platform="matrix", epoch=1) == ["d"]
    assert office("u-1", command="unlink").out == "0 links were taken back\n"


def test_all_languages_say_it_with_the_same_code() -> None:
    letter = Letter(name="N", group="G", code="BCDF", url="https://x.example/chats", qr="<svg></svg>")
    texts = {language: page(language, [letter], code="x", title="T", until=NOW.date()) for language in Language}
    assert len(set(texts.values())) == len(Language)
    for text in texts.values():
        assert text.count("BCDF") == text.count("<svg>") == text.count(NOW.date().isoformat()) == 1


def test_who_asks_what_is_held_is_told_of_accounts(office: Office, homeroom: Homeroom, tmp_path: Path) -> None:
    office.link("u-1", "@u-1:x.example")
    district = tmp_path / "d.yaml"
    district.write_text(
        "apiVersion: homeroom.dev/v1alpha1\nkind: District\nmetadata: {name: d, namespace: n}\n"
        "spec: {displayName: D, timeZone: Europe/Amsterdam, source: {oneRosterCSV: {url: 'https://x.example/e.zip'}}}\n"
    )
    said = homeroom("export-person", "d", "u-1", "-n", "n", "-f", district, "--data", office.directory)
    assert said.code == 0, said
    (link,) = json.loads(said.out)["links"]
    assert (link["platform"], link["account"], link["state"]) == ("matrix", "@u-1:x.example", "Linked")

# ruff: noqa: RUF001 (mails are written in Russian, too)
"""Mail goes out over a real SMTP server, with TLS where that is demanded; nothing of an address is ever told."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.mailserver import PASSWORD, USER, mail_server

from homeroom.errors import InvalidSpecError
from homeroom.mail import AddressRefusedError, Mailer, MailServer, MailUnavailableError, Security, is_address

SENDER = "homeroom@district.example"
TO = "anna.berg@school.example"


def plain(port: int, **changed: object) -> MailServer:
    facts = {"host": "127.0.0.1", "port": port, "security": Security.NONE, "sender": SENDER, **changed}
    return MailServer(**facts)  # type: ignore[arg-type]  # facts of several types


async def test_a_mail_arrives_as_it_was_written_and_asks_for_no_answer() -> None:
    with mail_server() as server:
        await Mailer(plain(server.port)).send(
            TO, "Nyckel för Norra skolan", "Välkommen.\nДобро пожаловать.\n", language="sv"
        )
    ((sender, to, mail),) = server.mails
    assert (sender, to, mail["From"], mail["To"]) == (SENDER, TO, SENDER, TO)
    assert mail["Subject"] == "Nyckel för Norra skolan"
    assert mail.get_content().splitlines() == ["Välkommen.", "Добро пожаловать."]
    assert (mail["Content-Language"], mail["Auto-Submitted"]) == ("sv", "auto-generated")
    assert mail["Message-ID"].endswith("@district.example>")
    assert mail["Date"]


async def test_no_line_of_a_subject_becomes_a_header() -> None:
    with mail_server() as server:
        await Mailer(plain(server.port)).send(TO, "key\r\nBcc: other@x.example\n\nbody\u2028\x00", "text\n")
    ((_, _, mail),) = server.mails
    assert mail["Subject"] == "key Bcc: other@x.example body"
    assert mail["Bcc"] is None
    assert mail.get_content().splitlines() == ["text"]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "anna",
        "anna@",
        "@school.example",
        "anna@school",
        "anna@school.example\r\nBcc: other@x.example",
        "anna@school.example\n",
        "anna@school.example, other@x.example",
        "Anna <anna@school.example>",
        '"a b"@school.example',
        "anna@[127.0.0.1]",
        "a..b@school.example",
        "anna@-school.example",
        "ännä@school.example",
        "a" * 250 + "@school.example",
    ],
)
async def test_what_is_no_address_is_refused_before_anybody_is_asked(address: str) -> None:
    with pytest.raises(AddressRefusedError) as refused:
        await Mailer(plain(1)).send(address, "subject", "text")
    assert not address or address not in refused.value.message


@given(st.text(max_size=40))
@example("a@b.c")
@example("o'brien+x@sub.school.example")
def test_an_address_never_has_what_a_header_or_a_command_could_mistake(text: str) -> None:
    if is_address(text):
        assert text.isascii()
        assert not set(text) & set(' \t\r\n<>,;:"()[]\\')
        assert text.count("@") == 1


async def test_who_is_refused_is_told_apart_from_a_server_that_takes_nothing() -> None:
    with mail_server() as server:
        mailer = Mailer(plain(server.port))
        server.refuses[TO] = f"550 5.1.1 <{TO}> no such user"
        with pytest.raises(AddressRefusedError) as refused:
            await mailer.send(TO, "subject", "text")
        server.refuses[TO] = f"450 4.2.1 <{TO}> come back later"
        with pytest.raises(MailUnavailableError) as later:
            await mailer.send(TO, "subject", "text")
    assert refused.value.message == "the mail server takes no mail to this address (550 5.1.1)"
    assert "450 4.2.1" in later.value.message
    assert "anna" not in later.value.message
    with pytest.raises(MailUnavailableError) as gone:
        await mailer.send(TO, "subject", "text")
    assert f"127.0.0.1:{server.port}" in gone.value.message
    assert gone.value.__cause__ is None


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a server, and of somebody who trusts it."""
    authority = trustme.CA()
    served, trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(served)
    authority.configure_trust(trusted)
    return served, trusted


async def test_tls_from_the_start_and_only_with_whom_we_trust() -> None:
    served, trusted = contexts()
    with mail_server(tls=served) as server:
        tls = plain(server.port, security=Security.TLS)
        await Mailer(tls, trust=trusted).send(TO, "subject", "text")
        assert len(server.mails) == 1
        with pytest.raises(MailUnavailableError):
            await Mailer(tls).send(TO, "subject", "text")
        assert len(server.mails) == 1


async def test_starttls_with_a_log_in_and_nothing_without() -> None:
    served, trusted = contexts()
    with mail_server(starttls=served) as server:
        known = plain(server.port, security=Security.STARTTLS, username=USER, password=PASSWORD)
        await Mailer(known, trust=trusted).send(TO, "subject", "text")
        assert len(server.mails) == 1
        wrong = plain(server.port, security=Security.STARTTLS, username=USER, password="hunter2")
        with pytest.raises(MailUnavailableError, match="does not accept our log-in") as refused:
            await Mailer(wrong, trust=trusted).send(TO, "subject", "text")
        assert "hunter2" not in refused.value.message


async def test_a_check_logs_in_and_mails_nothing() -> None:
    served, trusted = contexts()
    with mail_server(starttls=served) as server:
        known = plain(server.port, security=Security.STARTTLS, username=USER, password=PASSWORD)
        (hop,) = await Mailer(known, trust=trusted).check()
        assert (hop.ok, hop.words) == (True, f"127.0.0.1:{server.port} answers, and takes our log-in")
        wrong = plain(server.port, security=Security.STARTTLS, username=USER, password="hunter2")
        (hop,) = await Mailer(wrong, trust=trusted).check()
        assert not hop.ok
        assert "does not accept our log-in" in hop.words
        assert not server.mails


async def test_a_server_without_starttls_gets_no_mail_where_it_is_demanded() -> None:
    with mail_server() as server:
        mailer = Mailer(plain(server.port, security=Security.STARTTLS, username=USER, password=PASSWORD))
        with pytest.raises(MailUnavailableError):
            await mailer.send(TO, "subject", "text")
        assert not server.mails


def test_the_url_of_the_server_is_read_with_ports_that_everybody_uses(tmp_path: Path) -> None:
    def read(url: str) -> tuple[str, int, Security, str | None, str | None]:
        found = MailServer.parse(url, sender=SENDER)
        return found.host, found.port, found.security, found.username, found.password

    assert read("smtp://u:p%40ss@mail.example") == ("mail.example", 587, Security.STARTTLS, "u", "p@ss")
    assert read("smtps://mail.example\n") == ("mail.example", 465, Security.TLS, None, None)
    assert read("smtp+plain://relay:2525/") == ("relay", 2525, Security.NONE, None, None)
    file = tmp_path / "url"
    file.write_text("smtps://u:hush@mail.example\n")
    assert "hush" not in repr(MailServer.from_file(file, sender=SENDER))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example",
        "http://u:hush@mail.example",
        "smtp://",
        "smtp://u:hush@mail.example/path",
        "smtp+plain://u:hush@mail.example",
        "smtp://mail.example:hush",
    ],
)
def test_a_url_that_cannot_be_used_is_told_without_what_is_in_it(url: str) -> None:
    with pytest.raises(InvalidSpecError) as refused:
        MailServer.parse(url, sender=SENDER)
    assert "hush" not in refused.value.message


def test_a_sender_that_is_no_address_and_a_file_that_is_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpecError, match="sender"):
        MailServer.parse("smtps://mail.example", sender="Homeroom <x@y.example>")
    with pytest.raises(InvalidSpecError, match="cannot be read"):
        MailServer.from_file(tmp_path / "none", sender=SENDER)

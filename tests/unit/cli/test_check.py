"""`homeroom check` of what seats and chats need: the register of school units, the mail server, the chat server."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.skolverket import Register, Unit, serving
from tests.unit.mailserver import mail_server

from homeroom.reconcile import connect

from .conftest import Homeroom

POOL = """
apiVersion: homeroom.dev/v1alpha1
kind: LicensePool
metadata: {name: plus, namespace: lakeside}
spec:
  seats: 100
  timeZone: Europe/Stockholm
  unitRegistry: {type: Skolverket, municipalityCode: "1285"}
---
apiVersion: homeroom.dev/v1alpha1
kind: LicensePool
metadata: {name: small, namespace: lakeside}
spec:
  seats: 10
  timeZone: Europe/Stockholm
  unitRegistry: {type: Inline, units: [{code: "10983605", name: "Norra skolan"}]}
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "pools.yaml"
    path.write_text(POOL)
    return path


def test_the_register_of_a_pool_and_the_mail_server_are_asked(
    homeroom: Homeroom, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = tmp_path / "smtp"
    with serving(Register(units=[Unit(code="10983605", name="Norra skolan")])) as register, mail_server() as server:
        monkeypatch.setattr(connect, "REGISTER", register.url)
        url.write_text(f"smtp+plain://127.0.0.1:{server.port}")
        mail = ("--smtp-url-file", url, "--mail-from", "homeroom@district.example")
        said = homeroom("check", "-f", tree, "--allow-loopback", *mail)
    assert [" ".join(line.split()) for line in said.out.splitlines()[1:]] == [
        "licensepool/plus register ok school units that it lists of municipality 1285: 1",
        f"mail mail server ok 127.0.0.1:{server.port} answers",
    ]
    assert said.code == 0
    assert not server.mails


def test_a_register_and_a_mail_server_that_are_away_are_named(
    homeroom: Homeroom, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Register()) as register, mail_server() as server:
        pass
    monkeypatch.setattr(connect, "REGISTER", register.url)
    url = tmp_path / "smtp"
    url.write_text(f"smtp+plain://127.0.0.1:{server.port}")
    mail = ("--smtp-url-file", url, "--mail-from", "homeroom@district.example")
    said = homeroom("check", "-f", tree, "--allow-loopback", *mail)
    assert said.code == 1
    assert [line.split()[:3] for line in said.out.splitlines()[1:]] == [
        ["licensepool/plus", "register", "FAILS"],
        ["mail", "mail", "server"],
    ]
    assert "no mail can be sent by 127.0.0.1" in said.out


def test_units_that_are_declared_are_nobodys_to_ask(homeroom: Homeroom, tree: Path) -> None:
    said = homeroom("check", "-f", tree, "licensepool/small")
    assert said.code == 0
    assert "nobody is asked" in said.out


PLATFORM = """
apiVersion: homeroom.dev/v1alpha1
kind: ChatPlatform
metadata: {name: matrix, namespace: lakeside}
spec:
  matrix: {homeserver: "URL", serverName: school.example, secretRef: {name: matrix}}
  identity: {type: UserIds, userIdType: Matrix}
"""


def test_a_chat_server_is_tried_like_everything_else(homeroom: Homeroom, tmp_path: Path) -> None:
    with serving(Register()) as gone:
        url = gone.url  # nobody listens there any more
    tree, secret = tmp_path / "platform.yaml", tmp_path / "matrix.yaml"
    tree.write_text(PLATFORM.replace("URL", url))
    secret.write_text("accessToken: syt_x")
    for which in ([], ["chatplatform/matrix"], ["cplat/matrix"]):
        said = homeroom("check", "-f", tree, "--secret", f"matrix={secret}", *which)
        assert said.code == 1
        assert [line.split()[:3] for line in said.out.splitlines()[1:]] == [
            ["chatplatform/matrix", "name", "resolution"],
            ["chatplatform/matrix", "server", "FAILS"],
        ]
    secret.write_text("password: x")
    said = homeroom("check", "-f", tree, "--secret", f"matrix={secret}")
    assert said.code == 1
    assert "the Secret lacks accessToken" in said.out


def test_the_way_to_each_supplement_is_tried(homeroom: Homeroom, tmp_path: Path) -> None:
    tree, files = tmp_path / "district.yaml", tmp_path / "files" / "lakeside"
    (files / "january").mkdir(parents=True)
    tree.write_text(
        """
apiVersion: homeroom.dev/v1alpha1
kind: District
metadata: {name: lakeside, namespace: lakeside}
spec:
  timeZone: Europe/Amsterdam
  source: {oneRosterCSV: {url: "file:january"}}
  supplements:
    - {name: january, oneRosterCSV: {url: "file:january"}, interval: 15m, allow: [Links]}
    - {name: june, oneRosterCSV: {url: "file:june"}, interval: 15m, allow: [Links]}
"""
    )
    said = homeroom("check", "-f", tree, "--file-root", tmp_path / "files")
    assert said.code == 1
    assert [line.split()[:4] for line in said.out.splitlines()[1:]] == [
        ["district/lakeside", "file", "ok", "the"],
        ["district/lakeside", "january:", "file", "ok"],
        ["district/lakeside", "june:", "file", "FAILS"],
    ]

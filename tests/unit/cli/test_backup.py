"""`backup` and `restore`: one file that only its owner can read, and a store made of it."""

from __future__ import annotations

import io
import json
import stat
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from .conftest import Homeroom


def journal(homeroom: Homeroom, data: Path) -> list[dict[str, str]]:
    said = homeroom("history", "-n", "lakeside", "-o", "json", "--data", data)
    rows: list[dict[str, str]] = json.loads(said.out)
    return rows


def test_what_was_backed_up_is_restored_where_nothing_is(homeroom: Homeroom, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.zip"
    file.write_text("last night's")
    file.chmod(0o644)
    said = homeroom("backup", file)
    assert (said.code, said.err) == (0, "")
    assert said.out == f"{file}: 4 rows of 20 tables\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    new = tmp_path / "new"
    said = homeroom("restore", file, "--data", new)
    assert (said.code, said.out.startswith("restored: 4 rows of ")) == (0, True)
    assert len(journal(homeroom, new)) == 2
    assert journal(homeroom, new) == journal(homeroom, data)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "new", "backup.zip"}


def test_a_store_in_use_is_not_restored_into(homeroom: Homeroom, data: Path, tmp_path: Path) -> None:
    before = journal(homeroom, data)
    assert homeroom("backup", tmp_path / "backup.zip").code == 0
    said = homeroom("restore", tmp_path / "backup.zip")
    assert (said.code, "this store is in use" in said.err) == (1, True)
    assert journal(homeroom, data) == before


def test_no_store_no_file(homeroom: Homeroom, tmp_path: Path) -> None:
    said = homeroom("backup", tmp_path / "backup.zip")
    assert (said.code, "there is no store at" in said.err) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_back_up_is_refused(homeroom: Homeroom, tmp_path: Path) -> None:
    (tmp_path / "photo.zip").write_bytes(b"PK")
    said = homeroom("restore", tmp_path / "photo.zip", "--data", tmp_path / "new")
    assert (said.code, "no back-up of Homeroom" in said.err) == (1, True)


@pytest.mark.usefixtures("data")
def test_it_can_go_through_a_pipe(homeroom: Homeroom, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=pipe))
    assert homeroom("backup", "-").code == 0
    assert zipfile.ZipFile(pipe).testzip() is None

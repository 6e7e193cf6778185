"""`homeroom units` finds the code that a licence names, and says so when it cannot."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from io import StringIO

import pytest
from tests.skolverket import HEADMASTER, Register, Unit, serving

from .conftest import Homeroom, Said

Units = Callable[..., Said]


@pytest.fixture
def register() -> Iterator[Register]:
    units = [
        Unit(code="01098360", name="Sparvkullens skola"),
        Unit(code="10983605", name="Utterbäckens skola", status="VILANDE"),
        Unit(code="30983605", name="Gamla skolan, Öster", status="UPPHORT"),
        Unit(code="40983605", name="Norra skolan", municipality="0180"),
    ]
    with serving(Register(units=units)) as register:
        yield register


@pytest.fixture
def units(homeroom: Homeroom, register: Register, monkeypatch: pytest.MonkeyPatch) -> Units:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def run(*arguments: object) -> Said:
        return homeroom("units", *arguments, "--url", register.url, "--allow-loopback")

    return run


def test_units_of_a_municipality_are_listed(units: Units) -> None:
    said = units("-m", "1285")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "CODE       NAME                  STATUS    MUNICIPALITY",
        "30983605   Gamla skolan, Öster   Closed    1285",
        "01098360   Sparvkullens skola    Active    1285",
        "10983605   Utterbäckens skola    Dormant   1285",
    ]


@pytest.mark.parametrize("text", ["UTTERBACK", "utterbäckens", "1098360 skola utter"])
def test_a_unit_is_found_however_it_is_written(units: Units, text: str) -> None:
    said = units("-m", "1285", text, "-o", "json")
    assert json.loads(said.out) == [
        {"code": "10983605", "name": "Utterbäckens skola", "status": "Dormant", "municipality": "1285"}
    ]


def test_a_spreadsheet_gets_columns(units: Units) -> None:
    said = units("oster", "-m", "1285", "-o", "csv")
    assert list(csv.reader(StringIO(said.out))) == [
        ["code", "name", "status", "municipality"],
        ["30983605", "Gamla skolan, Öster", "Closed", "1285"],
    ]


def test_the_whole_country_is_searched_without_a_municipality(units: Units, register: Register) -> None:
    assert [unit["code"] for unit in json.loads(units("norra", "-o", "json").out)] == ["40983605"]
    assert len(register.lists) == 1
    units("sparv")
    assert len(register.lists) == 1
    units("sparv", "--fresh")
    assert len(register.lists) == 2


@pytest.mark.parametrize("version", [1, 2])
def test_a_whole_code_tells_who_runs_the_unit_and_whom_it_teaches(
    units: Units, register: Register, version: int
) -> None:
    said = units("40983605", "--api", version)
    types = "FKLASS, GR 1 2 3" if version == 2 else "Grundskola 1 2"
    assert said.out.splitlines() == [
        "CODE       NAME           STATUS   MUNICIPALITY",
        "40983605   Norra skolan   Active   0180",
        "",
        "run by:  Lakeside kommun (2120000951)",
        f"teaches: {types}",
    ]
    (unit,) = json.loads(units("40983605", "--api", version, "-o", "json").out)
    assert (unit["organizer"], unit["organizationNumber"]) == ("Lakeside kommun", "2120000951")
    assert HEADMASTER not in said.out + json.dumps(unit)
    assert register.lists == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["falkkullen", "-m", "1285"], "no school unit 'falkkullen' of municipality 1285"),
        (["99999999"], "no school unit '99999999'"),
        (["falk", "-o", "csv"], "no school unit 'falk'"),
    ],
)
def test_nothing_found_is_said(units: Units, arguments: list[str], words: str) -> None:
    said = units(*arguments)
    assert said.code == 1
    assert f"error: the register has {words}: try less of the name." in said.err
    assert said.out in {"", "code,name,status,municipality\n"}


def test_an_old_list_is_told(units: Units, register: Register) -> None:
    units()
    register.versions = {1: 503, 2: 503}
    said = units("sparv", "--fresh")
    assert said.code == 0
    assert "01098360" in said.out
    assert said.err.startswith("warning: the register of school units: the source answers with status 503; ")
    assert said.err.endswith("; its list of 2026-11-21 is used\n")


def test_no_answer_is_an_error(units: Units, register: Register) -> None:
    register.versions = {1: 503, 2: 503}
    said = units()
    assert (said.code, said.out) == (1, "")
    assert "error: the register of school units: the source answers with status 503" in said.err


@pytest.mark.parametrize("code", ["128", "12850", "128a", "١٢٨٥"])
def test_a_municipality_has_four_digits(units: Units, code: str) -> None:
    said = units("-m", code)
    assert (said.code, said.out) == (1, "")
    assert "--municipality must be a code of four digits" in said.err

"""The two wire formats of Skolverket's register say the same, and what cannot be used sets aside itself only."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.skolverket import STATUSES, Unit

from homeroom.errors import TransientError
from homeroom.seats.units import UNIT_SCHEMA
from homeroom.sources.skolverket_answers import read_list, read_unit

units = st.lists(
    st.builds(
        Unit,
        code=st.from_regex(r"[0-9]{8}", fullmatch=True),
        name=st.text(),
        status=st.sampled_from(list(STATUSES)),
        municipality=st.from_regex(r"[0-9]{4}", fullmatch=True),
    ),
    unique_by=lambda unit: unit.code,
)


def version_1(*rows: object) -> bytes:
    return json.dumps({"Uttagsdatum": "2026-11-21T00:00:00", "Skolenheter": rows}).encode()


def version_2(*rows: object) -> bytes:
    return json.dumps({"meta": {"extractDate": "2026-11-21"}, "data": {"attributes": rows}}).encode("utf-8-sig")


@given(units)
def test_both_versions_give_the_same_table(given_units: list[Unit]) -> None:
    first = read_list(version_1(*(unit.row(1) for unit in given_units)))
    second = read_list(version_2(*(unit.row(2) for unit in given_units)))
    assert first.units.schema == second.units.schema == UNIT_SCHEMA
    assert first.units.drop("municipality").equals(second.units.drop("municipality"))
    assert first.units["code"].to_list() == sorted(unit.code for unit in given_units)
    assert dict(first.units.select("code", "municipality").iter_rows()) == {
        unit.code: unit.municipality for unit in given_units
    }
    assert second.units["municipality"].null_count() == len(given_units)
    assert first.extracted == second.extracted
    assert str(first.extracted) == "2026-11-21"
    assert all(len(name) <= 255 and name.isprintable() and name for name in first.units["name"])


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("AKTIV", "Active"),
        ("Aktiv", "Active"),
        ("VILANDE", "Dormant"),
        ("Vilande", "Dormant"),
        ("PLANERAD", "Planned"),
        ("Planerad", "Planned"),
        ("UPPHORT", "Closed"),
        ("Upphört", "Closed"),
        ("UPPHO\u0308RT", "Closed"),
    ],
)
def test_every_word_for_a_status_is_known(word: str, status: str) -> None:
    found = read_list(version_2({"schoolUnitCode": "01098360", "name": "x", "status": word}))
    assert found.units["status"].to_list() == [status]


@pytest.mark.parametrize(
    ("row", "unclear"),
    [
        ({"schoolUnitCode": "01098361", "name": "x", "status": "SOVANDE"}, {"01098361"}),
        ({"schoolUnitCode": "01098361", "name": "x"}, {"01098361"}),
        ({"schoolUnitCode": 1098361, "name": "x", "status": "AKTIV"}, set()),
        ({"schoolUnitCode": "1098361", "name": "x", "status": "AKTIV"}, set()),
        ({"schoolUnitCode": "٠١٠٩٨٣٦١", "name": "x", "status": "AKTIV"}, set()),
        ({"name": "x", "status": "AKTIV"}, set()),
        ("01098361", set()),
        (None, set()),
    ],
)
def test_a_row_that_cannot_be_used_is_set_aside(row: Any, unclear: set[str]) -> None:
    found = read_list(version_2(row, {"schoolUnitCode": "01098360", "name": "Skola", "status": "AKTIV"}))
    assert found.units.rows() == [("01098360", "Skola", "Active", None)]
    assert found.unclear == unclear


def test_a_code_that_comes_twice_counts_once() -> None:
    row = {"schoolUnitCode": "01098360", "name": "Skola", "status": "AKTIV"}
    assert read_list(version_2(row, {**row, "name": "Another"}, {**row, "status": "?"})).units.rows() == [
        ("01098360", "Skola", "Active", None)
    ]


@pytest.mark.parametrize("day", [None, "", "yesterday", 20261121, "2026-13-01"])
def test_a_list_without_its_day_is_a_list(day: object) -> None:
    row = {"schoolUnitCode": "01098360", "name": None, "status": "AKTIV"}
    found = read_list(json.dumps({"meta": {"extractDate": day}, "data": {"attributes": [row]}}).encode())
    assert found.extracted is None
    assert found.units["name"].to_list() == ["01098360"]


@pytest.mark.parametrize("number", ["2120000951", "212000-0951", "162120000951"])
@pytest.mark.parametrize("word", ["organizer", "organization"])
def test_the_number_of_an_organizer_has_ten_digits(number: str, word: str) -> None:
    document = Unit(code="01098360", name="Skola").detail(2)
    document["included"] |= {"type": word, "organizationNumber": number}
    assert read_unit(json.dumps(document).encode()).organization_number == "2120000951"


def test_a_unit_of_which_little_is_told_is_a_unit() -> None:
    document = {"data": {"schoolUnitCode": "01098360", "attributes": {"displayName": "Skola", "status": "AKTIV"}}}
    found = read_unit(json.dumps(document).encode())
    assert (found.organizer, found.organization_number, found.school_types) == (None, None, {})


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b'{"data": {"schoolUnitCode": "01098360", "attributes": {}}}'])
def test_another_answer_is_no_unit(body: bytes) -> None:
    with pytest.raises(TransientError) as caught:
        read_unit(body)
    assert caught.value.reason == "SourceInvalid"

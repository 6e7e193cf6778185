"""Skolverket's register: asked once a day, believed only as far as it can be, served as it was while it is away."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.skolverket import HEADMASTER, Register, Unit, serving

from homeroom.api import Reason, RegisterVersion, UnitStatus
from homeroom.errors import HomeroomError, IncompleteReadError, InvalidSpecError, RefusedError, TerminalError
from homeroom.seats.units import UNIT_SCHEMA, SchoolUnit, UnitList, resolve
from homeroom.sources.download import Addresses
from homeroom.sources.skolverket import Skolverket
from homeroom.sources.skolverket_answers import UnitDetail

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SPARROW = Unit(code="01098360", name="Sparvkullens skola")
OTTER = Unit(code="10983605", name="Utterbäckens skola", status="VILANDE")
PLANNED = Unit(code="20983605", name="Nya skolan", status="PLANERAD")
CLOSED = Unit(code="30983605", name="Gamla skolan", status="UPPHORT")
ELSEWHERE = Unit(code="40983605", name="Norra skolan", municipality="0180")
HERE = (SPARROW, OTTER, PLANNED, CLOSED)


TLS = ssl.create_default_context()
"""For all tests: to load the authorities of this machine takes 25 ms."""


@pytest.fixture
def register() -> Iterator[Register]:
    with serving(Register(units=(*HERE, ELSEWHERE))) as register:
        yield register


@pytest.fixture
def client(register: Register, tmp_path: Path) -> Skolverket:
    """One that reads the units of municipality 1285."""
    return Skolverket(
        directory=tmp_path / "kept",
        url=register.url,
        municipality="1285",
        tls=TLS,
        addresses=Addresses(allow_local=True),
    )


def states(units: UnitList) -> dict[str, str]:
    """Code -> status."""
    assert units.units.schema == UNIT_SCHEMA
    return dict(units.units.select("code", "status").iter_rows())


EVERYTHING = {"01098360": "Active", "10983605": "Dormant", "20983605": "Planned", "30983605": "Closed"}

# ---------------------------------------------------------------------------------------------------------------------
# The list


@pytest.mark.parametrize("version", [None, RegisterVersion.V1, RegisterVersion.V2])
async def test_all_units_of_the_municipality_are_read(client: Skolverket, version: RegisterVersion | None) -> None:
    found = await replace(client, version=version).read(now=NOW)
    assert states(found) == EVERYTHING
    assert (found.as_of, found.trouble) == (date(2026, 11, 21), None)
    assert resolve("01098360", found.units) == SchoolUnit(
        code="01098360", name="Sparvkullens skola", status=UnitStatus.ACTIVE, municipality="1285"
    )
    assert resolve("40983605", found.units) is Reason.SCHOOL_UNIT_UNKNOWN


async def test_without_a_municipality_the_whole_country_is_read(client: Skolverket, register: Register) -> None:
    found = await replace(client, municipality=None).read(now=NOW)
    assert states(found) == EVERYTHING | {"40983605": "Active"}
    assert register.details == []


@pytest.mark.parametrize("status", [404, 410])
async def test_version_1_takes_over_where_version_2_is_gone(
    client: Skolverket, register: Register, status: int
) -> None:
    register.versions = {1: 200, 2: status}
    assert states(await client.read(now=NOW)) == EVERYTHING
    with pytest.raises(HomeroomError, match=rf"register of school units: .* {status}"):
        await replace(client, version=RegisterVersion.V2).read(now=NOW)


@pytest.mark.parametrize("units", [(*HERE, ELSEWHERE), (SPARROW, ELSEWHERE)])
async def test_a_register_that_does_not_filter_is_noticed(
    client: Skolverket, register: Register, units: tuple[Unit, ...]
) -> None:
    """Version 2 does not tell where a unit is, version 1 does."""
    far_away = [Unit(code=f"5{number:07d}", name="Söderskolan", municipality="0180") for number in range(50)]
    register.units, register.filters = (*units, *far_away), False
    assert states(await client.read(now=NOW)) == {unit.code: EVERYTHING[unit.code] for unit in units[:-1]}
    with pytest.raises(TerminalError, match="leave the municipality out, or ask version 1") as caught:
        await replace(client, version=RegisterVersion.V2).read(now=NOW)
    assert caught.value.reason == Reason.SOURCE_INVALID
    register.versions = {1: 404, 2: 200}
    with pytest.raises(TerminalError, match="leave the municipality out"):
        await replace(client, directory=client.directory / "new").read(now=NOW)


async def test_a_big_list_comes_in_one_answer(client: Skolverket, register: Register) -> None:
    register.units = [Unit(code=f"{number:08d}", name=f"Skola {number}") for number in range(6000)]
    found = await client.read(now=NOW)
    assert found.units.height == 6000
    assert found.units["code"].is_sorted()
    assert len(register.lists) == 1
    assert len(register.details) <= 4


# ---------------------------------------------------------------------------------------------------------------------
# Once a day


async def test_it_is_asked_once_a_day(client: Skolverket, register: Register) -> None:
    first = await client.read(now=NOW)
    register.units = [replace(SPARROW, name="Falkkullens skola"), *HERE[1:]]
    assert (await client.read(now=NOW + DAY - HOUR)).units.equals(first.units)
    assert len(register.lists) == 1
    assert (await client.read(now=NOW + DAY)).units["name"][0] == "Falkkullens skola"
    assert len(register.lists) == 2
    await client.read(now=NOW)  # the clock went back
    assert len(register.lists) == 3


async def test_whoever_asks_for_a_fresh_list_gets_it(client: Skolverket, register: Register) -> None:
    await client.read(now=NOW)
    await client.read(now=NOW, fresh=True)
    assert len(register.lists) == 2


async def test_a_list_that_did_not_change_is_not_sent_again(client: Skolverket, register: Register) -> None:
    register.etag = '"one"'
    await client.read(now=NOW)
    register.units = ()  # would be seen, were it sent
    found = await client.read(now=NOW + DAY)
    assert (states(found), found.trouble) == (EVERYTHING, None)
    assert len(register.lists) == 2


async def test_of_the_whole_country_only_what_was_modified_is_read_for_a_week(
    client: Skolverket, register: Register
) -> None:
    whole = replace(client, municipality=None)
    await whole.read(now=NOW)
    register.units = [replace(SPARROW, status="UPPHORT", modified="2026-11-20"), *HERE[1:]]
    assert states(await whole.read(now=NOW + DAY))["01098360"] == "Closed"
    assert "meta_modified_after=2026-11-19" in register.lists[-1]
    assert "40983605" in states(await whole.read(now=NOW + 6 * DAY))
    assert "40983605" not in states(await whole.read(now=NOW + 7 * DAY))
    assert "meta_modified_after" not in register.lists[-1]


async def test_what_is_kept_of_one_register_is_not_taken_for_another(client: Skolverket, register: Register) -> None:
    await client.read(now=NOW)
    other = await replace(client, municipality="0180").read(now=NOW)
    assert states(other) == {"40983605": "Active"}
    assert states(await client.read(now=NOW)) == EVERYTHING
    assert len(register.lists) == 2


async def test_a_damaged_file_is_read_anew(client: Skolverket, tmp_path: Path) -> None:
    await client.read(now=NOW)
    (file,) = (tmp_path / "kept").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert states(await client.read(now=NOW)) == EVERYTHING


async def test_a_disk_that_takes_nothing_costs_a_question(
    client: Skolverket, register: Register, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("no folder")
    assert states(await client.read(now=NOW)) == EVERYTHING
    assert states(await client.read(now=NOW)) == EVERYTHING
    assert len(register.lists) == 2


# ---------------------------------------------------------------------------------------------------------------------
# No answer, and none that can be believed


@pytest.mark.parametrize("status", [401, 403, 404, 410, 429, 500, 503])
async def test_without_an_answer_the_last_list_is_served_and_says_so(
    client: Skolverket, register: Register, status: int
) -> None:
    await client.read(now=NOW)
    register.versions = {1: status, 2: status}
    found = await client.read(now=NOW + 3 * DAY)
    assert (states(found), found.as_of) == (EVERYTHING, date(2026, 11, 21))
    assert found.trouble is not None
    assert str(status) in found.trouble
    assert found.told == f"{found.trouble}; its list of 2026-11-21 is used"


async def test_who_never_had_an_answer_has_no_list(client: Skolverket, register: Register) -> None:
    register.versions = {1: 503, 2: 503}
    with pytest.raises(HomeroomError, match=r"register of school units: .* 503") as caught:
        await client.read(now=NOW)
    assert caught.value.reason == Reason.SOURCE_UNAVAILABLE


async def test_a_register_that_is_away_is_asked_again_every_hour(client: Skolverket, register: Register) -> None:
    await client.read(now=NOW)
    register.versions = {1: 503, 2: 503}
    await client.read(now=NOW + DAY)
    register.versions = {1: 200, 2: 200}
    assert (await client.read(now=NOW + DAY + HOUR / 2)).trouble is not None
    assert len(register.lists) == 2
    found = await client.read(now=NOW + DAY + HOUR)
    assert (found.trouble, found.told) == (None, None)
    assert len(register.lists) == 3


@pytest.mark.parametrize(
    "body",
    [
        b"<!doctype html><title>Maintenance</title>",
        b"",
        b"null",
        b"[]",
        b'{"data": {}}',
        b'{"data": {"attributes": [{"schoolUnitCode": 1098360, "name": "A number", "status": "AKTIV"}]}}',
        b'{"data": {"attributes": [null, 5, "x"]}}',
        b'{"data": {"attributes": []}}',
        b'{"Skolenheter": [{"Skolenhetskod": "1098360", "Status": "Aktiv"}]}',
        b"[" * 100_000,
        b'{"data": "\xff"}',
    ],
    ids=[
        "html",
        "empty",
        "null",
        "array",
        "nothing",
        "number",
        "no rows",
        "no units",
        "short code",
        "deep",
        "encoding",
    ],
)
async def test_wrong_content_changes_nothing(client: Skolverket, register: Register, body: bytes) -> None:
    await client.read(now=NOW)
    register.wrong = body
    found = await client.read(now=NOW + DAY)
    assert states(found) == EVERYTHING
    assert found.trouble is not None
    with pytest.raises(HomeroomError, match="the register of school units: ") as caught:
        await replace(client, version=RegisterVersion.V2).read(now=NOW)
    assert caught.value.reason in {Reason.SOURCE_INVALID, Reason.SOURCE_INCOMPLETE}


async def test_a_list_that_lost_most_of_its_units_is_not_believed(client: Skolverket, register: Register) -> None:
    await client.read(now=NOW)
    register.units = [OTTER]
    found = await client.read(now=NOW + DAY)
    assert states(found) == EVERYTHING
    assert "it lists 1 units, and 4 before" in str(found.trouble)
    assert states(await client.read(now=NOW + DAY, fresh=True)) == {"10983605": "Dormant"}


async def test_a_municipality_without_units_is_a_wrong_code(client: Skolverket) -> None:
    with pytest.raises(IncompleteReadError, match="no school unit of municipality 9999; check that code"):
        await replace(client, municipality="9999").read(now=NOW)


async def test_a_unit_whose_status_is_unheard_of_is_what_it_was(client: Skolverket, register: Register) -> None:
    await client.read(now=NOW)
    rows = ", ".join(
        f'{{"schoolUnitCode": "{code}", "name": "x", "status": "{status}"}}'
        for code, status in [("01098360", "SOVANDE"), ("10983605", "AKTIV"), ("20983605", "AKTIV"), ("50983605", "?")]
    )
    register.wrong = f'{{"data": {{"attributes": [{rows}]}}}}'.encode()
    found = await client.read(now=NOW + DAY)
    assert states(found) == {"01098360": "Active", "10983605": "Active", "20983605": "Active"}


async def test_an_address_that_must_not_be_read_is_told_whatever_is_kept(client: Skolverket) -> None:
    await client.read(now=NOW)
    with pytest.raises((RefusedError, InvalidSpecError)):
        await replace(client, addresses=Addresses()).read(now=NOW + DAY)


async def test_the_proxy_is_the_way(client: Skolverket) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        through = replace(client, proxy=f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(HomeroomError, match="the proxy cannot be reached; check the declared `proxy`"):
            await through.read(now=NOW)


# ---------------------------------------------------------------------------------------------------------------------
# Units that licences name


async def test_a_unit_that_the_list_lacks_is_asked_for_by_itself(client: Skolverket, register: Register) -> None:
    register.lists_closed = False
    assert "30983605" not in states(await client.read(now=NOW))
    found = await client.read(now=NOW, wanted=["30983605", "01098360", "99999999", "40983605", "no code"])
    assert states(found) == EVERYTHING
    assert resolve("30983605", found.units) is Reason.SCHOOL_UNIT_CLOSED
    assert resolve("99999999", found.units) is Reason.SCHOOL_UNIT_UNKNOWN
    assert resolve("40983605", found.units) is Reason.SCHOOL_UNIT_UNKNOWN  # of another municipality
    asked = len(register.asked)
    await client.read(now=NOW + HOUR, wanted=["30983605", "99999999", "40983605"])
    assert len(register.asked) == asked
    register.units = [*register.units, Unit(code="99999999", name="Ny skola")]
    register.filters = True
    assert states(await client.read(now=NOW + DAY, wanted=["99999999"]))["99999999"] == "Active"


@pytest.mark.parametrize("versions", [{1: 200, 2: 200}, {1: 404, 2: 200}])
async def test_a_unit_that_left_the_register_is_closed(
    client: Skolverket, register: Register, versions: dict[int, int]
) -> None:
    register.versions = versions
    await client.read(now=NOW, wanted=["10983605"])
    register.units = [SPARROW, replace(OTTER, removed=True), PLANNED, CLOSED]
    for days in (1, 2):
        found = await client.read(now=NOW + days * DAY, wanted=["10983605"])
        assert found.units.row(by_predicate=pl.col("code") == "10983605") == (
            "10983605",
            "Utterbäckens skola",
            "Closed",
            "1285",
        )


async def test_a_unit_that_was_removed_before_anybody_asked_is_closed(client: Skolverket, register: Register) -> None:
    register.units = [SPARROW, replace(OTTER, removed=True)]
    found = await client.read(now=NOW, wanted=["10983605"])
    assert resolve("10983605", found.units) is Reason.SCHOOL_UNIT_CLOSED


@pytest.mark.parametrize("municipality", ["0180", ""])
async def test_a_unit_of_no_municipality_or_another_is_not_known(
    client: Skolverket, register: Register, municipality: str
) -> None:
    register.units = [*HERE, replace(ELSEWHERE, municipality=municipality)]
    found = await client.read(now=NOW, wanted=["40983605"])
    assert resolve("40983605", found.units) is Reason.SCHOOL_UNIT_UNKNOWN


async def test_what_was_said_last_is_told_without_asking(client: Skolverket, register: Register) -> None:
    assert await client.kept() is None
    read = await client.read(now=NOW)
    register.versions = {1: 503, 2: 503}
    kept = await client.kept()
    assert kept is not None
    assert kept.units.equals(read.units)
    assert (kept.as_of, kept.trouble) == (read.as_of, None)
    assert len(register.lists) == 1


async def test_an_answer_that_is_too_large_is_none(client: Skolverket, register: Register) -> None:
    register.wrong = b" " * (8 << 20) + b"{}"
    with pytest.raises(TerminalError, match="larger than 8388608 bytes"):
        await client.read(now=NOW)


async def test_a_unit_that_cannot_be_asked_for_is_what_it_was(client: Skolverket, register: Register) -> None:
    register.lists_closed = False
    await client.read(now=NOW, wanted=["30983605"])
    register.broken = frozenset({"30983605"})
    found = await client.read(now=NOW + DAY, wanted=["30983605"])
    assert states(found) == EVERYTHING
    assert "500" in str(found.trouble)
    register.broken = frozenset()
    assert (await client.read(now=NOW + DAY + HOUR, wanted=["30983605"])).trouble is None


async def test_a_unit_that_is_described_in_a_way_of_its_own_is_in_nobodys_way(
    client: Skolverket, register: Register
) -> None:
    register.units, register.lists_closed = [*HERE, Unit(code="50983605", name="x", status="UPPHORT")], False
    register.odd = frozenset({"01098360", "50983605"})
    found = await client.read(now=NOW, wanted=["50983605", "30983605"])
    assert (states(found), found.trouble) == (EVERYTHING, None)


async def test_a_register_that_fails_is_not_asked_for_all_the_others(client: Skolverket, register: Register) -> None:
    codes = [f"9{number:07d}" for number in range(50)]
    register.broken = frozenset(codes)
    await client.read(now=NOW)
    asked = len(register.asked)
    found = await client.read(now=NOW, wanted=codes)
    assert (states(found), found.trouble is None) == (EVERYTHING, False)
    assert len(register.asked) - asked <= 4


async def test_units_are_asked_for_a_few_at_a_time(client: Skolverket, register: Register) -> None:
    codes = [f"9{number:07d}" for number in range(105)]
    await client.read(now=NOW)
    register.asked.clear()
    await client.read(now=NOW, wanted=codes)
    assert len({path.rsplit("/", 1)[1] for path in register.details}) == 100
    await client.read(now=NOW, wanted=codes)
    assert {path.rsplit("/", 1)[1] for path in register.details} == set(codes)
    assert 1 <= register.most_at_once <= 4


# ---------------------------------------------------------------------------------------------------------------------
# One unit


@pytest.mark.parametrize(
    ("version", "types"),
    [(RegisterVersion.V2, {"FKLASS": [], "GR": ["1", "2", "3"]}), (RegisterVersion.V1, {"Grundskola": ["1", "2"]})],
)
async def test_a_unit_tells_who_runs_it_and_whom_it_teaches(
    client: Skolverket, version: RegisterVersion, types: dict[str, list[str]]
) -> None:
    found = await replace(client, version=version).unit("40983605")
    assert found == UnitDetail(
        unit=SchoolUnit(code="40983605", name="Norra skolan", status=UnitStatus.ACTIVE, municipality="0180"),
        organizer="Lakeside kommun",
        organization_number="2120000951",
        school_types=types,
    )
    assert HEADMASTER not in repr(found)


async def test_a_unit_that_is_not_known_is_none(client: Skolverket, register: Register) -> None:
    assert await client.unit("99999999") is None
    register.broken = frozenset({"99999999"})
    with pytest.raises(HomeroomError, match="the register of school units: the source answers with status 500"):
        await client.unit("99999999")

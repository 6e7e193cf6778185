"""Whole runs of a pool whose units are those of Skolverket's register, which a local server stands in for."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.skolverket import Register, Unit, serving
from tests.unit.reconcile.nights import Nights
from tests.unit.reconcile.test_licensepool import POOL, World

from homeroom.api.conditions import violations

ROWAN = Unit(code="01098360", name="Rönnbackens skola")
CLOSED = Unit(code="30983605", name="Gamla skolan", status="UPPHORT")
ELSEWHERE = Unit(code="40983605", name="Norra skolan", municipality="0180")
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def register(authority: trustme.CA) -> Iterator[Register]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with serving(Register(units=[ROWAN, CLOSED, ELSEWHERE]), tls=context) as register:
        yield register


def declared(register: Register, authority: trustme.CA, **more: Any) -> dict[str, Any]:
    bundle = authority.cert_pem.bytes().decode()
    return {"type": "Skolverket", "municipalityCode": "1285", "url": register.url, "caBundle": bundle, **more}


@pytest.fixture
async def world(first_reading: Nights, tmp_path: Path, register: Register, authority: trustme.CA) -> World:
    return await World.with_pool(tmp_path, first_reading, unitRegistry=declared(register, authority))


async def test_units_of_the_register_get_seats_and_no_others(world: World) -> None:
    """R6 to R8."""
    rowan = world.licence("rowan", 10, schoolUnit="01098360")
    refused = {
        world.licence("closed", 10, schoolUnit="30983605"): "SchoolUnitClosed",
        world.licence("elsewhere", 10, schoolUnit="40983605"): "SchoolUnitUnknown",
        world.licence("typo", 10, schoolUnit="01098361"): "SchoolUnitUnknown",
    }
    await world.run(POOL)
    assert world.granted(rowan)[:2] == ("Granted", 10)
    assert world.status(rowan)["unitName"] == "Rönnbackens skola"
    for key, reason in refused.items():
        assert world.granted(key) == (reason, 0, 0)
        assert world.said(key, "SchoolUnitResolved").endswith("; ask https://intranet.example")
    assert world.said(POOL, "UnitsFresh") == "RegisterRead: the register of school units was read"
    assert await world.again() == 0


async def test_another_day_with_nothing_new_writes_nothing(world: World, register: Register) -> None:
    world.licence("rowan", 10, schoolUnit="01098360")
    await world.run(POOL)
    register.extracted = "2026-11-22"
    world.now += DAY
    assert await world.again() == 0
    assert len(register.lists) == 2


async def test_a_register_that_is_away_is_told_once_and_takes_nothing_away(world: World, register: Register) -> None:
    rowan = world.licence("rowan", 10, schoolUnit="01098360")
    await world.run(POOL)
    register.versions = {1: 503, 2: 503}
    world.now += DAY
    await world.run(POOL)
    assert world.said(POOL, "UnitsFresh") == (
        "RegisterStale: the register of school units: the source answers with status 503; check the address, or wait "
        "until it is repaired; its list of 2026-11-21 is used"
    )
    assert world.granted(rowan)[:2] == ("Granted", 10)
    assert world.reason(POOL) == "Succeeded"
    late = world.licence("late", 10, schoolUnit="01098360", school="s-002")
    typo = world.licence("typo", 10, schoolUnit="01098361")
    await world.run(POOL)
    assert world.granted(late)[0] == "Granted"
    assert "its list of 2026-11-21 is used" in world.said(typo, "SchoolUnitResolved")
    for days in range(3):
        world.now += days * DAY
        assert await world.again() == 0
    register.versions = {1: 200, 2: 200}
    world.now += DAY
    await world.run(POOL)
    assert world.reason(POOL, "UnitsFresh") == "RegisterRead"


async def test_a_register_that_never_answered_gives_nothing_and_is_waited_for(
    first_reading: Nights, tmp_path: Path, register: Register, authority: trustme.CA
) -> None:
    register.versions = {1: 503, 2: 503}
    world = await World.with_pool(tmp_path, first_reading, unitRegistry=declared(register, authority))
    key = world.licence("rowan", 10, schoolUnit="01098360")
    await world.run(POOL)
    assert world.granted(key) == ("SchoolUnitUnknown", 0, 0)
    assert "status 503" in world.said(key)
    assert (world.reason(POOL), world.reason(POOL, "UnitsFresh")) == ("RegisterUnavailable", "RegisterUnavailable")
    assert violations(world.cluster.objects[POOL], final=False) == []
    register.versions = {1: 200, 2: 200}
    await world.run(POOL)
    assert (world.reason(POOL), world.reason(POOL, "UnitsFresh")) == ("Succeeded", "RegisterRead")
    assert world.granted(key)[0] == "Granted"


async def test_a_unit_that_closes_keeps_its_seats_and_gets_none(world: World, register: Register) -> None:
    key = world.licence("rowan", 10, schoolUnit="01098360")
    await world.run(POOL)
    register.units = [CLOSED, Unit(code="01098360", name="Rönnbackens skola", status="UPPHORT")]
    world.now += DAY
    world.declare(key, seats=20)
    await world.run(POOL)
    assert world.granted(key) == ("SchoolUnitClosed", 10, 10)


async def test_a_suspended_pool_asks_nobody(world: World, register: Register, tmp_path: Path) -> None:
    key = world.licence("rowan", 10, schoolUnit="01098360")
    await world.run(POOL)
    asked = len(register.asked)
    world.declare(POOL, suspend=True)
    world.now += 2 * DAY
    await world.run(POOL)
    assert world.granted(key) == ("PoolSuspended", 10, 10)
    assert len(register.asked) == asked
    for file in (tmp_path / "registers").rglob("*.parquet"):
        file.unlink()
    await world.run(POOL)
    assert world.granted(key) == ("SchoolUnitUnknown", 10, 10)
    assert "the pool is suspended" in world.said(key)


async def test_a_full_run_asks_the_register(world: World, register: Register) -> None:
    await world.run(POOL)
    lists = len(register.lists)
    meta = world.cluster.objects[POOL]["metadata"]
    annotations = {"homeroom.dev/full-reconcile-at": "2026-11-22T10:00:00Z"}
    world.cluster.objects[POOL]["metadata"] = {**meta, "annotations": annotations}
    await world.run(POOL)
    assert len(register.lists) == lists + 1


async def test_another_register_takes_the_condition_away(world: World) -> None:
    world.declare(POOL, unitRegistry={"type": "Inline", "units": [{"code": "01098360", "name": "Rowan Hill"}]})
    await world.run(POOL)
    assert world.said(POOL, "UnitsFresh") == ""


async def test_an_authority_that_is_not_declared_is_not_trusted(
    first_reading: Nights, tmp_path: Path, register: Register, authority: trustme.CA
) -> None:
    other = trustme.CA().cert_pem.bytes().decode()
    world = await World.with_pool(tmp_path, first_reading, unitRegistry=declared(register, authority, caBundle=other))
    assert "the certificate of the source is not trusted" in world.said(POOL)

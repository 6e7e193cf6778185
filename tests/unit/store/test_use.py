"""How seats are used: the last days of people, and the days of pools."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from homeroom.seats.usage import LOGINS_SCHEMA
from homeroom.store import LICENCE_DAYS_SCHEMA, Day, Store
from homeroom.store.use import _KEPT

APP = {"namespace": "n", "app": "a"}
POOL = {"namespace": "n", "pool": "p"}
FIRST = date(2026, 8, 1)


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    store = Store.open(url, tmp_path / "files")
    yield store
    store.close()


def logins(*people: str) -> pl.DataFrame:
    return pl.DataFrame([("n/d", person, FIRST, FIRST, True) for person in people], LOGINS_SCHEMA, orient="row")


def day(number: int, *, used: int = 3, active: int | None = 2) -> Day:
    columns = {name: kind for name, kind in LICENCE_DAYS_SCHEMA.items() if name != "day"}
    licences = pl.DataFrame([("n/l", 5, used, 4, active)], columns, orient="row")
    today = FIRST + timedelta(days=number)
    return Day(day=today, capacity=9, granted=5, used=used, demand=4, active=active, licences=licences)


def test_what_an_app_told_is_replaced_and_written_only_where_it_is_another(store: Store) -> None:
    assert store.use.activity(**APP).equals(logins())
    assert not store.use.save_activity(logins(), **APP, epoch=1)
    assert store.use.save_activity(logins("x", "y"), **APP, epoch=1)
    assert not store.use.save_activity(logins("x", "y"), **APP, epoch=1)
    assert store.use.activity(**APP).equals(logins("x", "y"))
    assert store.use.activity(namespace="m", app="a").is_empty()
    found = store.use.activity_of("x", namespace="n", district="d")
    assert found.rows() == [("a", FIRST, FIRST, True)]
    assert store.use.activity_of("x", namespace="n", district="e").is_empty()
    assert store.use.save_activity(logins(), **APP, epoch=1)
    assert store.use.activity(**APP).schema == LOGINS_SCHEMA


def test_a_day_is_overwritten_and_days_come_in_order(store: Store) -> None:
    assert [frame.height for frame in store.use.days(**POOL, since=date.min, until=date.max)] == [0, 0]
    for one in (day(1), day(0, active=None), day(1, used=4)):
        store.use.save_day(one, **POOL, epoch=1)
    store.use.save_day(day(1, used=9), namespace="n", pool="other", epoch=1)
    days, licences = store.use.days(**POOL, since=date.min, until=date.max)
    assert days.rows() == [(FIRST, 9, 5, 3, 4, None), (FIRST + timedelta(days=1), 9, 5, 4, 4, 2)]
    assert licences.rows() == [(FIRST, "n/l", 5, 3, 4, None), (FIRST + timedelta(days=1), "n/l", 5, 4, 4, 2)]
    days, _ = store.use.days(**POOL, since=FIRST, until=FIRST)
    assert days["day"].to_list() == [FIRST]


def test_a_day_that_stands_there_is_not_written_again(store: Store) -> None:
    store.use.save_day(day(1), **POOL, epoch=5)
    store.use.save_day(day(1), **POOL, epoch=4)  # as somebody who may not write any more


def test_the_newest_days_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _KEPT > 3 * 366
    monkeypatch.setattr("homeroom.store.use._KEPT", 3)
    for number in (0, 1, 2, 9):
        store.use.save_day(day(number), **POOL, epoch=1)
    days, _ = store.use.days(**POOL, since=date.min, until=date.max)
    assert days["day"].to_list() == [FIRST + timedelta(days=number) for number in (1, 2, 9)]

"""What is told of licences is written only where it is new; a ticket is good once, and for a while."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.unit.stores import open_store

from homeroom.store import DISTRICTS_SCHEMA, LICENCE_SCHEMA, LostLeadershipError, Purpose, Store, Ticket
from homeroom.store.forgetting import Owners, unconnect

NOW = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
POOL = {"namespace": "n", "pool": "p"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def licences(**granted: int) -> pl.DataFrame:
    rows = [("n", name, "d", "s-1", name.title(), seats, 0, 0) for name, seats in granted.items()]
    return pl.DataFrame(rows, LICENCE_SCHEMA, orient="row")


def ticket(teacher: str = "t-1", *, minutes: int = 60) -> Ticket:
    return Ticket(
        purpose=Purpose.CONNECT,
        namespace="n",
        district="d",
        teacher=teacher,
        key="1" * 64,
        expires_at=NOW + timedelta(minutes=minutes),
    )


def test_the_last_word_on_a_pool_counts(store: Store) -> None:
    store.web.tell(licences(north=10, south=20), **POOL, epoch=1)
    store.web.tell(licences(west=5), namespace="n", pool="other", epoch=1)
    store.web.tell(licences(north=12, east=3), **POOL, epoch=1)
    assert store.web.licences().select("licence", "granted").rows() == [("east", 3), ("north", 12), ("west", 5)]


def test_a_licence_may_come_to_another_pool(store: Store) -> None:
    store.web.tell(licences(north=10), **POOL, epoch=1)
    store.web.tell(licences(north=7), namespace="n", pool="other", epoch=1)
    store.web.tell(licences(), **POOL, epoch=1)
    assert store.web.licences()["granted"].to_list() == [7]


def test_nothing_new_writes_nothing(store: Store) -> None:
    store.web.tell(licences(north=10), **POOL, epoch=5)
    store.web.tell(licences(north=10), **POOL, epoch=4)  # else it would say that another leads
    with pytest.raises(LostLeadershipError):
        store.web.tell(licences(north=11), **POOL, epoch=4)
    assert store.web.licences()["granted"].to_list() == [10]


def test_a_ticket_is_taken_once_however_many_want_it(store: Store) -> None:
    store.web.issue(ticket(), digest="a" * 64, now=NOW)
    assert store.web.ticket("a" * 64, now=NOW) == ticket()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: store.web.take("a" * 64, now=NOW), range(16)))
    assert [one for one in found if one is not None] == [ticket()]
    assert store.web.ticket("a" * 64, now=NOW) is None


def test_a_ticket_ends_in_time_and_goes_with_the_next(store: Store) -> None:
    store.web.issue(ticket(minutes=10), digest="a" * 64, now=NOW)
    late = NOW + timedelta(minutes=10)
    assert store.web.ticket("a" * 64, now=late) is None
    assert store.web.take("a" * 64, now=late) is None
    store.web.issue(ticket(minutes=10), digest="b" * 64, now=NOW)
    store.web.issue(ticket(), digest="c" * 64, now=late)
    assert store.web.ticket("b" * 64, now=NOW) is None
    assert store.web.ticket("c" * 64, now=late) is not None


def test_who_is_forgotten_has_no_ticket(store: Store) -> None:
    for teacher, digest in (("t-1", "a"), ("t-2", "b")):
        store.web.issue(ticket(teacher), digest=digest, now=NOW)
    with store._engine.begin() as connection:
        unconnect(connection, Owners(namespace="n", district="d", apps=()), "t-1")
    assert store.web.ticket("a", now=NOW) is None
    assert store.web.ticket("b", now=NOW) is not None


def test_what_is_told_of_districts_is_written_where_it_is_new(store: Store) -> None:
    of = {"namespace": "n", "platform": "p"}
    both = pl.DataFrame([("a", "UTC", []), ("b", "Asia/Tokyo", ["t-1", "t-2"])], DISTRICTS_SCHEMA, orient="row")
    store.web.tell_districts(both, **of, epoch=2)
    assert store.web.districts(**of).equals(both)
    store.web.tell_districts(both, **of, epoch=1)  # nothing is new, so nobody has to lead
    with pytest.raises(LostLeadershipError):
        store.web.tell_districts(both.head(1), **of, epoch=1)
    store.web.tell_districts(both.tail(1), **of, epoch=2)
    assert store.web.districts(**of).equals(both.tail(1))
    assert store.web.districts(namespace="n", platform="q").is_empty()
    store.web.tell_districts(both.clear(), **of, epoch=2)
    assert store.web.districts(**of).is_empty()

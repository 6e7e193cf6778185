"""The store knows keys, connections and deliveries: no key lives twice, nobody is connected by a dead one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.stores import open_store

from homeroom.seats.keys import Connected, Delivery, Ended
from homeroom.store import LicenceName, LostLeadershipError, Store
from homeroom.store.forgetting import Owners, unconnect

NOW = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
NORTH, SOUTH = LicenceName("n", "north"), LicenceName("n", "south")
ONE, TWO, THREE = "1" * 64, "2" * 64, "3" * 64


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path)
    yield store
    store.close()


def take(store: Store, digest: str, licence: LicenceName = NORTH, *, at: datetime = NOW, epoch: int = 7) -> bool:
    return store.licences.find_key(digest, licence, at=at, epoch=epoch)


def connect(store: Store, digest: str, teacher: str = "t-1") -> LicenceName | None:
    return store.licences.connect(digest, district="d", teacher=teacher, how=Connected.KEY, at=NOW)


def connected(store: Store, **narrowed: str) -> list[tuple[str, str]]:
    return store.licences.connections(["n"], **narrowed).select("licence", "teacher").rows()


def note(store: Store, address: str, state: Delivery, digest: str = ONE, **other: object) -> bool:
    facts = {"licence": NORTH, "digest": digest, "declared": True, "at": NOW, "epoch": 7, **other}
    return store.licences.note_delivery(address, state, **facts)  # type: ignore[arg-type]  # facts of many types


def test_a_licence_has_one_key_and_a_revoked_one_never_lives_again(store: Store) -> None:
    assert take(store, ONE)
    assert take(store, ONE, at=LATER)  # the same one again: as it was
    assert store.licences.keys(["n"]).rows() == [("n", "north", ONE, NOW)]
    assert take(store, TWO)
    assert store.licences.by_key(ONE) is None
    assert store.licences.by_key(TWO) == NORTH
    assert not take(store, ONE)
    assert not take(store, TWO, SOUTH)  # alive, but another licence's
    assert take(store, THREE, SOUTH)
    assert store.licences.keys(["n"])["digest"].to_list() == [TWO, THREE]
    assert store.licences.keys(["elsewhere"]).is_empty()


def test_new_keys_revoke_the_old_ones_and_one_that_nobody_saw_is_forgotten(store: Store) -> None:
    store.licences.make_keys({NORTH: ONE, SOUTH: TWO}, at=NOW, epoch=7)
    store.licences.make_keys({NORTH: THREE}, at=LATER, epoch=7)
    assert store.licences.keys(["n"]).rows() == [("n", "north", THREE, LATER), ("n", "south", TWO, NOW)]
    assert not take(store, ONE)
    store.licences.unmake_keys([THREE], epoch=7)
    assert store.licences.keys(["n"])["licence"].to_list() == ["south"]
    assert take(store, THREE)


def test_a_key_that_is_older_than_the_store_went_to_the_contacts_of_then(store: Store) -> None:
    take(store, ONE)
    store.licences.make_keys({SOUTH: TWO}, at=NOW, epoch=7)
    for licence, digest in ((NORTH, ONE), (SOUTH, TWO)):
        store.licences.assume_delivered(["a@x.example"], licence=licence, digest=digest, epoch=7)
        store.licences.assume_delivered(["b@x.example"], licence=licence, digest=digest, epoch=7)
    both = ["a@x.example", "b@x.example"]
    assert store.licences.undelivered(both, licence=NORTH, digest=ONE) == ["b@x.example"]
    assert store.licences.undelivered(both, licence=SOUTH, digest=TWO) == both
    assert store.licences.deliveries(["n"]).rows() == [("n", "north", 0, 0, 0, None)]


def test_revoking_ends_keys_and_connections_of_these_licences_alone(store: Store) -> None:
    take(store, ONE)
    take(store, TWO, SOUTH)
    for digest in (ONE, TWO):
        assert connect(store, digest)
        assert connect(store, digest, "t-2")
    assert store.licences.revoke([NORTH], at=LATER, epoch=7) == 2
    assert store.licences.revoke([NORTH], at=LATER, epoch=7) == 0
    assert connected(store) == [("south", "t-1"), ("south", "t-2")]
    assert connect(store, ONE) is None
    assert not take(store, ONE)


def test_a_new_key_keeps_who_is_connected_and_lets_nobody_in_by_the_old_one(store: Store) -> None:
    take(store, ONE)
    connect(store, ONE)
    take(store, TWO)
    assert connect(store, ONE, "t-2") is None
    assert connect(store, TWO, "t-3") == NORTH
    assert connected(store) == [("north", "t-1"), ("north", "t-3")]


def test_a_teacher_is_connected_once_leaves_and_comes_back(store: Store) -> None:
    take(store, ONE)
    connect(store, ONE)
    connect(store, ONE)
    assert connected(store) == [("north", "t-1")]
    ends = {"district": "d", "teacher": "t-1", "at": LATER}
    assert store.licences.disconnect(NORTH, why=Ended.LEFT, by=None, **ends)  # type: ignore[arg-type]  # as above
    assert not store.licences.disconnect(NORTH, why=Ended.LEFT, by=None, **ends)  # type: ignore[arg-type]  # as above
    assert connected(store) == []
    connect(store, ONE)
    assert connected(store, teacher="t-1") == [("north", "t-1")]
    assert connected(store, teacher="t-2") == connected(store, district="other") == []


def test_many_who_connect_at_once_are_all_connected_once(store: Store) -> None:
    take(store, ONE)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: connect(store, ONE, f"t-{number % 4}"), range(24)))
    assert answers == [NORTH] * 24
    assert connected(store) == [("north", f"t-{number}") for number in range(4)]


def test_an_operator_that_leads_no_more_makes_no_keys_while_the_web_goes_on(store: Store) -> None:
    take(store, ONE, epoch=7)
    with pytest.raises(LostLeadershipError):
        take(store, TWO, epoch=6)
    with pytest.raises(LostLeadershipError):
        store.licences.revoke([NORTH], at=NOW, epoch=6)
    assert connect(store, ONE) == NORTH


def test_a_key_goes_to_an_address_once_whatever_is_asked(store: Store) -> None:
    take(store, ONE)

    def pending(digest: str = ONE) -> list[str]:
        return store.licences.undelivered(["b@x.example", "a@x.example"], licence=NORTH, digest=digest)

    assert pending() == ["a@x.example", "b@x.example"]
    assert note(store, "A@x.example ", Delivery.SENT)
    assert note(store, "b@x.example", Delivery.WAITING)
    assert pending() == ["b@x.example"]
    assert pending(TWO) == ["a@x.example", "b@x.example"]  # a new key goes to everybody again
    assert not note(store, "b@x.example", Delivery.WAITING, at=LATER)  # no news, so no new time
    assert store.licences.deliveries(["n"]).rows() == [("n", "north", 1, 0, 1, NOW)]
    assert note(store, "b@x.example", Delivery.SENT, at=LATER)
    assert store.licences.deliveries(["n"]).rows() == [("n", "north", 2, 0, 0, LATER)]
    assert note(store, "b@x.example", Delivery.SENT, at=LATER, declared=False, epoch=None)  # by hand, once more
    assert store.licences.deliveries(["n"]).rows() == [("n", "north", 2, 0, 0, LATER)]


def test_only_contacts_that_are_declared_count_as_refused(store: Store) -> None:
    take(store, ONE)
    note(store, "old@x.example", Delivery.REFUSED)
    note(store, "typed@x.example", Delivery.REFUSED, declared=False, epoch=None)
    assert store.licences.deliveries(["n"]).rows() == [("n", "north", 0, 1, 0, NOW)]
    declared = ["new@x.example"]
    assert store.licences.drop_undelivered(licence=NORTH, digest=ONE, declared=declared, epoch=7)
    assert not store.licences.drop_undelivered(licence=NORTH, digest=ONE, declared=declared, epoch=7)
    assert store.licences.deliveries(["n"])["refused"].to_list() == [0]
    take(store, TWO)
    assert store.licences.deliveries(["n"]).is_empty()  # of a dead key nobody wants to know


def test_no_address_and_no_key_can_be_read_in_the_file(store: Store, tmp_path: Path) -> None:
    take(store, ONE)
    note(store, "someone@x.example", Delivery.SENT)
    store.close()
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"someone" not in written
    assert ONE.encode() in written


def test_who_is_forgotten_is_connected_to_nothing_and_removed_nobody(store: Store) -> None:
    take(store, ONE)
    for teacher in ("t-1", "t-2"):
        connect(store, ONE, teacher)
    store.licences.disconnect(NORTH, district="d", teacher="t-2", why=Ended.REMOVED, by="t-1", at=LATER)
    held = store.licences.connections_of("t-2", namespace="n", district="d")
    assert held.rows() == [("north", NOW, "Key", LATER, "Removed")]
    with store._engine.begin() as connection:
        assert unconnect(connection, Owners(namespace="n", district="d", apps=[]), "t-1")
        assert not unconnect(connection, Owners(namespace="n", district="d", apps=[]), "t-1")
    assert connected(store) == []
    assert store.licences.connections_of("t-1", namespace="n", district="d").is_empty()

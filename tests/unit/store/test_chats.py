"""What had a reason in chats, as the store keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from tests.unit.chats.worlds import NOW, Nights, World, linked

from homeroom.plan import Change, Kind, Op, Outcome, Result
from homeroom.roster.owned import LEDGER_SCHEMA
from homeroom.store import LostLeadershipError, Store, StoredChats, journal_name
from homeroom.store.chats import NO_LEARNERS, NO_LINEAGE

POLICY = {"namespace": "n", "policy": "p"}


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    store = Store.open(url, tmp_path / "files")
    yield store
    store.close()


def stored(homeroom: str = "ann bob tom*") -> StoredChats:
    """After a night; somebody of an earlier one is kept."""
    nights = Nights()
    nights.night(World(homerooms={"7a": "ann bob eve tom*"}))
    nights.night(World(homerooms={"7a": homeroom}), dies=True)
    assert nights.baseline is not None
    assert not nights.baseline.kept.is_empty()
    lineage = NO_LINEAGE.clear().vstack(pl.DataFrame([("7a", "6a")], NO_LINEAGE.schema, orient="row"))
    return StoredChats(baseline=nights.baseline, rules="[1]", lineage=lineage, learners=NO_LEARNERS)


def test_a_baseline_comes_back_as_it_was_and_the_next_one_takes_its_place(store: Store, tmp_path: Path) -> None:
    assert store.chats.baseline(**POLICY) is None
    assert store.chats.known(**POLICY).is_empty()
    for each in (stored(), stored("ann tom*"), replace(stored(), rules="[2]")):
        store.chats.save_baseline(each, **POLICY, epoch=1)
        found = store.chats.baseline(**POLICY)
        assert found is not None
        assert found.equals(each)
        assert store.chats.known(**POLICY).equals(each.baseline.known)
    assert len(list((tmp_path / "files" / "chats" / "n" / "p").iterdir())) == 1, "old frames are still there"
    assert store.chats.baseline(namespace="n", policy="other") is None


def test_a_few_chats_are_read_as_the_whole_has_them(store: Store) -> None:
    nights = Nights()
    world = World(homerooms={"7a": "ann bob tom*", "7b": "eve kim ben*"}, parents={"pa": "ann"}, staff="tom ben ida!")
    nights.night(world, links=linked(world, without="kim"), dies=True)
    assert nights.baseline is not None
    one = StoredChats(baseline=nights.baseline, rules="[1]", lineage=NO_LINEAGE, learners=NO_LEARNERS)
    assert store.chats.around(**POLICY) is None
    store.chats.save_baseline(one, **POLICY, epoch=1)
    keys = dict(one.baseline.desired.chats.select("name", "key").iter_rows())
    for wanted, around in (
        ({"7a students", "7a parents", "Staff room - School s1"}, {"accounts": ["@tom"]}),
        ({"7a students", "7b students"}, {"accounts": ["@ann"], "person": "kim"}),
        ({"7b students"}, {"person": "kim"}),
        (set(keys), {"schools": ["s1"]}),
    ):
        found = store.chats.around(**POLICY, **around)
        assert found is not None
        assert set(found.baseline.desired.chats["name"]) == wanted
        assert found.baseline.equals(one.baseline.only(pl.Series([keys[name] for name in wanted], dtype=pl.String)))
    assert store.chats.around(**POLICY, accounts=["@nobody"], schools=["s9"]) is None


def test_which_extra_chats_are_about_somebody(store: Store) -> None:
    for policy, lead in (("p", "tom*"), ("Chat/b", "tom*"), ("Chat/c", "eve*")):
        nights = Nights()
        world = World(homerooms={"7a": f"ann {lead}"})
        nights.night(world, links=linked(world, without="ann"))
        assert nights.baseline is not None
        one = StoredChats(baseline=nights.baseline, rules="[1]", lineage=NO_LINEAGE, learners=NO_LEARNERS)
        store.chats.save_baseline(one, namespace="n", policy=policy, epoch=1)

    def about(*accounts: str, person: str = "") -> set[str]:
        return {*store.chats.extras_about(namespace="n", accounts=accounts, person=person)}

    assert about("@tom") == {"Chat/b"}
    assert about("@eve", "@nobody") == {"Chat/c"}
    assert about(person="ann") == {"Chat/b", "Chat/c"}
    assert about("@ann", person="tom") == set()  # who is not linked has no account, and who is lacks none
    store.chats.save_baseline(replace(one, rules="[2]"), namespace="n", policy="Chat/b", epoch=1)
    assert about("@eve") == {"Chat/b", "Chat/c"}
    assert about("@tom") == set()
    assert store.chats.extras(namespace="n") == {"Chat/b": "[2]", "Chat/c": "[1]"}
    assert store.chats.extras(namespace="other") == {}


def test_a_baseline_of_an_earlier_release_is_read(store: Store, tmp_path: Path) -> None:
    store.chats.save_baseline(stored(), **POLICY, epoch=1)
    (folder,) = (tmp_path / "files" / "chats" / "n" / "p").iterdir()
    (folder / "away.parquet").unlink()
    found = store.chats.baseline(**POLICY)
    assert found is not None
    assert found.equals(stored())


def test_what_differs_in_any_part_is_another_baseline() -> None:
    one = stored()
    assert one.equals(stored())
    assert not one.equals(replace(one, rules="[2]"))
    assert not one.equals(replace(one, lineage=NO_LINEAGE))
    assert not one.equals(replace(one, baseline=replace(one.baseline, first=not one.baseline.first)))


def test_who_lost_the_lead_writes_nothing(store: Store) -> None:
    store.chats.save_baseline(stored(), **POLICY, epoch=2)
    with pytest.raises(LostLeadershipError):
        store.chats.save_baseline(stored("ann tom*"), **POLICY, epoch=1)
    found = store.chats.baseline(**POLICY)
    assert found is not None
    assert found.equals(stored())


def test_a_policy_and_an_app_of_one_name_share_nothing(store: Store) -> None:
    school = pl.DataFrame([("School", "s-2", "s-2", "x", None)], LEDGER_SCHEMA, orient="row")
    store.own(school, namespace="n", app="p", epoch=1)
    change = Change(seq=0, op=Op.CREATE, kind=Kind.CHAT, school="s-1", key="hr-1")
    app = journal_name("ChatPolicy", "p")
    place = {"namespace": "n", "app": app, "at": NOW, "epoch": 1}
    batch = store.intend([change], run="r", generation=1, revision="", plan="", **place)  # type: ignore[arg-type] # four of its fields
    outcome = Outcome(seq=0, result=Result.APPLIED, external_id="!1")
    store.conclude(batch, [change], [outcome], **place)  # type: ignore[arg-type] # as above
    assert store.chats.rooms(**POLICY).rows() == [("s-1", "hr-1", "!1")]
    assert store.chats.baseline(**POLICY) is None
    assert store.known(namespace="n", app="p").schools == ["s-2"]
    assert store.apps(namespace="n") == ["p"]
    assert store.noted(kind="ChatPolicy", namespace="n", name="p").written == NOW
    assert store.noted(kind="LearningApp", namespace="n", name="p").written is None


def test_the_name_of_a_policy_in_the_journal_fits_however_long_it_is() -> None:
    long = "a" * 252
    names = {journal_name("ChatPolicy", name) for name in ("a", long + "b", long + "c")}
    assert len(names) == 3
    assert max(map(len, names)) <= 253
    assert journal_name("LearningApp", long) == long

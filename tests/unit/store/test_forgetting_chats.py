"""Who has left the chats can be forgotten, with every account of theirs, and nobody else is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.unit.chats.worlds import Nights, World, linked
from tests.unit.store.test_forgetting import ACCEPTED, NOW, everything, forget

from homeroom.chats.baseline import AWAY
from homeroom.chats.linking import CodeState, LinkedBy, Place
from homeroom.chats.records import LINKS_SCHEMA
from homeroom.chats.rollover import LEARNERS
from homeroom.plan import HELD_SCHEMA, Cause, Change, Guard, Hold, Kind, Op, Outcome, Result, Scope, State
from homeroom.store import Accepted, Forgotten, JournalQuery, StillThereError, Store, StoredChats, journal_name
from homeroom.store.chats import NO_LEARNERS, NO_LINEAGE
from homeroom.store.links import Visit

HERE = Place("n", "matrix", "d")
POLICY = {"namespace": "n", "policy": "p"}
APP = journal_name("ChatPolicy", "p")
CLASS = World(homerooms={"7a": "ann gone-kid tom*"}, parents={"gone": "ann"})


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    store = Store.open(url, tmp_path)
    accepted = Accepted(digest=ACCEPTED, accepted_at=NOW, validator=None, spec_digest="0")
    store.accept(accepted, namespace="n", district="d", epoch=1)
    yield store
    store.close()


def note(store: Store, *pairs: tuple[str, str], place: Place = HERE) -> None:
    """The records say whose account is whose."""
    given = pl.DataFrame(pairs, schema=LINKS_SCHEMA, orient="row")
    store.links.note(given, place=place, by=LinkedBy.RECORDS, at=NOW, epoch=1)


def remember(store: Store, *nights: World, learners: pl.DataFrame = NO_LEARNERS, dies: bool = False) -> None:
    """The baseline after some nights; `dies`: the last one was cut short."""
    each = Nights()
    for number, world in enumerate(nights):
        each.night(world, linked(CLASS), dies=dies and number == len(nights) - 1)
    assert each.baseline is not None
    stored = StoredChats(baseline=each.baseline, rules="{}", lineage=NO_LINEAGE, learners=learners)
    store.chats.save_baseline(stored, **POLICY, epoch=1)


def done(store: Store, account: str, op: Op, error: str | None = None) -> None:
    """One change of a membership."""
    change = Change(
        seq=0, op=op, kind=Kind.MEMBERSHIP, school="s1", key=account, class_key="hr-7a", cause=Cause.LEFT_SOURCE
    )
    place: dict[str, Any] = {"namespace": "n", "app": APP, "at": NOW, "epoch": 1}
    batch = store.intend([change], run="r", generation=1, revision="-", plan="p", **place)
    outcome = Outcome(seq=0, result=Result.FAILED if error else Result.APPLIED, error=error)
    store.conclude(batch, [change], [outcome], **place)


def held(store: Store, state: State) -> None:
    """A hold about two accounts."""
    rows = [
        {**dict.fromkeys(HELD_SCHEMA, ""), "kind": "Membership", "key": account, "class_key": "hr-7a", "op": "Remove"}
        for account in ("@gone", "@ann")
    ]
    hold = Hold(
        id="9f3c1a-7k2m",
        guard=Guard.DELETES,
        scope=Scope.SCHOOL,
        place="s1",
        since=NOW,
        published=NOW,
        rows=pl.DataFrame(rows, schema=HELD_SCHEMA),
        total=2,
        state=state,
    )
    store.save_holds([hold], before=[], namespace="n", kind="ChatPolicy", name="p", epoch=1)


def leave(store: Store, **more: Any) -> Forgotten:
    return forget(store, **{"managed": [APP], **more})


WITHOUT = World(homerooms={"7a": "ann gone-kid tom*"})


def test_nothing_that_is_stored_names_the_person_or_an_account_any_more(store: Store, url: str, tmp_path: Path) -> None:
    note(store, ("gone", "@gone"), ("ann", "@ann"))
    note(store, ("gone", "@gone"), ("ann", "@ann"), ("bob", "@gone"))  # a claim of somebody else
    done(store, "@gone", Op.CREATE)
    done(store, "@gone", Op.REMOVE, "@gone is not in the room")
    done(store, "@ann", Op.CREATE)
    held(store, State.USED)
    learners = pl.DataFrame([("7a", "s1", "gone"), ("7a", "s1", "ann")], LEARNERS, orient="row")
    remember(store, CLASS, WITHOUT, learners=learners)
    later = NOW + timedelta(days=9)
    store.links.issue({"gone": "1" * 64}, place=HERE, state=CodeState.PRINTED, expires_at=later, now=NOW)
    visit = Visit(place=HERE, language="English", expires_at=later, person="gone", code="1" * 64)
    store.links.begin(visit, digest="v", now=NOW)
    assert store.links.want_account("v", now=NOW)
    stored = store.chats.baseline(**POLICY)
    assert stored is not None
    away = pl.DataFrame([("hr-7a", "@gone", True)], AWAY, orient="row")
    stored = replace(stored, baseline=replace(stored.baseline, away=away))
    store.chats.save_baseline(stored, **POLICY, epoch=1)
    gone = re.compile(r"gone(?!-kid)")
    assert gone.search(everything(url, tmp_path))
    assert leave(store) == Forgotten(changes=2, accounts=0, baselines=1, snapshots=0)
    left = everything(url, tmp_path)
    assert [left[m.start() - 80 : m.end() + 40] for m in gone.finditer(left)] == []

    journal = store.history(JournalQuery(namespace="n", app=APP))
    assert journal["key"].n_unique() == 2
    (hold,) = store.holds(namespace="n", kind="ChatPolicy", name="p")
    token = hold.rows["key"][0]
    assert set(journal["key"]) == {token, "@ann"}
    assert hold.rows["key"].to_list() == [token, "@ann"]
    assert store.links.linked(HERE).rows() == [("ann", "@ann")]
    after = store.chats.baseline(**POLICY)
    assert after is not None
    assert after.learners.rows() == [("7a", "s1", "ann")]


def test_what_others_have_stays_as_it_was(store: Store) -> None:
    note(store, ("gone", "@gone"), ("ann", "@ann"))
    remember(store, CLASS, WITHOUT, dies=True)
    before = store.chats.baseline(**POLICY)
    assert before is not None
    kept = before.baseline.kept
    assert set(kept["key"]) == {"@gone"}
    assert leave(store, managed=[], abandoned=[APP]).baselines == 1
    after = store.chats.baseline(**POLICY)
    assert after is not None
    assert after.baseline.kept.is_empty()
    assert after.baseline.desired.equals(before.baseline.desired)
    assert after.baseline.known.equals(before.baseline.known)
    assert len(list((store.chats._folder("n", "p")).iterdir())) == 1


def test_who_is_in_a_chat_is_not_forgotten_and_nothing_is_written(store: Store) -> None:
    note(store, ("gone", "@gone"))
    done(store, "@gone", Op.CREATE)
    remember(store, CLASS)
    with pytest.raises(StillThereError, match=r"'gone' is in chats of ChatPolicy 'p' \(school s1\): first"):
        leave(store)
    remember(store, CLASS, WITHOUT, dies=True)
    with pytest.raises(StillThereError, match=r"'gone' is in chats of ChatPolicy 'p' \(school s1\): first"):
        leave(store)
    assert store.history(JournalQuery(namespace="n", person="@gone")).height == 1
    assert store.links.linked(HERE).height == 1
    remember(store, CLASS, WITHOUT)
    assert leave(store).changes == 1


def test_where_nobody_knows_who_is_in_the_chats_a_run_comes_first(store: Store) -> None:
    note(store, ("gone", "@gone"))
    done(store, "@gone", Op.CREATE)
    held(store, State.GONE)
    with pytest.raises(StillThereError, match=r"'gone' was in chats of ChatPolicy 'p', of which .*: wait for its next"):
        leave(store)


@pytest.mark.parametrize("state", [State.OPEN, State.APPROVED])
def test_who_is_in_a_hold_that_counts_is_not_forgotten(store: Store, state: State) -> None:
    note(store, ("gone", "@gone"))
    held(store, state)
    with pytest.raises(StillThereError, match="'gone' is in hold 9f3c1a-7k2m of ChatPolicy 'p'"):
        leave(store)


def test_an_account_that_is_somebody_elses_now_stays_theirs(store: Store) -> None:
    note(store, ("gone", "@both"))
    store.links.unlink(HERE, "gone", now=NOW)
    note(store, ("heir", "@both"))
    done(store, "@both", Op.CREATE)
    assert leave(store, managed=[], abandoned=[APP]).changes == 0
    assert store.links.linked(HERE).rows() == [("heir", "@both")]
    assert store.links.unlinked(HERE).is_empty()
    assert store.history(JournalQuery(namespace="n", person="@both")).height == 1


def test_the_same_account_in_another_district_or_of_a_policy_that_is_not_named_is_left_alone(store: Store) -> None:
    other = Place("n", "matrix", "elsewhere")
    note(store, ("gone", "@gone"))
    note(store, ("gone", "@gone"), place=other)
    done(store, "@gone", Op.CREATE)
    remember(store, CLASS)
    leave(store, managed=[])
    assert store.links.linked(other).rows() == [("gone", "@gone")]
    assert store.history(JournalQuery(namespace="n", person="@gone")).height == 1


def test_a_visit_that_named_the_account_is_over(store: Store) -> None:
    note(store, ("gone", "@gone"))
    visit = Visit(place=HERE, language="en", expires_at=NOW + timedelta(hours=1))
    store.links.begin(visit, digest="v" * 64, now=NOW)
    assert store.links.ask("v" * 64, "@gone", language="en", now=NOW)
    leave(store)
    assert store.links.visit("v" * 64, now=NOW) is None

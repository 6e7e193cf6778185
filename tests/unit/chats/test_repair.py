"""What is put right at once in a few chats, between two runs; and what a reading of some chats proves."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given
from tests.unit.chats.worlds import CAN, ROBOT, Nights, World, having, linked
from tests.unit.examples import examples

from homeroom.api import Deletion, Membership
from homeroom.chats import Allowed, Desired, Settings, State
from homeroom.chats.baseline import expected
from homeroom.chats.diff import diff
from homeroom.chats.repair import Decided
from homeroom.plan import CHANGE, Cause, Kind, Op, Plan

quick = examples(15)
SEVEN = World(
    homerooms={"7a": "ann bob tom*", "7b": "cid kim*"}, parents={"mum": "ann bob", "dad": "cid"}, staff="tom kim eve!"
)
A, B = "7a students", "7b students"


def decided(nights: Nights, **more: Collection[str]) -> Decided:
    assert nights.baseline is not None
    return Decided(baseline=nights.baseline, rules=nights.rules, links=linked(SEVEN), **more)


def repair(nights: Nights, *names: str, **more: Collection[str]) -> Plan:
    """Read the chats with these names, put right what is to be, and say what that was."""
    keys = {nights.server.room(name).name: key for key, name in key_of(nights).items()}
    actual = nights.server.read([keys[name] for name in names])
    known = decided(nights, **more)
    plan = known.repairs(actual, able=CAN, now=nights.now)
    nights.server.apply(plan, known.wanted(actual))
    return plan


def key_of(nights: Nights) -> dict[str, str]:
    """Names of chats as they should be, by key."""
    return dict(nights.state.chats.select("key", "name").iter_rows())


def changes(plan: Plan) -> set[tuple[str, str, str]]:
    texts = [pl.col(name).cast(pl.String) for name in ("op", "key", "cause")]
    return set(plan.changes.select(texts).iter_rows())


@pytest.fixture
def nights() -> Nights:
    """A school whose chats are as they should be."""
    settled = Nights()
    settled.night(SEVEN)
    assert settled.night(SEVEN).empty
    return settled


accounts = st.sampled_from(["@ann", "@bob", "@cid", "@tom", "@kim", "@x", "@y"])
hands = st.lists(
    st.tuples(st.sampled_from(["in", "out", "leave", "lead", "rename", "open"]), st.integers(0, 9), accounts),
    max_size=8,
)


def meddle(nights: Nights, deeds: list[tuple[str, int, str]]) -> set[str]:
    """What people do by hand; the keys of the chats in which they did it."""
    keys = sorted(nights.server.rooms)
    touched = set()
    for deed, number, account in deeds:
        key = keys[number % len(keys)]
        room = nights.server.rooms[key]
        touched.add(key)
        match deed:
            case "in":
                room.people[account] = State.JOINED
            case "out":
                room.people.pop(account, None)
            case "leave":
                room.people[account] = State.LEFT_BY_CHOICE
            case "lead":
                room.leads.add(account)
            case "rename":
                room.name = "ours"
            case "open":
                room.settings = Settings(invite=Allowed.EVERYONE)
    return touched


@quick
@given(deeds=hands, more=hands)
def test_a_repair_is_what_a_whole_run_would_do_in_these_chats_without_asking(
    deeds: list[tuple[str, int, str]], more: list[tuple[str, int, str]]
) -> None:
    nights = Nights()
    nights.night(SEVEN)
    assert nights.baseline is not None
    meddle(nights, more)  # elsewhere, and not read
    touched = meddle(nights, deeds)
    actual = nights.server.read()
    whole = diff(
        nights.state,
        actual,
        rules=nights.rules,
        links=linked(SEVEN),
        able=CAN,
        now=nights.now,
        baseline=nights.baseline,
    )
    place, cause = pl.coalesce("class_key", "key"), pl.col("cause").cast(pl.String)
    gains = (pl.col("kind").cast(pl.String) == Kind.RIGHT.value) & (pl.col("op").cast(pl.String) == Op.CREATE.value)
    mine = whole.changes.filter(
        place.is_in(list(touched)), cause.is_in([Cause.DRIFT.value, Cause.INTRUDER.value]), ~gains
    )
    known = decided(nights)
    read = nights.server.read(touched)
    plan = known.repairs(read, able=CAN, now=nights.now)
    columns = [*CHANGE, "cause", "name"]
    assert set(plan.changes.select(columns).rows()) == set(mine.select(columns).rows())
    nights.server.apply(plan, known.wanted(read))
    assert known.repairs(nights.server.read(touched), able=CAN, now=nights.now).empty


def test_a_stranger_goes_a_member_comes_back_and_the_name_is_as_it_was(nights: Nights) -> None:
    room, other = nights.server.room(A), nights.server.room(B)
    room.people["@x"] = State.JOINED
    room.leads.add("@x")
    del room.people["@bob"]
    other.people["@y"] = State.JOINED
    done = repair(nights, A)
    assert changes(done) == {
        ("Remove", "@x", "Intruder"),
        ("Create", "@bob", "Drift"),
    }
    assert set(room.people) == {ROBOT, "@ann", "@bob", "@tom"}
    assert "@y" in other.people
    writes = nights.server.writes
    assert repair(nights, A).empty
    assert nights.server.writes == writes


def test_rights_are_taken_at_once_and_given_back_only_by_a_run_that_asks(nights: Nights) -> None:
    room = nights.server.room(A)
    room.leads |= {"@ann"}
    room.leads.discard("@tom")
    assert changes(repair(nights, A)) == {("Remove", "@ann", "Intruder")}
    assert room.leads == {ROBOT}
    nights.night(SEVEN, rights=True)
    assert set(nights.held.select("kind", "key").rows()) == {(Kind.RIGHT, "@tom")}


def test_who_is_held_by_a_guard_stays_until_somebody_approves() -> None:
    crowd = World(homerooms={"7a": " ".join(f"k{n:02}" for n in range(20))})
    nights = Nights()
    nights.night(crowd)
    nights.night(replace(crowd, homerooms={"7a": "k00 k01"}), guarded=True)
    assert nights.held.height == 18
    room = nights.server.room(A)
    before = dict(room.people)
    room.people["@x"] = State.JOINED
    key = next(iter(nights.server.rooms))
    assert nights.baseline is not None
    known = Decided(baseline=nights.baseline, rules=nights.rules, links=linked(crowd))
    read = nights.server.read([key])
    plan = known.repairs(read, able=CAN, now=nights.now)
    nights.server.apply(plan, known.wanted(read))
    assert room.people == before


def test_who_must_be_out_goes_and_who_stands_still_or_is_protected_stays(nights: Nights) -> None:
    nights.rules = having(protected=frozenset({"@bot"}))
    room = nights.server.room(A)
    room.people |= {"@bot": State.JOINED, "@cid": State.JOINED, "@x": State.JOINED}
    assert changes(repair(nights, A, still=["@x"], denied=["cid"])) == {("Remove", "@cid", "Denied")}


def test_a_policy_that_only_adds_puts_nobody_out(nights: Nights) -> None:
    nights.rules = having(membership=Membership.ADD_ONLY)
    room = nights.server.room(A)
    room.people["@x"] = State.JOINED
    room.leads.add("@ann")
    del room.people["@bob"]
    assert changes(repair(nights, A)) == {("Create", "@bob", "Drift"), ("Remove", "@ann", "Intruder")}


def test_a_list_that_is_not_proven_removes_nobody_and_brings_back_nobody(nights: Nights) -> None:
    room = nights.server.room(A)
    room.people["@x"] = State.JOINED
    del room.people["@bob"]
    room.complete = False
    assert repair(nights, A).empty


def test_what_a_platform_cannot_do_is_not_tried(nights: Nights) -> None:
    room = nights.server.room(A)
    room.people["@x"] = State.JOINED
    del room.people["@bob"]
    key = next(key for key, one in nights.server.rooms.items() if one is room)
    read = nights.server.read([key])
    plan = decided(nights).repairs(read, able=replace(CAN, remove=False, force_add=False), now=nights.now)
    assert plan.empty


# A reading of some chats, for a whole run


@pytest.mark.parametrize("deletion", [Deletion.RETAIN, Deletion.ARCHIVE])
def test_chats_that_were_not_read_are_neither_made_nor_ended_nor_forgotten(deletion: Deletion) -> None:
    nights = Nights(rules=having(deletion=deletion))
    nights.night(SEVEN)
    nights.night(replace(SEVEN, homerooms={"7a": "ann tom*", "7b": "cid kim*"}), dies=True)
    before = nights.baseline
    assert before is not None
    assert not before.kept.is_empty()
    a = next(key for key, room in nights.server.rooms.items() if room.name == A)
    b = next(key for key, room in nights.server.rooms.items() if room.name == B)
    smaller = replace(SEVEN, homerooms={"7b": "cid dot kim*"}, parents={})
    wanted = nights_state(nights, smaller)
    read = nights.server.read([b])
    plan = diff(wanted, read, rules=nights.rules, links=linked(smaller), able=CAN, now=nights.now, baseline=before)
    assert set(plan.changes.select(pl.coalesce("class_key", "key")).to_series()) == {b}
    assert changes(plan) == {("Create", "@dot", "SourceAdded")}
    after = expected(wanted, read, plan, before=before, now=nights.now)
    assert set(before.kept["key"]) <= set(after.kept["key"])
    assert {"@ann", "@tom"} <= set(after.kept.filter(pl.col("class_key") == a)["key"])
    assert set(before.known) == set(after.known)


def nights_state(nights: Nights, world: World) -> Desired:
    """What a world asks for, by the rules of these nights."""
    other = Nights(rules=nights.rules)
    other.night(world, dies=True)
    return other.state


@quick
@given(chosen=st.sets(st.integers(0, 20)))
def test_some_chats_of_a_state_are_the_same_as_in_the_whole(chosen: set[int]) -> None:
    nights = Nights()
    nights.night(SEVEN, linked(SEVEN, without="bob"))
    state, baseline = nights.state, nights.baseline
    assert baseline is not None
    keys = pl.Series([key for number, key in enumerate(state.chats["key"]) if number in chosen], dtype=pl.String)
    part = state.only(keys)
    assert part.chats["key"].to_list() == keys.sort().to_list()
    assert part.accounts["account"].is_sorted()

    def listed(one: Desired) -> set[tuple[object, ...]]:
        names, accounts = one.chats["key"], one.accounts["account"]
        rows = {(names[chat], accounts[who], lead, why) for chat, who, lead, why in one.members.iter_rows()}
        return rows | {(names[chat], *more) for chat, *more in one.pending.iter_rows()}

    assert listed(part) == {row for row in listed(state) if row[0] in set(keys)}
    assert part.equals(part.only(keys))
    assert state.only(state.chats["key"]).equals(state)
    assert set(baseline.only(keys).known) == set(keys)

"""What is changed by hand again and again is put right more and more slowly; what protects children never is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import hypothesis.strategies as st
import polars as pl
from hypothesis import given
from tests.unit.chats.worlds import CAN, NOW, Nights, World, linked
from tests.unit.examples import examples

from homeroom.chats import Allowed, Settings, State
from homeroom.chats.flapping import (
    FIRST_REST,
    FREE,
    MEMORY,
    MOST,
    Calmed,
    calmed,
    nothing_repaired,
    open_doors,
    with_repairs,
)
from homeroom.chats.repair import Decided
from homeroom.plan import Plan

quick = examples(8)
CLASS = World(homerooms={"7a": "ann bob tom*"})
A = "7a students"


class War:
    """Somebody works against Homeroom in a chat, which repairs it whenever it looks."""

    def __init__(self) -> None:
        self.nights = Nights()
        self.nights.night(CLASS)
        assert self.nights.baseline is not None
        self.known = Decided(baseline=self.nights.baseline, rules=self.nights.rules, links=linked(CLASS))
        self.now = NOW
        self.repaired = nothing_repaired()
        self.room = self.nights.server.room(A)
        self.times: list[timedelta] = []

    def look(self) -> Calmed:
        """Repair what may be; when that was anything, `times` grows."""
        actual = self.nights.server.read()
        plan = self.known.repairs(actual, able=CAN, now=self.now)
        wanted = self.known.wanted(actual)
        calm = calmed(plan, self.repaired, doors=open_doors(wanted, actual), now=self.now)
        self.nights.server.apply(calm.plan, wanted)
        self.repaired = with_repairs(self.repaired, calm.plan, now=self.now)
        if not calm.plan.empty:
            self.times.append(self.now - NOW)
        return calm


def put_out(war: War) -> None:
    war.room.people.pop("@bob", None)


def leave(war: War) -> None:
    war.room.people["@bob"] = State.LEFT_BY_CHOICE


def rename(war: War) -> None:
    war.room.name = "ours"


def let_everybody_pin(war: War) -> None:
    war.room.settings = replace(Settings(), pin=Allowed.EVERYONE)


SLOWED = st.sampled_from([put_out, leave, rename, let_everybody_pin])


@quick
@given(deed=SLOWED, pauses=st.lists(st.integers(1, 600), min_size=20, max_size=60))
def test_one_thing_is_put_right_so_often_an_hour_at_most_and_never_given_up(
    deed: Callable[[War], None], pauses: list[int]
) -> None:
    war = War()
    for seconds in pauses:
        deed(war)
        calm = war.look()
        assert calm.plan.empty == (calm.resting == 1)
        if calm.until is not None:
            assert war.now < calm.until <= war.now + FIRST_REST * 2 ** (MOST - FREE)
        war.now += timedelta(seconds=seconds)
    for end in war.times:
        assert sum(end - MEMORY < time <= end for time in war.times) <= MOST
    assert len(war.times) >= FREE
    deed(war)
    calm = war.look()
    if calm.until is not None:
        war.now = calm.until
        assert not war.look().plan.empty


def test_the_first_times_come_at_once_and_then_the_rest_doubles() -> None:
    war = War()
    while war.now < NOW + MEMORY:
        put_out(war)
        war.look()
        war.now += FIRST_REST / 2
    assert [time / FIRST_REST for time in war.times] == [0, 0.5, 1, 2, 4, 8, 16, 32]
    assert len(war.times) == MOST


def test_what_is_left_alone_for_an_hour_is_put_right_at_once_again() -> None:
    war = War()
    for _ in range(FREE + 1):
        rename(war)
        calm = war.look()
    assert calm.resting == 1
    assert "1 thing is changed by hand again and again" in calm.words
    war.now += FIRST_REST
    assert war.look().words == ""
    war.now += MEMORY
    rename(war)
    assert not war.look().plan.empty
    assert war.repaired.height == 1


def test_one_thing_that_rests_keeps_no_other_from_being_put_right() -> None:
    war = War()
    for _ in range(FREE):
        put_out(war)
        war.look()
    put_out(war)
    rename(war)
    del war.room.people["@ann"]
    calm = war.look()
    assert calm.resting == 1
    assert set(calm.plan.changes["key"]) == {"@ann", next(iter(war.nights.server.rooms))}
    assert set(war.room.people) == {"@homeroom", "@ann", "@tom"}


@quick
@given(n=st.integers(1, 20))
def test_strangers_and_rights_that_nobody_gave_go_every_time(n: int) -> None:
    war = War()
    for _ in range(n):
        war.room.people["@x"] = State.JOINED
        war.room.leads |= {"@x", "@ann"}
        war.look()
        assert "@x" not in war.room.people
        assert not {"@x", "@ann"} & war.room.leads
        war.now += timedelta(milliseconds=200)
    assert war.repaired.is_empty()


@quick
@given(
    n=st.integers(FREE, 12),
    opened=st.sampled_from([Settings(invite=Allowed.EVERYONE), Settings(appoint=Allowed.EVERYONE)]),
)
def test_a_door_that_was_opened_is_shut_every_time(n: int, opened: Settings) -> None:
    war = War()
    for _ in range(n):
        war.room.settings = opened
        assert war.look().resting == 0
        assert war.room.settings == Settings()
        war.now += timedelta(milliseconds=200)


def test_what_the_records_ask_for_is_never_slowed_down() -> None:
    nights = Nights()
    nights.night(CLASS)
    repaired = nothing_repaired()
    for number in range(FREE * 2):
        world = CLASS if number % 2 else World(homerooms={"7a": "ann tom*"})
        plan = nights.night(world)
        nothing = pl.Series([], dtype=pl.String)
        assert calmed(plan, repaired, doors=nothing, now=NOW).resting == 0
        repaired = with_repairs(repaired, plan, now=NOW)
    assert repaired.is_empty()


def test_a_policy_that_looks_twice_an_hour_is_never_at_war() -> None:
    war = War()
    for _ in range(6):
        rename(war)
        assert war.look().resting == 0
        war.now += timedelta(minutes=30)


def test_rights_wait_with_whom_they_are_for() -> None:
    war = War()
    places = {"school": "s1", "class_key": "c1", "key": "@tom", "cause": "Drift"}
    member = {"kind": "Membership", "op": "Create", "role": None, **places}
    both = [member, {**member, "kind": "Right", "role": "Administrator"}]
    gone = Plan.of(pl.DataFrame([member], infer_schema_length=None, schema_overrides={"role": pl.String}))
    repaired = nothing_repaired()
    for _ in range(FREE):
        repaired = with_repairs(repaired, gone, now=war.now)
    calm = calmed(Plan.of(pl.DataFrame(both)), repaired, doors=pl.Series([], dtype=pl.String), now=war.now)
    assert (calm.plan.empty, calm.resting) == (True, 2)

"""What a night changes in the chats, and why."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given
from tests.unit.chats.worlds import CAN, ROBOT, THREE, Nights, World, having, linked, pairs, wanted
from tests.unit.examples import examples

from homeroom.api import Allowed, ChatType, Deletion, Leave, Membership
from homeroom.chats import Actual, Settings, State
from homeroom.chats.able import Fallback, feasible
from homeroom.chats.diff import diff
from homeroom.chats.policy import ChatRule
from homeroom.chats.records import Links
from homeroom.chats.standing import standing
from homeroom.plan import CHANGE_SCHEMA, Cause, Guard, Hold, Kind, Op, Scope, Unseen, Word, review

quick = examples(20)
STUDENTS = having(chats=(ChatRule(type=ChatType.CLASS_STUDENTS),))
KIDS = [f"k{n:02}" for n in range(25)]
SEVEN = World(
    homerooms={"7a": "ann bob tom*", "7b": "cid kim*"}, parents={"mum": "ann bob", "dad": "cid"}, staff="tom kim eve!"
)
A, B = "7a students", "7b students"


def school(*classes: str) -> World:
    return World(homerooms=dict(zip(("7a", "7b", "7c"), classes, strict=False)))


def settled_on(world: World, **more: object) -> Nights:
    nights = Nights(**more)  # type: ignore[arg-type] # tests name the fields that there are
    nights.night(world)
    assert nights.night(world).empty
    return nights


words = st.sampled_from(["ann", "bob", "cid", "dot", "eve*", "gus*", "ann*"])
crowds = st.lists(words, max_size=6).map(" ".join)
worlds = st.builds(
    World,
    homerooms=st.dictionaries(st.sampled_from(["7a", "7b", "7c"]), crowds, max_size=3),
    subjects=st.dictionaries(st.sampled_from(["m7", "m8"]), crowds, max_size=2),
    staff=st.lists(st.sampled_from(["eve!", "gus!", "hal"]), max_size=3).map(" ".join),
)
EVERYTHING = having(chats=(*THREE, ChatRule(type=ChatType.SUBJECT)), deletion=Deletion.ARCHIVE)


@quick
@given(history=st.lists(worlds, min_size=1, max_size=4))
def test_after_any_history_the_chats_are_as_wanted_and_the_next_plan_is_empty(history: list[World]) -> None:
    nights = Nights(rules=EVERYTHING)
    for world in history:
        nights.night(world, days=8)
    world = history[-1]
    nights.night(world, days=8)  # last administrators have gone by now
    baseline = nights.baseline
    writes = nights.server.writes
    assert nights.night(world).empty
    assert nights.server.writes == writes
    assert baseline is not None
    assert nights.baseline is not None
    assert baseline.equals(nights.baseline)
    state = nights.state
    rows = state.members.select(
        state.chats["key"].gather(state.members["chat"]),
        state.accounts["account"].gather(state.members["account"]),
        "administrator",
    )
    for key in state.chats["key"]:
        room = nights.server.rooms[key]
        wanted = rows.filter(pl.col("key") == key)
        assert set(room.people) - {ROBOT} == set(wanted["account"])
        assert room.leads - {ROBOT} == set(wanted.filter("administrator")["account"])
    ended = [room for key, room in nights.server.rooms.items() if key not in set(state.chats["key"])]
    assert all(room.archived and set(room.people) == {ROBOT} for room in ended)


@quick
@given(n=st.integers(1, 200))
def test_intruders_go_at_once_and_the_class_stays(n: int) -> None:
    """Safety row 1: more strangers than members, and no guard holds one of them."""
    world = school(" ".join(KIDS))
    nights = settled_on(world, rules=STUDENTS)
    room = nights.server.room(A)
    room.people |= {f"@x{i}": State.INVITED if i % 3 else State.JOINED for i in range(n)}
    room.leads |= {"@x0"}
    nights.night(world, guarded=True)
    assert nights.server.there() == {A: {f"@{kid}" for kid in KIDS}}
    assert nights.server.led() == {A: set()}
    assert nights.held.is_empty()
    assert nights.causes() == {Cause.INTRUDER: n + 1}


def test_intruders_make_no_room_for_a_loss() -> None:
    nights = settled_on(school(" ".join(KIDS)), rules=STUDENTS)
    nights.server.room(A).people |= {f"@x{i}": State.JOINED for i in range(200)}
    nights.night(school(" ".join(KIDS[10:])), guarded=True)
    assert nights.server.there()[A] == {f"@{kid}" for kid in KIDS}
    assert set(nights.held["cause"]) == {Cause.LEFT_SOURCE}


def test_a_class_of_25_in_a_school_of_600_is_not_emptied() -> None:
    """E7: four percent of the school, and all of the chat; the other classes go on."""
    crowd = {f"c{n:02}": " ".join(f"c{n:02}-{i}" for i in range(25)) for n in range(24)}
    nights = settled_on(World(homerooms=crowd), rules=STUDENTS)
    lost = World(homerooms={**crowd, "c00": "", "c01": crowd["c01"] + " new"})
    nights.night(lost, guarded=True)
    there = nights.server.there()
    assert len(there["c00 students"]) == 25
    assert len(there["c01 students"]) == 26
    assert set(nights.held.select("guard", "scope").rows()) == {(Guard.CLASS_SHRINK, Scope.CLASS)}
    assert nights.held["place"].n_unique() == 1


def test_a_class_that_vanishes_is_neither_emptied_nor_archived_before_somebody_has_looked() -> None:
    world = World(homerooms={f"c{n}": " ".join(f"c{n}-{i}" for i in range(10)) for n in range(30)})
    nights = settled_on(world, rules=having(STUDENTS, deletion=Deletion.ARCHIVE))
    nights.night(World(homerooms={name: text for name, text in world.homerooms.items() if name != "c3"}), guarded=True)
    room = nights.server.room("c3 students")
    assert len(room.people) == 11
    assert not room.archived


def test_who_moves_is_a_move_and_leaves_once_the_new_chat_has_them() -> None:
    nights = settled_on(SEVEN)
    nights.night(replace(SEVEN, homerooms={"7a": "ann tom*", "7b": "bob cid kim*"}))
    assert nights.server.there()[A] == {"@ann", "@tom"}
    assert nights.server.there()[B] == {"@bob", "@cid", "@kim"}
    rows = nights.plan.changes.filter(pl.col("key") == "@bob").select(pl.col("op", "cause").cast(pl.String)).rows()
    assert rows == [(Op.CREATE, Cause.SOURCE_ADDED), (Op.REMOVE, Cause.MOVED)]


def test_what_was_changed_by_hand_is_put_back() -> None:
    nights = settled_on(SEVEN)
    room = nights.server.room(A)
    del room.people["@ann"]
    room.leads = {ROBOT, "@bob"}
    room.name, room.settings = "Party", Settings(invite=Allowed.EVERYONE)
    nights.night(SEVEN)
    room = nights.server.room(A)
    assert nights.server.there()[A] == {"@ann", "@bob", "@tom"}
    assert room.leads == {ROBOT, "@tom"}
    assert room.settings == Settings()
    assert nights.causes() == {Cause.DRIFT: 3, Cause.INTRUDER: 1}


def test_a_room_that_is_gone_comes_back_with_everybody_and_the_cause_says_why() -> None:
    nights = settled_on(SEVEN)
    before = nights.server.there()
    lost = next(key for key, room in nights.server.rooms.items() if room.name == A)
    del nights.server.rooms[lost]
    nights.night(SEVEN)
    assert nights.server.there() == before
    assert set(nights.causes()) == {Cause.DRIFT}


def test_an_unproven_list_removes_nobody_and_brings_newcomers_only() -> None:
    """E2: who is missing from half a list is not missing from the chat."""
    nights = settled_on(SEVEN)
    room = nights.server.room(A)
    room.complete = False
    hidden = room.people.pop("@ann")
    nights.night(replace(SEVEN, homerooms={"7a": "ann new", "7b": "kim*"}))
    assert nights.server.there()[A] == {"@bob", "@tom", "@new"}
    assert nights.server.there()[B] == {"@kim"}
    room.people["@ann"] = hidden
    room.complete = True
    nights.night(replace(SEVEN, homerooms={"7a": "ann new", "7b": "kim*"}), days=8)
    nights.night(replace(SEVEN, homerooms={"7a": "ann new", "7b": "kim*"}))
    assert nights.server.there()[A] == {"@ann", "@new"}


def test_an_unproven_list_in_between_gives_nobody_a_reason() -> None:
    nights = settled_on(SEVEN)
    room = nights.server.room(A)
    room.complete = False
    room.people["@x"] = State.JOINED
    assert nights.night(SEVEN).empty
    room.complete = True
    nights.night(SEVEN)
    assert nights.causes() == {Cause.INTRUDER: 1}


def test_nothing_is_remembered_of_a_chat_that_ended_and_is_gone() -> None:
    nights = settled_on(SEVEN)
    later = replace(SEVEN, homerooms={"7b": "cid kim*"}, over={"7a": True})
    nights.night(later)
    assert nights.baseline is not None
    assert not nights.baseline.kept.is_empty()
    there = set(nights.state.chats["key"])
    nights.server.rooms = {key: room for key, room in nights.server.rooms.items() if key in there}
    assert nights.night(later).empty
    assert nights.baseline.kept.is_empty()


def test_chats_that_may_be_there_are_not_made_again() -> None:
    nights = Nights()
    nights.server.complete = False
    assert nights.night(SEVEN).empty
    nights.server.complete = True
    nights.night(SEVEN)
    assert len(nights.server.rooms) == 5


def test_a_chat_that_two_rooms_claim_stands_still() -> None:
    nights = settled_on(SEVEN)
    key = next(key for key, room in nights.server.rooms.items() if room.name == A)
    nights.server.room(A).people["@x"] = State.JOINED
    actual = replace(nights.server.read(), unsure=frozenset({key}))

    def read(only: Collection[str] | None = None) -> Actual:
        assert only is None
        return actual

    nights.server.read = read  # type: ignore[method-assign] # as if the server had two
    nights.night(replace(SEVEN, homerooms={"7a": "new", "7b": "kim*"}))
    touched = nights.plan.changes.select(pl.coalesce("class_key", "key")).to_series()
    assert key not in touched
    assert not touched.is_empty()


def test_without_a_baseline_nobody_is_removed_and_afterwards_nobody_is_an_intruder_for_it() -> None:
    """A lost store: what is marked as ours is found again, and what left in between is judged like any other."""
    nights = settled_on(school(" ".join(KIDS)), rules=STUDENTS)
    nights.baseline = None
    smaller = school(" ".join(KIDS[8:]))
    nights.night(smaller, guarded=True)
    assert len(nights.server.there()[A]) == 25
    nights.night(smaller, guarded=True)
    assert len(nights.server.there()[A]) == 25
    assert set(nights.held["cause"]) == {Cause.LEFT_SOURCE}
    nights.server.room(A).people["@x"] = State.JOINED
    nights.night(smaller, guarded=True)
    assert "@x" not in nights.server.there()[A]


# ---------------------------------------------------------------------------------------------------------------------
# Accounts


def test_linking_brings_somebody_in_and_unlinking_puts_them_out_at_once() -> None:
    nights = Nights()
    nights.night(SEVEN, linked(SEVEN, without="ann"))
    assert nights.server.there()[A] == {"@bob", "@tom"}
    nights.night(SEVEN)
    assert nights.server.there()[A] == {"@ann", "@bob", "@tom"}
    assert nights.causes() == {Cause.LINKED: 1}
    back = pairs((one, f"@{one}") for one in ("ann", "tom"))
    nights.night(SEVEN, Links.of(linked(SEVEN).linked, unlinked=back), guarded=True)
    assert nights.server.there()[A] == {"@bob"}
    assert nights.server.led()[A] == set()
    assert set(nights.causes()) == {Cause.UNLINKED}


def test_a_link_that_is_not_repeated_is_no_unlink() -> None:
    links = Links.of(pairs([]), before=linked(SEVEN).linked)
    assert links.linked.equals(linked(SEVEN).linked)


@pytest.mark.parametrize("first", ["teacher", "parent"])
def test_two_records_of_one_human_are_one_account_whichever_ends_first(first: str) -> None:
    """Safety row 9: said in Git, the two are one; before that, the account stands still both ways."""
    world = World(homerooms={"7a": "ann tom*"}, parents={"tom-p": "ann"}, staff="tom eve!")
    given = pl.concat([linked(world, without="tom tom-p").linked, pairs([("tom", "@t"), ("tom-p", "@t")])])
    nights = Nights()
    nights.night(world, Links.of(given))
    assert not any("@t" in there for there in nights.server.there().values())

    one = World(homerooms={"7a": "ann tom*"}, parents={"tom": "ann"}, staff="tom eve!")
    links = Links.of(given, same={"tom-p": "tom"})
    assert links.claimed.is_empty()
    nights.night(one, links)
    everywhere = {A: {"@ann", "@t"}, "7a parents": {"@t"}, "Staff room - School s1": {"@t", "@eve"}}
    assert nights.server.there() == everywhere
    ended = (
        World(homerooms={"7a": "ann"}, parents={"tom": "ann"}, staff="eve!")
        if first == "teacher"
        else World(homerooms={"7a": "ann tom*"}, staff="tom eve!")
    )
    for _ in range(3):
        nights.night(ended, links, days=8)
    assert nights.night(ended, links).empty
    staff = {"@eve"} if first == "teacher" else {"@t", "@eve"}
    rest = {"@ann"} if first == "teacher" else {"@ann", "@t"}
    assert nights.server.there() == {A: rest, "7a parents": {"@t"}, "Staff room - School s1": staff}


def test_an_account_that_somebody_else_claims_too_stands_still_both_ways() -> None:
    nights = settled_on(SEVEN)
    claimed = Links.of(pl.concat([linked(SEVEN).linked, pairs([("cid", "@ann")])]))
    moved = replace(SEVEN, homerooms={"7a": "bob tom*", "7b": "ann cid kim*"})
    nights.night(moved, claimed)
    assert nights.server.there()[A] == {"@ann", "@bob", "@tom"}
    assert "@ann" not in nights.server.there()[B]
    nights.night(moved, linked(SEVEN))
    assert nights.server.there()[A] == {"@bob", "@tom"}


def test_whose_identity_is_in_question_stands_still_unless_denied() -> None:
    nights = settled_on(SEVEN)
    moved = replace(SEVEN, homerooms={"7a": "bob tom*", "7b": "ann cid kim*"})
    assert nights.night(moved, still=["ann"]).empty  # nor does her mother follow whom she may not be
    nights.night(moved, still=["ann"], denied=["ann"])
    assert nights.causes() == {Cause.DENIED: 1}
    assert "@ann" not in nights.server.there()[A]


def test_who_is_denied_goes_whatever_is_held_or_protected() -> None:
    """Safety row 7."""
    world = school(" ".join(KIDS))
    nights = settled_on(world, rules=having(STUDENTS, protected=frozenset({"@k03"}), membership=Membership.ADD_ONLY))
    nights.night(school(""), linked(world), denied=["k03"], guarded=True)
    assert nights.server.there()[A] == {f"@{kid}" for kid in KIDS} - {"@k03"}


def test_protected_accounts_and_our_own_stay() -> None:
    nights = settled_on(SEVEN, rules=having(protected=frozenset({"@bot"})))
    room = nights.server.room(A)
    room.people["@bot"] = State.JOINED
    room.leads.add("@bot")
    assert nights.night(SEVEN).empty


def test_add_only_takes_rights_and_no_places() -> None:
    nights = settled_on(SEVEN, rules=having(membership=Membership.ADD_ONLY))
    room = nights.server.room(A)
    room.people["@x"] = State.JOINED
    room.leads.add("@x")
    nights.night(replace(SEVEN, homerooms={"7a": "ann tom*", "7b": "cid kim*"}))
    assert nights.server.there()[A] == {"@ann", "@bob", "@tom", "@x"}
    assert nights.server.led()[A] == {"@tom"}


@pytest.mark.parametrize(("leave", "back"), [(Leave.REJOIN, True), (Leave.RESPECT, False)])
def test_who_left_by_choice(leave: Leave, back: bool) -> None:  # noqa: FBT001 - a parameter of the test
    nights = settled_on(SEVEN, rules=having(leave=leave))
    nights.server.room(A).people["@ann"] = State.LEFT_BY_CHOICE
    nights.night(SEVEN)
    assert ("@ann" in nights.server.there()[A]) is back
    assert nights.night(SEVEN).empty


def test_who_cannot_come_in_is_parked_and_not_asked_again() -> None:
    nights = settled_on(SEVEN)
    room = nights.server.room(A)
    room.people["@tom"] = State.PARKED
    room.leads = {ROBOT}
    assert nights.night(SEVEN).empty
    counts = {(key, state): n for key, _, state, n in standing(nights.state, nights.server.read()).iter_rows()}
    key = next(key for key, one in nights.server.rooms.items() if one.name == A)
    assert {state: n for (of, state), n in counts.items() if of == key} == {State.JOINED: 2, State.PARKED: 1}


def test_everybody_is_in_one_state_per_chat() -> None:
    nights = Nights()
    nights.night(SEVEN, linked(SEVEN, without="bob"))
    room = nights.server.room(A)
    room.people["@ann"] = State.INVITED
    del room.people["@tom"]
    counts = standing(nights.state, nights.server.read())
    key = next(key for key, one in nights.server.rooms.items() if one.name == A)
    found = dict(counts.filter(pl.col("key") == key).select("state", "people").iter_rows())
    assert found == {State.INVITED: 1, State.LINKED: 1, State.UNLINKED: 1}


# ---------------------------------------------------------------------------------------------------------------------
# Administrators


def test_every_gain_of_rights_waits_for_a_word_and_the_person_does_not() -> None:
    """Safety row 5."""
    nights = Nights()
    nights.night(SEVEN, rights=True)
    assert nights.server.there()[A] == {"@ann", "@bob", "@tom"}
    assert not any(nights.server.led().values())
    assert set(nights.held["guard"]) == {Guard.ADMINISTRATORS}
    assert nights.held.height == 5  # two class teachers with two chats each, and the head


def test_who_leaves_a_chat_loses_the_role_first() -> None:
    nights = settled_on(SEVEN)
    nights.night(replace(SEVEN, staff="tom kim hal!", homerooms={**SEVEN.homerooms, "7a": "ann bob hal*"}), days=8)
    nights.night(replace(SEVEN, staff="tom kim hal!", homerooms={**SEVEN.homerooms, "7a": "ann bob hal*"}))
    rows = nights.plan.changes.with_row_index("n")
    assert nights.server.led()[A] == {"@hal"}
    assert "@eve" not in nights.server.there()["Staff room - School s1"]
    kinds = rows.filter(pl.col("key") == "@eve")["kind"].cast(pl.String).to_list()
    assert kinds == [Kind.RIGHT, Kind.MEMBERSHIP]


def test_rights_that_were_left_over_are_taken_before_somebody_comes_back() -> None:
    nights = settled_on(SEVEN)
    room = nights.server.room(A)
    room.leads.add("@old")  # kicked by hand, and still an administrator for the server
    nights.night(SEVEN)
    assert room.leads == {ROBOT, "@tom"}


def test_the_last_administrator_stays_for_a_week_and_no_longer() -> None:
    nights = settled_on(SEVEN)
    without = replace(SEVEN, homerooms={"7a": "ann bob", "7b": "cid kim*"})
    nights.night(without)
    assert nights.server.led()[A] == {"@tom"}
    for _ in range(6):
        nights.night(without)
        assert "@tom" in nights.server.there()[A]
    nights.night(without)
    assert "@tom" not in nights.server.there()[A]
    assert nights.server.led()[A] == set()
    assert nights.night(without).empty


def test_the_last_administrator_goes_at_once_who_is_denied_or_has_a_successor() -> None:
    nights = settled_on(SEVEN)
    nights.night(SEVEN, denied=["tom"])
    assert nights.server.led()[A] == set()
    nights = settled_on(replace(SEVEN, homerooms={"7a": "ann tom* hal*", "7b": "cid kim*"}))
    nights.night(replace(SEVEN, homerooms={"7a": "ann hal*", "7b": "cid kim*"}))
    assert nights.server.led()[A] == {"@hal"}


# ---------------------------------------------------------------------------------------------------------------------
# School years and edits


@pytest.mark.parametrize("deletion", list(Deletion))
def test_next_years_class_is_another_chat_and_never_reads_this_years(deletion: Deletion) -> None:
    """Safety row 15: the same source id and the same name, other children."""
    nights = settled_on(World(homerooms={"c1": "ann bob tom*"}, titles={"c1": "1a"}), rules=having(deletion=deletion))
    next_year = World(
        homerooms={"c1@2028": "new tom*"}, titles={"c1@2028": "1a"}, years={"c1@2028": 2028}, over={"c1": True}
    )
    for _ in range(2):
        nights.night(next_year, linked(replace(next_year, staff="ann bob")), days=8)
    old, new = (
        next(
            room
            for key, room in nights.server.rooms.items()
            if room.name == "1a students" and ("@new" in room.people) is way
        )
        for way in (False, True)
    )
    assert set(new.people) == {ROBOT, "@new", "@tom"}
    if deletion is Deletion.RETAIN:
        assert set(old.people) == {ROBOT, "@ann", "@bob", "@tom"}
    else:
        assert set(old.people) == {ROBOT}
        assert old.archived
    assert nights.night(next_year, linked(replace(next_year, staff="ann bob"))).empty


def test_the_end_of_a_year_is_one_question_for_the_district() -> None:
    nights = settled_on(school(" ".join(KIDS), "cid tom*"), rules=having(STUDENTS, deletion=Deletion.ARCHIVE))
    nights.night(World(homerooms={"7b": "cid tom*"}, over={"7a": True}), guarded=True)
    assert set(nights.held.select("guard", "scope").rows()) == {(Guard.ROLL_OVER, Scope.DISTRICT)}
    assert len(nights.server.there()[A]) == 25


def test_nobody_new_stays_in_a_chat_that_has_ended() -> None:
    nights = settled_on(SEVEN)
    later = replace(SEVEN, homerooms={"7b": "cid kim*"}, over={"7a": True})
    nights.night(later)
    nights.server.room(A).people["@x"] = State.JOINED
    nights.night(later, guarded=True)
    assert nights.server.there()[A] == {"@ann", "@bob", "@tom"}


def test_an_archived_chat_comes_back_with_its_class() -> None:
    nights = settled_on(SEVEN, rules=having(deletion=Deletion.ARCHIVE))
    before = nights.server.there()
    for _ in range(2):
        nights.night(World(staff=SEVEN.staff), linked(SEVEN), days=8)
    assert nights.server.room(A).archived
    nights.night(SEVEN)
    assert nights.server.there() == before
    assert not nights.server.room(A).archived


def test_an_edit_of_the_policy_is_a_cause_of_its_own_both_ways() -> None:
    nights = settled_on(SEVEN, rules=STUDENTS)
    nights.night(SEVEN, edited=having())
    assert set(nights.causes()) == {Cause.SPEC_CHANGED}
    nights.night(SEVEN, edited=having(STUDENTS, deletion=Deletion.ARCHIVE))
    assert set(nights.causes()) == {Cause.SPEC_CHANGED}
    named = ChatRule(type=ChatType.CLASS_STUDENTS, name="Class {class}", settings=Settings(call=Allowed.EVERYONE))
    nights.night(SEVEN, edited=having(chats=(named,), deletion=Deletion.ARCHIVE))
    assert nights.causes() == {Cause.SPEC_CHANGED: 2}
    assert nights.server.room("Class 7a").settings == named.settings


def test_what_an_edit_of_the_policy_adds_waits_for_a_word() -> None:
    """Safety row 4: one edit, one question, and nobody sees a chat before it is answered."""
    nights = settled_on(SEVEN, rules=STUDENTS)
    nights.night(SEVEN, edited=having(), guarded=True)
    assert set(nights.server.there()) == {A, B}
    assert nights.held.select("guard", "scope").unique().rows() == [(Guard.EXPOSURE, Scope.DISTRICT)]


def test_a_hold_of_one_chat_is_released_by_its_id_and_only_for_whom_it_was_about() -> None:
    nights = settled_on(school(" ".join(KIDS)), rules=STUDENTS)
    holds: tuple[Hold, ...] = ()

    def night(world: World, *approvals: Word) -> None:
        nonlocal holds
        state, actual = wanted(world, rules=STUDENTS), nights.server.read()
        nights.night(world, dies=True)
        reviewed = review(
            nights.plan,
            holds,
            approvals,
            lambda _, released, sticky: nights.judged(actual, nights.plan, released=released, sticky=sticky),
            made=pl.DataFrame(schema=CHANGE_SCHEMA),
            unseen=Unseen(),
            now=nights.now,
            salt=lambda: b"0123456789abcdef",
        )
        holds = reviewed.holds
        nights.server.apply(reviewed.plan, state)

    night(school(" ".join(KIDS[10:])))
    (hold,) = holds
    assert (hold.guard, hold.scope, hold.total) == (Guard.DELETES, Scope.SCHOOL, 10)
    assert len(nights.server.there()[A]) == 25
    night(school(" ".join(KIDS[8:9] + KIDS[10:])), Word(name="yes", hold=hold.id, at=nights.now))
    assert nights.server.there()[A] == {f"@{kid}" for kid in KIDS[8:9] + KIDS[10:]}
    night(school(" ".join(KIDS[10:])))
    assert nights.server.there()[A] == {f"@{kid}" for kid in KIDS[10:]}  # one more leaves like on any other day


def test_a_rename_in_the_records_arrives() -> None:
    nights = settled_on(SEVEN, rules=STUDENTS)
    nights.night(replace(SEVEN, titles={"7a": "8a"}))
    assert set(nights.server.there()) == {"8a students", B}
    assert nights.causes() == {Cause.SOURCE_CHANGED: 1}


def test_a_run_that_dies_half_way_knows_on_the_next_night_why() -> None:
    nights = settled_on(SEVEN)
    bigger = replace(SEVEN, homerooms={"7a": "ann bob new tom*", "7b": "kim*"})
    nights.night(bigger, dies=True)
    planned = nights.plan
    nights.night(bigger)
    assert nights.plan.changes.equals(planned.changes)
    assert nights.causes() == {Cause.SOURCE_ADDED: 1, Cause.LEFT_SOURCE: 2}  # a child comes; another and a father go
    assert nights.night(bigger).empty


# ---------------------------------------------------------------------------------------------------------------------
# What the platform can do


def test_where_nobody_can_be_added_the_link_is_the_way_and_rights_wait() -> None:
    """VK's community token (B15)."""
    nights = Nights()
    plan = nights.night(SEVEN)
    vk = replace(CAN, force_add=False, set_role=True)
    found = feasible(plan, vk)
    assert set(found.plan.changes["kind"].cast(pl.String)) == {Kind.CHAT}
    people = plan.changes.filter(pl.col("kind").cast(pl.String) != Kind.CHAT).height
    assert dict(found.others) == {Fallback.INVITE_BY_LINK: people}
    assert feasible(plan, replace(vk, invite_link=False)).others == {Fallback.INVITE_BY_HAND: people}


def test_what_a_platform_cannot_do_is_counted_and_nothing_hangs_in_the_air() -> None:
    nights = Nights(rules=having(deletion=Deletion.ARCHIVE))
    first = nights.night(SEVEN)
    nothing = feasible(first, replace(CAN, create=False))
    assert nothing.plan.empty
    assert nothing.others == {Fallback.CREATE_BY_HAND: first.changes.height}
    nights.server.room(B).people["@x"] = State.JOINED
    plan = nights.night(replace(SEVEN, homerooms={"7b": "cid kim* hal*"}))
    by_hand = feasible(plan, replace(CAN, remove=False, set_role=False, archive=False))
    assert set(by_hand.others) == {Fallback.REMOVE_BY_HAND, Fallback.APPOINT_BY_HAND, Fallback.LEAVE_EMPTY}
    assert by_hand.plan.changes.height + sum(by_hand.others.values()) == plan.changes.height
    assert feasible(plan, CAN).plan.changes.equals(plan.changes)


def test_settings_that_cannot_be_written_are_not_planned_again_and_again() -> None:
    nights = settled_on(SEVEN)
    for one in nights.server.rooms.values():
        one.settings, one.name = Settings(pin=Allowed.EVERYONE), "Other"

    def planned(**less: object) -> int:
        able = replace(CAN, **less)  # type: ignore[arg-type] # tests name the fields that there are
        return diff(
            nights.state,
            nights.server.read(),
            rules=nights.rules,
            links=linked(SEVEN),
            able=able,
            now=nights.now,
            baseline=nights.baseline,
        ).changes.height

    assert planned() == len(nights.server.rooms)
    assert planned(settings={}) == len(nights.server.rooms)  # names still are
    assert planned(settings={}, rename=False) == 0

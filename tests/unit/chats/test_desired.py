"""Who belongs in which chat, and who leads it."""

from __future__ import annotations

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import given
from tests.unit.chats.worlds import RULES, THREE, World, having, linked, members, pairs, wanted
from tests.unit.examples import examples

from homeroom.api import Allowed, ChatType, CreateOn, Language, Part
from homeroom.chats import Desired, Reason, Settings, State, chat_key, skeleton
from homeroom.chats.desired import desired
from homeroom.chats.policy import ChatRule, ChatRules
from homeroom.chats.records import Links
from homeroom.errors import InvalidSpecError

SEVEN = World(
    homerooms={"7a": "ann bob tom*", "7b": "cid kim*"},
    subjects={"m7": "ann cid lea*"},
    parents={"mum": "ann bob", "dad": "ann", "tom": "cid"},
    staff="tom kim lea eve! ida",
)


def test_a_class_teacher_has_exactly_three_chats_and_everybody_their_own() -> None:
    assert members(wanted(SEVEN)) == {
        "Staff room - School s1": {"@tom": False, "@kim": False, "@lea": False, "@eve": True, "@ida": False},
        "7a students": {"@ann": False, "@bob": False, "@tom": True},
        "7a parents": {"@mum": False, "@dad": False, "@tom": True},
        "7b students": {"@cid": False, "@kim": True},
        "7b parents": {"@tom": False, "@kim": True},
    }


def test_an_account_with_several_reasons_is_there_once_and_leads_by_the_strongest() -> None:
    world = World(homerooms={"7a": "ann bob tom*"}, parents={"tom": "ann bob", "mum": "ann bob"})
    state = wanted(world)
    assert members(state)["7a parents"] == {"@mum": False, "@tom": True}
    rows = state.members.with_columns(state.accounts["account"].gather(state.members["account"]).alias("who"))
    both = rows.filter(pl.col("who") == "@tom")["reasons"].max()
    assert both == Reason.TEACHER | Reason.GUARDIAN


def test_the_class_card_says_who_the_class_teacher_is() -> None:
    """R34: whoever else teaches the class is not in its chats; where the card is silent nobody is guessed to lead."""
    chats = members(wanted(World(homerooms={"7a": "ann tom* kim+", "7b": "bob tom+ kim+", "7c": "cid tom+"})))
    assert chats["7a students"] == {"@ann": False, "@tom": True}
    assert chats["7b students"] == {"@bob": False, "@tom": False, "@kim": False}
    assert chats["7c students"] == {"@cid": False, "@tom": True}


def test_a_subject_chat_comes_with_the_first_call_and_its_teachers_lead_it() -> None:
    subject = ChatRule(type=ChatType.SUBJECT, create_on=CreateOn.FIRST_CALL)
    rules = having(chats=(*THREE, subject))
    assert "m7 Maths" not in members(wanted(SEVEN, rules=rules))
    opened = members(wanted(SEVEN, rules=rules, opened={CreateOn.FIRST_CALL: ["m7", "7a", "unknown"]}))
    family = {"@mum": False, "@dad": False, "@tom": False}
    assert opened["m7 Maths"] == {"@ann": False, "@cid": False, "@lea": True, **family}
    assert len(opened) == 6
    alone = ChatRule(type=ChatType.SUBJECT, members=frozenset({Part.STUDENTS}))
    assert members(wanted(SEVEN, rules=having(chats=(alone,)))) == {
        "m7 Maths": {"@ann": False, "@cid": False, "@lea": True}
    }


def test_who_has_no_account_waits_and_is_no_member() -> None:
    state = wanted(SEVEN, linked(SEVEN, without="ann kim"))
    assert "@ann" not in state.accounts["account"]
    waiting = {
        (state.chats["name"][chat], person, leads, who) for chat, person, leads, who in state.pending.iter_rows()
    }
    unlinked = State.UNLINKED.value
    assert waiting == {
        ("7a students", "ann", False, unlinked),
        ("Staff room - School s1", "kim", False, unlinked),
        ("7b students", "kim", True, unlinked),
        ("7b parents", "kim", True, unlinked),
    }


def test_an_account_of_two_people_is_nobodys_and_both_are_parked() -> None:
    links = Links.of(pl.concat([linked(SEVEN).linked, pairs([("cid", "@ann")])]))
    state = wanted(SEVEN, links)
    assert links.claimed.to_list() == ["@ann"]
    assert "@ann" not in state.accounts["account"]
    assert "@cid" in state.accounts["account"]  # has another one
    assert state.pending["person"].to_list() == ["ann"]
    assert state.pending["state"].to_list() == [State.PARKED.value]


def test_whoever_is_denied_is_in_no_chat_and_does_not_wait_for_one() -> None:
    state = desired(SEVEN.records(), linked(SEVEN, without="bob"), RULES, denied=["tom", "bob"])
    assert "@tom" not in state.accounts["account"]
    assert state.pending.is_empty()


def test_a_policy_for_some_schools_leaves_the_others_alone() -> None:
    assert wanted(SEVEN, rules=having(schools=frozenset({"s9"}))).equals(
        wanted(World(school="s9"), rules=having(chats=()))
    )


words = st.sampled_from(["ann", "bob", "cid", "dot", "eve*", "fay+", "gus*", "ann*", "bob+"])
crowds = st.lists(words, max_size=6).map(" ".join)
worlds = st.builds(
    World,
    homerooms=st.dictionaries(st.sampled_from(["7a", "7b", "7c"]), crowds, max_size=3),
    subjects=st.dictionaries(st.sampled_from(["m7", "m8"]), crowds, max_size=2),
    staff=st.lists(st.sampled_from(["ann!", "eve", "gus!", "hal!", "bob", "ida!"]), max_size=5).map(" ".join),
    students_too=st.sampled_from(["", "hal", "ida gus"]),
)
EVERYTHING = having(chats=(*THREE, ChatRule(type=ChatType.SUBJECT)))
quick = examples(25)


@quick
@given(world=worlds)
def test_no_student_record_ever_leads_a_chat(world: World) -> None:
    """Safety row 5: whatever else a record says of them."""
    learners = {f"@{one}" for one, student in world.records().people.iter_rows() if student}
    leading = {
        who for chat in members(wanted(world, rules=EVERYTHING)).values() for who, leads in chat.items() if leads
    }
    assert not leading & learners


@quick
@given(world=worlds)
def test_the_order_of_the_records_changes_nothing(world: World) -> None:
    links = linked(world)
    there, back = (desired(world.records(backwards=way), links, EVERYTHING) for way in (False, True))
    assert there.equals(back)


@quick
@given(world=worlds, more=worlds)
def test_a_reason_more_takes_nobody_out_and_the_last_one_less_does(world: World, more: World) -> None:
    """B3: two records of one human, as accounts: the union of both, in either order."""
    one_account = pairs((person, "@one") for person in ("ann",))
    links = Links.of(one_account)
    joined = World(homerooms={**{f"x{k}": v for k, v in more.homerooms.items()}, **world.homerooms})

    def chats(of: World) -> set[str]:
        state = desired(of.records(), links, having(chats=THREE[1:]))
        return set(state.chats["key"].gather(state.members["chat"]))

    alone = chats(World(homerooms=world.homerooms))
    other = chats(World(homerooms={f"x{k}": v for k, v in more.homerooms.items()}))
    assert chats(joined) == alone | other


def test_keys_say_nothing_are_ascii_and_differ_by_all_that_a_chat_is() -> None:
    parts = [
        (scope, type_, school, section)
        for scope in ("a", "b")
        for type_ in (ChatType.CLASS_STUDENTS, ChatType.CLASS_PARENTS)
        for school in ("s1", "s2")
        for section in ("7a", "7а", "7a@2028", None)  # noqa: RUF001 - the second one is Cyrillic
    ]
    keys = {chat_key(scope=a, type=b, school=c, section=d) for a, b, c, d in parts}
    assert len(keys) == len(parts)
    assert all(key.isascii() and key == key.lower() and len(key) == 33 for key in keys)


def test_a_chat_is_told_by_its_class_and_never_by_its_name() -> None:
    before = wanted(World(homerooms={"c1": "ann tom*", "c2": "bob kim*"}, titles={"c1": "1a", "c2": "1b"}))
    swapped = wanted(World(homerooms={"c1": "ann tom*", "c2": "bob kim*"}, titles={"c1": "1b", "c2": "1a"}))
    assert before.chats["key"].equals(swapped.chats["key"])
    assert not before.chats["name"].equals(swapped.chats["name"])
    next_year = wanted(World(homerooms={"c1@2028": "cid tom*"}, titles={"c1@2028": "1a"}))
    assert not set(next_year.chats["key"]) & set(before.chats.filter(pl.col("type") != "StaffRoom")["key"])


def test_names_that_look_alike_have_one_skeleton() -> None:
    look = pl.Series(["1 а", "1a", "１Ａ", "1\u00a0a", "lа"])  # noqa: RUF001 - that is the point
    assert look.to_frame("name").select(skeleton(pl.col("name"))).to_series().n_unique() == 1
    apart = pl.Series(["1a", "1b", "2a", "11a"])
    assert apart.to_frame("name").select(skeleton(pl.col("name"))).to_series().n_unique() == 4


def test_names_by_template_and_by_language() -> None:
    world = World(homerooms={"c1": "ann tom*"}, titles={"c1": " 7\u202ea\n"})
    rule = ChatRule(type=ChatType.CLASS_STUDENTS, name="{class} {year} - {school}")
    assert wanted(world, rules=having(chats=(rule,))).chats["name"].to_list() == ["7a 2026/27 - School s1"]
    names = wanted(world, rules=having(language=Language.RUSSIAN)).chats["name"]
    assert set(names) == {"Учительская - School s1", "7a ученики", "7a родители"}
    blank = ChatRule(type=ChatType.CLASS_STUDENTS, name="{class}")
    untitled = World(homerooms={"c1": "ann"}, titles={"c1": " \u200b"})
    assert wanted(untitled, rules=having(chats=(blank,))).chats["name"].to_list() == ["c1"]
    long = World(homerooms={"c1": "ann"}, titles={"c1": "x" * 300})
    assert len(wanted(long, rules=having(chats=(blank,))).chats["name"][0]) == 200


def test_chats_of_a_school_year_are_in_one_space_and_the_staff_room_is_of_no_year() -> None:
    state = wanted(World(homerooms={"7a": "ann", "7b": "bob", "8a": "cid"}, years={"8a": 2028}))
    spaces = {row["space_name"]: row["space"] for row in state.chats.iter_rows(named=True)}
    assert set(spaces) == {"School s1", "School s1 2026/27", "School s1 2027/28"}
    assert len(set(spaces.values())) == 3


@pytest.mark.parametrize(
    ("name", "words"),
    [("{klass}", "klass"), ("{class", "{"), ("Chat {year}", "one name"), ("{class} {course}", "course")],
)
def test_a_template_that_means_nothing_is_refused(name: str, words: str) -> None:
    with pytest.raises(InvalidSpecError, match=words):
        ChatRule(type=ChatType.CLASS_STUDENTS, name=name)


def test_a_policy_that_would_fight_the_records_is_refused() -> None:
    with pytest.raises(InvalidSpecError, match="invite"):
        ChatRule(type=ChatType.STAFF_ROOM, settings=Settings(invite=Allowed.EVERYONE))
    with pytest.raises(InvalidSpecError, match="twice"):
        ChatRules(scope="x", chats=(THREE[0], THREE[0]))


def test_one_wanted_chat_for_the_hands_that_make_it() -> None:
    state = wanted(SEVEN)
    key = state.chats.filter(pl.col("name") == "7a students")["key"][0]
    chat = state.chat(key)
    assert (chat.section, chat.type, chat.year, chat.settings) == ("7a", ChatType.CLASS_STUDENTS, 2027, Settings())
    with pytest.raises(KeyError):
        state.chat("hr-nothing")
    with pytest.raises(KeyError):
        Desired.empty().chat(key)


def test_who_has_two_accounts_is_there_with_both() -> None:
    links = Links.of(pl.concat([linked(SEVEN).linked, pairs([("tom", "@tom2"), ("nobody", "@x")])]))
    assert members(wanted(SEVEN, links))["7a students"] == {"@ann": False, "@bob": False, "@tom": True, "@tom2": True}

"""An extra chat: who is in it, who may come by its link, and that no student ever leads it. Pure."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.chats.worlds import Room, Server, World, linked, pairs, wanted
from tests.unit.examples import examples

from homeroom.api import Admitted, Leave, Part, SchoolRole
from homeroom.chats import Settings, State
from homeroom.chats.desired import desired
from homeroom.chats.extra import admitted, came, extra_key, strange, students_among
from homeroom.chats.linking import JoinState
from homeroom.chats.policy import ChatRules, ExtraChat
from homeroom.chats.records import Links
from homeroom.reconcile.chatdecision import canonical, rules_from

WORLD = World(
    homerooms={"7a": "ann bob tom*", "7b": "cid sue+"},
    subjects={"art": "ann eve*"},
    parents={"mum": "ann bob", "dad": "cid"},
    staff="tom sue eve pam!",
)
EVERYBODY = ("ann", "bob", "cid", "dad", "eve", "mum", "pam", "sue", "tom")


def rules(extra: ExtraChat, scope: str = "lakeside#chess") -> ChatRules:
    return ChatRules(scope=scope, extra=extra)


def people(extra: ExtraChat, *, joined: tuple[str, ...] = (), world: World = WORLD) -> set[str]:
    """Who is in it."""
    state = desired(world.records(), linked(world), rules(extra), joined=joined)
    assert state.chats.height == 1
    return {one.removeprefix("@") for one in state.accounts["account"]}


def test_people_classes_with_their_parts_and_roles_in_schools() -> None:
    chess = ExtraChat(name="Chess")
    assert people(chess) == set()
    assert people(replace(chess, people=frozenset({"ann", "dad"}))) == {"ann", "dad"}
    parts = {
        Part.STUDENTS: {"ann", "bob"},
        Part.TEACHERS: {"tom"},
        Part.PARENTS: {"mum"},
    }
    for part, who in parts.items():
        assert people(replace(chess, classes=frozenset({"7a"}), parts=frozenset({part}))) == who
    assert people(replace(chess, classes=frozenset({"7a", "7b"}), parts=frozenset(Part))) == {
        *("ann", "bob", "cid", "tom", "sue", "mum", "dad")
    }
    roles = {
        SchoolRole.HEADS: {"pam"},
        SchoolRole.STAFF: {"tom", "sue", "eve", "pam"},
        SchoolRole.TEACHERS: {"tom", "sue", "eve"},
        SchoolRole.STUDENTS: {"ann", "bob", "cid"},
        SchoolRole.PARENTS: {"mum", "dad"},
    }
    for role, who in roles.items():
        assert people(replace(chess, roles=frozenset({(role, "s1")}))) == who
        assert people(replace(chess, roles=frozenset({(role, "s2")}))) == set()


def test_a_link_is_for_whom_it_says_and_a_student_is_a_student() -> None:
    chess = ExtraChat(name="Chess")
    kinds = {
        Admitted.STAFF: {"eve", "pam", "sue", "tom"},
        Admitted.PARENTS: {"mum", "dad"},
        Admitted.STUDENTS: {"ann", "bob", "cid"},
    }
    assert people(chess, joined=EVERYBODY) == set()
    for kind, who in kinds.items():
        extra = replace(chess, admits=frozenset({kind}))
        assert people(extra, joined=EVERYBODY) == who == set(admitted(WORLD.records(), extra, EVERYBODY))
        assert people(extra, joined=("nobody",)) == set()
    # On the staff and once a student: neither, as no class is theirs.
    both = replace(WORLD, students_too="eve")
    assert "eve" not in people(replace(chess, admits=frozenset(Admitted)), joined=EVERYBODY, world=both)


def test_its_name_is_no_part_of_what_it_is() -> None:
    one, other = (wanted(WORLD, rules=rules(ExtraChat(name=name))).chats for name in ("Chess", " Go \u202e "))
    assert one["key"].equals(other["key"])
    assert other["name"].to_list() == ["Go"]
    assert wanted(WORLD, rules=rules(ExtraChat(name="\u202e"))).chats["name"].to_list() == ["\u202e"]
    assert extra_key("lakeside#chess") != extra_key("lakeside#go")


def test_what_is_named_and_not_there_is_told() -> None:
    extra = ExtraChat(
        name="Chess",
        people=frozenset({"ann", "nobody"}),
        administrators=frozenset({"tom", "ann", "noone"}),
        classes=frozenset({"7a", "9z", "old"}),
        roles=frozenset({(SchoolRole.STAFF, "s1"), (SchoolRole.STAFF, "s9")}),
    )
    records = replace(WORLD, over={"old": True}).records()
    assert strange(records, extra) == ["9z", "nobody", "noone", "s9"]
    assert students_among(records, extra.administrators) == ["ann"]


names = st.frozensets(st.sampled_from([*EVERYBODY, "nobody"]))
extras = st.builds(
    ExtraChat,
    name=st.just("Chess"),
    people=names,
    administrators=names,
    classes=st.frozensets(st.sampled_from(["7a", "7b", "art", "9z"])),
    parts=st.frozensets(st.sampled_from(Part)),
    roles=st.frozensets(st.tuples(st.sampled_from(SchoolRole), st.sampled_from(["s1", "s2"]))),
    admits=st.frozensets(st.sampled_from(Admitted)),
    settings=st.just(Settings()),
)


@examples(50)
@given(extra=extras, joined=names)
def test_no_student_leads_and_only_who_is_named_does(extra: ExtraChat, joined: frozenset[str]) -> None:
    assert rules_from(canonical(rules(extra))) == rules(extra)
    state = wanted(WORLD, rules=rules(extra))
    lead = state.members.filter("administrator")["account"]
    leading = {one.removeprefix("@") for one in state.accounts["account"].gather(lead)}
    assert leading == (extra.administrators & set(EVERYBODY)) - {"ann", "bob", "cid"}
    assert state.members["reasons"].min() != 0
    assert people(extra, joined=tuple(joined)) >= people(extra)


def test_who_left_the_chat_has_taken_it_back_until_they_come_by_the_link_anew() -> None:
    links = Links.of(pairs((one, f"@{one}") for one in EVERYBODY))
    room = Room(school="", name="Chess")
    room.people |= {"@tom": State.LEFT_BY_CHOICE, "@sue": State.LEFT_BY_CHOICE, "@eve": State.JOINED}
    room.leads.add("@sue")
    there = Server(rooms={"hr-1": room}).read()
    joins = {
        "tom": JoinState.IN,
        "sue": JoinState.ASKED,
        "eve": JoinState.IN,
        "pam": JoinState.LEFT,
        "ann": JoinState.REFUSED,
    }
    joined, over, seen = came(joins, links, there, leave=Leave.RESPECT)
    assert (set(joined), over) == ({"sue", "eve"}, {"tom": JoinState.LEFT})
    states = dict(seen.members.select("account", "state").iter_rows())
    assert states["@tom"] == State.LEFT_BY_CHOICE.value
    assert states["@sue"] is None
    assert states["@eve"] == State.JOINED.value
    joined, over, _ = came(joins, links, there, leave=Leave.REJOIN)
    assert (set(joined), over) == ({"tom", "sue", "eve"}, {})
    assert seen.members.schema == there.members.schema

"""What a ChatPolicy says becomes the rules of chats: every word arrives."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.chats.worlds import World, wanted

from homeroom.api import (
    Allowed,
    ChatPolicy,
    ChatType,
    CreateOn,
    Deletion,
    Language,
    Leave,
    Membership,
    ObjectMeta,
    Part,
    RollOver,
    parse,
)
from homeroom.chats import PRESETS, Setting, Settings
from homeroom.chats.policy import LIMITS, ChatRule, ChatRules
from homeroom.plan import Limits
from homeroom.reconcile.chatrules import limits_of, rules_of

STAFF = {"type": "StaffRoom"}
STUDENTS = {"type": "ClassStudents"}


def policy(name: str = "schools", spec: Mapping[str, object] = MappingProxyType({}), *, second: int = 0) -> ChatPolicy:
    made = parse(
        {
            "apiVersion": "homeroom.dev/v1alpha1",
            "kind": "ChatPolicy",
            "metadata": {"name": name, "namespace": "n"},
            "spec": {"districtRef": {"name": "lakeside"}, "platformRef": {"name": "matrix"}, "chats": [STAFF], **spec},
        }
    )
    assert isinstance(made, ChatPolicy)
    born = datetime(2026, 9, 1, 8, 0, second, tzinfo=UTC)
    return made.model_copy(update={"metadata": ObjectMeta(name=name, namespace="n", creation_timestamp=born)})


def term(operator: str, *schools: str) -> dict[str, object]:
    return {"key": "school", "operator": operator, "values": list(schools)}


def test_what_is_not_said_is_as_the_rules_have_it() -> None:
    made = rules_of(policy(spec={"chats": [STAFF, {"type": "Subject"}]}), scope="o/n/schools")
    assert made == ChatRules(
        scope="o/n/schools",
        chats=(
            ChatRule(type=ChatType.STAFF_ROOM),
            ChatRule(type=ChatType.SUBJECT, create_on=CreateOn.FIRST_CALL),
        ),
    )
    assert limits_of(policy().spec.guard) == LIMITS


def test_all_that_is_said_arrives() -> None:
    owner = dict.fromkeys(("invite", "appoint", "pin", "mentionAll", "seeLink", "call", "appearance"), "Owner")
    spec = {
        "match": [term("In", "s1", "s2")],
        "language": "Dutch",
        "chats": [
            {"type": "Subject", "name": "{course}", "members": ["Teachers", "Parents"], "createOn": "FirstLesson"}
        ],
        "settings": {"preset": "Custom", **owner, "editInfo": "Administrators"},
        "membership": "AddOnly",
        "leave": "Respect",
        "rollOver": "FollowClass",
        "deletion": "Archive",
        "protect": ["@bot:school.example"],
        "guard": {"maxRemovals": "10%", "maxAdditions": "50%", "ignoreBelow": 3},
    }
    whole = policy(spec=spec)
    assert rules_of(whole, scope="o/n/schools", protected=["@support:school.example"]) == ChatRules(
        scope="o/n/schools",
        chats=(
            ChatRule(
                type=ChatType.SUBJECT,
                name="{course}",
                settings=Settings(edit_info=Allowed.ADMINISTRATORS),
                members=frozenset({Part.TEACHERS, Part.PARENTS}),
                create_on=CreateOn.FIRST_LESSON,
            ),
        ),
        schools=frozenset({"s1", "s2"}),
        language=Language.DUTCH,
        membership=Membership.ADD_ONLY,
        leave=Leave.RESPECT,
        roll_over=RollOver.FOLLOW_CLASS,
        deletion=Deletion.ARCHIVE,
        protected=frozenset({"@bot:school.example", "@support:school.example"}),
    )
    assert limits_of(whole.spec.guard) == Limits(deletes=10, class_shrink=10, additions=50, ignore_below=3)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_preset_is_that_of_the_rules(preset: str) -> None:
    (rule,) = rules_of(policy(spec={"settings": {"preset": preset}}), scope="o").chats
    # Whoever may invite or appoint is Homeroom in every preset; so no preset is refused.
    assert rule.settings == PRESETS[policy(spec={"settings": {"preset": preset}}).spec.settings.preset]


def test_custom_has_a_field_for_every_setting() -> None:
    fields = set(type(policy().spec.settings).model_fields) - {"preset"}
    assert fields == {setting.value for setting in Setting}


terms = st.lists(
    st.tuples(st.sampled_from(["In", "NotIn"]), st.lists(st.sampled_from(["s1", "s2", "s3"]), min_size=1, unique=True)),
    max_size=3,
)
Terms = list[tuple[str, list[str]]]


@given(mine=terms, theirs=terms)
def test_policies_overlap_where_a_school_fits_both(mine: Terms, theirs: Terms) -> None:
    a, b = (
        policy(spec={"match": [term(operator, *schools) for operator, schools in match]}).spec
        for match in (mine, theirs)
    )
    both = [*mine, *theirs]
    shared = [
        school
        for school in ("s1", "s2", "s3", "one that nobody names")
        if all((school in schools) == (operator == "In") for operator, schools in both)
    ]
    assert a.overlaps(b) == b.overlaps(a) == bool(shared)


def test_schools_are_left_out_by_name() -> None:
    world = World(homerooms={"7a": "ann tom*"}, staff="tom")

    def chats(*match: dict[str, object]) -> int:
        return wanted(world, rules=rules_of(policy(spec={"match": match}), scope="o")).chats.height

    assert chats() == chats(term("In", world.school)) == chats(term("NotIn", "another")) == 1
    assert chats(term("NotIn", world.school)) == 0
    assert chats(term("In", world.school, "another"), term("NotIn", world.school)) == 0


def test_of_two_that_are_made_at_once_the_name_decides_which_is_older() -> None:
    policies = [policy("a", second=2), policy("z", second=1), policy("b", second=1)]
    assert [one.metadata.name for one in sorted(policies, key=lambda one: one.age)] == ["b", "z", "a"]


@pytest.mark.parametrize(
    ("spec", "overlaps"),
    [
        ({}, True),
        ({"platformRef": {"name": "another"}}, False),
        ({"districtRef": {"name": "hillside"}}, False),
        ({"chats": [STUDENTS]}, False),
        ({"chats": [STUDENTS, STAFF]}, True),
        ({"match": [term("NotIn", "s1")]}, False),
    ],
)
def test_policies_overlap_by_district_platform_type_and_school(spec: dict[str, object], overlaps: bool) -> None:  # noqa: FBT001 - a row
    assert policy(spec=spec).spec.overlaps(policy(spec={"match": [term("In", "s1")]}).spec) is overlaps

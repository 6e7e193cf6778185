"""People in a real Kolibri: who comes, leaves, returns and is promoted, and what others do to their accounts."""

from __future__ import annotations

from functools import partial

import aiohttp
import pytest

from homeroom.demo.server import ServerError
from homeroom.plan import Result

from .kolibri_fixtures import Place, desired

pytestmark = pytest.mark.integration

PUPILS = {"p-1": "Ann Li", "p-2": "Bo Ek"}
ART = {"c-1": "Art"}
learning = partial(desired, people=PUPILS, classes=ART, learners={"c-1": ["p-1", "p-2"]})
teaching = partial(desired, people={"t-1": "Tom Day"}, classes=ART, coaches={"c-1": ["t-1"]})


def account(place: Place, user: str) -> dict[str, object]:
    """The row of an account, with the password's hash."""
    (row,) = [row for row in place.server.tables()["facilityuser"] if row["id"] == user]
    return row


def roles(place: Place, user: str) -> set[str]:
    return {row["kind"] for row in place.server.tables()["role"] if row["user_id"] == user}


def memberships(place: Place, user: str) -> int:
    return sum(row["user_id"] == user for row in place.server.tables()["membership"])


def may_enter(place: Place, username: str, password: str) -> bool:
    facility = place.server.human().facility(place.id)
    try:
        place.server.human(username, password, facility)
    except ServerError:
        return False
    return True


async def test_a_learner_needs_no_password_and_staff_do(place: Place) -> None:
    place.passwords["t-1"] = "from the records"
    await place.sync(
        desired(school=place.id, people={"p-1": "Ann Li", "t-1": "Tom Day", "t-2": "Uma"}, staff=["t-1", "t-2"])
    )
    assert may_enter(place, "ann_li", "")
    assert not may_enter(place, "tom_day", "")
    assert may_enter(place, "tom_day", "from the records")
    assert not may_enter(place, "uma", "")


async def test_where_no_learner_may_enter_without_a_password_none_is_left_open(place: Place) -> None:
    await place.sync(desired(school=place.id, people={}))
    human = place.server.human()
    dataset = human.call("GET", "facilitydataset/", facility_id=human.facility(place.id))[0]["id"]
    human.call("PATCH", f"facilitydataset/{dataset}/", {"learner_can_login_with_no_password": False})
    await place.sync(desired(school=place.id, people={"p-1": "Ann Li"}))
    assert not may_enter(place, "ann_li", "")
    assert (
        human.call("GET", "facilitydataset/", facility_id=human.facility(place.id))[0][
            "learner_can_login_with_no_password"
        ]
        is False
    ), "the school's own setting stays"


async def test_who_leaves_and_returns_has_the_same_account(place: Place) -> None:
    here = desired(
        school=place.id,
        people={**PUPILS, "t-1": "Tom Day"},
        classes=ART,
        learners={"c-1": ["p-1", "p-2"]},
        coaches={"c-1": ["t-1"]},
    )
    await place.sync(here)
    before = (await place.read(here)).ids
    hashes = {key: account(place, before[key])["password"] for key in ("p-1", "t-1")}
    gone = desired(school=place.id, people={"p-2": "Bo Ek"}, classes={"c-1": "Art"}, learners={"c-1": ["p-2"]})
    await place.sync(gone)
    view = await place.read(gone)
    assert {key for key, (_, _, suspended) in view.people.items() if suspended} == {"p-1", "t-1"}
    assert view.ids == before, "the accounts are still there"
    assert view.members.keys() == {("c-1", "p-2", "Learner")}
    assert account(place, before["p-1"])["date_deleted"] is None
    assert memberships(place, before["p-1"]) == 0
    assert account(place, before["p-1"])["password"] == hashes["p-1"]
    assert account(place, before["t-1"])["password"] != hashes["t-1"], "nobody knows the new one"
    assert roles(place, before["t-1"]) == {"classroom assignable coach"}, "no right, and yet nobody gets in"
    assert not may_enter(place, "tom_day", "")
    assert await place.sync(gone) == []

    place.passwords["t-1"] = "new term"
    await place.sync(here)
    view = await place.read(here)
    assert view.ids == before
    assert not any(suspended for _, _, suspended in view.people.values())
    assert ("c-1", "t-1", "Coach") in view.members
    assert may_enter(place, "tom_day", "new term")
    assert await place.sync(here) == []


async def test_a_suspended_account_outlives_kolibris_own_clean_up(place: Place) -> None:
    await place.sync(learning(school=place.id))
    before = (await place.read(learning(school=place.id))).ids
    await place.sync(desired(school=place.id, people={}, classes=ART))
    place.server.human().call("DELETE", f"facilityuser/{before['p-2']}/")  # somebody deletes the other one by hand
    place.server.clean_up(days=60)
    left = {row["id"] for row in place.server.tables()["facilityuser"]}
    assert before["p-1"] in left
    assert before["p-2"] not in left, "that is how Kolibri ends an account, and a year of work"


async def test_an_intruder_goes_and_what_people_made_stays(place: Place) -> None:
    wanted = learning(school=place.id)
    await place.sync(wanted)
    human = place.server.human()
    guest = human.create_user("guest", facility=place.id)
    human.add_member("guest", facility=place.id, class_name="Art")
    human.create_class("After school", facility=place.id)
    human.add_member("guest", facility=place.id, class_name="After school")
    human.remove_member("ann_li", facility=place.id, class_name="Art")
    human.call(
        "POST",
        "role/",
        [{"user": guest, "collection": human.classroom("Art", facility=place.id), "kind": "coach"}],
    )
    view = await place.read(wanted)
    assert view.people[None] == ("guest", "guest", False)
    assert view.members.keys() == {("c-1", "p-2", "Learner"), ("c-1", "guest", "Learner"), ("c-1", "guest", "Coach")}
    await place.sync(wanted)
    view = await place.read(wanted)
    assert view.members.keys() == {("c-1", "p-1", "Learner"), ("c-1", "p-2", "Learner")}
    assert view.classes[None] == ("After school", False)
    assert memberships(place, guest) == 1, "still in the class that is nobody's business"
    assert await place.sync(wanted) == []


async def test_a_learner_who_becomes_a_teacher_gets_a_password_and_no_open_session(place: Place) -> None:
    await place.sync(learning(school=place.id))
    facility = place.server.human().facility(place.id)
    somebody = place.server.human("ann_li", "", facility)  # anybody can
    user = somebody.me["user_id"]
    assert somebody.call("PUT", "session/current/", {})["user_id"] == user
    promoted = desired(school=place.id, people=PUPILS, classes=ART, learners={"c-1": ["p-2"]}, coaches={"c-1": ["p-1"]})
    await place.sync(promoted)
    assert somebody.call("PUT", "session/current/", {})["user_id"] is None
    assert not may_enter(place, "ann_li", "")
    assert await place.sync(promoted) == []

    await place.sync(learning(school=place.id))
    assert roles(place, user) == set(), "a learner again, in all respects"
    assert may_enter(place, "ann_li", "")


async def test_staff_without_a_class_stay_shut(place: Place) -> None:
    await place.sync(teaching(school=place.id))
    wanted = desired(school=place.id, people={"t-1": "Tom Day"}, classes=ART, staff=["t-1"])
    await place.sync(wanted)
    assert (await place.read(wanted)).members.keys() == set()
    assert not may_enter(place, "tom_day", "")
    assert await place.sync(wanted) == []


@pytest.mark.parametrize("deleted", [False, True], ids=["suspended", "deleted by hand"])
async def test_an_administrator_who_returns_as_a_teacher_is_at_no_moment_one(place: Place, *, deleted: bool) -> None:
    await place.sync(
        desired(
            school=place.id,
            people={"a-1": "Eve Head"},
            classes={"c-1": "Art"},
            coaches={"c-1": ["a-1"]},
            administrators=["a-1"],
        )
    )
    user = str((await place.read()).ids["a-1"])
    assert "admin" in roles(place, user)
    if deleted:
        place.server.human().delete_user("eve_head", facility=place.id)
    else:
        await place.sync(desired(school=place.id, people={}, classes={"c-1": "Art"}))
        assert "admin" not in roles(place, user)

    async def watch(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        answer = await handler(request)
        if account(place, user)["date_deleted"] is None:
            assert "admin" not in roles(place, user)
        return answer

    back = desired(school=place.id, people={"a-1": "Eve Head"}, classes={"c-1": "Art"}, coaches={"c-1": ["a-1"]})
    assert {outcome.result for outcome in await place.sync(back, watch)} == {Result.APPLIED}
    view = await place.read(back)
    assert view.ids == {"a-1": user}
    assert view.administrators == set()
    assert view.members.keys() == {("c-1", "a-1", "Coach")}
    assert await place.sync(back) == []


async def test_an_account_that_was_deleted_by_hand_comes_back(place: Place) -> None:
    wanted = learning(school=place.id)
    await place.sync(wanted)
    before = (await place.read(wanted)).ids
    place.server.human().delete_user("ann_li", facility=place.id)
    view = await place.read(wanted)
    assert view.people["p-1"] == ("Ann Li", "ann_li", True)
    assert view.members.keys() == {("c-1", "p-2", "Learner")}, "Kolibri's rows of deleted people count for nothing"
    await place.sync(wanted)
    view = await place.read(wanted)
    assert view.ids == before
    assert view.members.keys() == {("c-1", "p-1", "Learner"), ("c-1", "p-2", "Learner")}
    assert await place.sync(wanted) == []


async def test_a_deleted_account_whose_name_is_taken_fails_alone(place: Place) -> None:
    wanted = learning(school=place.id)
    await place.sync(wanted)
    human = place.server.human()
    human.delete_user("ann_li", facility=place.id)
    human.create_user("Ann_Li", facility=place.id)
    outcomes = await place.sync(wanted)
    failed = [outcome.error for outcome in outcomes if outcome.result is Result.FAILED]
    assert failed == ["its account was deleted, and another one has its user name now: rename that one"]
    view = await place.read(wanted)
    assert view.people["p-1"][2], "still away"
    assert view.people["p-2"] == ("Bo Ek", "bo_ek", False)


async def test_a_learner_who_tampers_with_the_own_account_stands_still_alone(place: Place) -> None:
    wanted = desired(
        school=place.id,
        people={f"p-{n}": f"Pupil {n}" for n in range(6)},
        classes={"c-1": "Art"},
        learners={"c-1": [f"p-{n}" for n in range(5)]},
    )
    await place.sync(wanted)
    ids = (await place.read(wanted)).ids
    facility = place.server.human().facility(place.id)
    marks = {row["id_number"]: row["extra_demographics"] for row in place.server.human().call("GET", "facilityuser/")}

    def tamper(number: int, fields: dict[str, object]) -> None:
        learner = place.server.human(f"pupil_{number}", "", facility)
        learner.call("PATCH", f"facilityuser/{learner.me['user_id']}/", fields)

    tamper(1, {"id_number": "p-5"})  # to be somebody else
    tamper(2, {"id_number": "p-5", "extra_demographics": marks["p-5"]})  # with the other's mark
    tamper(3, {"extra_demographics": {}})
    tamper(4, {"extra_demographics": {}, "id_number": "", "full_name": "Nobody"})
    view = await place.read(wanted)
    assert {key for _, key in view.actual.conflicts} == {"p-1", "p-2", "p-3", "p-4"}
    assert view.ids["p-5"] == ids["p-5"], "whom they wanted to be is not touched by it"
    before = place.server.tables()
    fewer = desired(school=place.id, people={"p-5": "Pupil 5"}, classes={"c-1": "Art"}, learners={"c-1": ["p-5"]})
    await place.sync(fewer)
    view = await place.read(fewer)
    assert view.people["p-0"][2]
    assert view.members.keys() == {("c-1", f"p-{n}", "Learner") for n in range(1, 6)}
    untouched = {ids[f"p-{n}"] for n in range(1, 5)}
    for table in ("facilityuser", "membership"):
        column = "id" if table == "facilityuser" else "user_id"
        rows = [[row for row in state[table] if row[column] in untouched] for state in (before, place.server.tables())]
        assert rows[0] == rows[1]


async def test_names_and_ids_that_kolibri_cannot_hold_do_not_flap(place: Place) -> None:
    long_id = "urn:uuid:" + "0123456789" * 9
    wanted = desired(
        school=place.id,
        people={long_id: "Wolfeschlegel " * 12, " p-2": "  Åsa\tBerg ", "p-3": "", "p-4": "Dé" * 60},
        classes={"c-1": "Very long " * 15, "c-2": "Very long " * 15, "c-3": 'Quo"te, 7/A'},
        learners={"c-1": [long_id, "p-3"]},
    )
    assert {outcome.result for outcome in await place.sync(wanted)} == {Result.APPLIED}
    view = await place.read(wanted)
    assert {key: name for key, (name, _, _) in view.people.items()} == dict(
        wanted.people.select("key", "name").iter_rows()
    )
    assert await place.sync(wanted) == []
    before = view.ids
    gone = desired(school=place.id, people={})
    await place.sync(gone)
    await place.sync(wanted)
    assert (await place.read(wanted)).ids == before


async def test_user_names_meet_others_and_are_never_used_again(place: Place) -> None:
    await place.sync(desired(school=place.id, people={}))
    human = place.server.human()
    human.create_user("ANN", facility=place.id)
    human.create_user("bo", facility=place.id)
    human.delete_user("bo", facility=place.id)
    place.usernames[place.id, "p-old"] = "cy"
    wanted = desired(
        school=place.id,
        people={"p-1": "Ann", "p-2": "Bo", "p-3": "Cy", "p-4": "Di", "p-5": "Di", "p-6": "李雷"},
        usernames={"p-4": "di@school.example"},
    )
    assert {outcome.result for outcome in await place.sync(wanted)} == {Result.APPLIED}
    names = {key: username for key, (_, username, _) in (await place.read(wanted)).people.items()}
    assert names["p-4"] == "di"
    for key, base in {"p-1": "ann", "p-2": "bo", "p-3": "cy", "p-5": "di", "p-6": "user"}.items():
        assert (names[key] or "").startswith(base)
    assert len({names[f"p-{n}"] for n in range(1, 7)} | {"ann", "bo", "cy"}) == 9


async def test_an_account_that_people_made_is_not_taken_over(place: Place) -> None:
    await place.sync(desired(school=place.id, people={}))
    human = place.server.human()
    theirs = human.create_user("ann_li", facility=place.id, id_number="p-1", full_name="Ann Li")
    before = account(place, theirs)
    wanted = learning(school=place.id)
    assert {outcome.result for outcome in await place.sync(wanted)} == {Result.APPLIED}
    view = await place.read(wanted)
    assert view.ids["p-1"] != theirs
    assert view.ids[None] == theirs
    assert account(place, theirs) == before
    assert await place.sync(wanted) == []

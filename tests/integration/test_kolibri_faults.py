"""The Kolibri driver when things break off, when sessions end, and when others stand in the way."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from dataclasses import replace
from functools import partial
from http import HTTPStatus

import aiohttp
import pytest

from homeroom.demo.kolibri import Kolibri
from homeroom.errors import IncompleteReadError, TerminalError, TransientError
from homeroom.plan import Change, Kind, Op, Result, Role
from homeroom.targets.kolibri import KolibriTarget
from homeroom.targets.kolibri.writing import Writer

from .cut import Cut
from .kolibri_fixtures import MARK_KEY, Place, View, desired

pytestmark = pytest.mark.integration


year_one = partial(
    desired,
    people={"p-1": "Ann Li", "p-2": "Ann Li", "t-1": "Tom Day", "a-1": "Eve Head"},
    classes={"c-1": "Math", "c-2": "Math", "c-3": "Art"},
    learners={"c-1": ["p-1", "p-2"], "c-2": ["p-2"], "c-3": ["p-1"]},
    coaches={"c-1": ["t-1"], "c-2": ["t-1"]},
    administrators=["a-1"],
)
# p-1 leaves, t-1 becomes a learner, a-1 becomes a teacher, Math and Art change names, a class ends and one begins.
year_two = partial(
    desired,
    people={"p-2": "Ann Li-Berg", "t-1": "Tom Day", "a-1": "Eve Head", "p-3": "Ann Li"},
    classes={"c-1": "Art", "c-3": "Math", "c-4": "Chess"},
    learners={"c-1": ["p-2", "p-3"], "c-3": ["t-1"], "c-4": ["p-3"]},
    coaches={"c-1": ["a-1"]},
)


def story(view: View) -> object:
    """What is there, in words that are the same for every school. Ids and the order of making do not count."""
    classes = {(key, re.sub(r" \([0-9a-f]{6}\)", " (*)", name), gone) for key, (name, gone) in view.classes.items()}
    return view.people, classes, set(view.members), view.administrators


@pytest.mark.parametrize(("year", "step"), [(1, 3), (2, 7)])  # steps of 1 pass, too, and take five times as long
async def test_a_crash_at_any_point_loses_and_doubles_nothing(
    kolibri: Kolibri, place: Place, year: int, step: int
) -> None:
    """A fresh school is cut after more and more calls, in turns before a call is sent and before its answer arrives."""

    async def attempt(cut: Cut) -> object:
        """A year on a line that may be cut, and once more on a good one; what there is then."""
        name = f"{place.id}-{cut.left}"
        school = replace(place, id=name, schools=set(), classes=set(), usernames={}, before=None)
        wanted = year_one(school=name)
        if year == 2:
            await school.sync(wanted)
            wanted = year_two(school=name)
        with contextlib.suppress(TransientError):
            await school.sync(wanted, cut)
        await school.sync(wanted)
        view = await school.read(wanted)
        assert school.plan(wanted, view.actual).empty
        tables = kolibri.tables()
        facilities = [row["id"] for row in tables["collection"] if row["name"] == name]
        assert len(facilities) == 1, "no school twice"
        assert not any(row["name"].startswith("homeroom-") for row in tables["collection"]), "nothing unfinished"
        people = sorted(row["id_number"] for row in tables["facilityuser"] if row["facility_id"] in facilities)
        rooms = [row["name"] for row in tables["collection"] if row["parent_id"] in facilities]
        human.call("DELETE", f"facility/{facilities[0]}/")  # or the list of facilities gets slow
        return people, len(rooms), story(view)

    human = kolibri.human()
    expected = await attempt(Cut(after=10_000, unheard=False))
    for after in itertools.count(2, step):
        cut = Cut(after=after, unheard=after // step % 2 == 0)
        assert await attempt(cut) == expected, f"cut after {after} calls"
        if cut.left >= 0:
            break
    assert after > 20, "the story is long enough to be worth cutting"


@pytest.mark.parametrize("after", [2, 3, 4, 5, 6, 7, 8])
async def test_a_session_that_ends_while_reading_makes_the_reading_void(place: Place, after: int) -> None:
    wanted = desired(school=place.id, people={"p-1": "Ann Li"}, classes={"c-1": "Art"}, learners={"c-1": ["p-1"]})
    await place.sync(wanted)
    seen: list[str] = []

    async def expire(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        seen.append(request.url.path)
        if len(seen) == after + 1:  # log-in, who-am-I, then the lists
            place.server.expire_sessions()
        return await handler(request)

    async with place.target(expire) as target:
        with pytest.raises(IncompleteReadError) as caught:
            await target.read(place.known(wanted))
        assert caught.value.reason == "TargetIncomplete"
        assert View(await target.read(place.known(wanted)), place.id).people.keys() == {"p-1"}, "and then it is well"
    assert len(seen) > after + 1


async def test_a_session_that_ends_while_applying_is_begun_anew(place: Place) -> None:
    wanted = desired(school=place.id, people={f"p-{n}": f"Pupil {n}" for n in range(9)})
    count = 0

    async def expire(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        nonlocal count
        if request.url.path.endswith("/facilityuser/") and request.method == "POST":
            count += 1
            if count == 4:
                place.server.expire_sessions()
        return await handler(request)

    assert {outcome.result for outcome in await place.sync(wanted, expire)} == {Result.APPLIED}
    assert len((await place.read(wanted)).people) == 9


async def test_a_late_answer_to_a_dead_session_does_not_end_the_next_one(place: Place) -> None:
    """It takes the cookies away, as a browser understands it; by then they are those of the next session."""
    wanted = desired(school=place.id, people={f"p-{n}": f"Pupil {n}" for n in range(9)})
    created, logins, late, again = 0, 0, False, asyncio.Event()

    async def delay(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        nonlocal created, logins, late
        if request.url.path.endswith("/facilityuser/") and request.method == "POST":
            created += 1
            if created == 2:
                place.server.expire_sessions()
        answer = await handler(request)
        if request.url.path.endswith("/session/") and request.method == "POST":
            logins += 1
            if logins == 2:
                again.set()
        elif answer.status == HTTPStatus.FORBIDDEN and not late:
            late = True
            await again.wait()
        return answer

    assert {outcome.result for outcome in await place.sync(wanted, delay)} == {Result.APPLIED}
    assert late
    assert len((await place.read(wanted)).people) == 9


async def test_a_dead_server_is_no_empty_one(place: Place) -> None:
    wanted = desired(school=place.id, people={"p-1": "Ann Li"})
    await place.sync(wanted)
    async with place.target() as target:
        place.server.kill()
        try:
            with pytest.raises(TransientError) as caught:
                await target.read(place.known(wanted))
            assert caught.value.reason == "TargetUnavailable"
            with pytest.raises(TransientError):
                await place.target().__aenter__()
        finally:
            place.server.start()
    assert (await place.read(wanted)).people.keys() == {"p-1"}


async def test_another_owner_is_left_alone_both_ways(place: Place) -> None:
    wanted = desired(school=place.id, people={"p-1": "Ann Li"}, classes={"c-1": "Art"}, learners={"c-1": ["p-1"]})
    await place.sync(wanted)
    before = place.server.tables()
    other = replace(place, owner="somebody else", before=None)
    with pytest.raises(TerminalError) as caught:
        await other.sync(wanted)
    assert caught.value.reason == "OwnedElsewhere"
    async with other.target() as target:
        await target.read(replace(other, schools=set()).known())
        create = Change(seq=0, op=Op.CREATE, kind=Kind.SCHOOL, school=place.id, key=place.id, name="Mine")
        with pytest.raises(TerminalError):
            await target.apply([create])
    assert place.server.tables() == before
    assert await place.sync(wanted) == []


async def test_two_owners_who_begin_at_once_have_a_school_each(place: Place) -> None:
    wanted = desired(school=place.id, people={"p-1": "Ann Li"}, classes={"c-1": "Art"}, learners={"c-1": ["p-1"]})
    other = replace(place, owner="somebody else", schools=set(), classes=set(), usernames={}, before=None)
    async with place.target() as ours, other.target() as theirs:
        plans = [
            (one, one.plan(wanted, await target.read(one.known(wanted))), target)
            for one, target in ((place, ours), (other, theirs))
        ]
        await asyncio.gather(*(one.carry_out(plan, target) for one, plan, target in plans))
    place.before = other.before = wanted
    before = place.server.tables()
    assert sum(row["name"] == place.id for row in before["collection"]) == 2
    assert await place.sync(wanted) == []
    assert await other.sync(wanted) == []
    assert place.server.tables() == before


async def test_a_mark_that_vanishes_stops_everything_in_that_school(place: Place) -> None:
    wanted = desired(school=place.id, people={"p-1": "Ann Li"}, classes={"c-1": "Art"}, learners={"c-1": ["p-1"]})
    await place.sync(desired(school=place.id, people={"p-1": "Ann Li"}))
    async with place.target() as target:
        plan = place.plan(wanted, await target.read(place.known(wanted)))
        human = place.server.human()
        dataset = human.call("GET", "facilitydataset/", facility_id=human.facility(place.id))[0]
        human.call("PATCH", f"facilitydataset/{dataset['id']}/", {"extra_fields": {"demographic_fields": []}})
        before = place.server.tables()
        for batch in plan.batches(dict.fromkeys(Kind, 10)):
            with pytest.raises(TerminalError) as caught:
                await target.apply(batch)
            assert caught.value.reason == "OwnedElsewhere"
        assert place.server.tables() == before


async def test_copied_marks_make_nobody_ours(place: Place) -> None:
    wanted = desired(school=place.id, people={"p-1": "Ann Li"}, classes={"c-1": "Art"}, learners={"c-1": ["p-1"]})
    await place.sync(wanted)
    human = place.server.human()
    theirs = f"copy of {place.id}"
    human.call("POST", "facility/create_facility/", {"name": theirs, "preset": "formal"})
    marks = human.call("GET", "facilitydataset/", facility_id=human.facility(place.id))[0]["extra_fields"]
    dataset = human.call("GET", "facilitydataset/", facility_id=human.facility(theirs))[0]["id"]
    human.call("PATCH", f"facilitydataset/{dataset}/", {"extra_fields": marks})
    extra = human.create_class("Extra", facility=place.id)
    original = human.classroom("Art", facility=place.id)
    ours = human.call("GET", "facilitydataset/", facility_id=human.facility(place.id))[0]
    registry = marks["homeroom.dev/classes"]
    marks["homeroom.dev/classes"] = {**registry, extra: registry[original]}
    human.call("PATCH", f"facilitydataset/{ours['id']}/", {"extra_fields": marks})
    view = await place.read(wanted)
    assert view.actual.schools["key"].drop_nulls().to_list() == [place.id]
    assert view.classes == {"c-1": ("Art", False), None: ("Extra", False)}
    assert await place.sync(wanted) == []


async def test_one_bad_row_fails_alone(place: Place) -> None:
    people = {f"p-{n}": f"Pupil {n}" for n in range(12)}
    before = desired(school=place.id, people=people, classes={"c-1": "Art"})
    await place.sync(before)
    async with place.target() as target:
        await target.read(place.known(before))
        site = target._sites[place.id]
        rows = [{"user": user, "collection": site.classes["c-1"]} for user in site.people.values()]
        rows[5] = {**rows[5], "user": "0" * 32}
        rows[9] = {**rows[9], "collection": site.id}
        refused = await Writer(target._api, target._marks).add("membership/", rows)
    assert refused.keys() == {5, 9}
    assert all("pupil" not in text.casefold() for text in refused.values())
    assert len((await place.read(before)).members) == 10


async def test_a_person_that_kolibri_refuses_fails_alone_and_unnamed(place: Place) -> None:
    wanted = desired(school=place.id, people={f"t-{n}": f"Teacher {n}" for n in range(4)}, staff=["t-2"])
    place.passwords["t-2"] = "x" * 200
    outcomes = await place.sync(wanted)
    failed = [outcome for outcome in outcomes if outcome.result is Result.FAILED]
    assert [outcome.error for outcome in failed] == ["kolibri refused it: MAX_LENGTH (400)"]
    assert (await place.read(wanted)).people.keys() == {"t-0", "t-1", "t-3"}
    place.passwords.clear()
    await place.sync(wanted)
    assert (await place.read(wanted)).people.keys() == {"t-0", "t-1", "t-2", "t-3"}


async def test_what_belongs_to_nothing_is_skipped(place: Place) -> None:
    wanted = desired(school=place.id, people={"p-1": "Ann Li"}, classes={"c-1": "Art"})
    await place.sync(wanted)
    async with place.target() as target:
        await target.read(place.known(wanted))
        member = Change(
            seq=3, op=Op.CREATE, kind=Kind.MEMBERSHIP, school=place.id, key="p-1", class_key="c-9", role=Role.LEARNER
        )
        nobody = replace(member, seq=4, key="p-9", class_key="c-1")
        good = replace(member, seq=5, class_key="c-1")
        outcomes = await target.apply([member, nobody, good])
        assert [outcome.result for outcome in outcomes] == [Result.SKIPPED, Result.SKIPPED, Result.APPLIED]
        elsewhere = await target.apply([replace(good, school="s-unknown")])
        assert [outcome.result for outcome in elsewhere] == [Result.SKIPPED]
        assert await target.apply([]) == []


async def test_check_tells_each_hop(place: Place) -> None:
    def hops(**changed: str) -> KolibriTarget:
        fields = {"username": place.server.username, "password": place.server.password, "markKey": MARK_KEY}
        url = changed.pop("url", place.server.url)
        return KolibriTarget(url=url, credentials=fields | changed, owner="o", password=lambda _: None)

    good = await hops().check()
    assert [(hop.name, hop.ok) for hop in good] == [
        ("name resolution", True),
        ("server", True),
        ("log-in", True),
        ("permissions", True),
        ("activity", True),
    ]
    assert "0.19.5" in good[1].words
    assert "superuser" in good[3].words
    wrong = await hops(password="wrong").check()
    assert [(hop.name, hop.ok) for hop in wrong][2:] == [("log-in", False)]
    nobody = await hops(username="nobody").check()
    assert "correct user name" in nobody[-1].words
    unknown = await hops(url="http://kolibri.invalid").check()
    assert [(hop.name, hop.ok) for hop in unknown] == [("name resolution", False)]
    closed = await hops(url="http://127.0.0.1:9").check()
    assert [(hop.name, hop.ok) for hop in closed] == [("name resolution", True), ("server", False)]
    human = place.server.human()
    human.create_user(f"plain_{place.id[2:]}", facility="Kolibri", password="pupil")
    plain = await hops(username=f"plain_{place.id[2:]}", password="pupil").check()
    assert "no administrator" in plain[-1].words


async def test_a_facility_administrator_can_do_all_but_make_schools(place: Place) -> None:
    await place.sync(desired(school=place.id, people={}))
    human = place.server.human()
    facility = human.facility(place.id)
    boss = human.create_user("boss", facility=place.id, password="secret")
    human.call("POST", "role/", [{"user": boss, "collection": facility, "kind": "admin"}])
    local = {"username": "boss", "password": "secret", "facility": facility}
    wanted = desired(
        school=place.id,
        people={"p-1": "Ann Li", "t-1": "Tom Day"},
        classes={"c-1": "Art"},
        learners={"c-1": ["p-1"]},
        coaches={"c-1": ["t-1"]},
    )
    async with place.target(**local) as target:
        plan = place.plan(wanted, await target.read(place.known(wanted)))
        assert {outcome.result for outcome in await place.carry_out(plan, target)} == {Result.APPLIED}
        assert place.plan(wanted, await target.read(place.known(wanted))).empty
        create = Change(seq=0, op=Op.CREATE, kind=Kind.SCHOOL, school="s-new", key="s-new", name="New")
        (outcome,) = await target.apply([create])
        assert outcome.result is Result.FAILED
        assert "superuser" in (outcome.error or "")
        assert "administrator of facility" in (await target.check())[3].words
    assert place.plan(wanted, (await place.read(wanted)).actual).empty

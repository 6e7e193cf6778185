"""When accounts were last used: our plugin in the real Kolibri, installed from its wheel, and what we read from it."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import polars as pl
import pytest

from homeroom.cli import main
from homeroom.cli.files import read_export
from homeroom.demo.kolibri import Human, Kolibri, _environment, installed
from homeroom.demo.server import ServerError, default_cache, output
from homeroom.errors import IncompleteReadError, TerminalError
from homeroom.roster.owned import LEDGER_SCHEMA
from homeroom.roster.state import Desired
from homeroom.seats.assignment import SEATS_SCHEMA
from homeroom.sources import write
from homeroom.store import Accepted, Seating, Store
from homeroom.targets import ACTIVITY_SCHEMA
from homeroom.targets.kolibri.activity import PATH

from .kolibri_fixtures import MARK_KEY, Place, desired

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "examples"
ADDRESS = f"/{PATH}"
Moments = tuple[datetime | None, datetime | None]


def two_pupils(place: Place) -> Desired:
    return desired(
        school=place.id,
        people={"p-1": "Ann Li", "p-2": "Bo Ek", "t-1": "Tom Day"},
        classes={"c-1": "Math"},
        learners={"c-1": ["p-1", "p-2"]},
        coaches={"c-1": ["t-1"]},
    )


async def told(place: Place, *middlewares: aiohttp.ClientMiddlewareType, wanted: Desired | None = None) -> pl.DataFrame:
    async with place.target(*middlewares) as target:
        return await target.activity(await target.read(place.known(wanted)))


async def moments(place: Place) -> dict[str, Moments]:
    """Last log-in and last interaction, by source id."""
    frame = await told(place)
    assert frame.schema == ACTIVITY_SCHEMA
    assert frame["school"].unique().to_list() == [place.id]
    return {key: (login, used) for key, login, used in frame.drop("school", "account").iter_rows()}


async def enter(place: Place, key: str) -> Human:
    """The pupil logs in, at a page of the own school."""
    username = (await place.read()).people[key][1]
    return place.server.human(username, "", place.server.human().facility(place.id))


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


async def test_a_log_in_shows_with_its_time_in_the_next_reading(place: Place) -> None:
    await place.sync(two_pupils(place))
    assert await moments(place) == dict.fromkeys(("p-1", "p-2", "t-1"), (None, None))
    before = now()
    await enter(place, "p-1")
    after = now()
    (login, used), *others = (await moments(place)).values()
    assert login is not None
    assert before <= login <= after
    assert (used, others) == (None, [(None, None)] * 2)


async def test_an_attempt_at_a_question_is_an_interaction(place: Place) -> None:
    await place.sync(two_pupils(place))
    pupil = await enter(place, "p-1")
    exercise = {name: uuid.uuid4().hex for name in ("node_id", "content_id", "channel_id")}
    mastery = {"type": "m_of_n", "m": 3, "n": 5}
    track = "/api/logger/trackprogress/"
    session = pupil.call("POST", track, {**exercise, "kind": "exercise", "mastery_model": mastery})
    await _set(place, "p-1", "logger_contentsummarylog", end_timestamp="2026-01-01 00:00:00.000000(UTC)")
    before = now()
    attempt = {"item": "q", "correct": 1, "complete": True, "time_spent": 4, "answer": {"value": 7}}
    answer = pupil.call("PUT", f"{track}{session['session_id']}/", {"interactions": [attempt]})
    after = now()
    assert len(answer["attempts"]) == 1
    login, used = (await moments(place))["p-1"]
    assert login is not None
    assert used is not None
    assert login <= before <= used <= after


async def test_a_page_in_use_is_an_interaction(place: Place) -> None:
    await place.sync(two_pupils(place))
    pupil = await enter(place, "p-2")
    before = now()
    pupil.call("PUT", "session/current/", {"active": True})
    (_, used) = (await moments(place))["p-2"]
    assert used is not None
    assert before <= used <= now()


async def test_the_latest_of_all_logs_counts_and_moments_are_utc_to_the_second(place: Place) -> None:
    await place.sync(two_pupils(place))
    pupil = await enter(place, "p-1")
    for kind in ("video", "html5"):
        content = {name: uuid.uuid4().hex for name in ("node_id", "content_id", "channel_id")}
        pupil.call("POST", "/api/logger/trackprogress/", {**content, "kind": kind})
    pupil.call("PUT", "session/current/", {"active": True})
    # Kolibri writes UTC and appends the name of the zone in which it runs.
    await _set(
        place, "p-1", "logger_usersessionlog", last_interaction_timestamp="2026-03-02 08:00:00.987654(Asia/Omsk)"
    )
    await _set(place, "p-1", "logger_contentsummarylog", end_timestamp="2026-03-01 23:59:59.000000(UTC)")
    await _set(place, "p-1", "kolibriauth_facilityuser", last_login="2026-02-01 07:30:00.5")
    login, interaction = datetime(2026, 2, 1, 7, 30, tzinfo=UTC), datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert (await moments(place))["p-1"] == (login, interaction)
    await _set(place, "p-1", "logger_contentsummarylog", end_timestamp="2026-03-02 08:00:01.000000(UTC)")
    assert (await moments(place))["p-1"] == (login, interaction.replace(second=1))


async def test_only_accounts_of_ours_are_told_and_none_that_was_deleted(place: Place) -> None:
    await place.sync(two_pupils(place))
    human = place.server.human()
    human.create_user("guest", facility=place.id)
    human.delete_user((await place.read()).people["p-2"][1], facility=place.id)
    frame = await told(place)
    ids = (await place.read()).ids
    assert dict(frame.select("key", "account").iter_rows()) == {"p-1": ids["p-1"], "t-1": ids["t-1"]}


async def test_only_administrators_of_the_facility_are_answered(place: Place) -> None:
    await place.sync(two_pupils(place))
    human = place.server.human()
    here, elsewhere = human.facility(place.id), human.facility("Kolibri")
    for username, kinds in (("pupil", []), ("coach", ["coach"]), ("boss", ["admin"])):
        account = human.create_user(username, facility=place.id, password="secret")
        human.call("POST", "role/", [{"user": account, "collection": here, "kind": kind} for kind in kinds])

    def answer(username: str, facility: str) -> str:
        person = place.server.human(username, "secret", here)
        try:
            told = person.call("GET", ADDRESS, facility=facility)
        except ServerError as error:
            return error.message.partition(" answered ")[2][:3]
        assert set(told) == {"accounts", "last_login", "last_interaction"}, "and nothing that has a name in it"
        assert sorted(told["accounts"]) == sorted(
            row["id"] for row in human.call("GET", "facilityuser/", member_of=here)
        )
        return "told"

    asked = {username: (answer(username, here), answer(username, elsewhere)) for username in ("pupil", "coach", "boss")}
    assert asked == {"pupil": ("403", "403"), "coach": ("403", "403"), "boss": ("told", "403")}
    with pytest.raises(ServerError, match="answered 405"):
        human.call("POST", ADDRESS, {"facility": here})


async def test_the_administrator_of_one_school_reads_its_activity(place: Place) -> None:
    await place.sync(two_pupils(place))
    human = place.server.human()
    facility = human.facility(place.id)
    boss = human.create_user("boss", facility=place.id, password="secret")
    human.call("POST", "role/", [{"user": boss, "collection": facility, "kind": "admin"}])
    await enter(place, "p-1")
    async with place.target(username="boss", password="secret", facility=facility) as target:
        frame = await target.activity(await target.read(place.known()))
    assert dict(frame.select("key", pl.col("last_login").is_not_null()).iter_rows()) == {
        "p-1": True,
        "p-2": False,
        "t-1": False,
    }


@pytest.mark.parametrize(("step", "whole"), [(0, True), (1, False), (2, False)])
async def test_a_session_that_ends_in_the_middle(place: Place, *, step: int, whole: bool) -> None:
    """Before the first who-am-I we log in anew; later, nothing of the answer counts."""
    await place.sync(two_pupils(place))
    seen: list[str] | None = None

    async def expire(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if seen is not None:
            if len(seen) == step:
                place.server.expire_sessions()
            seen.append(request.url.path)
        return await handler(request)

    async with place.target(expire) as target:
        actual = await target.read(place.known())
        seen = []
        if not whole:
            with pytest.raises(IncompleteReadError) as caught:
                await target.activity(actual)
            assert caught.value.reason == "TargetIncomplete"
        assert (await target.activity(actual)).height == 3, "and then it is well"
    assert len(seen) > step


async def test_homeroom_usage_shows_a_log_in_at_once(
    kolibri: Kolibri, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the resources, the store and the real Kolibri to what the administrator of a pool reads."""
    place = Place(server=kolibri, id=f"s-{uuid.uuid4().hex[:8]}", owner="us/lakeside/kolibri")
    records, data = tmp_path / "records", tmp_path / "data"
    records.mkdir()
    for file in (EXAMPLES / "lakeside-records").glob("*.csv"):
        (records / file.name).write_text(file.read_text().replace("s-001", place.id))
    snapshot = read_export(records, previous=None)
    roster, classes = snapshot.roster, snapshot.roster.classes["id"]
    learn = roster.enrollments.filter(pl.col("class") == classes.index_of("c-8"), pl.col("role") == "student")
    busy, idle, nobody, *_ = sorted(roster.users["id"].gather(learn["user"]))
    await place.sync(desired(school=place.id, people={busy: "Ann Li", idle: "Bo Ek", "t-2": "Tom Day"}, staff=["t-2"]))
    await enter(place, busy)

    store = Store.open(f"sqlite:///{data / 'homeroom.db'}", data)
    where = {"namespace": "lakeside", "district": "lakeside"}
    write(snapshot, store.snapshots(**where))
    accepted = Accepted(digest=snapshot.digest, accepted_at=now(), validator=None, spec_digest="")
    store.accept(accepted, **where, epoch=1)
    school = pl.DataFrame([("School", place.id, place.id, "x", None)], LEDGER_SCHEMA, orient="row")
    store.own(school, namespace="lakeside", app="kolibri", epoch=1)
    held = [("lakeside/lakeside", who, "lakeside/rowan", now().date(), None) for who in (busy, idle, nobody)]
    seats = pl.DataFrame(held, SEATS_SCHEMA, orient="row")
    store.save_seating(Seating(seats=seats), namespace="lakeside", pool="seats", epoch=1)
    store.close()

    files = tmp_path / "files"
    files.mkdir()
    (files / "district.yaml").write_text((EXAMPLES / "lakeside" / "district.yaml").read_text())
    app = (EXAMPLES / "lakeside" / "learningapp.yaml").read_text()
    app = app.replace("https://kolibri.lakeside.example", kolibri.url)
    (files / "app.yaml").write_text(app.replace("policy: Sync", "policy: Sync\n  seating: {poolRef: {name: seats}}"))
    (files / "licence.yaml").write_text(
        "apiVersion: homeroom.dev/v1alpha1\nkind: SchoolLicense\nmetadata: {name: rowan, namespace: lakeside}\n"
        f"spec: {{poolRef: {{name: seats}}, schoolUnit: {place.id}, seats: 40, access: Automatic, "
        "districtRef: {name: lakeside}}"
    )
    credentials = {"username": kolibri.username, "password": kolibri.password, "markKey": MARK_KEY}
    (tmp_path / "secret.yaml").write_text(json.dumps(credentials))
    look = [
        "-f",
        str(files),
        "--data",
        str(data),
        "--owner-id",
        "us",
        "--secret",
        f"kolibri={tmp_path / 'secret.yaml'}",
    ]
    assert await asyncio.to_thread(main, ["usage", *look, "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (licence,) = found["licences"]
    assert (licence["used"], licence["active"], licence["unknown"]) == (3, 1, 1)
    teachers = {row["teacher"]: row for row in found["teachers"]}
    assert {key: teachers["t-2"][key] for key in ("known", "lastLogin", "students", "active", "unknown")} == {
        "known": True,
        "lastLogin": None,
        "students": 3,
        "active": 1,
        "unknown": 1,
    }
    assert not teachers["t-1"]["known"], "who has no account there"


async def test_a_kolibri_without_the_plugin_says_what_to_install(tmp_path: Path) -> None:
    """Disabled and enabled again by the commands of docs/activity.md."""
    with Kolibri(installed(default_cache()), tmp_path, quick=True) as server:
        place = Place(server=server, id="s-1", owner="owner")
        await place.sync(two_pupils(place))

        async def hop() -> tuple[bool, str]:
            (*_, last) = await place.target().check()
            assert last.name == "activity"
            return last.ok, last.words

        server.command("plugin", "disable", "kolibri_homeroom_activity")
        server.restart()
        with pytest.raises(TerminalError, match="install and enable its plugin kolibri_homeroom_activity") as caught:
            await told(place)
        assert caught.value.reason == "CapabilityMissing"
        assert await hop() == (True, caught.value.message), "which is no failure: the roster does not need it"
        server.command("plugin", "enable", "kolibri_homeroom_activity")
        server.restart()
        assert (await told(place)).height == 3
        assert await hop() == (True, "Kolibri tells when accounts were last used")


_COUNT = """
import sys
from kolibri.utils.main import initialize
initialize()
from django.db import connection
from django.test.utils import CaptureQueriesContext
from kolibri.core.auth.models import FacilityUser
from kolibri_homeroom_activity.api import ActivityView
from rest_framework.test import APIRequestFactory, force_authenticate
request = APIRequestFactory().get("/", {"facility": sys.argv[1]})
force_authenticate(request, user=FacilityUser.objects.get(username="operator"))
with CaptureQueriesContext(connection) as queries:
    answer = ActivityView.as_view()(request)
print(len(answer.data["accounts"]), len(queries))
"""


async def test_the_number_of_questions_to_the_database_does_not_grow_with_the_accounts(place: Place) -> None:
    server = place.server

    async def counted(people: int) -> list[int]:
        await place.sync(desired(school=place.id, people={f"p-{n}": f"Pupil {n}" for n in range(people)}))
        facility = server.human().facility(place.id)
        printed = output(server._python, "-c", _COUNT, facility, environment=_environment(server._home))
        return [int(word) for word in printed.splitlines()[-1].split()]  # before it comes what Kolibri logs

    (few, questions), (many, more) = await counted(1), await counted(9)
    assert (few, many) == (1, 9)
    assert questions == more


async def _set(place: Place, key: str, table: str, **values: str) -> None:
    """Change rows of a person's in Kolibri's database, as nobody can by its pages."""
    account = (await place.read()).ids[key]
    column = "id" if table == "kolibriauth_facilityuser" else "user_id"
    changed = ", ".join(f"{name} = ?" for name in values)
    with place.server._database("db") as database:
        done = database.execute(f"UPDATE {table} SET {changed} WHERE {column} = ?", [*values.values(), account])
        assert done.rowcount > 0

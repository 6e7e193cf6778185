"""Taking over a real Kolibri that people, or another owner, had filled: reviewed, adopted, and then nothing to do.

Whole runs of the app's root, with commits, holds and store; the cluster around them is the one of the unit tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from tests.unit.reconcile.runs import APP, NOW, Declared, accept, app_run

from homeroom.api import Reason, Removal
from homeroom.demo.kolibri import Human, Kolibri, installed
from homeroom.demo.server import ServerError, default_cache
from homeroom.demo.stage import RECORDS, Records
from homeroom.errors import TerminalError
from homeroom.plan import Result
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.learningapp import LearningAppRoot
from homeroom.reconcile.run import Ending, Report
from homeroom.roster.adoption import adoptable
from homeroom.roster.diff import diff
from homeroom.roster.tables import SCHEMAS, Roster
from homeroom.store import JournalQuery, Store
from homeroom.targets.kolibri.usernames import ascii_of

from .kolibri_fixtures import MARK_KEY, Place, desired

pytestmark = pytest.mark.integration


class Commits(Declared):
    """The example district as Git holds it, with adoption, and the Approvals that somebody commits."""

    def __init__(self, server: Kolibri, *, adoption: str = "MatchIdentifier") -> None:
        super().__init__()
        self.server = server
        target = {"kolibri": {"url": server.url, "secretRef": {"name": "kolibri"}}}
        self.declare(adoption=adoption, target=target)

    def declare(self, **fields: object) -> None:
        """Somebody edits the app; None takes a field out."""
        (app,) = self.list("LearningApp", "")
        spec = {**app["spec"], **fields}
        app["spec"] = {name: value for name, value in spec.items() if value is not None}

    async def secret(self, **_: str) -> dict[str, str]:
        return {"username": self.server.username, "password": self.server.password, "markKey": MARK_KEY}

    def approve(self, hold: str) -> None:
        spec = {"targetRef": {"kind": APP.kind, "name": APP.name}, "hold": hold, "reason": "seen"}
        metadata = {"name": hold, "namespace": APP.namespace, "creationTimestamp": NOW.isoformat(), "generation": 1}
        self.objects.append(
            {"apiVersion": "homeroom.dev/v1alpha1", "kind": "Approval", "metadata": metadata, "spec": spec}
        )


class Runs:
    """Runs of the app on one store, a minute apart."""

    def __init__(self, store: Store, cluster: Commits, *, owner_id: str = "adopting") -> None:
        self.minutes = 0
        clock: Any = SimpleNamespace(
            now=lambda: NOW + timedelta(minutes=self.minutes), monotonic=lambda: self.minutes * 60.0
        )
        metrics: Any = SimpleNamespace(operations=lambda *_, **__: None)
        self.cluster, self.clock = cluster, clock
        self.root = LearningAppRoot(
            store=store, outside=Outside(owner_id=owner_id), metrics=metrics, clock=clock, settle=timedelta()
        )
        self.last: Report[Any] | None = None

    async def run(self) -> Report[Any]:
        status = self.last.status.document() if self.last else None
        run = app_run(self.cluster, clock=self.clock, status=status)
        self.minutes += 1
        self.last = await self.root.reconcile(run)
        return self.last


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Kolibri]:
    """A Kolibri of this test's own: its facilities are found by their names."""
    with Kolibri(installed(default_cache()), tmp_path / "kolibri", quick=True) as server:
        yield server


def stored(place: Path) -> Store:
    """A store that has accepted the sample records, and knows of no app."""
    place.mkdir()
    store = Store.open(f"sqlite:///{place / 'homeroom.db'}", place)
    accept(store)
    return store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = stored(tmp_path / "store")
    yield store
    store.close()


LEFT_OUT = 10  # one in so many was never entered


def filled_by_hand(human: Human, records: Records) -> dict[str, str]:
    """Schools, classes and most of the people, as a person enters them over the years; the password of each account.

    Staff have the user name that the records have, as far as Kolibri can write it, and pupils their number, every other
    one the source id, every other one the one on the pupil card.
    """
    passwords: dict[str, str] = {}
    for school in records.rows("orgs", type="school"):
        human.call("POST", "facility/create_facility/", {"name": school["name"], "preset": "formal"})
        facility = human.facility(school["name"])
        classes = {
            row["sourcedId"]: human.create_class(row["title"], facility=school["name"])
            for row in records.rows("classes", schoolSourcedId=school["sourcedId"])
        }
        accounts: dict[str, str] = {}
        for at, role in enumerate(records.rows("roles", orgSourcedId=school["sourcedId"])):
            if role["role"] == "guardian" or at % LEFT_OUT == 0 or role["userSourcedId"] in accounts:
                continue
            (user,) = records.rows("users", sourcedId=role["userSourcedId"])
            is_pupil = role["role"] == "student"
            number = user["sourcedId" if at % 2 else "identifier"] if is_pupil else ""
            password = "NOT_SPECIFIED" if is_pupil and at % 7 else f"by hand {at}"
            account = {
                "username": f"hand{at}" if is_pupil else ascii_of(user["username"])[:30].strip("_"),
                "facility": facility,
                "full_name": f"{user['givenName']} {user['familyName']}",
                "id_number": number,
                "password": password,
            }
            accounts[user["sourcedId"]] = human.call("POST", "facilityuser/", account)["id"]
            passwords[accounts[user["sourcedId"]]] = password
            if not is_pupil:
                kind = "admin" if role["role"] == "principal" else "classroom assignable coach"
                human.call(
                    "POST", "role/", [{"user": accounts[user["sourcedId"]], "collection": facility, "kind": kind}]
                )
        enrolled = [
            (accounts[row["userSourcedId"]], classes[row["classSourcedId"]], row["role"])
            for row in records.rows("enrollments", schoolSourcedId=school["sourcedId"])
            if row["userSourcedId"] in accounts
        ]
        members = [{"user": user, "collection": one} for user, one, role in enrolled if role == "student"]
        human.call("POST", "membership/", members)
        coaches = [
            {"user": user, "collection": one, "kind": "coach"} for user, one, role in enrolled if role == "teacher"
        ]
        human.call("POST", "role/", coaches)
    return passwords


def live(server: Kolibri) -> dict[str, dict[str, Any]]:
    """Accounts by their ids."""
    return {row["id"]: row for row in server.tables()["facilityuser"]}


def may_enter(server: Kolibri, account: dict[str, Any], password: str) -> bool:
    try:
        server.human(account["username"], "" if password == "NOT_SPECIFIED" else password, account["facility_id"])
    except ServerError:
        return False
    return True


async def test_a_kolibri_that_was_filled_by_hand_is_reviewed_adopted_and_then_left_alone(
    server: Kolibri, store: Store
) -> None:
    human, records = server.human(), Records(RECORDS)
    passwords = filled_by_hand(human, records)
    chess = human.create_class("Chess", facility="Rowan Hill Elementary School")
    guest = human.create_user("guest", facility="Rowan Hill Elementary School")
    human.add_member("guest", facility="Rowan Hill Elementary School", class_name="1a")
    human.add_member("guest", facility="Rowan Hill Elementary School", class_name="Chess")
    before, tables = live(server), server.tables()

    runs = Runs(store, Commits(server))
    held = await runs.run()
    assert (held.reason, held.ending) == (Reason.HELD_FOR_APPROVAL, Ending.STALLED)
    assert server.tables() == tables, "something was written before anybody had seen it"
    schools = {row["sourcedId"] for row in records.rows("orgs", type="school")}
    adoptions = {hold.place: hold for hold in held.status.holds if hold.guard == "Adoption"}
    assert adoptions.keys() == schools
    assert adoptions["s-001"].remove == 1, "the guest leaves 1a with the adoption, and that was to be seen"
    assert held.status.plan.adopt > held.status.plan.create > 0
    assert held.status.plan.doubtful == 0
    assert {hold.guard for hold in held.status.holds} == {"Adoption", "FirstSync", "Administrators"}
    assert all(hold.adopt == 0 for hold in held.status.holds if hold.guard == "FirstSync")

    for hold in held.status.holds:
        runs.cluster.approve(hold.id)
    done = await runs.run()
    assert (done.reason, done.ending) == (Reason.SUCCEEDED, Ending.DONE), done.message
    after = live(server)
    assert before.keys() <= after.keys(), "an account is gone"
    adopted = {id_ for id_ in before if '"homeroom.dev"' in str(after[id_]["extra_demographics"])}
    made = after.keys() - before.keys()
    assert len(adopted) > 5 * len(made) > 0
    numbers = [(row["facility_id"], row["id_number"]) for row in after.values() if row["id_number"]]
    assert len(numbers) == len(set(numbers)), "somebody has two accounts"
    ours = {(row["facility_id"], row["full_name"]) for id_, row in after.items() if id_ in made}
    assert not ours & {(row["facility_id"], row["full_name"]) for row in before.values()}, "somebody was made twice"
    assert {id_: after[id_]["password"] for id_ in before} == {id_: row["password"] for id_, row in before.items()}
    for id_ in sorted(adopted)[::25]:
        assert may_enter(server, after[id_], passwords[id_])
    assert {key: after[guest][key] for key in before[guest]} == before[guest]
    memberships = server.tables()["membership"]
    assert {row["collection_id"] for row in memberships if row["user_id"] == guest} == {chess}

    journal = store.history(JournalQuery(namespace=APP.namespace, limit=None))
    kept = journal.filter(pl.col("op") == "Adopt").group_by("kind").len().rows()
    assert {kind for kind, _ in kept} == {"School", "Person", "Class", "Membership", "Right"}, "why would not know"

    tables = server.tables()
    for _ in range(2):
        again = await runs.run()
        assert again.reason == Reason.SUCCEEDED
        assert again.status.plan.model_dump(exclude={"digest"}) == dict.fromkeys(
            ("create", "adopt", "doubtful", "update", "remove", "drift", "blocked"), 0
        )
        assert again.status == done.status
        assert server.tables() == tables


async def test_what_is_in_doubt_is_counted_and_no_second_account_is_made(server: Kolibri, store: Store) -> None:
    human, records = server.human(), Records(RECORDS)
    (pupil,) = records.rows("users", sourcedId="u-20")
    school = records.rows("orgs", sourcedId=records.rows("roles", userSourcedId="u-20")[0]["orgSourcedId"])[0]["name"]
    human.call("POST", "facility/create_facility/", {"name": school, "preset": "formal"})
    human.create_user("first", facility=school, id_number=pupil["sourcedId"])
    human.create_user("second", facility=school, id_number=pupil["identifier"])
    runs = Runs(store, Commits(server))
    for hold in (await runs.run()).status.holds:
        runs.cluster.approve(hold.id)
    told = await runs.run()
    assert (told.reason, told.ending) == (Reason.ADOPTION_UNCLEAR, Ending.STALLED)
    assert told.status.plan.doubtful == 1
    names = [row["full_name"] for row in live(server).values()]
    assert f"{pupil['givenName']} {pupil['familyName']}" not in names
    human.call("PATCH", f"facilityuser/{human.user('second', facility=school)}/", {"id_number": ""})
    (hold,) = (await runs.run()).status.holds
    assert (hold.guard, hold.adopt) == ("Adoption", 1)
    runs.cluster.approve(hold.id)
    assert (await runs.run()).reason == Reason.SUCCEEDED
    first = human.user("first", facility=school)
    assert live(server)[first]["full_name"] == f"{pupil['givenName']} {pupil['familyName']}"


async def test_an_account_that_changes_between_reading_and_writing_is_left_alone(place: Place) -> None:
    human = place.server.human()
    human.call("POST", "facility/create_facility/", {"name": place.id, "preset": "formal"})
    pupil, teacher = (human.create_user(name, facility=place.id, id_number=name) for name in ("p_1", "t_1"))
    role = {"user": teacher, "collection": human.facility(place.id), "kind": "coach"}
    human.call("POST", "role/", [role])
    wanted = desired(school=place.id, people={"p_1": "Ann Li", "t_1": "Tom Day"}, staff=["t_1"])
    nobody = Roster(**{name: pl.DataFrame(schema=schema) for name, schema in SCHEMAS.items()})
    async with place.target() as target:
        known = replace(place.known(wanted), adoptable=adoptable(nobody, wanted))
        plan = diff(wanted, await target.read(known), baseline=None, removal=Removal())
        human.call("PATCH", f"facilityuser/{pupil}/", {"id_number": "another"})
        human.call("DELETE", "role/", user_ids=teacher)
        before = live(place.server)
        outcomes = await place.carry_out(plan, target)
    results = [outcome.result for outcome in outcomes]
    assert (plan.changes["op"].cast(pl.String).to_list(), results) == (
        ["Adopt", "Adopt", "Adopt"],
        [Result.APPLIED, Result.SKIPPED, Result.SKIPPED],
    )
    after = live(place.server)
    assert {id_: after[id_] for id_ in (pupil, teacher)} == {id_: before[id_] for id_ in (pupil, teacher)}


# ---------------------------------------------------------------------------------------------------------------------
# From one owner to another


async def test_another_owner_takes_over_by_name_and_the_former_one_stops(server: Kolibri, tmp_path: Path) -> None:
    here, there = stored(tmp_path / "old"), stored(tmp_path / "new")
    old = Runs(here, Commits(server, adoption="None"), owner_id="old")
    await synced(old)
    tables = server.tables()

    new = Runs(there, Commits(server), owner_id="new")
    with pytest.raises(TerminalError) as refused:
        await new.run()
    assert refused.value.reason == "OwnedElsewhere"

    new.cluster.declare(adoptFrom={"ownerId": "old", "namespace": APP.namespace, "name": APP.name})
    held = await new.run()
    assert {hold.guard for hold in held.status.holds} == {"Adoption", "Administrators"}
    assert held.status.plan.create == held.status.plan.remove == 0
    assert server.tables() == tables
    await synced(new)
    assert unmarked(server.tables()) == unmarked(tables), "only marks have changed"
    with pytest.raises(TerminalError) as stopped:
        await old.run()
    assert stopped.value.reason == "OwnedElsewhere"

    tables = server.tables()
    new.cluster.declare(adoption="None", adoptFrom=None)
    again = await new.run()
    assert (again.reason, again.status.plan.digest) == (Reason.SUCCEEDED, None), "what was taken over stays ours"
    assert server.tables() == tables
    here.close()
    there.close()


async def synced(runs: Runs) -> None:
    """Everything that waits is approved, and all is done."""
    for hold in (await runs.run()).status.holds:
        runs.cluster.approve(hold.id)
    done = await runs.run()
    assert done.reason == Reason.SUCCEEDED, done.message


def unmarked(tables: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """The tables without what bears our marks."""
    bearing = {"extra_demographics", "extra_fields"}
    return {
        name: [{key: value for key, value in row.items() if key not in bearing} for row in rows]
        for name, rows in tables.items()
    }

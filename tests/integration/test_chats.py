"""Chats as a whole: declared YAML and an export become rooms with the right people in them, on a real Synapse.

The operator is a process of its own with the rights that `manifests/` ships. What is asserted is what Synapse and the
API server hold afterwards. Faults that a real server does not show by itself: unit/reconcile/test_chat_runs.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from homeroom.chats.linking import Place
from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.kolibri import Kolibri, installed
from homeroom.demo.server import default_cache
from homeroom.demo.stage import EXAMPLE, OWNER, RECORDS, SYSTEM, Launch, Records, Stage, message, wait_for
from homeroom.store import Store

from .stage_fixtures import broken, remove_ours
from .synapse_fixtures import Chats, View

pytestmark = pytest.mark.integration

SCHOOL = "s-001"
STAFF, STUDENTS, PARENTS = "Staff room - Rowan Hill Elementary School", "5a students", "5a parents"
_MINUTES = 300.0
"""Seconds that a run may take on a machine that is busy with other things."""


@dataclass
class School:
    """One school of the example district with its chats: a stage whose product is a Synapse."""

    stage: Stage
    chats: Chats
    records: Records
    ending: str

    def account(self, person: str) -> str:
        """Of somebody with this source id."""
        return f"@{person}.{self.ending}:{self.chats.server.server_name}"

    def declare(self) -> None:
        """District, platform and policy, as Git would hold them, and the Secret that Git must not hold."""
        namespace, server = self.stage.namespace, self.chats.server
        district = yaml.safe_load((EXAMPLE / "district.yaml").read_text())
        self.stage.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "matrix", "labels": {"homeroom.dev/use": "credentials"}},
                "stringData": {"accessToken": self.chats.operator.token},
            },
            {**district, "metadata": {"name": "lakeside"}},
            self._resource(
                "ChatPlatform",
                "matrix",
                matrix={
                    "homeserver": server.url,
                    "serverName": server.server_name,
                    "secretRef": {"name": "matrix"},
                    "roomVersion": int(self.chats.version),
                },
                identity={"type": "Template", "template": self.account("{sourcedId}")},
            ),
            self._resource(
                "ChatPolicy",
                "chats",
                districtRef={"name": "lakeside"},
                platformRef={"name": "matrix"},
                match=[{"key": "school", "operator": "In", "values": [SCHOOL]}],
                chats=[{"type": "StaffRoom"}, {"type": "ClassStudents"}, {"type": "ClassParents"}],
                sync={"mode": "Interval", "interval": "12h"},
            ),
        )
        grant = ("create", "rolebinding", "homeroom", "--clusterrole=homeroom-tenant")
        self.stage.kubectl(*grant, f"--serviceaccount={SYSTEM}:homeroom", "-n", namespace)

    @staticmethod
    def _resource(kind: str, name: str, **spec: Any) -> dict[str, Any]:
        return {"apiVersion": "homeroom.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}

    def there(self) -> Mapping[str, Mapping[str, str | None]]:
        """Name of a chat -> who is in it, by source id, and their state there."""
        view = self.view()
        return {
            view.names[key]: {
                account[1:].partition(".")[0]: state
                for account, state in people.items()
                if account != self.chats.operator.user_id
            }
            for key, people in view.members.items()
        }

    def view(self) -> View:
        """What Synapse holds."""

        async def read() -> View:
            async with self.chats.platform(owner=f"{OWNER}/{self.stage.namespace}/lakeside") as platform:
                return View(await platform.read())

        return asyncio.run(read())

    def room(self, name: str) -> str:
        """The id of a room by its name."""
        view = self.view()
        return next(view.rooms[key] for key, told in view.names.items() if told == name)

    def approve(self) -> None:
        """Somebody approves the first chats."""
        self.stage.approve(self.stage.wait_held("chatpolicy", "chats", seconds=_MINUTES), of="chats", kind="ChatPolicy")

    def run(self) -> str:
        """The policy has a run; what it says then."""
        return message(self.stage.run("chatpolicy", "chats", seconds=_MINUTES))


@pytest.fixture
def school(
    *,
    controlplane: ControlPlane,
    base: Path,  # noqa: ARG001 - CRDs, rights
    chats: Chats,
    everybody: str,
    tmp_path: Path,
    forked: Launch,
) -> Iterator[School]:
    """A school with accounts, declared and published; nothing has run."""
    before = controlplane.etcd_revision()
    stage = Stage(
        kubectl=controlplane.kubectl,
        plane=controlplane,
        kubeconfig=lambda: controlplane.kubeconfig_for(SYSTEM, "homeroom"),
        kolibri=Kolibri(installed(default_cache()), tmp_path / "kolibri"),  # never started
        directory=tmp_path,
        namespace=f"chats-{chats.mark}",
        options=("--no-lease",),  # a killed leader's Lease would have to run out first
        launch=forked,
    )
    here = School(stage, chats, Records(RECORDS), everybody)
    here.declare()
    stage.publish(here.records)
    try:
        yield here
    finally:
        stage.kill()
        remove_ours(controlplane, stage.namespace)
    assert broken(controlplane, stage, since=before) == []


def test_the_chats_of_a_school_are_filled_and_stay_so(school: School, controlplane: ControlPlane) -> None:
    stage, server = school.stage, school.chats.server
    stage.start()
    stage.wait_held("chatpolicy", "chats", seconds=_MINUTES)
    assert school.view().rooms == {}, "something was made before anybody had seen it"
    school.approve()
    stage.wait_ready("chatpolicy", "chats", seconds=_MINUTES)

    there = school.there()
    section = school.records.rows("classes", title="5a")[0]["sourcedId"]
    learners = {
        row["userSourcedId"] for row in school.records.rows("enrollments", classSourcedId=section, role="student")
    }
    assert set(there) == {
        STAFF,
        *(f"{title} {who}" for title in ("KGa", "1a", "2a", "3a", "4a", "5a") for who in ("students", "parents")),
    }
    assert set(there[STUDENTS]) - {"t-6"} <= learners
    assert "t-6" in there[STUDENTS].keys() & there[PARENTS].keys() & there[STAFF].keys(), (
        "a class teacher has three chats"
    )
    assert {state for people in there.values() for state in people.values()} == {"Joined"}
    leads = school.view().administrators
    keys = {name: key for key, name in school.view().names.items()}
    assert leads[keys[PARENTS]] == leads[keys[STUDENTS]] == {school.account("t-6")}

    # Nothing to do: nothing is written, nowhere.
    school.run()
    events, revision, last = school.chats.events(), controlplane.etcd_revision(), stage.last_run("ChatPolicy", "chats")
    assert stage.stop() == 0
    stage.start()  # a start runs every root anew
    wait_for("the policy has run again", lambda: stage.last_run("ChatPolicy", "chats") > last, seconds=_MINUTES)
    assert [key for key in controlplane.written_since(revision) if f"/{stage.namespace}/" in key] == []
    assert school.chats.events() == events

    # By hand: a stranger is out, and somebody who was put out is back.
    stranger = server.account(f"stranger.{school.chats.mark}")
    room = school.room(PARENTS)
    parent = next(one for one in there[PARENTS] if one.startswith("g-"))
    school.chats.operator.do("POST", f"/_synapse/admin/v1/join/{room}", {"user_id": stranger.user_id})
    school.chats.operator.do("POST", f"rooms/{room}/kick", {"user_id": school.account(parent)})
    assert school.run().startswith("Succeeded: ")
    assert school.there() == there

    # Whoever takes a link back is out on the next run.
    store = Store.open(f"sqlite:///{stage.database}", stage.directory / "data", as_it_is=True)
    place = Place(stage.namespace, "matrix", "lakeside")
    assert store.links.unlink(place, parent, now=datetime.now(UTC)) == 1
    store.close()
    assert school.run().startswith("Succeeded: ")
    assert school.there()[PARENTS] == {one: state for one, state in there[PARENTS].items() if one != parent}

    # An export that empties a class is held.
    before = school.there()
    school.records.remove("enrollments", classSourcedId=section, role="student")
    stage.publish(school.records)
    assert "HeldForApproval" in message(stage.run("district", "lakeside", seconds=_MINUTES))
    school.run()
    assert school.there() == before


@pytest.mark.parametrize("version", ["12"])
def test_killed_at_random_points_of_a_first_fill_it_ends_the_same(school: School) -> None:
    stage, operator = school.stage, school.chats.operator
    stage.start()
    holds = stage.wait_held("chatpolicy", "chats", seconds=_MINUTES)
    stage.kill()
    stage.approve(holds, of="chats", kind="ChatPolicy")
    total = sum(hold["create"] for hold in holds)
    administrators = sum(hold["create"] for hold in holds if hold["guard"] == "Administrators")

    def reached(point: int) -> bool:
        """Whether there are so many rooms, members and administrators; only these need a look into each room."""
        listed = operator.do("GET", "/_synapse/admin/v1/rooms?limit=10000")["rooms"]
        ours = [one for one in listed if one["creator"] == operator.user_id and one["room_type"] is None]
        there: int = sum(one["joined_local_members"] for one in ours)  # with us, who stand for the room
        if there >= point or there + administrators < point:
            return there >= point
        return there + sum(map(len, school.view().administrators.values())) >= point

    def starts() -> int:
        return stage.log.read_text().count('"event": "started"')

    chance = random.Random(20)
    for kill, point in enumerate(sorted(chance.randrange(1, total) for _ in range(20)), start=2):
        stage.start()
        # Where the last one got further than that already, this one has at least begun to work. Until then the server
        # is not asked, ten times a second on the one core where the operator starts.
        wait_for(f"{point} things", lambda: starts() == kill and reached(point), seconds=_MINUTES)  # noqa: B023 - evaluated in this turn
        stage.kill()
    stage.start()
    stage.wait_ready("chatpolicy", "chats", seconds=_MINUTES)
    assert len(school.there()) == 13
    assert {state for people in school.there().values() for state in people.values()} == {"Joined"}
    rooms = operator.do("GET", "joined_rooms")["joined_rooms"]
    kinds = [operator.do("GET", f"rooms/{room}/state/m.room.create").get("type") for room in rooms]
    assert (kinds.count(None), kinds.count("m.space")) == (13, len(kinds) - 13), "a chat was made twice"
    for room in school.view().rooms.values():
        joins: dict[str, int] = {}
        for event in operator.do("GET", f"rooms/{room}/messages?dir=b&limit=500")["chunk"]:
            if event["type"] == "m.room.member" and event["content"].get("membership") == "invite":
                joins[event["state_key"]] = joins.get(event["state_key"], 0) + 1
        assert set(joins.values()) <= {1}, "somebody was asked in twice"

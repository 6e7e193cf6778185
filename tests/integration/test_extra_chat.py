"""An extra chat as a whole: declared YAML becomes a room with the right people in it, on a real Synapse.

The operator is a process of its own with the rights that `manifests/` ships. More of what may happen, without servers:
unit/reconcile/test_extra_chats.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from homeroom.chats.linking import JoinState
from homeroom.demo.controlplane import ControlPlane
from homeroom.demo.stage import OWNER, SYSTEM, message, wait_for
from homeroom.store import Store

from .synapse_fixtures import View
from .test_chats import SCHOOL, School, school
from .test_matrix_rooms import png

pytestmark = pytest.mark.integration

__all__ = ["school"]  # a fixture
_MINUTES = 300.0
TEACHER = "t-6"


class Newspaper:
    """The extra chat of a school."""

    def __init__(self, school: School) -> None:
        self.school, self.stage = school, school.stage

    def declare(self, **spec: Any) -> None:
        references = {"districtRef": {"name": "lakeside"}, "platformRef": {"name": "matrix"}}
        meta = {"name": "newspaper", "namespace": self.stage.namespace}
        whole = {"name": "Newspaper", "sync": {"mode": "Continuous", "interval": "12h"}, **references, **spec}
        self.stage.apply({"apiVersion": "homeroom.dev/v1alpha1", "kind": "Chat", "metadata": meta, "spec": whole})

    def approve(self) -> None:
        self.stage.approve(self.stage.wait_held("chat", "newspaper", seconds=_MINUTES), of="newspaper", kind="Chat")

    def view(self) -> View:
        """What Synapse holds."""

        async def read() -> View:
            owner = f"{OWNER}/{self.stage.namespace}/lakeside#newspaper"
            async with self.school.chats.platform(owner=owner) as platform:
                return View(await platform.read())

        return asyncio.run(read())

    def people(self) -> Mapping[str, str | None]:
        """Who is in it by source id, and their state there."""
        us = self.school.chats.operator.user_id
        return {
            account[1:].partition(".")[0]: state
            for people in self.view().members.values()
            for account, state in people.items()
            if account != us
        }

    def present(self) -> set[str]:
        return {person for person, state in self.people().items() if state == "Joined"}

    def wait_for(self, *people: str) -> None:
        """Until these and no others are in it."""
        wait_for(f"{people} are in the chat", lambda: self.present() == set(people), seconds=_MINUTES)

    def students(self) -> tuple[str, str]:
        """Source ids of two students of the school."""
        rows = self.school.records.rows("roles", role="student", orgSourcedId=SCHOOL)
        one, other, *_ = sorted({row["userSourcedId"] for row in rows})
        return one, other

    def colleague(self) -> str:
        """Another teacher of the school."""
        rows = self.school.records.rows("roles", role="teacher", orgSourcedId=SCHOOL)
        return next(row["userSourcedId"] for row in rows if row["userSourcedId"] != TEACHER)

    def run(self) -> str:
        return message(self.stage.run("chat", "newspaper", seconds=_MINUTES))


@pytest.fixture
def newspaper(school: School, controlplane: ControlPlane) -> Iterator[Newspaper]:
    """A school without a policy; the operator runs."""
    controlplane.kubectl("delete", "chatpolicy", "chats", "-n", school.stage.namespace)
    school.stage.start()
    yield Newspaper(school)
    controlplane.kubectl("delete", "chats", "--all", "-n", school.stage.namespace)


def test_an_extra_chat_is_filled_repaired_and_renamed(newspaper: Newspaper, controlplane: ControlPlane) -> None:
    stage, chats, (one, other) = newspaper.stage, newspaper.school.chats, newspaper.students()
    newspaper.declare(members={"people": [one, other]}, admins=[TEACHER], settings={"preset": "Ordinary"})
    stage.wait_held("chat", "newspaper", seconds=_MINUTES)
    assert newspaper.view().rooms == {}, "something was made before anybody had seen it"
    newspaper.approve()
    stage.wait_ready("chat", "newspaper", seconds=_MINUTES)
    assert newspaper.present() == {one, other, TEACHER}
    ((key, room),) = newspaper.view().rooms.items()
    assert newspaper.view().administrators == {key: {newspaper.school.account(TEACHER)}}
    assert newspaper.view().names == {key: "Newspaper"}
    state = chats.operator.do("GET", f"/_synapse/admin/v1/rooms/{room}/state")["state"]
    assert "m.space.parent" not in {event["type"] for event in state}

    # Nothing to do: nothing is written.
    newspaper.run()
    events, revision, last = chats.events(), controlplane.etcd_revision(), stage.last_run("Chat", "newspaper")
    assert stage.stop() == 0
    stage.start()
    wait_for("the chat has run again", lambda: stage.last_run("Chat", "newspaper") > last, seconds=_MINUTES)
    assert [key for key in controlplane.written_since(revision) if f"/{stage.namespace}/" in key] == []
    assert chats.events() == events

    # By hand, within seconds: a stranger is out, who was put out is back, and the name is the declared one. What our
    # own account does is not told of: it is seen with what the teacher does, who may edit the name.
    stranger = chats.server.account(f"stranger.{chats.mark}")
    teacher = chats.server.account(f"{TEACHER}.{newspaper.school.ending}")
    chats.operator.do("POST", f"rooms/{room}/kick", {"user_id": newspaper.school.account(other)})
    chats.operator.do("POST", f"/_synapse/admin/v1/join/{room}", {"user_id": stranger.user_id})
    teacher.do("PUT", f"rooms/{room}/state/m.room.name", {"name": "Ours"})
    wait_for("the name is back", lambda: newspaper.view().names == {key: "Newspaper"}, seconds=_MINUTES)
    newspaper.wait_for(one, other, TEACHER)

    # Another name is no other room, and who is named no more goes with the last reason.
    newspaper.declare(name="Gazette", members={"people": [one]}, admins=[TEACHER])
    wait_for("the name has changed", lambda: newspaper.view().names == {key: "Gazette"}, seconds=_MINUTES)
    newspaper.wait_for(one, TEACHER)
    assert newspaper.view().rooms == {key: room}


def test_by_the_link_people_come_and_go_and_a_chat_that_is_deleted_leaves_its_room(
    newspaper: Newspaper, controlplane: ControlPlane
) -> None:
    stage, (student, _) = newspaper.stage, newspaper.students()
    newspaper.declare(admins=[TEACHER], join="Link")
    newspaper.approve()
    newspaper.wait_for(TEACHER)
    ((key, room),) = newspaper.view().rooms.items()
    store = Store.open(f"sqlite:///{stage.database}", stage.directory / "data", as_it_is=True)
    try:
        link = store.joins.link(namespace=stage.namespace, chat="newspaper")
        assert link is not None
        colleague = newspaper.colleague()
        assert store.joins.ask(link, colleague, now=datetime.now(UTC))
        assert store.joins.ask(link, student, now=datetime.now(UTC)), "for whom the link is not"
        newspaper.wait_for(TEACHER, colleague)
        wait_for("the student is refused", lambda: store.joins.state(link, student) is JoinState.REFUSED)
        assert newspaper.view().administrators == {key: {newspaper.school.account(TEACHER)}}
        assert store.joins.leave(link, colleague, now=datetime.now(UTC))
        newspaper.wait_for(TEACHER)

        controlplane.kubectl("delete", "chat", "newspaper", "-n", stage.namespace)
        wait_for("its link is dead", lambda: store.joins.by_word(link.word) is None)
    finally:
        store.close()
    assert newspaper.view().rooms == {key: room}
    assert newspaper.present() == {TEACHER}
    newspaper.declare(members={"people": [student]}, admins=[TEACHER])
    newspaper.wait_for(student, TEACHER)
    assert newspaper.view().rooms == {key: room}


def test_the_declared_picture_is_set_once_and_what_people_make_of_it_is_theirs(
    newspaper: Newspaper, controlplane: ControlPlane
) -> None:
    stage, chats, (student, _) = newspaper.stage, newspaper.school.chats, newspaper.students()
    picture = {"configMapKeyRef": {"name": "pictures", "key": "logo.png"}}

    def said() -> str:
        return message(stage.get("chat", "newspaper"), "AvatarSet")

    def said_after_a_run() -> str:
        newspaper.run()
        return said()

    def put(content: bytes, **labels: str) -> None:
        data = {"logo.png": base64.b64encode(content).decode()}
        meta = {"name": "pictures", "labels": labels}
        stage.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "binaryData": data})

    # Without the right to read it the chat is made and filled all the same.
    put(png(0))
    newspaper.declare(members={"people": [student]}, admins=[TEACHER], settings={"preset": "Ordinary"}, avatar=picture)
    newspaper.approve()
    newspaper.wait_for(student, TEACHER)
    wait_for("it says so", lambda: said().startswith("Forbidden: "), seconds=_MINUTES)
    assert "manifests/components/pictures" in said()

    # As `manifests/components/pictures` does it; and only a ConfigMap that is labelled is read.
    grant = ("create", "rolebinding", "homeroom-pictures", "--clusterrole=homeroom-pictures")
    stage.kubectl(*grant, f"--serviceaccount={SYSTEM}:homeroom", "-n", stage.namespace)
    wait_for("it may", lambda: said_after_a_run().startswith("AvatarNotFound: "), seconds=_MINUTES)
    assert "must carry the label" in said()
    put(png(0), **{"homeroom.dev/use": "pictures"})
    assert newspaper.run().startswith("Succeeded: ")
    assert said() == "AvatarSet: the declared picture was set"
    (room,) = newspaper.view().rooms.values()
    teacher = chats.server.account(f"{TEACHER}.{newspaper.school.ending}")
    avatar = f"rooms/{room}/state/m.room.avatar/"
    first = teacher.do("GET", avatar)["url"]

    # Nothing to do: nothing is written.
    events = chats.events()
    newspaper.run()
    revision = controlplane.etcd_revision()
    newspaper.run()
    written = [key for key in controlplane.written_since(revision) if f"/{stage.namespace}/" in key]
    assert {key.rpartition("/")[2] for key in written} <= {"newspaper"}  # that the run was asked for, and ended
    assert chats.events() == events

    teacher.do("PUT", avatar, {"url": "mxc://elsewhere.example/ours"})
    newspaper.run()
    assert teacher.do("GET", avatar)["url"] == "mxc://elsewhere.example/ours"
    put(png(1), **{"homeroom.dev/use": "pictures"})
    newspaper.run()
    assert teacher.do("GET", avatar)["url"] not in {first, "mxc://elsewhere.example/ours"}

    # A file that is none: told, and everybody stays where they belong.
    put(b"<svg/>", **{"homeroom.dev/use": "pictures"})
    chats.operator.do("POST", f"rooms/{room}/kick", {"user_id": newspaper.school.account(student)})
    assert newspaper.run().startswith("Succeeded: ")
    assert said().startswith("AvatarUnusable: ")
    assert newspaper.present() == {student, TEACHER}

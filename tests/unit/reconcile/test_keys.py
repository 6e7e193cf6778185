"""Whole runs of licences with `access: Key`: a key is made once, found again, rotated, revoked, and mailed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.mailserver import Server, mail_server
from tests.unit.reconcile.nights import Nights
from tests.unit.reconcile.test_licensepool import POOL, World

from homeroom.api import FINALIZER, ROTATE_KEY_AT, parse
from homeroom.api.conditions import violations
from homeroom.errors import TransientError
from homeroom.mail import Mailer, MailServer, Post, Security
from homeroom.reconcile.delivery import addresses_in
from homeroom.reconcile.keys import SECRET_TYPE, key_in, secret_name
from homeroom.reconcile.ports import Key
from homeroom.seats import keys
from homeroom.seats.keys import Connected
from homeroom.store import LicenceName, LostLeadershipError, Store

NORTH = LicenceName("lakeside", "north")
ANNA, BO = "anna.berg@rowan.example", "bo@rowan.example"


@pytest.fixture
async def world(first_reading: Nights, tmp_path: Path) -> World:
    return await World.with_pool(tmp_path, first_reading)


@pytest.fixture
def server() -> Iterator[Server]:
    with mail_server() as running:
        yield running


def licence(world: World, name: str = "north", **spec: Any) -> Key:
    key = world.licence(name, 400, access="Key", **spec)
    world.cluster.objects[key]["metadata"]["uid"] = f"{name}-{world.now.timestamp()}"
    return key


def secret(world: World, name: str = "north") -> Any:
    return world.cluster.secrets["lakeside", secret_name(name)]


def held(world: World, name: str = "north") -> str:
    """The key in the Secret of a licence."""
    key = key_in(secret(world, name))
    assert key is not None
    return key


def alive(world: World, key: str) -> bool:
    return world.store.licences.by_key(keys.digest(key)) is not None


def rotate(world: World, key: Key, token: str) -> None:
    meta = world.cluster.objects[key]["metadata"]
    annotated = {**meta, "annotations": {ROTATE_KEY_AT: token}}
    world.cluster.objects[key] = {**world.cluster.objects[key], "metadata": annotated}


def teacher(world: World, school: str = "s-001") -> str:
    """One teacher of a school."""
    rows: list[dict[str, str]] = world.records.rows("enrollments", schoolSourcedId=school, role="teacher")
    return min(row["userSourcedId"] for row in rows)


def pupils(world: World, person: str, school: str = "s-001") -> int:
    """How many students of a school learn in a class that a teacher teaches."""
    rows = world.records.rows("enrollments", schoolSourcedId=school, role="teacher")
    classes = {row["classSourcedId"] for row in rows if row["userSourcedId"] == person}
    return len({row["userSourcedId"] for row in world.enrolled(school) if row["classSourcedId"] in classes})


def correct(world: World, key: Key) -> bool:
    return not violations(world.cluster.objects[key], final=True)


async def test_a_licence_gets_a_key_in_a_secret_that_goes_with_it(world: World) -> None:
    key = licence(world)
    await world.run(POOL)
    made = secret(world)
    uid = world.cluster.objects[key]["metadata"]["uid"]
    assert made["type"] == SECRET_TYPE
    assert [owner["uid"] for owner in made["metadata"]["ownerReferences"]] == [uid]
    assert made["metadata"]["labels"] == {"homeroom.dev/use": "licence-key"}
    assert alive(world, held(world))
    status = world.status(key)
    assert world.reason(key) == "Granted"
    assert world.reason(key, "KeyReady") == "KeyReady"
    assert (status["key"]["secret"], status["connectedTeachers"]) == ("homeroom-key-north", 0)
    assert FINALIZER in world.cluster.objects[key]["metadata"]["finalizers"]
    assert correct(world, key)
    written = json.dumps({str(key): obj for key, obj in world.cluster.objects.items()})
    assert held(world) not in written
    assert keys.shown(held(world)) not in written


async def test_the_key_stays_whatever_runs_and_no_run_looks_twice(world: World) -> None:
    licence(world)
    await world.run(POOL)
    before, looks = held(world), world.cluster.looks
    assert await world.again() == 0
    assert world.cluster.looks == looks
    world.restarted()
    assert await world.again() == 0
    assert world.cluster.looks == looks + 1
    assert held(world) == before


async def test_the_key_stays_when_the_store_is_lost_and_nobody_gets_it_twice(
    world: World, tmp_path: Path, server: Server
) -> None:
    post(world, server, ANNA)
    licence(world, deliverKeyTo={"contactSecretRef": {"name": "contacts"}})
    await world.run(POOL)
    before = held(world)
    assert len(server.texts(ANNA)) == 1
    world.store.close()
    world.store = Store.open(f"sqlite:///{tmp_path / 'new.db'}", tmp_path)
    world.restarted()
    await world.run(Key("District", "lakeside", "lakeside"), POOL, Key("SchoolLicense", *NORTH))
    assert held(world) == before
    assert alive(world, before)
    assert len(server.texts(ANNA)) == 1
    post(world, server, ANNA, BO)
    await world.run(Key("SchoolLicense", *NORTH))
    assert (len(server.texts(ANNA)), len(server.texts(BO))) == (1, 1)


async def test_a_rotation_kills_the_old_key_at_once_and_happens_once(world: World) -> None:
    key = licence(world)
    await world.run(POOL)
    old, person = held(world), teacher(world)
    assert world.store.licences.connect(
        keys.digest(old), district="lakeside", teacher=person, how=Connected.KEY, at=world.now
    )
    rotate(world, key, "today")
    await world.run(POOL)
    new = held(world)
    assert new != old
    assert (alive(world, old), alive(world, new)) == (False, True)
    assert world.status(key)["lastHandledRotateKeyAt"] == "today"
    assert world.status(key)["connectedTeachers"] == 1  # who is connected stays so
    assert await world.again() == 0
    world.cluster.objects[key]["status"].pop("lastHandledRotateKeyAt")  # restored from Git, without its status
    world.restarted()
    await world.again()
    assert held(world) == new


@pytest.mark.parametrize("change", ["deleted", "broken", "reused", "copied"])
async def test_a_secret_that_somebody_spoilt_gets_a_new_key(world: World, change: str) -> None:
    licence(world)
    licence(world, "south", school="s-002")
    await world.run(POOL)
    old = held(world)
    place = ("lakeside", secret_name("north"))
    if change == "deleted":
        del world.cluster.secrets[place]
    else:
        text = {"broken": "BCDF-GHJK", "reused": old, "copied": held(world, "south")}[change]
        if change == "reused":
            rotate(world, Key("SchoolLicense", *NORTH), "today")
            await world.run(POOL)
        data = {"key": base64.b64encode(text.encode()).decode()}
        world.cluster.secrets[place] = {**secret(world), "data": data}
    south = held(world, "south")
    world.now += timedelta(hours=7)
    await world.run(POOL)
    assert held(world) not in {old, south}
    assert (alive(world, held(world)), alive(world, old), alive(world, south)) == (True, False, True)


async def test_somebody_elses_secret_is_not_touched(world: World) -> None:
    other = {
        "type": "Opaque",
        "metadata": {"name": secret_name("north"), "namespace": "lakeside", "resourceVersion": "1"},
        "data": {"key": "aHVudGVyMg=="},
    }
    world.cluster.secrets["lakeside", secret_name("north")] = other
    key = licence(world)
    await world.run(POOL)
    assert secret(world) == other
    assert world.reason(key) == world.reason(key, "KeyReady") == "SecretTaken"
    assert correct(world, key)
    assert world.store.licences.keys(["lakeside"]).is_empty()
    assert await world.again() == 0


async def test_without_the_right_to_write_it_says_so_and_leaves_nothing_behind(world: World) -> None:
    key = licence(world)
    world.cluster.refusal = TransientError("POST secrets: forbidden", reason="Forbidden")
    await world.run(POOL)
    assert world.reason(key) == world.reason(key, "KeyReady") == "Forbidden"
    assert world.status(key)["granted"] == 400  # the pool goes on
    assert await world.again() == 0
    assert world.store.licences.keys(["lakeside"]).is_empty()
    world.cluster.refusal = None
    await world.again()
    assert world.reason(key) == "Granted"
    assert alive(world, held(world))


async def test_a_deleted_licence_takes_key_and_connections_with_it_and_its_successor_has_another(world: World) -> None:
    key = licence(world)
    await world.run(POOL)
    old, person = held(world), teacher(world)
    world.store.licences.connect(keys.digest(old), district="lakeside", teacher=person, how=Connected.KEY, at=world.now)
    await world.again()
    await world.delete(key)
    assert key not in world.cluster.objects
    assert not alive(world, old)
    assert world.store.licences.connections(["lakeside"]).is_empty()
    assert world.seating().seats.is_empty()
    licence(world)  # before the garbage collector came
    await world.run(POOL)
    assert held(world) != old
    assert alive(world, held(world))


async def test_a_licence_that_vanished_takes_its_key_with_it_after_the_grace(world: World) -> None:
    key = licence(world)
    await world.run(POOL)
    vanished = held(world)
    del world.cluster.objects[key]  # somebody took our finalizer away
    await world.again()
    assert alive(world, vanished)
    world.now += timedelta(days=8)
    await world.run(POOL)
    assert not alive(world, vanished)


async def test_a_pool_that_went_with_all_its_licences_leaves_no_key_alive(world: World) -> None:
    key = licence(world)
    await world.run(POOL)
    made = held(world)
    del world.cluster.objects[key]
    del world.cluster.objects[POOL]
    await world.run(POOL)
    assert not alive(world, made)


async def test_who_leads_no_more_makes_no_key_and_blames_no_licence(world: World, server: Server) -> None:
    post(world, server, ANNA)
    key = licence(world, deliverKeyTo=MAILED)
    await world.run(POOL)
    before = world.cluster.objects[key]
    world.store.licences.revoke([LicenceName("n", "other")], at=world.now, epoch=2)  # somebody else leads
    rotate(world, key, "today")
    for who in (POOL, Key("SchoolLicense", *NORTH)):
        with pytest.raises(LostLeadershipError):
            await world.run(who)
    assert world.cluster.objects[key]["status"] == before["status"]
    assert len(server.mails) == 1


async def test_students_of_connected_teachers_alone_take_seats(world: World) -> None:
    key = licence(world)
    await world.run(POOL)
    assert world.granted(key) == ("Granted", 400, 0)
    person = teacher(world)
    for someone in (person, teacher(world, "s-002"), "nobody"):
        world.store.licences.connect(
            keys.digest(held(world)), district="lakeside", teacher=someone, how=Connected.KEY, at=world.now
        )
    await world.again()
    expected = pupils(world, person)
    assert 0 < expected < world.students("s-001")
    assert world.granted(key) == ("Granted", 400, expected)
    assert world.status(key)["connectedTeachers"] == 3
    assert await world.again() == 0


async def test_a_licence_that_the_pool_does_not_admit_gets_no_key(world: World) -> None:
    key = licence(world, "far", namespace="elsewhere")
    await world.run(POOL)
    assert world.reason(key) == "NotAllowedByPool"
    assert not world.cluster.secrets


async def test_many_licences_get_their_keys_with_one_write_each(world: World) -> None:
    before = world.cluster.writes
    for number in range(20):
        licence(world, f"l-{number}", school="s-999", schoolUnit="0001")
    await world.run(POOL)
    # a finalizer, a Secret and a status each, and the pool's own status
    assert world.cluster.writes - before == 20 * 3 + 1
    assert len({held(world, f"l-{number}") for number in range(20)}) == 20


# -- mail ----------------------------------------------------------------------------------------------------


def post(world: World, server: Server, *addresses: str) -> None:
    """The operator has a mail server, and a licence contacts."""
    there = MailServer(host="127.0.0.1", port=server.port, security=Security.NONE, sender="homeroom@lakeside.example")
    world.post = Post(mailer=Mailer(there), connect_url="https://homeroom.example/connect")
    world.cluster.credentials["lakeside", "contacts"] = {"addresses": "# the office\n" + "\n".join(addresses)}
    world.restarted()


MAILED = {"contactSecretRef": {"name": "contacts"}, "language": "Swedish"}


async def test_the_key_is_mailed_once_to_each_contact(world: World, server: Server) -> None:
    post(world, server, ANNA, BO)
    key = licence(world, deliverKeyTo=MAILED)
    await world.run(POOL)
    (text,) = server.texts(ANNA)
    assert keys.shown(held(world)) in text
    assert "https://homeroom.example/connect" in text
    assert "Rowan Hill" in text
    assert server.mails[0][2]["Content-Language"] == "sv"
    status = world.status(key)
    assert {name: status["key"].get(name, 0) for name in ("sent", "refused", "waiting")} == {
        "sent": 2,
        "refused": 0,
        "waiting": 0,
    }
    assert world.reason(key, "KeyDelivered") == "KeySent"
    assert correct(world, key)
    world.now += timedelta(days=1)
    await world.run(Key("SchoolLicense", *NORTH), POOL)
    assert len(server.mails) == 2
    assert await world.again() == 0
    rotate(world, key, "today")
    await world.run(POOL)
    assert len(server.texts(ANNA)) == len(server.texts(BO)) == 2
    assert keys.shown(held(world)) in server.texts(ANNA)[1]


async def test_a_refused_address_is_counted_and_stands_in_nobodys_way(world: World, server: Server) -> None:
    post(world, server, ANNA, "no address", BO)
    server.refuses[ANNA] = f"550 5.1.1 <{ANNA}> unknown"
    key = licence(world, deliverKeyTo=MAILED)
    await world.run(POOL)
    assert len(server.texts(BO)) == 1
    status = world.status(key)
    assert (status["key"]["sent"], status["key"]["refused"]) == (1, 2)
    assert world.reason(key) == "Granted"
    assert world.said(key, "KeyDelivered") == (
        "AddressRefused: addresses that it cannot be mailed to: 2; "
        "the mail server takes no mail to this address (550 5.1.1)"
    )
    told = json.dumps([world.cluster.objects[key], world.store.runs().to_dicts()], default=str)
    assert "anna" not in told
    assert "no address" not in told
    assert await world.again() == 0
    before = world.status(key)["key"]["lastDeliveryTime"]
    world.now += timedelta(hours=6)
    await world.run(Key("SchoolLicense", *NORTH))  # tried again, no news
    assert world.status(key)["key"]["lastDeliveryTime"] == before
    post(world, server, BO)  # somebody corrected the Secret
    await world.run(Key("SchoolLicense", *NORTH))
    assert world.reason(key, "KeyDelivered") == "KeySent"
    assert "refused" not in world.status(key)["key"] or world.status(key)["key"]["refused"] == 0


async def test_a_mail_server_that_is_down_is_tried_again_and_holds_up_no_seats(world: World, server: Server) -> None:
    post(world, server, ANNA)
    server.refuses[ANNA] = "451 4.3.2 try again later"
    key = licence(world, deliverKeyTo=MAILED)
    await world.run(POOL)
    assert (world.reason(key), world.reason(key, "KeyDelivered")) == ("Granted", "MailUnavailable")
    assert world.status(key)["key"]["waiting"] == 1
    assert (await world._handlers["SchoolLicense"](Key("SchoolLicense", *NORTH))).failed
    server.refuses.clear()
    await world.run(Key("SchoolLicense", *NORTH))
    assert world.reason(key, "KeyDelivered") == "KeySent"
    assert len(server.texts(ANNA)) == 1


async def test_what_stands_in_the_way_of_all_mail_is_told(world: World, server: Server) -> None:
    key = licence(world, deliverKeyTo=MAILED)
    await world.run(POOL)
    assert world.reason(key, "KeyDelivered") == "MailNotConfigured"
    post(world, server)
    world.cluster.credentials.clear()
    await world.run(Key("SchoolLicense", *NORTH))
    assert world.said(key, "KeyDelivered") == "SecretNotFound: the Secret 'contacts' lacks the key `addresses`"
    post(world, server, *(f"t{number}@rowan.example" for number in range(101)))
    await world.run(Key("SchoolLicense", *NORTH))
    assert world.reason(key, "KeyDelivered") == "InvalidSpec"
    assert not server.mails
    world.declare(key, deliverKeyTo=None)
    await world.run(POOL, Key("SchoolLicense", *NORTH))
    assert world.said(key, "KeyDelivered") == ""
    assert correct(world, key)


async def test_a_key_that_was_revoked_a_moment_ago_is_not_mailed(world: World, server: Server) -> None:
    post(world, server, ANNA)
    licence(world, deliverKeyTo=MAILED)
    world.cluster.credentials.clear()
    await world.run(POOL)
    old = held(world)
    world.store.licences.revoke([NORTH], at=world.now, epoch=1)
    post(world, server, ANNA)
    await world._handlers["SchoolLicense"](Key("SchoolLicense", *NORTH))
    assert not server.mails
    await world.run(POOL)  # which makes another one
    (text,) = server.texts(ANNA)
    assert keys.shown(old) not in text
    assert keys.shown(held(world)) in text


def test_contacts_are_one_to_a_line_with_remarks_between() -> None:
    assert addresses_in(f"# office\n{ANNA}\r\n\n  {BO} \n{ANNA}") == [ANNA, BO]


def test_secrets_of_licences_with_long_names_have_names_that_may_be_and_differ() -> None:
    one, two = "a" * 240, "a" * 239 + "b"
    assert secret_name(one) != secret_name(two)
    assert len(secret_name(one)) <= 253


async def test_who_needs_no_key_has_none_and_who_changes_over_keeps_it_for_the_way_back(world: World) -> None:
    key = world.licence("north", 400)
    await world.run(POOL)
    assert not world.cluster.secrets
    assert parse(world.cluster.objects[key]).status.model_dump()["key"] is None
    world.declare(key, access="Key")
    await world.run(POOL)
    made = held(world)
    world.declare(key, access="Automatic")
    await world.run(POOL)
    assert "key" not in world.status(key)
    assert world.said(key, "KeyReady") == ""
    assert correct(world, key)
    world.declare(key, access="Key")
    await world.run(POOL)
    assert held(world) == made

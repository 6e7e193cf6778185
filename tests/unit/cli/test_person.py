"""The law's requests: all that is held about one person, given out; and the person forgotten."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy.exc import OperationalError
from tests.unit.chats.worlds import Nights as ChatNights
from tests.unit.chats.worlds import World
from tests.unit.stores import open_store

from homeroom.chats.linking import LinkedBy, Place
from homeroom.chats.policy import ChatRules, ExtraChat
from homeroom.chats.records import LINKS_SCHEMA
from homeroom.cli.files import read_export
from homeroom.plan import Cause, Change, Kind, Op, Outcome, Result
from homeroom.reconcile.chatdecision import canonical, rules_from
from homeroom.roster.diff import KEPT_SCHEMA, UNAPPLIED_SCHEMA, Baseline
from homeroom.roster.state import DESIRED_SCHEMAS, Desired
from homeroom.sources.snapshots import write
from homeroom.store import Accepted, Store, StoredBaseline, StoredChats, StoredSupplement
from homeroom.store.chats import NO_LEARNERS, NO_LINEAGE

from .conftest import RECORDS, TREE, Homeroom

NOW = datetime(2026, 9, 1, tzinfo=UTC)
PERSON = "a-1"
"""Somebody on the staff of the sample district."""
FORGET = ("forget-person", "lakeside", "--reason", "letter of 1 September")
OTHER_DISTRICT = (
    (TREE / "district.yaml").read_text().replace("name: lakeside\n  namespace", "name: seaside\n  namespace")
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The operator's, which is at work all the time."""
    directory = tmp_path / "data"
    store = open_store(directory)
    yield store
    store.close()


def accept(store: Store, records: Path) -> str:
    snapshot = read_export(records, previous=None)
    write(snapshot, store.snapshots(namespace="lakeside", district="lakeside"))
    accepted = Accepted(digest=snapshot.digest, accepted_at=NOW, validator=None, spec_digest="0")
    store.accept(accepted, namespace="lakeside", district="lakeside", epoch=1)
    return snapshot.digest


def applied(store: Store, person: str, app: str = "kolibri") -> None:
    """Somebody has got an account; nothing is wanted any more."""
    change = Change(seq=0, op=Op.CREATE, kind=Kind.PERSON, school="s-001", key=person, cause=Cause.SOURCE_ADDED)
    place = {"namespace": "lakeside", "app": app}
    batch = store.intend([change], **place, run="r", generation=1, revision="-", plan="p", at=NOW, epoch=1)
    outcome = Outcome(seq=0, result=Result.APPLIED, external_id="e1", username="ada")
    store.conclude(batch, [change], [outcome], **place, at=NOW, epoch=1)
    nothing = Desired(**{name: pl.DataFrame(schema=schema) for name, schema in DESIRED_SCHEMAS.items()})
    kept, unapplied = pl.DataFrame(schema=KEPT_SCHEMA), pl.DataFrame(schema=UNAPPLIED_SCHEMA)
    baseline = Baseline(desired=nothing, kept=kept, unapplied=unapplied)
    store.save_baseline(StoredBaseline(baseline=baseline, rules="[]", sharing=""), **place, epoch=1)


def told(homeroom: Homeroom, person: str, *more: object) -> dict[str, Any]:
    said = homeroom("export-person", "lakeside", person, "-f", TREE, *more)
    assert (said.code, said.err) == (0, "")
    document: dict[str, Any] = json.loads(said.out)
    return document


def test_all_that_is_held_is_given_out(homeroom: Homeroom, store: Store) -> None:
    digest = accept(store, RECORDS)
    applied(store, PERSON)
    found = told(homeroom, PERSON)
    (records,) = found["records"]
    assert (records["snapshot"], records["accepted"], records["hasPassword"]) == (digest, True, True)
    assert "chalk-" not in json.dumps(found), "passwords are for logging in, not for reading"
    (user,) = records["users"]
    assert user["id"] == PERSON
    assert user["given"]
    assert {role["user"] for role in records["roles"]} == {PERSON}
    (app,) = found["apps"]
    assert (app["app"], app["declared"]) == ("kolibri", True)
    assert app["accounts"] == [{"school": "s-001", "external_id": "e1", "username": "ada"}]
    assert [(entry["key"], entry["op"]) for entry in app["journal"]] == [(PERSON, "Create")]
    assert app["holds"] == found["holds"] == []
    assert app["baseline"] == {
        "desired": {"people": [], "memberships": [], "rights": []},
        "kept": [],
        "unapplied": [],
    }


def test_a_snapshot_that_is_still_kept_is_looked_into_too(homeroom: Homeroom, store: Store, tmp_path: Path) -> None:
    accept(store, RECORDS)
    accept(store, without(PERSON, tmp_path / "records"))
    (records,) = told(homeroom, PERSON)["records"]
    assert (records["accepted"], records["users"][0]["id"]) == (False, PERSON)


def test_nobody_has_nothing(homeroom: Homeroom, store: Store) -> None:
    accept(store, RECORDS)
    for command, words in (
        (("export-person", "lakeside"), "nothing is held about a person 'nobody'"),
        (FORGET, "nothing is known of a person 'nobody'"),
    ):
        said = homeroom(*command, "nobody", "-f", TREE)
        assert (said.code, said.out) == (1, "")
        assert words in said.err


def test_who_is_in_the_records_is_not_forgotten(homeroom: Homeroom, store: Store) -> None:
    accept(store, RECORDS)
    applied(store, PERSON)
    said = homeroom(*FORGET, PERSON, "-f", TREE)
    assert (said.code, said.out) == (1, "")
    assert f"'{PERSON}' is in the records of 'lakeside'" in said.err
    assert told(homeroom, PERSON)["apps"]


def without(person: str, directory: Path) -> Path:
    """The sample records without one person of the staff."""
    shutil.copytree(RECORDS, directory)
    for name in ("users.csv", "roles.csv"):
        lines = (directory / name).read_text(encoding="utf-8").splitlines(keepends=True)
        (directory / name).write_text("".join(line for line in lines if f"{person}," not in line), encoding="utf-8")
    return directory


def test_who_has_left_is_forgotten_while_the_operator_works(homeroom: Homeroom, store: Store, tmp_path: Path) -> None:
    old = accept(store, RECORDS)
    accept(store, without(PERSON, tmp_path / "records"))
    applied(store, PERSON)
    assert (store.snapshots(namespace="lakeside", district="lakeside") / old).is_dir()
    said = homeroom(*FORGET, PERSON, "-f", TREE)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(
        "forgotten: 1 changes and 1 accounts made anonymous, taken out of 0 baselines, 1 old snapshots removed\n"
    )
    assert PERSON not in said.out
    assert homeroom("export-person", "lakeside", PERSON, "-f", TREE).code == 1
    assert not (store.snapshots(namespace="lakeside", district="lakeside") / old).is_dir()
    listed = homeroom("history", "-n", "lakeside", "--erasures").out.splitlines()
    assert listed[0].split() == ["AT", "DISTRICT", "REASON", "CHANGES", "ACCOUNTS"]
    assert listed[1].split()[1:] == [*["lakeside", "letter", "of", "1", "September", "1", "1"]]
    assert json.loads(homeroom("history", "-n", "lakeside", "-o", "json").out)[0]["key"].startswith("forgotten-")
    assert "nobody was forgotten" in homeroom("history", "-n", "elsewhere", "--erasures").out


def test_the_reason_does_not_tell_who(homeroom: Homeroom, store: Store) -> None:
    accept(store, RECORDS)
    said = homeroom("forget-person", "lakeside", "zz-1", "--reason", "zz-1 wrote", "-f", TREE)
    assert "--reason must not name the person" in said.err
    said = homeroom("forget-person", "lakeside", "zz-1", "--reason", "case zz-12", "-f", TREE)
    assert "nothing is known of" in said.err


def test_an_app_that_is_declared_no_more_counts_where_there_is_one_district(homeroom: Homeroom, store: Store) -> None:
    accept(store, RECORDS)
    applied(store, "gone", app="moodle")
    assert [(app["app"], app["declared"]) for app in told(homeroom, "gone")["apps"]] == [("moodle", False)]
    assert homeroom(*FORGET, "gone", "-f", TREE).code == 0
    assert store.accounts(namespace="lakeside", app="moodle", person="gone").is_empty()


def test_with_several_districts_somebody_has_to_say_whose_it_was(
    homeroom: Homeroom, store: Store, tmp_path: Path
) -> None:
    accept(store, RECORDS)
    applied(store, "gone", app="moodle")
    applied(store, "gone")
    (tmp_path / "seaside.yaml").write_text(OTHER_DISTRICT)
    both = ("-f", tmp_path / "seaside.yaml")
    found = told(homeroom, "gone", *both)
    assert ([app["app"] for app in found["apps"]], found["notLookedInto"]) == (["kolibri"], ["moodle"])
    assert len(told(homeroom, "gone", *both, "--app", "moodle")["apps"]) == 2
    said = homeroom(*FORGET, "gone", "-f", TREE, *both)
    assert "not looked into: moodle, which is declared no more (--app moodle, if it was of this district)" in said.out
    assert not store.accounts(namespace="lakeside", app="moodle", person="gone").is_empty()
    assert homeroom("export-person", "seaside", "gone", "-f", TREE, *both).code == 1
    said = homeroom("export-person", "lakeside", "gone", "-f", TREE, *both, "--app", "kolibri")
    assert "--app kolibri: the store has no app of this name that is declared no more" in said.err


def test_a_district_has_to_be_there(homeroom: Homeroom, store: Store) -> None:
    accept(store, RECORDS)
    said = homeroom("export-person", "seaside", PERSON, "-f", TREE)
    assert "no District 'seaside' in namespace lakeside: there is lakeside" in said.err


def test_forgetting_makes_no_store(homeroom: Homeroom, store: Store, tmp_path: Path) -> None:
    store.close()
    shutil.rmtree(tmp_path / "data")
    said = homeroom(*FORGET, "gone", "-f", TREE)
    assert (said.code, said.out) == (1, "")
    assert "there is no store at" in said.err
    assert not (tmp_path / "data").exists()


def test_a_store_that_is_busy_is_said_without_the_person(
    homeroom: Homeroom, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(store, RECORDS)

    def locked(*_: object, **__: object) -> None:
        raise OperationalError("UPDATE journal ...", {"key": "zz-1"}, sqlite3.OperationalError("database is locked"))

    monkeypatch.setattr(Store, "forget", locked)
    said = homeroom(*FORGET, "zz-1", "-f", TREE)
    assert (said.code, said.out) == (1, "")
    assert "the store did not take it (OperationalError): nothing was forgotten" in said.err
    assert "zz-1" not in said.err


CHATS = """\
apiVersion: homeroom.dev/v1alpha1
kind: ChatPolicy
metadata: {name: chats, namespace: lakeside}
spec: {districtRef: {name: lakeside}, platformRef: {name: matrix}}
"""


def chatting(store: Store, world: World, *, account: str = "@gone", policy: str = "chats", rules: str = "{}") -> None:
    """What `gone` is linked to, and a night of a policy of chats."""
    place = Place("lakeside", "matrix", "lakeside")
    given = pl.DataFrame([("gone", account)], schema=LINKS_SCHEMA, orient="row")
    store.links.note(given, place=place, by=LinkedBy.RECORDS, at=NOW, epoch=1)
    nights = ChatNights()
    nights.night(World(homerooms={"7a": "ann tom*"}, parents={"gone": "ann"}))
    nights.night(world)
    assert nights.baseline is not None
    stored = StoredChats(baseline=nights.baseline, rules=rules, lineage=NO_LINEAGE, learners=NO_LEARNERS)
    store.chats.save_baseline(stored, namespace="lakeside", policy=policy, epoch=1)


def test_chats_are_given_out_and_forgotten_once_they_have_let_go(
    homeroom: Homeroom, store: Store, tmp_path: Path
) -> None:
    accept(store, RECORDS)
    (tmp_path / "chats.yaml").write_text(CHATS)
    declared = ("-f", TREE, "-f", tmp_path / "chats.yaml")
    chatting(store, World(homerooms={"7a": "ann tom*"}, parents={"gone": "ann"}))
    found = told(homeroom, "gone", *declared[2:])
    assert [(link["account"], link["state"]) for link in found["links"]] == [("@gone", "Linked")]
    (chats,) = found["chats"]
    assert (chats["policy"], chats["declared"]) == ("chats", True)
    (member,) = chats["baseline"]["members"]
    assert (member["account"], member["school"], member["type"]) == ("@gone", "s1", "ClassParents")
    said = homeroom(*FORGET, "gone", *declared)
    assert (said.code, said.out) == (1, "")
    assert "'gone' is in chats of ChatPolicy 'chats' (school s1)" in said.err

    chatting(store, World(homerooms={"7a": "ann tom*"}))
    assert homeroom(*FORGET, "gone", *declared).code == 0
    assert homeroom("export-person", "lakeside", "gone", *declared).code == 1


def test_lessons_stay_for_their_class_and_nobody_knows_whose_they_were(homeroom: Homeroom, store: Store) -> None:
    accept(store, RECORDS)
    here = {"namespace": "lakeside", "district": "lakeside"}
    lesson = store.lessons.add(
        **here, class_id="7a", begins=NOW, ends=NOW + timedelta(hours=1), title="Algebra", person="gone", now=NOW
    )
    store.lessons.press(lesson, **here, person="gone", word="word", now=NOW)
    found = told(homeroom, "gone")
    assert [(row["title"], row["how"]) for row in found["lessons"]] == [("Algebra", "Page")]
    assert [row["class"] for row in found["calls"]] == ["7a"]
    assert homeroom(*FORGET, "gone", "-f", TREE).code == 0
    assert homeroom("export-person", "lakeside", "gone", "-f", TREE).code == 1
    assert store.lessons.lesson(lesson, **here).select("title", "person").rows() == [("Algebra", None)]


def test_a_policy_that_is_declared_no_more_counts_where_there_is_one_district(
    homeroom: Homeroom, store: Store, tmp_path: Path
) -> None:
    accept(store, RECORDS)
    chatting(store, World(homerooms={"7a": "ann tom*"}, parents={"gone": "ann"}))
    (tmp_path / "seaside.yaml").write_text(OTHER_DISTRICT)
    found = told(homeroom, "gone", "-f", tmp_path / "seaside.yaml")
    assert (found["chats"], found["notLookedInto"]) == ([], ["ChatPolicy/chats"])
    assert [one["declared"] for one in told(homeroom, "gone")["chats"]] == [False]
    assert homeroom(*FORGET, "gone", "-f", TREE).code == 0
    assert homeroom("export-person", "lakeside", "gone", "-f", TREE).code == 1


CHESS = """\
apiVersion: homeroom.dev/v1alpha1
kind: Chat
metadata: {name: chess, namespace: lakeside}
spec: {districtRef: {name: lakeside}, platformRef: {name: matrix}, name: Chess}
"""


def test_an_extra_chat_is_given_out_with_who_came_by_its_link_and_forgotten(
    homeroom: Homeroom, store: Store, tmp_path: Path
) -> None:
    accept(store, RECORDS)
    (tmp_path / "chats.yaml").write_text(CHESS)
    declared = ("-f", TREE, "-f", tmp_path / "chats.yaml")
    link = store.joins.open(Place("lakeside", "matrix", "lakeside"), "chess", title="Chess", edition=1, epoch=1)
    store.joins.ask(link, "gone", now=NOW)
    kept = ExtraChat(name="Chess", people=frozenset({"gone", "ann"}), administrators=frozenset({"tom"}))
    named = canonical(ChatRules(scope="s", extra=kept))
    chatting(store, World(homerooms={"7a": "ann tom*"}, parents={"gone": "ann"}), policy="Chat/chess", rules=named)
    found = told(homeroom, "gone", *declared[2:])
    assert [(join["chat"], join["state"]) for join in found["joins"]] == [("chess", "Asked")]
    (chats,) = found["chats"]
    assert (chats["policy"], chats["declared"], chats["named"]) == ("Chat/chess", True, True)
    said = homeroom(*FORGET, "gone", *declared)
    assert (said.code, said.out) == (1, "")
    assert "'gone' is in chats of Chat 'chess'" in said.err

    chatting(store, World(homerooms={"7a": "ann tom*"}), policy="Chat/chess", rules=named)
    assert homeroom(*FORGET, "gone", *declared).code == 0
    assert homeroom("export-person", "lakeside", "gone", *declared).code == 1
    left = store.chats.baseline(namespace="lakeside", policy="Chat/chess")
    assert left is not None
    assert left.rules == canonical(ChatRules(scope="s", extra=replace(kept, people=frozenset({"ann"}))))
    assert rules_from(left.rules).extra == replace(kept, people=frozenset({"ann"}))


def test_who_is_in_a_supplement_is_told_and_cannot_be_forgotten(homeroom: Homeroom, store: Store) -> None:
    accept(store, RECORDS)
    rows = pl.DataFrame({"table": ["users"], "row": [2], "sourcedId": ["z-1"], "userSourcedId": [None]})
    nothing = rows.clear()
    beside = StoredSupplement(
        name="january",
        spec_digest="0",
        validator=None,
        digest="1",
        accepted_at=NOW,
        rows=rows.cast({"userSourcedId": pl.String}),
        findings=nothing,
        last=nothing,
    )
    here = {"namespace": "lakeside", "district": "lakeside"}
    accepted = store.accepted(**here)
    assert accepted is not None
    store.accept(accepted, None, [beside], **here, epoch=1)
    assert told(homeroom, "z-1")["supplements"] == ["january"]
    said = homeroom(*FORGET[:2], "z-1", *FORGET[2:], "-f", TREE)
    assert said.code != 0
    assert "supplement 'january'" in said.err
    store.accept(accepted, None, [], **here, epoch=1)
    said = homeroom("export-person", "lakeside", "z-1", "-f", TREE)
    assert "nothing is held" in said.err

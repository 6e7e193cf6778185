"""`plan` and `check` with a target in memory, and how `operator` is put together from its options."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest
from tests.unit.stores import open_store

from homeroom.cli import operator
from homeroom.cli.files import read_export
from homeroom.demo.stage import Records
from homeroom.errors import TransientError
from homeroom.operator.runtime import Build, Settings
from homeroom.reconcile.connect import Outside
from homeroom.seats.access import TEACHERS_SCHEMA
from homeroom.seats.assignment import SEATS_SCHEMA
from homeroom.seats.usage import RECLAIMED_SCHEMA
from homeroom.sources import write
from homeroom.store import Accepted, Seating, Store

from .conftest import RECORDS, TREE, Homeroom, Shelf

LOOK = ("-f", TREE, "--records", RECORDS, "--today", "2026-11-22", "--owner-id", "us")


def tree(tmp_path: Path, old: str, new: str) -> Path:
    """The example with one text replaced."""
    for path in TREE.glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text().replace(old, new))
    return tmp_path


@pytest.mark.usefixtures("shelf")
def test_a_plan_counts_first_and_lists_on_request(homeroom: Homeroom) -> None:
    said = homeroom("plan", *LOOK)
    assert (said.code, said.err) == (3, "")
    head, _, body = said.out.partition("\n\n")
    lines, table = head.splitlines(), body.splitlines()
    assert lines[0].startswith("learningapp/kolibri: + 3 School, + 229 Person")
    assert lines[2].startswith("without the store nobody knows what was done before")
    held = [line for line in lines if line.startswith("held for approval (new): ")]
    assert len(held) == 6  # of each school the first sync, and the administrators apart
    assert table[0].split() == ["SCHOOL", "KIND", "CAUSE", "+", "=", "^", "~", "-"]
    rows = [line.split() for line in table[1:]]
    assert {row[2] for row in rows} == {"FirstSync"}
    assert all(line.endswith("held for approval") for line in table[1:])
    document = json.loads(homeroom("plan", *LOOK, "-o", "json", "--details").out)
    assert sum(int(row[3]) for row in rows) == document["counts"]["changes"] == len(document["changes"])
    details = homeroom("plan", *LOOK, "--details").out
    assert "+ Create Membership s-001 " in details
    assert details.count("(FirstSync, held for approval)") == document["counts"]["changes"]
    assert document["counts"]["held"] == document["counts"]["blocked"] == document["counts"]["changes"]
    assert {(hold["id"], hold["guard"]) for hold in document["holds"]} == {
        (None, "FirstSync"),
        (None, "Administrators"),
    }


NOW: Final = datetime(2026, 11, 21, tzinfo=UTC)


def accepted(directory: Path) -> tuple[Store, str]:
    """A store in which the example's records were accepted, and their digest."""
    place = {"namespace": "lakeside", "district": "lakeside"}
    store = open_store(directory)
    snapshot = read_export(RECORDS, previous=None)
    write(snapshot, store.snapshots(**place))
    store.accept(Accepted(digest=snapshot.digest, accepted_at=NOW, validator=None, spec_digest=""), **place, epoch=1)
    return store, snapshot.digest


@pytest.mark.usefixtures("shelf")
def test_a_plan_tells_what_an_export_would_lose_at_the_source(homeroom: Homeroom, tmp_path: Path) -> None:
    store, _ = accepted(tmp_path / "data")
    store.close()
    whole = homeroom("plan", *LOOK)
    records = Records(RECORDS)
    records.lose_school("s-003")
    (tmp_path / "export.zip").write_bytes(records.zipped())
    look = [tmp_path / "export.zip" if word is RECORDS else word for word in LOOK]
    said = homeroom("plan", *look)
    assert (said.code, said.err) == (3, "")
    words = "held at district/lakeside, and served as it was (new): school 's-003' would lose 77 people"
    assert words in said.out
    assert said.out.partition("\n\n")[2] == whole.out.partition("\n\n")[2]
    document = json.loads(homeroom("plan", *look, "-o", "json").out)
    (hold,) = document["heldAtSource"]
    assert (hold["id"], hold["guard"], hold["place"], hold["people"]) == (None, "Deletes", "s-003", 77)


@pytest.mark.usefixtures("shelf")
def test_a_licence_below_its_use_is_an_error_after_the_plan(homeroom: Homeroom, tmp_path: Path) -> None:
    """R17, before it is committed."""
    data = tmp_path / "data"
    store = open_store(data)
    rows = [("lakeside/lakeside", f"u-{n}", "lakeside/rowan", date(2026, 9, 1), None) for n in range(53)]
    seats = pl.DataFrame(rows, SEATS_SCHEMA, orient="row")
    store.save_seating(Seating(seats=seats), namespace="lakeside", pool="seats", epoch=1)
    store.close()
    licence = tmp_path / "licence.yaml"
    licence.write_text(
        "apiVersion: homeroom.dev/v1alpha1\nkind: SchoolLicense\nmetadata: {name: rowan, namespace: lakeside}\n"
        "spec: {poolRef: {name: seats}, schoolUnit: s-001, seats: 40, access: Automatic, districtRef: {name: lakeside}}"
    )
    said = homeroom("plan", "-f", licence, *LOOK)
    assert said.code == 1
    assert said.out.startswith("learningapp/kolibri: + 3 School")
    assert "SchoolLicense 'rowan': 40 seats are requested and 53 are in use" in said.err
    licence.write_text(licence.read_text().replace("seats: 40", "seats: 60"))
    assert homeroom("plan", "-f", licence, *LOOK).code == 3
    pool = "{seats: 59, timeZone: Europe/Amsterdam, unitRegistry: {type: Source, districtRef: {name: lakeside}}}"
    head = "apiVersion: homeroom.dev/v1alpha1\nkind: LicensePool\nmetadata: {name: seats, namespace: lakeside}"
    licence.write_text(f"{licence.read_text()}\n---\n{head}\nspec: {pool}\n")
    said = homeroom("plan", "-f", licence, *LOOK)
    assert said.code == 1
    assert "SchoolLicense 'rowan': 60 seats are requested and the whole pool has 59; request less" in said.err


@pytest.mark.usefixtures("shelf")
def test_without_a_review_only_administrators_are_held(homeroom: Homeroom, tmp_path: Path) -> None:
    look = ("-f", tree(tmp_path, "policy: Sync", "policy: Sync\n  firstSync: Automatic"), *LOOK[2:])
    document = json.loads(homeroom("plan", *look, "-o", "json", "--details").out)
    assert document["result"] == "Held"
    held = {change["kind"] for change in document["changes"] if change["note"]}
    assert held == {"Right"}


@pytest.mark.usefixtures("shelf")
def test_equal_plans_are_equal_texts(homeroom: Homeroom) -> None:
    once, twice = (homeroom("plan", *LOOK, "-o", "json", "--details").out for _ in range(2))
    assert once == twice


@pytest.mark.usefixtures("shelf")
def test_what_the_policy_keeps_back_is_said(homeroom: Homeroom, tmp_path: Path) -> None:
    look = ("-f", tree(tmp_path, "policy: Sync", "policy: Observe\n  suspend: true"), *LOOK[2:])
    said = homeroom("plan", *look)
    assert said.code == 2
    assert "kept back by the policy" in said.out
    assert "suspended: the operator does nothing" in said.out
    counts = json.loads(homeroom("plan", *look, "-o", "json").out)["counts"]
    assert counts["blocked"] == counts["changes"] > 0
    assert counts["held"] == 0


def test_what_stands_still_is_said(homeroom: Homeroom, shelf: Shelf) -> None:
    shelf.actual = replace(
        shelf.actual, complete=False, unsure=frozenset({"s-001"}), conflicts=frozenset({("s-002", "u-1")})
    )
    said = homeroom("plan", *LOOK)
    assert said.code == 2
    assert "the app did not prove that it answered in full: this plan removes nothing" in said.out
    assert "could not be read, and stand still: s-001" in said.out
    assert "1 people stand still" in said.out


@pytest.mark.usefixtures("shelf")
def test_without_rules_nothing_is_shared_and_nothing_removed(homeroom: Homeroom, tmp_path: Path) -> None:
    look = ("-f", tree(tmp_path, "name: kolibri\n  t", "name: other\n  t"), *LOOK[2:])
    for path in tmp_path.glob("*.yaml"):
        path.write_text(path.read_text().replace("appRef:\n    name: kolibri", "appRef:\n    name: other"))
    said = homeroom("plan", *look)
    assert said.code == 0
    assert "no SharingRule shares anything with it" in said.out
    document = json.loads(homeroom("plan", *look, "-o", "json").out)
    assert (document["result"], document["noSharingRules"]) == ("NothingToDo", True)


def test_a_target_that_is_away_is_an_error(homeroom: Homeroom, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> Shelf:
        raise TransientError("kolibri is away: wait", reason="TargetUnavailable")

    monkeypatch.setattr(Outside, "target", away)
    said = homeroom("plan", *LOOK)
    assert (said.code, said.out, said.err) == (1, "", "error: kolibri is away: wait\n")


def test_the_secret_is_taken_from_a_file(homeroom: Homeroom, tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    look = ("plan", *LOOK, "--secret", f"kolibri={secret}")
    secret.write_text("kind: Secret\nstringData: {username: u, password: p}\n")
    assert "the Secret lacks markKey" in homeroom(*look).err
    secret.write_text("username: 5\n")
    assert "must hold fields with text" in homeroom(*look).err
    assert "--secret must be NAME=FILE" in homeroom("plan", *LOOK, "--secret", "kolibri").err
    assert "or give it with --secret kolibri=FILE" in homeroom("plan", *LOOK).err


@pytest.mark.usefixtures("shelf")
def test_check_names_the_hop_that_fails(homeroom: Homeroom, tmp_path: Path) -> None:
    (tmp_path / "files" / "lakeside").mkdir(parents=True)
    (tmp_path / "files" / "lakeside" / "export.zip").touch()
    look = ("check", "-f", TREE, "--file-root", tmp_path / "files")
    said = homeroom(*look)
    assert said.code == 1
    assert [" ".join(line.split()) for line in said.out.splitlines()[1:]] == [
        "district/lakeside file ok the export is there and can be read",
        "learningapp/kolibri name resolution ok found",
        "learningapp/kolibri log-in FAILS shut; knock",
    ]
    hops = json.loads(homeroom(*look, "-o", "json").out)
    assert [hop["ok"] for hop in hops] == [True, True, False]
    assert homeroom(*look, "district/lakeside").code == 0
    assert (
        "name district/NAME, learningapp/NAME, licensepool/NAME or chatplatform/NAME" in homeroom(*look, "kolibri").err
    )
    assert "no District 'sea'" in homeroom(*look, "district/sea").err
    assert "has nothing to check" in homeroom(*look, "-n", "elsewhere").err
    said = homeroom("check", "-f", TREE, "district/lakeside")
    assert said.code == 1
    assert "--file-root" in said.out


def test_the_operator_is_set_up_from_options_and_variables(
    homeroom: Homeroom, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[tuple[Settings, Build]] = []

    def main(settings: Settings, *, build: Build, routes: object) -> int:
        assert routes is not None
        started.append((settings, build))
        return 5

    monkeypatch.setattr(operator, "main", main)
    monkeypatch.setenv("HOMEROOM_OWNER_ID", "district-12")
    monkeypatch.setenv("HOMEROOM_WORKERS", "3")
    assert homeroom("operator", "--listen", "[::1]:9", "--lease-namespace", "ops").code == 5
    assert homeroom("operator", "--no-lease").code == 5
    (first, build), (second, _) = started
    assert (first.owner_id, first.workers, first.host, first.port) == ("district-12", 3, "::1", 9)
    assert (first.namespace, first.lease, second.lease) == ("ops", "homeroom", None)
    for wrong in ("8080", "host:http", ":99999"):
        assert homeroom("operator", "--listen", wrong).code == 2
    monkeypatch.delenv("HOMEROOM_OWNER_ID")
    assert "HOMEROOM_OWNER_ID" in homeroom("operator").err

    async def lead() -> None:
        nothing: Any = None
        async with build(nothing, nothing, nothing) as reconcilers:
            assert set(reconcilers.handlers) == {
                *("District", "LearningApp", "School"),
                *("LicensePool", "SchoolLicense"),
                *("ChatPlatform", "ChatPolicy", "Chat", "Linking", "Calls"),
            }
            assert await reconcilers.problems() == []

    asyncio.run(lead())
    assert (tmp_path / "data" / "homeroom.db").exists()


def test_why_names_the_denial(homeroom: Homeroom, tmp_path: Path) -> None:
    look = ("--records", RECORDS, "--today", "2026-11-22", "-o", "json")
    people = json.loads(homeroom("shared", "kolibri", "-f", TREE, "--people", *look).out)["people"]
    person = str(people[0]["id"])
    files = tree(tmp_path, "timeZone:", f"deny: [{{person: {person}}}]\n  timeZone:")
    reasons = json.loads(homeroom("why", "kolibri", person, "-f", files, *look).out)["reasons"]
    assert reasons
    assert all("spec.deny" in reason["withheld_by"] for reason in reasons)
    shared = json.loads(homeroom("shared", "kolibri", "-f", files, "--people", *look).out)["people"]
    assert person not in {one["id"] for one in shared}


def test_why_names_the_seat_that_a_student_lacks_and_the_licence_that_a_teacher_does(
    homeroom: Homeroom, tmp_path: Path
) -> None:
    store, digest = accepted(tmp_path / "data")
    files = tree(tmp_path, "policy: Sync", "policy: Sync\n  seating: {poolRef: {name: seats}}")
    look = ("kolibri", "-f", files, "--data", tmp_path / "data", "--today", "2026-11-22", "-o", "json")
    people = json.loads(homeroom("shared", *look, "--people").out)["people"]
    one, other, *_ = [person["id"] for person in people if person["role"] == "student"]
    teacher = next(person["id"] for person in people if person["role"] == "teacher")

    def withheld(person: str) -> set[str]:
        reasons = json.loads(homeroom("why", look[0], person, *look[1:]).out)["reasons"]
        assert reasons
        return {by for reason in reasons for by in reason["withheld_by"]}

    assert [withheld(person) for person in (one, other, teacher)] == [set(), set(), set()]  # nobody can say
    seats = pl.DataFrame([("lakeside/lakeside", one, "lakeside/l", NOW.date(), None)], SEATS_SCHEMA, orient="row")
    seating = Seating(seats=seats, records={"lakeside/lakeside": digest})
    store.save_seating(seating, namespace="lakeside", pool="seats", epoch=1)
    assert [withheld(person) for person in (one, other, teacher)] == [
        set(),
        {"spec.seating: no seat"},
        {"spec.seating: no licence"},
    ]
    teachers = pl.DataFrame(
        [("lakeside/lakeside", teacher, "lakeside/l", True, True, False)], TEACHERS_SCHEMA, orient="row"
    )
    lost = pl.DataFrame([("lakeside/lakeside", other, NOW.date())], RECLAIMED_SCHEMA, orient="row")
    store.save_seating(replace(seating, teachers=teachers, reclaimed=lost), namespace="lakeside", pool="seats", epoch=1)
    store.close()
    assert withheld(teacher) == set()
    assert withheld(other) == {"spec.seating: seat reclaimed, as it was not used"}

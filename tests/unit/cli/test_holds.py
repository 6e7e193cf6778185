"""A stored hold, from the command line: shown, handed on with names and without, approved."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final, cast

import polars as pl
import pytest
from tests.unit.chats.worlds import Nights, World
from tests.unit.stores import open_store

from homeroom.api import Approval, parse
from homeroom.api.yaml import load_all
from homeroom.chats.linking import LinkedBy, Place
from homeroom.chats.records import LINKS_SCHEMA
from homeroom.cli.files import read_export
from homeroom.cli.handout import PERSONAL_DATA
from homeroom.cli.holdreport import WHAT, WHY
from homeroom.cli.holds import TO_CHECK, TO_CHECK_IN_CHATS
from homeroom.plan import (
    CHANGE_SCHEMA,
    HELD_SCHEMA,
    Cause,
    Guard,
    Hold,
    Judged,
    Kind,
    Op,
    Plan,
    Role,
    Scope,
    State,
    Unseen,
    review,
)
from homeroom.roster.desired import FULL_NAME
from homeroom.seats.revocation import KIND, Standing, asked, judge
from homeroom.sources import Snapshot
from homeroom.sources.snapshots import write
from homeroom.store import Accepted, Store, StoredChats
from homeroom.store.chats import NO_LEARNERS, NO_LINEAGE

from .conftest import RECORDS, TREE, Homeroom, Said

NOW: Final = datetime.now(UTC).replace(microsecond=0)  # what is too old is told by the real clock
HOSTILE: Final = """<script>alert('7 "b"')</script>&co"""
FORMULA: Final = '=HYPERLINK("https://thief.example")'
PUPILS: Final = ("u-1", "u-2", "u-3")
GONE: Final = "u-3"
"""Is in the accepted records no more."""


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> list[Snapshot]:
    """The sample district with a class and a child that have strange names, and the same a day later, without GONE."""
    before, after = (tmp_path_factory.mktemp(name) / "records" for name in ("before", "after"))
    shutil.copytree(RECORDS, before)
    edit(before / "classes.csv", r"^(c-1,,,)KGa,", r'\1"' + HOSTILE.replace('"', '""') + '",')
    edit(before / "users.csv", r"^(u-2,,,true,[^,]*,[^,]*,)[^,]*,", r'\1"' + FORMULA.replace('"', '""') + '",')
    shutil.copytree(before, after)
    for name in ("users.csv", "roles.csv", "enrollments.csv"):
        edit(after / name, rf"^(?:.*,)?{GONE},.*\n", "")
    return [read_export(export, previous=None) for export in (before, after)]


def edit(file: Path, pattern: str, by: str) -> None:
    text, found = re.subn(pattern, by, file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert found
    file.write_text(text, encoding="utf-8")


@pytest.fixture
def store(tmp_path: Path, readings: list[Snapshot]) -> Iterator[Store]:
    """The operator's, which accepted both exports."""
    directory = tmp_path / "data"
    store = open_store(directory)
    for snapshot in readings:
        write(snapshot, store.snapshots(namespace="lakeside", district="lakeside"))
        accepted = Accepted(digest=snapshot.digest, accepted_at=NOW, validator=None, spec_digest="0")
        store.accept(accepted, namespace="lakeside", district="lakeside", epoch=1)
    yield store
    store.close()


def published(*, at: datetime = NOW, guard: Guard = Guard.DELETES, salt: bytes = b"0123456789abcdef") -> Hold:
    """What `homeroom.plan` makes of a class that loses its pupils, in a run at that time."""
    leavers = [
        {
            "op": Op.REMOVE,
            "kind": Kind.MEMBERSHIP,
            "school": "s-001",
            "key": pupil,
            "class_key": "c-1",
            "role": Role.LEARNER,
            "cause": Cause.LEFT_SOURCE,
        }
        for pupil in PUPILS
    ]
    archived = {"op": Op.ARCHIVE, "kind": Kind.CLASS, "school": "s-001", "key": "c-1", "cause": Cause.LEFT_SOURCE}
    plan = Plan.of(pl.DataFrame([*leavers, archived]))
    where = {"guard": guard.value, "scope": Scope.SCHOOL.value, "place": "s-001"}
    held = plan.changes.with_columns(pl.lit(words).alias(name) for name, words in where.items())
    held = held.select(HELD_SCHEMA.names()).cast(HELD_SCHEMA)
    reviewed = review(
        plan,
        [],
        [],
        lambda *_: Judged(plan=Plan(plan.changes.clear()), held=held, waiting=0),
        made=pl.DataFrame(schema=CHANGE_SCHEMA),
        unseen=Unseen(),
        now=at,
        salt=lambda: salt,
    )
    (hold,) = reviewed.open
    return hold


def keep(store: Store, *holds: Hold, kind: str = "LearningApp", name: str = "kolibri") -> None:
    store.save_holds(holds, before=[], namespace="lakeside", kind=kind, name=name, epoch=1)


@pytest.fixture
def hold(store: Store) -> Hold:
    hold = published()
    keep(store, hold)
    return hold


def names_of(store: Store) -> set[str]:
    """Names of all people of the district, first names and family names also by themselves."""
    found: set[str] = set()
    for place in store.snapshots(namespace="lakeside", district="lakeside").iterdir():
        users = pl.read_parquet(place / "users.parquet")
        found.update(users["given"].drop_nulls(), users["family"].drop_nulls(), users.select(FULL_NAME).to_series())
    return found


def report(homeroom: Homeroom, hold: Hold, path: Path, *more: object) -> Said:
    said = homeroom("plan", "--hold", hold.id, "-n", "lakeside", "--report", path, *more)
    assert (said.code, said.err) == (0, "")
    return said


class Page(HTMLParser):
    """The elements of a page, and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


# ---------------------------------------------------------------------------------------------------------------------
# Shown


def test_a_hold_is_told_in_facts_and_counts(homeroom: Homeroom, hold: Hold) -> None:
    said = homeroom("plan", "--hold", hold.id, "-n", "lakeside")
    assert (said.code, said.err) == (0, "")
    head, _, table = said.out.partition("\n\n")
    facts = dict(line.split(": ", 1) for line in head.splitlines())
    assert facts == {
        "hold": hold.id,
        "resource": "learningapp/kolibri in namespace lakeside",
        "guard": "Deletes",
        "scope": "School s-001",
        "since": f"{NOW:%Y-%m-%d %H:%M} UTC",
        "to be approved before": f"{NOW + timedelta(days=14):%Y-%m-%d %H:%M} UTC",
        "state": "Open: waits for a person's word",
        "changes": "4 of 4 still held or to be done, 0 no longer planned",
        "people": "3",
        "to check": TO_CHECK[Guard.DELETES],
    }
    assert [line.split() for line in table.splitlines()] == [
        ["SCHOOL", "CLASS", "KIND", "OP", "CAUSE", "CHANGES"],
        ["s-001", "c-1", "Class", "Archive", "LeftSource", "1"],
        ["s-001", "c-1", "Membership", "Remove", "LeftSource", "3"],
    ]
    assert not re.search(r"\bu-\d", said.out)


def test_details_name_source_ids_and_nobody(homeroom: Homeroom, hold: Hold, store: Store) -> None:
    said = homeroom("plan", "kolibri", "--hold", hold.id, "-n", "lakeside", "--details").out
    assert said.splitlines()[-4:] == [
        "- Archive Class s-001 c-1  (LeftSource)",
        *(f"- Remove Membership s-001 c-1 {pupil} Learner  (LeftSource)" for pupil in PUPILS),
    ]
    assert not [name for name in names_of(store) if name in said]


def test_programs_get_the_same(homeroom: Homeroom, hold: Hold) -> None:
    look = ("plan", "--hold", hold.id, "-n", "lakeside", "-o", "json")
    brief: dict[str, Any] = json.loads(homeroom(*look).out)
    assert (brief["kind"], brief["name"], brief["id"], brief["state"]) == ("LearningApp", "kolibri", hold.id, "Open")
    assert brief["counts"] == {"total": 4, "left": 4, "struck": 0, "people": 3}
    assert brief["expires"] == f"{NOW + timedelta(days=14):%Y-%m-%dT%H:%M:%SZ}"
    assert [(row["kind"], row["changes"]) for row in brief["summary"]] == [("Class", 1), ("Membership", 3)]
    whole = json.loads(homeroom(*look, "--details").out)
    assert whole.items() > brief.items()
    assert [change["person"] for change in whole["changes"]] == [None, *PUPILS]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"state": State.APPROVED, "approval": "yes", "approved_at": NOW},
            "Approved: what is left of it is being done",
        ),
        (
            {"state": State.GONE, "rows": pl.DataFrame(schema=HELD_SCHEMA), "struck": 4},
            "Gone: nothing of it is planned",
        ),
        (
            {"state": State.EXPIRED, "rows": pl.DataFrame(schema=HELD_SCHEMA), "successor": "abcdef-0123"},
            "Expired: was not approved in time; what was left of it is hold abcdef-0123 now",
        ),
        ({"published": NOW - timedelta(days=14)}, "Open: was not approved in time; the next run gives it a new id"),
    ],
)
def test_what_became_of_it_is_told(homeroom: Homeroom, store: Store, change: dict[str, Any], words: str) -> None:
    hold = replace(published(), **change)
    keep(store, hold)
    said = homeroom("plan", "--hold", hold.id, "-n", "lakeside")
    assert (said.code, said.err) == (0, "")
    assert f"state: {words}" in said.out
    assert ("approval: yes, seen" in said.out) == (hold.approval is not None)
    assert ("to check: " in said.out) == (hold.state is State.OPEN)


def test_every_guard_says_what_to_check_and_every_change_has_words() -> None:
    assert set(TO_CHECK) == set(Guard)
    assert set(WHY) == set(Cause)
    assert {word for pair in WHAT for word in pair.split()} == {*Kind, KIND, *Op}


def of_licences() -> Hold:
    """What is made of three licences that are removed at once."""
    plan, standing = asked(["lakeside/rowan", "lakeside/sable", "hill/tarn"]), Standing(size=3, gone=0)
    reviewed = review(
        Plan(plan),
        [],
        [],
        lambda _, released, sticky: judge(plan, standing, released=released, sticky=sticky),
        made=pl.DataFrame(schema=CHANGE_SCHEMA),
        unseen=Unseen(),
        now=NOW,
        salt=lambda: b"0123456789abcdef",
    )
    (hold,) = reviewed.open
    return replace(hold, context="by them 9 students hold a seat, and 2 teachers are connected")


def test_a_hold_of_licences_is_shown_approved_and_handed_on(homeroom: Homeroom, store: Store, tmp_path: Path) -> None:
    hold = of_licences()
    keep(store, hold, kind="LicensePool", name="seats")
    look = ("plan", "--hold", hold.id, "-n", "lakeside")
    said = homeroom(*look, "--details").out
    assert "resource: licensepool/seats in namespace lakeside" in said
    assert TO_CHECK[Guard.LICENCES] in " ".join(said.split())
    assert [line for line in said.splitlines() if line.startswith("- ")] == [
        f"- Remove SchoolLicense {name}  (LicenceRevoked)" for name in ("hill/tarn", "lakeside/rowan", "lakeside/sable")
    ]
    changes = json.loads(homeroom(*look, "--details", "-o", "json").out)["changes"]
    assert next((change["licence"], change["school"]) for change in changes) == ("hill/tarn", None)
    homeroom(*look, "--report", tmp_path / "hold.csv")
    with (tmp_path / "hold.csv").open(encoding="utf-8-sig") as file:
        assert {row["licence"] for row in csv.DictReader(file)} == set(hold.rows["key"])
    text = homeroom("approve", hold.id, "--reason", "closed", "-n", "lakeside").out
    (document,) = load_all(text, file="-")
    approval = parse(document.data)
    assert isinstance(approval, Approval)
    assert (approval.spec.target_ref.kind, approval.spec.target_ref.name) == ("LicensePool", "seats")


# ---------------------------------------------------------------------------------------------------------------------
# Handed on


def test_a_school_recognises_its_children_on_the_page(
    homeroom: Homeroom, hold: Hold, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "hold.html").touch(mode=0o644)
    said = report(homeroom, hold, tmp_path / "hold.html")
    assert said.out == f"{tmp_path / 'hold.html'}: 4 changes; {PERSONAL_DATA}\n"
    assert (tmp_path / "hold.html").stat().st_mode & 0o777 == 0o600
    page = Page((tmp_path / "hold.html").read_text(encoding="utf-8"))
    assert PERSONAL_DATA in page.words
    assert TO_CHECK[Guard.DELETES] in page.words
    assert "Rowan Hill Elementary School s-001" in page.words
    assert {"Belvane Feldwariakos", "goes out of the class", "no longer in the records"} <= set(page.words)
    before = pl.concat(pl.read_parquet(path / "users.parquet") for path in snapshots(store))
    (gone,) = before.filter(pl.col("id") == GONE).select(FULL_NAME).to_series()
    assert gone in page.words, "who has left the records is known from those before"


def snapshots(store: Store) -> list[Path]:
    return list(store.snapshots(namespace="lakeside", district="lakeside").iterdir())


def test_names_are_text_on_the_page_whatever_they_are(homeroom: Homeroom, hold: Hold, tmp_path: Path) -> None:
    report(homeroom, hold, tmp_path / "hold.html")
    page = Page((tmp_path / "hold.html").read_text(encoding="utf-8"))
    assert HOSTILE in page.words
    assert not page.tags & {"script", "img", "link", "iframe", "a"}
    assert page.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class"}, (
        "nothing outside is asked for"
    )


def test_a_table_for_spreadsheets_has_one_row_per_change(homeroom: Homeroom, hold: Hold, tmp_path: Path) -> None:
    report(homeroom, hold, tmp_path / "hold.csv")
    with (tmp_path / "hold.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["hold"], row["school"], row["op"], row["person"]) for row in rows] == [
        *((hold.id, "s-001", "Remove", pupil) for pupil in sorted(PUPILS, key=by_name(rows))),
        (hold.id, "s-001", "Archive", ""),
    ]
    named = {row["person"]: row["person name (personal data)"] for row in rows}
    assert named["u-1"] == "Belvane Feldwariakos"
    assert named["u-2"].startswith(f"'{FORMULA}"), "a spreadsheet must not take a name for a formula"
    assert {row["class name"] for row in rows} == {HOSTILE}


def by_name(rows: list[dict[str, str]]) -> Any:
    names = {row["person"]: row["person name (personal data)"].removeprefix("'") for row in rows}
    return names.__getitem__


@pytest.mark.parametrize("form", ["html", "csv"])
def test_an_outsider_gets_counts_and_nobody(
    homeroom: Homeroom, hold: Hold, store: Store, tmp_path: Path, form: str
) -> None:
    said = report(homeroom, hold, tmp_path / f"hold.{form}", "--anonymous")
    text = (tmp_path / f"hold.{form}").read_text(encoding="utf-8")
    assert said.out == f"{tmp_path / f'hold.{form}'}: 4 changes\n"
    ids = {key for path in snapshots(store) for key in pl.read_parquet(path / "users.parquet")["id"]}
    assert not ids & set(re.findall(r"[\w-]+", text))
    assert not [name for name in names_of(store) if name in text]
    assert not [word for word in ("Rowan Hill", "alert", "kolibri", "lakeside") if word in text]
    assert {hold.id, "s-001", "c-1", "3"} <= set(re.findall(r"[\w-]+", text))


def test_without_names_no_records_are_needed(homeroom: Homeroom, hold: Hold, store: Store, tmp_path: Path) -> None:
    for path in snapshots(store):
        shutil.rmtree(path)
    report(homeroom, hold, tmp_path / "hold.html", "--anonymous")
    said = homeroom("plan", "--hold", hold.id, "-n", "lakeside", "--report", tmp_path / "named.html")
    assert (said.code, said.out) == (1, "")
    assert not (tmp_path / "named.html").exists()


def test_who_is_in_no_records_keeps_the_id(homeroom: Homeroom, hold: Hold, store: Store, tmp_path: Path) -> None:
    accepted = store.accepted(namespace="lakeside", district="lakeside")
    assert accepted is not None
    for path in snapshots(store):
        if path.name != accepted.digest:
            (path / "users.parquet").write_bytes(b"damaged")
    report(homeroom, hold, tmp_path / "hold.html")
    page = Page((tmp_path / "hold.html").read_text(encoding="utf-8"))
    assert GONE in page.words
    assert "Whoever has no name here is in no records that are still kept." in page.words


def test_of_several_districts_it_is_that_of_the_app(
    homeroom: Homeroom, hold: Hold, store: Store, tmp_path: Path
) -> None:
    nothing = Accepted(digest="0" * 64, accepted_at=NOW, validator=None, spec_digest="0")
    store.accept(nothing, namespace="lakeside", district="another", epoch=1)
    report(homeroom, hold, tmp_path / "hold.html", "-f", TREE)
    assert "Belvane Feldwariakos" in Page((tmp_path / "hold.html").read_text(encoding="utf-8")).words


def test_a_district_has_holds_of_its_own(homeroom: Homeroom, store: Store, tmp_path: Path) -> None:
    hold = published()
    keep(store, hold, kind="District", name="lakeside")
    assert "resource: district/lakeside " in homeroom("plan", "--hold", hold.id, "-n", "lakeside").out
    report(homeroom, hold, tmp_path / "hold.csv")
    assert "Belvane Feldwariakos" in (tmp_path / "hold.csv").read_text(encoding="utf-8")
    said = homeroom("plan", "kolibri", "--hold", hold.id, "-n", "lakeside")
    assert (said.code, said.err) == (
        1,
        f"error: hold '{hold.id}' is of district/lakeside, not of learningapp/kolibri\n",
    )


def test_a_district_without_records_has_no_names(homeroom: Homeroom, store: Store, tmp_path: Path) -> None:
    hold = published()
    keep(store, hold, kind="District", name="another")
    said = homeroom("plan", "--hold", hold.id, "-n", "lakeside", "--report", tmp_path / "hold.html")
    assert (said.code, said.out) == (1, "")
    assert "District 'another' has no accepted snapshot" in said.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--anonymous",), "--anonymous needs --report FILE"),
        (("--report", "hold.csv"), "--report needs --hold ID"),
        (("--hold", "ID", "--report", "hold.csv", "--details"), "--report takes neither"),
        (("--hold", "ID", "--report", "hold.csv", "-o", "json"), "--report takes neither"),
        (("--hold", "ID", "--records", RECORDS), "--hold takes neither"),
        (("--hold", "ID", "--today", "2026-11-22"), "--hold takes neither"),
        (("--hold", "ID", "--secret", "a=b"), "--hold takes neither"),
        ((), "--owner-id (or HOMEROOM_OWNER_ID) is missing"),
    ],
)
def test_options_that_do_not_fit_are_refused(homeroom: Homeroom, options: tuple[str, ...], words: str) -> None:
    said = homeroom("plan", "-n", "lakeside", *options)
    assert (said.code, said.out) == (1, "")
    assert words in said.err


def test_a_report_is_a_page_or_a_table(homeroom: Homeroom, hold: Hold, tmp_path: Path) -> None:
    said = homeroom("plan", "--hold", hold.id, "-n", "lakeside", "--report", tmp_path / "hold.pdf")
    assert (said.code, said.out) == (1, "")
    assert "must end in .html or .csv" in said.err
    assert not (tmp_path / "hold.pdf").exists()


# ---------------------------------------------------------------------------------------------------------------------
# Approved


def approve(homeroom: Homeroom, *arguments: object) -> Said:
    return homeroom("approve", *arguments, "-n", "lakeside")


def approvals(said: Said) -> list[Approval]:
    assert (said.code, said.err) == (0, "")
    found = [parse(document.data) for document in load_all(said.out, file="-")]
    assert all(isinstance(one, Approval) for one in found)
    return cast("list[Approval]", found)


def test_an_approval_is_written_that_is_taken(homeroom: Homeroom, hold: Hold, tmp_path: Path) -> None:
    said = approve(homeroom, hold.id, "--reason", "school 3 closed")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("# Deletes at LearningApp, 4 changes, 3 people\n")
    (approval,) = approvals(said)
    assert (approval.metadata.namespace, approval.metadata.name) == ("lakeside", hold.id)
    assert (approval.spec.target_ref.kind, approval.spec.target_ref.name) == ("LearningApp", "kolibri")
    assert (approval.spec.hold, approval.spec.reason) == (hold.id, "school 3 closed")
    for path in TREE.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    (tmp_path / "approval.yaml").write_text(said.out, encoding="utf-8")
    assert homeroom("validate", tmp_path / "approval.yaml", TREE).code == 0


def test_several_are_several_documents(homeroom: Homeroom, hold: Hold, store: Store) -> None:
    other = published(salt=b"another salt")
    keep(store, other, name="reader")
    found = approvals(approve(homeroom, hold.id, other.id, hold.id, "--reason", "both"))
    assert [one.spec.hold for one in found] == [hold.id, other.id]
    assert [one.spec.target_ref.name for one in found] == ["kolibri", "reader"]


@pytest.mark.parametrize(
    "reason", ["y", "017", "null", 'a "b" # c: d', "two\nlines\n---\nkind: District", "ä\x85\u2028", " x "]
)
def test_reasons_stay_as_they_are(homeroom: Homeroom, hold: Hold, reason: str) -> None:
    (approval,) = approvals(approve(homeroom, hold.id, "--reason", reason))
    assert approval.spec.reason == reason


def test_an_id_that_looks_like_a_number_is_text(homeroom: Homeroom, store: Store) -> None:
    keep(store, replace(published(), id="00012e-1234"))
    (approval,) = approvals(approve(homeroom, "00012e-1234", "--reason", "fine"))
    assert approval.spec.hold == approval.metadata.name == "00012e-1234"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"state": State.APPROVED, "approval": "yes"}, "Approval 'yes' has released hold '{id}' already"),
        ({"state": State.USED, "approval": "yes"}, "Approval 'yes' has released hold '{id}' already"),
        ({"state": State.GONE}, "nothing of hold '{id}' is planned any more"),
        ({"state": State.EXPIRED, "successor": "abcdef-0123"}, "not approved in time; it is 'abcdef-0123' now"),
        ({"published": NOW - timedelta(days=14)}, "not approved in time: the next run gives it a new id"),
    ],
)
def test_what_would_do_nothing_is_refused(
    homeroom: Homeroom, hold: Hold, store: Store, change: dict[str, Any], words: str
) -> None:
    over = replace(published(salt=b"another salt"), **change)
    keep(store, over)
    for ids in ((over.id,), (hold.id, over.id)):
        said = approve(homeroom, *ids, "--reason", "fine")
        assert (said.code, said.out) == (1, ""), "one that is refused spoils all: nobody commits a half"
        assert words.format(id=over.id) in said.err


def test_what_nobody_knows_is_an_error(homeroom: Homeroom, hold: Hold) -> None:
    for command in (("approve", "abcdef-0123", "--reason", "fine"), ("plan", "--hold", "abcdef-0123")):
        said = homeroom(*command, "-n", "lakeside")
        assert (said.code, said.out) == (1, "")
        assert "there is no hold 'abcdef-0123' in namespace lakeside" in said.err
    said = homeroom("approve", hold.id, "--reason", "fine", "-n", "elsewhere")
    assert "there is no hold" in said.err
    assert "of which namespace? Name it with -n" in homeroom("approve", hold.id, "--reason", "fine").err


def test_a_reason_is_wanted(homeroom: Homeroom, hold: Hold) -> None:
    assert approve(homeroom, hold.id).code == 2
    assert approve(homeroom, "--reason", "fine").code == 2
    for reason, words in (("", "spec.reason: "), ("x" * 1025, "at most 1024 characters")):
        said = approve(homeroom, hold.id, "--reason", reason)
        assert (said.code, said.out) == (1, "")
        assert words in said.err


# ---------------------------------------------------------------------------------------------------------------------
# Of chats


@pytest.fixture
def chat(store: Store) -> Hold:
    """Half a chat of class c-1 would go; whose accounts these are is known."""
    pairs = pl.DataFrame([(one, f"@{one}") for one in PUPILS], schema=LINKS_SCHEMA, orient="row")
    place = Place("lakeside", "matrix", "lakeside")
    store.links.note(pairs, place=place, by=LinkedBy.RECORDS, at=NOW, epoch=1)
    nights = Nights()
    nights.night(World(school="s-001", homerooms={"c-1": f"{' '.join(PUPILS)} tom*"}))
    assert nights.baseline is not None
    stored = StoredChats(baseline=nights.baseline, rules="{}", lineage=NO_LINEAGE, learners=NO_LEARNERS)
    store.chats.save_baseline(stored, namespace="lakeside", policy="chats", epoch=1)
    chats = nights.baseline.desired.chats
    (key,) = chats.filter(pl.col("type") == "ClassStudents")["key"]
    row = {"op": "Remove", "kind": "Membership", "school": "s-001", "cause": "LeftSource", "guard": "ClassShrink"}
    rows = [{**dict.fromkeys(HELD_SCHEMA), **row, "class_key": key, "key": f"@{one}"} for one in PUPILS]
    held = [{**one, "scope": "Class", "place": key} for one in rows]
    hold = replace(
        published(guard=Guard.CLASS_SHRINK),
        scope=Scope.CLASS,
        place=key,
        rows=pl.DataFrame(held, schema=HELD_SCHEMA),
        total=3,
    )
    keep(store, hold, kind="ChatPolicy", name="chats")
    return hold


def test_a_hold_of_chats_names_class_and_type_and_no_key(homeroom: Homeroom, chat: Hold) -> None:
    said = homeroom("plan", "--hold", chat.id, "-n", "lakeside", "--details")
    assert (said.code, said.err) == (0, "")
    assert "resource: chatpolicy/chats in namespace lakeside" in said.out
    assert "scope: Class c-1, ClassStudents" in said.out
    assert TO_CHECK_IN_CHATS[Guard.CLASS_SHRINK] in " ".join(said.out.split())
    assert "- Remove Membership s-001 c-1 ClassStudents @u-1  (LeftSource)" in said.out
    assert chat.place not in said.out
    table = said.out.split("\n\n")[1].splitlines()
    assert table[0].split() == ["SCHOOL", "CLASS", "CHAT", "KIND", "OP", "CAUSE", "CHANGES"]
    assert table[1].split() == ["s-001", "c-1", "ClassStudents", "Membership", "Remove", "LeftSource", "3"]


def test_a_chat_of_which_nothing_is_known_stands_there_by_its_key(homeroom: Homeroom, store: Store, chat: Hold) -> None:
    keep(store, chat, kind="ChatPolicy", name="another")
    changes = json.loads(homeroom("plan", "--hold", chat.id, "-n", "lakeside", "--details", "-o", "json").out)[
        "changes"
    ]
    assert {(change["class"], change["chat"]) for change in changes} == {(None, chat.place)}


def test_a_school_recognises_its_children_by_their_accounts(homeroom: Homeroom, chat: Hold, tmp_path: Path) -> None:
    report(homeroom, chat, tmp_path / "hold.html")
    words = Page((tmp_path / "hold.html").read_text(encoding="utf-8")).words
    assert {"Belvane Feldwariakos", "goes out of the chat", "ClassStudents", HOSTILE} <= set(words)
    report(homeroom, chat, tmp_path / "counts.csv", "--anonymous")
    with (tmp_path / "counts.csv").open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["class"], row["chat"], row["changes"]) == ("c-1", "ClassStudents", "3")


def test_every_word_of_an_app_has_one_of_chats() -> None:
    told = {guard: words for guard, words in TO_CHECK_IN_CHATS.items() if re.search(r"\bapp\b", words)}
    assert set(told) == {Guard.LICENCES}, "of pools only"

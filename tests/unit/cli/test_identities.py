"""`identities`: counts first, ids and names on request only, and proposals that can be committed as they are."""

from __future__ import annotations

import csv
import io
import json
import re
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest
import yaml
from tests.unit.stores import open_store

from homeroom.api import IdentityLink
from homeroom.api.validate import validate_texts
from homeroom.cli.files import read_export
from homeroom.reconcile.admission import as_snapshot
from homeroom.roster.years import NO_PINS, pinned
from homeroom.sources import read_links, write
from homeroom.store import Accepted, Door, Passed

from .conftest import NOW, RECORDS, TREE, Homeroom, Said

LOOK = ("-f", TREE)
PEOPLE = ("users", "roles", "enrollments")
STUDENTS = 220  # of the example


def export(place: Path, old: str, new: str, *, count: int = 0) -> Path:
    """The example's records with other text in all that is about people."""
    place.mkdir()
    for path in RECORDS.iterdir():
        text = path.read_text()
        (place / path.name).write_text(re.sub(old, new, text, count=count) if path.stem in PEOPLE else text)
    return place


def rewrite(file: Path, changes: dict[str, dict[str, str]]) -> None:
    """Other values for these people."""
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, **changes.get(row["sourcedId"], {})} for row in rows)


@pytest.fixture
def replaced(tmp_path: Path) -> Path:
    """The same people after a change of the records system: other ids, no user name or address as it was."""
    place = export(tmp_path / "new", r"\bu-(\d+)(?=,)", r"p-\1")
    users = (place / "users.csv").read_text()
    (place / "users.csv").write_text(re.sub(r"@pupils\.lakeside\.example|\.u(?=\d+,)", "@mail.example", users))
    return place


def look(homeroom: Homeroom, *options: object) -> Said:
    said = homeroom("identities", *LOOK, *options)
    assert (said.code, said.err) == (0, "")
    return said


def test_records_that_stay_the_same_ask_nothing(homeroom: Homeroom) -> None:
    said = look(homeroom, "--before", RECORDS, "--export", RECORDS)
    assert said.out == "district/lakeside\nquestions: 0; people who stand still: 0\n"
    assert look(homeroom, "--before", RECORDS, "--export", RECORDS, "--propose").out.endswith("    links: []\n")


def test_counts_come_first_and_ids_on_request(homeroom: Homeroom, tmp_path: Path) -> None:
    one = export(tmp_path / "one", r"\bu-7(?=,)", "p-7")
    show = ("--before", RECORDS, "--export", one)
    text = look(homeroom, *show).out
    assert "questions: 1; people who stand still: 2" in text
    assert re.search(r"^Changed +SameIdentifier +s-001 +1$", text, re.MULTILINE)
    assert "\nChanged: one human, another id or another student key\n" in text
    assert "SameIdentifier: the same identifier\n" in text
    assert "u-7" not in text
    listed = look(homeroom, *show, "--ids").out
    assert re.search(r"^Changed +u-7 +p-7 +s-001 +SameIdentifier$", listed, re.MULTILINE)
    document = json.loads(look(homeroom, *show, "-o", "json").out)
    counted = {"question": "Changed", "reason": "SameIdentifier", "school": "s-001", "number": 1}
    assert document == {
        "namespace": "lakeside",
        "district": "lakeside",
        "people": 2,
        "unusedLinks": 0,
        "counts": [counted],
    }
    (question,) = json.loads(look(homeroom, *show, "--ids", "-o", "json").out)["questions"]
    assert (question["person"], question["other"]) == ("u-7", "p-7")


def tree(tmp_path: Path, identity: object) -> Path:
    """The example's District with this `spec.identity`."""
    document = yaml.safe_load((TREE / "district.yaml").read_text())
    document["spec"]["identity"] = identity
    path = tmp_path / "district.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_links_of_the_spec_and_of_the_file_answer(homeroom: Homeroom, tmp_path: Path) -> None:
    one = export(tmp_path / "one", r"\bu-([78])(?=,)", r"p-\1")
    listed = tmp_path / "links.csv"
    listed.write_text("from,to\nu-8,p-8\n")
    digest = sha256(listed.read_bytes()).hexdigest()
    links = [{"from": "u-7", "to": "p-7"}, {"from": "u-7", "to": "nobody"}]
    identity = {"links": links, "linksFrom": {"url": "file:links.csv", "sha256": digest}}
    show = ("identities", "-f", tree(tmp_path, identity), "--before", RECORDS, "--export", one)
    said = homeroom(*show, "--links", listed)
    assert said.out == (
        "district/lakeside\nquestions: 0; people who stand still: 0\nlinks whose `to` is no record: 1\n"
    )
    said = homeroom(*show)
    assert (said.code, said.out) == (1, "")
    assert "--links goes with `spec.identity.linksFrom`" in said.err
    listed.write_text("from,to\nu-8,p-9\n")
    said = homeroom(*show, "--links", listed)
    assert said.code == 1
    assert "review the file" in said.err


def test_the_student_key_answers(homeroom: Homeroom, tmp_path: Path) -> None:
    one = export(tmp_path / "one", r"\bu-7(?=,)", "p-7")
    by_number = tree(tmp_path, {"studentKey": "Identifier"})
    said = homeroom("identities", "-f", by_number, "--before", RECORDS, "--export", one)
    assert "questions: 0;" in said.out


def test_proposals_can_be_committed_as_they_are(homeroom: Homeroom, replaced: Path) -> None:
    text = look(homeroom, "--before", RECORDS, "--export", replaced, "--propose").out
    links = yaml.safe_load(text)["spec"]["identity"]["links"]
    assert [IdentityLink(**link) for link in links]
    assert len(links) == STUDENTS
    assert {link["from"].removeprefix("u-") == link["to"].removeprefix("p-") for link in links} == {True}
    assert "# Certain: SameIdentifier, SameName, SameSchool, SameGrade\n" in text

    document = yaml.safe_load((TREE / "district.yaml").read_text())
    document["spec"] |= yaml.safe_load(text)["spec"]
    assert validate_texts({"district.yaml": yaml.safe_dump(document)}) == []


def test_proposals_as_a_file_for_links_from(homeroom: Homeroom, replaced: Path) -> None:
    text = look(homeroom, "--before", RECORDS, "--export", replaced, "--propose", "--csv").out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == ["from", "to", "confidence", "reasons"]
    content = text.encode()
    assert read_links(content, sha256=sha256(content).hexdigest()).height == STUDENTS
    document = json.loads(look(homeroom, "--before", RECORDS, "--export", replaced, "--propose", "-o", "json").out)
    assert len(document["proposals"]) == STUDENTS


def test_names_are_shown_on_request_only(homeroom: Homeroom, replaced: Path) -> None:
    show = ("--before", RECORDS, "--export", replaced, "--propose")
    with (RECORDS / "users.csv").open() as file:
        families = {row["familyName"] for row in csv.DictReader(file)}
    for options in (show, (*show, "--csv"), (*show, "-o", "json"), (*show[:-1], "--ids")):
        text = look(homeroom, *options).out
        assert [family for family in families if family in text] == []
    text = look(homeroom, *show, "--names").out
    assert [family for family in families if family in text] != []
    with_names = look(homeroom, *show, "--csv", "--names").out
    assert with_names.startswith("from,to,confidence,reasons,fromName,toName\n")
    assert read_links(with_names.encode(), sha256=sha256(with_names.encode()).hexdigest()).height == STUDENTS


def test_a_name_never_becomes_yaml(homeroom: Homeroom, replaced: Path) -> None:
    rewrite(replaced / "users.csv", {"p-1": {"givenName": 'x"\n      - {from: a, to: b}', "preferredGivenName": ""}})
    text = look(homeroom, "--before", RECORDS, "--export", replaced, "--propose", "--names").out
    assert text.count(r'-> "x\" ') == 1
    assert len(yaml.safe_load(text)["spec"]["identity"]["links"]) == STUDENTS


def test_namesakes_are_listed_and_left_out(homeroom: Homeroom, tmp_path: Path, replaced: Path) -> None:
    """Two children of one name in one homeroom, and nothing else is known of them."""
    before = export(tmp_path / "old", "a^", "")
    alike = {"givenName": "Anna", "familyName": "Twice", "preferredGivenName": "", "identifier": "", "email": ""}
    for place, prefix in ((before, "u"), (replaced, "p")):
        rewrite(place / "users.csv", {f"{prefix}-1": alike, f"{prefix}-2": alike})
    text = look(homeroom, "--before", before, "--export", replaced, "--propose").out
    assert '    # several people are as good a match; who is it?\n    #   "u-1"\n    #   "u-2"\n' in text
    assert "2 Ambiguous" in text
    assert len(yaml.safe_load(text)["spec"]["identity"]["links"]) == STUDENTS - 2


def test_what_is_served_is_what_was_before_and_the_last_reading_is_new(homeroom: Homeroom, tmp_path: Path) -> None:
    data = tmp_path / "data"
    store = open_store(data)
    place = {"namespace": "lakeside", "district": "lakeside"}
    one = export(tmp_path / "one", r"\bu-7(?=,)", "p-7")
    served, raw = (read_export(path, previous=None) for path in (RECORDS, one))
    for snapshot in (served, raw):
        write(snapshot, store.snapshots(**place))
    accepted = Accepted(digest=raw.digest, served=served.digest, accepted_at=NOW, validator=None, spec_digest="x")
    store.accept(accepted, **place, epoch=1)
    store.close()
    assert "questions: 1;" in look(homeroom).out
    assert "questions: 1;" in look(homeroom, "--export", one).out
    assert "questions: 0;" in look(homeroom, "--export", RECORDS).out
    assert '{from: "u-7", to: "p-7"}' in look(homeroom, "--propose").out


def test_whoever_is_served_in_the_class_of_a_school_year_is_in_the_section(homeroom: Homeroom, tmp_path: Path) -> None:
    """Two records of one name, in the same classes: that is a question only as long as the classes are the same."""
    data = tmp_path / "data"
    store = open_store(data)
    place = {"namespace": "lakeside", "district": "lakeside"}
    raw = read_export(RECORDS, previous=None)
    pins = pinned(raw.roster, NO_PINS, today=NOW.date()).pins
    later = pl.concat_str("section", pl.lit("@2027"))
    pins = pins.with_columns(pl.lit(2026, pl.Int16).alias("year"), current=pl.lit(value=False))
    pins = pl.concat(
        [pins, pins.with_columns(pl.lit(2027, pl.Int16).alias("year"), later.alias("class"), current=True)]
    )
    pins = pins.sort("section", "year")
    served = as_snapshot(pinned(raw.roster, pins, today=NOW.date()).roster, raw)
    for snapshot in (served, raw):
        write(snapshot, store.snapshots(**place))
    accepted = Accepted(digest=raw.digest, served=served.digest, accepted_at=NOW, validator=None, spec_digest="x")
    store.accept(accepted, Door(passed=Passed(), holds=(), before=(), pins=pins), **place, epoch=1)
    store.close()
    other = export(tmp_path / "one", r"\bu-7(?=,)", "p-7")
    rewrite(other / "users.csv", {"p-7": {"username": "new", "identifier": "", "email": ""}})
    assert re.search("Changed +u-7 +p-7 +s-001 +SameNameAndClasses", look(homeroom, "--export", other, "--ids").out)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--csv",), 2, "--csv and --names go with --propose"),
        ((), 1, "there is no store at"),
        (("--export", RECORDS, "--links", TREE / "district.yaml"), 1, "--links goes with `spec.identity.linksFrom`"),
    ],
)
def test_what_goes_wrong_is_said(homeroom: Homeroom, options: tuple[object, ...], code: int, words: str) -> None:
    said = homeroom("identities", *LOOK, *options)
    assert (said.code, said.out) == (code, "")
    assert words in said.err


def test_another_district_is_not_there(homeroom: Homeroom) -> None:
    said = homeroom("identities", "hillside", *LOOK, "--export", RECORDS)
    assert said.code == 1
    assert "no District 'hillside'" in said.err

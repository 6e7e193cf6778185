"""What a valid export becomes, and what is read with good will."""

from __future__ import annotations

import csv
import io
import json
import stat
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from homeroom.demo.district import Version, generate
from homeroom.errors import TransientError
from homeroom.roster.findings import Severity
from homeroom.roster.tables import SCHEMAS, ClassRole, SchoolRole
from homeroom.sources import load, scan, write

if TYPE_CHECKING:
    Export = Any
    Reader = Any


def test_records_become_tables(export: Export, read: Reader) -> None:
    snapshot = read(export)
    roster = snapshot.roster
    assert snapshot.findings.frame.is_empty()
    assert snapshot.counts == {**roster.counts(), "quarantined": 0}
    for name, frame in roster.tables():
        assert frame.schema == SCHEMAS[name]
    assert roster.orgs.rows() == [
        ("d-1", "Lakeside Unified", "district", None, None),
        ("s-1", "Sparrow Hill", "school", 0, "0001"),
        ("s-2", "Otter Creek", "school", 0, "0002"),
    ]
    assert roster.classes.rows()[2] == (
        "c-3",
        "Maths",
        "MA-1",
        "scheduled",
        ["Other"],
        ["math", "science"],
        1,
        1,
        [1, 2],
    )
    assert roster.users.rows()[1] == ("u-2", True, "yb", "Tamsiniel", "Brambleveil", "i2", None, ["01"], [])
    assert roster.users["enabled"].to_list() == [True, True, False, True, True]
    assert roster.users["grades"].to_list() == [["Other"], ["01"], ["02"], ["01", "02"], ["01"]]
    assert roster.sessions.rows()[0] == (
        "sy-1",
        "2026-2027",
        "schoolYear",
        date(2026, 8, 1),
        date(2027, 8, 1),
        None,
        2027,
    )
    assert (0, 1, "student", None, date(2026, 8, 1), date(2027, 8, 1)) in roster.enrollments.rows()
    assert (0, "principal", False, 2, None, None) in roster.roles.rows()


def test_version_1_1_has_roles_in_users(export_1_1: Export, read: Reader) -> None:
    snapshot = read(export_1_1)
    assert snapshot.findings.frame.is_empty()
    assert sorted(snapshot.roster.roles.select("user", "role", "org").rows()) == [
        (0, SchoolRole.TEACHER, 1),
        (0, SchoolRole.TEACHER, 2),
        (1, SchoolRole.STUDENT, 1),
        (2, SchoolRole.STUDENT, 2),
        (3, SchoolRole.STUDENT, 1),
        (4, SchoolRole.SITE_ADMINISTRATOR, 0),
    ]


def test_only_staff_passwords_are_kept(export: Export, read: Reader) -> None:
    assert read(export).credentials.rows() == [("u-1", "chalk-1")]


def test_the_digest_knows_records_not_files(export: Export, read: Reader, tmp_path: Path) -> None:
    first = read(export)
    for file in ("users.csv", "enrollments.csv", "classes.csv"):
        header, *rows = export.table(file)
        order = list(reversed(range(len(header))))
        export.put(file, [[row[at] for at in order] for row in [header, *reversed(rows)]])
    again = read(export.archive(tmp_path / "export.zip"), previous=first.roster)
    assert again.digest == first.digest
    assert read(export.set("users.csv", 2, "email", "new@lakeside.example")).digest != first.digest


def _quoted(text: str) -> str:
    """As many systems write it: quotation marks around everything, nothing included."""
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(csv.reader(io.StringIO(text)))
    return out.getvalue()


@pytest.mark.parametrize(
    ("file", "change"),
    [
        pytest.param("users.csv", lambda text: "\ufeff" + text, id="byte order mark"),
        pytest.param("users.csv", lambda text: text.replace("\n", "\r\n"), id="line ends of Windows"),
        pytest.param("users.csv", lambda text: text.replace("\n", "\r"), id="line ends of old Macs"),
        pytest.param("classes.csv", lambda text: text + "\n\n", id="blank lines at the end"),
        pytest.param("orgs.csv", lambda text: text.replace(",", ";"), id="semicolons"),
        pytest.param("orgs.csv", lambda text: text.replace(",", "\t"), id="tabs"),
        pytest.param("enrollments.csv", lambda text: text.replace("teacher", "Teacher"), id="letter case of enums"),
        pytest.param("enrollments.csv", lambda text: text.replace("true", "1"), id="1 for true"),
        pytest.param("users.csv", lambda text: text.replace(",true,", ",TRUE,"), id="TRUE"),
        pytest.param("users.csv", lambda text: text.replace(",01,", ",1,"), id="grade without its zero"),
        pytest.param("orgs.csv", lambda text: text.replace("sourcedId", "SOURCEDID"), id="letter case of headers"),
        pytest.param("orgs.csv", lambda text: text.rstrip("\n"), id="no line end at the end"),
        pytest.param("orgs.csv", lambda text: text.replace("Sparrow Hill", '"Sparrow Hill"'), id="quotation marks"),
        pytest.param("users.csv", _quoted, id="quotation marks around all people"),
        pytest.param("enrollments.csv", _quoted, id="quotation marks around all links"),
        pytest.param("users.csv", lambda text: text.replace("\n", "\n\n", 1), id="a blank line below the header"),
        pytest.param("classes.csv", lambda text: text.replace("\n", "\r\r\n"), id="line ends converted twice"),
        pytest.param("roles.csv", lambda text: text.replace("\n", "\r\n")[:-2] + "\r", id="half a line end at the end"),
    ],
)
def test_what_is_certain_is_read(file: str, change: Any, export: Export, read: Reader) -> None:
    expected = read(export)
    export.files[file] = change(export.text(file))
    snapshot = read(export)
    assert snapshot.digest == expected.digest
    assert snapshot.findings.counts()[Severity.RECORD] == 0


def test_file_names_in_other_letter_case_and_a_folder_are_read(export: Export, read: Reader, tmp_path: Path) -> None:
    expected = read(export)
    export.files = {f"Export/{file.upper()}": content for file, content in export.files.items()}
    assert read(export.archive(tmp_path / "export.zip")).digest == expected.digest


def test_extensions_of_roles_are_other(export: Export, read: Reader) -> None:
    export.set("roles.csv", 2, "role", "ext:coach").set("enrollments.csv", 2, "role", "ext:coach")
    roster = read(export).roster
    assert SchoolRole.OTHER in roster.roles["role"]
    assert ClassRole.OTHER in roster.enrollments["role"]


def test_rows_are_those_of_the_file(export: Export, read: Reader) -> None:
    export.set("enrollments.csv", 4, "role", "?").set("enrollments.csv", 3, "sourcedId", 'e\n"2"')
    findings = read(export).findings.frame.select("rule", "row", "id").rows()
    assert ("or-enum", 5, "e-3") in findings  # the line break before it makes one line more


@pytest.mark.parametrize("version", ["1.1", "1.2", "1.2.1"])
def test_a_generated_district_is_valid(version: Version, read: Reader, tmp_path: Path) -> None:
    today = date(2026, 11, 22)
    counts = generate(tmp_path / "g", students=400, seed=7, today=today, version=version, zip=True)
    snapshot = read(tmp_path / "g" / "export.zip")
    assert snapshot.findings.frame.is_empty()
    assert snapshot.counts["students"] == counts.students
    assert snapshot.counts["enrollments"] == counts.rows["enrollments"]


def test_snapshots_survive_on_disk(export: Export, read: Reader, tmp_path: Path) -> None:
    snapshot = read(export.set("classes.csv", 2, "grades", "first"))
    place = write(snapshot, tmp_path / "snapshots")
    write(snapshot, tmp_path / "snapshots")
    loaded = load(tmp_path / "snapshots", snapshot.digest)
    assert place.name == snapshot.digest
    assert [entry.name for entry in (tmp_path / "snapshots").iterdir()] == [snapshot.digest]
    assert all(frame.equals(dict(loaded.roster.tables())[name]) for name, frame in snapshot.roster.tables())
    assert loaded.findings.frame.equals(snapshot.findings.frame)
    assert loaded.credentials.equals(snapshot.credentials)
    assert loaded.counts == snapshot.counts
    assert stat.S_IMODE((place / "credentials.parquet").stat().st_mode) == 0o600
    others = [file for file in place.iterdir() if file.name != "credentials.parquet"]
    assert not [file for file in others if b"chalk-1" in file.read_bytes()]


def test_a_snapshot_of_an_earlier_release_lacks_what_that_did_not_read(
    export: Export, read: Reader, tmp_path: Path
) -> None:
    snapshot = read(export)
    place = write(snapshot, tmp_path)
    snapshot.roster.orgs.drop("identifier").write_parquet(place / "orgs.parquet")
    sums = json.loads((place / "checksums.json").read_text())
    sums["orgs"] = sha256((place / "orgs.parquet").read_bytes()).hexdigest()
    (place / "checksums.json").write_text(json.dumps(sums))
    unknown = snapshot.roster.orgs.with_columns(identifier=pl.lit(None, pl.String))
    assert load(tmp_path, snapshot.digest).roster.orgs.equals(unknown)
    (orgs,) = scan(tmp_path, snapshot.digest, "orgs")
    assert orgs.collect().equals(unknown)


@pytest.mark.parametrize("damage", ["missing", "changed", "no table"])
def test_damaged_snapshots_are_not_loaded(damage: str, export: Export, read: Reader, tmp_path: Path) -> None:
    snapshot = read(export)
    place = write(snapshot, tmp_path)
    if damage == "missing":
        place.rename(tmp_path / "elsewhere")
    elif damage == "changed":
        snapshot.roster.users.with_columns(pl.lit("x").alias("given")).write_parquet(place / "users.parquet")
    else:
        (place / "users.parquet").unlink()
    with pytest.raises(TransientError):
        load(tmp_path, snapshot.digest)

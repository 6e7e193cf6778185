"""Commands on files: `validate`, `shared` and `why`, and where they and `plan` take resources from."""

from __future__ import annotations

import io
import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from tests.unit.stores import open_store

from homeroom.demo.district import generate
from homeroom.seats.assignment import SEATS_SCHEMA
from homeroom.store import Seating

from .conftest import NOW, RECORDS, TREE, Homeroom

TODAY = ("--today", "2026-11-22")
EXAMPLE = ("-f", TREE, "--records", RECORDS, *TODAY)
RULE = """\
apiVersion: homeroom.dev/v1alpha1
kind: SharingRule
metadata: {name: late, namespace: lakeside}
spec:
  appRef: {name: kolibri}
  share: Sections
  match: [{key: subject, operator: In, values: [astrology]}]
"""


def test_the_example_is_fine(homeroom: Homeroom) -> None:
    said = homeroom("validate", TREE, "--export", RECORDS, *TODAY)
    assert (said.code, said.err) == (0, "")
    assert said.out == "5 files: 0 problems, 0 Run findings, 0 Record findings, 0 Value findings\n"


def test_the_example_of_a_municipality_is_fine(homeroom: Homeroom) -> None:
    said = homeroom("validate", TREE, TREE.with_name("lakeside-municipal"), "--export", RECORDS, *TODAY)
    assert (said.code, said.err) == (0, "")
    assert said.out == "11 files: 0 problems, 0 Run findings, 0 Record findings, 0 Value findings\n"


def test_a_problem_has_its_place_and_what_to_do(homeroom: Homeroom, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(TREE, tree)
    (tree / ".hidden").mkdir()
    (tree / ".hidden" / "broken.yaml").write_text("}{")
    app = tree / "learningapp.yaml"
    app.write_text(
        app.read_text().replace("interval: 1h", "intervall: 1h").replace("name: lakeside\n  t", "name: sea\n  t")
    )
    line = app.read_text().splitlines().index("  intervall: 1h") + 1
    said = homeroom("validate", tree)
    assert said.code == 1
    assert f"{app}:{line}: spec.intervall: is not a field here (did you mean `interval`?)\n" in said.out
    assert "there is no District 'sea' in these files" in said.out
    assert "5 files: 2 problems" in said.out
    problems = json.loads(homeroom("validate", tree, "-o", "json").out)["problems"]
    assert {(problem["file"], problem["field"]) for problem in problems} == {
        (str(app), "spec.districtRef.name"),
        (str(app), "spec.intervall"),
    }


LICENCE = """\
apiVersion: homeroom.dev/v1alpha1
kind: SchoolLicense
metadata: {name: rowan, namespace: lakeside}
spec: {poolRef: {name: seats}, schoolUnit: s-001, seats: 40, access: Automatic, districtRef: {name: lakeside}}
---
apiVersion: homeroom.dev/v1alpha1
kind: LicensePool
metadata: {name: seats, namespace: lakeside}
spec: {seats: 100, timeZone: Europe/Amsterdam, unitRegistry: {type: Source, districtRef: {name: lakeside}}}
"""


@pytest.fixture
def in_use(data: Path) -> Path:
    """A store in which 53 seats of the licence are in use."""
    rows = [("lakeside/lakeside", f"u-{n}", "lakeside/rowan", date(2026, 9, 1), None) for n in range(53)]
    store = open_store(data)
    seats = pl.DataFrame(rows, SEATS_SCHEMA, orient="row")
    store.save_seating(Seating(seats=seats), namespace="lakeside", pool="seats", epoch=1)
    store.close()
    return data


@pytest.mark.usefixtures("in_use")
@pytest.mark.parametrize("space", [", namespace: lakeside", ""])
def test_fewer_seats_than_are_in_use_are_a_problem(homeroom: Homeroom, tmp_path: Path, space: str) -> None:
    """R17, where it is committed."""
    tree = tmp_path / "tree"
    shutil.copytree(TREE, tree)
    file = tree / "licence.yaml"
    file.write_text(LICENCE.replace(", namespace: lakeside", space))
    said = homeroom("validate", tree)
    assert said.code == 1
    assert f"{file}:4: spec.seats: 40 seats are requested and 53 are in use (request at least these" in said.out
    file.write_text(LICENCE.replace("seats: 40", "seats: 53"))
    assert homeroom("validate", tree).code == 0
    file.write_text(LICENCE.replace("name: rowan", "name: other"))
    assert homeroom("validate", tree).code == 0


def test_more_seats_than_the_whole_pool_has_are_a_problem(homeroom: Homeroom, tmp_path: Path) -> None:
    """`ExceedsPool`, where it is committed: a typing error."""
    tree = tmp_path / "tree"
    shutil.copytree(TREE, tree)
    file = tree / "licence.yaml"
    file.write_text(LICENCE.replace("seats: 40", "seats: 9999"))
    said = homeroom("validate", tree)
    assert said.code == 1
    assert f"{file}:4: spec.seats: 9,999 seats are requested and the whole pool has 100 (request less" in said.out


def test_licences_that_do_not_fit_together_are_told_and_pass(homeroom: Homeroom, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(TREE, tree)
    file, words = tree / "licence.yaml", "the licences of LicensePool 'seats' request 101 seats and it has 100"
    second = LICENCE.partition("---")[0].replace("rowan", "sable").replace("seats: 40", "seats: 61")
    file.write_text(f"{second}---\n{LICENCE}")
    said = homeroom("validate", tree)
    assert said.code == 0
    assert words in said.out
    assert json.loads(homeroom("validate", tree, "-o", "json").out)["poolsTooSmall"][0].startswith(words)
    file.write_text(f"{second.replace('61', '60')}---\n{LICENCE}")
    assert "LicensePool" not in homeroom("validate", tree).out
    typo = second.replace("sable", "typo").replace("61", "9999")
    file.write_text(f"{typo}---\n{second.replace('61', '60')}---\n{LICENCE}")
    assert "LicensePool" not in homeroom("validate", tree).out  # it is in nobody's way


def test_an_app_needs_the_pool_whose_seats_it_goes_by(homeroom: Homeroom, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(TREE, tree)
    app = tree / "learningapp.yaml"
    app.write_text(app.read_text() + "  seating: {poolRef: {name: seats}}\n")
    said = homeroom("validate", tree)
    assert said.code == 1
    assert "spec.seating.poolRef.name: there is no LicensePool 'seats' in these files" in said.out
    (tree / "licence.yaml").write_text(LICENCE)
    assert homeroom("validate", tree).code == 0


def test_a_licence_needs_its_pool_where_it_says_that_it_is(homeroom: Homeroom, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(TREE, tree)
    file = tree / "licence.yaml"
    for name, words in (
        ("saets", "no LicensePool 'saets' in these files"),
        ("seats, namespace: far", "namespace 'far'"),
    ):
        file.write_text(LICENCE.replace("poolRef: {name: seats}", f"poolRef: {{name: {name}}}"))
        said = homeroom("validate", tree)
        assert said.code == 1
        assert words in said.out


def test_standard_input_is_checked_like_a_file(
    homeroom: Homeroom, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("kind: District\napiVersion: homeroom.dev/v1alpha1\n"))
    said = homeroom("validate", "-")
    assert said.code == 1
    assert "stdin:1: metadata: is missing" in said.out
    said = homeroom("validate", tmp_path)
    assert (said.code, said.out) == (1, "")
    assert "holds no .yaml file" in said.err
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    assert "save it as UTF-8" in homeroom("validate", tmp_path).err


def test_an_export_is_judged_by_what_its_findings_cost(homeroom: Homeroom, tmp_path: Path) -> None:
    export = tmp_path / "export"
    shutil.copytree(RECORDS, export)
    enrollments = export / "enrollments.csv"
    whole = enrollments.read_text(encoding="utf-8")

    columns = whole.splitlines()[0].split(",")
    stray = dict.fromkeys(columns, "") | {"sourcedId": "stray", "userSourcedId": "nobody", "role": "student"}
    stray |= {"classSourcedId": whole.splitlines()[1].split(",")[columns.index("classSourcedId")]}
    enrollments.write_text(whole + ",".join(stray[column] for column in columns) + "\n", encoding="utf-8")
    said = homeroom("validate", "--export", export)
    assert said.code == 1
    assert "Record: enrollments" in said.out
    assert "1 Record findings" in said.out
    finding = json.loads(homeroom("validate", "--export", export, "-o", "json").out)["findings"][0]
    assert (finding["severity"], finding["id"]) == ("Record", "stray")
    assert finding["todo"]

    enrollments.unlink()
    said = homeroom("validate", TREE, "--export", export)
    assert said.code == 1
    assert said.out.startswith("Run: ")
    assert "1 Run findings" in said.out


BESIDE = """
apiVersion: homeroom.dev/v1alpha1
kind: District
metadata: {name: lakeside, namespace: lakeside}
spec:
  timeZone: Europe/Amsterdam
  source: {oneRosterCSV: {url: "file:export"}}
  supplements:
    - {name: january, oneRosterCSV: {url: "file:january"}, interval: 15m, allow: [Links]}
"""


def test_a_supplement_is_judged_beside_the_export_as_the_district_allows_it(homeroom: Homeroom, tmp_path: Path) -> None:
    tree, package = tmp_path / "district.yaml", tmp_path / "january"
    tree.write_text(BESIDE)
    package.mkdir()
    (package / "links.csv").write_text("userSourcedId,userIds\nu-17,{VK:7}\nnobody,{VK:8}\n")
    (package / "roles.csv").write_text(
        "sourcedId,userSourcedId,roleType,role,orgSourcedId\nx,u-17,primary,aide,s-001\n"
    )
    both = ("validate", tree, "--export", RECORDS)
    said = homeroom(*both, "--supplement", f"january={package}")
    assert said.code == 1
    assert "Record: january/links.csv, row 3, column userSourcedId, record nobody: " in said.out
    assert "Value: january/roles.csv, row 2, column role, record x: " in said.out
    assert homeroom(*both).code == 0
    (package / "links.csv").write_text("userSourcedId\nu-17\n")
    said = homeroom(*both, "--supplement", f"january={package}")
    assert "Run: january/links.csv, column userIds: " in said.out
    assert homeroom(*both, "--supplement", f"june={package}").code == 2
    assert homeroom(*both, "--supplement", "january").code == 2
    assert homeroom("validate", tree, "--supplement", f"january={package}").code == 2


def test_an_export_is_read_with_the_extensions_that_the_district_declares(homeroom: Homeroom, tmp_path: Path) -> None:
    export, tree, other = tmp_path / "export", tmp_path / "district.yaml", tmp_path / "other.yaml"
    shutil.copytree(RECORDS, export)
    tree.write_text(BESIDE.replace('"file:export"', '"file:export", extensions: {classTeacher: metadata.teacher}'))
    said = homeroom("validate", tree, "--export", export)
    assert said.code == 1
    assert "Run: classes.csv, column metadata.teacher: " in said.out
    assert homeroom("validate", "--export", export).code == 0, "without a District nothing is declared"
    lines = (export / "classes.csv").read_text().splitlines()
    rows = [f"{lines[0]},metadata.teacher", f"{lines[1]},nobody", *(f"{line}," for line in lines[2:])]
    (export / "classes.csv").write_text("\n".join(rows) + "\n")
    said = homeroom("validate", tree, "--export", export)
    assert said.code == 0, said.out
    assert "Value: classes.csv, row 2, column metadata.teacher, record c-1: the class card names somebody" in said.out
    other.write_text(BESIDE.replace("name: lakeside,", "name: seaside,"))
    assert homeroom("validate", tree, other, "--export", export).code == 2
    assert homeroom("validate", tree, other).code == 0


def test_many_findings_are_cut_and_counted(homeroom: Homeroom, tmp_path: Path) -> None:
    export = tmp_path / "export"
    shutil.copytree(RECORDS, export)
    users = (export / "users.csv").read_text(encoding="utf-8").replace(",true,", ",maybe,")
    (export / "users.csv").write_text(users, encoding="utf-8")
    lines = homeroom("validate", "--export", export, "--limit", 3).out.splitlines()
    assert len(lines) == 5
    assert lines[3].startswith("... and ")
    assert "--output json, shows all" in lines[3]


def test_a_rule_that_selects_nobody_is_named(homeroom: Homeroom, tmp_path: Path) -> None:
    shutil.copytree(TREE, tmp_path / "tree")
    (tmp_path / "tree" / "late.yaml").write_text(RULE)
    said = homeroom("validate", tmp_path / "tree", "--export", RECORDS, *TODAY)
    assert said.code == 0
    assert "SharingRule 'late' of 'kolibri' selects nobody in this export" in said.out


def test_shared_counts_first_and_names_on_request(homeroom: Homeroom) -> None:
    said = homeroom("shared", *EXAMPLE)
    assert (said.code, said.err) == (0, "")
    assert "shared: 21 sections, 208 students, 15 teachers, 6 staff" in said.out
    assert "Rowan Hill Elementary School" in said.out
    document = json.loads(homeroom("shared", *EXAMPLE, "--people", "-o", "json").out)
    students = [person for person in document["people"] if "student" in person["role"]]
    assert len({person["id"] for person in students}) == document["distinct"]["students"]
    assert all(person["name"] for person in students)
    assert sum(school["students"] for school in document["schools"]) == document["perSchoolSum"]["students"]
    assert "people" not in json.loads(homeroom("shared", *EXAMPLE, "-o", "json").out)


def test_shared_says_what_the_rules_leave_out(homeroom: Homeroom, tmp_path: Path) -> None:
    records = shutil.copytree(RECORDS, tmp_path / "records")
    with (records / "roles.csv").open("a", newline="") as file:
        file.write("r-x,,,a-2,secondary,student,,,s-001,\r\n")
    said = homeroom("shared", "-f", TREE, "--records", records, *TODAY)
    assert "sh-student-with-staff-role   a-2" in said.out
    document = json.loads(homeroom("shared", "-f", TREE, "--records", records, *TODAY, "-o", "json").out)
    assert [(found["rule"], found["id"]) for found in document["findings"]] == [("sh-student-with-staff-role", "a-2")]


def test_shared_shows_what_was_bought(homeroom: Homeroom, tmp_path: Path) -> None:
    tree = shutil.copytree(TREE, tmp_path / "tree")
    app = tree / "learningapp.yaml"
    whole = app.read_text()
    app.write_text(whole.replace("students: 220", "students: 100").replace("[s-001, s-002, s-003]", "[s-001, s-009]"))
    look = ("shared", "-f", tree, "--records", RECORDS, *TODAY)
    said = homeroom(*look)
    assert (
        "bought: 208 of 100 students (108 more, beyond the buffer of 25); 15 of 20 teachers; "
        "schools shared and not bought: s-002, s-003; schools bought and not shared: s-009 (SubscriptionExceeded)"
    ) in said.out
    lines = {line.split()[0]: line.split() for line in said.out.splitlines() if line.startswith("s-0")}
    assert [lines[school][-5] for school in ("s-001", "s-002", "s-003")] == ["yes", "no", "no"]
    assert lines["s-009"] == ["s-009", "yes", "0", "0", "0", "0"]
    document = json.loads(homeroom(*look, "-o", "json").out)
    subscription = document["subscription"]
    assert subscription["students"] == {"bought": 100, "shared": 208, "over": 108, "under": 0, "buffer": 25}
    assert (subscription["reason"], subscription["goLive"]) == ("SubscriptionExceeded", "2027-01-11")
    assert {school["id"]: school["bought"] for school in document["schools"]} == {
        "s-001": True,
        "s-002": False,
        "s-003": False,
        "s-009": True,
    }

    app.write_text(whole.partition("  subscription:")[0])
    said = homeroom(*look)
    assert (said.code, said.err) == (0, "")
    assert "bought" not in said.out.lower()
    document = json.loads(homeroom(*look, "-o", "json").out)
    assert document["subscription"] is None
    assert "bought" not in document["schools"][0]


def test_shared_says_who_is_counted_more_than_once(homeroom: Homeroom, tmp_path: Path) -> None:
    records = shutil.copytree(RECORDS, tmp_path / "records")
    rows = (records / "enrollments.csv").read_text(encoding="utf-8").splitlines()
    columns = rows[0].split(",")
    here = [dict(zip(columns, row.split(","), strict=True)) for row in rows[1:]]
    pupil = next(row for row in here if (row["schoolSourcedId"], row["role"]) == ("s-003", "student"))
    there = next(row for row in here if (row["schoolSourcedId"], row["role"]) == ("s-002", "student"))
    added = {**there, "sourcedId": "e-x", "userSourcedId": pupil["userSourcedId"]}
    with (records / "enrollments.csv").open("a", newline="") as file:
        file.write(",".join(added[column] for column in columns) + "\r\n")
    look = ("shared", "-f", TREE, "--records", records, *TODAY)
    assert "in 2 schools, and counted in each: 1 students, 0 teachers, 0 staff" in homeroom(*look).out
    document = json.loads(homeroom(*look, "-o", "json").out)
    assert document["inSeveralSchools"] == [{"schools": 2, "students": 1, "teachers": 0, "staff": 0}]
    assert document["perSchoolSum"]["students"] - document["distinct"]["students"] == 1


def test_shared_by_one_rule(homeroom: Homeroom) -> None:
    said = homeroom("shared", "kolibri", *EXAMPLE, "--rule", "administrators", "--people")
    assert "administrators   Include          0          0          0       6" in said.out
    assert {line.split()[-2] for line in said.out.splitlines() if line.startswith("a-")} == {
        "principal",
        "siteAdministrator",
    }
    said = homeroom("shared", *EXAMPLE, "--rule", "nothing")
    assert (said.code, said.out) == (1, "")
    assert "there is administrators, homerooms, mathematics, no-kindergarten" in said.err


def test_why_names_rule_class_record_and_what_withholds(homeroom: Homeroom) -> None:
    people = json.loads(homeroom("shared", *EXAMPLE, "--people", "-o", "json").out)["people"]
    pupil = next(person for person in people if person["role"] == "student")
    said = homeroom("why", "kolibri", pupil["id"], *EXAMPLE)
    assert said.out.startswith(f"{pupil['id']} {pupil['name']}\n")
    assert "Learner in section " in said.out
    assert "the record says student, rule homerooms shares HomeroomSections" in said.out

    excluded = json.loads(homeroom("shared", *EXAMPLE, "--rule", "no-kindergarten", "--people", "-o", "json").out)[
        "people"
    ][0]["id"]
    assert "WITHHELD by no-kindergarten" in homeroom("why", "kolibri", excluded, *EXAMPLE).out

    principal = next(person["id"] for person in people if "staff" in person["role"])
    reasons = json.loads(homeroom("why", "kolibri", principal, *EXAMPLE, "-o", "json").out)["reasons"]
    assert "Administrator" in {reason["gives"] for reason in reasons}

    said = homeroom("why", "kolibri", "nobody", *EXAMPLE)
    assert (said.code, said.out) == (1, "")
    assert "must be a source id" in said.err


def test_why_of_somebody_who_is_gone(homeroom: Homeroom, data: Path) -> None:
    said = homeroom("why", "kolibri", "x-2", *EXAMPLE, "--data", data)
    assert said.code == 0
    assert "is not in the records any more" in said.out
    assert "Intruder" in said.out


def test_why_of_a_past_day_tells_what_gave_it_and_by_which_commit(homeroom: Homeroom, data: Path) -> None:
    def asked(days: int, *more: str, person: str = "u-1") -> str:
        day = (NOW - timedelta(days=days)).date().isoformat()
        return homeroom("why", "kolibri", person, "-f", TREE, "--data", data, "--at", day, *more).out

    then = json.loads(asked(5, "-o", "json"))
    (given,) = then["access"]
    assert (given["kind"], given["school"], given["class_key"], given["role"]) == (
        *("Membership", "s-001", "c-1", "Learner"),
    )
    assert (given["cause"], given["run"], given["generation"], given["revision"]) == (
        *("SourceAdded", "run-1", 1, "abc123"),
    )
    assert given["at"] == then["historyBegins"] == then["journal"][0]["at"]
    text = asked(5)
    assert text.startswith("u-1 at the end of ")
    words = (
        f"Learner in section c-1 of school s-001 since {given['at']}: SourceAdded, generation 1, revision abc123, run"
    )
    assert words in text
    before = asked(20)
    assert "had been given nothing in kolibri" in before
    assert f"the history of kolibri begins {given['at']}" in before
    assert json.loads(asked(20, "-o", "json"))["journal"] == []


def test_why_of_a_day_that_is_not_over_is_refused(homeroom: Homeroom, data: Path) -> None:
    ask = ("why", "kolibri", "u-1", "-f", TREE, "--data", data, "--at")
    tomorrow = (NOW + timedelta(days=1)).date().isoformat()
    assert f"--at: {tomorrow} is not over yet" in homeroom(*ask, tomorrow).err
    assert "leave out --records and --today" in homeroom(*ask, "2026-09-01", *TODAY).err
    assert (
        "there is no store"
        in homeroom("why", "kolibri", "u-1", "-f", TREE, "--at", "2020-01-01", "--data", RECORDS).err
    )


def test_resources_are_chosen_by_name_and_namespace(homeroom: Homeroom, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(TREE, tree)
    other = (tree / "learningapp.yaml").read_text().replace("name: kolibri\n  namespace: lakeside", "name: moodle")
    (tree / "other.yaml").write_text(other)
    look = ("shared", "-f", tree, "--records", RECORDS)
    said = homeroom(*look, "kolibri")
    assert said.err == "error: the files declare several namespaces (default, lakeside): choose one with -n\n"
    said = homeroom(*look, "-n", "lakeside")
    assert "which LearningApp? name one" in said.err
    assert "there is kolibri, moodle" in said.err
    assert homeroom(*look, "-n", "lakeside", "kolibri").code == 0
    said = homeroom(*look, "-n", "elsewhere")
    assert "there is no District at all; another namespace (-n)?" in said.err
    (tree / "rule.yaml").write_text(RULE.replace("Sections", "Everything"))
    said = homeroom(*look, "-n", "lakeside", "kolibri")
    assert "SharingRule 'late' is invalid: spec.share" in said.err


def test_without_records_or_cluster_it_says_so(homeroom: Homeroom, data: Path) -> None:
    said = homeroom("shared", "-f", TREE, "--data", data)
    assert "District 'lakeside' has no accepted snapshot yet" in said.err
    assert "there is no API server to log in to" in homeroom("shared", "--records", RECORDS).err
    said = homeroom("shared", "-f", TREE, "--records", RECORDS / "nothing.zip")
    assert said.code == 2


def test_generated_districts_pass(homeroom: Homeroom, tmp_path: Path) -> None:

    generate(tmp_path / "district", students=200, seed=5, today=date(2026, 11, 22), zip=True)
    said = homeroom("validate", "--export", tmp_path / "district" / "export.zip")
    assert said.code == 0, said.out

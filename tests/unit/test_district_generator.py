"""The made-up district is deterministic, complete in itself, and shaped as the OneRoster CSV binding wants."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples

from homeroom.demo import district
from homeroom.demo.district import ARCHIVE, Counts, Version, generate
from homeroom.errors import InvalidSpecError

TODAY = date(2026, 11, 22)
RECORDS = Path(__file__).parents[2] / "examples" / "lakeside-records"

# As in the 1EdTech binding, written out anew on purpose: the generator's own table is under test.
ROSTER_HEADERS = {
    "academicSessions": "sourcedId,status,dateLastModified,title,type,startDate,endDate,parentSourcedId,schoolYear",
    "orgs": "sourcedId,status,dateLastModified,name,type,identifier,parentSourcedId",
    "courses": "sourcedId,status,dateLastModified,schoolYearSourcedId,title,courseCode,grades,orgSourcedId,subjects,"
    "subjectCodes",
    "classes": "sourcedId,status,dateLastModified,title,grades,courseSourcedId,classCode,classType,location,"
    "schoolSourcedId,termSourcedIds,subjects,subjectCodes,periods",
    "enrollments": "sourcedId,status,dateLastModified,classSourcedId,schoolSourcedId,userSourcedId,role,primary,"
    "beginDate,endDate",
}
ROLES_HEADER = {
    "roles": "sourcedId,status,dateLastModified,userSourcedId,roleType,role,beginDate,endDate,orgSourcedId,"
    "userProfileSourcedId",
}
HEADERS: Mapping[Version, Mapping[str, str]] = {
    "1.1": {
        **ROSTER_HEADERS,
        "users": "sourcedId,status,dateLastModified,enabledUser,orgSourcedIds,role,username,userIds,givenName,"
        "familyName,middleName,identifier,email,sms,phone,agentSourcedIds,grades,password",
    },
    "1.2": {
        **ROSTER_HEADERS,
        **ROLES_HEADER,
        "users": "sourcedId,status,dateLastModified,enabledUser,username,userIds,givenName,familyName,middleName,"
        "identifier,email,sms,phone,agentSourcedIds,grades,password,userMasterIdentifier,resourceSourcedIds,"
        "preferredGivenName,preferredMiddleName,preferredFamilyName,primaryOrgSourcedId,pronouns",
    },
    "1.2.1": {
        **ROSTER_HEADERS,
        **ROLES_HEADER,
        "users": "sourcedId,status,dateLastModified,enabledUser,username,userIds,givenName,familyName,middleName,"
        "identifier,email,sms,phone,agentSourcedIds,grades,password,userMasterIdentifier,"
        "preferredGivenName,preferredMiddleName,preferredFamilyName,primaryOrgSourcedId,pronouns",
    },
}
MANIFEST_FILES: Mapping[Version, int] = {"1.1": 13, "1.2": 21, "1.2.1": 21}
REQUIRED = {
    "academicSessions": "sourcedId title type startDate endDate schoolYear",
    "orgs": "sourcedId name type",
    "courses": "sourcedId title orgSourcedId",
    "classes": "sourcedId title courseSourcedId classType schoolSourcedId termSourcedIds",
    "users": "sourcedId enabledUser username givenName familyName",
    "roles": "sourcedId userSourcedId roleType role orgSourcedId",
    "enrollments": "sourcedId classSourcedId schoolSourcedId userSourcedId role",
}
# (file, column) -> the file whose sourcedId it names; lists are split
REFERENCES = {
    ("academicSessions", "parentSourcedId"): "academicSessions",
    ("orgs", "parentSourcedId"): "orgs",
    ("courses", "schoolYearSourcedId"): "academicSessions",
    ("courses", "orgSourcedId"): "orgs",
    ("classes", "courseSourcedId"): "courses",
    ("classes", "schoolSourcedId"): "orgs",
    ("classes", "termSourcedIds"): "academicSessions",
    ("users", "agentSourcedIds"): "users",
    ("users", "orgSourcedIds"): "orgs",
    ("users", "primaryOrgSourcedId"): "orgs",
    ("roles", "userSourcedId"): "users",
    ("roles", "orgSourcedId"): "orgs",
    ("enrollments", "classSourcedId"): "classes",
    ("enrollments", "schoolSourcedId"): "orgs",
    ("enrollments", "userSourcedId"): "users",
}

sizes = st.integers(min_value=1, max_value=900)
seeds = st.integers(min_value=0, max_value=2**63)
versions: st.SearchStrategy[Version] = st.sampled_from(("1.1", "1.2", "1.2.1"))
days = st.dates(min_value=date(2020, 1, 1), max_value=date(2040, 12, 31))


class Export:
    """A generated export, read back: tables by file name, the manifest as a mapping, the raw bytes by path name."""

    def __init__(self, folder: Path, counts: Counts) -> None:
        self.counts = counts
        self.bytes = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        self.tables = {
            name.removesuffix(".csv"): pl.read_csv(content, infer_schema=False) for name, content in self.bytes.items()
        }
        self.manifest = dict(self.tables.pop("manifest").iter_rows())


def make(
    *, students: int, seed: int = 3, schools: int | None = None, version: Version = "1.2", today: date = TODAY
) -> Export:
    with tempfile.TemporaryDirectory() as folder:
        counts = generate(Path(folder), students=students, seed=seed, schools=schools, version=version, today=today)
        return Export(Path(folder), counts)


@examples(15)
@given(students=sizes, seed=seeds, version=versions, today=days)
def test_every_export_is_complete_and_well_formed(students: int, seed: int, version: Version, today: date) -> None:
    export = make(students=students, seed=seed, version=version, today=today)
    tables = export.tables

    assert {name: ",".join(table.columns) for name, table in tables.items()} == HEADERS[version]
    assert export.counts.rows == {name: table.height for name, table in tables.items()}
    for name, table in tables.items():
        assert table.height > 0, f"{name} has no rows, which a package must not have"
        assert table.select("status", "dateLastModified").null_count().row(0) == (table.height, table.height)
        required = table.select(REQUIRED[name].split())
        assert sum(required.null_count().row(0)) == 0, f"a required column of {name} is empty"
        assert table["sourcedId"].is_unique().all()
        assert table["sourcedId"].str.contains(r"^[0-9A-Za-z.\-_/@]{1,255}$").all()
    for (name, column), target in REFERENCES.items():
        if name in tables and column in tables[name].columns:
            named = tables[name][column].drop_nulls().str.split(",").explode(empty_as_null=False)
            assert named.is_in(tables[target]["sourcedId"].implode()).all(), f"{name}.{column} names what is not there"

    files = {key.removeprefix("file."): value for key, value in export.manifest.items() if key.startswith("file.")}
    assert len(files) == MANIFEST_FILES[version]
    assert {name for name, mode in files.items() if mode == "bulk"} == set(tables)
    assert {mode for name, mode in files.items() if name not in tables} == {"absent"}
    assert export.manifest["oneroster.version"] == version


@examples(10)
@given(students=sizes, seed=seeds, today=days)
def test_today_is_in_the_school_year_and_enrollments_fit_into_it(students: int, seed: int, today: date) -> None:
    tables = make(students=students, seed=seed, today=today).tables
    sessions, enrollments = tables["academicSessions"], tables["enrollments"]

    for kind, parts in (("schoolYear", 1), ("semester", 2), ("term", 4)):
        level = sessions.filter(type=kind).sort("startDate")
        assert level.height == parts
        assert level["startDate"][1:].to_list() == level["endDate"][:-1].to_list()  # the end is exclusive
        assert (level["startDate"] <= today.isoformat()).any()
        assert (level["endDate"] > today.isoformat()).any()
        assert (level["startDate"][0], level["endDate"][-1]) == (sessions["startDate"].min(), sessions["endDate"].max())
    dated = enrollments.drop_nulls("beginDate")
    assert (dated["beginDate"] < dated["endDate"]).all()
    assert dated["beginDate"].min() == sessions["startDate"].min()
    assert dated["endDate"].max() == sessions["endDate"].max()


@examples(10)
@given(students=sizes, seed=seeds)
def test_people_belong_where_they_are_enrolled(students: int, seed: int) -> None:
    export = make(students=students, seed=seed)
    tables, counts = export.tables, export.counts
    enrollments, roles = tables["enrollments"], tables["roles"]
    school_of = tables["classes"].select("schoolSourcedId", classSourcedId="sourcedId")
    assert enrollments.join(school_of, on=["classSourcedId", "schoolSourcedId"], how="anti").is_empty()
    held = roles.select("userSourcedId", "role", schoolSourcedId="orgSourcedId")
    assert enrollments.join(held, on=["userSourcedId", "role", "schoolSourcedId"], how="anti").is_empty()
    assert not enrollments.select("classSourcedId", "userSourcedId").is_duplicated().any()

    primary = roles.filter(roleType="primary")
    assert sorted(primary["userSourcedId"]) == sorted(tables["users"]["sourcedId"])
    people = dict(primary.group_by("role").len().iter_rows())
    assert (people["student"], people["teacher"]) == (counts.students, counts.teachers) == (students, counts.teachers)
    assert people.get("guardian", 0) == counts.guardians
    assert tables["users"].height == counts.students + counts.teachers + counts.other_staff + counts.guardians
    assert tables["orgs"].filter(type="school").height == counts.schools
    assert tables["users"]["username"].is_unique().all()

    leads = enrollments.filter(role="teacher", primary="true")
    assert sorted(leads["classSourcedId"]) == sorted(tables["classes"]["sourcedId"])  # one primary teacher per class
    homerooms = tables["classes"].filter(classType="homeroom").select(classSourcedId="sourcedId")
    in_homerooms = enrollments.filter(role="student").join(homerooms, on="classSourcedId", how="semi")
    assert in_homerooms.height == students == in_homerooms["userSourcedId"].n_unique()
    assert in_homerooms.group_by("classSourcedId").len().filter(pl.col("len") > 25).is_empty()


@examples(5)
@given(students=sizes, seed=seeds)
def test_version_1_1_has_one_record_per_person_and_role(students: int, seed: int) -> None:
    old, new = make(students=students, seed=seed, version="1.1").tables, make(students=students, seed=seed).tables
    role = pl.col("role").replace(
        dict.fromkeys(("principal", "siteAdministrator", "districtAdministrator"), "administrator")
    )
    per_role = new["roles"].with_columns(role).group_by("userSourcedId", "role").agg(pl.col("orgSourcedId").sort())
    names = new["users"].select("username", userSourcedId="sourcedId")
    expected = per_role.join(names, on="userSourcedId").select("username", "role", "orgSourcedId").sort(pl.all())
    found = old["users"].select("username", "role", orgSourcedId=pl.col("orgSourcedIds").str.split(",").list.sort())
    assert found.sort(pl.all()).rows() == expected.rows()
    held = old["users"].select("role", userSourcedId="sourcedId")
    assert old["enrollments"].join(held, on=["userSourcedId", "role"], how="anti").is_empty()


@examples(5)
@given(students=sizes, seed=seeds, version=versions)
def test_the_same_arguments_give_the_same_bytes(students: int, seed: int, version: Version) -> None:
    first = make(students=students, seed=seed, version=version)
    assert first.bytes == make(students=students, seed=seed, version=version).bytes
    assert first.bytes["users.csv"] != make(students=students, seed=seed + 1, version=version).bytes["users.csv"]


def test_the_size_of_a_block_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make(students=300)
    monkeypatch.setattr(district, "BLOCK", 70)
    assert make(students=300).bytes == whole.bytes


def test_an_archive_holds_the_same_files_and_is_deterministic(tmp_path: Path) -> None:
    folder = make(students=300)
    for name in ("one", "two"):
        counts = generate(tmp_path / name, students=300, seed=3, today=TODAY, zip=True)
        assert counts == folder.counts
        assert [path.name for path in (tmp_path / name).iterdir()] == [ARCHIVE]
    with zipfile.ZipFile(tmp_path / "one" / ARCHIVE) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == folder.bytes
    assert (tmp_path / "one" / ARCHIVE).read_bytes() == (tmp_path / "two" / ARCHIVE).read_bytes()


def test_an_export_replaces_the_one_before_in_its_folder(tmp_path: Path) -> None:
    generate(tmp_path, students=200, seed=1, today=TODAY)
    counts = generate(tmp_path, students=90, seed=3, today=TODAY)
    assert Export(tmp_path, counts).bytes == make(students=90).bytes


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    generate(tmp_path, students=50, seed=1, today=TODAY)
    with pytest.raises(InvalidSpecError, match=r"roles\.csv, which is no part of a 1\.1 export"):
        generate(tmp_path, students=50, seed=1, today=TODAY, version="1.1")


@pytest.mark.parametrize(("students", "schools"), [(0, None), (-1, None), (2, 3), (5, 0)])
def test_impossible_sizes_are_refused(tmp_path: Path, students: int, schools: int | None) -> None:
    with pytest.raises(InvalidSpecError, match="cannot make"):
        generate(tmp_path / "new", students=students, schools=schools, seed=1, today=TODAY)
    assert not (tmp_path / "new").exists()


def test_a_large_district_has_the_shape_of_a_real_one() -> None:
    export = make(students=30_000)
    tables, counts = export.tables, export.counts
    enrollments = tables["enrollments"].filter(role="student")
    per_school = (
        tables["roles"].filter(role="student", roleType="primary").group_by("orgSourcedId").len().get_column("len")
    )
    assert counts.schools == per_school.len() == 43
    assert 350 < min(per_school) < max(per_school) < 1100
    assert 7 <= enrollments.height / counts.students <= 7.2
    assert 11.5 <= counts.total_rows / counts.students <= 12.5
    agents = tables["users"]["agentSourcedIds"].drop_nulls().str.split(",").explode(empty_as_null=False)
    assert 1.5 <= agents.len() / counts.students <= 1.65
    assert agents.n_unique() == counts.guardians
    per_grade = sorted(tables["users"]["grades"].drop_nulls().value_counts()["count"])
    assert len(per_grade) == 13
    assert per_grade[-1] < 2 * per_grade[0]
    assert enrollments["classSourcedId"].n_unique() == tables["classes"].height, "a class without students"
    assert 18 < enrollments.height / tables["classes"].height < 25


def test_the_given_number_of_schools_is_made() -> None:
    export = make(students=400, schools=7)
    assert export.counts.schools == 7
    assert export.tables["users"].filter(pl.col("grades").is_not_null())["primaryOrgSourcedId"].n_unique() == 7


def test_the_example_records_are_what_the_generator_writes() -> None:
    committed = {path.name: path.read_bytes() for path in RECORDS.iterdir()}
    assert make(students=220, seed=3).bytes == committed


def test_the_example_records_hold_what_systems_trip_over() -> None:
    tables = make(students=220, seed=3).tables
    users, roles, enrollments = tables["users"], tables["roles"], tables["enrollments"]
    names = pl.concat_str("givenName", "familyName", separator=" / ")
    for pattern in ("'", "-", r"/ \p{L}+ \p{L}+", r"\p{Cyrillic}", "[À-ž]"):
        assert users.select(names.str.contains(pattern).any()).item(), pattern
    assert users.select("givenName", "familyName").is_duplicated().any()
    assert users.filter(enabledUser="false").height > 0
    assert 0 < users["password"].count() < 10
    assert users.filter(pl.col("agentSourcedIds").str.contains(",")).height > 0
    assert users["agentSourcedIds"].drop_nulls().is_duplicated().any()  # siblings
    assert users.filter(pl.col("grades").is_not_null())["agentSourcedIds"].null_count() > 0
    assert 0.7 < users["userIds"].str.contains("{Matrix:@", literal=True).sum() / users.height < 1
    second = roles.filter(roleType="secondary")
    assert set(second["role"]) == {"teacher", "student"}
    principals = roles.filter(role="principal")["userSourcedId"]
    assert second["userSourcedId"].is_in(principals.implode()).any()
    assert second.filter(role="teacher")["userSourcedId"].str.starts_with("t-").any()
    assert enrollments.filter(pl.col("endDate") <= TODAY.isoformat()).height > 0
    assert enrollments.filter(pl.col("beginDate") > TODAY.isoformat()).height > 0
    assert enrollments.filter(primary="false").height > 0
    assert tables["classes"]["grades"].null_count() > 0
    addresses = users["email"].drop_nulls()
    assert addresses.str.ends_with(".example").all()

"""Supplements: what of a second package comes into the roster, and what never does."""

from __future__ import annotations

import random
import unicodedata
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples

from homeroom.api.district import Allow
from homeroom.errors import IncompleteReadError, TerminalError
from homeroom.roster.digest import digest
from homeroom.roster.findings import Rule
from homeroom.roster.tables import SCHEMAS, Roster
from homeroom.sources import Snapshot
from homeroom.sources.supplement import (
    ROWS,
    Counted,
    Supplement,
    Version,
    lessons_in,
    read_supplement,
    supplemented,
)

if TYPE_CHECKING:
    Export = Any
    Reader = Any

CLASSES = "sourcedId,title,grades,courseSourcedId,classType,schoolSourcedId,termSourcedIds\n"
ENROLLMENTS = "sourcedId,classSourcedId,schoolSourcedId,userSourcedId,role,primary\n"
USERS = "sourcedId,enabledUser,username,givenName,familyName,agentSourcedIds,userIds\n"
ROLES = "sourcedId,userSourcedId,roleType,role,orgSourcedId\n"
LINKS = "userSourcedId,userIds\n"
LESSONS = "sourcedId,status,dateLastModified,classSourcedId,startTime,endTime,title\n"
SPLIT = {
    "classes.csv": f"{CLASSES}c-9,1b,01,co-1,homeroom,s-1,sy-1\n",
    "enrollments.csv": f"{ENROLLMENTS}x-1,c-9,s-1,u-2,student,\nx-2,c-9,s-1,u-1,teacher,\n",
}
EVERYTHING = frozenset(Allow)


def version(place: Path, files: dict[str, str], *, previous: Version | None = None) -> Version:
    """The package with these files."""
    folder = place / f"package-{random.getrandbits(64):x}"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return read_supplement(folder, previous=previous, scratch=place)


def part(place: Path, files: dict[str, str], *allow: Allow, name: str = "january") -> Supplement:
    """A supplement; without `allow` everything is."""
    return Supplement(name=name, allow=frozenset(allow) or EVERYTHING, version=version(place, files))


def merged(snapshot: Snapshot, *parts: Supplement) -> tuple[Snapshot, tuple[Counted, ...]]:
    found = supplemented(snapshot, parts)
    in_canonical_form(found[0].roster)
    return found


def in_canonical_form(roster: Roster) -> None:
    for table, frame in roster.tables():
        assert frame.schema == SCHEMAS[table]
        if "id" in frame.columns:
            assert frame["id"].is_sorted()
            assert frame["id"].is_unique().all()


def told(snapshot: Snapshot) -> set[tuple[str, str, int | None, str | None]]:
    """(rule, file, row, field) of what is said of supplements."""
    frame = snapshot.findings.frame.filter(pl.col("file").str.contains("/"))
    return {(rule, file, row, field) for rule, file, row, field, _ in frame.iter_rows()}


def in_words(roster: Roster) -> dict[str, set[tuple[Any, ...]]]:
    """Each table as rows with source ids for references."""
    ends = {
        "parent": "",
        "org": "orgs",
        "course": "courses",
        "school": "orgs",
        "user": "users",
        "agent": "users",
        "class": "classes",
        "terms": "sessions",
    }
    words = {}
    for table, frame in roster.tables():
        for column in frame.columns:
            if column in ends:
                ids = getattr(roster, ends[column] or table)["id"]
                frame = frame.with_columns(  # noqa: PLW2901 - column by column
                    pl.Series(
                        column,
                        [
                            [ids[one] for one in value]
                            if isinstance(value, list | pl.Series)
                            else ids[value]
                            if value is not None
                            else None
                            for value in frame[column].to_list()
                        ],
                    )
                )
        words[table] = {
            tuple(tuple(value) if isinstance(value, list) else value for value in row) for row in frame.rows()
        }
    return words


def added(before: Snapshot, after: Snapshot) -> dict[str, set[tuple[Any, ...]]]:
    """What came, by table; nothing may have gone."""
    one, other = in_words(before.roster), in_words(after.roster)
    assert all(one[table] <= other[table] for table in one)
    return {table: other[table] - one[table] for table in one if other[table] != one[table]}


def test_a_class_split_in_january(export: Export, read: Reader, tmp_path: Path) -> None:
    source = read(export)
    found, (counted,) = merged(source, part(tmp_path, SPLIT, Allow.CLASSES, Allow.ENROLLMENTS))
    assert added(source, found) == {
        "classes": {("c-9", "1b", None, "homeroom", ("01",), None, "co-1", "s-1", ("sy-1",))},
        "enrollments": {("c-9", "u-2", "student", None, None, None), ("c-9", "u-1", "teacher", None, None, None)},
    }
    assert {name: number for name, number in counted.counts.items() if number} == {"classes": 1, "enrollments": 2}
    assert not told(found) - {("or-manifest-absent", "january/manifest.csv", None, None)}
    assert found.digest == digest(found.roster.tables()) != source.digest
    assert found.counts["classes"] == source.counts["classes"] + 1


def test_nothing_counts_that_is_not_allowed(export: Export, read: Reader, tmp_path: Path) -> None:
    source = read(export)
    found, _ = merged(source, part(tmp_path, SPLIT, Allow.ENROLLMENTS))
    assert added(source, found) == {}
    assert {(rule, file, row) for rule, file, row, _ in told(found)} == {
        ("su-kind", "january/classes.csv", 2),
        ("or-dangling", "january/enrollments.csv", 2),
        ("or-dangling", "january/enrollments.csv", 3),
    }
    schools = {**SPLIT, "orgs.csv": "sourcedId,name,type\ns-9,Elm,school\n"}
    found, _ = merged(source, part(tmp_path, schools, Allow.CLASSES, Allow.ENROLLMENTS))
    assert ("su-kind", "january/orgs.csv", None, None) in told(found)
    assert found.roster.orgs.equals(source.roster.orgs)


def test_the_source_wins_then_the_first_in_the_list(export: Export, read: Reader, tmp_path: Path) -> None:
    source = read(export)
    files = {
        "classes.csv": f"{CLASSES}c-1,Other,02,co-1,homeroom,s-2,sy-1\nc-9,1b,01,co-1,homeroom,s-1,sy-1\n",
        "users.csv": f"{USERS}u-2,false,x,X,X,,\n",
        "enrollments.csv": f"{ENROLLMENTS}x-1,c-1,s-1,u-1,teacher,false\n",
    }
    first = part(tmp_path, files, name="first")
    second = part(tmp_path, {"classes.csv": f"{CLASSES}c-9,zz,02,co-1,homeroom,s-2,sy-1\n"}, name="second")
    found, _ = merged(source, first, second)
    assert added(source, found) == {
        "classes": {("c-9", "1b", None, "homeroom", ("01",), None, "co-1", "s-1", ("sy-1",))}
    }
    taken = {(file, row) for rule, file, row, _ in told(found) if rule == "su-taken"}
    assert taken == {
        ("first/classes.csv", 2),
        ("first/users.csv", 2),
        ("first/enrollments.csv", 2),
        ("second/classes.csv", 2),
    }
    other, _ = merged(source, second, first)
    assert {row[:2] for row in added(source, other)["classes"]} == {("c-9", "zz")}


@pytest.mark.parametrize("role", ["principal", "siteAdministrator", "districtAdministrator", "SystemAdministrator"])
def test_rights_need_a_word_of_their_own(export: Export, read: Reader, tmp_path: Path, role: str) -> None:
    source = read(export)
    files = {"roles.csv": f"{ROLES}x-1,u-1,secondary,{role},s-1\n"}
    everything_else = EVERYTHING - {Allow.ADMINS}
    found, _ = merged(source, part(tmp_path, files, *everything_else))
    assert added(source, found) == {}
    assert ("su-kind", "january/roles.csv", 2, "role") in told(found)
    found, _ = merged(source, part(tmp_path, files, Allow.ADMINS))
    assert {(row[0], row[1].lower()) for row in added(source, found)["roles"]} == {("u-1", role.lower())}


def test_who_is_a_class_teacher_needs_it_too(export: Export, read: Reader, tmp_path: Path) -> None:
    source = read(export)
    files = {"enrollments.csv": f"{ENROLLMENTS}x-1,c-2,s-2,u-5,teacher,TRUE\n"}
    found, _ = merged(source, part(tmp_path, files, Allow.ENROLLMENTS))
    assert added(source, found) == {"enrollments": {("c-2", "u-5", "teacher", None, None, None)}}
    assert ("su-kind", "january/enrollments.csv", 2, "primary") in told(found)
    found, _ = merged(source, part(tmp_path, files, Allow.ENROLLMENTS, Allow.ADMINS))
    assert added(source, found) == {"enrollments": {("c-2", "u-5", "teacher", True, None, None)}}


def test_nobody_becomes_a_student_who_has_other_roles(export: Export, read: Reader, tmp_path: Path) -> None:
    source = read(export)
    files = {
        "roles.csv": f"{ROLES}x-1,u-1,secondary,student,s-1\n",
        "enrollments.csv": f"{ENROLLMENTS}x-2,c-2,s-2,u-1,student,\nx-3,c-2,s-2,u-2,student,\n",
    }
    found, _ = merged(source, part(tmp_path, files))
    assert added(source, found) == {"enrollments": {("c-2", "u-2", "student", None, None, None)}}
    assert {(file, row) for rule, file, row, _ in told(found) if rule == "su-student"} == {
        ("january/roles.csv", 2),
        ("january/enrollments.csv", 2),
    }


FAMILY = {
    "users.csv": f"{USERS}g-1,true,mum,Mum,M,u-2,{{Matrix:@mum:x}}\nz-1,true,zed,Zed,Z,,\n",
    "roles.csv": f"{ROLES}x-1,g-1,primary,parent,s-1\nx-2,z-1,primary,teacher,s-1\n",
    "enrollments.csv": f"{ENROLLMENTS}x-3,c-1,s-1,g-1,student,\n",
}


def test_guardians_are_guardians_and_nothing_else(export: Export, read: Reader, tmp_path: Path) -> None:
    source = read(export)
    found, _ = merged(source, part(tmp_path, FAMILY, Allow.GUARDIANS, Allow.ENROLLMENTS))
    came = added(source, found)
    assert {row[0] for row in came["users"]} == {"g-1"}
    assert came["agents"] == {("g-1", "u-2")}
    assert {row[:2] for row in came["roles"]} == {("g-1", "parent")}
    assert "enrollments" not in came
    assert accounts(found)["g-1"] == []
    assert {(file, row, field) for rule, file, row, field in told(found) if rule == "su-kind"} == {
        ("january/users.csv", 3, None),
        ("january/users.csv", 2, "userIds"),
        ("january/roles.csv", 3, "role"),
        ("january/enrollments.csv", 2, "userSourcedId"),
    }
    found, _ = merged(source, part(tmp_path, FAMILY, Allow.USERS))
    assert {row[0] for row in added(source, found)["users"]} == {"g-1", "z-1"}
    assert "agents" not in added(source, found)


def accounts(snapshot: Snapshot) -> dict[str, list[str]]:
    return dict(snapshot.roster.users.select("id", "user_ids").iter_rows())


def test_accounts_are_added_and_none_is_changed(export: Export, read: Reader, tmp_path: Path) -> None:
    source = read(export)
    files = {
        "links.csv": f'{LINKS}u-3,"{{matrix:@evil:x}},{{VK:7}}"\nu-2,{{Matrix:@y:x}}\n'
        "nobody,{Matrix:@n:x}\nu-4,oops\n"
    }
    found, (counted,) = merged(source, part(tmp_path, files, Allow.LINKS))
    before, after = accounts(source), accounts(found)
    assert {one for one in after if after[one] != before[one]} == {"u-2", "u-3"}
    assert after["u-2"] == ["Matrix:@y:x"]
    assert after["u-3"] == ["Fed:u-3", "Matrix:@to:school.example", "VK:7"]
    assert counted.counts["links"] == 2
    assert {(rule, row) for rule, _, row, _ in told(found)} >= {("su-taken", 2), ("or-dangling", 4), ("or-user-id", 5)}
    other = part(tmp_path, {"links.csv": f"{LINKS}u-2,{{Matrix:@z:x}}\n"}, name="later")
    found, _ = merged(source, part(tmp_path, files, Allow.LINKS), other)
    assert accounts(found)["u-2"] == ["Matrix:@y:x"]


def test_an_invalid_row_counts_as_it_last_did(export: Export, read: Reader, tmp_path: Path) -> None:
    source = read(export)
    good = part(tmp_path, SPLIT)
    before, (counted,) = merged(source, good)
    broken = {
        "classes.csv": SPLIT["classes.csv"].replace("homeroom", "houserome"),
        "enrollments.csv": SPLIT["enrollments.csv"].replace(",student", ",studnet"),
    }
    worse = replace(good, version=version(tmp_path, broken), last=counted.last)
    after, (again,) = merged(source, worse)
    assert in_words(after.roster) == in_words(before.roster)
    assert after.counts["quarantined"] == 2
    assert again.last.drop("row").equals(counted.last.drop("row"))
    # What was never valid is not added; what is not said any more goes.
    assert added(source, merged(source, replace(worse, last=pl.DataFrame(schema=ROWS)))[0]) == {}
    less = replace(good, version=version(tmp_path, {"classes.csv": SPLIT["classes.csv"]}), last=counted.last)
    assert set(added(source, merged(source, less)[0])) == {"classes"}


def test_a_supplement_keeps_nothing_of_the_source(export: Export, read: Reader, tmp_path: Path) -> None:
    files = {"enrollments.csv": f"{ENROLLMENTS}x-1,c-3,s-1,u-2,student,\n"}
    supplement = part(tmp_path, files)
    _, (counted,) = merged(read(export), supplement)
    smaller = export.put("classes.csv", export.table("classes.csv")[:-1])
    table = export.table("enrollments.csv")
    smaller = smaller.put("enrollments.csv", [row for row in table if row[3] != "c-3"])
    source = read(smaller)
    found, _ = merged(source, replace(supplement, last=counted.last))
    assert added(source, found) == {}
    assert ("or-dangling", "january/enrollments.csv", 2, "classSourcedId") in told(found)


@pytest.mark.parametrize(
    ("files", "rule"),
    [
        ({"classes.csv": SPLIT["classes.csv"]}, Rule.SUPPLEMENT_FILE),
        ({**SPLIT, "classes.csv": CLASSES}, Rule.NO_ROWS),
        ({**SPLIT, "classes.csv": SPLIT["classes.csv"] + "c-8,1c"}, Rule.ROW_CUT),
        (
            {**SPLIT, "classes.csv": SPLIT["classes.csv"] + "c-8,1c\nc-7,1d,01,co-1,homeroom,s-1,sy-1\n"},
            Rule.SUPPLEMENT_ROWS,
        ),
        ({**SPLIT, "classes.csv": SPLIT["classes.csv"] + ",1c,01,co-1,homeroom,s-1,sy-1\n"}, Rule.SUPPLEMENT_ROWS),
        ({**SPLIT, "classes.csv": "sourcedId,title\nc-9,1b\n"}, Rule.COLUMN_REQUIRED),
        ({**SPLIT, "manifest.csv": "propertyName,value\nfile.users,bulk\n"}, Rule.FILE_PROMISED),
        ({**SPLIT, "manifest.csv": "propertyName,value\nfile.classes,delta\n"}, Rule.DELTA),
    ],
)
def test_what_is_incomplete_is_not_taken_at_all(tmp_path: Path, files: dict[str, str], rule: Rule) -> None:
    before = version(tmp_path, SPLIT)
    with pytest.raises((IncompleteReadError, TerminalError)) as refused:
        version(tmp_path, files, previous=before)
    assert rule.text in refused.value.message


def test_an_archive_is_a_package_too_and_a_cut_one_is_none(tmp_path: Path) -> None:
    place = tmp_path / "january.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in SPLIT.items():
            archive.writestr(name, text)
    found = read_supplement(place, previous=None, scratch=tmp_path)
    assert found.digest == version(tmp_path, SPLIT).digest
    place.write_bytes(place.read_bytes()[:-80])
    with pytest.raises(IncompleteReadError, match="cut off or damaged"):
        read_supplement(place, previous=found, scratch=tmp_path)


def test_a_file_that_the_manifest_calls_absent_is_gone(tmp_path: Path) -> None:
    before = version(tmp_path, SPLIT)
    manifest = "propertyName,value\nfile.classes,bulk\nfile.enrollments,absent\n"
    files = {"classes.csv": SPLIT["classes.csv"], "manifest.csv": manifest}
    assert set(version(tmp_path, files, previous=before).rows["table"]) == {"classes"}
    only = {"manifest.csv": "propertyName,value\nmanifest.version,1.0\n"}
    assert version(tmp_path, only, previous=before) is before


def test_a_column_that_is_gone_keeps_its_values(export: Export, read: Reader, tmp_path: Path) -> None:
    before = version(tmp_path, SPLIT)
    bare = CLASSES.replace(",grades", "")
    rows = "c-9,1b,co-1,homeroom,s-1,sy-1\nc-10,1c,co-1,homeroom,s-1,sy-1\n"
    now = version(tmp_path, {**SPLIT, "classes.csv": bare + rows}, previous=before)
    found, _ = merged(read(export), Supplement(name="january", allow=EVERYTHING, version=now))
    grades = dict(found.roster.classes.select("id", "grades").iter_rows())
    assert (grades["c-9"], grades["c-10"]) == (["01"], None)  # unknown is not Other: every Exclude matches it


def test_one_record_said_twice(export: Export, read: Reader, tmp_path: Path) -> None:
    source = read(export)
    line = SPLIT["classes.csv"].splitlines()[1]
    found, _ = merged(source, part(tmp_path, {"classes.csv": f"{CLASSES}{line}\n{line}\n"}))
    assert {row[0] for row in added(source, found)["classes"]} == {"c-9"}
    assert ("or-row-repeated", "january/classes.csv", 3, None) in told(found)
    found, _ = merged(source, part(tmp_path, {"classes.csv": f"{CLASSES}{line}\n{line.replace('1b', '1x')}\n"}))
    assert added(source, found) == {}
    assert ("or-id-twice", "january/classes.csv", 2, "sourcedId") in told(found)


def test_what_was_said_of_a_supplement_is_said_once(export: Export, read: Reader, tmp_path: Path) -> None:
    source = read(export)
    wrong = part(tmp_path, {"classes.csv": SPLIT["classes.csv"]}, Allow.LINKS)
    found, _ = merged(source, wrong)
    assert found.digest == source.digest
    again, _ = merged(found, wrong)
    assert again.findings.frame.equals(found.findings.frame)


def lesson(key: str, section: str = "c-1", begins: str = "09:00:00Z", ends: str = "10:00:00Z", title: str = "") -> str:
    return f"{key},,,{section},2026-09-01T{begins},2026-09-01T{ends},{title}\n"


def test_lessons_are_of_classes_that_are_there_and_have_a_length(export: Export, read: Reader, tmp_path: Path) -> None:
    source = read(export)
    rows = [
        lesson("l-1", title="Fractions\u202e  by  post "),
        lesson("l-2", "c-9", "08:30+02:00", "09:15:30.5+02:00"),
        lesson("l-3", "nope"),
        lesson("l-4", "", title="x" * 120),
        lesson("l-5", begins="09:00:00"),
        lesson("l-6", ends="24:10Z"),
        lesson("l-7", ends="09:00:00Z"),
        lesson("l-8", ends="08:00:00Z"),
        lesson("l-9", begins="00:00Z", ends="12:00:01Z"),
        lesson("l-10", "c-2", title="x" * 120).replace(",,,", ",,2026-08-30T10:00:00Z,"),
    ]
    files = {**SPLIT, "lessons.csv": LESSONS + "".join(rows)}
    found, (counted,) = merged(source, part(tmp_path, files))
    assert counted.counts["lessons"] == 3
    assert [
        (row["key"], row["section"], f"{row['begins']:%H:%M:%S}", f"{row['ends']:%H:%M:%S}", row["title"])
        for row in lessons_in(counted.last).iter_rows(named=True)
    ] == [
        ("l-1", "c-1", "09:00:00", "10:00:00", "Fractions by post"),
        ("l-2", "c-9", "06:30:00", "07:15:30", ""),
        ("l-10", "c-2", "09:00:00", "10:00:00", "x" * 100),
    ]
    published = lessons_in(counted.last)["published"].to_list()
    assert [one and f"{one:%d %H}" for one in published] == [None, None, "30 10"]
    assert {(rule, row, field) for rule, file, row, field in told(found) if file == "january/lessons.csv"} == {
        ("or-dangling", 4, "classSourcedId"),
        ("or-value-missing", 5, "classSourcedId"),
        ("su-time", 6, "startTime"),
        ("su-time", 7, "endTime"),
        ("su-length", 8, "endTime"),
        ("su-length", 9, "endTime"),
        ("su-length", 10, "endTime"),
    }
    # They are in no roster.
    without = part(tmp_path, SPLIT)
    assert merged(source, without)[0].digest == found.digest
    everything_else = EVERYTHING - {Allow.LESSONS}
    found, (counted,) = merged(source, part(tmp_path, {"lessons.csv": LESSONS + rows[0]}, *everything_else))
    assert ("su-kind", "january/lessons.csv", 2, None) in told(found)
    assert lessons_in(counted.last).is_empty()


def test_a_lesson_that_becomes_invalid_stays_as_it_was(export: Export, read: Reader, tmp_path: Path) -> None:
    source = read(export)
    good = part(tmp_path, {"lessons.csv": LESSONS + lesson("l-1") + lesson("l-2")})
    _, (before,) = merged(source, good)
    worse = version(tmp_path, {"lessons.csv": LESSONS + lesson("l-1", ends="??") + lesson("l-2", "nope")})
    _, (after,) = merged(source, replace(good, version=worse, last=before.last))
    assert lessons_in(after.last).sort("key").equals(lessons_in(before.last).sort("key"))
    # Its class is gone: whether it is served still is not known here.
    smaller = export.put("classes.csv", [row for row in export.table("classes.csv") if row[0] != "c-3"])
    smaller = smaller.put("enrollments.csv", [row for row in export.table("enrollments.csv") if row[3] != "c-3"])
    gone = part(tmp_path, {"lessons.csv": LESSONS + lesson("l-1", "c-3")})
    _, (before,) = merged(source, gone)
    found, (after,) = merged(read(smaller), replace(gone, last=before.last))
    assert lessons_in(after.last).equals(lessons_in(before.last))
    assert ("or-dangling", "january/lessons.csv", 2, "classSourcedId") in told(found)


@given(
    st.lists(
        st.builds(
            lesson,
            st.sampled_from(["l-1", "l-2", "l-3"]),
            st.sampled_from(["c-1", "nope", ""]),
            *[st.sampled_from(["08:00Z", "09:00+01:00", "23:59:59-11:00", "24:00Z", "", "9:00Z"])] * 2,
            st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters='",'), max_size=120),
        ),
        min_size=1,
        max_size=6,
    ),
    st.randoms(),
)
@examples(25, one_fixture=True)
def test_whatever_is_said_of_lessons_those_that_count_are_whole(
    source_once: Snapshot, tmp_path_factory: pytest.TempPathFactory, lines: list[str], order: random.Random
) -> None:
    place = tmp_path_factory.mktemp("lessons")
    found, (counted,) = merged(source_once, part(place, {"lessons.csv": LESSONS + "".join(lines)}))
    assert found.digest == source_once.digest
    known = lessons_in(counted.last)
    assert counted.counts["lessons"] == known.height
    for row in known.iter_rows(named=True):
        assert row["section"] == "c-1"
        assert timedelta() < row["ends"] - row["begins"] <= timedelta(hours=12)
        assert len(row["title"]) <= 100
        assert not {unicodedata.category(one) for one in row["title"]} & {"Cc", "Cf"}, "it lies about its text"
    assert known["key"].is_unique().all()
    shuffled = order.sample(lines, len(lines))
    _, (other,) = merged(source_once, part(place, {"lessons.csv": LESSONS + "".join(shuffled)}))
    assert lessons_in(other.last).sort("key").equals(known.sort("key"))


IDS = {
    "class": ["c-1", "c-2", "c-3", "c-8", "c-9", "nope"],
    "user": ["u-1", "u-2", "u-3", "u-4", "u-5", "g-1", "g-2", "nope"],
    "school": ["s-1", "s-2", "d-1", "nope"],
}


@st.composite
def packages(draw: st.DrawFn) -> dict[str, list[str]]:
    """Files of a supplement, right and wrong."""
    pick = {name: st.sampled_from(values) for name, values in IDS.items()}
    role = st.sampled_from(["student", "teacher", "parent", "principal", "ext:x", "odd"])
    bool_ = st.sampled_from(["", "true", "false"])
    classes = st.builds(
        "{},{},01,co-1,{},{},{}".format,
        pick["class"],
        st.sampled_from(["a", "b", ""]),
        st.sampled_from(["homeroom", "odd"]),
        pick["school"],
        st.sampled_from(["sy-1", "t-9"]),
    )
    enrolled = st.builds("x-{},{},s-1,{},{},{}".format, st.integers(0, 9), pick["class"], pick["user"], role, bool_)
    users = st.builds("{},true,n{},G,F,{},{}".format, pick["user"], st.integers(0, 9), pick["user"], st.just("{M:1}"))
    roles = st.builds("y-{},{},primary,{},{}".format, st.integers(0, 9), pick["user"], role, pick["school"])
    links = st.builds("{},{{{}:{}}}".format, pick["user"], st.sampled_from(["M", "Fed"]), st.integers(0, 3))
    rows = {"classes": classes, "enrollments": enrolled, "users": users, "roles": roles, "links": links}
    return {name: found for name, one in rows.items() if (found := draw(st.lists(one, max_size=4)))}


HEADS = {"classes": CLASSES, "enrollments": ENROLLMENTS, "users": USERS, "roles": ROLES, "links": LINKS}


def files_of(package: dict[str, list[str]]) -> dict[str, str]:
    return {f"{name}.csv": HEADS[name] + "".join(f"{line}\n" for line in lines) for name, lines in package.items()}


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[str, list[str]], dict[str, list[str]], dict[str, list[str]]]:
    """A package, the same in another order of lines, and what the supplement says next."""
    package = draw(packages().filter(bool))
    shuffled = {name: draw(st.permutations(lines)) for name, lines in package.items()}
    return package, shuffled, draw(packages())


@given(histories(), st.sets(st.sampled_from(list(Allow)), min_size=1))
@examples(15, one_fixture=True)
def test_a_supplement_only_adds_whatever_it_says(
    source_once: Snapshot,
    tmp_path_factory: pytest.TempPathFactory,
    history: tuple[dict[str, list[str]], dict[str, list[str]], dict[str, list[str]]],
    allow: set[Allow],
) -> None:
    package, shuffled, later = history
    place = tmp_path_factory.mktemp("any")
    one = part(place, files_of(package), *allow)
    found, (counted,) = merged(source_once, one)
    theirs, ours = in_words(source_once.roster), in_words(found.roster)
    at = SCHEMAS["users"].names().index("user_ids")
    for table in theirs:
        if table == "users":  # but for accounts, of which there may be more
            assert {row[:at] for row in theirs[table]} <= {row[:at] for row in ours[table]}
            more = accounts(found)
            assert all(set(known) <= set(more[user]) for user, known in accounts(source_once).items())
        else:
            assert theirs[table] <= ours[table]
    # The order of the lines means nothing.
    other, _ = merged(source_once, part(place, files_of(shuffled), *allow))
    assert other.digest == found.digest
    # Whatever it says next, it counts as valid rows only, new ones or those of before.
    if later:
        after, _ = merged(source_once, replace(part(place, files_of(later), *allow), last=counted.last))
        assert in_words(source_once.roster)["enrollments"] <= in_words(after.roster)["enrollments"]
        again, _ = merged(source_once, replace(one, last=counted.last))
        assert again.digest == found.digest


@pytest.fixture(scope="module")
def source_once(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """The valid export, read once."""
    from tests.unit.sources.conftest import Export as Files  # noqa: PLC0415 - pytest loads it by another way as well

    from homeroom.sources.oneroster import read_export  # noqa: PLC0415
    from homeroom.sources.package import Limits  # noqa: PLC0415

    place = tmp_path_factory.mktemp("source")
    return read_export(Files().folder(place / "export"), previous=None, limits=Limits(), scratch=place)

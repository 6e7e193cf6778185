"""Every rule of the catalogue has an input that gives it, and the documentation has every rule."""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from homeroom.errors import HomeroomError
from homeroom.roster.findings import Findings, Rule, Severity
from homeroom.sources import ExportIncompleteError, ExportInvalidError
from homeroom.sources.package import Limits

if TYPE_CHECKING:
    Export = Any
    Reader = Any

Make = Callable[["Export", Path], "Path | Export | tuple[Path, Limits]"]


def _file(content: bytes) -> Make:
    def make(_: Export, place: Path) -> Path:
        (place / "export.zip").write_bytes(content)
        return place / "export.zip"

    return make


def _cut_archive(export: Export, place: Path) -> Path:
    path: Path = export.archive(place / "export.zip")
    path.write_bytes(path.read_bytes()[:-200])
    return path


def _damaged_archive(export: Export, place: Path) -> Path:
    path: Path = export.archive(place / "export.zip")
    content = bytearray(path.read_bytes())
    content[80:90] = bytes(10)
    path.write_bytes(content)
    return path


def _locked_archive(export: Export, place: Path) -> Path:
    path: Path = export.archive(place / "export.zip")
    content = bytearray(path.read_bytes())
    for found in re.finditer(b"PK\x01\x02", bytes(content)):
        content[found.start() + 8] |= 1
    path.write_bytes(content)
    return path


def _odd_method(export: Export, place: Path) -> Path:
    with zipfile.ZipFile(place / "export.zip", "w", zipfile.ZIP_BZIP2) as archive:
        for file in export.files:
            archive.writestr(file, export.bytes_of(file))
    return place / "export.zip"


def _escaping_archive(export: Export, place: Path) -> Path:
    export.files["../orgs.csv"] = "x"
    return Path(export.archive(place / "export.zip"))


def _bomb(export: Export, place: Path) -> tuple[Path, Limits]:
    export.files["users.csv"] = export.text("users.csv") + "\n" * 3_000_000
    return export.archive(place / "export.zip"), Limits(ratio=100, ratio_floor=1 << 20)


def _liar(export: Export, place: Path) -> Path:
    """A directory that claims less than there is."""
    path: Path = export.archive(place / "export.zip")
    content = bytearray(path.read_bytes())
    for found in re.finditer(b"PK\x01\x02", bytes(content)):
        content[found.start() + 24 : found.start() + 28] = struct.pack("<I", 10)
    path.write_bytes(content)
    return path


def _twice(export: Export, place: Path) -> Path:
    export.files["inner/orgs.csv"] = export.files["orgs.csv"]
    return Path(export.archive(place / "export.zip"))


def _in_folder(export: Export, place: Path) -> Path:
    export.files = {f"lakeside/{name}": content for name, content in export.files.items()}
    return Path(export.archive(place / "export.zip"))


def _set(file: str, row: int, column: str, value: str) -> Make:
    return lambda export, _: export.set(file, row, column, value)


def _no_agent_is_there(export: Export, _: Path) -> Export:
    """Two records name somebody, as where the guardians themselves are not exported."""
    return export.set("users.csv", 3, "agentSourcedIds", "g-1").set("users.csv", 5, "agentSourcedIds", "g-1,g-2")


def _swap(file: str, old: str, new: str) -> Make:
    return lambda export, _: export.replace(file, old, new)


def _without(*files: str) -> Make:
    def make(export: Export, _: Path) -> Export:
        for file in files:
            del export.files[file]
        return export

    return make


def _only(*files: str) -> Make:
    def make(export: Export, _: Path) -> Export:
        export.files = {file: export.files[file] for file in files}
        return export

    return make


def _only_manifest(export: Export, _: Path) -> Export:
    export.files = {"manifest.csv": export.text("manifest.csv").replace(",bulk", ",absent")}
    return export


def _empty(_: Export, place: Path) -> Path:
    (place / "nothing").mkdir()
    return place / "nothing"


def _add(file: str, rows: str) -> Make:
    def make(export: Export, _: Path) -> Export:
        export.files[file] = export.text(file) + rows
        return export

    return make


def _encoded(encoding: str) -> Make:
    def make(export: Export, _: Path) -> Export:
        export.files["users.csv"] = export.text("users.csv").replace("Ysolde", "Ysoldé").encode(encoding)
        return export

    return make


def _nothing_but(file: str, rows: str) -> Make:
    """The header, and these rows."""

    def make(export: Export, _: Path) -> Export:
        export.files[file] = export.text(file).splitlines()[0] + "\n" + rows
        return export

    return make


def _cut_row(export: Export, _: Path) -> Export:
    export.files["enrollments.csv"] = export.text("enrollments.csv")[:-25]
    return export


def _swallowed(export: Export, _: Path) -> Export:
    """Two stray quotation marks, and all rows between them inside one value."""
    return export.replace("enrollments.csv", "e-3,,,c-2", 'e-3,,,"c-2').replace(
        "enrollments.csv", "e-6,,,c-3", 'e-6,,,c-3"'
    )


def _stray_line_end(export: Export, _: Path) -> Export:
    """In a file whose lines end as on Windows, one ends in the middle, and not in the place of a field."""
    text = export.text("enrollments.csv").replace("\n", "\r\n")
    export.files["enrollments.csv"] = text.replace(
        "e-4,,,c-1,s-1,u-4,student,,2026-08-01,2026-10-01\r\n", "e-4,,,c-1,s-1,u-4,student,,2026-08-01,2026\r-10-01\n"
    )
    return export


def _no_column(file: str, column: str) -> Make:
    return lambda export, _: export.drop_column(file, column)


CASES: list[tuple[Rule, str, Make]] = [
    (Rule.NOT_AN_EXPORT, "a log-in page", _file(b"<!doctype html><title>Log in</title>")),
    (Rule.NOT_AN_EXPORT, "an empty file", _file(b"")),
    (Rule.ARCHIVE_BROKEN, "cut off", _cut_archive),
    (Rule.ARCHIVE_BROKEN, "damaged", _damaged_archive),
    (Rule.ARCHIVE_BROKEN, "more than its directory says", _liar),
    (Rule.ARCHIVE_LOCKED, "a password", _locked_archive),
    (Rule.ARCHIVE_METHOD, "bzip2", _odd_method),
    (Rule.ARCHIVE_PATH, "path traversal", _escaping_archive),
    (Rule.TOO_LARGE, "a zip bomb", _bomb),
    (Rule.NOTHING_THERE, "an empty folder", _empty),
    (Rule.ONLY_MANIFEST, "a manifest alone at first", _only_manifest),
    (Rule.FILE_PROMISED, "promised and missing", _without("roles.csv")),
    (Rule.FILE_PROMISED, "an unread file promised", _swap("manifest.csv", "demographics,absent", "demographics,bulk")),
    (Rule.FILE_REQUIRED, "no manifest, no users", _without("manifest.csv", "users.csv")),
    (Rule.NO_ROWS, "header only", _nothing_but("enrollments.csv", "")),
    (Rule.NO_ROWS, "empty users only", _nothing_but("users.csv", "," * 21 + "\n")),
    (Rule.NO_ROWS, "empty enrollments only", _nothing_but("enrollments.csv", "," * 9 + "\n\n")),
    (Rule.NO_ROWS, "nothing at all", lambda export, _: export.files.update({"orgs.csv": ""}) or export),
    (Rule.ROW_CUT, "cut in a row", _cut_row),
    (Rule.ROW_CUT, "a stray line end in the last row", _add("orgs.csv", "s-9,,,Nowhere,school,b\rx")),
    (Rule.TOO_LARGE, "no line ends", _add("orgs.csv", "x" * (17 << 20))),
    (Rule.TOO_LARGE, "no line ends, and quotation marks", _add("orgs.csv", '"' + "x" * (17 << 20))),
    (Rule.NO_ROWS, "blank lines only", _nothing_but("orgs.csv", "\n\n")),
    (Rule.ROW_MALFORMED, "a stray line end", _stray_line_end),
    (Rule.QUOTE_OPEN, "an open quotation mark", _swap("roles.csv", "r-5,,,u-1", 'r-5,,,"u-1')),
    (Rule.DELTA, "by manifest", _swap("manifest.csv", "users,bulk", "users,delta")),
    (Rule.DELTA_ROWS, "by rows", _set("users.csv", 3, "status", "tobedeleted")),
    (Rule.DELTA_ROWS, "by rows of a large file", _set("enrollments.csv", 3, "status", "active")),
    (Rule.VERSION, "1.0 by manifest", _swap("manifest.csv", "oneroster.version,1.2", "oneroster.version,1.0")),
    (Rule.VERSION, "1.0 without manifest", _without("manifest.csv", "roles.csv")),
    (Rule.MANIFEST_BROKEN, "no list of properties", _swap("manifest.csv", "propertyName", "property")),
    (Rule.MANIFEST_BROKEN, "an unknown word", _swap("manifest.csv", "users,bulk", "users,full")),
    (Rule.MANIFEST_BROKEN, "a contradiction", _add("manifest.csv", "file.users,absent\n")),
    (Rule.FILE_TWICE, "in and out of a folder", _twice),
    (Rule.COLUMN_TWICE, "once more in capitals", _swap("orgs.csv", "identifier", "NAME")),
    (Rule.COLUMN_REQUIRED, "a misspelt column", _swap("enrollments.csv", "classSourcedId", "clasSourcedId")),
    (Rule.ENCODING, "Latin-1", _encoded("latin-1")),
    (Rule.ENCODING, "UTF-16", _encoded("utf-16")),
    (Rule.ROW_MALFORMED, "too many fields", _swap("users.csv", "u-3,,,", "u-3,,,,")),
    (Rule.ROW_MALFORMED, "too few fields", _swap("enrollments.csv", "e-3,,,", "e-3,,")),
    (Rule.ROW_MALFORMED, "a quotation mark too many", _swap("classes.csv", "c-3,,,Maths", 'c-3,,,"Ma"ths')),
    (Rule.ROW_MALFORMED, "rows inside a value", _swallowed),
    (Rule.ID_MISSING, "a user", _set("users.csv", 3, "sourcedId", "")),
    (Rule.ID_MISSING, "an enrollment", _set("enrollments.csv", 3, "sourcedId", "")),
    (Rule.ID_INVALID, "a space", _set("users.csv", 3, "sourcedId", "u 2")),
    (Rule.ID_INVALID, "too long", _set("enrollments.csv", 3, "sourcedId", "e" * 256)),
    (Rule.ID_TWICE, "users", _set("users.csv", 3, "sourcedId", "u-3")),
    (Rule.ID_TWICE, "enrollments", _set("enrollments.csv", 3, "sourcedId", "e-3")),
    (Rule.DANGLING, "class to course", _set("classes.csv", 2, "courseSourcedId", "co-9")),
    (Rule.DANGLING, "class to one of its terms", _set("classes.csv", 4, "termSourcedIds", "t-1,t-9")),
    (Rule.DANGLING, "enrollment to user", _set("enrollments.csv", 3, "userSourcedId", "u-9")),
    (Rule.DANGLING, "role to org", _set("roles.csv", 3, "orgSourcedId", "s-9")),
    (Rule.VALUE_MISSING, "a title", _set("classes.csv", 2, "title", "")),
    (Rule.VALUE_MISSING, "a role", _set("enrollments.csv", 2, "role", "")),
    (Rule.ENUM, "a class type", _set("classes.csv", 2, "classType", "homerom")),
    (Rule.ENUM, "an enrollment's role", _set("enrollments.csv", 3, "role", "pupil")),
    (Rule.ENUM, "enabledUser", _set("users.csv", 3, "enabledUser", "maybe")),
    (Rule.DATE, "a session", _set("academicSessions.csv", 2, "startDate", "1.8.2026")),
    (Rule.DATE, "an enrollment", _set("enrollments.csv", 3, "endDate", "26-09-01")),
    (Rule.END_BEFORE_BEGIN, "a session", _set("academicSessions.csv", 2, "endDate", "2025-01-01")),
    (Rule.END_BEFORE_BEGIN, "an enrollment", _set("enrollments.csv", 3, "endDate", "2026-07-31")),
    (Rule.CYCLE, "two orgs", _set("orgs.csv", 2, "parentSourcedId", "s-1")),
    (Rule.CYCLE, "a session with itself", _set("academicSessions.csv", 3, "parentSourcedId", "t-1")),
    (Rule.ROW_REPEATED, "a user", _add("users.csv", "u-5,,,true,aa,,Zephirine,Quorvaldsen,,,,,,,01,,,,,,s-1,\n")),
    (Rule.ROW_REPEATED, "an enrollment", _add("enrollments.csv", "e-8,,,c-3,s-1,u-5,student,,,\n")),
    (Rule.ROW_EMPTY, "a user", _add("users.csv", "," * 21 + "\n")),
    (Rule.ROW_EMPTY, "blank lines", _add("users.csv", "\n\n")),
    (Rule.ROW_EMPTY, "an enrollment", _add("enrollments.csv", "," * 9 + "\n")),
    (Rule.LINE_BREAK, "in a title", _set("classes.csv", 2, "title", "1a\nmornings")),
    (Rule.ID_CHARACTERS, "a user", _add("users.csv", "u{6},,,true,bb,,Zephirine,Quorvaldsen,,,,,,,01,,,,,,s-1,\n")),
    (Rule.GRADE, "of a class", _set("classes.csv", 2, "grades", "first")),
    (Rule.SCHOOL_YEAR, "of a session", _set("academicSessions.csv", 2, "schoolYear", "26/27")),
    (Rule.IDENTIFIER_TWICE, "of two schools", _set("orgs.csv", 4, "identifier", "0001")),
    (Rule.PARENT, "of an org", _set("orgs.csv", 3, "parentSourcedId", "d-9")),
    (Rule.AGENT, "unknown", _set("users.csv", 3, "agentSourcedIds", "u-5,g-9")),
    (Rule.AGENT, "oneself", _set("users.csv", 3, "agentSourcedIds", "u-5,u-2")),
    (Rule.AGENTS_ABSENT, "all", _no_agent_is_there),
    (Rule.USER_ID, "no type", _set("users.csv", 2, "userIds", "{Fed:u-1},vq")),
    (Rule.SCHOOL_DIFFERS, "of an enrollment", _set("enrollments.csv", 3, "schoolSourcedId", "s-2")),
    (Rule.PRIMARY, "of an enrollment", _set("enrollments.csv", 2, "primary", "perhaps")),
    (Rule.PRIMARY, "of a role", _set("roles.csv", 2, "roleType", "")),
    (Rule.NAME_MISSING, "no family name", _set("users.csv", 4, "familyName", "")),
    (Rule.TEXT_LONG, "a title", _set("classes.csv", 2, "title", "1a" * 200)),
    (Rule.SUBJECT_CODES, "of a class", _set("classes.csv", 4, "subjectCodes", "02")),
    (Rule.SPELLING, "of a role", _set("enrollments.csv", 2, "role", "Teacher")),
    (Rule.SPELLING, "of true", _set("users.csv", 2, "enabledUser", "TRUE")),
    (Rule.SPELLING, "of a type", _set("orgs.csv", 2, "type", "District")),
    (Rule.STAMPED, "a user", _set("users.csv", 2, "dateLastModified", "2026-01-01T00:00:00.000Z")),
    (Rule.STAMPED, "an enrollment", _set("enrollments.csv", 2, "dateLastModified", "2026-01-01T00:00:00.000Z")),
    (Rule.COLUMN_ABSENT, "grades", _no_column("classes.csv", "grades")),
    (Rule.COLUMN_UNKNOWN, "one of the vendor", _swap("orgs.csv", "identifier", "vendorCode")),
    (Rule.HEADER_SPELLING, "letter case", _swap("orgs.csv", "sourcedId", "SourcedID")),
    (Rule.MANIFEST_ABSENT, "none", _without("manifest.csv")),
    (Rule.MANIFEST_DIFFERS, "users", _swap("manifest.csv", "file.users,bulk", "file.users,absent")),
    (Rule.IN_FOLDER, "an archive", _in_folder),
]


@pytest.mark.parametrize(("rule", "make"), [pytest.param(r, m, id=f"{r} {t}") for r, t, m in CASES])
def test_bad_input_gives_its_finding_and_removes_nothing(
    *, rule: Rule, make: Make, export: Export, read: Reader, tmp_path: Path, names: tuple[str, ...]
) -> None:
    before = None if rule in {Rule.ONLY_MANIFEST, Rule.AGENTS_ABSENT} else read(export).roster
    tables = {} if before is None else dict(before.tables())
    made = make(export, tmp_path)
    limits = None
    if isinstance(made, tuple):
        made, limits = made
    if rule.severity is Severity.RUN:
        with pytest.raises((ExportInvalidError, ExportIncompleteError)) as caught:
            read(made, previous=before, limits=limits)
        assert isinstance(caught.value, ExportInvalidError | ExportIncompleteError)
        findings: Findings = caught.value.findings
        assert caught.value.reason == rule.reason
        words = caught.value.message
    else:
        snapshot = read(made, previous=before)
        findings = snapshot.findings
        words = ""
        for table, old in tables.items():
            new = dict(snapshot.roster.tables())[table]
            if "id" in old.columns:
                assert set(old["id"]) <= set(new["id"])
            else:
                assert new.height >= old.height
    assert rule in findings.frame["rule"].to_list()
    text = words + "\n".join(findings.sentences(100)) + str(findings.frame.rows())
    assert not [name for name in names if name in text]


def test_every_rule_has_a_case() -> None:
    # CHANGED_MEANWHILE needs a writer beside the reader: test_source.py has it
    others = (rule for rule in Rule if rule.startswith(("su-", "ex-")))  # test_supplement.py, test_extensions.py
    elsewhere = {Rule.CHANGED_MEANWHILE, *others}
    assert {rule for rule, _, _ in CASES} | elsewhere == set(Rule)


def test_every_run_rule_has_a_reason_and_no_other_has() -> None:
    assert all(bool(rule.reason) == (rule.severity is Severity.RUN) for rule in Rule)


def test_the_documentation_has_every_rule_in_its_words() -> None:
    page = (Path(__file__).parents[3] / "docs" / "findings.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith(("| `or-", "| `su-", "| `ex-"))]
    expected = [f"| `{rule}` | {rule.severity} | {rule.text} | {rule.todo} |" for rule in Rule]
    assert rows == expected


def test_refusals_are_homeroom_errors() -> None:
    assert issubclass(ExportInvalidError, HomeroomError)
    assert issubclass(ExportIncompleteError, HomeroomError)

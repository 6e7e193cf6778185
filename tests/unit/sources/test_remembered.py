"""Lines of the last reading save time and nothing else: with and without them the same is read, said and remembered."""

from __future__ import annotations

import csv
import io
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples

from homeroom.roster.tables import Roster
from homeroom.sources import (
    NO_LINES,
    ExportIncompleteError,
    ExportInvalidError,
    Lines,
    Snapshot,
    load_lines,
    oneroster,
    remembered,
    text,
    write,
)
from homeroom.sources.oneroster import read_export
from homeroom.sources.package import Limits
from homeroom.sources.remembered import REMEMBERED

if TYPE_CHECKING:
    Export = Any

_FILES = ("users.csv", "roles.csv", "enrollments.csv", "classes.csv", "orgs.csv")
_VALUES = (
    *(
        "",
        "u-1",
        "u-2",
        "u-9",
        "c-1",
        "c-3",
        "s-1",
        "s-2",
        "co-2",
        "r-1",
        "e-1",
        "student",
        "teacher",
        "Teacher",
        "true",
    ),
    *("TRUE", "2026-08-02", "2026-13-45", "a,b", 'a"b', "x\ny", "é", "01", "99", "primary", "active", "z" * 300, "pw"),
)


def night(export: Export, *, previous: Roster | None, lines: Lines) -> Snapshot | list[tuple[Any, ...]]:
    """The reading, or what is said when it is refused."""
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        path = export.folder(Path(place, "export"))
        patch.setattr(oneroster, "_SHORT", 0)  # or nothing of so short files would be remembered
        try:
            return read_export(path, previous=previous, lines=lines, limits=Limits(), scratch=Path(place))
        except (ExportInvalidError, ExportIncompleteError) as error:
            return error.findings.frame.rows()


def content(read: Snapshot | list[tuple[Any, ...]]) -> object:
    """All that a reading says."""
    if not isinstance(read, Snapshot):
        return read
    tables = {name: frame.rows() for name, frame in read.roster.tables()}
    lines = {table: set(frame.select("line", "id").rows()) for table, frame in read.lines.tables.items()}
    return (
        read.digest,
        tables,
        read.findings.frame.rows(),
        read.counts,
        sorted(read.credentials.rows()),
        read.lines.digest,
        lines,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What happens to a file between two nights."""

    how: str
    file: str
    row: int
    other: int
    value: str

    def __call__(self, export: Export) -> None:
        """Do it; in a file that is as good as gone nothing happens."""
        head, *rows = export.text(self.file).splitlines() or [""]
        if not rows:
            return
        row, other = self.row % len(rows), self.other % len(rows)
        cells = next(csv.reader([rows[row]]))
        end, last = "\r\n" if self.how == "crlf" else "\n", self.how != "bare"
        match self.how:
            case "set":
                cells[self.other % len(cells)] = self.value
                rows[row] = line(cells)
            case "drop":
                del rows[row]
            case "repeat":
                rows.append(rows[row])
            case "swap":
                rows[row], rows[other] = rows[other], rows[row]
            case "add":
                rows.append(line([f"new-{self.other}", *cells[1:]]))
            case "quote":
                rows[row] = ",".join(f'"{cell}"' for cell in cells)
            case "column":
                head, rows = f"{head},metadata.x", [f"{one},{self.other}" for one in rows]
            case "cut":
                rows[-1] = rows[-1][: -self.other or None]
        export.files[self.file] = end.join([head, *rows, *([""] if last else [])])


def line(cells: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()


_EDITS = st.builds(
    Edit,
    how=st.sampled_from(("set", "set", "drop", "repeat", "swap", "add", "crlf", "quote", "bare", "column", "cut")),
    file=st.sampled_from(_FILES),
    row=st.integers(0, 20),
    other=st.integers(0, 20),
    value=st.sampled_from(_VALUES),
)


def accepted(export: Export) -> Snapshot:
    first = night(export, previous=None, lines=NO_LINES)
    assert isinstance(first, Snapshot)
    return first


@pytest.fixture
def first(export: Export) -> Snapshot:
    """What was read of the undamaged export; read once for all examples of a property."""
    return accepted(export)


@examples(20, one_fixture=True)
@given(nights=st.lists(st.lists(_EDITS, max_size=4), min_size=1, max_size=3))
def test_what_is_known_of_lines_changes_nothing(nights: list[list[Edit]], export: Export, first: Snapshot) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remembered, "_MOST_OTHERS", 1.0)  # or two lines of five were too many
        patch.setattr(remembered, "_STRETCH", 2)
        current = type(export)()
        before, lines = first.roster, first.lines
        for edits in nights:
            for edit in edits:
                edit(current)
            plain = night(current, previous=before, lines=NO_LINES)
            known = night(current, previous=before, lines=lines)
            assert content(known) == content(plain)
            if isinstance(known, Snapshot):
                before, lines = known.roster, known.lines


def test_only_other_lines_are_opened(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    first = accepted(export)
    opened: dict[str, list[int]] = {}
    read_table = text.read_table

    def watched(path: Path, *, file: str, **options: Any) -> text.Table:
        table = read_table(path, file=file, **options)
        opened[file] = table.scan.collect()["row"].to_list()
        return table

    monkeypatch.setattr("homeroom.sources.oneroster.read_table", watched)
    monkeypatch.setattr(remembered, "_MOST_OTHERS", 1.0)
    again = night(export.set("enrollments.csv", 3, "beginDate", "2026-08-02"), previous=first.roster, lines=first.lines)
    assert isinstance(again, Snapshot)
    with_password = [row for row, line in enumerate(export.table("users.csv"), 1) if line[15] and row > 1]
    assert opened["users.csv"] == with_password
    assert opened["roles.csv"] == []
    assert opened["enrollments.csv"] == [3]


_LINES = st.lists(st.integers(1, 40), max_size=30)


@given(before=_LINES, more=_LINES, forgotten=st.sets(st.integers(1, 40)), data=st.data())
def test_lines_are_found_wherever_they_stand(
    before: list[int], more: list[int], forgotten: set[int], data: st.DataObject
) -> None:
    """Some are gone, some are new, some stand elsewhere, some are repeated, and some are not known."""
    there = [one for one in before if one not in more[:3]] + more
    there = data.draw(st.just(there) | st.permutations(there))
    was = [0, *(None if one in forgotten else one for one in before)]
    known = pl.DataFrame(
        {
            "line": pl.Series(was, dtype=pl.UInt64),
            "id": pl.Series([None, *was[1:]], dtype=pl.UInt32),
            "at": pl.Series([None, *(None if one is None else at for at, one in enumerate(was[1:]))], dtype=pl.UInt32),
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remembered, "_MOST_OTHERS", 1.0)
        patch.setattr(remembered, "_STRETCH", 4)
        found = remembered.same(pl.Series([0, *there], dtype=pl.UInt64), known)
    rows = [] if found is None else [(row - 2, at) for row, _, at in found.rows()]
    assert all(there[row] == before[at] == was[at + 1] for row, at in rows)
    assert len({at for _, at in rows}) == len(rows) == len({row for row, _ in rows})
    known_once = {one for one in was[1:] if one is not None and there.count(one) == before.count(one) == 1}
    assert known_once <= {there[row] for row, _ in rows}


@pytest.mark.parametrize("table", sorted(REMEMBERED))
def test_nothing_is_remembered_of_lines_about_which_something_was_said(table: str, export: Export) -> None:
    file = f"{table}.csv"
    column = {"users": "enabledUser", "roles": "role", "enrollments": "role"}[table]
    quiet, told = accepted(export), accepted(type(export)().set(file, 3, column, "no such word"))
    secret = [row for row, cells in enumerate(export.table(file), 1) if table == "users" and cells[15] and row > 1]
    for read, forgotten in ((quiet, {*secret}), (told, {*secret, 3})):
        lines = read.lines.of(table).with_row_index("row", offset=1)
        assert lines.height == len(export.table(file))
        assert {*lines.filter(pl.col("line").is_null())["row"]} == forgotten
        assert {*lines.filter(pl.col("at").is_null())["row"]} == {1, *forgotten}


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_other_lines_are_copied_as_they_are(start: bytes, end: bytes, last: bool, tmp_path: Path) -> None:  # noqa: FBT001 - pytest names them
    path, copy = tmp_path / "all.csv", tmp_path / "others.csv"
    rows = [start + b"a,b", "å,2".encode(), b"3,4", b"", b"5,6"]
    path.write_bytes(end.join(rows) + (end if last else b""))
    found = remembered.write_others(path, remembered.lines_of(path), pl.Series([2, 4], dtype=pl.UInt32), copy)
    assert found is not None
    assert found.to_list() == [3, 5]
    assert copy.read_bytes() == end.join([rows[0], rows[2], rows[4]]) + (end if last else b"")


def test_lines_that_do_not_end_alike_are_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    path.write_bytes(b"a,b\n1,2\r\n3,4\r\n5,6\n")
    known = pl.Series([2], dtype=pl.UInt32)
    assert remembered.write_others(path, remembered.lines_of(path), known, tmp_path / "others.csv") is None


def test_an_enrollment_is_judged_anew_when_its_class_moves(export: Export) -> None:
    first = accepted(export)
    export.set("classes.csv", 2, "schoolSourcedId", "s-2")
    again = night(export, previous=first.roster, lines=first.lines)
    assert isinstance(again, Snapshot)
    assert "or-school-differs" in again.findings.frame["rule"].cast(pl.String).to_list()


def test_lines_lie_beside_their_snapshot(export: Export, tmp_path: Path) -> None:
    first = accepted(export)
    place = write(first, tmp_path)
    found = load_lines(tmp_path, first.digest)
    assert found.digest == first.digest
    assert all(frame.equals(first.lines.of(table)) for table, frame in found.tables.items())
    write(replace(first, digest="0" * 64), tmp_path)  # served is another roster than was read
    assert all(frame.is_empty() for frame in load_lines(tmp_path, "0" * 64).tables.values())
    spoilt = place / "lines-users.parquet"
    spoilt.write_bytes(spoilt.read_bytes()[:-9])
    assert load_lines(tmp_path, first.digest) == NO_LINES
    spoilt.unlink()
    assert load_lines(tmp_path, first.digest) == NO_LINES

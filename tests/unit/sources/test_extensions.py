"""Columns beyond OneRoster: who is class teacher, who leads a school, and what nobody gains or loses by a mistake."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.sources.test_remembered import Edit, content

from homeroom.api import Extensions
from homeroom.roster.findings import Rule
from homeroom.roster.tables import Roster
from homeroom.sources import NO_LINES, ExportIncompleteError, ExportInvalidError, Lines, Snapshot, oneroster, remembered
from homeroom.sources.oneroster import read_export
from homeroom.sources.package import Limits

if TYPE_CHECKING:
    Export = Any
    Reader = Any

CARD, HEAD, POSITION = "metadata.classTeacher", "metadata.actingHead", "metadata.position"
CARDS = Extensions(class_teacher=CARD)
HEADS = Extensions(acting_head=HEAD)
POSITIONS = Extensions.model_validate(
    {
        "positions": [
            {
                "column": POSITION,
                "roles": [
                    {"position": "Руководитель 1 уровня", "role": "principal"},
                    {"position": "Tutor", "role": "aide"},
                ],
            }
        ]
    }
)
ALL = POSITIONS.model_copy(update={"class_teacher": CARD, "acting_head": HEAD})
STAFF = ("u-6", "u-7", "u-8")
"""Teachers at s-1, at s-1 as well, and at both schools; who of them teaches a class depends on the test."""


@pytest.fixture
def school(export: Export) -> Export:
    """The export with more staff."""
    return staffed(export)


def staffed(export: Export) -> Export:
    for key in (*STAFF, "u-9"):
        export.files["users.csv"] += f"{key},,,true,{key},,Vesperine,Brambleveil,,,,,,,,,,,,,s-1,\n"
    export.files["roles.csv"] += (
        "r-7,,,u-6,primary,teacher,,,s-1,\n"
        "r-8,,,u-7,primary,teacher,2026-08-01,2027-08-01,s-1,\n"
        "r-9,,,u-8,secondary,teacher,,,s-1,\n"
        "r-10,,,u-8,secondary,teacher,,,s-2,\n"
        "r-11,,,u-9,primary,parent,,,s-1,\n"
    )
    return export


def card(export: Export, **names: str) -> Export:
    return export.add_column("classes.csv", CARD, {key.replace("_", "-"): value for key, value in names.items()})


def people(export: Export, column: str, **values: str) -> Export:
    return export.add_column("users.csv", column, {key.replace("_", "-"): value for key, value in values.items()})


def teachers(roster: Roster, section: str = "c-1") -> dict[str, list[tuple[Any, ...]]]:
    """Of each teacher of a class: primary, begin and end of their places in it."""
    rows = roster.enrollments.filter(
        pl.col("role") == "teacher", roster.classes["id"].gather(roster.enrollments["class"]) == section
    )
    found: dict[str, list[tuple[Any, ...]]] = {}
    ids = roster.users["id"].gather(rows["user"])
    for key, *place in zip(ids, rows["primary"], rows["begin"], rows["end"], strict=True):
        found.setdefault(key, []).append(tuple(place))
    return found


def class_teachers(roster: Roster, section: str = "c-1") -> set[str]:
    return {key for key, places in teachers(roster, section).items() if any(place[0] for place in places)}


def roles(roster: Roster, *words: str) -> set[tuple[str, str, str]]:
    """Person, role and school, of some roles."""
    rows = roster.roles.filter(pl.col("role").is_in(list(words)))
    ids, orgs = roster.users["id"].gather(rows["user"]), roster.orgs["id"].gather(rows["org"])
    return set(zip(ids, rows["role"], orgs, strict=True))


def found(snapshot: Snapshot) -> list[tuple[str, str | None, int | None, str | None, str | None]]:
    """Findings about extension columns."""
    rows = snapshot.findings.frame.with_columns(pl.col("rule").cast(pl.String))
    return rows.filter(pl.col("rule").str.starts_with("ex-")).rows()


OPEN = (True, None, None)


# Nothing is read that is not declared


def test_what_is_not_declared_is_not_read(school: Export, read: Reader) -> None:
    plain = read(school)
    people(people(card(school, c_1="u-6"), HEAD, u_6="true"), POSITION, u_6="Tutor")
    for extensions in (None, Extensions()):
        again = read(school, extensions=extensions)
        assert again.digest == plain.digest
        assert again.findings.frame.equals(plain.findings.frame)
    assert read(school, extensions=CARDS).digest != plain.digest


@pytest.mark.parametrize(
    ("extensions", "file"), [(CARDS, "classes.csv"), (HEADS, "users.csv"), (POSITIONS, "users.csv")]
)
@pytest.mark.parametrize("version", ["export", "export_1_1"])
def test_a_declared_column_that_is_not_there_refuses_the_export(
    version: str, extensions: Extensions, file: str, read: Reader, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(ExportInvalidError) as caught:
        read(request.getfixturevalue(version), extensions=extensions)
    (column,) = (*extensions.of_classes, *extensions.of_users)
    assert caught.value.findings.frame.rows() == [(Rule.COLUMN_DECLARED.value, file, None, column, None)]
    assert caught.value.reason == "SourceInvalid"


# The class card


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("u-6", {"u-6"}),
        ("u-6, u-7", {"u-6", "u-7"}),
        ("u-1", {"u-1"}),
        ("u-1,u-6", {"u-1", "u-6"}),
        ("", {"u-1"}),
    ],
)
def test_the_class_card_wins_where_it_names_somebody(
    names: str, expected: set[str], school: Export, read: Reader
) -> None:
    snapshot = read(card(school, c_1=names, c_2="u-1"), extensions=CARDS)
    assert found(snapshot) == []
    assert class_teachers(snapshot.roster) == expected
    assert class_teachers(snapshot.roster, "c-2") == {"u-1"}
    assert {"u-1"} <= teachers(snapshot.roster).keys(), "who is not on the card teaches the class as before"
    assert class_teachers(snapshot.roster, "c-3") == set()
    # Nothing else is other than without the card.
    plain = read(school)
    for table, frame in snapshot.roster.tables():
        if table != "enrollments":
            assert frame.equals(dict(plain.roster.tables())[table])
    assert snapshot.roster.enrollments.filter(role="student").equals(plain.roster.enrollments.filter(role="student"))


def test_whom_the_card_names_is_in_the_class_as_long_as_it_goes(school: Export, read: Reader) -> None:
    school.set("enrollments.csv", 2, "endDate", "2026-09-01")
    school.files["enrollments.csv"] += "e-9,,,c-1,s-1,u-7,teacher,true,2027-01-01,2027-02-01\n"
    snapshot = read(card(school, c_1="u-1"), extensions=CARDS)
    assert teachers(snapshot.roster)["u-1"] == [OPEN]
    assert [place[0] for place in teachers(snapshot.roster)["u-7"]] == [False]


@pytest.mark.parametrize("wrong", ["u-404", "u-4", "u-9", "u 6"])
def test_a_card_that_names_nobody_who_works_there_changes_nothing(wrong: str, school: Export, read: Reader) -> None:
    """Nobody has this id, a student, a parent, and something that is no id."""
    before = read(card(school, c_1="u-6"), extensions=CARDS)
    school.set("classes.csv", 2, CARD, wrong)
    again = read(school, previous=before.roster, extensions=CARDS)
    assert found(again) == [(Rule.CLASS_TEACHER.value, "classes.csv", 2, CARD, "c-1")]
    assert again.roster.enrollments.equals(before.roster.enrollments)
    assert again.digest == before.digest
    # Others on the card count, and nobody is taken off by it.
    school.set("classes.csv", 2, CARD, f"u-7,{wrong}")
    more = read(school, previous=before.roster, extensions=CARDS)
    assert class_teachers(more.roster) == {"u-6", "u-7"}
    # Of a first reading nothing is known, and what enrollments say is not what the card says.
    school.set("classes.csv", 2, CARD, wrong)
    first = read(school, extensions=CARDS)
    assert class_teachers(first.roster) == set()
    assert teachers(first.roster).keys() == {"u-1"}


def test_a_card_that_cannot_be_read_keeps_whom_enrollments_named_before(school: Export, read: Reader) -> None:
    """The first reading after the column was declared."""
    before = read(school)
    again = read(card(school, c_1="u-404"), previous=before.roster, extensions=CARDS)
    assert class_teachers(again.roster) == {"u-1"}
    assert again.digest == before.digest


def test_a_class_that_is_set_aside_keeps_its_class_teacher(school: Export, read: Reader) -> None:
    before = read(card(school, c_1="u-6"), extensions=CARDS)
    school.set("classes.csv", 2, CARD, "u-7").set("classes.csv", 2, "classType", "perhaps")
    school.files["enrollments.csv"] += "e-9,,,c-1,s-1,u-8,teacher,true,,\n"
    again = read(school, previous=before.roster, extensions=CARDS)
    assert Rule.ENUM in again.findings.frame["rule"].to_list()
    assert class_teachers(again.roster) == {"u-6"}
    assert teachers(again.roster).keys() == {"u-1", "u-6", "u-8"}


def test_a_class_teacher_who_is_gone_is_kept_by_no_card(school: Export, read: Reader) -> None:
    before = read(card(school, c_1="u-7"), extensions=CARDS)
    for file, key in (("users.csv", "u-7,"), ("roles.csv", "r-8,")):
        lines = school.text(file).splitlines(keepends=True)
        school.files[file] = "".join(line for line in lines if not line.startswith(key))
    again = read(school, previous=before.roster, extensions=CARDS)
    assert [rule for rule, *_ in found(again)] == [Rule.CLASS_TEACHER]
    assert class_teachers(again.roster) == set()
    # The same when the record is there still, and works nowhere.
    school.files["users.csv"] += "u-7,,,true,u-7,,Vesperine,Brambleveil,,,,,,,,,,,,,s-1,\n"
    again = read(school, previous=before.roster, extensions=CARDS)
    assert class_teachers(again.roster) == set()


def test_a_card_that_is_emptied_leaves_it_to_the_enrollments(school: Export, read: Reader) -> None:
    before = read(card(school, c_1="u-6", c_2="u-1"), extensions=CARDS)
    school.set("classes.csv", 2, CARD, "")
    again = read(school, previous=before.roster, extensions=CARDS)
    assert class_teachers(again.roster) == {"u-1"}
    assert teachers(again.roster).keys() == {"u-1"}
    # Without a column `primary` the cards alone say it; nobody misses the column.
    school.drop_column("enrollments.csv", "primary").set("classes.csv", 2, CARD, "u-1")
    last = read(school, previous=again.roster, extensions=CARDS)
    assert class_teachers(last.roster) == {"u-1"}
    assert "primary" not in last.findings.frame["field"].to_list()
    school.set("classes.csv", 2, CARD, "")
    last = read(school, previous=last.roster, extensions=CARDS)
    assert class_teachers(last.roster) == set()
    assert teachers(last.roster).keys() == {"u-1"}


def test_a_column_in_which_nobody_is_named_is_said(school: Export, read: Reader) -> None:
    snapshot = read(people(card(school), POSITION, u_6="Cook"), extensions=ALL.model_copy(update={"acting_head": None}))
    assert found(snapshot) == [
        (Rule.EXTENSION_IDLE.value, "classes.csv", None, CARD, None),
        (Rule.EXTENSION_IDLE.value, "users.csv", None, POSITION, None),
    ]
    assert class_teachers(snapshot.roster) == {"u-1"}


def test_a_column_that_is_empty_all_at_once_refuses_the_export(school: Export, read: Reader) -> None:
    before = read(card(school, c_1="u-6", c_2="u-1"), extensions=CARDS)
    school.set("classes.csv", 2, CARD, "").set("classes.csv", 3, CARD, "")
    with pytest.raises(ExportIncompleteError) as caught:
        read(school, previous=before.roster, extensions=CARDS)
    assert caught.value.findings.frame.rows() == [(Rule.CARDS_EMPTY.value, "classes.csv", None, CARD, None)]
    # In a year of new classes nobody is class teacher yet, and where all of them have left nobody is any more.
    renamed = school.text("classes.csv").replace("c-", "n-"), school.text("enrollments.csv").replace(",c-", ",n-")
    left = type(school)(files=dict(school.files))
    left.files["roles.csv"] = "".join(
        line
        for line in school.text("roles.csv").splitlines(keepends=True)
        if ",teacher," not in line and "r-5" not in line
    )
    school.files["classes.csv"], school.files["enrollments.csv"] = renamed
    for export, section in ((school, "n-1"), (left, "c-1")):
        after = read(export, previous=before.roster, extensions=CARDS)
        assert [rule for rule, *_ in found(after)] == [Rule.EXTENSION_IDLE]
        assert class_teachers(after.roster, section) == {"u-1"}


def test_two_rows_of_a_class_with_different_cards_are_two_versions_of_it(school: Export, read: Reader) -> None:
    before = read(card(school, c_1="u-6"), extensions=CARDS)
    table = school.table("classes.csv")
    school.put("classes.csv", [*table, [*table[1][:-1], "u-7"]])
    again = read(school, previous=before.roster, extensions=CARDS)
    assert Rule.ID_TWICE in again.findings.frame["rule"].to_list()
    assert again.digest == before.digest


def test_files_that_cannot_be_read_in_part_take_no_class_teacher_away(school: Export, read: Reader) -> None:
    before = read(card(school, c_1="u-6", c_2="u-1"), extensions=CARDS)
    lines = school.text("classes.csv").splitlines()
    school.files["classes.csv"] = "\n".join([lines[0], lines[1] + ",stray", *lines[2:]]) + "\n"
    again = read(school, previous=before.roster, extensions=CARDS)
    assert class_teachers(again.roster) == {"u-6"}
    assert again.digest == before.digest


# Acting heads and positions


def test_an_acting_head_leads_the_school_of_the_primary_role(school: Export, read: Reader) -> None:
    before = read(school)
    assert roles(before.roster, "principal") == {("u-1", "principal", "s-2")}
    people(school, HEAD, u_1="true", u_6="TRUE", u_7="1", u_2="false", u_3="")
    again = read(school, extensions=HEADS)
    assert found(again) == []
    assert roles(again.roster, "principal") == {
        ("u-1", "principal", "s-2"),
        *((key, "principal", "s-1") for key in ("u-1", "u-6", "u-7")),
    }
    # It lasts as long as the role beside which it stands.
    rows = again.roster.roles.filter(role="principal", user=again.roster.users["id"].index_of("u-7"))
    assert rows.select("primary", "begin", "end").rows() == [
        (
            False,
            *before.roster.roles.filter(user=again.roster.users["id"].index_of("u-7")).select("begin", "end").row(0),
        )
    ]
    # Whoever led before leads still, and nothing else has come.
    extra = again.roster.roles.join(before.roster.roles, on=before.roster.roles.columns, how="anti", nulls_equal=True)
    assert extra.height == 3
    assert again.roster.enrollments.equals(before.roster.enrollments)


def test_positions_mean_the_roles_that_the_district_says(school: Export, read: Reader) -> None:
    people(school, POSITION, u_6="руководитель 1 УРОВНЯ", u_7="Cook, Tutor", u_1="Cook")
    snapshot = read(school, extensions=POSITIONS)
    assert found(snapshot) == []
    assert roles(snapshot.roster, "principal", "aide") == {
        ("u-1", "principal", "s-2"),
        ("u-6", "principal", "s-1"),
        ("u-7", "aide", "s-1"),
    }


def test_positions_mean_something_beside_a_role_that_is_an_extension(school: Export, read: Reader) -> None:
    school.replace("roles.csv", "u-6,primary,teacher", "u-6,primary,ext:employee")
    snapshot = read(people(school, POSITION, u_6="Tutor"), extensions=POSITIONS)
    assert roles(snapshot.roster, "aide") == {("u-6", "aide", "s-1")}


@pytest.mark.parametrize("person", ["u_8", "u_9", "u_2"])
@pytest.mark.parametrize(("extensions", "word"), [(HEADS, "true"), (POSITIONS, "Tutor")])
def test_a_position_without_one_certain_school_counts_nowhere(
    person: str, extensions: Extensions, word: str, school: Export, read: Reader
) -> None:
    """Two schools and no primary role, a parent, a student."""
    key, (column,) = person.replace("_", "-"), extensions.of_users
    snapshot = read(people(school, column, **{person: word}), extensions=extensions)
    row = next(at for at, line in enumerate(school.table("users.csv"), 1) if line[0] == key)
    assert (Rule.POSITION.value, "users.csv", row, column, key) in found(snapshot)
    assert roles(snapshot.roster, "principal", "aide") == {("u-1", "principal", "s-2")}


@pytest.mark.parametrize("wrong", ["perhaps", "user"])
def test_whoever_cannot_be_told_to_lead_leads_as_before(wrong: str, school: Export, read: Reader) -> None:
    before = read(people(school, HEAD, u_6="true", u_7="false"), extensions=HEADS)
    lines = {line[0]: at for at, line in enumerate(school.table("users.csv"), 1)}
    if wrong == "user":
        for key in ("u-6", "u-7"):
            school.set("users.csv", lines[key], "enabledUser", "so so")
        school.set("users.csv", lines["u-6"], HEAD, "false").set("users.csv", lines["u-7"], HEAD, "true")
        expected = []
    else:
        school.set("users.csv", lines["u-6"], HEAD, wrong).set("users.csv", lines["u-7"], HEAD, wrong)
        expected = [(Rule.ACTING_HEAD.value, "users.csv", lines[key], HEAD, key) for key in ("u-6", "u-7")]
    again = read(school, previous=before.roster, extensions=HEADS)
    assert found(again) == expected
    assert again.digest == before.digest
    # Who works there no more leads nothing, whatever the column says.
    school.files["roles.csv"] = "".join(
        line for line in school.text("roles.csv").splitlines(keepends=True) if not line.startswith("r-7,")
    )
    gone = read(school, previous=before.roster, extensions=HEADS)
    assert roles(gone.roster, "principal") == {("u-1", "principal", "s-2")}


def test_who_is_acting_head_no_more_leads_no_more(school: Export, read: Reader) -> None:
    before = read(people(school, HEAD, u_6="true"), extensions=HEADS)
    row = next(at for at, line in enumerate(school.table("users.csv"), 1) if line[0] == "u-6")
    again = read(school.set("users.csv", row, HEAD, "false"), previous=before.roster, extensions=HEADS)
    assert roles(again.roster, "principal") == {("u-1", "principal", "s-2")}
    assert again.digest == read(staffed(type(school)())).digest


def test_all_of_it_is_read_from_the_older_version_too(export_1_1: Export, read: Reader) -> None:
    export_1_1.replace("enrollments.csv", "s-1,u-5,student", "s-1,u-3,student")
    people(people(card(export_1_1, c_2="u-5"), HEAD, u_5="true"), POSITION, u_1="Tutor")
    snapshot = read(export_1_1, extensions=ALL)
    assert class_teachers(snapshot.roster, "c-2") == {"u-5"}
    assert roles(snapshot.roster, "principal") == {("u-5", "principal", "d-1")}
    assert found(snapshot) == [(Rule.POSITION.value, "users.csv", 2, POSITION, "u-1")]  # two schools, no primary one


def test_no_finding_tells_a_name_or_what_stands_in_a_column(
    school: Export, read: Reader, names: tuple[str, ...]
) -> None:
    people(people(card(school, c_1="Vesperine", c_2="u-1"), HEAD, u_6="Quorvaldsen"), POSITION, u_9="Tutor")
    snapshot = read(school, extensions=ALL)
    assert {rule for rule, *_ in found(snapshot)} == {Rule.CLASS_TEACHER, Rule.ACTING_HEAD, Rule.POSITION}
    said = "\n".join(snapshot.findings.sentences(100))
    assert not [name for name in (*names, "Tutor") if name in said]


# What is known of lines


def night(
    export: Export, place: Path, extensions: Extensions, *, previous: Roster | None, lines: Lines
) -> Snapshot | list[tuple[Any, ...]]:
    """The reading, or what is said when it is refused."""
    path = export.folder(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oneroster, "_SHORT", 0)  # or nothing of so short files would be remembered
        try:
            return read_export(
                path, previous=previous, lines=lines, limits=Limits(), scratch=place.parent, extensions=extensions
            )
        except (ExportInvalidError, ExportIncompleteError) as error:
            return error.findings.frame.rows()


_CELLS = (
    "",
    "u-1",
    "u-6",
    "u-7",
    "u-404",
    "u-1,u-6",
    "true",
    "false",
    "perhaps",
    "Tutor",
    "Руководитель 1 уровня",
    "Cook",
)
_EDITS = st.one_of(
    st.builds(
        Edit,
        how=st.sampled_from(("set", "set", "drop", "repeat", "swap", "add")),
        file=st.sampled_from(("users.csv", "roles.csv", "enrollments.csv", "classes.csv")),
        row=st.integers(0, 20),
        other=st.integers(0, 30),
        value=st.sampled_from((*_CELLS, "2026-13-45", "teacher", "student", "s-2", "c-2")),
    ),
    st.builds(
        Edit,
        how=st.just("set"),
        file=st.sampled_from(("users.csv", "classes.csv")),
        row=st.integers(0, 20),
        other=st.sampled_from((-1, -2)),
        value=st.sampled_from(_CELLS),
    ),
)
_NIGHTS = st.lists(
    st.tuples(st.lists(_EDITS, max_size=3), st.sampled_from((ALL, ALL, ALL, CARDS, HEADS, POSITIONS, Extensions()))),
    min_size=1,
    max_size=3,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(nights=_NIGHTS)
def test_what_is_known_of_lines_changes_nothing(
    nights: list[tuple[list[Edit], Extensions]], export: Export, tmp_path_factory: pytest.TempPathFactory
) -> None:
    current = staffed(type(export)())
    people(people(card(current, c_1="u-6"), HEAD, u_6="true", u_7="false"), POSITION, u_1="Tutor")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remembered, "_MOST_OTHERS", 1.0)  # or two lines of five were too many
        patch.setattr(remembered, "_STRETCH", 2)
        before, lines = None, NO_LINES
        for edits, extensions in [([], ALL), *nights]:
            for edit in edits:
                edit(current)
            place = tmp_path_factory.mktemp("night")
            plain = night(current, place / "plain", extensions, previous=before, lines=NO_LINES)
            known = night(current, place / "known", extensions, previous=before, lines=lines)
            assert content(known) == content(plain)
            if isinstance(known, Snapshot):
                before, lines = known.roster, known.lines


def test_no_line_is_taken_as_it_was_read_under_another_declaration(
    school: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "_MOST_OTHERS", 1.0)
    people(people(card(school, c_1="u-6"), HEAD, u_6="true"), POSITION, u_7="Cook", u_1="Cook")
    cook = {"column": POSITION, "roles": [{"position": "Cook", "role": "counselor"}]}
    others = Extensions.model_validate({"classTeacher": CARD, "actingHead": HEAD, "positions": [cook]})
    before, lines = None, NO_LINES
    for turn, extensions in enumerate((Extensions(), ALL, others, ALL, CARDS, Extensions())):
        plain = night(school, tmp_path / f"plain-{turn}", extensions, previous=before, lines=NO_LINES)
        known = night(school, tmp_path / f"known-{turn}", extensions, previous=before, lines=lines)
        assert isinstance(known, Snapshot)
        assert content(known) == content(plain)
        assert class_teachers(known.roster) == ({"u-6"} if extensions.class_teacher else {"u-1"})
        cooks = {(key, "counselor", "s-1") for key in ("u-1", "u-7")}
        assert roles(known.roster, "counselor") == (cooks if extensions is others else set())
        before, lines = known.roster, known.lines


def test_a_line_that_means_nothing_more_is_not_opened_again(school: Export, tmp_path: Path) -> None:
    people(people(card(school, c_1="u-6", c_3="u-7"), HEAD, u_6="true", u_7="false"), POSITION, u_1="Cook")
    first = night(school, tmp_path / "first", ALL, previous=None, lines=NO_LINES)
    assert isinstance(first, Snapshot)
    lines = {table: first.lines.of(table).with_row_index("row", offset=1) for table in remembered.REMEMBERED}
    forgotten = {table: {*frame.filter(pl.col("at").is_null())["row"]} - {1} for table, frame in lines.items()}
    row = {line[0]: at for at, line in enumerate(school.table("users.csv"), 1)}
    with_password = {row["u-1"], row["u-2"]}
    assert forgotten == {"users": {*with_password, row["u-6"]}, "roles": set(), "enrollments": {2, 7}}

"""Who is about whom, and what people are called elsewhere: the columns of users.csv that only chats need."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples

from homeroom.roster.findings import Rule
from homeroom.roster.tables import Roster
from homeroom.sources import NO_LINES, Snapshot, load, oneroster, remembered, write
from homeroom.sources.oneroster import read_export
from homeroom.sources.package import Limits

if TYPE_CHECKING:
    Export = Any
    Reader = Any

NAMED = {("u-2", "u-5"), ("u-4", "u-5"), ("u-4", "u-1")}
"""Who names whom in the export."""
BOTH = ("agentSourcedIds", "userIds")


def pairs(roster: Roster) -> set[tuple[str, str]]:
    ids = roster.users["id"]
    found = [*zip(*(ids.gather(roster.agents[end]) for end in ("user", "agent")), strict=True)]
    assert found == sorted(set(found))
    return set(found)


def accounts(roster: Roster) -> dict[str, list[str] | None]:
    return dict(roster.users.select("id", "user_ids").iter_rows())


def without(export: Export, *columns: str) -> Export:
    table = export.table("users.csv")
    stays = [at for at, name in enumerate(table[0]) if name not in columns]
    export.put("users.csv", [[row[at] for at in stays] for row in table])
    return export


def night(export: Export, place: Path, *, before: Snapshot | None = None) -> Snapshot:
    """A reading that takes nothing apart that is as it was."""
    lines, previous = (NO_LINES, None) if before is None else (before.lines, before.roster)
    path = export.folder(place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oneroster, "_SHORT", 0)  # or nothing of so short files would be remembered
        return read_export(path, previous=previous, lines=lines, limits=Limits(), scratch=place.parent)


def test_agents_are_pairs_and_ids_are_lists(export: Export, read: Reader) -> None:
    roster = read(export).roster
    assert pairs(roster) == NAMED
    assert accounts(roster) == {
        "u-1": ["Fed:u-1"],
        "u-2": [],
        "u-3": ["Fed:u-3", "Matrix:@to:school.example"],
        "u-4": [],
        "u-5": [],
    }


def test_both_are_read_from_the_older_version_too(export_1_1: Export, read: Reader) -> None:
    roster = read(export_1_1).roster
    assert pairs(roster) == {("u-4", "u-2"), ("u-4", "u-5")}
    assert accounts(roster)["u-4"] == ["Matrix:@zd"]


@pytest.mark.parametrize(
    ("said", "understood", "odd"),
    [
        ("{Matrix:@a:b.example},{LDAP:a}", ["LDAP:a", "Matrix:@a:b.example"], False),
        (" { Matrix : @a:b } ; {LDAP:a b}", ["LDAP:a b", "Matrix:@a:b"], True),
        ("{a:1} , {a:1}", ["a:1"], False),
        ("{Fed:ann@school.example}", ["Fed:ann@school.example"], False),
        ("ann", [], True),
        ("{ann},{:x},{x:},{ : }", [], True),
        ("{a:1},{b", ["a:1"], True),
    ],
)
def test_ids_elsewhere_have_a_type(
    *, said: str, understood: list[str], odd: bool, export: Export, read: Reader
) -> None:
    snapshot = read(export.set("users.csv", 3, "userIds", said))
    assert accounts(snapshot.roster)["u-2"] == understood
    assert snapshot.findings.frame["rule"].to_list() == ([Rule.USER_ID.value] if odd else [])


def test_who_names_somebody_who_is_not_there_keeps_the_others(export: Export, read: Reader) -> None:
    snapshot = read(export.set("users.csv", 5, "agentSourcedIds", " u-5 ,g-9,, u-1,g-8,u-5"))
    assert pairs(snapshot.roster) == NAMED
    assert snapshot.findings.frame.select("rule", "row", "field", "id").rows() == [
        (Rule.AGENT.value, 5, "agentSourcedIds", "u-4")
    ]


@pytest.mark.parametrize("row", [3, 5, 6])
def test_a_record_that_is_set_aside_keeps_its_pairs(row: int, export: Export, read: Reader) -> None:
    """Whether it names somebody or is named, and whatever else it says now."""
    before = read(export).roster
    export.set("users.csv", row, "enabledUser", "").set("users.csv", row, "agentSourcedIds", "")
    assert pairs(read(export, previous=before).roster) == NAMED


def test_nobody_comes_back_because_a_record_that_was_set_aside_names_them(export: Export, read: Reader) -> None:
    before = read(export).roster
    export.put("users.csv", [row for row in export.table("users.csv") if row[0] != "u-5"])
    for file in ("roles.csv", "enrollments.csv"):
        export.put(file, [row for row in export.table(file) if "u-5" not in row])
    roster = read(export.set("users.csv", 5, "enabledUser", ""), previous=before).roster
    assert "u-5" not in roster.users["id"]
    assert pairs(roster) == {("u-4", "u-1")}


def test_a_row_that_nobody_can_read_keeps_the_pairs_of_whomever_it_may_be(export: Export, read: Reader) -> None:
    before = read(export).roster
    lines = export.text("users.csv").splitlines()
    export.files["users.csv"] = "\n".join([*lines[:4], "u-4,,,true", *lines[5:], ""])
    assert pairs(read(export, previous=before).roster) == NAMED


def test_who_is_no_longer_named_is_no_agent_any_more(export: Export, read: Reader) -> None:
    before = read(export).roster
    roster = read(export.set("users.csv", 5, "agentSourcedIds", "u-1"), previous=before).roster
    assert pairs(roster) == {("u-2", "u-5"), ("u-4", "u-1")}


def test_columns_that_never_were_there_are_not_missed(export: Export, read: Reader) -> None:
    snapshot = read(without(export, *BOTH))
    assert snapshot.findings.frame.is_empty()
    assert snapshot.roster.agents.is_empty()
    assert set(accounts(snapshot.roster).values()) == {None}


def test_columns_that_are_gone_look_nobody_as_gone(export: Export, read: Reader) -> None:
    before = read(export).roster
    snapshot = read(without(export, *BOTH), previous=before)
    assert pairs(snapshot.roster) == NAMED
    assert accounts(snapshot.roster) == accounts(before)
    assert snapshot.findings.frame.select("rule", "field").rows() == [
        (Rule.COLUMN_ABSENT.value, name) for name in sorted(BOTH)
    ]


def test_where_no_guardian_is_exported_the_file_has_one_finding_and_the_first_is_found(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines that named nobody who was there are the same when somebody comes."""
    monkeypatch.setattr(remembered, "_MOST_OTHERS", 1.0)
    export.set("users.csv", 3, "agentSourcedIds", "g-1").set("users.csv", 5, "agentSourcedIds", "g-1,g-2")
    first = night(export, tmp_path / "1")
    assert first.findings.frame.select("rule", "row").rows() == [(Rule.AGENTS_ABSENT.value, None)]
    assert first.roster.agents.is_empty()
    guardian = ["g-1", "", "", "true", "gg", "", "Tamsin", "Oakenthwaite", *[""] * 14]
    export.put("users.csv", [*export.table("users.csv"), guardian])
    second = night(export, tmp_path / "2", before=first)
    assert pairs(second.roster) == {("u-2", "g-1"), ("u-4", "g-1")}
    assert second.findings.frame.select("rule", "id").rows() == [(Rule.AGENT.value, "u-4")]


def test_a_snapshot_of_an_earlier_release_has_neither(export: Export, tmp_path: Path) -> None:
    snapshot = night(export, tmp_path / "export")
    place = write(snapshot, tmp_path / "snapshots")
    (place / "agents.parquet").unlink()
    users = pl.read_parquet(place / "users.parquet").drop("user_ids")
    users.write_parquet(place / "users.parquet")
    note_checksums(place)
    loaded = load(tmp_path / "snapshots", snapshot.digest).roster
    assert loaded.agents.is_empty()
    assert loaded.agents.schema == snapshot.roster.agents.schema
    assert loaded.users.equals(users.with_columns(snapshot.roster.users["user_ids"].clear().extend_constant(None, 5)))


def note_checksums(place: Path) -> None:
    """As the release did that had only these tables."""
    tables = json.loads((place / "checksums.json").read_text(encoding="utf-8")).keys() - {"agents"}
    sums = {name: hashlib.sha256((place / f"{name}.parquet").read_bytes()).hexdigest() for name in tables}
    (place / "checksums.json").write_text(json.dumps(sums), encoding="utf-8")


@examples(10, one_fixture=True)
@given(data=st.data())
def test_neither_the_order_of_rows_nor_that_of_names_matters(data: st.DataObject, export: Export, read: Reader) -> None:
    """And read again, or said twice, it is the same."""
    people = ["u-1", "u-2", "u-3", "u-4", "u-5"]
    named = {who: data.draw(st.lists(st.sampled_from(people), unique=True, max_size=3)) for who in people}
    one, other = type(export)(), type(export)()
    for row, who in enumerate(people, start=2):
        again = data.draw(st.permutations(named[who]))
        one.set("users.csv", row, "agentSourcedIds", ",".join(named[who]))
        other.set("users.csv", row, "agentSourcedIds", ",".join([*again, *again[:1]]))
    first = read(one)
    assert pairs(first.roster) == {(who, agent) for who in people for agent in named[who] if agent != who}
    head, *rows = other.table("users.csv")
    other.put("users.csv", [head, *data.draw(st.permutations(rows))])
    second = read(other, previous=data.draw(st.sampled_from((None, first.roster))))
    assert second.digest == first.digest
    assert second.roster.agents.equals(first.roster.agents)

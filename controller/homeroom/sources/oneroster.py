"""Reading a OneRoster CSV export: files to columns, columns to records, records to a snapshot.

Flow: `package` lays out the files, `text` proves that each row is whole, this module turns words into values and
flags what is wrong, `homeroom.roster.accept` decides what that means. Source ids of the two large files (roles and
enrollments) become numbers by a join inside the streaming query, so no text of theirs is ever held in memory; only rows
that were flagged are read a second time, as text, to say what is wrong with them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from enum import StrEnum
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import polars as pl

from homeroom.api.district import Extensions
from homeroom.roster.accept import INPUT, REFERENCES, Acceptance
from homeroom.roster.beside import beside, engine
from homeroom.roster.digest import digest, equal
from homeroom.roster.findings import SCHEMA, Findings, Rule, Severity
from homeroom.roster.tables import SCHEMAS, ClassRole, Roster, SchoolRole, repeated
from homeroom.sources import layout
from homeroom.sources.base import (
    CREDENTIALS,
    ExportIncompleteError,
    ExportInvalidError,
    Snapshot,
    refusal,
)
from homeroom.sources.extensions import Extended, Texts, with_class_teachers, with_positions
from homeroom.sources.layout import SHEETS, Sheet
from homeroom.sources.package import Limits, Package, opened, refuse
from homeroom.sources.remembered import (
    FIRST_ONLY,
    NO_LINES,
    REMEMBERED,
    SEED,
    Lines,
    id_hash,
    remember,
    seed_of,
    unchanged,
)
from homeroom.sources.rows import (
    STANDARD_ID,
    Rows,
    flag_link,
    impossible,
    link_flaws,
    link_respelt,
    link_values,
    listed,
    optional,
    read_class,
    read_course,
    read_user,
)
from homeroom.sources.text import Table, header_of, read_table

_LONGEST_MANIFEST: Final = 1 << 20
_NOTHING: Final = Extensions()
_SMALL: Final = 1 << 20  # bytes of an export for which threads are not worth starting
_SHORT: Final = 1 << 18  # bytes of a file that is read as a whole in less time than its lines are compared


class Version(StrEnum):
    """The two layouts; 1.2.1 reads like 1.2."""

    V1_1 = "1.1"
    V1_2 = "1.2"


def read_export(
    path: Path,
    *,
    previous: Roster | None,
    lines: Lines = NO_LINES,
    limits: Limits,
    scratch: Path | None,
    extensions: Extensions = _NOTHING,
) -> Snapshot:
    """Read the export (a folder or zip archive) at `path`; invalid records count as in `previous`.

    `lines`: those that made `previous`, which are not taken apart again; what comes of it is the same without them.
    `scratch`: where it is unpacked (None: the system's temporary folder). `extensions`: columns beyond OneRoster that
    are read. Raises ExportInvalidError or ExportIncompleteError. A manifest alone means no changes: the roster stays
    `previous`.
    """
    wanted = {name.lower(): name for name in layout.FILES}
    with (
        TemporaryDirectory(dir=scratch, prefix="export-") as work,
        opened(path, wanted=wanted, limits=limits, scratch=Path(work)) as package,
    ):
        reading = _Reading(
            package=package,
            previous=previous or Roster.empty(),
            lines=lines,
            scratch=Path(work),
            extensions=extensions,
        )
        if set(package.files) != {"manifest"}:
            return reading.snapshot()
        if previous is None:
            raise refuse(Rule.ONLY_MANIFEST)
        found = digest(previous.tables())
        return _snapshot(previous, found, package.findings, pl.DataFrame(schema=CREDENTIALS), lines)


def _snapshot(roster: Roster, found: str, findings: Findings, credentials: pl.DataFrame, lines: Lines) -> Snapshot:
    counts = {**roster.counts(), "quarantined": findings.counts()[Severity.RECORD]}
    return Snapshot(digest=found, roster=roster, findings=findings, counts=counts, credentials=credentials, lines=lines)


class _Reading:
    """One reading of one export."""

    def __init__(
        self, *, package: Package, previous: Roster, lines: Lines, scratch: Path, extensions: Extensions
    ) -> None:
        self._files = package.files
        self._previous = previous
        self._lines = lines
        self._secret = pl.Series("row", dtype=pl.UInt32)  # rows of users with a password
        self._ids: dict[str, pl.DataFrame] = {}  # row, and hash of the source id, of each link
        self._scratch = scratch
        self._extensions = extensions
        self._declared = {"classes": extensions.of_classes, "users": extensions.of_users}
        self._extra: dict[str, pl.DataFrame] = {}  # row, id, and the declared columns, where one of them is filled in
        nothing = extensions == _NOTHING
        self._seed = SEED if nothing else seed_of(json.dumps(extensions.document(), sort_keys=True))
        self._findings: list[Findings] = [package.findings]
        self._version_read = self._check_manifest()
        self._acceptance = Acceptance(previous=previous, roles_in_users=self._version_read is Version.V1_1)
        self._tables: dict[str, Future[Table]] = {}

    def snapshot(self) -> Snapshot:
        """Read all tables."""
        sheets = {name: replace(sheet, declared=self._declared.get(name, ())) for name, sheet in SHEETS.items()}
        if self._version_read is Version.V1_1:
            sheets["users"] = replace(layout.USERS_1_1, declared=self._declared["users"])
            del sheets["roles"]
        size = sum(path.stat().st_size for path in self._files.values())
        with beside(len(sheets) + 1, few=size < _SMALL) as pool:
            # The last files are the largest. While they are proven, records of the others are read; what comes of that
            # is forgotten when one of them is refused.
            self._tables = {table: pool.submit(self._open, table, sheet) for table, sheet in reversed(sheets.items())}
            reading = pool.submit(self._read_all, sheets)
            opened_all = self._await_all(sheets)
            passwords = reading.result()
        roster = self._extended(self._acceptance.roster())
        findings = Findings.join([*opened_all, *self._findings, *self._acceptance.findings])
        pairs = zip(roster.tables(), self._previous.tables(), strict=True)
        same = self._lines.digest and all(now is before or equal(now, before) for (_, now), (_, before) in pairs)
        found = self._lines.digest if same else digest(roster.tables())
        lines = Lines(digest=found, tables=self._remembered(roster, found, findings))
        return _snapshot(roster, found, findings, _credentials(roster, passwords), lines)

    def _remembered(self, roster: Roster, found: str, findings: Findings) -> dict[str, pl.DataFrame]:
        """Of the lines about which nothing was said what became of them, by table."""
        tables = {}
        for table in self._tables.keys() & REMEMBERED:
            hashes, before = self._table(table).hashes, self._lines.of(table)
            said = findings.frame
            said = said.filter(pl.col("file") == SHEETS[table].file) if said.height else said
            if hashes is None or (said.height and said["rule"].is_in(FIRST_ONLY).any()):
                continue
            same = found == self._lines.digest and said.is_empty() and unchanged(hashes, before)
            if same and not any(self._declared.values()):
                tables[table] = before
                continue
            rows = self._acceptance.rows[table]
            if table == "users":
                hashed = roster.users.select(id_hash(pl.col("id").hash())).to_series()
                ids = rows.select("row", id=hashed[rows["at"]])
                but = pl.concat([said["row"], self._secret])
            else:
                ids, but = self._ids[table], said["row"]
            tables[table] = remember(hashes, rows, ids, but=but)
        return tables

    def _extended(self, roster: Roster) -> Roster:
        """The roster with what the declared columns say. Lines that they decide about are not remembered."""
        if self._declared["users"]:
            texts = self._texts("users", roster)
            now, said = with_positions(roster, self._previous, texts, self._extensions)
            roster = self._moved("roles", now)
            rows = self._acceptance.rows["users"]
            self._acceptance.rows["users"] = rows.filter(~pl.col("row").is_in(said.implode()))
        if self._extensions.class_teacher:
            texts = self._texts("classes", roster)
            now = with_class_teachers(roster, self._previous, texts, self._extensions.class_teacher)
            roster = self._moved("enrollments", now)
        return roster

    def _texts(self, table: str, roster: Roster) -> Texts:
        """The declared columns of the records that were accepted as they were read, and the other records."""
        accepted = self._acceptance.numbers(table).join(self._acceptance.accepted(table), on="n", how="semi")
        records = dict(roster.tables())[table].select("id").with_row_index("at")
        return Texts(
            rows=self._extra[table].join(accepted, on="id", how="semi"),
            unread=records.join(accepted, on="id", how="anti")["at"],
            silent=self._extra[table].is_empty() and self._table(table).same.is_empty(),
        )

    def _moved(self, table: str, now: Extended) -> Roster:
        """What came of it; the lines of `table` that are rows of it still are where these are now."""
        rows = self._acceptance.rows[table]
        self._acceptance.rows[table] = rows.with_columns(at=now.moved.gather(rows["at"])).drop_nulls("at")
        self._findings.append(now.findings)
        return now.roster

    def _read_all(self, sheets: Mapping[str, Sheet]) -> pl.DataFrame:
        """Hand all tables to `Acceptance`; return ids with passwords."""
        self._read_orgs()
        self._read_sessions()
        self._read_courses()
        self._read_classes(sheets["classes"])
        passwords = self._read_users(sheets["users"])
        if self._version_read is Version.V1_2:
            self._read_links("roles", words=SchoolRole, primary="roleType", primary_words=layout.PRIMARY_OR_NOT)
        self._read_links("enrollments", words=ClassRole, primary="primary", primary_words=layout.TRUE_AND_FALSE)
        return passwords

    # The package

    def _check_manifest(self) -> Version:
        """Compare manifest and files; both have to agree on what is there, and the version has to be one we read."""
        promised: dict[str, str] = {}
        refused = []
        if "manifest" in self._files:
            promised = read_manifest(self._files["manifest"])
        else:
            self._findings.append(Findings.one(Rule.MANIFEST_ABSENT, file="manifest.csv"))
        for name in layout.FILES:
            word = promised.get(f"file.{name}".lower(), "absent").lower()
            file = f"{name}.csv"
            there = name.lower() in self._files
            if word == "delta":
                refused.append(Findings.one(Rule.DELTA, file=file))
            elif word not in {"absent", "bulk"}:
                refused.append(Findings.one(Rule.MANIFEST_BROKEN, file="manifest.csv"))
            elif word == "bulk" and not there:
                refused.append(Findings.one(Rule.FILE_PROMISED, file=file))
            elif word == "absent" and there and promised:
                self._findings.append(Findings.one(Rule.MANIFEST_DIFFERS, file=file))
        if refused:
            raise refusal(Findings.join(refused))
        return self._version(promised)

    def _version(self, promised: Mapping[str, str]) -> Version:
        if not promised:
            if "roles" in self._files or "users" not in self._files:
                return Version.V1_2
            columns = header_of(self._files["users"], file="users.csv")
            if {"enableduser", "orgsourcedids", "role"} <= columns:
                return Version.V1_1
        stated = promised.get("oneroster.version", "")
        for version in Version:
            if stated == version or stated.startswith(f"{version}."):
                return version
        raise refuse(Rule.VERSION, file="manifest.csv" if promised else None)

    def _await_all(self, sheets: Mapping[str, Sheet]) -> list[Findings]:
        """What is to be said about the files, once all of them are proven. Raises for all that are refused at once."""
        refused = []
        findings = []
        for table, sheet in sheets.items():
            try:
                opened_table = self._table(table)
            except (ExportInvalidError, ExportIncompleteError) as error:
                refused.append(error.findings)
                continue
            findings.append(opened_table.findings)
            findings += [
                Findings.one(Rule.COLUMN_ABSENT, file=sheet.file, field=name)
                for name in sheet.optional
                if name not in opened_table.columns and name not in layout.SILENT and self._was_read(name)
            ]
        if refused:
            raise refusal(Findings.join(refused))
        return findings

    def _was_read(self, column: str) -> bool:
        """False for a column that nobody misses.

        That is one that only chats need and of which the last roster has nothing; and, where the class cards say who is
        class teacher, that of enrollments: what it said last is not to be told from what the cards said.
        """
        if column == "primary":
            return not self._extensions.class_teacher
        if column == "agentSourcedIds":
            return not self._previous.agents.is_empty()
        if column == "userIds":
            return bool((self._previous.users["user_ids"].list.len() > 0).any())
        return True

    def _table(self, table: str) -> Table:
        """A file, as soon as it is proven. Raises what `_open` raises."""
        return self._tables[table].result()

    def _open(self, name: str, sheet: Sheet) -> Table:
        path = self._files.get(sheet.file.lower().removesuffix(".csv"))
        if path is None:
            raise refuse(Rule.FILE_REQUIRED, file=sheet.file)
        table = read_table(
            path,
            file=sheet.file,
            columns=sheet.known,
            scratch=self._scratch,
            before=self._lines.of(name) if self._is_remembered(name, path) else None,
            seed=self._seed,
        )
        lacking = [
            Findings.one(rule, file=sheet.file, field=name)
            for rule, names in ((Rule.COLUMN_REQUIRED, sheet.required), (Rule.COLUMN_DECLARED, sheet.declared))
            for name in names
            if name not in table.columns
        ]
        if lacking:
            raise refusal(Findings.join(lacking))
        return table

    def _is_remembered(self, table: str, path: Path) -> bool:
        """Whether what became of its lines is of use next time."""
        return table in REMEMBERED and not self._has_roles(table) and path.stat().st_size >= _SHORT

    def _has_roles(self, table: str) -> bool:
        """Whether a file says more than its own table: in 1.1 users have their roles with them."""
        return table == "users" and self._version_read is Version.V1_1

    # Records with ids

    def _rows(self, table: str, sheet: Sheet) -> Rows:
        """The records of a file as text, with usable ids."""
        opened_table = self._table(table)
        wanted = [name for name in sheet.read if name in opened_table.columns]
        # In one piece, or polars makes it one at every step at which it gets a column in other pieces.
        differ = {}
        if {"subjects", "subjectCodes"} <= opened_table.columns:
            commas = [pl.col(name).str.count_matches(",", literal=True) for name in ("subjects", "subjectCodes")]
            differ["_differ"] = commas[0] != commas[1]
        identity = pl.col("sourcedId")
        query = opened_table.scan.select(
            "row",
            *wanted,
            id=identity,
            bad=pl.lit(value=False),
            _odd=~identity.str.contains(STANDARD_ID).fill_null(value=False),
            **differ,
        )
        read = query.collect(engine=engine(opened_table.rows)).rechunk()
        frame = read[["row", *wanted, "id", "bad"]]
        if differ and read["_differ"].any():
            said = read.filter("_differ").select("row")
            self._findings.append(Findings.of(Rule.SUBJECT_CODES, said, file=sheet.file, field="subjectCodes"))
        for name in layout.STATE:
            if name in frame.columns and frame[name].null_count() < frame.height:
                self._judge_state(frame.filter(pl.col(name).is_not_null()), name, file=sheet.file)
        frozen = opened_table.malformed
        if read["_odd"].any():
            odd = frame.filter(read["_odd"])
            frame = frame.filter(~read["_odd"])
            usable, lost = self._judge_ids(odd, table, sheet)
            frame = pl.concat([frame, usable])
            frozen |= lost.height > 0
        if frame.is_empty() and opened_table.same.is_empty() and not frozen:
            raise refuse(Rule.NO_ROWS, file=sheet.file)
        rows = Rows(file=sheet.file, frame=frame, findings=self._findings, frozen=frozen)
        if sheet.declared:
            self._take_declared(table, rows, sheet.declared)
        return rows

    def _take_declared(self, table: str, rows: Rows, columns: tuple[str, ...]) -> None:
        """Keep what extension columns say for when the roster is known."""
        if rows.frame["id"].is_duplicated().any():
            # Nobody else compares these columns.
            torn = pl.struct(columns).n_unique().over("id") > 1
            rows.flag(Rule.ID_TWICE, torn, field="sourcedId")
        given = rows.frame.filter(pl.any_horizontal(pl.col(columns).is_not_null()))
        self._extra[table] = given.select("row", "id", *columns).unique("id", keep="first", maintain_order=True)

    def _judge_state(self, rows: pl.DataFrame, name: str, *, file: str) -> None:
        if name == "status":
            raise refuse(Rule.DELTA_ROWS, file=file, row=min(rows["row"]), field=name)
        self._findings.append(Findings.of(Rule.STAMPED, rows, file=file, field=name, first_only=True))

    def _judge_ids(self, odd: pl.DataFrame, table: str, sheet: Sheet) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Of rows with odd ids: those that can be used, and those that nobody can identify (empty ones are neither)."""
        identity = pl.col("sourcedId")
        nameless = odd.filter(identity.is_null())
        if nameless.height:
            full = self._again(table, nameless)
            empty = full.filter(pl.all_horizontal(pl.exclude("row").is_null()))
            nameless = nameless.join(empty, on="row", how="anti")
            self._findings.append(Findings.of(Rule.ROW_EMPTY, empty, file=sheet.file, first_only=True))
        hopeless = impossible(identity)
        invalid = odd.filter(identity.is_not_null() & hopeless)
        usable = odd.filter(identity.is_not_null() & ~hopeless)
        # What stands in an impossible id may be anything, a name perhaps: it is not repeated.
        self._findings.append(Findings.of(Rule.ID_MISSING, nameless, file=sheet.file, field="sourcedId"))
        self._findings.append(Findings.of(Rule.ID_INVALID, invalid, file=sheet.file, field="sourcedId"))
        self._findings.append(
            Findings.of(Rule.ID_CHARACTERS, usable.select("row", id="sourcedId"), file=sheet.file, field="sourcedId")
        )
        return usable, pl.concat([nameless.select("row"), invalid.select("row")])

    def _again(self, table: str, rows: pl.DataFrame, *columns: str) -> pl.DataFrame:
        """The given rows of a file (column row), as text: all columns, or row and the given ones."""
        scan = self._table(table).whole
        scan = scan.select("row", *columns) if columns else scan
        return scan.join(rows.lazy().select("row"), on="row", how="semi").collect(engine="streaming").sort("row")

    def _accept(
        self, table: str, rows: Rows, *, absent: Mapping[str, str] | None = None, also: Iterable[str] = ()
    ) -> None:
        """Hand the values over. `absent`: roster column by the file's column that fills it."""
        columns, same = self._table(table).columns, self._table(table).same
        frame = rows.frame.select(
            *(pl.col(name).cast(INPUT[table][name]) for name in SCHEMAS[table]), "row", "bad", *also
        )
        as_before = False
        if same.height:  # only of users, who refer to nothing
            frame, as_before = _together(self._previous.users, same, frame)
        self._acceptance.records(
            table,
            frame,
            file=rows.file,
            frozen=rows.frozen,
            as_before=as_before,
            absent={ours for theirs, ours in (absent or {}).items() if theirs not in columns},
        )

    def _read_orgs(self) -> None:
        rows = self._rows("orgs", SHEETS["orgs"])
        rows.need("name", "type")
        rows.cut("name")
        rows.choose("type", layout.ORG_TYPES)
        rows.frame = optional(rows.frame, ["parentSourcedId", "identifier"])
        rows.cut("identifier")
        several = (pl.col("type") == "school") & (pl.len().over("type", "identifier") > 1)
        rows.flag(Rule.IDENTIFIER_TWICE, several & pl.col("identifier").is_not_null(), field="identifier")
        rows.set(parent=pl.col("parentSourcedId"))
        self._accept("orgs", rows, absent={"parentSourcedId": "parent", "identifier": "identifier"})

    def _read_sessions(self) -> None:
        rows = self._rows("sessions", SHEETS["sessions"])
        rows.need("title", "type", "startDate", "endDate")
        rows.cut("title")
        rows.choose("type", layout.SESSION_TYPES)
        rows.date("startDate", to="begin")
        rows.date("endDate", to="end")
        rows.flag(Rule.END_BEFORE_BEGIN, pl.col("end") < pl.col("begin"), field="endDate")
        year = pl.when(pl.col("schoolYear").str.contains(r"^\d{4}$")).then(pl.col("schoolYear")).cast(pl.Int16)
        rows.flag(Rule.SCHOOL_YEAR, year.is_null(), field="schoolYear")
        rows.frame = optional(rows.frame, ["parentSourcedId"])
        rows.set(school_year=year, parent=pl.col("parentSourcedId"))
        self._accept("sessions", rows, absent={"parentSourcedId": "parent"})

    def _read_courses(self) -> None:
        rows = self._rows("courses", SHEETS["courses"])
        read_course(rows)
        self._accept("courses", rows, absent={"courseCode": "code", "grades": "grades", "subjects": "subjects"})

    def _read_classes(self, sheet: Sheet) -> None:
        rows = self._rows("classes", sheet)
        read_class(rows)
        self._accept("classes", rows, absent={"classCode": "code", "grades": "grades", "subjects": "subjects"})

    def _read_users(self, sheet: Sheet) -> pl.DataFrame:
        """Take the users, and return ids with passwords; in 1.1 take their roles too."""
        rows = self._rows("users", sheet)
        rows.frame = optional(rows.frame, ["password"])
        read_user(rows)
        old_fashioned = self._version_read is Version.V1_1
        if old_fashioned:
            self._read_roles_of_users(rows)
        absent = {"identifier": "identifier", "email": "email", "grades": "grades"}
        absent |= {} if old_fashioned else {"preferredGivenName": "given", "preferredFamilyName": "family"}
        absent |= {"userIds": "user_ids"} if self._was_read("userIds") else {}
        self._accept("users", rows, absent=absent, also=("role", "orgs") if old_fashioned else ())
        self._link_agents(rows)
        if old_fashioned:
            self._link_roles_of_users(rows)
        passwords = rows.frame.select(user="id", password="password", bad="bad")  # noqa: S106 - the name of a column
        self._secret = rows.frame.filter(pl.col("password").is_not_null())["row"]
        return passwords.filter(pl.col("password").is_not_null() & ~pl.col("bad")).drop("bad")

    def _link_agents(self, rows: Rows) -> None:
        """Hand over who names whom as agent. Ids are compared by their hashes, as those of links are."""
        column, opened_table = "agentSourcedIds", self._table("users")
        if column not in opened_table.columns:
            nobody = pl.DataFrame(schema={"row": pl.UInt32, "user": pl.UInt32, "agent": pl.UInt32})
            self._acceptance.agents(nobody, unread=None)
            return
        named = rows.frame.select("row", "sourcedId", column).drop_nulls(column)
        same = opened_table.same
        # Who named only people who were not there is not in the last roster: these lines have to be read again.
        unheard = self._previous.agents.is_empty()
        if unheard and same.height:
            again = opened_table.whole.select("row", "sourcedId", column).drop_nulls(column)
            again = again.join(same.lazy().select("row"), on="row", how="semi")
            named = pl.concat([named, again.collect(engine="streaming")])
            same = same.clear()
        numbers, seed = _by_hash(self._acceptance.numbers("users"))
        people = numbers.lazy()
        pairs = (
            named.lazy()
            .select("row", _user=pl.col("sourcedId").hash(seed), agent=listed(column))
            .explode("agent", empty_as_null=False)
            .select("row", "_user", _agent=pl.col("agent").hash(seed))
            .join(people.rename({"n": "user"}), left_on="_user", right_on="hash", how="left")
            .join(people.rename({"n": "agent"}), left_on="_agent", right_on="hash", how="left")
            .select("row", "user", "agent")
            .collect(engine=engine(max(named.height, numbers.height)))
        )
        lost, found = self._acceptance.agents(pairs, unread=same)
        if unheard and lost.height and not found:
            self._findings.append(Findings.one(Rule.AGENTS_ABSENT, file=rows.file, field=column))
            return
        ids = self._acceptance.numbers("users")["id"]
        lost = lost.select("row", id=ids[lost["n"]])
        self._findings.append(Findings.of(Rule.AGENT, lost, file=rows.file, field=column))

    # Version 1.1: one role per record of a person

    def _read_roles_of_users(self, rows: Rows) -> None:
        rows.need("role", "orgSourcedIds")
        words = {**{role.lower(): role.value for role in SchoolRole if role is not SchoolRole.OTHER}}
        rows.set(role=pl.col("role").str.replace("(?i)^administrator$", SchoolRole.SITE_ADMINISTRATOR))
        rows.choose("role", words.values())
        rows.set(
            role=pl.when(pl.col("role").str.starts_with(layout.EXTENSION))
            .then(pl.lit(SchoolRole.OTHER.value))
            .otherwise("role")
            .cast(SCHEMAS["roles"]["role"], strict=False)
        )
        rows.lists("orgSourcedIds", to="orgs")

    def _link_roles_of_users(self, rows: Rows) -> None:
        users = self._acceptance.numbers("users")
        accepted = self._acceptance.accepted("users")
        people = rows.frame.select("row", "id", "role", "orgs", "bad").join(
            users.rename({"n": "user"}), on="id", how="left"
        )
        people = people.join(accepted, left_on="user", right_on="n", how="semi").unique("user")
        links = people.explode("orgs").join(
            self._acceptance.numbers("orgs").rename({"id": "orgs", "n": "org"}), on="orgs", how="left"
        )
        frame = links.select("row", "id", "user", "org", "role", "bad").with_columns(
            primary=pl.lit(value=True), begin=pl.lit(None, dtype=pl.Date), end=pl.lit(None, dtype=pl.Date)
        )
        dangling = self._acceptance.links("roles", frame, frozen=False)
        dangling = dangling.join(frame.select("row", "id").unique("row"), on="row", how="left")
        self._findings.append(Findings.of(Rule.DANGLING, dangling, file=rows.file, field="orgSourcedIds"))

    # Roles and enrollments: many rows, no text

    def _read_links(self, table: str, *, words: type[StrEnum], primary: str, primary_words: tuple[str, ...]) -> None:
        sheet, opened_table = SHEETS[table], self._table(table)
        lacking = [name for name in sheet.read if name not in opened_table.columns]
        same, again = self._same_links(table)
        scan = opened_table.scan
        if again.len():
            scan = pl.concat([scan, opened_table.whole.join(again.to_frame().lazy(), on="row", how="semi")])
        scan = scan.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in lacking)
        flaws = link_flaws(primary, required=primary in sheet.required)
        # Most exports are written as the standard says, which costs least to read; only the others need good will.
        values = link_values(words, primary, primary_words[:2], exact=True)
        all_same = again.is_empty() and opened_table.same.height == opened_table.rows
        odd = {"odd": pl.any_horizontal(flaws.values())}
        frame = self._join_ends(table, scan.with_columns(**values), odd, empty=all_same)
        careful = bool(frame["odd"].any())
        if careful:
            values = link_values(words, primary, primary_words, exact=False)
            frame = self._join_ends(table, scan.with_columns(**values), flaws | link_respelt(primary, primary_words))
        rows = Rows(file=sheet.file, frame=frame.with_columns(bad=pl.lit(value=False)), findings=[])
        if careful:
            for flag, name in (("stamped", "dateLastModified"), ("stated", "status")):
                if frame[flag].any():
                    self._judge_state(frame.filter(flag), name, file=sheet.file)
            self._set_odd_ids_aside(table, rows)
        self._judge_repeated_ids(table, rows)
        if rows.frame.is_empty() and same.is_empty() and not opened_table.malformed:
            raise refuse(Rule.NO_ROWS, file=sheet.file)
        self._ids[table] = pl.concat(
            [opened_table.same.select("row", "id"), rows.frame.select("row", id=id_hash(pl.col("hash")))]
        )
        if careful:
            flag_link(rows, primary)
        rows.flag(Rule.END_BEFORE_BEGIN, pl.col("end") < pl.col("begin"), field="endDate")
        rows.flag(Rule.SCHOOL_DIFFERS, pl.col("elsewhere"), field="schoolSourcedId")
        ours = {"beginDate": "begin", "endDate": "end", primary: "primary"}
        absent = {ours[theirs] for theirs in ours.keys() - opened_table.columns if self._was_read(theirs)}
        frame = pl.concat([same, rows.frame.select(same.columns)])
        dangling = self._acceptance.links(table, frame, frozen=opened_table.malformed, absent=absent)
        for (field,), loose in dangling.group_by("field") if dangling.height else ():
            rows.findings.append(Findings.of(Rule.DANGLING, loose, file=sheet.file, field=str(field)))
        self._findings.append(self._with_ids(table, Findings.join(rows.findings)))

    def _same_links(self, table: str) -> tuple[pl.DataFrame, pl.Series]:
        """The links that the same lines said last time, and the rows of those lines that are to be read nevertheless.

        Columns: those of the roster with numbers of both ends, row and bad. In the order of the roster.
        """
        same = self._table(table).same
        links = _unchanged(self._acceptance.links_before(table), same)
        again = same["row"].clear()
        if table == "enrollments" and same.height:
            elsewhere = links["class"].is_in(self._acceptance.classes_elsewhere().implode())
            links, again = links.filter(~elsewhere), links["row"].filter(elsewhere)
        return links, again

    def _join_ends(
        self, table: str, scan: pl.LazyFrame, flags: Mapping[str, pl.Expr], *, empty: bool = False
    ) -> pl.DataFrame:
        """The streaming query: row, hash of the source id, values, `flags`, numbers of both ends, elsewhere.

        `empty`: `scan` has no rows, so that nothing is looked up.

        Ids of ends are compared by their hashes, in a third of the time; no two known ids have the same (`_by_hash`).
        A join copies what it passes on, so texts do not get that far. Rows come in no order.
        """
        theirs, elsewhere = pl.lit(None), pl.lit(value=False)
        ends = {
            column: self._acceptance.numbers(target).rename({"n": column}).filter(not empty)
            for column, target in REFERENCES[table].items()
        }
        if table == "enrollments":
            school = pl.col("class_school")
            known = self._acceptance.schools_of_classes().with_columns(
                pl.when(school.is_not_null()).then(school.hash())
            )
            ends["class"] = ends["class"].join(known, on="class", how="left")
            theirs = pl.col("schoolSourcedId").hash()
            elsewhere = (pl.col("_theirs") != school).fill_null(value=False)
        hashed = {column: _by_hash(ids) for column, ids in ends.items()}
        query = scan.select(
            "row",
            "begin",
            "end",
            role="_role",
            primary="_primary",
            hash=pl.col("sourcedId").hash(),
            _theirs=theirs,
            **{f"_{column}": pl.col(f"{column}SourcedId").hash(seed) for column, (_, seed) in hashed.items()},
            **flags,
        )
        for column, (numbers, _) in hashed.items():
            query = query.join(numbers.lazy(), left_on=f"_{column}", right_on="hash", how="left").drop(f"_{column}")
        query = query.with_columns(elsewhere=elsewhere)
        query = query.drop("_theirs", "class_school", strict=False)
        return query.collect(engine=engine(self._table(table).rows))

    def _set_odd_ids_aside(self, table: str, rows: Rows) -> None:
        """Rows of links without a usable id: nobody can say which link is meant."""
        odd = rows.frame.filter("odd_id").select("row")
        if odd.height:
            text = self._again(table, odd, "sourcedId")
            usable, lost = self._judge_ids(text, table, SHEETS[table])
            skipped = odd.join(usable, on="row", how="anti").join(lost, on="row", how="anti")
            rows.frame = rows.frame.join(skipped, on="row", how="anti")
            rows.set(bad=pl.col("row").is_in(lost["row"].implode()))

    def _judge_repeated_ids(self, table: str, rows: Rows) -> None:
        if rows.frame["hash"].n_unique() == rows.frame.height:
            return
        text = self._again(table, rows.frame.filter(pl.col("hash").is_duplicated()))
        text = text.filter(pl.col("sourcedId").is_not_null() & pl.col("sourcedId").is_duplicated())
        contents = [name for name in text.columns if name != "row"]
        versions = text.unique(contents).group_by("sourcedId").len().filter(pl.col("len") > 1)
        torn = text.join(versions, on="sourcedId", how="semi")
        first = text.sort("row").unique("sourcedId", keep="first")
        again = text.join(torn, on="row", how="anti").join(first, on="row", how="anti")
        rows.findings.append(Findings.of(Rule.ID_TWICE, torn, file=rows.file, field="sourcedId"))
        rows.findings.append(Findings.of(Rule.ROW_REPEATED, again, file=rows.file))
        rows.frame = rows.frame.join(again.select("row"), on="row", how="anti")
        rows.set(bad=pl.col("bad") | pl.col("row").is_in(torn["row"].implode()))

    def _with_ids(self, table: str, findings: Findings) -> Findings:
        """The findings with the source ids of their rows, from a second look at these rows only."""
        if findings.frame.is_empty():
            return findings
        ids = self._again(table, findings.frame.select("row").unique(), "sourcedId")
        ids = ids.select("row", id=pl.when(~impossible(pl.col("sourcedId"))).then("sourcedId"))
        return Findings(findings.frame.drop("id").join(ids, on="row", how="left").select(SCHEMA.names()))


def _unchanged(before: pl.DataFrame, same: pl.DataFrame) -> pl.DataFrame:
    """The records of the lines `same`, in the order and with the values that they had, and row and bad."""
    rows = before.with_columns(row=_rows_before(before, same), bad=pl.lit(value=False))
    return rows if same.height == before.height else rows.filter(pl.col("row").is_not_null())


def _together(before: pl.DataFrame, same: pl.DataFrame, read: pl.DataFrame) -> tuple[pl.DataFrame, bool]:
    """The records of the lines `same` with those that were `read`, and whether they are those of `before`, in order."""
    row = _rows_before(before, same)
    others = row.is_null().arg_true()
    if others.len() == read.height:
        read = read.sort("id")
        if read.select(before.columns).equals(before[others]):
            bad = repeated(value=False, n=before.height, dtype=pl.Boolean).scatter(others, read["bad"])
            return before.with_columns(row=row.scatter(others, read["row"]), bad=bad), True
    return pl.concat([_unchanged(before, same), read]), False


def _rows_before(before: pl.DataFrame, same: pl.DataFrame) -> pl.Series:
    """For each record its row in the file, null where its line is not among `same`."""
    return repeated(None, before.height, dtype=pl.UInt32).scatter(same["at"], same["row"])


def _by_hash(numbers: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """`numbers` with the hash of each id in its place, and a seed with which no two of them have the same hash."""
    for seed in count():
        hashed = numbers.select(pl.col("id").hash(seed).alias("hash"), pl.exclude("id"))
        if hashed["hash"].n_unique() == hashed.height:
            return hashed, seed
    raise AssertionError("there is always another seed")


def _credentials(roster: Roster, passwords: pl.DataFrame) -> pl.DataFrame:
    """Passwords of the people who have a role other than student."""
    staff = roster.roles.filter(pl.col("role") != SchoolRole.STUDENT).select(pl.col("user").unique())
    ids = staff.select(user=roster.users["id"][staff["user"]])
    return passwords.join(ids, on="user", how="semi").cast(CREDENTIALS)


def read_manifest(path: Path) -> dict[str, str]:
    """Property names (lower case) and values. Raises ExportInvalidError when it is no list of these."""
    file = "manifest.csv"
    if path.stat().st_size > _LONGEST_MANIFEST:
        raise refuse(Rule.MANIFEST_BROKEN, file=file)
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines(), strict=True))
    except UnicodeDecodeError as error:
        raise refuse(Rule.ENCODING, file=file) from error
    except csv.Error as error:
        raise refuse(Rule.MANIFEST_BROKEN, file=file) from error
    cells = [[cell.strip() for cell in row] for row in rows if any(row)]
    if not cells or [cell.lower() for cell in cells[0][:2]] != ["propertyname", "value"]:
        raise refuse(Rule.MANIFEST_BROKEN, file=file, row=1)
    properties: dict[str, str] = {}
    for number, row in enumerate(cells[1:], start=2):
        name = row[0].lower()
        value = row[1] if len(row) > 1 else ""
        if properties.setdefault(name, value) != value:
            raise refuse(Rule.MANIFEST_BROKEN, file=file, row=number)
    return properties

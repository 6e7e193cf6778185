"""Supplements: small OneRoster CSV packages beside the source, and what of them comes into the roster.

::

    package --read_supplement--> Version (text that is whole and has ids) --+
    source's snapshot ------------------------------------------------------+--supplemented--> snapshot of all
    rows of earlier versions that counted --(where a new one is invalid)----+
    rows that count, of now or before --lessons_in--> remote lessons, which are part of no roster

The source wins, then the first supplement of the list. A row that is invalid counts as it did when it last counted, if
all that it refers to is there: a supplement keeps nothing of the source alive (safety row 12). A package in which
something is missing, or rows cannot be told, is not taken at all. Neighbours: `rows` (words to values),
`homeroom.roster.supplement` (putting the tables together), `homeroom.reconcile.supplements` (when, and what is stored).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import polars as pl

from homeroom.api.district import Allow
from homeroom.chats.calls import LONGEST, LONGEST_TITLE
from homeroom.chats.identity import plain
from homeroom.plan import MOMENT
from homeroom.roster.accept import INPUT, REFERENCES
from homeroom.roster.digest import digest
from homeroom.roster.findings import Findings, Rule, Severity
from homeroom.roster.shared import DISTRICT_ADMINISTRATORS, SCHOOL_ADMINISTRATORS
from homeroom.roster.supplement import ACCOUNTS, with_records
from homeroom.roster.tables import FAMILY, ClassRole, Roster, SchoolRole
from homeroom.sources import layout
from homeroom.sources.base import Snapshot, refusal
from homeroom.sources.layout import SHEETS, Sheet
from homeroom.sources.oneroster import read_manifest
from homeroom.sources.package import Limits, opened, refuse
from homeroom.sources.rows import (
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
    truth,
)
from homeroom.sources.text import read_table

LIMITS: Final = Limits(download=64 << 20, unpacked=256 << 20, ratio_floor=256 << 20, members=200)
"""What a supplement may be at most: all of it is held in memory, and in a row of the store."""

_LINKS: Final = "links"
_LESSONS: Final = "lessons"
_USERS: Final = SHEETS["users"]
_SHEETS: Final[dict[str, Sheet]] = {
    "courses": SHEETS["courses"],
    "classes": SHEETS["classes"],
    "users": replace(_USERS, optional=tuple(name for name in _USERS.optional if name != "password")),
    "roles": SHEETS["roles"],
    "enrollments": SHEETS["enrollments"],
    _LINKS: Sheet(file="links.csv", required=("userSourcedId", "userIds")),
    _LESSONS: Sheet(
        file="lessons.csv",
        required=("sourcedId", "classSourcedId", "startTime", "endTime"),
        optional=("title", "dateLastModified"),
    ),
}
"""The files of a supplement, referred-to tables first. Two are ours: `links.csv`, whose ids in other systems are whose,
and `lessons.csv`, remote lessons. `dateLastModified` of these is when one was published; elsewhere it is not read."""

_ROW: Final = pl.UInt32
ROWS: Final = pl.Schema(
    {
        "table": pl.String(),
        "row": _ROW(),
        **{name: pl.String() for sheet in _SHEETS.values() for name in (*sheet.required, *sheet.optional)},
    }
)
"""The text of all files: name of the table, line in the file, every column. Empty text: nothing is given; null: the
file has no such column."""

_FAMILY: Final = frozenset(role.lower() for role in FAMILY)
_LEADS: Final = frozenset(
    role.lower() for role in (*SCHOOL_ADMINISTRATORS, *DISTRICT_ADMINISTRATORS, ClassRole.ADMINISTRATOR)
)
_WORDS: Final[dict[str, type[SchoolRole | ClassRole]]] = {"roles": SchoolRole, "enrollments": ClassRole}
_PRIMARY: Final = {
    "roles": ("roleType", layout.PRIMARY_OR_NOT),
    "enrollments": ("primary", layout.TRUE_AND_FALSE),
}
_ALLOWED_BY: Final = {
    "courses": Allow.CLASSES,
    "classes": Allow.CLASSES,
    _LINKS: Allow.LINKS,
    _LESSONS: Allow.LESSONS,
}
"""Files that one word allows, or forbids, wholly."""
_ENDS: Final = {"roles": ("user", "org"), "enrollments": ("user", "class")}

_TIME: Final = r"^((?:19|20|21)\d\d-\d\d-\d\dT\d\d:\d\d)(:\d\d)?(?:\.\d+)?(Z|[+-]\d\d:\d\d)$"
LESSONS: Final = pl.Schema(
    {
        "key": pl.String(),
        "section": pl.String(),
        "begins": MOMENT,
        "ends": MOMENT,
        "title": pl.String(),
        "published": MOMENT,
    }
)
"""Lessons as a supplement says them. `key`: the sourcedId. `section`: the class by its sourcedId. `title`: may be
empty. `published`: null if not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One complete reading of a supplement. `rows`: columns `ROWS`. `findings` about the package, not the records."""

    digest: str
    rows: pl.DataFrame
    findings: Findings

    def of(self, table: str) -> pl.DataFrame:
        """The rows of one file, as `ROWS`."""
        return self.rows.filter(pl.col("table") == table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplement:
    """A supplement on its way into the roster. `last`: columns `ROWS`, of each row that counted its last valid text."""

    name: str
    allow: frozenset[Allow]
    version: Version
    last: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ROWS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What became of a supplement. `last` for the next time; `counts`: records that count, by what they are."""

    name: str
    last: pl.DataFrame
    counts: dict[str, int]
    findings: Findings


def read_supplement(path: Path, *, previous: Version | None, scratch: Path | None, limits: Limits = LIMITS) -> Version:
    """Read the package (a folder or zip archive) at `path`.

    A column that it has no more keeps its last values; a file that it has no more has to be `absent` in its manifest.
    Raises ExportInvalidError or ExportIncompleteError: then nothing of it counts, and the findings say why.
    """
    wanted = {name.lower(): name for name in (*layout.FILES, _LINKS, _LESSONS)}
    with (
        TemporaryDirectory(dir=scratch, prefix="supplement-") as work,
        opened(path, wanted=wanted, limits=limits, scratch=Path(work)) as package,
    ):
        if set(package.files) == {"manifest"}:
            if previous is None:
                raise refuse(Rule.ONLY_MANIFEST)
            return previous
        manifest = package.files.get("manifest")
        promised = read_manifest(manifest) if manifest is not None else {}
        findings = [package.findings, *_strangers(package.files)]
        frames = []
        for table, sheet in _SHEETS.items():
            file = sheet.file.removesuffix(".csv").lower()
            word = promised.get(f"file.{file}", "absent").lower()
            if word == "delta":
                raise refuse(Rule.DELTA, file=sheet.file)
            before = previous.of(table) if previous is not None else pl.DataFrame(schema=ROWS)
            if file not in package.files:
                if word == "bulk":
                    raise refuse(Rule.FILE_PROMISED, file=sheet.file)
                if before.height and f"file.{file}" not in promised:
                    raise refuse(Rule.SUPPLEMENT_FILE, file=sheet.file)
                continue
            frame, found = _text(package.files[file], sheet, before, scratch=Path(work))
            findings += found
            frames.append(frame.with_columns(table=pl.lit(table)))
    rows = pl.concat([pl.DataFrame(schema=ROWS), *frames], how="diagonal").select(ROWS.names()).cast(ROWS)
    return Version(digest=digest([("rows", rows)]), rows=rows, findings=Findings.join(findings))


def _strangers(files: Collection[str]) -> list[Findings]:
    """Files that no supplement can have: of schools and sessions the source alone decides."""
    known = {"manifest", *(sheet.file.removesuffix(".csv").lower() for sheet in _SHEETS.values())}
    names = {name.lower(): name for name in layout.FILES}
    return [Findings.one(Rule.SUPPLEMENT_KIND, file=f"{names[name]}.csv") for name in files if name not in known]


def _text(path: Path, sheet: Sheet, before: pl.DataFrame, *, scratch: Path) -> tuple[pl.DataFrame, list[Findings]]:
    """The rows of one file with ids, as `ROWS`, and findings about the file."""
    table = read_table(path, file=sheet.file, columns=sheet.known, scratch=scratch)
    lacking = [name for name in sheet.required if name not in table.columns]
    if lacking:
        raise refusal(
            Findings.join([Findings.one(Rule.COLUMN_REQUIRED, file=sheet.file, field=name) for name in lacking])
        )
    named = [name for name in dict.fromkeys(sheet.read) if name in table.columns]
    frame = table.scan.select("row", *named).collect(engine="streaming")
    findings = [table.findings]
    empty = pl.all_horizontal(pl.exclude("row").is_null())
    findings.append(Findings.of(Rule.ROW_EMPTY, frame.filter(empty), file=sheet.file, first_only=True))
    frame = frame.filter(~empty)
    if "status" in frame.columns and frame["status"].null_count() < frame.height:
        row = frame.filter(pl.col("status").is_not_null())["row"][0]
        raise refuse(Rule.DELTA_ROWS, file=sheet.file, row=row, field="status")
    key = sheet.required[0]
    lost = frame.filter(impossible(pl.col(key)).fill_null(value=True))
    if table.malformed or lost.height:
        odd = table.findings.frame.filter(pl.col("rule") == Rule.ROW_MALFORMED.value)["row"]
        rows = pl.concat([lost["row"], odd])
        raise refusal(Findings.of(Rule.SUPPLEMENT_ROWS, rows.alias("row").to_frame(), file=sheet.file, first_only=True))
    unread = [name for name in layout.STATE if name not in sheet.optional]
    frame = frame.drop(unread, strict=False).with_columns(pl.exclude("row").fill_null(""))
    for name in sheet.optional:
        known = before.select(key, name).drop_nulls().unique(key, keep="first") if before.height else before
        if name not in frame.columns and known.height:
            frame = frame.join(known, on=key, how="left", maintain_order="left")
            findings.append(Findings.one(Rule.COLUMN_ABSENT, file=sheet.file, field=name))
    return frame, findings


def lessons_in(last: pl.DataFrame) -> pl.DataFrame:
    """The lessons among the rows that count (columns `ROWS`): columns `LESSONS`."""
    return last.filter(pl.col("table") == _LESSONS).select(
        key=pl.col("sourcedId"),
        section=pl.col("classSourcedId"),
        begins=_moment("startTime"),
        ends=_moment("endTime"),
        title=plain(pl.col("title").fill_null("")).str.head(LONGEST_TITLE),
        published=_moment("dateLastModified"),
    )


def _moment(field: str) -> pl.Expr:
    """A time with its offset, to the second; else null."""
    parts = pl.col(field).str.extract_groups(_TIME).struct
    offset = parts["3"].replace("Z", "+00:00")
    text = pl.concat_str(parts["1"], parts["2"].fill_null(":00"), offset)
    return text.str.to_datetime("%Y-%m-%dT%H:%M:%S%z", time_unit="us", time_zone="UTC", strict=False)


def supplemented(snapshot: Snapshot, supplements: Sequence[Supplement]) -> tuple[Snapshot, tuple[Counted, ...]]:
    """The source's snapshot with what its supplements add; findings name theirs as `<name>/<file>`."""
    merging = _Merging(snapshot.roster)
    counted = tuple(merging.add(one) for one in supplements)
    roster = snapshot.roster
    if any(frame.height for frame in (*merging.extra.values(), merging.accounts)):
        roster = with_records(roster, merging.extra, merging.accounts)
    # What was said of supplements when this snapshot was stored is said anew.
    own = snapshot.findings.frame.filter(~pl.col("file").str.contains("/", literal=True).fill_null(value=False))
    findings = Findings.join([Findings(own), *(each.findings for each in counted)])
    counts = {**snapshot.counts, **roster.counts(), "quarantined": findings.counts()[Severity.RECORD]}
    found = digest(roster.tables()) if roster is not snapshot.roster else snapshot.digest
    return replace(snapshot, digest=found, roster=roster, findings=findings, counts=counts), counted


class _Merging:
    """The supplements of one roster, one after the other."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._ids = {table: frame["id"] for table, frame in roster.tables() if "id" in frame.columns}
        self.extra = {table: pl.DataFrame(schema=schema) for table, schema in INPUT.items()}
        self.accounts = pl.DataFrame(schema=ACCOUNTS)

    def add(self, supplement: Supplement) -> Counted:
        """Take what of a supplement counts."""
        findings = [supplement.version.findings]
        before = {table: frame.height for table, frame in self.extra.items()}
        linked = self.accounts.height
        said = self._said(supplement)
        last, lessons = [pl.DataFrame(schema=ROWS)], 0
        for table in _SHEETS:
            texts = supplement.version.of(table)
            if texts.is_empty():
                continue
            judged = _Judging(self, supplement, said).of(table, texts)
            findings += judged.findings
            invalid, key = judged.rows.filter("bad")["id"], _SHEETS[table].required[0]
            parts = [(judged, texts)]
            if invalid.len():
                again = supplement.last.filter(pl.col("table") == table, pl.col(key).is_in(invalid.implode()))
                again = again.with_columns(row=pl.int_range(pl.len(), dtype=_ROW))  # they come from several files
                parts.append((_Judging(self, supplement, said, again=True).of(table, again), again))
            for rows, lines in parts:
                good = rows.rows.filter(~pl.col("bad"))
                last.append(lines.join(good.select("row"), on="row", how="semi"))
                if table == _LESSONS:
                    lessons += good.height
                else:
                    self._take(table, good, rows.agents)
        counts = {table: frame.height - before[table] for table, frame in self.extra.items()}
        return Counted(
            name=supplement.name,
            last=pl.concat(last).sort("table", "row", "sourcedId", "userSourcedId"),
            counts={
                "courses": counts["courses"],
                "classes": counts["classes"],
                "people": counts["users"],
                "roles": counts["roles"],
                "enrollments": counts["enrollments"],
                "guardians": counts["agents"],
                "links": self.accounts.height - linked,
                "lessons": lessons,
            },
            findings=of_supplement(supplement.name, Findings.join(findings)),
        )

    def has(self, table: str, ids: pl.Expr) -> pl.Expr:
        """Whether a record of the source, or of a supplement so far, has the id."""
        own = self.extra[table]["id"] if "id" in self.extra[table].columns else pl.Series(dtype=pl.String)
        return (ids.is_in(self._ids[table].implode()) | ids.is_in(own.implode())).fill_null(value=False)

    def accounts_of(self, users: pl.Series) -> pl.DataFrame:
        """[user, type] of the ids in other systems that are known of these people, types in small letters."""
        theirs = [
            frame.select(user=name, item="user_ids").filter(pl.col("user").is_in(users.implode()))
            for frame, name in ((self._roster.users, "id"), (self.extra["users"], "id"), (self.accounts, "user"))
        ]
        items = pl.concat(theirs).explode("item", empty_as_null=False, keep_nulls=False)
        return items.select("user", type=_type("item")).unique()

    def _said(self, supplement: Supplement) -> dict[str, pl.DataFrame]:
        """What is said already of the people whom links of the supplement name: roles and enrollments by source ids."""
        named = supplement.version.rows.filter(pl.col("table").is_in([*_ENDS]))["userSourcedId"]
        named = pl.concat([named, supplement.last["userSourcedId"]]).drop_nulls().unique()
        users = self._roster.users["id"]
        rows = users.is_in(named.implode()).arg_true()
        said = {}
        for table, ends in _ENDS.items():
            frame: pl.DataFrame = getattr(self._roster, table)
            mine = frame.filter(pl.col("user").is_in(rows.implode()))
            columns = {end: self._ids[REFERENCES[table][end]][mine[end]] for end in ends}
            own = self.extra[table].select("role", *ends)
            both = pl.concat([pl.DataFrame({"role": mine["role"], **columns}), own])
            said[table] = both.with_columns(pl.col("role").cast(pl.String))  # the two tables have words of their own
        return said

    def _take(self, table: str, good: pl.DataFrame, agents: pl.DataFrame) -> None:
        if table == _LINKS:
            self.accounts = pl.concat([self.accounts, good.select(ACCOUNTS.names()).cast(ACCOUNTS)])
            return
        schema = INPUT[table]
        both = pl.concat([self.extra[table], good.select(schema.names()).cast(schema)])
        self.extra[table] = both.unique(maintain_order=True) if table in _ENDS else both
        if table == "users":
            self.extra["agents"] = pl.concat([self.extra["agents"], agents])


class _Judging:
    """The rows of a supplement: which count, and what is wrong with the others."""

    def __init__(
        self, merging: _Merging, supplement: Supplement, said: dict[str, pl.DataFrame], *, again: bool = False
    ) -> None:
        self._merging = merging
        self._again = again
        self._allow = supplement.allow
        self._version = supplement.version
        self._said = said
        self.findings: list[Findings] = []
        self.rows = pl.DataFrame()
        self.agents = pl.DataFrame(schema=INPUT["agents"])

    def of(self, table: str, texts: pl.DataFrame) -> _Judging:
        """Judge rows of one table (columns `ROWS`): `rows` has those of `INPUT`, row, id and bad."""
        sheet = _SHEETS[table]
        key = sheet.required[0]
        columns = [*sheet.required, *sheet.optional]
        given = texts.select("row", pl.col(key).alias("id"), *columns)
        given = self._allowed(table, given)
        given = self._once(given, sheet.file)
        if table in INPUT and "id" in INPUT[table].names():
            given = self._drop(given, Rule.SUPPLEMENT_TAKEN, self._merging.has(table, pl.col("id")), sheet.file, key)
        absent = given.select("row", *(pl.col(name).is_null() for name in ("grades", "subjects") if name in columns))
        words = given.with_columns(pl.col(name).replace("", None) for name in columns)
        rows = Rows(file=sheet.file, frame=words.with_columns(bad=pl.lit(value=False)), findings=self.findings)
        rows.flag(Rule.ID_TWICE, pl.col("id").is_duplicated(), field=key)
        match table:
            case "courses":
                read_course(rows)
            case "classes":
                read_class(rows)
            case "users":
                read_user(rows)
            case "links":
                rows.user_ids()
            case "lessons":
                self._read_lesson(rows)
            case _:
                self._read_link(table, rows)
        for name in absent.columns[1:]:  # not given at all is unknown, and no empty list
            rows.set(**{name: pl.when(~absent[name]).then(pl.col(name))})
        self._refer(table, rows)
        rows.frame = self._new(table, rows.frame, sheet.file)
        if table == "users":
            self._name_agents(rows.frame, sheet.file)
        self.rows = rows.frame
        return self

    def _drop(
        self, frame: pl.DataFrame, rule: Rule, where: pl.Expr, file: str, column: str | None = None
    ) -> pl.DataFrame:
        """The rows that do not fulfil `where`; the others are findings."""
        hit = frame.select(where.fill_null(value=False)).to_series()
        if not hit.any():
            return frame
        self.findings.append(Findings.of(rule, frame.filter(hit), file=file, field=column))
        return frame.filter(~hit)

    def _blank(self, frame: pl.DataFrame, where: pl.Expr, file: str, column: str) -> pl.DataFrame:
        """The same rows without a value that `allow` does not name."""
        hit = frame.select((where & (pl.col(column) != "")).fill_null(value=False)).to_series()
        if not hit.any():
            return frame
        self.findings.append(Findings.of(Rule.SUPPLEMENT_KIND, frame.filter(hit), file=file, field=column))
        return frame.with_columns(pl.when(~hit).then(pl.col(column)).alias(column))

    def _allowed(self, table: str, given: pl.DataFrame) -> pl.DataFrame:
        """What `allow` names of it."""
        allow, file, kind = self._allow, _SHEETS[table].file, Rule.SUPPLEMENT_KIND
        every = pl.lit(value=True)
        role = pl.col("role").str.strip_chars().str.to_lowercase() if table in _ENDS else pl.lit("")
        leads = role.is_in(list(_LEADS))
        if table in _ALLOWED_BY:
            return given if _ALLOWED_BY[table] in allow else self._drop(given, kind, every, file)
        match table:
            case "users":
                if Allow.USERS not in allow:
                    nobody = every if Allow.GUARDIANS not in allow else ~pl.col("id").is_in(self._family().implode())
                    given = self._drop(given, kind, nobody, file)
                if Allow.GUARDIANS not in allow:
                    given = self._blank(given, every, file, "agentSourcedIds")
                return given if Allow.LINKS in allow else self._blank(given, every, file, "userIds")
            case "roles":
                family = role.is_in(list(_FAMILY))
                wrong = family if Allow.GUARDIANS not in allow else pl.lit(value=False)
                wrong |= leads if Allow.ADMINS not in allow else pl.lit(value=False)
                wrong |= ~family & ~leads if Allow.USERS not in allow else pl.lit(value=False)
                return self._drop(given, kind, wrong, file, "role")
            case _:
                if Allow.ENROLLMENTS not in allow:
                    return self._drop(given, kind, every, file)
                if Allow.USERS not in allow:  # who came as a guardian is nothing else
                    own = self._version.of("users")["sourcedId"]
                    given = self._drop(given, kind, pl.col("userSourcedId").is_in(own.implode()), file, "userSourcedId")
                if Allow.ADMINS in allow:
                    return given
                given = self._drop(given, kind, leads, file, "role")
                first = truth("primary", layout.TRUE_AND_FALSE, exact=False) & (role == ClassRole.TEACHER)
                return self._blank(given, first, file, "primary")

    def _family(self) -> pl.Series:
        """Ids of those to whom the supplement gives a role of a guardian."""
        roles = self._version.of("roles")
        word = pl.col("role").str.strip_chars().str.to_lowercase()
        return roles.filter(word.is_in(list(_FAMILY)))["userSourcedId"].unique()

    def _once(self, given: pl.DataFrame, file: str) -> pl.DataFrame:
        """Equal rows with one id count once."""
        first = given.unique(pl.exclude("row"), keep="first", maintain_order=True)
        if first.height < given.height:
            again = given.join(first.select("row"), on="row", how="anti")
            self.findings.append(Findings.of(Rule.ROW_REPEATED, again, file=file))
        return first

    def _read_link(self, table: str, rows: Rows) -> None:
        primary, words = _PRIMARY[table]
        rows.frame = optional(rows.frame, ["status", "dateLastModified"])
        rows.set(**link_values(_WORDS[table], primary, words, exact=False))
        rows.set(**link_flaws(primary, required=table == "roles"), **link_respelt(primary, words))
        flag_link(rows, primary)
        rows.flag(Rule.END_BEFORE_BEGIN, pl.col("end") < pl.col("begin"), field="endDate")
        ends = {end: pl.col(f"{end}SourcedId") for end in _ENDS[table]}
        rows.set(role=pl.col("_role"), primary=pl.col("_primary"), **ends)

    @staticmethod
    def _read_lesson(rows: Rows) -> None:
        rows.need("classSourcedId")
        rows.set(begins=_moment("startTime"), ends=_moment("endTime"))
        rows.flag(Rule.LESSON_TIME, pl.col("begins").is_null(), field="startTime")
        rows.flag(Rule.LESSON_TIME, pl.col("ends").is_null(), field="endTime")
        length = pl.col("ends") - pl.col("begins")
        rows.flag(Rule.LESSON_LENGTH, (length <= timedelta()) | (length > LONGEST), field="endTime")

    def _refer(self, table: str, rows: Rows) -> None:
        """Set rows aside whose references do not hold."""
        if table == _LINKS:
            rows.set(user=pl.col("userSourcedId"))
            rows.flag(Rule.DANGLING, ~self._merging.has("users", pl.col("user")), field="userSourcedId")
            return
        if table == _LESSONS:
            # What counted stays: its class may be served still, as its loss is held, and who uses lessons looks there.
            given = pl.col("classSourcedId").is_not_null() & pl.lit(not self._again)
            there = self._merging.has("classes", pl.col("classSourcedId"))
            rows.flag(Rule.DANGLING, given & ~there, field="classSourcedId")
            return
        for column, target in REFERENCES[table].items():
            if column == "terms":
                several = rows.frame.select("row", "terms").explode("terms", empty_as_null=False)
                lost = several.filter(~self._merging.has(target, pl.col("terms")))["row"]
                rows.flag(Rule.DANGLING, pl.col("row").is_in(lost.implode()), field="termSourcedIds")
                continue
            given = pl.col(column).is_not_null()
            rows.flag(Rule.DANGLING, given & ~self._merging.has(target, pl.col(column)), field=f"{column}SourcedId")
            rows.flag(Rule.VALUE_MISSING, ~given & ~pl.col("bad"), field=f"{column}SourcedId")

    def _new(self, table: str, frame: pl.DataFrame, file: str) -> pl.DataFrame:
        """Without what is said already, and without who would become a student by it."""
        if table == _LINKS:
            types = frame.select("row", "id", "user", "user_ids").explode("user_ids", empty_as_null=False)
            types = types.with_columns(type=_type("user_ids"))
            known = self._merging.accounts_of(frame["user"].drop_nulls().unique())
            taken = types.join(known, on=["user", "type"], how="semi")
            self.findings.append(Findings.of(Rule.SUPPLEMENT_TAKEN, taken.unique("row"), file=file, field="userIds"))
            left = types.join(known, on=["user", "type"], how="anti").group_by("row").agg(pl.col("user_ids").sort())
            joined = frame.drop("user_ids").join(left, on="row", how="left", maintain_order="left")
            return joined.filter(pl.col("user_ids").is_not_null() | pl.col("bad"))
        if table not in _ENDS:
            return frame
        ends = _ENDS[table]
        link = pl.struct(pl.col("role").cast(pl.String), *ends)
        said = self._said[table].select(link).to_series()
        frame = self._drop(frame, Rule.SUPPLEMENT_TAKEN, ~pl.col("bad") & link.is_in(said.implode()), file)
        roles = pl.concat([each.select("user", "role") for each in self._said.values()])
        students = roles.filter(pl.col("role") == SchoolRole.STUDENT)["user"].unique()
        others = roles.filter(~pl.col("user").is_in(students.implode()))["user"].drop_nulls().unique()
        learns = (pl.col("role").cast(pl.String) == ClassRole.STUDENT) & pl.col("user").is_in(others.implode())
        return self._drop(frame, Rule.SUPPLEMENT_STUDENT, learns, file, "role")

    def _name_agents(self, frame: pl.DataFrame, file: str) -> None:
        """Whom the people that count name as agents, if these are there."""
        named = frame.filter(~pl.col("bad"), pl.col("agentSourcedIds").is_not_null())
        pairs = named.select("row", "id", user="id", agent=listed("agentSourcedIds"))
        pairs = pairs.explode("agent", empty_as_null=False)
        own = frame.filter(~pl.col("bad"))["id"]
        there = self._merging.has("users", pl.col("agent")) | pl.col("agent").is_in(own.implode())
        pairs = pairs.with_columns(holds=there & (pl.col("agent") != pl.col("user")))
        lost = pairs.filter(~pl.col("holds")).unique("row")
        self.findings.append(Findings.of(Rule.AGENT, lost, file=file, field="agentSourcedIds"))
        schema = INPUT["agents"]
        self.agents = pairs.filter("holds").select(schema.names()).unique(maintain_order=True).cast(schema)


def _type(column: str) -> pl.Expr:
    """The type of an item of `userIds`, in small letters."""
    return pl.col(column).str.splitn(":", 2).struct[0].str.to_lowercase()


def of_supplement(name: str, findings: Findings) -> Findings:
    """The findings with the name of the supplement before that of the file."""
    file = pl.when(pl.col("file").is_not_null()).then(pl.format(f"{name}/{{}}", "file")).otherwise(pl.lit(f"{name}/"))
    return Findings(findings.frame.with_columns(file=file))

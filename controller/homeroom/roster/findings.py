"""What can be wrong with an export: the closed catalogue of rules, and findings as a frame.

Three severities, after Microsoft's School Data Sync: a *Run* finding refuses the whole export and the last snapshot
stays; a *Record* finding sets one record aside, which then counts as its last accepted version (see
`homeroom.roster.accept`); a *Value* finding costs one value at most. Findings name file, row, column and source id,
never a person, and never a text from the export other than a source id. `docs/findings.md` shows this catalogue; a test
keeps the two equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

import polars as pl


class Severity(StrEnum):
    """How much a finding costs."""

    RUN = "Run"
    RECORD = "Record"
    VALUE = "Value"


class Rule(StrEnum):
    """One thing that can be wrong: its id, `severity`, `text` (what is wrong) and `todo` (what to do about it).

    `reason` is the word that the condition of the District shows; only Run rules have one.
    """

    severity: Severity
    text: str
    todo: str
    reason: str

    def __new__(cls, value: str, severity: Severity, text: str, todo: str, reason: str = "") -> Self:
        """Make a member that is its id and knows its texts."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.severity = severity
        member.text = text
        member.todo = todo
        member.reason = reason
        return member

    # The whole export is refused because it is not one
    NOT_AN_EXPORT = (
        "or-not-an-export",
        Severity.RUN,
        "this is neither a folder nor a zip archive; a log-in page saved under the name of the export looks like this",
        "open the address in a browser: it has to give a zip archive",
        "SourceInvalid",
    )
    ARCHIVE_BROKEN = (
        "or-archive-broken",
        Severity.RUN,
        "the zip archive is cut off or damaged",
        "have the export made again, and check that it was copied to its end",
        "SourceIncomplete",
    )
    ARCHIVE_LOCKED = (
        "or-archive-locked",
        Severity.RUN,
        "the zip archive is protected by a password",
        "export without a password; protect the way that the file travels instead",
        "SourceInvalid",
    )
    ARCHIVE_METHOD = (
        "or-archive-method",
        Severity.RUN,
        "the zip archive is packed by a method that OneRoster does not allow",
        "pack with the ordinary method (deflate)",
        "SourceInvalid",
    )
    ARCHIVE_PATH = (
        "or-archive-path",
        Severity.RUN,
        "a file of the export points outside of it",
        "have the export made again; if it happens again, find out who changed it",
        "SourceInvalid",
    )
    TOO_LARGE = (
        "or-too-large",
        Severity.RUN,
        "the export, or one line of it, is larger than Homeroom accepts, or suspiciously well packed",
        "check what the export contains; the limits are in the documentation",
        "SourceInvalid",
    )
    CHANGED_MEANWHILE = (
        "or-changed-meanwhile",
        Severity.RUN,
        "the files changed while they were read",
        "nothing: the next run reads them again; write to another folder and rename it when finished, to avoid this",
        "SourceIncomplete",
    )

    # ... because something is missing
    NOTHING_THERE = (
        "or-nothing-there",
        Severity.RUN,
        "the folder or archive holds no OneRoster file",
        "have the export made again; an empty export never means that everybody has left",
        "SourceIncomplete",
    )
    ONLY_MANIFEST = (
        "or-only-manifest",
        Severity.RUN,
        "the export holds the manifest alone, which means no changes, but nothing was read before",
        "have a complete export made",
        "SourceIncomplete",
    )
    FILE_PROMISED = (
        "or-file-promised",
        Severity.RUN,
        "the manifest announces this file, but it is not there",
        "have the export made again",
        "SourceIncomplete",
    )
    FILE_REQUIRED = (
        "or-file-required",
        Severity.RUN,
        "this file is missing, and there is no roster without it",
        "include the file in the export",
        "SourceIncomplete",
    )
    NO_ROWS = (
        "or-no-rows",
        Severity.RUN,
        "the file has a header but no rows, which OneRoster does not allow and which never means that all are gone",
        "have the export made again",
        "SourceIncomplete",
    )
    ROW_CUT = (
        "or-row-cut",
        Severity.RUN,
        "the file ends in the middle of its last row",
        "have the export made again, and check that it was copied to its end",
        "SourceIncomplete",
    )
    QUOTE_OPEN = (
        "or-quote-open",
        Severity.RUN,
        "a quotation mark is opened in this row and never closed",
        "correct the value in the student system, or have the export made again",
        "SourceIncomplete",
    )

    SUPPLEMENT_FILE = (
        "su-file",
        Severity.RUN,
        "the supplement had this file and has it no more, and no manifest says that it is absent",
        "include the file, or a manifest with the word absent for it",
        "SourceIncomplete",
    )
    SUPPLEMENT_ROWS = (
        "su-rows",
        Severity.RUN,
        "rows have too many or too few fields or no usable sourcedId, so nobody can tell what the supplement says",
        "look for a missing or stray comma or quotation mark, and give every record its sourcedId",
        "SourceIncomplete",
    )

    CARDS_EMPTY = (
        "ex-empty",
        Severity.RUN,
        (
            "no class card names anybody, and classes had class teachers: a column that is empty from top to bottom"
            " never means that nobody is one any more"
        ),
        "have the export made again; where it is right, take the column out of the District's `extensions`",
        "SourceIncomplete",
    )

    # ... because it means something else
    DELTA = (
        "or-delta",
        Severity.RUN,
        "the manifest says that the file holds changes only (delta)",
        "switch the export to bulk",
        "DeltaNotSupported",
    )
    DELTA_ROWS = (
        "or-delta-rows",
        Severity.RUN,
        "rows carry a status, hence the file holds changes only (delta), whatever the manifest says",
        "switch the export to bulk; in bulk the column status stays empty",
        "DeltaNotSupported",
    )
    VERSION = (
        "or-version",
        Severity.RUN,
        "the export is not OneRoster 1.1, 1.2 or 1.2.1",
        "choose one of these versions in the student system",
        "SourceInvalid",
    )
    MANIFEST_BROKEN = (
        "or-manifest-broken",
        Severity.RUN,
        "the manifest cannot be read, contradicts itself, or announces a file by a word other than absent, bulk, delta",
        "have the export made again",
        "SourceInvalid",
    )
    FILE_TWICE = (
        "or-file-twice",
        Severity.RUN,
        "the file is there twice, perhaps once inside and once outside of a folder",
        "leave only one of them",
        "SourceInvalid",
    )
    COLUMN_TWICE = (
        "or-column-twice",
        Severity.RUN,
        "the header has the same column twice",
        "leave only one of them",
        "SourceInvalid",
    )
    COLUMN_REQUIRED = (
        "or-column-required",
        Severity.RUN,
        "the header lacks this column, which OneRoster requires",
        "add the column, or correct its name",
        "SourceInvalid",
    )
    COLUMN_DECLARED = (
        "ex-column",
        Severity.RUN,
        "the header lacks this column, which the District declares in `extensions`",
        "add the column, correct its name, or take it out of the District",
        "SourceInvalid",
    )
    ENCODING = (
        "or-encoding",
        Severity.RUN,
        "the file is not text in UTF-8",
        "export in UTF-8; files saved by a spreadsheet program are often in another encoding",
        "SourceInvalid",
    )

    # One record is set aside
    ROW_MALFORMED = (
        "or-row-malformed",
        Severity.RECORD,
        (
            "the row has too many or too few fields, so nobody can tell which record it is; until it is corrected,"
            " no record of this file counts as removed"
        ),
        "look for a missing or stray comma or quotation mark",
    )
    ID_MISSING = (
        "or-id-missing",
        Severity.RECORD,
        (
            "the record has no sourcedId, so nobody can tell which one it is; until it has one, none of those that"
            " it might be counts as removed"
        ),
        "give the record its sourcedId",
    )
    ID_INVALID = (
        "or-id-invalid",
        Severity.RECORD,
        (
            "the sourcedId is longer than 255 characters, or holds a space, comma, quotation mark or control character;"
            " until it is corrected, none of the records that it might be counts as removed"
        ),
        "correct the sourcedId",
    )
    ID_TWICE = (
        "or-id-twice",
        Severity.RECORD,
        "several rows with different contents have this sourcedId, and nobody can tell which one is right",
        "give every record a sourcedId of its own",
    )
    DANGLING = (
        "or-dangling",
        Severity.RECORD,
        "the record refers to something that is not in the export, or was itself set aside",
        "correct the reference, or add what it refers to",
    )
    VALUE_MISSING = (
        "or-value-missing",
        Severity.RECORD,
        "a value that OneRoster requires is empty",
        "fill it in",
    )
    ENUM = (
        "or-enum",
        Severity.RECORD,
        "the value is none of those that OneRoster allows here",
        "choose an allowed value, or one that begins with ext:",
    )
    DATE = (
        "or-date",
        Severity.RECORD,
        "the date cannot be read, and it decides about access",
        "write dates as year-month-day: 2026-09-01",
    )
    END_BEFORE_BEGIN = (
        "or-end-before-begin",
        Severity.RECORD,
        "the end lies before the beginning",
        "correct one of the dates",
    )
    CYCLE = (
        "or-cycle",
        Severity.RECORD,
        "the record is its own parent, directly or by way of others",
        "correct the parent",
    )

    # One value is dropped, or read with good will
    LESSON_TIME = (
        "su-time",
        Severity.RECORD,
        "the time cannot be read, or lacks the offset from UTC",
        "write times like 2026-09-01T08:30:00+02:00, or 2026-09-01T06:30:00Z",
    )
    LESSON_LENGTH = (
        "su-length",
        Severity.RECORD,
        "the lesson does not end after it begins, or lasts longer than twelve hours",
        "correct one of the times",
    )
    SUPPLEMENT_KIND = (
        "su-kind",
        Severity.VALUE,
        "`allow` of the supplement does not name what is said here; it does not count",
        "take it out of the supplement, or add its kind to `allow` in the District",
    )
    SUPPLEMENT_TAKEN = (
        "su-taken",
        Severity.VALUE,
        "the source says this, or a supplement before this one; that counts, and what this one says does not",
        "take it out of the supplement, or correct the source",
    )
    SUPPLEMENT_STUDENT = (
        "su-student",
        Severity.VALUE,
        "the row calls somebody a student who has other roles in the source, and would lose rights by it",
        "correct the person, or let the source say so",
    )
    ROW_REPEATED = (
        "or-row-repeated",
        Severity.VALUE,
        "the same row is there more than once; it counts once",
        "nothing, or remove the repetition",
    )
    ROW_EMPTY = ("or-row-empty", Severity.VALUE, "rows without any value are skipped", "nothing, or remove them")
    LINE_BREAK = (
        "or-line-break",
        Severity.VALUE,
        "a value holds a line break, which became a space",
        "remove the line break",
    )
    ID_CHARACTERS = (
        "or-id-characters",
        Severity.VALUE,
        "the sourcedId has characters that OneRoster does not allow; it is used as it is",
        "nothing; other products may refuse it",
    )
    GRADE = (
        "or-grade",
        Severity.VALUE,
        (
            "the grade is not known; the last known one stays, and where there is none it counts as unknown, which no"
            " Include matches and every Exclude does"
        ),
        "use the grades of OneRoster: PK, TK, KG, 01 to 13, PS, UG, Other",
    )
    SCHOOL_YEAR = (
        "or-school-year",
        Severity.VALUE,
        "the school year is not a year; the last known one stays",
        "give the year in which the school year ends, as four digits",
    )
    PARENT = (
        "or-parent",
        Severity.VALUE,
        "the parent is not in the export, or was itself set aside; the last known one stays",
        "correct the parent, or add it",
    )
    AGENT = (
        "or-agent",
        Severity.VALUE,
        "the record names an agent who is not in the export, was itself set aside, or is the same person; others count",
        "correct the agent, or add the record of the parent or guardian",
    )
    AGENTS_ABSENT = (
        "or-agents-absent",
        Severity.VALUE,
        "records name agents, and none of these is in the export, so nobody is known to be about a student",
        "add the records of parents and guardians, or nothing where no parents' chats are wanted",
    )
    USER_ID = (
        "or-user-id",
        Severity.VALUE,
        "one of the ids of this person in other systems is not written as {type:id}; the others count",
        "write them as {type:id},{type:id}",
    )
    IDENTIFIER_TWICE = (
        "or-identifier-twice",
        Severity.VALUE,
        "several schools have this identifier; a licence for the school unit with this code finds none of them",
        "correct the one that is wrong, or name the school in `spec.school` of the licence",
    )
    SCHOOL_DIFFERS = (
        "or-school-differs",
        Severity.VALUE,
        "the enrollment names another school than its class; the school of the class counts",
        "correct the one that is wrong",
    )
    PRIMARY = (
        "or-primary",
        Severity.VALUE,
        "the value is neither primary nor secondary, true nor false; it counts as not given",
        "correct the value",
    )
    CLASS_TEACHER = (
        "ex-class-teacher",
        Severity.VALUE,
        (
            "the class card names somebody who is not in the export, was itself set aside, is a student, or has no role"
            " as staff; others that it names count, and who was class teacher stays"
        ),
        "correct the card, or add the record or the role of the person",
    )
    ACTING_HEAD = (
        "ex-acting-head",
        Severity.VALUE,
        "the value is neither true nor false; the person stays what they were",
        "write true or false",
    )
    POSITION = (
        "ex-position",
        Severity.VALUE,
        (
            "nobody can tell in which school the position is: the person is a student, has no role as staff, or works"
            " in several schools of which none, or more than one, is primary; the person stays what they were where"
            " they still work"
        ),
        "give the person one primary role, in the school of the position",
    )
    EXTENSION_IDLE = (
        "ex-idle",
        Severity.VALUE,
        "the District declares this column in `extensions`, and no record says anything there that it names",
        "check the column in the export, and the names of positions in the District",
    )
    NAME_MISSING = (
        "or-name-missing",
        Severity.VALUE,
        "the given or the family name is empty; the other one stands alone",
        "nothing for a person with a single name, else fill it in",
    )
    TEXT_LONG = (
        "or-text-long",
        Severity.VALUE,
        "the text is longer than 255 characters; the rest is cut off",
        "shorten it",
    )
    SUBJECT_CODES = (
        "or-subject-codes",
        Severity.VALUE,
        "subjects and subjectCodes differ in number; the subjects count",
        "give one code per subject",
    )
    SPELLING = (
        "or-spelling",
        Severity.VALUE,
        (
            "a value is spelt otherwise than OneRoster wants (letter case, 1 for true); its meaning is certain, so it"
            " counts. Reported once per column, with the first row"
        ),
        "nothing; other products may refuse it",
    )
    STAMPED = (
        "or-stamped",
        Severity.VALUE,
        (
            "rows carry dateLastModified without status, which a bulk export must not; it is not read."
            " Reported once per file, with the first row"
        ),
        "nothing",
    )
    COLUMN_ABSENT = (
        "or-column-absent",
        Severity.VALUE,
        "the header lacks this column; the last known values stay, and where there are none they count as unknown",
        "add the column, or correct its name",
    )
    COLUMN_UNKNOWN = (
        "or-column-unknown",
        Severity.VALUE,
        "the header has columns that OneRoster does not know; they are not read",
        "check the header for a misspelt name",
    )
    HEADER_SPELLING = (
        "or-header-spelling",
        Severity.VALUE,
        "the file name, the header or the separator differs from OneRoster's; the meaning is certain, so it counts",
        "nothing; other products may refuse it",
    )
    MANIFEST_ABSENT = (
        "or-manifest-absent",
        Severity.VALUE,
        "there is no manifest; the version is told by the files",
        "include manifest.csv: without it nobody can prove that no file is missing",
    )
    MANIFEST_DIFFERS = (
        "or-manifest-differs",
        Severity.VALUE,
        "the file is there, although the manifest does not announce it; it is read",
        "announce it in the manifest",
    )
    IN_FOLDER = (
        "or-in-folder",
        Severity.VALUE,
        "the files lie in a folder of the archive",
        "nothing; other products may refuse it",
    )


RULES: Final[dict[str, Rule]] = {rule.value: rule for rule in Rule}
"""Rules by id."""

_IDS: Final[pl.DataType] = pl.Enum(list(RULES))
SCHEMA: Final = pl.Schema(
    {"rule": _IDS, "file": pl.String(), "row": pl.UInt32(), "field": pl.String(), "id": pl.String()}
)
_NOTHING: Final = pl.DataFrame(schema=SCHEMA)


@dataclass(frozen=True, slots=True)
class Findings:
    """Findings of one reading. Columns of `frame`: `SCHEMA`; row is the line in the file (the header is line 1).

    `file` is a OneRoster name without path, `field` a column of OneRoster, `id` the record's sourcedId; each may be
    null.
    """

    frame: pl.DataFrame

    @classmethod
    def none(cls) -> Self:
        """Nothing was found."""
        return cls(_NOTHING)

    @classmethod
    def one(cls, rule: Rule, *, file: str | None = None, row: int | None = None, field: str | None = None) -> Self:
        """A single finding."""
        return cls(pl.DataFrame([(rule.value, file, row, field, None)], schema=SCHEMA, orient="row"))

    @classmethod
    def of(
        cls, rule: Rule, rows: pl.DataFrame, *, file: str, field: str | None = None, first_only: bool = False
    ) -> Self:
        """One finding per row of `rows` (columns row and, where known, id), or only for the first of them."""
        if rows.is_empty():
            return cls.none()
        if first_only:
            rows = rows.sort("row").head(1)
        identity = pl.col("id") if "id" in rows.columns else pl.lit(None, dtype=pl.String).alias("id")
        return cls(
            rows.select(
                pl.lit(rule.value, dtype=SCHEMA["rule"]).alias("rule"),
                pl.lit(file).alias("file"),
                pl.col("row").cast(pl.UInt32),
                pl.lit(field, dtype=pl.String).alias("field"),
                identity,
            )
        )

    @classmethod
    def join(cls, parts: list[Findings]) -> Self:
        """All of them, worst first, then by file, row and column."""
        frames = [part.frame for part in parts if part.frame.height]
        if not frames:
            return cls.none()
        frame = pl.concat(frames)
        return cls(frame.sort("rule", "file", "row", "field", "id") if frame.height > 1 else frame)

    def counts(self) -> dict[Severity, int]:
        """Findings per severity."""
        found = dict(self.frame.group_by("rule").len().iter_rows())
        counts = dict.fromkeys(Severity, 0)
        for rule, number in found.items():
            counts[RULES[rule].severity] += number
        return counts

    def of_severity(self, severity: Severity) -> Findings:
        """Those of one severity."""
        return Findings(self.frame.filter(pl.col("rule").is_in([rule for rule in Rule if rule.severity is severity])))

    def sentences(self, limit: int) -> Iterator[str]:
        """The first findings in words: where, what, what to do."""
        for rule, file, row, field, record in self.frame.head(limit).iter_rows():
            known = RULES[rule]
            where = ", ".join(
                word
                for word in (
                    file,
                    None if row is None else f"row {row}",
                    None if field is None else f"column {field}",
                    None if record is None else f"record {record}",
                )
                if word is not None
            )
            yield f"{where}: {known.text} ({known.todo})" if where else f"{known.text} ({known.todo})"

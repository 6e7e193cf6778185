"""From the words of a file to values, and what is wrong with them, one kind of record at a time.

`oneroster` reads a whole export with these, `supplement` the few records that come beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

import polars as pl

from homeroom.roster.beside import FEW
from homeroom.roster.findings import Findings, Rule, Severity
from homeroom.sources import layout

STANDARD_ID: Final = r"^[0-9A-Za-z.\-_/@]{1,255}$"
LONGEST: Final = 255
_IMPOSSIBLE_ID: Final = r'[\s,"\p{C}]'
_USER_ID: Final = r"\{\s*[^\s:{}][^:{}]*:\s*[^\s{}][^{}]*\}"
_FIRST_DAY: Final = date(1900, 1, 1)  # "26-09-01" is a date of the year 26 to a parser, and of nothing to a school
_LAST_DAY: Final = date(2200, 1, 1)


@dataclass(slots=True)
class Rows:
    """Records of one file on their way from words to values; findings are noted as they are found."""

    file: str
    frame: pl.DataFrame
    findings: list[Findings]
    frozen: bool = False

    def flag(self, rule: Rule, where: pl.Expr, *, field: str, first_only: bool = False) -> None:
        """Note the rows that fulfil `where`; a Record rule sets them aside."""
        self._note(rule, self.frame.select(where).to_series(), field=field, first_only=first_only)

    def _note(self, rule: Rule, hit: pl.Series, *, field: str, first_only: bool = False) -> None:
        """Note the rows that are marked in `hit`; null is no mark."""
        if not hit.any():
            return
        hit = hit.fill_null(value=False)
        self.findings.append(
            Findings.of(rule, self.frame.filter(hit), file=self.file, field=field, first_only=first_only)
        )
        if rule.severity is Severity.RECORD:
            self.frame = self.frame.with_columns(bad=pl.col("bad") | hit)

    def need(self, *fields: str) -> None:
        """Set rows aside in which a required value is empty."""
        for field in fields:
            if self.frame[field].has_nulls():
                self.flag(Rule.VALUE_MISSING, pl.col(field).is_null(), field=field)

    def cut(self, *fields: str) -> None:
        """Cut texts that are too long."""
        bytes_ = self.frame.select(pl.col(fields).str.len_bytes().max())  # no text can have more characters than bytes
        for field in fields:
            if (bytes_[field].item() or 0) <= LONGEST:
                continue
            long = pl.col(field).str.len_chars() > LONGEST
            self.flag(Rule.TEXT_LONG, long, field=field)
            self.frame = self.frame.with_columns(pl.when(long).then(pl.col(field).str.head(LONGEST)).otherwise(field))

    def set(self, **columns: pl.Expr | pl.Series) -> None:
        """Add or replace columns."""
        self.frame = self.frame.with_columns(**columns)

    def choose(self, field: str, words: Iterable[str]) -> None:
        """Bring a closed enum to its spelling. Extensions stay as they are; everything else is set aside."""
        official = {word.lower(): word for word in words}
        if {*self.frame[field].unique()} <= {*official.values(), None}:  # as in nearly all exports
            return
        given = pl.col(field)
        self.set(_meant=given.str.strip_chars().str.to_lowercase().replace_strict(official, default=None))
        extension = given.str.starts_with(layout.EXTENSION)
        self.flag(Rule.ENUM, given.is_not_null() & pl.col("_meant").is_null() & ~extension, field=field)
        self.flag(Rule.SPELLING, pl.col("_meant") != given, field=field, first_only=True)
        self.frame = self.frame.with_columns(pl.coalesce("_meant", field).alias(field)).drop("_meant")

    def date(self, field: str, *, to: str) -> None:
        """Read dates; an unreadable one sets the record aside."""
        self.set(**{to: date_of(field)})
        if self.frame[field].null_count() == self.frame[to].null_count():
            return
        self.flag(Rule.DATE, pl.col(field).is_not_null() & pl.col(to).is_null(), field=field)

    def grades(self) -> None:
        """Read lists of grades: none given is Other, an unknown word makes the whole value unknown."""
        if "grades" not in self.frame.columns:
            self.set(grades=pl.lit(None, dtype=pl.List(pl.String)))
            return
        spelt = pl.col("given").str.replace_all(r"[\s\-]", "").str.to_lowercase().fill_null("").str.split(",")
        code = pl.element().replace_strict({**layout.GRADES, "": layout.NO_GRADE}, default=None)
        given = self.frame.select(given="grades")
        words = _distinct(given).with_columns(codes=spelt.list.eval(code))
        sure = pl.col("codes").list.drop_nulls().list.len() == pl.col("codes").list.len()
        meaning = words.select("given", codes=pl.when(sure).then(pl.col("codes").list.unique().list.sort()), sure=sure)
        grades = _of_each(given, meaning)
        self._note(Rule.GRADE, ~grades["sure"], field="grades")
        self.set(grades=grades["codes"])

    def user_ids(self) -> None:
        """Read what other systems call a person, as a list of `type:id`; what is written otherwise is left out."""
        field = "userIds"
        if field not in self.frame.columns:
            self.set(user_ids=pl.lit(None, dtype=pl.List(pl.String)))
            return
        given = self.frame.select("row", field).drop_nulls(field)
        item = pl.element().str.strip_chars("{}").str.strip_chars().str.replace(r"\s*:\s*", ":")
        if given.is_empty():
            self.set(user_ids=pl.lit([], dtype=pl.List(pl.String)))
            return
        read = given.select(
            "row",
            user_ids=pl.col(field).str.extract_all(_USER_ID).list.eval(item.unique().sort()),
            odd=pl.col(field).str.replace_all(_USER_ID, "").str.contains(r"[^\s,]"),
        )
        self.frame = self.frame.join(read, on="row", how="left", maintain_order="left")
        self.flag(Rule.USER_ID, pl.col("odd"), field=field)
        self.frame = self.frame.drop("odd").with_columns(
            pl.col("user_ids").fill_null(pl.lit([], dtype=pl.List(pl.String)))
        )

    def lists(self, field: str, *, to: str) -> None:
        """Read a comma-separated list; nothing given is an empty list, an absent column is unknown (null)."""
        if field not in self.frame.columns:
            self.set(**{to: pl.lit(None, dtype=pl.List(pl.String))})
            return
        given = self.frame.select(field)
        self.set(**{to: _of_each(given, _distinct(given).with_columns(listed(field).alias("_list")))["_list"]})


def _distinct(words: pl.DataFrame) -> pl.DataFrame:
    """What stands in a column: of many rows few differ, and each value is read once. Few rows are read one by one."""
    return words if words.height < FEW else words.unique()


def _of_each(words: pl.DataFrame, meaning: pl.DataFrame) -> pl.DataFrame:
    """What was made of `_distinct` words, for each of the rows."""
    if words.height < FEW:
        return meaning
    return words.join(meaning, on=words.columns, how="left", nulls_equal=True, maintain_order="left")


def listed(field: str) -> pl.Expr:
    """The items of a comma-separated list."""
    parts = pl.col(field).fill_null("").str.split(",")
    return parts.list.eval(pl.element().str.strip_chars().filter(pl.element().str.strip_chars() != ""))


def impossible(identity: pl.Expr) -> pl.Expr:
    """Ids that cannot stand in a list of ids, or that hold what no id does: a text in the wrong column, perhaps."""
    return identity.str.contains(_IMPOSSIBLE_ID) | (identity.str.len_chars() > LONGEST)


def date_of(field: str) -> pl.Expr:
    """A date that a school may mean, else null."""
    day = pl.col(field).str.to_date("%Y-%m-%d", strict=False)
    return pl.when(day.is_between(_FIRST_DAY, _LAST_DAY)).then(day)


def optional(frame: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """Columns that the file lacks as nulls."""
    return frame.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in names if name not in frame.columns)


def read_course(rows: Rows) -> None:
    """Values of courses, references as source ids."""
    rows.need("title", "orgSourcedId")
    _read_study(rows, code="courseCode")
    rows.set(org=pl.col("orgSourcedId"))


def read_class(rows: Rows) -> None:
    """Values of classes, references as source ids."""
    rows.need("title", "courseSourcedId", "classType", "schoolSourcedId", "termSourcedIds")
    rows.choose("classType", layout.CLASS_TYPES)
    _read_study(rows, code="classCode")
    rows.lists("termSourcedIds", to="terms")
    rows.flag(Rule.VALUE_MISSING, pl.col("terms").list.len() == 0, field="termSourcedIds")
    rows.set(type=pl.col("classType"), course=pl.col("courseSourcedId"), school=pl.col("schoolSourcedId"))


def _read_study(rows: Rows, *, code: str) -> None:
    """What courses and classes have in common."""
    rows.frame = optional(rows.frame, [code])
    rows.cut("title", code)
    rows.grades()
    rows.lists("subjects", to="subjects")
    rows.set(code=pl.col(code))


def read_user(rows: Rows) -> None:
    """Values of people, but for agents, passwords, and the roles that 1.1 has here."""
    rows.need("username", "enabledUser")
    preferred = ("preferredGivenName", "preferredFamilyName")
    rows.frame = optional(rows.frame, [*preferred, "identifier", "email", "grades"])
    rows.set(
        given=pl.coalesce("preferredGivenName", "givenName"),
        family=pl.coalesce("preferredFamilyName", "familyName"),
    )
    if rows.frame["given"].has_nulls() or rows.frame["family"].has_nulls():
        nameless = pl.col("given").is_null() & pl.col("family").is_null()
        rows.flag(Rule.VALUE_MISSING, nameless, field="familyName")
        rows.flag(Rule.NAME_MISSING, pl.col("given").is_null() & ~nameless, field="givenName")
        rows.flag(Rule.NAME_MISSING, pl.col("family").is_null() & ~nameless, field="familyName")
    rows.cut("given", "family", "username", "identifier", "email")
    rows.set(enabled=truth("enabledUser", layout.TRUE_AND_FALSE, exact=False))
    rows.flag(Rule.ENUM, pl.col("enabledUser").is_not_null() & pl.col("enabled").is_null(), field="enabledUser")
    odd = pl.col("enabled").is_not_null() & ~pl.col("enabledUser").is_in(layout.TRUE_AND_FALSE[:2])
    rows.flag(Rule.SPELLING, odd, field="enabledUser", first_only=True)
    rows.grades()
    rows.user_ids()


def link_values(
    words: type[StrEnum], primary: str, primary_words: tuple[str, ...], *, exact: bool
) -> dict[str, pl.Expr]:
    """What a link says besides its ends: _role, _primary, begin and end; null where it is empty or not understood."""
    return {
        "_role": _role("role", words, exact=exact),
        "_primary": truth(primary, primary_words, exact=exact),
        "begin": date_of("beginDate"),
        "end": date_of("endDate"),
    }


def link_flaws(primary: str, *, required: bool) -> dict[str, pl.Expr]:
    """What may be wrong with a link, beside its `link_values`. With all of these false, values read exactly are all."""
    return {
        # The id of a link is no key of anything, so only those matter that are none at all.
        "odd_id": (pl.col("sourcedId").str.len_bytes() > LONGEST).fill_null(value=True),
        "no_role": pl.col("role").is_null(),
        "bad_role": pl.col("role").is_not_null() & pl.col("_role").is_null(),
        "bad_primary": pl.col("_primary").is_null() & (pl.col(primary).is_not_null() | pl.lit(required)),
        "bad_begin": pl.col("beginDate").is_not_null() & pl.col("begin").is_null(),
        "bad_end": pl.col("endDate").is_not_null() & pl.col("end").is_null(),
        "stated": pl.col("status").is_not_null(),
        "stamped": pl.col("dateLastModified").is_not_null(),
    }


def link_respelt(primary: str, primary_words: tuple[str, ...]) -> dict[str, pl.Expr]:
    """What was understood and is not spelt like that in the standard."""
    return {
        "respelt_role": (pl.col("_role") != "other") & (pl.col("_role").cast(pl.String) != pl.col("role")),
        "respelt_primary": _word(pl.col("_primary"), primary_words) != pl.col(primary),
    }


def flag_link(rows: Rows, primary: str) -> None:
    """Note the links that have one of `link_flaws` or `link_respelt`, by the columns of these."""
    for rule, flag, field in (
        (Rule.VALUE_MISSING, "no_role", "role"),
        (Rule.ENUM, "bad_role", "role"),
        (Rule.DATE, "bad_begin", "beginDate"),
        (Rule.DATE, "bad_end", "endDate"),
        (Rule.PRIMARY, "bad_primary", primary),
        (Rule.SPELLING, "respelt_primary", primary),
        (Rule.SPELLING, "respelt_role", "role"),
    ):
        rows.flag(rule, pl.col(flag), field=field)


def _role(field: str, words: type[StrEnum], *, exact: bool) -> pl.Expr:
    """A role by its word, if not `exact` in any letter case; each extension is `other`, itself no word of OneRoster."""
    given = pl.Enum([layout.EXTENSION if role == "other" else role.value if exact else role.lower() for role in words])
    word = pl.col(field)
    if not exact:
        word = word.str.strip_chars().str.to_lowercase()
        word = pl.when(word.str.starts_with(layout.EXTENSION)).then(pl.lit(layout.EXTENSION)).otherwise(word)
    return word.cast(given, strict=False).to_physical().cat.to(pl.Enum(words))


def truth(field: str, words: tuple[str, ...], *, exact: bool) -> pl.Expr:
    """True for the words at even positions, False for those at odd ones, null for others."""
    word = pl.col(field) if exact else pl.col(field).str.strip_chars().str.to_lowercase()
    return word.cast(pl.Enum(words), strict=False).to_physical() % 2 == 0


def _word(truth: pl.Expr, words: tuple[str, ...]) -> pl.Expr:
    """OneRoster's own word for a truth."""
    return pl.when(truth).then(pl.lit(words[0])).when(~truth).then(pl.lit(words[1]))

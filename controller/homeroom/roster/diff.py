"""What has to change in a target, and why: desired against actual, with the last applied state as the third witness.

::

    desired --+                          baseline (what had a reason before) --+
              +--> rows that differ  -->                                      +--> cause per row --> Plan
    actual  --+                          intermediate (old rules, new records)-+

    desired, actual, Plan, old Baseline --> `expected` --> Baseline, stored before the first change of a run
                            what was not done --> `Baseline.settled` --> stored after its last

Pure and columnar: people and classes are matched by source id once, memberships are compared as integers. The rules:

* A membership of a managed class that never had a reason is an intruder's; one that we had applied and is gone was
  taken by hand. Both are drift (invariant 7).
* A name of a class or school is set when the records change it; a rename by people in the product stays (three-way).
  The name of a person belongs to the records.
* Nothing is removed in a school of which the baseline knows nothing: then we cannot know what had a reason (a lost
  store, section 8; a school that was never read).
* An account is closed, and a class archived, when a time of grace is over; memberships and rights end at once, but for
  the last teachers of a class in use, who stay for a week (`homeroom.roster.leaving`).
* What touches a conflict, or a school that could not be read, stands still both ways (invariants 6 and 13). So do keys
  that appear twice in the target, whether it says so or not, and what might be several things to adopt.
* What is to be adopted is compared as if it were ours. Whoever is in a class that is adopted, and is not wanted there,
  goes as a part of the adoption, which somebody reviews: had we made the class, an intruder would go at once, but here
  it may be half of the class.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from types import MappingProxyType
from typing import Final

import polars as pl

from homeroom.api import ClassRemoval, PersonRemoval, Removal
from homeroom.plan import (
    COMING,
    IDENTITY,
    IDENTITY_SCHEMA,
    LEAVING,
    MOMENT,
    PERSONAL,
    SIZES_SCHEMA,
    Cause,
    Kind,
    Op,
    Plan,
    Role,
    Unseen,
)
from homeroom.roster.beside import FEW, beside, selected
from homeroom.roster.leaving import dated, last_teachers
from homeroom.roster.state import DESIRED_SCHEMAS, Actual, Adopting, Desired
from homeroom.roster.tables import ClassRole, Roster, repeated
from homeroom.roster.years import superseded

UNAPPLIED_SCHEMA: Final = pl.Schema(dict.fromkeys((*IDENTITY, "cause"), pl.String()))
"""`cause`: the one it was planned with."""
KEPT_SCHEMA: Final = pl.Schema(
    {**UNAPPLIED_SCHEMA, "was": pl.String(), "since": MOMENT, "passed": MOMENT, "hold": pl.String()}
)
"""`cause`: as above, null where it was not planned. `was`: the strongest `Role` that a person had, if known. `since`:
when the last reason ended. `passed`: when the guards let that end through, null: not yet; `hold`: as in a plan."""

PLAYED: Final[Mapping[str, str]] = MappingProxyType(
    {ClassRole.STUDENT.value: Role.LEARNER.value, ClassRole.TEACHER.value: Role.COACH.value}
)
"""What the roles of the records are in a plan."""

_ROW: Final = pl.UInt32
_PLACE: Final = ("school", "key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What had a reason to be in the target when a plan was last applied, whatever became of the applying.

    `desired`: what was wanted then; of a school that could not be read, what was wanted when it last could. `kept`
    (columns `KEPT_SCHEMA`): what had a reason once, has none now, and may still be there (held, failed, kept by policy,
    not seen), among it everybody who left and has an account in use. `unapplied` (columns `UNAPPLIED_SCHEMA`): what was
    to come or to change, and has not. Made by `expected`.
    """

    desired: Desired
    kept: pl.DataFrame
    unapplied: pl.DataFrame
    first: bool = False  # nothing has ever been applied in full

    @property
    def dated(self) -> bool:
        """Whether it knows of everything since when it has no reason; older releases did not write that down."""
        return "since" in self.kept.columns and self.kept["since"].null_count() == 0

    def equals(self, other: Baseline) -> bool:
        """The same rows in the same order."""
        frames = ((self.kept, other.kept), (self.unapplied, other.unapplied))
        return (
            self.first is other.first
            and all(one.equals(another) for one, another in frames)
            and _equal(self.desired, other.desired)
        )

    def settled(self, plan: Plan, undone: pl.DataFrame) -> Baseline:
        """The same once `plan` has been applied, but for `undone` (columns `IDENTITY`)."""
        done = _lacking(identity(plan.changes), undone)
        unapplied = _lacking(self.unapplied, done)
        first = self.first and not unapplied.is_empty()
        return replace(self, kept=_lacking(self.kept, done), unapplied=unapplied, first=first)


def identity(changes: pl.DataFrame) -> pl.DataFrame:
    """The columns `IDENTITY` of rows of a plan, as text."""
    found = changes[[*IDENTITY]]
    return found if found.schema == IDENTITY_SCHEMA else found.cast(pl.String)


def sizes(actual: Actual) -> pl.DataFrame:
    """How much of ours a target holds: columns `SIZES_SCHEMA`, for `homeroom.plan.guard`.

    People and classes in use, memberships of managed classes (per school and per class, intruders' among them), rights.
    What is to be adopted counts, so that what goes with it is compared with the whole.
    """
    people = _named(actual.people, actual.schools).filter(pl.col("key").is_not_null() & ~pl.col("suspended"))
    classes = _named(actual.classes, actual.schools).filter(pl.col("key").is_not_null())
    rights = people.filter(pl.col("row").is_in(actual.rights["person"].implode()))
    members = (
        actual.memberships.group_by(pl.col("class").alias("row"))
        .agg(pl.len().alias("size"))
        .join(classes, on="row")
        .select("school", "size", class_key="key")
    )
    each = [
        members.with_columns(kind=pl.lit(Kind.MEMBERSHIP.value)),
        members.group_by("school").agg(pl.col("size").sum()).with_columns(kind=pl.lit(Kind.MEMBERSHIP.value)),
    ]
    for kind, rows in (
        (Kind.PERSON, people),
        (Kind.CLASS, classes.filter(~pl.col("archived"))),
        (Kind.RIGHT, rights),
        (Kind.SCHOOL, actual.schools.select(school="key")),
    ):
        each.append(rows.group_by("school").agg(pl.len().alias("size")).with_columns(kind=pl.lit(kind.value)))
    return _rows_of(SIZES_SCHEMA, pl.concat(each, how="diagonal_relaxed")).drop_nulls("school")


def unseen(actual: Actual) -> Unseen:
    """What a plan from this reading cannot tell anything about."""
    still = _still(actual)
    return Unseen(complete=actual.complete, schools=still.schools["school"].to_list(), people=still.people)


def diff(
    desired: Desired,
    actual: Actual,
    *,
    baseline: Baseline | None,
    removal: Removal,
    roster: Roster | None = None,
    today: date | None = None,
    now: datetime | None = None,
    intermediate: Desired | None = None,
    edit: Cause = Cause.SHARING_CHANGED,
    removal_before: Removal | None = None,
    denied: Collection[str] = (),
    unseated: Desired | None = None,
    reclaimed: Collection[str] = (),
    withdrawn: Collection[str] = (),
) -> Plan:
    """Compare, and say why.

    `roster` and `today`: the records behind `desired` and the day they were shared for, to tell an ended enrollment
    from a vanished one. `intermediate`: what the rules of the last applied plan make of the same records; given only
    when the rules have changed since; `edit`: the cause of what follows from that. `removal_before`: the
    removal of the last applied plan. `denied`: source ids of people who must be out whatever else holds. `unseated`:
    what the rules share, seats or no seats; given when the app is for those only who hold a seat. `reclaimed`: source
    ids of students whose seat was given to others, as they did not use it. `withdrawn`: source ids of teachers who had
    their classes by a licence that was revoked: these go whatever policy says (R20).

    What has to wait for its day is in the plan with the moment when it is due, counted from the end of its last reason
    as the baseline has it, or else from `now`. Without `now` everything is due.
    """
    baseline = _read(baseline)
    with beside(1, few=actual.people.height < FEW) as other:
        standing = other.submit(_still, actual)
        compared = _compare(desired, actual)
        still = standing.result()
    adopting = actual.adopting
    parts = [
        _school_changes(compared.schools, adopting, baseline),
        _person_changes(compared.people, adopting),
        _class_changes(compared.classes, adopting, baseline),
        _membership_rows(compared.lacking, desired, Op.CREATE),
        _right_rows(compared.lacking_rights, desired, Op.CREATE),
        _right_rows(_of(actual.rights, "person", adopting.people), actual, Op.ADOPT),
        _membership_rows(_coming_along(actual, compared), actual, Op.ADOPT),
    ]
    if actual.complete:
        unwanted = _of(compared.extra, "class", adopting.classes)
        parts.append(_membership_rows(unwanted, actual, Op.REMOVE).with_columns(adopted=pl.lit(value=True)))
    if denied and still.people.height:
        still = replace(still, people=still.people.filter(~pl.col("key").is_in(list(denied))))
    edited = pl.DataFrame(schema=IDENTITY_SCHEMA)
    if baseline is not None and actual.complete:
        known = _known_schools(baseline)
        under = partial(_leaving, actual, compared, still, baseline=baseline, denied=denied, withdrawn=withdrawn)
        leaving = under(removal=removal)
        parts += [part.filter(pl.col("school").is_in(known.implode())) for part in leaving if part.height]
        if removal_before is not None and removal_before != removal:
            edited = _lacking(_going(leaving), _going(under(removal=removal_before)))
    rows = _all_rows(parts).pipe(_moving, still).pipe(_marked_adopted)
    if rows.is_empty():
        return Plan.of(rows.select("kind", "op", "school", "key"))
    ended = None
    if roster is not None and today is not None:
        going = rows.filter(pl.col("op").is_in(LEAVING))  # of what comes nobody asks whether it is over
        ended = over(going, roster, today, ended=superseded(_sections(going), roster))
    rows = _with_causes(
        rows,
        baseline=baseline,
        over=ended,
        intermediate=intermediate,
        edit=edit,
        edited=edited,
        denied=denied,
        renumbered=_renumbered(rows, desired, actual),
        desired=desired,
        unseated=unseated,
        reclaimed=reclaimed,
        withdrawn=withdrawn,
    )
    if baseline is None or now is None:
        return Plan.of(rows)
    kept, alone = _of_kept(rows, baseline), last_teachers(rows, desired)
    grace_before = removal_before.grace if removal_before is not None else None
    return Plan.of(dated(rows, kept, alone, grace=removal.grace, grace_before=grace_before, now=now))


# ---------------------------------------------------------------------------------------------------------------------
# Comparing


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """Two states side by side. `schools`, `people`, `classes`: full joins, see `_matched`."""

    schools: pl.DataFrame
    people: pl.DataFrame
    classes: pl.DataFrame
    lacking: pl.DataFrame  # rows of the first state's memberships that the second lacks
    lacking_rights: pl.DataFrame
    extra: pl.DataFrame  # rows of the second state's memberships that the first lacks
    extra_rights: pl.DataFrame


def _compare(wanted: Desired, there: Desired | Actual) -> _Comparison:
    schools = _matched(
        wanted.schools.select(pl.col("key").alias("school"), "key", "name").with_row_index("row"),
        there.schools.with_columns(pl.col("key").alias("school")).with_row_index("row"),
    )
    with beside(1, few=wanted.people.height < FEW) as other:
        matching = other.submit(
            # User names there decide nothing, and to join texts takes time.
            _matched,
            _named(wanted.people, wanted.schools),
            _named(there.people.drop("username"), there.schools),
        )  # takes as long as the next three lines
        classes = _matched(_named(wanted.classes, wanted.schools), _named(there.classes, there.schools))
        wanted_codes = _codes(*wanted.memberships.select("class", "person", "role"))
        wanted_codes = wanted_codes if wanted_codes.is_sorted() else wanted_codes.sort()  # it mostly is
        people = matching.result()
    to_class, to_person = _lookup(classes, there.classes.height), _lookup(people, there.people.height)

    members = there.memberships
    codes = _codes(to_class[members["class"]], to_person[members["person"]], members["role"])
    present, absent, unwanted = codes.drop_nulls(), wanted_codes.clear(), codes.clear()
    if not present.sort().equals(wanted_codes):
        absent, unwanted = _apart(wanted_codes, present)
    lacking = absent.to_frame().select(
        (pl.col("code") // 2**33).cast(_ROW).alias("class"),
        (pl.col("code") // 2 % 2**32).cast(_ROW).alias("person"),
        pl.when(pl.col("code") % 2 == 1)
        .then(pl.lit(Role.COACH.value))
        .otherwise(pl.lit(Role.LEARNER.value))
        .alias("role"),
    )
    extra = members.filter(codes.is_null() | codes.is_in(unwanted.implode()))
    holders = to_person[there.rights["person"]]
    return _Comparison(
        schools=schools,
        people=people,
        classes=classes,
        lacking=lacking,
        lacking_rights=wanted.rights.filter(~pl.col("person").is_in(holders.drop_nulls().implode())),
        extra=extra,
        extra_rights=there.rights.filter(holders.is_null() | ~holders.is_in(wanted.rights["person"].implode())),
    )


def _named(frame: pl.DataFrame, schools: pl.DataFrame) -> pl.DataFrame:
    """Put the school's source id (null: not ours) in place of its row number; add the frame's own as `row` (UInt32)."""
    return frame.with_columns(schools["key"][frame["school"]].alias("school")).with_row_index("row")


def _matched(wanted: pl.DataFrame, there: pl.DataFrame) -> pl.DataFrame:
    """Full join of two named frames on (school, key): columns of the second get the suffix `_now`.

    `row` is null where nothing is desired, `row_now` where nothing is there. Rows without a key are people's own.

    Joined by one number for both texts, in half the time: who is the same has the same number. Only if two others have
    the same one, too, both texts are joined.
    """
    owned = there.filter(pl.col("key").is_not_null() & pl.col("school").is_not_null())
    found = wanted.with_columns(_number=_number()).join(
        owned.with_columns(_number=_number()), on="_number", how="full", coalesce=True, suffix="_now"
    )
    paired = pl.col("row").is_not_null() & pl.col("row_now").is_not_null()
    differs = pl.col("key").ne_missing(pl.col("key_now")) | pl.col("school").ne_missing(pl.col("school_now"))
    if found.select((paired & differs).any()).item():
        return wanted.join(owned, on=["school", "key"], how="full", coalesce=True, suffix="_now")
    place = [pl.when(pl.col("row").is_null()).then(f"{name}_now").otherwise(name).alias(name) for name in _PLACE]
    return found.with_columns(place).drop("_number", *(f"{name}_now" for name in _PLACE))


def _number() -> pl.Expr:
    """A number for school and key, which two others hardly ever share."""
    return pl.col("school").hash() + pl.col("key").hash()


def _lookup(matched: pl.DataFrame, size: int) -> pl.Series:
    """For each row of the second state the row of the first; null where nothing is desired. Length `size`."""
    pairs = matched.filter(pl.col("row").is_not_null() & pl.col("row_now").is_not_null())
    return repeated(None, size, dtype=_ROW).scatter(pairs["row_now"], pairs["row"])


def _codes(classes: pl.Series, people: pl.Series, roles: pl.Series) -> pl.Series:
    """Memberships as one number each: rows of class and person, and in the lowest bit the role. Null stays null."""
    parts = pl.DataFrame({"class": classes, "person": people, "coach": roles == Role.COACH.value})
    code = pl.col("class").cast(pl.UInt64) * 2**33 + pl.col("person").cast(pl.UInt64) * 2 + pl.col("coach")
    return selected(parts, code=code).to_series()


def _apart(one: pl.Series, other: pl.Series) -> tuple[pl.Series, pl.Series]:
    """What only `one` has and what only `other` has, each once. One sort costs less than two joins."""
    merged = pl.concat([one * 2, other * 2 + 1]).sort()
    merged = merged.filter(merged.ne_missing(merged.shift(1)))
    code = merged // 2
    alone = code.ne_missing(code.shift(1)) & code.ne_missing(code.shift(-1))
    first = merged % 2 == 0
    return code.filter(alone & first), code.filter(alone & ~first)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Still:
    """What is not to be touched: `schools` [school] as a whole, `people` and `classes` [school, key] with theirs."""

    schools: pl.DataFrame
    people: pl.DataFrame
    classes: pl.DataFrame


def _still(actual: Actual) -> _Still:
    keys = actual.schools["key"].drop_nulls()
    people = _named(actual.people, actual.schools)[["school", "key"]].drop_nulls()
    numbers = people.select(_number()).to_series()
    twice = people.clear()
    if numbers.n_unique() < numbers.len():  # grouping all is ten times slower, and on most nights counting is enough
        alike = people.filter(numbers.is_duplicated())
        twice = alike.group_by("school", "key").len().filter(pl.col("len") > 1).select("school", "key")
    named = pl.DataFrame(sorted(actual.conflicts), schema={"school": pl.String, "key": pl.String}, orient="row")
    doubts = dict.fromkeys((Kind.SCHOOL, Kind.PERSON, Kind.CLASS), named.clear())
    if not actual.adopting.doubts.is_empty():
        for kind in doubts:
            doubts[kind] = actual.adopting.doubts.filter(pl.col("kind") == kind.value).select("school", "key")
    again = keys.filter(keys.is_duplicated()) if keys.n_unique() < keys.len() else keys.clear()
    schools = sorted({*actual.unsure, *again, *doubts[Kind.SCHOOL]["school"]})
    parts = [part for part in (named, twice, doubts[Kind.PERSON]) if part.height]
    return _Still(
        schools=pl.DataFrame({"school": schools}, schema={"school": pl.String}),
        people=pl.concat(parts).unique() if parts else named,
        classes=doubts[Kind.CLASS].unique(),
    )


def _moving(rows: pl.DataFrame, still: _Still) -> pl.DataFrame:
    """`rows` of a plan without what stands still."""
    if still.schools.is_empty() and still.people.is_empty() and still.classes.is_empty():
        return rows
    rows = rows.join(still.schools, on="school", how="anti")
    if not still.classes.is_empty():
        section = pl.when(pl.col("kind") == Kind.CLASS.value).then("key").otherwise("class_key")
        standing = still.classes.select("school", section="key")
        rows = rows.with_columns(section=section).join(standing, on=["school", "section"], how="anti").drop("section")
    personal = pl.col("kind").is_in(PERSONAL)
    return pl.concat(
        [rows.filter(~personal), rows.filter(personal).join(still.people, on=["school", "key"], how="anti")]
    )


# ---------------------------------------------------------------------------------------------------------------------
# What comes


_NO_ROWS: Final = pl.DataFrame(
    schema={**dict.fromkeys((*IDENTITY, "op", "name", "username", "external_id"), pl.String), "staff": pl.Boolean}
)
"""No rows of a plan, with all columns that what comes or goes may have."""


def _rows(frame: pl.DataFrame, kind: Kind, op: Op, *columns: str) -> pl.DataFrame:
    """Rows of a plan: `school` and `key`, and what else is named."""
    if frame.is_empty():
        return _NO_ROWS
    return frame.select("school", "key", *columns, pl.lit(kind.value).alias("kind"), pl.lit(op.value).alias("op"))


def _all_rows(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """All rows of a plan; of the parts most are empty on most nights."""
    return pl.concat([_NO_ROWS, *(part for part in parts if part.height)], how="diagonal_relaxed")


def _of(rows: pl.DataFrame, column: str, numbers: pl.Series) -> pl.DataFrame:
    """Those of `rows` in which `column` is among `numbers`."""
    return rows.clear() if numbers.is_empty() else rows.filter(pl.col(column).is_in(numbers.implode()))


def _marked_adopted(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` with the column `adopted`: what an adoption is made of."""
    adopted = pl.col("adopted") if "adopted" in rows.columns else pl.lit(value=False)
    return rows.with_columns(adopted=adopted.fill_null(value=False) | (pl.col("op") == Op.ADOPT.value))


def _coming_along(actual: Actual, compared: _Comparison) -> pl.DataFrame:
    """Memberships that are wanted and there, of accounts and in classes that are to be adopted."""
    adopting = actual.adopting
    if adopting.classes.is_empty() and adopting.people.is_empty():
        return actual.memberships.clear()
    theirs = pl.col("class").is_in(adopting.classes.implode()) | pl.col("person").is_in(adopting.people.implode())
    return actual.memberships.filter(theirs).join(compared.extra, on=["class", "person", "role"], how="anti")


def _adoptions(matched: pl.DataFrame, rows: pl.Series, kind: Kind, *columns: str) -> pl.DataFrame:
    """Rows of a plan for those of a full join whose row in the target is among `rows`."""
    if rows.is_empty():
        return _NO_ROWS
    return _rows(matched.filter(pl.col("row_now").is_in(rows.implode())), kind, Op.ADOPT, *columns, "external_id")


def _school_changes(schools: pl.DataFrame, adopting: Adopting, baseline: Baseline | None) -> pl.DataFrame:
    lacking = schools.filter(pl.col("row_now").is_null())
    before = baseline.desired.schools.with_columns(pl.col("key").alias("school")) if baseline else None
    renamed = _renamed(schools, Kind.SCHOOL, before, baseline)
    return _all_rows(
        [
            _rows(lacking, Kind.SCHOOL, Op.CREATE, "name"),
            _adoptions(schools, adopting.schools, Kind.SCHOOL, "name"),
            _rows(renamed, Kind.SCHOOL, Op.UPDATE, "name", "external_id"),
        ]
    )


def _person_changes(people: pl.DataFrame, adopting: Adopting) -> pl.DataFrame:
    wanted = people.filter(pl.col("row").is_not_null())
    there = wanted.filter(pl.col("row_now").is_not_null() & ~pl.col("row_now").is_in(adopting.people.implode()))
    renamed = there.filter(~pl.col("suspended") & pl.col("name").ne_missing(pl.col("name_now")))
    fields = ("name", "username", "staff")
    return _all_rows(
        [
            _rows(wanted.filter(pl.col("row_now").is_null()), Kind.PERSON, Op.CREATE, *fields),
            _adoptions(wanted, adopting.people, Kind.PERSON, *fields),
            _rows(there.filter("suspended"), Kind.PERSON, Op.RESTORE, *fields, "external_id"),
            _rows(renamed, Kind.PERSON, Op.UPDATE, *fields, "external_id"),
        ]
    )


def _class_changes(classes: pl.DataFrame, adopting: Adopting, baseline: Baseline | None) -> pl.DataFrame:
    wanted = classes.filter(pl.col("row").is_not_null())
    there = wanted.filter(pl.col("row_now").is_not_null() & ~pl.col("row_now").is_in(adopting.classes.implode()))
    before = _named(baseline.desired.classes, baseline.desired.schools) if baseline else None
    renamed = _renamed(there.filter(~pl.col("archived")), Kind.CLASS, before, baseline)
    return _all_rows(
        [
            _rows(wanted.filter(pl.col("row_now").is_null()), Kind.CLASS, Op.CREATE, "name"),
            _adoptions(wanted, adopting.classes, Kind.CLASS, "name"),
            _rows(there.filter("archived"), Kind.CLASS, Op.RESTORE, "name", "external_id"),
            _rows(renamed, Kind.CLASS, Op.UPDATE, "name", "external_id"),
        ]
    )


def _renamed(matched: pl.DataFrame, kind: Kind, before: pl.DataFrame | None, baseline: Baseline | None) -> pl.DataFrame:
    """Rows whose name the records changed since the last plan, or in a plan that did not get that far."""
    different = matched.filter(
        pl.col("row").is_not_null() & pl.col("row_now").is_not_null() & pl.col("name").ne_missing(pl.col("name_now"))
    )
    if before is None or baseline is None or different.is_empty():
        return different.clear()
    known = before.select("school", "key", pl.col("name").alias("name_before"))
    open_still = baseline.unapplied.filter(pl.col("kind") == kind.value).select("school", "key")
    pending = open_still.with_columns(pl.lit(value=True).alias("pending")).unique()
    return (
        different.join(known, on=["school", "key"], how="left")
        .join(pending, on=["school", "key"], how="left")
        .filter((pl.col("name") != pl.col("name_before")).fill_null(value=False) | pl.col("pending").is_not_null())
    )


def _membership_rows(memberships: pl.DataFrame, state: Desired | Actual, op: Op) -> pl.DataFrame:
    """Turn memberships of `state` into rows of a plan; people without a source id get `?` and their external id."""
    if memberships.is_empty():
        return _NO_ROWS
    of_class, of_person = state.classes[memberships["class"]], state.people[memberships["person"]]
    if "external_id" in of_person.columns:
        of_person = of_person.with_columns(_key_or_account())
    return memberships.drop("class", "person").with_columns(
        state.schools["key"][of_class["school"]].alias("school"),
        of_person["key"],
        of_class["key"].alias("class_key"),
        pl.col("role").cast(pl.String),
        pl.lit(Kind.MEMBERSHIP.value).alias("kind"),
        pl.lit(op.value).alias("op"),
    )


def _key_or_account() -> pl.Expr:
    """The source id, or what stands for an account without one in a plan."""
    return pl.coalesce("key", pl.lit("?") + pl.col("external_id")).alias("key")


def _right_rows(rights: pl.DataFrame, state: Desired | Actual, op: Op) -> pl.DataFrame:
    if rights.is_empty():
        return _NO_ROWS
    of_person = state.people[rights["person"]]
    return rights.drop("person").with_columns(
        state.schools["key"][of_person["school"]].alias("school"),
        of_person["key"],
        pl.lit(Role.ADMINISTRATOR.value).alias("role"),
        pl.lit(Kind.RIGHT.value).alias("kind"),
        pl.lit(op.value).alias("op"),
    )


# ---------------------------------------------------------------------------------------------------------------------
# What goes


def _known_schools(baseline: Baseline) -> pl.Series:
    """Source ids of the schools of which we know what had a reason in them."""
    return pl.concat([baseline.desired.schools["key"], baseline.kept["school"]]).unique()


def _leaving(
    actual: Actual,
    compared: _Comparison,
    still: _Still,
    *,
    removal: Removal,
    baseline: Baseline,
    denied: Collection[str],
    withdrawn: Collection[str],
) -> list[pl.DataFrame]:
    """Everything that is there in managed classes and schools, and not desired.

    Rows of a plan; `spared`: goes only if it never had a reason (`_with_causes` knows).
    """
    people, classes = compared.people, compared.classes
    unwanted = people["row"].has_nulls() or classes["row"].has_nulls()
    if not unwanted and compared.extra.is_empty() and compared.extra_rights.is_empty():
        return []
    leavers = _leavers(people, removal=removal, baseline=baseline)
    is_denied = pl.col("key").is_in(list(denied))
    out = pl.when(is_denied).then(pl.lit(PersonRemoval.SUSPEND.value)).otherwise("policy")
    leavers = leavers.with_columns(out.alias("policy"))
    keep = leavers.filter(pl.col("policy") == PersonRemoval.KEEP.value)["row_now"]
    ours = actual.people["key"].is_not_null()

    extra = compared.extra
    managed = actual.classes["key"].is_not_null()[extra["class"]]
    extra = extra.filter(managed & ~extra["class"].is_in(actual.adopting.classes.implode()))
    wanted_classes = classes.filter(pl.col("row").is_not_null())["row_now"].drop_nulls().implode()
    going_on = extra["class"].is_in(wanted_classes)
    spared = extra["person"].is_in(keep.implode()) & going_on  # archiving empties a class, and says so in the plan
    revoked = actual.people["key"].is_in(list(withdrawn))[extra["person"]].fill_null(value=False)
    revoked &= extra["role"] == Role.COACH.value
    if removal.classes is ClassRemoval.KEEP:
        # The class stays as it is, but for the people who left: their treatment is about them, not about the class.
        wanted_people = people.filter(pl.col("row").is_not_null())["row_now"].drop_nulls().implode()
        left = ours[extra["person"]] & ~extra["person"].is_in(wanted_people)
        spared |= extra["person"].is_in(keep.implode())
        going = left | going_on | revoked
        extra, spared, revoked = extra.filter(going), spared.filter(going), revoked.filter(going)
    memberships = _membership_rows(extra, actual, Op.REMOVE).with_columns((spared & ~revoked).alias("spared"))

    # Rights only of people with our mark: somebody's own administrator account is not ours.
    held = compared.extra_rights.filter(ours[compared.extra_rights["person"]])
    rights = _right_rows(held, actual, Op.REMOVE).with_columns(
        (pl.lit(removal.administrators is PersonRemoval.KEEP) & ~is_denied).alias("spared")
    )
    # Nor is a class archived, hence emptied, in which somebody stands still.
    questioned = _named(actual.people, actual.schools).join(still.people, on=["school", "key"], how="semi")["row"]
    held_open = actual.memberships.filter(pl.col("person").is_in(questioned.implode()))["class"]
    gone = classes.filter(pl.col("row").is_null() & ~pl.col("archived") & ~pl.col("row_now").is_in(held_open.implode()))
    if removal.classes is ClassRemoval.KEEP:
        gone = gone.clear()
    suspended = leavers.filter(pl.col("policy") == PersonRemoval.SUSPEND.value)
    return [
        memberships,
        rights,
        _rows(gone, Kind.CLASS, Op.ARCHIVE, "external_id"),
        _rows(suspended, Kind.PERSON, Op.SUSPEND, "external_id"),
    ]


def _going(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """`IDENTITY` of what goes of the rows that `_leaving` found."""
    rows = _with_identity(_all_rows(parts))
    return identity(rows.filter(~pl.col("spared")))


def _leavers(people: pl.DataFrame, *, removal: Removal, baseline: Baseline) -> pl.DataFrame:
    """Whose account is in use and no longer desired: [row_now, school, key, external_id, policy].

    They are treated as what the records said they were when they last had a reason, never as what somebody made of them
    in the target. Of whom nothing is known, the account is kept.
    """
    gone = people.filter(pl.col("row").is_null() & ~pl.col("suspended"))
    if gone.is_empty():
        return gone.select("row_now", "school", "key", "external_id", policy=pl.lit(None, pl.String))
    long_gone = baseline.kept.filter(pl.col("kind") == Kind.PERSON.value).select("school", "key", was_before="was")
    policies = {
        Role.ADMINISTRATOR.value: removal.administrators.value,
        Role.COACH.value: removal.teachers.value,
        Role.LEARNER.value: removal.students.value,
    }
    return (
        gone.select("row_now", "school", "key", "external_id")
        .join(
            _strongest(baseline.desired).join(gone, on=["school", "key"], how="semi"), on=["school", "key"], how="left"
        )
        .join(long_gone, on=["school", "key"], how="left")
        .select(
            "row_now",
            "school",
            "key",
            "external_id",
            pl.coalesce("was", "was_before")
            .replace_strict(policies, default=PersonRemoval.KEEP_ACCOUNT.value)
            .alias("policy"),
        )
    )


def _strongest(state: Desired) -> pl.DataFrame:
    """[school, key, was] of all people of `state`."""
    return _named(state.people, state.schools).select(
        "school",
        "key",
        pl.when(pl.col("row").is_in(state.rights["person"].implode()))
        .then(pl.lit(Role.ADMINISTRATOR.value))
        .when("staff")
        .then(pl.lit(Role.COACH.value))
        .otherwise(pl.lit(Role.LEARNER.value))
        .alias("was"),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Why


def _lacking(rows: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Those of `rows` that `other` does not have; both with the columns `IDENTITY`."""
    if rows.is_empty() or other.is_empty():
        return rows
    return rows.join(other, on=list(IDENTITY), how="anti", nulls_equal=True)


def in_state(rows: pl.DataFrame, state: Desired | Actual) -> pl.DataFrame:
    """`IDENTITY` of those of `rows` that `state` contains, distinct. Suspended and archived is not contained."""
    if rows.is_empty():
        return rows.select(IDENTITY)
    people = _named(state.people, state.schools).rename({"row": "person"})
    if isinstance(state, Actual) and rows["key"].str.starts_with("?").any():
        people = people.with_columns(_key_or_account())
    classes = _named(state.classes, state.schools).rename({"row": "class", "key": "class_key"})
    used = people if "suspended" not in people.columns else people.filter(~pl.col("suspended"))
    running = classes if "archived" not in classes.columns else classes.filter(~pl.col("archived"))
    person, section = ["school", "key"], ["school", "class_key"]

    def of(kind: str, rows: pl.DataFrame) -> pl.DataFrame:
        match kind:
            case Kind.SCHOOL:
                return rows.join(state.schools, on="key", how="semi")
            case Kind.PERSON:
                return rows.join(used, on=person, how="semi")
            case Kind.CLASS:
                return rows.join(running, left_on=person, right_on=section, how="semi")
            case Kind.MEMBERSHIP:
                members = rows.join(people.select(*person, "person"), on=person).join(
                    classes.select(*section, "class"), on=section
                )
                few = state.memberships.join(members, on=["class", "person"], how="semi")
                few = few.with_columns(pl.col("role").cast(pl.String))
                return members.join(few, on=["class", "person", "role"], how="semi")
            case Kind.RIGHT:
                rights = rows.join(people.select(*person, "person"), on=person)
                return rights.join(state.rights, on="person", how="semi")
            case _:
                return rows.clear()

    parts = rows.select(IDENTITY).partition_by("kind", as_dict=True)
    return pl.concat([of(kind, part).select(IDENTITY) for (kind,), part in parts.items()]).unique()


def _with_causes(
    rows: pl.DataFrame,
    *,
    baseline: Baseline | None,
    over: pl.DataFrame | None,
    intermediate: Desired | None,
    edit: Cause,
    edited: pl.DataFrame,
    denied: Collection[str],
    renumbered: pl.DataFrame,
    desired: Desired,
    unseated: Desired | None,
    reclaimed: Collection[str],
    withdrawn: Collection[str],
) -> pl.DataFrame:
    """Rows of a plan with the column `cause` (invariant 12), without those that are spared."""
    adoption = pl.lit(Cause.ADOPTION.value)
    if baseline is None:
        first = pl.lit(Cause.FIRST_SYNC.value)
        return rows.with_columns(pl.when("adopted").then(adoption).otherwise(first).alias("cause"))
    rows = _with_identity(rows)
    keys = identity(rows)
    names = _named(baseline.desired.people, baseline.desired.schools).select("school", "key", name_before="name")

    def has(found: pl.DataFrame | None) -> pl.Expr:
        if found is None or found.is_empty():
            return pl.lit(value=False)
        return pl.lit(_looked_up(keys, found)["there"])

    kept, unapplied = _looked_up(keys, baseline.kept, "cause", "passed"), _looked_up(keys, baseline.unapplied, "cause")
    updates = keys.select("school", "key")

    def concerns(people: pl.DataFrame) -> pl.Expr:
        if people.is_empty():
            return pl.lit(value=False)
        marked = people.with_columns(has=pl.lit(value=True))
        found = updates.join(marked, on=["school", "key"], how="left", maintain_order="left")
        return pl.lit(found["has"]).fill_null(value=False)

    known = rows.with_columns(
        has(in_state(keys, baseline.desired)).alias("before"),
        kept["there"].alias("kept"),
        unapplied["there"].alias("unapplied"),
        kept["cause"].alias("kept_cause"),
        unapplied["cause"].alias("unapplied_cause"),
        has(in_state(keys, intermediate) if intermediate else None).alias("by_old_rules"),
        has(in_state(keys, unseated) if unseated else None).alias("shared"),
        has(edited).alias("edited"),
        pl.lit(kept["passed"]).is_not_null().alias("passed_before"),
        _have_moved(keys, baseline, desired).alias("have_moved"),
        (_looked_up(keys, over, "cause")["cause"] if over is not None else pl.lit(None, pl.String)).alias("over"),
        moves(rows).alias("moves"),
        concerns(renumbered).alias("renumbered"),
        concerns(_newly_seated(unseated, baseline)).alias("newly_seated"),
        concerns(_without_class(unseated, baseline)).alias("newly_connected"),
        updates.join(names, on=["school", "key"], how="left", maintain_order="left")["name_before"],
        (~pl.col("school").is_in(_known_schools(baseline).implode())).alias("new"),
    )
    op, kind = pl.col("op"), pl.col("kind")
    leaving, update = op.is_in(LEAVING), op == Op.UPDATE.value
    coaches = (kind == Kind.MEMBERSHIP.value) & (pl.col("role") == Role.COACH.value)
    reason, to_move = pl.col("before") | pl.col("kept"), pl.col("kept_cause") == Cause.MOVED.value
    said = pl.when(pl.col("unapplied_cause") != adoption).then("unapplied_cause")  # nobody adopts it any more
    renamed = [Cause.SOURCE_CHANGED.value, Cause.DRIFT.value]
    cause = (
        # Only a place in a class or a right can be an intruder's: a person or class with our mark is our own making.
        pl.when("adopted")
        .then(adoption)
        .when(leaving & kind.is_in(PERSONAL) & pl.col("key").is_in(list(denied)))
        .then(pl.lit(Cause.DENIED.value))
        .when(leaving & kind.is_in([Kind.MEMBERSHIP.value, Kind.RIGHT.value]) & ~reason)
        .then(pl.lit(Cause.INTRUDER.value))
        .when(leaving & coaches & pl.col("key").is_in(list(withdrawn)))
        .then(pl.lit(Cause.LICENCE_REVOKED.value))
        .when(pl.col("renumbered") & kind.is_in(PERSONAL) & ~update)
        .then(pl.lit(Cause.ID_CHANGED.value))
        .when(leaving & pl.col("edited"))
        .then(pl.lit(Cause.SPEC_CHANGED.value))
        # Who was to move once, and now goes nowhere, leaves; but not who moved, and whose account waits to be closed.
        # What stood still until now has no cause yet, whatever that of another place is.
        .when(
            leaving & pl.col("kept_cause").is_not_null() & (~to_move | pl.col("passed_before") | pl.col("have_moved"))
        )
        .then("kept_cause")
        .when(leaving & pl.col("by_old_rules"))
        .then(pl.lit(edit.value))
        .when(leaving & pl.col("shared") & kind.is_in(PERSONAL) & pl.col("key").is_in(list(reclaimed)))
        .then(pl.lit(Cause.SEAT_RECLAIMED.value))
        .when(leaving & pl.col("shared"))
        .then(pl.lit(Cause.SEATS_CHANGED.value))
        .when(leaving & pl.col("over").is_not_null())
        .then("over")
        .when(leaving & pl.col("moves"))
        .then(pl.lit(Cause.MOVED.value))
        .when(leaving)
        .then(pl.lit(Cause.LEFT_SOURCE.value))
        .when(update & said.is_in(renamed))
        .then(said)
        .when(update & (kind == Kind.PERSON.value) & (pl.col("name") == pl.col("name_before")) & ~pl.col("unapplied"))
        .then(pl.lit(Cause.DRIFT.value))
        .when(update)
        .then(pl.lit(Cause.SOURCE_CHANGED.value))
        .when(said.is_not_null())
        .then(said)
        .when(pl.lit(baseline.first) & (pl.col("new") | pl.col("unapplied")))
        .then(pl.lit(Cause.FIRST_SYNC.value))
        .when(pl.col("before") & ~pl.col("unapplied"))
        .then(pl.lit(Cause.DRIFT.value))
        .when(pl.lit(value=intermediate is not None) & ~pl.col("by_old_rules"))
        .then(pl.lit(Cause.SHARING_CHANGED.value))
        .when(pl.col("newly_seated") | (coaches & pl.col("newly_connected")))
        .then(pl.lit(Cause.SEATS_CHANGED.value))
        .otherwise(pl.lit(Cause.SOURCE_ADDED.value))
    )
    return known.with_columns(cause.alias("cause")).filter(~(pl.col("spared") & reason)).select(*rows.columns, "cause")


def _have_moved(keys: pl.DataFrame, baseline: Baseline, desired: Desired) -> pl.Expr:
    """Which of `keys` (`IDENTITY`) were to go by a move that stands: all that was wanted with it still is."""
    what = ["kind", "key", "role"]
    kept = baseline.kept.filter(pl.col("cause") == Cause.MOVED.value).select(IDENTITY)
    if kept.is_empty():
        return pl.lit(value=False)
    movers = keys.join(kept, on=list(IDENTITY), how="semi", nulls_equal=True).select(what).unique()
    had, have = _places_of(movers, baseline.desired), _places_of(movers, desired)
    withdrawn = had.join(have, on=list(IDENTITY), how="anti", nulls_equal=True)
    there = have.select(what).unique().join(withdrawn, on=what, how="anti", nulls_equal=True)
    found = keys.select(what).join(
        there.with_columns(there=pl.lit(value=True)), on=what, how="left", nulls_equal=True, maintain_order="left"
    )["there"]
    return pl.lit(found).fill_null(value=False)


def _places_of(whom: pl.DataFrame, state: Desired) -> pl.DataFrame:
    """`IDENTITY` of all accounts and places in classes that `state` has for these [kind, key, role]."""
    if whom.is_empty():
        return pl.DataFrame(schema=IDENTITY_SCHEMA)
    people = _named(state.people, state.schools).select("school", "key", person="row").join(whom, on="key", how="semi")
    classes = state.classes.select(class_key="key").with_row_index("class")
    members = state.memberships.with_columns(pl.col("role").cast(pl.String)).join(people, on="person")
    parts = [
        people.with_columns(kind=pl.lit(Kind.PERSON.value)),
        members.join(classes, on="class").with_columns(kind=pl.lit(Kind.MEMBERSHIP.value)),
    ]
    rows = _rows_of(IDENTITY_SCHEMA, pl.concat(parts, how="diagonal_relaxed"))
    return rows.join(whom, on=whom.columns, how="semi", nulls_equal=True)


def _newly_seated(unseated: Desired | None, baseline: Baseline) -> pl.DataFrame:
    """[school, key] of students whom the app did not have: whoever of them is wanted now has been given a seat."""
    if unseated is None:
        return pl.DataFrame(schema={"school": pl.String, "key": pl.String})
    students = _named(unseated.people, unseated.schools).filter(~pl.col("staff")).select("school", "key")
    before = _named(baseline.desired.people, baseline.desired.schools).select("school", "key")
    return students.join(before, on=["school", "key"], how="anti")


def _without_class(unseated: Desired | None, baseline: Baseline) -> pl.DataFrame:
    """[school, key] of people whom the app had, and who taught no class of it: whoever of them does has been connected.

    Only of an app that goes by seats.
    """
    if unseated is None:
        return pl.DataFrame(schema={"school": pl.String, "key": pl.String})
    before = baseline.desired
    people = _named(before.people, before.schools).filter("staff")
    coaches = before.memberships.filter(pl.col("role") == Role.COACH.value)["person"]
    return people.filter(~pl.col("row").is_in(coaches.implode())).select("school", "key")


def _renumbered(rows: pl.DataFrame, desired: Desired, actual: Actual) -> pl.DataFrame:
    """[school, key] of everybody who leaves a school while somebody of the same name arrives, and of who arrives (S8).

    A records system that was replaced, or a transfer, gives a child another id: then the old account must not be
    closed, nor an empty one made beside it, before somebody has looked. Namesakes are rare enough to be asked about.
    """
    place, name = ["school", "key"], pl.col("name").str.strip_chars().str.to_lowercase()
    arriving = rows.filter((pl.col("kind") == Kind.PERSON.value) & (pl.col("op") == Op.CREATE.value))
    going = rows.filter(pl.col("op").is_in(LEAVING) & pl.col("kind").is_in(PERSONAL)).select(place).unique()
    if arriving.is_empty() or going.is_empty():
        return going.clear()
    there = _named(actual.people, actual.schools).select(*place, "name").join(going, on=place, how="semi")
    gone = there.join(_named(desired.people, desired.schools), on=place, how="anti")
    pairs = gone.select(*place, name).join(arriving.select(*place, name), on=["school", "name"], suffix="_now")
    return pl.concat([pairs.select(place), pairs.select("school", key="key_now")]).unique()


def moves(rows: pl.DataFrame) -> pl.Series:
    """Whether somebody loses a class, or an account, and gets another one in the same plan: then nobody is lost.

    `rows` of a plan, or of the source door. Boolean per row.
    """
    place = ["kind", "key", "role"]
    arriving = rows.filter(
        pl.col("op").is_in(COMING) & pl.col("kind").is_in([Kind.MEMBERSHIP.value, Kind.PERSON.value])
    ).select(place)
    found = rows.select(place).join(
        arriving.unique().with_columns(moves=pl.lit(value=True)),
        on=place,
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )
    return found["moves"].fill_null(value=False)


def _with_identity(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` of a plan with all columns that `_with_causes` looks at."""
    absent = {**dict.fromkeys((*IDENTITY, "name"), pl.String()), "spared": pl.Boolean()}
    return rows.with_columns(
        pl.lit(None, dtype=dtype).alias(name) for name, dtype in absent.items() if name not in rows.columns
    ).with_columns(pl.col("spared").fill_null(value=False))


def _looked_up(keys: pl.DataFrame, found: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """`columns` of the row of `found` with the same identity, or nulls, and whether one is `there`.

    `found` has no identity twice.
    """
    if found.is_empty():
        nothing = {name: repeated(None, keys.height, found.schema[name]) for name in columns}
        return pl.DataFrame({**nothing, "there": repeated(value=False, n=keys.height, dtype=pl.Boolean)})
    there = found.select(*IDENTITY, *columns, there=pl.lit(value=True))
    there = keys[[*IDENTITY]].join(there, on=IDENTITY, how="left", nulls_equal=True, maintain_order="left")
    return there.select(*columns, pl.col("there").fill_null(value=False))


def _sections(rows: pl.DataFrame) -> pl.Series:
    """The classes that `rows` of a plan are, or are in; null where none."""
    rows = _with_identity(rows)
    return rows.select(pl.when(pl.col("kind") == Kind.CLASS.value).then("key").otherwise("class_key")).to_series()


def over(
    rows: pl.DataFrame, roster: Roster, today: date, *, ended: pl.Series, roles: Mapping[str, str] = PLAYED
) -> pl.DataFrame:
    """Those memberships, classes and people in `rows` that the records have, with dates that are over.

    Columns `IDENTITY` and `cause`: `RolledOver` where the whole school year of a class is over, else `TermEnded`.
    `ended`: ids of classes whose section is the class of a later school year now; they and their places are over
    whether or not the records have them. `roles`: what those of the records are in `rows`; others count nowhere.
    """
    if rows.is_empty():
        return pl.DataFrame(schema={**IDENTITY_SCHEMA, "cause": pl.String})
    sessions = roster.sessions.select(
        (pl.col("end") <= today).fill_null(value=False).alias("over"),
        (pl.col("end").max().over("school_year") <= today).fill_null(value=False).alias("rolled")
        & pl.col("school_year").is_not_null(),
    )
    places = _named(roster.classes.select("id", "terms", "school"), roster.orgs.select(key="id"))
    terms = places.select("row", "terms").explode("terms", empty_as_null=True).drop_nulls("terms")
    years = (
        pl.concat([terms.select("row"), sessions[terms["terms"]]], how="horizontal")
        .group_by("row")
        .agg(pl.col("over").all(), pl.col("rolled").all())
    )
    classes = places.join(years, on="row", how="left").select(
        "school",
        "row",
        pl.col("id").alias("class_key"),
        pl.col("over", "rolled").fill_null(value=False) | pl.col("id").is_in(ended.implode()),
    )
    users = roster.users.select(pl.col("id").alias("key"), pl.int_range(pl.len(), dtype=_ROW).alias("user"))
    concerned = rows.select("key").unique().join(users, on="key")
    enrolled = (
        roster.enrollments.join(concerned, on="user")
        .join(classes, left_on="class", right_on="row")
        .select(
            "school",
            "key",
            "class_key",
            pl.col("role").cast(pl.String).replace_strict(roles, default=None, return_dtype=pl.String),
            (pl.col("over") | (pl.col("end") <= today).fill_null(value=False)).alias("over"),
            "rolled",
        )
        .drop_nulls("role")
    )
    by_member, by_person = ["school", "key", "class_key", "role"], ["school", "key"]
    ends = [pl.col("over").all(), pl.col("rolled").any()]
    rows = identity(_with_identity(rows))
    of = {kind: rows.filter(pl.col("kind") == kind.value) for kind in (Kind.MEMBERSHIP, Kind.PERSON, Kind.CLASS)}
    found = [
        of[Kind.MEMBERSHIP].join(enrolled.group_by(by_member).agg(ends), on=by_member),
        of[Kind.PERSON].join(enrolled.group_by(by_person).agg(ends), on=by_person),
        of[Kind.CLASS].join(classes, left_on=by_person, right_on=["school", "class_key"]),
    ]
    cause = pl.when("rolled").then(pl.lit(Cause.ROLLED_OVER.value)).otherwise(pl.lit(Cause.TERM_ENDED.value))
    parts = [part.filter("over").select(*IDENTITY, cause.alias("cause")) for part in found]
    if not ended.is_empty():
        gone_on = rows.filter(pl.col("kind") != Kind.PERSON.value, _sections(rows).is_in(ended.implode()))
        parts.append(gone_on.with_columns(cause=pl.lit(Cause.ROLLED_OVER.value)))
    return pl.concat(parts).unique(IDENTITY)


# ---------------------------------------------------------------------------------------------------------------------
# What to remember


def expected(
    desired: Desired,
    actual: Actual,
    plan: Plan,
    *,
    before: Baseline | None,
    passed: Plan | None = None,
    now: datetime | None = None,
) -> Baseline:
    """The baseline to store before the first change of a run; `plan` is the whole of `diff`, and nothing of it is done.

    `passed`: the part of it that the guards have let through. `now`: for what has no reason any more from now on.

    A school that cannot be read stays as it was in `before`. One that was never read completely is left out, so that
    nothing is removed there; when it is read for the first time, all that we find marked there counts as having had a
    reason.
    """
    old = _read(before) or Baseline(
        desired=_NOTHING, kept=_rows_of(KEPT_SCHEMA), unapplied=_rows_of(UNAPPLIED_SCHEMA), first=True
    )
    still = _still(actual)
    unread, known = still.schools["school"].implode(), _known_schools(old).implode()

    keys = desired.schools["key"]
    moved = ~keys.is_in(unread)
    if not actual.complete:
        moved &= keys.is_in(known)
    state = desired
    if not moved.all():
        stays = old.desired.schools["key"].is_in(unread)
        state = _joined(_only(old.desired, stays), _only(desired, moved))

    gone = [old.kept, _of_adoptions(plan)]
    if not _equal(state, old.desired):
        gone.insert(0, _marked(_compare(state, old.desired), old.desired, people=_strongest(old.desired)))
    if actual.complete and not actual.schools["key"].drop_nulls().is_in(known).all():
        found = _marked(_compare(desired, actual), actual, people=_seen(actual))
        gone.append(found.filter(~pl.col("school").is_in(known)))
    kept = pl.concat(gone).unique(IDENTITY, keep="first", maintain_order=True)
    kept = _lacking(kept, in_state(kept, state))
    if actual.complete:
        # What the target no longer has is over, but only where we can believe our eyes.
        kept = _lacking(kept, _vanished(kept, actual, still))

    changes = plan.changes.select(pl.col(name).cast(pl.String) for name in (*IDENTITY, "op", "cause"))
    leaving = pl.col("op").is_in(LEAVING)
    planned = changes.filter(leaving).unique(IDENTITY)
    kept = kept.with_columns(
        pl.lit(_looked_up(kept, planned, "cause")["cause"]).fill_null(pl.col("cause")).alias("cause"),
        pl.col("since").fill_null(pl.lit(now, MOMENT)),
    )
    seen = _moving(kept, still) if actual.complete else kept.clear()
    through = seen.clear() if passed is None else _through(passed, seen, now)
    kept = pl.concat([_lacking(kept, seen), _lacking(seen, through).with_columns(_NOT_PASSED), through])
    coming = changes.filter(~leaving & pl.col("school").is_in(state.schools["key"].implode())).select(*UNAPPLIED_SCHEMA)
    waiting = _lacking(old.unapplied, _moving(old.unapplied, still))
    parts = [
        coming,
        waiting.join(in_state(waiting, state), on=list(IDENTITY), how="semi", nulls_equal=True),
        _asked(state, old.desired, still),
    ]
    unapplied = pl.concat(parts).unique(IDENTITY, keep="first", maintain_order=True)
    return Baseline(
        desired=state,
        kept=kept,
        unapplied=unapplied,
        first=old.first and (not unapplied.is_empty() or state is not desired),
    )


_NOT_PASSED: Final = [pl.lit(None, MOMENT).alias("passed"), pl.lit(None, pl.String).alias("hold")]


def _through(passed: Plan, kept: pl.DataFrame, now: datetime | None) -> pl.DataFrame:
    """Those of `kept` whose end is in `passed`, with the moment when it came there first, and by which hold."""
    rows = passed.changes.filter(pl.col("op").cast(pl.String).is_in(LEAVING))
    when = identity(rows).with_columns(rows["passed"], rows["hold"]).unique(IDENTITY, keep="first", maintain_order=True)
    found = kept.drop("passed", "hold").join(when, on=list(IDENTITY), how="inner", nulls_equal=True)
    return found.with_columns(pl.col("passed").fill_null(pl.lit(now, MOMENT))).select(kept.columns)


def _vanished(kept: pl.DataFrame, actual: Actual, still: _Still) -> pl.DataFrame:
    """`IDENTITY` of those of `kept` that a complete reading no longer finds, though they could be seen."""
    visible = _moving(kept, still)
    return _lacking(visible, in_state(visible, actual)).select(IDENTITY)


def is_current(baseline: Baseline, actual: Actual) -> bool:
    """Whether what is kept is there still, and dated: then a run that changes nothing has nothing to remember."""
    return baseline.dated and (not actual.complete or _vanished(baseline.kept, actual, _still(actual)).is_empty())


def passed_rows(baseline: Baseline) -> pl.DataFrame:
    """[*CHANGE, hold, passed]: what is there still, and whose end the guards have let through."""
    ends = {Kind.PERSON.value: Op.SUSPEND.value, Kind.CLASS.value: Op.ARCHIVE.value}
    rows = _rows_of(KEPT_SCHEMA, baseline.kept).filter(pl.col("passed").is_not_null())
    op = pl.col("kind").replace_strict(ends, default=Op.REMOVE.value, return_dtype=pl.String)
    return rows.select(op.alias("op"), *IDENTITY, "hold", "passed")


def _of_kept(rows: pl.DataFrame, baseline: Baseline) -> pl.DataFrame:
    """[since, passed, hold] of `rows` of a plan, null where nothing is known."""
    keys, kept = identity(rows), baseline.kept
    return _looked_up(keys, kept, "since", "passed", "hold", "cause")


def _read(baseline: Baseline | None) -> Baseline | None:
    """A baseline as stored, perhaps by a release that remembered less."""
    if baseline is None:
        return None
    kept, unapplied = _rows_of(KEPT_SCHEMA, baseline.kept), _rows_of(UNAPPLIED_SCHEMA, baseline.unapplied)
    return replace(baseline, kept=kept, unapplied=unapplied)


def _of_adoptions(plan: Plan) -> pl.DataFrame:
    """Who is in classes that are adopted, and not wanted there: had a reason, as far as we know."""
    of_adoption = pl.col("op").cast(pl.String).is_in(LEAVING) & (
        pl.col("cause").cast(pl.String) == Cause.ADOPTION.value
    )
    rows = plan.changes.filter(of_adoption)
    return _rows_of(KEPT_SCHEMA, rows.select(pl.col(name).cast(pl.String) for name in (*IDENTITY, "cause")))


_NOTHING: Final = Desired(**{name: pl.DataFrame(schema=schema) for name, schema in DESIRED_SCHEMAS.items()})


def _equal(one: Desired, other: Desired) -> bool:
    """The same rows in the same order."""
    return all(getattr(one, name).equals(getattr(other, name)) for name in DESIRED_SCHEMAS)


def _marked(compared: _Comparison, there: Desired | Actual, *, people: pl.DataFrame) -> pl.DataFrame:
    """What of ours `there` has and the other state lacks: columns `KEPT_SCHEMA`. `people`: [school, key, was]."""
    ours = there.people["key"].is_not_null()
    managed = there.classes["key"].is_not_null()
    extra, rights = compared.extra, compared.extra_rights
    extra = extra.filter(ours[extra["person"]] & managed[extra["class"]])
    left = compared.people.filter(pl.col("row").is_null()).select("school", "key")
    parts = [
        _membership_rows(extra, there, Op.REMOVE),
        _right_rows(rights.filter(ours[rights["person"]]), there, Op.REMOVE),
        _rows(compared.classes.filter(pl.col("row").is_null()), Kind.CLASS, Op.ARCHIVE),
        _rows(left.join(people, on=["school", "key"], how="left"), Kind.PERSON, Op.SUSPEND, "was"),
    ]
    return _rows_of(KEPT_SCHEMA, _all_rows(parts))


def _seen(actual: Actual) -> pl.DataFrame:
    """[school, key, was] of our people, as they stand in the target; a mere learner may have been more."""
    coaches = actual.memberships.filter(pl.col("role") == Role.COACH.value)["person"]
    return (
        _named(actual.people, actual.schools)
        .filter(pl.col("key").is_not_null())
        .select(
            "school",
            "key",
            pl.when(pl.col("row").is_in(actual.rights["person"].implode()))
            .then(pl.lit(Role.ADMINISTRATOR.value))
            .when(pl.col("row").is_in(coaches.implode()))
            .then(pl.lit(Role.COACH.value))
            .alias("was"),
        )
        .unique(["school", "key"])
    )


def _asked(state: Desired, before: Desired, still: _Still) -> pl.DataFrame:
    """What `state` newly wants of people and classes that stand still: columns `UNAPPLIED_SCHEMA`."""
    if still.people.is_empty() and still.classes.is_empty():
        return _rows_of(UNAPPLIED_SCHEMA)
    people = _named(state.people, state.schools).join(still.people, on=["school", "key"], how="semi")
    classes = _named(state.classes, state.schools).join(still.classes, on=["school", "key"], how="semi")
    rows, sections = people["row"].implode(), classes["row"].implode()
    members = state.memberships.filter(pl.col("person").is_in(rows) | pl.col("class").is_in(sections))
    parts = [
        _rows(people, Kind.PERSON, Op.CREATE),
        _rows(classes, Kind.CLASS, Op.CREATE),
        _membership_rows(members, state, Op.CREATE),
        _right_rows(state.rights.filter(pl.col("person").is_in(rows)), state, Op.CREATE),
    ]
    wanted = _rows_of(UNAPPLIED_SCHEMA, _all_rows(parts))
    new = _lacking(wanted, in_state(wanted, before)).with_columns(pl.lit(Cause.SOURCE_ADDED.value).alias("cause"))
    renamed = people.join(_named(before.people, before.schools), on=["school", "key"], suffix="_before").filter(
        pl.col("name") != pl.col("name_before")
    )
    changed = _rows_of(UNAPPLIED_SCHEMA, _rows(renamed, Kind.PERSON, Op.UPDATE))
    return pl.concat([new, changed.with_columns(pl.lit(Cause.SOURCE_CHANGED.value).alias("cause"))])


def _rows_of(schema: pl.Schema, rows: pl.DataFrame | None = None) -> pl.DataFrame:
    """`rows` with exactly the columns of `schema`, missing ones null."""
    if rows is None or rows.is_empty():
        return pl.DataFrame(schema=schema)
    if rows.schema == schema:
        return rows
    absent = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in schema.items() if name not in rows.columns]
    return rows.with_columns(absent).select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def _only(state: Desired, schools: pl.Series) -> Desired:
    """The part of `state` in the marked `schools` (Boolean per row)."""
    school_of_person, school_of_class = state.people["school"], state.classes["school"]
    people, classes = schools[school_of_person], schools[school_of_class]
    to_school, to_person, to_class = _numbers(schools), _numbers(people), _numbers(classes)
    members, rights = state.memberships, state.rights
    return Desired(
        schools=state.schools.filter(schools),
        people=state.people.with_columns(to_school[school_of_person].alias("school")).filter(people),
        classes=state.classes.with_columns(to_school[school_of_class].alias("school")).filter(classes),
        memberships=members.with_columns(
            to_class[members["class"]].alias("class"), to_person[members["person"]].alias("person")
        ).drop_nulls(),
        rights=rights.with_columns(to_person[rights["person"]].alias("person")).drop_nulls(),
    )


def _numbers(marks: pl.Series) -> pl.Series:
    """New row numbers of the marked rows, null for the others."""
    rows = marks.arg_true()
    numbers = pl.int_range(rows.len(), dtype=_ROW, eager=True)
    return repeated(None, marks.len(), dtype=_ROW).scatter(rows, numbers)


def _joined(first: Desired, second: Desired) -> Desired:
    """Both states, which have no school in common."""
    schools, people, classes = first.schools.height, first.people.height, first.classes.height

    def moved(column: str, by: int) -> pl.Expr:
        return pl.col(column) + pl.lit(by, dtype=_ROW)

    return Desired(
        schools=pl.concat([first.schools, second.schools]),
        people=pl.concat([first.people, second.people.with_columns(moved("school", schools))]),
        classes=pl.concat([first.classes, second.classes.with_columns(moved("school", schools))]),
        memberships=pl.concat(
            [first.memberships, second.memberships.with_columns(moved("class", classes), moved("person", people))]
        ),
        rights=pl.concat([first.rights, second.rights.with_columns(moved("person", people))]),
    )

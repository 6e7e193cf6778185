"""What has to change in a target, and why: desired against actual, with the last applied state as the third witness.

::

    desired --+                          baseline (what had a reason before) --+
              +--> rows that differ  -->                                      +--> cause per row --> Plan
    actual  --+                          intermediate (old rules, new records)-+

Pure and columnar: people and classes are matched by source id once, memberships are compared as integers. The rules:

* A membership of a managed class that never had a reason is an intruder's; one that we had applied and is gone was
  taken by hand. Both are drift (invariant 7).
* A name of a class or school is set when the records change it; a rename by people in the product stays (three-way).
  The name of a person belongs to the records.
* Nothing is removed without a baseline: then we cannot know what had a reason (a lost store, section 8).
* What touches a conflict, or a school that could not be read, stands still both ways (invariants 6 and 13).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from homeroom.api import ClassRemoval, PersonRemoval, Removal
from homeroom.plan import Cause, Kind, Op, Plan, Role
from homeroom.roster.state import Actual, Desired
from homeroom.roster.tables import Roster

IDENTITY: Final = ("kind", "school", "key", "class_key", "role")
"""What makes two rows of a plan the same thing."""

_LEAVING: Final = (Op.REMOVE, Op.ARCHIVE, Op.SUSPEND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What had a reason to be in the target when a plan was last applied, whatever became of the applying.

    `desired` is what was wanted then. `kept` are rows that were to go and have not (held, failed, policy), `unapplied`
    those that were to come and have not: frames with the columns `IDENTITY`. Stored before the first change of a run
    (everything planned counts as unapplied) and again after it, so that a crash never turns a member into an intruder.
    """

    desired: Desired
    kept: pl.DataFrame
    unapplied: pl.DataFrame
    first: bool = False  # nothing has ever been applied in full


def identity(changes: pl.DataFrame) -> pl.DataFrame:
    """The columns `IDENTITY` of rows of a plan, as text."""
    return changes.select(pl.col(column).cast(pl.String) for column in IDENTITY)


def diff(
    desired: Desired,
    actual: Actual,
    *,
    baseline: Baseline | None,
    removal: Removal,
    roster: Roster | None = None,
    intermediate: Desired | None = None,
) -> Plan:
    """Compare, and say why.

    `roster`: the records behind `desired`, to tell an ended enrollment from a vanished one. `intermediate`: what the
    rules of the last applied plan make of the same records; given only when the rules have changed since.
    """
    schools = _matched(
        desired.schools.with_columns(pl.lit("").alias("school")),
        actual.schools.with_columns(pl.lit("").alias("school")),
    )
    people = _matched(_named(desired.people, desired.schools), _named(actual.people, actual.schools))
    classes = _matched(_named(desired.classes, desired.schools), _named(actual.classes, actual.schools))
    before = baseline.desired if baseline else None

    coming = [
        _school_changes(schools, before),
        _person_changes(people),
        _class_changes(classes, before),
        _lacking_memberships(desired, actual, people, classes),
        _lacking_rights(desired, actual, people),
    ]
    going: list[pl.DataFrame] = []
    if baseline is not None and actual.complete:
        going = _leaving(desired, actual, people, classes, removal=removal, baseline=baseline)
    rows = pl.concat([*coming, *going], how="diagonal_relaxed")
    if actual.unsure:
        rows = rows.filter(~pl.col("school").is_in(list(actual.unsure)))
    if actual.conflicts:
        conflicts = pl.DataFrame(sorted(actual.conflicts), schema=["school", "key"], orient="row")
        personal = pl.col("kind").is_in([Kind.PERSON, Kind.MEMBERSHIP, Kind.RIGHT])
        rows = pl.concat(
            [rows.filter(~personal), rows.filter(personal).join(conflicts, on=["school", "key"], how="anti")]
        )
    if rows.is_empty():
        return Plan.of(rows.drop("cause", strict=False))
    return Plan.of(_with_causes(rows, baseline=baseline, roster=roster, intermediate=intermediate))


def _named(frame: pl.DataFrame, schools: pl.DataFrame) -> pl.DataFrame:
    """Put the school's source id in place of its row number; rows of schools that are not ours fall out.

    Keeps the row number of the frame itself as `row` (UInt32).
    """
    keys = schools.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("school"), pl.col("key").alias("school_key"))
    return (
        frame.with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"))
        .join(keys, on="school", how="left", maintain_order="left")
        .drop("school")
        .rename({"school_key": "school"})
    )


def _matched(desired: pl.DataFrame, actual: pl.DataFrame) -> pl.DataFrame:
    """Full join of two named frames on (school, key): columns of the second get the suffix `_now`.

    `row` is null where nothing is desired, `row_now` where nothing is there. Rows without a key are people's own.
    """
    if "row" not in desired.columns:
        desired = desired.with_row_index("row")
        actual = actual.with_row_index("row")
    owned = actual.filter(pl.col("key").is_not_null() & pl.col("school").is_not_null())
    return desired.join(owned, on=["school", "key"], how="full", coalesce=True, suffix="_now")


def _rows(frame: pl.DataFrame, kind: Kind, op: Op, *columns: str) -> pl.DataFrame:
    """Rows of a plan: `school` and `key`, and what else is named."""
    return frame.select("school", "key", *columns, pl.lit(kind.value).alias("kind"), pl.lit(op.value).alias("op"))


def _school_changes(schools: pl.DataFrame, before: Desired | None) -> pl.DataFrame:
    schools = schools.with_columns(school=pl.col("key"))
    return pl.concat(
        [
            _rows(schools.filter(pl.col("row_now").is_null()), Kind.SCHOOL, Op.CREATE, "name"),
            _rows(
                _renamed(schools, before.schools.with_columns(school=pl.col("key")) if before else None),
                Kind.SCHOOL,
                Op.UPDATE,
                "name",
                "external_id",
            ),
        ],
        how="diagonal",
    )


def _renamed(matched: pl.DataFrame, before: pl.DataFrame | None) -> pl.DataFrame:
    """Rows whose name the records changed since the last plan, and which the target does not show yet."""
    different = matched.filter(
        pl.col("row").is_not_null() & pl.col("row_now").is_not_null() & (pl.col("name") != pl.col("name_now"))
    )
    if before is None or different.is_empty():
        return different.clear()
    known = before.select("school", "key", pl.col("name").alias("name_before"))
    return different.join(known, on=["school", "key"], how="inner").filter(pl.col("name") != pl.col("name_before"))


def _person_changes(people: pl.DataFrame) -> pl.DataFrame:
    wanted = people.filter(pl.col("row").is_not_null())
    there = wanted.filter(pl.col("row_now").is_not_null())
    fields = ("name", "username", "staff")
    return pl.concat(
        [
            _rows(wanted.filter(pl.col("row_now").is_null()), Kind.PERSON, Op.CREATE, *fields),
            _rows(there.filter("suspended"), Kind.PERSON, Op.RESTORE, *fields, "external_id"),
            _rows(
                there.filter(~pl.col("suspended") & (pl.col("name") != pl.col("name_now"))),
                Kind.PERSON,
                Op.UPDATE,
                *fields,
                "external_id",
            ),
        ],
        how="diagonal",
    )


def _class_changes(classes: pl.DataFrame, before: Desired | None) -> pl.DataFrame:
    wanted = classes.filter(pl.col("row").is_not_null())
    return pl.concat(
        [
            _rows(wanted.filter(pl.col("row_now").is_null()), Kind.CLASS, Op.CREATE, "name"),
            _rows(wanted.filter("archived"), Kind.CLASS, Op.RESTORE, "name", "external_id"),
            _rows(
                _renamed(
                    wanted.filter(~pl.col("archived")), _named(before.classes, before.schools) if before else None
                ),
                Kind.CLASS,
                Op.UPDATE,
                "name",
                "external_id",
            ),
        ],
        how="diagonal",
    )


def _lookup(matched: pl.DataFrame, size: int) -> pl.Series:
    """For each row of the actual frame the row of the desired one; null where nothing is desired. Length `size`."""
    pairs = matched.filter(pl.col("row").is_not_null() & pl.col("row_now").is_not_null()).select("row_now", "row")
    rows = pl.DataFrame({"row_now": pl.int_range(size, dtype=pl.UInt32, eager=True)})
    return rows.join(pairs, on="row_now", how="left", maintain_order="left")["row"]


_CODE: Final = pl.col("class").cast(pl.UInt64) * 2**33 + pl.col("person").cast(pl.UInt64) * 2
"""A membership as one number: rows of class and person, and in the lowest bit the role."""


def _codes(memberships: pl.DataFrame) -> pl.DataFrame:
    role = (pl.col("role") == Role.COACH.value).cast(pl.UInt64)
    return memberships.select((_CODE + role).alias("code"))


def _lacking_memberships(desired: Desired, actual: Actual, people: pl.DataFrame, classes: pl.DataFrame) -> pl.DataFrame:
    """All desired memberships that the target lacks, as rows of a plan."""
    to_class, to_person = _lookup(classes, actual.classes.height), _lookup(people, actual.people.height)
    present = actual.memberships.select(
        to_class.gather(actual.memberships["class"]).alias("class"),
        to_person.gather(actual.memberships["person"]).alias("person"),
        "role",
    ).drop_nulls()
    lacking = desired.memberships.with_columns(_codes(desired.memberships)["code"]).join(
        _codes(present), on="code", how="anti"
    )
    return _membership_rows(lacking, desired.people, desired.classes, desired.schools, Op.CREATE)


def _membership_rows(
    rows: pl.DataFrame, people: pl.DataFrame, classes: pl.DataFrame, schools: pl.DataFrame, op: Op
) -> pl.DataFrame:
    """Turn row numbers of memberships back into source ids; people without one get `?` and their external id."""
    of_class, of_person = classes[rows["class"]], people[rows["person"]]
    if "external_id" in of_person.columns:
        of_person = of_person.with_columns(pl.coalesce("key", pl.lit("?") + pl.col("external_id")).alias("key"))
    return rows.drop("class", "person", "code", strict=False).with_columns(
        schools["key"].gather(of_class["school"]).alias("school"),
        of_person["key"],
        of_class["key"].alias("class_key"),
        pl.col("role").cast(pl.String),
        pl.lit(Kind.MEMBERSHIP.value).alias("kind"),
        pl.lit(op.value).alias("op"),
    )


def _lacking_rights(desired: Desired, actual: Actual, people: pl.DataFrame) -> pl.DataFrame:
    """All desired rights that the target lacks, as rows of a plan."""
    present = _lookup(people, actual.people.height).gather(actual.rights["person"]).drop_nulls()
    lacking = desired.rights.filter(~pl.col("person").is_in(present.implode()))
    return _right_rows(lacking, desired.people, desired.schools, Op.CREATE)


def _right_rows(rows: pl.DataFrame, people: pl.DataFrame, schools: pl.DataFrame, op: Op) -> pl.DataFrame:
    of_person = people[rows["person"]]
    return rows.drop("person").with_columns(
        schools["key"].gather(of_person["school"]).alias("school"),
        of_person["key"],
        pl.lit(None, dtype=pl.String).alias("class_key"),
        pl.lit(Role.ADMINISTRATOR.value).alias("role"),
        pl.lit(Kind.RIGHT.value).alias("kind"),
        pl.lit(op.value).alias("op"),
    )


def _leaving(
    desired: Desired,
    actual: Actual,
    people: pl.DataFrame,
    classes: pl.DataFrame,
    *,
    removal: Removal,
    baseline: Baseline,
) -> list[pl.DataFrame]:
    """Everything that is there in managed classes and schools, and not desired."""
    treatment = _treatment(actual, people, removal=removal, baseline=baseline)  # [row_now, policy] of leavers
    kept_people = treatment.filter(pl.col("policy") == PersonRemoval.KEEP.value)["row_now"]

    to_class, to_person = _lookup(classes, actual.classes.height), _lookup(people, actual.people.height)
    rows = actual.memberships.with_columns(
        to_class.gather(actual.memberships["class"]).alias("class_wanted"),
        to_person.gather(actual.memberships["person"]).alias("person_wanted"),
        actual.classes["key"].is_not_null().gather(actual.memberships["class"]).alias("managed"),
    ).filter("managed")
    if removal.classes is ClassRemoval.KEEP:
        rows = rows.filter(pl.col("class_wanted").is_not_null())
    wanted = rows.select(
        "class",
        "person",
        "role",
        "external_id",
        _codes(rows.select(pl.col("class_wanted").alias("class"), pl.col("person_wanted").alias("person"), "role"))[
            "code"
        ],
    )
    wanted = wanted.filter(~pl.col("person").is_in(kept_people.implode()))
    extra = wanted.filter(pl.col("code").is_null()).vstack(
        wanted.filter(pl.col("code").is_not_null()).join(_codes(desired.memberships), on="code", how="anti")
    )
    going = [_membership_rows(extra, actual.people, actual.classes, actual.schools, Op.REMOVE)]

    # Rights: only of people with our mark (somebody's own administrator account is not ours), and only as the removal
    # of administrators says. A right that never had a reason is an intruder's and goes in any case.
    owned = actual.people["key"].is_not_null()
    held = actual.rights.filter(owned.gather(actual.rights["person"]))
    still = pl.Series("person", to_person.gather(held["person"]), dtype=pl.UInt32)
    extra_rights = held.filter(~still.is_in(desired.rights["person"].implode()).fill_null(value=False))
    right_rows = _right_rows(extra_rights, actual.people, actual.schools, Op.REMOVE)
    if removal.administrators is PersonRemoval.KEEP:
        right_rows = right_rows.join(_had_reason(right_rows, baseline), on=list(IDENTITY), how="anti", nulls_equal=True)
    going.append(right_rows)

    if removal.classes is ClassRemoval.ARCHIVE:
        gone = classes.filter(pl.col("row").is_null() & ~pl.col("archived"))
        going.append(_rows(gone, Kind.CLASS, Op.ARCHIVE, "external_id"))
    leavers = people.filter(pl.col("row").is_null()).join(
        treatment.filter(pl.col("policy") == PersonRemoval.SUSPEND.value), on="row_now", how="semi"
    )
    going.append(_rows(leavers, Kind.PERSON, Op.SUSPEND, "external_id"))
    return going


def _treatment(actual: Actual, people: pl.DataFrame, *, removal: Removal, baseline: Baseline) -> pl.DataFrame:
    """How each person who is there and no longer desired is treated: [row_now, policy].

    What they were is taken from the last applied state and from what they are in the target: the strongest counts. Of
    whom nothing is known, the account is kept.
    """
    gone = people.filter(pl.col("row").is_null() & ~pl.col("suspended")).select("row_now", "school", "key")
    before = baseline.desired
    was = _named(before.people, before.schools).select(
        "school", "key", "staff", pl.col("row").is_in(before.rights["person"].implode()).alias("administrator")
    )
    rows = gone.join(was, on=["school", "key"], how="left", maintain_order="left")
    coaches = actual.memberships.filter(pl.col("role") == Role.COACH.value)["person"].implode()
    administrator = pl.col("administrator").fill_null(value=False) | pl.col("row_now").is_in(
        actual.rights["person"].implode()
    )
    teacher = pl.col("staff").fill_null(value=False) | pl.col("row_now").is_in(coaches)
    return rows.select(
        "row_now",
        pl.when(administrator)
        .then(pl.lit(removal.administrators.value))
        .when(teacher)
        .then(pl.lit(removal.teachers.value))
        .when(pl.col("staff").is_null())
        .then(pl.lit(PersonRemoval.KEEP_ACCOUNT.value))
        .otherwise(pl.lit(removal.students.value))
        .alias("policy"),
    )


def _had_reason(rows: pl.DataFrame, baseline: Baseline) -> pl.DataFrame:
    """Those of `rows` (columns `IDENTITY`) that were desired by the last applied plan, or were to go and have not."""
    rows = _identity_of(rows)
    return pl.concat(
        [_in_state(rows, baseline.desired), rows.join(baseline.kept, on=list(IDENTITY), how="semi", nulls_equal=True)]
    ).unique()


def _identity_of(rows: pl.DataFrame) -> pl.DataFrame:
    absent = [pl.lit(None, dtype=pl.String).alias(column) for column in IDENTITY if column not in rows.columns]
    return identity(rows.with_columns(absent))


def _in_state(rows: pl.DataFrame, state: Desired) -> pl.DataFrame:
    """Those of `rows` (columns `IDENTITY`, few) that `state` contains."""
    people = _named(state.people, state.schools).select("school", "key", pl.col("row").alias("person"))
    classes = _named(state.classes, state.schools).select(
        "school", pl.col("key").alias("class_key"), pl.col("row").alias("class")
    )

    def of(kind: Kind) -> pl.DataFrame:
        return rows.filter(pl.col("kind") == kind.value)

    members = of(Kind.MEMBERSHIP).join(people, on=["school", "key"]).join(classes, on=["school", "class_key"])
    rights = of(Kind.RIGHT).join(people, on=["school", "key"])
    found = [
        of(Kind.SCHOOL).join(state.schools, on="key", how="semi"),
        of(Kind.PERSON).join(people, on=["school", "key"], how="semi"),
        of(Kind.CLASS).join(classes, left_on=["school", "key"], right_on=["school", "class_key"], how="semi"),
        members.with_columns(_codes(members)["code"]).join(
            _codes(state.memberships.join(members, on=["class", "person"], how="semi")), on="code", how="semi"
        ),
        rights.join(state.rights, on="person", how="semi"),
    ]
    return pl.concat([frame.select(IDENTITY) for frame in found])


def _with_causes(
    rows: pl.DataFrame, *, baseline: Baseline | None, roster: Roster | None, intermediate: Desired | None
) -> pl.DataFrame:
    """Add the column `cause`: why each row is in the plan (invariant 12)."""
    absent = [pl.lit(None, dtype=pl.String).alias(column) for column in IDENTITY if column not in rows.columns]
    rows = rows.with_columns(absent)
    keys = identity(rows)

    def has(found: pl.DataFrame, name: str) -> pl.Series:
        marked = keys.join(
            found.unique().with_columns(pl.lit(value=True).alias(name)),
            on=list(IDENTITY),
            how="left",
            nulls_equal=True,
            maintain_order="left",
        )
        return marked[name].fill_null(value=False)

    if baseline is None:
        return rows.with_columns(pl.lit(Cause.FIRST_SYNC.value).alias("cause"))
    nothing = keys.clear()
    known = rows.with_columns(
        has(_had_reason(keys, baseline), "reason"),
        has(baseline.unapplied, "unapplied"),
        has(_in_state(keys, intermediate) if intermediate else nothing, "by_old_rules"),
        has(_recorded(keys, roster) if roster else nothing, "recorded"),
        pl.col("op").is_in([op.value for op in _LEAVING]).alias("leaving"),
    )
    edited = pl.lit(value=intermediate is not None)
    cause = (
        pl.when(pl.col("leaving") & ~pl.col("reason"))
        .then(pl.lit(Cause.INTRUDER.value))
        .when(pl.col("leaving") & pl.col("by_old_rules"))
        .then(pl.lit(Cause.SHARING_CHANGED.value))
        .when(pl.col("leaving") & pl.col("recorded"))
        .then(pl.lit(Cause.TERM_ENDED.value))
        .when("leaving")
        .then(pl.lit(Cause.LEFT_SOURCE.value))
        .when(pl.col("op") == Op.UPDATE.value)
        .then(pl.lit(Cause.SOURCE_CHANGED.value))
        .when(pl.lit(value=baseline.first))
        .then(pl.lit(Cause.FIRST_SYNC.value))
        .when(pl.col("reason") & ~pl.col("unapplied"))
        .then(pl.lit(Cause.DRIFT.value))
        .when(edited & ~pl.col("by_old_rules"))
        .then(pl.lit(Cause.SHARING_CHANGED.value))
        .otherwise(pl.lit(Cause.SOURCE_ADDED.value))
    )
    return known.select(*rows.columns, cause.alias("cause"))


def _recorded(rows: pl.DataFrame, roster: Roster) -> pl.DataFrame:
    """Those of the memberships and classes in `rows` that the records still have, though out of date."""
    classes = roster.classes.select(
        pl.col("id").alias("class_key"), pl.int_range(pl.len(), dtype=pl.UInt32).alias("class")
    )
    users = roster.users.select(pl.col("id").alias("key"), pl.int_range(pl.len(), dtype=pl.UInt32).alias("user"))
    members = (
        rows.filter(pl.col("kind") == Kind.MEMBERSHIP.value)
        .join(classes, on="class_key")
        .join(users, on="key")
        .join(roster.enrollments.select("class", "user"), on=["class", "user"], how="semi")
    )
    known = rows.filter(pl.col("kind") == Kind.CLASS.value).join(
        roster.classes, left_on="key", right_on="id", how="semi"
    )
    return pl.concat([members.select(IDENTITY), known.select(IDENTITY)])

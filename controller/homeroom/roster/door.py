"""The source door: what a new reading takes away, and the roster that is served while a part of that is held.

::

    served until now --+--> `compare`, `sizes` --> guard and holds --> held --+
    fresh reading -----+--> identity questions ------------------> frozen ----+--> `serve` --> served from now on

    released by an approval --> `present`: struck  --> `following`: what of an app's plan follows from the rest

Additions are no departures: they pass (DESIGN.md section 6). A departure that is held stays, with everything that it
refers to, as it was; a person about whom there is a question stands still both ways (invariant 6). Pure and columnar:
what is where in the other roster is found once per table, both being sorted by id; all else is arithmetic on row
numbers. Neighbours: `homeroom.roster.accept` made the fresh roster and keeps single invalid records in a like manner,
`homeroom.plan` decides what is held, `homeroom.reconcile.admission` calls all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

import polars as pl

from homeroom.plan import CHANGE, IDENTITY, LEAVING, PERSONAL, PLAN_SCHEMA, SIZES_SCHEMA, Cause, Kind, Op, Plan
from homeroom.roster.accept import REFERENCES, in_order, mapped, rings
from homeroom.roster.diff import PLAYED, moves, over
from homeroom.roster.recognition import answers
from homeroom.roster.shared import DISTRICT_ADMINISTRATORS
from homeroom.roster.tables import FAMILY, SCHEMAS, ClassRole, Roster, SchoolRole, repeated

DEPARTURES: Final = pl.Schema(dict.fromkeys(CHANGE, pl.String()))
"""Columns of `departures`. `op`: Remove or Update; `role`: a `ClassRole`, or of a Right a `SchoolRole`."""

RELEASED: Final = pl.Schema(dict.fromkeys((*CHANGE, "hold"), pl.String()))
"""Columns of departures that an approval let pass, with the id of their hold."""

_REWRITES: Final[Mapping[str, tuple[str, ...]]] = {
    "orgs": ("parent", "type"),
    "classes": ("school", "terms", "grades", "subjects"),
    "users": ("given", "family"),
}
"""What an Update is: a change of these moves access, or makes a record look like another human's."""

_LINKS: Final[Mapping[str, list[str | None]]] = {
    "roles": [*SchoolRole, None],
    "enrollments": [*ClassRole, None],
}
"""The tables without ids, with the words of their roles in the order of the enum; null is the last."""

NO_CLASSES: Final = pl.Series(dtype=pl.String)
_ENROLLED: Final = {role.value: role.value for role in ClassRole}
_KINDS: Final = {
    "orgs": Kind.SCHOOL,
    "classes": Kind.CLASS,
    "users": Kind.PERSON,
    "enrollments": Kind.MEMBERSHIP,
    "roles": Kind.RIGHT,
}
_FAMILY: Final = [role.value for role in FAMILY]
_NO_RIGHTS: Final = [SchoolRole.STUDENT.value, SchoolRole.TEACHER.value, *_FAMILY]  # the first give what is enrolled
_ROW: Final = pl.UInt32
_NO_ROWS: Final = pl.Series(dtype=_ROW)
_NO_MARKS: Final = pl.Series(dtype=pl.Boolean)
_NO_DEPARTURES: Final = pl.DataFrame(schema=DEPARTURES)

_Tables = Mapping[str, pl.DataFrame]


# ---------------------------------------------------------------------------------------------------------------------
# What is taken away


def compare(before: Roster, fresh: Roster, today: date, *, ended: pl.Series = NO_CLASSES) -> Plan:
    """`departures` with their causes, and what comes anew, counted alike (Create): as a plan, for the guard.

    Its columns are those of `PLAN_SCHEMA`: `CHANGE` and `cause` as text, all others null. `today`: the district's day;
    what was over by its dates and vanishes is an end of a term, as long as its school is still there; so is a class of
    `ended` (`homeroom.roster.years.Pinned`). Who has no role and no enrollment anywhere is left out: nobody sees that
    person come or go.
    """
    if all(one.equals(other) for (_, one), (_, other) in zip(before.tables(), fresh.tables(), strict=True)):
        gone = come = pl.DataFrame(schema=DEPARTURES)  # as on most nights
    else:
        pair = _Pair.of(before, fresh)
        gone, come = pl.concat([_removed(pair), _updated(pair)]), _removed(pair.turned())
        gone, come = gone.drop_nulls("school"), come.drop_nulls("school")
    rows = pl.concat([gone, come.with_columns(op=pl.lit(Op.CREATE.value))])
    blank = [pl.lit(None, dtype).alias(name) for name, dtype in PLAN_SCHEMA.items() if name not in {*CHANGE, "cause"}]
    if rows.is_empty():
        return Plan(rows.with_columns(pl.lit(None, pl.String).alias("cause"), *blank))
    past = over(gone, before, today, ended=ended, roles=_ENROLLED)
    past = past.filter(pl.col("school").is_in(fresh.orgs["id"].implode()))
    on = list(IDENTITY)
    found = rows.join(past.rename({"cause": "ended"}), on=on, how="left", nulls_equal=True, maintain_order="left")
    op = pl.col("op")
    cause = (
        pl.when(op == Op.CREATE.value)
        .then(pl.lit(Cause.SOURCE_ADDED.value))
        .when(pl.col("ended").is_not_null())
        .then("ended")
        .when(op == Op.UPDATE.value)
        .then(pl.lit(Cause.SOURCE_CHANGED.value))
        .when(moves(rows))
        .then(pl.lit(Cause.MOVED.value))
        .otherwise(pl.lit(Cause.LEFT_SOURCE.value))
    )
    return Plan(found.select(*DEPARTURES, cause.alias("cause"), *blank))


def departures(before: Roster, fresh: Roster) -> pl.DataFrame:
    """What `fresh` no longer has, or has rewritten, of what `before` serves. Columns: `DEPARTURES`; no row twice.

    ==========  ======================  ======================  ==================  ==================================
    kind        key                     school                  Remove              Update
    ==========  ======================  ======================  ==================  ==================================
    School      organisation            itself                  a school is gone    other parent or type
    Class       class                   its school              gone                other school, terms, grades or
                                                                                    subjects
    Person      person                  each with a role or an  gone                other name
                                        enrollment (or null)
    Membership  person, and class_key   that of the class       no such enrollment  -
    Right       person                  that of the role        no such role        -
    ==========  ======================  ======================  ==================  ==================================

    `school` is the one in `before`; where the records name an organisation that is no school (the district, for its
    administrators), it is that. Dates do not count: an enrollment that has ended is there. A Right is any role but
    student, teacher and those of families. Families have no access that they could lose, and go with their students:
    they are no Rights, and put nobody into a school.
    """
    pair = _Pair.of(before, fresh)
    return pl.concat([_removed(pair), _updated(pair)])


def _removed(pair: _Pair) -> pl.DataFrame:
    """Those rows of `departures` that are a Remove."""
    gone = {table: pair.new[table].is_null() for table in _REWRITES}
    gone["orgs"] &= (pair.was["orgs"]["type"] == "school").fill_null(value=False)
    links = [_link_rows(table, _lacking(_codes(table, pair.was), pair.codes(table)), pair.was) for table in _LINKS]
    return pl.concat([_record_rows(Op.REMOVE, gone, pair.was), *links])


def _updated(pair: _Pair) -> pl.DataFrame:
    """Those that are an Update."""
    rewritten = {table: _rewritten(table, pair) for table in _REWRITES}
    return _record_rows(Op.UPDATE, rewritten, pair.was)


def sizes(before: Roster) -> pl.DataFrame:
    """How much there is of what `departures` may name, counted alike. Columns: `SIZES_SCHEMA`; what is not listed is 0.

    `class_key` is null (the whole school) or, for memberships, also a class. A school is 1; an organisation that is no
    school counts nowhere. People without a role or enrollment have the null school.
    """
    was = dict(before.tables())
    orgs, classes, users = was["orgs"], was["classes"], was["users"]
    members = _distinct(_codes("enrollments", was)) // _codes_per_first("enrollments", was)
    counts = members.alias("class").value_counts(name="size")
    school, section = (classes[column][counts["class"]] for column in ("school", "id"))
    of_class = counts.select("size", school=school, class_key=section)
    rights = _rights(_decoded("roles", _distinct(_codes("roles", was)), was))
    found = {
        Kind.SCHOOL: orgs.with_row_index("school").filter(pl.col("type") == "school").select("school", size=1),
        Kind.CLASS: classes.select("school", size=1),
        Kind.PERSON: _places(was, ~_marked(_NO_ROWS, users.height)).select(school="org", size=1),
        Kind.MEMBERSHIP: of_class.select("school", "size"),
        Kind.RIGHT: rights.select(school="org", size=1),
    }
    parts = [
        frame.group_by("school").agg(pl.col("size").sum()).with_columns(kind=pl.lit(kind.value))
        for kind, frame in found.items()
    ]
    parts.append(of_class.with_columns(kind=pl.lit(Kind.MEMBERSHIP.value)))
    rows = pl.concat(parts, how="diagonal_relaxed")
    rows = rows.with_columns(school=orgs["id"][rows["school"]]).select(SIZES_SCHEMA.names()).cast(SIZES_SCHEMA)
    return rows.sort("kind", "school", "class_key")


def _record_rows(op: Op, marks: Mapping[str, pl.Series], was: _Tables) -> pl.DataFrame:
    """Rows of `departures` for the marked rows of the tables with ids."""
    orgs, users = was["orgs"]["id"], was["users"]["id"]
    schools, classes = orgs.filter(marks["orgs"]), was["classes"].filter(marks["classes"])
    people = _places(was, marks["users"])
    return pl.concat(
        [
            _rows(op, Kind.SCHOOL, school=schools, key=schools),
            _rows(op, Kind.CLASS, school=orgs[classes["school"]], key=classes["id"]),
            _rows(op, Kind.PERSON, school=orgs[people["org"]], key=users[people["user"]]),
        ]
    )


def _link_rows(table: str, codes: pl.Series, was: _Tables) -> pl.DataFrame:
    """Rows of `departures` for `codes` of roles or enrollments."""
    if codes.is_empty():
        return _NO_DEPARTURES
    links, orgs, users = _decoded(table, codes, was), was["orgs"]["id"], was["users"]["id"]
    if table == "roles":
        rights = _rights(links)
        user, school = rights["user"], rights["org"]
        return _rows(Op.REMOVE, Kind.RIGHT, school=orgs[school], key=users[user], role=rights["role"])
    school, section = (was["classes"][column][links["class"]] for column in ("school", "id"))
    return _rows(
        Op.REMOVE,
        Kind.MEMBERSHIP,
        school=orgs[school],
        key=users[links["user"]],
        class_key=section,
        role=links["role"],
    )


def _rows(op: Op, kind: Kind, **columns: pl.Series) -> pl.DataFrame:
    if columns["key"].is_empty():
        return _NO_DEPARTURES
    rows = pl.DataFrame(columns).with_columns(op=pl.lit(op.value), kind=pl.lit(kind.value))
    absent = [pl.lit(None, dtype=pl.String).alias(name) for name in DEPARTURES if name not in rows.columns]
    return rows.with_columns(absent).select(DEPARTURES.names())


def _rights(roles: pl.DataFrame) -> pl.DataFrame:
    """Those that are Rights; an unknown role may be anything."""
    return roles.filter(~pl.col("role").is_in(_NO_RIGHTS).fill_null(value=False))


def _places(was: _Tables, users: pl.Series) -> pl.DataFrame:
    """[user, org]: where the marked users have a role (but as family) or an enrollment; `org` null where nowhere."""
    if not users.any():
        return pl.DataFrame(schema={"user": _ROW, "org": _ROW})
    pairs = []
    for table in _LINKS:
        links = was[table].filter(users[was[table]["user"]])
        links = links.filter(~pl.col("role").cast(pl.String).is_in(_FAMILY).fill_null(value=False))
        org = links["org"] if table == "roles" else was["classes"]["school"][links["class"]]
        pairs.append(pl.DataFrame({"user": links["user"], "org": org}).drop_nulls())
    # Nearly everybody is in one school, so only the others have to be compared.
    home = _nowhere(users.len())
    for pair in pairs:
        home = home.scatter(pair["user"], pair["org"])
    away = pl.concat([pair.filter(home[pair["user"]] != pair["org"]) for pair in pairs])
    rows = users.arg_true().cast(_ROW)
    return pl.concat([pl.DataFrame({"user": rows, "org": home[rows]}), away.unique().sort("user", "org")])


# ---------------------------------------------------------------------------------------------------------------------
# What is served


def serve(before: Roster, fresh: Roster, *, held: pl.DataFrame, frozen: pl.Series) -> Roster:
    """`fresh` with what is held back: the roster to serve from now on, in canonical order.

    `held`: rows of `departures` (columns `DEPARTURES`). What was to go stays as it was in `before`, with all that it
    refers to; a person also with the roles in that school, and with their family. What was to be rewritten keeps its
    old values. A held row that `fresh` no longer takes away or rewrites says nothing. `frozen`: source ids of people of
    whom everything stays as it was: their record, family, roles and enrollments are those of `before`, none if they
    were not in it.
    """
    if held.is_empty() and frozen.is_empty():
        return fresh
    pair = _Pair.of(before, fresh)
    still, dropped = (
        _marked(_found(frozen, among=tables["users"]["id"]), tables["users"].height) for tables in (pair.was, pair.now)
    )
    kept, old_values = _held_records(held, pair)
    for table in _LINKS:
        kept[table] = _held_links(table, held, pair) | still[pair.was[table]["user"]].fill_null(value=False)
    kept["users"] |= still
    _keep_families(kept, pair)
    _reach(kept, old_values, pair)
    return _joined(pair, kept=kept, old_values=old_values, dropped=dropped)


def _held_records(held: pl.DataFrame, pair: _Pair) -> tuple[dict[str, pl.Series], dict[str, pl.Series]]:
    """Per table with ids, Boolean per row before: the row comes back; its old values stay."""
    kept: dict[str, pl.Series] = {}
    old_values: dict[str, pl.Series] = {}
    for table, new in pair.new.items():
        ids = pair.was[table]["id"]
        of_kind = held.filter(pl.col("kind") == _KINDS[table].value) if table in _KINDS else held.clear()
        for op, marks, possible in ((Op.REMOVE, kept, new.is_null()), (Op.UPDATE, old_values, new.is_not_null())):
            named = of_kind.filter(pl.col("op") == op.value)["key"]
            marks[table] = _marked(_found(named, among=ids), ids.len()) & possible
    old_values["orgs"] = _without_rings(old_values["orgs"], pair)
    return kept, old_values


def _held_links(table: str, held: pl.DataFrame, pair: _Pair) -> pl.Series:
    """Boolean per row before of roles or enrollments: it comes back, by itself or (roles) with its person."""
    kinds, was = pl.col("kind"), pair.was
    wanted, there = _named(table, held.filter(kinds == _KINDS[table].value), was), pair.codes(table)
    wanted = wanted.filter(~wanted.is_in(there.filter(there.is_in(wanted.implode())).implode()))
    kept = _codes(table, was).is_in(wanted.implode()).fill_null(value=False)
    if table == "roles":
        people = held.filter(kinds == Kind.PERSON.value, pl.col("op") == Op.REMOVE.value)
        user = _found(people["key"], among=was["users"]["id"])
        places = pl.DataFrame({"user": user, "org": _found(people["school"], among=was["orgs"]["id"])})
        places = places.filter(pair.new["users"].is_null()[user])
        theirs = was["roles"].with_row_index("row").join(places, on=["user", "org"], how="semi")
        kept |= _marked(theirs["row"], kept.len())
    return kept


def _named(table: str, rows: pl.DataFrame, was: _Tables) -> pl.Series:
    """`_codes` of rows of `departures` about roles or enrollments, null where an end is not in `was`."""
    named = {"class": "class_key", "user": "key", "org": "school"}
    ends = {column: _found(rows[named[column]], among=was[to]["id"]) for column, to in REFERENCES[table].items()}
    return _codes(table, was, pl.DataFrame({**ends, "role": rows["role"].cast(SCHEMAS[table]["role"])}))


def _without_rings(stays: pl.Series, pair: _Pair) -> pl.Series:
    """`stays` (per organisation before: its old parent stays), and more until none is above itself.

    Each tree by itself is sound. Where old and new parents together make a ring, all in it that can get old ones.
    """
    new, old = pair.new["orgs"], pair.old["orgs"]
    before, fresh = pair.was["orgs"]["parent"], pair.placed(pair.now["orgs"]["parent"], "orgs")
    place = pair.placed(pl.int_range(old.len(), dtype=_ROW, eager=True), "orgs")
    rows = pl.int_range(before.len(), dtype=_ROW, eager=True)
    gone = pl.DataFrame({"n": rows, "parent": before}).filter(new.is_null())
    while stays.any():
        tree = pl.DataFrame({"n": place, "parent": fresh}).with_columns(
            pl.when(stays[old]).then(before[old]).otherwise("parent").alias("parent")
        )
        ring = rings(pl.concat([tree, gone]).with_columns(id="n"))
        more = stays | (_marked(ring.filter(ring < rows.len()), rows.len()) & new.is_not_null())
        if more.equals(stays):
            break
        stays = more
    return stays


def _keep_families(kept: dict[str, pl.Series], pair: _Pair) -> None:
    """Whoever comes back or stands still does so with who names them and whom they name: these as family only."""
    agents, roles, gone = pair.was["agents"], pair.was["roles"], pair.new["users"].is_null()
    people = kept["users"]
    for table in _LINKS:
        people = people | _marked(pair.was[table]["user"].filter(kept[table]), people.len()) & gone
    kept["agents"] = _of_either(people, agents)
    named = agents.filter(kept["agents"])
    back = _marked(pl.concat([named["user"], named["agent"]]), people.len()) & gone & ~people
    kept["roles"] = kept["roles"] | back[roles["user"]] & roles["role"].is_in(FAMILY).fill_null(value=False)


def _reach(kept: dict[str, pl.Series], old_values: Mapping[str, pl.Series], pair: _Pair) -> None:
    """Add to `kept` what is gone and referred to by what comes back, or by an old value that stays."""
    for table in reversed(REFERENCES):
        for column, target in REFERENCES[table].items():
            rows = kept[table] | old_values[table] if column in _REWRITES.get(table, ()) else kept[table]
            while rows.any():
                named = pair.was[table][column].filter(rows)
                named = named.explode(empty_as_null=False) if isinstance(named.dtype, pl.List) else named
                rows = _marked(named, kept[target].len()) & pair.new[target].is_null() & ~kept[target]
                kept[target] |= rows
                if target != table:
                    break


def _joined(
    pair: _Pair, *, kept: Mapping[str, pl.Series], old_values: Mapping[str, pl.Series], dropped: pl.Series
) -> Roster:
    """The fresh rows without the dropped users and with old values where they stay, and the kept rows from before."""
    tables = {}
    from_old: dict[str, pl.Series] = {}  # row before, fresh row -> row in the result
    from_new: dict[str, pl.Series] = {}
    for table, references in REFERENCES.items():
        old, new = pair.was[table].filter(kept[table]), pair.now[table]
        out = dropped if table == "users" else _NO_MARKS if "id" in SCHEMAS[table] else _of_either(dropped, new)
        if "id" in SCHEMAS[table]:
            from_old[table], from_new[table] = _numbered(table, pair, kept=kept[table], out=out)
        for column, target in references.items():
            old = old.with_columns(mapped(old[column], from_old[target]))
            if not _same(from_new[target]):
                new = new.with_columns(mapped(new[column], from_new[target]))
        if table in _REWRITES and old_values[table].any():
            at = pl.select(pl.when(old_values[table][pair.old[table]]).then(pair.old[table])).to_series()
            for column in _REWRITES[table]:
                values = pair.was[table][column]
                values = mapped(values, from_old[references[column]]) if column in references else values
                value = pl.when(at.is_not_null()).then(values[at]).otherwise(column)
                new = new.with_columns(value.alias(column))
        if out.any():
            new = new.filter(~out.fill_null(value=False))
        if old.height:
            if "id" in SCHEMAS[table]:
                new = new.merge_sorted(old, key="id")
            else:
                new = in_order(pl.concat([new, old]), list(references))
        tables[table] = new
    return Roster(**tables)


def _numbered(table: str, pair: _Pair, *, kept: pl.Series, out: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Row in the result of each row before and of each fresh one, null: not in it."""
    was, now = pair.was[table], pair.now[table]
    order = now.select("id").with_row_index("at")
    order = order.filter(~out) if out.any() else order
    if kept.any():
        back = was.select("id").with_row_index("at", offset=now.height)
        order = order.merge_sorted(back.filter(kept), key="id")
    rows = _nowhere(now.height + was.height)
    rows = rows.scatter(order["at"], pl.int_range(order.height, dtype=_ROW, eager=True))
    from_new = rows.head(now.height)
    return rows.tail(was.height).fill_null(from_new[pair.new[table]]), from_new


def _same(numbers: pl.Series) -> bool:
    """Every row keeps its number; numbers ascend."""
    return numbers.is_empty() or (numbers.null_count() == 0 and numbers[-1] == numbers.len() - 1)


# ---------------------------------------------------------------------------------------------------------------------
# What an approval let pass


def present(rows: pl.DataFrame, roster: Roster) -> pl.Series:
    """Whether `roster` has what each of `rows` (of `departures`, Remove) took away. Boolean per row."""
    there, number = dict(roster.tables()), pl.int_range(rows.height, dtype=_ROW, eager=True)
    marks = _marked(_NO_ROWS, rows.height)
    for table, kind in _KINDS.items():
        mine = number.filter(rows["kind"] == kind.value)
        if mine.is_empty():
            continue
        some = rows[mine]
        if table in _LINKS:
            codes = _named(table, some, there)
            have = codes.is_in(_codes(table, there).implode()) & codes.is_not_null()
        elif table == "users":
            people = _found(some["key"], among=there["users"]["id"])
            places = _places(there, _marked(people, there["users"].height)).with_columns(there=pl.lit(value=True))
            place = pl.DataFrame({"user": people, "org": _found(some["school"], among=there["orgs"]["id"])})
            have = place.join(places, on=["user", "org"], how="left", maintain_order="left")["there"].is_not_null()
        else:
            have = _found(some["key"], among=there[table]["id"]).is_not_null()
        marks = marks.scatter(mine.filter(have), values=True)
    return marks


def following(changes: pl.DataFrame, released: pl.DataFrame) -> pl.DataFrame:
    """Which removals and renames of an app's plan follow from what was `released` (`RELEASED`) at the source.

    `changes`: rows of a plan. Columns of the result: `RELEASED`, in the words of the plan. A school implies all that
    leaves in it, a class its members, a person all of theirs in that school; a place in a class also the account, which
    an app closes only when nothing else keeps it. What is a question of identity follows from the answer to that
    question at the source only, and what follows from an edit in Git is none of these.
    """
    if released.is_empty() or changes.is_empty():
        return pl.DataFrame(schema=RELEASED)
    rows = changes.select(pl.col(name).cast(pl.String) for name in (*CHANGE, "cause"))
    kind, op = pl.col("kind"), pl.col("op")
    left = rows.filter(op.is_in(LEAVING), pl.col("cause").is_in(_FROM_RECORDS)).with_columns(
        section=pl.when(kind == Kind.CLASS.value).then("key").otherwise("class_key")
    )
    personal = left.filter(kind.is_in(PERSONAL))

    def of(*kinds: Kind) -> pl.DataFrame:
        return released.filter(kind.is_in([one.value for one in kinds]))

    person, place = ["school", "key"], ["school", "key", "class_key", "role"]
    members = of(Kind.MEMBERSHIP).with_columns(pl.col("role").replace_strict(PLAYED, default=None))
    above = of(Kind.RIGHT).filter(pl.col("role").is_in([role.value for role in DISTRICT_ADMINISTRATORS]))
    rights = left.filter(kind == Kind.RIGHT.value)
    ended = pl.concat(
        [
            frame.select(RELEASED.names())
            for frame in (
                left.join(_once(of(Kind.SCHOOL), ["school"]), on="school"),
                left.join(_once(of(Kind.CLASS), person), left_on=["school", "section"], right_on=person),
                personal.join(_once(of(Kind.PERSON).filter(op == Op.REMOVE.value), person), on=person),
                left.join(_once(members, place), on=place),
                rights.join(_once(of(Kind.RIGHT), person), on=person),
                rights.join(_once(above, ["key"]), on="key"),
            )
        ]
    )
    gave = pl.concat([ended.filter(kind == Kind.MEMBERSHIP.value), of(Kind.MEMBERSHIP, Kind.RIGHT)])
    accounts = left.filter(kind == Kind.PERSON.value).join(_once(gave, person), on=person)
    renamed = rows.filter(kind == Kind.PERSON.value, op == Op.UPDATE.value, pl.col("cause") == _CHANGED).join(
        _once(of(Kind.PERSON).filter(op == Op.UPDATE.value), person), on=person
    )
    asked = rows.filter(kind.is_in(PERSONAL), pl.col("cause") == Cause.ID_CHANGED.value)
    answered = asked.join(answers(released).unique("key", keep="first", maintain_order=True), on="key")
    parts = [ended, *(frame.select(RELEASED.names()) for frame in (accounts, renamed, answered))]
    return pl.concat(parts).unique(CHANGE, keep="first", maintain_order=True)


_CHANGED: Final = Cause.SOURCE_CHANGED.value
_FROM_RECORDS: Final = [cause.value for cause in (Cause.LEFT_SOURCE, Cause.MOVED, Cause.TERM_ENDED, Cause.ROLLED_OVER)]


def _once(released: pl.DataFrame, on: list[str]) -> pl.DataFrame:
    """[*on, hold], one row per key."""
    return released.select(*on, "hold").unique(on, keep="first", maintain_order=True)


# ---------------------------------------------------------------------------------------------------------------------
# Two rosters side by side


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """Both rosters by table, and where the records of one are in the other."""

    was: _Tables
    now: _Tables
    new: Mapping[str, pl.Series]  # per table with ids and row before: its fresh row, or null (UInt32)
    old: Mapping[str, pl.Series]  # the other way round

    @classmethod
    def of(cls, before: Roster, fresh: Roster) -> _Pair:
        """Look for each id once."""
        was, now = dict(before.tables()), dict(fresh.tables())
        ids = {table: (was[table]["id"], now[table]["id"]) for table in REFERENCES if "id" in SCHEMAS[table]}
        old = {table: _found(fresh_ids, among=old_ids) for table, (old_ids, fresh_ids) in ids.items()}
        new = {
            table: _nowhere(was[table].height).scatter(rows.drop_nulls(), rows.is_not_null().arg_true())
            for table, rows in old.items()
        }
        return cls(was=was, now=now, new=new, old=old)

    def turned(self) -> _Pair:
        """The fresh roster as the one before, and the other way round."""
        return _Pair(was=self.now, now=self.was, new=self.old, old=self.new)

    def placed(self, references: pl.Series, target: str) -> pl.Series:
        """Fresh references to `target` in numbers that both rosters share: rows before, and past these the new ones."""
        old = self.old[target]
        if _same(old):
            return references
        past = pl.int_range(old.len(), dtype=_ROW, eager=True) + self.was[target].height
        return mapped(references, old.fill_null(past))

    def codes(self, table: str) -> pl.Series:
        """`_codes` of the fresh roster, in the numbers of the one before; null where an end is new."""
        links = self.now[table]
        for column, target in REFERENCES[table].items():
            if not _same(self.old[target]):
                links = links.with_columns(self.old[target][links[column]].alias(column))
        return _codes(table, self.was, links)


def _nowhere(size: int) -> pl.Series:
    return repeated(None, size, dtype=_ROW)


def _found(ids: pl.Series, *, among: pl.Series) -> pl.Series:
    """Row of each id (or number) in the sorted `among`, null: nowhere."""
    if among.is_empty():
        return _nowhere(ids.len())
    if ids.equals(among):
        return pl.int_range(ids.len(), dtype=_ROW, eager=True)
    at = among.search_sorted(ids).clip(upper_bound=among.len() - 1)
    return pl.select(pl.when(among[at] == ids).then(at).cast(_ROW)).to_series()


def _marked(rows: pl.Series, size: int) -> pl.Series:
    """Boolean of length `size`, True at `rows` (nulls are passed over)."""
    return repeated(value=False, n=size, dtype=pl.Boolean).scatter(rows.drop_nulls(), values=True)


def _of_either(users: pl.Series, links: pl.DataFrame) -> pl.Series:
    """Boolean per link: a marked user is one of its ends."""
    ends = [links[end] for end in ("user", "agent") if end in links.columns]
    marks = [users[end].fill_null(value=False) for end in ends]
    return marks[0] | marks[-1]


def _rewritten(table: str, pair: _Pair) -> pl.Series:
    """Boolean per row before: it is in both, and one of `_REWRITES` says something else."""
    new = pair.new[table]
    marks = _marked(_NO_ROWS, new.len())
    for column in _REWRITES[table]:
        before, fresh = pair.was[table][column], pair.now[table][column]
        if column in REFERENCES[table]:
            fresh = pair.placed(fresh, REFERENCES[table][column])
        same = fresh.len() == new.len() and _same(new)
        marks |= _differing(before, fresh if same else fresh[new])
    return marks & new.is_not_null()


def _differing(one: pl.Series, other: pl.Series) -> pl.Series:
    """Boolean per row. Of lists only the members count, not their order."""
    differ = one.ne_missing(other)
    if differ.any() and isinstance(one.dtype, pl.List):
        rows = differ.arg_true()
        members = [lists[rows].list.drop_nulls().list.unique().list.sort() for lists in (one, other)]
        differ = differ.scatter(rows, members[0].ne_missing(members[1]))
    return differ


# ---------------------------------------------------------------------------------------------------------------------
# Roles and enrollments as numbers: the two ends in rows before, and the role


def _codes(table: str, was: _Tables, links: pl.DataFrame | None = None) -> pl.Series:
    """One number (UInt64) per link, null where an end is; `links` (default: those of `was`) refers to rows of `was`.

    In the order of the ends, then of roles: they ascend in a roster in canonical order, and still do after its
    references became rows of another one, for both are sorted by id.
    """
    links = was[table] if links is None else links
    first, second = REFERENCES[table]
    roles = len(_LINKS[table])
    ends = [pl.col(end).cast(pl.UInt64) for end in (first, second)]
    role = pl.col("role").to_physical().fill_null(roles - 1)
    return links.select(code=ends[0] * _codes_per_first(table, was) + ends[1] * roles + role).to_series()


def _codes_per_first(table: str, was: _Tables) -> int:
    """How many codes have the same first end: one per second end and role."""
    _, second = REFERENCES[table].values()
    return was[second].height * len(_LINKS[table])


def _decoded(table: str, codes: pl.Series, was: _Tables) -> pl.DataFrame:
    """Columns role (text) and, as row numbers, both ends."""
    first, second = REFERENCES[table]
    many = _codes_per_first(table, was)
    roles = pl.Series(_LINKS[table], dtype=pl.String)
    ends = {first: codes // many, second: codes % many // roles.len()}
    return pl.DataFrame({**ends, "role": roles[codes % roles.len()]})


def _distinct(codes: pl.Series) -> pl.Series:
    """Each number once, ascending, without null. They mostly are so already."""
    codes = codes.drop_nulls() if codes.has_nulls() else codes
    codes = codes if codes.is_sorted() else codes.sort()
    again = codes[1:] == codes[:-1]
    return codes.filter(codes.ne_missing(codes.shift())) if again.any() else codes


def _lacking(before: pl.Series, fresh: pl.Series) -> pl.Series:
    """What only `before` has, each once, ascending. To merge what is sorted costs half of a join."""
    before, fresh = _distinct(before), _distinct(fresh)
    if before.equals(fresh):
        return before.clear()
    both = pl.DataFrame({"n": before}).merge_sorted(pl.DataFrame({"n": fresh}), key="n")["n"]
    alone = both.filter(both.ne_missing(both.shift()) & both.ne_missing(both.shift(-1)))
    return alone.filter(_found(alone, among=before).is_not_null())

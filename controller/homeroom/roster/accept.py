"""From what a source read to the roster that is accepted: invalid is not absent (DESIGN.md invariant 3).

A record that was set aside counts as its last accepted version, with everything that version refers to; one that was
never accepted is not added, and neither is what refers to it. Where a row cannot be identified, no record of its table
counts as removed. Pure and columnar: ids of the new reading and of the previous roster are put into one sorted space
per table, and all else is arithmetic on positions in it. Only the two trees (orgs, sessions) are walked in Python.

Order of use: `records` for orgs, sessions, courses, classes, users; then `agents`, and `links` for roles and
enrollments; then `roster`. Neighbours: `homeroom.sources` reads and calls this, `homeroom.roster.findings` has the
rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import polars as pl

from homeroom.roster.beside import FEW, selected
from homeroom.roster.findings import Findings, Rule
from homeroom.roster.tables import SCHEMAS, Roster, repeated

REFERENCES: Final[dict[str, dict[str, str]]] = {
    "orgs": {"parent": "orgs"},
    "sessions": {"parent": "sessions"},
    "courses": {"org": "orgs"},
    "classes": {"course": "courses", "school": "orgs", "terms": "sessions"},
    "users": {},
    "agents": {"user": "users", "agent": "users"},
    "roles": {"user": "users", "org": "orgs"},
    "enrollments": {"class": "classes", "user": "users"},
}
"""Which column refers to which table, referred-to tables first."""

_FIELDS: Final = {
    "parent": "parentSourcedId",
    "org": "orgSourcedId",
    "course": "courseSourcedId",
    "school": "schoolSourcedId",
    "terms": "termSourcedIds",
    "user": "userSourcedId",
    "class": "classSourcedId",
}
_N: Final = pl.UInt32

INPUT: Final = {
    table: pl.Schema(
        {
            name: kind
            if name not in REFERENCES[table]
            else (pl.List(pl.String) if isinstance(kind, pl.List) else pl.String())
            for name, kind in schema.items()
        }
    )
    for table, schema in SCHEMAS.items()
}
"""Columns in which `Acceptance.records` takes values: those of the roster, with source ids for references."""

_NOTHING: Final = {table: pl.DataFrame(schema={"n": _N, **schema}) for table, schema in SCHEMAS.items()}


class Acceptance:
    """One new reading on its way to become the roster; `previous` is the last accepted one.

    `roles_in_users`: the roles of a person are part of the person's record (version 1.1), so they stay when it stays.
    """

    def __init__(self, *, previous: Roster, roles_in_users: bool = False) -> None:
        self._roles_in_users = roles_in_users
        self.findings: list[Findings] = []
        self._previous = dict(previous.tables())
        # Per table: id (sorted; the position n is the number used everywhere here), new: it is in the reading,
        # known: references to it hold, old: position in the previous roster
        self._spaces: dict[str, pl.DataFrame] = {}
        self._moved: dict[str, pl.Series] = {}  # position in the previous roster -> number
        self._fresh: dict[str, pl.DataFrame] = {}
        self._kept: dict[str, pl.DataFrame] = {}
        self._loose = previous.agents.clear()  # who names whom who is not in the reading
        self._read: dict[str, pl.DataFrame] = {}  # row in the file of each fresh record (by n) or link (in their order)
        self._as_it_was: set[str] = set()  # tables of which every record is what it was
        self.rows: dict[str, pl.DataFrame] = {}
        """After `roster`, by table: which row of the file (column row) is which row of the roster (at), both UInt32."""

    def records(
        self,
        table: str,
        frame: pl.DataFrame,
        *,
        file: str,
        frozen: bool,
        absent: Iterable[str] = (),
        as_before: bool = False,
    ) -> None:
        """Take the records of a table with ids.

        `frame`: columns of `SCHEMAS[table]`, references as source ids, and row (UInt32) and bad (Boolean: set aside);
        every id is given. `frozen`: rows exist that cannot be identified. `absent`: columns that the reading lacks.
        `as_before`: without row and bad, `frame` is what the previous roster has, and so without references.
        """
        frame = self._once(frame if frame["id"].is_sorted() else frame.sort("id"), file=file)
        if table in {"orgs", "sessions"}:
            frame = self._settle_tree(table, frame, file=file, frozen=frozen)
        else:
            frame = self._refer(table, frame, file=file)
            self._make_space(table, frame, frozen=frozen)
        space = self._spaces[table]
        fresh = self._placed(table, frame)
        self._read[table] = fresh[["row", "n"]]
        self._fresh[table] = self._remember(table, fresh, absent=absent)[["n", *SCHEMAS[table]]]
        if as_before and fresh.height == frame.height:
            self._as_it_was.add(table)
        kept = space.clear()
        if fresh.height < space.height:
            kept = space.filter("known").join(fresh.select("n"), on="n", how="anti")
        self._kept[table] = self._as_before(table, kept["n"], kept["old"])

    def numbers(self, table: str) -> pl.DataFrame:
        """What to join source ids with: columns id and n, for all ids of the reading and of the previous roster."""
        return self._spaces[table][["id", "n"]]

    def accepted(self, table: str) -> pl.DataFrame:
        """The numbers (column n) of the records that are accepted as they were read."""
        return self._fresh[table][["n"]]

    def schools_of_classes(self) -> pl.DataFrame:
        """The source id of the school (column class_school) of each class (column class)."""
        classes = pl.concat(
            [frame["classes"].select(pl.col("n").alias("class"), "school") for frame in (self._fresh, self._kept)]
        )
        orgs = self._spaces["orgs"]["id"]
        return classes.select("class", class_school=orgs[classes["school"]])

    def links(self, table: str, frame: pl.DataFrame, *, frozen: bool, absent: Iterable[str] = ()) -> pl.DataFrame:
        """Take roles or enrollments, and return the dangling ones: columns row and field.

        `frame`: columns of `SCHEMAS[table]` with references as `numbers` (null: unreadable or unknown), and row and
        bad. A link has no name of its own that would last, so its last version is found by what it joins; where one
        end is unreadable, what it might be stays: all earlier links of the other end whose own end is still there.
        """
        (one, one_table), (other, other_table) = REFERENCES[table].items()
        dangling = [pl.DataFrame(schema={"row": frame.schema["row"], "field": pl.String})]
        whole = ~pl.col("bad")
        for column, target in ((one, one_table), (other, other_table)):
            known = self._spaces[target]["known"].all()
            if known and not frame[column].has_nulls():
                continue
            holds = pl.col(column).is_not_null()
            if not known:
                held = self._spaces[target]["known"][frame[column]]
                frame = frame.with_columns(held.fill_null(value=False).alias("_holds"))
                holds = pl.col("_holds")
            loose = frame.filter(~holds & whole).select("row", pl.lit(_FIELDS[column]).alias("field"))
            dangling.append(loose)
            frame = frame.with_columns(bad=pl.col("bad") | ~holds) if loose.height else frame
        aside = frame.filter("bad") if frame["bad"].any() else frame.clear()
        fresh = frame.filter(~pl.col("bad")) if aside.height else frame
        self._read[table] = fresh[["row"]]
        fresh = fresh[[*SCHEMAS[table]]]
        absent = list(absent)
        if aside.height or frozen or absent:
            before = self.links_before(table)
            fresh = _last_values(fresh, before, absent, on=[one, other, "role"])
            kept = [_semi(before, aside.filter(pl.col(one).is_not_null() & pl.col(other).is_not_null()), [one, other])]
            missing = before.join(fresh, on=[one, other, "role"], how="anti")
            for given, lost, lost_table in ((one, other, other_table), (other, one, one_table)):
                loose = aside.filter(pl.col(given).is_not_null() & pl.col(lost).is_null())
                there = self._spaces[lost_table]["new"]
                candidates = missing.filter(there[missing[lost]])
                kept.append(_semi(candidates, loose.filter(pl.col("role").is_not_null()), [given, "role"]))
                kept.append(_semi(candidates, loose.filter(pl.col("role").is_null()), [given]))
            if frozen or aside.filter(pl.col(one).is_null() & pl.col(other).is_null()).height:
                kept.append(missing)
            self._kept[table] = pl.concat(kept).unique().join(fresh, on=fresh.columns, how="anti", nulls_equal=True)
        else:
            self._kept[table] = fresh.clear()
        self._fresh[table] = fresh
        return pl.concat(dangling)

    def agents(self, named: pl.DataFrame, *, unread: pl.DataFrame | None) -> tuple[pl.DataFrame, bool]:
        """Take who names whom. Returns who names somebody not there (row, n), and whether anybody known is named.

        `named`: columns row, and user and agent as `numbers` (null: nobody has this id). `unread`: lines that say what
        they said when the previous roster was made, columns row and at; None: nobody says anything, and what was said
        last stays. An agent who is not there is a value lost, not a record; nobody is their own.
        """
        table = "agents"
        before, people = self.links_before(table).with_columns(row=pl.lit(None, dtype=_N)), self._spaces["users"]
        if unread is not None:
            said = repeated(None, self._moved["users"].len(), dtype=_N).scatter(unread["at"], unread["row"])
            before = before.with_columns(row=said[self._previous[table]["user"]]).drop_nulls("row")
        pairs = pl.concat([frame.select("row", "user", "agent") for frame in (named, before)])
        read = repeated(value=False, n=people.height, dtype=pl.Boolean).scatter(self._fresh["users"]["n"], values=True)
        pairs = pairs.filter(read[pairs["user"]])
        there = people["known"][pairs["agent"]].fill_null(value=False)
        other = (pairs["user"] != pairs["agent"]).fill_null(value=False)
        self._fresh[table] = pairs.filter(there & other).select("user", "agent").unique()
        self._loose = pairs.filter(~there & other).select("user", "agent").unique()
        self._kept[table] = self._loose.clear()
        self._read[table] = named.select("row").clear()
        lost = pairs.filter(~(there & other)).select("row", n="user").drop_nulls("row").unique("n")
        return lost, bool(other.any())

    def links_before(self, table: str) -> pl.DataFrame:
        """The last accepted agents, roles or enrollments in their order, with references as `numbers`."""
        rows = self._previous[table]
        for column, target in REFERENCES[table].items():
            moved = self._moved[target]
            # Where no id came or went every number is what it was.
            if moved.len() and moved[-1] != moved.len() - 1:
                rows = rows.with_columns(mapped(rows[column], moved))
        return rows

    def classes_elsewhere(self) -> pl.Series:
        """The numbers of the classes that are in another school than in the previous roster."""
        before = self._previous["classes"]
        was = self._previous["orgs"]["id"][before["school"]]
        classes = self.schools_of_classes().join(
            pl.DataFrame({"class": self._moved["classes"], "was": was}), on="class", how="left"
        )
        changed = pl.col("class_school").is_not_null() & pl.col("class_school").ne_missing(pl.col("was"))
        return classes.filter(changed)["class"]

    def roster(self) -> Roster:
        """The accepted roster, in canonical order."""
        self._keep_what_is_reached()
        tables = {}
        final: dict[str, pl.Series] = {}
        for table, references in REFERENCES.items():
            frame = self._fresh[table]
            if self._kept[table].height:
                frame = pl.concat([frame, self._kept[table]])
            linked = "id" not in SCHEMAS[table]
            if not linked:
                frame = frame if frame["n"].is_sorted() else frame.sort("n")
                size, positions = self._spaces[table].height, pl.int_range(frame.height, dtype=_N, eager=True)
                final[table] = (
                    positions if frame.height == size else repeated(None, size, _N).scatter(frame["n"], positions)
                )
            for column, target in references.items():
                if final[target].len() and final[target][-1] != final[target].len() - 1:
                    frame = frame.with_columns(mapped(frame[column], final[target]))
            if table in self._as_it_was:
                frame = self._previous[table]
            else:
                frame = frame[[*SCHEMAS[table]]]
                frame = frame if frame.schema == SCHEMAS[table] else frame.cast(SCHEMAS[table])
            read = self._read[table]
            if linked:
                before = self._previous[table]
                same = frame.equals(before)
                places = pl.int_range(frame.height, dtype=_N, eager=True)
                frame, places = (before, places) if same else put_in_order(frame, references)
                at = places[: read.height]
            else:
                at = final[table][read["n"]]
            self.rows[table] = pl.DataFrame({"row": read["row"], "at": at})
            tables[table] = frame
        return Roster(**tables)

    def _once(self, frame: pl.DataFrame, *, file: str) -> pl.DataFrame:
        """One row per id, sorted: repeated equal rows count once, differing ones are set aside."""
        if not (frame["id"][1:] == frame["id"][:-1]).any():
            return frame
        repeated = frame.filter(pl.col("id").is_duplicated())
        contents = [name for name in frame.columns if name not in {"row", "bad"}]
        versions = repeated.unique(contents).group_by("id").len()
        torn = repeated.join(versions.filter(pl.col("len") > 1), on="id", how="semi")
        first = repeated.sort("row").unique("id", keep="first", maintain_order=True)
        again = repeated.join(torn, on="id", how="anti").join(first, on="row", how="anti")
        self.findings.append(Findings.of(Rule.ID_TWICE, torn, file=file, field="sourcedId"))
        self.findings.append(Findings.of(Rule.ROW_REPEATED, again, file=file))
        first = first.with_columns(bad=pl.col("bad") | pl.col("id").is_in(torn["id"].implode()))
        return pl.concat([frame.filter(~pl.col("id").is_duplicated()), first]).sort("id")

    def _make_space(self, table: str, frame: pl.DataFrame, *, frozen: bool) -> None:
        before, ids = self._previous[table], frame["id"]
        if before.is_empty() or ids.equals(before["id"]):
            n = pl.int_range(ids.len(), dtype=_N, eager=True)
            new = repeated(value=True, n=ids.len(), dtype=pl.Boolean)
            old, known = (repeated(None, ids.len(), _N), ~frame["bad"]) if before.is_empty() else (n, new)
            self._spaces[table] = pl.DataFrame({"id": ids, "n": n, "old": old, "new": new, "known": known})
            self._moved[table] = n[: before.height]
            return
        space = frame[["id", "bad"]].join(before.select("id").with_row_index("old"), on="id", how="full", coalesce=True)
        space = space.sort("id").with_row_index("n")
        is_new = pl.col("bad").is_not_null()
        good = is_new & ~pl.col("bad")
        holds = good | (pl.col("old").is_not_null() & (pl.lit(frozen) | is_new))
        self._spaces[table] = space.select("id", "n", "old", new=is_new, known=holds.fill_null(value=False))
        self._moved[table] = space.filter(pl.col("old").is_not_null()).sort("old")["n"]

    def _refer(self, table: str, frame: pl.DataFrame, *, file: str) -> pl.DataFrame:
        """Replace source ids by numbers; a reference that does not hold sets the record aside."""
        for column, target in REFERENCES[table].items():
            frame, holds = self._resolve(frame, column, target)
            if not holds.all():
                loose = frame.filter(~holds)
                self.findings.append(Findings.of(Rule.DANGLING, loose, file=file, field=_FIELDS[column]))
                frame = frame.with_columns(bad=pl.col("bad") | ~holds)
        return frame

    def _resolve(self, frame: pl.DataFrame, column: str, target: str) -> tuple[pl.DataFrame, pl.Series]:
        """The frame with numbers in `column` (null where unknown), and whether each reference holds."""
        space = self._spaces[target][["id", "n", "known"]]
        given = frame[column]
        if isinstance(given.dtype, pl.List):
            several = pl.DataFrame({"at": pl.int_range(frame.height, eager=True), column: given}).explode(
                column, empty_as_null=True
            )
            found = several.join(space, left_on=column, right_on="id", how="left", maintain_order="left")
            grouped = found.group_by("at", maintain_order=True).agg(
                pl.col("n").drop_nulls(),
                holds=(pl.col("known").fill_null(value=False) | pl.col(column).is_null()).all(),
            )
            return frame.with_columns(grouped["n"].alias(column)), grouped["holds"]
        found = frame[[column]].join(space, left_on=column, right_on="id", how="left", maintain_order="left")
        if found["n"].null_count() == given.null_count() and space["known"].all():
            return frame.with_columns(found["n"].alias(column)), repeated(value=True, n=frame.height, dtype=pl.Boolean)
        found = found.select(
            pl.when("known").then("n").alias("n"),
            holds=pl.col("known").fill_null(value=False) | pl.col(column).is_null(),
        )
        return frame.with_columns(found["n"].alias(column)), found["holds"]

    def _settle_tree(self, table: str, frame: pl.DataFrame, *, file: str, frozen: bool) -> pl.DataFrame:
        """Parents in numbers, without cycles. A parent that does not hold is a value lost, not a record."""
        named = frame
        while True:
            self._make_space(table, named, frozen=frozen)
            space = self._spaces[table]
            frame, holds = self._resolve(named, "parent", table)
            loose = frame.clear() if holds.all() else frame.filter(~holds & ~pl.col("bad"))
            found = self._remember(table, self._placed(table, frame), absent=(), lost=loose["id"])
            good = found[["id", "n", "parent"]]
            aside = space.clear()
            if good.height < space["known"].sum():
                aside = space.filter("known").join(good, on="n", how="anti")
            kept = self._as_before(table, aside["n"], aside["old"])[good.columns]
            ring = rings(pl.concat([good, kept]))
            if ring.is_empty():
                break
            caught = named.filter(~pl.col("bad") & pl.col("id").is_in(ring.implode()))
            if caught.is_empty():
                break
            self.findings.append(Findings.of(Rule.CYCLE, caught, file=file, field="parentSourcedId"))
            named = named.with_columns(bad=pl.col("bad") | pl.col("id").is_in(ring.implode()))
        self.findings.append(Findings.of(Rule.PARENT, loose, file=file, field="parentSourcedId"))
        if good.height == frame.height:
            return frame.with_columns(good["parent"])
        return frame.drop("parent").join(good.select("id", "parent"), on="id", how="left", maintain_order="left")

    def _placed(self, table: str, frame: pl.DataFrame) -> pl.DataFrame:
        """The records of a sorted `frame` that are not set aside, with their numbers and where they were (n, old)."""
        space = self._spaces[table]
        # Both are sorted, and what is new in the space is in the frame.
        new = space if space["new"].all() else space.filter("new")
        frame = frame.with_columns(new["n"], new["old"])
        return frame.filter(~pl.col("bad")) if frame["bad"].any() else frame

    def _remember(
        self, table: str, fresh: pl.DataFrame, *, absent: Iterable[str], lost: pl.Series | None = None
    ) -> pl.DataFrame:
        """Fill unknown values from the last accepted version: columns that are absent, grades, lost parents."""
        before = self._previous[table]
        if before.is_empty():
            return fresh
        unknown = {column: pl.lit(value=True) for column in absent}
        if "grades" in fresh.columns and "grades" not in unknown:
            unknown["grades"] = pl.col("grades").is_null()
        if lost is not None and lost.len():
            unknown["parent"] = pl.col("id").is_in(lost.implode())
        if not unknown or not fresh.select(pl.any_horizontal(unknown.values()).any()).item():
            return fresh
        last = self._as_before(table, fresh["n"], fresh["old"])
        for column, is_unknown in unknown.items():
            old = last[column].alias("_last")
            fresh = fresh.with_columns(old).with_columns(
                pl.when(is_unknown & pl.col("old").is_not_null())
                .then("_last")
                .otherwise(column)
                .cast(old.dtype)
                .alias(column)
            )
        return fresh.drop("_last")

    def _as_before(self, table: str, numbers: pl.Series, old: pl.Series) -> pl.DataFrame:
        """Rows of the previous roster at the positions `old` (null: a row of nulls), with numbers for references."""
        if old.is_empty():
            return _NOTHING[table]
        rows = self._previous[table].select(pl.all().gather(old))
        rows = rows.with_columns(numbers.alias("n"))
        for column, target in REFERENCES[table].items():
            rows = rows.with_columns(mapped(rows[column], self._moved[target]))
        return rows.select("n", *SCHEMAS[table])

    def _keep_what_is_reached(self) -> None:
        """What kept records refer to is kept too, with what that refers to."""
        for table in reversed(REFERENCES):
            if table == "agents" and (self._kept["users"].height or self._loose.height):
                self._keep_agents()
            if table == "roles" and self._roles_in_users and self._kept["users"].height:
                theirs = _semi(self.links_before(table), self._kept["users"].select(user="n"), ["user"])
                theirs = theirs.join(self._kept[table], on=theirs.columns, how="anti", nulls_equal=True)
                self._kept[table] = pl.concat([self._kept[table], theirs])
            reached = self._kept[table]
            for column, target in REFERENCES[table].items():
                while not reached.is_empty():
                    wanted = reached.select(pl.col(column).alias("n"))
                    wanted = (
                        wanted.explode("n", empty_as_null=False) if isinstance(wanted.schema["n"], pl.List) else wanted
                    )
                    wanted = wanted.drop_nulls().unique()
                    wanted = wanted.join(self._fresh[target], on="n", how="anti").join(
                        self._kept[target], on="n", how="anti"
                    )
                    wanted = wanted.join(self._spaces[target].select("n", "old"), on="n")
                    restored = self._as_before(target, wanted["n"], wanted["old"])
                    self._kept[target] = pl.concat([self._kept[target], restored])
                    reached = restored if target == table else restored.clear()
                reached = self._kept[table]

    def _keep_agents(self) -> None:
        """Whom kept people name, and kept people who are named, as far as both are there for a reason of their own."""
        people = pl.concat([self._fresh["users"]["n"], self._kept["users"]["n"]])
        theirs = _semi(self.links_before("agents"), self._kept["users"].select(user="n"), ["user"])
        self._kept["agents"] = pl.concat([theirs, self._loose]).filter(pl.col("agent").is_in(people.implode()))


def mapped(references: pl.Series, numbers: pl.Series) -> pl.Series:
    """References (or lists of them) translated: the position `i` becomes `numbers[i]`, or is left out of its list."""
    if not isinstance(references.dtype, pl.List):
        return numbers[references].alias(references.name)
    frame = pl.DataFrame({"at": pl.int_range(references.len(), eager=True), "one": references})
    several = frame.explode("one", empty_as_null=True)
    several = several.with_columns(one=numbers[several["one"]])
    regrouped = several.group_by("at", maintain_order=True).agg(pl.col("one").drop_nulls())
    return regrouped.select(pl.when(references.is_not_null()).then("one").alias(references.name)).to_series()


def in_order(frame: pl.DataFrame, ends: Iterable[str]) -> pl.DataFrame:
    """Sorted by all columns, the references `ends` first.

    Where the values of a row fit into 63 bits, as they nearly always do, one number per row is sorted, not the rows,
    unless these are few.
    """
    order = [*ends, *(name for name in frame.columns if name not in ends)]
    packed = _packed(frame, order)
    if packed is None:
        return frame.sort(order)
    keys, columns = packed
    return frame if keys.is_sorted() else _unpacked(keys.sort(), columns).select(frame.columns)


def put_in_order(frame: pl.DataFrame, ends: Iterable[str]) -> tuple[pl.DataFrame, pl.Series]:
    """The same, which takes twice the time, and for each row of `frame` its new place."""
    order = [*ends, *(name for name in frame.columns if name not in ends)]
    places = pl.int_range(frame.height, dtype=_N, eager=True)
    packed = _packed(frame, order)
    if packed is not None and packed[0].is_sorted():
        return frame, places
    came_from = frame.select(pl.arg_sort_by(order)).to_series() if packed is None else packed[0].arg_sort()
    found = frame[came_from] if packed is None else _unpacked(packed[0][came_from], packed[1])
    return found[frame.columns], places.clone().scatter(came_from, places)


def _packed(frame: pl.DataFrame, order: Iterable[str]) -> tuple[pl.Series, dict[str, pl.Expr]] | None:
    """Each row as one number, the first column highest, and the columns by that number.

    None: 63 bits do not do, or there are few rows, for which it would take five times as long as by columns.
    """
    if frame.height < FEW:
        return None
    key, below = pl.lit(0, dtype=pl.Int64), 0
    columns = {}
    for name in reversed([*order]):
        values = frame[name].to_physical()
        least, most, nulls = int(values.min() or 0), int(values.max() or 0), values.has_nulls()  # type: ignore[arg-type]  # integers
        code = pl.col(name).to_physical().cast(pl.Int64) - least
        bits = (most - least + nulls).bit_length()
        part = pl.col("_key") // 2**below % 2**bits
        if nulls:
            code = (code + 1).fill_null(0)
            part = pl.when(part != 0).then(part - 1)
        columns[name] = _of_kind((part + least).cast(values.dtype, wrap_numerical=True), frame.schema[name])
        key = key + code * 2**below
        below += bits
    if below >= 64:
        return None
    return selected(frame, _key=key).to_series(), columns


def _unpacked(keys: pl.Series, columns: dict[str, pl.Expr]) -> pl.DataFrame:
    return selected(keys.to_frame(), **columns)


def _of_kind(numbers: pl.Expr, kind: pl.DataType) -> pl.Expr:
    """The values that have these numbers inside (`to_physical`)."""
    return numbers.cat.to(kind) if isinstance(kind, pl.Enum) else numbers.cast(kind)


def _semi(frame: pl.DataFrame, by: pl.DataFrame, on: list[str]) -> pl.DataFrame:
    return frame.join(by, on=on, how="semi")


def _last_values(fresh: pl.DataFrame, before: pl.DataFrame, columns: list[str], *, on: list[str]) -> pl.DataFrame:
    """Columns that the reading lacks, from the previous version of the same link."""
    if not columns:
        return fresh
    last = before.unique(on, keep="first", maintain_order=True).select(*on, *columns)
    return fresh.drop(columns).join(last, on=on, how="left", maintain_order="left").select(fresh.columns)


def rings(tree: pl.DataFrame) -> pl.Series:
    """The ids that are their own ancestor. Columns: id, n, parent. Linear in the number of nodes."""
    parents = dict(tree.select("n", "parent").iter_rows())
    done: set[int] = set()
    ring: set[int] = set()
    for start in parents:
        path: dict[int, int] = {}
        node: int | None = start
        while node is not None and node not in done and node not in path:
            path[node] = len(path)
            node = parents.get(node)
        if node is not None and node in path:
            ring.update(member for member, position in path.items() if position >= path[node])
        done.update(path)
    if not ring:
        return tree["id"].clear()
    return tree.filter(pl.col("n").is_in(sorted(ring)))["id"]

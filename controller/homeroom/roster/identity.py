"""Who is who: what a person has to decide before the records may change an account (invariant 6).

::

    records -> relink (declared links, links by the student key) -> fresh --+
                                                                            +--> questions -> frozen
    what is served now ------------------------------------------> before --+
    before, fresh of another records system ----------------------------------> propose -> links, for review

An id is how Homeroom calls a human, and it calls that human so for ever. `before` is therefore always the *served*
roster: in Homeroom's ids, with the old rows of everybody who stands still; a question then comes up anew in each run
until a link or an approval answers it, and nothing else needs to be remembered. `fresh` is the new reading.

Records of families (guardian, parent or relative and nothing else) lead into no app, and are not asked about; they are
among the proposals, so that a records system can be replaced as a whole.
Birth dates, which would decide most of this, are deliberately not kept in a `Roster`.

Pure and columnar: the two tables of people are compared by one hash per row, and all else looks only at rows that
changed and at those that share a value with them. Neighbours: `homeroom.api.district` (the spec), `homeroom.sources`
(the file of links), `homeroom.cli.identities` (shows all this).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import reduce
from typing import Final, Self

import polars as pl

from homeroom.api.district import Identity, StudentKey
from homeroom.errors import InvalidSpecError
from homeroom.roster.beside import FEW
from homeroom.roster.tables import FAMILY, SCHEMAS, Roster, repeated


class _Told(StrEnum):
    """A closed list of words, each with a text for people; never with a name."""

    text: str

    def __new__(cls, value: str, text: str) -> Self:
        """Make a member that is its word and knows its text."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member


class Question(_Told):
    """What looks wrong."""

    RECYCLED = "Recycled", "one id, another human"
    CHANGED = "Changed", "one human, another id or another student key"
    MERGED = "Merged", "two ids that were served, one human now"
    DUPLICATED = "Duplicated", "two records of what looks like one human"
    SHARED = "Shared", "one account, two humans"


class Evidence(_Told):
    """Why it looks so, strongest first."""

    SAME_IDENTIFIER = "SameIdentifier", "the same identifier"
    SAME_USERNAME = "SameUsername", "the same user name"
    SAME_EMAIL = "SameEmail", "the same e-mail address"
    SAME_LOCAL_PART = "SameLocalPart", "the same e-mail address but for what stands behind the @"
    SAME_NAME = "SameName", "the same name"
    SIMILAR_NAME = "SimilarName", "the same given or family name"
    SAME_CLASSES = "SameClasses", "the same classes"
    SAME_SCHOOL = "SameSchool", "the same school"
    SAME_GRADE = "SameGrade", "the same grade, or the next one"
    SAME_NAME_AND_CLASSES = "SameNameAndClasses", "the same name and the same classes"
    SAME_NAME_SCHOOL_AND_GRADE = "SameNameSchoolAndGrade", "the same name, the same school, and a grade that follows on"
    KEY_CHANGED = "KeyChanged", "the student key must never change, and did"
    OTHER_NAME = "OtherName", "neither given nor family name is left, and the classes do not follow on"


class Confidence(StrEnum):
    """How sure a proposed link is."""

    CERTAIN = "Certain"
    """The same identifier, user name or e-mail address, and a name that agrees."""
    LIKELY = "Likely"
    """The same name, and what is known of school, grade and classes agrees."""
    AMBIGUOUS = "Ambiguous"
    """Several people are as good a match: somebody who knows them has to look. Nobody is proposed."""


QUESTIONS: Final = pl.Schema(
    {
        "question": pl.Enum(Question),
        "person": pl.String(),
        "other": pl.String(),
        "school": pl.String(),
        "reason": pl.Enum(Evidence),
    }
)
"""Columns of `questions`: source ids only. `person` is who was there first, where one was; `other` and `school` may be
null: a recycled id and a changed student key are about one id."""

LINKS: Final = pl.Schema({"from": pl.String, "to": pl.String})
"""Columns of links: the records say `to`, Homeroom goes on calling that human `from`."""

PROPOSALS: Final = pl.Schema(
    {**LINKS, "confidence": pl.Enum(Confidence), "reasons": pl.List(pl.Enum(Evidence))},
)
"""Columns of `propose`; `to` is null where `confidence` is Ambiguous."""

_ROW: Final = pl.UInt32
_GRADES: Final = ("IT", "PR", "PK", "TK", "KG", *(f"{grade:02}" for grade in range(1, 14)))
_ACCOUNTS: Final = {
    "identifier": Evidence.SAME_IDENTIFIER,
    "username": Evidence.SAME_USERNAME,
    "email": Evidence.SAME_EMAIL,
}
_NAME: Final = ("given", "family")
_CROWD: Final = 20
"""More namesakes than this in one class are not compared each with each."""
_ASKED: Final = pl.Schema({name: kind for name, kind in QUESTIONS.items() if name != "school"})


# ---------------------------------------------------------------------------------------------------------------------
# Links


@dataclass(frozen=True, slots=True, kw_only=True)
class Relinked:
    """A roster in Homeroom's ids.

    `unknown`: links whose `to` is no record; `united`: records of one human beyond the first; `torn`: ids, sorted, of
    people whose records have wholly different names, for `questions`: a wrong link, or an id that was given away again.
    """

    roster: Roster
    unknown: int
    united: int
    torn: pl.Series


def links_of(identity: Identity, listed: pl.DataFrame | None = None) -> pl.DataFrame:
    """All links of a district, of its spec and `listed` in the file of `linksFrom`: columns `LINKS`, sorted by `to`.

    Raises InvalidSpecError when a record is called two ways. A human may have several records (one `from`, several
    `to`), and since all links are applied at once, ids that the records swapped may be swapped back.
    """
    spoken = pl.DataFrame([(link.from_, link.to) for link in identity.links], schema=LINKS, orient="row")
    links = pl.concat([spoken, listed.select(*LINKS)] if listed is not None else [spoken]).unique().sort("to", "from")
    twice = links.filter(pl.col("to").is_duplicated())
    if twice.height:
        first, second = twice["from"][0], twice["from"][1]
        raise InvalidSpecError(
            f"identity: the record '{twice['to'][0]}' is linked from '{first}' and from '{second}': a record is one "
            "human, keep one of the two links"
        )
    return links


def links_by_key(before: Roster, fresh: Roster, *, key: StudentKey) -> pl.DataFrame:
    """The links that the student key gives by itself: an id is gone, a new one has come, and both have the same key.

    None for `SourcedId`, and none for a key that several records have. Columns `LINKS`, sorted.
    """
    if key is StudentKey.SOURCED_ID:
        return pl.DataFrame(schema=LINKS)
    old, new = _churn(before, fresh)
    gone, come = _only_in(old, new), _only_in(new, old)
    column = key.value.lower()
    pairs = gone.drop_nulls(column).join(come, on=column, suffix="_now")
    for roster in (before, fresh):
        said = roster.users.select(_account(column)).filter(pl.col(column).is_in(pairs[column].implode()))
        pairs = pairs.join(said.filter(pl.col(column).is_duplicated()), on=column, how="anti")
    return pairs.select(pl.col("id").alias("from"), pl.col("id_now").alias("to")).sort("from")


def relink(fresh: Roster, links: pl.DataFrame) -> Relinked:
    """Call everybody by Homeroom's ids. `links` (columns `LINKS`): a `to` stands there once, see `links_of`.

    Several records of one human become one person with the roles and enrollments of all: values come from the record
    that is not barred, then from the one that has the id already, then by id; grades are those of all. Where nothing
    is renamed, the roster is returned as it is.
    """
    users = fresh.users
    if links.is_empty():
        return Relinked(roster=fresh, unknown=0, united=0, torn=users["id"].clear())
    there = users["id"].filter(users["id"].is_in(links["to"].implode()))
    known = links.filter(pl.col("to").is_in(there.implode()))
    unknown = links.height - known.height
    if known.is_empty():
        return Relinked(roster=fresh, unknown=unknown, united=0, torn=users["id"].clear())
    stirred = users["id"].is_in(pl.concat([known["from"], known["to"]]).implode())
    named = users.with_row_index("_row").filter(stirred)
    named = named.with_columns(_record="id", id=pl.col("id").replace(known["to"], known["from"]))
    several = named.filter(pl.col("id").is_duplicated())
    people = pl.concat([named.filter(~pl.col("id").is_duplicated()).select(users.columns), _united(several)]).sort("id")
    # Whoever is not renamed stays in order: the others are put in between, and nobody else is sorted or looked up.
    rest = users.filter(~stirred)
    places = rest["id"].search_sorted(people["id"]) + pl.int_range(people.height, eager=True)
    total = rest.height + people.height
    others = pl.int_range(total, dtype=_ROW, eager=True).filter(~_mask(places, total))
    new = named.select("_row", "id").join(people.select("id", place=places.cast(_ROW)), on="id").sort("_row")
    moved = repeated(0, users.height, dtype=_ROW).scatter(stirred.not_().arg_true(), others)
    moved = moved.scatter(new["_row"], new["place"])
    order = pl.concat([others, places.cast(_ROW)]).arg_sort()
    united = moved[several["_row"]].unique()
    return Relinked(
        roster=replace(
            fresh,
            users=pl.concat([rest, people])[order],
            agents=_moved_agents(fresh.agents, moved),
            roles=_moved(fresh.roles, moved, united),
            enrollments=_moved(fresh.enrollments, moved, united),
        ),
        unknown=unknown,
        united=users.height - total,
        torn=_torn(several),
    )


def _united(named: pl.DataFrame) -> pl.DataFrame:
    """One row per id, with the columns of `users`; `_record` is the id in the records."""
    barred = ~pl.col("enabled").fill_null(value=True)
    ranked = named.sort("id", barred, pl.col("_record") != pl.col("id"), "_record")
    texts = [name for name, kind in SCHEMAS["users"].items() if kind == pl.String and name != "id"]
    people = ranked.group_by("id", maintain_order=True).agg(
        pl.col("enabled").first(),
        *(pl.col(name).drop_nulls().first() for name in texts),
    )
    for several in (_all_grades(ranked), _all_user_ids(ranked)):
        people = people.join(several, on="id", how="left")
    return people.select(SCHEMAS["users"].names())


def _torn(several: pl.DataFrame) -> pl.Series:
    """Ids of which not all records can be one human."""
    folded = several.select("id", "_record", *(_folded(name) for name in _NAME)).sort("id", "_record")
    first = folded.unique("id", keep="first", maintain_order=True)
    return first.join(folded, on="id", suffix="_now").filter(_other_name())["id"].unique().sort()


def _all_grades(several: pl.DataFrame) -> pl.DataFrame:
    """[id, grades]: the known grades of all records; `Other` stands only where there is nothing else."""
    told = several.select("id", "grades").drop_nulls().explode("grades", empty_as_null=False).unique()
    real = (pl.col("grades") != "Other") | ((pl.col("grades") == "Other").all().over("id"))
    return told.filter(real).sort("id", "grades").group_by("id", maintain_order=True).agg("grades")


def _all_user_ids(several: pl.DataFrame) -> pl.DataFrame:
    """[id, user_ids]: those of all records."""
    told = several.select("id", "user_ids").drop_nulls()
    ids = told.explode("user_ids", empty_as_null=False).unique().sort("id", "user_ids")
    found = ids.group_by("id", maintain_order=True).agg("user_ids")
    none = told.select("id").unique().join(found, on="id", how="anti")
    return pl.concat([found, none.with_columns(user_ids=pl.lit([], dtype=SCHEMAS["users"]["user_ids"]))])


def _moved_agents(agents: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    """Agents for people in other rows, each pair once; two records of one human do not name each other."""
    ends = agents.select(rows[agents[end]].alias(end) for end in agents.columns)
    return ends.filter(pl.col("user") != pl.col("agent")).unique(maintain_order=True)


def _moved(frame: pl.DataFrame, rows: pl.Series, united: pl.Series) -> pl.DataFrame:
    """Roles or enrollments for people in other rows; what several records of one human say alike stands there once.

    They stay in the order of the records: sorting eight million rows would take longer than all the rest.
    """
    frame = frame.with_columns(rows[frame["user"]].alias("user"))
    if united.is_empty():
        return frame
    theirs = _mask(united, rows.len())[frame["user"]].fill_null(value=False)
    return pl.concat([frame.filter(~theirs), frame.filter(theirs).unique(maintain_order=True)])


# ---------------------------------------------------------------------------------------------------------------------
# Questions


def questions(
    before: Roster,
    fresh: Roster,
    *,
    key: StudentKey,
    links: pl.DataFrame | None = None,
    torn: pl.Series | None = None,
) -> pl.DataFrame:
    """What a person has to decide before `fresh` may act: columns `QUESTIONS`, sorted, none twice.

    `before`: what is served, see the module; `fresh`: the new reading after `relink`. `links`: those it was relinked
    by; what they declare is no question any more. `torn`: what `relink` said.

    * Recycled: neither given nor family name is left, and less than half of the classes, or the grade does not follow;
      and whoever is `torn`, unless the person is served like that.
    * Changed: an id is gone and a new one has come with the same identifier or user name; the same e-mail address and
      given name (a family shares its address); or the same name with the same classes, or with the same school and a
      grade that follows. With a `key` other than SourcedId, also a key that is another one now.
    * Merged: an id is gone, and one that stays has, in the same sense, what it had; by name only with all its classes.
    * Duplicated: two records, at least one of them new or changed, with the same account and given name, or with the
      same name and grade and at least half of their classes. Namesakes are none.
    * Shared: two such records with the same user name and another given name; or with the same e-mail address, another
      given and another family name (a family shares its address). With the key Identifier, the same identifier too.
    """
    fresh = relink(fresh, links_by_key(before, fresh, key=key)).roster
    old, new = _churn(before, fresh)
    torn = before.users["id"].clear() if torn is None else torn
    if old.is_empty() and new.is_empty() and torn.is_empty():
        return pl.DataFrame(schema=QUESTIONS)
    same = old.join(new, on="id", suffix="_now")
    gone, come = _only_in(old, new), _only_in(new, old)
    asked = [
        _recycled(before, fresh, same),
        _asking(_newly_torn(before, fresh, torn, new), Question.RECYCLED, Evidence.OTHER_NAME, other=None),
        _key_changed(same, key),
        *_changed(before, fresh, gone, come),
        *_claimed(fresh, same, gone, come, key=key),
        *_nearby(before, fresh, same, gone, come),
    ]
    found = pl.concat([pl.DataFrame(schema=_ASKED), *(part.cast(_ASKED) for part in asked if part.height)])
    if found.is_empty():
        return pl.DataFrame(schema=QUESTIONS)
    found = _undeclared(found, links).sort("question", "person", "other", "reason")
    found = found.unique(["question", "person", "other"], keep="first", maintain_order=True)
    return _of_schools(found, before, fresh)


def frozen(questions: pl.DataFrame) -> pl.Series:
    """Ids of all people who stand still both ways while these questions are open: sorted, none twice."""
    return pl.concat([questions["person"], questions["other"]]).drop_nulls().unique().sort().alias("id")


def _lowered(column: str) -> pl.Expr:
    """An identifier as it is, a user name or e-mail address in small letters."""
    return pl.col(column) if column == "identifier" else pl.col(column).str.to_lowercase()


def _account(column: str) -> pl.Expr:
    """The same, and null where it is empty."""
    return pl.when(pl.col(column) != "").then(_lowered(column)).alias(column)


def _folded(column: str) -> pl.Expr:
    """A name as far as it counts: no case, no accents, nothing but letters and digits; empty is null.

    Nothing is transliterated: Müller is Muller, and not Mueller. Marks that are vowels in other scripts stay.
    """
    plain = pl.col(column).str.normalize("NFKD").str.to_lowercase()
    plain = plain.str.replace_all(r"[^\p{L}\p{M}\p{N}]|[\x{300}-\x{36f}]", "")
    return pl.when(plain != "").then(plain).alias(column)


def _hash(frame: pl.DataFrame, columns: Iterable[str]) -> pl.Series:
    """One UInt64 per row for several columns; nulls count as values."""
    hashes = (pl.col(column).hash(seed) for seed, column in enumerate(columns, start=1))
    return frame.select(reduce(lambda sum_, one: sum_ * 31 + one, hashes).alias("hash")).to_series()


def _churn(before: Roster, fresh: Roster) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The people of each roster whom the other does not have in the same words, see `_people`."""
    columns = ("id", *_NAME, *_ACCOUNTS)
    if before.users["id"].equals(fresh.users["id"]):  # as on most nights: nothing has to be hashed
        words = [pl.any_horizontal(pl.lit(before.users[name]).ne_missing(fresh.users[name]) for name in columns[1:])]
        rows_ = pl.select(*words).to_series().arg_true()
        return _people(before, rows_), _people(fresh, rows_)
    old, new = (_hash(roster.users, columns) for roster in (before, fresh))
    both = pl.concat([old, new]).sort()
    lone = both.filter(both.ne_missing(both.shift()) & both.ne_missing(both.shift(-1)))
    rows = [hashes.is_in(lone.implode()).arg_true() for hashes in (old, new)]
    return _people(before, rows[0]), _people(fresh, rows[1])


def _people(roster: Roster, rows: pl.Series) -> pl.DataFrame:
    """[row, id, given, family, identifier, username, email, grades] of these rows; names and accounts are folded."""
    people = roster.users[rows]
    names = [_by_word(people[name], _folded(name)) for name in _NAME]
    return people.select(
        rows.cast(_ROW).alias("row"), "id", *names, *(_account(column) for column in _ACCOUNTS), "grades"
    )


def _by_word(column: pl.Series, of: pl.Expr) -> pl.Series:
    """`of` each value of the column. Names repeat, so each is looked at once, unless there are few."""
    if column.len() < FEW:
        return column.to_frame().select(of).to_series()
    words = column.unique()
    values = words.to_frame().select(of).to_series()
    return values if words.is_empty() else column.replace_strict(words, values, return_dtype=values.dtype)


def _only_in(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    return one.join(other, on="id", how="anti")


def _stirred(same: pl.DataFrame, come: pl.DataFrame, columns: Iterable[str]) -> pl.DataFrame:
    """Who is new, or has another value in one of these columns: the columns of `_people`."""
    if same.is_empty():
        return come
    moved = pl.any_horizontal(pl.col(column).ne_missing(pl.col(f"{column}_now")) for column in columns)
    now = {name: f"{name}_now" for name in come.columns if name != "id"}
    return pl.concat(
        [come, same.filter(moved).select("id", **{a: pl.col(b) for a, b in now.items()}).select(come.columns)]
    )


def _other_name() -> pl.Expr:
    """No part of the name is left; an unknown name proves nothing."""
    parts = [pl.col(a) == pl.col(f"{b}_now") for a in _NAME for b in _NAME]
    known = [pl.any_horizontal(pl.col(f"{name}{suffix}").is_not_null() for name in _NAME) for suffix in ("", "_now")]
    return pl.all_horizontal(known) & ~pl.any_horizontal(part.fill_null(value=False) for part in parts)


def _same_given() -> pl.Expr:
    """The given name is the same, or unknown in one of the two."""
    return (pl.col("given") == pl.col("given_now")).fill_null(value=True)


def _one_family(column: str) -> pl.Expr:
    """They have an e-mail address in common as families do: nobody's account."""
    return (pl.lit(column == "email") & (pl.col("family") == pl.col("family_now"))).fill_null(value=False)


def _asking(frame: pl.DataFrame, question: Question, reason: Evidence, *, other: str | None = "id_now") -> pl.DataFrame:
    return frame.select(
        question=pl.lit(question.value),
        person="id",
        other=pl.lit(None, dtype=pl.String) if other is None else pl.col(other),
        reason=pl.lit(reason.value),
    )


def _recycled(before: Roster, fresh: Roster, same: pl.DataFrame) -> pl.DataFrame:
    suspects = same.filter(_other_name())
    if suspects.is_empty():
        return suspects
    pairs = suspects.select("id", a="row", b="row_now", follows=_follows())
    pairs = _common(pairs, _classes(before, pairs["a"]), _classes(fresh, pairs["b"]))
    most = pl.max_horizontal("of_a", "of_b")
    stays = pl.col("follows") & (most > 0) & (pl.col("common") * 2 >= most)
    return _asking(pairs.filter(~stays), Question.RECYCLED, Evidence.OTHER_NAME, other=None)


def _newly_torn(before: Roster, fresh: Roster, torn: pl.Series, new: pl.DataFrame) -> pl.DataFrame:
    """Of those, whoever is not served with the same values and classes: column id."""
    if torn.is_empty():
        return new.clear()
    sides = [
        roster.users.select("id").with_row_index(row).filter(pl.col("id").is_in(torn.implode()))
        for row, roster in (("a", before), ("b", fresh))
    ]
    pairs = sides[1].join(sides[0], on="id", how="left")
    pairs = _common(pairs, _classes(before, sides[0]["a"]), _classes(fresh, sides[1]["b"]))
    served = (pl.col("common") == pl.col("of_a")) & (pl.col("common") == pl.col("of_b")) & pl.col("a").is_not_null()
    return pairs.filter(~served | pl.col("id").is_in(new["id"].implode()))


def _key_changed(same: pl.DataFrame, key: StudentKey) -> pl.DataFrame:
    column = "id" if key is StudentKey.SOURCED_ID else key.value.lower()
    moved = same.clear() if column == "id" else same.filter(pl.col(column) != pl.col(f"{column}_now"))
    return _asking(moved, Question.CHANGED, Evidence.KEY_CHANGED, other=None)


def _changed(before: Roster, fresh: Roster, gone: pl.DataFrame, come: pl.DataFrame) -> list[pl.DataFrame]:
    """An id is gone, and a new one looks like the same human."""
    if gone.is_empty() or come.is_empty():
        return []
    found = [
        _asking(_met(gone, come, _in_sense(column)), Question.CHANGED, reason) for column, reason in _ACCOUNTS.items()
    ]
    named = [
        one.filter(pl.any_horizontal(pl.col(name).is_not_null() for name in _NAME)).join(
            other, on=list(_NAME), how="semi", nulls_equal=True
        )
        for one, other in ((gone, come), (come, gone))
    ]
    if named[0].is_empty():
        return found
    for of, reason in (
        (_classes, Evidence.SAME_NAME_AND_CLASSES),
        (_orgs, Evidence.SAME_NAME_SCHOOL_AND_GRADE),
    ):
        held = [of(roster, people["row"]) for roster, people in zip((before, fresh), named, strict=True)]
        left, right = (people.join(items, on="row") for people, items in zip(named, held, strict=True))
        pairs = left.join(right, on=[*_NAME, "item"], nulls_equal=True, suffix="_now").unique(["id", "id_now"])
        if reason is Evidence.SAME_NAME_AND_CLASSES:
            pairs = _common(pairs.with_columns(a="row", b="row_now"), *held)
            pairs = pairs.filter((pl.col("common") == pl.col("of_a")) & (pl.col("common") == pl.col("of_b")))
        else:
            pairs = pairs.filter(_follows())
        found.append(_asking(pairs, Question.CHANGED, reason))
    return found


def _claimed(
    fresh: Roster, same: pl.DataFrame, gone: pl.DataFrame, come: pl.DataFrame, *, key: StudentKey
) -> list[pl.DataFrame]:
    """One identifier, user name or e-mail address: of two records, or of one that is gone and one that stays."""
    found = []
    for column, reason in _ACCOUNTS.items():
        stirred = _stirred(same, come, [column])
        left, wanted = gone[column].drop_nulls().hash(), stirred[column].drop_nulls().hash()
        if left.is_empty() and wanted.is_empty():
            continue
        said = fresh.users.select(_lowered(column).hash()).with_row_index("row")
        said = said.filter(pl.col(column).is_in(pl.concat([left, wanted]).implode()))
        said = said.filter(pl.col(column).is_duplicated() | pl.col(column).is_in(left.implode()))
        if said.is_empty():
            continue
        holders = _people(fresh, said["row"]).drop_nulls(column)
        found.append(_asking(_met(gone, _only_in(holders, come), _in_sense(column)), Question.MERGED, reason))
        # Who had it before, and else the first by id, is asked about with each of the others, and not all with all.
        holders = holders.with_columns(late=pl.col("row").is_in(stirred["row"].implode())).sort("late", "id")
        first = holders.unique(column, keep="first", maintain_order=True)
        pairs = first.join(holders.filter("late"), on=column, suffix="_now").filter(pl.col("id") != pl.col("id_now"))
        found.append(_asking(pairs.filter(_same_given()), Question.DUPLICATED, reason))
        if column != "identifier" or key is StudentKey.IDENTIFIER:  # staff and students may be numbered apart
            shared = pairs.filter(~_same_given() & ~_one_family(column))
            found.append(_asking(shared, Question.SHARED, reason))
    return found


def _nearby(
    before: Roster, fresh: Roster, same: pl.DataFrame, gone: pl.DataFrame, come: pl.DataFrame
) -> list[pl.DataFrame]:
    """Namesakes in one class: two records, or one that is gone and one that stays and has all its classes."""
    stirred = _stirred(same, come, _NAME)
    people = pl.concat([gone.select(_NAME), stirred.select(_NAME)])
    if people.is_empty() or fresh.enrollments.is_empty():
        return []
    links, ids = fresh.enrollments, fresh.classes["id"].hash()
    left = _classes(before, gone["row"]).join(gone.select("row", name=_hash(gone, _NAME)), on="row")
    theirs = links["class"].filter(_mask(stirred["row"], fresh.users.height)[links["user"]])
    near = _mask(theirs, fresh.classes.height) | ids.is_in(left["item"].implode())
    rows = links.filter(near[links["class"]])
    there = _mask(rows["user"], fresh.users.height).arg_true()
    names = _name_hashes(fresh.users[there])
    wanted = _hash(people.filter(pl.any_horizontal(pl.col(name).is_not_null() for name in _NAME)), _NAME)
    hit = names.is_in(wanted.implode())
    called = repeated(0, fresh.users.height, dtype=pl.UInt64).scatter(there.filter(hit), names.filter(hit))
    rows = rows.with_columns(called[rows["user"]].alias("name")).filter(pl.col("name") != 0)
    rows = rows.select(pl.col("user").alias("row"), ids[rows["class"]].alias("item"), "name", "role")
    found = [
        (Question.MERGED, gone, _took_over(rows.join(come, on="row", how="anti"), left)),
        (Question.DUPLICATED, None, _twins(rows, fresh, late=stirred["row"])),
    ]
    asked = []
    for question, of, pairs in found:
        if pairs.is_empty():
            continue
        now = _people(fresh, pairs["row_now"].unique())
        was = of if of is not None else _people(fresh, pairs["row"].unique())
        known = pairs.join(was, on="row").join(now, left_on="row_now", right_on="row", suffix="_now")
        known = known.filter(pl.col(name).eq_missing(pl.col(f"{name}_now")) for name in _NAME)  # not only their hashes
        if question is Question.DUPLICATED:
            known = known.filter((_rank("grades") == _rank("grades_now")).fill_null(value=True))
        asked.append(_asking(known, question, Evidence.SAME_NAME_AND_CLASSES))
    return asked


def _took_over(staying: pl.DataFrame, left: pl.DataFrame) -> pl.DataFrame:
    """[row, row_now]: somebody who is gone, and a namesake who has all their classes. Columns: row, item, name."""
    if left.is_empty() or staying.is_empty():
        return pl.DataFrame(schema={"row": _ROW, "row_now": _ROW})
    staying = staying.join(left, on=["item", "name"], how="semi").unique(["row", "item"])
    both = left.with_columns(of=pl.len().over("row")).join(staying, on=["item", "name"], suffix="_now")
    return both.group_by("row", "row_now").agg(pl.len() == pl.col("of").first()).filter("len").select("row", "row_now")


def _twins(rows: pl.DataFrame, fresh: Roster, *, late: pl.Series) -> pl.DataFrame:
    """[row, row_now]: namesakes with one role and half of their classes in common, the second of them `late`."""
    role = pl.col("role").to_physical().hash(1)
    met = rows.select("row", place=pl.col("item") * 961 + pl.col("name") * 31 + role)
    met = met.filter(pl.col("place").is_duplicated()).unique()
    if met.is_empty():
        return pl.DataFrame(schema={"row": _ROW, "row_now": _ROW})
    met = met.with_columns(late=pl.col("row").is_in(late.implode())).sort("late", "row")
    # In a crowd everybody is compared with the first only, so that a thousand never make a million pairs.
    some = met.filter((pl.len().over("place") <= _CROWD) | (pl.col("row") == pl.col("row").first().over("place")))
    pairs = some.join(met.filter("late"), on="place", suffix="_now")
    pairs = pairs.filter((~pl.col("late") & (pl.col("row") != pl.col("row_now"))) | (pl.col("row") < pl.col("row_now")))
    pairs = pairs.select(a="row", b="row_now").unique()
    pairs = _common(pairs, _classes(fresh, pairs["a"]), _classes(fresh, pairs["b"]))
    return pairs.filter(pl.col("common") * 2 >= pl.max_horizontal("of_a", "of_b")).select(row="a", row_now="b")


def _undeclared(found: pl.DataFrame, links: pl.DataFrame | None) -> pl.DataFrame:
    """Without the pairs that a link declares, in whichever order: that is the answer."""
    if links is None:
        return found
    found = found.join(links, left_on=["person", "other"], right_on=["from", "to"], how="anti")
    return found.join(links, left_on=["person", "other"], right_on=["to", "from"], how="anti")


def _of_schools(found: pl.DataFrame, before: Roster, fresh: Roster) -> pl.DataFrame:
    """With the school of each person, and without people who are nothing but family."""
    ids = frozen(found)
    known = pl.concat([_whereabouts(roster, ids) for roster in (before, fresh)])
    family = known.drop_nulls("family").group_by("id").agg(pl.col("family").all()).filter("family")["id"]
    known = known.drop_nulls("school").unique("id", keep="first", maintain_order=True)
    for column in ("person", "other"):
        found = found.filter(~pl.col(column).is_in(family.implode()).fill_null(value=False))
    found = found.join(known.select("school", person="id"), on="person", how="left")
    return found.select(QUESTIONS.names()).sort("question", "school", "person", "other")


def _whereabouts(roster: Roster, ids: pl.Series) -> pl.DataFrame:
    """[id, school, family] of these people: their primary school, and whether they are only family; null: no role."""
    rows = roster.users.select("id").with_row_index("user").filter(pl.col("id").is_in(ids.implode()))
    roles = roster.roles.filter(_mask(rows["user"], roster.users.height)[roster.roles["user"]])
    orgs = roster.orgs.select("id", "type")[roles["org"]]
    roles = roles.with_columns(
        orgs["id"].alias("school"), (orgs["type"] == "school").fill_null(value=False).alias("is")
    )
    roles = roles.sort(pl.col("is").not_(), pl.col("primary").fill_null(value=False).not_(), "school")
    places = roles.group_by("user", maintain_order=True).agg(
        pl.col("school").first(), family=pl.col("role").is_in(FAMILY).all()
    )
    return rows.join(places, on="user", how="left").select("id", "school", "family")


# ---------------------------------------------------------------------------------------------------------------------
# Pieces


def _in_sense(column: str) -> list[str]:
    """Columns in which two people have to agree: a family shares its e-mail address, but no given name."""
    return ["email", "given"] if column == "email" else [column]


def _met(left: pl.DataFrame, right: pl.DataFrame, on: list[str]) -> pl.DataFrame:
    """Pairs that agree in `on`: everybody with the first of the others, so that n people never make n * n pairs."""
    first = [side.unique(on, keep="first", maintain_order=True) for side in (left, right)]
    pairs = [a.join(b, on=on, suffix="_now").select("id", "id_now") for a, b in ((left, first[1]), (first[0], right))]
    return pl.concat(pairs).unique()


def _mask(rows: pl.Series, size: int) -> pl.Series:
    """Boolean, true at these rows."""
    return repeated(value=False, n=size, dtype=pl.Boolean).scatter(rows, values=True)


def _classes(roster: Roster, rows: pl.Series) -> pl.DataFrame:
    """[row, item]: the classes, as hashes of their ids, in which these people (rows of `users`) are enrolled."""
    links = roster.enrollments if rows.len() else roster.enrollments.clear()
    mine = links.filter(_mask(rows, roster.users.height)[links["user"]]).select("user", "class")
    return mine.select(pl.col("user").alias("row"), roster.classes["id"].hash()[mine["class"]].alias("item")).unique()


def _orgs(roster: Roster, rows: pl.Series) -> pl.DataFrame:
    """[row, item]: organisations in which these people have a role, as hashes of their ids and of their names."""
    links = roster.roles.filter(pl.col("org").is_not_null())
    mine = links.filter(_mask(rows, roster.users.height)[links["user"]]).select("user", "org")
    names = roster.orgs.select(pl.col("id").hash(1), _folded("name").hash(2), known=pl.col("name").is_not_null())
    parts = [
        mine.select(pl.col("user").alias("row"), names[column][mine["org"]].alias("item")).filter(keep)
        for column, keep in (("id", pl.lit(value=True)), ("name", names["known"][mine["org"]]))
    ]
    return pl.concat(parts).unique()


def _common(pairs: pl.DataFrame, left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
    """`pairs` (a, b) with how many items both have (`common`), and how many each has (`of_a`, `of_b`)."""
    both = (
        pairs.select("a", "b")
        .join(left, left_on="a", right_on="row")
        .join(right, left_on=["b", "item"], right_on=["row", "item"])
    )
    counts = [
        (["a", "b"], both.group_by("a", "b").agg(common=pl.len())),
        (["a"], left.group_by(pl.col("row").alias("a")).agg(of_a=pl.len())),
        (["b"], right.group_by(pl.col("row").alias("b")).agg(of_b=pl.len())),
    ]
    for on, count in counts:
        pairs = pairs.join(count, on=on, how="left")
    return pairs.with_columns(pl.col("common", "of_a", "of_b").fill_null(0))


def _name_hashes(users: pl.DataFrame) -> pl.Series:
    """`_hash` of the folded names of everybody."""
    given, family = (_by_word(users[name], _folded(name).hash(seed)) for seed, name in enumerate(_NAME, start=1))
    return given * 31 + family


def _rank(column: str) -> pl.Expr:
    """The highest of the grades as a number; null where there is none that has an order."""
    place = pl.element().replace_strict(_GRADES, range(len(_GRADES)), default=None, return_dtype=pl.Int8)
    return pl.col(column).list.eval(place).list.max()


def _follows() -> pl.Expr:
    """The grade is the same or the next one; a grade that is unknown, or has no order, speaks neither way."""
    return (_rank("grades_now") - _rank("grades")).is_in([0, 1]).fill_null(value=True)


# ---------------------------------------------------------------------------------------------------------------------
# Proposals

_MOST_NAMESAKES: Final = 100
"""More people of one name than this are not compared with each other, unless an account tells them apart."""

_WEIGHTS: Final = {
    Evidence.SAME_IDENTIFIER: 16,
    Evidence.SAME_USERNAME: 8,
    Evidence.SAME_EMAIL: 8,
    Evidence.SAME_LOCAL_PART: 4,
    Evidence.SAME_NAME: 4,
    Evidence.SIMILAR_NAME: 1,
    Evidence.SAME_SCHOOL: 2,
    Evidence.SAME_GRADE: 2,
}
"""What each piece of evidence adds to how well two records fit; common classes break ties, one by one."""
_TRUSTED: Final = 0.5
"""Of those who agree in an identifier, user name or address, so many have to have the same name."""
_SURE: Final = [Evidence.SAME_IDENTIFIER, Evidence.SAME_USERNAME, Evidence.SAME_EMAIL]


def propose(before: Roster, fresh: Roster) -> pl.DataFrame:
    """Links for a records system that was replaced: columns `PROPOSALS`, sorted by `from`, none twice on either side.

    Looks at people whose id is on one side only, or has another name now. A pair is proposed when it is the best match
    of both, no other is as good, and it agrees well enough: in name and identifier, user name or e-mail address; or in
    the whole name and in school and grade, in classes (title, or course and teachers), or in the local part of the
    address. Grades count as agreeing when they moved as those of the others did. Who is left over without anybody as
    good is not in the frame; who has several is, as Ambiguous.
    """
    old, new = _candidates(before, fresh)
    pairs = _compared(old, new, before, fresh)
    first = _best(pairs)
    rest = pairs.join(first, on="row", how="anti").join(first, on="row_now", how="anti")
    rest = _with_classes(rest, before, fresh)
    second = _best(rest)
    chosen = pl.concat([first, second]).with_columns(
        confidence=pl.when(pl.any_horizontal(_SURE) & pl.any_horizontal(Evidence.SAME_NAME, Evidence.SIMILAR_NAME))
        .then(pl.lit(Confidence.CERTAIN.value))
        .otherwise(pl.lit(Confidence.LIKELY.value)),
        reasons=pl.concat_list(
            pl.when(reason.value).then(pl.lit(reason.value)) for reason in Evidence if reason.value in first.columns
        ).list.drop_nulls(),
    )
    left = rest.join(second, on="row", how="anti").join(second, on="row_now", how="anti").filter("enough")
    common = [side.filter(pl.len().over("name") > _MOST_NAMESAKES).select("name") for side in (old, new)]
    crowd = old.join(new, on="name", how="semi").join(pl.concat(common), on="name", how="semi")
    crowd = crowd.join(chosen, on="row", how="anti")
    unsure = pl.concat([left.select("row"), crowd.select("row")]).unique()
    found = pl.concat(
        [chosen.select("row", "row_now", "confidence", "reasons"), unsure.with_columns(confidence=pl.lit("Ambiguous"))],
        how="diagonal",
    )
    found = found.join(old.select("row", pl.col("id").alias("from")), on="row")
    found = found.join(new.select(pl.col("row").alias("row_now"), pl.col("id").alias("to")), on="row_now", how="left")
    return found.select(PROPOSALS.names()).cast(PROPOSALS).sort("from")


def _candidates(before: Roster, fresh: Roster) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Who may have another id now, and whose id it may be. Text as hashes; accounts that several have are null."""
    old, new = _churn(before, fresh)
    another = old.join(new, on="id", suffix="_now").filter(_other_name())
    sides = []
    for people, other in ((old, fresh), (new, before)):
        there = people["id"].is_in(other.users["id"].implode())
        mine = people.filter(~there | people["id"].is_in(another["id"].implode()))
        mine = mine.with_columns(local=pl.col("email").str.extract(r"^([^@]+)@"))
        known = pl.any_horizontal(pl.col(part).is_not_null() for part in _NAME)
        sides.append(
            mine.select(
                "row",
                "id",
                *(pl.when(pl.col(part).is_not_null()).then(pl.col(part).hash(0)) for part in _NAME),
                *(
                    pl.when(pl.col(column).is_not_null() & ~pl.col(column).is_duplicated()).then(pl.col(column).hash(0))
                    for column in (*_ACCOUNTS, "local")
                ),
                name=pl.when(known).then(pl.Series(_hash(mine, _NAME))),
                rank=_rank("grades"),
            )
        )
    return sides[0], sides[1]


def _compared(old: pl.DataFrame, new: pl.DataFrame, before: Roster, fresh: Roster) -> pl.DataFrame:
    """All pairs that have an account or the whole name in common: row, row_now, one Boolean per `Evidence`, score."""
    parts = [old.join(new, on=column, suffix="_now") for column in (*_ACCOUNTS, "local")]
    few = [side.filter(pl.len().over("name") <= _MOST_NAMESAKES) for side in (old, new)]
    parts.append(few[0].join(few[1], on="name", suffix="_now"))
    pairs = pl.concat([part.select("row", "row_now") for part in parts]).unique()
    pairs = pairs.join(old, on="row").join(new, left_on="row_now", right_on="row", suffix="_now")
    for column in _ACCOUNTS:  # where most who agree in it have other names, it was numbered anew, and says nothing
        equal = pl.col(column) == pl.col(f"{column}_now")
        named = pairs.filter(equal).select((pl.col("name") == pl.col("name_now")).mean()).item()
        if named is not None and named < _TRUSTED:
            pairs = pairs.with_columns(pl.lit(None, dtype=pl.UInt64).alias(column))
    pairs = pairs.filter(~_other_name())
    orgs = _orgs(before, old["row"]), _orgs(fresh, new["row"])
    pairs = _common(pairs.with_columns(a="row", b="row_now"), *orgs)

    step = pl.col("rank_now") - pl.col("rank")
    plain = pairs.filter(pl.len().over("name") == 1, pl.len().over("name_now") == 1)
    moved = plain.select((step == 1).sum() > (step == 0).sum()).item()
    same = {
        **{reason: pl.col(column) == pl.col(f"{column}_now") for column, reason in _ACCOUNTS.items()},
        Evidence.SAME_LOCAL_PART: pl.col("local") == pl.col("local_now"),
        Evidence.SAME_NAME: pl.col("name") == pl.col("name_now"),
        Evidence.SIMILAR_NAME: pl.col("name") != pl.col("name_now"),
        Evidence.SAME_SCHOOL: pl.col("common") > 0,
        Evidence.SAME_GRADE: step == int(bool(moved)),
    }
    pairs = pairs.with_columns(
        pl.lit(value=False).alias(Evidence.SAME_CLASSES.value),
        *(told.fill_null(value=False).alias(reason.value) for reason, told in same.items()),
        score=pl.sum_horizontal(told.fill_null(value=False) * _WEIGHTS[reason] for reason, told in same.items()) * 256,
        ungraded=pl.col("rank").is_null() & pl.col("rank_now").is_null(),
    )
    sure = pl.any_horizontal(_SURE)
    graded = pl.col(Evidence.SAME_GRADE.value) | pl.col("ungraded")
    placed = pl.col(Evidence.SAME_SCHOOL.value) & graded
    pairs = pairs.with_columns(
        enough=sure | (pl.col(Evidence.SAME_NAME.value) & (placed | pl.col(Evidence.SAME_LOCAL_PART.value)))
    )
    return pairs.filter(sure | step.is_in([0, 1]).fill_null(value=True)).drop("a", "b", "common", "of_a", "of_b")


def _with_classes(pairs: pl.DataFrame, before: Roster, fresh: Roster) -> pl.DataFrame:
    """`pairs` with the classes that two people have in common taken into account."""
    best = pairs.with_columns(a="row", b="row_now", most=pl.lit(0, dtype=_ROW), half=pl.lit(value=False))
    for by_teacher in (False, True):
        sides = [
            _like_classes(roster, pairs[column].unique(), by_teacher=by_teacher)
            for roster, column in ((before, "row"), (fresh, "row_now"))
        ]
        counted = _common(best, *sides)
        best = counted.with_columns(
            most=pl.max_horizontal("most", "common"),
            half=pl.col("half")
            | ((pl.col("common") > 0) & (pl.col("common") * 2 >= pl.max_horizontal("of_a", "of_b"))),
        ).drop("common", "of_a", "of_b")
    return best.with_columns(
        pl.col("half").alias(Evidence.SAME_CLASSES.value),
        enough=pl.col("enough") | (pl.col(Evidence.SAME_NAME.value) & pl.col("half")),
        score=pl.col("score") + pl.min_horizontal("most", pl.lit(255)).cast(pl.Int32),
    ).select(pairs.columns)


def _like_classes(roster: Roster, rows: pl.Series, *, by_teacher: bool) -> pl.DataFrame:
    """[row, item]: classes of these people, as hashes of what outlasts a change of ids."""
    links = roster.enrollments if rows.len() else roster.enrollments.clear()
    schools = roster.orgs.select(_folded("name").hash(1))["name"][roster.classes["school"]]
    if by_teacher:
        taught = links.filter(pl.col("role") == "teacher").select("class", "user").unique()
        names = _name_hashes(roster.users)[taught["user"]]
        teachers = taught.with_columns(by=names).group_by("class").agg(pl.col("by").sum())
        courses = roster.courses.select(_folded("title").hash(2))["title"][roster.classes["course"]]
        like = pl.DataFrame({"item": schools * 31 + courses}).with_row_index("class")
        like = like.join(teachers, on="class", how="left", maintain_order="left").select(
            pl.col("item") * 31 + pl.col("by")
        )
    else:
        titles = roster.classes.select(pl.when(pl.col("title") != "").then(_folded("title").hash(3)).alias("item"))
        like = titles.select(schools * 31 + pl.col("item"))
    mine = links.filter(_mask(rows, roster.users.height)[links["user"]]).select("user", "class")
    items = like.to_series()[mine["class"]]
    return mine.select(pl.col("user").alias("row"), items.alias("item")).drop_nulls().unique()


def _best(pairs: pl.DataFrame) -> pl.DataFrame:
    """Pairs that agree well enough, of which each is the other's best, and nobody else is as good."""
    best = pl.col("score") == pl.col("score").max()
    return pairs.filter(
        "enough",
        *(best.over(side) & (best.sum().over(side) == 1) for side in ("row", "row_now")),
    )

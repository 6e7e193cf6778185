"""A hold as a file to hand on: to the school, which has to recognise its children, or, without a name, to an outsider.

HTML has a sheet of paper for each school, CSV a row per change: the first sync of a large district is a million rows.
Neighbours: `holds`, `handout` (how such files are written).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Final

import polars as pl

from homeroom.api import District, LicensePool
from homeroom.chats.records import LINKS_SCHEMA
from homeroom.cli import handout, records, terminal
from homeroom.cli.handout import PERSONAL_DATA
from homeroom.cli.holds import Found, counted, facts, listed
from homeroom.errors import DependencyNotReadyError, InvalidSpecError, TransientError
from homeroom.plan import Cause
from homeroom.roster.desired import FULL_NAME
from homeroom.roster.identity import Evidence
from homeroom.roster.tables import Roster
from homeroom.sources import load
from homeroom.store import Store

WHAT: Final = {
    "School Create": "school is set up",
    "School Adopt": "school that people had made is taken over",
    "School Update": "school is changed",
    "School Remove": "school is gone",
    "Person Create": "gets an account",
    "Person Adopt": "the account that is there already is taken over",
    "Person Restore": "gets the old account back",
    "Person Update": "name is changed",
    "Person Suspend": "account is put out of use",
    "Person Remove": "is gone from the records",
    "Class Create": "class is set up",
    "Class Adopt": "class that people had made is taken over",
    "Class Restore": "class is opened again",
    "Class Update": "class is changed",
    "Class Archive": "class is put away",
    "Class Remove": "class is gone from the records",
    "Chat Create": "chat is set up",
    "Chat Restore": "chat is opened again",
    "Chat Update": "chat is changed",
    "Chat Archive": "chat is put away",
    "Membership Create": "comes into the class",
    "Membership Remove": "goes out of the class",
    "Right Create": "gets rights",
    "Right Adopt": "keeps the rights of the account that is taken over",
    "Right Remove": "loses rights",
    "SchoolLicense Remove": "licence is revoked",
}
"""Kind and operation, as people in a school say it."""

WHY: Final = {
    Cause.SOURCE_ADDED: "new in the records",
    Cause.SOURCE_CHANGED: "changed in the records",
    Cause.LEFT_SOURCE: "no longer in the records",
    Cause.MOVED: "moved to another class",
    Cause.SEATS_CHANGED: "was given a seat or a licence, or has none any more",
    Cause.SEAT_RECLAIMED: "did not use the seat, which somebody else was given",
    Cause.LICENCE_REVOKED: "the licence was revoked",
    Cause.NAMESPACE_DELETED: "the namespace was deleted",
    Cause.LINKED: "has said which account is theirs",
    Cause.UNLINKED: "has taken back which account is theirs",
    Cause.ID_CHANGED: "perhaps the same person with another id",
    Cause.TERM_ENDED: "the term is over",
    Cause.ROLLED_OVER: "the school year is over",
    Cause.DENIED: "shut out by the district",
    Cause.SHARING_CHANGED: "what is shared was changed",
    Cause.SPEC_CHANGED: "the settings were changed",
    Cause.DRIFT: "changed in the app by hand",
    Cause.INTRUDER: "nobody's member",
    Cause.FIRST_SYNC: "first time in this app",
    Cause.ADOPTION: "was in the app before",
}
"""Causes, as people in a school say it."""

_WHAT_IN_CHATS: Final = {
    **WHAT,
    "Membership Create": "comes into the chat",
    "Membership Remove": "goes out of the chat",
    "Right Create": "becomes an administrator of the chat",
    "Right Remove": "is no administrator of the chat any more",
}
_WHY_IN_CHATS: Final = {
    **WHY,
    Cause.DRIFT: "changed in the chat by hand",
    Cause.FIRST_SYNC: "first time in these chats",
}
"""The same of chats."""

_QUESTIONS: Final = {reason: reason.text for reason in Evidence}
"""The same of questions about who is who: why they are asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What source ids are called: frames [id, name], no id twice."""

    schools: pl.DataFrame
    classes: pl.DataFrame
    people: pl.DataFrame


def names(store: Store, found: Found, *, files: Sequence[Path] | None, context: str | None) -> Names:
    """The names in the accepted records; of who is in them no more, as the records before had them. Blocks.

    `files`, `context`: where the app is declared, looked into only where its namespace has several districts.
    """
    rosters, accounts = [Roster.empty()], pl.DataFrame(schema=LINKS_SCHEMA)  # of licences nobody is named
    if found.kind != LicensePool.__name__:
        district = _district(store, found, files=files, context=context)
        rosters = list(_rosters(store, found, district))
        accounts = store.links.linked_in(namespace=found.namespace, district=district)
    frames = {
        "schools": [roster.orgs.select("id", "name") for roster in rosters],
        "classes": [roster.classes.select("id", name="title") for roster in rosters],
        "people": [roster.users.select("id", name=FULL_NAME) for roster in rosters],
    }
    named = {part: pl.concat(each).unique("id", keep="first") for part, each in frames.items()}
    if found.chats is not None:  # there a person is an account
        whose = accounts.join(named["people"], left_on="person", right_on="id")
        named["people"] = whose.select("name", id="account").select("id", "name").unique("id", keep="first")
    return Names(**named)


def _district(store: Store, found: Found, *, files: Sequence[Path] | None, context: str | None) -> str:
    if found.kind == District.__name__:
        return found.name
    there = store.districts(namespace=found.namespace)
    if len(there) == 1:
        return there[0]
    kind, name, namespace = found.kind, found.name, found.namespace
    of = asyncio.run(records.district_of(kind, name, files=files, namespace=namespace, context=context))
    return of.metadata.name


def _rosters(store: Store, found: Found, district: str) -> Iterator[Roster]:
    """The one that is served first, then others that are kept: who has just left is only there."""
    accepted = store.accepted(namespace=found.namespace, district=district)
    if accepted is None:
        raise DependencyNotReadyError(
            f"District '{district}' has no accepted snapshot, so there are no names: take --anonymous"
        )
    directory = store.snapshots(namespace=found.namespace, district=district)
    yield load(directory, accepted.serving).roster
    for older in sorted(path.name for path in directory.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if older != accepted.serving:
            with suppress(TransientError):  # damaged, or removed just now: a name less
                yield load(directory, older).roster


def write(path: Path, found: Found, names: Names | None) -> None:
    """Write the report, for its owner's eyes only; without `names` it tells of no person at all.

    Raises InvalidSpecError for a file that is neither .html nor .csv.
    """
    changes = listed(found)
    if path.suffix not in {".html", ".csv"}:
        raise InvalidSpecError(f"--report {path}: must end in .html or .csv")
    table = counted(changes, *found.counted_by) if names is None else _named(changes, names)
    if path.suffix == ".csv":
        handout.write_csv(path, _cells(table, found))
    else:
        handout.write_page(path, f"Held changes: {found.hold.id}", _parts(found, table, named=names is not None))
    terminal.say(f"{path}: {changes.height:,} changes" + ("" if names is None else f"; {PERSONAL_DATA}"))


def _named(changes: pl.DataFrame, names: Names) -> pl.DataFrame:
    """The changes with columns `school name`, `class name` and `person name`, null where nobody knows it; sorted so."""
    for column, frame in (("school", names.schools), ("class", names.classes), ("person", names.people)):
        titled = frame.select(pl.col("id").alias(column), pl.col("name").alias(f"{column} name"))
        changes = changes.join(titled, on=column, how="left")
    chat = ["chat"] if "chat" in changes.columns else []
    order = ("school name", "school", "class name", "class", *chat, "person name", "person")
    rows = changes.select(*order, "licence", "role", "kind", "op", "cause")
    rows = rows.sort(*order, "licence", "kind", "op", "role", nulls_last=True)
    return rows if rows["licence"].count() else rows.drop("licence")


# ---------------------------------------------------------------------------------------------------------------------
# For spreadsheets


def _cells(table: pl.DataFrame, found: Found) -> pl.DataFrame:
    """The table with the hold's id."""
    cells = table.select(pl.lit(found.hold.id).alias("hold"), pl.all())
    return cells.rename({"person name": "person name (personal data)"}, strict=False)


# ---------------------------------------------------------------------------------------------------------------------
# For people


def _parts(found: Found, table: pl.DataFrame, *, named: bool) -> Iterator[str]:
    """What stands on the page."""
    # Of the resource and the Approval only names are known here, which may be anybody's.
    told = {
        name: words
        for name, words in facts(found, now=datetime.now(UTC)).items()
        if named or name not in {"resource", "approval"}
    }
    yield (
        f'<p class="notice">{PERSONAL_DATA}</p>'
        if named
        else "<p>Counts only: there is no name and no person here.</p>"
    )
    yield handout.facts(told)
    table = _in_school_words(table, of_chats=found.chats is not None)
    yield from _sections(table) if named else [handout.table(table)]


def _in_school_words(table: pl.DataFrame, *, of_chats: bool) -> pl.DataFrame:
    """`kind`, `op` and `cause` become what and why."""
    words, causes = (_WHAT_IN_CHATS, _WHY_IN_CHATS) if of_chats else (WHAT, WHY)
    what = pl.concat_str("kind", "op", separator=" ").replace(words)
    told = {cause.value: text for cause, text in (*causes.items(), *_QUESTIONS.items())}
    why = pl.col("cause").replace(told)
    return table.select(pl.exclude("kind", "op", "cause", "changes"), what.alias("what"), why.alias("why"), "^changes$")


def _sections(table: pl.DataFrame) -> Iterator[str]:
    """Each school by itself, counts first: no school has to see another's children."""
    by = ["school", "school name"]
    for (school, name), rows in table.group_by(by, maintain_order=True):
        counts = rows.group_by("what", "why").agg(changes=pl.len()).sort("what", "why")
        heading = escape(" ".join(str(part) for part in (name, school) if part) or "no school")
        yield f'<section class="school">\n<h2>{heading}</h2>\n{handout.table(counts)}\n<h2>One by one: {heading}</h2>\n'
        yield f"{handout.table(rows.drop(by))}\n</section>"
    if not table.filter(pl.col("person").is_not_null() & pl.col("person name").is_null()).is_empty():
        yield "<p>Whoever has no name here is in no records that are still kept.</p>"

"""`homeroom history`: the journal of changes, for people and for spreadsheets."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

import polars as pl
import typer

from homeroom.api import Duration
from homeroom.cli import cluster, options, stores, terminal
from homeroom.errors import InvalidSpecError
from homeroom.plan import Cause
from homeroom.store import JournalQuery, Store

_SHOWN: Final = {
    "at": "WHEN",
    "app": "APP",
    "op": "WHAT",
    "kind": "KIND",
    "school": "SCHOOL",
    "class_key": "CLASS",
    "key": "OF",
    "role": "ROLE",
    "cause": "CAUSE",
    "result": "RESULT",
    "revision": "REVISION",
}
_RUNS: Final = 10
"""How many runs are counted: a first sync may have a million changes in each."""
_COUNTED: Final = {
    "at": "WHEN",
    "run": "RUN",
    "app": "APP",
    "created": "+",
    "adopted": "=",
    "restored": "^",
    "updated": "~",
    "removed": "-",
    "failed": "FAILED",
    "revision": "REVISION",
}


def command(
    *,
    app: Annotated[str | None, typer.Option(help="Only of this LearningApp.")] = None,
    person: Annotated[str | None, typer.Option(help="Only about this person (source id).")] = None,
    section: Annotated[str | None, typer.Option("--class", help="Only about this class (source id).")] = None,
    school: Annotated[str | None, typer.Option(help="Only in this school (source id).")] = None,
    run: Annotated[str | None, typer.Option(help="Only of this run.")] = None,
    cause: Annotated[Cause | None, typer.Option(help="Only changes with this cause.")] = None,
    revision: Annotated[
        str | None, typer.Option(help="Only by this Git revision; part of it will do, such as a short commit.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="Only from then on: a date (2026-09-01, UTC), or an age (90m, 12h, 7d)."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Only until then, as --since; a date is that whole day.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many, the newest.")] = 50,
    erasures: Annotated[
        bool, typer.Option("--erasures", help="List instead when and why people were forgotten.")
    ] = False,
    namespace: options.Namespace = None,
    context: options.Context = None,
    store: options.Store = None,
    data: options.Data = options.DATA,
    output: Annotated[
        Literal["text", "json", "csv"], typer.Option("--output", "-o", help="For people, programs or spreadsheets.")
    ] = "text",
) -> None:
    """List changes that were made in an app: when, what, why. Newest first.

    Of people it has source ids only. `RESULT` is Applied, Failed (the app refused it, the next run tries again),
    Parked (a chat account cannot come in, and is tried again later) or Skipped. `REVISION` is the commit that the app
    and its rules were of. JSON and CSV have the run and the app's words, too. Where nothing narrows it, counts per run
    come first.

    Example: homeroom history -n lakeside --cause Intruder --since 7d
    """
    now = datetime.now(UTC)
    query = JournalQuery(
        namespace=namespace or cluster.current_namespace(context),
        app=app,
        person=person,
        class_key=section,
        school=school,
        run=run,
        cause=cause.value if cause else None,
        revision=revision,
        since=_moment("--since", since, now) if since else None,
        until=_moment("--until", until, now, whole_day=True) if until else None,
        limit=limit,
    )
    everything = query == JournalQuery(namespace=query.namespace, limit=limit)
    with stores.opened(store, data) as opened:
        assert opened is not None
        found = _plain(opened.erasures(namespace=query.namespace)) if erasures else entries(opened, query)
        runs = (
            _plain(opened.counted(namespace=query.namespace, runs=_RUNS))
            if everything and output == "text" and not erasures
            else []
        )
    if output == "json":
        terminal.document(found)
    elif output == "csv":
        if found:
            writer = csv.DictWriter(sys.stdout, list(found[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(found)
    elif not found:
        words = "nobody was forgotten" if erasures else "nothing was changed"
        terminal.say(f"{words} in namespace {query.namespace} that fits")
    elif erasures:
        terminal.table([name.upper() for name in found[0]], [list(row.values()) for row in found])
    else:
        if runs:
            _show_runs(runs)
            terminal.say()
        show(found)


def entries(store: Store | None, query: JournalQuery) -> list[dict[str, Any]]:
    """What the journal has, newest first; times as text, UTC."""
    return _plain(store.history(query)) if store is not None else []


def _plain(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows that have a column `at` in UTC, with that as text."""
    return [{**row, "at": moment(row["at"])} for row in rows.to_dicts()]


def moment(at: datetime) -> str:
    """A moment in UTC, from the store, as text."""
    return f"{at.isoformat(timespec='seconds')}Z"


def show(found: Sequence[dict[str, Any]]) -> None:
    """Print entries of the journal as a table."""
    styles = ["" if row["result"] == "Applied" else "yellow" for row in found]
    terminal.table(list(_SHOWN.values()), [[row[name] for name in _SHOWN] for row in found], styles=styles)


def _show_runs(runs: Sequence[dict[str, Any]]) -> None:
    """Print how many changes each run made."""
    terminal.table(
        list(_COUNTED.values()),
        [[row[name] for name in _COUNTED] for row in runs],
        styles=["yellow" if row["failed"] else "" for row in runs],
    )


def _moment(option: str, text: str, now: datetime, *, whole_day: bool = False) -> datetime:
    """A date or time (UTC where it names no zone), or how long ago; of a `whole_day`, its end."""
    try:
        if re.match(r"\d{4}-", text):
            at = datetime.fromisoformat(text)
            at += timedelta(days=1 if whole_day and len(text) == len("2026-09-01") else 0)
            return at if at.tzinfo else at.replace(tzinfo=UTC)
        return now - Duration.parse(text).timedelta
    except ValueError as error:
        raise InvalidSpecError(f"{option}: {error}; or a date such as 2026-09-01") from error

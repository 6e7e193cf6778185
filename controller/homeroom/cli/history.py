"""`homeroom history`: the journal of changes, for people and for spreadsheets."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import typer

from homeroom.api import Duration
from homeroom.cli import cluster, options, records, terminal
from homeroom.errors import InvalidSpecError
from homeroom.operator.api import LoginError
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


def command(
    *,
    app: Annotated[str | None, typer.Option(help="Only of this LearningApp.")] = None,
    person: Annotated[str | None, typer.Option(help="Only about this person (source id).")] = None,
    section: Annotated[str | None, typer.Option("--class", help="Only about this class (source id).")] = None,
    school: Annotated[str | None, typer.Option(help="Only in this school (source id).")] = None,
    run: Annotated[str | None, typer.Option(help="Only of this run.")] = None,
    cause: Annotated[Cause | None, typer.Option(help="Only changes with this cause.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="Only from then on: a date (2026-09-01), or an age (90m, 12h, 7d)."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many, the newest.")] = 50,
    namespace: options.Namespace = None,
    context: options.Context = None,
    store: options.Store = None,
    data: options.Data = options.DATA,
    output: Annotated[
        Literal["text", "json", "csv"], typer.Option("--output", "-o", help="For people, programs or spreadsheets.")
    ] = "text",
) -> None:
    """List changes that were made in an app: when, what, why. Newest first.

    Of people it has source ids only. `RESULT` is Applied, Failed (the app refused it, the next run tries again) or
    Skipped. `REVISION` is the commit whose rules asked for it. JSON and CSV have the run and the app's words, too.

    Example: homeroom history -n lakeside --cause Intruder --since 7d
    """
    query = JournalQuery(
        namespace=namespace or _current_namespace(context),
        app=app,
        person=person,
        class_key=section,
        school=school,
        run=run,
        cause=cause.value if cause else None,
        since=_moment(since, datetime.now(UTC)) if since else None,
        limit=limit,
    )
    with records.opened(store, data) as opened:
        found = entries(opened, query)
    if output == "json":
        terminal.document(found)
    elif output == "csv":
        if found:
            writer = csv.DictWriter(sys.stdout, list(found[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(found)
    elif found:
        show(found)
    else:
        terminal.say(f"nothing was changed in namespace {query.namespace} that fits")


def entries(store: Store | None, query: JournalQuery) -> list[dict[str, Any]]:
    """What the journal has, newest first; times as text, UTC."""
    rows = store.history(query).to_dicts() if store is not None else []
    return [{**row, "at": f"{row['at'].isoformat(timespec='seconds')}Z"} for row in rows]


def show(found: Sequence[dict[str, Any]]) -> None:
    """Print entries of the journal as a table."""
    styles = ["" if row["result"] == "Applied" else "yellow" for row in found]
    terminal.table(list(_SHOWN.values()), [[row[name] for name in _SHOWN] for row in found], styles=styles)


def _current_namespace(context: str | None) -> str:
    try:
        return cluster.log_in(context).default_namespace or "default"
    except LoginError as error:
        raise InvalidSpecError(f"of which namespace? Name it with -n ({error.message})") from error


def _moment(text: str, now: datetime) -> datetime:
    """A date or time (UTC where it names no zone), or how long ago."""
    try:
        if re.match(r"\d{4}-", text):
            moment = datetime.fromisoformat(text)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return now - Duration.parse(text).timedelta
    except ValueError as error:
        raise InvalidSpecError(f"--since: {error}; or a date such as 2026-09-01") from error

"""`homeroom status`: the moving times, which by design stand in no status of a resource."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from homeroom.api import Reason, School
from homeroom.cli import options, stores, terminal

_GOOD: Final = frozenset({Reason.SUCCEEDED.value, Reason.SUSPENDED.value, Reason.KEY_SENT.value})


def command(
    *,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", envvar="HOMEROOM_NAMESPACE", help="Only this; by default all.")
    ] = None,
    schools: Annotated[bool, typer.Option("--schools", help="List schools, too.")] = False,
    store: options.Store = None,
    data: options.Data = options.DATA,
    output: options.Output = "text",
) -> None:
    """Show the last and the next run of everything, and the age of the records.

    `READ` tells how long ago the source of a District, or the target of a LearningApp, was last read completely. The
    same numbers are metrics of the operator; they are in no status, where they would change all the time.
    """
    with stores.opened(store, data) as opened:
        assert opened is not None
        runs = opened.runs(namespace=namespace).to_dicts()
    if not schools:
        runs = [run for run in runs if run["kind"] != School.__name__]
    if output == "json":
        terminal.document([_document(run) for run in runs])
    elif not runs:
        terminal.say("nothing has run yet")
    else:
        now = datetime.now(UTC).replace(tzinfo=None)
        terminal.table(
            ("NAMESPACE", "RESOURCE", "LAST RUN", "NEXT RUN", "READ", "STATE", "MESSAGE"),
            [
                [
                    run["namespace"],
                    f"{run['kind'].lower()}/{run['name']}",
                    _ago(now, run["ended_at"]),
                    _until(now, run["next_at"]),
                    _ago(now, run["read_at"]),
                    run["reason"],
                    run["message"].splitlines()[0] if run["message"] else "",
                ]
                for run in runs
            ],
            styles=["" if run["reason"] in _GOOD else "yellow" for run in runs],
        )
        for run in runs:
            for name, about in json.loads(run["supplements"]).items():
                read = datetime.fromisoformat(about["read"]).replace(tzinfo=None) if "read" in about else None
                words = f"; {about['trouble']}" if "trouble" in about else ""
                terminal.say(f"district/{run['name']}, supplement {name}: read {_ago(now, read)}{words}")


def _document(run: dict[str, Any]) -> dict[str, Any]:
    times = {name: run[name] and f"{run[name].isoformat(timespec='seconds')}Z" for name in run if name.endswith("_at")}
    return {**run, **times, **{name: json.loads(run[name]) for name in ("summary", "schools", "supplements")}}


def _ago(now: datetime, moment: datetime | None) -> str:
    return "-" if moment is None else f"{_words(now - moment)} ago"


def _until(now: datetime, moment: datetime | None) -> str:
    if moment is None:
        return "on an event"
    return f"in {_words(moment - now)}" if moment > now else "due"


def _words(length: timedelta) -> str:
    """A length of time as kubectl writes ages: the two largest units."""
    seconds = max(0, int(length.total_seconds()))
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days}d{hours}h" if hours else f"{days}d"
    if hours:
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    return f"{minutes}m{seconds % 60}s" if minutes else f"{seconds}s"

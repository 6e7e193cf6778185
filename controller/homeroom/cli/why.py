"""`homeroom why`: one person's access to an app, from the rule down to the record, and what was done last."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Final

import typer

from homeroom.cli import history, options, records, terminal
from homeroom.errors import InvalidSpecError
from homeroom.roster.desired import FULL_NAME
from homeroom.roster.explain import Reason, why
from homeroom.store import JournalQuery

_LAST: Final = 10


def command(
    app: Annotated[str, typer.Argument(help="Name of the LearningApp.")],
    person: Annotated[str, typer.Argument(help="Source id of the person (sourcedId in the records).")],
    *,
    files: options.Files = None,
    namespace: options.Namespace = None,
    context: options.Context = None,
    export: options.Records = None,
    store: options.Store = None,
    data: options.Data = options.DATA,
    today: options.Today = None,
    output: options.Output = "text",
) -> None:
    """Explain a person's access to an app: rule, class and record, and what was done last.

    Each line is one reason; access ends with the last of them. What a rule with `effect: Exclude` withholds is listed
    too, with the name of that rule. Prints the person's name: run it where the records are.
    """
    with records.opened(store, data, needed=export is None) as opened:
        inputs = asyncio.run(
            records.looked_up(app, files=files, namespace=namespace, context=context, store=opened, export=export)
        )
        meta, roster = inputs.app.metadata, inputs.snapshot.roster
        done = history.entries(
            opened, JournalQuery(namespace=meta.namespace, app=meta.name, person=person, limit=_LAST)
        )
    row = roster.users["id"].index_of(person)
    if row is None and not done:
        raise InvalidSpecError(f"neither the records nor the journal have a person '{person}': it must be a source id")
    name = None if row is None else roster.users[row].select(FULL_NAME).item()
    day = options.day(today, zone=inputs.district.spec.time_zone)
    reasons = why(roster, inputs.rules, person=person, homeroom=inputs.district.spec.homeroom, today=day)
    if output == "json":
        document = {"namespace": meta.namespace, "app": meta.name, "person": person, "name": name}
        terminal.document({**document, "reasons": [asdict(reason) for reason in reasons], "journal": done})
        return
    terminal.say(f"{person} {name or ''}".rstrip(), style="bold")
    if row is None:
        terminal.say("is not in the records any more")
    elif not reasons:
        terminal.say(f"no rule of {meta.name} reaches this person")
    for reason in reasons:
        terminal.say(_sentence(reason), style="yellow" if reason.withheld_by else "")
    if done:
        terminal.say()
        history.show(done)


def _sentence(reason: Reason) -> str:
    where = f"section {reason.section} of school {reason.school}" if reason.section else f"school {reason.school}"
    gives = f"{reason.gives}" if reason.gives else "an account"
    words = f"{gives} in {where}: the record says {reason.record}, rule {reason.rule} shares {reason.share}"
    return f"{words}; WITHHELD by {', '.join(reason.withheld_by)}" if reason.withheld_by else words

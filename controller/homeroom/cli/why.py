"""`homeroom why`: one person's access to an app, from the rule down to the record; in the past, by the history."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import typer

from homeroom.api import LearningApp
from homeroom.cli import history, options, records, stores, terminal
from homeroom.cli.records import Inputs
from homeroom.errors import InvalidSpecError
from homeroom.plan import Role
from homeroom.roster.desired import FULL_NAME
from homeroom.roster.explain import DISABLED, Reason, why
from homeroom.roster.past import access
from homeroom.roster.tables import ClassRole
from homeroom.store import JournalQuery, Store

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
    at: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            metavar="DATE",
            help="What access there was at the end of a day that is past, since when and why, by the history.",
        ),
    ] = None,
    output: options.Output = "text",
) -> None:
    """Explain a person's access to an app: rule, class and record, and what was done last.

    Each line is one reason; access ends with the last of them. What a rule with `effect: Exclude` withholds is listed
    too, with the name of that rule. Prints the person's name: run it where the records are.

    With --at it tells instead what had been given and not taken again, each with the change that gave it: cause, run,
    generation of the app, Git revision. What people did in the app by hand is not in the history.
    """
    if at is not None:
        if export is not None or today is not None:
            raise InvalidSpecError("--at asks the history: leave out --records and --today")
        model, district = asyncio.run(records.of_app(app, files=files, namespace=namespace, context=context))
        with stores.opened(store, data) as opened:
            assert opened is not None
            past = _past(opened, model, person, day=at.date(), zone=ZoneInfo(district.spec.time_zone))
        _tell(past, output=output)
        return
    with stores.opened(store, data, needed=export is None) as opened:
        inputs = asyncio.run(
            records.looked_up(app, files=files, namespace=namespace, context=context, store=opened, export=export)
        )
        meta, roster = inputs.app.metadata, inputs.snapshot.roster
        done = history.entries(
            opened, JournalQuery(namespace=meta.namespace, app=meta.name, person=person, limit=_LAST)
        )
        lacks_seat, lacks_licence = _lacking(opened, inputs, person) if opened is not None else ("", False)
    row = roster.users["id"].index_of(person)
    if row is None and not done:
        raise InvalidSpecError(f"neither the records nor the journal have a person '{person}': it must be a source id")
    name = None if row is None else roster.users[row].select(FULL_NAME).item()
    day = options.day(today, zone=inputs.district.spec.time_zone)
    reasons = why(roster, inputs.rules, person=person, homeroom=inputs.district.spec.homeroom, today=day)
    denied = person in inputs.district.spec.denied()
    reasons = _also_withheld(reasons, denied=denied, lacks_seat=lacks_seat, lacks_licence=lacks_licence)
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


def _past(store: Store, app: LearningApp, person: str, *, day: date, zone: ZoneInfo) -> dict[str, Any]:
    """What access there was when `day` ended where the district is, and what was done last until then; for JSON."""
    end = datetime.combine(day + timedelta(days=1), time(), zone)
    if end > datetime.now(UTC):
        raise InvalidSpecError(f"--at: {day} is not over yet: leave it out to ask about today")
    namespace, name = app.metadata.namespace, app.metadata.name
    begins = store.journal_begins(namespace=namespace, app=name)
    given = access(store.past(namespace=namespace, app=name, person=person, until=end)).drop("key").to_dicts()
    done = JournalQuery(namespace=namespace, app=name, person=person, until=end, limit=_LAST)
    return {
        "namespace": namespace,
        "app": name,
        "person": person,
        "at": day.isoformat(),
        "historyBegins": begins and history.moment(begins.replace(tzinfo=None)),
        "access": [{**row, "at": history.moment(row["at"])} for row in given],
        "journal": history.entries(store, done),
    }


def _tell(past: dict[str, Any], *, output: str) -> None:
    """Print what `_past` found."""
    if output == "json":
        terminal.document(past)
        return
    terminal.say(f"{past['person']} at the end of {past['at']}", style="bold")
    for row in past["access"]:
        role = row["role"] or "an account"
        where = (
            f"section {row['class_key']} of school {row['school']}" if row["class_key"] else f"school {row['school']}"
        )
        approved = f", approved as hold {row['hold']}" if row["hold"] else ""
        words = f"generation {row['generation']}, revision {row['revision']}, run {row['run']}"
        terminal.say(f"{role} in {where} since {row['at']}: {row['cause']}, {words}{approved}")
    if not past["access"]:
        terminal.say(f"had been given nothing in {past['app']}, or it had been taken again")
    terminal.say(
        f"the history of {past['app']} begins {past['historyBegins'] or 'nowhere'}; of before it knows nothing"
    )
    if past["journal"]:
        terminal.say()
        history.show(past["journal"])


def _lacking(store: Store, inputs: Inputs, person: str) -> tuple[str, bool]:
    """What is known of the pool that the app goes by: words where the person holds no seat, whether none connects them.

    Neither where nothing is known.
    """
    if inputs.app.pool is None:
        return "", False
    district = f"{inputs.app.metadata.namespace}/{inputs.district.metadata.name}"
    found = store.seated(inputs.app.pool, district=district)
    if found.digest != inputs.snapshot.digest:
        return "", False
    seat = "" if person in found.students else "spec.seating: no seat"
    if seat and person in found.reclaimed:
        seat = "spec.seating: seat reclaimed, as it was not used"
    return seat, person not in found.teachers


def _also_withheld(reasons: list[Reason], *, denied: bool, lacks_seat: str, lacks_licence: bool) -> list[Reason]:
    """With what withholds apart from the rules. Who is more than a student in a school needs no seat there.

    Who teaches needs a licence that connects them, but for who administers the school.
    """
    staffed = {reason.school for reason in reasons if reason.record != ClassRole.STUDENT}
    administered = {
        reason.school for reason in reasons if reason.gives is Role.ADMINISTRATOR and not reason.withheld_by
    }

    def also(reason: Reason) -> tuple[str, ...]:
        by = reason.withheld_by
        if denied:  # a run treats it as if the records barred them
            by = tuple("spec.deny" if one == DISABLED else one for one in by)
        if lacks_licence and reason.gives is Role.COACH and reason.school not in administered:
            by = (*by, "spec.seating: no licence")
        return (*by, lacks_seat) if lacks_seat and reason.school not in staffed else by

    return [replace(reason, withheld_by=also(reason)) for reason in reasons]


def _sentence(reason: Reason) -> str:
    where = f"section {reason.section} of school {reason.school}" if reason.section else f"school {reason.school}"
    gives = f"{reason.gives}" if reason.gives else "an account"
    words = f"{gives} in {where}: the record says {reason.record}, rule {reason.rule} shares {reason.share}"
    return f"{words}; WITHHELD by {', '.join(reason.withheld_by)}" if reason.withheld_by else words

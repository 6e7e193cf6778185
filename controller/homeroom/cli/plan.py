"""`homeroom plan`: what the next run of an app would change, decided by the very code that the run uses.

Flow: `declared` and `records` gather, `homeroom.reconcile.decide` decides on the live target, this module shows. It has
no way to write: nothing here knows an executor, and the target is only read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import polars as pl
import typer

from homeroom.cli import cluster, holdreport, holds, options, records, stores, terminal
from homeroom.cli.declared import Declared, declared
from homeroom.cli.records import Inputs
from homeroom.cli.seats import below_use, exceeds, pools_in
from homeroom.errors import InvalidSpecError
from homeroom.plan import CHANGE, IDENTITY, Cause, Hold, Noted, Op, changes
from homeroom.reconcile.approvals import in_words, people_in
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.decide import Decision, Memory, decide
from homeroom.reconcile.learningapp import remembered
from homeroom.roster.adoption import under_other_names
from homeroom.roster.diff import identity
from homeroom.roster.leaving import counted, kept_people, unstaffed
from homeroom.roster.shared import share

NOTHING: Final = 0
WRONG: Final = 1
CHANGES: Final = 2
HELD: Final = 3

_STYLES: Final = {"+": "green", "=": "magenta", "^": "cyan", "~": "yellow", "-": "red"}
_HELD: Final = "held for approval"
_WAITS: Final = "waits for something that is held"
_POLICY: Final = "kept back by the policy"
_ANYWHERE: Final = "(no school)"


def command(
    app: Annotated[
        str | None, typer.Argument(help="Name of the LearningApp; may be left out where there is only one.")
    ] = None,
    *,
    files: options.Files = None,
    namespace: options.Namespace = None,
    context: options.Context = None,
    export: options.Records = None,
    secret: options.SecretFiles = None,
    store: options.Store = None,
    data: options.Data = options.DATA,
    owner_id: options.OwnerId = "",
    today: options.Today = None,
    details: Annotated[bool, typer.Option("--details", help="List every single change, by source ids.")] = False,
    hold: Annotated[
        str | None, typer.Option(metavar="ID", help="Show instead what is held under this id, as the store has it.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="With --hold: write it with names, for the school, as .html or .csv.", dir_okay=False
        ),
    ] = None,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="With --report: counts only, so that an outsider may have it.")
    ] = False,
    output: options.Output = "text",
) -> int:
    """Show what the next run of an app would change. Writes nothing.

    Records, rules and the app itself, read live, go through the same code as in the operator. Counts come first, per
    school, kind and cause; `--details` lists every change. Without a store (see --data) nothing is known about what was
    done before: then every addition is a first sync, and removals cannot be told.

    With --hold, neither the app nor the records are read, and the exit code is 0 or 1: that is what an Approval with
    this id would release. Names of people are in a --report only.

    Symbols: + make, = take over, ^ give back, ~ change, - remove, archive or suspend.

    With -f, licences that request fewer seats than are in use, or more than their whole pool has, are an error, which
    comes after the plan.

    Exit codes: 0 nothing to do, 1 an error, 2 there are changes, 3 some of them are held for approval.

    Before a commit: homeroom plan kolibri -f . --records export.zip
    """
    for wrong, words in (
        (anonymous and report is None, "--anonymous needs --report FILE"),
        (report is not None and hold is None, "--report needs --hold ID"),
        (report is not None and (details or output != "text"), "--report takes neither --details nor --output"),
        (hold is not None and (export or secret or today), "--hold takes neither --records, --secret nor --today"),
        (
            hold is None and not owner_id,
            "--owner-id (or HOMEROOM_OWNER_ID) is missing: by it we recognise what is ours",
        ),
    ):
        if wrong:
            raise typer.BadParameter(words)
    if hold is not None:
        with stores.opened(store, data) as stored:
            assert stored is not None
            found = holds.find(stored, hold, namespace=namespace or cluster.current_namespace(context))
            if app is not None and found.resource != f"learningapp/{app}":
                raise InvalidSpecError(f"hold '{hold}' is of {found.resource}, not of learningapp/{app}")
            if report is None:
                holds.show(found, details=details, output=output)
            else:
                names = None if anonymous else holdreport.names(stored, found, files=files, context=context)
                holdreport.write(report, found, names)
        return NOTHING

    async def look() -> tuple[Inputs, Decision | None, list[str]]:
        async with declared(files=files, namespace=namespace, context=context, secret_files=secret) as resources:
            with stores.opened(store, data, needed=export is None) as opened:
                inputs = await asyncio.to_thread(
                    records.gather, resources, app, store=opened, export=export, today=today
                )
                used = opened.seats_in_use() if opened is not None else {}
                seats = list(_wrong_seats(resources, used)) if files else []
                decision = await _decide(inputs, resources, owner_id=owner_id, today=today) if inputs.shares else None
                return inputs, decision, seats

    inputs, decision, seats = asyncio.run(look())
    if output == "json":
        terminal.document(_document(inputs, decision, details=details))
    elif decision is None:
        terminal.say(f"{_name(inputs)}: no SharingRule shares anything with it: nothing is shared, nothing is removed")
    else:
        _show(inputs, decision, details=details)
    for words in seats:
        terminal.error(words)
    return WRONG if seats else _exit_code(inputs, decision)


def _wrong_seats(resources: Declared, used: Mapping[str, int]) -> Iterator[str]:
    pools = pools_in(resources.objects)
    for obj in resources.objects:
        for words, todo in (
            (below_use(obj, used), "request at least these, or wait until use drops"),
            (exceeds(obj, pools), "request less, or buy more"),
        ):
            if words is not None:
                yield f"SchoolLicense '{obj['metadata']['name']}': {words}; {todo}"


async def _decide(inputs: Inputs, resources: Declared, *, owner_id: str, today: datetime | None) -> Decision:
    """Read the target, and decide as a run does."""
    app, store = inputs.app, inputs.store
    roster, now = inputs.snapshot.roster, options.moment(today, zone=inputs.district.spec.time_zone)
    homeroom = inputs.district.spec.homeroom
    memory = Memory.nothing(records.nothing_known())
    if store is not None:
        memory = await asyncio.to_thread(
            remembered,
            store,
            namespace=resources.namespace,
            app=app.metadata.name,
            district=inputs.district.metadata.name,
            words=resources.words(app),
            grace=app.spec.removal.grace,
            now=now,
            digest=inputs.snapshot.digest,
            pool=app.pool,
        )
    if today is not None:  # another day on purpose: no doubt about the clock
        memory = replace(memory, noted=Noted())
    target = await Outside(owner_id=owner_id).target(app, resources.secrets, password=lambda _: None)
    with terminal.working(f"reading {app.metadata.name}"):
        async with target:
            return await decide(
                app,
                district=inputs.district,
                rules=inputs.rules,
                roster=roster,
                shared=await asyncio.to_thread(share, roster, inputs.rules, homeroom=homeroom, today=now.date()),
                target=target,
                memory=memory,
                now=now,
            )


def _exit_code(inputs: Inputs, decision: Decision | None) -> int:
    if inputs.held:
        return HELD
    if decision is None or decision.plan.empty:
        return NOTHING
    return HELD if decision.reviewed.open else CHANGES


def _noted(decision: Decision) -> pl.DataFrame:
    """All rows of the plan, with what becomes of them: the column `note` is empty for those that would be done."""
    rows = pl.concat([decision.plan.changes, decision.later.changes])
    on, keys = list(CHANGE), changes(rows)
    held = pl.concat([keys.clear(), *(hold.rows.select(on) for hold in decision.reviewed.open)])
    left = _WAITS if decision.reviewed.waiting else _POLICY
    note = (
        pl.when("held")
        .then(pl.lit(_HELD))
        .when("later")
        .then(pl.format("waits until {}", pl.lit(rows["due"].dt.strftime("%Y-%m-%d"))))
        .when("done")
        .then(pl.lit(""))
        .otherwise(pl.lit(left))
    )
    known = keys.join(
        held.with_columns(held=pl.lit(value=True)), on=on, how="left", nulls_equal=True, maintain_order="left"
    ).join(
        pl.concat(
            [
                changes(decision.allowed.changes).with_columns(done=pl.lit(value=True), later=pl.lit(value=False)),
                changes(decision.waiting).with_columns(done=pl.lit(value=False), later=pl.lit(value=True)),
            ]
        ),
        on=on,
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )
    return rows.with_columns(known.select(note.alias("note"))["note"])


def _summary(changes: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """One row per school, kind, cause and note, with the number of changes for each symbol."""
    symbols = {op.value: op.symbol for op in Op}
    counted = changes.with_columns(symbol=pl.col("op").cast(pl.String).replace_strict(symbols))
    group = ["school", "kind", "cause", "note"]
    yield from (
        counted.group_by(group)
        .agg(pl.col("symbol").eq(symbol).sum().alias(symbol) for symbol in _STYLES)
        .sort(group, nulls_last=True)
        .iter_rows(named=True)
    )


def _show(inputs: Inputs, decision: Decision, *, details: bool) -> None:
    changes = _noted(decision)
    counts = decision.plan.count()
    words = ", ".join(f"{op.symbol} {counts[kind, op]:,} {kind}" for kind, op in counts) or "nothing to do"
    terminal.say(f"{_name(inputs)}: {words}", style="bold")
    terminal.say(f"records {inputs.snapshot.digest[:12]}, policy {inputs.app.spec.policy}")
    for sentence in _remarks(inputs, decision):
        terminal.say(sentence, style="yellow")
    if not changes.is_empty():
        _show_changes(changes, details=details)
    if details:
        for row in _kept(decision):
            terminal.say(f"kept since {row['since']}: {row['school']} {row['person']}")
        for row in _unstaffed(decision):
            terminal.say(f"no teacher: {row['school']} {row['class']}")


def _show_changes(changes: pl.DataFrame, *, details: bool) -> None:
    terminal.say()
    rows = list(_summary(changes))
    terminal.table(
        ("SCHOOL", "KIND", "CAUSE", *_STYLES, ""),
        (
            [row["school"] or _ANYWHERE, row["kind"], row["cause"], *(row[s] for s in _STYLES), row["note"]]
            for row in rows
        ),
        styles=["yellow" if row["note"] else "" for row in rows],
    )
    if details:
        terminal.say()
        for line in _details(changes):
            symbol, what = line["symbol"], [line["kind"], line["school"], line["class"], line["person"], line["role"]]
            note = f"  ({line['cause']}{', ' + line['note'] if line['note'] else ''})"
            terminal.say(f"{symbol} {line['op']} " + " ".join(filter(None, what)) + note, style=_STYLES[symbol])


def _details(changes: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Each change by source ids: names are nobody's business here."""
    for row in changes.iter_rows(named=True):
        is_class = row["kind"] == "Class"
        is_person = row["kind"] in {"Person", "Membership", "Right"}
        yield {
            "symbol": Op(row["op"]).symbol,
            "op": row["op"],
            "kind": row["kind"],
            "school": row["school"],
            "class": row["key"] if is_class else row["class_key"],
            "person": row["key"] if is_person else None,
            "role": row["role"],
            "cause": row["cause"],
            "note": row["note"],
        }


def _kept(decision: Decision) -> list[dict[str, Any]]:
    """Who has been kept since when without a reason, the oldest first."""
    people = kept_people(decision.kept, decision.waiting)
    return people.select(since=pl.col("since").dt.strftime("%Y-%m-%d"), school="school", person="key").to_dicts()


def _unstaffed(decision: Decision) -> list[dict[str, Any]]:
    """Classes with students and no teacher."""
    staying = pl.concat([identity(decision.waiting), decision.kept.select(IDENTITY)])
    return unstaffed(decision.desired, staying).rename({"class_key": "class"}).to_dicts()


def _remarks(inputs: Inputs, decision: Decision) -> Iterator[str]:
    """What a reader must know to read the plan right."""
    if inputs.app.spec.suspend:
        yield "suspended: the operator does nothing before `spec.suspend` is false"
    if inputs.store is None:
        yield "without the store nobody knows what was done before: removals are not shown (see --data)"
    if not decision.actual.complete:
        yield "the app did not prove that it answered in full: this plan removes nothing"
    if decision.actual.unsure:
        yield f"could not be read, and stand still: {', '.join(sorted(decision.actual.unsure))}"
    if decision.actual.conflicts:
        yield f"{len(decision.actual.conflicts)} people stand still: several accounts or records claim them"
    for hold in inputs.held:
        known = hold.id if hold.published < decision.now else "new"
        yield f"held at district/{inputs.district.metadata.name}, and served as it was ({known}): {in_words(hold)}"
    if not decision.actual.adopting.doubts.is_empty():
        told = ", ".join(f"{kind} {school}/{key}" for kind, school, key in decision.actual.adopting.doubts.iter_rows())
        yield f"match several things in the app, or one that may not be taken over, and stand still: {told}"
    if not (renamed := under_other_names(decision.desired, decision.actual)).is_empty():
        told = ", ".join(f"{school}/{key}" for school, key in renamed.iter_rows())
        yield f"would be taken over, and have another name in the app than in the records: {told}"
    yield from _remarks_on_leaving(decision)
    for hold in decision.reviewed.open:
        # An id that was made a moment ago means nothing: the operator's will be another.
        known = hold.id if hold.published < decision.now else "new"
        yield f"held for approval ({known}): {in_words(hold)}"


def _remarks_on_leaving(decision: Decision) -> Iterator[str]:
    kept = counted(decision.kept, decision.waiting, now=decision.now)
    if kept.people:
        yield f"{kept.people} people are kept without a reason, {kept.long} of them for more than 14 days (--details)"
    if untaught := len(_unstaffed(decision)):
        yield f"{untaught} classes have students and no teacher (--details)"


def _document(inputs: Inputs, decision: Decision | None, *, details: bool) -> dict[str, Any]:
    """The plan for programs; `result` says in a word what the exit code says."""
    head = {
        "namespace": inputs.app.metadata.namespace,
        "app": inputs.app.metadata.name,
        "policy": inputs.app.spec.policy.value,
        "suspended": inputs.app.spec.suspend,
        "snapshot": inputs.snapshot.digest,
        "result": {NOTHING: "NothingToDo", CHANGES: "Changes", HELD: "Held"}[_exit_code(inputs, decision)],
    }
    if decision is None:
        return {**head, "noSharingRules": True}
    changes = _noted(decision)
    drift = changes["cause"].cast(pl.String).is_in([Cause.DRIFT.value, Cause.INTRUDER.value]).sum()
    document = {
        **head,
        "noSharingRules": False,
        "digest": decision.plan.digest(),
        "complete": decision.actual.complete,
        "removalsKnown": inputs.store is not None,
        "unsure": sorted(decision.actual.unsure),
        "conflicts": len(decision.actual.conflicts),
        "otherNames": under_other_names(decision.desired, decision.actual).height,
        "doubtful": decision.actual.adopting.doubts.height,
        "counts": {
            "changes": decision.plan.changes.height,
            "later": decision.waiting.height,
            "drift": drift,
            "held": sum(hold.rows.height for hold in decision.reviewed.open),
            "waiting": decision.reviewed.waiting,
            "blocked": decision.blocked,
        },
        "holds": [_hold(hold, decision) for hold in decision.reviewed.open],
        "heldAtSource": [_hold(hold, decision) for hold in inputs.held],
        "summary": [
            {
                **{key: row[key] for key in ("school", "kind", "cause", "note")},
                "create": row["+"],
                "adopt": row["="],
                "restore": row["^"],
                "update": row["~"],
                "remove": row["-"],
            }
            for row in _summary(changes)
        ],
    }
    if not details:
        return document
    return {
        **document,
        "changes": list(_details(changes)),
        "kept": _kept(decision),
        "unstaffed": _unstaffed(decision),
    }


def _hold(hold: Hold, decision: Decision) -> dict[str, Any]:
    """One open hold; an id that was made a moment ago is left out, the operator's will be another."""
    return {
        "id": hold.id if hold.published < decision.now else None,
        "guard": hold.guard.value,
        "scope": hold.scope.value,
        "place": hold.place or None,
        "changes": hold.rows.height,
        "people": people_in(hold),
    }


def _name(inputs: Inputs) -> str:
    return f"learningapp/{inputs.app.metadata.name}"

"""`homeroom shared`: what the rules of an app share, counts first; names only on request.

Both ways to ask go through `homeroom.roster`, as the runs do; see docs/sharing.md for what the rules mean,
docs/subscription.md for what was bought.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Final

import polars as pl
import typer

from homeroom.api import Counts, Subscription, SubscriptionStatus
from homeroom.cli import options, records, stores, terminal
from homeroom.cli.records import Inputs
from homeroom.errors import InvalidSpecError
from homeroom.roster.desired import FULL_NAME
from homeroom.roster.explain import who
from homeroom.roster.shared import SharingFinding, share
from homeroom.roster.subscription import compare, in_several_schools, told

_COUNTED: Final = tuple(Counts.model_fields)
_YES_OR_NO: Final = {True: "yes", False: "no"}


def command(
    app: Annotated[
        str | None, typer.Argument(help="Name of the LearningApp; may be left out where there is only one.")
    ] = None,
    *,
    rule: Annotated[
        str | None, typer.Option(help="Only what this SharingRule selects by itself, before any Exclude of another.")
    ] = None,
    people: Annotated[bool, typer.Option("--people", help="List people too, with their names.")] = False,
    files: options.Files = None,
    namespace: options.Namespace = None,
    context: options.Context = None,
    export: options.Records = None,
    store: options.Store = None,
    data: options.Data = options.DATA,
    today: options.Today = None,
    output: options.Output = "text",
) -> None:
    """Show who the rules of an app share: counts first, beside what was bought, then schools.

    `--people` prints names. They stand nowhere in the Kubernetes API; this command reads them where the records are, so
    whoever can run it there can see them.

    Before a commit: homeroom shared kolibri -f . --records export.zip
    """
    with stores.opened(store, data, needed=export is None) as opened:
        inputs = asyncio.run(
            records.looked_up(app, files=files, namespace=namespace, context=context, store=opened, export=export)
        )
    day = options.day(today, zone=inputs.district.spec.time_zone)
    with terminal.working("applying the rules"):
        document = _all(inputs, day) if rule is None else _one(inputs, rule, day)
    if not people:
        del document["people"]
    if output == "json":
        terminal.document(document)
    else:
        _show(document)


def _all(inputs: Inputs, day: date) -> dict[str, Any]:
    """What all rules together share."""
    shared = share(inputs.snapshot.roster, inputs.rules, homeroom=inputs.district.spec.homeroom, today=day)
    roster = inputs.snapshot.roster
    names = roster.orgs.select("id", "name")
    parts = pl.concat_list(
        pl.when(part).then(pl.lit(part)) for part in ("student", "teacher", "staff")
    ).list.drop_nulls()
    people = shared.people.select(
        roster.users["id"].gather(shared.people["user"]).alias("id"),
        roster.users.select(name=FULL_NAME)["name"].gather(shared.people["user"]).alias("name"),
        parts.list.join(", ").alias("role"),
        roster.orgs["id"].gather(shared.schools["org"].gather(shared.people["school"])).alias("school"),
    )
    subscription = inputs.app.spec.subscription
    bought = pl.DataFrame({"id": subscription.schools if subscription is not None else ()}, {"id": pl.String})
    schools = shared.per_school.join(bought.with_columns(bought=True), on="id", how="full", coalesce=True).sort("id")
    effects = {rule.name: rule.effect.value for rule in inputs.rules}
    return {
        **_head(inputs),
        "distinct": shared.distinct.model_dump(),
        "perSchoolSum": shared.per_school_sum.model_dump(),
        "inSeveralSchools": in_several_schools(shared).to_dicts(),
        "subscription": _bought(subscription, compare(subscription, roster, shared)) if subscription else None,
        "rules": [
            {"name": name, "effect": effects[name], **counts.model_dump()} for name, counts in shared.rules.items()
        ],
        "schools": schools.join(names, on="id", how="left", maintain_order="left")
        .select(
            "id",
            "name",
            *([pl.col("bought").fill_null(value=False)] if bought.height else []),
            pl.col(_COUNTED).fill_null(0),
        )
        .to_dicts(),
        "findings": [
            {"rule": finding.value, "id": about, "text": finding.text, "todo": finding.todo}
            for finding in SharingFinding
            for about in shared.findings.filter(pl.col("rule") == finding.value)["id"]
        ],
        "people": people.sort("school", "role", "id").to_dicts(),
    }


def _bought(subscription: Subscription, found: SubscriptionStatus) -> dict[str, Any]:
    """What was bought beside what is shared, and what the condition `Subscribed` says of it."""
    reason, words = told(found)
    live = subscription.go_live.isoformat() if subscription.go_live else None
    return {"reason": reason.value, "message": words, "goLive": live, **found.document()}


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[what]:,} {what}" for what in _COUNTED if what in counts)


def _one(inputs: Inputs, name: str, day: date) -> dict[str, Any]:
    """What one rule selects by itself."""
    rule = next((rule for rule in inputs.rules if rule.name == name), None)
    if rule is None:
        known = ", ".join(rule.name for rule in inputs.rules) or "none"
        raise InvalidSpecError(f"{inputs.app.metadata.name} has no SharingRule '{name}'; there is {known}")
    roster, homeroom = inputs.snapshot.roster, inputs.district.spec.homeroom
    people = who(roster, rule, homeroom=homeroom, today=day)
    counts = share(roster, [rule], homeroom=homeroom, today=day).rules[rule.name]
    kind = pl.col("role").replace_strict({"student": "students", "teacher": "teachers"}, default="staff")
    schools = (
        people.with_columns(kind=kind)
        .group_by("school")
        .agg(pl.col("id").filter(pl.col("kind") == part).n_unique().alias(part) for part in _COUNTED[1:])
    )
    names = roster.orgs.select(pl.col("id").alias("school"), "name")
    return {
        **_head(inputs),
        "rules": [{"name": rule.name, "effect": rule.effect.value, **counts.model_dump()}],
        "schools": schools.join(names, on="school", how="left")
        .select(pl.col("school").alias("id"), "name", *_COUNTED[1:])
        .sort("id")
        .to_dicts(),
        "people": people.to_dicts(),
    }


def _head(inputs: Inputs) -> dict[str, Any]:
    meta = inputs.app.metadata
    return {"namespace": meta.namespace, "app": meta.name, "snapshot": inputs.snapshot.digest}


def _show(document: dict[str, Any]) -> None:
    terminal.say(f"learningapp/{document['app']}, records {document['snapshot'][:12]}", style="bold")
    if "distinct" in document:
        for words, counts in (("shared", document["distinct"]), ("added up per school", document["perSchoolSum"])):
            terminal.say(f"{words}: " + _counted(counts))
        for row in document["inSeveralSchools"]:
            terminal.say(f"in {row['schools']} schools, and counted in each: " + _counted(row))
    subscription = document.get("subscription")
    if subscription:
        live = f"; in use from {subscription['goLive']} on" if subscription["goLive"] else ""
        terminal.say(f"bought: {subscription['message']} ({subscription['reason']}){live}")
    for part in ("rules", "schools", "findings", "people"):
        rows = document.get(part, [])
        rows = [{**row, "bought": _YES_OR_NO[row["bought"]]} if "bought" in row else row for row in rows]
        if rows:
            terminal.say()
            terminal.table([*map(str.upper, rows[0])], [list(row.values()) for row in rows])

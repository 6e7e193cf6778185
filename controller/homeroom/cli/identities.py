"""`homeroom identities`: open questions about who is who, and links to answer them with; see docs/identity.md.

All decisions are those of `homeroom.roster.identity`, as in the runs. Names are printed on request only.
"""

from __future__ import annotations

import asyncio
import csv
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from homeroom.api import MAX_LINKS, District, Identity
from homeroom.cli import options, records, stores, terminal
from homeroom.cli.declared import Declared, declared
from homeroom.cli.files import read_export
from homeroom.errors import DependencyNotReadyError, InvalidSpecError
from homeroom.roster.desired import FULL_NAME
from homeroom.roster.identity import (
    Evidence,
    Question,
    frozen,
    links_by_key,
    links_of,
    propose,
    questions,
    relink,
)
from homeroom.roster.tables import Roster
from homeroom.roster.years import known, pinned
from homeroom.sources import read_links
from homeroom.store import Store


def command(
    district: Annotated[
        str | None, typer.Argument(help="Name of the District; may be left out where there is only one.")
    ] = None,
    *,
    export: Annotated[
        Path | None,
        typer.Option(help="The new records (OneRoster export, folder or zip); else the last reading.", exists=True),
    ] = None,
    before: Annotated[
        Path | None,
        typer.Option(help="The records of before, as an export; else what is served.", exists=True),
    ] = None,
    links: Annotated[
        Path | None, typer.Option(help="The file that `spec.identity.linksFrom` names, as it lies here.", exists=True)
    ] = None,
    ids: Annotated[
        bool, typer.Option("--ids", help="List the questions with source ids, not only their counts.")
    ] = False,
    proposals: Annotated[
        bool, typer.Option("--propose", help="Propose links for a commit: YAML for `spec.identity.links`.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Propose links as CSV, for `spec.identity.linksFrom`.")] = False,
    names: Annotated[
        bool, typer.Option("--names", help="Put names beside the proposals: for your eyes, not for Git.")
    ] = False,
    files: options.Files = None,
    namespace: options.Namespace = None,
    context: options.Context = None,
    store: options.Store = None,
    data: options.Data = options.DATA,
    output: options.Output = "text",
) -> None:
    """Show whose ids changed or collide, and propose links after a change of the records system.

    Everybody whom a question names stands still until it is answered, or until its hold is approved. Without --export,
    the last reading is compared with what is served of it: what the operator asks now.

    After a change of the records system: homeroom identities lakeside --propose > links.yaml
    """
    if (as_csv or names) and not proposals:
        raise typer.BadParameter("--csv and --names go with --propose")
    with stores.opened(store, data, needed=export is None) as opened:
        resource, old, new = asyncio.run(
            _looked_up(
                district,
                files=files,
                namespace=namespace,
                context=context,
                store=opened,
                export=export,
                before=before,
            )
        )
    identity = resource.spec.identity
    declared_links = links_of(identity, _listed(identity, links))
    with terminal.working("comparing people"):
        relinked = relink(new, declared_links)
        new = relinked.roster
        if proposals:
            new = relink(new, links_by_key(old, new, key=identity.student_key)).roster
            found = propose(old, new)
        else:
            found = questions(old, new, key=identity.student_key, links=declared_links, torn=relinked.torn)
    head = {"namespace": resource.metadata.namespace, "district": resource.metadata.name}
    if proposals:
        _show_proposals(_with_names(found, old, new) if names else found, as_csv=as_csv, output=output, head=head)
    else:
        _show_questions(found, ids=ids, output=output, head=head, unused=relinked.unknown)


def _listed(identity: Identity, file: Path | None) -> pl.DataFrame | None:
    """The links of the file of `linksFrom`."""
    if identity.links_from is None and file is None:
        return None
    if identity.links_from is None or file is None:
        raise InvalidSpecError(
            "--links goes with `spec.identity.linksFrom`: say where the file that it names lies here"
        )
    return read_links(file.read_bytes(), sha256=identity.links_from.sha256)


async def _looked_up(
    name: str | None,
    *,
    files: list[Path] | None,
    namespace: str | None,
    context: str | None,
    store: Store | None,
    export: Path | None,
    before: Path | None,
) -> tuple[District, Roster, Roster]:
    """The district, the records of before, the new ones."""
    async with declared(files=files, namespace=namespace, context=context) as resources:
        return await asyncio.to_thread(_read, resources, name, store, export, before)


def _read(
    resources: Declared, name: str | None, store: Store | None, export: Path | None, before: Path | None
) -> tuple[District, Roster, Roster]:
    district = resources.one(District, name)
    raw, served = records.stored(resources, district, store=store) or (None, None)
    if export is not None:
        new = records.exported(resources, district, store=store, export=export).roster
    elif raw is not None:
        new = raw.roster
    else:
        raise DependencyNotReadyError(
            f"District '{district.metadata.name}' has no accepted snapshot yet: see its status, or give --export"
        )
    if before is not None:
        return district, read_export(before, previous=None).roster, new
    if store is None or served is None:
        return district, Roster.empty(), new
    # What is served has classes by school years, and so it takes them to see who is in the same ones.
    today = options.day(None, zone=district.spec.time_zone)
    pins = store.pins(namespace=resources.namespace, district=district.metadata.name)
    return district, served.roster, pinned(new, known(pins, served.roster, today=today), today=today).roster


def _show_questions(found: pl.DataFrame, *, ids: bool, output: str, head: dict[str, Any], unused: int) -> None:
    counts = found.group_by("question", "reason", "school").agg(number=pl.len()).sort("question", "reason", "school")
    people = frozen(found).len()
    if output == "json":
        document = {**head, "people": people, "unusedLinks": unused, "counts": counts.to_dicts()}
        terminal.document({**document, "questions": found.to_dicts()} if ids else document)
        return
    terminal.say(f"district/{head['district']}", style="bold")
    terminal.say(f"questions: {found.height:,}; people who stand still: {people:,}")
    if unused:
        terminal.say(f"links whose `to` is no record: {unused:,}")
    for rows in (counts, *([found] if ids else [])):
        if rows.height:
            terminal.say()
            terminal.table([*map(str.upper, rows.columns)], rows.rows())
    used = {*found["question"], *found["reason"]}
    if used:
        terminal.say()
    for word in (*Question, *Evidence):
        if word in used:
            terminal.say(f"{word}: {word.text}")


def _with_names(found: pl.DataFrame, old: Roster, new: Roster) -> pl.DataFrame:
    for column, roster in (("from", old), ("to", new)):
        called = roster.users.select(pl.col("id").alias(column), FULL_NAME.alias(f"{column}Name"))
        found = found.join(called, on=column, how="left", maintain_order="left")
    return found


def _show_proposals(found: pl.DataFrame, *, as_csv: bool, output: str, head: dict[str, Any]) -> None:
    if output == "json":
        terminal.document({**head, "proposals": found.to_dicts()})
        return
    if as_csv:
        flat = found.with_columns(pl.col("reasons").cast(pl.List(pl.String)).list.join(" "))
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(flat.columns)
        writer.writerows(flat.rows())
        return
    counts = found.group_by("confidence").len().sort("confidence").rows()
    words = ", ".join(f"{number:,} {confidence}" for confidence, number in counts) or "nobody"
    terminal.say(
        f"# proposed for district/{head['district']}, to be reviewed by somebody who knows the people: {words}"
    )
    sure = found.drop_nulls("to")
    if sure.height > MAX_LINKS:
        terminal.say(f"# more than {MAX_LINKS:,} links do not fit into the resource: use --csv, and `linksFrom`")
    terminal.say("spec:\n  identity:\n    links:" + ("" if sure.height else " []"))
    for row in sure.iter_rows(named=True):
        called = f" {_quoted(row['fromName'])} -> {_quoted(row['toName'])}" if "fromName" in row else ""
        pair = f"{{from: {json.dumps(row['from'])}, to: {json.dumps(row['to'])}}}"
        terminal.say(f"      - {pair}  # {row['confidence']}: {', '.join(row['reasons'])}{called}")
    unsure = found.filter(pl.col("to").is_null())
    if unsure.height:
        terminal.say("    # several people are as good a match; who is it?")
    for row in unsure.iter_rows(named=True):
        called = f"  # {_quoted(row['fromName'])}" if "fromName" in row else ""
        terminal.say(f"    #   {json.dumps(row['from'])}{called}")


def _quoted(name: str | None) -> str:
    """A name on one line, whatever is in it."""
    return json.dumps(name, ensure_ascii=False)

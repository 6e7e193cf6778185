"""`homeroom validate`: what the API server, and the first run, would say about files and an export.

Neighbours: `homeroom.api.validate` knows what is wrong with resources, `homeroom.roster.findings` with records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from homeroom.api import API_VERSION, District, Extensions, LearningApp, SharingRule, parse
from homeroom.api.district import Allow
from homeroom.api.validate import Problem, validate_texts
from homeroom.api.yaml import Document, load_all
from homeroom.cli import options, stores, terminal
from homeroom.cli.files import read_export, texts
from homeroom.cli.seats import Pools, below_use, exceeds, overbooked, pools_in
from homeroom.roster.findings import Findings, Rule, Severity
from homeroom.roster.shared import rules_of, share
from homeroom.roster.tables import Roster
from homeroom.sources import ExportIncompleteError, ExportInvalidError
from homeroom.sources.supplement import Supplement, of_supplement, read_supplement, supplemented

_RULES: Final = {rule.value: rule for rule in Rule}
_STYLES: Final = {Severity.RUN: "red", Severity.RECORD: "yellow", Severity.VALUE: ""}


def command(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files and folders with YAML; `-` reads stdin.", show_default=False)
    ] = None,
    *,
    export: Annotated[
        Path | None,
        typer.Option(help="Check this OneRoster export too (folder or zip), and the rules against it.", exists=True),
    ] = None,
    supplement: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH", help="With --export: what the District declares as supplement NAME lies at PATH."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many findings of the export.")] = 50,
    today: options.Today = None,
    store: options.Store = None,
    data: options.Data = options.DATA,
    output: options.Output = "text",
) -> int:
    """Check resources in files, and a OneRoster export with them, before anything is applied.

    Resources are held against schema and rules (CEL) as the API server would, strictly, and their references against
    each other. An export is read and validated as a run would. With both, rules that select nobody are named.

    A licence that requests more seats than its whole pool has is a problem; where the operator's store is (see --data),
    so is one that requests fewer than are in use. Where all licences of a pool do not fit, some will wait: that is
    said, and passes.

    One line per problem: `file:line: field: what (what to do)`. Findings name source ids, never people.

    Exit codes: 0 fine (findings that cost one value at most are shown and pass), 1 problems, 2 wrong command line.

    For overlays: kubectl kustomize DIR | homeroom validate -
    """
    if not paths and export is None:
        raise typer.BadParameter("name a file or folder, or an export with --export")
    if supplement and export is None:
        raise typer.BadParameter("--supplement needs --export")
    files = texts(paths or ())
    problems = validate_texts(files)
    sound = [] if problems else [document for file, text in files.items() for document in load_all(text, file=file)]
    objects = [document.data for document in sound]
    pools = pools_in(objects)
    problems += _exceeding(sound, pools)
    waiting = list(overbooked(objects, pools))
    with stores.opened(store, data, needed=False) as opened:
        if opened is not None and sound:
            problems += _below_use(sound, opened.seats_in_use())
    districts = [] if problems else _districts(objects)
    beside = {} if problems else _declared(districts, supplement or ())
    roster, findings = _read(export, _extensions(districts), beside) if export else (None, Findings.none())
    idle = [] if roster is None or problems else list(_idle(files, roster, today))
    costly = sum(number for severity, number in findings.counts().items() if severity is not Severity.VALUE)
    if output == "json":
        terminal.document(
            {
                "problems": [asdict(problem) for problem in problems],
                "findings": [_finding(row) for row in findings.frame.iter_rows(named=True)],
                "rulesWithoutEffect": idle,
                "poolsTooSmall": waiting,
            }
        )
    else:
        for problem in problems:
            terminal.say(str(problem))
        _show(findings, limit)
        for words in (*idle, *waiting):
            terminal.say(words, style="yellow")
        checked = f"{len(files)} files" if files else "no files"
        found = f"{len(problems)} problems"
        if export is not None:
            found += ", " + ", ".join(f"{number} {severity} findings" for severity, number in findings.counts().items())
        terminal.say(f"{checked}: {found}", style="bold red" if problems or costly else "bold green")
    return 1 if problems or costly else 0


def _exceeding(documents: Sequence[Document], pools: Pools) -> Iterator[Problem]:
    for document in documents:
        words = exceeds(document.data, pools)
        if words is not None:
            yield _of_seats(document, words, todo="request less, or buy more")


def _below_use(documents: Sequence[Document], used: Mapping[str, int]) -> Iterator[Problem]:
    for document in documents:
        words = below_use(document.data, used)
        if words is not None:
            yield _of_seats(document, words, todo="request at least these, or wait until use drops")


def _of_seats(document: Document, text: str, *, todo: str) -> Problem:
    line = document.line(("spec", "seats"))
    return Problem(file=document.file, line=line, field="spec.seats", text=text, todo=todo)


def _districts(objects: Sequence[Any]) -> list[District]:
    found = [parse(data) for data in objects if data.get("apiVersion") == API_VERSION and data["kind"] == "District"]
    return [one for one in found if isinstance(one, District)]


def _extensions(districts: Sequence[District]) -> Extensions | None:
    """The extension columns of the District whose export is to be checked."""
    first, *others = [one.spec.source.extensions for one in districts] or [None]
    if any(other != first for other in others):
        raise typer.BadParameter(
            "--export is of one District: name its files alone, as others declare other extensions"
        )
    return first


def _declared(districts: Sequence[District], given: Sequence[str]) -> dict[str, tuple[frozenset[Allow], Path]]:
    """Of each supplement that is given, what of it counts and where it lies; in the order of the District."""
    wanted = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or not Path(path).exists():
            raise typer.BadParameter(f"--supplement {text}: must be NAME=PATH, and PATH must be there")
        wanted[name] = Path(path)
    known = [one for district in districts for one in district.spec.supplements]
    for name in wanted:
        if [one.name for one in known].count(name) != 1:
            raise typer.BadParameter(f"--supplement {name}: one District of these files must declare it")
    return {one.name: (frozenset(one.allow), wanted[one.name]) for one in known if one.name in wanted}


def _read(
    export: Path, extensions: Extensions | None, beside: Mapping[str, tuple[frozenset[Allow], Path]]
) -> tuple[Roster | None, Findings]:
    try:
        snapshot = read_export(export, previous=None, extensions=extensions)
        parts = []
        for name, (allow, path) in beside.items():
            try:
                version = read_supplement(path, previous=None, scratch=None)
            except (ExportInvalidError, ExportIncompleteError) as error:
                return None, of_supplement(name, error.findings)
            parts.append(Supplement(name=name, allow=allow, version=version))
        if parts:
            snapshot, _ = supplemented(snapshot, parts)
    except (ExportInvalidError, ExportIncompleteError) as error:
        return None, error.findings
    return snapshot.roster, snapshot.findings


def _idle(files: Mapping[str, str], roster: Roster, today: datetime | None) -> Iterator[str]:
    """Rules that select nobody of these records, in words: right as YAML, and hardly what anybody meant."""
    documents = [document.data for file, text in files.items() for document in load_all(text, file=file)]
    resources = [parse(data) for data in documents if data.get("apiVersion") == API_VERSION]
    districts = [resource for resource in resources if isinstance(resource, District)]
    for app in resources:
        if not isinstance(app, LearningApp):
            continue
        space, name = app.metadata.namespace, app.spec.district_ref.name
        district = next(
            each for each in districts if each.metadata.name == name and _meet(each.metadata.namespace, space)
        )
        mine = [
            rule
            for rule in resources
            if isinstance(rule, SharingRule)
            and rule.spec.app_ref.name == app.metadata.name
            and _meet(rule.metadata.namespace, space)
        ]
        day: date = options.day(today, zone=district.spec.time_zone)
        shared = share(roster, rules_of(mine), homeroom=district.spec.homeroom, today=day)
        for name, counts in shared.rules.items():
            if not any(counts.model_dump().values()):
                yield f"SharingRule '{name}' of '{app.metadata.name}' selects nobody in this export (check its `match`)"


def _meet(one: str, other: str) -> bool:
    """A file without a namespace may be meant for any, as for references."""
    return one == other or not one or not other


def _finding(row: Mapping[str, Any]) -> dict[str, Any]:
    rule = _RULES[row["rule"]]
    return {**row, "severity": rule.severity.value, "text": rule.text, "todo": rule.todo}


def _show(findings: Findings, limit: int) -> None:
    left = limit
    for severity, number in findings.counts().items():
        of_severity = findings.of_severity(severity)
        for sentence in of_severity.sentences(left):
            terminal.say(f"{severity}: {sentence}", style=_STYLES[severity])
        left = max(0, left - number)
    if (total := findings.frame.height) > limit:
        terminal.say(f"... and {total - limit} more: --limit {total}, or --output json, shows all")

"""`homeroom licence`: a school's licence made, resized or removed in the files of the working tree, ready to commit.

Flow: read the tree, ask whoever knows more (the operator's store, else the cluster), check unit, use and pool by the
very code that the operator decides by, show what would change, ask, write. Neighbours: `tree` (files and their
changes), `register` (the unit), `capacity` (use and pool), `draft` (what is not said).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from homeroom.api import (
    Access,
    Language,
    SchoolLicense,
    parse,
)
from homeroom.api.validate import validate_texts
from homeroom.cli import options, stores, terminal, tree
from homeroom.cli.capacity import Known, Wish, declared_pool, fit, known_of
from homeroom.cli.draft import REFERENCES, drafted, file_of, refuse_invalid, tell_others
from homeroom.cli.register import chosen, units_of
from homeroom.cli.seats import place, reference
from homeroom.cli.tree import Place, Tree
from homeroom.errors import InvalidSpecError

_SEATS: Final = ("spec", "seats")
_LICENCE: Final = SchoolLicense.__name__


def command(
    action: Annotated[
        Literal["new", "resize", "remove"], typer.Argument(help="Make one, change its seats, or remove it.")
    ],
    name: Annotated[str, typer.Argument(help="Name of the SchoolLicense.")],
    seats: Annotated[
        int | None, typer.Argument(metavar="[SEATS]", help="How many it gets; also as --seats.", min=0)
    ] = None,
    *,
    seats_option: Annotated[int | None, typer.Option("--seats", help="How many it gets.", min=0)] = None,
    unit: Annotated[
        str | None, typer.Option(metavar="CODE", help="new: the code of the school unit in the pool's register.")
    ] = None,
    search_text: Annotated[
        str | None, typer.Option("--search", metavar="TEXT", help="new: find the unit by words of its name instead.")
    ] = None,
    pool: Annotated[
        str | None,
        typer.Option(metavar="[NS/]NAME", help="new: of which LicensePool; by default the only one of the tree."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="new: into this file; by default beside the other licences of the pool.", dir_okay=False),
    ] = None,
    access: Annotated[
        Access | None, typer.Option(help="new: how teachers are connected; by default as the pool's others, else Key.")
    ] = None,
    district: Annotated[
        str | None, typer.Option(metavar="NAME", help="new: the District that has the school, where several may.")
    ] = None,
    school: Annotated[
        str | None, typer.Option(metavar="ID", help="new: source id of the school, where it is not known by its unit.")
    ] = None,
    priority: Annotated[
        int | None,
        typer.Option(
            help="new: a higher one is served first, where seats are short; 0 if not said.", min=-1000, max=1000
        ),
    ] = None,
    deliver_key_to: Annotated[
        str | None,
        typer.Option(metavar="SECRET", help="new: mail its key to the addresses in this Secret, one per line."),
    ] = None,
    language: Annotated[
        Language | None, typer.Option(help="With --deliver-key-to: the language of the mail; English if not said.")
    ] = None,
    unlisted: Annotated[
        str | None,
        typer.Option(metavar="UNIT-NAME", help="new: the register lacks the unit, and it is right; needs --reason."),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="With --unlisted: why; it stays in Git, so no names of people.")
    ] = None,
    root: Annotated[Path, typer.Option("--tree", help="The folder whose files are edited.", exists=True)] = Path(),
    namespace: options.Namespace = None,
    context: options.Context = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the cluster how seats are used.")] = False,
    export: options.Records = None,
    allow_loopback: options.AllowLoopback = False,
    store: options.Store = None,
    data: options.Data = options.DATA,
    force: Annotated[
        bool, typer.Option("--force", help="Write although a check fails; what the operator does then is said.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
) -> int:
    """Make, resize or remove a school licence in the files of the working tree.

    They are ready to commit then, and every character outside of the change stays as it is. Unit, use and pool are
    checked first, by the operator's store where it is, else by the cluster of your kubeconfig. The change is shown;
    nothing is written before you say so, and nothing is applied: that is the commit's business.

    Exit codes: 0 done (or shown), 1 refused, declined or wrong.

    homeroom licence new rowan-hill --search rowan --seats 40

    homeroom licence resize rowan-hill 60

    homeroom licence remove rowan-hill
    """
    seats = seats if seats is not None else seats_option
    for wrong, words in (
        ((action == "remove") != (seats is None), "SEATS goes with `new` and `resize`, which need it"),
        (action == "new" and (unit is None) == (search_text is None), "`new` needs either --unit or --search"),
        (
            action != "new"
            and any(
                each is not None
                for each in (unit, search_text, pool, file, access, district, school, priority, deliver_key_to)
            ),
            "--unit, --search, --pool, --file, --access, --district, --school, --priority, --deliver-key-to: for `new`",
        ),
        (language is not None and deliver_key_to is None, "--language goes with --deliver-key-to"),
        ((unlisted is None) != (reason is None), "--unlisted and --reason go together"),
        (unlisted is not None and unit is None, "--unlisted needs --unit"),
        (not (yes or dry_run or sys.stdin.isatty()), "without a terminal, say --yes or --dry-run"),
    ):
        if wrong:
            raise typer.BadParameter(words)
    work = Tree.read(root)
    with stores.opened(store, data, needed=False) as opened:
        if action == "new":
            assert seats is not None
            draft = drafted(work, name, pool, namespace=namespace, access=access, district=district)
            known = known_of(opened, draft.namespace, draft.pool, context=context, offline=offline)
            bought = declared_pool(work, draft.pool, known)
            units = units_of(bought, opened, export=export, allow_loopback=allow_loopback, code=unit, force=force)
            meant = chosen(units, unit, search_text, bought, unlisted=unlisted, force=force)
            tell_others(draft, meant)
            mailed = None if deliver_key_to is None else (deliver_key_to, language)
            document = draft.document(meant, seats, school=school, reason=reason, priority=priority, mailed=mailed)
            claim = Wish(namespace=draft.namespace, name=name, unit=meant.code, seats=seats, priority=priority or 0)
            sentence = fit(work, claim, draft.pool, bought, known, force=force)
            edits = work.with_document(file_of(work, name, draft, file), document)
            refuse_invalid(edits)
            asked = f"{seats:,} seats of LicensePool '{draft.pool[1]}'"
            what = f"SchoolLicense '{name}' for {meant.named} requests {asked}; {sentence}"
        else:
            at = work.one(_LICENCE, namespace or "", name)
            work.refuse_patched(_LICENCE, name)
            licence = _valid(work, at)
            space, named = place(at.document.data)[0] or namespace or "", reference(at.document.data)
            known = known_of(opened, space, named, context=context, offline=offline)
            if known.told and not known.knows(space, name):
                terminal.warning(
                    f"SchoolLicense '{name}' has no seats there: it was not applied yet, or waits, or has another name "
                    "or namespace in the cluster"
                )
            if action == "remove":
                edits, what = work.without(at), _loses(licence, space, known)
            elif seats == licence.spec.seats:
                terminal.say(f"SchoolLicense '{name}' has {seats:,} seats already: nothing to do")
                return 0
            else:
                assert seats is not None
                edits = work.with_number(at, _SEATS, seats)
                wish = Wish(namespace=space, name=name, unit=licence.spec.school_unit, seats=seats)
                words = fit(work, wish, named, declared_pool(work, named, known), known, force=force)
                what = f"SchoolLicense '{name}' requests {seats:,} seats instead of {licence.spec.seats:,}; {words}"
    tree.show(edits)
    terminal.say(f"\n{what}")
    if dry_run:
        return 0
    if not (yes or _agreed(action, name)):
        terminal.say("nothing was written")
        return 1
    tree.write(edits)
    terminal.say(f"written: {', '.join(str(edit.file) for edit in edits)}; it holds once it is committed and applied")
    return 0


def _agreed(action: str, name: str) -> bool:
    """Whether somebody at the terminal wants it; to remove takes more than a key that was hit by chance (R19)."""
    if action == "remove":
        return str(typer.prompt(f"type the name ({name}) to remove it", default="", show_default=False)) == name
    return typer.confirm("write that?")


def _valid(work: Tree, at: Place) -> SchoolLicense:
    """The licence, if `homeroom validate` finds nothing wrong with it."""
    alone = validate_texts({str(at.file): work.texts[at.file]})
    lines = set(at.document.lines.values())
    for problem in alone:
        if problem.line in lines and problem.field not in REFERENCES:
            raise InvalidSpecError(f"{problem}: mend that first")
    licence = parse(at.document.data)
    assert isinstance(licence, SchoolLicense)
    return licence


def _loses(licence: SchoolLicense, namespace: str, known: Known) -> str:
    """Who loses what when a licence goes (R18, R20)."""
    name, seats = licence.metadata.name, licence.spec.seats
    head = f"SchoolLicense '{name}' for unit {licence.spec.school_unit} is removed"
    return "; ".join([head, *_losses(name, seats, licence.spec.access, namespace, known)])


def _losses(name: str, seats: int, access: Access, namespace: str, known: Known) -> Iterator[str]:
    if known.told:
        used, teachers = (known.of(what, namespace, name) for what in (known.use, known.teachers))
        yield f"{used:,} of its {seats:,} seats are in use, and these students lose them"
        if access is Access.KEY:
            yield f"{teachers:,} teachers are connected by its key, and lose their access"
    if access is Access.KEY:
        yield "its key dies"
    yield f"its {seats:,} seats return to the pool; accounts and work stay"

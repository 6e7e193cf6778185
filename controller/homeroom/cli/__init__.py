"""The command line `homeroom`, also `kubectl homeroom`: looking, planning, checking, and starting the operator.

`main` is the entry point. Each command is a function `command` of a module of its own (`forget-person`: `forget` of the
module `person`), and is loaded only when it is called, so that `homeroom --help` and completion answer at once.
Neighbours: `terminal` (all that is printed), `declared` (the resources that a command is about), `records` (the store
and exports).

Exit codes: 0 fine, 1 an error or a problem, 2 the command line itself was wrong. `plan` has more to say, see there.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Final

import typer

from homeroom.cli import terminal
from homeroom.errors import HomeroomError

COMMANDS: Final = {
    "validate": "Check resources in files, and a OneRoster export with them, before anything is applied.",
    "plan": "Show what the next run of an app would change. Writes nothing.",
    "approve": "Write the Approval of a hold, as YAML to commit.",
    "shared": "Show who the rules of an app share: counts first, beside what was bought, then schools.",
    "why": "Explain a person's access to an app: rule, class and record, and what was done last.",
    "usage": "Show who uses the seats of an app, per licence and per teacher.",
    "identities": "Show whose ids changed or collide, and propose links after a change of the records system.",
    "units": "Find school units in Skolverket's register: the code that a licence names.",
    "licence": "Make, resize or remove a school licence in the files of the working tree.",
    "key": "Show the key of a school licence, or mail it to somebody.",
    "letters": "Print, or mail, letters with a personal code to whoever has no chat account linked yet.",
    "unlink": "Take back the links of a person to chat accounts.",
    "links": "List the chats of each school and class, with their links.",
    "history": "List changes that were made in an app: when, what, why.",
    "export-person": "Give out all that is held about one person of a district, as JSON.",
    "forget-person": "Forget one person of a district who has left: make anonymous what has to stay.",
    "status": "Show the last and the next run of everything, and the age of the records.",
    "backup": "Write what cannot be read anew into one file, while the operator runs.",
    "restore": "Make a new store of a back-up.",
    "check": "Try each hop to sources, targets, chat servers, registers and the mail server, and say how it went.",
    "crds": "Print or write the CustomResourceDefinitions of this release.",
    "generate": "Make up a district of any size as a OneRoster export.",
    "demo": "Run the whole story on this machine.",
    "operator": "Run the operator: what the pod in the cluster does.",
    "web": "Run the pages for teachers and classes: school licences, accounts of chats, remote lessons and calls.",
}
"""Commands, in the order of `--help`, and what each does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what goes wrong for reasons outside becomes words on stderr."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # Completion has the command line in its environment; it may ask for the options of any command.
    completing = any(name.endswith("_COMPLETE") or name == "_TYPER_COMPLETE_ARGS" for name in os.environ)
    called = next((argument for argument in arguments if argument in COMMANDS), "")
    try:
        with _loading():
            app = _app(COMMANDS if completing else {called})
        return app(args=list(arguments), prog_name="homeroom", standalone_mode=False) or 0
    except typer.TyperException as error:
        terminal.error(f"{error.format_message()}\ntry `{' '.join(filter(None, ('homeroom', called, '--help')))}`")
        return 1 if called == "plan" else 2  # a plan's 2 says "there are changes"
    except typer.Abort:
        return 1
    except HomeroomError as error:
        terminal.error(error.message)
    except OSError as error:
        terminal.error(f"{error.filename or 'this machine'}: {error.strerror or error}")
    return 1


@contextmanager
def _loading() -> Iterator[None]:
    """What is loaded stays. To look for garbage in it, again and again, would be a sixth of the time of a start."""
    gc.disable()
    try:
        yield
    finally:
        _keep()
        gc.enable()


@cache
def _keep() -> None:
    """Once in a process: later there may be garbage, which would be kept."""
    gc.freeze()


def _app(loaded: Collection[str]) -> typer.Typer:
    """The commands; of those that are not `loaded`, only what `--help` tells of them."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown")
    app.callback()(_about)
    for name, words in COMMANDS.items():
        if name in loaded:
            verb, _, module = name.rpartition("-")
            command = getattr(import_module(f"homeroom.cli.{module}"), verb or "command")
            app.command(name, short_help=words)(command)
        else:
            app.command(name, help=words)(_not_loaded)
    return app


def _about(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and leave.", is_eager=True, callback=lambda on: _tell(on=on)),
    ] = False,
) -> None:
    """Keep rosters in learning apps in step with school records, as declared in Git.

    Commands look for resources in the cluster of your kubeconfig, or in files (`-f`). Those that know people read the
    operator's store, and so run where it is: kubectl exec -it -n homeroom-system deploy/homeroom -- homeroom status
    """


def _tell(*, on: bool) -> None:
    if on:
        terminal.say(f"homeroom {version('homeroom')}")
        raise typer.Exit


def _not_loaded() -> None:
    """Stands in the help for a command that was not called."""

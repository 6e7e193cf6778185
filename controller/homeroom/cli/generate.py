"""`homeroom generate`: a made-up district as an export; the work is done by `homeroom.demo.district`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from homeroom.cli import terminal
from homeroom.demo.district import ARCHIVE, Version, generate


def command(
    directory: Annotated[Path, typer.Argument(help="Where to write; made when missing.", file_okay=False)],
    *,
    students: Annotated[int, typer.Option(min=1, help="How many students.")],
    seed: Annotated[int, typer.Option(min=0, help="Another number makes up another district.")] = 1,
    schools: Annotated[
        int | None, typer.Option(min=1, help="How many schools; by default one per 700 students, at least three.")
    ] = None,
    version: Annotated[Version, typer.Option(help="Version of OneRoster CSV to write.")] = "1.2",
    today: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="A day in the school year to write; by default today.", metavar="DATE"),
    ] = None,
    archive: Annotated[bool, typer.Option("--zip", help=f"Write one {ARCHIVE} instead of a folder of files.")] = False,
) -> None:
    """Make up a district of any size as a OneRoster export.

    The same options give the same bytes. All people in it are invented; whatever real districts have is in it on
    purpose: namesakes, names in other scripts, teachers in two schools, classes without a grade, ended enrolments.

    Example: homeroom generate /tmp/district --students 10000 --seed 7 --zip
    """
    day = (today or datetime.now().astimezone()).date()
    with terminal.working(f"making up {students:,} students"):
        counts = generate(
            directory, students=students, seed=seed, today=day, schools=schools, version=version, zip=archive
        )
    people = {"students": counts.students, "teachers": counts.teachers, "guardians": counts.guardians}
    words = ", ".join(f"{count:,} {what}" for what, count in {"schools": counts.schools, **people}.items())
    terminal.say(f"{directory / ARCHIVE if archive else directory}: {words}; {counts.total_rows:,} rows")

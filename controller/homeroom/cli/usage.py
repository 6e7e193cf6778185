"""`homeroom usage`: who uses the seats of an app, per licence and per teacher, and over the school year (R21 to R26).

Flow: `declared` and `records` gather, the store says who holds a seat and how many did on each day, the app, read live,
when accounts were used; `homeroom.seats` counts and looks ahead, this module shows. It writes nothing but the files it
is asked for. Neighbours: `handout`, `yearpicture`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from html import escape
from pathlib import Path
from typing import Annotated, Any, Final

import polars as pl
import typer

from homeroom.api import Duration, LicensePool, SchoolLicense
from homeroom.api.common import DurationUnit
from homeroom.cli import handout, options, records, stores, terminal
from homeroom.cli.declared import Declared, declared
from homeroom.cli.handout import PERSONAL_DATA
from homeroom.cli.records import Inputs
from homeroom.cli.yearpicture import picture
from homeroom.errors import InvalidSpecError, TerminalError
from homeroom.reconcile.activity import logins_of
from homeroom.reconcile.connect import Outside
from homeroom.reconcile.licences import Licence, Records, records_of
from homeroom.roster.desired import FULL_NAME
from homeroom.seats.forecast import Forecast, forecast, school_year
from homeroom.seats.settlement import licence_id
from homeroom.seats.usage import active_since, usage_of_licences, usage_of_teachers
from homeroom.store import Seating, Store
from homeroom.targets import ACTIVITY_SCHEMA

_COUNTS: Final = ("granted", "used", "demand", "waiting", "active", "unknown")
_SHARE: Final = "share active"
_FULL: Final = "full"
_LICENCE: Final = ("licence", "unit", "name", *_COUNTS)
_WITHOUT_NAMES: Final = (
    "Without names; source ids and the days on which people logged in are personal data all the same."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What there is. `place`: the district as `homeroom.seats` names it. `missing`: why the app tells of no use.

    `days`, `licence_days`: the school year of the whole pool, as `homeroom.store.use` has it.
    """

    inputs: Inputs
    place: str
    today: date
    since: date
    licences: list[Licence]
    seating: Seating
    found: Records
    logins: pl.DataFrame
    unread: list[str]
    missing: str
    days: pl.DataFrame
    licence_days: pl.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class _Usage:
    """What comes out.

    `licences` [licence, unit, name of the unit, counts], sorted: those that seat students of the app's district.
    `teachers` [licence, teacher, name, known, login, students, active, unknown], sorted; `name` is null unless `named`.
    `totals`: the counts, every student once. `notes`: what a reader must know to read it right. `days`, `licence_days`:
    as `homeroom.store.use` has them, the latter of `licences` only. `ahead`: of the whole pool.
    `licences_ahead`: of each licence that has seats.
    `noticed`: NOTICED_SCHEMA of the district's students. `reclaimed`: how many of them lost a seat for it.
    """

    head: dict[str, str]
    totals: dict[str, int]
    licences: pl.DataFrame
    teachers: pl.DataFrame
    notes: list[str]
    named: bool
    days: pl.DataFrame
    licence_days: pl.DataFrame
    ahead: Forecast
    licences_ahead: dict[str, Forecast]
    noticed: pl.DataFrame
    reclaimed: int


def command(
    app: Annotated[
        str | None, typer.Argument(help="Name of the LearningApp; may be left out where there is only one.")
    ] = None,
    *,
    inactive_after: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Active is who has used the app since: days or months, like 30d or 3mo; else as the pool says.",
        ),
    ] = None,
    names: Annotated[
        bool, typer.Option("--names", help="With the names of teachers, beside their source ids.")
    ] = False,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write it for spreadsheets.", dir_okay=False)
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it as a page with a picture, to hand on (.html).", dir_okay=False),
    ] = None,
    files: options.Files = None,
    namespace: options.Namespace = None,
    context: options.Context = None,
    secret: options.SecretFiles = None,
    store: options.Store = None,
    data: options.Data = options.DATA,
    owner_id: options.OwnerId = "",
    output: options.Output = "text",
) -> None:
    """Show who uses the seats of an app, per licence and per teacher. Writes only files that are asked for.

    Per licence of the app's pool (`spec.seating`): seats granted and used, demand, how many students wait, and how many
    of those who hold a seat are active. Then per connected teacher: the last login, and how many of the own students
    are active. Of whom the app tells nothing it says `unknown`, which is not inactive. Nothing is reclaimed by it.
    Also when all seats of the pool, and of each licence, will be in use if it goes on as in the last weeks.

    Example: homeroom usage kolibri -n lakeside --report usage.html
    """
    for wrong, words in (
        (not owner_id, "--owner-id (or HOMEROOM_OWNER_ID) is missing: by it we recognise what is ours"),
        (bool(csv or report) and output != "text", "--csv and --report take no --output"),
        (report is not None and report.suffix != ".html", f"--report {report}: must end in .html"),
    ):
        if wrong:
            raise typer.BadParameter(words)
    after = _inactive_after(inactive_after) if inactive_after is not None else None

    async def look() -> _Seen:
        async with declared(files=files, namespace=namespace, context=context, secret_files=secret) as resources:
            with stores.opened(store, data) as opened:
                assert opened is not None
                return await _look(resources, app, opened, owner_id=owner_id, after=after)

    found = _usage(asyncio.run(look()), named=names)
    if csv is not None:
        handout.write_csv(csv, _cells(found))
        _written(csv, found)
    if report is not None:
        handout.write_page(report, f"Use of seats: {found.head['app']}", _parts(found))
        _written(report, found)
    if output == "json":
        terminal.document(_document(found))
    elif csv is None and report is None:
        _show(found)


def _inactive_after(text: str) -> Duration:
    try:
        after = Duration.parse(text)
    except ValueError as error:
        raise typer.BadParameter(f"--inactive-after {error}") from error
    if after.unit not in {DurationUnit.DAYS, DurationUnit.MONTHS}:
        raise typer.BadParameter(f"--inactive-after must be days or months, like 30d or 3mo, not '{text}'")
    return after


# ---------------------------------------------------------------------------------------------------------------------
# Gather


async def _look(resources: Declared, name: str | None, store: Store, *, owner_id: str, after: Duration | None) -> _Seen:
    inputs = await asyncio.to_thread(records.gather, resources, name, store=store, export=None)
    app, district = inputs.app, inputs.district
    if app.pool is None:
        raise InvalidSpecError(f"LearningApp '{app.metadata.name}' has no `spec.seating`: it goes by no pool's seats")
    space, pool = app.pool.split("/")
    place = licence_id(resources.namespace, district.metadata.name)
    licences = [
        Licence(namespace=one.metadata.namespace, name=one.metadata.name, model=one)
        for one in resources.every(SchoolLicense)
        if one.spec.pool_ref.seen_from(one.metadata.namespace) == app.pool
    ]
    licences = [one for one in licences if one.district == place]
    today = options.day(None, zone=district.spec.time_zone)
    since = active_since(today, after or _of_pool(resources, app.pool))
    found = await asyncio.to_thread(
        records_of,
        inputs.snapshot.roster,
        district,
        licences,
        digest=inputs.snapshot.digest,
        today=today,
        connections=await asyncio.to_thread(store.licences.connections, [resources.namespace]),
        by_teacher=True,
    )
    known = await asyncio.to_thread(store.known, namespace=resources.namespace, app=app.metadata.name)
    target = await Outside(owner_id=owner_id).target(app, resources.secrets, password=lambda _: None)
    told, missing = pl.DataFrame(schema=ACTIVITY_SCHEMA), ""
    with terminal.working(f"reading {app.metadata.name}"):
        async with target:
            actual = await target.read(known)
            try:
                told = await target.activity(actual)
            except TerminalError as error:
                if error.reason != "CapabilityMissing":
                    raise
                missing = error.message
    year, _ = school_year(today)
    place_of_pool = {"namespace": space, "pool": pool}
    days, licence_days = await asyncio.to_thread(partial(store.use.days, **place_of_pool, since=year, until=today))
    return _Seen(
        inputs=inputs,
        place=place,
        today=today,
        since=since,
        licences=licences,
        seating=await asyncio.to_thread(store.seating, namespace=space, pool=pool),
        found=found,
        logins=logins_of(told, actual, known, district=place, zone=district.spec.time_zone),
        unread=sorted(actual.unsure),
        missing=missing,
        days=days,
        licence_days=licence_days,
    )


def _of_pool(resources: Declared, name: str) -> Duration:
    """What the pool says, if it is declared here; what it says without a word, where it is in another namespace."""
    pools = (one for one in resources.every(LicensePool) if f"{one.metadata.namespace}/{one.metadata.name}" == name)
    found = next(pools, None)
    return found.spec.inactive_after if found is not None else Duration.parse("3mo")


# ---------------------------------------------------------------------------------------------------------------------
# Count


def _usage(seen: _Seen, *, named: bool) -> _Usage:
    seats = seen.seating.seats.filter(pl.col("district") == seen.place)
    demand = seen.found.demand
    waiting = demand.join(seen.seating.seats, on=["district", "student"], how="anti")
    rows = [(one.id, one.model.spec.school_unit, one.model.status.unit_name) for one in seen.licences if one.model]
    units = pl.DataFrame(rows, {"licence": pl.String, "unit": pl.String, "name": pl.String}, orient="row")
    licences = units.join(  # with those that are declared no more, while somebody holds a seat by them
        usage_of_licences(seats, seen.logins, since=seen.since), on="licence", how="full", coalesce=True
    ).join(seen.seating.grants.select("licence", "granted"), on="licence", how="left")
    for name, frame in (("demand", demand), ("waiting", waiting)):
        licences = licences.join(frame.group_by("licence").agg(pl.len().alias(name)), on="licence", how="left")
    licences = licences.select("licence", "unit", "name", pl.col(_COUNTS).fill_null(0).cast(pl.Int64)).sort("licence")
    teachers = usage_of_teachers(seen.found.taught, seats, seen.logins, since=seen.since)
    users = seen.inputs.snapshot.roster.users.select(teacher="id", name=FULL_NAME if named else pl.lit(None, pl.String))
    totals = {name: int(licences[name].sum()) for name in _COUNTS}
    totals |= {name: frame["student"].n_unique() for name, frame in (("demand", demand), ("waiting", waiting))}
    app = seen.inputs.app
    licence_days = seen.licence_days.join(licences, on="licence", how="semi")
    return _Usage(
        head={
            "namespace": app.metadata.namespace,
            "app": app.metadata.name,
            "pool": app.pool or "",
            "district": seen.inputs.district.metadata.name,
            "snapshot": seen.inputs.snapshot.digest,
            "today": seen.today.isoformat(),
            "activeSince": seen.since.isoformat(),
        },
        totals=totals,
        licences=licences,
        teachers=teachers.join(users, on="teacher", how="left", maintain_order="left").select(
            "licence", "teacher", "name", "known", "login", pl.col("students", "active", "unknown").cast(pl.Int64)
        ),
        notes=list(_notes(seen, totals)),
        named=named,
        days=seen.days,
        noticed=seen.seating.noticed.filter(pl.col("district") == seen.place),
        reclaimed=seen.seating.reclaimed.filter(pl.col("district") == seen.place).height,
        licence_days=licence_days,
        ahead=forecast(seen.days, capacity=seen.days["capacity"].item(-1) if seen.days.height else 0, today=seen.today),
        licences_ahead=dict(_ahead(licences, licence_days, today=seen.today)),
    )


def _ahead(licences: pl.DataFrame, days: pl.DataFrame, *, today: date) -> Iterator[tuple[str, Forecast]]:
    """When each licence that has seats will be full."""
    of = days.partition_by("licence", as_dict=True)
    for licence, granted in licences.filter(pl.col("granted") > 0).select("licence", "granted").iter_rows():
        yield licence, forecast(of.get((licence,), days.clear()), capacity=granted, today=today)


def _notes(seen: _Seen, totals: dict[str, int]) -> Iterator[str]:
    if seen.seating.records.get(seen.place) != seen.inputs.snapshot.digest:
        yield "the pool has not looked at these records yet: who holds a seat is by older ones, or by none"
    if seen.missing:
        yield f"who is active is unknown: {seen.missing}"
    elif totals["unknown"]:
        yield (
            f"unknown, which is not inactive: {totals['unknown']:,} of those who hold a seat; "
            f"{seen.inputs.app.metadata.name} tells of no account that is surely theirs"
        )
    if seen.unread:
        yield f"schools that could not be read in {seen.inputs.app.metadata.name}: {', '.join(seen.unread)}"


def _share(students: str) -> pl.Expr:
    """The share of active ones, in words. Where some are unknown, what is certain; never more than it is."""
    active, unknown, all_ = (pl.col(name) for name in ("active", "unknown", students))
    percent = pl.format("{} %", active * 100 // all_)
    return (
        pl.when(all_ == 0)
        .then(pl.lit(""))
        .when(unknown == all_)
        .then(pl.lit("unknown"))
        .when(unknown > 0)
        .then(pl.format("at least {}", percent))
        .otherwise(percent)
        .alias(_SHARE)
    )


def _login() -> pl.Expr:
    never = pl.when("known").then(pl.lit("never")).otherwise(pl.lit("unknown"))
    return pl.col("login").dt.strftime("%Y-%m-%d").fill_null(never)


# ---------------------------------------------------------------------------------------------------------------------
# Show


def _summary(found: _Usage) -> dict[str, str]:
    """Seats used and active students come first (R25)."""
    total = found.totals
    share = pl.DataFrame([total]).select(_share("used")).item()
    return {
        "seats": f"{total['used']:,} used of {total['granted']:,} that are granted",
        "active": f"{_active(total, share)} of {total['used']:,} students who hold a seat, since "
        f"{found.head['activeSince']}",
        "waiting": f"{total['waiting']:,} of {total['demand']:,} students who want a seat have none",
    } | _unused(found)


def _unused(found: _Usage) -> dict[str, str]:
    """What the pool's last run found of seats that nobody uses, and when it will have no other ones."""
    told = {}
    if found.noticed.height:
        first = found.noticed.select(pl.col("noticed").min()).item()
        told["idle"] = f"{found.noticed.height:,} seats by the pool's last run, the first since {first}"
    if found.reclaimed:
        told["reclaimed"] = f"{found.reclaimed:,} students have no seat, as they did not use theirs"
    return told | {"pool full": found.ahead.told}


def _active(counts: dict[str, Any], share: str) -> str:
    """How many are active, with their share; just `unknown` where nobody can say."""
    if share in {"", "unknown"}:
        return share or f"{counts['active']:,}"
    return f"{counts['active']:,} ({share})"


def _show(found: _Usage) -> None:
    head = found.head
    terminal.say(f"learningapp/{head['app']}, pool {head['pool']}, records {head['snapshot'][:12]}", style="bold")
    for name, words in _summary(found).items():
        terminal.say(f"{name}: {words}")
    for note in found.notes:
        terminal.say(note, style="yellow")
    if found.named:
        terminal.say(PERSONAL_DATA, style="yellow")
    for frame in (_licences(found), _teachers(found)):
        if not frame.is_empty():
            terminal.say()
            terminal.table([name.upper() for name in frame.columns], frame.rows())


def _licences(found: _Usage) -> pl.DataFrame:
    """For people."""
    ahead = found.licences_ahead
    full = pl.Series(
        _FULL, [ahead[name].brief if name in ahead else "" for name in found.licences["licence"]], pl.String
    )
    return found.licences.select(*_LICENCE, _share("used"), full)


def _teachers(found: _Usage) -> pl.DataFrame:
    """For people."""
    columns = ("licence", "teacher", *(("name",) if found.named else ()))
    return found.teachers.select(
        *columns, _login().alias("last login"), "students", "active", "unknown", _share("students")
    )


def _document(found: _Usage) -> dict[str, Any]:
    """For programs."""
    teachers = found.teachers.rename({"login": "lastLogin"}).with_columns(pl.col("lastLogin").dt.strftime("%Y-%m-%d"))
    return {
        **found.head,
        "totals": found.totals,
        "idle": found.noticed.height,
        "reclaimed": found.reclaimed,
        "notes": found.notes,
        "forecast": _told(found.ahead),
        "days": found.days.with_columns(pl.col("day").cast(pl.String)).to_dicts(),
        "licences": [
            {**row, "forecast": _told(found.licences_ahead.get(row["licence"]))}
            for row in found.licences.rename({"name": "unitName"}).iter_rows(named=True)
        ],
        "teachers": (teachers if found.named else teachers.drop("name")).to_dicts(),
    }


def _told(ahead: Forecast | None) -> dict[str, Any] | None:
    """A forecast with days as text, and in words."""
    if ahead is None:
        return None
    values = {name: value.isoformat() if isinstance(value, date) else value for name, value in asdict(ahead).items()}
    return {**values, "words": ahead.told}


def _cells(found: _Usage) -> pl.DataFrame:
    """For spreadsheets: a row per licence, then one per teacher, where `students` are those who hold a seat."""
    licences = _licences(found).rename({"name": "unit name", "used": "students"})
    teachers = _teachers(found).rename({"name": "name (personal data)"}, strict=False)
    units = licences.select("licence", "unit", "unit name")
    columns = ["licence", "unit", "unit name", *(name for name in teachers.columns if name not in licences.columns)]
    cells = pl.concat([licences, teachers.join(units, on="licence", how="left")], how="diagonal")
    return cells.select(*columns, pl.exclude(columns)).sort("licence", "teacher", nulls_last=False, maintain_order=True)


def _written(path: Path, found: _Usage) -> None:
    words = f"{path}: {found.licences.height:,} licences, {found.teachers.height:,} teachers"
    terminal.say(f"{words}; {PERSONAL_DATA}" if found.named else words)


# ---------------------------------------------------------------------------------------------------------------------
# The page

_WIDE: Final = 860
_HIGH: Final = 44
_LONGEST: Final = 60
_FILLS: Final = {"active": "#1f4e79", "inactive": "#9dc3e6", "unknown": "url(#unknown)", "free": "#f2f2f2"}
"""Parts of what is granted, from the left, and how they look; they differ in grey as well."""


def _parts(found: _Usage) -> Iterator[str]:
    yield f'<p class="notice">{PERSONAL_DATA}</p>' if found.named else f"<p>{_WITHOUT_NAMES}</p>"
    head = found.head
    facts = {"pool": head["pool"], "district": head["district"], "on": head["today"], **_summary(found)}
    yield handout.facts({**facts, "to know": "; ".join(found.notes)} if found.notes else facts)
    pool, today = f"pool {head['pool']}", date.fromisoformat(head["today"])
    yield f"<h2>Over the school year, the whole {escape(pool)}</h2>"
    yield picture(found.days, name=pool, today=today, ahead=found.ahead)
    yield "<h2>Now, each licence</h2>"
    yield f'<div class="wide">\n{_picture(found.licences)}\n</div>'
    unbroken = pl.col(_SHARE).str.replace_all(" ", "\N{NO-BREAK SPACE}", literal=True)
    yield f"<section>\n{handout.table(_licences(found).with_columns(unbroken))}\n</section>"
    teachers = _teachers(found).with_columns(unbroken).partition_by("licence", as_dict=True, include_key=False)
    days = found.licence_days.partition_by("licence", as_dict=True, include_key=False)
    none = found.licence_days.clear()
    for row in _licences(found).iter_rows(named=True):
        heading = escape(", ".join(filter(None, (row["licence"], row["unit"], row["name"]))))
        words = f"{row['used']:,} of {row['granted']:,} seats used; active students: {_active(row, row[_SHARE])}"
        ahead = found.licences_ahead.get(row["licence"])
        words += f"; full: {ahead.told}" if ahead is not None else ""
        of_it = days.get((row["licence"],), none)
        year = picture(of_it, name=f"licence {row['licence']}", today=today, ahead=ahead, high=200)
        table = handout.table(teachers[row["licence"],]) if (row["licence"],) in teachers else "<p>No teachers.</p>"
        yield f'<section class="school">\n<h2>{heading}</h2>\n<p>{words}</p>\n{year}\n{table}\n</section>'


def _picture(licences: pl.DataFrame) -> str:
    """A bar for each licence: what is granted, and the part of it that is used, by whom."""
    most = max([1, *licences["granted"], *licences["used"]])
    high = _HIGH * (licences.height + 1)
    keys = "".join(
        f'<rect x="{x + 1}" y="8" width="14" height="14" fill="{fill}" stroke="#555"/>'
        f'<text x="{x + 21}" y="20">{name}</text>'
        for x, (name, fill) in zip(range(0, _WIDE, 110), _FILLS.items(), strict=False)
    )
    rows = enumerate(licences.iter_rows(named=True), start=1)
    bars = [_bar(row, y=_HIGH * number, most=most) for number, row in rows]
    label = "Use of the seats of each licence, as in the table"
    return (
        f'<svg class="picture" viewBox="0 0 {_WIDE} {high}" role="img" aria-label="{label}" font-size="13">\n'
        '<defs><pattern id="unknown" width="6" height="6" patternUnits="userSpaceOnUse">'
        '<rect width="6" height="6" fill="#fff"/><path d="M0 6L6 0" stroke="#555"/></pattern></defs>\n'
        + "\n".join([keys, *bars])
        + "\n</svg>"
    )


def _bar(row: dict[str, Any], *, y: int, most: int) -> str:
    parts = {
        "active": row["active"],
        "inactive": row["used"] - row["active"] - row["unknown"],
        "unknown": row["unknown"],
        "free": max(0, row["granted"] - row["used"]),
    }
    name = " ".join(filter(None, (row["licence"], row["name"])))
    name = name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…"
    told = ", ".join(f"{count:,} {part}" for part, count in parts.items() if count)
    drawn, x = [], 0.0
    for part, count in ((part, count) for part, count in parts.items() if count):
        width = count * _WIDE / most
        drawn.append(
            f'<rect x="{x:.1f}" y="{y + 18}" width="{width:.1f}" height="16" fill="{_FILLS[part]}" stroke="#555"/>'
        )
        x += width
    return (
        f'<text x="0" y="{y + 12}">{escape(name)}</text><text x="{_WIDE}" y="{y + 12}" text-anchor="end">{told}</text>'
        + "".join(drawn)
    )

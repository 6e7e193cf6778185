"""(a) A nightly run of a made-up district in which nothing has changed, beside two peers that do much less.

Homeroom: load the last accepted roster, read and validate the export, apply the rules, say what the target should hold,
load what it holds and what was applied last, compare; and the same on a night on which a row in a thousand is another.
Beside it, in the same round: `polars.read_csv` of the four large files and nothing else, once with all columns as text
and once with types inferred, and DuckDB comparing enrollments.csv with the enrolments of last time.

What keeps children safe is measured beside that, for a night without changes and one on which one in a hundred students
is gone: who is who, the source door, and the guards of the app's door.

`python -m bench.records` prints a section for `bench/README.md`. Neighbour: `bench.run`, which writes it there.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl
from bench.measure import Measured, Stopwatch, in_turns, loads, machine, median, megabytes, ratio, run, table, tell

from homeroom.api import District, Effect, MatchKey, Operator, Removal, Share
from homeroom.api.district import HomeroomDefinition
from homeroom.demo.district import generate
from homeroom.plan import CHANGE_SCHEMA, RECENT_SCHEMA, Judged, Plan, Standing, judge, review
from homeroom.plan import Limits as GuardLimits
from homeroom.reconcile.admission import DoorMemory, admit
from homeroom.reconcile.decide import SALT
from homeroom.roster.desired import desired
from homeroom.roster.diff import KEPT_SCHEMA, UNAPPLIED_SCHEMA, Baseline, diff, sizes, unseen
from homeroom.roster.recognition import recognise
from homeroom.roster.shared import Match, Rule, share
from homeroom.roster.state import ACTUAL_SCHEMAS, Actual, Desired
from homeroom.roster.years import NO_PINS, pinned
from homeroom.sources import Snapshot, load, load_lines, write
from homeroom.sources.oneroster import read_export
from homeroom.sources.package import Limits
from homeroom.store import Passed

SIZES: Final = (10_000, 100_000, 1_000_000)
MOST_TIME: Final = 2.0  # times polars
MOST_MEMORY: Final = 3e9
MOST_FOR_GUARDS: Final = 0.5  # of the wall time of polars
_FILES: Final = ("users", "roles", "enrollments", "classes")
_PEERS: Final = ("homeroom", "polars", "inferring", "duckdb")
_NIGHTS: Final = ("unchanged", "1 % gone")
_NOW: Final = datetime(2026, 10, 1, 2, tzinfo=UTC)
_TODAY: Final = _NOW.date()
_DISTRICT: Final = {
    "metadata": {"name": "bench", "namespace": "bench"},
    "spec": {
        "timeZone": "UTC",
        "source": {"oneRosterCSV": {"url": "file:export"}},
        "sync": {"mode": "Interval", "interval": "1h"},
    },
}
_RULES: Final = (
    Rule(name="all-sections", share=Share.SECTIONS, share_everything=True),
    Rule(
        name="no-kindergarten",
        effect=Effect.EXCLUDE,
        share=Share.SECTIONS,
        match=(Match(MatchKey.GRADE, Operator.IN, ("KG",)),),
    ),
    Rule(name="staff", share=Share.STAFF, share_everything=True),
)


# ---------------------------------------------------------------------------------------------------------------------
# Parts, each in a process of its own


def prepare(place: Path, students: int) -> None:
    """Make the export, its snapshot, and what the target holds after it was applied."""
    watch = Stopwatch()
    with watch.step("generate"):
        counts = generate(place / "export", students=students, seed=1, today=_TODAY)
    snapshot = read_export(place / "export", previous=None, limits=Limits(), scratch=place)
    write(snapshot, place / "snapshots")
    _change(place / "export", place / "changed")
    _lose(place / "export", place / "night")
    write(read_export(place / "night", previous=None, limits=Limits(), scratch=place), place / "nights")
    shared = share(snapshot.roster, _RULES, homeroom=HomeroomDefinition(), today=_TODAY)
    wanted = desired(snapshot.roster, shared)
    _write(wanted, place / "desired")
    _write(_held(wanted), place / "actual")
    enrolled = pl.scan_csv(place / "export" / "enrollments.csv", infer_schema=False)
    enrolled.select("classSourcedId", "userSourcedId", "role").sink_parquet(place / "enrolled.parquet")
    watch.counts = {"rows": counts.total_rows, "memberships": wanted.memberships.height}
    watch.report()


def _lose(export: Path, into: Path) -> None:
    """The same export without one in a hundred people who have a grade, with all that is theirs."""
    shutil.copytree(export, into)
    users = pl.read_csv(export / "users.csv", infer_schema=False)
    gone = users.filter(pl.col("grades") != "", pl.col("sourcedId").hash(1) % 100 == 0)["sourcedId"]
    for name, column in (("users", "sourcedId"), ("roles", "userSourcedId"), ("enrollments", "userSourcedId")):
        rows = pl.scan_csv(export / f"{name}.csv", infer_schema=False)
        rows.filter(~pl.col(column).is_in(gone.implode())).sink_csv(into / f"{name}.csv")


def _change(export: Path, into: Path) -> None:
    """The same export with every thousandth person gone, new or renamed, and every thousandth link ended or renewed.

    Who is gone or new is so with all links; who is new stands between others, as in an export that is sorted.
    """
    shutil.copytree(export, into)
    users = pl.read_csv(export / "users.csv", infer_schema=False)
    turn = pl.int_range(pl.len()) % 3000
    gone, new = (users.filter(turn == which)["sourcedId"].implode() for which in (1000, 2000))
    for name, whose, field in (
        ("users", "sourcedId", "familyName"),
        ("roles", "userSourcedId", "endDate"),
        ("enrollments", "userSourcedId", "endDate"),
    ):
        rows = pl.read_csv(export / f"{name}.csv", infer_schema=False).with_row_index("at")
        other = pl.lit("2027-06-30") if field == "endDate" else pl.col(field) + "-Brambleveil"
        stay = rows.with_columns(pl.when(turn == 0).then(other).otherwise(field).alias(field))
        stay = stay.filter(~pl.col(whose).is_in(gone))
        come = rows.filter(pl.col(whose).is_in(new)).with_columns(
            pl.col(column) + "-new" for column in {"sourcedId", whose}
        )
        pl.concat([stay, come]).sort("at", maintain_order=True).drop("at").write_csv(into / f"{name}.csv")


def _write(state: Desired | Actual, place: Path) -> None:
    place.mkdir()
    for part in fields(Desired):
        getattr(state, part.name).write_parquet(place / f"{part.name}.parquet")


def _held(wanted: Desired) -> Actual:
    """What a target holds that has all that is wanted: in an order of its own, with ids of its own, all in use."""
    people, to_person = _shuffled(wanted.people)
    classes, to_class = _shuffled(wanted.classes)
    members, _ = _shuffled(wanted.memberships)
    members = members.select(
        "role", to_class.gather(members["class"]).alias("class"), to_person.gather(members["person"]).alias("person")
    )
    return Actual(
        schools=_dressed(wanted.schools, "schools"),
        people=_dressed(people, "people"),
        classes=_dressed(classes, "classes"),
        memberships=_dressed(members, "memberships"),
        rights=_dressed(wanted.rights.select(to_person.gather(wanted.rights["person"]).alias("person")), "rights"),
    )


def _shuffled(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """The rows in another order, and for each old row number the new one."""
    rows = pl.int_range(frame.height, dtype=pl.UInt32, eager=True)
    order = rows.hash(1).arg_sort()
    return frame[order], pl.repeat(None, frame.height, dtype=pl.UInt32, eager=True).scatter(order, rows)


def _dressed(frame: pl.DataFrame, part: str) -> pl.DataFrame:
    """With the columns that only targets have."""
    schema = ACTUAL_SCHEMAS[part]
    own = {
        "external_id": pl.int_range(pl.len()).cast(pl.String),
        "suspended": pl.lit(value=False),
        "archived": pl.lit(value=False),
    }
    dressed = frame.with_columns(**{name: value for name, value in own.items() if name in schema})
    return dressed.select(schema.names()).cast(schema)


def homeroom(place: Path, *, export: str = "export") -> None:
    """Everything from the export to a plan, which is empty unless the export is another one."""
    watch = Stopwatch()
    with watch.step("load the last roster"):
        accepted = _only_snapshot(place / "snapshots")
        previous, lines = accepted.roster, load_lines(place / "snapshots", accepted.digest)
    with watch.step("read and validate"):
        snapshot = read_export(place / export, previous=previous, lines=lines, limits=Limits(), scratch=place)
    digest = accepted.digest
    del accepted, previous, lines
    with watch.step("rules"):
        shared = share(snapshot.roster, _RULES, homeroom=HomeroomDefinition(), today=_TODAY)
    with watch.step("desired"):
        wanted = desired(snapshot.roster, shared)
    with watch.step("load the target"):
        actual, baseline = _actual(place), _applied(place)
    with watch.step("diff"):
        plan = diff(wanted, actual, baseline=baseline, removal=Removal(), roster=snapshot.roster, today=_TODAY)
    same = export == "export"
    if plan.empty is not same or (snapshot.digest == digest) is not same or wanted.memberships.is_empty():
        raise AssertionError("what has changed must be planned, and nothing else, and something must be shared")
    watch.report()


def guards(place: Path) -> None:
    """What is asked on the way: who is who and the source door, and for the app what its guards add to a plan."""
    watch = Stopwatch()
    district = District.model_validate(_DISTRICT)
    before, night = (_only_snapshot(place / name).roster for name in ("snapshots", "nights"))
    actual, baseline = _actual(place), _applied(place)
    pins = pinned(before, NO_PINS, today=_TODAY).pins
    for label, fresh in (("unchanged", before), ("1 % gone", night)):
        with watch.step(f"who is who, {label}"):
            pinned(fresh, pins, today=_TODAY)
            recognise(before, fresh, identity=district.spec.identity, listed=None)
        with watch.step(f"source door, {label}"):
            memory = DoorMemory(holds=(), words=(), passed=Passed(), rolled_over=False)
            admission = admit(before, fresh, district=district, memory=memory, now=_NOW, salt=SALT)
        if admission.open:
            raise AssertionError("one in a hundred is less than a tenth, so nothing must be held")
        shared = share(admission.served, _RULES, homeroom=HomeroomDefinition(), today=_TODAY)
        wanted = desired(admission.served, shared)
        plan = diff(wanted, actual, baseline=baseline, removal=Removal(), roster=fresh, today=_TODAY, now=_NOW)
        if plan.empty is not (fresh is before):
            raise AssertionError("who is gone must leave, and nobody else")
        with watch.step(f"guards of the app, {label}"):
            if not plan.empty:  # as `decide` does
                _judge(plan, actual)
    watch.report()


def _judge(plan: Plan, actual: Actual) -> None:
    standing = Standing(
        sizes=sizes(actual),
        recent=pl.DataFrame(schema=RECENT_SCHEMA),
        reviewed=None,
        known=actual.owned_schools.to_list(),
        kinds=(True, False),
    )

    def judged(_holds: object, released: pl.DataFrame, sticky: pl.DataFrame) -> Judged:
        return judge(plan, standing, GuardLimits(), released=released, sticky=sticky)

    nothing = pl.DataFrame(schema=CHANGE_SCHEMA)
    reviewed = review(plan, [], [], judged, made=nothing, unseen=unseen(actual), now=_NOW, salt=SALT)
    if reviewed.plan.empty:
        raise AssertionError("one in a hundred is less than a tenth, so it must pass")


def _only_snapshot(place: Path) -> Snapshot:
    (digest,) = (path.name for path in place.iterdir())
    return load(place, digest)


def _actual(place: Path) -> Actual:
    there = _tables(place / "actual")
    return Actual(
        schools=there["schools"],
        people=there["people"],
        classes=there["classes"],
        memberships=there["memberships"],
        rights=there["rights"],
    )


def _applied(place: Path) -> Baseline:
    """What was applied last: all that is desired, and nothing is left over."""
    return Baseline(
        desired=Desired(**_tables(place / "desired")),
        kept=pl.DataFrame(schema=KEPT_SCHEMA),
        unapplied=pl.DataFrame(schema=UNAPPLIED_SCHEMA),
    )


def _tables(place: Path) -> dict[str, pl.DataFrame]:
    return {part.name: pl.read_parquet(place / f"{part.name}.parquet") for part in fields(Desired)}


def polars(place: Path, *, inferring: bool) -> None:
    """Parse the four large files and hold them; all columns as text, or (`inferring`) with types found by polars.

    By default polars looks at the first 100 rows for types, and then refuses classes.csv.
    """
    how: dict[str, Any] = {"infer_schema_length": None} if inferring else {"infer_schema": False}
    watch = Stopwatch()
    with watch.step("read_csv"):
        frames = [pl.read_csv(place / "export" / f"{name}.csv", **how) for name in _FILES]
    watch.counts = {"rows": sum(frame.height for frame in frames)}
    watch.report()


def duckdb_diff(place: Path) -> None:
    """Compare the enrolments of the export with those of last time."""
    watch = Stopwatch()
    key = "classSourcedId, userSourcedId, role"
    with watch.step("full join"), duckdb.connect() as database:
        row = database.execute(
            f"""
            SELECT count(*) FILTER (WHERE new.role IS NULL OR old.role IS NULL), count(*)
            FROM read_csv(?, header = true, all_varchar = true) AS new
            FULL JOIN read_parquet(?) AS old USING ({key})
            """,
            [str(place / "export" / "enrollments.csv"), str(place / "enrolled.parquet")],
        ).fetchone()
    if row is None or row[0] != 0 or row[1] == 0:
        raise AssertionError("nothing has changed, so nothing must differ")
    watch.report()


# ---------------------------------------------------------------------------------------------------------------------
# The benchmark


def section(sizes: Sequence[int], *, rounds: int) -> str:
    """Measure all sizes; the section for the README."""
    ratios, seconds = [], []
    steps: dict[int, list[Measured]] = {}
    asked: dict[int, list[Measured]] = {}
    changed: dict[int, list[Measured]] = {}
    after_changes = []
    shares = []
    notes = []
    for students in sizes:
        with tempfile.TemporaryDirectory(prefix="homeroom-bench-") as directory:
            place = Path(directory)
            tell(f"records of {students:,} students: preparing")
            prepared = run("records", "--part", "prepare", "--place", place, "--students", str(students))
            parts = {name: partial(_part, name, place) for name in (*_PEERS, "changed", "guards")}
            runs = in_turns(parts, rounds=rounds)
        ours, bare = runs["homeroom"], runs["polars"]
        steps[students], asked[students], changed[students] = ours, runs["guards"], runs["changed"]
        shares.append([f"{students:,}", *_shares(runs["guards"], bare)])
        seconds.append(
            [f"{students:,}", f"{prepared.counts['rows']:,}"]
            + [f"{median(runs[name], _wall):.2f} s" for name in _PEERS]
            + [megabytes(median(runs[name], _peak)) for name in _PEERS]
        )
        ratios.append(
            [
                f"{students:,}",
                f"**{ratio(ours, bare, _wall):.2f}**",
                f"{ratio(ours, bare, _cpu):.2f}",
                f"{ratio(ours, bare, _peak):.2f}",
                f"{ratio(ours, runs['inferring'], _wall):.2f}",
                f"{ratio(ours, runs['duckdb'], _wall):.2f}",
                f"{ratio(ours, runs['duckdb'], _cpu):.2f}",
            ]
        )
        after_changes.append(
            [f"{students:,}", *(f"{ratio(runs['changed'], bare, value):.2f}" for value in (_wall, _cpu, _peak))]
        )
        notes.append(f"{students:,}: {loads(runs)}")
    peers = ["Homeroom", "polars", "polars inferring", "DuckDB"]
    goals = (
        f"Goals: at 1 million students at most {MOST_TIME:.1f} times the wall time of polars, at most "
        f"{MOST_MEMORY / 1e9:.0f} GB, and no step that grows faster than linearly from 100 thousand to 1 million."
    )
    times = [
        "wall / polars",
        "CPU / polars",
        "memory / polars",
        "wall / polars inferring",
        "wall / DuckDB",
        "CPU / DuckDB",
    ]
    values = ["rows", *(f"{peer}, wall" for peer in peers), *(f"{peer}, peak" for peer in peers)]
    remarks = (
        f"Medians of {rounds} rounds; {machine('polars', 'duckdb')}. One-minute load while measuring: "
        f"{'; '.join(notes)}."
    )
    return "\n\n".join(
        [
            goals,
            table(["students", *times], ratios),
            table(["students", *values], seconds),
            _step_table(steps),
            "One row in a thousand changed, gone or new (goal: the same).",
            table(["students", "wall / polars", "CPU / polars", "memory / polars"], after_changes),
            _step_table(changed),
            f"Guards and questions, as shares of the bare parse (goal: at most {MOST_FOR_GUARDS}).",
            table(["students", *(f"{how}, {night}" for night in _NIGHTS for how in ("wall", "CPU"))], shares),
            _step_table(asked),
            remarks,
        ]
    )


def _shares(guards: Sequence[Measured], bare: Sequence[Measured]) -> list[str]:
    """What all steps of each of `_NIGHTS` take together, as shares of the parse: wall and processor time."""

    def share(one: Mapping[str, float], night: str) -> float:
        return sum(seconds for step, seconds in one.items() if step.endswith(night))

    shares = []
    for night in _NIGHTS:
        walls = statistics.median(share(one.walls, night) for one in guards)
        cpus = statistics.median(share(one.cpus, night) for one in guards)
        shares += [walls / median(bare, _wall), cpus / median(bare, _cpu)]
    return [f"{value:.2f}" for value in shares]


def _step_table(runs: Mapping[int, Sequence[Measured]]) -> str:
    """Seconds per step and size, and how the last two sizes compare: 10 is linear growth where one is 10 times larger.

    Processor time is what a busy machine changes least.
    """
    sizes = sorted(runs)
    walls, cpus = _seconds(runs, lambda one: one.walls), _seconds(runs, lambda one: one.cpus)
    steps = list(runs[sizes[0]][0].walls)
    head = ["step, wall (CPU) seconds", *(f"{students:,}" for students in sizes)]
    rows = [[step, *(f"{walls[step, size]:.3f} ({cpus[step, size]:.3f})" for size in sizes)] for step in steps]
    if len(sizes) > 1:
        small, large = sizes[-2:]
        head.append(f"growth for {large / small:.0f} times the students")
        for row, step in zip(rows, steps, strict=True):
            grown = (walls[step, large] / walls[step, small], cpus[step, large] / cpus[step, small])
            row.append(f"{grown[0]:.1f} ({grown[1]:.1f})")
    return table(head, rows)


def _seconds(
    runs: Mapping[int, Sequence[Measured]], of: Callable[[Measured], Mapping[str, float]]
) -> dict[tuple[str, int], float]:
    """Medians by step and size."""
    return {
        (step, size): statistics.median(of(one)[step] for one in some)
        for size, some in runs.items()
        for step in of(some[0])
    }


def _part(name: str, place: Path) -> Measured:
    for file in place.rglob("*"):  # read from memory by everybody: the disk is not what is compared
        if file.is_file():
            with file.open("rb", buffering=0) as stream:
                while stream.read(1 << 24):
                    pass
    return run("records", "--part", name, "--place", place)


def _wall(one: Measured) -> float:
    return one.wall


def _cpu(one: Measured) -> float:
    return one.cpu


def _peak(one: Measured) -> float:
    return one.peak


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.records", description=__doc__)
    parser.add_argument("--students", default=",".join(map(str, SIZES)), help="sizes, separated by commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part", choices=("prepare", *_PEERS, "changed", "guards"), help="for the benchmark itself")
    parser.add_argument("--place", type=Path)
    chosen = parser.parse_args()
    sizes = [int(size) for size in chosen.students.split(",")]
    match chosen.part:
        case None:
            print(section(sizes, rounds=chosen.rounds))
        case "prepare":
            prepare(chosen.place, sizes[0])
        case "homeroom":
            homeroom(chosen.place)
        case "changed":
            homeroom(chosen.place, export="changed")
        case "guards":
            guards(chosen.place)
        case "polars" | "inferring":
            polars(chosen.place, inferring=chosen.part == "inferring")
        case "duckdb":
            duckdb_diff(chosen.place)


if __name__ == "__main__":
    _main()

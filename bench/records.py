"""(a) A nightly run of a made-up district in which nothing has changed, beside two peers that do much less.

Homeroom: load the last accepted roster, read and validate the export, apply the rules, say what the target should hold,
load what it holds and what was applied last, compare. Beside it, in the same round: `polars.read_csv` of the four large
files and nothing else, once with all columns as text and once with types inferred, and DuckDB comparing enrollments.csv
with the enrolments of last time.

`python -m bench.records` prints a section for `bench/README.md`. Neighbour: `bench.run`, which writes it there.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl
from bench.measure import Measured, Stopwatch, in_turns, loads, machine, median, megabytes, ratio, run, table, tell

from homeroom.api import Effect, MatchKey, Operator, Removal, Share
from homeroom.api.district import HomeroomDefinition
from homeroom.demo.district import generate
from homeroom.roster.desired import desired
from homeroom.roster.diff import KEPT_SCHEMA, UNAPPLIED_SCHEMA, Baseline, diff
from homeroom.roster.shared import Match, Rule, share
from homeroom.roster.state import ACTUAL_SCHEMAS, Actual, Desired
from homeroom.sources import load, write
from homeroom.sources.oneroster import read_export
from homeroom.sources.package import Limits

SIZES: Final = (10_000, 100_000, 1_000_000)
MOST_TIME: Final = 2.0  # times polars
MOST_MEMORY: Final = 3e9
_FILES: Final = ("users", "roles", "enrollments", "classes")
_TODAY: Final = date(2026, 10, 1)
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
    shared = share(snapshot.roster, _RULES, homeroom=HomeroomDefinition(), today=_TODAY)
    wanted = desired(snapshot.roster, shared)
    _write(wanted, place / "desired")
    _write(_held(wanted), place / "actual")
    enrolled = pl.scan_csv(place / "export" / "enrollments.csv", infer_schema=False)
    enrolled.select("classSourcedId", "userSourcedId", "role").sink_parquet(place / "enrolled.parquet")
    watch.counts = {"rows": counts.total_rows, "memberships": wanted.memberships.height}
    watch.report()


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


def homeroom(place: Path) -> None:
    """Everything from the export to an empty plan."""
    watch = Stopwatch()
    (accepted,) = (path.name for path in (place / "snapshots").iterdir())
    with watch.step("load the last roster"):
        previous = load(place / "snapshots", accepted).roster
    with watch.step("read and validate"):
        snapshot = read_export(place / "export", previous=previous, limits=Limits(), scratch=place)
    del previous
    with watch.step("rules"):
        shared = share(snapshot.roster, _RULES, homeroom=HomeroomDefinition(), today=_TODAY)
    with watch.step("desired"):
        wanted = desired(snapshot.roster, shared)
    with watch.step("load the target"):
        there, before = _tables(place / "actual"), _tables(place / "desired")
        actual = Actual(
            schools=there["schools"],
            people=there["people"],
            classes=there["classes"],
            memberships=there["memberships"],
            rights=there["rights"],
        )
        baseline = Baseline(
            desired=Desired(**before),
            kept=pl.DataFrame(schema=KEPT_SCHEMA),
            unapplied=pl.DataFrame(schema=UNAPPLIED_SCHEMA),
        )
    with watch.step("diff"):
        plan = diff(wanted, actual, baseline=baseline, removal=Removal(), roster=snapshot.roster, today=_TODAY)
    if not plan.empty or snapshot.digest != accepted or wanted.memberships.is_empty():
        raise AssertionError("nothing has changed, so nothing must be planned, and something must be shared")
    watch.report()


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
    notes = []
    for students in sizes:
        with tempfile.TemporaryDirectory(prefix="homeroom-bench-") as directory:
            place = Path(directory)
            tell(f"records of {students:,} students: preparing")
            prepared = run("records", "--part", "prepare", "--place", place, "--students", str(students))
            parts = {name: partial(_part, name, place) for name in ("homeroom", "polars", "inferring", "duckdb")}
            runs = in_turns(parts, rounds=rounds)
        ours, bare = runs["homeroom"], runs["polars"]
        steps[students] = ours
        seconds.append(
            [f"{students:,}", f"{prepared.counts['rows']:,}"]
            + [f"{median(runs[name], _wall):.2f} s" for name in parts]
            + [megabytes(median(runs[name], _peak)) for name in parts]
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
        [goals, table(["students", *times], ratios), table(["students", *values], seconds), _step_table(steps), remarks]
    )


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
    parser.add_argument(
        "--part", choices=("prepare", "homeroom", "polars", "inferring", "duckdb"), help="for the benchmark itself"
    )
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
        case "polars" | "inferring":
            polars(chosen.place, inferring=chosen.part == "inferring")
        case "duckdb":
            duckdb_diff(chosen.place)


if __name__ == "__main__":
    _main()

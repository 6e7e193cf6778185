"""(d) Seats: a pool of 10,000 claims is shared out, and a million students are seated.

The peers do the least that each of the two has to do: `sorted` puts the same claims in the same order, and a join of
polars looks up who of those who want a seat holds one. Every step runs once before it is measured, since half of a call
of some milliseconds would be the first touch of code and memory.

`python -m bench.seats` prints a section for `bench/README.md`. Neighbour: `bench.run`, which writes it there.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Final

import polars as pl
from bench.measure import Measured, Stopwatch, in_turns, loads, machine, median, megabytes, ratio, run, table

from homeroom.seats.arbiter import Claim, Pool, arbitrate
from homeroom.seats.assignment import LICENCES_SCHEMA, SEATS_SCHEMA, STUDENT, assign

CLAIMS: Final = 10_000
STUDENTS: Final = 1_000_000
LICENCES: Final = 2_000
ROUNDS: Final = 5
_MOST_MILLISECONDS: Final = 50
_TODAY: Final = date(2026, 10, 1)
_GRACE: Final = timedelta(days=7)


def _claims() -> list[Claim]:
    """Claims in no order, most of which were granted a part of what they request."""
    dice = random.Random(1)
    began = datetime(2026, 8, 1, tzinfo=UTC)
    return [
        Claim(
            namespace=f"tenant-{number % 50}",
            name=f"licence-{number}",
            unit=f"{number:08}",
            requested=dice.randint(1, 200),
            created=began + timedelta(seconds=dice.randint(0, 5_000_000)),
            priority=dice.choice([0, 0, 0, 1]),
            previous=dice.randint(0, 100),
            used=dice.randint(0, 50),
        )
        for number in range(CLAIMS)
    ]


def arbiter() -> None:
    """All claims of one pool, a third of which has to wait; the unit of each is compared with all others."""
    claims = _claims()
    pool = Pool(seats=sum(claim.requested for claim in claims) * 4 // 5, one_per_unit=True)
    watch = Stopwatch()
    arbitrate(pool, claims, today=_TODAY)
    with watch.step("share out"):
        arbitrate(pool, claims, today=_TODAY)
    watch.report()


def ordering() -> None:
    """The peer of `arbiter`."""
    claims = _claims()

    def ordered() -> list[Claim]:
        return sorted(claims, key=lambda claim: (-claim.priority, claim.created, claim.namespace, claim.name))

    watch = Stopwatch()
    ordered()
    with watch.step("sort"):
        ordered()
    watch.report()


def _demand(seed: int) -> pl.DataFrame:
    """Everybody by one licence, one in twenty by another one too; in no order."""
    dice = random.Random(seed)
    number = pl.int_range(STUDENTS, dtype=pl.UInt32, eager=True)
    own = pl.DataFrame({"number": number, "licence": number % LICENCES})
    more = own.sample(STUDENTS // 20, seed=seed).with_columns(
        licence=pl.Series([dice.randrange(LICENCES) for _ in range(STUDENTS // 20)], dtype=pl.UInt32)
    )
    rows = pl.concat([own, more]).unique().sample(fraction=1, shuffle=True, seed=seed)
    return rows.select(
        district=pl.lit("lakeside/lakeside"),
        student=pl.format("u-{}", pl.col("number").cast(pl.String).str.zfill(7)),
        licence=pl.format("lakeside/licence-{}", pl.col("licence").cast(pl.String).str.zfill(5)),
    )


def _licences() -> pl.DataFrame:
    """Grants around what is wanted: some licences are full."""
    names = [f"lakeside/licence-{number:05}" for number in range(LICENCES)]
    grants = [STUDENTS // LICENCES * (95 + number % 15) // 100 for number in range(LICENCES)]
    return pl.DataFrame({"licence": names, "grant": grants, "open": [True] * LICENCES}, schema=LICENCES_SCHEMA)


def assignment() -> None:
    """A first day, a day on which nothing changed, and one on which everybody's second school is another one."""
    demand, licences, nobody = _demand(1), _licences(), pl.DataFrame(schema=SEATS_SCHEMA)
    other = _demand(2)
    watch = Stopwatch()
    assign(licences, demand[:1000], nobody, today=_TODAY, grace=_GRACE)
    with watch.step("first day"):
        seats = assign(licences, demand, nobody, today=_TODAY, grace=_GRACE).seats
    with watch.step("unchanged"):
        assign(licences, demand, seats, today=_TODAY, grace=_GRACE)
    with watch.step("changed"):
        assign(licences, other, seats, today=_TODAY, grace=_GRACE)
    watch.counts = {"seated": seats.height}
    watch.report()


def joining() -> None:
    """The peer of `assignment` on a day without changes."""
    demand = _demand(1)
    seats = demand.unique(STUDENT).with_columns(since=pl.lit(_TODAY))
    watch = Stopwatch()
    with watch.step("join"):
        demand.join(seats, on=STUDENT, how="left")
    watch.report()


_PARTS: Final[dict[str, Callable[[], None]]] = {
    part.__name__: part for part in (arbiter, ordering, assignment, joining)
}


def section(rounds: int) -> str:
    """Measure; the section for the README."""
    runs = in_turns({name: _runner(name) for name in _PARTS}, rounds=rounds)
    shares, sorts, days, joins = runs.values()
    facts = [
        [f"{CLAIMS:,} claims shared out, wall", f"**{median(shares, lambda one: one.wall) * 1000:.0f} ms**"],
        [f"{CLAIMS:,} claims shared out, CPU", f"{median(shares, lambda one: one.cpu) * 1000:.0f} ms"],
        ["CPU / sorting them", f"{ratio(shares, sorts, lambda one: one.cpu):.1f}"],
    ]
    for step in days[0].walls:
        wall, cpu = median(days, _walls(step)), median(days, _cpus(step))
        facts.append([f"{STUDENTS:,} students seated, {step}: wall (CPU)", f"{wall:.2f} s ({cpu:.2f} s)"])
    facts += [
        [
            "CPU when unchanged / joining them",
            f"{ratio(days, joins, lambda one: one.cpus.get('unchanged', one.cpu)):.1f}",
        ],
        ["memory, peak", megabytes(median(days, lambda one: one.peak))],
        ["memory / joining them", f"{ratio(days, joins, lambda one: one.peak):.2f}"],
    ]
    goal = f"Goal: {CLAIMS:,} claims in under {_MOST_MILLISECONDS} ms."
    remarks = f"Medians of {rounds} rounds; {machine('polars')}; one-minute load while measuring: {loads(runs)}."
    return "\n\n".join([goal, table(["measure", "value"], facts), remarks])


def _walls(step: str) -> Callable[[Measured], float]:
    return lambda one: one.walls[step]


def _cpus(step: str) -> Callable[[Measured], float]:
    return lambda one: one.cpus[step]


def _runner(name: str) -> Callable[[], Measured]:
    return lambda: run("seats", "--part", name)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.seats", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--part", choices=_PARTS)
    chosen = parser.parse_args()
    if chosen.part:
        _PARTS[chosen.part]()
    else:
        print(section(chosen.rounds))


if __name__ == "__main__":
    _main()

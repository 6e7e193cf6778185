"""(b) The first sync of some people into a real Kolibri, beside the same HTTP calls without Homeroom.

Homeroom: rules, reading the target, planning, and the executor with its journal, from an accepted snapshot to the last
call. Beside it `raw`: plain aiohttp sends what Homeroom sent to another fresh Kolibri: the same calls in the same order
and number in flight, with Kolibri's new ids in place of the old. Both Kolibris must end up alike. What is to be sent is
recorded in a sync before; then both run at the same time, so that whatever else the machine does slows both alike (one
after the other they may differ by half on a busy one, for no reason of their own).

`python -m bench.first_sync` prints a section for `bench/README.md`. Neighbour: `bench.run`, which writes it there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import aiohttp
import polars as pl
from bench.measure import Measured, Stopwatch, loads, machine, median, megabytes, ratio, run, run_together, table, tell

from homeroom.api import Removal, Share, Template
from homeroom.api.district import HomeroomDefinition
from homeroom.demo.district import generate
from homeroom.demo.kolibri import Kolibri, installed
from homeroom.demo.server import default_cache
from homeroom.operator.runtime import SystemClock
from homeroom.plan import Kind
from homeroom.reconcile.decide import recognisable
from homeroom.reconcile.executor import Executor
from homeroom.roster.desired import desired
from homeroom.roster.diff import diff
from homeroom.roster.shared import Rule, share
from homeroom.roster.state import Known
from homeroom.sources import load, write
from homeroom.sources.oneroster import read_export
from homeroom.sources.package import Limits
from homeroom.store import Store
from homeroom.targets.kolibri import KolibriTarget

SIZES: Final = (1_000, 3_000)
LEAST_RATE: Final = 0.9  # of the raw rate
_TODAY: Final = date(2026, 10, 1)
_RULES: Final = (
    Rule(name="homerooms", share=Template.HOMEROOM_SECTIONS, share_everything=True),
    Rule(name="staff", share=Share.STAFF, share_everything=True),
)
_STAFF: Final = 20  # for so many students there is one more person: a teacher or somebody else of the staff
_CREDENTIALS: Final = {
    "username": Kolibri.username,
    "password": Kolibri.password,
    "markKey": "a-key-for-a-benchmark-and-nothing-else",
}
_KOLIBRI_ID: Final = re.compile(r"\b[0-9a-f]{32}\b")


# ---------------------------------------------------------------------------------------------------------------------
# Parts, each in a process of its own


def prepare(place: Path, people: int) -> None:
    """Make an export of about so many students and staff, and its snapshot."""
    generate(place / "export", students=people * _STAFF // (_STAFF + 1), seed=1, today=_TODAY)
    write(read_export(place / "export", previous=None, limits=Limits(), scratch=place), place / "snapshots")
    Stopwatch().report()


async def homeroom(place: Path, url: str) -> None:
    """The first sync; leaves the calls in `calls.json`."""
    (accepted,) = (path.name for path in (place / "snapshots").iterdir())
    snapshot = load(place / "snapshots", accepted)
    passwords = dict(snapshot.credentials.iter_rows())
    tape = _Tape()
    watch, clock = Stopwatch(), SystemClock()
    target = KolibriTarget(
        url=url, credentials=_CREDENTIALS, owner="benchmark", password=passwords.get, middlewares=[tape.record]
    )
    with tempfile.TemporaryDirectory(dir=place) as directory:
        store = Store.open(f"sqlite:///{directory}/homeroom.db", Path(directory))
        executor = Executor(
            store=store,
            clock=clock,
            namespace="bench",
            app="kolibri",
            run="first",
            generation=1,
            revision="unknown",
            epoch=1,
            count=lambda *_: None,
        )
        with watch.step("sync"):
            async with target:
                shared = share(snapshot.roster, _RULES, homeroom=HomeroomDefinition(), today=_TODAY)
                wanted = desired(snapshot.roster, shared)
                actual = await target.read(recognisable(_nothing_known(), wanted))
                plan = diff(wanted, actual, baseline=None, removal=Removal())
                applied = await executor.apply(plan, target, interrupted=lambda: None, progress=_silent)
        store.close()
    if applied.failed or applied.undone.height:
        raise AssertionError(f"the first sync failed: {applied.errors}, {applied.stopped}")
    kinds = Counter(dict(plan.changes.group_by("kind").len().iter_rows()))
    watch.counts = {"calls": len(tape.calls), **{kind.value: kinds[kind.value] for kind in Kind}}
    (place / "calls.json").write_text(json.dumps(tape.calls))
    watch.report()


async def _silent(_message: str) -> None:
    """Nobody looks."""


def _nothing_known() -> Known:
    classes = pl.DataFrame(schema={"school": pl.String, "key": pl.String})
    return Known(schools=[], classes=classes, usernames=classes.with_columns(username=pl.lit(None, dtype=pl.String)))


class _Tape:
    """Records the calls of a session. `phase` counts the times when none was in flight: what a call may build on."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self._in_flight = 0
        self._phase = 0

    async def record(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """A middleware of the client."""
        if self._in_flight == 0:
            self._phase += 1
        body = request.body
        call: dict[str, Any] = {
            "phase": self._phase,
            "in_flight": self._in_flight + 1,
            "method": request.method,
            "path": request.url.raw_path_qs,
            "body": (await body.as_bytes()).decode() if isinstance(body, aiohttp.Payload) and body.size else None,
        }
        self.calls.append(call)
        self._in_flight += 1
        try:
            answer = await handler(request)
            call["status"], call["answer"] = answer.status, (await answer.read()).decode()
        finally:
            self._in_flight -= 1
        return answer


async def raw(place: Path, url: str) -> None:
    """Send the calls in `calls.json`, as fast as they go."""
    calls: list[dict[str, Any]] = json.loads((place / "calls.json").read_text())
    phases: dict[int, list[dict[str, Any]]] = {}
    for call in calls:
        phases.setdefault(call["phase"], []).append(call)
    ids: dict[str, str] = {}
    gate = asyncio.Semaphore(max(call["in_flight"] for call in calls))
    watch = Stopwatch()
    with watch.step("calls"):
        async with aiohttp.ClientSession(url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            for phase in phases.values():
                await asyncio.gather(*(_send(session, gate, call, ids) for call in phase))
    watch.counts = {"calls": len(calls)}
    watch.report()


async def _send(
    session: aiohttp.ClientSession, gate: asyncio.Semaphore, call: dict[str, Any], ids: dict[str, str]
) -> None:
    def now(text: str) -> str:
        return _KOLIBRI_ID.sub(lambda found: ids.get(found[0], found[0]), text)

    headers = {"Accept": "application/json"}
    for cookie in session.cookie_jar:
        if cookie.key == "kolibri_csrftoken":
            headers["X-CSRFToken"] = cookie.value
    body = None
    if call["body"] is not None:
        body, headers["Content-Type"] = now(call["body"]).encode(), "application/json"
    async with gate, session.request(call["method"], now(call["path"]), data=body, headers=headers) as answer:
        text = await answer.text()
    if answer.status != call["status"]:
        raise AssertionError(f"{call['method']} {call['path']} answered {answer.status}, not {call['status']}: {text}")
    if text:
        for old, new in _leaves(json.loads(call["answer"]), json.loads(text)):
            ids.setdefault(old, new)


def _leaves(old: object, new: object) -> Iterator[tuple[str, str]]:
    """Pairs of ids at the same place of two answers; lists are compared in the order of names, ids being random."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old.keys() & new.keys():
            yield from _leaves(old[key], new[key])
    elif isinstance(old, list) and isinstance(new, list):
        for one, other in zip(sorted(old, key=_by_name), sorted(new, key=_by_name), strict=True):
            yield from _leaves(one, other)
    elif isinstance(old, str) and isinstance(new, str) and old != new and _KOLIBRI_ID.fullmatch(old):
        yield old, new


def _by_name(row: object) -> str:
    return str(row.get("username") or row.get("name") or "") if isinstance(row, dict) else ""


# ---------------------------------------------------------------------------------------------------------------------
# The benchmark


def section(sizes: Sequence[int], *, rounds: int) -> str:
    """Measure all sizes; the section for the README."""
    rows, notes, memory = [], [], []
    for people in sizes:
        ours, bare = list[Measured](), list[Measured]()
        with tempfile.TemporaryDirectory(prefix="homeroom-bench-") as directory:
            place = Path(directory)
            tell(f"first sync of {people:,} people: preparing")
            run("first_sync", "--part", "prepare", "--place", place, "--people", str(people))
            for number in range(rounds + 1):
                with (
                    Kolibri(installed(default_cache()), place / f"homeroom-{number}") as ours_at,
                    Kolibri(installed(default_cache()), place / f"raw-{number}") as raw_at,
                ):
                    sync: list[str | Path] = ["--part", "homeroom", "--place", place, "--url", ours_at.url]
                    if number == 0:  # only to record the calls
                        run("first_sync", *sync)
                        continue
                    replay: list[str | Path] = ["--part", "raw", "--place", place, "--url", raw_at.url]
                    one, other = run_together("first_sync", sync, replay)
                    if _held(ours_at) != _held(raw_at) or one.counts["calls"] != other.counts["calls"]:
                        raise AssertionError(f"the two Kolibris differ: {_held(ours_at)}, {_held(raw_at)}")
                ours.append(one)
                bare.append(other)
                tell(f"round {number}: Homeroom {one.wall:.1f} s, raw {other.wall:.1f} s, load {one.load:.1f}")
        counts = ours[0].counts
        rows.append(
            [
                f"{counts[Kind.PERSON.value]:,}",
                f"{counts[Kind.CLASS.value]:,}",
                f"{counts[Kind.MEMBERSHIP.value] + counts[Kind.RIGHT.value]:,}",
                f"{counts['calls']:,}",
                f"{median(ours, _wall):.1f} s",
                f"{median(bare, _wall):.1f} s",
                f"{median(ours, _cpu):.1f} s",
                f"{median(bare, _cpu):.1f} s",
                f"{median(ours, lambda one: one.counts['calls'] / one.wall):.0f}",
                f"{median(bare, lambda one: one.counts['calls'] / one.wall):.0f}",
                f"**{ratio(bare, ours, _wall):.0%}**",
            ]
        )
        memory.append(median(ours, lambda one: one.peak))
        notes.append(f"{people:,}: {loads({'homeroom': ours, 'raw': bare})}")
    measures = ["Homeroom", "raw", "Homeroom's CPU", "raw CPU", "calls/s", "raw calls/s", "rate / raw rate"]
    head = ["people", "classes", "memberships and rights", "calls", *measures]
    remarks = (
        f"Medians of {rounds} rounds; {machine('aiohttp')}, Kolibri on the same machine; Homeroom's peak memory "
        f"{megabytes(max(memory))}. One-minute load while measuring: {'; '.join(notes)}."
    )
    return "\n\n".join([f"Goal: at least {LEAST_RATE:.0%} of the raw rate.", table(head, rows), remarks])


def _held(kolibri: Kolibri) -> dict[str, int]:
    """Rows by table."""
    return {name: len(content) for name, content in kolibri.tables().items()}


def _wall(one: Measured) -> float:
    return one.wall


def _cpu(one: Measured) -> float:
    return one.cpu


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.first_sync", description=__doc__)
    parser.add_argument("--people", default=",".join(map(str, SIZES)), help="sizes, separated by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", choices=("prepare", "homeroom", "raw"), help="for the benchmark itself")
    parser.add_argument("--place", type=Path)
    parser.add_argument("--url")
    chosen = parser.parse_args()
    sizes = [int(size) for size in chosen.people.split(",")]
    match chosen.part:
        case None:
            print(section(sizes, rounds=chosen.rounds))
        case "prepare":
            prepare(chosen.place, sizes[0])
        case "homeroom":
            asyncio.run(homeroom(chosen.place, chosen.url))
        case "raw":
            asyncio.run(raw(chosen.place, chosen.url))


if __name__ == "__main__":
    _main()

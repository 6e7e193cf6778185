"""What all benchmarks share: a measured part in a process of its own, repeated in turns, and the machine it ran on.

A part is a function of a benchmark's module that is run as `python -m bench.<module> --part ...` and prints one JSON
object: the seconds of each of its steps, and what else it counted. Start-up and imports are not measured. Peak memory
is that of the process. Parts that are compared take turns, so that a busy machine is unfair to all of them alike.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil

REPOSITORY: Final = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run of a part. `walls`, `cpus`: seconds by step, on the clock and of processor time; `peak`: bytes.

    `load`: how many processes wanted a core in the last minute, ours included. `counts`: what the part counted.
    """

    walls: Mapping[str, float]
    cpus: Mapping[str, float]
    peak: int
    load: float
    counts: Mapping[str, int]

    @property
    def wall(self) -> float:
        """Seconds of all steps."""
        return sum(self.walls.values())

    @property
    def cpu(self) -> float:
        """Processor seconds of all steps."""
        return sum(self.cpus.values())


@dataclass(slots=True, kw_only=True)
class Stopwatch:
    """Used inside a part: times steps, then prints what `run` reads."""

    walls: dict[str, float] = field(default_factory=dict)
    cpus: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what happens within."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.walls[name] = time.perf_counter() - wall
        self.cpus[name] = time.process_time() - cpu

    def report(self) -> None:
        """Print the measurements; the last line of the process."""
        values = {"walls": self.walls, "cpus": self.cpus, "counts": self.counts}
        print(json.dumps({**values, "peak": peak_memory(), "load": os.getloadavg()[0]}))


def peak_memory(pid: int | None = None) -> int:
    """The most memory in bytes that a process has had in use (None: this one, wherever it runs)."""
    status = Path(f"/proc/{pid or 'self'}/status")
    if status.exists():  # getrusage would count what the parent had in use when it started us
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    if pid is not None:
        return int(psutil.Process(pid).memory_info().rss)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def run(module: str, *arguments: str | Path) -> Measured:
    """Run a part to its end. Its stderr passes through; raises CalledProcessError when it fails."""
    (measured,) = run_together(module, arguments)
    return measured


def run_together(module: str, *parts: Sequence[str | Path]) -> list[Measured]:
    """Run parts at the same time, as `run` does one."""
    with contextlib.ExitStack() as stack:
        started = []
        for arguments in parts:
            command = [sys.executable, "-m", f"bench.{module}", *map(str, arguments)]
            part = stack.enter_context(subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True))
            stack.callback(part.kill)
            started.append(part)
        told = [part.communicate()[0] for part in started]
    for part in started:
        if part.returncode:
            raise subprocess.CalledProcessError(part.returncode, part.args)
    return [Measured(**json.loads(text.splitlines()[-1])) for text in told]


def in_turns(parts: Mapping[str, Callable[[], Measured]], *, rounds: int) -> dict[str, list[Measured]]:
    """Run every part once per round; the runs by part."""
    runs: dict[str, list[Measured]] = {name: [] for name in parts}
    for number in range(rounds):
        for name, part in parts.items():
            runs[name].append(part())
            last = runs[name][-1]
            tell(f"round {number + 1}, {name}: {last.wall:.2f} s, {megabytes(last.peak)}, load {last.load:.1f}")
    return runs


def ratio(ours: Sequence[Measured], theirs: Sequence[Measured], value: Callable[[Measured], float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(value(one) / value(other) for one, other in zip(ours, theirs, strict=True))


def median(runs: Sequence[Measured], value: Callable[[Measured], float]) -> float:
    """The median of a value."""
    return statistics.median(map(value, runs))


def loads(runs: Mapping[str, Sequence[Measured]]) -> str:
    """The range of loads under which parts ran."""
    seen = [one.load for some in runs.values() for one in some]
    return f"{min(seen):.1f} to {max(seen):.1f}"


def megabytes(size: float) -> str:
    """Bytes as people read them."""
    return f"{size / 1e6:,.0f} MB"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine(*packages: str) -> str:
    """What it ran on: cores, memory, versions."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    memory = psutil.virtual_memory().total / 1e9
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    processor = models[0] if models else platform.machine()
    return f"{os.cpu_count()} cores ({processor}), {memory:.0f} GB, Python {platform.python_version()}, {versions}"


def tell(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)

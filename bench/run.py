"""`make bench`: run the benchmarks one after another and write their tables into `bench/README.md`.

Each benchmark is a module beside this one that prints its section; it runs in a process of its own. A run with other
sizes than the usual ones is printed and not written.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_REPOSITORY: Final = Path(__file__).parents[1]
_README: Final = Path(__file__).with_name("README.md")
_MODULES: Final = {
    "records": "records",
    "kolibri": "first_sync",
    "operator": "many_rules",
    "seats": "seats",
    "licences": "licences",
    "matrix": "matrix",
    "continuous": "continuous",
}


def main() -> None:
    """Run what was chosen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=_MODULES, help="one benchmark instead of all")
    parser.add_argument("--students", help="sizes of `records`, separated by commas")
    parser.add_argument("--people", help="sizes of `kolibri`, separated by commas")
    parser.add_argument("--rules", help="sharing rules of `operator`")
    parser.add_argument("--licences", help="licences of `licences`")
    parser.add_argument("--rooms", help="rooms of `matrix`")
    parser.add_argument("--edits", help="edits of `continuous`")
    parser.add_argument("--rounds", help="how often all but `operator`, `matrix` and `continuous` are measured")
    chosen = parser.parse_args()
    sizes = {"records": ("students", chosen.students), "kolibri": ("people", chosen.people)}
    sizes |= {"operator": ("rules", chosen.rules), "seats": ("", None), "licences": ("licences", chosen.licences)}
    sizes |= {"matrix": ("rooms", chosen.rooms), "continuous": ("edits", chosen.edits)}
    for name, module in _MODULES.items():
        if chosen.only not in {None, name}:
            continue
        option, size = sizes[name]
        arguments = [] if size is None else [f"--{option}", size]
        if chosen.rounds is not None and name not in {"operator", "matrix", "continuous"}:
            arguments += ["--rounds", chosen.rounds]
        command = [sys.executable, "-m", f"bench.{module}", *arguments]
        section = subprocess.run(command, cwd=_REPOSITORY, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        print(section, flush=True)
        if size is None:
            _write(name, f"{section}\n\nMeasured on {datetime.now(UTC):%Y-%m-%d}.")


def _write(name: str, section: str) -> None:
    """Replace the section between the marks of a benchmark."""
    begin, end = f"<!-- {name}: written by make bench -->\n", f"<!-- {name}: end -->"
    head, _, rest = _README.read_text().partition(begin)
    _, found, tail = rest.partition(end)
    if not found:
        sys.exit(f"{_README} lacks the lines `{begin.strip()}` and `{end}`: restore them")
    _README.write_text(f"{head}{begin}\n{section}\n\n{end}{tail}")


if __name__ == "__main__":
    main()

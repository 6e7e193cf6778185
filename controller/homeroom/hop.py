"""What trying out one step towards the outside tells; sources and targets answer `check` with these."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One step on the way: its name ("name resolution", "log-in"), `ok`, and in plain words what was seen and to do."""

    name: str
    ok: bool
    words: str

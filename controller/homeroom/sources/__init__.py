"""Where school records come from, and what a reading of them is; and the register of school units (`skolverket`).

`base` has the protocol and the values, `oneroster_csv` the one kind there is so far, `snapshots` keeps readings, and
`remembered` what they made of each line.
`links` reads the file of `spec.identity.linksFrom`, `location` is where a file lies.
A OneRoster export passes `download` (or lies on disk), `package` (which files), `text` (are the rows whole), `layout`
(which columns and words), `oneroster` (values and what is wrong), then `homeroom.roster.accept`.
Neighbours: `homeroom.roster` below decides about records, `homeroom.reconcile` above runs this.
"""

from homeroom.sources.base import (
    CREDENTIALS,
    ExportIncompleteError,
    ExportInvalidError,
    Fetched,
    Snapshot,
    Source,
)
from homeroom.sources.links import fetch_links, read_links
from homeroom.sources.remembered import NO_LINES, Lines
from homeroom.sources.snapshots import load, load_lines, scan, write

__all__ = [
    "CREDENTIALS",
    "NO_LINES",
    "ExportIncompleteError",
    "ExportInvalidError",
    "Fetched",
    "Lines",
    "Snapshot",
    "Source",
    "fetch_links",
    "load",
    "load_lines",
    "read_links",
    "scan",
    "write",
]

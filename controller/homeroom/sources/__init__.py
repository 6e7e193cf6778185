"""Where school records come from, and what a reading of them is; and the register of school units (`skolverket`).

`base` has the protocol and the values, `oneroster_csv` the one kind there is so far, `snapshots` keeps readings.
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
from homeroom.sources.snapshots import load, scan, write

__all__ = [
    "CREDENTIALS",
    "ExportIncompleteError",
    "ExportInvalidError",
    "Fetched",
    "Snapshot",
    "Source",
    "fetch_links",
    "load",
    "read_links",
    "scan",
    "write",
]

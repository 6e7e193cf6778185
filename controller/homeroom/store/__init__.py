"""What Homeroom remembers: one SQL database and a directory of Parquet files.

`schema` has the tables, `revision` makes them or lets `migrations` (Alembic) bring older ones up to date, `store` is
the door for everybody else, `forgetting` what it does when somebody is to be forgotten, `backup` its records as one
file. What can be read again from the targets' marks is derived (ledger, baseline), the journal is a record. All calls
block: the loop hands them to a thread. Nothing is decided here.
"""

from homeroom.store.backup import BackupError, Manifest
from homeroom.store.forgetting import StillThereError
from homeroom.store.licences import CONNECTIONS_SCHEMA, DELIVERIES_SCHEMA, KEYS_SCHEMA, LicenceName, Licences
from homeroom.store.revision import RevisionError
from homeroom.store.store import (
    GRANTS_SCHEMA,
    Accepted,
    Door,
    Forgotten,
    JournalQuery,
    LostLeadershipError,
    Origin,
    Passed,
    RunRow,
    Seated,
    Seating,
    Store,
    StoredBaseline,
)

__all__ = [
    "CONNECTIONS_SCHEMA",
    "DELIVERIES_SCHEMA",
    "GRANTS_SCHEMA",
    "KEYS_SCHEMA",
    "Accepted",
    "BackupError",
    "Door",
    "Forgotten",
    "JournalQuery",
    "LicenceName",
    "Licences",
    "LostLeadershipError",
    "Manifest",
    "Origin",
    "Passed",
    "RevisionError",
    "RunRow",
    "Seated",
    "Seating",
    "StillThereError",
    "Store",
    "StoredBaseline",
]

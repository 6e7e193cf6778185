"""What Homeroom remembers: one SQL database and a directory of Parquet files.

`schema` has the tables, `revision` makes them or lets `migrations` (Alembic) bring older ones up to date, `store` is
the door for everybody else. What can be read again from the targets' marks is derived (ledger, baseline), the journal
is a record. All calls block: the loop hands them to a thread. Nothing is decided here.
"""

from homeroom.store.revision import RevisionError
from homeroom.store.store import Accepted, JournalQuery, LostLeadershipError, RunRow, Store, StoredBaseline

__all__ = ["Accepted", "JournalQuery", "LostLeadershipError", "RevisionError", "RunRow", "Store", "StoredBaseline"]

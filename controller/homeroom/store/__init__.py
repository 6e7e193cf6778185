"""What Homeroom remembers: one SQL database and a directory of Parquet files.

`schema` has the tables, `migrations` (Alembic) bring a database to them, `store` is the door for everybody else. What
can be read again from the targets' marks is derived (ledger, baseline), the journal is a record. All calls block: the
loop hands them to a thread. Nothing is decided here.
"""

from homeroom.store.store import Accepted, JournalQuery, LostLeadershipError, RunRow, Store, StoredBaseline

__all__ = ["Accepted", "JournalQuery", "LostLeadershipError", "RunRow", "Store", "StoredBaseline"]

"""What Homeroom remembers: one SQL database and a directory of Parquet files.

`schema` has the tables, `revision` makes them or lets `migrations` (Alembic) bring older ones up to date, `store` is
the door for everybody else, `forgetting` what it does when somebody is to be forgotten, `backup` its records as one
file; `licences` has keys and connections, `links` whose chat account is whose, `joins` who came into an extra chat by
its link, `lessons` remote lessons and their calls, `chats` what had a reason in chats,
`web` what the web service tells and keeps, `supplements` what stands beside a source, `use` how seats are used;
`transactions` is how they write. What can be read again from the targets' marks is derived (ledger, baseline), the
journal is a record. All calls block: the loop hands them to a thread.
Nothing is decided here.
"""

from homeroom.store.backup import BackupError, Manifest
from homeroom.store.chats import (
    ROOMS,
    Chats,
    StoredChats,
    chat_of,
    journal_name,
    journal_of,
    policy_name,
    rules_without,
)
from homeroom.store.forgetting import StillThereError
from homeroom.store.joins import JOINS, JoinLink, Joins
from homeroom.store.lessons import GIVEN_SCHEMA, LESSONS_SCHEMA, Call, Lessons
from homeroom.store.licences import CONNECTIONS_SCHEMA, DELIVERIES_SCHEMA, KEYS_SCHEMA, LicenceName, Licences
from homeroom.store.links import PLACES_SCHEMA, POLICIES_SCHEMA, Answer, Asked, Links, Token, Visit
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
from homeroom.store.supplements import StoredSupplement
from homeroom.store.use import DAYS_SCHEMA, LICENCE_DAYS_SCHEMA, Day, Use
from homeroom.store.web import DISTRICTS_SCHEMA, LICENCE_SCHEMA, Purpose, Ticket, Web

__all__ = [
    "CONNECTIONS_SCHEMA",
    "DAYS_SCHEMA",
    "DELIVERIES_SCHEMA",
    "DISTRICTS_SCHEMA",
    "GIVEN_SCHEMA",
    "GRANTS_SCHEMA",
    "JOINS",
    "KEYS_SCHEMA",
    "LESSONS_SCHEMA",
    "LICENCE_DAYS_SCHEMA",
    "LICENCE_SCHEMA",
    "PLACES_SCHEMA",
    "POLICIES_SCHEMA",
    "ROOMS",
    "Accepted",
    "Answer",
    "Asked",
    "BackupError",
    "Call",
    "Chats",
    "Day",
    "Door",
    "Forgotten",
    "JoinLink",
    "Joins",
    "JournalQuery",
    "Lessons",
    "LicenceName",
    "Licences",
    "Links",
    "LostLeadershipError",
    "Manifest",
    "Origin",
    "Passed",
    "Purpose",
    "RevisionError",
    "RunRow",
    "Seated",
    "Seating",
    "StillThereError",
    "Store",
    "StoredBaseline",
    "StoredChats",
    "StoredSupplement",
    "Ticket",
    "Token",
    "Use",
    "Visit",
    "Web",
    "chat_of",
    "journal_name",
    "journal_of",
    "policy_name",
    "rules_without",
]

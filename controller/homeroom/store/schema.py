"""The tables. Changing one means a new file in `migrations/versions`; a test compares both.

Every row belongs to a tenant (`namespace`) and a resource by name, never by uid: a rebuilt cluster finds its own rows.
Times are UTC without a zone (SQLite has none).
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

NAME = sa.String(253)
SOURCE_ID = sa.String(512)
ACCOUNT = sa.String(255)

leader = sa.Table(
    "leader",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    comment="one row: the highest epoch of the Lease that has written here; older ones may not write any more",
)

accepted = sa.Table(
    "accepted",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("district", NAME, primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("accepted_at", sa.DateTime, nullable=False),
    sa.Column("validator", sa.Text),
    sa.Column("spec_digest", sa.String(64), nullable=False),
    sa.Column("served", sa.String(64)),
    sa.Column("source", sa.String(64)),
    comment="the accepted snapshot of each district, and how to ask its source whether anything changed",
)

supplement = sa.Table(
    "supplement",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("district", NAME, primary_key=True),
    sa.Column("name", sa.String(63), primary_key=True),
    sa.Column("spec_digest", sa.String(64), nullable=False),
    sa.Column("validator", sa.Text),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("accepted_at", sa.DateTime, nullable=False),
    sa.Column("rows", sa.LargeBinary, nullable=False),
    sa.Column("findings", sa.LargeBinary, nullable=False),
    sa.Column("last", sa.LargeBinary, nullable=False),
    comment="supplements of a district (homeroom.store.StoredSupplement): what counts of each, as Parquet",
)

door = sa.Table(
    "door",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("district", NAME, primary_key=True),
    sa.Column("recent", sa.LargeBinary, nullable=False),
    sa.Column("released", sa.LargeBinary, nullable=False),
    comment="what the source door of a district let pass (homeroom.store.Passed), as Parquet",
)

section = sa.Table(
    "section",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("district", NAME, primary_key=True),
    sa.Column("pins", sa.LargeBinary, nullable=False),
    comment="which class each section of a district is in each school year (homeroom.roster.years.PINS), as Parquet",
)

baseline = sa.Table(
    "baseline",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("app", NAME, primary_key=True),
    sa.Column("files", sa.String(64), nullable=False),
    sa.Column("rules", sa.Text, nullable=False),
    sa.Column("sharing", sa.String(64), nullable=False),
    sa.Column("first", sa.Boolean, nullable=False),
    sa.Column("removal", sa.Text, nullable=False, server_default=""),
    comment="what had a reason to be in the target when a plan was last applied (homeroom.roster.diff.Baseline)",
)

chat_baseline = sa.Table(
    "chat_baseline",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("policy", NAME, primary_key=True),
    sa.Column("files", sa.String(64), nullable=False),
    sa.Column("rules", sa.Text, nullable=False),
    sa.Column("first", sa.Boolean, nullable=False),
    comment="what had a reason in the chats of a policy when a plan was last applied (homeroom.store.StoredChats)",
)

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("app", NAME, primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("school", SOURCE_ID, primary_key=True),
    sa.Column("key", SOURCE_ID, primary_key=True),
    sa.Column("external_id", sa.Text),
    sa.Column("username", sa.Text),
    comment="what we made in the outside world; user names in it are reserved for ever",
)

journal = sa.Table(
    "journal",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("batch", sa.String(64), nullable=False),
    sa.Column("at", sa.DateTime, nullable=False),
    sa.Column("namespace", NAME, nullable=False),
    sa.Column("app", NAME, nullable=False),
    sa.Column("op", sa.String(16), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("school", SOURCE_ID, nullable=False),
    sa.Column("key", SOURCE_ID, nullable=False),
    sa.Column("class_key", SOURCE_ID),
    sa.Column("role", sa.String(16)),
    sa.Column("cause", sa.String(32), nullable=False),
    sa.Column("result", sa.String(16), nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("hold", sa.String(16)),
    sa.Index(None, "namespace", "app", "key"),
    sa.Index(None, "namespace", "app", "at"),
    sa.Index(None, "batch"),
    comment="every change that was tried, with its cause and what became of it",
)

batch = sa.Table(
    "batch",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("run", sa.String(64), nullable=False),
    sa.Column("namespace", NAME, nullable=False),
    sa.Column("app", NAME, nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.String(256), nullable=False),
    sa.Column("plan", sa.String(64), nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("intended_at", sa.DateTime, nullable=False),
    sa.Column("concluded_at", sa.DateTime),
    sa.Index(None, "namespace", "app"),
    comment="the intent before a batch is written outside, and when its outcome was known (null: died between)",
)

hold = sa.Table(
    "hold",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("kind", sa.String(32), primary_key=True),
    sa.Column("name", NAME, primary_key=True),
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("guard", sa.String(32), nullable=False),
    sa.Column("scope", sa.String(16), nullable=False),
    sa.Column("place", SOURCE_ID, nullable=False),
    sa.Column("since", sa.DateTime, nullable=False),
    sa.Column("published", sa.DateTime, nullable=False),
    sa.Column("rows", sa.LargeBinary, nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("approval", NAME),
    sa.Column("approved_at", sa.DateTime),
    sa.Column("struck", sa.Integer, nullable=False),
    sa.Column("successor", sa.String(16)),
    sa.Column("context", sa.Text, nullable=False),
    comment="changes that a guard stopped (homeroom.plan.hold.Hold), as Parquet; used ones stay, so that none is "
    "used twice",
)

run = sa.Table(
    "run",
    metadata,
    sa.Column("kind", sa.String(32), primary_key=True),
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("name", NAME, primary_key=True),
    sa.Column("started_at", sa.DateTime, nullable=False),
    sa.Column("ended_at", sa.DateTime, nullable=False),
    sa.Column("next_at", sa.DateTime),
    sa.Column("read_at", sa.DateTime),
    sa.Column("reason", sa.String(64), nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("summary", sa.Text, nullable=False),
    sa.Column("schools", sa.Text, nullable=False),
    sa.Column("told_at", sa.DateTime),
    sa.Column("supplements", sa.Text, nullable=False, server_default="{}"),
    comment="one row per root, overwritten by each run: the moving times that `homeroom status` shows",
)

pool = sa.Table(
    "pool",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("name", NAME, primary_key=True),
    sa.Column("grants", sa.LargeBinary, nullable=False),
    sa.Column("seats", sa.LargeBinary, nullable=False),
    sa.Column("records", sa.Text, nullable=False),
    sa.Column("noticed", sa.LargeBinary),
    sa.Column("reclaimed", sa.LargeBinary),
    sa.Column("teachers", sa.LargeBinary),
    sa.Column("revoked", sa.LargeBinary),
    comment="what a pool granted to its licences, and who holds its seats (homeroom.store.Seating), as Parquet",
)

activity = sa.Table(
    "activity",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("app", NAME, primary_key=True),
    sa.Column("logins", sa.LargeBinary, nullable=False),
    comment="the days on which people last used an app (homeroom.seats.usage.LOGINS_SCHEMA), as Parquet",
)

pool_day = sa.Table(
    "pool_day",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("pool", NAME, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("capacity", sa.Integer, nullable=False),
    sa.Column("granted", sa.Integer, nullable=False),
    sa.Column("used", sa.Integer, nullable=False),
    sa.Column("demand", sa.Integer, nullable=False),
    sa.Column("active", sa.Integer),
    sa.Column("licences", sa.LargeBinary, nullable=False),
    comment="how a pool was used on each day (homeroom.store.use); `licences`: the same of each, as Parquet",
)

licence_key = sa.Table(
    "licence_key",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("namespace", NAME, nullable=False),
    sa.Column("licence", NAME, nullable=False),
    sa.Column("made_at", sa.DateTime, nullable=False),
    sa.Column("revoked_at", sa.DateTime),
    sa.Column("found", sa.Boolean, nullable=False),
    sa.Index(None, "namespace", "licence"),
    comment="SHA-256 of every key that a licence ever had, so that none is used twice; the key itself is in a Secret",
)

connection = sa.Table(
    "connection",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("namespace", NAME, nullable=False),
    sa.Column("licence", NAME, nullable=False),
    sa.Column("district", NAME, nullable=False),
    sa.Column("teacher", SOURCE_ID, nullable=False),
    sa.Column("connected_at", sa.DateTime, nullable=False),
    sa.Column("how", sa.String(16), nullable=False),
    sa.Column("ended_at", sa.DateTime),
    sa.Column("ended", sa.String(16)),
    sa.Column("ended_by", SOURCE_ID),
    sa.Index(None, "namespace", "licence"),
    sa.Index(None, "namespace", "district", "teacher"),
    comment="teachers (source ids of a district of the namespace) connected to a licence; `ended`: why no more",
)

delivery = sa.Table(
    "delivery",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("namespace", NAME, nullable=False),
    sa.Column("licence", NAME, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("how", sa.String(16), nullable=False),
    sa.Column("at", sa.DateTime, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Index(None, "namespace", "licence", "digest", "address"),
    comment="mails with a licence's key (`digest`); `address`: keyed SHA-256 of whom to, readable by nobody",
)

licence = sa.Table(
    "licence",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("licence", NAME, primary_key=True),
    sa.Column("pool_namespace", NAME, nullable=False),
    sa.Column("pool", NAME, nullable=False),
    sa.Column("district", NAME, nullable=False),
    sa.Column("school", SOURCE_ID, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("granted", sa.Integer, nullable=False),
    sa.Column("used", sa.Integer, nullable=False),
    sa.Column("waiting", sa.Integer, nullable=False),
    sa.Index(None, "pool_namespace", "pool"),
    comment="what the web service tells of a licence, as of the last run of its pool that changed something of it",
)

ticket = sa.Table(
    "ticket",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("purpose", sa.String(16), nullable=False),
    sa.Column("namespace", NAME, nullable=False),
    sa.Column("district", NAME, nullable=False),
    sa.Column("teacher", SOURCE_ID, nullable=False),
    sa.Column("key", sa.String(64)),
    sa.Column("expires_at", sa.DateTime, nullable=False),
    sa.Index(None, "expires_at"),
    comment="links mailed to teachers and their sessions, by SHA-256 of the random word in link or cookie",
)

link = sa.Table(
    "link",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("namespace", NAME, nullable=False),
    sa.Column("platform", NAME, nullable=False),
    sa.Column("district", NAME, nullable=False),
    sa.Column("person", SOURCE_ID, nullable=False),
    sa.Column("account", ACCOUNT, nullable=False),
    sa.Column("how", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("at", sa.DateTime, nullable=False),
    sa.Column("news", sa.Boolean, nullable=False),
    sa.Index("ix_link_pair", "namespace", "platform", "district", "person", "account", unique=True),
    comment="which account of a chat platform is whose (source id); `news`: no run has been told of it yet",
)
sa.Index(
    "ix_link_holder",
    *(link.c[name] for name in ("namespace", "platform", "district", "account")),
    unique=True,
    sqlite_where=link.c.state == "Linked",
    postgresql_where=link.c.state == "Linked",
)
# As the queries have it, or SQLite would not take it: booleans are numbers there.
sa.Index(
    "ix_link_news", link.c.namespace, link.c.platform, sqlite_where=sa.text("news = 1"), postgresql_where=link.c.news
)

link_code = sa.Table(
    "link_code",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("namespace", NAME, nullable=False),
    sa.Column("platform", NAME, nullable=False),
    sa.Column("district", NAME, nullable=False),
    sa.Column("person", SOURCE_ID, nullable=False),
    sa.Column("expires_at", sa.DateTime, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("accounts", sa.Integer, nullable=False, server_default="0"),  # how often its bearer was let make one
    sa.Index("ix_link_code_person", "namespace", "platform", "district", "person", unique=True),
    comment="personal codes in letters, one per person, by SHA-256; `state`: printed, or what became of the mail",
)

link_proof = sa.Table(
    "link_proof",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("namespace", NAME, nullable=False),
    sa.Column("platform", NAME, nullable=False),
    sa.Column("district", NAME, nullable=False),
    sa.Column("person", SOURCE_ID),
    sa.Column("code", sa.String(64)),
    sa.Column("account", ACCOUNT),
    sa.Column("language", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("number", sa.String(64)),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("expires_at", sa.DateTime, nullable=False),
    sa.Index(None, "expires_at"),
    sa.Index(None, "state"),
    comment="visits to the pages on chats, by SHA-256 of the random word in the cookie: who has proven what so far",
)

link_place = sa.Table(
    "link_place",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("platform", NAME, primary_key=True),
    sa.Column("district", NAME, primary_key=True),
    sa.Column("server", NAME, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("register", sa.Text),  # where new ones are made
    comment="where people can link accounts, as runs of the platform told; `server`: what its accounts end with",
)

link_token = sa.Table(
    "link_token",
    metadata,
    sa.Column("visit", sa.String(64), primary_key=True),
    sa.Column("namespace", NAME, nullable=False),
    sa.Column("platform", NAME, nullable=False),
    sa.Column("district", NAME, nullable=False),
    sa.Column("person", SOURCE_ID, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("token", sa.String(64)),
    sa.Column("expires_at", sa.DateTime, nullable=False),
    comment="what lets a visitor make one account, while the visit (SHA-256) lasts; it opens nothing of anybody",
)

district_told = sa.Table(
    "district_told",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("platform", NAME, primary_key=True),
    sa.Column("district", NAME, primary_key=True),
    sa.Column("zone", sa.String(64), nullable=False),
    sa.Column("denied", sa.Text, nullable=False),
    comment="what pages have to know of a District, as runs of the platform told; `denied`: source ids as JSON",
)

lesson = sa.Table(
    "lesson",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("district", NAME, primary_key=True),
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("class", SOURCE_ID, nullable=False),
    sa.Column("begins", sa.DateTime, nullable=False),
    sa.Column("ends", sa.DateTime, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("how", sa.String(16), nullable=False),
    sa.Column("feed", SOURCE_ID, nullable=False),
    sa.Column("person", SOURCE_ID),
    sa.Column("noted_at", sa.DateTime, nullable=False),
    sa.Index(None, "namespace", "district", "class"),
    sa.Index(None, "ends"),
    comment="remote lessons of classes (Homeroom's ids); `how`, `feed`: who says so; `person`: who added it",
)

call = sa.Table(
    "call",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("district", NAME, primary_key=True),
    sa.Column("lesson", sa.String(32), primary_key=True),
    sa.Column("class", SOURCE_ID, nullable=False),
    sa.Column("pressed_at", sa.DateTime, nullable=False),
    sa.Column("person", SOURCE_ID),
    sa.Column("word", sa.String(64), nullable=False),
    sa.Column("until", sa.DateTime, nullable=False),
    sa.Index(None, "namespace", "until"),
    comment="the call of a lesson, once somebody (`person`) has started it; `word`: part of its address",
)

call_told = sa.Table(
    "call_told",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("district", NAME, primary_key=True),
    sa.Column("lesson", sa.String(32), primary_key=True),
    sa.Column("platform", NAME, primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("chat", sa.Text),
    sa.Column("url", sa.Text),
    sa.Column("hold", sa.String(16)),
    sa.Column("at", sa.DateTime, nullable=False),
    comment="how far a call is on a chat platform: `chat` and `url`, once those in the chat were told",
)

chat_link = sa.Table(
    "chat_link",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("platform", NAME, primary_key=True),
    sa.Column("district", NAME, primary_key=True),
    sa.Column("chat", NAME, primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("edition", sa.Integer, nullable=False),
    sa.Column("word", sa.String(64), nullable=False),
    sa.Index("ix_chat_link_word", "word", unique=True),
    comment="links by which people come into extra chats; `word`: what stands in it, `edition`: which one it is",
)

chat_join = sa.Table(
    "chat_join",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("platform", NAME, primary_key=True),
    sa.Column("district", NAME, primary_key=True),
    sa.Column("chat", NAME, primary_key=True),
    sa.Column("person", SOURCE_ID, primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("at", sa.DateTime, nullable=False),
    sa.Column("news", sa.Boolean, nullable=False),
    comment="who came into an extra chat by its link (source id); `news`: no run has been told of it yet",
)
sa.Index(
    "ix_chat_join_news",
    chat_join.c.namespace,
    chat_join.c.platform,
    sqlite_where=sa.text("news = 1"),
    postgresql_where=chat_join.c.news,
)

link_policy = sa.Table(
    "link_policy",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("platform", NAME, primary_key=True),
    sa.Column("district", NAME, primary_key=True),
    sa.Column("policy", NAME, primary_key=True),
    sa.Column("suspended", sa.Boolean, nullable=False),
    comment="the policies whose chats are of a place, as runs of the platform told",
)

origin = sa.Table(
    "origin",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("app", NAME, primary_key=True),
    sa.Column("resources", sa.Text, nullable=False),
    sa.Column("revision", sa.String(256), nullable=False),
    sa.Column("seen_at", sa.DateTime, nullable=False),
    comment="the resources that an app consists of, and the Git revision they had when first seen as they are",
)

withdrawn = sa.Table(
    "withdrawn",
    metadata,
    sa.Column("namespace", NAME, primary_key=True),
    sa.Column("app", NAME, primary_key=True),
    sa.Column("hash", sa.String(64), primary_key=True),
    comment="user names of people who were forgotten, as keyed hashes: reserved for ever, too",
)

erasure = sa.Table(
    "erasure",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("at", sa.DateTime, nullable=False),
    sa.Column("namespace", NAME, nullable=False),
    sa.Column("district", NAME, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("changes", sa.Integer, nullable=False),
    sa.Column("accounts", sa.Integer, nullable=False),
    comment="that somebody was forgotten, when and why; not who",
)

secret = sa.Table(
    "secret",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.String(64), nullable=False),
    comment="random keys of this store, each made when it is first needed",
)


def naive(moment: datetime) -> datetime:
    """A moment as the tables have it."""
    return moment.astimezone(UTC).replace(tzinfo=None)

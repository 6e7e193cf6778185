"""The door to the database and the Parquet files. Neighbours: `schema` (tables), `homeroom.reconcile` (the callers).

Every write happens in a transaction that first checks the epoch of the Lease, so that an operator that lost its
leadership without noticing cannot write any more (DESIGN.md section 7).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final, Self
from urllib.parse import quote

import polars as pl
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection

from homeroom.chats.person import in_chats
from homeroom.chats.person import without as chats_without
from homeroom.errors import HomeroomError
from homeroom.plan import (
    CHANGE,
    CHANGE_SCHEMA,
    EDITS,
    LEAVING,
    MOMENT,
    PERSONAL,
    RECENT_SCHEMA,
    Change,
    Guard,
    Hold,
    Kind,
    Noted,
    Op,
    Outcome,
    Result,
    Scope,
    State,
)
from homeroom.roster.diff import Baseline
from homeroom.roster.person import in_baseline, without
from homeroom.roster.state import Desired, Known
from homeroom.roster.years import MARK
from homeroom.seats.access import NO_TEACHERS, TEACHERS_SCHEMA, connected_in, withdrawn_in
from homeroom.seats.assignment import SEATS_SCHEMA
from homeroom.seats.revocation import NONE_REVOKED
from homeroom.seats.usage import NOTICED_SCHEMA, RECLAIMED_SCHEMA
from homeroom.store import backup, revision, schema
from homeroom.store.backup import Manifest
from homeroom.store.chats import Chats, StoredChats, journal_name, journal_of, policies_of, rules_without
from homeroom.store.folders import newest, others, remove
from homeroom.store.forgetting import (
    Owners,
    StillThereError,
    accounts_anonymous,
    accounts_of,
    in_journal,
    made_anonymous,
    refuse_held,
    refuse_in_chats,
    refuse_in_use,
    unconnect,
    unseat,
    withdrawn_names,
)
from homeroom.store.frames import packed, read_files, unpacked, write_files
from homeroom.store.joins import Joins, forget_joins
from homeroom.store.lessons import Lessons, forget_lessons
from homeroom.store.licences import Licences
from homeroom.store.links import Links, accounts_linked, forget_links
from homeroom.store.supplements import StoredSupplement, load_supplements, save_supplements
from homeroom.store.transactions import unled
from homeroom.store.use import Use
from homeroom.store.web import Web

_TOLD: Final = ("app", "op", "kind", "school", "key", "class_key", "role", "cause", "hold", "result", "error")
"""Columns of the journal that `history` tells."""

_LEAD: Final = (
    sa.update(schema.leader)
    .where(schema.leader.c.id == 1, schema.leader.c.epoch <= sa.bindparam("mine"))
    .values(epoch=sa.bindparam("mine"))
)
"""How each transaction of who leads begins."""

_BESIDE: Final = ("kept", "unapplied")
"""Frames of a baseline that are none of its desired state."""

_GIVEN: Final = ("grants", "seats", "noticed", "reclaimed", "teachers", "revoked")
"""Frames of `Seating`."""

_SLICE: Final = 50_000
"""Rows of a frame that become objects at a time."""


_AT: Final[dict[str, pl.DataType]] = {"at": MOMENT}


class LostLeadershipError(HomeroomError):
    """Another operator leads: nothing may be written; the process ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The accepted snapshot of a district. `spec_digest`: of the part of the spec that decides how it is read.

    `served`: digest of what is served instead while part of it is held; None: it is served as it is. `source`: digest
    of what the source says by itself; None: it has no supplements, or these add nothing.
    """

    digest: str
    accepted_at: datetime
    validator: str | None
    spec_digest: str
    served: str | None = None
    source: str | None = None

    @property
    def own(self) -> str:
        """Digest of what the source says by itself: what its next reading is compared with."""
        return self.source or self.digest

    @property
    def serving(self) -> str:
        """Digest of the roster that everybody but the next reading sees."""
        return self.served or self.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What the source door of a district let pass, with the moment (`at`) of each row.

    `recent`: columns `homeroom.plan.RECENT_SCHEMA` and `at`. `released`: `homeroom.plan.CHANGE_SCHEMA`, `hold`, `at`:
    what approvals let pass, and apps have to do yet.
    """

    recent: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema={**RECENT_SCHEMA, **_AT}))
    released: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(schema={**CHANGE_SCHEMA, "hold": pl.String(), **_AT})
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What is stored of a source door with what it lets serve: its `holds` as they are now and were `before`.

    `pins`: columns `homeroom.roster.years.PINS`; None: as they were.
    """

    passed: Passed
    holds: Sequence[Hold]
    before: Sequence[Hold]
    pins: pl.DataFrame | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBaseline:
    """A baseline with what it was made of: the rules (canonical JSON) and the digest of what they shared.

    `removal`: the app's `spec.removal` then, as JSON; empty: an older release did not write that down.
    """

    baseline: Baseline
    rules: str
    sharing: str
    removal: str = ""

    def equals(self, other: StoredBaseline) -> bool:
        """Nothing would be written anew by storing the one instead of the other."""
        words = ((one.rules, one.sharing, one.removal) for one in (self, other))
        return next(words) == next(words) and self.baseline.equals(other.baseline)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """How the last run of a root went.

    `read_at`: when its source or target was last read completely. `told_at`: when the target told of the use of its
    accounts, if it did in this very run. `summary`: counts for `homeroom status`. `schools`:
    of a LearningApp, how each school stands in it, as JSON for the School resources. `supplements`: of a District, when
    each was last `tried` and last `read`, as ISO times. No personal data.
    """

    started_at: datetime
    ended_at: datetime
    reason: str
    message: str
    next_at: datetime | None = None
    read_at: datetime | None = None
    told_at: datetime | None = None
    summary: Mapping[str, int] = field(default_factory=dict)
    schools: Mapping[str, object] = field(default_factory=dict)
    supplements: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalQuery:
    """Which rows of the journal to show; None does not narrow."""

    namespace: str
    app: str | None = None
    person: str | None = None
    class_key: str | None = None
    """With the later classes of the same section."""
    school: str | None = None
    run: str | None = None
    cause: str | None = None
    revision: str | None = None
    """Any part of it: who asks has a short commit, Flux writes `main@sha1:` before the long one."""
    since: datetime | None = None
    until: datetime | None = None
    """Exclusive."""
    limit: int | None = 1000


GRANTS_SCHEMA: Final = pl.Schema({"licence": pl.String, "granted": pl.Int64, "missing": pl.Date})
"""What licences (namespace and name) were granted. `missing`: the first day on which there was no such licence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seating:
    """What a pool has given. `grants`: GRANTS_SCHEMA, sorted by licence. `seats`: `homeroom.seats` SEATS_SCHEMA.

    `records`: district (namespace and name) -> digest of the records by which its students were seated. `noticed`,
    `reclaimed`: who does not use a seat, and who lost one for it: `homeroom.seats` NOTICED_SCHEMA, RECLAIMED_SCHEMA.
    `teachers`: `homeroom.seats.access` TEACHERS_SCHEMA; None: an older release did not write that down. `revoked`:
    `homeroom.seats.revocation` REVOKED_SCHEMA.
    """

    grants: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=GRANTS_SCHEMA))
    seats: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=SEATS_SCHEMA))
    records: Mapping[str, str] = field(default_factory=dict)
    noticed: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=NOTICED_SCHEMA))
    reclaimed: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=RECLAIMED_SCHEMA))
    teachers: pl.DataFrame | None = field(default_factory=NO_TEACHERS.clear)
    revoked: pl.DataFrame = field(default_factory=NONE_REVOKED.clear)

    def equals(self, other: Seating) -> bool:
        """Nothing would be written anew by storing the one instead of the other."""
        parts = ("grants", "seats", "noticed", "reclaimed", "revoked")
        same = self._teaches_as(other) and self.records == other.records
        return same and all(getattr(self, one).equals(getattr(other, one)) for one in parts)

    def gives_as(self, other: Seating) -> bool:
        """Whether the same students hold a seat, and the same teachers are connected, by the same records."""
        same = self.seats.equals(other.seats) and self.reclaimed.equals(other.reclaimed)
        return same and self._teaches_as(other) and self.records == other.records

    def _teaches_as(self, other: Seating) -> bool:
        if self.teachers is None or other.teachers is None:
            return self.teachers is other.teachers
        return self.teachers.equals(other.teachers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seated:
    """Who of one district holds a seat of a pool, and whom its licences connect: source ids, sorted.

    `withdrawn`: teachers whom no licence connects any more since one was revoked, or somebody ended the connection.
    `digest`: of the records by which that was decided; None: they were never known, so nobody can say who should.
    `reclaimed`: who holds none any more, as they did not use it.
    """

    students: pl.Series
    teachers: pl.Series
    withdrawn: pl.Series
    digest: str | None
    reclaimed: pl.Series


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The resources that an app consists of, and the Git revision they had when first seen as they are now.

    `resources`: opaque texts, each of which changes with the generation of its resource.
    """

    resources: frozenset[str]
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """What was made anonymous for one person, or taken out.

    `changes` in the journal, `accounts` in the ledger, `baselines` of apps, `snapshots` beside the accepted one.
    """

    changes: int
    accounts: int
    baselines: int
    snapshots: int


class Store:
    """One SQL database and one directory. Thread-safe: each call has a connection of its own."""

    def __init__(self, engine: sa.Engine, directory: Path) -> None:
        self._engine = engine
        self._directory = directory
        self.licences = Licences(engine, self._writing)
        self.web = Web(engine, self._writing)
        self.links = Links(engine, self._writing)
        self.lessons = Lessons(engine, self._writing)
        self.joins = Joins(engine, self._writing)
        self.use = Use(engine, self._writing)
        self.chats = Chats(engine, self._writing, directory)

    @classmethod
    def open(cls, url: str, directory: Path, *, read_only: bool = False, as_it_is: bool = False) -> Self:
        """Connect. `url` is SQLAlchemy's (`sqlite:///...`).

        The operator makes tables and directory, or brings the tables up to date. Everybody else takes the tables
        `as_it_is`, and most only look (`read_only`): then the database itself refuses to write. Raises RevisionError
        when the tables are of another release, and what SQLAlchemy raises.
        """
        as_it_is = as_it_is or read_only
        if not as_it_is:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        engine = _engine(url, read_only=read_only)
        try:
            with engine.begin() as connection:
                (revision.demand if as_it_is else revision.bring_up_to_date)(connection)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, directory)

    @classmethod
    def restored(cls, url: str, directory: Path, backup_file: IO[bytes]) -> Manifest:
        """Fill a store that is not there yet, or empty and of this release, from a back-up, wholly or not at all.

        Raises BackupError, RevisionError, and what SQLAlchemy raises.
        """
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        engine = _engine(url, read_only=False)
        try:
            with engine.begin() as connection:
                if revision.found(connection) is None:
                    revision.bring_up_to_date(connection)
                revision.demand(connection)
                return backup.restore(connection, backup_file)
        finally:
            engine.dispose()

    def backup(self, file: IO[bytes], *, at: datetime) -> Manifest:
        """Write the records into `file` (`homeroom.store.backup`), as they all are at one moment; others go on."""
        with self._engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN")  # Python's driver would begin before the first write only
            else:
                connection.execution_options(isolation_level="REPEATABLE READ")
            return backup.write(connection, file, at=at)

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    def ping(self) -> None:
        """Ask the database for one row, for readiness; raises what SQLAlchemy raises."""
        with self._engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))

    @contextmanager
    def _writing(self, epoch: int) -> Iterator[sa.Connection]:
        with self._engine.begin() as connection:
            if connection.execute(_LEAD, {"mine": epoch}).rowcount != 1:
                raise LostLeadershipError("another operator leads and has written to the store", reason="NotLeader")
            yield connection

    # -- districts ----------------------------------------------------------------------------------------------

    def snapshots(self, *, namespace: str, district: str) -> Path:
        """The directory of a district's snapshots; a snapshot lies below it under its digest."""
        return self._directory / "snapshots" / namespace / district

    def registers(self, *, namespace: str) -> Path:
        """The directory of what registers of school units answered to pools of a namespace; can be read anew."""
        return self._directory / "registers" / namespace

    def accepted(self, *, namespace: str, district: str) -> Accepted | None:
        """The accepted snapshot, if there is one."""
        table = schema.accepted
        columns = [table.c[column.name] for column in fields(Accepted)]
        with self._engine.connect() as connection:
            row = connection.execute(
                sa.select(*columns).where(table.c.namespace == namespace, table.c.district == district)
            ).one_or_none()
        if row is None:
            return None
        return Accepted(
            digest=row.digest,
            accepted_at=row.accepted_at.replace(tzinfo=UTC),
            validator=row.validator,
            spec_digest=row.spec_digest,
            served=row.served,
            source=row.source,
        )

    def supplements(self, *, namespace: str, district: str) -> list[StoredSupplement]:
        """The supplements of a district of which a version counts, by name."""
        with self._engine.connect() as connection:
            return load_supplements(connection, namespace=namespace, district=district)

    def accept(
        self,
        accepted: Accepted,
        door: Door | None = None,
        supplements: Sequence[StoredSupplement] | None = None,
        /,
        *,
        namespace: str,
        district: str,
        epoch: int,
    ) -> None:
        """Make this the accepted snapshot, and drop all but it and the one before, which a run may still be reading.

        In the same transaction what its `door` has to remember and its `supplements` (None: as they were): what is
        served and what is held are never of two readings.
        """
        place = {"namespace": namespace, "district": district}
        old = self.accepted(**place)
        values = {**asdict(accepted), "accepted_at": schema.naive(accepted.accepted_at)}
        with self._writing(epoch) as connection:
            _upsert(connection, schema.accepted, [{**place, **values}])
            if supplements is not None:
                save_supplements(connection, supplements, **place)
            if door is not None:
                rows = _changed_holds(
                    door.holds, before=door.before, namespace=namespace, kind="District", name=district
                )
                _upsert(connection, schema.hold, rows)
                blobs = {"recent": packed(door.passed.recent), "released": packed(door.passed.released)}
                _upsert(connection, schema.door, [{**place, **blobs}])
                if door.pins is not None:
                    _upsert(connection, schema.section, [{**place, "pins": packed(door.pins)}])
        kept = {digest for one in (accepted, old) if one is not None for digest in (one.digest, one.serving, one.own)}
        remove(others(self.snapshots(**place), keep=kept))

    def passed(self, *, namespace: str, district: str) -> Passed:
        """What the source door of a district let pass, as far as it matters still."""
        table = schema.door
        query = sa.select(table).where(table.c.namespace == namespace, table.c.district == district)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return Passed()
        recent, released = unpacked([row.recent, row.released])
        return Passed(recent=recent, released=released)

    def pins(self, *, namespace: str, district: str) -> pl.DataFrame | None:
        """Which class each section is in each school year (columns `homeroom.roster.years.PINS`); None: nobody said."""
        table = schema.section
        query = sa.select(table.c.pins).where(table.c.namespace == namespace, table.c.district == district)
        with self._engine.connect() as connection:
            blob = connection.execute(query).scalar_one_or_none()
        return unpacked([blob])[0] if blob is not None else None

    # -- apps ---------------------------------------------------------------------------------------------------

    def baseline(self, *, namespace: str, app: str) -> StoredBaseline | None:
        """What had a reason when a plan was last applied; None: nothing ever was, or the store was lost.

        Raises TransientError, see `homeroom.store.folders.newest`.
        """

        def row() -> sa.Row[Any] | None:
            with self._engine.connect() as connection:
                return _baseline_row(connection, namespace, app)

        def read(row: sa.Row[Any]) -> StoredBaseline:
            baseline = _read(self._baselines(namespace, app) / row.files, first=row.first)
            return StoredBaseline(baseline=baseline, rules=row.rules, sharing=row.sharing, removal=row.removal)

        return newest(row, read)

    def save_baseline(self, stored: StoredBaseline, *, namespace: str, app: str, epoch: int) -> None:
        """Replace the baseline: files first, then the row that names them, so that a crash leaves the old one."""
        directory = self._baselines(namespace, app)
        name = _write(stored.baseline, directory)
        row = {
            "namespace": namespace,
            "app": app,
            "files": name,
            "rules": stored.rules,
            "sharing": stored.sharing,
            "removal": stored.removal,
            "first": stored.baseline.first,
        }
        with self._writing(epoch) as connection:
            _upsert(connection, schema.baseline, [row])
            # Looked up while nobody else writes, so that what `forget` is writing is not taken for an old one.
            old = others(directory, keep={name})
        remove(old)

    def _baselines(self, namespace: str, app: str) -> Path:
        return self._directory / "baselines" / namespace / app

    def known(self, *, namespace: str, app: str) -> Known:
        """All that this app ever made: for recognising marks, and names that stay reserved."""
        table = schema.ledger
        query = sa.select(table.c.kind, table.c.school, table.c.key, table.c.username).where(
            table.c.namespace == namespace, table.c.app == app
        )
        columns = {"kind": pl.String, "school": pl.String, "key": pl.String, "username": pl.String}
        with self._engine.connect() as connection:
            rows = pl.DataFrame([tuple(row) for row in connection.execute(query)], schema=columns, orient="row")
            withdrawn = withdrawn_names(connection, namespace, app)
        return Known(
            schools=rows.filter(pl.col("kind") == Kind.SCHOOL.value)["key"].to_list(),
            classes=rows.filter(pl.col("kind") == Kind.CLASS.value).select("school", "key"),
            usernames=rows.filter(pl.col("username").is_not_null()).select("school", "key", "username"),
            withdrawn=withdrawn,
        )

    def own(self, rows: pl.DataFrame, *, namespace: str, app: str, epoch: int) -> None:
        """Write down what the target says is ours: columns `homeroom.roster.owned.LEDGER_SCHEMA`."""
        if rows.is_empty():
            return
        with self._writing(epoch) as connection:
            for part in rows.iter_slices(_SLICE):
                owned = [{"namespace": namespace, "app": app, **row} for row in part.iter_rows(named=True)]
                _upsert(connection, schema.ledger, owned, keep_old_where_null=("username",))

    def intend(
        self,
        changes: Sequence[Change],
        *,
        namespace: str,
        app: str,
        run: str,
        generation: int,
        revision: str,
        plan: str,
        at: datetime,
        epoch: int,
    ) -> str:
        """Write down what is about to be done, before it is; returns the id of the batch."""
        batch = uuid.uuid4().hex
        with self._writing(epoch) as connection:
            connection.execute(
                sa.insert(schema.batch).values(
                    id=batch,
                    run=run,
                    namespace=namespace,
                    app=app,
                    generation=generation,
                    revision=revision,
                    plan=plan,
                    size=len(changes),
                    intended_at=schema.naive(at),
                )
            )
        return batch

    def conclude(
        self,
        batch: str,
        changes: Sequence[Change],
        outcomes: Sequence[Outcome],
        *,
        namespace: str,
        app: str,
        at: datetime,
        epoch: int,
    ) -> None:
        """Write down what became of a batch: journal, ledger, and that its outcome is known."""
        when = schema.naive(at)
        journal = [
            {
                "batch": batch,
                "at": when,
                "namespace": namespace,
                "app": app,
                "op": change.op.value,
                "kind": change.kind.value,
                "school": change.school,
                "key": change.key,
                "class_key": change.class_key,
                "role": change.role.value if change.role else None,
                "cause": change.cause.value,
                "hold": change.hold,
                "result": outcome.result.value,
                "error": outcome.error,
            }
            for change, outcome in zip(changes, outcomes, strict=True)
        ]
        owned = [
            {
                "namespace": namespace,
                "app": app,
                "kind": change.kind.value,
                "school": change.school,
                "key": change.key,
                "external_id": outcome.external_id,
                "username": outcome.username,
            }
            for change, outcome in zip(changes, outcomes, strict=True)
            if change.kind in (Kind.SCHOOL, Kind.PERSON, Kind.CLASS, Kind.CHAT)
            and outcome.result is Result.APPLIED
            and outcome.external_id is not None
        ]
        with self._writing(epoch) as connection:
            connection.execute(sa.insert(schema.journal), journal)
            _upsert(connection, schema.ledger, owned, keep_old_where_null=("username",))
            connection.execute(sa.update(schema.batch).where(schema.batch.c.id == batch).values(concluded_at=when))

    def history(self, query: JournalQuery) -> pl.DataFrame:
        """The journal, newest first: when and by which commit (`batch`), what and why (`journal`); see `schema`."""
        journal = schema.journal
        statement = sa.select(*_JOURNAL).join(schema.batch, schema.batch.c.id == journal.c.batch)
        return self._entries(statement.where(*_fitting(query)).order_by(journal.c.id.desc()).limit(query.limit))

    def counted(self, *, namespace: str, runs: int) -> pl.DataFrame:
        """What the newest `runs` did, newest first.

        Columns: at (of the first change), run, app, generation, revision, created, adopted, restored, updated, removed
        (or archived, or suspended), failed; the last are all that was tried in vain.
        """
        journal, batch = schema.journal, schema.batch
        done = journal.c.result == Result.APPLIED.value

        def number(wanted: sa.ColumnElement[bool]) -> sa.Function[int]:
            return sa.func.sum(sa.case((wanted, 1), else_=0))

        newest = (
            sa.select(batch.c.run)
            .where(batch.c.namespace == namespace)
            .group_by(batch.c.run)
            .order_by(sa.func.max(batch.c.intended_at).desc())
            .limit(runs)
        )
        of_run = (batch.c.run, batch.c.app, batch.c.generation, batch.c.revision)
        statement = (
            sa.select(
                sa.func.min(journal.c.at).label("at"),
                *of_run,
                number(done & (journal.c.op == Op.CREATE.value)).label("created"),
                number(done & (journal.c.op == Op.ADOPT.value)).label("adopted"),
                number(done & (journal.c.op == Op.RESTORE.value)).label("restored"),
                number(done & (journal.c.op == Op.UPDATE.value)).label("updated"),
                number(done & journal.c.op.in_(LEAVING)).label("removed"),
                number(~done).label("failed"),
            )
            .join(batch, batch.c.id == journal.c.batch)
            .where(batch.c.namespace == namespace, batch.c.run.in_(newest))
            .group_by(*of_run)
            .order_by(sa.func.max(journal.c.id).desc())
        )
        return self._entries(statement)

    def past(self, *, namespace: str, app: str, person: str, until: datetime) -> pl.DataFrame:
        """What `homeroom.roster.past.access` wants to know of one person, oldest first; columns as in `history`."""
        journal = schema.journal
        here = (journal.c.namespace == namespace, journal.c.app == app, journal.c.at < schema.naive(until))
        of_person = (journal.c.key == person) & journal.c.kind.in_(PERSONAL)
        classes = sa.select(journal.c.class_key).where(*here, of_person, journal.c.class_key.is_not(None))
        of_classes = (journal.c.kind == Kind.CLASS.value) & journal.c.key.in_(classes)
        # The keys once more by themselves, for the index.
        keys = sa.union_all(sa.select(sa.literal(person)), classes)
        statement = sa.select(*_JOURNAL).join(schema.batch, schema.batch.c.id == journal.c.batch)
        return self._entries(
            statement.where(*here, journal.c.key.in_(keys), of_person | of_classes).order_by(journal.c.id)
        )

    def journal_begins(self, *, namespace: str, app: str) -> datetime | None:
        """When the first changes that the journal has of an app were begun."""
        batch = schema.batch
        query = sa.select(sa.func.min(batch.c.intended_at)).where(batch.c.namespace == namespace, batch.c.app == app)
        with self._engine.connect() as connection:
            moment = connection.execute(query).scalar_one()
        return moment.replace(tzinfo=UTC) if moment else None

    def _entries(self, statement: sa.Select[Any]) -> pl.DataFrame:
        """Rows of the journal, or counts of them, as a frame."""
        with self._engine.connect() as connection:
            result = connection.execute(statement)
            names = list(result.keys())
            rows = [tuple(row) for row in result]
        numbers = dict.fromkeys(
            ("generation", "created", "adopted", "restored", "updated", "removed", "failed"), pl.Int64()
        )
        types: dict[str, pl.DataType] = {"at": pl.Datetime("us"), **numbers}
        return pl.DataFrame(rows, schema={name: types.get(name, pl.String()) for name in names}, orient="row")

    # -- whence -------------------------------------------------------------------------------------------------

    def origin(self, *, namespace: str, app: str) -> Origin | None:
        """Which commit an app's resources came with, as far as it was asked."""
        table = schema.origin
        query = sa.select(table).where(table.c.namespace == namespace, table.c.app == app)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Origin(resources=frozenset(json.loads(row.resources)), revision=row.revision)

    def save_origin(self, origin: Origin, *, namespace: str, app: str, at: datetime, epoch: int) -> None:
        """Replace it: the resources are others now, or of another generation."""
        row = {
            "namespace": namespace,
            "app": app,
            "resources": json.dumps(sorted(origin.resources)),
            "revision": origin.revision,
            "seen_at": schema.naive(at),
        }
        with self._writing(epoch) as connection:
            _upsert(connection, schema.origin, [row])

    # -- one person ---------------------------------------------------------------------------------------------

    def apps(self, *, namespace: str) -> list[str]:
        """All apps of a namespace of which anything is remembered, declared any more or not; sorted."""
        names = [
            sa.select(table.c.app).where(table.c.namespace == namespace)
            for table in (schema.ledger, schema.baseline, schema.batch)
        ]
        with self._engine.connect() as connection:
            found = connection.execute(sa.union(*names)).scalars()
            return sorted(name for name in found if "/" not in name)  # `journal_name`

    def districts(self, *, namespace: str) -> list[str]:
        """All districts of a namespace that have an accepted snapshot, declared or not; sorted."""
        table = schema.accepted
        with self._engine.connect() as connection:
            found = connection.execute(sa.select(table.c.district).where(table.c.namespace == namespace))
            return sorted(found.scalars())

    def accounts(self, *, namespace: str, app: str, person: str) -> pl.DataFrame:
        """The ledger's rows of one person: [school, external_id, username]."""
        with self._engine.connect() as connection:
            return accounts_of(connection, namespace, app, person)

    def forget(
        self,
        person: str,
        *,
        namespace: str,
        district: str,
        digest: str | None,
        snapshots: Collection[str],
        managed: Collection[str],
        abandoned: Collection[str],
        reason: str,
        at: datetime,
    ) -> Forgotten:
        """Make all that is remembered of a person anonymous, or take it out.

        `digest`: the accepted snapshot, in which the person is not; `snapshots`: others with the person, to remove.
        `managed` and `abandoned`: apps and policies of chats of the district (`journal_name`) that are declared, and
        that are not any more; what the latter have in use is nobody's business here.

        Everything happens in one transaction, which whoever leads waits for. It needs no leadership: nothing of it is
        about anybody that a run could still be busy with, or it is refused. Only a run that is just under way may write
        back a source id that its baseline had, until the next run that changes something.

        Raises StillThereError where the person is in use, or not known at all; then nothing was written.
        """
        names = [*managed, *abandoned]
        with unled(self._engine) as connection:
            policies = {name: journal_of(name) for name in policies_of(connection, namespace)}
            policies = {name: app for name, app in policies.items() if app in names}
            owners = Owners(
                namespace=namespace,
                district=district,
                apps=[name for name in names if "/" not in name],
                policies=[*policies],
            )
            place = {"namespace": namespace, "district": district}
            chatting = accounts_linked(connection, **place, person=person)
            accepted = schema.accepted
            now = connection.execute(
                sa.select(accepted.c.digest).where(accepted.c.namespace == namespace, accepted.c.district == district)
            ).scalar_one_or_none()
            if now != digest:
                raise StillThereError("the records were read anew just now: try again")
            outdated = [self.snapshots(namespace=namespace, district=district) / name for name in snapshots]
            rewritten: list[tuple[str, Baseline]] = []
            refuse_held(connection, owners, person, chatting)
            for app in owners.apps:
                stored = _baseline_row(connection, namespace, app)
                folder = self._baselines(namespace, app) / (stored.files if stored else "")
                baseline = _read(folder, first=stored.first) if stored else None
                found = in_baseline(baseline, person) if baseline else None
                if app in managed:
                    refuse_in_use(person, app, found, known=accounts_of(connection, namespace, app, person))
                if baseline and found and not found.empty:
                    rewritten.append((app, without(baseline, person)))
                    outdated.append(folder)
            chats = list(self._chats_without(connection, person, chatting, owners, policies, managed=managed))
            for app, baseline in rewritten:
                name = _write(baseline, self._baselines(namespace, app))
                of_app = (schema.baseline.c.namespace == namespace, schema.baseline.c.app == app)
                connection.execute(sa.update(schema.baseline).where(*of_app).values(files=name))
            for policy, left in chats:
                outdated.append(self.chats.replace(connection, left, namespace=namespace, policy=policy))
            changes, accounts = made_anonymous(connection, owners, person)
            changes += accounts_anonymous(connection, owners, chatting, [*policies.values()])
            seat = unseat(connection, owners, person)
            connected = unconnect(connection, owners, person)
            linked = forget_links(connection, **place, person=person, accounts=chatting)
            taught = forget_lessons(connection, **place, person=person)
            linked |= forget_joins(connection, **place, person=person)
            baselines = len(rewritten) + len(chats)
            if not (changes or accounts or baselines or snapshots or seat or connected or linked or taught):
                raise StillThereError(f"nothing is known of a person '{person}': it must be a source id")
            row = {"at": schema.naive(at), "namespace": namespace, "district": district, "reason": reason}
            connection.execute(sa.insert(schema.erasure).values(**row, changes=changes, accounts=accounts))
        remove(outdated)
        return Forgotten(changes=changes, accounts=accounts, baselines=baselines, snapshots=len(snapshots))

    def _chats_without(
        self,
        connection: sa.Connection,
        person: str,
        accounts: Sequence[str],
        owners: Owners,
        policies: Mapping[str, str],
        *,
        managed: Collection[str],
    ) -> Iterator[tuple[str, StoredChats]]:
        """The policies that remember a person, with what is left without. `policies`: as the journal has them.

        Raises StillThereError where one that is declared (`managed`) has the person in a chat.
        """
        for policy, app in policies.items():
            stored = self.chats.read(connection, namespace=owners.namespace, policy=policy)
            found = None
            if stored is not None:
                found = in_chats(stored.baseline, stored.learners, person=person, accounts=accounts)
            if app in managed:
                known = in_journal(connection, owners.namespace, app, accounts)
                refuse_in_chats(person, app, found, known=known)
            rules = rules_without(stored.rules, person) if stored is not None else ""
            if stored is not None and found is not None and not (found.empty and rules == stored.rules):
                baseline, learners = chats_without(stored.baseline, stored.learners, person=person, accounts=accounts)
                yield policy, replace(stored, baseline=baseline, learners=learners, rules=rules)

    def erasures(self, *, namespace: str) -> pl.DataFrame:
        """That people were forgotten, newest first: [at, district, reason, changes, accounts]; not who."""
        table = schema.erasure
        query = sa.select(table.c.at, table.c.district, table.c.reason, table.c.changes, table.c.accounts)
        with self._engine.connect() as connection:
            found = connection.execute(query.where(table.c.namespace == namespace).order_by(table.c.id.desc()))
            rows = [tuple(row) for row in found]
        text, number = pl.String(), pl.Int64()
        columns = {"at": pl.Datetime("us"), "district": text, "reason": text, "changes": number, "accounts": number}
        return pl.DataFrame(rows, schema=columns, orient="row")

    def recent(self, *, namespace: str, app: str, since: datetime, closed_since: datetime) -> pl.DataFrame:
        """What was applied in an app since a moment, counted: columns `homeroom.plan.RECENT_SCHEMA`.

        `closed_since`: the same for accounts and classes, which are closed a time of grace after they left. Not where
        an edit asked for it: that may be about people who left long ago.
        """
        journal = schema.journal
        by = [journal.c[name] for name in ("kind", "school", "class_key", "op", "cause")]
        approved = journal.c.hold.is_not(None)
        query = (
            sa.select(*by, approved, sa.func.count())
            .where(
                journal.c.namespace == namespace,
                journal.c.app == app,
                journal.c.at >= schema.naive(since),
                sa.or_(
                    journal.c.op.not_in([Op.SUSPEND.value, Op.ARCHIVE.value]),
                    journal.c.cause.in_(EDITS),
                    journal.c.at >= schema.naive(closed_since),
                ),
                journal.c.result == Result.APPLIED.value,
            )
            .group_by(*by, approved)
        )
        with self._engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(query)]
        return pl.DataFrame(rows, schema={**RECENT_SCHEMA, "approved": pl.Int8}, orient="row", strict=False).cast(
            RECENT_SCHEMA
        )

    def noted(self, *, kind: str, namespace: str, name: str) -> Noted:
        """When a root was last read completely, and the latest moment at which anything was written of it."""
        run, journal, app = schema.run, schema.journal, journal_name(kind, name)
        of_run = (run.c.kind == kind, run.c.namespace == namespace, run.c.name == name)
        latest = sa.select(sa.func.max(journal.c.at)).where(journal.c.namespace == namespace, journal.c.app == app)
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(run.c.read_at, run.c.ended_at).where(*of_run)).one_or_none()
            journaled = connection.execute(latest).scalar_one()
        read, ended = (row.read_at, row.ended_at) if row is not None else (None, None)
        written = max((moment for moment in (ended, journaled) if moment is not None), default=None)
        return Noted(read=read and read.replace(tzinfo=UTC), written=written and written.replace(tzinfo=UTC))

    def released(self, *, namespace: str, app: str, holds: Collection[str]) -> pl.DataFrame:
        """The changes of an app that were made under these holds: columns `CHANGE_SCHEMA`."""
        if not holds:
            return pl.DataFrame(schema=CHANGE_SCHEMA)
        journal = schema.journal
        query = (
            sa.select(*(journal.c[name] for name in CHANGE))
            .where(journal.c.namespace == namespace, journal.c.app == app, journal.c.hold.in_(holds))
            .where(journal.c.result == Result.APPLIED.value)
        )
        with self._engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(query)]
        return pl.DataFrame(rows, schema=CHANGE_SCHEMA, orient="row")

    # -- holds --------------------------------------------------------------------------------------------------

    def holds(self, *, namespace: str, kind: str, name: str, guard: Guard | None = None) -> list[Hold]:
        """All holds of a District or LearningApp (or of one guard of it), the oldest first; used ones too."""
        table = schema.hold
        query = (
            sa.select(table)
            .where(table.c.namespace == namespace, table.c.kind == kind, table.c.name == name)
            .order_by(table.c.published, table.c.id)
        )
        if guard is not None:
            query = query.where(table.c.guard == guard.value)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return _holds(rows)

    def find_hold(self, hold: str, *, namespace: str) -> tuple[str, str, Hold] | None:
        """(kind, name, hold): the hold with this id, and the resource that has it; None where nothing has it."""
        table = schema.hold
        query = sa.select(table).where(table.c.namespace == namespace, table.c.id == hold)
        with self._engine.connect() as connection:
            row = connection.execute(query.order_by(table.c.kind, table.c.name)).first()
        return None if row is None else (row.kind, row.name, *_holds([row]))

    def save_holds(
        self, holds: Sequence[Hold], *, before: Sequence[Hold], namespace: str, kind: str, name: str, epoch: int
    ) -> None:
        """Write the holds that are not as they were `before`; a run that changed none writes nothing."""
        rows = _changed_holds(holds, before=before, namespace=namespace, kind=kind, name=name)
        if not rows:
            return
        with self._writing(epoch) as connection:
            _upsert(connection, schema.hold, rows)

    # -- pools --------------------------------------------------------------------------------------------------

    def seating(self, *, namespace: str, pool: str) -> Seating:
        """What a pool has given; nothing, where it never gave anything."""
        table = schema.pool
        query = sa.select(table).where(table.c.namespace == namespace, table.c.name == pool)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return Seating()
        # Columns that older releases did not have are null.
        blobs = {name: blob for name in _GIVEN if (blob := getattr(row, name)) is not None}
        frames = dict(zip(blobs, unpacked(blobs.values()), strict=True))
        teachers = frames.pop("teachers", None)
        return Seating(records=json.loads(row.records), teachers=teachers, **frames)

    def save_seating(self, seating: Seating, *, namespace: str, pool: str, epoch: int) -> None:
        """Replace it, grants and seats at once; a pool that has never given anything leaves no trace."""
        table = schema.pool
        with self._writing(epoch) as connection:
            if seating.equals(Seating()):
                connection.execute(sa.delete(table).where(table.c.namespace == namespace, table.c.name == pool))
                return
            row = {
                "namespace": namespace,
                "name": pool,
                "grants": packed(seating.grants),
                "seats": packed(seating.seats),
                "records": json.dumps(seating.records, sort_keys=True),
                "noticed": packed(seating.noticed),
                "reclaimed": packed(seating.reclaimed),
                "teachers": packed(seating.teachers) if seating.teachers is not None else None,
                "revoked": packed(seating.revoked),
            }
            _upsert(connection, table, [row])

    def seats_in_use(self) -> dict[str, int]:
        """How many seats are in use by each licence (namespace and name) of all pools; those of which some are."""
        return dict(self._of_pools("seats", SEATS_SCHEMA).group_by("licence").len().iter_rows())

    def seats_of(self, person: str, *, namespace: str, district: str) -> pl.DataFrame:
        """The seats of one person, in all pools: [pool (namespace and name), licence, since, left, noticed, reclaimed].

        `noticed`: told to be idle since. Of a seat that was `reclaimed` nothing but that day is known.
        """
        mine = {"district": f"{namespace}/{district}", "student": person}
        held, noticed, reclaimed = (
            self._of_pools(part, columns).filter(**mine)
            for part, columns in (("seats", SEATS_SCHEMA), ("noticed", NOTICED_SCHEMA), ("reclaimed", RECLAIMED_SCHEMA))
        )
        found = held.join(noticed.select("pool", "noticed"), on="pool", how="left")
        found = found.join(reclaimed.select("pool", "reclaimed"), on="pool", how="full", coalesce=True)
        return found.select("pool", "licence", "since", "left", "noticed", "reclaimed").sort("pool")

    def taught_by(self, person: str, *, namespace: str, district: str) -> pl.DataFrame:
        """What all pools know of one teacher: [pool (namespace and name), licence, by_key, connected, revoked]."""
        found = self._of_pools("teachers", TEACHERS_SCHEMA).filter(district=f"{namespace}/{district}", teacher=person)
        return found.select("pool", "licence", "by_key", "connected", "revoked").sort("pool", "licence")

    def _of_pools(self, part: str, columns: pl.Schema) -> pl.DataFrame:
        """One part of the `Seating` of all pools, with the `pool`."""
        table = schema.pool
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(table.c.namespace, table.c.name, table.c[part])).all()
        none = pl.DataFrame(schema={**columns, "pool": pl.String()})
        frames = (
            _read_or_none(row[2], columns).with_columns(pool=pl.lit(f"{row.namespace}/{row.name}", pl.String))
            for row in rows
        )
        return pl.concat([none, *frames])

    def seated(self, pool: str, *, district: str) -> Seated:
        """Who of a district holds a seat of a pool, or teaches by it. Both by namespace and name.

        Where the digest is not that of the records at hand, the answer is about others: who holds a seat or has classes
        keeps them, and of nobody else is anything known (invariant 9).
        """
        namespace, name = pool.split("/")
        found = self.seating(namespace=namespace, pool=name)
        students = found.seats.filter(pl.col("district") == district)["student"]
        reclaimed = found.reclaimed.filter(pl.col("district") == district)["student"]
        teachers = NO_TEACHERS if found.teachers is None else found.teachers
        return Seated(
            students=students.sort(),
            reclaimed=reclaimed.sort(),
            teachers=connected_in(teachers, district),
            withdrawn=withdrawn_in(teachers, district),
            digest=found.records.get(district) if found.teachers is not None else None,
        )

    # -- all roots ----------------------------------------------------------------------------------------------

    def save_run(self, row: RunRow, *, kind: str, namespace: str, name: str, epoch: int) -> None:
        """Overwrite the row of a root: the one write of a run that changed nothing (invariant 1)."""
        values = {
            "kind": kind,
            "namespace": namespace,
            "name": name,
            "started_at": schema.naive(row.started_at),
            "ended_at": schema.naive(row.ended_at),
            "next_at": schema.naive(row.next_at) if row.next_at else None,
            "read_at": schema.naive(row.read_at) if row.read_at else None,
            "told_at": schema.naive(row.told_at) if row.told_at else None,
            "reason": row.reason,
            "message": row.message,
            "summary": json.dumps(row.summary, sort_keys=True),
            "schools": json.dumps(row.schools, sort_keys=True),
            "supplements": json.dumps({name: dict(times) for name, times in row.supplements.items()}, sort_keys=True),
        }
        with self._writing(epoch) as connection:
            _upsert(connection, schema.run, [values])

    def run(self, *, kind: str, namespace: str, name: str) -> RunRow | None:
        """The last run of a root."""
        table = schema.run
        query = sa.select(table).where(table.c.kind == kind, table.c.namespace == namespace, table.c.name == name)
        with self._engine.connect() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return RunRow(
            started_at=row.started_at.replace(tzinfo=UTC),
            ended_at=row.ended_at.replace(tzinfo=UTC),
            next_at=row.next_at.replace(tzinfo=UTC) if row.next_at else None,
            read_at=row.read_at.replace(tzinfo=UTC) if row.read_at else None,
            told_at=row.told_at.replace(tzinfo=UTC) if row.told_at else None,
            reason=row.reason,
            message=row.message,
            summary=json.loads(row.summary),
            schools=json.loads(row.schools),
            supplements=json.loads(row.supplements),
        )

    def runs(self, *, namespace: str | None = None) -> pl.DataFrame:
        """The last run of each root; columns as in `schema.run`."""
        statement = sa.select(schema.run).order_by(schema.run.c.namespace, schema.run.c.kind, schema.run.c.name)
        if namespace is not None:
            statement = statement.where(schema.run.c.namespace == namespace)
        with self._engine.connect() as connection:
            result = connection.execute(statement)
            names = list(result.keys())
            rows = [tuple(row) for row in result]
        moments = dict.fromkeys(("started_at", "ended_at", "next_at", "read_at", "told_at"), pl.Datetime("us"))
        return pl.DataFrame(rows, schema={**dict.fromkeys(names, pl.String()), **moments}, orient="row")


_JOURNAL: Final = (
    schema.journal.c.at,
    schema.batch.c.run,
    schema.batch.c.revision,
    schema.batch.c.generation,
    *(schema.journal.c[name] for name in _TOLD),
)


def _fitting(query: JournalQuery) -> Iterator[sa.ColumnElement[bool]]:
    """What a row of the journal has to be, with its batch."""
    journal, batch = schema.journal, schema.batch
    yield journal.c.namespace == query.namespace
    if query.app is not None:
        yield journal.c.app == query.app
    if query.person is not None:
        yield (journal.c.key == query.person) & journal.c.kind.in_(PERSONAL)
    if query.class_key is not None:
        section = sa.case((journal.c.kind == Kind.CLASS.value, journal.c.key), else_=journal.c.class_key)
        yield (section == query.class_key) | section.startswith(query.class_key + MARK, autoescape=True)
    if query.school is not None:
        yield journal.c.school == query.school
    if query.run is not None:
        yield batch.c.run == query.run
    if query.cause is not None:
        yield journal.c.cause == query.cause
    if query.revision is not None:
        yield batch.c.revision.contains(query.revision, autoescape=True)
    if query.since is not None:
        yield journal.c.at >= schema.naive(query.since)
    if query.until is not None:
        yield journal.c.at < schema.naive(query.until)


def _holds(rows: Sequence[sa.Row[Any]]) -> list[Hold]:
    """Rows of the table `hold`."""
    frames = unpacked(row.rows for row in rows)
    return [_hold(row, frame) for row, frame in zip(rows, frames, strict=True)]


def _hold(row: sa.Row[Any], rows: pl.DataFrame) -> Hold:
    return Hold(
        id=row.id,
        guard=Guard(row.guard),
        scope=Scope(row.scope),
        place=row.place,
        since=row.since.replace(tzinfo=UTC),
        published=row.published.replace(tzinfo=UTC),
        rows=rows,
        total=row.total,
        state=State(row.state),
        approval=row.approval,
        approved_at=row.approved_at.replace(tzinfo=UTC) if row.approved_at else None,
        struck=row.struck,
        successor=row.successor,
        context=row.context,
    )


def _changed_holds(
    holds: Sequence[Hold], *, before: Sequence[Hold], namespace: str, kind: str, name: str
) -> list[dict[str, object]]:
    """Rows of the table `hold` for those that are not as they were `before`."""
    old = {hold.id: hold for hold in before}
    return [
        {
            "namespace": namespace,
            "kind": kind,
            "name": name,
            "id": hold.id,
            "guard": hold.guard.value,
            "scope": hold.scope.value,
            "place": hold.place,
            "since": schema.naive(hold.since),
            "published": schema.naive(hold.published),
            "rows": packed(hold.rows),
            "total": hold.total,
            "state": hold.state.value,
            "approval": hold.approval,
            "approved_at": schema.naive(hold.approved_at) if hold.approved_at else None,
            "struck": hold.struck,
            "successor": hold.successor,
            "context": hold.context,
        }
        for hold in holds
        if old.get(hold.id) is not hold
    ]


def _read_or_none(blob: bytes | None, columns: pl.Schema) -> pl.DataFrame:
    """Rows of a column that older releases did not have."""
    return pl.DataFrame(schema=columns) if blob is None else unpacked([blob])[0]


def _engine(url: str, *, read_only: bool) -> sa.Engine:
    """Connections to the database, each prepared by some statements when it is made."""
    address = make_url(url)
    if address.get_backend_name() != "sqlite":
        statements = ["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"] if read_only else []
    elif read_only:
        address = address.set(database=f"file:{quote(address.database or '')}")
        address = address.update_query_dict({"mode": "ro", "uri": "true"})
        statements = ["PRAGMA busy_timeout=10000"]
    else:
        # Readers do not wait for the writer, writers wait for each other, a crash loses no committed transaction.
        # What is overwritten is gone from the file, too: people may ask to be forgotten.
        pragmas = (
            "journal_mode=WAL",
            "synchronous=FULL",
            "busy_timeout=10000",
            "foreign_keys=ON",
            "secure_delete=ON",
        )
        statements = [f"PRAGMA {pragma}" for pragma in pragmas]
    engine = sa.create_engine(address, pool_pre_ping=True)

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        cursor.close()
        connection.commit()

    return engine


def _upsert(
    connection: sa.Connection,
    table: sa.Table,
    rows: Sequence[Mapping[str, object]],
    *,
    keep_old_where_null: Collection[str] = (),
) -> None:
    """Insert, or update by primary key."""
    if rows:
        # The values are no part of the statement, so SQLAlchemy compiles it once.
        words = _upserting(connection.dialect.name, table, tuple(rows[0]), keep_old=frozenset(keep_old_where_null))
        connection.execute(words, rows)


@lru_cache
def _upserting(dialect: str, table: sa.Table, columns: tuple[str, ...], *, keep_old: frozenset[str]) -> sa.Insert:
    """The statement for rows with these columns; the same words in SQLite and PostgreSQL."""
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert  # noqa: PLC0415 - one of two dialects, chosen here
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]  # noqa: PLC0415 - as above
    key = [column.name for column in table.primary_key]
    statement = insert(table)
    new = {
        name: sa.func.coalesce(statement.excluded[name], table.c[name])
        if name in keep_old
        else statement.excluded[name]
        for name in columns
        if name not in key
    }
    return statement.on_conflict_do_update(index_elements=key, set_=new)


def _baseline_row(connection: sa.Connection, namespace: str, app: str) -> sa.Row[Any] | None:
    table = schema.baseline
    query = sa.select(table).where(table.c.namespace == namespace, table.c.app == app)
    return connection.execute(query).one_or_none()


def _read(files: Path, *, first: bool) -> Baseline:
    """The frames of a baseline, from its folder."""
    parts = [part.name for part in fields(Desired)]
    frames = read_files(files, [*parts, *_BESIDE])
    desired = Desired(**{part: frames.pop(part) for part in parts})
    return Baseline(desired=desired, first=first, **frames)


def _write(baseline: Baseline, directory: Path) -> str:
    """Write the frames of a baseline into a new folder in `directory`; returns its name."""
    name = uuid.uuid4().hex
    files = directory / name
    files.mkdir(parents=True, mode=0o700)
    frames = {part.name: getattr(baseline.desired, part.name) for part in fields(Desired)}
    write_files({**frames, **{part: getattr(baseline, part) for part in _BESIDE}}, files)
    return name

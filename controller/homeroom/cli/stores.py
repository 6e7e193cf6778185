"""The operator's store, opened for a command. Neighbour: `records`, what commands read in it.

Apart from that, so that the pages, which run for months, load no client of Kubernetes for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from homeroom.errors import TerminalError
from homeroom.store import Manifest, Store


class StoreUnavailableError(TerminalError):
    """The store is not here, or does not answer."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="StoreUnavailable")


@contextmanager
def opened(url: str | None, data: Path, *, needed: bool = True) -> Iterator[Store | None]:
    """The store for the time of a command; where it is not `needed`, and nobody named its --store, it may be absent.

    To look at only.
    """
    if not needed and url is None and not (data / "homeroom.db").is_file():
        yield None
        return
    store = open_store(url, data)
    try:
        yield store
    finally:
        store.close()


def open_store(url: str | None, data: Path, *, new: bool = False, write: bool = False) -> Store:
    """The store, to look at, or to `write` into it as it is; the operator may make a `new` one. Blocks.

    Raises StoreUnavailableError, or RevisionError where it is of another release.
    """
    with _told():
        whole, file = _address(url, data)
        if file is not None and not new and not file.is_file():
            raise StoreUnavailableError(
                f"there is no store at {file}: name it with --data or --store, or run this where the operator's is:\n"
                "kubectl exec -it -n homeroom-system deploy/homeroom -- homeroom ..."
            )
        if new:
            data.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Store.open(whole, data, read_only=not (new or write), as_it_is=not new)


def restore(url: str | None, data: Path, backup: IO[bytes]) -> Manifest:
    """Make a store of a back-up, where there is none or an empty one. Blocks.

    Raises BackupError, and what `open_store` does.
    """
    with _told():
        whole, _ = _address(url, data)
        return Store.restored(whole, data, backup)


def _address(url: str | None, data: Path) -> tuple[str, Path | None]:
    """SQLAlchemy's address of the store, and the file that it is in, if it is one."""
    address = make_url(url or f"sqlite:///{data / 'homeroom.db'}")
    file = Path(address.database or "") if address.get_backend_name() == "sqlite" else None
    return address.render_as_string(hide_password=False), file


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong with a database, in our own words."""
    try:
        yield
    except (SQLAlchemyError, ImportError) as error:
        # The driver's own words may repeat the address with its password.
        raise StoreUnavailableError(
            f"the store cannot be opened ({type(error).__name__}): check --store and --data, that the database "
            "answers, and that its driver is installed (`homeroom[postgres]`)"
        ) from error

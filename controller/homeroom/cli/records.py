"""Where people's records are: the operator's store, and exports."""

from __future__ import annotations

from pathlib import Path

from alembic.util import CommandError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from homeroom.errors import TerminalError
from homeroom.store import Store


def open_store(url: str | None, data: Path, *, new: bool = False) -> Store:
    """The store; only the operator makes a `new` one. Blocks. Raises TerminalError (StoreUnavailable)."""
    try:
        address = make_url(url or f"sqlite:///{data / 'homeroom.db'}")
        file = Path(address.database or "") if address.get_backend_name() == "sqlite" else None
        if file is not None and not new and not file.is_file():
            raise TerminalError(
                f"there is no store at {file}: name it with --data or --store, or run this where the operator's is:\n"
                "kubectl exec -it -n homeroom-system deploy/homeroom -- homeroom ...",
                reason="StoreUnavailable",
            )
        if new and file is not None:
            data.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Store.open(address.render_as_string(hide_password=False), data)
    except (SQLAlchemyError, CommandError) as error:
        # The driver's own words may repeat the address with its password.
        raise TerminalError(
            f"the store cannot be opened ({type(error).__name__}): check --store and --data, and that the database "
            "answers and is not of a newer release",
            reason="StoreUnavailable",
        ) from error

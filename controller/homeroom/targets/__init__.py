"""Learning apps: products that receive rosters. One module per product, all behind the `Target` protocol.

`homeroom.reconcile` opens a target for one run, reads it, plans, and hands small batches to `apply`. A target knows how
its product works and nothing of Kubernetes, plans or stores; what it needs is handed to it when it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self

import polars as pl

from homeroom.hop import Hop
from homeroom.plan import MOMENT, Change, Outcome
from homeroom.roster.state import Actual, Known

__all__ = ["ACTIVITY_SCHEMA", "Capabilities", "Fields", "Known", "Password", "Target"]

Password = Callable[[str], str | None]
"""The password that the records have for a person (source id), if any; asked only when a staff account is made."""

ACTIVITY_SCHEMA: Final = pl.Schema(
    [
        ("school", pl.String),
        ("key", pl.String),
        ("account", pl.String),
        ("last_login", MOMENT),
        ("last_interaction", MOMENT),
    ]
)
"""When accounts of ours were last used: source ids of school and person, the target's own id of the account.

One row per school and person; null is never, as far as the target knows. Who has no row is not known about, which is
not the same. Personal data: never into the Kubernetes API.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a product can do. What it cannot has a documented fallback and is reported in a condition, never skipped."""

    adopt: bool = False  # can make its own what people had made
    suspend: bool = True  # can put an account out of use and give it back with all its work
    archive_class: bool = True
    rename_person: bool = True
    guardians: bool = False
    terms: bool = False
    subjects: bool = False
    grades: bool = False
    emails: bool = False

    def gaps(self) -> list[str]:
        """Names of what is missing, sorted."""
        return sorted(name for name in self.__dataclass_fields__ if not getattr(self, name))


class Target(Protocol):
    """One product, opened for one run: `async with target: actual = await target.read(known); await target.apply(...)`.

    Errors: `TransientError` (unreachable, busy), `IncompleteReadError` (the answer may be partial, the session died),
    `TerminalError` (wrong credentials, `OwnedElsewhere`). None of them carries personal data.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this product can do."""

    async def __aenter__(self) -> Self:
        """Connect and log in."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Log out and close."""

    async def read(self, known: Known) -> Actual:
        """Read everything, live. Proves completeness or says that it could not."""

    async def activity(self, actual: Actual) -> pl.DataFrame:
        """When the accounts were last used that `read` found to be ours: ACTIVITY_SCHEMA, sorted.

        Raises TerminalError (`CapabilityMissing`), with what to install, where the product does not tell that.
        """

    async def apply(self, batch: Sequence[Change]) -> Sequence[Outcome]:
        """Carry out one batch (one kind, one operation, one school); one outcome per change, in order.

        Idempotent: what is already so counts as applied. Ownership is checked again here. Raises only when the whole
        batch could not be tried (then it is unknown what was done: the next run reads first).
        """

    async def check(self) -> Sequence[Hop]:
        """Try every step to the product and say in plain words how it went; raises nothing that it can describe."""


Fields = Mapping[str, str]
"""The data of a Secret, decoded."""

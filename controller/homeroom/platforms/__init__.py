"""Chat servers. One module per product, all behind the `Platform` protocol.

A platform is opened for one run, read, planned for (`homeroom.chats`), and given small batches to apply. It knows how
its product works and nothing of Kubernetes, records or stores; what it needs is handed to it when it is made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from homeroom.chats import Actual, Capabilities, Desired, Picture
from homeroom.hop import Hop
from homeroom.plan import Change, Outcome

__all__ = ["Changes", "Named", "Platform"]

Named = Callable[[str], Awaitable[datetime | None]]
"""Since when somebody else than its owner says whose an account is; None: its owner does, or nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What others than us did to chats with a mark of ours, whoever's of us: owner and key of each.

    `everything`: it is not known what they did, and where: look at all chats. `until`: `after` of the next call.
    """

    until: str
    chats: frozenset[tuple[str, str]] = frozenset()
    everything: bool = False


class Platform(Protocol):
    """One chat server, opened for one run: `async with platform: actual = await platform.read(); await platform.apply`.

    Errors: `TransientError` (unreachable, busy; with how long to wait where the server said so, nobody waits in here),
    `IncompleteReadError`, `TerminalError` (wrong credentials). None of them names an account or a person.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this product can do."""

    async def __aenter__(self) -> Self:
        """Connect, and make sure of our rights."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""

    async def read(self, only: Collection[str] | None = None) -> Actual:
        """Read all chats that carry our mark, live. Proves that these are all, or says that it could not.

        `only`: keys of those to read, in few calls; what is there of them is complete, and the whole is not. Leave out
        whom a whole reading found `unsure`: a look at one chat cannot tell.
        """

    async def changes(self, after: str | None) -> Changes:
        """Wait until others change a chat, for half a minute at most, and say which; with `Capabilities.events` only.

        `after`: until when the last answer reached; None: from now on, so everything is to be looked at.
        """

    async def apply(self, batch: Sequence[Change], wanted: Desired) -> Sequence[Outcome]:
        """Carry out one batch (one kind, one operation, one school); one outcome per change, in order. Needs a `read`.

        `wanted` has the chats that are made or changed. Idempotent: what is already so counts as applied. Ownership is
        checked again here. Raises only when the batch could not be tried to its end (then it is unknown what was done:
        the next run reads first).
        """

    async def tell(self, account: str, text: str, *, title: str) -> None:
        """Send a message to one account, which nobody else reads. Raises RefusedError where that cannot be.

        `title`: what the place is called that it comes in, where the product has such.
        """

    def address(self, external_id: str) -> str:
        """Where people open a chat that they are in, by the platform's own id of it."""

    async def announce(self, key: str, text: str, *, url: str, word: str) -> None:
        """Tell everybody in a chat of ours of a call at `url`; with `Capabilities.calls` only. Needs a `read`.

        Idempotent: of a call with the same `word`, which no other has, people are told once. Raises RefusedError.
        """

    async def show(self, key: str, picture: Picture) -> bool:
        """Set the picture of a chat of ours, unless this one was the last that we set there; whether it was set now.

        What people made of it since stays theirs. Needs a `read`. Raises RefusedError where that cannot be.
        """

    async def admit(self, token: str, *, until: datetime) -> None:
        """Let whoever has this token make one account, once, until then. Raises RefusedError where that cannot be."""

    async def dismiss(self, token: str) -> None:
        """Nobody makes an account with this token any more; one that nobody knows is none."""

    async def version(self) -> str:
        """What the server says that it is. Raises InvalidSpecError where it cannot do what was asked of it."""

    async def check(self) -> Sequence[Hop]:
        """Try every step to the product and say in plain words how it went; raises nothing that it can describe."""

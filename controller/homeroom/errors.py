"""The one exception tree of Homeroom.

::

    HomeroomError
    +-- TerminalError            trying again changes nothing; a person, a commit or a new generation has to
    |   +-- InvalidSpecError     the resource or a file says something impossible
    |   +-- RefusedError         we could, but must not: a guard, a foreign owner, a missing permission
    +-- TransientError           trying again later may well work; carries how long to wait when the other side said so
        +-- DependencyNotReadyError  something that this needs is not there yet; waking up is somebody else's event
        +-- IncompleteReadError  a reading did not prove complete: nothing may be removed because of it

Messages are for administrators: what, where, what to do; no personal data in any of them. `reason` is the CamelCase
word that the condition of the resource shows; the closed list of them is in `homeroom.api.reasons`.
"""

from __future__ import annotations


class HomeroomError(Exception):
    """The root of the tree. `reason` is the condition's reason, `message` the words for a person."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason


class TerminalError(HomeroomError):
    """Trying again changes nothing: becomes `Stalled`, and no retry until something changes."""


class InvalidSpecError(TerminalError):
    """A resource or a file says something impossible; the message names the field."""

    def __init__(self, message: str, *, reason: str = "InvalidSpec") -> None:
        super().__init__(message, reason=reason)


class RefusedError(TerminalError):
    """We could, but must not: a guard, another owner, a missing permission."""


class TransientError(HomeroomError):
    """Trying again later may work. `retry_after` (seconds) is what the other side asked for, if it did.

    More than an hour is not taken from anybody: it would be a way to stop us.
    """

    def __init__(self, message: str, *, reason: str, retry_after: float | None = None) -> None:
        super().__init__(message, reason=reason)
        self.retry_after = None if retry_after is None else min(retry_after, 3600.0)


class DependencyNotReadyError(TransientError):
    """A resource that this one needs is missing, or not ready; its event wakes us."""

    def __init__(self, message: str, *, reason: str = "DependencyNotReady") -> None:
        super().__init__(message, reason=reason)


class IncompleteReadError(TransientError):
    """A source, a target or the Kubernetes API did not prove that it answered in full (DESIGN.md invariant 2)."""

"""Whether time went on as it should since an app was last looked at (DESIGN.md invariant 15). Pure.

A clock that jumps would end all terms at once, or none would have begun. So what goes for no other reason than the day
goes by itself only while the clock can be believed; else it has to go by two clocks: what would still be there at the
moment that is returned here is held by the guard `Clock` (`homeroom.plan.guard`) until somebody has looked.

The question stands in the holds themselves (`Hold.context`), so that it outlasts the one run that sees the jump.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from homeroom.plan.guard import Guard
from homeroom.plan.hold import Hold, State

LONGEST_PAUSE: Final = timedelta(days=14)
"""Between two looks at an app more time than this does not pass unnoticed: the clock jumped, or nobody was there."""
TOLERANCE: Final = timedelta(minutes=10)
"""How much earlier it may be than what was noted last: another machine's clock, a correction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """What the store says of time: when an app was last `read` completely, and the latest moment `written` of it."""

    read: datetime | None = None
    written: datetime | None = None


def doubted_since(noted: Noted, holds: Iterable[Hold], *, now: datetime) -> datetime | None:
    """The last moment that is sure; None: `now` is.

    `holds`: all of the app. An approved one of this guard says that the clock is right, although something was
    written at a later moment; one that is open keeps the question open.
    """
    asked = [hold for hold in holds if hold.guard is Guard.CLOCK]
    if noted.written is not None and now < noted.written - TOLERANCE:
        answered = (datetime.fromisoformat(hold.context) for hold in asked if hold.approval is not None)
        if not any(noted.written <= moment for moment in answered):
            return noted.written
    elif noted.read is not None and now > noted.read + LONGEST_PAUSE:
        return noted.read
    return next((datetime.fromisoformat(hold.context) for hold in asked if hold.state is State.OPEN), None)

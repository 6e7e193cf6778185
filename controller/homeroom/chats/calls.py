"""Remote lessons and their calls: the words for it. Pure.

A lesson is known (`LessonBy`), its teacher presses on its page, and the chat of its class is told where the call is
(`CallState`). Neighbours: `homeroom.store.lessons` (keeps both), `homeroom.web` (the pages), `desired` (the chats).
"""

from __future__ import annotations

from enum import StrEnum


class LessonBy(StrEnum):
    """Who says that there is a remote lesson: the records or a supplement, a teacher's page or calendar."""

    RECORDS = "Records"
    PAGE = "Page"
    CALENDAR = "Calendar"


class CallState(StrEnum):
    """How far a call is on one platform.

    `Waiting`: nothing was done yet. `Held`: its chat waits for somebody's Approval. `Nowhere`: no policy makes a chat
    of its class there. `Told`: the chat is there, and who is in it has been told of the call.
    """

    WAITING = "Waiting"
    HELD = "Held"
    NOWHERE = "Nowhere"
    TOLD = "Told"

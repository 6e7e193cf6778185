"""Remote lessons and their calls: the words for it. Pure.

A lesson is known (`LessonBy`), its teacher presses on its page, and the chat of its class is told where the call is
(`CallState`). Neighbours: `homeroom.store.lessons` (keeps both), `homeroom.web` (the pages), `desired` (the chats).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Final
from urllib.parse import quote

from homeroom.api import Language


class LessonBy(StrEnum):
    """Who says that there is a remote lesson: the records or a supplement, a teacher's page or calendar."""

    RECORDS = "Records"
    PAGE = "Page"
    CALENDAR = "Calendar"


class CallState(StrEnum):
    """How far a call is on one platform.

    `Waiting`: nothing was done yet. `Held`: its chat waits for somebody's Approval, or for a run of the policy that
    looks what is wrong. `Nowhere`: no policy makes a chat of its class there. `Told`: the chat is there, and who is in
    it has been told of the call.
    """

    WAITING = "Waiting"
    HELD = "Held"
    NOWHERE = "Nowhere"
    TOLD = "Told"


LONGEST_TITLE: Final = 100
"""Characters of a lesson's title in a message."""
LONGEST: Final = timedelta(hours=12)
"""So long a lesson may last."""
HORIZON: Final = timedelta(days=366)
"""So far ahead lessons are taken."""

_MESSAGES: Final[Mapping[Language, str]] = {
    Language.ENGLISH: "The call has begun: {url}",
    Language.SWEDISH: "Samtalet har börjat: {url}",
    Language.DUTCH: "Het gesprek is begonnen: {url}",
    Language.RUSSIAN: "Звонок начался: {url}",
}


def call_url(template: str, word: str) -> str:
    """Where a call is. `template`: of the policy; `word`: the call's own."""
    return template.replace("{call}", quote(word, safe=""))


def call_message(language: Language, *, title: str, url: str) -> str:
    """What everybody in a chat is told. `title`: of the lesson, may be empty."""
    told = " ".join(title.split())[:LONGEST_TITLE]
    return "\n".join(filter(None, [told, _MESSAGES[language].format(url=url)]))

# ruff: noqa: RUF001 (Russian is one of the languages)
"""Linking people of the records with accounts of a chat platform: the words for it. Pure.

A person proves who they are by a personal code that the school handed out, an account proves itself by reading back a
number that was sent to it in the chat. Both together are a link. Neighbours: `homeroom.store.links` (keeps links),
`homeroom.web` (the pages), `records` (what chats make of links).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from homeroom.api import Language


class Place(NamedTuple):
    """Where somebody is linked: the people of a district, and the accounts of a platform; all by name."""

    namespace: str
    platform: str
    district: str


class LinkedBy(StrEnum):
    """Who said whose account it is: the records or a supplement, a template, or the person on the pages."""

    RECORDS = "Records"
    TEMPLATE = "Template"
    PAGE = "Page"


class LinkState(StrEnum):
    """What counts of a person and an account.

    `Unlinked`: the person took it back, and it stays so until the person links it again. `Refused`: somebody else's.
    """

    LINKED = "Linked"
    UNLINKED = "Unlinked"
    REFUSED = "Refused"


class JoinState(StrEnum):
    """What became of somebody's wish to come into an extra chat by its link.

    `Asked`: no run has let them in yet. `Refused`: the link is not for them. `Left`: they took it back, or left.
    """

    ASKED = "Asked"
    IN = "In"
    REFUSED = "Refused"
    LEFT = "Left"


class Proof(StrEnum):
    """How far a visitor has come in proving an account.

    `Open`: none was named. `Waiting`: the number is yet to be sent. `Failed`: it could not be, or was guessed at.
    """

    OPEN = "Open"
    WAITING = "Waiting"
    SENT = "Sent"
    PROVEN = "Proven"
    FAILED = "Failed"


class TokenState(StrEnum):
    """What became of the wish to make an account. `Waiting`: for the operator. `Over`: to be taken back, if unused."""

    WAITING = "Waiting"
    READY = "Ready"
    FAILED = "Failed"
    OVER = "Over"


class CodeState(StrEnum):
    """What became of a letter with a personal code. `Waiting`: it may, or may not, have been mailed."""

    PRINTED = "Printed"
    WAITING = "Waiting"
    MAILED = "Mailed"
    REFUSED = "Refused"


NUMBER_LENGTH: Final = 8
"""Symbols of a number, the check symbol included: 32 bits of chance, for five tries in half an hour."""

_MESSAGES: Final[Mapping[Language, str]] = {
    Language.ENGLISH: "Somebody asked on the school's pages to use this account: {title}. If that was you, enter this "
    "number there: {number}. If it was not you, do nothing, and give the number to nobody.",
    Language.SWEDISH: "Någon har på skolans sidor bett att få använda det här kontot: {title}. Om det var du, skriv in "
    "det här numret där: {number}. Om det inte var du behöver du inte göra något; ge inte numret till någon.",
    Language.DUTCH: "Iemand heeft op de pagina's van de school gevraagd dit account te gebruiken: {title}. Was u dat, "
    "vul daar dan dit nummer in: {number}. Was u het niet, doe dan niets en geef het nummer aan niemand.",
    Language.RUSSIAN: "На страницах школы кто-то указал эту учётную запись: {title}. Если это были вы, введите там "
    "этот номер: {number}. Если это были не вы, ничего не делайте и никому не сообщайте номер.",
}


def number_message(language: Language, *, title: str, number: str) -> str:
    """What an account is told that has to prove itself. `number`: as people read it."""
    return _MESSAGES[language].format(title=title, number=number)


_MATRIX: Final = re.compile(r"@[a-z0-9._=/+-]+:[a-z0-9.:\[\]-]+")
"""An account of Matrix as servers make them since 2017."""


def account_in(text: str, *, server: str) -> str | None:
    """The account of this server that somebody typed, such as `@ann:school.example` or only `ann`; None: it is none."""
    typed = text.strip().lower()
    if not typed.startswith("@"):
        typed = f"@{typed}"
    if ":" not in typed:
        typed = f"{typed}:{server}"
    fits = len(typed) <= 255 and _MATRIX.fullmatch(typed) is not None
    return typed if fits and typed.partition(":")[2] == server.lower() else None

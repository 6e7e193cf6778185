"""Licence keys, and codes like them: making one, showing it, reading what somebody typed. Pure; chance is given.

A key is 15 symbols of chance (68 bits: nobody guesses one) and a check symbol, so that one wrong letter is always
noticed here, before anybody looks the key up. Its alphabet has no vowels, so it makes no words, and nothing that is
read for something else: no 0, 1, 5, I, L, N, O, S, U or Z. The personal codes by which people link a chat account are
the same; the numbers that prove the account are shorter, as they are good for minutes and a few tries only.

Neighbours: `homeroom.store`, which knows a key by its `digest` only; the key itself is in the licence's Secret.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from homeroom.errors import TerminalError

ALPHABET: Final = "BCDFGHJKMPQRTVWXY2346789"
LENGTH: Final = 16
"""Symbols of a key, the check symbol included."""
_GROUP: Final = 4
_VALUES: Final = {symbol: value for value, symbol in enumerate(ALPHABET)}
_BETWEEN: Final = str.maketrans("", "", "-\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2212")
"""Dashes as programs for writing put them, and hyphens that only show at the end of a line."""


class Connected(StrEnum):
    """How a teacher was connected to a licence."""

    KEY = "Key"


class Ended(StrEnum):
    """Why a connection ended: the teacher left, a colleague removed them, or the licence was revoked."""

    LEFT = "Left"
    REMOVED = "Removed"
    REVOKED = "Revoked"


class Delivery(StrEnum):
    """What became of a mail with a key.

    `Refused`: the mail server does not take mail to this address. `Waiting`: the server could not be reached, or put
    it off. `Assumed`: the key is older than the store, so it was probably sent, and is not sent again.
    """

    SENT = "Sent"
    REFUSED = "Refused"
    WAITING = "Waiting"
    ASSUMED = "Assumed"


class Fault(StrEnum):
    """What is wrong with a text that should be a key."""

    LENGTH = "Length"
    LETTER = "Letter"
    CHECK = "Check"


_WORDS: Final = {
    Fault.LENGTH: f"a licence key has {LENGTH} letters and digits: copy it as a whole, groups of {_GROUP} with dashes",
    Fault.LETTER: f"there is a letter, digit or sign in it that no licence key has: keys are made of {ALPHABET}",
    Fault.CHECK: "some letter or digit of it is mistyped, as the last one does not fit the others: compare them",
}


class MistypedKeyError(TerminalError):
    """A text that is no key. The message does not repeat it: it may be nearly one."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(_WORDS[fault], reason="InvalidSpec")
        self.fault = fault


def new_key(below: Callable[[int], int], *, length: int = LENGTH) -> str:
    """A key, as `normalised` gives it. `below(n)`: a number from 0 up to n - 1 that nobody can foretell."""
    body = "".join(ALPHABET[below(len(ALPHABET))] for _ in range(length - 1))
    return body + _check_symbol(body)


def shown(key: str) -> str:
    """A normalised key as people read and type it: `BCDF-GHJK-MPQR-TVWX`."""
    return "-".join(key[start : start + _GROUP] for start in range(0, len(key), _GROUP))


def normalised(text: str, *, length: int = LENGTH) -> str:
    """The key that somebody typed or pasted: lower case, white space and dashes are no matter.

    Raises MistypedKeyError, with the first fault in the order of `Fault`.
    """
    key = "".join(text.translate(_BETWEEN).split()).upper()
    if len(key) != length:
        raise MistypedKeyError(Fault.LENGTH)
    if not _VALUES.keys() >= set(key):
        raise MistypedKeyError(Fault.LETTER)
    if _check_symbol(key[:-1]) != key[-1]:
        raise MistypedKeyError(Fault.CHECK)
    return key


def digest(key: str) -> str:
    """SHA-256 of a normalised key, in hex: what is stored of it. With 68 bits of chance no salt is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


def _check_symbol(body: str) -> str:
    """The check symbol of the hybrid system of ISO 7064, modulus 25 and 24 (as MOD 37,36 is for 36 symbols)."""
    size = len(ALPHABET)
    product = size
    for symbol in body:
        total = (product + _VALUES[symbol]) % size or size
        product = total * 2 % (size + 1)
    return ALPHABET[(1 - product) % size]

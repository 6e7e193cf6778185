"""What a chat is called by: a key of what it is for, never its name; and whether two names look alike.

A chat is (scope, type, school, class). The class is Homeroom's, hence the section in its school year
(`homeroom.roster.years`): next year's class is another chat, whatever anybody calls the two (safety row 15). A name is
what people read. It may be the same in two classes, it changes, and a Cyrillic letter may look like a Latin one.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

import polars as pl

_DIGEST_BYTES: Final = 15  # 30 characters; two that are the same would take 2**60 tries
_PREFIX: Final = "hr-"


def chat_key(*, scope: str, type: str, school: str, section: str | None) -> str:  # noqa: A002 - what it is called
    """The key of one chat: ASCII, lower case, safe as an alias and as a file name, and nothing can be read from it.

    `scope`: who owns the chat, (installation, namespace, district), so that two districts never share one (row 14).
    `school`: source id. `section`: Homeroom's id of the class, None for a staff room.
    """
    return _key("chat", scope, type, school, section)


def space_key(*, scope: str, school: str, year: int | None) -> str:
    """The key of the space that holds the chats of a school in one school year; those without a year have their own."""
    return _key("space", scope, school, year)


def _key(*parts: str | int | None) -> str:
    return _PREFIX + hashlib.blake2b(json.dumps(parts).encode(), digest_size=_DIGEST_BYTES).hexdigest()


def plain(name: pl.Expr) -> pl.Expr:
    """A name as it is compared and written: compatible forms are one (NFKC), white space is one blank.

    Characters that show nothing, or turn the reading direction, are taken out: they are how a name lies.
    """
    visible = name.str.normalize("NFKC").str.replace_all(r"\s+", " ").str.replace_all(r"\p{C}", "")
    return visible.str.strip_chars(" ")


def skeleton(name: pl.Expr) -> pl.Expr:
    """Two names with one skeleton look alike to a reader, whatever script they are typed in."""
    return plain(name).str.to_lowercase().str.replace_many(_CONFUSABLE).str.replace_all(" ", "", literal=True)


# The letters of Cyrillic and Greek that Unicode's confusables (UTS 39) give a Latin look, and digits read as letters;
# in lower case, after NFKC.
_CONFUSABLE: Final = {
    **dict(zip("авекмнорстухѕіјһԁԛԝьӏ", "abekmhopctyxsijhdqwbl", strict=True)),
    **dict(zip("αβεικνορτυχ", "abeiknoptux", strict=True)),
    "ё": "e",
    "з": "3",
    "0": "o",
    "1": "l",
    "\N{LATIN SMALL LETTER DOTLESS I}": "i",
}

# ruff: noqa: RUF001 (letters that look alike are what this is about)
"""User names that Kolibri accepts: `[a-z0-9_]{1,30}`, always the same for the same person, never anybody else's. Pure.

Kolibri forbids blanks and most signs, compares without case for ASCII letters only on SQLite and for all on
PostgreSQL, and has no constraint behind that. So nothing but small ASCII letters, digits and underscores leaves here.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

MAXIMUM: Final = 30

# Letters that Unicode does not take apart into an ASCII letter and marks. Cyrillic: as in passports, ICAO 9303, with
# the usual `y` for й; what several languages share is read as in most of them.
_LETTERS: Final = str.maketrans(
    dict(zip("абвгдезиклмнопрстуфыэіґћјђљњєў", "abvgdeziklmnoprstufyeigcjdlneu", strict=True))
    | {"ж": "zh", "й": "y", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ю": "yu", "я": "ya"}
    | {"ъ": "", "ь": "", "ё": "e", "ї": "yi", "џ": "dz", "ѕ": "dz", "қ": "q", "ғ": "gh", "ң": "ng", "ө": "o"}
    | {"ү": "u", "ұ": "u", "һ": "h", "ә": "a", "ӣ": "i", "ӯ": "u", "ҳ": "h", "ҷ": "j"}
    | dict(zip("αβγδεζηικλμνξοπρσςτυφωω", "avgdeziiklmnxoprsstyfoo", strict=True))
    | {"θ": "th", "χ": "ch", "ψ": "ps"}
    | {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ı": "i", "ħ": "h"}
    | {"ŋ": "ng", "ə": "a", "ĸ": "k", "ŧ": "t", "ʻ": "", "ʼ": ""}
)
_APOSTROPHES: Final = re.compile(r"['’‘`´ʼʹ]")


def ascii_of(text: str) -> str:
    """`text` in small ASCII letters, digits and single inner underscores; empty when no letter of it is known."""
    # The table comes first, as й and ё would lose their marks; then again, for letters that had marks of their own.
    # casefold after NFKC, or a letter that only compatibility makes a capital stays one.
    small = unicodedata.normalize("NFKC", text).casefold()
    plain = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", small).translate(_LETTERS)).translate(_LETTERS)
    bare = "".join(sign for sign in plain if not unicodedata.combining(sign))
    return re.sub(r"[^a-z0-9]+", "_", bare).strip("_")


def candidates(*, wish: str | None, name: str | None, key: str) -> Iterator[str]:
    """User names for the person with source id `key`, best first; the first that nobody has or had is theirs.

    `wish` is the one of the records, of which an e-mail address gives its first part, since Kolibri refuses the rest;
    without it the `name` is used, and without that a word. Then the same with more and more of a digest of `key`, so
    that two people of one name get the same user names again in whatever order they come.
    """
    base = next(filter(None, (ascii_of((wish or "").partition("@")[0]), ascii_of(name or ""))), "user")
    digest = hashlib.sha256(key.encode()).hexdigest()
    yield base[:MAXIMUM].strip("_")
    for length in (6, 12, 24):
        yield f"{base[: MAXIMUM - length - 1].strip('_')}_{digest[:length]}"

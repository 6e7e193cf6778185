"""The file of `spec.identity.linksFrom`: what was reviewed is read, what is wrong is named by line and field."""

from __future__ import annotations

from hashlib import sha256

import pytest

from homeroom.errors import InvalidSpecError
from homeroom.roster.identity import LINKS
from homeroom.sources import read_links


def read(text: str | bytes) -> list[tuple[str, str]]:
    content = text.encode() if isinstance(text, str) else text
    found = read_links(content, sha256=sha256(content).hexdigest())
    assert found.schema == LINKS
    return [(row[0], row[1]) for row in found.rows()]


def test_links_are_read_by_the_names_of_their_columns() -> None:
    assert read("from,to\nu-1,p-1\nu-1,p-2\n") == [("u-1", "p-1"), ("u-1", "p-2")]
    assert read('\ufeffreasons,to,from\r\n"a, b", p-1 ,007\r\n\r\n') == [("007", "p-1")]
    assert read("from,to\n") == []


def test_undecided_rows_stay_out() -> None:
    assert read("from,to,confidence\nu-1,,Ambiguous\nu-2,p-2,Certain\n") == [("u-2", "p-2")]


def test_a_file_that_nobody_reviewed_is_refused() -> None:
    with pytest.raises(InvalidSpecError, match=r"the file has the SHA-256 [0-9a-f]{64}, and `sha256` says 00: review"):
        read_links(b"from,to\n", sha256="00")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1, field 'from' must be a column of the header, once"),
        ("from,To\n", "line 1, field 'to' must be a column"),
        ("from,to,to\n", "line 1, field 'to' must be a column"),
        ("from,to\nu-1\n", "line 2 has 1 fields, and the header 2"),
        ("from,to\nu-1,p-1,x\n", "line 2 has 3 fields, and the header 2"),
        ("from,to\nu-1,p-1\n,p-2\n", "line 3, field 'from' must have 1 to 255 characters"),
        (f"from,to\nu-1,{'p' * 256}\n", "line 2, field 'to' must have 1 to 255 characters"),
        ("from,to\nu-1,u-1\n", "line 2, field 'to' must differ from `from`"),
        ("from,to\nu-1,p-1\nu-2,p-2\nu-3,p-1\n", "line 4, field 'to' stands in line 2 already: a record is one human"),
        ('from,to\n"u-1,p-1\n', "the file is no CSV"),
        (b"from,to\nu-\xff,p-1\n", "the file is not UTF-8 text"),
    ],
)
def test_what_is_wrong_is_named(text: str | bytes, words: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        read(text)
    assert caught.value.message.startswith("spec.identity.linksFrom: ")
    assert words in caught.value.message

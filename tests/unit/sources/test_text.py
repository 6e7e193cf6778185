"""However a file is cut into pieces while it is proven, the same rows come out, and the same is said about them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homeroom.sources import text
from homeroom.sources.base import ExportIncompleteError, ExportInvalidError

_PLAIN = st.lists(
    st.sampled_from(["u-1,Ysolde", "u-2,Çağla", ",", "u-3,Tamsiniel Brambleveil"]).map(str.encode), max_size=6
)
_ODD = st.sampled_from(
    [b"u-4", b"u-5,a,b", b'"u-6","a,b"', b'"u-7', b"u-8,\ra\nu-9,b", b"", b"\0,x", b"\xff,not UTF-8", b"\xc3,neither"]
)


def read(content: bytes) -> object:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "users.csv")
        path.write_bytes(content)
        try:
            table = text.read_table(
                path, file="users.csv", columns=frozenset({"sourcedId", "givenName"}), scratch=Path(place)
            )
        except (ExportInvalidError, ExportIncompleteError) as error:
            return error.findings.frame.rows()
        return table.rows, table.malformed, table.findings.frame.rows(), table.scan.collect().sort("row").rows()


@given(
    before=_PLAIN,
    odd=st.lists(_ODD, max_size=1),
    after=_PLAIN,
    end=st.sampled_from([b"\n", b"\r\n"]),
    last=st.sampled_from([b"", b"\r", b"\n", b"\r\n"]),
)
@example(before=[], odd=[b"u-8,\ra\nu-9,b"], after=[], end=b"\r\n", last=b"\r\n")  # a piece that ends with \r
def test_pieces_change_nothing(
    before: list[bytes], odd: list[bytes], after: list[bytes], end: bytes, last: bytes
) -> None:
    content = end.join([b"sourcedId,givenName", *before, *odd, *after]) + last
    expected = read(content)
    for size in range(24, 36):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(text, "_CHUNK", size)
            assert read(content) == expected, size


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_plain_files_are_proven_in_pieces(end: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["Ysolde", "Çağla", "", "Zephirine Dunmorrowe"] * 9
    rows = [(f"u-{number}", name or None) for number, name in enumerate(names)]
    content = end.join([b"sourcedId,givenName", *(f"{key},{name or ''}".encode() for key, name in rows)]) + end
    monkeypatch.setattr(text, "_quoted_lines", lambda *_args, **_options: pytest.fail("not taken for plain"))
    for size in range(24, 60):
        monkeypatch.setattr(text, "_CHUNK", size)
        assert read(content) == (len(rows), False, [], [(line, *row) for line, row in enumerate(rows, start=2)])

"""The file of `spec.identity.linksFrom`: what was reviewed is read, what is wrong is named by line and field."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from homeroom.api import API_VERSION, District, parse
from homeroom.errors import InvalidSpecError, RefusedError, TransientError
from homeroom.reconcile.connect import Outside
from homeroom.roster.identity import LINKS
from homeroom.sources import fetch_links, read_links
from homeroom.sources.location import Location


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


# ---------------------------------------------------------------------------------------------------------------------
# Getting it


def place(url: str, root: Path, **options: Any) -> Location:
    return Location(url=url, file_root=root, largest=1000, **options)


async def test_a_file_is_fetched_from_below_the_file_root(tmp_path: Path) -> None:
    (tmp_path / "links.csv").write_text("from,to\nu-1,p-1\n")
    digest = sha256((tmp_path / "links.csv").read_bytes()).hexdigest()
    found = await fetch_links(place("file:links.csv", tmp_path), sha256=digest)
    assert found.rows() == [("u-1", "p-1")]
    with pytest.raises(InvalidSpecError, match="review the file"):
        await fetch_links(place("file:links.csv", tmp_path), sha256="0" * 64)


@pytest.mark.parametrize("name", ["nothing.csv", "folder"])
async def test_a_file_that_cannot_be_read_is_waited_for(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(TransientError) as caught:
        await fetch_links(place(f"file:{name}", tmp_path), sha256="0" * 64)
    assert caught.value.message.startswith("spec.identity.linksFrom: ")


async def test_a_file_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homeroom.sources.links.LARGEST", 10)
    (tmp_path / "links.csv").write_text("from,to\nu-1,p-1\n")
    with pytest.raises(InvalidSpecError, match="larger than 10 bytes"):
        await fetch_links(place("file:links.csv", tmp_path), sha256="0" * 64)


async def test_links_are_fetched_as_the_source_is(tmp_path: Path) -> None:
    """With the operator's rules for addresses, and the tenant's own folder only."""
    (tmp_path / "lakeside").mkdir()
    (tmp_path / "lakeside" / "links.csv").write_text("from,to\nu-1,p-1\n")
    digest = sha256((tmp_path / "lakeside" / "links.csv").read_bytes()).hexdigest()
    outside = Outside(owner_id="o", file_root=tmp_path)

    async def links(namespace: str, **file: object) -> pl.DataFrame | None:
        source = {"oneRosterCSV": {"url": "file:export.zip"}}
        spec: dict[str, object] = {"timeZone": "Europe/Amsterdam", "source": source}
        spec |= {"identity": {"linksFrom": {"sha256": digest, **file}}} if file else {}
        metadata = {"name": "lakeside", "namespace": namespace}
        district = parse({"apiVersion": API_VERSION, "kind": "District", "metadata": metadata, "spec": spec})
        assert isinstance(district, District)
        return await outside.links(district, _secret)

    assert await links("lakeside") is None
    found = await links("lakeside", url="file:links.csv")
    assert found is not None
    assert found.rows() == [("u-1", "p-1")]
    for url in ("file:../lakeside/links.csv", "https://127.0.0.1/links.csv"):
        with pytest.raises(RefusedError):
            await links("hillside", url=url)


async def _secret(*, namespace: str, name: str) -> dict[str, str]:
    raise AssertionError(f"no secret {namespace}/{name} is declared")

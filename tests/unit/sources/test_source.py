"""Fetching from files: only below the root, only when something changed."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from homeroom.errors import InvalidSpecError, RefusedError, TransientError
from homeroom.roster.findings import Rule
from homeroom.sources import ExportIncompleteError
from homeroom.sources.oneroster_csv import OneRosterCSV
from homeroom.sources.package import Limits, opened

if TYPE_CHECKING:
    Export = Any


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    return tmp_path / "root"


@pytest.mark.parametrize("packed", [True, False])
async def test_an_unchanged_export_is_told(packed: bool, root: Path, export: Export) -> None:  # noqa: FBT001
    place = export.archive(root / "export") if packed else export.folder(root / "export")
    source = OneRosterCSV(url="file:///export", file_root=root)
    first = await source.fetch(previous=None, into=root)
    assert first.path == place
    assert not first.unchanged
    assert (await source.fetch(previous=first.validator, into=root)).unchanged
    export.set("orgs.csv", 2, "name", "Lakeside")
    export.archive(place) if packed else export.folder(place)
    assert not (await source.fetch(previous=first.validator, into=root)).unchanged


@pytest.mark.parametrize("packed", [True, False])
async def test_a_manifest_alone_changes_nothing(packed: bool, root: Path, export: Export) -> None:  # noqa: FBT001
    source = OneRosterCSV(url="file:///export", file_root=root)
    before = source.read(export.folder(root / "first"), previous=None)
    export.files = {"manifest.csv": export.text("manifest.csv").replace(",bulk", ",absent")}
    place = export.archive(root / "export") if packed else export.folder(root / "export")
    assert (await source.fetch(previous="something else", into=root)).unchanged
    assert source.read(place, previous=before.roster).digest == before.digest


@pytest.mark.parametrize("url", ["file:///../outside", "file:///link", "file:///%2e%2e/outside", "file:///in/link/x"])
def test_nothing_outside_the_root_is_read(url: str, root: Path) -> None:
    (root / "in").mkdir()
    (root / "link").symlink_to(root.parent / "outside")
    (root / "in" / "link").symlink_to("/etc")
    with pytest.raises(RefusedError, match="file-root"):
        OneRosterCSV(url=url, file_root=root)


def test_files_need_a_root() -> None:
    with pytest.raises(RefusedError, match="--file-root"):
        OneRosterCSV(url="file:///export", file_root=None)


def test_a_link_inside_an_export_leads_nowhere(root: Path, export: Export) -> None:
    folder = export.folder(root / "export")
    (folder / "users.csv").rename(root.parent / "outside" / "users.csv")
    (folder / "users.csv").symlink_to(root.parent / "outside" / "users.csv")
    source = OneRosterCSV(url="file:///export", file_root=root)
    with pytest.raises(Exception, match="outside of it"):
        source.read(folder, previous=None)


async def test_a_missing_export_is_waited_for(root: Path) -> None:
    source = OneRosterCSV(url="file:///nothing", file_root=root)
    with pytest.raises(TransientError, match="check that it is there"):
        await source.fetch(previous=None, into=root)
    assert [hop.ok for hop in await source.check()] == [False]


async def test_an_export_that_is_there_passes_the_check(root: Path, export: Export) -> None:
    export.folder(root / "export")
    assert [hop.ok for hop in await OneRosterCSV(url="file:///export", file_root=root).check()] == [True]


def test_a_folder_that_changes_while_it_is_read_is_refused(root: Path, export: Export) -> None:
    folder = export.folder(root / "export")
    wanted = {name.lower().removesuffix(".csv"): name.removesuffix(".csv") for name in export.files}
    with ExitStack() as stack:
        stack.enter_context(opened(folder, wanted=wanted, limits=Limits(), scratch=root))
        export.set("orgs.csv", 2, "name", "Another").folder(folder)
        with pytest.raises(ExportIncompleteError) as caught:
            stack.close()
    assert caught.value.findings.frame["rule"].to_list() == [Rule.CHANGED_MEANWHILE]


def test_a_bundle_without_certificate_is_refused(root: Path) -> None:
    with pytest.raises(InvalidSpecError, match="caBundle"):
        OneRosterCSV(url="https://sis.example/x", file_root=root, ca_bundle="no certificate")

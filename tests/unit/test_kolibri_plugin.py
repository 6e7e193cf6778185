"""The wheel of our plugin for Kolibri: what is in it, and that it stands alone."""

from __future__ import annotations

import ast
import tomllib
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import pytest

from homeroom.demo.kolibri import plugin_wheel
from homeroom.targets.kolibri.activity import MISSING, PATH

ROOT = Path(__file__).parents[2]
PACKAGE = "kolibri_homeroom_activity"
OF_KOLIBRI = {"django", "kolibri", "rest_framework"}  # Kolibri brings them along


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the wheel, as it is built from this checkout."""
    with ZipFile(plugin_wheel(tmp_path_factory.mktemp("wheel"))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_has_the_plugin_and_nothing_else(wheel: dict[str, bytes]) -> None:
    files = {name.removeprefix(f"{PACKAGE}/"): text for name, text in wheel.items() if ".dist-info/" not in name}
    assert set(files) == {"__init__.py", "kolibri_plugin.py", "api_urls.py", "api.py"}
    for name, text in files.items():
        assert text == (ROOT / "kolibri-plugin" / PACKAGE / name).read_bytes()
    (licence,) = [text for name, text in wheel.items() if name.endswith("/LICENSE")]
    assert licence == (ROOT / "LICENSE").read_bytes()


def test_the_wheel_asks_for_nothing_and_kolibri_finds_it(wheel: dict[str, bytes]) -> None:
    about = {name.partition(".dist-info/")[2]: text for name, text in wheel.items() if ".dist-info/" in name}
    metadata = message_from_bytes(about["METADATA"])
    assert metadata.get_all("Requires-Dist") is None
    assert metadata["Name"] == "kolibri-homeroom-activity", "Kolibri looks for the version by the package's name"
    assert metadata["Version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    entries = about["entry_points.txt"].decode().split("\n")
    assert entries[:2] == ["[kolibri.plugins]", f"{PACKAGE} = {PACKAGE}"]


def test_the_plugin_imports_nothing_but_kolibri(wheel: dict[str, bytes]) -> None:
    modules: set[str] = set()
    for name in (name for name in wheel if name.endswith(".py")):
        for node in ast.walk(ast.parse(wheel[name], feature_version=(3, 7))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules.add((node.module or "").partition(".")[0])
    assert modules <= {*OF_KOLIBRI, "datetime", "typing"}
    assert modules >= OF_KOLIBRI


def test_we_ask_where_kolibri_puts_it() -> None:
    assert PATH.startswith(f"{PACKAGE}/api/")
    assert PACKAGE in MISSING

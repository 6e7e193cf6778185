"""Names of the records stay text wherever they are shown: in spreadsheets and on terminals."""

from __future__ import annotations

import polars as pl
import pytest

from homeroom.cli import terminal
from homeroom.spreadsheet import safe


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("Ann;=1+1", "Ann;'=1+1"),  # a cell of its own where a semicolon parts them
        ("Ann\t-1", "Ann\t'-1"),
        ("Ann\r\n+1", "Ann\r\n'+1"),
        ("Ann-Marie; 5a = 5b", "Ann-Marie; 5a = 5b"),
    ],
)
def test_no_cell_begins_a_formula_wherever_cells_are_parted(name: str, cell: str) -> None:
    assert safe(pl.DataFrame({"name": [name], "number": [-1]})).rows() == [(cell, -1)]


def test_a_name_gives_no_orders_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "\x1b]0;title\x07\x1b[2JAnn\x9b31m \u202eMarie\r\b"
    terminal.say(f"one {name}\n\ttwo")
    terminal.table(["NAME"], [[name]])
    terminal.error(name)
    terminal.warning(name)
    said = capsys.readouterr()
    assert said.out.startswith("one ]0;title[2JAnn31m Marie\n\ttwo\n")
    assert not set(said.out + said.err) & set("\x1b\x07\x9b\u202e\r\b")

"""Files to hand on: pages that need nothing else, and tables for spreadsheets; for their owner's eyes only.

Whatever stands in a record is text here: HTML is escaped and may run nothing, no cell of a table begins as a formula
does. Columnar up to the finished text. Neighbours: `holdreport`, `usage`, which say what stands in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Final

import polars as pl

from homeroom.spreadsheet import safe

PERSONAL_DATA: Final = (
    "Personal data: names of people. Only for those who have to decide about it; destroy it when that is done."
)

_STYLE: Final = """
body { font: 14px/1.45 sans-serif; color: #111; max-width: 70em; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.2em; margin-top: 2em }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .25em .6em .25em 0; border-bottom: 1px solid #ccc }
td { overflow-wrap: break-word } section { overflow-x: auto } tr { break-inside: avoid }
.wide { overflow-x: auto } .wide .picture { min-width: 46em }
summary { cursor: pointer; margin: .4em 0 }
.facts th { width: 9em; font-weight: normal; color: #555 }
.picture { width: 100%; height: auto; print-color-adjust: exact; -webkit-print-color-adjust: exact }
.notice { border: 2px solid #a00; padding: .6em 1em; font-weight: bold }
@page { size: A4 landscape; margin: 15mm }
@media print { body { margin: 0; max-width: none; font-size: 9pt } .school { break-before: page } }
"""
_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"}


def private(path: Path) -> Path:
    """The file, there and for its owner only, also if it has been there before."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    return path


def write_csv(path: Path, cells: pl.DataFrame) -> None:
    """Write a table, `safe`."""
    safe(cells).write_csv(private(path), include_bom=True)  # without it, spreadsheets take ä for something else


def write_page(path: Path, title: str, parts: Iterable[str]) -> None:
    """Write a page of one heading and `parts`, which are HTML."""
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )
    private(path).write_text(page, encoding="utf-8")


def facts(told: Mapping[str, str]) -> str:
    """What a page is about, as HTML; every word is escaped."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(words)}</td></tr>\n" for name, words in told.items())
    return f'<table class="facts">\n{rows}</table>'


def table(frame: pl.DataFrame) -> str:
    """Rows as HTML; every cell is escaped."""
    cells = pl.all().cast(pl.String).fill_null("").str.replace_many(_ESCAPES)
    row = pl.concat_str(pl.lit("<tr><td>"), pl.concat_str(pl.all(), separator="</td><td>"), pl.lit("</td></tr>"))
    rows = frame.select(cells).select(row.str.join("\n")).item()
    head = "".join(f"<th>{escape(name)}</th>" for name in frame.columns)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"

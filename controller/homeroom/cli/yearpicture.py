"""Use of seats over a school year, as a picture in SVG with the numbers behind it: HTML that runs nothing.

Lines differ in dashes as well as in colour, so that they can be told apart in grey; title, description and a table say
the same in words. Neighbours: `usage`, which shows it, `handout`, the page, `homeroom.seats.forecast`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from html import escape
from math import ceil, log10
from typing import Final, NamedTuple

import polars as pl

from homeroom.cli import handout
from homeroom.seats.forecast import Forecast, Outlook, school_year

_WIDE: Final = 860
_LEFT: Final = 52
_RIGHT: Final = 12
_TOP: Final = 34
_FOOT: Final = 26
_TICKS: Final = 4


class _Line(NamedTuple):
    """How a column is drawn; `told`: its name in the picture."""

    column: str
    told: str
    style: str


_LINES: Final = (
    _Line("capacity", "seats of the pool", 'stroke="#111" stroke-width="2"'),
    _Line("granted", "granted", 'stroke="#767676" stroke-width="1.5" stroke-dasharray="8 4"'),
    _Line("demand", "demand", 'stroke="#b30000" stroke-width="1.5" stroke-dasharray="2 3"'),
    _Line("used", "used", 'stroke="#1f4e79" stroke-width="2.5"'),
    _Line("active", "active", 'stroke="#00695c" stroke-width="1.5" stroke-dasharray="6 2 1 2"'),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plot:
    """Where days and numbers of seats are. `high`: of the whole picture, `most`: the number at its top."""

    first: date
    last: date
    most: int
    high: int

    def x(self, day: date) -> float:
        return _LEFT + (day - self.first) / (self.last - self.first) * (_WIDE - _LEFT - _RIGHT)

    def y(self, seats: float) -> float:
        low = self.high - _FOOT
        return low - min(max(seats, 0), self.most) / self.most * (low - _TOP)

    def at(self, day: date, seats: float) -> str:
        return f"{self.x(day):.1f},{self.y(seats):.1f}"


def picture(days: pl.DataFrame, *, name: str, today: date, ahead: Forecast | None = None, high: int = 340) -> str:
    """The use of `name` in the school year of `today`, with what is `ahead`. `high`: of the picture, in its own units.

    `days`: as `homeroom.store.use` has them of a pool, or of a licence, sorted.
    """
    if days.is_empty():
        return "<p>Use over the school year: no day of it is known yet.</p>"
    first, last = school_year(today)
    lines = [line for line in _LINES if line.column in days.columns]
    most = _round(days.select(pl.max_horizontal(line.column for line in lines).max()).item() or 1)
    plot = _Plot(first=first, last=last, most=most, high=high)
    known = f"from {days['day'].item(0)} to {days['day'].item(-1)}"
    now = days.row(-1, named=True)
    counts = ", ".join(f"{now[line.column]:,} {line.told}" for line in lines if now[line.column] is not None)
    told = f"{known}. On the last day: {counts}."
    told += f" All its seats are in use: {ahead.told}." if ahead is not None else ""
    ids = f"p{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    parts = [
        f'<svg class="picture" viewBox="0 0 {_WIDE} {high}" role="img" aria-labelledby="{ids}t {ids}d" font-size="13">',
        f'<title id="{ids}t">{escape(name)}: use over the school year</title><desc id="{ids}d">{escape(told)}</desc>',
        *_keys(lines, ahead),
        *_axes(plot),
        *(_ahead(plot, ahead, today=today, capacity=now.get("capacity", now["granted"])) if ahead is not None else ()),
        *_curves(plot, days, lines),
        "</svg>",
    ]
    return (
        '<div class="wide">\n' + "\n".join(parts) + "\n</div>\n<details><summary>The numbers, by week</summary>\n"
        f"{handout.table(_weekly(days, lines))}\n</details>"
    )


def _weekly(days: pl.DataFrame, lines: Sequence[_Line]) -> pl.DataFrame:
    """The last day of each week."""
    rows = days.sort("day").group_by(week=pl.col("day").dt.truncate("1w"), maintain_order=True).last()
    return rows.select("day", *(pl.col(line.column).alias(line.told) for line in lines))


def _keys(lines: Sequence[_Line], ahead: Forecast | None) -> Iterator[str]:
    names = [(line.told, f'<line x1="0" x2="26" y1="0" y2="0" {line.style}/>') for line in lines]
    if ahead is not None and ahead.outlook is not Outlook.TOO_EARLY:
        names.append(("as it goes now", f'<line x1="0" x2="26" y1="0" y2="0" {_AHEAD}/>'))
    x = 0.0
    for told, drawn in names:
        yield f'<g transform="translate({x:.0f} 12)">{drawn}<text x="32" y="4">{told}</text></g>'
        x += 32 + 7.2 * len(told) + 22


_AHEAD: Final = 'stroke="#1f4e79" stroke-width="2" stroke-dasharray="1 4"'


def _axes(plot: _Plot) -> Iterator[str]:
    low = plot.high - _FOOT
    for tick in range(_TICKS + 1):
        seats = plot.most * tick / _TICKS
        y = plot.y(seats)
        yield f'<line x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{seats:,.0f}</text>'
    day = plot.first
    while day <= plot.last:
        following = (day + timedelta(days=31)).replace(day=1)
        yield f'<line x1="{plot.x(day):.1f}" x2="{plot.x(day):.1f}" y1="{low}" y2="{low + 5}" stroke="#767676"/>'
        middle = (plot.x(day) + min(plot.x(following), _WIDE - _RIGHT)) / 2
        yield f'<text x="{middle:.1f}" y="{low + 18}" text-anchor="middle">{day:%b}</text>'
        day = following


def _curves(plot: _Plot, days: pl.DataFrame, lines: Sequence[_Line]) -> Iterator[str]:
    for line in lines:
        for part in _unbroken(days.select("day", line.column)):
            points = " ".join(plot.at(*row) for row in part)
            if line.column == "used":
                low = f"{plot.x(part[-1][0]):.1f},{plot.y(0):.1f} {plot.x(part[0][0]):.1f},{plot.y(0):.1f}"
                yield f'<polygon points="{points} {low}" fill="#9dc3e6" fill-opacity="0.45"/>'
            if len(part) == 1:  # a single day is a dot
                x, y = points.split(",")
                yield f'<circle cx="{x}" cy="{y}" r="2.5" fill="none" {line.style.partition(" stroke-dash")[0]}/>'
            yield f'<polyline points="{points}" fill="none" {line.style}/>'


def _unbroken(column: pl.DataFrame) -> Iterator[list[tuple[date, int]]]:
    """Days after one another of which the number is known."""
    part: list[tuple[date, int]] = []
    for day, seats in column.iter_rows():
        if seats is not None:
            part.append((day, seats))
        elif part:
            yield part
            part = []
    if part:
        yield part


def _ahead(plot: _Plot, ahead: Forecast, *, today: date, capacity: int) -> Iterator[str]:
    """Today, and how it goes on: a line, and what lies between a slow and a fast week around it."""
    x, low = plot.x(today), plot.high - _FOOT
    yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{low}" stroke="#767676" stroke-dasharray="1 2"/>'
    word, shift = ("end", -5) if x > _WIDE * 0.9 else ("start", 5)
    yield f'<text x="{x + shift:.1f}" y="{low - 6}" text-anchor="{word}" fill="#555">today</text>'
    if ahead.outlook is Outlook.TOO_EARLY or today >= plot.last:
        return
    weeks = (plot.last - today) / timedelta(days=7)
    # The line ends where it leaves the picture.
    ends = [_end(plot, ahead.level, pace, today, weeks) for pace in (ahead.slow, ahead.pace, ahead.fast)]
    corner = plot.at(*_meeting(plot, ends[0], ends[2]))
    area = " ".join([plot.at(today, ahead.level), plot.at(*ends[0]), corner, plot.at(*ends[2])])
    yield f'<polygon points="{area}" fill="#1f4e79" fill-opacity="0.1"/>'
    yield f'<polyline points="{plot.at(today, ahead.level)} {plot.at(*ends[1])}" fill="none" {_AHEAD}/>'
    y = plot.y(capacity)
    yield f'<line x1="{x:.1f}" x2="{_WIDE - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#111" stroke-width="0.7"/>'
    if ahead.expected is not None:
        x = plot.x(ahead.expected)
        word, shift, below = ("end", -8, -9) if x > _WIDE * 0.85 else ("start", 9, 19)  # beside the line
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="#fff" stroke="#111" stroke-width="2"/>'
        yield f'<text x="{x + shift:.1f}" y="{y + below:.1f}" text-anchor="{word}">{ahead.expected}</text>'


def _end(plot: _Plot, level: float, pace: float, today: date, weeks: float) -> tuple[date, float]:
    """Where a line from today leaves the picture: at the end of the year, at its top, or at nought."""
    bound = plot.most if pace > 0 else 0
    left = (bound - level) / pace if pace else weeks
    within = min(max(left, 0.0), weeks)
    return today + timedelta(weeks=within), level + pace * within


def _meeting(plot: _Plot, slow: tuple[date, float], fast: tuple[date, float]) -> tuple[date, float]:
    """The corner of the picture between the ends of two lines."""
    return max(slow[0], fast[0]), fast[1] if fast[0] < plot.last else slow[1]


def _round(most: int) -> int:
    """A round number that divides by the ticks, with some room above the lines."""
    room = most * 1.08
    step = 10 ** int(log10(room))
    top: float = next(step * part for part in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * part >= room)
    return ceil(top / _TICKS) * _TICKS

"""Use over the school year, drawn."""

from __future__ import annotations

import re
from datetime import date, timedelta
from xml.etree import ElementTree as ET

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.examples import examples

from homeroom.cli.yearpicture import picture
from homeroom.seats.forecast import forecast
from homeroom.store import DAYS_SCHEMA

TODAY = date(2026, 11, 20)
SVG = "{http://www.w3.org/2000/svg}"


def days(*used: int, capacity: int = 100, active: int | None = 0) -> pl.DataFrame:
    """The days that end today."""
    first = TODAY - timedelta(days=len(used) - 1)
    rows = [(first + timedelta(days=number), capacity, 90, one, one + 3, active) for number, one in enumerate(used)]
    return pl.DataFrame(rows, DAYS_SCHEMA, orient="row")


def drawn(frame: pl.DataFrame, name: str = "pool n/p") -> tuple[ET.Element, str]:
    """The picture, and all around it."""
    capacity = frame["capacity"].item(-1)
    ahead = forecast(frame, capacity=capacity, today=TODAY)
    html = picture(frame, name=name, today=TODAY, ahead=ahead)
    match = re.search(r"<svg.*</svg>", html, re.DOTALL)
    assert match is not None
    text = match[0].replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ')
    return ET.fromstring(text), html


def test_it_says_in_words_what_it_shows() -> None:
    svg, html = drawn(days(*range(40, 81)), name="<pool>")
    title, described = svg.find(f"{SVG}title"), svg.find(f"{SVG}desc")
    assert title is not None
    assert described is not None
    assert svg.get("role") == "img"
    assert svg.get("aria-labelledby") == f"{title.get('id')} {described.get('id')}"
    assert title.text == "<pool>: use over the school year"
    words = str(described.text)
    assert words.startswith("from 2026-10-11 to 2026-11-20. On the last day: 100 seats of the pool, 90 granted, ")
    assert "All its seats are in use: about 2026-12-10; use grows by about 7.0 seats a week." in words
    assert "<pool>" not in html


def test_the_day_on_which_it_is_full_is_marked() -> None:
    svg, _ = drawn(days(*range(40, 81)))
    texts = [text.text for text in svg.iter(f"{SVG}text")]
    assert "2026-12-10" in texts
    assert [text for text in texts if text in {"Aug", "Nov", "Jul"}] == ["Aug", "Nov", "Jul"]
    still, _ = drawn(days(*[40] * 41))
    assert not any(str(text.text).startswith("202") for text in still.iter(f"{SVG}text"))


def test_of_a_licence_the_day_is_that_on_which_what_it_was_granted_is_in_use() -> None:
    frame = days(*range(40, 81)).select(pl.lit("n/l").alias("licence"), pl.exclude("capacity"))
    ahead = forecast(frame, capacity=90, today=TODAY)
    html = picture(frame, name="licence n/l", today=TODAY, ahead=ahead, high=200)
    assert ">2026-11-30</text>" in html
    assert "All its seats are in use: about 2026-11-30" in html


def test_the_table_behind_it_has_the_last_day_of_each_week() -> None:
    _, html = drawn(days(*range(40, 81)))
    found = re.findall(r"<tr><td>(\S+?)</td><td>100</td><td>90</td><td>\d+</td><td>(\d+)</td>", html)
    assert found[-2:] == [("2026-11-15", "75"), ("2026-11-20", "80")]


def test_days_of_which_it_is_not_known_break_the_line() -> None:
    frame = pl.concat([days(*range(40, 81))[:20], days(*range(40, 81), active=None)[20:30], days(*range(40, 81))[30:]])
    svg, _ = drawn(frame)
    assert len(list(svg.iter(f"{SVG}polyline"))) == len(list(drawn(days(*range(40, 81)))[0].iter(f"{SVG}polyline"))) + 1


def test_without_days_it_says_so() -> None:
    assert picture(days()[:0], name="x", today=TODAY) == "<p>Use over the school year: no day of it is known yet.</p>"


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=70), st.integers(0, 100_000))
@examples(100)
def test_nothing_leaves_the_picture(used: list[int], capacity: int) -> None:
    svg, _ = drawn(days(*used, capacity=capacity))
    for shape in (*svg.iter(f"{SVG}polyline"), *svg.iter(f"{SVG}polygon")):
        for point in str(shape.get("points")).split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 860
            assert 0 <= y <= 340


@pytest.mark.parametrize("today", [date(2026, 8, 1), date(2027, 7, 31)])
def test_on_the_first_and_the_last_day_of_a_year(today: date) -> None:
    frame = days(1, 2, 3)[-1:].with_columns(day=pl.lit(today))
    assert "<svg" in picture(frame, name="x", today=today, ahead=forecast(frame, capacity=9, today=today))

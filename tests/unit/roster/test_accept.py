"""Rows of links in canonical order, by one number per row or, where that is too small or they are few, by columns."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.roster import accept
from homeroom.roster.accept import REFERENCES, in_order, put_in_order
from homeroom.roster.beside import FEW
from homeroom.roster.tables import SCHEMAS

VALUES: dict[str, Sequence[object]] = {
    "class": [0, 1, 2**22, None],
    "user": [0, 5, 2**22, None],
    "org": [3, 4, None],
    "role": ["student", "teacher", None],
    "primary": [True, False, None],
    "begin": [date(1900, 1, 1), date(2026, 9, 1), None],
    "end": [date(2026, 9, 2), date(2200, 1, 1), None],
}


@pytest.mark.parametrize("table", ["roles", "enrollments"])
@given(data=st.data())
def test_rows_are_sorted_by_both_ends_and_then_by_all_other_columns(table: str, data: st.DataObject) -> None:
    schema = SCHEMAS[table]
    possible = st.tuples(*(st.sampled_from(data.draw(_some(VALUES[name]))) for name in schema))
    frame = pl.DataFrame(data.draw(st.lists(possible, max_size=6)), schema=schema, orient="row")
    ends = REFERENCES[table]
    expected = frame.sort([*ends, *(name for name in schema if name not in ends)])
    for few in (FEW, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(accept, "FEW", few)
            assert in_order(frame, ends).equals(expected)
            assert in_order(frame, ends).schema == schema
            found, places = put_in_order(frame, ends)
            assert found.equals(expected)
            assert found[places].equals(frame)


def test_rows_that_do_not_fit_into_one_number_are_sorted_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accept, "FEW", 0)
    days = [date(1900, 1, 1), date(2200, 1, 1)]
    rows = [
        (n, m, "student", True, first, last) for n in (2**22, 0) for m in (2**22, 0) for first in days for last in days
    ]
    frame = pl.DataFrame(rows, schema=SCHEMAS["enrollments"], orient="row")
    assert in_order(frame, REFERENCES["enrollments"]).rows() == sorted(rows)


def _some(values: Sequence[object]) -> st.SearchStrategy[list[object]]:
    """Some of the values: few columns use all that they could hold, and some hold but one."""
    return st.lists(st.sampled_from(values), min_size=1, max_size=len(values), unique=True)

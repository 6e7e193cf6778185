"""A digest is of what a frame says, however it lies in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from homeroom.roster.digest import digest, equal

SCHEMA = pl.Schema(
    {
        "text": pl.String(),
        "list": pl.List(pl.String),
        "row": pl.UInt32(),
        "day": pl.Date(),
        "year": pl.Int16(),
        "truth": pl.Boolean(),
        "word": pl.Enum(["a", "b"]),
    }
)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["x", "", "a longer text than fits", None]),
        st.sampled_from([[], ["x"], ["x", "y"], [None], None]),
        st.sampled_from([0, 7, None]),
        st.sampled_from([date(2026, 9, 1), None]),
        st.sampled_from([2027, None]),
        st.sampled_from([True, False, None]),
        st.sampled_from(["a", "b", None]),
    ),
    max_size=5,
)


def frame_of(rows: Sequence[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


@given(ROWS)
def test_the_same_rows_have_the_same_digest_however_they_came(rows: Sequence[tuple[object, ...]]) -> None:
    frame = frame_of(rows)
    n = frame.height
    others = {
        "in pieces": pl.concat([frame[:1], frame[1:]], rechunk=False),
        "cut out": pl.concat([frame, frame])[n:],
        "picked": pl.concat([frame, frame])[list(range(n))],
        "filtered": pl.concat([frame, frame.reverse()]).with_row_index("i").filter(pl.col("i") < n).drop("i"),
        "joined": frame.with_row_index("i")
        .join(pl.DataFrame({"i": range(n)}, schema={"i": pl.UInt32}), on="i", how="left", maintain_order="left")
        .drop("i"),
        "filled": frame.with_columns(pl.when(pl.int_range(pl.len()) >= 0).then(pl.all())),
    }
    for how, other in others.items():
        assert other.equals(frame), how
        assert digest([("t", other)]) == digest([("t", frame)]), how
        assert equal(frame, other), how


def test_a_frame_from_a_file_has_the_digest_of_the_one_that_was_written(tmp_path: Path) -> None:
    full: tuple[object, ...] = ("x", ["y"], 1, date(2026, 9, 1), 2027, True, "a")
    empty: tuple[object, ...] = ("", [], 0, None, 1, False, "b")
    for rows in ([full], [(None,) * 7, empty]):
        frame = frame_of(rows)
        frame.write_parquet(tmp_path / "t.parquet")
        assert digest([("t", pl.read_parquet(tmp_path / "t.parquet").cast(SCHEMA))]) == digest([("t", frame)])


@given(ROWS, ROWS)
def test_other_rows_have_another_digest(one: Sequence[tuple[object, ...]], other: Sequence[tuple[object, ...]]) -> None:
    same = frame_of(one).equals(frame_of(other))
    assert (digest([("t", frame_of(one))]) == digest([("t", frame_of(other))])) == same


@given(rows=ROWS, others=ROWS, keep=st.integers(0, 5))
def test_frames_are_equal_where_polars_says_so(
    rows: Sequence[tuple[object, ...]], others: Sequence[tuple[object, ...]], keep: int
) -> None:
    """They differ in some rows, in some columns of one row, or not at all."""
    frame = frame_of(rows)
    mixed = frame_of([(*row[:keep], *other[keep:]) for row, other in zip(rows, others, strict=False)])
    for other in (frame_of([*rows[:keep], *others[keep:]]), frame_of(others), mixed, frame_of(rows)):
        assert equal(frame, other) is frame.equals(other)

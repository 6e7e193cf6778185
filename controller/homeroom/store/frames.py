"""Frames as Parquet, in folders and in columns of tables. Small ones take half as long at once as one by one.

Neighbours: `folders` (which of these a row names), `store`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl


def write_files(frames: Mapping[str, pl.DataFrame], folder: Path) -> None:
    """Write each into a file of its name."""
    files = [frame.lazy().sink_parquet(_file(folder, name), lazy=True) for name, frame in frames.items()]
    pl.collect_all(files, engine="streaming")


def read_files(folder: Path, names: Iterable[str]) -> dict[str, pl.DataFrame]:
    """The frames of these names, as they were written. Raises FileNotFoundError."""
    found = [*names]
    return dict(zip(found, pl.collect_all([pl.scan_parquet(_file(folder, name)) for name in found]), strict=True))


def packed(frame: pl.DataFrame) -> bytes:
    """A frame as what stands in a column."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def unpacked(blobs: Iterable[bytes]) -> list[pl.DataFrame]:
    """The frames that `packed` made these of."""
    return pl.collect_all([pl.scan_parquet(io.BytesIO(blob)) for blob in blobs])


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.parquet"

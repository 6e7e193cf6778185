"""What makes work on all rows of a district quick, and is not worth its cost for a few.

Threads, for something that is computed beside something else, and polars' streaming engine.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Final, Literal, ParamSpec, TypeVar

import polars as pl

P = ParamSpec("P")
T = TypeVar("T")

FEW: Final = 20_000
"""Rows for which neither is worth it."""


class AtOnce(Executor):
    """Computes where and when it is asked to."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """What came of it, or the error that was raised."""
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - raised again to whoever asks for the result, as threads do
            done.set_exception(error)
        return done


def beside(threads: int | None, *, few: bool) -> Executor:
    """Who computes with so many threads (None: as many as are of use); with none where there are `few` rows."""
    return AtOnce() if few else ThreadPoolExecutor(max_workers=threads)


def engine(rows: int) -> Literal["in-memory", "streaming"]:
    """By which polars computes best: many rows in small pieces, which need no new memory, and half the time."""
    return "in-memory" if rows < FEW else "streaming"


def selected(frame: pl.DataFrame, **columns: pl.Expr) -> pl.DataFrame:
    """`frame.select`, by which polars computes best. A lazy query takes five times as long for a few rows."""
    if frame.height < FEW:
        return frame.select(**columns)
    return frame.lazy().select(**columns).collect(engine="streaming")

"""Many requests at once (`homeroom.wire`); what one request does is tested with those who send it."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeroom.errors import TransientError
from homeroom.wire import gathered


@given(waits=st.lists(st.integers(0, 5), max_size=30), at_once=st.integers(1, 8))
def test_results_come_in_order_and_no_more_are_under_way_than_may_be(waits: list[int], at_once: int) -> None:
    under_way = most = 0

    async def do(item: tuple[int, int]) -> int:
        nonlocal under_way, most
        number, turns = item
        under_way += 1
        most = max(most, under_way)
        for _ in range(turns):
            await asyncio.sleep(0)
        under_way -= 1
        return number

    assert asyncio.run(gathered(do, enumerate(waits), at_once=at_once)) == list(range(len(waits)))
    assert most <= at_once


@given(size=st.integers(1, 30), at_once=st.integers(1, 8), data=st.data())
def test_the_first_error_ends_all_and_comes_out_as_itself(size: int, at_once: int, data: st.DataObject) -> None:
    broken = data.draw(st.integers(0, size - 1))
    begun, ended = list[int](), list[int]()

    async def do(item: int) -> None:
        begun.append(item)
        try:
            await asyncio.sleep(0)
            if item == broken:
                raise TransientError("away", reason="TargetUnavailable")
            await asyncio.sleep(0)
        finally:
            ended.append(item)

    async def run() -> None:
        with pytest.raises(TransientError, match="away"):
            await gathered(do, range(size), at_once=at_once)
        assert sorted(begun) == sorted(ended)  # none is under way any more
        seen = len(begun)
        await asyncio.sleep(0)
        assert len(begun) == seen

    asyncio.run(run())
    assert max(begun) < broken + at_once

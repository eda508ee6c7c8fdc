"""What waits is taken together, up to a size; what is in hand is finished."""

from __future__ import annotations

import asyncio

import pytest

from infra.background import background
from infra.live import batches
from infra.live.batches import Batches
from tests.support.waiting import until


async def test_what_waits_is_taken_together_up_to_the_size() -> None:
    inbox, taken = asyncio.Queue[int](), list[list[int]]()

    async def settle(batch: list[int]) -> None:
        taken.append(batch)

    for number in range(8):
        inbox.put_nowait(number)
    async with background() as tasks:
        taking = Batches(inbox, 3, settle)
        running = tasks.start(taking.run(), "batches")
        await until(inbox.empty)
        await taking.leave(running)
    assert taken == [[0, 1, 2], [3, 4, 5], [6, 7]]


async def test_leaving_finishes_what_is_in_hand_and_takes_no_more() -> None:
    inbox, go_on, finished = asyncio.Queue[int](), asyncio.Event(), list[list[int]]()

    async def settle(batch: list[int]) -> None:
        await go_on.wait()
        finished.append(batch)

    inbox.put_nowait(1)
    async with background() as tasks:
        taking = Batches(inbox, 3, settle)
        running = tasks.start(taking.run(), "batches")
        await asyncio.sleep(0)
        inbox.put_nowait(2)
        asyncio.get_running_loop().call_soon(go_on.set)
        await taking.leave(running)
    assert finished == [[1]]
    assert inbox.qsize() == 1


async def test_leaving_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "GRACE", 0.01)
    inbox, cancelled = asyncio.Queue[int](), list[bool]()

    async def settle(batch: list[int]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    inbox.put_nowait(1)
    async with background() as tasks:
        taking = Batches(inbox, 3, settle)
        running = tasks.start(taking.run(), "batches")
        await asyncio.sleep(0)
        await taking.leave(running)
    assert cancelled == [True]

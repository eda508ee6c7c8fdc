"""Tasks beside a block end with it, and their failure ends it."""

from __future__ import annotations

import asyncio

import pytest

from infra.background import background, stop


async def forever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("ended")


async def failing() -> None:
    raise LookupError("task")


async def test_tasks_have_ended_when_the_block_is_left() -> None:
    ended: list[str] = []
    async with background() as tasks:
        tasks.start(forever(ended), "one")
        tasks.start(forever(ended), "two")
        await asyncio.sleep(0)
    assert ended == ["ended", "ended"]


async def test_an_error_of_the_block_is_raised_as_it_is_and_tasks_have_ended() -> None:
    ended: list[str] = []
    with pytest.raises(ZeroDivisionError):
        async with background() as tasks:
            tasks.start(forever(ended), "one")
            await asyncio.sleep(0)
            raise ZeroDivisionError
    assert ended == ["ended"]


async def test_a_task_that_fails_ends_the_block() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        async with background() as tasks:
            tasks.start(failing(), "one")
            await asyncio.Event().wait()
    assert raised.group_contains(LookupError, match="task")


async def test_a_cancelled_block_is_cancelled() -> None:
    ended: list[str] = []

    async def block() -> None:
        async with background() as tasks:
            tasks.start(forever(ended), "one")
            await asyncio.Event().wait()

    running = asyncio.ensure_future(block())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == ["ended"]


async def test_one_task_can_be_stopped_by_itself() -> None:
    ended: list[str] = []
    async with background() as tasks:
        one = tasks.start(forever(ended), "one")
        await asyncio.sleep(0)
        await stop(one)
        assert ended == ["ended"]
        await stop(one)

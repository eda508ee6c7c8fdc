"""What is asked for together: nobody is left waiting, whenever it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from infra.background import background
from infra.together import Together


async def doubled(_: str, numbers: Sequence[int]) -> list[int]:
    return [2 * number for number in numbers]


async def test_who_asks_as_it_ends_is_not_left_waiting() -> None:
    async with background() as tasks:
        together = Together(doubled, tasks, most=10)
        asking = asyncio.ensure_future(together.ask("a", 1))
        await asyncio.sleep(0)  # its task is there, and has not begun when it is cancelled
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await asking


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
async def test_who_asks_after_its_end_is_refused_each_time() -> None:
    async with background() as tasks:
        together = Together(doubled, tasks, most=10)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            async with asyncio.timeout(5):
                await together.ask("a", 1)


async def test_who_asks_at_any_moment_around_the_end_of_a_statement_is_answered() -> None:
    async with background() as tasks:
        together = Together(doubled, tasks, most=10)

        async def ask_after(turns: int) -> int:
            for _ in range(turns):
                await asyncio.sleep(0)
            return await together.ask("a", turns)

        async with asyncio.timeout(5):
            answers = await asyncio.gather(*(ask_after(turns) for turns in range(30)))
    assert answers == [2 * turns for turns in range(30)]

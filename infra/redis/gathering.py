"""One question to Redis for all who ask at the same moment: to send one takes longer than to answer it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

MOST = 1_000
"""Keys in one question, if nobody asks for more by himself."""

Values = list[bytes | None]


class Gathered:
    """Gathers the keys asked for in one turn of the loop."""

    def __init__(self, ask: Callable[[Sequence[str]], Awaitable[Values]]) -> None:
        """`ask` gives one value for each key."""
        self._ask = ask
        self._waiting: list[tuple[Sequence[str], asyncio.Future[Values]]] = []
        self._count = 0
        self._asking: set[asyncio.Task[None]] = set()

    async def get(self, keys: Sequence[str]) -> Values:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Values] = loop.create_future()
        if self._count + len(keys) > MOST:
            self._begin()
        if not self._waiting:
            loop.call_soon(self._begin)
        self._waiting.append((keys, answer))
        self._count += len(keys)
        return await answer

    def _begin(self) -> None:
        if not self._waiting:
            return  # they were too many to wait for this turn's end
        waiting, self._waiting, self._count = self._waiting, [], 0
        task = asyncio.get_running_loop().create_task(self._answer(waiting))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _answer(self, waiting: list[tuple[Sequence[str], asyncio.Future[Values]]]) -> None:
        try:
            values = await self._ask([key for keys, _ in waiting for key in keys])
        except BaseException as error:  # told to all who asked
            for _, answer in waiting:
                if not answer.done():
                    answer.set_exception(error) if isinstance(error, Exception) else answer.cancel()
            if isinstance(error, Exception):
                return
            raise
        start = 0
        for keys, answer in waiting:
            if not answer.done():  # who asked may be gone
                answer.set_result(values[start : start + len(keys)])
            start += len(keys)

"""A request to stop, which interrupts waiting and never work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Stop:
    """Asked for once, by a signal or by what is around; loops look at it between two rounds."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._waits: set[asyncio.Timeout] = set()

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def ask(self) -> None:
        self._asked.set()
        for wait in self._waits:
            wait.reschedule(asyncio.get_running_loop().time())

    async def wait(self) -> None:
        await self._asked.wait()

    @asynccontextmanager
    async def interrupts(self) -> AsyncIterator[None]:
        """What is awaited inside is given up, without an error, once a stop is asked for."""
        wait = asyncio.timeout(0 if self.asked else None)
        try:
            async with wait:
                self._waits.add(wait)
                try:
                    yield
                finally:
                    self._waits.discard(wait)
        except TimeoutError:
            if not wait.expired():
                raise

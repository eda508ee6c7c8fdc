"""Takes what waits in a queue and handles it together; when told to leave, finishes what is in hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from infra.background import stop

T = TypeVar("T")

GRACE = 5.0
"""How long what is in hand may take when told to leave, in seconds."""


class Batches(Generic[T]):
    def __init__(
        self, inbox: asyncio.Queue[T], size: int, settle: Callable[[list[T]], Awaitable[None]]
    ) -> None:
        self._inbox = inbox
        self._size = size
        self._settle = settle
        self._leaving = False
        self._busy = False

    async def run(self) -> None:
        while not self._leaving:
            batch = [await self._inbox.get()]
            while len(batch) < self._size and not self._inbox.empty():
                batch.append(self._inbox.get_nowait())
            self._busy = True
            await self._settle(batch)
            self._busy = False

    async def leave(self, running: asyncio.Task[None]) -> None:
        """Returns once `running`, the task of `run`, has ended."""
        self._leaving = True
        if self._busy:
            await asyncio.wait([running], timeout=GRACE)
        await stop(running)

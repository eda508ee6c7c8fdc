"""How many attempts may run here at once, and waiting for one of the places."""

from __future__ import annotations

import asyncio


class Slots:
    def __init__(self, size: int) -> None:
        self._size = size
        self._used = 0
        self._news = 0
        self._changed = asyncio.Event()

    @property
    def free(self) -> int:
        return self._size - self._used

    def take(self, count: int) -> None:
        self._used += count
        self._news += count

    def give_back(self, count: int = 1) -> None:
        self._used -= count
        self.wake()

    def turned_over(self) -> bool:
        """Whether, since this was last so, more than half of the slots were in use or taken again.

        Only then can schedulers be short of room for want of this worker: what is on its way to it counts too.
        """
        if self._news * 2 <= self._size:
            return False
        self._news = self._used
        return True

    def wake(self) -> None:
        """Let everyone who waits for a change look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self) -> None:
        await self._changed.wait()

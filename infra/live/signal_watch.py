"""The keys of signals that a watcher has not taken yet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

MAX_KEYS = 10_000
"""Beyond, keys are dropped: whoever looks at them also looks again from time to time without a signal."""


class KeyWatch:
    """See `domain.live.ports.SignalWatch`."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._arrival = asyncio.Event()
        self._taken = asyncio.Event()

    def hear(self, keys: Iterable[str]) -> int:
        """How many were dropped."""
        dropped = 0
        for key in keys:
            if len(self._keys) < MAX_KEYS or key in self._keys:
                self._keys.add(key)
            else:
                dropped += 1
        if self._keys:
            self._arrival.set()
            self._taken.clear()
        return dropped

    async def taken(self) -> None:
        """Returns once what was heard so far is taken."""
        await self._taken.wait()

    async def wait(self, timeout: float) -> frozenset[str]:  # noqa: ASYNC109  a lapse is an answer here
        if not self._keys:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._arrival.wait()
        self._arrival.clear()
        self._taken.set()
        keys, self._keys = frozenset(self._keys), set()
        return keys

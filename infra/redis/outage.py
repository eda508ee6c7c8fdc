"""Stepping around Redis while it is gone, and what it must be told before it is trusted again."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable

from prometheus_client import Counter

from infra.cache.ports import Entry

log = logging.getLogger(__name__)

MAX_OWED = 100_000
"""Invalidations remembered during an outage. Beyond, the oldest is forgotten, and its row may be served
as Redis knew it until its time to live is over."""


class Outage:
    """An outage begins with a failure and ends when everything owed has been told."""

    def __init__(self, dropped: Counter) -> None:
        self._began = asyncio.Event()
        self._owed: OrderedDict[str, int] = OrderedDict()
        self._dropped = dropped

    @property
    def on(self) -> bool:
        return self._began.is_set()

    def begin(self, error: Exception) -> None:
        if not self.on:
            log.warning("Redis is stepped around: %r", error)
            self._began.set()

    async def began(self) -> None:
        await self._began.wait()

    def end(self) -> None:
        """Only when nothing is owed."""
        log.info("Redis is used again")
        self._began.clear()

    def owe(self, entries: Iterable[Entry]) -> None:
        """Redis could not be told of these versions; what it holds may be older."""
        for entry in entries:
            known = self._owed.pop(entry.key, 0)
            self._owed[entry.key] = max(known, entry.version)
        while len(self._owed) > MAX_OWED:
            self._owed.popitem(last=False)
            self._dropped.inc()

    def owed(self, limit: int) -> list[Entry]:
        """Take out up to `limit`; owe them again if they cannot be told."""
        count = min(limit, len(self._owed))
        pairs = [self._owed.popitem(last=False) for _ in range(count)]
        return [Entry(key, version, None) for key, version in pairs]

"""The cache inside the process, bounded in memory and time."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from infra.cache.metrics import CacheMetrics
from infra.cache.ports import Entry
from infra.settings import Settings

MAX_BYTES = 64 * 1024 * 1024
OVERHEAD = 400
"""What an entry costs besides its bytes."""
LEAD_SECONDS = 1.0
MAX_LEADS = 10_000


@dataclass(frozen=True, slots=True)
class _Kept:
    entry: Entry
    until: float

    @property
    def size(self) -> int:
        return OVERHEAD + len(self.entry.value or b"")


class MemoryCache:
    """See `infra.cache.ports.Cache`. Forgets what was not used for longest when it is full."""

    def __init__(
        self,
        *,
        ttl: float,
        metrics: CacheMetrics,
        max_bytes: int = MAX_BYTES,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._leads: OrderedDict[str, float] = OrderedDict()
        self._bytes = 0
        self._max_bytes = max_bytes
        self._ttl = ttl
        self._now = now
        self._metrics = metrics

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        known = [self._known(key) for key in keys]
        values = [entry.value if entry is not None else None for entry in known]
        self._metrics.asked(values)
        return values

    async def put(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._leads.pop(entry.key, None)
            if _replaces(entry, self._known(entry.key)):
                self._keep(entry)
        refills = sum(entry.value is not None for entry in entries)
        self._metrics.refills.inc(refills)
        self._metrics.invalidations.inc(len(entries) - refills)

    async def lead(self, keys: Sequence[str]) -> list[bool]:
        return [self._take_lead(key) for key in keys]

    def _known(self, key: str) -> Entry | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.until <= self._now():
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return kept.entry

    def _keep(self, entry: Entry) -> None:
        self._forget(entry.key)
        kept = _Kept(entry, self._now() + self._ttl)
        self._kept[entry.key] = kept
        self._bytes += kept.size
        while self._bytes > self._max_bytes:
            self._forget(next(iter(self._kept)))
            self._metrics.dropped.inc()

    def _forget(self, key: str) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= kept.size

    def _take_lead(self, key: str) -> bool:
        now = self._now()
        if self._leads.get(key, now) > now:
            return False
        self._leads[key] = now + LEAD_SECONDS
        self._leads.move_to_end(key)
        if len(self._leads) > MAX_LEADS:
            self._leads.popitem(last=False)
        return True


def _replaces(entry: Entry, known: Entry | None) -> bool:
    if known is None or entry.version > known.version:
        return True
    return entry.version == known.version and entry.value is not None


@asynccontextmanager
async def open_memory_cache(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[MemoryCache]:
    yield MemoryCache(ttl=settings.cache_ttl, metrics=CacheMetrics(registry))

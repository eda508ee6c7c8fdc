"""A cache whose answers are told of in traces."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from infra.cache.ports import Cache, Entry
from infra.telemetry.spans import note_span


class TracedCache:
    """See `infra.cache.ports.Cache`."""

    def __init__(self, cache: Cache, system: str) -> None:
        self._cache = cache
        self._system = system

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        began = perf_counter()
        values = await self._cache.get(keys)
        hits = sum(value is not None for value in values)
        self._note("cache get", began, len(keys), {"carillon.cache.hits": hits})
        return values

    async def put(self, entries: Sequence[Entry]) -> None:
        began = perf_counter()
        await self._cache.put(entries)
        self._note("cache put", began, len(entries), {})

    async def lead(self, keys: Sequence[str]) -> list[bool]:
        began = perf_counter()
        led = await self._cache.lead(keys)
        self._note("cache lead", began, len(keys), {})
        return led

    def _note(self, name: str, began: float, keys: int, notes: dict[str, int]) -> None:
        if keys:
            told: dict[str, str | int] = {"db.system.name": self._system, "carillon.cache.keys": keys, **notes}
            note_span(name, perf_counter() - began, "client", notes=told)

"""What a cache counts, whichever one it is."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class CacheMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        operations = Counter(
            "carillon_cache_operations",
            "Keys asked for (hit, miss), told of with bytes (refill) or without (invalidate), or not"
            " because the cache is stepped around (bypass).",
            ["outcome"],
            registry=registry,
        )
        self.hits = operations.labels("hit")
        self.misses = operations.labels("miss")
        self.refills = operations.labels("refill")
        self.invalidations = operations.labels("invalidate")
        self.bypasses = operations.labels("bypass")
        self.dropped = Counter(
            "carillon_cache_dropped",
            "Entries given up because a bound was hit: of the memory, or of what is owed after an outage.",
            registry=registry,
        )

    def asked(self, values: list[bytes | None]) -> None:
        hits = sum(value is not None for value in values)
        self.hits.inc(hits)
        self.misses.inc(len(values) - hits)

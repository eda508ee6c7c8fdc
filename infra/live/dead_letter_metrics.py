"""What is counted of dead letters as they are settled."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from domain.dead_letters.service import Settling


class DeadLetterMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._counters = {
            Settling.REPLAYED: Counter(
                "carillon_dead_letters_replayed", "Dead letters that were replayed.", ["of"], registry=registry
            ),
            Settling.PURGED: Counter(
                "carillon_dead_letters_purged", "Dead letters that were purged.", ["of"], registry=registry
            ),
        }

    def count(self, how: Settling, of: str, number: int) -> None:
        self._counters[how].labels(of).inc(number)

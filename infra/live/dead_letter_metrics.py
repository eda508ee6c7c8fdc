"""What is counted of dead letters as they are settled."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from domain.dead_letters.service import Settling


class DeadLetterMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._counters = {
            how: Counter(
                f"carillon_dead_letters_{how}", f"Dead letters that were {how}.", ["of"], registry=registry
            )
            for how in Settling
        }

    def count(self, how: Settling, of: str, number: int) -> None:
        self._counters[how].labels(of).inc(number)

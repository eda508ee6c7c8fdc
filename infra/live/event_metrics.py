"""What is counted of events, whichever way they travel."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class EventMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = Counter("carillon_events_published", "Events given to the broker.", registry=registry)
        self.confirmed = Counter(
            "carillon_events_confirmed", "Events known to be safe with the broker.", registry=registry
        )
        self.consumed = Counter("carillon_events_consumed", "Events handled.", ["consumer"], registry=registry)
        self.redelivered = Counter(
            "carillon_events_redelivered",
            "Events delivered again, after a failure or a lost connection.",
            ["consumer"],
            registry=registry,
        )
        self.held = Counter(
            "carillon_events_held",
            "Times a batch had to wait because a part its consumer needs was gone.",
            ["consumer"],
            registry=registry,
        )
        self.failed = Counter(
            "carillon_events_failed", "Deliveries that could not be handled.", ["consumer"], registry=registry
        )
        self.dead_lettered = Counter(
            "carillon_events_dead_lettered", "Events set aside.", ["consumer"], registry=registry
        )
        self._by_consumer = (self.consumed, self.redelivered, self.held, self.failed, self.dead_lettered)
        self.unheard = Counter(
            "carillon_events_unheard",
            "Events a listener could not read or take.",
            registry=registry,
        )
        self.missed = Counter(
            "carillon_events_missed",
            "Times a listener may have missed events: its queue overflowed or its connection was lost.",
            registry=registry,
        )

    def begin(self, consumer: str) -> None:
        """Its figures are there from 0 on: the first time, too, is then seen as an increase."""
        for counter in self._by_consumer:
            counter.labels(consumer)

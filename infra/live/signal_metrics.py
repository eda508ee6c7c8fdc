"""What is counted of signals, whichever way they travel."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class SignalMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.sent = Counter(
            "carillon_signals_sent", "Signals given to the broker, coalesced.", registry=registry
        )
        self.dropped = Counter(
            "carillon_signals_dropped",
            "Keys of signals dropped: the broker was gone or a bound was hit. Polling makes up for them.",
            registry=registry,
        )

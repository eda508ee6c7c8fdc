"""Signals inside one process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.live.ports import Signal
from infra.live.signal_metrics import SignalMetrics
from infra.live.signal_watch import KeyWatch


class MemorySignals:
    """See `domain.live.ports.Signals`."""

    def __init__(self, metrics: SignalMetrics) -> None:
        self._watches: dict[Signal, set[KeyWatch]] = {signal: set() for signal in Signal}
        self._metrics = metrics

    def send(self, signal: Signal, key: str = "") -> None:
        self._metrics.sent.inc()
        for watch in self._watches[signal]:
            self._metrics.dropped.inc(watch.hear([key]))

    @asynccontextmanager
    async def watch(self, *signals: Signal) -> AsyncIterator[KeyWatch]:
        watch = KeyWatch()
        for signal in signals:
            self._watches[signal].add(watch)
        try:
            yield watch
        finally:
            for signal in signals:
                self._watches[signal].discard(watch)

"""Gauges read from storage when they are looked at, and at most every few seconds."""

from __future__ import annotations

import asyncio
import logging

from prometheus_client import CollectorRegistry, Gauge

from domain.errors import Unavailable
from domain.live.outbox import Outbox
from infra.postgres.figures import PostgresFigures

log = logging.getLogger(__name__)

FRESH_SECONDS = 5.0


class StorageGauges:
    def __init__(self, figures: PostgresFigures, outbox: Outbox, registry: CollectorRegistry) -> None:
        self._figures = figures
        self._outbox = outbox
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        self._tasks = Gauge(
            "carillon_tasks",
            "Tasks that have not ended, by state; of those that wait, up to 10,000.",
            ["state"],
            registry=registry,
        )
        self._due = Gauge("carillon_tasks_due", "Tasks due and not handed over.", registry=registry)
        self._oldest = Gauge(
            "carillon_oldest_due_seconds", "How long the oldest of them has been due.", registry=registry
        )
        self._depth = Gauge("carillon_outbox_events", "Events not yet published.", registry=registry)
        self._age = Gauge("carillon_outbox_oldest_seconds", "Age of the oldest of them.", registry=registry)

    async def refresh(self) -> None:
        """Bring the gauges up to date, unless they are. With storage gone they keep their last value."""
        async with self._reading:
            now = asyncio.get_running_loop().time()
            if now - self._read_at < FRESH_SECONDS:
                return
            self._read_at = now
            try:
                await self._read()
            except Unavailable as fault:
                log.debug("gauges are out of date", extra={"fault": str(fault)})

    async def _read(self) -> None:
        figures = await self._figures.read()
        for state, count in figures.by_state.items():
            self._tasks.labels(state).set(count)
        self._due.set(figures.due)
        self._oldest.set(figures.oldest_due_seconds)
        depth, age = await self._outbox.depth()
        self._depth.set(depth)
        self._age.set(age)

"""Gauges read from storage and the broker when they are looked at, and at most every few seconds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import CollectorRegistry, Gauge

from domain.errors import Unavailable
from domain.live.outbox import Outbox
from infra.postgres.figures import PostgresFigures
from infra.postgres.set_aside import KIND as SET_ASIDE

log = logging.getLogger(__name__)

FRESH_SECONDS = 5.0


class StorageGauges:
    def __init__(
        self,
        figures: PostgresFigures,
        outbox: Outbox,
        dead_letters: Callable[[], Awaitable[Mapping[str, int]]],
        set_aside: Callable[[], Awaitable[int]],
        registry: CollectorRegistry,
    ) -> None:
        self._figures = figures
        self._outbox = outbox
        self._count_dead_letters = dead_letters
        self._count_set_aside = set_aside
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
        self._snapshot = Gauge(
            "carillon_oldest_snapshot_seconds",
            "How long the transaction has lasted that keeps what died from being cleared away.",
            registry=registry,
        )
        self._dead_letters = Gauge(
            "carillon_dead_letters",
            "What was set aside and waits for somebody: events by their consumer, or of the outbox, and"
            " hand-overs (tasks).",
            ["of"],
            registry=registry,
        )

    async def refresh(self) -> None:
        """Bring the gauges up to date, unless they are. Those of a part that is gone keep their last value."""
        async with self._reading:
            now = asyncio.get_running_loop().time()
            if now - self._read_at < FRESH_SECONDS:
                return
            self._read_at = now
            await asyncio.gather(_if_there(self._read_storage()), _if_there(self._read_dead_letters()))

    async def _read_dead_letters(self) -> None:
        for of, count in (await self._count_dead_letters()).items():
            self._dead_letters.labels(of).set(count)

    async def _read_storage(self) -> None:
        figures = await self._figures.read()
        for state, count in figures.by_state.items():
            self._tasks.labels(state).set(count)
        self._due.set(figures.due)
        self._oldest.set(figures.oldest_due_seconds)
        self._snapshot.set(figures.oldest_snapshot_seconds)
        depth, age = await self._outbox.depth()
        self._depth.set(depth)
        self._age.set(age)
        self._dead_letters.labels(SET_ASIDE).set(await self._count_set_aside())


async def _if_there(reading: Awaitable[None]) -> None:
    try:
        await reading
    except Unavailable as fault:
        log.debug("gauges are out of date", extra={"fault": str(fault)})

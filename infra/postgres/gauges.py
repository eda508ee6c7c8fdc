"""Gauges read from storage and the broker when they are looked at, and at most every few seconds."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import CollectorRegistry, Gauge

from domain.errors import Unavailable
from domain.live.outbox import Outbox
from infra.postgres.figures import PostgresFigures
from infra.postgres.set_aside import KIND as SET_ASIDE

log = logging.getLogger(__name__)

FRESH_SECONDS = 5.0
MOST_QUEUES = 20
"""Queues are named by callers: so many have figures of their own."""
OTHER = "other"
UNFINISHED = ("SCHEDULED", "RETRYING", "QUEUED", "RUNNING")


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
            "Tasks that have not ended, by state and queue: the 20 queues with the most of them, and `other`;"
            " of those that wait, up to 10,000.",
            ["state", "queue"],
            registry=registry,
        )
        self._due = Gauge(
            "carillon_tasks_due", "Tasks due and not handed over, but for paused queues.", registry=registry
        )
        self._paused = Gauge(
            "carillon_tasks_due_paused",
            "Tasks due and not handed over, in paused queues, up to 10,000.",
            registry=registry,
        )
        self._oldest = Gauge(
            "carillon_oldest_due_seconds",
            "How long the oldest has been due that is not handed over, but for paused queues.",
            registry=registry,
        )
        self._tenants_due = Gauge(
            "carillon_tenant_tasks_due",
            "Tasks of a tenant due and not handed over, up to 1,000.",
            ["tenant"],
            registry=registry,
        )
        self._tenants_oldest = Gauge(
            "carillon_tenant_oldest_due_seconds",
            "How long a tenant's oldest task has been due that is not handed over.",
            ["tenant"],
            registry=registry,
        )
        self._tenants_in_flight = Gauge(
            "carillon_tenant_tasks_in_flight",
            "Tasks of a tenant that are handed over or run.",
            ["tenant"],
            registry=registry,
        )
        self._depth = Gauge("carillon_outbox_events", "Events not yet published.", registry=registry)
        self._age = Gauge(
            "carillon_outbox_oldest_seconds", "Age of the oldest event not yet published.", registry=registry
        )
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
            await asyncio.gather(_if_there(self._read_storage()), _if_there(self._read_dead_letters()))
            self._read_at = now  # also without a part that is gone: it is not asked at each look

    async def _read_dead_letters(self) -> None:
        for of, count in (await self._count_dead_letters()).items():
            self._dead_letters.labels(of).set(count)

    async def _read_storage(self) -> None:
        figures = await self._figures.read()
        self._tell_waiting(figures.waiting)
        self._due.set(figures.due)
        self._paused.set(figures.due_paused)
        self._oldest.set(figures.oldest_due_seconds)
        self._snapshot.set(figures.oldest_snapshot_seconds)
        depth, age = await self._outbox.depth()
        self._depth.set(depth)
        self._age.set(age)
        self._dead_letters.labels(SET_ASIDE).set(await self._count_set_aside())
        for one in figures.tenants:
            self._tenants_due.labels(one.tenant).set(one.due)
            self._tenants_oldest.labels(one.tenant).set(one.age)
            self._tenants_in_flight.labels(one.tenant).set(one.in_flight)

    def _tell_waiting(self, waiting: Mapping[tuple[str, str], int]) -> None:
        """Queues come and go: what has nothing any more is told no more."""
        sizes = Counter[str]()
        for (_, queue), count in waiting.items():
            sizes[queue] += count
        named = {queue for queue, _ in sizes.most_common(MOST_QUEUES)}
        told = Counter[tuple[str, str]]({(state, OTHER): 0 for state in UNFINISHED})
        for (state, queue), count in waiting.items():
            told[state, queue if queue in named else OTHER] += count
        self._tasks.clear()
        for (state, queue), count in told.items():
            self._tasks.labels(state, queue).set(count)


async def _if_there(reading: Awaitable[None]) -> None:
    try:
        await reading
    except Unavailable as fault:
        log.debug("gauges are out of date", extra={"fault": str(fault)})

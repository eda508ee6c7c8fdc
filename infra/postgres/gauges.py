"""Gauges read from storage and the broker when they are looked at, and at most every few seconds."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Gauge, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from domain.errors import Unavailable
from domain.live.outbox import Outbox
from infra.postgres.figures import Figures, PostgresFigures
from infra.postgres.set_aside import KIND as SET_ASIDE

FRESH_SECONDS = 5.0
SHARE = 20
"""What took long to read is fresh for so many times as long: each of many lanes costs a probe of an index."""
KEPT_SECONDS = 60.0
"""How long what was read is told, when it cannot be read again: nobody may take what is old for what is."""
MOST_QUEUES = 20
"""Queues are named by callers: so many have figures of their own."""
OTHER = "other"
UNFINISHED = ("SCHEDULED", "RETRYING", "QUEUED", "RUNNING")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stored:
    figures: Figures
    outbox: int
    outbox_seconds: float
    set_aside: int


class StorageGauges(Collector):
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
        self._count_set_aside = set_aside
        self._stored = _Kept(self._read_storage)
        self._letters = _Kept(dead_letters)
        self._fresh_until = float("-inf")
        self._took = 0.0
        self._reading = asyncio.Lock()
        self._tasks = Gauge(
            "carillon_tasks",
            "Tasks that have not ended, by state and queue: the 20 queues with the most of them, and `other`;"
            " of those that wait, up to 10,000.",
            ["state", "queue"],
            registry=None,
        )
        self._due = Gauge(
            "carillon_tasks_due", "Tasks due and not handed over, but for paused queues.", registry=None
        )
        self._paused = Gauge(
            "carillon_tasks_due_paused",
            "Tasks due and not handed over, in paused queues, up to 10,000.",
            registry=None,
        )
        self._oldest = Gauge(
            "carillon_oldest_due_seconds",
            "How long the oldest has been due that is not handed over, but for paused queues.",
            registry=None,
        )
        self._tenants_due = Gauge(
            "carillon_tenant_tasks_due",
            "Tasks of a tenant due and not handed over, up to 1,000.",
            ["tenant"],
            registry=None,
        )
        self._tenants_oldest = Gauge(
            "carillon_tenant_oldest_due_seconds",
            "How long a tenant's oldest task has been due that is not handed over.",
            ["tenant"],
            registry=None,
        )
        self._tenants_in_flight = Gauge(
            "carillon_tenant_tasks_in_flight",
            "Tasks of a tenant that are handed over or run.",
            ["tenant"],
            registry=None,
        )
        self._depth = Gauge("carillon_outbox_events", "Events not yet published.", registry=None)
        self._age = Gauge(
            "carillon_outbox_oldest_seconds", "Age of the oldest event not yet published.", registry=None
        )
        self._snapshot = Gauge(
            "carillon_oldest_snapshot_seconds",
            "How long the transaction has lasted that keeps what died from being cleared away.",
            registry=None,
        )
        self._dead_letters = Gauge(
            "carillon_dead_letters",
            "What was set aside and waits for somebody: events by their consumer, or of the outbox, and"
            " hand-overs (tasks).",
            ["of"],
            registry=None,
        )
        self._of_storage = (
            self._tasks,
            self._due,
            self._paused,
            self._oldest,
            self._tenants_due,
            self._tenants_oldest,
            self._tenants_in_flight,
            self._depth,
            self._age,
            self._snapshot,
        )
        registry.register(self)

    async def refresh(self) -> None:
        """Bring the gauges up to date, unless they are. Raises Unavailable when a part is gone."""
        async with self._reading:
            now = time.monotonic()
            if now < self._fresh_until:
                return
            faults = await asyncio.gather(self._stored.read(), self._letters.read())
            # Also without a part that is gone: it is not asked at each look.
            self._fresh_until = now + max(FRESH_SECONDS, self._took * SHARE)
        for fault in faults:
            if fault is not None:
                raise fault

    @override
    def collect(self) -> Iterator[Metric]:
        """Those of a part that is gone keep their last value for a while; then they are not there."""
        stored, letters = self._stored.latest(), dict(self._letters.latest() or {})
        if stored is not None:
            self._tell(stored)
            for gauge in self._of_storage:
                yield from gauge.collect()
            letters[SET_ASIDE] = stored.set_aside
        self._dead_letters.clear()
        for of, count in letters.items():
            self._dead_letters.labels(of).set(count)
        yield from self._dead_letters.collect()

    async def _read_storage(self) -> Stored:
        began = time.monotonic()
        figures = await self._figures.read()
        self._took = time.monotonic() - began
        outbox, seconds = await self._outbox.depth()
        return Stored(figures, outbox, seconds, await self._count_set_aside())

    def _tell(self, stored: Stored) -> None:
        figures = stored.figures
        self._tell_waiting(figures.waiting)
        self._due.set(figures.due)
        self._paused.set(figures.due_paused)
        self._oldest.set(figures.oldest_due_seconds)
        self._snapshot.set(figures.oldest_snapshot_seconds)
        self._depth.set(stored.outbox)
        self._age.set(stored.outbox_seconds)
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


class _Kept(Generic[T]):
    """What one part said last."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._said: T | None = None
        self._said_at = float("-inf")

    async def read(self) -> Unavailable | None:
        """The fault, when the part is gone."""
        try:
            self._said = await self._ask()
        except Unavailable as fault:
            return fault
        self._said_at = time.monotonic()
        return None

    def latest(self) -> T | None:
        return self._said if time.monotonic() - self._said_at < KEPT_SECONDS else None

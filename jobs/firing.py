"""Fires schedules: makes the tasks of fire times the moment these come, whoever else is at it."""

from __future__ import annotations

import asyncio
import logging

from domain.live.ports import Signal, SignalWatch
from domain.schedules.ports import Fired
from infra.bootstrap import Services
from jobs.metrics import JobMetrics
from jobs.outage import Outage
from jobs.stop import Stop

log = logging.getLogger(__name__)

BATCH = 200
"""Schedules in one transaction."""
REPLAN_INTERVAL = 60.0
"""Seconds between two looks for schedules planned with another zone database."""
SHORTEST_NAP = 0.002


async def fire_once(services: Services, metrics: JobMetrics) -> int:
    """How many schedules had something settled, up to a batch of each kind. Raises Unavailable."""
    released = await services.firing.release(BATCH)
    _tell(services, metrics, released)
    fired = await services.firing.fire(BATCH)
    _tell(services, metrics, fired)
    return released.schedules + fired.schedules


def _tell(services: Services, metrics: JobMetrics, fired: Fired) -> None:
    metrics.fire_times.labels("made").inc(fired.tasks)
    metrics.fire_times.labels("skipped").inc(fired.skipped)
    metrics.fire_times.labels("dropped").inc(fired.dropped)
    metrics.replaced.inc(fired.cancelled)
    metrics.schedules_set_aside.inc(fired.set_aside)
    if fired.tasks:
        services.signals.send(Signal.DUE)
    if fired.tasks or fired.dropped or fired.cancelled:
        services.signals.send(Signal.OUTBOX)
    if fired.stopping:
        services.signals.send(Signal.CANCEL)


async def replan_once(services: Services) -> int:
    """How many schedules had been planned with another zone database, up to a batch. Raises Unavailable."""
    replanned = await services.firing.replan(BATCH)
    if replanned:
        version = services.recurrences.zone_database_version()
        log.info("fire times were computed anew", extra={"schedules": replanned, "zone_database": version})
    return replanned


async def run_firing(services: Services, stop: Stop, metrics: JobMetrics) -> None:
    """Until asked to stop. Several schedulers do each other no harm."""
    outage = Outage("firing's signals", stop, metrics)
    while not stop.asked:
        async with outage.survived():
            await fire_once(services, metrics)  # also while there is nobody to hear signals from
            async with services.signals.watch(Signal.SCHEDULES) as watch:
                outage.over()
                await _Rounds(services, stop, metrics, watch).run()


class _Rounds:
    """Fires while something is due, then sleeps until the next fire time, or a signal comes."""

    def __init__(self, services: Services, stop: Stop, metrics: JobMetrics, watch: SignalWatch) -> None:
        self._services = services
        self._stop = stop
        self._metrics = metrics
        self._watch = watch
        self._outage = Outage("firing", stop, metrics)
        self._clock = asyncio.get_running_loop().time
        self._replan_at = self._clock()
        self._nap = SHORTEST_NAP

    async def run(self) -> None:
        while not self._stop.asked:
            async with self._outage.survived():
                await self._round()

    async def _round(self) -> None:
        replans = self._clock() >= self._replan_at and await self._replan()
        if await fire_once(self._services, self._metrics) or replans:
            self._nap = SHORTEST_NAP
            return
        async with self._stop.interrupts():
            await self._watch.wait(await self._pause())

    async def _replan(self) -> bool:
        """Whether there may be more of it. Between two batches others fire: a scheduler of another release may
        be undoing what this one does."""
        if await replan_once(self._services) == BATCH:
            return True
        self._replan_at = self._clock() + REPLAN_INTERVAL
        return False

    async def _pause(self) -> float:
        """Seconds until the next fire time, as far as one sleeps without looking."""
        poll = self._services.settings.poll_interval
        due_in = await self._services.firing.next_fire_in()
        seconds = poll if due_in is None else due_in.total_seconds()
        if seconds > 0:
            return min(seconds, poll)
        nap = self._nap  # another scheduler is at it, or it came just now
        self._nap = min(nap * 2, poll)
        return nap

"""The scheduler: hands due tasks to the workers the moment they are due, as far as these have room."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from domain.attempts.ports import Claimed
from domain.errors import Unavailable
from domain.live.ports import Signal, SignalWatch
from infra.bootstrap import Services
from infra.telemetry.spans import span_for_all
from jobs.firing import run_firing
from jobs.janitor import Table, run_janitor
from jobs.metrics import JobMetrics
from jobs.outage import Outage
from jobs.rescuer import Lost, run_rescuer
from jobs.stop import Stop

log = logging.getLogger(__name__)

LARGEST_BATCH = 100
MESSAGES_EACH = 4
"""What is claimed at once is spread over so many messages for each of several workers: all get some of it."""
SHORTEST_NAP = 0.002
TENDING_SECONDS = 60.0
GATHER = 0.02
"""Seconds in which room gathers when a claim left none: one task costs about what ten do."""
NONE = timedelta(0)


def batches(ids: Sequence[UUID], workers: int) -> list[Sequence[UUID]]:
    """As few messages as leave something for each worker: a message costs as much as several tasks in it."""
    least = MESSAGES_EACH * workers if workers > 1 else 1
    size = max(1, min(LARGEST_BATCH, len(ids) // least))
    return [ids[at : at + size] for at in range(0, len(ids), size)]


async def schedule_once(services: Services, metrics: JobMetrics) -> int:
    """How many tasks were handed over; at most what the workers have room for. Raises Unavailable."""
    claimed = await services.due_tasks.claim(services.settings.claim_batch)
    await _hand_over(services, metrics, claimed)
    return len(claimed.ids)


async def _hand_over(services: Services, metrics: JobMetrics, claimed: Claimed) -> None:
    ids = claimed.ids
    if not ids:
        return
    notes = {"messaging.batch.message_count": len(ids)}
    try:  # relays are told by the worker, a moment later: then both events go together
        with span_for_all("hand over", claimed.traceparents, "producer", notes):
            await services.hand_over.send(batches(ids, claimed.workers))
    except BaseException:
        metrics.taken_back.labels("broker").inc(len(ids))
        await _take_back(services, ids)
        raise
    metrics.handed_over.inc(len(ids))


async def _take_back(services: Services, ids: Sequence[UUID]) -> None:
    try:
        await services.due_tasks.take_back(ids)
    except Unavailable as fault:
        log.warning("the rescuer will take tasks back: %s", fault, extra={"tasks": len(ids)})


async def run_scheduler(services: Services, stop: Stop, metrics: JobMetrics) -> None:
    """Until asked to stop. Rescues, fires and prunes as well: several schedulers do each other no harm."""
    async with asyncio.TaskGroup() as group:
        for lost in Lost:
            group.create_task(run_rescuer(services, lost, stop, metrics))
        group.create_task(run_firing(services, stop, metrics))
        for table in Table:
            group.create_task(run_janitor(services, table, stop, metrics))
        group.create_task(_run_tending(services, stop, metrics))
        outage = Outage("scheduler's signals", stop, metrics)
        while not stop.asked:
            async with (
                outage.survived(),
                services.signals.watch(Signal.DUE) as due,
                services.signals.watch(Signal.ROOM) as room,
            ):
                outage.over()
                await _Rounds(services, stop, metrics, due=due, room=room).run()


async def _run_tending(services: Services, stop: Stop, metrics: JobMetrics) -> None:
    outage = Outage("tending of lanes", stop, metrics)
    while not stop.asked:
        async with outage.survived():
            if found := await services.due_tasks.tend():
                log.error("due tasks were out of sight of claims", extra={"lanes": found})
                services.signals.send(Signal.DUE)
            outage.over()
            async with stop.interrupts():
                await asyncio.sleep(TENDING_SECONDS)


class _Rounds:
    """Hands over while something is due, then sleeps until the next is, or a signal comes."""

    def __init__(
        self,
        services: Services,
        stop: Stop,
        metrics: JobMetrics,
        *,
        due: SignalWatch,
        room: SignalWatch,
    ) -> None:
        self._services = services
        self._due = due
        self._room = room
        self._stop = stop
        self._metrics = metrics
        self._poll = services.settings.poll_interval
        self._outage = Outage("scheduler", stop, metrics)
        self._nap = SHORTEST_NAP

    async def run(self) -> None:
        while not self._stop.asked:
            async with self._outage.survived():
                await self._round()

    async def _round(self) -> None:
        # While the broker is away, one: what cannot be handed over costs two events.
        limit = 1 if self._outage.lasts else self._services.settings.claim_batch
        claimed = await self._services.due_tasks.claim(limit)
        answered = time.monotonic()
        await _hand_over(self._services, self._metrics, claimed)
        if len(claimed.ids) == limit:
            return
        due_in: timedelta | None
        if idle := claimed.idle_for > NONE:
            due_in = claimed.idle_for - timedelta(seconds=time.monotonic() - answered)
        else:
            due_in = await self._services.due_tasks.next_due_in()
        if idle or due_in is None or due_in > NONE:
            self._nap = SHORTEST_NAP
            await self._until_due(due_in)
        else:
            await self._until_claimable(claimed)

    async def _until_due(self, due_in: timedelta | None) -> None:
        """Returns when something may be due."""
        while not self._stop.asked:
            seconds = self._poll if due_in is None else due_in.total_seconds()
            if seconds <= 0:
                return
            heard = await self._wait(self._due, min(seconds, self._poll))
            if heard or (due_in is not None and seconds <= self._poll):
                return
            due_in = await self._services.due_tasks.next_due_in()

    async def _until_claimable(self, claimed: Claimed) -> None:
        """Something is due that this claim did not take."""
        if claimed.room > 0:
            if not claimed.ids:
                # Another scheduler is at it, or it fell due just now.
                await self._wait(self._due, self._nap)
                self._nap = min(self._nap * 2, self._poll)
            return
        room = await self._services.due_tasks.room()
        if room <= 0:
            await self._wait(self._room, self._poll)
        elif room < len(claimed.ids):
            await self._wait(self._room, GATHER)

    async def _wait(self, watch: SignalWatch, seconds: float) -> bool:
        heard: frozenset[str] = frozenset()
        async with self._stop.interrupts():
            heard = await watch.wait(seconds)
        return bool(heard)

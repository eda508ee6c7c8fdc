"""The heartbeat: holds this worker's lease from a thread of its own, which no handler can block."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from domain.attempts.ports import Beat, Workers
from domain.clock import Ids
from domain.errors import Unavailable
from infra.settings import Settings
from jobs.metrics import JobMetrics

log = logging.getLogger(__name__)

RETRY = 1.0
"""Seconds after which a beat that failed is tried again."""
JITTER = 0.1
LEAVE_LIMIT = 10.0

OpenWorkers = Callable[[], AbstractAsyncContextManager[Workers]]
"""The leases, over a connection of its own: opened, used and closed on the heartbeat's loop.

It is made when it is first used, and again when it was lost: opening needs no server.
"""


class LeaseHolder(Protocol):
    """Told on the process's loop, in the order things happened."""

    def begin(self, worker: UUID) -> None: ...

    def cancel(self, ids: frozenset[UUID]) -> None: ...

    def abandon(self) -> None: ...


@dataclass(slots=True)
class _Lease:
    worker: UUID
    until: float
    """On the monotonic clock: what runs under it must have stopped by then."""


class Heartbeat:
    """`run` on the heartbeat's own loop; everything public besides is called on the process's loop."""

    def __init__(
        self,
        open_workers: OpenWorkers,
        holder: LeaseHolder,
        settings: Settings,
        metrics: JobMetrics,
        *,
        name: str,
        ids: Ids,
        draw: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_workers = open_workers
        self._holder = holder
        self._settings = settings
        self._metrics = metrics
        self._name = name
        self._ids = ids
        self._draw = draw
        self._clock = clock
        self._home = asyncio.get_running_loop()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._retry = min(RETRY, settings.heartbeat)
        self._nudged = asyncio.Event()
        self._draining = False
        self._leaving = False
        self._failing = False
        self._pinged_at = clock()
        self._pong = True
        self._drained = asyncio.Event()
        self.entered = asyncio.Event()
        """Set once there has been a lease."""

    def beat_now(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._nudged.set)

    async def say_draining(self, limit: float) -> None:
        """No more hand-overs for this worker; returns once that is known, or after `limit` seconds."""
        self._draining = True
        self.beat_now()
        try:
            async with asyncio.timeout(limit):
                await self._drained.wait()
        except TimeoutError:
            log.warning("tasks may still be handed over to this worker: it could not say that it stops")

    def leave(self) -> None:
        """Give the lease back and end `run`."""
        self._leaving = True
        self.beat_now()

    async def run(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with self._open_workers() as workers:
            while not self._leaving:
                try:
                    await self._hold(workers)
                except Exception as fault:  # noqa: BLE001  without a heartbeat this worker can do nothing at all
                    self._note_failure(fault)
                    if not self._leaving:
                        await self._wait(self._retry)

    async def _hold(self, workers: Workers) -> None:
        """One lease, until it is lost or given back."""
        if self._draining or self._home_is_stuck():
            self._tell(self._drained.set)
            await self._wait(self._retry)
            return
        lease = await self._enter(workers)
        if await self._keep(workers, lease):
            await workers.leave(lease.worker)
        else:
            self._metrics.leases_lost.inc()
            self._tell(self._holder.abandon)

    async def _enter(self, workers: Workers) -> _Lease:
        """Each time under a new id: what was begun under the old one can never be mistaken for its own."""
        sent = self._clock()
        worker = self._ids.next()
        await workers.enter(worker, self._name, self._settings.worker_slots, self._length)
        self._note_success()
        self._tell(self._begin, worker)
        return _Lease(worker, self._end(sent))

    async def _keep(self, workers: Workers, lease: _Lease) -> bool:
        """Whether it was kept until it is to be given back."""
        pause = self._interval()
        while True:
            await self._wait(min(pause, lease.until - self._clock()))
            if self._leaving:
                return True
            if self._clock() >= lease.until or self._home_is_stuck():
                return False
            beat = await self._beat(workers, lease)
            if beat is None:
                pause = self._retry
                continue
            if not beat.alive:
                return False
            pause = self._interval()
            if beat.cancel_requested:
                self._tell(self._holder.cancel, beat.cancel_requested)

    async def _beat(self, workers: Workers, lease: _Lease) -> Beat | None:
        """None when nobody answered."""
        sent, draining = self._clock(), self._draining
        try:
            async with asyncio.timeout(max(0.0, lease.until - sent)):
                beat = await workers.beat(lease.worker, self._length, draining=draining)
        except Exception as fault:  # noqa: BLE001  whatever it is, it is tried again while the lease lasts
            self._note_failure(fault)
            return None
        self._note_success()
        if beat.alive:
            lease.until = self._end(sent)
        if draining:
            self._tell(self._drained.set)
        return beat

    def _begin(self, worker: UUID) -> None:
        self._holder.begin(worker)
        self.entered.set()

    def _home_is_stuck(self) -> bool:
        """A handler that blocks the process's loop for a whole lease must not keep its task for ever."""
        if self._pong:
            self._pong = False
            self._pinged_at = self._clock()
            self._tell(self._answer)
        return self._clock() - self._pinged_at >= self._settings.lease

    def _answer(self) -> None:
        self._pong = True

    def _tell(self, hear: Callable[..., None], *arguments: object) -> None:
        self._home.call_soon_threadsafe(hear, *arguments)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._nudged.wait()
        except TimeoutError:
            return
        self._nudged.clear()

    @property
    def _length(self) -> timedelta:
        return timedelta(seconds=self._settings.lease)

    def _end(self, sent: float) -> float:
        """Counted from when a beat was sent: the database counts from later."""
        return sent + self._settings.lease - self._settings.lease_margin

    def _interval(self) -> float:
        return self._settings.heartbeat * (1 - JITTER + 2 * JITTER * self._draw())

    def _note_failure(self, fault: Exception) -> None:
        self._metrics.loop_errors.labels("heartbeat").inc()
        if self._failing:
            return
        self._failing = True
        if isinstance(fault, Unavailable | TimeoutError):
            log.warning("the heartbeat is not answered")
        else:
            log.error("the heartbeat failed", exc_info=fault)

    def _note_success(self) -> None:
        if self._failing:
            self._failing = False
            log.info("the heartbeat is answered again")


@asynccontextmanager
async def beating(heartbeat: Heartbeat) -> AsyncIterator[None]:
    """Its thread, from here on; on leaving, the lease is given back."""
    home, ended = asyncio.get_running_loop(), asyncio.Event()

    def beat() -> None:
        try:
            asyncio.run(heartbeat.run())
        finally:
            home.call_soon_threadsafe(ended.set)

    threading.Thread(target=beat, name="heartbeat", daemon=True).start()
    try:
        yield
    finally:
        heartbeat.leave()
        try:
            async with asyncio.timeout(LEAVE_LIMIT):
                await ended.wait()
        except TimeoutError:
            log.error("the heartbeat does not stop: its lease will lapse")

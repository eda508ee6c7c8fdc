"""The rescuer: puts back what was lost with a worker, with the broker, or on a handler that does not listen."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from enum import StrEnum

from domain.live.ports import Signal
from infra.bootstrap import Services
from jobs.metrics import JobMetrics
from jobs.outage import Outage
from jobs.stop import Stop

BATCH = 500
MOST_BATCHES = 20
"""In one round; the next one goes on."""


class Lost(StrEnum):
    ATTEMPT = "lost_attempt"
    HAND_OVER = "lost_hand_over"
    CANCELLATION = "deaf_cancellation"


async def rescue_once(services: Services, lost: Lost, metrics: JobMetrics) -> int:
    """How many tasks were put back. Raises Unavailable."""
    total = 0
    for _ in range(MOST_BATCHES):
        moved = await _rescue(services, lost)
        total += moved
        if moved:
            metrics.rescued.labels(lost.value).inc(moved)
            services.signals.send(Signal.DUE)
            services.signals.send(Signal.OUTBOX)
        if moved < BATCH:
            break
    return total


async def _rescue(services: Services, lost: Lost) -> int:
    settings, rescue = services.settings, services.rescue
    match lost:
        case Lost.ATTEMPT:
            return await rescue.lost_attempts(BATCH)
        case Lost.HAND_OVER:
            return await rescue.lost_hand_overs(timedelta(seconds=settings.handover_timeout), BATCH)
        case Lost.CANCELLATION:
            return await rescue.deaf_cancellations(timedelta(seconds=settings.cancel_grace), BATCH)


async def run_rescuer(services: Services, lost: Lost, stop: Stop, metrics: JobMetrics) -> None:
    """One loop for each kind of loss: none waits for, or fails with, another."""
    metrics.rescued.labels(lost.value)  # from the beginning: a first loss, too, is then seen as an increase
    outage = Outage(f"rescuer of {lost.value}", stop, metrics)
    while not stop.asked:
        async with outage.survived():
            await rescue_once(services, lost, metrics)
            outage.over()
            async with stop.interrupts():
                await asyncio.sleep(services.settings.rescue_interval)

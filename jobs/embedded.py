"""Every acting part beside the API, in its process: one command is a whole Carillon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from infra.bootstrap import Services
from jobs.metrics import JobMetrics
from jobs.notifier import run_notifier
from jobs.relay import run_relay
from jobs.rescuer import BATCH
from jobs.scheduler import run_scheduler
from jobs.stop import Stop
from jobs.worker import run_worker


@asynccontextmanager
async def run_embedded(services: Services) -> AsyncIterator[None]:
    """They stop in the order of the work: nothing new, what runs, what is to be told, what is to be written.

    Handlers that do not stop are left running: end the process with `jobs.process.leave`.
    """
    metrics = JobMetrics(services.metrics, services.settings.measured_tenants)
    # What a process that was killed had handed over to itself died with it.
    while await services.rescue.lost_hand_overs(timedelta(0), BATCH) == BATCH:
        pass
    scheduling, working, relaying, notifying = Stop(), Stop(), Stop(), Stop()
    async with asyncio.TaskGroup() as group:
        parts = (
            (scheduling, group.create_task(run_scheduler(services, scheduling, metrics))),
            (working, group.create_task(run_worker(services, working, metrics))),
            (relaying, group.create_task(run_relay(services, relaying, metrics))),
            (notifying, group.create_task(run_notifier(services, notifying, metrics))),
        )
        try:
            yield
        finally:
            for stop, part in parts:
                stop.ask()
                await part

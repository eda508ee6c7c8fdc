"""The worker: takes hand-overs from the broker and runs their attempts under a lease."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from uuid import UUID

import dramatiq

from domain.live.ports import Signal
from infra.bootstrap import Services
from infra.live.hand_over import ACTOR, queue_name
from infra.system import draw
from jobs.heartbeat import Heartbeat, beating
from jobs.metrics import JobMetrics
from jobs.outage import Outage
from jobs.runner import Runner, open_runner
from jobs.stop import Stop

log = logging.getLogger(__name__)

IDLE_MILLISECONDS = 200
"""How long Dramatiq's threads sleep between two looks at whether to stop."""
STOP_MILLISECONDS = 5_000
STOP_LIMIT = 8.0
"""Seconds all of Dramatiq has to stop in. Its client waits for a RabbitMQ that hangs for much longer."""
DRAINING_LIMIT = 2.0
WATCH_SECONDS = 60.0


async def run_worker(
    services: Services,
    stop: Stop,
    metrics: JobMetrics,
    *,
    draw: Callable[[], float] = draw,
) -> None:
    """Until asked to stop; then what runs has `stop_grace` seconds to end, and the rest is handed back.

    Handlers that do not stop are left running: end the process with `jobs.process.leave`.
    """
    broker, queue = services.broker, queue_name(services.settings.namespace)
    async with open_runner(services, metrics, draw) as runner:
        _register(broker, queue, runner, metrics)  # before there is a lease: from then on tasks are handed over
        heartbeat = Heartbeat(
            services.open_workers,
            runner,
            services.settings,
            metrics,
            name=f"{socket.gethostname()}:{os.getpid()}",
            ids=services.ids,
            draw=draw,
        )
        async with beating(heartbeat), asyncio.TaskGroup() as group:
            group.create_task(_hear_cancellations(services, heartbeat, stop, metrics))
            async with stop.interrupts():
                await heartbeat.entered.wait()
            if stop.asked:
                return
            async with _consuming(broker, queue, runner, services.settings.worker_threads):
                await stop.wait()
                await heartbeat.say_draining(DRAINING_LIMIT)
                # While attempts come to their end, messages not looked at yet go back to the broker.
                drained = group.create_task(runner.drain(services.settings.stop_grace))
            if await drained:
                log.error("left without handlers that do not stop", extra={"handlers": drained.result()})


@asynccontextmanager
async def _consuming(broker: dramatiq.Broker, queue: str, runner: Runner, threads: int) -> AsyncIterator[None]:
    """Dramatiq's worker. It connects to the broker, and connects again, by itself."""
    broker.emit_after("process_boot")  # Dramatiq's command line does; parts of its middleware wait for it
    worker = dramatiq.Worker(
        broker,
        queues={queue},
        worker_timeout=IDLE_MILLISECONDS,
        worker_threads=threads,
    )
    # A message that waits for a thread here is looked at by nobody: another worker may be idle.
    worker.queue_prefetch = threads
    loop = asyncio.get_running_loop()
    # Not on the loop, which its threads wait for; nor on the loop's own executor, which others may have filled.
    thread = ThreadPoolExecutor(1, thread_name_prefix="dramatiq")
    try:
        await loop.run_in_executor(thread, worker.start)
        try:
            yield
        finally:
            runner.close()
            stopping = loop.run_in_executor(thread, worker.stop, STOP_MILLISECONDS)
            await asyncio.wait([stopping], timeout=STOP_LIMIT)
            if not stopping.done():
                log.error("left without the broker's goodbye: what it had sent here it will send to another")
    finally:
        thread.shutdown(wait=False)


def _register(broker: dramatiq.Broker, queue: str, runner: Runner, metrics: JobMetrics) -> None:
    loop = asyncio.get_running_loop()

    @dramatiq.actor(broker=broker, actor_name=ACTOR, queue_name=queue)
    def run_tasks(ids: list[str]) -> None:
        """Returns, and so acknowledges, when the attempts have started: their lease protects them then."""
        try:
            tasks = [UUID(task_id) for task_id in ids]
        except (TypeError, ValueError, AttributeError):
            # Nothing is lost with it: a task that was in there is handed over again.
            metrics.loop_errors.labels("hand_over").inc()
            log.error("a hand-over cannot be read")
            return
        asyncio.run_coroutine_threadsafe(runner.take(tasks), loop).result()


async def _hear_cancellations(
    services: Services, heartbeat: Heartbeat, stop: Stop, metrics: JobMetrics
) -> None:
    """A beat brings them anyway: this only makes it an early one."""
    outage = Outage("worker's signals", stop, metrics)
    while not stop.asked:
        async with outage.survived(), services.signals.watch(Signal.CANCEL) as watch:
            outage.over()
            async with stop.interrupts():
                while True:
                    if await watch.wait(WATCH_SECONDS):
                        heartbeat.beat_now()

"""One process of one part: from its settings to a clean end on SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import NoReturn

import uvloop

from infra.bootstrap import CannotStart, Services, open_services
from infra.garbage import spare_what_stands
from infra.settings import Settings
from infra.telemetry.logs import configure_logs
from infra.telemetry.tracing import open_tracing
from infra.telemetry.watchdog import watched_loop
from infra.unknown_settings import warn_of_unknown_settings
from jobs.metrics import JobMetrics
from jobs.metrics_page import metrics_page
from jobs.notifier import run_notifier
from jobs.relay import run_relay
from jobs.scheduler import run_scheduler
from jobs.stop import Stop
from jobs.worker import run_worker

log = logging.getLogger(__name__)


class Part(StrEnum):
    SCHEDULER = "scheduler"
    WORKER = "worker"
    RELAY = "relay"
    NOTIFIER = "notifier"


def run_process(settings: Settings, part: Part) -> NoReturn:
    """Ends this process: with 0 after a clean stop, with 1 when the part could not go on."""
    configure_logs(settings)
    warn_of_unknown_settings()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_main(settings, part))
        except CannotStart as fault:
            log.error("%s cannot start: %s", part, fault)
            leave(1)
        except Exception:
            log.exception("%s cannot go on", part)
            leave(1)
        leave(0)


def leave(code: int) -> NoReturn:
    """End this process now. Everything of ours is closed by then; a handler's thread that does not end, or a
    task that swallows its cancellation, would keep an ordinary exit waiting without end."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _main(settings: Settings, part: Part) -> None:
    stop = Stop()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.ask)
    async with open_services(settings) as services, open_tracing(settings, services.metrics, part):
        with metrics_page(services.metrics, settings), watched_loop(services.metrics):
            spare_what_stands()
            log.info("%s runs", part)
            await _PARTS[part](services, stop, JobMetrics(services.metrics, settings.measured_tenants))
    log.info("%s has stopped", part)


_PARTS: dict[Part, Callable[[Services, Stop, JobMetrics], Awaitable[None]]] = {
    Part.SCHEDULER: run_scheduler,
    Part.WORKER: run_worker,
    Part.RELAY: run_relay,
    Part.NOTIFIER: run_notifier,
}

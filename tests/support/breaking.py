"""A process that kills itself at one exact step: `python -m tests.support.breaking KIND`, for tests alone.

STEP names it, as `before outbox.remove`. It happens once the file ARMED exists, at the first call that
has something to do, or did something.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from infra.bootstrap import Services, open_services
from infra.settings import Settings
from infra.telemetry.logs import configure_logs
from jobs.metrics import JobMetrics
from jobs.notifier import run_notifier
from jobs.relay import run_relay
from jobs.scheduler import run_scheduler
from jobs.stop import Stop
from jobs.worker import run_worker

PARTS = {"scheduler": run_scheduler, "worker": run_worker, "relay": run_relay, "notifier": run_notifier}


class Breaking:
    """One of the ports, with one method that is a breakpoint."""

    def __init__(self, whole: Any, method: str) -> None:
        self._whole = whole
        self._method = method

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._whole, name)
        return breaking(found) if name == self._method else found


class BreakingOutbox(Breaking):
    """Its methods are those of a lead."""

    @asynccontextmanager
    async def lead(self) -> AsyncIterator[Breaking]:
        async with self._whole.lead() as lead:
            yield Breaking(lead, self._method)


def breaking(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    moment, _, _ = os.environ["STEP"].partition(" ")
    armed = Path(os.environ["ARMED"])

    def die(*, now: bool) -> None:
        if now and armed.exists():
            os.kill(os.getpid(), signal.SIGKILL)

    async def called(*arguments: Any) -> Any:
        die(now=moment == "before" and arguments[-1:] != ([],))
        answer = await call(*arguments)
        did = getattr(answer, "tasks", answer)
        die(now=moment == "after" and (did is None or bool(did)))
        return answer

    return called


def broken(services: Services, step: str) -> Services:
    port, _, method = step.rpartition(" ")[2].partition(".")
    kind = BreakingOutbox if port == "outbox" else Breaking
    changed: dict[str, Any] = {port: kind(getattr(services, port), method)}
    return replace(services, **changed)


async def main(part: str) -> None:
    settings = Settings()
    configure_logs(settings)
    stop = Stop()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.ask)
    async with open_services(settings) as services:
        logging.getLogger(__name__).info("%s runs", part)
        await PARTS[part](broken(services, os.environ["STEP"]), stop, JobMetrics(services.metrics))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

"""Keeps a loop going through outages: a fault is logged once, counted each time, and waited out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.errors import Unavailable
from jobs.metrics import JobMetrics
from jobs.stop import Stop

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0


class Outage:
    """Of one loop: from the first round that failed to the next that did not."""

    def __init__(self, loop: str, stop: Stop, metrics: JobMetrics) -> None:
        self._loop = loop
        self._stop = stop
        self._errors = metrics.loop_errors.labels(loop)
        self._failures = 0

    @property
    def lasts(self) -> bool:
        return self._failures > 0

    @asynccontextmanager
    async def survived(self) -> AsyncIterator[None]:
        """What fails inside ends here, after a pause that grows with the outage."""
        try:
            yield
        except Exception as fault:  # noqa: BLE001  a loop outlives whatever one round of it raises
            await self._wait_out(fault)
        else:
            self.over()

    def over(self) -> None:
        """A round went well."""
        if self._failures:
            log.info("%s goes on", self._loop, extra={"failures": self._failures})
        self._failures = 0

    async def _wait_out(self, fault: Exception) -> None:
        self._errors.inc()
        self._failures += 1
        if self._failures == 1 and isinstance(fault, Unavailable):
            log.warning("%s waits: %s", self._loop, fault)
        elif self._failures == 1:
            log.error("a round of %s failed", self._loop, exc_info=fault)
        pause = min(FIRST_PAUSE * 2 ** min(self._failures - 1, 10), LONGEST_PAUSE)
        async with self._stop.interrupts():
            await asyncio.sleep(pause)

"""How events are given to a durable consumer: together, one by one when that fails, patiently in an outage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.contracts.events import Event
from domain.contracts.tasks import TaskEventKind
from domain.errors import Unavailable
from domain.live.ports import Handle
from domain.notifications.model import TOLD
from infra.live.event_metrics import EventMetrics

log = logging.getLogger(__name__)

DURABLE_CONSUMERS: Mapping[str, frozenset[TaskEventKind]] = {"notifier": TOLD}
"""Their queues are there from the first publish on, whether or not one of them has ever run. Each takes these
kinds of changes of tasks, and all facts of schedules; others may come with them."""
MAX_DELIVERIES = 5
"""How often an event may fail before it is set aside."""
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0


@dataclass(frozen=True, slots=True)
class Consumer:
    name: str
    handle: Handle
    metrics: EventMetrics

    async def deliver(self, events: Sequence[Event]) -> list[int]:
        """Hand them over; the places of those that cannot be handled. Waits for what is Unavailable."""
        failure = await self._fails(events)
        if failure is None:
            failed = []
        elif len(events) == 1:
            failed = [self._told(0, events[0], failure)]
        else:
            failed = await self._one_by_one(events)
        self.metrics.consumed.labels(self.name).inc(len(events) - len(failed))
        return failed

    def set_aside(self, event: str) -> None:
        """Count and log that an event goes to the dead letters."""
        self.metrics.dead_lettered.labels(self.name).inc()
        log.error("an event is set aside", extra={"consumer": self.name, "event_id": event})

    async def _one_by_one(self, events: Sequence[Event]) -> list[int]:
        failed = []
        for place, event in enumerate(events):
            failure = await self._fails([event])
            if failure is not None:
                failed.append(self._told(place, event, failure))
        return failed

    async def _fails(self, events: Sequence[Event]) -> Exception | None:
        pause = FIRST_PAUSE
        while True:
            try:
                await self.handle(events)
            except Unavailable:  # logged where it was noticed
                self.metrics.held.labels(self.name).inc()
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            except Exception as error:  # noqa: BLE001  whatever an event does to its consumer, the others go on
                return error
            else:
                return None

    def _told(self, place: int, event: Event, failure: Exception) -> int:
        self.metrics.failed.labels(self.name).inc()
        log.warning(
            "an event cannot be handled",
            exc_info=failure,
            extra={"consumer": self.name, "event_id": event.event_id},
        )
        return place

"""By what messages of events find their queues: a routing key says the type and every kind of change inside."""

from __future__ import annotations

from collections.abc import Sequence

from domain.contracts.events import Event
from domain.contracts.schedules import ScheduleMisfiredV1
from domain.contracts.tasks import TaskChangedV1
from infra.live.delivery import DURABLE_CONSUMERS

EVERYTHING = "#"


def routing_key(events: Sequence[Event]) -> str:
    """Of a message that holds these, which are of one type."""
    kinds = {event.kind.value for event in events if isinstance(event, TaskChangedV1)}
    return ".".join([events[0].type, *sorted(kinds)])


def bindings(consumer: str) -> list[str]:
    """What the queue of a consumer takes; everything for one whose concerns are not known."""
    if consumer not in DURABLE_CONSUMERS:
        return [EVERYTHING]
    kinds = sorted(kind.value for kind in DURABLE_CONSUMERS[consumer])
    return [
        # Relays of a version before route by the type alone.
        TaskChangedV1.type,
        *(f"{TaskChangedV1.type}.#.{kind}.#" for kind in kinds),
        ScheduleMisfiredV1.type,
    ]

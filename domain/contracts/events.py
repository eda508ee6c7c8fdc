"""Every fact there is, and how one is told from another on its way."""

from __future__ import annotations

from typing import Any

from domain.contracts.schedules import ScheduleMisfiredV1
from domain.contracts.tasks import TaskChangedV1

Event = TaskChangedV1 | ScheduleMisfiredV1

_KNOWN: dict[str, type[TaskChangedV1] | type[ScheduleMisfiredV1]] = {
    contract.type: contract for contract in (TaskChangedV1, ScheduleMisfiredV1)
}


def event_from_wire(wire: dict[str, Any]) -> Event:
    """A wire form without a type is the first fact there was, of a task.

    Raises KeyError, TypeError or ValueError when `wire` is no fact that this version knows.
    """
    return _KNOWN[wire.get("type", TaskChangedV1.type)].from_wire(wire)

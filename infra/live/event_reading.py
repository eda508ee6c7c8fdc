"""Reads events from JSON, in compiled code: each is read by the relay and by everyone it is published to."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from domain.contracts.events import Event
from domain.contracts.schedules import ScheduleMisfiredV1
from domain.contracts.tasks import TaskChangedV1

_ONE: dict[str, TypeAdapter[Any]] = {
    TaskChangedV1.type: TypeAdapter(TaskChangedV1),
    ScheduleMisfiredV1.type: TypeAdapter(ScheduleMisfiredV1),
}
_MANY: dict[str, TypeAdapter[Any]] = {
    TaskChangedV1.type: TypeAdapter(list[TaskChangedV1]),
    ScheduleMisfiredV1.type: TypeAdapter(list[ScheduleMisfiredV1]),
}


def read_task_changed(text: str) -> TaskChangedV1:
    """Raises ValueError when it is no such fact."""
    event: TaskChangedV1 = _ONE[TaskChangedV1.type].validate_json(text, strict=True)
    return event


def read_event(text: str, type_: str | None) -> Event:
    """A fact without a type is the first there was, of a task.

    Raises ValueError when it is no fact that this version knows.
    """
    event: Event = _of_type(_ONE, type_).validate_json(text, strict=True)
    return event


def read_events(array: bytes, type_: str | None) -> list[Event]:
    """The same, of an array of facts of one type."""
    events: list[Event] = _of_type(_MANY, type_).validate_json(array, strict=True)
    return events


def _of_type(known: dict[str, TypeAdapter[Any]], type_: str | None) -> TypeAdapter[Any]:
    try:
        return known[type_ or TaskChangedV1.type]
    except KeyError:
        raise ValueError(f"unknown type of event: {type_}") from None

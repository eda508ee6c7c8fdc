"""Which tasks a list or a subscription is about: read from its input, and tried on an event."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import strawberry

from domain.contracts.tasks import TaskChangedV1
from domain.tasks.listing import TaskFilter
from domain.work.validation import MAX_LABEL_NAME, MAX_LABEL_VALUE, MAX_LABELS, MAX_NAME, line_fault
from schema.absent import given
from schema.enums import TaskState
from schema.ids import read_schedule_id
from schema.labels import LabelInput
from schema.refusals import invalid

MAX_SEARCH = 200
MAX_QUEUES = 100
MAX_STATES = 100
"""There are fewer; saying one twice is no fault."""


@strawberry.input(name="TaskFilter", description="Every condition that is set must hold.")
class TaskFilterInput:
    states: list[TaskState] | None = strawberry.field(
        default=strawberry.UNSET, description="In one of these states."
    )
    queues: list[str] | None = strawberry.field(default=strawberry.UNSET, description="In one of these queues.")
    schedule_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="Made by this schedule."
    )
    owner: str | None = strawberry.field(default=strawberry.UNSET, description="For this owner.")
    labels: list[LabelInput] | None = strawberry.field(
        default=strawberry.UNSET,
        description="All of them must match, by name and value; an empty value matches an empty one alone.",
    )
    due_after: datetime | None = strawberry.field(default=strawberry.UNSET, description="Due at or after it.")
    due_before: datetime | None = strawberry.field(default=strawberry.UNSET, description="Due before it.")
    search: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="Words of the title and description, each by prefix (full-text search, indexed). "
        "In `taskEvents`, of the title alone.",
    )


def read_filter(wanted: TaskFilterInput | None) -> TaskFilter:
    """Raises a GraphQLError that names the field."""
    if wanted is None:
        return TaskFilter()
    states, queues, labels = given(wanted.states), given(wanted.queues), given(wanted.labels) or []
    _bound("states", states or [], MAX_STATES)
    _bound("queues", queues or [], MAX_QUEUES)
    _bound("labels", labels, MAX_LABELS)
    for index, name in enumerate(queues or []):
        _line(f"queues.{index}", name, MAX_NAME)
    for index, label in enumerate(labels):
        _line(f"labels.{index}.name", label.name, MAX_LABEL_NAME)
        _line(f"labels.{index}.value", label.value or None, MAX_LABEL_VALUE)
    return TaskFilter(
        states=None if states is None else tuple(states),
        queues=None if queues is None else tuple(queues),
        schedule=_schedule(given(wanted.schedule_id)),
        owner=_line("owner", given(wanted.owner), MAX_NAME),
        labels=tuple((label.name, label.value) for label in labels),
        due_after=_instant("dueAfter", given(wanted.due_after)),
        due_before=_instant("dueBefore", given(wanted.due_before)),
        search=_line("search", given(wanted.search), MAX_SEARCH),
    )


def read_line(argument: str, text: str | None, most: int = MAX_NAME) -> str | None:
    """What can be stored as one line, for stores fail at other text. Raises a GraphQLError that names it."""
    if text is not None and (fault := line_fault(text, most)):
        raise invalid(f"`{argument.removeprefix('filter.')}`: {fault}", argument)
    return text


def matches(event: TaskChangedV1, wanted: TaskFilter) -> bool:
    """Whether the event, by what it says itself, is of a task that was asked for."""
    return (
        (wanted.states is None or event.state in wanted.states)
        and (wanted.queues is None or event.queue in wanted.queues)
        and (wanted.schedule is None or event.schedule_id == wanted.schedule)
        and (wanted.owner is None or event.owner == wanted.owner)
        and (wanted.due_after is None or event.scheduled_at >= wanted.due_after)
        and (wanted.due_before is None or event.scheduled_at < wanted.due_before)
        and all(label in event.labels for label in wanted.labels)
        and (wanted.search is None or _says(event.title, wanted.search))
    )


def _says(title: str, search: str) -> bool:
    """Each word of the search begins a word of the title; a search without words finds nothing."""
    words = _words(title)
    sought = _words(search)
    return bool(sought) and all(any(word.startswith(each) for word in words) for each in sought)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _bound(field: str, items: Sequence[object], most: int) -> None:
    if len(items) > most:
        raise invalid(f"`{field}` may have at most {most} items.", f"filter.{field}")


def _schedule(id: strawberry.ID | None) -> UUID | None:
    if id is None:
        return None
    schedule = read_schedule_id(id)
    if schedule is None:
        raise invalid("`scheduleId` is no id of a schedule.", "filter.scheduleId")
    return schedule


def _line(field: str, text: str | None, most: int) -> str | None:
    return read_line(f"filter.{field}", text, most)


def _instant(field: str, instant: datetime | None) -> datetime | None:
    if instant is not None and instant.tzinfo is None:
        raise invalid(
            f"`{field}` must carry an offset from UTC, as in 2030-01-31T08:00:00Z.", f"filter.{field}"
        )
    return instant

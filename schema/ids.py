"""Global ids: opaque, and of one type each. An id of another type is an id of nothing."""

from __future__ import annotations

from uuid import UUID

import strawberry

from domain.ids import read_uuid
from schema.opaque import unwrap, whole_number, wrap

MAX_ATTEMPT = 2**31 - 1

AttemptKey = tuple[UUID, int]
"""Task and number."""


def task_id(id: UUID) -> strawberry.ID:
    return strawberry.ID(wrap(f"Task:{id}"))


def attempt_id(task: UUID, number: int) -> strawberry.ID:
    return strawberry.ID(wrap(f"Attempt:{task}:{number}"))


def notification_id(id: UUID) -> strawberry.ID:
    return strawberry.ID(wrap(f"Notification:{id}"))


def schedule_id(id: UUID) -> strawberry.ID:
    return strawberry.ID(wrap(f"Schedule:{id}"))


def webhook_secret_id(id: UUID) -> strawberry.ID:
    return strawberry.ID(wrap(f"WebhookSecret:{id}"))


def dead_letter_id(id: str) -> strawberry.ID:
    return strawberry.ID(wrap(f"DeadLetter:{id}"))


def event_id(task: UUID, version: int) -> strawberry.ID:
    """The same however often the event is delivered."""
    return strawberry.ID(wrap(f"TaskEvent:{task}:{version}"))


def read_task_id(id: strawberry.ID) -> UUID | None:
    match _parts(id):
        case ["Task", text]:
            return read_uuid(text)
    return None


def read_attempt_id(id: strawberry.ID) -> AttemptKey | None:
    match _parts(id):
        case ["Attempt", text, digits]:
            task, number = read_uuid(text), whole_number(digits, MAX_ATTEMPT)
            return (task, number) if task is not None and number is not None else None
    return None


def read_notification_id(id: strawberry.ID) -> UUID | None:
    match _parts(id):
        case ["Notification", text]:
            return read_uuid(text)
    return None


def read_schedule_id(id: strawberry.ID) -> UUID | None:
    match _parts(id):
        case ["Schedule", text]:
            return read_uuid(text)
    return None


def read_webhook_secret_id(id: strawberry.ID) -> UUID | None:
    match _parts(id):
        case ["WebhookSecret", text]:
            return read_uuid(text)
    return None


def read_dead_letter_id(id: strawberry.ID) -> str | None:
    kind, _, rest = (unwrap(id) or "").partition(":")
    return rest if kind == "DeadLetter" else None


def _parts(id: strawberry.ID) -> list[str]:
    return (unwrap(id) or "").split(":")

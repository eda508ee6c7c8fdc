"""A task as bytes and back, exactly but for its credentials, which the cache is not told."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from domain.actions.credentials import shown
from domain.actions.model import Action, ActionKind, Http, Notify, Run
from domain.attempts.retry import Backoff, RetryPolicy
from domain.tasks.model import Task, TaskError
from domain.tasks.states import TaskState

FORMAT = 2
"""To be counted up when a task gains, loses or changes a field: bytes of another format are not read."""

MICROSECOND = timedelta(microseconds=1)


class Unreadable(Exception):  # noqa: N818  says what the bytes are
    """Not the bytes of a task in this format."""


def encode(task: Task) -> bytes:
    fields = {
        "format": FORMAT,
        "id": str(task.id),
        "tenant": task.tenant,
        "title": task.title,
        "description": task.description,
        "state": task.state,
        "scheduled_at": _instant(task.scheduled_at),
        "action": _action(task.action),
        "queue": task.queue,
        "priority": task.priority,
        "key": task.key,
        "owner": task.owner,
        "labels": task.labels,
        "concurrency_key": task.concurrency_key,
        "timeout": task.timeout // MICROSECOND,
        "retry": [
            task.retry.max_attempts,
            task.retry.backoff,
            task.retry.base // MICROSECOND,
            task.retry.cap // MICROSECOND,
        ],
        "attempt": task.attempt,
        "uncounted_attempts": task.uncounted_attempts,
        "fence": task.fence,
        "version": task.version,
        "created_at": _instant(task.created_at),
        "updated_at": _instant(task.updated_at),
        "started_at": _instant(task.started_at),
        "finished_at": _instant(task.finished_at),
        "cancel_requested_at": _instant(task.cancel_requested_at),
        "worker": str(task.worker) if task.worker else None,
        "result": task.result,
        "error": [task.error.type, task.error.message, task.error.attempt] if task.error else None,
        "traceparent": task.traceparent,
        "schedule_id": str(task.schedule_id) if task.schedule_id else None,
        "schedule_revision": task.schedule_revision,
        "fire_time": _instant(task.fire_time),
        "fingerprint": task.fingerprint.hex(),
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def decode(value: bytes) -> Task:
    """Raises Unreadable."""
    try:
        fields = json.loads(value)
        if fields["format"] != FORMAT:
            raise Unreadable
        return _task(fields)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Unreadable from error


def _task(fields: dict[str, Any]) -> Task:
    max_attempts, backoff, base, cap = fields["retry"]
    return Task(
        id=UUID(fields["id"]),
        tenant=fields["tenant"],
        title=fields["title"],
        description=fields["description"],
        state=TaskState(fields["state"]),
        scheduled_at=_read_instant(fields["scheduled_at"]),
        action=_read_action(fields["action"]),
        queue=fields["queue"],
        priority=fields["priority"],
        key=fields["key"],
        owner=fields["owner"],
        labels=tuple((name, label) for name, label in fields["labels"]),
        concurrency_key=fields["concurrency_key"],
        timeout=fields["timeout"] * MICROSECOND,
        retry=RetryPolicy(
            max_attempts=max_attempts,
            backoff=Backoff(backoff),
            base=base * MICROSECOND,
            cap=cap * MICROSECOND,
        ),
        attempt=fields["attempt"],
        uncounted_attempts=fields["uncounted_attempts"],
        fence=fields["fence"],
        version=fields["version"],
        created_at=_read_instant(fields["created_at"]),
        updated_at=_read_instant(fields["updated_at"]),
        started_at=_read_optional_instant(fields["started_at"]),
        finished_at=_read_optional_instant(fields["finished_at"]),
        cancel_requested_at=_read_optional_instant(fields["cancel_requested_at"]),
        worker=UUID(fields["worker"]) if fields["worker"] else None,
        result=fields["result"],
        error=_read_error(fields["error"]),
        traceparent=fields["traceparent"],
        schedule_id=UUID(fields["schedule_id"]) if fields["schedule_id"] else None,
        schedule_revision=fields["schedule_revision"],
        fire_time=_read_optional_instant(fields["fire_time"]),
        fingerprint=bytes.fromhex(fields["fingerprint"]),
    )


def _action(action: Action) -> list[Any]:
    match action:
        case Notify(body=body):
            return [ActionKind.NOTIFY, body]
        case Http(url=url, headers=headers, body=body):
            return [ActionKind.HTTP, url, shown(headers), body]
        case Run(handler=handler, payload=payload):
            return [ActionKind.RUN, handler, payload]


def _read_action(parts: list[Any]) -> Action:
    match parts:
        case [ActionKind.NOTIFY, body]:
            return Notify(body=body)
        case [ActionKind.HTTP, url, headers, body]:
            return Http(url=url, headers=headers, body=body)
        case [ActionKind.RUN, handler, payload]:
            return Run(handler=handler, payload=payload)
        case _:
            raise Unreadable


def _read_error(parts: list[Any] | None) -> TaskError | None:
    if parts is None:
        return None
    type, message, attempt = parts
    return TaskError(type=type, message=message, attempt=attempt)


def _instant(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at is not None else None


def _read_instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _read_optional_instant(text: str | None) -> datetime | None:
    return _read_instant(text) if text is not None else None

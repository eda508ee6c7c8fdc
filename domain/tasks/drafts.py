"""What callers ask for, before it is checked: tasks to make, and changes to tasks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, overload

from domain.actions.model import Action, Http, JsonValue, Notify, Run
from domain.attempts.retry import Backoff


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpDraft:
    url: str
    headers: JsonValue = None
    body: JsonValue = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDraft:
    handler: str
    payload: JsonValue


ActionDraft = Notify | HttpDraft | RunDraft
REMINDER: Final = Notify()


@overload
def as_action(draft: HttpDraft) -> Http: ...
@overload
def as_action(draft: RunDraft) -> Run: ...
@overload
def as_action(draft: ActionDraft) -> Action: ...
def as_action(draft: ActionDraft) -> Action:
    """The action it asks for, whether or not its values are allowed."""
    match draft:
        case Notify():
            return draft
        case HttpDraft(url=url, headers=headers, body=body):
            return Http(url=url, headers={} if headers is None else headers, body=body)
        case RunDraft(handler=handler, payload=payload):
            return Run(handler=handler, payload=payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryDraft:
    """What is None is as the default policy has it."""

    max_attempts: int | None = None
    backoff: Backoff | None = None
    base: timedelta | None = None
    cap: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDraft:
    title: str
    description: str | None = None
    scheduled_at: datetime | None = None
    """None means at once. Without an offset it is refused."""
    action: ActionDraft = REMINDER
    queue: str = "default"
    priority: int = 5
    key: str | None = None
    owner: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    concurrency_key: str | None = None
    timeout: timedelta | None = None
    retry: RetryDraft = RetryDraft()


class Keep(Enum):
    """Stands where an edit leaves a field as it is."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEdit:
    """None takes a description or an owner away; elsewhere there is nothing to take away."""

    title: str | Keep | None = KEEP
    description: str | Keep | None = KEEP
    scheduled_at: datetime | Keep | None = KEEP
    action: ActionDraft | Keep | None = KEEP
    queue: str | Keep | None = KEEP
    priority: int | Keep | None = KEEP
    owner: str | Keep | None = KEEP
    labels: tuple[tuple[str, str], ...] | Keep = KEEP

    def given(self) -> dict[str, Any]:
        """The fields this edit sets, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not KEEP}

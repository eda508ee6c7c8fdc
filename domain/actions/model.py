"""The three actions, and how one attempt of one can end. What is secret in one is not in its repr."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

JsonValue = Any
"""What `json.loads` gives: None, bool, int, float, str, list, dict."""


class ActionKind(StrEnum):
    NOTIFY = "NOTIFY"
    HTTP = "HTTP"
    RUN = "RUN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """A reminder: it succeeds by being told to its owner."""

    body: str | None = field(default=None, repr=False)
    kind: ActionKind = field(default=ActionKind.NOTIFY, init=False)


@dataclass(frozen=True, slots=True)
class SealedValue:
    """An encrypted text: only who sends it opens it."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """A webhook call: POST of `body` as JSON. Once stored, the headers that carry credentials are sealed."""

    url: str = field(repr=False)
    headers: Mapping[str, str | SealedValue] = field(default_factory=dict, repr=False)
    body: JsonValue = field(default=None, repr=False)
    kind: ActionKind = field(default=ActionKind.HTTP, init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A call of a registered handler with `payload`."""

    handler: str
    payload: dict[str, Any] = field(repr=False)
    kind: ActionKind = field(default=ActionKind.RUN, init=False)


Action = Notify | Http | Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What an action is told of the attempt it is run for."""

    task_id: UUID
    tenant: str
    attempt: int
    fence: int
    """The fencing number: grows with each start of the task, and is never reset."""
    due_at: datetime
    traceparent: str
    fire_time: datetime | None = None
    """That the task was made for, when a schedule made it."""
    put_off: int = 0
    """Attempts before this one that did not count: snoozed ones, and those before the task was run again."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    result: JsonValue = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The attempt failed. `after` overrides the retry policy's delay, in seconds."""

    type: str
    message: str
    retryable: bool = True
    after: float | None = None


@dataclass(frozen=True, slots=True)
class TimedOut:
    seconds: float


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The handler stopped because it was asked to."""


@dataclass(frozen=True, slots=True)
class Snoozed:
    """Not now: due again at `until`. Uses no attempt. `because` tells why, where there is more to tell."""

    until: datetime
    because: Failed | None = None


Outcome = Succeeded | Failed | TimedOut | Cancelled | Snoozed

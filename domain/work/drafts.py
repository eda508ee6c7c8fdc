"""What callers ask to be done, before it is checked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from enum import Enum
from typing import Any, Final, overload

from domain.actions.model import Action, Http, JsonValue, Notify, Run
from domain.attempts.retry import Backoff, RetryPolicy

DEFAULT_TIMEOUT: Final = timedelta(seconds=60)
DEFAULT_RETRY: Final = RetryPolicy()


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


def retry_policy(draft: RetryDraft) -> RetryPolicy:
    """The default policy with what `draft` sets; a longer base alone raises the default cap to it."""
    default = DEFAULT_RETRY
    base = default.base if draft.base is None else draft.base
    return RetryPolicy(
        max_attempts=default.max_attempts if draft.max_attempts is None else draft.max_attempts,
        backoff=default.backoff if draft.backoff is None else draft.backoff,
        base=base,
        cap=max(default.cap, base) if draft.cap is None else draft.cap,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkDraft:
    """What is to be done, whenever and however often that is."""

    title: str
    description: str | None = None
    action: ActionDraft = REMINDER
    queue: str = "default"
    priority: int = 5
    concurrency_key: str | None = None
    owner: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    timeout: timedelta | None = None
    retry: RetryDraft = RetryDraft()


class Keep(Enum):
    """Stands where an edit leaves a field as it is."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A change of some fields of something that is there."""

    def given(self) -> dict[str, Any]:
        """The fields it sets, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not KEEP}

"""Runs a handler in its author's own tests, with no Carillon anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from pydantic import JsonValue

from carillon.context import Context
from carillon.endings import Discard, Retry, Snooze
from carillon.marking import Marked, marked
from carillon.payload import PayloadError
from carillon.result import ResultError, kept

__all__ = ["PayloadError", "Ran", "run", "run_async"]

TASK = UUID("0192d3a0-0000-7000-8000-000000000001")


@dataclass(kw_only=True)
class Ran:
    """How a handler's attempt ended, and what it told on the way."""

    outcome: Literal["succeeded", "failed", "retry", "discarded", "snoozed"] = "succeeded"
    result: JsonValue = None
    error: BaseException | None = None
    """What it raised; None when it succeeded."""
    after: timedelta | None = None
    """The delay it asked for, by Retry or Snooze."""
    until: datetime | None = None
    """The instant it asked for, by Snooze."""
    progress: list[tuple[float, str | None]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)


def run(
    function: Callable[..., Any],
    payload: Mapping[str, Any],
    *,
    task_id: UUID = TASK,
    attempt: int = 1,
    fence: int = 1,
    cancelled: bool = False,
) -> Ran:
    """Run a handler once, as Carillon would; inside a running loop use `run_async`.

    Raises PayloadError where Carillon would refuse to create the task.
    """
    return asyncio.run(
        run_async(function, payload, task_id=task_id, attempt=attempt, fence=fence, cancelled=cancelled)
    )


async def run_async(
    function: Callable[..., Any],
    payload: Mapping[str, Any],
    *,
    task_id: UUID = TASK,
    attempt: int = 1,
    fence: int = 1,
    cancelled: bool = False,
) -> Ran:
    """As `run`, for a test that is async itself. A plain handler runs in a thread."""
    mark = marked(function)
    if mark is None:
        raise TypeError(f"{function!r} is not marked with @handler")
    ran = Ran()
    context = Context(
        task_id=task_id,
        attempt=attempt,
        fence=fence,
        listener=_Recorder(ran),
        asked_to_stop=lambda: cancelled,
    )
    arguments = mark.payload.arguments(payload)
    if mark.payload.context is not None:
        arguments[mark.payload.context] = context
    await _end(ran, mark, arguments)
    return ran


async def _end(ran: Ran, mark: Marked, arguments: dict[str, Any]) -> None:
    try:
        if mark.is_async:
            ran.result = kept(await mark.function(**arguments))
        else:
            ran.result = kept(await asyncio.to_thread(mark.function, **arguments))
    except Retry as asked:
        ran.outcome, ran.error, ran.after = "retry", asked, asked.after
    except (Discard, ResultError) as asked:
        ran.outcome, ran.error = "discarded", asked
    except Snooze as asked:
        ran.outcome, ran.error, ran.after, ran.until = "snoozed", asked, asked.for_, asked.until
    except Exception as error:  # noqa: BLE001  whatever a handler raises is how its attempt ended
        ran.outcome, ran.error = "failed", error


class _Recorder:
    def __init__(self, ran: Ran) -> None:
        self._ran = ran

    def progress(self, fraction: float, message: str | None) -> None:
        self._ran.progress.append((fraction, message))

    def log(self, message: str) -> None:
        self._ran.log.append(message)

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

    outcome: Literal["succeeded", "failed", "retry", "discarded", "snoozed", "cancelled"] = "succeeded"
    result: JsonValue = None
    error: BaseException | None = None
    """What it raised; None when it succeeded."""
    after: timedelta | None = None
    """The delay it asked for, by Retry or Snooze."""
    until: datetime | None = None
    """The instant it asked for, by Snooze."""
    progress: list[tuple[float, str | None]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)


Cancelled = bool | Callable[[Ran], bool]
"""Whether the handler is asked to stop: from its first step on, or once this is true of what it told so far."""


def run(
    function: Callable[..., Any],
    payload: Mapping[str, Any],
    *,
    task_id: UUID = TASK,
    attempt: int = 1,
    fence: int = 1,
    cancelled: Cancelled = False,
) -> Ran:
    """Run a handler once, as Carillon would; inside a running loop use `run_async`.

    If `cancelled`, an async handler is cancelled where it waits, and a plain one sees it in its context.
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
    cancelled: Cancelled = False,
) -> Ran:
    """As `run`, for a test that is async itself. A plain handler runs in a thread."""
    mark = marked(function)
    if mark is None:
        raise TypeError(f"{function!r} is not marked with @handler")
    ran = Ran()
    stop = _Stop(ran, cancelled)
    context = Context(
        task_id=task_id,
        attempt=attempt,
        fence=fence,
        listener=_Recorder(ran, stop),
        asked_to_stop=lambda: stop.asked,
    )
    arguments = mark.payload.arguments(payload)
    if mark.payload.context is not None:
        arguments[mark.payload.context] = context
    async with asyncio.TaskGroup() as group:
        running = group.create_task(_end(ran, mark, arguments, stop))
        if mark.is_async:
            stop.task = running
        stop.look()
    return ran


class _Stop:
    """Asks the handler to stop when it is time to."""

    def __init__(self, ran: Ran, cancelled: Cancelled) -> None:
        self._ran = ran
        self._cancelled = cancelled
        self._loop = asyncio.get_running_loop()
        self.asked = False
        self.task: asyncio.Task[None] | None = None
        """Of an async handler."""

    def look(self) -> None:
        """Takes calls from any thread."""
        if self.asked:
            return
        self.asked = self._cancelled(self._ran) if callable(self._cancelled) else self._cancelled
        if self.asked and self.task is not None:
            self._loop.call_soon_threadsafe(self.task.cancel)


async def _end(ran: Ran, mark: Marked, arguments: dict[str, Any], stop: _Stop) -> None:
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
    except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001  so its attempt ended
        ran.outcome, ran.error = "failed", error
    if stop.asked and ran.outcome != "succeeded":
        ran.outcome = "cancelled"


class _Recorder:
    def __init__(self, ran: Ran, stop: _Stop) -> None:
        self._ran = ran
        self._stop = stop

    def progress(self, fraction: float, message: str | None) -> None:
        self._ran.progress.append((fraction, message))
        self._stop.look()

    def log(self, message: str) -> None:
        self._ran.log.append(message)
        self._stop.look()

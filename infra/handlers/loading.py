"""Loads the handlers that modules define, checks payloads against them, and runs them."""

from __future__ import annotations

import asyncio
import importlib
import logging
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from carillon import Context, Discard, Retry, Snooze
from carillon.endings import LONGEST
from carillon.marking import Marked, marked
from carillon.payload import PayloadError
from carillon.result import ResultError, kept
from domain.actions.model import Call, Failed, Outcome, Run, Snoozed, Succeeded
from domain.actions.ports import HandlerInfo, Reporter
from domain.clock import Clock
from domain.errors import Invalid, Refusals, UnknownHandler
from infra.handlers.reports import LoopReporter
from infra.text import storable
from infra.threads import Threads

logger = logging.getLogger(__name__)

MESSAGE = 2_000
"""Characters kept of what a handler raised."""
MOST_FRAMES = 50
"""The innermost, of where it raised."""


class HandlersNotLoaded(Exception):  # noqa: N818  says what happened at the start
    """A module of handlers cannot be used; the message names it."""


def load_handlers(modules: Iterable[str], threads: int, clock: Clock) -> LoadedHandlers:
    """The handlers of `modules`; plain ones run in at most `threads` threads. Raises HandlersNotLoaded."""
    return LoadedHandlers(load(modules), Threads(threads, "handler"), clock)


def load(modules: Iterable[str]) -> dict[str, Marked]:
    """The marked functions of `modules`, by name. Raises HandlersNotLoaded."""
    handlers: dict[str, Marked] = {}
    for module in modules:
        found = _marks(module)
        if not found:
            logger.warning("module %s defines no handler", module)
        for mark in found:
            known = handlers.setdefault(mark.name, mark)
            if known.function is not mark.function:
                places = f"{known.function.__module__} and {mark.function.__module__}"
                raise HandlersNotLoaded(f"two handlers are named {mark.name!r}: in {places}")
    return handlers


def _marks(module: str) -> list[Marked]:
    try:
        contents = vars(importlib.import_module(module))
    except Exception as error:
        raise HandlersNotLoaded(f"handlers module {module!r} cannot be loaded: {error!r}") from error
    return [mark for mark in map(marked, contents.values()) if mark is not None]


class LoadedHandlers:
    """Implements Handlers and HandlerRunner."""

    def __init__(self, handlers: dict[str, Marked], threads: Threads, clock: Clock) -> None:
        self._handlers = handlers
        self._threads = threads
        self._clock = clock
        self._infos = [
            HandlerInfo(name=name, description=mark.description, payload_schema=dict(mark.payload.schema))
            for name, mark in sorted(handlers.items())
        ]

    def all(self) -> Sequence[HandlerInfo]:
        return self._infos

    def check(self, run: Run) -> None:
        mark = self._handlers.get(run.handler)
        if mark is None:
            raise UnknownHandler(
                f"No handler is named {run.handler!r}: `handlers` lists those there are.", ("handler",)
            )
        try:
            mark.payload.arguments(run.payload)
        except PayloadError as error:
            raise Refusals(
                [Invalid(fault.message, ("payload", *fault.path)) for fault in error.faults]
            ) from None

    async def run(self, run: Run, call: Call, reporter: Reporter) -> Outcome:
        """As the port says. Cancelled a second time, it no longer waits for a plain handler's thread."""
        mark = self._handlers.get(run.handler)
        if mark is None:
            # Another worker may have it: during a deployment not all of them are alike.
            return Failed(type="UnknownHandler", message="this worker has no handler of that name")
        try:
            arguments = mark.payload.arguments(run.payload)
        except PayloadError as error:
            return _failed("InvalidPayload", str(error), retryable=False)
        if mark.is_async:
            return await self._on_the_loop(mark, arguments, call, reporter)
        return await self._in_a_thread(mark, arguments, call, reporter)

    async def _on_the_loop(
        self, mark: Marked, arguments: dict[str, Any], call: Call, reporter: Reporter
    ) -> Outcome:
        task = asyncio.current_task()

        def asked_to_stop() -> bool:
            return task is not None and task.cancelling() > 0

        _give_context(mark, arguments, call, LoopReporter(reporter), asked_to_stop)
        try:
            return Succeeded(kept(await mark.function(**arguments)))
        except asyncio.CancelledError as error:
            if asked_to_stop():
                raise
            # The handler cancelled something of its own and let that escape: nobody asked this attempt to stop.
            return self._ending(error, call)
        except (Exception, SystemExit) as error:  # noqa: BLE001  what a handler raises is its outcome
            return self._ending(error, call)

    async def _in_a_thread(
        self, mark: Marked, arguments: dict[str, Any], call: Call, reporter: Reporter
    ) -> Outcome:
        stop = threading.Event()
        listener = LoopReporter(reporter)
        _give_context(mark, arguments, call, listener, stop.is_set)

        def work() -> Outcome:
            try:
                return Succeeded(kept(mark.function(**arguments)))
            except (Exception, SystemExit) as error:  # noqa: BLE001  what a handler raises is its outcome
                return self._ending(error, call)

        done = await self._threads.start(work)
        try:
            await asyncio.wait({done})
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait({done})
            raise
        listener.flush()
        return done.result()

    def _snoozed(self, until: datetime) -> Outcome:
        now = self._clock.now()
        if until > now + LONGEST:
            return _failed(
                "InvalidSnooze", f"a task is snoozed for {LONGEST.days} days at most", retryable=False
            )
        return Snoozed(max(until, now))

    def _ending(self, error: BaseException, call: Call) -> Outcome:
        match error:
            case Retry():
                after = None if error.after is None else error.after.total_seconds()
                return _failed("Retry", str(error), after=after)
            case Discard():
                return _failed("Discard", str(error), retryable=False)
            case Snooze(until=None, for_=delay) if delay is not None:
                return Snoozed(self._clock.now() + delay)
            case Snooze(until=until) if until is not None:
                return self._snoozed(until)
            case ResultError():
                return _failed("InvalidResult", str(error), retryable=False)
            case _:
                about = {"task": str(call.task_id), "attempt": call.attempt}
                logger.info("a handler raised", extra={**about, "exception": _where(error)})
                return _failed(type(error).__name__, str(error))


def _where(error: BaseException) -> str:
    """For its author; without its words, which may be those of a payload, and are kept with the task."""
    frames = traceback.format_tb(error.__traceback__, limit=-MOST_FRAMES)
    return "".join(["Traceback (most recent call last):\n", *frames, type(error).__name__])


def _give_context(
    mark: Marked,
    arguments: dict[str, Any],
    call: Call,
    listener: LoopReporter,
    asked_to_stop: Callable[[], bool],
) -> None:
    if mark.payload.context is not None:
        arguments[mark.payload.context] = Context(
            task_id=call.task_id,
            attempt=call.attempt,
            fence=call.fence,
            listener=listener,
            asked_to_stop=asked_to_stop,
        )


def _failed(kind: str, message: str, *, retryable: bool = True, after: float | None = None) -> Failed:
    return Failed(type=kind, message=storable(message, MESSAGE), retryable=retryable, after=after)

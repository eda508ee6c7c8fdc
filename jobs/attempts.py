"""The attempts that run in this process: each from its launch to its end, whether it ends by itself or not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from domain.actions.model import Failed, Outcome, Snoozed, Succeeded, TimedOut
from domain.attempts.model import Started, is_last
from infra.telemetry.spans import span
from infra.telemetry.trace import in_trace
from jobs.metrics import JobMetrics

log = logging.getLogger(__name__)

STOPPED_ITSELF = Failed(type="CancelledError", message="It was cancelled, and nobody had asked for it.")


@dataclass(frozen=True, slots=True)
class HandBack:
    """Asked to stop because the worker stops: the attempt does not count."""


Ending = Outcome | HandBack


@dataclass(slots=True, eq=False)
class _Live:
    started: Started
    began: float
    asked: Ending | None = None
    """How it ends if it obeys; None while it was not asked to stop."""
    task: asyncio.Task[Outcome] = field(init=False)
    timer: asyncio.TimerHandle = field(init=False)

    def ending(self, outcome: Outcome) -> Ending:
        """What ran to its end all the same has succeeded: to deny it would be to do it twice."""
        return outcome if self.asked is None or isinstance(outcome, Succeeded) else self.asked


class LiveAttempts:
    """`act` does an action; `ended` hears how each attempt ended; `freed` that nothing of one runs any more."""

    def __init__(
        self,
        act: Callable[[Started], Awaitable[Outcome]],
        ended: Callable[[Started, Ending], None],
        freed: Callable[[], None],
        metrics: JobMetrics,
        *,
        cancel_grace: float,
    ) -> None:
        self._act = act
        self._ended = ended
        self._freed = freed
        self._metrics = metrics
        self._cancel_grace = cancel_grace
        self._loop = asyncio.get_running_loop()
        self._live: dict[UUID, _Live] = {}

    def fence(self, task_id: UUID) -> int | None:
        """Of its attempt; None when none runs here."""
        live = self._live.get(task_id)
        return None if live is None else live.started.fence

    def __len__(self) -> int:
        return len(self._live)

    def launch(self, started: Started) -> None:
        live = _Live(started, self._loop.time())
        # No TaskGroup: it would wait without end for a handler that does not stop.
        live.task = self._loop.create_task(self._run(started))
        live.task.add_done_callback(partial(self._done, live))
        seconds = started.timeout.total_seconds()
        live.timer = self._loop.call_later(seconds, self._ask, live, TimedOut(seconds))
        self._live[started.task_id] = live
        self._metrics.running.set(len(self._live))
        self._metrics.started(started)

    def ask(self, task_id: UUID, ending: Ending) -> None:
        """To stop and so end, if it runs here. The first reason it is given is the one that counts."""
        live = self._live.get(task_id)
        if live is not None:
            self._ask(live, ending)

    def ask_all(self, ending: Ending) -> None:
        for live in list(self._live.values()):
            self._ask(live, ending)

    def give_up_all(self) -> int:
        """End those that were asked to stop and did not, without waiting any longer. How many there were."""
        deaf = [live for live in self._live.values() if live.asked is not None]
        for live in deaf:
            self._give_up(live)
            live.task.cancel()  # a second time: a plain handler's thread is no longer waited for
        return len(deaf)

    def forget_all(self) -> int:
        """Stop everything, and hear of no ending. How many there were."""
        lost, self._live = self._live, {}
        for live in lost.values():
            live.timer.cancel()
            live.task.cancel()
        self._metrics.running.set(0)
        return len(lost)

    async def _run(self, started: Started) -> Outcome:
        with in_trace(started.traceparent), span("attempt", "consumer", notes=_notes(started)) as attempt:
            try:
                outcome = await self._act(started)
            except asyncio.CancelledError:
                raise
            except BaseException as fault:  # whatever it is, it must not take the slot with it
                log.exception("an action failed beyond its handler", extra={"task": str(started.task_id)})
                outcome = Failed(type=type(fault).__name__, message="An internal error: see the worker's log.")
            attempt.note("carillon.outcome", type(outcome).__name__)
            if isinstance(outcome, Failed):
                attempt.fail(outcome.type)
            return outcome

    def _ask(self, live: _Live, ending: Ending) -> None:
        if live.asked is not None or live.task.done():
            return
        live.asked = ending
        live.task.cancel()
        live.timer.cancel()
        live.timer = self._loop.call_later(self._cancel_grace, self._give_up, live)

    def _give_up(self, live: _Live) -> None:
        """It does not stop: its attempt ends without it. Its slot is free when it does end."""
        if self._live.get(live.started.task_id) is not live or live.asked is None:
            return
        log.error("a handler does not stop", extra={"task": str(live.started.task_id)})
        self._metrics.deaf.inc()
        live.task.add_done_callback(lambda _: self._metrics.deaf.dec())
        self._end(live, live.asked)

    def _done(self, live: _Live, task: asyncio.Task[Outcome]) -> None:
        # A task that is cancelled before its first step never runs: only here can its end be seen for sure.
        live.timer.cancel()
        if self._live.get(live.started.task_id) is live:
            self._end(live, live.ending(STOPPED_ITSELF if task.cancelled() else task.result()))
        self._freed()

    def _end(self, live: _Live, ending: Ending) -> None:
        del self._live[live.started.task_id]
        seconds = self._loop.time() - live.began
        self._metrics.running.set(len(self._live))
        self._metrics.duration.observe(seconds)
        with in_trace(live.started.traceparent):
            log.log(
                _level(live.started, ending), "an attempt ended", extra=_told(live.started, ending, seconds)
            )
            self._ended(live.started, ending)


def _notes(started: Started) -> dict[str, str | int]:
    return {"carillon.task": str(started.task_id), "carillon.attempt": started.number}


def _level(started: Started, ending: Ending) -> int:
    if isinstance(ending, HandBack):
        return logging.INFO
    if is_last(started, ending):
        return logging.WARNING  # somebody has to look at it
    return logging.DEBUG if isinstance(ending, Succeeded | Snoozed) else logging.INFO


def _told(started: Started, ending: Ending, seconds: float) -> dict[str, object]:
    told: dict[str, object] = {
        "task": str(started.task_id),
        "attempt": started.number,
        "outcome": type(ending).__name__,
        "seconds": round(seconds, 3),
    }
    if isinstance(ending, Failed):
        told["error_type"] = ending.type
    return told

"""Gathers what running handlers tell and writes it together: log lines, and the newest progress of each."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from domain.attempts.activity import (
    LINES_AT_ONCE,
    LINES_PER_SECOND,
    Allowance,
    LogPlace,
    NewLine,
    ProgressReport,
)
from domain.attempts.model import Started
from domain.attempts.ports import Activity
from domain.errors import Unavailable
from domain.live.ports import Signal, Signals
from jobs.metrics import JobMetrics

log = logging.getLogger(__name__)

INTERVAL = 0.05
"""Seconds between two writes."""
PAUSE = 1.0
"""Seconds after a write that failed."""
BATCH = 1_000
WAITING = 10_000
"""Lines that wait to be written; beyond, they are dropped."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    line: NewLine
    since: float


class ActivityBoard:
    """On the process's loop. A lease begins with `begin`, and ends with `drop`, which drops what waits."""

    def __init__(
        self,
        activity: Activity,
        signals: Signals,
        metrics: JobMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self._activity = activity
        self._signals = signals
        self._metrics = metrics
        self._worker: UUID | None = None
        self._open: dict[UUID, AttemptReporter] = {}
        self._progress: dict[UUID, ProgressReport] = {}
        self._lines: deque[_Waiting] = deque()
        self._some = asyncio.Event()
        self._writing = asyncio.Lock()

    def begin(self, worker: UUID) -> None:
        self._worker = worker

    def drop(self) -> None:
        self._worker = None
        self._open.clear()
        self.count_dropped("fenced", len(self._lines))
        self._progress, self._lines = {}, deque()

    def open(self, started: Started) -> AttemptReporter:
        """Where this attempt tells, until it is closed."""
        reporter = self._open[started.task_id] = AttemptReporter(self, started)
        return reporter

    def close(self, started: Started) -> None:
        """It has ended: what it told before is written, and nothing more is heard of it."""
        reporter = self._open.get(started.task_id)
        if reporter is not None and reporter.started is started:
            reporter.say_dropped()
            del self._open[started.task_id]

    def hears(self, reporter: AttemptReporter) -> bool:
        return self._open.get(reporter.started.task_id) is reporter

    def put_progress(self, report: ProgressReport) -> None:
        self._progress[report.task_id] = report
        self._some.set()

    def put_line(self, line: NewLine) -> bool:
        """False when too many wait already."""
        if len(self._lines) >= WAITING:
            return False
        self._lines.append(_Waiting(line, self.clock()))
        self._some.set()
        return True

    def count_dropped(self, reason: str, lines: int = 1) -> None:
        self._metrics.lines_dropped.labels(reason).inc(lines)

    async def write_forever(self) -> None:
        while True:
            await self._some.wait()
            await asyncio.sleep(INTERVAL if await self.write_once() else PAUSE)

    async def flush(self) -> None:
        """All that was told before is stored, or cannot be just now."""
        if not (self._lines or self._progress or self._writing.locked()):
            return
        for _ in range(1 + len(self._lines) // BATCH):
            if not await self.write_once():
                return

    async def write_once(self) -> bool:
        """Write the newest reports and the oldest lines. False when they cannot be written now.

        Lines are kept for the next try; of progress, the next report says more.
        """
        async with self._writing:
            self._some.clear()
            reports, self._progress = list(self._progress.values()), {}
            lines = [self._lines[index] for index in range(min(BATCH, len(self._lines)))]
            if self._worker is None or not (reports or lines):
                return True
            try:
                if reports:
                    await self._activity.write_progress(self._worker, reports)
                if lines:
                    await self._write_lines(lines)
            except Unavailable:
                self._some.set()
                return False
            except Exception:
                # What a handler tells must never end the worker that runs it.
                log.exception("what handlers tell cannot be stored")
                self._forget(lines)
                self.count_dropped("unstorable", len(lines))
                return False
        for task_id in {each.task_id for each in reports} | {each.line.task_id for each in lines}:
            self._signals.send(Signal.ACTIVITY, str(task_id))
        return True

    async def _write_lines(self, lines: list[_Waiting]) -> None:
        now = self.clock()
        aged = [replace(each.line, age=timedelta(seconds=now - each.since)) for each in lines]
        stored = await self._activity.write_log(aged)
        self._metrics.lines.inc(stored)
        self.count_dropped("fenced", len(lines) - stored)
        self._forget(lines)

    def _forget(self, lines: list[_Waiting]) -> None:
        """Unless the lease took them away meanwhile."""
        for each in lines:
            if self._lines and self._lines[0] is each:
                self._lines.popleft()
        if self._lines:
            self._some.set()


class AttemptReporter:
    """Implements domain.actions.ports.Reporter for one attempt."""

    def __init__(self, board: ActivityBoard, started: Started) -> None:
        self.started = started
        self._board = board
        self._allowance = Allowance(board.clock())
        self._number = 0
        self._dropped = 0

    def progress(self, fraction: float, message: str | None) -> None:
        if self._board.hears(self):
            started = self.started
            self._board.put_progress(
                ProgressReport(task_id=started.task_id, fence=started.fence, fraction=fraction, message=message)
            )

    def log(self, message: str) -> None:
        if not self._board.hears(self):
            self._board.count_dropped("ended")
        elif not self._allowance.take(self._board.clock()):
            self._drop("rate")
        elif not (self.say_dropped() and self._put(message)):
            self._drop("full")

    def say_dropped(self) -> bool:
        """A line of ours in place of those that were dropped, if any. False when there is no room for it."""
        if self._dropped and not self._put(
            f"{self._dropped} lines were dropped: an attempt may write {LINES_AT_ONCE} at once "
            f"and {LINES_PER_SECOND} a second"
        ):
            return False
        self._dropped = 0
        return True

    def _put(self, message: str) -> bool:
        started = self.started
        line = NewLine(
            task_id=started.task_id,
            place=LogPlace(started.fence, self._number + 1),
            attempt=started.number,
            age=timedelta(0),
            message=message,
        )
        if not self._board.put_line(line):
            return False
        self._number += 1
        log.info("handler: %s", message, extra={"task": str(started.task_id)})
        return True

    def _drop(self, reason: str) -> None:
        self._dropped += 1
        self._board.count_dropped(reason)

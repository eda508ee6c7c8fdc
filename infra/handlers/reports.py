"""Carries what handlers report from whatever thread they run in to the loop, bounded."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from domain.actions.ports import Reporter
from domain.attempts.activity import LINE_LENGTH
from infra.text import storable

WAITING = 256
"""Reports from threads that wait for the loop: beyond it the oldest is dropped, and the log says so."""


class LoopReporter:
    """A Listener for a handler's context. Made on the loop; takes calls from any thread."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._loop = asyncio.get_running_loop()
        self._home = threading.get_ident()
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._dropped = 0

    def progress(self, fraction: float, message: str | None) -> None:
        line = None if message is None else storable(message, LINE_LENGTH)
        self._tell(lambda: self._reporter.progress(fraction, line))

    def log(self, message: str) -> None:
        line = storable(message, LINE_LENGTH)
        self._tell(lambda: self._reporter.log(line))

    def _tell(self, report: Callable[[], None]) -> None:
        if threading.get_ident() == self._home:
            report()
            return
        with self._lock:
            idle = not self._waiting
            self._waiting.append(report)
            if len(self._waiting) > WAITING:
                self._waiting.popleft()
                self._dropped += 1
        if idle and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.flush)

    def flush(self) -> None:
        """Tell what waits, in its order. On the loop only."""
        with self._lock:
            reports, self._waiting = self._waiting, deque()
            dropped, self._dropped = self._dropped, 0
        if dropped:
            self._reporter.log(f"{dropped} reports were dropped: they came faster than they could be told")
        for report in reports:
            report()

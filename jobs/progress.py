"""Gathers what running handlers report and writes the newest of each, a few times a second."""

from __future__ import annotations

import asyncio
import logging
from uuid import UUID

from domain.attempts.model import Started
from domain.attempts.ports import Attempts
from domain.errors import Unavailable

log = logging.getLogger(__name__)

INTERVAL = 0.2
"""Seconds between two writes."""


class ProgressBoard:
    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts
        self._newest: dict[UUID, tuple[int, float, str | None]] = {}
        self._some = asyncio.Event()

    def put(self, started: Started, fraction: float, message: str | None) -> None:
        self._newest[started.task_id] = (started.fence, fraction, message)
        self._some.set()

    def forget(self, task_id: UUID) -> None:
        """It ended: how far it was no longer matters."""
        self._newest.pop(task_id, None)

    def clear(self) -> None:
        self._newest.clear()

    async def write_once(self, worker: UUID | None) -> int:
        """How many reports were written. What cannot be written now is dropped: the next says more."""
        self._some.clear()
        newest, self._newest = self._newest, {}
        if worker is None or not newest:
            return 0
        reports = [(task_id, *report) for task_id, report in newest.items()]
        try:
            await self._attempts.report_progress(worker, reports)
        except Unavailable:
            return 0
        except Exception:
            # How far a handler is must never end the worker that runs it.
            log.exception("progress cannot be stored")
            return 0
        return len(reports)

    async def wait(self) -> None:
        await self._some.wait()


class AttemptReporter:
    """Implements domain.actions.ports.Reporter for one attempt."""

    def __init__(self, board: ProgressBoard, started: Started) -> None:
        self._board = board
        self._started = started

    def progress(self, fraction: float, message: str | None) -> None:
        self._board.put(self._started, fraction, message)

    def log(self, message: str) -> None:
        log.info("handler: %s", message, extra={"task": str(self._started.task_id)})

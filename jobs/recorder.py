"""Gathers ended attempts and writes them together: one commit for many is what makes them cheap."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.actions.model import Failed, Outcome, TimedOut
from domain.attempts.model import Settled, Started, settle
from domain.attempts.ports import Attempts
from domain.errors import Unavailable
from domain.tasks.states import TaskState
from infra.telemetry.spans import span_for_all
from jobs.metrics import JobMetrics

log = logging.getLogger(__name__)

BATCH = 500
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
UNSTORABLE = Failed(type="UnstorableOutcome", message="Its outcome could not be stored.", retryable=False)


@dataclass(frozen=True, slots=True)
class Ended:
    started: Started
    settled: Settled


class Recorder:
    """Keeps results until they are recorded, refused, or dropped with the lease they were got under."""

    def __init__(
        self,
        attempts: Attempts,
        metrics: JobMetrics,
        draw: Callable[[], float],
        *,
        gather: float,
        first: Callable[[], Awaitable[None]],
        recorded: Callable[[bool], None],
    ) -> None:
        """`first` is done before each write: what attempts told is stored before their end.

        `recorded` hears of each write, and whether something may be handed over for it: the task itself, for
        another attempt, or one that a limit held back.
        """
        self._attempts = attempts
        self._gather = gather
        self._first = first
        self._metrics = metrics
        self._draw = draw
        self._recorded = recorded
        self._worker: UUID | None = None
        self._kept: dict[UUID, Ended] = {}
        self._changed = asyncio.Event()

    def fence(self, task_id: UUID) -> int | None:
        """Of the attempt whose result is kept; None when none is."""
        ended = self._kept.get(task_id)
        return None if ended is None else ended.settled.fence

    def begin(self, worker: UUID) -> None:
        self._worker = worker

    def drop(self) -> None:
        """The lease is lost: whatever was found out under it is someone else's to find out again."""
        self._worker = None
        self._metrics.fenced.inc(len(self._kept))
        self._kept.clear()
        self._changed.set()

    def add(self, started: Started, outcome: Outcome) -> None:
        if self._worker is None:
            self._metrics.fenced.inc()
            return
        # Drawing is a system call: only a retry has jitter.
        draw = self._draw() if isinstance(outcome, Failed | TimedOut) else 0.0
        self._kept[started.task_id] = Ended(started, settle(started, outcome, draw))
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            while not self._kept:
                await self._change()
            if len(self._kept) < BATCH:
                await asyncio.sleep(self._gather)
            await self.record_once()

    async def record_once(self) -> int:
        """How many of the oldest results were written or refused. Returns when that is known, or of no use."""
        batch = list(self._kept.values())[:BATCH]
        worker = self._worker
        if worker is not None and batch:
            await self._first()
            await self._write(worker, batch)
        self._changed.set()
        return len(batch)

    async def emptied(self) -> None:
        """Returns once nothing is kept."""
        while self._kept:
            await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _write(self, worker: UUID, batch: Sequence[Ended]) -> None:
        pause = FIRST_PAUSE
        while self._worker == worker:
            try:
                with span_for_all("record", (ended.started.traceparent for ended in batch)):
                    recorded = await self._attempts.finish(worker, [ended.settled for ended in batch])
            except Unavailable:
                self._metrics.loop_errors.labels("recorder").inc()
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            except Exception as fault:  # noqa: BLE001  one result that cannot be stored must not hold back the others
                await self._write_apart(worker, batch, fault)
                return
            else:
                self._note(batch, recorded)
                return

    async def _write_apart(self, worker: UUID, batch: Sequence[Ended], fault: Exception) -> None:
        self._metrics.loop_errors.labels("recorder").inc()
        middle = len(batch) // 2
        if middle:
            await self._write(worker, batch[:middle])
            await self._write(worker, batch[middle:])
            return
        [ended] = batch
        log.error("a result cannot be stored", extra={"task": str(ended.settled.task_id)}, exc_info=fault)
        if self._forget(ended) and ended.settled.error_type != UNSTORABLE.type:
            self.add(ended.started, UNSTORABLE)

    def _forget(self, ended: Ended) -> bool:
        """False when it was dropped in the meantime."""
        if self._kept.get(ended.settled.task_id) is not ended:
            return False
        del self._kept[ended.settled.task_id]
        return True

    def _note(self, batch: Sequence[Ended], recorded: frozenset[UUID]) -> None:
        for ended in batch:
            settled = ended.settled
            self._forget(ended)
            if settled.task_id in recorded:
                self._metrics.recorded(ended.started.tenant, settled.attempt_state)
            else:
                self._metrics.fenced.inc()
                log.warning(
                    "a result came too late", extra={"task": str(settled.task_id), "fence": settled.fence}
                )
        if recorded:
            written = [ended.settled for ended in batch if ended.settled.task_id in recorded]
            due_again = any(settled.task_state is TaskState.RETRYING for settled in written)
            self._recorded(due_again or any(ended.started.limited for ended in batch))

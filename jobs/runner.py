"""The runner: starts what is handed over as it has room, and sees every attempt to its recorded end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from domain.actions.model import Cancelled, Outcome
from domain.attempts.model import Started
from domain.errors import Unavailable
from domain.live.ports import Signal
from infra.background import Background, background
from infra.bootstrap import Services
from jobs.actions import run_action
from jobs.activity import ActivityBoard
from jobs.attempts import Ending, HandBack, LiveAttempts
from jobs.metrics import ABANDONED, HANDED_BACK, JobMetrics
from jobs.recorder import Recorder
from jobs.slots import Slots
from jobs.starting import Starting

log = logging.getLogger(__name__)

PATIENCE = 0.1
"""Seconds tasks that were handed over wait for a slot here before another worker may have them."""
START_PAUSE = 0.25
"""Seconds between two tries to start attempts while PostgreSQL is away."""
LAST_WORD = 1.0
"""Seconds handlers have to stop in, once they are told to because the process stops."""
HAND_BACK_TRIES = 3


class Runner:
    """Everything here runs on the process's loop. A lease begins with `begin` and is lost with `abandon`."""

    def __init__(
        self, services: Services, metrics: JobMetrics, draw: Callable[[], float], tasks: Background
    ) -> None:
        self._services = services
        self._settings = services.settings
        self._metrics = metrics
        self._slots = Slots(services.settings.worker_slots)
        self._activity = ActivityBoard(services.activity, services.signals, metrics)
        self._starter = Starting(services.attempts, tasks)
        self._recorder = Recorder(
            services.attempts,
            metrics,
            draw,
            gather=services.settings.flush_interval,
            first=self._activity.flush,
            recorded=self._after_record,
        )
        self._live = LiveAttempts(
            self._act,
            self._ended,
            self._slots.give_back,
            metrics,
            cancel_grace=services.settings.cancel_grace,
        )
        self._worker: UUID | None = None
        self._closed = False
        self._over = False
        self._starting: set[UUID] = set()
        self._back: list[tuple[UUID, int]] = []

    def begin(self, worker: UUID) -> None:
        self._worker = worker
        self._recorder.begin(worker)
        self._activity.begin(worker)
        self._slots.wake()
        self._services.signals.send(Signal.ROOM)

    def cancel(self, ids: Iterable[UUID]) -> None:
        """Ask these to stop, as far as they run here."""
        for task_id in ids:
            self._live.ask(task_id, Cancelled())

    def abandon(self) -> None:
        """The lease is lost: everything stops at once, and nothing that was found out counts."""
        self._worker = None
        self._recorder.drop()
        self._activity.drop()
        lost = self._live.forget_all()
        self._metrics.left(ABANDONED, lost)
        self._slots.wake()
        log.error("the lease is lost: everything is stopped", extra={"attempts": lost})

    async def take(self, ids: Sequence[UUID]) -> None:
        """Start these tasks as there is room. Returns once none of them waits here any more.

        What waits too long, or comes while this worker stops, may be had by another. The call waits for
        room all the same: until it returns the broker counts its message as held here, and when as many are
        held as there are threads, it gives this worker no more.
        """
        rest = list(ids)
        patient = True
        while rest and not self._closed:
            if ready := self._startable(rest):
                if await self._start(ready):
                    rest = [task_id for task_id in rest if task_id not in ready]
            elif not await self._changes_within(PATIENCE if patient else None):
                await self._take_back("no_slot", rest)
                patient = False
        if rest and patient:
            await self._take_back("stopping", rest)

    def close(self) -> None:
        """Take nothing any more."""
        self._closed = True
        self._slots.wake()

    async def drain(self, grace: float) -> int:
        """Let what runs end within `grace` seconds, and hand back the rest. How many did not stop."""
        self.close()
        await self._empties_within(grace)
        await self._empties_within(LAST_WORD, ask=True)
        self._over = True
        deaf = self._live.give_up_all()
        await self._activity.flush()
        await self._hand_back()
        try:
            async with asyncio.timeout(2 * self._settings.database_timeout):
                await self._recorder.emptied()
        except TimeoutError:
            log.error("results could not be recorded: the rescuer will have their tasks run again")
        return deaf

    async def record(self) -> None:
        """Until cancelled."""
        await self._recorder.run()

    async def write_activity(self) -> None:
        """Until cancelled."""
        await self._activity.write_forever()

    def _startable(self, ids: Sequence[UUID]) -> list[UUID]:
        """What there is room for, without what is being started for another delivery of it."""
        if self._worker is None:
            return []
        return [task_id for task_id in ids if task_id not in self._starting][: self._slots.free]

    async def _start(self, ids: Sequence[UUID]) -> bool:
        """Whether they need no more thought: they are started, or were not there to start."""
        worker = self._worker
        assert worker is not None, "only under a lease"
        # As it is now: by the time of the answer, what ran here may have ended and be recorded.
        known = {(task_id, self._fence(task_id)) for task_id in ids}
        self._slots.take(len(ids))
        self._starting.update(ids)
        launched = 0
        try:
            answer = await self._ask_to_start(worker, ids)
            for started in answer or ():
                if (started.task_id, started.fence) not in known:
                    launched += self._launch(worker, started)
        finally:
            self._starting.difference_update(ids)
            self._slots.give_back(len(ids) - launched)
        if answer is None:
            return False
        await self._hand_back()
        self._services.signals.send(Signal.OUTBOX)
        return True

    def _launch(self, worker: UUID, started: Started) -> bool:
        """If not, it is handed back; without the lease it is the rescuer's."""
        if worker != self._worker:
            return False
        if self._over or self._live.fence(started.task_id) is not None:
            self._back.append((started.task_id, started.fence))
            return False
        self._live.launch(started)
        return True

    async def _ask_to_start(self, worker: UUID, ids: Sequence[UUID]) -> list[Started] | None:
        """None when the lease, or this runner, ended before there was an answer."""
        while self._holds_lease(worker):
            try:
                return await self._starter.start(worker, ids)
            except Unavailable:
                # It may have been done all the same: asked again, storage names what this worker holds.
                await asyncio.sleep(START_PAUSE)
        return None

    def _holds_lease(self, worker: UUID) -> bool:
        return worker == self._worker and not self._over

    def _fence(self, task_id: UUID) -> int | None:
        """Of the attempt that runs here, or whose result is to be recorded."""
        running = self._live.fence(task_id)
        return self._recorder.fence(task_id) if running is None else running

    async def _act(self, started: Started) -> Outcome:
        reporter = self._activity.open(started)
        return await run_action(started, self._services.handler_runner, self._services.webhooks, reporter)

    def _ended(self, started: Started, ending: Ending) -> None:
        self._activity.close(started)
        if isinstance(ending, HandBack):
            self._back.append((started.task_id, started.fence))
        else:
            self._recorder.add(started, ending)

    def _after_record(self, due_again: bool) -> None:
        self._services.signals.send(Signal.OUTBOX)
        if due_again:
            self._services.signals.send(Signal.DUE)
        if self._slots.turned_over():
            self._services.signals.send(Signal.ROOM)

    async def _take_back(self, reason: str, ids: Sequence[UUID]) -> None:
        self._metrics.taken_back.labels(reason).inc(len(ids))
        try:
            await self._services.due_tasks.take_back(ids)
        except Unavailable as fault:
            log.warning("the rescuer will take tasks back: %s", fault, extra={"tasks": len(ids)})
        self._services.signals.send(Signal.DUE)
        self._services.signals.send(Signal.OUTBOX)

    async def _changes_within(self, seconds: float | None) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._slots.change()
        except TimeoutError:
            return False
        return True

    async def _empties_within(self, seconds: float, *, ask: bool = False) -> None:
        """Nothing runs or is about to; with `ask`, everything is asked to stop."""
        try:
            async with asyncio.timeout(seconds):
                while self._live or self._starting:
                    if ask:
                        self._live.ask_all(HandBack())
                    await self._slots.change()
        except TimeoutError:
            return

    async def _hand_back(self) -> None:
        """As often as it takes while the lease lasts; at the end, so many times."""
        back, self._back = self._back, []
        tries = 0
        while back and self._worker is not None and tries < HAND_BACK_TRIES:
            try:
                await self._services.attempts.hand_back(self._worker, back)
            except Unavailable:
                tries += self._over
                await asyncio.sleep(START_PAUSE)
                continue
            self._metrics.left(HANDED_BACK, len(back))
            self._services.signals.send(Signal.DUE)
            self._services.signals.send(Signal.OUTBOX)
            return
        if back:
            log.error("tasks could not be handed back: the rescuer will find them", extra={"tasks": len(back)})


@asynccontextmanager
async def open_runner(
    services: Services, metrics: JobMetrics, draw: Callable[[], float]
) -> AsyncIterator[Runner]:
    """Leave it only when it is drained: what still runs then is left to itself."""
    async with background() as tasks:
        runner = Runner(services, metrics, draw, tasks)
        tasks.start(runner.record(), "recorder")
        tasks.start(runner.write_activity(), "activity")
        yield runner

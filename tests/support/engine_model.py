"""What the engine has to make of every command, by the book: no storage, no time but "due" and "later"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from domain.tasks.states import MOVES, TaskState
from infra.postgres.rescue import MAX_LOSSES

CLAIMABLE = {"SCHEDULED", "RETRYING"}
AT_WORK = {"QUEUED", "RUNNING"}
ENDS = {"SUCCEEDED", "FAILED", "CANCELLED"}


@dataclass(slots=True)
class ModelTask:
    id: UUID
    key: str | None
    content: bytes
    priority: int
    max_attempts: int
    queue: str
    alone: str | None
    """The key of which one at a time is at work."""
    due: bool
    state: str = "SCHEDULED"
    attempt: int = 0
    uncounted: int = 0
    losses: int = 0
    fence: int = 0
    version: int = 0
    worker: UUID | None = None
    cancel: bool = False
    deleted: bool = False
    attempts: dict[int, str] = field(default_factory=dict)
    """The ended ones."""
    events: list[str] = field(default_factory=list)
    """One for each version."""

    @property
    def row(self) -> tuple[object, ...]:
        """As storage has to have it."""
        counts = (self.attempt, self.uncounted, self.losses, self.fence, self.version)
        return (self.state, *counts, self.worker, self.cancel, self.due)

    def wrote(self, kind: str, state: str | None = None) -> None:
        """One write: one version, one event, and at most one legal move."""
        if state is not None and state != self.state:
            assert TaskState(state) in MOVES[TaskState(self.state)], f"{self.state} to {state}"
            self.state = state
        self.version += 1
        self.events.append(kind)

    def ended_attempt(self, how: str) -> None:
        self.attempts[self.attempt] = how
        self.worker, self.cancel = None, False

    def counts_used_up(self) -> bool:
        return self.attempt - self.uncounted >= self.max_attempts


@dataclass(slots=True)
class ModelWorker:
    slots: int
    live: bool = True
    draining: bool = False


@dataclass(slots=True)
class Model:
    tasks: dict[UUID, ModelTask] = field(default_factory=dict)
    workers: dict[UUID, ModelWorker] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    """Queues."""

    def stored(self) -> list[ModelTask]:
        return [task for task in self.tasks.values() if not task.deleted]

    def named(self, key: str | None) -> ModelTask | None:
        return next((task for task in self.stored() if key is not None and task.key == key), None)

    def room(self) -> int:
        takes = {id for id, worker in self.workers.items() if worker.live and not worker.draining}
        slots = sum(self.workers[id].slots for id in takes)
        queued = sum(task.state == "QUEUED" for task in self.stored())
        running = sum(task.state == "RUNNING" and task.worker in takes for task in self.stored())
        return max(0, slots - queued - running)

    def waiting(self) -> list[ModelTask]:
        return [task for task in self.stored() if task.state in CLAIMABLE]

    def held(self) -> set[str]:
        """The keys of what is handed over or running."""
        return {task.alone for task in self.stored() if task.alone and task.state in AT_WORK}

    def claimable(self) -> list[ModelTask]:
        """The due ones, the most urgent first."""
        held, free = self.held(), []
        for task in sorted(self.waiting(), key=lambda task: task.priority):
            if task.due and task.queue not in self.paused and task.alone not in held:
                held |= {task.alone} if task.alone else set()
                free.append(task)
        return free

    def keys_matter(self) -> bool:
        """Whether a task may have to wait for another of its key."""
        holders = [task.alone for task in self.stored() if task.alone and task.state in CLAIMABLE | AT_WORK]
        return len(holders) > len(set(holders))

    def running(self) -> list[ModelTask]:
        return [task for task in self.stored() if task.state == "RUNNING"]

    def running_on(self, worker: UUID) -> list[ModelTask]:
        return [task for task in self.running() if task.worker == worker]

    def lost(self) -> list[ModelTask]:
        """Running on a worker whose lease lapsed, or that is unknown."""
        alive = {id for id, worker in self.workers.items() if worker.live}
        return [task for task in self.running() if task.worker not in alive]

    def add(self, task: ModelTask) -> None:
        task.wrote("CREATED")
        self.tasks[task.id] = task

    def claim(self, ids: Iterable[UUID]) -> None:
        for task in (self.tasks[id] for id in ids):
            assert task.due, "it was early"
            assert task.queue not in self.paused, "its queue is paused"
            assert task.alone not in self.held(), "two of a key"
            task.wrote("QUEUED", "QUEUED")

    def put_back(self, ids: Iterable[UUID]) -> int:
        """Handed over, and not started: how many there were."""
        queued = [self.tasks[id] for id in ids if self.tasks[id].state == "QUEUED"]
        for task in queued:
            task.wrote("RESCUED", "SCHEDULED")
        return len(queued)

    def start(self, worker: UUID, ids: Iterable[UUID]) -> set[UUID]:
        """Those the worker runs then."""
        known = self.workers.get(worker)
        if known is None or not known.live:
            return set()
        for task in (self.tasks[id] for id in ids):
            if task.state == "QUEUED" and not task.deleted:
                task.wrote("STARTED", "RUNNING")
                task.attempt += 1
                task.fence += 1
                task.worker = worker
        return {task.id for task in self.running_on(worker) if task.id in ids}

    def finish(self, worker: UUID, id: UUID, fence: int, attempt_state: str, state: str, *, due: bool) -> bool:
        """Whether it was recorded."""
        task = self.tasks[id]
        if (task.deleted, task.state, task.worker, task.fence) != (False, "RUNNING", worker, fence):
            return False
        if state == "RETRYING" and task.cancel:
            state = "CANCELLED"
        if state == "RETRYING":
            task.due = due
        task.ended_attempt(attempt_state)
        task.uncounted += attempt_state == "SNOOZED"
        task.wrote(state, state)
        return True

    def hand_back(self, worker: UUID, id: UUID, fence: int) -> None:
        task = self.tasks[id]
        if (task.deleted, task.state, task.worker, task.fence) != (False, "RUNNING", worker, fence):
            return
        task.wrote(*(("CANCELLED", "CANCELLED") if task.cancel else ("RESCUED", "SCHEDULED")))
        task.attempt -= 1
        task.worker, task.cancel = None, False

    def rescue_attempts(self) -> int:
        lost = self.lost()
        for task in lost:
            task.losses += 1
            task.fence += 1
            used_up = task.losses >= MAX_LOSSES or task.counts_used_up()
            state = "CANCELLED" if task.cancel else "FAILED" if used_up else "RETRYING"
            task.due = task.due or state == "RETRYING"
            task.ended_attempt("LOST")
            task.wrote("RESCUED" if state == "RETRYING" else state, state)
        self.workers = {id: worker for id, worker in self.workers.items() if worker.live}
        return len(lost)

    def rescue_cancellations(self) -> int:
        deaf = [task for task in self.stored() if task.state == "RUNNING" and task.cancel]
        for task in deaf:
            task.fence += 1
            task.ended_attempt("CANCELLED")
            task.cancel = True  # the row keeps that it was asked for
            task.wrote("CANCELLED", "CANCELLED")
        return len(deaf)

    def cancel(self, id: UUID) -> None:
        task = self.tasks[id]
        if task.state in ENDS or task.cancel:
            return
        if task.state == "RUNNING":
            task.cancel = True
            task.wrote("UPDATED")
        else:
            task.wrote("CANCELLED", "CANCELLED")

    def run_now(self, id: UUID) -> None:
        """Not for a running one."""
        task = self.tasks[id]
        if task.state in ENDS:
            if task.attempt > task.uncounted:
                task.losses = 0
            task.uncounted, task.cancel, task.due = task.attempt, False, True
            task.wrote("UPDATED", "SCHEDULED")
        elif task.state in CLAIMABLE and not task.due:
            task.due = True
            task.wrote("UPDATED")

    def edit(self, id: UUID) -> None:
        """Not for one that runs or has ended."""
        self.tasks[id].wrote("UPDATED", "SCHEDULED" if self.tasks[id].state == "QUEUED" else None)

    def delete(self, id: UUID) -> None:
        task = self.tasks[id]
        task.wrote("DELETED")
        task.deleted = True
        task.attempts.clear()

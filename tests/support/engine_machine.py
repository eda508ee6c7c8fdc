"""Drives the repositories and their model by the same random commands, and compares all there is after each."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from domain.attempts.model import AttemptState, Settled
from domain.attempts.retry import RetryPolicy
from domain.contracts.tasks import TaskChangedV1, TaskEventKind
from domain.errors import Conflict, IllegalState, StaleVersion
from domain.queues.model import QueueEdit
from domain.tasks.model import Task
from domain.tasks.ports import Change
from domain.tasks.states import TaskState
from tests.support.engine import Engine, Published
from tests.support.engine_commands import COMMANDS, always, command
from tests.support.engine_model import Model, ModelTask, ModelWorker
from tests.support.storage import LEASE, a_task, clock

EMPTY = "delete from tasks; delete from attempts; delete from workers; delete from outbox; delete from queues"
TICK = "update tasks set scheduled_at = now() - interval '1 s' where scheduled_at > now()"
LATER = timedelta(hours=1)
MANY = 100


some = st.integers(0, 11)
"""Picks one of however many there are."""
OUTCOMES = {
    "succeeded": (AttemptState.SUCCEEDED, TaskState.SUCCEEDED, timedelta(0)),
    "failed, again at once": (AttemptState.FAILED, TaskState.RETRYING, timedelta(0)),
    "failed, again later": (AttemptState.TIMED_OUT, TaskState.RETRYING, LATER),
    "failed for good": (AttemptState.FAILED, TaskState.FAILED, timedelta(0)),
    "snoozed": (AttemptState.SNOOZED, TaskState.RETRYING, timedelta(0)),
    "cancelled": (AttemptState.CANCELLED, TaskState.CANCELLED, timedelta(0)),
}
queues = st.sampled_from(["default", "default", "other"])
outcomes = st.sampled_from(list(OUTCOMES))
seldom = st.sampled_from([False, False, False, True])


def drive(engine: Engine, *, examples: int, steps: int = 40, shrink: bool = True) -> None:
    """The same histories at every run, so that what is found can be found again. Raises what was found."""
    run_state_machine_as_test(
        lambda: EngineMachine(engine),  # type: ignore[arg-type]  # whatever makes a machine will do
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
            report_multiple_bugs=False,
        ),
    )


def some_worker_and_task(machine: EngineMachine) -> object:
    return machine.model.workers and machine.model.tasks


class EngineMachine(RuleBasedStateMachine):
    """The commands of clients, schedulers, workers, rescuers and relays, in any order, late and twice."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.storage = engine.storage
        self.model = Model()
        self.published = Published()
        self.confirmed: list[int] = []
        """Published, and to be removed by the next look."""
        self.limited = False

    @initialize(running=st.integers(0, 3), attempts=st.sampled_from([1, 2, 9]), limited=st.booleans())
    def begin(self, running: int, attempts: int, *, limited: bool) -> None:
        """With some tasks at work already: it is there that most can go wrong. Limits are in every other."""
        self.limited = limited
        self.engine.do(self.storage.execute(EMPTY))
        worker = self._enter(4)
        for alone in (None,) * running + ("one", "one") * limited:
            self.create(1, [None], b"this", 5, attempts, later=False, queue="default", alone=alone)
        self.hand_over(list(self.model.workers).index(worker))

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        possible = [function for possible, function, _ in COMMANDS if possible(self)]
        chosen = data.draw(st.sampled_from(possible))
        [arguments] = [arguments for _, function, arguments in COMMANDS if function is chosen]
        chosen(self, **data.draw(arguments))

    # Clients

    @command(
        always,
        count=st.integers(1, 3),
        keys=st.lists(st.sampled_from([None, None, "one", "two"]), min_size=3, max_size=3),
        content=st.sampled_from([b"this", b"this", b"that"]),
        priority=st.sampled_from([1, 5]),
        attempts=st.sampled_from([1, 2, 9]),
        later=st.booleans(),
        queue=queues,
        alone=st.sampled_from([None, None, "one"]),
    )
    def create(
        self,
        count: int,
        keys: list[str | None],
        content: bytes,
        priority: int,
        attempts: int,
        *,
        later: bool,
        queue: str,
        alone: str | None,
    ) -> None:
        retry = RetryPolicy(max_attempts=attempts)
        changes: dict[str, Any] = {"priority": priority, "retry": retry, "fingerprint": content}
        changes |= {"queue": queue, "concurrency_key": alone if self.limited else None}
        due = {"scheduled_at": clock.now() + LATER} if later else {}
        tasks = [a_task(key=key, **changes, **due) for key in keys[:count]]
        expected, conflict = self._expected(tasks, due=not later)
        try:
            added = self.engine.do(self.storage.tasks.add(tasks))
        except Conflict:
            assert conflict, "a conflict with nothing"
            return
        assert not conflict, "a key was given another content"
        assert [(one.task.id, one.created) for one in added] == [(id, new is not None) for id, new in expected]
        for _, new in expected:
            if new is not None:
                self.model.add(new)

    def _expected(self, tasks: list[Task], *, due: bool) -> tuple[list[tuple[UUID, ModelTask | None]], bool]:
        """For each the id it gets, and the new task if it is one; and whether there is a conflict."""
        made: list[tuple[UUID, ModelTask | None]] = []
        conflict = False
        for task in tasks:
            new = [one for _, one in made if one is not None and one.key == task.key]
            named = self.model.named(task.key) or (new[0] if task.key and new else None)
            if named is None:
                new_one = ModelTask(
                    task.id,
                    task.key,
                    task.fingerprint,
                    task.priority,
                    task.retry.max_attempts,
                    task.queue,
                    task.concurrency_key,
                    due=due,
                )
                made.append((task.id, new_one))
            else:
                conflict = conflict or named.content != task.fingerprint
                made.append((named.id, None))
        return made, conflict

    @command(lambda self: self.model.stored(), pick=some, stale=seldom)
    def edit(self, pick: int, *, stale: bool) -> None:
        task = self._one(pick)

        def retitled(stored: Task, _now: datetime) -> Task:
            return replace(stored.editable(), title=f"Version {stored.version + 1}")

        if self._change(task, retitled, stale=stale, legal=task.state in {"SCHEDULED", "RETRYING", "QUEUED"}):
            self.model.edit(task.id)

    @command(lambda self: self.model.stored(), pick=some, stale=seldom)
    def cancel(self, pick: int, *, stale: bool) -> None:
        task = self._one(pick)
        if self._change(task, Task.cancelled, stale=stale, legal=True):
            self.model.cancel(task.id)

    @command(lambda self: self.model.running(), pick=some)
    def cancelled_it_does_not_listen(self, pick: int) -> None:
        """And is given up."""
        self.cancel(self.model.stored().index(self._running(pick)), stale=False)
        self.rescue_cancellations(1)

    @command(lambda self: self.model.stored(), pick=some, stale=seldom)
    def run_now(self, pick: int, *, stale: bool) -> None:
        task = self._one(pick)
        if self._change(task, Task.run_now, stale=stale, legal=task.state != "RUNNING"):
            self.model.run_now(task.id)

    @command(lambda self: self.model.stored(), pick=some)
    def delete(self, pick: int) -> None:
        task = self._one(pick)
        try:
            self.engine.do(self.storage.tasks.delete("acme", task.id))
        except IllegalState:
            assert task.state == "RUNNING"
        else:
            assert task.state != "RUNNING"
            self.model.delete(task.id)

    @command(lambda self: self.limited, queue=queues, paused=seldom, claims=st.integers(0, 2))
    def set_queue(self, queue: str, claims: int, *, paused: bool) -> None:
        """While schedulers claim as well: what they do until it is committed may be either."""
        change = self.storage.queues.change("acme", queue, QueueEdit(paused=paused), MANY)
        claiming = (self.storage.claimed(MANY) for _ in range(claims))
        _, *claimed = self.engine.at_once(change, *claiming)
        self.model.paused -= {queue}
        self.model.claim(id for claim in claimed if claim for id in claim)
        self.model.paused |= {queue} if paused else set()

    # Schedulers

    @command(always, limit=st.integers(1, 4), schedulers=st.integers(1, 3))
    def claim(self, limit: int, schedulers: int) -> None:
        """By several at once as well."""
        due, room, exact = self.model.claimable(), self.model.room(), self._is_exact(limit)
        claims = self.engine.at_once(*(self.storage.claimed(limit) for _ in range(schedulers)))
        claimed = [id for claim in claims for id in claim]
        assert max(map(len, claims)) <= limit
        assert len(claimed) == len(set(claimed)) <= room
        assert claimed or not (room and due)
        if exact:
            assert schedulers > 1 or len(claimed) == min(limit, room, len(due))
            urgent = [task.priority for task in due][: len(claimed)]
            assert sorted(self.model.tasks[id].priority for id in claimed) == urgent
        self.model.claim(claimed)

    @command(lambda self: self.model.tasks, pick=some)
    def take_back(self, pick: int) -> None:
        wanted = self._several(pick)
        self.engine.do(self.storage.due_tasks.take_back(wanted))
        self.model.put_back([id for id in wanted if not self.model.tasks[id].deleted])

    @command(always)
    def time_passes(self) -> None:
        """Whatever waits is due."""
        self.engine.do(self.storage.execute(TICK))
        for task in self.model.stored():
            task.due = True

    # Workers

    @command(lambda self: len(self.model.workers) < 4, slots=st.integers(1, 5))
    def worker_enters(self, slots: int) -> None:
        self._enter(slots)

    @command(lambda self: self.model.workers, pick=some)
    def worker_dies(self, pick: int) -> None:
        worker = self._worker(pick)
        self.engine.do(self.storage.lapse(worker))
        self.model.workers[worker].live = False

    @command(lambda self: self.model.running(), pick=some)
    def worker_is_lost(self, pick: int) -> None:
        """At its work, and that is noticed."""
        worker = self._running(pick).worker
        assert worker is not None
        if worker in self.model.workers:
            self.worker_dies(list(self.model.workers).index(worker))
        self.rescue_attempts(1)

    @command(lambda self: self.model.workers, pick=some, draining=st.booleans())
    def worker_beats(self, pick: int, *, draining: bool) -> None:
        worker = self._worker(pick)
        known = self.model.workers[worker]
        beat = self.engine.do(self.storage.workers.beat(worker, LEASE, draining=draining))
        assert beat.alive == known.live
        assert beat.cancel_requested == {task.id for task in self.model.running_on(worker) if task.cancel}
        if known.live:
            known.draining = draining

    @command(lambda self: self.model.workers, pick=some)
    def worker_leaves(self, pick: int) -> None:
        worker = self._worker(pick)
        self.engine.do(self.storage.workers.leave(worker))
        if not self.model.running_on(worker):
            del self.model.workers[worker]

    @command(some_worker_and_task, pick=some, worker=some)
    def start(self, pick: int, worker: int) -> None:
        """Also what was never handed over, is done, or gone."""
        wanted, by = self._several(pick), self._worker(worker)
        started = self.engine.do(self.storage.attempts.start(by, wanted))
        expected = self.model.start(by, wanted)
        assert {one.task_id for one in started} == expected
        assert len(started) == len(expected)
        for one in started:
            task = self.model.tasks[one.task_id]
            assert (one.number, one.fence, one.counted) == (
                task.attempt,
                task.fence,
                task.attempt - task.uncounted,
            )

    @command(lambda self: self.model.workers, worker=some)
    def hand_over(self, worker: int) -> None:
        """What is claimed is started at once, as it mostly is."""
        by = self._worker(worker)
        possible, exact = min(self.model.room(), len(self.model.claimable())), self._is_exact(MANY)
        claimed = self.engine.do(self.storage.claimed(MANY))
        assert len(claimed) == possible if exact else bool(claimed) == bool(possible)
        self.model.claim(claimed)
        started = self.engine.do(self.storage.attempts.start(by, claimed))
        assert {one.task_id for one in started} == self.model.start(by, claimed)

    @command(lambda self: self.model.tasks and len(self.model.workers) > 1, pick=some, one=some, other=some)
    def two_workers_start(self, pick: int, one: int, other: int) -> None:
        """One hand-over delivered to both at once."""
        wanted = self._several(pick)
        first, second = self._worker(one), self._worker(other)
        starts = self.engine.at_once(
            self.storage.attempts.start(first, wanted), self.storage.attempts.start(second, wanted)
        )
        got = [{started.task_id for started in each} for each in starts]
        assert first == second or not got[0] & got[1], "both have it"
        queued = {id for id in wanted if self.model.tasks[id].state == "QUEUED"}
        for by, ids_ in zip((first, second), got, strict=True):
            self.model.start(by, ids_ & queued)
        left = {
            id for id in queued if self.model.tasks[id].state == "QUEUED" and not self.model.tasks[id].deleted
        }
        assert not left or not any(self.model.workers[by].live for by in (first, second))

    @command(lambda self: self.model.running(), pick=some, outcome=outcomes, times=st.integers(1, 2))
    def finish(self, pick: int, outcome: str, times: int) -> None:
        """As it should be; twice at the same time too."""
        task = self._running(pick)
        assert task.worker is not None
        self._finish(task, task.worker, task.fence, outcome, times)

    @command(
        some_worker_and_task,
        pick=some,
        outcome=outcomes,
        by=some,
        older=st.integers(0, 2),
    )
    def finish_wrongly(self, pick: int, outcome: str, by: int, older: int) -> None:
        """Under an old fence, by another worker, or of a task that does not run."""
        task = self._running(pick) if self.model.running() else self._any(pick)
        others = [worker for worker in self.model.workers if worker != task.worker] or list(self.model.workers)
        worker = task.worker if older and task.worker is not None else others[by % len(others)]
        self._finish(task, worker, task.fence - older, outcome, 1)

    def _finish(self, task: ModelTask, worker: UUID, fence: int, outcome: str, times: int) -> None:
        attempt_state, state, due_in_ = OUTCOMES[outcome]
        went_well = state is TaskState.SUCCEEDED
        settled = Settled(
            task_id=task.id,
            fence=fence,
            attempt_state=attempt_state,
            task_state=state,
            due_in=due_in_,
            error_type=None if went_well else "Boom",
            error_message=None if went_well else "no luck",
            counts=attempt_state is not AttemptState.SNOOZED,
        )
        recorded = self.engine.at_once(*(self.storage.attempts.finish(worker, [settled]) for _ in range(times)))
        expected = self.model.finish(worker, task.id, fence, attempt_state.value, state.value, due=not due_in_)
        assert sum(map(len, recorded)) == expected

    @command(
        lambda self: self.model.running() and self.model.workers,
        pick=some,
        older=st.integers(0, 1),
        by=some,
        stolen=seldom,
    )
    def hand_back(self, pick: int, by: int, older: int, *, stolen: bool) -> None:
        """Late and by others as well."""
        task = self._running(pick)
        assert task.worker is not None
        worker = self._worker(by) if stolen else task.worker
        fence = task.fence - older
        self.engine.do(self.storage.attempts.hand_back(worker, [(task.id, fence)]))
        self.model.hand_back(worker, task.id, fence)

    # Rescuers and relays

    @command(always, rescuers=st.integers(1, 2))
    def rescue_attempts(self, rescuers: int) -> None:
        calls = (self.storage.rescue.lost_attempts(MANY) for _ in range(rescuers))
        moved = self.engine.at_once(*calls)
        assert sum(moved) == self.model.rescue_attempts()

    @command(always, rescuers=st.integers(1, 2))
    def rescue_hand_overs(self, rescuers: int) -> None:
        calls = (self.storage.rescue.lost_hand_overs(timedelta(0), MANY) for _ in range(rescuers))
        moved = self.engine.at_once(*calls)
        assert sum(moved) == self.model.put_back([task.id for task in self.model.stored()])

    @command(always, rescuers=st.integers(1, 2))
    def rescue_cancellations(self, rescuers: int) -> None:
        calls = (self.storage.rescue.deaf_cancellations(timedelta(0), MANY) for _ in range(rescuers))
        moved = self.engine.at_once(*calls)
        assert sum(moved) == self.model.rescue_cancellations()

    @command(always, limit=st.integers(1, 20), killed=seldom, more=st.booleans())
    def relay(self, limit: int, *, killed: bool, more: bool) -> None:
        """A relay that is killed has published, and removed nothing; else the next one may remove."""
        pending = self.engine.do(self.engine.lead.oldest(limit, self.confirmed))
        self.confirmed = []
        for event in (one.event for one in pending):
            assert isinstance(event, TaskChangedV1)
            self.published.add(event.task_id, event.version, event.kind.value)
        if pending and not killed and more:
            self.confirmed = [one.seq for one in pending]
        elif pending and not killed:
            self.engine.do(self.engine.lead.remove([one.seq for one in pending]))

    # What holds after each

    @invariant()
    def all_is_as_the_model_has_it(self) -> None:
        stored = self.engine.stored()
        self._rows_are_as_they_should(stored["tasks"])
        self._attempts_are_numbered_and_end_once(stored["attempts"])
        self._each_version_has_its_event_and_they_are_told_in_order(stored["events"])

    def _rows_are_as_they_should(self, rows: list[Any]) -> None:
        assert {id: tuple(rest) for id, *rest in rows} == {task.id: task.row for task in self.model.stored()}

    def _attempts_are_numbered_and_end_once(self, rows: list[Any]) -> None:
        ended = [
            (task.id, number, state) for task in self.model.stored() for number, state in task.attempts.items()
        ]
        assert sorted(map(tuple, rows)) == sorted(ended)
        for task in self.model.stored():
            assert sorted(task.attempts) == list(range(1, len(task.attempts) + 1))

    def _each_version_has_its_event_and_they_are_told_in_order(self, rows: list[Any]) -> None:
        told = Published({id: list(versions) for id, versions in self.published.versions.items()})
        for row in rows:
            told.add(*row)
        expected = {
            task.id: list(enumerate(task.events, start=1)) for task in self.model.tasks.values() if task.events
        }
        assert told.versions == expected

    def _enter(self, slots: int) -> UUID:
        worker = self.engine.do(self.storage.a_worker(slots=slots))
        self.model.workers[worker] = ModelWorker(slots)
        return worker

    def _one(self, pick: int) -> ModelTask:
        stored = self.model.stored()
        return stored[pick % len(stored)]

    def _any(self, pick: int) -> ModelTask:
        """A deleted one too."""
        tasks = list(self.model.tasks.values())
        return tasks[pick % len(tasks)]

    def _running(self, pick: int) -> ModelTask:
        running = self.model.running()
        return running[pick % len(running)]

    def _several(self, pick: int) -> list[UUID]:
        tasks = list(self.model.tasks)
        return tasks if pick == 0 else [tasks[pick % len(tasks)]]

    def _is_exact(self, limit: int) -> bool:
        """Whether a claim finds all it may: where tasks wait for others of their key, it may look too short."""
        return not self.model.keys_matter() or min(limit, self.model.room()) >= len(self.model.waiting())

    def _worker(self, pick: int) -> UUID:
        workers = list(self.model.workers)
        return workers[pick % len(workers)]

    def _change(self, task: ModelTask, change: Change, *, stale: bool, legal: bool) -> bool:
        """Whether it was made; a refusal is checked here."""
        version = task.version - 1 if stale else task.version
        asking = self.storage.tasks.change("acme", task.id, change, TaskEventKind.UPDATED, version=version)
        try:
            self.engine.do(asking)
        except StaleVersion:
            assert stale
            return False
        except IllegalState:
            assert not legal
            return False
        assert legal
        assert not stale
        return True

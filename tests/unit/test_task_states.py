"""However callers, schedulers and workers take turns, a task only makes legal moves and keeps its history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from domain.actions.model import Cancelled, Failed, Notify, Outcome, Snoozed, Succeeded, TimedOut
from domain.attempts.model import Started, settle
from domain.attempts.retry import RetryPolicy
from domain.errors import IllegalState
from domain.tasks.model import Task
from domain.tasks.states import CLAIMABLE, FINISHED, MOVES, TaskState, move

NOW = datetime(2030, 1, 31, 8, tzinfo=UTC)
OUTCOMES = st.one_of(
    st.just(Succeeded(result=1)),
    st.just(Cancelled()),
    st.just(TimedOut(60)),
    st.builds(Failed, type=st.just("Error"), message=st.just("no"), retryable=st.booleans()),
    st.just(Snoozed(NOW + timedelta(hours=1))),
)


def a_task(state: TaskState = TaskState.SCHEDULED) -> Task:
    return Task(
        id=UUID(int=1),
        tenant="acme",
        title="Water the plants",
        state=state,
        scheduled_at=NOW + timedelta(minutes=5),
        action=Notify(),
        timeout=timedelta(seconds=60),
        retry=RetryPolicy(max_attempts=3),
        created_at=NOW,
        updated_at=NOW,
        finished_at=NOW if state in FINISHED else None,
        traceparent=f"00-{'a' * 32}-{'b' * 16}-01",
    )


class TaskLife(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.task = a_task()
        self.now = NOW

    def becomes(self, after: Task) -> None:
        before, self.task = self.task, after
        assert after.state == before.state or after.state in MOVES[before.state]
        assert after.attempt >= before.attempt
        assert after.fence >= before.fence

    @rule(seconds=st.integers(0, 3600))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @precondition(lambda self: self.task.state in CLAIMABLE)
    @rule()
    def a_scheduler_hands_it_over(self) -> None:
        self.becomes(replace(self.task, state=move(self.task.state, TaskState.QUEUED)))

    @precondition(lambda self: self.task.state is TaskState.QUEUED)
    @rule()
    def the_hand_over_is_lost(self) -> None:
        self.becomes(replace(self.task, state=move(self.task.state, TaskState.SCHEDULED)))

    @precondition(lambda self: self.task.state is TaskState.QUEUED)
    @rule()
    def a_worker_starts_it(self) -> None:
        task = self.task
        self.becomes(
            replace(
                task,
                state=move(task.state, TaskState.RUNNING),
                attempt=task.attempt + 1,
                fence=task.fence + 1,
                started_at=self.now,
            )
        )

    @precondition(lambda self: self.task.state is TaskState.RUNNING)
    @rule(outcome=OUTCOMES, draw=st.floats(0, 1))
    def its_attempt_ends(self, outcome: Outcome, draw: float) -> None:
        task = self.task
        counted = task.attempt - task.uncounted_attempts
        started = Started(
            task_id=task.id,
            tenant=task.tenant,
            number=task.attempt,
            counted=counted,
            fence=task.fence,
            action=task.action,
            retry=task.retry,
            timeout=task.timeout,
            due_at=task.scheduled_at,
            started_at=self.now,
            traceparent=task.traceparent,
        )
        settled = settle(started, outcome, draw)
        if settled.task_state is TaskState.RETRYING and settled.counts:
            assert counted < task.retry.max_attempts
        self.becomes(
            replace(
                task,
                state=move(task.state, settled.task_state),
                uncounted_attempts=task.uncounted_attempts + (0 if settled.counts else 1),
                finished_at=self.now if settled.task_state in FINISHED else None,
                cancel_requested_at=None,
            )
        )

    @rule()
    def it_is_cancelled(self) -> None:
        before = self.task
        self.becomes(before.cancelled(self.now))
        assert self.task.state is (TaskState.RUNNING if before.state is TaskState.RUNNING else self.task.state)
        assert self.task.state in FINISHED or self.task.cancel_requested_at is not None
        assert self.task.cancelled(self.now + timedelta(hours=1)) is self.task

    @rule()
    def it_is_run_now(self) -> None:
        before = self.task
        if before.state is TaskState.RUNNING:
            with pytest.raises(IllegalState):
                before.run_now(self.now)
            return
        self.becomes(before.run_now(self.now))
        assert self.task.state is TaskState.QUEUED or self.task.scheduled_at <= self.now
        if before.state in FINISHED:
            assert self.task.uncounted_attempts == self.task.attempt, "its allowance of attempts starts anew"

    @rule()
    def it_is_edited(self) -> None:
        if self.task.state in FINISHED | {TaskState.RUNNING}:
            with pytest.raises(IllegalState):
                self.task.editable()
            return
        self.becomes(replace(self.task.editable(), title="Water them twice"))
        assert self.task.state in CLAIMABLE

    @invariant()
    def only_what_has_ended_has_an_end(self) -> None:
        assert (self.task.finished_at is not None) == (self.task.state in FINISHED)

    @invariant()
    def attempts_that_count_stay_within_the_policy(self) -> None:
        assert 0 <= self.task.uncounted_attempts <= self.task.attempt
        assert self.task.attempt - self.task.uncounted_attempts <= self.task.retry.max_attempts

    @invariant()
    def it_can_be_deleted_unless_it_runs(self) -> None:
        if self.task.state is TaskState.RUNNING:
            with pytest.raises(IllegalState):
                self.task.deletable()
        else:
            assert self.task.deletable() is self.task


TestTaskLife = TaskLife.TestCase


@pytest.mark.parametrize(("state", "to"), [(state, to) for state in TaskState for to in TaskState])
def test_moves_that_the_table_does_not_name_are_refused(state: TaskState, to: TaskState) -> None:
    if to in MOVES[state]:
        assert move(state, to) is to
    else:
        with pytest.raises(IllegalState, match=f"{state} cannot become {to}"):
            move(state, to)


def edit(task: Task) -> object:
    return task.editable().state


def cancel(task: Task) -> object:
    cancelled = task.cancelled(NOW)
    return "asked" if cancelled.cancel_requested_at else cancelled.state


def run_now(task: Task) -> object:
    after = task.run_now(NOW)
    return (after.state, after.scheduled_at == NOW)


def delete(task: Task) -> object:
    return task.deletable().state


WAITING, ENDED = (TaskState.SCHEDULED, TaskState.RETRYING), (TaskState.FAILED, TaskState.CANCELLED)
OVER = sorted(FINISHED)
TABLE: list[tuple[Callable[[Task], object], TaskState, object]] = [
    *[(edit, state, state) for state in WAITING],
    (edit, TaskState.QUEUED, TaskState.SCHEDULED),
    *[(edit, state, IllegalState) for state in (TaskState.RUNNING, *OVER)],
    *[(cancel, state, TaskState.CANCELLED) for state in (*WAITING, TaskState.QUEUED)],
    (cancel, TaskState.RUNNING, "asked"),
    *[(cancel, state, state) for state in OVER],
    *[(run_now, state, (state, True)) for state in WAITING],
    (run_now, TaskState.QUEUED, (TaskState.QUEUED, False)),
    (run_now, TaskState.RUNNING, IllegalState),
    *[(run_now, state, (TaskState.SCHEDULED, True)) for state in OVER],
    *[(delete, state, state) for state in TaskState if state is not TaskState.RUNNING],
    (delete, TaskState.RUNNING, IllegalState),
]


@pytest.mark.parametrize(("act", "state", "result"), TABLE)
def test_what_may_be_done_when(act: Callable[[Task], object], state: TaskState, result: object) -> None:
    if result is IllegalState:
        with pytest.raises(IllegalState):
            act(a_task(state))
    else:
        assert act(a_task(state)) == result

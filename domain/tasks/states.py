"""The states of a task and the one table of its legal moves."""

from __future__ import annotations

from enum import StrEnum

from domain.errors import IllegalState


class TaskState(StrEnum):
    SCHEDULED = "SCHEDULED"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    RETRYING = "RETRYING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


_S = TaskState

MOVES: dict[TaskState, frozenset[TaskState]] = {
    _S.SCHEDULED: frozenset({_S.QUEUED, _S.CANCELLED}),
    # SCHEDULED: taken back, because the hand-over was lost or the task is edited.
    _S.QUEUED: frozenset({_S.RUNNING, _S.SCHEDULED, _S.CANCELLED}),
    # SCHEDULED: handed back by a worker that stops; RETRYING: also when a lease is lost.
    _S.RUNNING: frozenset({_S.SUCCEEDED, _S.RETRYING, _S.FAILED, _S.CANCELLED, _S.SCHEDULED}),
    _S.RETRYING: frozenset({_S.QUEUED, _S.CANCELLED}),
    # SCHEDULED: run again.
    _S.SUCCEEDED: frozenset({_S.SCHEDULED}),
    _S.FAILED: frozenset({_S.SCHEDULED}),
    _S.CANCELLED: frozenset({_S.SCHEDULED}),
}

CLAIMABLE = frozenset({_S.SCHEDULED, _S.RETRYING})
FINISHED = frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELLED})


def move(state: TaskState, to: TaskState) -> TaskState:
    """`to`, when a task may go there from `state`. Raises IllegalState."""
    if to not in MOVES[state]:
        raise IllegalState(f"A task that is {state} cannot become {to}.")
    return to

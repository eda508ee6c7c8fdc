"""Rows of tasks, whole or in part, and the tasks they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import Any

import asyncpg

from domain.attempts.retry import Backoff, RetryPolicy
from domain.tasks.model import Task, TaskError
from domain.tasks.states import TaskState
from infra.postgres.actions import action_from_json

AS_IT_IS = (
    "id",
    "tenant",
    "title",
    "description",
    "scheduled_at",
    "queue",
    "priority",
    "key",
    "owner",
    "concurrency_key",
    "timeout",
    "attempt",
    "uncounted_attempts",
    "fence",
    "version",
    "created_at",
    "updated_at",
    "started_at",
    "finished_at",
    "cancel_requested_at",
    "traceparent",
    "fingerprint",
    "schedule_id",
    "schedule_revision",
    "fire_time",
)
"""Attributes that are columns."""
RETRY = ("max_attempts", "backoff", "backoff_base", "backoff_cap")
ERROR = ("error_type", "error_message", "error_attempt")

_STATES = {state.value: state for state in TaskState}
_put = object.__setattr__


def retry_from(record: asyncpg.Record) -> RetryPolicy:
    return _retry(*(record[column] for column in RETRY))


@lru_cache(maxsize=1_000)
def _retry(max_attempts: int, backoff: str, base: timedelta, cap: timedelta) -> RetryPolicy:
    """One for all tasks that are tried alike, as most are: nothing can change it."""
    return RetryPolicy(max_attempts=max_attempts, backoff=Backoff(backoff), base=base, cap=cap)


def _labels(record: asyncpg.Record) -> tuple[tuple[str, str], ...]:
    text = record["labels"]
    return () if text == "[]" else tuple((name, value) for name, value in json.loads(text))


def _result(record: asyncpg.Record) -> Any:  # noqa: ANN401  whatever JSON is
    return None if record["result"] is None else json.loads(record["result"])


def _error(record: asyncpg.Record) -> TaskError | None:
    type, message, attempt = (record[column] for column in ERROR)
    return None if type is None else TaskError(type=type, message=message, attempt=attempt)


MADE: dict[str, tuple[tuple[str, ...], Callable[[asyncpg.Record], object]]] = {
    "state": (("state",), lambda record: _STATES[record["state"]]),
    "action": (("action",), lambda record: action_from_json(record["action"])),
    "labels": (("labels",), _labels),
    "retry": (RETRY, retry_from),
    "worker": (("worker_id",), lambda record: record["worker_id"]),
    "result": (("result",), _result),
    "error": (ERROR, _error),
}
"""Attributes that are made of columns, and how."""


class TaskRows:
    """Rows with the columns that these attributes of tasks take."""

    def __init__(self, attributes: frozenset[str]) -> None:
        """Raises KeyError for an attribute that tasks do not have."""
        self._as_it_is = tuple(name for name in AS_IT_IS if name in attributes)
        self._made = [(name, MADE[name][1]) for name in attributes.difference(AS_IT_IS)]
        made = [column for name, (columns, _) in MADE.items() if name in attributes for column in columns]
        self.columns = ", ".join((*self._as_it_is, *made))

    def task(self, record: asyncpg.Record) -> Task:
        """It has these attributes alone: to read another raises AttributeError."""
        # Frozen values are set one by one in any case; a few of them take less than all.
        task = object.__new__(Task)
        for name in self._as_it_is:
            _put(task, name, record[name])
        for name, made in self._made:
            _put(task, name, made(record))
        return task


@lru_cache(maxsize=1_000)
def rows_with(attributes: frozenset[str]) -> TaskRows:
    return TaskRows(attributes)


WHOLE = TaskRows(frozenset((*AS_IT_IS, *MADE)))
COLUMNS = WHOLE.columns
task_from = WHOLE.task

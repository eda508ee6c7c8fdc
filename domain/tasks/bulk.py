"""Cancelling and replaying all the tasks that a filter names, a bounded part at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from domain.errors import Invalid
from domain.live.ports import Signal, Signals
from domain.tasks.listing import TaskFilter, only_theirs
from domain.tasks.states import FINISHED, TaskState
from domain.tenancy.model import Caller

DEFAULT_LIMIT = 1_000
MAX_LIMIT = 10_000
BATCH = 500
"""Tasks changed in one transaction."""


class BulkChange(StrEnum):
    CANCEL = "CANCEL"
    """As Task.cancelled has it."""
    REPLAY = "REPLAY"
    """As Task.run_now has it for a task that has ended."""


@dataclass(frozen=True, slots=True)
class Batch:
    picked: int
    """Tasks that were looked at; none when there are no more."""
    changed: int
    """Of them; the others were changed by somebody else meanwhile."""
    asked: int = 0
    """Of those, running ones that were asked to stop."""


class BulkTasks(Protocol):
    """Filters name states here, and those that the change is for alone."""

    async def change(self, tenant: str, change: BulkChange, wanted: TaskFilter, limit: int) -> Batch:
        """Up to `limit` of them, with an event for each, in one transaction."""
        ...

    async def count(self, tenant: str, change: BulkChange, wanted: TaskFilter, limit: int) -> int:
        """How many there are, counted up to `limit`."""
        ...


class BulkService:
    """Each use case tells how many tasks it changed, or with `dry_run` how many it would have.

    What was changed before an Unavailable stays changed: repeating goes on with the rest.
    """

    def __init__(self, tasks: BulkTasks, signals: Signals) -> None:
        self._tasks = tasks
        self._signals = signals

    async def cancel(self, caller: Caller, wanted: TaskFilter, limit: int, *, dry_run: bool) -> int:
        """Those that have not ended; running ones are asked to stop."""
        states = set(TaskState if wanted.states is None else wanted.states) - FINISHED
        return await self._do(BulkChange.CANCEL, caller, wanted, states, limit, dry_run=dry_run)

    async def replay(self, caller: Caller, wanted: TaskFilter, limit: int, *, dry_run: bool) -> int:
        """Those that FAILED, or that ended in one of the states named."""
        states = {TaskState.FAILED} if wanted.states is None else set(wanted.states)
        if states - FINISHED:
            raise Invalid(
                "Only tasks that have ended are replayed: name SUCCEEDED, FAILED or CANCELLED.",
                ("filter", "states"),
            )
        return await self._do(BulkChange.REPLAY, caller, wanted, states, limit, dry_run=dry_run)

    async def _do(
        self,
        change: BulkChange,
        caller: Caller,
        wanted: TaskFilter,
        states: set[TaskState],
        limit: int,
        *,
        dry_run: bool,
    ) -> int:
        if wanted == TaskFilter():
            raise Invalid("It must have a condition at least: else it would be every task.", ("filter",))
        if not 1 <= limit <= MAX_LIMIT:
            raise Invalid(f"It is from 1 to {MAX_LIMIT:,}; this is {limit}.", ("limit",))
        mine = only_theirs(caller, replace(wanted, states=tuple(sorted(states))))
        if mine is None or not states:
            return 0
        if dry_run:
            return await self._tasks.count(caller.tenant, change, mine, limit)
        return await self._in_batches(change, caller.tenant, mine, limit)

    async def _in_batches(self, change: BulkChange, tenant: str, wanted: TaskFilter, limit: int) -> int:
        done = 0
        while done < limit:
            batch = await self._tasks.change(tenant, change, wanted, min(BATCH, limit - done))
            if not batch.picked:
                break
            done += batch.changed
            self._tell(batch)
        return done

    def _tell(self, batch: Batch) -> None:
        if batch.changed:
            # Also of cancelled ones: others may have waited for their end.
            self._signals.send(Signal.DUE)
            self._signals.send(Signal.OUTBOX)
        if batch.asked:
            self._signals.send(Signal.CANCEL)

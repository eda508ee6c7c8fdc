"""What statements that change tasks have in common: how one is cancelled, and what is told of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import asyncpg

from infra.cache.ports import TaskVersion

CANCEL = """
    state = case when t.state = 'RUNNING' then t.state else 'CANCELLED' end,
    cancel_requested_at = case when t.state = 'RUNNING' then now() end,
    finished_at = case when t.state = 'RUNNING' then t.finished_at else now() end,
    queued_at = null, awaits_key = false"""
"""What is set to cancel tasks `t`, as Task.cancelled has it; none has ended, or been asked to stop."""
CANCEL_KIND = "case when (task).state = 'CANCELLED' then 'CANCELLED' else 'UPDATED' end"
"""The kind of the event of a `task` that may have been cancelled."""

Changed = Callable[[Sequence[TaskVersion]], Awaitable[None]]
"""Told of every committed write, so that nothing older is served."""


def versions(records: Sequence[asyncpg.Record]) -> list[TaskVersion]:
    return [TaskVersion(record["tenant"], record["id"], record["version"]) for record in records]

"""What a statement that changed tasks tells: which of them, and what version each has now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import asyncpg

from infra.cache.ports import TaskVersion

Changed = Callable[[Sequence[TaskVersion]], Awaitable[None]]
"""Told of every committed write, so that nothing older is served."""


def versions(records: Sequence[asyncpg.Record]) -> list[TaskVersion]:
    return [TaskVersion(record["tenant"], record["id"], record["version"]) for record in records]

"""Starts attempts together: what comes while one statement is under way goes into the next."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from uuid import UUID

from domain.attempts.model import Started
from domain.attempts.ports import Attempts
from infra.background import Background
from infra.telemetry.spans import span_for_all
from infra.together import Together

MOST = 1_000
"""Hand-overs in one statement; a worker holds no more than it has threads."""


class Starting:
    def __init__(self, attempts: Attempts, tasks: Background) -> None:
        self._attempts = attempts
        self._together: Together[UUID, Sequence[UUID], list[Started]] = Together(
            self._start_for, tasks, most=MOST
        )

    async def start(self, worker: UUID, ids: Sequence[UUID]) -> list[Started]:
        """As the port says. No id may be asked for twice at once."""
        return await self._together.ask(worker, ids)

    async def _start_for(self, worker: UUID, asked: Sequence[Sequence[UUID]]) -> list[list[Started]]:
        began = perf_counter()
        started = await self._attempts.start(worker, [id for ids in asked for id in ids])
        # Which traces they belong to is known only now.
        span_for_all("start", (one.traceparent for one in started), ago=perf_counter() - began).end()
        by_id = {one.task_id: one for one in started}
        return [[by_id[id] for id in ids if id in by_id] for ids in asked]

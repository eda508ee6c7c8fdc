"""The repositories of one database, called from code that is not asynchronous, and all that is stored there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import uvloop

from domain.live.outbox import OutboxLead
from tests.support.storage import Storage, open_storage

STORED = """select
    array(select row(id, state::text, attempt, uncounted_attempts, losses, fence, version, worker_id,
        cancel_requested_at is not null, scheduled_at <= now()) from tasks) as tasks,
    array(select row(task_id, number, state::text) from attempts) as attempts,
    array(select row((event->>'task_id')::uuid, (event->>'version')::int, event->>'kind')
        from outbox order by seq) as events"""

Answer = TypeVar("Answer")


@dataclass(slots=True)
class Engine:
    """The repositories, called from code that is not asynchronous, and the relay's lead over the outbox."""

    runner: asyncio.Runner
    storage: Storage
    lead: OutboxLead

    def do(self, call: Coroutine[Any, Any, Answer]) -> Answer:
        return self.runner.run(call)

    def at_once(self, *calls: Coroutine[Any, Any, Answer]) -> list[Answer]:
        async def together() -> list[Answer]:
            return await asyncio.gather(*calls)

        return self.do(together())

    def stored(self) -> Any:
        """All there is, by one look."""

        async def read() -> Any:
            async with self.storage.database.work("test") as connection:
                return await connection.fetchrow(STORED)

        return self.do(read())


@contextmanager
def open_engine(database_url: str) -> Iterator[Engine]:
    """On a database of its own: every history begins by emptying it."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        storing = open_storage(database_url)
        storage = runner.run(storing.__aenter__())
        leading = storage.outbox.lead()
        lead = runner.run(leading.__aenter__())
        try:
            runner.run(lead.acquire())
            yield Engine(runner, storage, lead)
        finally:
            runner.run(leading.__aexit__(None, None, None))
            runner.run(storing.__aexit__(None, None, None))


@dataclass(slots=True)
class Published:
    """What a relay has published so far, repetitions left out, as consumers leave them out."""

    versions: dict[UUID, list[tuple[int, str]]] = field(default_factory=dict)

    def add(self, task: UUID, version: int, kind: str) -> None:
        known = self.versions.setdefault(task, [])
        if (version, kind) not in known:
            known.append((version, kind))

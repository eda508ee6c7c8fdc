"""Starts attempts together: what comes while one statement is under way goes into the next."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.attempts.model import Started
from domain.attempts.ports import Attempts
from domain.errors import Unavailable


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    worker: UUID
    ids: Sequence[UUID]
    answer: asyncio.Future[list[Started]]


class Starting:
    """One statement for all that waits; one that comes alone waits for nothing."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts
        self._loop = asyncio.get_running_loop()
        self._asked: list[_Asked] = []
        self._some = asyncio.Event()

    async def start(self, worker: UUID, ids: Sequence[UUID]) -> list[Started]:
        """As the port says, once `run` has come to it. No id may be asked for twice at once."""
        asked = _Asked(worker, ids, self._loop.create_future())
        self._asked.append(asked)
        self._some.set()
        return await asked.answer

    async def run(self) -> None:
        """Until cancelled; what waits then is cancelled as well."""
        try:
            while True:
                await self._some.wait()
                await self.start_once()
        finally:
            for asked in self._asked:
                asked.answer.cancel()

    async def start_once(self) -> None:
        """All that waits for the worker that was asked for first."""
        worker = self._asked[0].worker
        together = [asked for asked in self._asked if asked.worker == worker]
        self._asked = [asked for asked in self._asked if asked.worker != worker]
        if not self._asked:
            self._some.clear()
        try:
            await self._start(worker, together)
        finally:
            for asked in together:
                asked.answer.cancel()  # those that have no answer yet

    async def _start(self, worker: UUID, together: Sequence[_Asked]) -> None:
        try:
            started = await self._attempts.start(worker, [id for asked in together for id in asked.ids])
        except Unavailable as fault:
            _fail(together, fault)
        except Exception as fault:  # noqa: BLE001  what cannot be started must not hold back the others
            if len(together) == 1:
                _fail(together, fault)
                return
            for asked in together:
                await self._start(worker, [asked])
        else:
            _answer(together, started)


def _answer(together: Sequence[_Asked], started: Sequence[Started]) -> None:
    by_id = {one.task_id: one for one in started}
    for asked in together:
        if not asked.answer.done():  # who asked may be gone
            asked.answer.set_result([by_id[id] for id in asked.ids if id in by_id])


def _fail(together: Sequence[_Asked], fault: Exception) -> None:
    for asked in together:
        if not asked.answer.done():
            asked.answer.set_exception(fault)

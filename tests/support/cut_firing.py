"""Firing whose connection the server terminates before one of its statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infra.cache.ports import TaskVersion
from infra.postgres.firing import PostgresFiring
from tests.support.storage import Storage, ids, recurrences


def cut_off(storage: Storage, statement: int) -> PostgresFiring:
    """Before the statement with this number, counted from the first of a round, or before the commit."""
    database: Any = _Cutting(storage, statement)
    return PostgresFiring(database, recurrences, ids, _nobody)


async def _nobody(_: Sequence[TaskVersion]) -> None:
    return None


class _Cutting:
    """A database whose connection is terminated by the server before one of its statements."""

    def __init__(self, storage: Storage, statement: int) -> None:
        self._storage, self._left = storage, statement

    def transaction(self, name: str) -> Any:
        return _CutTransaction(self._storage, self._left, name)


class _CutTransaction:
    def __init__(self, storage: Storage, statement: int, name: str) -> None:
        self._storage, self._left = storage, statement
        self._opened = storage.database.transaction(name)

    async def __aenter__(self) -> _CutTransaction:
        self._connection = await self._opened.__aenter__()
        return self

    async def __aexit__(self, *fault: Any) -> bool | None:
        if not fault[0] and self._left >= 0:
            await self._cut()  # before the commit
        return await self._opened.__aexit__(*fault)

    async def fetch(self, *arguments: Any) -> Any:
        await self._count()
        return await self._connection.fetch(*arguments)

    async def execute(self, *arguments: Any) -> Any:
        await self._count()
        return await self._connection.execute(*arguments)

    async def _count(self) -> None:
        if self._left == 0:
            await self._cut()
        self._left -= 1

    async def _cut(self) -> None:
        pid = await self._connection.fetchval("select pg_backend_pid()")
        await self._storage.execute("select pg_terminate_backend($1)", pid)

"""Tasks in the cache: under which keys, in which bytes, and what is told of them when they change."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter

from domain.tasks.model import Task
from infra.cache.ports import Cache, Entry, TaskVersion
from infra.cache.task_json import Unreadable, decode, encode

DELETED = 2**53 - 1
"""The version of a deleted task: no later one can come, for ids are not used again."""
UNKNOWN = 0
"""Below every version: tells nothing but that nobody leads the key any more."""


class TaskCache:
    def __init__(self, cache: Cache, namespace: str, registry: CollectorRegistry) -> None:
        self._cache = cache
        self._namespace = namespace
        self._unreadable = Counter(
            "carillon_cache_unreadable",
            "Cached tasks that could not be read, and were read from PostgreSQL instead.",
            registry=registry,
        )

    async def get(self, tenant: str, ids: Sequence[UUID]) -> list[Task | None]:
        values = await self._cache.get([self._key(tenant, id) for id in ids])
        return [self._read(value) if value is not None else None for value in values]

    async def lead(self, tenant: str, ids: Sequence[UUID]) -> list[bool]:
        """For each id, whether the caller is to read it from PostgreSQL and `keep` or `release` it."""
        return await self._cache.lead([self._key(tenant, id) for id in ids])

    async def keep(self, tasks: Sequence[Task]) -> None:
        await self._cache.put(
            [Entry(self._key(task.tenant, task.id), task.version, encode(task)) for task in tasks]
        )

    async def release(self, tenant: str, ids: Sequence[UUID]) -> None:
        """These were looked for and are not there."""
        await self._cache.put([Entry(self._key(tenant, id), UNKNOWN, None) for id in ids])

    async def forget(self, changes: Sequence[TaskVersion]) -> None:
        """To be called when a change that the cache was not given the task of is committed.

        In the order of the changes: of each task only the last is told.
        """
        last = {change.id: change for change in changes}.values()
        await self._cache.put(
            [Entry(self._key(change.tenant, change.id), change.version, None) for change in last]
        )

    async def forget_deleted(self, tenant: str, id: UUID) -> None:
        await self._cache.put([Entry(self._key(tenant, id), DELETED, None)])

    def _key(self, tenant: str, id: UUID) -> str:
        return f"{self._namespace}:task:{tenant}:{id}"

    def _read(self, value: bytes) -> Task | None:
        try:
            return decode(value)
        except Unreadable:
            self._unreadable.inc()
            return None

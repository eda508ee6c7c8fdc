"""From due to handed over: the scheduler's side of storage."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from domain.errors import Unavailable
from infra.postgres.changes import Changed, versions
from infra.postgres.claiming import BEGIN, BEGIN_LOCKED, CLAIM, NEXT_DUE, NEXT_DUE_UNLIMITED, ROOM, TAKE_BACK
from infra.postgres.database import Database
from infra.postgres.floors import NEVER, Floors, floors_from, margin_for, walked_keys
from infra.postgres.lanes import tend_lanes

FORGET_SECONDS = 30.0
"""A floor that should be wrong hides a task no longer than this."""
MOST_CANDIDATES = 20_000
"""Rows one claim looks at, shared out among the lanes in which something was due at the last; at first, all."""
LANES = "select count(*) from lanes"
MOST_PARKINGS = 100
"""Claims in a row that find only tasks whose key is held, and set them aside."""


class PostgresDueTasks:
    """Implements domain.attempts.ports.DueTasks. Remembers, between claims, where there is nothing to find."""

    def __init__(self, database: Database, changed: Changed) -> None:
        self._database = database
        self._changed = changed
        self._margin = margin_for(database.limit)
        self._floors = Floors()
        self._forget_at = 0.0

    async def room(self) -> int:
        async with self._database.begun("room", BEGIN) as connection:
            room: int = await connection.fetchval(ROOM, *self._known().arguments(self._margin)[:3])
        return room

    async def claim(self, limit: int) -> list[UUID]:
        for _ in range(MOST_PARKINGS):
            claimed, parked = await self._claim(limit)
            if claimed or not parked:
                return claimed
        return []

    async def _claim(self, limit: int) -> tuple[list[UUID], int]:
        """What was claimed, and how many tasks were set aside."""
        floors = self._known()
        try:
            async with self._database.begun("claim", BEGIN_LOCKED) as connection:
                lanes = await connection.fetchval(LANES) if floors.seen_at is NEVER else len(floors.lanes)
                of_each = max(1, min(limit, MOST_CANDIDATES // max(1, lanes)))
                records = await connection.fetch(CLAIM, *floors.arguments(self._margin), limit, of_each)
        except Unavailable:
            self._floors = Floors()  # much may have come into many lanes: the next claim shares out among all
            raise
        claimed = [record for record in records if record["kind"] == "task"]
        (summary,) = (record for record in records if record["kind"] == "claim")
        if not summary["complete"]:  # what is to be set aside still waits below
            self._floors = replace(floors, limits=True)
        elif summary["room"] > 0:  # without room, no lane was looked at
            self._floors = floors_from(summary["at"], records, limits=summary["limits"])
        self._floors = replace(self._floors, keys_after=walked_keys(records))
        await self._changed(versions(claimed))
        claimed.sort(key=lambda task: (task["turn"], task["priority"], task["at"], task["id"]))
        return [record["id"] for record in claimed], summary["parked"]

    async def take_back(self, ids: Sequence[UUID]) -> None:
        async with self._database.work("take_back") as connection:
            records = await connection.fetch(TAKE_BACK, list(ids))
        await self._changed(versions(records))

    async def next_due_in(self) -> timedelta | None:
        floors = self._known()
        arguments = floors.arguments(self._margin)
        due: timedelta | None
        if floors.limits:
            async with self._database.begun("next_due", BEGIN) as connection:
                due = await connection.fetchval(NEXT_DUE, *arguments)
        else:
            async with self._database.work("next_due") as connection:
                due = await connection.fetchval(NEXT_DUE_UNLIMITED, *arguments[:8])
        return due

    async def tend(self) -> int:
        restored, _ = await tend_lanes(self._database)
        return restored

    def _known(self) -> Floors:
        now = time.monotonic()
        if now >= self._forget_at:
            self._floors = Floors()
            self._forget_at = now + FORGET_SECONDS
        return self._floors
